"""What an agent keeps: what it knows, and whether that is all that it ever promised. Written before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from controller.fleet.crdt import Delta, Replica


@dataclass(frozen=True, slots=True)
class Saved:
    """What was on the disk."""

    replica: Replica = field(default_factory=Replica)
    start: int = 0
    """Of the agent that wrote it; 0: none ever did."""
    trusted: bool = True
    """Whether it is all that the agent ever promised."""


class Disk(Protocol):
    """One agent's."""

    async def load(self) -> Saved:
        """Raises StoreError."""
        ...

    async def save(self, new: Delta, start: int, *, trusted: bool) -> None:
        """Durable when it returns, all of it or nothing. `new`: what was written since the last one, with its version and floor;
        what belongs to an epoch up to the floor is gone. Raises StoreError.
        """
        ...


class InMemory:
    """A disk for agents whose end is the end of what they know: tests, the demo."""

    def __init__(self) -> None:
        self.saved = Saved(trusted=True)

    async def load(self) -> Saved:
        """A copy: what its agent learns is not saved by that."""
        replica = Replica()
        replica.absorb(self.saved.replica.delta({}))
        return Saved(replica, self.saved.start, self.saved.trusted)

    async def save(self, new: Delta, start: int, *, trusted: bool) -> None:
        self.saved.replica.absorb(new)
        self.saved = Saved(self.saved.replica, start, trusted)
