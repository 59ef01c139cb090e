"""The page of a backtest: one file that asks nobody for anything, whole for whoever reads it and however little there is."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from controller.backtest.held import unit_of
from controller.backtest.outcomes import MOST_PROGRAMS, when
from controller.backtest.page import page, periods
from controller.backtest.result import CLAIRVOYANT, NAMES, ORCHA, STATIC, Result
from tests.controller.backtest.results import DAY, case, promise, result, run

HOSTILE = "rack-1/<script>alert('&\"')"
VOID = {"meta", "br", "img", "input", "link", "hr"}
SELF_CLOSING = {"path", "rect", "line", "circle"}


class Outline(HTMLParser):
    """What is in a page, and whether every element that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.ids, self.refers, self.words = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.seen.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.refers += (found.get("aria-labelledby") or "").split()
        assert not {"src", "href", "xlink:href", "onclick", "onload"} & found.keys()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSING
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def outline(made, **more):
    return Outline(page(made, **more))


def full(**more):
    return result(promises=tuple(promise(day, realised=day / 100) for day in range(1, 9)), **more)


@pytest.mark.parametrize(
    "made",
    [
        full(),
        result(names=(STATIC,)),
        result(names=(ORCHA,)),
        result(names=(STATIC, ORCHA)),
        Result(case()),
        result(case(ticks=1)),
        result(case(ticks=0)),
        result(case(keys=())),
        result(case(keys=(HOSTILE, "rack-2/b"))),
        full(rates=dict.fromkeys(NAMES, 0.0)),
        full(rates={ORCHA: float("nan")}),
        result(programs=0, moves=0),
        result(exact=False, low=1.0, high=20.0),
    ],
    ids=[
        "everything", "static alone", "orcha alone", "two", "nothing was run", "one tick", "no tick", "no workload",
        "a name from outside", "nobody earns", "unknown earnings", "no program", "recorded",
    ],
)  # fmt: skip
def test_whatever_is_known_the_page_is_whole(made):
    found = outline(made, complete=False)
    assert len(set(found.ids)) == len(found.ids)
    assert set(found.refers) <= set(found.ids)
    assert not re.search(r"\b(nan|inf)\b", page(made))


def test_the_page_asks_nobody_for_anything():
    text = page(full())
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|<iframe|javascript:", text)


def test_names_from_outside_are_shown_and_never_run():
    made = full()
    hostile = case(keys=("rack-1/akash", HOSTILE), name="<img src=x onerror=alert(1)>")
    promised = replace(promise(), keys=("rack-1/akash", HOSTILE))
    runs = {name: run(hostile, name, 1.0, promises=(promised,)) for name in made.runs}
    text = page(Result(hostile, runs))
    assert "<script" not in text
    assert "<img" not in text
    assert any(HOSTILE in words for words in Outline(text).words)


def test_every_part_has_its_heading_and_what_it_means_comes_first():
    text = page(full())
    places = [text.index(words) for words in (
        "Orcha would have earned 4.00\u00a0USD".replace("\u00a0", " "), "Earnings over time", "Regret", "Allocation over time",
        "Programs, and what came of them", "Calibration", "What is compared",
    )]  # fmt: skip
    assert places == sorted(places)


def test_numbers_stand_beside_every_chart():
    text = page(full())
    assert text.count("<summary>the numbers</summary>") == 2
    assert text.count("<summary>the programs</summary>") == 1
    assert text.count("<table>") == 4


def test_the_numbers_of_each_day_are_those_that_were_earned():
    rows = re.findall(r'<tr><th scope="row">(\d+)</th>((?:<td>[^<]*</td>)+)</tr>', page(full()))
    assert [day for day, _ in rows] == [str(day) for day in range(10)]
    assert re.findall(r"<td>([^<]*)</td>", rows[0][1]) == ["1.00", "0.9000", "1.10", "0.8000", "1.40", "1.50"]


def test_the_lines_of_the_splits_differ_by_more_than_their_colour():
    dashes = dict(re.findall(r"path\.(\w+) \{ stroke: var\(--\w+\); stroke-dasharray: ([^;]+);", page(full())))
    assert set(dashes) == set(NAMES)
    assert len({dashes[name] for name in NAMES if name not in {STATIC, ORCHA}}) == 4  # static is thin, orcha thick


def test_what_is_to_be_known_of_the_history_stands_under_the_table():
    found = outline(full(), notes=["nothing is recorded of <rack-2>"])
    assert "nothing is recorded of <rack-2>" in found.words


