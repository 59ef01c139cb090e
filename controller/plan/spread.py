"""How far the past leaves the gain of sets of moves open: each looked up on its curve, thousands at once.

Replicates were all drawn with the same weights, so that what rises and falls together does so here too (economics.md 4).
Where there are thousands of curves they carry no replicates but their influence, by hours that are the same for all: the
spread is then a normal one, its variance Σ over hours of (Σ over moves of what that hour moves each)². Where both meet,
they are taken to be apart. A curve with neither is certain. USD per hour; n moves in G sets, none of them empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, inf, pi, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import HOUR
from controller.estimate.windows import recent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Curve, Move

    NDInt = NDArray[np.intp]

RATE, COUNTED, USD = range(3)
"""What is summed over the moves of a set: the gain, what of it counts, and that over each workload's horizon."""
_TENTH: Final = 1.2815515655446004
"""Standard deviations from the mean of a normal spread to its 10 % and 90 %."""
_ROOT: Final = sqrt(2)
_FEWEST: Final = 6
"""Windows under which nothing is known of how they differ."""
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(32)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """n moves of G sets, and where they lie on their curves."""

    curves: list[Curve]
    """(n) the curve of each."""
    of: NDInt
    """(n,) the set of each."""
    sets: int
    corner: NDInt
    """(n, 4) the breakpoints around the target and around the start."""
    weight: F64
    """(n, 4) what each of them counts for in f(to) - f(from)."""
    first: NDInt
    """(n,) where the breakpoints of each begin in all of them, one after the other."""
    gain: F64
    """(n,) USD per hour."""
    hours: F64
    """(n,) the horizon of each."""
    scale: F64
    """(n, 3) what is taken of a gain for RATE, COUNTED, USD."""

    def summed(self, values: F64) -> F64:
        """(G,) the sum of the values (n,) over each set."""
        found: F64 = np.bincount(self.of, weights=values, minlength=self.sets).astype(np.float64, copy=False)
        return found

    def along(self, rows: F64) -> F64:
        """(R, n) f(to) - f(from) for rows (R, Σ(k+1)) of values at all breakpoints."""
        found: F64 = (rows[:, self.first[:, None] + self.corner] * self.weight).sum(axis=2)
        return found


def batch(sets: Sequence[Sequence[Move]], curves: Mapping[str, Curve], credit: Mapping[str, float]) -> Batch:
    """`credit`: key -> what part of a positive gain counts; absent: all. KeyError where a move has no curve."""
    moves = [move for those in sets for move in those]
    own = [curves[move.key] for move in moves]
    size = np.array([len(curve.x) for curve in own])
    first = np.cumsum(size) - size
    x, y = np.concatenate([curve.x for curve in own]), np.concatenate([curve.y for curve in own])
    ends = np.array([[move.to for move in moves], [move.from_ for move in moves]])
    left, right, part = _between(x, first, size, ends)
    corner = np.stack([left[0], right[0], left[1], right[1]], axis=1)
    weight = np.stack([1 - part[0], part[0], part[1] - 1, -part[1]], axis=1)
    gain = (y[first[:, None] + corner] * weight).sum(axis=1)
    counts = np.where(gain > 0, [credit.get(move.key, 1.0) for move in moves], 1.0) if credit else np.ones(len(moves))
    hours = np.array([curve.horizon for curve in own]) / HOUR
    return Batch(
        curves=own, of=np.repeat(np.arange(len(sets)), [len(those) for those in sets]), sets=len(sets), corner=corner,
        weight=weight, first=first, gain=gain, hours=hours,
        scale=np.stack([np.ones(len(moves)), counts, counts * hours], axis=1),
    )  # fmt: skip


def rates(curves: Sequence[Curve], at: Sequence[float]) -> F64:
    """(n,) USD per hour of each curve at an allocation."""
    if not curves:
        return np.zeros(0)
    size = np.array([len(curve.x) for curve in curves])
    first = np.cumsum(size) - size
    x, y = np.concatenate([curve.x for curve in curves]), np.concatenate([curve.y for curve in curves])
    left, right, part = _between(x, first, size, np.array(at, dtype=np.float64))
    found: F64 = y[first + left] * (1 - part) + y[first + right] * part
    return found


