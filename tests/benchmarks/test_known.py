"""What a benchmark keeps from earlier runs is only used where nothing that it was made from has changed."""

from dataclasses import replace

import pytest

from benchmarks._known import closure, code_of, fingerprint, kept
from benchmarks._lived import fleet, lived
from benchmarks.bench_decide import COMPUTED_BY, RUN_BY, Played, Scenario
from controller.backtest.result import NAMES, ORCHA
from controller.backtest.scenarios import scenario
from controller.decide import decide


def played(captured=0.8, **more):
    """Static earns 1, the clairvoyant 2."""
    earned = dict.fromkeys(NAMES, 1.0) | {"greedy": 1.1, "orcha": 1.0 + captured, "clairvoyant": 2.0}
    values = {
        "scenario": "steady", "seed": 0, "days": 30.0, "earned": earned, "worst_month": 1.0, "worst_week": 0.99, "programs": 30,
        "moves": 60, "limit_violations": 0, "overallocations": 0, "outcomes": 10, "inside": 8, "seconds": 1.0,
    }  # fmt: skip
    return Played(**(values | more))


def test_what_is_kept_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"earned": 1.5}

    assert kept("name", "key", make, tmp_path) == kept("name", "key", make, tmp_path) == {"earned": 1.5}
    assert kept("name", "other", make, tmp_path) == {"earned": 1.5}
    assert len(made) == 2


def test_half_a_file_is_made_again(tmp_path):
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "key.json").write_text('{"earned":')
    assert kept("name", "key", lambda: {"earned": 2.0}, tmp_path) == {"earned": 2.0}


def changed(case, **fields):
    return replace(case, truth=replace(case.truth, **fields))


@pytest.mark.parametrize("what", ["demand", "value", "up", "initial", "spec", "workloads", "start", "code"])
def test_whatever_changes_a_case_has_another_fingerprint(what):
    case, code = scenario("steady", days=0.1), "code"
    before = fingerprint(case, code)
    assert before == fingerprint(scenario("steady", days=0.1), code)
    truth = case.truth
    others = {
        "demand": lambda: changed(case, demand=truth.demand + 1e-9),
        "value": lambda: changed(case, value=truth.value * 2),
        "up": lambda: changed(case, up=~truth.up),
        "start": lambda: changed(case, start=truth.start + 60),
        "initial": lambda: replace(case, initial=case.initial[::-1].copy()),
        "spec": lambda: replace(case, spec=case.spec.model_copy(update={"mode": "Off"})),
        "workloads": lambda: replace(case, workloads=case.workloads[::-1]),
        "code": lambda: case,
    }
    assert fingerprint(others[what](), "other code" if what == "code" else code) != before


def test_the_code_that_counts_is_all_that_is_run_and_nothing_that_decides():
    found = closure(COMPUTED_BY)
    assert {"controller.backtest.baselines", "controller.backtest.world", "exporters.energy"} <= found
    assert not {"controller.decide", "controller.backtest.run", "controller.guard"} & found
    assert code_of(*COMPUTED_BY) != code_of("controller.backtest.world")


def test_every_split_is_played():
    assert {*RUN_BY, "static", "orcha", "clairvoyant"} == set(NAMES)


# --- what is made of it


def test_a_scenarios_figures_are_medians_and_its_worst_the_worst():
    found = Scenario("steady", (played(0.2, worst_week=0.97), played(0.8), played(0.9, worst_week=None)))
    assert found.captured == pytest.approx(0.8)
    assert found.worst(lambda one: one.worst_week) == 0.97
    assert found.against_rule == pytest.approx(1.8 / 1.1)
    assert found.coverage == pytest.approx(0.8)
    assert found.programs_per_day == 1.0
    assert found.notable


def test_what_nobody_could_win_has_no_captured_uplift():
    earned = dict.fromkeys(NAMES, 1.0)
    found = Scenario("steady", (played(earned=earned, outcomes=0, inside=0, worst_month=None),))
    assert not found.notable
    assert not found.captured >= 0  # NaN
    assert found.seeds[0].over(ORCHA) == 1.0


def test_a_fleet_of_lived_nodes_is_decided_on_as_one_node_is():
    one = lived("steady", 0.5)
    many = fleet(one, 3)
    assert len({w.key for w in many.workloads}) == 3 * len(one.workloads)
    decision, decisions = decide(one), decide(many)
    assert decision.curves.keys() == {w.key for w in one.workloads}
    assert len(decisions.curves) == 3 * len(decision.curves)
