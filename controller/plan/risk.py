"""RiskAware: earn the most while the total rate's standard deviation stays within riskTolerance, in USD per hour.

The total is that of all workloads with a curve, moved or not, and the deviation that of its expected rate, as the past
leaves it open: every curve's replicates were drawn with the same weights (or its influence goes by the same hours), so
what rises and falls together adds up and what hedges cancels. The noise of the coming hours themselves is not in it.

A deviation as a function of allocations is not convex (a curve that saturates is surest where it is full), so that a
quadratic program over segments would take them out of order. Instead the constraint is checked as it is, on the step
grid: all splits are looked at where they are few; else the Threshold plan gives back what adds most variance for what it
earns until it is within, and is then filled up as far as the tolerance allows, as is what there is now.

No certainty is bought: where already the present split is above the tolerance, a plan has to earn more all the same. Of
those the best within the tolerance is taken; where none is within, the surest, if it is surer than now; else all stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, prod, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.words import money
from controller.plan.grid import Steps
from controller.plan.limits import SLACK
from controller.plan.payback import objective, paying
from controller.plan.spread import closed_form, columns_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Curve, Move
    from controller.plan.problem import Choice, Problem

    NDInt = NDArray[np.intp]

MOST_SPLITS: Final = 20_000
"""Splits up to which all are looked at: 4 workloads with 11 allocations each within one program's step."""
_PAIRS: Final = 48
"""Workloads up to which, when filling up, every transfer between two is tried as well as every step."""
_ROUNDS: Final = 16
"""Rounds of filling up, in each of which every choice moves once at most."""
_FEW: Final = 64
"""Steps that lower the variance up to which they are taken one by one, else an eighth of all at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Risk:
    """The deviation of the total rate, now and after any moves, against what is allowed."""

    tolerance: float
    """USD per hour."""
    curves: Mapping[str, Curve]
    draws: int
    first: int
    """The first of the hours that the closed forms know."""
    hours: int
    total: F64
    """(draws + hours,) the present total's deviation in each draw, so that the sum of squares is its variance."""

    @property
    def present(self) -> float:
        """USD per hour: standard deviation of the present split's rate."""
        return deviation(self.total)

    def holds(self, after: float) -> bool:
        """Whether a deviation is within the tolerance."""
        return after <= self.tolerance * (1 + SLACK)

    def bears(self, after: float) -> bool:
        """Whether it is, or at least below the present one."""
        return self.holds(after) or after < self.present * (1 - SLACK)

    def rows(self, curve: Curve, x: F64) -> F64:
        """(k, draws + hours) the deviations of one curve at k allocations."""
        found = np.zeros((len(x), self.draws + self.hours))
        if len(curve.replicates) > 1:
            rows = _along(curve.replicates - curve.replicates.mean(axis=0), curve.x, x)
            found[:, : len(rows)] = rows.T / sqrt(len(rows))
        elif closed_form(curve) and curve.influence is not None:
            hour = self.draws + columns_of(curve) - self.first
            np.add.at(found.T, hour, _along(curve.influence, curve.x, x))
        return found

    def change(self, moves: Iterable[Move]) -> F64:
        """(draws + hours,) by how much moves change the total's deviation."""
        total = np.zeros(len(self.total))
        for move in moves:
            before, after = self.rows(self.curves[move.key], np.array([move.from_, move.to]))
            total += after - before
        return total

    def after(self, moves: Iterable[Move]) -> float:
        """USD per hour: standard deviation once these are made."""
        return deviation(self.total + self.change(moves))


def risk_of(curves: Mapping[str, Curve], current: Mapping[str, float], tolerance: float) -> Risk | None:
    """None where no curve says how far it is open: then nobody can keep to a tolerance."""
    known = [curves[key] for key in sorted(current) if key in curves]
    draws = max((len(curve.replicates) for curve in known if len(curve.replicates) > 1), default=0)
    columns = [columns_of(curve) for curve in known if closed_form(curve) and len(columns_of(curve))]
    if not draws and not columns:
        return None
    first = min((int(each.min()) for each in columns), default=0)
    hours = max((int(each.max()) + 1 for each in columns), default=first) - first
    risk = Risk(tolerance, curves, draws, first, hours, np.zeros(draws + hours))
    with np.errstate(invalid="ignore", over="ignore"):
        held = [risk.rows(curve, np.array([current[curve.key]]))[0] for curve in known]
    return replace(risk, total=np.sum(held, axis=0))


def deviation(total: F64) -> float:
    """Of what is no number it is infinite, which no tolerance allows."""
    square = float(total @ total)
    return sqrt(square) if isfinite(square) else inf


def _along(rows: F64, x: F64, at: F64) -> F64:
    """(R, k) rows (R, k+1) of values at x, read at k allocations by lines between them."""
    if len(x) == 1:
        return np.repeat(rows, len(at), axis=1)
    right = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    part = np.clip((at - x[right - 1]) / (x[right] - x[right - 1]), 0.0, 1.0)
    found: F64 = rows[:, right - 1] * (1 - part) + rows[:, right] * part
    return found


