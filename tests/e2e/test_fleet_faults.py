"""A fleet over real NATS servers that die, and over links that are cut: it goes on, it converges, and what was written stays."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import pytest

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec, Nats
from controller.fleet.terms import grow
from controller.fleet.transport.nats import OverNats
from controller.fleet.transport.stream import STREAM
from exporters.clock import SystemClock
from tests.controller.fleet.nats_servers import ROOT, Server, clustered

pytestmark = pytest.mark.tool("nats")
CLOCK = SystemClock()
PATIENCE = 45.0
PACE = {"heartbeat": "0.5s", "timeout": "2s", "sync": "1s"}
NINE = [f"site-{i}" for i in range(9)]


async def until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        await asyncio.sleep(0.05)
    return found


def uses_the_stream(agent):
    """Connected, and what it says goes to the stream."""
    return agent.transport.keeps


@asynccontextmanager
async def nine(cluster):
    """Agents on sierpinski9, each with all servers of the cluster; running."""
    spec = FleetSpec(sites=NINE, nats=Nats(servers=cluster.urls), **PACE)
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(Agent.opened(name, spec, InMemory(), OverNats(spec.nats), CLOCK))
            for name in NINE
        ]
        tasks = [asyncio.create_task(agent.run()) for agent in agents]
        try:
            await until(lambda: all(uses_the_stream(agent) for agent in agents), "all agents to use the stream")
            yield agents
            assert not any(task.done() for task in tasks), "agents run for ever"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Writing:
    """Every agent writes, one term after the other, until it is stopped."""

    def __init__(self, agents):
        self.written = set()
        self.agents = agents
        self.tasks = []

    async def _write(self, agent):
        for number in range(100_000):
            term = grow(f"{agent.peer.name}/golem-{number}", "cpu", 1, 2)
            await agent.write(lambda replica, _, writer, term=term: replica.add(term, writer, 1))
            self.written.add(term.id)
            await asyncio.sleep(0.3)

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self._write(agent)) for agent in self.agents]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        found = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in found), found

    async def more(self, count=36):
        """Until so many more were written."""
        aim = len(self.written) + count
        await until(lambda: len(self.written) >= aim, f"{count} more to be written")


def all_know(agents, written):
    return len({agent.peer.replica.digest for agent in agents}) == 1 and all(
        written <= agent.peer.replica.terms.keys() for agent in agents
    )


async def test_the_leader_of_the_stream_is_killed_while_nine_agents_write_and_nothing_written_is_lost(tmp_path):
    with clustered(tmp_path) as cluster:
        async with nine(cluster) as agents:
            name = await until(lambda: cluster.streams().get(STREAM), "the stream to have a leader")
            async with Writing(agents) as writing:
                await writing.more()
                cluster.server(name).kill()
                await until(
                    lambda: cluster.streams().get(STREAM) not in {None, name} and all(map(uses_the_stream, agents)),
                    "another to lead, and all agents to use it",
                )
                await writing.more()
            assert len(writing.written) >= 72
            await until(lambda: all_know(agents, writing.written), "all to know all that was written")


async def test_all_servers_are_killed_and_started_again_while_nine_agents_write_and_nothing_written_is_lost(tmp_path):
    with clustered(tmp_path) as cluster:
        async with nine(cluster) as agents:
            async with Writing(agents) as writing:
                await writing.more()
                for server in cluster.servers:
                    server.kill()
                await until(lambda: not any(agent.transport.connected for agent in agents), "all to notice")
                await writing.more()
                apart = {agent.peer.replica.digest for agent in agents}
                for server in cluster.servers:
                    server.start()
                await until(lambda: all(map(uses_the_stream, agents)), "all agents to use the stream again")
            assert len(apart) == 9, "nobody heard of anybody"
            await until(lambda: all_know(agents, writing.written), "all to know all that was written")


# --- links that are cut -----------------------------------------------------------------------------------------------

WEST, EAST = "10.77.0.1", "10.77.0.2"
"""Within namespaces of the test's own, which are joined with nothing else."""
SITES = {"west": ["a", "b"], "east": ["c", "d", "e"]}
"""e has no server on its side: it uses those in the west."""


EVERYBODY = ["a", "b", "c", "d", "e"]


def ip(*argv):
    return subprocess.run(["ip", *argv], capture_output=True, text=True, timeout=20, check=False)


def can_have_namespaces():
    """Whether this machine lets a test have networks of its own."""
    name = f"orcha-try-{secrets.token_hex(4)}"
    try:
        made = ip("netns", "add", name).returncode == 0
        joined = made and ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other").returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
    ip("netns", "del", name)
    return joined


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not can_have_namespaces(), reason="this machine allows no network namespaces"
)


