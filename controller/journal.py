"""The journal: what orcha does to nodes, on the disk before it is done. Over the store, in the same transaction rules.

`save` returns when a program and the lines about it are durable; until it has returned no effect may happen. One that a
later controller has taken over from cannot save (StoreFenced). All of it raises StoreError; what was not saved is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, select

from controller import tables
from controller.programs import OPEN, Original, Pause, Program, Record
from controller.writing import insert, to_its_end, upsert

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from controller.store import Store

_PROGRAM: Final = TypeAdapter(Program)
_ORIGINAL: Final = TypeAdapter(Original)
_PAUSE: Final = TypeAdapter(Pause)
PAUSE: Final = "pause of "
"""In `meta`, before the name of a policy that is paused: since when, and by whom."""


class Journal:
    """Of one store; the store is its owner's to open and close."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @to_its_end
    async def save(self, program: Program, *records: Record, originals: Iterable[Original] = ()) -> None:
        """Durable when it returns: the program as it is now, the lines that tell why, and what was there before orcha."""
        async with self._store.transaction() as connection:
            await upsert(connection, tables.programs, [_program_row(program)])
            await insert(connection, tables.records, [_record_row(program.id, each) for each in records])
            await self._first(connection, originals)

    async def _first(self, connection: AsyncConnection, originals: Iterable[Original]) -> None:
        """Only what is not known yet: an original is what was there before the first change."""
        wanted = {each.key: each for each in originals}
        if not wanted:
            return
        c = tables.originals.c
        known = set((await connection.execute(select(c.key).where(c.key.in_(list(wanted))))).scalars())
        rows = [
            {"key": key, "at": each.at, "body": _ORIGINAL.dump_json(each).decode()}
            for key, each in sorted(wanted.items())
            if key not in known
        ]
        await insert(connection, tables.originals, rows)

    async def programs(self, since: float, until: float = 1e12, policy: str | None = None) -> list[Program]:
        """Those that changed in the period, or are not over, the newest first."""
        c = tables.programs.c
        open_ = [state.value for state in OPEN]
        query = select(tables.programs).where((c.changed.between(since, until)) | c.state.in_(open_))
        if policy is not None:
            query = query.where(c.policy == policy)
        rows = await self._store.all(query.order_by(c.at.desc(), c.id))
        return [found for row in rows if (found := _program_from(row.body)) is not None]

    async def program(self, id_: str) -> Program | None:
        rows = await self._store.all(select(tables.programs).where(tables.programs.c.id == id_))
        return _program_from(rows[0].body) if rows else None

    async def unreadable(self) -> tuple[str, ...]:
        """Programs that are not over and that this version cannot read: what they changed is not known."""
        c = tables.programs.c
        rows = await self._store.all(select(tables.programs).where(c.state.in_([state.value for state in OPEN])))
        return tuple(sorted(row.id for row in rows if _program_from(row.body) is None))

    async def records(self, id_: str) -> list[Record]:
        """What happened to one program, oldest first."""
        c = tables.records.c
        rows = await self._store.all(select(tables.records).where(c.program == id_).order_by(c.id))
        return [Record(row.at, row.what, row.by, row.sentence) for row in rows]

    async def originals(self) -> dict[str, Original]:
        """Key -> what it had before orcha first changed it."""
        rows = await self._store.all(select(tables.originals))
        return {row.key: _ORIGINAL.validate_json(row.body) for row in rows}

    @to_its_end
    async def forget(self, keys: Iterable[str]) -> None:
        """They have again what they had: what comes later begins anew."""
        async with self._store.transaction() as connection:
            await connection.execute(delete(tables.originals).where(tables.originals.c.key.in_(list(keys))))

    async def pauses(self) -> dict[str, Pause]:
        """Policy -> its pause."""
        rows = await self._store.all(select(tables.meta).where(tables.meta.c.name.startswith(PAUSE)))
        return {row.name.removeprefix(PAUSE): _PAUSE.validate_json(row.value) for row in rows}

    @to_its_end
    async def set_pauses(self, pauses: Mapping[str, Pause | None]) -> None:
        """None: that policy goes on."""
        names = {f"{PAUSE}{policy}": pause for policy, pause in pauses.items()}
        async with self._store.transaction() as connection:
            await connection.execute(delete(tables.meta).where(tables.meta.c.name.in_(list(names))))
            rows: list[dict[str, Any]] = [
                {"name": name, "value": json.dumps(asdict(pause))} for name, pause in names.items() if pause is not None
            ]
            await insert(connection, tables.meta, rows)


def _program_row(program: Program) -> dict[str, Any]:
    steps = tuple(replace(each, failure=_plain(each.failure), note=_plain(each.note)) for each in program.steps)
    plain = replace(program, steps=steps, said=_plain(program.said), sentence=_plain(program.sentence))
    return {
        "id": program.id, "policy": program.policy, "at": program.at, "state": program.state.value,
        "changed": program.changed, "body": _PROGRAM.dump_json(replace(plain, by=_plain(plain.by))).decode(),
    }  # fmt: skip


def _record_row(program: str, record: Record) -> dict[str, Any]:
    by, sentence = _plain(record.by), _plain(record.sentence)
    return {"program": program, **asdict(replace(record, by=by, sentence=sentence))}


def _plain(text: str) -> str:
    """Without what a database cannot hold: a program's or a node's own words may have anything in them, and a sentence
    must not keep what it tells of from being journalled.
    """
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _program_from(body: str) -> Program | None:
    """None for what another version wrote and this one cannot read."""
    with suppress(ValidationError):
        return _PROGRAM.validate_json(body)
    return None
