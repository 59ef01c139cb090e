"""What a site would hold with as many rights as it likes: its plan, or where a limit is in its way, the plan without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.decide import decide
from controller.fleet import wishes
from controller.fleet.wishes import wishes_of
from controller.state import without_past
from tests.controller.worlds import DEMAND, competing, policy

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"
OWN = {"default": policy()}


def bound(**constraint):
    limit = {"protocol": "golem", "resource": "cpu", "throughout": True} | constraint
    return decide(competing(spec=policy(constraints=[limit])))


async def test_where_no_limit_is_near_the_plan_itself_is_the_wish():
    decision = bound(maxTotal=20)
    found = await wishes_of([decision], {}, OWN)
    assert found["default"].targets == {GOLEM: 8.0, AKASH: 4.0}
    assert found["default"].plan is decision.plan


@pytest.mark.parametrize("most", [6, 7, 8])
async def test_where_a_limit_is_in_its_way_the_wish_is_what_the_plan_would_be_without(most):
    decision = bound(maxTotal=most)
    assert decision.plan.targets[GOLEM] == most
    found = await wishes_of([decision], {}, OWN)
    assert found["default"].targets == {GOLEM: 8.0, AKASH: 4.0}


async def test_the_limits_of_its_own_policy_stay():
    own = {"default": policy(constraints=[{"protocol": "golem", "maxTotal": 7}])}
    found = await wishes_of([bound(maxTotal=6)], {}, own)
    assert found["default"].targets[GOLEM] == 7.0


async def test_what_must_be_kept_is_given_up_in_a_wish():
    world = decide(competing(spec=policy(constraints=[{"protocol": "mapped", "minTotal": 6, "throughout": True}])))
    assert world.plan.targets[AKASH] == 6.0
    found = await wishes_of([world], {}, OWN)
    assert found["default"].targets[AKASH] == 4.0


async def test_moves_that_cannot_be_taken_back_are_wished_for_without_a_permit():
    lasting = replace(DEMAND, irreversible=True)
    world = competing(spec=policy(), permits=0)
    world = replace(world, workloads=tuple(replace(w, traits=lasting) for w in world.workloads))
    decision = decide(world)
    assert not any(verdict.allowed for verdict in decision.verdicts)
    found = await wishes_of([decision], {}, OWN)
    assert (found["default"].lasting, found["default"].targets[GOLEM]) == (1, 8.0)


async def test_what_is_only_shown_is_no_wish():
    found = await wishes_of([decide(competing(spec=policy(mode="Suggest")))], {}, OWN)
    assert found["default"].targets == {}


async def test_a_wish_stands_until_there_is_another_plan_and_goes_with_its_policy():
    decision = bound(maxTotal=6)
    first = await wishes_of([decision], {}, OWN)
    again = await wishes_of([without_past(decision)], first, OWN)
    assert again["default"] is first["default"]
    assert await wishes_of([], first, OWN) == {}


async def test_a_decision_without_its_past_is_taken_as_it_is():
    assert not wishes._has_past(without_past(bound(maxTotal=6)))
    found = await wishes_of([without_past(bound(maxTotal=6))], {}, OWN)
    assert GOLEM not in found["default"].targets


async def test_a_place_more_is_wished_for_where_all_are_taken():
    decision = bound(maxCount=1)
    assert wishes._narrow(decision)
    assert not wishes._narrow(bound(maxCount=2))
