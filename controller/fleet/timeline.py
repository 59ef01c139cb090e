"""What went between agents, and how fast: a ring of the newest messages, and figures over them. Pure; times are arguments.

A latency is from the moment in which a message was sent over its last edge to the moment in which it was received, by two
clocks: where they differ by more than it took, it comes out below 0, is counted as that, and is in no quantile.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 10_000
"""Messages that are kept."""
Edge = tuple[str, str]
"""From, to."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One message that arrived."""

    id: str
    kind: str
    origin: str
    via: str
    to: str
    hops: int
    at: float
    """Unix seconds of its receipt."""
    microseconds: float
    """From its sending over this edge; below 0 where clocks differ."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Microseconds, over the messages that are kept; None where there are none."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Over a stretch of time."""

    messages_per_second: float
    megabits_per_second: float


@dataclass(slots=True)
class Timeline:
    """Of one process."""

    most: int = MOST
    total: int = 0
    """Messages since the start."""
    skewed: int = 0
    """Of those the ones that arrived before they were sent, as clocks say."""
    errors: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(from, to, what) -> how often."""
    _ring: deque[Passed] = field(default_factory=deque)
    _apart: float | None = None
    _apart_for: set[str] = field(default_factory=set)
    _took: float | None = None
    _agreed: float | None = None

    def note(self, message: Passed) -> None:
        self.total += 1
        self.skewed += message.microseconds < 0
        self._ring.append(message)
        while len(self._ring) > self.most:
            self._ring.popleft()

    def fail(self, via: str, to: str, what: str) -> None:
        self.errors[via, to, what] += 1

    def agree(self, agreed: bool, now: float, agent: str = "") -> float | None:
        """Note whether all agents know the same, as this one sees it; the seconds that it took where all see again that they do."""
        (self._apart_for.discard if agreed else self._apart_for.add)(agent)
        if self._apart_for:
            self._apart = now if self._apart is None else self._apart
            return None
        if self._apart is None:
            return None
        self._took, self._apart, self._agreed = now - self._apart, None, now
        return self._took

    @property
    def convergence_seconds(self) -> float | None:
        """How long it took last until all knew the same again; None: they never differed."""
        return self._took

    @property
    def apart_since(self) -> float | None:
        """None: all know the same."""
        return self._apart

    @property
    def agreed_since(self) -> float | None:
        """When all knew the same again for the last time; None: they never differed."""
        return self._agreed

    def newest(self, most: int, kind: str | None = None, agent: str | None = None) -> list[Passed]:
        """The newest first."""
        found = (
            each for each in reversed(self._ring) if kind in {None, each.kind} and agent in {None, each.via, each.to}
        )
        return [each for each, _ in zip(found, range(most), strict=False)]

    def latency(self, edge: Edge | None = None) -> Latency:
        """Of one edge, or of all."""
        return latency_of(each.microseconds for each in self._ring if edge in {None, (each.via, each.to)})

    def edges(self) -> list[Edge]:
        return sorted({(each.via, each.to) for each in self._ring})

    def traffic(self, now: float, seconds: float = 60.0) -> Traffic:
        """Over the last so many seconds, or since the oldest message that is kept."""
        recent = [each for each in self._ring if each.at > now - seconds]
        span = seconds if len(recent) < len(self._ring) or not recent else max(now - recent[0].at, 1.0)
        return Traffic(len(recent) / span, sum(each.bytes for each in recent) * 8 / 1e6 / span)


def latency_of(microseconds: Iterable[float]) -> Latency:
    found = sorted(each for each in microseconds if each >= 0)
    return Latency(len(found), *(_quantile(found, part) for part in (0.5, 0.95, 0.99)))


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    """The least value that so many are not above (nearest rank)."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(part * 100) // 100) - 1))]
