"""Call data out, words in: against published vectors, recorded answers of real contracts, and rubbish."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import Malformed
from exporters.protocols.streamr.abi import Words, checksummed, encode, keccak256

ONES = "0x" + "1" * 40


def words(*values: int) -> str:
    return "0x" + "".join(f"{value:064x}" for value in values)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"a", "3ac225168df54212a25c1c01fd35bebfea408fdac2e31ddd6f80a4bbf9a5f1cb"),  # web3_sha3 of ganache 7.9.2
        (b"CONTROLLER_ROLE", "7b765e0e932d348852a6f810bfa1ab891e259123f02db8cdcde614c570223357"),
    ],
    ids=["nothing", "one letter", "a role's name"],
)
def test_keccak_gives_the_known_digests(text, digest):
    assert keccak256(text).hex() == digest


@given(st.binary(max_size=600))
def test_keccak_with_the_standards_padding_is_the_standards_sha3(data):
    assert keccak256(data, pad=0x06) == hashlib.sha3_256(data).digest()


@pytest.mark.parametrize(
    "address", ["0x39F947CF7B461b817ce7D951786c2958C663BbEa", "0xeC4cFde48EAdca2bC63E94BB437BbeAcE1371bF3"]
)
def test_an_address_gets_its_checksum_back(address):
    assert checksummed(address.lower()) == address


@given(st.binary(min_size=20, max_size=20))
def test_a_checksum_changes_nothing_but_case(raw):
    address = "0x" + raw.hex()
    assert checksummed(address).lower() == address
    assert checksummed(checksummed(address)) == checksummed(address)


def test_call_data_is_the_documented_one():
    stake = encode("0xadc9772e", ONES, 6000 * 10**18)
    assert (
        stake == "0xadc9772e" + "0" * 24 + "1" * 40 + "00000000000000000000000000000000000000000000014542ba12a337c00000"
    )
    assert encode("0x2ebd89d1") == "0x2ebd89d1"


@given(st.integers(0, 2**256 - 1))
def test_a_number_survives_the_way_there_and_back(value):
    assert Words.of(encode("0x", value)).uint() == value


@given(st.lists(st.integers(0, 2**160 - 1), max_size=8), st.lists(st.integers(0, 2**256 - 1), max_size=8))
def test_two_arrays_and_a_number_are_told_apart(addresses, numbers):
    second = 96 + 32 * (1 + len(addresses))
    said = Words.of(words(96, second, 7, len(addresses), *addresses, len(numbers), *numbers))
    assert said.addresses(0) == tuple(f"0x{one:040x}" for one in addresses)
    assert said.uints(1) == tuple(numbers)
    assert said.uint(2) == 7


def test_text_is_read_whatever_its_bytes():
    assert Words.of(words(32, 3) + b"abc".ljust(32, b"\0").hex()).text() == "abc"
    assert Words.of(words(32, 2) + b"\xff\xfe".ljust(32, b"\0").hex()).text() == "��"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("0x", "no contract"),
        (None, "no hexadecimal"),
        (17, "no hexadecimal"),
        ("", "no hexadecimal"),
        ("0x1", "no hexadecimal"),
        ("0xzz", "no hexadecimal"),
        ({"a": 1}, "no hexadecimal"),
    ],
    ids=["no code", "null", "a number", "empty", "half a byte", "no hex", "an object"],
)
def test_what_is_no_result_is_malformed(result, said):
    with pytest.raises(Malformed, match=said):
        Words.of(result)


@pytest.mark.parametrize(
    "read",
    [
        lambda: Words.of("0x00").uint(),
        lambda: Words.of(words(1)).uint(1),
        lambda: Words.of(words(2)).flag(),
        lambda: Words.of(words(2**160)).address(),
        lambda: Words.of(words(32, 2, 1)).uints(),
        lambda: Words.of(words(32, 2**255)).uints(),
        lambda: Words.of(words(2**255)).uints(),
        lambda: Words.of(words(32, 2**40)).text(),
        lambda: Words.of(words(32, 1, 2**200)).addresses(),
    ],
    ids=[
        "half a word",
        "a word that is not there",
        "a truth of 2",
        "a wide address",
        "one item of two",
        "an endless array",
        "an offset to nowhere",
        "an endless text",
        "a wide address in a list",
    ],
)
def test_a_result_that_does_not_hold_what_it_says_is_malformed(read):
    with pytest.raises(Malformed):
        read()


@given(st.binary(max_size=200))
def test_rubbish_is_read_or_malformed_and_nothing_else(raw):
    for read in (Words.uint, Words.flag, Words.address, Words.uints, Words.addresses, Words.text):
        try:
            read(Words(raw))
        except Malformed:
            continue
