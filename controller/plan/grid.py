"""A continuous solution -> whole steps: floored to what is allowed, then whole steps by what they earn, while they fit.

Never infeasible: where flooring alone breaks a row (a share of a total that shrank), what everybody has now is the
answer. A workload shrinks only where something else gains: what was not needed is given back.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from controller.plan.limits import SLACK
from controller.plan.problem import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controller.model import F64
    from controller.plan.problem import Problem, Row


class Steps:
    """Where each choice stands on its list of allowed values while steps are added, with what every row has left."""

    def __init__(self, problem: Problem, index: list[int]) -> None:
        self.problem = problem
        self.index = index
        x = self.x()
        self._rows_of: list[list[tuple[int, float]]] = [[] for _ in problem.choices]
        for number, row in enumerate(problem.rows):
            for i, coefficient in zip(row.index.tolist(), row.coefficient.tolist(), strict=True):
                self._rows_of[i].append((number, coefficient))
        self._slack = [_tolerated(row, x) for row in problem.rows]
        self._left = [row.limit - row.used(x) for row in problem.rows]
        self.noise = NOTHING * max((float(np.abs(c.y).max()) for c in problem.choices), default=0.0)

    def x(self) -> F64:
        return np.array([c.x[i] for c, i in zip(self.problem.choices, self.index, strict=True)])

    def holds(self) -> bool:
        return all(left >= -slack for left, slack in zip(self._left, self._slack, strict=True))

    def holds_for(self, *choices: int) -> bool:
        """Whether the rows of these choices hold."""
        rows = {row for choice in choices for row, _ in self._rows_of[choice]}
        return all(self._left[row] >= -self._slack[row] for row in rows)

    def can_move(self, choice: int, to: int) -> bool:
        """Whether one choice may go to another of its values: in its list, not pinned, and every row still holds."""
        it = self.problem.choices[choice]
        if it.pinned or not 0 <= to < len(it.x):
            return False
        dx = float(it.x[to] - it.x[self.index[choice]])
        return all(self._left[row] - per_unit * dx >= -self._slack[row] for row, per_unit in self._rows_of[choice])

    def move(self, choice: int, to: int) -> None:
        it = self.problem.choices[choice]
        dx = float(it.x[to] - it.x[self.index[choice]])
        for row, per_unit in self._rows_of[choice]:
            self._left[row] -= per_unit * dx
        self.index[choice] = to

    def gain(self, choice: int, to: int) -> float:
        it = self.problem.choices[choice]
        return float(it.y[to] - it.y[self.index[choice]])

    def price(self, choice: int, to: int) -> float:
        """What a move takes of (or frees in) the row that it changes most, as a share of that row."""
        x, rows = self.problem.choices[choice].x, self.problem.rows
        dx = float(x[to] - x[self.index[choice]])
        return max(
            (abs(per_unit * dx) / (abs(rows[row].limit) or 1.0) for row, per_unit in self._rows_of[choice]), default=0.0
        )

    def share_a_row(self, one: int, other: int) -> bool:
        rows = {row for row, _ in self._rows_of[one]}
        return any(row in rows for row, _ in self._rows_of[other])


def _tolerated(row: Row, x: F64) -> float:
    return SLACK * max(abs(row.limit), float(np.abs(row.coefficient * x[row.index]).sum()))


def whole_steps(problem: Problem, x: F64) -> list[int]:
    """(n,) indices into each choice's allowed values, feasible."""
    steps = Steps(problem, [_floor(choice.x, value) for choice, value in zip(problem.choices, x, strict=True)])
    for i, choice in enumerate(problem.choices):
        if choice.pinned:
            steps.move(i, choice.at)
    if not steps.holds():
        steps = Steps(problem, [choice.at for choice in problem.choices])
    add(steps, range(len(problem.choices)))
    give_back(steps)
    return steps.index


def _floor(allowed: F64, value: float) -> int:
    tolerance = SLACK * max(abs(value), 1e-300)
    return max(0, int(np.searchsorted(allowed, value + tolerance, side="right")) - 1)


def add(steps: Steps, who: Iterable[int]) -> None:
    """Add whole steps, the one that earns most for what it takes first, while any fits and earns."""

    def entry(i: int) -> tuple[float, bool, int] | None:
        to = steps.index[i] + 1
        if to >= len(steps.problem.choices[i].x) or (gain := steps.gain(i, to)) <= steps.noise:
            return None
        return -gain / max(steps.price(i, to), 1e-300), to > steps.problem.choices[i].at, i

    heap = [found for i in who if (found := entry(i))]
    heapify(heap)
    while heap:
        *_, i = heappop(heap)
        if steps.can_move(i, steps.index[i] + 1):
            steps.move(i, steps.index[i] + 1)
            if found := entry(i):
                heappush(heap, found)


def give_back(steps: Steps) -> None:
    """Undo what nothing gains by: steps below what a workload has that fit again, and steps above that earn nothing."""
    for i, choice in enumerate(steps.problem.choices):
        while steps.index[i] < choice.at and steps.gain(i, steps.index[i] + 1) >= -steps.noise:
            if not steps.can_move(i, steps.index[i] + 1):
                break
            steps.move(i, steps.index[i] + 1)
        while steps.index[i] > choice.at and steps.gain(i, steps.index[i] - 1) >= -steps.noise:
            if not steps.can_move(i, steps.index[i] - 1):
                break
            steps.move(i, steps.index[i] - 1)
