"""Performance reports: how long one of 30 days of four workloads takes, whether its total depends on the polling, and how far
it is off the ledger of a simulated world that real collectors looked at for two days.

The month is benchmarks/_period.py's: two programs, an outage, hours without readings. Reading is the state's (SQLite),
reckoning includes what doing nothing would have earned and the best split of all. Seconds are the processor's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._period import DAY, HOUR, lived
from benchmarks._report import Report, arguments, finish
from controller.commands.report import read
from controller.history import History
from controller.report.performance import performance
from controller.report.performance_page import page
from controller.report.performance_text import markdown
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.nodes import Node
from exporters.reading import Reading
from exporters.simulator import manifests
from exporters.simulator.demo import HISTORY, addresses, demo
from exporters.simulator.history import history

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("Performance reports")
    with tempfile.TemporaryDirectory() as directory:
        month = asyncio.run(lived(Path(directory) / "month.db", NOW))
        asyncio.run(timed(report, "30 days x 4 workloads", month, 5, 1.0))
        if not options.quick:
            racks = asyncio.run(lived(Path(directory) / "racks.db", NOW, racks=10))
            asyncio.run(timed(report, "30 days x 40 workloads", racks, 1))
        asyncio.run(polling(report, Path(directory)))
        asyncio.run(truth(report, Path(directory), 12 * HOUR if options.quick else HISTORY))
    finish(report, options)


async def timed(report: Report, name: str, url: str, rounds: int, aim: float | None = None) -> None:
    """The whole, the middle of so many rounds, and its parts."""
    parts: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        marks = [time.process_time()]
        told = await _read(url, (NOW - 30 * DAY, NOW))
        marks.append(time.process_time())
        view = performance(told)
        marks.append(time.process_time())
        html = page(view)
        marks.append(time.process_time())
        for part, began, ended in zip(("read", "reckon", "draw"), marks, marks[1:], strict=False):
            parts[part].append(ended - began)
        parts["all"].append(marks[3] - marks[0])
    middle = {part: sorted(found)[len(found) // 2] for part, found in parts.items()}
    sizes = {"page": len(html), "markdown": len(markdown(view))}
    report.figures[name] = {"seconds": middle, "bytes": sizes, "net_usd": view["totals"]["net_usd"]}
    detail = ", ".join(f"{part} {middle[part] * 1e3:.0f} ms" for part in ("read", "reckon", "draw"))
    report.add(f"{name}: a page, s", middle["all"], aim, detail=f"{detail}; {sizes['page'] / 1000:.0f} kB of HTML")


async def _read(url, period):
    store = await Store.open(url, write=False)
    try:
        return await read(store, period, period[1])
    finally:
        await store.close()


async def polling(report: Report, directory: Path) -> None:
    """The same two days, whose rate wanders by the minute, looked at every 15 and every 300 seconds."""
    totals = []
    for every in (15.0, 300.0):
        url = f"sqlite:///{directory}/every-{every:.0f}.db"
        kept = History([Kept("rack-1/golem", "cpu", 1000.0, 1.0, 12.0)])
        for i in range(int(2 * DAY / every) + 1):
            at = NOW - 2 * DAY + i * every
            rate = 0.3 + 0.1 * ((at // 60 * 7919) % 101 / 101)
            kept.add(
                Reading("rack-1", "golem", "golem", at, allocated={"cpu": 6.0}, used={"cpu": 6.0},
                        rate_usd_per_hour=rate, net_usd_per_hour=rate)
            )  # fmt: skip
        store = await Store.open(url)
        await kept.flush(store, NOW)
        await store.close()
        totals.append(performance(await _read(url, (NOW - 2 * DAY, NOW)))["totals"]["net_usd"])
    report.add(
        "every 15 s against every 300 s, a rate that jumps each minute: relative", abs(totals[1] / totals[0] - 1), 0.01
    )


async def truth(report: Report, directory: Path, span: float) -> None:
    """Real collectors on a fast clock; what the report says was credited against what the world paid."""
    made, end = demo(1, origin=NOW - HISTORY), NOW
    made.world.advance(end - span)
    where = addresses(made)
    found = manifests.documents(made, where, directory / "secrets")
    manifests.write(directory, found, made.secrets)
    nodes = [Node.model_validate(document) for document in found.values() if document["kind"] == "Node"]
    workloads = workloads_of(nodes, discover())
    past = History([Kept.of(workload) for workload in workloads])
    before: dict[tuple[str, str], float] = {}
    ledger: dict[str, float] = defaultdict(float)
    async for reading in history(made.world, workloads, discover(), end - span, end, addresses=where):
        past.add(reading)
        for token, earned in made.world.truth(reading.key).earned.items():
            price = 0.0 if token == "points" else made.world.market.usd(token, reading.at)  # noqa: S105 a currency
            ledger[reading.protocol] += (earned - before.get((reading.key, token), earned)) * price
            before[reading.key, token] = earned
    url = f"sqlite:///{directory}/truth.db"
    store = await Store.open(url)
    await past.flush(store, end)
    await store.close()
    view = performance(await _read(url, (end - span, end)))
    for each in view["protocols"]:
        name, paid = each["protocol"], ledger[each["protocol"]]
        if paid:
            off, aim = each["gross_usd"] / paid - 1, 0.04 if name == "storj" else 0.005
            report.add(
                f"{name}: off the ledger of {span / HOUR:.0f} h", abs(off), aim,
                detail=f"{each['gross_usd']:.4f} USD told, {paid:.4f} paid ({off:+.3%})",
            )  # fmt: skip


if __name__ == "__main__":
    main()
