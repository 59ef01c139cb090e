"""History: readings become block statistics, whatever order, gap or clock they come with, and a restart loses nothing."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.address import StoreFull
from controller.blocks import Sample
from controller.history import DAY, History, period
from controller.past import BelievedTime
from controller.rows import Batch
from controller.samples import Kept, Window, sample_of
from controller.store import Store
from exporters.collector import Workload
from exporters.nodes import Allocation, Power, TariffWindow, Watts, WorkloadSpec
from exporters.reading import Native, Reading
from exporters.traits import CurveKind, Traits

T = 1_767_225_600.0  # 2026-01-01 00:00 UTC, the beginning of an hour
KEY = "rack-1/golem"
KEPT = Kept(KEY, "cpu", stale_after=210.0, step=1.0, max=10.0)
FIELDS = (
    "start", "span", "hours", "usd", "unit_hours", "rate_hours", "used", "used_first", "used_last",
    "room_hours", "room_growth", "levels", "exact", "censored", "tokens", "token_usd",
)  # fmt: skip


def look(
    at: float, used: float | None = 2.0, allocated: float | None = 8.0, net: float | None = 0.06, *, up: bool = True
) -> Reading:
    return Reading(
        "rack-1", "golem", "golem", at, up=up,
        used={} if used is None else {"cpu": used}, allocated={} if allocated is None else {"cpu": allocated},
        net_usd_per_hour=net, rate_usd_per_hour=net,
    )  # fmt: skip


def history_of(*readings: Reading, kept: Kept = KEPT, **more) -> History:
    history = History([kept], **more)
    for reading in readings:
        history.add(reading)
    return history


def every(seconds: float, start: float, end: float, **figures) -> list[Reading]:
    return [look(float(at), **figures) for at in np.arange(start, end, seconds)]


def same(one, other) -> None:
    assert (one is None) == (other is None)
    for name in FIELDS if one is not None else ():
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    yield store
    await store.close()


class TestHolding:
    def test_a_sample_holds_until_the_next_one(self):
        found = history_of(look(T, used=2), look(T + 60, used=4), look(T + 120)).blocks(KEY, T + 120)
        assert found.start.tolist() == [T]
        assert found.hours[0] == pytest.approx(120 / 3600)
        assert found.unit_hours[0] == pytest.approx((2 * 60 + 4 * 60) / 3600)
        assert found.usd[0] == pytest.approx(0.06 * 120 / 3600)
        assert (found.used[0], found.used_first[0], found.used_last[0]) == (pytest.approx(3), 2, 4)

    def test_what_is_paid_in_one_token_is_kept_in_it_too(self):
        def paid(at: float, price: float) -> Reading:
            return replace(look(at, net=0.06 * price), rate_usd_per_hour=0.1 * price, native=Native({"GLM": 0.1}))

        found = history_of(paid(T, 1.0), paid(T + 60, 0.5), look(T + 120), look(T + 180)).blocks(KEY, T + 180)
        assert found.tokens[0] == pytest.approx(0.06 * 120 / 3600)  # net, as usd is
        assert found.token_usd[0] == pytest.approx(0.06 * 90 / 3600)
        assert found.usd[0] == pytest.approx(found.token_usd[0] + 0.06 * 60 / 3600)

    def test_a_stake_is_in_use_whole(self):
        readings = [look(T, used=None), look(T + 60, used=None), look(T + 120)]
        found = history_of(*readings, kept=replace(KEPT, staked=True)).blocks(KEY, T + 120)
        assert found.unit_hours[0] == pytest.approx(8 * 120 / 3600)
        assert found.usd[0] == pytest.approx(0.06 * 120 / 3600)

    def test_a_gap_is_unobserved_neither_zero_nor_held(self):
        found = history_of(look(T), look(T + 1000)).blocks(KEY, T + 1000)
        assert found.hours.sum() == pytest.approx(210 / 3600)
        assert found.exact.sum() == pytest.approx(210 / 3600)

    def test_a_failed_look_ends_what_held_and_is_not_observed(self):
        found = history_of(look(T), look(T + 60, up=False), look(T + 120), look(T + 180)).blocks(KEY, T + 180)
        assert found.hours[0] == pytest.approx(120 / 3600)

    def test_time_over_a_border_is_split_between_blocks(self):
        found = history_of(look(T + 240), look(T + 400)).blocks(KEY, T + 400)
        assert found.start.tolist() == [T, T + 300]
        assert found.hours.tolist() == pytest.approx([60 / 3600, 100 / 3600])

    def test_unknown_use_counts_as_observed_and_as_nothing_else(self):
        found = history_of(look(T, used=None), look(T + 60)).blocks(KEY, T + 60)
        assert found.hours[0] == pytest.approx(60 / 3600)
        assert (found.usd[0], found.rate_hours[0], found.unit_hours[0], len(found.levels)) == (0, 0, 0, 0)
        assert math.isnan(found.used[0])

    def test_an_unknown_rate_leaves_use_known_and_money_unknown(self):
        found = history_of(look(T, net=None), look(T + 60)).blocks(KEY, T + 60)
        assert (found.usd[0], found.rate_hours[0], found.unit_hours[0]) == (0, 0, 0)
        assert found.used[0] == 2
        assert found.exact.sum() == pytest.approx(60 / 3600)

    def test_use_that_fills_the_allocation_is_censored_at_it(self):
        found = history_of(look(T, used=7.9), look(T + 60)).blocks(KEY, T + 60)
        assert found.levels.tolist() == [8.0]
        assert found.censored[0, 0] == pytest.approx(60 / 3600)
        assert found.exact.sum() == 0

    def test_use_without_a_known_allocation_is_at_no_level(self):
        found = history_of(look(T, allocated=None), look(T + 60)).blocks(KEY, T + 60)
        assert len(found.levels) == 0
        assert found.used[0] == 2

    def test_a_workload_that_is_only_watched_has_time_and_no_levels(self):
        kept = replace(KEPT, resource=None, step=None, max=None)
        found = history_of(look(T), look(T + 60), kept=kept).blocks(KEY, T + 60)
        assert found.hours[0] == pytest.approx(60 / 3600)
        assert found.levels.size == 0

    @pytest.mark.parametrize("lie", [math.nan, math.inf, -1.0, 1e308], ids=str)
    def test_an_impossible_figure_is_unknown(self, lie):
        found = history_of(look(T, used=lie, net=lie if lie != -1.0 else math.nan), look(T + 60)).blocks(KEY, T + 60)
        assert (found.hours[0], found.usd[0], len(found.levels)) == (pytest.approx(60 / 3600), 0, 0)

    def test_nothing_is_known_before_the_second_look_or_of_a_stranger(self):
        history = history_of(look(T))
        assert history.blocks(KEY, T) is None
        assert history.blocks("rack-9/nobody", T) is None
        assert history.readings("rack-9/nobody", T) is None
        assert not history.add(replace(look(T), node="rack-9"))


class TestGrowth:
    def test_growth_counts_only_while_there_is_room(self):
        found = history_of(
            look(T, used=2), look(T + 100, used=5), look(T + 200, used=8), look(T + 300, used=8), look(T + 400, used=7)
        ).blocks(KEY, T + 400)
        assert found.room_hours.sum() == pytest.approx(200 / 3600)
        assert found.room_growth.sum() == pytest.approx(6.0)

    def test_a_fall_is_negative_growth(self):
        found = history_of(look(T, used=5), look(T + 60, used=4)).blocks(KEY, T + 60)
        assert found.room_growth[0] == pytest.approx(-1.0)

    @pytest.mark.parametrize(
        ("following"),
        [look(T + 60, used=None), look(T + 60, up=False), look(T + 300, used=9)],
        ids=["use unknown", "failed", "gap"],
    )
    def test_growth_towards_what_is_unknown_is_unknown(self, following):
        found = history_of(look(T, used=2), following).blocks(KEY, T + 300)
        assert (found.room_hours.sum(), found.room_growth.sum()) == (0, 0)

    def test_without_a_known_allocation_there_is_no_room(self):
        found = history_of(look(T, used=2, allocated=None), look(T + 60, used=3)).blocks(KEY, T + 60)
        assert found.room_hours.sum() == 0


class TestMoney:
    POWER = Power(usd_per_kwh=0.25, windows=[TariffWindow(cron="0 22 * * *", duration="8h", usd_per_kwh=0.10)])

    def test_money_is_before_energy_at_the_tariff_of_the_moment(self):
        kept = replace(KEPT, power=self.POWER, watts=Watts(per_step=50))
        # 8 steps of 50 W are 0.4 kW: 0.04 USD/h at midnight, 0.10 at noon
        for at, energy in ((T, 0.04), (T + DAY / 2, 0.10)):
            assert sample_of(kept, look(at, net=0.06)).net == pytest.approx(0.06 + energy)

    def test_energy_of_an_unknown_allocation_leaves_money_unknown(self):
        kept = replace(KEPT, power=self.POWER, watts=Watts(per_step=50))
        assert math.isnan(sample_of(kept, look(T, allocated=None)).net)

    def test_what_is_only_watched_is_charged_one_step(self):
        kept = replace(KEPT, step=None, max=None, power=self.POWER, watts=Watts(per_step=100))
        assert sample_of(kept, look(T + DAY / 2, net=0.06)).net == pytest.approx(0.06 + 0.025)

    def test_what_is_kept_of_a_workload_comes_from_its_manifest(self):
        spec = WorkloadSpec(
            protocol="golem", endpoint="http://x", watts=Watts(per_step=5), poll_interval="20s", timeout="10s",
            allocation=Allocation(resource="cpu", min="2", max="10", step="1"),
        )  # fmt: skip
        workload = Workload("rack-1", "golem", spec, Traits(CurveKind.DEMAND, "cpu"), self.POWER)
        assert Kept.of(workload) == Kept(KEY, "cpu", 70.0, 1.0, 10.0, self.POWER, Watts(per_step=5), foreseen=True)
        watched = replace(workload, spec=spec.model_copy(update={"allocation": None}))
        assert (Kept.of(watched).resource, Kept.of(watched).step) == ("cpu", None)


class TestAge:
    def test_blocks_of_more_than_a_day_ago_are_hours_with_the_same_sums(self):
        readings = every(60, T, T + 3 * DAY)
        history = history_of(*readings)
        found = history.blocks(KEY, T + 3 * DAY)
        assert set(found.span[found.start < T + 2 * DAY - 3600]) == {3600.0}
        assert set(found.span[found.start >= T + 2 * DAY]) == {300.0}
        assert (np.diff(found.start) == found.span[:-1]).all()
        assert found.hours.sum() == pytest.approx((3 * DAY - 60) / 3600, rel=1e-6)
        assert found.exact.sum() == pytest.approx(found.hours.sum(), rel=1e-6)

    def test_what_is_older_than_the_retention_is_forgotten(self):
        history = history_of(*every(200, T, T + 3 * DAY), retention=2 * DAY)
        found = history.blocks(KEY, T + 3 * DAY)
        assert found.start[0] >= T + DAY - 3600
        assert history.blocks(KEY, T + 9 * DAY) is None

    def test_only_what_is_asked_for_is_unpacked(self):
        found = history_of(*every(60, T, T + 7200)).blocks(KEY, T + 7200, since=T + 3600)
        assert found.start[0] == T + 3600

    def test_the_same_question_is_answered_from_the_cache_until_something_changes(self):
        history = history_of(*every(60, T, T + 600))
        first = history.blocks(KEY, T + 600)
        assert history.blocks(KEY, T + 601) is first
        history.add(look(T + 660))
        assert history.blocks(KEY, T + 660) is not first
        assert first.hours.sum() == pytest.approx(540 / 3600)

    def test_coarser_blocks_must_fill_an_hour(self):
        assert history_of(*every(60, T, T + 1800), fine=900).blocks(KEY, T + 1800).span.tolist() == [900.0, 900.0]
        with pytest.raises(ValueError, match="do not fill an hour"):
            History(fine=420)


class TestWindow:
    def test_readings_of_the_last_day_are_given_as_they_came(self):
        history = history_of(look(T, used=2), look(T + 15.25, up=False), look(T + 30, used=3, net=None))
        found = history.readings(KEY, T)
        assert found.at.tolist() == [T, T + 15.25, T + 30]
        assert found.up.tolist() == [True, False, True]
        assert found.used.tolist() == pytest.approx([2, math.nan, 3], nan_ok=True)
        assert found.net.tolist() == pytest.approx([0.06, math.nan, math.nan], nan_ok=True)
        assert history.readings(KEY, T + 16).at.tolist() == [T + 30]

    def test_older_readings_leave_memory(self):
        window = Window(DAY)
        for at in np.arange(T, T + 3 * DAY, 60.0):
            window.append(Sample(float(at), up=True))
        assert DAY / 60 <= len(window) <= DAY / 60 + 256
        assert window.since(T + 2 * DAY).at[0] == T + 2 * DAY

    @pytest.mark.parametrize("days", [41, 100, 30000], ids=str)
    def test_times_stay_right_after_a_long_pause(self, days):
        window = Window(DAY)
        later = T + days * DAY
        for at in (T, later - 60, later, later + 0.5):
            window.append(Sample(at, up=True))
        assert window.since(later - 60).at.tolist() == [later - 60, later, later + 0.5]

    def test_times_stay_right_while_it_runs_for_months(self):
        window = Window(DAY)
        for at in np.arange(T, T + 100 * DAY, 1800.0):
            window.append(Sample(float(at), up=True))
        assert window.since(T + 99 * DAY).at.tolist() == list(np.arange(T + 99 * DAY, T + 100 * DAY, 1800.0))


class TestClocks:
    def test_a_duplicate_and_an_older_reading_do_not_count(self):
        history = history_of(look(T), look(T + 60))
        before = history.blocks(KEY, T + 60)
        assert not history.add(look(T + 60, used=5))
        assert not history.add(look(T + 30, used=5))
        same(history.blocks(KEY, T + 60), before)
        assert history.add(look(T + 120))

    @pytest.mark.parametrize("at", [math.nan, math.inf, -5.0, 1e300], ids=str)
    def test_a_time_that_is_none_does_not_count(self, at):
        assert not history_of(look(T)).add(look(at))

    def test_a_clock_set_back_for_a_moment_changes_nothing(self):
        history = history_of(*every(60, T, T + 6000))
        before = history.blocks(KEY, T + 6000)
        for reading in every(60, 0, 1200):  # 1970 for twenty minutes
            assert not history.add(reading)
        same(history.blocks(KEY, T + 6000), before)
        assert history.add(look(T + 7300))

    def test_a_clock_that_really_went_back_is_followed_and_what_lies_ahead_forgotten(self):
        ahead = history_of(*every(60, T, T + 7200), *every(60, T + 40 * DAY, T + 40 * DAY + 600))
        for reading in every(60, T + 7200, T + 7200 + 5400):
            ahead.add(reading)
        found = ahead.blocks(KEY, T + 7200 + 5400)
        assert found.start[-1] == T + 7200 + 5100
        assert found.start[0] == T
        assert ahead.readings(KEY, 0).at[-1] == T + 7200 + 5340

    def test_ten_minutes_in_the_year_2100_neither_prune_nor_roll_up(self):
        history = history_of(*every(60, T, T + 7200))
        before = history_of(*every(60, T, T + 7200), look(T + 7350, up=False)).blocks(KEY, T + 7200)
        for reading in every(60, 4_102_444_800, 4_102_444_800 + 600):
            history.add(reading)
        same(history.blocks(KEY, T + 7200), before)

    def test_a_long_pause_is_believed_after_an_hour(self):
        history = history_of(*every(60, T, T + 7200), *every(60, T + 40 * DAY, T + 40 * DAY + 3300))
        assert history._past[KEY].series.starts[0] * 60 == T
        for reading in every(60, T + 40 * DAY + 3300, T + 40 * DAY + 4500):
            history.add(reading)
        assert history._past[KEY].series.starts[0] * 60 == T + 40 * DAY

    def test_readings_of_many_workloads_a_little_out_of_order_do_not_prolong_the_doubt(self):
        time = BelievedTime()
        time.see(T)
        for i in range(0, 4000, 10):
            time.see(T + 40 * DAY + i)
            time.see(T + 40 * DAY + i - 25)
        assert time.at >= T + 40 * DAY + 3600


class TestManifests:
    def test_a_changed_step_keeps_the_past_at_the_new_levels(self):
        history = history_of(*every(60, T, T + 900, used=2.25))
        history.keep([replace(KEPT, step=2.0)])
        found = history.blocks(KEY, T + 900)
        assert found.levels.tolist() == [2.5]
        assert found.exact.sum() == pytest.approx(840 / 3600)
        history.add(look(T + 900, used=2.25))
        assert history.blocks(KEY, T + 900).exact.sum() == pytest.approx(900 / 3600)

    def test_another_resource_begins_anew_and_keeps_the_newest_reading(self):
        history = history_of(*every(60, T, T + 900))
        history.keep([replace(KEPT, resource="memory", step=2.0**30, max=2.0**36)])
        assert history.blocks(KEY, T + 900) is None
        assert history.newest(KEY)[0].at == T + 840

    async def test_a_workload_that_goes_is_written_and_comes_back_with_its_past(self, store):
        history = history_of(*every(60, T, T + 900))
        history.keep([])
        assert history.blocks(KEY, T + 900) is None
        assert not history.add(look(T + 900))
        history.keep([KEPT])
        await history.restore(store, T + 900)
        same(history.blocks(KEY, T + 900), history_of(*every(60, T, T + 900)).blocks(KEY, T + 900))

    async def test_a_workload_that_goes_leaves_memory_after_the_flush_and_stays_in_the_store(self, store):
        history = history_of(*every(60, T, T + 900))
        history.keep([])
        await history.flush(store, T + 900)
        assert history._leaving == []
        assert len(await store.blocks(KEY, 0, 1e10)) == 3

    async def test_the_past_of_another_resource_is_there_again_when_the_manifest_goes_back(self, store):
        history = history_of(*every(60, T, T + 900))
        await history.flush(store, T + 900)
        history.keep([replace(KEPT, resource="memory")])
        await history.flush(store, T + 900)
        history.keep([KEPT])
        await history.restore(store, T + 900)
        assert history.blocks(KEY, T + 900).hours.sum() == pytest.approx(840 / 3600)


class TestStore:
    async def test_a_restart_loses_nothing(self, store):
        readings = every(60, T, T + DAY + 7000)
        history = history_of(*readings)
        await history.flush(store, T + DAY + 7000)
        again = History([KEPT])
        await again.restore(store, T + DAY + 7000)
        now = T + DAY + 7000
        same(again.blocks(KEY, now), history.blocks(KEY, now))
        assert again.newest(KEY) == (readings[-1], readings[-1])
        for name in ("at", "up", "allocated", "used", "net"):
            one, other = (getattr(found.readings(KEY, now - DAY + 600), name) for found in (again, history))
            np.testing.assert_array_equal(one, other)

    async def test_another_process_reads_it_while_it_is_written(self, store, tmp_path):
        history = history_of(*every(60, T, T + 900))
        await history.flush(store, T + 900)
        reader = await Store.open(f"sqlite:///{tmp_path}/orcha.db", write=False)
        other = History([KEPT])
        await other.restore(reader, T + 900)
        same(other.blocks(KEY, T + 900), history.blocks(KEY, T + 900))
        await reader.close()

    async def test_what_could_not_be_written_is_written_at_the_next_flush(self, store):
        history = history_of(*every(60, T, T + 900))
        async with store._engine.connect() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        for reading in every(5, T + 900, T + 30000):
            history.add(reading)
        with pytest.raises(StoreFull):
            await history.flush(store, T + 30000)
        history.add(look(T + 30000))
        async with store._engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        await history.flush(store, T + 30000)
        again = History([KEPT])
        await again.restore(store, T + 30000)
        same(again.blocks(KEY, T + 30000), history.blocks(KEY, T + 30000))

    async def test_what_came_before_the_store_could_be_read_is_added_to_what_it_knows(self, store):
        readings = every(60, T, T + 1800)
        one = history_of(*readings[:13])
        await one.flush(store, T + 720)
        late = history_of(*readings[12:])
        await late.flush(store, T + 1800)
        again = History([KEPT])
        await again.restore(store, T + 1800)
        whole = history_of(*readings).blocks(KEY, T + 1800)
        for found in (late.blocks(KEY, T + 1800), again.blocks(KEY, T + 1800)):
            np.testing.assert_array_equal(found.start, whole.start)
            np.testing.assert_allclose(found.hours, whole.hours, rtol=1e-6)
            np.testing.assert_allclose(found.exact, whole.exact, rtol=1e-6)

    async def test_hours_replace_their_blocks_in_the_store(self, store):
        history = History([KEPT])
        for start in np.arange(T, T + 2 * DAY, 3600):
            for reading in every(60, start, start + 3600):
                history.add(reading)
            await history.flush(store, start + 3600)
        rows = [found.block for found in await store.blocks(KEY, 0, 1e10)]
        assert len(rows) == 23 + 300
        assert sum(block.hours for block in rows) == pytest.approx((2 * DAY - 60) / 3600, rel=1e-6)
        assert len(await store.readings(KEY, 0, 1e10)) <= (DAY + 3600) / 60

    async def test_the_store_is_pruned_to_the_retention(self, store):
        history = History([KEPT], retention=2 * DAY)
        for start in np.arange(T, T + 4 * DAY, 7200):
            for reading in every(200, start, start + 7200):
                history.add(reading)
            await history.flush(store, start + 7200)
        assert (await store.blocks(KEY, 0, 1e10))[0].block.start * 60 >= T + 2 * DAY - 3600

    async def test_what_a_clock_ahead_left_in_the_store_is_not_believed_and_not_deleted(self, store):
        history = history_of(*every(60, T, T + 900), *every(60, 4_102_444_800, 4_102_444_800 + 600))
        await history.flush(store, T + 900)
        again = History([KEPT])
        await again.restore(store, T + 900)
        assert again.blocks(KEY, T + 900).start[-1] < T + 1200
        assert again.newest(KEY) == (None, None)
        assert again.add(look(T + 960))
        assert len(await store.blocks(KEY, 4e9, 5e9)) == 2

    async def test_a_clock_that_is_not_set_yet_at_the_start_loses_nothing(self, store):
        history = history_of(*every(60, T, T + 900))
        await history.flush(store, T + 900)
        again = History([KEPT])
        await again.restore(store, 1000.0)
        for reading in every(60, 1000, 2000):
            again.add(reading)
        await again.flush(store, 2000.0)
        again.add(look(T + 960))
        await again.flush(store, T + 960)
        assert again.blocks(KEY, T + 960).hours.sum() == pytest.approx(840 / 3600)
        assert len(await store.blocks(KEY, T, T + 900)) == 3

    async def test_a_restart_amid_a_jump_ahead_does_not_make_it_believed(self, store):
        history = history_of(*every(60, T, T + 900), *every(60, 4_102_444_800, 4_102_444_800 + 600))
        await history.flush(store, 4_102_444_800.0 + 600)
        again = History([KEPT])
        await again.restore(store, 4_102_444_800.0 + 700)
        again.add(look(4_102_444_800.0 + 700))
        await again.flush(store, 4_102_444_800.0 + 700)
        assert len(await store.blocks(KEY, T, T + 900)) == 3

    async def test_a_step_that_changed_while_nothing_ran_is_followed(self, store):
        history = history_of(*every(60, T, T + 900, used=2.25))
        await history.flush(store, T + 900)
        again = History([replace(KEPT, step=2.0)])
        await again.restore(store, T + 900)
        assert again.blocks(KEY, T + 900).levels.tolist() == [2.5]

    async def test_any_period_can_be_asked_for(self, store):
        history = history_of(*every(60, T, T + 7200))
        await history.flush(store, T + 7200)
        same(await period(store, KEY, T + 1800, T + 3600 - 1), history.blocks(KEY, T + 3600 - 1, since=T + 1800))
        assert await period(store, KEY, T + 5 * DAY, T + 6 * DAY) is None

    async def test_a_flush_with_nothing_new_writes_nothing(self, store):
        history = history_of(*every(60, T, T + 900))
        await history.flush(store, T + 900)
        past = history._past[KEY]
        batch = Batch()
        past.collect(batch)
        assert not batch


amounts = st.one_of(st.none(), st.floats(0, 10, allow_nan=False))
looks = st.tuples(
    st.one_of(st.floats(0.5, 400), st.floats(400, 5000), st.floats(-300, 300), st.floats(20000, 80000)),
    amounts, st.one_of(amounts, st.just(8.0)), st.one_of(st.none(), st.floats(-1, 1)), st.booleans(), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(looks, min_size=1, max_size=40))
async def test_stopping_and_starting_anywhere_gives_the_blocks_of_never_having_stopped(found):
    whole, parts, now = History([KEPT]), History([KEPT]), T + 100
    with tempfile.TemporaryDirectory() as directory:
        store = await Store.open(f"sqlite:///{directory}/orcha.db")
        for wait, used, allocated, net, up, stop in found:
            reading = look(now + wait, used, allocated, net, up=up)
            now = max(now, now + wait)
            assert whole.add(reading) == parts.add(reading)
            if stop:
                await parts.flush(store, now)
                parts = History([KEPT])
                await parts.restore(store, now)
        same(parts.blocks(KEY, now), whole.blocks(KEY, now))
        await store.close()
