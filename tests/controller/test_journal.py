"""The journal: on the disk when it says so, whole or not at all, and in nobody's hands but the writer's. On both stores."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import update

from controller import tables
from controller.address import StoreFenced, StoreFull, StoreRefused
from controller.journal import Journal
from controller.model import Interval
from controller.programs import Cause, Original, Pause, Phase, Program, ProgramState, Record, Stage, Step
from controller.promises import Kind, Part, Promise, Trial
from controller.store import Store
from tests.controller.test_store_postgres import NEEDS_SERVER, server  # noqa: F401 the fixture

NOW = 1_700_000_000.0
STOOD = {"env": {"DISK": "12TB", "note": None}, "order": [1, 2.5, True], "empty": {}}
GOLEM, STORJ = "rack-1/golem", "rack-1/storj"


def step(key: str = GOLEM, **changes) -> Step:
    made = Step(key, key.partition("/")[0], "cpu", {"cpu": 4.0, "memory": 1 / 3}, {"cpu": 6.0, "memory": 2.0**53})
    return replace(made, **changes)


def program(id_: str = "p-1", at: float = NOW, **changes) -> Program:
    made = Program(id_, "default", Cause.PLAN, at, (step(),), ProgramState.PENDING, "more is earned so", at)
    return replace(made, **changes)


WHOLE = program(
    steps=(
        step(STORJ, phase=Phase.RETURNING, stood=STOOD, failure='"no", it said', note="waits", since=NOW + 0.1),
        step(phase=Phase.DONE, stood={}),
    ),
    state=ProgramState.BLOCKED, by="anna (operate token)", said="the node is gone", expires=NOW + 1, began=NOW + 2,
    retry_at=NOW + 3, tries=4, stage=Stage(1, (0.1, 1.0), {GOLEM: 4.0}, {GOLEM: 6.0}), of="p-0", back=True,
    trial=Trial(
        "p-1", "default", Kind.APPLIED, NOW, (Part(GOLEM, "golem", "cpu", 4.0, 6.0, NOW, 7200.0, promised=0.25),),
        Promise(Interval(-0.1, 0.2, 0.3), 0.8, 0.01),
    ),
)  # fmt: skip


def record(what: str, at: float = NOW) -> Record:
    return Record(at, what, "orcha", f"{what}, because")


def original(key: str, cpu: float) -> Original:
    return Original(key, NOW, "default", "cpu", {"cpu": cpu}, STOOD)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_SERVER)])
async def url(request, tmp_path):
    """Of a state that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'orcha.db'}"
    found = request.getfixturevalue("server")
    store = await Store.open(found)
    async with store.transaction() as connection:
        for table in (tables.programs, tables.records, tables.originals, tables.meta):
            rows = table.delete()
            await connection.execute(
                rows.where(tables.meta.c.name.startswith("pause")) if table is tables.meta else rows
            )
    await store.close()
    return found


@pytest.fixture
async def store(url):
    store = await Store.open(url)
    yield store
    await store.close()


@pytest.fixture
def journal(store):
    return Journal(store)


async def reopened(store: Store, url: str) -> Store:
    await store.close()
    return await Store.open(url)


async def test_what_was_saved_is_there_after_a_restart_to_the_last_digit(store, url):
    await Journal(store).save(WHOLE, record("blocked"), originals=[original(GOLEM, 4.0)])
    again = await reopened(store, url)
    journal = Journal(again)
    assert await journal.program("p-1") == WHOLE
    assert await journal.programs(0) == [WHOLE]
    assert await journal.records("p-1") == [record("blocked")]
    assert await journal.originals() == {GOLEM: original(GOLEM, 4.0)}
    assert await journal.program("p-2") is None
    assert await journal.records("p-2") == []
    await again.close()


async def test_when_save_returns_everybody_else_can_read_it(store, url):
    reader = await Store.open(url, write=False)
    for state in (ProgramState.PENDING, ProgramState.APPROVED, ProgramState.RUNNING):
        await Journal(store).save(program(state=state), record(state.value))
        seen = await Journal(reader).program("p-1")
        assert seen is not None
        assert seen.state is state
        assert (await Journal(reader).records("p-1"))[-1].what == state.value
    await reader.close()


