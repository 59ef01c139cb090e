"""History: what is known over time, in memory, with the store behind it. What loop, CLI and reports ask.

    add(reading) ──▶ per workload: 24 h of readings, and block statistics ──▶ blocks(key, now), readings(key, since)
                                        ▲            │          │
                                     restore         │        flush      (store.py)
                                                     └──▶ what the past comes to (memories.py) ──▶ memory(keys)

A reading holds until the next one, at most `stale_after`: a gap is unobserved, neither zero nor held. A failed look ends
what held. Blocks are 5 min for the last day, then 1 h, up to the retention. Restart loses nothing: after flush and
restore, blocks and readings are what they would be had the process never stopped; `flush` keeps what could not be
written and writes it the next time, as long as it is in memory (readings 24 h, blocks the whole retention).
Of more than memories.MANY workloads less is kept in memory (memories.COARSE): an hour of readings, 2 h of fine blocks, 3.5
days of hours. Of demand the sums know the rest; of others it goes on in blocks of 6 h. The store has hours for the retention.

A block counts in `memory` when it closes; what then becomes of blocks changes it no more. Only after a restart, a change of
a workload's step or maximum, and a clock that was set back it is told from all blocks anew.

Clocks: a reading of the same or an earlier time is left out. Only when readings stay behind for an hour has the clock
been set back: then what lies ahead of it is forgotten in memory (never in the store). A jump ahead by more than a day
neither prunes nor rolls up until it has lasted an hour, so that one wrong minute cannot wipe out a month.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.blocks import HOUR, Series, rebinned, unpack
from controller.memories import Memories, grain_of, recalled
from controller.past import DAY, LASTING, BelievedTime, Past
from controller.rows import Batch, Stored
from controller.samples import Kept, Readings, is_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from controller.blocks import Block
    from controller.memories import Grain
    from controller.model import Blocks, Memory
    from controller.store import Store
    from exporters.reading import Reading

RETENTION: Final = 30 * DAY
_MOST_CACHED: Final = 64
"""Workloads whose dense blocks are kept between two questions. Dense they take ten times the room of packed ones."""
_PER_TURN: Final = 200
"""Workloads whose rows are collected before other tasks get their turn (a few milliseconds)."""
_RECALLED: Final = 64
"""Workloads whose past is gone through together, in a thread: their dense blocks take 30 MB."""
_UNPACKED: Final = 8
"""Of these, how many are unpacked before other tasks get their turn."""


class History:
    """The past of every workload whose history is kept."""

    def __init__(
        self,
        kept: Iterable[Kept] = (),
        *,
        retention: float = RETENTION,
        fine: int = 300,
        grain: Callable[[int], Grain] = grain_of,
    ) -> None:
        """`fine`: seconds of a block of the last day; it divides an hour. `retention`: seconds. `grain`: how finely the past
        of so many workloads is kept.
        """
        if fine % 60 or HOUR % fine:
            raise ValueError(f"blocks of {fine} s do not fill an hour; use 300, 600 or 900")
        self.retention, self.fine = retention, fine
        self._past: dict[str, Past] = {}
        self._grain = grain
        self._memories = Memories(grain(0))
        self._remembering = asyncio.Lock()
        self._leaving: list[Past] = []
        self._time = BelievedTime()
        self._time_restored = False
        self._pruned = -math.inf
        self._cache: OrderedDict[str, tuple[tuple[int, float, float], Blocks | None]] = OrderedDict()
        self._flushing = asyncio.Lock()
        self.keep(kept)

    def keep(self, kept: Iterable[Kept]) -> None:
        """Follow exactly these workloads from now on. Of those that go, the store keeps what it has and what the next
        `flush` brings; of those that come, `restore` brings back what it has.
        """
        wanted = {one.key: one for one in kept}
        self._grow(len(wanted))
        for key in self._past.keys() - wanted.keys():
            self._leaving.append(self._past.pop(key))
            self._cache.pop(key, None)
        for key, one in wanted.items():
            past = self._past.get(key)
            if past is None:
                self._past[key] = Past(one, self.fine, self._memories.grain.readings)
            elif past.kept.resource != one.resource:
                self._past[key] = self._begin_again(past, one)
            elif past.kept != one:
                past.follow(one)

    def _grow(self, count: int) -> None:
        """Keep the past as finely as so many workloads allow. What was kept less finely stays so until it is too old."""
        grain = self._grain(count)
        if grain is self._memories.grain:
            return
        self._memories = Memories(grain)
        for past in self._past.values():
            past.uncounted, past.window.span = None, grain.readings

    def _begin_again(self, before: Past, kept: Kept) -> Past:
        """Use of another resource is followed now: of what was before, only the newest reading still says something."""
        past = Past(kept, self.fine, self._memories.grain.readings)
        past.newest, past.last_good = before.newest, before.last_good
        self._leaving.append(before)
        self._cache.pop(kept.key, None)
        return past

    def add(self, reading: Reading) -> bool:
        """Take in a reading, failed ones too. False where it does not count: its workload is not kept, its time is none,
        or it is not newer than the one before.
        """
        past = self._past.get(reading.key)
        if past is None or not is_time(reading.at):
            return False
        believed = self._time.see(reading.at)
        closed = len(past.series)
        if not past.add(reading):
            return False
        if len(past.series) != closed:
            self._age(past, believed)
        return True

    def _age(self, past: Past, believed: float) -> None:
        """Of demand that is foreseen memory knows what older hours come to; of others (stored data, whose growth is slow)
        they go on in longer blocks.
        """
        grain = self._memories.grain
        hours, all_ = believed - grain.hours, believed - self.retention
        past.age(believed - grain.fine, hours, max(hours, all_) if past.kept.foreseen else all_)

    def blocks(self, key: str, now: float, since: float | None = None) -> Blocks | None:
        """The block statistics of one workload up to `now`, of the retention or from `since` on; None: nothing is known.

        Cheap where nothing changed. The arrays are shared between callers: do not write to them.
        """
        past = self._past.get(key)
        if past is None:
            return None
        first = max(now - self.retention, -math.inf if since is None else since)
        first = first // self.fine * self.fine
        state = (past.version, first, now // self.fine)
        cached = self._cache.get(key)
        if cached is None or cached[0] != state:
            cached = (state, unpack(past.series, past.open, past.quantum, first, now))
            self._cache[key] = cached
            while len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)
        return cached[1]

    def readings(self, key: str, since: float) -> Readings | None:
        """The readings of `since` and later, of the last 24 h at most (of thousands of workloads: of the last hour); None: the
        workload is not kept.
        """
        past = self._past.get(key)
        return None if past is None else past.window.since(since)

    def newest(self, key: str) -> tuple[Reading | None, Reading | None]:
        """The newest reading, and the newest with `up`; after `restore` also those of before the restart."""
        past = self._past.get(key)
        return (None, None) if past is None else (past.newest, past.last_good)

    async def memory(self, keys: Iterable[str]) -> Memory | None:
        """What the past of these workloads comes to, of those whose demand is foreseen; None: of at least one nothing is
        known. It is counted in threads, so that others have their turn; only here, in the loop's, is it changed.
        """
        async with self._remembering:
            await self._remember()
            return await asyncio.to_thread(self._remembered, list(keys))

    def _remembered(self, keys: list[str]) -> Memory | None:
        past = self._past
        return self._memories.of(sorted(key for key in keys if key in past and past[key].kept.foreseen))

    async def _remember(self) -> None:
        """Count what is not counted yet: all blocks of the workloads that are new or changed, or counted what a clock that ran
        ahead left behind; and of the others those that closed.
        """
        memories, foreseen = self._memories, [past for past in self._past.values() if past.kept.foreseen]
        gone, anew = await asyncio.to_thread(_to_do, memories, foreseen, self._time.latest)
        for piece in memories.pieces(gone):
            memories.forget(piece)
            await asyncio.sleep(0)
        for i in range(0, len(anew), _RECALLED):
            await self._recall(memories, anew[i : i + _RECALLED])
        for waiting in await asyncio.to_thread(_pieces, memories, foreseen):
            await _count(memories, waiting)

    async def _recall(self, memories: Memories, pasts: Sequence[Past]) -> None:
        """From all their closed blocks. Those that close meanwhile are counted after; who changes meanwhile is next time's."""
        kept, blocks = [past.kept for past in pasts], []
        with _whole(pasts):
            for i, past in enumerate(pasts, 1):
                past.uncounted = []
                blocks.append(
                    unpack(past.series, None, past.quantum, -math.inf, math.inf) if len(past.series) else None
                )
                if i % _UNPACKED == 0:
                    await asyncio.sleep(0)
            latest = max((float(each.start[-1] + each.span[-1]) for each in blocks if each is not None), default=0.0)
            found = await asyncio.to_thread(recalled, memories.grain, kept, blocks, min(latest, self._time.latest))
            same = [i for i, past in enumerate(pasts) if self._is_current(past)]
            if same:
                memories.put(found.rows(np.array(same)))

    def _is_current(self, past: Past) -> bool:
        return past.uncounted is not None and self._past.get(past.kept.key) is past

    async def restore(self, store: Store, now: float) -> None:
        """Bring back what the store knows of the workloads that were not restored yet. Raises StoreError; then it may be
        called again (`flush` does), and what was added meanwhile stays.
        """
        async with self._flushing:
            await self._restore(store, now)

    @property
    def reach(self) -> float:
        """Seconds of the past that are kept in memory, and so may be completed."""
        return min(self.retention, self._memories.grain.hours)

    def lacks(self, key: str, start: float, end: float) -> bool:
        """Whether of some of this time nothing is known of the workload. False for one that is not kept."""
        past = self._past.get(key)
        return past is not None and past.lacks(start, end)

    async def fill(self, kept: Kept, blocks: Sequence[Block]) -> int:
        """Take in blocks of the past that somebody else saw (backfill.py), where nothing is known; gives their seconds. The
        next `flush` writes them. Those of a workload that is not kept so any more are left out.
        """
        async with self._flushing:
            past = self._past.get(kept.key)
            if past is None or past.kept != kept or not blocks:
                return 0
            filled = past.fill(blocks)
            if filled and self._time.at is not None:
                self._age(past, self._time.at)
            return filled

    async def flush(self, store: Store, now: float) -> None:
        """Write what the store does not have yet, in one transaction, and prune it hourly. Raises StoreError: nothing is
        lost then, call it again at the next interval.
        """
        async with self._flushing:
            await self._restore(store, now)
            await self._write(store, [*self._leaving, *self._past.values()])
            believed = self._time.see(now)
            if abs(believed - self._pruned) >= HOUR:
                await store.prune(believed - DAY, believed - self.retention)
                self._pruned = believed

    async def _restore(self, store: Store, now: float) -> None:
        """Those that leave are written first: one of them may have come back."""
        if self._leaving and store.writes:
            await self._load(store, self._leaving, now)
            await self._write(store, self._leaving)
        await self._load(store, self._past.values(), now)

    async def _load(self, store: Store, pasts: Iterable[Past], now: float) -> None:
        missing = {past.kept.key: past for past in pasts if not past.loaded}
        keys = list(missing)
        if missing and not self._time_restored:
            said = await store.time()
            self._time = self._time if said is None else BelievedTime(said)
            self._time_restored = True
        for i in range(0, len(keys), _PER_TURN):
            found = await store.load(keys[i : i + _PER_TURN])
            for key in keys[i : i + _PER_TURN]:
                stored = found.get(key, Stored())
                if not _all_ahead(stored, now):
                    missing[key].restore(_without_future(stored, now))
            await self._thin([missing[key] for key in keys[i : i + _PER_TURN]], now)

    async def _thin(self, pasts: Sequence[Past], now: float) -> None:
        """Where less is kept in memory than in the store: first remember what the whole comes to."""
        if self._memories.grain.hours >= self.retention:
            return
        async with self._remembering:
            mine = [past for past in pasts if past.kept.foreseen and self._past.get(past.kept.key) is past]
            for i in range(0, len(mine), _RECALLED):
                await self._recall(self._memories, mine[i : i + _RECALLED])
        for past in pasts:
            self._age(past, now if self._time.at is None else self._time.at)

    async def _write(self, store: Store, pasts: list[Past]) -> None:
        batch, marks = Batch(time=self._time.at), []
        for i, past in enumerate(pasts):
            marks.append((past, past.collect(batch)))
            if i % _PER_TURN == _PER_TURN - 1:
                await asyncio.sleep(0)
        await store.write(batch)
        for past, mark in marks:
            past.saved(mark)
        written = {id(past) for past in pasts}
        self._leaving = [past for past in self._leaving if id(past) not in written]


