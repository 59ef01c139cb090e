"""Decomposition: many nodes under few constraints over them. Prices on the constraints, every node solved in closed form
at those prices, all nodes at once; exact up to the gap that it proves.

Columns are generated (Dantzig-Wolfe): an answer of all nodes at some prices, cut into groups of nodes, is a column for
each group; a small linear program mixes the columns so that the constraints hold, and its duals are the next prices.
The mix is feasible and the prices give a bound: their distance is the gap. Which prices to ask for is found out on
every 16th node first, whose answers cost a 16th; whatever they are, gap and feasibility are those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from controller.plan import highs
from controller.plan.limits import SLACK
from controller.plan.pouring import buckets, pour
from controller.plan.stepping import joined, paid, step, steps_now

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.flat import FlatProblem
    from controller.plan.pouring import Bucket, Poured
    from controller.plan.stepping import Steps

GAP: Final = 1e-4
"""Relative, at which it stops."""
_SAMPLE: Final = 16
_SAMPLED_FROM: Final = 2_000
"""Nodes from which on a sample is worth while."""
_SAMPLE_GAP: Final = 1e-5
"""A gap is second order in the prices: of 1e-5 they are off by a third of a per cent."""
_WAY: Final = 0.3
"""How far from the prices of the best bound to those of the mix a sample is asked next."""
_GROUPS: Final = 128
"""Of up to so many nodes each is a group of its own, and all but as many as there are constraints get one answer whole."""
_FEWER_GROUPS: Final = 32
"""For the continuous split of sampled nodes: with good prices more groups prove as much, more slowly."""
_WHOLE: Final = 4
"""At so many of the last prices nodes are asked for whole steps too; some then take less than the limits, some more."""
_MORE: Final = 8
"""And at so many more, found from those answers."""
_WHOLE_GAP: Final = 3e-4
"""Relative, at which that stops."""
_NO_SHARE: Final = 1e-9
"""Less of an answer is what the tolerance of HiGHS lets in: of a constraint that is full any of it would be too much."""
_ROUNDS: Final = 100
"""Answers of all nodes at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What the decomposition came to."""

    taken: F64
    """(s,) the share of each segment: feasible, and within the gap of the best there is."""
    value: float
    """USD per hour above the least."""
    bound: float
    """The most that there can be, proven."""
    prices: F64
    """(m,) USD per hour that one more unit of each constraint would earn."""
    best: F64
    """(m,) the prices that prove the bound."""
    asked: tuple[F64, ...]
    """All prices that all nodes were asked at, in that order."""

    @property
    def gap(self) -> float:
        return max(0.0, self.bound - self.value) / max(abs(self.bound), abs(self.value), 1e-300)


@dataclass(slots=True, eq=False)
class Answers:
    """The answers of a set of nodes, and the linear program that mixes them (the restricted master)."""

    nodes: int
    into: list[Bucket]
    limit: F64
    """(m,) what the mix must keep; a sample's share of it, corrected."""
    group: NDArray[np.intp]
    """(N,) of each node, ascending from 0."""
    slack: F64 | None = None
    """(m,) what breaking each constraint by one unit costs; None: it may not be."""
    columns: list[tuple[F64, F64]] = field(default_factory=list)
    """For each answer: (groups,) USD per hour and (m, groups) use."""
    bounds: list[tuple[float, F64]] = field(default_factory=list)
    """For each price that was asked at: USD per hour less what is paid, and the prices: a bound whatever the limits."""
    program: Any = None
    scale: F64 = field(default_factory=lambda: np.ones(0))
    worth: float = 1.0

    @property
    def starts(self) -> NDArray[np.intp]:
        """(groups,) the first node of each."""
        return np.searchsorted(self.group, np.arange(int(self.group[-1]) + 1))

    def ask(self, prices: F64) -> Poured:
        """Answer at these prices, and keep the answer as columns."""
        answer = pour(self.nodes, self.into, prices)
        self.learn(answer.value, answer.use, prices)
        return answer

    def learn(self, value: F64, use: F64, prices: F64) -> None:
        """Keep the best answer there is at these prices: as columns, and for its bound."""
        self.keep(value, use)
        self.bounds.append((float(value.sum() - prices @ use.sum(axis=1)), prices))

    @property
    def bound(self) -> float:
        """USD per hour: the most that any split within the limits can be worth."""
        return min(worth + float(prices @ self.limit) for worth, prices in self.bounds)

    @property
    def best(self) -> F64:
        """(m,) the prices of that bound."""
        return min(self.bounds, key=lambda it: it[0] + float(it[1] @ self.limit))[1]

    def keep(self, value: F64, use: F64) -> None:
        """Columns of what all nodes are worth (N,) and take (m, N)."""
        groups = int(self.group[-1]) + 1
        rows = np.vstack([value, use])
        by_group = rows.sum(axis=1, keepdims=True) if groups == 1 else np.add.reduceat(rows, self.starts, axis=1)
        column = by_group[0], by_group[1:]
        self.columns.append(column)
        if self.program is not None:
            _add(self, *column)

    def mix(self) -> tuple[float, F64]:
        """The best mix's USD per hour and what a unit of each constraint is worth in it. Raises Unsolved."""
        if self.program is None:
            _open(self)
        duals = np.array(highs.solve(self.program).row_dual)[: len(self.limit)]
        value = self.program.getInfo().objective_function_value * self.worth
        return value, np.maximum(duals, 0.0) * self.worth / self.scale

    def shares(self) -> F64:
        """(answers, groups) of each answer in the mix; they sum to 1 over the answers."""
        groups = int(self.group[-1]) + 1
        slack = 0 if self.slack is None else len(self.limit)
        found = np.clip(np.array(self.program.getSolution().col_value)[slack:].reshape(-1, groups), 0.0, 1.0)
        found[found < _NO_SHARE] = 0.0
        total: F64 = found / found.sum(axis=0)
        return total

    def tighten(self, limit: F64) -> None:
        self.limit = limit
        for row, most in enumerate(limit / self.scale):
            self.program.changeRowBounds(row, -np.inf, float(most) + highs.TOLERANCE)


