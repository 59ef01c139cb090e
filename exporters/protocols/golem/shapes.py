"""What yagna's REST API answers, in its shapes, and the offer's vocabulary. Pure.

Documented answers only (reference storj-golem 2.2, recorded from yagna 0.17.6; ya-client's specs/*.yaml). Shapes name
what is read and ignore the rest; whatever does not fit is Malformed, with the path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from exporters.errors import Malformed
from exporters.session import Answer

T = TypeVar("T")

CPU: Final = "golem.usage.cpu_sec"
DURATION: Final = "golem.usage.duration_sec"
SILENT: Final = 15.0
"""Seconds without a report of usage after which yagna itself gives an activity up (5 s unresponsive + 10 s)."""
TESTNETS: Final = frozenset({"holesky", "hoodi", "amoy", "sepolia", "goerli", "mumbai", "rinkeby"})


def _utc(value: Any) -> Any:
    """Times come with 0, 3 or 9 digits of a second, and without a zone in older tables: those are UTC too."""
    if not isinstance(value, str):
        return value
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Time = Annotated[AwareDatetime, BeforeValidator(_utc)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore")


class Me(_Said):
    identity: str


class Version(_Said):
    version: str


class Release(_Said):
    current: Version
    pending: Version | None = None
    """A newer one, where there is."""


class Properties(_Said):
    properties: dict[str, Any]


class Offer(Properties):
    provider_id: str


class AgreementRow(_Said):
    id: str
    role: str


class Agreement(_Said):
    agreement_id: str
    state: str
    offer: Offer
    demand: Properties
    valid_to: Time | None = None


class Bill(_Said):
    """An invoice, or a debit note; the note's amount is the whole of its activity so far."""

    id: str = Field(validation_alias=AliasChoices("invoiceId", "debitNoteId"))
    issuer_id: str
    agreement_id: str
    activity_id: str | None = None
    payment_platform: str
    amount: Amount = Field(validation_alias=AliasChoices("amount", "totalAmountDue"))
    """GLM; a decimal string in the answer."""
    timestamp: Time
    payment_due_date: Time | None = None
    status: str


class ActivityState(_Said):
    state: tuple[str, str | None]


class Usage(_Said):
    current_usage: list[float] | None = None
    """In the order of the usage vector; absent before the execution unit's first report."""
    timestamp: float


class Account(_Said):
    platform: str
    receive: bool


class Problem(_Said):
    kind: str


