"""Dilution curves and the closed form of the best split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.estimate import dilution


def test_the_worked_split_of_the_economics():
    stakes = dilution.split(np.array([0.05, 0.02, 0.10]), np.array([1.95e6, 0.3e6, 8e6]), 200_000.0)
    assert stakes.round().tolist() == [13_032, 186_968, 0]


def test_all_on_the_better_of_two_earns_less_than_the_split():
    # economics.md 1: ψ = (10, 9), Ω = (5, 5), budget 10: 6.67 against 9.51
    payouts, others = np.array([10.0, 9.0]), np.array([5.0, 5.0])
    best = dilution.split(payouts, others, 10.0)
    earned = sum(dilution.earning(np.array([x]), p, o)[0] for x, p, o in zip(best, payouts, others, strict=True))
    assert dilution.earning(np.array([10.0]), 10.0, 5.0)[0] == pytest.approx(6.67, abs=0.005)
    assert earned == pytest.approx(9.51, abs=0.005)


@pytest.mark.parametrize(("x", "slope"), [(0.0, 0.05 / 19_000), (1000.0, 0.05 * 19_000 / 20_000**2)])
def test_the_marginal_falls_with_the_own_stake(x, slope):
    assert dilution.marginal(x, 0.05, 19_000.0) == pytest.approx(slope)
    step = dilution.earning(np.array([x, x + 0.01]), 0.05, 19_000.0)
    assert np.diff(step)[0] / 0.01 == pytest.approx(slope, rel=1e-5)


def test_who_would_get_less_than_its_minimum_is_dropped_and_the_rest_split_again():
    stakes = dilution.split(
        np.array([0.05, 0.02, 0.10]), np.array([1.95e6, 0.3e6, 8e6]), 200_000.0, np.array([50_000.0, 0, 0])
    )
    assert stakes.round().tolist() == [0, 200_000, 0]


def test_nothing_pays_nothing_is_staked():
    assert dilution.split(np.zeros(2), np.ones(2), 10.0).tolist() == [0.0, 0.0]


def test_a_pool_that_nobody_else_is_in_has_no_finite_best_stake():
    with pytest.raises(ValueError, match="positive stake of others"):
        dilution.split(np.array([1.0]), np.array([0.0]), 1.0)


def test_any_stake_takes_the_whole_of_a_pool_that_nobody_is_in():
    assert dilution.earning(np.array([0.0, 1.0, 5.0]), 0.2, 0.0).tolist() == [0.0, 0.2, 0.2]
    assert dilution.marginal(0.0, 0.2, 0.0) == float("inf")
    assert dilution.marginal(0.0, 0.0, 0.0) == 0.0


@given(
    pools=st.lists(st.tuples(st.floats(1e-4, 10), st.floats(1.0, 1e7)), min_size=1, max_size=6),
    budget=st.floats(1.0, 1e7),
)
def test_the_split_spends_the_budget_at_equal_marginals(pools, budget):
    payouts, others = (np.array(column) for column in zip(*pools, strict=True))
    stakes = dilution.split(payouts, others, budget)
    assert stakes.sum() == pytest.approx(budget, rel=1e-6)
    marginals = [dilution.marginal(x, p, o) for x, p, o in zip(stakes, payouts, others, strict=True)]
    level = max(marginals)
    for x, at in zip(stakes, marginals, strict=True):
        assert at <= level * (1 + 1e-9)
        if x > 1e-6 * budget:
            assert at == pytest.approx(level, rel=1e-4)
