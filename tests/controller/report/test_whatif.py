"""What if: other manifests, other prices and forced moves lead where they really would, and what cannot be is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from controller.__main__ import app
from controller.commands.whatif import _own
from controller.decide import decide
from controller.estimate.readings import known_allocation
from controller.manifests import load
from controller.model import Reason
from controller.report.whatif import Impossible, whatif
from controller.report.whatif_manifests import CannotSet, edited, without_effect
from controller.report.whatif_prices import repriced, tokens_of
from controller.report.whatif_tables import whatif_table
from controller.report.whatif_view import outcomes_view
from exporters.collector import discover
from exporters.nodes import Power, Watts
from exporters.reading import Native, Pool
from tests.controller.test_replay import worlds
from tests.controller.worlds import (
    DILUTION,
    FILL,
    HOUR,
    NOW,
    allocation,
    always,
    blocks,
    competing,
    node,
    policy,
    reading,
    state,
    varying,
    workload,
)

TIB = 2.0**40
KEY = "rack-1/golem"


def view_of(*outcomes, **asked):
    changes = {"sets": (), "prices": {}, "forced": {}, "notes": ()} | asked
    return outcomes_view(outcomes, at=NOW, **changes)


def shown(view, width=160):
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(whatif_table(view, width))
    return console.export_text()


def targets(decision):
    return dict(decision.plan.targets)


# --- manifests ----------------------------------------------------------------------------------------------------


def test_more_capacity_is_used_where_it_earns():
    now = competing()
    larger = replace(now, nodes=(node(cpu=16),))
    outcome = whatif(now, larger)
    assert targets(outcome.before)[KEY] == 8
    assert targets(outcome.after)[KEY] == 9, "20 % of 16 cores are three steps"
    assert outcome.after.plan.gain.expected > outcome.before.plan.gain.expected
    [found] = view_of(outcome)["policies"]
    assert found["changed"]
    assert any("9 cpu would be planned instead of 8 cpu" in each for each in found["differences"])


def test_less_capacity_than_is_held_is_said_as_the_reason():
    now = competing()
    outcome = whatif(now, replace(now, nodes=(node(cpu=10),)))
    [found] = view_of(outcome)["policies"]
    rows = {row["key"]: row for row in found["workloads"]}
    assert rows[KEY]["after"]["reason"] == "Capacity"
    assert "which has 10 to hand out" in rows[KEY]["after"]["sentence"]


def test_a_limit_that_is_lifted_lets_more_happen():
    now = competing()
    outcome = whatif(now, replace(now, spec=policy(maxStepPercent=50)))
    assert targets(outcome.after)[KEY] > targets(outcome.before)[KEY]


def test_the_same_state_comes_to_the_same():
    now = competing()
    [found] = view_of(whatif(now, now))["policies"]
    assert not found["changed"]
    assert found["differences"] == []
    assert "Nothing would come out otherwise" in shown(view_of(whatif(now, now)))


def test_what_is_remembered_of_earlier_changes_holds_for_other_manifests_too():
    now = competing(policy(hold="1h"))
    held = replace(now, workloads=tuple(replace(w, last_moved=NOW - 60) for w in now.workloads), programs_last_hour=2)
    outcome = whatif(held, competing(policy(hold="2h")))
    assert outcome.after.reason is Reason.HOLD
    assert outcome.after.state.programs_last_hour == 2
    assert whatif(held, competing(policy(hold="30s"))).after.reason is Reason.ALLOWED


# --- prices -------------------------------------------------------------------------------------------------------


def paid(key, tokens_per_hour, price, *, used, allocated, full, hours=48, watts=None, **more):
    """A workload that earns in GLM, with a past in GLM at another price."""
    usd = tokens_per_hour * price
    said = reading(
        key, allocated, used=used, net=usd, rate_usd_per_hour=usd,
        native=Native({"GLM": tokens_per_hour}, None, {}, {"cpu": {"GLM": 0.1}}), price_usd_per_unit_hour={"cpu": 0.1 * price},
    )  # fmt: skip
    past = blocks([used] * hours, [full] * hours, usd=[usd * 2] * hours, tokens=[tokens_per_hour] * hours)
    return workload(key, allocated, past, read=said, watts=watts, **more)


def two():
    glm = paid(KEY, 0.6, 0.05, used=6.0, allocated=6.0, full=True)
    return state([glm, workload("rack-1/akash", 6.0, always(6.0, full=True, value=0.01))], spec=policy())


def test_another_price_restates_the_reading_and_the_whole_past():
    now = two()
    outcome = whatif(now, now, {"GLM": 0.5})
    read = next(w for w in outcome.after.state.workloads if w.key == KEY).reading
    assert read.rate_usd_per_hour == pytest.approx(0.3)
    assert read.net_usd_per_hour == pytest.approx(0.3)
    assert read.price_usd_per_unit_hour == {"cpu": pytest.approx(0.05)}
    before, after = (d.curves[KEY] for d in (outcome.before, outcome.after))
    assert after.value_per_unit_hour == pytest.approx(10 * before.value_per_unit_hour)
    assert after.y == pytest.approx(10 * before.y)
    assert targets(outcome.before)[KEY] < 6 < targets(outcome.after)[KEY], "it is worth more than the other now"
    other = "rack-1/akash"
    assert outcome.after.curves[other].y == pytest.approx(outcome.before.curves[other].y)


def test_a_token_that_is_worth_nothing_earns_nothing():
    now = two()
    curve = whatif(now, now, {"GLM": 0.0}).after.curves[KEY]
    assert curve.y == pytest.approx(0.0, abs=1e-15)


def test_todays_price_changes_nothing():
    now = two()
    [found] = view_of(whatif(now, now, {"GLM": 0.05}))["policies"]
    assert found["differences"] == []


def test_energy_is_taken_off_as_it_was():
    power, watts = Power(usd_per_kwh=0.31), Watts(per_step=12)
    it = paid(KEY, 2.0, 0.25, used=8.0, allocated=8.0, full=True, watts=watts)
    restated, _ = repriced(state([it], [node("rack-1", power, cpu=12)]), {"GLM": 0.5})
    read = restated.workloads[0].reading
    assert read.rate_usd_per_hour == pytest.approx(1.0)
    assert read.net_usd_per_hour == pytest.approx(1.0 - 8 * 12 / 1000 * 0.31)


def test_a_pool_pays_in_proportion_and_only_what_reaches_the_owner():
    said = reading(
        "rack-1/s", 1e5, resource="stake/DATA", net=0.09, rate_usd_per_hour=0.1, pool_payout_usd_per_hour=0.9 * 40 * 0.025,
        native=Native({"DATA": 4.0}, {"DATA": 3.6}), pool=Pool({"DATA": 40.0}, 9e5),
    )  # fmt: skip
    bounds = allocation("stake/DATA", 0, 2e5, 5e3)
    past = blocks([1e5] * 48, [True] * 48, levels=[0, 1e5], usd=[0.09] * 48, tokens=[3.6] * 48)
    now = state([workload("rack-1/s", 1e5, past, traits=DILUTION, bounds=bounds, read=said)], [node(stake_DATA=2e5)])
    outcome = whatif(now, now, {"DATA": 0.05})
    read = outcome.after.state.workloads[0].reading
    assert read.pool_payout_usd_per_hour == pytest.approx(0.9 * 40 * 0.05)
    assert outcome.after.curves["rack-1/s"].y == pytest.approx(2 * outcome.before.curves["rack-1/s"].y)


def test_a_token_without_a_price_gets_one():
    said = reading(
        KEY,
        6.0,
        used=6.0,
        net=None,
        rate_usd_per_hour=None,
        native=Native({"XYZ": 0.6}, None, {}, {"cpu": {"XYZ": 0.1}}),
    )
    past = blocks([6.0] * 48, [True] * 48, usd=[0.0] * 48, tokens=[0.0] * 48)
    now = state([workload(KEY, 6.0, replace(past, rate_hours=np.zeros(48), unit_hours=np.zeros(48)), read=said)])
    outcome = whatif(now, now, {"XYZ": 0.5})
    assert outcome.before.not_considered[KEY][0] is Reason.UNPRICED
    assert outcome.after.curves[KEY].value_per_unit_hour == pytest.approx(0.05), "its published price"


def test_what_cannot_be_told_apart_is_said_and_left_as_it_is():
    several = Native({"GLM": 1.0, "POL": 2.0})
    known = replace(two().workloads[0])
    mixed = workload("rack-1/m", 3.0, always(3.0), read=reading("rack-1/m", 3.0, native=several))
    restated, notes = repriced(state([known, mixed]), {"GLM": 1.0})
    left = next(w for w in restated.workloads if w.key == "rack-1/m")
    assert left is mixed
    assert any("rack-1/m is paid in POL too, of which no price is known" in note for note in notes)


def test_several_tokens_of_known_price_are_summed():
    pol = workload("rack-1/p", 1.0, always(1.0), read=reading("rack-1/p", 1.0, net=0.2, native=Native({"POL": 2.0})))
    mixed = workload(
        "rack-1/m", 3.0, always(3.0), read=reading("rack-1/m", 3.0, native=Native({"GLM": 1.0, "POL": 2.0}))
    )
    restated, notes = repriced(state([pol, mixed]), {"GLM": 1.0})
    read = next(w for w in restated.workloads if w.key == "rack-1/m").reading
    assert read.rate_usd_per_hour == pytest.approx(1.0 + 2.0 * 0.1)
    assert any("paid in several tokens: its past is counted as it was" in note for note in notes)


def test_a_past_without_tokens_is_scaled_and_says_so():
    it = paid(KEY, 0.6, 0.05, used=6.0, allocated=6.0, full=True)
    it = replace(it, blocks=replace(it.blocks, tokens=None, token_usd=None))
    restated, notes = repriced(state([it]), {"GLM": 0.1})
    assert restated.workloads[0].blocks.usd == pytest.approx(2 * it.blocks.usd)
    assert "in proportion to today's price" in notes[0]


def test_what_is_paid_in_dollars_stays():
    now = competing()
    restated, notes = repriced(now, {"GLM": 0.1})
    assert restated.workloads == now.workloads
    assert notes == ()
    assert tokens_of(now.workloads[0].reading) == frozenset()


# --- forced moves -------------------------------------------------------------------------------------------------


def test_a_forced_move_is_made_and_the_rest_makes_room():
    now = competing(policy())
    outcome = whatif(now, now, forced={"rack-1/akash": 7.0})
    assert targets(outcome.after) == {KEY: 5.0, "rack-1/akash": 7.0}
    assert outcome.forced.gain.expected < 0
    assert outcome.forced.against_best == pytest.approx(
        outcome.forced.gain.expected - outcome.before.plan.gain.expected
    )
    assert {v.reason for v in outcome.after.verdicts} == {Reason.LOW_GAIN}
    assert "by itself orcha would refuse" in outcome.after.sentence


def test_to_force_what_is_best_costs_nothing():
    now = competing(policy())
    outcome = whatif(now, now, forced={KEY: 8.0})
    assert targets(outcome.after) == targets(outcome.before)
    assert outcome.forced.against_best == pytest.approx(0.0, abs=1e-12)
    assert all(v.allowed for v in outcome.after.verdicts)


def test_a_workload_may_be_forced_to_stay():
    now = competing(policy())
    outcome = whatif(now, now, forced={KEY: 6.0})
    assert outcome.after.plan.moves == ()
    assert outcome.forced.gain.expected == 0
    assert outcome.forced.against_best < 0


def test_a_forced_move_may_go_further_than_one_program_and_the_guard_says_so():
    now = state([workload(KEY, 4.0, always(4.0, full=True))], spec=policy())
    outcome = whatif(now, now, forced={KEY: 10.0})
    assert targets(outcome.after) == {KEY: 10.0}
    assert outcome.after.verdicts[0].reason is Reason.STEP_LIMIT


def test_several_moves_are_forced_at_once():
    now = state(
        [workload(f"rack-1/{n}", 4.0, varying(4, capacity=4.0, seed=i)) for i, n in enumerate("abc")], spec=policy()
    )
    outcome = whatif(now, now, forced={"rack-1/a": 2.0, "rack-1/b": 5.0})
    assert targets(outcome.after)["rack-1/a"] == 2
    assert targets(outcome.after)["rack-1/b"] == 5
    assert sum(targets(outcome.after).values()) <= 12


def test_who_rests_is_not_moved_to_make_room():
    now = competing(policy())
    held = replace(now, workloads=tuple(replace(w, last_moved=NOW - 60) if w.key == KEY else w for w in now.workloads))
    with pytest.raises(Impossible, match="the nearest is 6"):
        whatif(held, held, forced={"rack-1/akash": 7.0})


FULL = workload(
    "rack-1/s", 5 * TIB, blocks([4.6 * TIB] * 48, [False] * 48, value=1e-15, levels=[4.6 * TIB]), traits=FILL,
    bounds=allocation("storage", TIB, 8 * TIB, TIB), used=4.6 * TIB,
)  # fmt: skip


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        ({KEY: 7.5}, r"off its step grid \(0 \+ k x 1\); write 7 or 8"),
        ({KEY: 13.0}, "0 to 12 cpu are allowed; the nearest is 12"),
        ({KEY: 11.0}, "it would take 15; the nearest is 8 cpu"),
        ({KEY: 6.0, "rack-1/akash": 9.0}, "rack-1/akash cannot have 9 cpu.*the nearest is 6 cpu"),
        ({"rack-1/s": 2 * TIB}, "uses 4.6Ti storage that cannot be taken back; the nearest is 5Ti"),
        ({"rack-1/new": 3.0}, r"what rack-1/new would earn is not known \(NoHistory: .*nobody can say"),
        ({"rack-1/grass": 3.0}, "declares no allocation"),
    ],
    ids=["off the grid", "out of bounds", "no room", "no room beside another", "in use", "no history", "watched"],
)
def test_what_cannot_be_is_refused_with_the_nearest_that_can(forced, said):
    new = workload("rack-1/new", 0.0)
    watched = replace(workload("rack-1/grass", 0.0), allocation=None)
    now = competing(policy())
    now = replace(now, workloads=(*now.workloads, FULL, new, watched), nodes=(node(cpu=12, storage=8 * TIB),))
    with pytest.raises(Impossible, match=said):
        whatif(now, now, forced=forced)


def test_a_constraint_is_kept_beside_what_is_forced():
    spec = policy(constraints=[{"protocol": "golem", "minTotal": "6"}])
    now = competing(spec)
    with pytest.raises(Impossible, match="beside what the policy's constraints ask for"):
        whatif(now, now, forced={KEY: 5.0})


def test_a_part_of_a_fleet_s_limit_is_named_where_it_keeps_what_is_forced_out():
    now = replace(competing(policy(constraints=[{"protocol": "golem", "minTotal": "6"}])), parts={0: "golem-least"})
    with pytest.raises(Impossible, match=r"ask for and this site's part of the fleet's golem-least; lift them"):
        whatif(now, now, forced={KEY: 5.0})


@settings(max_examples=40)
@given(worlds(lively=True), st.data())
def test_whatever_is_forced_is_had_and_nothing_is_over_allocated_or_it_is_refused(world, data):
    decided = decide(world)
    planned = sorted(key for key in decided.curves if key in decided.plan.current)
    assume(planned)
    key = data.draw(st.sampled_from(planned))
    it = next(w for w in world.workloads if w.key == key)
    steps = int((it.allocation.max - it.allocation.min) / it.allocation.step)
    value = it.allocation.min + it.allocation.step * data.draw(st.integers(0, steps))
    try:
        outcome = whatif(world, world, forced={key: value})
    except Impossible:
        return
    planned_for = targets(outcome.after)
    assert planned_for[key] == pytest.approx(value)
    for place in world.nodes:
        for resource, capacity in place.capacity.items():
            those = [w for w in world.workloads if w.node == place.name and w.allocation.resource == resource]
            held = [planned_for.get(w.key, known_allocation(w) or 0.0) for w in those]
            before = sum(known_allocation(w) or 0.0 for w in those)
            assert sum(held) <= max(capacity, before) * (1 + 1e-9)
    view = view_of(outcome, forced={key: value})
    json.dumps(view, allow_nan=False)
    for width in (60, 160):
        assert max(map(len, shown(view, width).splitlines())) <= width


@settings(max_examples=20)
@given(worlds(), worlds())
def test_any_two_worlds_can_be_compared(one, other):
    view = view_of(whatif(one, other, {"GLM": 0.1}))
    json.dumps(view, allow_nan=False)
    assert shown(view, 80)


def test_before_and_after_stand_side_by_side():
    now = competing(policy())
    text = shown(view_of(whatif(now, now, forced={"rack-1/akash": 7.0}), forced={"rack-1/akash": 7.0}), 100)
    said = " ".join(text.split())
    for words in (
        "What if rack-1/akash at 7", "reason Allowed LowGain", "rack-1/golem 6 cores ↑ 8 cores ↓ 5 cores",
        "Forced: -0.0", "against the best plan", "rack-1/akash (forced): LowGain", "rack-1/golem (planned around it): LowGain",
    ):  # fmt: skip
        assert words in said, words


def test_where_nothing_is_planned_what_is_earned_is_unknown_and_not_nothing():
    now = competing()
    [found] = view_of(whatif(now, replace(now, spec=policy(mode="Off"))))["policies"]
    assert found["after"]["plan"]["rate_now_usd_per_hour"] is None
    assert not any("0 USD/h" in each for each in found["differences"])


# --- --set --------------------------------------------------------------------------------------------------------

MANIFESTS = """
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1, labels: {site: home}}
spec:
  capacity: {cpu: 12, stake/DATA.x: 5}
  workloads:
    golem:
      protocol: golem
      endpoint: http://127.0.0.1:7465
      credentials: {appKeyFile: /nowhere/key}
      allocation: {resource: cpu, min: 2, max: 10, step: 1}
