"""What a curve of any kind is made from: one workload that can be believed, and the last steps that all curves share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.estimate.breakpoints import Grid, breakpoints
from controller.estimate.cost import energy_per_unit_hour
from controller.estimate.prices import at_todays_price
from controller.estimate.readings import Why, counting, exposure_seconds, finite, known_allocation, unfit
from controller.estimate.weights import HOUR, pool, recency
from controller.model import Curve, Reason
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.estimate.weights import Past, Weights
    from controller.model import F64, Blocks, NodeState, WorkloadState
    from controller.policy import PolicySpec
    from exporters.nodes import Allocation
    from exporters.reading import Reading


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What every kind of curve is made from."""

    workload: WorkloadState
    node: NodeState
    allocation: Allocation
    reading: Reading
    past_as_paid: Blocks
    weights: Weights
    now: float
    current: float
    horizon: float
    """Seconds."""

    @property
    def blocks(self) -> Blocks:
        """At today's price."""
        return at_todays_price(self.past_as_paid, self.reading)

    def past(self) -> Past:
        """As the 12 h kernel weighs it. Costs more than a curve of demand, which does without."""
        return pool(self.blocks, self.weights, recency(self.past_as_paid, self.now))


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A curve before energy: breakpoints (k,), USD per hour (R, k) with row 0 the point estimate."""

    x: F64
    y: F64
    value: float | None
    why: str
    unseen: F64 | None = None
    """(2, k)."""
    supposes: str = ""
    effective: float | None = None
    """Hours."""


def subject_of(
    workload: WorkloadState, node: NodeState, spec: PolicySpec, now: float, weights: Weights, horizon: float, *,
    known: bool,
) -> Subject | Why:  # fmt: skip
    """What its curve is made from, or why there cannot be any. `known`: that it can be believed is known already."""
    allocation, current = workload.allocation, known_allocation(workload)
    if allocation is None:
        return Reason.BOUNDS, f"{workload.key} declares no allocation: it is watched, never moved"
    if workload.traits.curve is CurveKind.NONE:
        return (
            Reason.BOUNDS,
            f"how {workload.protocol} answers to an allocation is not known (curve none): it is watched, never moved",
        )
    if not known and (out := unfit(workload, now, spec.limits)):
        return out
    reading = counting(workload, now, spec.limits)
    if reading is None or current is None or workload.blocks is None or not len(workload.blocks.start):
        return Reason.NO_HISTORY, f"{workload.key} has no history yet"
    return Subject(workload, node, allocation, reading, workload.blocks, weights, now, current, horizon)


def points_of(subject: Subject, *others: float) -> F64:
    return breakpoints(points_by(subject, *others))


def points_by(subject: Subject, *others: float) -> Grid:
    it = subject.allocation
    return it.min, it.max, it.step, subject.workload.traits.min_allocation, subject.current, others


def untrue(key: str) -> Why:
    return Reason.NO_HISTORY, f"{key} has figures in its history or its power that cannot be true; none of it is used"


def energy_of(subject: Subject) -> float:
    hours = subject.horizon / HOUR
    return energy_per_unit_hour(subject.node.power, subject.workload.watts, subject.allocation.step, subject.now, hours)


def charged(energy: float, step: float) -> str:
    return f"; energy {energy * step:.3g} USD/h a step" if energy else ""


def finish(subject: Subject, shape: Shape) -> Curve | Why:
    """Subtract the energy of running as a line, and check that every figure can be true."""
    workload, energy = subject.workload, energy_of(subject)
    if not (np.isfinite(shape.y).all() and np.isfinite(shape.x).all() and np.isfinite(energy)):
        return untrue(workload.key)
    y, why = shape.y - energy * shape.x, shape.why + charged(energy, subject.allocation.step)
    return Curve(
        key=workload.key, kind=workload.traits.curve.value, resource=subject.allocation.resource,
        x=shape.x, y=y[0], replicates=y[1:] if len(y) > 1 else y, value_per_unit_hour=shape.value,
        exposure=exposure_seconds(workload, subject.now) / HOUR, horizon=subject.horizon, why=why,
        unseen=None if shape.unseen is None else shape.unseen - energy * shape.x, supposes=shape.supposes,
        effective=shape.effective,
    )  # fmt: skip


def published(subject: Subject) -> float | None:
    """USD per used unit-hour, net, that the protocol publishes."""
    price = finite(subject.reading.price_usd_per_unit_hour.get(subject.allocation.resource))
    return None if price is None else price * _in_hand(subject.reading)


def _in_hand(reading: Reading) -> float:
    """Net / gross in tokens, before energy, which is charged as a line of its own; the least where it is paid in several."""
    net = reading.native.net_per_hour
    shares = [
        net[token] / gross
        for token, gross in reading.native.gross_per_hour.items()
        if net and token in net and gross > 0
    ]
    return min(1.0, max(0.0, min(shares, default=1.0)))
