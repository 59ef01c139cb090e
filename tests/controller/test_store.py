"""The store: what goes in comes out, also after a restart and beside a reader; every bad file is one clear sentence."""

from __future__ import annotations

import math
import os
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from controller import tables
from controller.address import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreRefused
from controller.blocks import Block
from controller.rows import Batch, Change, Event, RecordedDecision, StoredBlock, block_row, newest_row, reading_row
from controller.store import MOST_INPUTS_WAITING, Store
from exporters.reading import Connection, Native, Pool, Quality, Reading

KEY = "rack-1/golem"
READING = Reading(
    "rack-1", "golem", "golem", 1e9, state="online", states=("online", "offline"), healthy=True, quality=Quality.MEASURED,
    native=Native({"GLM": 0.1}, {"GLM": 0.09}, {"paid": {"GLM": 3.5}}, {"cpu": {"GLM": 0.02}}),
    rate_usd_per_hour=0.025, net_usd_per_hour=1 / 3, balance_usd={"paid": 0.9}, allocated={"cpu": 8.0}, used={"cpu": 2.5},
    pool=Pool({"DATA": 1.0}, 5e6), connection=Connection.RECONNECTING, notes=("odd",),
    extra={"orcha_golem_offers": (({"status": "open"}, 2.0),)},
)  # fmt: skip


def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orcha.db"


@pytest.fixture
async def store(path):
    store = await Store.open(url(path), patience=0.05)
    yield store
    await store.close()


