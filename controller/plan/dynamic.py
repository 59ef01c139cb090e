"""A dynamic programme over steps: exact on the step grid for curves of any shape and with the costs of moving.

One choice after the other; a state is what the choices so far take of every row and are worth. A state is dropped when
another takes no more and is worth no less, when the rows cannot hold with the least that the others may take, and when
even the rest at its price-bound cannot make it better than the best plan known: for prices p >= 0 of the rows, what
remains is worth at most p · (limit - used) + Σ max over the items of (worth - p · use). Good prices leave few states;
any prices leave the answer exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.items import Items

MOST: Final = 20_000
"""States looked at for one choice; beyond it branch and bound is the better way."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rest:
    """What the choices after each stage can still do; (n + 1, ...), the last of nobody."""

    least: F64
    """(n + 1, r) the least that they take."""
    most: F64
    """(n + 1,) the most they are worth at the prices."""


def best(them: Items, known: NDArray[np.intp], prices: F64, most: int = MOST) -> NDArray[np.intp] | None:
    """(n,) the items worth most; `known` (n,) fits and comes back where nothing is worth more. None: too many states."""
    rest = _rest(them, prices)
    beat = them.total(known) + them.noise
    used, worth = np.zeros((len(them.limit), 1)), np.zeros(1)
    back: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for i in range(len(them)):
        begin, end = them.first[i], them.first[i + 1]
        if len(worth) * (end - begin) > most:
            return None
        take = (used[:, :, None] + them.use[:, None, begin:end]).reshape(len(used), len(worth) * (end - begin))
        gets = (worth[:, None] + them.worth[begin:end]).ravel()
        bound = gets + (rest.most[i + 1] + prices @ them.limit) - prices @ take
        kept = ((bound > beat) & (take + rest.least[i + 1][:, None] <= them.limit[:, None]).all(axis=0)).nonzero()[0]
        kept = kept[_undominated(take[:, kept], gets[kept])]
        if not len(kept):
            return known
        back.append((kept // (end - begin), begin + kept % (end - begin)))
        used, worth = take[:, kept], gets[kept]
    # a bound counts what is left of the rows at their prices, so what stands here need not be worth more than is known
    return _traced(back, int(worth.argmax())) if worth.max() > beat else known


def _rest(them: Items, prices: F64) -> _Rest:
    n, begins = len(them), them.first[:-1]
    least, most = np.zeros((n + 1, len(them.limit))), np.zeros(n + 1)
    if n:
        each = np.minimum.reduceat(them.use, begins, axis=1).T
        least[:n] = each[::-1].cumsum(axis=0)[::-1]
        reduced = np.maximum.reduceat(them.worth - prices @ them.use, begins)
        most[:n] = reduced[::-1].cumsum()[::-1]
    # sums in another order than the states' own: a hair of tolerance keeps what just fits
    return _Rest(least - 1e-13 * np.abs(least), most + 1e-13 * np.abs(most))


def _undominated(take: F64, gets: F64) -> NDArray[np.intp]:
    """Which states are worth keeping. One row: those worth more than all that take less; several: the best of equals."""
    if len(gets) < 2:
        return np.arange(len(gets))
    if len(take) == 0:
        return np.array([gets.argmax()])
    if len(take) == 1:
        order = np.lexsort((-gets, take[0]))
        top = np.maximum.accumulate(gets[order])
        new = np.concatenate([[True], top[1:] > top[:-1]])
        kept: NDArray[np.intp] = order[new]
        return kept
    rounded = np.round(take, 12)
    order = np.lexsort((-gets, *rounded))
    same = (rounded[:, order[1:]] == rounded[:, order[:-1]]).all(axis=0)
    first: NDArray[np.intp] = order[np.concatenate([[True], ~same])]
    return first


def _traced(back: list[tuple[NDArray[np.intp], NDArray[np.intp]]], state: int) -> NDArray[np.intp]:
    taken = np.zeros(len(back), dtype=np.intp)
    for i in range(len(back) - 1, -1, -1):
        parents, items = back[i]
        taken[i], state = items[state], int(parents[state])
    return taken
