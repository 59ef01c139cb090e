"""Polls every workload when it is due, and delays none for the sake of another.

Comes in: workloads, their protocols' modules, one session. Goes out: Readings, priced and tracked, in `newest` and
`last_good`, to `on_reading`, and to what is exposed as metrics.

One heap of due times and a few workers (crew.py), no task per workload; benchmarks/bench_polling.py says what a look
costs beside a bare GET. Looks that fail or hang may hold at most half of the workers: a workload whose last look failed
waits in a line of its own, and a look that hangs while others wait is called off and begun again from that line, with
its whole time. Due times are monotonic: a wall clock that is set back delays nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
import random
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
import structlog

from exporters import collector as collecting
from exporters.crew import Crew
from exporters.pace import Pace, next_delay
from exporters.reading import Connection, Reading
from exporters.track import Track, begin, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exporters.clock import Clock
    from exporters.collector import Collector, Payloads, Workload
    from exporters.session import Session

WORKERS: Final = 256
CLOSING: Final = 2.0
"""Seconds that hanging looks may take to be called off."""

log = structlog.get_logger("orcha.poller")


class Publishes(Protocol):
    """Whom the poller tells what is to be seen of each workload; metrics.Exposition is one."""

    def expect(self, workload: Workload) -> None: ...
    def update(self, reading: Reading) -> None: ...
    def observe_poll(self, workload: Workload, seconds: float, failure: str | None) -> None: ...
    def expire(self, key: str) -> None: ...
    def remove(self, key: str) -> None: ...


def open_client() -> aiohttp.ClientSession:
    """The aiohttp session that suits a Poller; its owner closes it.

    No limit of connections: the workers are the limit, and one in the connector would let hanging nodes hold it. No
    cookies: nodes must not see each other's. No timeout: `collector.look` bounds the whole look.
    """
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30.0)
    none = aiohttp.ClientTimeout(total=None, sock_connect=None)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=none)


@dataclass(eq=False, slots=True)
class _Batch:
    """The looks that one call of `collect_due` began."""

    left: int
    done: asyncio.Event


@dataclass(eq=False, slots=True)
class _Entry:
    """One workload and all that is known of it."""

    workload: Workload
    collector: Collector
    track: Track
    ticket: int = 0
    """Of its newest item in the heap; older ones are void. 0: it has none, and gets one when it is no longer busy."""
    busy: bool = False
    """It waits for a worker or has one."""
    failures: int = 0
    doubtful: bool = False
    holding: bool = False
    began: float = -1.0
    """Monotonic begin of the look that a worker has in hand."""
    recorded: float = -1.0
    """Monotonic begin of the newest look that was recorded."""
    good_at: float | None = None
    """Monotonic end of the newest look that gave a reading, until that is stale."""
    watched: bool = False
    """It has an item in the heap of readings that grow stale."""
    previous: Payloads | None = None
    batch: _Batch | None = None
    tried: bool = False
    gone: bool = False
    """It is no longer to be looked at; what a look of it still finds is nobody's."""


