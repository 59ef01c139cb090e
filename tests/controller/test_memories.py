"""What the past comes to, kept while blocks close: the same as from all blocks, whatever happens between."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.blocks import Block, unpack
from controller.decide import decide
from controller.estimate.kernels import ALONE
from controller.estimate.memory import nothing, of_kernels, unit_worth
from controller.estimate.recall import remember
from controller.history import DAY, History
from controller.memories import COARSE, FINE, MANY, PART, Memories, grain_of, recalled
from controller.model import Memory
from controller.past import Past
from controller.policy import PolicySpec
from controller.replay import replay
from controller.report import views
from controller.samples import Kept
from controller.state import without_past
from controller.store import Store
from exporters.reading import Native, Reading
from tests.controller.worlds import DEMAND, allocation, always, competing, node, policy, state, varying, workload

T = 1_767_225_600.0  # 2026-01-01 00:00 UTC, the beginning of an hour
KEPT = Kept("rack-1/golem", "cpu", stale_after=210.0, step=1.0, max=10.0, foreseen=True)
OTHERS = tuple(Kept(f"rack-1/{name}", "cpu", 900.0, 0.5, 40.0, foreseen=True) for name in ("akash", "nosana"))
TIMES = ("until", "written", "made")


def look(key: str, at: float, used: float | None = 2.0, *, allocated: float = 8.0, price: float = 1.0, up: bool = True):
    """Every used core earns 0.01 GLM per hour, at a price in USD."""
    amounts = {} if used is None else {"cpu": used}
    tokens = None if used is None else 0.01 * used
    node_, name = key.split("/")
    return Reading(
        node_, name, name, at, up=up, used=amounts, allocated={"cpu": allocated},
        net_usd_per_hour=None if tokens is None else tokens * price,
        rate_usd_per_hour=None if tokens is None else tokens * price,
        native=Native({} if tokens is None else {"GLM": tokens}),
    )  # fmt: skip


def every(seconds: float, start: float, end: float, kept: Kept = KEPT, used=lambda _: 2.0, **more) -> list[Reading]:
    return [look(kept.key, float(at), used(at), **more) for at in np.arange(start, end, seconds)]


def rhythm(at: float) -> float:
    """8 cores in the first half of an hour, then 2; with the hour of the day some more."""
    return (8.0 if at % 3600 < 1800 else 2.0) if at % DAY < DAY / 2 else 1.0 + at % 900 / 300


def from_blocks(kept: Kept, readings, grain=FINE) -> Memory:
    """From every block as it was when it closed: none was rolled up, none forgotten."""
    past = Past(kept, 300)
    for reading in readings:
        past.add(reading)
    blocks = unpack(past.series, None, past.quantum, 0.0, 1e12) if len(past.series) else None
    latest = 0.0 if blocks is None else float(blocks.start[-1] + blocks.span[-1])
    return recalled(grain, [kept], [blocks], latest)


def row(memory: Memory, key: str) -> Memory:
    return memory.rows(np.array([memory.index[key]]))


def alike(one: Memory, other: Memory) -> None:
    """To 1e-5 of the largest figure of each kind; times to a millisecond."""
    assert one.keys == other.keys
    for name in Memory.ARRAYS:
        mine, its = getattr(one, name).astype(float), getattr(other, name).astype(float)
        scale = 1e-3 if name in TIMES else 1e-5 * max(1.0, float(np.nanmax(np.abs(its), initial=0.0)))
        np.testing.assert_allclose(mine, its, rtol=0, atol=scale, err_msg=name)


@asynccontextmanager
async def a_store():
    with tempfile.TemporaryDirectory() as directory:
        store = await Store.open(f"sqlite:///{directory}/orcha.db")
        yield store
        await store.close()


async def restarted(history: History, kept, store: Store, now: float) -> History:
    await history.flush(store, now)
    again = History(kept)
    await again.restore(store, now)
    return again


@pytest.fixture
async def store():
    async with a_store() as opened:
        yield opened


class TestLive:
    async def test_it_is_what_all_blocks_come_to_though_they_were_rolled_up_since(self):
        readings, history = every(120, T, T + 3 * DAY, used=rhythm), History([KEPT])
        for i, reading in enumerate(readings):
            history.add(reading)
            if i % 20 == 0:
                await history.memory([KEPT.key])
        assert set(history._past[KEPT.key].series.spans) == {300, 3600}
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, readings))

    async def test_what_closed_since_it_was_last_asked_for_is_counted_at_once(self):
        readings, history = every(60, T, T + 6 * 3600, used=rhythm), History([KEPT])
        for reading in readings[:60]:
            history.add(reading)
        before = await history.memory([KEPT.key])
        kept = before.recent.copy()
        for reading in readings[60:]:
            history.add(reading)
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, readings))
        np.testing.assert_array_equal(before.recent, kept, err_msg="what was handed out stays as it was")

    async def test_the_block_that_is_open_does_not_count(self):
        readings, history = every(60, T, T + 900), History([KEPT])
        for reading in readings:
            history.add(reading)
        assert (await history.memory([KEPT.key])).until.tolist() == [T + 600]
        history.add(look(KEPT.key, T + 901))
        assert (await history.memory([KEPT.key])).until.tolist() == [T + 900]

    async def test_a_block_in_which_nothing_was_seen_does_not_count_and_lets_time_pass(self):
        readings = every(60, T, T + 3600) + every(60, T + 3600, T + 7200, up=False)
        history = History([KEPT])
        for reading in readings:
            history.add(reading)
        before = await history.memory([KEPT.key])
        assert before.until.tolist() == [T + 3600]
        more = every(60, T + 7200, T + 7620)
        for reading in more:
            history.add(reading)
        after = await history.memory([KEPT.key])
        assert after.until.tolist() == [T + 7500]
        assert after.recent[0, 0, 2].sum() == pytest.approx(
            before.recent[0, 0, 2].sum() * 2 ** -(3900 / 3600) + 1 / 12, rel=1e-5
        )
        alike(after, from_blocks(KEPT, readings + more))

    async def test_nobody_asks_for_long_and_then_it_is_told_from_all_blocks(self):
        readings, history = every(60, T, T + 12 * 3600, used=rhythm), History([KEPT])
        for reading in readings[:100]:
            history.add(reading)
        await history.memory([KEPT.key])
        for reading in readings[100:]:
            history.add(reading)
        assert history._past[KEPT.key].uncounted is None
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, readings))

    async def test_what_closes_while_others_are_counted_is_counted_the_next_time(self):
        readings, history = every(60, T, T + 7200, used=rhythm), History([KEPT])
        for reading in readings[:60]:
            history.add(reading)
        counting = asyncio.create_task(history.memory([KEPT.key]))
        while not counting.done():
            for reading in readings[60:90]:
                history.add(reading)
            await asyncio.sleep(0)
        for reading in readings[90:]:
            history.add(reading)
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, readings))

    @pytest.mark.parametrize("turns", range(4))
    async def test_counting_that_is_called_off_leaves_nothing_half_counted(self, turns):
        readings, history = every(60, T, T + 7200, used=rhythm), History([KEPT])
        for reading in readings[:60]:
            history.add(reading)
        if turns % 2:
            await history.memory([KEPT.key])
        for reading in readings[60:]:
            history.add(reading)
        counting = asyncio.create_task(history.memory([KEPT.key]))
        for _ in range(1 + turns):
            await asyncio.sleep(0)
        counting.cancel()
        await asyncio.wait({counting})
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, readings))

    async def test_only_demand_is_remembered(self):
        stored = replace(KEPT, key="rack-1/storj", foreseen=False)
        history = History([KEPT, stored])
        assert (await history.memory([KEPT.key, stored.key, "rack-9/unknown"])).keys == (KEPT.key,)
        assert await history.memory([stored.key]) is None
        assert await history.memory([]) is None


class TestAnew:
    async def test_after_a_restart_it_is_what_it_was(self, store):
        readings, history = every(60, T, T + 20 * 3600, used=rhythm), History([KEPT])
        for reading in readings[:-100]:
            history.add(reading)
        again = await restarted(history, [KEPT], store, T + 20 * 3600)
        for reading in readings[-100:]:
            again.add(reading)
        alike(await again.memory([KEPT.key]), from_blocks(KEPT, readings))

    async def test_hours_that_a_restart_reads_back_tell_nearly_the_same_as_their_blocks(self, store):
        readings, history = every(120, T, T + 5 * DAY, used=rhythm), History([KEPT])
        for reading in readings:
            history.add(reading)
        again = await restarted(history, [KEPT], store, T + 5 * DAY)
        one, other = await again.memory([KEPT.key]), from_blocks(KEPT, readings)
        slow = (one.recent[:, :, ALONE].sum(axis=1), other.recent[:, :, ALONE].sum(axis=1))
        assert np.abs(slow[0] - slow[1]).sum() / slow[1].sum() < 0.01
        assert of_kernels(one, T + 5 * DAY, 2.0).inside[0, ALONE] == pytest.approx(
            of_kernels(other, T + 5 * DAY, 2.0).inside[0, ALONE], abs=0.01
        )
        np.testing.assert_allclose(one.slots, other.slots, rtol=0.02, atol=0.02)

    @pytest.mark.parametrize("change", [{"step": 2.0}, {"max": 100.0}, {"max": 12.0}], ids=str)
    async def test_a_changed_step_or_maximum_is_followed(self, change):
        readings, history = every(60, T, T + 10 * 3600, used=rhythm), History([KEPT])
        for reading in readings[:-90]:
            history.add(reading)
        await history.memory([KEPT.key])
        kept = replace(KEPT, **change)
        history.keep([kept])
        found = await history.memory([KEPT.key])
        past = history._past[KEPT.key]
        blocks = unpack(past.series, None, past.quantum, 0.0, 1e12)
        alike(found, remember([kept.key], [kept.step], [kept.max], [blocks], T + DAY))
        for reading in readings[-90:]:
            history.add(reading)
        blocks = unpack(past.series, None, past.quantum, 0.0, 1e12)
        alike(await history.memory([KEPT.key]), remember([kept.key], [kept.step], [kept.max], [blocks], T + DAY))

    async def test_use_of_another_resource_is_remembered_from_its_begin(self):
        history = History([KEPT])
        for reading in every(60, T, T + 7200):
            history.add(reading)
        assert (await history.memory([KEPT.key])).exposure[0] > 1
        history.keep([replace(KEPT, resource="memory")])
        found = await history.memory([KEPT.key])
        assert (found.until[0], found.exposure[0]) == (-np.inf, 0)

    async def test_a_clock_that_went_back_takes_along_what_lies_ahead_of_it(self):
        history = History([KEPT])
        before, ahead, after = (
            every(60, T, T + 7200),
            every(60, T + 40 * DAY, T + 40 * DAY + 900),
            every(60, T + 7200, T + 13000),
        )
        for reading in before + ahead + after:
            history.add(reading)
            if reading.at % 900 < 60:
                await history.memory([KEPT.key])
        blocks = history.blocks(KEPT.key, T + 13000)
        found = await history.memory([KEPT.key])
        assert found.until[0] == T + 12900
        alike(found, remember([KEPT.key], [1.0], [10.0], [blocks], T + 13000))

    async def test_ten_minutes_in_the_year_2100_are_not_remembered_once_they_are_over(self):
        history, before = History([KEPT]), every(60, T, T + 7200, used=rhythm)
        for reading in [*before, *every(60, 4_102_444_800, 4_102_444_800 + 900)]:
            history.add(reading)
        await history.memory([KEPT.key])
        assert not history.add(look(KEPT.key, T + 7260)), "it lies behind, and that for less than an hour"
        alike(await history.memory([KEPT.key]), from_blocks(KEPT, [*before, look(KEPT.key, T + 7500, up=False)]))

    async def test_who_is_not_kept_any_more_is_forgotten_and_who_comes_has_an_empty_memory(self):
        history = History([KEPT, OTHERS[0]])
        for reading in every(60, T, T + 7200) + every(60, T, T + 7200, OTHERS[0]):
            history.add(reading)
        whole = await history.memory([KEPT.key, OTHERS[0].key])
        history.keep([OTHERS[0], OTHERS[1]])
        found = await history.memory([KEPT.key, *(one.key for one in OTHERS)])
        assert sorted(found.keys) == [one.key for one in OTHERS]
        alike(row(found, OTHERS[0].key), row(whole, OTHERS[0].key))
        assert row(found, OTHERS[1].key).exposure[0] == 0


class TestMoney:
    async def test_a_price_that_crashes_is_not_taken_for_lost_demand(self):
        crashed, steady = History([KEPT]), History([KEPT])
        for history, later in ((crashed, 0.05), (steady, 1.0)):
            for price, start in ((1.0, T), (later, T + DAY)):
                for reading in every(120, start, start + DAY, used=rhythm, price=price):
                    history.add(reading)
                await history.memory([KEPT.key])
        one, other = await crashed.memory([KEPT.key]), await steady.memory([KEPT.key])
        for name in ("recent", "slots", "forecasts", "trust", "scores", "exposure"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        worth = [unit_worth(found.money, 0.05) for found in (one, other)]
        np.testing.assert_allclose(worth[0], worth[1], rtol=1e-5)
        np.testing.assert_allclose(worth[0], 0.01 * 0.05, rtol=1e-5)
        np.testing.assert_allclose(one.missed, other.missed, atol=1e-9)
        assert one.missed.max() < 1e-6, "in tokens it earns what was foreseen"


class TestMany:
    def test_thousands_are_kept_less_finely(self):
        assert (grain_of(MANY), grain_of(MANY + 1)) == (FINE, COARSE)

    async def test_more_than_can_be_kept_finely_are_restored_from_the_whole_past_and_keep_days_of_it(self, store):
        """Of the older hours only the sums are left."""
        many = [KEPT, *(Kept(f"n{i}/storj", None, 210.0) for i in range(MANY))]
        readings, history = every(120, T, T + 9 * DAY, used=rhythm), History([KEPT])
        for reading in readings:
            history.add(reading)
        again = await restarted(history, many, store, T + 9 * DAY)
        kept = again._past[KEPT.key]
        assert kept.series.starts[0] * 60 >= T + 9 * DAY - COARSE.hours - 3600
        assert (np.array(kept.series.starts)[np.array(kept.series.spans) == 300] * 60).min() >= T + 9 * DAY - 3 * 3600
        assert len(kept.window) <= COARSE.readings / 120 + 64
        found = await again.memory([KEPT.key])
        assert found.slots.dtype == np.float16
        assert found.exposure[0] == pytest.approx(from_blocks(KEPT, readings, COARSE).exposure[0], rel=0.01)

    async def test_of_slow_growth_thousands_remember_the_whole_retention_too(self):
        stored = replace(KEPT, foreseen=False)
        fine, coarse = History([stored]), History([stored], grain=lambda _: COARSE)
        for history in (fine, coarse):
            for reading in every(300, T, T + 20 * DAY, used=lambda at: (at - T) / DAY / 4):
                history.add(reading)
        one, other = (history.blocks(KEPT.key, T + 20 * DAY) for history in (coarse, fine))
        assert set(one.span) == {300.0, 3600.0, 6 * 3600.0}
        assert len(one.start) < len(other.start) / 2
        assert (np.diff(one.start) == one.span[:-1]).all()
        for name in ("hours", "unit_hours", "usd", "room_hours", "room_growth", "exact"):
            assert getattr(one, name).sum() == pytest.approx(getattr(other, name).sum(), rel=1e-4), name

    async def test_the_store_has_the_hours_of_what_thousands_remember_in_longer_blocks(self, store):
        stored = replace(KEPT, foreseen=False)
        history = History([stored], grain=lambda _: COARSE)
        for start in np.arange(T, T + 6 * DAY, DAY / 2):
            for reading in every(300, start, start + DAY / 2):
                history.add(reading)
            await history.flush(store, start + DAY / 2)
        again = History([stored], grain=lambda _: COARSE)
        await again.restore(store, T + 6 * DAY)
        again.add(look(KEPT.key, T + 6 * DAY))
        await again.flush(store, T + 6 * DAY)
        rows = [found.block for found in await store.blocks(KEPT.key, 0, 1e10)]
        assert {row.span for row in rows} == {300, 3600}
        assert sum(row.hours for row in rows) == pytest.approx(6 * 24 * 210 / 300, rel=1e-4)
        now = T + 6 * DAY
        one, other = again.blocks(KEPT.key, now), history.blocks(KEPT.key, now)
        assert set(one.span) == {300, 3600, 6 * 3600}
        assert one.hours.sum() == pytest.approx(other.hours.sum() + 210 / 3600, rel=1e-4)

    @pytest.mark.parametrize(("step", "largest"), [(1.0, 10.0), (1.0, 64.0), (0.5, 40.0)])
    async def test_thousands_are_foreseen_nearly_as_few_are(self, step, largest):
        """What is used of any allocation differs by 3 % at most, where but half of the levels are left."""
        kept, found = replace(KEPT, step=step, max=largest), []
        for grain in (FINE, COARSE):
            history, chance = History([kept], grain=lambda _, grain=grain: grain), np.random.default_rng(1)
            for at in np.arange(T, T + 4 * DAY, 180.0):
                demand = largest / 2 * (1 + np.sin(at / DAY * 2 * np.pi) / 2) + chance.normal(0, largest / 8)
                history.add(look(kept.key, float(at), min(max(demand, 0.0), 0.8 * largest), allocated=0.8 * largest))
                if at % 7200 == 0:
                    await history.memory([kept.key])
            memory = await history.memory([kept.key])
            survival = memory.trust[0] @ of_kernels(memory, T + 4 * DAY, 2.0).inside[0]
            cells = np.arange(len(survival) + 1) * memory.quantum[0]
            used = np.concatenate([[0.0], np.cumsum(survival) * memory.quantum[0]])
            found.append(np.interp(np.linspace(0, largest, 9)[1:], cells, used))
        np.testing.assert_allclose(found[1], found[0], rtol=0.03)

    async def test_a_fleet_that_grows_and_shrinks_again_goes_on_with_what_it_has(self):
        many = [KEPT, *(Kept(f"n{i}/storj", None, 210.0) for i in range(MANY))]
        readings, history = every(120, T, T + 8 * 3600, used=rhythm), History([KEPT])
        for i, reading in enumerate(readings):
            if i % 80 == 40:
                history.keep(many if i % 160 == 40 else [KEPT])
                fine = (await history.memory([KEPT.key])).slots.dtype == np.float32
                assert fine == (i % 160 != 40)
            history.add(reading)
        assert np.isfinite((await history.memory([KEPT.key])).until).all()

    @pytest.mark.parametrize("grain", [FINE, COARSE], ids=["fine", "coarse"])
    def test_several_parts_are_handed_out_as_one_in_the_order_asked_for(self, grain):
        memories, count = Memories(grain), 2 * PART + 10
        keys = [f"n{i:05d}/golem" for i in range(count)]
        for i in range(0, count, 64):
            memories.put(
                nothing(
                    keys[i : i + 64],
                    [1.0] * len(keys[i : i + 64]),
                    [8.0] * len(keys[i : i + 64]),
                    grain.cells,
                    grain.sums,
                )
            )
        chosen = [keys[i] for i in (1030, 3, 513, 512, 700)]
        memories.close({key: (0.25, [_block(i)]) for i, key in enumerate(chosen)})
        found = memories.of(chosen)
        assert found.keys == tuple(chosen)
        for i, key in enumerate(chosen):
            alone = Memories(grain)
            alone.put(nothing([key], [1.0], [8.0], grain.cells, grain.sums))
            alone.close({key: (0.25, [_block(i)])})
            alike(row(found, key), alone.of([key]))
        assert memories.of([*chosen, "n9/unknown"]) is None

    def test_the_order_in_which_blocks_are_told_changes_nothing(self):
        keys = [f"n{i}/golem" for i in range(5)]
        one, other = Memories(COARSE), Memories(COARSE)
        for memories, order in ((one, keys), (other, keys[::-1])):
            memories.put(_empty(keys))
            for turn in range(2):
                memories.close({key: (0.25, [_block(int(key[1]), turn)]) for key in order})
        alike(one.of(keys), other.of(keys))

    def test_rows_of_those_that_went_are_filled_again_and_the_others_stay_right(self):
        memories, keys = Memories(COARSE), [f"n{i}/golem" for i in range(PART + 64)]
        for i in range(0, len(keys), 64):
            memories.put(_empty(keys[i : i + 64]))
        memories.close({key: (0.25, [_block(i % 7)]) for i, key in enumerate(keys)})
        before = memories.of(keys)
        memories.forget([*keys[::3], "n9/unknown"])
        stay = [key for i, key in enumerate(keys) if i % 3]
        assert memories.of(keys[:1]) is None
        memories.put(_empty(keys[::3][:64]))
        assert len(memories.pieces(memories)) == 2
        found = memories.of(stay)
        for key in stay[::50]:
            alike(row(found, key), row(before, key))


def _empty(keys) -> Memory:
    return nothing(keys, [1.0] * len(keys), [8.0] * len(keys), COARSE.cells, COARSE.sums)


def _block(i: int, turn: int = 0) -> Block:
    level = 2 * (4 + i)
    return Block(
        int(T) // 60 + 5 * turn, 300, {level: 1 / 24, level + 1: 1 / 24}, hours=1 / 12, usd=0.01 * i, unit_hours=0.1 * i
    )


class TestDeciding:
    """With what is kept the same is decided as from the blocks."""

    WORLDS = {
        "competing": competing(policy()),
        "suggested": competing(PolicySpec()),
        "noisy": state(
            [
                workload("rack-1/golem", 6.0, varying(7.0, capacity=6.0, seed=1), protocol="golem"),
                workload("rack-1/akash", 6.0, varying(3.0, capacity=6.0, seed=2)),
            ],
            spec=policy(),
        ),
        "three horizons": state(
            [
                workload("rack-1/golem", 4.0, always(4.0, full=True), protocol="golem"),
                workload("rack-1/akash", 4.0, always(1.0, levels=[0, 1, 4]), used=1.0),
                workload("rack-1/slow", 4.0, varying(5.0, capacity=4.0), traits=replace(DEMAND, horizon=6 * 3600.0)),
            ],
            [node(cpu=12)],
            spec=policy(),
        ),
    }  # fmt: skip

    @pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
    def test_on_worlds_with_a_history(self, world):
        kept = [Kept(w.key, "cpu", 300.0, w.allocation.step, w.allocation.max, foreseen=True) for w in world.workloads]
        stranger = replace(kept[0], key="rack-2/other")
        memory = recalled(FINE, [stranger, *kept], [None, *(w.blocks for w in world.workloads)], world.now)
        _same_decision(decide(replace(world, memory=memory)), decide(world))

    @pytest.mark.parametrize("grain", [FINE, COARSE], ids=["fine", "coarse"])
    async def test_on_a_history_that_was_lived(self, grain):
        bounds = allocation(high=12)
        kept = [
            Kept(f"rack-1/{name}", "cpu", 300.0, bounds.step, bounds.max, foreseen=True) for name in ("akash", "golem")
        ]
        history, now = History(kept, grain=lambda _: grain), T + 20 * 3600 + 1
        for at in np.arange(T, now, 60.0):
            history.add(look(kept[0].key, float(at), rhythm(at) / 4, allocated=6.0))
            history.add(look(kept[1].key, float(at), 6.0, allocated=6.0))
            if at % 3600 == 0:
                await history.memory(one.key for one in kept)
        reads = [replace(history.newest(one.key)[0], at=now - 10) for one in kept]
        world = state(
            [
                workload(one.key, 6.0, history.blocks(one.key, now), bounds=bounds, read=read)
                for one, read in zip(kept, reads, strict=True)
            ],
            spec=policy(),
        )  # fmt: skip
        memory = await history.memory(one.key for one in kept)
        world = replace(world, now=now)
        lived, alone = decide(replace(world, memory=memory)), decide(world)
        assert lived.plan.moves, "there is something to compare"
        if grain is FINE:
            _same_decision(lived, alone)
        assert [(m.key, m.to) for m in lived.plan.moves] == [(m.key, m.to) for m in alone.plan.moves]
        assert [v.reason for v in lived.verdicts] == [v.reason for v in alone.verdicts]
        assert lived.plan.gain.expected == pytest.approx(alone.plan.gain.expected, rel=0.05)

    def test_a_decision_that_was_made_from_it_is_replayed_without_it(self):
        world = self.WORLDS["competing"]
        kept = [Kept(w.key, "cpu", 300.0, w.allocation.step, w.allocation.max, foreseen=True) for w in world.workloads]
        memory = recalled(FINE, kept, [w.blocks for w in world.workloads], world.now)
        decision = decide(replace(world, memory=memory))
        again = replay(views.recorded(decision).inputs)
        assert again.plan.moves == decision.plan.moves
        assert again.verdicts == decision.verdicts

    def test_what_is_shown_does_not_hold_on_to_it(self):
        world = self.WORLDS["competing"]
        memory = recalled(FINE, [KEPT], [None], world.now)
        assert without_past(decide(replace(world, memory=memory))).state.memory is None


def _same_decision(one, other) -> None:
    assert (one.reason, one.sentence) == (other.reason, other.sentence)
    assert [(v.reason, v.allowed, v.sentence) for v in one.verdicts] == [
        (v.reason, v.allowed, v.sentence) for v in other.verdicts
    ]
    assert [(m.key, m.from_, m.to) for m in one.plan.moves] == [(m.key, m.from_, m.to) for m in other.plan.moves]
    assert [m.gain_usd_per_hour for m in one.plan.moves] == pytest.approx(
        [m.gain_usd_per_hour for m in other.plan.moves]
    )


looks = st.tuples(
    st.integers(0, 2),
    st.one_of(st.floats(1, 400), st.floats(1, 60), st.floats(400, 9000), st.floats(-300, 0)),
    st.one_of(st.none(), st.floats(0, 12)),
    st.sampled_from([1.0, 0.3, 40.0]),
    st.sampled_from(["", "", "", "ask", "ask", "restart", "leave", "down"]),
)


@settings(max_examples=60)
@given(st.lists(looks, min_size=1, max_size=60), st.sampled_from(["restarts", "leaves", "leaves, coarsely"]))
async def test_kept_live_it_is_what_the_blocks_come_to(found, events):
    """Over gaps, late readings, failed looks, and stops and starts or workloads that come and go, for less than a day."""
    async with a_store() as store:
        await _lived(found, events, store)


async def _lived(found, events, store) -> None:
    kept, grain = [KEPT, *OTHERS], COARSE if "coarsely" in events else FINE
    history, now = History(kept, grain=lambda _: grain), T
    taken: dict[str, list[Reading]] = {one.key: [] for one in kept}
    for who, wait, used, price, event in found:
        one = kept[who]
        if now + wait > T + DAY:
            break
        reading = look(one.key, now + wait, used, price=price, up=event != "down")
        now = max(now, now + wait)
        if history.add(reading):
            taken[one.key].append(reading)
        if event == "leave" and events != "restarts":
            history.keep([each for each in kept if each is not one])
            await history.memory([one.key])
            history.keep(kept)
            taken[one.key] = []
        if event == "restart" and events == "restarts":
            history = await restarted(history, kept, store, now)
        if event == "ask" or grain is COARSE:
            await history.memory([each.key for each in kept])
    memory = await history.memory([each.key for each in kept])
    for one in kept:
        alike(row(memory, one.key), from_blocks(one, taken[one.key], grain))
