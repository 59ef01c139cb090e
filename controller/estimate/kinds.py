"""Curves of what does not answer at once to what it is given: stores that fill slowly, stakes in a pool (economics.md 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate import dilution, fill
from controller.estimate.readings import Why, finite
from controller.estimate.subject import Shape, Subject, points_of, published
from controller.estimate.weights import HOUR, Columns, recency, value_per_unit_hour
from controller.estimate.words import money
from controller.model import Reason
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.model import F64

_FEW: Final = 6
"""Stretches of history under which nothing is said of how a payout wanders."""


def _value(subject: Subject) -> F64 | None:
    """(R,) v: earned per used unit-hour lately, else in all that is remembered (who was given nothing for days used
    nothing), else the published price, net in the proportion of the rates in tokens.
    """
    past = Columns(subject.blocks, subject.weights)
    value = past.value(recency(subject.past_as_paid, subject.now))
    if value is None:
        value = past.value((subject.blocks.start <= subject.now).astype(np.float64))
    if value is not None:
        return value
    price = published(subject)
    return None if price is None else np.full(len(subject.weights.draws), price)


def _fill(subject: Subject) -> Shape | Why:
    resource, hours = subject.allocation.resource, subject.horizon / HOUR
    stored = _stored(subject)
    value = _value(subject)
    if stored is None:
        return Reason.NO_HISTORY, f"how much {resource} {subject.workload.key} has stored is not known"
    if value is None:
        return Reason.UNPRICED, f"nothing says what a stored unit of {subject.workload.key} earns"
    growth, why = _growth(subject, stored, hours)
    x = points_of(subject, stored)
    x = x[x >= min(stored, subject.current)]
    y = fill.earning(np.maximum(x, stored), stored, growth, np.maximum(value, 0.0), hours)
    if subject.current < stored:
        y[0] = fill.concave_from(x, y[0])
    return Shape(x, y, float(value[0]), why)


def _stored(subject: Subject) -> float | None:
    stored = finite(subject.reading.used.get(subject.allocation.resource))
    if stored is not None:
        return stored
    known = subject.blocks.used_last[np.isfinite(subject.blocks.used_last)]
    return finite(float(known[-1])) if len(known) else None


def _growth(subject: Subject, stored: float, hours: float) -> tuple[F64, str]:
    """(R,) units per hour, and where it is from: seen, or told by the node, or nobody knows."""
    rows, step = len(subject.weights.draws), subject.allocation.step
    seen = fill.growth_seen(subject.blocks, subject.weights)
    if seen is not None:
        return seen, f"it grew by {seen[0] / step:.3g} steps an hour while it had room"
    told = subject.reading.growth_per_hour
    full = stored >= subject.current - step / 100
    if told is not None and np.isfinite(told) and not (full and told <= 0):
        return np.full(rows, told), f"it had no room to show growth; the node tells of {told / step:.3g} steps an hour"
    return fill.growth_unknown(rows, step, hours), "nobody knows how fast it would grow: a small slope is kept"


def _dilution(subject: Subject) -> Shape | Why:
    pool_of, payout = subject.reading.pool, finite(subject.reading.pool_payout_usd_per_hour)
    others = finite(pool_of.others) if pool_of is not None else None
    if payout is None or others is None:
        return Reason.UNPRICED, f"what the pool of {subject.workload.key} pays, or the stake in it, is not known"
    x = points_of(subject, 0.0)
    share = subject.current / (others + subject.current) if others + subject.current > 0 else 0.0
    wander, width = _wander(subject)
    why = f"the pool pays {money(payout)} USD/h for all stake, of which {share:.1%} is its own; {width}"
    y = wander[:, None] * dilution.earning(x, payout, others)
    return Shape(x, y, None, why, supposes="the other stakers leave theirs as they are")


def _wander(subject: Subject) -> tuple[F64, str]:
    """(R,) how what a staked token earned wandered, around 1 (payouts rose and fell, others came and went), and a clause on
    how much the interval knows. Applied to the payout of now: the best guess of what it does in the coming days.
    """
    past = subject.past()
    earned = value_per_unit_hour(past)
    blind = "how others answer a move is not in its interval"
    if earned is None or not earned[0] > 0 or len(past.columns) < _FEW:
        return np.ones(1), f"how far its payout wanders was not seen yet, so its interval has no width, and {blind}"
    return np.maximum(earned / earned[0], 0.0), f"its interval is as wide as its payout wandered; {blind}"


KINDS = {CurveKind.FILL: _fill, CurveKind.DILUTION: _dilution}
