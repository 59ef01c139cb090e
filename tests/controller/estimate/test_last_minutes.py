"""The kernel of the last minutes speaks only where the last minutes are known: not from one look, and not from one hour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.estimate.kernels import HALF_LIVES
from controller.estimate.memory import of_kernels
from controller.history import History
from controller.samples import Kept
from exporters.reading import Reading
from tests.controller.estimate.pasts import DAY, HOUR, START, end_of, memory_of, seen

MINUTES, TWENTY, AN_HOUR = 0, 1, 2
"""Kernels: the last minutes, the last 20 minutes, the last hour."""


def noise(minutes, seed=4):
    return np.maximum(0.0, 4 + 2 * np.random.default_rng(seed).standard_normal(minutes))


def said(blocks, now=None, kernel=MINUTES):
    """What one kernel expects of the coming two hours: P(D > y) over the cells."""
    now = end_of(blocks) if now is None else now
    return of_kernels(memory_of(blocks, now=now), now, 2.0).inside[0, kernel].tolist()


def speaks(blocks, now=None):
    return said(blocks, now) != said(blocks, now, TWENTY)


def looked_at(minutes, demand, *, stale_after=210.0, allocation=9.0):
    """Blocks of what looks at these minutes saw, each of which holds until the next one, at most `stale_after`."""
    history = History([Kept("rack-1/golem", "cpu", stale_after, 1.0, 16.0)])
    for minute in minutes:
        used = min(float(demand[minute]), allocation)
        figures = {"used": {"cpu": used}, "allocated": {"cpu": allocation}, "net_usd_per_hour": 0.03 * used}
        history.add(Reading("rack-1", "golem", "golem", START + 60.0 * minute, **figures))
    now = START + 60.0 * (minutes[-1] + 1)
    return history.blocks("rack-1/golem", now), now


def believed(blocks, now):
    return memory_of(blocks, now=now).trust[0, MINUTES]


def test_blocks_of_five_minutes_tell_what_the_last_minutes_were_like():
    blocks = seen(np.r_[np.full(300, 2.0), np.full(15, 6.0)], 9.0)
    cells = np.array(said(blocks))
    assert cells.sum() * 0.25 == pytest.approx(6.0, abs=0.15)  # a quarter hour: five half-lives
    assert speaks(blocks)


@pytest.mark.parametrize("span", [600.0, 900.0, HOUR], ids=["10 minutes", "a quarter", "an hour"])
def test_longer_blocks_do_not_so_the_last_20_minutes_are_asked(span):
    blocks = seen(noise(10 * 60), 9.0, span=span)
    for now in end_of(blocks) + np.array([0.0, 60.0, 900.0, HOUR]):
        assert not speaks(blocks, float(now))


def test_with_blocks_of_an_hour_only_it_is_believed_as_much_as_the_one_that_it_asks():
    found = memory_of(seen(noise(3 * 1440), 9.0, span=HOUR)).trust[0]
    assert found[MINUTES] == pytest.approx(found[TWENTY], abs=1e-6)


def test_hours_of_an_older_past_do_not_keep_the_blocks_of_today_from_telling():
    hours, today = seen(noise(2 * 1440), 9.0, span=HOUR), seen(noise(90, 5), 9.0, start=START + 2 * DAY)
    figures = {
        name: np.concatenate([getattr(hours, name), getattr(today, name)])
        for name in (
            "start", "span", "hours", "usd", "unit_hours", "rate_hours", "used", "used_first", "used_last", "room_hours",
            "room_growth", "exact", "censored",
        )
    }  # fmt: skip
    assert speaks(type(hours)(**figures, levels=hours.levels))


@pytest.mark.parametrize("stale_after", [120.0, 210.0, 300.0])
@pytest.mark.parametrize("lag", [1, 4, 8])
def test_a_look_every_ten_minutes_that_holds_for_less_is_no_mean_of_minutes(stale_after, lag):
    demand = noise(1440)
    for hours in (6, 7, 8):
        blocks, now = looked_at(range(lag, 60 * hours, 10), demand, stale_after=stale_after)
        assert not speaks(blocks, now)


def test_a_look_every_ten_minutes_that_holds_until_the_next_is_believed_only_as_far_as_it_was_right():
    """Nothing in a block says that it was one look that lasted. What such looks were worth is in the scores."""
    assert believed(*looked_at(range(0, 2880, 10), noise(2880), stale_after=2000.0)) < 0.02
    walk = np.clip(4 + np.cumsum(np.random.default_rng(3).normal(0, 0.06, 2880)), 0, 9)
    assert believed(*looked_at(range(0, 2880, 10), walk, stale_after=2000.0)) > 0.02


def test_a_look_every_minute_is_enough():
    blocks, now = looked_at(range(480), noise(480))
    assert speaks(blocks, now)


@pytest.mark.parametrize("away", [2, 6, 30, 24 * 6], ids="{} h away".format)
def test_the_first_block_after_hours_away_says_nothing_alone_and_after_half_an_hour_they_speak(away):
    demand = noise(480 + 60 * away + 60)
    back = 480 + 60 * away
    for minutes, speak in ((6, False), (11, False), (16, False), (36, True)):
        blocks, now = looked_at([*range(480), *range(back, back + minutes)], demand)
        assert speaks(blocks, now) == speak, minutes


@pytest.mark.parametrize("missed", [1, 2])
def test_a_block_or_two_that_were_missed_do_not_silence_it(missed):
    blocks = seen(noise(480), 9.0)
    blocks = type(blocks)(
        **{
            name: part if name == "levels" or part is None else np.delete(part, 94 - np.arange(missed), axis=0)
            for name, part in ((name, getattr(blocks, name)) for name in blocks.__slots__)
        }
    )
    assert speaks(blocks)


def test_ten_minutes_without_news_silence_it():
    blocks = seen(noise(480), 9.0)
    assert speaks(blocks, end_of(blocks) + 5 * 60)
    assert not speaks(blocks, end_of(blocks) + 10 * 60)


def test_of_a_newcomer_all_say_the_same():
    blocks = seen(noise(5), 9.0)
    assert said(blocks) == said(blocks, kernel=TWENTY) == said(blocks, kernel=AN_HOUR)


@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([60.0, 210.0, 600.0, 4000.0]), st.integers(0, 180))
@settings(max_examples=40)
def test_whatever_was_looked_at_it_says_what_it_saw_or_what_the_next_slower_one_says(seed, every, stale, later):
    rng = np.random.default_rng(seed)
    minutes = np.flatnonzero(rng.random(600) < 1 / every)
    if len(minutes) < 2:
        return
    blocks, now = looked_at(minutes.tolist(), noise(600, seed), stale_after=stale)
    if blocks is None:
        return
    now += 60.0 * later
    memory = memory_of(blocks, now=now)
    found = of_kernels(memory, now, 2.0).inside[0]
    assert np.isfinite(found).all()
    watched = blocks.hours[blocks.start >= now - 20 * 60].sum()
    if watched < 0.4 / 3 and memory.exposure[0] > 1.0:  # less than 8 of the last 20 minutes
        assert found[MINUTES].tolist() == found[TWENTY].tolist()


def test_the_half_lives_that_this_is_about():
    assert HALF_LIVES[:3].tolist() == [0.05, 20 / 60, 1.0]
