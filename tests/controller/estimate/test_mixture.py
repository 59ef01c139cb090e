"""How much of each kernel to believe: by how far off their forecasts were, below the allocation only."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from controller.estimate.mixture import RIDGE, errors, simplex


def weights(*scores):
    return simplex(np.asarray(scores, float)[None])[0]


def cost(weight, scores):
    """aᵀ G a with the ridge of the module."""
    size = np.trace(scores) / len(scores)
    matrix = scores / size + RIDGE * np.eye(len(scores)) if size > 0 else RIDGE * np.eye(len(scores))
    return np.einsum("...i,ij,...j->...", weight, matrix, weight)


# --- the weights


def test_two_kernels_that_err_apart_are_believed_in_inverse_proportion():
    assert weights([1, 0], [0, 3]) == pytest.approx([0.75, 0.25], abs=0.005)


def test_a_kernel_that_was_never_wrong_is_believed_alone():
    assert weights([0, 0], [0, 5]) == pytest.approx([1, 0], abs=0.01)


def test_kernels_that_say_the_same_share_their_weight():
    assert weights([1, 1, 0], [1, 1, 0], [0, 0, 1]) == pytest.approx([0.25, 0.25, 0.5], abs=0.01)


def test_one_that_is_only_worse_than_another_has_none():
    assert weights([1, 2], [2, 5]) == pytest.approx([1, 0], abs=0.01)


@pytest.mark.parametrize("scores", [np.zeros((3, 3)), np.full((3, 3), np.nan)], ids=["nothing scored", "not a number"])
def test_where_nothing_is_known_everything_counts_the_same(scores):
    assert weights(*scores) == pytest.approx([1 / 3] * 3)


def test_many_workloads_are_solved_as_if_alone():
    scores = np.array([np.diag([1.0, 3.0]), np.zeros((2, 2)), [[1, 2], [2, 5]]])
    assert simplex(scores) == pytest.approx(np.stack([simplex(one[None])[0] for one in scores]))


GRID = np.array([split for split in product(np.arange(21) / 20, repeat=3) if abs(sum(split) - 1) < 1e-9])
offs = arrays.arrays(np.float64, (3, 6), elements=st.floats(-1, 1))


@given(offs)
def test_the_weights_cost_no_more_than_any_on_a_grid(off):
    scores = off @ off.T
    found = weights(*scores)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    assert cost(found, scores) <= cost(GRID, scores).min() * (1 + 1e-6) + 1e-9


@given(offs, st.floats(1e-6, 1e6))
def test_the_weights_do_not_depend_on_the_units_of_the_score(off, times):
    scores = off @ off.T
    assert weights(*scores) == pytest.approx(weights(*(scores * times)), abs=1e-6)


@given(arrays.arrays(np.float64, (2, 7, 9), elements=st.floats(-1, 1)))
def test_seven_kernels_get_weights_that_add_up(off):
    found = simplex(off @ off.swapaxes(1, 2))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(2))


# --- the score


def scored(forecasts, above, known):
    """Of one workload and one forecast: (E, M) forecasts."""
    return errors(
        np.asarray(forecasts, float)[None, None], np.asarray(above, float)[None], np.asarray(known, float)[None]
    )[0]


def test_the_score_is_the_square_of_how_far_off_times_the_hours_known():
    # one says 1, 1; the other 0.5, 0; D was above in half of 2 h, and above in none of 1 h
    found = scored([[1, 1], [0.5, 0]], [0.5, 0], [2, 1])
    assert found.tolist() == [[0.5 * 0.5 * 2 + 1, 0], [0, 0]]


def test_the_score_prefers_the_kernel_that_was_right():
    right, wrong = [1, 1, 0.5, 0], [1, 0.2, 0, 0]
    assert weights(*scored([right, wrong], [1, 1, 0.5, 0], [1, 1, 1, 1])) == pytest.approx([1, 0], abs=0.02)


def test_cells_of_which_nothing_is_known_do_not_count():
    assert not scored([[1, 1], [0, 0]], [0, 0], [0, 0]).any()


def test_several_forecasts_count_as_their_mean_and_one_that_was_not_made_does_not():
    one = np.array([[1.0, 0.5], [0.5, 0.5]])
    none = np.full((2, 2), np.nan)
    above, known = np.zeros((1, 2)), np.ones((1, 2))
    twice = errors(np.stack([one, one, none])[None], above, known)
    assert twice[0] == pytest.approx(scored(one, above[0], known[0]))
    assert not errors(none[None, None], above, known).any()


@given(offs, st.floats(0, 10))
def test_a_number_that_is_added_to_all_scores_changes_no_optimum(off, constant):
    scores = off @ off.T + 0.1 * np.eye(3)
    found = weights(*scores)
    moved = weights(*(scores + constant))
    assert (moved @ scores @ moved) <= (found @ scores @ found) + 2 * RIDGE * (np.trace(scores) / 3 + constant)
