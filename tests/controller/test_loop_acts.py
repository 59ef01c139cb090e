"""The whole loop with a Desk in it: from readings to a changed node, over a store on the disk, and what a restart finds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from controller.address import StoreRefused
from controller.desk import Desk
from controller.fleet.manifest import Fleet as FleetManifest
from controller.grounds import World
from controller.journal import Journal
from controller.model import Reason
from controller.observe import Watched
from controller.operations import Operations
from controller.programs import Phase, ProgramState
from controller.store import Store
from exporters.reading import Native
from tests.controller.test_loop import ALLOCATION, TRAITS, Rig, Script, node, reading

BUSY, IDLE = "rack-1/busy", "rack-1/idle"


@dataclass
class Nodes(Script):
    """A source whose nodes have what drivers gave them."""

    has: dict[str, float] = field(default_factory=lambda: {"busy": 4.0, "idle": 4.0})
    uses: dict[str, float] = field(default_factory=lambda: {"busy": 8.0, "idle": 1.0})
    shut: set[str] = field(default_factory=set)
    dear: bool = False
    """Whether busy earns ten times as much by a core."""

    @property
    def watched(self):
        return {
            key: Watched(key, "rack-1", "golem", TRAITS, 300.0, ALLOCATION, None, None, None, "command")
            for key in (BUSY, IDLE)
        }

    def look(self, name):
        used = min(self.uses[name], self.has[name])
        made = reading(name, self.clock.time(), used, self.has[name])
        if name == "busy" and self.dear:
            made = replace(
                made, native=Native({"USD": 0.1 * used}), rate_usd_per_hour=0.1 * used, net_usd_per_hour=0.1 * used
            )
        self.say(made)
        return made

    def last_good(self, key):
        return self.newest.get(key)

    def assumes(self, key):
        return False

    async def read_back(self, key):
        return self.look(key.split("/")[1])


class Hand:
    name, conclusive, reversible = "command", False, True

    def __init__(self, nodes, key):
        self._nodes, self._name = nodes, key.split("/")[1]

    async def check(self):
        return ()

    async def read(self):
        return {"cpu": self._nodes.has[self._name]}

    async def apply(self, order):
        if self._name not in self._nodes.shut:
            self._nodes.has[self._name] = order.amounts["cpu"]

    async def verify(self, order):
        return None

    async def undo(self, order, stood):
        await self.apply(order)

    async def close(self): ...


class Acting(Rig):
    def __init__(self, store, nodes=None, clock=None, **spec):
        steady = {"mode": "Auto", "limits": {"maxStepPercent": 25}, "reconcile": {"plan": "60s", "jitter": 0}}
        super().__init__(store=store, **(steady | spec))
        if clock is not None:
            self.clock = self.loop._clock = clock
            self.loop._began = clock.monotonic()
        self.source = nodes or Nodes(self.clock)
        self.source.clock = self.clock
        self.loop._source = self.source
        self.world = World(self.source, lambda key, _brought: Hand(self.source, key), holds=lambda: True)
        self.journal = Journal(store)
        self.desk = self.loop.desk = Desk(
            self.journal, self.world, self.clock, self.loop.look, announce=self.metrics.acting.announce
        )
        self.world.declare([node()])
        self.desk.declare(self.loop.manifests.policies)
        self.operations = Operations(self.desk, self.loop.outcomes, self.clock, store.note_event)

    async def pass_by(self, hours):
        """With a reading of each every minute, and no turn of the loop."""
        for _ in range(round(hours * 60)):
            self.clock.advance(self.clock.time() + 60)
            for name in ("busy", "idle"):
                self.source.look(name)

    async def turns(self, number=1):
        """A minute and a turn each; and what is on its way goes on."""
        for _ in range(number):
            await self.pass_by(1 / 60)
            await self.loop.turn()
            await self.work()

    async def work(self, seconds=20.0):
        until = self.clock.time() + seconds
        while self.desk._tasks:
            for _ in range(30):
                await asyncio.sleep(0)
            if not self.clock._sleepers:
                await asyncio.sleep(0.0005)
            elif self.clock._sleepers[0][0] > until:
                return
            else:
                self.clock.advance(self.clock._sleepers[0][0])

    @property
    def states(self):
        return [each.state.value for each in reversed(self.desk.programs())]

    @property
    def decision(self):
        return self.loop.decisions["default"]


@pytest.fixture
async def store(tmp_path):
    found = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    yield found
    await found.close()


async def test_in_auto_a_plan_becomes_a_changed_node_and_nobody_calls_that_a_change_by_hand(store):
    rig = Acting(store)
    await rig.pass_by(6)
    await rig.turns(1)
    assert rig.states == ["applied"]
    assert rig.source.has == {"busy": 6.0, "idle": 2.0}
    await rig.turns(5)
    assert all(change.manual_change_at is None for change in rig.loop.outcomes.changes.values())
    assert rig.decision.not_considered[BUSY][0] is Reason.HOLD
    assert [each.kind for each in await store.events(0, 1e12) if each.kind == "ManualChange"] == []
    assert [each.kind.value for each in await store.trials(0, 1e12)] == ["applied"]
    assert rig.samples("orcha_programs_total")[("policy", "default"), ("result", "applied")] == 1.0
    await rig.desk.close()


async def test_in_suggest_nothing_is_changed_and_no_program_is_made(store):
    rig = Acting(store, mode="Suggest")
    await rig.pass_by(6)
    await rig.turns(5)
    assert rig.decision.reason is Reason.MODE_SUGGEST
    assert (rig.states, rig.source.has) == ([], {"busy": 4.0, "idle": 4.0})
    assert rig.samples("orcha_next_change_timestamp_seconds") == {}


async def test_a_kill_half_way_is_no_change_by_hand_and_the_first_plan_after_it_knows(store):
    rig = Acting(store)
    await rig.pass_by(6)
    rig.source.shut = {"busy"}
    await rig.turns(1)
    [program] = rig.desk.programs()
    assert (program.step(IDLE).phase, program.step(BUSY).phase) == (Phase.DONE, Phase.ISSUED)
    await rig.desk.close()

    after = Acting(store, rig.source, rig.clock)
    await after.history.restore(store, after.clock.time())
    after.source.shut = set()
    await after.pass_by(1 / 60)
    await after.loop.turn()  # the journal, and so all that is known of it, is there before the first plan
    assert after.decision.not_considered[BUSY][0] is Reason.PROGRAM_RUNNING
    await after.work()
    await after.turns(3)
    assert after.states == ["applied"]
    assert all(change.manual_change_at is None for change in after.loop.outcomes.changes.values())
    await after.desk.close()


async def test_while_the_journal_cannot_be_read_plans_are_shown_and_nothing_is_proposed_or_called_manual(store):
    rig = Acting(store)

    async def unreadable(*_args, **_more):
        raise StoreRefused("the database does not answer")

    programs, rig.journal.programs = rig.journal.programs, unreadable
    await rig.pass_by(6)
    await rig.turns(2)
    assert rig.decision.reason is Reason.ALLOWED
    rig.source.has["busy"] = 3.0
    await rig.turns(4)
    assert rig.states == []
    assert rig.loop.outcomes.changes == {}
    rig.journal.programs = programs
    await rig.turns(2)
    assert rig.states == ["applied"]
    await rig.desk.close()


async def test_rises_count_in_the_live_loop(store):
    rig = Acting(store, objective={"riseAnalyses": 3})
    rig.source.uses["idle"], rig.source.dear = 8.0, True  # or it would give up what earns nothing, which counts at once
    await rig.pass_by(6)
    for seen in (1, 2):
        await rig.turns(1)
        assert rig.decision.reason is Reason.RISE_PENDING
        assert f"shows in {seen} of 3" in rig.decision.sentence
        assert rig.states == []
    await rig.turns(1)
    assert rig.states == ["applied"], "and the guard does not ask for more rises just before"
    await rig.desk.close()


async def test_while_a_person_is_asked_a_rise_does_not_begin_again(store):
    rig = Acting(store, mode="Approve", objective={"riseAnalyses": 3})
    rig.source.uses["idle"], rig.source.dear = 8.0, True
    await rig.pass_by(6)
    await rig.turns(8)
    assert rig.states == ["pending"]
    assert rig.decision.reason is Reason.ALLOWED


async def test_a_prometheus_that_does_not_answer_blocks_what_was_approved_and_says_so(store):
    rig = Acting(store, mode="Approve", limits={"maxStepPercent": 25, "blockWhile": "up == 0"})
    await rig.pass_by(6)
    await rig.turns(1)
    [program] = rig.desk.programs()
    await rig.operations.approve(program.id, "anna")
    rig.blocks = "Prometheus at http://prometheus:9090 did not answer within 5 s"
    await rig.turns(2)
    [program] = rig.desk.programs()
    assert program.state is ProgramState.APPROVED
    assert "Prometheus at http://prometheus:9090 did not answer within 5 s" in program.said
    assert rig.source.has == {"busy": 4.0, "idle": 4.0}
    rig.blocks = None
    await rig.turns(2)
    assert rig.states == ["applied"]
    await rig.desk.close()


async def test_a_pause_is_a_metric_and_so_is_the_next_possible_change(store):
    rig = Acting(store)
    await rig.pass_by(6)
    await rig.turns(1)
    [applied] = rig.desk.programs()
    await rig.turns(2)
    [at] = rig.samples("orcha_next_change_timestamp_seconds").values()
    assert at == applied.changed + 3600
    await rig.operations.pause(None, "anna")
    await rig.turns(2)
    assert rig.samples("orcha_paused") == {(): 1.0}
    assert rig.samples("orcha_next_change_timestamp_seconds") == {}
    await rig.desk.close()


async def test_whatever_goes_wrong_in_acting_what_was_seen_is_written(store):
    rig = Acting(store)

    async def odd(_ledgers):
        raise ZeroDivisionError

    rig.desk.turn = odd
    await rig.pass_by(6)
    await rig.turns(1)
    assert len(await store.readings(BUSY, 0.0, 1e12)) > 300
    assert rig.samples("orcha_reconcile_last_success_timestamp_seconds") == {(): 0.0}, "and the heartbeat tells it"


async def test_who_asks_over_the_api_and_the_loop_do_not_look_at_once(store):
    rig = Acting(store)
    await rig.pass_by(6)
    await rig.turns(1)
    [program] = rig.desk.programs()
    await rig.pass_by(2)
    turning = asyncio.create_task(rig.loop.turn())
    states = await asyncio.gather(*(rig.loop.look("default", [BUSY]) for _ in range(5)))
    await turning
    assert all(state is not None and state.now == rig.clock.time() for state in states)
    assert program.state is ProgramState.APPLIED
    await rig.desk.close()


async def test_of_a_policy_that_is_not_there_there_is_no_look(store):
    rig = Acting(store)
    assert await rig.loop.look("other", [BUSY]) is None


async def test_what_followed_a_suggestion_in_approve_makes_the_program_void_and_not_manual(store):
    rig = Acting(store, mode="Approve")
    await rig.pass_by(6)
    await rig.turns(2)
    rig.source.has = {"busy": 6.0, "idle": 2.0}
    await rig.turns(4)
    assert all(change.manual_change_at is None for change in rig.loop.outcomes.changes.values())
    [program] = rig.desk.programs()
    await rig.operations.approve(program.id, "anna")
    await rig.turns(2)
    [program] = rig.desk.programs()
    assert program.said.startswith("void: Stale")
    assert replace(program).steps == program.steps


class Fleet:
    """What a site does for the loop (controller/fleet/site.py)."""

    def __init__(self, rig):
        self.rig, self.fails, self.turns, self.specs, self.bound = rig, "", [], [], []

    def bind(self, state, held, programs):
        self.bound.append(dict(held))
        return replace(state, permits=7)

    async def turn(self, held, programs, decisions, *, sure):
        if self.fails:
            raise StoreRefused(self.fails)
        pasts = [any(w.blocks is not None for w in each.state.workloads) for each in decisions]
        self.turns.append((dict(held), [each.state.value for each in programs], pasts, sure))

    def asked(self, program, look):
        self.specs.append((program.id, look))
        return ""

    def void(self, program):
        return ""

    def replace(self, spec):
        self.specs.append(spec)


async def test_the_fleet_is_told_before_anything_begins_and_asked_at_the_last_moment(store):
    rig = Acting(store)
    fleet = Fleet(rig)
    rig.loop.join(fleet)
    await rig.pass_by(6)
    await rig.turns(1)
    held, states, pasts, sure = fleet.turns[0]
    assert ({key: each.most for key, each in held.items()}, states) == ({BUSY: 4.0, IDLE: 4.0}, ["approved"])
    assert (pasts, sure) == ([True], True), "a new plan comes with all that it was made from"
    [program] = rig.desk.programs()
    asked, look = fleet.specs[0]
    assert (asked, [each.id for each in look.programs]) == (program.id, [program.id])
    assert rig.decision.state.permits == 7
    assert rig.states == ["applied"]
    await rig.loop.turn()
    assert fleet.turns[-1][2] == [False]
    assert rig.loop.holdings().held[BUSY].least <= 6.0 <= rig.loop.holdings().held[BUSY].most
    await rig.desk.close()


async def test_while_the_fleet_cannot_be_told_nothing_begins(store):
    rig = Acting(store)
    fleet = Fleet(rig)
    rig.loop.join(fleet)
    fleet.fails = "the disk is full"
    await rig.pass_by(6)
    await rig.turns(2)
    assert (rig.states, rig.source.has) == (["approved"], {"busy": 4.0, "idle": 4.0})
    fleet.fails = ""
    await rig.turns(2)
    assert rig.states == ["applied"]
    await rig.desk.close()


async def test_who_is_not_the_writer_any_more_tells_the_fleet_nothing(store):
    rig = Acting(store)
    fleet = Fleet(rig)
    rig.loop.join(fleet)
    await rig.pass_by(1 / 60)
    await rig.loop.turn()
    before = len(fleet.turns)
    rig.desk.lost.set()
    await rig.loop.turn()
    assert len(fleet.turns) == before


async def test_what_the_journal_does_not_tell_is_not_given_away(store):
    rig = Acting(store)
    fleet = Fleet(rig)
    rig.loop.join(fleet)
    await rig.pass_by(1 / 60)
    await rig.loop.turn()
    rig.desk.unreadable = "program p-1 was written by another version"
    await rig.loop.turn()
    assert [sure for *_, sure in fleet.turns] == [True, False]


async def test_new_limits_of_the_fleet_reach_its_site(store):
    rig = Acting(store)
    fleet = Fleet(rig)
    rig.loop.join(fleet)
    document = {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "all"}, "spec": {"sites": ["a"]},
    }  # fmt: skip
    found = FleetManifest.model_validate(document)
    rig.loop.replace(replace(rig.loop.manifests, fleet=found))
    assert fleet.specs == [found.spec]
