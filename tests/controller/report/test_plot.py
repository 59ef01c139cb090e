"""A curve as lines of text: never wider than asked, marks where they belong, whatever the figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.__main__ import PLAIN
from controller.report.plot import BAND, LEAST_WIDTH, Mark, plot

X = np.arange(13.0)
Y = 0.3 * (1 - np.exp(-X / 4))
NONE = np.full(13, np.nan)
BRAILLE = {chr(code) for code in range(0x2800, 0x2900)}


def drawn(lines):
    return [sum(sign in BRAILLE for sign in line) for line in lines]


def test_the_curve_crosses_every_column_and_the_axis_has_its_ends():
    lines = plot(X, Y, NONE, NONE, [Mark(4, "N", "now 4")], width=60)
    columns = [
        column for column in range(7, 60) if any(len(line) > column and line[column] in BRAILLE for line in lines)
    ]
    assert columns == list(range(7, 60))
    assert lines[0].startswith("0.285 |")
    assert lines[7].startswith("0.000 |")


def test_marks_stand_on_the_axis_with_their_labels_beneath():
    marks = [Mark(0, "[", "0"), Mark(6, "N", "now 6", line=True), Mark(12, "]", "12")]
    *_, axis, labels = plot(X, Y, NONE, NONE, marks, width=60)
    assert (axis.index("["), axis.index("]"), axis.index("N")) == (7, 59, 33)
    assert labels.split() == ["0", "now", "6", "12"]
    assert abs(labels.index("now 6") + 2 - axis.index("N")) <= 1


def test_a_label_that_would_cover_another_stands_aside_or_is_left_out_and_the_first_mark_of_a_place_shows():
    marks = [
        Mark(6, "N", "now 6 cores"),
        Mark(6.1, "T", "target 6.1 cores"),
        Mark(6.2, "M", "there is no room for this"),
    ]
    *_, axis, labels = plot(X, Y, NONE, NONE, marks, width=60)
    assert "now 6 cores" in labels
    assert "target 6.1 cores" in labels
    assert "room" not in labels
    assert "N" in axis
    assert "T" not in axis


def test_a_band_is_drawn_where_it_is_known():
    low = np.where(X > 6, Y * 0.5, np.nan)
    lines = plot(X, Y, low, NONE, [], width=60)
    places = [line.index(BAND) for line in lines if BAND in line]
    assert places
    assert min(places) > 30


def test_nothing_known_is_no_picture():
    assert plot(X, NONE, NONE, NONE, [], width=60) == []
    assert plot(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), [], width=60) == []


@pytest.mark.parametrize(
    "y", [np.zeros(13), np.full(13, -0.5), -Y, Y * 1e12, Y * 1e-12], ids=["nothing", "flat", "falling", "huge", "tiny"]
)
def test_any_figures_make_a_picture(y):
    lines = plot(X, y, NONE, NONE, [Mark(4, "N", "now")], width=60)
    assert len(lines) == 10
    assert sum(drawn(lines)) >= 30


def test_one_breakpoint_is_one_dot():
    lines = plot(np.array([5.0]), np.array([1.0]), np.array([np.nan]), np.array([np.nan]), [], width=60)
    assert sum(drawn(lines)) == 1


FIGURES = st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=1, max_size=20)


@given(FIGURES, st.integers(0, 200), st.lists(st.floats(-1e6, 1e6), max_size=4))
def test_no_line_is_wider_than_asked(figures, width, marks):
    y = np.array(figures)
    x = np.arange(float(len(y)))
    lines = plot(x, y, y - 1, y + 1, [Mark(at, "N", f"at {at:g}", line=True) for at in marks], width=width)
    assert max(map(len, lines), default=0) <= max(width, LEAST_WIDTH + 20), "a picture narrower than that is none"


def test_in_ascii_the_curve_is_hashes_and_its_band_stars():
    text = "\n".join(plot(X, Y, Y * 0.5, Y, [Mark(4, "N", "now", line=True)], width=60))
    spelled = "".join(sign if sign.isascii() else PLAIN.get(sign, "#") for sign in text)
    assert spelled.isascii()
    assert "#" in spelled
    assert "*" in spelled
