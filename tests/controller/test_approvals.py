"""What becomes of a decision and of what waits, as plain values. (Over a journal: test_desk.py.)"""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.approvals import (
    PASSING,
    annotated,
    asked_again,
    asks,
    expired,
    for_approval,
    outgrown,
    proposed,
    stands_refused,
    supersedes,
)
from controller.decide import decide, reconsider
from controller.inflight import allocations_of
from controller.model import Learned, Reason
from controller.programs import Cause, ProgramState, Stage
from exporters.traits import CurveKind, Traits
from tests.controller import worlds
from tests.controller.report.programs import AKASH, GOLEM, program, step
from tests.controller.worlds import HOUR, NOW

PENDING, APPROVED, REJECTED = ProgramState.PENDING, ProgramState.APPROVED, ProgramState.REJECTED
AUTO = worlds.competing(worlds.policy(mode="Auto"))
APPROVE = worlds.competing(worlds.policy(mode="Approve"))


def test_the_program_of_a_decision_has_its_moves_its_promise_and_its_sentence():
    decision = decide(AUTO)
    made = proposed(decision)
    assert {s.key: (s.before["cpu"], s.after["cpu"]) for s in made.steps} == {AKASH: (6.0, 4.0), GOLEM: (6.0, 8.0)}
    assert made.promise.gain == decision.plan.gain
    assert made.sentence.startswith(
        "rack-1/golem 6 → 8 cpu, rack-1/akash 6 → 4 cpu: +0.0379 USD/h (0 to 0.06), 98% sure"
    )
    assert (made.at, made.cause, made.stage) == (NOW, Cause.PLAN, None)
    assert made.trial.id == made.id
    assert proposed(decision) == made, "the same decision is the same program"


@pytest.mark.parametrize(
    "spec", [worlds.policy(mode="Suggest"), worlds.policy(mode="Auto", minConfidence=1.0)], ids=["Suggest", "unsure"]
)
def test_where_nothing_is_allowed_there_is_no_program(spec):
    assert proposed(decide(worlds.competing(spec))) is None


def test_a_policy_that_only_suggests_for_now_makes_none():
    assert proposed(decide(replace(AUTO, learned=Learned(fallback="it lost 2 USD")))) is None


@pytest.mark.parametrize(
    ("state", "own", "result", "by"),
    [
        (AUTO, None, APPROVED, "orcha (policy default is in mode Auto)"),
        (APPROVE, None, PENDING, "orcha"),
        (AUTO, "Approve", PENDING, "orcha"),
        (APPROVE, "Auto", PENDING, "orcha"),
    ],
    ids=["Auto", "Approve", "a workload asks", "a workload cannot be laxer"],
)
def test_who_is_asked(state, own, result, by):
    state = replace(state, workloads=(state.workloads[0], replace(state.workloads[1], mode=own)))
    made = for_approval(program(), state)
    assert (made.state, made.by, made.expires) == (result, by, NOW + 24 * HOUR)
    assert asks(made, state) is (result is PENDING)


def test_a_reason_to_ask_asks_in_any_mode():
    made = for_approval(program(), AUTO, "it is not clear")
    assert (made.state, made.said) == (PENDING, "it is not clear")


@pytest.mark.parametrize(
    ("by", "state", "found"),
    [
        ("orcha (policy default is in mode Auto)", APPROVE, True),
        ("orcha (policy default is in mode Auto)", AUTO, False),
        ("anna (operate token)", APPROVE, False),
        ("orcha (operate token)", APPROVE, True),
    ],
    ids=["stricter now", "as it was", "a person", "a person of that name is asked once more"],
)
def test_orchas_own_approval_does_not_outlive_its_mode(by, state, found):
    assert outgrown(program(state=APPROVED, by=by), state) is found
    assert not outgrown(program(state=PENDING, by=by), state)


# --- the same, or another


@pytest.mark.parametrize(
    ("to", "other"), [(8.0, False), (9.0, False), (7.0, False), (9.01, True), (10.0, True), (5.0, True)]
)
def test_a_target_has_to_move_by_more_than_a_step(to, other):
    old, new = program(), program(steps=(step(AKASH, 6.0, 4.0), step(GOLEM, 6.0, to)))
    assert supersedes(new, old, allocations_of(AUTO)) is other


