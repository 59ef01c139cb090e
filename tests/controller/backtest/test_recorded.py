"""What a controller recorded -> the least and the most that demand can have been."""

import numpy as np
import pytest

from controller.backtest.baselines import static
from controller.backtest.recorded import NothingRecorded, bracket, of_blocks, recorded
from controller.backtest.world import World, play
from controller.blocks import Block
from controller.history import History
from controller.observe import Watched
from controller.policy import PolicySpec
from controller.rows import StoredBlock
from controller.samples import Kept
from controller.store import Store
from exporters.reading import Reading
from tests.controller.backtest.cases import START, case, one

HOUR = 3600.0


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    yield store
    await store.close()


def watched_of(it):
    return {
        w.key: Watched(w.key, w.node, w.protocol, w.traits, 210.0, w.allocation, None, w.watts, w.mode, "dry_run")
        for w in it.workloads
    }


def block(hour, levels, *, hours=1.0, usd=0.0, unit_hours=0.0, allocated=4.0, **more):
    held = sum(levels.values())
    return StoredBlock(
        "cpu", 0.25,
        Block(
            int(START + hour * HOUR) // 60, 3600, levels, hours=hours, usd=usd, unit_hours=unit_hours, used_hours=held,
            allocated_unit_hours=allocated * hours, allocated_hours=hours, **more,
        ),
    )  # fmt: skip


def read(blocks, *, it=None, since=0.0, until=24.0):
    it = case(one(demand=[1])) if it is None else it
    between = (START + since * HOUR, START + until * HOUR)
    return of_blocks({"rack-1/golem": blocks}, it.nodes, watched_of(it), it.spec, between)


def test_use_below_the_allocation_is_the_demand_and_at_it_the_least_that_it_was():
    # half an hour at 2 of 4 cores, half an hour at all 4 of them; up to 8 are allowed
    found = read([block(0, {16: 0.5, 33: 0.5}, usd=0.09, unit_hours=3.0)])
    low, high = found.low.truth.demand[:, 0], found.high.truth.demand[:, 0]
    assert sorted(zip(low.tolist(), high.tolist(), strict=True)) == [(2, 2)] * 30 + [(4, 8)] * 30
    assert found.low.truth.value[:, 0].tolist() == pytest.approx([0.03] * 60)
    assert found.low.initial.tolist() == [4]
    assert found.censored == {"rack-1/golem": 0.5}
    assert "rack-1/golem 50%" in found.notes[-1]


def test_what_was_not_observed_is_unknown_and_what_was_down_is_down():
    truth = read([block(0, {16: 0.5}, hours=0.5, down_hours=0.25, usd=0.03, unit_hours=1.0)]).low.truth
    assert np.isfinite(truth.demand).sum() == 30
    assert (~truth.up).sum() == 15


def test_a_price_that_is_not_known_is_as_it_was_before_and_none_at_all_makes_the_demand_unknown():
    found = read([block(0, {16: 1.0}), block(1, {16: 1.0}, usd=0.06, unit_hours=2.0), block(2, {16: 1.0})])
    assert found.low.truth.value[:, 0].tolist() == pytest.approx([0.03] * 180)
    assert not np.isfinite(read([block(0, {16: 1.0})]).low.truth.demand).any()


