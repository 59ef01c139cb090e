"""Events on the objects that orcha touches, for `kubectl describe` (events.k8s.io/v1). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from controller.actuate.kubernetes.fields import Object
from controller.programs import Order
from exporters.quantity import format_quantity

CONTROLLER: Final = "orcha.dev/orcha"
_LONGEST: Final = 1024
"""Of a note, by the API server's own rule."""


class Happened(StrEnum):
    CHANGED = "AllocationChanged"
    RESTORED = "AllocationRestored"
    REFUSED = "AllocationRefused"


def event(
    thing: Object, happened: Happened, order: Order, at: datetime, instance: str, why: str = ""
) -> dict[str, Any]:
    """One Event. Its name follows from the effect and what came of it, so that an effect issued twice is told once."""
    mark = hashlib.sha256(f"{order.token} {happened} {thing['metadata'].get('uid')} {why}".encode()).hexdigest()[:16]
    found = thing["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{found['name'][:230]}.{mark}", "namespace": found["namespace"]},
        "type": "Warning" if happened is Happened.REFUSED else "Normal",
        "reason": happened.value,
        "action": "Reallocate",
        "note": note(order, why),
        "eventTime": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128] or "orcha",
        "regarding": {
            "apiVersion": thing["apiVersion"],
            "kind": thing["kind"],
            "name": found["name"],
            "namespace": found["namespace"],
            "uid": found.get("uid", ""),
        },
    }


def note(order: Order, why: str = "") -> str:
    """'rack-1/golem: cpu 2 → 3. The sentence of the program'."""
    parts = [_change(name, order.previous, amount) for name, amount in sorted(order.amounts.items())]
    text = f"{order.key}: {', '.join(parts)}"
    for more in (why, order.sentence):
        text += f". {more}" if more else ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _change(name: str, previous: Mapping[str, float], amount: float) -> str:
    binary = name in {"memory", "storage"}
    now = format_quantity(amount, binary=binary)
    before = previous.get(name)
    return f"{name} {now}" if before is None else f"{name} {format_quantity(before, binary=binary)} → {now}"
