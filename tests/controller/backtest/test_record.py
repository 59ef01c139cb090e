"""What a backtest shows orcha of the past is what a controller would have kept of the same readings."""

from dataclasses import replace

import numpy as np
import pytest

from controller.backtest.record import HOURS, Record, _Log, _Open
from controller.backtest.world import World
from controller.estimate.ahead import foresee
from controller.estimate.memory import CELLS
from controller.estimate.recall import binned, play, remember
from controller.history import History
from controller.model import Memory
from controller.samples import Kept
from exporters.reading import Reading
from tests.controller.backtest.cases import NAN, START, case, one

HOUR, DAY, BLOCK = 3600.0, 86400.0, 300.0
GOLEM, STORJ, TIRED = 0, 1, 2
"""Places of the workloads of `world_of`."""


def world_of(hours, *, seed=3, **more):
    """One that varies, one that fills, and one that is away at times."""
    rng, ticks = np.random.default_rng(seed), round(hours * 60)
    away = (np.arange(ticks) % 97 < 13) | (np.arange(ticks) // 60 == 2)  # thirteen minutes at a time, and an hour
    return case(
        one("golem", np.round(np.maximum(0, 4 + 2 * rng.standard_normal(ticks)), 1), 0.03 + 0.01 * rng.random(ticks)),
        one("storj", 2 + np.arange(ticks) / 400, kind="fill", initial=8.0, high=16, value=0.002),
        one("tired", np.where(away, NAN, 3.0), initial=2.0),
        **more,
    )  # fmt: skip


def ends_of(world):
    """As run.Replay goes: whenever a block closes, and whenever somebody comes or goes."""
    flips = np.flatnonzero((np.diff(world.terms.answers, axis=0)).any(axis=1)) + 1
    ticks = world.case.truth.ticks
    return sorted({*range(5, ticks + 1, 5), *flips.tolist(), ticks})


def lived(it, *, moves=()):
    """A Record and a History of the same ticks. moves: (tick, which, to), at ticks at which a block closes."""
    world, record = World(it), Record(it, BLOCK)
    history = History(
        [Kept(w.key, w.allocation.resource, 210.0, w.allocation.step, w.allocation.max) for w in it.workloads]
    )
    for end in ends_of(world):
        for tick, which, to in moves:
            if tick == world.tick:
                world.move(which, to)
        first, held = world.tick, world.allocation.copy()
        used, _, answering = world.advance(end - first)
        record.add(first, held, used, answering)
        for i, j in np.ndindex(used.shape):
            history.add(look(it, first + i, j, held, used[i], up=bool(answering[i, j])))
    for j in range(len(it.workloads)):  # what held until now ends
        history.add(look(it, it.truth.ticks, j, world.allocation, used[-1], up=False))
    return record, history


def look(it, tick, j, held, used, *, up):
    key, resource = it.workloads[j].key, it.workloads[j].allocation.resource
    at = it.truth.start + tick * it.truth.tick
    if not up:
        return Reading(*key.split("/"), "mapped", at, up=False)
    net = float(used[j] * it.truth.value[tick, j])
    return Reading(
        *key.split("/"), "mapped", at, allocated={resource: float(held[j])}, used={resource: float(used[j])},
        net_usd_per_hour=net, rate_usd_per_hour=net,
    )  # fmt: skip


def now_of(it):
    return it.truth.start + it.truth.ticks * it.truth.tick


def figures(blocks, *names):
    return np.stack([getattr(blocks, name) for name in names], axis=1)


def hours_at(blocks, part):
    """[block] level -> hours."""
    held = getattr(blocks, part)
    return [{float(blocks.levels[k]): round(float(row[k]), 5) for k in np.flatnonzero(row)} for row in held]


def closed_only(blocks, now):
    which = (blocks.start < now) & (blocks.hours > 0)
    return replace(
        blocks,
        **{
            name: getattr(blocks, name)[which]
            for name in blocks.__slots__
            if name not in {"levels", "tokens", "token_usd"}
        },
        tokens=None,
        token_usd=None,
    )


def same_memory(one, other, *, rel=1e-5):
    for name in Memory.ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rel, atol=1e-6, err_msg=name)