def test_other_workloads_are_another_plan():
    old, new = program(), program(steps=(step(GOLEM, 6.0, 8.0),))
    assert supersedes(new, old, allocations_of(AUTO))
    assert supersedes(old, new, allocations_of(AUTO))


def test_it_is_the_end_that_counts_and_not_the_stage():
    stage = Stage(1, (0.5, 1.0), {GOLEM: 6.0, AKASH: 6.0}, {GOLEM: 8.0, AKASH: 4.0})
    part = program(steps=(step(AKASH, 6.0, 5.0), step(GOLEM, 6.0, 7.0)), stage=stage)
    assert not supersedes(part, program(), allocations_of(AUTO))


@pytest.mark.parametrize(
    ("old", "stands"),
    [
        (program(state=REJECTED, expires=NOW + 1), True),
        (program(state=REJECTED, expires=NOW), False),
        (program(state=REJECTED, expires=NOW + 1, began=NOW - 5), False),
        (program(state=REJECTED, expires=NOW + 1, cause=Cause.STAGE), False),
        (program(state=ProgramState.EXPIRED, expires=NOW + 1), False),
        (program(state=REJECTED, expires=NOW + 1, steps=(step(GOLEM, 6.0, 8.0),)), False),
    ],
    ids=["no", "long ago", "given up half way", "a stage", "nobody said anything", "something else"],
)
def test_a_no_stands_as_long_as_a_yes_would_have(old, stands):
    assert stands_refused(program("p-new"), [old], AUTO) is stands


# --- words and times


@pytest.mark.parametrize(
    ("state", "words"), [(PENDING, "nobody approved it until"), (APPROVED, "it could not begin until")]
)
def test_what_waits_expires_at_its_time(state, words):
    one = program(state=state, expires=NOW)
    assert expired(one, NOW - 0.001) is None
    assert expired(one, NOW).state is ProgramState.EXPIRED
    assert expired(one, NOW).said == f"{words} 2027-01-15 08:00 UTC"
    assert expired(replace(one, expires=None), NOW) is None


@pytest.mark.parametrize("state", sorted(set(ProgramState) - {PENDING, APPROVED}))
def test_nothing_else_does(state):
    assert expired(program(state=state, expires=NOW), NOW + 1) is None


@pytest.mark.parametrize(
    ("annotations", "state", "found"),
    [
        ({"orcha.dev/approve": "p-1"}, PENDING, APPROVED),
        ({"orcha.dev/approve": "p-0,p-1, p-2"}, PENDING, APPROVED),
        ({"orcha.dev/approve": "p-0\np-1"}, PENDING, APPROVED),
        ({"orcha.dev/reject": "p-1"}, PENDING, REJECTED),
        ({"orcha.dev/approve": "p-1", "orcha.dev/reject": "p-1"}, PENDING, REJECTED),
        ({"orcha.dev/approve": "p-11 p"}, PENDING, None),
        ({"orcha.dev/approve": "*"}, PENDING, None),
        ({"orcha.dev/approve": "p-1"}, APPROVED, None),
        ({"orcha.dev/reject": "p-1"}, APPROVED, REJECTED),
        ({}, PENDING, None),
    ],
)
def test_annotations_name_whole_ids(annotations, state, found):
    said = annotated(program("p-1", state), annotations, "default")
    assert (said[0] if said else None) is found


# --- asked again


def asked(state, **more):
    return asked_again(program(state=APPROVED, **more), state)


def test_what_is_still_good_may_begin():
    assert asked(AUTO) is None


def with_golem(**changes):
    return replace(AUTO, workloads=(replace(AUTO.workloads[0], **changes), AUTO.workloads[1]))


