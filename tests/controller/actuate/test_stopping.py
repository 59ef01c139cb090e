"""The Actuator when it must not act: a pause, a lost Lease, another writer, a full disk, a restart after a long time."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from controller.actuate.actuator import Actuator, Lost, Ways
from controller.address import StoreFenced
from controller.programs import Cause, Phase, ProgramState
from tests.controller.actuate.stories import (
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
from tests.controller.actuate.world import T0, Window, World, program_of, virtually, workload

# --- when it must not act


def test_a_pause_holds_what_comes_next_and_what_is_under_way_is_still_read_back():
    it = world(Window("", "paused", 0.1, HOUR))
    it.faults["a/storj", "apply"] = ["late 1"]

    async def story():
        halfway = await run_for(it, swap(it), HOUR / 2)
        assert phases(halfway) == {"a/storj": "done", "a/golem": "waiting"}
        assert halfway.step("a/golem").note == "policy default is paused; `orcha resume` lets it go on"
        return await run(it, halfway)

    assert virtually(story()).state is ProgramState.APPLIED
    assert it.effects[-1].key == "a/golem"
    assert it.workloads["a/golem"].past[-1][0] >= HOUR
    assert it.wrongs == []


def test_a_pause_between_an_intent_and_its_effect_costs_the_node_none_of_its_time():
    it = world(Window("", "paused", 0.0, HOUR))
    it.faults["a/storj", "apply"] = ["not_now", "not_now", "late 50"]
    program = swap(it)
    issued = program.with_step(replace(program.step("a/storj"), phase=Phase.ISSUED, stood={"cpu": 6.0}))
    issued = issued.turned(ProgramState.RUNNING, T0)
    it.notebook.programs["p-1"] = issued
    assert played(it, issued).state is ProgramState.APPLIED


@pytest.mark.parametrize("paused", [False, True])
def test_without_the_lease_the_step_under_way_is_the_last(paused):
    windows = [Window("", "lost", 0.1)] + (
        [Window("", "paused", 0.0, 0.05), Window("", "paused", 0.1)] if paused else []
    )
    it = world(*windows)
    it.faults["a/storj", "apply"] = ["late 1"]

    async def story():
        async with asyncio.timeout(HOUR):
            with pytest.raises(Lost, match="the Lease is lost"):
                await run(it, swap(it))

    virtually(story())
    assert set(tokens(it)) <= {"a/storj/forward"}
    assert it.wrongs == []


def test_a_lease_lost_while_the_intent_is_written_makes_no_effect():
    it = world()
    it.notebook.on_save = lambda _, record: (
        it.windows.append(Window("", "lost", 0.0)) if "issued" in record.what else None
    )

    async def story():
        with pytest.raises(Lost):
            await run(it, swap(it))

    virtually(story())
    assert it.effects == []


def test_a_lease_lost_while_the_room_is_looked_at_makes_no_effect():
    class Losing(World):
        async def read_back(self, key):
            if key == "a/storj" and "issued a/golem" in lines(self):
                self.windows.append(Window("", "lost", 0.0))
            return await super().read_back(key)

    it = Losing(workload("a/storj", 6.0), workload("a/golem", 2.0), capacity={"a": {"cpu": 8.0}})

    async def story():
        with pytest.raises(Lost):
            await run(it, swap(it))

    virtually(story())
    assert tokens(it) == ["a/storj/forward"]
    assert it.wrongs == []


@pytest.mark.parametrize("save", range(1, 7))
def test_one_who_was_taken_over_from_does_nothing_further(save):
    it = world()
    it.notebook.faults[save] = "fenced"

    async def story():
        with pytest.raises(StoreFenced):
            await run(it, swap(it))

    virtually(story())
    assert len(it.effects) == max(0, (save - 1) // 2)
    done = [step for step in it.notebook.programs.get("p-1", swap(world())).steps if step.phase is not Phase.WAITING]
    assert {order.key for order in it.effects} <= {step.key for step in done}
    assert it.wrongs == []


def test_one_that_is_fenced_stops_its_other_nodes_too():
    it = World(*(workload(f"{node}/x", 2.0) for node in "ab"), capacity={node: {"cpu": 8.0} for node in "ab"})
    it.faults["a/x", "apply"] = ["slow 30"]
    it.notebook.faults[4] = "fenced"

    async def story():
        with pytest.raises(StoreFenced):
            await run(it, program_of(it, a__x=4.0, b__x=4.0), parallel_nodes=2)
        await asyncio.sleep(100.0)

    virtually(story())
    assert real(it)["a/x"] == 2.0


def test_while_the_disk_is_full_nothing_further_is_done():
    it = world()
    it.notebook.faults = dict.fromkeys(range(2, 100), "full") | dict.fromkeys(range(101, 200), "full")

    async def story():
        halfway = await run_for(it, swap(it), 300.0)
        assert it.effects == []
        assert phases(halfway) == {"a/storj": "waiting", "a/golem": "waiting"}
        return await run(it, halfway)

    assert virtually(story()).state is ProgramState.APPLIED
    assert it.wrongs == []


def test_after_a_full_disk_the_room_is_looked_at_again():
    neighbour = workload("a/akash", 1.0)
    it = World(workload("a/golem", 2.0), neighbour, capacity={"a": {"cpu": 5.0}})
    it.notebook.faults = dict.fromkeys(range(2, 10), "full")

    async def story():
        task = asyncio.create_task(run(it, program_of(it, golem=4.0)))
        await asyncio.sleep(20.1)
        assert it.by_hand("a/akash", 3.0)
        return await task

    ended = virtually(story())
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.said == "a/golem has no room to grow: 7 of 5 cpu would be held on a"
    assert tokens(it) == ["a/golem/backward"]
    assert it.wrongs == []


def test_what_was_intended_before_a_long_absence_needs_its_room_now():
    it = World(workload("a/golem", 2.0), workload("a/akash", 3.0), capacity={"a": {"cpu": 5.0}})
    small = World(workload("a/golem", 2.0), workload("a/akash", 1.0), capacity={"a": {"cpu": 5.0}})
    program = program_of(small, golem=4.0).turned(ProgramState.RUNNING, T0)
    it.notebook.programs["p-1"] = program.with_step(replace(program.steps[0], phase=Phase.ISSUED, stood={"cpu": 2.0}))
    ended = played(it, it.notebook.programs["p-1"])
    assert ended.state is ProgramState.ROLLED_BACK
    assert real(it) == {"a/golem": 2.0, "a/akash": 3.0}


def test_what_is_read_back_as_done_after_a_restart_is_not_done_again():
    it = world()
    program = swap(it).turned(ProgramState.RUNNING, T0)
    it.workloads["a/storj"].past.append((-1.0, {"cpu": 4.0}))
    it.workloads["a/storj"].real = {"cpu": 4.0}
    it.notebook.programs["p-1"] = program.with_step(replace(program.steps[0], phase=Phase.ISSUED, stood={"cpu": 6.0}))
    ended = played(it, it.notebook.programs["p-1"])
    assert ended.state is ProgramState.APPLIED
    assert tokens(it) == ["a/golem/forward"]


@pytest.mark.parametrize("gone", ["driver", "allocation"])
def test_what_is_not_declared_any_more_is_not_begun_and_blocks_where_it_was_begun(gone):
    it = world()
    program = swap(it)
    (it.drivers if gone == "driver" else it.workloads).pop("a/golem")
    ended = virtually(run(it, program))
    assert ended.state is ProgramState.ROLLED_BACK
    assert ended.said == "a/golem has no allocation or no actuator any more"
    it = world()
    it.faults["a/golem", "apply"] = ["late 1"]

    async def story():
        left = await run_for(it, swap(it), 0.7)
        assert phases(left)["a/golem"] == "issued"
        kept = (it.drivers if gone == "driver" else it.workloads).pop("a/golem")
        ended = await run(it, left)
        assert ended.state is ProgramState.BLOCKED
        assert "`orcha programs reject p-1` gives the program up" in ended.said
        (it.drivers if gone == "driver" else it.workloads)["a/golem"] = kept
        return await again(it, ended)

    assert virtually(story()).state is ProgramState.APPLIED


def test_whoever_looks_on_is_told_of_every_line_and_of_what_is_waited_for():
    it, told, counted = world(), [], []
    it.faults["a/golem", "apply"] = ["done_refused"]

    async def story():
        await Actuator(
            swap(it), it, it.notebook, it.clock, Ways(),
            told=lambda program, record: told.append((program.state.value, record.what)),
            counted=lambda *each: counted.append(each),
        ).run()  # fmt: skip

    virtually(story())
    assert [what for _, what in told if what != "waits"] == lines(it)
    assert ("running", "waits") in told
    assert counted == [
        ("hand", "forward", "done"), ("hand", "forward", "failed"), ("hand", "backward", "done"), ("hand", "backward", "done"),
    ]  # fmt: skip


def test_a_program_that_a_person_wants_does_not_wait_for_the_end_of_a_pause():
    it = world(Window("", "paused", 0.0))
    ended = played(it, replace(swap(it), cause=Cause.RELEASE))
    assert ended.state is ProgramState.APPLIED


def test_cancelled_it_leaves_the_rest_to_the_next_start():
    for seconds in itertools.takewhile(lambda s: s < 2.0, itertools.count(0.0, 0.05)):
        it = world()

        async def story(it=it, seconds=seconds):
            left = await run_for(it, swap(it), seconds)
            return await run(it, it.notebook.programs.get("p-1", left))

        assert virtually(story()).state is ProgramState.APPLIED
        assert it.wrongs == []
