"""orcha itself over a case, in virtual time: the same `decide` as the loop calls, on what a node would have shown.

    World ──used, answering, rate──▶ Record (blocks, memory) ──▶ State ──decide──▶ moves ──▶ World

Every tick is a reading, every tick a decision. One that is made from nothing new (no block closed, nobody's rest ended,
nobody came or went) is the one before, and is not made again. Curves are fitted when a block closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.kept import realised
from controller.backtest.record import Record
from controller.backtest.result import ORCHA, Promise, Run
from controller.backtest.violations import violations
from controller.backtest.world import World, terms
from controller.decide import decide
from controller.estimate.weights import REPLICATES
from controller.model import Decision, Move, State
from controller.payoff import Ledger
from controller.plan.strategy import rises_after
from controller.promises import Kind, program

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.backtest.world import Terms

BLOCK: Final = 300.0
"""Seconds of a block."""
Progress = Callable[[float], None]
"""Told what share is done."""


class Replay:
    """One run: the world, what was seen of it, and what was decided."""

    def __init__(self, case: Case, replicates: int, on: Terms | None) -> None:
        self.case, self.replicates = case, replicates
        self.world = World(case, on or terms(case))
        self.record = Record(case, BLOCK)
        ticks, count = case.truth.demand.shape
        self.allocation, self.used, self.earned = (np.zeros((ticks, count)) for _ in range(3))
        self.last_moved: list[float | None] = [None] * count
        self.programs: list[float] = []
        self.moves = self.decisions = 0
        self.promises: list[Promise] = []
        self.ledger = Ledger(case.name)
        self.rises = 0
        self.places = {w.key: i for i, w in enumerate(case.workloads)}

    def go(self, progress: Progress | None) -> None:
        truth = self.case.truth
        ends = self._ends()
        first = 0
        for last in ends:
            self._advance(first, last)
            first = last
            if last < truth.ticks:
                self._turn(truth.start + last * truth.tick)
            if progress is not None:
                progress(last / truth.ticks)
        self.decisions = truth.ticks

    def _ends(self) -> list[int]:
        """The ticks at which something new can be known: a block closes, or somebody comes or goes."""
        truth = self.case.truth
        block = max(1, round(BLOCK / truth.tick))
        flips = np.flatnonzero((np.diff(self.world.terms.answers, axis=0)).any(axis=1)) + 1
        ends = set(range(block, truth.ticks + 1, block)) | {int(tick) + 1 for tick in flips} | {truth.ticks}
        return sorted(end for end in ends if end <= truth.ticks)

    def _advance(self, first: int, last: int) -> None:
        held = self.world.allocation.copy()
        used, earned, answering = self.world.advance(last - first)
        self.allocation[first:last], self.used[first:last], self.earned[first:last] = held, used, earned
        self.record.add(first, held, used, answering)

    def _turn(self, now: float) -> None:
        state = self._state(now)
        decision = decide(state, brief=True, replicates=self.replicates)
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

    def _state(self, now: float) -> State:
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
            seed=self.case.seed, memory=self.record.memory, rises=self.rises,
        )  # fmt: skip
        self.ledger, _ = self.ledger.judge(state)
        return replace(state, learned=self.ledger.learned(now))

    def _promise(self, now: float, decision: Decision, moves: list[Move]) -> None:
        begun = program(decision, moves, Kind.APPLIED)
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
    began = time.perf_counter()
    replay = Replay(case, replicates, on)
    replay.go(progress)
    over, broken = violations(case, replay.allocation)
    return Run(
        ORCHA, replay.allocation, replay.used, replay.earned, programs=len(replay.programs), moves=replay.moves,
        limit_violations=broken, overallocations=over, decisions=replay.decisions,
        seconds=time.perf_counter() - began, promises=realised(case, replay.world.terms, replay.used, replay.promises),
    )  # fmt: skip
