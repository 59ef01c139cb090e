"""Time among agents that share no clock: hybrid logical clocks, and versions. Pure; the time of day is an argument.

A hybrid clock (Kulkarni et al., Logical Physical Clocks, 2014) follows the time of day where that moves on, and counts where
it does not: what was caused by a message is always later than it, however wrong the clocks are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Stamp(NamedTuple):
    """When something was written. Later ones are greater; two of one agent are never equal."""

    milliseconds: int
    """Unix time, or later where the clock was behind what had been heard."""
    turn: int
    """Of those within one millisecond."""
    agent: str
    """Who wrote it; decides between equals."""

    def after(self, agent: str) -> Stamp:
        """The next one, by that agent."""
        return Stamp(self.milliseconds, self.turn + 1, agent)


@dataclass(frozen=True, slots=True)
class Hybrid:
    """One agent's clock, before its next stamp."""

    agent: str
    milliseconds: int = 0
    turn: int = -1

    def tick(self, now: float) -> Hybrid:
        """For something written at `now` (Unix seconds)."""
        return self._past(now, None)

    def heard(self, stamp: Stamp, now: float) -> Hybrid:
        """After a message that carried this stamp."""
        return self._past(now, stamp)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.milliseconds, max(0, self.turn), self.agent)

    def _past(self, now: float, stamp: Stamp | None) -> Hybrid:
        seen = (stamp.milliseconds, stamp.turn) if stamp is not None else (0, -1)
        before = max((self.milliseconds, self.turn), seen)
        today = int(now * 1000)
        return Hybrid(self.agent, today, 0) if today > before[0] else Hybrid(self.agent, before[0], before[1] + 1)


Version = Mapping[str, int]
"""Writer -> how many of its writes are known, all of them from the first on."""


class Order(StrEnum):
    """How two versions compare."""

    BEFORE = "before"
    AFTER = "after"
    EQUAL = "equal"
    CONCURRENT = "concurrent"


def compare(one: Version, other: Version) -> Order:
    """Of the first to the second. A writer that is not named is at 0."""
    writers = one.keys() | other.keys()
    less = any(one.get(writer, 0) < other.get(writer, 0) for writer in writers)
    more = any(one.get(writer, 0) > other.get(writer, 0) for writer in writers)
    if less and more:
        return Order.CONCURRENT
    if less:
        return Order.BEFORE
    return Order.AFTER if more else Order.EQUAL


def joined(one: Version, other: Version) -> dict[str, int]:
    """The pointwise greater of both."""
    return {writer: max(one.get(writer, 0), other.get(writer, 0)) for writer in one.keys() | other.keys()}
