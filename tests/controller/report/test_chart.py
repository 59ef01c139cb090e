"""Charts are well-formed SVG whose marks are round, whose lines are short, and whose areas are what they should be."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.report.chart import (
    MOST_POINTS,
    Layer,
    Line,
    Over,
    Range,
    Words,
    calendar_ticks,
    labels,
    line_chart,
    range_chart,
    share_chart,
    stack_chart,
    steps_of,
    thin,
    ticks,
    time_ticks,
)

WORDS = Words("name", "A <title> & more", 'and "what" it shows')
FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def parsed(svg):
    return ET.fromstring(svg)  # noqa: S314 it is our own


def numbers(path):
    return [float(found) for found in re.findall(r"-?\d+\.?\d*", path)]


# --- axes


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(0, 9, [0, 2, 4, 6, 8, 10]), (0, 0.1, [0, 0.02, 0.04, 0.06, 0.08, 0.1]), (-3, 4, [-4, -2, 0, 2, 4]), (3, 3, [2, 2.5, 3, 3.5, 4])],
    ids=["nine", "small", "both sides of zero", "no range"],
)  # fmt: skip
def test_marks_are_round(low, high, marks):
    assert ticks(low, high) == pytest.approx(marks)


@given(FINITE, FINITE)
def test_marks_hold_everything_and_are_few(one, other):
    low, high = sorted((one, other))
    marks = ticks(low, high)
    hair = 1e-6 * (high - low) + 1e-12
    assert marks[0] <= low + hair
    assert marks[-1] >= high - hair
    assert 2 <= len(marks) <= 12
    assert all(np.diff(marks) > 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
def test_marks_of_what_is_no_number_are_those_of_nothing(bad):
    assert ticks(bad, 1.0) == [0.0, 1.0]


@given(FINITE, FINITE)
def test_no_two_marks_have_the_same_words(one, other):
    said = labels(ticks(*sorted((one, other))))
    assert len(set(said)) == len(said)


def test_marks_have_as_many_decimals_as_they_need():
    assert labels([0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert labels([-2000, 0, 2000]) == ["−2,000", "0", "2,000"]


@pytest.mark.parametrize(
    ("hours", "first", "last"),
    [(720, "0 d", "30 d"), (12, "0 h", "12 h"), (24 * 365, "0 d", "360 d"), (0.5, "0 h", "0.5 h"), (0, "0 h", "0 h")],
    ids=["a month", "half a day", "a year", "half an hour", "nothing"],
)
def test_time_is_told_in_days_or_in_hours(hours, first, last):
    marks = time_ticks(hours)
    assert (marks[0][1], marks[-1][1]) == (first, last)
    assert len(marks) <= 8


# --- downsampling


def test_a_short_line_is_left_as_it_is():
    x = np.arange(5.0)
    assert thin(x, x)[0] is x


@given(st.integers(MOST_POINTS, 50_000))
def test_a_long_line_keeps_both_ends_and_few_points(count):
    x, y = thin(np.arange(float(count)), np.arange(float(count)))
    assert len(x) <= MOST_POINTS
    assert (x[0], x[-1]) == (0, count - 1)
    assert (x == y).all()


def test_what_changes_seldom_keeps_its_edges():
    edges, values = steps_of(np.array([[1.0], [1], [3], [3], [2]]))
    assert edges.tolist() == [0, 2, 4, 5]
    assert values.tolist() == [[1], [3], [2]]


@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=60), st.integers(1, 20))
def test_areas_stay_what_they_are_however_few_steps_are_drawn(rows, most):
    values = np.array(rows, float)
    edges, found = steps_of(values, most)
    assert len(found) <= most
    assert (edges[0], edges[-1]) == (0, len(values))
    assert np.diff(edges) @ found == pytest.approx(values.sum(axis=0))


# --- whole charts


def every(chart):
    """One of each kind."""
    x = np.arange(4.0)
    made = {
        "lines": line_chart(WORDS, [Line("orcha", x, x)], 3.0),
        "stack": stack_chart(WORDS, [Layer("c0", "<b>", np.array([1.0, 2]))], np.array([0.0, 1, 3]), 3.0, 4.0),
        "ranges": range_chart(WORDS, [Range(1.0, 0.0, 1.0, 0.5, "said <so>"), Range(2.0, 0.0, 1.0, None, "")], 3.0),
        "shares": share_chart(WORDS, [("below", 0.1, 0.1), ("inside", 0.9, 0.8)]),
    }
    return made[chart]


@pytest.mark.parametrize("chart", ["lines", "stack", "ranges", "shares"])
def test_a_chart_is_well_formed_and_says_what_it_shows(chart):
    found = parsed(every(chart))
    assert found.get("role") == "img"
    assert found.get("aria-labelledby") == "name-title name-desc"
    assert found.find("title").text == "A <title> & more"
    assert found.find("desc").text == 'and "what" it shows'


@pytest.mark.parametrize(
    "svg",
    [
        line_chart(WORDS, [], 3.0),
        line_chart(WORDS, [Line("orcha", np.zeros(0), np.zeros(0))], 0.0),
        stack_chart(WORDS, [], np.zeros(1), 0.0, None),
        range_chart(WORDS, [], 3.0),
    ],
    ids=["no line", "an empty line", "no layer", "no range"],
)
def test_where_there_is_nothing_to_draw_that_is_said(svg):
    assert svg == '<p class="dim">A &lt;title&gt; &amp; more: there is nothing to draw.</p>'


def test_a_line_is_broken_where_its_value_is_unknown():
    chart = line_chart(WORDS, [Line("orcha", np.arange(5.0), np.array([0, 1, np.nan, 1, 2]))], 4.0)
    path = next(p.get("d") for p in parsed(chart).iter("path") if "orcha" in p.get("class"))
    assert path.count("M") == 2
    assert "nan" not in chart


@pytest.mark.parametrize(
    "values",
    [
        [np.nan] * 3,
        [np.inf, 0, 1],
        [5.0] * 3,
        [0.0] * 3,
        [-1e300, 0, 1e300],
        [1e-300, 2e-300, 3e-300],
        [0.0, 5e-324, 0.0],
    ],
    ids=str,
)
def test_whatever_the_values_are_the_chart_holds_numbers_only(values):
    chart = line_chart(WORDS, [Line("static", np.arange(3.0), np.array(values))], 2.0)
    parsed(chart)
    assert not re.search(r"\b(nan|inf)\b", chart)


def test_a_line_that_earns_stays_above_zero_on_an_axis_that_starts_there():
    chart = line_chart(WORDS, [Line("orcha", np.arange(3.0), np.array([0.0, 50, 100]))], 2.0, height=100.0)
    path = next(p.get("d") for p in parsed(chart).iter("path") if "orcha" in p.get("class"))
    assert numbers(path) == [0, 100, 500, 50, 1000, 0]


def test_layers_are_stacked_and_the_capacity_is_drawn_across():
    layers = [Layer("c0", "low", np.array([1.0])), Layer("c1", "high", np.array([3.0]))]
    chart = stack_chart(WORDS, layers, np.array([0.0, 2.0]), 2.0, 4.0, height=100.0)
    paths = {p.get("class"): p.get("d") for p in parsed(chart).iter("path")}
    assert numbers(paths["layer c0"])[2:4] == [75, 1000]  # one of four
    assert numbers(paths["layer c1"])[2:4] == [0, 1000]  # and three above it
    assert numbers(paths["capacity"]) == [0, 0, 1000]


def test_an_outcome_is_a_full_dot_inside_its_interval_and_a_ring_outside():
    ranges = [Range(1.0, 0.0, 1.0, found, "") for found in (0.5, 2.0, None)]
    styles = [dot.get("class") for dot in parsed(range_chart(WORDS, ranges, 3.0)).iter("circle")]
    assert styles == ["inside", "outside"]


def test_a_long_line_makes_a_small_chart():
    x = np.arange(43_201.0)
    assert len(line_chart(WORDS, [Line("orcha", x, np.sin(x))], 43_200.0)) < 20_000


# --- the calendar, and what is drawn over a stack


def test_marks_of_a_calendar_are_round_times_in_utc():
    """From Monday the 2nd of January 2023, 18:00, on."""
    start = 1_672_682_400.0
    assert calendar_ticks(start, 36.0) == [
        (0.0, "18:00"), (6.0, "3 Jan"), (12.0, "06:00"), (18.0, "12:00"), (24.0, "18:00"), (30.0, "4 Jan"), (36.0, "06:00"),
    ]  # fmt: skip
    assert [name for _, name in calendar_ticks(start, 72.0, 4)] == ["3 Jan", "4 Jan", "5 Jan"]
    assert calendar_ticks(start, 0.0) == []


@given(st.floats(0, 4e9), st.floats(0.01, 1e5))
def test_a_calendar_has_few_marks_and_all_of_them_within_the_time(start, hours):
    marks = calendar_ticks(start, hours)
    assert len(marks) <= 11
    assert all(-1e-6 <= at <= hours * (1 + 1e-6) for at, _ in marks)


def test_gaps_marks_and_lines_lie_over_the_layers_and_lines_below_zero_have_room():
    edges = np.array([0.0, 12.0, 24.0])
    line = Line("net", np.array([0.0, 24.0]), np.array([-1.0, 2.0]))
    over = Over((line,), ((6.0, 12.0),), ((18.0, "<moved>"),), ((12.0, "noon"),))
    svg = stack_chart(WORDS, [Layer("c0", "x", np.array([1.0, 2.0]))], edges, 24.0, None, over=over)
    found = parsed(svg)
    (gap,) = [each for each in found.iter("rect") if each.get("class") == "gap"]
    assert (gap.get("x"), gap.get("width")) == ("250.0", "250.0")
    (dot,) = found.iter("circle")
    assert (dot.get("cx"), dot.find("title").text) == ("75.00%", "<moved>")
    assert [each.text for each in found.iter("text") if each.get("class") == "x"] == ["noon"]
    assert next(each.text for each in found.iter("text") if each.get("class") == "y").startswith("−1")