---
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-1.b}
spec: {capacity: {cpu: 4}}
---
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: default}
spec: {limits: {onSourceFailure: stay}, constraints: [{protocol: golem, maxShare: 0.5}]}
"""


def test_of_what_is_wrong_only_what_was_set_is_told_and_not_what_follows_from_it():
    wrong = [
        ("node.a.capacity.cpu", "-1 is not possible"),
        ("node.a.workloads.w.allocation.resource", "declares no cpu"),
    ]
    assert _own(wrong, ["node.a.spec.capacity.cpu=-1"]) == wrong[:1]
    assert _own(wrong, ["node.a.capacity=3"]) == wrong[:1]
    assert _own(wrong, ["node.b.labels.site=x"]) == wrong, "what is told of elsewhere is told"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    file = tmp_path_factory.mktemp("manifests") / "all.yaml"
    file.write_text(MANIFESTS)
    loaded = load([file], discover())
    assert not loaded.problems
    return loaded


def loaded(found, sets, where):
    """As the command does it: (manifests, problems)."""
    for number, data in enumerate(edited(found, sets).values()):
        (where / f"{number}.yaml").write_text(json.dumps(data))
    return load([where], discover())


def test_nothing_set_is_the_same_manifests(found, tmp_path):
    again = loaded(found, [], tmp_path)
    assert not again.problems
    assert (again.nodes, again.policies, again.settings) == (found.nodes, found.policies, found.settings)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("node.rack-1.capacity.cpu=16", lambda m: m.nodes[0].spec.capacity["cpu"] == 16),
        ("node.rack-1.spec.capacity.memory=48Gi", lambda m: m.nodes[0].spec.capacity["memory"] == 48 * 2**30),
        ("node.rack-1.capacity.stake/DATA.x=7", lambda m: m.nodes[0].spec.capacity["stake/DATA.x"] == 7),
        ("node.rack-1.b.capacity.cpu=5", lambda m: m.nodes[1].spec.capacity["cpu"] == 5),
        ("node.rack-1.power.usdPerKwh=0.3", lambda m: m.nodes[0].spec.power.usd_per_kwh == 0.3),
        ("node.rack-1.labels.site=away", lambda m: m.nodes[0].metadata.labels == {"site": "away"}),
        ("node.rack-1.workloads.golem.allocation.max=6", lambda m: m.nodes[0].spec.workloads["golem"].allocation.max == 6),
        ("node.rack-1.workloads.golem.allocation=", lambda m: m.nodes[0].spec.workloads["golem"].allocation is None),
        ("node.rack-1.workloads.golem.watts={perStep: 9}", lambda m: m.nodes[0].spec.workloads["golem"].watts.per_step == 9),
        ("policy.default.limits.hold=30m", lambda m: m.policies[0].spec.limits.hold == 1800),
        ("policy.default.limits.onSourceFailure.lastGood=15m",
         lambda m: m.policies[0].spec.limits.on_source_failure.last_good == 900),
        ("policy.default.constraints[0].maxShare=0.25", lambda m: m.policies[0].spec.constraints[0].max_share == 0.25),
        ("policy.default.constraints=[]", lambda m: m.policies[0].spec.constraints == []),
        ("policy.default.mode=Off", lambda m: m.policies[0].spec.mode == "Off"),
        ("settings.retention=9d", lambda m: m.settings.spec.retention == 9 * 24 * HOUR),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_any_field_can_be_set(found, tmp_path, text, value):
    again = loaded(found, [text], tmp_path)
    assert not again.problems
    assert value(again)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hold", "has no value; write PATH=VALUE"),
        ("=3", "has no value"),
        ("rack-1.capacity.cpu=3", "write node.NAME.FIELD, policy.NAME.FIELD or settings.FIELD"),
        ("node.rack-2.capacity.cpu=3", "there is no node 'rack-2'; there are rack-1, rack-1.b"),
        ("node=3", "there is no node ''; there are "),
        ("policy.other.mode=Off", "there is no policy 'other'; there is default"),
        ("node.rack-1=3", "names no field; node.rack-1 has capacity, power, workloads"),
        ("node.rack-1.workloads.gol.allocation.max=3", "there is no workload 'gol' on node.rack-1; there are golem"),
        ("node.rack-1.metadata.name=x", "of metadata only labels"),
        ("policy.default.constraints.1.maxShare=1", "is a list of 1 entries, from 0 on; '1' is none of them"),
        ("policy.default.mode=a: b", "is not a value; write it as in YAML"),
        ("policy.default.mode=[", "is not a value"),
    ],
    ids=lambda value: value,
)  # fmt: skip
def test_a_path_that_leads_nowhere_says_what_is_there(found, text, said):
    with pytest.raises(CannotSet, match=said.replace("[", r"\[")):
        edited(found, [text])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node.rack-1.capcity.cpu=3", "did you mean 'capacity'"),
        ("node.rack-1.capacity.cpu=lots", "'lots' is not a quantity"),
        ("node.rack-1.capacity.cpu=-1", "not a possible quantity"),
        ("node.rack-1.workloads.golem.allocation.max=1", "make min at most max"),
        ("policy.default.limits.hold=30", "write it with its unit"),
        ("policy.default.constraints.0.maxShare.x=1", "valid number, not a dict"),
        ("policy.default.mode=Yes", "'Off', 'Suggest', 'Approve' or 'Auto'"),
        ("policy.default.selector.matchLabels.site=mars", "selects no node"),
        ("policy.default.constraints.0.protocol=gollem", "there is no protocol 'gollem'"),
        ("settings.retention=1h", "the estimators need at least 1d"),
    ],
    ids=lambda value: value,
)
def test_a_wrong_value_says_what_would_be_right(found, tmp_path, text, said):
    problems = loaded(found, [text], tmp_path).problems
    assert any(said in problem.sentence for problem in problems)


def test_of_what_no_decision_looks_at_it_says_so(found):
    sets = [
        "node.rack-1.workloads.golem.endpoint=http://x:1",
        "policy.default.reconcile.plan=5m",
        "settings.retention=9d",
    ]
    told = without_effect(found, [*sets, "node.rack-1.capacity.cpu=3", "policy.default.limits.hold=2h"])
    assert [each.partition(":")[0] for each in told] == [each.partition(":")[0] for each in sets]
    assert "--price" in without_effect(found, ["settings.prices.static.GLM=0.3"])[0]


# --- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([], 2, "nothing is changed; write --set"),
        (["--price", "GLM"], 2, "write TOKEN=USD"),
        (["--price", "GLM=-1"], 2, "write TOKEN=USD"),
        (["--price", "GLM=nan"], 2, "write TOKEN=USD"),
        (["--price", "GLM=1", "--price", "GLM=2"], 2, "keep one"),
        (["--force", "golem"], 2, "write NODE/WORKLOAD=AMOUNT"),
        (["--force", "golem=much"], 2, "is not a quantity"),
        (["--force", "golem=-1"], 2, "zero or more"),
        (["--force", "golem=1", "--force", "golem=2"], 2, "keep one"),
        (["--set", "node.rack-9.capacity.cpu=1"], 1, "there are rack-1"),
        (["--set", "policy.default.limits.hold=30"], 1, "--set: policy.default.limits.hold: '30' is not a duration"),
        (["--force", "golem=1", "-o", "xml"], 2, "write table or json"),
        (["--force", "golem=1", "-m", "/nowhere"], 2, "/nowhere does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_before_any_node_is_asked(tmp_path, argv, code, said):
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    where = [] if "-m" in argv else ["-m", str(tmp_path)]
    done = CliRunner().invoke(app, ["whatif", *argv, *where])
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
