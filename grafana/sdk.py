"""The models of grafana-foundation-sdk that are used here, and a dashboard as plain JSON and back.

The classic dashboard model is meant: every Grafana from 10 on loads it. Importing it warns that the schema of Grafana 13
is preferred, which is why it is imported here and nowhere else.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models import (
        bargauge,
        common,
        dashboard,
        gauge,
        nodegraph,
        prometheus,
        stat,
        table,
        text,
        timeseries,
    )

__all__ = [
    "bargauge",
    "common",
    "dashboard",
    "decode",
    "encode",
    "gauge",
    "nodegraph",
    "prometheus",
    "stat",
    "table",
    "text",
    "timeseries",
]


def encode(model: dashboard.Dashboard) -> dict[str, Any]:
    """As plain JSON values. Links and annotations lose the place that the SDK gives them all, a menu of Grafana 13:
    they belong where a reader sees them.
    """
    plain: dict[str, Any] = json.loads(json.dumps(model, cls=JSONEncoder))
    for placed in (*plain.get("links", ()), *plain["annotations"].get("list", ())):
        del placed["placement"]
    return plain


def decode(plain: dict[str, Any]) -> dashboard.Dashboard:
    """The model again. Keys that Grafana does not know are lost on the way, which shows when it is encoded again."""
    register_default_plugins()
    return dashboard.Dashboard.from_json(plain)


def render(plain: dict[str, Any]) -> str:
    """The text of the committed file: sorted and indented, so that a change is a few lines of a diff."""
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
