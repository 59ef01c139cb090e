"""What a Golem provider is owed and uses: balances, and rates from the difference between two looks. Pure.

Owed for an agreement is its invoice, else for each of its activities the larger of its newest debit note (cumulative)
and start + sum of coefficient x usage. Compared agreement by agreement, so that an invoice replaces its debit notes, and
old bills leave the window, without looking like a gain or a loss. All in GLM on main networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from exporters.protocols.golem.shapes import CPU, DURATION, SILENT, Activity, Bill, Daemon, Deal, is_worth

COMPARED: Final = timedelta(days=1)
"""How far apart two looks may be to be compared, and how old an invoice."""
SETTLING: Final = timedelta(hours=25)
"""An accepted invoice is paid with the requestor's next batch: within 24 h + 1 h on the main networks (batchCycles)."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the next look compares itself with. Kept for every workload, so it holds nothing else."""

    owed: Mapping[str, Decimal | None]
    """agreement -> GLM owed for it so far, paid or not; None: not known."""
    cpu: Mapping[str, tuple[float, float]]
    """activity -> (CPU seconds used, Unix seconds of that report)."""


def ledger(daemon: Daemon) -> Ledger:
    """What is owed per agreement, and used per activity, now by the daemon's clock, else by its newest invoice."""
    now = daemon.clock or max((bill.timestamp for bill in daemon.invoices), default=datetime.min.replace(tzinfo=UTC))
    owed: dict[str, Decimal | None] = {}
    for bill in daemon.invoices:
        if now - bill.timestamp <= COMPARED:
            owed[bill.agreement_id] = Decimal(0) if bill.status == "CANCELLED" else bill.amount
    billed = {note.activity_id: note for note in open_notes(daemon)}
    invoiced = {bill.agreement_id for bill in daemon.invoices}
    for deal in daemon.deals:
        if deal.worth and deal.id not in invoiced:
            parts = [_owed(deal, activity, billed.pop(activity.id, None)) for activity in deal.activities]
            owed[deal.id] = None if None in parts else sum((part for part in parts if part is not None), Decimal(0))
    for note in billed.values():
        before = owed.get(note.agreement_id, Decimal(0))
        owed[note.agreement_id] = None if before is None else before + note.amount
    running = [activity for deal in daemon.deals for activity in deal.activities if deal.running and activity.live]
    cpu = {a.id: (a.usage[CPU], a.reported) for a in running if a.usage is not None and CPU in a.usage}
    return Ledger(owed, cpu)


def open_notes(daemon: Daemon) -> list[Bill]:
    """The newest debit note of each activity whose agreement has no invoice: notes are cumulative, an invoice replaces them."""
    invoiced = {bill.agreement_id for bill in daemon.invoices}
    found: dict[str | None, Bill] = {}
    for note in sorted(daemon.notes, key=lambda note: (note.timestamp, note.amount)):
        if note.agreement_id not in invoiced and note.status != "CANCELLED":
            found[note.activity_id] = note
    return list(found.values())


def _owed(deal: Deal, activity: Activity, note: Bill | None) -> Decimal | None:
    noted = None if note is None else note.amount
    known = [amount for amount in (deal.terms.cost(activity.usage), noted) if amount is not None]
    if known:
        return max(known)
    return None if activity.live and deal.running else Decimal(0)


def live(daemon: Daemon, *, only_worth: bool = False) -> Iterator[tuple[Deal, Activity]]:
    """What is being worked on now, `only_worth`: for real money."""
    for deal in daemon.deals:
        if deal.running and (deal.worth or not only_worth):
            yield from ((deal, activity) for activity in deal.activities if activity.live)


def accrued_per_hour(daemon: Daemon, now: Ledger, before: Ledger | None, seconds: float) -> float | None:
    """GLM per hour: what is owed now against `seconds` ago; without a look before, the mean over the lives of what runs.

    Idle is 0. What fell (a corrected bill, an invoice below the last note) is no loss: it counts as nothing earned.
    """
    if None in now.owed.values():
        return None
    if before is not None:
        grown = [amount - (before.owed.get(name) or 0) for name, amount in now.owed.items() if amount is not None]
        return float(sum((amount for amount in grown if amount > 0), Decimal(0))) * 3600 / seconds
    rate = 0.0
    for deal, activity in live(daemon, only_worth=True):
        owed, lived = deal.terms.cost(activity.usage), (activity.usage or {}).get(DURATION, 0.0)
        if owed is None or not lived > 0:
            return None
        rate += float(owed) * 3600 / lived
    return rate


def used_cores(daemon: Daemon, before: Ledger | None, seconds: float) -> float | None:
    """Cores that running activities keep busy; None where one of them does not say. Nothing running is 0."""
    cores = [_cores(activity, before, seconds) for _, activity in live(daemon)]
    known = [value for value in cores if value is not None]
    return sum(known, 0.0) if len(known) == len(cores) else None


def _cores(activity: Activity, before: Ledger | None, seconds: float) -> float | None:
    """CPU seconds per second since the look before, else over the activity's life."""
    used = (activity.usage or {}).get(CPU)
    if used is None:
        return None
    if before is not None and activity.id in before.cpu:
        earlier, reported = before.cpu[activity.id]
        if activity.reported > reported and used >= earlier:
            return (used - earlier) / (activity.reported - reported)
        if activity.reported == reported and seconds > SILENT:
            return 0.0
    lived = (activity.usage or {}).get(DURATION, 0.0)
    return used / lived if lived > 0 else None if used else 0.0


def balances(daemon: Daemon, notes: Iterable[Bill], now: datetime) -> dict[str, Decimal]:
    """GLM of the bills that are seen, by where it stands. Debit notes count only without an invoice."""
    found = dict.fromkeys(("accrued", "pending", "paid", "at_risk"), Decimal(0))
    for bill in daemon.invoices:
        if (kind := standing(bill, now)) is not None:
            found[kind] += bill.amount
    settled: dict[str | None, Decimal] = {}
    for note in daemon.notes:
        if note.status == "SETTLED":
            settled[note.activity_id] = max(note.amount, settled.get(note.activity_id, Decimal(0)))
    for note in notes:
        paid = min(settled.get(note.activity_id, Decimal(0)), note.amount)
        found["paid"] += paid
        found["at_risk" if standing(note, now) == "at_risk" else "accrued"] += note.amount - paid
    return found


def standing(bill: Bill, now: datetime) -> str | None:
    """The kind of balance that a bill belongs to; None: to none (cancelled, or a status that is not known)."""
    late = now - bill.payment_due_date if bill.payment_due_date is not None else -SETTLING
    if bill.status in {"ISSUED", "RECEIVED"}:
        return "at_risk" if late > timedelta() else "accrued"
    if bill.status == "ACCEPTED":
        return "at_risk" if late > SETTLING else "pending"
    return {"SETTLED": "paid", "REJECTED": "at_risk", "FAILED": "at_risk"}.get(bill.status)


def expected_share(balance: Mapping[str, Decimal]) -> float:
    """The part of what is credited that the owner can expect in hand: of the last 30 days' bills, what is not at risk."""
    whole = sum(balance.values(), Decimal(0))
    return 1.0 if whole == 0 else float(1 - balance["at_risk"] / whole)


def received(daemon: Daemon) -> Decimal | None:
    """GLM since the daemon started; its counter is in nano-GLM. None: it does not say."""
    name = "payment_amount_received"
    amounts = [value for (metric, platform), value in daemon.counters.items() if metric == name and is_worth(platform)]
    return Decimal(str(sum(amounts))) / 10**9 if amounts else None
