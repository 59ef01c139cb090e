"""Storj under the names of anclrii/Storj-Exporter, for dashboards that exist (Grafana 13810 and its relatives). Pure.

In: Readings, with what protocols/storj.py put into `extra`. Out: one Prometheus text page. Only here are units mixed under
one `type` label (bytes beside cents). What those dashboards rely on is kept, also where the node has changed since:

- `storj_total_diskspace{type="available"}` is the allocation and `used` leaves the trash out, as before v1.143.2;
- money is US cents, `diskSpace` byte-months, `heldRate` always 0, as the node's sum over satellites says them;
- `wallet` is not served: it is personal, and no panel needs it.

One node per page has exactly the old labels; with several each sample also carries `node` and `workload`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from exporters.reading import Reading

_MONTH_HOURS: Final = 720.0
_CENTS: Final = 100.0
_BANDWIDTH_AVAILABLE: Final = 0.0
"""The node answers 0 since allocations of bandwidth are gone."""

Rows = list[tuple[dict[str, str], float]]
"""(labels, value)"""


def storj_exporter(readings: Iterable[Reading]) -> str:
    """The page, as text: nodes that did not answer are left out, and so is what is unknown."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page([reading for reading in readings if reading.up and reading.protocol == "storj"]))
    return generate_latest(registry).decode()


class _Page(Collector):
    def __init__(self, readings: list[Reading]) -> None:
        self._readings = readings
        self._several = len(readings) > 1

    def collect(self) -> Iterator[Metric]:
        yield self._info()
        for name, (help_, rows_of) in _GAUGES.items():
            rows = [
                (self._labels(reading) | labels, value)
                for reading in self._readings
                for labels, value in rows_of(reading)
            ]
            family = GaugeMetricFamily(name, help_, labels=tuple(rows[0][0]) if rows else ())
            for labels, value in rows:
                family.add_metric(tuple(labels.values()), value)
            yield family

    def _info(self) -> Metric:
        family = InfoMetricFamily("storj_node", "Storj node info", labels=("type", *self._place))
        for reading in self._readings:
            for name, value in _facts(reading).items():
                family.add_metric((name, *self._labels(reading).values()), {name: value})
        return family

    @property
    def _place(self) -> tuple[str, ...]:
        return ("node", "workload") if self._several else ()

    def _labels(self, reading: Reading) -> dict[str, str]:
        return {"node": reading.node, "workload": reading.workload} if self._several else {}


