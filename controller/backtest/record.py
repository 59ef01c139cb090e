"""What a controller would have kept of what the nodes of a case showed: readings, blocks, memory. It never sees demand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.blocks import FULL_WITHIN
from controller.estimate.memory import CELLS, Seen, after, merged, nothing
from controller.estimate.recall import joined
from controller.model import Blocks
from exporters.reading import Native, Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.case import Case
    from controller.model import F64, Memory

HOURS: Final = 14 * 24
"""Hours of the past that are kept as blocks of an hour."""
FINE: Final = 24 * 12


class Beside:
    """The memory of several cases, one below the other: of many at once it costs little more than of one."""

    def __init__(self) -> None:
        self.memory = nothing([], [], [])
        self._closed: list[tuple[NDArray[np.intp], Seen]] = []

    def add(self, memory: Memory) -> slice:
        """Which rows it has."""
        first = len(self.memory.keys)
        self.memory = joined([self.memory, memory]) if first else memory
        return slice(first, len(self.memory.keys))

    def take(self, who: NDArray[np.intp], seen: Seen) -> None:
        """A block of these rows closed."""
        self._closed.append((who, seen))

    def close(self) -> None:
        """Remember all that closed since."""
        if not self._closed:
            return
        rows, blocks = zip(*self._closed, strict=True)
        who, seen = rows[0], blocks[0]
        if len(blocks) > 1:
            who = np.concatenate(rows)
            seen = Seen(*(np.concatenate([getattr(each, name) for each in blocks]) for name in Seen.__slots__))
        part = self.memory if len(who) == len(self.memory.keys) else self.memory.rows(who)
        self.memory = merged(self.memory, who, after(part, seen))
        self._closed = []


class Record:
    """One case's past, as far as it was shown."""

    def __init__(self, case: Case, block: float, beside: Beside | None = None) -> None:
        """`beside`: with the memory of others, who tells it when to `close`."""
        self.case, self.block = case, block
        self.tick_hours = case.truth.hours
        bounds = [w.allocation for w in case.workloads]
        steps = [b.step if b else 1.0 for b in bounds]
        self.steps = np.array(steps)
        own = nothing([w.key for w in case.workloads], steps, [b.max if b else 1.0 for b in bounds])
        self._alone, self._beside = beside is None, beside or Beside()
        self.rows = self._beside.add(own)
        """Which of the memory are its own."""
        self.quantum = own.quantum
        self.levels = np.arange(CELLS + 1) * own.quantum[:, None]
        self.resource = [b.resource if b else "" for b in bounds]
        self.names = [w.key.partition("/")[2] for w in case.workloads]
        self.told = np.isfinite(case.truth.value)
        self.worth = np.where(self.told, case.truth.value, 0.0)
        self.who = np.arange(len(bounds))
        count = len(bounds)
        self._start = case.truth.start
        self._open = _Open(count)
        self._opened = case.truth.start
        self._until = case.truth.start
        self._log = _Log(count)
        self._last: list[Reading | None] = [None] * count
        self._good: list[Reading | None] = [None] * count

    @property
    def memory(self) -> Memory:
        return self._beside.memory if self._alone else self._beside.memory.rows(self.rows)

    def add(self, first: int, held: F64, used: F64, answering: NDArray[np.bool_]) -> None:
        """Ticks from `first` on: what was held (W,), used and answering (n, W)."""
        n, hours = len(used), self.tick_hours
        value = self.worth[first : first + n]
        there = answering & self.told[first : first + n]
        rate = np.where(there, value * used, 0.0)
        full = used >= held - np.minimum(FULL_WITHIN * held, self.steps)
        level = np.where(full, np.maximum(held, used), used)
        cell = np.minimum(level / self.quantum + 0.5, CELLS).astype(np.intp)
        kind = np.where(there, full, 2).astype(np.intp)
        np.add.at(self._open.held, (kind, self.who, cell), hours)
        self._open.hours += there.sum(axis=0) * hours
        self._open.usd += rate.sum(axis=0) * hours
        self._open.units += np.where(there, used, 0.0).sum(axis=0) * hours
        self._grow(used, there, there & ~full)
        self._now(first + n - 1, held, used[-1], there[-1], rate[-1])
        self._until = self._start + (first + n) * self.case.truth.tick
        if self._until - self._opened >= self.block - 1e-6:
            self._close()

    def _grow(self, used: F64, there: NDArray[np.bool_], roomy: NDArray[np.bool_]) -> None:
        """How much use rose from one tick to the next, while there was room."""
        o = self._open
        before = np.concatenate([o.last[None], used[:-1]])
        room = np.concatenate([o.room[None], roomy[:-1]]) & there
        o.room_hours += room.sum(axis=0) * self.tick_hours
        o.growth += np.where(room, used - before, 0.0).sum(axis=0)
        o.last, o.room = used[-1], roomy[-1]
        begins = np.isnan(o.used_first)
        if begins.any():
            o.used_first = np.where(begins & there.any(axis=0), used[there.argmax(axis=0), self.who], o.used_first)
        o.used_last = np.where(there[-1], used[-1], o.used_last)

    def _now(self, tick: int, held: F64, used: F64, there: NDArray[np.bool_], rate: F64) -> None:
        at = self._start + (tick + 1) * self.case.truth.tick
        told = zip(
            self.case.workloads, self.names, self.resource, held.tolist(), used.tolist(), rate.tolist(), strict=True
        )
        for i, (w, name, resource, has, use, usd) in enumerate(told):
            if not there[i]:
                self._last[i] = Reading(w.node, name, w.protocol, at, up=False, failure="unreachable")
                continue
            amounts = {resource: use}
            self._last[i] = self._good[i] = Reading(
                w.node, name, w.protocol, at, healthy=True, native=Native({"USD": usd}), rate_usd_per_hour=usd,
                net_usd_per_hour=usd, allocated={resource: has}, used=amounts,
                irreversible=amounts if w.traits.irreversible else {},
            )  # fmt: skip

    def _close(self) -> None:
        o, count = self._open, len(self.steps)
        span = self._until - self._opened
        seen = np.flatnonzero(o.hours > 0)
        if len(seen):
            money = np.stack([o.usd, o.units, np.zeros(count), np.zeros(count)], axis=1)
            block = Seen(
                np.full(len(seen), self._opened), np.full(len(seen), span), o.exact[seen], o.censored[seen],
                o.hours[seen], money[seen],
            )  # fmt: skip
            self._beside.take(self.rows.start + seen, block)
            if self._alone:
                self._beside.close()
        self._log.append(self._opened, span, o)
        self._open = _Open(count, o)
        self._opened = self._until

    def given(self, index: int, amount: float) -> None:
        """What the journal knows before the node says so: a workload that is away for its move holds what it was given."""
        good = self._good[index]
        if good is not None:
            self._good[index] = replace(good, allocated={self.resource[index]: amount})
        newest = self._last[index]
        if newest is not None and newest.up:
            self._last[index] = self._good[index]

    def readings(self, _now: float) -> tuple[list[Reading | None], list[Reading | None]]:
        """(newest, newest good) of each workload."""
        return self._last, self._good

    def blocks(self) -> list[Blocks | None]:
        return self._log.blocks(self.levels)