ME, RELEASE, AGREEMENT = TypeAdapter(Me), TypeAdapter(Release), TypeAdapter(Agreement)
OFFERS, ROWS, BILLS = TypeAdapter(list[Offer]), TypeAdapter(list[AgreementRow]), TypeAdapter(list[Bill])
IDS, STATE, USAGE = TypeAdapter(list[str]), TypeAdapter(ActivityState), TypeAdapter(Usage)
ACCOUNTS, PROBLEMS = TypeAdapter(tuple[Account, ...]), TypeAdapter(tuple[Problem, ...])
HEALTH = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer sells and for how much; None where it does not say, or says nonsense."""

    threads: float | None
    memory: float | None
    """GiB."""
    storage: float | None
    """GiB."""
    prices: Mapping[str, Decimal] | None
    """usage counter -> GLM per unit (per second of CPU time, of wall time ...)."""
    start: Decimal
    """GLM for starting an activity."""
    counters: tuple[str, ...]
    """The usage vector: the order in which usage is reported."""
    worth: bool
    """It can be paid in GLM on a main network."""

    def used(self, reported: Usage) -> Mapping[str, float] | None:
        """How much was used of each counter; None where nothing (that fits) was reported yet."""
        values = reported.current_usage
        if values is None or len(values) != len(self.counters):
            return None
        return dict(zip(self.counters, values, strict=True))

    def cost(self, usage: Mapping[str, float] | None) -> Decimal | None:
        """GLM for an activity: start + sum of price x usage; None where prices or usage are not known.

        cpu 6.944444e-06/s, duration 1.388889e-06/s, start 0; usage cpu 90.75 s, duration 37.5 s
        -> 90.75 x 6.944444e-06 + 37.5 x 1.388889e-06 = 0.000682.
        """
        if self.prices is None or usage is None:
            return None
        used = {name: Decimal(str(value)) for name, value in usage.items()}
        if not all(value.is_finite() for value in used.values()):
            return None
        return self.start + sum((price * used[name] for name, price in self.prices.items()), Decimal(0))


def is_worth(platform: str) -> bool:
    """Whether a payment platform pays real GLM: erc20-polygon-glm does, erc20-holesky-tglm does not."""
    _, _, rest = platform.lower().partition("-")
    network, _, coin = rest.rpartition("-")
    return coin == "glm" and network not in TESTNETS


def terms_of(properties: Mapping[str, Any]) -> Terms:
    """Read an offer's properties. Coefficients belong to the usage vector's entries by position *there*; the start price is last."""
    counters = properties.get("golem.com.usage.vector")
    names = tuple(str(name) for name in counters) if isinstance(counters, list) else ()
    given = properties.get("golem.com.pricing.model.linear.coeffs")
    coefficients = [_number(value) for value in given] if isinstance(given, list) else []
    known = [Decimal(str(value)) for value in coefficients if value is not None and value >= 0]
    linear = properties.get("golem.com.pricing.model") == "linear" and len(coefficients) == len(known) == len(names) + 1
    prefix, suffix = "golem.com.payment.platform.", ".address"
    platforms = [
        name[len(prefix) : -len(suffix)] for name in properties if name.startswith(prefix) and name.endswith(suffix)
    ]
    return Terms(
        _number(properties.get("golem.inf.cpu.threads")),
        _number(properties.get("golem.inf.mem.gib")),
        _number(properties.get("golem.inf.storage.gib")),
        dict(zip(names, known, strict=False)) if linear else None,
        known[-1] if linear else Decimal(0),
        names,
        any(is_worth(platform) for platform in platforms),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, slots=True)
class Activity:
    id: str
    state: str
    usage: Mapping[str, float] | None
    """counter -> how much was used; None before the first report."""
    reported: float
    """Unix seconds of that report, by the daemon's clock."""

    @property
    def live(self) -> bool:
        return self.state != "Terminated"


@dataclass(frozen=True, slots=True)
class Deal:
    """An agreement that runs, or that ended and has no invoice yet."""

    id: str
    running: bool
    """It may still use what it was sold."""
    worth: bool
    """Paid in GLM on a main network."""
    terms: Terms
    """Of the offer that was agreed upon, which may be older than the published one."""
    activities: tuple[Activity, ...]


@dataclass(frozen=True, slots=True)
class Daemon:
    """What was answered, decoded: the own side of the market only."""

    me: str
    clock: datetime | None
    """Of the daemon; None: it did not say."""
    offers: tuple[Terms, ...]
    deals: tuple[Deal, ...]
    invoices: tuple[Bill, ...]
    """On main networks, as are the notes."""
    notes: tuple[Bill, ...]
    worthless: tuple[Bill, ...] = ()
    """Invoices on test networks."""
    release: Release | None = None
    accounts: tuple[Account, ...] | None = None
    problems: tuple[Problem, ...] | None = None
    health: tuple[bool, str] | None = None
    counters: Mapping[tuple[str, str], float] = field(default_factory=dict)


def shaped(adapter: TypeAdapter[T], answer: Answer) -> T:
    """The answer in its shape. Raises Malformed, which names the first place that does not fit."""
    try:
        return adapter.validate_json(answer.body)
    except ValidationError as exc:
        answer.json()  # says so where it is a web page, or no JSON at all
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole body"
        raise Malformed(f"{answer.url} answered another shape than yagna does, at {where}: {first['msg']}") from exc
