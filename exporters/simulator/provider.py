"""The true state of a Golem provider: a published offer, one agreement at a time, its activity, notes and invoices.

Somebody wants `demand` cores. An agreement takes the caps of the offer that was published when it began, keeps them
until it ends whatever the owner changes meanwhile, and is paid for the CPU time that was really used and for the time
that it ran (reference: storj-golem 2.3, 2.4). Amounts in GLM, prices in GLM per second.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from exporters.simulator.demand import Demand, pick
from exporters.simulator.model import Ticks, Truth

NOTE_EVERY: Final = 120.0
"""Seconds between debit notes of one activity."""
_ACCEPTS_AFTER: Final = 20.0
"""Seconds until a requestor accepts a note or an invoice."""
SETTLES_EVERY: Final = 86400.0
"""Requestors pay in batches: mainnet and polygon once a day."""
_MIN_AGREEMENT: Final = 300.0
_ENOUGH: Final = 0.25
"""Cores: nobody negotiates for less."""
_KEPT: Final = 90 * 86400.0
"""Seconds that the daemon keeps ended agreements."""
NEVER_ACCEPTED_SHARE: Final = 0.02
"""Of invoices: yagna issue #3126."""
GIB: Final = 2.0**30


@dataclass(frozen=True, slots=True)
class Hardware:
    """One profile of hardware.json."""

    threads: int
    mem_gib: float
    storage_gib: float


@dataclass(frozen=True, slots=True)
class Pricing:
    """GLM per second, and per agreement. The defaults are golemsp's: 0.025 GLM per cpu-hour, a fifth per hour."""

    cpu: float = 0.025 / 3600
    duration: float = 0.005 / 3600
    start: float = 0.0


@dataclass(slots=True)
class Agreement:
    """One agreement with its one activity."""

    number: int
    began: float
    ends: float
    offer: Hardware
    pricing: Pricing
    broken: bool = False
    """The daemon died under it: no last note, no invoice."""
    ticks: list[tuple[float, float]] = field(default_factory=list)
    """(time, CPU seconds used until then), one per tick; linear in between."""
    name: str = ""
    """Its id, once one was made."""
    is_accepted: bool = True
    """Whether its invoice ever is."""

    def named(self, make: Callable[[], str]) -> str:
        self.name = self.name or make()
        return self.name

    def cpu_seconds(self, at: float) -> float:
        place = bisect_right(self.ticks, (at, math.inf))
        if place == 0:
            return 0.0
        if place == len(self.ticks):
            return self.ticks[-1][1]
        (start, used), (stop, then) = self.ticks[place - 1], self.ticks[place]
        return used + (then - used) * (at - start) / (stop - start)

    def seconds(self, at: float) -> float:
        return max(0.0, min(at, self.ends) - self.began)

    def amount(self, at: float) -> float:
        """GLM due by then: cumulative, as debit notes state it."""
        worked = self.pricing.cpu * self.cpu_seconds(at) + self.pricing.duration * self.seconds(at)
        return self.pricing.start + worked


@dataclass(frozen=True, slots=True)
class Offered:
    """Caps that hold from a time on."""

    since: float
    hardware: Hardware


