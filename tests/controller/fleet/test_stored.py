"""An agent's disk in the store: what was saved is there to the last digit, whole or not at all, and each agent's is its own."""

from __future__ import annotations

import asyncio
import random

import pytest
from sqlalchemy import delete, func, select, update

from controller import tables
from controller.address import StoreFenced, StoreFull, StoreLocked, StoreRefused
from controller.fleet import escrow
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.disk import Saved
from controller.fleet.escrow import Holding, Limit
from controller.fleet.stored import Stored, forget
from controller.fleet.terms import grow, seq, shrink, verify
from controller.store import Store
from tests.controller.test_store_postgres import NEEDS_SERVER, server  # noqa: F401 the fixture

ODD = 'nul \0, a half \ud800, "quotes" and ümläut'


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_SERVER)])
async def url(request, tmp_path):
    """Of a state in which no agent saved anything."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'orcha.db'}"
    found = request.getfixturevalue("server")
    store = await Store.open(found)
    async with store.transaction() as connection:
        await connection.execute(delete(tables.shared))
    await store.close()
    return found


@pytest.fixture
async def store(url):
    store = await Store.open(url)
    yield store
    await store.close()


def write(replica: Replica, seed: int, writer: str = "a.7") -> None:
    """Something of each kind."""
    draw = random.Random(seed)
    me = writer.partition(".")[0]
    for _ in range(20):
        one, other = (
            grow(f"rack-{draw.randrange(5)}/golem", "cpu", 0.1 * draw.randrange(9), 3 + draw.random()) for _ in "ab"
        )
        epoch = draw.randint(1, 4)
        replica.add(seq(one, seq(other, verify("rack-1/golem"))), writer, epoch)
        replica.add(shrink("rack-1/akash", "cpu", 4, draw.random()), writer, epoch)
        replica.equate(one, other, writer, epoch)
        used = f"used {draw.randrange(3)}"
        replica.count(me, used, replica.counted(me, used) + 1e6 * draw.random(), f"{me}.8")
        stamp = Stamp(draw.randrange(10**12), draw.randrange(9), me)
        replica.write("site", f"{me} {draw.randrange(9)}", {"odd": ODD, "is": draw.random()}, stamp, writer, epoch)
    limit = Limit("golem cpu", (me, "b"), 10, None)
    escrow.word(replica, limit, Stamp(5, 0, me), writer)
    escrow.say(replica, limit.name, me, Holding(3, 4), Stamp(6, 0, me), writer)


def wrote(seed: int, writer: str = "a.7") -> Replica:
    replica = Replica()
    write(replica, seed, writer)
    return replica


async def keep(disk: Stored, replica: Replica, since=None, start: int = 8, *, trusted: bool = True) -> None:
    await disk.save(replica.delta(since or {}), start, trusted=trusted)


def same(one: Replica, other: Replica) -> bool:
    """With whose writes they are, and in which versions, too."""
    return (one.terms, one.equalities, one.counters, one.registers, one.floor, one.version, one.digest) == (
        other.terms, other.equalities, other.counters, other.registers, other.floor, other.version, other.digest,
    )  # fmt: skip


async def rows(store: Store, agent: str) -> int:
    c = tables.shared.c
    found = await store.all(select(func.count()).select_from(tables.shared).where(c.agent == agent))
    return int(found[0][0])


async def test_an_agent_that_never_saved_has_nothing_and_no_start(store):
    assert await Stored(store, "a").load() == Saved()


async def test_what_was_saved_is_there_after_a_restart_to_the_last_digit(store, url):
    replica = wrote(1)
    await keep(Stored(store, "a"), replica, trusted=False)
    await store.close()
    again = await Store.open(url)
    saved = await Stored(again, "a").load()
    await again.close()
    assert same(saved.replica, replica)
    assert (saved.start, saved.trusted) == (8, False)
    assert saved.replica.registers == replica.registers


async def test_what_is_new_is_added_to_what_was_there_and_a_later_value_takes_its_place(store):
    disk, replica = Stored(store, "a"), wrote(2)
    await keep(disk, replica)
    for seed in (3, 4, 5):
        since = dict(replica.version)
        write(replica, seed, "a.8")
        await keep(disk, replica, since, 9)
    saved = await Stored(store, "a").load()
    assert same(saved.replica, replica)
    assert (saved.start, saved.trusted) == (9, True)


async def test_that_an_agent_is_trusted_now_is_kept_though_nothing_else_changed(store):
    disk, replica = Stored(store, "a"), wrote(2)
    await keep(disk, replica, trusted=False)
    await keep(disk, replica, replica.version, trusted=True)
    saved = await Stored(store, "a").load()
    assert saved.trusted
    assert same(saved.replica, replica)


async def test_what_belongs_to_an_epoch_that_is_over_is_gone_from_the_disk_too(store):
    disk, replica = Stored(store, "a"), wrote(2)
    await keep(disk, replica)
    before, since = await rows(store, "a"), dict(replica.version)
    replica.close(2)
    await keep(disk, replica, since)
    assert same((await Stored(store, "a").load()).replica, replica)
    assert await rows(store, "a") == len(replica) + 1 < before


async def test_an_epoch_that_was_over_before_a_restart_is_over_after_it(store):
    replica = wrote(2)
    await keep(Stored(store, "a"), replica)
    disk = Stored(store, "a")
    loaded = (await disk.load()).replica
    loaded.close(1)
    await keep(disk, loaded, loaded.version)
    loaded.close(3)
    await keep(disk, loaded, loaded.version)
    assert await rows(store, "a") == len(loaded) + 1
    assert (await Stored(store, "a").load()).replica.floor == 3


async def test_agents_of_one_store_know_nothing_of_each_other(store):
    one, other = wrote(2), wrote(3, "b.1")
    other.close(2)
    await keep(Stored(store, "a"), one)
    await keep(Stored(store, "b"), other, start=1)
    assert same((await Stored(store, "a").load()).replica, one)
    assert same((await Stored(store, "b").load()).replica, other)


async def test_what_several_agents_save_at_once_is_all_there_and_takes_few_transactions(store):
    begun = 0
    transaction = store.transaction

    def counted():
        nonlocal begun
        begun += 1
        return transaction()

    store.transaction = counted
    replicas = {name: wrote(number, f"{name}.7") for number, name in enumerate("cdefghi")}
    await asyncio.gather(*(keep(Stored(store, name), replica) for name, replica in replicas.items()))
    assert begun <= 2
    for name, replica in replicas.items():
        assert same((await Stored(store, name).load()).replica, replica)


async def test_where_a_save_fails_so_does_all_that_was_to_be_written_with_it_and_the_next_one_goes_through(store):
    broken = wrote(2)
    broken.registers["site", "bad"] = next(iter(broken.registers.values()))._replace(epoch=None)
    saves = (keep(Stored(store, "a"), broken), keep(Stored(store, "b"), wrote(3, "b.1")))
    assert [type(found) for found in await asyncio.gather(*saves, return_exceptions=True)] == [StoreRefused] * 2
    assert (await Stored(store, "b").load()).start == 0
    await keep(Stored(store, "b"), wrote(3, "b.1"))
    assert (await Stored(store, "b").load()).start == 8


async def test_where_the_state_was_locked_the_next_save_is_a_new_try(store):
    transaction = store.transaction

    def locked():
        store.transaction = transaction
        raise StoreLocked("another program writes to it")

    store.transaction = locked
    with pytest.raises(StoreLocked):
        await keep(Stored(store, "a"), wrote(2))
    await keep(Stored(store, "b"), wrote(3, "b.1"))
    assert (await Stored(store, "a").load()).start == 0
    assert same((await Stored(store, "b").load()).replica, wrote(3, "b.1"))


async def test_an_older_writer_saves_nothing_any_more(url):
    first = await Store.open(url, shared=True)
    replica = wrote(2)
    await keep(Stored(first, "a"), replica)
    second = await Store.open(url, shared=True)
    write(replica, 3)
    with pytest.raises(StoreFenced, match="another controller writes"):
        await keep(Stored(first, "a"), replica)
    assert (await Stored(second, "a").load()).replica.digest == wrote(2).digest
    await first.close()
    await second.close()


async def test_on_a_full_disk_nothing_is_said_to_be_saved_and_later_it_can_be(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path / 'orcha.db'}")
    disk, replica = Stored(store, "a"), wrote(2)
    await keep(disk, replica)
    since = dict(replica.version)
    replica.write("site", "a", "x" * 500_000, Stamp(1, 0, "a"), "a.7")
    async with store._engine.connect() as connection:
        pages = await connection.exec_driver_sql("PRAGMA page_count")
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages.scalar()}")
    with pytest.raises(StoreFull):
        await keep(disk, replica, since)
    assert same((await Stored(store, "a").load()).replica, wrote(2))
    async with store._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    await keep(disk, replica, since)
    assert same((await Stored(store, "a").load()).replica, replica)
    await store.close()


async def test_a_save_that_is_called_off_is_whole_or_not_at_all_and_over_when_its_caller_is(store):
    disk, replica = Stored(store, "a"), Replica()
    for turns in range(40):
        since = dict(replica.version)
        replica.add(grow("rack-1/golem", "cpu", turns, turns + 1), "a.7", 1)
        replica.count("a", "used", replica.counted("a", "used") + 1, "a.7")
        saving = asyncio.create_task(keep(disk, replica, since))
        for _ in range(turns):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        found = (await Stored(store, "a").load()).replica
        assert len(found.terms) == found.counted("a", "used")
        if same(found, replica):
            continue
        assert turns == 0, "once it began it is finished"
        replica = found


SPOILED = {
    "a body that is no JSON": (tables.shared.c.kind == "counters", {"body": "{"}, "the row counters .* is not JSON"),
    "a counter that somebody else raised": (
        tables.shared.c.kind == "counters", {"body": '["b","used",1.0,"a.8",1]'}, "counter 'used' of b was raised by a.8",
    ),
    "a kind of a later orcha": (tables.shared.c.kind == "equalities", {"kind": "wishes"}, "rows of a kind 'wishes'"),
    "a term under another id": (tables.shared.c.kind == "terms", {"key": "f" * 64}, "the content of term ffff"),
    "a register with a field too many": (
        tables.shared.c.kind == "registers", {"body": "[1]"}, r"registers\.\d+\.\d: ",
    ),
    "no head": (tables.shared.c.kind == "head", None, "how much there is of it is missing"),
    "a head of a later orcha": (tables.shared.c.kind == "head", {"body": '{"later":1}'}, "Field required"),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", sorted(SPOILED))
async def test_an_agent_whose_state_cannot_be_read_whole_does_not_start(store, spoiled):
    where, to, why = SPOILED[spoiled]
    await keep(Stored(store, "a"), wrote(2))
    await keep(Stored(store, "b"), wrote(2, "b.1"))
    c = tables.shared.c
    async with store.transaction() as connection:
        kept = select(c.key).where(where, c.agent == "a").limit(1).scalar_subquery()
        chosen = (c.agent == "a") & where & (c.key == kept)
        await connection.execute(
            delete(tables.shared).where(chosen) if to is None else update(tables.shared).where(chosen).values(to)
        )
    with pytest.raises(
        StoreRefused, match=f"(?s)what agent 'a' shares with its fleet cannot be read.*{why}.*put the state aside"
    ):
        await Stored(store, "a").load()
    assert same((await Stored(store, "b").load()).replica, wrote(2, "b.1"))


async def test_what_was_forgotten_is_as_a_lost_disk_and_the_rest_of_the_state_stays(store):
    replica = Replica()
    write(replica, 1)
    await Stored(store, "a").save(replica.delta({}), 7, trusted=True)
    await Stored(store, "b").save(replica.delta({}), 7, trusted=True)
    store.note_reset("default", 5.0)
    await store.write()
    assert await forget(store) == ["a", "b"]
    assert await Stored(store, "a").load() == Saved()
    assert len(await store.all(select(tables.meta).where(tables.meta.c.name.contains("default")))) == 1
    assert await forget(store) == []
