"""The metric families that only Storj has, and their samples from one look. Pure.

Every unit is a base unit (bytes, USD, ratios); the mixed units of older exporters are in exporters/compat.py only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from exporters.collector import LIMIT, Family
from exporters.protocols.storj.balances import this_month
from exporters.protocols.storj.earnings import Earnings, held_share
from exporters.protocols.storj.look import Look, Satellite, address_of
from exporters.protocols.storj.shapes import Bytes, Detail
from exporters.protocols.storj.usage import total

Samples = tuple[tuple[Mapping[str, str], float], ...]

_SATELLITE: Final = ("satellite",)
FAMILIES: Final[dict[str, Family]] = {
    "orcha_storj_node_info": Family("Static facts of the node.", labels=("allowed_version", "quic_status")),
    "orcha_storj_up_to_date": Family("1 the version is one that satellites still accept."),
    "orcha_storj_last_pinged_timestamp_seconds": Family("When a satellite last contacted the node."),
    "orcha_storj_started_timestamp_seconds": Family("When the node's process started."),
    "orcha_storj_disk_bytes": Family(
        "Disk by kind: stored is paid for, trash and reclaimable are not.", labels=("kind",)
    ),
    "orcha_storj_disk_overused_bytes": Family("Used above the effective allocation."),
    "orcha_storj_month_bandwidth_bytes": Family("Ingress and egress since the 1st, UTC."),
    "orcha_storj_month_earned_usd": Family(
        "Gross of this month so far, as the node estimates it, by kind.", labels=("kind",)
    ),
    "orcha_storj_month_payout_usd": Family("Of this month so far, what is left after held amounts."),
    "orcha_storj_month_held_usd": Family("Of this month so far, what is held back."),
    "orcha_storj_month_expected_usd": Family("Payout of the whole month if it goes on so; wild in its first hours."),
    "orcha_storj_satellite_info": Family(
        "Static facts of a satellite.", labels=("satellite", "satellite_id", "address")
    ),
    "orcha_storj_satellite_read": Family("1 its page could be had at the last look.", labels=_SATELLITE),
    "orcha_storj_audit_score": Family("Share of audits passed; disqualified at 0.96.", labels=_SATELLITE),
    "orcha_storj_suspension_score": Family(
        "Share of audits without an unknown error; suspended at 0.6.", labels=_SATELLITE
    ),
    "orcha_storj_online_score": Family(
        "Share of audit windows online; lags by 12 h; suspended at 0.6.", labels=_SATELLITE
    ),
    "orcha_storj_vetted": Family("1 vetted: it gets its full share of uploads.", labels=_SATELLITE),
    "orcha_storj_disqualified": Family("1 disqualified: for good, and what it held is forfeited.", labels=_SATELLITE),
    "orcha_storj_suspended": Family("1 suspended for unknown audit errors.", labels=_SATELLITE),
    "orcha_storj_joined_timestamp_seconds": Family(
        "When the node joined: the clock of the held share.", labels=_SATELLITE
    ),
    "orcha_storj_held_ratio": Family("Share of the earnings that is held back now.", labels=_SATELLITE),
    "orcha_storj_stored_bytes": Family("Paid data, by the newest tally.", labels=_SATELLITE),
    "orcha_storj_month_stored_byte_seconds": Family("Byte-seconds since the 1st, UTC.", labels=_SATELLITE),
    "orcha_storj_day_stored_byte_seconds": Family("Byte-seconds of the newest day with a tally.", labels=_SATELLITE),
    "orcha_storj_month_traffic_bytes": Family(
        "Traffic since the 1st, UTC: begins anew each month.", labels=("satellite", "direction", "kind")
    ),
    "orcha_storj_storage_price_usd_per_byte_hour": Family("Published price of storage.", labels=_SATELLITE),
    "orcha_storj_egress_price_usd_per_byte": Family("Published price of egress.", labels=("satellite", "kind")),
}


class _Samples:
    """Collects samples; what is unknown or cannot be is left out."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[Mapping[str, str], float]]] = {}

    def add(self, family: str, value: float | None, **labels: str) -> None:
        largest = LIMIT * 3600 if family.endswith("byte_seconds") else LIMIT
        if value is not None and math.isfinite(value) and 0 <= value <= largest:
            self._found.setdefault(f"orcha_storj_{family}", []).append((labels, float(value)))

    def done(self) -> dict[str, Samples]:
        return {name: tuple(rows) for name, rows in self._found.items()}


