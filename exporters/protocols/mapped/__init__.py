"""Any JSON or Prometheus endpoint, read as the workload's own `mapping` says (O2). docs/protocols/mapped.md has the form.

In: `mapping` of the manifest (mapping.py) and what the requests answer. Out: a Reading with the figures that
were found (extract.py); the rest stays unknown. Secrets come from files at every look, so that a changed
password needs no restart, and are taken out of every message, also where a URL or a node's own words hold them.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from exporters.collector import Family, Payloads, Workload
from exporters.documents import Path_, tell
from exporters.errors import Malformed, PollError
from exporters.nodes import WorkloadSpec
from exporters.protocols.mapped.extract import is_healthy, meets, number_of, samples_of, time_of, word_of
from exporters.protocols.mapped.mapping import (
    FILE,
    Amount,
    Figures,
    Mapping,
    Number,
    Rate,
    Request,
    UsdRate,
    names_a_file,
)
from exporters.protocols.mapped.mapping_rules import crossed, order_of
from exporters.protocols.mapped.requesting import Secrets
from exporters.reading import USD, Native, Pool, Quality, Reading
from exporters.session import Answer, Session
from exporters.traits import CurveKind, Traits

__all__ = ["FAMILIES", "TRAITS", "Mapping", "check", "fetch", "parse", "plan_of", "traits_of"]

TRAITS = Traits()
"""Of a mapping that says nothing of itself: watched, never moved."""
FAMILIES: dict[str, Family] = {}

COUNTERS: Final = "(counters)"
"""The payload with the values of this look's counters. No request can have this name."""
_NO_CONTENT: Final = 204


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping made ready once, for all workloads that have the same."""

    mapping: Mapping
    traits: Traits
    rounds: Sequence[Sequence[str]]
    """The requests, in rounds that need only the values of those before."""
    metrics: MappingOf[str, frozenset[str]]
    """request -> the Prometheus metrics that anything asks of it."""


_PLANS: dict[int, tuple[weakref.ref[WorkloadSpec], Plan]] = {}
"""id of a spec -> its plan, as long as the spec lives. Specs cannot be hashed: they hold plain data."""


def plan_of(spec: WorkloadSpec) -> Plan:
    """The plan of a workload. Raises pydantic's ValidationError for a mapping that `check` refuses."""
    known = _PLANS.get(id(spec))
    if known is not None and known[0]() is spec:
        return known[1]
    plan = _planned(json.dumps(spec.mapping, sort_keys=True))
    key = id(spec)
    _PLANS[key] = (weakref.ref(spec, lambda _: _PLANS.pop(key, None)), plan)
    return plan


@lru_cache(maxsize=1024)
def _planned(text: str) -> Plan:
    mapping = Mapping.model_validate(json.loads(text), by_name=False)
    figures = mapping.figures
    counts = bool(figures.lifetime_native) or any(amount.counter for amount in figures.used)
    traits = Traits(**mapping.traits.model_dump(), keeps=(COUNTERS,) if counts else ())
    asked: dict[str, set[str]] = {name: set() for name in mapping.requests}
    for place in [*mapping.expect, *(figure for _, figure in figures.each())]:
        if place.metric is not None and place.request in asked:
            asked[place.request].add(place.metric)
    metrics = {name: frozenset(wanted) for name, wanted in asked.items()}
    return Plan(mapping, traits, order_of(mapping) or [], metrics)


def traits_of(spec: WorkloadSpec) -> Traits:
    """What the mapping declares of itself."""
    return TRAITS if spec.mapping is None else plan_of(spec).traits


def check(spec: WorkloadSpec) -> Iterator[tuple[Path_, str]]:
    """What is wrong with a workload of this protocol: (path below the workload, sentence with what would be right)."""
    credentials = spec.credentials.model_extra or {}
    for key, value in credentials.items():
        if not names_a_file(key, value):
            yield ("credentials", key), f"must name a file; write {key.removesuffix(FILE)}{FILE}: /run/secrets/..."
    for key, value in spec.options.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            yield ("options", key), "must be a word or a number; it is the value of a placeholder of the same name"
    try:
        mapping = Mapping.model_validate(spec.mapping or {}, by_name=False)
    except ValidationError as exc:
        yield from tell(exc, Mapping, ("mapping",))
        return
    given = {key.removesuffix(FILE) for key in credentials} | spec.options.keys()
    yield from ((("mapping", *path), sentence) for path, sentence in crossed(mapping, given))
    yield from _allocation_fits(spec, mapping)


