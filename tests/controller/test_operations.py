"""What a person may say: approve, reject, roll back, pause, resume, release; and how each is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.address import StoreFull
from controller.desk import Desk
from controller.model import Reason
from controller.operations import Operations
from controller.payoff import Ledger
from controller.programs import Cause, Phase, ProgramState
from controller.refusals import NotPossible, Unknown
from exporters.nodes import Allocation
from tests.controller import worlds
from tests.controller.desks import AKASH, DAY, GOLEM, House, busy, two_racks
from tests.controller.worlds import HOUR


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as found:
        yield found


async def finish(house, most=600.0):
    house.later(31)
    await house.turn()
    await house.work(most)
    await house.desk.hand_over(house.outcomes)


# --- by which name


async def test_an_id_may_be_cut_short_as_long_as_one_program_begins_so(house):
    await house.go()
    whole = house.newest.id
    assert house.desk.find(whole[:5]).id == whole
    house.later(2 * HOUR)
    await house.operations.rollback(whole[:6], "anna")
    with pytest.raises(Unknown, match=r"there is no program 'p-': p-\w+, p-\w+ begin so"):
        house.desk.find("p-")
    for odd in ("", "p-zzzz", "x"):
        with pytest.raises(Unknown, match="`orcha programs` lists them"):
            await house.operations.approve(odd, "anna")


async def test_before_the_journal_was_read_nothing_is_known_and_that_is_said(house):
    unread = Desk(house.journal, house.world, house.clock, house.look)
    operations = Operations(unread, house.outcomes, house.clock, house.events.append)
    for asked in (
        operations.approve("p-1", "anna"), operations.rollback("p-1", "anna"), operations.release(None, "anna"),
        operations.resume(GOLEM, "anna"), operations.records("p-1"),
    ):  # fmt: skip
        with pytest.raises(NotPossible, match="the journal was not read yet"):
            await asked


# --- approve, reject


async def test_only_what_is_pending_can_be_approved(house):
    await house.go()
    with pytest.raises(NotPossible, match="is applied; only a pending one can be approved"):
        await house.operations.approve(house.newest.id, "anna")


async def test_a_word_that_comes_too_late_is_not_taken(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        house.later(DAY)
        with pytest.raises(NotPossible, match="has expired: nobody approved it until"):
            await house.operations.approve(house.newest.id, "anna")


async def test_who_approved_it_and_why_is_in_the_journal(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        await house.operations.approve(house.newest.id, "anna (operate token)", "looks right")
        last = (await house.operations.records(house.newest.id))[-1]
        assert (last.what, last.by, last.sentence) == ("approved", "anna (operate token)", "looks right")
        assert (await house.journal.program(house.newest.id)).by == "anna (operate token)"


async def test_an_approval_that_cannot_be_written_was_not_given(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        save = house.journal.save

        async def full(*_args, **_more):
            raise StoreFull("the disk is full")

        house.journal.save = full
        with pytest.raises(StoreFull):
            await house.operations.approve(house.newest.id, "anna")
        assert house.states == ["pending"]
        house.journal.save = save
        await house.operations.approve(house.newest.id, "anna")
        assert house.states == ["approved"]


@pytest.mark.parametrize("state", ["applied", "running"])
async def test_what_runs_or_is_over_cannot_be_rejected(house, state):
    house.plots[AKASH].late = state == "running"
    await house.plan()
    await house.turn()
    await house.work(5)
    assert house.newest.state.value == state
    with pytest.raises(NotPossible, match=f"is {state}; only one that waits or is blocked"):
        await house.operations.reject(house.newest.id, "anna")
    house.plots[AKASH].late = False
    await finish(house)
    assert house.states == ["applied"], "and what ran goes on"


async def blocked(house, key=AKASH):
    house.plots[key].stuck = True
    await house.plan()
    await house.turn()
    await house.work(2)
    house.plots[key].up = False
    await house.work(HOUR)
    assert house.states == ["blocked"]


async def test_what_is_given_up_nobody_is_asked_to_sign_any_more(house):
    await blocked(house)
    taken = []
    house.world.driver(AKASH).withdraw = lambda: taken.append(AKASH)
    await house.operations.reject(house.newest.id, "anna")
    assert taken == [AKASH]
    assert house.states == ["rejected"]


async def test_a_blocked_one_can_be_given_up_and_its_workloads_are_free_again(house):
    await blocked(house)
    await house.operations.reject(house.newest.id, "anna", "the node will not come back")
    assert house.states == ["rejected"]
    house.plots[AKASH].up, house.plots[AKASH].stuck = True, False
    assert all(w.in_flight is None for w in house.state().workloads)
    await finish(house)
    assert house.effects == [(AKASH, 4.0)], "nothing further is done"


async def test_it_can_be_given_up_also_while_it_is_tried_once_more(house):
    await blocked(house)
    house.later(HOUR)
    await house.turn()
    await house.work(5)
    assert house.states == ["running"]
    await house.operations.reject(house.newest.id, "anna")
    assert house.states == ["rejected"]
    assert not house.desk._tasks


# --- roll back


async def test_what_is_on_its_way_goes_back_by_itself(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
    house.plots[GOLEM].late = False
    back = await house.operations.rollback(house.newest.id, "anna", "I changed my mind")
    assert back.back
    await finish(house)
    assert house.states == ["rolled_back"]
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    assert "I changed my mind" in house.newest.said


async def test_while_it_is_sent_back_nobody_goes_on_with_it(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    save, both = house.journal.save, []

    async def slow(program, *records, **more):
        if records and records[0].what == "back":
            await house.turn()
            both.extend(house.desk._tasks)
        await save(program, *records, **more)

    house.journal.save = slow
    await house.operations.rollback(house.newest.id, "anna")
    assert both == []


async def test_a_paused_policy_does_not_hold_the_way_back(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    await house.operations.pause(None, "anna")
    house.plots[GOLEM].late = False
    await house.operations.rollback(house.newest.id, "anna")
    await finish(house)
    assert house.states == ["rolled_back"]


async def test_a_blocked_one_goes_back_at_once_and_not_only_when_it_is_due(house):
    await blocked(house)
    house.plots[AKASH].up, house.plots[AKASH].stuck = True, False
    house.later(1)
    await house.operations.rollback(house.newest.id, "anna")
    await house.turn()
    await house.work()
    assert house.states == ["rolled_back"]


async def test_with_automatic_rollback_off_what_failed_waits_for_a_persons_word(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Auto")) as house:
        house.spec = house.spec.model_copy(
            update={"rollback": house.spec.rollback.model_copy(update={"automatic": False})}
        )
        house.declare()
        house.plots[GOLEM].refuses = "no"
        await house.go()
        assert house.states == ["blocked"]
        assert "rollback.automatic is false" in house.newest.said
        assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
        await house.operations.rollback(house.newest.id, "anna")
        await finish(house)
        assert house.states == ["rolled_back"]
        assert house.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_an_applied_one_is_taken_back_by_a_new_program(house):
    await house.go()
    first = house.newest
    house.later(2 * HOUR)
    await house.operations.pause("default", "anna")
    made = await house.operations.rollback(first.id, "anna", "golem is noisy")
    assert (made.cause, made.of, made.state, made.by) == (Cause.ROLLBACK, first.id, ProgramState.APPROVED, "anna")
    await finish(house)
    assert house.states == ["applied", "applied"]
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_what_was_taken_back_is_left_alone_longer_each_time(tmp_path):
    async with House(tmp_path, spec=worlds.policy(hold="1m")) as house:
        rests = []
        for _ in range(3):
            await house.go()
            assert house.has()[GOLEM] == 8.0
            house.later(120)
            await house.operations.rollback(house.newest.id, "anna", "not this again")
            await finish(house)
            assert house.has()[GOLEM] == 6.0
            at = house.clock.time()
            house.later(61)
            await house.plan()
            assert house.refused()[0] is Reason.INFEASIBLE
            assert "not this again" in house.refused()[1]
            while house.refused() and house.refused()[0] is Reason.INFEASIBLE:
                house.later(900)
                await house.plan()
            rests.append(round((house.clock.time() - at) / HOUR))
        assert rests == [1, 2, 4]


async def test_twice_is_refused_while_it_is_under_way_and_when_there_is_nothing_left(house):
    await house.go()
    first = house.newest.id
    house.later(2 * HOUR)
    made = await house.operations.rollback(first, "anna")
    with pytest.raises(NotPossible, match=f"program {made.id} \\(approved\\) takes {first} back already"):
        await house.operations.rollback(first, "ben")
    await finish(house)
    with pytest.raises(NotPossible, match="has again what it had before"):
        await house.operations.rollback(first, "ben")


async def test_a_rollback_can_be_rolled_back(house):
    await house.go()
    house.later(HOUR)
    made = await house.operations.rollback(house.newest.id, "anna")
    await finish(house)
    house.later(HOUR)
    await house.operations.rollback(made.id, "anna")
    await finish(house)
    assert house.has() == {AKASH: 4.0, GOLEM: 8.0}


async def test_of_something_that_never_began_there_is_nothing_to_take_back(tmp_path):
    async with House(tmp_path, spec=worlds.policy(mode="Approve")) as house:
        await house.plan()
        with pytest.raises(NotPossible, match="is pending: nothing of it is in force"):
            await house.operations.rollback(house.newest.id, "anna")


async def test_what_is_used_for_good_by_now_cannot_be_taken_back_and_that_is_said(house):
    await house.go()
    house.plots[GOLEM].irreversible = 7.0
    with pytest.raises(NotPossible, match=r"rack-1/golem cannot go back to 6 cpu: 7 of it cannot be taken back"):
        await house.operations.rollback(house.newest.id, "anna")


async def test_without_room_for_what_was_there_it_is_refused_before_anything_is_done(house):
    await house.go()
    house.plots["rack-1/storj"] = busy(allocated=2.0, seen=2.0, wanted=2.0)
    house.plots[GOLEM].allocated = 6.0
    with pytest.raises(NotPossible, match="14 of 12 cpu would be held on rack-1"):
        await house.operations.rollback(house.newest.id, "anna")


async def test_a_workload_that_is_allotted_something_else_by_now_is_not_given_the_old_number(house):
    await house.go()
    memory = Allocation(resource="memory", min=0, max=2**33, step=2**30)
    house.plots[GOLEM].bounds = memory
    house.good.clear()
    with pytest.raises(NotPossible, match="is now allotted memory, and had an amount of cpu then"):
        await house.operations.rollback(house.newest.id, "anna")
    with pytest.raises(NotPossible, match="is now allotted memory"):
        await house.operations.release(GOLEM, "anna")


async def test_what_changed_between_the_word_and_the_begin_is_started_from(house):
    await house.go()
    first = house.newest.id
    house.later(2 * HOUR)
    await house.operations.rollback(first, "anna")
    house.plots[GOLEM].allocated = 7.0
    await finish(house)
    await finish(house)
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    assert house.states == ["applied", "superseded", "applied"]


async def test_a_rollback_goes_on_where_the_process_was_killed(tmp_path):
    async with House(tmp_path) as house:
        await house.go()
        house.later(2 * HOUR)
        await house.operations.rollback(house.newest.id, "anna")
        house.plots[AKASH].late = True
        await finish(house, 5)
        assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
    house.plots[AKASH].late = False
    house.later(10 * HOUR)
    async with house.again() as after:
        await after.turn()
        await after.work()
        assert after.has() == {AKASH: 6.0, GOLEM: 6.0}
        assert after.newest.state is ProgramState.APPLIED


# --- pause and resume


async def test_a_name_that_nobody_has_is_said(house):
    for asked in (house.operations.pause("defualt", "anna"), house.operations.resume("defualt", "anna")):
        with pytest.raises(Unknown, match="there is no policy 'defualt'; there are default"):
            await asked
    with pytest.raises(Unknown, match="there is no workload 'rack-9/golem' that orcha has seen"):
        await house.operations.resume("rack-9/golem", "anna")


async def test_while_everything_is_paused_one_policy_cannot_go_on_alone(house):
    await house.operations.pause(None, "anna")
    with pytest.raises(NotPossible, match="everything is paused"):
        await house.operations.resume("default", "anna")
    await house.operations.resume(None, "anna")
    assert house.desk.pauses == {}


async def test_resume_also_ends_the_fall_back_to_suggest(house):
    from controller.learning import Fallback

    house.outcomes.ledgers = {
        "default": replace(Ledger("default"), fallback=Fallback(house.clock.time(), "it lost 2 USD"))
    }
    await house.go()
    assert house.decision.reason is Reason.MODE_SUGGEST
    assert house.programs == ()
    await house.operations.resume("default", "anna")
    house.later(60)
    await house.go()
    assert house.states == ["applied"]


async def test_each_word_is_an_event_with_who_said_it(house):
    await house.operations.pause("default", "anna", "a test")
    await house.operations.resume(None, "ben")
    assert [(each.kind, each.subject, each.sentence) for each in house.events] == [
        ("Paused", "default", "by anna: a test"), ("Resumed", "all policies", "by ben"),
    ]  # fmt: skip


# --- release


async def test_release_gives_back_what_was_there_before_the_first_of_several_programs(house):
    await house.go()
    house.later(2 * HOUR)
    house.plots[GOLEM].seen = 8.0
    await house.go()
    assert house.has()[GOLEM] == 10.0
    house.later(60)
    [made] = await house.operations.release(None, "anna", "goodbye")
    assert made.cause is Cause.RELEASE
    await finish(house)
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    assert house.desk.originals == {}
    assert await house.journal.originals() == {}
    assert set(house.desk.pauses) == {"default"}
    assert await house.operations.release(None, "anna") == (), "there is nothing left to give back"
    with pytest.raises(NotPossible, match="orcha changed nothing of rack-1, or has given it back already"):
        await house.operations.release("rack-1", "anna")


async def test_after_a_release_orcha_changes_nothing_until_it_is_resumed(house):
    await house.go()
    await house.operations.release(None, "anna")
    await finish(house)
    house.later(DAY)
    await house.go()
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    await house.operations.resume(None, "anna")
    await house.go()
    assert house.has() == {AKASH: 4.0, GOLEM: 8.0}
    assert {key: each.amounts for key, each in house.desk.originals.items()} == {
        AKASH: {"cpu": 6.0},
        GOLEM: {"cpu": 6.0},
    }


@pytest.mark.parametrize(
    ("target", "back"), [("rack-2", {"rack-2/golem", "rack-2/akash"}), (None, None)], ids=["a node", "all"]
)
async def test_of_a_node_only_that_is_given_back(tmp_path, target, back):
    async with House(tmp_path, plots=two_racks()) as house:
        await house.go()
        house.later(60)
        [made] = await house.operations.release(target, "anna")
        assert {step.key for step in made.steps} == (back or set(house.plots))
        await finish(house)
        assert all(house.has()[key] == 6.0 for key in back or house.plots)


async def test_one_workload_alone_needs_its_room(house):
    await house.go()
    with pytest.raises(NotPossible, match="14 of 12 cpu would be held on rack-1"):
        await house.operations.release(AKASH, "anna")
    await house.operations.release(GOLEM, "anna")
    await finish(house)
    assert house.has() == {AKASH: 4.0, GOLEM: 6.0}
    assert set(house.desk.originals) == {AKASH}


async def test_what_is_on_its_way_goes_back_first_and_does_not_hold_up_the_release(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    house.plots[GOLEM].late = False
    await house.operations.release(None, "anna")
    for _ in range(4):
        await finish(house)
    assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
    assert house.desk.originals == {}
    assert all(each.state not in {ProgramState.APPROVED, ProgramState.RUNNING} for each in house.programs)


async def test_what_cannot_be_read_is_not_forgotten(tmp_path):
    async with House(tmp_path) as house:
        await house.go()
    house.plots[GOLEM].up = house.plots[AKASH].up = False
    house.good.clear()
    async with house.again() as after:
        with pytest.raises(NotPossible, match="how much cpu rack-1/akash holds now is not known"):
            await after.operations.release(None, "anna")
        assert set(after.desk.originals) == {AKASH, GOLEM}
        after.plots[GOLEM].up = after.plots[AKASH].up = True
        after.later(60)
        await after.operations.release(None, "anna")
        await finish(after)
        assert after.has() == {AKASH: 6.0, GOLEM: 6.0}


async def test_what_cannot_be_taken_back_does_not_keep_the_rest(house):
    await house.go()
    house.plots[AKASH].bounds = Allocation(resource="cpu", min=0, max=12, step=1)
    house.plots[GOLEM].irreversible = 7.0
    house.later(60)
    with pytest.raises(NotPossible, match="7 of it cannot be taken back"):
        await house.operations.release(GOLEM, "anna")
    assert set(house.desk.originals) == {AKASH, GOLEM}


async def test_a_policy_that_was_given_another_name_releases_all_the_same(house):
    await house.go()
    house.desk.originals = {key: replace(each, policy="old") for key, each in house.desk.originals.items()}
    house.later(60)
    [made] = await house.operations.release(None, "anna")
    assert made.policy == "default"
    assert set(house.desk.pauses) == {"default"}


async def test_what_no_policy_selects_any_more_is_said(house):
    await house.go()
    house.gone = True
    house.declare()
    with pytest.raises(NotPossible, match="rack-1/akash is declared under no policy any more"):
        await house.operations.release(None, "anna")


async def test_of_a_release_that_came_half_way_what_was_given_back_is_forgotten(tmp_path):
    async with House(tmp_path, plots=two_racks()) as house:
        await house.go()
        house.later(60)
        house.plots["rack-2/golem"].refuses = "no"
        await house.operations.release(None, "anna")
        await finish(house)
        assert house.newest.state is ProgramState.ROLLED_BACK
        assert set(house.desk.originals) == {"rack-2/akash", "rack-2/golem"}


async def test_what_could_not_be_forgotten_before_a_kill_is_forgotten_after_it(tmp_path):
    async with House(tmp_path) as house:
        await house.go()
        house.later(60)
        await house.operations.release(None, "anna")

        async def full(*_args):
            raise StoreFull("the disk is full")

        house.journal.forget = full
        await finish(house)
        assert house.newest.state is ProgramState.APPLIED
        assert set(house.desk.originals) == {AKASH, GOLEM}
    async with house.again() as after:
        assert after.desk.originals == {}


async def test_a_stage_that_was_released_does_not_go_on(tmp_path):
    spec = worlds.policy(mode="Auto").model_copy(
        update={"rollback": worlds.policy().rollback.model_copy(update={"stages": [0.5, 1.0]})}
    )
    async with House(tmp_path, spec=spec) as house:
        await house.go()
        assert house.newest.stage is not None
        first = house.newest
        house.later(60)
        await house.operations.release(None, "anna")
        await finish(house)
        await house.operations.resume(None, "anna")
        house.judge(first, realised=None)
        house.later(31)
        await house.turn()
        assert house.has() == {AKASH: 6.0, GOLEM: 6.0}
        assert [each for each in house.programs if each.cause is Cause.STAGE] == []


async def test_two_words_about_one_program_at_once_do_not_start_it_twice(house):
    house.plots[GOLEM].late = True
    await house.plan()
    await house.turn()
    await house.work(5)
    house.plots[GOLEM].late = False
    both = await asyncio.gather(
        house.operations.rollback(house.newest.id, "anna"), house.operations.rollback(house.newest.id, "ben"),
        return_exceptions=True,
    )  # fmt: skip
    assert not any(isinstance(each, Exception) and not isinstance(each, NotPossible) for each in both)
    await finish(house)
    assert house.states == ["rolled_back"]
    assert house.newest.step(AKASH).phase is Phase.RETURNED
    assert house.effects.count((AKASH, 6.0)) == 1
