"""Pages that were lived at one time, written as if they had been at another."""

from __future__ import annotations

import numpy as np
import pytest

from scripts._pages import BLOCK, Pages, Writer, labelled, load

PAGE = b"""# TYPE orcha_leader gauge
orcha_leader 1.0
# TYPE orcha_plan_timestamp_seconds gauge
orcha_plan_timestamp_seconds{policy="a b"} 1000.5
orcha_approvals_oldest_timestamp_seconds 0.0
orcha_plan_roi_ratio{policy="a b"} +Inf
# EOF
"""


@pytest.fixture
def pages():
    made = Pages(end=2000.0, step=300.0)
    made.add(1700.0, "orcha", "x:1", PAGE)
    made.absent(2000.0, "orcha", "x:1")
    return made


def test_the_labels_of_the_target_come_first_with_and_without_labels_of_the_series_own():
    assert labelled('a{b="c"}', 'job="j"') == 'a{job="j",b="c"}'
    assert labelled("a", 'job="j"') == 'a{job="j"}'


def test_moved_to_another_end_samples_and_figures_that_are_times_move_and_nothing_else(pages):
    lines = list(Writer(pages, 12000.0).lines(pages.pages[0]))
    assert lines == [
        'orcha_leader{job="orcha",instance="x:1"} 1.0 11700.000\n',
        'orcha_plan_timestamp_seconds{job="orcha",instance="x:1",policy="a b"} 11000.5 11700.000\n',
        'orcha_approvals_oldest_timestamp_seconds{job="orcha",instance="x:1"} 0.0 11700.000\n',
        'orcha_plan_roi_ratio{job="orcha",instance="x:1",policy="a b"} +Inf 11700.000\n',
        'up{job="orcha",instance="x:1"} 1.0 11700.000\n',
        'scrape_samples_scraped{job="orcha",instance="x:1"} 4.0 11700.000\n',
    ]


def test_a_target_that_does_not_answer_is_down_and_has_nothing_else(pages):
    assert list(Writer(pages, 2000.0).lines(pages.pages[1])) == ['up{job="orcha",instance="x:1"} 0.0 2000.000\n']


def test_what_is_saved_comes_back_the_same(pages, tmp_path):
    pages.save(tmp_path / "week.npz")
    again = load(tmp_path / "week.npz")
    assert (again.end, again.step, again.layouts) == (pages.end, pages.step, pages.layouts)
    assert all(
        (one.at, one.layout) == (other.at, other.layout) and np.array_equal(one.values, other.values)
        for one, other in zip(again.pages, pages.pages, strict=True)
    )


def test_each_file_holds_one_block_and_nothing_that_comes_after_the_last(pages, tmp_path):
    files = Writer(pages, BLOCK + 100.0).files(tmp_path, last=BLOCK + 100.0)
    assert [path.name for path in files] == ["0.om", f"{BLOCK:.0f}.om"]
    assert [path.read_text().count("\n") for path in files] == [7, 2]
    [only] = Writer(pages, BLOCK + 100.0).files(tmp_path, last=BLOCK)
    assert only.name == "0.om"
    assert only.read_text().endswith("# EOF\n")
