"""An agent at work: its way to the others, and what whoever watches the servers from outside is told. Wiring."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from controller.fleet.transport import Transport, Unreachable
from controller.fleet.transport.memory import Switchboard

if TYPE_CHECKING:
    from controller.fleet.agent import Agent
    from controller.fleet.manifest import FleetSpec
    from exporters.clock import Clock


@runtime_checkable
class Watched(Protocol):
    """A transport that others than neighbours can listen to."""

    async def tell(self, status: bytes) -> None:
        """Raises Unreachable."""
        ...


def transport_for(spec: FleetSpec) -> Transport:
    """How an agent of this fleet reaches the others; the manifest sees to it that there is a way where there are any."""
    if spec.nats is None:
        return Switchboard().port()
    from controller.fleet.transport.nats import OverNats

    return OverNats(spec.nats)


async def at_work(agent: Agent, clock: Clock) -> None:
    """For ever. Raises StoreFenced where another took over its disk."""
    telling = asyncio.create_task(_tell(agent, clock), name=f"status of {agent.peer.name}")
    try:
        await agent.run()
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(agent: Agent, clock: Clock) -> None:
    """Once in a heartbeat, what it thinks of the network."""
    while isinstance(agent.transport, Watched):
        await clock.sleep(agent.peer.pace.heartbeat)
        with suppress(Unreachable):
            await agent.transport.tell(status_of(agent, clock.time()))


def status_of(agent: Agent, now: float) -> bytes:
    """JSON: who speaks, whom it takes for alive, whether those know the same, and since when they do not (Unix seconds)."""
    peer = agent.peer
    said = {
        "agent": peer.name, "start": peer.start, "at": now, "alive": list(peer.alive(now)), "digest": peer.replica.digest,
        "converged": peer.converged(now), "apart_since": agent.timeline.apart_since,
    }  # fmt: skip
    return json.dumps(said).encode()
