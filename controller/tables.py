"""The tables of the store, and the steps that bring an older file to them. Pure data.

Every row belongs to a workload by number, so that keys stand once in the file. Times are Unix seconds, blocks begin at
whole minutes. Figures that are unknown are NULL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)

from controller.blocks import FIGURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

METADATA: Final = MetaData()


def _of_workload() -> Column[int]:
    return Column("workload_id", Integer, ForeignKey("workloads.id"), primary_key=True)


meta = Table("meta", METADATA, Column("name", String, primary_key=True), Column("value", String, nullable=False))
"""`schema` -> its version; `time` -> the time that was believed at the last flush; `epoch` -> which writer it is; `reset of
POLICY` and `pause of POLICY` -> what its owner said."""

workloads = Table(
    "workloads", METADATA, Column("id", Integer, primary_key=True), Column("key", String, nullable=False, unique=True)
)

newest = Table(
    "newest",
    METADATA,
    _of_workload(),
    Column("at", Double, nullable=False),
    Column("reading", Text, nullable=False),
    Column("last_good", Text),
    Column("resource", String),
    Column("sample", Text),
)
"""The newest reading as JSON, the newest with `up`, and where summing up goes on after a restart: the sample that still
holds, with all its digits (the newest block goes on too)."""

readings = Table(
    "readings",
    METADATA,
    _of_workload(),
    Column("at", Double, primary_key=True),
    Column("up", Boolean, nullable=False),
    Column("allocated", Double),
    Column("used", Double),
    Column("net_usd_per_hour", Double),
    sqlite_with_rowid=False,
)
"""Of the last day; what is older is in the blocks."""

blocks = Table(
    "blocks",
    METADATA,
    _of_workload(),
    Column("start", BigInteger, primary_key=True),
    Column("span", Integer, primary_key=True),
    Column("resource", String),
    Column("quantum", Double, nullable=False),
    *(Column(name, Double) for name in FIGURES),
    Column("levels", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""controller/blocks.py; `start` in minutes, `levels` as little-endian pairs of (uint16 code, float64 hours)."""


def _of_decision() -> tuple[Column[Any], ...]:
    return (
        Column("at", Double, nullable=False),
        Column("fingerprint", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("sentence", Text, nullable=False),
        Column("body", Text, nullable=False),
    )


decisions = Table(
    "decisions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("policy", String, nullable=False),
    *_of_decision(),
    Index("decisions_by_time", "policy", "at"),
)
"""Those that differed from the one before."""

inputs = Table(
    "inputs",
    METADATA,
    Column("policy", String, primary_key=True),
    Column("at", Double, primary_key=True),
    Column("inputs", LargeBinary, nullable=False),
)
"""What those decisions were made from (controller/replay.py), beside them: lists of decisions need not read it."""

last_decisions = Table("last_decisions", METADATA, Column("policy", String, primary_key=True), *_of_decision())

events = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("sentence", Text, nullable=False),
)

changes = Table(
    "changes",
    METADATA,
    _of_workload(),
    Column("last_moved", Double),
    Column("manual_change_at", Double),
    Column("expected", Double),
    Column("resource", String),
    sqlite_with_rowid=False,
)
"""`expected`: the allocation that orcha set, or saw last; another one that appears is a manual change."""

trials = Table(
    "programs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("policy", String, nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("ended", Double),
    Column("body", Text, nullable=False),
)
"""Trials: changes of allocations with their promises and outcomes (controller/promises.py) as JSON; `ended` NULL: not judged yet."""

programs = Table(
    "journal",
    METADATA,
    Column("id", String, primary_key=True),
    Column("policy", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("state", String, nullable=False),
    Column("changed", Double, nullable=False, index=True),
    Column("body", Text, nullable=False),
)
"""Programs (controller/programs.py) as JSON, as they are now. `programs` was the name of the trials' table before."""

records = Table(
    "records",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("program", String, nullable=False, index=True),
    Column("at", Double, nullable=False),
    Column("what", String, nullable=False),
    Column("by", String, nullable=False),
    Column("sentence", Text, nullable=False),
)
"""What happened to programs, line by line; never changed."""

originals = Table(
    "originals",
    METADATA,
    Column("key", String, primary_key=True),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
)
"""What a workload had before orcha first changed it (programs.Original) as JSON."""

shared = Table(
    "fleet",
    METADATA,
    Column("agent", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""What an agent of the fleet knows (controller/fleet/stored.py), each agent its own; several may share one store."""


def _first(connection: Connection) -> None:
    METADATA.create_all(connection)


def _tokens(connection: Connection) -> None:
    """Earnings in tokens beside those in dollars; an empty file had them from the first step."""
    known = {column["name"] for column in inspect(connection).get_columns("blocks")}
    for name in ("tokens", "token_usd"):
        if name not in known:
            connection.exec_driver_sql(f"ALTER TABLE blocks ADD COLUMN {name} DOUBLE PRECISION")


def _inputs(connection: Connection) -> None:
    """What decisions were made from; an empty file had the table from the first step."""
    inputs.create(connection, checkfirst=True)


def _programs(connection: Connection) -> None:
    """What came of changes; an empty file had all of it from the first step."""
    trials.create(connection, checkfirst=True)
    if "resource" not in {column["name"] for column in inspect(connection).get_columns("changes")}:
        connection.exec_driver_sql("ALTER TABLE changes ADD COLUMN resource VARCHAR")


def _journal(connection: Connection) -> None:
    """What orcha does itself; an empty file had all of it from the first step."""
    for table in (programs, records, originals):
        table.create(connection, checkfirst=True)


def _fleet(connection: Connection) -> None:
    """What the fleet shares; an empty file had the table from the first step."""
    shared.create(connection, checkfirst=True)


STEPS: Final[tuple[Callable[[Connection], None], ...]] = (_first, _tokens, _inputs, _programs, _journal, _fleet)
"""STEPS[i] brings version i to i + 1; version 0 is an empty file. Once released, a step is never edited: a change of the
tables is a new step, and the first one keeps creating what it created then."""