def test_without_intervals_nothing_is_said_of_how_well_they_held():
    bare = tuple(promise(day, realised=0.07, low=0.05, high=0.05) for day in range(1, 9))
    text = page(result(promises=bare))
    assert "no interval to hold it against" in text
    assert "Calibration" not in text


def test_without_the_clairvoyant_the_page_says_that_regret_is_unknown():
    assert "nobody knows what was missed" in page(result(names=(STATIC, ORCHA)))
    assert "nobody knows what was missed" not in page(result())


def test_recorded_history_is_said_to_be_known_in_part():
    assert "Recorded history" in page(result(exact=False, low=1.0, high=2.0))
    assert "Recorded history" not in page(result())


def test_what_was_ended_early_says_so():
    assert "ended early" in page(result(names=(STATIC,)), complete=False)


def test_of_many_nodes_those_are_drawn_that_were_moved_most():
    keys = tuple(f"rack-{i:02d}/w" for i in range(20))
    made = result(case(keys=keys))
    held = np.full((10, 20), 1.0)
    held[5:, 13] = 2.0
    text = page(replace(made, runs={**made.runs, ORCHA: replace(made.runs[ORCHA], allocation=held)}))
    assert "<h3>rack-13: cores</h3>" in text
    assert "8 more, which orcha moved less often, are not drawn" in text


def test_of_many_workloads_on_a_node_the_smallest_share_a_colour():
    text = page(result(case(keys=tuple(f"rack-1/w{i:02d}" for i in range(12)))))
    assert "4 more</li>" in text
    assert 'class="layer c8"' in text


def test_of_many_programs_some_are_shown_and_that_is_said():
    text = page(result(promises=(promise(),) * (2 * MOST_PROGRAMS)))
    assert "One of 2 is shown" in text
    assert text.count('class="range"') == MOST_PROGRAMS


def test_a_month_of_minutes_with_twelve_workloads_makes_a_small_file():
    keys = tuple(f"rack-{1 + i // 4}/workload-{i}" for i in range(12))
    of = case(keys=keys, ticks=43_200, tick=60.0)
    rng = np.random.default_rng(0)
    held = rng.integers(0, 5, (43_200, 12)).astype(float)  # everybody moves all the time
    runs = {
        name: replace(run(of, name, rng.random(43_200)), allocation=held, promises=(promise(keys=keys),) * 2000)
        for name in NAMES
    }
    assert len(page(Result(of, runs)).encode()) < 1_500_000


# --- parts


@pytest.mark.parametrize(
    ("ticks", "tick", "unit", "count"),
    [(43_200, 60.0, "day", 30), (5 * 24 + 1, 3600.0, "day", 6), (24, 3600.0, "hour", 24), (10, 60.0, "tick", 10), (3, 5 * DAY, "day", 3)],
    ids=["a month", "five days and an hour", "a day", "ten minutes", "ticks longer than a day"],
)  # fmt: skip
def test_time_is_cut_into_days_or_hours(ticks, tick, unit, count):
    found = periods(ticks, tick / 3600)
    assert (found.unit, len(found.at) - 1) == (unit, count)
    assert (found.at[0], found.at[-1]) == (0, ticks)
    assert found.edges[-1] == pytest.approx(ticks * tick / 3600)


@pytest.mark.parametrize(
    ("resource", "most", "unit"),
    [
        ("cpu", 16, (1.0, "cores")),
        ("storage", 8e12, (1e12, "storage, TB")),
        ("memory", 48 * 2**30, (2.0**30, "memory, GiB")),
        ("bandwidth", 4e8, (1e6, "bandwidth, Mbit/s")),
        ("stake/DATA", 2e5, (1.0, "stake/DATA")),
        ("storage", 0, (1.0, "storage, B")),
    ],
    ids=str,
)
def test_an_axis_counts_in_what_its_resource_is_spoken_of_in(resource, most, unit):
    assert unit_of(resource, most) == unit


def test_a_time_is_told_from_the_start_on():
    assert when(26 * 3600) == "day 1, 02:00"
    assert when(-5) == "day 0, 00:00"


def test_the_clairvoyant_is_no_regret_of_its_own():
    text = page(result())
    regret = text[text.index("<h2>Regret") : text.index("<h2>Allocation")]
    assert f'class="line {CLAIRVOYANT}"' not in regret
