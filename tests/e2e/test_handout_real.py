"""A stake is changed by hand, end to end: orcha writes what to sign, a wallet signs just that, the real Streamr contracts
judge it, and orcha sees it. Bytecode and chain: tests/e2e/streamr_chain.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from controller.actuate.driver import NotNow, Refused
from controller.actuate.handout import Handout
from controller.programs import Order
from exporters import collector, nodes
from exporters.collector import Workload
from exporters.nodes import Actuator, Allocation, WorkloadSpec
from exporters.protocols import streamr
from exporters.session import HttpSession
from tests.conftest import _tools
from tests.e2e.streamr_chain import DATA, Chain, Streamr

pytestmark = [pytest.mark.tool("streamr-contracts"), pytest.mark.timeout(120)]
KEY, STAKE = "treasury/weather", "stake/DATA"
ROLE = "0x7b765e0e932d348852a6f810bfa1ab891e259123f02db8cdcde614c570223357"


class World(NamedTuple):
    chain: Chain
    streamr: Streamr
    operator: str
    owner: str
    delegator: str
    big: str
    big_owner: str
    agent: str
    stranger: str


@pytest.fixture(scope="module")
def world():
    chain = Chain(Path(_tools()["streamr-contracts"]["where"]))
    try:
        system = Streamr.deployed(chain)
        owner, delegator, big_owner, _, agent, stranger = chain.accounts[1:7]
        operator = system.operator(owner, 80_000)
        system.delegate(operator, delegator, 120_000)
        chain.send(operator, "grantRole(bytes32,address)", ROLE, agent, by=owner)
        big = system.operator(big_owner, 9_000_000)
        voters = [(system.operator(reviewer, 500_000), reviewer) for reviewer in chain.accounts[8:]]
        chain.travel(30 * 86400)  # who only just came has no vote, and a flag is refused where nobody could vote on it
        others = system.sponsorship(wei_per_second=DATA // 20, funds=1_000_000)
        for voter, reviewer in voters:
            system.stake(voter, reviewer, others, 100_000)
        yield World(chain, system, operator, owner, delegator, big, big_owner, agent, stranger)
    finally:
        chain.close()


@pytest.fixture
def pool(world):
    """A sponsorship that others have staked into; whatever the operator has there is taken out afterwards."""
    made = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1_000_000)
    world.streamr.stake(world.big, world.big_owner, made, 30_000)
    yield made
    if staked(world, made):
        world.chain.send(world.operator, "unstake(address)", made, by=world.owner)


def staked(world, sponsorship, operator=None):
    return int(world.chain.call(operator or world.operator, "stakedInto(address)", sponsorship), 16) // DATA


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


def workload(world, sponsorship, *, signer=None, least=0.0, **options):
    spec = WorkloadSpec(
        protocol="streamr", endpoint=world.chain.url,
        options={"operator": world.operator, "sponsorship": sponsorship, "chainId": 31337, **options},
        allocation=Allocation(resource=STAKE, min=least, max=1e6, step=1000),
        actuator=Actuator(handout=nodes.Handout(signer=signer)),
    )  # fmt: skip
    return Workload("treasury", "weather", spec, streamr.TRAITS)


@pytest.fixture
def driver(world, session, tmp_path):
    """A function that gives the driver of one sponsorship."""

    def make(sponsorship, **how):
        there = workload(world, sponsorship, **how)

        async def instruct(amounts):
            return await streamr.instruct(session, there, amounts, world.chain.now)

        return Handout(KEY, tmp_path, instruct, every=0.0)

    return make


def order(data: float) -> Order:
    return Order(KEY, {STAKE: data}, f"p-1/{KEY}/{data:g}")


def sign(world, driver) -> None:
    """As a wallet does: takes the document's transaction, to the letter."""
    (action,) = json.loads(driver.paper.with_suffix(".json").read_text())["actions"]
    sent = world.chain.rpc("eth_sendTransaction", action["transaction"])
    assert world.chain.rpc("eth_getTransactionReceipt", sent)["status"] == "0x1"


async def test_join_raise_lower_and_leave_by_signing_what_is_handed_out(world, session, driver, pool, tmp_path):
    hands = driver(pool)
    assert await hands.check() == ()
    for data in (20_000.0, 50_000.0, 6_000.0, 0.0):
        await hands.apply(order(data))
        assert "waits for a person" in await hands.verify(order(data))
        assert hands.pending.actions[0].preview == "would succeed"
        sign(world, hands)
        assert await hands.verify(order(data)) is None
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        reading, _ = await collector.look(streamr, session, workload(world, pool), world.chain.now)
        assert reading.allocated == {STAKE: data}
        assert await hands.read() == {STAKE: data}


async def test_looking_and_handing_out_changes_nothing_on_the_chain(world, driver, pool):
    before = world.chain.rpc("eth_blockNumber")
    hands = driver(pool)
    await hands.check()
    await hands.apply(order(20_000.0))
    await hands.verify(order(20_000.0))
    await hands.undo(order(0.0), await hands.read())
    assert world.chain.rpc("eth_blockNumber") == before
    assert hands.pending is None


async def test_a_staking_agent_signs_where_it_is_named_and_a_stranger_may_not(world, driver, pool):
    hands = driver(pool, signer=world.agent)
    await hands.apply(order(10_000.0))
    assert hands.pending.actions[0].sender.lower() == world.agent.lower()
    sign(world, hands)
    assert await hands.verify(order(10_000.0)) is None

    strange = driver(pool, signer=world.stranger)
    (sentence,) = await strange.check()
    assert "AccessDeniedOperatorOnly" in sentence
    with pytest.raises(Refused, match="AccessDeniedOperatorOnly"):
        await strange.apply(order(20_000.0))


