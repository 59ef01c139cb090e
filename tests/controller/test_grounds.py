"""What acting stands on: a driver for each workload, what is pretended, what others hold, and who is paused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.actuate.dry_run import DryRun
from controller.grounds import World
from controller.programs import Order, Phase, ProgramState
from exporters.nodes import Allocation
from exporters.traits import Traits
from tests.controller.desks import ACTUATORS, AKASH, GOLEM, Hand, House, busy, idle
from tests.controller.report.programs import program, step


class Closing(Hand):
    closed = 0

    async def close(self):
        Closing.closed += 1


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as found:
        yield found


async def test_a_workload_keeps_its_driver_while_its_manifest_is_the_same(house):
    first = house.world.driver(GOLEM)
    assert house.world.driver(GOLEM) is first
    house.plots[GOLEM].bounds = Allocation(resource="cpu", min=0, max=8, step=1)
    second = house.world.driver(GOLEM)
    assert second is not first
    house.plots[GOLEM].actuator = "dry_run"
    assert isinstance(house.world.driver(GOLEM), DryRun)
    assert house.world.driver("rack-9/golem") is None


async def test_drivers_that_were_replaced_are_closed_once_nobody_uses_them(house):
    Closing.closed = 0
    world = World(house.source, lambda key, _brought: Closing(house, key), holds=lambda: True)
    world.driver(GOLEM)
    world.driver(AKASH)
    house.plots[GOLEM].bounds = Allocation(resource="cpu", min=0, max=8, step=1)
    world.driver(GOLEM)
    assert Closing.closed == 0
    await world.tidy()
    await world.tidy()
    assert Closing.closed == 1
    await world.close()
    assert Closing.closed == 3


async def test_what_is_not_declared_any_more_is_a_reading_that_says_so(house):
    reading = await house.world.read_back("rack-9/golem")
    assert (reading.up, reading.failure_message) == (False, "it is not declared any more")
    assert house.world.allocation("rack-9/golem") is None
    assert house.world.traits("rack-9/golem") == Traits()
    assert house.world.last_known("rack-9/golem") is None


async def test_what_is_pretended_lies_over_what_is_read_only_where_it_is_a_dry_run(tmp_path):
    async with House(tmp_path, plots={GOLEM: busy(actuator="dry_run"), AKASH: idle()}) as house:
        order = Order(GOLEM, {"cpu": 8.0}, "p-1/rack-1/golem/forward")
        await house.world.driver(GOLEM).apply(order)
        assert (await house.world.read_back(GOLEM)).allocated == {"cpu": 8.0}
        assert house.world.last_known(GOLEM) == 8.0
        assert {w.key: w.reading.allocated["cpu"] for w in house.state().workloads} == {AKASH: 6.0, GOLEM: 8.0}
        house.plots[GOLEM].up = False
        assert not (await house.world.read_back(GOLEM)).up, "a failed reading stays one"
        house.plots[GOLEM].up, house.plots[GOLEM].actuator = True, "command"
        assert (await house.world.read_back(GOLEM)).allocated == {"cpu": 6.0}


async def test_before_it_is_known_what_was_pretended_no_driver_is_made_for_that(tmp_path):
    async with House(tmp_path, plots={GOLEM: busy(actuator="dry_run"), AKASH: idle()}) as house:
        made = []
        world = World(house.source, lambda key, brought: made.append(key) or DryRun(key, brought), holds=lambda: True)
        world.seen(house.state())
        assert made == []
        world.recalled = lambda _key: {"cpu": 9.0}
        state = world.seen(house.state())
        assert made == [GOLEM]
        assert state.workloads[1].reading.allocated == {"cpu": 9.0}


def flying(id_, state=ProgramState.BLOCKED):
    return program(
        id_, state, steps=(step(AKASH, 6.0, 4.0, Phase.ISSUED), step("rack-2/golem", 6.0, 8.0, Phase.ISSUED))
    )


async def test_what_others_hold_is_told_by_node_and_without_ones_own(house):
    house.world.programs = {each.id: each for each in (flying("p-1"), replace(flying("p-2", ProgramState.PENDING)))}
    assert house.world.in_flight("rack-1", "p-3") == {AKASH: 6.0}
    assert house.world.in_flight("rack-2", "p-3") == {"rack-2/golem": 8.0}
    assert house.world.in_flight("rack-1", "p-1") == {}


async def test_one_policy_or_all_of_them_are_paused(house):
    house.world.pauses = frozenset({"other"})
    assert not house.world.paused("default")
    house.world.pauses = frozenset({"*"})
    assert house.world.paused("default")


async def test_what_was_only_pretended_is_found_once_a_real_driver_is_declared(tmp_path):
    async with House(tmp_path, plots={GOLEM: busy(actuator="dry_run"), AKASH: idle(actuator="dry_run")}) as house:
        await house.go()
        assert house.world.begin_in_earnest(house.desk.originals) == []
        house.plots[GOLEM].actuator, house.plots[AKASH].actuator = "command", "none"
        assert house.world.begin_in_earnest(house.desk.originals) == [GOLEM]
        assert ACTUATORS["none"] is None