class Provider:
    """Advances in ticks of `tick` seconds; agreements begin and end on ticks."""

    def __init__(
        self,
        demand: Demand,
        hardware: Hardware,
        origin: float,
        *,
        pricing: Pricing | None = None,
        most: Hardware | None = None,
        median_agreement: float = 900.0,
        tick: float = 30.0,
    ) -> None:
        self.seed = demand.seed
        self.pricing = pricing or Pricing()
        self.most = most or Hardware(16, 62.4, 400.0)
        """What the machine has: asking for more is silently clamped."""
        self.tick = tick
        self.origin = origin
        self.at = origin
        self.configured = hardware
        self.offers = [Offered(origin - 60.0, self._clamped(hardware))]
        self.agreements: list[Agreement] = []
        self.online = True
        self.online_since = origin - 86400.0
        self._demand = Ticks(demand, tick)
        self._median = median_agreement
        self._index = math.ceil(origin / tick)
        self._earned_before = 0.0
        self._running: Agreement | None = None

    # What the owner can do

    def configure(self, hardware: Hardware, at: float) -> None:
        """hardware.json was written: offers follow 3 to 8 s later (the agent watches with a debounce)."""
        self.configured = hardware
        wait = 3.0 + 5.0 * pick(self.seed, 41, int(at * 1000))
        self.offers = [offer for offer in self.offers if offer.since <= at]
        self.offers.append(Offered(at + wait, self._clamped(hardware)))

    def stop(self, at: float) -> None:
        """The daemon dies: running work is lost, its last invoice too."""
        self.advance(at)
        self.online = False
        if self._running:
            self._running.broken = True
            self._end(self._running, at)

    def start(self, at: float) -> None:
        self.advance(at)
        self.online, self.online_since = True, at

    # What is so

    def offer(self, at: float) -> Offered:
        """The newest offer that is published by then."""
        return next(offer for offer in reversed(self.offers) if offer.since <= at or offer is self.offers[0])

    def running(self) -> Agreement | None:
        return self._running

    def busy_cores(self) -> float:
        """Cores that the running activity uses in this tick."""
        if self._running is None:
            return 0.0
        return min(self._demand.at(math.floor(self.at / self.tick)), float(self._running.offer.threads))

    def kept(self) -> list[Agreement]:
        """Agreements that the daemon still remembers, oldest first."""
        return [agreement for agreement in self.agreements if agreement.ends > self.at - _KEPT]

    def advance(self, to: float) -> None:
        while self._index * self.tick <= to:
            self._live(self._index)
            self._index += 1
        self.at = max(self.at, to)

    def truth(self) -> Truth:
        offered, running, busy = self.offer(self.at).hardware, self._running, self.busy_cores()
        rate = 3600 * (self.pricing.cpu * busy + self.pricing.duration) if running else 0.0
        earned = self._earned_before + (running.amount(self.at) if running else 0.0)
        return Truth(
            self.at,
            self.online,
            allocated={
                "cpu": float(offered.threads),
                "memory": offered.mem_gib * GIB,
                "storage": offered.storage_gib * GIB,
            },
            configured={"cpu": float(self.configured.threads)},
            used={"cpu": busy},
            demand=self._demand.at(math.floor(self.at / self.tick)),
            native_per_hour={"GLM": rate},
            earned={"GLM": earned},
        )

    # One tick

    def _live(self, index: int) -> None:
        at = index * self.tick
        if self._running and at >= self._running.ends:
            self._end(self._running, at)
        wanted = self._demand.at(index)
        if self.online and self._running is None and wanted >= _ENOUGH:
            self._begin(at)
        if self._running:
            used = self._running.ticks[-1][1]
            busy = min(wanted, float(self._running.offer.threads))
            self._running.ticks.append((at + self.tick, used + busy * self.tick))

    def _begin(self, at: float) -> None:
        number = len(self.agreements)
        spread = math.exp(2.0 * pick(self.seed, 42, number) - 1.0)
        lasts = max(_MIN_AGREEMENT, self.tick * round(self._median * spread / self.tick))
        self._running = Agreement(number, at, at + lasts, self.offer(at).hardware, self.pricing, ticks=[(at, 0.0)])
        self._running.is_accepted = pick(self.seed, 43, number) >= NEVER_ACCEPTED_SHARE
        self.agreements.append(self._running)

    def _end(self, agreement: Agreement, at: float) -> None:
        agreement.ends = min(agreement.ends, at)
        self._earned_before += agreement.amount(agreement.ends)
        self._running = None

    def _clamped(self, wish: Hardware) -> Hardware:
        """Silent clamping: 1 thread, 0.1 GiB at the low end, the machine at the high end (reference 2.3, gotcha 1)."""
        return Hardware(
            min(max(wish.threads, 1), self.most.threads),
            min(max(wish.mem_gib, 0.1), self.most.mem_gib),
            min(max(wish.storage_gib, 0.1), self.most.storage_gib),
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A debit note: number within its activity, when it was sent, what was due by then."""

    agreement: Agreement
    number: int
    at: float
    amount: float

    def status(self, now: float) -> str:
        return "ACCEPTED" if now >= self.at + _ACCEPTS_AFTER else "RECEIVED"


def notes_of(agreement: Agreement, now: float) -> list[Note]:
    """Every debit note of one activity that was sent by now: each two minutes, and one at its end."""
    last = min(now, agreement.ends)
    times = [agreement.began + NOTE_EVERY * k for k in range(1, int((last - agreement.began) // NOTE_EVERY) + 1)]
    ended = now >= agreement.ends and not agreement.broken
    if ended and (not times or times[-1] < agreement.ends):
        times.append(agreement.ends)
    return [Note(agreement, k, at, agreement.amount(at)) for k, at in enumerate(times)]


def invoice_status(agreement: Agreement, now: float) -> str:
    """RECEIVED at its end, ACCEPTED soon after, SETTLED with the next daily batch; a few are never accepted."""
    if not agreement.is_accepted or now < agreement.ends + _ACCEPTS_AFTER:
        return "RECEIVED"
    return "SETTLED" if now >= settled_at(agreement) else "ACCEPTED"


def settled_at(agreement: Agreement) -> float:
    """When the requestor's batch that pays it is on chain: the first midnight an hour after it was accepted, and up to an hour."""
    batch = math.ceil((agreement.ends + _ACCEPTS_AFTER) / SETTLES_EVERY) * SETTLES_EVERY
    return batch + 600.0


def hex_id(*parts: object, length: int = 64) -> str:
    """A stable made-up identifier."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=32).hexdigest()[:length]


def uuid_id(*parts: object) -> str:
    raw = hex_id(*parts, length=32)
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:32]}"
