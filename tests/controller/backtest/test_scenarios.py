"""The made-up histories: the same each time, possible, and worth splitting."""

import numpy as np
import pytest

from controller.backtest.baselines import static
from controller.backtest.scenarios import NAMES, WHAT, scenario
from exporters.traits import CurveKind

SEEDS = (0, 1, 2)


def test_there_is_one_for_each_kind_of_trouble_and_each_says_in_a_sentence_what_it_is_for():
    assert NAMES == (
        "steady", "daily-rhythm", "bursts", "regime-change", "dead-protocol", "slow-fill", "price-crash", "flapping",
        "noisy-but-equal", "twelve-on-three",
    )  # fmt: skip
    assert WHAT.keys() == set(NAMES)
    assert all(sentence.endswith(".") for sentence in WHAT.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_and_another_seed_another(name):
    one, same, other = scenario(name, days=1), scenario(name, days=1), scenario(name, seed=1, days=1)
    assert np.array_equal(one.truth.demand, same.truth.demand)
    assert np.array_equal(one.truth.value, same.truth.value)
    assert np.array_equal(one.initial, same.initial)
    assert not np.array_equal(one.truth.demand, other.truth.demand)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_possible_and_the_first_split_keeps_to_all_bounds(name, seed):
    it = scenario(name, seed=seed, days=3)
    truth = it.truth
    assert truth.demand.shape == truth.value.shape == truth.up.shape == (3 * 1440, len(it.workloads))
    assert np.isfinite(truth.demand).all()
    assert (truth.demand >= 0).all()
    assert (truth.value > 0).all()
    assert [w.key for w in it.workloads] == sorted(w.key for w in it.workloads)
    for workload, initial in zip(it.workloads, it.initial, strict=True):
        allocation = workload.allocation
        steps = (initial - allocation.min) / allocation.step
        assert allocation.min <= initial <= allocation.max
        assert steps == pytest.approx(round(steps), abs=1e-9)
    run = static(it)
    assert (run.overallocations, run.limit_violations, run.moves) == (0, 0, 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "slow-fill"])
def test_more_is_asked_for_than_there_is_for_part_of_the_time(name, seed):
    it = scenario(name, seed=seed, days=7)
    node = it.nodes[-1]
    here = [i for i, w in enumerate(it.workloads) if w.node == node.name]
    short = (it.truth.demand[:, here].sum(axis=1) > node.capacity["cpu"]).mean()
    assert short > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_slow_fill_has_two_that_compete_for_one_disk_and_one_of_them_runs_out_of_room(seed):
    it = scenario("slow-fill", seed=seed, days=30)
    fills = [i for i, w in enumerate(it.workloads) if w.traits.curve is CurveKind.FILL]
    assert len(fills) == 2
    assert it.initial[fills].sum() == it.nodes[0].capacity["storage"]
    assert (it.truth.demand[-1, fills] > it.initial[fills]).any()


def test_the_daily_rhythm_knows_tariffs_by_the_hour():
    it = scenario("daily-rhythm", days=1)
    assert it.nodes[0].power.windows
    assert all(w.watts.per_step > 0 for w in it.workloads)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_dead_protocol_is_down_for_good_in_the_end(seed):
    up = scenario("dead-protocol", seed=seed).truth.up
    assert (~up[-1]).sum() == 1
    assert up[: len(up) // 4].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_price_crashes_to_a_fifth(seed):
    value = scenario("price-crash", seed=seed).truth.value
    jump = np.abs(np.log(value[1:] / value[:-1]))
    assert np.exp(-jump.max()) == pytest.approx(0.2, rel=0.05)


def test_twelve_on_three_have_companions_on_one_node():
    it = scenario("twelve-on-three", days=1)
    assert (len(it.workloads), len(it.nodes)) == (12, 3)
    assert {w.node for w in it.workloads if w.allocation.with_} == {"rack-3"}


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), 1e9])
def test_days_that_make_no_sense_are_refused(days):
    with pytest.raises(ValueError, match="write a number from 1 minute"):
        scenario("steady", days=days)


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"no scenario 'stedy'; there are steady, daily-rhythm"):
        scenario("stedy")


def test_a_minute_is_enough():
    assert scenario("flapping", days=1 / 1440).truth.ticks == 1
