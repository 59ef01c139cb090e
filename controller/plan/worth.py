"""What a set of Moves is worth: gain with its interval, confidence, cost, net benefit. USD and USD per hour.

The gain of a *fixed* set of moves is looked up in every replicate of the curves, which were all drawn with the same
weights, so that what rises and falls together does so here too (economics.md 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt, tanh
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import HALF_LIFE, HOUR
from controller.model import Interval

if TYPE_CHECKING:
    from controller.model import F64, Curve, Move

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
    """Share of replicates in which Σ gain x horizon > cost."""


def weigh(moves: Sequence[Move], curves: Mapping[str, Curve]) -> Worth:
    """The worth of moves whose workloads all have a curve (KeyError where one has none)."""
    if not moves:
        return Worth(Interval(0.0, 0.0, 0.0), 0.0, 0.0, 0.0)
    cost = sum(move.cost_usd for move in moves)
    expected = gained = 0.0
    replicated = gained_replicated = np.zeros(1)
    for move in moves:
        curve = curves[move.key]
        hours = curve.horizon / HOUR
        one = float(gain_rows(curve.y[None, :], curve.x, move.from_, move.to)[0])
        many = gain_rows(curve.replicates, curve.x, move.from_, move.to)
        expected, gained = expected + one, gained + one * hours
        replicated, gained_replicated = replicated + many, gained_replicated + many * hours
    low, high = np.quantile(replicated, (0.1, 0.9))
    wider = max(widening(curves[move.key]) for move in moves)
    return Worth(
        gain=Interval(
            min(expected, expected + wider * (float(low) - expected)),
            expected,
            max(expected, expected + wider * (float(high) - expected)),
        ),
        cost_usd=cost,
        net_usd=gained - cost,
        confidence=float(np.mean(gained_replicated > cost)),
    )


def gain_rows(rows: F64, x: F64, a: float, b: float) -> F64:
    """(R,) f(b) - f(a) for every row of values (R, k) at x (k,)."""
    return _at(rows, x, b) - _at(rows, x, a)


def _at(rows: F64, x: F64, at: float) -> F64:
    right = int(np.clip(np.searchsorted(x, at), 1, max(1, len(x) - 1)))
    if len(x) == 1:
        return rows[:, 0]
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
