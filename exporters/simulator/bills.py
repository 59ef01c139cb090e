"""A Golem provider's debit notes, invoices and payments as yagna's payment API lists them.

Rows never change but for their status; so each is written once per status and kept: after two days there are 1500 notes,
and a collector asks for all of them every minute.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from exporters.simulator.provider import (
    Agreement,
    Note,
    Provider,
    hex_id,
    invoice_status,
    notes_of,
    settled_at,
    uuid_id,
)
from exporters.simulator.response import Request, Response, go_time, js_time, read_time

PLATFORM: Final = "erc20-polygon-glm"
_TESTNET: Final = "erc20-holesky-tglm"
_PAID_WITHIN: Final = 1800.0

Row = tuple[float, bytes]
"""(timestamp, the row as JSON)."""


class Bills:
    def __init__(self, provider: Provider, me: str, requestor: str) -> None:
        self._provider = provider
        self._me = me
        self._requestor = requestor
        self._invoices: dict[tuple[int, str], Row] = {}
        self._notes: dict[tuple[int, int, str], Row] = {}
        self._done: dict[int, list[Row]] = {}
        self._foreign = [_row(row) for row in self._foreign_invoices()]

    # Names

    def agreement_id(self, agreement: Agreement) -> str:
        return agreement.named(lambda: hex_id("agreement", self._me, agreement.number))

    def activity_id(self, agreement: Agreement) -> str:
        return self.agreement_id(agreement)[:32][::-1]

    def invoice_id(self, agreement: Agreement) -> str:
        return uuid_id("invoice", self.agreement_id(agreement))

    def note_id(self, note: Note) -> str:
        return uuid_id("note", self._me, note.agreement.number, note.number)

    # Lists

    def invoices(self, request: Request, now: float) -> Response:
        ended = [agreement for agreement in self._provider.kept() if agreement.ends <= now and not agreement.broken]
        return _paged(self._foreign + [self._invoice(agreement, now) for agreement in ended], request)

    def debit_notes(self, request: Request, now: float) -> Response:
        after = read_time(request.query.get("afterTimestamp")) or 0.0
        rows: list[Row] = []
        for agreement in self._provider.kept():
            if agreement.ends >= after:
                rows += self._notes_of(agreement, now)
        return _paged(rows, request)

    def payments(self, request: Request, now: float) -> list[dict[str, Any]]:
        """Batches that are on chain, oldest first."""
        after = read_time(request.query.get("afterTimestamp")) or 0.0
        batches: dict[float, list[Agreement]] = {}
        for agreement in self._provider.kept():
            if not agreement.broken and invoice_status(agreement, now) == "SETTLED":
                batches.setdefault(settled_at(agreement), []).append(agreement)
        return [self._payment(at, paid) for at, paid in sorted(batches.items()) if at > after]

    def one(self, kind: str, name: str, now: float) -> bytes | None:
        """One invoice or debit note by its id; None where there is none."""
        for agreement in self._provider.kept():
            if kind == "invoices" and agreement.ends <= now and self.invoice_id(agreement) == name:
                return self._invoice(agreement, now)[1]
            if kind == "debitNotes":
                for note in notes_of(agreement, now):
                    if self.note_id(note) == name:
                        return self._note(note, now)[1]
        return None

    # Rows

    def _notes_of(self, agreement: Agreement, now: float) -> list[Row]:
        """Of one activity; once the last of them was accepted, they never change."""
        done = self._done.get(agreement.number)
        if done is not None:
            return done
        notes = notes_of(agreement, now)
        rows = [self._note(note, now) for note in notes]
        if now >= agreement.ends and all(note.status(now) == "ACCEPTED" for note in notes):
            self._done[agreement.number] = rows
        return rows

    def _note(self, note: Note, now: float) -> Row:
        key = (note.agreement.number, note.number, note.status(now))
        if key not in self._notes:
            self._notes[key] = _row(
                {
                    "debitNoteId": self.note_id(note),
                    **self._parties(),
                    "timestamp": js_time(note.at),
                    "agreementId": self.agreement_id(note.agreement),
                    "activityId": self.activity_id(note.agreement),
                    "totalAmountDue": as_glm(note.amount),
                    "usageCounterVector": list(usage(note.agreement, note.at)),
                    "paymentDueDate": go_time(note.at + _PAID_WITHIN, 0),
                    "status": note.status(now),
                }
            )
        return self._notes[key]

    def _invoice(self, agreement: Agreement, now: float) -> Row:
        key = (agreement.number, invoice_status(agreement, now))
        if key not in self._invoices:
            self._invoices[key] = _row(
                {
                    "invoiceId": self.invoice_id(agreement),
                    **self._parties(),
                    "timestamp": js_time(agreement.ends + 1.0),
                    "agreementId": self.agreement_id(agreement),
                    "activityIds": [self.activity_id(agreement)],
                    "amount": as_glm(agreement.amount(agreement.ends)),
                    "paymentDueDate": go_time(agreement.ends + _PAID_WITHIN, 0),
                    "status": key[1],
                }
            )
        return self._invoices[key]

    def _payment(self, at: float, paid: list[Agreement]) -> dict[str, Any]:
        parts = [
            {"agreementId": self.agreement_id(a), "amount": as_glm(a.amount(a.ends)), "allocationId": None}
            for a in paid
        ]
        return {
            "paymentId": uuid_id("payment", self._me, at),
            "payerId": self._requestor,
            "payeeId": self._me,
            "payerAddr": self._requestor,
            "payeeAddr": self._me,
            "paymentPlatform": PLATFORM,
            "amount": as_glm(sum(a.amount(a.ends) for a in paid)),
            "timestamp": js_time(at),
            "agreementPayments": parts,
            "activityPayments": [],
            "details": "",
        }

    def _parties(self) -> dict[str, Any]:
        return {
            "issuerId": self._me,
            "recipientId": self._requestor,
            "payeeAddr": self._me,
            "payerAddr": self._requestor,
            "paymentPlatform": PLATFORM,
        }

    def _foreign_invoices(self) -> list[dict[str, Any]]:
        """What a careless sum would count: an invoice that this owner has to pay, and one in a testnet's worthless token."""
        at = self._provider.origin - 7000.0
        common = {
            "activityIds": [],
            "paymentDueDate": go_time(at + _PAID_WITHIN, 0),
            "timestamp": js_time(at),
            "status": "SETTLED",
        }
        other = "0x" + hex_id("seller", self._me, length=40)
        rented = self._parties() | {
            "issuerId": other,
            "payeeAddr": other,
            "recipientId": self._me,
            "payerAddr": self._me,
        }
        test = self._parties() | {"paymentPlatform": _TESTNET}
        return [
            {
                "invoiceId": uuid_id("rented", self._me),
                **rented,
                "agreementId": hex_id("rented", self._me),
                "amount": "7.5",
            }
            | common,
            {"invoiceId": uuid_id("test", self._me), **test, "agreementId": hex_id("test", self._me), "amount": "1000"}
            | common,
        ]


