"""Splits a problem into parts that share nothing, and gives each to the cheapest solver that is exact for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan import linear, waterfilling
from controller.plan.grid import whole_steps
from controller.plan.payback import paying
from controller.plan.problem import Problem, segments

if TYPE_CHECKING:
    from controller.model import F64
    from controller.plan.problem import Row, Segments

WATER: Final = "WaterFilling"
LINEAR: Final = "LinearProgram"
BUILT: Final = (WATER, LINEAR)


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


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Choices that share rows with one another and with nobody else."""

    index: tuple[int, ...]
    """Which choices of the whole."""
    problem: Problem


def solve(problem: Problem, wanted: str = "Auto") -> Solution:
    """The best target on the step grid. `wanted` is the policy's solver; what it cannot be, `why` says."""
    target = [choice.at for choice in problem.choices]
    relaxed, lost = problem.current, 0.0
    chosen: dict[str, list[str]] = {}
    for part in parts(problem):
        x, solver, because = _relax(part.problem, wanted)
        chosen.setdefault(solver, []).append(because)
        steps = whole_steps(part.problem, x)
        lost += part.problem.earns(x) - sum(float(c.y[i]) for c, i in zip(part.problem.choices, steps, strict=True))
        for i, value, index in zip(part.index, x, paying(part.problem, steps), strict=True):
            relaxed[i], target[i] = value, index
    return Solution(
        target=tuple(target), relaxed=relaxed, solver=" + ".join(sorted(chosen)) or WATER, why=_why(wanted, chosen),
        rounding_loss=max(0.0, lost),
    )  # fmt: skip


def parts(problem: Problem) -> list[Part]:
    """The connected parts, in the order of their first choice."""
    root = list(range(len(problem.choices)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for row in problem.rows:
        first = find(int(row.index[0])) if len(row.index) else 0
        for i in row.index.tolist():
            root[find(i)] = first
    members: dict[int, list[int]] = {}
    for i in range(len(root)):
        members.setdefault(find(i), []).append(i)
    rows: dict[int, list[Row]] = {}
    for row in problem.rows:
        if len(row.index):
            rows.setdefault(find(int(row.index[0])), []).append(row)
    return [_part(problem, index, rows.get(lead, [])) for lead, index in sorted(members.items(), key=lambda m: m[1])]


def _part(problem: Problem, index: list[int], rows: list[Row]) -> Part:
    place = {i: new for new, i in enumerate(index)}
    moved = [replace(row, index=np.array([place[i] for i in row.index.tolist()], dtype=np.intp)) for row in rows]
    return Part(tuple(index), Problem(tuple(problem.choices[i] for i in index), tuple(moved)))


def _relax(problem: Problem, wanted: str) -> tuple[F64, str, str]:
    """(continuous optimum, solver, why): WaterFilling where no row or one row binds, LinearProgram else."""
    lines = segments(problem)
    if wanted == LINEAR:
        return _linear(problem, lines, "the policy asks for it")
    free = waterfilling.fill(problem, None, lines)
    broken = [row for row in problem.rows if not row.holds(free)]
    if not broken:
        return free, WATER, "nothing binds"
    for row in broken:
        x = waterfilling.fill(problem, row, lines) if row.monotone else free
        if row.monotone and problem.holds(x):
            return x, WATER, f"{row.name} alone binds"
    names = " and ".join(row.name for row in broken)
    because = f"{names} bind together" if len(broken) > 1 else f"{names} binds with others"
    return _linear(problem, lines, because)


def _linear(problem: Problem, lines: Segments, because: str) -> tuple[F64, str, str]:
    try:
        return linear.maximise(problem, lines), LINEAR, because
    except linear.Unsolved as exc:
        return problem.current, LINEAR, f"{because}; {exc}, so everything stays"


def _why(wanted: str, chosen: dict[str, list[str]]) -> str:
    """One sentence: which solver, why, and what the policy asked for if it is another."""
    if not chosen:
        return "there is nothing to choose"
    exact = {WATER: "exact", LINEAR: "exact for the relaxation"}
    used = "; ".join(
        f"{solver} ({exact[solver]}): {_listed(sorted(set(because)))}" for solver, because in sorted(chosen.items())
    )
    if wanted in {"Auto", *chosen}:
        return used
    if wanted in BUILT:
        return f"{wanted} is not exact here, so Auto chose {used}"
    return f"{wanted} is not built yet, so Auto chose {used}"


def _listed(reasons: list[str]) -> str:
    shown = ", ".join(reasons[:4])
    return shown + (f" and {len(reasons) - 4} more" if len(reasons) > 4 else "")
