"""The Actuator when something goes wrong: what it tries again, what it takes back, and what it leaves to a person."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.actuate.actuator import begins_back
from controller.programs import Phase, ProgramState
from tests.controller.actuate.notebook import Killed
from tests.controller.actuate.stories import (
    GOLEM,
    HOUR,
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

# --- what goes wrong


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("refused", "no, never"),
        ("done_refused", "no, never"),
        ("empty", "the driver hand did not say why"),
        ("odd", "the driver hand failed (KeyError)"),
        ("done_odd", "the driver hand failed (ZeroDivisionError)"),
        ("lie", "a/golem was given 4 cpu, and 1m0s later a/golem reports 2 cpu"),
        ("half_way", "a/golem was given 4 cpu, and 1m0s later a/golem reports 3 cpu"),
        ("half_companions", "a/golem was given 4 cpu, and 1m0s later a/golem reports 4 memory, not 8"),
        ("late 100", "a/golem reports 2 cpu (4 configured)"),
    ],
)
def test_what_fails_takes_its_node_back_in_reverse_order_read_back_like_the_way_there(fault, said):
    it = world(golem={"of": allocation(memory=2.0)})
    it.faults["a/golem", "apply"] = [fault]
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert said.replace("1m0s", "") in ended.said.replace("1m0s", "").replace("1m", "").replace("60s", "")
    assert tokens(it) == ["a/storj/forward", "a/golem/forward", "a/golem/backward", "a/storj/backward"]
    assert lines(it)[-6:] == [
        "failed a/golem", "returning a/golem", "returned a/golem", "returning a/storj", "returned a/storj", "rolled_back",
    ]  # fmt: skip
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}
    assert phases(ended) == {"a/storj": "returned", "a/golem": "returned"}


@pytest.mark.parametrize("fault", ["not_now", "cancelled", "hang", "done_hang", "slow 100"])
def test_what_may_work_later_is_tried_again_under_the_same_token(fault):
    it = world()
    it.faults["a/golem", "apply"] = [fault]
    ended = played(it)
    assert ended.state is ProgramState.APPLIED
    assert tokens(it)[0] == "a/storj/forward"
    assert set(tokens(it)[1:]) == {"a/golem/forward"}


def test_what_never_works_now_is_given_up_when_the_protocols_time_is_over():
    for fault, seconds in (("not_now", 65.0), ("hang", 1300.0)):
        it = world()
        it.faults["a/golem", "apply"] = [fault] * 1000
        ended = played(it)
        assert ended.state is ProgramState.ROLLED_BACK
        assert ended.changed - T0 < seconds


def test_a_driver_that_neither_acts_nor_sees_is_given_up_too():
    it = world()
    it.faults["a/golem", "apply"] = ["not_now"] * 1000
    it.faults["a/golem", "verify"] = ["refused"] * 1000
    it.faults["a/golem", "undo"] = ["fine"]

    async def story():
        async with asyncio.timeout(HOUR):
            return await run(it, swap(it))

    assert virtually(story()).state is ProgramState.BLOCKED  # its undo cannot be verified either


def test_a_driver_that_sees_that_it_never_will_be_ends_the_waiting():
    it = world()
    it.faults |= {("a/golem", "apply"): ["late 1000"], ("a/golem", "verify"): ["fine", "refused"]}
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.changed - T0 < 5.0


def test_the_time_that_a_driver_takes_is_not_the_nodes():
    it = world()
    it.faults["a/golem", "apply"] = ["not_now"] * 8 + ["late 50"]
    ended = played(it)
    assert ended.state is ProgramState.APPLIED


def test_a_driver_that_cannot_read_now_is_asked_again_before_its_step_is_given_up():
    it = world()
    it.faults["a/golem", "read"] = ["not_now", "hang"]
    assert played(it).state is ProgramState.APPLIED
    it = world()
    it.faults["a/golem", "read"] = ["not_now"] * 1000
    ended = played(it)
    assert ended.said == "not now"
    assert ended.changed - T0 < 65.0
    assert tokens(it) == ["a/storj/forward", "a/storj/backward"]


@pytest.mark.parametrize(
    "odd",
    [object(), {"key": object()}, {"key": float("nan")}, "\udc80"],
    ids=["no JSON", "no JSON within", "NaN", "half a letter"],
)
def test_what_a_driver_reads_and_no_journal_can_keep_is_its_failure(odd):
    it = world()
    it.drivers["a/storj"].read_of = odd
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert "the driver hand read what cannot be kept" in ended.said
    assert it.effects == []


def test_only_the_node_that_failed_goes_back():
    nodes = [workload("a/x", 2.0), workload("b/x", 2.0), workload("b/y", 2.0)]
    it = World(*nodes, capacity={"a": {"cpu": 8.0}, "b": {"cpu": 4.0}})
    it.faults["b/y", "apply"] = ["refused"]
    ended = played(it, program_of(it, a__x=4.0, b__x=1.0, b__y=3.0))
    assert ended.state is ProgramState.ROLLED_BACK
    assert phases(ended) == {"a/x": "done", "b/x": "returned", "b/y": "returned"}
    assert real(it) == {"a/x": 4.0, "b/x": 2.0, "b/y": 2.0}


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (5, 3)])
def test_so_many_nodes_at_once_as_the_policy_says(limit, most):
    it = World(*(workload(f"{node}/x", 2.0) for node in "abc"), capacity={node: {"cpu": 8.0} for node in "abc"})
    for node in "abc":
        it.faults[f"{node}/x", "apply"] = ["slow 10"]
    found = []
    it.notebook.on_save = lambda program, _: found.append(sum(step.phase is Phase.ISSUED for step in program.steps))
    ended = played(it, program_of(it, a__x=4.0, b__x=4.0, c__x=4.0), parallel_nodes=limit)
    assert ended.state is ProgramState.APPLIED
    assert max(found) == most


# --- the way back


def test_a_way_back_that_fails_blocks_and_is_tried_again():
    it = world()
    it.faults |= {("a/golem", "apply"): ["done_refused"], ("a/golem", "undo"): ["refused", "lie"]}

    async def story():
        ended = await run(it, swap(it))
        assert ended.state is ProgramState.BLOCKED
        assert ended.said == "a/golem could not be taken back: no, never"
        ended = await again(it, ended)
        assert "could not be taken back: a/golem was given 2 cpu, and 1m later a/golem reports 4 cpu" in ended.said
        assert ended.step("a/golem").held == 4.0
        return await again(it, ended)

    assert virtually(story()).state is ProgramState.ROLLED_BACK
    assert tokens(it)[1:] == ["a/golem/forward", *["a/golem/backward"] * 3, "a/storj/backward"]
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}
    assert it.wrongs == []


def test_back_is_back_only_after_the_driver_was_told_so_whatever_the_node_reports():
    """The new value is under way, and the node still reports the old one."""
    it = world()
    it.faults |= {("a/golem", "apply"): ["late 100"], ("a/golem", "undo"): ["not_now", "fine"]}
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK

    async def much_later():
        await asyncio.sleep(1000.0)

    virtually(much_later())
    assert tokens(it)[2:4] == ["a/golem/backward", "a/golem/backward"]


def test_killed_before_an_undo_the_next_start_does_it_although_the_node_reports_the_old_value():
    it = world()
    it.faults["a/golem", "apply"] = ["late 100"]

    async def story():
        program = swap(it)
        it.notebook.faults[6] = "kill_after"
        with pytest.raises(Killed):
            await run(it, program)
        it.alive, left = True, it.notebook.programs["p-1"]
        assert phases(left) == {"a/storj": "done", "a/golem": "returning"}
        assert tokens(it) == ["a/storj/forward", "a/golem/forward"]
        ended = await run(it, left)
        await asyncio.sleep(200.0)
        return ended

    assert virtually(story()).state is ProgramState.ROLLED_BACK
    assert tokens(it)[2:] == ["a/golem/backward", "a/storj/backward"]
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}
    assert it.wrongs == []


def test_what_its_driver_refused_and_its_node_never_showed_need_not_be_taken_back():
    it = world()
    it.faults |= {("a/golem", "apply"): ["refused"], ("a/golem", "undo"): ["refused"]}
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.changed - T0 >= 60.0


@pytest.mark.parametrize("fault", ["done_refused", "done_odd"])
def test_what_its_driver_refused_and_did_all_the_same_is_not_back_because_its_node_tells_late(fault):
    it = world(golem={"lag": 20.0})
    it.faults |= {("a/golem", "apply"): [fault], ("a/golem", "undo"): ["refused"]}

    async def story():
        ended = await run(it, swap(it))
        assert ended.state is ProgramState.BLOCKED
        assert ended.step("a/golem").held == 4.0
        return await again(it, ended)

    assert virtually(story()).state is ProgramState.ROLLED_BACK
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}
    assert it.wrongs == []


def test_what_its_driver_refused_and_its_node_is_set_to_all_the_same_is_not_back_while_work_drains():
    it = world(storj={"drains": 500.0, "traits": GOLEM})
    it.faults |= {("a/storj", "apply"): ["done_refused"], ("a/storj", "undo"): ["refused"]}

    async def story():
        ended = await run(it, swap(it))
        assert ended.state is ProgramState.BLOCKED
        return await again(it, ended)

    assert virtually(story()).state is ProgramState.ROLLED_BACK
    assert it.workloads["a/storj"].configured == {"cpu": 6.0}
    assert it.wrongs == []


def test_what_went_back_before_a_kill_is_back_also_where_a_neighbour_is_not_known_any_more():
    it = World(
        workload("a/storj", 6.0),
        workload("a/golem", 2.0),
        capacity={"a": {"cpu": 8.0}},
        windows=(Window("a/golem", "nan", 0.0),),
    )
    it.workloads["a/golem"].past = [(0.0, {})]
    program = program_of(world(), storj=4.0)
    step = replace(program.steps[0], phase=Phase.RETURNING, failure="no", stood={"cpu": 6.0})
    it.notebook.programs["p-1"] = program.with_step(step).turned(ProgramState.RUNNING, T0)
    assert played(it, it.notebook.programs["p-1"]).state is ProgramState.ROLLED_BACK


def test_without_automatic_rollback_it_blocks_until_a_person_decides():
    it = world()
    it.faults["a/golem", "apply"] = ["refused"]

    async def story():
        ended = await run(it, swap(it), automatic=False)
        assert ended.state is ProgramState.BLOCKED
        assert "no, never; rollback.automatic is false: `orcha programs rollback p-1`" in ended.said
        ended = await again(it, ended, automatic=False)
        assert ended.state is ProgramState.BLOCKED
        assert tokens(it) == ["a/storj/forward", "a/golem/forward"]
        back = begins_back(ended, "anna asked for it", asked=True)
        return await run(it, back, automatic=False)

    assert virtually(story()).state is ProgramState.ROLLED_BACK
    assert real(it) == {"a/storj": 6.0, "a/golem": 2.0}
    assert it.wrongs == []


def test_what_a_person_wants_back_goes_back_from_wherever_it_is_also_in_a_pause():
    nodes = [workload("a/x", 4.0), workload("a/y", 2.0), workload("b/x", 2.0), workload("c/x", 2.0)]
    it = World(*nodes, capacity={"a": {"cpu": 6.0}, "b": {"cpu": 8.0}, "c": {"cpu": 8.0}})
    it.faults["a/y", "apply"] = ["slow 50"]

    async def story():
        program = program_of(it, a__x=3.0, a__y=3.0, b__x=4.0, c__x=4.0)
        left = await run_for(it, program, 20.0, parallel_nodes=2)
        assert phases(left) == {"a/x": "done", "a/y": "issued", "b/x": "done", "c/x": "done"}
        left = left.with_step(replace(left.step("c/x"), phase=Phase.WAITING))  # as if it had not come to that
        it.workloads["c/x"].real = {"cpu": 2.0}
        it.notebook.programs["p-1"] = left
        it.windows.append(Window("", "paused", 0.0))
        return await run(it, begins_back(left, "asked for", asked=True))

    ended = virtually(story())
    assert ended.state is ProgramState.ROLLED_BACK
    assert phases(ended) == {"a/x": "returned", "a/y": "returned", "b/x": "returned", "c/x": "waiting"}
    assert real(it) == {"a/x": 4.0, "a/y": 2.0, "b/x": 2.0, "c/x": 2.0}
    assert it.wrongs == []


def test_what_only_a_person_can_do_is_waited_for_and_never_undone_by_orcha():
    it = world(golem={"reversible": False})
    it.faults["a/golem", "apply"] = ["half_way"]

    async def story():
        ended = await run(it, swap(it))
        assert ended.state is ProgramState.BLOCKED
        assert ended.step("a/golem").held == 4.0
        ended = await again(it, ended)
        assert ended.state is ProgramState.APPLIED  # the second time it was signed for all of it
        back = begins_back(ended, "anna asked for it", asked=True)
        ended = await run(it, back)
        assert ended.state is ProgramState.BLOCKED
        assert "only a person can take back" in ended.said
        return ended

    virtually(story())
    assert "a/golem/backward" not in tokens(it)
    assert it.wrongs == []


def test_what_nobody_signed_in_time_is_withdrawn():
    it = world(golem={"reversible": False})
    it.faults["a/golem", "apply"] = ["lie"]
    ended = played(it)
    assert ended.state is ProgramState.ROLLED_BACK
    assert tokens(it)[2:] == ["a/golem/backward", "a/storj/backward"]
