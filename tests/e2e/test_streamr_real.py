"""orcha reads the real Streamr contracts (bytecode of npm @streamr/network-contracts 8.2.0) over HTTP, and gets it right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from exporters import collector
from exporters.collector import Workload
from exporters.nodes import WorkloadSpec
from exporters.protocols import streamr
from exporters.reading import Quality
from exporters.session import HttpSession
from tests.conftest import _tools
from tests.e2e.streamr_chain import DATA, Chain, Streamr

pytestmark = [pytest.mark.tool("streamr-contracts"), pytest.mark.timeout(120)]
STAKE = "stake/DATA"


class World(NamedTuple):
    chain: Chain
    streamr: Streamr
    operator: str
    owner: str
    big: str
    big_owner: str


@pytest.fixture(scope="module")
def world():
    chain = Chain(Path(_tools()["streamr-contracts"]["where"]))
    try:
        system = Streamr.deployed(chain)
        owner, delegator, big_owner = chain.accounts[1:4]
        operator = system.operator(owner, 80_000)  # with the delegator's 120 000: 40 % of the tokens are the owner's
        system.delegate(operator, delegator, 120_000)
        yield World(chain, system, operator, owner, system.operator(big_owner, 9_000_000), big_owner)
    finally:
        chain.close()


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


def workload(world: World, sponsorship: str, **options) -> Workload:
    options = {"operator": world.operator, "sponsorship": sponsorship, "chainId": 31337, **options}
    spec = WorkloadSpec(protocol="streamr", endpoint=world.chain.url, options=options)
    return Workload("treasury", "weather", spec, streamr.TRAITS)


async def look(session, world, sponsorship, previous=None, **options):
    reading, kept = await collector.look(
        streamr, session, workload(world, sponsorship, **options), world.chain.now, previous
    )
    assert reading.up, reading.failure_message
    return reading, kept


def extra(reading, name):
    return reading.extra[f"orcha_streamr_{name}"][0][1]


async def test_a_stake_earns_exactly_what_the_model_says_and_the_payout_is_read_from_the_chain(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1_000_000)
    world.streamr.stake(world.big, world.big_owner, pool, 1_950_000)
    world.streamr.stake(world.operator, world.owner, pool, 50_000)
    world.chain.travel(3600)
    reading, _ = await look(session, world, pool)

    assert reading.state == "running"
    assert reading.healthy is True, reading.notes
    assert reading.allocated == {STAKE: 50_000.0}
    assert reading.native.gross_per_hour["DATA"] == pytest.approx(4.5)
    assert reading.native.net_per_hour["DATA"] == pytest.approx(1.9665)  # 4.5 x 0.95 x (0.1 + 0.9 x 0.4)
    assert reading.pool.payout_native_per_hour["DATA"] == pytest.approx(180.0)
    assert reading.pool.others == 1_950_000.0
    assert reading.native.balance["accrued"]["DATA"] == pytest.approx(4.5, rel=0.002)
    assert reading.native.balance["at_risk"]["DATA"] == 0.0
    assert reading.irreversible == {STAKE: 5000.0}
    assert extra(reading, "payout_data_per_second") == 0.05
    assert extra(reading, "new_stake_minimum_data") == 5000.0
    assert extra(reading, "owner_share_ratio") == pytest.approx(0.4)
    assert extra(reading, "solvent_until_timestamp_seconds") > world.chain.now
    assert reading.notes == ()


async def test_two_looks_confirm_the_rate_and_a_withdrawal_is_no_loss(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 10, funds=1_000_000)
    world.streamr.stake(world.big, world.big_owner, pool, 30_000)
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    world.chain.travel(600)
    first, kept = await look(session, world, pool)
    assert first.quality is Quality.ESTIMATED
    world.chain.travel(600)
    second, kept = await look(session, world, pool, kept)
    assert second.quality is Quality.MEASURED
    assert second.native.gross_per_hour["DATA"] == pytest.approx(90.0)
    assert second.native.balance["accrued"]["DATA"] == pytest.approx(30.0, rel=0.02)

    world.chain.send(world.operator, "withdrawEarningsFromSponsorships(address[])", [pool], by=world.owner)
    world.chain.travel(60)
    third, _ = await look(session, world, pool, kept)
    assert third.native.balance["accrued"]["DATA"] < 2.0
    assert third.native.gross_per_hour["DATA"] == pytest.approx(90.0)
    assert third.healthy is True


async def test_a_sponsorship_that_waits_for_operators_pays_nothing_until_the_last_one_joins(world, session):
    fortnight = 14 * 86400
    pool = world.streamr.sponsorship(
        wei_per_second=DATA // 10, funds=1_000_000, min_operators=2, penalty_seconds=fortnight
    )
    world.streamr.stake(world.operator, world.owner, pool, 10_000)
    world.chain.travel(3600)
    alone, _ = await look(session, world, pool)
    assert (alone.state, alone.healthy) == ("not_running", False)
    assert alone.native.gross_per_hour == alone.native.net_per_hour == {"DATA": 0.0}
    assert alone.pool.payout_native_per_hour == {"DATA": 0.0}
    assert alone.native.balance["at_risk"] == {"DATA": 0.0}

    world.streamr.stake(world.big, world.big_owner, pool, 90_000)
    world.chain.travel(3600)
    joined, _ = await look(session, world, pool)
    assert (joined.state, joined.healthy) == ("running", True)
    assert joined.native.balance["accrued"]["DATA"] == pytest.approx(36.0, rel=0.002)
    assert joined.native.balance["at_risk"] == {"DATA": 5000.0}  # what leaving within the fortnight costs


async def test_money_that_ends_is_seen_although_the_contract_still_says_that_it_runs(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA, funds=1000)
    world.streamr.stake(world.operator, world.owner, pool, 5000)
    world.chain.travel(1500)
    reading, _ = await look(session, world, pool)
    assert (reading.state, reading.healthy) == ("unfunded", False)
    assert extra(reading, "running") == 1.0
    assert extra(reading, "funded") == 0.0
    assert reading.native.gross_per_hour == {"DATA": 0.0}
    assert reading.native.balance["accrued"]["DATA"] == pytest.approx(1000.0)
    assert any("money ended" in note for note in reading.notes)


async def test_a_stake_that_is_changed_is_read_back_at_once(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1_000_000)
    before, _ = await look(session, world, pool)
    assert (before.state, before.healthy, before.allocated) == ("not_staked", True, {STAKE: 0.0})
    assert before.pool.payout_native_per_hour["DATA"] == pytest.approx(180.0)  # what joining would share in

    world.streamr.stake(world.operator, world.owner, pool, 20_000)
    world.streamr.stake(world.operator, world.owner, pool, 5_000)
    raised, _ = await look(session, world, pool)
    assert raised.allocated == {STAKE: 25_000.0}
    world.chain.send(world.operator, "reduceStakeTo(address,uint256)", pool, 6_000 * DATA, by=world.owner)
    lowered, _ = await look(session, world, pool)
    assert lowered.allocated == {STAKE: 6_000.0}


async def test_a_node_wallet_that_may_stake_is_taken_for_an_autostaker_until_the_owner_says_no(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1000)
    node, role = world.chain.accounts[5], "0x7b765e0e932d348852a6f810bfa1ab891e259123f02db8cdcde614c570223357"
    world.chain.send(world.operator, "setNodeAddresses(address[])", [node], by=world.owner)
    without, _ = await look(session, world, pool)
    assert without.autonomous is None
    world.chain.send(world.operator, "grantRole(bytes32,address)", role, node, by=world.owner)
    suspected, _ = await look(session, world, pool)
    assert "autostaker" in suspected.autonomous
    denied, _ = await look(session, world, pool, autostaker=False)
    assert denied.autonomous is None


async def test_delegators_in_the_queue_are_said_because_they_forbid_to_stake(world, session):
    lender, owner = world.chain.accounts[6], world.chain.accounts[7]
    operator = world.streamr.operator(owner, 10_000)
    world.streamr.delegate(operator, lender, 20_000)
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1000)
    world.streamr.stake(operator, owner, pool, 30_000)
    world.chain.travel(3 * 86400)
    world.chain.send(operator, "undelegate(uint256)", 20_000 * DATA, by=lender)
    reading, _ = await look(session, world, pool, operator=operator)
    assert extra(reading, "queue_empty") == 0.0
    assert extra(reading, "queue_data") == pytest.approx(20_000)
    assert any("delegators wait" in note for note in reading.notes)


async def test_a_wrong_address_and_a_wrong_chain_are_named_not_read_as_zero(world, session):
    pool = world.streamr.sponsorship(wei_per_second=DATA // 20, funds=1000)
    nowhere = "0x" + "12" * 20
    for options, words in (({"operator": nowhere}, "options.operator"), ({"chainId": 137}, "options.chainId")):
        reading, _ = await collector.look(streamr, session, workload(world, pool, **options), world.chain.now)
        assert (reading.up, reading.failure) == (False, "malformed")
        assert words in reading.failure_message
    reading, _ = await collector.look(streamr, session, workload(world, nowhere), world.chain.now)
    assert "options.sponsorship" in reading.failure_message
