"""Somebody who moves allocations within the limits of the policy, and remembers what the nodes showed. Pure.

What the baselines have in common: who may be moved now, how far, whether it fits. Orcha itself has its planner and its
guard for that; none of their code is used here but the arithmetic of needs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.result import Run
from controller.backtest.violations import violations
from controller.backtest.world import Terms, World
from controller.plan.limits import SLACK, needs
from exporters.traits import CurveKind
from exporters.windows import is_open

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.backtest.case import Case
    from exporters.nodes import Allocation

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Group:
    """Workloads of one node that are given the same resource."""

    capacity: float
    members: tuple[int, ...]


class Hands:
    """A World, what it showed so far, and what may be moved in it now."""

    def __init__(self, case: Case, on: Terms | None = None) -> None:
        self.case, self.world = case, World(case, on)
        shape = case.truth.demand.shape
        self.allocation, self.used, self.earned = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.answered = np.zeros(shape, np.bool_)
        self.allowed = [_declared(workload.key, workload.allocation) for workload in case.workloads]
        self.groups = _groups(case, self.allowed)
        self._needs = [
            {(w.node, resource): each for resource, each in needs(a).items()}
            for w, a in zip(case.workloads, self.allowed, strict=True)
        ]
        self._capacity = {(node.name, resource): has for node in case.nodes for resource, has in node.capacity.items()}
        self._limit = [
            max(a.step, case.spec.limits.max_step_percent / 100 * self._capacity.get((w.node, a.resource), 0.0))
            for w, a in zip(case.workloads, self.allowed, strict=True)
        ]
        self._moved_at = [-np.inf] * len(self.allowed)
        self._programs: deque[int] = deque()
        self._count, self._moves = 0, 0

    @property
    def over(self) -> bool:
        return self.world.over

    @property
    def now(self) -> float:
        return self.case.truth.start + self.world.tick * self.case.truth.tick

    def ticks(self, seconds: float) -> int:
        """As many ticks as come nearest, at least one."""
        return max(1, round(seconds / self.case.truth.tick))

    def has(self, i: int) -> float:
        return float(self.world.allocation[i])

    def free(self, i: int) -> bool:
        """Whether it may be moved now: it answered last, is not at rest, and its owner lets it."""
        workload, tick = self.case.workloads[i], self.world.tick
        if "Off" in {workload.mode, self.case.spec.mode} or (tick and not self.answered[tick - 1, i]):
            return False
        protect = self.allowed[i].protect_until
        if protect is not None and self.now < protect.timestamp():
            return False
        return (tick - self._moved_at[i]) * self.case.truth.tick >= self.case.spec.limits.hold

    def lowest(self, i: int) -> float:
        """The least that one program may leave it."""
        allowed, has = self.allowed[i], self.has(i)
        traits = self.case.workloads[i].traits
        floor = max(allowed.min, traits.min_allocation, has - self._limit[i])
        if traits.curve is CurveKind.FILL:
            floor = max(floor, float(self.world.stored[i]))
        elif traits.irreversible:
            floor = max(floor, float(self.used[self.world.tick - 1, i]) if self.world.tick else has)
        to = allowed.min + np.ceil((floor - allowed.min) / allowed.step * (1 - SLACK)) * allowed.step
        return has if allowed.freeze == "shrink" else min(has, float(to))

    def highest(self, i: int) -> float:
        """The most that one program may give it, were there room."""
        return max(self.has(i), self.on_grid(i, min(self.has(i) + self._limit[i], self.allowed[i].max)))

    def on_grid(self, i: int, to: float) -> float:
        """The largest allowed value that is not above `to`, in a direction that is not frozen."""
        allowed = self.allowed[i]
        to = allowed.min + float(np.floor((to - allowed.min) / allowed.step * (1 + SLACK))) * allowed.step
        return min(to, self.has(i)) if allowed.freeze == "grow" else to

    def room(self, i: int, changes: Mapping[int, float]) -> float:
        """The most that it could have once these changes were made, by capacity alone."""
        most = np.inf
        for place, each in self._needs[i].items():
            if place in self._capacity and each > 0:
                others = sum(
                    self._needs[k].get(place, 0.0) * changes.get(k, self.has(k))
                    for k in range(len(self.allowed))
                    if k != i
                )
                most = min(most, (self._capacity[place] - others) / each)
        return float(most)

    def fits(self, changes: Mapping[int, float]) -> bool:
        """Whether no node then gives out more than it has."""
        return all(to <= self.has(i) or to <= self.room(i, changes) * (1 + SLACK) for i, to in changes.items())

    def program(self, changes: Mapping[int, float]) -> bool:
        """Make all of these moves at once; False, and none, where they do not fit or may not be made now."""
        changes = {i: to for i, to in changes.items() if to != self.has(i)}
        tick, limits = self.world.tick, self.case.spec.limits
        while self._programs and (tick - self._programs[0]) * self.case.truth.tick >= _HOUR:
            self._programs.popleft()
        if not changes or len(self._programs) >= limits.max_programs_per_hour or not self.fits(changes):
            return False
        if any(is_open(window, self.now) for window in limits.freeze_windows):
            return False
        if self._programs and self._programs[-1] == tick:  # one look, one program
            self._count -= 1
        else:
            self._programs.append(tick)
        for i, to in changes.items():
            self.world.move(i, to)
            self._moved_at[i] = tick
        self._count, self._moves = self._count + 1, self._moves + len(changes)
        return True

    def advance(self, n: int) -> None:
        first = self.world.tick
        used, earned, answering = self.world.advance(n)
        last = self.world.tick
        self.allocation[first:last] = self.world.allocation
        self.used[first:last], self.earned[first:last], self.answered[first:last] = used, earned, answering

    def rate(self, i: int, window: int) -> float | None:
        """USD that a tick's allotted unit earned over the last ticks; None where nothing was allotted or nobody answered."""
        last = self.world.tick
        seen = self.answered[last - window : last, i]
        allotted = float(self.allocation[last - window : last, i] @ seen)
        return float(self.earned[last - window : last, i] @ seen) / allotted if allotted > 0 else None

    def run(self, name: str) -> Run:
        over, broken = violations(self.case, self.allocation)
        return Run(
            name, self.allocation, self.used, self.earned, programs=self._count, moves=self._moves,
            overallocations=over, limit_violations=broken,
        )  # fmt: skip


def _declared(key: str, allocation: Allocation | None) -> Allocation:
    if allocation is None:
        raise ValueError(f"{key} declares no allocation; a case has only workloads that may be moved")
    return allocation


def _groups(case: Case, allowed: list[Allocation]) -> tuple[Group, ...]:
    places: dict[tuple[str, str], list[int]] = {}
    for i, (workload, allocation) in enumerate(zip(case.workloads, allowed, strict=True)):
        places.setdefault((workload.node, allocation.resource), []).append(i)
    capacity = {node.name: node.capacity for node in case.nodes}
    return tuple(
        Group(capacity[node].get(resource, 0.0), tuple(members)) for (node, resource), members in places.items()
    )