def remembered(it, blocks, now):
    bounds = [w.allocation for w in it.workloads]
    return remember([w.key for w in it.workloads], [b.step for b in bounds], [b.max for b in bounds], blocks, now)


# --- the same as History


@pytest.mark.parametrize("hours", [6, 27], ids=["blocks of five minutes", "the oldest are rolled into hours"])
def test_the_blocks_are_those_that_history_makes_of_the_same_readings(hours):
    it = world_of(hours)
    record, history = lived(it, moves=[(120, GOLEM, 6.0), (240, TIRED, 4.0)])
    now = now_of(it)
    for blocks, workload in zip(record.blocks(), it.workloads, strict=True):
        mine, theirs = (closed_only(each, now) for each in (blocks, history.blocks(workload.key, now)))
        assert mine.start.tolist() == theirs.start.tolist()
        assert mine.span.tolist() == theirs.span.tolist()
        assert (mine.span == HOUR).any() == (hours > 24)
        names = ("hours", "usd", "unit_hours", "rate_hours", "used", "used_first", "used_last")
        np.testing.assert_allclose(figures(mine, *names), figures(theirs, *names), rtol=1e-5)
        assert hours_at(mine, "exact") == hours_at(theirs, "exact")
        assert hours_at(mine, "censored") == hours_at(theirs, "censored")
        # a rise from one look to the next is of the block of the one or of the other; in all they are the same
        for name in ("room_hours", "room_growth"):
            assert getattr(mine, name).sum() == pytest.approx(getattr(theirs, name).sum(), rel=1e-5)


def test_the_memory_is_what_is_remembered_of_those_blocks():
    it = world_of(20)
    record, history = lived(it, moves=[(120, GOLEM, 6.0)])
    now = now_of(it)
    kept = [closed_only(history.blocks(w.key, now), now) for w in it.workloads]
    same_memory(record.memory, remembered(it, kept, now))
    same_memory(record.memory, remembered(it, record.blocks(), now))


def test_what_becomes_of_old_blocks_changes_no_memory():
    """An hour of blocks that became one was counted block by block, and stays so."""
    it = world_of(27)
    record, _ = lived(it)
    young, _ = lived(case_until(it, 20))
    parts = [
        binned(i, blocks, float(q), CELLS, now_of(it))
        for i, (blocks, q) in enumerate(zip(record.blocks(), record.memory.quantum, strict=True))
    ]
    went_on = young.memory
    since = START + 20 * HOUR
    for i, part in enumerate(parts):
        row = np.array([i])
        later = part.rows(part.start >= since)
        played = play(went_on.rows(row), replace(later, who=np.zeros_like(later.who)))
        same_memory(record.memory.rows(row), played)


def case_until(it, hours):
    ticks = round(hours * 60)
    cut = {name: getattr(it.truth, name)[:ticks] for name in ("demand", "value", "up")}
    return replace(it, truth=replace(it.truth, **cut))


def test_a_backtest_foresees_what_the_loop_would():
    it = world_of(20)
    record, history = lived(it)
    now = now_of(it)
    kept = [closed_only(history.blocks(w.key, now), now) for w in it.workloads]
    there, here = (foresee(memory, now, 2.0) for memory in (record.memory, remembered(it, kept, now)))
    for workload in it.workloads:
        x = np.arange(17.0)
        assert there[workload.key].use(x) == pytest.approx(here[workload.key].use(x), rel=1e-4)
        assert there[workload.key].value(None) == pytest.approx(here[workload.key].value(None), rel=1e-4)


