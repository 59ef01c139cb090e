"""The nodes of fixtures/storj: their pages, and one look at each as `fetch` gives it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporters import collector
from exporters.collector import Payloads, Workload
from exporters.nodes import WorkloadSpec
from exporters.protocols import storj
from exporters.protocols.storj.look import Failed
from exporters.reading import Reading

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "storj"
US1 = "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S"
EU1 = "12L9ZFwhzVpuEKMUNUqkaTLGzwY9G24tbiigLiXpmZWKwmcNDDs"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NEVER = "0001-01-01T00:00:00Z"

# us1: 3.626 TB x 149 c; egress of the 20th and 21st 7.21 GB, repair and audit 1.604410592 GB, in 24 + 9.2340278 h
HOURS = 24 + (9 * 3600 + 14 * 60 + 2) / 3600
US1_GROSS = 3.626 * 1.49 / 720 + (0.00721 + 0.001604410592) * 2 / HOURS
EU1_GROSS = 1.5 * 1.49 / 720 + (0.0013 + 0.00014012) * 2 / HOURS

NOW = at("2026-08-21T09:14:02")
THEN = at("2023-02-09T11:30:00")


def recorded(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def one_look() -> dict[str, Any]:
    """At the node of fixtures/storj/current."""
    return {
        "node": recorded("current/sno"),
        "usage": recorded("current/satellites"),
        "estimate": recorded("current/payout"),
        "stubs": recorded("current/paystubs"),
        "details": {US1: recorded("current/satellite-us1"), EU1: recorded("current/satellite-eu1")},
        "estimates": {US1: recorded("current/payout-us1"), EU1: recorded("current/payout-eu1")},
    }


def old_look() -> dict[str, Any]:
    """At the node of fixtures/storj/old, of which no estimates are kept."""
    return {
        "node": recorded("old/sno"),
        "usage": Failed("unreachable", "not asked"),
        "estimate": Failed("unreachable", "not asked"),
        "stubs": None,
        "details": {US1: recorded("old/satellite-us1"), EU1: recorded("old/satellite-eu1")},
        "estimates": {US1: Failed("unreachable", "not asked"), EU1: Failed("unreachable", "not asked")},
    }


def pages(node: dict[str, Any] | None = None) -> dict[str, Any]:
    """The paths of a real node, with the answers of fixtures/storj/current."""
    return {
        "/api/sno/": node or recorded("current/sno"),
        "/api/sno/satellites": recorded("current/satellites"),
        f"/api/sno/satellite/{US1}": recorded("current/satellite-us1"),
        f"/api/sno/satellite/{EU1}": recorded("current/satellite-eu1"),
        f"/api/sno/estimated-payout?id={US1}": recorded("current/payout-us1"),
        f"/api/sno/estimated-payout?id={EU1}": recorded("current/payout-eu1"),
        "/api/sno/estimated-payout": recorded("current/payout"),
        "/api/heldamount/periods": recorded("current/periods"),
        "/api/heldamount/paystubs/2026-06/2026-07": recorded("current/paystubs"),
    }


def workload(endpoint: str = "http://127.0.0.1:14002", **spec) -> Workload:
    return Workload("rack-1", "storj", WorkloadSpec(protocol="storj", endpoint=endpoint, **spec), storj.TRAITS)


def read(bodies, now: float = NOW) -> Reading:
    return collector.possible(storj.parse(Payloads(bodies, now), workload(), now))


def sample(reading, family: str, **labels: str) -> float | None:
    rows = reading.extra.get(f"orcha_storj_{family}", ())
    found = [value for have, value in rows if labels.items() <= have.items()]
    assert len(found) <= 1, f"{family} {labels} is not unique"
    return found[0] if found else None
