"""The order of steps: safe at every prefix, whatever becomes of each of them; and what counts as done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Move
from controller.plan.limits import needs
from controller.programs import Cause, Phase, Program, ProgramState, Step
from controller.sequence import (
    Act,
    Holdings,
    Unsafe,
    Verb,
    amiss,
    amounts_of,
    failed,
    goes_back,
    is_at,
    name_of,
    near,
    next_of,
    sequence,
    settled,
    sharing,
    steps_of,
)
from exporters.nodes import Allocation

NOW = 1_700_000_000.0
CPU = Allocation(resource="cpu", min=0, max=12, step=1)
GOLEM = Allocation(resource="cpu", min=2, max=10, step=1, with_={"memory": 2.0})
STORJ = Allocation(resource="storage", min=1, max=12, step=1, with_={"bandwidth": 2.0}, reserve=["bandwidth"])


def move(key: str, from_: float, to: float, gain: float = 1.0, resource: str = "cpu") -> Move:
    return Move(key, key.partition("/")[0], resource, from_, to, gain, 0.0)


def holdings(held: dict[str, float], cpu: float, of: Allocation = CPU, **more: float) -> Holdings:
    nodes = {key.partition("/")[0] for key in held}
    return Holdings(dict.fromkeys(held, of), held, {node: {"cpu": cpu, **more} for node in nodes})


def program(*moves: Move, at: Holdings) -> Program:
    return sequence(moves, at, policy="default", at=NOW, cause=Cause.PLAN, sentence="more is earned so")


def step(before: float, after: float, of: Allocation = CPU, **changes) -> Step:
    made = Step("a/x", "a", of.resource, amounts_of(of, before), amounts_of(of, after))
    return replace(made, **changes)


# --- from moves to steps


def test_a_driver_sets_the_companions_of_an_amount_apart_from_the_reserved_ones():
    assert amounts_of(GOLEM, 4.0) == {"cpu": 4.0, "memory": 8.0}
    assert amounts_of(STORJ, 4.0) == {"storage": 4.0}


def test_of_each_node_the_shrinks_come_first_then_what_brings_most_then_the_name():
    held = {"a/1": 4.0, "a/2": 4.0, "a/3": 4.0, "b/1": 4.0, "b/2": 4.0}
    moves = [
        move("b/2", 4, 6, gain=1.0), move("a/1", 4, 5, gain=1.0), move("a/2", 4, 5, gain=2.0), move("b/1", 4, 2, gain=-1.0),
        move("a/3", 4, 2, gain=-1.0),
    ]  # fmt: skip
    assert [each.key for each in program(*moves, at=holdings(held, 12.0)).steps] == ["a/3", "a/2", "a/1", "b/1", "b/2"]


def test_companions_go_back_to_what_the_node_reported_and_where_it_did_not_to_their_share():
    reported = {"a/x": {"cpu": 4.25, "memory": 9.0}}
    [known] = steps_of([move("a/x", 4, 6)], {"a/x": GOLEM}, reported)
    assert (known.before, known.after) == ({"cpu": 4.0, "memory": 9.0}, {"cpu": 6.0, "memory": 12.0})
    [unknown] = steps_of([move("a/x", 4, 6)], {"a/x": GOLEM}, {})
    assert unknown.before == {"cpu": 4.0, "memory": 8.0}


def test_the_same_program_always_has_the_same_name_and_another_one_another():
    at = holdings({"a/1": 4.0, "a/2": 4.0}, 8.0)
    first, again = (program(move("a/1", 4, 2), move("a/2", 4, 6), at=at) for _ in range(2))
    assert first == again
    assert first.id == name_of("default", NOW, Cause.PLAN, first.steps)
    assert first.state is ProgramState.PENDING
    assert program(move("a/1", 4, 2), move("a/2", 4, 5), at=at).id != first.id


# --- what has no safe order


@pytest.mark.parametrize(
    ("moves", "at", "said"),
    [
        pytest.param([move("a/1", 4, 5)], holdings({"a/1": 4.0, "a/2": 4.0}, 8.0), "9 of 8 cpu", id="no room"),
        pytest.param(
            [move("a/1", 4, 2), move("a/2", 4, 7)],
            holdings({"a/1": 4.0, "a/2": 4.0}, 8.0),
            "9 of 8 cpu",
            id="not enough freed",
        ),
        pytest.param(
            [move("a/1", 4, 5)],
            holdings({"a/1": 4.0, "a/2": 2.0}, 8.0, GOLEM, memory=13.0),
            "14 of 13 memory",
            id="of a companion",
        ),
        pytest.param(
            [move("a/1", 4, 5)],
            holdings({"a/1": 4.0}, 8.0, GOLEM),
            "10 of 0 memory",
            id="of what the node does not declare",
        ),
        pytest.param(
            [move("a/1", 2, 4)],
            Holdings({"a/1": CPU, "a/2": CPU}, {"a/1": 2.0}, {"a": {"cpu": 8.0}}),
            "how much cpu a/2 holds is not known",
            id="beside one of which nothing is known",
        ),
        pytest.param(
            [move("a/1", 2, 4)], holdings({"a/1": 6.0, "a/2": 3.0}, 8.0), "9 of 8 cpu", id="of what may still hold more"
        ),
    ],
)
def test_moves_without_a_safe_order_are_refused_with_the_numbers(moves, at, said):
    with pytest.raises(Unsafe, match=said):
        program(*moves, at=at)


def test_what_may_hold_more_than_its_plan_knows_makes_room_by_its_shrink_all_the_same():
    at = holdings({"a/1": 9.0, "a/2": 2.0, "a/3": 3.0}, 8.0)
    assert [each.key for each in program(move("a/1", 4, 2), move("a/2", 2, 3), at=at).steps] == ["a/1", "a/2"]


def test_one_who_needs_nothing_of_it_may_be_unknown():
    at = Holdings({"a/1": CPU, "a/s": STORJ}, {"a/1": 2.0}, {"a": {"cpu": 8.0}})
    assert program(move("a/1", 2, 4), at=at)
    assert sharing("a/1", at.allocations) == set()
    assert sharing("a/unknown", at.allocations) == {"a/1", "a/s"}


def test_a_program_without_moves_or_with_two_of_one_workload_is_a_mistake():
    at = holdings({"a/1": 4.0}, 8.0)
    with pytest.raises(ValueError, match="at least one move"):
        program(at=at)
    with pytest.raises(ValueError, match="twice"):
        program(move("a/1", 4, 5), move("a/1", 5, 6), at=at)


# --- what comes next

W, I, D, R, B = Phase.WAITING, Phase.ISSUED, Phase.DONE, Phase.RETURNING, Phase.RETURNED  # noqa: E741 as in the table


@pytest.mark.parametrize(
    ("phases", "fails", "then"),
    [
        ([W, W], None, (Verb.ISSUE, 0)),
        ([I, W], None, (Verb.AWAIT, 0)),
        ([D, W], None, (Verb.ISSUE, 1)),
        ([D, I], None, (Verb.AWAIT, 1)),
        ([D, D], None, None),
        ([W, W], 0, None),
        ([I, W], 0, (Verb.RETURN, 0)),
        ([D, W], 1, (Verb.RETURN, 0)),
        ([D, I], 1, (Verb.RETURN, 1)),
        ([D, R], 1, (Verb.AWAIT, 1)),
        ([D, B], 1, (Verb.RETURN, 0)),
        ([R, B], 1, (Verb.AWAIT, 0)),
        ([B, B], 1, None),
        ([D, D], 0, (Verb.RETURN, 1)),
    ],
    ids=lambda value: (
        "".join(each.value[0] if each is not B else "b" for each in value) if isinstance(value, list) else None
    ),
)
def test_what_comes_next_of_a_lane(phases, fails, then):
    lane = [
        Step(f"a/{i}", "a", "cpu", {"cpu": 1.0}, {"cpu": 2.0}, phase, failure="no" if i == fails else "")
        for i, phase in enumerate(phases)
    ]
    assert next_of(lane) == (then and Act(then[0], lane[then[1]]))


def test_the_first_reason_for_a_failure_stands_and_there_always_is_one():
    assert failed(failed(step(1, 2, note="waits"), "first"), "second").failure == "first"
    assert failed(step(1, 2, note="waits"), "first").note == ""
    assert failed(step(1, 2), "").failure


@pytest.mark.parametrize(
    ("phase", "held"),
    [(W, 4.0), (I, 6.0), (D, 6.0), (R, 6.0), (B, 4.0)],
    ids=lambda value: getattr(value, "value", None),
)
def test_a_grow_holds_the_larger_value_while_nobody_can_be_sure(phase, held):
    assert step(4, 6, phase=phase).held == held


@pytest.mark.parametrize(
    ("phase", "held"),
    [(W, 6.0), (I, 6.0), (D, 4.0), (R, 6.0), (B, 6.0)],
    ids=lambda value: getattr(value, "value", None),
)
def test_a_shrink_holds_the_larger_value_while_nobody_can_be_sure(phase, held):
    assert step(6, 4, phase=phase).held == held


# --- read back


@pytest.mark.parametrize(
    ("before", "after", "has", "there"),
    [
        (4.0, 6.0, 6.0, True),
        (4.0, 6.0, 6.25, True),
        (4.0, 6.0, 5.75, True),
        (4.0, 6.0, 5.7, False),
        (4.0, 6.0, 6.3, False),
        (4.0, 6.0, None, False),
        (4.0, 6.0, float("nan"), False),
        (4.2, 4.0, 4.2, False),
        (4.2, 4.0, 4.05, True),
        (4.2, 4.0, 4.06, False),
        (4.0, 4.0, 4.2, True),
    ],
)
def test_a_node_may_round_by_a_quarter_of_a_step_and_never_by_as_much_as_the_move(before, after, has, there):
    reported = {} if has is None else {"cpu": has}
    it = step(before, after)
    assert near(it, CPU, reported, it.after) is there
    if before != after:
        assert not (near(it, CPU, reported, it.before) and near(it, CPU, reported, it.after))


@pytest.mark.parametrize(
    ("before", "after", "reported", "odd"),
    [
        pytest.param(6, 4, {"cpu": 4.0, "memory": 8.0}, None, id="all of a shrink"),
        pytest.param(6, 4, {"cpu": 4.0}, None, id="what is not reported"),
        pytest.param(6, 4, {"cpu": 4.0, "memory": 8.5}, None, id="rounded"),
        pytest.param(6, 4, {"cpu": 4.0, "memory": 12.0}, "memory", id="a companion that is not freed"),
        pytest.param(6, 4, {"cpu": 4.0, "memory": 1.0}, None, id="more freed than asked for"),
        pytest.param(6, 4, {"cpu": 5.0, "memory": 12.0}, "cpu", id="its own first"),
        pytest.param(4, 6, {"cpu": 6.0, "memory": 12.0}, None, id="all of a grow"),
        pytest.param(4, 6, {"cpu": 6.0, "memory": 8.0}, "memory", id="a companion that did not come"),
        pytest.param(4, 6, {"cpu": 6.0, "memory": 16.0}, "memory", id="more than was asked for"),
        pytest.param(4, 6, {"cpu": 6.0, "memory": float("nan")}, "memory", id="no number"),
        pytest.param(4, 6, {"cpu": 6.0, "bandwidth": 99.0}, None, id="what it was not told"),
    ],
)
def test_companions_that_are_reported_are_read_back_too(before, after, reported, odd):
    it = step(before, after, GOLEM)
    assert amiss(it, GOLEM, reported, it.after) == odd
    assert is_at(it, GOLEM, reported, it.after) is (odd is None)


# --- every prefix


@st.composite
def nodes(draw):
    """Workloads of one or two nodes, moves that fit in the end, and as little room as that takes."""
    allocations: dict[str, Allocation] = {}
    held: dict[str, float] = {}
    moves, capacity = [], {}
    for node in draw(st.sampled_from([["a"], ["a", "b"]])):
        total: dict[str, list[float]] = {}
        for i in range(draw(st.integers(1, 6))):
            key, with_ = f"{node}/{i}", draw(st.sampled_from([{}, {"memory": 0.5}, {"memory": 2.0, "storage": 3.0}]))
            reserve = draw(st.sampled_from([[], ["memory"]])) if with_ else []
            it = Allocation(
                resource="cpu",
                min=1.0,
                max=9.0,
                step=draw(st.sampled_from([0.5, 1.0, 2.0])),
                with_=with_,
                reserve=reserve,
            )
            grid = st.integers(0, int(8 / it.step)).map(lambda k, it=it: 1.0 + k * it.step)
            has, to = draw(grid) + draw(st.sampled_from([0.0, 0.3])), draw(grid)
            allocations[key], held[key] = it, has
            if draw(st.booleans()):
                moves.append(move(key, has, to, draw(st.floats(-1, 1))))
            else:
                to = has
            for resource, per_unit in needs(it).items():
                both = total.setdefault(resource, [0.0, 0.0])
                both[0] += per_unit * has
                both[1] += per_unit * to
        capacity[node] = {resource: max(both) for resource, both in total.items()}
    return moves, Holdings(allocations, held, capacity)


def check_prefix(it: Program, at: Holdings) -> None:
    """What may be held now fits; each allocation is at one of its two values, or between them while it is unsettled."""
    held = {**at.held, **{each.key: each.held for each in it.steps}}
    for node, capacity in at.capacity.items():
        total: dict[str, float] = {}
        for key, amount in held.items():
            for resource, per_unit in needs(at.allocations[key]).items() if key.startswith(f"{node}/") else ():
                total[resource] = total.get(resource, 0.0) + per_unit * amount
        assert all(amount <= capacity[resource] * (1 + 1e-9) for resource, amount in total.items())


@given(nodes(), st.data())
def test_whatever_becomes_of_its_steps_what_is_held_fits_and_the_program_ends(made, data):
    moves, at = made
    if not moves:
        return
    it = program(*moves, at=at)
    for _ in range(4 * len(it.steps) + 2):
        check_prefix(it, at)
        acts = [act for node in it.nodes if (act := next_of(it.lane(node)))]
        if not acts:
            break
        act = data.draw(st.sampled_from(acts))
        lane, now = it.lane(act.step.node), act.step
        match act.verb:
            case Verb.ISSUE:
                if now.grows:
                    assert all(other.phase is Phase.DONE for other in lane if not other.grows)
                good = data.draw(st.booleans())
                it = it.with_step(replace(now, phase=Phase.ISSUED) if good else failed(now, "somebody else changed it"))
            case Verb.RETURN:
                assert all(other.phase in {Phase.WAITING, Phase.RETURNED} for other in lane[lane.index(now) + 1 :])
                it = it.with_step(replace(now, phase=Phase.RETURNING))
            case Verb.AWAIT if now.phase is Phase.RETURNING:
                it = it.with_step(replace(now, phase=Phase.RETURNED))
            case Verb.AWAIT:
                good = data.draw(st.booleans())
                it = it.with_step(replace(now, phase=Phase.DONE) if good else failed(now, "refused"))
    lanes = [it.lane(node) for node in it.nodes]
    assert settled(it) is (ProgramState.ROLLED_BACK if any(map(goes_back, lanes)) else ProgramState.APPLIED)
    for lane in lanes:
        ends = {Phase.WAITING, Phase.RETURNED} if goes_back(lane) else {Phase.DONE}
        assert {each.phase for each in lane} <= ends


@given(nodes())
def test_the_order_does_not_depend_on_the_order_of_the_moves(made):
    moves, at = made
    if moves:
        assert program(*moves, at=at) == program(*reversed(moves), at=at)
