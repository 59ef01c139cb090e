"""The store: what must survive a restart, in SQLite (default) or PostgreSQL. The one module that speaks SQL.

What comes in waits in memory (`note_*`, at most MOST_WAITING of a kind, the oldest give way) or comes as a `Batch` from
history; `write` puts all of it into one transaction. Where that fails, StoreError says why and what to do, nothing of
it was written, and everything still waits: the caller shows the error and calls `write` again at the next flush.

SQLite runs with a write-ahead log, so that `orcha status` and `orcha plan` read while `orcha run` writes. A flush is not
forced to the disk (synchronous=NORMAL: a power cut may take the last ones, never the file); one that holds a change
of an allocation is (FULL). One writer per file or database; a second one is refused (StoreLocked), or, where a Lease
elects the writer, the older one is (StoreFenced): each writer begins an epoch, and writes in no other. The journal of
programs (journal.py) lies in the same tables.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller import tables
from controller.address import (
    Address,
    StoreFenced,
    StoreLocked,
    StoreRefused,
    WriterLock,
    address_of,
    inode_of,
    translated,
)
from controller.opening import begin_epoch, check_version, check_whole, engine_for, migrate, probe
from controller.queries import inputs_from, load_blocks, load_newest, load_readings, numbers, of
from controller.rows import (
    Batch,
    Change,
    Event,
    RecordedDecision,
    Stored,
    StoredBlock,
    block_from,
    both_from,
    change_from,
    columns_from,
    decision_from,
    decision_row,
    inputs_row,
    reset_row,
    resets_from,
    trial_row,
    trials_from,
)
from controller.writing import insert, to_its_end, upsert, write_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from controller.promises import Trial
    from exporters.reading import Reading

MOST_WAITING: Final = 10_000
"""Events, and decisions, that wait for a store that cannot be written."""
MOST_INPUTS_WAITING: Final = 100
"""Decisions of those whose inputs wait as well: they are a hundred times larger."""
MOST_INPUT_BYTES: Final = 256 * 2**20
"""What decisions were made from takes at most so much of the store; the oldest give way (the decisions stay)."""
_MOST_IDS: Final = 500
"""Workloads asked for in one query."""
_EPOCH: Final = tables.meta.c.name == "epoch"
_ADVISORY: Final = 0x6F72636861
"""PostgreSQL's advisory lock of the one writer: "orcha"."""