def _between(x: F64, first: NDInt, size: NDInt, at: F64) -> tuple[NDInt, NDInt, F64]:
    """The breakpoints left and right of the amounts (..., n), each on its own curve, and what part of the way it lies.

    All curves are searched at once: the breakpoints of curve i are laid from 2i to 2i + 1.
    """
    start, end = x[first], x[first + size - 1]
    length = np.where(end > start, end - start, 1.0)
    base = 2.0 * np.arange(len(size))
    line = np.repeat(base, size) + (x - np.repeat(start, size)) / np.repeat(length, size)
    inside = np.minimum(np.maximum((at - start) / length, 0.0), 1.0)
    found = np.searchsorted(line, base + inside) - first
    right = np.minimum(np.maximum(found, np.minimum(1, size - 1)), size - 1)
    left = np.maximum(right - 1, 0)
    begins = x[first + left]
    width = x[first + right] - begins
    return left, right, np.minimum(np.maximum((at - begins) / np.where(width > 0, width, 1.0), 0.0), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """What the past alone leaves open; each (G,)."""

    low: F64
    """USD per hour: 10 % of the gain."""
    high: F64
    """90 %."""
    sure: F64
    """How likely what counts is above nothing, and over the horizons above the cost."""


def spread(of: Batch, cost: F64) -> Spread:
    """`cost`: (G,) USD of each set."""
    drawn = replicated(of)
    ordered = np.sort(drawn[RATE], axis=1)
    low, high = _quantile(ordered, 0.1), _quantile(ordered, 0.9)
    # over horizons that differ, what lasts longer could pay for a rate that falls
    sure = ((drawn[USD] > cost[:, None]) & (drawn[COUNTED] > 0) & np.isfinite(drawn[USD])).mean(axis=1)
    by_hour = _by_hour(of)
    if by_hour is None:
        return Spread(low, high, sure)
    closed, variances = by_hour
    beside = drawn - drawn.mean(axis=2, keepdims=True)
    pairs = zip((RATE, COUNTED, USD, COUNTED), (RATE, COUNTED, USD, USD), strict=True)
    rate, counted, usd, shared = variances + [(beside[one] * beside[other]).mean(axis=1) for one, other in pairs]
    mean = [of.summed(of.gain * of.scale[:, what]) for what in (RATE, COUNTED, USD)]
    low = np.where(closed, mean[RATE] - _TENTH * np.sqrt(rate), low)
    high = np.where(closed, mean[RATE] + _TENTH * np.sqrt(rate), high)
    product = np.sqrt(counted * usd)[closed]
    sure[closed] = _both(
        _deviations(mean[COUNTED][closed], counted[closed]),
        _deviations((mean[USD] - cost)[closed], usd[closed]),
        shared[closed] / np.where(product > 0, product, 1.0),
    )
    return Spread(low, high, sure)


def replicated(of: Batch) -> F64:
    """(3, G, B) RATE, COUNTED and USD of each set in every replicate; curves without any are the same in all."""
    many = [i for i, curve in enumerate(of.curves) if len(curve.replicates) > 1]
    drawn = np.zeros((3, of.sets, max((len(of.curves[i].replicates) for i in many), default=1)))
    certain = of.gain.copy()
    certain[many] = 0.0
    for what in (RATE, COUNTED, USD):
        drawn[what] += of.summed(certain * of.scale[:, what])[:, None]
    for i in many:
        row = of.curves[i].replicates.take(of.corner[i], axis=1) @ of.weight[i]
        drawn[:, of.of[i]] += of.scale[i][:, None] * row
    return drawn


def windowed(of: Batch) -> tuple[NDArray[np.bool_], F64, F64] | None:
    """Of which sets (G,) windows of the past tell what a horizon may bring, and where 10 % and 90 % of them lie beside their
    mean (G,): at most and at least 0. None where of no set.
    """
    longest = max((len(curve.windows) for curve in of.curves if curve.windows is not None), default=0)
    if not longest:
        return None
    lacking = np.array([curve.windows is None or len(curve.windows) < longest for curve in of.curves])
    rows = [
        np.zeros((longest, len(curve.x))) if lacks or curve.windows is None else curve.windows
        for curve, lacks in zip(of.curves, lacking, strict=True)
    ]
    each = of.along(np.concatenate(rows, axis=1))
    together = np.zeros((of.sets, longest))
    np.add.at(together, of.of, each.T)
    seen = np.isfinite(together)
    told = (of.summed(lacking.astype(np.float64)) == 0) & (seen.sum(axis=1) >= _FEWEST)
    least, most = _weighted_tenths(np.where(seen, together, np.inf), np.where(seen, recent(longest), 0.0))
    return told, np.where(told, np.minimum(least, 0.0), 0.0), np.where(told, np.maximum(most, 0.0), 0.0)


def _weighted_tenths(values: F64, weight: F64) -> tuple[F64, F64]:
    """(G,) twice: the values (G, n) at which 10 % and 90 % of their weight lie below."""
    order = np.argsort(values, axis=1, kind="stable")
    values, weight = (np.take_along_axis(part, order, axis=1) for part in (values, weight))
    middle = (np.cumsum(weight, axis=1) - weight / 2) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    last = np.maximum((weight > 0).sum(axis=1) - 1, 0)
    at = [np.minimum((middle < part).sum(axis=1), last)[:, None] for part in (0.1, 0.9)]
    low, high = (np.take_along_axis(values, place, axis=1)[:, 0] for place in at)
    return low, high


def _quantile(ordered: F64, part: float) -> F64:
    """(G,) of rows (G, B) that ascend, by lines between their values."""
    at = part * (ordered.shape[1] - 1)
    left = int(at)
    right = min(left + 1, ordered.shape[1] - 1)
    found: F64 = ordered[:, left] + (at - left) * (ordered[:, right] - ordered[:, left])
    return found


def closed_form(curve: Curve) -> bool:
    """Whether its spread is told by its influence and not by replicates."""
    return curve.influence is not None and len(curve.replicates) <= 1


def _by_hour(of: Batch) -> tuple[NDArray[np.bool_], F64] | None:
    """(G,) which sets have curves in closed form, and (4, G) of those curves the variances of RATE, COUNTED and USD and
    the covariance of the last two; None where no curve is.
    """
    those = [i for i, curve in enumerate(of.curves) if closed_form(curve)]
    if not those:
        return None
    # what each hour moves each move: the values at the four corners, for all moves one below the other
    taken = [
        rows.take(of.corner[i], axis=1) for i in those if (rows := of.curves[i].influence) is not None
    ]  # closed_form
    columns = [columns_of(of.curves[i]) for i in those]
    owner = np.repeat(those, [len(each) for each in columns])
    moved = (np.concatenate(taken) * of.weight[owner]).sum(axis=1)
    hour = np.concatenate(columns)
    hour = hour - hour.min(initial=0)
    hours = int(hour.max(initial=0)) + 1
    # a set has few of all hours there are: those that two curves of it share are one
    pairs, at = np.unique(of.of[owner] * hours + hour, return_inverse=True)
    rate, counted, usd = (np.bincount(at, moved * of.scale[owner, what], len(pairs)) for what in (RATE, COUNTED, USD))
    squares = [np.bincount(pairs // hours, v, of.sets) for v in (rate**2, counted**2, usd**2, counted * usd)]
    closed = np.zeros(of.sets, dtype=np.bool_)
    closed[of.of[those]] = True
    return closed, np.array(squares)


def columns_of(curve: Curve) -> NDInt:
    """(c,) the hours of a curve's influence; those of one that does not say which are its first, second, third ..."""
    if curve.columns is not None:
        return curve.columns
    return np.arange(0 if curve.influence is None else len(curve.influence))


def _deviations(mean: F64, variance: F64) -> F64:
    """By how many standard deviations figures are expected above 0; exactly nothing is not above it, nor the unknown."""
    sign = np.where(mean > 0, inf, -inf)
    known = np.isfinite(mean) & np.isfinite(variance)
    found = np.divide(mean, np.sqrt(np.where(variance > 0, variance, 1.0)), out=sign, where=known & (variance > 0))
    return np.where(known, found, -inf)


def both(h: float, k: float, correlation: float) -> float:
    """P(X > -h and Y > -k) of two standard normal figures: Φ(h) Φ(k) + 1/2π ∫ exp(-(h² - 2hk sin t + k²) / 2cos² t) dt,
    t from 0 to asin of their correlation (Plackett 1954). h = k = 0 at 0.5: 1/3; entirely together: the smaller of both.
    """
    return float(_both(np.array([h]), np.array([k]), np.array([correlation]))[0])


def _both(h: F64, k: F64, correlation: F64) -> F64:
    """(n,) of many."""
    one, other = _normal(h), _normal(k)
    found = np.where(correlation > 0, np.minimum(one, other), np.maximum(0.0, one + other - 1))
    apart = np.isfinite(h) & np.isfinite(k) & (np.abs(correlation) < 1 - 1e-9)
    found = np.where(np.isfinite(h) & np.isfinite(k), found, np.minimum(one, other))
    if not apart.any():
        return found
    h, k, angle = (part[apart, None] for part in (h, k, np.arcsin(np.clip(correlation, -1, 1))))
    t = angle * (_NODES + 1) / 2
    rest = np.exp(-(h * h - 2 * h * k * np.sin(t) + k * k) / (2 * np.cos(t) ** 2)) @ _NODE_WEIGHTS
    found[apart] = np.clip((one * other)[apart] + angle[:, 0] / 2 * rest / (2 * pi), 0.0, 1.0)
    return found


def _normal(x: F64) -> F64:
    return np.array([0.5 * erfc(-each / _ROOT) for each in x.tolist()])