class Networks:
    """Two network namespaces with a cable between them."""

    def __init__(self):
        mark = secrets.token_hex(4)
        self.names = {side: f"orcha-{mark}-{side}" for side in SITES}

    def run(self, *argv):
        done = ip(*argv)
        assert done.returncode == 0, f"ip {' '.join(argv)}: {done.stderr}"

    def make(self):
        for name in self.names.values():
            self.run("netns", "add", name)
            self.run("-n", name, "link", "set", "lo", "up")
        self.run(
            "-n", self.names["west"], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.names["east"]
        )  # fmt: skip
        for side, address in (("west", WEST), ("east", EAST)):
            self.run("-n", self.names[side], "address", "add", f"{address}/30", "dev", "cable")
            self.run("-n", self.names[side], "link", "set", "cable", "up")

    def cable(self, state):
        """Plugged in ("up"), or pulled out ("down")."""
        self.run("-n", self.names["west"], "link", "set", "cable", state)

    def inside(self, side):
        return ["ip", "netns", "exec", self.names[side]]

    def remove(self):
        for name in self.names.values():
            ip("netns", "del", name)


@contextmanager
def servers_on_both_sides(networks, folder):
    """Two servers in the west and one in the east, as one cluster: while the cable is out, only the west has a majority."""
    found = []
    places = [("west", WEST, 4222), ("west", WEST, 4223), ("east", EAST, 4222)]
    routes = ", ".join(f'"nats://{host}:{port + 2000}"' for _, host, port in places)
    for i, (side, host, port) in enumerate(places):
        settings = (
            f'server_name: "server-{i}"\nping_interval: "2s"\nping_max: 2\n'
            f'cluster {{ name: "orcha", listen: "{host}:{port + 2000}", routes: [{routes}], no_advertise: true }}'
        )
        found.append(
            Server(folder / f"server-{i}", port, port + 4000, settings, host=host, before=networks.inside(side))
        )
    try:
        for server in found:
            server.start()
        for server in found:
            server.wait()
        yield found
    finally:
        for server in found:
            server.kill()


class Side:
    """The agents of one side, in a process of their own."""

    def __init__(self, argv, log):
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )

    def ask(self, **line):
        self.process.stdin.write(json.dumps(line or {"ask": True}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the agents ended: {self.log.read_text()[-800:]}"
        return json.loads(answer)

    def write(self, agent, term):
        assert self.ask(write=term, agent=agent) == {"wrote": term}

    def end(self):
        """Its input ends, and so does it, in order."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.process.stdout.close()


@pytest.fixture
def networks():
    found = Networks()
    try:
        found.make()
        yield found
    finally:
        found.remove()


@pytest.fixture
def sides(networks, tmp_path):
    """(west, east): agents a and b, and c, d and e; all have a server on their side but e."""
    spec = {"sites": EVERYBODY, "nats": {"servers": ["nats://127.0.0.1"]}, **PACE}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    west, east = f"nats://{WEST}:4222,nats://{WEST}:4223", f"nats://{EAST}:4222"
    servers = {"a": west, "b": west, "c": east, "d": east, "e": west}
    with servers_on_both_sides(networks, tmp_path):
        found = []
        try:
            for side, names in SITES.items():
                argv = [*networks.inside(side), sys.executable, "tests/e2e/fleet_agent.py", str(tmp_path / "spec.json")]
                argv += [f"{name}={servers[name]}" for name in names]
                found.append(Side(argv, tmp_path / f"{side}.log"))
            yield found
        finally:
            ended = [side.end() for side in found]
        assert ended == [0, 0]


async def known(sides, condition, what):
    """What all agents know, once the condition holds for it."""
    found = {}

    def holds():
        found.update({name: said for side in sides for name, said in side.ask().items()})
        return condition(found)

    try:
        await until(holds, what)
    except AssertionError as exc:
        raise AssertionError(f"{exc}: {found}") from None
    return found


def agreed(found, names, terms):
    return len({found[name]["digest"] for name in names}) == 1 and all(
        found[name]["terms"] == sorted(terms) for name in names
    )


@needs_namespaces
async def test_a_cable_is_pulled_out_and_both_sides_go_on_and_agree_once_it_is_back(networks, sides):
    west, east = sides
    await known(sides, lambda found: all(said["alive"] == EVERYBODY for said in found.values()), "all to hear of all")
    west.write("a", "before")
    await known(sides, lambda found: agreed(found, EVERYBODY, ["before"]), "all to know it")

    networks.cable("down")
    apart = {"a": ["a", "b"], "b": ["a", "b"], "c": ["c", "d"], "d": ["c", "d"], "e": ["e"]}
    await known(
        sides, lambda found: {name: said["alive"] for name, said in found.items()} == apart, "the sides to be apart"
    )
    west.write("a", "west")
    east.write("c", "east")
    east.write("e", "alone")
    found = await known(
        sides,
        lambda found: agreed(found, ["a", "b"], ["before", "west"]) and agreed(found, ["c", "d"], ["before", "east"]),
        "each side to go on",
    )
    assert found["e"]["terms"] == ["alone", "before"]

    networks.cable("up")
    whole = ["alone", "before", "east", "west"]
    found = await known(
        sides,
        lambda found: agreed(found, EVERYBODY, whole) and all(said["alive"] == EVERYBODY for said in found.values()),
        "all to agree again",
    )
    assert all(said["connected"] for said in found.values())
