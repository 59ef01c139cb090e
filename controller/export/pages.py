"""The rows of an export, oldest first, read from the store in pages: each a short transaction of its own, so that a
controller that writes the same file is never held up, and memory holds one page however much there is.

    hours by hours:  their blocks (all, for the controller may make one of twelve meanwhile) ┐
                     their looks, page after page                                         ┴─▶ merged by time ─▶ Chunk
    slice by slice:  decisions, programs                                                       ────────────────▶ Chunk

A slice of time is as long as gives about a page. Every call raises StoreError.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Double, String, Text, and_, cast, exists, func, null, or_, select, union_all

from controller import tables
from controller.blocks import HOUR
from controller.export.columns import Row
from controller.export.rows import SUMS, Name, Told, decision_row, look_row, name_of, program_row, span_row
from controller.programs import Record

if TYPE_CHECKING:
    from controller.store import Store

LOOKS: Final = 20_000
"""Looks of one page."""
SPANS: Final = 20_000
"""Spans that are read at once, where more than an hour of them is."""
FEW: Final = 50
"""Decisions or programs of one page: each may be a megabyte where there are a thousand workloads."""
_FIRST_SLICE: Final = 300.0
"""Seconds."""
_MOST_HOURS: Final = 24 * 7

Place = tuple[float, "str | int | None"]
"""Where to go on: after the row of that time and id; without an id: at that time."""


class Chunk(NamedTuple):
    rows: Sequence[Row]
    at: float
    """How far they reach in time."""
    resume: Place | None
    """From where to go on if nothing after them is kept; None: only together with the next ones."""


class Period(NamedTuple):
    """Rows that lie wholly within [since, until)."""

    since: float
    until: float


# --- readings -----------------------------------------------------------------------------------------------------


async def readings(store: Store, period: Period, start: Place) -> AsyncGenerator[Chunk, None]:
    """Looks, and the spans that sum them up. `start`: an hour. Of two at the same time the span comes first, then the
    workload with the smaller number.
    """
    names, flushed = _Names(store), await store.time()
    settled = math.inf if flushed is None else flushed - HOUR
    at, hours = max(start[0], period.since // HOUR * HOUR), 1
    while (begins := await _next(store, at)) is not None and begins.hour < period.until:
        window = begins.window(hours)
        spans = await _spans(store, window, SPANS if window.hours > 1 else None)
        if len(spans) == SPANS and window.hours > 1:
            hours = max(1, window.hours // 12)
            continue
        names_of = await names.of({row[2] for row in spans})
        told = (span_row(row, names_of[row[2]]) for row in spans if names.over(row[2], row[0] * 60.0 + row[1], settled))
        waiting = deque((row[0], row) for row in told if _within(row, period))
        looks = Period(max(window.hour, period.since), min(window.end, period.until))
        if begins.look is not None and begins.look < looks.until:
            covered = _Covered(spans)
            async for page, place in _slices(store, _looks, (looks.since, None), looks.until, LOOKS, HOUR):
                names_of = await names.of({row[1] for row in page})
                found = [look_row(row, names_of[row[1]], covered.by(row)) for row in page]
                yield Chunk(_merged(waiting, found, place), place[0], None)
        at = window.end
        hours = min(2 * hours, _MOST_HOURS) if len(spans) < SPANS // 4 else hours
        yield Chunk([each[1] for each in waiting], min(at, period.until), (at, None))


def _merged(waiting: deque[tuple[float, Row]], looks: Sequence[Row], place: Place) -> list[Row]:
    """The looks, and before each the spans that begin by then; those that begin after the last look wait on."""
    rows: list[Row] = []
    for look in looks if waiting else ():
        while waiting and waiting[0][0] <= look[0]:
            rows.append(waiting.popleft()[1])
        rows.append(look)
    rows = rows or list(looks)
    while place[1] is None and waiting and waiting[0][0] < place[0]:
        rows.append(waiting.popleft()[1])
    return rows


class _Window(NamedTuple):
    """Whole hours."""

    hour: float
    """When the first begins."""
    hours: int

    @property
    def end(self) -> float:
        return self.hour + self.hours * HOUR


class _Next(NamedTuple):
    """What comes next."""

    hour: float
    look: float | None
    """When somebody was looked at again; None: never."""

    def window(self, hours: int) -> _Window:
        """So many hours at once where there are only spans; of looks one hour at a time."""
        if self.look is None:
            return _Window(self.hour, hours)
        return _Window(self.hour, max(1, min(hours, int((self.look - self.hour) // HOUR))))


def _within(row: Row, period: Period) -> bool:
    return bool(period.since <= row[0] and row[0] + row[1] <= period.until)


class _Covered:
    """Which resource the looks of an hour are of: that of the block that covers them. Asked in the order of time."""

    def __init__(self, spans: Sequence[Any]) -> None:
        self._spans = spans
        self._next = 0
        self._newest: dict[int, tuple[float, str | None]] = {}

    def by(self, look: Sequence[Any]) -> str | None:
        while self._next < len(self._spans) and self._spans[self._next].start * 60 <= look[0]:
            span = self._spans[self._next]
            self._newest[span.workload_id] = (span.start * 60 + span.span, span.resource)
            self._next += 1
        end, resource = self._newest.get(look[1], (0.0, None))
        return resource if look[0] < end else None


class _Names:
    """Whose number is whose. Those that appear meanwhile are looked up then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, Name] = {}
        self._seen: dict[int, float] = {}

    async def of(self, ids: Iterable[int]) -> Mapping[int, Name]:
        if not self._known.keys() >= set(ids):
            w, newest = tables.workloads.c, tables.newest.c
            query = select(w.id, w.key, newest.at, newest.reading).select_from(
                tables.workloads.outerjoin(tables.newest)
            )
            async with self._store.reading() as connection:
                async for row in await connection.stream(query):
                    self._known[row.id] = name_of(row.key, row.reading)
                    self._seen[row.id] = -math.inf if row.at is None else row.at
        return self._known

    def over(self, id_: int, end: float, settled: float) -> bool:
        """Whether nothing more comes into a span that ends then: its workload was looked at since, or will not be."""
        return end <= max(self._seen[id_], settled)


