"""Did it pay? What came of each program that promised something, and what that teaches (economics.md 6). Pure.

    Decision + Moves ──trial──▶ Trial ──promise──▶ Ledger ──judge(State)──▶ outcomes ──learned(now)──▶ model.Learned

Each part of a program is judged when the horizon of its own workload has passed, or when the same workload was changed
again, over the time until then; with too little of either the outcome is unknown, with its reason, never 0.

A Ledger is a value: same programs, same Ledger, in whatever order they came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypedDict

from controller.counterfactual import Change, gained
from controller.estimate.words import money
from controller.learning import WEEK, Fallback, fallback_of, penalty_of, spread_of
from controller.model import Interval, Learned
from controller.promises import Outcome, Part, Trial
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.model import State

REMEMBERED: Final = 30 * 24 * 3600.0
"""Outcomes that are older than this before the newest one teach nothing any more."""
MOST: Final = 700
"""Outcomes that teach at most, the newest: a week of the most that a policy may do by default, four an hour."""
ENOUGH_TIME: Final = 0.25
"""Share of its horizon that a change must have lasted, when another one ended it, for a judgement."""


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """All programs of one policy that still matter. Make one with `ledger_of`."""

    policy: str
    running: tuple[Trial, ...] = ()
    """Not all of their parts judged, oldest first."""
    judged: tuple[Trial, ...] = ()
    """With an outcome, in the order in which they ended."""
    reset_at: float = -math.inf
    """When the owner last took the fallback off: what ended before does not bring it back."""
    due: float = math.inf
    """When the next part can be judged: before this `judge` has nothing to do."""
    spread: float = 1.0
    penalty: Mapping[str, float] = field(default_factory=dict)
    fallback: Fallback | None = None

    @property
    def programs(self) -> tuple[Trial, ...]:
        return (*self.running, *self.judged)

    def promise(self, program: Trial) -> Ledger:
        """With a program that began. Told again, it takes the place of what it was; a change of the same workload that was
        not judged yet ends where this one begins.
        """
        begins = {part.key: part.at for part in program.parts}
        running = [_ended(other, begins) for other in self.running if other.id != program.id]
        if program.outcome is None and all(other.id != program.id for other in self.judged):
            return replace(self, **_running([*running, program]))
        judged = [other for other in self.judged if other.id != program.id]
        return ledger_of(self.policy, [*running, *judged, program], reset_at=self.reset_at)

    def judge(self, state: State) -> tuple[Ledger, tuple[Trial, ...]]:
        """With every part judged whose time is over by now, and the programs that got their outcome by that.

        Reads the blocks of the workloads concerned, their nodes' tariffs, and `state.now`.
        """
        if not state.now >= self.due:
            return self, ()
        looked = [_judged(program, state) for program in self.running]
        done = tuple(program for program in looked if program.outcome is not None)
        if not done:
            return replace(self, **_running(looked)), ()
        return ledger_of(self.policy, [*looked, *self.judged], reset_at=self.reset_at), done

    def learned(self, now: float) -> Learned:
        falls_back = self.fallback is not None and self.fallback.since <= now < self.fallback.since + WEEK
        return Learned(self.spread, self.penalty, self.fallback.sentence if self.fallback and falls_back else None)

    def reset(self, now: float) -> Ledger:
        """The owner takes the fallback off: from now on it is counted anew."""
        return ledger_of(self.policy, self.programs, reset_at=now)


def ledger_of(policy: str, programs: Iterable[Trial], *, reset_at: float = -math.inf) -> Ledger:
    """The ledger of these programs, in whatever order they come."""
    found = {program.id: program for program in programs}.values()
    ended = sorted(((p.outcome.at, p.id, p) for p in found if p.outcome is not None), key=lambda end: end[:2])
    judged = tuple(p for at, _, p in ended[-MOST:] if at > ended[-1][0] - REMEMBERED)
    return Ledger(
        policy, judged=judged, reset_at=reset_at, spread=spread_of(judged), penalty=penalty_of(judged),
        fallback=fallback_of(policy, judged, reset_at), **_running([p for p in found if p.outcome is None]),
    )  # fmt: skip


class _Running(TypedDict):
    running: tuple[Trial, ...]
    due: float


def _running(programs: Iterable[Trial]) -> _Running:
    running = tuple(sorted(programs, key=lambda p: (p.at, p.id)))
    due = min((part.ends for p in running for part in p.parts if part.open), default=math.inf)
    return {"running": running, "due": due}


def _ended(program: Trial, begins: Mapping[str, float]) -> Trial:
    """With those parts ended whose workload was changed again."""
    if not any(part.open and begins.get(part.key, -math.inf) > part.at for part in program.parts):
        return program
    parts = (
        replace(part, until=min(begins[part.key], math.inf if part.until is None else part.until))
        if part.open and begins.get(part.key, -math.inf) > part.at
        else part
        for part in program.parts
    )
    return replace(program, parts=tuple(parts))


# --- judging ------------------------------------------------------------------------------------------------------


def _judged(program: Trial, state: State) -> Trial:
    parts = tuple(_part_judged(part, state) if part.open and part.ends <= state.now else part for part in program.parts)
    if parts == program.parts:
        return program
    program = replace(program, parts=parts)
    return program if any(part.open for part in parts) else replace(program, outcome=_outcome(program))


def _part_judged(part: Part, state: State) -> Part:
    found = _gained(part, state)
    return replace(part, unknown=found) if isinstance(found, str) else replace(part, realised=found)


def _gained(part: Part, state: State) -> Interval | str:
    lasted = part.ends - part.at
    if part.share < 1 and lasted < max(part.settle, ENOUGH_TIME * part.horizon):
        return (
            f"{part.key} was changed again after {format_duration(lasted)} of the {format_duration(part.horizon)} "
            "that it was to be judged over"
        )
    workload = next((w for w in state.workloads if w.key == part.key), None)
    node = next((n for n in state.nodes if workload is not None and n.name == workload.node), None)
    if workload is None or node is None:
        return f"{part.key} is not watched under this policy any more"
    if workload.allocation is None or workload.allocation.resource != part.resource:
        return f"{part.key} no longer has an allocation of {part.resource}"
    change = Change(part.from_, part.to, part.at, part.ends, part.price, part.others)
    return gained(workload, node, change)


def _outcome(program: Trial) -> Outcome:
    at = max(part.ends for part in program.parts)
    unknown = next((part.unknown for part in program.parts if part.unknown), "")
    if unknown:
        return Outcome(at, None, None, None, None, None, f"what came of it is not known: {unknown}")
    parts = [part.realised for part in program.parts if part.realised is not None]
    realised = Interval(sum(p.low for p in parts), sum(p.expected for p in parts), sum(p.high for p in parts))
    promise = program.promise
    usd = sum(part.usd for part in program.parts) - (promise.cost_usd if promise else 0.0)
    if promise is None:
        words = f"{_rate(realised.expected)} against the allocation before"
        return Outcome(at, realised, usd, None, usd > 0, None, words)
    expected = promise.gain.expected
    error = (realised.expected - expected) / abs(expected) if expected else None
    words = (
        f"it brought {_rate(realised.expected)} where {money(expected, signed=True)} "
        f"({money(promise.gain.low, 3)} to {money(promise.gain.high, 3)}) was promised"
        f"{f', and cost {money(promise.cost_usd, 3)} USD to move' if promise.cost_usd else ''}"
    )
    within = _within(realised.expected, promise.gain)
    return Outcome(at, realised, usd, within, usd > 0, error, words)


def _rate(value: float) -> str:
    return f"{money(value, signed=True)} USD/h"


def _within(realised: float, gain: Interval) -> bool:
    """Whether a gain lies in the promised interval. One that is judged over less than its horizon is asked no less: hours that
    hang together differ no more over fewer of them, and an interval that is let off would never learn to be wider.
    """
    slack = 1e-9 * max(abs(realised), abs(gain.expected))
    return gain.low - slack <= realised <= gain.high + slack