def _to_do(memories: Memories, foreseen: Sequence[Past], latest: float) -> tuple[list[str], list[Past]]:
    """Who is to be forgotten, and who counted anew: new, changed, or ahead of the `latest` that can be."""
    known = {past.kept.key for past in foreseen}
    lost = memories.ahead_of(latest)
    anew = [p for p in foreseen if p.uncounted is None or p.kept.key not in memories or p.kept.key in lost]
    return [key for key in memories if key not in known], anew


def _pieces(memories: Memories, foreseen: Sequence[Past]) -> list[list[Past]]:
    """Those of whom blocks closed, together who is counted together."""
    waiting = {past.kept.key: past for past in foreseen if past.uncounted and past.kept.key in memories}
    return [[waiting[key] for key in piece] for piece in memories.pieces(waiting)]


async def _count(memories: Memories, pasts: Sequence[Past]) -> None:
    """Count the blocks of theirs that closed; those that close meanwhile the next time."""
    pasts = [past for past in pasts if past.uncounted]  # who changed since is counted anew, the next time
    closed = {past.kept.key: (past.quantum, past.uncounted or ()) for past in pasts}
    with _whole(pasts):
        for past in pasts:
            past.uncounted = []
        memories.take(await asyncio.to_thread(memories.counted, closed))


