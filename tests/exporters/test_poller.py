"""Polling against real servers on loopback: nobody waits for another, nothing is lost, everything ends."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from exporters.clock import SystemClock
from exporters.collector import Payloads, Workload
from exporters.errors import Malformed
from exporters.metrics import Exposition
from exporters.nodes import WorkloadSpec
from exporters.pace import Pace
from exporters.poller import Poller, open_client
from exporters.reading import Connection, Native, Reading
from exporters.session import HttpSession
from exporters.traits import Traits

AT_ONCE = Pace(spread=0.0, hang_after=0.05, seed=1)
LONG = 20.0


class Simple:
    """A protocol: one number."""

    TRAITS = Traits(poll_interval=60.0, timeout=20.0, keeps=("stats",))
    FAMILIES = {}

    @staticmethod
    async def fetch(session, workload):
        return Payloads({"stats": (await session.request("GET", workload.endpoint)).json()}, 0.0)

    @staticmethod
    def parse(payloads, workload, now):
        if "cores" not in payloads["stats"]:
            raise Malformed("there are no cores in it")
        native = Native(gross_per_hour={"GLM": 2.0})
        return Reading(
            workload.node, workload.name, "simple", now, used={"cpu": payloads["stats"]["cores"]}, native=native
        )


class HandClock(SystemClock):
    """Moved by hand, both kinds of time apart."""

    def __init__(self) -> None:
        self.wall, self.mono = 1_760_000_000.0, 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


@dataclass
class Nodes:
    """Servers of every temper: /ok/N, /fail/N, /busy/N, /odd/N, /hang/N (until released), /later/N (as told)."""

    address: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0
    cores: float = 1.0
    ill: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.asked[path] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.arrived.release()
        cores = self.cores
        try:
            if path.startswith("/hang"):
                await self.released.wait()
        finally:
            self.at_once -= 1
        if path.startswith("/fail") or self.ill:
            return web.Response(status=503, text="not now")
        if path.startswith("/busy"):
            return web.Response(status=429, headers={"Retry-After": "400"})
        return web.json_response({} if path.startswith("/odd") else {"cores": cores})


@pytest.fixture
async def nodes(aiohttp_server):
    found = Nodes()
    app = web.Application()
    app.router.add_get("/{rest:.*}", found.answer)
    server = await aiohttp_server(app)
    found.address = f"http://127.0.0.1:{server.port}"
    yield found
    found.released.set()


@pytest.fixture
async def session():
    async with open_client() as client:
        yield HttpSession(client)


@pytest.fixture
async def poller_of(nodes, session):
    """A function from paths to a Poller; each is closed at the end."""
    made = []

    def make(*paths: str, clock=None, **options) -> Poller:
        poller = Poller(
            (workload(nodes, path) for path in paths), {"simple": Simple}, session, clock or SystemClock(),
            **{"pace": AT_ONCE, **options},
        )  # fmt: skip
        made.append(poller)
        return poller

    yield make
    nodes.released.set()
    for poller in made:
        await poller.close()


def workload(nodes: Nodes, path: str, **spec) -> Workload:
    written = WorkloadSpec(protocol="simple", endpoint=nodes.address + path, **spec)
    return Workload("rack-1", path.strip("/").replace("/", "-"), written, Simple.TRAITS)


def key(path: str) -> str:
    return "rack-1/" + path.strip("/").replace("/", "-")


async def test_every_workload_is_looked_at_once_and_what_it_said_is_known(poller_of) -> None:
    paths = [f"/ok/{i}" for i in range(50)]
    poller = poller_of(*paths)
    assert not poller.tried_all
    await poller.collect_due(patience=LONG)
    assert poller.tried_all
    assert poller.newest[key("/ok/7")].used == {"cpu": 1.0}
    assert poller.newest[key("/ok/7")].connection is Connection.CONNECTED
    assert set(poller.last_good) == set(map(key, paths))


async def test_nothing_is_asked_again_before_it_is_due(poller_of, nodes) -> None:
    clock = HandClock()
    poller = poller_of("/ok/0", clock=clock)
    await poller.collect_due(patience=LONG)
    clock.advance(53.0)
    await poller.collect_due(patience=LONG)
    assert nodes.asked["/ok/0"] == 1
    assert 0 < poller.seconds_to_next() < 14.0
    clock.advance(14.0)  # 60 s, give or take a tenth
    await poller.collect_due(patience=LONG)
    assert nodes.asked["/ok/0"] == 2


async def test_a_failing_node_says_why_and_spoils_nobody(poller_of) -> None:
    poller = poller_of("/fail/0", "/odd/0", "/ok/0", "/busy/0")
    await poller.collect_due(patience=LONG)
    said = {name: reading.failure for name, reading in poller.newest.items()}
    assert said == {
        key("/fail/0"): "unreachable", key("/odd/0"): "malformed", key("/busy/0"): "rate_limited", key("/ok/0"): None,
    }  # fmt: skip
    assert poller.tried_all
    assert set(poller.last_good) == {key("/ok/0")}


async def test_collecting_waits_no_longer_than_its_patience_for_a_node_that_hangs(poller_of) -> None:
    poller = poller_of("/hang/0", "/ok/0")
    began = time.monotonic()
    await poller.collect_due(patience=0.3)
    assert time.monotonic() - began < 5.0
    assert set(poller.newest) == {key("/ok/0")}
    assert not poller.tried_all


async def test_nodes_that_begin_to_hang_all_at_once_hold_at_most_half_of_the_workers(poller_of, nodes) -> None:
    quick, hanging = [f"/ok/{i}" for i in range(40)], [f"/hang/{i}" for i in range(20)]
    told: asyncio.Queue[Reading] = asyncio.Queue()
    poller = poller_of(
        *hanging, *quick, workers=8, on_reading=told.put_nowait
    )  # "hang" sorts first: they get the workers
    await poller.collect_due()
    async with asyncio.timeout(LONG):
        seen = {(await told.get()).key for _ in quick}
    assert seen == set(map(key, quick))
    assert nodes.at_once <= 8


async def test_what_was_called_off_for_others_is_asked_again_in_its_whole_time(poller_of, nodes) -> None:
    told: asyncio.Queue[Reading] = asyncio.Queue()
    poller = poller_of(
        *(f"/hang/{i}" for i in range(12)), *(f"/ok/{i}" for i in range(20)), workers=4, on_reading=told.put_nowait
    )
    await poller.collect_due()
    async with asyncio.timeout(LONG):
        for _ in range(20):
            assert (await told.get()).up
        nodes.released.set()
        for _ in range(12):
            assert (await told.get()).up
    assert poller.tried_all
    assert max(nodes.asked.values()) > 1  # some were called off and begun again


async def test_failing_nodes_wait_in_a_line_of_their_own(poller_of, nodes) -> None:
    clock = HandClock()
    poller = poller_of(*(f"/later/{i}" for i in range(10)), "/ok/0", workers=4, clock=clock)
    nodes.ill = True
    await poller.collect_due(patience=LONG)
    clock.advance(3600.0)
    nodes.ill, nodes.most_at_once = False, 0
    await poller.collect_due(patience=LONG)
    assert all(reading.up for reading in poller.newest.values())
    assert nodes.most_at_once <= 2  # all had failed: half of four workers


async def test_a_read_back_is_fresh_and_waits_for_no_worker(poller_of, nodes) -> None:
    poller = poller_of("/hang/0", "/hang/1", "/ok/0", workers=2)
    await poller.collect_due()
    nodes.cores = 4.0
    reading = await asyncio.wait_for(poller.read_back(key("/ok/0")), LONG)
    assert reading.used == {"cpu": 4.0}
    nodes.cores = 5.0
    assert (await poller.read_back(key("/ok/0"))).used == {"cpu": 5.0}
    assert poller.newest[key("/ok/0")].used == {"cpu": 5.0}


async def test_a_look_that_began_before_a_read_back_is_not_recorded_after_it(poller_of, nodes) -> None:
    poller = poller_of("/hang/0")
    old = asyncio.create_task(poller.collect_due(patience=LONG))
    await nodes.arrived.acquire()  # it has seen 1 core, and hangs
    nodes.cores = 7.0
    fresh = asyncio.create_task(poller.read_back(key("/hang/0")))
    await nodes.arrived.acquire()
    nodes.released.set()
    await asyncio.wait_for(asyncio.gather(old, fresh), LONG)
    assert poller.newest[key("/hang/0")].used == {"cpu": 7.0}


async def test_a_workload_that_was_due_while_its_look_hung_is_not_forgotten(poller_of, nodes) -> None:
    clock = HandClock()
    poller = poller_of("/hang/0", clock=clock)
    old = asyncio.create_task(poller.collect_due(patience=LONG))
    await nodes.arrived.acquire()
    fresh = asyncio.create_task(poller.read_back(key("/hang/0")))
    await nodes.arrived.acquire()
    fresh.cancel()
    poller._entries[key("/hang/0")].recorded = math.inf  # as if a newer look had been recorded meanwhile
    clock.advance(200.0)
    await poller.collect_due()
    nodes.released.set()
    await asyncio.wait_for(old, LONG)
    assert 0 < poller.seconds_to_next() <= 60.0


async def test_a_read_back_of_what_does_not_exist_says_so(poller_of) -> None:
    with pytest.raises(KeyError, match="rack-9/nothing"):
        await poller_of().read_back("rack-9/nothing")


async def test_new_manifests_keep_what_is_known_of_those_that_ask_the_same(poller_of, nodes) -> None:
    exposition = Exposition({})
    poller = poller_of("/ok/0", "/ok/1", "/ok/2", exposition=exposition)
    await poller.collect_due(patience=LONG)
    kept = poller.newest[key("/ok/0")]
    moved = workload(nodes, "/ok/1")
    moved = replace(moved, spec=moved.spec.model_copy(update={"endpoint": nodes.address + "/elsewhere"}))
    poller.replace([workload(nodes, "/ok/0", mode="Off", pollInterval="5s"), moved, workload(nodes, "/ok/3")])
    assert poller.newest == {key("/ok/0"): kept}
    assert poller.workloads[0].poll_interval == 5.0
    assert not poller.tried_all
    page = b"".join(exposition.render())
    assert b'workload="ok-2"' not in page
    assert b'workload="ok-3"' in page
    name = b'orcha_protocol_stale_after_seconds{node="rack-1",protocol="simple",workload="ok-0"}'
    assert name + b" 35.0" in page  # 3 x 5 s + 20 s, whether it was looked at before or not
    await poller.collect_due(patience=LONG)
    assert nodes.asked["/elsewhere"] == 1
    assert nodes.asked["/ok/0"] == 1
    assert poller.tried_all


async def test_a_workload_removed_while_it_is_looked_at_leaves_nothing_behind(poller_of, nodes) -> None:
    exposition = Exposition({})
    poller = poller_of("/hang/0", "/ok/0", exposition=exposition)
    waiting = asyncio.create_task(poller.collect_due(patience=LONG))
    await nodes.arrived.acquire()
    await nodes.arrived.acquire()
    poller.replace([workload(nodes, "/ok/0")])
    await asyncio.wait_for(waiting, LONG)
    nodes.released.set()
    assert set(poller.newest) == {key("/ok/0")}
    assert b"hang" not in b"".join(exposition.render())


async def test_closing_takes_no_time_even_while_nodes_hang(poller_of, nodes) -> None:
    poller = poller_of(*(f"/hang/{i}" for i in range(30)), workers=8)
    await poller.collect_due()
    await nodes.arrived.acquire()
    began = time.monotonic()
    await poller.close()
    assert time.monotonic() - began < 2.0
    await poller.collect_due(patience=1.0)  # begins nothing any more
    assert poller.newest == {}


async def test_a_wall_clock_that_is_set_back_stops_no_polling(poller_of, nodes) -> None:
    clock = HandClock()
    poller = poller_of("/ok/0", clock=clock)
    await poller.collect_due(patience=LONG)
    clock.wall -= 10 * 365 * 86400.0
    clock.mono += 70.0
    await poller.collect_due(patience=LONG)
    assert nodes.asked["/ok/0"] == 2
    assert poller.newest[key("/ok/0")].at == clock.wall


async def test_figures_are_served_while_they_are_good_and_not_longer(poller_of, nodes) -> None:
    clock, exposition = HandClock(), Exposition({})
    poller = poller_of("/ok/0", clock=clock, exposition=exposition)
    await poller.collect_due(patience=LONG)
    nodes.ill = True
    clock.advance(70.0)
    await poller.collect_due(patience=LONG)
    page = b"".join(exposition.render())
    assert poller.newest[key("/ok/0")].connection is Connection.RECONNECTING
    assert b'orcha_protocol_up{node="rack-1",protocol="simple",workload="ok-0"} 0.0' in page
    assert b"used_cpu_cores{" in page
    poller._due.clear()  # no look is due before they are stale
    clock.mono += 135.0  # 205 s after the last good look: 3 x 60 + 20 are over
    await poller.collect_due()
    assert b"used_cpu_cores{" not in b"".join(exposition.render())
    assert poller.newest[key("/ok/0")].connection is Connection.FAILED
    assert poller.last_good[key("/ok/0")].used == {"cpu": 1.0}
    nodes.ill = False
    clock.wall += 200.0
    await poller.read_back(key("/ok/0"))
    assert b"used_cpu_cores{" in b"".join(exposition.render())
    assert poller.track(key("/ok/0")).reconnect_seconds == 200.0


async def test_a_fault_in_prices_or_in_a_listener_stops_no_polling(poller_of) -> None:
    def broken(_reading: Reading) -> Reading:
        raise RuntimeError("a bug")

    poller = poller_of("/ok/0", price=broken, on_reading=broken)
    await poller.collect_due(patience=LONG)
    assert poller.newest[key("/ok/0")].up
    assert poller.seconds_to_next() > 0


async def test_a_fault_of_our_own_in_one_look_leaves_the_workload_due_again(poller_of) -> None:
    poller = poller_of("/ok/0", "/fail/0", price=lambda _reading: None)
    await poller.collect_due(patience=LONG)
    assert set(poller.newest) == {key("/fail/0")}
    poller._expire(0.0)
    assert len([item for item in poller._due if item[2].workload.key == key("/ok/0")]) == 1


async def test_every_finished_reading_is_told_once_and_priced(poller_of) -> None:
    told = []
    poller = poller_of(
        "/ok/0", "/fail/0", on_reading=told.append, price=lambda reading: replace(reading, rate_usd_per_hour=0.5)
    )
    await poller.collect_due(patience=LONG)
    assert {(reading.key, reading.rate_usd_per_hour) for reading in told} == {
        (key("/ok/0"), 0.5),
        (key("/fail/0"), None),
    }


async def test_new_prices_reach_what_is_served_without_a_new_look(poller_of, nodes) -> None:
    price, told = [0.5], []
    exposition = Exposition({})
    poller = poller_of(
        "/ok/0",
        price=lambda reading: replace(reading, rate_usd_per_hour=price[0]),
        exposition=exposition,
        on_reading=told.append,
    )
    await poller.collect_due(patience=LONG)
    price[0] = 0.75
    await poller.reprice()
    assert poller.newest[key("/ok/0")].rate_usd_per_hour == poller.last_good[key("/ok/0")].rate_usd_per_hour == 0.75
    assert b"} 0.75\n" in b"".join(exposition.render())
    assert len(told) == 1
    assert nodes.asked["/ok/0"] == 1


async def test_the_next_look_is_given_what_the_protocol_wants_to_keep(poller_of, nodes) -> None:
    clock, seen = HandClock(), []

    class Remembers(Simple):
        @staticmethod
        def parse(payloads, workload, now):
            seen.append(payloads.previous and payloads.previous["stats"]["cores"])
            return Simple.parse(payloads, workload, now)

    poller = poller_of("/ok/0", clock=clock)
    poller._entries[key("/ok/0")].collector = Remembers
    for cores in (1.0, 2.0):
        nodes.cores = cores
        await poller.collect_due(patience=LONG)
        clock.advance(70.0)
    assert seen == [None, 1.0]


async def test_first_looks_of_a_large_fleet_come_in_batches(poller_of) -> None:
    clock = HandClock()
    poller = poller_of(*(f"/ok/{i}" for i in range(10)), clock=clock, workers=4, pace=Pace(spread=0.5, seed=1))
    await poller.collect_due(patience=LONG)
    assert len(poller.newest) == 4
    assert poller.seconds_to_next() == 0.5
    clock.advance(1.0)
    await poller.collect_due(patience=LONG)
    assert len(poller.newest) == 10


async def test_a_poller_without_workloads_has_tried_all_and_waits_for_ever(poller_of) -> None:
    poller = poller_of()
    await poller.collect_due(patience=LONG)
    assert poller.tried_all
    assert poller.seconds_to_next() == math.inf


async def test_run_keeps_collecting_until_it_is_cancelled(poller_of, nodes) -> None:
    poller = poller_of("/ok/0")
    running = asyncio.create_task(poller.run(longest=0.05))
    await asyncio.wait_for(nodes.arrived.acquire(), LONG)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
