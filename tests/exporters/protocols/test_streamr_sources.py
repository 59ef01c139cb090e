"""A node's /info and the subgraph beside the chain: what they add, and that their failures spoil nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from exporters.protocols.streamr.abi import encode
from exporters.reading import Quality
from tests.exporters.protocols.streamr_rpc import (
    ADDRESS,
    INFO,
    NOW,
    OPERATOR,
    SPONSORSHIP,
    WEI,
    an_hour_in,
    answering,
    extra,
    look,
    said,
    subgraph,
)

STAKE = "stake/DATA"


@pytest.fixture
def rpc():
    return an_hour_in()


async def test_a_recorded_info_gives_identity_and_health(rpc):
    reading = await look(rpc, node=answering(INFO))
    assert reading.node_id == "bb" * 19 + "b1"
    assert extra(reading, "node_reachable") == 1.0
    assert extra(reading, "node_connections") == 1.0
    assert extra(reading, "node_thin_stream_parts") == 1.0
    assert extra(reading, "node_stream_parts_of_sponsorship") == 0.0
    assert said(reading, "does not serve the sponsorship's stream")
    assert reading.healthy is True


@pytest.mark.parametrize(
    ("change", "words"),
    [({"websocket": None}, "no incoming connections"), ({"neighborCount": 0}, "isolated")],
    ids=["no websocket", "no neighbours"],
)
async def test_a_node_that_cannot_be_reached_by_others_is_not_healthy(rpc, change, words):
    info = json.loads(json.dumps(INFO))
    layer = info["controlLayer"]
    if "websocket" in change:
        del layer["localPeerDescriptor"]["websocket"]
    else:
        layer |= change
    reading = await look(rpc, node=answering(info))
    assert reading.healthy is False
    assert said(reading, words)


async def test_an_older_node_that_says_less_is_read_for_what_it_says(rpc):
    reading = await look(
        rpc, node=answering({"controlLayer": {"localPeerDescriptor": {"websocket": {}, "nodeId": {"data": [300]}}}})
    )
    assert (reading.healthy, reading.node_id) == (True, None)
    assert extra(reading, "node_connections") is None


@pytest.mark.parametrize(
    ("node", "healthy", "reason"),
    [
        (answering("Unauthorized", status=401), None, "unauthorized"),
        (answering({"a": 1}), None, "malformed"),
        (answering([]), None, "malformed"),
        (answering({}, status=503), False, "unreachable"),
    ],
    ids=["no key", "another service", "a list", "down"],
)
async def test_a_node_that_fails_spoils_its_own_figures_only(rpc, node, healthy, reason):
    reading = await look(rpc, node=node)
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.healthy is healthy
    assert reading.extra["orcha_streamr_source_up"] == (({"source": "node"}, 0.0),)
    assert reading.extra["orcha_streamr_source_failed"] == (({"source": "node", "reason": reason}, 1.0),)
    assert said(reading, "/info")


async def test_a_node_that_hangs_costs_a_third_of_the_time_and_no_figure(rpc):
    async def hang(_):
        await asyncio.Event().wait()

    reading = await look(rpc, node=hang, limit="600ms")
    assert reading.up
    assert reading.healthy is False
    assert reading.extra["orcha_streamr_source_failed"] == (({"source": "node", "reason": "timeout"}, 1.0),)


async def test_the_nodes_key_is_sent_as_it_wants_it(rpc, tmp_path):
    key = tmp_path / "key"
    key.write_text("k1\n")
    seen_headers = []

    async def handle(request):
        seen_headers.append(request.headers.get("Authorization"))
        return web.json_response(INFO)

    await look(rpc, node=handle, credentials={"apiKeyFile": str(key)})
    assert seen_headers == ["bearer k1"]


async def test_the_subgraph_tells_payout_heartbeat_and_lifetime(rpc):
    rpc.storage = {}
    reading = await look(rpc, subgraph=answering(subgraph()))
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.quality is Quality.ESTIMATED
    assert extra(reading, "collected_data") == pytest.approx(812.3456789)
    assert extra(reading, "heartbeat_timestamp_seconds") == NOW - 3600
    assert "paid" not in reading.native.balance  # of both sponsorships: each workload would count it
    assert (reading.healthy, reading.notes) == (True, ())


async def test_lifetime_earnings_of_an_only_stake_are_paid(rpc):
    alone = (96, 160, 5000 * WEI, 1, ADDRESS["S1"], 1, 4 * WEI)
    rpc.set(OPERATOR, "getSponsorshipsAndEarnings()", "0x" + encode("", *alone))
    reading = await look(rpc, subgraph=answering(subgraph()))
    assert reading.native.balance["paid"] == {"DATA": pytest.approx(812.3456789)}


async def test_the_subgraphs_key_is_sent_and_the_question_is_in_lower_case(rpc, tmp_path):
    key, asked = tmp_path / "key", []
    key.write_text("g1")

    async def handle(request):
        asked.append((request.headers["Authorization"], json.loads(await request.read())["variables"]))
        return web.json_response(subgraph())

    options = {"operator": "0x39F947CF7B461b817ce7D951786c2958C663BbEa"}
    await look(rpc, subgraph=handle, credentials={"graphApiKeyFile": str(key)}, **options)
    assert asked == [("Bearer g1", {"operator": OPERATOR, "sponsorship": SPONSORSHIP})]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"errors": [{"message": "auth error: API key not found"}]}, "unauthorized"),
        ({"errors": "odd"}, "malformed"),
        ({"data": None}, "malformed"),
        ({"data": {"operator": None}}, "malformed"),
        ([], "malformed"),
        (None, "malformed"),
    ],
    ids=["key", "text", "no data", "unknown operator", "a list", "null"],
)
async def test_a_subgraph_that_fails_leaves_the_chains_figures(rpc, body, reason):
    reading = await look(rpc, subgraph=answering(body))
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.healthy is None
    assert reading.extra["orcha_streamr_source_failed"] == (({"source": "subgraph", "reason": reason}, 1.0),)
    assert said(reading, "the subgraph gave nothing")


async def test_a_fleet_without_a_heartbeat_for_a_day_is_dead_and_a_lagging_or_broken_subgraph_is_said(rpc):
    body = subgraph(latestHeartbeatTimestamp=str(NOW - 27 * 3600))
    body["data"]["_meta"] = {"block": {"timestamp": NOW + 2 - 7200}, "hasIndexingErrors": True}
    reading = await look(rpc, subgraph=answering(body))
    assert reading.healthy is False
    assert said(reading, "heartbeat on the chain is 1d3h old")
    assert said(reading, "2h behind")
    assert said(reading, "indexing errors")
