"""Golem: what a provider's yagna daemon says about its offers, work and bills -> Reading.

Nothing is asked of the chain, which is often unreachable where the daemon itself works (yagna #3263, #3066). Money is
counted in GLM; amounts are decimal strings and are added as such. Test networks are worth nothing: they are seen in
`orcha_golem_*` and in the state, and in no total.

- allocated: the largest caps among the published offers and the agreements that still run, for running work keeps what
  it was sold; configured: the caps of the published offers alone. The two differ while a shrink drains.
- rate: what is owed now minus what was owed at the look before (golem/owed.py); idle is a known 0.
- paid: the larger of the invoices settled in the last 30 days and what was received since the daemon started, for
  either may have forgotten the beginning.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from exporters.collector import LIMIT, Family, Payloads, Workload, read_key
from exporters.errors import Unauthorized
from exporters.nodes import Model
from exporters.protocols.golem.asking import Yagna, look
from exporters.protocols.golem.owed import (
    COMPARED,
    Ledger,
    accrued_per_hour,
    balances,
    expected_share,
    ledger,
    live,
    open_notes,
    received,
    used_cores,
)
from exporters.protocols.golem.shapes import CPU, DURATION, Bill, Daemon, Terms, is_worth
from exporters.reading import Native, Quality, Reading
from exporters.session import Session
from exporters.traits import CurveKind, Traits

GLM: Final = "GLM"
GIB: Final = 2**30
STATES: Final = ("not_selling", "testnet", "idle", "reserved", "computing", "draining")
STATUSES: Final = ("ISSUED", "RECEIVED", "ACCEPTED", "REJECTED", "FAILED", "SETTLED", "CANCELLED")
ACTIVITY_STATES: Final = ("New", "Initialized", "Deploying", "Ready", "Starting", "Terminated", "Unresponsive")
PROBLEMS: Final = ("InsufficientGas", "InsufficientToken", "InvalidChainId", "CantSign", "TxStuck", "RpcError")


class GolemCredentials(Model):
    app_key_file: str
    """Holds the key that `yagna app-key create orcha` prints. It can spend funds: let only orcha read it."""


TRAITS = Traits(
    curve=CurveKind.DEMAND,
    resource="cpu",
    poll_interval=30.0,
    timeout=30.0,
    verify_timeout=60.0,
    settle=3600.0,
    frees_when="drained",
    credentials=GolemCredentials,
    keeps=("ledger",),
)

FAMILIES: Final[dict[str, Family]] = {
    "orcha_golem_offers": Family("Offers that are published now."),
    "orcha_golem_offered_cpu_threads": Family("CPU threads of the published offers."),
    "orcha_golem_offered_memory_bytes": Family("Memory of the published offers."),
    "orcha_golem_offered_storage_bytes": Family("Storage of the published offers."),
    "orcha_golem_price_glm_per_hour": Family("Published price of an hour, by usage counter.", labels=("counter",)),
    "orcha_golem_start_price_glm": Family("Published price of starting an activity."),
    "orcha_golem_agreements_running": Family("Approved agreements, by kind of network.", labels=("network",)),
    "orcha_golem_activities": Family("Activities of running agreements, by state.", labels=("state",)),
    "orcha_golem_invoices": Family("Invoices of the last 30 days, by status.", labels=("network", "status")),
    "orcha_golem_invoiced_glm": Family("Amounts of the invoices of the last 30 days.", labels=("status",)),
    "orcha_golem_debit_notes": Family("Newest debit notes of work without an invoice.", labels=("status",)),
    "orcha_golem_provider_accounts": Family("Accounts ready to receive, by kind of network.", labels=("network",)),
    "orcha_golem_payment_problems": Family("Problems that the payment driver reports now.", labels=("kind",)),
    "orcha_golem_update_available": Family("1 a newer release of yagna exists."),
    "orcha_golem_activities_created_total": Family("Activities since the daemon started.", "counter"),
    "orcha_golem_activities_destroyed_total": Family("Activities that ended since then.", "counter", ("cause",)),
    "orcha_golem_agreement_events_total": Family("What became of agreements since then.", "counter", ("event",)),
    "orcha_golem_received_glm_total": Family("GLM received on main networks since then.", "counter"),
}
_COUNTERS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "activity_provider_created": ("orcha_golem_activities_created_total", {}),
    "activity_provider_destroyed": ("orcha_golem_activities_destroyed_total", {"cause": "ended"}),
    "activity_provider_destroyed_by_requestor": ("orcha_golem_activities_destroyed_total", {"cause": "requestor"}),
    "activity_provider_destroyed_unresponsive": ("orcha_golem_activities_destroyed_total", {"cause": "unresponsive"}),
} | {
    f"market_agreements_provider_{event}": ("orcha_golem_agreement_events_total", {"event": event})
    for event in ("proposed", "approved", "rejected", "cancelled", "terminated")
}  # the daemon's own counters, which have no `_total`

Samples = dict[str, tuple[tuple[Mapping[str, str], float], ...]]


async def fetch(session: Session, workload: Workload) -> Payloads:
    """One daemon, seen with one application key: 10 requests, and 2 + 2 x activities for each agreement."""
    daemon = await look(Yagna(session, workload.endpoint, _app_key(workload), patience=workload.timeout / 3))
    return Payloads({"daemon": daemon, "ledger": ledger(daemon)}, 0.0)


def _app_key(workload: Workload) -> str:
    try:
        given = GolemCredentials.model_validate(workload.spec.credentials.model_extra or {})
    except ValidationError as exc:
        raise Unauthorized(f"{workload.key} names no application key; write credentials: {{appKeyFile: FILE}}") from exc
    return read_key(given.app_key_file)


def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
    """What the daemon said -> Reading; `now` in Unix seconds judges which bills are late."""
    daemon: Daemon = payloads["daemon"]
    before, seconds = _before(payloads)
    notes = open_notes(daemon)
    balance = balances(daemon, notes, datetime.fromtimestamp(now, UTC))
    paid = max(balance["paid"], received(daemon) or balance["paid"])
    gross = accrued_per_hour(daemon, payloads["ledger"], before, seconds)
    busy = any(live(daemon, only_worth=True))
    return Reading(
        workload.node,
        workload.name,
        workload.protocol,
        now,
        state=state(daemon),
        states=STATES,
        healthy=_healthy(daemon),
        version=daemon.release.current.version if daemon.release else None,
        node_id=daemon.me,
        quality=None if gross is None else Quality.ESTIMATED if busy else Quality.MEASURED,
        native=Native(
            {} if gross is None else {GLM: gross},
            {} if gross is None else {GLM: gross * expected_share(balance)},
            {kind: {GLM: float(amount)} for kind, amount in (balance | {"paid": paid}).items()},
            _price(daemon),
        ),
        allocated=caps([*daemon.offers, *(deal.terms for deal in daemon.deals if deal.running)]),
        configured=caps(daemon.offers),
        used={} if (cores := used_cores(daemon, before, seconds)) is None else {"cpu": cores},
        notes=tuple(_notes(daemon)),
        extra=_extra(daemon, notes),
    )


def _before(payloads: Payloads) -> tuple[Ledger | None, float]:
    """The ledger of the look before and the seconds since, None where there was none, or too long ago to compare."""
    if payloads.previous is None:
        return None, 0.0
    seconds = payloads.at - payloads.previous.at
    comparable = 0 < seconds <= COMPARED.total_seconds()
    return (payloads.previous.get("ledger") if comparable else None), seconds


def caps(sold: Iterable[Terms]) -> dict[str, float]:
    """The most of each resource that any of these terms hands out (cores, bytes); nothing where none says."""
    found: dict[str, float] = {}
    for one in sold:
        said = {"cpu": (one.threads, 1), "memory": (one.memory, GIB), "storage": (one.storage, GIB)}
        for resource, (amount, unit) in said.items():
            if amount is not None:
                found[resource] = max(amount * unit, found.get(resource, -math.inf))
    return found


def _price(daemon: Daemon) -> dict[str, dict[str, float]]:
    """Of a core-hour that is used; the cheapest where presets differ, as a requestor would choose."""
    prices = [offer.prices[CPU] for offer in daemon.offers if offer.worth and offer.prices and CPU in offer.prices]
    return {"cpu": {GLM: float(min(prices) * 3600)}} if prices else {}


def state(daemon: Daemon) -> str:
    """One of STATES. draining: what still runs was sold before selling stopped, or under larger caps than now."""
    running = [deal for deal in daemon.deals if deal.running]
    offered, sold = caps(daemon.offers), caps(deal.terms for deal in running)
    if not daemon.offers and not running:
        return "not_selling"
    if not any(offer.worth for offer in daemon.offers) and not any(deal.worth for deal in running):
        return "testnet"
    if not any(live(daemon)):
        return "reserved" if running else "idle"
    return "draining" if any(amount > offered.get(name, 0.0) for name, amount in sold.items()) else "computing"


def _healthy(daemon: Daemon) -> bool | None:
    """Well by its own health check, and earning is possible: something is sold, or still runs, for real money."""
    if state(daemon) in {"not_selling", "testnet"}:
        return False
    return None if daemon.health is None else daemon.health[0]


def _notes(daemon: Daemon) -> Iterator[str]:
    if daemon.health is not None and not daemon.health[0]:
        yield f"the daemon's health check fails at {daemon.health[1]}"
    if state(daemon) == "not_selling":
        yield "no offer is published: check that ya-provider runs and that a preset is active"
    if any(offer.prices is None for offer in daemon.offers):
        yield "an offer's price cannot be read: its pricing model is not linear, or does not fit its usage vector"
    odd = {bill.status for bill in (*daemon.invoices, *daemon.notes)} - set(STATUSES)
    if odd:
        yield f"bills with the unknown status {', '.join(sorted(odd))[:60]} count in no balance"


def _extra(daemon: Daemon, notes: Iterable[Bill]) -> Samples:
    running = [deal for deal in daemon.deals if deal.running]
    deals = Counter(_network(deal.worth) for deal in running)
    activities = Counter(activity.state for deal in running for activity in deal.activities)
    open_by_status = Counter(note.status for note in notes)
    main, test = (Counter(bill.status for bill in bills) for bills in (daemon.invoices, daemon.worthless))
    invoiced = {word: float(sum(b.amount for b in daemon.invoices if b.status == word)) for word in STATUSES}
    offered = caps(daemon.offers)
    found: Samples = {
        "orcha_golem_offers": (({}, len(daemon.offers)),),
        "orcha_golem_agreements_running": tuple(({"network": name}, deals[name]) for name in ("main", "test")),
        "orcha_golem_activities": tuple(({"state": word}, activities[word]) for word in ACTIVITY_STATES),
        "orcha_golem_invoices": tuple(
            ({"network": name, "status": word}, count[word])
            for name, count in (("main", main), ("test", test))
            for word in STATUSES
        ),
        "orcha_golem_invoiced_glm": tuple(({"status": word}, amount) for word, amount in invoiced.items()),
        "orcha_golem_debit_notes": tuple(({"status": word}, open_by_status[word]) for word in STATUSES),
    }
    units = {"cpu": "cpu_threads", "memory": "memory_bytes", "storage": "storage_bytes"}
    found |= {f"orcha_golem_offered_{units[name]}": (({}, amount),) for name, amount in offered.items()}
    return {name: _possible(given) for name, given in (found | _published_prices(daemon) | _told(daemon)).items()}


def _possible(given: tuple[tuple[Mapping[str, str], float], ...]) -> tuple[tuple[Mapping[str, str], float], ...]:
    return tuple((labels, value) for labels, value in given if 0 <= value <= LIMIT)


def _network(worth: bool) -> str:
    return "main" if worth else "test"


def _published_prices(daemon: Daemon) -> Samples:
    offer = next((offer for offer in daemon.offers if offer.worth and offer.prices is not None), None)
    if offer is None or offer.prices is None:
        return {}
    words = {"cpu": CPU, "duration": DURATION}
    hourly = tuple(
        ({"counter": word}, float(offer.prices[name] * 3600)) for word, name in words.items() if name in offer.prices
    )
    return {"orcha_golem_price_glm_per_hour": hourly, "orcha_golem_start_price_glm": (({}, float(offer.start)),)}


def _told(daemon: Daemon) -> Samples:
    """What is good to know, as far as the daemon told it."""
    found: Samples = {}
    if daemon.release is not None:
        found["orcha_golem_update_available"] = (({}, float(daemon.release.pending is not None)),)
    if daemon.accounts is not None:
        ready = Counter(_network(is_worth(account.platform)) for account in daemon.accounts if account.receive)
        found["orcha_golem_provider_accounts"] = tuple(({"network": name}, ready[name]) for name in ("main", "test"))
    if daemon.problems is not None:
        kinds = Counter(problem.kind if problem.kind in PROBLEMS else "other" for problem in daemon.problems)
        found["orcha_golem_payment_problems"] = tuple(({"kind": kind}, kinds[kind]) for kind in (*PROBLEMS, "other"))
    for name, (family, labels) in _COUNTERS.items():
        if (name, "") in daemon.counters:
            found[family] = (*found.get(family, ()), (labels, daemon.counters[name, ""]))
    if (paid := received(daemon)) is not None:
        found["orcha_golem_received_glm_total"] = (({}, float(paid)),)
    return found
