"""How rows get into the tables of the store, in SQLite and PostgreSQL alike, within a transaction of the caller's; and how
a transaction is kept from being torn off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from sqlalchemy import BigInteger, Table, bindparam, delete
from sqlalchemy import insert as plain
from sqlalchemy.dialects import postgresql, sqlite

from controller import tables
from controller.blocks import HOUR
from controller.queries import numbers
from controller.rows import Batch, Change, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy.ext.asyncio import AsyncConnection


_P = ParamSpec("_P")
LAST_WRITE: Final = 20.0
"""Seconds that a transaction has left once whoever waits for it is called off: longer than SQLite waits for a lock."""


def to_its_end(write: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, Coroutine[Any, Any, None]]:
    """Where whoever waits for this write is called off, it is finished all the same, and only then are they.

    One that is torn off in the middle of a statement leaves its cursor to the garbage collector, and SQLite's file locked
    until that finds it.
    """

    @wraps(write)
    async def whole(*args: _P.args, **kwargs: _P.kwargs) -> None:
        running = asyncio.ensure_future(write(*args, **kwargs))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running}, timeout=LAST_WRITE)
            if not running.done():
                running.cancel()
            elif not running.cancelled():
                running.exception()  # heard: nobody is left to be told
            raise

    return whole


async def insert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    if rows:
        await connection.execute(plain(table), rows)


async def upsert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    """Rows that take the place of those with the same key."""
    if not rows:
        return
    new: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    values = {column.name: new.excluded[column.name] for column in table.columns if not column.primary_key}
    key = [column.name for column in table.primary_key]
    await connection.execute(new.on_conflict_do_update(index_elements=key, set_=values), rows)


async def write_batch(
    connection: AsyncConnection, batch: Batch, changes: Mapping[str, Change], known: Mapping[str, int]
) -> dict[str, int]:
    """What history wants written, and changes of allocations. `known`: numbers of workloads; gives all of them."""
    rows = [*batch.newest, *batch.readings, *batch.blocks, *batch.rolled]
    ids = await _numbered(connection, {row["key"] for row in rows} | changes.keys(), known)
    for row in rows:
        row["workload_id"] = ids[row["key"]]
    await upsert(connection, tables.newest, batch.newest)
    await upsert(connection, tables.readings, batch.readings)
    if batch.rolled:
        c, start = tables.blocks.c, bindparam("start_", type_=BigInteger)
        finer = delete(tables.blocks).where(
            c.workload_id == bindparam("id_"), c.span < HOUR, c.start >= start, c.start < start + 60
        )
        await connection.execute(finer, [{"id_": row["workload_id"], "start_": row["start"]} for row in batch.rolled])
    await upsert(connection, tables.blocks, batch.blocks)
    if batch.time is not None:
        await upsert(connection, tables.meta, [{"name": "time", "value": repr(batch.time)}])
    changed = [{"workload_id": ids[key], **asdict(change)} for key, change in changes.items()]
    await upsert(connection, tables.changes, changed)
    return ids


async def _numbered(connection: AsyncConnection, keys: set[str], known: Mapping[str, int]) -> dict[str, int]:
    """The number of each workload; new ones get one."""
    if keys <= known.keys():
        return dict(known)
    found = await numbers(connection)
    await insert(connection, tables.workloads, [{"key": key} for key in sorted(keys - found.keys())])
    return found if keys <= found.keys() else await numbers(connection)
