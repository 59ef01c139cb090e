"""Splits a problem into parts that share nothing, and gives each to the cheapest solver that is exact for it; many nodes
at once to the decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan import decomposition
from controller.plan.flat import flat
from controller.plan.highs import Unsolved
from controller.plan.part import SPLIT, WATER, Found, solved
from controller.plan.problem import NOTHING, Problem, segments
from controller.plan.stepping import earned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.model import F64
    from controller.plan.problem import Count, Row

DECOMPOSED: Final = "Decomposition"
_MANY: Final = 200
"""Choices from which on all nodes are solved at once; with fewer the parts cost less one by one."""
_BOUNDED: Final = ("MILP", "Genetic", "Annealing")
_MOST: Final = 2_000
"""Choices that share rows up to which the policy may ask for those; with more they take minutes."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What the solvers found for the whole problem."""

    target: tuple[int, ...]
    """(n,) indices into the choices' allowed values: whole steps, feasible, and worth moving to."""
    relaxed: F64
    """(n,) the continuous optimum."""
    solver: str
    why: str
    rounding_loss: float
    """USD per hour that the step grid costs."""
    gap: float = 0.0
    """Of the solver, relative: how much more there may be at most; 0 where it is exact, be it but for whole steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Choices that share rows with one another and with nobody else."""

    index: tuple[int, ...]
    """Which choices of the whole."""
    problem: Problem


def solve(problem: Problem, wanted: str = "Auto") -> Solution:
    """The best target on the step grid. `wanted` is the policy's solver; what it cannot be, `why` says.

    The order of choices and rows does not matter.
    """
    order = sorted(range(len(problem.choices)), key=lambda i: problem.choices[i].key)
    if order != list(range(len(order))):
        found = solve(_ordered(problem, order), wanted)
        back = np.argsort(order)
        return replace(found, target=tuple(found.target[i] for i in back), relaxed=found.relaxed[back])
    problem = replace(problem, rows=tuple(sorted(problem.rows, key=lambda row: row.name)))
    because = ""
    if wanted == DECOMPOSED or (wanted == "Auto" and len(problem.choices) > _MANY):
        at_once = _at_once(problem, wanted)
        if isinstance(at_once, Solution):
            return at_once
        because = at_once
    return _by_parts(problem, wanted, because)


def _ordered(problem: Problem, order: Sequence[int]) -> Problem:
    place = {i: new for new, i in enumerate(order)}
    return Problem(
        tuple(problem.choices[i] for i in order),
        tuple(_row_moved(row, place) for row in problem.rows),
        tuple(_count_moved(count, place) for count in problem.counts),
    )


def _by_parts(problem: Problem, wanted: str, not_at_once: str) -> Solution:
    """Part by part. `not_at_once`: why Decomposition, if that is wanted, cannot be had."""
    target = [choice.at for choice in problem.choices]
    relaxed, found = problem.current, []
    for part in parts(problem):
        cannot = not_at_once if wanted == DECOMPOSED else ""
        if wanted in _BOUNDED and len(part.index) > _MOST:
            cannot = f"{wanted} is for at most {_MOST:,} workloads that share capacity or a constraint"
        it = solved(part.problem, "Auto" if cannot else wanted)
        found.append(replace(it, instead=cannot) if cannot else it)
        relaxed[list(part.index)] = it.relaxed
        for i, index in zip(part.index, it.index, strict=True):
            target[i] = index
    return Solution(
        target=tuple(target), relaxed=relaxed, solver=" + ".join(sorted({it.solver for it in found})) or WATER,
        why=_why(found), rounding_loss=sum((it.lost for it in found), 0.0),
        gap=max((it.gap for it in found), default=0.0),
    )  # fmt: skip