class Store:
    """Open with `await Store.open(url)`, close with `await store.close()`."""

    def __init__(self, address: Address, engine: AsyncEngine, lock: WriterLock | None, *, writes: bool) -> None:
        self.name = address.name
        """For messages: the path, or the URL without its password."""
        self.writes = writes
        self.epoch = 0
        """Which writer this is: each begins a new one."""
        self._engine, self._lock = engine, lock
        self.path = address.path
        """Of SQLite; None: PostgreSQL."""
        self._inode = 0
        self._session: AsyncConnection | None = None
        """PostgreSQL's advisory lock lives as long as this."""
        self._one_at_a_time = asyncio.Lock()
        self._ids: dict[str, int] = {}
        self._fingerprints: dict[str, str] = {}
        self._events: deque[Event] = deque(maxlen=MOST_WAITING)
        self._decisions: deque[RecordedDecision] = deque(maxlen=MOST_WAITING)
        self._inputs: deque[RecordedDecision] = deque(maxlen=MOST_INPUTS_WAITING)
        self._latest: dict[str, RecordedDecision] = {}
        self._changes: dict[str, Change] = {}
        self._trials: dict[str, Trial] = {}
        self._resets: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        write: bool = True,
        shared: bool = False,
        patience: float = 5.0,
        steps: Sequence[Callable[[Connection], None]] = tables.STEPS,
    ) -> Self:
        """Open, check, and bring to the newest version (`write`), or open for reading beside a writer.

        `patience`: seconds to wait for another program's lock. `shared`: the writer is elected elsewhere, and the epoch
        alone keeps an older one out. Raises StoreError.
        """
        address = address_of(url, write=write)
        with translated(address.name):
            lock = WriterLock(address.path) if write and address.path and not shared else None
        engine = engine_for(address, write=write, patience=patience)
        store = cls(address, engine, lock, writes=write)
        try:
            with translated(address.name):
                await asyncio.to_thread(probe, engine, address, patience, steps)
                await store._prepare(address, steps, locked=write and not shared)
                store._inode = inode_of(address.path)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self._engine.dispose()
        if self._lock is not None:
            self._lock.release()

    # what waits to be written

    def note_event(self, event: Event) -> None:
        self._events.append(event)

    def note_decision(self, decision: RecordedDecision) -> None:
        """It replaces the newest of its policy, and is added to the history, with what it was made from, if its fingerprint
        differs from that.
        """
        alone = replace(decision, inputs=None)
        if self.fingerprint(decision.policy) != decision.fingerprint:
            self._decisions.append(alone)
            if decision.inputs is not None:
                self._inputs.append(decision)
        self._latest[decision.policy] = alone

    def fingerprint(self, policy: str) -> str | None:
        """Of the newest decision: of one that has the same, nobody needs to make the inputs."""
        newest = self._latest.get(policy)
        return newest.fingerprint if newest else self._fingerprints.get(policy)

    def note_change(self, key: str, change: Change) -> None:
        """The next `write` is forced to the disk."""
        self._changes[key] = change

    def note_trial(self, program: Trial) -> None:
        """It takes the place of what is known under its id. The next `write` is forced to the disk."""
        self._trials[program.id] = program

    def note_reset(self, policy: str, at: float) -> None:
        self._resets[policy] = at

    @to_its_end
    async def write(self, batch: Batch | None = None) -> None:
        """Write the batch and all that waits, in one transaction. Raises StoreError, and then everything still waits."""
        batch = batch or Batch()
        async with self._one_at_a_time:
            events, decisions, inputs = list(self._events), list(self._decisions), list(self._inputs)
            latest, changes = dict(self._latest), dict(self._changes)
            programs, resets = dict(self._trials), dict(self._resets)
            if not (batch or events or latest or changes or programs or resets):
                return
            async with self._writing(durable=bool(changes or programs or resets)) as connection:
                ids = await write_batch(connection, batch, changes, self._ids)
                await insert(connection, tables.events, [asdict(event) for event in events])
                await insert(connection, tables.decisions, [decision_row(decision) for decision in decisions])
                await upsert(connection, tables.inputs, [inputs_row(decision) for decision in inputs])
                await upsert(connection, tables.trials, [trial_row(each) for each in programs.values()])
                await upsert(connection, tables.meta, [reset_row(*reset) for reset in resets.items()])
                await upsert(
                    connection, tables.last_decisions, [decision_row(decision) for decision in latest.values()]
                )
            self._ids.update(ids)
            _drop(self._inputs, inputs)
            self._trials = {name: each for name, each in self._trials.items() if programs.get(name) is not each}
            self._resets = {policy: at for policy, at in self._resets.items() if resets.get(policy) != at}
            self._forget(events, decisions, latest, changes)

    @to_its_end
    async def prune(self, readings_before: float, before: float, most_inputs: int = MOST_INPUT_BYTES) -> None:
        """Delete readings of before the one time, all else of before the other, and of inputs what is more than so many bytes."""
        async with self._one_at_a_time, self._writing(durable=False) as connection:
            blocks = tables.blocks.c
            await connection.execute(delete(tables.readings).where(tables.readings.c.at < readings_before))
            await connection.execute(delete(tables.blocks).where(blocks.start * 60 + blocks.span <= before))
            await connection.execute(delete(tables.decisions).where(tables.decisions.c.at < before))
            oldest = max(before, await inputs_from(connection, most_inputs))
            await connection.execute(delete(tables.inputs).where(tables.inputs.c.at < oldest))
            await connection.execute(delete(tables.events).where(tables.events.c.at < before))
            await connection.execute(delete(tables.trials).where(tables.trials.c.at < before))

    # what is known

    async def load(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Everything there is of these workloads; those of which nothing is known are not in it."""
        found: dict[str, Stored] = {}
        async with self.reading() as connection:
            asked = set(keys)
            if not asked <= self._ids.keys():
                self._ids = await numbers(connection)
            wanted = {self._ids[key]: key for key in asked & self._ids.keys()}
            for ids in (list(wanted)[i : i + _MOST_IDS] for i in range(0, len(wanted), _MOST_IDS)):
                await load_newest(connection, ids, wanted, found)
                await load_blocks(connection, ids, wanted, found)
                await load_readings(connection, ids, wanted, found)
        return found

    async def time(self) -> float | None:
        """The time that was believed at the last flush; None: there was none."""
        rows = await self.all(select(tables.meta.c.value).where(tables.meta.c.name == "time"))
        return float(rows[0].value) if rows else None

    async def newest(self) -> dict[str, tuple[Reading | None, Reading | None]]:
        """Key -> the newest reading, and the newest with `up`."""
        query = select(tables.workloads.c.key, tables.newest).join(tables.newest)
        return {row.key: both_from(row) for row in await self.all(query)}

    async def blocks(self, key: str, since: float, until: float) -> list[StoredBlock]:
        """The blocks that overlap the period, oldest first."""
        c = tables.blocks.c
        query = (
            of(key, tables.blocks).where(c.start * 60 + c.span > since, c.start * 60 < until).order_by(c.start, c.span)
        )
        return [block_from(row) for row in await self.all(query)]

    async def readings(self, key: str, since: float, until: float) -> list[tuple[float, bool, float, float, float]]:
        """(at, up, allocated, used, net) of the period, oldest first; only about the last day is kept."""
        c = tables.readings.c
        return [
            columns_from(row)
            for row in await self.all(of(key, tables.readings).where(c.at >= since, c.at < until).order_by(c.at))
        ]

    async def last_decisions(self) -> dict[str, RecordedDecision]:
        """Policy -> its newest decision."""
        return {row.policy: decision_from(row) for row in await self.all(select(tables.last_decisions))}

    async def decisions(self, policy: str, since: float, until: float) -> list[RecordedDecision]:
        """Those of the period that differed from the one before, oldest first."""
        c = tables.decisions.c
        query = select(tables.decisions).where(c.policy == policy, c.at >= since, c.at < until).order_by(c.id)
        return [decision_from(row) for row in await self.all(query)]

    async def decided(self, policy: str, until: float) -> RecordedDecision | None:
        """What held then: the newest changed decision of `until` or before, with what it was made from where that is kept."""
        c, made_from = tables.decisions.c, tables.inputs.c
        both = tables.decisions.outerjoin(tables.inputs, (made_from.policy == c.policy) & (made_from.at == c.at))
        query = select(tables.decisions, made_from.inputs).select_from(both).where(c.policy == policy, c.at <= until)
        rows = await self.all(query.order_by(c.at.desc(), c.id.desc()).limit(1))
        return decision_from(rows[0]) if rows else None

    async def decided_since(self, policy: str) -> float | None:
        """The time of the oldest decision that is kept; None: there is none."""
        c = tables.decisions.c
        rows = await self.all(select(func.min(c.at).label("at")).where(c.policy == policy))
        return rows[0].at if rows else None

    async def events(self, since: float, until: float, most: int = 1000) -> list[Event]:
        """The newest `most` of the period, oldest first."""
        c = tables.events.c
        query = select(tables.events).where(c.at >= since, c.at < until).order_by(c.id.desc()).limit(most)
        return [Event(row.at, row.kind, row.subject, row.sentence) for row in reversed(await self.all(query))]

    async def changes(self) -> dict[str, Change]:
        """Key -> what is known of its changes, those that still wait to be written included."""
        query = select(tables.workloads.c.key, tables.changes).join(tables.changes)
        found = {row.key: change_from(row) for row in await self.all(query)}
        return {**found, **self._changes}

    async def trials(self, since: float, until: float, policy: str | None = None) -> list[Trial]:
        """Those that began in the period, oldest first, with their outcomes, those that wait to be written included."""
        rows = await self.all(select(tables.trials).where(tables.trials.c.at.between(since, until)))
        found = {each.id: each for each in trials_from(rows)} | self._trials
        wanted = (p for p in found.values() if since <= p.at < until and policy in {None, p.policy})
        return sorted(wanted, key=lambda each: (each.at, each.id))

    async def resets(self) -> dict[str, float]:
        """Policy -> when its owner last took its fallback off."""
        return resets_from(await self.all(select(tables.meta))) | self._resets

    # how

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """For the journal (within `to_its_end`): what is written is on the disk when it ends. Raises StoreError."""
        async with self._one_at_a_time, self._writing(durable=True) as connection:
            yield connection

    async def _prepare(self, address: Address, steps: Sequence[Callable[[Connection], None]], *, locked: bool) -> None:
        if locked and address.path is None:
            self._session = await self._engine.connect()
            if not await self._session.scalar(select(func.pg_try_advisory_lock(_ADVISORY))):
                raise StoreLocked(
                    f"another orcha already writes to {self.name}; stop it, or give this one its own --state"
                )
            await self._session.commit()
        if self.writes:
            async with self._engine.connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    await connection.run_sync(check_whole, address)
                    await connection.run_sync(migrate, self.name, steps)
                    self.epoch = await connection.run_sync(begin_epoch)
        else:
            async with self._engine.connect() as connection:
                await connection.run_sync(check_version, self.name, steps)
        self._fingerprints = {
            policy: decision.fingerprint for policy, decision in (await self.last_decisions()).items()
        }

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        with translated(self.name):
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self, *, durable: bool) -> AsyncIterator[AsyncConnection]:
        if not self.writes:
            raise StoreRefused(f"the state {self.name} was opened for reading only")
        if inode_of(self.path) != self._inode:
            raise StoreRefused(
                f"the state {self.name} was moved, deleted or replaced while orcha ran; put it back, or restart orcha to begin anew"
            )
        with translated(self.name):
            async with self._engine.connect() as connection:
                await connection.execution_options(writes=True, durable=durable)
                async with connection.begin():
                    if await connection.scalar(
                        select(tables.meta.c.value).where(_EPOCH).with_for_update(read=True)
                    ) != str(self.epoch):
                        raise StoreFenced(f"another controller writes to {self.name} now; this one has to stop")
                    yield connection

    async def all(self, query: Select[Any]) -> Sequence[Any]:
        async with self.reading() as connection:
            rows: Sequence[Any] = (await connection.execute(query)).all()
            return rows

    def _forget(
        self,
        events: list[Event],
        decisions: list[RecordedDecision],
        latest: Mapping[str, RecordedDecision],
        changes: Mapping[str, Change],
    ) -> None:
        """What was written no longer waits; what came meanwhile does."""
        _drop(self._events, events)
        _drop(self._decisions, decisions)
        self._fingerprints.update({policy: decision.fingerprint for policy, decision in latest.items()})
        self._latest = {
            policy: decision for policy, decision in self._latest.items() if latest.get(policy) is not decision
        }
        self._changes = {key: change for key, change in self._changes.items() if changes.get(key) is not change}


def _drop(waiting: deque[Any], written: list[Any]) -> None:
    """Remove the written ones from the left. Some of them may have given way to newer ones meanwhile."""
    gone = {id(item) for item in written}
    while waiting and id(waiting[0]) in gone:
        waiting.popleft()
