"""Opportunities: the best single transfer for every ordered pair and out of free capacity."""

import pytest

from controller.model import Reason
from controller.plan.opportunities import MOST, moves_of, opportunities
from exporters.traits import Traits
from tests.controller.plan.problems import choice, concave, problem
from tests.controller.worlds import line

ONE, TWO = "rack-1/one", "rack-1/two"


def found(of, **traits):
    curves = {it.key: line(it.key, it.x, it.y) for it in of.choices}
    ranked = opportunities(of, curves, {it.key: traits.get(it.key.split("/")[1], Traits()) for it in of.choices})
    return {(o.source, o.target): o for o in ranked}


def idle_and_full(capacity=8.0, **more):
    """Two has 4 of which it uses none; one is full at 4."""
    return problem(
        [choice(ONE, *concave((0.1,) * 8), 4, **more), choice(TWO, *concave((0.0,) * 8), 4, **more)], {"cpu": capacity}
    )


def test_the_best_amount_is_found_not_only_the_next_step():
    best = found(idle_and_full())[TWO, ONE]
    assert (best.amount, best.source_amount) == (4.0, 4.0)
    assert best.gain.expected == pytest.approx(0.4)
    assert best.reason is Reason.ALLOWED
    assert best.sentence.startswith("4 cpu more for rack-1/one from 4 cpu of rack-1/two: +0.4 USD/h")


def test_a_transfer_that_loses_is_told_as_such():
    assert found(idle_and_full())[ONE, TWO].reason is Reason.ALREADY_BEST


def test_without_free_capacity_there_is_no_growth_into_it():
    assert set(found(idle_and_full())) == {(ONE, TWO), (TWO, ONE)}


def test_growth_into_free_capacity_takes_no_more_than_there_is():
    best = found(idle_and_full(capacity=10.0))[None, ONE]
    assert (best.amount, best.source_amount, best.steps) == (2.0, 0.0, 1)


def test_a_transfer_makes_use_of_what_is_free_and_says_so():
    best = found(idle_and_full(capacity=9.0))[TWO, ONE]
    assert best.amount == 4.0
    assert best.source_amount == 3.0
    assert "from 3 cpu of rack-1/two and free capacity" in best.sentence


def test_what_goes_along_must_be_freed_as_well():
    # one step of one takes 2 memory, one step of two frees only 1
    one = choice(ONE, *concave((0.1,) * 8), 2, needs={"cpu": 1.0, "memory": 2.0})
    two = choice(TWO, *concave((0.0,) * 8), 4, needs={"cpu": 1.0, "memory": 1.0})
    best = found(problem([one, two], {"cpu": 20.0, "memory": 8.0}))[TWO, ONE]
    assert (best.amount, best.source_amount) == (2.0, 4.0)


def test_what_the_source_does_not_have_it_cannot_free():
    one = choice(ONE, *concave((0.1,) * 8), 2, needs={"cpu": 1.0, "memory": 2.0})
    two = choice(TWO, *concave((0.0,) * 8), 4, needs={"cpu": 1.0})
    assert (TWO, ONE) not in found(problem([one, two], {"cpu": 20.0, "memory": 4.0}))


def test_workloads_that_share_nothing_trade_nothing():
    one = choice(ONE, *concave((0.1,) * 8), 2, needs={"cpu": 1.0})
    two = choice(TWO, *concave((0.0,) * 8), 4, needs={"storage": 1.0})
    assert found(problem([one, two], {"cpu": 2.0, "storage": 4.0})) == {}


def test_its_complexity_is_told():
    best = found(idle_and_full(cost=0.01), one=Traits(offline_minutes=3), two=Traits(fees_usd=0.01))[TWO, ONE]
    assert (best.steps, best.restarts, best.offline_minutes) == (2, 1, 3.0)
    assert best.cost_usd == pytest.approx(0.02)


def test_the_cost_of_moving_does_not_change_which_amount_is_best():
    assert found(idle_and_full(cost=100.0))[TWO, ONE].amount == 4.0


def test_a_pinned_workload_is_weighed_all_the_same():
    assert found(idle_and_full(pinned=True))[TWO, ONE].amount == 4.0


def test_of_very_many_pairs_the_most_promising_are_weighed():
    many = [choice(f"rack-1/w{i:02d}", *concave((0.1 + 0.001 * i,) * 2), 1) for i in range(30)]
    pairs = found(problem(many, {"cpu": 30.0}))
    assert len(pairs) == MOST
    assert ("rack-1/w00", "rack-1/w29") in pairs


def test_the_moves_of_an_opportunity_are_those_that_it_tells_of():
    of = idle_and_full()
    curves = {it.key: line(it.key, it.x, it.y) for it in of.choices}
    moves = moves_of(found(of)[TWO, ONE], curves, {ONE: 4.0, TWO: 4.0}, {ONE: 0.0, TWO: 0.1})
    assert [(m.key, m.from_, m.to, m.cost_usd) for m in moves] == [(ONE, 4.0, 8.0, 0.0), (TWO, 4.0, 0.0, 0.1)]
