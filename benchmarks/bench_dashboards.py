"""Every query of every dashboard on a fleet of 1 000 workloads: how long Prometheus takes, against half a second.

The data: 30 days at an hour, the last one at 5 minutes (_exposed.py), blocks by promtool, recorded series by their rules. A
server that runs all the time makes few long blocks of many short ones, up to a tenth of its retention; what promtool wrote lies
in more than a hundred, each of which every query would have to look into. So Prometheus compacts them first, with the 90 days
of deploy/compose. The queries: with "All" chosen everywhere, over the dashboard's own range and over 30 days, as Grafana sends
them. What counts is the least of some rounds, as a browser would wait for it, with nobody else asking; beside it what it cost
in processor time, which says the same on a machine that is busy with other things. With --tsdb the data stays for other runs.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._exposed import DAY, FINE, fleet, instants, write
from benchmarks._report import Report, arguments, finish
from scripts import _blocks as blocks
from scripts._grafana import boards, choices, default_range, filled, targets
from scripts._pages import load
from scripts.backfill import RULES, lived

AIM = 0.5
"""Seconds that one query may take."""
LONGEST = "9d"
"""Of a block: a tenth of the 90 days that deploy/compose keeps."""


@dataclass(frozen=True)
class Took:
    seconds: float
    cpu: float
    series: int
    span: str
    query: str
    expr: str


def fill(output: Path, nodes: int, days: float, end: float, given: Path | None) -> int:
    """Blocks of the fleet; how many series it has in the last day. What objectives record is one series in any fleet: it is
    written as it may be, and the rest as its rules say.
    """
    rules = [rule for rule in blocks.rules_of(RULES) if "record" in rule]
    single = [rule["record"] for rule in rules if rule["group"].startswith("orcha.slo")]
    rules = [rule for rule in rules if rule["record"] not in single]
    series, taken = fleet(load(given) if given else lived(1.0, 1, 300.0), nodes, single)
    before, last = instants(end, days)
    named = {*single, *(name for rule in rules for name in blocks.NAMED.findall(rule["expr"]))}
    with tempfile.TemporaryDirectory(prefix="orcha-fleet-") as folder:
        for when, those, name in ((before, series.only(named), "hours"), (last, series, "day")):
            blocks.write_blocks(write(those, when, end, taken, Path(folder), name), output)
    blocks.write_recorded(rules, output, [(float(before[0]), end - DAY - 1.0, 3600.0), (end - DAY, end, FINE)])
    return len(series.names)


def recording() -> str:
    """A digest of what is recorded: data of other rules would lack series, and be looked through all too fast."""
    rules = [(rule["record"], rule["expr"]) for rule in blocks.rules_of(RULES) if "record" in rule]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()


def timed(address: str, path: str, rounds: int, **parameters: object) -> tuple[float, float, int]:
    """Least seconds until the whole answer is there, processor seconds of a round, and how many series it has."""
    body, taken, answer = urllib.parse.urlencode(parameters).encode(), [], b""
    before = spent(address)
    for _ in range(rounds):
        began = time.perf_counter()
        with urllib.request.urlopen(f"{address}/api/v1/{path}", body, timeout=120) as got:  # noqa: S310 our own server
            answer = got.read()
        taken.append(time.perf_counter() - began)
    return min(taken), (spent(address) - before) / rounds, len(json.loads(answer)["data"]["result"])


def spent(address: str) -> float:
    """Processor seconds of Prometheus so far."""
    return blocks.figures(address)["process_cpu_seconds_total"]


def measure(address: str, end: float, rounds: int, days: float) -> list[Took]:
    found: dict[tuple[str, str], Took] = {}
    for board in boards().values():
        for seconds, span in ((default_range(board), "its own"), (days * DAY, f"{days:.0f} d")):
            for target in targets(board):
                expr, step = filled(target, choices(board, {"protocol": "storj"}), seconds, FINE)
                if (expr, span) in found:
                    continue
                if target.instant:
                    took, cpu, series = timed(address, "query", rounds, query=expr, time=end)
                else:
                    start, step = end - seconds, max(step, FINE)
                    took, cpu, series = timed(
                        address, "query_range", rounds, query=expr, start=start, end=end, step=step
                    )
                found[expr, span] = Took(took, cpu, series, span, target.name, expr)
                if took > AIM:
                    print(f"{took:.2f} s, processor {cpu:.2f} s: {target.name} ({span})", file=sys.stderr, flush=True)
    return sorted(found.values(), key=lambda each: -each.seconds)


def data(folder: Path, nodes: int, days: float, given: Path | None) -> dict[str, Any]:
    """What the folder holds, written where there is nothing: {"nodes", "days", "rules", "end", "series"}. Raises SystemExit
    where it holds anything else.
    """
    said = folder / "fleet.json"
    wanted: dict[str, Any] = {"nodes": nodes, "days": days, "rules": recording()}
    if not said.exists():
        if folder.exists() and any(folder.iterdir()):
            raise SystemExit(
                f"{folder} holds what no run of this benchmark finished; name an empty folder, or a new one"
            )
        output, end, began = folder / "tsdb", time.time() // 3600 * 3600, time.perf_counter()
        output.mkdir(parents=True)
        count = fill(output, nodes, days, end, given)
        blocks.compact(output, LONGEST)
        print(f"{count} series were written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        said.write_text(json.dumps({**wanted, "end": end, "series": count}), encoding="utf-8")
    found: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    for name, value in wanted.items():
        if found[name] != value:
            raise SystemExit(
                f"{folder} was written with other {name} ({found[name]}, now {value}); name another folder"
            )
    return found


def main() -> None:
    parser = arguments("How long the queries of the dashboards take on a fleet.")
    parser.add_argument("--lived", type=Path, help="a file of .cache/week to take the page from")
    parser.add_argument("--rounds", type=int, help="of each query; 3, or 1 with --quick")
    parser.add_argument(
        "--tsdb", type=Path, help="write the data to this folder, or take what an earlier run wrote there"
    )
    options = parser.parse_args()
    nodes, days, rounds = (25, 7.0, 1) if options.quick else (250, 30.0, 3)
    rounds = options.rounds or rounds
    report = Report(f"dashboards: {4 * nodes} workloads, {days:.0f} days, Prometheus 2.42")
    with tempfile.TemporaryDirectory(prefix="orcha-bench-") as folder:
        kept = options.tsdb or Path(folder) / "data"
        written = data(kept, nodes, days, options.lived)
        count = len(list((kept / "tsdb").glob("*/meta.json")))
        with blocks.serving(kept / "tsdb", {}) as address:
            found = measure(address, written["end"], rounds, days)
    slow = [each for each in found if each.seconds > AIM]
    for each in found[: max(5, min(len(slow), 40))]:
        detail = f"{each.span}, {each.series} series, {each.cpu * 1e3:.0f} ms of processor: {each.expr[:200]}"
        report.add(each.query, each.seconds / AIM, 1.0, detail=detail)
    report.add("queries over 500 ms", len(slow), 0.0, detail=f"of {len(found)}")
    report.figures |= {
        "series": written["series"], "queries": len(found), "over_500_ms": len(slow),
        "of_nothing": sum(each.series == 0 for each in found), "blocks": count,
        "all": [asdict(each) for each in found],
        "median_ms": statistics.median(each.seconds for each in found) * 1e3, "slowest_ms": found[0].seconds * 1e3,
    }  # fmt: skip
    finish(report, options)


if __name__ == "__main__":
    main()
