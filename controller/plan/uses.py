"""What each node has of each resource and what is held of it now: where nothing can be planned, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.estimate.readings import Why, held_allocation
from controller.estimate.words import amount
from controller.model import Reason
from controller.plan.limits import SLACK, needs

if TYPE_CHECKING:
    from controller.model import NodeState, WorkloadState


@dataclass(slots=True)
class Uses:
    """What each node has and what is held of it now, per resource."""

    capacity: dict[str, Mapping[str, float]]
    held: dict[tuple[str, str], float] = field(default_factory=dict)
    unknown: dict[tuple[str, str], str] = field(default_factory=dict)
    """(node, resource) -> the workload that does not say what it holds."""

    def trouble(self, workload: WorkloadState) -> Why | None:
        """Why nothing that needs what this workload needs can be planned on its node."""
        allocation = workload.allocation
        for resource in sorted(needs(allocation)) if allocation else ():
            place = (workload.node, resource)
            capacity = self.capacity.get(workload.node, {}).get(resource)
            if capacity is None:
                return (
                    Reason.CAPACITY,
                    f"{workload.key} needs {resource}, of which {workload.node} declares no capacity",
                )
            if place in self.unknown:
                who = self.unknown[place]
                return (
                    Reason.UNKNOWN_ALLOCATION,
                    f"nothing that needs {resource} on {workload.node} is planned: how much {who} holds is not known",
                )
            if self.held[place] > capacity * (1 + SLACK):
                has, holds = amount(resource, capacity), amount(resource, self.held[place])
                numbers = f"{holds} {resource} are held on {workload.node}, which has {has} to hand out"
                return Reason.CAPACITY, f"{numbers}; shrink one by hand or correct the capacity"
        return None


def uses_of(workloads: list[WorkloadState], nodes: Mapping[str, NodeState]) -> Uses:
    uses = Uses({name: node.capacity for name, node in nodes.items()})
    for workload in workloads:
        if workload.allocation is None:
            continue
        current = held_allocation(workload)
        for resource, per_unit in needs(workload.allocation).items():
            place = (workload.node, resource)
            if current is None:
                uses.unknown.setdefault(place, workload.key)
            else:
                uses.held[place] = uses.held.get(place, 0.0) + per_unit * current
    return uses
