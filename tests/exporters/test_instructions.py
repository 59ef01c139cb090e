"""What a person gets to read and to sign, and what tools get of it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.instructions import Action, Hindrance, Instructions, Problem, in_full, plain

ACTION = Action(
    "stake(0xaa, 7): adds 7 wei", "0xTo", "0xadc9772e", "0xFrom", 137, 750_000, "would succeed", succeeds=True, value=3
)
WHOLE = Instructions(
    "treasury/weather",
    "raise the stake",
    "Sign this.",
    (ACTION,),
    (
        Problem("the autostaker is on", Hindrance.REFUSES),
        Problem("delegators wait", Hindrance.WAITS),
        Problem("little POL"),
    ),
    {"stake/DATA": 5.0},
    at=1_795_162_802.0,
)


def test_the_page_says_what_to_sign_with_what_and_what_is_wrong():
    assert WHOLE.text() == (
        "Raise the stake\n"
        "\n"
        "Sign this.\n"
        "\n"
        "1. stake(0xaa, 7): adds 7 wei\n"
        "   chain      137\n"
        "   from       0xFrom\n"
        "   to         0xTo\n"
        "   value      3\n"
        "   gas limit  750000\n"
        "   data       0xadc9772e\n"
        "   preview    would succeed\n"
        "\n"
        "It cannot be done as things are:\n"
        "- the autostaker is on\n"
        "\n"
        "It would fail now:\n"
        "- delegators wait\n"
        "\n"
        "To know before:\n"
        "- little POL\n"
        "\n"
        "All of this is of 2026-11-20T08:20:02Z.\n"
    )


def test_problems_are_told_apart_by_what_they_do():
    assert (WHOLE.refusals, WHOLE.delays, WHOLE.remarks) == (
        ("the autostaker is on",),
        ("delegators wait",),
        ("little POL",),
    )


def test_a_wallet_gets_a_transaction_without_nonce_and_fees():
    said = json.loads(json.dumps(WHOLE.document()))
    assert said["actions"][0]["transaction"] == {
        "chainId": "0x89", "from": "0xFrom", "to": "0xTo", "value": "0x3", "gas": "0xb71b0", "data": "0xadc9772e",
    }  # fmt: skip
    assert said["problems"][1] == {"sentence": "delegators wait", "hindrance": "waits"}
    assert (said["workload"], said["stands"], said["at"]) == (
        "treasury/weather",
        {"stake/DATA": 5.0},
        "2026-11-20T08:20:02Z",
    )


def test_a_later_look_with_the_same_figures_is_the_same_instructions():
    later = Instructions(
        WHOLE.key, WHOLE.title, WHOLE.sentence, WHOLE.actions, WHOLE.problems, WHOLE.stands, at=1_795_999_999.0
    )
    assert later == WHOLE


def test_a_protocol_with_nothing_to_sign_is_told_in_words():
    said = plain("rack-1/storj", {"storage": 6e12, "bandwidth": 4e8})
    assert (
        said.title
        == "set rack-1/storj to storage 6T (6000000000000 bytes) and bandwidth 400M (400000000 bits per second)"
    )
    assert (said.actions, said.done, said.stands) == ((), False, None)
    assert "by itself" in said.text()


@pytest.mark.parametrize(
    ("stands", "done"),
    [
        (None, False),
        ({}, False),
        ({"storage": 5e12}, False),
        ({"storage": math.nan}, False),
        ({"storage": 6e12}, True),
        ({"storage": 6e12 + 100, "memory": 1.0}, True),
    ],
    ids=["nobody can say", "not told", "another", "no number", "the same", "the same to a rounding"],
)
def test_in_words_it_is_done_once_the_node_reports_it(stands, done):
    assert plain("rack-1/storj", {"storage": 6e12}, stands).done is done


def test_nothing_wanted_is_done():
    assert plain("rack-1/storj", {}).done


@pytest.mark.parametrize(
    ("resource", "amount", "words"),
    [
        ("cpu", 1.0, "1 core"),
        ("cpu", 2.5, "2.5 cores"),
        ("memory", 2.0**30, "1Gi (1073741824 bytes)"),
        ("storage", 1234567890123.0, "1.235T (1234567890123 bytes)"),
        ("storage", 500.0, "500 bytes"),
        ("bandwidth", 4e8, "400M (400000000 bits per second)"),
        ("stake/DATA", 6000.0, "6,000 DATA"),
        ("stake/DATA", 0.1, "0.1 DATA"),
    ],
)
def test_an_amount_is_said_to_the_last_digit_because_a_person_copies_it(resource, amount, words):
    assert in_full(resource, amount) == words


@given(st.sampled_from(["cpu", "memory", "storage", "bandwidth", "stake/DATA"]), st.integers(0, 2**52))
def test_no_digit_of_a_whole_amount_is_lost(resource, amount):
    assert str(amount) in in_full(resource, float(amount)).replace(",", "")