def usage(agreement: Agreement, at: float) -> tuple[float, float]:
    """In the order of the usage vector: CPU seconds, seconds."""
    return round(agreement.cpu_seconds(at), 3), round(agreement.seconds(at), 3)


def as_glm(amount: float) -> str:
    """An amount as yagna writes it: a decimal string, never with an exponent."""
    return f"{Decimal(repr(round(amount, 15))).normalize():f}"


def nothing_new(request: Request, default: float = 5.0) -> Response:
    """An empty long poll: it blocks for `timeout` seconds first."""
    try:
        seconds = float(request.query.get("timeout", default))
    except ValueError:
        return Response(
            400, b"Query deserialize error: invalid float literal", {"Content-Type": "text/plain; charset=utf-8"}
        )
    return Response(200, b"[]", {"Content-Type": "application/json"}, delay=max(0.0, seconds))


def _row(row: dict[str, Any]) -> Row:
    return read_time(row["timestamp"]) or 0.0, json.dumps(row, separators=(",", ":")).encode()


def _paged(rows: list[Row], request: Request) -> Response:
    """AfterTimestamp and maxItems, ascending; unlimited by default."""
    after = read_time(request.query.get("afterTimestamp"))
    found = [row for at, row in rows if after is None or at > after]
    most = request.query.get("maxItems", "")
    found = found[: int(most)] if most.isdecimal() else found
    return Response(200, b"[" + b",".join(found) + b"]", {"Content-Type": "application/json"})
