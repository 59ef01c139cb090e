"""Opportunities: the best single transfer for every ordered pair and out of free capacity."""

from dataclasses import replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Reason
from controller.plan.opportunities import MOST, moves_of, opportunities
from controller.plan.problem import Problem, Row
from controller.plan.worth import Trust
from exporters.traits import Traits
from tests.controller.plan.problems import choice, concave, problem, problems
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


# --- the order


def ranked(of, traits):
    curves = {it.key: line(it.key, it.x, it.y) for it in of.choices}
    return opportunities(of, curves, {it.key: traits.get(it.key.split("/")[1], Traits()) for it in of.choices})


def three_full(slopes=(0.3, 0.2, 0.1)):
    """Three that could grow into free capacity."""
    return problem([choice(f"rack-1/w{i}", *concave((s,) * 4), 2) for i, s in enumerate(slopes)], {"cpu": 8.0})


def test_what_interrupts_nothing_comes_first_and_then_what_earns_most_for_its_minutes():
    found = ranked(three_full(), {"w0": Traits(offline_minutes=30), "w1": Traits(offline_minutes=1)})
    free = [(o.target, o.score) for o in found if o.source is None]
    # 2 units of w2 for nothing; of w1 and w0 for their minutes: shares of 1.2 USD/h and of 3 x 120 minutes
    assert free == [
        ("rack-1/w2", inf),
        ("rack-1/w1", pytest.approx((0.4 / 1.2) / (1 / 360))),
        ("rack-1/w0", pytest.approx((0.6 / 1.2) / (30 / 360))),
    ]


def test_what_loses_comes_last_whatever_it_interrupts():
    found = ranked(three_full(), {"w0": Traits(offline_minutes=30)})
    losing = [o.gain.expected <= 0 for o in found]
    assert losing == sorted(losing)
    assert all(o.reason is Reason.ALREADY_BEST for o, loses in zip(found, losing, strict=True) if loses)


def test_fees_count_as_less_gain():
    found = ranked(three_full(), {"w0": Traits(fees_usd=1.1)})  # 0.55 USD/h over 2 h
    assert [o.target for o in found if o.source is None] == ["rack-1/w1", "rack-1/w2", "rack-1/w0"]


def test_a_pool_that_earns_nothing_has_an_order_and_no_scores():
    none = problem([choice(ONE, [0, 1, 2], [-1.0, -1.0, -0.5], 1), choice(TWO, [0, 1], [0.0, 0.0], 1)], {"cpu": 3.0})
    assert [(o.target, o.score) for o in ranked(none, {})] == [(ONE, None), (ONE, None)]


def test_one_price_that_is_no_number_poisons_nothing_else():
    of = three_full()
    bad = Problem((replace(of.choices[0], y=of.choices[0].y * np.nan), *of.choices[1:]), of.rows)
    known, odd = ranked(of, {}), ranked(bad, {})

    def among(found):
        return [(o.source, o.target, o.gain) for o in found if "rack-1/w0" not in {o.source, o.target}]

    assert among(odd) == among(known)
    assert all(isnan(o.gain.expected) and o.score is None for o in odd[len(among(odd)) :])


def test_what_was_learned_widens_their_intervals():
    of = idle_and_full()
    curves = {it.key: line(it.key, it.x, it.y, replicates=it.y * np.linspace(0, 2, 11)[:, None]) for it in of.choices}
    traits = {it.key: Traits() for it in of.choices}
    plain, wide = (opportunities(of, curves, traits, Trust(spread=s))[0].gain for s in (1.0, 2.0))
    assert wide.high - wide.expected == pytest.approx(2 * (plain.high - plain.expected))


# --- many


def fleet(nodes, slopes, seed=0):
    """Nodes of three that are full, each of two resources."""
    rng = np.random.default_rng(seed)
    choices, rows = [], []
    for n in range(nodes):
        for w in range(3):
            it = choice(f"n{n:04d}/w{w}", *concave(slopes(rng)), 2, needs={"cpu": 1.0, "memory": 2.0})
            choices.append(replace(it, node=f"n{n:04d}"))
        index = np.arange(3 * n, 3 * n + 3)
        rows += [
            Row(f"n{n:04d} cpu", index, np.ones(3), 6.0 + n % 2, (f"n{n:04d}", "cpu")),
            Row(f"n{n:04d} memory", index, 2 * np.ones(3), 12.0 + 2 * (n % 2), (f"n{n:04d}", "memory")),
        ]
    return Problem(tuple(choices), tuple(rows))


def promising(of):
    """The MOST pairs whose next units differ most, one by one."""
    pairs = []
    for target in of.choices:
        gained = target.y[target.at + 1] - target.y[target.at]
        if int(target.node[1:]) % 2:
            pairs.append((-gained, target.key, ""))
        others = [it for it in of.choices if it.node == target.node and it is not target]
        pairs += [(-(gained - (it.y[it.at] - it.y[it.at - 1])), target.key, it.key) for it in others]
    return {(source or None, target) for _, target, source in sorted(pairs)[:MOST]}


@pytest.mark.parametrize(
    "slopes",
    [lambda rng: rng.random(4), lambda rng: np.round(rng.random(4), 1), lambda _: (0.1,) * 4],
    ids=["all differ", "many alike", "all alike"],
)
@pytest.mark.parametrize("nodes", [20, 700])
def test_of_many_nodes_the_same_pairs_are_weighed_as_if_each_had_been_looked_at(nodes, slopes):
    of = fleet(nodes, slopes)
    assert {(o.source, o.target) for o in ranked(of, {})} == promising(of)


def test_of_very_many_on_one_node_the_same_pairs_are_weighed_as_if_each_had_been_looked_at():
    rng = np.random.default_rng(0)
    many = [replace(choice(f"n0000/w{i:03d}", *concave(rng.random(4)), 2), node="n0000") for i in range(400)]
    of = Problem(tuple(many), (Row("n0000 cpu", np.arange(400), np.ones(400), 800.0, ("n0000", "cpu")),))
    assert {(o.source, o.target) for o in ranked(of, {})} == promising(of)


@given(problems(resources=("cpu", "memory")))
def test_no_opportunity_needs_more_than_there_is(of):
    free = {row.place[1]: row.limit - row.used(of.current) for row in of.rows}
    by_key = {it.key: it for it in of.choices}
    for o in ranked(of, {}):
        target, source = by_key[o.target], by_key.get(o.source)
        for resource, left in free.items():
            needed = o.amount * target.needs.get(resource, 0.0)
            freed = o.source_amount * source.needs.get(resource, 0.0) if source else 0.0
            assert needed - freed <= max(left, 0.0) * (1 + 1e-6) + 1e-6 * max(needed, 1e-9)


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_is_by_score_where_there_is_one(of, chance):
    traits = {it.key.split("/")[1]: Traits(offline_minutes=chance.choice([0.0, 1.0, 30.0])) for it in of.choices}
    scores = [o.score for o in ranked(of, traits) if o.score is not None and o.gain.expected > 0]
    assert scores == sorted(scores, reverse=True)
