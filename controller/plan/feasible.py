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
    """What one constraint counts of one resource, after some changes; and by how much it may be otherwise half way, when
    some of them are made and others are not.
    """

    total: float = 0.0
    """Held of the resource by all."""
    mine: float = 0.0
    """By the workloads of its protocol."""
    running: int = 0
    """How many of those have more than their minimum."""
    grown: float = 0.0
    """What of `mine` may not be there yet: what grew, or is not known."""
    shrunk: float = 0.0
    """What may still be there beside `mine`."""
    beside: float = 0.0
    """What others hold of `total` that may not be there yet."""
    stopped: int = 0
    """How many may still run beside those."""

    def plus(self, workload: WorkloadState, constraint: Constraint, from_: float, to: float, times: int = 1) -> Tally:
        """The tally after one workload went from one amount to another; `times` -1: had it not."""
        by = times * (to - from_)
        if workload.protocol != constraint.protocol:
            return replace(self, total=self.total + by, beside=self.beside + times * max(0.0, to - from_))
        was, runs = above_minimum(workload, from_), above_minimum(workload, to)
        return replace(
            self,
            total=self.total + by,
            mine=self.mine + by,
            running=self.running + times * (int(runs) - int(was)),
            grown=self.grown + times * max(0.0, to - from_),
            shrunk=self.shrunk + times * max(0.0, from_ - to),
            stopped=self.stopped + times * int(was and not runs),
        )

    def holding(self, workload: WorkloadState, constraint: Constraint, amount: float | None) -> Tally:
        """With what one workload holds now. Unknown is nothing, but where a constraint holds throughout: then it is
        anything that it may ever have.
        """
        least, most = amount or 0.0, amount or 0.0
        if amount is None and constraint.throughout and workload.allocation is not None:
            least, most = workload.allocation.min, workload.allocation.max
        there = self.plus(workload, constraint, 0.0, most)
        return replace(there, grown=self.grown, beside=self.beside).unsure(workload, constraint, most - least)

    def unsure(self, workload: WorkloadState, constraint: Constraint, by: float) -> Tally:
        if workload.protocol == constraint.protocol:
            return replace(self, grown=self.grown + by)
        return replace(self, beside=self.beside + by)


Tallies = Mapping[tuple[int, str], Tally]
"""(number of the constraint, resource) -> what it counts."""
Change = tuple["WorkloadState", float, float]
"""A workload, what it has and what it gets."""


def above_minimum(workload: WorkloadState, amount: float) -> bool:
    """Whether it runs with more than it must have: what maxCount counts."""
    return workload.allocation is not None and amount > workload.allocation.min * (1 + SLACK)


def tallies(state: State, held: Mapping[str, float | None]) -> Tallies:
    """What every constraint counts; once per State, since it looks at everything."""
    named = {(w.protocol, w.allocation.resource) for w in state.workloads if w.allocation is not None}
    found = {
        (number, resource): Tally()
        for number, constraint in enumerate(state.spec.constraints)
        for protocol, resource in sorted(named)
        if constraint.counts(protocol, resource)
    }
    for workload in state.workloads if found else ():
        for place, constraint in _about(state, found, workload):
            found[place] = found[place].holding(workload, constraint, held.get(workload.key))
    return found


def tallied(state: State, before: Tallies, changes: Iterable[Change], times: int = 1) -> Tallies:
    """The tallies after some changes; `times` -1: had they not been made."""
    after = dict(before)
    for workload, from_, to in changes if before else ():
        for place, constraint in _about(state, before, workload):
            after[place] = after[place].plus(workload, constraint, from_, to, times)
    return after


def _about(state: State, counted: Tallies, workload: WorkloadState) -> list[tuple[tuple[int, str], Constraint]]:
    """The constraints that a workload counts in, and where."""
    if workload.allocation is None:
        return []
    places = ((number, workload.allocation.resource) for number in range(len(state.spec.constraints)))
    return [(place, state.spec.constraints[place[0]]) for place in places if place in counted]


Breach = tuple[str, str, int]
"""("golem maxShare", resource, number of the constraint)."""


def breaches(state: State, held: Mapping[str, float | None]) -> dict[Breach, float]:
    """By how much each constraint is broken, in units of the resource; of those that are."""
    return broken(state, tallies(state, held))


def broken(state: State, counted: Tallies) -> dict[Breach, float]:
    """The same of tallies."""
    found: dict[Breach, float] = {}
    for (number, resource), tally in counted.items():
        constraint = state.spec.constraints[number]
        for form, by in _over(constraint, tally).items():
            if by > 0:
                found[f"{constraint.protocol} {form}", resource, number] = by
    return found


def _over(constraint: Constraint, tally: Tally) -> dict[str, float]:
    """At the worst moment, where it must hold throughout: each change may be made or not be made yet."""
    total, mine, slack = tally.total, tally.mine, SLACK * max(tally.total, 1e-300)
    late, early, beside, stopped = 0.0, 0.0, 0.0, 0
    if constraint.throughout:
        late, early, beside, stopped = tally.shrunk, tally.grown, tally.beside, tally.stopped
    over: dict[str, float] = {}
    if constraint.max_share is not None:
        over["maxShare"] = mine + late - constraint.max_share * (total + late - beside) - slack
    if constraint.max_total is not None:
        over["maxTotal"] = mine + late - constraint.max_total - slack
    if constraint.min_total is not None:
        over["minTotal"] = constraint.min_total - (mine - early) - slack
    if constraint.max_count is not None:
        over["maxCount"] = float(tally.running + stopped - constraint.max_count)
    return over
