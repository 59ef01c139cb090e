"""Demand curves: what is used is u = min(x, D), so f(x) = v · E[min(x, D)] = v · ∫₀ˣ P(D > y) dy (economics.md 2).

D is seen censored: while a workload is full, only D >= allocation is known. P(D > y) is therefore the Kaplan-Meier
product-limit (Kaplan and Meier 1958) over weighted hours. Beyond the largest value seen, when that was censored, an
exponential tail keeps a little optimism: what is always full is tried with a little more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from controller.model import F64

_TAIL_SHARE: Final = 0.25
_TAIL_STEPS: Final = 2.0
"""Without the floor of two steps small allocations starve (captured uplift 0.83 instead of 0.88)."""
_POSSIBLE: Final = 1e24
"""No real level in base units is higher; NaN is not lower."""


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """P(D > y) as a step function, one row per replicate, with its tail."""

    levels: F64
    """(m,) where it drops, ascending, base units; only levels at which anything was seen."""
    after: F64
    """(R, m) its value from each level on; below the first it is 1."""
    tail: float
    """τ in base units: beyond the last level S = S_last · exp(-(y - last) / τ); 0: nothing beyond."""

    def unseen(self, x: F64) -> F64:
        """(2, k) the point estimate of `integral` were nothing, or all, used of what lies above the last level: nobody saw."""
        point = self.after[:1]
        nothing = replace(self, after=point, tail=0.0).integral(x)
        beyond = np.maximum(x - self.levels[-1], 0.0)
        return np.concatenate([nothing, nothing + point[:, -1:] * beyond])

    def at(self, y: float) -> F64:
        """(R,) P(D > y)."""
        index = int(np.searchsorted(self.levels, y, side="right")) - 1
        if index < 0:
            return np.ones(len(self.after))
        last = self.after[:, index]
        if index < len(self.levels) - 1:
            return last
        beyond = y - float(self.levels[-1])
        decay = np.exp(-beyond / self.tail) if self.tail > 0 else float(beyond <= 0)
        scaled: F64 = last * decay
        return scaled

    def integral(self, x: F64) -> F64:
        """(R, k) E[min(x, D)] = ∫₀ˣ P(D > y) dy at each x >= 0, exactly."""
        rows = len(self.after)
        heights = np.concatenate([np.ones((rows, 1)), self.after], axis=1)
        edges = np.concatenate([[0.0], self.levels])
        area = np.concatenate([np.zeros((rows, 1)), np.cumsum(heights[:, :-1] * np.diff(edges), axis=1)], axis=1)
        piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 1)
        beyond = x - edges[piece]
        if self.tail > 0:
            stretched = self.tail * -np.expm1(-beyond / self.tail)
            beyond = np.where(piece == len(edges) - 1, stretched, beyond)
        else:
            beyond = np.where(piece == len(edges) - 1, 0.0, beyond)
        total: F64 = area[:, piece] + heights[:, piece] * beyond
        return total


def survival(rows: F64, levels: F64, exact: F64, censored: F64, step: float) -> Survival | None:
    """Weighted Kaplan-Meier; None where nothing was ever seen.

    rows (R, c): weights of each of c stretches of the past; exact, censored (c, m): hours spent at each level.
    S(y) = Π over exact values d <= y of (1 - w(d) / n(d)), n(d) the weight of everything seen at d or above.

    Equal weights, allocation 8 for 4 hours, used 2, 8, 8, 4 (8 = full): S = 1 below 2, 3/4 on [2, 4), 1/2 on [4, 8).
    """
    exact = np.maximum(exact, 0.0)
    censored = np.maximum(censored, 0.0)
    seen = (exact.sum(axis=0) + censored.sum(axis=0) > 0) & (levels >= 0) & (levels <= _POSSIBLE)
    if not seen.any():
        return None
    levels, exact, censored = levels[seen], exact[:, seen], censored[:, seen]
    ended = rows @ exact
    at_risk = np.cumsum((ended + rows @ censored)[:, ::-1], axis=1)[:, ::-1]
    factors = 1.0 - np.divide(ended, at_risk, out=np.zeros_like(ended), where=at_risk > 0)
    after = np.cumprod(np.clip(factors, 0.0, 1.0), axis=1).astype(np.float64)
    full = bool(censored[:, -1].sum() > 0)
    tail = max(_TAIL_SHARE * float(levels[-1]), _TAIL_STEPS * step) if full else 0.0
    return Survival(levels, after, tail)
