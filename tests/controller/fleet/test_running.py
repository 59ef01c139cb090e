"""What whoever watches from outside is told by an agent at work."""

from __future__ import annotations

import asyncio
import json

import pytest

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec
from controller.fleet.running import at_work, transport_for
from controller.fleet.transport import Unreachable
from controller.fleet.transport.memory import Memory, Switchboard
from exporters.clock import SystemClock

SPEC = FleetSpec(sites=["attic"], heartbeat="100ms", timeout="500ms", sync="100ms")


class Watched:
    """A way to nobody, that is listened to; it fails at first."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[bytes] = asyncio.Queue()
        self.failed = 0

    async def open(self, me, neighbours, received) -> None:
        """There is nobody."""

    async def send(self, message, body) -> None:
        raise Unreachable("nobody is there")

    connected = True
    why = ""

    async def close(self) -> None:
        """Nothing was opened."""

    async def tell(self, status: bytes) -> None:
        if not self.failed:
            self.failed += 1
            raise Unreachable("not yet")
        self.told.put_nowait(status)


async def test_it_tells_whom_it_hears_and_goes_on_where_nobody_could_be_told():
    clock, way = SystemClock(), Watched()
    async with Agent.opened("attic", SPEC, InMemory(), way, clock) as agent:
        working = asyncio.create_task(at_work(agent, clock))
        async with asyncio.timeout(20):
            said = json.loads(await way.told.get())
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert said == {
        "agent": "attic", "start": agent.peer.start, "at": said["at"], "alive": ["attic"],
        "digest": agent.peer.replica.digest, "converged": True, "apart_since": None,
    }  # fmt: skip
    assert way.failed == 1


async def test_a_way_that_nobody_can_listen_to_is_no_reason_to_stop():
    clock, heard, board = SystemClock(), asyncio.Event(), Switchboard()
    two = SPEC.model_copy(update={"sites": ["attic", "cellar"], "topology": "full"})
    await board.port().open("cellar", ("attic",), lambda _: heard.set())
    async with Agent.opened("attic", two, InMemory(), board.port(), clock) as agent:
        working = asyncio.create_task(at_work(agent, clock))
        async with asyncio.timeout(20):
            await heard.wait()
        assert not working.done()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def test_where_there_is_one_agent_no_servers_are_needed():
    assert isinstance(transport_for(SPEC), Memory)
