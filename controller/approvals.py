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
from typing import TYPE_CHECKING, Final

from controller.decide import reconsider
from controller.estimate.words import amount, money, odds
from controller.inflight import allocations_of, holdings_of, known_of
from controller.model import Move, Reason
from controller.plan.limits import SLACK
from controller.plan.standing import clock, mode_of
from controller.policy import MinImprovement
from controller.programs import WAITING, Cause, Program, ProgramState, Stage
from controller.promises import Kind, Promise, trial
from controller.sequence import sequence

if TYPE_CHECKING:
    from controller.model import Decision, State, Verdict
    from exporters.nodes import Allocation

APPROVE: Final = "orcha.dev/approve"
REJECT: Final = "orcha.dev/reject"
"""Annotations of an AllocationPolicy: ids of programs, for those who approve in Git."""
PASSING: Final = frozenset(
    {
        Reason.PAUSED, Reason.CIRCUIT_OPEN, Reason.BLOCKED, Reason.FREEZE_WINDOW, Reason.RATE_LIMIT,
        Reason.PROGRAM_RUNNING, Reason.DISCONNECTED, Reason.STALE, Reason.HOLD, Reason.PROTECTED, Reason.RISE_PENDING,
    }
)  # fmt: skip
"""Reasons that pass by themselves: what was approved waits for that, as long as its approval counts."""


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
    promised = trial(decision, begun, Kind.APPLIED)
    words = _words(begun, promised.promise, stage)
    made = sequence(begun, holdings_of(state), policy=state.policy, at=state.now, cause=Cause.PLAN, sentence=words)
    return for_approval(replace(made, stage=stage, trial=replace(promised, id=made.id)), state)


def _words(moves: Sequence[Move], promise: Promise | None, stage: Stage | None) -> str:
    """What is done, and what it is to bring."""
    ordered = sorted(moves, key=lambda move: (move.node, -abs(move.gain_usd_per_hour), move.key))
    said = [f"{m.key} {amount(m.resource, m.from_)} → {amount(m.resource, m.to)} {m.resource}" for m in ordered[:4]]
    more = f" and {len(ordered) - 4} more" if len(ordered) > 4 else ""
    part = f" (stage {stage.number} of {len(stage.shares)})" if stage else ""
    if promise is None:
        return f"{', '.join(said)}{more}{part}"
    gain = promise.gain
    sure = "" if promise.confidence is None else f", {odds(promise.confidence)} sure"
    costs = f"; moving costs {money(promise.cost_usd, 3)} USD once" if promise.cost_usd else ""
    brings = f"{money(gain.expected, 3, signed=True)} USD/h ({money(gain.low, 3)} to {money(gain.high, 3)})"
    return f"{', '.join(said)}{more}{part}: {brings}{sure}{costs}"


ORCHA: Final = "orcha"
"""How everybody begins who is not a person, in `Program.by`."""


def asks(program: Program, state: State) -> bool:
    """Whether a person has to be asked: anything short of Auto, for any workload of it."""
    those = {w.key: w for w in state.workloads}
    return any(mode_of(state, those[step.key]) != "Auto" for step in program.steps if step.key in those)


def outgrown(program: Program, state: State) -> bool:
    """Whether orcha approved it by itself, and may not any more: the policy, or a workload, has become stricter."""
    return program.state is ProgramState.APPROVED and program.by.startswith(ORCHA) and asks(program, state)


