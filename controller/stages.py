"""Changes that go in stages, and the way back: what follows a stage that was judged (A7), and what undoes a program. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from controller.approvals import ORCHA, for_approval, staged
from controller.estimate.curves import horizon_of
from controller.estimate.readings import finite
from controller.estimate.words import amount
from controller.inflight import allocations_of, holdings_of, known_of, stage_words
from controller.model import Interval, Move
from controller.plan.limits import SLACK, floor_of
from controller.plan.standing import mode_of
from controller.programs import Cause, Program, ProgramState
from controller.promises import Kind, Part, Trial
from controller.sequence import NEAR, Unsafe, sequence

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from controller.programs import Stage, Step
    from controller.promises import Outcome
    from exporters.nodes import Allocation

_TENTH: Final = NormalDist().inv_cdf(0.9)


def after_stage(program: Program, outcome: Outcome, state: State) -> Program | str:
    """What follows a stage that was judged: back where it is clearly worse, on where it brought what was promised, and
    otherwise a person is asked (A7). A sentence: why nothing does, and it stands as it is. Raises sequence.Unsafe.
    """
    stage = program.stage
    if stage is None or stage.is_last:
        return "there is nothing left to do"
    if why := _stands(program, state):
        return why
    if clearly_worse(outcome, state.spec.rollback.regression_confidence):
        why = f"stage {stage_words(program)} earns less than before: {outcome.sentence}"
        back = backward(program, state, cause=Cause.ROLLBACK, why=why, by=ORCHA)
        if back is None or state.spec.rollback.automatic:
            return back or "everything has again what it had before"
        asked = "rollback.automatic is false, so a person is asked"
        return replace(back, state=ProgramState.PENDING, said=asked)
    if any(mode_of(state, w) in _STILL for w in _those(program, state)):
        return "it may not act any more"
    return _next_stage(program, stage, outcome, state) or "there is nothing left to do"


_STILL: Final = ("Off", "Suggest")


def _those(program: Program, state: State) -> list[WorkloadState]:
    keys = {step.key for step in program.steps} | (set(program.stage.last) if program.stage else set())
    return [w for w in state.workloads if w.key in keys]


def _stands(program: Program, state: State) -> str:
    """Why orcha by itself takes it neither on nor back; "": it may."""
    if state.spec.mode in _STILL:
        return f"policy {state.policy} is in mode {state.spec.mode}"
    held, allocations = known_of(state), allocations_of(state)
    for workload in _those(program, state):
        if workload.manual_change_at is not None:
            return f"{workload.key} was changed by hand since"
        if workload.mode in _STILL:
            return f"{workload.key} is in mode {workload.mode}"
    for step in program.steps:
        if step.key not in allocations or allocations[step.key].resource != step.resource:
            return f"{step.key} has no allocation of {step.resource} any more"
        has, given = held.get(step.key), step.after[step.resource]
        if has is None or abs(has - given) > NEAR * allocations[step.key].step:
            return f"{step.key} does not have any more what the stage gave it"
    return ""


def _next_stage(program: Program, stage: Stage, outcome: Outcome, state: State) -> Program | None:
    """The next part that is anything at all of what is left; None: nothing is."""
    held, allocations = known_of(state), allocations_of(state)
    moves = [
        Move(key, key.partition("/")[0], allocations[key].resource, held[key], to, 0.0, 0.0)
        for key, to in sorted(stage.last.items())
        if key in held and key in allocations and abs(held[key] - to) > NEAR * allocations[key].step
    ]
    done = stage.shares[stage.number - 1]
    for number in range(stage.number + 1, len(stage.shares) + 1):
        share = (stage.shares[number - 1] - done) / (1 - done)
        if part := staged(moves, share, allocations):
            break
    else:
        return None
    next_ = replace(stage, number=number)
    sentence = f"stage {number} of {len(stage.shares)} of program {program.id}: {outcome.sentence}"
    made = sequence(part, holdings_of(state), policy=state.policy, at=state.now, cause=Cause.STAGE, sentence=sentence)
    why = "" if convincing(program, outcome) else f"what the stage before brought is not clear: {outcome.sentence}"
    made = replace(made, stage=next_, of=program.id, trial=_next_trial(program, made, state))
    return for_approval(made, state, why)


def unpromised(made: Program, state: State) -> Trial:
    """What a program changes of which nobody promised anything, so that what came before it is judged until then."""
    those = {w.key: w for w in state.workloads}
    parts = tuple(_part(step, those[step.key], made.at, state) for step in made.steps if step.key in those)
    return Trial(made.id, made.policy, Kind.APPLIED, made.at, parts)


def _part(step: Step, workload: WorkloadState, at: float, state: State) -> Part:
    reading = next((each for each in (workload.reading, workload.last_good) if each is not None and each.up), None)
    return Part(
        key=step.key, protocol=workload.protocol, resource=step.resource, from_=step.before[step.resource],
        to=step.after[step.resource], at=at, horizon=horizon_of(workload, state.spec), settle=workload.traits.settle,
        price=reading.usd_per_token if reading else None,
        others=finite(reading.pool.others) if reading and reading.pool else None,
    )  # fmt: skip


def _next_trial(program: Program, made: Program, state: State) -> Trial:
    """What the next stage is to bring: as much for each step as was promised of the stage before."""
    whole, before = unpromised(made, state), program.trial
    if before is None:
        return whole
    parts = {part.key: part for part in before.parts}
    found, share = [], []
    for part in whole.parts:
        old = parts.get(part.key)
        if old is None or old.to == old.from_:
            found.append(part)
            continue
        times = (part.to - part.from_) / (old.to - old.from_)
        share.append(times)
        found.append(replace(part, promised=None if old.promised is None else old.promised * times))
    promise = before.promise
    if promise is not None and share:
        mean = sum(share) / len(share)
        gain = Interval(promise.gain.low * mean, promise.gain.expected * mean, promise.gain.high * mean)
        promise = replace(promise, gain=gain)
    return replace(whole, parts=tuple(found), promise=promise if share else None)


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


def backward(program: Program, state: State, *, cause: Cause, why: str, by: str) -> Program | None:
    """A program that gives everything which a program moved what it had before it (before its first stage). None: it has
    that already. Raises sequence.Unsafe.
    """
    wanted = {step.key: step.before[step.resource] for step in program.steps} if program.stage is None else {}
    wanted |= dict(program.stage.first) if program.stage else {}
    resources = {step.key: step.resource for step in program.steps}
    for key, to in wanted.items():
        if why_not := kept(key, resources.get(key), to, state):
            raise Unsafe(why_not)
    return restored(wanted, state, cause=cause, why=why, by=by, of=program.id)


def kept(key: str, resource: str | None, to: float, state: State) -> str:
    """Why a workload cannot be brought back to an amount now, in a sentence; "": it can. `resource`: of that amount."""
    workload, has = next((w for w in state.workloads if w.key == key), None), known_of(state).get(key)
    if workload is None or workload.allocation is None:
        return f"{key} has no allocation under policy {state.policy} any more"
    if resource not in {None, workload.allocation.resource}:
        return f"{key} is now allotted {workload.allocation.resource}, and had an amount of {resource} then"
    if has is None:
        return f"how much {workload.allocation.resource} {key} holds now is not known"
    return "" if to >= has else _what_stays(workload, has, to, state)


def restored(
    wanted: Mapping[str, float], state: State, *, cause: Cause, why: str, by: str, of: str = ""
) -> Program | None:
    """An approved program that brings workloads to these amounts, whatever it is worth: a person's word, or a stage that
    lost money. None: they have them already. Raises sequence.Unsafe.
    """
    held, those = known_of(state), {w.key: w for w in state.workloads}
    moves = [
        Move(key, those[key].node, allocation.resource, held[key], to, 0.0, 0.0)
        for key, to in sorted(wanted.items())
        if key in held and (allocation := those[key].allocation) is not None
        if abs(held[key] - to) > NEAR * allocation.step
    ]
    if not moves:
        return None
    made = sequence(moves, holdings_of(state), policy=state.policy, at=state.now, cause=cause, sentence=why)
    made = replace(
        made.turned(ProgramState.APPROVED, state.now, by), of=of, expires=state.now + state.spec.approval.ttl
    )
    return replace(made, trial=unpromised(made, state))


def same_way(a: Program, b: Program, allocations: Mapping[str, Allocation]) -> bool:
    """Whether two programs move the same workloads from and to the same, as near as nodes round."""
    ways = [{s.key: (s.before[s.resource], s.after[s.resource]) for s in each.steps} for each in (a, b)]
    return ways[0].keys() == ways[1].keys() and all(
        abs(one - other) <= NEAR * allocations[key].step
        for key, way in ways[0].items()
        for one, other in zip(way, ways[1][key], strict=True)
    )


def _what_stays(workload: WorkloadState, held: float, to: float, state: State) -> str:
    """Of a shrink below what its protocol lets nobody take back."""
    least = max(floor_of(workload, held, state.now, state.spec.limits), workload.traits.min_allocation)
    if workload.allocation is None or to >= least * (1 - SLACK):
        return ""
    resource = workload.allocation.resource
    asked, has = amount(resource, to), amount(resource, least)
    return f"{workload.key} cannot go back to {asked} {resource}: {has} of it cannot be taken back"
