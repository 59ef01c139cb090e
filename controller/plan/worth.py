"""What a set of Moves is worth: gain with its interval, confidence, cost, net benefit. USD and USD per hour.

What more would be used than was ever seen in use is supposed, not known: the interval reaches from none of it to all of
it. The gain of a *fixed* set of moves is looked up in every replicate of the curves, which were all drawn with the same
weights, so that what rises and falls together does so here too (economics.md 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt, tanh
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import HALF_LIFE, HOUR
from controller.estimate.words import money, odds
from controller.model import Interval

if TYPE_CHECKING:
    from controller.model import F64, Curve, Move

_ROUNDING: Final = 1e-12
_SHRINKS_ALONE: Final = "; what is given up costs more energy than it earns"
"""No curve falls but by its energy, so that is why somebody gives up what nobody takes."""
_MOST_SUPPOSED: Final = 2
"""Clauses that one sentence can bear."""
_MEAN_LIFE: Final = HALF_LIFE / HOUR / float(np.log(2))
"""Hours: the kernel's weights sum to this for an endless history."""


@dataclass(frozen=True, slots=True)
class Worth:
    gain: Interval
    """USD per hour."""
    cost_usd: float
    net_usd: float
    """Σ gain x each workload's horizon - cost."""
    confidence: float
    """Share of replicates in which Σ gain x horizon > cost and Σ gain > 0, at most `surest`."""
    supposes: tuple[str, ...] = ()
    """What it rests on that no history can tell, as clauses after "if"."""
    only_shrinks: bool = False
    """Nobody takes what is given up."""

    def words(self, on: float | None = None) -> str:
        """For sentences: +0.038 USD/h (0 to 0.06) on 0.24, 97% sure if ..."""
        gain = self.gain
        interval = f"{money(gain.expected, signed=True)} USD/h ({money(gain.low, 3)} to {money(gain.high, 3)})"
        rate = "" if on is None else f" on {money(on)}"
        supposed = f" if {' and if '.join(self.supposes[:_MOST_SUPPOSED])}" if self.supposes else ""
        why = _SHRINKS_ALONE if self.only_shrinks and gain.expected > 0 else ""
        return f"{interval}{rate}, {odds(self.confidence)} sure{supposed}{why}"


def weigh(moves: Sequence[Move], curves: Mapping[str, Curve]) -> Worth:
    """The worth of moves whose workloads all have a curve (KeyError where one has none)."""
    if not moves:
        return Worth(Interval(0.0, 0.0, 0.0), 0.0, 0.0, 0.0)
    cost = sum(move.cost_usd for move in moves)
    expected = gained = below = above = 0.0
    replicated = gained_replicated = np.zeros(1)
    for move in moves:
        curve = curves[move.key]
        hours = curve.horizon / HOUR
        one = float(gain_rows(curve.y[None, :], curve.x, move.from_, move.to)[0])
        many = gain_rows(curve.replicates, curve.x, move.from_, move.to)
        expected, gained = expected + one, gained + one * hours
        replicated, gained_replicated = replicated + many, gained_replicated + many * hours
        if curve.unseen is not None:
            supposed = gain_rows(curve.unseen, curve.x, move.from_, move.to) - one
            below, above = below + min(0.0, float(supposed.min())), above + max(0.0, float(supposed.max()))
    low, high = np.quantile(replicated, (0.1, 0.9))
    # over horizons that differ, what lasts longer could pay for a rate that falls
    pays = (gained_replicated > cost) & (replicated > 0)
    wider = max(widening(curves[move.key]) for move in moves)
    return Worth(
        gain=Interval(
            _clean(min(expected, expected + wider * (float(low) - expected)) + below, expected),
            expected,
            _clean(max(expected, expected + wider * (float(high) - expected)) + above, expected),
        ),
        cost_usd=cost,
        net_usd=gained - cost,
        confidence=min(float(np.mean(pays)), surest(min(curves[move.key].exposure for move in moves))),
        supposes=tuple(sorted({clause for move in moves if (clause := _supposed(move, curves[move.key]))})),
        only_shrinks=not any(move.grows for move in moves),
    )


def _clean(bound: float, expected: float) -> float:
    """A bound that is 0 but for rounding is 0."""
    return bound if abs(bound) > _ROUNDING * abs(expected) else 0.0


def surest(hours: float) -> float:
    """How sure so many hours of history can make anybody: (n + 1) / (n + 2), Laplace's rule of succession.

    2 h in which nothing ever spoke against it are 75 %, 48 h 98 %. All replicates agreeing says only that no hour that
    was seen speaks against it.
    """
    return (hours + 1) / (hours + 2)


def _supposed(move: Move, curve: Curve) -> str:
    """The clause of a curve, where this move rests on it."""
    if curve.unseen is None:
        return curve.supposes
    nothing, everything = gain_rows(curve.unseen, curve.x, move.from_, move.to)
    return curve.supposes if move.grows and everything > nothing else ""


def gain_rows(rows: F64, x: F64, a: float, b: float) -> F64:
    """(R,) f(b) - f(a) for every row of values (R, k) at x (k,)."""
    return _at(rows, x, b) - _at(rows, x, a)


def _at(rows: F64, x: F64, at: float) -> F64:
    if len(x) == 1:
        return rows[:, 0]
    right = min(max(int(x.searchsorted(at)), 1), len(x) - 1)
    part = min(1.0, max(0.0, (at - float(x[right - 1])) / float(x[right] - x[right - 1])))
    found: F64 = rows[:, right - 1] * (1 - part) + rows[:, right] * part
    return found


def widening(curve: Curve) -> float:
    """By how much the spread of the mean must grow to cover what the next horizon itself may do: √(1 + n_eff / n_future).

    n_eff is the effective number of hours of a history of T hours under the kernel, (Σw)² / Σw² = 2τ · tanh(T / 2τ)
    with τ = 12 h / ln 2 = 17.3 h; n_future the hours of the horizon. For T = 72 h and 2 h to come: √(1 + 33.5 / 2) = 4.2.
    The factor that learns from how often the interval missed is not in here: it needs outcomes.
    """
    effective = 2 * _MEAN_LIFE * tanh(curve.exposure / (2 * _MEAN_LIFE))
    return sqrt(1 + effective / (curve.horizon / HOUR))
