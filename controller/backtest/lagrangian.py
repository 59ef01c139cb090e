"""The tightest bound here on what any split could earn: prices on the resources, and each workload's best path at them.

Put a price of λ_kt USD on a unit of resource k in tick t, and let every workload alone choose its path, paying for what
it holds. What all of them then have, and the prices of the whole capacity, is at least what any split earns that keeps
to the capacity (weak duality), whatever the prices >= 0. A workload alone is one shortest path: exact to the tick, on
its step grid, with its step limit, its hold, its minutes offline and its fees. So the bound knows what a linear program
must relax. It is lowered by better prices: those of the linear program at first, then along the subgradient (capacity
less what is held), which is the dual ascent of Held, Wolfe and Crowder (1974), and the lowest is kept.

A path: V_t(x) = what is had from tick t on with x, free to move. Stay a tick, or move to y and hold it for h ticks:

    V_t(x) = max( g_t(x) + V_{t+1}(x),  max_{|y-x| <= s} Σ_{t..t+h-1} g(y) - cost_t(y) + V_{t+h}(y) )

V at t needs moves only at t+h, so h ticks are found at once, from the last on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.parts import bounds, grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.case import Case
    from controller.backtest.parts import Bounds, Part
    from controller.backtest.world import Terms
    from controller.model import F64

ROUNDS: Final = 30
"""Steps along the subgradient; after 20 the bound moves by less than a thousandth."""
MOST_TURNS: Final = 20_000
"""Holds, over all workloads and the whole time, up to which all rounds are made; 30 days x 4 at 1 h are 2 880."""
PRICE_TICKS: Final = 15
"""Ticks for which a price holds."""
MOST_STATES: Final = 6_000_000
"""Ticks times allowed values of one workload. With more, the linear program alone is the bound."""
_SIZE: Final = 0.05
"""Of the gap to staying put: how far the first step aims."""
_SHRINK: Final = 0.7
"""Each step that finds no lower bound makes the next ones smaller."""
_NEW: Final = 0.3
"""How much of the direction is the newest subgradient; the rest is the direction before, against zigzag."""
_SOUGHT: Final = 512
"""Ticks among which the next move of a path is sought at once."""
_NOTHING: Final = 1e-9
"""Relative: a bound that close to staying put gets no lower."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """The lowest bound found over one part."""

    total: float
    allocation: F64
    """(T, m) the mean of the late rounds' paths, scaled to the capacity: no path that can be taken, but close to the best."""
    paths: F64
    """(T, m) the paths at the bound's prices; together they hold too much at times, and at others leave something."""
    surplus: F64
    """(T,) USD: the worth of what they leave, less that of what they hold too much. With what the paths earn it makes
    the total.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """What one workload could earn at each of its allowed values, before prices."""

    limit: Bounds
    values: F64
    """(L,) allowed, ascending."""
    first: F64
    """(T+1,) USD earned before each tick with the first allocation."""
    before: F64
    """(T+1, L) USD earned before each tick with each value."""
    cost: F64
    """(T, L) USD lost by a move to each value at each tick."""


def tightened(case: Case, on: Terms, part: Part, prices: F64) -> Bound | None:
    """The bound of one part, from prices (K, T) on. None where something fills slowly (its path depends on more than where
    it is now) or has too many allowed values.
    """
    if any(i in on.fills or len(grid(case, i)) * case.truth.ticks > MOST_STATES for i in part.members):
        return None
    paths = [path_of(case, on, i) for i in part.members]
    return _Ascent(part, paths).run(np.array(prices))


def path_of(case: Case, on: Terms, i: int) -> Path:
    limit, values = bounds(case, i), grid(case, i)
    earns = _earns(on, i, values)
    away = case.workloads[i].traits.offline_minutes * 60 / case.truth.tick
    cost = np.full_like(earns, case.workloads[i].traits.fees_usd)
    for j in range(min(int(np.ceil(away)), len(earns))):
        lost = earns[j:] * min(1.0, away - j)
        cost[: len(earns) - j] += lost if j < limit.hold else np.minimum(lost, 0.0)  # outages may overlap from here on
    return Path(limit, values, _summed(_earns(on, i, np.array([limit.initial])))[:, 0], _summed(earns), cost)


def _earns(on: Terms, i: int, values: F64) -> F64:
    """(T, L) USD in each tick at each value."""
    used = np.minimum(on.demand[:, i, None], values)
    return np.asarray(used * on.worth[:, i, None] - values * on.energy[:, i, None])


def _summed(earns: F64) -> F64:
    return np.vstack([np.zeros((1, earns.shape[1])), np.cumsum(earns, axis=0)])


def best_path(path: Path, price: F64) -> tuple[float, F64]:
    """What one workload has at most at a price of its unit (T,), and the path (T,) by which."""
    paid = np.concatenate([[0.0], np.cumsum(price)])
    earned = path.before - paid[:, None] * path.values
    stays = path.first - paid * path.limit.initial
    ticks, hold = len(price), path.limit.hold
    allocation = np.full(ticks, path.limit.initial)
    if not (path.limit.grows or path.limit.shrinks) or not len(path.values):
        return float(stays[-1]), allocation
    ahead, moving = _backwards(path, earned)
    near = _near(path, path.limit.initial)
    begins = stays[:-1] + moving[:, near].max(axis=1, initial=-np.inf)
    tick = int(begins.argmax())
    if not begins[tick] > stays[-1]:
        return float(stays[-1]), allocation
    total, at = float(begins[tick]), int(near[int(moving[tick, near].argmax())])
    while tick < ticks:
        allocation[tick:] = path.values[at]
        tick, at = _next(path, earned, ahead, moving, (min(tick + hold, ticks), at))
    return total, allocation


def _next(path: Path, earned: F64, ahead: F64, moving: F64, place: tuple[int, int]) -> tuple[int, int]:
    """When the best path moves next from a tick and value on, and where to; the end where it never does."""
    tick, at = place
    worth = ahead[tick, at]
    near = _near(path, float(path.values[at]))
    noise = 1e-12 * max(1.0, abs(worth))
    while tick < len(moving) and earned[-1, at] < worth - noise:
        until = min(tick + _SOUGHT, len(moving))
        enough = moving[tick:until, near].max(axis=1) + earned[tick:until, at] >= worth - noise
        if enough.any():
            tick += int(enough.argmax())
            return tick, int(near[int(moving[tick, near].argmax())])
        tick = until
    return len(moving), at


def _near(path: Path, value: float) -> NDArray[np.intp]:
    """Indices of the values that one move can lead to."""
    far = np.abs(path.values - value) > path.limit.limit * (1 + 1e-9)
    far |= (path.values > value) & (not path.limit.grows) | (path.values < value) & (not path.limit.shrinks)
    return np.flatnonzero(~far)


def _backwards(path: Path, earned: F64) -> tuple[F64, F64]:
    """(T+h, L) V and what was earned before, and (T, L) what is had from a tick on by moving to a value in it."""
    ticks, hold, reach = len(path.cost), path.limit.hold, _reach(path)
    ahead, spent, moving = np.empty((ticks + hold, earned.shape[1])), earned[:-1] + path.cost, np.empty_like(path.cost)
    ahead[ticks:] = earned[-1]
    for last in range(ticks, 0, -hold):
        first = max(0, last - hold)
        np.subtract(ahead[first + hold : last + hold], spent[first:last], out=moving[first:last])
        best = _widest(moving[first:last], *reach)
        best += earned[first:last]
        np.maximum.accumulate(best[::-1], axis=0, out=best[::-1])
        np.maximum(best, ahead[last], out=ahead[first:last])
    return ahead, moving


def _reach(path: Path) -> tuple[int, int]:
    """Values down and up that one move can lead to."""
    if len(path.values) < 2:
        return 0, 0
    most = int(path.limit.limit / (path.values[1] - path.values[0]) * (1 + 1e-9))
    return most * path.limit.shrinks, most * path.limit.grows


def _widest(found: F64, down: int, up: int) -> F64:
    """The largest of each row's entries from `down` before to `up` after, in as many turns as the width has bits."""
    width = len(found[0])
    down, up = min(down, width), min(up, width)
    wide = np.full((len(found), width + down + up), -np.inf)
    wide[:, down : down + width] = found
    window, whole = 1, down + up + 1
    while window < whole:
        shift = min(window, whole - window)
        wide = np.maximum(wide[:, :-shift], wide[:, shift:])
        window += shift
    return wide


