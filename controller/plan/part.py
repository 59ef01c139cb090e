"""One part of a problem, whose choices share rows: the continuous optimum, whole steps, and a proof or a better answer.

WaterFilling where no row or one row binds, LinearProgram else; then whole steps and what pays. That is often the best
there is on the step grid, which a bound proves: the continuous optimum, or, where one row binds and all steps need the
same of it, the best so many whole steps. Where no bound proves it (steps of different size, several rows, the cost of
moving) and the part is small enough, MILP finds the best.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan import annealing, genetic, greedy, highs, linear, milp, waterfilling
from controller.plan.grid import Steps, give_back, whole_steps
from controller.plan.items import items
from controller.plan.limits import SLACK
from controller.plan.payback import objective, paying
from controller.plan.problem import Problem, segments

if TYPE_CHECKING:
    from controller.model import F64
    from controller.plan.items import Items
    from controller.plan.problem import Row, Segments

WATER: Final = "WaterFilling"
LINEAR: Final = "LinearProgram"
MIXED: Final = "MILP"
GREEDY: Final = "Greedy"
MOST_ON_A_NODE: Final = 50
"""Workloads of one node up to which Auto looks for the best on the step grid."""
MOST: Final = 120
"""Of one part, which may span nodes: beyond it the mixed-integer programme takes seconds."""
EXACT: Final = "exact"
SPLIT: Final = "exact but for whole steps"
NEARLY: Final = "exact up to its gap"
SEARCHED: Final = "heuristic"
_SEARCHES: Final = {"Genetic": genetic.best, "Annealing": annealing.best}


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The answer for one part."""

    relaxed: F64
    """(n,) the continuous optimum of the curves' concave hulls."""
    index: list[int]
    solver: str
    sure: str
    """How sure it is that nothing is better: EXACT, SPLIT, NEARLY or SEARCHED."""
    because: str
    gap: float
    """Of the solver, relative: what it may have missed at most, beyond what `sure` says."""
    lost: float
    """USD per hour that the step grid costs, at most."""
    instead: str = ""
    """A clause that says why this is not by the solver that the policy asks for; "" = it is, or Auto may choose."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """The continuous optimum of one part."""

    x: F64
    """(n,) base units."""
    solver: str
    because: str
    bound: float
    """USD per hour: no whole steps earn more; inf: nothing is known."""
    row: Row | None = None
    """The one that binds."""
    price: float = 0.0
    """Of that row, USD per hour and unit."""
    rows: int = 1
    """How many bind: 0, 1, or more."""
    failed: str = ""
    """A clause that says so where no optimum was found and `x` is what there is."""


def solved(problem: Problem, wanted: str) -> Found:
    """The best target of one part. `wanted`: the policy's solver, or Auto."""
    lines = segments(problem)
    smooth = lines.concave
    hull = problem if smooth else problem.hull()
    relaxed = relax(hull, lines if smooth else segments(hull), wanted)
    instead = ""
    if wanted == WATER != relaxed.solver:
        wanted, instead = "Auto", "WaterFilling is not exact here"
    steps = whole_steps(problem, relaxed.x)
    lost = _lost(problem, relaxed.x, steps)
    bound = relaxed.bound if not problem.counts else np.inf
    proven = objective(problem, steps) >= bound - SLACK * _scale(problem)
    answer: Found | str = instead
    if wanted == GREEDY or wanted in _SEARCHES:
        answer = _searched(problem, relaxed, wanted)
    elif wanted == MIXED or (wanted == "Auto" and not proven and _small(problem)):
        because = "the policy asks for it" if wanted == MIXED else _obstacle(problem, relaxed, smooth=smooth)
        answer = _whole(problem.released(), relaxed, steps, because)
    if isinstance(answer, Found):
        return replace(answer, lost=min(answer.lost, lost), instead=instead)
    if wanted != "Auto":
        instead = answer
    sure = EXACT if proven else SPLIT if smooth and np.isfinite(bound) else SEARCHED
    because = f"{relaxed.because}{relaxed.failed}"
    return Found(relaxed.x, paying(problem, steps), relaxed.solver, sure, because, 0.0, lost, instead)


def _small(problem: Problem) -> bool:
    free = [c for c in problem.released().choices if not c.pinned and len(c.x) > 1]
    return len(free) <= MOST and max(Counter(c.node for c in free).values(), default=0) <= MOST_ON_A_NODE


def _scale(problem: Problem) -> float:
    return sum(max(abs(float(c.y[0])), abs(float(c.y[-1])), abs(float(c.y[c.at]))) for c in problem.choices)


def _lost(problem: Problem, x: F64, index: list[int]) -> float:
    earned = sum(float(c.y[i]) for c, i in zip(problem.choices, index, strict=True))
    return max(0.0, problem.earns(x) - earned)


# --- the continuous optimum ---------------------------------------------------------------------------------------


