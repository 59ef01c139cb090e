"""The Collector contract, its discovery by module name, and one guarded look at one workload.

A protocol is one module under `protocols/` with four names:

    TRAITS: Traits                  what it declares about itself
    FAMILIES: dict[str, Family]     the metric families of what only it has (may be empty)
    async fetch(session, workload) -> Payloads      all the I/O; raises PollError only
    parse(payloads, workload, now) -> Reading       pure; raises Malformed only

Module name = `protocol:` in the YAML. Nothing else is looked at.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from exporters import protocols
from exporters.deadline import within
from exporters.errors import Malformed, PollError, TimedOut, Unauthorized
from exporters.nodes import Allocation, Node, Power, WorkloadSpec
from exporters.reading import Connection, Native, Pool, Quality, Reading
from exporters.session import Session
from exporters.traits import Traits


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload as the exporters see it: its place, what its owner wrote, and its protocol's traits."""

    node: str
    name: str
    spec: WorkloadSpec
    traits: Traits
    power: Power | None = None
    """Of its node: the tariff that its watts are charged at."""

    @property
    def key(self) -> str:
        return f"{self.node}/{self.name}"

    @property
    def protocol(self) -> str:
        return self.spec.protocol

    @property
    def endpoint(self) -> str:
        """Without a trailing slash."""
        return self.spec.endpoint.rstrip("/")

    @property
    def allocation(self) -> Allocation | None:
        return self.spec.allocation

    @property
    def poll_interval(self) -> float:
        return self.spec.poll_interval or self.traits.poll_interval

    @property
    def timeout(self) -> float:
        return self.spec.timeout or self.traits.timeout

    @property
    def stale_after(self) -> float:
        return self.traits.stale_seconds(self.spec.poll_interval, self.spec.timeout)


@dataclass(frozen=True, slots=True)
class Payloads:
    """What a node answered in one look, decoded but not judged."""

    bodies: Mapping[str, Any]
    at: float
    """Unix seconds when the look began. `fetch` leaves 0; `look` fills it in."""
    previous: Payloads | None = None
    """Of the last look that gave a Reading: only the bodies that `Traits.keeps` names, never its own `previous`."""

    def __getitem__(self, name: str) -> Any:
        return self.bodies[name]

    def get(self, name: str) -> Any:
        return self.bodies.get(name)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family of what only one protocol has. Names start with orcha_PROTOCOL_ and follow metrics.md."""

    help: str
    kind: str = "gauge"
    labels: tuple[str, ...] = ()


@runtime_checkable
class Collector(Protocol):
    TRAITS: Traits
    FAMILIES: Mapping[str, Family]

    fetch: Callable[[Session, Workload], Coroutine[Any, Any, Payloads]]
    parse: Callable[[Payloads, Workload, float], Reading]


class UnknownProtocol(LookupError):
    """A `protocol:` that no module is named after; `str()` lists those that exist."""


def names() -> tuple[str, ...]:
    """Every protocol there is, sorted."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(protocols.__path__)))


