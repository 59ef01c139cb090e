"""Everybody at once: plans, words of several people, failing nodes, changes by hand and restarts, in any order.

Whatever comes: no node holds more than it has, no two programs change one node, what is known is what the journal says,
and once all is well again every program comes to an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from controller.programs import IN_FLIGHT, OVER, ProgramState
from controller.refusals import NotPossible, Unknown
from tests.controller import worlds
from tests.controller.desks import House, two_racks

WORDS = ("approve", "approve", "approve", "approve", "rollback", "rollback", "reject")


def spec_of(rng):
    spec = worlds.policy(
        mode=rng.choice(["Auto"] * 5 + ["Approve", "Approve", "Suggest", "Off"]), hold="10m", maxProgramsPerHour=20,
        maxStepPercent=rng.choice([20, 50]), parallelNodes=rng.choice([1, 2]),
    )  # fmt: skip
    stages = rng.choice([[1.0], [0.5, 1.0]])
    rollback = spec.rollback.model_copy(update={"automatic": rng.random() < 0.8, "stages": stages})
    return spec.model_copy(update={"rollback": rollback})


async def something(house, rng):
    """One thing that happens."""
    weights = dict.fromkeys((pause, release, break_one, by_hand, another_spec), 1) | {word: 4}
    does = {None: 18} | weights
    [what] = rng.choices(list(does), list(does.values()))
    if what is not None:
        await what(house, rng)
    else:
        await rng.choice([house.plan, house.turn, lambda: house.work(rng.choice([0.3, 5, 100, 2000]))])()
    house.later(rng.choice([1, 31, 31, 600, 4000]))


async def word(house, rng):
    if house.programs:
        which = rng.choice(house.programs[-6:])
        await getattr(house.operations, rng.choice(WORDS))(which.id, rng.choice(["anna", "ben"]))


async def pause(house, rng):
    resume = house.operations.resume
    await rng.choice([house.operations.pause, resume, resume])(rng.choice([None, "default"]), "anna")


async def release(house, rng):
    await house.operations.release(rng.choice([None, "rack-1", rng.choice(sorted(house.plots))]), "ben")


async def break_one(house, rng):
    """What was wrong is mended, and something else goes wrong."""
    mend(house)
    changes = [{"up": False}, {"late": True}, {"stuck": True}, {"refuses": "no"}, {}]
    vars(house.plots[rng.choice(sorted(house.plots))]).update(rng.choice(changes))


def mend(house):
    for plot in house.plots.values():
        plot.up, plot.late, plot.stuck, plot.refuses = True, False, False, ""


async def by_hand(house, rng):
    plot = house.plots[rng.choice(sorted(house.plots))]
    plot.allocated = max(0.0, plot.allocated - 1.0)


async def another_spec(house, rng):
    house.spec = spec_of(rng)
    house.declare()


async def look(house):
    for node in ("rack-1", "rack-2"):
        assert sum(plot.allocated for key, plot in house.plots.items() if key.startswith(node)) <= 12.0
    flying = [each for each in house.programs if each.id in house.desk._tasks]
    nodes = [node for each in flying for node in each.nodes]
    assert len(nodes) == len(set(nodes)), "two programs on one node"
    before = states(house)
    known = {each.id: each.state for each in await house.journal.programs(0.0)}
    if before == states(house) and not house.journal.writing:  # nobody went on meanwhile
        assert known == before


def states(house):
    return {each.id: each.state for each in house.programs}


@pytest.mark.parametrize("seed", range(14, 24))
async def test_whatever_comes_nothing_is_overdrawn_and_all_comes_to_an_end(tmp_path, seed):
    rng = random.Random(seed)
    house = House(tmp_path, plots=two_racks(), spec=spec_of(rng))
    for _life in range(3):
        async with house:
            for _ in range(40):
                with contextlib.suppress(NotPossible, Unknown):
                    await something(house, rng)
                await look(house)
        house = house.again(effects=house.effects)
    mend(house)
    async with house:
        await house.operations.resume(None, "anna")
        for _ in range(8):
            await house.turn()
            await house.work(2000)
            await look(house)
            for each in house.programs:  # what needs a person gets one
                if each.state is ProgramState.BLOCKED and "rollback.automatic is false" in each.said:
                    await house.operations.rollback(each.id, "anna")
            house.later(1000)
        house.later(90000)
        await house.turn()
        await house.work(2000)
        assert not [each for each in house.programs if each.state in IN_FLIGHT], [each.said for each in house.programs]
        await house.desk.hand_over(house.outcomes)
        await asyncio.sleep(0)
        assert house.desk._untold == []
        assert all(each.state in OVER for each in house.programs if each.expires and each.expires < house.clock.time())
