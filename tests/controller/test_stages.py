"""Changes that go in stages (A7): the first part, what follows of what it brought, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.approvals import staged
from controller.model import Interval, Move, Reason
from controller.programs import Cause, ProgramState
from controller.promises import Outcome
from controller.sequence import Holdings, sequence
from controller.stages import clearly_worse, convincing, kept
from exporters.nodes import Allocation
from tests.controller import worlds
from tests.controller.desks import AKASH, DAY, GOLEM, House, busy, idle
from tests.controller.worlds import HOUR, NOW


def in_stages(*shares, mode="Auto", automatic=True, **limits):
    spec = worlds.policy(mode=mode, **({"maxStepPercent": 50} | limits))
    rollback = spec.rollback.model_copy(update={"stages": list(shares), "automatic": automatic})
    return spec.model_copy(update={"rollback": rollback})


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path, spec=in_stages(0.5, 1.0)) as found:
        yield found


def brought(low, expected, high):
    return {"realised": Interval(low, expected, high), "sentence": f"it brought {expected:+} USD/h"}


GOOD, BAD, UNCLEAR = brought(0.03, 0.04, 0.05), brought(-0.05, -0.04, -0.03), brought(-0.05, -0.001, 0.05)


async def after_first(house, **outcome):
    """The first stage done, its time over, and what came of it known."""
    await house.go()
    first = house.newest
    assert first.state is ProgramState.APPLIED
    house.later(2.5 * HOUR)
    house.judge(first, **outcome)
    await house.turn()
    return first


# --- the first part


async def test_the_first_stage_is_a_part_on_the_grid_that_fits(tmp_path):
    async with House(tmp_path, spec=in_stages(0.25, 1.0)) as house:
        await house.plan()
        assert {v.move.key: v.move.to for v in house.decision.verdicts} == {AKASH: 2.0, GOLEM: 10.0}
        assert {s.key: s.after["cpu"] for s in house.newest.steps} == {AKASH: 5.0, GOLEM: 7.0}
        assert "(stage 1 of 2)" in house.newest.sentence
        assert house.newest.promise.gain.expected < house.decision.plan.gain.expected


async def test_a_part_that_alone_would_bring_too_little_begins_where_the_whole_is_worth_it(tmp_path):
    async with House(tmp_path, spec=in_stages(0.25, 1.0, minImprovement={"usdPerHour": 0.03})) as house:
        await house.plan()
        assert house.decision.plan.gain.expected > 0.03 > house.newest.promise.gain.expected
        await house.turn()
        await house.work()
        assert house.states == ["applied"]


async def test_and_is_void_where_the_whole_is_not_any_more(tmp_path):
    async with House(tmp_path, spec=in_stages(0.25, 1.0)) as house:
        await house.plan()
        house.change(mode="Auto", maxStepPercent=50, minImprovement={"usdPerHour": 5.0})
        await house.turn()
        assert house.newest.said.startswith("void: LowGain")


async def test_a_share_that_is_less_than_a_step_is_passed_over(tmp_path):
    async with House(tmp_path, spec=in_stages(0.1, 0.5, 1.0)) as house:
        await house.plan()
        assert house.newest.stage.number == 2


@settings(max_examples=200, deadline=None)
@given(
    a=st.integers(0, 12), b=st.integers(0, 12), to_a=st.integers(0, 12), to_b=st.integers(0, 12),
    share=st.floats(0.01, 1.0), step=st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_every_part_of_a_change_that_fits_fits_and_keeps_to_the_grid(a, b, to_a, to_b, share, step):
    a, b, to_a, to_b = a * step, b * step, to_a * step, to_b * step
    bounds = Allocation(resource="cpu", min=0, max=12 * step, step=step)
    capacity = max(a + b, to_a + to_b)
    moves = [Move(k, "n", "cpu", x, to, 0.0, 0.0) for k, x, to in (("n/a", a, to_a), ("n/b", b, to_b)) if x != to]
    allocations = {"n/a": bounds, "n/b": bounds}
    part = staged(moves, share, allocations)
    for move in part:
        assert move.to % step == 0
        assert min(move.from_, move.to) >= 0
    if part:
        there = Holdings(allocations, {"n/a": a, "n/b": b}, {"n": {"cpu": capacity}})
        made = sequence(part, there, policy="p", at=0.0, cause=Cause.PLAN, sentence="")
        assert len(made.steps) == len(part)


def test_shrinks_alone_are_no_first_stage_where_somebody_is_to_grow():
    bounds = {
        "n/a": Allocation(resource="cpu", min=0, max=12, step=1),
        "n/b": Allocation(resource="cpu", min=0, max=12, step=4),
    }
    moves = [Move("n/a", "n", "cpu", 8, 4, 0.0, 0.0), Move("n/b", "n", "cpu", 4, 8, 0.1, 0.0)]
    assert staged(moves, 0.5, bounds) == []
    assert staged(moves, 1.0, bounds) == moves


# --- what follows


async def test_a_convincing_stage_is_followed_by_the_next_which_is_asked_of_the_guard(house):
    first = await after_first(house, **GOOD)
    assert house.has() == {AKASH: 4.0, GOLEM: 8.0}
    following = house.newest
    assert (following.cause, following.of, following.state) == (Cause.STAGE, first.id, ProgramState.APPROVED)
    await house.work()
    house.later(31)
    await house.turn()
    await house.work()
    assert house.has() == {AKASH: 2.0, GOLEM: 10.0}
    assert house.states == ["applied", "applied"]
    house.later(DAY)
    await house.turn()
    assert len(house.programs) == 2, "that was the last one"


async def test_a_stage_that_is_clearly_worse_goes_back_by_itself(house):
    first = await after_first(house, **BAD)
    assert (house.newest.cause, house.newest.of) == (Cause.ROLLBACK, first.id)
    await house.work()
    house.later(31)
    await house.turn()
    await house.work()
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    assert "stage 1 of 2 earns less than before" in house.newest.sentence


@pytest.mark.parametrize("outcome", [UNCLEAR, {"realised": None}], ids=["inconclusive", "unknown"])
async def test_an_inconclusive_one_asks_a_person_even_in_auto(house, outcome):
    await after_first(house, **outcome)
    assert house.newest.state is ProgramState.PENDING
    assert "what the stage before brought is not clear" in house.newest.said
    house.later(60)
    await house.go()
    assert house.has() == {AKASH: 4.0, GOLEM: 8.0}
    assert house.refused()[0] is Reason.PROGRAM_RUNNING, "and its workloads are left alone meanwhile"
    assert f"waits for stage 2 of 2, program {house.newest.id}" in house.refused()[1]
    await house.operations.approve(house.newest.id, "anna")
    await house.turn()
    await house.work()
    assert house.has() == {AKASH: 2.0, GOLEM: 10.0}


async def test_until_a_stage_is_judged_its_workloads_are_left_alone(house):
    await house.go()
    house.later(1.5 * HOUR)
    await house.plan()
    assert house.refused()[0] is Reason.PROGRAM_RUNNING
    assert "waits until stage 1 of 2" in house.refused()[1]


async def test_also_after_a_restart(tmp_path):
    async with House(tmp_path, spec=in_stages(0.5, 1.0)) as house:
        await house.go()
        house.later(1.5 * HOUR)
    async with house.again() as after:
        await after.plan()
        assert "waits until stage 1 of 2" in after.refused()[1]
        after.later(HOUR)
        after.judge(after.newest, **GOOD)
        await after.turn()
        assert after.newest.cause is Cause.STAGE


async def test_a_stage_that_was_refused_leaves_it_as_it_stands_and_frees_its_workloads(house):
    await after_first(house, **UNCLEAR)
    await house.operations.reject(house.newest.id, "anna")
    house.later(60)
    await house.turn()
    assert house.states == ["applied", "rejected"]
    await house.plan()
    assert house.refused() is None or house.refused()[0] is not Reason.PROGRAM_RUNNING


async def test_a_workload_that_the_first_part_left_as_it_was_is_not_lost(tmp_path):
    coarse = Allocation(resource="cpu", min=0, max=12, step=1)
    plots = {
        GOLEM: busy(bounds=coarse),
        AKASH: idle(),
        "rack-2/golem": busy(bounds=Allocation(resource="cpu", min=0, max=12, step=4), allocated=4.0, seen=4.0),
        "rack-2/akash": idle(bounds=Allocation(resource="cpu", min=0, max=12, step=4), allocated=8.0),
    }
    async with House(tmp_path, plots=plots, spec=in_stages(0.5, 1.0)) as house:
        await house.go()
        first = house.newest
        assert set(first.stage.last) == set(plots)
        assert {s.key for s in first.steps} != set(plots)
        house.later(2.5 * HOUR)
        house.judge(first, **GOOD)
        await house.turn()
        assert {s.key for s in house.newest.steps} == {s for s in plots if house.has()[s] != first.stage.last[s]}
        assert "rack-2/golem" in {s.key for s in house.newest.steps}
        for _ in range(2):
            await house.work()
            house.later(31)
            await house.turn()
        await house.work()
        assert house.has() == first.stage.last
        house.later(60)
        await house.operations.rollback(house.newest.id, "anna")
        await house.turn()
        await house.work()
        assert house.has() == first.stage.first, "the way back leads to before the first stage"


# --- what orcha does not do by itself


@pytest.mark.parametrize("mode", ["Suggest", "Off"])
@pytest.mark.parametrize("outcome", [GOOD, BAD], ids=["good", "bad"])
async def test_in_a_mode_that_does_not_act_it_goes_neither_on_nor_back(house, mode, outcome):
    await house.go()
    first = house.newest
    house.later(2.5 * HOUR)
    house.spec = in_stages(0.5, 1.0, mode=mode)
    house.declare()
    house.judge(first, **outcome)
    await house.turn()
    await house.work()
    assert len(house.programs) == 1
    assert house.has() == {AKASH: 4.0, GOLEM: 8.0}
    assert house.state().workloads[0].in_flight is None, "it stands as the whole"
    said = (await house.operations.records(first.id))[-1]
    assert (said.what, said.sentence) == ("stage", f"it ends with this stage: policy default is in mode {mode}")


async def test_what_a_person_changed_meanwhile_is_respected(house):
    await house.go()
    first = house.newest
    house.later(HOUR)
    await house.operations.rollback(first.id, "anna")
    await house.turn()
    await house.work()
    house.judge(first, **BAD)
    house.later(31)
    await house.turn()
    assert len(house.programs) == 2, "a person took it back, so nobody goes on from it"


async def test_what_was_changed_by_hand_meanwhile_is_neither_taken_on_nor_back(house):
    await house.go()
    first = house.newest
    house.plots[GOLEM].allocated = 7.0
    house.later(2.5 * HOUR)
    house.judge(first, **BAD)
    await house.turn()
    assert len(house.programs) == 1
    assert "does not have any more what the stage gave it" in (await house.operations.records(first.id))[-1].sentence


async def test_during_a_pause_nothing_follows(house):
    await house.go()
    first = house.newest
    house.later(2.5 * HOUR)
    await house.operations.pause("default", "anna")
    house.judge(first, **BAD)
    await house.turn()
    assert len(house.programs) == 1
    await house.operations.resume("default", "anna")
    await house.turn()
    assert house.newest.cause is Cause.ROLLBACK


async def test_with_automatic_rollback_off_a_person_is_asked_before_it_goes_back(tmp_path):
    async with House(tmp_path, spec=in_stages(0.5, 1.0, automatic=False)) as house:
        await after_first(house, **BAD)
        assert (house.newest.cause, house.newest.state) == (Cause.ROLLBACK, ProgramState.PENDING)
        await house.work()
        assert house.has() == {AKASH: 4.0, GOLEM: 8.0}
        await house.operations.approve(house.newest.id, "anna")
        await house.turn()
        await house.work()
        assert house.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_a_stage_is_counted_once_as_applied_however_it_goes_on(house):
    await house.go()
    first = house.newest
    house.later(2.5 * HOUR)
    house.spec = in_stages(0.5, 1.0, mode="Suggest")
    house.declare()
    house.judge(first, **GOOD)
    await house.turn()
    page = b"".join(house.metrics.render(openmetrics=False)).decode()
    assert 'orcha_programs_total{policy="default",result="applied"} 1.0' in page


async def test_what_was_promised_of_the_next_stage_is_in_proportion(house):
    first = await after_first(house, **GOOD)
    following = house.newest
    assert following.promise.gain.expected == pytest.approx(first.promise.gain.expected, rel=0.01)
    assert {part.key: (part.from_, part.to) for part in following.trial.parts} == {
        AKASH: (4.0, 2.0),
        GOLEM: (8.0, 10.0),
    }
    assert all(part.realised is None and not part.unknown for part in following.trial.parts)


# --- the judgement


def outcome(low, expected, high):
    return Outcome(NOW, Interval(low, expected, high), None, None, None, None, "")


@pytest.mark.parametrize(
    ("interval", "sure", "worse"),
    [
        ((-0.05, -0.04, -0.03), 0.9, True),
        ((-0.09, -0.04, 0.01), 0.9, False),  # 84.7 % sure
        ((-0.09, -0.04, 0.01), 0.8, True),
        ((0.01, 0.02, 0.03), 0.9, False),
        ((-0.01, -0.01, -0.01), 0.9, True),
        ((0.0, 0.0, 0.0), 0.9, False),
    ],
)
def test_clearly_worse_is_as_sure_as_is_asked_for(interval, sure, worse):
    assert clearly_worse(outcome(*interval), sure) is worse
    assert not clearly_worse(Outcome(NOW, None, None, None, None, None, "nobody knows"), 0.0)


async def test_convincing_is_what_kept_at_least_the_low_end_and_lost_nothing(house):
    await house.plan()
    promised = replace(house.newest.promise, gain=Interval(0.02, 0.03, 0.04))
    program = replace(house.newest, trial=replace(house.newest.trial, promise=promised))
    assert convincing(program, outcome(0, 0.02, 1))
    assert not convincing(program, outcome(0, 0.019, 1))
    bold = replace(promised, gain=Interval(-0.5, 0.03, 0.04))
    assert not convincing(replace(program, trial=replace(program.trial, promise=bold)), outcome(-1, -0.1, 1))
    assert not convincing(replace(program, trial=None), outcome(0, 9, 10))


async def test_what_stands_in_the_way_back_is_a_sentence(house):
    state = house.state()
    assert kept(GOLEM, "cpu", 5.0, state) == ""
    assert "is now allotted cpu, and had an amount of storage then" in kept(GOLEM, "storage", 5.0, state)
    assert "has no allocation under policy default" in kept("rack-9/golem", "cpu", 5.0, state)
    house.plots[GOLEM].irreversible = 5.5
    assert "5.5 of it cannot be taken back" in kept(GOLEM, "cpu", 5.0, house.state())
