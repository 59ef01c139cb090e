"""Streamr: endpoints and nodes that lie or refuse, money that is not the owner's, and what parse must not do."""

from __future__ import annotations

import copy

import pytest
from aiohttp import web

from exporters.collector import Payloads, Workload, possible
from exporters.nodes import WorkloadSpec
from exporters.protocols import streamr
from exporters.protocols.streamr import figures
from exporters.protocols.streamr.sources import read_fleet, read_info
from exporters.reading import Quality
from exporters.track import begin, follow
from tests.exporters.protocols.streamr.stakes import a_stake, seen
from tests.exporters.protocols.streamr_rpc import (
    INFO,
    NOW,
    OPERATOR,
    SPONSORSHIP,
    WEI,
    P,
    an_hour_in,
    answering,
    data,
    extra,
    look,
    said,
    subgraph,
)

STAKE = Workload(
    "n",
    "w",
    WorkloadSpec(protocol="streamr", endpoint="x", options={"operator": OPERATOR, "sponsorship": SPONSORSHIP}),
    streamr.TRAITS,
)


def read(stake, now: float = NOW, **more):
    return possible(figures.reading(seen(stake, **more), "n", "w", now))


# --- lies


@pytest.mark.parametrize(
    "change",
    [{"cut": 2 * WEI}, {"fee": 2 * WEI}, {"owner_tokens": 101}],
    ids=["a cut of 200 %", "a fee of 200 %", "more tokens than there are"],
)
def test_a_share_above_one_is_unknown_so_that_net_is_never_above_gross(change):
    reading = read(a_stake(payout=P, **change))
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.native.net_per_hour == {}
    assert reading.pool.net_share is None


def test_a_pool_of_absurd_size_is_unknown_and_told_and_moves_nobody():
    reading = read(a_stake(payout=P, total=2**255))
    assert reading.pool is None
    assert said(reading, "the pool says")


async def test_a_stake_of_absurd_size_is_unknown(tmp_path):
    rpc = an_hour_in()
    rpc.set(OPERATOR, "stakedInto(address)", "0x" + "f" * 64, SPONSORSHIP)
    reading = await look(rpc)
    assert reading.allocated == {}
    assert said(reading, "cannot be")


# --- a node that refuses


@pytest.mark.parametrize(
    ("answer", "reason", "healthy"),
    [
        (answering("Forbidden", status=403), "unauthorized", None),
        (answering("Cannot GET /info", status=404), "malformed", None),
        (answering("too many", status=429), "rate_limited", None),
    ],
    ids=["a wrong key", "another plugin only", "too often"],
)
async def test_a_node_that_refuses_is_neither_dead_nor_the_chains_fault(answer, reason, healthy):
    reading = await look(an_hour_in(), node=answer)
    assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}
    assert reading.healthy is healthy
    assert extra(reading, "running") == 1.0
    assert reading.extra["orcha_streamr_source_failed"] == (({"source": "node", "reason": reason}, 1.0),)


async def test_a_key_file_of_two_lines_is_told_and_the_chain_is_read(tmp_path):
    (tmp_path / "key").write_text("one\nsecond-line")

    async def handle(_):
        return web.json_response(INFO)

    reading = await look(an_hour_in(), node=handle, credentials={"apiKeyFile": str(tmp_path / "key")})
    assert reading.up
    assert said(reading, "credential file")
    assert not said(reading, "second-line")


async def test_a_node_knows_no_earnings_and_its_byte_counts_are_no_figure():
    """Bytes are counted per live connection and vanish with it: a sum of them would fall."""
    reading = await look(an_hour_in(), node=answering(INFO))
    assert not [name for name in streamr.FAMILIES if "byte" in name or "sent" in name]
    assert reading.used == {}


# --- whose money


async def test_what_other_sponsorships_of_the_operator_owe_is_not_this_ones(tmp_path):
    reading = await look(an_hour_in())
    assert reading.native.balance["accrued"] == {"DATA": 4.5}
    assert extra(reading, "operator_uncollected_data") == pytest.approx(9.3)


