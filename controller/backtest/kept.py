"""What came of orcha's promises, on the true demand: for calibration, which no controller could measure so well. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.world import arriving, filled

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.backtest.result import Promise
    from controller.backtest.world import Terms
    from controller.model import F64


def realised(case: Case, on: Terms, run_used: F64, promises: Iterable[Promise]) -> tuple[Promise, ...]:
    """Each promise with USD per hour over its horizon against not having moved; those that the trace ends before stay
    without. The cost of moving is not in it, as it is not in what was promised. `run_used` (T, W): as orcha ran.
    """
    places = {w.key: i for i, w in enumerate(case.workloads)}
    stored = {i: _stored(on, i, run_used[:, i]) for i in on.fills}
    return tuple(replace(each, realised=_of(case, on, stored, places, each)) for each in promises)


def _stored(on: Terms, i: int, used: F64) -> F64:
    """(T + 1,) what a fill workload had stored before each tick and after the last, also while it did not say so: down, or
    away for a move. What is stored falls by what is deleted and by nothing else.
    """
    gone = np.concatenate([[0.0], np.cumsum(np.minimum(on.rise[:, i], 0.0))])
    known: F64 = np.maximum.accumulate(np.concatenate([[on.stored[i]], used]) - gone) + gone
    return np.maximum(known, 0.0)


def _of(case: Case, on: Terms, stored: dict[int, F64], places: dict[str, int], promise: Promise) -> float | None:
    truth = case.truth
    first = round((promise.at - truth.start) / truth.tick)
    last = first + round(promise.horizon / truth.tick)
    if last > truth.ticks:
        return None
    usd = 0.0
    for key, before, after in zip(promise.keys, promise.from_, promise.to, strict=True):
        i = places[key]
        had, has = (_used(on, i, first, last, x, stored) for x in (before, after))
        usd += float(((has - had) * on.worth[first:last, i]).sum() - on.energy[first:last, i].sum() * (after - before))
    return usd / (promise.horizon / 3600)


def _used(on: Terms, i: int, first: int, last: int, x: float, stored: dict[int, F64]) -> F64:
    """(n,) units used, had the allocation been x."""
    if i not in on.fills:
        return np.minimum(on.demand[first:last, i], x)
    return on.demand[first:last, i] * filled(float(stored[i][first]), arriving(on.rise[first:last, i], None), x)
