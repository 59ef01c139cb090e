"""Annealing: several walks at once that also take what is worse, ever less so, for objectives of any shape. Seeded and
bounded, so the same problem has the same answer.

Every state fits. The best that any walk saw is polished by moves of one or two workloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.searching import polished

if TYPE_CHECKING:
    from controller.plan.items import Items
    from controller.plan.searching import Index

_WALKS: Final = 48
_STEPS: Final = 100
"""For each choice that may move; at most `_MOST`."""
_MOST: Final = 800
_COLD: Final = 1e-4
"""The last temperature, as a part of the first."""


def best(them: Items, start: Index, seed: int = 0) -> Index:
    """(n,) items worth as much as was found; `start` (n,) fits, and the answer is never worth less."""
    sizes = np.diff(them.first)
    free = (sizes > 1).nonzero()[0]
    if not len(free):
        return start
    chance = np.random.default_rng(seed)
    walks = np.repeat(start[None, :], _WALKS, axis=0)
    room = np.repeat((them.limit - them.use[:, start].sum(axis=1))[:, None], _WALKS, axis=1)
    worth, rows = np.full(_WALKS, them.total(start)), np.arange(_WALKS)
    found, top = start, them.total(start)
    hot = max(float(np.ptp(them.worth[them.first[i] : them.first[i + 1]])) for i in free) / 4 or 1.0
    for heat in hot * np.geomspace(1.0, _COLD, min(_MOST, _STEPS * len(free))):
        one, other = free[chance.integers(0, len(free), (2, _WALKS))]
        to = _next(them, walks[rows, one], one, chance.random((2, _WALKS)))
        also = np.where(
            (chance.random(_WALKS) < 0.5) & (one != other),
            _next(them, walks[rows, other], other, chance.random((2, _WALKS))),
            walks[rows, other],
        )
        also = np.where(one == other, to, also)
        apart = one != other
        more = (
            them.use[:, to]
            - them.use[:, walks[rows, one]]
            + apart * (them.use[:, also] - them.use[:, walks[rows, other]])
        )
        gain = (
            them.worth[to] - them.worth[walks[rows, one]] + apart * (them.worth[also] - them.worth[walks[rows, other]])
        )
        taken = (more <= room).all(axis=0) & (np.log(1 - chance.random(_WALKS)) * heat < gain)
        walks[rows[taken], one[taken]] = to[taken]
        walks[rows[taken], other[taken]] = also[taken]
        room, worth = room - np.where(taken, more, 0.0), worth + np.where(taken, gain, 0.0)
        if worth.max() > top:
            found, top = walks[int(worth.argmax())].copy(), float(worth.max())
    return max(polished(them, found), polished(them, start), key=them.total)


def _next(them: Items, now: Index, whose: Index, chance: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Index:
    """Another item of a choice: half of the time a neighbour, else any."""
    low, high = them.first[whose], them.first[whose + 1] - 1
    near = np.where(chance[1] < 0.5, now - 1, now + 1)
    far = low + (chance[1] * (high - low + 1)).astype(np.intp)
    return np.clip(np.where(chance[0] < 0.5, near, far), low, high)
