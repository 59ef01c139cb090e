"""Whatever fails, hangs, half happens or lies, at whatever step: nothing over-allocates, and every program comes to an end.

The world watches for the invariants by itself (world.py): these tests draw what goes wrong.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from controller.actuate.actuator import Actuator, Lost, Ways
from controller.address import StoreFenced
from controller.model import Move
from controller.plan.limits import needs
from controller.programs import OVER, Cause, Phase, Program, ProgramState
from controller.sequence import goes_back, sequence
from tests.controller.actuate.notebook import Killed
from tests.controller.actuate.world import (
    T0,
    Window,
    Workload,
    World,
    allocation,
    holdings,
    virtually,
    workload,
)

EFFECTS = [
    "refused", "empty", "not_now", "odd", "cancelled", "lie", "done_refused", "done_odd", "hang", "done_hang",
    "slow 20", "slow 90", "late 20", "late 90", "half_companions", "half_refused", "half_way", "kill_before", "kill_after",
]  # fmt: skip
LOOKS = ["refused", "not_now", "odd", "hang"]
TRIES = 8
"""Times that a blocked or interrupted program is taken up while things go wrong; then the world heals."""


@st.composite
def allocations(draw):
    step = draw(st.sampled_from([0.5, 1.0, 2.0]))
    with_ = draw(st.sampled_from([{}, {"memory": 1.5}, {"memory": 2.0, "storage": 10.0}]))
    return allocation(8.0, step, draw(st.sampled_from([0.0, step])), **with_)


@st.composite
def fleets(draw) -> tuple[tuple[Workload, ...], tuple[Move, ...], dict[str, dict[str, float]]]:
    """Workloads, moves that fit, and capacities that leave no more room than that takes."""
    workloads, moves = [], []
    capacity: dict[str, dict[str, float]] = {}
    for node in draw(st.sampled_from([["a"], ["a", "b"]])):
        before: dict[str, float] = {}
        after: dict[str, float] = {}
        for i in range(draw(st.integers(2, 4))):
            of = draw(allocations())
            grid = st.integers(0, int((of.max - of.min) / of.step)).map(lambda k, of=of: of.min + k * of.step)
            has = draw(grid) + draw(st.sampled_from([0.0, 0.0, 0.0, 0.2]))
            to = draw(st.one_of(grid, st.just(has)))
            how = draw(
                st.sampled_from(
                    [{}, {}, {"lag": 10.0}, {"lag": 50.0}, {"drains": 50.0}, {"drains": 500.0}, {"silent": True}]
                )
            )
            workloads.append(workload(f"{node}/{i}", has, of, **how))
            if to != has:
                moves.append(Move(f"{node}/{i}", node, "cpu", has, to, draw(st.floats(-1, 1)), 0.0))
            for resource, per_unit in needs(of).items():
                before[resource] = before.get(resource, 0.0) + per_unit * has
                after[resource] = after.get(resource, 0.0) + per_unit * to
        capacity[node] = {r: max(before[r], after[r]) for r in before}
    return tuple(workloads), tuple(moves), capacity


def windows(keys: list[str], what: list[str]) -> st.SearchStrategy[Window]:
    times = st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.0, 30.0, 61.0, 200.0, 800.0])
    lengths = st.sampled_from([0.2, 5.0, 50.0, 100.0, 700.0])
    return st.builds(Window, st.sampled_from(keys), st.sampled_from(what), times, lengths)


async def carried_on(world: World, program: Program, ways: Ways) -> Program:
    """The program taken up again and again, by a new process where one was killed, as a controller would."""
    for attempt in range(100):
        if attempt == TRIES:
            heal(world)
        actuator = Actuator(program, world, world.notebook, world.clock, ways)
        try:
            ended = await actuator.run()
        except (Killed, Lost, StoreFenced) as exc:
            event(type(exc).__name__)
            program = world.notebook.programs.get(program.id, program)
            await asyncio.sleep(7.0)
            world.alive = True
            continue
        if ended.state in OVER:
            return ended
        check_blocked(world, ended)
        program = world.notebook.programs[ended.id]
        assert attempt < TRIES + 12, f"it does not end: {ended.said}"
        await asyncio.sleep(ended.retry_at - world.clock.time())
    raise AssertionError("it does not end")


def check_blocked(world: World, ended: Program) -> None:
    event("blocked")
    assert ended.state is ProgramState.BLOCKED
    assert ended.said
    assert ended.retry_at is not None
    assert ended.retry_at > world.clock.time()
    assert any(step.unsettled or goes_back(ended.lane(step.node)) for step in ended.steps)


def heal(world: World) -> None:
    """Nothing goes wrong any more, and whoever took room by hand gives it back."""
    world.faults.clear()
    world.notebook.faults.clear()
    world.windows.clear()
    program = world.notebook.programs.get("p-1")
    mine = {step.key for step in program.steps} if program else set()
    for key, each in world.workloads.items():
        each.lag = each.drains = 0.0
        if key in world.touched - mine:
            each.real = dict(each.past[0][1])
            each.past.append((world.now, dict(each.real)))


def check_end(world: World, ended: Program) -> None:
    event(ended.state.value)
    assert world.wrongs == []
    assert world.notebook.programs[ended.id] == ended
    lanes = [ended.lane(node) for node in ended.nodes]
    assert (ended.state is ProgramState.ROLLED_BACK) == any(map(goes_back, lanes))
    for lane in lanes:
        back = goes_back(lane)
        for step in lane:
            assert step.phase in ({Phase.WAITING, Phase.RETURNED} if back else {Phase.DONE})
            if step.key not in world.touched:
                there, wanted = world.workloads[step.key], dict(step.before if back else step.after)
                assert there.real == wanted
                assert there.asked in ({}, wanted)
    if ended.state is ProgramState.ROLLED_BACK:
        assert ended.said


async def persons(world: World, changes: list[tuple[float, str, float]]) -> None:
    for at, key, amount in sorted(changes):
        await asyncio.sleep(max(0.0, at + 0.0137 - world.now))
        if world.by_hand(key, amount):
            event("changed by hand")


async def played(world: World, moves: tuple[Move, ...], changes: list[Any], ways: Ways) -> None:
    program = sequence(moves, holdings(world), policy="default", at=T0, cause=Cause.PLAN, sentence="more is earned so")
    program = program.turned(ProgramState.APPROVED, T0)
    people = asyncio.create_task(persons(world, changes))
    ended = await carried_on(world, program, ways)
    people.cancel()
    await asyncio.gather(people, return_exceptions=True)
    check_end(world, ended)


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_goes_wrong_nothing_over_allocates_and_every_program_comes_to_an_end(data):
    workloads, moves, capacity = data.draw(fleets())
    if not moves:
        return
    world = World(*workloads, capacity=capacity)
    keys = [move.key for move in moves]
    faults = st.dictionaries(
        st.tuples(st.sampled_from(keys), st.sampled_from(["apply", "undo"])),
        st.lists(st.sampled_from(EFFECTS), min_size=1, max_size=3),
        max_size=4,
    )
    looks = st.dictionaries(
        st.tuples(st.sampled_from(keys), st.sampled_from(["read", "verify"])),
        st.lists(st.sampled_from(LOOKS), min_size=1, max_size=2),
        max_size=2,
    )
    world.faults = {**data.draw(faults, "faults"), **data.draw(looks, "looks")}
    everyone = [each.key for each in workloads]
    world.windows += data.draw(
        st.lists(windows(everyone + list(capacity), ["down", "mute", "nan"]), max_size=3), "nodes"
    )
    world.windows += data.draw(st.lists(windows([""], ["paused", "lost"]), max_size=2), "orcha")
    world.notebook.faults = data.draw(
        st.dictionaries(
            st.integers(1, 25), st.sampled_from(["full", "fenced", "kill_before", "kill_after"]), max_size=4
        ),
        "journal",
    )
    people = st.tuples(
        st.sampled_from([0.0, 0.3, 1.0, 20.0, 70.0, 300.0]), st.sampled_from(everyone), st.integers(0, 8)
    )
    changes = data.draw(st.lists(people, max_size=2), "people")
    ways = Ways(
        parallel_nodes=data.draw(st.integers(1, 2), "at once"),
        drain=data.draw(st.sampled_from([100.0, 7200.0]), "drain"),
    )
    virtually(played(world, moves, changes, ways))
