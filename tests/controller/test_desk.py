"""The Desk over a journal on the disk: what is queued, what begins when, what ends how, and what a restart finds."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from controller import tables
from controller.address import StoreError, StoreFenced, StoreFull
from controller.consent import Consent
from controller.model import Reason
from controller.programs import Cause, Pause, Phase, ProgramState
from controller.promises import Kind
from controller.refusals import NotPossible
from controller.writing import insert
from exporters.nodes import Allocation
from tests.controller import worlds
from tests.controller.desks import AKASH, BOUNDS, DAY, GOLEM, House, busy, idle, two_racks
from tests.controller.worlds import HOUR

PENDING, APPROVED, RUNNING = ProgramState.PENDING, ProgramState.APPROVED, ProgramState.RUNNING
APPLIED, BLOCKED = ProgramState.APPLIED, ProgramState.BLOCKED
NIGHT = [{"cron": "0 7 * * *", "duration": "3h"}]  # NOW is 08:00 UTC


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as found:
        yield found


# --- what becomes of a decision


async def test_suggest_never_makes_a_program(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Suggest")) as house:
        await house.go()
        assert house.decision.reason is Reason.MODE_SUGGEST
        assert house.programs == ()
        assert house.effects == []


async def test_approve_makes_a_pending_one_and_nothing_is_done_before_a_word(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        for _ in range(10):
            await house.go()
            house.later(HOUR)
        assert house.states == ["pending"]
        assert house.effects == []
        assert house.newest.expires == house.newest.at + DAY
        await house.operations.approve(house.newest.id, "anna")
        await house.turn()
        await house.work()
        assert house.states == ["applied"]
        assert house.has() == {AKASH: 4.0, GOLEM: 8.0}


async def test_auto_makes_an_approved_one_that_begins_after_the_guard_was_asked_on_a_fresh_look(house):
    await house.plan()
    assert house.states == ["approved"]
    assert house.effects == []
    house.plots[GOLEM].allocated = 5.0  # somebody was faster
    await house.turn()
    await house.work()
    assert house.states == ["superseded"]
    assert "void: Stale: the plan was made when rack-1/golem had 6 cpu; it has 5" in house.newest.said
    assert house.effects == []


async def test_a_workload_in_mode_approve_under_an_auto_policy_makes_the_program_pending(tmp_path):
    async with House(tmp_path, plots={GOLEM: busy(mode="Approve"), AKASH: idle()}) as house:
        await house.go()
        assert house.states == ["pending"]


async def test_what_has_no_actuator_is_only_shown(tmp_path):
    async with House(tmp_path, plots={GOLEM: busy(actuator="none"), AKASH: idle(actuator="none")}) as house:
        await house.go()
        assert house.programs == ()
        assert "no actuator is declared for it" in house.decision.verdicts[0].sentence


async def test_the_same_plan_again_keeps_the_program_and_its_id(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        first = house.newest
        for _ in range(5):
            house.later(60)
            await house.plan()
        assert house.programs == (first,)


async def test_a_target_within_a_step_keeps_it_too_and_one_further_away_takes_its_place(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        first = house.newest
        house.later(60)
        house.change(mode="Approve", maxStepPercent=10)  # 1 core rather than 2
        await house.plan()
        assert house.decision.verdicts[0].move.to == 5.0
        assert house.programs == (first,)
        house.change(mode="Approve", maxStepPercent=35)  # 4 cores
        await house.plan()
        assert house.states == ["superseded", "pending"]
        assert f"program {house.newest.id} wants something else" in house.desk.find(first.id).said


async def test_what_a_person_said_no_to_is_not_asked_again_while_that_word_counts(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.reject(house.newest.id, "anna")
        for _ in range(3):
            house.later(HOUR)
            await house.go()
        assert house.states == ["rejected"]
        house.later(DAY)
        await house.plan()
        assert house.states == ["rejected", "pending"]


async def test_something_else_than_was_refused_is_proposed(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.reject(house.newest.id, "anna")
        house.later(60)
        house.change(mode="Approve", maxStepPercent=35)
        await house.plan()
        assert house.states == ["rejected", "pending"]


async def test_nobody_says_a_word_and_it_expires(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        house.later(DAY - 1)
        await house.turn()
        assert house.states == ["pending"]
        house.later(1)
        await house.turn()
        assert house.states == ["expired"]
        assert house.newest.said == "nobody approved it until 2027-01-16 08:00 UTC"


async def test_an_approved_one_that_never_can_begin_expires_as_well(tmp_path):
    async with House(tmp_path, blocked="Prometheus does not answer") as house:
        house.blocked = None
        await house.plan()
        house.blocked = "Prometheus at http://p:9090 did not answer within 5 s"
        await house.turn()
        assert "did not answer" in house.newest.said
        house.later(DAY)
        await house.turn()
        assert house.states == ["expired"]
        assert "it could not begin until" in house.newest.said


async def test_a_word_in_git_approves_and_another_rejects(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        house.annotations["orcha.dev/approve"] = f"p-00000000, {house.newest.id}"
        house.declare()
        await house.turn()
        await house.work()
        assert house.states == ["applied"]
        records = await house.operations.records(house.newest.id)
        assert any(each.by == "manifests (annotation orcha.dev/approve of policy default)" for each in records)


async def test_of_two_words_in_git_no_is_the_stronger(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        house.annotations = dict.fromkeys(("orcha.dev/approve", "orcha.dev/reject"), house.newest.id)
        house.declare()
        await house.turn()
        assert house.states == ["rejected"]


async def test_a_no_in_git_also_stops_what_auto_approved_and_waits(tmp_path):
    async with House(tmp_path) as house:
        await house.plan()
        house.annotations["orcha.dev/reject"] = house.newest.id
        house.declare()
        await house.go()
        assert house.states == ["rejected"]
        assert house.effects == []


async def test_a_policy_that_is_gone_takes_what_waits_with_it(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        house.gone = True
        house.declare()
        await house.turn()
        assert house.states == ["superseded"]
        assert house.newest.said == "policy default is gone"


# --- asked again before it begins


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda house: setattr(house.plots[AKASH], "allocated", 7.0), "Stale"),
        (lambda house: setattr(house.plots[GOLEM], "bounds", Allocation(resource="cpu", min=0, max=7, step=1)), "Bounds"),
        (lambda house: house.change(mode="Suggest"), "ModeSuggest"),
        (lambda house: house.change(mode="Off"), "ModeOff"),
        (lambda house: vars(house.plots[GOLEM]).update(seen=1.0, full=False), "LowGain"),
    ],
    ids=["it holds something else", "its bounds are others", "the mode is Suggest", "the mode is Off", "nothing is gained"],
)  # fmt: skip
async def test_an_approval_after_the_world_changed_is_void_and_says_why(tmp_path, spoil, why):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.approve(house.newest.id, "anna")
        spoil(house)
        await house.turn()
        await house.work()
        assert house.states == ["superseded"]
        assert house.newest.said.startswith(f"void: {why}: ")
        assert house.effects == []


@pytest.mark.parametrize(
    ("stop", "go", "why"),
    [
        (
            lambda house: house.change(mode="Approve", freezeWindows=NIGHT), lambda house: house.later(2 * HOUR),
            "FreezeWindow: a freeze window (0 7 * * *) is open until 2027-01-15 10:00 UTC",
        ),
        (
            lambda house: setattr(house, "blocked", "Prometheus at http://p:9090 did not answer within 5 s"),
            lambda house: setattr(house, "blocked", None), "Blocked: blockWhile of policy default holds: Prometheus at",
        ),
        (
            lambda house: house.outcomes.settle(GOLEM, "cpu", 6.0, house.clock.time()), lambda house: house.later(HOUR),
            "Hold: rack-1/golem was moved",
        ),
        (
            lambda house: setattr(house.plots[GOLEM], "up", False), lambda house: setattr(house.plots[GOLEM], "up", True),
            "Disconnected",
        ),
    ],
    ids=["a freeze window", "blockWhile", "a hold", "a node that does not answer"],
)  # fmt: skip
async def test_what_passes_by_itself_only_lets_it_wait_and_then_it_begins(tmp_path, stop, go, why):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.approve(house.newest.id, "anna")
        stop(house)
        for _ in range(3):
            await house.turn()
            house.later(31)
        assert house.states == ["approved"]
        assert house.newest.said.startswith(f"waits: {why}")
        go(house)
        house.later(31)
        await house.turn()
        await house.work()
        assert house.states == ["applied"]


async def test_others_may_have_it_wait_to_the_very_last_or_make_it_void(house):
    waits, void = ["another site comes first"], [""]
    house.desk.consent = Consent(lambda _: waits[0], lambda _: void[0])
    await house.go()
    assert (house.states, house.effects) == (["approved"], [])
    assert house.newest.said == "waits: another site comes first"
    waits[0] = ""
    house.later(60)
    await house.turn()
    assert [each.state for each in house.desk.under_way()] == [RUNNING], "it counts before it is in the journal"
    await house.work()
    assert house.states == ["applied"]


async def test_what_others_took_back_never_begins(house):
    house.desk.consent = Consent(void=lambda _: "p-9 of north takes it back")
    await house.go()
    assert (house.states, house.newest.said) == (["superseded"], "void: p-9 of north takes it back")
    assert house.effects == []


async def test_what_a_person_wants_asks_the_others_too(house):
    await house.go()
    house.desk.consent = Consent(lambda _: "fleet limit cores")
    await house.operations.rollback(house.newest.id, "anna")
    await house.turn()
    await house.work()
    assert house.states == ["applied", "approved"]


async def test_what_it_waits_for_is_shown_and_not_written_again_and_again(house):
    await house.plan()
    house.outcomes.settle(GOLEM, "cpu", 6.0, house.clock.time())
    for _ in range(20):
        await house.turn()
        house.later(60)
    assert "was moved 19m" in house.newest.said
    assert [each.what for each in await house.operations.records(house.newest.id)] == ["approved"]


async def test_what_orcha_approved_by_itself_waits_for_a_word_once_the_policy_asks(tmp_path):
    async with House(tmp_path, blocked="an alert fires") as house:
        house.blocked = None
        await house.plan()
        house.blocked = "an alert fires"
        await house.turn()
        house.change(mode="Approve")
        house.blocked = None
        house.later(31)
        await house.turn()
        await house.work()
        assert house.states == ["pending"]
        assert house.effects == []
        house.change(mode="Auto")
        await house.plan()
        house.later(31)
        await house.turn()
        await house.work()
        assert house.states == ["applied"], "and in Auto it needs none again"


async def test_what_a_person_approved_stays_approved_whatever_the_mode_that_acts(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.approve(house.newest.id, "anna")
        await house.plan()
        await house.turn()
        await house.work()
        assert house.states == ["applied"]


async def test_a_rise_that_lasted_as_long_as_it_must_is_not_asked_to_last_again(tmp_path):
    spec = worlds.policy(mode="Auto", objective={"riseAnalyses": 3})
    async with House(tmp_path, plots={GOLEM: busy(), AKASH: idle()}, spec=spec) as house:
        await house.desk.hand_over(house.outcomes)
        from controller.decide import decide

        state = replace(house.desk.pace(house.outcomes.catch_up(house.state())), rises=2)
        await house.desk.consider(decide(state))
        await house.turn()
        await house.work()
        assert house.states == ["applied"]


async def test_moving_costs_are_asked_for_again_too(tmp_path):
    plots = {GOLEM: busy(), AKASH: idle()}
    async with House(tmp_path, plots=plots) as house:
        await house.plan()
        for plot in plots.values():
            plot.traits = replace(plot.traits, fees_usd=50.0)
        await house.turn()
        await house.work()
        assert house.newest.said.startswith("void: NoPayback")


# --- while the guard is asked, people go on


async def test_what_was_rejected_while_the_guard_was_asked_does_not_begin(house):
    await house.plan()
    look = house.desk.look

    async def slow(policy, keys):
        state = await look(policy, keys)
        await house.operations.reject(house.newest.id, "anna")
        return state

    house.desk.look = slow
    await house.turn()
    await house.work()
    assert house.states == ["rejected"]
    assert house.effects == []


async def test_a_pause_that_comes_while_the_guard_is_asked_is_obeyed(house):
    await house.plan()
    look = house.desk.look

    async def slow(policy, keys):
        state = await look(policy, keys)
        await house.operations.pause(None, "anna")
        return state

    house.desk.look = slow
    await house.turn()
    assert not house.desk._tasks
    assert house.states == ["approved"]


async def test_of_a_yes_and_a_no_at_once_the_first_counts_and_the_other_hears_of_it(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        id_ = house.newest.id
        both = await asyncio.gather(
            house.operations.reject(id_, "anna"), house.operations.approve(id_, "ben"), return_exceptions=True
        )
        assert sum(isinstance(each, NotPossible) for each in both) == 1
        await house.turn()
        await house.work()
        said = house.desk.find(id_).state
        assert said in {ProgramState.REJECTED, ProgramState.APPLIED}
        assert (await house.journal.program(id_)).state is said


# --- pause


@pytest.mark.parametrize("whom", ["default", None], ids=["the policy", "all"])
async def test_a_pause_begins_nothing_and_resume_does(house, whom):
    await house.plan()
    await house.operations.pause(whom, "anna", "I look at it first")
    await house.turn()
    assert house.states == ["approved"]
    assert not house.desk._tasks
    await house.plan()
    assert house.decision.reason is Reason.PAUSED
    await house.operations.resume(whom, "anna")
    house.later(31)
    await house.turn()
    await house.work()
    assert house.states == ["applied"]


async def test_a_pause_holds_what_is_on_its_way_before_its_next_step(house):
    house.plots[AKASH].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    await house.operations.pause("default", "anna")
    house.plots[AKASH].late = False
    await house.work(3 * HOUR)
    assert house.effects == []
    assert house.states == ["running"]
    await house.operations.resume("default", "anna")
    await house.work()
    assert house.states == ["applied"]


async def test_a_pause_survives_a_restart(tmp_path):
    async with House(tmp_path) as house:
        await house.operations.pause("default", "anna", "a holiday")
    async with house.again() as after:
        assert after.desk.pauses == {"default": Pause(after.clock.time(), "anna", "a holiday")}
        await after.go()
        assert after.programs == ()


# --- how many


async def test_the_rate_counts_what_began_also_what_was_taken_back_and_survives_a_restart(tmp_path):
    plots = two_racks()
    for plot in plots.values():
        plot.refuses = "no, never"
    async with House(tmp_path, plots=plots, spec=worlds.policy(maxProgramsPerHour=2)) as house:
        await house.go()
        assert house.states == ["rolled_back"]
        for plot in plots.values():
            plot.refuses = ""
        house.plots["rack-3/golem"], house.plots["rack-3/akash"] = busy(), idle()
        house.declare()
        house.later(60)
        await house.go()
        assert house.states == ["rolled_back", "applied"]
        house.plots["rack-4/golem"], house.plots["rack-4/akash"] = busy(), idle()
    async with house.again() as after:
        after.later(60)
        await after.go()
        assert after.decision.reason is Reason.RATE_LIMIT
        assert "2 programs ran in the last hour, of 2 allowed" in after.decision.sentence
        after.clock.advance(after.programs[0].began + HOUR - 1)
        await after.go()
        assert after.states == ["rolled_back", "applied"]
        after.later(2)
        await after.go()
        assert after.states == ["rolled_back", "applied", "applied"]


async def test_what_was_moved_is_held(house):
    await house.go()
    house.later(HOUR - 1)
    await house.plan()
    assert house.refused()[0] is Reason.HOLD
    house.later(1)
    await house.plan()
    assert house.refused() is None


async def test_one_program_at_a_time_per_policy(tmp_path):
    async with House(tmp_path, plots=two_racks(**{AKASH: idle(late=True)})) as house:
        house.plots["rack-2/golem"].bounds = Allocation(resource="cpu", min=0, max=6, step=1)
        house.declare()
        await house.plan()
        assert {step.node for step in house.newest.steps} == {"rack-1"}
        await house.turn()
        await house.work(5)
        house.plots["rack-2/golem"].bounds = BOUNDS
        await house.plan()
        await house.turn()
        assert house.states == ["running", "approved"]
        assert house.newest.said == f"waits: program {house.programs[0].id} comes first"
        house.plots[AKASH].late = False
        await house.work()
        house.later(31)
        await house.turn()
        await house.work()
        assert house.states == ["applied", "applied"]


async def test_a_blocked_one_does_not_stop_other_nodes_and_begins_nothing_on_its_own(tmp_path):
    async with House(tmp_path, plots=two_racks()) as house:
        for key in ("rack-2/golem", "rack-2/akash"):
            house.plots[key].bounds = Allocation(resource="cpu", min=6, max=6, step=1)
        house.plots[AKASH].stuck = True
        await house.plan()
        await house.turn()
        await house.work(2)
        house.plots[AKASH].up = False
        await house.work(HOUR)
        assert house.states == ["blocked"]
        for key in ("rack-2/golem", "rack-2/akash"):
            house.plots[key].bounds = BOUNDS
        await house.plan()
        assert {step.node for step in house.newest.steps} == {"rack-2"}
        house.later(1000)
        await house.turn()  # the blocked one is tried once more: still it stops nobody
        await house.work(2)
        house.later(31)
        await house.turn()
        await house.work(20)
        assert house.states[1] == "applied"
        assert house.has()["rack-2/golem"] == 8.0


async def test_two_that_may_begin_in_one_turn_do_not_begin_on_one_node(house):
    await house.go()
    first = house.newest
    house.later(2 * HOUR)
    await house.operations.rollback(first.id, "anna")
    house.later(1)
    await house.operations.release(None, "ben")
    await house.turn()
    assert len(house.desk._tasks) == 1
    await house.work()
    house.later(31)
    await house.turn()
    await house.work()
    assert house.states == ["applied", "applied", "superseded"]
    assert house.newest.said == "everything has that already" or house.programs[1].said == "everything has that already"
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_what_is_in_flight_holds_the_larger_value_in_the_next_plan(house):
    house.plots[AKASH].stuck = True
    await house.plan()
    await house.turn()
    await house.work(5)
    assert house.newest.step(AKASH).phase is Phase.ISSUED
    state = house.state()
    assert {w.key: w.in_flight for w in state.workloads} == {AKASH: 6.0, GOLEM: 6.0}
    house.plots[AKASH].allocated, house.plots[AKASH].stuck = 4.0, False
    await house.work()
    house.plots[GOLEM].stuck = True
    assert house.states == ["applied"]


async def test_the_next_plan_leaves_what_is_on_its_way_alone(house):
    house.plots[AKASH].stuck = True
    await house.plan()
    await house.turn()
    await house.work(5)
    house.later(30)
    await house.plan()
    assert house.refused()[0] is Reason.PROGRAM_RUNNING
    assert f"is being changed by program {house.newest.id}" in house.refused()[1]
    assert len(house.programs) == 1


# --- what failed


async def test_what_failed_is_left_alone_for_one_hour_then_two_and_an_applied_one_begins_anew(tmp_path):
    async with House(tmp_path, spec=worlds.policy(hold="1m")) as house:
        house.plots[AKASH].refuses = "the disk is full"
        rests = []
        for _ in range(7):
            await house.go()
            assert house.newest.state is ProgramState.ROLLED_BACK
            began = house.clock.time()
            house.later(60)
            await house.plan()
            assert house.refused(AKASH)[0] is Reason.INFEASIBLE
            assert "the disk is full" in house.refused(AKASH)[1]
            while house.refused(AKASH) is not None and house.refused(AKASH)[0] is Reason.INFEASIBLE:
                house.later(900)
                await house.plan()
            rests.append(round((house.clock.time() - began) / HOUR))
        assert rests == [1, 2, 4, 8, 16, 24, 24]
        house.plots[AKASH].refuses = ""
        await house.go()
        assert house.newest.state is APPLIED
        assert house.state().workloads[0].infeasible == ""


async def test_its_owner_can_have_it_tried_again_at_once(house):
    house.plots[AKASH].refuses = "the disk is full"
    await house.go()
    house.later(60)
    await house.operations.resume(AKASH, "anna")
    await house.plan()
    assert house.refused(AKASH) is None or house.refused(AKASH)[0] is not Reason.INFEASIBLE


async def test_a_manual_change_is_respected_until_its_owner_says_resume(house):
    await house.plan()
    await house.turn()
    await house.work()
    house.later(2 * HOUR)
    await house.plan()
    house.plots[GOLEM].allocated = 5.0
    for _ in range(3):
        house.later(60)
        await house.plan()
    assert house.refused()[0] is Reason.MANUAL_CHANGE
    house.later(5 * DAY)
    await house.go()
    assert house.refused()[0] is Reason.MANUAL_CHANGE
    assert house.has()[GOLEM] == 5.0
    await house.operations.resume(GOLEM, "anna")
    house.later(60)
    await house.go()
    assert house.has()[GOLEM] == 7.0


# --- a restart


async def test_what_ran_goes_on_after_a_restart(tmp_path):
    async with House(tmp_path) as house:
        house.plots[GOLEM].late = True
        await house.plan()
        await house.turn()
        await house.work(5)
        assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
    house.plots[GOLEM].late = False
    async with house.again() as after:
        assert after.states == ["running"]
        await after.turn()
        await after.work()
        assert after.states == ["applied"]
        assert after.effects == [(GOLEM, 8.0)], "what was done is not done again"


async def test_what_was_interrupted_for_long_goes_back(tmp_path):
    async with House(tmp_path) as house:
        house.plots[GOLEM].late = True
        await house.plan()
        await house.turn()
        await house.work(5)
    house.plots[GOLEM].late = False
    house.later(3 * HOUR)
    async with house.again() as after:
        await after.turn()
        await after.work()
        assert after.states == ["rolled_back"]
        assert "it was interrupted for" in after.newest.said
        assert after.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_what_is_blocked_is_tried_when_it_is_due_also_after_a_restart(tmp_path):
    async with House(tmp_path) as house:
        house.plots[AKASH].stuck = True
        await house.plan()
        await house.turn()
        await house.work(2)
        house.plots[AKASH].up = False
        await house.work(HOUR)
        assert house.states == ["blocked"]
        due = house.newest.retry_at
        assert due is not None
    house.plots[AKASH].up, house.plots[AKASH].stuck = True, False
    async with house.again() as after:
        after.good[AKASH] = after.reading(AKASH)
        await after.turn()
        assert not after.desk._tasks, "it is not due"
        after.clock.advance(due)
        await after.turn()
        await after.work()
        assert after.states == ["applied"]


async def test_what_waited_for_a_word_still_does_after_a_restart(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        first = house.newest
    async with house.again() as after:
        assert after.programs == (first,)
        after.later(60)
        await after.plan()
        assert after.programs == (first,)
        await after.operations.approve(first.id, "anna")
        await after.turn()
        await after.work()
        assert after.states == ["applied"]


async def test_a_program_of_another_version_that_is_not_over_lets_nothing_begin_and_is_said(tmp_path):
    async with House(tmp_path) as house:
        async with house.store.transaction() as connection:
            row = {
                "id": "p-odd",
                "policy": "default",
                "at": 1.0,
                "state": "running",
                "changed": 1.0,
                "body": '{"v": 9}',
            }
            await insert(connection, tables.programs, [row])
        await house.plan()
        waiting = house.newest
    async with house.again() as after:
        await after.go()
        assert after.effects == []
        assert after.desk.find(waiting.id).state is APPROVED
        assert "p-odd was written by another version of orcha" in after.decision.sentence
        assert "resume" not in after.decision.sentence
        with pytest.raises(NotPossible, match="p-odd"):
            await after.operations.release(None, "anna")


# --- told once


async def test_what_was_applied_is_a_trial_of_its_moves_with_the_plans_promise(house):
    await house.go()
    [trial] = house.outcomes.ledgers["default"].programs
    assert (trial.id, trial.kind) == (house.newest.id, Kind.APPLIED)
    assert {part.key: (part.from_, part.to, part.at) for part in trial.parts} == {
        AKASH: (6.0, 4.0, house.newest.changed), GOLEM: (6.0, 8.0, house.newest.changed),
    }  # fmt: skip
    assert trial.promise == house.newest.promise
    assert house.outcomes.changes[GOLEM].last_moved == house.newest.changed


async def test_of_what_was_applied_in_part_only_that_is_judged_and_nothing_is_promised(tmp_path):
    async with House(tmp_path, plots=two_racks(**{"rack-2/akash": idle(refuses="no")})) as house:
        await house.go()
        assert house.states == ["rolled_back"]
        [trial] = house.outcomes.ledgers["default"].programs
        assert {part.key for part in trial.parts} == {AKASH, GOLEM}
        assert trial.promise is None
        assert "rack-2/golem" not in house.outcomes.changes or house.outcomes.changes["rack-2/golem"].last_moved is None


async def test_what_ended_just_before_a_kill_is_told_after_the_restart_and_only_once(tmp_path):
    async with House(tmp_path) as house:
        await house.plan()
        await house.turn()
        await house.work()  # killed before anybody was told
    async with house.again() as after:
        await after.desk.hand_over(after.outcomes)
        [trial] = after.outcomes.ledgers["default"].programs
        assert trial.id == after.newest.id
        for _ in range(3):
            after.later(60)
            await after.plan()
        assert after.refused()[0] is Reason.HOLD, "and not ManualChange"
        assert after.outcomes.changes[GOLEM].manual_change_at is None
    async with after.again() as third:
        assert third.desk._untold == []
        assert len(third.outcomes.ledgers["default"].programs) == 1


async def test_no_change_by_hand_is_seen_in_what_is_on_its_way_or_was_returned(house):
    house.plots[GOLEM].refuses = "no"
    await house.plan()
    await house.turn()
    await house.work(5)
    for _ in range(3):
        house.later(60)
        await house.plan()
    await house.work()
    assert house.newest.state is ProgramState.ROLLED_BACK
    assert house.newest.step(AKASH).phase is Phase.RETURNED
    for _ in range(3):
        house.later(60)
        await house.plan()
    assert all(change.manual_change_at is None for change in house.outcomes.changes.values())


async def test_what_was_given_up_half_way_is_no_change_by_hand(house):
    house.plots[GOLEM].stuck = True
    await house.plan()
    await house.turn()
    await house.work(2)
    house.plots[GOLEM].up = False
    await house.work(HOUR)
    assert house.states == ["blocked"]
    await house.operations.reject(house.newest.id, "anna", "I mend it myself")
    house.plots[GOLEM].up = True
    for _ in range(3):
        house.later(60)
        await house.plan()
    assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
    assert all(change.manual_change_at is None for change in house.outcomes.changes.values())


async def test_a_change_that_was_taken_back_is_not_judged_as_if_it_stood(house):
    await house.go()
    house.later(1.5 * HOUR)
    await house.operations.rollback(house.newest.id, "anna")
    await house.turn()
    await house.work()
    await house.desk.hand_over(house.outcomes)
    first, back = sorted(house.outcomes.ledgers["default"].programs, key=lambda each: each.at)
    assert all(part.until == back.parts[0].at for part in first.parts)
    assert back.promise is None, "nobody promised anything, so it teaches nothing"


# --- dry runs


def pretended():
    return {GOLEM: busy(actuator="dry_run"), AKASH: idle(actuator="dry_run")}


async def test_a_dry_run_sees_its_own_earlier_moves_also_after_a_restart(tmp_path):
    async with House(tmp_path, plots=pretended()) as house:
        await house.go()
        assert house.states == ["applied"]
        assert house.has() == {AKASH: 6.0, GOLEM: 6.0}, "nothing was changed"
        house.later(2 * HOUR)
        await house.plan()
        assert house.decision.plan.current == {AKASH: 4.0, GOLEM: 8.0}
    async with house.again() as after:
        for _ in range(3):
            after.later(60)
            await after.plan()
        assert after.decision.plan.current == {AKASH: 4.0, GOLEM: 8.0}
        assert after.outcomes.changes[GOLEM].manual_change_at is None


async def test_a_dry_run_that_was_interrupted_goes_on_where_it_was(tmp_path):
    async with House(tmp_path, plots=pretended()) as house:
        await house.plan()
        save = house.journal.save
        steps = iter(range(100))

        async def stopping(program, *records, **more):
            if any(each.what == f"issued {GOLEM}" for each in records) and next(steps) == 0:
                await asyncio.Event().wait()
            await save(program, *records, **more)

        house.journal.save = stopping
        await house.turn()
        for _ in range(200):
            house.later(1)
            await asyncio.sleep(0.001)
            if house.newest.step(AKASH).phase is Phase.DONE:
                break
    async with house.again() as after:
        await after.turn()
        await after.work()
        assert after.states == ["applied"]
        assert {w.key: w.reading.allocated["cpu"] for w in after.state().workloads} == {AKASH: 4.0, GOLEM: 8.0}


async def test_who_tried_it_dry_and_then_means_it_has_changed_nothing_by_hand(tmp_path):
    async with House(tmp_path, plots=pretended()) as house:
        await house.go()
        house.later(2 * HOUR)
        for plot in house.plots.values():
            plot.actuator = "command"
        for _ in range(3):
            house.later(60)
            await house.plan()
        assert house.desk.originals == {}, "nothing was ever changed, so nothing can be given back"
        assert all(change.manual_change_at is None for change in house.outcomes.changes.values())
        house.later(2 * HOUR)
        await house.go()
        assert house.has() == {AKASH: 4.0, GOLEM: 8.0}


# --- one writer, and a disk that is full


async def test_who_lost_the_lease_does_nothing_further(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(3)
    done = list(house.effects)
    house.holds, house.plots[GOLEM].late = False, False
    await house.work()
    assert house.desk.lost.is_set()
    house.holds = True
    for _ in range(3):
        house.later(60)
        await house.turn()
        await house.work()
    assert house.effects == done


async def test_who_was_fenced_does_nothing_further(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()

        async def fenced(*_args, **_more):
            raise StoreFenced("another controller writes now")

        house.journal.save = fenced
        with pytest.raises(StoreError):
            await house.operations.approve(house.newest.id, "anna")
        assert house.desk.lost.is_set()
        assert house.states == ["pending"]
        await house.turn()
        assert not house.desk._tasks


async def test_a_new_writer_waits_until_the_one_before_must_have_ended(house):
    await house.plan()
    house.desk.not_before = house.clock.monotonic() + 45
    await house.turn()
    assert not house.desk._tasks
    house.later(45)
    await house.turn()
    await house.work()
    assert house.states == ["applied"]


async def test_a_journal_that_cannot_be_written_begins_nothing_and_loses_nothing(house):
    full = True
    save = house.journal.save

    async def saves(program, *records, **more):
        if full:
            raise StoreFull("the disk is full")
        await save(program, *records, **more)

    house.journal.save = saves
    with pytest.raises(StoreFull):
        await house.plan()
    assert house.programs == ()
    full = False
    await house.plan()
    full = True
    await house.turn()
    await house.work(60)
    assert house.effects == []
    full = False
    await house.work()
    assert house.states == ["applied"]


async def test_while_the_disk_is_full_what_is_about_to_begin_is_not_given_up_for_another_plan(house):
    await house.plan()
    save = house.journal.save

    async def full(*_args, **_more):
        raise StoreFull("the disk is full")

    house.journal.save = full
    await house.turn()
    await house.work(20)
    house.journal.save = save
    house.change(maxStepPercent=35)
    await house.plan()
    assert len(house.programs) == 1
    await house.work()
    assert house.states == ["applied"]


async def test_an_unforeseen_failure_is_not_tried_again_at_every_turn(house):
    tries = []

    async def odd(*_args, **_more):
        tries.append(house.clock.time())
        raise ZeroDivisionError

    await house.plan()
    house.journal.save = odd
    for _ in range(12):
        await house.turn()
        await house.work(1)
        house.later(5)
    assert 1 <= len(tries) <= 3


async def test_what_is_shown_may_be_read_in_any_thread(house):
    await house.plan()
    found = []
    reading = threading.Thread(target=lambda: found.extend(house.desk.programs()))
    reading.start()
    reading.join(5)
    assert [each.cause for each in found] == [Cause.PLAN]


async def test_what_has_been_over_for_a_month_is_not_kept_at_hand(house):
    await house.go()
    house.later(31 * DAY)
    await house.turn()
    assert house.programs == ()
    assert len(await house.journal.programs(0.0)) == 1


async def test_one_drivers_mistake_keeps_nobody_else_from_beginning(tmp_path):
    async with House(tmp_path, plots=two_racks()) as house:
        for key in ("rack-2/golem", "rack-2/akash"):
            house.plots[key].bounds = Allocation(resource="cpu", min=6, max=6, step=1)
        await house.plan()
        made = house.world._driver_for

        def odd(key, brought):
            if key.startswith("rack-1/"):
                raise ModuleNotFoundError("install the extra kubernetes")
            return made(key, brought)

        house.world._driver_for = odd
        house.change(parallelNodes=1)
        broken = replace(
            house.newest, id="p-broken", at=house.clock.time() - 60, state=ProgramState.BLOCKED, retry_at=None
        )
        await house.desk.add(broken)
        await house.operations.reject(house.programs[1].id, "anna")
        for key in ("rack-2/golem", "rack-2/akash"):
            house.plots[key].bounds = BOUNDS
        house.later(60)
        await house.plan()
        assert {step.node for step in house.newest.steps} == {"rack-2"}
        for _ in range(3):
            await house.turn()
            await house.work()
            house.later(31)
        assert house.newest.state is APPLIED
        assert house.desk.find("p-broken").state is BLOCKED


async def test_orchas_own_way_back_waits_for_the_end_of_a_pause_and_a_persons_does_not(house):
    await house.go()
    house.later(2 * HOUR)
    state = await house.look("default", ())
    from controller.stages import backward

    own = backward(house.newest, state, cause=Cause.ROLLBACK, why="it earns less", by="orcha")
    await house.desk.add(own)
    await house.operations.pause(None, "anna")
    await house.turn()
    assert not house.desk._tasks
    await house.operations.resume(None, "anna")
    await house.turn()
    await house.work()
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
