"""orcha itself over a case, in virtual time: the same `decide` as the loop calls, on what a node would have shown.

    World ──used, answering, rate──▶ Record (blocks, memory) ──▶ State ──decide──▶ moves ──▶ World

Every tick is a reading, every tick a decision. One that is made from nothing new (no block closed, nobody's rest ended,
nobody came or went) is the one before, and is not made again. Curves are fitted when a block closes.

Several cases go side by side, each on its own: what is remembered and foreseen of all of them at once costs little more
than of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.kept import realised
from controller.backtest.record import Beside, Record
from controller.backtest.result import ORCHA, Promise, Run
from controller.backtest.violations import violations
from controller.backtest.world import World, terms
from controller.decide import decide
from controller.estimate.ahead import foresee
from controller.estimate.curves import horizon_of
from controller.estimate.weights import HOUR, REPLICATES
from controller.model import Decision, Move, State
from controller.payoff import Ledger
from controller.plan.strategy import rises_after
from controller.promises import Kind, trial
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.backtest.world import Terms
    from controller.estimate.ahead import Outlook
    from controller.model import Memory

BLOCK: Final = 300.0
"""Seconds of a block."""
Progress = Callable[[float], None]
"""Told what share is done."""


class Replay:
    """One run: the world, what was seen of it, and what was decided."""

    def __init__(self, case: Case, replicates: int, on: Terms | None, beside: Beside) -> None:
        self.case, self.replicates = case, replicates
        self.world = World(case, on or terms(case))
        self.record = Record(case, BLOCK, beside)
        ticks, count = case.truth.demand.shape
        self.allocation, self.used, self.earned = (np.zeros((ticks, count)) for _ in range(3))
        self.last_moved: list[float | None] = [None] * count
        self.programs: list[float] = []
        self.moves = 0
        self.promises: list[Promise] = []
        self.ledger = Ledger(case.name)
        self.rises = 0
        self.places = {w.key: i for i, w in enumerate(case.workloads)}
        self.demands: dict[float, list[int]] = {}
        """By horizon the places of those that use what demand takes."""
        for i, w in enumerate(case.workloads):
            if w.allocation is not None and w.traits.curve is CurveKind.DEMAND:
                self.demands.setdefault(horizon_of(w, case.spec), []).append(i)

    @property
    def now(self) -> float:
        return self.case.truth.start + self.world.tick * self.case.truth.tick

    @property
    def forecasts(self) -> bool:
        return self.case.spec.objective.strategy == "Predictive"

    def ends(self) -> list[int]:
        """The ticks at which something new can be known: a block closes, or somebody comes or goes."""
        truth = self.case.truth
        block = max(1, round(BLOCK / truth.tick))
        flips = np.flatnonzero((np.diff(self.world.terms.answers, axis=0)).any(axis=1)) + 1
        ends = set(range(block, truth.ticks + 1, block)) | {int(tick) + 1 for tick in flips} | {truth.ticks}
        return sorted(end for end in ends if end <= truth.ticks)

    def advance(self, last: int) -> None:
        """Up to a tick."""
        first = self.world.tick
        held = self.world.allocation.copy()
        used, earned, answering = self.world.advance(last - first)
        self.allocation[first:last], self.used[first:last], self.earned[first:last] = held, used, earned
        self.record.add(first, held, used, answering)

    def turn(self, expected: Mapping[float, Outlook] | None) -> None:
        """Decide, and move what is allowed. `expected`: of demand, where that is known already."""
        now = self.now
        state = self._state(now, remembered=expected is None)
        decision = decide(state, brief=True, replicates=self.replicates, expected=expected)
        allowed = [verdict.move for verdict in decision.verdicts if verdict.allowed]
        self.rises = 0 if allowed else rises_after(self.rises, decision.verdicts)
        if not allowed:
            return
        self.programs.append(now)
        self._promise(now, decision, allowed)
        for move in allowed:
            i = self.places[move.key]
            self.world.move(i, move.to)
            self.record.given(i, move.to)
            self.last_moved[i] = now
            self.moves += 1

    def _state(self, now: float, *, remembered: bool) -> State:
        """`remembered`: with the memory, which is for what is expected of demand alone."""
        workloads = tuple(
            replace(
                w, reading=reading, last_good=good, blocks=blocks, last_moved=moved,
            )
            for w, reading, good, blocks, moved in zip(
                self.case.workloads, *self.record.readings(now), self.record.blocks(), self.last_moved, strict=True
            )
        )  # fmt: skip
        recent = [at for at in self.programs[-8:] if now - at < 3600.0]
        state = State(
            now=now, policy=self.case.name, spec=self.case.spec, nodes=self.case.nodes, workloads=workloads,
            programs_last_hour=len(recent), last_program_at=self.programs[-1] if self.programs else None,
            seed=self.case.seed, memory=self.record.memory if remembered else None, rises=self.rises,
        )  # fmt: skip
        self.ledger, _ = self.ledger.judge(state)
        return replace(state, learned=self.ledger.learned(now))

    def _promise(self, now: float, decision: Decision, moves: list[Move]) -> None:
        begun = trial(decision, moves, Kind.APPLIED)
        self.ledger = self.ledger.promise(begun)
        if begun.promise is None:
            return
        gain = begun.promise.gain
        self.promises.append(
            Promise(
                at=now, keys=tuple(m.key for m in moves), from_=tuple(m.from_ for m in moves), to=tuple(m.to for m in moves),
                low=gain.low, expected=gain.expected, high=gain.high, confidence=begun.promise.confidence or 0.0,
                horizon=max(part.horizon for part in begun.parts), sentence=decision.sentence,
            )
        )  # fmt: skip


def orcha(
    case: Case, *, replicates: int = REPLICATES, progress: Progress | None = None, on: Terms | None = None
) -> Run:
    """What orcha would have done and earned. `replicates` 0: without the bootstrap, nobody less sure than by hours seen."""
    [run] = side_by_side([case], replicates=replicates, progress=progress, on=[on])
    return run


def side_by_side(
    cases: Sequence[Case], *, replicates: int = REPLICATES, progress: Progress | None = None,
    on: Sequence[Terms | None] | None = None,
) -> list[Run]:  # fmt: skip
    """The same of several cases that have the same ticks, such as one scenario under several seeds."""
    began = time.perf_counter()
    if len({(case.truth.start, case.truth.tick, case.truth.ticks) for case in cases}) > 1:
        raise ValueError("cases go side by side only where all have the same start, tick and number of ticks")
    beside = Beside()
    terms_of = [None] * len(cases) if on is None else on
    replays = [Replay(case, replicates, its, beside) for case, its in zip(cases, terms_of, strict=True)]
    _go(replays, beside, progress)
    took = (time.perf_counter() - began) / max(len(cases), 1)
    return [_run(replay, took) for replay in replays]


def _go(replays: Sequence[Replay], beside: Beside, progress: Progress | None) -> None:
    whose: dict[int, list[Replay]] = {}
    for replay in replays:
        for end in replay.ends():
            whose.setdefault(end, []).append(replay)
    for end, those in sorted(whose.items()):
        for replay in those:
            replay.advance(end)
        beside.close()
        truth = those[0].case.truth
        if end < truth.ticks:
            for replay, expected in zip(those, _expected(those, beside.memory), strict=True):
                replay.turn(expected)
        if progress is not None:
            progress(end / truth.ticks)


def _expected(those: Sequence[Replay], memory: Memory) -> list[dict[float, Outlook] | None]:
    """What demand is expected to be, of all of them at once; None, which leaves it to the decision, of one alone, and of
    those whose strategy asks for a forecast besides.
    """
    found: list[dict[float, Outlook] | None] = [None if it.forecasts else {} for it in those]
    if len(those) == 1:
        return [None]
    now = those[0].now
    for horizon in sorted({horizon for it in those for horizon in it.demands}):
        rows = [np.array(it.demands.get(horizon, []), dtype=np.intp) for it in those]
        which = np.concatenate([it.record.rows.start + own for it, own in zip(those, rows, strict=True)])
        whole = foresee(memory, now, horizon / HOUR, which=None if len(which) == len(memory.keys) else which)
        first = 0
        for outlooks, it, own in zip(found, those, rows, strict=True):
            if outlooks is not None:
                at = slice(first, first + len(own))
                outlooks[horizon] = whole.part(at, [it.case.workloads[i].key for i in own])
            first += len(own)
    return found


def _run(replay: Replay, took: float) -> Run:
    case, on = replay.case, replay.world.terms
    over, broken = violations(case, replay.allocation)
    return Run(
        ORCHA, replay.allocation, replay.used, replay.earned, programs=len(replay.programs), moves=replay.moves,
        limit_violations=broken, overallocations=over, decisions=case.truth.ticks, seconds=took,
        promises=realised(case, on, replay.used, replay.promises),
    )  # fmt: skip
