"""A made-up fleet for benchmarks: N workloads on N / 4 nodes, answered on loopback by another process, with a past.

Every workload is `mapped`: one GET of a small JSON body whose figures change with each look. Four compete for the 16
cores of a node; each wants another share of them, so that a better split exists.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.history import History
from controller.loop import Reconciler
from controller.manifests import Manifests
from controller.observe import Observation
from controller.observe.embedded import Embedded
from controller.policy import AllocationPolicy
from controller.report.metrics import ControllerMetrics
from controller.samples import Kept
from controller.serve import collect_seldom
from controller.store import Store
from exporters.clock import SystemClock
from exporters.collector import Workload, discover
from exporters.nodes import API_VERSION, Node
from exporters.poller import open_client
from exporters.reading import Quality, Reading
from exporters.session import HttpSession
from exporters.settings import Prices

if TYPE_CHECKING:
    import random
    from multiprocessing.connection import Connection

PORTS = 64
PER_NODE = 4
POLL = 900.0
"""Seconds between two looks of the past: a reading holds for three of them, so few make a long history."""
ALL_DUE = 1.2
"""Intervals after which every look is due: they vary by a tenth."""
SOME_DUE = 0.917
"""Intervals after which a twelfth is due, as at each turn of a fleet whose looks are a minute apart."""
MAPPING: dict[str, Any] = {
    "traits": {"curve": "demand", "resource": "cpu"},
    "requests": {"stats": {"url": "{endpoint}"}},
    "figures": {
        "allocated": {"request": "stats", "path": "$.allocated"},
        "used": {"request": "stats", "path": "$.used"},
        "rate_usd": {"request": "stats", "path": "$.usd", "per": "1h"},
        "healthy": {"request": "stats", "path": "$.status", "equals": "ok"},
    },
}
BODIES = [
    b'{"status":"ok","used":%.2f,"allocated":4,"usd":%.4f}' % (used, 0.03 * used)
    for used in (4.0, 0.5, 1.0, 3.5, 4.0, 0.25, 1.5, 4.0, 3.75, 0.5, 1.0, 2.5, 4.0)
]
"""Thirteen, so that a workload does not get the same one at each look."""


class Endpoint(asyncio.Protocol):
    """As little of an HTTP server as keeps the client busy: one answer for every request."""

    answered = 0

    def __init__(self) -> None:
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._seen = (self._seen + data).split(b"\r\n\r\n")
        for _ in requests:
            Endpoint.answered += 1
            body = BODIES[Endpoint.answered % len(BODIES)]
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)  # type: ignore[attr-defined]  # it is a Transport


async def _serve(told: Connection) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Endpoint, "127.0.0.1", 0, backlog=1024) for _ in range(PORTS)]
    told.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


def _serve_forever(told: Connection) -> None:
    asyncio.run(_serve(told))


@contextmanager
def endpoints() -> Iterator[list[int]]:
    """The ports of a process that answers whatever is asked."""
    told, tells = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=_serve_forever, args=(tells,), daemon=True)
    server.start()
    try:
        if not told.poll(30.0):
            raise SystemExit("the process that serves the endpoints did not start")
        yield told.recv()
    finally:
        server.terminate()
        server.join(5)


def manifests(ports: list[int], count: int) -> Manifests:
    """`count` workloads, four to a node, all under one policy."""
    nodes = tuple(_node(number, ports) for number in range(-(-count // PER_NODE)))
    policy = AllocationPolicy.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "AllocationPolicy",
            "metadata": {"name": "default"},
            "spec": {"mode": "Suggest", "reconcile": {"jitter": 0}},
        }
    )
    return Manifests(nodes=nodes, policies=(policy,))


def _node(number: int, ports: list[int]) -> Node:
    workloads = {
        f"market-{i}": {
            "protocol": "mapped",
            "endpoint": f"http://127.0.0.1:{ports[(PER_NODE * number + i) % len(ports)]}/{PER_NODE * number + i}",
            "pollInterval": f"{POLL:.0f}s",
            "mapping": MAPPING,
            "watts": {"perStep": 1.5},
            "allocation": {"resource": "cpu", "min": "0", "max": "8", "step": "1"},
            "actuator": {"dryRun": {}},
        }
        for i in range(PER_NODE)
    }
    spec = {"capacity": {"cpu": "16"}, "power": {"usdPerKwh": 0.28}, "workloads": workloads}
    return Node.model_validate(
        {"apiVersion": API_VERSION, "kind": "Node", "metadata": {"name": f"node-{number:05d}"}, "spec": spec}
    )


def past(workload: Workload, hours: float, now: float, chance: random.Random) -> Iterator[Reading]:
    """What was read of it: the first and fourth of a node are full most of the time, the others seldom."""
    level = (5.0, 1.0, 1.5, 4.5)[int(workload.name[-1])]
    for i in range(int(hours * 3600 / POLL), 0, -1):
        used = round(4 * min(4.0, max(0.0, chance.gauss(level, 1.0)))) / 4
        yield Reading(
            workload.node, workload.name, "mapped", now - i * POLL, healthy=True, quality=Quality.MEASURED,
            rate_usd_per_hour=0.03 * used, net_usd_per_hour=0.028 * used, allocated={"cpu": 4.0}, used={"cpu": used},
        )  # fmt: skip


class Leaping(SystemClock):
    """A clock that can be moved on, so that everything is due again without waiting for it. The time of day goes on as
    ever, so that nothing grows old by it.
    """

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def leap(self, intervals: float = ALL_DUE) -> None:
        self.ahead += intervals * POLL


class Patient(Embedded):
    """A turn of the loop waits for every look, so that it holds all that there is to do."""

    async def observe(self, patience: float = 600.0) -> Observation:
        return await super().observe(patience)


@dataclass
class Rig:
    """One controller as `orcha run` wires it, on a clock of its own."""

    clock: Leaping
    source: Patient
    history: History
    store: Store
    metrics: ControllerMetrics
    loop: Reconciler

    async def turn(self, intervals: float = ALL_DUE) -> None:
        """One turn in which what falls due within so many intervals is due, and every policy."""
        self.clock.leap(intervals)
        await self.loop.reconcile()


@asynccontextmanager
async def rig(found: Manifests, state: Path, rng: random.Random) -> AsyncIterator[Rig]:
    """A controller whose state is read back, if there is one, and whose prices are known."""
    clock, metrics = Leaping(), ControllerMetrics("0", "bench")
    metrics.policies(policy.name for policy in found.policies)
    store = await Store.open(f"sqlite:///{state}")
    async with open_client() as client:
        prices = Prices(sources=[], static=found.settings.spec.prices.static)
        source = Patient(found.nodes, discover(), HttpSession(client), clock, prices)
        history = History([Kept.of(workload) for workload in source.workloads])
        try:
            await history.restore(store, clock.time())
            await source.first_prices()
            collect_seldom()
            loop = Reconciler(found, source, history, store, metrics, clock, ask_block=_nothing, rng=rng)
            yield Rig(clock, source, history, store, metrics, loop)
        finally:
            await source.close()
            await store.close()


async def _nothing(_expression: str) -> None:
    return None
