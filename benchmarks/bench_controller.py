"""The controller as a whole: start-up, memory, one cycle with four workloads, one turn and the pages at 1 000 and 10 000.

    start-up  `orcha validate` and `orcha run` (until /healthz answers), in CPU seconds; against importing the libraries
    memory    RSS of `orcha run` with the four workloads of a simulated node and 48 h of history, once it has a plan
    cycle     four workloads of all kinds, every look due, against the simulator in another process: CPU of this one
    turn      the same with 1 000 and 10 000 workloads on 250 and 2 500 nodes, and what each of its parts takes
    hold-up   the longest stretch of CPU time for which the loop's thread served nobody else: in a turn, in each page

Everything is on loopback, what answers is another process, and each size has a process of its own. "Besides waiting" is
CPU time; wall time is beside it where threads share the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._fleet import SOME_DUE, Rig, endpoints, manifests, past, rig
from benchmarks._programs import cpu_of, imported, imported_rss, live, most_rss, rss, run_orcha, simulated
from benchmarks._report import Report, arguments, finish
from controller.api.app import Faces, application
from controller.decide import decide
from controller.history import History
from controller.manifests import Manifests, load
from controller.report import views
from controller.report.metrics import render
from controller.samples import Kept
from controller.state import movable_on, node_state, state_of
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.server import metrics_response
from exporters.simulator.demo import HISTORY

CYCLE_MS = 20.0
RSS_MB = 150.0
HOLD_UP_MS = 50.0
PAST_HOURS = 6.0
LIBRARIES = {
    "validate": "pydantic, typer, rich.console, yaml, cronsim, jsonpath, prometheus_client, aiohttp",
    "run": "pydantic, typer, rich.console, yaml, cronsim, jsonpath, prometheus_client, aiohttp.web, numpy, "
    "sqlalchemy.ext.asyncio, aiosqlite, structlog",
}
"""What each command stands on: importing these alone is the least that it can take."""
READERS = {
    "/metrics": ("/metrics", "identity"),
    "/metrics, gzip": ("/metrics", "gzip"),
    "/api/v1/status": ("/api/v1/status", "identity"),
    "/": ("/", "identity"),
}
_READ = """
import sys, urllib.request
asked = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": sys.argv[2]})
print(len(urllib.request.urlopen(asked, timeout=120).read()))
"""
"""The reader is another process: what it does is none of the loop's time."""


def programs(report: Report, here: Path, state: Path, *, quick: bool) -> None:
    rounds = 3 if quick else 7
    nothing = cpu_of([sys.executable, "-c", "pass"], rounds)
    validate = cpu_of([sys.executable, "-m", "controller", "validate", str(here)], rounds)
    least = cpu_of(imported(LIBRARIES["validate"]), rounds)
    detail = f"{validate * 1e3:.0f} ms CPU against {least * 1e3:.0f}; Python alone takes {nothing * 1e3:.0f}"
    report.add("orcha validate / importing its libraries", validate / least, detail=detail)

    ran, base = run_orcha(here, state, 10.0 if quick else 70.0), imported_rss(LIBRARIES["run"])
    least = cpu_of(imported(LIBRARIES["run"]), rounds)
    detail = f"{ran.ready_cpu * 1e3:.0f} ms CPU ({ran.ready_wall * 1e3:.0f} wall) against {least * 1e3:.0f}"
    report.add("orcha run until it serves / importing its libraries", ran.ready_cpu / least, detail=detail)
    detail = f"{ran.rss:.0f} MB (at most {ran.most:.0f}) of {RSS_MB:.0f}; importing its libraries alone {base:.0f}"
    report.add("RSS of orcha run, 4 workloads", ran.rss / RSS_MB, 1.0, detail=detail)
    report.add("orcha run, 4 workloads: CPU s a minute", ran.minute_cpu, detail="with a scrape each second")
    report.figures["programs"] = {"validate_cpu_s": validate, "python_cpu_s": nothing, "base_rss_mb": base, **vars(ran)}


# --- turns of the loop, in this process ---------------------------------------------------------------------------------


@dataclass
class Cost:
    wall: float
    cpu: float


