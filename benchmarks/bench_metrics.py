"""/metrics for 1 000 and 10 000 workloads: our lines against prometheus_client's generate_latest over the same samples.

    scrape   joining the page, all pieces, as a scrape does; against generate_latest
    cold     rendering every line of every workload for the first time, and joining; against generate_latest
    update   one Reading in which only some figures changed, in microseconds
    hold-up  the longest time for which a whole HTTP scrape keeps the loop from others (CPU time of the loop's thread)

The samples are taken from our own page by the library's parser, so both say the same; the pages are compared first.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from exporters.collector import Workload
from exporters.metrics import Exposition
from exporters.nodes import WorkloadSpec
from exporters.reading import Native, Quality, Reading
from exporters.server import metrics_response
from exporters.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

AT = 1_760_000_000.0
HOLD_UP = 0.05
"""Seconds for which a scrape may keep the loop from others."""


class Fixed(Collector):
    """A registry's view of families that are there already: generate_latest pays for its own work only."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def reading(i: int, at: float = AT) -> Reading:
    return Reading(
        f"node-{i // 4:05d}", f"storj-{i}", "storj", at,
        state="online", states=("online", "suspended", "disqualified"), healthy=True, version="1.142.3", node_id=f"12Node{i}",
        quality=Quality.MEASURED, native=Native(gross_per_hour={"USD": 0.01 + i * 1e-6}),
        rate_usd_per_hour=0.01 + i * 1e-6, net_usd_per_hour=0.008 + i * 1e-6,
        balance_usd={"accrued": 1.25 + i, "held": 0.5, "paid": 17.75}, price_usd_per_unit_hour={"storage": 2.05e-15},
        allocated={"storage": 8e12, "bandwidth": 4e8}, configured={"storage": 8e12}, used={"storage": 5e12 + i, "bandwidth": 1e7},
        earning_stalled=False, payout_threshold_usd=10.0, payout_expected_at=AT + 86400.0,
    )  # fmt: skip


def workload(one: Reading) -> Workload:
    return Workload(one.node, one.workload, WorkloadSpec(protocol="storj", endpoint="http://127.0.0.1:1"), Traits())


def filled(readings: list[Reading], workloads: list[Workload]) -> Exposition:
    exposition = Exposition({})
    for one, of in zip(readings, workloads, strict=True):
        exposition.update(one)
        exposition.observe_poll(of, 0.12, None)
    return exposition


def update_all(exposition: Exposition, readings: list[Reading]) -> None:
    for one in readings:
        exposition.update(one)


def seconds(what: Callable[[], Any], rounds: int) -> float:
    """Median CPU seconds."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        what()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


async def hold_up(exposition: Exposition, *, packed: bool) -> float:
    """The longest stretch in which nobody else in the loop had a turn while a page was sent."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await metrics_response(request, exposition.render)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READ, f"http://127.0.0.1:{port}/metrics", "gzip" if packed else "identity",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reading_it = asyncio.create_task(reader.communicate())
    longest = 0.0
    while not reading_it.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    assert int((await reading_it)[0]) > 1000, "the reader got no page"
    await runner.cleanup()
    return longest


_READ = """
import sys, urllib.request
asked = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": sys.argv[2]})
print(len(urllib.request.urlopen(asked, timeout=120).read()))
"""
"""The reader is another process: what it does is none of the loop's time."""


def compare(count: int, rounds: int, report: Report) -> None:
    readings = [reading(i) for i in range(count)]
    workloads = [workload(one) for one in readings]
    exposition = filled(readings, workloads)
    page = b"".join(exposition.render())
    registry = CollectorRegistry()
    registry.register(Fixed(list(text_string_to_metric_families(page.decode()))))
    assert generate_latest(registry) == page, "the pages differ"
    series = sum(not line.startswith(b"#") for line in page.splitlines())

    library = seconds(lambda: generate_latest(registry), max(1, rounds // 3)) / series
    scrape = seconds(lambda: b"".join(exposition.render()), rounds) / series
    cold = seconds(lambda: b"".join(filled(readings, workloads).render()), rounds) / series
    changed = [
        replace(one, at=AT + 60, used={"storage": 6e12, "bandwidth": 2e7}, rate_usd_per_hour=0.02) for one in readings
    ]
    update = seconds(lambda: update_all(exposition, changed), 1) / count

    against = f"{library * 1e6:.2f} µs a series by generate_latest"
    name = f"{count:>6} workloads, {series} series"
    report.add(f"{name}: scrape", scrape / library, 0.05, detail=f"{scrape * 1e6:.3f} µs against {against}")
    report.add(f"{name}: cold", cold / library, detail=f"{cold * 1e6:.3f} µs against {against}")
    holds = {way: asyncio.run(hold_up(exposition, packed=packed)) for way, packed in (("plain", False), ("gzip", True))}
    for way, held in holds.items():
        report.add(
            f"{name}: loop held up, {way}", held / HOLD_UP, 1.0, detail=f"{held * 1e3:.1f} ms of {HOLD_UP * 1e3:.0f}"
        )
    report.figures[str(count)] = {
        "series": series, "bytes": len(page), "library_us_per_series": library * 1e6, "scrape_us_per_series": scrape * 1e6,
        "cold_us_per_series": cold * 1e6, "update_us_per_reading": update * 1e6,
        "hold_up_ms": {way: held * 1e3 for way, held in holds.items()},
    }  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("/metrics: lines rendered once against generate_latest")
    for count in (100, 1000) if options.quick else (1000, 10000):
        compare(count, 3 if options.quick else 5, report)
    finish(report, options)


if __name__ == "__main__":
    main()
