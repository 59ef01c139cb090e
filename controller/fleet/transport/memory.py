"""Agents of one process reach each other over a Switchboard: each has a port, links between two can be cut, and messages can
be lost, repeated and delayed. Effect: the event loop delivers; nothing is delivered within `send`.

A message over a cut link is Unreachable, as it is over servers that are not there. What is under way when a link is cut, what
is lost by chance, and what is for an agent that does not run (its port is not open) is gone without a word.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence

from controller.fleet.transport import Received, Unreachable
from controller.fleet.wire import Message

Link = frozenset[str]
"""The two agents."""


class Switchboard:
    """Within one event loop. Its faults may be changed at any time."""

    def __init__(
        self,
        *,
        loss: float = 0.0,
        twice: float = 0.0,
        delay: Callable[[], float] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.loss = loss
        """Probability that a message is lost."""
        self.twice = twice
        """Probability that a message that is not lost comes twice."""
        self.delay = delay
        """Gives the seconds that the next message takes; None: it comes at once."""
        self.chance = chance or random.Random(0)
        self._cut: set[Link] = set()
        self._sides: tuple[frozenset[str], ...] = ()
        self._ports: dict[str, Memory] = {}

    def port(self) -> Memory:
        """For one agent."""
        return Memory(self)

    # --- links --------------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        self._cut.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        """What `cut` did; a partition stays."""
        self._cut.discard(frozenset((one, other)))

    def partition(self, groups: Iterable[Collection[str]]) -> None:
        """Only agents of one group reach each other; those of no group are one of their own. In place of an earlier partition."""
        self._sides = tuple(frozenset(group) for group in groups)

    def heal(self) -> None:
        """All links are whole again. Losses, repetitions and delays stay as they are."""
        self._cut.clear()
        self._sides = ()

    def reaches(self, one: str, other: str) -> bool:
        """Whether the link between them is whole."""
        return frozenset((one, other)) not in self._cut and all(
            (one in side) == (other in side) for side in self._sides
        )

    # --- ports --------------------------------------------------------------------------------------------------------

    def plug(self, port: Memory) -> None:
        """Raises Unreachable where another agent of this name runs."""
        if port.me in self._ports:
            raise Unreachable(f"an agent {port.me!r} is on this switchboard already; each has a name of its own")
        self._ports[port.me] = port

    def unplug(self, port: Memory) -> None:
        if self._ports.get(port.me) is port:
            del self._ports[port.me]

    def carry(self, message: Message, body: bytes) -> None:
        """Raises Unreachable where the link is cut."""
        if not self.reaches(message.via, message.to):
            raise Unreachable(f"the link from {message.via} to {message.to} is cut")
        if self.chance.random() < self.loss:
            return
        loop = asyncio.get_running_loop()
        for _ in range(1 + (self.chance.random() < self.twice)):
            after = self.delay() if self.delay is not None else 0.0
            if after > 0:
                loop.call_later(after, self._deliver, message.via, message.to, body)
            else:
                loop.call_soon(self._deliver, message.via, message.to, body)

    def _deliver(self, via: str, to: str, body: bytes) -> None:
        port = self._ports.get(to)
        if port is not None and self.reaches(via, to):
            port.received(body)


class Memory:
    """One agent's way to its neighbours over a switchboard: a Transport. It can be opened anew after it was closed."""

    def __init__(self, board: Switchboard) -> None:
        self.me = ""
        self.received: Received = _nobody
        self._board = board
        self._neighbours: tuple[str, ...] = ()
        self._open = False

    async def open(self, me: str, neighbours: Sequence[str], received: Received) -> None:
        self.me, self._neighbours, self.received = me, tuple(neighbours), received
        self._board.plug(self)
        self._open = True

    async def send(self, message: Message, body: bytes) -> None:
        if not self._open:
            raise Unreachable(f"the port of {message.via} is not open")
        if message.to not in self._neighbours:
            raise Unreachable(f"{message.to} is no neighbour of {self.me}")
        self._board.carry(message, body)

    @property
    def connected(self) -> bool:
        """Whether any link is whole; who has no neighbours is connected to all of them."""
        links = [self._board.reaches(self.me, other) for other in self._neighbours]
        return self._open and (any(links) or not links)

    @property
    def why(self) -> str:
        return "all links to its neighbours are cut" if self._open else f"the port of {self.me} is not open"

    async def close(self) -> None:
        if self._open:
            self._board.unplug(self)
        self._open = False


def _nobody(_: bytes) -> None:
    """Takes what comes before the port is open."""
