"""What happened between two decisions: allocations that changed, who changed them, and what came of it. For the loop.

    State ──catch_up──▶ State with last_moved, manual_change_at, programs and Learned ──decide──▶ Decision ──show──▶

A change counts once two readings in a row agree on it. Where it leads, within a step, towards the target of the
suggestion that was shown when it was first seen, somebody followed that; what is done of one suggestion within half an
hour is one program. Any other change is one by hand. Both are judged like what orcha does itself (payoff.py). Where
orcha only suggests, a change by hand is a move like any other: it is held for a while and then planned on again. Where
orcha may act, a person's word stands until it is released (G7).

`catch_up` is arithmetic and may run in a thread; what must survive a restart is handed to the store and written with
the next flush, a change together with its program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from controller.address import StoreError
from controller.estimate.curves import horizon_of
from controller.estimate.readings import finite, known_allocation
from controller.estimate.words import amount, money, odds
from controller.model import Move, Reason
from controller.payoff import Ledger, ledger_of
from controller.plan.standing import mode_of
from controller.promises import Kind, Part, Trial, trial
from controller.rows import Change, Event
from controller.state import remembering
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.model import Decision, State, WorkloadState
    from controller.store import Store
    from exporters.reading import Reading

GATHER: Final = 1800.0
"""Seconds in which what is done of one suggestion is one program: a person changes one node after the other."""
NOTICED: Final = 0.25
"""Share of a step from which a difference is a change; less is how a node rounds, or drifts."""
_SUGGESTED: Final = (Reason.ALLOWED, Reason.MODE_SUGGEST)
_ALWAYS: Final = (0.0, 1e12)


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """A changed allocation, as first seen."""

    workload: WorkloadState
    resource: str
    step: float
    from_: float
    to: float
    at: float
    shown: Decision | None
    """The decision that was shown then."""

    @property
    def words(self) -> str:
        before, after = (amount(self.resource, value) for value in (self.from_, self.to))
        return f"{self.workload.key} {before} → {after} {self.resource}"


@dataclass(slots=True)
class _Following:
    """A suggestion that somebody follows right now."""

    id: str
    at: float
    decision: Decision
    moves: dict[str, Move] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)


class Outcomes:
    """What is known of all changes, policy by policy."""

    def __init__(self, store: Store | None = None) -> None:
        self.ledgers: Mapping[str, Ledger] = {}
        """By policy; replaced as a whole, so that any thread may read it."""
        self._store = store
        self._restored = store is None
        self._changes: dict[str, Change] = {}
        self._written: dict[str, float] = {}
        """The allocation expected of each workload, as the store has it."""
        self._sightings: dict[str, _Sighting] = {}
        self._shown: dict[str, Decision] = {}
        self._following: dict[str, _Following] = {}

    async def restore(self) -> bool:
        """Bring back, once, what the store knows. False while it cannot be read: until then nothing is caught up with,
        for what was never known could not be told from what was forgotten.
        """
        if self._store is None or self._restored:
            return True
        try:
            changes, resets = await self._store.changes(), await self._store.resets()
            programs = await self._store.trials(*_ALWAYS)
        except StoreError:
            return False
        self._changes = dict(changes)
        self._written = {key: change.expected for key, change in changes.items() if change.expected is not None}
        policies = {each.policy for each in programs} | resets.keys()
        self.ledgers = {
            policy: ledger_of(
                policy, (each for each in programs if each.policy == policy), reset_at=resets.get(policy, -1.0)
            )
            for policy in policies
        }
        self._restored = True
        return True

    def catch_up(self, state: State) -> State:
        """See what changed since the last decision, judge what is due, and give the State with all that is remembered."""
        if not self._restored:
            return state
        ledger = self.ledgers.get(state.policy) or Ledger(state.policy)
        for sighting in self._settled(state):
            begun = self._followed(state, sighting) or _by_hand(state, sighting)
            self._changed(state, sighting, begun)
            ledger = ledger.promise(begun)
        ledger, ended = ledger.judge(state)
        for each in ended:
            if each.outcome is not None:
                keys = ", ".join(part.key for part in each.parts)
                self._event(each.outcome.at, "OutcomeJudged", keys, f"{each.kind}: {each.outcome.sentence}")
        self._keep(ledger)
        return self._remembering(state, ledger)

    def remember(self, state: State) -> State:
        """The State with all that is remembered, and nothing new seen in it: for a second look."""
        return self._remembering(state, self.ledgers.get(state.policy) or Ledger(state.policy))

    def show(self, decision: Decision) -> None:
        """What people see from now on, and may follow."""
        self._shown[decision.plan.policy] = decision

    def begin(self, program: Trial) -> None:
        """What orcha itself did: to be called once it is in force."""
        ledger = self.ledgers.get(program.policy) or Ledger(program.policy)
        for part in program.parts:
            self.settle(part.key, part.resource, part.to, part.at)
        self._keep(ledger.promise(program))

    def settle(self, key: str, resource: str, amount: float, at: float) -> None:
        """Orcha itself brought a workload to this amount at that time."""
        known = self._changes.get(key, Change())
        self._note(key, replace(known, last_moved=at, manual_change_at=None, expected=amount, resource=resource))
        self._sightings.pop(key, None)

    def let_go(self, keys: Iterable[str]) -> None:
        """Their owner lets orcha move again what a person changed by hand."""
        for key in keys:
            if key in self._changes:
                self._note(key, replace(self._changes[key], manual_change_at=None))

    @property
    def changes(self) -> Mapping[str, Change]:
        """Key -> what is known of its changes."""
        return self._changes

    def reset(self, policy: str, now: float) -> None:
        """The owner takes a policy's fallback to Suggest off."""
        ledger = self.ledgers.get(policy) or Ledger(policy)
        self.ledgers = {**self.ledgers, policy: ledger.reset(now)}
        if self._store is not None:
            self._store.note_reset(policy, now)

    # what was seen

    def _settled(self, state: State) -> list[_Sighting]:
        """The changes on which two readings in a row agree."""
        found = []
        for workload in state.workloads:
            held, reading = _set_to(workload), _good(workload)
            if workload.allocation is None or held is None or reading is None or workload.in_flight is not None:
                continue
            expected = self._expected(workload, workload.allocation.resource, held)
            before, noticed = self._sightings.get(workload.key), NOTICED * workload.allocation.step
            if abs(held - expected) < noticed:
                self._sightings.pop(workload.key, None)
                self._drifted(workload.key, held, noticed)
            elif before is None or abs(held - before.to) >= noticed:
                self._sightings[workload.key] = _Sighting(
                    workload, workload.allocation.resource, workload.allocation.step, expected, held, reading.at,
                    self._shown.get(state.policy),
                )  # fmt: skip
            elif reading.at > before.at:
                found.append(self._sightings.pop(workload.key))
        return sorted(found, key=lambda sighting: (sighting.at, sighting.workload.key))

    def _expected(self, workload: WorkloadState, resource: str, held: float) -> float:
        """What it had; what it has, where it is seen for the first time, or is now allotted another resource."""
        known = self._changes.get(workload.key, Change())
        if known.expected is not None and known.resource in {None, resource}:
            return known.expected
        self._note(workload.key, replace(known, expected=held, resource=resource))
        return held

    def _drifted(self, key: str, held: float, noticed: float) -> None:
        """Follow what wanders slowly; the store hears of it only now and then, for each time is a write to the disk."""
        known = self._changes[key]
        if held != known.expected:
            self._changes[key] = replace(known, expected=held)
            if abs(held - self._written.get(key, held)) >= noticed / 2:
                self._note(key, self._changes[key])

    def _followed(self, state: State, sighting: _Sighting) -> Trial | None:
        """The program of which it is a part, grown by it; None: nobody suggested it."""
        following = self._following.get(state.policy)
        if following is None or sighting.at - following.at > GATHER or not _towards(following.decision, sighting):
            if sighting.shown is None or not _towards(sighting.shown, sighting):
                return None
            name = f"{state.policy} {sighting.at:.3f} {sighting.workload.key}"
            following = self._following[state.policy] = _Following(name, sighting.at, sighting.shown)
        key = sighting.workload.key
        first = following.moves.get(key)
        following.moves[key] = Move(
            key,
            sighting.workload.node,
            sighting.resource,
            first.from_ if first else sighting.from_,
            sighting.to,
            0.0,
            0.0,
        )
        following.times[key] = sighting.at
        made = trial(following.decision, following.moves.values(), Kind.FOLLOWED, following.times)
        return replace(made, id=following.id, at=following.at)

    def _changed(self, state: State, sighting: _Sighting, begun: Trial) -> None:
        """Remember the change, and say it."""
        key, followed = sighting.workload.key, begun.kind is Kind.FOLLOWED
        before = self._changes.get(key, Change())
        acting = not followed and mode_of(state, sighting.workload) in {"Approve", "Auto"}
        after = replace(before, expected=sighting.to, resource=sighting.resource)
        after = replace(after, manual_change_at=sighting.at) if acting else replace(after, last_moved=sighting.at)
        self._note(key, after)
        hold = format_duration(state.spec.limits.hold)
        if followed:
            words = f"{sighting.words}, as suggested: {_promise_words(begun, key)}"
            self._event(sighting.at, "SuggestionFollowed", key, words)
            return
        stays = "orcha leaves it as it is until it is released" if acting else f"it is held for {hold}"
        self._event(sighting.at, "ManualChange", key, f"{sighting.words} by hand, which was not suggested; {stays}")

    # what is remembered

    def _remembering(self, state: State, ledger: Ledger) -> State:
        """With a change that is not settled yet as one that was just made: nothing may build on it."""
        unsettled = {
            key: replace(self._changes[key], last_moved=sighting.at)
            for key, sighting in self._sightings.items()
            if key in self._changes
        }
        own = [each.at for each in ledger.programs if each.kind is Kind.FOLLOWED]
        return remembering(state, self._changes | unsettled, ledger.learned(state.now), own)

    def _keep(self, ledger: Ledger) -> None:
        """From now on this ledger; the store hears of every program that is new in it, or not what it was."""
        before = self.ledgers.get(ledger.policy) or Ledger(ledger.policy)
        self.ledgers = {**self.ledgers, ledger.policy: ledger}
        if self._store is not None:
            known = {id(each) for each in before.programs}
            for each in ledger.programs:
                if id(each) not in known:
                    self._store.note_trial(each)
        if ledger.fallback is not None and ledger.fallback != before.fallback:
            self._event(ledger.fallback.since, "FallbackToSuggest", ledger.policy, ledger.fallback.sentence)

    def _note(self, key: str, change: Change) -> None:
        self._changes[key] = change
        if change.expected is not None:
            self._written[key] = change.expected
        if self._store is not None:
            self._store.note_change(key, change)

    def _event(self, at: float, kind: str, subject: str, sentence: str) -> None:
        if self._store is not None:
            self._store.note_event(Event(at, kind, subject, sentence))