def relax(problem: Problem, lines: Segments, wanted: str = "Auto") -> Relaxed:
    """WaterFilling where no row or one row binds, LinearProgram else. Curves are concave."""
    if wanted == LINEAR:
        return _linear(problem, lines, "the policy asks for it")
    free = waterfilling.fill(problem, None, lines)
    broken = [row for row in problem.rows if not row.holds(free)]
    if not broken:
        return Relaxed(free, WATER, "nothing binds", problem.earns(free), rows=0)
    for row in broken:
        if not row.monotone:
            continue
        x, price = waterfilling.priced(problem, row, lines)
        if all(other is row or other.holds(x) for other in problem.rows):
            bound = min(problem.earns(x), _best_whole(problem, lines, row))
            return Relaxed(x, WATER, f"{row.name} alone binds", bound, row, price)
    names = " and ".join(row.name for row in broken)
    return _linear(problem, lines, f"{names} bind together" if len(broken) > 1 else f"{names} binds with others")


def _linear(problem: Problem, lines: Segments, because: str) -> Relaxed:
    try:
        x = linear.maximise(problem, lines)
    except highs.Unsolved as exc:
        return Relaxed(
            problem.current, LINEAR, because, np.inf, rows=2, failed=f", but {exc}: from what there is, step by step"
        )
    return Relaxed(x, LINEAR, because, problem.earns(x) + SLACK * _scale(problem), rows=2)


def _best_whole(problem: Problem, lines: Segments, row: Row) -> float:
    """What the best whole steps under one row earn, where all need the same of it; else no bound.

    Of equal steps as many fit as the room holds, whichever they are: so the best are those that earn most, and concave
    curves have their better steps first. Adding whole steps by what they earn, as grid.py does, reaches exactly that.
    """
    per_unit = np.zeros(len(problem.choices))
    per_unit[row.index] = row.coefficient
    need = per_unit[lines.owner] * lines.dx
    takes = lines.dy[need > 0]
    least, most = need[need > 0].min(initial=np.inf), need.max(initial=0.0)
    if not most <= least * (1 + SLACK) < np.inf:
        return np.inf
    room = row.limit - float(per_unit @ lines.base)
    fits = max(0, int(np.floor(room / least * (1 + SLACK) + SLACK)))
    base = sum(float(c.y[c.at if c.pinned else 0]) for c in problem.choices)
    free = np.maximum(lines.dy[need <= 0], 0.0).sum()
    return base + float(free + np.maximum(np.sort(takes)[::-1][:fits], 0.0).sum())


# --- the best on the step grid ------------------------------------------------------------------------------------


def _obstacle(problem: Problem, relaxed: Relaxed, *, smooth: bool) -> str:
    """Why whole steps are not simply the continuous optimum rounded."""
    if not smooth:
        return "a curve is not concave"
    if problem.counts:
        return " and ".join(count.name for count in problem.counts)
    if relaxed.rows > 1:
        return relaxed.because
    if any(c.cost > 0 for c in problem.choices if not c.pinned):
        return "moving costs money"
    return f"{relaxed.because} and steps differ in what they need" if relaxed.row else relaxed.because


def _whole(problem: Problem, relaxed: Relaxed, known: list[int], because: str) -> Found | str:
    """The best on the step grid, no worse than what is `known`; a clause that says why where there is no telling."""
    them = items(problem)
    priced = None if problem.counts or relaxed.rows > 1 else _row_prices(problem, them, relaxed)
    starts = [start for start in (them.of(known), them.at) if them.fits(start)]
    if not starts:
        return "MILP needs what there is now within the limits"
    try:
        chosen = milp.best(them, max(starts, key=them.total), priced)
    except highs.Unsolved as exc:
        return f"MILP found nothing ({exc})"
    index = _settled(problem, them.index(chosen.taken))
    sure = EXACT if chosen.gap <= milp.GAP else NEARLY
    gap = 0.0 if chosen.gap <= milp.GAP else chosen.gap
    return Found(relaxed.x, index, MIXED, sure, because, gap, _lost(problem, relaxed.x, index))


def _settled(problem: Problem, index: list[int]) -> list[int]:
    """Without what nothing gains by, which a search may leave: to it, differences below noise are none."""
    steps = Steps(problem, list(index))
    give_back(steps)
    x = steps.x()
    return steps.index if all(count.holds(x) for count in problem.counts) else index


def _row_prices(problem: Problem, them: Items, relaxed: Relaxed) -> F64:
    price = [relaxed.price if row is relaxed.row else 0.0 for row in problem.rows]
    return np.array(price) * them.scale


# --- searches -----------------------------------------------------------------------------------------------------


def _searched(problem: Problem, relaxed: Relaxed, wanted: str) -> Found | str:
    """By the search that the policy asks for, from the continuous optimum in whole steps. How far it may be from the best is
    known from that optimum. A clause that says why where there is nothing to search from.
    """
    if wanted == GREEDY:
        index = greedy.best(problem)
    else:
        free = problem.released()
        them = items(free)
        if not them.fits(them.at):
            return f"{wanted} needs what there is now within the limits"
        rounded = them.of(whole_steps(free, relaxed.x))
        start = rounded if them.fits(rounded) and them.total(rounded) > them.total(them.at) else them.at
        index = _settled(free, them.index(_SEARCHES[wanted](them, start)))
    worth = objective(problem, index)
    gap = 1.0  # nothing is known of what there may be
    if np.isfinite(relaxed.bound):
        gap = max(0.0, relaxed.bound - worth) / max(abs(relaxed.bound), abs(worth), 1e-300)
    sure = EXACT if gap <= SLACK else SEARCHED
    return Found(relaxed.x, index, wanted, sure, "the policy asks for it", gap, _lost(problem, relaxed.x, index))
