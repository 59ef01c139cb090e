"""Memory from blocks alone: the same as if every block had been counted as it closed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.estimate.ahead import foresee
from controller.estimate.kernels import ALONE, COUNT, HALF_LIVES, SLOT_HALF_LIFE
from controller.estimate.memory import CELLS, SCORED, VALUE_HALF_LIVES, Seen, after, nothing
from controller.estimate.recall import PLAYED, REACHES, binned, joined, nothing_closed, play, remember
from controller.model import Memory
from tests.controller import worlds
from tests.controller.estimate.pasts import DAY, HOUR, START, end_of, seen

KEY = "rack-1/golem"
PER_BLOCK = (
    "start", "span", "hours", "usd", "unit_hours", "rate_hours", "used", "used_first", "used_last", "room_hours",
    "room_growth", "exact", "censored", "tokens", "token_usd",
)  # fmt: skip
SUMS = ("until", "recent", "slots", "written", "money", "exposure")
"""What does not ask how well anything was foreseen."""


def picked(blocks, which):
    return replace(
        blocks, **{name: getattr(blocks, name)[which] for name in PER_BLOCK if getattr(blocks, name) is not None}
    )


def recalled(blocks, *, now=None, step=1.0, most=16.0, **more):
    return remember([KEY], [step], [most], [blocks], end_of(blocks) if now is None else now, **more)


def by_hand(blocks, quantum, *, cells=CELLS):
    """Every block as `after` takes it, level by level and figure by figure."""
    for j in range(len(blocks.start)):
        exact, censored = np.zeros((2, 1, cells + 1))
        for k, level in enumerate(blocks.levels.tolist()):
            cell = min(int(level / quantum + 0.5), cells)
            exact[0, cell] += blocks.exact[j, k]
            censored[0, cell] += blocks.censored[j, k]
        tokens, token_usd = (0.0 if part is None else float(part[j]) for part in (blocks.tokens, blocks.token_usd))
        yield Seen(
            blocks.start[[j]], blocks.span[[j]], exact, censored, blocks.hours[[j]],
            np.array([[blocks.usd[j] - token_usd, blocks.unit_hours[j], tokens, token_usd]]),
        )  # fmt: skip


def counted(blocks, *, step=1.0, most=16.0, cells=CELLS, dtype=np.float32):
    memory = nothing([KEY], [step], [most], cells, dtype)
    for one in by_hand(blocks, float(memory.quantum[0]), cells=cells):
        memory = after(memory, one)
    return memory


def same(one, other, names=Memory.ARRAYS, *, rel=1e-5):
    assert one.keys == other.keys
    for name in names:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rel, atol=1e-6, err_msg=name)


def noise(minutes, seed=4, level=4.0):
    return np.maximum(0.0, level + 3 * np.random.default_rng(seed).standard_normal(minutes))


def random_past(seed, n, *, span=300.0, tokens=False):
    """Blocks at any of a few levels, with holes between them and hours that do not fill them."""
    rng = np.random.default_rng(seed)
    exact, censored = rng.uniform(0, span / HOUR / 8, (2, n, 4)) * (rng.random((2, n, 4)) < 0.6)
    hours = np.minimum((exact + censored).sum(axis=1) + 1e-3, span / HOUR)
    usd, units = rng.uniform(-0.1, 1, n), rng.uniform(0, 2, n)
    start = START + span * np.sort(rng.choice(3 * n, n, replace=False))
    return replace(
        seen(np.ones(n), 8.0, span=60.0), start=start, span=np.full(n, span), hours=hours, usd=usd, unit_hours=units,
        levels=np.sort(rng.uniform(0, 12, 4)), exact=exact.astype(np.float32), censored=censored.astype(np.float32),
        tokens=rng.uniform(0, 5, n) if tokens else None, token_usd=usd * rng.random(n) if tokens else None,
    )  # fmt: skip


# --- the same as block by block


def test_the_whole_at_once_is_what_every_block_came_to_as_it_closed():
    blocks = seen(noise(1440), 5.0)
    same(recalled(blocks), counted(blocks))


@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([300.0, 900.0, 3600.0]), st.booleans())
@settings(max_examples=25)
def test_any_past_at_once_is_what_every_block_came_to_as_it_closed(seed, n, span, tokens):
    blocks = random_past(seed, n, span=span, tokens=tokens)
    same(recalled(blocks), counted(blocks))


@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0, 1))
@settings(max_examples=25)
def test_what_is_summed_up_without_being_played_comes_to_the_same_sums(seed, n, part):
    blocks = random_past(seed, n, span=HOUR)
    length = end_of(blocks) - float(blocks.start[0])
    same(recalled(blocks, played=part * length), counted(blocks), SUMS)


def test_what_is_played_goes_on_where_the_sums_end():
    blocks = seen(noise(5 * 1440), 5.0, span=HOUR)
    two_days = recalled(blocks, played=2 * DAY)
    same(two_days, counted(blocks), SUMS)
    assert two_days.scored[0] == pytest.approx(47)  # no forecast of the first hour was made before it
    assert two_days.trust[0, ALONE] < 1.0


def test_a_past_of_which_nothing_is_played_is_believed_by_the_12_h_kernel_alone():
    blocks = seen(noise(3 * 1440), 5.0, span=HOUR)
    memory = recalled(blocks, played=0.0)
    same(memory, counted(blocks), SUMS)
    assert memory.trust[0].tolist() == np.eye(COUNT)[ALONE].tolist()
    assert memory.scored[0] == 0.0


def test_one_old_block_or_none_is_no_trouble():
    blocks = seen(noise(120), 5.0, span=HOUR)
    later = end_of(blocks) + PLAYED + DAY
    for some in (picked(blocks, []), picked(blocks, [0]), blocks):
        same(recalled(some, now=later), counted(some), SUMS)
    same(remember([KEY], [1.0], [16.0], [None], later), nothing([KEY], [1.0], [16.0]))


# --- how far back


def test_forecasts_of_the_last_two_weeks_are_scored_and_older_ones_are_not():
    blocks = seen(noise(20 * 1440), 5.0, span=HOUR)
    recent = picked(blocks, blocks.start >= end_of(blocks) - PLAYED)
    whole, fortnight = recalled(blocks), recalled(recent)
    assert PLAYED == 14 * DAY
    assert 0 <= whole.scored[0] - fortnight.scored[0] <= 2  # those of the very first hours
    assert whole.exposure[0] > fortnight.exposure[0]
    same(whole, counted(blocks), SUMS)


def test_what_is_older_than_four_weeks_is_not_counted_at_all():
    blocks = seen(noise(30 * 1440), 5.0, span=HOUR)
    four_weeks = picked(blocks, blocks.start >= end_of(blocks) - REACHES)
    assert len(four_weeks.start) == 28 * 24
    same(recalled(blocks), recalled(four_weeks))


def test_what_lies_further_back_than_it_reaches_has_no_weight_left_to_speak_of():
    assert np.exp2(-REACHES / HOUR / HALF_LIVES).max() < 0.01
    assert np.exp2(-REACHES / SLOT_HALF_LIFE) < 0.01
    assert np.exp2(-REACHES / HOUR / VALUE_HALF_LIVES).max() < 0.01


# --- many at once


def test_many_workloads_at_once_are_each_alone():
    """More than are played through in one go, with holes in different places, of different sizes, one without a past."""
    rng = np.random.default_rng(7)
    count = 70
    pasts = [random_past(i, int(rng.integers(1, 25)), tokens=i % 3 == 0) for i in range(count)]
    pasts[5], pasts[69] = None, picked(pasts[69], [])
    keys, steps, most = [f"rack-1/w{i}" for i in range(count)], rng.uniform(0.5, 2, count), rng.uniform(4, 90, count)
    now = max(end_of(past) for past in pasts if past is not None and len(past.start))
    together = remember(keys, steps, most, pasts, now)
    assert together.keys == tuple(keys)
    for i in range(count):
        same(together.rows(np.array([i])), remember(keys[i : i + 1], steps[[i]], most[[i]], pasts[i : i + 1], now))


def test_many_workloads_with_a_summed_past_are_each_alone():
    pasts = [seen(noise(3 * 1440, seed), 5.0, span=HOUR) for seed in range(3)]
    pasts[1] = picked(pasts[1], np.r_[0:20, 50:60])
    keys, now = ["a", "b", "c"], end_of(pasts[0])
    together = remember(keys, [1.0] * 3, [16.0] * 3, pasts, now, played=DAY)
    for i in range(3):
        same(together.rows(np.array([i])), remember(keys[i : i + 1], [1.0], [16.0], pasts[i : i + 1], now, played=DAY))


def test_nobody_is_remembered_of_nobody():
    assert remember([], [], [], [], START).keys == ()
    assert joined([nothing([], [], []), nothing([KEY], [1.0], [8.0])]).keys == (KEY,)
    memory = nothing([KEY], [1.0], [8.0])
    assert play(memory, nothing_closed(CELLS)) is memory


def test_what_closed_since_can_be_played_after_what_is_remembered():
    blocks = seen(noise(1440), 5.0)
    half = picked(blocks, np.arange(144))
    went_on = play(
        recalled(half), binned(0, blocks, 0.25, CELLS, end_of(blocks)).rows(np.arange(144, len(blocks.start)))
    )
    same(went_on, recalled(blocks))


# --- nonsense


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_blocks_and_seeing_one_twice_change_nothing(seed, chance):
    blocks = random_past(seed, 20, tokens=True)
    order = [*range(20), *chance.choices(range(20), k=5)]
    chance.shuffle(order)
    now = end_of(blocks)
    same(recalled(picked(blocks, order), now=now), recalled(blocks))
    same(recalled(picked(blocks, order), now=now, played=0.0), recalled(blocks, played=0.0))


bad_times = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300, -1.0], ids=str)


@bad_times
@pytest.mark.parametrize("which", ["start", "span"])
def test_a_block_whose_time_is_none_is_left_out(which, bad):
    blocks = random_past(1, 12)
    times = getattr(blocks, which).copy()
    times[[0, 5, 11]] = bad
    now = end_of(blocks)
    rest = picked(blocks, [i for i in range(12) if i not in {0, 5, 11}])
    same(recalled(replace(blocks, **{which: times}), now=now), recalled(rest, now=now))


def test_blocks_that_lie_ahead_of_now_are_left_out():
    blocks = random_past(2, 12)
    now = float(blocks.start[6])
    same(recalled(blocks, now=now), recalled(picked(blocks, blocks.start + blocks.span <= now + 1), now=now))


def test_a_block_that_is_longer_than_all_that_is_looked_at_is_left_out():
    blocks = seen(noise(300), 5.0)
    span = blocks.span.copy()
    span[0] = 365 * DAY
    same(recalled(replace(blocks, span=span)), recalled(picked(blocks, np.arange(1, 60))))


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["fine", "coarse"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, -1.0, 1e7], ids=str)
def test_no_figure_of_a_block_makes_a_sum_that_is_no_number(bad, dtype):
    blocks = random_past(3, 12, tokens=True)
    for name in ("hours", "usd", "unit_hours", "tokens", "token_usd", "levels"):
        broken = getattr(blocks, name).copy()
        broken[1] = bad
        memory = recalled(replace(blocks, **{name: broken}), dtype=dtype)
        for array in SUMS:
            assert np.isfinite(getattr(memory, array)).all(), (name, array)
        curve = foresee(memory, end_of(blocks), 2.0)[KEY]
        assert np.isfinite(curve.used).all()


def test_money_without_its_use_is_no_price():
    blocks = replace(worlds.always(4.0, hours=6), unit_hours=np.array([4.0, 4, -1, np.nan, np.inf, 4]))
    with_all, without = recalled(blocks, now=worlds.NOW), recalled(picked(blocks, [0, 1, 5]), now=worlds.NOW)
    assert with_all.money == pytest.approx(without.money)


def test_a_clock_that_was_set_back_leaves_blocks_of_the_same_time_and_both_count():
    once = seen(noise(600), 5.0)
    again = replace(once, start=once.start - 1800.0)
    both = replace(
        once, **{name: np.concatenate([getattr(once, name), getattr(again, name)]) for name in PER_BLOCK[:-2]}
    )
    memory = recalled(both, now=end_of(once))
    assert memory.until[0] == end_of(once)
    for name in SUMS:
        assert np.isfinite(getattr(memory, name)).all()
    x = np.arange(17.0)
    apart, alone = (foresee(one, end_of(once), 2.0)[KEY].use(x) for one in (memory, recalled(once)))
    assert apart == pytest.approx(alone, rel=0.1)


# --- coarse: 32 cells and 2-byte sums, for thousands of workloads


def test_hours_by_slot_in_two_bytes_stay_what_they_are_over_weeks():
    blocks = seen(noise(24 * 1440), 5.0, span=HOUR)
    coarse, fine = (counted(blocks, most=8.0, cells=32, dtype=dtype) for dtype in (np.float16, np.float32))
    assert coarse.slots.dtype == coarse.forecasts.dtype == np.float16
    assert np.isfinite(coarse.slots).all()
    # an hour a day, half as much every four days: 1 / (1 - 2 ** (-1 / 4)) = 6.3 of them at most in the slot of one hour
    assert fine.slots.sum(axis=(1, 4)).max() < 6.4
    assert coarse.slots.sum(axis=-1) == pytest.approx(fine.slots.sum(axis=-1), rel=0.01, abs=1e-3)
    assert coarse.trust == pytest.approx(fine.trust, abs=0.02)
    x = np.arange(9.0)
    rough, exact = (foresee(memory, end_of(blocks), 2.0)[KEY].use(x) for memory in (coarse, fine))
    assert rough == pytest.approx(exact, rel=2e-3)


def test_hours_by_slot_in_two_bytes_take_in_blocks_of_five_minutes():
    blocks = seen(noise(2 * 1440), 5.0)
    coarse, fine = (counted(blocks, most=8.0, cells=32, dtype=dtype) for dtype in (np.float16, np.float32))
    assert coarse.slots.sum(axis=-1) == pytest.approx(fine.slots.sum(axis=-1), rel=0.02, abs=1e-3)


def test_coarse_is_remembered_as_it_was_counted():
    blocks = seen(noise(6 * 1440), 5.0, span=HOUR)
    memory = recalled(blocks, most=8.0, cells=32, dtype=np.float16, played=5 * DAY)
    assert memory.recent.shape[-1] == memory.slots.shape[-1] == 33
    assert memory.slots.dtype == memory.forecasts.dtype == np.float16
    assert memory.scored[0] > SCORED
    same(memory, counted(blocks, most=8.0, cells=32, dtype=np.float16), SUMS, rel=5e-3)


def test_half_of_the_cells_tell_demand_apart_half_as_finely():
    blocks = seen(noise(1440), 5.0)
    half, whole = recalled(blocks, cells=32), recalled(blocks)
    assert half.quantum[0] == 2 * whole.quantum[0] == 0.5
    x = np.arange(9.0)
    assert foresee(half, end_of(blocks), 2.0)[KEY].use(x) == pytest.approx(
        foresee(whole, end_of(blocks), 2.0)[KEY].use(x), abs=0.26
    )
