"""The forecast of the hours ahead: profile of the day times level, its trust, and the past as it may look ahead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate.demand import survival
from controller.estimate.forecast import Forecast, Hours, forecast, value_ahead
from controller.estimate.stretch import demand_ahead, hourly, stretched
from controller.estimate.weights import draw, pool
from tests.controller import worlds

NOW = worlds.NOW


def hours(mean, *, full=None, seen=None):
    mean = np.atleast_2d(np.asarray(mean, float))
    full = np.zeros_like(mean) if full is None else np.atleast_2d(np.asarray(full, float))
    seen = np.isfinite(mean).astype(float) if seen is None else np.atleast_2d(np.asarray(seen, float))
    return Hours(NOW, mean, seen, full)


def sine(days, *, ahead=0, level=4.0, amplitude=0.6):
    return level * (1 + amplitude * np.sin(2 * np.pi * np.arange(24 * days + ahead) / 24))


def bursty(seed, days=14, workloads=1):
    rng = np.random.default_rng(seed)
    noise = np.exp(0.3 * rng.standard_normal((workloads, 24 * days)))
    return sine(days, level=rng.uniform(1, 9)) * noise


def told(point, *, trust=1.0, factor=1.0, past=24):
    """One workload of which a forecast says this, and said a `factor`-th of it of every past hour."""
    point = np.atleast_1d(np.asarray(point, float))
    one, foreseen = np.array([trust]), np.full((1, past, 1), point.mean() / factor)
    return Forecast(NOW, point[None], one, one, one, point[:, None], foreseen, (0,) * len(point))


# examples


@pytest.mark.parametrize(("days", "within"), [(3, 0.06), (8, 0.01)])
def test_a_sine_of_a_day_is_foreseen_nearly_exactly_after_days(days, within):
    whole = sine(days, ahead=24)
    assert forecast(hours(whole[:-24]), 24).point[0] == pytest.approx(whole[-24:], rel=within)


def test_a_jump_of_the_level_is_followed_to_nine_tenths_within_six_hours():
    rhythm = sine(8, ahead=2)
    rhythm[7 * 24 + 18 :] *= 3
    found = forecast(hours(rhythm[: 8 * 24]))
    assert (found.point[0] > 0.9 * rhythm[8 * 24 :]).all()
    assert (found.point[0] < 1.1 * rhythm[8 * 24 :]).all()


def test_from_three_weeks_on_a_quiet_weekend_is_foreseen_on_friday_evening():
    quiet = np.where(np.arange(24 * 27) // 24 % 7 >= 5, 0.2, 1.0) * sine(27)
    eve = 24 * 26  # of the second quiet day's
    saturday = slice(eve - 24, eve)
    assert forecast(hours(quiet[: eve - 24]), 24).point[0] == pytest.approx(quiet[saturday], rel=0.2)


def test_before_three_weeks_a_weekend_comes_as_a_surprise():
    quiet = np.where(np.arange(24 * 12) // 24 % 7 >= 5, 0.2, 1.0) * sine(12)
    found = forecast(hours(quiet), 24).point[0]
    assert found.mean() > 3 * (0.2 * sine(1)).mean()


def test_what_is_constant_stays():
    assert forecast(hours([2.5] * 60), 24).point[0] == pytest.approx([2.5] * 24)


def test_one_hour_alone_is_all_that_is_known_and_nothing_is_trusted():
    found = forecast(hours([3.0]))
    assert found.point[0] == pytest.approx([3.0, 3.0])
    assert found.trust[0] == 0.0
    assert (found.factors(0) == 1.0).all()


@pytest.mark.parametrize("mean", [[0.0] * 72, [np.nan] * 72, [], [-1.0, np.inf, 1e300]], ids=str)
def test_where_nothing_was_used_or_seen_nothing_is_foreseen(mean):
    found = forecast(hours(np.reshape(mean, (1, -1))), 24)
    assert found.point[0].tolist() == [0.0] * 24
    assert found.trust[0] == 0.0
    assert np.isfinite(found.factors(0)).all()


def test_gaps_change_a_rhythm_that_is_known_by_little():
    whole = sine(10, ahead=24)
    mean = whole[:240].copy()
    mean[np.random.default_rng(3).random(240) < 0.4] = np.nan
    assert forecast(hours(mean), 24).point[0] == pytest.approx(whole[240:], rel=0.1)


def test_a_gap_up_to_now_leaves_the_level_that_was():
    mean = sine(10)
    mean[-30:] = np.nan
    assert forecast(hours(mean)).point[0] == pytest.approx(sine(10, ahead=2)[-2:], rel=0.05)


def test_full_hours_say_at_least_and_do_not_pull_the_level_down():
    whole = sine(8, ahead=2)
    cut, full = np.minimum(whole[:192], 1.0), np.zeros(192)
    cut[:168], full[168:] = whole[:168], whole[168:192] > 1.0  # on the last day its allocation is 1
    believed = forecast(hours(cut, full=full)).point[0]
    taken_for_demand = forecast(hours(cut)).point[0]
    assert believed == pytest.approx(whole[192:], rel=0.1)
    assert (taken_for_demand < 0.8 * whole[192:]).all()


def test_a_workload_that_is_always_full_is_foreseen_at_no_less_than_its_allocation_and_not_trusted():
    found = forecast(hours([4.0] * 240, full=[1.0] * 240))
    assert found.point[0] == pytest.approx([4.0, 4.0])
    assert found.trust[0] == 0.0


def test_before_a_day_is_scored_the_plain_kernels_count_alone():
    assert forecast(hours(sine(1))).trust[0] == 0.0


def test_noise_without_any_rhythm_is_forecast_no_better_than_by_the_plain_kernels():
    noise = np.exp(0.4 * np.random.default_rng(5).standard_normal((50, 24 * 14)))
    rhythm = noise * sine(14)
    nothing, something = forecast(hours(noise)), forecast(hours(rhythm))
    assert np.median(nothing.trust) < 0.1
    assert np.median(nothing.gain) < 0
    assert np.median(something.trust) > 0.5
    assert np.median(something.gain) > 0


def test_money_that_is_credited_in_lumps_keeps_its_mean():
    lumps = np.tile([0.0, 0.0, 0.0, 8.0], 60)
    assert forecast(hours(lumps), 24, power=1.0).point[0].mean() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("ahead", [0, -1, 25])
def test_a_horizon_out_of_range_is_refused(ahead):
    with pytest.raises(ValueError, match="1 to 24 hours ahead"):
        forecast(hours([1.0]), ahead)


def test_the_value_ahead_is_weighed_by_what_will_be_used():
    assert value_ahead(told([1.0, 4.0]), told([1.0, 2.0]))[0] == pytest.approx(3.0)
    assert value_ahead(told([1.0, 4.0]), told([0.0, 0.0]))[0] == pytest.approx(2.5)


# properties

SERIES = st.lists(
    st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, np.nan, np.inf, -1.0, 1e-300, 1e24, 1e30])), max_size=200
)


@given(mean=SERIES, shares=st.lists(st.sampled_from([0.0, 0.3, 1.0, np.nan]), min_size=2, max_size=2))
def test_no_forecast_is_negative_or_not_a_number(mean, shares):
    given_ = hours(
        np.reshape(mean, (1, -1)), full=np.full((1, len(mean)), shares[0]), seen=np.full((1, len(mean)), shares[1])
    )
    found = forecast(given_, 6)
    for part in (found.point, found.trust, found.scored, found.factors(0)):
        assert np.isfinite(part).all()
        assert (part >= 0).all()
    assert np.isfinite(found.gain).all()


@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-6, 0.5, 3.0, 1e9]))
def test_a_demand_times_as_large_is_forecast_times_as_large(seed, scale):
    series = bursty(seed)
    once, scaled = forecast(hours(series), 6), forecast(hours(scale * series), 6)
    assert scaled.point == pytest.approx(scale * once.point, rel=1e-6)
    assert scaled.factors(0) == pytest.approx(once.factors(0), rel=1e-6)


@given(seed=st.integers(0, 99))
def test_a_week_later_the_same_past_says_the_same(seed):
    past = worlds.blocks(bursty(seed)[0], [False] * 336)
    week = 7 * 86400.0
    later = worlds.changed(past, start=past.start + week)
    one, other = forecast(hourly([past], NOW)), forecast(hourly([later], NOW + week))
    assert other.point == pytest.approx(one.point, rel=1e-9)


@given(order=st.permutations(range(4)))
def test_no_workload_sees_another(order):
    series = bursty(1, workloads=4)
    together, alone = forecast(hours(series[order])), [forecast(hours(series[i])) for i in order]
    assert together.point == pytest.approx(np.concatenate([found.point for found in alone]), rel=1e-9)


# blocks


def test_blocks_become_hours_that_end_now():
    fine = worlds.blocks([1.0] * 6 + [3.0] * 6 + [5.0] * 12, [False] * 18 + [True] * 6, span=300.0)
    found = hourly([fine, None], NOW, days=1)
    assert found.mean[0, -2:] == pytest.approx([2.0, 5.0])
    assert found.full[0, -2:] == pytest.approx([0.0, 0.5])
    assert found.seen[0, -3:] == pytest.approx([0.0, 1.0, 1.0])
    assert np.isnan(found.mean[1]).all()


def test_a_block_across_a_border_is_split_by_time():
    half_past = worlds.blocks([2.0, 6.0], [False, False], now=NOW - 1800)
    found = hourly([half_past], NOW, days=1)
    assert found.mean[0, -3:] == pytest.approx([2.0, 4.0, 6.0])
    assert found.seen[0, -3:] == pytest.approx([0.5, 1.0, 0.5])


def test_without_blocks_there_are_no_hours():
    assert np.isnan(hourly([None], NOW).mean).all()
    assert hourly([], NOW).mean.shape == (0, 28 * 24)
    assert forecast(hourly([], NOW)).point.shape == (0, 2)


def test_blocks_that_cannot_be_true_are_not_seen():
    wrong = worlds.changed(worlds.always(2.0, hours=3), used=np.array([np.nan, -1.0, np.inf]))
    assert hourly([wrong], NOW).seen.sum() == 0.0


@pytest.mark.parametrize("figure", ["start", "span", "hours", "used"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_block_with_a_time_or_an_amount_that_is_none_is_foreseen_from_as_if_it_were_not_there(figure, bad):
    past = worlds.varying(3.0, capacity=8.0, hours=48)
    broken = getattr(past, figure).copy()
    broken[[0, 20]] = bad
    changed = worlds.changed(past, **{figure: broken})
    left_out = np.delete(np.arange(48), [0, 20])
    there = worlds.changed(past, **{name: getattr(past, name)[left_out] for name in past.__slots__ if name != "levels"})
    assert hourly([changed], NOW).mean == pytest.approx(hourly([there], NOW).mean, nan_ok=True)
    found = forecast(hourly([changed], NOW))
    moved, weight = stretched(changed, found, 0, 0.25, 65)
    assert np.isfinite(weight).all()
    assert np.isfinite(moved.exact).all()
    if figure in {"start", "span"}:
        assert weight[[0, 20]].tolist() == [0.0, 0.0]
        assert demand_ahead([changed], found, np.array([0.25]), 65)[0] == pytest.approx(
            demand_ahead([there], found, np.array([0.25]), 65)[0]
        )


def test_an_hour_of_twice_what_was_foreseen_says_twice_what_is_foreseen_now():
    # 4 in use of which 2 were foreseen; 3 are foreseen now, so factor 1.5: 6. Full at 4: at least 6
    exact, weight = stretched(worlds.always(4.0, hours=1), told(3.0, factor=1.5), 0, 1.0, 9)
    assert exact.exact.tolist() == [[0, 0, 0, 0, 0, 0, 1, 0, 0]]
    assert weight[0] == pytest.approx(2 ** (-0.5 / 40) / 1.5**2)
    full, _ = stretched(worlds.always(4.0, hours=1, full=True), told(3.0, factor=1.5), 0, 1.0, 9)
    assert full.censored.tolist() == [[0, 0, 0, 0, 0, 0, 1, 0, 0]]
    assert full.exact.sum() == 0


def test_what_lies_between_two_cells_keeps_its_mean_and_what_lies_above_them_all_is_in_the_last():
    moved, _ = stretched(worlds.always(1.0, hours=1), told(3.0, factor=1.25), 0, 1.0, 3)
    assert moved.exact[0].tolist() == [0, 0.75, 0.25]
    moved, _ = stretched(worlds.always(9.0, hours=1), told(3.0, factor=1.25), 0, 1.0, 3)
    assert moved.exact[0].tolist() == [0, 0, 1]


def test_what_was_seen_around_the_forecast_forty_hours_ago_counts_half_and_after_a_week_nothing():
    moved, weight = stretched(worlds.always(4.0, hours=200), told(3.0, past=168), 0, 1.0, 9)
    assert weight[-41] == pytest.approx(weight[-1] / 2)
    assert weight[-168] > 0
    assert weight[-169] == 0.0
    assert moved.exact.sum(axis=1).tolist() == [0.0] * 32 + [1.0] * 168


def test_half_of_what_is_trusted_is_its_share_beside_the_plain_kernels():
    assert told(1.0, trust=0.0).share == 0.0
    assert told(1.0, trust=0.8).share == 0.4


def test_the_curve_of_the_evening_is_foreseen_from_the_morning():
    # demand 2 by night and 6 by day, in steps; in an hour the day begins
    demand = np.where(np.arange(24 * 10 + 2) % 24 >= 12, 6.0, 2.0)[:-12][: 24 * 9 + 12]
    past = worlds.blocks(demand, [False] * len(demand))
    found = forecast(hourly([past], NOW))
    moved, weight = stretched(past, found, 0, 0.25, 65)
    weights = draw([past], NOW, 7)
    ahead = pool(moved, weights, weight)
    curve = survival(ahead.rows, moved.levels, ahead.exact, ahead.censored, 1.0)
    assert curve.integral(np.array([6.0]))[0, 0] == pytest.approx(6.0, rel=0.05)
    assert curve.after.shape[0] == 201


def test_the_kernel_of_many_is_that_of_each():
    series = [worlds.varying(3.0, capacity=8.0, seed=seed, hours=96) for seed in range(3)]
    found = forecast(hourly([*series, None], NOW))
    held = demand_ahead([*series, None], found, np.full(4, 0.25), 65)
    for row, past in enumerate(series):
        moved, weight = stretched(past, found, row, 0.25, 65)
        assert held[row, 0] == pytest.approx(weight @ moved.exact)
        assert held[row, 1] == pytest.approx(weight @ moved.censored)
    assert held[3].sum() == 0.0
