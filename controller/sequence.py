"""SEQUENCE. Allowed moves -> a Program of Steps that is safe at every prefix; and of a Program, what comes next. Pure.

On each node every shrink comes before every grow, and no grow begins before every shrink was read back from its node. So
what is held at any prefix is at most what was held at the begin, or what will be held at the end, and both fit. Nodes do
not depend on one another.

A lane (the steps of one node) goes forward until a step of it fails, and then back, the last one first. Going back, an
amount that grows again waits likewise until what had taken its room was read back.

    WAITING ──issue──▶ ISSUED ──(read back: the new value)──▶ DONE
                          │ failure                             │ failure of a later one
                          └──────────────▶ RETURNING ◀──────────┘
                                               └──(read back: the old value)──▶ RETURNED
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from controller.plan.limits import SLACK, needs
from controller.programs import Cause, Phase, Program, ProgramState, Step

if TYPE_CHECKING:
    from controller.model import Move
    from exporters.nodes import Allocation

NEAR: Final = 0.25
"""Share of a step by which a node may round an amount, and it is still that amount."""


class Unsafe(ValueError):
    """No order of these moves is safe; `str()` says which resource of which node has no room."""


# --- from moves to steps ------------------------------------------------------------------------------------------


def amounts_of(allocation: Allocation, amount: float) -> dict[str, float]:
    """What a driver sets for that much of the allocation's resource: it, and the companions that are not reserved."""
    return {
        resource: per_unit * amount
        for resource, per_unit in needs(allocation).items()
        if resource not in allocation.reserve
    }


def steps_of(
    moves: Iterable[Move], allocations: Mapping[str, Allocation], reported: Mapping[str, Mapping[str, float]]
) -> tuple[Step, ...]:
    """The moves as steps: by node, the shrinks first, each kind by what it brings, then by name. What a workload has of its
    companions is what it reports, where it does: that is what it goes back to.
    """
    ordered = sorted(moves, key=lambda move: (move.node, move.grows, -move.gain_usd_per_hour, move.key))
    return tuple(
        Step(
            key=move.key,
            node=move.node,
            resource=move.resource,
            before=_has(amounts_of(allocations[move.key], move.from_), move.resource, reported.get(move.key, {})),
            after=amounts_of(allocations[move.key], move.to),
        )
        for move in ordered
    )


def _has(amounts: Mapping[str, float], resource: str, reported: Mapping[str, float]) -> dict[str, float]:
    return {each: amount if each == resource else reported.get(each, amount) for each, amount in amounts.items()}


