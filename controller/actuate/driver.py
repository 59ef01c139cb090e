"""What every driver does: the five verbs by which orcha changes one workload, and the errors that they raise.

One driver object serves one workload. Drivers know how to write a setting and how to see that it was taken; whether the
node itself reports the new allocation is read back from the node by the Actuator, and that alone makes a step done.

    DriverError
    ├── Refused      it will not work this way, now or later: the step is taken back (a message of the other side, a right
    │                that is missing, a manual change that is respected, a placeholder that cannot be filled)
    └── NotNow       it may work later: nothing answers, a time-out, a conflict that a second look resolves. Tried again
                     until the protocol's verify_timeout is over

Messages name what is wrong, where, and what would be right, and hold no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from controller.programs import Order


class DriverError(Exception):
    """Base of both; `str()` is the sentence."""


class Refused(DriverError):
    pass


class NotNow(DriverError):
    pass


class Driver(Protocol):
    """Changes the allocation of one workload."""

    name: str
    """As in the manifest and in the label of metrics: dry_run, kubernetes, command, webhook, handout."""
    conclusive: bool
    """Whether `verify` alone can tell that the amounts are in force, where the node cannot say what it has."""
    reversible: bool
    """Whether orcha can take a change back by itself (not so where a person has to sign)."""

    async def check(self) -> tuple[str, ...]:
        """Before any move: sentences on what would keep a change from working or from holding; () where there is
        nothing. Changes nothing, and never raises for what it finds.
        """
        ...

    async def read(self) -> Mapping[str, Any]:
        """What stands there now, as JSON that `undo` understands after a restart. Raises DriverError."""
        ...

    async def apply(self, order: Order) -> None:
        """Bring the amounts about, or begin to. Absolute and idempotent: the same order twice is the same as once.
        Raises Refused, NotNow. Returning says nothing about whether it took effect.
        """
        ...

    async def verify(self, order: Order) -> str | None:
        """What is still missing on the driver's side (a roll-out that is not through, a signature), as a clause; None:
        nothing. Raises DriverError.
        """
        ...

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        """Put back what `read` gave before the change, to the letter where that is possible; `order` has the old amounts.
        Idempotent like `apply`. Raises as it does.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Never raises."""
        ...
