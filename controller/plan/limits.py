"""How far one workload may go in one program: the step limit, its bounds, what cannot be taken back. In base units.

The planner chooses within these and the guard checks against them again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.breakpoints import steps_between
from controller.estimate.readings import counting, finite
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.model import F64, NodeState, WorkloadState
    from controller.policy import Limits
    from exporters.nodes import Allocation
    from exporters.reading import Reading

SLACK: Final = 1e-9
"""Relative: amounts in float64 that differ by less are the same amount."""


def needs(allocation: Allocation) -> dict[str, float]:
    """How much of each resource one base unit of the allocation takes, companions included."""
    per_unit = {allocation.resource: 1.0}
    for resource, per_step in allocation.with_.items():
        per_unit[resource] = per_unit.get(resource, 0.0) + per_step / allocation.step
    return per_unit


def step_limit(allocation: Allocation, node: NodeState, limits: Limits) -> float:
    """How much one program may change: a share of the node's capacity of that resource, never under one step."""
    share = limits.max_step_percent / 100 * node.capacity.get(allocation.resource, 0.0)
    return max(allocation.step, share)


def floor_of(workload: WorkloadState, current: float, now: float, limits: Limits) -> float:
    """Under this no shrink may go: what is used and cannot be taken back. Unknown use of such a kind: no shrink at all."""
    reading = counting(workload, now, limits)
    if workload.allocation is None or reading is None:
        return current
    resource = workload.allocation.resource
    if resource in reading.irreversible:
        floor = finite(reading.irreversible[resource])
        return current if floor is None else floor
    if workload.traits.irreversible or workload.traits.curve is CurveKind.FILL:
        return _in_use(reading, resource, current)
    return 0.0


def _in_use(reading: Reading, resource: str, current: float) -> float:
    used = finite(reading.used.get(resource))
    return current if used is None else used


def is_lasting(workload: WorkloadState, *, grows: bool) -> bool:
    """Whether a move of it cannot be taken back, so that the fleet may let only some of them be under way at a time: it grows
    what stays in use once it is used (the same that `floor_of` lets nobody take back), or a person has to sign it, whichever
    way it goes.
    """
    if workload.driver in SIGNED:
        return True
    if not grows or workload.allocation is None:
        return False
    if workload.traits.irreversible or workload.traits.curve is CurveKind.FILL:
        return True
    readings = (workload.reading, workload.last_good)
    return any(each is not None and workload.allocation.resource in each.irreversible for each in readings)


SIGNED: Final = frozenset({"handout"})
"""Drivers whose changes orcha cannot take back by itself (Driver.reversible)."""


def reach(workload: WorkloadState, node: NodeState, current: float, now: float, limits: Limits) -> tuple[float, float]:
    """The lowest and highest allocation that one program may lead to; always includes what it has now."""
    allocation = workload.allocation
    if allocation is None:
        return current, current
    limit = step_limit(allocation, node, limits) * (1 + SLACK)
    low = max(current - limit, floor_of(workload, current, now, limits), allocation.min, workload.traits.min_allocation)
    high = min(current + limit, allocation.max * (1 + SLACK))
    if allocation.freeze == "shrink":
        low = current
    if allocation.freeze == "grow":
        high = current
    return min(low, current), max(high, current)


def allowed(workload: WorkloadState, low: float, high: float, current: float) -> F64:
    """The allocations it may be given between two: whole steps from `min`, and what it has now even off that grid."""
    it = workload.allocation
    if it is None:
        return np.array([current])
    return _allowed(
        it.min, it.max, it.step, max(workload.traits.min_allocation, low - SLACK * it.step), low, high, current
    )


@lru_cache(4096)
def _allowed(first: float, last: float, step: float, least: float, low: float, high: float, current: float) -> F64:
    """Kept, since most analyses ask for those of the last one, and most workloads for those of another. Not to be written to."""
    tolerance = SLACK * step
    points = steps_between(first, last, step, least, high + tolerance)
    points = points[(points >= low - tolerance) & (points <= high + tolerance)]
    # a grid point that is the current value but for rounding is that value
    points = points[np.abs(points - current) > tolerance]
    points = np.sort(np.append(points, current))
    points.setflags(write=False)
    return points