def name_of(policy: str, at: float, cause: Cause, steps: Iterable[Step]) -> str:
    """A short name that the same program always has."""
    said = repr((policy, at, cause.value, [(s.key, s.before[s.resource], s.after[s.resource]) for s in steps]))
    return f"p-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is known of the nodes that a program is for."""

    allocations: Mapping[str, Allocation]
    """By key, of everything on them that has one."""
    held: Mapping[str, float]
    """By key, the most that it may hold of its resource now."""
    capacity: Mapping[str, Mapping[str, float]]
    """By node."""
    reported: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By key, what the node says it has of each resource."""


def sequence(
    moves: Iterable[Move], holdings: Holdings, *, policy: str, at: float, cause: Cause, sentence: str
) -> Program:
    """The program of some moves, proposed at `at`. Raises Unsafe where some prefix would hold more than there is, and
    ValueError without moves.
    """
    steps = steps_of(moves, holdings.allocations, holdings.reported)
    if not steps:
        raise ValueError("there is nothing to do: give at least one move")
    if len({step.key for step in steps}) < len(steps):
        raise ValueError("one workload cannot be moved twice in one program; give each at most one move")
    now = dict(holdings.held)
    for step in steps:
        now[step.key] = max(step.held, now.get(step.key, 0.0))
    for step in steps:
        now[step.key] = max(now[step.key], step.after[step.resource])
        if step.grows and (said := _untold(step, now, holdings) or overdrawn(step.node, now, holdings)):
            raise Unsafe(said)
        now[step.key] = step.after[step.resource]
    return Program(
        id=name_of(policy, at, cause, steps), policy=policy, cause=cause, at=at, steps=steps, state=ProgramState.PENDING,
        sentence=sentence, changed=at,
    )  # fmt: skip


def _untold(step: Step, held: Mapping[str, float], holdings: Holdings) -> str:
    """Who does not say how much it holds of what this step needs, in a sentence; "": nobody."""
    for key in sorted(sharing(step.key, holdings.allocations) - held.keys()):
        return f"how much {holdings.allocations[key].resource} {key} holds is not known"
    return ""


def sharing(key: str, allocations: Mapping[str, Allocation]) -> set[str]:
    """The others on its node that need something which it needs too; all of them, where it needs nothing known."""
    node = key.partition("/")[0]
    own = set(needs(allocations[key])) if key in allocations else None
    return {
        other
        for other, allocation in allocations.items()
        if other != key and other.partition("/")[0] == node
        if own is None or not own.isdisjoint(needs(allocation))
    }


def overdrawn(node: str, held: Mapping[str, float], holdings: Holdings) -> str:
    """Where the workloads of one node would hold more than it has, in a sentence; "": nowhere."""
    allocations, capacity = holdings.allocations, holdings.capacity.get(node, {})
    total: dict[str, float] = {}
    for key, amount in held.items():
        if key.partition("/")[0] == node and key in allocations:
            for resource, per_unit in needs(allocations[key]).items():
                total[resource] = total.get(resource, 0.0) + per_unit * amount
    for resource, amount in sorted(total.items()):
        has = capacity.get(resource, 0.0)
        if not amount <= has * (1 + SLACK):
            return f"{amount:.12g} of {has:.12g} {resource} would be held on {node}"
    return ""


# --- what comes next ----------------------------------------------------------------------------------------------


class Verb(StrEnum):
    ISSUE = "issue"
    """Make the intent durable, then bring it about."""
    AWAIT = "await"
    """Read back until the node says so; bring it about again where that is not sure."""
    RETURN = "return"
    """Make it durable that it goes back, then bring that about."""


@dataclass(frozen=True, slots=True)
class Act:
    verb: Verb
    step: Step


def next_of(lane: Sequence[Step]) -> Act | None:
    """What is to be done next on one node; None: its end is reached."""
    if goes_back(lane):
        for step in reversed(lane):
            if step.phase is Phase.RETURNING:
                return Act(Verb.AWAIT, step)
            if step.phase in {Phase.ISSUED, Phase.DONE}:
                return Act(Verb.RETURN, step)
        return None
    for step in lane:
        if step.phase is Phase.WAITING:
            return Act(Verb.ISSUE, step)
        if step.phase is Phase.ISSUED:
            return Act(Verb.AWAIT, step)
    return None


def goes_back(lane: Iterable[Step]) -> bool:
    return any(step.failure for step in lane)


def settled(program: Program) -> ProgramState | None:
    """How it ended; None: some lane has not reached its end."""
    lanes = [program.lane(node) for node in program.nodes]
    if any(next_of(lane) for lane in lanes):
        return None
    return ProgramState.ROLLED_BACK if any(map(goes_back, lanes)) else ProgramState.APPLIED


def failed(step: Step, why: str) -> Step:
    """The step with why it goes back; the first reason stands."""
    return replace(step, failure=step.failure or why or "nobody said why", note="")


# --- read back ----------------------------------------------------------------------------------------------------


def near(step: Step, allocation: Allocation, reported: Mapping[str, float], amounts: Mapping[str, float]) -> bool:
    """Whether what a node reports of the step's own resource is that amount, as near as a node may round."""
    has = reported.get(step.resource)
    return has is not None and abs(has - amounts[step.resource]) <= _rounding(step, allocation) * allocation.step


def _rounding(step: Step, allocation: Allocation) -> float:
    """The share of a step; of a move that is smaller than one (to the grid, from beside it) as much less, so that what has
    and what it is to have are never the same amount.
    """
    moved = abs(step.after[step.resource] - step.before[step.resource])
    return NEAR * (min(1.0, moved / allocation.step) or 1.0)


def is_at(step: Step, allocation: Allocation, reported: Mapping[str, float], amounts: Mapping[str, float]) -> bool:
    """Whether what a node reports is these amounts."""
    return amiss(step, allocation, reported, amounts) is None


def amiss(
    step: Step, allocation: Allocation, reported: Mapping[str, float], amounts: Mapping[str, float]
) -> str | None:
    """The first resource of which a node reports another amount: its own, or a companion that it reports; None: it has what
    it is to have. Of a companion it never may have more, for that is not free, nor less where the workload grows.
    """
    if not near(step, allocation, reported, amounts):
        return step.resource
    grows = amounts[step.resource] >= max(step.before[step.resource], step.after[step.resource])
    for resource, amount in sorted(amounts.items()):
        if resource in reported and resource in allocation.with_:
            over, may = reported[resource] - amount, _rounding(step, allocation) * allocation.with_[resource]
            if not over <= may or (grows and not over >= -may):
                return resource
    return None
