"""What a storagenode's console says of money: estimates in US cents, pay stubs in micro-dollars, held amounts.

(reference: storj-golem 1.1; storj/storj storagenode/payouts, storagenode/payouts/estimatedpayouts)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from exporters.simulator.demand import DAY
from exporters.simulator.disk import DISK_USD_PER_BYTE_HOUR, EGRESS_USD_PER_BYTE, TB, Day, Disk
from exporters.simulator.response import Response, as_json, go_time
from exporters.simulator.storj_months import Month, days_of, following, go_previous, month_of, read_month, starts

DISK_CENTS: Final = 149
"""Per TB-month, as the API truncates 149.76."""
EGRESS_CENTS: Final = 200
_PRICES_AFTER: Final = 60.0
"""Seconds after a start until the prices were fetched from the satellites."""
_MONTH_HOURS: Final = 720.0
_STUBS_AFTER: Final = 8 * DAY
"""Last month's stub comes on the 9th of this one."""
_PAID_OUT_FROM: Final = 4_000_000
"""Micro-dollars under which the transfer's fee eats the payout: it is carried over."""
_PERIOD: Final = (
    "egressBandwidth", "egressBandwidthPayout", "egressRepairAudit", "egressRepairAuditPayout",
    "diskSpace", "diskSpacePayout", "heldRate", "payout", "held",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Satellite:
    id: str
    url: str
    share: float
    """Of this node's data."""
    months: int
    """Since the node joined it: the clock of the held amount."""
    vetted: bool = True

    @property
    def held_percent(self) -> float:
        """75, 50, 25 % in months 1-3, 4-6, 7-9 since joining, then nothing."""
        return {0: 75.0, 1: 50.0, 2: 25.0}.get(self.months // 3, 0.0)


SATELLITES: Final = (
    Satellite("12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S", "us1.storj.io:7777", 0.64, 13),
    Satellite("12L9ZFwhzVpuEKMUNUqkaTLGzwY9G24tbiigLiXpmZWKwmcNDDs", "eu1.storj.io:7777", 0.28, 11),
    Satellite("121RTSDpyNZVcEU84Ticf2L1ntiuUimbWgfATz21tuvgk3vzoA6", "ap1.storj.io:7777", 0.08, 4, vetted=False),
)


class Payouts:
    def __init__(self, disk: Disk, satellites: tuple[Satellite, ...]) -> None:
        self._disk = disk
        self._satellites = satellites

    def price(self, cents: int, now: float) -> int:
        """Zero until it was fetched once after the start: unknown, not free."""
        return cents if now >= self._disk.phase.serves_from + _PRICES_AFTER else 0

    def joined_at(self, satellite: Satellite) -> float:
        return self._disk.origin - satellite.months * 30.44 * DAY

    def estimate(self, satellites: Iterable[Satellite], now: float) -> dict[str, Any]:
        """/api/sno/estimated-payout: US cents; net of held; the aggregate forgets the held rate."""
        asked = tuple(satellites)
        month = month_of(now)
        current = self._period(asked, month, now)
        elapsed = max(1.0, now - starts(month))
        expected = int(current["payout"] / elapsed * (starts(following(month)) - starts(month)))
        previous = self._period(asked, go_previous(now), now)
        return {"currentMonth": current, "previousMonth": previous, "currentMonthExpectations": expected}

    def _period(self, satellites: tuple[Satellite, ...], month: Month, now: float) -> dict[str, Any]:
        rows = days_of(self._disk, month, now)
        egress = sum(day.egress for _, day in rows)
        repair = sum(day.repair + day.audit for _, day in rows)
        byte_months = sum(day.byte_hours for _, day in rows) / _MONTH_HOURS
        disk_cents, egress_cents = self.price(DISK_CENTS, now) * 149.76 / 149, self.price(EGRESS_CENTS, now)
        total: dict[str, Any] = dict.fromkeys(_PERIOD, 0)
        for satellite in satellites:
            share = satellite.share
            paid = {
                "egressBandwidth": int(egress * share),
                "egressBandwidthPayout": egress * share / TB * egress_cents,
                "egressRepairAudit": int(repair * share),
                "egressRepairAuditPayout": repair * share / TB * egress_cents,
                "diskSpace": byte_months * share,
                "diskSpacePayout": byte_months * share / TB * disk_cents,
            }
            gross = paid["egressBandwidthPayout"] + paid["egressRepairAuditPayout"] + paid["diskSpacePayout"]
            held = gross * satellite.held_percent / 100
            for name, value in (paid | {"payout": gross - held, "held": held}).items():
                total[name] += value
        total["heldRate"] = satellites[0].held_percent if len(satellites) == 1 else 0
        return total

    def paystubs(self, periods: list[str], asked: str | None, now: float) -> Response:
        if not 1 <= len(periods) <= 2 or not all(re.fullmatch(r"\d{4}-\d\d", period) for period in periods):
            return error("consoleapi payouts: wrong period format: period has wrong format", 400)
        closed = [period for period in self.closed_periods(now) if periods[0] <= period <= periods[-1]]
        wanted = [satellite for satellite in self._satellites if asked in {None, satellite.id}]
        return as_json([self._stub(satellite, period, now) for period in closed for satellite in wanted] or None)

    def _stub(self, satellite: Satellite, period: str, now: float) -> dict[str, Any]:
        """Micro-dollars."""
        month = read_month(period)
        day = _total(day for _, day in days_of(self._disk, month, now))
        share = satellite.share
        paid = {
            "compAtRest": int(day.byte_hours * share * DISK_USD_PER_BYTE_HOUR * 1e6),
            "compGet": int(day.egress * share * EGRESS_USD_PER_BYTE * 1e6),
            "compPut": 0,
            "compGetRepair": int(day.repair * share * EGRESS_USD_PER_BYTE * 1e6),
            "compPutRepair": 0,
            "compGetAudit": int(day.audit * share * EGRESS_USD_PER_BYTE * 1e6),
        }
        gross = sum(paid.values())
        held = int(gross * satellite.held_percent / 100)
        return {
            "satelliteId": satellite.id,
            "period": period,
            "created": go_time(starts(following(month)) + _STUBS_AFTER),
            "codes": "",
            "usageAtRest": day.byte_hours * share / _MONTH_HOURS,
            "usageGet": int(day.egress * share),
            "usagePut": int(day.ingress * share),
            "usageGetRepair": int(day.repair * share),
            "usagePutRepair": int(day.ingress_repair * share),
            "usageGetAudit": int(day.audit * share),
            **paid,
            "surgePercent": 100,
            "held": held,
            "owed": gross - held,
            "disposed": 0,
            "paid": gross - held,
            "distributed": 0 if gross - held < _PAID_OUT_FROM else gross - held,
        }

    def history(self, period: str, now: float) -> Response:
        if not re.fullmatch(r"\d{4}-\d\d", period):
            return error("consoleapi payouts: wrong period format: period has wrong format", 400)
        if period not in self.closed_periods(now):
            return as_json(None)
        rows = []
        for satellite in self._satellites:
            stub = self._stub(satellite, period, now)
            rows.append(
                {
                    "satelliteID": satellite.id, "satelliteURL": satellite.url, "age": satellite.months,
                    "earned": stub["held"] + stub["paid"], "surge": stub["held"] + stub["paid"], "surgePercent": 100,
                    "held": stub["held"], "heldPercent": satellite.held_percent, "afterHeld": stub["paid"], "disposed": 0,
                    "paid": stub["paid"], "receipt": "", "isExitComplete": False, "distributed": stub["distributed"],
                }
            )  # fmt: skip
        return as_json(rows)

    def held(self) -> list[dict[str, Any]] | None:
        rows = []
        for satellite in self._satellites:
            month = self._disk.stored * satellite.share * DISK_USD_PER_BYTE_HOUR * _MONTH_HOURS * 1e6
            held = [
                int(0.4 * month * part * 3) if satellite.months >= 3 * k else 0
                for k, part in enumerate((0.75, 0.5, 0.25))
            ]
            rows.append(
                {
                    "satelliteID": satellite.id, "satelliteName": satellite.url, "holdForFirstPeriod": held[0],
                    "holdForSecondPeriod": held[1], "holdForThirdPeriod": held[2], "totalHeld": sum(held), "totalDisposed": 0,
                    "joinedAt": go_time(self.joined_at(satellite)),
                }
            )  # fmt: skip
        return rows or None

    def closed_periods(self, now: float) -> list[str]:
        """Months with stubs: last month's comes on the 9th of this one."""
        year, month = month_of(now)
        last = starts((year, month)) + _STUBS_AFTER
        previous = month_of(starts((year, month)) - 1.0)
        return [f"{previous[0]:04d}-{previous[1]:02d}"] if now >= last else []


def error(words: str, status: int) -> Response:
    """As the console words it."""
    return as_json({"error": words}, status)


def _total(days: Iterable[Day]) -> Day:
    total = Day()
    for day in days:
        total.byte_hours += day.byte_hours
        total.egress += day.egress
        total.repair += day.repair
        total.audit += day.audit
        total.ingress += day.ingress
        total.ingress_repair += day.ingress_repair
    return total
