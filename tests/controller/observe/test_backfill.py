"""History that the controller did not see itself comes from Prometheus: the same blocks, in bounded pieces, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from controller.backfill import DAY, FIRST_WAIT, HOUR, POINTS, REST, SERIES, TOGETHER, Backfill, chunks
from controller.estimate.prices import at_todays_price
from controller.history import History
from controller.memories import COARSE
from controller.samples import Kept
from controller.store import Store
from exporters.reading import Native
from tests.controller.observe.fake import ALLOTTED, T0, lost, node, reading

KEY = "rack-1/golem"
START = T0 // HOUR * HOUR
"""Whole hours are easier to read."""


def used_at(at, price=lambda _at: 0.25, **more):
    """Use goes up and down; what is earned is 0.5 GLM per used core and hour."""
    used = 1.0 + (at // 1800) % 5
    usd, tokens = 0.5 * used * price(at), 0.5 * used
    return reading(
        at, used={"cpu": used}, rate_usd_per_hour=usd, net_usd_per_hour=0.9 * usd,
        native=Native({"GLM": tokens}, {"GLM": 0.9 * tokens}), **more,
    )  # fmt: skip


@pytest.fixture
def world(source_for, prometheus, clock):
    """A controller that starts at START, with a Prometheus that has scraped for a while."""
    clock.now = START

    class World:
        def __init__(self):
            self.source = source_for()
            self.history, self.seen = self.new(), self.new()

        def new(self, **more):
            return History([Kept.of(each) for each in self.source.workloads], **more)

        def scraped(self, hours, look=used_at):
            """It was scraped for so long, every minute (every 5 of what is older than a day); `seen` saw every minute."""
            at = START - hours * HOUR
            while at <= START + 60:
                if (found := look(at)) is not None:
                    self.seen.add(found)
                    if at > START - 25 * HOUR or at % 300 == 0:
                        prometheus.scrape(used_at(at - 120), found, at=at)
                at += 60

        async def fill(self, hours, history=None):
            return await Backfill(self.source, history or self.history, clock).fill(hours * HOUR)

        def ranges(self):
            """(start, end, step) of each question, in hours from START."""
            asked = [{name: float(each[name]) for name in ("start", "end", "step")} for each in prometheus.asked]
            return [((e["start"] - START) / HOUR, (e["end"] - START) / HOUR, e["step"]) for e in asked]

    return World()


def same(found, wanted, until=START):
    """The blocks of before that time are the same in both."""
    names = (
        "start",
        "span",
        "hours",
        "usd",
        "unit_hours",
        "used",
        "used_first",
        "used_last",
        "tokens",
        "token_usd",
        "room_hours",
    )
    mine, theirs = found.start < until, wanted.start < until
    for name in names:
        one, other = getattr(found, name)[mine], getattr(wanted, name)[theirs]
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)
    assert found.exact[mine].sum() == pytest.approx(wanted.exact[theirs].sum(), rel=1e-5)


async def test_the_last_day_is_as_if_it_had_been_seen(world):
    world.scraped(5.0)
    hours = await world.fill(4)
    assert hours == pytest.approx(4.0)
    same(world.history.blocks(KEY, START), world.seen.blocks(KEY, START, START - 4 * HOUR))


async def test_what_is_older_is_there_by_the_hour(world):
    world.scraped(50.0)
    await world.fill(48)
    found = world.history.blocks(KEY, START)
    assert set(found.span[found.start < START - 25 * HOUR]) == {HOUR}
    assert set(found.span[found.start >= START - 24 * HOUR]) == {300.0}
    assert found.hours.sum() == pytest.approx(48.0, rel=0.01)
    wanted = world.seen.blocks(KEY, START, START - 48 * HOUR)
    assert found.usd.sum() == pytest.approx(wanted.usd.sum(), rel=0.01)
    assert found.unit_hours.sum() == pytest.approx(wanted.unit_hours.sum(), rel=0.01)
    assert np.all(np.diff(found.start) > 0)


async def test_a_price_crash_does_not_look_like_lost_demand(world):
    world.scraped(5.0, look=lambda at: used_at(at, lambda at: 0.25 if at < START - 2 * HOUR else 0.025))
    await world.fill(4)
    found = world.history.blocks(KEY, START)
    same(found, world.seen.blocks(KEY, START, START - 4 * HOUR))
    restated = at_todays_price(found, world.history.newest(KEY)[0] or used_at(START, lambda _at: 0.025))
    np.testing.assert_allclose(restated.usd, found.unit_hours * 0.9 * 0.5 * 0.025, rtol=1e-4)


async def test_time_in_which_the_node_was_down_is_known_as_such_and_a_gap_is_not(world):
    def look(at):
        if START - 3 * HOUR <= at < START - 2 * HOUR:
            return lost(at)
        return None if START - 2 * HOUR <= at < START - HOUR else used_at(at)

    world.scraped(5.0, look=look)
    await world.fill(4)
    found = world.history.blocks(KEY, START)
    by_hour = [
        found.hours[(found.start >= START - h * HOUR) & (found.start < START - (h - 1) * HOUR)].sum()
        for h in (4, 3, 2, 1)
    ]
    assert by_hour == pytest.approx([1.0, 0.0, 0.03, 1.0], abs=0.05)
    assert not world.history.lacks(KEY, START - 3 * HOUR, START - 2 * HOUR)
    assert world.history.lacks(KEY, START - 2 * HOUR, START - HOUR)


async def test_what_the_controller_saw_itself_stays_and_is_not_asked_for(world, prometheus):
    world.scraped(6.0)
    at = START - 2 * HOUR
    while at <= START:
        world.history.add(replace(used_at(at), used={"cpu": 6.0}))
        at += 60
    before = world.history.blocks(KEY, START)
    await world.fill(2)
    assert prometheus.asked == []
    await world.fill(6)
    found = world.history.blocks(KEY, START)
    kept = found.start >= START - 2 * HOUR
    np.testing.assert_array_equal(found.unit_hours[kept], before.unit_hours)
    assert found.hours.sum() == pytest.approx(6.0, rel=0.01)


async def test_readings_go_on_coming_while_it_is_filled_and_none_is_counted_twice(world, prometheus, clock):
    world.scraped(27.0)
    ticks = iter(range(1, 10_000))

    def meanwhile(_form):
        at = START + 60.0 * next(ticks)
        world.history.add(used_at(at))
        world.seen.add(used_at(at))

    prometheus.answer = meanwhile
    await world.fill(26)
    for _ in range(20):
        meanwhile(None)
    now = START + 60.0 * next(ticks)
    found, wanted = world.history.blocks(KEY, now), world.seen.blocks(KEY, now, START - 26 * HOUR)
    assert found.hours.sum() == pytest.approx(wanted.hours.sum(), rel=0.005)
    assert np.all(np.diff(found.start) > 0)


async def test_after_a_stop_only_what_is_left_is_asked_for(world, prometheus, tmp_path):
    world.scraped(81.0)
    url = f"sqlite:///{tmp_path}/orcha.db"
    world.history.add(used_at(START + 1))
    third = asyncio.Event()

    def fails_from_the_third_on(_form):
        if len(prometheus.asked) <= 2:
            return None
        third.set()
        return web.Response(status=503)

    prometheus.answer = fails_from_the_third_on
    filling = asyncio.create_task(world.fill(80))
    await third.wait()
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    store = await Store.open(url)
    await world.history.flush(store, START + 1)
    await store.close()
    first = world.ranges()[:2]

    prometheus.answer = None
    prometheus.asked.clear()
    store = await Store.open(url)
    again = world.new()
    await again.restore(store, START + 60)
    again.add(used_at(START + 60))
    await world.fill(80, again)
    await again.flush(store, START + 60)
    assert {each[0] for each in world.ranges()}.isdisjoint({each[0] for each in first})
    assert again.blocks(KEY, START).hours.sum() == pytest.approx(80.0, rel=0.01)
    await store.close()

    prometheus.asked.clear()
    store = await Store.open(url)
    third = world.new()
    await third.restore(store, START + 120)
    np.testing.assert_allclose(
        third.blocks(KEY, START).unit_hours.sum(), again.blocks(KEY, START).unit_hours.sum(), rtol=1e-5
    )
    assert await world.fill(79, third) == 0.0
    assert prometheus.asked == []
    await store.close()


async def test_the_time_in_which_the_controller_was_away_is_filled_too(world, tmp_path):
    world.scraped(12.0)
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    before = world.new()
    at = START - 12 * HOUR
    while at < START - 9 * HOUR:
        before.add(used_at(at))
        at += 60
    await before.flush(store, at)
    after = world.new()
    await after.restore(store, START)
    await world.fill(12, after)
    after.add(used_at(START + 60))
    found = after.blocks(KEY, START)
    assert found.hours.sum() == pytest.approx(12.0, rel=0.01)
    assert np.all(np.diff(found.start) > 0)
    await after.flush(store, START + 60)
    again = world.new()
    await again.restore(store, START + 60)
    assert again.blocks(KEY, START).hours.sum() == pytest.approx(12.0, rel=0.01)
    await store.close()


async def test_what_was_filled_is_written_though_nothing_new_was_seen_since(world, tmp_path):
    world.scraped(28.0)
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    world.history.add(used_at(START + 1))
    await world.history.flush(store, START + 1)
    await world.fill(27)
    await world.history.flush(store, START + 2)
    again = world.new()
    await again.restore(store, START + 3)
    assert again.blocks(KEY, START).hours.sum() == pytest.approx(27.0, rel=0.01)
    await store.close()


async def test_what_was_filled_before_the_first_reading_is_written_too(world, tmp_path):
    """As where the exporter is away when the controller starts: nobody knows when a reading comes."""
    world.scraped(28.0)
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    await world.history.flush(store, START)
    await world.fill(27)
    for seconds in (1, 2):
        await world.history.flush(store, START + seconds)
    again = world.new()
    await again.restore(store, START + 3)
    assert again.blocks(KEY, START).hours.sum() == pytest.approx(27.0, rel=0.01)
    again.add(used_at(START + 4))
    await again.flush(store, START + 4)
    assert (await store.newest())[KEY][0].at == START + 4
    await store.close()


async def test_a_reading_that_holds_while_it_is_filled_is_not_counted_twice(world):
    """The first look that Prometheus shows is one poll old, and what is filled reaches beyond it."""
    world.scraped(3.0)
    world.history.add(used_at(START - 720))
    await world.fill(2)
    world.history.add(used_at(START + 60))
    found = world.history.blocks(KEY, START + 60)
    assert np.all(np.diff(found.start) > 0)
    assert found.hours.sum() <= 2.0 + 60 / HOUR
    assert found.hours[found.start < START].sum() == pytest.approx(2.0, rel=0.01)


async def test_with_many_workloads_it_goes_back_as_far_as_memory_does_and_a_restart_knows_the_same(world, tmp_path):
    world.scraped(32.0)
    coarse = world.new(grain=lambda _count: COARSE)
    coarse.add(used_at(START))
    assert coarse.reach == COARSE.hours
    await world.fill(30, coarse)
    found = coarse.blocks(KEY, START)
    assert found.hours.sum() == pytest.approx(30.0, rel=0.02)
    assert np.all(np.diff(found.start) > 0)
    memory = await coarse.memory([KEY])
    assert memory is not None
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    coarse.add(used_at(START + 60))
    await coarse.flush(store, START + 60)
    again = world.new(grain=lambda _count: COARSE)
    await again.restore(store, START + 60)
    assert again.blocks(KEY, START).unit_hours.sum() == pytest.approx(found.unit_hours.sum(), rel=0.02)
    await store.close()


async def test_while_prometheus_is_away_it_is_asked_again_and_what_it_refuses_is_left_out(world, prometheus, clock):
    world.scraped(4.0)
    prometheus.answer = lambda _form: web.Response(status=503) if len(prometheus.asked) < 3 else None
    assert await world.fill(3) == pytest.approx(3.0)
    assert clock.slept[:2] == [FIRST_WAIT, 2 * FIRST_WAIT]
    assert clock.slept[-1] >= REST
    again = world.new()
    prometheus.answer = lambda _form: web.Response(status=400, text="no")
    assert await world.fill(3, again) == 0.0
    assert again.blocks(KEY, START) is None


async def test_workloads_that_are_gone_or_were_changed_meanwhile_are_left_out(world, prometheus):
    world.scraped(3.0)

    def meanwhile(_form):
        world.history.keep([replace(Kept.of(world.source.workloads[0]), step=2.0)])

    prometheus.answer = meanwhile
    assert await world.fill(2) == 0.0


async def test_many_workloads_are_asked_for_in_lots_and_get_their_own(source_for, prometheus, clock):
    clock.now = START
    nodes = [node(f"n-{i:02d}", a=ALLOTTED, b=ALLOTTED, c=ALLOTTED) for i in range(35)]
    source = source_for(*nodes)
    history = History([Kept.of(each) for each in source.workloads])
    at = START - 1.2 * HOUR
    while at <= START:
        looks = [
            reading(at, name, each.name, used={"cpu": 1.0 + i % 5}) for i, each in enumerate(nodes) for name in "abc"
        ]
        prometheus.scrape(*looks, at=at)
        at += 300
    assert await Backfill(source, history, clock).fill(HOUR) == pytest.approx(105.0, rel=0.1)
    assert len(prometheus.asked) == -(-105 // TOGETHER)
    for i in (0, 7, 34):
        assert history.blocks(f"n-{i:02d}/b", START).used == pytest.approx(1.0 + i % 5)


@given(st.floats(1.7e9, 1.9e9), st.floats(HOUR, 40 * DAY), st.integers(0, 20_000))
def test_chunks_cover_all_of_the_past_once_newest_first_each_on_an_hour_and_of_bounded_size(now, reach, workloads):
    found = list(chunks(now, reach, workloads, 300))
    assert found[0][1] == now // 300 * 300
    assert now - reach - HOUR <= found[-1][0] <= now - reach
    for start, end, step in found:
        assert start < end
        assert start % HOUR == 0
        hour = HOUR / step * SERIES * min(max(workloads, 1), TOGETHER)
        assert (end - start) / HOUR * hour <= max(POINTS + hour, hour)
    assert [each[0] for each in found[:-1]] == [each[1] for each in found[1:]]
    assert len(found) <= reach / HOUR + 3
