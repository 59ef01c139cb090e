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
from controller.estimate.readings import Why, counting, exposure_seconds, finite, known_allocation, unfit
from controller.estimate.weights import HOUR, pool, recency, value_per_unit_hour
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
    past = pool(workload.blocks, weights, recency(workload.blocks, now))
    subject = _Subject(
        workload, allocation, reading, workload.blocks, past, weights, now, current, horizon_of(workload, spec)
    )
    shape = _KINDS[workload.traits.curve](subject)
    return shape if isinstance(shape, tuple) else _finish(subject, node, shape)


def grid(allocation: Allocation, least: float = 0.0) -> F64:
    """The allowed allocations min + k · step <= max, from the protocol's own least on, ascending."""
    count = int(np.floor((allocation.max - allocation.min) / allocation.step * (1 + 1e-12)))
    first = int(np.ceil(max(0.0, least - allocation.min) / allocation.step * (1 - 1e-12)))
    steps = np.arange(first, max(count, first - 1) + 1, dtype=np.float64)
    return allocation.min + steps * allocation.step


def _points(subject: _Subject, *others: float) -> F64:
    points = grid(subject.allocation, subject.workload.traits.min_allocation)
    if len(points) > MAX_POINTS:
        near = np.abs(points - subject.current) <= NEAR * subject.allocation.step
        points = np.concatenate([points[:: 2 * len(points) // MAX_POINTS], points[near], points[-1:]])
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
        exposure=exposure_seconds(workload) / HOUR, horizon=subject.horizon, why=shape.why + charged,
    )  # fmt: skip


def _value(subject: _Subject, past: Past) -> F64 | None:
    """(R,) v: earned per used unit-hour lately, else in all that is remembered (who was given nothing for days used
    nothing), else the published price, net in the proportion of the rates.
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
    gross, net = finite(reading.rate_usd_per_hour), finite(reading.net_usd_per_hour)
    share = min(1.0, net / gross) if gross and net is not None else 1.0
    return np.full(len(past.rows), price * share)


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
    worth = np.zeros(len(past.rows)) if value is None else value
    beyond = float(seen.at(subject.current)[0])
    why = doubt or f"demand was above its allocation {beyond:.0%} of the time"
    known = None if value is None else float(value[0])
    return _Shape(x, np.maximum(worth, 0.0)[:, None] * used, known, why)


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
    why = f"the pool pays {payout:.3g} USD/h for all stake, of which {share:.1%} is its own"
    return _Shape(x, dilution.earning(x, payout, others)[None, :], None, why)


_KINDS = {CurveKind.DEMAND: _demand, CurveKind.FILL: _fill, CurveKind.DILUTION: _dilution}