def within(problem: Problem, target: Sequence[int], risk: Risk) -> tuple[list[int], str]:
    """Indices into the choices' values that keep to the tolerance, and a sentence; `target` is the plan without one."""
    wanted = list(target)
    search = _Search(problem, risk)
    unbound = search.deviation(wanted)
    with np.errstate(invalid="ignore", over="ignore"):
        found = wanted if risk.holds(unbound) else search.best(wanted)
    has = search.deviation(found)
    numbers = f"a standard deviation of {money(has, 3)} USD/h, of {money(risk.tolerance, 3)} allowed"
    if found != wanted:
        numbers += f"; Threshold would have {money(unbound, 3)}"
    if not risk.holds(risk.present):
        numbers += f"; the present split has {money(risk.present, 3)}"
    return found, numbers


class _Search:
    """Splits on the step grid, with what they earn and their deviation."""

    def __init__(self, problem: Problem, risk: Risk) -> None:
        self.problem, self.risk = problem, risk
        self.present = [choice.at for choice in problem.choices]
        self.noise = Steps(problem, self.present).noise
        self.now = objective(problem, self.present)
        self._rows: dict[tuple[int, int], F64] = {}

    def row(self, i: int, index: int) -> F64:
        """The deviations of one choice at one of its values against what it has."""
        if (i, index) not in self._rows:
            choice = self.problem.choices[i]
            curve = self.risk.curves[choice.key]
            before, after = self.risk.rows(curve, choice.x[[choice.at, index]])
            self._rows[i, index] = after - before
        return self._rows[i, index]

    def total(self, index: Sequence[int]) -> F64:
        moved = (self.row(i, to) for i, to in enumerate(index) if to != self.present[i])
        found: F64 = np.sum([self.risk.total, *moved], axis=0)
        return found

    def deviation(self, index: Sequence[int]) -> float:
        return deviation(self.total(index))

    def best(self, wanted: list[int]) -> list[int]:
        free = [i for i, choice in enumerate(self.problem.choices) if not choice.pinned and len(choice.x) > 1]
        if not free:
            return self.present
        if prod(len(self.problem.choices[i].x) for i in free) <= MOST_SPLITS:
            return _looked_through(self, free)
        return _given_back(self, wanted)

    def surer(self, found: list[int]) -> bool:
        """Whether a split may be taken: it fits, earns more than now, and is within or surer than now."""
        x = np.array([choice.x[to] for choice, to in zip(self.problem.choices, found, strict=True)])
        earns = objective(self.problem, found) > self.now + self.noise
        return earns and self.risk.bears(self.deviation(found)) and self.problem.holds(x)


# --- few splits: all of them --------------------------------------------------------------------------------------


def _looked_through(search: _Search, free: list[int]) -> list[int]:
    """The best of all splits."""
    problem, risk = search.problem, search.risk
    shape = [len(problem.choices[i].x) for i in free]
    index = np.indices(shape).reshape(len(shape), -1)
    steps = sum((np.abs(at - problem.choices[i].at) for i, at in zip(free, index, strict=True)), np.zeros(prod(shape)))
    earns = search.now + sum(
        (_net(problem.choices[i])[at] for i, at in zip(free, index, strict=True)), np.zeros(prod(shape))
    )
    variance = _variances(search, free, index)
    may = (earns > search.now + search.noise) & _fitting(problem, free, index)
    safe = may & (variance <= (risk.tolerance * (1 + SLACK)) ** 2)
    if safe.any():
        most = float(earns[safe].max())
        # of what earns the same, the shortest way
        choose = int(np.argmin(np.where(safe & (earns >= most - search.noise), steps, np.inf)))
    else:
        choose = int(np.argmin(np.where(may, variance, np.inf)))
    found = list(search.present)
    for i, at in zip(free, index, strict=True):
        found[i] = int(at[choose])
    return found if search.surer(found) else search.present


def _net(choice: Choice) -> F64:
    """(k,) USD per hour of each value against what it has now, less the cost of moving there."""
    net: F64 = choice.y - choice.y[choice.at] - choice.cost / (choice.horizon / 3600)
    net[choice.at] = 0.0
    return net


def _fitting(problem: Problem, free: list[int], index: NDInt) -> NDArray[np.bool_]:
    """(s,) whether all rows hold for each split, up to what float64 may lose."""
    current, place = problem.current, {i: number for number, i in enumerate(free)}
    held = np.array([problem.choices[i].x[at] for i, at in zip(free, index, strict=True)]).reshape(index.shape)
    fits = np.ones(index.shape[1], dtype=np.bool_)
    for row in problem.rows:
        moving = np.array([i in place for i in row.index.tolist()], dtype=np.bool_)
        rest = row.coefficient[~moving] * current[row.index[~moving]]
        terms = row.coefficient[moving, None] * held[[place[i] for i in row.index[moving].tolist()]]
        size = np.abs(rest).sum() + np.abs(terms).sum(axis=0)
        fits &= np.asarray(rest.sum() + terms.sum(axis=0) <= row.limit + SLACK * np.maximum(abs(row.limit), size))
    return fits


