"""Transports over real NATS servers, and what came over them: for tests."""

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

from controller.fleet.manifest import Nats
from controller.fleet.transport.nats import OverNats
from controller.fleet.wire import Ack, Changes, Heartbeat, Message, State, Sync, decoded, encoded

NUMBERS = itertools.count(1)
KNOWN = {"version": {"a.1": 1}, "digest": "0"}
BODIES = {
    "ack": Ack(**KNOWN, of="b.1-1"),
    "heartbeat": Heartbeat(beat=1, digest="0"),
    "state": State(changes=Changes(since={}, until={}, floor=0)),
    "sync": Sync(**KNOWN),
}


async def until(condition, what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        await asyncio.sleep(0.01)


def message(via, to, kind="state", body=None):
    return Message(
        id=f"{via}.1-{next(NUMBERS)}", origin=via, start=1, via=via, to=to, hops=1, sent=time.time(), stamp=(1, 0, via),
        body=body or BODIES[kind],
    )  # fmt: skip


async def send(agent, to, kind="state", body=None):
    """The id of the message."""
    said = message(agent.name, to, kind, body)
    await agent.transport.send(said, encoded(said))
    return said.id


def large(to, size, via="a"):
    """A message and what stands for it, of so many bytes; no agent looks into it here."""
    return message(via, to), bytes(size - 5) + b"%05d" % (next(NUMBERS) % 99_999)


class Open:
    """A transport, and what came over it."""

    def __init__(self, name, transport):
        self.name, self.transport = name, transport
        self.bodies = []

    @property
    def ids(self):
        return [decoded(body).id for body in self.bodies]

    @property
    def client(self):
        return self.transport._link._client

    @property
    def stream(self):
        return self.transport._link._stream

    def settled(self):
        """Connected, and all states come from the stream."""
        return self.transport.connected and self.stream._led.is_set() and not self.stream._direct


@asynccontextmanager
async def opened(name, neighbours, *servers, settled=True, **settings):
    agent = Open(name, OverNats(Nats(servers=[getattr(server, "url", server) for server in servers], **settings)))
    try:
        await agent.transport.open(name, neighbours, agent.bodies.append)
        if settled:
            await until(agent.settled, f"{name} to be connected")
        yield agent
    finally:
        await agent.transport.close()
