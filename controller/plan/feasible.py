"""Whether a set of allocations may stand: every node's capacity and every constraint, from the State alone.

Knows nothing of how a plan was made, so that the guard does not repeat a planner's mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from controller.estimate.readings import known_allocation
from controller.plan.limits import SLACK, needs

if TYPE_CHECKING:
    from controller.model import NodeState, State, WorkloadState
    from controller.policy import Constraint

Place = tuple[str, str]
"""(node, resource)."""


def allocations(workloads: Iterable[WorkloadState]) -> dict[str, float | None]:
    """What each workload that has an allocation holds, by key (None: not known)."""
    return {w.key: known_allocation(w) for w in workloads if w.allocation is not None}


def unknown_places(workloads: Iterable[WorkloadState]) -> dict[Place, str]:
    """Where nobody can say what is free, and the first workload that does not say what it holds."""
    places: dict[Place, str] = {}
    for workload in workloads:
        if workload.allocation is not None and known_allocation(workload) is None:
            for resource in needs(workload.allocation):
                places.setdefault((workload.node, resource), workload.key)
    return places


def shortfalls(
    node: NodeState, workloads: Iterable[WorkloadState], held: Mapping[str, float | None]
) -> dict[str, tuple[float, float]]:
    """Wherever the workloads of one node hold more than it has: resource -> (held, capacity). Not declared is 0."""
    total: dict[str, float] = {}
    for workload in workloads:
        amount = held.get(workload.key)
        if workload.allocation is None or not amount:
            continue
        for resource, per_unit in needs(workload.allocation).items():
            total[resource] = total.get(resource, 0.0) + per_unit * amount
    return {
        resource: (amount, node.capacity.get(resource, 0.0))
        for resource, amount in total.items()
        if not amount <= node.capacity.get(resource, 0.0) * (1 + SLACK)
    }


def breaches(state: State, held: Mapping[str, float | None]) -> dict[tuple[str, str], float]:
    """("golem maxShare", resource) -> by how much a constraint is broken, in units of the resource."""
    broken: dict[tuple[str, str], float] = {}
    for constraint in state.spec.constraints:
        resources = {
            w.allocation.resource for w in state.workloads if w.allocation and w.protocol == constraint.protocol
        }
        for resource in sorted(resources):
            for form, by in _over(state, constraint, resource, held).items():
                if by > 0:
                    place = (f"{constraint.protocol} {form}", resource)
                    broken[place] = max(by, broken.get(place, 0.0))
    return broken


def _over(state: State, constraint: Constraint, resource: str, held: Mapping[str, float | None]) -> dict[str, float]:
    those = [w for w in state.workloads if w.allocation is not None and w.allocation.resource == resource]
    amounts = {w.key: held.get(w.key) or 0.0 for w in those}
    own = [amounts[w.key] for w in those if w.protocol == constraint.protocol]
    total, mine = sum(amounts.values()), sum(own)
    slack = SLACK * max(total, 1e-300)
    over: dict[str, float] = {}
    if constraint.max_share is not None:
        over["maxShare"] = mine - constraint.max_share * total - slack
    if constraint.max_total is not None:
        over["maxTotal"] = mine - constraint.max_total - slack
    if constraint.min_total is not None:
        over["minTotal"] = constraint.min_total - mine - slack
    if constraint.max_count is not None:
        over["maxCount"] = float(sum(1 for amount in own if amount > 0) - constraint.max_count)
    return over
