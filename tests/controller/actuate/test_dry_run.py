"""The driver that changes nothing and remembers what it was told."""

import pytest

from controller.actuate.dry_run import DryRun, KeyReused
from controller.decide import decide
from tests.controller import worlds


@pytest.fixture
def golem():
    return worlds.workload("rack-1/golem", 6.0, worlds.always(6.0, full=True))


async def test_before_anything_was_told_it_reads_what_the_node_reported(golem):
    assert await DryRun().read(golem) == {"cpu": 6.0}


async def test_what_was_applied_is_read_back_and_verified(golem):
    driver = DryRun()
    await driver.apply(golem, {"cpu": 8.0}, "p1")
    assert await driver.read(golem) == {"cpu": 8.0}
    assert await driver.verify(golem, {"cpu": 8.0})
    assert not await driver.verify(golem, {"cpu": 6.0})
    assert not await driver.verify(golem, {"memory": 1.0})


async def test_undo_restores_what_stood_before_and_may_be_repeated(golem):
    driver = DryRun()
    await driver.apply(golem, {"cpu": 7.0}, "p1")
    await driver.apply(golem, {"cpu": 8.0}, "p2")
    assert await driver.undo(golem, "p2")
    assert await driver.undo(golem, "p2")
    assert await driver.read(golem) == {"cpu": 7.0}


async def test_an_effect_that_another_followed_cannot_be_undone_any_more(golem):
    driver = DryRun()
    await driver.apply(golem, {"cpu": 7.0}, "p1")
    await driver.apply(golem, {"cpu": 8.0}, "p2")
    assert not await driver.undo(golem, "p1")
    assert await driver.read(golem) == {"cpu": 8.0}


async def test_undo_of_what_was_never_told_does_nothing(golem):
    assert not await DryRun().undo(golem, "p1")


async def test_the_same_effect_issued_twice_happens_once(golem):
    driver = DryRun()
    await driver.apply(golem, {"cpu": 8.0}, "p1")
    await driver.apply(golem, {"cpu": 8.0}, "p1")
    await driver.undo(golem, "p1")
    assert await driver.read(golem) == {"cpu": 6.0}


async def test_one_key_with_two_targets_is_refused(golem):
    driver = DryRun()
    await driver.apply(golem, {"cpu": 8.0}, "p1")
    with pytest.raises(KeyReused, match="p1 of rack-1/golem"):
        await driver.apply(golem, {"cpu": 9.0}, "p1")
    assert await driver.read(golem) == {"cpu": 8.0}


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0])
async def test_an_amount_that_cannot_be_is_refused(golem, amount):
    with pytest.raises(ValueError, match="cannot be given"):
        await DryRun().apply(golem, {"cpu": amount}, "p1")


async def test_a_workload_without_an_allocation_does_not_pass_the_check(golem):
    assert await DryRun().check(golem) == ()
    watched = worlds.changed(golem, allocation=None)
    assert "declares no allocation" in (await DryRun().check(watched))[0]


async def test_a_later_plan_sees_the_moves_before_it():
    state, driver = worlds.competing(spec=worlds.policy()), DryRun()
    first = decide(state).plan
    workloads = {w.key: w for w in state.workloads}
    for move in first.moves:
        await driver.apply(workloads[move.key], {move.resource: move.to}, "p1")
    assert decide(driver.seen(state)).plan.current == first.targets


async def test_a_failed_reading_stays_one():
    down = worlds.changed(worlds.reading("rack-1/golem", 6.0), up=False, failure="unreachable")
    workload, driver = worlds.workload("rack-1/golem", 6.0, read=down), DryRun()
    await driver.apply(workload, {"cpu": 8.0}, "p1")
    seen = driver.seen(worlds.state([workload])).workloads[0]
    assert seen.reading is not None
    assert not seen.reading.up