def _allocation_fits(spec: WorkloadSpec, mapping: Mapping) -> Iterator[tuple[Path_, str]]:
    allocation, traits = spec.allocation, mapping.traits
    if allocation is None:
        return
    if traits.curve is CurveKind.NONE:
        yield (
            ("allocation",),
            "its earnings have no curve, so it is watched and never moved; say mapping.traits.curve, or leave this out",
        )
    elif allocation.resource != traits.resource:
        yield ("allocation", "resource"), f"mapping.traits says that it is allocated in {traits.resource}; write that"
    elif allocation.min < traits.min_allocation:
        yield ("allocation", "min"), f"is below mapping.traits.minAllocation of {traits.min_allocation:g}; raise it"


# --- fetch ------------------------------------------------------------------------------------------------------------


async def fetch(session: Session, workload: Workload) -> Payloads:
    """The answer of each request: JSON decoded, of Prometheus text the samples that the mapping names."""
    plan, secrets = plan_of(workload.spec), Secrets(workload)
    bodies: dict[str, Any] = {}
    try:
        for names in plan.rounds:
            answered = await _together([_ask(session, plan, name, secrets) for name in names])
            bodies.update(zip(names, answered, strict=True))
            for name in names:
                secrets.take(name, plan.mapping.requests[name], bodies[name])
    except PollError as exc:
        raise secrets.without(exc) from None  # the chain would tell what the sentence hides
    if plan.traits.keeps:
        bodies[COUNTERS] = _counted(plan.mapping, bodies)
    return Payloads(bodies, 0.0)


