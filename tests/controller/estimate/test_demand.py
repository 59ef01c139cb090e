"""Demand curves: the weighted Kaplan-Meier estimate, its integral and its tail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate.demand import survival

ONE = np.ones((1, 1))


def seen(exact, censored, levels, step=1.0, rows=None):
    rows = np.ones((1, len(exact))) if rows is None else rows
    return survival(rows, np.array(levels, float), np.array(exact, float), np.array(censored, float), step)


@pytest.fixture
def worked():
    # economics.md 2: 8 cores for 4 equal hours, used 2, 8, 8, 4, where 8 is full
    return seen([[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]], [2, 4, 8])


@pytest.mark.parametrize(
    ("y", "share"), [(0, 1), (1.99, 1), (2, 3 / 4), (3.99, 3 / 4), (4, 1 / 2), (7.99, 1 / 2), (8, 1 / 2)]
)
def test_the_worked_survival_of_the_economics(worked, y, share):
    assert worked.at(y)[0] == pytest.approx(share, rel=1e-12)


def test_the_worked_curve_of_the_economics(worked):
    earned = 0.03 * worked.integral(np.array([2.0, 4.0, 8.0]))[0]
    assert earned == pytest.approx([0.060, 0.105, 0.165], rel=1e-12)
    assert 0.03 * worked.at(8.0)[0] == pytest.approx(0.015, rel=1e-12)


def test_beyond_what_was_full_an_exponential_tail_stays(worked):
    # τ = max(0.25 x 8, 2 steps) = 2
    assert worked.at(10.0)[0] == pytest.approx(0.5 * np.exp(-1), rel=1e-12)
    tail = worked.integral(np.array([8.0, 10.0]))[0]
    assert tail[1] - tail[0] == pytest.approx(0.5 * 2 * (1 - np.exp(-1)), rel=1e-12)


def test_the_tail_is_never_shorter_than_two_steps():
    assert seen([[0]], [[1]], [1.0], step=3.0).tail == 6.0


def test_beyond_a_demand_that_was_seen_exactly_nothing_is_earned():
    all_exact = seen([[1, 1]], [[0, 0]], [2, 4])
    assert all_exact.at(4.0)[0] == 0.0
    assert all_exact.integral(np.array([4.0, 9.0]))[0] == pytest.approx([3.0, 3.0])


def test_at_a_tie_the_exact_value_drops_before_the_censored_one_leaves():
    # one hour exactly 4, one hour at least 4: half the demand lies above 4
    assert seen([[1]], [[1]], [4.0]).at(4.0)[0] == pytest.approx(0.5)


def test_what_was_censored_low_says_nothing_about_higher_levels():
    # an hour full at 2 and an hour of exactly 6: nobody knows that demand was ever below 6
    both = seen([[0, 1]], [[1, 0]], [2, 6])
    assert both.at(5.9)[0] == 1.0
    assert both.at(6.0)[0] == 0.0


def test_every_row_of_weights_is_an_estimate_of_its_own():
    rows = np.array([[1.0, 1.0], [3.0, 1.0]])
    weighted = seen([[1, 0], [0, 1]], [[0, 0], [0, 0]], [2, 6], rows=rows)
    assert weighted.at(3.0) == pytest.approx([1 / 2, 1 / 4])


def test_a_demand_of_nothing_earns_nothing():
    idle = seen([[5]], [[0]], [0.0])
    assert idle.integral(np.array([0.0, 1.0, 12.0]))[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 1e300])
def test_a_level_that_cannot_be_true_was_not_seen(bad):
    broken, alone = seen([[1, 2, 1]], [[1, 0, 2]], [2, bad, 6]), seen([[1, 1]], [[1, 2]], [2, 6])
    x = np.linspace(0, 20, 21)
    assert broken.integral(x)[0] == pytest.approx(alone.integral(x)[0])
    assert seen([[1]], [[1]], [bad]) is None


def test_without_any_observation_there_is_no_estimate():
    assert seen([[0, 0]], [[0, 0]], [1, 2]) is None


@given(
    hours=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12),
    step=st.floats(0.1, 4),
)
def test_the_integral_is_concave_and_never_falls(hours, step):
    exact, censored = np.array(hours, float).T
    found = seen(exact[None, :], censored[None, :], np.arange(len(hours)) + 0.5, step)
    if found is None:
        return
    area = found.integral(np.linspace(0, len(hours) + 5, 60))[0]
    slopes = np.diff(area)
    assert (slopes >= -1e-12).all()
    assert (np.diff(slopes) <= 1e-9).all()
