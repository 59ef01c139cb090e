"""ceiling: the most that any moves could gain. Never less than what the best of them do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan.ceiling import ceiling, may_pay
from controller.plan.problem import Problem
from controller.plan.solve import solve
from tests.controller import worlds
from tests.controller.plan.problems import choice, concave, problem, problems, shapes


def gained(it: Problem) -> float:
    """USD per hour that the best split brings, whatever moving costs."""
    free = replace(it, choices=tuple(replace(c, cost=0.0) for c in it.choices))
    target = solve(free).target
    return sum(float(c.y[i] - c.y[c.at]) for c, i in zip(it.choices, target, strict=True))


def most(it: Problem) -> float:
    return ceiling([c for c in it.choices if not c.pinned], it.rows, it.current)


def scale(it: Problem) -> float:
    return sum(max(abs(float(v)) for v in c.y) for c in it.choices)


def pair(free: float = 0.0) -> Problem:
    """Six cores each; two more bring the first 0.03 each, the second loses 0.01 by each that it gives up."""
    golem = choice("rack-1/golem", *concave([0.03] * 8), at=6)
    akash = choice("rack-1/akash", *concave([0.01] * 8), at=6)
    return problem([golem, akash], {"cpu": 12 + free})


def test_what_one_loses_and_the_other_gains_is_both_in_it():
    assert most(pair()) == pytest.approx(2 * (0.03 - 0.01))


def test_free_capacity_is_worth_its_price():
    assert most(pair(free=1.0)) == pytest.approx(0.03 + 0.03 - 0.01)


def test_where_nothing_is_short_everybody_gets_the_best():
    assert most(pair(free=100.0)) == pytest.approx(2 * 0.03 + 2 * 0.01)


def test_a_split_that_cannot_be_better_leaves_nothing_to_gain():
    even = problem([choice(f"rack-1/{n}", *concave([0.04, 0.02]), at=1) for n in "ab"], {"cpu": 2})
    assert most(even) == pytest.approx(0.0, abs=1e-15)


def test_what_answers_to_nothing_has_nothing_to_gain():
    flat = problem([choice("rack-1/a", *concave([0.0, 0.0]), at=1)], {"cpu": 1})
    assert most(flat) == 0.0


@given(problems(), st.booleans())
def test_nothing_gains_more(it, two):
    resources = replace(it, rows=(*it.rows, replace(it.rows[0], name="rack-1 more", limit=it.rows[0].limit * 2)))
    it = resources if two else it
    if any(not c.pinned for c in it.choices):
        assert gained(it) <= most(it) + 1e-9 * scale(it)


@given(problems(resources=("cpu", "memory"), most=4))
def test_nothing_gains_more_of_two_resources(it):
    if any(not c.pinned for c in it.choices):
        assert gained(it) <= most(it) + 1e-9 * scale(it)


@given(st.lists(st.tuples(shapes(), st.integers(0, 7)), min_size=1, max_size=4), st.sampled_from([0.0, 1.0, 30.0]))
def test_nothing_gains_more_on_curves_of_any_shape(curves, spare):
    choices = [choice(f"rack-1/{i}", *curve, at=min(at, len(curve[0]) - 1)) for i, (curve, at) in enumerate(curves)]
    it = problem(choices, {"cpu": sum(c.current for c in choices) + spare})
    assert gained(it) <= most(it) + 1e-9 * scale(it)


# --- whether it is enough


def asked(percent: float, it: Problem, **more: float) -> bool:
    keys = [c.key for c in it.choices]
    spec = worlds.policy(minImprovement={"percent": percent, **more})
    return may_pay(worlds.state([worlds.workload(key) for key in keys], spec=spec), it)


def test_it_may_pay_where_the_most_is_no_less_than_the_least_that_is_asked_for():
    share = 100 * 0.04 / (6 * 0.03 + 6 * 0.01)  # of what the node earns now
    assert asked(share * 0.999, pair())
    assert not asked(share * 1.001, pair())


def test_a_least_gain_in_dollars_counts_as_well():
    assert asked(1, pair(), usdPerHour=0.039)
    assert not asked(1, pair(), usdPerHour=0.041)


def test_where_nothing_is_asked_for_anything_may_pay():
    even = problem([choice(f"rack-1/{n}", *concave([0.04, 0.02]), at=1) for n in "ab"], {"cpu": 2})
    assert asked(0, even)
    assert not asked(1, even)


def test_where_nobody_may_move_nothing_pays():
    held = replace(pair(), choices=tuple(replace(c, pinned=True) for c in pair().choices))
    assert not asked(0, held)


def test_what_is_not_planned_on_earns_for_the_node_as_it_was_last_read():
    one = pair()
    busy = worlds.workload("rack-1/other", read=worlds.reading("rack-1/other", 1.0, net=10.0))
    workloads = [*(worlds.workload(c.key) for c in one.choices), busy]
    assert not may_pay(worlds.state(workloads, spec=worlds.policy()), one)
    assert may_pay(worlds.state(workloads[:2], spec=worlds.policy()), one)
