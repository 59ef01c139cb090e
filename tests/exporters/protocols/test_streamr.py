"""One stake in one sponsorship, as the real contracts told it (recorded), over a real loopback JSON-RPC endpoint."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from pydantic import ValidationError

from exporters import collector
from exporters.collector import Payloads, Workload
from exporters.nodes import WorkloadSpec
from exporters.protocols import streamr
from exporters.protocols.streamr.abi import encode
from exporters.protocols.streamr.jsonrpc import Question, Refused, ask
from exporters.reading import Quality
from tests.exporters.protocols.streamr.stakes import a_stake
from tests.exporters.protocols.streamr_rpc import (
    ADDRESS,
    CALLS,
    NOW,
    OPERATOR,
    ROLE,
    SOLVENT,
    SPONSORSHIP,
    WEI,
    P,
    Rpc,
    an_hour_in,
    data,
    extra,
    look,
    said,
    served,
    two_looks,
    uint,
)

STAKE = "stake/DATA"


@pytest.fixture
def rpc():
    return an_hour_in()


@pytest.mark.parametrize("name", CALLS)
async def test_every_recorded_pair_is_replayed_over_http_and_read_as_it_was_said(name):
    pair = CALLS[name]

    async def handle(request):
        asked = json.loads(await request.read())
        assert asked["params"] == pair["request"]["params"]
        return web.json_response({**pair["response"], "id": asked["id"]})

    rpc = Rpc()
    rpc.handle = handle
    question = Question(pair["request"]["method"], pair["request"]["params"])
    async with served(rpc) as (workload, session):
        answer = (await ask(session, workload.endpoint, {"it": question}))["it"]
    if "error" in pair["response"]:
        assert answer == Refused(pair["response"]["error"]["message"])
    else:
        assert answer == pair["response"]["result"]


# The figures


async def test_the_recorded_stake_earns_four_and_a_half_an_hour_and_the_owner_keeps_his_part(rpc):
    rpc.set(OPERATOR, "totalSupply()", data(100_000))
    rpc.set(OPERATOR, "balanceOf(address)", data(40_000), ADDRESS["owner"])
    reading = await look(rpc)
    assert reading.up, reading.failure_message
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.native.net_per_hour == {"DATA": pytest.approx(1.9665)}  # 4.5 x 0.95 x (0.1 + 0.9 x 0.4)
    assert reading.native.balance == {"accrued": {"DATA": 4.5}, "at_risk": {"DATA": 0.0}}
    assert reading.allocated == {STAKE: 50_000.0}
    assert reading.irreversible == {STAKE: 5000.0}
    assert reading.pool.payout_native_per_hour == {"DATA": pytest.approx(180.0)}
    assert reading.pool.others == 1_950_000.0
    assert (reading.state, reading.healthy, reading.quality) == ("running", True, Quality.ESTIMATED)
    assert reading.version == "operator contract 3"
    assert reading.notes == ()
    assert extra(reading, "operator_uncollected_data") == pytest.approx(9.3)
    assert extra(reading, "earnings_headroom_data") == pytest.approx(4990.7)
    assert extra(reading, "least_node_gas_tokens") == 1.0
    assert extra(reading, "queue_data") == 0.0
    assert extra(reading, "free_data") == pytest.approx(30_000)
    assert extra(reading, "solvent_until_timestamp_seconds") == SOLVENT


@pytest.mark.parametrize(
    "answer", [uint(0), "0x", None, "rubbish", "0x" + "f" * 64], ids=["zero", "empty", "null", "rubbish", "huge"]
)
async def test_a_storage_that_does_not_tell_leaves_the_rate_unknown_not_zero(rpc, answer):
    rpc.storage = dict.fromkeys(rpc.storage, answer)
    reading = await look(rpc)
    if answer == "rubbish":
        assert (reading.up, reading.failure) == (False, "malformed")
        return
    assert reading.up, reading.failure_message
    assert reading.native.gross_per_hour == {} == reading.native.net_per_hour
    assert reading.pool is None
    assert reading.quality is None
    assert extra(reading, "payout_data_per_second") is None
    assert said(reading, "payout is not known yet")
    assert reading.allocated == {STAKE: 50_000.0}


async def test_an_endpoint_without_storage_access_falls_back_to_what_the_owner_wrote(rpc):
    rpc.storage = {}
    reading = await look(rpc, payoutPerSecond=0.05)
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.quality is Quality.ASSUMED


async def test_the_chain_is_believed_over_the_options_and_says_so(rpc):
    reading = await look(rpc, payoutPerSecond=0.5)
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert said(reading, "options.payoutPerSecond is 0.5")


async def test_without_any_other_source_two_looks_tell_the_payout(rpc):
    rpc.storage = {}
    first, second = await two_looks(rpc, lambda: earn(rpc, 4.5 + 0.375))  # five minutes at 4.5 an hour
    assert first.native.gross_per_hour == {}
    assert second.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert second.pool.payout_native_per_hour == {"DATA": pytest.approx(180.0)}
    assert second.quality is Quality.MEASURED
    assert said(second, "0.05 DATA/s; write options.payoutPerSecond")


def earn(rpc, amount, other=4.8, limit=5000.0):
    words = (
        96,
        192,
        int(limit) * WEI,
        2,
        ADDRESS["S1"],
        ADDRESS["S2"],
        2,
        int(amount * 1e6) * 10**12,
        int(other * 1e6) * 10**12,
    )
    rpc.set(OPERATOR, "getSponsorshipsAndEarnings()", "0x" + encode("", *words))


async def test_a_withdrawal_is_no_loss(rpc):
    _, reading = await two_looks(rpc, lambda: earn(rpc, 0.0))
    assert reading.native.balance["accrued"] == {"DATA": 0.0}
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert (reading.healthy, reading.notes) == (True, ())


# States


async def test_a_sponsorship_that_runs_without_money_earns_nothing_and_is_not_healthy(rpc):
    rpc.set(SPONSORSHIP, "isFunded()", CALLS["S4.isFunded(insolvent)"]["response"]["result"])
    rpc.set(SPONSORSHIP, "solventUntilTimestamp()", uint(NOW - 7200))
    rpc.tell_payout(P, NOW - 9200, 2000 * P)
    reading = await look(rpc)
    assert (reading.state, reading.healthy) == ("unfunded", False)
    assert extra(reading, "running") == 1.0
    assert reading.native.gross_per_hour == {"DATA": 0.0} == reading.native.net_per_hour
    assert reading.pool.payout_native_per_hour == {"DATA": 0.0}
    assert said(reading, "money ended 2h ago")


async def test_a_sponsorship_that_lacks_operators_does_not_run_and_its_rate_is_known_to_be_zero(rpc):
    rpc.set(SPONSORSHIP, "isRunning()", uint(0))
    rpc.set(SPONSORSHIP, "minOperatorCount()", uint(3))
    rpc.storage = {}
    reading = await look(rpc)
    assert (reading.state, reading.healthy) == ("not_running", False)
    assert reading.native.gross_per_hour == {"DATA": 0.0}
    assert said(reading, "2 of 3 operators")


async def test_a_flagged_stake_is_locked_and_at_risk(rpc):
    rpc.set(SPONSORSHIP, "getFlag(address)", CALLS["getFlag(flagged)"]["response"]["result"], OPERATOR)
    rpc.set(SPONSORSHIP, "lockedStakeWei(address)", CALLS["lockedStakeWei(flagged)"]["response"]["result"], OPERATOR)
    reading = await look(rpc)
    assert (reading.state, reading.healthy) == ("flagged", False)
    assert reading.native.balance["at_risk"] == {"DATA": 250.0}
    assert said(reading, "flagged this stake")


async def test_what_leaving_would_cost_is_at_risk_but_never_more_than_the_stake(rpc):
    rpc.set(SPONSORSHIP, "getLeavePenalty(address)", data(5000), OPERATOR)
    assert (await look(rpc)).native.balance["at_risk"] == {"DATA": 5000.0}
    rpc.set(OPERATOR, "slashedIn(address)", data(48_000), SPONSORSHIP)
    reading = await look(rpc)
    assert reading.allocated == {STAKE: 2000.0}  # stakedInto counts what was slashed since
    assert reading.native.balance["at_risk"] == {"DATA": 2000.0}
    assert reading.irreversible == {STAKE: 2000.0}


async def test_a_sponsorship_without_flagging_or_leaving_rules_leaves_those_figures_unknown(rpc):
    for signature in (
        "getFlag(address)",
        "lockedStakeWei(address)",
        "getLeavePenalty(address)",
        "minimumStakeOf(address)",
    ):
        rpc.set(SPONSORSHIP, signature, {"code": 3, "message": "execution reverted"}, OPERATOR)
    reading = await look(rpc)
    assert reading.up
    assert "at_risk" not in reading.native.balance
    assert reading.irreversible == {}
    assert extra(reading, "flagged") is None
    assert reading.state == "running"


async def test_waiting_delegators_and_too_much_uncollected_are_said(rpc):
    rpc.set(OPERATOR, "queueIsEmpty()", CALLS["queueIsEmpty(false)"]["response"]["result"])
    rpc.set(OPERATOR, "undelegationQueue()", CALLS["undelegationQueue(nonempty)"]["response"]["result"])
    earn(rpc, 4.5, other=6000.0)
    reading = await look(rpc)
    assert extra(reading, "queue_data") > 40_000
    assert extra(reading, "queue_empty") == 0.0
    assert extra(reading, "earnings_headroom_data") == pytest.approx(-1004.5)
    assert said(reading, "delegators wait")
    assert said(reading, "exceed the limit")


async def test_money_without_an_end_has_no_date(rpc):
    rpc.set(SPONSORSHIP, "solventUntilTimestamp()", uint(2**255))
    reading = await look(rpc, payoutPerSecond=0.05)
    assert extra(reading, "solvent_until_timestamp_seconds") is None


async def test_a_stake_elsewhere_only_is_no_stake_here(rpc):
    nothing = (96, 160, 5000 * WEI, 1, ADDRESS["S2"], 1, 4 * WEI)
    rpc.set(OPERATOR, "getSponsorshipsAndEarnings()", "0x" + encode("", *nothing))
    rpc.set(OPERATOR, "stakedInto(address)", uint(0), SPONSORSHIP)
    reading = await look(rpc)
    assert (reading.state, reading.allocated) == ("not_staked", {STAKE: 0.0})
    assert reading.native.balance["accrued"] == {"DATA": 0.0}


# The endpoint


@pytest.mark.parametrize(("age", "healthy"), [(2, True), (179, True), (600, False), (-600, False)])
async def test_an_endpoint_that_lags_or_is_ahead_is_not_believed(rpc, age, healthy):
    reading = await look(rpc, now=NOW + age)
    assert reading.healthy is healthy
    assert said(reading, "newest block") is not healthy


@pytest.mark.parametrize(
    ("contract", "words"),
    [(OPERATOR, "options.operator"), (SPONSORSHIP, "options.sponsorship")],
    ids=["operator", "sponsorship"],
)
async def test_an_address_without_a_contract_is_malformed_with_what_to_check(rpc, contract, words):
    rpc.results = {key: result for key, result in rpc.results.items() if key[0] != contract}
    reading = await look(rpc)
    assert (reading.up, reading.failure) == (False, "malformed")
    assert "there is no contract" in reading.failure_message
    assert words in reading.failure_message


async def test_a_contract_of_another_kind_is_malformed(rpc):
    reading = await look(rpc, operator=ADDRESS["token"])
    assert (reading.failure, "refused" in reading.failure_message) == ("malformed", True)


async def test_another_chain_is_named(rpc):
    rpc.chain_id = "0x1"
    reading = await look(rpc)
    assert reading.failure == "malformed"
    assert "chain 1, not 31337" in reading.failure_message


@pytest.mark.parametrize("block", [None, "0x1", {}, {"timestamp": 5}, {"timestamp": "soon"}], ids=str)
async def test_a_block_without_a_time_is_malformed(rpc, block):
    rpc.block = block
    assert (await look(rpc)).failure == "malformed"


async def test_an_endpoint_that_takes_no_batches_gives_the_same_reading(rpc):
    whole = await look(rpc)
    assert rpc.posts == 2
    rpc.batches = False
    assert await look(rpc) == whole
    posts = rpc.posts
    assert await look(rpc, batch=False) == whole
    assert rpc.posts - posts == posts - 2 - 2  # no POST in vain


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": -32005, "message": "limit"}, "rate_limited"),
        ({"code": -32016, "message": "over rate limit"}, "rate_limited"),
        ({"code": -32097, "message": "slow"}, "rate_limited"),
        ({"code": -32600, "message": "Must be authenticated!"}, "unauthorized"),
        ({"code": -32000, "message": "header not found"}, "unreachable"),
        ({"code": -32603, "message": "Internal error"}, "unreachable"),
        ({"code": -32601, "message": "the method eth_call does not exist"}, "malformed"),
        ("odd", "malformed"),
    ],
    ids=["-32005", "-32016", "-32097", "key", "lag", "inside", "method", "text"],
)
async def test_an_error_inside_http_200_is_named_by_who_must_act(rpc, error, reason):
    rpc.error = error
    reading = await look(rpc)
    assert (reading.up, reading.failure) == (False, reason)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"text": "<!DOCTYPE html><title>Attention Required</title>", "content_type": "text/html"}, "malformed"),
        ({"status": 403, "text": "<html>blocked</html>", "content_type": "text/html"}, "unreachable"),
        ({"status": 401, "text": "no key"}, "unauthorized"),
        ({"status": 429, "text": "", "headers": {"Retry-After": "7"}}, "rate_limited"),
        ({"status": 502, "text": "<html>bad gateway</html>", "content_type": "text/html"}, "unreachable"),
        ({"status": 404, "text": "not found"}, "malformed"),
        ({"text": ""}, "malformed"),
        ({"text": "null"}, "malformed"),
        ({"text": "[]"}, "malformed"),
    ],
    ids=["page", "403 page", "401", "429", "502", "404", "empty", "null", "empty list"],
)
async def test_what_public_endpoints_answer_instead_is_named_by_who_must_act(rpc, response, reason):
    async def handle(_):
        return web.Response(**response)

    rpc.handle = handle
    assert (await look(rpc)).failure == reason


async def test_a_key_in_the_endpoint_is_in_no_message(rpc, tmp_path):
    key, secret = "0123456789abcdef0123456789abcdef", tmp_path / "rpc-url"
    rpc.error = {"code": -32600, "message": f"project id {key} is unknown"}
    async with served(rpc, credentials={"rpcUrlFile": str(secret)}) as (workload, session):
        secret.write_text(workload.endpoint.replace("key", key) + "\n")
        reading, _ = await collector.look(streamr, session, workload, NOW)
    assert reading.failure == "unauthorized"
    assert key not in reading.failure_message


async def test_a_missing_file_for_the_address_is_the_owners_to_mend(rpc, tmp_path):
    reading = await look(rpc, credentials={"rpcUrlFile": str(tmp_path / "nothing")})
    assert (reading.failure, "does not exist" in reading.failure_message) == ("unauthorized", True)


# Who else moves stakes


@pytest.mark.parametrize(
    ("role", "written", "autonomous"),
    [(0, None, False), (1, None, True), (1, False, False), (0, True, True)],
    ids=["no node may stake", "a node may", "the owner says it is off", "the owner says it is on"],
)
async def test_an_autostaker_is_suspected_where_it_could_work_unless_the_owner_knows_better(
    rpc, role, written, autonomous
):
    rpc.set(OPERATOR, "hasRole(bytes32,address)", uint(role), ROLE, ADDRESS["node"])
    reading = await look(rpc, **({} if written is None else {"autostaker": written}))
    assert (reading.autonomous is not None) is autonomous
    assert extra(reading, "fleet_nodes") == 1.0
    assert extra(reading, "agent_nodes") == float(role)


# What people write


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "operator"),
        ({"operator": "0x12"}, "operator"),
        ({"operator": "0x39F947CF7B461b817ce7D951786c2958C663BbEb"}, "checksum"),
        ({"sponsorship": OPERATOR}, "same address"),
        ({"payoutPerSecond": 0}, "payoutPerSecond"),
        ({"payoutPerSecond": "nan"}, "payoutPerSecond"),
        ({"chainId": 0}, "chainId"),
        ({"sponsorshipp": SPONSORSHIP}, "sponsorshipp"),
    ],
    ids=["nothing", "short", "mistyped", "one contract for two", "no payout", "nan", "no chain", "unknown key"],
)
def test_options_that_cannot_be_are_refused_with_what_is_wrong(options, words):
    given = {} if not options else {"operator": OPERATOR, "sponsorship": SPONSORSHIP, **options}
    with pytest.raises(ValidationError, match=words):
        streamr.StreamrOptions.model_validate(given)


@pytest.mark.parametrize("operator", [None, [], {"a": 1}], ids=["none", "a list", "a mapping"])
async def test_wrong_options_that_get_past_the_manifests_are_malformed(rpc, operator):
    reading = await look(rpc, operator=operator)
    assert (reading.failure, "options" in reading.failure_message) == ("malformed", True)


def test_parse_needs_nothing_but_what_fetch_gave():
    workload = Workload(
        "n",
        "w",
        WorkloadSpec(protocol="streamr", endpoint="x", options={"operator": OPERATOR, "sponsorship": SPONSORSHIP}),
        streamr.TRAITS,
    )
    stake = a_stake(payout=P)
    reading = streamr.parse(Payloads({"stake": stake, "mark": stake.mark}, NOW), workload, NOW)
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
