"""What becomes of a decision, and of programs that wait: proposed, pending, approved, expired, superseded. Pure.

Mode Auto approves what the guard allows by itself; where the policy or any workload concerned is in mode Approve, a
person does, and a program waits for that no longer than approval.ttl. A newer plan takes the place of one that waits only
if a target moves by more than one step, so that nobody is asked the same thing twice. Before an approved one begins the
guard is asked again (G5): a reason that passes by itself lets it wait, any other one makes it void.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import held_allocation, known_allocation
from controller.estimate.words import amount
from controller.model import Interval, Move, Reason
from controller.plan.limits import SLACK, floor_of
from controller.plan.standing import clock, mode_of
from controller.programs import IN_FLIGHT, WAITING, Cause, Phase, Program, ProgramState, Stage
from controller.promises import Kind, Trial, trial
from controller.sequence import NEAR, Holdings, Unsafe, sequence

if TYPE_CHECKING:
    from controller.model import Decision, State, Verdict, WorkloadState
    from controller.promises import Outcome
    from exporters.nodes import Allocation

APPROVE: Final = "orcha.dev/approve"
REJECT: Final = "orcha.dev/reject"
"""Annotations of an AllocationPolicy: ids of programs, for those who approve in Git."""
_TENTH: Final = NormalDist().inv_cdf(0.9)
PASSING: Final = frozenset(
    {
        Reason.PAUSED, Reason.CIRCUIT_OPEN, Reason.BLOCKED, Reason.FREEZE_WINDOW, Reason.RATE_LIMIT,
        Reason.PROGRAM_RUNNING, Reason.DISCONNECTED, Reason.STALE, Reason.HOLD, Reason.PROTECTED, Reason.RISE_PENDING,
    }
)  # fmt: skip
"""Reasons that pass by themselves: what was approved waits for that, as long as its approval counts."""
FIRST_BACKOFF: Final = 3600.0
LONGEST_BACKOFF: Final = 86400.0
"""Seconds for which a workload whose move failed is left alone: twice as long after each further failure."""


# --- a decision becomes a program ---------------------------------------------------------------------------------


def proposed(decision: Decision) -> Program | None:
    """The program of a decision's allowed moves, or of their first stage; None: there are none. Raises sequence.Unsafe."""
    moves = [verdict.move for verdict in decision.verdicts if verdict.allowed]
    if not moves:
        return None
    state = decision.state
    shares, ends = tuple(state.spec.rollback.stages), {move.key: move.to for move in moves}
    number, begun = next(
        (i, part) for i, share in enumerate(shares, 1) if (part := staged(moves, share, allocations_of(state)))
    )
    whole = {move.key: move.to for move in begun} == ends
    stage = None if whole else Stage(number, shares, {move.key: move.from_ for move in moves}, ends)
    made = sequence(
        begun, holdings_of(state), policy=state.policy, at=state.now, cause=Cause.PLAN, sentence=decision.sentence
    )
    promised = trial(decision, begun, Kind.APPLIED)
    return _for_approval(replace(made, stage=stage, trial=replace(promised, id=made.id)), state)


def _for_approval(program: Program, state: State, why: str = "") -> Program:
    """Pending, where a person is to be asked, else approved. `why`: why one is asked in any mode."""
    those = {w.key: w for w in state.workloads}
    asks = bool(why) or any(mode_of(state, those[step.key]) == "Approve" for step in program.steps if step.key in those)
    return replace(
        program,
        expires=state.now + state.spec.approval.ttl,
        state=ProgramState.PENDING if asks else ProgramState.APPROVED,
        by="orcha" if asks else f"orcha (policy {state.policy} is in mode Auto)",
        said=(why or "waits for a person's word") if asks else "",
    )


def staged(moves: Sequence[Move], share: float, allocations: Mapping[str, Allocation]) -> list[Move]:
    """So much of every move, on its step grid: shrinks rounded up and grows down, so that what fits still does. [] where no
    move gets a step far, or only shrinks would, which earn nothing.
    """
    found = [part for move in moves if (part := _part(move, share, allocations[move.key])) is not None]
    useful = any(move.grows for move in found) or not any(move.grows for move in moves)
    return found if useful else []


def _part(move: Move, share: float, allocation: Allocation) -> Move | None:
    if share >= 1:
        return move
    steps = (move.from_ + share * (move.to - move.from_) - allocation.min) / allocation.step
    to = allocation.min + math.floor(steps + SLACK) * allocation.step
    if not (min(move.from_, move.to) <= to <= max(move.from_, move.to)):
        to = move.to if not move.grows else move.from_
    if to == move.from_:
        return None
    done = (to - move.from_) / (move.to - move.from_)
    return replace(move, to=to, gain_usd_per_hour=move.gain_usd_per_hour * done)


