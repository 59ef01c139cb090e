"""An agent's disk over the store: what it knows, row by row, in the transaction rules of journal.py. Effects: it reads and writes.

`save` returns when all of it is durable, and writes all of it or nothing. Agents that share one store have rows of their own.
One that a later controller has taken over from cannot save (StoreFenced). All of it raises StoreError.

A row has the form that it has in a message (wire.py), and what is loaded is judged by the same rules: an agent whose state
cannot be read whole does not start, since it may have promised what it could not read.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, ValidationError
from sqlalchemy import delete, select

from controller import tables
from controller.address import StoreRefused
from controller.fleet.crdt import NEVER, Delta, Replica
from controller.fleet.disk import Saved
from controller.fleet.wire import Changes, Malformed, Said, Versions, packed, unpacked
from controller.writing import to_its_end, upsert

if TYPE_CHECKING:
    from controller.store import Store

_HEAD: Final = "head"
"""The kind of the one row that says of which version the others are."""
_SETS: Final = ("terms", "equalities", "counters", "registers")
"""The kinds of the others: the fields of Changes."""


class _Head(Said):
    version: Versions
    floor: Annotated[int, Field(ge=0)]
    start: Annotated[int, Field(ge=1)]
    trusted: bool


class Stored:
    """Agent `me`'s, in a store that is its owner's to open and close: a Disk."""

    def __init__(self, store: Store, me: str) -> None:
        self._store, self._me = store, me
        self._floor = 0
        """Nothing of an epoch up to this is on the disk."""

    async def load(self) -> Saved:
        """Nothing where this agent never saved. Raises StoreRefused where a row cannot be read."""
        c = tables.shared.c
        query = select(c.kind, c.key, c.body).where(c.agent == self._me).order_by(c.kind, c.key)
        rows = [(str(row.kind), str(row.key), str(row.body)) for row in await self._store.all(query)]
        if not rows:
            return Saved()
        try:
            head = _head(rows)
            delta = unpacked(_changes(rows, head))
        except (ValidationError, Malformed, _Unreadable) as exc:
            raise StoreRefused(
                f"what agent {self._me!r} shares with its fleet cannot be read from the state {self._store.name}: "
                f"{_why(exc, rows)}; use the orcha that wrote it, or put the state aside: without one the agent learns "
                "again what the others know, and takes nothing until all of them agree with it"
            ) from exc
        replica = Replica()
        replica.absorb(delta)
        self._floor = head.floor
        return Saved(replica, head.start, head.trusted)

    @to_its_end
    async def save(self, new: Delta, start: int, *, trusted: bool) -> None:
        """Durable when it returns, all of it or nothing."""
        head = _Head(version=dict(new.until), floor=new.floor, start=start, trusted=trusted)
        rows = [*_rows(self._me, new), _row(self._me, _HEAD, "", NEVER, head.model_dump(mode="json"))]
        await _together(self._store).write(_Save(self._me, rows, new.floor if new.floor > self._floor else None))
        self._floor = new.floor


async def forget(store: Store) -> list[str]:
    """Delete what every agent of this store knows, as if its disk were lost; their names. For who puts an old copy of a state
    back: it does not know what was given away since. Raises StoreError.
    """
    names = sorted({str(row.agent) for row in await store.all(select(tables.shared.c.agent).distinct())})
    await _emptied(store)
    return names


@to_its_end
async def _emptied(store: Store) -> None:
    async with store.transaction() as connection:
        await connection.execute(delete(tables.shared))


@dataclass(frozen=True, slots=True)
class _Save:
    """What one agent wants written."""

    me: str
    rows: list[dict[str, Any]]
    floor: int | None
    """What belongs to an epoch up to this is to be deleted; None: it was."""


class _Together:
    """What the agents of one store want written while a transaction is under way goes into the next one, all in one: nine
    agents that hear the same would else wait for nine transactions, one after the other.
    """

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self._waiting: list[_Save] = []
        self._next: asyncio.Task[None] | None = None
        """The transaction that has not begun yet."""

    async def write(self, save: _Save) -> None:
        """Durable when it returns. Raises StoreError, to all that wanted something written at once."""
        self._waiting.append(save)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        await asyncio.shield(self._next)

    def _taken(self) -> list[_Save]:
        taken, self._waiting, self._next = self._waiting, [], None
        return taken

    async def _write(self) -> None:
        saves: list[_Save] = []
        c = tables.shared.c
        store = self._store()
        assert store is not None  # noqa: S101 whoever waits for this holds it
        try:
            async with store.transaction() as connection:
                saves = self._taken()
                await upsert(connection, tables.shared, [row for save in saves for row in save.rows])
                for save in saves:
                    if save.floor is not None:
                        over = (c.agent == save.me) & (c.epoch <= save.floor)
                        await connection.execute(delete(tables.shared).where(over))
        finally:
            if not saves:
                self._taken()


_TOGETHER: Final[weakref.WeakKeyDictionary[Store, _Together]] = weakref.WeakKeyDictionary()


def _together(store: Store) -> _Together:
    if store not in _TOGETHER:
        _TOGETHER[store] = _Together(store)
    return _TOGETHER[store]


class _Unreadable(ValueError):
    """`str()` says which row, and why."""


def _rows(me: str, new: Delta) -> Iterator[dict[str, Any]]:
    changes = packed(new)
    for name, body in changes.terms.items():
        yield _row(me, "terms", name, body[-1], body)
    for equality in changes.equalities:
        yield _row(me, "equalities", _key(equality[:2]), equality[-1], equality)
    for counter in changes.counters:
        yield _row(me, "counters", _key(counter[:2]), NEVER, counter)
    for register in changes.registers:
        yield _row(me, "registers", _key(register[:2]), register[-1], register)


def _row(me: str, kind: str, key: str, epoch: int, body: Any) -> dict[str, Any]:
    return {"agent": me, "kind": kind, "key": key, "epoch": epoch, "body": _json(body)}


def _key(names: Sequence[str]) -> str:
    """Names may have any sign in them."""
    return _json(list(names))


def _json(value: Any) -> str:
    """In ASCII: databases cannot hold all that a string can."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _head(rows: Iterable[tuple[str, str, str]]) -> _Head:
    for kind, _, body in rows:
        if kind == _HEAD:
            return _Head.model_validate_json(body)
    raise _Unreadable("the row that says how much there is of it is missing")


def _changes(rows: Iterable[tuple[str, str, str]], head: _Head) -> Changes:
    """All rows in one text, which is ten times as fast as each alone."""
    found: dict[str, list[str]] = {kind: [] for kind in _SETS}
    for kind, key, body in rows:
        if kind in found:
            found[kind].append(f"{json.dumps(key)}:{body}" if kind == "terms" else body)
        elif kind != _HEAD:
            raise _Unreadable(f"it has rows of a kind {kind!r}, which this orcha does not know")
    parts = [f'"terms":{{{",".join(found["terms"])}}}']
    parts += [f'"{kind}":[{",".join(found[kind])}]' for kind in _SETS[1:]]
    known = f'"since":{{}},"until":{_json(head.version)},"floor":{head.floor}'
    return Changes.model_validate_json(f"{{{known},{','.join(parts)}}}")


def _why(exc: Exception, rows: Iterable[tuple[str, str, str]]) -> str:
    """In one sentence, with the row where it can be told."""
    if not isinstance(exc, ValidationError):
        return str(exc)
    for kind, key, body in rows:
        try:
            json.loads(body)
        except ValueError:
            return f"the row {kind} {key[:80]!r} is not JSON"
    first = exc.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'its head'}: {first['msg']}"
