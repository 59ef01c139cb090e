"""What a site holds of each of the fleet's limits, and the constraints that its rights come to for one policy. Pure.

The ledgers of escrow.py count whole units: thousandths of a core and of extended resources, single bytes and bits per second.
Of what is held always the worse is counted: what is not known, or may be on its way there, is the most that a workload may
have where the limit is a most, and the least where it is a least. A program that is on its way is counted at both of its
ends, since it may yet go back; one that has ended, until its node was read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import known_allocation
from controller.fleet.escrow import Limit
from controller.plan.feasible import allocations, tallies
from controller.plan.limits import SIGNED, SLACK, is_lasting
from controller.policy import Constraint
from controller.programs import IN_FLIGHT, WAITING, Phase, Program

if TYPE_CHECKING:
    from controller.fleet.manifest import FleetLimit, FleetSpec
    from controller.model import State, WorkloadState
    from controller.programs import Step

IRREVERSIBLE: Final = "irreversible"
"""The limit of moves that cannot be taken back."""
CLOCKS: Final = 30.0
"""Seconds by which a reading must be later than the end of a program to tell what came of it: it may carry another's clock."""
LATE: Final = 600.0
"""The same where nobody knows whether the driver took what it was told: so long it may yet do it."""
_WHOLE: Final = frozenset({"memory", "storage", "bandwidth"})
_ROUNDING: Final = 1e-6
"""Units that float64 may have lost."""


class Bound(StrEnum):
    """What kind of a limit: the last word of its name."""

    MOST = "most"
    LEAST = "least"
    COUNT = "count"
    IRREVERSIBLE = IRREVERSIBLE

    @property
    def field(self) -> str:
        """As it is called in manifests."""
        return _FIELDS[self]


_FIELDS: Final = {
    Bound.MOST: "maxTotal", Bound.LEAST: "minTotal", Bound.COUNT: "maxCount", Bound.IRREVERSIBLE: "irreversibleAtOnce",
}  # fmt: skip


def bound_of(name: str) -> Bound:
    """Of a limit of escrow.py, by its name."""
    return Bound(name.rpartition(" ")[2])


Meaning = tuple[str, str]
"""(protocol, resource): whose allocations of what a limit counts."""


# --- units --------------------------------------------------------------------------------------------------------------


def unit(resource: str) -> int:
    """How many units are in one base unit of a resource."""
    return 1 if resource in _WHOLE else 1000


def up(resource: str, amount: float) -> int:
    """In whole units, at least as much."""
    return math.ceil(amount * unit(resource) - _ROUNDING)


def down(resource: str, amount: float) -> int:
    """In whole units, at most as much."""
    return math.floor(amount * unit(resource) + _ROUNDING)


def limits_of(spec: FleetSpec) -> tuple[Limit, ...]:
    """The manifest's limits as the ledgers have them, sorted by name. A share is none of them: each site keeps it by itself."""
    members = tuple(sorted(spec.sites))
    found = [limit for each in spec.limits for limit in _worded(each, members)]
    if spec.irreversible_at_once is not None:
        found.append(Limit(IRREVERSIBLE, members, spec.irreversible_at_once))
    return tuple(sorted(found, key=lambda limit: limit.name))


def _worded(limit: FleetLimit, members: tuple[str, ...]) -> Iterable[Limit]:
    if limit.max_total is not None:
        yield Limit(f"{limit.name} {Bound.MOST}", members, most=down(limit.resource, limit.max_total))
    if limit.min_total is not None:
        yield Limit(f"{limit.name} {Bound.LEAST}", members, least=up(limit.resource, limit.min_total))
    if limit.max_count is not None:
        yield Limit(f"{limit.name} {Bound.COUNT}", members, most=limit.max_count)


def meanings_of(spec: FleetSpec) -> dict[str, Meaning]:
    """Limit's name -> what it counts; without that of moves that cannot be taken back."""
    members = tuple(spec.sites)
    return {worded.name: (each.protocol, each.resource) for each in spec.limits for worded in _worded(each, members)}


# --- what is held -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What one workload holds of its resource, as far as that can be said."""

    protocol: str
    """"": it is declared no more, so it counts for every protocol."""
    resource: str
    most: float
    """Base units; it holds no more."""
    least: float
    """It holds no less."""
    minimum: float = 0.0
    """What it must have; with more it counts as running."""
    lasting: bool = False
    """Whether its growth cannot be taken back."""
    signed: bool = False
    """Whether each of its changes has to be signed by a person."""

    def counts(self, meaning: Meaning) -> bool:
        return self.resource == meaning[1] and self.protocol in {"", meaning[0]}

    def at(self, *amounts: float) -> Held:
        """As if it might hold these, too."""
        return replace(self, most=max(self.most, *amounts), least=min(self.least, *amounts))


def held_by(
    workloads: Iterable[WorkloadState], programs: Sequence[Program], pretended: Iterable[WorkloadState] = ()
) -> dict[str, Held]:
    """Key -> what each workload of a site holds. `pretended`: the same workloads as dry runs left them: what these pretend to
    free is not free.
    """
    found: dict[str, Held] = {}
    read: dict[str, float] = {}
    for workload in workloads:
        if workload.allocation is not None:
            found[workload.key] = _held(workload)
            readings = (workload.reading, workload.last_good)
            read[workload.key] = max((each.at for each in readings if each is not None and each.up), default=-math.inf)
    for workload in pretended:
        has = known_allocation(workload)
        if has is not None and workload.key in found:
            found[workload.key] = found[workload.key].at(has)
    for program in programs:
        for step in program.steps:
            if amounts := _on_the_way(program, step, read.get(step.key, math.inf)):
                name, known = _known(found, step)
                found[name] = known.at(*amounts)
    return found


