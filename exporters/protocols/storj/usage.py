"""What a storagenode uses: bytes stored now, bytes per hour moved, and how fast the disk fills. Pure.

The node tells of the current calendar month only (UTC), day by day; on the 1st all of it begins anew, so last month's
means stand in for what is missing.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from exporters.protocols.storj.look import Look, Satellite
from exporters.protocols.storj.shapes import Detail, Estimate, Traffic, Usage

DAY: Final = 86400.0
MONTH_HOURS: Final = 720.0
_YOUNG: Final = 1.0
"""Hours of traffic under which a rate would be noise."""
_TRASH_HOURS: Final = 168.0
"""Deleted pieces lie in the trash for a week, so the trash is what a week deletes."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one satellite, or all, use: bytes stored, bytes per hour. None = unknown."""

    stored: float | None
    egress: float | None
    repair: float | None
    """With audits: both are paid at the audit price (storj/storj estimatedpayouts/service.go)."""


UNKNOWN: Final = Flow(None, None, None)


def total(parts: Iterable[float | None]) -> float | None:
    """Their sum; None where any is unknown, and where there is none."""
    found, known = 0.0, False
    for part in parts:
        if part is None:
            return None
        found, known = found + part, True
    return found if known else None


def flow_of(satellite: Satellite, now: float, share: float | None = None) -> Flow:
    """One satellite's. `share`: what to take for stored where no tally of this month, nor of the last, says it."""
    detail = satellite.detail
    if detail is None:
        return UNKNOWN
    before = _before(satellite.estimate, detail.node_joined_at, now)
    stored = _stored(detail, before, share, now)
    return _with_traffic(stored, detail, before, detail.node_joined_at, now)


def _stored(detail: Detail, before: Flow, share: float | None, now: float) -> float | None:
    """By the newest tally; in the first hours of a month by what the node says otherwise, 0 only where that is known."""
    for known in (newest_tally(detail), detail.current_storage_used or None, before.stored or None, share):
        if known is not None:
            return known
    is_new = detail.node_joined_at is not None and detail.node_joined_at >= first_of_month(now).timestamp()
    return 0.0 if before.stored == 0 or is_new or now >= first_of_month(now).timestamp() + 2 * DAY else None


def _with_traffic(stored: float | None, usage: Usage, before: Flow, joined: float | None, now: float) -> Flow:
    rows = usage.bandwidth_daily
    return Flow(
        stored,
        per_hour(rows, lambda row: row.egress.usage, now, before.egress, joined),
        per_hour(rows, lambda row: total((row.egress.repair, row.egress.audit)), now, before.repair, joined),
    )


def newest_tally(usage: Usage) -> float | None:
    """Bytes that the newest tally of this month counted; one of 0 after others is a missing one (storj #7009)."""
    days = sorted(
        (day.interval_start, mean)
        for day in usage.storage_daily
        if day.interval_start is not None and (mean := day.mean) is not None and mean >= 0
    )
    if not days:
        return None
    return next((mean for _, mean in reversed(days) if mean > 0), 0.0)


def per_hour(
    rows: Iterable[Traffic],
    amount: Callable[[Traffic], float | None],
    now: float,
    before: float | None = None,
    joined: float | None = None,
) -> float | None:
    """Bytes per hour over today and yesterday, UTC.

    On the 1st yesterday is not in the rows (they begin anew): `before`, last month's mean, stands in for it. A day
    without a row had no traffic. None while there is less than an hour to judge by.
    """
    today = now // DAY * DAY
    since = today - DAY
    hours = (now - since) / 3600
    moved = 0.0
    if datetime.fromtimestamp(now, UTC).day == 1:
        since, hours = today, hours - 24
        if before is not None:
            moved, hours = before * 24, hours + 24
    if joined is not None and joined > since:
        hours = max((now - joined) / 3600, 0.0)
    for row in rows:
        if row.interval_start is not None and since <= row.interval_start <= now:
            part = amount(row)
            if part is None:
                return None
            moved += part
    return moved / hours if hours >= _YOUNG else None


def growth_per_hour(look: Look, now: float) -> float | None:
    """Bytes per hour by which the disk fills while it has room: what arrives less what is deleted.

    What is deleted lies in the trash for a week, so the trash over 168 h is its rate. None where the disk is full:
    nothing arrives there, and that tells nothing of what would.
    """
    disk = look.summary.disk_space
    if look.usage is None or disk.is_full or disk.occupied is None:
        return None
    arriving = per_hour(look.usage.bandwidth_daily, lambda row: total((row.ingress.usage, row.ingress.repair)), now)
    return None if arriving is None else arriving - (disk.trash or 0.0) / _TRASH_HOURS


def last_month_is_told(now: float) -> bool:
    """Whether `previousMonth` is the previous month.

    The node subtracts a month as Go's AddDate does, which overflows: on 31 May it lands on "31 April" = 1 May. So on
    the 31st after a month of 30 days, and on 29-31 March, `previousMonth` is this month.
    """
    day = datetime.fromtimestamp(now, UTC)
    last = day.replace(day=1) - timedelta(days=1)
    return day.day <= monthrange(last.year, last.month)[1]


def last_period(now: float) -> str:
    """The month before, as pay stubs name it: "2026-07"."""
    return f"{first_of_month(now) - timedelta(days=1):%Y-%m}"


def first_of_month(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _before(estimate: Estimate | None, joined: float | None, now: float) -> Flow:
    """Last month's means."""
    ends = first_of_month(now)
    began = (ends - timedelta(days=1)).replace(day=1).timestamp()
    hours = (ends.timestamp() - max(began, joined or began)) / 3600
    if estimate is None or hours < _YOUNG or not last_month_is_told(now):
        return UNKNOWN
    month = estimate.previous_month

    def mean(amount: float | None) -> float | None:
        return None if amount is None else amount / hours

    stored = None if month.disk_space is None else month.disk_space * MONTH_HOURS / hours
    return Flow(stored, mean(month.egress_bandwidth), mean(month.egress_repair_audit))


def shares_without_tally(look: Look, now: float) -> dict[str, float]:
    """Satellite -> bytes, for the first hours of a node: no tally of any satellite, and no month before.

    What lies on the disk, in equal parts: at that age every satellite holds back the same share, so the sum is right.
    """
    stored = look.summary.disk_space.stored
    details = [one for one in look.paying if one.detail is not None]
    if not stored or any(flow_of(one, now).stored for one in details):
        return {}
    return {one.name: stored / len(look.paying) for one in details}


def rest_of(look: Look, known: tuple[Flow, ...], now: float) -> Flow:
    """What the totals leave over for the satellites that could not be read."""
    if look.usage is None:
        return UNKNOWN
    stored = newest_tally(look.usage)
    whole = _with_traffic(
        look.summary.disk_space.stored if stored is None else stored,
        look.usage,
        _before(look.estimate, None, now),
        None,
        now,
    )

    def left(all_of_it: float | None, parts: Iterable[float | None]) -> float | None:
        spent = total([0.0, *parts])
        return None if all_of_it is None or spent is None else max(0.0, all_of_it - spent)

    return Flow(
        left(whole.stored, (flow.stored for flow in known)),
        left(whole.egress, (flow.egress for flow in known)),
        left(whole.repair, (flow.repair for flow in known)),
    )