def test_ticks_of_ten_minutes_are_blocks_of_ten_minutes():
    it = case(one(demand=[2, 3, 4, 5], initial=4.0), tick=600.0)
    record, world = Record(it, BLOCK), World(it)
    for tick in range(4):
        used, _, answering = world.advance(1)
        record.add(tick, world.allocation, used, answering)
    [blocks] = record.blocks()
    assert blocks.span.tolist() == [600.0] * 4
    assert blocks.hours == pytest.approx([1 / 6] * 4)
    assert blocks.used.tolist() == [2, 3, 4, 4]
    assert np.argwhere(blocks.censored > 0).tolist() == [[2, 16], [3, 16]]


# --- what cannot be seen


def test_demand_above_the_allocation_is_seen_only_as_at_least_that():
    low, high = (case(one(demand=[demand] * 60, initial=4.0)) for demand in (5, 500))
    (one_record, _), (other, _) = lived(low), lived(high)
    same_memory(one_record.memory, other.memory, rel=0)
    assert one_record.readings(0.0)[0][0] == other.readings(0.0)[0][0]


def test_use_within_two_per_cent_of_the_allocation_is_at_least_the_allocation():
    it = case(one(demand=[7.85] * 60, initial=8.0))
    record, history = lived(it)
    theirs = closed_only(history.blocks("rack-1/golem", now_of(it)), now_of(it))
    assert hours_at(record.blocks()[0], "censored") == hours_at(theirs, "censored") == [{8.0: round(1 / 12, 5)}] * 12


def test_who_is_away_is_not_seen_and_the_others_go_on():
    it = world_of(4)
    record, _ = lived(it)
    blocks = record.blocks()[TIRED]
    gone = (blocks.start >= START + 2 * HOUR) & (blocks.start < START + 3 * HOUR)
    assert gone.sum() == 12
    for name in ("hours", "usd", "unit_hours", "room_hours", "room_growth"):
        assert not getattr(blocks, name)[gone].any()
    for name in ("used", "used_first", "used_last"):
        assert np.isnan(getattr(blocks, name)[gone]).all()
    assert not blocks.exact[gone].any()
    assert not blocks.censored[gone].any()
    hour_gone, _ = lived(case_until(it, 3))
    assert hour_gone.memory.until.tolist() == [START + 3 * HOUR] * 2 + [START + 2 * HOUR]


def test_time_away_is_neither_zero_nor_held():
    it = world_of(4)
    record, _ = lived(it)
    seen = record.blocks()[TIRED]
    assert seen.hours.sum() == pytest.approx(np.isfinite(it.truth.demand[:, TIRED]).sum() / 60)
    assert np.nanmin(seen.used) == np.nanmax(seen.used) == 2.0


def test_without_a_known_worth_nothing_is_seen():
    it = case(one(demand=[3] * 10, value=[0.03] * 5 + [NAN] * 5))
    record, _ = lived(it)
    assert record.blocks()[0].hours == pytest.approx([1 / 12, 0])


# --- readings


def test_the_newest_readings_say_what_was_held_and_used_and_earned():
    it = world_of(2)
    record, _ = lived(it, moves=[(60, GOLEM, 5.0)])
    newest, good = record.readings(now_of(it))
    reading = newest[GOLEM]
    assert reading.up
    assert reading is good[GOLEM]
    assert reading.at == now_of(it)
    used = min(5.0, it.truth.demand[-1, GOLEM])
    assert (reading.allocated, reading.used) == ({"cpu": 5.0}, {"cpu": used})
    assert reading.net_usd_per_hour == pytest.approx(used * it.truth.value[-1, GOLEM])


def test_who_is_away_has_a_failed_reading_and_the_last_good_one():
    it = case(one(demand=[3] * 5 + [NAN] * 3))
    record, _ = lived(it)
    [newest], [good] = record.readings(0.0)
    assert not newest.up
    assert newest.at == now_of(it)
    assert good.at == START + 5 * 60
    assert good.used == {"cpu": 3.0}


