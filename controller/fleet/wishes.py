"""What a site would hold with as many rights as it likes, so that rights can go where they are wanted. The arithmetic runs in a
thread; it reads nothing but what it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.decide import judge
from controller.plan.limits import SLACK, is_lasting

if TYPE_CHECKING:
    from controller.model import Decision, Plan, WorkloadState
    from controller.policy import Constraint, PolicySpec
    from exporters.nodes import Allocation


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """Of one policy."""

    plan: Plan
    """That it was made from."""
    targets: Mapping[str, float]
    """Key -> what it would give each workload that it would move."""
    lasting: int
    """How many of those moves cannot be taken back."""


async def wishes_of(
    decisions: Iterable[Decision], before: Mapping[str, Wish], own: Mapping[str, PolicySpec]
) -> dict[str, Wish]:
    """By policy: what its plan comes to, or where a limit of the fleet is in its way, what the same analysis comes to without.
    `before`: those that stand where there is no newer plan; `own`: the policies' specs without the fleet's limits.
    """
    found = {}
    for decision in decisions:
        policy = decision.state.policy
        known = before.get(policy)
        if known is not None and known.plan is decision.plan:
            found[policy] = known
            continue
        free = decision
        if policy in own and decision.plan.solver != "none" and _has_past(decision) and _narrow(decision):
            free = await asyncio.to_thread(_freed, decision, own[policy])
        moves = [verdict.move for verdict in free.verdicts if verdict.allowed]
        found[policy] = Wish(decision.plan, {move.key: move.to for move in moves}, _lasting_of(free))
    return found


def _has_past(decision: Decision) -> bool:
    """Whether it can be made again: what is only shown has no past any more (state.without_past)."""
    return any(workload.blocks is not None for workload in decision.state.workloads)


def _narrow(decision: Decision) -> bool:
    """Whether a limit of the fleet may have kept something out of the plan: a step more of anything would break it."""
    state, targets = decision.state, decision.plan.targets
    those = [w for w in state.workloads if w.allocation is not None and w.key in targets]
    if state.permits is not None and state.permits < sum(is_lasting(w, grows=True) for w in those):
        return True
    for constraint in state.spec.constraints:
        mine = [(w.allocation, targets[w.key]) for w in those if w.allocation and _is_about(constraint, w)]
        if constraint.throughout and mine and _tight(constraint, mine):
            return True
    return False


def _is_about(constraint: Constraint, workload: WorkloadState) -> bool:
    resource = workload.allocation.resource if workload.allocation else ""
    return constraint.counts(workload.protocol, resource)


def _tight(constraint: Constraint, mine: Sequence[tuple[Allocation, float]]) -> bool:
    total, step = sum(to for _, to in mine), max(allocation.step for allocation, _ in mine)
    runs = sum(to > allocation.min * (1 + SLACK) for allocation, to in mine)
    return (
        (constraint.max_total is not None and total + step > constraint.max_total)
        or (constraint.min_total is not None and total - step < constraint.min_total)
        or (constraint.max_count is not None and runs >= constraint.max_count)
    )


def _freed(decision: Decision, own: PolicySpec) -> Decision:
    """The same analysis without the fleet's limits."""
    state = replace(decision.state, spec=own, permits=None)
    unknown = {key: why for key, why in decision.not_considered.items() if key not in decision.curves}
    return judge(state, decision.curves, unknown, brief=True)


def _lasting_of(decision: Decision) -> int:
    """How many of the allowed moves cannot be taken back."""
    those = {w.key: w for w in decision.state.workloads}
    moves = [verdict.move for verdict in decision.verdicts if verdict.allowed]
    return sum(is_lasting(those[move.key], grows=move.grows) for move in moves)
