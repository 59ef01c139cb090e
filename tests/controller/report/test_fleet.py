"""The families of the fleet: valid in both formats, from real agents on a switchboard, and of bounded number."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from controller.fleet import escrow
from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.escrow import Holding, Limit
from controller.fleet.manifest import FleetSpec
from controller.fleet.proposals import Proposal, tell
from controller.fleet.shown import FleetFace
from controller.fleet.terms import grow, shrink
from controller.fleet.timeline import Passed
from controller.fleet.transport.memory import Switchboard
from controller.report.fleet import PROPOSALS, FleetMetrics, edges_of
from controller.report.metrics import ControllerMetrics
from exporters.clock import SystemClock

SITES = ["garage", "home", "lab"]
SPEC = FleetSpec.model_validate(
    {
        "sites": SITES,
        "heartbeat": "300ms",
        "timeout": "3s",
        "sync": "300ms",
        "irreversibleAtOnce": None,
        "limits": [
            {"name": "golem-cpu", "protocol": "golem", "resource": "cpu", "maxTotal": 12},
            {"name": "storj-net", "protocol": "storj", "resource": "bandwidth", "minTotal": "80M"},
            {"name": "grass-share", "protocol": "grass", "resource": "bandwidth", "maxShare": 0.5},
        ],
    }
)
CPU = Limit("golem-cpu most", tuple(SITES), most=12_000)
NET = Limit("storj-net least", tuple(SITES), least=80_000_000)


class Fleet:
    """Three agents of one process, and what their metrics say."""

    def __init__(self, agents, board, metrics):
        self.agents, self.board, self.metrics = agents, board, metrics

    def page(self, *, openmetrics=False):
        return b"".join(self.metrics.render(openmetrics=openmetrics)).decode()

    def samples(self, name):
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text(self.page())
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name, **labels):
        return self.samples(name).get(tuple(sorted(labels.items())))

    async def until(self, holds):
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 what it waits for is in other agents
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(spec=SPEC, here=None, seen_by=None):
    """`here`: those of which the metrics are, all without."""
    board, clock, agents = Switchboard(), SystemClock(), {}
    async with contextlib.AsyncExitStack() as stack:
        for name in spec.agents:
            agents[name] = await stack.enter_async_context(Agent.opened(name, spec, InMemory(), board.port(), clock))
        chosen = [agents[name] for name in here or spec.agents]
        metrics = FleetMetrics(FleetFace("mine", spec, chosen), clock)
        for agent in chosen:
            metrics.hear(agent)
        tasks = [asyncio.create_task(agent.run()) for agent in agents.values()]
        try:
            yield Fleet(agents, board, metrics)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def shared(fleet):
    """Every site knows both limits, keeps within them, and says what it holds."""

    def word(replica, stamp, writer):
        escrow.word(replica, CPU, stamp(), writer)
        escrow.word(replica, NET, stamp(), writer)

    await fleet.agents["home"].write(word)
    await fleet.until(lambda: all(len(escrow.limits(each.peer.replica)) == 2 for each in fleet.agents.values()))
    for name, agent in fleet.agents.items():

        def said(replica, stamp, writer, me=name):
            for limit, held, want in ((CPU, 3000, 4500), (NET, 40_000_000, 40_000_000)):
                escrow.say(replica, limit.name, me, Holding(held, want), stamp(), writer)
                escrow.adopt(replica, limit.name, me, held, stamp(), writer)

        await agent.write(said)


async def agreed(fleet):
    """All hear each other, and know the same."""

    def said():
        now, peers = SystemClock().time(), [agent.peer for agent in fleet.agents.values()]
        return all(len(peer.alive(now)) == len(peers) and peer.converged(now) for peer in peers)

    await fleet.until(said)


# --- the page ---------------------------------------------------------------------------------------------------------


async def test_the_page_is_valid_in_both_formats_and_every_family_is_described():
    async with running() as fleet:
        await shared(fleet)
        await agreed(fleet)
        assert list(text(fleet.page()))
        families = {each.name: each for each in openmetrics(fleet.page(openmetrics=True) + "# EOF\n")}
    assert families.keys() >= {
        "orcha_fleet_agents", "orcha_fleet_agent_health_ratio", "orcha_fleet_messages", "orcha_fleet_errors",
        "orcha_fleet_message_latency_seconds", "orcha_fleet_limit", "orcha_fleet_limit_rights", "orcha_fleet_proposals",
    }  # fmt: skip
    assert all(len(each.documentation) > 20 and each.documentation.endswith(".") for each in families.values())


def test_where_there_is_no_fleet_no_family_of_it_is_shown():
    page = b"".join(ControllerMetrics("0.1.0", "test").render(openmetrics=True))
    assert b"orcha_fleet" not in page


def test_in_a_controllers_registry_they_are_beside_its_own():
    live = ControllerMetrics("0.1.0", "test")
    FleetMetrics(FleetFace("mine", SPEC), SystemClock(), live.registry)
    page = b"".join(live.render(openmetrics=True))
    assert b"orcha_fleet_edge{" in page
    assert b"orcha_build_info" in page
    assert list(openmetrics((page + b"# EOF\n").decode()))


# --- who hears whom ---------------------------------------------------------------------------------------------------


async def test_nobody_is_asked_how_well_it_hears_itself():
    async with running() as fleet:
        await agreed(fleet)
        found = fleet.samples("orcha_fleet_agent_health_ratio")
    pairs = {(dict(labels)["agent"], dict(labels)["seen_by"]) for labels in found}
    assert pairs == {(one, other) for one in SITES for other in SITES if one != other}
    assert all(0 < value <= 1 for value in found.values())


async def test_an_agent_that_is_cut_off_is_dead_for_the_others_and_they_for_it():
    async with running() as fleet:
        await agreed(fleet)
        fleet.board.partition([["lab"], ["garage", "home"]])
        await fleet.until(lambda: fleet.value("orcha_fleet_agent_health_ratio", agent="lab", seen_by="home") == 0)
        await fleet.until(lambda: fleet.value("orcha_fleet_agents", seen_by="lab", state="dead") == 2)
        assert fleet.value("orcha_fleet_agents", seen_by="home", state="alive") == 2
        assert fleet.value("orcha_fleet_agents", seen_by="lab", state="alive") == 1
        assert fleet.value("orcha_fleet_agent_health_ratio", agent="garage", seen_by="home") > 0
        assert fleet.samples("orcha_fleet_errors_total")[(("to", "home"), ("via", "lab"), ("what", "unreachable"))] > 0


async def test_of_who_was_never_heard_nothing_is_told_until_that_says_something():
    async with running(here=["home"]) as fleet:
        fleet.board.partition([[name] for name in SITES])
        began = fleet.agents["home"].began
        if SystemClock().time() < began + SPEC.timeout / 2:
            assert fleet.samples("orcha_fleet_agent_health_ratio") == {}
        assert fleet.value("orcha_fleet_agents", seen_by="home", state="unknown") == 2
        await fleet.until(lambda: fleet.value("orcha_fleet_agent_health_ratio", agent="lab", seen_by="home") == 0)
        assert fleet.value("orcha_fleet_agents", seen_by="home", state="dead") == 0


async def test_edges_are_those_of_the_topology_once_each():
    ring = FleetSpec.model_validate({"sites": ["a", "b", "c", "d"], "topology": "ring"})
    metrics = FleetMetrics(FleetFace("mine", ring), SystemClock())
    found = Fleet({}, None, metrics).samples("orcha_fleet_edge")
    ends = [(dict(labels)["source"], dict(labels)["target"]) for labels in found]
    assert sorted(ends) == [("a", "b"), ("a", "d"), ("b", "c"), ("c", "d")]
    assert set(found.values()) == {1.0}


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_are_counted_along_edges_by_kind_and_timed():
    async with running() as fleet:
        assert fleet.value("orcha_fleet_messages_total", via="lab", to="home", kind="ack") is not None
        await shared(fleet)
        await agreed(fleet)
        assert fleet.value("orcha_fleet_messages_total", via="lab", to="home", kind="heartbeat") > 0
        assert fleet.value("orcha_fleet_sent_bytes_total", via="home", to="lab") > 100
        assert fleet.value("orcha_fleet_message_latency_seconds_count", via="lab", to="home") > 0
        assert fleet.value("orcha_fleet_message_latency_seconds_sum", via="lab", to="home") < 60


PASSED = Passed("home.1-1", "ack", "home", "home", "lab", 1, 0.0, 2000.0, 10)


def quiet():
    return Fleet({}, None, FleetMetrics(FleetFace("mine", SPEC), SystemClock()))


@pytest.mark.parametrize(
    "message",
    [replace(PASSED, via="mallory"), replace(PASSED, to="x" * 200), replace(PASSED, via="lab")],
    ids=["a stranger", "a long name", "oneself"],
)
def test_a_message_that_is_on_no_edge_makes_no_series(message):
    fleet = quiet()
    fleet.metrics.noted(message)
    assert fleet.samples("orcha_fleet_messages_total") == {}
    fleet.metrics.noted(PASSED)
    assert len(fleet.samples("orcha_fleet_messages_total")) == 1


def test_what_arrives_before_it_was_sent_is_counted_and_not_timed():
    fleet = quiet()
    fleet.metrics.noted(replace(PASSED, microseconds=-1.0))
    assert fleet.value("orcha_fleet_messages_total", via="home", to="lab", kind="ack") == 1
    assert fleet.samples("orcha_fleet_message_latency_seconds_count") == {}
    fleet.metrics.noted(PASSED)
    assert fleet.value("orcha_fleet_message_latency_seconds_sum", via="home", to="lab") == pytest.approx(0.002)


def test_a_failure_has_a_known_word_and_known_ends():
    fleet = quiet()
    for words in (
        ("home", "lab", "full"),
        ("?", "lab", "malformed"),
        ("home", "lab", "a sentence"),
        ("evil", "?", "full"),
    ):
        fleet.metrics.failed(*words)
    assert {tuple(dict(labels)[name] for name in ("via", "to", "what")) for labels in fleet.samples("orcha_fleet_errors_total")} == {
        ("home", "lab", "full"), ("", "lab", "malformed"), ("home", "lab", "other"), ("", "", "full"),
    }  # fmt: skip


async def test_who_was_told_before_is_told_still():
    told = []
    async with running(here=["home"]) as fleet:
        lab = fleet.agents["lab"]
        lab.noted = lambda message: told.append(message.to)
        fleet.metrics.hear(lab)
        await fleet.until(lambda: told)
        await fleet.until(lambda: fleet.value("orcha_fleet_messages_total", via="home", to="lab", kind="heartbeat"))
    assert set(told) == {"lab"}


def test_edges_go_both_ways():
    assert set(edges_of(SPEC)) == {(one, other) for one in SITES for other in SITES if one != other}


# --- of each agent ----------------------------------------------------------------------------------------------------


async def test_what_is_known_grows_and_all_agree_again():
    async with running() as fleet:
        await shared(fleet)
        await agreed(fleet)
        registers = fleet.samples("orcha_fleet_registers")
        assert len(set(registers.values())) == 1
        assert fleet.value("orcha_fleet_registers", agent="lab") == 2 + 2 * 2 * 3
        await fleet.until(lambda: fleet.value("orcha_fleet_apart_seconds", agent="lab") == 0)
        assert fleet.value("orcha_fleet_convergence_seconds", agent="lab") > 0
        assert fleet.value("orcha_fleet_transport_connected", agent="lab") == 1
        assert fleet.value("orcha_fleet_state_write_success", agent="lab") == 1
        assert fleet.value("orcha_fleet_gaps_total", agent="lab") == 0
        fleet.agents["lab"].peer.refuse("nonsense")
        fleet.agents["lab"].stored = False
        assert fleet.value("orcha_fleet_refused_total", agent="lab") >= 1
        assert fleet.value("orcha_fleet_state_write_success", agent="lab") == 0


async def test_apart_is_told_while_it_lasts():
    async with running(here=["home"]) as fleet:
        fleet.board.loss = 1.0
        home = fleet.agents["home"]
        home.timeline.agree(False, home.began - 30, "nobody")
        assert fleet.value("orcha_fleet_apart_seconds", agent="home") >= 30


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_limits_are_in_base_units_and_each_site_speaks_for_itself():
    async with running() as fleet:
        await shared(fleet)
        await agreed(fleet)
        cpu = {"limit": "golem-cpu", "kind": "maxTotal", "resource": "cpu"}
        net = {"limit": "storj-net", "kind": "minTotal", "resource": "bandwidth"}
        await fleet.until(lambda: fleet.value("orcha_fleet_limit_settled", **cpu) == 1)
        assert fleet.value("orcha_fleet_limit", **cpu) == 12
        assert fleet.value("orcha_fleet_limit", **net) == 10_000_000  # bytes a second: 80 Mbit/s
        assert fleet.samples("orcha_fleet_limit").keys() == {tuple(sorted(each.items())) for each in (cpu, net)}
        assert fleet.value("orcha_fleet_limit_rights", **cpu, agent="lab", told="own") == 4
        assert fleet.value("orcha_fleet_limit_held", **cpu, agent="lab", told="own") == 3
        assert fleet.value("orcha_fleet_limit_wanted", **cpu, agent="lab", told="own") == 4.5
        assert fleet.value("orcha_fleet_limit_held", **net, agent="lab", told="own") == 5_000_000
        assert {dict(labels)["told"] for labels in fleet.samples("orcha_fleet_limit_held")} == {"own"}


async def test_of_sites_that_live_elsewhere_is_told_what_was_heard():
    async with running(here=["home"]) as fleet:
        await shared(fleet)
        cpu = {"limit": "golem-cpu", "kind": "maxTotal", "resource": "cpu"}
        await fleet.until(lambda: fleet.value("orcha_fleet_limit_held", **cpu, agent="lab", told="heard") == 3)
        assert fleet.value("orcha_fleet_limit_held", **cpu, agent="home", told="own") == 3
        assert fleet.value("orcha_fleet_limit_held", **cpu, agent="home", told="heard") is None


async def test_a_limit_that_nobody_told_yet_has_no_amounts_and_is_not_settled():
    async with running(here=["home"]) as fleet:
        assert fleet.samples("orcha_fleet_limit") == {}
        assert set(fleet.samples("orcha_fleet_limit_settled").values()) == {0.0}
        assert fleet.samples("orcha_fleet_limit_held") == {}


# --- proposals --------------------------------------------------------------------------------------------------------


async def test_proposals_are_counted_by_what_comes_of_them():
    async with running() as fleet:
        assert {dict(labels)["state"] for labels in fleet.samples("orcha_fleet_proposals")} == set(PROPOSALS)

        def one(replica, stamp, writer):
            mine = [
                Proposal("a", "home", 1.0, True, grow("rack/golem", "cpu", 2.0, 4.0)),
                Proposal("b", "home", 2.0, False, grow("rack/storj", "storage", 1.0, 2.0)),
            ]
            tell(replica, "home", mine, stamp, writer, 1)

        def other(replica, stamp, writer):
            mine = [
                Proposal("c", "lab", 3.0, False, shrink("rack/storj", "storage", 2.0, 1.0)),
                Proposal("d", "lab", 4.0, False, grow("rack/golem", "cpu", 2.0, 3.0)),
                Proposal("e", "lab", 5.0, False, grow("attic/grass", "bandwidth", 1.0, 2.0)),
            ]
            tell(replica, "lab", mine, stamp, writer, 1)

        await fleet.agents["home"].write(one)
        await fleet.agents["lab"].write(other)
        await agreed(fleet)
        found = {dict(labels)["state"]: value for labels, value in fleet.samples("orcha_fleet_proposals").items()}
    assert found == {"begun": 1, "goes": 1, "waits": 1, "cancelled": 2}


def test_two_registries_do_not_share_counters():
    one, other = quiet(), quiet()
    one.metrics.noted(PASSED)
    assert other.samples("orcha_fleet_messages_total") == {}
    assert isinstance(one.metrics.registry, CollectorRegistry)
