"""From a State and its curves to choices and rows: limits, companions, fixed uses, constraints."""

import pytest

from controller.model import Reason
from controller.plan.problem import build
from tests.controller import worlds
from tests.controller.worlds import allocation, always, line, policy, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def built(world, *, without=(), pins=()):
    curves = {w.key: line(w.key, [0, 12], [0, 1]) for w in world.workloads if w.key not in without}
    return build(world, curves, dict.fromkeys(pins, (Reason.HOLD, "")))


def pair(spec=None, *, nodes=None, golem=None, akash=None):
    return state(
        [
            worlds.changed(workload(GOLEM, 6.0, always(6.0), protocol="golem"), **(golem or {})),
            worlds.changed(workload(AKASH, 6.0, always(2.0)), **(akash or {})),
        ],
        nodes, spec=spec,
    )  # fmt: skip


def values(world, key=GOLEM, **more):
    return next(c.x.tolist() for c in built(world, **more).problem.choices if c.key == key)


def rows(world, **more):
    return {row.name: row for row in built(world, **more).problem.rows}


@pytest.mark.parametrize(
    ("spec", "golem", "expected"),
    [
        (policy(), {}, [4, 5, 6, 7, 8]),
        (policy(maxStepPercent=50), {}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (policy(maxStepPercent=1), {}, [5, 6, 7]),
        (policy(), {"allocation": allocation(low=5, high=7)}, [5, 6, 7]),
        (policy(), {"allocation": allocation(freeze="grow")}, [4, 5, 6]),
        (policy(), {"allocation": allocation(freeze="shrink")}, [6, 7, 8]),
        (policy(), {"allocation": allocation(low=0.5)}, [4.5, 5.5, 6, 6.5, 7.5]),
        (policy(), {"allocation": allocation(low=8)}, [6, 8]),
        (policy(), {"allocation": allocation(low=9)}, [6]),
        (policy(), {"allocation": allocation(high=5)}, [4, 5, 6]),
        (policy(), {"reading": worlds.changed(worlds.reading(GOLEM, 6.0), irreversible={"cpu": 4.5})}, [5, 6, 7, 8]),
        (policy(), {"reading": worlds.changed(worlds.reading(GOLEM, 6.0), irreversible={"cpu": 9})}, [6, 7, 8]),
    ],
    ids=[
        "a fifth of the capacity", "half of it", "never under one step", "bounds", "may not grow", "may not shrink",
        "off the grid may stay", "up to the minimum", "too far from the minimum", "down to the maximum",
        "not below what is in use for good", "over what is in use for good",
    ],
)  # fmt: skip
def test_what_a_workload_may_be_given(spec, golem, expected):
    assert values(pair(spec, golem=golem)) == expected


@pytest.mark.parametrize(
    ("has", "expected"), [(6.0, [1, 2, 3, 4, 5, 6]), (1.0, [1, 2, 3]), (0.5, [0.5, 1, 2]), (0.0, [0, 1])]
)
def test_who_never_earned_keeps_a_step_or_what_it_has(has, expected):
    world = state([workload(GOLEM, has, always(0.0), used=0.0)], spec=policy(maxStepPercent=50))
    curve = worlds.changed(line(GOLEM, [0, 12], [0, 0]), value_per_unit_hour=None)
    [choice] = build(world, {GOLEM: curve}, {}).problem.choices
    assert choice.x.tolist()[: len(expected)] == expected


def test_companions_take_their_share_of_their_own_resource():
    along = allocation(step=2, **{"with": {"memory": 3.0}})
    world = pair(nodes=[worlds.node(cpu=12, memory=20)], golem={"allocation": along})
    memory = rows(world)["rack-1 memory"]
    assert memory.coefficient.tolist() == [1.5]
    assert memory.limit == 20.0


def test_who_is_not_planned_on_keeps_its_use():
    assert rows(pair(), without=[AKASH])["rack-1 cpu"].limit == 6.0


def test_a_pinned_workload_is_a_choice_without_a_choice():
    assert [c.pinned for c in built(pair(), pins=[AKASH]).problem.choices] == [True, False]


def test_nodes_do_not_share_their_resources():
    world = state(
        [workload("a/w", 2.0, always(2.0)), workload("b/w", 3.0, always(2.0))],
        [worlds.node("a", cpu=4), worlds.node("b", cpu=5)],
    )
    assert {name: row.limit for name, row in rows(world).items()} == {"a cpu": 4.0, "b cpu": 5.0}


@pytest.mark.parametrize(
    ("constraint", "name", "coefficients", "limit"),
    [
        ({"maxShare": 0.6}, "golem maxShare of cpu #0", [-0.6, 0.4], 0.0),
        ({"maxTotal": 8}, "golem maxTotal of cpu #0", [0.0, 1.0], 8.0),
        ({"minTotal": 5}, "golem minTotal of cpu #0", [0.0, -1.0], -5.0),
        ({"maxTotal": 3}, "golem maxTotal of cpu #0", [0.0, 1.0], 6.0),
    ],
    ids=["share", "at most", "at least", "broken already: no worse"],
)
def test_a_constraint_is_a_row_over_all_nodes(constraint, name, coefficients, limit):
    row = rows(pair(policy(constraints=[{"protocol": "golem"} | constraint])))[name]
    assert row.coefficient.tolist() == pytest.approx(coefficients)
    assert row.limit == pytest.approx(limit)


def test_what_is_not_planned_on_counts_in_a_share():
    row = rows(pair(policy(constraints=[{"protocol": "golem", "maxShare": 0.6}])), without=[AKASH])[
        "golem maxShare of cpu #0"
    ]
    assert row.coefficient.tolist() == pytest.approx([0.4])
    assert row.limit == pytest.approx(3.6)


@pytest.mark.parametrize(("most", "pinned"), [(1, ["b", "c"]), (2, ["c"]), (3, [])])
def test_with_so_many_running_the_idle_ones_stay_idle(most, pinned):
    names = {"a": 2.0, "b": 0.0, "c": 0.0}
    world = state(
        [workload(f"rack-1/{name}", has, always(1.0), protocol="golem") for name, has in names.items()],
        spec=policy(constraints=[{"protocol": "golem", "maxCount": most}]),
    )
    assert [c.key.split("/")[1] for c in built(world).problem.choices if c.pinned] == pinned


def test_a_constraint_over_somebody_unknown_pins_all_of_that_resource():
    silent = workload("rack-2/silent", 1.0, read=worlds.changed(worlds.reading("rack-2/silent", 1.0), allocated={}))
    world = pair(
        policy(constraints=[{"protocol": "golem", "maxShare": 0.9}]),
        nodes=[worlds.node(cpu=12), worlds.node("rack-2", cpu=4)],
    )
    world = worlds.changed(world, workloads=(*world.workloads, silent))
    assert all(c.pinned for c in built(world, without=["rack-2/silent"]).problem.choices)


def test_a_small_excess_of_float_arithmetic_is_none():
    third = 12 / 3
    world = state([workload(f"rack-1/w{i}", third + 1e-12, always(1.0)) for i in range(3)])
    assert built(world).left_out == {}


# --- what must hold throughout, and what cannot be taken back


def three(constraint, *, held=(6.0, 4.0, 0.0), **facts):
    """Golem on three nodes."""
    those = [workload(f"n{i}/golem", has, always(1.0), protocol="golem", used=has) for i, has in enumerate(held)]
    spec = policy(maxStepPercent=50, constraints=[{"protocol": "golem", "throughout": True} | constraint])
    nodes = [worlds.node(f"n{i}", cpu=12) for i in range(len(held))]
    return state(those, nodes, spec=spec if constraint else policy(maxStepPercent=50), **facts)


def spans(world, **more):
    return {c.key[:2]: (c.x[0], c.x[-1], c.current) for c in built(world, **more).problem.choices}


def test_throughout_nobody_by_itself_takes_more_than_there_is_room_for():
    world = three({"maxTotal": 11})
    assert {key: most for key, (_, most, _) in spans(world).items()} == {"n0": 7.0, "n1": 5.0, "n2": 1.0}
    row = rows(world)["golem maxTotal of cpu #0"]
    assert (row.coefficient.tolist(), row.limit) == ([1.0, 1.0, 1.0], 11.0)


def test_throughout_nobody_by_itself_gives_up_more_than_there_is_to_spare():
    world = three({"minTotal": 8})
    assert {key: least for key, (least, *_) in spans(world).items()} == {"n0": 4.0, "n1": 2.0, "n2": 0.0}
    assert rows(world)["golem minTotal of cpu #0"].limit == -8.0


def test_throughout_one_that_is_broken_lets_nobody_grow_and_all_shrink():
    found = spans(three({"maxTotal": 3}))
    assert all(most == has for _, most, has in found.values())
    assert found["n0"][0] == 0.0


def test_throughout_a_place_is_free_only_where_nobody_runs():
    assert [c.key[:2] for c in built(three({"maxCount": 2})).problem.choices if c.pinned] == ["n2"]
    assert [c.key[:2] for c in built(three({"maxCount": 3})).problem.choices if c.pinned] == []


def test_throughout_who_is_unknown_may_hold_all_that_it_may_ever_have():
    world = three({"maxTotal": 23})
    dumb = worlds.changed(worlds.reading("n2/golem", 0.0), allocated={})
    silent = workload("n2/golem", 0.0, read=dumb, protocol="golem")
    world = worlds.changed(world, workloads=(*world.workloads[:2], silent))
    found = spans(world, without=["n2/golem"])
    assert {key: most for key, (_, most, _) in found.items()} == {"n0": 7.0, "n1": 5.0}


def test_a_constraint_of_another_resource_is_no_row():
    assert "golem maxTotal of cpu #0" not in rows(three({"maxTotal": 3, "resource": "storage"}))
    assert "golem maxTotal of cpu #0" in rows(three({"maxTotal": 3, "resource": "cpu"}))


def lasting(permits, **more):
    traits = worlds.changed(worlds.DEMAND, irreversible=True)
    world = three({}, permits=permits)
    return worlds.changed(world, workloads=tuple(worlds.changed(w, traits=traits, **more) for w in world.workloads))


def gains(world):
    curves = {f"n{i}/golem": line(f"n{i}/golem", [0, 12], [0, worth]) for i, worth in enumerate([1.0, 3.0, 2.0])}
    return {c.key[:2]: (c.x[-1] > c.current, c.pinned) for c in build(world, curves, {}).problem.choices}


@pytest.mark.parametrize(
    ("permits", "grow"), [(None, "n0 n1 n2"), (2, "n1 n2"), (1, "n1"), (0, "")], ids=["any", "two", "one", "none"]
)
def test_only_those_that_might_gain_most_may_grow_what_cannot_be_taken_back(permits, grow):
    found = gains(lasting(permits))
    assert " ".join(key for key, (grows, _) in found.items() if grows) == grow
    assert not any(pinned for _, pinned in found.values()), "all may shrink"


def test_what_a_person_has_to_sign_does_not_move_at_all_without_a_permit():
    assert [pinned for _, pinned in gains(lasting(1, driver="handout")).values()] == [True, False, True]


def test_what_is_only_shown_is_planned_without_a_permit():
    assert all(grows for grows, _ in gains(lasting(0, mode="Suggest")).values())
