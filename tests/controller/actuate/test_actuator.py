"""The Actuator, one story at a time: in what order it acts, what it waits for, and what it does not begin."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.actuate.actuator import LONGEST_RETRY, SHORTEST_RETRY
from controller.programs import Order, Phase, ProgramState
from tests.controller.actuate.stories import (
    GOLEM,
    HOUR,
    STORJ,
    again,
    lines,
    phases,
    played,
    real,
    run,
    run_for,
    swap,
    tokens,
    world,
)
from tests.controller.actuate.world import T0, Window, World, allocation, program_of, virtually, workload

# --- the way there


def test_shrinks_before_grows_each_written_before_it_is_done_and_read_back_before_the_next():
    it = world()
    ended = played(it)
    assert ended.state is ProgramState.APPLIED
    assert lines(it) == [
        "running", "issued a/storj", "done a/storj", "issued a/golem", "done a/golem", "applied",
    ]  # fmt: skip
    assert tokens(it) == ["a/storj/forward", "a/golem/forward"]
    assert real(it) == {"a/storj": 4.0, "a/golem": 4.0}
    assert ended.began == T0
    assert ended.retry_at is None


def test_a_driver_is_told_absolute_amounts_with_companions_and_why():
    of = allocation(memory=2.0)
    it = World(workload("a/golem", 2.0, of), capacity={"a": {"cpu": 8.0, "memory": 64.0}})
    played(it, program_of(it, golem=4.0))
    assert it.effects == [
        Order(
            "a/golem",
            {"cpu": 4.0, "memory": 8.0},
            "p-1/a/golem/forward",
            "more is earned so",
            {"cpu": 2.0, "memory": 4.0},
        )
    ]


def test_what_was_there_before_is_kept_with_the_intent():
    it = world()
    played(it)
    kept = it.notebook.originals
    assert {key: (each.amounts, each.stood) for key, each in kept.items()} == {
        "a/storj": ({"cpu": 6.0}, {"cpu": 6.0}),
        "a/golem": ({"cpu": 2.0}, {"cpu": 2.0}),
    }


def test_a_grow_waits_while_golem_drains_and_holds_what_it_had():
    it = world(storj={"drains": 500.0, "traits": GOLEM})

    async def story():
        program = swap(it)
        halfway = await run_for(it, program, 400.0)
        assert phases(halfway) == {"a/storj": "issued", "a/golem": "waiting"}
        assert halfway.step("a/storj").held == 6.0
        assert "4 configured" in halfway.step("a/storj").note
        return await run(it, halfway)

    ended = virtually(story())
    assert ended.state is ProgramState.APPLIED
    assert it.workloads["a/golem"].past[-1][0] >= 500.0
    assert tokens(it) == ["a/storj/forward", "a/storj/forward", "a/golem/forward"]  # idempotent after the interruption
    assert it.wrongs == []


def test_work_that_never_ends_is_waited_for_as_long_as_the_policy_says():
    it = world(storj={"drains": 9 * HOUR, "traits": GOLEM})
    ended = played(it, drain=2 * HOUR)
    assert ended.state is ProgramState.ROLLED_BACK
    assert "6 cpu (4 configured)" in ended.said
    assert 2 * HOUR <= ended.changed - T0 <= 2 * HOUR + 120


def test_without_the_word_of_the_node_that_it_drains_its_time_is_the_protocols():
    it = world(storj={"drains": 500.0})
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.changed - T0 < 120


def test_one_that_could_drain_but_does_not_say_so_has_only_the_protocols_time():
    it = world(storj={"traits": GOLEM})
    it.faults["a/storj", "apply"] = ["lie"]
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.changed - T0 < 120


def test_storj_is_waited_for_while_it_restarts():
    it = world(Window("a/storj", "down", 0.2, 600.0), storj={"traits": STORJ})
    it.faults["a/storj", "apply"] = ["late 590"]
    ended = played(it)
    assert ended.state is ProgramState.APPLIED
    assert tokens(it) == ["a/storj/forward", "a/golem/forward"]


def test_a_node_that_comes_and_goes_is_not_gone():
    windows = [Window("a/storj", "down", start, 1000.0) for start in (0.5, 1600.0, 2700.0)]
    it = world(*windows, storj={"traits": replace(STORJ, verify_timeout=1800.0)})
    it.faults["a/storj", "apply"] = ["late 3750"]
    ended = played(it)
    assert ended.state is ProgramState.APPLIED
    assert tokens(it) == ["a/storj/forward", "a/golem/forward"]


def test_a_node_that_is_gone_blocks_the_program_which_holds_its_capacity_and_is_tried_again_ever_less_often():
    it = world(Window("a/storj", "down", 0.2))
    it.faults["a/storj", "apply"] = ["slow 1"]

    async def story():
        waits, ended = [], await run(it, swap(it))
        for _ in range(12):
            assert ended.state is ProgramState.BLOCKED
            assert "a/storj cannot be read (unreachable)" in ended.said
            assert (ended.step("a/storj").held, ended.step("a/golem").phase) == (6.0, Phase.WAITING)
            waits.append(ended.retry_at - ended.changed)
            ended = await again(it, ended)
        assert waits[:5] == [SHORTEST_RETRY, 60.0, 120.0, 240.0, 480.0]
        assert set(waits[5:]) == {LONGEST_RETRY}
        it.windows.clear()
        return await again(it, ended)

    assert virtually(story()).state is ProgramState.APPLIED
    assert it.wrongs == []


def test_what_is_blocked_for_years_is_still_tried_again():
    it = world(Window("a/storj", "down", 0.2))
    it.faults["a/storj", "apply"] = ["slow 1"]
    ended = played(it, replace(swap(it), tries=100_000))
    assert ended.retry_at - ended.changed == LONGEST_RETRY


def test_a_node_that_was_gone_before_its_step_began_is_waited_for_and_then_nothing_of_it_is_done():
    assert played(world(Window("a/storj", "down", 0.0, 50.0))).state is ProgramState.APPLIED
    it = world(Window("a", "down", 0.0))
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert it.effects == []
    assert ended.said == "a/storj cannot be read (unreachable)"


# --- what is not begun


def test_before_anything_is_changed_every_driver_of_the_node_is_asked_whether_it_could():
    it = world()
    it.drivers["a/golem"].problems = ("the right to patch it is missing", "and more")
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.said == "a/golem: the right to patch it is missing"
    assert it.effects == []
    assert lines(it) == ["running", "not begun a/golem", "rolled_back"]


@pytest.mark.parametrize(
    ("key", "amount", "effects", "said"),
    [
        (
            "a/storj",
            5.0,
            [],
            "a/storj reports 5 cpu, not the a/storj 6 → 4 cpu was planned from: somebody else changed it",
        ),
        ("a/golem", 1.0, ["a/storj/forward", "a/storj/backward"], "a/golem reports 1 cpu"),
        ("a/golem", 4.0, ["a/storj/forward", "a/storj/backward"], "a/golem reports 4 cpu"),
    ],
    ids=["of what shrinks", "of what grows", "to just what orcha wanted"],
)
def test_what_somebody_else_changed_is_left_alone(key, amount, effects, said):
    it = world(capacity=12.0)
    it.faults["a/storj", "apply"] = ["slow 1"]

    async def story():
        program = swap(it)
        task = asyncio.create_task(run(it, program))
        if key == "a/golem":
            await asyncio.sleep(0.1)  # the shrink is under way
        assert it.by_hand(key, amount)
        return await task

    ended = virtually(story())
    assert ended.state is ProgramState.ROLLED_BACK
    assert said in ended.said
    assert tokens(it) == effects
    assert it.wrongs == []


def test_a_neighbour_that_took_the_room_by_hand_keeps_it():
    neighbour = workload("a/akash", 1.0)
    it = World(workload("a/storj", 6.0), workload("a/golem", 1.0), neighbour, capacity={"a": {"cpu": 8.0}})
    it.faults["a/golem", "read"] = ["not_now"]

    async def story():
        task = asyncio.create_task(run(it, program_of(it, storj=4.0, golem=3.0)))
        await asyncio.sleep(0.1)  # what was freed is free
        assert it.by_hand("a/akash", 3.0)
        ended = await task
        assert ended.state is ProgramState.BLOCKED
        assert ended.said == "a/storj has no room to grow: 10 of 8 cpu would be held on a"
        assert ended.step("a/storj").phase is Phase.DONE
        assert it.by_hand("a/akash", 1.0)
        return await again(it, ended)

    ended = virtually(story())
    assert ended.state is ProgramState.ROLLED_BACK
    assert real(it) == {"a/storj": 6.0, "a/golem": 1.0, "a/akash": 1.0}
    assert it.wrongs == []


@pytest.mark.parametrize("silent", [False, True], ids=["says what it has", "cannot say"])
def test_nothing_grows_into_what_a_neighbour_or_another_program_may_hold(silent):
    it = world(capacity=9.0, golem={"silent": silent})
    program = swap(it)
    it.others["a/storj"] = 6.0
    ended = played(it, program)
    assert ended.state is ProgramState.ROLLED_BACK
    assert "a/golem has no room to grow: 10 of 9 cpu" in ended.said


def test_nothing_grows_beyond_what_another_program_may_bring_itself_to():
    it = world(capacity=12.0)
    it.others["a/golem"] = 7.0
    ended = played(it, program_of(it, golem=4.0))
    assert ended.said == "a/golem has no room to grow: 13 of 12 cpu would be held on a"


def test_one_who_needs_none_of_it_need_not_be_read():
    disk = allocation(12.0, resource="storage")
    gone = workload("a/storj", 6.0, disk, silent=True, declared=False)
    it = World(gone, workload("a/golem", 2.0), capacity={"a": {"cpu": 4.0, "storage": 12.0}})
    assert played(it, program_of(it, golem=4.0)).state is ProgramState.APPLIED
    assert "a/storj" not in it.looks


def test_a_neighbour_that_cannot_be_read_holds_what_it_had_and_one_of_which_nothing_is_known_forbids_to_grow():
    it = world(Window("a/storj", "mute", 0.0))
    ended = played(it, program_of(it, golem=1.0))
    assert ended.state is ProgramState.APPLIED
    it = world(Window("a/storj", "down", 0.0), capacity=10.0)
    assert played(it, program_of(it, golem=4.0)).state is ProgramState.APPLIED
    it = world(capacity=10.0)
    it.workloads["a/storj"].real = {"cpu": float("nan")}
    it.workloads["a/storj"].past = [(0.0, {})]
    program = program_of(world(capacity=10.0), golem=4.0)
    ended = virtually(run(it, program))
    assert ended.said == "a/golem may not grow: how much cpu a/storj holds is not known"
    assert it.effects == []


def test_a_workload_that_cannot_say_what_it_has_is_moved_where_its_driver_can_tell():
    it = world(storj={"silent": True}, golem={"silent": True})
    it.faults["a/golem", "apply"] = ["late 30"]
    assert played(it).state is ProgramState.APPLIED
    it = world(Window("a/golem", "mute", 0.0))
    ended = played(it)
    assert ended.said == "a/golem does not say how much cpu it has"
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}


def test_workloads_of_which_nobody_ever_said_what_they_have_go_there_and_back_by_what_their_program_knows():
    it = world(storj={"silent": True, "declared": False}, golem={"silent": True, "declared": False})
    it.faults["a/golem", "apply"] = ["refused"]
    assert played(it).state is ProgramState.ROLLED_BACK
    assert tokens(it)[-1] == "a/storj/backward"
