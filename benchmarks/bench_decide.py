"""How good the decisions are, and how quick: every scenario, seed by seed, against static, the simple rules and the
clairvoyant; then the aims, and what deciding takes.

    make bench-decide                         10 scenarios x 20 seeds x 30 days: hours of CPU on few cores
    make bench-decide OPTIONS="--quick"       the same over 3 seeds and 10 days
    python benchmarks/bench_decide.py --scenario bursts --seeds 5 --days 14 --no-timings

orcha is computed anew each time. Baselines and clairvoyant are kept under .cache/bench, by a hash of the case and of the
code that computed them (benchmarks/_known.py). A ratio of two earnings is of one seed; of a scenario's seeds the median is
shown, and the worst of all where "worst" stands.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._known import code_of, fingerprint, kept
from benchmarks._lived import fleet, lived, remembered_kb
from benchmarks._report import Report, arguments, finish
from benchmarks.bench_solvers import FLEETS, compare_fleet
from controller.backtest import baselines
from controller.backtest.clairvoyant import clairvoyant
from controller.backtest.report import MONTH, NOTABLE, RULES, WEEK, coverage, worst
from controller.backtest.result import CLAIRVOYANT, ORCHA, STATIC, Result
from controller.backtest.run import orcha, side_by_side
from controller.backtest.scenarios import NAMES, scenario
from controller.backtest.world import terms
from controller.decide import decide, refit
from controller.estimate.weights import REPLICATES
from controller.policy import Constraint, PolicySpec

if TYPE_CHECKING:
    import argparse

    from controller.backtest.case import Case
    from controller.backtest.result import Run
    from controller.backtest.world import Terms

CALM = "noisy-but-equal"
"""Where doing nothing is right."""
ENOUGH_SEEDS = 20
AT_ONCE = 10
"""Seeds of a scenario that go side by side."""
COMPUTED_BY = ("controller.backtest.baselines", "controller.backtest.clairvoyant")
RUN_BY = {
    "equal": baselines.equal,
    "greedy": baselines.greedy,
    "winner_takes_all": baselines.winner_takes_all,
}


@dataclass(frozen=True)
class Played:
    """One scenario under one seed."""

    scenario: str
    seed: int
    days: float
    earned: dict[str, float]
    worst_month: float | None
    """Ratio to static over the worst 30 days."""
    worst_week: float | None
    programs: int
    moves: int
    limit_violations: int
    overallocations: int
    outcomes: int
    inside: int
    seconds: float
    """Of orcha."""

    @property
    def possible(self) -> float:
        """What the clairvoyant gains, as a share of static."""
        return self.over(CLAIRVOYANT) - 1

    @property
    def captured(self) -> float:
        gap = self.earned[CLAIRVOYANT] - self.earned[STATIC]
        return (self.earned[ORCHA] - self.earned[STATIC]) / gap if gap > 0 else float("nan")

    def over(self, name: str, base: str = STATIC) -> float:
        one, other = self.earned[name], self.earned[base]
        return 1 + (one - other) / abs(other) if other else float("nan")

    @property
    def best_rule(self) -> str:
        return max(RULES, key=lambda name: self.earned[name])


def played(name: str, seeds: Sequence[int], days: float) -> list[Played]:
    """Play them side by side; in a process of its own."""
    cases = [scenario(name, seed=seed, days=days) for seed in seeds]
    on = [terms(case) for case in cases]
    runs = side_by_side(cases, on=on)
    return [told(name, days, case, its, run) for case, its, run in zip(cases, on, runs, strict=True)]


def told(name: str, days: float, case: Case, on: Terms, run: Run) -> Played:
    runs = {STATIC: baselines.static(case, on), ORCHA: run}
    others = kept("decide", fingerprint(case, code_of(*COMPUTED_BY)), lambda: computed(case, on))
    result = Result(case, runs)
    found = coverage(run.promises)
    return Played(
        name, case.seed, days, {**{each: runs[each].total for each in runs}, **others["earned"]},
        worst(result, ORCHA, MONTH), worst(result, ORCHA, WEEK), run.programs, run.moves, run.limit_violations,
        run.overallocations, found["outcomes"], found["inside"], run.seconds,
    )  # fmt: skip


def computed(case: Case, on: Terms) -> dict[str, Any]:
    """What does not depend on how orcha decides."""
    earned = {name: run(case, on).total for name, run in RUN_BY.items()}
    return {"earned": {**earned, CLAIRVOYANT: clairvoyant(case, on).total}}


def all_played(names: Sequence[str], seeds: int, days: float, jobs: int) -> list[Played]:
    """Every scenario under every seed, over all cores; with Ctrl-C those that were done."""
    found: list[Played] = []
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core each: that is what the processes are for
        os.environ.setdefault(name, "1")
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("playing", total=len(names) * seeds)
        some = [range(seeds)[first : first + AT_ONCE] for first in range(0, seeds, AT_ONCE)]
        waiting = [pool.submit(played, name, those, days) for those in some for name in names]
        try:
            for each in as_completed(waiting):
                found += each.result()
                progress.advance(bar, len(each.result()))
        except KeyboardInterrupt:
            print(f"ended early: {len(found)} of {len(names) * seeds} were played", file=sys.stderr)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return sorted(found, key=lambda each: (names.index(each.scenario), each.seed))


# --- by scenario --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """All seeds of one scenario."""

    name: str
    seeds: tuple[Played, ...]

    def median(self, of: Callable[[Played], float]) -> float:
        values = [value for each in self.seeds if np.isfinite(value := of(each))]
        return float(np.median(values)) if values else float("nan")

    @property
    def notable(self) -> bool:
        """Whether there is something to win."""
        return self.median(lambda each: each.possible) >= NOTABLE

    @property
    def captured(self) -> float:
        return self.median(lambda each: each.captured)

    @property
    def against_rule(self) -> float:
        """To the best rule, which is another one with other seeds."""
        return self.median(lambda each: each.over(ORCHA, each.best_rule))

    def worst(self, of: Callable[[Played], float | None]) -> float:
        return min((value for each in self.seeds if (value := of(each)) is not None), default=float("nan"))

    @property
    def programs_per_day(self) -> float:
        return self.median(lambda each: each.programs / each.days)

    @property
    def coverage(self) -> float:
        outcomes = sum(each.outcomes for each in self.seeds)
        return sum(each.inside for each in self.seeds) / outcomes if outcomes else float("nan")

    @property
    def broken(self) -> int:
        return sum(each.limit_violations + each.overallocations for each in self.seeds)


def by_scenario(found: Sequence[Played]) -> list[Scenario]:
    names = dict.fromkeys(each.scenario for each in found)
    return [Scenario(name, tuple(each for each in found if each.scenario == name)) for name in names]


HEADS = (
    "scenario", "seeds", "possible", "captured", "orcha /\nstatic", "orcha /\nbest rule", "best rule", "worst\n30 days",
    "worst\n7 days", "programs\na day", "inside\ninterval", "outcomes", "broken\nlimits", "s a run",
)  # fmt: skip


def scenarios_table(found: Sequence[Scenario]) -> Table:
    table = Table(title="Medians over seeds; worst and inside over all of them", title_justify="left")
    for head in HEADS:
        table.add_column(head, justify="left" if head in {"scenario", "best rule"} else "right", no_wrap=True)
    for each in found:
        rules = [seed.best_rule for seed in each.seeds]
        table.add_row(
            each.name, f"{len(each.seeds)}", signed(each.median(lambda one: one.possible)), number(each.captured, 2),
            number(each.median(lambda one: one.over(ORCHA)), 4), number(each.against_rule, 4),
            max(sorted(set(rules)), key=rules.count), number(each.worst(lambda one: one.worst_month), 4),
            number(each.worst(lambda one: one.worst_week), 4), number(each.programs_per_day, 2),
            number(100 * each.coverage, 0, " %"), f"{sum(one.outcomes for one in each.seeds)}", f"{each.broken}",
            number(each.median(lambda one: one.seconds), 1),
        )  # fmt: skip
    return table


def number(value: float, digits: int, unit: str = "") -> str:
    return f"{value:.{digits}f}{unit}" if np.isfinite(value) else "–"


def signed(share: float) -> str:
    return f"{100 * share:+.1f} %" if np.isfinite(share) else "–"


# --- the aims -----------------------------------------------------------------------------------------------------------


def aims(report: Report, found: Sequence[Scenario]) -> None:
    """Every aim for the quality of decisions: what was reached, over what was aimed at."""
    notable, others = [s for s in found if s.notable], [s for s in found if not s.notable]
    fewest = min((len(s.seeds) for s in found), default=0)
    few = "" if fewest >= ENOUGH_SEEDS else f"; only {fewest} seeds of {ENOUGH_SEEDS}"
    if notable:
        median = float(np.median([s.captured for s in notable]))
        add(
            report,
            "captured uplift, median over scenarios",
            median,
            0.80,
            f"of {len(notable)} where there is much to win{few}",
        )
        add_worst(report, "captured uplift, weakest scenario's median", notable, lambda s: s.captured, 0.50)
        add_worst(report, "orcha / best rule, weakest scenario's median", notable, lambda s: s.against_rule, 1.0)
    if others:
        add_worst(report, "orcha / best rule, where little is to win", others, lambda s: s.against_rule, 0.998)
    if any(np.isfinite(s.worst(lambda one: one.worst_month)) for s in found):
        add_worst(report, "worst 30 days against static", found, lambda s: s.worst(lambda one: one.worst_month), 0.99)
    if any(np.isfinite(s.worst(lambda one: one.worst_week)) for s in found):
        add_worst(report, "worst 7 days against static", found, lambda s: s.worst(lambda one: one.worst_week), 0.99)
    broken = sum(s.broken for s in found)
    report.add("limit violations and over-allocations", broken, 0, detail=f"in {sum(len(s.seeds) for s in found)} runs")
    for s in found:
        if s.name == CALM:
            report.add(f"programs a day, {s.name}", s.programs_per_day, 1.0, detail="less than one")
    known = [s for s in found if np.isfinite(s.coverage)]
    if known:
        low, high = (pick(known, key=lambda s: s.coverage) for pick in (min, max))
        report.add("share inside the interval, lowest", low.coverage, 0.75, at_least=True, detail=low.name)
        report.add("share inside the interval, highest", high.coverage, 0.85, detail=high.name)


def add(report: Report, name: str, value: float, aim: float, detail: str) -> None:
    """An aim from below, and by how much it was met or missed."""
    report.add(name, value, aim, at_least=True, detail=f"{value / aim:.3f} of the aim; {detail}")


def add_worst(
    report: Report, name: str, found: Sequence[Scenario], of: Callable[[Scenario], float], aim: float
) -> None:
    known = [s for s in found if np.isfinite(of(s))]
    if not known:
        return
    weakest = min(known, key=of)
    under = [f"{s.name} {of(s):.3f}" for s in sorted(known, key=of) if of(s) < aim and s is not weakest]
    also = f"; under it as well: {', '.join(under)}" if under else ""
    add(report, name, of(weakest), aim, f"{weakest.name}{also}")


# --- how quick ----------------------------------------------------------------------------------------------------------
# Times are CPU of this process, the best of several rounds: a machine that others use as well only adds.


def timings(report: Report, *, quick: bool) -> None:
    four = lived("steady", 3.0 if quick else 15.0)
    rounds = 3 if quick else 7
    timed(report, "4 workloads: curves", lambda: refit(four), 2.0, rounds)
    timed(report, "4 workloads: decide, 200 replicates", lambda: decide(four), 50.0, rounds)
    timed(report, "4 workloads: decide, brief", lambda: decide(four, brief=True), None, rounds)
    report.add(
        "history, kB a workload", remembered_kb(fleet(four, 1)) / 30.0, 1.0, detail=f"{remembered_kb(four):.1f} kB"
    )
    young = lived("steady", 1.0)  # the same curves from fewer blocks: thousands share them
    many = fleet(young, 100 if quick else 1000)
    timed(report, f"{len(many.nodes):,} nodes x 4: decide", lambda: decide(many), 500.0, 3)
    nodes = 1000 if quick else 10000
    most = fleet(young, nodes, bounded(nodes))
    timed(
        report, f"{nodes:,} nodes x 4, fleet constraints: decide", lambda: decide(most), 200.0 if quick else 2000.0, 1
    )
    compare_fleet(report, nodes, *FLEETS[0])


def bounded(nodes: int) -> PolicySpec:
    """A policy with a share, a total and a count over a fleet of nodes of scenario steady. The share binds."""
    share, total = Constraint(protocol="mysterium", max_share=0.26), Constraint(protocol="golem", max_total=3.2 * nodes)
    count = Constraint(protocol="akash", max_count=nodes // 2)
    return PolicySpec(mode="Auto", constraints=[share, total, count])


def timed(report: Report, name: str, work: Callable[[], object], aim_ms: float | None, rounds: int) -> None:
    """Milliseconds over the aim; without one, milliseconds."""
    best = min(once(work) for _ in range(rounds))
    detail = f"{best:.2f} ms CPU" if best < 100 else f"{best:,.0f} ms CPU"
    if aim_ms is None:
        report.add(f"{name}, ms", best)
    else:
        report.add(name, best / aim_ms, 1.0, detail=f"{detail} of {aim_ms:,.0f}")


def once(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began)


def backtests(report: Report, *, quick: bool) -> None:
    """30 days of four workloads, a reading and a decision each minute."""
    days = 3.0 if quick else 30.0
    case = scenario("steady", days=days)
    on = terms(case)
    for name, replicates, aim in (("with replicates", REPLICATES, 120.0), ("without", 0, 20.0)):
        ms = once(partial(orcha, case, replicates=replicates, on=on))
        whole = ms / 1e3 * 30 / days
        told = "" if days == 30 else f", from {days:g} days"
        report.add(f"30 days x 4 backtest, {name}", whole / aim, 1.0, detail=f"{whole:.1f} s CPU of {aim:.0f}{told}")
    seconds = once(lambda: clairvoyant(case, on)) / 1e3
    report.add(f"the clairvoyant, {days:g} days x 4, s", seconds, detail="apart")


# --- together -----------------------------------------------------------------------------------------------------------


def options() -> argparse.Namespace:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scenario", action="append", choices=NAMES, help="only this one; may be given several times")
    parser.add_argument("--seeds", type=int, help="seeds of each scenario; 20, with --quick 3")
    parser.add_argument("--days", type=float, help="days of each run; 30, with --quick 10")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; one for each core")
    parser.add_argument("--no-timings", action="store_true", help="only how good, not how quick")
    parser.add_argument("--only-timings", action="store_true", help="only how quick, not how good")
    chosen = parser.parse_args()
    if (chosen.seeds or 1) < 1 or not 0 < (chosen.days or 1.0) < float("inf") or chosen.jobs < 1:
        parser.error("--seeds, --days and --jobs are at least one, and days more than none")
    return chosen


def of_scenario(found: Scenario) -> dict[str, Any]:
    """As JSON: None where it is not known."""
    figures = {
        "captured_uplift": found.captured, "possible": found.median(lambda one: one.possible),
        "against_static": found.median(lambda one: one.over(ORCHA)), "against_best_rule": found.against_rule,
        "programs_per_day": found.programs_per_day, "coverage": found.coverage,
    }  # fmt: skip
    known = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    return {**known, "seeds": [vars(one) for one in found.seeds]}


def main() -> None:
    chosen = options()
    report = Report("Aims: what was reached against what was aimed at; times as ratios to their aims")
    if not chosen.only_timings:
        seeds, days = chosen.seeds or (3 if chosen.quick else 20), chosen.days or (10.0 if chosen.quick else 30.0)
        found = by_scenario(all_played(chosen.scenario or NAMES, seeds, days, chosen.jobs))
        Console(width=None if sys.stdout.isatty() else 190).print(scenarios_table(found))
        aims(report, found)
        report.figures["scenarios"] = {s.name: of_scenario(s) for s in found}
    if not chosen.no_timings:
        timings(report, quick=chosen.quick)
        backtests(report, quick=chosen.quick)
    finish(report, chosen)


if __name__ == "__main__":
    main()