def load(name: str) -> Collector:
    """The module of one protocol. Raises UnknownProtocol; an error inside the module is not swallowed."""
    if name not in names():
        raise UnknownProtocol(f"there is no protocol {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"exporters.protocols.{name}")
    if not isinstance(module, Collector):
        raise TypeError(f"exporters/protocols/{name}.py must define TRAITS, FAMILIES, fetch and parse")
    return module


def discover() -> dict[str, Collector]:
    return {name: load(name) for name in names()}


def traits_of(collector: Collector, spec: WorkloadSpec) -> Traits:
    """The traits that hold for one workload: the module's, or what a mapping says of itself (`mapped.traits_of`)."""
    own: Callable[[WorkloadSpec], Traits] | None = getattr(collector, "traits_of", None)
    return own(spec) if own else collector.TRAITS


def workloads_of(nodes: Iterable[Node], collectors: Mapping[str, Collector]) -> tuple[Workload, ...]:
    """Every workload of the nodes, in the order of their keys."""
    found = [
        Workload(node.name, name, spec, traits_of(collectors[spec.protocol], spec), node.spec.power)
        for node in nodes
        for name, spec in node.spec.workloads.items()
    ]
    return tuple(sorted(found, key=lambda workload: workload.key))


def read_secret(path: str | Path) -> str:
    """The content of a credential file, stripped. Raises Unauthorized, which says what to do; never the content."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError as exc:
        raise Unauthorized(f"the credential file {path} does not exist; create it, readable only by orcha") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise Unauthorized(f"the credential file {path} cannot be read ({type(exc).__name__})") from exc
    if not text:
        raise Unauthorized(f"the credential file {path} is empty; put the secret into it")
    return text


def read_key(path: str | Path) -> str:
    """A credential that goes into an HTTP header: one line of printable ASCII. Raises Unauthorized as `read_secret` does."""
    key = read_secret(path)
    if not key.isascii() or not key.isprintable():
        raise Unauthorized(
            f"the credential file {path} holds several lines, or letters that no key has; put the key alone into it"
        )
    return key


async def look(
    collector: Collector, session: Session, workload: Workload, now: float, previous: Payloads | None = None
) -> tuple[Reading, Payloads | None]:
    """One guarded look: fetch within the time limit, parse, check that the figures are possible.

    Always gives a Reading: `up` False with the kind of failure where there was nothing to read. Also gives what the
    next look wants to see of this one. Never raises, cancellation apart.
    """
    try:
        with within(workload.timeout):
            bodies = (await collector.fetch(session, workload)).bodies
        reading = possible(collector.parse(Payloads(bodies, now, previous), workload, now))
    except PollError as exc:
        return failed(workload, now, exc), previous
    except TimeoutError:
        late = TimedOut(f"{workload.endpoint} did not answer within {workload.timeout:.0f} s")
        return failed(workload, now, late), previous
    except Exception as exc:  # noqa: BLE001 one lying node must not spoil the others, whatever it found to trip us with
        odd = Malformed(f"{workload.endpoint} answered what orcha cannot read ({type(exc).__name__}: {exc})")
        return failed(workload, now, odd), previous
    if not workload.traits.keeps:
        return reading, None
    kept = {name: bodies[name] for name in workload.traits.keeps if name in bodies}
    return reading, Payloads(kept, now)


def failed(workload: Workload, now: float, why: PollError) -> Reading:
    """The Reading of a look that gave none."""
    return Reading(
        workload.node, workload.name, workload.protocol, now,
        up=False, failure=why.reason, failure_message=str(why), retry_after=getattr(why, "retry_after", None),
        connection=Connection.DISCONNECTED,
    )  # fmt: skip


LIMIT = 1e18
"""No real figure in base units is larger: a node that says so lies."""
LATEST = 7258118400.0
"""The year 2200 in Unix seconds: no payout is promised for later."""


@dataclass
class _Doubt:
    notes: list[str] = field(default_factory=list)

    def figures(self, what: str, values: Mapping[str, float]) -> dict[str, float]:
        """Only the figures that can be true: finite, not negative, not absurd."""
        good = {}
        for name, value in values.items():
            if math.isfinite(value) and 0 <= value <= LIMIT:
                good[name] = value
            else:
                self.notes.append(f"{what} {name} is {value:g}, which cannot be; taken as unknown")
        return good

    def figure(self, what: str, value: float | None, most: float = LIMIT, least: float = 0.0) -> float | None:
        if value is None or least <= value <= most:
            return value
        self.notes.append(f"{what} is {value:g}, which cannot be; taken as unknown")
        return None

    def pool(self, pool: Pool | None) -> Pool | None:
        """None where any part cannot be: a curve of half a pool would be worth nothing."""
        if pool is None or _is_pool(pool):
            return pool
        self.notes.append(
            f"the pool says {pool.others:g} of others, which cannot be, or its payout cannot; taken as unknown"
        )
        return None


def _is_pool(pool: Pool) -> bool:
    parts = (pool.others, *pool.payout_native_per_hour.values())
    return all(0 <= part <= LIMIT for part in parts) and (pool.net_share is None or 0 <= pool.net_share <= 1)


def _is_plain(reading: Reading) -> bool:
    """Whether every figure can be true: the usual case, told without building anything."""
    native = reading.native
    groups = (
        reading.used, reading.allocated, reading.configured, reading.irreversible, native.gross_per_hour,
        native.net_per_hour, *native.balance.values(), *native.price_per_unit_hour.values(),
    )  # fmt: skip
    for values in groups:
        if values:
            for value in values.values():
                if not 0 <= value <= LIMIT:
                    return False
    for name, value in reading.used.items():
        if value > 10 * reading.allocated.get(name, math.inf) > 0:
            return False
    growth, pool = reading.growth_per_hour, reading.pool
    return (
        (growth is None or abs(growth) <= LIMIT)
        and (pool is None or _is_pool(pool))
        and 0 <= (reading.payout_threshold_usd or 0.0) <= LIMIT
        and 0 <= (reading.payout_expected_at or 0.0) <= LATEST
    )


def possible(reading: Reading) -> Reading:
    """The Reading with every impossible figure made unknown, and a note for each: NaN, negative, 1e308, used > 10 x allocated."""
    if _is_plain(reading):
        return reading
    doubt = _Doubt()
    used = doubt.figures("used", reading.used)
    allocated = doubt.figures("allocated", reading.allocated)
    for resource in [name for name, value in used.items() if value > 10 * allocated.get(name, math.inf) > 0]:
        doubt.notes.append(
            f"used {resource} is {used[resource]:g} with {allocated[resource]:g} allocated; taken as unknown"
        )
        del used[resource]
    configured = doubt.figures("configured", reading.configured)
    irreversible = doubt.figures("irreversible", reading.irreversible)
    gross = reading.native
    native = Native(
        doubt.figures("earned per hour in", gross.gross_per_hour),
        None if gross.net_per_hour is None else doubt.figures("net per hour in", gross.net_per_hour),
        {kind: doubt.figures(f"balance {kind} in", values) for kind, values in gross.balance.items()},
        {
            resource: doubt.figures(f"price of {resource} in", values)
            for resource, values in gross.price_per_unit_hour.items()
        },
    )
    if len(used) < len(reading.used) and reading.quality is not Quality.MEASURED and gross.gross_per_hour:
        doubt.notes.append("what it earns was reckoned from that use, and is unknown too")
        native = replace(native, gross_per_hour={}, net_per_hour={})
    growth = doubt.figure("growth", reading.growth_per_hour, least=-LIMIT)
    pool = doubt.pool(reading.pool)
    threshold = doubt.figure("the payout threshold", reading.payout_threshold_usd)
    payout_at = doubt.figure("the payout's time", reading.payout_expected_at, LATEST)
    return replace(
        reading,
        used=used,
        allocated=allocated,
        configured=configured,
        irreversible=irreversible,
        native=native,
        growth_per_hour=growth,
        pool=pool,
        payout_threshold_usd=threshold,
        payout_expected_at=payout_at,
        notes=reading.notes + tuple(doubt.notes),
    )
