"""A performance report in words: Markdown that lines up, a page that runs nothing, and neither obeys a name."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len

from controller.report.performance_charts import _counted_in
from controller.report.performance_page import page
from controller.report.performance_text import markdown
from controller.report.performance_words import between, headline, kpis, percent, when
from tests.controller.report.periods import DAY, HOUR, every, kept, look, past, report
from tests.controller.report.test_performance import TestDoingNothing, akash, entry, golem, grass

EVIL = 'rack-1/<script>alert("x")</script>|`\x1b[31m'


class Page(HTMLParser):
    """Counts tags, and refuses what is not closed in order."""

    VOID = frozenset({"meta"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def view():
    """Golem was lost for 80 minutes, given more at noon, and not looked at for three hours; akash beside it; points."""
    readings = [
        look(i * 300.0, 0.05 * held, held=held, up=not 24 <= i < 40, balance_usd={"accrued": 3.0})
        for i in range(289)
        for held in [6.0 if i < 144 else 8.0]
        if not 200 < i < 236
    ]
    each = past(readings), akash(), grass()
    return report(*each, entries=[entry(at=12 * HOUR)], decided=TestDoingNothing().decided())


class TestWords:
    @pytest.mark.parametrize(
        ("share", "words"),
        [
            (None, "?"),
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.9981, "99.8 %"),
            (0.99996, "99.99 %"),
            (-0.25, "−25.0 %"),
            (12.0, "1200 %"),
        ],
        ids=str,
    )
    def test_what_is_not_all_of_it_never_reads_100(self, share, words):
        assert percent(share) == words

    def test_a_time_reads_as_people_write_it(self):
        assert (when("2027-01-15T06:05:00.000Z"), when(None)) == ("15 Jan 2027, 06:05", "?")

    def test_an_interval_without_a_width_is_one_figure(self):
        assert between({"low": 1.0, "expected": 1.0, "high": 1.0}) == "1.00 USD"
        assert between({"low": -1.0, "expected": 1.5, "high": 2.0}, signed=True) == "+1.50 USD (−1.00 to +2.00)"
        assert between(None) == "?"

    def test_the_headline_says_what_was_earned_how_much_is_known_and_what_doing_nothing_would_have_earned(self, view):
        earned, nothing = headline(view)
        assert re.match(
            r"9\.\d\d USD in hand credited\. Earnings are known for \d\d\.\d % of the time of 3 workloads", earned
        )
        assert nothing.startswith("Keeping the split of 15 Jan 2027, 00:00 would have earned ")
        assert "What was changed brought +0.9278 USD more" in nothing  # 2 cores, 9 h 16 m 40 s of them seen

    def test_where_nothing_moved_doing_nothing_would_have_earned_the_same(self):
        assert "would have earned the same" in headline(report(golem()))[1]

    def test_where_nothing_is_priced_it_says_that_and_no_figure(self):
        assert headline(report(grass()))[0] == "What 1 workload earned is not known at any time of the period."

    def test_all_eight_key_figures_are_there(self, view):
        assert [name for name, _, _ in kpis(view)] == [
            "Total earnings", "Allocation efficiency", "Uptime", "Reallocation frequency", "Success rate", "Cost effectiveness",
            "Prediction accuracy", "Connection stability",
        ]  # fmt: skip

    def test_key_figures_that_are_not_known_are_question_marks(self):
        found = {name: value for name, value, _ in kpis(report(grass()))}
        assert (found["Total earnings"], found["Cost effectiveness"], found["Success rate"]) == ("? USD", "?", "?")


class TestMarkdown:
    def test_every_table_is_lined_up(self, view):
        tables = re.findall(r"(?:^\|.*\n)+", markdown(view), flags=re.MULTILINE)
        assert len(tables) >= 7
        for table in tables:
            rows = table.splitlines()
            assert len({cell_len(row) for row in rows}) == 1
            assert re.fullmatch(r"\|(?: -+:? \|)+", rows[1])

    def test_it_has_totals_changes_uptime_balances_and_what_to_know(self, view):
        text = markdown(view)
        for words in (
            "# Performance report", "## By protocol", "## By node", "## By workload", "## Changes of allocations",
            "## Against doing nothing", "## Uptime and connections", "## Balances at the end", "15 Jan 2027, 12:00",
            "is not known at any time of the period", "| all ",
        ):  # fmt: skip
            assert words in text

    def test_without_changes_it_says_so(self):
        assert "Nothing was changed." in markdown(report(golem()))

    def test_names_from_outside_are_not_obeyed(self):
        text = markdown(report(past(every(300.0, DAY, key=EVIL), kept(EVIL))))
        assert "\x1b" not in text
        assert "<script>" not in text.replace("\\<script>", "")
        assert "\\|" in text


@pytest.mark.parametrize(
    ("resource", "most", "found"),
    [
        ("cpu", 12.0, (1.0, "cores")),
        ("storage", 2.0**40, (2.0**40, "storage, TiB")),
        ("memory", 0.0, (1.0, "memory, B")),
        ("bandwidth", 4e8, (1e6, "bandwidth, Mbit/s")),
        ("stake/DATA", 5e5, (1.0, "stake/DATA")),
    ],
    ids=["cores", "storage", "nothing", "bandwidth", "stake"],
)
def test_an_axis_counts_in_what_people_say(resource, most, found):
    assert _counted_in(resource, most) == found


class TestPage:
    def test_it_is_whole_and_asks_nobody_for_anything(self, view):
        found = Page(page(view))
        assert found.named("script") == []
        assert [
            tag for tag, attributes in found.tags if {"src", "href", "xlink:href", "onload"} & attributes.keys()
        ] == []
        assert "default-src 'none'" in next(a["content"] for a in found.named("meta") if "http-equiv" in a)
        assert "url(" not in page(view)

    def test_its_charts_have_titles_and_descriptions(self, view):
        charts = [each for each in Page(page(view)).named("svg") if each.get("role") == "img"]
        assert len(charts) == 4  # earnings, the cores of two nodes, who was there
        names = {each["id"] for _, each in Page(page(view)).tags if "id" in each}
        for chart in charts:
            assert set(chart["aria-labelledby"].split()) <= names

    def test_ids_are_unique(self, view):
        ids = [each["id"] for _, each in Page(page(view)).tags if "id" in each]
        assert len(ids) == len(set(ids))

    def test_changes_are_marked_and_gaps_are_grey(self, view):
        found = Page(page(view))
        classes = [each.get("class") for _, each in found.tags]
        assert classes.count("event") >= 2  # over earnings, and over the node that it changed
        assert "gap" in classes
        assert all(
            classes.count(state) >= 2 for state in ("up", "partly", "down", "unseen")
        )  # one each is the legend's

    def test_a_stack_of_which_one_is_not_known_is_grey_there_and_not_empty(self):
        """Golem was down from 2:00 to 3:20; nobody says that its cores were free then."""
        lost = past([look(i * 300.0, held=6.0, up=not 24 <= i < 40) for i in range(289)])
        view = report(lost, past(every(300.0, DAY, key="rack-1/other", protocol="golem"), kept("rack-1/other")))
        (stack,) = re.findall(r'<svg[^>]*aria-labelledby="held-0.*?</figure>', page(view), flags=re.DOTALL)
        assert stack.count('class="gap"') == 1

    def test_names_from_outside_are_escaped(self):
        text = page(report(past(every(300.0, DAY, key=EVIL), kept(EVIL))))
        assert "<script>" not in text
        assert "&lt;script&gt;" in text

    def test_no_figure_is_nan_or_infinite(self, view):
        for each in (view, report(grass()), report(golem(), since=-DAY)):
            assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<style>.*?</style>", "", page(each), flags=re.DOTALL))

    def test_it_follows_light_and_dark_and_prints(self, view):
        text = page(view)
        assert "prefers-color-scheme: dark" in text
        assert "@media print" in text
