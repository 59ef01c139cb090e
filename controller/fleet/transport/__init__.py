"""TRANSPORTS. How a message gets from one agent to its neighbour. They may lose, repeat, delay and reorder: peer.py bears it.

memory.py   within one process: tests, the demo, agents that live together
nats.py     between processes and sites
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from controller.fleet.wire import Message

Received = Callable[[bytes], None]
"""Takes what came, as it came: wire.decoded looks at it. It does not wait."""


class Unreachable(Exception):
    """The servers cannot be reached, or do not take the message; `str()` says which and why. What was to be sent is lost."""


class Transport(Protocol):
    """One agent's way to its neighbours."""

    async def open(self, me: str, neighbours: Sequence[str], received: Received) -> None:
        """Begin; whoever cannot be reached yet is tried again for ever, in the background. Raises Unreachable only where
        trying again cannot help, such as a file of credentials that is not there.
        """
        ...

    async def send(self, message: Message, body: bytes) -> None:
        """Hand over a message to `message.to`; `body` is the same, encoded. Raises Unreachable, and then nothing was sent."""
        ...

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now, as far as is known."""
        ...

    @property
    def why(self) -> str:
        """Why they cannot, for people and without secrets; as long as they can it says nothing of use."""
        ...

    async def close(self) -> None: ...
