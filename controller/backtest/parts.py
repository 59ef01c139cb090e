"""A case apart by what its workloads share, for whoever solves it: parts that share no resource of a node. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.plan.limits import needs
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.model import F64, WorkloadState


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Workloads of one node that compete, directly or through others, and what for."""

    members: tuple[int, ...]
    """Indices into the case's workloads."""
    capacity: F64
    """(K,) of each resource that they need."""
    needs: F64
    """(K, m) how much of it one base unit of each takes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How one workload may ever be moved, without what depends on the time."""

    initial: float
    low: float
    high: float
    step: float
    limit: float
    """Base units by which one program may move it at most."""
    grows: bool
    shrinks: bool
    hold: int
    """Ticks that must lie between two moves, at least 1."""
    fill: bool


def parts(case: Case) -> list[Part]:
    """The parts of a case, in the order of their first workloads."""
    wants = [{} if w.allocation is None else needs(w.allocation) for w in case.workloads]
    groups: list[tuple[set[tuple[str, str]], list[int]]] = []
    for i, workload in enumerate(case.workloads):
        places, members = {(workload.node, resource) for resource in wants[i]}, [i]
        for group in [group for group in groups if group[0] & places]:
            groups.remove(group)
            places, members = places | group[0], members + group[1]
        groups.append((places, sorted(members)))
    capacity = {(node.name, resource): has for node in case.nodes for resource, has in node.capacity.items()}
    found = []
    for places, members in sorted(groups, key=lambda group: group[1]):
        known = sorted(place for place in places if place in capacity)
        each = [[wants[i].get(resource, 0.0) for i in members] for _, resource in known]
        limits = np.array([capacity[place] for place in known])
        found.append(Part(tuple(members), limits, np.array(each).reshape(len(known), len(members))))
    return found


def bounds(case: Case, i: int) -> Bounds:
    workload, initial = case.workloads[i], float(case.initial[i])
    allocation, limits = workload.allocation, case.spec.limits
    if allocation is None:
        raise ValueError(f"{workload.key} declares no allocation; a case has only workloads that may be moved")
    hold = max(1, int(np.ceil(limits.hold / case.truth.tick - 1e-9)))
    still = "Off" in {workload.mode, case.spec.mode} or limits.max_programs_per_hour == 0
    grows, shrinks = not still and allocation.freeze != "grow", not still and allocation.freeze != "shrink"
    low, high = max(allocation.min, workload.traits.min_allocation), allocation.max
    return Bounds(
        initial, min(low, initial) if shrinks else initial, max(high, initial) if grows else initial,
        allocation.step, _limit(case, workload), grows, shrinks, hold, workload.traits.curve is CurveKind.FILL,
    )  # fmt: skip


def _limit(case: Case, workload: WorkloadState) -> float:
    allocation = workload.allocation
    if allocation is None:
        return 0.0
    capacity = next(node.capacity for node in case.nodes if node.name == workload.node)
    return max(allocation.step, case.spec.limits.max_step_percent / 100 * capacity.get(allocation.resource, 0.0))


def grid(case: Case, i: int) -> F64:
    """(L,) the allowed values of a workload, ascending."""
    allocation = case.workloads[i].allocation
    if allocation is None:
        return np.zeros(0)
    last = int(np.floor((allocation.max - allocation.min) / allocation.step * (1 + 1e-9) + 1e-9))
    values = allocation.min + allocation.step * np.arange(last + 1)
    return np.asarray(values[values >= case.workloads[i].traits.min_allocation * (1 - 1e-9)])
