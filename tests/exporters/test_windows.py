import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.nodes import Window
from exporters.windows import closes_at, is_open, opens_next

BERLIN = ZoneInfo("Europe/Berlin")


def window(cron: str, duration: str, timezone: str = "UTC") -> Window:
    return Window.model_validate({"cron": cron, "duration": duration, "timezone": timezone})


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def berlin(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


EVENING = window("0 18 * * 1-5", "3h")


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-03-02T17:59:59", False),
        ("2026-03-02T18:00:00", True),
        ("2026-03-02T20:59:59", True),
        ("2026-03-02T21:00:00", False),
        ("2026-03-07T19:00:00", False),  # a Saturday
    ],
)
def test_a_window_is_open_from_the_firing_until_its_duration_ends(at, opened):
    assert is_open(EVENING, utc(at)) is opened


def test_an_open_window_says_when_it_closes_and_when_it_opens_again():
    at = utc("2026-03-06T19:00:00.5")  # a Friday
    assert closes_at(EVENING, at) == utc("2026-03-06T21:00:00")
    assert opens_next(EVENING, at) == utc("2026-03-09T18:00:00")


def test_a_closed_window_has_no_closing_time_and_opens_at_the_next_firing():
    at = utc("2026-03-06T12:00:00")
    assert closes_at(EVENING, at) is None
    assert opens_next(EVENING, at) == utc("2026-03-06T18:00:00")


def test_a_window_crosses_midnight():
    night = window("0 22 * * *", "8h")
    assert is_open(night, utc("2026-03-02T05:59:00"))
    assert not is_open(night, utc("2026-03-02T06:00:00"))


def test_windows_that_overlap_or_touch_themselves_are_one():
    overlapping = window("0 8,9,10 * * *", "1h30m")
    assert closes_at(overlapping, utc("2026-03-02T08:10:00")) == utc("2026-03-02T11:30:00")
    assert opens_next(overlapping, utc("2026-03-02T08:10:00")) == utc("2026-03-03T08:00:00")
    touching = window("0 8,9 * * *", "1h")
    assert closes_at(touching, utc("2026-03-02T08:10:00")) == utc("2026-03-02T10:00:00")


def test_a_window_that_always_prolongs_itself_never_closes():
    always = window("* * * * *", "2m")
    assert closes_at(always, utc("2026-03-02T08:10:00")) == math.inf
    assert opens_next(always, utc("2026-03-02T08:10:00")) == math.inf


def test_a_cron_with_seconds_opens_at_that_second():
    late = window("30 0 18 * * *", "1m")
    assert not is_open(late, utc("2026-03-02T18:00:29.9"))
    assert is_open(late, utc("2026-03-02T18:00:30"))
    assert closes_at(late, utc("2026-03-02T18:00:40")) == utc("2026-03-02T18:01:30")


def test_a_window_is_in_its_own_time_zone_summer_and_winter():
    evening = window("0 18 * * *", "1h", "Europe/Berlin")
    assert is_open(evening, utc("2026-01-10T17:30:00"))
    assert is_open(evening, utc("2026-07-10T16:30:00"))
    assert not is_open(evening, utc("2026-07-10T17:30:00"))


def test_in_spring_a_firing_in_the_skipped_hour_happens_when_that_hour_would_have_ended():
    gap = window("30 2 * * *", "30m", "Europe/Berlin")  # 2026-03-29: 02:00 becomes 03:00
    assert opens_next(gap, berlin("2026-03-29T01:59:00")) == berlin("2026-03-29T03:00:00")
    assert is_open(gap, berlin("2026-03-29T03:29:59"))
    assert not is_open(gap, berlin("2026-03-29T03:30:00"))
    assert opens_next(gap, berlin("2026-03-29T04:00:00")) == berlin("2026-03-30T02:30:00")


def test_in_spring_a_duration_is_elapsed_time():
    night = window("0 1 * * *", "3h", "Europe/Berlin")
    assert closes_at(night, berlin("2026-03-29T01:30:00")) == berlin("2026-03-29T05:00:00")


def test_in_autumn_a_firing_in_the_hour_that_comes_twice_happens_once_the_first_time():
    twice = window("30 2 * * *", "20m", "Europe/Berlin")  # 2026-10-25: 03:00 becomes 02:00
    assert is_open(twice, berlin("2026-10-25T02:40:00"))
    assert not is_open(twice, berlin("2026-10-25T02:40:00", fold=1))
    assert opens_next(twice, berlin("2026-10-25T02:40:00", fold=1)) == berlin("2026-10-26T02:30:00")


def test_in_autumn_a_window_that_opened_the_first_time_is_still_known_the_second_time():
    twice = window("30 2 * * *", "1h", "Europe/Berlin")
    assert is_open(twice, berlin("2026-10-25T02:10:00", fold=1))  # 40 minutes after it opened
    assert closes_at(twice, berlin("2026-10-25T02:10:00", fold=1)) == berlin("2026-10-25T02:30:00", fold=1)