@contextmanager
def _whole(pasts: Sequence[Past]) -> Iterator[None]:
    """What is broken off counts as never begun: nobody knows what of it was counted."""
    try:
        yield
    except BaseException:
        for past in pasts:
            past.uncounted = None
        raise


async def period(store: Store, key: str, since: float, until: float) -> Blocks | None:
    """The block statistics of any period that the store still has; None where it has nothing. For all the sums of a
    block, money by kind and time down included, ask `store.blocks`. Raises StoreError.
    """
    stored = await store.blocks(key, since, until)
    if not stored:
        return None
    resource, quantum, _ = stored[-1]
    series = Series()
    for block in stored:
        if block.resource == resource:
            block.block.levels = rebinned(block.block.levels, block.quantum, quantum)
            series.append(block.block)
    return unpack(series, None, quantum, since, until)


def _all_ahead(stored: Stored, now: float) -> bool:
    """Whether everything lies ahead of `now`: then it is our clock that is not set yet, and the next flush tries again."""
    return bool(stored.blocks) and all(block.block.start * 60 > now + LASTING for block in stored.blocks)


def _without_future(stored: Stored, now: float) -> Stored:
    """Without what a clock that ran ahead left behind. It stays in the store."""
    latest = now + LASTING
    if stored.reading is not None and stored.reading.at > latest:
        stored.reading = stored.last_good = stored.sample = None
    stored.blocks = [block for block in stored.blocks if block.block.start * 60 <= latest]
    stored.readings = [reading for reading in stored.readings if reading[0] <= latest]
    return stored
