"""The Plan from curves and limits, and further ones beside it."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from controller.decide import decide
from controller.model import Learned, Reason
from controller.plan.propose import propose
from tests.controller import worlds
from tests.controller.worlds import always, competing, line, node, policy, state, workload

GOLEM, AKASH, THIRD = "rack-1/golem", "rack-1/akash", "rack-1/third"
CURVES = {
    GOLEM: line(GOLEM, np.arange(13), 0.03 * np.arange(13)),
    AKASH: line(AKASH, np.arange(13), 0.03 * np.minimum(np.arange(13), 2)),
}


def three(**more):
    """Golem and third could use what akash does not; third a little less, and nobody knows how much."""
    world = competing(spec=policy(maxStepPercent=30, **more))
    third = workload(THIRD, 0.0, always(1.0), used=0.0, protocol="third")
    y = np.concatenate([[0.0], np.cumsum(np.linspace(0.029, 0.001, 12))])
    rows = y * np.array([[-0.5], [0.5], [1.0], [3.0]])
    curves = CURVES | {
        GOLEM: line(GOLEM, np.arange(13), np.cumsum(np.linspace(0.05, 0.01, 13))),
        THIRD: line(THIRD, np.arange(13), y, replicates=rows),
    }
    return replace(world, workloads=(*world.workloads, third)), curves


def best(curves=CURVES, pins=None, **more):
    return propose(competing(**({"spec": policy()} | more)), curves, pins or {}).plan


# --- the best plan


def test_the_plan_says_what_it_is_worth_and_by_which_strategy_it_was_made():
    plan = best()
    assert plan.targets == {AKASH: 4.0, GOLEM: 8.0}
    assert plan.gain.expected == pytest.approx(0.06)
    assert plan.rate_now == pytest.approx(0.24)
    assert (plan.strategy, plan.score, plan.alternatives) == ("Threshold", inf, ())


def test_a_plan_that_interrupts_has_a_finite_score_and_one_without_moves_none():
    slow = tuple(replace(w, traits=replace(worlds.DEMAND, offline_minutes=5.0)) for w in competing().workloads)
    plan = propose(replace(competing(spec=policy()), workloads=slow), CURVES, {}).plan
    assert plan.score == pytest.approx((0.06 / 0.24) / (10 / 240))
    assert best(pins=dict.fromkeys(CURVES, (Reason.HOLD, "held"))).score is None


def test_fees_are_taken_off_what_is_scored():
    dear = tuple(
        replace(w, traits=replace(worlds.DEMAND, offline_minutes=5.0, fees_usd=0.01)) for w in competing().workloads
    )
    plan = propose(replace(competing(spec=policy()), workloads=dear), CURVES, {}).plan
    assert plan.score == pytest.approx(((0.06 - 2 * 0.005) / 0.24) / (10 / 240))


def test_without_any_curve_nothing_is_known():
    plan = best({})
    assert (plan.gain, plan.net_benefit_usd, plan.confidence, plan.score, plan.rate_now) == (None, None, None, None, 0)


def test_an_interval_that_missed_too_often_is_published_wider():
    swaying = CURVES | {GOLEM: replace(CURVES[GOLEM], replicates=CURVES[GOLEM].y * np.linspace(0.5, 1.5, 11)[:, None])}
    plain, wide = best(swaying), best(swaying, learned=Learned(spread=2.0))
    assert wide.gain.high - wide.gain.expected == pytest.approx(2 * (plain.gain.high - plain.gain.expected))


def test_a_brief_plan_is_the_same_without_the_opportunities():
    world = competing(spec=policy())
    whole, brief = propose(world, CURVES, {}).plan, propose(world, CURVES, {}, brief=True).plan
    assert brief.opportunities == ()
    assert whole.opportunities
    assert brief.moves == whole.moves


@pytest.mark.parametrize(
    ("objective", "strategy", "words"),
    [
        ({"strategy": "Interval"}, "Interval", ""),
        ({"strategy": "Predictive"}, "Predictive", ""),
        ({"strategy": "RiskAware"}, "Threshold", "strategy RiskAware without a riskTolerance is Threshold"),
        ({"strategy": "RiskAware", "riskTolerance": 0.1}, "Threshold", "while no curve says how far it is open"),
    ],
)
def test_the_strategy_that_was_followed_is_told(objective, strategy, words):
    plan = best(spec=policy(objective=objective))
    assert (plan.strategy, words in plan.why, "; ;" in plan.why) == (strategy, True, False)
    assert plan.targets == best().targets


def test_risk_aware_keeps_the_total_within_its_tolerance():
    swaying = CURVES | {GOLEM: replace(CURVES[GOLEM], replicates=CURVES[GOLEM].y * np.array([[0.5], [1.5]]))}
    plan = best(swaying, spec=policy(objective={"strategy": "RiskAware", "riskTolerance": 0.11}))
    assert plan.strategy == "RiskAware"
    assert plan.targets == {AKASH: 5.0, GOLEM: 7.0}  # 7 x 0.03 / 2 = 0.105
    assert "RiskAware: a standard deviation of 0.105 USD/h, of 0.11 allowed; Threshold would have 0.12" in plan.why


# --- others


def others(n=10, **more):
    world, curves = three(**more)
    return propose(world, curves, {}, alternatives=n).plan


def test_others_are_whole_plans_that_differ_and_the_one_that_is_worth_most_comes_first():
    plan = others()
    targets = [dict(p.targets) for p in (plan, *plan.alternatives)]
    assert len(plan.alternatives) == 3
    assert all(targets.count(each) == 1 for each in targets)
    net = [p.net_benefit_usd for p in plan.alternatives]
    assert net == sorted(net, reverse=True)
    for each in plan.alternatives:
        assert each.moves
        assert each.gain.low <= each.gain.expected <= each.gain.high
        assert each.score is not None
        assert {m.key: m.to for m in each.moves}.items() <= each.targets.items()


def test_among_others_are_half_the_step_the_plan_without_the_least_sure_and_single_transfers():
    said = " | ".join(p.why for p in others().alternatives)
    assert "at half the step" in said
    assert f"without {THIRD}, the least sure" in said
    assert f"one transfer alone, {AKASH} to {THIRD}" in said


def test_half_the_step_goes_half_as_far_at_most():
    plan = next(p for p in others().alternatives if "at half the step" in p.why)
    assert all(abs(m.to - m.from_) <= 1.8 for m in plan.moves)


def test_no_more_are_given_than_were_asked_for_and_none_without_asking():
    assert len(others(2).alternatives) == 2
    assert others(0).alternatives == ()


def test_others_keep_to_what_is_pinned_and_to_the_tolerance():
    world, curves = three(objective={"strategy": "RiskAware", "riskTolerance": 0.01})
    plan = propose(world, curves, {GOLEM: (Reason.HOLD, "held")}, alternatives=10).plan
    for each in (plan, *plan.alternatives):
        assert each.targets[GOLEM] == 6.0
        sways = np.std([np.interp(each.targets[THIRD], curves[THIRD].x, row) for row in curves[THIRD].replicates])
        assert sways <= 0.01 * (1 + 1e-9)


def test_where_the_best_is_to_stay_there_are_no_others():
    world = state([workload(GOLEM, 8.0, always(6.0), used=6.0)], [node(cpu=8)])
    plan = propose(world, {GOLEM: line(GOLEM, [0, 6, 8], [0, 0.2, 0.2])}, {}, alternatives=5).plan
    assert (plan.moves, plan.alternatives) == ((), ())


def test_deciding_asks_for_no_others():
    assert decide(competing()).plan.alternatives == ()
