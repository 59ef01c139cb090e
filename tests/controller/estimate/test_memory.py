"""What the past of many workloads comes to, block by block, and what is expected of the hours ahead."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from controller.estimate.ahead import foresee
from controller.estimate.kernels import ALONE, COUNT, HALF_LIVES, RECENT, SLOT_HALF_LIFE
from controller.estimate.memory import (
    CELLS,
    EVERY,
    SCORED,
    VALUE_HALF_LIVES,
    Seen,
    after,
    cell_size,
    merged,
    nothing,
    of_kernels,
    unit_worth,
)
from controller.estimate.recall import binned, remember
from controller.model import Memory
from exporters.simulator.demand import Demand, Noise, Rhythm
from tests.controller import worlds
from tests.controller.estimate.pasts import DAY, HOUR, START, end_of, memory_of, seen, seen_of

KEY = "rack-1/golem"
LATEST = START + 20 * DAY


def ahead_of(blocks, *, hours=2.0, **more):
    now = more.get("now") or end_of(blocks)
    return foresee(memory_of(blocks, **more), now, hours)[KEY]


def same(one, other, *, rel=1e-5):
    assert one.keys == other.keys
    for name in Memory.ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rel, atol=1e-6, err_msg=name)


def picked(blocks, which):
    """Only some blocks of a past."""
    per_block = {
        name: getattr(blocks, name)[which]
        for name in (
            "start", "span", "hours", "usd", "unit_hours", "rate_hours", "used", "used_first", "used_last", "room_hours",
            "room_growth", "exact", "censored", "tokens", "token_usd",
        )
        if getattr(blocks, name) is not None
    }  # fmt: skip
    return replace(blocks, **per_block)


def fed(memory, blocks, order):
    for j in order:
        memory = after(memory, seen_of([blocks], [j], memory.quantum))
    return memory


def bare(*, step=1.0, most=16.0):
    return nothing([KEY], [step], [most])


noisy = np.maximum(0.0, 4 + 3 * np.random.default_rng(4).standard_normal(3 * 1440))

# --- cells


@pytest.mark.parametrize(
    ("step", "largest", "expected"),
    [(1, 8, 0.25), (1, 16, 0.25), (1, 17, 0.5), (1, 64, 1), (1, 0, 0.25), (0.5, 8, 0.125), (1e9, 1e13, 0.25e9 * 1024)],
)
def test_a_cell_is_a_quarter_step_doubled_until_the_largest_allocation_fits(step, largest, expected):
    assert cell_size(step, largest) == expected
    assert largest <= cell_size(step, largest) * CELLS


def test_levels_are_counted_in_the_nearest_cell_and_above_the_last_in_the_last():
    blocks = worlds.changed(worlds.blocks([0, 1], [False, True]), levels=np.array([0.9, 99.0]))
    found = seen_of([blocks, blocks], [0, 1], np.array([0.25, 0.25]))
    assert np.argwhere(found.exact).tolist() == [[0, 4]]
    assert np.argwhere(found.censored).tolist() == [[1, CELLS]]


wrong_hours = pytest.mark.parametrize(
    "wrong", [np.nan, np.inf, -1.0, 1e9], ids=["NaN", "infinite", "less than none", "a long block"]
)


@wrong_hours
def test_a_block_whose_hours_cannot_be_true_is_one_in_which_nothing_was_seen(wrong):
    blocks = worlds.changed(worlds.blocks([2.0, 4.0], [False, False]), hours=np.array([wrong, 1]))
    found = binned(0, blocks, 0.25, CELLS, worlds.NOW)
    assert found.start.tolist() == [worlds.NOW - HOUR]
    assert found.hours.tolist() == [1]


@wrong_hours
def test_hours_at_a_level_that_cannot_be_true_count_as_none(wrong):
    blocks = worlds.changed(worlds.blocks([2.0, 4.0], [False, False]), exact=np.float32([[wrong, 0.25], [0, 1]]))
    found = binned(0, blocks, 0.25, CELLS, worlds.NOW)
    assert found.exact.sum(axis=1).tolist() == [0.25, 1]
    assert np.isfinite(memory_of(blocks, now=worlds.NOW).recent).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_a_level_that_cannot_be_true_is_kept_within_the_cells(wrong):
    blocks = worlds.changed(worlds.blocks([2.0], [False]), levels=np.array([wrong]))
    assert np.isfinite(seen_of([blocks], [0], np.array([0.25])).exact).all()


# --- sums over time


def test_every_recent_kernel_forgets_by_its_own_half_life():
    blocks = worlds.blocks([2.0, 6.0], [False, True])
    memory = memory_of(blocks, now=worlds.NOW)
    assert memory.quantum.tolist() == [0.25]
    assert memory.recent[0, 0, :, 8].tolist() == pytest.approx(np.exp2(-1 / HALF_LIVES).tolist())
    assert memory.recent[0, 1, :, 24].tolist() == [1.0] * RECENT
    assert memory.until[0] == worlds.NOW
    assert memory.exposure[0] == pytest.approx(1 + 2 ** (-1 / 48))


def test_a_gap_is_forgotten_over_as_the_time_that_it_is():
    blocks = worlds.blocks([2.0] * 30, [False] * 30)
    held = memory_of(picked(blocks, [0, 29]), now=worlds.NOW).recent[0, 0, :, 8]
    assert held.tolist() == pytest.approx((1 + np.exp2(-29 / HALF_LIVES)).tolist())


def test_a_slot_of_the_day_forgets_from_when_it_was_last_written():
    four_days = seen(np.full(4 * 1440 + 60, 2.0), 8.0, span=HOUR)
    memory = memory_of(picked(four_days, [0, 96]))  # Monday and Friday, the first hour
    assert memory.slots[0, 0, 0, 0, 8] == pytest.approx(1.5)
    assert memory.written[0, 0, 0] == START + 4 * DAY + HOUR / 2
    assert memory.slots.sum() == pytest.approx(1.5)
    assert SLOT_HALF_LIFE == 4 * DAY


def test_the_last_minutes_before_midnight_are_of_the_day_before():
    blocks = seen(np.full(2 * 1440, 2.0), 8.0, start=START + 4 * DAY)  # Friday and Saturday
    around = picked(blocks, [287, 288])
    assert np.argwhere(memory_of(around).written[0] > 0).tolist() == [[0, 23], [1, 0]]


def test_block_by_block_equals_the_whole_at_once():
    blocks = seen(noisy[:1440], 5.0)
    one_by_one = fed(bare(), blocks, range(len(blocks.start)))
    same(one_by_one, memory_of(blocks))


def test_many_workloads_with_different_gaps_equal_each_alone():
    blocks = seen(noisy[:1440], 5.0)
    pasts = [blocks, picked(blocks, np.r_[0:100, 200:288]), picked(blocks, [250]), picked(blocks, [])]
    keys = ["a", "b", "c", "d"]
    now = end_of(blocks)
    together = remember(keys, [1.0] * 4, [16.0] * 4, pasts, now)
    for i, key in enumerate(keys):
        same(together.rows(np.array([i])), remember([key], [1.0], [16.0], [pasts[i]], now))


def test_rows_that_are_not_touched_stay():
    blocks = seen(noisy[:600], 5.0)
    both = remember(["a", "b"], [1.0, 2.0], [16.0, 64.0], [blocks, blocks], end_of(blocks))
    who = np.array([1])
    part = after(both.rows(who), seen_of([blocks], [3], both.quantum[who]))
    found = merged(both, who, part)
    same(found.rows(np.array([0])), both.rows(np.array([0])), rel=0)
    same(found.rows(who), part, rel=0)


def test_order_among_workloads_changes_nothing():
    one, two = seen(noisy[:900], 5.0), seen(noisy[900:1800], 3.0)
    there = remember(["a", "b"], [1.0] * 2, [16.0] * 2, [one, two], LATEST)
    back = remember(["b", "a"], [1.0] * 2, [16.0] * 2, [two, one], LATEST)
    same(there, back.rows(np.array([1, 0])))


def silent(start, *, span=HOUR, cells=CELLS):
    """A block in which nothing was seen, as `after` takes it."""
    none = np.zeros((1, cells + 1))
    return Seen(np.array([start]), np.array([span]), none, none, np.zeros(1), np.zeros((1, 4)))


@pytest.mark.parametrize("away", [1, 5, 20, 30, 100])
def test_a_block_in_which_nothing_was_seen_only_lets_time_pass_so_that_it_may_be_left_out(away):
    blocks = seen(noisy[:1440], 5.0)
    counted = memory_of(blocks)
    passed, now = counted, end_of(blocks) + away * HOUR
    for hour in range(away):
        passed = after(passed, silent(end_of(blocks) + hour * HOUR))
    assert counted.until[0] == end_of(blocks)
    assert passed.until[0] == now
    x = np.arange(17.0)
    there, left_out = (foresee(memory, now, 2.0)[KEY] for memory in (passed, counted))
    assert there.use(x) == pytest.approx(left_out.use(x), rel=1e-5)
    assert there.full == pytest.approx(left_out.full, rel=1e-5)
    assert there.value(None) == pytest.approx(left_out.value(None))
    assert there.trust == pytest.approx(left_out.trust, abs=1e-5)


def test_a_block_in_which_nothing_was_seen_is_left_out():
    blocks = worlds.blocks([2.0, 2.0], [False, False])
    silenced = worlds.changed(
        blocks, hours=np.array([1.0, 0]), exact=blocks.exact * [[1], [0]], usd=np.array([0.06, 0]),
        unit_hours=np.array([2.0, 0]),
    )  # fmt: skip
    memory = memory_of(silenced, now=worlds.NOW)
    assert memory.recent[0, 0, :, 8].tolist() == [1.0] * RECENT
    assert memory.until[0] == worlds.NOW - HOUR
    assert foresee(memory, worlds.NOW, 2.0)[KEY].value(None) == pytest.approx(0.03)


def test_a_block_of_no_length_is_harmless():
    blocks = worlds.changed(worlds.blocks([2.0, 2.0], [False, False]), span=np.array([3600.0, 0.0]))
    assert np.isfinite(memory_of(blocks, now=worlds.NOW).recent).all()


def test_blocks_that_end_after_now_are_not_counted_yet():
    blocks = seen(noisy[:600], 5.0)
    now = end_of(blocks) - 2 * 300
    same(memory_of(blocks, now=now), memory_of(picked(blocks, np.arange(118)), now=now))


def test_blocks_out_of_order_are_the_same_past():
    blocks = seen(noisy[:600], 5.0)
    turned = picked(blocks, np.random.default_rng(0).permutation(120))
    same(memory_of(turned, now=LATEST), memory_of(blocks, now=LATEST))


def test_one_block_that_comes_late_hardly_matters():
    blocks = seen(noisy[:1200], 5.0)
    order = list(range(240))
    order[200:202] = [201, 200]
    late, right = fed(bare(), blocks, order), fed(bare(), blocks, range(240))
    x = np.arange(17.0)
    for memory in (late, right):
        assert memory.until[0] == end_of(blocks)
    late_use, use = (foresee(memory, end_of(blocks), 2.0)[KEY].use(x) for memory in (late, right))
    assert late_use == pytest.approx(use, rel=0.05)


def test_a_clock_that_ran_a_year_ahead_for_a_block_does_not_stop_the_learning():
    blocks = seen(noisy[:1440], 5.0)
    wrong = picked(blocks, [0])
    memory = after(bare(), seen_of([replace(wrong, start=wrong.start + 365 * DAY)], [0], np.array([0.25])))
    memory = fed(memory, blocks, range(1, 288))
    assert memory.scored[0] > SCORED
    assert memory.made.max() <= end_of(blocks)
    assert memory.trust[0, ALONE] < 1.0
    assert foresee(memory, end_of(blocks), 2.0)[KEY].use(np.array([5.0])) == pytest.approx(
        ahead_of(blocks).use(np.array([5.0])), rel=0.05
    )


def test_times_that_are_none_are_left_out():
    blocks = worlds.blocks([2.0, 3.0, 4.0, 5.0], [False] * 4)
    start, span = blocks.start.copy(), blocks.span.copy()
    start[0], start[1], span[2] = np.nan, -np.inf, np.nan
    found = memory_of(worlds.changed(blocks, start=start, span=span), now=worlds.NOW)
    same(found, memory_of(picked(blocks, [3]), now=worlds.NOW))


def test_nobody_and_nothing_are_fine():
    assert dict(foresee(nothing([], [], []), START, 2.0)) == {}
    ahead = foresee(bare(), START, 2.0)[KEY]
    assert not ahead.seen
    assert not ahead.used.any()
    assert ahead.value(None) is None
    assert ahead.full == 0.0


# --- what a unit earns


def money(*, usd=0.0, units=0.0, tokens=0.0, token_usd=0.0):
    return np.full((3, 4), [usd, units, tokens, token_usd])


def test_a_unit_is_worth_what_it_earned():
    assert unit_worth(money(usd=0.24, units=8.0), None).tolist() == pytest.approx([0.03] * 3)


def test_what_was_paid_in_a_token_is_worth_its_price_now():
    paid = money(usd=0.1, units=10.0, tokens=4.0, token_usd=2.0)
    assert unit_worth(paid, None).tolist() == pytest.approx([0.21] * 3)
    assert unit_worth(paid, np.array(0.25)).tolist() == pytest.approx([0.11] * 3)
    assert unit_worth(paid, np.array(np.nan)).tolist() == pytest.approx([0.21] * 3)


def test_where_nothing_was_used_nothing_is_known():
    assert np.isnan(unit_worth(money(usd=1.0), None)).all()
    idle = worlds.blocks([0.0] * 10, [False] * 10, usd=[0.01] * 10)
    assert ahead_of(idle, now=worlds.NOW).value(None) is None


def test_who_saw_little_use_says_what_the_next_slower_one_says():
    # the last hour holds a hundredth of what the last 12 h say that it would
    sums = np.array([[0.1, 0.01, 0, 0], [0.36, 12.0, 0, 0], [2.88, 72.0, 0, 0]])
    assert unit_worth(sums, None).tolist() == pytest.approx([0.03, 0.03, 0.04])


@pytest.mark.parametrize("idle", [1, 3, 6, 12, 24, 48])
def test_what_comes_in_while_nothing_is_used_makes_no_unit_dear(idle):
    blocks = worlds.blocks([8.0] * 72 + [0.0] * idle, [False] * (72 + idle), usd=[0.24] * 72 + [0.01] * idle)
    assert 0.03 <= ahead_of(blocks, now=worlds.NOW).value(None) < 0.05


def test_the_credit_of_a_job_that_is_over_makes_no_unit_dear():
    blocks = worlds.blocks([8.0] * 72 + [0.0] * 12, [False] * 84, usd=[0.24] * 83 + [2.4])
    assert ahead_of(blocks, now=worlds.NOW).value(None) < 0.09


def in_tokens(tokens, prices):
    """8 units all the time, each hour paid so many tokens."""
    tokens, prices = np.asarray(tokens, float), np.asarray(prices, float)
    return worlds.blocks([8.0] * len(tokens), [False] * len(tokens), usd=tokens * prices, tokens=tokens)


def test_a_price_that_crashed_is_no_surprise_in_tokens():
    crash = [1.0] * 40 + [0.1] * 8
    memory = memory_of(in_tokens([0.24] * 48, crash), now=worlds.NOW)
    assert memory.missed[0].tolist() == pytest.approx([0] * 3, abs=1e-9)
    assert foresee(memory, worlds.NOW, 2.0)[KEY].value(0.1) == pytest.approx(0.003)


def test_a_pay_that_fell_is_a_surprise_that_the_fast_one_gets_over_first():
    memory = memory_of(worlds.blocks([8.0] * 60, [False] * 60, usd=[0.24] * 48 + [0.12] * 12), now=worlds.NOW)
    assert memory.missed[0, 0] < memory.missed[0, 1] < memory.missed[0, 2]
    assert foresee(memory, worlds.NOW, 2.0)[KEY].value(None) == pytest.approx(0.015, rel=0.03)


@pytest.mark.parametrize(("hours", "within"), [(3, 0.45), (6, 0.15), (12, 0.03), (24, 0.01)])
def test_a_pay_that_changed_is_believed_the_more_the_longer_it_stays(hours, within):
    for factor in (0.5, 2.0):
        usd = [0.24] * 48 + [0.24 * factor] * hours
        memory = memory_of(worlds.blocks([8.0] * len(usd), [False] * len(usd), usd=usd), now=worlds.NOW)
        assert foresee(memory, worlds.NOW, 2.0)[KEY].value(None) == pytest.approx(0.03 * factor, rel=within)


def test_a_pay_that_is_noise_is_not_followed_more_than_the_mean_of_three_speeds_would():
    off = []
    for seed in range(12):
        usd = 0.24 * (1 + 0.3 * np.random.default_rng(seed).standard_normal(72))
        memory = memory_of(worlds.blocks([8.0] * 72, [False] * 72, usd=usd), now=worlds.NOW)
        off.append(foresee(memory, worlds.NOW, 2.0)[KEY].value(None) / 0.03 - 1)
    assert np.sqrt(np.mean(np.square(off))) < 0.1


def test_hours_without_a_price_are_compared_in_usd():
    # 24 tokens of a cent each, and now and then an hour that says only how many USD that was
    mixed = in_tokens([24.0] * 48, [0.01] * 48)
    tokens, token_usd = mixed.tokens.copy(), mixed.token_usd.copy()
    tokens[10::6], token_usd[10::6] = 0.0, 0.0
    memory = memory_of(worlds.changed(mixed, tokens=tokens, token_usd=token_usd), now=worlds.NOW)
    assert memory.missed[0].tolist() == pytest.approx([0] * 3, abs=1e-9)


def test_a_unit_that_costs_more_than_it_earns_has_a_value_below_zero():
    assert ahead_of(worlds.always(4.0, value=-0.01), now=worlds.NOW).value(None) == pytest.approx(-0.01)


def test_money_that_cannot_be_true_counts_neither_as_money_nor_as_use():
    blocks = worlds.always(4.0)
    usd = blocks.usd.copy()
    usd[-3:] = np.nan, np.inf, 1e300
    assert ahead_of(worlds.changed(blocks, usd=usd), now=worlds.NOW).value(None) == pytest.approx(0.03)


@given(st.floats(-5, 5), st.floats(1e-3, 1e13), st.integers(0, 30))
@settings(max_examples=30)
def test_what_a_unit_earns_does_not_depend_on_the_size_of_a_unit(value, unit, idle):
    plain = worlds.blocks([8.0] * 24 + [0.0] * idle, [False] * (24 + idle), value=value)
    sized = worlds.changed(plain, levels=plain.levels * unit, unit_hours=plain.unit_hours * unit)
    found = ahead_of(sized, now=worlds.NOW, step=unit, most=16 * unit).value(None)
    assert found == pytest.approx(value / unit, rel=1e-6, abs=1e-12 / unit)


# --- kept forecasts


def test_a_forecast_is_kept_every_half_hour_and_the_last_four_count():
    blocks = seen(noisy[:360], 5.0)
    memory = memory_of(blocks)
    assert sorted(memory.made[0].tolist()) == [START + 6 * HOUR - back * EVERY for back in (3, 2, 1, 0)]
    assert np.isfinite(memory.forecasts).all()


def test_before_enough_was_scored_the_12_h_kernel_is_believed_alone():
    early, later = memory_of(seen(noisy[:300], 5.0)), memory_of(seen(noisy[:1440], 5.0))
    assert early.trust[0].tolist() == np.eye(COUNT)[ALONE].tolist()
    assert early.scored[0] < SCORED < later.scored[0]
    assert later.trust[0, ALONE] < 1.0


def test_hours_after_a_gap_are_not_scored_by_what_was_foreseen_before_it():
    blocks = seen(noisy[:1440], 5.0)
    before = memory_of(picked(blocks, np.arange(60)), now=LATEST)
    long_after = memory_of(picked(blocks, np.r_[0:60, 200]), now=LATEST)
    assert long_after.scored[0] == before.scored[0]


def test_full_hours_score_only_below_the_allocation():
    memory = memory_of(seen(np.full(300, 9.0), 4.0))
    sure = memory.scores[0]
    assert sure == pytest.approx(np.zeros((COUNT, COUNT)), abs=1e-9)  # all said that 4 would be used, and it was


# --- too little seen


def kernels_of(memory, now, hours=2.0):
    return of_kernels(memory, now, hours).inside[0]


def test_after_days_away_the_fast_kernels_say_what_the_slow_one_says():
    blocks = seen(np.full(2 * 1440, 2.0), 8.0)
    said = kernels_of(memory_of(blocks), end_of(blocks) + 3 * DAY)
    for kernel in range(RECENT):
        assert said[kernel].tolist() == said[RECENT - 1].tolist()


def test_back_after_days_the_fast_kernels_are_the_first_to_speak_for_themselves():
    early, late = np.full(2 * 1440, 2.0), np.full(20, 6.0)
    blocks = seen(np.concatenate([early, np.full(5 * 1440, 0.0), late]), 8.0)
    back = memory_of(picked(blocks, np.r_[0:576, 2016:2020]))
    said = kernels_of(back, end_of(blocks)).sum(axis=1) * 0.25
    assert said[0] == pytest.approx(6.0)
    assert said[RECENT - 1] == said[RECENT - 2] == pytest.approx(2.0, abs=0.5)


def test_a_rhythm_that_was_not_seen_yet_says_what_12_h_say():
    memory = memory_of(seen(noisy[:120], 5.0, start=START + 12 * HOUR))
    said = kernels_of(memory, START + 20 * HOUR)
    for kernel in range(RECENT, COUNT):
        assert said[kernel].tolist() == said[ALONE].tolist()


def test_a_horizon_of_weeks_asks_no_more_of_a_rhythm_than_a_day_does():
    blocks = seen(
        Demand(5, 1, rhythm=Rhythm(0.8), bursts=None, regimes=None, noise=None).at(START + 60 * np.arange(2880)), 12.0
    )
    memory, now = memory_of(blocks), end_of(blocks)
    assert kernels_of(memory, now, 700.0)[RECENT].tolist() == kernels_of(memory, now, 24.0)[RECENT].tolist()
    assert kernels_of(memory, now, 700.0)[RECENT].tolist() != kernels_of(memory, now, 700.0)[ALONE].tolist()


# --- what is expected


def test_the_worked_demand_of_the_economics_through_the_whole_room():
    ahead = ahead_of(worlds.blocks([2, 8, 8, 4], [False, True, True, False], span=60.0), now=worlds.NOW)
    assert 0.03 * ahead.use(np.array([2.0, 4.0, 8.0])) == pytest.approx([0.060, 0.105, 0.165], rel=1e-2)
    assert ahead.most == 8.0
    assert ahead.full == pytest.approx(0.5, rel=1e-2)
    assert ahead.value(None) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("full", "most"), [(True, 0.0), (False, 0.0), (True, 16.0)], ids=["given none", "wants none", "all"]
)
def test_ends_of_the_scale(full, most):
    ahead = ahead_of(worlds.always(most, full=full), now=worlds.NOW)
    nothing_more, everything = ahead.bounds(np.array([17.0]))
    assert ahead.most == most
    assert ahead.use(np.array([most]))[0] == pytest.approx(most)
    assert (everything > nothing_more).all() == full


def test_one_value_that_is_allowed_is_one_value():
    ahead = ahead_of(worlds.always(2.0, full=True), now=worlds.NOW, most=2.0)
    assert ahead.use(np.array([2.0]))[0] == pytest.approx(2.0)


def test_bytes_in_steps_of_a_tenth_of_a_terabyte():
    ahead = ahead_of(worlds.always(5e12), now=worlds.NOW, step=1e11, most=1e13)
    assert ahead.use(np.array([5e12, 1e13])) == pytest.approx([5e12, 5e12], rel=0.02)


hours = arrays.arrays(np.float32, (2, 30, 5), elements=st.one_of(st.just(0.0), st.floats(0, 0.25, width=32)))


@given(hours, st.sampled_from([0.25, 1.0, 7.3]), st.floats(0, 200), st.floats(0.1, 100))
@settings(max_examples=50)
def test_use_is_concave_never_falls_and_never_is_more_than_there_is(history, scale, idle, horizon):
    blocks = worlds.changed(
        worlds.always(2.0, hours=30), levels=scale * np.arange(5.0), exact=history[0], censored=history[1]
    )
    now = worlds.NOW + idle * HOUR
    ahead = ahead_of(blocks, now=now, step=scale, most=16 * scale, hours=horizon)
    slopes = np.diff(ahead.used) / np.diff(ahead.edges)
    assert (slopes >= 0).all()
    assert (np.diff(slopes) <= 1e-7).all()
    assert (ahead.used <= ahead.edges * (1 + 1e-9)).all()
    x = np.linspace(0, 20 * scale, 41)
    nothing_more, everything = ahead.bounds(x)
    used, slack = ahead.use(x), 1e-7 * scale
    assert (nothing_more <= used + slack).all()
    assert (used <= everything + slack).all()
    assert (everything <= x + slack).all()
    assert ahead.trust.sum() == pytest.approx(1)
    assert ahead.effective >= 1


@given(st.integers(0, 1000), st.sampled_from([2.0**-10, 0.5, 2.0, 2.0**40]))
@settings(max_examples=20)
def test_the_unit_in_which_demand_is_counted_changes_nothing(seed, scale):
    demand = np.abs(np.random.default_rng(seed).normal(4, 3, 600))
    plain, scaled = seen(demand, 5.0), seen(demand * scale, 5.0 * scale, step=scale)
    x = np.arange(17.0)
    found = ahead_of(scaled, step=scale, most=16 * scale)
    assert found.use(x * scale) == pytest.approx(ahead_of(plain).use(x) * scale, rel=1e-6)


odd = st.one_of(st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e30]), st.floats(0, 2))


@given(
    arrays.arrays(np.float64, (5, 12), elements=odd),
    arrays.arrays(np.float64, (2, 12, 3), elements=odd),
    arrays.arrays(np.float64, 3, elements=odd),
)
def test_no_block_whatever_it_says_makes_a_curve_that_is_no_number(figures, levels_held, levels):
    blocks = worlds.always(2.0, hours=12)
    with np.errstate(over="ignore"):
        held = levels_held.astype(np.float32)
    usd, units, known, tokens, token_usd = figures
    blocks = worlds.changed(
        blocks, levels=levels, exact=held[0], censored=held[1], usd=usd, unit_hours=units, hours=known, tokens=tokens,
        token_usd=token_usd,
    )  # fmt: skip
    ahead = ahead_of(blocks, now=worlds.NOW)
    for array in (ahead.used, ahead.nothing, ahead.everything, ahead.trust):
        assert np.isfinite(array).all()
    assert ahead.value(0.5) is None or np.isfinite(ahead.value(0.5))


# --- is trust honest?

FAST, SLOW, DAILY = slice(0, 3), slice(3, RECENT), slice(RECENT, COUNT)


def trust(demand, allocation=9.0):
    return memory_of(seen(demand, allocation)).trust[0]


def simulated(seed, days, *, rhythm=None, spread=0.1, forgets=0.03, level=5.0):
    ticks = START + 60.0 * np.arange(days * 1440)
    return Demand(level, seed, rhythm=rhythm, bursts=None, regimes=None, noise=Noise(forgets, spread)).at(ticks)


@pytest.mark.parametrize("seed", [0, 1])
def test_where_the_day_has_a_rhythm_the_same_hours_of_earlier_days_are_believed(seed):
    found = trust(simulated(seed, 6, rhythm=Rhythm(0.6)))
    assert found[DAILY].sum() > 0.6
    assert found[SLOW].sum() < 0.2


@pytest.mark.parametrize("seed", [0, 1])
def test_where_nothing_changes_but_the_noise_the_slow_ones_are_believed(seed):
    found = trust(simulated(seed, 6, spread=0.4, forgets=0.003))
    assert found[SLOW].sum() + found[DAILY].sum() > 0.7
    assert found[SLOW].sum() > 0.4


@pytest.mark.parametrize("seed", [0, 1])
def test_after_a_jump_the_fast_ones_are_believed(seed):
    steady = simulated(seed, 4, spread=0.3, forgets=0.003)
    steady[-12 * 60 :] *= 0.3
    assert trust(steady)[FAST].sum() > 0.6
    assert trust(steady[: -12 * 60])[FAST].sum() < 0.4


def test_a_demand_that_walks_is_followed_by_the_fast_ones():
    found = trust(np.clip(5 + np.cumsum(np.random.default_rng(3).normal(0, 0.08, 4 * 1440)), 0, 12), 14.0)
    assert found[FAST].sum() > 0.7


def test_the_value_half_lives_rise():
    assert (np.diff(VALUE_HALF_LIVES) > 0).all()