# --- programs that wait -------------------------------------------------------------------------------------------


def supersedes(new: Program, old: Program, allocations: Mapping[str, Allocation]) -> bool:
    """Whether a newer plan wants something else: other workloads, or a target more than one step away."""
    wanted, before = ends_of(new), ends_of(old)
    if wanted.keys() != before.keys():
        return True
    return any(
        key not in allocations or abs(wanted[key] - before[key]) > allocations[key].step * (1 + SLACK) for key in wanted
    )


def ends_of(program: Program) -> dict[str, float]:
    """Key -> what it is to have in the end, after the last stage."""
    last = dict(program.stage.last) if program.stage else {}
    return {step.key: step.after[step.resource] for step in program.steps} | last


def expired(program: Program, now: float) -> Program | None:
    """The program as one whose time is over; None: it is not."""
    if program.state not in WAITING or program.expires is None or now < program.expires:
        return None
    waited = "nobody approved it" if program.state is ProgramState.PENDING else "it could not begin"
    return program.turned(ProgramState.EXPIRED, now, said=f"{waited} until {clock(program.expires)}")


def annotated(program: Program, annotations: Mapping[str, str], policy: str) -> tuple[ProgramState, str] | None:
    """What the owner's annotations on the policy say of a pending program: its new state, and who says so."""
    for name, state in ((REJECT, ProgramState.REJECTED), (APPROVE, ProgramState.APPROVED)):
        if program.id in annotations.get(name, "").replace(",", " ").split():
            return state, f"manifests (annotation {name} of policy {policy})"
    return None


def void_or_wait(verdicts: Sequence[Verdict]) -> tuple[bool, str]:
    """Of a program whose moves the guard does not all allow now: whether it is void, or only has to wait; and why."""
    refused = [verdict for verdict in verdicts if not verdict.allowed]
    own = [verdict for verdict in refused if verdict.reason is not Reason.COMPANION_REFUSED] or refused
    lasting = [verdict for verdict in own if verdict.reason not in PASSING]
    first = (lasting or own)[0]
    return bool(lasting), f"{first.reason.value}: {first.sentence}"


def moves_of(program: Program) -> tuple[Move, ...]:
    """Its steps as the moves that the guard judges. What they gain it reckons itself."""
    return tuple(
        Move(step.key, step.node, step.resource, step.before[step.resource], step.after[step.resource], 0.0, 0.0)
        for step in program.steps
    )


# --- what failed --------------------------------------------------------------------------------------------------


def backoffs(programs: Iterable[Program], now: float) -> dict[str, str]:
    """Key -> why orcha leaves it alone for now: its last moves failed. An applied one begins anew (G7)."""
    count: dict[str, int] = {}
    last: dict[str, tuple[float, str]] = {}
    for program in sorted(programs, key=lambda each: (each.changed, each.id)):
        if program.cause not in {Cause.PLAN, Cause.STAGE} or program.state not in _TRIED:
            continue
        for step in program.steps:
            if step.phase is Phase.DONE:
                count.pop(step.key, None)
            elif step.failure:
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


# --- stages -------------------------------------------------------------------------------------------------------


def awaiting(programs: Iterable[Program]) -> dict[str, Program]:
    """Id -> applied programs whose next stage has not been proposed yet."""
    known = list(programs)
    followed = {each.of for each in known if each.of}
    return {
        each.id: each
        for each in known
        if each.state is ProgramState.APPLIED and each.stage and not each.stage.is_last and each.id not in followed
    }


def after_stage(program: Program, outcome: Outcome, state: State) -> Program | None:
    """What follows a stage that was judged: back where it is clearly worse, on where it brought what was promised, and
    otherwise a person is asked (A7). None: there is nothing left to do. Raises sequence.Unsafe.
    """
    if clearly_worse(outcome, state.spec.rollback.regression_confidence):
        why = f"stage {_count(program)} earns less than before: {outcome.sentence}"
        return backward(program, state, cause=Cause.ROLLBACK, why=why, by="orcha")
    stage = program.stage
    if stage is None:
        return None
    share, held = stage.shares[stage.number], known_of(state)
    moves = [
        Move(step.key, step.node, step.resource, held[step.key], stage.last[step.key], 0.0, 0.0)
        for step in program.steps
        if step.key in held and held[step.key] != stage.last[step.key]
    ]
    done = stage.shares[stage.number - 1]
    part = staged(moves, (share - done) / (1 - done), allocations_of(state)) or moves
    if not part:
        return None
    next_ = replace(stage, number=stage.number + 1)
    sentence = f"stage {next_.number} of {len(stage.shares)} of program {program.id}: {outcome.sentence}"
    made = sequence(part, holdings_of(state), policy=state.policy, at=state.now, cause=Cause.STAGE, sentence=sentence)
    asks = "" if convincing(program, outcome) else f"what the stage before brought is not clear: {outcome.sentence}"
    made = replace(made, stage=next_, of=program.id, trial=_next_trial(program, made))
    return _for_approval(made, state, asks)