@pytest.mark.parametrize(
    ("state", "void", "reason"),
    [
        (replace(AUTO, paused=True), False, "Paused"),
        (replace(AUTO, blocked="Prometheus does not answer"), False, "Blocked"),
        (replace(AUTO, programs_last_hour=4), False, "RateLimit"),
        (with_golem(last_moved=NOW - 60), False, "Hold"),
        (with_golem(stale_after=1.0), False, "Stale: rack-1/golem was last read"),
        (with_golem(in_flight=6.0, program="is being changed by program p-2"), False, "ProgramRunning"),
        (with_golem(manual_change_at=NOW - 60), True, "ManualChange"),
        (with_golem(infeasible="it failed"), True, "Infeasible"),
        (with_golem(driver="none"), True, "ModeSuggest"),
        (with_golem(reading=worlds.reading(GOLEM, 7.0), last_good=worlds.reading(GOLEM, 7.0)), True, "Stale: the plan was made when"),
        (replace(AUTO, learned=Learned(fallback="it lost 2 USD")), True, "ModeSuggest"),
        (replace(AUTO, workloads=AUTO.workloads[1:]), True, "Infeasible"),
    ],
    ids=[
        "paused", "blocked", "rate", "hold", "an old reading", "in flight", "by hand", "failed", "no actuator", "another allocation",
        "fallback", "gone",
    ],
)  # fmt: skip
def test_what_passes_waits_and_what_lasts_is_void(state, void, reason):
    found = asked(state)
    assert found is not None
    assert (found[0], found[1].startswith(reason)) == (void, True), found


def test_one_that_lasts_outweighs_one_that_passes():
    golem, akash = AUTO.workloads
    state = replace(AUTO, workloads=(replace(golem, last_moved=NOW - 60), replace(akash, manual_change_at=NOW)))
    assert asked(state)[0] is True
    assert asked(state)[1].startswith("ManualChange: rack-1/akash")


def test_every_reason_is_known_to_pass_or_to_last():
    assert set(Reason) >= PASSING
    assert not PASSING & {Reason.MANUAL_CHANGE, Reason.MODE_OFF, Reason.MODE_SUGGEST, Reason.CAPACITY, Reason.LOW_GAIN}


def test_a_rise_has_lasted_already():
    patient = worlds.competing(worlds.policy(mode="Auto", objective={"riseAnalyses": 3}))
    assert asked(replace(patient, rises=0)) is None


def test_the_next_stage_only_has_to_bring_something_and_interval_does_not_count_again():
    spec = worlds.policy(mode="Auto", objective={"strategy": "Interval"}, minImprovement={"usdPerHour": 5.0})
    state = replace(worlds.competing(spec), last_program_at=NOW - 2 * HOUR)
    stage = Stage(2, (0.5, 1.0), {GOLEM: 4.0, AKASH: 8.0}, {GOLEM: 8.0, AKASH: 4.0})
    assert asked(state, cause=Cause.STAGE, stage=stage) is None
    assert asked(state)[1].startswith("RateLimit")
    empty = tuple(replace(w, blocks=worlds.always(0.0, levels=[0, 6])) for w in state.workloads)
    assert asked(replace(state, workloads=empty), cause=Cause.STAGE, stage=stage)[0] is True, "but something"


# --- reconsider


def test_the_guards_word_is_the_same_as_when_it_was_decided():
    decision = decide(AUTO)
    again = reconsider(AUTO, decision.plan.moves)
    assert [(v.allowed, v.reason, v.sentence) for v in again] == [
        (v.allowed, v.reason, v.sentence) for v in decision.verdicts
    ]


def test_what_moving_costs_is_reckoned_anew():
    dear = Traits(curve=CurveKind.DEMAND, resource="cpu", fees_usd=20.0)
    state = replace(AUTO, workloads=tuple(replace(w, traits=dear) for w in AUTO.workloads))
    moves = decide(AUTO).plan.moves
    assert {v.reason for v in reconsider(state, moves)} == {Reason.NO_PAYBACK}
    assert all(v.allowed for v in reconsider(state, moves, free=True))


def test_of_many_workloads_only_the_nodes_concerned_are_looked_at_and_the_word_is_the_same():
    workloads = [
        replace(w, key=f"{node}/{w.key.split('/')[1]}", node=node)
        for node in (f"rack-{i:02}" for i in range(40))
        for w in AUTO.workloads
    ]
    nodes = [worlds.node(f"rack-{i:02}", cpu=12) for i in range(40)]
    state = worlds.state(workloads, nodes, spec=worlds.policy(mode="Auto"))
    decision = decide(state)
    moves = [move for move in decision.plan.moves if move.node == "rack-07"]
    assert moves
    said = {v.move.key: (v.allowed, v.reason) for v in decision.verdicts}
    assert {v.move.key: (v.allowed, v.reason) for v in reconsider(state, moves)} == {m.key: said[m.key] for m in moves}
