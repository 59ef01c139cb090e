"""One workload's history and newest reading -> its Curve, or the Reason why there is none.

The curve's breakpoints are the allocations that the workload may have (its step grid and what it has now), at which
it is exact; what the planner then weighs is a whole number of steps, never a straight line through a bend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate import demand, dilution, fill
from controller.estimate.belief import by_earnings
from controller.estimate.cost import energy_per_unit_hour
from controller.estimate.prices import at_todays_price
from controller.estimate.readings import Why, counting, exposure_seconds, finite, known_allocation, unfit
from controller.estimate.weights import HOUR, pool, recency, value_per_unit_hour
from controller.estimate.words import amount, money
from controller.model import Curve, Reason
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.estimate.weights import Past, Weights
    from controller.model import F64, Blocks, NodeState, WorkloadState
    from controller.policy import PolicySpec
    from exporters.nodes import Allocation
    from exporters.reading import Reading

MAX_POINTS: Final = 128
"""Allowed allocations up to which each is a breakpoint. Of more, all within NEAR steps of the current one are, and
further off every second, third ... with lines between: memory at 200 replicates is 1.6 kB a breakpoint."""
NEAR: Final = 32
MOST_VALUES: Final = 4096
"""Allowed allocations that one workload is offered at once."""
_FEW: Final = 6
"""Stretches of history under which nothing is said of how a payout wanders."""


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What every kind of curve is made from."""

    workload: WorkloadState
    allocation: Allocation
    reading: Reading
    blocks: Blocks
    past: Past
    weights: Weights
    now: float
    current: float
    horizon: float
    """Seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """A curve before energy: breakpoints (k,), USD per hour (R, k) with row 0 the point estimate."""

    x: F64
    y: F64
    value: float | None
    why: str
    unseen: F64 | None = None
    """(2, k)."""
    supposes: str = ""


def horizon_of(workload: WorkloadState, spec: PolicySpec) -> float:
    """Seconds over which a move of this workload must pay: its protocol's, a fill workload's 72 h, or the policy's."""
    if workload.traits.horizon is not None:
        return workload.traits.horizon
    return fill.HORIZON if workload.traits.curve is CurveKind.FILL else spec.objective.horizon


def curve(workload: WorkloadState, node: NodeState, spec: PolicySpec, now: float, weights: Weights) -> Curve | Why:
    """USD per hour over the workload's allocation, expected over its coming horizon, with its replicates.

    A (Reason, sentence) instead where it is watched only, cannot be believed now, or was not seen for long enough.
    """
    allocation, current = workload.allocation, known_allocation(workload)
    if allocation is None:
        return Reason.BOUNDS, f"{workload.key} declares no allocation: it is watched, never moved"
    if workload.traits.curve is CurveKind.NONE:
        return (
            Reason.BOUNDS,
            f"how {workload.protocol} answers to an allocation is not known (curve none): it is watched, never moved",
        )
    if out := unfit(workload, now, spec.limits):
        return out
    reading = counting(workload, now, spec.limits)
    if reading is None or current is None or workload.blocks is None or not len(workload.blocks.start):
        return Reason.NO_HISTORY, f"{workload.key} has no history yet"
    blocks = at_todays_price(workload.blocks, reading)
    past = pool(blocks, weights, recency(blocks, now))
    subject = _Subject(workload, allocation, reading, blocks, past, weights, now, current, horizon_of(workload, spec))
    shape = _KINDS[workload.traits.curve](subject)
    return shape if isinstance(shape, tuple) else _finish(subject, node, shape)