async def test_a_stake_that_changes_before_it_is_signed_gets_another_paper_that_leads_to_the_same(world, driver, pool):
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    hands = driver(pool)
    await hands.apply(order(30_000.0))
    world.streamr.stake(world.operator, world.owner, pool, 5_000)
    await hands.verify(order(30_000.0))
    sign(world, hands)
    assert staked(world, pool) == 30_000


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (4_000.0, Refused, "below the protocol's minimum of 5,000"),
        (900_000.0, NotNow, r"the operator has 190,000\S* DATA free, (700,000|699,999)\S* less than the raise needs"),
    ],
    ids=["too little", "too much"],
)
async def test_what_the_contract_would_refuse_is_not_handed_out(world, driver, pool, data, error, words):
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    hands = driver(pool)
    with pytest.raises(error, match=words):
        await hands.apply(order(data))
    assert hands.pending is None


async def test_leaving_within_the_lock_up_is_refused_and_never_forced_but_lowering_is_not(world, driver):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 10, funds=1_000_000, penalty_seconds=14 * 86400)
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    hands = driver(pool)
    with pytest.raises(Refused, match="leaving now would cost 5,000 DATA, which orcha never pays"):
        await hands.apply(order(0.0))
    await hands.apply(order(5_000.0))
    sign(world, hands)
    assert staked(world, pool) == 5_000
    world.chain.travel(14 * 86400)
    await hands.apply(order(0.0))
    sign(world, hands)
    assert staked(world, pool) == 0


async def test_with_delegators_in_the_queue_nothing_is_raised_until_they_are_paid_and_lowering_says_who_gets_it(
    world, driver
):
    owner, lender = world.chain.accounts[7], world.stranger
    operator = world.streamr.operator(owner, 10_000)
    world.streamr.delegate(operator, lender, 30_000)
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1000)
    world.streamr.stake(operator, owner, pool, 35_000)
    world.chain.travel(3 * 86400)
    world.chain.send(operator, "undelegate(uint256)", 20_000 * DATA, by=lender)
    hands = driver(pool, operator=operator)
    assert await hands.check() == ()
    with pytest.raises(NotNow, match="delegators wait to be paid out for"):
        await hands.apply(order(36_000.0))
    await hands.apply(order(10_000.0))
    assert "what is freed goes to their queue" in hands.paper.read_text()
    sign(world, hands)
    assert staked(world, pool, operator) == 10_000
    with pytest.raises(NotNow, match="less than the raise needs"):
        await hands.apply(order(40_000.0))  # they were paid; what is left is too little


async def test_where_the_owner_holds_too_little_it_is_said_before_anybody_signs(world, driver, pool):
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    config, setter = world.streamr.at["StreamrConfigV1_1"], "setMinimumSelfDelegationFraction(uint256)"
    world.chain.send(config, setter, DATA // 2)  # what the owner holds is too little now
    try:
        hands = driver(pool)
        assert await hands.check() == ()  # lowering is allowed
        with pytest.raises(Refused, match=r"the owner holds 4\d\.\d\d% of the operator tokens, less than 50%"):
            await hands.apply(order(20_000.0))
        await hands.apply(order(6_000.0))
        assert hands.pending.actions[0].succeeds
    finally:
        world.chain.send(config, setter, DATA // 20)


async def test_what_streamrs_factory_did_not_make_is_refused_in_words(world, driver):
    fake = world.chain.deploy("Sponsorship")
    with pytest.raises(Refused, match="was not made by Streamr's factory"):
        await driver(fake).apply(order(10_000.0))


async def test_a_node_wallet_that_may_stake_is_taken_for_an_autostaker_and_nothing_is_handed_out(world, driver, pool):
    world.chain.send(world.operator, "setNodeAddresses(address[])", [world.agent], by=world.owner)
    try:
        hands = driver(pool)
        assert "autostaker" in (await hands.check())[0]
        with pytest.raises(Refused, match="autostaker"):
            await hands.apply(order(20_000.0))
        await driver(pool, autostaker=False).apply(order(20_000.0))
    finally:
        world.chain.send(world.operator, "setNodeAddresses(address[])", [], by=world.owner)


async def test_a_sponsorship_without_money_may_be_joined_with_open_eyes(world, driver):
    pool = world.streamr.sponsorship(wei_per_second=DATA, funds=1000)
    world.streamr.stake(world.big, world.big_owner, pool, 5_000)
    world.chain.travel(1500)
    hands = driver(pool)
    await hands.apply(order(10_000.0))
    assert "earns nothing until somebody adds some" in hands.paper.read_text()


async def test_a_flagged_stake_may_be_lowered_and_not_be_left_before_the_vote(world, driver, pool):
    world.chain.send(world.big, "setNodeAddresses(address[])", [world.big_owner], by=world.big_owner)
    world.streamr.stake(world.operator, world.owner, pool, 25_000)
    world.chain.travel(4 * 3600)
    world.chain.send(world.big, "flag(address,address,string)", pool, world.operator, "{}", by=world.big_owner)
    hands = driver(pool)
    with pytest.raises(NotNow, match="flags lock 250 DATA"):
        await hands.apply(order(0.0))
    await hands.apply(order(20_000.0))
    assert "another operator flagged this stake" in hands.paper.read_text()
    assert hands.pending.actions[0].succeeds
    world.chain.travel(8 * 86400)
    world.chain.send(pool, "voteOnFlag(address,bytes32)", world.operator, 0)  # the time is over: this counts the votes
    await hands.apply(order(0.0))
    assert hands.pending.actions[0].succeeds


async def test_an_address_without_a_contract_is_named(world, driver):
    with pytest.raises(Refused, match=r"check options\.sponsorship"):
        await driver("0x" + "12" * 20).apply(order(10_000.0))
