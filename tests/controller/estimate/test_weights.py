"""The recency kernel and the bootstrap's replicates."""

import numpy as np
import pytest

from controller.estimate.weights import draw, pool, recency, value_per_unit_hour
from tests.controller import worlds


def test_the_weight_of_an_hour_halves_every_twelve_and_ends_after_seventy_two():
    history = worlds.always(1.0, hours=100)
    weight = recency(history, worlds.NOW)
    assert weight[-1] == pytest.approx(2 ** (-0.5 / 12))
    assert weight[-13] == pytest.approx(weight[-1] / 2)
    assert weight[-72] > 0
    assert weight[-73] == 0.0


def test_what_begins_in_the_future_has_no_weight():
    ahead = worlds.always(1.0, hours=3, now=worlds.NOW + 10 * worlds.HOUR)
    assert recency(ahead, worlds.NOW).tolist() == [0.0, 0.0, 0.0]


def test_the_first_row_is_the_point_estimate():
    assert (draw([worlds.always(1.0)], worlds.NOW, 7).draws[0] == 1.0).all()


def test_two_hundred_replicates_have_one_weight_for_each_hour():
    weights = draw([worlds.always(1.0, hours=48)], worlds.NOW, 7)
    assert weights.replicates == 200
    assert weights.block == 3600.0
    assert weights.draws.shape == (201, 49)
    assert weights.draws[1:].mean() == pytest.approx(1.0, abs=0.05)


def test_a_short_history_is_cut_into_twelve():
    assert draw([worlds.always(1.0, hours=3)], worlds.NOW, 7).block == pytest.approx(900.0)


def test_every_workload_gets_the_same_weight_for_the_same_hour():
    a, b = worlds.always(1.0, hours=48), worlds.always(5.0, hours=10)
    weights = draw([a, b], worlds.NOW, 7)
    both = [pool(history, weights, recency(history, worlds.NOW)) for history in (a, b)]
    assert (both[0].rows[:, :10] == both[1].rows[:, :10]).all()


def test_the_same_seed_draws_the_same_weights():
    history = [worlds.always(1.0)]
    assert (draw(history, worlds.NOW, 3).draws == draw(history, worlds.NOW, 3).draws).all()
    assert (draw(history, worlds.NOW, 3).draws[1:] != draw(history, worlds.NOW, 4).draws[1:]).any()


@pytest.mark.parametrize("start", [np.nan, -np.inf, -1e300, np.inf, 0.0])
def test_a_history_whose_beginning_cannot_be_true_still_gives_weights_of_an_hour(start):
    history = worlds.always(1.0, hours=48)
    began = history.start.copy()
    began[0] = start
    weights = draw([worlds.changed(history, start=began)], worlds.NOW, 7)
    assert weights.draws.shape[1] <= 30 * 24
    column = weights.column(began)
    assert ((column >= 0) & (column < weights.draws.shape[1])).all()


def test_without_any_history_there_still_are_weights():
    assert draw([None], worlds.NOW, 0).draws.shape[0] == 201


def test_pooling_hours_changes_no_sum():
    fine = worlds.blocks([1.0, 2.0, 3.0, 2.0] * 12, [False] * 48, span=300.0)
    weights = draw([worlds.always(1.0)], worlds.NOW, 0)
    past = pool(fine, weights, np.ones(48))
    assert len(past.kernel) <= 5
    assert past.usd.sum() == pytest.approx(fine.usd.sum())
    assert past.exact.sum(axis=0) == pytest.approx(fine.exact.sum(axis=0))


def test_the_value_of_a_unit_hour_is_what_was_earned_for_what_was_used():
    history = worlds.always(4.0, value=0.025)
    past = pool(history, draw([history], worlds.NOW, 0), recency(history, worlds.NOW))
    assert value_per_unit_hour(past) == pytest.approx(np.full(201, 0.025))


def test_where_nothing_was_used_nobody_knows_the_value():
    history = worlds.always(0.0)
    assert value_per_unit_hour(pool(history, draw([history], worlds.NOW, 0), recency(history, worlds.NOW))) is None


def test_a_history_of_equal_hours_is_worth_as_many_as_the_kernel_lets_count():
    history = worlds.always(1.0, hours=200)
    past = pool(history, draw([history], worlds.NOW, 0), recency(history, worlds.NOW))
    assert past.effective() == pytest.approx(33.5, abs=0.2)
