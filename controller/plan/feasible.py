"""Whether a set of allocations may stand: every node's capacity and every constraint, from the State alone.

Knows nothing of how a plan was made, so that the guard does not repeat a planner's mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.estimate.readings import held_allocation
from controller.plan.limits import SLACK, needs

if TYPE_CHECKING:
    from controller.model import NodeState, State, WorkloadState
    from controller.policy import Constraint

Place = tuple[str, str]
"""(node, resource)."""


def allocations(workloads: Iterable[WorkloadState]) -> dict[str, float | None]:
    """What each workload that has an allocation holds, by key (None: not known)."""
    return {w.key: held_allocation(w) for w in workloads if w.allocation is not None}


def unknown_places(workloads: Iterable[WorkloadState]) -> dict[Place, str]:
    """Where nobody can say what is free, and the first workload that does not say what it holds."""
    places: dict[Place, str] = {}
    for workload in workloads:
        if workload.allocation is not None and held_allocation(workload) is None:
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


@dataclass(frozen=True, slots=True)
class Tally:
    """What one constraint counts of one resource."""

    total: float = 0.0
    """Held of the resource by all."""
    mine: float = 0.0
    """By the workloads of its protocol."""
    running: int = 0
    """How many of those have more than their minimum."""

    def plus(self, workload: WorkloadState, constraint: Constraint, from_: float, to: float) -> Tally:
        """The tally after one workload went from one amount to another."""
        if workload.protocol != constraint.protocol:
            return replace(self, total=self.total + to - from_)
        started = int(above_minimum(workload, to)) - int(above_minimum(workload, from_))
        return Tally(self.total + to - from_, self.mine + to - from_, self.running + started)


Tallies = Mapping[tuple[int, str], Tally]
"""(number of the constraint, resource) -> what it counts."""
Change = tuple["WorkloadState", float, float]
"""A workload, what it has and what it gets."""


def above_minimum(workload: WorkloadState, amount: float) -> bool:
    """Whether it runs with more than it must have: what maxCount counts."""
    return workload.allocation is not None and amount > workload.allocation.min * (1 + SLACK)


def tallies(state: State, held: Mapping[str, float | None]) -> Tallies:
    """What every constraint counts; once per State, since it looks at everything."""
    changes = [(w, 0.0, held.get(w.key) or 0.0) for w in state.workloads if w.allocation is not None]
    named = {(w.protocol, w.allocation.resource) for w in state.workloads if w.allocation is not None}
    none = {
        (number, resource): Tally()
        for number, constraint in enumerate(state.spec.constraints)
        for protocol, resource in sorted(named)
        if protocol == constraint.protocol
    }
    return tallied(state, none, changes)


def tallied(state: State, before: Tallies, changes: Iterable[Change]) -> Tallies:
    """The tallies after some changes."""
    after = dict(before)
    for workload, from_, to in changes if before else ():
        resource = workload.allocation.resource if workload.allocation else ""
        for number, constraint in enumerate(state.spec.constraints):
            if (number, resource) in after:
                after[number, resource] = after[number, resource].plus(workload, constraint, from_, to)
    return after


def breaches(state: State, held: Mapping[str, float | None]) -> dict[tuple[str, str], float]:
    """("golem maxShare", resource) -> by how much a constraint is broken, in units of the resource."""
    return broken(state, tallies(state, held))


def broken(state: State, counted: Tallies) -> dict[tuple[str, str], float]:
    """The same of tallies."""
    found: dict[tuple[str, str], float] = {}
    for (number, resource), tally in counted.items():
        constraint = state.spec.constraints[number]
        for form, by in _over(constraint, tally).items():
            if by > 0:
                place = (f"{constraint.protocol} {form}", resource)
                found[place] = max(by, found.get(place, 0.0))
    return found


def _over(constraint: Constraint, tally: Tally) -> dict[str, float]:
    total, mine = tally.total, tally.mine
    slack = SLACK * max(total, 1e-300)
    over: dict[str, float] = {}
    if constraint.max_share is not None:
        over["maxShare"] = mine - constraint.max_share * total - slack
    if constraint.max_total is not None:
        over["maxTotal"] = mine - constraint.max_total - slack
    if constraint.min_total is not None:
        over["minTotal"] = constraint.min_total - mine - slack
    if constraint.max_count is not None:
        over["maxCount"] = float(tally.running - constraint.max_count)
    return over
