"""Whether one move may be made for itself: as it was planned, within bounds, on its grid, not too far, nothing taken back that
cannot be. The guard's first look at each.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from controller.estimate.readings import Why, known_allocation
from controller.estimate.words import amount
from controller.model import Reason
from controller.plan.limits import SLACK, floor_of, step_limit

if TYPE_CHECKING:
    from controller.model import Move, NodeState, State, WorkloadState
    from controller.plan.standing import Standing
    from exporters.nodes import Allocation


def refuse(state: State, standing: Standing, move: Move) -> Why | None:
    workload, node = standing.workloads.get(move.key), standing.nodes.get(move.node)
    if workload is None or node is None or workload.node != move.node:
        return Reason.INFEASIBLE, f"{move.key} is not (any more) a workload of {move.node} under policy {state.policy}"
    allocation = workload.allocation
    if allocation is None or allocation.resource != move.resource:
        return Reason.BOUNDS, f"{move.key} declares no allocation of {move.resource}"
    if not _same(known_allocation(workload), move.from_):
        has = shown(move.resource, known_allocation(workload))
        return (
            Reason.STALE,
            f"the plan was made when {move.key} had {shown(move.resource, move.from_)} {move.resource}; it has {has}",
        )
    return _bounds(workload, allocation, move) or _direction(allocation, move) or _distance(state, node, workload, move)


def _bounds(workload: WorkloadState, allocation: Allocation, move: Move) -> Why | None:
    least = max(allocation.min, workload.traits.min_allocation)
    steps = (move.to - allocation.min) / allocation.step
    tolerance = 1e-6
    if math.isfinite(move.to) and least * (1 - SLACK) <= move.to <= allocation.max * (1 + SLACK):
        if abs(steps - round(steps)) <= tolerance:
            return None
        grid = f"min {shown(move.resource, allocation.min)} + k x {shown(move.resource, allocation.step)}"
        return (
            Reason.BOUNDS,
            f"{move.key} to {shown(move.resource, move.to)} {move.resource} is off its step grid ({grid})",
        )
    low, high = shown(move.resource, least), shown(move.resource, allocation.max)
    return Reason.BOUNDS, f"{move.key} to {shown(move.resource, move.to)} {move.resource} is outside {low} to {high}"


def _direction(allocation: Allocation, move: Move) -> Why | None:
    if allocation.freeze == ("grow" if move.grows else "shrink"):
        return (
            Reason.DIRECTION_FROZEN,
            f"{move.key} may not {allocation.freeze}: its manifest says freeze: {allocation.freeze}",
        )
    return None


def _distance(state: State, node: NodeState, workload: WorkloadState, move: Move) -> Why | None:
    limits, allocation = state.spec.limits, workload.allocation
    most = step_limit(allocation, node, limits) if allocation else 0.0
    if not abs(move.to - move.from_) <= most * (1 + SLACK):
        by, allowed = shown(move.resource, abs(move.to - move.from_)), shown(move.resource, most)
        percent = f"{limits.max_step_percent:g} % of {node.name}, or one step"
        return (
            Reason.STEP_LIMIT,
            f"{move.key} by {by} {move.resource} is more than the {allowed} allowed at once ({percent})",
        )
    floor = floor_of(workload, move.from_, state.now, limits)
    if not move.grows and not move.to >= floor * (1 - SLACK):
        has = shown(move.resource, floor)
        return (
            Reason.IRREVERSIBLE,
            f"{move.key} uses {has} {move.resource} that cannot be taken back; it may not shrink to {shown(move.resource, move.to)}",
        )
    return None


def _same(a: float | None, b: float) -> bool:
    return a is not None and abs(a - b) <= 1e-6 * max(abs(a), abs(b))


@lru_cache(4096)
def shown(resource: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "an unknown amount of"
    return amount(resource, value)
