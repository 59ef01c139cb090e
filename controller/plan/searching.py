"""What the searches share: they know items, what each is worth and takes, and nothing of the shape of curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.items import Items

    Index = NDArray[np.intp]

_NEAR: Final = 3
"""Pairs of moves are tried up to so many values away from where each choice stands; single moves to all values."""
_PAIRED: Final = 600
"""Moves up to which all pairs of them are tried."""
_PAIRS: Final = 2_000_000
"""Pairs looked at in one turn; of more, those with the moves that earn most."""
_TURNS: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Everything that one choice alone could do from where all stand."""

    item: Index
    """(moves,) to which item."""
    owner: Index
    """(moves,) whose."""
    gain: F64
    """(moves,) USD per hour."""
    use: F64
    """(r, moves) more of each row, scaled."""

    def only(self, which: NDArray[np.bool_] | Index) -> Moves:
        return Moves(self.item[which], self.owner[which], self.gain[which], self.use[:, which])


def owners(them: Items) -> Index:
    """(k,) whose item each is."""
    return np.repeat(np.arange(len(them)), np.diff(them.first))


def polished(them: Items, taken: Index) -> Index:
    """Better and better by the best move of one or of two choices at once, until there is none; `taken` fits."""
    owner, all_ = owners(them), np.arange(len(them.worth))
    taken = taken.copy()
    for _ in range(_TURNS):
        room = them.limit - them.use[:, taken].sum(axis=1)
        moves = Moves(all_, owner, them.worth - them.worth[taken[owner]], them.use - them.use[:, taken[owner]])
        best = _best_of_one(moves, room, them.noise) or _best_of_two(them, moves, taken, room)
        if best is None:
            return taken
        for item in best:
            taken[owner[item]] = item
    return taken


def _best_of_one(moves: Moves, room: F64, noise: float) -> tuple[int, ...] | None:
    worth = np.where((moves.use <= room[:, None]).all(axis=0), moves.gain, -np.inf)
    best = int(worth.argmax()) if len(worth) else 0
    return (int(moves.item[best]),) if len(worth) and worth[best] > noise else None


def _best_of_two(them: Items, moves: Moves, taken: Index, room: F64) -> tuple[int, ...] | None:
    """One that earns, with one that makes room for it."""
    at = taken[moves.owner]
    near = (np.abs(moves.item - at) <= _NEAR) if len(moves.item) > _PAIRED else np.ones(len(moves.item), dtype=bool)
    moves = moves.only(near & (moves.item != at))
    one, other = moves.only(moves.gain > 0), moves
    if not len(one.item):
        return None
    one = one.only(np.sort((-one.gain).argsort(kind="stable")[: max(1, _PAIRS // len(other.item))]))
    gain = one.gain[:, None] + other.gain
    may = (gain > them.noise) & (one.owner[:, None] != other.owner)
    for row, left in enumerate(room.tolist()):
        # most rows are of one node, of which most moves take nothing: what takes nothing with what takes nothing fits
        ours, theirs = one.use[row], other.use[row]
        some, more = ours.nonzero()[0], theirs.nonzero()[0]
        may[some] &= ours[some, None] + theirs <= left
        if len(some) < len(ours):
            may[:, more] &= ours[:, None] + theirs[more] <= left
    best = int(np.where(may, gain, -np.inf).argmax())
    i, j = divmod(best, gain.shape[1])
    return (int(one.item[i]), int(other.item[j])) if may[i, j] else None
