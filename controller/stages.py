"""Changes that go in stages, and the way back: what follows a stage that was judged (A7), and what undoes a program. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from controller.approvals import for_approval, staged
from controller.estimate.words import amount
from controller.inflight import allocations_of, holdings_of, known_of, stage_words
from controller.model import Interval, Move
from controller.plan.limits import SLACK, floor_of
from controller.programs import Cause, Program, ProgramState
from controller.promises import Kind, Trial
from controller.sequence import NEAR, Unsafe, sequence

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from controller.promises import Outcome

_TENTH: Final = NormalDist().inv_cdf(0.9)


def after_stage(program: Program, outcome: Outcome, state: State) -> Program | None:
    """What follows a stage that was judged: back where it is clearly worse, on where it brought what was promised, and
    otherwise a person is asked (A7). None: there is nothing left to do. Raises sequence.Unsafe.
    """
    if clearly_worse(outcome, state.spec.rollback.regression_confidence):
        why = f"stage {stage_words(program)} earns less than before: {outcome.sentence}"
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
    return for_approval(made, state, asks)


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
