"""A yagna daemon's REST API over a simulated provider (reference: storj-golem 2.1, 2.2; shapes as recorded from yagna 0.17.6).

Traps served: 401 in plain text with two wordings; coefficients in the order of the usage vector (ya-provider sorts it:
cpu before duration) with the start price last; amounts as decimal strings; debit notes that are cumulative and are
replaced by their invoice; both roles in one list; a testnet's worthless invoice; nano-GLM in the metrics; nothing paid
for an idle offer; a monitor stream that never ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from exporters.simulator.bills import PLATFORM, Bills, nothing_new, usage
from exporters.simulator.provider import NOTE_EVERY, Agreement, Hardware, Provider, hex_id, invoice_status
from exporters.simulator.response import Request, Response, as_json, as_text, go_time, read_time

VERSION: Final = "0.17.6"
_STATES: Final = ("Proposal", "Pending", "Cancelled", "Rejected", "Approved", "Expired", "Terminated")
Rows = list[dict[str, Any]]


class Yagna:
    """The daemon's site."""

    def __init__(self, provider: Provider, app_key: str, name: str = "rack-1") -> None:
        self.provider = provider
        self.app_key = app_key
        self.name = name
        self.me = "0x" + hex_id("provider", provider.seed, name, length=40)
        self._requestor = "0x" + hex_id("requestor", provider.seed, length=40)
        self._bills = Bills(provider, self.me, self._requestor)
        self._open_pages: dict[str, Callable[[Request, float], Response]] = {
            "/version/get": self._version,
            "/metrics-api/v1/expose": self._metrics,
            "/metrics-api/v1/sorted": self._metrics,
        }
        self._pages: dict[str, Callable[[Request, float], Response]] = {
            "/me": lambda _request, _now: as_json({"identity": self.me, "name": "autoconfigured", "role": "manager"}),
            "/healthcheck": lambda _request, _now: as_json({"status": "ok"}),
            "/net-api/v2/net/status": self._net,
            "/market-api/v1/offers": self._offers,
            "/market-api/v1/agreements": self._agreements,
            "/market-api/v1/agreementEvents": self._agreement_events,
            "/activity-api/v1/activity": self._activities,
            "/activity-api/v1/_monitor": self._monitor,
            "/payment-api/v1/providerAccounts": self._accounts,
            "/payment-api/v1/invoices": self._bills.invoices,
            "/payment-api/v1/debitNotes": self._bills.debit_notes,
            "/payment-api/v1/invoiceEvents": lambda request, _now: nothing_new(request),
            "/payment-api/v1/debitNoteEvents": lambda request, _now: nothing_new(request),
            "/payment-api/v1/payments": self._payments,
            "/payment-api/v1/payments/status": lambda _request, _now: as_json([]),
        }

    def listening(self, now: float) -> bool:
        return self.provider.online and now >= self.provider.online_since

    def answer(self, request: Request, now: float) -> Response:
        if open_page := self._open_pages.get(request.path):
            return open_page(request, now)
        if refusal := self._refusal(request):
            return refusal
        if page := self._pages.get(request.path):
            return page(request, now) if request.method == "GET" else as_text("", 405)
        return self._by_id(request.path, now)

    def write_hardware(self, document: dict[str, Any], now: float) -> None:
        """hardware.json as `ya-provider profile update` leaves it. Raises KeyError, TypeError or ValueError for any other shape."""
        profile = document["profiles"][document["active"]]
        wish = Hardware(int(profile["cpu_threads"]), float(profile["mem_gib"]), float(profile["storage_gib"]))
        if wish != self.provider.configured:
            self.provider.configure(wish, now)

    def hardware_json(self) -> str:
        wish = self.provider.configured
        profile = {"cpu_threads": wish.threads, "mem_gib": wish.mem_gib, "storage_gib": wish.storage_gib}
        return json.dumps({"active": "default", "profiles": {"default": profile}}, indent=2)

    # Who asks

    def _refusal(self, request: Request) -> Response | None:
        said = request.headers.get("authorization", "")
        key = said[7:] if said.lower().startswith("bearer ") else request.query.get("authToken")
        if not key:
            return as_text("Missing application key", 401)
        return None if key == self.app_key else as_text("Invalid application key", 401)

    # Pages

    def _version(self, _request: Request, _now: float) -> Response:
        seen = go_time(self.provider.online_since, 0)[:-1]
        current = {
            "version": VERSION,
            "name": "(a98d28015 2026-03-13)",
            "seen": True,
            "releaseTs": "2015-10-13T15:43:00",
        }
        return as_json({"current": current | {"insertionTs": seen, "updateTs": seen}, "pending": None})

    def _net(self, _request: Request, _now: float) -> Response:
        return as_json({"nodeId": self.me, "listenIp": "0.0.0.0:11500", "publicIp": None, "sessions": 12})

    def _accounts(self, _request: Request, _now: float) -> Response:
        account = {"platform": PLATFORM, "address": self.me, "driver": "erc20", "network": "polygon", "token": "GLM"}
        return as_json([account | {"send": False, "receive": True}])

    def _offers(self, _request: Request, now: float) -> Response:
        offered = self.provider.offer(now)
        return as_json(
            [
                self._offer(offered.hardware, offered.since)
                | {"offerId": self._offer_id(offered.since), "providerId": self.me}
            ]
        )

    def _offer(self, hardware: Hardware, since: float) -> dict[str, Any]:
        price = self.provider.pricing
        properties = {
            "golem.com.payment.debit-notes.accept-timeout?": 240,
            f"golem.com.payment.platform.{PLATFORM}.address": self.me,
            "golem.com.pricing.model": "linear",
            "golem.com.pricing.model.linear.coeffs": [price.cpu, price.duration, price.start],
            "golem.com.scheme": "payu",
            "golem.com.usage.vector": ["golem.usage.cpu_sec", "golem.usage.duration_sec"],
            "golem.inf.cpu.architecture": "x86_64",
            "golem.inf.cpu.cores": max(1, hardware.threads // 2),
            "golem.inf.cpu.threads": hardware.threads,
            "golem.inf.mem.gib": hardware.mem_gib,
            "golem.inf.storage.gib": hardware.storage_gib,
            "golem.node.debug.subnet": "public",
            "golem.node.id.name": self.name,
            "golem.runtime.name": "vm",
            "golem.runtime.version": "0.5.3",
            "golem.srv.caps.multi-activity": True,
        }
        return {"properties": properties, "constraints": "(golem.srv.comp.expiration>0)", "timestamp": go_time(since)}

    def _offer_id(self, since: float) -> str:
        return f"{hex_id('offer', self.me, since, length=32)}-{hex_id('offer2', self.me, since)}"

    def _agreements(self, request: Request, now: float) -> Response:
        state = request.query.get("state")
        if state is not None and state not in _STATES:
            return as_text(f"Query deserialize error: unknown variant `{state}`", 400)
        after, before = read_time(request.query.get("afterDate")), read_time(request.query.get("beforeDate"))
        rows: Rows = []
        for agreement in self.provider.kept():
            in_state = state is None or state == _state(agreement, now)
            in_time = (after is None or agreement.began > after) and (before is None or agreement.began < before)
            if in_state and in_time:
                stamps = {"timestamp": go_time(agreement.began - 4.2), "approvedDate": go_time(agreement.began - 4.1)}
                rows.append({"id": self._bills.agreement_id(agreement), **stamps, "role": "Provider"})
        if state in {None, "Terminated"}:  # the owner also rents now and then: not earnings
            stamp = go_time(self.provider.origin - 7200.0)
            rows.insert(
                0, {"id": hex_id("rented", self.me), "timestamp": stamp, "approvedDate": stamp, "role": "Requestor"}
            )
        return as_json(rows)

    def _agreement_events(self, request: Request, now: float) -> Response:
        after = read_time(request.query.get("afterTimestamp")) or 0.0
        most = int(request.query.get("maxEvents", "1000"))
        rows: list[tuple[float, dict[str, Any]]] = []
        for agreement in self.provider.kept():
            named = {"agreementId": self._bills.agreement_id(agreement)}
            rows.append((agreement.began, named | {"eventType": "AgreementApprovedEvent"}))
            if agreement.ends <= now:
                reason = {"message": "Finished", "golem.requestor.code": "Success"}
                ended = {"eventType": "AgreementTerminatedEvent", "terminator": "Requestor", "reason": reason}
                rows.append((agreement.ends, named | ended))
        found = [
            {"eventDate": go_time(at), **row} for at, row in sorted(rows, key=lambda row: row[0]) if after < at <= now
        ]
        return as_json(found[:most]) if found else nothing_new(request)

    def _activities(self, request: Request, _now: float) -> Response:
        wanted = request.query.get("agreementId")
        if wanted is None:
            return as_text("Query deserialize error: missing field `agreementId`", 400)
        return as_json(
            [self._bills.activity_id(a) for a in self.provider.kept() if self._bills.agreement_id(a) == wanted]
        )

    def _monitor(self, _request: Request, now: float) -> Response:
        running = self.provider.running()
        rows = []
        if running:
            cpu, seconds = usage(running, now)
            used = {"golem.usage.cpu_sec": cpu, "golem.usage.duration_sec": seconds}
            row = {"id": self._bills.activity_id(running), "state": "Ready", "usage": used, "exeUnit": "vm"}
            rows.append(row | {"agreementId": self._bills.agreement_id(running)})
        event = json.dumps({"ts": go_time(now), "activities": rows}, separators=(",", ":"))
        return Response(200, f"data: {event}\n\n".encode(), {"Content-Type": "text/event-stream"}, stream=True)

    def _payments(self, request: Request, now: float) -> Response:
        rows = self._bills.payments(request, now)
        return as_json(rows) if rows else nothing_new(request)

    # One thing by its id

    def _by_id(self, path: str, now: float) -> Response:
        prefix, _, rest = path.removeprefix("/").partition("/v1/")
        kind, _, name = rest.partition("/")
        if prefix == "market-api" and kind == "agreements" and name:
            return self._agreement(name, now)
        if prefix == "activity-api" and kind == "activity" and name:
            return self._activity(name, now)
        if prefix == "payment-api" and kind in {"invoices", "debitNotes"} and name:
            return self._bill(kind, name, now)
        return Response(404)

    def _agreement(self, name: str, now: float) -> Response:
        found = next((a for a in self.provider.kept() if self._bills.agreement_id(a) == name), None)
        if found is None:
            return as_json({"message": f"Agreement [{name}] not found."}, 404)
        offer = self._offer(found.offer, found.began - 60.0)
        demand = {
            "properties": {
                "golem.com.payment.chosen-platform": PLATFORM,
                f"golem.com.payment.platform.{PLATFORM}.address": self._requestor,
                "golem.node.id.name": "req",
                "golem.srv.comp.expiration": int((found.ends + 3600.0) * 1000),
            },
            "constraints": "(golem.runtime.name=vm)",
            "demandId": f"{hex_id('demand', name, length=32)}-{hex_id('demand2', name)}",
            "requestorId": self._requestor,
            "timestamp": go_time(found.began - 4.2),
        }
        return as_json(
            {
                "agreementId": name,
                "demand": demand,
                "offer": offer | {"offerId": self._offer_id(found.began), "providerId": self.me},
                "validTo": go_time(found.ends + 3600.0, 0),
                "approvedDate": go_time(found.began - 4.1),
                "state": _state(found, now),
                "timestamp": go_time(found.began - 4.2),
                "proposedSignature": "NoSignature",
                "approvedSignature": "NoSignature",
                "committedSignature": "NoSignature",
            }
        )

    def _activity(self, rest: str, now: float) -> Response:
        name, _, what = rest.partition("/")
        found = next((a for a in self.provider.kept() if self._bills.activity_id(a) == name), None)
        if found is None:
            return as_json({"message": f"DAO error: Not found: agreement id for activity: {name}"}, 500)
        if what == "state":
            return as_json({"state": ["Ready" if _state(found, now) == "Approved" else "Terminated", None]})
        if what == "usage":
            return as_json({"currentUsage": list(usage(found, now)), "timestamp": int(now)})
        return Response(404)

    def _bill(self, kind: str, name: str, now: float) -> Response:
        row = self._bills.one(kind, name, now)
        return (
            as_json({"message": None}, 404) if row is None else Response(200, row, {"Content-Type": "application/json"})
        )

    # Metrics text

    def _metrics(self, _request: Request, now: float) -> Response:
        mine = [a for a in self.provider.kept() if a.began >= self.provider.online_since]
        settled = [a for a in mine if a.ends <= now and invoice_status(a, now) == "SETTLED"]
        lines = [f"# metrics snapshot (ts={int(now)}) (prometheus exposition format)"]
        for name, count in self._counters(mine, now).items():
            lines += [f"# TYPE {name} counter", f"{name} {count}", ""]
        running = self.provider.running()
        for index, used in enumerate(usage(running, now) if running else ()):
            name, activity = f"activity_provider_usage_{index}", self._bills.activity_id(running) if running else ""
            lines += [f"# TYPE {name} gauge", f'{name}{{activity_id="{activity}"}} {int(used)}', ""]
        received = int(sum(a.amount(a.ends) for a in settled) * 1e9)
        lines += [
            "# TYPE payment_amount_received counter",
            f'payment_amount_received{{platform="{PLATFORM}"}} {received}',
            "",
        ]
        for name, word in zip(("major", "minor", "patch"), VERSION.split("."), strict=True):
            lines += [f"# TYPE yagna_version_{name} gauge", f"yagna_version_{name} {word}", ""]
        lines += ["# TYPE yagna_service_up gauge", "yagna_service_up 1", ""]
        return as_text("\n".join(lines))

    def _counters(self, mine: list[Agreement], now: float) -> dict[str, int]:
        """Since the daemon started; all of them begin at 0 again with it."""
        words = [invoice_status(a, now) for a in mine if a.ends <= now]
        return {
            "activity_provider_created": len(mine),
            "activity_provider_destroyed": len(words),
            "activity_provider_destroyed_by_requestor": len(words),
            "activity_provider_destroyed_unresponsive": 0,
            "activity_provider_unresponsive": 0,
            "activity_provider_responsive_again": 0,
            "market_agreements_provider_approved": len(mine),
            "market_agreements_provider_proposed": len(mine),
            "market_agreements_provider_terminated": len(words),
            "market_offers_subscribed": len(self.provider.offers),
            "market_offers_unsubscribed": len(self.provider.offers) - 1,
            "payment_debit_notes_provider_issued": sum(int(a.seconds(now) // NOTE_EVERY) for a in mine),
            "payment_invoices_provider_issued": len(words),
            "payment_invoices_provider_sent": len(words),
            "payment_invoices_provider_accepted": sum(word != "RECEIVED" for word in words),
            "payment_invoices_provider_paid": sum(word == "SETTLED" for word in words),
        }


def _state(agreement: Agreement, now: float) -> str:
    return "Approved" if now < agreement.ends else "Terminated"
