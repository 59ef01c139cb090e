"""What a site holds of each limit, always on the safe side, and what its rights come to for one policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.fleet.escrow import Limit
from controller.fleet.limits import (
    CLOCKS,
    LATE,
    Bound,
    Held,
    Room,
    begun,
    bound_by,
    bound_of,
    counted,
    down,
    held_by,
    lasting_moves,
    limits_of,
    meanings_of,
    parts_of,
    shares_of,
    up,
    with_waiting,
)
from controller.fleet.manifest import FleetSpec
from controller.plan.feasible import allocations, breaches
from controller.programs import Cause, Phase, Program, ProgramState, Step
from tests.controller import worlds
from tests.controller.worlds import NOW, always, reading, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"
CPU = ("golem", "cpu")


def spec(*limits, at_once=1, sites=("b", "a")):
    document = {
        "sites": list(sites), "irreversibleAtOnce": at_once,
        "limits": [{"name": f"l{i}", "protocol": "golem", "resource": "cpu"} | each for i, each in enumerate(limits)],
    }  # fmt: skip
    return FleetSpec.model_validate(document)


def step(before, after, phase=Phase.WAITING, key=GOLEM, resource="cpu"):
    return Step(key, "rack-1", resource, {resource: before}, {resource: after}, phase)


def program(*steps, of=ProgramState.RUNNING, changed=NOW):
    return Program("p-1", "default", Cause.PLAN, NOW, steps, of, "", changed)


def golem(has=4.0, **more):
    return workload(GOLEM, has, always(1.0), protocol="golem", **more)


def silent():
    return golem(read=replace(reading(GOLEM, 4.0), up=False))


# --- units


@pytest.mark.parametrize(
    ("resource", "amount", "least", "most"),
    [
        ("cpu", 1.5, 1500, 1500),
        ("cpu", 0.1 + 0.2, 300, 300),
        ("cpu", 0.0004, 0, 1),
        ("memory", 48 * 2.0**30, 51539607552, 51539607552),
        ("storage", 10.5, 10, 11),
        ("bandwidth", 4e8, 400_000_000, 400_000_000),
        ("stake/DATA", 0.0015, 1, 2),
    ],
)
def test_what_is_no_whole_unit_is_rounded_to_the_safe_side(resource, amount, least, most):
    assert (down(resource, amount), up(resource, amount)) == (least, most)


def test_a_limit_of_the_manifest_is_one_of_whole_units_under_the_name_that_all_know():
    found = limits_of(spec({"maxTotal": "2500m"}, {"minTotal": "0.0001"}, {"maxCount": 3}, {"maxShare": 0.5}))
    assert found == (
        Limit("irreversible", ("a", "b"), 1),
        Limit("l0 most", ("a", "b"), 2500),
        Limit("l1 least", ("a", "b"), None, 1),
        Limit("l2 count", ("a", "b"), 3),
    )
    assert [bound_of(limit.name) for limit in found] == [Bound.IRREVERSIBLE, Bound.MOST, Bound.LEAST, Bound.COUNT]


def test_where_nothing_is_limited_there_is_no_limit():
    assert limits_of(spec(at_once=None)) == ()


def test_a_share_is_each_sites_own_at_every_moment():
    [share] = shares_of(spec({"maxShare": 0.5}, {"maxTotal": 3}))
    kept = share.constraint
    assert (share.limit, kept.protocol, kept.resource, kept.max_share, kept.throughout) == (
        "l0", "golem", "cpu", 0.5, True,
    )  # fmt: skip
    assert meanings_of(spec({"maxShare": 0.5}, {"maxTotal": 3})) == {"l1 most": CPU}


# --- what is held


def test_what_is_read_is_held():
    assert held_by([golem()], ())[GOLEM] == Held("golem", "cpu", 4.0, 4.0, 0.0)


def test_what_nobody_knows_is_the_most_and_the_least_that_it_may_have():
    found = held_by([silent()], ())[GOLEM]
    assert (found.most, found.least) == (12.0, 0.0)


@pytest.mark.parametrize("phase", sorted(Phase))
@pytest.mark.parametrize("of", [ProgramState.RUNNING, ProgramState.BLOCKED])
def test_a_program_on_its_way_is_held_at_both_ends_whatever_was_read(phase, of):
    found = held_by([golem(3.0)], [program(step(4.0, 2.0, phase), of=of)])[GOLEM]
    assert (found.most, found.least) == (4.0, 2.0)


@pytest.mark.parametrize(
    ("phase", "after", "most"),
    [
        (Phase.WAITING, 0.0, 4.0),
        (Phase.DONE, 0.0, 6.0),
        (Phase.DONE, CLOCKS + 1, 4.0),
        (Phase.RETURNED, 0.0, 5.0),
        (Phase.ISSUED, CLOCKS + 1, 6.0),
        (Phase.ISSUED, LATE + 1, 4.0),
    ],
)
def test_what_a_program_left_is_held_until_its_node_was_read_again(phase, after, most):
    """The reading is of 10 s before NOW."""
    over = program(step(5.0, 6.0, phase), of=ProgramState.REJECTED, changed=NOW - 10 - after)
    assert held_by([golem()], [over])[GOLEM].most == most


def test_what_waits_is_held_only_where_rights_would_be_given_away():
    for of in (ProgramState.PENDING, ProgramState.APPROVED):
        waiting = program(step(4.0, 7.0), of=of)
        held = held_by([golem()], [waiting])
        assert held[GOLEM].most == 4.0
        assert with_waiting(held, [waiting])[GOLEM].most == 7.0
        assert begun(held, waiting)[GOLEM].most == 7.0


def test_what_a_dry_run_pretends_to_free_is_not_free():
    found = held_by([golem(4.0)], (), [golem(2.0)])[GOLEM]
    assert (found.most, found.least) == (4.0, 2.0)


def test_a_program_of_something_that_is_declared_no_more_counts_for_every_protocol():
    held = held_by([], [program(step(4.0, 2.0, Phase.ISSUED, key="rack-9/gone"))])
    assert counted(Bound.MOST, [CPU], held) == 4000
    assert counted(Bound.MOST, [("storj", "storage")], held) == 0
    assert counted(Bound.LEAST, [CPU], held) == 0


def test_a_program_of_another_resource_than_is_declared_now_is_not_mixed_up_with_it():
    held = held_by([golem()], [program(step(1e12, 2e12, Phase.ISSUED, resource="storage"))])
    assert counted(Bound.MOST, [CPU], held) == 4000
    assert counted(Bound.MOST, [("storj", "storage")], held) == 2 * 10**12


def test_of_each_limit_the_worse_is_counted():
    held = {"x": Held("golem", "cpu", 4.0005, 2.0005, 2.0), "y": Held("mapped", "cpu", 9.0, 9.0)}
    assert [counted(bound, [CPU], held) for bound in (Bound.MOST, Bound.LEAST, Bound.COUNT)] == [4001, 2000, 1]
    assert counted(Bound.MOST, [CPU, ("mapped", "cpu")], held) == 9000
    assert counted(Bound.COUNT, [CPU], {"x": replace(held["x"], most=2.0)}) == 0


def test_moves_that_last_are_growth_of_what_stays_in_use_and_all_that_a_person_signs():
    held = {GOLEM: Held("golem", "cpu", 1, 1, lasting=True), AKASH: Held("mapped", "cpu", 1, 1, signed=True)}
    assert lasting_moves([program(step(1, 2))], held) == 1
    assert lasting_moves([program(step(2, 1))], held) == 0
    assert lasting_moves([program(step(2, 1, key=AKASH))], held) == 1
    assert lasting_moves([program(step(2, 1, key="rack-9/gone"))], held) == 1
    assert lasting_moves([program(step(1, 2))], {GOLEM: Held("golem", "cpu", 1, 1)}) == 0


# --- what a policy may do


def world(*more):
    return state([golem(4.0), workload(AKASH, 6.0, always(1.0)), *more])


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (Room(Bound.MOST, CPU, 1500), {"max_total": 5.5}),
        (Room(Bound.MOST, CPU, -9000), {"max_total": 0.0}),
        (Room(Bound.LEAST, CPU, 1500), {"min_total": 2.5}),
        (Room(Bound.LEAST, CPU, 9000), {"min_total": 0.0}),
        (Room(Bound.COUNT, CPU, 2), {"max_count": 3}),
        (Room(Bound.COUNT, CPU, -2), {"max_count": 0}),
    ],
)
def test_a_policy_may_use_what_is_left_beside_what_it_holds(room, told):
    found = parts_of(world(), [room])[0].constraint
    assert {name: getattr(found, name) for name in told} == told
    assert (found.protocol, found.resource, found.throughout) == ("golem", "cpu", True)


def test_what_is_not_known_may_already_be_all_of_it():
    [most] = parts_of(state([silent()]), [Room(Bound.MOST, CPU, 0)])
    [least] = parts_of(state([silent()]), [Room(Bound.LEAST, CPU, 0)])
    assert (most.constraint.max_total, least.constraint.min_total) == (12.0, 0.0)


def test_a_policy_without_such_workloads_is_asked_nothing():
    assert parts_of(world(), [Room(Bound.MOST, ("storj", "storage"), 5)]) == ()


def test_without_any_room_what_is_held_breaks_nothing():
    rooms = [Room(bound, CPU, 0) for bound in (Bound.MOST, Bound.LEAST, Bound.COUNT)]
    bound = bound_by(world(), parts_of(world(), rooms))
    assert len(bound.spec.constraints) == 3
    assert breaches(bound, allocations(bound.workloads)) == {}


def test_beside_a_policys_own_constraints_it_is_said_of_which_limit_each_is_a_part():
    own = world(), worlds.policy(constraints=[{"protocol": "golem", "maxTotal": 8}])
    rooms = [Room(Bound.MOST, ("storj", "storage"), 5, "disk"), Room(Bound.MOST, CPU, 500, "cores (not all keep it)")]
    kept = bound_by(replace(own[0], spec=own[1]), shares_of(spec({"maxShare": 0.5})))
    bound = bound_by(kept, parts_of(kept, rooms))
    assert [(each.max_total, each.max_share) for each in bound.spec.constraints] == [
        (8, None),
        (None, 0.5),
        (4.5, None),
    ]
    assert bound.parts == {1: "l0", 2: "cores (not all keep it)"}
    assert (kept.parts, own[1].constraints) == ({1: "l0"}, bound.spec.constraints[:1]), "what was given stays as it was"