def _variances(search: _Search, free: list[int], index: NDInt) -> F64:
    """(s,) the variance of the total of each split, from what any two values do to it together."""
    rows = [np.array([search.row(i, at) for at in range(len(search.problem.choices[i].x))]) for i in free]
    square = np.full(index.shape[1], float(search.risk.total @ search.risk.total))
    for a, (one, at) in enumerate(zip(rows, index, strict=True)):
        square += (2 * (one @ search.risk.total) + (one**2).sum(axis=1))[at]
        for other, there in zip(rows[:a], index[:a], strict=True):
            square += 2 * (one @ other.T)[at, there]
    return np.where(np.isfinite(square), np.maximum(square, 0.0), np.inf)


# --- many: from the Threshold plan down, and from the present up ----------------------------------------------------


def _given_back(search: _Search, wanted: list[int]) -> list[int]:
    """The plan less the steps that add most variance for what they earn, until it is within, and then filled up; or what
    there is now, filled up; whichever earns more.
    """
    steps = Steps(search.problem, list(wanted))
    total = search.total(wanted)
    surest, least = search.present, search.risk.present
    while not search.risk.holds(deviation(total)):
        before, calmer = list(steps.index), _calmer(search, steps, total)
        for i, to in calmer[: 1 if len(calmer) <= _FEW else len(calmer) // 8]:
            after = total + search.row(i, to) - search.row(i, steps.index[i])
            if deviation(after) < deviation(total) and steps.can_move(i, to):
                total = after
                steps.move(i, to)
        if deviation(total) < least and objective(search.problem, steps.index) > search.now + search.noise:
            surest, least = list(steps.index), deviation(total)
        if steps.index == before:
            break
    splits = [surest]
    if search.risk.holds(deviation(total)):
        _fill_up(search, steps, total)
        splits = [list(steps.index)]
    if search.risk.holds(search.risk.present):
        afresh = Steps(search.problem, list(search.present))
        _fill_up(search, afresh, search.risk.total)
        splits.append(afresh.index)
    splits += [paying(search.problem, list(split)) for split in splits]
    good = [split for split in splits if search.surer(split)]
    return max(good, key=lambda split: objective(search.problem, split), default=search.present)


def _calmer(search: _Search, steps: Steps, total: F64) -> list[tuple[int, int]]:
    """The single steps that lower the variance, the most for what they earn first."""
    found = []
    for i, choice in enumerate(search.problem.choices):
        for to in (steps.index[i] - 1, steps.index[i] + 1):
            if choice.pinned or not 0 <= to < len(choice.x) or not steps.can_move(i, to):
                continue
            by = search.row(i, to) - search.row(i, steps.index[i])
            less = -float(2 * (total @ by) + by @ by)
            if less > 0:
                found.append((-less / max(-steps.gain(i, to), search.noise, 1e-300), i, to))
    return [(i, to) for _, i, to in sorted(found)]


def _fill_up(search: _Search, steps: Steps, total: F64) -> None:
    """Steps and transfers that earn more and stay within the tolerance, the best first, until none is left."""
    for _ in range(_ROUNDS):
        before = list(steps.index)
        found = [(sum(steps.gain(i, to) for i, to in changes), changes) for changes in _neighbours(search, steps)]
        good = sorted((-gain, changes) for gain, changes in found if gain > search.noise)
        for _, changes in good:
            if any(steps.index[i] != before[i] for i, _ in changes):
                continue  # it was reckoned from where that no longer is
            by = total + sum((search.row(i, to) - search.row(i, steps.index[i]) for i, to in changes), np.zeros(1))
            if search.risk.holds(deviation(by)) and _made(steps, changes):
                total = by
        if steps.index == before:
            return


def _neighbours(search: _Search, steps: Steps) -> list[list[tuple[int, int]]]:
    """One step of one choice, or one down and one up of two that share a row."""
    choices = search.problem.choices
    free = [i for i, choice in enumerate(choices) if not choice.pinned]
    ups = [(i, steps.index[i] + 1) for i in free if steps.index[i] + 1 < len(choices[i].x)]
    downs = [(i, steps.index[i] - 1) for i in free if steps.index[i] > 0]
    pairs = [[down, up] for down in downs for up in ups if down[0] != up[0] and steps.share_a_row(down[0], up[0])]
    return [[one] for one in ups + downs] + (pairs if len(free) <= _PAIRS else [])


def _made(steps: Steps, changes: list[tuple[int, int]]) -> bool:
    """Make the changes one after the other; where one is not possible, none of them."""
    was = [(i, steps.index[i]) for i, _ in changes]
    for number, (i, to) in enumerate(changes):
        if not steps.can_move(i, to):
            for back, index in reversed(was[:number]):
                steps.move(back, index)
            return False
        steps.move(i, to)
    return True