def _open(it: Answers) -> None:
    """The master with the columns kept so far; constraints are scaled by their limits and money by these columns, which
    may all be worth and take nothing: then by the largest segment.
    """
    import highspy

    m, groups = len(it.limit), int(it.group[-1]) + 1
    use = np.array([np.abs(u).sum(axis=1) for _, u in it.columns]).max(axis=0)
    largest = [np.abs(bucket.take).max(axis=(1, 2), initial=0.0) for bucket in it.into]
    it.scale = np.max([np.abs(it.limit), use, *largest, np.full(m, 1e-300)], axis=0)
    dearest = [float(np.abs(bucket.dy).max(initial=0.0)) for bucket in it.into]
    it.worth = max(*(float(np.abs(v).sum()) for v, _ in it.columns), *dearest, 1e-300)
    given = highspy.HighsLp()
    given.num_col_, given.num_row_ = 0, m + groups
    given.sense_ = highspy.ObjSense.kMaximize
    given.row_lower_ = np.concatenate([np.full(m, -highspy.kHighsInf), np.ones(groups)])
    given.row_upper_ = np.concatenate([it.limit / it.scale + highs.TOLERANCE, np.ones(groups)])
    given.a_matrix_.start_ = np.zeros(1, dtype=np.int32)
    it.program = highs.loaded(given, highs.SIMPLEX)
    if it.slack is not None:
        ends, rows = np.arange(m, dtype=np.int32), np.arange(m, dtype=np.int32)
        price = -it.slack * it.scale / it.worth
        it.program.addCols(m, price, np.zeros(m), np.full(m, highspy.kHighsInf), m, ends, rows, -np.ones(m))
    for column in it.columns:
        _add(it, *column)