def test_what_was_given_is_known_before_the_node_says_so():
    it = case(one(demand=[3] * 5))
    record, _ = lived(it)
    record.given(0, 6.0)
    [newest], [good] = record.readings(0.0)
    assert newest is good
    assert (newest.allocated, newest.used) == ({"cpu": 6.0}, {"cpu": 3.0})


def test_what_was_given_to_one_that_is_away_is_known_too_and_it_stays_away():
    it = case(one(demand=[3] * 5 + [NAN] * 3))
    record, _ = lived(it)
    record.given(0, 6.0)
    [newest], [good] = record.readings(0.0)
    assert not newest.up
    assert good.allocated == {"cpu": 6.0}


def test_what_is_given_to_one_that_never_answered_changes_nothing():
    it = case(one(demand=[NAN] * 5))
    record, _ = lived(it)
    record.given(0, 6.0)
    [newest], [good] = record.readings(0.0)
    assert not newest.up
    assert good is None


def test_before_the_first_block_closed_nothing_is_known():
    it = case(one(demand=[3] * 4))
    record, world = Record(it, BLOCK), World(it)
    used, _, answering = world.advance(4)
    record.add(0, world.allocation, used, answering)
    assert record.blocks() == [None]
    assert record.memory.until.tolist() == [-np.inf]
    assert record.readings(0.0)[0][0].used == {"cpu": 3.0}


# --- how long blocks are kept


def logged(blocks, *, count=1, seed=0):
    """A log of so many blocks of five minutes, and the blocks; some of them unseen."""
    rng, log, came = np.random.default_rng(seed), _Log(count), []
    for k in range(blocks):
        block = _Open(count)
        if rng.random() < 0.9:
            block.exact[:, 8], block.censored[:, 16] = rng.random((2, count)) / 24
            block.hours, block.usd, block.units = rng.random((3, count)) / 12
            block.used_first, block.used_last = rng.random((2, count))
        log.append(START + k * BLOCK, BLOCK, block)
        came.append(block)
    return log, came


@pytest.mark.parametrize("days", [0.5, 1, 1.5, 3, 17], ids="{} days".format)
def test_the_last_day_is_kept_in_blocks_and_two_weeks_in_hours(days):
    n = round(days * 288)
    log, came = logged(n)
    [blocks] = log.blocks(np.array([0.25]))
    hours = max(0, (n - 288) // 12)  # that are over for a day
    kept = min(hours, HOURS)
    assert blocks.start.tolist() == [
        *(START + HOUR * np.arange(hours - kept, hours)), *(START + BLOCK * np.arange(12 * hours, n)),
    ]  # fmt: skip
    assert blocks.span.tolist() == [HOUR] * kept + [BLOCK] * (n - 12 * hours)
    groups = [came[12 * k : 12 * k + 12] for k in range(hours - kept, hours)] + [[b] for b in came[12 * hours :]]
    for name, of in (("hours", "hours"), ("usd", "usd"), ("unit_hours", "units"), ("room_growth", "growth")):
        assert getattr(blocks, name) == pytest.approx([sum(getattr(b, of)[0] for b in group) for group in groups])
    assert blocks.exact[:, 8] == pytest.approx([sum(b.exact[0, 8] for b in group) for group in groups])
    assert blocks.censored[:, 16] == pytest.approx([sum(b.censored[0, 16] for b in group) for group in groups])
    for name, at in (("used_first", 0), ("used_last", -1)):
        known = [[getattr(b, name)[0] for b in group if np.isfinite(getattr(b, name)[0])] for group in groups]
        np.testing.assert_array_equal(getattr(blocks, name), [each[at] if each else NAN for each in known])


def test_each_workload_of_a_log_has_its_own():
    both, _ = logged(400, count=2, seed=1)
    one_log, other = both.blocks(np.array([0.25, 0.5]))
    assert other.levels.tolist() == (2 * one_log.levels).tolist()
    assert (one_log.usd != other.usd).any()
    assert one_log.start.tolist() == other.start.tolist()