def grid(allocation: Allocation, low: float = 0.0, high: float = float("inf")) -> F64:
    """The allowed allocations min + k · step <= max from `low` to `high`, ascending; of more than MOST_VALUES (a disk in
    steps of a byte) every second, third ... one.
    """
    last = int(np.floor((min(allocation.max, high) - allocation.min) / allocation.step * (1 + 1e-12)))
    first = int(np.ceil(max(0.0, low - allocation.min) / allocation.step * (1 - 1e-12)))
    stride = max(1, -(-(last - first) // MOST_VALUES))
    steps = np.arange(first, max(last, first - 1) + 1, stride, dtype=np.float64)
    return allocation.min + steps * allocation.step


def _points(subject: _Subject, *others: float) -> F64:
    allocation, least = subject.allocation, subject.workload.traits.min_allocation
    points = grid(allocation, least)
    if len(points) > MAX_POINTS:
        far = NEAR * allocation.step
        near = grid(allocation, max(least, subject.current - far), subject.current + far)
        end = grid(allocation, allocation.max - allocation.step)
        points = np.concatenate([points[:: 2 * len(points) // MAX_POINTS], near, end])
    return np.unique(np.concatenate([points, [subject.current, *others]]))


def _finish(subject: _Subject, node: NodeState, shape: _Shape) -> Curve | Why:
    """Subtract the energy of running as a line, and check that every figure can be true."""
    workload, step = subject.workload, subject.allocation.step
    hours = subject.horizon / HOUR
    energy = energy_per_unit_hour(node.power, workload.watts, step, subject.now, hours)
    if not (np.isfinite(shape.y).all() and np.isfinite(shape.x).all() and np.isfinite(energy)):
        return (
            Reason.NO_HISTORY,
            f"{workload.key} has figures in its history or its power that cannot be true; none of it is used",
        )
    y = shape.y - energy * shape.x
    charged = f"; energy {energy * step:.3g} USD/h a step" if energy else ""
    return Curve(
        key=workload.key, kind=workload.traits.curve.value, resource=subject.allocation.resource,
        x=shape.x, y=y[0], replicates=y[1:] if len(y) > 1 else y, value_per_unit_hour=shape.value,
        exposure=exposure_seconds(workload, subject.now) / HOUR, horizon=subject.horizon, why=shape.why + charged,
        unseen=None if shape.unseen is None else shape.unseen - energy * shape.x, supposes=shape.supposes,
    )  # fmt: skip


def _value(subject: _Subject, past: Past) -> F64 | None:
    """(R,) v: earned per used unit-hour lately, else in all that is remembered (who was given nothing for days used
    nothing), else the published price, net in the proportion of the rates in tokens.
    """
    value = value_per_unit_hour(past)
    if value is None:
        ever = (subject.blocks.start <= subject.now).astype(np.float64)
        value = value_per_unit_hour(pool(subject.blocks, subject.weights, ever))
    if value is not None:
        return value
    reading = subject.reading
    price = finite(reading.price_usd_per_unit_hour.get(subject.allocation.resource))
    if price is None:
        return None
    return np.full(len(past.rows), price * _in_hand(reading))


def _in_hand(reading: Reading) -> float:
    """Net / gross in tokens, before energy, which is charged as a line of its own; the least where it is paid in several."""
    net = reading.native.net_per_hour
    shares = [
        net[token] / gross
        for token, gross in reading.native.gross_per_hour.items()
        if net and token in net and gross > 0
    ]
    return min(1.0, max(0.0, min(shares, default=1.0)))


def _demand(subject: _Subject) -> _Shape | Why:
    past, levels, doubt = subject.past, subject.blocks.levels, ""
    if believed := by_earnings(past, subject.weights.block):
        past, levels, doubt = believed
    seen = demand.survival(past.rows, levels, past.exact, past.censored, subject.allocation.step)
    if seen is None:
        return Reason.NO_HISTORY, f"how much {subject.allocation.resource} {subject.workload.key} uses was never seen"
    x = _points(subject, 0.0)
    used = seen.integral(x)
    value = _value(subject, past)
    if value is None and used[0, -1] > 0:
        return Reason.UNPRICED, f"nothing says what a used unit of {subject.workload.key} earns"
    worth = np.zeros(len(past.rows)) if value is None else np.maximum(value, 0.0)
    why = doubt or _full_words(past)
    known = None if value is None else float(value[0])
    if seen.tail <= 0:
        return _Shape(x, worth[:, None] * used, known, why)
    most = amount(subject.allocation.resource, float(seen.levels[-1]))
    supposes = f"{subject.workload.key} uses more than {most} {subject.allocation.resource} (never seen so far)"
    return _Shape(x, worth[:, None] * used, known, why, worth[0] * seen.unseen(x), supposes)


def _full_words(past: Past) -> str:
    """What is known of demand above the allocation: only that there was no room left. Hours of late count more."""
    full, room = float(past.censored.sum()), float(past.exact.sum())
    return f"it had no room left {full / (full + room):.0%} of the time"


def _fill(subject: _Subject) -> _Shape | Why:
    resource, hours = subject.allocation.resource, subject.horizon / HOUR
    stored = _stored(subject)
    value = _value(subject, subject.past)
    if stored is None:
        return Reason.NO_HISTORY, f"how much {resource} {subject.workload.key} has stored is not known"
    if value is None:
        return Reason.UNPRICED, f"nothing says what a stored unit of {subject.workload.key} earns"
    growth, why = _growth(subject, stored, hours)
    x = _points(subject, stored)
    x = x[x >= min(stored, subject.current)]
    y = fill.earning(np.maximum(x, stored), stored, growth, np.maximum(value, 0.0), hours)
    if subject.current < stored:
        y[0] = fill.concave_from(x, y[0])
    return _Shape(x, y, float(value[0]), why)


def _stored(subject: _Subject) -> float | None:
    stored = finite(subject.reading.used.get(subject.allocation.resource))
    if stored is not None:
        return stored
    known = subject.blocks.used_last[np.isfinite(subject.blocks.used_last)]
    return finite(float(known[-1])) if len(known) else None


def _growth(subject: _Subject, stored: float, hours: float) -> tuple[F64, str]:
    """(R,) units per hour, and where it is from: seen, or told by the node, or nobody knows."""
    rows, step = len(subject.past.rows), subject.allocation.step
    seen = fill.growth_seen(subject.blocks, subject.weights)
    if seen is not None:
        return seen, f"it grew by {seen[0] / step:.3g} steps an hour while it had room"
    told = subject.reading.growth_per_hour
    full = stored >= subject.current - step / 100
    if told is not None and np.isfinite(told) and not (full and told <= 0):
        return np.full(rows, told), f"it had no room to show growth; the node tells of {told / step:.3g} steps an hour"
    return fill.growth_unknown(rows, step, hours), "nobody knows how fast it would grow: a small slope is kept"


def _dilution(subject: _Subject) -> _Shape | Why:
    pool_of, payout = subject.reading.pool, finite(subject.reading.pool_payout_usd_per_hour)
    others = finite(pool_of.others) if pool_of is not None else None
    if payout is None or others is None:
        return Reason.UNPRICED, f"what the pool of {subject.workload.key} pays, or the stake in it, is not known"
    x = _points(subject, 0.0)
    share = subject.current / (others + subject.current) if others + subject.current > 0 else 0.0
    wander, width = _wander(subject)
    why = f"the pool pays {money(payout)} USD/h for all stake, of which {share:.1%} is its own; {width}"
    y = wander[:, None] * dilution.earning(x, payout, others)
    return _Shape(x, y, None, why, supposes="the other stakers leave theirs as they are")


def _wander(subject: _Subject) -> tuple[F64, str]:
    """(R,) how what a staked token earned wandered, around 1 (payouts rose and fell, others came and went), and a clause on
    how much the interval knows. Applied to the payout of now: the best guess of what it does in the coming days.
    """
    earned = value_per_unit_hour(subject.past)
    blind = "how others answer a move is not in its interval"
    if earned is None or not earned[0] > 0 or len(subject.past.columns) < _FEW:
        return np.ones(1), f"how far its payout wanders was not seen yet, so its interval has no width, and {blind}"
    return np.maximum(earned / earned[0], 0.0), f"its interval is as wide as its payout wandered; {blind}"


_KINDS = {CurveKind.DEMAND: _demand, CurveKind.FILL: _fill, CurveKind.DILUTION: _dilution}