@contextlib.contextmanager
def timed(costs: list[Cost]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    costs.append(Cost(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))


def best(costs: list[Cost]) -> Cost:
    """Of several rounds the least, because a machine that others use as well only adds."""
    return Cost(min(cost.wall for cost in costs), min(cost.cpu for cost in costs))


@dataclass
class Watch:
    """How long the loop's thread was busy with one thing, at most."""

    cpu: float = 0.0
    """Milliseconds of CPU of the loop's thread."""
    wall: float = 0.0
    """Milliseconds until another had its turn: also what other threads and other processes took."""

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            await asyncio.sleep(0)
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self.cpu = max(self.cpu, 1e3 * (time.thread_time() - cpu))
            self.wall = max(self.wall, 1e3 * (time.perf_counter() - wall - 0.001))


async def cycle(here: Path, state: Path, rounds: int = 10) -> dict[str, Any]:
    """Turns with the four workloads of the simulated node. Many more rounds, and its Grass would say: asked too often."""
    found = load([here], discover())
    costs: list[Cost] = []
    async with rig(found, state, random.Random(1)) as made:
        for _ in range(3):
            await made.turn()
        for _ in range(rounds):
            with timed(costs):
                await made.turn()
        decision = made.loop.decisions["default"]
        assert decision.curves, decision.sentence
        failed = [reading.failure_message for reading in made.loop.observation.newest.values() if not reading.up]
        assert not failed, failed
        return {"turn": vars(best(costs)), "parts": await parts(made, rounds), "sentence": decision.sentence}


async def parts(made: Rig, rounds: int) -> dict[str, dict[str, float]]:
    """What the parts of a turn take, each by itself. In milliseconds."""
    costs: dict[str, list[Cost]] = {}

    def of(name: str) -> list[Cost]:
        return costs.setdefault(name, [])

    found = made.loop.manifests
    nodes = [node_state(node) for node in found.nodes]
    for _ in range(rounds):
        await made.loop.reconcile()  # decides, if that was still due
        with timed(of("turn with nothing due")):
            await made.loop.reconcile()
        made.clock.leap()
        with timed(of("look at every workload")):
            seen = await made.source.observe()
        with timed(of("add to the history")):
            for reading in seen.fresh:
                made.history.add(reading)
        with timed(of("state of it all")):
            keys = movable_on(found.nodes, made.source.watched)
            known = {key: made.history.blocks(key, seen.at) for key in keys}
            state = state_of(found.policies[0], found.nodes, seen, made.source.watched, known)
        with timed(of("decide")):
            decision = decide(state)
        with timed(of("render the decision")):
            render([decision], nodes)
        with timed(of("record the decision")):
            made.store.note_decision(views.recorded(decision))
        with timed(of("flush")):
            await made.history.flush(made.store, seen.at)
        with timed(of("view")):
            views.status(seen, made.source.watched, [decision], version="", manifests={})
        with timed(of("collect garbage")):
            gc.collect()
    return {name: vars(best(them)) for name, them in costs.items()}


def grow_old(found: Manifests, state: Path) -> None:
    """Write some hours that never were into the state; in a process of its own, so that ours stays as small as it is."""
    asyncio.run(_grow_old(found, state))


async def _grow_old(found: Manifests, state: Path) -> None:
    workloads, chance, now = workloads_of(found.nodes, discover()), random.Random(1), time.time()
    store = await Store.open(f"sqlite:///{state}")
    for i in range(0, len(workloads), 500):
        some = workloads[i : i + 500]
        known = History([Kept.of(workload) for workload in some])
        for workload in some:
            for reading in past(workload, PAST_HOURS, now, chance):
                known.add(reading)
        await known.flush(store, now)
    await store.close()


async def fleet(found: Manifests, state: Path, count: int, rounds: int) -> dict[str, Any]:
    """Turns and pages with many workloads."""
    before = rss()
    restore: list[Cost] = []
    costs: list[Cost] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(timed(restore))
        async with rig(found, state, random.Random(1)) as made:
            stack.close()
            for _ in range(2):
                await made.turn()
            for _ in range(rounds):
                with timed(costs):
                    await made.turn()
            decision = made.loop.decisions["default"]
            assert len(decision.curves) == count, decision.sentence
            taken, worst, usual = (rss() - before) * 1e3 / count, Watch(), Watch()
            for _ in range(rounds):
                async with usual.on():
                    await made.turn(SOME_DUE)
                async with worst.on():
                    await made.turn()
            pages = await scraped(made)
            holds = {"a turn, a twelfth due": vars(usual), "a turn, all due at once": vars(worst), **pages}
            return {
                "turn": vars(best(costs)), "holds": holds, "open_and_restore": vars(restore[0]), "kB_per_workload": taken,
                "rss_mb": rss(), "most_rss_mb": most_rss(), "parts": await parts(made, rounds),
            }  # fmt: skip


async def scraped(made: Rig) -> dict[str, Any]:
    """Each page, read by another process, and how long the loop was held up meanwhile."""

    def view() -> views.View:
        return made.loop.view("0", {"sha256": "", "problems": []})

    def pages(openmetrics: bool) -> Iterable[bytes]:
        yield from made.source.render(openmetrics=openmetrics)
        yield from made.metrics.render(openmetrics=openmetrics)

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await metrics_response(request, pages)

    faces = Faces(view=view, metrics=metrics, ready=lambda: True, links={})
    runner = web.AppRunner(application(faces, "127.0.0.1"), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base, found = f"http://127.0.0.1:{runner.addresses[0][1]}", {}
    for name, (path, packed) in READERS.items():
        watch, size = Watch(), 0
        for _ in range(3):
            async with watch.on():
                size = await _read(f"{base}{path}", packed)
        found[name] = {"bytes": size, **vars(watch)}
    await runner.cleanup()
    return found


async def _read(url: str, packed: str) -> int:
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READ, url, packed, stdout=asyncio.subprocess.PIPE
    )
    size = int((await reader.communicate())[0])
    assert size > 1000, "the reader got no page"
    return size


# --- together -----------------------------------------------------------------------------------------------------------


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """Do it in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def measured(work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """In a fresh process: run it, with a log that nobody reads."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    return asyncio.run(work(*args))  # type: ignore[arg-type]  # every coroutine function is one


def four(report: Report, *, quick: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        origin = (time.time() - HISTORY) // 3600 * 3600
        with simulated(Path(directory), origin) as (here, sites):
            state = Path(directory) / "orcha.db"
            apart(measured, live, here, state, origin, sites)
            programs(report, here, state, quick=quick)
            found = apart(measured, cycle, here, state)
    turn = found["turn"]
    detail = f"{turn['cpu']:.1f} ms CPU of {CYCLE_MS:.0f}, {turn['wall']:.1f} wall: {found['sentence'][:60]}..."
    report.add("one full cycle, 4 workloads", turn["cpu"] / CYCLE_MS, 1.0, detail=detail)
    _add_parts(report, "4", turn, found["parts"])
    report.figures["4"] = found


def many(report: Report, count: int, *, quick: bool) -> None:
    with endpoints() as ports, tempfile.TemporaryDirectory() as directory:
        made, state = manifests(ports, count), Path(directory) / "orcha.db"
        apart(grow_old, made, state)
        found = apart(measured, fleet, made, state, count, 3 if quick else 5)
    turn, name = found["turn"], f"{count:>6} workloads"
    report.add(
        f"{name}: CPU of a turn, µs a workload", turn["cpu"] * 1e3 / count,
        detail=f"{turn['cpu']:.0f} ms CPU, {turn['wall']:.0f} wall, every look and decision due",
    )  # fmt: skip
    _add_parts(report, name, turn, found["parts"])
    opened = found["open_and_restore"]
    report.add(f"{name}: open and restore, s", opened["wall"] / 1e3, detail=f"{opened['cpu'] / 1e3:.2f} s CPU")
    detail = f"{found['rss_mb']:.0f} MB in all, {found['most_rss_mb']:.0f} at most"
    report.add(f"{name}: kB of RSS each", found["kB_per_workload"], detail=detail)
    for where, held in found["holds"].items():
        size = f", {held['bytes'] / 1e6:.2f} MB" if "bytes" in held else ""
        detail = f"{held['cpu']:.1f} ms CPU of {HOLD_UP_MS:.0f} ({held['wall']:.0f} wall){size}"
        report.add(f"{name}: loop held up by {where}", held["cpu"] / HOLD_UP_MS, 1.0, detail=detail)
    report.figures[str(count)] = found


def _add_parts(report: Report, name: str, turn: dict[str, float], found: dict[str, dict[str, float]]) -> None:
    for part, cost in found.items():
        share = cost["cpu"] / turn["cpu"]
        report.add(f"{name}: {part} / turn", share, detail=f"{cost['cpu']:.2f} ms CPU, {cost['wall']:.2f} wall")


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("The controller: start-up, memory, turns and pages")
    four(report, quick=options.quick)
    for count in (100, 1000) if options.quick else (1000, 10000):
        many(report, count, quick=options.quick)
    finish(report, options)


if __name__ == "__main__":
    main()
