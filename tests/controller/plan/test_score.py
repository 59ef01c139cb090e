"""The move score (D8): more saving never ranks lower, more disruption never higher, and the size of the pool cancels."""

from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.plan.score import Pool, pool, rank, score
from tests.controller.worlds import HOUR, line

POOL = Pool(rate=1.0, minutes=480.0)
gains = st.floats(-10, 10)
minutes = st.floats(0, 600)


@pytest.mark.parametrize(
    ("gain", "offline", "of", "wanted"),
    [
        (0.05, 3.0, POOL, 8.0),
        (0.05, 0.0, POOL, inf),
        (-0.05, 0.0, POOL, -inf),
        (0.0, 0.0, POOL, 0.0),
        (0.0, 3.0, POOL, 0.0),
        (-0.05, 3.0, POOL, -8.0),
        (nan, 3.0, POOL, None),
        (inf, 3.0, POOL, None),
        (0.05, nan, POOL, None),
        (0.05, 3.0, Pool(0.0, 480.0), None),
        (0.05, 3.0, Pool(-1.0, 480.0), None),
        (0.05, 3.0, Pool(nan, 480.0), None),
        (0.05, 3.0, Pool(1.0, 0.0), None),
    ],
    ids=[
        "a share of earnings per share of time", "interrupts nothing", "loses for nothing", "does nothing", "gains nothing",
        "loses", "gain unknown", "gain absurd", "minutes unknown", "zero rates", "all at a loss", "rate unknown", "no time",
    ],
)  # fmt: skip
def test_the_score(gain, offline, of, wanted):
    assert score(gain, offline, of) == (None if wanted is None else pytest.approx(wanted))


def test_an_average_workload_has_the_score_by_which_it_pays_for_its_own_interruption():
    # 1 of 4 equal workloads gains 0.02 USD/h for 6 minutes at 0.1 USD/h; over 2 h it earns 0.04 and costs 0.01
    assert score(0.02, 6.0, Pool(4 * 0.1, 4 * 120.0)) == pytest.approx(0.04 / 0.01)


@given(gains, st.floats(0, 10), minutes)
def test_more_saving_never_ranks_lower(gain, more, offline):
    assert rank(gain + more, offline) <= rank(gain, offline)


@given(gains, minutes, st.floats(0, 600))
def test_more_disruption_never_ranks_higher(gain, offline, more):
    assert rank(gain, offline + more) >= rank(gain, offline)


@given(st.floats(1e-9, 10), gains, minutes)
def test_no_disruption_with_positive_saving_ranks_before_all_that_interrupts_or_saves_nothing(gain, other, offline):
    assume(offline > 0 or other <= 0)
    assert rank(gain, 0.0) < rank(other, offline)


@given(gains, minutes, st.floats(0.01, 10), st.floats(1, 1000), st.integers(1, 10_000))
def test_the_size_of_the_pool_cancels(gain, offline, rate, at_stake, times):
    one, many = score(gain, offline, Pool(rate, at_stake)), score(gain, offline, Pool(rate * times, at_stake * times))
    assert many == pytest.approx(one)


@given(st.lists(st.tuples(st.floats(1e-6, 10), st.floats(1e-3, 600)), min_size=2, max_size=2))
def test_what_gains_ranks_as_it_scores(those):
    (one, other), scores = [rank(*each) for each in those], [score(*each, POOL) for each in those]
    assume(abs(scores[0] - scores[1]) > 1e-9 * abs(scores[0]))
    assert (one < other) == (scores[0] > scores[1])


@given(
    st.lists(st.tuples(gains, minutes), max_size=5), st.sampled_from([(nan, 1.0), (1.0, nan), (inf, 1.0), (nan, nan)])
)
def test_what_is_no_number_ranks_last_and_leaves_the_others_in_their_order(those, bad):
    ranked = sorted([bad, *those], key=lambda each: rank(*each))
    assert ranked[-1] is bad
    assert ranked[:-1] == sorted(those, key=lambda each: rank(*each))


# --- the pool


CURVES = {
    "rack-1/a": line("rack-1/a", [0, 10], [0, 1.0]),
    "rack-1/b": line("rack-1/b", [0, 10], [0, 2.0], horizon=72 * HOUR),
}


def test_the_pool_is_what_all_earn_now_and_the_minutes_that_they_run_within_their_horizons():
    assert pool(CURVES, {"rack-1/a": 5.0, "rack-1/b": 5.0}) == Pool(1.5, 120.0 + 72 * 60)


def test_who_has_no_curve_has_no_part_in_the_pool():
    assert pool(CURVES, {"rack-1/a": 5.0, "rack-1/c": 5.0}) == Pool(0.5, 120.0)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_one_price_that_is_no_number_poisons_nothing_else(bad):
    odd = {"rack-1/c": line("rack-1/c", [0, 10], [0, bad])}
    assert pool(CURVES | odd, {"rack-1/a": 5.0, "rack-1/c": 5.0}) == pool(CURVES, {"rack-1/a": 5.0})


def test_of_nothing_the_pool_is_empty_and_nothing_can_be_compared_with_it():
    assert pool({}, {}) == Pool(0, 0)
    assert score(1.0, 1.0, pool({}, {})) is None