def samples(look: Look, earned: Earnings, now: float) -> dict[str, Samples]:
    """Family -> samples, for Reading.extra."""
    found = _Samples()
    _node(found, look)
    _month(found, look)
    for satellite in look.satellites:
        _satellite(found, satellite, now)
        if satellite.detail is not None:
            found.add("stored_bytes", earned.stored.get(satellite.name), satellite=satellite.name)
            _used(found, satellite.name, satellite.detail)
            _prices(found, satellite.name, satellite.detail)
    return found.done()


def _node(found: _Samples, look: Look) -> None:
    summary, disk = look.summary, look.summary.disk_space
    found.add("node_info", 1.0, allowed_version=summary.allowed_version or "", quic_status=summary.quic_status or "")
    found.add("up_to_date", summary.up_to_date)
    found.add("last_pinged_timestamp_seconds", summary.last_pinged)
    found.add("started_timestamp_seconds", summary.started_at)
    for kind, value in {
        "stored": disk.stored,
        "trash": disk.trash,
        "reclaimable": disk.reclaimable,
        "free": disk.free,
    }.items():
        found.add("disk_bytes", value, kind=kind)
    found.add("disk_overused_bytes", disk.overused)
    found.add("month_bandwidth_bytes", summary.bandwidth.used)


def _month(found: _Samples, look: Look) -> None:
    """Cents of the estimate as USD; nothing while the node has no prices, when it says 0."""
    level, estimate = this_month(look), look.estimate
    if estimate is None or level.gross is None or level.net is None:
        return
    month = estimate.current_month
    parts = {
        "storage": month.disk_space_payout,
        "egress": month.egress_bandwidth_payout,
        "repair_audit": month.egress_repair_audit_payout,
    }
    for kind, cents in parts.items():
        found.add("month_earned_usd", None if cents is None else cents / 100, kind=kind)
    found.add("month_payout_usd", level.net)
    found.add("month_held_usd", level.gross - level.net)
    expected = estimate.current_month_expectations
    found.add("month_expected_usd", None if expected is None else expected / 100)


def _satellite(found: _Samples, satellite: Satellite, now: float) -> None:
    name, listed, detail = satellite.name, satellite.listed, satellite.detail
    found.add("satellite_info", 1.0, satellite=name, satellite_id=listed.id[:60], address=address_of(listed))
    found.add("satellite_read", float(detail is not None), satellite=name)
    found.add("disqualified", float(listed.disqualified), satellite=name)
    found.add("suspended", float(listed.suspended), satellite=name)
    found.add("vetted", listed.vetted, satellite=name)
    if satellite.pays:
        found.add("held_ratio", held_share(satellite, now), satellite=name)
    if detail is None:
        return
    found.add("joined_timestamp_seconds", detail.node_joined_at, satellite=name)
    if detail.audits.known:
        found.add("audit_score", detail.audits.audit_score, satellite=name)
        found.add("suspension_score", detail.audits.suspension_score, satellite=name)
        found.add("online_score", detail.audits.online_score, satellite=name)


def _used(found: _Samples, name: str, detail: Detail) -> None:
    found.add("month_stored_byte_seconds", _seconds(detail.storage_summary), satellite=name)
    if detail.storage_daily:
        newest = max(detail.storage_daily, key=lambda day: day.interval_start or 0.0)
        found.add("day_stored_byte_seconds", _seconds(newest.at_rest_total), satellite=name)
    _traffic(found, name, "egress", [day.egress for day in detail.bandwidth_daily], ("usage", "repair", "audit"))
    _traffic(found, name, "ingress", [day.ingress for day in detail.bandwidth_daily], ("usage", "repair"))


def _seconds(byte_hours: float | None) -> float | None:
    """Byte-hours, which the node counts in, as byte-seconds: metrics keep to base units."""
    return None if byte_hours is None else byte_hours * 3600.0


def _traffic(found: _Samples, name: str, direction: str, days: list[Bytes], kinds: tuple[str, ...]) -> None:
    """An empty month has 0 bytes: the node answers, and nothing moved."""
    for kind in kinds:
        moved = total([0.0, *(getattr(day, kind) for day in days)])
        found.add("month_traffic_bytes", moved, satellite=name, direction=direction, kind=kind)


def _prices(found: _Samples, name: str, detail: Detail) -> None:
    prices = detail.price_model
    if prices.disk_space is not None:
        found.add("storage_price_usd_per_byte_hour", prices.disk_space / 100 / 720 / 1e12, satellite=name)
    for kind, cents in {
        "usage": prices.egress_bandwidth,
        "repair": prices.repair_bandwidth,
        "audit": prices.audit_bandwidth,
    }.items():
        if cents is not None:
            found.add("egress_price_usd_per_byte", cents / 100 / 1e12, satellite=name, kind=kind)
