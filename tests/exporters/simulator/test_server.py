"""The world over HTTP: refused, silent and cut connections are real, and the control port does what it is told."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from exporters.clock import SystemClock
from exporters.simulator.demo import demo
from exporters.simulator.inprocess import FastClock
from exporters.simulator.server import Server


@pytest.fixture
async def served(made):
    clock = FastClock(made.world.now, auto=False)
    server = Server(made.world, clock=clock)
    await server.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
        yield server, client, clock
    await server.close()


async def put(served, site, fault):
    server, client, _ = served
    async with client.put(f"{server.control}/faults/{site}", json={"fault": fault}) as response:
        return response.status, await response.json()


async def test_a_dead_site_refuses_connections_and_comes_back_on_its_port(served):
    server, client, _ = served
    address = server.address("rack-1-storj")
    await put(served, "rack-1-storj", "die")
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(address)
    await put(served, "rack-1-storj", None)
    async with client.get(f"{address}/api/sno/") as response:
        assert response.status == 200


async def test_a_hanging_site_accepts_and_says_nothing(served):
    server, client, _ = served
    await put(served, "rack-1-storj", "hang")
    with pytest.raises(TimeoutError):
        await client.get(server.address("rack-1-storj"), timeout=aiohttp.ClientTimeout(total=0.2))


async def test_a_cut_answer_is_cut(served):
    server, client, _ = served
    await put(served, "rack-1-storj", "cut")
    async with client.get(f"{server.address('rack-1-storj')}/api/sno/") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_an_unknown_fault_or_site_is_refused_with_those_that_exist(served):
    status, said = await put(served, "rack-1-storj", "explode")
    assert status == 400
    assert "hang" in said["error"]
    status, said = await put(served, "rack-9", "hang")
    assert status == 404
    assert "rack-1-storj" in said["error"]


async def test_the_monitor_sends_an_event_at_once_and_again_on_change(made):
    made = demo(1, origin=time.time() - 3600.0)
    server = Server(made.world, clock=SystemClock())
    await server.start()
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {made.secrets['yagna-app-key']}"}) as client,
            client.get(f"{server.address('rack-1-golem')}/activity-api/v1/_monitor") as response,
        ):
            assert response.content_type == "text/event-stream"
            first = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 2)
            second = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 4)
        assert json.loads(first.removeprefix(b"data: "))["ts"] < json.loads(second.removeprefix(b"data: "))["ts"]
    finally:
        await server.close()


async def apply(served, key, **wish):
    server, client, _ = served
    async with client.post(f"{server.control}/apply/{key}", json=wish) as response:
        return response.status, await response.json()


async def test_a_storagenode_takes_an_allocation_at_the_price_of_minutes_offline(served):
    server, client, clock = served
    address = f"{server.address('rack-2-storj-1')}/api/sno/"
    assert (await apply(served, "rack-2/storj-1", storage=6e12))[0] == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(address)
    clock.advance(clock.time() + 30)
    await server.settle()
    with pytest.raises(TimeoutError):
        await client.get(address, timeout=aiohttp.ClientTimeout(total=0.1))
    clock.advance(clock.time() + 100)
    async with client.get(address) as response:
        assert (await response.json())["diskSpace"]["allocated"] == 6e12


@pytest.mark.parametrize(
    ("key", "wish", "words"),
    [
        ("rack-2/storj-1", {"storage": 4e11}, "disk space requirement not met"),
        ("rack-2/storj-1", {"storage": "much"}, "must be a number"),
        ("rack-2/streamr-weather", {"stake/DATA": 100.0}, "0x0be9186a"),
        ("rack-2/streamr-weather", {"stake/DATA": 1e9}, "0x08c379a0"),
        ("rack-1/grass", {"cpu": 1}, "nothing to allocate"),
    ],
)
async def test_what_the_real_thing_would_refuse_is_refused(served, key, wish, words):
    status, said = await apply(served, key, **wish)
    assert status == 409
    assert words in said["error"]


async def test_stakes_cores_and_power_can_be_applied(served, made):
    assert (await apply(served, "rack-2/streamr-traffic", **{"stake/DATA": 100_000.0}))[0] == 200
    assert (await apply(served, "rack-2/streamr-weather", **{"stake/DATA": 100_000.0}))[0] == 200
    assert made.world.truth("rack-2/streamr-weather").allocated == {"stake/DATA": 100_000.0}
    assert (await apply(served, "rack-1/akash", cpu=6))[0] == 200
    assert made.world.truth("rack-1/akash").allocated == {"cpu": 6.0}
    assert "new offer follows" in (await apply(served, "rack-1/golem", cpu=6))[1]["said"]
    assert (await apply(served, "rack-1/golem", power="off"))[0] == 200
    server, client, _ = served
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(server.address("rack-1-golem"))


async def test_an_unknown_workload_is_404(served):
    assert (await apply(served, "rack-9/storj", storage=1e12))[0] == 404


async def test_the_truth_is_told_on_the_control_port(served, made):
    server, client, _ = served
    async with client.get(f"{server.control}/truth") as response:
        found = await response.json()
    assert set(found) == set(made.world.models)
    assert found["rack-1/grass"]["usd_per_hour"] is None


async def test_closing_takes_less_than_two_seconds_while_somebody_waits(made):
    server = Server(made.world, clock=FastClock(made.world.now, auto=False))
    await server.start()
    made.world.sites["rack-1-storj"].fault = "hang"
    async with aiohttp.ClientSession() as client:
        waiting = asyncio.create_task(client.get(server.address("rack-1-storj")))
        monitor = f"{server.address('rack-1-golem')}/activity-api/v1/_monitor?authToken={made.secrets['yagna-app-key']}"
        streaming = await client.get(monitor)
        began = time.monotonic()
        await server.close()
        assert time.monotonic() - began < 2
        streaming.close()
        with pytest.raises(aiohttp.ClientError):
            await waiting