class _Open:
    """The block that is not closed yet, of all workloads."""

    def __init__(self, count: int, before: _Open | None = None) -> None:
        self.held = np.zeros((3, count, CELLS + 1))
        """Hours at each cell: with room left, with none, and nothing."""
        self.exact, self.censored = self.held[:2]
        self.hours, self.usd, self.units, self.room_hours, self.growth = np.zeros((5, count))
        self.used_first, self.used_last = np.full((2, count), np.nan)
        self.last: F64 = before.last if before else np.full(count, np.nan)
        self.room: NDArray[np.bool_] = before.room if before else np.zeros(count, dtype=bool)


_FIGURES: Final = ("hours", "usd", "units", "room_hours", "growth")


class _Log:
    """Closed blocks: the last day in the finest, what is older by the hour, for as long as HOURS."""

    def __init__(self, count: int) -> None:
        room = HOURS + FINE + 64
        self.start, self.span = np.zeros((2, 2 * room))
        self.figures = np.zeros((2 * room, count, len(_FIGURES)))
        self.ends = np.full((2 * room, count, 2), np.nan)
        self.used = np.full((2 * room, count), np.nan)
        self.exact, self.censored = np.zeros((2, 2 * room, count, CELLS + 1), dtype=np.float32)
        self._arrays = (self.start, self.span, self.figures, self.ends, self.used, self.exact, self.censored)
        self.first = self.count = 0
        """The blocks are first..count - 1."""
        self.fine = 0
        """From here on they are fine."""

    def append(self, start: float, span: float, block: _Open) -> None:
        if self.count == len(self.start):
            self._compact()
        i = self.count
        self.start[i], self.span[i] = start, span
        for k, name in enumerate(_FIGURES):
            self.figures[i, :, k] = getattr(block, name)
        self.ends[i, :, 0], self.ends[i, :, 1] = block.used_first, block.used_last
        self.exact[i], self.censored[i] = block.exact, block.censored
        self._use(i)
        self.count += 1
        self._roll(start + span - 86400.0)

    def _use(self, i: int) -> None:
        """Its mean use."""
        hours, _, units = self.figures[i, :, :3].T
        self.used[i] = np.nan
        np.divide(units, hours, out=self.used[i], where=hours > 0)

    def _roll(self, before: float) -> None:
        """One block of the oldest hour of fine ones, once it is a day old."""
        hour = np.floor(self.start[self.fine] / 3600.0) * 3600.0
        if hour + 3600.0 > before:
            return
        j = self.fine + int(np.searchsorted(self.start[self.fine : self.count], hour + 3600.0))
        i, kept = self.fine, j - 1
        self.figures[kept] = self.figures[i:j].sum(axis=0)
        ends = self.ends[i:j]
        known = np.isfinite(ends)
        places = known.argmax(axis=0)[:, 0], (j - i - 1 - known[::-1].argmax(axis=0))[:, 1]
        who = np.arange(ends.shape[1])
        self.ends[kept] = np.stack([ends[places[0], who, 0], ends[places[1], who, 1]], axis=1)
        self.exact[kept], self.censored[kept] = self.exact[i:j].sum(axis=0), self.censored[i:j].sum(axis=0)
        self._use(kept)
        begins = self.start[i]
        self.start[kept], self.span[kept] = begins, self.start[j] - begins
        self._shift(i, kept)
        self.fine += 1
        if self.fine - self.first > HOURS:
            self.first += 1

    def _shift(self, i: int, kept: int) -> None:
        """Move the older blocks up against the one that was made of an hour's."""
        if kept == i:
            return
        by = kept - i
        for array in self._arrays:
            array[self.first + by : i + by] = array[self.first : i].copy()
        self.first += by
        self.fine += by

    def _compact(self) -> None:
        n = self.count - self.first
        for array in self._arrays:
            array[:n] = array[self.first : self.count].copy()
        self.fine -= self.first
        self.first, self.count = 0, n

    def blocks(self, levels: F64) -> list[Blocks | None]:
        """Views, good until the next block closes. `levels`: (W, CELLS + 1) base units."""
        if self.count == self.first:
            return [None] * len(levels)
        at = slice(self.first, self.count)
        start, span = self.start[at], self.span[at]
        found: list[Blocks | None] = []
        for i, own in enumerate(levels):
            hours, usd, units, room, growth = self.figures[at, i].T
            first, last = self.ends[at, i].T
            found.append(
                Blocks(
                    start=start, span=span, hours=hours, usd=usd, unit_hours=units, rate_hours=hours,
                    used=self.used[at, i], used_first=first, used_last=last, room_hours=room,
                    room_growth=growth, levels=own, exact=self.exact[at, i], censored=self.censored[at, i],
                )
            )  # fmt: skip
        return found