def _good(workload: WorkloadState) -> Reading | None:
    """The reading that says what it has (estimate/readings.py: known_allocation)."""
    return next((each for each in (workload.reading, workload.last_good) if each is not None and each.up), None)


def _set_to(workload: WorkloadState) -> float | None:
    """What somebody set it to: what its node says is configured, for what is in force may follow slowly, while work drains;
    else what is in force.
    """
    reading, resource = _good(workload), workload.allocation.resource if workload.allocation else ""
    configured = finite(reading.configured.get(resource)) if reading is not None else None
    return known_allocation(workload) if configured is None else configured


def _towards(shown: Decision, sighting: _Sighting) -> bool:
    """Whether a change leads where the suggestion led: the same way, and not more than a step beyond."""
    for verdict in shown.verdicts:
        if verdict.move.key == sighting.workload.key and verdict.reason in _SUGGESTED:
            way, gone = verdict.move.to - sighting.from_, sighting.to - sighting.from_
            return way * gone > 0 and abs(gone) <= abs(way) + sighting.step * (1 + 1e-9)
    return False


def _by_hand(state: State, sighting: _Sighting) -> Trial:
    """The program of a change that nobody suggested: it promises nothing, and is judged all the same."""
    workload, reading = sighting.workload, _good(sighting.workload)
    part = Part(
        key=workload.key, protocol=workload.protocol, resource=sighting.resource, from_=sighting.from_, to=sighting.to,
        at=sighting.at, horizon=horizon_of(workload, state.spec), settle=workload.traits.settle,
        price=reading.usd_per_token if reading else None,
        others=finite(reading.pool.others) if reading and reading.pool else None,
    )  # fmt: skip
    name = f"{state.policy} {sighting.at:.3f} {workload.key} by hand"
    return Trial(name, state.policy, Kind.MANUAL, sighting.at, (part,))


def _promise_words(begun: Trial, key: str) -> str:
    horizon = format_duration(next(part.horizon for part in begun.parts if part.key == key))
    if begun.promise is None:
        return "nothing was promised"
    gain, confidence = begun.promise.gain, begun.promise.confidence
    sure = "" if confidence is None else f", {odds(confidence)} sure"
    others = len(begun.parts) - 1
    together = f" together with {others} other{'s' if others > 1 else ''}" if others else ""
    return (
        f"{money(gain.expected, signed=True)} USD/h ({money(gain.low, 3)} to {money(gain.high, 3)}) "
        f"over {horizon} promised{together}{sure}"
    )


def ledgers_of(ledgers: Mapping[str, Ledger], names: Iterable[str]) -> dict[str, Ledger]:
    """The ledgers of these policies; one that never saw a program is empty."""
    return {name: ledgers.get(name) or Ledger(name) for name in sorted(names)}
