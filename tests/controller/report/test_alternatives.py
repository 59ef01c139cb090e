"""`orcha plan --plans N`: what else could be done, best first, and how it is shown."""

import json

from hypothesis import given, settings
from rich.console import Console

from controller.decide import decide
from controller.model import Reason
from controller.observe import Observation, Watched
from controller.plan.propose import propose
from controller.report import views
from controller.report.alternatives import pins_of, with_alternatives
from controller.report.tables import plan_table
from tests.controller.test_replay import many, worlds
from tests.controller.worlds import always, competing, node, policy, state, workload


def shown(decision):
    """As `orcha plan` shows it."""
    those = decision.state.workloads
    watched = {
        w.key: Watched(w.key, w.node, w.protocol, w.traits, w.stale_after, w.allocation, None, None, None, "dry_run")
        for w in those
    }
    readings = {w.key: w.reading for w in those}
    seen = Observation(decision.state.now, newest=readings, last_good=readings, complete=True)
    view = views.status(seen, watched, [decision], version="1", manifests={})
    assert json.loads(views.as_json(view)) == view
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(plan_table(view, 160))
    return view["policies"][0]["plan"], captured.get()


def test_other_plans_differ_from_the_best_and_from_one_another_and_none_nets_more():
    decision = with_alternatives(decide(many(4)), 5)
    plans = [decision.plan, *decision.plan.alternatives]
    assert len(plans) > 1
    assert len({tuple(sorted(plan.targets.items())) for plan in plans}) == len(plans)
    nets = [plan.net_benefit_usd for plan in plans]
    assert nets[1:] == sorted(nets[1:], reverse=True)
    assert all(net > 0 for net in nets)


def test_no_more_plans_are_given_than_were_asked_for():
    decision = decide(many(4))
    assert [len(with_alternatives(decision, most).plan.alternatives) for most in (0, 1, 2)] == [0, 1, 2]
    assert with_alternatives(decision, 0) is decision


def test_where_nothing_is_known_there_is_nothing_else():
    young = decide(state([workload("rack-1/golem", 6.0, always(6.0, hours=1))], spec=policy()))
    assert young.reason is Reason.NO_HISTORY
    assert with_alternatives(young, 3).plan.alternatives == ()


@settings(max_examples=30)
@given(worlds(lively=True))
def test_they_are_planned_under_the_pins_that_the_decision_was_made_under(world):
    decision = decide(world)
    if decision.plan.solver != "none":
        again = propose(decision.state, decision.curves, pins_of(decision), brief=True).plan
        assert dict(again.targets) == dict(decision.plan.targets)


def test_they_are_shown_beside_the_best_one():
    plan, text = shown(with_alternatives(decide(many(4)), 3))
    assert "plans under policy default, best first" in text
    assert len(plan["alternatives"]) == 3
    for other in plan["alternatives"]:
        for move in other["moves"]:
            assert f"{move['workload']} {move['from']:g} core" in text


def test_without_others_there_is_no_table_of_them():
    plan, text = shown(decide(competing()))
    assert plan["alternatives"] == []
    assert "best first" in text
    assert "plans under policy" not in text


def test_where_nothing_moves_there_is_nothing_else_to_show():
    still = decide(state([workload("rack-1/golem", 4.0, always(2.0))], [node(cpu=8)], spec=policy()))
    assert shown(with_alternatives(still, 3))[0]["alternatives"] == []
