"""GET /api/v1/stream: what happens, told over WebSockets as it happens. Slow readers are dropped, never waited for.

    publish ──encode once──▶ one bounded queue per client ──its own task──▶ the socket

Of readings, plans, verdicts and programs the loop and the Desk tell; of the fleet telling.py.

A message is encoded once, and every queue holds the same bytes. Who has let `most_messages` or `most_bytes` pile up is
told so with close code 1013 (try again later) and cut off where it does not even read that. Nothing is kept for those
who come later: the newest is had by GET.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from controller.api import answers
from controller.api.asked import TOPICS
from controller.api.problems import Refusal
from controller.report import views

if TYPE_CHECKING:
    from controller.model import Decision
    from controller.programs import Program
    from exporters.reading import Reading

PIECE: Final = 100
"""Readings of one message."""
MOST_HEARD: Final = 4096
"""Bytes of one message of a client; none is expected."""


@dataclass(eq=False, slots=True)
class Client:
    """One reader, and what waits for it."""

    topics: frozenset[str]
    waiting: deque[bytes] = field(default_factory=deque)
    size: int = 0
    """Bytes that wait."""
    some: asyncio.Event = field(default_factory=asyncio.Event)
    patience: asyncio.Timeout | None = None
    """Ends the writing when it is dropped."""
    dropped: bool = False

    def give(self, message: bytes) -> None:
        self.waiting.append(message)
        self.size += len(message)
        self.some.set()

    async def take(self) -> bytes:
        """The oldest that waits."""
        while not self.waiting:
            self.some.clear()
            await self.some.wait()
        message = self.waiting.popleft()
        self.size -= len(message)
        return message

    def drop(self) -> None:
        """It gets nothing more; whoever writes to it is told at once, even in the middle of waiting for it."""
        self.dropped = True
        self.waiting.clear()
        if self.patience is not None:
            self.patience.reschedule(asyncio.get_running_loop().time())


class Stream:
    """All clients of one controller. Everything but the constructor runs in the loop's thread."""

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        *,
        most_clients: int = 1000,
        most_messages: int = 256,
        most_bytes: int = 4 * 2**20,
        heartbeat: float = 30.0,
        closing: float = 2.0,
    ) -> None:
        self._now, self._most_clients, self._most_messages, self._most_bytes = (
            now,
            most_clients,
            most_messages,
            most_bytes,
        )
        self._heartbeat, self._closing = heartbeat, closing
        self._clients: set[Client] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self.dropped = 0
        """How many readers were too slow, ever."""

    @property
    def clients(self) -> int:
        return len(self._clients)

    def wants(self, topic: str) -> bool:
        """Whether anybody listens to it."""
        return any(topic in client.topics for client in self._clients)

    # what is told

    def publish(self, topic: str, data: Any, at: float | None = None) -> None:
        """Tell everybody who wants to hear of this topic. `data`: plain JSON; ValueError for what is none."""
        if topic not in TOPICS:
            raise ValueError(f"{topic!r} is no topic; there are {', '.join(TOPICS)}")
        those = [client for client in self._clients if topic in client.topics]
        if not those:
            return
        message = answers.message(topic, self._now() if at is None else at, data)
        for client in those:
            full = len(client.waiting) >= self._most_messages or client.size + len(message) > self._most_bytes
            if client.waiting and full:
                self._drop(client)
            else:
                client.give(message)

    async def readings(self, fresh: Sequence[Reading]) -> None:
        """The looks of one turn, in pieces; between two others have their turn, so that a quick reader keeps up."""
        for piece in answers.in_pieces(fresh, PIECE):
            if not self._clients:
                return
            self.publish("readings", [answers.reading(each) for each in piece])
            await asyncio.sleep(0)

    def decided(self, decision: Decision) -> None:
        """A policy's newest decision: its plan, and the guard's verdicts."""
        if self._clients:
            view = views.policy(decision)
            self.publish("plans", view)
            self.publish("verdicts", {"policy": view["name"], "verdicts": view["verdicts"]})

    def program(self, program: Program) -> None:
        """A program whose state, or a step of which, changed."""
        if self._clients:
            self.publish("programs", answers.program(program).model_dump(mode="json", by_alias=True))

    # who hears it

    async def serve(self, request: web.Request, topics: frozenset[str]) -> web.WebSocketResponse:
        """One client until it goes. Raises Refusal: 503 where there are too many, 426 where it is no WebSocket."""
        if len(self._clients) >= self._most_clients:
            raise Refusal(503, f"{len(self._clients)} clients listen already", request.path, "try again later")
        socket = web.WebSocketResponse(
            heartbeat=self._heartbeat, timeout=self._closing, compress=False, max_msg_size=MOST_HEARD
        )
        if not socket.can_prepare(request).ok:
            raise Refusal(
                426, "this is a WebSocket, and was asked for as a page", request.path, "connect with ws:// or wss://"
            )
        client = Client(topics)
        self._clients.add(client)
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            await self._attend(request, socket, client)
        finally:
            self._clients.discard(client)
            self._sockets.discard(socket)
        return socket

    async def _attend(self, request: web.Request, socket: web.WebSocketResponse, client: Client) -> None:
        """Write what comes, and read what the client says, so that its pongs and its end are seen, until one of both ends."""
        reading, writing = asyncio.create_task(_hear(socket)), asyncio.create_task(_tell(socket, client))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.wait({reading, writing})
        for ended in (reading, writing):
            if not ended.cancelled():
                ended.result()
        if client.dropped:
            await self._cut_off(request, socket)

    async def _cut_off(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        """Say why, and wait for as long as `closing` that it is heard; then the connection goes, heard or not."""
        try:
            async with asyncio.timeout(2 * self._closing):
                await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow", drain=False)
        except TimeoutError:
            pass
        finally:
            if request.transport is not None:
                request.transport.abort()

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        self.dropped += 1
        client.drop()

    async def close(self, _app: web.Application | None = None) -> None:
        """The controller ends: everybody is told."""
        async with asyncio.TaskGroup() as all_of_them:
            for socket in tuple(self._sockets):
                all_of_them.create_task(self._say_goodbye(socket))

    async def _say_goodbye(self, socket: web.WebSocketResponse) -> None:
        try:
            async with asyncio.timeout(min(0.2, self._closing)):
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"orcha ends", drain=False)
        except TimeoutError:
            pass  # it does not answer; the server's end cuts it off


async def _hear(socket: web.WebSocketResponse) -> None:
    """What a client says is left at that."""
    async for _ in socket:
        pass


async def _tell(socket: web.WebSocketResponse, client: Client) -> None:
    """One message after the other, until the client went or is dropped."""
    try:
        async with asyncio.timeout(None) as client.patience:
            while not client.dropped:
                await socket.send_frame(await client.take(), WSMsgType.TEXT)
    except TimeoutError:
        client.dropped = True
    except ConnectionError:
        pass  # it went; whoever reads sees that too
