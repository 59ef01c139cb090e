"""Polling 4, 100, 1 000 and 10 000 endpoints: the Poller against 256 bare workers that do the same GETs.

Both run in this process over one aiohttp session each, in turns, several rounds; the endpoints are served by another
process on loopback (64 ports, one path per endpoint). "Bare" reads the body and drops it; the Poller decodes it, checks
it, tracks it and keeps it, and in the second row renders its metrics as well. Wall and CPU time of this process only;
a ratio is the median of those of the rounds, so that whoever else uses the machine slows both sides of it.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import multiprocessing
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from exporters.clock import SystemClock
from exporters.collector import Payloads, Workload
from exporters.errors import Malformed
from exporters.metrics import Exposition
from exporters.nodes import WorkloadSpec
from exporters.pace import Pace
from exporters.poller import Poller, open_client
from exporters.reading import Quality, Reading
from exporters.session import HttpSession, Session
from exporters.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection

PORTS = 64
WORKERS = 256
BODY = b'{"status":"ok","version":"1.2.3","used":3.5,"allocated":8,"rate":0.25,"accrued":12.5}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Endpoint(asyncio.Protocol):
    """As little of an HTTP server as keeps the client busy: one answer for every request."""

    def __init__(self) -> None:
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._seen = (self._seen + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(requests))  # type: ignore[attr-defined]  # it is a Transport


async def _serve(told: Connection) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Endpoint, "127.0.0.1", 0, backlog=1024) for _ in range(PORTS)]
    told.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


def serve(told: Connection) -> None:
    asyncio.run(_serve(told))


class Bench:
    """A protocol as its module would be."""

    TRAITS = Traits(poll_interval=3600.0, timeout=30.0)
    FAMILIES: dict[str, Any] = {}

    @staticmethod
    async def fetch(session: Session, workload: Workload) -> Payloads:
        return Payloads({"stats": (await session.request("GET", workload.endpoint)).json()}, 0.0)

    @staticmethod
    def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
        stats = payloads["stats"]
        if not isinstance(stats, dict):
            raise Malformed("not an object")
        return Reading(
            workload.node, workload.name, workload.protocol, now,
            state=stats["status"], states=("ok", "down"), healthy=stats["status"] == "ok", version=stats["version"],
            quality=Quality.MEASURED, rate_usd_per_hour=stats["rate"], net_usd_per_hour=stats["rate"],
            balance_usd={"accrued": stats["accrued"]}, used={"cpu": stats["used"]}, allocated={"cpu": stats["allocated"]},
        )  # fmt: skip


def workloads(ports: list[int], count: int) -> list[Workload]:
    return [
        Workload(
            f"node-{i:05d}", "bench",
            WorkloadSpec(protocol="bench", endpoint=f"http://127.0.0.1:{ports[i % len(ports)]}/{i}"), Bench.TRAITS,
        )
        for i in range(count)
    ]  # fmt: skip


async def bare(client: aiohttp.ClientSession, urls: list[str]) -> None:
    """What the aim is measured against."""
    queue = deque(urls)

    async def work() -> None:
        while queue:
            async with client.get(queue.popleft()) as response:
                await response.read()

    await asyncio.gather(*(work() for _ in range(min(WORKERS, len(urls)))))


class Leaping(SystemClock):
    """A clock that can be moved on, so that everything is due again without waiting for it."""

    ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def leap(self) -> None:
        self.ahead += 1.2 * Bench.TRAITS.poll_interval


async def poll(poller: Poller, clock: Leaping, repeats: int) -> None:
    """Every workload once, `repeats` times."""
    for _ in range(repeats):
        clock.leap()
        await poller.collect_due(patience=600.0)


def check(poller: Poller) -> None:
    failed = [reading.failure_message for reading in poller.newest.values() if not reading.up]
    assert poller.tried_all, "not every endpoint was looked at"
    assert not failed, failed[:3]


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float


async def measure(what: Callable[[], Awaitable[None]]) -> Cost:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await what()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


async def compare(ports: list[int], count: int, rounds: int, report: Report) -> None:
    watched = workloads(ports, count)
    urls = [workload.endpoint for workload in watched]
    repeats = max(1, 1000 // count)
    costs: dict[str, list[Cost]] = {"bare": [], "poller": [], "poller and metrics": []}
    connector = aiohttp.TCPConnector(limit=WORKERS)
    async with aiohttp.ClientSession(connector=connector) as plain, open_client() as client:
        session, clock, pace = HttpSession(client), Leaping(), Pace(spread=0.0)
        pollers = {
            name: Poller(watched, {"bench": Bench}, session, clock, exposition=exposition, pace=pace)  # type: ignore[dict-item]  # a class is as good as a module
            for name, exposition in (("poller", None), ("poller and metrics", Exposition({})))
        }

        async def several_bare() -> None:
            for _ in range(repeats):
                await bare(plain, urls)

        for turn in range(rounds + 1):
            for name, found in list(costs.items())[:: -1 if turn % 2 else 1]:
                if name in pollers:
                    cost = await measure(functools.partial(poll, pollers[name], clock, repeats))
                else:
                    cost = await measure(several_bare)
                if turn:  # the first one opens the connections
                    found.append(cost)
        for poller in pollers.values():
            check(poller)
            await poller.close()
    _report(report, count, costs, repeats)


def _report(report: Report, count: int, costs: dict[str, list[Cost]], repeats: int) -> None:
    middle = {
        name: Cost(statistics.median(cost.wall for cost in them), statistics.median(cost.cpu for cost in them))
        for name, them in costs.items()
    }
    base = middle.pop("bare")
    for name, cost in middle.items():
        for kind in ("wall", "cpu"):
            mine, theirs = getattr(cost, kind), getattr(base, kind)
            each = 1e6 / count / repeats
            detail = f"{mine * each:.0f} µs against {theirs * each:.0f} µs a look"
            aim = 1.3 if name == "poller" else None
            rounds = zip(costs[name], costs["bare"], strict=True)
            ratio = statistics.median(getattr(one, kind) / getattr(other, kind) for one, other in rounds)
            report.add(f"{count:>6} endpoints, {name}: {kind}", ratio, aim, detail=detail)
    report.figures[str(count)] = {name: [vars(cost) for cost in them] for name, them in costs.items()}


async def run(ports: list[int], options: Any) -> Report:
    report = Report("Polling: the Poller against 256 bare workers over one aiohttp session")
    sizes, rounds = ((4, 100, 1000), 3) if options.quick else ((4, 100, 1000, 10000), 5)
    for count in sizes:
        await compare(ports, count, rounds, report)
    return report


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    told, tells = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(tells,), daemon=True)
    server.start()
    try:
        if not told.poll(30.0):
            sys.exit("the process that serves the endpoints did not start")
        finish(asyncio.run(run(told.recv(), options)), options)
    finally:
        server.terminate()
        server.join(5)


if __name__ == "__main__":
    main()
