"""The loop over a scripted source and a clock that is moved by hand: what it remembers, decides, shows and survives."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from controller.address import StoreError
from controller.decide import decide
from controller.history import History
from controller.loop import SLICE, Reconciler
from controller.manifests import Manifests
from controller.model import Reason
from controller.observe import Observation, Watched
from controller.policy import AllocationPolicy
from controller.replay import replay
from controller.report.metrics import ControllerMetrics
from controller.report.tables import plan_table, status_table
from controller.samples import Kept
from controller.state import state_of
from controller.store import Store
from exporters.nodes import Allocation, Node
from exporters.reading import Native, Quality, Reading
from exporters.simulator.inprocess import FastClock
from exporters.traits import CurveKind, Traits

T0 = 1_700_000_000.0
TRAITS = Traits(curve=CurveKind.DEMAND, resource="cpu", poll_interval=60.0)
ALLOCATION = Allocation(resource="cpu", min=1.0, max=8.0, step=1.0)


def node() -> Node:
    document = {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": "rack-1"},
        "spec": {"capacity": {"cpu": "8"}, "workloads": {
            name: {"protocol": "golem", "endpoint": "http://127.0.0.1:1", "allocation": {"resource": "cpu", "min": "1", "max": "8", "step": "1"}}
            for name in ("busy", "idle")
        }},
    }  # fmt: skip
    return Node.model_validate(document)


def policy(**spec) -> AllocationPolicy:
    return AllocationPolicy.model_validate(
        {"apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "default"}, "spec": spec}
    )


def reading(name: str, at: float, used: float, allocated: float = 4.0, **changes) -> Reading:
    """Every used core earns 0.01 USD per hour."""
    made = Reading(
        "rack-1", name, "golem", at, healthy=True, quality=Quality.MEASURED, native=Native({"USD": 0.01 * used}),
        rate_usd_per_hour=0.01 * used, net_usd_per_hour=0.01 * used, allocated={"cpu": allocated}, used={"cpu": used},
    )  # fmt: skip
    return replace(made, **changes)


@dataclass
class Script:
    """A source that says what it is told to say."""

    clock: FastClock
    fresh: list[Reading] = field(default_factory=list)
    newest: dict[str, Reading] = field(default_factory=dict)
    complete: bool = True
    broken: bool = False

    @property
    def watched(self):
        return {
            key: Watched(key, "rack-1", "golem", TRAITS, 300.0, ALLOCATION, None, None, None, "dry_run")
            for key in ("rack-1/busy", "rack-1/idle")
        }

    def say(self, *readings: Reading) -> None:
        self.fresh += readings
        self.newest |= {each.key: each for each in readings}

    async def observe(self, patience=0.0):
        if self.broken:
            raise RuntimeError("the source tripped")
        fresh, self.fresh = tuple(self.fresh), []
        good = {key: each for key, each in self.newest.items() if each.up}
        return Observation(self.clock.time(), fresh, dict(self.newest), good, self.complete)

    async def read_back(self, key):
        return self.newest[key]

    async def close(self):
        pass


class Rig:
    """A loop with everything around it."""

    def __init__(self, store=None, **spec):
        self.clock = FastClock(T0, auto=False)
        self.source = Script(self.clock)
        self.metrics = ControllerMetrics("0.1.0", "test")
        self.blocks: str | None = None
        self.history = History(
            Kept(key, resource="cpu", step=1.0, max=8.0, stale_after=300.0, foreseen=True)
            for key in self.source.watched
        )
        found = Manifests(nodes=(node(),), policies=(policy(**spec),))
        self.metrics.policies(["default"])

        async def ask(_expression):
            return self.blocks

        self.loop = Reconciler(
            found, self.source, self.history, store, self.metrics, self.clock, ask_block=ask, rng=random.Random(1)
        )  # fmt: skip

    async def hours(self, hours: float, step: float = 60.0, **usage: float) -> None:
        """Let time pass with a reading of each workload every minute; the loop turns at the end."""
        for _ in range(int(hours * 3600 / step)):
            self.clock.advance(self.clock.time() + step)
            self.source.say(*(reading(name, self.clock.time(), used) for name, used in usage.items()))
        await self.loop.turn()

    def view(self):
        return self.loop.view("0.1.0", {"problems": []})

    def samples(self, family: str) -> dict:
        page = b"".join(self.metrics.render(openmetrics=False)).decode()
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for found in text(page)
            for sample in found.samples
            if sample.name == family
        }


async def test_with_too_little_history_it_stays_and_says_when_it_will_be_ready():
    rig = Rig()
    await rig.hours(0.5, busy=4.0, idle=1.0)
    decision = rig.loop.decisions["default"]
    assert decision.reason is Reason.NO_HISTORY
    assert decision.ready_at == pytest.approx(rig.clock.time() + 1.5 * 3600, abs=120)
    assert decision.plan.gain is None, "no number is better than an invented one"
    assert rig.samples("orcha_plan_gain_usd_per_hour") == {}


async def test_with_enough_history_it_suggests_what_earns_more_and_why():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    decision = rig.loop.decisions["default"]
    assert decision.reason is Reason.MODE_SUGGEST
    assert decision.plan.targets["rack-1/busy"] > 4 > decision.plan.targets["rack-1/idle"]
    assert {verdict.reason for verdict in decision.verdicts} == {Reason.MODE_SUGGEST}
    assert not any(verdict.allowed for verdict in decision.verdicts), "Suggest changes nothing"
    assert rig.samples("orcha_plan_gain_usd_per_hour")[("bound", "expected"), ("policy", "default")] > 0
    assert rig.samples("orcha_allocation_target_ratio")
    assert rig.samples("orcha_verdicts_total")[("policy", "default"), ("reason", "ModeSuggest")] == 2


async def test_it_plans_only_as_often_as_the_policy_says():
    rig = Rig(reconcile={"observe": "5s", "estimate": "30s", "plan": "60s", "jitter": 0})
    await rig.hours(6, busy=4.0, idle=1.0)
    first = rig.loop.decisions["default"]
    rig.clock.advance(rig.clock.time() + 30)
    await rig.loop.turn()
    assert rig.loop.decisions["default"].plan is first.plan
    rig.clock.advance(rig.clock.time() + 31)
    await rig.loop.turn()
    assert rig.loop.decisions["default"].plan is not first.plan


async def test_what_is_decided_with_what_history_counts_is_what_its_blocks_say():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    for _ in range(3):
        await rig.hours(0.2, busy=4.0, idle=2.0)
    found, watched = rig.loop.decisions["default"], rig.source.watched
    past = {key: rig.history.blocks(key, rig.clock.time()) for key in watched}
    spoken = policy()
    seen = rig.loop.observation
    alone = decide(state_of(spoken, [node()], seen, watched, past))
    memory = await rig.history.memory(watched)
    assert sorted(memory.keys) == sorted(watched)
    with_it = decide(state_of(spoken, [node()], seen, watched, past, memory=memory))
    assert found.sentence == alone.sentence == with_it.sentence
    assert found.state.memory is None, "what is shown does not hold on to it"


async def test_between_two_plans_the_curves_are_fitted_anew_and_the_plan_stands():
    rig = Rig(reconcile={"observe": "5s", "estimate": "30s", "plan": "60s", "jitter": 0})
    await rig.hours(6, busy=4.0, idle=1.0)
    first = rig.loop.decisions["default"]
    rig.clock.advance(rig.clock.time() + 29)
    await rig.loop.turn()
    assert rig.loop.decisions["default"] is first
    rig.clock.advance(rig.clock.time() + 2)
    rig.source.say(reading("busy", rig.clock.time(), 4.0), reading("idle", rig.clock.time(), 4.0))
    await rig.loop.turn()
    shown = rig.loop.decisions["default"]
    assert shown.plan is first.plan
    assert shown.curves is not first.curves
    assert shown.curves.keys() == first.curves.keys()
    assert rig.samples("orcha_reconcile_duration_seconds_count")[(("step", "estimate"),)] == 2
    assert rig.samples("orcha_reconcile_duration_seconds_count")[(("step", "plan"),)] == 1


async def test_before_every_workload_was_looked_at_it_waits_but_not_for_ever():
    rig = Rig()
    rig.source.complete = False
    rig.source.say(reading("busy", T0, 4.0))
    await rig.loop.turn()
    assert rig.loop.decisions == {}
    rig.clock.advance(T0 + 31)
    await rig.loop.turn()
    assert "default" in rig.loop.decisions


async def test_a_turn_that_fails_changes_nothing_and_the_next_one_works():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    before, beat = rig.loop.decisions["default"], rig.samples("orcha_reconcile_last_success_timestamp_seconds")
    rig.source.broken = True
    rig.clock.advance(rig.clock.time() + 300)
    await rig.loop.turn()
    assert rig.loop.decisions["default"] is before
    assert rig.samples("orcha_reconcile_last_success_timestamp_seconds") == beat, "the heartbeat tells it"
    rig.source.broken = False
    await rig.loop.turn()
    assert rig.loop.decisions["default"] is not before


async def test_a_dead_node_argues_for_staying_put():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    rig.clock.advance(rig.clock.time() + 600)
    gone = Reading(
        "rack-1", "busy", "golem", rig.clock.time(), up=False, failure="unreachable", failure_message="it is gone"
    )
    rig.source.say(gone, reading("idle", rig.clock.time(), 1.0))
    await rig.loop.turn()
    decision = rig.loop.decisions["default"]
    assert not any(verdict.allowed or verdict.reason is Reason.MODE_SUGGEST for verdict in decision.verdicts)


async def test_block_while_that_holds_refuses_with_its_reason():
    rig = Rig(limits={"blockWhile": "up == 0"})
    rig.blocks = "blockWhile holds: up == 0 gives 1 result(s)"
    await rig.hours(6, busy=4.0, idle=1.0)
    assert rig.loop.decisions["default"].reason is Reason.BLOCKED


async def test_mode_off_does_not_even_plan():
    rig = Rig(mode="Off")
    await rig.hours(6, busy=4.0, idle=1.0)
    assert rig.loop.decisions == {}


async def test_a_state_that_cannot_be_written_loses_nothing_and_is_seen(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    rig = Rig(store=store)
    fails = True

    async def flush(_store, _now):
        if fails:
            raise StoreError("the disk is full; free some space")
        await History.flush(rig.history, _store, _now)

    rig.loop._history = Flushes(rig.history, flush)
    await rig.hours(3, busy=4.0, idle=1.0)
    assert rig.samples("orcha_state_write_success") == {(): 0.0}
    assert rig.loop.decisions["default"].reason is Reason.MODE_SUGGEST, "deciding goes on"
    fails = False
    await rig.loop.turn()
    assert rig.samples("orcha_state_write_success") == {(): 1.0}
    assert len(await store.readings("rack-1/busy", T0, T0 + 86400)) == 180
    assert (await store.last_decisions())["default"].reason == "ModeSuggest"
    await store.close()


async def test_what_a_decision_was_made_from_is_kept_once_and_not_again_while_it_comes_to_the_same(tmp_path):
    store = await Store.open(f"sqlite:///{tmp_path}/orcha.db")
    rig = Rig(store=store)
    await rig.hours(6, busy=4.0, idle=1.0)
    [first] = await store.decisions("default", 0, 1e12)
    noted = []
    rig.loop._store = Notes(store, noted.append)
    await rig.hours(0.1, busy=4.0, idle=1.0)
    [again] = noted
    assert again.fingerprint == first.fingerprint
    assert again.inputs is None, "nobody made them"
    await rig.hours(3, busy=1.0, idle=1.0)
    assert noted[-1].fingerprint != first.fingerprint
    again = replay(noted[-1].inputs)
    assert again.sentence == noted[-1].sentence
    assert (await store.decided("default", first.at)).inputs is not None
    await store.close()


@dataclass
class Notes:
    store: Store
    note_decision: object

    def __getattr__(self, name):
        return getattr(self.store, name)


@dataclass
class Flushes:
    history: History
    flush: object

    def __getattr__(self, name):
        return getattr(self.history, name)


async def test_while_many_readings_are_taken_in_others_have_their_turn():
    rig = Rig()
    rig.source.say(*(reading("busy", T0 + i, 4.0) for i in range(10 * SLICE)))
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    scraping = asyncio.create_task(other())
    rig.source.complete = False  # so that nothing is decided, in whose thread's time others would have theirs
    await rig.loop.turn()
    scraping.cancel()
    assert turns >= 10
    assert rig.history.newest("rack-1/busy")[0].at == T0 + 10 * SLICE - 1


async def test_what_is_kept_of_a_decision_is_without_the_past_that_it_was_made_from():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    decision = rig.loop.decisions["default"]
    assert decision.curves
    assert all(workload.blocks is None for workload in decision.state.workloads)


async def test_a_stop_is_obeyed_at_once_even_while_it_waits():
    rig = Rig()
    stop = asyncio.Event()
    running = asyncio.create_task(rig.loop.run(stop))
    await asyncio.sleep(0.05)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 1)


async def test_what_is_shown_of_an_unknown_is_never_a_zero():
    rig = Rig()
    rig.source.say(reading("busy", T0, 4.0, rate_usd_per_hour=None, net_usd_per_hour=None), reading("idle", T0, 1.0))
    await rig.loop.turn()
    row = next(row for row in rig.view()["workloads"] if row["key"] == "rack-1/busy")
    assert row["gross_usd_per_hour"] is None
    assert row["net_usd_per_hour"] is None


async def test_a_reading_that_is_too_old_is_shown_as_unknown():
    rig = Rig()
    await rig.hours(3, busy=4.0, idle=1.0)
    rig.clock.advance(rig.clock.time() + 301)
    await rig.loop.turn()
    assert all(row["gross_usd_per_hour"] is None for row in rig.view()["workloads"])


async def test_both_tables_can_be_drawn_of_every_stage():
    rig = Rig()
    for hours in (0.1, 6):
        await rig.hours(hours, busy=4.0, idle=1.0)
        assert status_table(rig.view())
        assert plan_table(rig.view())


async def test_the_page_of_metrics_is_valid_in_both_formats():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    assert list(text(b"".join(rig.metrics.render(openmetrics=False)).decode()))
    page = b"".join(rig.metrics.render(openmetrics=True)) + b"# EOF\n"
    names = [family.name for family in openmetrics(page.decode())]
    assert len(names) == len(set(names))
    assert "orcha_build_info" not in rig.metrics.page.text.decode()


async def test_every_reason_is_counted_from_the_start():
    rig = Rig()
    assert {dict(labels)["reason"] for labels in rig.samples("orcha_verdicts_total")} == {
        str(reason) for reason in Reason
    }


async def test_new_manifests_are_decided_on_at_once_and_old_policies_are_forgotten():
    rig = Rig()
    await rig.hours(6, busy=4.0, idle=1.0)
    renamed = policy().model_copy(update={"metadata": policy().metadata.model_copy(update={"name": "other"})})
    rig.loop.replace(Manifests(nodes=(node(),), policies=(renamed,)))
    assert rig.loop.decisions == {}
    await rig.loop.turn()
    assert set(rig.loop.decisions) == {"other"}
    assert {dict(labels)["policy"] for labels in rig.samples("orcha_verdicts_total")} == {"other"}
