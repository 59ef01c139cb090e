"""What is lived for the dashboards: the real controller on simulated nodes, in minutes instead of days."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from scripts._pages import Pages
from scripts._week import DAY, END, JOBS, Steps, live

pytestmark = pytest.mark.timeout(600)
SHARE = 0.5
"""Of a day."""


@pytest.fixture(scope="module")
def lived() -> Pages:
    pages = Pages(END, 300.0)
    asyncio.run(live(Steps(END - SHARE * DAY, END, fine=300.0), pages, after=600.0))
    return pages


def series(pages, job):
    """Name -> [(time, value)] of one target."""
    found = {}
    for page in pages.pages:
        names = pages.layouts[page.layout]
        if f'job="{job}"' in names[0]:
            for name, value in zip(names, page.values.tolist(), strict=True):
                found.setdefault(name, []).append((page.at, value))
    return found


def test_both_programs_are_seen_at_every_step_but_while_the_controller_is_started_anew(lived):
    steps = SHARE * DAY / 300.0 + 3  # both ends, and ten minutes beyond
    for job, more in (("orcha", 0), ("orcha-exporter", -2)):
        [up] = [seen for name, seen in series(lived, job).items() if name.startswith("up{")]
        assert len(up) == steps + more
        assert [value for _, value in up].count(0.0) == (2 if job == "orcha" else 0)


def test_counters_rise_and_only_the_new_controller_begins_at_nothing(lived):
    found = series(lived, "orcha")
    counters = {name: seen for name, seen in found.items() if name.partition("{")[0].endswith(("_total", "_bucket"))}
    falls = {
        at for seen in counters.values() for (_, before), (at, after) in itertools.pairwise(seen) if after < before
    }
    assert len(counters) > 100
    assert len(falls) == 1


def test_orcha_plans_for_both_policies_and_programs_come_to_their_end(lived):
    found = series(lived, "orcha")
    plans = [name for name in found if name.startswith("orcha_plan_timestamp_seconds{")]
    assert len(plans) == 2
    over = {
        name: max(value for _, value in seen)
        for name, seen in found.items()
        if name.startswith("orcha_programs_total{")
    }
    assert sum(over.values()) >= 1, over


def test_nothing_in_the_pages_is_of_this_machines_own_clock(lived):
    times = [
        value
        for job in JOBS
        for name, seen in series(lived, job).items()
        for _, value in seen
        if "_timestamp_seconds{" in name and value and "solvent_until" not in name
    ]
    assert times
    assert all(END - 1200 * DAY < value < END + 500 * DAY for value in times)
    assert not [name for name in series(lived, "orcha") if "_created{" in name]
