"""One connection to NATS as it is used: what is subscribed to, and how a message gets out. Effects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from controller.fleet.transport import Received, Unreachable
from controller.fleet.transport.connecting import PENDING, Place, heeding, leave
from controller.fleet.transport.pieces import PIECE, Joining, OutOfTurn, Piece, cut
from controller.fleet.transport.stream import QUEUE_BYTES, QUEUE_MESSAGES, Stream
from controller.fleet.wire import MOST_BYTES, Kind, Message

TO: Final = "Orcha-To"
"""Whom a message is for, so that others need not decode it."""
WHOLE: Final = 2**20
"""Bytes that are sent in one message at most, also where the server would take more."""
ROOM: Final = 512
"""Bytes that headers take at most."""
SEND_WITHIN: Final = 2.0
"""Seconds that a message waits at most for those before it to leave."""
CLOSE_WITHIN: Final = 1
"""Seconds that what was sent last has to leave before the connection is closed."""
PIECE_WITHIN: Final = 30.0
"""Seconds that a neighbour has to take a piece."""
LOOK_EVERY: Final = 1.0
"""Seconds."""
MOST_PLACES: Final = 32
"""Servers that a cluster may tell of."""
TAKEN: Final = b"+"
log = structlog.get_logger("orcha.fleet")


class Link:
    """`subscribe`, `use` until it ends, and `close` in any case."""

    def __init__(self, client: Client, me: str, neighbours: Sequence[str], received: Received) -> None:
        self._client = client
        self._me = me
        self._received = received
        self._neighbours = neighbours
        self._said: set[str] = set()
        self._stream = Stream(client, me, neighbours, self._take, self.say)
        self._joining = {name: Joining() for name in neighbours}
        self._shipping: dict[str, asyncio.Task[None]] = {}
        """Neighbour -> what sends a large message to it."""
        size = min(client.max_payload, WHOLE)
        self._whole, self._piece = size - ROOM, min(PIECE, size - ROOM)
        self.over = asyncio.Event()
        """Set once the connection ended."""

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def keeps(self) -> bool:
        return self._stream.led

    def told_of(self, place: Place) -> tuple[Place, ...]:
        """The servers of its cluster, with what is known of the one that told of them."""
        name = place.name or place.where.rpartition(":")[0].strip("[]")
        found = self._client.discovered_servers[:MOST_PLACES]
        return tuple(Place(place.scheme, each.netloc, place.user, place.password, name) for each in found)

    def say(self, why: str) -> None:
        """Once for each connection."""
        if why not in self._said and len(self._said) < 100:
            self._said.add(why)
            log.warning(why, agent=self._me)

    async def subscribe(self) -> None:
        """To the neighbours, and to nobody else. States are the stream's. Raises Unreachable."""
        try:
            with heeding():
                for name in self._neighbours:
                    await self._subscribe(name)
        except (Error, OSError) as exc:
            raise Unreachable(f"the connection to NATS is lost: {exc}") from exc

    async def _subscribe(self, name: str) -> None:
        for kind in (Kind.HEARTBEAT, Kind.SYNC, Kind.ACK):
            await self._client.subscribe(
                f"orcha.agent.{name}.{kind.value}", cb=self._came,
                pending_msgs_limit=QUEUE_MESSAGES, pending_bytes_limit=QUEUE_BYTES,
            )  # fmt: skip
        await self._client.subscribe(f"orcha.agent.{name}.piece.{self._me}", cb=self._came_in_part)

    async def use(self) -> None:
        """Until the connection ends."""
        stream = asyncio.create_task(self._stream.run())
        try:
            while self._client.is_connected and not self.over.is_set() and not stream.done():
                # nats-py does not always say that it lost its connection
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self.over.wait()
                for joining in self._joining.values():
                    joining.drop_stale(asyncio.get_running_loop().time())
            if stream.done():
                self._look(stream.exception())
        finally:
            await _end([stream])

    async def close(self) -> None:
        """The connection, and what still uses it."""
        await _end(list(self._shipping.values()))
        if self._client.is_connected:
            # the servers must know that nothing is pulled any more: what they deliver to nobody comes again only much later
            with contextlib.suppress(Error, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):
                    while self._client.pending_data_size:  # noqa: ASYNC110 nats-py tells nobody once it has sent
                        await asyncio.sleep(0)
                    await self._client.flush(CLOSE_WITHIN)
        await leave(self._client)

    def _look(self, ended: BaseException | None) -> None:
        """Raises what ended the use of the stream, but for what nats-py raises where the connection is gone."""
        if isinstance(ended, BaseExceptionGroup):
            _, ended = ended.split((Error, OSError))
        if ended is not None and not isinstance(ended, (Error, OSError)):
            raise ended

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send(self, message: Message, body: bytes) -> None:
        """Raises Unreachable."""
        subject, headers = f"orcha.agent.{self._me}.{message.kind.value}", {TO: message.to}
        if len(body) > MOST_BYTES:
            raise Unreachable(f"a message of {len(body)} bytes for {message.to}; at most {MOST_BYTES} are sent")
        if len(body) > self._whole:
            self._ship(message, body)
            return
        await self._room(len(body))
        try:
            with heeding():
                if message.kind is Kind.STATE:
                    await self._stream.publish(subject, body, headers)
                else:
                    await self._client.publish(subject, body, headers=headers)
        except (Error, OSError) as exc:
            raise Unreachable(f"the connection to NATS is lost: {exc}") from exc

    async def tell(self, subject: str, body: bytes) -> None:
        """Whoever watches. Raises Unreachable."""
        if len(body) > self._whole:
            raise Unreachable(f"{len(body)} bytes are too many for {subject}; at most {self._whole} are sent")
        await self._room(len(body))
        try:
            with heeding():
                await self._client.publish(subject, body)
        except (Error, OSError) as exc:
            raise Unreachable(f"the connection to NATS is lost: {exc}") from exc

    async def _room(self, size: int) -> None:
        """Wait until what is to be sent has room among what waits. nats-py's own wait swallows cancellation."""
        try:
            async with asyncio.timeout(SEND_WITHIN):
                while self._client.pending_data_size + size > PENDING:  # noqa: ASYNC110 nats-py tells nobody once it has sent
                    await asyncio.sleep(0.005)
        except TimeoutError:
            waits = self._client.pending_data_size
            raise Unreachable(
                f"the line to NATS is too slow: {waits} bytes wait to be sent, at most {PENDING}"
            ) from None

    # --- large messages -----------------------------------------------------------------------------------------------

    def _ship(self, message: Message, body: bytes) -> None:
        """Send it piece by piece, beside everything else. It does not wait at the servers: a neighbour that is not there now
        asks for it when it is. Raises Unreachable while one is under way to the same neighbour.
        """
        name = message.to
        if name in self._shipping:
            raise Unreachable(
                f"a large message is still under way to {name}; the next one goes with a later sync round"
            )
        if not self._client.is_connected:
            raise Unreachable("the connection to NATS is lost")
        task = self._shipping[name] = asyncio.create_task(self._send_pieces(name, message.id, body))
        task.add_done_callback(lambda _: self._shipping.pop(name, None))

    async def _send_pieces(self, name: str, of: str, body: bytes) -> None:
        subject = f"orcha.agent.{self._me}.piece.{name}"
        try:
            for piece in cut(of, body, self._piece):
                headers = {TO: name, **piece.headers}
                with heeding():
                    answer = await self._client.request(subject, piece.body, timeout=PIECE_WITHIN, headers=headers)
                if answer.data != TAKEN:
                    log.warning("a neighbour dropped a large message", agent=self._me, to=name, message=of)
                    return
        except (Error, OSError) as exc:
            why = str(exc) or type(exc).__name__
            log.warning("a large message did not arrive", agent=self._me, to=name, bytes=len(body), why=why)

    async def _came_in_part(self, msg: Msg) -> None:
        via, headers = msg.subject.split(".")[2], msg.headers or {}
        if headers.get(TO) != self._me:
            return
        try:
            whole = self._joining[via].take(Piece.read(headers, msg.data), asyncio.get_running_loop().time())
        except OutOfTurn as exc:
            self.say(f"a piece of a large message from {via} was dropped: {exc}")
            await msg.respond(b"-")
            return
        await msg.respond(TAKEN)
        if whole is not None:
            self._received(whole)

    # --- receiving ----------------------------------------------------------------------------------------------------

    async def _came(self, msg: Msg) -> None:
        self._take(msg)

    def _take(self, msg: Msg) -> None:
        """What is for this agent; it is not looked into here."""
        if (msg.headers or {}).get(TO) == self._me:
            self._received(msg.data)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