def _held(workload: WorkloadState) -> Held:
    allocation = workload.allocation
    if allocation is None:
        raise ValueError(f"{workload.key} declares no allocation")
    has = known_allocation(workload)
    return Held(
        protocol=workload.protocol,
        resource=allocation.resource,
        most=allocation.max if has is None else has,
        least=allocation.min if has is None else has,
        minimum=allocation.min,
        lasting=is_lasting(workload, grows=True),
        signed=workload.driver in SIGNED,
    )


def _on_the_way(program: Program, step: Step, read: float) -> tuple[float, ...]:
    """What a step may have a workload hold beside what was read of it at `read`."""
    before, after = step.before[step.resource], step.after[step.resource]
    if program.state in IN_FLIGHT:
        return before, after
    if program.state in WAITING or step.phase is Phase.WAITING:
        return ()
    if read > program.changed + (LATE if step.unsettled else CLOCKS):
        return ()
    return (before, after) if step.unsettled else (step.target[step.resource],)


def with_waiting(held: Mapping[str, Held], programs: Iterable[Program]) -> dict[str, Held]:
    """The same as if all programs that wait had begun: what is kept back for them."""
    found = dict(held)
    for program in programs:
        if program.state in WAITING:
            found |= begun(found, program)
    return found


def begun(held: Mapping[str, Held], program: Program) -> dict[str, Held]:
    """What the workloads of one program hold at the worst moment of it."""
    found = {}
    for step in program.steps:
        name, known = _known(held, step)
        found[name] = known.at(step.before[step.resource], step.after[step.resource])
    return found


def _known(held: Mapping[str, Held], step: Step) -> tuple[str, Held]:
    """Under which name, and what is known of what a step changes; newer manifests may declare it otherwise, or not at all."""
    known, has = held.get(step.key), step.before[step.resource]
    if known is not None and known.resource == step.resource:
        return step.key, known
    name = f"{step.key} {step.resource}"
    return name, held.get(name) or Held("", step.resource, has, has, lasting=True)


def counted(bound: Bound, meanings: Iterable[Meaning], held: Mapping[str, Held]) -> int:
    """What a site holds of one limit, in its units, on the safe side. Of several meanings the one that counts worst."""
    return _worst(bound, [_counted(bound, meaning, held.values()) for meaning in meanings])


def _counted(bound: Bound, meaning: Meaning, held: Iterable[Held]) -> int:
    those = [each for each in held if each.counts(meaning)]
    match bound:
        case Bound.MOST:
            return up(meaning[1], sum(each.most for each in those))
        case Bound.LEAST:
            return down(meaning[1], sum(each.least for each in those if each.protocol))
        case _:
            return sum(each.most > each.minimum * (1 + SLACK) for each in those)


def _worst(bound: Bound, found: Sequence[int]) -> int:
    worst: Callable[..., int] = min if bound is Bound.LEAST else max
    return worst(found, default=0)


def lasting_moves(programs: Iterable[Program], held: Mapping[str, Held]) -> int:
    """How many of their moves cannot be taken back: they grow what stays in use once it is used, or a person signs them; those
    of workloads that are declared no more, too.
    """
    return sum(_lasts(step, held.get(step.key)) for program in programs for step in program.steps)


def _lasts(step: Step, held: Held | None) -> bool:
    return held is None or held.signed or (held.lasting and step.grows)


# --- what a policy may do -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Room:
    """How far a site may go from what it holds, of one limit."""

    bound: Bound
    meaning: Meaning
    units: int
    """More for a most and a count, less for a least; below 0 where it holds too much, or too little."""
    limit: str = ""
    """Its name, and why this site may not use all of its part, where it may not."""

    @property
    def amount(self) -> float:
        return self.units if self.bound is Bound.COUNT else self.units / unit(self.meaning[1])


@dataclass(frozen=True, slots=True)
class Part:
    """What a site has of one limit, as a constraint of one policy."""

    limit: str
    """As `Room.limit`."""
    constraint: Constraint


def bound_by(state: State, parts: Iterable[Part]) -> State:
    """The State of one policy with these beside its own constraints; it says which are whose, for the sentences."""
    spec, named = state.spec, dict(state.parts)
    constraints = list(spec.constraints)
    for part in parts:
        named[len(constraints)] = part.limit
        constraints.append(part.constraint)
    return replace(state, spec=spec.model_copy(update={"constraints": constraints}), parts=named)


def parts_of(state: State, rooms: Sequence[Room]) -> tuple[Part, ...]:
    """The rooms as constraints of one policy, who may use all of each: its own workloads now, and what is left. They hold
    throughout, since half way another site may use all that it has.
    """
    plain = [Constraint(protocol=r.meaning[0], resource=r.meaning[1], throughout=True) for r in rooms]
    bare = replace(state, spec=state.spec.model_copy(update={"constraints": plain}))
    found = tallies(bare, allocations(state.workloads))
    made = []
    for number, (room, constraint) in enumerate(zip(rooms, plain, strict=True)):
        tally = found.get((number, room.meaning[1]))
        if tally is None:
            continue
        match room.bound:
            case Bound.MOST:
                told = {"max_total": max(0.0, tally.mine + room.amount)}
            case Bound.LEAST:
                told = {"min_total": max(0.0, tally.mine - tally.grown - room.amount)}
            case _:
                told = {"max_count": max(0, tally.running + room.units)}
        made.append(Part(room.limit, constraint.model_copy(update=told)))
    return tuple(made)


def shares_of(spec: FleetSpec) -> tuple[Part, ...]:
    """The shares, which each site keeps by itself."""
    return tuple(
        Part(
            each.name,
            Constraint(protocol=each.protocol, resource=each.resource, max_share=each.max_share, throughout=True),
        )
        for each in spec.limits
        if each.max_share is not None
    )
