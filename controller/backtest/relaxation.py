"""A multi-period linear program over one part of a case, solved by HiGHS: an upper bound on what any split could earn.

Time is cut into periods of P ticks. For a workload w and a period p, X is the mean of its allocation over the ticks of p,
U that of what earns. Whatever path x_t a controller takes under the hold h (in ticks) and the step limit s, its means
satisfy all of the following, and its earnings are at most the objective's, so the optimum is an upper bound:

    earns     Σ v_t min(x_t, D_t) <= V Σ min(x_t, D_t) with V = max v_t in p, so it is at most P V U with U <= X and
              U <= Σ v_t D_t / (P V). Energy is charged at the least tariff of p, moving costs nothing.
    capacity  Σ r_w x_t <= C at each tick, so for the means too.
    hold      among h boundaries of ticks in a row lies one move at most, of s at most. So x_{t+n} and x_t differ by at
              most s ceil(n/h), and so do means n ticks apart: |X_{p+j} - X_p| <= s ceil(jP/h), and against the start
              |X_p - x_0| <= s ceil((p+1)P/h). The means vary no more than the path: over k+1 periods with (k+1)P <= h+1
              there is one move at most, so the k differences of neighbours sum to s at most.
    fill      stored s_t <= x_t, s_t <= s_{t-1} + rise_t, so the means obey S <= X and S_{p+1} <= S_p + the rise between
              the means of the periods. What stops at 0 when more is deleted than is there is let back in at the most
              that it can be. X is at least what lay there at the start and was not deleted since.

The whole numbers of steps, moving costs, and the hold beyond these are relaxed: `lagrangian.py` knows those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.parts import Bounds, bounds
from controller.plan import highs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.case import Case
    from controller.backtest.parts import Part
    from controller.backtest.world import Terms
    from controller.model import F64

PERIOD: Final = 15
"""Ticks of a period."""
FILL_PERIOD: Final = 60
"""Ticks, where slow fill is among the workloads."""
MOST_PERIODS: Final = 4000
"""In one program. A longer time is solved in stretches, each of which may begin with any split: an upper bound still. Where
something fills slowly the periods are longer instead, for what is stored must be carried on.
"""
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """The optimum over one part. (T, m) and (K, T)."""

    total: float
    allocation: F64
    earned: F64
    """By tick: a period's earnings in the proportion of its v D, so that they sum to the total."""
    prices: F64
    """(K, T) USD that one more unit of each resource would have earned in each tick."""


@dataclass(frozen=True, slots=True, eq=False)
class _Means:
    """One stretch of time, by period. (n, m)."""

    count: F64
    """(n,) ticks of each."""
    value: F64
    """V: USD per unit and tick at best."""
    worth: F64
    """Σ v D: USD that all of the demand would earn."""
    energy: F64
    """USD per unit and tick at the least."""
    low: F64
    high: F64
    rise: F64
    """Fill: by how much the mean of what is stored can rise from the period before, at most."""
    first: bool
    """Whether it begins with the case's first split."""


