"""A storagenode's console API over a simulated disk (reference: storj-golem 1.1 to 1.4).

Traps served: a catch-all web page with 200; 301 from /api/sno; `null` for empty lists; year 1 for never; times with nine
digits; a socket that accepts and stays silent while the node starts; 500 with the real error body; `diskSpace` in the
old and the new meaning by version; cents in estimates beside micro-dollars in pay stubs; held rate 0 in the aggregate;
storage tallies every 12 hours, bandwidth flushed every hour; Go's overflowing "previous month"; prices that are zero
until they were fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from exporters.simulator.demand import DAY, pick
from exporters.simulator.disk import TALLY, Day, Disk
from exporters.simulator.provider import hex_id
from exporters.simulator.response import YEAR_ONE, Request, Response, as_json, as_page, go_time
from exporters.simulator.storj_months import days_of, hours_of, month_of
from exporters.simulator.storj_payouts import DISK_CENTS, EGRESS_CENTS, SATELLITES, Payouts, Satellite, error

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Storagenode:
    """The console's site on 14002."""

    def __init__(self, disk: Disk, *, version: str = "1.162.3", satellites: tuple[Satellite, ...] = SATELLITES) -> None:
        self.disk = disk
        self.version = version
        self.satellites = satellites
        self.node_id = "1" + "".join(_BASE58[int(pick(disk.seed, 51, k) * 58)] for k in range(49))
        self.wallet = "0x" + hex_id("wallet", disk.seed, length=40)
        self.payouts = Payouts(disk, satellites)
        self.locked = False
        """The database is locked: 500 with the console's own words."""

    def listening(self, now: float) -> bool:
        return self.disk.listens(now)

    def answer(self, request: Request, now: float) -> Response:
        if not self.disk.serves(now):
            return Response(hang=True)
        if request.method != "GET" or not request.path.startswith("/api/"):
            return as_page("Node Operator Dashboard")
        if request.path == "/api/sno":
            page = b'<a href="/api/sno/">Moved Permanently</a>.\n\n'
            return Response(301, page, {"Content-Type": "text/html; charset=utf-8", "Location": "/api/sno/"})
        if self.locked:
            return error("consoleapi storagenode: console: database is locked", 500)
        return self._route(request, now) or as_page("Node Operator Dashboard")

    def _route(self, request: Request, now: float) -> Response | None:
        """None for a path that the API does not have."""
        place = request.path.removeprefix("/api/").rstrip("/").split("/")
        match place:
            case ["sno"]:
                return as_json(self.summary(now))
            case ["sno", "estimated-payout"]:
                return self._estimate(request.query.get("id"), now)
            case ["sno", *rest]:
                return self._of_satellites(rest, now)
            case ["heldamount", kind, *periods]:
                return self._heldamount(kind, periods, request.query.get("id"), now)
            case ["notifications", "list"]:
                return self._notifications(request)
        return None

    def _of_satellites(self, place: list[str], now: float) -> Response | None:
        match place:
            case ["satellites"]:
                return as_json(self.all_satellites(now))
            case ["satellite", name]:
                return self._one(name, lambda satellite: self.one_satellite(satellite, now))
            case ["satellites", name, "pricing"]:
                return self._one(name, lambda satellite: self._pricing(satellite, now))
        return None

    def _estimate(self, asked: str | None, now: float) -> Response:
        if asked is None:
            return as_json(self.payouts.estimate(self.satellites, now))
        return self._one(asked, lambda satellite: self.payouts.estimate([satellite], now))

    def _heldamount(self, kind: str, periods: list[str], asked: str | None, now: float) -> Response | None:
        match kind, periods:
            case "paystubs", _:
                return self.payouts.paystubs(periods, asked, now)
            case "payout-history", [period]:
                return self.payouts.history(period, now)
            case "held-history", []:
                return as_json(self.payouts.held())
            case "periods", []:
                return as_json(self.payouts.closed_periods(now) or None)
        return None

    def _one(self, name: str, page: Callable[[Satellite], dict[str, Any]]) -> Response:
        found = next((satellite for satellite in self.satellites if satellite.id == name), None)
        if found is not None:
            return as_json(page(found))
        if not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{45,60}", name):
            return error("consoleapi storagenode: node ID: invalid node ID", 400)
        return error("consoleapi storagenode: console: satellite not found", 404)

    # The node

    def summary(self, now: float) -> dict[str, Any]:
        """/api/sno/"""
        month = days_of(self.disk, month_of(now), now)
        moved = sum(day.egress + day.repair + day.audit + day.ingress + day.ingress_repair for _, day in month)
        pinged = now - 60.0 * (1.0 + 50.0 * pick(self.disk.seed, 52, int(now // 3600)))
        return {
            "nodeID": self.node_id,
            "wallet": self.wallet,
            "walletFeatures": None,
            "satellites": [self._listed(satellite) for satellite in self.satellites] or None,
            "diskSpace": self._disk_space(),
            "bandwidth": {"used": int(moved), "available": 0},
            "lastPinged": go_time(max(pinged, self.disk.phase.serves_from)),
            "version": self.version,
            "allowedVersion": "1.142.7",
            "upToDate": True,
            "startedAt": go_time(self.disk.phase.started_at),
            "configuredPort": "28967",
            "quicStatus": "OK",
            "lastQuicPingedAt": go_time(max(now - 1800.0, self.disk.phase.started_at)),
        }

    def _listed(self, satellite: Satellite) -> dict[str, Any]:
        row = {"id": satellite.id, "url": satellite.url, "disqualified": None, "suspended": None}
        if self._newer_than(131):
            return row | {"vettedAt": self._vetted_at(satellite)}
        return row | {"currentStorageUsed": int(self.disk.stored * satellite.share)}

    def _disk_space(self) -> dict[str, int]:
        disk = self.disk
        if not self._newer_than(143):
            return {"used": int(disk.stored), "available": int(disk.allocated), "trash": int(disk.trash), "overused": 0}
        return {
            "used": int(disk.used),
            "available": int(disk.room),
            "overused": int(max(0.0, disk.used - disk.allocated)),
            "allocated": int(disk.allocated),
            "trash": int(disk.trash),
            "reclaimable": int(disk.reclaimable) if self._newer_than(147) else 0,
        }

    def _newer_than(self, minor: int) -> bool:
        return int(self.version.split(".")[1]) >= minor

    # Satellites

    def all_satellites(self, now: float) -> dict[str, Any]:
        """/api/sno/satellites"""
        audits = [self._audit(satellite, now) for satellite in self.satellites]
        joined = min((self.payouts.joined_at(satellite) for satellite in self.satellites), default=None)
        return self._usage(1.0, now) | {
            "earliestJoinedAt": go_time(joined) if joined else YEAR_ONE,
            "audits": audits or None,
        }

    def one_satellite(self, satellite: Satellite, now: float) -> dict[str, Any]:
        """/api/sno/satellite/{id}"""
        windows = [
            {"windowStart": go_time((now // TALLY - k) * TALLY, 0), "totalCount": 41, "onlineCount": 41} for k in (2, 1)
        ]
        online = self._online(now)
        row = {"id": satellite.id} | self._usage(satellite.share, now, hours=True)
        return row | {
            "audits": self._audit(satellite, now),
            "auditHistory": {"score": online, "windows": windows},
            "priceModel": {
                "EgressBandwidth": self.payouts.price(EGRESS_CENTS, now),
                "RepairBandwidth": self.payouts.price(EGRESS_CENTS, now),
                "AuditBandwidth": self.payouts.price(EGRESS_CENTS, now),
                "DiskSpace": self.payouts.price(DISK_CENTS, now),
            },
            "nodeJoinedAt": go_time(self.payouts.joined_at(satellite)),
            "vettedAt": self._vetted_at(satellite),
        }

    def _usage(self, share: float, now: float, *, hours: bool = False) -> dict[str, Any]:
        days = days_of(self.disk, month_of(now), now)
        tallied = [(number, day) for number, day in days if day.byte_hours > 0]
        storage = [self._stored_on(number, day, share, now, hours=hours) for number, day in tallied]
        moved = [_moved_on(number, day, share) for number, day in days]
        egress = sum(day.egress + day.repair + day.audit for _, day in days) * share
        ingress = sum(day.ingress + day.ingress_repair for _, day in days) * share
        byte_hours = sum(day.byte_hours for _, day in tallied) * share
        span = sum(hours_of(number, now) for number, _ in tallied)
        return {
            "storageDaily": storage or None,
            "bandwidthDaily": moved or None,
            "storageSummary": byte_hours,
            "averageUsageBytes": byte_hours / span if span else 0.0,
            "bandwidthSummary": int(egress + ingress),
            "egressSummary": int(egress),
            "ingressSummary": int(ingress),
        }

    def _stored_on(self, number: int, day: Day, share: float, now: float, *, hours: bool) -> dict[str, Any]:
        counted = hours_of(number, now)
        row: dict[str, Any] = {
            "atRestTotal": day.byte_hours * share,
            "atRestTotalBytes": day.byte_hours * share / counted,
            "intervalStart": go_time(number * DAY, 0),
        }
        if hours:
            row["intervalInHours"] = counted
        if self._newer_than(162):
            row["calculated"] = pick(self.disk.seed, 53, number) < 0.1
        return row

    def _audit(self, satellite: Satellite, now: float) -> dict[str, Any]:
        scores = {"auditScore": 1, "suspensionScore": 1, "onlineScore": self._online(now)}
        return scores | {"satelliteName": satellite.url}

    def _online(self, now: float) -> float:
        """Lags by up to 12 hours, as its windows do."""
        return round(1.0 - 0.004 * pick(self.disk.seed, 54, int(now // TALLY)), 7)

    def _pricing(self, satellite: Satellite, now: float) -> dict[str, Any]:
        egress = self.payouts.price(EGRESS_CENTS, now)
        return {
            "satelliteID": satellite.id,
            "egressBandwidth": egress,
            "repairBandwidth": egress,
            "auditBandwidth": egress,
            "diskSpace": self.payouts.price(DISK_CENTS, now),
        }

    def _notifications(self, request: Request) -> Response:
        if not request.query.get("limit", "").isdecimal() or not request.query.get("page", "").isdecimal():
            return error("consoleapi notifications: strconv.ParseUint: invalid syntax", 400)
        page = {
            "notifications": None,
            "offset": 0,
            "limit": int(request.query["limit"]),
            "currentPage": 1,
            "pageCount": 0,
        }
        return as_json({"page": page, "unreadCount": 0, "totalCount": 0})

    def _vetted_at(self, satellite: Satellite) -> str | None:
        return go_time(self.payouts.joined_at(satellite) + 41.3 * DAY) if satellite.vetted else None


def _moved_on(number: int, day: Day, share: float) -> dict[str, Any]:
    return {
        "egress": {
            "repair": int(day.repair * share),
            "audit": int(day.audit * share),
            "usage": int(day.egress * share),
        },
        "ingress": {"repair": int(day.ingress_repair * share), "usage": int(day.ingress * share)},
        "delete": 0,
        "intervalStart": go_time(number * DAY, 0),
    }