def _add(it: Answers, value: F64, use: F64) -> None:
    import highspy

    m, groups = use.shape
    index = np.empty((groups, m + 1), dtype=np.int32)
    index[:, :m], index[:, m] = np.arange(m), m + np.arange(groups)
    entries = np.ones((groups, m + 1))
    entries[:, :m] = (use / it.scale[:, None]).T
    starts = (m + 1) * np.arange(groups, dtype=np.int32)
    low, high = np.zeros(groups), np.full(groups, highspy.kHighsInf)
    it.program.addCols(groups, value / it.worth, low, high, index.size, starts, index.ravel(), entries.ravel())


def planned(flat: FlatProblem, gap: float = GAP) -> tuple[Split, Steps]:
    """The continuous split, and whole steps worth moving to. Raises Unsolved."""
    into = buckets(flat)
    split = maximise(flat, gap, into)
    now, first = steps_now(flat), step(flat, into, split.best)
    if not split.best.any() and (first.use.sum(axis=1) <= flat.limit + SLACK * np.abs(flat.limit)).all():
        return split, paid(flat, first)
    it = Answers(flat.nodes, into, np.maximum(flat.limit, now.use.sum(axis=1)), _grouped(flat.nodes, _GROUPS))
    it.keep(now.worth, now.use)
    it.learn(first.worth, first.use, split.best)
    answers, asked = [now, first], [split.best]
    value, prices = it.mix()
    for wanted in (split.prices, *split.asked[: -_WHOLE - 1 : -1], *(None,) * _MORE):
        if it.bound - value <= _WHOLE_GAP * abs(it.bound):
            break
        at = (it.best + prices) / 2 if wanted is None else wanted
        if not any((at == earlier).all() for earlier in asked):
            asked.append(at)
            answers.append(step(flat, into, at, hard=first))
            it.learn(answers[-1].worth, answers[-1].use, at)
            value, prices = it.mix()
    return split, paid(flat, joined(flat, answers, it.shares(), it.group))


def _grouped(nodes: int, most: int) -> NDArray[np.intp]:
    """(N,) of each node its group: neighbours, about as many in each."""
    groups = max(1, min(most, nodes))
    return np.arange(nodes) * groups // max(1, nodes)


def maximise(flat: FlatProblem, gap: float = GAP, into: list[Bucket] | None = None) -> Split:
    """The best split of all nodes under all constraints, within a relative gap where it can be reached. Raises Unsolved."""
    into = buckets(flat) if into is None else into
    m = len(flat.limit)
    free = pour(flat.nodes, into, np.zeros(m))
    if (free.use.sum(axis=1) <= flat.limit).all():
        value = float(free.value.sum())
        return Split(_flattened(flat, into, free.taken), value, value, np.zeros(m), np.zeros(m), (np.zeros(m),))
    sampled = flat.nodes >= _SAMPLED_FROM
    it = Answers(flat.nodes, into, flat.limit, _grouped(flat.nodes, _FEWER_GROUPS if sampled else _GROUPS))
    now = _now(flat, into)
    taken = [now, free.taken]
    it.keep(*_worth(flat.nodes, m, into, now))
    it.keep(free.value, free.use)
    it.bounds.append((float(free.value.sum()), np.zeros(m)))
    asked = [np.zeros(m)]
    guide = _Guide.on(it, now) if sampled else None
    value, prices = it.mix()
    for _ in range(_ROUNDS):
        if it.bound - value <= gap * max(abs(it.bound), abs(value)) or any((prices == p).all() for p in asked):
            break
        if guide is not None:
            prices = guide.prices()
        answer = it.ask(prices)
        taken.append(answer.taken)
        asked.append(prices)
        if guide is not None and not guide.corrected(answer.use.sum(axis=1), prices):
            guide = None
        value, prices = it.mix()
    return Split(_mixed(flat, it, taken), value, it.bound, prices, it.best, tuple(asked))


def _flattened(flat: FlatProblem, into: list[Bucket], taken: list[F64]) -> F64:
    """(s,) of the buckets' (b, w)."""
    whole = np.zeros(len(flat.dx) + 1)
    for bucket, shares in zip(into, taken, strict=True):
        whole[bucket.seg] = shares
    return whole[:-1]