async def _next(store: Store, at: float) -> _Next | None:
    """The hour of the first look or block of `at` or later; None: there is none."""
    w, looks, blocks = tables.workloads.c, tables.readings.c, tables.blocks.c
    look = select(func.min(looks.at)).where(looks.workload_id == w.id, looks.at >= at).scalar_subquery()
    block = select(func.min(blocks.start)).where(blocks.workload_id == w.id, blocks.start >= int(at) // 60)
    [row] = await store.all(select(func.min(look).label("look"), func.min(block.scalar_subquery()).label("block")))
    found = [each for each in (row.look, None if row.block is None else row.block * 60.0) if each is not None]
    return _Next(min(found) // HOUR * HOUR, row.look) if found else None


async def _spans(store: Store, window: _Window, most: int | None) -> Sequence[Any]:
    """Of whole hours, in one statement: the controller makes one block of an hour's twelve in one transaction."""
    c, first = tables.blocks.c, int(window.hour) // 60
    columns = (c.start, c.span, c.workload_id, c.resource, *(c[name] for name in SUMS))
    query = select(*columns).where(
        _all_workloads(c.workload_id), c.start >= first, c.start < first + window.hours * HOUR // 60
    )
    return await store.all(query.order_by(c.start, c.workload_id, c.span).limit(most))


def _all_workloads(column: ColumnElement[int]) -> ColumnElement[bool]:
    """Says nothing, but that a range of time is looked up in the index, which begins with the workload."""
    return column.in_(select(tables.workloads.c.id))


async def _looks(store: Store, start: Place, until: float, most: int) -> Sequence[Any]:
    c = tables.readings.c
    columns = (c.at, c.workload_id, c.up, c.allocated, c.used, c.net_usd_per_hour)
    query = select(*columns).where(_all_workloads(c.workload_id), *_from(c.at, c.workload_id, start), c.at < until)
    return await store.all(query.order_by(c.at, c.workload_id).limit(most))


# --- decisions, programs ------------------------------------------------------------------------------------------


async def decisions(store: Store, period: Period, start: Place) -> AsyncGenerator[Chunk, None]:
    """Those that differed from the one before."""
    first = start if start[1] is not None else (max(start[0], await _first_decision(store) or 0.0, period.since), None)
    policies = [row.policy for row in await store.all(select(tables.decisions.c.policy).distinct())]
    async for page, place in _slices(store, partial(_decided, policies), first, period.until, FEW):
        yield Chunk([decision_row(row) for row in page], place[0], place)


async def _first_decision(store: Store) -> float | None:
    [row] = await store.all(select(func.min(tables.decisions.c.at).label("at")))
    at: float | None = row.at
    return at


async def _decided(policies: Sequence[str], store: Store, start: Place, until: float, most: int) -> Sequence[Any]:
    """The index alone tells which: the bodies of the others are not read."""
    c = tables.decisions.c
    wanted = select(c.id).where(c.policy.in_(policies), *_from(c.at, c.id, start), c.at < until)
    those = wanted.order_by(c.at, c.id).limit(most)
    columns = (c.at, c.id, c.policy, c.reason, c.sentence, c.body)
    return await store.all(select(*columns).where(c.id.in_(those)).order_by(c.at, c.id))


async def programs(store: Store, period: Period, start: Place) -> AsyncGenerator[Chunk, None]:
    """What orcha did or proposed, and what people changed, each with what came of it."""
    first = start if start[1] is not None else (max(start[0], await _first_program(store) or 0.0, period.since), None)
    async for page, place in _slices(store, _told, first, period.until, FEW):
        lines = await _records(store, [row.id for row in page if row.program is not None])
        told = (Told(row.id, row.policy, row.at, row.state, row.changed, row.program, row.trial) for row in page)
        yield Chunk([program_row(each, lines.get(each.id, [])) for each in told], place[0], place)


async def _first_program(store: Store) -> float | None:
    firsts = [await store.all(select(func.min(each.c.at).label("at"))) for each in (tables.programs, tables.trials)]
    return min((row.at for [row] in firsts if row.at is not None), default=None)


async def _told(store: Store, start: Place, until: float, most: int) -> Sequence[Any]:
    p, t = tables.programs.c, tables.trials.c
    both = tables.programs.outerjoin(tables.trials, t.id == p.id)
    own = select(
        p.at, p.id, p.policy, p.state, p.changed, p.body.label("program"), t.body.label("trial")
    ).select_from(both).where(*_from(p.at, p.id, start), p.at < until)  # fmt: skip
    alone = select(
        t.at, t.id, t.policy, cast(null(), String), cast(null(), Double), cast(null(), Text), t.body
    ).where(*_from(t.at, t.id, start), t.at < until, ~exists().where(p.id == t.id))  # fmt: skip
    found = union_all(own, alone).subquery()
    return await store.all(select(found).order_by(found.c.at, found.c.id).limit(most))


async def _records(store: Store, ids: Sequence[str]) -> dict[str, list[Record]]:
    c, found = tables.records.c, dict[str, list[Record]]()
    for row in await store.all(select(tables.records).where(c.program.in_(list(ids))).order_by(c.id)) if ids else ():
        found.setdefault(row.program, []).append(Record(row.at, row.what, row.by, row.sentence))
    return found


# --- slices of time -----------------------------------------------------------------------------------------------

Fetch = Callable[["Store", Place, float, int], Coroutine[Any, Any, Sequence[Any]]]
"""The first so many rows from a place on, before a time, by (at, id), which are their first two columns."""


async def _slices(
    store: Store, fetch: Fetch, start: Place, until: float, most: int, width: float = _FIRST_SLICE
) -> AsyncGenerator[tuple[Sequence[Any], Place], None]:
    """Pages of at most so many rows, each with the place after it."""
    place = start
    while place[0] < until:
        end = min(place[0] + width, until)
        page = await fetch(store, place, end, most)
        if len(page) == most:
            width = max((page[-1][0] - place[0]) * 0.9, 1e-3)
            place = (page[-1][0], page[-1][1])
        else:
            width *= 4.0 if len(page) <= most // 8 else 1.0
            place = (end, None)
        yield page, place


def _from(at: ColumnElement[float], id_: ColumnElement[Any], start: Place) -> Iterator[ColumnElement[bool]]:
    """From a place on; the first condition is for the index."""
    yield at >= start[0]
    if start[1] is not None:
        yield or_(at > start[0], and_(at == start[0], id_ > start[1]))


SOURCES: Final = {"readings": readings, "decisions": decisions, "programs": programs}
