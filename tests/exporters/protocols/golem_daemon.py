"""A yagna daemon on loopback that answers what was recorded (tests/fixtures/golem), and what a test changes about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "golem"
KEY = "the-key-of-this-test"
NOW = datetime(2026, 11, 20, 8, 26, 30, tzinfo=UTC)
"""When the recorded answers were a minute old."""


def body(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())["body"]


def text(name: str) -> str:
    """The body of a `curl -i` recording."""
    return (FIXTURES / f"{name}.txt").read_text().split("\n\n", 1)[1].strip()


ME = body("offers")[0]["providerId"]
AGREEMENT = body("agreement")["agreementId"]
ACTIVITY = body("activity_list")[0]


@dataclass
class Broken:
    """What one path answers instead: `hang` never does."""

    status: int = 200
    said: str = ""
    kind: str = "text/plain"
    hang: bool = False


@dataclass
class FakeDaemon:
    """As recorded: one agreement with one activity that runs, billed by one debit note; no invoice yet."""

    now: datetime = NOW
    tells_time: bool = True
    me: str = ME
    offers: list[Any] = field(default_factory=partial(body, "offers"))
    agreements: list[Any] = field(default_factory=partial(body, "agreements"))
    details: dict[str, Any] = field(default_factory=lambda: {AGREEMENT: body("agreement")})
    activities: dict[str, list[str]] = field(default_factory=lambda: {AGREEMENT: body("activity_list")})
    states: dict[str, str] = field(default_factory=lambda: {ACTIVITY: body("activity_state")["state"][0]})
    usage: dict[str, Any] = field(default_factory=lambda: {ACTIVITY: body("activity_usage")})
    invoices: list[Any] = field(default_factory=list)
    notes: list[Any] = field(default_factory=partial(body, "debit_notes"))
    accounts: list[Any] = field(default_factory=list)
    problems: list[Any] = field(default_factory=list)
    metrics: str = field(default_factory=(FIXTURES / "metrics.txt").read_text)
    health: Broken = field(default_factory=lambda: Broken(200, '{"status":"ok"}', "application/json"))
    pending_release: Any = None
    broken: dict[str, Broken] = field(default_factory=dict)
    """path -> what it answers instead."""
    asked: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        response = await self._page(request)
        response.headers["Date"] = format_datetime(self.now, usegmt=True) if self.tells_time else "now"
        return response

    async def _page(self, request: web.Request) -> web.Response:
        if (odd := self.broken.get(request.path)) is not None:
            if odd.hang:
                await asyncio.sleep(60)
            return web.Response(status=odd.status, text=odd.said, content_type=odd.kind)
        if not request.path.startswith(("/metrics-api", "/version/get")):
            key = request.headers.get("Authorization", "")
            if key != f"Bearer {KEY}":
                return web.Response(status=401, text=text("me_bad" if key else "me_noauth"))
        pages: dict[str, Callable[[], Any]] = {
            "/me": lambda: json.loads(text("me")) | {"identity": self.me},
            "/version/get": lambda: json.loads(text("version")) | {"pending": self.pending_release},
            "/market-api/v1/offers": lambda: self.offers,
            "/market-api/v1/agreements": lambda: self.agreements,
            "/activity-api/v1/activity": lambda: self.activities.get(request.query["agreementId"], []),
            "/payment-api/v1/invoices": lambda: paged(self.invoices, request),
            "/payment-api/v1/debitNotes": lambda: paged(self.notes, request),
            "/payment-api/v1/providerAccounts": lambda: self.accounts,
            "/payment-api/v1/payments/status": lambda: self.problems,
        }
        if request.path in pages:
            return web.json_response(pages[request.path]())
        if request.path == "/metrics-api/v1/expose":
            return web.Response(text=self.metrics)
        if request.path == "/healthcheck":
            return web.Response(status=self.health.status, text=self.health.said, content_type=self.health.kind)
        return self._by_id(request.path.split("/")[1:])

    def _by_id(self, parts: list[str]) -> web.Response:
        match parts:
            case ["market-api", "v1", "agreements", name] if name in self.details:
                return web.json_response(self.details[name])
            case ["activity-api", "v1", "activity", name, "state"] if name in self.states:
                return web.json_response({"state": [self.states[name], None]})
            case ["activity-api", "v1", "activity", name, "usage"] if name in self.usage:
                return web.json_response(self.usage[name])
            case ["activity-api", *_]:
                return web.Response(status=500, text=text("act_state404"), content_type="application/json")
        return web.Response(status=404, text=text("invoice404"), content_type="application/json")

    # what tests change most

    def use(self, cpu: float, duration: float, reported: float = 0.0) -> None:
        """Counters in the recorded order: duration first."""
        self.usage[ACTIVITY] = {"currentUsage": [duration, cpu], "timestamp": reported}

    def end_work(self) -> None:
        self.states[ACTIVITY] = "Terminated"
        self.agreements = []
        self.details[AGREEMENT] = self.details[AGREEMENT] | {"state": "Terminated"}

    def stop(self) -> None:
        """An idle provider: its offer, and nothing else."""
        self.agreements, self.notes = [], []


def paged(bills: list[Any], request: web.Request) -> list[Any]:
    """Strictly after `afterTimestamp`, ascending, at most `maxItems`, as yagna does it."""
    after = request.query.get("afterTimestamp")
    since = datetime.fromisoformat(after) if after else datetime.min.replace(tzinfo=UTC)
    found = [bill for bill in bills if aware(bill["timestamp"]) > since]
    return found[: int(request.query.get("maxItems", len(found)))]


def aware(stamp: str) -> datetime:
    at = datetime.fromisoformat(stamp)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def invoice(**changes: Any) -> dict[str, Any]:
    return body("invoices")[0] | changes


def note(**changes: Any) -> dict[str, Any]:
    return body("debit_notes")[0] | changes