def for_approval(program: Program, state: State, why: str = "") -> Program:
    """Pending, where a person is to be asked, else approved. `why`: why one is asked in any mode."""
    asked = bool(why) or asks(program, state)
    return replace(
        program,
        expires=state.now + state.spec.approval.ttl,
        state=ProgramState.PENDING if asked else ProgramState.APPROVED,
        by=ORCHA if asked else f"{ORCHA} (policy {state.policy} is in mode Auto)",
        said=(why or "waits for a person's word") if asked else "",
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
    """What the owner's annotations on the policy say of a program that waits: its new state, and who says so."""
    words = ((REJECT, ProgramState.REJECTED), (APPROVE, ProgramState.APPROVED))
    for name, state in words if program.state is ProgramState.PENDING else words[:1]:
        if program.id in annotations.get(name, "").replace(",", " ").split():
            return state, f"manifests (annotation {name} of policy {policy})"
    return None


def stands_refused(new: Program, known: Iterable[Program], state: State) -> bool:
    """Whether a person said no to the same, and that word still counts: as long as an approval would have."""
    allocations = allocations_of(state)
    return any(
        old.state is ProgramState.REJECTED and old.cause is Cause.PLAN and old.began is None
        and old.expires is not None and state.now < old.expires and not supersedes(new, old, allocations)
        for old in known
    )  # fmt: skip


# --- just before it begins ----------------------------------------------------------------------------------------


def asked_again(program: Program, state: State) -> tuple[bool, str] | None:
    """What speaks against its begin now, from a fresh State: whether it is void by that, or only has to wait; and why. None:
    it may begin.

    It was made of analyses in which rises lasted, so that is not asked again. Of a change in stages the whole must be worth
    it, or what is left of it bring anything at all; the part alone only has to be safe.
    """
    if why := _outdated(program, state):
        return True, why
    state = replace(state, rises=state.spec.objective.rise_analyses)
    if program.stage is None:
        return _void_or_wait(reconsider(state, moves_of(program)))
    if program.cause is Cause.PLAN and (found := _void_or_wait(reconsider(state, _whole_of(program, state)))):
        return found
    verdicts = reconsider(_eased(state), moves_of(program), free=True)
    if program.cause is Cause.PLAN:
        verdicts = tuple(each for each in verdicts if each.reason not in _WORTH)
    return _void_or_wait(verdicts)


_WORTH: Final = frozenset({Reason.LOW_GAIN, Reason.NO_PAYBACK, Reason.LOW_CONFIDENCE})


def _eased(state: State) -> State:
    """As for a part of a change: any gain is enough that is rather there than not, and `every` has passed for it."""
    limits = state.spec.limits
    sure = min(limits.min_confidence, 0.5)
    eased = limits.model_copy(update={"min_improvement": MinImprovement(percent=0.0), "min_confidence": sure})
    return replace(state, spec=state.spec.model_copy(update={"limits": eased}), last_program_at=None)


def _whole_of(program: Program, state: State) -> tuple[Move, ...]:
    """All that a first stage is the begin of."""
    first, last = (dict(program.stage.first), dict(program.stage.last)) if program.stage else ({}, {})
    those = {w.key: w.allocation.resource for w in state.workloads if w.allocation is not None}
    steps = {step.key: step.resource for step in program.steps}
    return tuple(
        Move(key, key.partition("/")[0], steps.get(key) or those.get(key, ""), first[key], last[key], 0.0, 0.0)
        for key in last
    )


def _void_or_wait(verdicts: Sequence[Verdict]) -> tuple[bool, str] | None:
    refused = [verdict for verdict in verdicts if not verdict.allowed]
    if not refused:
        return None
    own = [verdict for verdict in refused if verdict.reason is not Reason.COMPANION_REFUSED] or refused
    lasting = [verdict for verdict in own if verdict.reason not in PASSING]
    first = (lasting or own)[0]
    return bool(lasting), f"{first.reason.value}: {first.sentence}"


def _outdated(program: Program, state: State) -> str:
    """Which workload holds something else than when it was planned, by whomever; "": none, as far as they say."""
    held = known_of(state)
    for step in program.steps:
        has, had = held.get(step.key), step.before[step.resource]
        if has is not None and abs(has - had) > 1e-6 * max(abs(has), abs(had)):  # as the guard
            was, now = amount(step.resource, had), amount(step.resource, has)
            return f"{Reason.STALE.value}: the plan was made when {step.key} had {was} {step.resource}; it has {now}"
    return ""


def moves_of(program: Program) -> tuple[Move, ...]:
    """Its steps as the moves that the guard judges. What they gain it reckons itself."""
    return tuple(
        Move(step.key, step.node, step.resource, step.before[step.resource], step.after[step.resource], 0.0, 0.0)
        for step in program.steps
    )
