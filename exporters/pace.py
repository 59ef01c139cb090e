"""When a workload is looked at again, and whose turn it is now. No I/O, no clock.

The figures behind it: nodes answer within 0.2 s, APIs deserve between 15 s and 15 min of rest (features.md O6), and a
fleet must not move as a herd (G9).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from exporters.collector import Workload
    from exporters.reading import Reading

JITTER: Final = 0.1
"""Share of the interval by which each one varies."""
FIRST_RETRY: Final = 30.0
"""Seconds until a node that could not be reached is asked again; doubles up to its own interval, or MAX_RETRY."""
MAX_RETRY: Final = 120.0
"""Seconds at most between looks at a failing node whose own interval is shorter."""
MAX_PATIENCE: Final = 21600.0
"""Seconds (6 h) that are waited at most where the other side asks to wait: a node that says a year lies."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a poller may press. Seconds."""

    hang_after: float = 1.0
    """A look that lasts longer counts as hanging, if others wait."""
    spread: float = 0.5
    """Between one batch of first looks (as many as there are workers) and the next, so that a large fleet does not come
    as one burst; 10 000 workloads are all tried within 20 s."""
    seed: int | None = None
    """Of the jitter; None: a different one in each process."""


def next_delay(workload: Workload, reading: Reading, failures: int, chance: float) -> float:
    """Seconds until the next look. `failures` in a row, this one included; `chance` is uniform in [0, 1).

    Answered: the interval. Not reached: 30 s (or the interval, if shorter), doubled with each failure up to the interval
    or 2 min, whichever is longer. Asked to wait: as long as asked, never less than the interval. A refused credential or
    an answer of the wrong shape needs a person: the interval.
    """
    interval = workload.poll_interval
    swing = 1 + JITTER * (2 * chance - 1)
    if failures == 0 or reading.failure in {"unauthorized", "malformed"}:
        return interval * swing
    doubled = 2.0 ** min(failures - 1, 20)
    if reading.failure == "rate_limited":
        wait = max(min(interval * doubled, MAX_PATIENCE), min(reading.retry_after or 0.0, MAX_PATIENCE), interval)
        return wait * (1 + JITTER * chance)
    longest = max(interval, MAX_RETRY)
    return min(min(interval, FIRST_RETRY) * doubled, longest) * (0.75 + 0.5 * chance)


class Width:
    """How many looks at once: few while this process is busy, up to the limit while it only waits for nodes.

    More at once is faster only as long as answers are waited for. On nodes that answer at once 256 looks in flight take
    more CPU each than 32 do (what they touch no longer fits the caches), so it starts with few, and doubles whenever
    less than `BUSY` of the time since the last check went into computing.
    """

    FIRST: Final = 32
    BUSY: Final = 1 / 3
    """Not more, or a machine that others use as well would look like one that waits."""
    EVERY: Final = 0.01
    """Seconds between two checks."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.now = min(limit, self.FIRST)
        self._checked, self._computed = 0.0, 0.0

    def begin(self, at: float, computed: float) -> None:
        """Looks wait for a worker from now on. `at`: seconds on any clock; `computed`: CPU seconds of this thread."""
        self.now = min(self._limit, self.FIRST)
        self._checked, self._computed = at, computed

    def check(self, at: float, computed: float) -> None:
        """They still wait."""
        if computed - self._computed < self.BUSY * (at - self._checked):
            self.now = min(self._limit, 2 * self.now)
        self._checked, self._computed = at, computed


class Waits(Protocol):
    """One that waits for its turn."""

    doubtful: bool
    """Its last look failed or hung."""
    holding: bool
    """Its look runs and counts as one of the doubtful."""


W = TypeVar("W", bound=Waits)


class Lanes(Generic[W]):
    """Two lines that take turns: those that answer, and the doubtful, who may hold at most half of the workers."""

    def __init__(self, workers: int) -> None:
        self.half: Final = max(1, workers // 2)
        self.held = 0
        """Workers that the doubtful hold now."""
        self.ready: deque[W] = deque()
        self.doubtful: deque[W] = deque()
        self._doubtful_had_it = True

    def add(self, one: W) -> None:
        (self.doubtful if one.doubtful else self.ready).append(one)

    def work(self) -> int:
        """How many could be served at once."""
        return len(self.ready) + min(len(self.doubtful), max(0, self.half - self.held))

    def take(self) -> W | None:
        """Who is next; None: nobody who may."""
        may = bool(self.doubtful) and self.held < self.half
        if may and not (self.ready and self._doubtful_had_it):
            self._doubtful_had_it = True
            one = self.doubtful.popleft()
            self.hold(one, held=True)
            return one
        self._doubtful_had_it = False
        return self.ready.popleft() if self.ready else None

    def hold(self, one: W, *, held: bool) -> None:
        """Count it, or no longer count it, as one of the doubtful that hold a worker."""
        self.held += held - one.holding
        one.holding = held
