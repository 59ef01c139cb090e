"""Genetic: a population of allocations that cross and change, for objectives of any shape. Seeded and bounded, so the
same problem has the same answer.

Every member fits: what a change would take too much is left where it is. The best of the last generation is polished
by moves of one or two workloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.searching import polished

if TYPE_CHECKING:
    from numpy.random import Generator

    from controller.model import F64
    from controller.plan.items import Items
    from controller.plan.searching import Index

_MEMBERS: Final = 48
_GENERATIONS: Final = 80
_ELITE: Final = 8
_CHANGED: Final = 0.3
"""Share of a child's values that change, of more than three as many as of three: half by one step, half to any."""


def best(them: Items, start: Index, seed: int = 0) -> Index:
    """(n,) items worth as much as was found; `start` (n,) fits, and the answer is never worth less."""
    if not len(them):
        return start
    chance = np.random.default_rng(seed)
    order = np.arange(len(them))
    members = np.broadcast_to(start, (_MEMBERS, len(start)))
    members = _fitting(them, start, _changed(them, members, chance, 1.0), chance.permutation(order))
    members[0] = start
    for _ in range(_GENERATIONS):
        worth = them.worth[members].sum(axis=1)
        members = members[(-worth).argsort(kind="stable")]
        # two of each child's parents by tournament: the better of two by chance
        mothers, fathers = (np.minimum(*chance.integers(0, _MEMBERS, (2, _MEMBERS - _ELITE))) for _ in range(2))
        mixed = np.where(chance.random((_MEMBERS - _ELITE, len(start))) < 0.5, members[mothers], members[fathers])
        changed = _changed(them, mixed, chance, _CHANGED)
        children = _fitting(them, start, changed, chance.permutation(order))
        members = np.vstack([members[:_ELITE], children])
    worth = them.worth[members].sum(axis=1)
    first = polished(them, members[int(worth.argmax())])
    return max(first, polished(them, start), key=them.total)


def _changed(them: Items, members: Index, chance: Generator, share: float) -> Index:
    """Some values changed by one step or to any other."""
    low, high = them.first[:-1], them.first[1:] - 1
    near = members + chance.choice([-1, 1], members.shape)
    far = low + (chance.random(members.shape) * (high - low + 1)).astype(np.intp)
    new = np.clip(np.where(chance.random(members.shape) < 0.5, near, far), low, high)
    return np.where(chance.random(members.shape) < share * min(1.0, 3 / members.shape[1]), new, members)


def _fitting(them: Items, start: Index, members: Index, order: Index) -> Index:
    """Members that fit: from the start, which does, each value is taken over if all rows then still hold.

    What takes less goes first, then the others in the order given; what did not fit is tried once more at half the way.
    """
    found = np.repeat(start[None, :], len(members), axis=0)
    room = them.limit - them.use[:, start].sum(axis=1)
    room = np.repeat(room[:, None], len(members), axis=1)
    for first in (True, False):
        for i in order:
            _take(them, found, room, members[:, i], int(i), only_less=first)
    for i in order:
        _take(them, found, room, (members[:, i] + found[:, i]) // 2, int(i), only_less=False)
    return found


def _take(them: Items, found: Index, room: F64, wanted: Index, i: int, *, only_less: bool) -> None:
    more = them.use[:, wanted] - them.use[:, found[:, i]]
    may = (more <= room).all(axis=0)
    if only_less:
        may &= (more <= 0).all(axis=0)
    found[may, i] = wanted[may]
    room -= np.where(may, more, 0.0)