def test_levels_are_laid_out_the_same_each_time_and_not_the_same_for_each_hour():
    hours = [block(h, {8: 0.25, 16: 0.25, 24: 0.5}, usd=0.06, unit_hours=2.0) for h in range(8)]
    first, again = (read(hours).low.truth.demand[:, 0].reshape(8, 60) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({tuple(hour) for hour in first.tolist()}) > 1
    assert all(sorted(hour) == sorted(first[0]) for hour in first.tolist())


def test_a_first_allocation_that_is_a_mean_over_a_move_is_brought_onto_the_grid():
    one_hour = {"usd": 0.06, "unit_hours": 2.0}
    moved = [block(0, {16: 1.0}, allocated=4.4, **one_hour), block(1, {16: 1.0}, allocated=5.0, **one_hour)]
    assert read(moved).low.initial.tolist() == [4]
    stayed = [block(h, {16: 1.0}, allocated=4.4, **one_hour) for h in range(2)]
    assert read(stayed).low.initial.tolist() == [4.4]


def test_more_held_than_the_manifests_have_is_refused():
    it = case(one(demand=[1], high=20), capacity={"cpu": 8.0})
    with pytest.raises(NothingRecorded, match="10 cpu were held on rack-1, which has 8"):
        read([block(0, {16: 1.0}, allocated=10.0, usd=1, unit_hours=1)], it=it)


@pytest.mark.parametrize(
    "blocks", [[], [StoredBlock("memory", 0.25, Block(0, 3600))]], ids=["none", "another resource"]
)
def test_nothing_recorded_is_said_so(blocks):
    with pytest.raises(NothingRecorded, match="ask for a time in which orcha ran"):
        read(blocks)


def test_it_is_as_long_as_what_is_recorded_and_says_so():
    found = read([block(h, {16: 1.0}, usd=1, unit_hours=1) for h in range(3, 6)], until=48.0)
    assert found.low.truth.start == START + 3 * HOUR
    assert found.low.truth.ticks == 180
    assert "of 2.0 days asked for, 0.1 are recorded" in found.notes


def test_a_slow_fill_without_room_may_have_grown_as_fast_as_it_did_in_its_fastest_hour_with_room():
    it = case(one("storj", [1], kind="fill", initial=4.0))
    grew = Block(
        int(START) // 60, 3600, {12: 1.0}, 1.0, 1.0, 1.0, used_first=3.0, used_last=4.0, room_hours=1.0, room_growth=1.0
    )
    full = Block(int(START + HOUR) // 60, 3600, {33: 1.0}, 1.0, 1.0, 1.0, used_first=4.0, used_last=4.0)
    for each in (grew, full):
        each.allocated_unit_hours, each.allocated_hours = 4.0, 1.0
    stored = [StoredBlock("storage", 0.25, each) for each in (grew, full)]
    found = of_blocks({"rack-1/storj": stored}, it.nodes, watched_of(it), it.spec, (START, START + 2 * HOUR))
    low, high = found.low.truth.demand[:, 0], found.high.truth.demand[:, 0]
    assert low[[0, 59, 119]].tolist() == pytest.approx([3 + 0.5 / 60, 3 + 59.5 / 60, 4.0])
    assert high[[59, 119]].tolist() == pytest.approx([3 + 59.5 / 60, 5.0])


async def test_what_the_controller_recorded_brackets_what_would_have_been(store):
    demand = np.repeat([2.0, 6.0, 3.0, 8.0, 1.0, 5.0], 30)
    it = case(one("golem", demand, 0.03, initial=4.0), one("akash", demand[::-1], 0.02, initial=4.0))
    world, watched = World(it), watched_of(it)
    history = History([Kept(key, "cpu", 210.0, 1.0, 8.0) for key in watched])
    while not world.over:
        at = START + world.tick * 60
        used, _, _ = world.step()
        for i, workload in enumerate(it.workloads):
            net = float(used[i] * it.truth.value[0, i])
            history.add(
                Reading(
                    workload.node, workload.key.split("/")[1], "mapped", at, rate_usd_per_hour=net, net_usd_per_hour=net,
                    used={"cpu": float(used[i])}, allocated={"cpu": 4.0},
                )
            )  # fmt: skip
    for workload in it.workloads:  # a look lasts until the next one
        history.add(Reading(workload.node, workload.key.split("/")[1], "mapped", START + 3 * HOUR, up=False))
    await history.flush(store, START + 3 * HOUR)
    found = await recorded(store, it.nodes, watched, PolicySpec(mode="Auto"), START, START + 3 * HOUR)
    assert [w.key for w in found.low.workloads] == [w.key for w in it.workloads]
    assert found.low.initial.tolist() == [4, 4]

    def shown(allocation):
        ticks = found.low.truth.ticks
        real = play(it, "x", np.repeat([allocation], len(demand), axis=0)).earned[:ticks].sum()
        ends = [play(each, "x", np.repeat([allocation], ticks, axis=0)) for each in (found.low, found.high)]
        return real, bracket(*ends)

    real, held = shown([4.0, 4.0])
    assert held.low == pytest.approx(held.high, rel=1e-6) == pytest.approx(real, rel=1e-6)
    for split in ([6.0, 2.0], [2.0, 6.0], [8.0, 0.0]):
        real, run = shown(split)
        assert run.low <= real * (1 + 1e-6)
        assert real <= run.high * (1 + 1e-6)
        assert run.low < run.high
    assert static(found.low).total == pytest.approx(shown([4.0, 4.0])[0], rel=1e-6)
