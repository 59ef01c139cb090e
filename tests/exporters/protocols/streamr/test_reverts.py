"""What the contracts revert with, in words: recorded reverts, every known error, and rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.instructions import Hindrance
from exporters.protocols.streamr.abi import keccak256
from exporters.protocols.streamr.reverts import ERRORS, amount, decoded, revert_data, roughly, unnamed
from tests.exporters.protocols.streamr_rpc import CALLS, WEI

WAITS, REFUSES = Hindrance.WAITS, Hindrance.REFUSES


def word(value: int) -> str:
    return f"{value:064x}"


@pytest.mark.parametrize(
    ("recorded", "hindrance", "words"),
    [
        ("unstake_LeavePenalty", REFUSES, "LeavePenalty: the stake is locked up: leaving now would cost 5,000 DATA"),
        ("stake_below_minimum", REFUSES, "MinimumStake: a stake must be at least 5,000 DATA"),
        ("reduce_up", WAITS, "CannotIncreaseStakeUsingReduceStakeTo"),
        ("stake_not_agent", REFUSES, "AccessDeniedOperatorOnly: the signer may not stake here"),
        ("stake_too_much", WAITS, "not enough free DATA ('ERC20: transfer amount exceeds balance')"),
        ("stake_not_sponsorship", REFUSES, "AccessDeniedStreamrSponsorshipOnly: what options.sponsorship names"),
        ("withdraw_noearnings_immediately", WAITS, "NoEarnings"),
        ("stake_queue_nonempty", WAITS, "FirstEmptyQueueThenStake: delegators wait"),
        ("unstake_flagged", WAITS, "ActiveFlag: a flag locks 250 DATA"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_every_recorded_revert_is_told_in_words(recorded, hindrance, words):
    verdict = decoded(revert_data(CALLS[recorded]["response"]["error"]))
    assert words in verdict.words
    assert (verdict.succeeds, verdict.hindrance) == (False, hindrance)


def test_no_recorded_revert_is_left_out_above():
    assert sum("error" in pair["response"] for pair in CALLS.values()) == 9


@pytest.mark.parametrize("signature", sorted(ERRORS))
def test_a_known_error_is_told_by_its_name_and_amounts(signature):
    selector, sentence, hindrance = ERRORS[signature]
    count = sentence.count("{}")
    assert selector == "0x" + keccak256(signature.encode())[:4].hex()
    assert count <= signature.count("uint256")
    verdict = decoded(selector + "".join(word((i + 1) * 1000 * WEI) for i in range(signature.count("uint256"))))
    assert verdict.words == f"{signature.partition('(')[0]}: {sentence.format('1,000', '2,000')}"
    assert verdict.hindrance is hindrance


def test_an_unknown_error_is_told_as_it_is_and_tried_again():
    verdict = decoded("0x12345678" + word(1) * 40)
    assert verdict.words.startswith("it would be refused with 0x12345678")
    assert len(verdict.words) < 200
    assert verdict.hindrance is WAITS


def test_an_error_without_its_amount_is_told_as_it_is():
    assert "0x0be9186a" in decoded("0x0be9186a").words


def test_a_contracts_own_text_cannot_speak_to_the_terminal():
    text = b"\x1b[2Jpaid"
    verdict = decoded("0x08c379a0" + word(32) + word(len(text)) + text.ljust(32, b"\0").hex())
    assert "\x1b" not in verdict.words
    assert "paid" in verdict.words


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x69d9c224"}, "0x69d9c224"),
        ({"code": -32015, "message": "VM execution error", "data": "Reverted 0x69d9c224"}, "0x69d9c224"),
        ({"code": -32603, "message": "x", "data": {"message": "revert", "data": "0x69d9c224"}}, "0x69d9c224"),
        ({"code": 3, "message": "execution reverted", "data": "0x"}, None),
        ({"code": 3, "message": "execution reverted"}, None),
        ({"code": 3, "data": 17}, None),
        ("revert", None),
    ],
    ids=["geth", "a sentence", "an object", "nothing", "absent", "a number", "text"],
)
def test_revert_data_is_found_where_nodes_put_it(error, data):
    assert revert_data(error) == data


@given(st.binary(min_size=4, max_size=300))
def test_rubbish_is_told_and_nothing_else(raw):
    verdict = decoded("0x" + raw.hex())
    assert not verdict.succeeds
    assert verdict.words
    assert verdict.words.isprintable()


def test_a_refusal_without_data_is_quoted():
    assert unnamed("execution reverted").words.endswith("'execution reverted'")


@pytest.mark.parametrize(
    ("wei", "words"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (5000 * WEI, "5,000"),
        (WEI // 2, "0.5"),
        (10**26 + 10**17, "100,000,000.1"),
    ],
    ids=["nothing", "one wei", "whole", "a half", "large"],
)
def test_an_amount_is_said_to_the_last_wei(wei, words):
    assert amount(wei) == words


@pytest.mark.parametrize(
    ("wei", "words"),
    [
        (0, "0"),
        (1, "less than 0.01"),
        (5000 * WEI, "5,000"),
        (190_000_088270833333333333, "190,000.09"),
        (WEI // 2, "0.50"),
    ],
    ids=["nothing", "one wei", "whole", "interest", "a half"],
)
def test_an_amount_in_a_sentence_is_said_to_a_hundredth(wei, words):
    assert roughly(wei) == words
