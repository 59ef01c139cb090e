"""Whole steps of all nodes at once, at given prices of the constraints over nodes, with the cost of moving.

Where one resource binds, steps need equally much and moving is free, the best so many steps are exact, as in pouring.py.
Where moving costs or steps differ, one resource binds and needs are multiples of a common unit, a dynamic programme over
units, all nodes at once, is exact. Where several resources bind and a node has few combinations, all of them are looked
through, many nodes at once. What is left is solved one node after the other (milp.py), exactly too, and slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan import milp
from controller.plan.highs import Unsolved
from controller.plan.items import Items
from controller.plan.limits import SLACK
from controller.plan.pouring import by_one
from controller.plan.problem import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.flat import FlatProblem
    from controller.plan.pouring import Bucket

    Index = NDArray[np.intp]

_PARTS: Final = np.arange(1, 13)
"""A common unit is looked for down to a twelfth of the smallest step."""
_UNITS: Final = 512
"""Units of one node up to which the dynamic programme is used; more is many states for few steps."""
_CELLS: Final = 4_000_000
"""Of one table; more nodes are done in turns."""
_REPAIRS: Final = 50
"""Rounds of giving back, after which everything stays."""
_COMBINATIONS: Final = 4096
"""Of one node up to which all are looked through: four workloads of eight values."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Whole steps, at some prices."""

    count: Index
    """(n,) how many segments each choice has."""
    worth: F64
    """(N,) USD per hour beyond the least, less the cost of moving."""
    use: F64
    """(m, N) of the constraints over nodes, beyond the least."""


def steps_now(flat: FlatProblem) -> Steps:
    return counted(flat, flat.at)


def counted(flat: FlatProblem, count: Index) -> Steps:
    """What given numbers of segments are worth and take."""
    taken = _taken(flat, count)
    each = np.bincount(flat.owner, weights=taken * flat.dy, minlength=len(flat.node))
    worth = _per_node(flat, each - flat.cost * (count != flat.at))
    amount = flat.amounts(taken)
    use = np.zeros((len(flat.coefficient), flat.nodes))
    for row, coefficient in zip(use, flat.coefficient, strict=True):
        row[:] = _per_node(flat, coefficient * amount)
    return Steps(count, worth, use)


def earned(flat: FlatProblem, count: Index) -> float:
    """USD per hour beyond the least, moving not charged."""
    return float(_taken(flat, count) @ flat.dy)


def _taken(flat: FlatProblem, count: Index) -> F64:
    """(s,) 1 for the first segments of every choice, so many as `count` (n,) says."""
    return (np.arange(len(flat.dx)) - flat.first[flat.owner] < count[flat.owner]).astype(np.float64)


def _per_node(flat: FlatProblem, each: F64) -> F64:
    """(N,) sums of (n,)."""
    return np.bincount(flat.node, weights=each, minlength=flat.nodes).astype(np.float64)


def step(flat: FlatProblem, into: list[Bucket], prices: F64, hard: Steps | None = None) -> Steps:
    """The best whole steps of every node when the constraints over nodes cost `prices` (m,).

    `hard`: an answer from which nodes that can only be solved one by one take theirs, because that is slow.
    """
    free = prices @ flat.coefficient if len(prices) else np.zeros(len(flat.node))
    position = np.arange(len(flat.dx)) - flat.first[flat.owner]
    noise = NOTHING * float(np.abs(flat.dy).max(initial=0.0))
    # of equal plans the one that moves least
    worth = flat.dy - free[flat.owner] * flat.dx + np.where(position < flat.at[flat.owner], noise, -noise)
    dear = np.zeros(flat.nodes, dtype=bool)
    dear[flat.node[flat.cost > 0]] = True
    count, left = flat.at.copy(), []
    for bucket in into:
        reduced = np.append(worth, 0.0)[bucket.seg]
        plain = ~dear[bucket.nodes] & all(bucket.even)
        done = np.zeros(len(bucket.nodes), dtype=bool)
        done[plain] = _plainly(flat, bucket, reduced, plain.nonzero()[0], count)
        rest = (~done).nonzero()[0]
        if len(bucket.kinds) <= 1 and len(rest):
            rest = rest[~_by_units(flat, bucket, worth, rest, count)]
        left += bucket.nodes[rest].tolist()
    left = _looked_through(flat, np.array(sorted(left), dtype=np.intp), worth, count)
    if hard is not None:
        taken = np.isin(flat.node, left)
        count[taken] = hard.count[taken]
        left = []
    for node in left:
        _alone(flat, node, worth, count)
    return counted(flat, count)


