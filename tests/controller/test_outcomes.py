"""What is seen of changes between decisions, whose they were, and that none of it is lost: states and a real store."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from controller import tables
from controller.address import StoreError
from controller.decide import decide
from controller.model import Interval, Reason
from controller.outcomes import GATHER, Outcomes
from controller.promises import Kind, Outcome, Part, Promise, Trial, trial
from controller.rows import Change
from controller.state import without_past
from controller.store import Store
from tests.controller.worlds import HOUR, NOW, allocation, always, competing, policy, reading, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"
SUGGEST = policy(mode="Suggest")


def at(seconds=0.0, *, golem=6.0, akash=6.0, spec=SUGGEST, seen=None, **more):
    """Golem is always full, akash uses 2: `seconds` after NOW, as they then are."""
    now, looked = NOW + seconds, NOW + seconds if seen is None else NOW + seen
    made = [
        workload(
            GOLEM, golem, always(golem, full=True, now=now), read=reading(GOLEM, golem, used=golem, now=looked + 10)
        ),
        workload(
            AKASH, akash, always(2.0, levels=[0, 2, 6], now=now), read=reading(AKASH, akash, used=2.0, now=looked + 10)
        ),
    ]
    return replace(state(made, spec=spec, **more), now=now)


class Rig:
    """Decisions a minute apart, shown like the loop shows them."""

    def __init__(self, store=None, spec=SUGGEST):
        self.outcomes, self.spec, self.second = Outcomes(store), spec, 0.0
        self.decision = None

    def look(self, golem=6.0, akash=6.0, after=60.0, **more):
        self.second += after
        found = self.outcomes.catch_up(at(self.second, golem=golem, akash=akash, spec=self.spec, **more))
        self.decision = decide(found)
        self.outcomes.show(without_past(self.decision))
        return found

    @property
    def programs(self):
        ledger = self.outcomes.ledgers.get("default")
        return ledger.programs if ledger else ()


def known(found, key=GOLEM):
    return next(w for w in found.workloads if w.key == key)


@pytest.fixture
async def store(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    yield store
    await store.close()


def targets(rig):
    return {v.move.key: v.move.to for v in rig.decision.verdicts if v.reason is Reason.MODE_SUGGEST}


class TestFollowed:
    def test_what_leads_to_the_suggested_target_is_a_program_with_the_plans_promise(self):
        rig = Rig()
        rig.look()
        wanted, plan = targets(rig), rig.decision.plan
        assert wanted[GOLEM] > 6 > wanted[AKASH]
        for _ in range(2):
            rig.look(golem=wanted[GOLEM], akash=wanted[AKASH])
        (made,) = rig.programs
        assert made.kind is Kind.FOLLOWED
        assert made.promise == Promise(plan.gain, plan.confidence, plan.cost_usd)
        assert {(p.key, p.from_, p.to) for p in made.parts} == {
            (GOLEM, 6.0, wanted[GOLEM]),
            (AKASH, 6.0, wanted[AKASH]),
        }

    def test_it_begins_when_the_new_allocation_was_first_read(self):
        rig = Rig()
        rig.look()
        wanted = targets(rig)
        rig.look(akash=wanted[AKASH])
        assert rig.programs == (), "one look may be a slip"
        rig.look(akash=wanted[AKASH])
        assert rig.programs[0].at == NOW + 120

    def test_the_same_reading_twice_settles_nothing(self):
        rig = Rig()
        rig.look()
        wanted = targets(rig)
        rig.look(akash=wanted[AKASH])
        rig.look(akash=wanted[AKASH], seen=120.0)
        assert rig.programs == ()

    def test_one_after_the_other_within_half_an_hour_is_one_program(self):
        rig = Rig()
        rig.look()
        wanted, plan = targets(rig), rig.decision.plan
        for _ in range(2):
            rig.look(akash=wanted[AKASH])
        (first,) = rig.programs
        assert first.promise.confidence is None, "half of a plan"
        for _ in range(2):
            rig.look(golem=wanted[GOLEM], akash=wanted[AKASH], after=600.0)
        (both,) = rig.programs
        assert both.id == first.id
        assert both.promise.gain == plan.gain
        assert [p.at for p in both.parts] == [NOW + 120, NOW + 780]

    def test_later_than_that_it_is_a_change_by_hand(self):
        rig = Rig()
        rig.look()
        wanted = targets(rig)
        for _ in range(2):
            rig.look(akash=wanted[AKASH])
        rig.outcomes._shown.clear()
        for _ in range(2):
            rig.outcomes.catch_up(at(rig.second + GATHER, golem=wanted[GOLEM], akash=wanted[AKASH]))
            rig.second += 60
        assert {each.kind for each in rig.programs} == {Kind.FOLLOWED, Kind.MANUAL}

    def test_half_of_the_way_is_followed_and_a_step_beyond_too(self):
        for to in (5.0, None):
            rig = Rig()
            rig.look()
            goal = targets(rig)[AKASH] - 1.0 if to is None else to
            for _ in range(2):
                rig.look(akash=goal)
            assert [each.kind for each in rig.programs] == [Kind.FOLLOWED], goal

    def test_a_suggestion_that_was_followed_is_held(self):
        rig = Rig()
        rig.look()
        wanted = targets(rig)
        for _ in range(2):
            found = rig.look(akash=wanted[AKASH])
        assert known(found, AKASH).last_moved == NOW + 120
        assert rig.decision.not_considered[AKASH][0] is Reason.HOLD
        assert (found.programs_last_hour, found.last_program_at) == (1, NOW + 120)


class TestByHand:
    @pytest.mark.parametrize("to", [7.0, 9.0], ids=["the other way", "far the other way"])
    def test_what_leads_elsewhere_is_a_manual_change_that_promises_nothing(self, to):
        rig = Rig()
        rig.look()
        for _ in range(2):
            found = rig.look(akash=to)
        (made,) = rig.programs
        assert (made.kind, made.promise) == (Kind.MANUAL, None)
        assert found.programs_last_hour == 0, "it is not the policy's"

    def test_where_orcha_only_suggests_it_is_a_move_like_any_other(self):
        rig = Rig()
        rig.look()
        for _ in range(2):
            found = rig.look(golem=5.0)
        assert (known(found).last_moved, known(found).manual_change_at) == (NOW + 120, None)
        assert rig.decision.not_considered[GOLEM][0] is Reason.HOLD
        rig.look(golem=5.0, after=HOUR + 60)
        assert GOLEM not in rig.decision.not_considered, "after the hold it is planned on again"

    @pytest.mark.parametrize("mode", ["Approve", "Auto"])
    def test_where_orcha_may_act_a_persons_word_stands(self, mode):
        rig = Rig(spec=policy(mode=mode))
        rig.look()
        for _ in range(2):
            rig.look(golem=5.0)
        found = rig.look(golem=5.0, after=5 * HOUR)
        assert known(found).manual_change_at == NOW + 120
        assert rig.decision.not_considered[GOLEM][0] is Reason.MANUAL_CHANGE

    def test_a_policy_that_is_turned_to_suggest_forgets_the_pin(self):
        rig = Rig(spec=policy(mode="Auto"))
        rig.look()
        for _ in range(2):
            rig.look(golem=5.0)
        rig.spec = SUGGEST
        assert known(rig.look(golem=5.0)).manual_change_at is None

    def test_while_it_is_not_settled_nothing_builds_on_it(self):
        rig = Rig()
        rig.look()
        assert known(rig.look(akash=7.0), AKASH).last_moved == NOW + 120
        assert known(rig.look(akash=6.0), AKASH).last_moved is None, "it was a slip"
        assert rig.programs == ()

    def test_it_ends_what_was_to_be_judged_before(self):
        rig = Rig()
        rig.look()
        wanted = targets(rig)
        for _ in range(2):
            rig.look(akash=wanted[AKASH])
        for _ in range(2):
            rig.look(akash=9.0, after=HOUR)
        first = next(each for each in rig.programs if each.kind is Kind.FOLLOWED)
        assert first.parts[0].until == NOW + 180 + HOUR


class TestNoChange:
    def test_what_is_seen_first_is_no_change(self):
        rig = Rig()
        rig.look(golem=3.0)
        rig.look(golem=3.0)
        assert rig.programs == ()

    def test_a_node_that_rounds_or_drifts_was_not_changed(self):
        rig = Rig()
        for i in range(40):
            rig.look(golem=6.0 + 0.1 * i)
        assert rig.programs == ()

    def test_an_allocation_that_is_not_known_says_nothing(self):
        rig = Rig()
        rig.look()
        unknown = at(120.0)
        unknown = replace(unknown, workloads=tuple(
            replace(w, reading=replace(w.reading, allocated={}), last_good=None) for w in unknown.workloads
        ))  # fmt: skip
        rig.outcomes.catch_up(unknown)
        rig.look()
        assert rig.programs == ()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
    def test_an_allocation_that_cannot_be_is_not_known(self, value):
        rig = Rig()
        rig.look()
        for _ in range(3):
            rig.outcomes.catch_up(at(120.0, golem=value))
        assert rig.programs == ()

    def test_another_resource_is_another_allocation(self):
        outcomes = Outcomes()
        for i, (bounds, has) in enumerate([(allocation("cpu"), 6.0), (allocation("memory", high=64), 32.0)] * 2):
            said = reading(GOLEM, has, resource=bounds.resource, now=NOW + 60 * i)
            outcomes.catch_up(replace(state([workload(GOLEM, has, None, bounds=bounds, read=said)]), now=NOW + 60 * i))
        assert outcomes.ledgers["default"].programs == ()

    def test_what_orcha_itself_does_is_its_own_program_and_no_manual_change(self):
        rig = Rig(spec=policy(mode="Auto"))
        rig.look()
        moves = rig.decision.plan.moves
        rig.outcomes.begin(trial(rig.decision, moves, Kind.APPLIED))
        found = rig.look(**{m.key.partition("/")[2]: m.to for m in moves})
        assert [each.kind for each in rig.programs] == [Kind.APPLIED]
        assert known(found).last_moved == NOW + 60
        assert known(found).manual_change_at is None


class TestJudged:
    def follow(self, rig):
        rig.look()
        wanted = targets(rig)
        for _ in range(2):
            rig.look(golem=wanted[GOLEM], akash=wanted[AKASH])
        return rig.look(golem=wanted[GOLEM], akash=wanted[AKASH], after=2 * HOUR)

    def test_when_the_horizon_has_passed_it_is_judged_and_taught(self):
        rig = Rig()
        found = self.follow(rig)
        (made,) = rig.programs
        assert made.outcome.realised.expected == pytest.approx(2 * 0.03, rel=0.01), "2 more cores, always full"
        assert found.learned.spread != 1.0

    async def test_events_say_what_was_done_and_what_came_of_it(self, store):
        rig = Rig(store)
        await rig.outcomes.restore()
        self.follow(rig)
        for _ in range(2):
            rig.look(golem=3.0, akash=4.0)
        await store.write()
        said = [(event.kind, event.subject, event.sentence) for event in await store.events(0, 1e12)]
        assert [kind for kind, _, _ in said] == ["SuggestionFollowed"] * 2 + ["OutcomeJudged", "ManualChange"]
        assert said[0][2].startswith("rack-1/akash 6 → ")
        assert "USD/h (" in said[1][2]
        assert "over 2h promised together with 1 other" in said[1][2]
        assert said[2][2].startswith("followed: it brought +0.06 USD/h where ")
        assert said[3][2].endswith("3 cpu by hand, which was not suggested; it is held for 1h")

    async def test_losing_for_a_week_is_an_event_and_a_reset_survives(self, store):
        outcomes = Outcomes(store)
        await outcomes.restore()
        lost = Interval(-0.02, -0.02, -0.02)
        for i in range(5):
            done = Part(GOLEM, "golem", "cpu", 6, 8, NOW - 9 * HOUR + i, 7200.0, realised=lost, promised=0.05)
            outcome = Outcome(NOW - HOUR + i, lost, -0.04, within=False, success=False, error=-1.4, sentence="")
            outcomes.begin(Trial(f"p{i}", "default", Kind.APPLIED, done.at, (done,), Promise(lost, 0.9, 0.0), outcome))
        assert "only suggests" in outcomes.catch_up(at()).learned.fallback
        await store.write()
        assert [event.kind for event in await store.events(0, 1e12)] == ["FallbackToSuggest"]
        outcomes.reset("default", NOW)
        assert outcomes.catch_up(at()).learned.fallback is None
        await store.write()
        again = Outcomes(store)
        await again.restore()
        assert again.catch_up(at()).learned.fallback is None
        assert again.ledgers["default"].reset_at == NOW


class TestStore:
    async def again(self, store):
        rig = Rig(store)
        assert await rig.outcomes.restore()
        return rig

    async def test_a_promise_survives_a_kill_and_is_judged_after_it(self, store):
        rig = await self.again(store)
        rig.look()
        wanted = targets(rig)
        for _ in range(2):
            rig.look(golem=wanted[GOLEM], akash=wanted[AKASH])
        await store.write()
        begun = rig.programs
        rig = await self.again(store)  # nothing of the first is told that it ends
        rig.second = 240.0
        assert rig.programs == begun
        found = rig.look(golem=wanted[GOLEM], akash=wanted[AKASH], after=2 * HOUR)
        assert rig.programs[0].outcome.success is True
        assert known(found).last_moved == NOW + 120
        await store.write()
        assert (await self.again(store)).outcomes.ledgers["default"].spread == found.learned.spread

    async def test_killed_before_the_write_the_change_is_seen_again(self, store):
        rig = await self.again(store)
        rig.look()
        await store.write()
        for _ in range(2):
            rig.look(akash=5.0)
        store._trials.clear()
        store._changes.clear()
        store._events.clear()
        rig = await self.again(store)
        for _ in range(2):
            rig.look(akash=5.0)
        (made,) = rig.programs
        assert (made.parts[0].from_, made.parts[0].to) == (6.0, 5.0)

    async def test_a_change_while_nobody_looked_is_seen_and_nobody_suggested_it(self, store):
        rig = await self.again(store)
        rig.look()
        await store.write()
        rig = await self.again(store)
        rig.second = 10 * HOUR
        for _ in range(2):
            rig.look(golem=8.0, akash=4.0)
        assert {each.kind for each in rig.programs} == {Kind.MANUAL}

    async def test_writing_a_program_again_replaces_it(self, store):
        rig = await self.again(store)
        rig.look()
        for _ in range(2):
            rig.look(akash=5.0)
        (made,) = rig.programs
        for _ in range(2):
            store.note_trial(made)
            await store.write()
        assert await store.trials(0, 1e12) == [made]
        assert await store.trials(0, made.at) == []
        assert await store.trials(0, 1e12, policy="other") == []

    async def test_a_program_waits_when_the_store_cannot_be_written(self, store):
        rig = await self.again(store)
        rig.look()
        for _ in range(2):
            rig.look(akash=5.0)
        assert await store.trials(0, 1e12) == list(rig.programs), "those that wait are known"
        await store.write()
        assert store._trials == {}

    async def test_programs_of_before_the_retention_are_deleted(self, store):
        rig = await self.again(store)
        rig.look()
        for _ in range(2):
            rig.look(akash=5.0)
        await store.write()
        await store.prune(0.0, NOW + 1e6)
        assert await store.trials(0, 1e12) == []

    @pytest.mark.parametrize("body", ["", "{}", '{"id": 1}', "[]", '{"from": "the future"}', "NaN"])
    async def test_a_program_that_this_version_cannot_read_teaches_nothing_and_nothing_breaks(
        self, store, tmp_path, body
    ):
        rig = await self.again(store)
        rig.look()
        for _ in range(2):
            rig.look(akash=5.0)
        await store.write()
        with sqlite3.connect(tmp_path / "orcha.db") as file:
            file.execute("UPDATE programs SET body = ?", (body,))
        file.close()
        assert await store.trials(0, 1e12) == []
        assert await Outcomes(store).restore()

    async def test_what_it_does_not_know_is_refused(self, store, tmp_path):
        rig = await self.again(store)
        rig.look()
        for _ in range(2):
            rig.look(akash=5.0)
        await store.write()
        with sqlite3.connect(tmp_path / "orcha.db") as file:
            file.execute("""UPDATE programs SET body = replace(body, '"horizon":7200', '"horizon":7200,"spell":1')""")
            assert file.execute("SELECT count(*) FROM programs WHERE body LIKE '%spell%'").fetchone() == (1,)
        file.close()
        assert await store.trials(0, 1e12) == []

    async def test_a_store_that_cannot_be_read_is_asked_again_and_until_then_nothing_is_judged(self, store):
        class Broken:
            works = False

            def __getattr__(self, name):
                return getattr(store, name)

            async def changes(self):
                if not self.works:
                    raise StoreError("the state is locked; end the other program")
                return await store.changes()

        broken = Broken()
        outcomes = Outcomes(broken)
        assert not await outcomes.restore()
        seen = at()
        assert outcomes.catch_up(seen) is seen
        broken.works = True
        assert await outcomes.restore()
        assert outcomes.catch_up(seen) is not seen

    async def test_a_file_from_before_there_were_programs_is_brought_up_to_date(self, store, tmp_path):
        store.note_change(GOLEM, Change(last_moved=5.0, expected=8.0))
        await store.write()
        await store.close()
        with sqlite3.connect(tmp_path / "orcha.db") as file:
            file.execute("DROP TABLE programs")
            file.execute("ALTER TABLE changes DROP COLUMN resource")
            file.execute(
                "UPDATE meta SET value = ? WHERE name = 'schema'", (str(tables.STEPS.index(tables._programs)),)
            )
        file.close()
        again = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
        assert await again.changes() == {GOLEM: Change(last_moved=5.0, expected=8.0)}
        assert await again.trials(0, 1e12) == []
        await again.close()


def test_decisions_without_any_change_are_what_they_were():
    seen = competing()
    found = Outcomes().catch_up(seen)
    assert found.workloads == seen.workloads
    assert (found.programs_last_hour, found.last_program_at, found.learned.fallback) == (0, None, None)
