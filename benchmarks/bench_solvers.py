"""The solvers against HiGHS on the same problems. (Curves and whole decisions: bench_decide.py.)

One node: WaterFilling against the linear program, both to a continuous optimum of one Problem; the dynamic programme
against HiGHS's branch and bound, both to the best whole steps with the cost of moving; every solver on one problem.
Fleets: the decomposition of 10 000 nodes of 4 and of 50 workloads under three constraints over them against HiGHS on the
same arrays, cold and warm (its basis kept, every curve then changed by some per cent; the decomposition always starts
cold). HiGHS needs minutes for 50 x 10 000; --quick leaves that out and takes 1 000 nodes. Times are CPU of this process,
the best of several rounds where that is quick, because a shared machine only adds; building the problem is in no figure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._report import Report, arguments, finish
from controller.plan import decomposition, linear, milp, waterfilling
from controller.plan.flat import FlatProblem
from controller.plan.items import items
from controller.plan.payback import objective
from controller.plan.problem import Choice, Problem, Row
from controller.plan.solve import solve

SIZES = (4, 50, 1000)
STEPS = 24
"""Allowed values of each workload of a made-up problem."""
ROUNDS = 7
AIM_RATIO = 10.0
NODES = 10_000
SEGMENTS = 6
"""Of each workload of a fleet: a fifth of 16 cores up and down, in whole cores."""
AIM_WARM = 5.0
"""Times that HiGHS warm takes of what the decomposition takes."""
FLEETS = ((4, 1e-4, 25.0), (50, 1e-3, 5000.0))
"""Workloads of each node, the gap asked for, and the milliseconds that a prototype took, on another machine."""
SOLVERS = ("Auto", "WaterFilling", "LinearProgram", "MILP", "Decomposition", "Greedy", "Genetic", "Annealing")
AIM_SEARCH = 0.99


@dataclass(frozen=True)
class Compared:
    workloads: int
    water_ms: float
    highs_ms: float
    difference: float
    """Of the two objectives, relative."""

    @property
    def ratio(self) -> float:
        return self.highs_ms / self.water_ms


def best_ms(work: Callable[[], object], repeat: int) -> float:
    """CPU milliseconds of one call: the best mean over ROUNDS rounds of `repeat` calls."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(repeat):
            work()
        rounds.append((time.process_time() - start) / repeat)
    return 1e3 * min(rounds)