def _now(flat: FlatProblem, into: list[Bucket]) -> list[F64]:
    """What there is, which keeps all constraints: so there always is a mix."""
    owner = flat.owner
    has = np.append(np.arange(len(flat.dx)) - flat.first[owner] < flat.at[owner], False).astype(np.float64)
    return [has[bucket.seg] for bucket in into]


def _worth(nodes: int, m: int, into: list[Bucket], taken: list[F64]) -> tuple[F64, F64]:
    """(N,) USD per hour and (m, N) use of given shares."""
    value, use = np.zeros(nodes), np.zeros((m, nodes))
    for bucket, shares in zip(into, taken, strict=True):
        value[bucket.nodes] = np.einsum("bw,bw->b", shares, bucket.dy)
        use[:, bucket.nodes] = np.einsum("bw,mbw->mb", shares, bucket.take)
    return value, use


def _mixed(flat: FlatProblem, it: Answers, taken: list[list[F64]]) -> F64:
    shares = it.shares()
    mixed = [np.zeros(bucket.seg.shape) for bucket in it.into]
    for share, answer in zip(shares, taken, strict=True):
        if share.any():
            for k, bucket in enumerate(it.into):
                mixed[k] += share[it.group[bucket.nodes], None] * answer[k]
    return _flattened(flat, it.into, mixed)


@dataclass(slots=True, eq=False)
class _Guide:
    """Prices from every 16th node, whose limit is corrected by what all nodes take too much at them."""

    sample: Answers
    limit: F64
    """(m,) of the whole."""
    ratio: float
    """How many nodes stand for one."""
    left: int = 8
    """Corrections, after which the whole does without."""

    @classmethod
    def on(cls, whole: Answers, now: list[F64]) -> _Guide:
        """`now`: what all nodes have."""
        into = _every(whole.into, _SAMPLE)
        nodes, sampled = sum(len(b.nodes) for b in whole.into), sum(len(b.nodes) for b in into)
        together = np.zeros(sampled, dtype=np.intp)
        sample = Answers(sampled, into, whole.limit * sampled / nodes, together, _dearest(into))
        sample.keep(*_worth(sampled, len(whole.limit), into, [has[::_SAMPLE] for has in now]))
        sample.ask(np.zeros(len(whole.limit)))
        return cls(sample, whole.limit, nodes / sampled)

    def prices(self) -> F64:
        """Those at which the sample just keeps its limits."""
        value, prices = self.sample.mix()
        for _ in range(_ROUNDS):
            if self.sample.bound - value <= _SAMPLE_GAP * max(abs(self.sample.bound), abs(value)):
                break
            # a third of the way asks far fewer: the duals of few columns swing
            self.sample.ask(self.sample.best + _WAY * (prices - self.sample.best))
            value, prices = self.sample.mix()
        return prices

    def corrected(self, use: F64, prices: F64) -> bool:
        """Take what all nodes were over (or under, where that has a price) off the sample's limits."""
        over = use - self.limit
        self.sample.tighten(self.sample.limit - np.where((over > 0) | (prices > 0), over, 0.0) / self.ratio)
        self.left -= 1
        return self.left > 0


def _every(into: list[Bucket], stride: int) -> list[Bucket]:
    """Every node of each bucket whose number in it is a multiple of `stride`, numbered anew."""
    found, begin = [], 0
    for bucket in into:
        seg = bucket.seg[::stride]
        found.append(replace(
            bucket, nodes=np.arange(begin, begin + len(seg)), seg=seg, dy=bucket.dy[::stride],
            take=bucket.take[:, ::stride], need=bucket.need[:, ::stride], room=bucket.room[:, ::stride],
            work=np.empty((2, *seg.shape)),
        ))  # fmt: skip
        begin += len(seg)
    return found


def _dearest(into: list[Bucket]) -> F64:
    """(m,) more than one unit of each constraint can earn."""
    found = np.zeros(len(into[0].take))
    for bucket in into:
        each = np.abs(bucket.take)
        dear = np.divide(np.abs(bucket.dy), each, out=np.zeros_like(each), where=each > 0)
        found = np.maximum(found, dear.max(axis=(1, 2), initial=0.0))
    return 4 * found
