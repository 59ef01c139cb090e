"""History: memory and time of 30 days for four workloads, kilobytes each for few and for thousands, and how long a block of
each of 10 000 takes to be counted.

Readings come as from real nodes: storage and stake every 5 minutes, cores every 15 seconds (in the history of 1 000
every 60), use that wanders, a failed look now and then. Memory is what tracemalloc counts after a collection, and the
RSS beside it; the ratio of `blocks` is against building them anew from their rows in the store.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from controller.history import History, period
from controller.memories import COARSE, FINE, Grain
from controller.model import Memory
from controller.past import DAY
from controller.rows import Batch
from controller.samples import Kept, Window
from controller.serve import collect_seldom
from controller.store import Store
from exporters.reading import Reading

START = 1_767_225_600.0
DAYS = 30
GIB, TIB = 2.0**30, 2.0**40


@dataclass(frozen=True)
class Kind:
    name: str
    resource: str
    step: float
    max: float
    interval: float
    wander: float
    """By how much demand changes from one reading to the next, relative to the maximum."""


KINDS = (
    Kind("storj", "storage", 128 * GIB, 12 * TIB, 300.0, 1e-4),
    Kind("golem", "cpu", 1.0, 10.0, 15.0, 0.02),
    Kind("akash", "cpu", 1.0, 8.0, 15.0, 0.02),
    Kind("streamr", "stake/DATA", 1000.0, 200_000.0, 300.0, 0.0),
)


def kept(kind: Kind, node: str, interval: float) -> Kept:
    return Kept(
        f"{node}/{kind.name}", kind.resource, 3 * interval + 60, kind.step, kind.max, foreseen=kind.resource == "cpu"
    )


def readings(kind: Kind, node: str, interval: float, days: float, seed: int) -> Iterator[Reading]:
    chance = random.Random(seed)
    demand = kind.max / 2
    for i in range(int(days * DAY / interval)):
        demand = min(max(demand + chance.gauss(0, kind.max * kind.wander), 0.0), 1.2 * kind.max)
        allocated = kind.step * (kind.max * 0.7 // kind.step)
        used = min(allocated, kind.step * round(demand / kind.step) if kind.resource == "cpu" else demand)
        yield Reading(
            node, kind.name, kind.name, START + i * interval, up=chance.random() > 0.002,
            allocated={kind.resource: allocated}, used={kind.resource: used},
            rate_usd_per_hour=0.02 * used / kind.max, net_usd_per_hour=0.018 * used / kind.max,
        )  # fmt: skip


def rss() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def traced(report: Report) -> None:
    """What the history itself holds, with and without the dense arrays of one question each."""
    gc.collect()
    before = rss()
    tracemalloc.start()
    history, now = History([kept(kind, "rack-1", kind.interval) for kind in KINDS]), START + DAYS * DAY
    for kind in KINDS:
        for reading in readings(kind, "rack-1", kind.interval, DAYS, 1):
            history.add(reading)
    gc.collect()
    packed = tracemalloc.get_traced_memory()[0]
    for kind in KINDS:
        found = history.blocks(f"rack-1/{kind.name}", now)
        assert found is not None
        report.figures[f"{kind.name}_blocks_levels"] = list(found.exact.shape)
    gc.collect()
    dense = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    report.figures |= {"four_packed_bytes": packed, "four_dense_bytes": dense, "four_rss_grew_bytes": rss() - before}

    report.add(
        "30 days, 4 workloads: MB",
        dense / 1e6,
        10.0,
        detail=f"{packed / 1e6:.2f} MB packed, with 24 h of readings; the rest is dense",
    )


def fleet(report: Report, name: str, count: int, grain: Grain, aim: float | None = None) -> None:
    """Kilobytes per workload of all that history keeps, after 30 days, the last day with a reading a minute."""
    totals = {}
    for kind in KINDS:
        history, whole, without_readings = _kept_of(kind, count, grain)
        found = asyncio.run(history.memory(f"n{i}/{kind.name}" for i in range(count)))
        sums = 0 if found is None else sum(getattr(found, array).nbytes for array in Memory.ARRAYS)
        totals[kind] = (whole + sums) / count / 1e3
        report.figures[f"{name}: {kind.name}: kB"] = {
            "readings": (whole - without_readings) / count / 1e3,
            "blocks and the rest": without_readings / count / 1e3,
            "what they come to": sums / count / 1e3,
        }
    each = ", ".join(f"{kind.name} {total:.1f}" for kind, total in totals.items())
    report.add(f"{name}: kB of history each", sum(totals.values()) / len(KINDS), aim, detail=each)
    report.add(f"{name}: kB of the largest kind", max(totals.values()), aim)


def _kept_of(kind: Kind, count: int, grain: Grain) -> tuple[History, int, int]:
    """A history, its bytes, and those without its readings. Nothing waits for the store, as after a flush."""
    gc.collect()
    tracemalloc.start()
    history = History([kept(kind, f"n{i}", 300.0) for i in range(count)], grain=_always(grain))
    for i in range(count):
        for reading in _thinned(readings(kind, f"n{i}", 60.0, DAYS, i)):
            history.add(reading)
    pasts = history._past.values()  # noqa: SLF001 to tell them apart
    for past in pasts:
        past.saved(past.collect(Batch()))
    gc.collect()
    whole = tracemalloc.get_traced_memory()[0]
    for past in pasts:
        past.window = Window(DAY)
    gc.collect()
    without_readings = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return history, whole, without_readings


def _thinned(found: Iterator[Reading]) -> Iterator[Reading]:
    """As many readings as fill the blocks: each of the last day, before that one in five, and long ago one in fifteen."""
    for i, reading in enumerate(found):
        age = START + DAYS * DAY - reading.at
        if i % (1 if age <= DAY else 5 if age <= 4 * DAY else 15) == 0:
            yield reading


async def counting(report: Report, count: int) -> None:
    """A block of each of `count` workloads closes at the same time."""
    kind = KINDS[1]
    history = History([kept(kind, f"n{i}", 60.0) for i in range(count)], grain=_always(COARSE))
    keys = [f"n{i}/{kind.name}" for i in range(count)]
    times, pauses = [], []
    collect_seldom()  # as `orcha run` does
    for turn in range(9):
        for i in range(count):
            for reading in readings(kind, f"n{i}", 150.0, 301 / DAY, i):
                history.add(moved(reading, START + 300 * turn))
        PAUSES[0] = 0.0
        longest, begun = asyncio.create_task(_longest_pause()), time.perf_counter()
        await history.memory(keys)
        times.append(time.perf_counter() - begun)
        longest.cancel()
        pauses.append(PAUSES[0])
    detail = f"every half hour also foreseen: {max(times[2:]) * 1e3:.0f} ms"
    report.add(f"{count} workloads: to count a block of each, ms", sorted(times[2:])[3] * 1e3, detail=detail)
    report.add(f"{count} workloads: longest pause of the loop in it, ms", max(pauses[2:]) * 1e3, 50.0)


async def restoring(report: Report, count: int) -> None:
    """30 days of workloads with demand, as the store has them: blocks alone, as finely as for few, against with what they
    come to.
    """
    kind, now = KINDS[1], START + DAYS * DAY
    each = [kept(kind, f"n{i}", 300.0) for i in range(count)]
    alone = 0.0
    for name, grain in (("few", FINE), ("thousands", COARSE)):
        with tempfile.TemporaryDirectory() as directory:
            store = await Store.open(f"sqlite:///{directory}/orcha.db")
            await _lived(History(each, grain=_always(grain)), kind, count, store)
            plain = [replace(one, foreseen=False) for one in each]
            before = await _restored(History(plain, grain=_always(grain)), store, now)
            found = await _restored(History(each, grain=_always(grain)), store, now)
            await store.close()
        alone = alone or before
        report.add(
            f"restore 30 days, as for {name} / blocks alone, as for few",
            found / alone,
            1.5 if grain is COARSE else None,
            detail=f"{found / count * 1e3:.1f} ms each, its blocks alone {before / count * 1e3:.1f} ms",
        )


async def _lived(history: History, kind: Kind, count: int, store: Store) -> None:
    """Into the store every hour of the last day."""
    lines = [_thinned(readings(kind, f"n{i}", 60.0, DAYS, i)) for i in range(count)]
    for until in np.arange(START + (DAYS - 1) * DAY, START + DAYS * DAY + 1, 3600.0):
        for line in lines:
            for reading in line:
                history.add(reading)
                if reading.at >= until:
                    break
        await history.flush(store, float(until))


def _always(grain: Grain) -> Callable[[int], Grain]:
    return lambda _: grain


async def _restored(history: History, store: Store, now: float) -> float:
    """Seconds of the processor until everything can be decided from."""
    begun = time.process_time()
    await history.restore(store, now)
    await history.memory(list(history._past))  # noqa: SLF001 all of them
    return time.process_time() - begun


async def many(report: Report, count: int) -> None:
    """A flush and a restore of many workloads that are read once a minute, after an hour."""
    each = [(KINDS[i % 4], f"n{i}") for i in range(count)]
    history, now = History([kept(kind, node, 60.0) for kind, node in each]), START + 3600
    for i, (kind, node) in enumerate(each):
        for reading in readings(kind, node, 60.0, 1 / 24, i):
            history.add(reading)
    with tempfile.TemporaryDirectory() as directory:
        store = await Store.open(f"sqlite:///{directory}/orcha.db")
        await history.flush(store, now)
        for i, (kind, node) in enumerate(each):
            for reading in readings(kind, node, 60.0, 60 / DAY, i):
                history.add(moved(reading, now))
        longest, begun = asyncio.create_task(_longest_pause()), time.perf_counter()
        await history.flush(store, now + 60)
        report.add(f"{count} workloads: flush of a minute, ms", (time.perf_counter() - begun) * 1e3)
        longest.cancel()
        again, begun = History([kept(kind, node, 60.0) for kind, node in each]), time.perf_counter()
        await again.restore(store, now + 60)
        report.add(f"{count} workloads: restore of an hour, ms", (time.perf_counter() - begun) * 1e3)
        await store.close()
    report.add(f"{count} workloads: longest pause of the loop in a flush, ms", PAUSES[0] * 1e3)


PAUSES = [0.0]


async def _longest_pause() -> None:
    """How long the loop was not given back, at most."""
    before = time.perf_counter()
    while True:
        await asyncio.sleep(0)
        PAUSES[0], before = max(PAUSES[0], time.perf_counter() - before), time.perf_counter()


def adding(report: Report) -> History:
    history = History([kept(kind, "rack-1", kind.interval) for kind in KINDS])
    made = [list(readings(kind, "rack-1", kind.interval, DAYS, 1)) for kind in KINDS]
    begun, count = time.process_time(), sum(map(len, made))
    for some in made:
        for reading in some:
            history.add(reading)
    report.add("add a reading: µs", (time.process_time() - begun) / count * 1e6, detail=f"{count} readings")
    return history


async def stored(report: Report, history: History) -> None:
    now = START + DAYS * DAY
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "orcha.db"
        store = await Store.open(f"sqlite:///{path}")
        begun = time.perf_counter()
        await history.flush(store, now)
        report.add("flush 30 days of 4 workloads: ms", (time.perf_counter() - begun) * 1e3)
        times = []
        for i in range(20):
            for kind in KINDS:
                for reading in readings(kind, "rack-1", 15.0, 60 / DAY, i):
                    history.add(moved(reading, now + 60 * i))
            begun = time.perf_counter()
            await history.flush(store, now + 60 * i)
            times.append(time.perf_counter() - begun)
        report.add("flush a minute of 4 workloads: ms", sorted(times)[10] * 1e3)
        again, begun = History([kept(kind, "rack-1", kind.interval) for kind in KINDS]), time.perf_counter()
        await again.restore(store, now + 1200)
        report.add("restore 4 workloads: ms", (time.perf_counter() - begun) * 1e3)
        await asked(report, again, store, now + 1200)
        await store.close()
        report.add("file: MB", path.stat().st_size / 1e6)


def moved(reading: Reading, at: float) -> Reading:
    return Reading(
        reading.node, reading.workload, reading.protocol, reading.at - START + at, allocated=reading.allocated, used=reading.used,
        rate_usd_per_hour=reading.rate_usd_per_hour, net_usd_per_hour=reading.net_usd_per_hour,
    )  # fmt: skip


async def asked(report: Report, history: History, store: Store, now: float) -> None:
    """`blocks` after something changed, unchanged, and from the store."""
    changed: list[float] = []
    cached: list[float] = []
    rows: list[float] = []
    for i in range(20):
        history.keep([kept(kind, "rack-1", kind.interval + i) for kind in KINDS])  # invalidates what is cached
        for spent in (changed, cached):
            begun = time.perf_counter()
            for kind in KINDS:
                history.blocks(f"rack-1/{kind.name}", now)
            spent.append(time.perf_counter() - begun)
    for _ in range(5):
        begun = time.perf_counter()
        for kind in KINDS:
            await period(store, f"rack-1/{kind.name}", 0.0, now)
        rows.append(time.perf_counter() - begun)
    middle = {
        "blocks_changed_us": sorted(changed)[10],
        "blocks_cached_us": sorted(cached)[10],
        "blocks_from_store_us": sorted(rows)[2],
    }
    report.figures |= {name: seconds / len(KINDS) * 1e6 for name, seconds in middle.items()}
    detail = f"after a change, {middle['blocks_changed_us'] / len(KINDS) * 1e6:.0f} µs a workload"
    report.add(
        "blocks in memory / from the store",
        middle["blocks_changed_us"] / middle["blocks_from_store_us"],
        0.2,
        detail=detail,
    )
    report.add("blocks unchanged / changed", middle["blocks_cached_us"] / middle["blocks_changed_us"], 0.05)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("History: 30 days of four workloads, and many more")
    traced(report)
    asyncio.run(stored(report, adding(report)))
    asyncio.run(many(report, 100 if options.quick else 1000))
    count = 1 if options.quick else 2
    fleet(report, "few", count, FINE)
    fleet(report, "thousands", count, COARSE, 30.0)
    asyncio.run(counting(report, 1000 if options.quick else 10_000))
    asyncio.run(restoring(report, 8 if options.quick else 64))
    finish(report, options)


if __name__ == "__main__":
    main()
