"""The nodes themselves: allocations over time -> what was used, earned and answered. Pure; the only place that sees demand.

    demand   used = min(allocation, demand)
    fill     stored rises by min(rise of the demand, room) and falls with it; used = stored
    earned   value x used x hours, less the energy of the allocation at the tariff of the tick, less fees

A workload that is not up, or whose demand nobody knows (NaN), gives no answer, earns nothing and draws nothing. A move
costs its traits' minutes: meanwhile the workload uses and earns nothing and does not answer; of a tick that it covers
in part, the rest is earned. Fees are paid at the move. What arrives for a fill workload while it is away goes elsewhere;
what is deleted is deleted all the same.

Two ways to the same figures: `World` tick by tick, for who decides as it goes; `play` a whole path at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.result import Run
from controller.backtest.violations import violations
from controller.plan.limits import SLACK
from exporters.energy import tariff
from exporters.traits import CurveKind
from exporters.windows import closes_at, opens_next

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.case import Case
    from controller.model import F64, NodeState, WorkloadState
    from exporters.nodes import Power

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """On what terms every tick pays, made once from a case's truth. All (T, W)."""

    demand: F64
    """Units that would be used; 0 where nobody answers. Of fill workloads: 1 where they answer."""
    worth: F64
    """USD that one used unit earns in the tick."""
    energy: F64
    """USD that one allocated unit draws in the tick; 0 where nobody answers."""
    rise: F64
    """Fill: units that would arrive in the tick (only while it is up), or that are deleted."""
    answers: Flags
    fills: tuple[int, ...]
    """Which workloads fill slowly."""
    stored: F64
    """(W,) what those have at the start; 0 for others."""


def terms(case: Case) -> Terms:
    """The terms of a case. Energy: W per step / 1000 x USD per kWh / step: 24 W per 2 cores at 0.31 is 0.00372 a core-hour."""
    truth, kinds = case.truth, [w.traits.curve for w in case.workloads]
    known = np.isfinite(truth.demand) & np.isfinite(truth.value)
    answers = truth.up & known
    demand = np.where(answers, truth.demand, 0.0)
    fills = tuple(i for i, kind in enumerate(kinds) if kind is CurveKind.FILL)
    rise, stored = np.zeros_like(demand), np.zeros(len(kinds))
    for i in fills:
        demand[:, i] = answers[:, i]
        level, first = _carried(truth.demand[:, i])
        change = np.diff(level, prepend=level[0])
        rise[:, i] = np.where(truth.up[:, i], change, np.minimum(change, 0.0))
        stored[i] = min(first, case.initial[i])
    per_unit = np.array([_kilowatts(w) for w in case.workloads]) * truth.hours
    energy = np.where(answers, _tariffs(case) * per_unit, 0.0)
    return Terms(demand, np.where(answers, truth.value, 0.0) * truth.hours, energy, rise, answers, fills, stored)


def _carried(demand: F64) -> tuple[F64, float]:
    """(T,) the last known level at each tick, the first known one before it; and that one. 0 where none is ever known."""
    known = np.isfinite(demand)
    if not known.any():
        return np.zeros(len(demand)), 0.0
    first = int(known.argmax())
    last = np.maximum.accumulate(np.where(known, np.arange(len(demand)), first))
    return np.maximum(demand[last], 0.0), max(float(demand[first]), 0.0)


def _kilowatts(workload: WorkloadState) -> float:
    if workload.watts is None or workload.allocation is None:
        return 0.0
    return workload.watts.per_step / 1000 / workload.allocation.step


def _tariffs(case: Case) -> F64:
    """(T, W) USD per kWh at each workload's node."""
    truth, index = case.truth, {node.name: i for i, node in enumerate(case.nodes)}
    of_node = [index[w.node] for w in case.workloads]
    if truth.tariff is not None:
        return np.nan_to_num(truth.tariff)[:, of_node]
    return np.stack([tariff_of(node, truth.start, truth.tick, truth.ticks) for node in case.nodes], axis=1)[:, of_node]


def tariff_of(node: NodeState, start: float, tick: float, ticks: int) -> F64:
    """(T,) what the node's own power says at the start of each tick. Windows are asked only when one opens or closes."""
    found = np.zeros(ticks)
    power, at, i = node.power, start, 0
    while power is not None and i < ticks:
        until = _changes_next(power, at)
        j = ticks if until == np.inf else min(ticks, int(np.ceil((until - start) / tick - 1e-9)))
        found[i : max(j, i + 1)] = tariff(power, at)
        i = max(j, i + 1)
        at = start + i * tick
    return found


def _changes_next(power: Power, at: float) -> float:
    return min((closes_at(window, at) or opens_next(window, at) for window in power.windows), default=np.inf)


