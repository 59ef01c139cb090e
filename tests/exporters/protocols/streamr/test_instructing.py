"""What is handed out to sign, against recorded answers of the real contracts, and what would hinder it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from json import dumps

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.collector import Workload
from exporters.errors import Malformed, RateLimited, TimedOut, Unauthorized, Unreachable
from exporters.instructions import Hindrance
from exporters.nodes import Actuator, Allocation, Credentials, Handout, WorkloadSpec
from exporters.protocols import streamr
from exporters.protocols.streamr import instructing
from exporters.protocols.streamr.abi import checksummed, encode, keccak256
from exporters.protocols.streamr.instructing import FUNCTIONS, Look, Place, calldata, change_to
from exporters.protocols.streamr.jsonrpc import Discreet
from exporters.session import Answer
from exporters.simulator import streamr as simulated
from exporters.simulator.chain import Chain, Operator, Sponsorship
from exporters.simulator.demand import Demand, Pool
from exporters.simulator.response import Request
from tests.exporters.protocols.streamr.stakes import a_stake
from tests.exporters.protocols.streamr_rpc import (
    ADDRESS,
    CALLS,
    NOW,
    OPERATOR,
    SPONSORSHIP,
    WEI,
    Rpc,
    an_hour_in,
    data,
    served,
    uint,
)

STAKE = "stake/DATA"
WAITS, REFUSES, REMARK = Hindrance.WAITS, Hindrance.REFUSES, Hindrance.REMARK
FORCE_UNSTAKE = "0xa93a019f"
ONES = "0x" + "1" * 40
PLACE = Place("treasury/weather", "http://chain", OPERATOR, SPONSORSHIP, 31337)


class Trying(Rpc):
    """A chain that also tries calls out, in the name of whoever is to sign."""

    def __init__(self) -> None:
        super().__init__()
        self.previews: list[dict] = []
        self.outcome: dict = {"result": "0x"}
        self.balance = hex(WEI)

    def _answer(self, asked):
        call = asked["params"][0] if asked["params"] else None
        if asked["method"] == "eth_call" and "from" in call:
            self.previews.append(call)
            return {"jsonrpc": "2.0", "id": asked["id"], **self.outcome}
        if asked["method"] == "eth_getBalance":
            return {"jsonrpc": "2.0", "id": asked["id"], "result": self.balance}
        return super()._answer(asked)

    def refuse(self, recorded: str) -> None:
        self.outcome = {"error": CALLS[recorded]["response"]["error"]}


@pytest.fixture
def chain():
    """An hour after 50 000 DATA were staked; 30 000 are free."""
    rpc = Trying()
    rpc.storage = an_hour_in().storage
    return rpc


async def instructed(rpc, target=None, *, now=NOW + 2.0, **place):
    async with served(rpc) as (workload, session):
        here = replace(PLACE, url=workload.endpoint, **place)
        return await instructing.instruct(Discreet(session), here, {} if target is None else {STAKE: target}, now)


# --- what is handed out


async def test_a_raise_adds_the_difference_and_is_tried_out_in_the_owners_name(chain):
    said = await instructed(chain, 60_000.0)
    assert said.title == "raise the stake of treasury/weather from 50,000 to 60,000 DATA"
    (action,) = said.actions
    assert action.data == "0xadc9772e" + encode("", SPONSORSHIP, 10_000 * WEI)
    assert (action.to, action.sender) == (checksummed(OPERATOR), checksummed(ADDRESS["owner"]))
    assert (action.value, action.chain_id, action.gas) == (0, 31337, 750_000)
    assert (action.succeeds, action.preview) == (True, "would succeed")
    assert (
        action.function == f"stake({checksummed(SPONSORSHIP)}, {10_000 * WEI}): adds 10,000 DATA to the stake of 50,000"
    )
    assert (said.problems, said.done, said.stands) == ((), False, {STAKE: 50_000.0})
    assert chain.previews == [{"from": ADDRESS["owner"], "to": OPERATOR, "data": action.data}]
    assert "send it once" in said.sentence


async def test_a_lower_stake_is_named_not_subtracted(chain):
    said = await instructed(chain, 20_000.0)
    (action,) = said.actions
    assert action.data == "0xd1b68611" + encode("", SPONSORSHIP, 20_000 * WEI)
    assert said.title == "lower the stake of treasury/weather from 50,000 to 20,000 DATA"
    assert "send it once" not in said.sentence


async def test_leaving_is_an_unstake_where_the_manifest_allows_it(chain):
    said = await instructed(chain, 0.0, may_leave=True)
    (action,) = said.actions
    assert action.data == "0xf2888dbb" + encode("", SPONSORSHIP)
    assert said.title == "leave the sponsorship of treasury/weather with its 50,000 DATA"
    assert said.refusals == ()


async def test_what_is_in_force_already_is_done_and_asks_for_nothing(chain):
    said = await instructed(chain, 50_000.0)
    assert (said.done, said.actions, said.problems) == (True, (), ())
    assert chain.previews == []


async def test_each_call_works_from_the_stake_of_now(chain):
    await instructed(chain, 60_000.0)
    chain.set(OPERATOR, "stakedInto(address)", data(55_000), SPONSORSHIP)
    said = await instructed(chain, 60_000.0)
    assert said.actions[0].data == "0xadc9772e" + encode("", SPONSORSHIP, 5_000 * WEI)


async def test_a_stake_that_was_slashed_is_topped_up_to_the_wei(chain):
    chain.set(OPERATOR, "slashedIn(address)", uint(500 * WEI + 7), SPONSORSHIP)
    said = await instructed(chain, 50_000.0)
    assert said.actions[0].data == "0xadc9772e" + encode("", SPONSORSHIP, 500 * WEI + 7)


async def test_the_signer_may_be_named(chain):
    said = await instructed(chain, 60_000.0, owner=ADDRESS["owner"], signer=ADDRESS["agent"])
    assert said.actions[0].sender == checksummed(ADDRESS["agent"])
    assert chain.previews[0]["from"] == ADDRESS["agent"]


async def test_the_owner_as_given_signs_where_no_signer_is_named(chain):
    said = await instructed(chain, 60_000.0, owner=ADDRESS["agent"])
    assert said.actions[0].sender == checksummed(ADDRESS["agent"])


def test_the_call_data_is_the_documented_one():
    change = change_to(replace(PLACE, sponsorship=ONES), a_stake(stake=0), 6000 * WEI)
    assert calldata(change) == "0xadc9772e" + "0" * 24 + "1" * 40 + "0" * 45 + "14542ba12a337c00000"


def test_selectors_are_those_of_their_signatures():
    assert {name: "0x" + keccak256(name.encode())[:4].hex() for name in FUNCTIONS} == FUNCTIONS


@given(st.integers(0, 10**7 * WEI), st.floats(0, 1e7))
def test_following_any_instruction_gives_the_wanted_stake_and_never_pays_to_leave(stake, wanted):
    target = instructing._target(PLACE, {STAKE: wanted})
    if instructing._same(stake, target):
        return
    change = change_to(PLACE, a_stake(stake=stake), target)
    sent = calldata(change)
    value = int(sent[74:], 16) if len(sent) > 74 else 0
    after = {"0xadc9772e": stake + value, "0xd1b68611": value, "0xf2888dbb": 0}[sent[:10]]
    assert after == target
    assert abs(after / WEI - wanted) <= 1e-9 * max(1.0, wanted)
    assert FORCE_UNSTAKE not in sent


# --- what would hinder it


def hindrances(target=None, *, place=PLACE, gas=WEI, **stake):
    look = Look(a_stake(**{"free": 30_000 * WEI, **stake}), ADDRESS["owner"], gas, NOW)
    target = None if target is None else int(target * WEI)
    return [(one.hindrance, one.sentence) for one in instructing.problems_of(place, look, target)]


LEAVER = replace(PLACE, may_leave=True)
FLAGGED = {"flagged": True, "locked": 6000 * WEI, "minimum": 6060 * WEI}


@pytest.mark.parametrize(
    ("target", "how", "hindrance", "words"),
    [
        (60_000, {"place": replace(PLACE, autostaker=True)}, REFUSES, "autostaker"),
        (20_000, {"agents": 1}, REFUSES, "autostaker may be on"),
        (60_000, {"queue_empty": False, "queue": 49 * WEI}, WAITS, "delegators wait to be paid out for 49 DATA"),
        (60_000, {"queue_empty": False, "queue": None}, WAITS, "refuses to stake more"),
        (20_000, {"queue_empty": False, "queue": 49 * WEI}, REMARK, "freed goes to their queue of 49 DATA first"),
        (60_000, {"owner_tokens": 4}, REFUSES, "holds 4.00% of the operator tokens, less than 5%"),
        (60_000, {"free": 9_000 * WEI}, WAITS, "9,000 DATA free, 1,000 less than the raise needs"),
        (60_000, {"funded": False}, REMARK, "money ended"),
        (60_000, {"running": False, "operators": 1, "min_operators": 3}, REMARK, "does not run"),
        (60_000, {"gas": 0}, REMARK, "has 0 of the chain's own token"),
        (4_999, {}, REFUSES, "4,999 DATA are below the protocol's minimum of 5,000"),
        (6_000, FLAGGED, WAITS, "6,000 DATA are below 6,060, which flags lock"),
        (7_000, FLAGGED, REMARK, "flagged this stake"),
        (60_000, FLAGGED, REMARK, "flagged this stake"),
        (0, {}, REFUSES, "allocation.min of treasury/weather is above 0"),
        (0, {"place": LEAVER, "penalty": 5000 * WEI}, REFUSES, "leaving now would cost 5,000 DATA"),
        (0, {"place": LEAVER, **FLAGGED}, WAITS, "flags lock 6,000 DATA"),
        (None, {"place": replace(PLACE, autostaker=True)}, REFUSES, "autostaker"),
        (None, {"queue_empty": False}, REMARK, "delegators wait"),
        (None, {"owner_tokens": 4}, REMARK, "operator tokens"),
    ],
)
def test_what_would_hinder_a_change_is_told_by_what_it_does(target, how, hindrance, words):
    (found,) = [(kind, sentence) for kind, sentence in hindrances(target, **how) if words in sentence]
    assert found[0] is hindrance


@pytest.mark.parametrize(
    ("target", "how"),
    [
        (60_000, {}),
        (20_000, {"free": 0, "owner_tokens": 0, "funded": False}),
        (0, {"place": LEAVER, "penalty": 0}),
        (60_000, {"place": replace(PLACE, autostaker=False), "agents": 1}),
        (60_000, {"owner_tokens": None, "least_share": None, "free": None, "new_minimum": None, "gas": None}),
        (5_000, {"stake": 0, "minimum": 5000 * WEI}),
        (None, {}),
    ],
    ids=[
        "a raise",
        "a lower stake of a poor operator",
        "leaving",
        "an owner who says no autostaker",
        "unknown figures",
        "joining",
        "any",
    ],
)
def test_what_hinders_nothing_is_not_told(target, how):
    assert hindrances(target, **how) == []


@pytest.mark.parametrize(
    ("recorded", "hindrance"),
    [(name, WAITS) for name in ("stake_too_much", "stake_queue_nonempty", "unstake_flagged", "reduce_up")]
    + [
        (name, REFUSES)
        for name in ("stake_not_agent", "stake_not_sponsorship", "unstake_LeavePenalty", "stake_below_minimum")
    ],
)
async def test_what_the_chain_itself_would_refuse_is_told_whatever_our_rules_say(chain, recorded, hindrance):
    chain.refuse(recorded)
    said = await instructed(chain, 60_000.0)
    assert not said.actions[0].succeeds
    (problem,) = said.problems
    assert (problem.hindrance, problem.sentence) == (hindrance, f"the chain would refuse: {said.actions[0].preview}")


async def test_a_refusal_that_our_rules_explain_is_told_once(chain):
    chain.set(OPERATOR, "queueIsEmpty()", uint(0))
    chain.refuse("stake_queue_nonempty")
    said = await instructed(chain, 60_000.0)
    assert "FirstEmptyQueueThenStake" in said.actions[0].preview
    assert len(said.delays) == 1
    assert "delegators wait" in said.delays[0]


async def test_without_a_target_it_is_tried_with_nothing_and_nothing_is_handed_out(chain):
    said = await instructed(chain)
    assert chain.previews[0]["data"] == "0xadc9772e" + encode("", SPONSORSHIP, 0)
    assert (said.actions, said.problems, said.stands) == ((), (), {STAKE: 50_000.0})
    chain.refuse("stake_not_agent")
    assert "CONTROLLER_ROLE" in (await instructed(chain)).refusals[0]


async def test_what_forbids_only_to_stake_more_does_not_hinder_every_change(chain):
    chain.refuse("stake_queue_nonempty")
    said = await instructed(chain)
    assert (said.refusals, said.delays) == ((), ())
    assert "the chain would refuse to stake more: FirstEmptyQueueThenStake" in said.remarks[0]
    chain.set(OPERATOR, "queueIsEmpty()", uint(0))
    said = await instructed(chain)
    assert len(said.remarks) == 1
    assert "delegators wait" in said.remarks[0]


async def test_before_joining_it_is_tried_with_the_least_stake_where_that_much_is_free(chain):
    chain.set(OPERATOR, "stakedInto(address)", uint(0), SPONSORSHIP)
    await instructed(chain)
    assert chain.previews[-1]["data"] == "0xadc9772e" + encode("", SPONSORSHIP, 5000 * WEI)
    token = ADDRESS["token"]
    chain.set(token, "balanceOf(address)", uint(0), OPERATOR)
    chain.previews.clear()
    assert (await instructed(chain)).problems == ()
    assert chain.previews == []


# --- endpoints that cannot tell


async def test_amounts_are_never_worked_out_from_an_old_block(chain):
    with pytest.raises(Unreachable, match="newest block is 10m old"):
        await instructed(chain, 60_000.0, now=NOW + 600.0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": -32005, "message": "rate limit"}, RateLimited),
        ({"code": -32000, "message": "invalid api key"}, Unauthorized),
        ({"code": -32603, "message": "Internal error"}, Unreachable),
    ],
    ids=["too fast", "no key", "failed inside"],
)
async def test_a_preview_that_the_endpoint_did_not_make_is_no_verdict(chain, error, expected):
    chain.outcome = {"error": error}
    with pytest.raises(expected):
        await instructed(chain, 60_000.0)


async def test_a_refusal_without_a_reason_is_quoted_and_tried_again(chain):
    chain.outcome = {"error": {"code": 3, "message": "execution reverted", "data": "0x"}}
    said = await instructed(chain, 60_000.0)
    assert "'execution reverted'" in said.delays[0]


async def test_an_answer_that_is_no_answer_is_malformed(chain):
    chain.outcome = {"odd": 1}
    with pytest.raises(Malformed, match="preview"):
        await instructed(chain, 60_000.0)


async def test_an_operator_without_an_owner_needs_a_signer(chain):
    chain.set(OPERATOR, "owner()", uint(0))
    with pytest.raises(Malformed, match=r"handout\.signer"):
        await instructed(chain, 60_000.0)
    assert (await instructed(chain, 60_000.0, signer=ADDRESS["agent"])).actions


async def test_a_wrong_chain_is_refused(chain):
    with pytest.raises(Malformed, match="serves chain 31337"):
        await instructed(chain, 60_000.0, chain_id=137)


@pytest.mark.parametrize(
    ("amounts", "words"),
    [({"storage": 1e12}, "must be stake/DATA"), ({STAKE: math.nan}, "cannot be nan"), ({STAKE: -1.0}, "cannot be -1")],
    ids=["another resource", "no number", "less than nothing"],
)
async def test_what_can_be_no_stake_is_refused_before_anything_is_asked(amounts, words):
    with pytest.raises(Malformed, match=words):
        await instructing.instruct(None, PLACE, amounts, NOW)


# --- of a workload


def a_workload(url, signer=None, least=0.0, limit="30s", credentials=None):
    spec = WorkloadSpec(
        protocol="streamr", endpoint=url, timeout=limit, credentials=Credentials(**(credentials or {})),
        options={"operator": OPERATOR, "sponsorship": SPONSORSHIP, "chainId": 31337},
        allocation=Allocation(resource=STAKE, min=least, max=1e6, step=1000),
        actuator=Actuator(handout=Handout(signer=signer)),
    )  # fmt: skip
    return Workload("treasury", "weather", spec, streamr.TRAITS)


async def test_a_workloads_own_words_say_where_who_and_whether_it_may_leave(chain):
    async with served(chain) as (there, session):
        here = a_workload(there.endpoint, checksummed(ADDRESS["agent"]))
        said = await streamr.instruct(session, here, {STAKE: 0.0}, NOW + 2.0)
        assert (said.key, said.actions[0].sender) == ("treasury/weather", checksummed(ADDRESS["agent"]))
        assert said.refusals == ()
        strict = await streamr.instruct(session, a_workload(there.endpoint, least=5000.0), {STAKE: 0.0}, NOW + 2.0)
        assert "allocation.min" in strict.refusals[0]


async def test_a_key_in_the_endpoint_is_in_no_message_and_no_value(chain, tmp_path):
    key = "s3cret-of-the-owner-0123456789"
    async with served(chain) as (there, session):
        (tmp_path / "url").write_text(f"{there.endpoint.removesuffix('key')}{key}")
        here = a_workload("http://127.0.0.1:1", credentials={"rpcUrlFile": str(tmp_path / "url")})
        said = await streamr.instruct(session, here, {STAKE: 60_000.0}, NOW + 2.0)
        chain.error = {"code": -32000, "message": f"backend of {key} is down"}
        with pytest.raises(Unreachable) as told:
            await streamr.instruct(session, here, {STAKE: 60_000.0}, NOW + 2.0)
    assert key not in said.text() + repr(said) + str(told.value) + repr(streamr._place(here))


async def test_a_chain_that_does_not_answer_is_given_up():
    async def never(_):
        await asyncio.Event().wait()

    rpc = Trying()
    rpc.handle = never
    async with served(rpc) as (there, session):
        with pytest.raises(TimedOut, match="treasury/weather within 0 s"):
            await streamr.instruct(session, a_workload(there.endpoint, limit="200ms"), {STAKE: 1.0}, NOW + 2.0)


class Simulated:
    """A session that asks the simulator's chain."""

    def __init__(self, chain) -> None:
        self.rpc = simulated.Rpc(chain)

    async def request(self, method, url, *, headers=None, json=None, ok=(200,)):
        said = self.rpc.answer(Request(method, "/", {}, {}, dumps(json).encode()), NOW)
        return Answer(url, said.status, said.body)


