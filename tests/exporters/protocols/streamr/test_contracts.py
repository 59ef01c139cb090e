"""What the contracts are asked and what their answers mean, against the recording."""

from __future__ import annotations

import pytest

from exporters.protocols.streamr.abi import Words, keccak256
from exporters.protocols.streamr.contracts import SELECTORS, proven_payout
from tests.exporters.protocols.streamr_rpc import (
    ADDRESS,
    CALLS,
    WEI,
    P,
)


@pytest.mark.parametrize("signature", SELECTORS)
def test_each_selector_is_the_hash_of_its_signature(signature):
    assert SELECTORS[signature] == "0x" + keccak256(signature.encode())[:4].hex()


def test_recorded_results_decode_to_what_the_recording_notes():
    def result(name):
        return Words.of(CALLS[name]["response"]["result"])

    earnings = result("getSponsorshipsAndEarnings")
    assert earnings.addresses(0) == (ADDRESS["S1"], ADDRESS["S2"])
    assert earnings.uints(1) == (4_500_000_000_000_000_000, 4_800_000_000_000_000_000)
    assert earnings.uint(2) == 5000 * WEI
    assert result("metadata").text() == '{"redundancyFactor":1}'
    assert result("getNodeAddresses").addresses() == (ADDRESS["node"],)
    assert result("undelegationQueue(empty)").uints() == ()
    ((who, amount, since),) = result("undelegationQueue(nonempty)").rows(3)
    assert (f"0x{who:040x}", amount > 40_000 * WEI, since > 1_700_000_000) == (
        "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        True,
        True,
    )
    assert result("lockedStakeWei(flagged)").uint() == 250 * WEI
    assert result("getFlag(flagged)").uint() != 0
    assert result("queueIsEmpty(false)").flag() is False


@pytest.mark.parametrize(
    ("updated", "left", "solvent", "proven"),
    [
        (1_787_184_000, 1_000_000 * WEI, 1_807_184_000, P),
        (1_787_184_000, 1_000_000 * WEI, 1_807_184_001, None),
        (0, 1_000_000 * WEI, 20_000_000, None),
        (None, 1, 1, None),
        (1_787_184_000, 0, 1_787_184_000, P),
    ],
    ids=["agrees", "a second off", "never updated", "no storage", "all spent"],
)
def test_the_payout_in_storage_counts_only_where_it_explains_when_the_money_ends(updated, left, solvent, proven):
    assert proven_payout(P, updated, left, solvent) == proven