def test_in_autumn_an_hourly_cron_fires_in_both_hours():
    hourly = window("15 * * * *", "10m", "Europe/Berlin")
    assert is_open(hourly, berlin("2026-10-25T02:20:00"))
    assert is_open(hourly, berlin("2026-10-25T02:20:00", fold=1))


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_clock_that_is_far_off_does_not_break_a_window(year):
    at = datetime(year, 1, 4, 19, tzinfo=UTC).timestamp()
    assert isinstance(is_open(EVENING, at), bool)
    assert opens_next(EVENING, at) > at


CRONS = ["0 18 * * 1-5", "30 2 * * *", "*/20 * * * *", "0 */6 * * *", "0 3 * * 0", "10-50 2 * * *", "5 0 1 * *"]


@settings(max_examples=150, deadline=None)
@given(
    cron=st.sampled_from(CRONS),
    minutes=st.integers(1, 60 * 30),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    near=st.sampled_from(
        ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2026-06-15"]
    ),
    shift=st.integers(-26 * 60, 26 * 60),
)
def test_the_three_answers_agree_at_every_minute_of_every_change_of_the_clocks(cron, minutes, zone, near, shift):
    one = window(cron, f"{minutes}m", zone)
    at = (datetime.fromisoformat(near).replace(tzinfo=UTC) + timedelta(minutes=shift)).timestamp()
    opens, closes = opens_next(one, at), closes_at(one, at)
    assert (closes is not None) is is_open(one, at)
    if opens < math.inf:
        assert is_open(one, opens)
        assert not is_open(one, opens - 60)
        assert opens > (closes or at)
    if closes is not None and closes < math.inf:
        assert not is_open(one, closes)
        assert is_open(one, closes - 60)
        assert closes > at


# --- freeze windows over a change of the clocks, as the guard asks: every minute of those nights


def minutes_open(one: Window, first: float, last: float) -> float:
    """How many minutes of a period it is open."""
    return sum(is_open(one, first + 60 * i) for i in range(round((last - first) / 60)))


@pytest.mark.parametrize(
    ("cron", "duration", "day", "closed_from", "closed_until"),
    [
        ("0 2 * * *", "1h", "2026-03-29", ("03:00", 0), ("04:00", 0)),
        ("30 2 * * *", "1h", "2026-03-29", ("03:00", 0), ("04:00", 0)),
        ("0 1 * * *", "2h", "2026-03-29", ("01:00", 0), ("04:00", 0)),
        ("0 3 * * *", "1h", "2026-03-29", ("03:00", 0), ("04:00", 0)),
        ("0 2 * * *", "1h", "2026-10-25", ("02:00", 0), ("02:00", 1)),
        ("30 2 * * *", "2h", "2026-10-25", ("02:30", 0), ("03:30", 1)),
        ("0 1 * * *", "2h", "2026-10-25", ("01:00", 0), ("02:00", 1)),
        ("0 3 * * *", "1h", "2026-10-25", ("03:00", 0), ("04:00", 0)),
        ("0 18 * * *", "3h", "2026-03-29", ("18:00", 0), ("21:00", 0)),
        ("0 18 * * *", "3h", "2026-10-25", ("18:00", 0), ("21:00", 0)),
    ],
)
def test_a_freeze_window_of_berlin_is_closed_to_the_second_on_both_nights(
    cron, duration, day, closed_from, closed_until
):
    """Beside each time: which of the two hours between 2 and 3 is meant, in autumn."""
    one = window(cron, duration, "Europe/Berlin")
    opens, closes = (berlin(f"{day}T{clock}", fold) for clock, fold in (closed_from, closed_until))
    assert not is_open(one, opens - 1)
    assert is_open(one, opens)
    assert is_open(one, closes - 1)
    assert not is_open(one, closes)
    assert closes_at(one, opens + 1) == closes
    start = berlin(f"{day}T00:00")
    day_minutes = minutes_open(one, start, berlin(f"{day}T23:59"))
    assert day_minutes == (closes - opens) / 60, "and open at no other minute of that day"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_freeze_of_a_whole_day_leaves_no_gap_on_a_day_of_23_or_25_hours(day, hours):
    whole = window("0 0 * * *", "24h", "Europe/Berlin")
    start = berlin(f"{day}T00:00")
    found = minutes_open(whole, start, start + hours * 3600)
    assert found == 24 * 60 if hours == 25 else found == hours * 60, (
        "24 hours that have passed, whatever the clock says"
    )
    longer = window("0 0 * * *", "25h", "Europe/Berlin")
    assert closes_at(longer, start) == math.inf
