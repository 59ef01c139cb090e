"""The State as programs see it: what is on its way, what failed lately, how many began; and the nodes, for sequencing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import held_allocation, known_allocation
from controller.plan.standing import clock
from controller.programs import IN_FLIGHT, WAITING, Cause, Phase, Program, ProgramState, Step
from controller.sequence import Holdings

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from controller.programs import Amounts
    from exporters.nodes import Allocation
    from exporters.reading import Reading

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
    pins: Pins = dict(flights(programs))
    resting = backoffs(mine, state.now, pardoned or {})
    for program in awaiting(mine).values():
        _pin(pins, program, f"waits until stage {stage_words(program)} of {program.id} is judged")
    for program in mine:
        if program.state in WAITING and program.cause is Cause.STAGE:
            _pin(pins, program, f"waits for stage {stage_words(program)}, program {program.id}")
    return replace(state, workloads=tuple(_in_program(w, pins, resting) for w in state.workloads))


Pins = dict[str, tuple[float | None, str]]
"""Key -> the most that a program may have it hold (None: what it has), and which program, as a clause."""


def _pin(pins: Pins, program: Program, clause: str) -> None:
    """All that a change in stages is about, also what this stage leaves as it is."""
    for step in program.steps:
        pins.setdefault(step.key, (step.held, clause))
    for key in program.stage.last if program.stage else ():
        pins.setdefault(key, (None, clause))


def apart_from(state: State, program: Program) -> State:
    """The State as the guard is to see it where it is asked about this program: what only it pins is free."""
    those = (
        replace(w, in_flight=None, program="") if w.in_flight is not None and program.id in w.program else w
        for w in state.workloads
    )
    return replace(state, workloads=tuple(those))


def returned(state: State, programs: Iterable[Program]) -> State:
    """The State as it is to be once these programs have gone back."""
    before = {step.key: step.before for program in programs for step in program.steps}
    those = (
        replace(
            w, in_flight=None, program="", reading=_laid_over(w.reading, before[w.key]),
            last_good=_laid_over(w.last_good, before[w.key]),
        )
        if w.key in before
        else w
        for w in state.workloads
    )  # fmt: skip
    return replace(state, workloads=tuple(those))


def _laid_over(reading: Reading | None, amounts: Amounts) -> Reading | None:
    if reading is None or not reading.up:
        return reading
    return replace(reading, allocated={**reading.allocated, **amounts})


def unreadable(state: State, why: str) -> State:
    """The State where nothing may move, since what some program changed is not known."""
    return replace(state, workloads=tuple(replace(w, infeasible=why) for w in state.workloads))


def paced(state: State, programs: Iterable[Program]) -> State:
    """With how many programs began in the last hour, beside those that a person did as suggested."""
    begun = begun_of(state.policy, programs)
    recent = sum(state.now - 3600.0 < at <= state.now for at in begun)
    last = max([*begun, -math.inf if state.last_program_at is None else state.last_program_at])
    counted = state.programs_last_hour + recent
    return replace(state, programs_last_hour=counted, last_program_at=last if math.isfinite(last) else None)


def begun_of(policy: str, programs: Iterable[Program]) -> list[float]:
    """When those began that count."""
    return [p.began for p in programs if p.policy == policy and p.began is not None and p.cause in _COUNTED]


_COUNTED: Final = frozenset({Cause.PLAN, Cause.STAGE})
"""Causes that maxProgramsPerHour counts: the way back is never too much."""


def _in_program(workload: WorkloadState, pins: Pins, resting: Mapping[str, str]) -> WorkloadState:
    if workload.key in pins:
        most, clause = pins[workload.key]
        most = known_allocation(workload) if most is None else most
        if most is None and workload.allocation is not None:  # nobody knows: the most that it may ever have
            most = workload.allocation.max
        return replace(workload, in_flight=most, program=clause)
    return replace(workload, infeasible=resting[workload.key]) if workload.key in resting else workload


def backoffs(programs: Iterable[Program], now: float, pardoned: Mapping[str, float]) -> dict[str, str]:
    """Key -> why orcha leaves it alone for now: its last moves failed, or were taken back. An applied one begins anew (G7)."""
    times: dict[str, int] = {}
    last: dict[str, tuple[float, str]] = {}
    known = sorted(programs, key=lambda each: (each.changed, each.id))
    undone = {each.of for each in known if each.cause is Cause.ROLLBACK and each.state is ProgramState.APPLIED}
    for program in known:
        if program.cause is Cause.RELEASE or program.state not in _TRIED:
            continue
        for step in program.steps:
            if _came_to_nothing(program, step):
                if program.changed > pardoned.get(step.key, -math.inf):
                    times[step.key] = times.get(step.key, 0) + 1
                    last[step.key] = (program.changed, step.failure or program.sentence)
            elif step.phase is Phase.DONE and program.id not in undone:
                times.pop(step.key, None)
    found = {}
    for key, count in times.items():
        at, why = last[key]
        until = at + min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(count - 1, _DOUBLED))
        if now < until:
            found[key] = f"moving {key} came to nothing at {clock(at)} ({why}); it is tried again after {clock(until)}"
    return found


def _came_to_nothing(program: Program, step: Step) -> bool:
    """Whether its move failed, or this took an earlier one back."""
    if program.cause is Cause.ROLLBACK:
        return step.phase is Phase.DONE
    return bool(step.failure) and step.phase is not Phase.DONE


_DOUBLED: Final = 10
"""Times that the wait is doubled at most: it is the longest long before."""
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