def _next_trial(program: Program, made: Program) -> Trial | None:
    """What the next stage is to bring: as much for each step as was promised of the stage before."""
    before = program.trial
    if before is None:
        return None
    parts = {part.key: part for part in before.parts}
    found, share = [], []
    for step in made.steps:
        if (old := parts.get(step.key)) is None or old.to == old.from_:
            return None
        from_, to = step.before[step.resource], step.after[step.resource]
        times = (to - from_) / (old.to - old.from_)
        share.append(times)
        promised = None if old.promised is None else old.promised * times
        found.append(
            replace(old, from_=from_, to=to, at=made.at, promised=promised, until=None, realised=None, unknown="")
        )
    mean, promise = sum(share) / len(share), before.promise
    if promise is not None:
        gain = Interval(promise.gain.low * mean, promise.gain.expected * mean, promise.gain.high * mean)
        promise = replace(promise, gain=gain)
    return Trial(made.id, made.policy, Kind.APPLIED, made.at, tuple(found), promise)


def clearly_worse(outcome: Outcome, confidence: float) -> bool:
    """Whether it earned less than had nothing been moved, as sure as that is asked for."""
    realised = outcome.realised
    if realised is None:
        return False
    spread = (realised.high - realised.low) / (2 * _TENTH)
    if spread <= 0:
        return realised.expected < 0
    return NormalDist(realised.expected, spread).cdf(0.0) >= confidence


def convincing(program: Program, outcome: Outcome) -> bool:
    """Whether it brought what was promised: at least the low end of the promised interval, and no loss."""
    if outcome.realised is None or program.promise is None:
        return False
    return outcome.realised.expected >= max(0.0, program.promise.gain.low)


def _count(program: Program) -> str:
    return f"{program.stage.number} of {len(program.stage.shares)}" if program.stage else "1 of 1"


# --- back ---------------------------------------------------------------------------------------------------------


def backward(program: Program, state: State, *, cause: Cause, why: str, by: str) -> Program | None:
    """A program that gives everything which a program moved what it had before it (before its first stage). None: it has
    that already. Raises sequence.Unsafe.
    """
    first = program.stage.first if program.stage else {}
    wanted = {step.key: first.get(step.key, step.before[step.resource]) for step in program.steps}
    return restored(wanted, state, cause=cause, why=why, by=by, of=program.id)


def restored(
    wanted: Mapping[str, float], state: State, *, cause: Cause, why: str, by: str, of: str = ""
) -> Program | None:
    """An approved program that brings workloads to these amounts, whatever it is worth: a person's word, or a stage that
    lost money. None: they have them already. Raises sequence.Unsafe.
    """
    held, those = known_of(state), {w.key: w for w in state.workloads}
    for key, to in wanted.items():
        if key in held and to < held[key]:
            _spare_what_stays(those[key], held[key], to, state)
    moves = [
        Move(key, those[key].node, allocation.resource, held[key], to, 0.0, 0.0)
        for key, to in sorted(wanted.items())
        if key in held and (allocation := those[key].allocation) is not None
        if abs(held[key] - to) > NEAR * allocation.step
    ]
    if not moves:
        return None
    made = sequence(moves, holdings_of(state), policy=state.policy, at=state.now, cause=cause, sentence=why)
    return replace(
        made.turned(ProgramState.APPROVED, state.now, by), of=of, expires=state.now + state.spec.approval.ttl
    )


def _spare_what_stays(workload: WorkloadState, held: float, to: float, state: State) -> None:
    """Raises Unsafe for a shrink below what its protocol lets nobody take back."""
    least = max(floor_of(workload, held, state.now, state.spec.limits), workload.traits.min_allocation)
    if workload.allocation is not None and to < least * (1 - SLACK):
        resource = workload.allocation.resource
        asked, has = amount(resource, to), amount(resource, least)
        raise Unsafe(f"{workload.key} cannot go back to {asked} {resource}: {has} of it cannot be taken back")


# --- the State as programs see it ---------------------------------------------------------------------------------


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


def in_programs(state: State, programs: Sequence[Program]) -> State:
    """With what programs hold, and what failed lately."""
    mine = [program for program in programs if program.policy == state.policy]
    held, resting = flights(programs), backoffs(mine, state.now)
    for program in awaiting(mine).values():
        for step in program.steps:
            held.setdefault(step.key, (step.held, f"waits until stage {_count(program)} of {program.id} is judged"))
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
