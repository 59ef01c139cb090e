"""What programs hold, how many began, and what failed: as plain values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.decide import decide
from controller.estimate.readings import held_allocation
from controller.inflight import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    apart_from,
    awaiting,
    backoffs,
    flights,
    in_programs,
    paced,
    returned,
    unreadable,
)
from controller.model import Reason
from controller.plan.standing import next_change
from controller.programs import Cause, Phase, ProgramState, Stage
from controller.sequence import failed
from tests.controller import worlds
from tests.controller.report.programs import AKASH, GOLEM, applied, program, step
from tests.controller.worlds import HOUR, NOW

RUNNING, BLOCKED = ProgramState.RUNNING, ProgramState.BLOCKED


def flying(state=RUNNING, akash=Phase.ISSUED, golem=Phase.WAITING, **more):
    return program(state=state, steps=(step(AKASH, 6.0, 4.0, akash), step(GOLEM, 6.0, 8.0, golem)), **more)


def held(program_, workload):
    state = in_programs(worlds.competing(), [program_])
    return next(held_allocation(w) for w in state.workloads if w.key == workload)


@pytest.mark.parametrize(
    ("akash", "golem", "holds"),
    [
        (Phase.WAITING, Phase.WAITING, (6.0, 6.0)),
        (Phase.ISSUED, Phase.WAITING, (6.0, 6.0)),
        (Phase.DONE, Phase.ISSUED, (6.0, 8.0)),
        (Phase.DONE, Phase.RETURNING, (6.0, 8.0)),
        (Phase.RETURNING, Phase.RETURNED, (6.0, 6.0)),
    ],
)
@pytest.mark.parametrize("state", [RUNNING, BLOCKED])
def test_what_is_on_its_way_is_held_at_the_larger_of_what_it_may_have(state, akash, golem, holds):
    """Here the nodes still report 6 of each, so that what is reported is the larger for a shrink that is done."""
    one = flying(state, akash, golem)
    assert (held(one, AKASH), held(one, GOLEM)) == holds


@pytest.mark.parametrize("state", sorted(set(ProgramState) - {RUNNING, BLOCKED}))
def test_what_waits_or_is_over_holds_nothing(state):
    assert flights([flying(state)]) == {}


def test_nobody_grows_into_the_room_that_something_in_flight_may_take():
    third = worlds.workload("rack-1/myst", 0.0, worlds.always(6.0, full=True), used=0.0)
    pair = worlds.competing(worlds.policy())
    world = replace(pair, workloads=(*pair.workloads, third))
    one = flying(BLOCKED, Phase.DONE, Phase.ISSUED, policy="other")
    told = tuple(
        replace(w, reading=replace(w.reading, allocated={"cpu": 4.0}), last_good=replace(w.last_good, allocated={"cpu": 4.0}))
        if w.key == AKASH else w
        for w in world.workloads
    )  # fmt: skip
    decision = decide(in_programs(replace(world, workloads=told), [one]))
    assert not any(verdict.allowed for verdict in decision.verdicts), "12 of 12 cores may be held: 4, and 8"


def test_the_programs_of_every_policy_pin_and_say_which():
    state = in_programs(worlds.competing(), [flying(BLOCKED, policy="other")])
    assert state.workloads[0].program.startswith("is blocked half way of program p-")
    assert decide(state).reason is Reason.PROGRAM_RUNNING


def test_what_is_unknown_is_not_counted_as_nothing():
    pair = worlds.competing()
    dark = tuple(replace(w, reading=None, last_good=None) for w in pair.workloads)
    one = applied(stage=Stage(1, (0.5, 1.0), {AKASH: 6.0, GOLEM: 6.0}, {AKASH: 2.0, GOLEM: 10.0}))
    one = replace(one, steps=one.steps[:1])
    state = in_programs(replace(pair, workloads=dark), [one])
    assert {w.key: held_allocation(w) for w in state.workloads} == {AKASH: 4.0, GOLEM: 12.0}


def test_a_waiting_stage_pins_its_workloads_for_everybody_but_itself():
    waits = program(cause=Cause.STAGE, stage=Stage(2, (0.5, 1.0), {GOLEM: 6.0}, {GOLEM: 10.0}), of="p-0a0b0c0d")
    state = in_programs(worlds.competing(), [waits])
    assert all(waits.id in w.program for w in state.workloads)
    assert all(w.in_flight is None for w in apart_from(state, waits).workloads)
    other = in_programs(worlds.competing(), [waits, flying(id="p-another")])
    assert all(w.in_flight is not None for w in apart_from(other, waits).workloads), "what others pin stays"


def test_a_program_is_awaited_until_something_follows_it():
    first = applied(stage=Stage(1, (0.5, 1.0), {}, {}))
    assert set(awaiting([first])) == {first.id}
    assert awaiting([first, program(of=first.id)]) == {}
    assert awaiting([replace(first, stage=Stage(2, (0.5, 1.0), {}, {}))]) == {}
    assert awaiting([replace(first, state=ProgramState.ROLLED_BACK)]) == {}


# --- how many began


def test_only_what_began_within_the_hour_for_this_policy_counts():
    began = [
        applied(f"p-{i}", began=NOW - ago, cause=cause, policy=policy)
        for i, (ago, cause, policy) in enumerate(
            [
                (10.0, Cause.PLAN, "default"), (3599.0, Cause.STAGE, "default"), (3600.0, Cause.PLAN, "default"),
                (5.0, Cause.ROLLBACK, "default"), (5.0, Cause.RELEASE, "default"), (5.0, Cause.PLAN, "other"),
            ]
        )
    ]  # fmt: skip
    state = paced(replace(worlds.competing(), programs_last_hour=1, last_program_at=NOW - 60), [*began, program()])
    assert (state.programs_last_hour, state.last_program_at) == (3, NOW - 10)
    assert paced(worlds.competing(), [program()]).last_program_at is None


def test_what_was_taken_back_counts_as_well():
    back = replace(applied(began=NOW - 10), state=ProgramState.ROLLED_BACK)
    assert paced(worlds.competing(), [back]).programs_last_hour == 1


# --- what failed


def fell(ago, why="no room left", key=AKASH, **more):
    steps = (failed(step(key, 6.0, 4.0, Phase.RETURNED), why),)
    values = {"state": ProgramState.ROLLED_BACK, "steps": steps, "began": NOW - ago, "changed": NOW - ago}
    return replace(program(f"p-{ago:.0f}", ago=ago), **(values | more))


@pytest.mark.parametrize(("times", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (9, 24)])
def test_what_failed_is_left_alone_twice_as_long_each_time_and_never_more_than_a_day(times, hours):
    known = [fell(1000.0 * i + 1) for i in range(times)]
    at = max(each.changed for each in known)
    assert set(backoffs(known, at + hours * HOUR - 1, {})) == {AKASH}
    assert backoffs(known, at + hours * HOUR, {}) == {}
    assert min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (times - 1)) == hours * HOUR


def test_the_sentence_says_when_why_and_until_when():
    [said] = backoffs([fell(60.0)], NOW, {}).values()
    assert said == (
        "moving rack-1/akash came to nothing at 2027-01-15 07:59 UTC (no room left); it is tried again after 2027-01-15 08:59 UTC"
    )


def test_an_applied_one_begins_anew():
    known = [fell(9000.0), fell(8000.0), applied(ago=7000.0), fell(10.0)]
    assert set(backoffs(known, NOW + HOUR - 11, {})) == {AKASH}
    assert backoffs(known, NOW + HOUR, {}) == {}


def test_of_a_lane_only_what_failed_is_left_alone():
    one = fell(10.0)
    one = replace(one, steps=(*one.steps, step(GOLEM, 6.0, 8.0, Phase.RETURNED)))
    assert set(backoffs([one], NOW, {})) == {AKASH}


def test_whom_its_owner_pardons_is_not_left_alone_and_later_failures_count_again():
    assert backoffs([fell(60.0)], NOW, {AKASH: NOW - 30}) == {}
    assert set(backoffs([fell(60.0), fell(10.0)], NOW, {AKASH: NOW - 30})) == {AKASH}


def test_a_way_back_that_failed_and_a_release_are_no_failures_of_the_move():
    assert backoffs([fell(10.0, cause=Cause.ROLLBACK), fell(11.0, cause=Cause.RELEASE)], NOW, {}) == {}


def test_what_was_taken_back_counts_as_if_it_had_failed():
    back = applied("p-back", ago=100.0, cause=Cause.ROLLBACK, of="p-0a0b0c0d", sentence="golem is noisy")
    found = backoffs([applied(ago=HOUR), back], NOW, {})
    assert set(found) == {AKASH, GOLEM}
    assert "golem is noisy" in found[GOLEM]


# --- other looks


def test_once_it_went_back_it_holds_what_it_had():
    one = flying(RUNNING, Phase.DONE, Phase.ISSUED)
    state = returned(in_programs(worlds.competing(), [one]), [one])
    assert {w.key: held_allocation(w) for w in state.workloads} == {AKASH: 6.0, GOLEM: 6.0}
    assert all(w.in_flight is None for w in state.workloads)


def test_where_a_program_cannot_be_read_nothing_moves_and_the_sentence_is_its_own():
    decision = decide(unreadable(worlds.competing(worlds.policy()), "program p-odd was written by another version"))
    assert decision.reason is Reason.INFEASIBLE
    assert "p-odd was written by another version" in decision.sentence


# --- the next possible change


def acting(**more):
    return worlds.competing(worlds.policy(mode="Auto", **more))


WINDOWS = [{"cron": "0 7 * * *", "duration": "3h"}, {"cron": "0 10 * * *", "duration": "1h"}]


@pytest.mark.parametrize(
    ("state", "begun", "at"),
    [
        (acting(), (), NOW),
        (worlds.competing(worlds.policy(mode="Suggest")), (), None),
        (replace(acting(), paused=True), (), None),
        (acting(freezeWindows=WINDOWS), (), NOW + 3 * HOUR),
        (acting(freezeWindows=WINDOWS[::-1]), (), NOW + 3 * HOUR),
        (acting(freezeWindows=[{"cron": "* * * * *", "duration": "5m"}]), (), None),
        (acting(), [NOW - 3000, NOW - 200, NOW - 100, NOW - 50], NOW + 600),
        (acting(), [NOW - 3000, NOW - 2000, NOW - 200, NOW - 100, NOW - 50], NOW + 1600),
        (acting(), [NOW - 3700, NOW - 200, NOW - 100, NOW - 50], NOW),
        (acting(maxProgramsPerHour=0), (), None),
        (replace(acting(objective={"strategy": "Interval"}), last_program_at=NOW - HOUR), (), NOW + 23 * HOUR),
    ],
    ids=[
        "now", "Suggest", "paused", "two windows that touch", "in any order", "a window that never closes", "the rate",
        "the rate was changed", "an hour has passed", "no programs at all", "Interval",
    ],
)  # fmt: skip
def test_the_next_change_is_when_all_that_passes_has_passed(state, begun, at):
    assert next_change(state, begun) == at


def test_a_held_node_is_free_when_the_first_of_its_workloads_is():
    world = acting()
    moved = tuple(replace(w, last_moved=NOW - ago) for w, ago in zip(world.workloads, (600.0, 60.0), strict=True))
    assert next_change(replace(world, workloads=moved)) == NOW + 3000
    hands = tuple(replace(w, manual_change_at=NOW) for w in world.workloads)
    assert next_change(replace(world, workloads=hands)) is None
