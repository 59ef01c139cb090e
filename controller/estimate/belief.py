"""Use against earnings: a workload that says it is full at every look, and earns on less, is believed by its earnings.

Some nodes report what they were given as what they use. Their use then says nothing about demand, and a planner that
took it at its word would feed them for ever. Their earnings do say it: in the best quarter days a used unit earns p,
so an hour that earns less than p a unit had less demand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import WINDOW, recency

if TYPE_CHECKING:
    from controller.estimate.weights import Past, Weights
    from controller.model import F64, Blocks

ALWAYS: Final = 0.95
"""Share of the time at no room from which a workload counts as always full."""
_STRETCH: Final = 6 * 3600.0
"""Earnings are compared over stretches of 6 h, because many protocols credit in lumps."""
_STRETCHES: Final = 4
"""Fewer say nothing about their spread."""
_BEST: Final = 0.9
"""Quantile of a stretch's earnings per unit that is taken for "as full as it says"."""
_DOUBT: Final = 0.8
"""Of what it would earn if it were always that full: under this share its use is not believed."""
_FULL: Final = 0.98
_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""


def may_differ(blocks: Blocks, weights: Weights) -> bool:
    """Whether earnings may say less than use does: whether `by_earnings` has to be asked at all, which costs more."""
    if _paid_alike(blocks, weights.now):
        return False
    kernel = recency(blocks, weights.now)
    used = np.flatnonzero(kernel > 0)
    column = weights.column(blocks.start[used] + blocks.span[used] / 2)
    usd, units, hours = blocks.usd[used], blocks.unit_hours[used], blocks.rate_hours[used]
    paired = (np.abs(usd) <= _POSSIBLE) & (np.abs(units) <= _POSSIBLE) & (np.abs(hours) <= _POSSIBLE)
    if not paired.all():
        return True
    stretch, part = (column * weights.block // _STRETCH).astype(np.intp), kernel[used]
    usd, units, hours = (np.bincount(stretch, v * part).astype(np.float64, copy=False) for v in (usd, units, hours))
    told = (units > 0) & (hours > 0)
    if told.sum() < _STRETCHES:
        return False
    rates = sorted((usd[told] / units[told]).tolist())
    at = _BEST * (len(rates) - 1)
    best = rates[int(at)] + (rates[min(int(at) + 1, len(rates) - 1)] - rates[int(at)]) * (at - int(at))
    return best > 0 and float(usd.sum() / (best * units.sum())) < _DOUBT * (1 + 1e-9)


def _paid_alike(blocks: Blocks, now: float) -> bool:
    """Whether no block of the time that counts paid less a unit than the share in doubt of what any other paid: then no
    stretch did, however they are weighed.
    """
    since = int(blocks.start.searchsorted(now - WINDOW - float(np.maximum.reduce(blocks.span, initial=0.0))))
    usd, units = blocks.usd[since:], blocks.unit_hours[since:]
    used = units > 0
    if not np.logical_and.reduce(used):
        if np.logical_or.reduce(usd[~used]):  # also where it is no number
            return False
        usd, units = usd[used], units[used]
    if not len(usd) or not np.maximum.reduce(units) <= _POSSIBLE:
        return False
    rates = usd / units
    low, high = np.minimum.reduce(rates), np.maximum.reduce(rates)  # NaN compares false
    return bool(0 < high <= _POSSIBLE and low >= _DOUBT * (1 + 1e-6) * high)


def by_earnings(past: Past, block: float) -> tuple[Past, F64, str] | None:
    """The past with the demand that the earnings imply, its levels and a sentence; None where both agree (or cannot be compared)."""
    censored, exact = float(past.censored.sum()), float(past.exact.sum())
    if censored < ALWAYS * (censored + exact) or past.unit_hours.sum() <= 0:
        return None
    stretch = (past.columns * block // _STRETCH).astype(np.intp)
    _, stretch = np.unique(stretch, return_inverse=True)
    usd, units, hours = (np.bincount(stretch, weights=v) for v in (past.usd, past.unit_hours, past.rate_hours))
    told = (units > 0) & (hours > 0)
    if told.sum() < _STRETCHES:
        return None
    rate = np.divide(usd, units, out=np.zeros_like(usd), where=told)
    best = float(np.quantile(rate[told], _BEST))
    share = float(usd.sum() / (best * units.sum())) if best > 0 else 1.0
    if share >= _DOUBT:
        return None
    part = np.clip(rate / best, 0.0, 1.0)
    use = np.divide(units, hours, out=np.zeros_like(units), where=told) * part
    levels, rank = np.unique(use, return_inverse=True)
    seen = np.zeros((len(past.kernel), len(levels)))
    seen[np.arange(len(stretch)), rank[stretch]] = np.where(told[stretch], past.kernel, 0.0)
    full = (part >= _FULL)[stretch][:, None]
    believed = replace(
        past,
        unit_hours=use[stretch] * past.rate_hours,
        exact=np.where(full, 0.0, seen),
        censored=np.where(full, seen, 0.0),
    )
    why = f"it says that it is always full but earns {share:.0%} of what that would earn; believed by its earnings"
    return believed, levels, why
