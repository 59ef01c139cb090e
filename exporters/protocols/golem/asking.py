"""Asking yagna: one daemon, one application key, everything that protocols/golem.py wants to know of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from exporters.collector import LIMIT
from exporters.errors import Malformed, Unreachable
from exporters.protocols.golem.shapes import (
    ACCOUNTS,
    AGREEMENT,
    BILLS,
    HEALTH,
    IDS,
    ME,
    OFFERS,
    PROBLEMS,
    RELEASE,
    ROWS,
    SILENT,
    STATE,
    USAGE,
    Account,
    Activity,
    Agreement,
    Bill,
    Daemon,
    Deal,
    Problem,
    Release,
    Terms,
    is_worth,
    shaped,
    terms_of,
)
from exporters.session import Answer, Session, refuse

T = TypeVar("T")

INVOICES_FOR: Final = timedelta(days=30)
"""The daemon keeps agreements for 90 days; 30 hold every invoice that can still be paid, at a third of the traffic."""
NOTES_FOR: Final = timedelta(hours=6)
"""A debit note comes every 2 minutes by default, and only the newest counts."""
PAGE: Final = 1000
MAX_PAGES: Final = 20
MAX_AGREEMENTS: Final = 256
NEWEST_ACTIVITIES: Final = 100
METRICS: Final = ("activity_provider_", "market_agreements_provider_", "payment_amount_received")
"""Beginnings of the daemon's own metrics that are read: 20 lines of 600."""


class Yagna:
    """Asks one daemon with one application key."""

    def __init__(self, session: Session, endpoint: str, key: str, patience: float) -> None:
        """`patience`: seconds for each of what is good to know and not needed."""
        self._session = session
        self._endpoint = endpoint
        self._headers = {"Authorization": f"Bearer {key}"}
        self._patience = patience

    async def answer(self, path: str, ok: tuple[int, ...] = (200,)) -> Answer:
        return await self._session.request("GET", self._endpoint + path, headers=self._headers, ok=ok)

    async def get(self, path: str, adapter: TypeAdapter[T]) -> T:
        return shaped(adapter, await self.answer(path))

    async def found(self, path: str, adapter: TypeAdapter[T]) -> T | None:
        """The same, None where what was listed a moment ago is gone: 404, or 500 with "Not found" for activities."""
        answer = await self.answer(path, ok=(200, 404, 500))
        if answer.status == 200:
            return shaped(adapter, answer)
        if answer.status == 404 or "not found" in answer.text().lower():
            return None
        raise refuse(answer)

    async def _patiently(self, asked: Coroutine[Any, Any, T]) -> T | None:
        """None where this release does not have it, or it alone fails (yagna #3066). That the key is refused is never hidden."""
        try:
            async with asyncio.timeout(self._patience):
                return await asked
        except (Malformed, Unreachable, TimeoutError):
            return None

    async def release(self) -> Release | None:
        return await self._patiently(self.get("/version/get", RELEASE))

    async def accounts(self) -> tuple[Account, ...] | None:
        return await self._patiently(self.get("/payment-api/v1/providerAccounts", ACCOUNTS))

    async def problems(self) -> tuple[Problem, ...] | None:
        return await self._patiently(self.get("/payment-api/v1/payments/status", PROBLEMS))

    async def me(self) -> tuple[str, datetime | None]:
        """The identity that the key belongs to, and the time by the daemon's own clock, where it says so."""
        answer = await self.answer("/me")
        return shaped(ME, answer).identity, _clock(answer)

    async def bills(self, path: str, after: datetime | None) -> list[Bill]:
        """Every invoice or debit note issued after a time, in ascending order, page by page.

        The next page begins a millisecond before the last one's end: bills of one instant may be torn apart.
        """
        seen: dict[str, Bill] = {}
        for _ in range(MAX_PAGES):
            page = await self.get(f"{path}?maxItems={PAGE}{'' if after is None else _after(after)}", BILLS)
            fresh = {bill.id: bill for bill in page if bill.id not in seen}
            seen |= fresh
            if len(page) < PAGE or not fresh:
                return list(seen.values())
            after = page[-1].timestamp - timedelta(milliseconds=1)
        raise Malformed(
            f"{self._endpoint}{path} goes on for more than {MAX_PAGES * PAGE} entries; no daemon has that many"
        )

    async def health(self) -> tuple[bool, str] | None:
        """(well, the step that failed). A 500 with problem+json is an answer, not a failure; None: it did not say."""
        answer = await self._patiently(self.answer("/healthcheck", ok=(200, 500)))
        try:
            said = {} if answer is None else shaped(HEALTH, answer)
        except Malformed:
            return None
        if "status" in said:
            return said["status"] == "ok", str(said["status"])[:80]
        return (False, str(said.get("step", said["type"]))[:80]) if "type" in said else None

    async def counters(self) -> dict[tuple[str, str], float]:
        """(name, platform or "") -> value, of the daemon's own metrics; empty where it does not give them."""
        answer = await self._patiently(self.answer("/metrics-api/v1/expose"))
        lines = [] if answer is None else [line for line in answer.text().splitlines() if line.startswith(METRICS)]
        try:
            families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
        except ValueError:
            return {}
        samples = [sample for family in families for sample in family.samples if 0 <= sample.value <= LIMIT]
        return {(sample.name, sample.labels.get("platform", "")): sample.value for sample in samples}


