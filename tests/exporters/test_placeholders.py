"""Placeholders: amounts as the words that nodes are told, exact and without the noise of float64."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.placeholders import CannotFill, fill, placeholders, words_of

AMOUNTS = {"cpu": 6.0, "memory": 9 * 2.0**30, "storage": 2e12, "bandwidth": 4e8, "stake/DATA": 5000.0}
FILLED = {
    "whole-cores": ("{cpu}", "6"),
    "millicores": ("{cpu:m}m", "6000m"),
    "bytes": ("{storage}", "2000000000000"),
    "bytes-named": ("{storage:B}B", "2000000000000B"),
    "decimal": ("{storage:TB}TB", "2TB"),
    "binary": ("--mem-gib={memory:GiB}", "--mem-gib=9"),
    "part-of-a-unit": ("{storage:PB}", "0.002"),
    "bits": ("{bandwidth}", "400000000"),
    "megabits": ("{bandwidth:Mbps}", "400"),
    "tokens": ("{stake/DATA}", "5000"),
    "wei": ("{stake/DATA:wei}", "5000000000000000000000"),
    "several": ("{cpu}/{memory:MiB}", "6/9216"),
    "literal-braces": ("{{cpu}} {{", "{cpu} {"),
    "json": ('{{"cores": {cpu}}}', '{"cores": 6}'),
    "none": ("docker", "docker"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "expected"), FILLED.values(), ids=FILLED.keys())
def test_a_text_is_filled_with_amounts_in_their_unit(text, expected):
    assert fill(text, AMOUNTS) == expected


WRONG = {
    "no-resource": ("{disk}", "{disk} names no resource; write cpu, memory, storage"),
    "no-name": ("{}", "{} names no resource"),
    "spaces": ("{ cpu }", "{ cpu } names no resource"),
    "no-unit": ("{memory:Gi}", "{memory:Gi} has no unit of memory; write {memory} or {memory:B}"),
    "unit-of-another": ("{cpu:GiB}", "{cpu:GiB} has no unit of cpu; write {cpu} or {cpu:m}"),
    "empty-unit": ("{cpu:}", "{cpu:} has no unit of cpu"),
    "unit-of-extended": ("{stake/DATA:gwei}", "write {stake/DATA} or {stake/DATA:wei}"),
    "lone-opening": ("a {cpu", "a lone { near 'a {cpu'; write {{ for a brace"),
    "lone-closing": ("cpu} b", "a lone } near 'cpu} b'; write }} for a brace"),
    "one-inside-another": ("{cpu{memory}", "a lone {"),
    "long": ("{" + "x" * 500 + "}", "x… names no resource"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_placeholder_is_told_with_what_would_be_right(text, expected):
    for use in (placeholders, lambda text: fill(text, AMOUNTS)):
        with pytest.raises(CannotFill) as told:
            use(text)
        assert expected in str(told.value)


def test_an_amount_that_is_not_at_hand_is_told():
    with pytest.raises(CannotFill, match=r"\{memory:GiB\} has no amount: this workload is allocated cpu"):
        fill("{memory:GiB}", {"cpu": 1.0})


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0])
def test_an_amount_that_cannot_be_is_told(amount):
    with pytest.raises(CannotFill, match="cannot be; an amount is zero or more"):
        fill("{cpu}", {"cpu": amount})


def test_placeholders_are_listed_in_the_order_of_the_text():
    assert placeholders("{memory:GiB} {{x}} {cpu} {stake/DATA:wei}") == [
        ("memory", "GiB"),
        ("cpu", ""),
        ("stake/DATA", "wei"),
    ]


@pytest.mark.parametrize(
    ("amount", "resource", "unit", "expected"),
    [
        (0.1 + 0.2, "cpu", "", "0.3"),
        (0.1 + 0.2, "cpu", "m", "300"),
        (1.9999999999999998, "cpu", "", "2"),
        (0.3 / 0.1 * 1.5 * 2**30, "memory", "GiB", "4.5"),
        (199999.69999999998, "stake/DATA", "wei", "199999700000000000000000"),
        (0.0, "stake/DATA", "wei", "0"),
        (1e23, "stake/DATA", "", "100000000000000000000000"),
        (1.0, "storage", "GiB", "0.000000000931322574615478515625"),
        (100.0, "memory", "", "100"),
    ],
)
def test_the_noise_of_float64_does_not_reach_a_node(amount, resource, unit, expected):
    assert words_of(amount, resource, unit) == expected


SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}  # fmt: skip


@given(steps=st.integers(0, 100_000), step=st.integers(1, 2**36), unit=st.sampled_from(sorted(SIZES)))
def test_bytes_come_back_exactly_from_any_unit(steps, step, unit):
    words = words_of(float(steps * step), "storage", unit)
    assert "E" not in words
    assert Fraction(Decimal(words)) * SIZES[unit] == steps * step


@given(steps=st.integers(0, 10_000), milli=st.integers(1, 5_000), least=st.integers(0, 5_000))
def test_whole_steps_of_cores_are_written_without_noise(steps, milli, least):
    amount = least / 1000 + steps * (milli / 1000)
    assert words_of(amount, "cpu", "m") == str(least + steps * milli)
    assert Decimal(words_of(amount, "cpu")) == Decimal(least + steps * milli) / 1000


@given(steps=st.integers(0, 10_000), per_mille=st.integers(1, 5_000_000))
def test_whole_steps_of_stake_are_exact_in_wei(steps, per_mille):
    assert words_of(steps * (per_mille / 1000), "stake/DATA", "wei") == str(steps * per_mille * 10**15)


@given(amount=st.floats(0, 1e30), resource=st.sampled_from(["cpu", "memory", "bandwidth", "stake/DATA"]))
def test_any_amount_is_a_plain_decimal(amount, resource):
    words = words_of(amount, resource)
    assert set(words) <= set("0123456789.")
    assert float(words) == pytest.approx(amount, rel=1e-12, abs=1.0 if resource in {"memory", "bandwidth"} else 1e-9)


@given(text=st.text(max_size=60))
def test_any_text_comes_through_with_its_braces_doubled(text):
    assert fill(text.replace("{", "{{").replace("}", "}}"), {}) == text


@given(text=st.text(st.sampled_from("{}:/cpumeoryGiBx "), max_size=30))
def test_what_cannot_be_filled_cannot_be_listed_either(text):
    with contextlib.suppress(CannotFill):
        fill(text, AMOUNTS)
        assert placeholders(text) or "{" not in text.replace("{{", "")
