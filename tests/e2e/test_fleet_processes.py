"""Agents of a fleet as real processes with real disks: killed at random moments, hosted by `orcha fleet host`, over real NATS."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory, Saved
from controller.fleet.manifest import Fleet
from controller.fleet.stored import Stored
from controller.fleet.terms import grow
from controller.fleet.transport.nats import OverNats
from controller.store import Store
from exporters.clock import SystemClock
from tests.controller.fleet.nats_servers import serving
from tests.e2e.programs import ROOT, Program, get, until

FIVE = tuple(f"site-{i}" for i in range(5))
KILLS = 5
WORKER = str(ROOT / "tests" / "e2e" / "fleet_process.py")


def now(folder: Path, name: str) -> dict:
    path = folder / f"{name}.now"
    return json.loads(path.read_text()) if path.exists() else {}


def promised(folder: Path) -> set[str]:
    """A last line that was torn off was not promised to anybody."""
    lines = [line for path in folder.glob("*.promised") for line in path.read_text().splitlines()]
    return {line for line in lines if len(line) == 64}


async def loaded(folder: Path, name: str) -> Saved:
    store = await Store.open(f"sqlite:///{folder / name}.db")
    try:
        return await Stored(store, name).load()
    finally:
        await store.close()


@pytest.mark.parametrize("seed", [1])
def test_agents_are_killed_at_random_moments_while_they_write_and_nothing_acknowledged_is_lost(start, tmp_path, seed):
    """What a write returned for is on every disk in the end, and no message ran ahead of its sender's disk."""
    draw = random.Random(seed)
    spec = {"sites": FIVE, "topology": "ring", "heartbeat": "500ms", "timeout": "2s", "sync": "500ms"}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    living = {name: start(sys.executable, WORKER, str(tmp_path), name, name=name) for name in FIVE}

    def works(name: str) -> bool:
        program = living[name]
        assert program.process.poll() is None, program.said()
        here = now(tmp_path, name)
        return here.get("process") == program.process.pid and here["wrote"] > 0

    until(lambda: all(works(name) for name in FIVE), "all agents to write")
    for _ in range(KILLS):
        name = draw.choice(FIVE)
        until(lambda name=name: works(name), f"{name} to write")
        time.sleep(draw.uniform(0, 0.2))  # the moment is what is drawn
        assert living[name].stop(signal.SIGKILL) == -signal.SIGKILL
        living[name] = start(sys.executable, WORKER, str(tmp_path), name, name=name)
    until(lambda: all(works(name) for name in FIVE), "all agents to write again")
    (tmp_path / "stop").touch()
    owed = len(promised(tmp_path))
    assert owed > 10 * KILLS, "the agents hardly wrote"

    def alike() -> bool:
        known = [now(tmp_path, name) for name in FIVE]
        stopped = all(each["stopped"] for each in known)
        return stopped and len({each["digest"] for each in known}) == 1 and known[0]["terms"] >= len(promised(tmp_path))

    until(alike, "all agents to know the same")
    for program in living.values():
        assert program.stop() == 0, program.said()
    assert list(tmp_path.glob("*.early")) == []
    disks = {name: asyncio.run(loaded(tmp_path, name)) for name in FIVE}
    assert len({disk.replica.digest for disk in disks.values()}) == 1, f"seed {seed}"
    for name, disk in disks.items():
        assert promised(tmp_path) <= disk.replica.terms.keys(), (
            f"seed {seed}: acknowledged terms are not on {name}'s disk"
        )


def manifest(folder: Path, server: str) -> Path:
    """A fleet of two sites and two relays."""
    spec = {
        "sites": ["attic", "barn"], "relays": ["hub-0", "hub-1"], "nats": {"servers": [server]},
        "heartbeat": "500ms", "timeout": "2s", "sync": "500ms",
    }  # fmt: skip
    path = folder / "fleet.yaml"
    path.write_text(
        yaml.safe_dump(
            {"apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"}, "spec": spec}
        )
    )
    return path


def host(start, folder: Path, port: int, *relays: str, state: str = "host") -> Program:
    named = [word for name in relays for word in ("--site", name)]
    argv = ["-m", "controller", "fleet", "host", str(folder / "fleet.yaml"), *named]
    return start(
        *argv, "--listen", f"127.0.0.1:{port}", "--state", f"sqlite:///{folder / state}.db", name=state, ORCHA_SITE=""
    )


