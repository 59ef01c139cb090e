"""From what was seen of a stake to its figures: the model, what two looks tell, and what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporters.protocols import streamr
from exporters.protocols.streamr import figures
from exporters.protocols.streamr.contracts import Mark
from exporters.protocols.streamr.sources import Failed, read_fleet, read_info
from exporters.reading import Quality
from tests.exporters.protocols.streamr.stakes import a_stake, seen
from tests.exporters.protocols.streamr_rpc import (
    INFO,
    NOW,
    WEI,
    P,
    said,
    subgraph,
)


def test_an_owner_share_of_the_worked_withdrawal_is_the_one_that_the_contracts_paid():
    # reference 1.4: of 73.2125833 DATA, fee 3.6606292, cut 6.9551954; with 40 % of the tokens the owner gained 31.9939
    part = figures.owner_part(a_stake(cut=WEI // 10, owner_tokens=40, supply=100, fee=WEI // 20))
    assert 73.2125833 * part == pytest.approx(31.9939, abs=1e-4)


def test_without_the_fee_contract_the_documented_fee_is_taken_and_without_a_share_net_is_unknown():
    assert figures.owner_part(a_stake(fee=None, cut=0, owner_tokens=1, supply=1)) == pytest.approx(0.95)
    for unknown in ({"cut": None}, {"owner_tokens": None}, {"supply": None}, {"supply": 0}):
        assert figures.owner_part(a_stake(**unknown)) is None
        reading = figures.reading(seen(a_stake(payout=P, **unknown)), "n", "w", NOW)
        assert reading.native.net_per_hour == {}  # not None, which would say: the same as gross
        assert reading.native.gross_per_hour == {"DATA": pytest.approx(4.5)}


@pytest.mark.parametrize(
    "change",
    [
        {"uncollected": 0},
        {"stake": 60_000 * WEI},
        {"total": 3_000_000 * WEI},
        {"at": NOW + 10},
        {"funded": False},
        {"running": False},
    ],
    ids=["a withdrawal", "another stake", "others staked", "too soon", "the money ended", "an operator left"],
)
def test_looks_that_cannot_be_compared_tell_no_rate(change):
    before = Mark(NOW, 50_000 * WEI, 2_000_000 * WEI, 4 * WEI, earning=True)
    after = replace(a_stake(at=NOW + 300, uncollected=5 * WEI), **change)
    assert figures.credited_per_hour(after, before) is None
    assert figures.credited_per_hour(after, None) is None


def test_credits_that_disagree_with_the_formula_are_said():
    before = Mark(NOW - 3600, 50_000 * WEI, 2_000_000 * WEI, 0, earning=True)
    reading = figures.reading(seen(a_stake(payout=P, uncollected=2 * WEI), before=before), "n", "w", NOW)
    assert said(reading, "2 DATA/h were credited since the last look where the formula gives 4.5")
    assert reading.quality is Quality.ESTIMATED


@pytest.mark.parametrize(
    ("operators", "needed", "healthy", "payout"),
    [(1, 2, True, 180.0), (1, 3, False, 0.0)],
    ids=["we would be the last one needed", "one more would still be missing"],
)
def test_a_sponsorship_that_we_could_join_is_worth_what_it_would_pay_with_us(operators, needed, healthy, payout):
    stake = a_stake(stake=0, running=False, operators=operators, min_operators=needed, payout=P)
    reading = figures.reading(seen(stake), "n", "w", NOW)
    assert (reading.state, reading.healthy) == ("not_staked", healthy)
    assert reading.pool.payout_native_per_hour == {"DATA": pytest.approx(payout)}
    assert reading.native.gross_per_hour == {"DATA": 0.0}
    assert reading.irreversible == {"stake/DATA": 0.0}


def test_every_exported_family_is_declared():
    stake = a_stake(payout=P)
    node, fleet = read_info(INFO), read_fleet(subgraph())
    for sources in ((node, fleet), (Failed("timeout", "x"), Failed("malformed", "y")), (None, None)):
        reading = figures.reading(seen(stake, node=sources[0], fleet=sources[1]), "n", "w", NOW)
        for family, samples in reading.extra.items():
            assert family in streamr.FAMILIES
            assert all(set(labels) == set(streamr.FAMILIES[family].labels) for labels, _ in samples)


def test_two_looks_tell_the_payout_over_the_mean_of_a_pool_that_moved_a_little():
    before = Mark(NOW - 3600, 50_000 * WEI, 1_980_000 * WEI, 0, earning=True)
    stake = a_stake(uncollected=int(4.5225 * 10**6) * 10**12)  # 0.05 x 50 000 / 1 990 000 x 3600 = 4.5226
    value, told = figures.payout(seen(stake, before=before))
    assert value == pytest.approx(0.05, rel=1e-4)
    assert told is figures.Told.LOOKS


def test_the_owners_part_of_the_pool_is_known_before_anything_is_staked():
    for running in (True, False):
        stake = a_stake(stake=0, payout=P, running=running, operators=0, min_operators=5, cut=WEI // 10)
        pool = figures.reading(seen(stake), "n", "w", NOW).pool
        assert pool.net_share == pytest.approx(0.95 * (0.1 + 0.9 * 0.4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"owner_tokens": 5}, "the owner holds 5.0% of the operator tokens: not above 5%"),
        ({"gas": WEI // 100}, "a node wallet has 0.01 POL left"),
    ],
    ids=["too little of his own", "no gas"],
)
def test_what_would_stop_the_operator_soon_is_said_while_it_is_well(change, words):
    reading = figures.reading(seen(a_stake(payout=P, **change)), "n", "w", NOW)
    assert said(reading, words)
    assert reading.healthy is True
