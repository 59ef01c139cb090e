"""The state: whether it can be opened, is of this version, can be written, and has room. Opens it for reading at most."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, inspect, select, text

from controller import tables
from controller.address import Address, StoreError, StoreRefused, address_of, translated
from controller.doctor.finding import Finding, Mark, fail, ok, split, warn
from controller.opening import CHECKED_BYTES, engine_for

AREA: Final = "state"
LITTLE, TOO_LITTLE = 2**30, 64 * 2**20
"""Bytes free: a year of ten workloads takes some 300 MB, and SQLite's log and a migration want as much again for a while."""
_OURS: Final = {"meta", "workloads", "blocks"}


async def state(url: str, patience: float) -> list[Finding]:
    """How it stands with the state at a URL."""
    try:
        address = address_of(url, write=True)
    except StoreError as exc:
        return [split(AREA, "state", str(exc))]
    if address.path is None:
        return [await _postgresql(address, patience)]
    findings = await asyncio.to_thread(_sqlite, address.path)
    return [*findings, await asyncio.to_thread(_room, address.path)]


def _room(path: Path) -> Finding:
    folder = path.absolute().parent
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:.1f} GiB free on its disk" if free >= 2**30 else f"{free / 2**20:.0f} MiB free on its disk"
    if free < TOO_LITTLE:
        return fail(
            AREA, str(folder), said, "make room; orcha keeps what it could not write until it ends, and then it is lost"
        )
    if free < LITTLE:
        return warn(AREA, str(folder), said, "make room, or shorten `retention` in Settings")
    return ok(AREA, str(folder), said)


def _sqlite(path: Path) -> list[Finding]:
    name = str(path)
    if refused := _unwritable(path):
        return [refused]
    if not path.exists():
        return [ok(AREA, name, "is not there yet; the first `orcha run` makes it")]
    try:
        with translated(name):
            version = _version_of(path)
    except StoreError as exc:
        return [split(AREA, name, str(exc))]
    return [_judged(name, version)]


def _unwritable(path: Path) -> Finding | None:
    """SQLite makes files beside its own, so the folder counts as well."""
    todo = "let the user that runs orcha write the file and its folder, or name another with --state"
    for each in (path.absolute().parent, path):
        if each.exists() and not os.access(each, os.R_OK | os.W_OK, effective_ids=True):
            return fail(AREA, str(path), f"{each} cannot be read and written by this user", todo)
    return None


def _version_of(path: Path) -> int:
    """Of its tables; 0: there are none. Where nobody has it open it is read as it stands, so that no file is made beside it.

    Raises sqlite3.Error, StoreRefused.
    """
    alone = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    with closing(
        sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro{alone}", uri=True, timeout=2.0)
    ) as connection:
        found = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        _refuse_foreign(found, str(path))
        if path.stat().st_size <= CHECKED_BYTES:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok":
                raise StoreRefused(f"is damaged ({str(said)[:80]}); move it aside, or restore a copy")
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if found else None
    return int(row[0]) if row and str(row[0]).isdecimal() else 0


def _refuse_foreign(found: set[str], name: str) -> None:
    if found and not found >= _OURS:
        raise StoreRefused(f"{name} is a database of something else; name another with --state")


def _judged(name: str, version: int) -> Finding:
    newest = len(tables.STEPS)
    if version > newest:
        found = f"is from a newer orcha (schema {version}, this one knows {newest})"
        return fail(AREA, name, found, "install that version again, or name another with --state")
    if version == 0:
        return ok(AREA, name, "can be opened, and is empty; the first `orcha run` fills it")
    if version < newest:
        return ok(
            AREA,
            name,
            f"can be opened; of an older orcha (schema {version} of {newest}), which the next `orcha run` brings up to date",
        )
    return ok(AREA, name, f"can be opened and written (schema {version})")


async def _postgresql(address: Address, patience: float) -> Finding:
    engine = engine_for(address, write=False, patience=patience)
    try:
        with translated(address.name):
            async with asyncio.timeout(patience), engine.connect() as connection:
                version = await connection.run_sync(_version_in)
                creates = await connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')"))
    except TimeoutError:
        return fail(
            AREA,
            address.name,
            f"did not answer within {patience:.0f} s",
            "see whether the database runs, and can be reached from here",
        )
    except StoreError as exc:
        return split(AREA, address.name, str(exc))
    finally:
        await engine.dispose()
    if version < len(tables.STEPS) and not creates:
        return Finding(
            Mark.FAIL, AREA, address.name, "orcha may make no tables in it", "GRANT CREATE ON SCHEMA public TO its user"
        )
    return _judged(address.name, version)


def _version_in(connection: Connection) -> int:
    found = set(inspect(connection).get_table_names())
    _refuse_foreign(found, "it")
    said = connection.scalar(select(tables.meta.c.value).where(tables.meta.c.name == "schema")) if found else None
    return int(said) if said is not None and said.isdecimal() else 0
