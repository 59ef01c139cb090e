"""The statistics of simulated demand, and that it depends on nothing but (seed, time)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.simulator.demand import (
    DAY,
    Bursts,
    Demand,
    Fill,
    Noise,
    Pool,
    Regimes,
    Rhythm,
    normal,
    pick,
    uniform,
    wandering,
)

START = 1.7e9
MONTH = START + np.arange(0, 120 * DAY, 600.0)


def test_hashed_numbers_are_uniform_and_unrelated_to_their_neighbours():
    numbers = uniform(7, 1, np.arange(200_000))
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.005)
    assert numbers.std() == pytest.approx(12**-0.5, abs=0.003)
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers, uniform(8, 1, np.arange(200_000)))[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers, uniform(7, 2, np.arange(200_000)))[0, 1]) < 0.01


def test_hashed_normals_are_standard_normal():
    numbers = normal(7, 1, np.arange(200_000))
    assert numbers.mean() == pytest.approx(0, abs=0.01)
    assert numbers.std() == pytest.approx(1, abs=0.01)
    assert (np.abs(numbers) < 1.96).mean() == pytest.approx(0.95, abs=0.005)


@given(seed=st.integers(-(2**70), 2**70), stream=st.integers(0, 99), index=st.integers(-(2**40), 2**40))
def test_one_choice_is_the_same_as_the_same_choice_among_many(seed, stream, index):
    assert pick(seed, stream, index) == uniform(seed, stream, np.array([index]))[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), offset=st.floats(0, 1e6), size=st.integers(1, 40))
def test_a_value_does_not_depend_on_what_else_is_asked_for(seed, offset, size):
    demand = Demand(5.0, seed)
    times = START + offset + np.arange(size) * 977.0
    together = demand.at(times)
    assert together.tolist() == [demand.at(float(time)) for time in times]
    assert together[::-1].tolist() == demand.at(times[::-1]).tolist()


def test_other_seeds_give_other_demand_and_the_same_seed_the_same():
    times = MONTH[:500]
    assert np.array_equal(Demand(5.0, 1).at(times), Demand(5.0, 1).at(times))
    assert not np.allclose(Demand(5.0, 1).at(times), Demand(5.0, 2).at(times))


def test_demand_is_never_negative_and_always_finite():
    found = Demand(5.0, 3, rhythm=Rhythm(1.0)).at(MONTH)
    assert np.isfinite(found).all()
    assert found.min() >= 0


@pytest.mark.parametrize("seed", range(3))
def test_the_long_mean_is_what_the_parts_promise(seed):
    found = [Demand(5.0, 10 * seed + k).at(MONTH).mean() for k in range(8)]
    assert np.mean(found) == pytest.approx(Demand(5.0, 0).mean, rel=0.06)


def test_the_rhythm_peaks_at_its_hour_and_falls_on_weekends():
    demand = Demand(10.0, 1, rhythm=Rhythm(0.4, peak=0.75, weekend=0.5), bursts=None, regimes=None, noise=None)
    midnight = np.floor(START / DAY / 7) * 7 * DAY
    day = midnight + np.arange(24) * 3600.0
    assert int(np.argmax(demand.at(day))) == 18
    assert demand.at(day).max() == pytest.approx(14.0)
    assert demand.at(day).min() == pytest.approx(6.0)
    assert demand.at(midnight + 5 * DAY + 6 * 3600) == pytest.approx(0.5 * demand.at(midnight + 6 * 3600))


def test_a_compressed_day_shows_the_same_rhythm_48_times_faster():
    slow = Demand(10.0, 1, DAY)
    fast = Demand(10.0, 1, 1800.0)
    days = START / DAY + np.arange(300) / 97.0
    np.testing.assert_allclose(slow.at(days * DAY), fast.at(days * 1800.0), rtol=1e-6)


def test_bursts_come_as_often_and_last_as_long_as_stated():
    bursts = Bursts(per_day=3.0, days=0.04, size=0.8)
    times = START + np.arange(0, 400 * DAY, 120.0)
    extra = Demand(1.0, 5, rhythm=None, bursts=bursts, regimes=None, noise=None).at(times) - 1.0
    assert extra.min() >= 0
    assert extra.mean() == pytest.approx(bursts.mean, rel=0.12)
    busy = (extra > 0).mean()  # of a Poisson stream of mean load 0.12: 1 - exp(-0.12)
    assert busy == pytest.approx(1 - np.exp(-3.0 * 0.04), rel=0.12)


def test_regimes_jump_now_and_then_and_are_level_in_between():
    times = START + np.arange(0, 2000 * DAY, DAY / 4)
    found = Demand(1.0, 5, rhythm=None, bursts=None, regimes=Regimes(4.0, 0.35), noise=None).at(times)
    jumps = np.flatnonzero(np.diff(found) != 0)
    assert len(jumps) == pytest.approx(2000 / 4, rel=0.02)
    assert np.diff(jumps).min() >= 4 * 2 - 1  # never two within half a regime
    assert np.log(found).std() == pytest.approx(0.35, rel=0.1)


def test_noise_is_smooth_forgotten_after_its_time_and_as_wide_as_stated():
    noise = Demand(1.0, 5, rhythm=None, bursts=None, regimes=None, noise=Noise(0.03, 0.15))
    times = START + np.arange(0, 200 * DAY, 60.0)
    logs = np.log(noise.at(times))
    assert logs.std() == pytest.approx(0.15, rel=0.05)
    lag = round(0.03 * DAY / 60)
    assert np.corrcoef(logs[:-1], logs[1:])[0, 1] > 0.99
    assert abs(np.corrcoef(logs[: -3 * lag], logs[3 * lag :])[0, 1]) < 0.1


def test_a_full_disk_takes_nothing_and_loses_only_what_is_deleted():
    fill = Fill(Demand(10.0, 1, rhythm=None, bursts=None, regimes=None, noise=None), deleted_per_hour=0.01)
    stored, arrived, deleted = fill.after(1000.0, 0.0, START, 3600.0)
    assert arrived == 0
    assert deleted == pytest.approx(1000 * (1 - np.exp(-0.01)))
    assert stored == pytest.approx(1000 - deleted)


@pytest.mark.parametrize("room", [-5.0, 0.0, 3.0, 1e9], ids=["overused", "full", "nearly", "empty"])
def test_what_arrives_is_never_more_than_the_room_nor_negative(room):
    fill = Fill(Demand(10.0, 1, rhythm=None, bursts=None, regimes=None, noise=None))
    _, arrived, _ = fill.after(100.0, room, START, 3600.0)
    assert arrived == pytest.approx(min(10.0, max(room, 0.0)))


def test_with_unlimited_room_data_levels_off_where_as_much_is_deleted_as_arrives():
    fill = Fill(Demand(10.0, 1, rhythm=None, bursts=None, regimes=None, noise=None), deleted_per_hour=0.01)
    levels = fill.unlimited(0.0, START + np.arange(0, 3000 * 3600.0, 3600.0))
    assert levels[-1] == pytest.approx(10.0 / (1 - np.exp(-0.01)), rel=1e-6)
    assert (np.diff(levels) >= 0).all()


def test_a_pool_pays_as_the_contracts_do():
    others = Demand(1_950_000.0, 1, rhythm=None, bursts=None, regimes=None, noise=None)
    # reference streamr 1.4: P = 0.05, O = 1 950 000, x = 50 000 gave exactly 4.5 DATA in an hour on the real contracts
    assert Pool(0.05, others).rate(50_000.0, START) * 3600 == pytest.approx(4.5, rel=1e-12)
    assert Pool(0.05, others).rate(0.0, START) == 0.0


def test_others_stake_wanders_slowly_around_its_level():
    found = wandering(1e6, 3).at(MONTH)
    assert found.mean() == pytest.approx(1e6, rel=0.05)
    assert np.log(found).std() == pytest.approx(0.08, rel=0.3)
    assert np.abs(np.diff(np.log(found))).max() < 0.01