class _Extra:
    """Looks up samples of a Reading's own families by labels."""

    def __init__(self, reading: Reading) -> None:
        self._extra = reading.extra

    def one(self, family: str, **labels: str) -> float | None:
        """The sample with these labels; None where there is none."""
        return next((value for _, value in self.all(family, **labels)), None)

    def all(self, family: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        for have, value in self._extra.get(f"orcha_storj_{family}", ()):
            if labels.items() <= have.items():
                yield have, value

    def sum(self, family: str, **labels: str) -> float | None:
        """Over the samples with these labels; None where there is none."""
        values = [value for _, value in self.all(family, **labels)]
        return sum(values) if values else None


def _facts(reading: Reading) -> dict[str, str]:
    labels: Mapping[str, str] = next((have for have, _ in _Extra(reading).all("node_info")), {})
    current = _Extra(reading).one("up_to_date")
    facts = {
        "nodeID": reading.node_id,
        "version": reading.version,
        "allowedVersion": labels.get("allowed_version"),
        "quicStatus": labels.get("quic_status"),
        "upToDate": None if current is None else str(bool(current)),
    }
    return {name: value for name, value in facts.items() if value}


def _typed(values: Mapping[str, float | None], **labels: str) -> Rows:
    return [({"type": name, **labels}, value) for name, value in values.items() if value is not None]


def _disk(reading: Reading) -> Rows:
    extra, occupied = _Extra(reading), reading.used.get("storage")
    trash = extra.one("disk_bytes", kind="trash")
    used = None if occupied is None else occupied - (trash or 0.0)
    return _typed({"used": used, "available": reading.allocated.get("storage"), "trash": trash})


def _bandwidth(reading: Reading) -> Rows:
    used = _Extra(reading).one("month_bandwidth_bytes")
    return _typed({"used": used, "available": None if used is None else _BANDWIDTH_AVAILABLE})


def _payout(reading: Reading) -> Rows:
    extra = _Extra(reading)
    repair = [extra.sum("month_traffic_bytes", direction="egress", kind=kind) for kind in ("repair", "audit")]
    stored, net = _hours(extra.sum("month_stored_byte_seconds")), extra.one("month_payout_usd")

    def cents(family: str, **labels: str) -> float | None:
        usd = extra.one(family, **labels)
        return None if usd is None else usd * _CENTS

    return _typed(
        {
            "egressBandwidth": extra.sum("month_traffic_bytes", direction="egress", kind="usage"),
            "egressBandwidthPayout": cents("month_earned_usd", kind="egress"),
            "egressRepairAudit": None if repair[0] is None or repair[1] is None else repair[0] + repair[1],
            "egressRepairAuditPayout": cents("month_earned_usd", kind="repair_audit"),
            "diskSpace": None if stored is None else stored / _MONTH_HOURS,
            "diskSpacePayout": cents("month_earned_usd", kind="storage"),
            "heldRate": None if net is None else 0.0,
            "payout": cents("month_payout_usd"),
            "held": cents("month_held_usd"),
            "currentMonthExpectations": cents("month_expected_usd"),
        }
    )


def _each_satellite(figures: Callable[[_Extra, str], Mapping[str, float | None]]) -> Callable[[Reading], Rows]:
    """Rows of all satellites: `figures` gives those of one, by type."""

    def rows(reading: Reading) -> Rows:
        extra, found = _Extra(reading), []
        for facts, _ in extra.all("satellite_info"):
            values = figures(extra, facts["satellite"])
            found += _typed(values, satellite=facts["satellite_id"], url=facts["address"])
        return found

    return rows


def _summary(extra: _Extra, name: str) -> dict[str, float | None]:
    egress = extra.sum("month_traffic_bytes", satellite=name, direction="egress")
    ingress = extra.sum("month_traffic_bytes", satellite=name, direction="ingress")
    return {
        "storageSummary": _hours(extra.one("month_stored_byte_seconds", satellite=name)),
        "bandwidthSummary": None if egress is None or ingress is None else egress + ingress,
        "egressSummary": egress,
        "ingressSummary": ingress,
        "currentStorageUsed": extra.one("stored_bytes", satellite=name),
        "disqualified": extra.one("disqualified", satellite=name),
        "suspended": extra.one("suspended", satellite=name),
    }


def _audit(extra: _Extra, name: str) -> dict[str, float | None]:
    scores = {"auditScore": "audit_score", "suspensionScore": "suspension_score", "onlineScore": "online_score"}
    return {old: extra.one(new, satellite=name) for old, new in scores.items()}


def _egress(extra: _Extra, name: str) -> dict[str, float | None]:
    return _traffic(extra, name, "egress", ("repair", "audit", "usage"))


def _ingress(extra: _Extra, name: str) -> dict[str, float | None]:
    return _traffic(extra, name, "ingress", ("repair", "usage"))


def _traffic(extra: _Extra, name: str, direction: str, kinds: Iterable[str]) -> dict[str, float | None]:
    return {kind: extra.one("month_traffic_bytes", satellite=name, direction=direction, kind=kind) for kind in kinds}


def _day(extra: _Extra, name: str) -> dict[str, float | None]:
    return {"atRestTotal": _hours(extra.one("day_stored_byte_seconds", satellite=name))}


_GAUGES: Final[Mapping[str, tuple[str, Callable[[Reading], Rows]]]] = {
    "storj_total_diskspace": ("Storj total diskspace metrics", _disk),
    "storj_total_bandwidth": ("Storj total bandwidth metrics", _bandwidth),
    "storj_payout_currentMonth": ("Storj estimated payouts for current month", _payout),
    "storj_sat_summary": ("Storj satellite summary metrics", _each_satellite(_summary)),
    "storj_sat_audit": ("Storj satellite audit metrics", _each_satellite(_audit)),
    "storj_sat_month_egress": ("Storj satellite egress since current month start", _each_satellite(_egress)),
    "storj_sat_month_ingress": ("Storj satellite ingress since current month start", _each_satellite(_ingress)),
    "storj_sat_day_storage": ("Storj satellite data stored on disk since current day start", _each_satellite(_day)),
}


def _hours(byte_seconds: float | None) -> float | None:
    """Byte-hours, as the old exporter had them."""
    return None if byte_seconds is None else byte_seconds / 3600.0
