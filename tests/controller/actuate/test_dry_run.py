"""The driver that changes nothing and remembers what it was told."""

import json

import pytest

from controller.actuate.driver import Refused
from controller.actuate.dry_run import DryRun, KeyReused, seen
from controller.decide import decide
from controller.programs import Order
from tests.controller import worlds

KEY = "rack-1/golem"


def told(cpu: float, effect: str = "p1/forward", **others: float) -> Order:
    return Order(KEY, {"cpu": cpu, **others}, effect)


@pytest.fixture
def driver():
    return DryRun(KEY)


async def test_before_anything_was_told_it_knows_nothing(driver):
    assert driver.amounts is None
    assert await driver.check() == ()
    assert "was not told cpu 8 yet" in (await driver.verify(told(8.0)) or "")


async def test_what_was_applied_is_remembered_and_verified(driver):
    await driver.apply(told(8.0))
    assert driver.amounts == {"cpu": 8.0}
    assert await driver.verify(told(8.0)) is None
    assert await driver.verify(told(6.0)) is not None
    assert await driver.verify(told(8.0, memory=1.0)) is not None


async def test_undo_restores_what_stood_before_and_may_be_repeated(driver):
    await driver.apply(told(7.0))
    stood = await driver.read()
    await driver.apply(told(8.0, "p2/forward"))
    for _ in range(2):
        await driver.undo(told(7.0, "p2/back"), stood)
        assert driver.amounts == {"cpu": 7.0}
        assert await driver.verify(told(7.0, "p2/back")) is None


async def test_undo_of_the_first_effect_leaves_what_the_node_reports(driver):
    stood = await driver.read()
    await driver.apply(told(8.0))
    await driver.undo(told(6.0, "p1/back"), stood)
    assert driver.amounts is None
    assert await driver.verify(told(6.0, "p1/back")) is None


async def test_undo_works_after_a_restart_from_what_was_written_down(driver):
    await driver.apply(told(7.0))
    stood = json.loads(json.dumps(await driver.read()))
    fresh = DryRun(KEY, {"cpu": 8.0})
    assert await fresh.verify(told(8.0)) is None
    await fresh.undo(told(7.0, "p2/back"), stood)
    assert fresh.amounts == {"cpu": 7.0}


async def test_the_same_effect_issued_twice_happens_once(driver):
    await driver.apply(told(8.0))
    await driver.apply(told(8.0))
    assert driver.amounts == {"cpu": 8.0}


async def test_one_token_with_two_targets_is_refused(driver):
    await driver.apply(told(8.0))
    with pytest.raises(KeyReused, match="p1/forward of rack-1/golem was issued for cpu 8 before and for cpu 9 now"):
        await driver.apply(told(9.0))
    assert driver.amounts == {"cpu": 8.0}


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0])
async def test_an_amount_that_cannot_be_is_refused(driver, amount):
    with pytest.raises(Refused, match="cannot be; an amount is zero or more"):
        await driver.apply(told(amount))
    assert driver.amounts is None


async def test_a_later_plan_sees_the_moves_before_it():
    state = worlds.competing(spec=worlds.policy())
    first = decide(state).plan
    drivers = {workload.key: DryRun(workload.key) for workload in state.workloads}
    for move in first.moves:
        await drivers[move.key].apply(Order(move.key, {move.resource: move.to}, "p1"))
    assert first.moves
    assert (
        decide(seen(state, {key: d.amounts for key, d in drivers.items() if d.amounts})).plan.current == first.targets
    )


def test_what_was_told_lies_over_what_the_node_reports():
    state = worlds.state([worlds.workload(KEY, 6.0)])
    workload = seen(state, {KEY: {"cpu": 8.0}}).workloads[0]
    assert workload.reading is not None
    assert workload.reading.allocated["cpu"] == 8.0
    assert seen(state, {}).workloads == state.workloads


def test_a_failed_reading_stays_one():
    down = worlds.changed(worlds.reading(KEY, 6.0), up=False, failure="unreachable")
    state = worlds.state([worlds.workload(KEY, 6.0, read=down)])
    workload = seen(state, {KEY: {"cpu": 8.0}}).workloads[0]
    assert workload.reading is not None
    assert not workload.reading.up