async def test_a_queue_that_was_paid_is_known_to_be_empty():
    rpc = an_hour_in()
    rpc.set(OPERATOR, "queueIsEmpty()", "0x" + f"{1:064x}")
    assert extra(await look(rpc), "queue_empty") == 1.0


async def test_wei_are_summed_as_whole_numbers():
    rpc = an_hour_in()
    rpc.set(OPERATOR, "slashedIn(address)", data(0), SPONSORSHIP)
    rpc.set(OPERATOR, "stakedInto(address)", "0x" + f"{10**26 + 1:064x}", SPONSORSHIP)
    rpc.set(OPERATOR, "slashedIn(address)", "0x" + f"{10**26 - 10**18:064x}", SPONSORSHIP)
    assert (await look(rpc)).allocated["stake/DATA"] == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("said", [None, {}, {"totalPayoutWeiPerSec": "0"}, {"totalPayoutWeiPerSec": None}], ids=str)
def test_a_subgraph_that_does_not_tell_the_payout_leaves_it_to_the_owner(said):
    body = subgraph()
    body["data"]["sponsorship"] = said
    reading = read(a_stake(), fleet=read_fleet(body), given=0.05)
    assert (reading.native.gross_per_hour, reading.quality) == ({"DATA": pytest.approx(4.5)}, Quality.ASSUMED)


def test_nothing_credited_between_two_looks_does_not_make_the_payout_zero():
    stake = a_stake(at=NOW + 300)
    reading = read(stake, before=a_stake().mark, now=NOW + 300.0)
    assert reading.native.gross_per_hour == {}
    assert reading.pool is None


# --- a row of looks


def test_withdrawals_every_hour_do_not_look_like_a_stall():
    track = begin(STAKE)
    uncollected = 0.0
    for minute in range(0, 12 * 60, 5):
        uncollected = 0.0 if minute % 60 == 0 else uncollected + 4.5 / 12
        stake = a_stake(payout=P, at=NOW + minute * 60, uncollected=int(uncollected * 1e6) * 10**12)
        track, reading = follow(track, read(stake, NOW + minute * 60.0))
        assert reading.earning_stalled is not True, f"after {minute} minutes"


def test_running_and_funded_but_credited_nothing_is_a_stall():
    track = begin(STAKE)
    verdicts = []
    for minute in range(0, 6 * 60, 5):
        track, reading = follow(track, read(a_stake(payout=P, at=NOW + minute * 60), NOW + minute * 60.0))
        verdicts.append(reading.earning_stalled)
    assert verdicts[-1] is True


def test_without_money_it_is_unhealthy_and_not_called_stalled():
    track = begin(STAKE)
    for minute in range(0, 6 * 60, 5):
        stake = a_stake(payout=P, at=NOW + minute * 60, funded=False)
        track, reading = follow(track, read(stake, NOW + minute * 60.0))
    assert (reading.state, reading.healthy, reading.earning_stalled) == ("unfunded", False, False)


def test_the_first_look_after_a_start_has_the_whole_rate():
    assert (read(a_stake(payout=P)).native.gross_per_hour["DATA"], read(a_stake(payout=P)).quality) == (
        pytest.approx(4.5),
        Quality.ESTIMATED,
    )


# --- parse


def test_parse_gives_the_same_reading_twice_and_changes_nothing():
    stake = a_stake(payout=P)
    bodies = {"stake": stake, "mark": stake.mark, "node": read_info(INFO), "fleet": read_fleet(subgraph())}
    payloads = Payloads(bodies, NOW, Payloads({"mark": stake.mark}, NOW - 300))
    before = copy.deepcopy(payloads)
    assert streamr.parse(payloads, STAKE, NOW) == streamr.parse(payloads, STAKE, NOW)
    assert payloads == before


def test_every_state_that_can_be_said_is_declared():
    stakes = [
        a_stake(flagged=flagged, stake=stake, running=running, funded=funded)
        for flagged in (None, False, True)
        for stake in (0, 50_000 * WEI)
        for running in (False, True)
        for funded in (False, True)
    ]
    assert {figures.state(stake) for stake in stakes} == set(figures.STATES)
