"""How long a step waits for its node, how often that is looked at, and whose time it is that passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporters.clock import Clock

FIRST_LOOK: Final = 0.25
"""Seconds until a node is asked again, and, going back, until it is asked first; then twice as long each time,"""
LOOKS: Final = 40
"""until it is asked so many times within the protocol's verify_timeout,"""
LONGEST_PAUSE: Final = 30.0
"""and at least every so many seconds."""


@dataclass(slots=True)
class Watch:
    """How long a step has waited for its node, and for how long the node has not answered."""

    clock: Clock
    patience: float
    first: float = FIRST_LOOK
    """Seconds until the first look: none on the way there, for what is new is news; going back, the old value is not."""
    waited: float = 0.0
    lost: float = 0.0
    _next: float = field(init=False)
    _counted: float = 0.0
    """Until when time was counted, on the clock's own count."""

    def __post_init__(self) -> None:
        self._counted, self._next = self.clock.monotonic(), self.first

    def leave_out(self, seconds: float) -> None:
        """So much of what passed since is nobody's fault: the policy was paused."""
        self._counted += seconds

    async def pause(self, counts: bool) -> None:
        """Until the next look. `counts`: the time is the change's, and not that of a node which does not answer."""
        await self.clock.sleep(self._next)
        now = self.clock.monotonic()
        passed, self._counted = now - self._counted, now
        if counts:
            self.waited, self.lost = self.waited + passed, 0.0
        else:
            self.lost += passed
        self._next = min(max(2 * self._next, FIRST_LOOK), LONGEST_PAUSE, max(FIRST_LOOK, self.patience / LOOKS))
