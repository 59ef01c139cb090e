"""Which days of a storagenode's month are visible when: tallies lag by up to 12 hours, the bandwidth database by one.

Months are (year, month) in UTC; days are numbered from 1970 on (reference: storj-golem 1.1, "How fresh is it").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from exporters.simulator.demand import DAY
from exporters.simulator.disk import TALLY, Day, Disk

Month = tuple[int, int]


def days_of(disk: Disk, month: Month, now: float) -> list[tuple[int, Day]]:
    """The days of a month so far: storage up to the last tally, bandwidth up to the last flush of its database."""
    first, last = int(starts(month) // DAY), int(starts(following(month)) // DAY)
    rows = []
    for number in range(first, min(last, int(now // DAY) + 1)):
        day = disk.days.get(number)
        if day is not None:
            rows.append((number, _seen(disk, number, day, now)))
    return rows


def _seen(disk: Disk, number: int, day: Day, now: float) -> Day:
    if now >= (number + 1) * DAY:
        return day
    return replace(disk.flushed.get(number, Day()), byte_hours=disk.tallied.get(number, 0.0))


def hours_of(number: int, now: float) -> float:
    """Hours that the tally of a day covers by now."""
    return min(DAY, max(TALLY, now // TALLY * TALLY - number * DAY)) / 3600.0


def month_of(at: float) -> Month:
    found = datetime.fromtimestamp(at, UTC)
    return found.year, found.month


def read_month(period: str) -> Month:
    year, _, month = period.partition("-")
    return int(year), int(month)


def following(month: Month) -> Month:
    return (month[0] + 1, 1) if month[1] == 12 else (month[0], month[1] + 1)


def starts(month: Month) -> float:
    return datetime(*month, 1, tzinfo=UTC).timestamp()


def go_previous(now: float) -> Month:
    """Go's AddDate(0, -1, 0), which normalises overflow: on 31 May "a month ago" is 1 May (reference 1.1)."""
    today = datetime.fromtimestamp(now, UTC).date()
    year, month = (today.year - 1, 12) if today.month == 1 else (today.year, today.month - 1)
    found = date(year, month, 1) + timedelta(days=today.day - 1)
    return found.year, found.month