async def test_lines_are_only_ever_added_and_keep_their_order_whatever_their_times(journal):
    for what, at in (("running", 3.0), ("issued", 3.0), ("done", 1.0)):
        await journal.save(program(), record(what, at), record(f"{what} too", at))
    await journal.save(program("p-2"), record("pending"))
    await journal.save(program())
    assert [each.what for each in await journal.records("p-1")] == [
        "running", "running too", "issued", "issued too", "done", "done too",
    ]  # fmt: skip


async def test_an_original_is_what_was_there_before_the_first_change_until_it_was_given_back(journal):
    await journal.save(program(), originals=[original(GOLEM, 4.0)])
    await journal.save(program(), originals=[original(GOLEM, 6.0), original(STORJ, 1.0)])
    assert {key: each.amounts["cpu"] for key, each in (await journal.originals()).items()} == {GOLEM: 4.0, STORJ: 1.0}
    await journal.forget([GOLEM, "rack-1/unknown"])
    await journal.save(program(), originals=[original(GOLEM, 8.0)])
    assert {key: each.amounts["cpu"] for key, each in (await journal.originals()).items()} == {GOLEM: 8.0, STORJ: 1.0}


async def test_pauses_are_kept_and_ended_by_name(store, url):
    pause, other = Pause(NOW, "anna", 'why "not"'), Pause(NOW + 1, "ben")
    await Journal(store).set_pauses({"default": pause, "*": other, "50%_off": pause})
    await Journal(store).set_pauses({"default": None, "*": other, "unknown": None})
    again = await reopened(store, url)
    assert await Journal(again).pauses() == {"*": other, "50%_off": pause}
    await again.close()


async def test_programs_come_newest_first_those_of_the_period_and_all_that_are_not_over(journal):
    over = ProgramState.APPLIED
    for made in (
        program("p-old-over", 100.0, state=over), program("p-old-open", 200.0), program("p-new-over", 300.0, state=over),
        program("p-b", 400.0), program("p-a", 400.0), program("p-other", 500.0, policy="other", state=over),
    ):  # fmt: skip
        await journal.save(made)
    assert [each.id for each in await journal.programs(250.0)] == ["p-other", "p-a", "p-b", "p-new-over", "p-old-open"]
    assert [each.id for each in await journal.programs(250.0, 350.0)] == ["p-a", "p-b", "p-new-over", "p-old-open"]
    assert [each.id for each in await journal.programs(0.0, policy="other")] == ["p-other"]


async def test_what_another_version_wrote_is_left_out_and_named_where_it_is_not_over(store, journal):
    await journal.save(program("p-good"))
    for id_, state in (("p-odd", ProgramState.RUNNING), ("p-over", ProgramState.APPLIED)):
        await journal.save(program(id_, state=state))
        async with store.transaction() as connection:
            odd = update(tables.programs).where(tables.programs.c.id == id_).values(body='{"id": "p-odd", "new": 1}')
            await connection.execute(odd)
    assert [each.id for each in await journal.programs(0.0)] == ["p-good"]
    assert await journal.program("p-odd") is None
    assert await journal.unreadable() == ("p-odd",)


@pytest.mark.parametrize(
    "odd", ["a\0b", "half a \ud83d pair", "\udcff", "\x1b[31mred\x1b[0m\r\n\t", "'; DROP TABLE journal; --", "💾 Σ ≤ 漢", "x" * 10**6],
    ids=["zero", "half a pair", "no utf-8", "control", "sql", "unicode", "long"],
)  # fmt: skip
async def test_no_word_of_a_node_keeps_a_program_out_of_the_journal(journal, odd):
    said = program(
        said=odd, by=odd, sentence=odd, steps=(step(failure=odd, note=odd, stood={"said": odd.replace("\ud83d", "").replace("\udcff", "")}),)
    )  # fmt: skip
    await journal.save(said, Record(NOW, "blocked", odd, odd))
    [kept], [line] = await journal.programs(0), await journal.records("p-1")
    clean = odd.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    assert (kept.said, kept.by, kept.sentence, line.sentence, line.by) == (clean,) * 5
    assert (kept.steps[0].failure, kept.steps[0].note) == (clean, clean)
    assert await journal.unreadable() == ()


