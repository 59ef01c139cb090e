"""From the death of a node to the webhook: simulated nodes, orcha, Prometheus, Alertmanager, all real and on this machine.

    refused  the node's programs end: whoever asks is refused at once
    silent   the node's power goes: whoever asks waits for an answer until the timeout

Each death comes at another moment of the polls, scrapes and evaluations. The bound is what the intervals add up to at worst:
poll interval + timeout + 2 x (scrape + evaluation interval) + the alert's `for` + group_wait.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from scripts._alertmanager import runnable
from tests.e2e.alerting import Call, made_quick
from tests.e2e.alerting_chain import BACK, DEAD, Chain, Times, chain
from tests.e2e.programs import ROOT, until

POLL, TIMEOUT, SCRAPE, EVALUATION, FOR, GROUP_WAIT = 3, 2, 1, 1, 2, 1
BOUND = POLL + TIMEOUT + 2 * (SCRAPE + EVALUATION) + FOR + GROUP_WAIT
TIMES = Times(f"{POLL}s", f"{TIMEOUT}s", f"{SCRAPE}s", f"{EVALUATION}s", {"nodeDownFor": f"{FOR}s"})
FAULTS = {"refused": "die", "silent": "hang"}
LONGEST = 180.0
"""Seconds to wait for a message that may never come: that a dead node is asked again may take 2 minutes."""


@dataclass(frozen=True)
class Told:
    """Seconds from a death to its message, and from the return to its own."""

    death: float
    back: float


def one(watched: Chain, fault: str) -> Told:
    """One death and one return."""
    before = len(watched.sink.calls)
    since = time.monotonic()
    watched.kill_rack_2(fault)
    death = arrived(watched, DEAD, before) - since
    since = time.monotonic()
    watched.mend_rack_2()
    return Told(death, arrived(watched, BACK, before) - since)


def arrived(watched: Chain, what: tuple[str, str, str, str], before: int) -> float:
    """When this was told for the first time after so many messages (monotonic seconds)."""

    def found() -> float | None:
        return next((call.at for call in watched.sink.calls[before:] if what in told_by(call)), None)

    return float(until(found, f"{what} to be told", LONGEST))


def told_by(call: Call) -> list[tuple[str, str, str, str]]:
    if not call.path.startswith("/alerts"):
        return []
    names = ("alertname", "node", "workload")
    return [(alert["status"], *(alert["labels"].get(name, "") for name in names)) for alert in call.json()["alerts"]]


def programs() -> Path | None:
    """The folder of Prometheus and Alertmanager; None where they cannot be had."""
    argv = [sys.executable, str(ROOT / "scripts/tools/prometheus.py")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"not measured: {done.stderr.strip()}", file=sys.stderr)
        return None
    return Path(done.stdout.strip())


def measured(tools: Path, rounds: int) -> dict[str, list[Told]]:
    chance = random.Random(1)
    found: dict[str, list[Told]] = {name: [] for name in FAULTS}
    with (
        tempfile.TemporaryDirectory() as folder,
        chain(Path(folder), tools, TIMES, lambda text: made_quick(text, f"{GROUP_WAIT}s"), runnable(tools)) as watched,
    ):
        for _ in range(rounds):
            for name, fault in FAULTS.items():
                time.sleep(chance.uniform(0.0, POLL + SCRAPE))  # at another moment of everybody's round
                found[name].append(one(watched, fault))
    return found


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("From the death of a node to the webhook")
    tools = programs()
    if tools is not None:
        for name, runs in measured(tools, 2 if options.quick else 5).items():
            deaths = sorted(run.death for run in runs)
            backs = sorted(run.back for run in runs)
            detail = (
                f"{len(runs)} runs, {deaths[0]:.1f} to {deaths[-1]:.1f} s of {BOUND} s; "
                f"its return after {backs[0]:.1f} to {backs[-1]:.1f} s"
            )
            report.add(f"{name}: the slowest, over the bound", deaths[-1] / BOUND, 1.0, detail=detail)
            report.figures[name] = {"death_seconds": deaths, "back_seconds": backs}
        terms = {
            "poll": POLL,
            "timeout": TIMEOUT,
            "scrape": SCRAPE,
            "evaluation": EVALUATION,
            "for": FOR,
            "group_wait": GROUP_WAIT,
        }
        report.figures["bound_seconds"] = {"sum": BOUND, **terms}
    finish(report, options)


if __name__ == "__main__":
    main()
