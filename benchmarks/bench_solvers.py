"""WaterFilling against HiGHS on the same problem, one curve, and one whole decide() with four workloads.

Both solvers get the same Problem and give a continuous optimum; building the problem and rounding it to whole steps
are in neither figure. Times are CPU of this process, the best of several rounds, because a shared machine only adds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._report import Report, arguments, finish
from controller.decide import decide
from controller.estimate.curves import curve
from controller.estimate.weights import draw
from controller.model import Blocks, NodeState, State, WorkloadState
from controller.plan import linear, waterfilling
from controller.plan.problem import Choice, Problem, Row
from controller.policy import PolicySpec
from exporters.nodes import Allocation
from exporters.reading import Reading
from exporters.traits import CurveKind, Traits

SIZES = (4, 50, 1000)
STEPS = 24
"""Allowed values of each workload of a made-up problem."""
NOW = 1_800_000_000.0
ROUNDS = 7
AIM_RATIO = 10.0
AIM_DECIDE_MS = 20.0
AIM_CURVE_MS = 2.0


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


def four_workloads(hours: int = 14 * 24, seed: int = 0) -> State:
    """A node of 16 cores, four workloads, 14 days of hourly blocks with a daily rhythm, in quarter steps."""
    rng = np.random.default_rng(seed)
    bounds = Allocation(resource="cpu", min=0, max=12, step=1)
    traits = Traits(curve=CurveKind.DEMAND, resource="cpu")
    workloads = []
    for number, mean in enumerate((7.0, 2.0, 3.0, 5.0)):
        rhythm = 1 + 0.5 * np.sin(2 * np.pi * (np.arange(hours) + 6 * number) / 24)
        demand = np.maximum(0.0, mean * rhythm * (1 + 0.3 * rng.standard_normal(hours)))
        used, full = np.round(4 * np.minimum(demand, 4.0)) / 4, demand >= 4.0
        key, name = f"node/w{number}", f"w{number}"
        reading = Reading(
            "node", name, "mapped", NOW - 10, healthy=True, net_usd_per_hour=0.1, allocated={"cpu": 4.0},
            used={"cpu": float(used[-1])},
        )  # fmt: skip
        workloads.append(
            WorkloadState(key, "node", "mapped", traits, bounds, reading, reading, 300.0, _blocks(used, full))
        )
    return State(NOW, "default", PolicySpec(), (NodeState("node", {"cpu": 16.0}, None),), tuple(workloads))


def _blocks(used: np.ndarray, full: np.ndarray) -> Blocks:
    hours = np.ones(len(used))
    levels = np.arange(0, 4.25, 0.25)
    exact, censored = np.zeros((2, len(used), len(levels)), dtype=np.float32)
    at = np.searchsorted(levels, used)
    exact[np.arange(len(used)), at] = ~full
    censored[np.arange(len(used)), at] = full
    return Blocks(
        start=NOW - 3600.0 * np.arange(len(used), 0, -1), span=3600.0 * hours, hours=hours, usd=0.03 * used,
        unit_hours=used, rate_hours=hours, used=used, used_first=used, used_last=used, room_hours=1.0 - full,
        room_growth=0.0 * hours, levels=levels, exact=exact, censored=censored,
    )  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("Deciding: WaterFilling against HiGHS, and one whole decision")
    for size in SIZES[:2] if options.quick else SIZES:
        found = compare(size)
        detail = f"WaterFilling {found.water_ms:.3f} ms, HiGHS {found.highs_ms:.3f} ms"
        report.add(f"HiGHS / WaterFilling, {size} workloads", found.ratio, AIM_RATIO, at_least=True, detail=detail)
        report.add(f"difference of the objectives, {size} workloads", found.difference, 1e-9)
        report.figures[f"{size} workloads"] = vars(found)
    state = four_workloads()
    sentence = decide(state).sentence
    spent = best_ms(lambda: decide(state), 10)
    first, weights = state.workloads[0], draw((w.blocks for w in state.workloads), state.now, state.seed)
    one = best_ms(lambda: curve(first, state.nodes[0], state.spec, state.now, weights), 50)
    report.figures |= {"decide_4_workloads_cpu_ms": spent, "curve_cpu_ms": one}
    report.add("one curve with 200 replicates / 2 ms CPU", one / AIM_CURVE_MS, 1.0, detail=f"{one:.3f} ms")
    report.add(
        "decide() with 4 workloads / 20 ms CPU", spent / AIM_DECIDE_MS, 1.0, detail=f"{spent:.2f} ms: {sentence}"
    )
    finish(report, options)


if __name__ == "__main__":
    main()