class _Ascent:
    """Prices, one after the other, each the better by what the workloads hold too much or too little at it."""

    def __init__(self, part: Part, paths: list[Path]) -> None:
        self.part, self.paths, self.ticks = part, paths, len(paths[0].cost)
        self.capacity = np.maximum(part.capacity, 1e-300)[:, None]
        self.starts = np.arange(0, self.ticks, PRICE_TICKS)
        turns = sum(self.ticks / path.limit.hold for path in paths)
        self.rounds = max(4, min(ROUNDS, int(ROUNDS * MOST_TURNS / max(turns, 1.0))))

    def run(self, prices: F64) -> Bound:
        whole = prices * self.capacity
        best, held = self._dual(whole)
        best_held, stays = held, sum(float(path.first[-1]) for path in self.paths)
        late, direction, size = [held], np.zeros_like(whole), _SIZE
        for number in range(self.rounds):
            slope = self._slope(whole, held)
            direction = slope if number == 0 else _NEW * slope + (1 - _NEW) * direction
            norm, gap = float((direction**2).sum()), best - stays
            if norm <= 0 or gap <= _NOTHING * abs(best):
                break
            trial = np.maximum(0.0, whole - size * gap / norm * direction)
            total, held = self._dual(trial)
            late = [*late[-(self.rounds // 2) :], held]
            if total < best:
                best, whole, best_held = total, trial, held
            else:
                size *= _SHRINK
        surplus = (whole * (1 - self._share(best_held))).sum(axis=0)
        return Bound(best, self._within(np.mean(late, axis=0)), best_held, surplus)

    def _dual(self, whole: F64) -> tuple[float, F64]:
        """The bound at prices of the whole capacities (K, T), and the paths (T, m) behind it."""
        of_unit = (
            (self.part.needs.T @ (whole / self.capacity)) if len(whole) else np.zeros((len(self.paths), self.ticks))
        )
        found = [best_path(path, price) for path, price in zip(self.paths, of_unit, strict=True)]
        return sum(total for total, _ in found) + float(whole.sum()), np.stack([path for _, path in found], axis=1)

    def _share(self, held: F64) -> F64:
        """(K, T) of the capacities that paths (T, m) hold."""
        return np.asarray(self.part.needs @ held.T / self.capacity)

    def _slope(self, whole: F64, held: F64) -> F64:
        left = np.add.reduceat(1 - self._share(held), self.starts, axis=1)
        count = np.diff(self.starts, append=self.ticks)
        slope = np.repeat(left / count, count, axis=1)
        return np.where((whole <= 0) & (slope > 0), 0.0, slope)

    def _within(self, held: F64) -> F64:
        """Scaled down where more is held than there is."""
        for each, share in zip(self.part.needs, self._share(held), strict=True):
            over = np.maximum(share, 1.0)[:, None]
            held = np.where(each > 0, held / over, held)
        return held
