from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.quantity import format_duration, format_quantity, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0),
        (12, 12.0),
        (2.5, 2.5),
        ("500m", 0.5),
        ("48Gi", 48 * 2**30),
        ("16Ti", 16 * 2**40),
        ("400M", 4e8),
        ("1e3", 1000.0),
        ("1E", 1e18),
        ("0", 0.0),
        (".5", 0.5),
        ("100k", 1e5),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "12 GB", "GiB", "-1", "1e999", "nan", "inf", "0x10", "1,5", "12Kb", True, None, "1" * 500]
)
def test_what_is_no_possible_quantity_is_refused_with_what_would_be_right(text):
    with pytest.raises(ValueError, match=r"write|must be"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1h30m", 5400), ("30d", 2592000), ("250ms", 0.25), ("0s", 0), ("1.5h", 5400)]
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", 5, "5 s", "-5s", "h", "5x", "1h 30m", "5sm", "1" * 60 + "s"])
def test_a_duration_without_its_unit_is_refused(text):
    with pytest.raises(ValueError, match="with its unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "binary", "text"),
    [
        (48 * 2**30, True, "48Gi"),
        (4e8, False, "400M"),
        (0.5, False, "500m"),
        (12, False, "12"),
        (0, True, "0"),
        (1.5e12, False, "1.5T"),
    ],
)
def test_a_quantity_is_written_in_its_largest_unit(value, binary, text):
    assert format_quantity(value, binary=binary) == text


@given(st.floats(min_value=1e-3, max_value=1e17), st.booleans())
def test_what_is_written_is_read_back_to_four_digits(value, binary):
    back = parse_quantity(format_quantity(value, binary=binary))
    assert back == pytest.approx(value, rel=6e-4)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "1h30m"), (45.2, "45s"), (90061, "1d1h"), (0, "0s"), (3600, "1h")]
)
def test_a_duration_is_written_in_its_two_leading_parts(seconds, text):
    assert format_duration(seconds) == text
