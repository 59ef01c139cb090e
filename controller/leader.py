"""One writer: which of several controllers may act. Effects: it writes a Lease, and logs.

    stands by ──acquire──▶ holds ──keep──▶ lost          Sole: a single controller, which always holds
                             └──release──▶ another takes over at its next look

`Elected` follows the rules of client-go's leader election (k8s.io/client-go/tools/leaderelection), in its proportions:
of a lease of 15 s the holder is sure for 10 s after a renewal, and renews every 2 s. Two rules make that safe:

- Nobody believes another machine's clock. A stand-by takes over when the Lease did not change for its whole duration by
  the stand-by's own clock; the holder counts from before it sent the renewal that was answered. So its time is over
  first, however the clocks are set and however long an answer took.
- Each write names the version that it read (lease.py). Of two that write at once, one is refused.

The Lease only elects. What a writer that was frozen may still do is bounded by who asks `holds` before each effect, and
by the epoch in the store, which refuses its records.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from controller.lease import KubernetesLease, LeaseConflict, LeaseError, LeaseRefused, LeaseUnreachable, Record
from exporters.clock import Clock
from exporters.settings import Lease as Wanted

log = structlog.get_logger("orcha")
RENEW_DEADLINE: Final = 10 / 15
"""Of the duration: how long after a renewal the holder is sure of it. The rest is the margin between its end and the
earliest moment at which another may begin."""
RETRY_PERIOD: Final = 2 / 15
"""Of the duration: how often the holder renews, and the least time between two looks of a stand-by."""
PATIENCE: Final = RENEW_DEADLINE / 2
"""Of the duration: how long one try may take, so that one that hangs leaves time for another."""
JITTER: Final = 1.2
"""A stand-by waits up to so much longer between two looks, or all of them would write at once (client-go's JitterFactor)."""
RELEASE: Final = 2.0
"""Seconds that a process which ends gives to handing over; without it, the Lease just runs out."""
_SINCE_BOOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_MOMENT: Final = 0.01
"""Seconds: the shortest pause of a holder whose time runs out."""


class _Taken(Exception):
    """Another holds what this one held."""


class Leader(Protocol):
    """Whether this process is the one that acts."""

    @property
    def identity(self) -> str:
        """Of this process, never of another one, nor of the same one after a restart."""
        ...

    @property
    def holds(self) -> bool:
        """Asked before each effect. True only while no other can hold; it turns False by itself, also in a process that
        was frozen, and in one whose event loop hangs.
        """
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set once and for all when it no longer holds; not by `release`."""
        ...

    @property
    def why(self) -> str:
        """The sentence on how it was lost; "": it was not."""
        ...

    @property
    def holder(self) -> str:
        """Who holds, as far as is known; "": nobody. For people."""
        ...

    @property
    def transitions(self) -> int | None:
        """How often the right to act went from one to another, as last seen; None: there is nobody to go to."""
        ...

    @property
    def waits_until(self) -> float | None:
        """In monotonic seconds of the clock it was given: before that no effect may be made, since the last holder's may
        still be under way. None: there is nothing to wait for.
        """
        ...

    async def acquire(self) -> None:
        """Stand by until it holds. Raises LeaseRefused where it never could."""
        ...

    async def keep(self) -> None:
        """Renew until it is lost, then return; cancel it to end."""
        ...

    async def release(self, *, hand_over: bool = True) -> None:
        """At the end, when `keep` was cancelled: let another take over at once, and let go of connections. Never raises.
        `hand_over` False: an effect is under way; the other one shall wait for it as for one of a process that died.
        """
        ...


def elect(wanted: Wanted | None, clock: Clock, step_timeout: float) -> Leader:
    """The leader that Settings ask for. `step_timeout`: seconds that an effect may take once it has begun."""
    return Elected(wanted, clock, step_timeout) if wanted else Sole()


class Sole:
    """Nobody else is there: it holds from the beginning to the end."""

    holds = True
    transitions: int | None = None
    waits_until: float | None = None
    why = ""

    def __init__(self) -> None:
        self.identity = self.holder = _identity()
        self.lost = asyncio.Event()

    async def acquire(self) -> None:
        pass

    async def keep(self) -> None:
        await self.lost.wait()

    async def release(self, *, hand_over: bool = True) -> None:
        pass


class Elected:
    """Holds a Kubernetes Lease, or waits for it. One object serves one term: once lost, it stays lost."""

    def __init__(
        self,
        wanted: Wanted,
        clock: Clock,
        step_timeout: float,
        *,
        identity: str | None = None,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        """`elapsed`: seconds that run on while the machine is suspended."""
        self.identity = identity or _identity()
        self.lost = asyncio.Event()
        self.why = ""
        self.waits_until: float | None = None
        self._wanted, self._clock, self._step_timeout = wanted, clock, step_timeout
        self._name = f"{wanted.namespace}/{wanted.name}"
        self._elapsed = elapsed or since_boot
        self._lease: KubernetesLease | None = None
        self._seen: Record | None = None
        """What the Lease said last; None: there was none."""
        self._current = False
        """Whether `_seen` is what the next write may build upon; not while a write is under way, nor when its answer got lost."""
        self._others: float | None = None
        """In monotonic seconds: when another's time is over if it does not renew. None: nobody had it, or whoever had it
        handed it over."""
        self._until = -math.inf
        """In seconds of `elapsed`: when it no longer holds."""
        self._began = False
        """Whether `acquire` is through: from then on it renews, and never takes over."""
        self._trouble = ""

    @property
    def holds(self) -> bool:
        return self._elapsed() < self._until

    @property
    def holder(self) -> str:
        return self._seen.holder if self._seen else ""

    @property
    def transitions(self) -> int | None:
        return self._seen.transitions if self._seen else None

    async def acquire(self) -> None:
        self._lease = KubernetesLease.connect(self._wanted, self._wanted.duration * PATIENCE)
        while not await self._tried():
            pause = self._wanted.duration * RETRY_PERIOD
            await self._clock.sleep(pause * (1 + JITTER * random.random()))
        self._began = True
        if self._others is not None:
            self.waits_until = self._others + self._step_timeout
        log.info("this controller holds the Lease", lease=self._name, identity=self.identity)

    async def keep(self) -> None:
        while await self._paused():
            try:
                await self._tried()
            except _Taken as exc:
                self._until = -math.inf
                self._lose(str(exc))
                return
        self._lose(
            f"the Lease {self._name} was not renewed within {self._wanted.duration * RENEW_DEADLINE:.3g} s "
            f"({self._trouble or 'this process did not get to it'})"
        )

    async def _paused(self) -> bool:
        """Wait until the next renewal is due; whether it still holds then. Where it was frozen, or too long without an answer,
        the Lease may be another's by now, and is left alone.
        """
        pause = min(self._wanted.duration * RETRY_PERIOD, self._until - self._elapsed())
        await self._clock.sleep(max(_MOMENT, pause))
        return self.holds

    async def release(self, *, hand_over: bool = True) -> None:
        held, self._until = self.holds, -math.inf
        if self._lease is None:
            return
        waited = self.waits_until is None or self._clock.monotonic() >= self.waits_until
        # else it runs out, so that the next one, too, waits for what is or may be under way
        if hand_over and held and waited:
            with suppress(LeaseError, TimeoutError):
                async with asyncio.timeout(RELEASE):
                    await self._hand_over(self._lease)
        await self._lease.close()
        self._lease = None

    async def _tried(self) -> bool:
        """Whether it holds after one try; what stands in the way is said once. Raises LeaseRefused, _Taken."""
        try:
            async with asyncio.timeout(self._patience()):
                won = await self._try()
        except LeaseRefused as exc:
            if not self._began:
                raise
            self._note(str(exc))
        except LeaseUnreachable as exc:
            self._note(str(exc))
        except TimeoutError:
            self._note("the Kubernetes API did not answer in time")
        else:
            self._note("")
            return won and self.holds
        return False

    def _patience(self) -> float:
        """Seconds for one try: for a holder no longer than it holds."""
        most = self._wanted.duration * PATIENCE
        return max(0.0, min(most, self._until - self._elapsed())) if self._began else most

    async def _try(self) -> bool:
        """Take the Lease, or renew it; whether it did. A conflict is looked into at once: it may have come from this one's own
        write, of which the answer was lost.
        """
        if self._lease is None:
            raise LeaseUnreachable("there is no connection any more")
        for _ in range(2):
            with suppress(LeaseConflict):
                return await self._attempt(self._lease)
        return False

    async def _attempt(self, lease: KubernetesLease) -> bool:
        if not (self._began and self._current):
            self._observe(await lease.read())
        if self._began and self.holder not in {self.identity, ""}:
            raise _Taken(f"the Lease {self._name} was taken over by {self.holder}")
        if not self._began and self._others is not None and self._clock.monotonic() < self._others:
            return False
        sent, self._current = self._elapsed(), False
        self._observe(await lease.hold(self.identity, self._seen))
        self._until = sent + self._wanted.duration * RENEW_DEADLINE
        return True

    def _observe(self, found: Record | None) -> None:
        """Remember what the Lease says, and since when by this clock."""
        self._current = True
        if found is None or found == self._seen:
            return  # one that was deleted counts as unchanged: its holder does not know yet
        before, self._seen = self.holder, found
        if not found.holder:
            self._others = None
        elif found.holder != self.identity:
            self._others = self._clock.monotonic() + max(self._wanted.duration, found.lasts)
            if found.holder != before and not self._began:
                log.info("standing by: another controller holds the Lease", lease=self._name, holder=found.holder)

    async def _hand_over(self, lease: KubernetesLease) -> None:
        for _ in range(2):  # a renewal that was called off may still have come through, and in between
            if not self._current:
                self._observe(await lease.read())
            if self.holder != self.identity:
                return
            self._current = False
            with suppress(LeaseConflict):
                await lease.leave()
                log.info("the Lease was handed over", lease=self._name)
                return

    def _note(self, trouble: str) -> None:
        """Said once, not at every try."""
        if trouble and not self._trouble:
            log.warning("the Lease cannot be read or renewed; it is tried again", lease=self._name, why=trouble)
        self._trouble = trouble

    def _lose(self, why: str) -> None:
        self.why = why
        log.error("this controller stops acting", why=why)
        self.lost.set()


def since_boot() -> float:
    """Seconds that never go back and run on while the machine is suspended, where the system has such a clock: a holder
    that slept must not find its time unchanged.
    """
    return time.clock_gettime(_SINCE_BOOT)


def _identity() -> str:
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:12]}"
