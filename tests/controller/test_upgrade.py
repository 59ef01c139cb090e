"""A state that an earlier orcha wrote, opened by today's: all of it is there and readable, and the way back is refused in words.

The states are recordings (tests/fixtures/state/README.md); none was made by the code that reads them here.
"""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from controller import tables
from controller.address import StoreRefused
from controller.fleet import escrow
from controller.fleet.crdt import Replica
from controller.fleet.stored import Stored
from controller.journal import Journal
from controller.model import Reason
from controller.programs import ProgramState
from controller.promises import Kind
from controller.replay import replay
from controller.store import Store

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "state"
NOW = len(tables.STEPS)
SCHEMAS = {int(path.stem.removeprefix("schema-")): path for path in sorted(FOLDER.glob("schema-*.sql"))}
NEVER_WRITTEN = {3}
"""No commit had it: its step came together with the next."""
RECORDED = 1_763_700_000.0
"""The time of what was added to each recording."""
EVER = 1e12
ATTIC = "0a58b0a9522d05b5c45e1c39ad23407d"
"""The digest of what agent `attic` knew."""
KEYS = {
    "rack-1/akash", "rack-1/golem", "rack-1/grass", "rack-1/storj",
    "rack-2/storj-1", "rack-2/storj-2", "rack-2/streamr-traffic", "rack-2/streamr-weather",
}  # fmt: skip


def from_schema(least: int):
    return pytest.mark.parametrize("schema", [schema for schema in SCHEMAS if schema >= least])


@pytest.fixture
def path(tmp_path, schema) -> Path:
    """The file as the earlier orcha left it."""
    found = tmp_path / "orcha.db"
    with closing(sqlite3.connect(found)) as connection:
        connection.executescript(SCHEMAS[schema].read_text())
    return found


@pytest.fixture
async def store(path):
    store = await Store.open(f"sqlite:///{path}")
    yield store
    await store.close()


