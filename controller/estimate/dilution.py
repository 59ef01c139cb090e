"""Dilution curves: a pool that pays P per hour, shared by stake, pays R(x) = P · x / (O + x) with O the others' stake.

Streamr sponsorships are such pools. The marginal P · O / (O + x)² falls as the own stake dilutes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from controller.model import F64

_BISECTIONS: Final = 200
"""Halvings of an interval that spans the marginals: far beyond float64."""


def earning(x: F64, payout: float, others: float) -> F64:
    """(k,) USD per hour at each stake x >= 0. Where nobody else stakes, any stake above 0 earns the whole pool."""
    total = others + x
    return payout * np.divide(x, total, out=np.zeros_like(total), where=total > 0)


def marginal(x: float, payout: float, others: float) -> float:
    """USD per hour per further unit at stake x; inf where a first unit would take a pool that nobody is in."""
    if others + x <= 0:
        return float("inf") if payout > 0 else 0.0
    return payout * others / (others + x) ** 2


def split(payouts: F64, others: F64, budget: float, minimum: F64 | None = None) -> F64:
    """The exact split of a budget over n pools, in closed form: x = max(0, √(P O / λ) - O), λ by bisection.

    Those that would get less than their minimum (or nothing) are dropped, the smallest first, and it is solved again. What the planner
    finds on its step grid is checked against this. Raises ValueError where a pool has no others: any dust takes it all.

    (P, O) = (0.05, 1.95M), (0.02, 0.3M), (0.10, 8M) with 200 000 gives (13 032, 186 968, 0).
    """
    if (others <= 0).any():
        raise ValueError("every pool needs a positive stake of others; without one there is no finite best stake")
    least = np.zeros_like(payouts) if minimum is None else minimum
    alive = payouts > 0
    while alive.any():
        stakes = np.where(alive, _water(np.where(alive, payouts, 0.0), others, budget), 0.0)
        short = np.flatnonzero(alive & (stakes < least))
        if not len(short):
            return stakes
        alive[short[np.argmin(stakes[short] - least[short])]] = False
    return np.zeros_like(payouts)


def _water(payouts: F64, others: F64, budget: float) -> F64:
    """The stakes whose marginals are equal wherever they are positive."""
    low, high = 0.0, float(np.sqrt(payouts / others).max())  # of √λ; at the upper end nothing is staked
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if _stakes(payouts, others, middle).sum() > budget:
            low = middle
        else:
            high = middle
    return _stakes(payouts, others, high)


def _stakes(payouts: F64, others: F64, root: float) -> F64:
    return np.maximum(0.0, np.sqrt(payouts * others) / root - others)
