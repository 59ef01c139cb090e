"""A state with a past that is known row by row."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field

from controller.blocks import Block
from controller.export.columns import COLUMNS, Kind
from controller.export.formats import rfc3339
from controller.export.pages import SOURCES, Period
from controller.journal import Journal
from controller.rows import Batch, RecordedDecision, StoredBlock, block_row, reading_row
from controller.store import Store

T = 1_767_225_600.0  # a whole hour
HOUR = 3600.0
KEYS = ("rack-1/golem", "rack-1/storj", "rack-2/grass")


def block(start, span=300, **figures):
    return Block(int(start) // 60, span, {1: 0.05}, **figures)


@dataclass
class State:
    """What is written into it."""

    looks: list = field(default_factory=list)
    """(key, at, up, allocated, used, net)."""
    blocks: list = field(default_factory=list)
    """(key, Block)."""
    decisions: list = field(default_factory=list)
    programs: list = field(default_factory=list)
    """(Program, Records)."""
    trials: list = field(default_factory=list)

    async def write(self, url):
        store = await Store.open(url)
        try:
            await self.into(store)
        finally:
            await store.close()

    async def into(self, store):
        for each in self.decisions:
            store.note_decision(each)
        for each in self.trials:
            store.note_trial(each)
        for each, records in self.programs:
            await Journal(store).save(each, *records)
        readings = [reading_row(*look) for look in self.looks]
        blocks = [block_row(key, StoredBlock("cpu", 0.25, each)) for key, each in self.blocks]
        await store.write(Batch(readings=readings, blocks=blocks))


def decision(at, policy="default", fingerprint="", **said):
    body = {"mode": "Auto", "plan": {"solver": "dynamic"}, "verdicts": [], "left_out": {}, **said}
    return RecordedDecision(policy, at, fingerprint or f"{at}", "LowGain", "nothing earns more", json.dumps(body))


async def rows(url, what, since=0.0, until=T + 1e6, start=None):
    """As objects, in their order."""
    store = await Store.open(url, write=False)
    try:
        return [each async for each in rows_of(store, what, since, until, start)]
    finally:
        await store.close()


async def rows_of(store, what, since=0.0, until=T + 1e6, start=None):
    names = [column.name for column in COLUMNS[what]]
    async for chunk in SOURCES[what](store, Period(since, until), start or (since, None)):
        for row in chunk.rows:
            yield dict(zip(names, row, strict=True))


def read_csv(data, what):
    """What docs/export.md says to do: take one ' off a text that begins with it."""
    found = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    how = {
        Kind.TEXT: lambda text: text.removeprefix("'"),
        Kind.TIME: str,
        Kind.NUMBER: float,
        Kind.WHOLE: int,
        Kind.TRUTH: {"true": True, "false": False}.get,
        Kind.LIST: json.loads,
    }
    return [
        {column.name: how[column.kind](row[column.name]) if row[column.name] else None for column in COLUMNS[what]}
        for row in found
    ]


def read_json(data):
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def as_told(row, what):
    """A row as a JSON line tells it."""
    times = {column.name for column in COLUMNS[what] if column.kind is Kind.TIME}
    return {name: rfc3339(each) if name in times and each is not None else each for name, each in row.items()}