def test_hosted_relays_start_without_servers_show_themselves_and_end_on_a_signal(start, tmp_path, free_port):
    manifest(tmp_path, f"nats://127.0.0.1:{free_port()}")
    port = free_port()
    starts = []
    for _ in range(2):
        program = host(start, tmp_path, port)
        until(lambda: get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n"), "the host to serve")
        assert get(f"http://127.0.0.1:{port}/readyz")[0] == 503
        status, body = get(f"http://127.0.0.1:{port}/api/v1/fleet")
        assert status == 200
        shown = json.loads(body)
        assert (shown["name"], shown["relays"], shown["site"]) == ("home", ["hub-0", "hub-1"], None)
        assert "orcha_fleet_transport_connected" in get(f"http://127.0.0.1:{port}/metrics")[1]
        assert program.stop() == 0, program.said()
        assert "it owns nothing" in program.said()
        starts.append([asyncio.run(disk(tmp_path, name)).start for name in ("hub-0", "hub-1")])
    assert all(first < second for first, second in zip(*starts, strict=True))


async def disk(folder: Path, name: str, state: str = "host") -> Saved:
    store = await Store.open(f"sqlite:///{folder / state}.db")
    try:
        return await Stored(store, name).load()
    finally:
        await store.close()


WRONG = {
    "a site": (["--site", "attic"], "'attic' is a site of Fleet home: its agent lives in its controller, `orcha run --site attic`"),
    "a stranger": (["--site", "hub-7"], "Fleet home has no relay 'hub-7'; it has hub-0, hub-1"),
    "nowhere to listen": (["--listen", "nowhere"], "--listen"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_what_cannot_be_hosted_is_said_in_a_sentence(start, tmp_path, wrong):
    manifest(tmp_path, "nats://127.0.0.1:4222")
    options, sentence = WRONG[wrong]
    program = start("-m", "controller", "fleet", "host", str(tmp_path / "fleet.yaml"), *options, ORCHA_SITE="")
    assert program.process.wait(30) == 2
    assert sentence in program.said()
    assert "Traceback" not in program.said()


def test_two_hosts_do_not_write_one_state(start, tmp_path, free_port):
    manifest(tmp_path, f"nats://127.0.0.1:{free_port()}")
    port = free_port()
    host(start, tmp_path, port, "hub-0")
    until(lambda: get(f"http://127.0.0.1:{port}/healthz")[0] == 200, "the host to serve")
    second = host(start, tmp_path, free_port(), "hub-1")
    assert second.process.wait(30) == 2
    assert "another orcha already writes" in second.said()


@pytest.mark.tool("nats")
async def test_relays_in_processes_of_their_own_carry_on_over_nats_what_sites_say_also_after_one_was_killed(
    start, tmp_path, free_port
):
    with serving(tmp_path / "nats") as server:
        spec = Fleet.model_validate(yaml.safe_load(manifest(tmp_path, server.url).read_text())).spec
        ports = {name: free_port() for name in spec.relays}
        programs = {name: host(start, tmp_path, port, name, state=name) for name, port in ports.items()}
        async with AsyncExitStack() as stack:
            sites = {}
            for name in spec.sites:
                agent = Agent.opened(name, spec, InMemory(), OverNats(spec.nats), SystemClock())
                sites[name] = await stack.enter_async_context(agent)
            running = [asyncio.create_task(agent.run()) for agent in sites.values()]
            try:
                await comes(lambda: all(agent.peer.trusted for agent in sites.values()), "the fleet to begin")
                programs["hub-0"].stop(signal.SIGKILL)
                first = await proposed(sites["attic"], 1)
                programs["hub-0"] = host(start, tmp_path, ports["hub-0"], "hub-0", state="hub-0")
                await comes(lambda: get(f"http://127.0.0.1:{ports['hub-0']}/healthz")[0] == 200, "the relay to serve")
                second = await proposed(sites["barn"], 2)
                await comes(lambda: {*sites["attic"].peer.replica.terms} >= {first, second}, "the sites to agree")
                await comes(lambda: all(agent.peer.converged(time.time()) for agent in sites.values()), "all to agree")
                digest = sites["attic"].peer.replica.digest
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        for name, program in programs.items():
            assert await asyncio.to_thread(program.stop) == 0, program.said()
            saved = await disk(tmp_path, name, name)
            assert saved.replica.digest == digest
            assert saved.trusted


async def proposed(agent: Agent, number: int) -> str:
    term = grow(f"{agent.peer.name}/golem", "cpu", 0, number)
    await agent.write(lambda replica, _, writer: replica.add(term, writer, 1))
    return term.id


async def comes(wanted, what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        await asyncio.sleep(0.05)