@pytest.mark.parametrize("target", [60_000.0, 20_000.0], ids=["raised", "lowered"])
async def test_the_simulated_chain_lets_itself_be_instructed_and_signed_for_like_the_real_one(target):
    operator = Operator(OPERATOR, ADDRESS["owner"], ADDRESS["agent"], ADDRESS["node"], free=30_000.0)
    pool = Sponsorship(
        SPONSORSHIP, "streams.example.eth/a", Pool(0.05, Demand(1.95e6, 1, rhythm=None, bursts=None, regimes=None)), NOW + 1e8,
        stake=50_000.0,
    )  # fmt: skip
    chain = Chain(operator, [pool], NOW - 3600.0)
    chain.advance(NOW)
    session, here = Simulated(chain), replace(PLACE, chain_id=137)
    said = await instructing.instruct(session, here, {STAKE: target}, NOW)
    assert (said.refusals, said.delays) == ((), ())
    (action,) = said.actions
    await session.request(
        "POST", "x", json={"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [action.transaction()]}
    )
    assert (await instructing.instruct(session, here, {STAKE: target}, NOW)).done


def spec_with(signer):
    return WorkloadSpec(
        protocol="streamr", endpoint="http://x", actuator=Actuator(handout=Handout(signer=signer)),
        options={"operator": OPERATOR, "sponsorship": SPONSORSHIP},
    )  # fmt: skip


def test_a_signer_that_is_no_wallets_address_is_found_before_anything_runs():
    ((path, sentence),) = streamr.check(spec_with("0x12"))
    assert path == ("actuator", "handout", "signer")
    assert "address of a wallet" in sentence
    wrong = checksummed(ADDRESS["agent"]).replace("A", "a", 1)
    ((_, sentence),) = streamr.check(spec_with(wrong))
    assert "wrong checksum" in sentence
    with pytest.raises(Malformed, match="is no address of a wallet"):
        streamr._place(Workload("n", "w", spec_with(wrong), streamr.TRAITS))


@pytest.mark.parametrize(
    "signer", [None, ADDRESS["agent"], checksummed(ADDRESS["agent"])], ids=["none", "lower", "mixed"]
)
def test_a_signer_is_read_in_any_case_of_letters(signer):
    assert list(streamr.check(spec_with(signer))) == []
    assert streamr._signer(spec_with(signer)) == (signer and ADDRESS["agent"])


def test_without_an_actuator_there_is_no_signer_to_check():
    spec = WorkloadSpec(protocol="streamr", endpoint="x", options={"operator": OPERATOR, "sponsorship": SPONSORSHIP})
    assert list(streamr.check(spec)) == []
