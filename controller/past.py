"""What is known over time of one workload: its window of readings and its blocks, and how they reach the store and come
back. No I/O; History (history.py) holds one `Past` per workload.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from controller.blocks import HOUR, NAN, Block, Sample, Series, code_of, hold, is_full, quantum_of, rebinned
from controller.rows import Batch, StoredBlock, block_row, newest_row, reading_row
from controller.samples import Kept, Window, sample_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.rows import Stored
    from exporters.reading import Reading

DAY: Final = 86400.0
_MOST_UNCOUNTED: Final = 24
"""Blocks that wait to be counted: two hours of them. Of who has more nobody asks, and it can be told from all blocks."""
LONG: Final = 6 * HOUR
"""Seconds of the longest blocks, in memory only."""
LASTING: Final = 3600.0
"""Seconds for which a jump of the clock must last until it is believed."""


class Mark(NamedTuple):
    """How far a batch got."""

    readings: int
    blocks: int
    rolled: int
    newest: Reading | None
    set_backs: int


class BelievedTime:
    """The time that pruning and rolling up go by: a clock that jumps is believed once that has lasted LASTING."""

    __slots__ = ("_doubted", "_last", "at")

    def __init__(self, at: float | None = None) -> None:
        self.at = at
        self._doubted: float | None = None
        self._last = 0.0

    def see(self, now: float) -> float:
        """What is believed after the clock said `now`."""
        if self.at is None or abs(now - self.at) <= DAY:  # readings of many workloads come a little out of order
            self.at, self._doubted = max(now, self.at or now), None
        elif self._doubted is None or abs(now - self._last) > DAY:
            self._doubted = now
        elif now - self._doubted >= LASTING:
            self.at, self._doubted = now, None
        self._last = now
        return self.at

    @property
    def latest(self) -> float:
        """What is later lies ahead of any time that was believed or is told now, by more than clocks differ."""
        return math.inf if self.at is None else max(self.at, self._last) + LASTING


class Past:
    """What is known over time of one workload."""

    __slots__ = (
        "_behind", "_filled_to", "_set_backs", "fine", "kept", "last", "last_good", "loaded", "newest", "open", "quantum", "rolled",
        "saved_newest", "saved_readings", "saved_to", "series", "uncounted", "version", "window",
    )  # fmt: skip

    def __init__(self, kept: Kept, fine: int, readings: float = DAY) -> None:
        """`fine`: seconds of a block; `readings`: seconds for which they are kept."""
        self.kept, self.fine = kept, fine
        self.quantum = quantum_of(kept.step, kept.max)
        self.window = Window(readings)
        self.series = Series()
        self.open: Block | None = None
        self.last: Sample | None = None
        """The sample that still holds."""
        self.newest: Reading | None = None
        self.last_good: Reading | None = None
        self.loaded = False
        self.version = 0
        """Rises whenever `blocks` would give something else."""
        self.saved_readings, self.saved_to = 0, 0
        self.saved_newest: Reading | None = None
        self.rolled: list[int] = []
        """Hours that were rolled up since the last flush, by their starts."""
        self.uncounted: list[Block] | None = None
        """Blocks that closed since what the past comes to (memories.py) was last counted; None: count it from all blocks."""
        self._behind: float | None = None
        self._filled_to = 0.0
        """Unix seconds up to which somebody else's blocks tell what the last sample would."""
        self._set_backs = 0

    def follow(self, kept: Kept) -> None:
        """The owner changed the manifest, but not the resource: re-bin the levels."""
        quantum = quantum_of(kept.step, kept.max)
        if (kept.step, kept.max) != (self.kept.step, self.kept.max):
            self.uncounted = None
        if quantum != self.quantum:
            self.series.rebin(self.quantum, quantum)
            if self.open is not None:
                self.open.levels = rebinned(self.open.levels, self.quantum, quantum)
        self.kept, self.quantum = kept, quantum
        self.version += 1

    def add(self, reading: Reading) -> bool:
        """False where the reading does not count: the same or an earlier time than the one before."""
        sample = sample_of(self.kept, reading)
        if self.last is not None and sample.at <= self.last.at and not self._set_back(sample.at):
            return False
        if self.last is not None:
            self._close(self.last, sample)
            self._end(sample.at)
        self._behind = None
        self.last = sample
        self.window.append(sample)
        self.newest = reading
        if reading.up:
            self.last_good = reading
        return True

    def _set_back(self, at: float) -> bool:
        """Whether the clock really went back: readings have stayed behind for long enough. Then forget what lies ahead."""
        if self.last is None or at == self.last.at:
            return False
        if self._behind is None or at < self._behind:
            self._behind = at
        if at - self._behind < LASTING:
            return False
        self.series.drop_from(at)
        self.window.drop_from(at)
        self.open = self.last = self.uncounted = None
        self._filled_to = min(self._filled_to, at)
        self.saved_to = min(self.saved_to, int(at) // 60)
        self._set_backs += 1
        self.version += 1
        return True

    def _close(self, last: Sample, following: Sample) -> None:
        """Sum up the time for which `last` held."""
        until = min(following.at, last.at + self.kept.stale_after)
        growth = self._growth(last, following)
        code = code_of(last, self.quantum, self.kept.step)
        at = max(last.at, self._filled_to)
        while at < until:
            block = self._block_at(at)
            end = min(until, block.start * 60.0 + block.span)
            hold(block, last, (end - at) / HOUR, code, growth)
            at = end
        self.version += 1

    def _growth(self, last: Sample, following: Sample) -> float:
        """Units per hour by which use rose from one sample to the next; NaN where there was no room, or a gap."""
        seconds = following.at - last.at
        if (
            seconds > self.kept.stale_after
            or math.isnan(last.allocated)
            or is_full(last.used, last.allocated, self.kept.step)
        ):
            return NAN
        return (following.used - last.used) / seconds * HOUR

    def _block_at(self, at: float) -> Block:
        start = int(at // self.fine) * self.fine // 60
        if self.open is None or self.open.start != start:
            if self.open is not None:
                self._closed(self.open)
            self.open = Block(start, self.fine)
        return self.open

    def _end(self, at: float) -> None:
        """Once a reading of its end or later is there, nothing more comes into a block."""
        if self.open is not None and self.open.start * 60 + self.open.span <= at:
            self._closed(self.open)
            self.open = None

    def _closed(self, block: Block) -> None:
        self.series.append(block)
        if self.uncounted is not None:
            self.uncounted.append(block)
            if len(self.uncounted) > _MOST_UNCOUNTED:
                self.uncounted = None

    def age(self, fine_since: float, hours_since: float, since: float) -> None:
        """Make hours of what is older than the first time, blocks of LONG of what is older than the second, forget the rest."""
        self.rolled += self.series.roll(fine_since)
        self.series.drop_before(since)
        self.series.roll(hours_since, LONG)
        if self.open is not None and self.open.start * 60 + self.fine <= since:
            self.open = None
        self.version += 1

    def lacks(self, start: float, end: float) -> bool:
        """Whether of some of this time nothing is known, not even that it was down."""
        known, starts = 0.0, self.series.starts
        for i in range(bisect_left(starts, max(0, int(start - LONG)) // 60), bisect_left(starts, int(end) // 60)):
            known += max(0.0, min(starts[i] * 60 + self.series.spans[i], end) - max(starts[i] * 60, start))
        if self.open is not None:
            known += max(0.0, min(self.open.start * 60 + self.open.span, end) - max(self.open.start * 60, start))
        return known < end - start

    def fill(self, blocks: Sequence[Block]) -> int:
        """Put blocks of the past where nothing is known; what is known stays as it is. Gives their seconds."""
        known = [*self.series.since(0), *([] if self.open is None else [self.open])]
        taken = {slot for each in known for slot in self._slots(each)}
        free = [each for each in blocks if taken.isdisjoint(self._slots(each))]
        if not free:
            return 0
        merged = sorted([*known, *free], key=attrgetter("start"))
        if self.open is not None and merged[-1] is self.open:
            merged.pop()
        elif self.open is not None:  # what held then ended long ago
            self.open = self.last = None
        self.series.put(0, len(self.series), merged)
        self._filled_to = max(self._filled_to, *(each.start * 60.0 + each.span for each in free))
        self.rolled += [each.start for each in free if each.span == HOUR]
        self.saved_to = min([self.saved_to, *(each.start for each in free if each.span != HOUR)])
        self.saved_newest = self.uncounted = None
        self.version += 1
        return sum(each.span for each in free)

    def _slots(self, block: Block) -> range:
        """The starts of the fine blocks that it stands for."""
        return range(block.start, block.start + block.span // 60, self.fine // 60)

    # towards the store

    def collect(self, batch: Batch) -> Mark:
        """Add what the store does not have yet. Gives the mark for `saved`."""
        key = self.kept.key
        until = self.open.start if self.open else max(self.saved_to, self.series.end)
        mark = Mark(self.window.appended, until, len(self.rolled), self.newest, self._set_backs)
        new = self.window.since(0.0, self.saved_readings)
        columns = (new.at.tolist(), new.up.tolist(), new.allocated.tolist(), new.used.tolist(), new.net.tolist())
        batch.readings += [reading_row(key, *row) for row in zip(*columns, strict=True)]
        if self.newest is not None and self.newest is self.saved_newest:
            return mark  # before the first reading there may be blocks that somebody else saw (fill)
        hours = self.series.hours_at(sorted(set(self.rolled)))
        since = [block for block in self.series.since(self.saved_to) if block.span < LONG]  # it has their hours
        changed = hours + since + ([self.open] if self.open else [])
        batch.blocks += [block_row(key, StoredBlock(self.kept.resource, self.quantum, block)) for block in changed]
        batch.rolled += [{"key": key, "start": block.start} for block in hours]
        if self.newest is not None and self.last is not None:
            batch.newest.append(newest_row(key, self.newest, self.last_good, self.kept.resource, self.last.figures))
        return mark

    def saved(self, mark: Mark) -> None:
        self.saved_readings, self.saved_newest = mark.readings, mark.newest
        if mark.set_backs == self._set_backs:
            self.saved_to = mark.blocks
        del self.rolled[: mark.rolled]

    def restore(self, stored: Stored) -> None:
        """Put what the store knows under what came in since the start."""
        fresh = self.last is None
        self.loaded, self.uncounted = True, None
        if self.newest is None:
            self.newest, self.last_good, self.saved_newest = stored.reading, stored.last_good, stored.reading
        elif self.last_good is None:
            self.last_good = stored.last_good
        known = [
            self._rebinned(block, quantum)
            for resource, quantum, block in stored.blocks
            if resource == self.kept.resource
        ]
        self._put_under(known)
        if fresh and stored.resource == self.kept.resource and stored.sample is not None:
            self.last = Sample.of_figures(stored.sample)
            self.saved_to = self.open.start if self.open else 0
        if self.last is not None:
            self._end(self.last.at)
        self._restore_window(stored)
        self.version += 1

    def _rebinned(self, block: Block, quantum: float) -> Block:
        block.levels = rebinned(block.levels, quantum, self.quantum)
        return block

    def _put_under(self, known: list[Block]) -> None:
        """Blocks of the store go under those that began since; one that both have is added up."""
        mine = self.series.since(0) + ([self.open] if self.open else [])
        merged = {(block.start, block.span): block for block in known}
        for block in mine:
            before = merged.get((block.start, block.span))
            if before is None:
                merged[block.start, block.span] = block
            else:
                before.absorb(block)
        blocks = [merged[place] for place in sorted(merged)]
        self.open = blocks.pop() if blocks and blocks[-1].span == self.fine else None
        self.series.put(0, len(self.series), blocks)

    def _restore_window(self, stored: Stored) -> None:
        window = Window(self.window.span)
        came = self.window.since(0.0)
        last = stored.readings[-1][0] if stored.readings else 0.0
        for at, up, allocated, used, net in stored.readings:
            if at >= last - window.span and (not len(came.at) or at < came.at[0]):
                window.append(Sample(at, up, allocated, used, net))
        unsaved = window.appended
        for at, up, allocated, used, net in zip(came.at, came.up, came.allocated, came.used, came.net, strict=True):
            window.append(Sample(float(at), bool(up), float(allocated), float(used), float(net)))
        self.window, self.saved_readings = window, unsaved
