"""What the store asks of its tables in several places: rows of many workloads at once, and what still has room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Table, func, select

from controller import tables
from controller.rows import Stored, block_from, columns_from, stored_from

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


async def numbers(connection: AsyncConnection) -> dict[str, int]:
    rows = (await connection.execute(select(tables.workloads))).all()
    return {row.key: row.id for row in rows}


async def inputs_from(connection: AsyncConnection, most: int) -> float:
    """The time from which on inputs have room, the newest first; -inf: all of them have."""
    c, held = tables.inputs.c, 0
    query = select(c.at, func.length(c.inputs).label("size")).order_by(c.at.desc())
    for row in (await connection.execute(query)).all():
        held += row.size
        if held > most:
            return math.nextafter(row.at, math.inf)
    return -math.inf


def of(key: str, table: Table) -> Select[Any]:
    return select(table).join(tables.workloads).where(tables.workloads.c.key == key)


async def load_newest(
    connection: AsyncConnection, ids: list[int], keys: Mapping[int, str], found: dict[str, Stored]
) -> None:
    query = select(tables.newest).where(tables.newest.c.workload_id.in_(ids))
    for row in (await connection.execute(query)).all():
        found[keys[row.workload_id]] = stored_from(row)


async def load_blocks(
    connection: AsyncConnection, ids: list[int], keys: Mapping[int, str], found: dict[str, Stored]
) -> None:
    c = tables.blocks.c
    query = select(tables.blocks).where(c.workload_id.in_(ids))
    for row in (await connection.execute(query.order_by(c.workload_id, c.start, c.span))).all():
        found.setdefault(keys[row.workload_id], Stored()).blocks.append(block_from(row))


async def load_readings(
    connection: AsyncConnection, ids: list[int], keys: Mapping[int, str], found: dict[str, Stored]
) -> None:
    c = tables.readings.c
    query = select(tables.readings).where(c.workload_id.in_(ids))
    for row in (await connection.execute(query.order_by(c.workload_id, c.at))).all():
        found.setdefault(keys[row.workload_id], Stored()).readings.append(columns_from(row))