class World:
    """The nodes of a case, from its first tick on."""

    def __init__(self, case: Case, on: Terms | None = None) -> None:
        """`on`: the terms of the case, where somebody has made them already."""
        self.case, self.terms = case, on or terms(case)
        self.tick = 0
        """Index of the next."""
        self.allocation: F64 = case.initial.astype(np.float64)
        """(W,) now."""
        self.stored: F64 = self.terms.stored.copy()
        """(W,) what fill workloads have; 0 for others."""
        self._away = [w.traits.offline_minutes * 60 / case.truth.tick for w in case.workloads]
        self._away_until = np.zeros(len(case.workloads))
        self._last_away = 0.0
        self._fees: F64 | None = None

    @property
    def over(self) -> bool:
        return self.tick >= self.case.truth.ticks

    def move(self, index: int, to: float) -> None:
        """Give a workload `to` base units from the coming tick on. To what it has already is no move."""
        workload = self.case.workloads[index]
        if not (np.isfinite(to) and to >= 0):
            raise ValueError(f"{workload.key} to {to}: an allocation is a finite number from 0 on")
        if to < self.stored[index] * (1 - SLACK):
            raise ValueError(f"{workload.key} to {to}: it has {self.stored[index]} stored, which no shrink takes back")
        if to == self.allocation[index]:
            return
        self.allocation[index] = to
        if self._away[index]:
            self._away_until[index] = self.tick + self._away[index]
            self._last_away = max(self._last_away, self._away_until[index])
        if workload.traits.fees_usd:
            self._fees = np.zeros(len(self.allocation)) if self._fees is None else self._fees
            self._fees[index] += workload.traits.fees_usd

    def step(self) -> tuple[F64, F64, Flags]:
        """One tick: used (W,), earned (W,), answering (W,)."""
        used, earned, answering = self.advance(1)
        return used[0], earned[0], answering[0]

    def advance(self, n: int) -> tuple[F64, F64, Flags]:
        """The next n ticks, or those that are left, without a move between them: used, earned, answering, (n, W) each."""
        first, last = self.tick, min(self.tick + n, self.case.truth.ticks)
        if n < 1 or first == last:
            raise ValueError(f"{n} ticks from tick {first} of {self.case.truth.ticks}: there are none to advance")
        on = self.terms
        answering, energy = on.answers[first:last], on.energy[first:last] * self.allocation
        there = None
        if self._last_away > first:
            there = 1.0 - np.clip(self._away_until - np.arange(first, last)[:, None], 0.0, 1.0)
            answering, energy = answering & (there == 1.0), energy * there
        used = np.minimum(on.demand[first:last], self.allocation)
        for i in on.fills:
            rise = arriving(on.rise[first:last, i], None if there is None else there[:, i])
            levels = filled(float(self.stored[i]), rise, float(self.allocation[i]))
            used[:, i] = on.demand[first:last, i] * levels
            self.stored[i] = levels[-1]
        if there is not None:
            used *= there
        earned = used * on.worth[first:last] - energy
        if self._fees is not None:
            earned[0] -= self._fees
            self._fees = None
        self.tick = last
        return used, earned, answering


def arriving(rise: F64, there: F64 | None) -> list[float]:
    found: list[float] = (rise if there is None else np.where(rise > 0, rise * there, rise)).tolist()
    return found


def filled(stored: float, rise: list[float], room: float) -> list[float]:
    """What is stored after each tick: min(rise, room) arrives, nothing falls below 0."""
    levels = []
    for change in rise:
        stored = max(stored, min(stored + change, room)) if change > 0 else max(stored + change, 0.0)
        levels.append(stored)
    return levels


def play(case: Case, name: str, allocation: F64, on: Terms | None = None) -> Run:
    """What a path (T, W) of allocations earns: the same as a World that is moved along it. ValueError where it would be."""
    on = on or terms(case)
    allocation = np.asarray(allocation, np.float64)
    if allocation.shape != on.demand.shape or not (np.isfinite(allocation).all() and (allocation >= 0).all()):
        raise ValueError(f"a path of {case.name} is {on.demand.shape} finite numbers from 0 on, not {allocation.shape}")
    moved = np.diff(allocation, axis=0, prepend=case.initial[None, :]) != 0
    there = _there(case, moved)
    used = np.minimum(on.demand, allocation)
    for i in on.fills:
        used[:, i] = on.demand[:, i] * _along(case, on, allocation[:, i], there[:, i], i)
    used *= there
    fees = np.array([w.traits.fees_usd for w in case.workloads])
    earned = used * on.worth - on.energy * allocation * there - moved * fees
    over, broken = violations(case, allocation)
    return Run(
        name, allocation, used, earned, programs=int(moved.any(axis=1).sum()), moves=int(moved.sum()),
        overallocations=over, limit_violations=broken,
    )  # fmt: skip


def _there(case: Case, moved: Flags) -> F64:
    """(T, W) the share of each tick in which a workload is not away for a move."""
    away = np.array([w.traits.offline_minutes * 60 / case.truth.tick for w in case.workloads])
    if not (moved.any() and away.any()):
        return np.ones(moved.shape)
    ticks = np.arange(len(moved))[:, None]
    last = np.maximum.accumulate(np.where(moved, ticks, -np.inf), axis=0)
    found: F64 = 1.0 - np.clip(last + away - ticks, 0.0, 1.0)
    return found


def _along(case: Case, on: Terms, room: F64, there: F64, index: int) -> list[float]:
    """(T,) what one fill workload has stored at the end of each tick along a path."""
    rise = arriving(on.rise[:, index], there)
    changes = np.flatnonzero(np.diff(room, prepend=case.initial[index])).tolist()
    levels: list[float] = []
    stored = float(on.stored[index])
    for first, last in zip([0, *changes], [*changes, len(room)], strict=True):
        if first == last:
            continue
        if room[first] < stored * (1 - SLACK):
            key = case.workloads[index].key
            raise ValueError(
                f"{key} to {room[first]} at tick {first}: it has {stored} stored, which no shrink takes back"
            )
        levels += filled(stored, rise[first:last], float(room[first]))
        stored = levels[-1]
    return levels