@pytest.fixture
def unprivileged():
    """A directory that the effective user may read only where a test says so, also when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        root = os.geteuid() == 0
        Path(name).chmod(0o755)
        if root:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            Path(name).chmod(0o755)
            if root:
                os.seteuid(0)


def batch(at: float = 1e9, **more) -> Batch:
    reading = replace(READING, at=at, **more)
    block = Block(int(at) // 60, 300, {16: 0.05, 33: 0.01}, hours=0.06, usd=1 / 3)
    return Batch(
        newest=[newest_row(KEY, reading, reading, "cpu", [at, True, 8.0, 2.5, None, None, 0.0])],
        readings=[reading_row(KEY, at, True, 8.0, 2.5, math.nan)],
        blocks=[block_row(KEY, StoredBlock("cpu", 0.25, block))],
    )


def decision(at: float, fingerprint: str, policy: str = "default") -> RecordedDecision:
    return RecordedDecision(policy, at, fingerprint, "LowGain", "stay", '{"moves": []}')


async def reopened(store: Store, path: Path) -> Store:
    await store.close()
    return await Store.open(url(path))


async def test_a_reading_comes_back_whole_after_a_restart(store, path):
    await store.write(batch())
    again = await reopened(store, path)
    assert await again.newest() == {KEY: (READING, READING)}
    await again.close()


async def test_the_last_good_reading_stays_beside_a_failed_newest(store):
    bad = Reading("rack-1", "golem", "golem", 2e9, up=False, failure="timeout")
    await store.write(Batch(newest=[newest_row(KEY, bad, READING, "cpu", [2e9, False])]))
    assert await store.newest() == {KEY: (bad, READING)}


async def test_a_figure_that_is_no_number_comes_back_unknown(store):
    odd = replace(READING, payout_threshold_usd=math.nan, used={"cpu": math.inf, "memory": 1.0})
    await store.write(Batch(newest=[newest_row(KEY, odd, odd, "cpu", [1e9, True])]))
    newest, _ = (await store.newest())[KEY]
    assert newest == replace(READING, payout_threshold_usd=None, used={"memory": 1.0})


async def test_a_reading_that_this_version_cannot_read_is_unknown_and_nothing_breaks(store, path):
    await store.write(batch())
    raw = sqlite3.connect(path)
    raw.execute('UPDATE newest SET reading = \'{"from": "the future"}\'')
    raw.commit()
    raw.close()
    assert await store.newest() == {KEY: (None, None)}


async def test_blocks_and_readings_of_any_period_come_back_exactly(store):
    for at in (900.0, 1200.0, 1500.0):
        await store.write(batch(at))
    [found] = await store.blocks(KEY, 1200.0, 1500.0)
    assert found.resource == "cpu"
    assert (found.block.start, found.block.usd, found.block.levels) == (20, 1 / 3, {16: 0.05, 33: 0.01})
    [(at, up, allocated, used, net)] = await store.readings(KEY, 1200.0, 1500.0)
    assert (at, up, allocated, used) == (1200.0, True, 8.0, 2.5)
    assert math.isnan(net)
    assert await store.blocks("nobody/here", 0, 1e10) == []


async def test_writing_a_block_again_replaces_it(store):
    await store.write(batch(900.0))
    await store.write(batch(900.0))
    assert len(await store.blocks(KEY, 0, 1e10)) == 1
    assert len(await store.readings(KEY, 0, 1e10)) == 1


async def test_what_is_older_than_the_retention_is_deleted(store):
    for at in (900.0, 90000.0):
        await store.write(batch(at))
        store.note_event(Event(at, "Started", "orcha", "orcha started"))
        store.note_decision(decision(at, str(at)))
    await store.write()
    await store.prune(readings_before=90000.0, before=1200.0)
    assert [found.block.start for found in await store.blocks(KEY, 0, 1e10)] == [1500]
    assert [row[0] for row in await store.readings(KEY, 0, 1e10)] == [90000.0]
    assert [event.at for event in await store.events(0, 1e10)] == [90000.0]
    assert [found.at for found in await store.decisions("default", 0, 1e10)] == [90000.0]


async def test_of_decisions_the_newest_and_those_that_changed_are_kept(store, path):
    for at, fingerprint in ((1.0, "a"), (2.0, "a"), (3.0, "b")):
        store.note_decision(decision(at, fingerprint))
    store.note_decision(decision(2.5, "x", policy="other"))
    await store.write()
    again = await reopened(store, path)
    again.note_decision(decision(4.0, "b"))
    await again.write()
    assert {policy: found.at for policy, found in (await again.last_decisions()).items()} == {
        "default": 4.0,
        "other": 2.5,
    }
    assert [found.at for found in await again.decisions("default", 0, 10)] == [1.0, 3.0]
    await again.close()


def made_from(at: float, fingerprint: str, inputs: bytes | None, policy: str = "default") -> RecordedDecision:
    return replace(decision(at, fingerprint, policy), inputs=inputs)


async def test_what_a_decision_was_made_from_is_kept_with_those_that_changed(store, path):
    for at, fingerprint, inputs in ((1.0, "a", b"one"), (2.0, "a", b"two"), (3.0, "b", b"three"), (4.0, "c", None)):
        store.note_decision(made_from(at, fingerprint, inputs))
    store.note_decision(made_from(2.0, "x", b"other", policy="other"))
    await store.write()
    again = await reopened(store, path)
    held = {at: await again.decided("default", at) for at in (0.5, 1.0, 2.5, 3.5, 9.0)}
    assert held[0.5] is None
    assert [(found.at, found.inputs) for found in list(held.values())[1:]] == [
        (1.0, b"one"), (1.0, b"one"), (3.0, b"three"), (4.0, None),
    ]  # fmt: skip
    assert (await again.decided("other", 9.0)).inputs == b"other"
    assert await again.decided("nobody", 9.0) is None
    assert [await again.decided_since(policy) for policy in ("default", "nobody")] == [1.0, None]
    assert [found.inputs for found in await again.decisions("default", 0, 10)] == [None] * 3, "lists need not read them"
    await again.close()


async def test_of_a_decision_like_the_newest_nobody_needs_to_make_the_inputs(store, path):
    assert store.fingerprint("default") is None
    store.note_decision(decision(1.0, "a"))
    assert store.fingerprint("default") == "a"
    await store.write()
    again = await reopened(store, path)
    assert again.fingerprint("default") == "a"
    await again.close()


async def test_inputs_go_with_their_decisions_and_the_oldest_where_there_are_too_many(store):
    for at in (1.0, 2.0, 3.0, 4.0):
        store.note_decision(made_from(at, str(at), b"x" * 100))
    await store.write()
    await store.prune(0.0, 2.0)
    assert await store.decided("default", 1.0) is None
    assert (await store.decided("default", 2.0)).inputs is not None
    await store.prune(0.0, 2.0, most_inputs=250)
    assert [(await store.decided("default", at)).inputs is None for at in (2.0, 3.0, 4.0)] == [True, False, False]
    await store.prune(0.0, 2.0, most_inputs=0)
    assert (await store.decided("default", 4.0)).inputs is None
    assert len(await store.decisions("default", 0, 10)) == 3, "the decisions stay"


async def test_while_nothing_can_be_written_only_the_newest_inputs_wait(store):
    for at in range(MOST_INPUTS_WAITING + 5):
        store.note_decision(made_from(float(at), str(at), b"x"))
    await store.write()
    assert (await store.decided("default", 4.0)).inputs is None
    assert (await store.decided("default", 5.0)).inputs == b"x"
    assert len(await store.decisions("default", 0, 1e6)) == MOST_INPUTS_WAITING + 5


async def test_a_state_from_before_inputs_were_kept_gets_their_table(path):
    old = await Store.open(url(path), steps=tables.STEPS[:2])
    async with old._writing(durable=False) as connection:
        await connection.exec_driver_sql("DROP TABLE inputs")
    await old.close()
    store = await Store.open(url(path))
    store.note_decision(made_from(1.0, "a", b"one"))
    await store.write()
    assert (await store.decided("default", 1.0)).inputs == b"one"
    await store.close()


async def test_changes_are_known_at_once_and_after_a_restart(store, path):
    store.note_change(KEY, Change(last_moved=5.0, expected=8.0))
    assert await store.changes() == {KEY: Change(5.0, None, 8.0)}
    await store.write()
    again = await reopened(store, path)
    assert await again.changes() == {KEY: Change(5.0, None, 8.0)}
    await again.close()


async def test_the_newest_events_of_a_period_are_given_in_order(store):
    for at in range(5):
        store.note_event(Event(float(at), "Kind", KEY, f"event {at}"))
    await store.write()
    assert [event.at for event in await store.events(1, 10, most=3)] == [2.0, 3.0, 4.0]


async def test_a_reader_sees_what_a_writer_writes_at_the_same_time(store, path):
    await store.write(batch(900.0))
    reader = await Store.open(url(path), write=False)
    await store.write(batch(1200.0))
    assert len(await reader.blocks(KEY, 0, 1e10)) == 2
    with pytest.raises(StoreRefused, match="reading only"):
        await reader.write(batch())
    await reader.close()


async def test_a_state_of_an_ended_writer_is_read_in_a_directory_that_cannot_be_written(unprivileged):
    path = unprivileged / "orcha.db"
    store = await Store.open(url(path))
    await store.write(batch())
    await store.close()
    unprivileged.chmod(0o555)
    reader = await Store.open(url(path), write=False)
    assert await reader.newest() == {KEY: (READING, READING)}
    await reader.close()


async def test_a_path_with_odd_characters_is_read_and_written(tmp_path):
    path = tmp_path / "50% of a?#b.db"
    store = await Store.open("sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F"))
    await store.close()
    reader = await Store.open("sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F"), write=False)
    await reader.close()


class TestBadFiles:
    async def test_a_second_writer_is_refused_and_the_first_goes_on(self, store, path):
        with pytest.raises(StoreLocked, match="another orcha already writes"):
            await Store.open(url(path))
        await store.write(batch())

    async def test_the_place_is_free_again_when_the_first_writer_ended(self, store, path):
        again = await reopened(store, path)
        await again.close()

    async def test_a_file_that_is_locked_by_another_program_is_named_and_tried_again(self, store, path):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked, match="locked by another program"):
            await store.write(batch())
        other.execute("ROLLBACK")
        other.close()
        await store.write(batch())
        assert len(await store.blocks(KEY, 0, 1e10)) == 1

    @pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
    @pytest.mark.parametrize(
        "content", [b"this is no database " * 100, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "torn"]
    )
    async def test_a_corrupt_file_is_named_and_left_as_it_is(self, path, content, write):
        path.write_bytes(content)
        with pytest.raises(StoreDamaged, match="left as it is"):
            await Store.open(url(path), write=write)
        assert path.read_bytes() == content

    async def test_a_file_with_a_damaged_page_is_refused_before_anything_is_written(self, store, path):
        for at in range(0, 3000000, 3000):
            await store.write(batch(float(at)))
        await store.close()
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 4096] = b"\x5a" * 4096
        path.write_bytes(content)
        with pytest.raises(StoreDamaged):
            await Store.open(url(path))
        assert path.read_bytes() == content

    async def test_a_file_of_a_newer_version_is_refused(self, store, path):
        await store.close()
        with pytest.raises(StoreRefused, match="from a newer orcha"):
            await Store.open(url(path), steps=())
        with pytest.raises(StoreRefused, match="from a newer orcha"):
            await Store.open(url(path), steps=(), write=False)

    async def test_an_older_file_is_brought_to_the_newest_version_step_by_step(self, store, path):
        def rename(connection):
            connection.exec_driver_sql("ALTER TABLE events ADD COLUMN later TEXT")

        await store.write(batch())
        await store.close()
        steps = (*tables.STEPS, rename)
        with pytest.raises(StoreRefused, match="from an older orcha"):
            await Store.open(url(path), steps=steps, write=False)
        again = await Store.open(url(path), steps=steps)
        assert len(await again.blocks(KEY, 0, 1e10)) == 1
        await again.close()
        with pytest.raises(StoreRefused, match=f"schema {len(steps)}, this one knows {len(tables.STEPS)}"):
            await Store.open(url(path))

    async def test_a_file_from_before_tokens_were_counted_is_brought_up_to_date_and_says_nothing_of_them(
        self, store, path
    ):
        await store.write(batch())
        await store.close()
        with sqlite3.connect(path) as file:
            file.execute("ALTER TABLE blocks DROP COLUMN tokens")
            file.execute("ALTER TABLE blocks DROP COLUMN token_usd")
            file.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
        file.close()
        again = await Store.open(url(path))
        (stored,) = await again.blocks(KEY, 0, 1e10)
        await again.close()
        assert (stored.block.tokens, stored.block.token_usd) == (0.0, 0.0)

    async def test_a_step_that_fails_leaves_the_old_version(self, store, path):
        def fails(connection):
            connection.exec_driver_sql("CREATE TABLE half (x)")
            connection.exec_driver_sql("SELECT no_such_thing")

        await store.close()
        with pytest.raises(StoreError):
            await Store.open(url(path), steps=(*tables.STEPS, fails))
        again = await Store.open(url(path))
        await again.close()

    async def test_a_database_of_something_else_is_left_alone(self, path):
        raw = sqlite3.connect(path)
        raw.execute("CREATE TABLE invoices (id)")
        raw.commit()
        raw.close()
        with pytest.raises(StoreRefused, match="database of something else"):
            await Store.open(url(path))

    async def test_a_missing_directory_is_named(self, tmp_path):
        with pytest.raises(StoreRefused, match=r"directory .*/no/such of the state does not exist; create it"):
            await Store.open(url(tmp_path / "no" / "such" / "orcha.db"))

    async def test_a_directory_is_no_state(self, tmp_path):
        with pytest.raises(StoreRefused, match="is a directory"):
            await Store.open(url(tmp_path))

    async def test_a_state_that_is_not_there_is_not_read(self, path):
        with pytest.raises(StoreRefused, match="there is no state at"):
            await Store.open(url(path), write=False)
        assert not path.exists()

    async def test_a_read_only_file_is_refused_with_what_to_do(self, unprivileged):
        path = unprivileged / "orcha.db"
        await (await Store.open(url(path))).close()
        path.chmod(0o444)
        with pytest.raises(StoreRefused, match="read-only for orcha; let its user write"):
            await Store.open(url(path))

    @pytest.mark.parametrize("write", [True, False], ids=["to write", "to read"])
    async def test_a_state_in_a_folder_of_somebody_else_is_refused_with_what_to_do(self, unprivileged, write):
        theirs = unprivileged / "theirs"
        theirs.mkdir()
        theirs.chmod(0)
        with pytest.raises(StoreRefused, match=r"cannot be reached \(Permission denied\); run this as who owns it"):
            await Store.open(url(theirs / "state" / "orcha.db"), write=write)

    async def test_a_directory_that_cannot_be_written_is_refused(self, unprivileged):
        unprivileged.chmod(0o555)
        with pytest.raises(StoreRefused, match="read-only for orcha"):
            await Store.open(url(unprivileged / "orcha.db"))

    async def test_a_file_that_cannot_be_read_is_refused(self, unprivileged):
        path = unprivileged / "orcha.db"
        await (await Store.open(url(path))).close()
        path.chmod(0)
        with pytest.raises(StoreRefused, match="cannot be opened; check that orcha's user may read"):
            await Store.open(url(path), write=False)
        path.chmod(0o644)

    async def test_on_a_full_disk_nothing_is_lost_and_the_next_flush_writes_it(self, store):
        async with store._engine.connect() as connection:  # the one idle connection of the pool: writes use it too
            pages = await connection.exec_driver_sql("PRAGMA page_count")
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages.scalar()}")
        many = Batch(readings=[reading_row(KEY, float(at), True, 1, 1, 1) for at in range(5000)])
        store.note_event(Event(1.0, "Started", "orcha", "orcha started"))
        with pytest.raises(StoreFull, match=r"no room left .*nothing is lost"):
            await store.write(many)
        assert await store.events(0, 10) == []
        async with store._engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=100000")
        await store.write()
        assert len(await store.events(0, 10)) == 1

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("mysql://host/orcha", "keeps no state in 'mysql'; write sqlite:///PATH or postgresql://"),
            ("orcha.db", "cannot be read; write sqlite:///PATH"),
            ("", "cannot be read; write sqlite:///PATH"),
            ("sqlite://", "must be a file that survives a restart"),
            ("sqlite:///:memory:", "must be a file that survives a restart"),
        ],
    )
    async def test_an_address_that_is_none_says_what_would_be_right(self, address, words):
        with pytest.raises(StoreRefused, match=words):
            await Store.open(address)

    async def test_what_waits_is_bounded_and_the_oldest_give_way(self, store):
        for at in range(10_005):
            store.note_event(Event(float(at), "Kind", KEY, "event"))
        await store.write()
        assert (await store.events(0, 1e10, most=20_000))[0].at == 5.0
