"""When a recurring window of a manifest is open: freeze windows, tariff windows. Pure; `at` is always an argument.

A window opens whenever `cron` fires in `timezone` and stays open for `duration` of elapsed time. Windows that overlap
or touch themselves count as one. Cron is that of Vixie and Debian, read by `cronsim` (nodes.py refuses what it cannot
read). Around a change of the clocks it does what Debian's cron does: a firing in the hour that is skipped in spring
happens when that hour would have ended, a firing in the hour that comes twice in autumn happens once, the first time
(cron(8)); a cron with `*` for its minutes or hours follows elapsed time instead.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporters.nodes import Window

_FIELDS: Final = 5
"""Of a cron without seconds."""
_FOLD: Final = 3 * 3600
"""Seconds. cronsim counts local time for crons without `*` in their minutes and hours, and around a change of the
clocks that is off by the change: an hour nearly everywhere, two or three in a few places and years. So the search for
those starts that much early, and what lies on the wrong side is passed over."""
_LINKS: Final = 2000
"""Firings that may prolong one window before it counts as open for ever."""


def is_open(window: Window, at: float) -> bool:
    """At Unix second `at`. It opens at the very second of a firing and is closed at the second its duration ends."""
    return at - _fired(window.cron, window.timezone, math.floor(at)) < window.duration


def closes_at(window: Window, at: float) -> float | None:
    """When the window that is open at `at` closes: Unix seconds, inf where it never does, None where none is open."""
    fired = _fired(window.cron, window.timezone, math.floor(at))
    if at - fired >= window.duration:
        return None
    for _ in range(_LINKS):
        closes = fired + window.duration
        last = _fired(window.cron, window.timezone, math.floor(closes))
        if last <= fired:
            return closes
        fired = last
    return math.inf


def opens_next(window: Window, at: float) -> float:
    """When it next goes from closed to open, after `at`: Unix seconds, inf where it never does."""
    closes = closes_at(window, at)
    if closes == math.inf:
        return math.inf
    return _fires_next(window.cron, window.timezone, math.floor(at if closes is None else closes))


@lru_cache(maxsize=4096)
def _fired(cron: str, timezone: str, second: int) -> float:
    """The last firing at or before a second; -inf where there was none. Kept, since many workloads ask at once."""
    firings = _firings(cron, timezone, second + 1, reverse=True)
    return next((fired for fired in firings if fired <= second), -math.inf)


@lru_cache(maxsize=4096)
def _fires_next(cron: str, timezone: str, second: int) -> float:
    """The first firing after a second; inf where there is none."""
    firings = _firings(cron, timezone, second, reverse=False)
    return next((fires for fires in firings if fires > second), math.inf)


def _firings(cron: str, timezone: str, start: float, *, reverse: bool) -> Iterator[float]:
    """The firings before or after `start`, nearest first, and at times some on its other side."""
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    fields = cron.split()
    if zone is not UTC and len(fields) == _FIELDS and not any(field.startswith("*") for field in fields[:2]):
        start += _FOLD if reverse else -_FOLD
    for found in CronSim(cron, datetime.fromtimestamp(start, zone), reverse=reverse):
        yield found.timestamp()