def _plainly(flat: FlatProblem, bucket: Bucket, reduced: F64, rows: Index, count: Index) -> NDArray[np.bool_]:
    """Set the counts of those rows whose best steps under one resource leave room for the others; says which."""
    done = np.zeros(len(rows), dtype=bool)
    for k in range(len(bucket.kinds)) or (None,):
        todo = (~done).nonzero()[0]
        which = rows[todo]
        if k is None:
            shares = (reduced[which] > 0).astype(np.float64)
        else:
            unit = bucket.need[k, which, 0]
            whole = np.floor(bucket.room[k, which] / unit * (1 + SLACK) + SLACK) * unit
            shares = by_one(reduced[which], bucket.need[k, which], whole, even=True)
        needed = np.einsum("bw,kbw->kb", shares, bucket.need[:, which])
        fits = (needed <= bucket.room[:, which] * (1 + SLACK)).all(axis=0)
        _set(flat, bucket.seg[which[fits]], shares[fits] > 0.5, count)
        done[todo[fits]] = True
    return done


def _set(flat: FlatProblem, seg: Index, taken: NDArray[np.bool_], count: Index) -> None:
    real = seg < len(flat.dx)
    owner = flat.owner[seg[real]]
    count[np.unique(owner)] = 0
    np.add.at(count, owner, taken[real])


# --- all nodes at once, in units of one resource ------------------------------------------------------------------


