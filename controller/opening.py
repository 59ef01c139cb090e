"""Opening a database: the engine and its pragmas, whether the file is whole and ours, and the steps to the newest tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, event, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controller import tables
from controller.address import Address, StoreRefused, damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

CHECKED_BYTES: Final = 64 * 2**20
"""A file up to this size is checked whole when it is opened for writing (0.1 s); in a larger one damage shows on use."""


def engine_for(address: Address, *, write: bool, patience: float) -> AsyncEngine:
    if address.path is None:
        return create_async_engine(
            address.url,
            pool_size=4,
            pool_pre_ping=True,
            # a writer that is frozen inside a transaction must not keep the one after it from its epoch
            connect_args={
                "timeout": patience + 10,
                "server_settings": {"idle_in_transaction_session_timeout": "15000"},
            },
        )
    engine = create_async_engine(address.url, pool_size=4, connect_args={"timeout": patience})
    event.listen(engine.sync_engine, "connect", _connected_to_write if write else _connected)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def probe(engine: AsyncEngine, address: Address, patience: float, steps: Sequence[Any]) -> None:
    """Open an SQLite file once without the driver, and look whether it is ours (in a thread: it blocks). Raises
    sqlite3.Error and StoreRefused.

    A file that cannot be opened must not reach aiosqlite 0.22: its worker would end after the event loop, in a traceback.
    One that is not ours must not reach `_connected_to_write`: another journal mode is a change of the file.
    """
    if address.path is None:
        return
    argv, options = engine.dialect.create_connect_args(address.url)
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    with closing(connect(*argv, **{**options, "timeout": patience})) as connection:
        found = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        _refuse_foreign(found, address.name)
        said = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if found else None
        _refuse_newer(int(said[0]) if said and str(said[0]).isdecimal() else 0, address.name, steps)


def _connected(connection: Any, _: Any) -> None:
    """Transactions begin where `_begin` says, not where the driver guesses (docs.sqlalchemy.org, dialects/sqlite)."""
    connection.isolation_level = None


def _connected_to_write(connection: Any, record: Any) -> None:
    _connected(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def check_whole(connection: Connection, address: Address) -> None:
    if address.path is None or address.path.stat().st_size > CHECKED_BYTES:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise damaged(address.name, str(found))


def _version(connection: Connection, name: str) -> int:
    """Of the tables that are there; 0 = none. Raises where they are somebody else's."""
    found = set(inspect(connection).get_table_names())
    if not found:
        return 0
    _refuse_foreign(found, name)
    said = connection.scalar(select(tables.meta.c.value).where(tables.meta.c.name == "schema"))
    return int(said) if said is not None and said.isdecimal() else 0


def _refuse_foreign(found: set[str], name: str) -> None:
    if found and not found >= {"meta", "workloads", "blocks"}:
        raise StoreRefused(f"{name} is a database of something else; orcha leaves it alone: name another with --state")


def _refuse_newer(version: int, name: str, steps: Sequence[Any]) -> None:
    if version > len(steps):
        raise StoreRefused(
            f"the state {name} is from a newer orcha (schema {version}, this one knows {len(steps)}); "
            "install that version again, or name another with --state"
        )


def check_version(connection: Connection, name: str, steps: Sequence[Any]) -> None:
    version = _version(connection, name)
    _refuse_newer(version, name, steps)
    if version < len(steps):
        raise StoreRefused(
            f"the state {name} is from an older orcha (schema {version} of {len(steps)}); `orcha run` brings it up to date"
        )


def migrate(connection: Connection, name: str, steps: Sequence[Callable[[Connection], None]]) -> None:
    version = _version(connection, name)
    _refuse_newer(version, name, steps)
    for step in steps[version:]:
        step(connection)
    connection.execute(delete(tables.meta).where(tables.meta.c.name == "schema"))  # also tells whether writing works
    connection.execute(insert(tables.meta).values(name="schema", value=str(len(steps))))


def begin_epoch(connection: Connection) -> int:
    """Begin the epoch of a new writer: an older one cannot write from now on."""
    c = tables.meta.c
    said = connection.scalar(select(c.value).where(c.name == "epoch").with_for_update())
    epoch = int(said or 0) + 1
    connection.execute(delete(tables.meta).where(c.name == "epoch"))
    connection.execute(insert(tables.meta).values(name="epoch", value=str(epoch)))
    return epoch