def _clock(answer: Answer) -> datetime | None:
    try:
        said = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return said if said.tzinfo else said.replace(tzinfo=UTC)


def _after(at: datetime) -> str:
    return f"&afterTimestamp={at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


async def look(api: Yagna) -> Daemon:
    """Ask everything at once that does not follow from something else."""
    me, clock = await api.me()
    with _one_error():
        async with asyncio.TaskGroup() as group:
            offers = group.create_task(api.get("/market-api/v1/offers", OFFERS))
            approved = group.create_task(api.get("/market-api/v1/agreements?state=Approved", ROWS))
            invoices = group.create_task(api.bills("/payment-api/v1/invoices", clock and clock - INVOICES_FOR))
            notes = group.create_task(api.bills("/payment-api/v1/debitNotes", clock and clock - NOTES_FOR))
            release = group.create_task(api.release())
            accounts = group.create_task(api.accounts())
            problems = group.create_task(api.problems())
            health = group.create_task(api.health())
            counters = group.create_task(api.counters())
    own = [bill for bill in invoices.result() if bill.issuer_id == me]
    open_notes = [bill for bill in notes.result() if bill.issuer_id == me and is_worth(bill.payment_platform)]
    invoiced = {bill.agreement_id for bill in own}
    sold = [row.id for row in approved.result() if row.role == "Provider"]
    sold += [note.agreement_id for note in open_notes if note.agreement_id not in invoiced]
    return Daemon(
        me,
        clock,
        tuple(terms_of(offer.properties) for offer in offers.result() if offer.provider_id == me),
        await _deals(api, me, clock, tuple(dict.fromkeys(sold))),
        tuple(bill for bill in own if is_worth(bill.payment_platform)),
        tuple(open_notes),
        tuple(bill for bill in own if not is_worth(bill.payment_platform)),
        release.result(),
        accounts.result(),
        problems.result(),
        health.result(),
        counters.result(),
    )


async def _deals(api: Yagna, me: str, clock: datetime | None, agreements: tuple[str, ...]) -> tuple[Deal, ...]:
    if len(agreements) > MAX_AGREEMENTS:
        raise Malformed(f"the daemon says that it serves {len(agreements)} agreements at once; no provider does")
    with _one_error():
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_deal(api, me, clock, agreement)) for agreement in agreements]
    return tuple(deal for task in asked if (deal := task.result()) is not None)


async def _deal(api: Yagna, me: str, clock: datetime | None, name: str) -> Deal | None:
    """None where the agreement is gone, or belongs to another identity of the daemon."""
    agreement = await api.found(f"/market-api/v1/agreements/{name}", AGREEMENT)
    if agreement is None or agreement.offer.provider_id != me:
        return None
    terms = terms_of(agreement.offer.properties)
    platform = agreement.demand.properties.get("golem.com.payment.chosen-platform")
    ids = await api.found(f"/activity-api/v1/activity?agreementId={name}", IDS) or []
    with _one_error():
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_activity(api, terms, one)) for one in ids[-NEWEST_ACTIVITIES:]]
    activities = tuple(found for task in asked if (found := task.result()) is not None)
    worth = is_worth(platform) if isinstance(platform, str) else terms.worth
    return Deal(name, _runs(agreement, activities, clock), worth, terms, activities)


def _runs(agreement: Agreement, activities: tuple[Activity, ...], clock: datetime | None) -> bool:
    """Whether an agreement may still use what it was sold.

    A provider that was killed leaves its agreements approved for ever: past its end, one counts only while it reports.
    """
    if agreement.state != "Approved":
        return False
    if clock is None or agreement.valid_to is None or clock <= agreement.valid_to:
        return True
    return any(activity.live and clock.timestamp() - activity.reported <= SILENT for activity in activities)


async def _activity(api: Yagna, terms: Terms, name: str) -> Activity | None:
    state = await api.found(f"/activity-api/v1/activity/{name}/state", STATE)
    usage = await api.found(f"/activity-api/v1/activity/{name}/usage", USAGE)
    if state is None or usage is None:
        return None
    return Activity(name, state.state[0], terms.used(usage), usage.timestamp)


@contextmanager
def _one_error() -> Iterator[None]:
    """The first of the requests that failed, as the error that it is; a group of them says nothing more."""
    try:
        yield
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