def rows_of(path: Path) -> dict[str, list[dict[str, object]]]:
    """Everything in a file: table -> its rows."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608


def test_every_schema_that_was_ever_written_is_recorded():
    assert SCHEMAS.keys() | NEVER_WRITTEN == set(range(1, NOW + 1)), "a new step wants a recording of what came before"
    assert not SCHEMAS.keys() & NEVER_WRITTEN
    for schema, path in SCHEMAS.items():
        assert f"VALUES('schema','{schema}')" in path.read_text()
        assert path.read_text().startswith(f"-- Schema {schema}, written by commit ")


@from_schema(1)
async def test_nothing_is_lost_or_changed_on_the_way(path):
    before = rows_of(path)
    store = await Store.open(f"sqlite:///{path}")
    await store.close()
    after = rows_of(path)
    about = {row["name"]: row["value"] for row in after["meta"]}
    assert about.pop("schema") == str(NOW)
    assert int(str(about.pop("epoch"))) >= 1
    was = {row["name"]: row["value"] for row in before.pop("meta") if row["name"] not in {"schema", "epoch"}}
    assert about == was
    for table, rows in before.items():
        kept = [{name: row[name] for name in had} for had, row in zip(rows, after[table], strict=True)]
        assert kept == rows, table


@from_schema(1)
async def test_a_column_that_is_new_is_unknown_and_never_zero(path):
    before = rows_of(path)
    store = await Store.open(f"sqlite:///{path}")
    await store.close()
    for table, rows in rows_of(path).items():
        for had, row in zip(before.get(table, []), rows, strict=False):
            assert {name: row[name] for name in row.keys() - had.keys() if row[name] is not None} == {}, table


@from_schema(1)
async def test_the_newest_readings_are_there_with_their_figures(store):
    newest = await store.newest()
    assert newest.keys() == KEYS
    for key, (reading, good) in newest.items():
        assert reading is not None, key
        assert reading.up, key
        assert good == reading, key
    golem = newest["rack-1/golem"][0]
    assert golem is not None
    assert golem.allocated["cpu"] > 0
    assert golem.native is not None
    assert golem.native.balance["paid"]["GLM"] >= 0


@from_schema(1)
async def test_history_goes_on_where_it_was(store):
    stored = await store.load(KEYS)
    assert stored.keys() == KEYS
    blocks = {key: await store.blocks(key, 0, EVER) for key in KEYS}
    assert sum(map(len, blocks.values())) == 4
    for each in [block for found in blocks.values() for block in found]:
        assert each.block.hours > 0
        assert each.block.levels
        assert not math.isnan(each.block.usd)
    rows = [row for key in KEYS for row in await store.readings(key, 0, EVER)]
    assert len(rows) == 14
    assert all(up for _, up, *_ in rows)
    assert await store.time() == pytest.approx(max(at for at, *_ in rows), abs=300)


@from_schema(1)
async def test_decisions_are_there_in_words_and_figures(store):
    last = await store.last_decisions()
    [decision] = await store.decisions("default", 0, EVER)
    assert last.keys() == {"default"}
    assert decision.reason == Reason.NO_HISTORY
    assert "a plan will be ready at" in decision.sentence
    assert json.loads(decision.body)


@from_schema(1)
async def test_events_and_what_was_changed_by_whom_are_there(store):
    assert [event.kind for event in await store.events(0, RECORDED + 1)] == ["Recorded"]
    golem = (await store.changes())["rack-1/golem"]
    assert (golem.last_moved, golem.manual_change_at, golem.expected) == (RECORDED - 60, RECORDED - 30, 6.0)


@from_schema(4)
async def test_a_decision_of_then_is_decided_once_more(store):
    decided = await store.decided("default", EVER)
    assert decided is not None
    assert decided.inputs is not None
    again = replay(decided.inputs)
    assert again.reason.value == decided.reason


@from_schema(4)
async def test_what_came_of_changes_is_there(store):
    [trial] = await store.trials(0, EVER)
    assert (trial.id, trial.policy, trial.kind, trial.at) == ("t-1", "demo", Kind.FOLLOWED, RECORDED)
    assert [(part.key, part.from_, part.to, part.promised) for part in trial.parts] == [
        ("rack-1/golem", 4.0, 6.0, 0.25)
    ]
    assert await store.resets() == {"demo": RECORDED - 5}


@from_schema(5)
async def test_programs_their_records_and_what_a_workload_had_at_first_are_there(store):
    journal = Journal(store)
    assert await journal.unreadable() == ()
    [program] = await journal.programs(0)
    assert (program.id, program.state, program.by) == ("p-1", ProgramState.APPLIED, "anna (operate token)")
    assert [record.sentence for record in await journal.records("p-1")] == ["applied, and its node says so"]
    assert (await journal.originals())["rack-1/golem"].amounts == {"cpu": 4.0}


@from_schema(6)
async def test_what_an_agent_promised_to_its_fleet_is_there(store):
    saved = await Stored(store, "attic").load()
    [limit] = escrow.limits(saved.replica).values()
    assert (saved.start, saved.trusted, saved.replica.digest) == (1_763_700_000_000, True, ATTIC)
    assert escrow.bounds(saved.replica, limit.name, "attic").most == 6000
    assert (len(saved.replica.terms), len(saved.replica.equalities)) == (4, 1)


@from_schema(1)
async def test_an_agent_of_a_fleet_can_join_from_an_upgraded_state(store):
    disk = Stored(store, "barn")
    assert (await disk.load()).start == 0
    replica = Replica()
    replica.count("barn", "starts", 1, "barn.1")
    await disk.save(replica.delta({}), 1, trusted=False)
    assert (await Stored(store, "barn").load()).replica.digest == replica.digest


@from_schema(1)
async def test_an_upgraded_state_is_written_and_read_again_as_a_new_one_is(path, store):
    before = await store.load(KEYS)
    await store.write()
    await store.close()
    again = await Store.open(f"sqlite:///{path}")
    assert (await again.load(KEYS)).keys() == before.keys()
    await again.close()


@from_schema(1)
async def test_the_orcha_that_wrote_it_refuses_it_after_the_upgrade_and_leaves_it_alone(path, schema):
    steps = tables.STEPS[: min(schema, NOW - 1)]
    store = await Store.open(f"sqlite:///{path}")
    await store.close()
    before = rows_of(path)
    for write in (True, False):
        with pytest.raises(StoreRefused) as refused:
            await Store.open(f"sqlite:///{path}", write=write, steps=steps)
        assert str(refused.value) == (
            f"the state {path} is from a newer orcha (schema {NOW}, this one knows {len(steps)}); "
            "install that version again, or name another with --state"
        )
    assert rows_of(path) == before


@pytest.mark.parametrize("schema", [schema for schema in SCHEMAS if schema < NOW])
async def test_who_only_reads_leaves_an_older_state_alone_and_says_what_brings_it_up_to_date(path, schema):
    before = rows_of(path)
    with pytest.raises(StoreRefused) as refused:
        await Store.open(f"sqlite:///{path}", write=False)
    assert str(refused.value) == (
        f"the state {path} is from an older orcha (schema {schema} of {NOW}); `orcha run` brings it up to date"
    )
    assert rows_of(path) == before


@from_schema(1)
def test_an_operator_sees_it_all_after_the_upgrade(path):
    async def upgrade():
        await (await Store.open(f"sqlite:///{path}")).close()

    asyncio.run(upgrade())
    argv = [sys.executable, "-m", "controller", "status", "--state", f"sqlite:///{path}", "--output", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert {row["key"] for row in view["workloads"]} == KEYS
    assert [policy["reason"] for policy in view["policies"]] == ["NoHistory"]