def relax(case: Case, on: Terms, part: Part) -> Relaxed:
    """The linear program of one part. Raises Unsolved."""
    limits = [bounds(case, i) for i in part.members]
    ticks, fills = case.truth.ticks, any(limit.fill for limit in limits)
    period = max(FILL_PERIOD, -(-ticks // MOST_PERIODS)) if fills else PERIOD
    stretch = ticks if fills else MOST_PERIODS * period
    found = [
        _solved(case, on, part, limits, slice(first, min(first + stretch, ticks)), period)
        for first in range(0, ticks, stretch)
    ]
    return Relaxed(
        sum(one.total for one in found),
        np.concatenate([one.allocation for one in found]),
        np.concatenate([one.earned for one in found]),
        np.concatenate([one.prices for one in found], axis=1),
    )


def _solved(case: Case, on: Terms, part: Part, limits: list[Bounds], when: slice, period: int) -> Relaxed:
    means = _means(case, on, part, limits, when, period)
    program = _Program(part, limits, means, period)
    x, u, price = program.solve()
    of_tick = np.arange(when.stop - when.start) // period
    columns = list(part.members)
    allocation = x[of_tick]
    worth = on.worth[when, columns] * _most(case, on, columns, when)
    share = np.divide(u * means.value * means.count[:, None], means.worth, out=np.zeros_like(u), where=means.worth > 0)
    earned = share[of_tick] * worth - means.energy[of_tick] * allocation
    return Relaxed(float(earned.sum()), allocation, earned, (price / means.count)[:, of_tick])


def _most(case: Case, on: Terms, columns: list[int], when: slice) -> F64:
    """(t, m) what could be in use at each tick with all the room there can ever be."""
    found = on.demand[when, columns].copy()
    for place, i in enumerate(columns):
        if i in on.fills:
            found[:, place] *= _unlimited(on, i, bounds(case, i).high)[when]
    return found


def _unlimited(on: Terms, i: int, room: float) -> F64:
    """(T,) the most that a fill workload can have stored at each tick."""
    levels, stored = [], float(on.stored[i])
    for change in on.rise[:, i].tolist():
        stored = max(0.0, min(stored + change, max(room, stored)))
        levels.append(stored)
    return np.array(levels)


def _kept(on: Terms, i: int) -> tuple[F64, F64]:
    """(T,) what is left of a fill workload's first content, and how much more than there may be is deleted at each tick."""
    levels, missing, stored = [], [], float(on.stored[i])
    for change in on.rise[:, i].tolist():
        missing.append(max(0.0, -(stored + change)) if change < 0 else 0.0)
        stored = max(0.0, stored + min(change, 0.0))
        levels.append(stored)
    return np.array(levels), np.array(missing)


def _means(case: Case, on: Terms, part: Part, limits: list[Bounds], when: slice, period: int) -> _Means:
    columns, first = list(part.members), when.start == 0
    starts = np.arange(0, when.stop - when.start, period)
    count = np.diff(starts, append=when.stop - when.start).astype(np.float64)
    worth, most = on.worth[when, columns], _most(case, on, columns, when)
    boundary = (np.arange(len(starts)) + 1.0) * period
    low, high, rise = (np.zeros((len(starts), len(columns))) for _ in range(3))
    for place, (i, limit) in enumerate(zip(columns, limits, strict=True)):
        reach = limit.limit * np.ceil(boundary / limit.hold) if first else np.inf
        low[:, place] = np.maximum(limit.low, limit.initial - reach)
        high[:, place] = np.minimum(limit.high, limit.initial + reach)
        if limit.fill:
            kept, missing = _kept(on, i)
            low[:, place] = np.maximum(low[:, place], np.add.reduceat(kept[when], starts) / count)
            level = np.add.reduceat(np.cumsum(on.rise[:, i] + missing)[when], starts) / count
            rise[:, place] = np.diff(level, prepend=-on.stored[i])
    return _Means(
        count, np.maximum.reduceat(worth, starts, axis=0), np.add.reduceat(worth * most, starts, axis=0),
        np.minimum.reduceat(on.energy[when, columns], starts, axis=0), low, np.maximum(low, high), rise, first,
    )  # fmt: skip


class _Program:
    """Columns: X, U, S (of fill: what is stored), and d, by which X differs from the period before; all in shares of the
    workload's maximum.
    """

    def __init__(self, part: Part, limits: list[Bounds], means: _Means, period: int) -> None:
        self.part, self.limits, self.means, self.period = part, limits, means, period
        self.n, self.m = means.value.shape
        self.scale = np.array([max(limit.high, 1e-300) for limit in limits])
        self.x, self.u, self.s, self.d = np.arange(4 * self.n * self.m).reshape(4, self.n, self.m)
        self._entries: list[tuple[NDArray[np.intp], F64]] = []
        self._limits: list[F64] = []

    def solve(self) -> tuple[F64, F64, F64]:
        """X and U (n, m) in base units, and (K, n) USD that one more unit of each resource would earn in the period."""
        self._capacity()
        for place, limit in enumerate(self.limits):
            self._steps(limit, place)
            if limit.fill:
                self._add([self.u[:, place], self.s[:, place]], [1.0, -1.0], 0.0)
                self._add([self.s[:, place], self.x[:, place]], [1.0, -1.0], 0.0)
                rise = self.means.rise[:, place] / self.scale[place]
                self._add([self.s[:1, place]], [1.0], rise[:1])
                self._add([self.s[1:, place], self.s[:-1, place]], [1.0, -1.0], rise[1:])
            else:
                self._add([self.u[:, place], self.x[:, place]], [1.0, -1.0], 0.0)
        found, price, unit = self._run()
        rows = np.abs(price[: len(self.part.capacity) * self.n].reshape(-1, self.n))
        capacity = np.maximum(self.part.capacity, 1e-300)[:, None]
        return found[self.x] * self.scale, found[self.u] * self.scale, rows * unit / capacity

    def _add(self, columns: Sequence[NDArray[np.intp]], values: Sequence[float] | F64, limit: F64 | float) -> None:
        """Rows Σ columns x values <= limit, as many as each of the columns (r,) has entries."""
        together = np.stack(columns, axis=1)
        self._entries.append((together, np.broadcast_to(np.asarray(values), together.shape)))
        self._limits.append(np.broadcast_to(np.asarray(limit, np.float64), len(together)))

    def _capacity(self) -> None:
        for capacity, each in zip(self.part.capacity.tolist(), self.part.needs, strict=True):
            self._add(list(self.x.T), each * self.scale / max(capacity, 1e-300), 1.0 if capacity > 0 else 0.0)

    def _steps(self, limit: Bounds, place: int) -> None:
        """What hold and step limit leave of the changes between periods."""
        most, hold, period = limit.limit / self.scale[place], limit.hold, self.period
        together, lag = (hold + 1) // period - 1, max(1, hold // period)
        x, d = self.x[:, place], self.d[:, place]
        whole = x[:-1] if self.means.count[-1] < period else x  # means of unequal periods lie further apart
        for j in {1, lag} if together < 2 else {lag}:
            allowed = most * np.ceil(j * period / hold)
            if j < len(whole) and allowed < 1:
                self._add([whole[j:], whole[:-j]], [1.0, -1.0], allowed)
                self._add([whole[j:], whole[:-j]], [-1.0, 1.0], allowed)
        if together >= 2 and self.n > 1:
            self._add([x[1:], x[:-1], d[1:]], [1.0, -1.0, -1.0], 0.0)
            self._add([x[1:], x[:-1], d[1:]], [-1.0, 1.0, -1.0], 0.0)
            window = min(together, self.n - 1)
            self._add([d[1 + k : self.n - window + 1 + k] for k in range(window)], [1.0] * window, most)

    def _run(self) -> tuple[F64, F64, float]:
        means, count = self.means, self.means.count[:, None] * self.scale
        most = np.divide(means.worth, means.value * count, out=np.zeros_like(count), where=means.value > 0)
        nothing, free = np.zeros_like(count), np.full_like(count, np.inf)
        gain = np.stack([-means.energy * count, means.value * count, nothing, nothing]).ravel()
        low = np.stack([means.low / self.scale, nothing, nothing, nothing]).ravel()
        high = np.stack([means.high / self.scale, most, free, free]).ravel()
        unit = float(np.abs(gain).max()) or 1.0
        x, price = _highs(self._entries, np.concatenate(self._limits), gain / unit, low, high)
        return x, price, unit


def _highs(entries: list[tuple[NDArray[np.intp], F64]], limit: F64, gain: F64, low: F64, high: F64) -> tuple[F64, F64]:
    """Maximise gain x with rows <= limit and low <= x <= high: x, and what each row's limit is worth."""
    import highspy  # the heaviest import of all, and only the clairvoyant of a backtest needs it here

    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(gain), len(limit)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_, program.col_lower_, program.col_upper_ = gain, low, high
    program.row_lower_, program.row_upper_ = np.full(len(limit), -highspy.kHighsInf), limit
    widths = np.concatenate([np.full(len(columns), columns.shape[1]) for columns, _ in entries])
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = np.concatenate([[0], np.cumsum(widths)]).astype(np.int32)
    matrix.index_ = np.concatenate([columns.ravel() for columns, _ in entries]).astype(np.int32)
    matrix.value_ = np.concatenate([values.ravel() for _, values in entries])
    tolerances = dict.fromkeys(("primal_feasibility_tolerance", "dual_feasibility_tolerance"), _TOLERANCE)
    solution = highs.solve(highs.loaded(program, highs.SIMPLEX | tolerances))
    return np.array(solution.col_value, np.float64), np.array(solution.row_dual, np.float64)
