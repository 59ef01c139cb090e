"""Between processes and sites: NATS, with JetStream where the servers offer it. Effects.

    orcha.agent.ME.heartbeat, .sync, .ack   what ME says to its neighbours; the header Orcha-To says to which
    orcha.agent.ME.state                    the same, kept for those that are down (stream.py)
    orcha.agent.ME.piece.TO                 what is too large for one message, with an answer for each piece (pieces.py)
    orcha.broadcast.heartbeat               each agent's own heartbeats as JSON, for whoever watches from outside
    orcha.network.status                    what an agent thinks of the network, for the same

An agent subscribes to its neighbours' subjects only. Whatever fails is tried again for ever, with longer pauses up to a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from controller.fleet.manifest import Nats
from controller.fleet.transport import Received, Unreachable
from controller.fleet.transport.connecting import Place, check, connect
from controller.fleet.wire import Heartbeat, Message

if TYPE_CHECKING:
    from controller.fleet.transport.link import Link

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between rounds of tries."""
AT_FIRST: Final = 1.0
"""Seconds that opening waits for the first connection; after that it is made beside everything else."""
log = structlog.get_logger("orcha.fleet")


class OverNats:
    """A Transport over NATS."""

    def __init__(self, nats: Nats, chance: random.Random | None = None) -> None:
        self._nats = nats
        self._chance = chance or random.Random()
        self._me = ""
        self._neighbours: Sequence[str] = ()
        self._received: Received = lambda _: None
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        """Set once there is a connection, or every server was tried."""
        self._found: tuple[Place, ...] = ()
        """Servers that the cluster told of."""
        self._why = "no connection to NATS was made yet"
        self._said: set[str] = set()
        """Why there is no connection, since there was one."""
        self._broadcast = 0
        """The newest heartbeat of this agent that everybody was told of."""

    async def open(self, me: str, neighbours: Sequence[str], received: Received) -> None:
        check(self._nats)
        self._me, self._neighbours, self._received = me, tuple(neighbours), received
        self._tried.clear()
        self._task = asyncio.create_task(self._stay(), name=f"{me} over NATS")
        # else all that an agent says first would be lost, and be told as a failure wherever nothing is wrong
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AT_FIRST):
                await self._tried.wait()

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.connected

    @property
    def why(self) -> str:
        return self._why

    @property
    def keeps(self) -> bool:
        """Whether the servers keep what is sent now for neighbours that are down, as far as is known."""
        return self._link is not None and self._link.connected and self._link.keeps

    async def send(self, message: Message, body: bytes) -> None:
        link = self._there()
        await link.send(message, body)
        beat = message.body
        if isinstance(beat, Heartbeat) and message.origin == self._me and beat.beat > self._broadcast:
            self._broadcast = beat.beat
            said = {
                "agent": self._me, "start": message.start, "beat": beat.beat, "sent": message.sent, "digest": beat.digest
            }  # fmt: skip
            await link.tell("orcha.broadcast.heartbeat", json.dumps(said).encode())

    async def tell(self, status: bytes) -> None:
        """What this agent thinks of the network, to whoever watches. Raises Unreachable."""
        await self._there().tell("orcha.network.status", status)

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _there(self) -> Link:
        if self._link is None or not self._link.connected:
            raise Unreachable(self._why)
        return self._link

    # --- staying connected --------------------------------------------------------------------------------------------

    async def _stay(self) -> None:
        """Connect, use the connection until it ends, and again."""
        failed = 0
        while True:
            for place in self._places():
                try:
                    failed = 0 if await self._use(place) else failed
                    break
                except Unreachable as exc:
                    self._lost(str(exc))
                except Exception as exc:
                    # what nobody thought of must not end the tries
                    log.exception("the use of a NATS server ended", agent=self._me, server=place.url)
                    self._lost(f"{place.url}: {type(exc).__name__}")
            self._tried.set()
            await asyncio.sleep(pause(failed, self._chance))
            failed += 1

    def _places(self) -> Iterator[Place]:
        """Those of the manifest in any order, then those that they told of."""
        own = [Place.read(server) for server in self._nats.servers]
        self._chance.shuffle(own)
        known = {place.where for place in own}
        yield from (*own, *(place for place in self._found if place.where not in known))

    async def _use(self, place: Place) -> bool:
        """Until the connection ends; whether it held for a while. Raises Unreachable where there is none."""
        from controller.fleet.transport.link import Link

        links: list[Link] = []

        async def told(exc: Exception) -> None:
            for link in links:
                if link.connected:
                    link.say(f"NATS: {exc}")

        async def ended() -> None:
            for link in links:
                link.over.set()

        began = asyncio.get_running_loop().time()
        client = await connect(self._nats, place, told, ended)
        link = Link(client, self._me, self._neighbours, self._received)
        links.append(link)
        try:
            await link.subscribe()
            self._link = link
            self._tried.set()
            self._said.clear()
            log.info("connected to NATS", agent=self._me, server=place.url)
            self._why = f"the connection to {place.url} was lost"
            await link.use()
        finally:
            self._link = None
            self._found = link.told_of(place)
            await link.close()
        log.warning("the connection to NATS was lost; it is made again", agent=self._me, server=place.url)
        return asyncio.get_running_loop().time() - began > LONGEST_PAUSE

    def _lost(self, why: str) -> None:
        if why not in self._said:
            log.warning("NATS cannot be reached; it is tried again", agent=self._me, why=why)
            self._said.add(why)
        self._why = why


def pause(failed: int, chance: random.Random) -> float:
    """Seconds before the next round: twice as long after each that failed, and never the same for many agents at once."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failed, 10)) * chance.uniform(0.5, 1.0))