async def test_an_older_writer_changes_nothing_any_more(url):
    first = await Store.open(url, shared=True)
    old = Journal(first)
    await old.save(program(), record("pending"), originals=[original(GOLEM, 4.0)])
    await old.set_pauses({"default": Pause(NOW, "anna")})
    second = await Store.open(url, shared=True)
    for work in (
        old.save(program(state=ProgramState.RUNNING), record("running"), originals=[original(STORJ, 1.0)]),
        old.forget([GOLEM]),
        old.set_pauses({"default": None}),
    ):
        with pytest.raises(StoreFenced, match="another controller writes"):
            await work
    new = Journal(second)
    assert (await new.programs(0))[0].state is ProgramState.PENDING
    assert [each.what for each in await new.records("p-1")] == ["pending"]
    assert (await new.originals()).keys() == {GOLEM}
    assert (await new.pauses()).keys() == {"default"}
    await new.save(program(state=ProgramState.APPROVED), record("approved"))
    await first.close()
    await second.close()


async def test_a_reader_is_no_writer(store, url):
    reader = await Store.open(url, write=False)
    with pytest.raises(StoreRefused, match="for reading only"):
        await Journal(reader).save(program())
    await reader.close()


async def test_what_cannot_be_written_whole_is_not_written_at_all(journal):
    await journal.save(program(), record("pending"))
    with pytest.raises(StoreRefused):
        await journal.save(program(state=ProgramState.RUNNING), replace(record("running"), what=None))
    assert (await journal.programs(0))[0].state is ProgramState.PENDING
    assert [each.what for each in await journal.records("p-1")] == ["pending"]


async def test_on_a_full_disk_nothing_is_said_to_be_saved_and_later_it_can_be(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'orcha.db'}")
    journal = Journal(store)
    async with store._engine.connect() as connection:  # the one idle connection of the pool: saves use it too
        pages = await connection.exec_driver_sql("PRAGMA page_count")
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages.scalar()}")
    with pytest.raises(StoreFull):
        await journal.save(program(said="x" * 100_000), record("running"))
    assert await journal.programs(0) == []
    async with store._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    await journal.save(program(said="x" * 100_000), record("running"))
    assert len(await journal.programs(0)) == 1
    await store.close()


async def test_several_programs_at_once_lose_nothing(journal):
    async def life(id_: str) -> None:
        for tries in range(10):
            await journal.save(program(id_, tries=tries), record(f"{tries}"))

    await asyncio.gather(*(life(f"p-{i}") for i in range(8)))
    for made in await journal.programs(0):
        assert made.tries == 9
        assert [each.what for each in await journal.records(made.id)] == [f"{tries}" for tries in range(10)]


async def test_a_save_that_is_called_off_is_whole_or_not_at_all_and_the_next_one_goes_through(journal):
    for turns in range(30):
        task = asyncio.create_task(journal.save(program(tries=turns), record(f"{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found, lines = await journal.program("p-1"), await journal.records("p-1")
        assert (found is None) == (lines == [])
        if found is not None:
            assert lines[-1].what == f"{found.tries}"
    await journal.save(program(tries=99), record("99"))
    assert (await journal.records("p-1"))[-1].what == "99"


async def test_a_save_that_is_called_off_is_over_when_its_caller_is(journal):
    """One that was torn off in the middle of a statement kept SQLite locked until its cursor was collected."""
    for turns in range(1, 60):
        saving = asyncio.create_task(journal.save(program(tries=turns), record(f"{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        assert (await journal.program("p-1")).tries == turns
    assert [each.what for each in await journal.records("p-1")] == [f"{turns}" for turns in range(1, 60)]