async def _together(asked: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """All at once; the first that fails ends the others and is what is raised."""
    if len(asked) == 1:
        return [await asked[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


async def _ask(session: Session, plan: Plan, name: str, secrets: Secrets) -> Any:
    request = plan.mapping.requests[name]
    url, headers = secrets.in_url(request.url), secrets.headers(request)
    body = secrets.in_body(request.body)
    answer = await session.request(request.method, url, headers=headers, json=body, ok=tuple(request.ok))
    return _decoded(request, answer, plan.metrics[name])


def _decoded(request: Request, answer: Answer, metrics: frozenset[str]) -> Any:
    if request.format == "prometheus":
        return samples_of(answer, metrics)
    return None if answer.status == _NO_CONTENT else answer.json()


def _counted(mapping: Mapping, bodies: MappingOf[str, Any]) -> dict[str, float]:
    """The sum of the counters of each token and resource; absent where any part is unknown or `parse` will refuse it."""
    try:
        return {key: total for key, total in _counters(mapping, bodies).items() if total is not None}
    except Malformed:
        return {}


def _counters(mapping: Mapping, bodies: MappingOf[str, Any]) -> dict[str, float | None]:
    """The counter's value by "lifetime_native MYST" or "used bandwidth".

    Several of one token are summed before they are compared: fees wait in one metric and are claimed in another.
    """
    figures = mapping.figures
    return {
        **{
            f"lifetime_native {token}": value
            for token, value in _sums(bodies, _by_token(figures.lifetime_native)).items()
        },
        **{
            f"used {resource}": value
            for resource, value in _sums(bodies, _by_resource(mapping, [u for u in figures.used if u.counter])).items()
        },
    }


# --- parse ------------------------------------------------------------------------------------------------------------


def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
    """The figures that the mapping finds. Raises Malformed where the answers are not as expected, or hold none of them."""
    plan = plan_of(workload.spec)
    mapping, figures, bodies = plan.mapping, plan.mapping.figures, payloads.bodies
    for expect in mapping.expect:
        meets(expect, bodies[expect.request])
    counters = _counters(mapping, bodies)
    notes: list[str] = []
    risen = _risen(counters, payloads, notes)
    used = _amounts(mapping, [amount for amount in figures.used if not amount.counter], bodies) | risen["used"]
    state = _state(figures, bodies, notes)
    allocated, configured = (_amounts(mapping, found, bodies) for found in (figures.allocated, figures.configured))
    if mapping.traits.frees_when == "drained":
        allocated, configured = _undrained(allocated, used, workload), configured or allocated
    reading = Reading(
        workload.node,
        workload.name,
        workload.protocol,
        now,
        state=state,
        states=tuple(figures.state.words) if figures.state else (),
        healthy=_healthy(figures, bodies, now),
        version=word_of(figures.version, bodies) if figures.version else None,
        node_id=word_of(figures.node_id, bodies) if figures.node_id else None,
        quality=_quality(figures),
        native=_native(mapping, bodies, risen["lifetime_native"]),
        allocated=allocated,
        configured=configured,
        used=used,
        irreversible=_irreversible(mapping, bodies, used),
        pool=_pool(figures, bodies),
        payout_threshold_usd=figures.payout_threshold_usd,
        payout_expected_at=time_of(figures.payout_expected_at, bodies) if figures.payout_expected_at else None,
        notes=tuple(notes),
    )
    if not _says_something(reading) and not any(value is not None for value in counters.values()):
        raise Malformed(f"{workload.endpoint} answered, and none of the mapping's figures was in it; check the paths")
    return _at_its_price(reading, mapping)


def _undrained(allocated: dict[str, float], used: dict[str, float], workload: Workload) -> dict[str, float]:
    """What is not free: work that began under a larger allocation keeps what it uses, until it ends. A use beyond all that
    its owner ever allowed is none that was begun so, but a figure to doubt.
    """
    allocation = workload.spec.allocation
    if allocation is not None and not used.get(allocation.resource, 0.0) <= allocation.max:
        return allocated
    return {resource: max(amount, used.get(resource, 0.0)) for resource, amount in allocated.items()}


def _at_its_price(reading: Reading, mapping: Mapping) -> Reading:
    """Until two looks tell what a lifetime counter gained: what is used, at its published price, and labelled estimated.

    Only where that is all that is earned: not beside another rate, or the price of another resource, nor with a token of
    the counter without a price. A part would pass for the whole.
    """
    figures, native = mapping.figures, reading.native
    if native.gross_per_hour or not figures.lifetime_native or figures.rate_native or figures.rate_usd:
        return reading
    resource = mapping.traits.resource or ""
    prices, used = native.price_per_unit_hour.get(resource), reading.used.get(resource)
    if not prices or used is None or set(_by_resource(mapping, figures.price)) != {resource}:
        return reading
    if set(prices) != set(_by_token(figures.lifetime_native)):
        return reading
    rates = {token: price * used for token, price in prices.items()}
    return replace(reading, native=replace(native, gross_per_hour=rates), quality=Quality.ESTIMATED)


def _says_something(reading: Reading) -> bool:
    native = reading.native
    figures = (reading.used, reading.allocated, reading.configured, reading.irreversible)
    money = (native.gross_per_hour, native.balance, native.price_per_unit_hour)
    words = (reading.healthy, reading.state, reading.version, reading.node_id, reading.pool, reading.payout_expected_at)
    return any([*figures, *money, *reading.notes]) or any(word is not None for word in words)


def _risen(counters: MappingOf[str, float | None], payloads: Payloads, notes: list[str]) -> dict[str, dict[str, float]]:
    """What each counter gained since the look before: per hour for money, per second for resources.

    A counter that fell was reset or corrected. That is no loss, and what it gained is not known: no rate from this look.
    """
    risen: dict[str, dict[str, float]] = {"used": {}, "lifetime_native": {}}
    previous = payloads.previous
    before = previous.get(COUNTERS) if previous else None
    seconds = payloads.at - previous.at if previous else 0.0
    for key, value in counters.items() if before and seconds > 0 else ():
        kind, what = key.split(" ", 1)
        last = before.get(key) if before else None
        if value is None or last is None:
            continue
        if value < last:
            notes.append(f"{key} fell from {last:g} to {value:g}: a restart or a correction; no rate from this look")
            continue
        risen[kind][what] = (value - last) / seconds * (3600.0 if kind == "lifetime_native" else 1.0)
    return risen


def _by_token(figures: Iterable[Any]) -> dict[str, list[Number]]:
    groups: dict[str, list[Number]] = {}
    for figure in figures:
        groups.setdefault(figure.token, []).append(figure)
    return groups


def _by_resource(mapping: Mapping, amounts: Iterable[Any]) -> dict[str, list[Number]]:
    groups: dict[str, list[Number]] = {}
    for amount in amounts:
        groups.setdefault(amount.resource or mapping.traits.resource or "", []).append(amount)
    return groups


def _sums(bodies: MappingOf[str, Any], groups: MappingOf[str, Sequence[Number]]) -> dict[str, float | None]:
    """The sum of each group; None where any part of it is unknown: a partial sum is no figure."""
    sums: dict[str, float | None] = {}
    for name, figures in groups.items():
        values = [_per_hour(figure, bodies) for figure in figures]
        known = [value for value in values if value is not None]
        sums[name] = sum(known) if len(known) == len(values) else None
    return sums


def _per_hour(figure: Number, bodies: MappingOf[str, Any]) -> float | None:
    """The figure; one that is for a stretch of time, for an hour."""
    value, per = number_of(figure, bodies), getattr(figure, "per", None)
    return value if value is None or per is None else value * 3600.0 / per


def _known(sums: MappingOf[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in sums.items() if value is not None}


def _amounts(mapping: Mapping, amounts: Sequence[Amount], bodies: MappingOf[str, Any]) -> dict[str, float]:
    return _known(_sums(bodies, _by_resource(mapping, amounts)))


def _irreversible(mapping: Mapping, bodies: MappingOf[str, Any], used: MappingOf[str, float]) -> dict[str, float]:
    """As the mapping says; else, where its traits say that use cannot be taken back, all that is used."""
    if mapping.figures.irreversible or not mapping.traits.irreversible:
        return _amounts(mapping, mapping.figures.irreversible, bodies)
    return {name: value for name, value in used.items() if name == mapping.traits.resource}


def _native(mapping: Mapping, bodies: MappingOf[str, Any], risen: MappingOf[str, float]) -> Native:
    figures = mapping.figures
    rates: dict[str, float | None] = {token: risen.get(token) for token in _by_token(figures.lifetime_native)}
    rates |= _sums(bodies, _by_token(figures.rate_native))
    if figures.rate_usd:
        rates[USD] = _per_hour(figures.rate_usd, bodies)
    balances = {kind: _all(_sums(bodies, _by_token(several))) for kind, several in figures.balances.items()}
    prices = {
        resource: _all(_sums(bodies, _by_token(several)))
        for resource, several in _by_resource(mapping, figures.price).items()
    }
    return Native(
        _all(rates),
        None,
        {kind: amounts for kind, amounts in balances.items() if amounts},
        {resource: amounts for resource, amounts in prices.items() if amounts},
    )


def _all(sums: MappingOf[str, float | None]) -> dict[str, float]:
    """All of them, or nothing: without one token the rest would pass for the whole."""
    known = _known(sums)
    return known if len(known) == len(sums) else {}


def _quality(figures: Figures) -> Quality | None:
    rates: list[Rate | UsdRate] = [*figures.rate_native, *([figures.rate_usd] if figures.rate_usd else [])]
    if any(rate.quality == "estimated" for rate in rates):
        return Quality.ESTIMATED
    return Quality.MEASURED if rates or figures.lifetime_native else None


def _pool(figures: Figures, bodies: MappingOf[str, Any]) -> Pool | None:
    payout = _per_hour(figures.pool_payout, bodies) if figures.pool_payout else None
    others = number_of(figures.pool_others, bodies) if figures.pool_others else None
    if figures.pool_payout is None or payout is None or others is None:
        return None
    return Pool({figures.pool_payout.token: payout}, others)


def _healthy(figures: Figures, bodies: MappingOf[str, Any], now: float) -> bool | None:
    """All conditions hold; False as soon as one does not; None where none fails and one is unknown."""
    said = [is_healthy(one, bodies, now) for one in figures.healthy]
    if False in said:
        return False
    return True if said and None not in said else None


def _state(figures: Figures, bodies: MappingOf[str, Any], notes: list[str]) -> str | None:
    word = word_of(figures.state, bodies) if figures.state else None
    if figures.state is None or word is None or word in figures.state.words:
        return word
    notes.append(f"the state {word!r} is none of the mapping's words; taken as unknown")
    return None