class Poller:
    """Looks at what is due and knows what it saw. One per process; all in one event loop."""

    def __init__(  # noqa: PLR0913 all that it is wired to, each by its name
        self,
        workloads: Iterable[Workload],
        collectors: Mapping[str, Collector],
        session: Session,
        clock: Clock,
        *,
        price: Callable[[Reading], Reading] = lambda reading: reading,
        workers: int = WORKERS,
        on_reading: Callable[[Reading], None] = lambda _: None,
        exposition: Publishes | None = None,
        pace: Pace = Pace(),  # noqa: B008 frozen
    ) -> None:
        """`price` fills in USD; `on_reading` gets every finished Reading once, failed ones too, and must not wait."""
        self._collectors, self._session, self._clock = collectors, session, clock
        self._price, self._on_reading, self._exposition = price, on_reading, exposition
        self._limit, self._pace = max(2, workers), pace
        self._chance = random.Random(pace.seed).random
        self._crew: Crew[_Entry] = Crew(
            self._limit, pace.hang_after, clock.monotonic,
            serve=self._look_at, stays=_stays, leave=self._let_go,
        )  # fmt: skip
        self._entries: dict[str, _Entry] = {}
        self._untried = 0
        self._newest: dict[str, Reading] = {}
        self._last_good: dict[str, Reading] = {}
        self._due: list[tuple[float, int, _Entry]] = []
        self._stale: list[tuple[float, int, _Entry]] = []
        self._tickets = itertools.count(1)
        self._closed = False
        self.newest: Mapping[str, Reading] = MappingProxyType(self._newest)
        """Key -> the newest Reading, up or not. A workload that was never tried has none."""
        self.last_good: Mapping[str, Reading] = MappingProxyType(self._last_good)
        """Key -> the newest Reading with `up`, however old."""
        self.replace(workloads)

    @property
    def tried_all(self) -> bool:
        """Every workload was looked at once, well or not."""
        return self._untried == 0

    @property
    def workloads(self) -> tuple[Workload, ...]:
        return tuple(entry.workload for entry in self._entries.values())

    def track(self, key: str) -> Track:
        """What the looks at one workload add up to. Raises KeyError."""
        return self._entries[key].track

    def seconds_to_next(self) -> float:
        """Until the next look is due; infinite where there is nothing to look at."""
        return max(0.0, self._due[0][0] - self._clock.monotonic()) if self._due else float("inf")

    def replace(self, workloads: Iterable[Workload]) -> None:
        """Poll these from now on. What is known of those that ask the same source as before is kept."""
        before, self._entries = self._entries, {}
        now, new = self._clock.monotonic(), 0
        for workload in sorted(workloads, key=lambda each: each.key):
            old = before.get(workload.key)
            if old is not None and _asks_the_same(old.workload, workload):
                del before[workload.key]
                self._entries[workload.key] = self._kept(old, workload)
            else:
                entry = _Entry(workload, self._collectors[workload.protocol], begin(workload))
                self._entries[workload.key] = entry
                self._schedule(entry, now + self._pace.spread * (new // self._limit))
                new += 1
        for entry in before.values():
            self._forget(entry)
        for workload in self.workloads:
            if self._exposition is not None:
                self._exposition.expect(workload)
        self._untried = sum(not entry.tried for entry in self._entries.values())

    async def collect_due(self, patience: float = 0.0) -> None:
        """Start every look that is due and wait at most `patience` seconds for those. Never raises for a node's sake."""
        now = self._clock.monotonic()
        self._expire(now)
        batch = _Batch(0, asyncio.Event())
        while self._due and self._due[0][0] <= now:
            _, ticket, entry = heapq.heappop(self._due)
            if ticket != entry.ticket or self._closed:
                continue
            if entry.busy:
                entry.ticket = 0
                continue
            entry.busy, entry.batch, entry.ticket = True, batch, 0
            batch.left += 1
            self._crew.add(entry)
        self._crew.set_to_work()
        if not batch.left or patience <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(patience):
                await batch.done.wait()
        except TimeoutError:
            log.debug("some looks take longer", looks=batch.left)

    async def run(self, *, longest: float = 1.0) -> None:
        """Collect whatever is due until cancelled; looks at the clock at least every `longest` seconds."""
        while True:
            await self.collect_due()
            await self._clock.sleep(min(max(self.seconds_to_next(), 0.02), longest))

    async def read_back(self, key: str) -> Reading:
        """One fresh look at once: never cached, and it waits for no worker. Raises KeyError for an unknown workload.

        A look that began earlier and still runs is not recorded after it.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise KeyError(f"there is no workload {key!r}")
        return await self._look_at(entry)

    async def reprice(self) -> None:
        """Put today's prices on the readings that are served, so that they need not wait for the next look."""
        for count, key in enumerate(list(self._last_good)):
            reading = self._last_good.get(key)
            if reading is None:
                continue
            self._last_good[key] = priced = self._priced(reading)
            if self._newest.get(key) is reading:
                self._newest[key] = priced
                if self._exposition is not None and self._entries[key].good_at is not None:
                    self._exposition.update(priced)
            if count % 100 == 99:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Call off every look; at most 2 s, whatever hangs. The session is its owner's to close."""
        self._closed = True
        await self._crew.close(CLOSING)

    def _kept(self, entry: _Entry, workload: Workload) -> _Entry:
        if workload.poll_interval != entry.workload.poll_interval and not entry.busy:
            self._schedule(entry, self._clock.monotonic() + workload.poll_interval * self._chance())
        fresh = begin(workload)
        entry.track = entry.track._replace(stale_after=fresh.stale_after, first_wait=fresh.first_wait)
        entry.workload = workload
        return entry

    def _forget(self, entry: _Entry) -> None:
        entry.gone, entry.ticket = True, 0
        key = entry.workload.key
        self._newest.pop(key, None)
        self._last_good.pop(key, None)
        if self._exposition is not None:
            self._exposition.remove(key)
        self._crew.call_off(entry)

    def _schedule(self, entry: _Entry, at: float) -> None:
        entry.ticket = next(self._tickets)
        heapq.heappush(self._due, (at, entry.ticket, entry))

    def _let_go(self, entry: _Entry) -> None:
        """A worker is done with it."""
        entry.busy = False
        if entry.ticket == 0 and not entry.gone:
            self._schedule(entry, self._clock.monotonic() + entry.workload.poll_interval)
        batch, entry.batch = entry.batch, None
        if batch is not None:
            batch.left -= 1
            if batch.left == 0:
                batch.done.set()

    async def _look_at(self, entry: _Entry) -> Reading:
        began = self._clock.monotonic()
        now = self._clock.time()
        reading, kept = await collecting.look(entry.collector, self._session, entry.workload, now, entry.previous)
        ended = self._clock.monotonic()
        if entry.gone or began < entry.recorded:
            return reading
        if reading.up:
            reading = self._priced(reading)
        entry.recorded, entry.previous = began, kept
        reading = self._record(entry, reading, ended)
        delay = next_delay(entry.workload, reading, entry.failures, self._chance())
        self._schedule(entry, began + delay if reading.up else ended + delay)
        self._tell(entry, reading, ended - began)
        return reading

    def _priced(self, reading: Reading) -> Reading:
        try:
            return self._price(reading)
        except Exception:
            log.exception("a reading could not be priced", workload=reading.key)
            return reading

    def _record(self, entry: _Entry, reading: Reading, now: float) -> Reading:
        if not entry.tried:
            entry.tried = True
            self._untried -= 1
        key = entry.workload.key
        before = self._newest.get(key)
        entry.track, reading = follow(entry.track, reading)
        self._newest[key] = reading
        if reading.up:
            self._last_good[key] = reading
            entry.failures, entry.doubtful, entry.good_at = 0, False, now
            if not entry.watched:
                self._watch(entry, now)
        else:
            entry.failures += 1
            entry.doubtful = True
        _say(before, reading)
        return reading

    def _tell(self, entry: _Entry, reading: Reading, seconds: float) -> None:
        try:
            if self._exposition is not None:
                self._exposition.observe_poll(entry.workload, seconds, reading.failure)
                self._exposition.update(reading)
            self._on_reading(reading)
        except Exception:
            log.exception("a reading could not be passed on", workload=reading.key)

    def _watch(self, entry: _Entry, good_at: float) -> None:
        entry.watched = True
        heapq.heappush(self._stale, (good_at + entry.workload.stale_after, next(self._tickets), entry))

    def _expire(self, now: float) -> None:
        """Figures older than `stale_after` are no longer served."""
        while self._stale and self._stale[0][0] <= now:
            entry = heapq.heappop(self._stale)[2]
            entry.watched = False
            if entry.good_at is None or entry.gone:
                continue
            if entry.good_at + entry.workload.stale_after > now:
                self._watch(entry, entry.good_at)
                continue
            entry.good_at = None
            self._let_expire(entry.workload.key)

    def _let_expire(self, key: str) -> None:
        newest = self._newest[key]
        if not newest.up:
            self._newest[key] = newest = dataclasses.replace(newest, connection=Connection.FAILED)
        if self._exposition is not None:
            self._exposition.update(newest)
            self._exposition.expire(key)


def _stays(entry: _Entry) -> bool:
    return not entry.gone


def _asks_the_same(old: Workload, new: Workload) -> bool:
    """Whether what is known from the one holds for the other: allocation, actuator, intervals, power may differ."""
    parts = ("protocol", "endpoint", "credentials", "options", "mapping", "valuation")
    return all(getattr(old.spec, part) == getattr(new.spec, part) for part in parts)


def _say(before: Reading | None, now: Reading) -> None:
    """One line when a node is lost or comes back, none for every look."""
    if now.up:
        if before is not None and not before.up:
            log.info("workload answers again", workload=now.key)
    elif before is None or before.up or before.failure != now.failure:
        log.warning("workload not read", workload=now.key, reason=now.failure, why=now.failure_message)