def parts(problem: Problem) -> list[Part]:
    """The connected parts, in the order of their first choice."""
    root = list(range(len(problem.choices)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for index in (*(row.index for row in problem.rows), *(count.index for count in problem.counts)):
        first = find(int(index[0])) if len(index) else 0
        for i in index.tolist():
            root[find(i)] = first
    members: dict[int, list[int]] = {}
    for i in range(len(root)):
        members.setdefault(find(i), []).append(i)
    rows: dict[int, list[Row]] = {}
    for row in problem.rows:
        if len(row.index):
            rows.setdefault(find(int(row.index[0])), []).append(row)
    counts: dict[int, list[Count]] = {}
    for count in problem.counts:
        counts.setdefault(find(int(count.index[0])), []).append(count)
    if len(members) == 1 and len(problem.choices):
        return [Part(tuple(range(len(root))), problem)]
    return [
        _part(problem, index, rows.get(lead, []), counts.get(lead, []))
        for lead, index in sorted(members.items(), key=lambda m: m[1])
    ]


def _part(problem: Problem, index: list[int], rows: list[Row], counts: list[Count]) -> Part:
    place = {i: new for new, i in enumerate(index)}
    choices = tuple(problem.choices[i] for i in index)
    moved = tuple(_row_moved(row, place) for row in rows)
    return Part(tuple(index), Problem(choices, moved, tuple(_count_moved(count, place) for count in counts)))


def _row_moved(row: Row, place: dict[int, int]) -> Row:
    index = np.array([place[i] for i in row.index.tolist()], dtype=np.intp)
    order = index.argsort()
    return replace(row, index=index[order], coefficient=row.coefficient[order])


def _count_moved(count: Count, place: dict[int, int]) -> Count:
    index = np.array([place[i] for i in count.index.tolist()], dtype=np.intp)
    order = index.argsort()
    kept_out = tuple(sorted(place[i] for i in count.kept_out))
    return replace(count, index=index[order], least=count.least[order], kept_out=kept_out)


# --- all nodes at once --------------------------------------------------------------------------------------------


def _at_once(problem: Problem, wanted: str) -> Solution | str:
    """All nodes by the decomposition; a clause that says why where it is not exact enough, or cannot be."""
    lines = segments(problem)
    if not problem.choices or not lines.concave:
        return "Decomposition needs concave curves"
    whole = flat(problem, lines)
    try:
        split, steps = decomposition.planned(whole.problem)
    except Unsolved as exc:
        return f"Decomposition found no prices ({exc})"
    if split.gap > decomposition.GAP and wanted != DECOMPOSED:
        return f"Decomposition came no nearer than {_per_cent(split.gap)} to the best"
    target, relaxed = np.zeros(len(whole.order), dtype=np.intp), np.zeros(len(whole.order))
    target[whole.order] = whole.low + steps.count
    relaxed[whole.order] = whole.base + whole.problem.amounts(split.taken)
    index = [int(i) for i in target]
    if not problem.holds(np.array([c.x[i] for c, i in zip(problem.choices, index, strict=True)])):
        return "Decomposition needs what there is now within the limits"
    priced = len(split.asked) > 1
    solver = DECOMPOSED if priced or wanted == DECOMPOSED else WATER
    nodes = _so_many(whole.problem.nodes, "node")
    over = _so_many(len(whole.problem.limit), "constraint")
    because = f"{nodes} under {over}{_missed(split.gap)}" if priced else f"{nodes} at once"
    return Solution(
        target=tuple(index), relaxed=relaxed, solver=solver, why=f"{solver} ({SPLIT}): {because}",
        rounding_loss=_beyond_noise(split.value - earned(whole.problem, steps.count), split.value), gap=split.gap,
    )  # fmt: skip


def _beyond_noise(lost: float, of: float) -> float:
    """What is lost, 0 where it is no more than two sums of the same differ by."""
    return lost if lost > NOTHING * abs(of) else 0.0


def _so_many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# --- the sentence -------------------------------------------------------------------------------------------------


def _why(found: list[Found]) -> str:
    """One sentence: which solvers, why, and why not what the policy asked for, where that could not be had."""
    if not found:
        return "there is nothing to choose"
    grouped: dict[tuple[str, str], list[Found]] = {}
    for it in found:
        grouped.setdefault((it.solver, it.sure), []).append(it)
    used = "; ".join(f"{solver} ({sure}): {_listed(those)}" for (solver, sure), those in sorted(grouped.items()))
    instead = sorted({it.instead for it in found if it.instead})
    return f"{' and '.join(instead)}, so Auto chose {used}" if instead else used


def _listed(found: list[Found]) -> str:
    reasons = sorted({it.because for it in found})
    shown = ", ".join(reasons[:4]) + (f" and {len(reasons) - 4} more" if len(reasons) > 4 else "")
    gap = max(it.gap for it in found)
    return f"{shown}{_missed(gap)}"


def _missed(gap: float) -> str:
    return f", at most {_per_cent(gap)} under the best" if gap else ""


def _per_cent(share: float) -> str:
    return f"{100 * share:.3g} %"