def _by_units(flat: FlatProblem, bucket: Bucket, worth: F64, rows: Index, count: Index) -> NDArray[np.bool_]:
    """Set the counts of those rows that a dynamic programme over units can solve; says which."""
    if bucket.kinds:
        units, room, fits = _in_units(bucket.need[0, rows], bucket.room[0, rows])
    else:
        units, room = np.zeros((len(rows), bucket.seg.shape[1]), dtype=np.intp), np.zeros(len(rows), dtype=np.intp)
        fits = np.ones(len(rows), dtype=bool)
    chosen = fits.nonzero()[0]
    if not len(chosen):
        return fits
    turn = max(1, _CELLS // (int(room[chosen].max()) + 1))
    for begin in range(0, len(chosen), turn):
        part = chosen[begin : begin + turn]
        _table(flat, bucket.seg[rows[part]], units[part], room[part], worth, count)
    return fits


def _in_units(need: F64, room: F64) -> tuple[Index, Index, NDArray[np.bool_]]:
    """(b, w) needs and (b,) rooms as multiples of each node's unit, and (b,) whether they are so, and few."""
    smallest = np.where(need > 0, need, np.inf).min(axis=1)
    unit, fits = np.ones(len(need)), np.zeros(len(need), dtype=bool)
    for part in _PARTS:
        ratio = need * (part / smallest)[:, None]
        good = ~fits & np.isfinite(smallest) & (np.abs(ratio - np.round(ratio)) <= 1e-7).all(axis=1)
        unit[good], fits = smallest[good] / part, fits | good
    total = np.minimum(room, need.sum(axis=1)) / unit
    fits &= total <= _UNITS
    whole = np.floor(np.where(fits, total, 0.0) * (1 + SLACK) + SLACK).astype(np.intp)
    return np.round(np.where(fits[:, None], need / unit[:, None], 0.0)).astype(np.intp), whole, fits


def _table(flat: FlatProblem, seg: Index, units: Index, room: Index, worth: F64, count: Index) -> None:
    """Choice after choice: what the choices so far are worth at most in u units, for every u and every node."""
    rows = np.arange(len(seg))
    owner = np.where(seg < len(flat.dx), np.append(flat.owner, 0)[seg], -1)
    place = np.concatenate(
        [np.zeros((len(seg), 1), dtype=np.intp), (owner[:, 1:] != owner[:, :-1]).cumsum(axis=1)], axis=1
    )
    whose = [np.where((place == j) & (owner >= 0), owner, -1).max(axis=1) for j in range(int(place.max()) + 1)]
    best = np.zeros((len(seg), int(room.max()) + 1))
    taken = []
    for j, who in enumerate(whose):
        best, which = _stage(flat, best, (place == j) & (owner >= 0), who, np.append(worth, 0.0)[seg], units)
        taken.append(which)
    at = room
    for j in range(len(whose) - 1, -1, -1):
        number = taken[j][rows, at]
        mine = (place == j) & (owner >= 0)
        within = mine & (mine.cumsum(axis=1) <= number[:, None])
        some = whose[j] >= 0
        count[whose[j][some]] = number[some]
        at = at - (units * within).sum(axis=1)


def _stage(
    flat: FlatProblem, before: F64, mine: NDArray[np.bool_], who: Index, worth: F64, units: Index
) -> tuple[F64, NDArray[np.int16]]:
    """(b, u) the best with one choice more, and how many of its segments that takes."""
    some = who >= 0
    has, cost = np.where(some, flat.at[who], 0), np.where(some, flat.cost[who], 0.0)
    first, most = mine.argmax(axis=1), mine.sum(axis=1)
    best = before - (cost * (has != 0))[:, None]
    which = np.zeros(best.shape, dtype=np.int16)
    gained, used = np.zeros(len(who)), np.zeros(len(who), dtype=np.intp)
    rows, level = np.arange(len(who)), np.arange(before.shape[1])
    for number in range(1, int(most.max(initial=0)) + 1):
        there = number <= most
        column = np.minimum(first + number - 1, mine.shape[1] - 1)
        gained = gained + np.where(there, worth[rows, column], 0.0)
        used = used + np.where(there, units[rows, column], 0)
        source = level - used[:, None]
        value = np.take_along_axis(before, np.maximum(source, 0), 1) + (gained - cost * (has != number))[:, None]
        better = (value > best) & (source >= 0) & there[:, None]
        best, which = np.where(better, value, best), np.where(better, np.int16(number), which)
    return best, which


# --- all combinations ---------------------------------------------------------------------------------------------


def _looked_through(flat: FlatProblem, nodes: Index, worth: F64, count: Index) -> list[int]:
    """Set the counts of those nodes that have few combinations; gives the others."""
    begins, ends = (np.searchsorted(flat.node, nodes, side=side) for side in ("left", "right"))
    sizes = np.diff(flat.first) + 1
    alike: dict[tuple[int, ...], list[int]] = {}
    left = []
    for node, begin, end in zip(nodes.tolist(), begins.tolist(), ends.tolist(), strict=True):
        shape = tuple(sizes[begin:end].tolist())
        if prod(shape) <= _COMBINATIONS:
            alike.setdefault(shape, []).append(begin)
        else:
            left.append(node)
    for shape, those in sorted(alike.items()):
        turn = max(1, _CELLS // prod(shape))
        for begin in range(0, len(those), turn):
            _all(flat, shape, np.array(those[begin : begin + turn], dtype=np.intp), worth, count)
    return left


def _all(flat: FlatProblem, shape: tuple[int, ...], begins: Index, worth: F64, count: Index) -> None:
    """Of nodes whose choices begin there and have so many values each, the best combination that fits."""
    rows, node = len(begins), flat.node[begins]
    kinds = np.flatnonzero(np.isfinite(flat.room[:, node]).any(axis=1))
    total = np.zeros((rows, *(1 for _ in shape)))
    used = np.zeros((len(kinds), *total.shape))
    for j, size in enumerate(shape):
        who = begins + j
        at = flat.first[who][:, None] + np.arange(size - 1)
        along = (rows, *(size if axis == j else 1 for axis in range(len(shape))))
        moved = np.arange(size) != flat.at[who][:, None]
        zero = np.zeros((rows, 1))
        earns = np.concatenate([zero, worth[at].cumsum(axis=1)], axis=1) - flat.cost[who][:, None] * moved
        amount = np.concatenate([zero, flat.dx[at].cumsum(axis=1)], axis=1)
        total = total + earns.reshape(along)
        used = used + np.array([(flat.need[k][who][:, None] * amount).reshape(along) for k in kinds]).reshape(
            -1, *along
        )
    room = (flat.room[kinds][:, node] * (1 + 0.5 * SLACK)).reshape(len(kinds), rows, *(1 for _ in shape))
    fits = (used <= room).all(axis=0)
    best = np.where(fits, total, -np.inf).reshape(rows, -1).argmax(axis=1)
    for j, number in enumerate(np.unravel_index(best, shape)):
        count[begins + j] = number


# --- one node -----------------------------------------------------------------------------------------------------


def _alone(flat: FlatProblem, node: int, worth: F64, count: Index) -> None:
    """Set the counts of one node, by the exact solver of the step grid."""
    who = np.arange(np.searchsorted(flat.node, node), np.searchsorted(flat.node, node, side="right"))
    sizes = flat.first[who + 1] - flat.first[who] + 1
    first = np.concatenate([[0], sizes.cumsum()]).astype(np.intp)
    value = np.concatenate([np.arange(size) for size in sizes])
    earns = np.concatenate([np.append(0.0, worth[flat.first[i] : flat.first[i + 1]].cumsum()) for i in who])
    amount = np.concatenate([np.append(0.0, flat.dx[flat.first[i] : flat.first[i + 1]].cumsum()) for i in who])
    owner = np.repeat(who, sizes)
    kinds = np.flatnonzero(np.isfinite(flat.room[:, node]))
    room = flat.room[kinds, node]
    use = flat.need[kinds][:, owner] * amount
    scale = np.maximum(np.abs(use).max(axis=1, initial=0.0), room)
    scale = np.where(scale > 0, scale, 1.0)
    them = Items(
        first=first, value=value, worth=earns - flat.cost[owner] * (value != flat.at[owner]), use=use / scale[:, None],
        limit=room / scale * (1 + 0.5 * SLACK), scale=scale, at=first[:-1] + flat.at[who],
        noise=NOTHING * float(np.abs(earns).max(initial=0.0)),
    )  # fmt: skip
    if not them.fits(them.at):
        return
    try:
        count[who] = them.value[milp.best(them, them.at).taken]
    except Unsolved:
        return


# --- all together -------------------------------------------------------------------------------------------------


def joined(flat: FlatProblem, answers: list[Steps], shares: F64, group: Index) -> Steps:
    """One answer for every node, in about these shares (answers, groups), so that all constraints hold.

    Groups that one answer fills take it whole; the nodes of the others are dealt out in their order. What then is too
    much is undone where that costs least. answers[0] is what there is, which holds.
    """
    pick = shares.argmax(axis=0)[group]
    for g in (shares.max(axis=0) < 1 - 1e-9).nonzero()[0]:
        nodes = (group == g).nonzero()[0]
        ends = np.round(shares[:, g].cumsum() * len(nodes)).astype(np.intp)
        pick[nodes] = np.minimum(np.searchsorted(ends, np.arange(len(nodes)), side="right"), len(answers) - 1)
    pick = _kept(flat, answers, pick)
    columns = np.arange(flat.nodes)
    count = np.array([it.count for it in answers])[pick[flat.node], np.arange(len(flat.node))]
    worth = np.array([it.worth for it in answers])[pick, columns]
    return Steps(count, worth, np.array([it.use for it in answers])[pick, :, columns].T)


def _kept(flat: FlatProblem, answers: list[Steps], pick: Index) -> Index:
    """Which answer every node takes so that the constraints hold: those that lose least for what they give back change."""
    allowed = flat.limit + SLACK * np.abs(flat.limit)
    worth, use = np.array([it.worth for it in answers]), np.array([it.use for it in answers])
    scale = np.maximum(np.abs(use).max(axis=(0, 2), initial=0.0), 1e-300)
    columns, most = np.arange(flat.nodes), flat.nodes

    def broken(pick: Index) -> float:
        return float((np.maximum(use[pick, :, columns].sum(axis=0) - allowed, 0.0) / scale).sum())

    for _ in range(_REPAIRS):
        if not (now := broken(pick)):
            return pick
        taken = use[pick, :, columns].T
        over = (taken.sum(axis=1) - allowed)[None, :, None]
        gives = now - (np.maximum(over + use - taken, 0.0) / scale[None, :, None]).sum(axis=1)
        price = np.full(gives.shape, np.inf)
        np.divide(worth[pick, columns] - worth, gives, out=price, where=gives > SLACK * now)
        best = price.argmin(axis=0)
        order = price[best, columns].argsort(kind="stable")
        order = order[np.isfinite(price[best[order], order])]
        if not len(order):
            break
        # many at once, as long as what they give they do not take of another constraint; one alone never does
        most = min(most, max(1, int(np.searchsorted(gives[best[order], order].cumsum(), now)) // 2))
        while True:
            changed = pick.copy()
            changed[order[:most]] = best[order[:most]]
            if most == 1 or broken(changed) < now:
                break
            most = max(1, most // 4)
        pick = changed
    return _undone(use, allowed, pick)


def _undone(use: F64, allowed: F64, pick: Index) -> Index:
    """As few nodes as it takes, in their order, back to what there is (the first answer)."""
    taken = use[pick, :, np.arange(len(pick))].T
    back = np.concatenate([np.zeros((len(taken), 1)), (use[0] - taken).cumsum(axis=1)], axis=1)
    holds = (taken.sum(axis=1)[:, None] + back <= allowed[:, None]).all(axis=0)
    undone = int(holds.argmax()) if holds.any() else len(pick)
    return np.where(np.arange(len(pick)) < undone, 0, pick)


def paid(flat: FlatProblem, found: Steps) -> Steps:
    """The answer, or what there is where that is worth no less."""
    now = steps_now(flat)
    better = found.worth.sum() > now.worth.sum() + NOTHING * float(np.abs(flat.dy).max(initial=0.0))
    return found if better else now
