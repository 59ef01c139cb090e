"""The source over PromQL: what it tells the loop, and that whatever goes wrong argues for staying put, with a sentence."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from controller.decide import decide
from controller.estimate.readings import unfit
from controller.history import History
from controller.loop import Reconciler
from controller.manifests import Manifests
from controller.model import Reason
from controller.observe.prometheus import AtOnce, asking
from controller.observe.prometheus.source import BATCH, EVERY, LONGEST
from controller.policy import AllocationPolicy, Limits
from controller.report.metrics import ControllerMetrics
from controller.samples import Kept
from controller.state import state_of, workload_state
from exporters.reading import Connection, Native
from tests.controller.observe.fake import ALLOTTED, T0, lost, node, reading, success, workload

KEY, STALE = "rack-1/golem", workload().stale_after


async def seen(source):
    return await source.observe(patience=10.0)


def why_not(source, observation, key=KEY):
    """Why the workload cannot be planned on (estimate/readings.py); None: it can, but for its history."""
    found = unfit(workload_state(source.watched[key], observation, {}), observation.at, Limits())
    return None if found is not None and found[0] is Reason.NO_HISTORY else found


# --- what it tells ----------------------------------------------------------------------------------------------------


async def test_what_an_exporter_showed_is_what_the_loop_sees(source_for, prometheus):
    prometheus.scrape(reading())
    source = source_for()
    assert not source.complete
    observation = await seen(source)
    found = observation.newest[KEY]
    assert (found.allocated, found.used, found.at) == ({"cpu": 6.0}, {"cpu": 4.0}, T0)
    assert observation.last_good[KEY] is found
    assert observation.fresh == (found,)
    assert observation.complete
    assert source.complete
    assert why_not(source, observation) is None


async def test_a_look_is_told_once_and_a_new_price_of_it_is_not_a_new_look(source_for, prometheus, clock):
    source = source_for()
    prometheus.scrape(reading())
    await seen(source)
    clock.pass_(EVERY)
    prometheus.scrape(reading(rate_usd_per_hour=0.25, net_usd_per_hour=0.2))
    observation = await seen(source)
    assert observation.fresh == ()
    assert observation.newest[KEY].net_usd_per_hour == observation.last_good[KEY].net_usd_per_hour == 0.2
    clock.pass_(EVERY)
    prometheus.scrape(reading(T0 + 20))
    assert [each.at for each in (await seen(source)).fresh] == [T0 + 20]


async def test_it_asks_no_more_often_than_something_new_can_be_there(source_for, prometheus, clock):
    source = source_for()
    for _ in range(30):
        await seen(source)
        clock.pass_(1.0)
    assert len(prometheus.asked) == 30 // EVERY


@pytest.fixture
async def silent():
    """The address of a server that takes every question and never answers."""
    release = asyncio.Event()

    async def hold(_reader, writer):
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    release.set()
    server.close()


async def test_a_turn_does_not_wait_for_prometheus(source_for, silent):
    source = source_for(url=silent)
    for _ in range(3):
        observation = await source.observe()
        assert (observation.newest, observation.fresh, observation.complete) == ({}, (), False)


async def test_many_workloads_are_asked_for_in_few_questions_and_a_node_is_in_one(source_for, prometheus, clock):
    nodes = [node(f"n-{i:03d}", a=ALLOTTED, b=ALLOTTED, c=ALLOTTED) for i in range(200)]
    source = source_for(*nodes)
    prometheus.scrape(*(reading(name=name, on=each.name) for each in nodes for name in "abc"))
    observation = await seen(source)
    assert BATCH == 200
    assert len(prometheus.asked) == 4, "198 in each, for no node is cut in two"
    assert len(observation.newest) == len(observation.fresh) == 600
    assert all(found.up for found in observation.newest.values())


async def test_only_what_the_owner_chose_is_believed(source_for, prometheus):
    prometheus.scrape(reading(used={"cpu": 1.0}), target="lab:9871", site="lab")
    prometheus.scrape(reading(T0 - 5), target="home:9871", site="home")
    source = source_for(matchers='site="home"')
    assert (await seen(source)).newest[KEY].at == T0 - 5


async def test_new_manifests_are_in_force_at_the_next_look(source_for, prometheus, clock):
    prometheus.scrape(reading(), reading(name="akash"))
    source = source_for()
    await seen(source)
    source.replace([node(akash=ALLOTTED)])
    observation = await seen(source)
    assert list(observation.newest) == list(observation.last_good) == list(source.watched) == ["rack-1/akash"]


async def test_a_token_is_shown_and_never_told(source_for, prometheus, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cret-of-the-owner\n")
    prometheus.scrape(reading())
    source = source_for(token_file=secret)
    assert (await seen(source)).newest[KEY].up
    assert prometheus.headers[0]["Authorization"] == "Bearer s3cret-of-the-owner"
    prometheus.answer = lambda _form: web.Response(status=401, text="who is s3cret-of-the-owner?")
    prometheus.clock.pass_(EVERY)
    message = (await seen(source)).newest[KEY].failure_message
    assert "bearerTokenFile" in message
    assert "s3cret" not in message


async def test_it_shows_no_family_of_a_workload_or_token(source_for, prometheus):
    prometheus.scrape(reading())
    source = source_for()
    await seen(source)
    source.start()
    await source.first_prices()
    assert b"".join(source.render(openmetrics=False)) == b"".join(source.render(openmetrics=True)) == b""


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_node_that_is_not_read_is_told_as_such_with_the_time_and_the_figures_before(source_for, prometheus):
    prometheus.clock.pass_(60)
    prometheus.scrape(reading(), lost(T0 + 55))
    source = source_for()
    observation = await seen(source)
    assert [(each.up, each.at) for each in observation.fresh] == [(True, T0), (False, T0 + 55)]
    assert observation.newest[KEY].failure == "timeout"
    assert observation.last_good[KEY].at == T0
    assert why_not(source, observation) == (
        Reason.DISCONNECTED, f"{KEY} cannot be read (timeout); the last good reading is 1m ago",
    )  # fmt: skip


async def test_a_reading_that_is_not_renewed_grows_stale(source_for, prometheus, clock):
    source = source_for()
    for _ in range(int(STALE // 10) + 2):
        prometheus.scrape(reading())  # the exporter's page is there, and its poller hangs
        observation = await seen(source)
        clock.pass_(EVERY)
    assert observation.newest[KEY].up
    reason, sentence = why_not(source, observation)
    assert reason is Reason.STALE
    assert "was last read" in sentence


def answering(**more):
    return lambda _form: web.Response(**more)


TROUBLES = [
    pytest.param(answering(status=503, text="no"), "unreachable", "answered HTTP 503", id="503"),
    pytest.param(
        answering(status=422, text=json.dumps({"status": "error", "errorType": "execution", "error": "too many samples"})),
        "malformed", "too many samples", id="refused",
    ),
    pytest.param(answering(status=302, headers={"Location": "/login"}), "malformed", "another address", id="redirect"),
    pytest.param(answering(text="<html>"), "malformed", "no JSON", id="a web page"),
    pytest.param(answering(text=success("vector", [], warnings=["a store is away"])), "malformed", "may not be whole", id="partial"),
    pytest.param(answering(text=success("vector", [])), "unreachable", f"shows nothing of {KEY}", id="absent"),
    pytest.param(answering(text=success("vector", [{"metric": {}}])), "malformed", "cannot be read", id="odd rows"),
    pytest.param(answering(status=429, headers={"Retry-After": "30"}), "rate_limited", "asked too often", id="429"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "failure", "said"), TROUBLES)
async def test_whatever_is_wrong_with_the_answer_nothing_is_planned_on_and_history_is_not_told(
    answer, failure, said, source_for, prometheus, clock
):
    source = source_for()
    prometheus.scrape(reading())
    await seen(source)
    prometheus.answer = answer
    clock.pass_(EVERY)
    observation = await seen(source)
    newest = observation.newest[KEY]
    assert (newest.up, newest.failure, newest.connection) == (False, failure, Connection.RECONNECTING)
    assert said in newest.failure_message
    assert observation.fresh == (), "a Prometheus that is away says nothing of the node"
    assert observation.last_good[KEY].at == T0
    assert why_not(source, observation)[0] is Reason.DISCONNECTED
    prometheus.answer = None
    clock.pass_(LONGEST)
    prometheus.scrape(reading(clock.now))
    observation = await seen(source)
    assert observation.newest[KEY].up
    assert why_not(source, observation) is None


async def test_nobody_listens_where_the_prometheus_should_be(source_for, free_port):
    source = source_for(url=f"http://127.0.0.1:{free_port()}")
    observation = await seen(source)
    assert observation.complete
    assert "cannot be reached: nothing listens there" in observation.newest[KEY].failure_message
    assert why_not(source, observation)[0] is Reason.DISCONNECTED


async def test_a_prometheus_that_does_not_answer_is_given_up(source_for, silent, monkeypatch):
    monkeypatch.setattr(asking, "TIMEOUT", 0.2)
    found = (await seen(source_for(url=silent))).newest[KEY]
    assert (found.failure, found.connection) == ("timeout", Connection.CONNECTING)
    assert "did not answer within" in found.failure_message


async def test_an_answer_that_has_no_end_is_cut_off(source_for, prometheus, monkeypatch):
    monkeypatch.setattr(asking, "MAX_BODY", 2**20)
    prometheus.answer = answering(body=zlib.compress(b" " * 2**24), headers={"Content-Encoding": "deflate"})
    assert "answered more than 1 MiB" in (await seen(source_for())).newest[KEY].failure_message


async def test_while_it_does_not_answer_it_is_asked_less_and_less_and_that_is_said_once(source_for, prometheus, clock):
    prometheus.answer = answering(status=500)
    source = source_for()
    with capture_logs() as logs:
        for _ in range(300):
            await seen(source)
            clock.pass_(1.0)
        prometheus.answer = None
        clock.pass_(LONGEST)
        prometheus.scrape(reading(clock.now))
        await seen(source)
    assert len(prometheus.asked) <= 1 + 3 + 300 // LONGEST + 1
    assert [each["event"] for each in logs if "Prometheus" in each["event"] or "nothing" in each["event"]] == [
        "nothing is known of the nodes: nothing is moved", "Prometheus answers again",
    ]  # fmt: skip


async def test_a_server_that_is_a_scrape_behind_does_not_take_back_what_is_known(source_for, prometheus, clock):
    source = source_for()
    clock.pass_(30)
    prometheus.scrape(reading(T0 + 30, allocated={"cpu": 8.0}))
    await seen(source)
    prometheus.scrapes.clear()
    prometheus.scrape(reading(T0, allocated={"cpu": 6.0}))
    clock.pass_(EVERY)
    observation = await seen(source)
    assert observation.newest[KEY].allocated == {"cpu": 8.0}
    assert observation.fresh == ()
    clock.pass_(STALE)
    prometheus.scrape(reading(T0 + 10, allocated={"cpu": 6.0}))
    assert (await seen(source)).newest[KEY].allocated == {"cpu": 6.0}, "after that its clock was set back"


async def test_every_trouble_makes_the_whole_decision_stay(source_for, prometheus, clock):
    source = source_for(node(golem=ALLOTTED, akash=ALLOTTED))
    policy = AllocationPolicy.model_validate({
        "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "p"}, "spec": {"mode": "Auto"},
    })  # fmt: skip
    for answer in [None, *(each.values[0] for each in TROUBLES)]:
        prometheus.answer = answer
        clock.pass_(10 * LONGEST)
        observation = await seen(source)
        decision = decide(state_of(policy, [node(golem=ALLOTTED, akash=ALLOTTED)], observation, source.watched, {}))
        assert not any(verdict.allowed for verdict in decision.verdicts)
        assert decision.sentence


# --- nodes that cannot say what they have -----------------------------------------------------------------------------

POWER = {"usdPerKwh": 0.5}
DECLARED = {"allocation": {**ALLOTTED["allocation"], "initial": "4"}, "watts": {"perStep": 100}}


async def test_what_a_node_cannot_say_is_what_its_owner_or_orcha_gave_it_and_its_energy_is_known_then(
    source_for, prometheus, clock
):
    source = source_for(node(golem=DECLARED, power=POWER))
    silent = reading(allocated={}, net_usd_per_hour=None)
    prometheus.scrape(silent)
    found = (await seen(source)).newest[KEY]
    assert found.allocated == {"cpu": 4.0}
    assert found.net_usd_per_hour == pytest.approx(1.8 * 0.25 - 4 * 0.1 * 0.5)
    assert source.assumes(KEY)
    source.brought = lambda _key: {"cpu": 2.0}
    clock.pass_(EVERY)
    prometheus.scrape(replace(silent, at=T0 + 10))
    assert (await seen(source)).newest[KEY].allocated == {"cpu": 2.0}
    clock.pass_(EVERY)
    prometheus.scrape(reading(T0 + 20))
    assert (await seen(source)).newest[KEY].allocated == {"cpu": 6.0}
    assert not source.assumes(KEY)


@pytest.mark.parametrize(
    ("native", "net"),
    [
        pytest.param(Native({"USD": 0.5}, {"USD": 0.4}), 0.4 - 0.2, id="dollars"),
        pytest.param(Native({"GLM": 2.0}, {}), None, id="what is held back is not known"),
        pytest.param(Native({"GLM": 2.0, "DATA": 1.0}), None, id="two tokens have no one price"),
    ],
)
async def test_where_net_cannot_be_told_it_stays_unknown(native, net, source_for, prometheus):
    source = source_for(node(golem=DECLARED, power=POWER))
    prometheus.scrape(reading(allocated={}, net_usd_per_hour=None, native=native))
    found = (await seen(source)).newest[KEY].net_usd_per_hour
    assert found == (None if net is None else pytest.approx(net))


# --- in the loop ------------------------------------------------------------------------------------------------------


async def test_a_loop_over_it_learns_and_suggests_and_stops_when_prometheus_is_gone(source_for, prometheus, clock):
    both = node(busy=ALLOTTED, idle=ALLOTTED)
    source = source_for(both)
    policy = AllocationPolicy.model_validate({
        "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "p"},
        "spec": {"mode": "Suggest", "limits": {"minHistory": "1h"}},
    })  # fmt: skip
    metrics = ControllerMetrics("0.1.0", "test")
    metrics.policies(["p"])
    history = History([Kept.of(each) for each in source.workloads])

    async def nothing(_expression):
        return None

    loop = Reconciler(
        Manifests(nodes=(both,), policies=(policy,)), AtOnce(source), history, None, metrics, clock, ask_block=nothing,
        rng=random.Random(1),
    )  # fmt: skip

    async def live(minutes):
        for _ in range(minutes):
            clock.pass_(60)
            prometheus.scrapes.clear()
            idle = reading(clock.now, "idle", rate_usd_per_hour=0.05, net_usd_per_hour=0.05, used={"cpu": 0.5})
            prometheus.scrape(reading(clock.now, "busy", used={"cpu": 6.0}), idle)
            await turn()
        return loop.decisions["p"]

    async def turn():
        await loop.turn()  # begins the question
        await source.look_now("rack-1/busy")
        await loop.turn()

    decision = await live(90)
    assert decision.reason is Reason.MODE_SUGGEST
    assert decision.plan.targets["rack-1/busy"] > 6 > decision.plan.targets["rack-1/idle"]
    prometheus.answer = answering(status=503)
    clock.pass_(120)
    await turn()
    clock.pass_(120)
    await turn()
    decision = loop.decisions["p"]
    assert not decision.plan.moves
    assert decision.circuit_open
    assert decision.reason is Reason.DISCONNECTED
    assert "HTTP 503" in loop.view("0.1.0", {})["workloads"][0]["failure"]
    assert history.blocks("rack-1/busy", clock.now).exposure == pytest.approx(1.5, abs=0.1)
    prometheus.answer = None
    assert (await live(3)).reason is Reason.MODE_SUGGEST
