"""The State as programs see it: what is on its way, what failed lately, how many began; and the nodes, for sequencing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import held_allocation, known_allocation
from controller.plan.standing import clock
from controller.programs import IN_FLIGHT, Cause, Phase, Program, ProgramState
from controller.sequence import Holdings

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from exporters.nodes import Allocation

FIRST_BACKOFF: Final = 3600.0
LONGEST_BACKOFF: Final = 86400.0
"""Seconds for which a workload whose move failed is left alone: twice as long after each further failure."""


def holdings_of(state: State) -> Holdings:
    """What a State knows of its nodes, for sequencing."""
    held = {w.key: held_allocation(w) for w in state.workloads if w.allocation is not None}
    good = {w.key: next((r for r in (w.reading, w.last_good) if r is not None and r.up), None) for w in state.workloads}
    return Holdings(
        allocations=allocations_of(state),
        held={key: has for key, has in held.items() if has is not None},
        capacity={node.name: node.capacity for node in state.nodes},
        reported={key: reading.allocated for key, reading in good.items() if reading is not None},
    )


def allocations_of(state: State) -> dict[str, Allocation]:
    return {w.key: w.allocation for w in state.workloads if w.allocation is not None}


def known_of(state: State) -> dict[str, float]:
    """Key -> what it holds, of those that say so."""
    return {w.key: has for w in state.workloads if (has := known_allocation(w)) is not None}


def in_programs(state: State, programs: Sequence[Program], pardoned: Mapping[str, float] | None = None) -> State:
    """With what programs hold, and what failed lately. `pardoned`: key -> until when no failure counts."""
    mine = [program for program in programs if program.policy == state.policy]
    held, resting = flights(programs), backoffs(mine, state.now, pardoned or {})
    for program in awaiting(mine).values():
        for step in program.steps:
            held.setdefault(
                step.key, (step.held, f"waits until stage {stage_words(program)} of {program.id} is judged")
            )
    return replace(state, workloads=tuple(_in_program(w, held, resting) for w in state.workloads))


def paced(state: State, programs: Iterable[Program]) -> State:
    """With how many programs began in the last hour, beside those that a person did as suggested."""
    begun = [
        program.began
        for program in programs
        if program.policy == state.policy and program.began is not None and program.cause in _COUNTED
    ]
    recent = sum(state.now - 3600.0 < at <= state.now for at in begun)
    last = max([*begun, -math.inf if state.last_program_at is None else state.last_program_at])
    counted = state.programs_last_hour + recent
    return replace(state, programs_last_hour=counted, last_program_at=last if math.isfinite(last) else None)


_COUNTED: Final = frozenset({Cause.PLAN, Cause.STAGE})
"""Causes that maxProgramsPerHour counts: the way back is never too much."""


def _in_program(
    workload: WorkloadState, held: Mapping[str, tuple[float, str]], resting: Mapping[str, str]
) -> WorkloadState:
    if workload.key in held:
        most, clause = held[workload.key]
        return replace(workload, in_flight=most, program=clause)
    return replace(workload, infeasible=resting[workload.key]) if workload.key in resting else workload


def backoffs(programs: Iterable[Program], now: float, pardoned: Mapping[str, float]) -> dict[str, str]:
    """Key -> why orcha leaves it alone for now: its last moves failed. An applied one begins anew (G7)."""
    count: dict[str, int] = {}
    last: dict[str, tuple[float, str]] = {}
    for program in sorted(programs, key=lambda each: (each.changed, each.id)):
        if program.cause not in {Cause.PLAN, Cause.STAGE} or program.state not in _TRIED:
            continue
        for step in program.steps:
            if step.phase is Phase.DONE:
                count.pop(step.key, None)
            elif step.failure and program.changed > pardoned.get(step.key, -math.inf):
                count[step.key] = count.get(step.key, 0) + 1
                last[step.key] = (program.changed, step.failure)
    found = {}
    for key, times in count.items():
        at, why = last[key]
        until = at + min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (times - 1))
        if now < until:
            found[key] = f"moving {key} failed at {clock(at)} ({why}); it is tried again after {clock(until)}"
    return found


_TRIED: Final = frozenset({ProgramState.APPLIED, ProgramState.ROLLED_BACK})


def flights(programs: Iterable[Program]) -> dict[str, tuple[float, str]]:
    """Key -> the most that a program on its way may have it hold, and which, as a clause."""
    found: dict[str, tuple[float, str]] = {}
    for program in programs:
        if program.state not in IN_FLIGHT:
            continue
        word = "is blocked half way of" if program.state is ProgramState.BLOCKED else "is being changed by"
        for step in program.steps:
            most = max(step.held, found.get(step.key, (0.0, ""))[0])
            found[step.key] = (most, f"{word} program {program.id}{f' ({step.note})' if step.note else ''}")
    return found


def awaiting(programs: Iterable[Program]) -> dict[str, Program]:
    """Id -> applied programs whose next stage has not been proposed yet."""
    known = list(programs)
    followed = {each.of for each in known if each.of}
    return {
        each.id: each
        for each in known
        if each.state is ProgramState.APPLIED and each.stage and not each.stage.is_last and each.id not in followed
    }


def stage_words(program: Program) -> str:
    return f"{program.stage.number} of {len(program.stage.shares)}" if program.stage else "1 of 1"