def made_up(workloads: int, seed: int = 0) -> Problem:
    """One node whose capacity is half of what everybody would take; concave curves of STEPS steps."""
    rng = np.random.default_rng(seed)
    choices = []
    for number in range(workloads):
        slopes = -np.sort(-rng.gamma(1.0, 0.03, STEPS))
        y = np.concatenate([[0.0], np.cumsum(slopes)])
        key = f"node/w{number:04d}"
        x = np.arange(STEPS + 1, dtype=float)
        choices.append(Choice(key, "node", "mapped", "cpu", x, y, STEPS // 2, {"cpu": 1.0}, cost=0.0, horizon=7200.0))
    row = Row("node cpu", np.arange(workloads), np.ones(workloads), workloads * STEPS / 2, ("node", "cpu"))
    return Problem(tuple(choices), (row,))


def compare(workloads: int) -> Compared:
    problem = made_up(workloads)
    row = problem.rows[0]
    water, highs = problem.earns(waterfilling.fill(problem, row)), problem.earns(linear.maximise(problem))
    return Compared(
        workloads,
        best_ms(lambda: waterfilling.fill(problem, row), max(3, 2000 // workloads)),
        best_ms(lambda: linear.maximise(problem), max(2, 200 // workloads)),
        abs(water - highs) / abs(highs),
    )


# --- whole steps --------------------------------------------------------------------------------------------------


def costly(workloads: int) -> Problem:
    """The same node with a second resource, where moving costs something."""
    problem = made_up(workloads)
    along = [0.3 + 0.1 * (i % 5) for i in range(workloads)]
    choices = tuple(
        replace(it, needs={"cpu": 1.0, "memory": each}, cost=0.01 * (i % 3))
        for i, (it, each) in enumerate(zip(problem.choices, along, strict=True))
    )
    memory = Row("node memory", np.arange(workloads), np.array(along), sum(along) * STEPS / 2, ("node", "memory"))
    return Problem(choices, (*problem.rows, memory))


def compare_whole(report: Report, workloads: int) -> None:
    """The dynamic programme, with branch and bound where it has too many states, against branch and bound alone."""
    them = items(costly(workloads))
    found, mixed = milp.best(them, them.at), milp.maximise(them, them.at)
    ours, highs = best_ms(lambda: milp.best(them, them.at), 1), best_ms(lambda: milp.maximise(them, them.at), 1)
    detail = f"MILP {ours:.2f} ms, HiGHS alone {highs:.1f} ms"
    report.add(f"HiGHS branch and bound / MILP, {workloads} workloads", highs / ours, 1.0, at_least=True, detail=detail)
    less = max(0.0, them.total(mixed.taken) - them.total(found.taken)) / abs(them.total(found.taken))
    report.add(f"what it finds less, {workloads} workloads", less, milp.GAP)
    report.figures[f"whole steps, {workloads} workloads"] = {"milp_ms": ours, "highs_ms": highs}


def every_solver(report: Report, workloads: int) -> None:
    """What each solver's whole steps are worth against the best, and what it takes."""
    problem = costly(workloads)
    best = objective(problem, list(solve(problem, "MILP").target))
    for solver in SOLVERS:
        start = time.process_time()
        found = solve(problem, solver)
        spent = 1e3 * (time.process_time() - start)
        aim = {"Auto": 1 - milp.GAP, "Genetic": AIM_SEARCH, "Annealing": AIM_SEARCH}.get(solver)
        part = objective(problem, list(found.target)) / best
        detail = f"{spent:.2f} ms, {found.why}"
        report.add(f"{solver} / the best, {workloads} workloads", part, aim, at_least=True, detail=detail)


# --- fleets -------------------------------------------------------------------------------------------------------


def fleet(nodes: int, workloads: int, seed: int = 0) -> FlatProblem:
    """Nodes with room for half of what everybody would take; five protocols. The one worth most at most 10 % more than now,
    the next one's share and the least one's amount no worse than now: all three bind.
    """
    rng = np.random.default_rng(seed)
    n = nodes * workloads
    protocol = rng.integers(0, 5, n)
    worth = rng.gamma(1.0, 0.03, n) * np.array([1.5, 1.3, 0.6, 1.0, 0.9])[protocol]
    slopes = -np.sort(-rng.gamma(1.0, 1.0, (n, SEGMENTS)) * worth[:, None], axis=1)
    rows = np.array([protocol == 0, (protocol == 1) - 0.25, -1.0 * (protocol == 2)], dtype=float)
    now = rows.sum(axis=1) * SEGMENTS / 2
    return FlatProblem(
        node=np.repeat(np.arange(nodes), workloads), first=np.arange(n + 1) * SEGMENTS, dx=np.ones(n * SEGMENTS),
        dy=slopes.ravel(), at=np.full(n, SEGMENTS // 2), cost=np.zeros(n), need=np.ones((1, n)),
        room=np.full((1, nodes), workloads * SEGMENTS / 2), coefficient=rows, limit=now + np.array([0.1 * now[0], 0.0, 0.0]),
    )  # fmt: skip


def changed(flat: FlatProblem, seed: int) -> FlatProblem:
    """Every curve some per cent up or down."""
    each = 1 + 0.05 * np.random.default_rng(seed).standard_normal(len(flat.node))
    return replace(flat, dy=flat.dy * np.abs(each)[flat.owner])


class Highs:
    """One linear program of all segments, kept between solves."""

    def __init__(self, flat: FlatProblem) -> None:
        import highspy

        s, nodes = len(flat.dx), flat.nodes
        over = [np.flatnonzero(row[flat.owner]) for row in flat.coefficient]
        values = [row[flat.owner][at] for row, at in zip(flat.coefficient, over, strict=True)]
        sizes = [*np.bincount(flat.node[flat.owner]), *(len(at) for at in over)]
        given = highspy.HighsLp()
        given.num_col_, given.num_row_, given.sense_ = s, nodes + len(over), highspy.ObjSense.kMaximize
        given.col_cost_, given.col_lower_, given.col_upper_ = flat.dy, np.zeros(s), np.ones(s)
        given.row_upper_ = np.concatenate([flat.room[0], flat.limit])
        given.row_lower_ = np.full(nodes + len(over), -highspy.kHighsInf)
        given.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        given.a_matrix_.start_ = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        given.a_matrix_.index_ = np.concatenate([np.arange(s), *over]).astype(np.int32)
        given.a_matrix_.value_ = np.concatenate([np.ones(s), *values])
        self._highs = highspy.Highs()
        for option, value in {"output_flag": False, "threads": 1}.items():
            self._highs.setOptionValue(option, value)
        self._highs.passModel(given)

    def solve(self, flat: FlatProblem) -> tuple[float, float]:
        """USD per hour, and CPU milliseconds."""
        s = len(flat.dy)
        start = time.process_time()
        self._highs.changeColsCost(s, np.arange(s, dtype=np.int32), flat.dy)
        self._highs.run()
        return self._highs.getInfo().objective_function_value, 1e3 * (time.process_time() - start)


def compare_fleet(report: Report, nodes: int, workloads: int, aim_gap: float, reference_ms: float) -> None:
    name = f"{workloads} x {nodes}"
    flats = [fleet(nodes, workloads)]
    flats += [changed(flats[0], seed) for seed in (1, 2)]
    highs = Highs(flats[0])
    solved = [highs.solve(flat) for flat in flats]
    found = [decomposition.maximise(flat, aim_gap) for flat in flats]
    ours = [_best_of(lambda flat=flat: decomposition.maximise(flat, aim_gap)) for flat in flats]
    ratio = [spent / own for (_, spent), own in zip(solved, ours, strict=True)]
    words = [f"{own:.1f} ms against {spent:.0f}" for (_, spent), own in zip(solved, ours, strict=True)]
    report.add(f"HiGHS cold / Decomposition, {name}", ratio[0], AIM_WARM, at_least=True, detail=words[0])
    detail = f"{words[1]}, {words[2]}: the worse of two"
    report.add(f"HiGHS warm / Decomposition, {name}", min(ratio[1:]), AIM_WARM, at_least=True, detail=detail)
    if nodes == NODES:
        detail = f"of a prototype's {reference_ms:g} ms, on another machine"
        report.add(f"Decomposition / prototype, {name}", max(ours) / reference_ms, detail=detail)
    report.add(f"gap it proves, {name}", max(it.gap for it in found), aim_gap)
    least = max(1 - it.value / best for it, (best, _) in zip(found, solved, strict=True))
    report.add(f"what it finds less than HiGHS, {name}", least, aim_gap)
    planned = _best_of(lambda: decomposition.planned(flats[0], aim_gap))
    report.figures[f"fleet, {name}"] = {
        "decomposition_ms": ours, "highs_ms": [spent for _, spent in solved], "whole_steps_ms": planned,
        "gaps": [it.gap for it in found], "asked": [len(it.asked) for it in found],
    }  # fmt: skip


def _best_of(work: Callable[[], object], rounds: int = 3) -> float:
    """CPU milliseconds of one call, the best of some."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(1e3 * (time.process_time() - start))
    return min(spent)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("The solvers against HiGHS")
    for size in SIZES[:2] if options.quick else SIZES:
        found = compare(size)
        detail = f"WaterFilling {found.water_ms:.3f} ms, HiGHS {found.highs_ms:.3f} ms"
        report.add(f"HiGHS / WaterFilling, {size} workloads", found.ratio, AIM_RATIO, at_least=True, detail=detail)
        report.add(f"difference of the objectives, {size} workloads", found.difference, 1e-9)
        report.figures[f"{size} workloads"] = vars(found)
    for size in (4,) if options.quick else (4, 12, 50):
        compare_whole(report, size)
    every_solver(report, 12)
    for workloads, gap, reference_ms in FLEETS[:1] if options.quick else FLEETS:
        compare_fleet(report, NODES // 10 if options.quick else NODES, workloads, gap, reference_ms)
    finish(report, options)


if __name__ == "__main__":
    main()
