"""FromPrometheus: an Observation from what a Prometheus knows. Polls no node.

One question about all workloads (one for each BATCH of them) every EVERY seconds, in the background: `observe` hands over
what is there and never waits for it. What cannot be known (no answer, half an answer, nothing about a workload) is a
failed Reading with its sentence in `newest`, so that the guard stays put; it is not in `fresh`, for history must not take
a Prometheus that is away for a node that is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from controller.observe import Observation, Watched
from controller.observe.embedded import KEPT
from controller.observe.prometheus.asking import Asking
from controller.observe.prometheus.hearing import CLOCKS, FURTHER, Heard, hear, selector
from controller.observe.roster import Roster
from exporters.clock import Clock
from exporters.collector import Collector, Workload, failed
from exporters.energy import energy_usd_per_hour
from exporters.errors import PollError, RateLimited, TimedOut
from exporters.nodes import Node
from exporters.prices import steps_of
from exporters.quantity import format_duration
from exporters.reading import USD, Connection, Reading, changed
from exporters.settings import Prices

EVERY: Final = 10.0
"""Seconds between two questions: somewhat less than the usual scrape interval (15 s)."""
LONGEST: Final = 60.0
"""The same while Prometheus does not answer, doubled from EVERY on."""
AGAIN: Final = 3.0
"""Seconds between two questions while a change is waited for."""
SCRAPES: Final = 120.0
"""Seconds that two scrapes take at the most: with a longer interval than a minute nobody should act."""
BATCH: Final = 200
"""Workloads that one question is about: a megabyte or two of JSON, which is read without keeping the loop for long."""

log = structlog.get_logger("orcha.prometheus")


class FromPrometheus(Roster):
    """One per process. Its owner closes it, and the client that `asking` was given."""

    def __init__(
        self,
        nodes: Iterable[Node],
        collectors: Mapping[str, Collector],
        asking: Asking,
        clock: Clock,
        matchers: str = "",
    ) -> None:
        """`collectors`: for what the protocols declare about themselves; none of them is asked."""
        super().__init__(collectors)
        self.asking, self.matchers, self._clock = asking, matchers, clock
        self._looks: dict[str, Reading] = {}
        self._good: dict[str, Reading] = {}
        self._trouble: dict[str, Reading] = {}
        """key -> why nothing can be known of it now; it stands before what was known."""
        self._fresh: deque[Reading] = deque(maxlen=KEPT)
        self._heard: dict[str, float] = {}
        """key -> when the question was put whose answer counts (monotonic)."""
        self._asked = -float("inf")
        """When the last question about all was put that is answered (monotonic)."""
        self._due = -float("inf")
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self.said = ""
        """What is wrong with Prometheus itself; "": nothing."""
        self.replace(nodes)

    # --- what it is to its owner: the same as Embedded

    @property
    def complete(self) -> bool:
        """It was asked for every workload once, and answered or did not."""
        return self._asked > -float("inf")

    def replace(self, nodes: Iterable[Node], _prices: Prices | None = None) -> None:
        """The manifests changed: watch these from now on. Prices are the exporter's."""
        self.enroll(nodes)
        for known in (self._looks, self._good, self._trouble):
            for key in known.keys() - self._workloads.keys():
                del known[key]
        self._due = -float("inf")

    async def first_prices(self) -> None:
        """The exporter knows them."""

    def start(self) -> None:
        """Nothing runs but what `observe` begins."""

    def render(self, *, openmetrics: bool) -> Iterable[bytes]:  # noqa: ARG002 it shows nothing, in whatever format
        """Nothing: orcha_protocol_* and orcha_token_* come from the exporter, and from one process only."""
        return ()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # --- Source

    async def observe(self, patience: float = 0.0) -> Observation:
        if self._clock.monotonic() >= self._due and (self._task is None or self._task.done()):
            self._begin()
        if self._task is not None and patience > 0:
            await asyncio.wait({self._task}, timeout=patience)
        else:
            await asyncio.sleep(0)
        fresh = tuple(self._fresh)
        self._fresh.clear()
        newest = {**self._looks, **self._trouble}
        return Observation(self._clock.time(), fresh, newest, dict(self._good), self.complete)

    def last_good(self, key: str) -> Reading | None:
        return self._good.get(key)

    async def read_back(self, key: str) -> Reading:
        """A look that began after this request: waits until the exporter made one and Prometheus scraped it. Where none
        came in time (a poll, its timeout, two scrapes) it fails like a node that does not answer. Raises KeyError.
        """
        workload = self._workloads.get(key)
        if workload is None:
            raise KeyError(f"there is no workload {key!r}")
        asked, patience = self._clock.time(), workload.poll_interval + workload.timeout + SCRAPES + CLOCKS
        until = self._clock.monotonic() + patience
        while True:
            await self._ask([workload])
            reading = self._now(key)
            if key not in self._trouble and reading.at > asked + CLOCKS:
                return reading
            if self._clock.monotonic() + AGAIN > until:
                break
            await self._clock.sleep(AGAIN)
        if key in self._trouble:
            return self._trouble[key]
        waited, every = format_duration(patience), format_duration(workload.poll_interval)
        return self._failing(workload, TimedOut(
            f"Prometheus showed no look at {key} of after the request within {waited}; its exporter looks every {every}"
        ))  # fmt: skip

    async def look_now(self, key: str) -> Reading:
        """The newest that Prometheus has, asked anew, without waiting for another poll. Raises KeyError."""
        if key not in self._workloads:
            raise KeyError(f"there is no workload {key!r}")
        wanted = self._clock.monotonic()
        while self._asked < wanted:
            if self._task is None or self._task.done():
                self._begin()
            if self._task is not None:
                await asyncio.wait({self._task})
        return self._now(key)

    # --- asking

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._look(), name="prometheus")

    async def _look(self) -> None:
        """One question about everything; never raises but when cancelled."""
        began = self._clock.monotonic()
        problem = None
        for batch in _batches(list(self._workloads.values())):
            problem = await self._ask(batch) or problem
        self._asked = began
        self._say(problem)
        self._failures = 0 if problem is None else self._failures + 1
        wait = EVERY if problem is None else min(LONGEST, EVERY * 2.0 ** min(self._failures - 1, 8))
        asked_to_wait = problem.retry_after if isinstance(problem, RateLimited) else None
        self._due = self._clock.monotonic() + min(max(wait, asked_to_wait or 0.0), 10 * LONGEST)

    async def _ask(self, workloads: Sequence[Workload]) -> PollError | None:
        """Ask for these, and keep what is said, or why nothing is. Gives what was wrong with the answer as a whole."""
        began, nodes = self._clock.monotonic(), sorted({each.node for each in workloads})
        problem: PollError | None = None
        try:
            rows = await self.asking.now(selector(FURTHER, nodes, self.matchers))
            found = await asyncio.to_thread(hear, workloads, rows, self._clock.time())
        except PollError as exc:
            problem = exc
        except Exception as exc:
            log.exception("what Prometheus answered could not be read; please report this as a bug")
            problem = PollError(f"what Prometheus answered could not be read ({type(exc).__name__})")
        for workload in workloads:
            if workload.key in self._workloads and began >= self._heard.get(workload.key, began):
                self._heard[workload.key] = began
                heard = found[workload.key] if problem is None else Heard(problem=problem)
                self._keep(workload, heard, alone=problem is None)
        return problem

    def _keep(self, workload: Workload, heard: Heard, *, alone: bool) -> None:
        """`alone`: only this workload has the problem, if there is one."""
        key = workload.key
        if heard.problem is not None:
            before, now = self._trouble.get(key), self._failing(workload, heard.problem)
            if alone and (before is None or before.failure_message != now.failure_message):
                log.warning("workload not known", workload=key, why=now.failure_message)
            self._trouble[key] = now
            return
        if self._trouble.pop(key, None) is not None:
            log.info("workload is known again", workload=key)
        if heard.good is not None:
            self._keep_good(workload, heard.good)
        look, before = heard.look, self._looks.get(key)
        if look is None or self._is_outdated(workload, look, before):
            return
        self._looks[key] = self._good[key] if look.up else look
        if not look.up and (before is None or before.at != look.at):
            self._fresh.append(look)

    def _keep_good(self, workload: Workload, reading: Reading) -> None:
        before = self._good.get(workload.key)
        if self._is_outdated(workload, reading, before):
            return
        self._good[workload.key] = told = self._with_energy(workload, reading)
        if before is None or before.at != reading.at:
            self._fresh.append(told)

    def _is_outdated(self, workload: Workload, look: Reading, known: Reading | None) -> bool:
        """Whether a newer look is known that still counts: two servers of one Prometheus are not at the same scrape."""
        return known is not None and look.at < known.at and self._clock.time() - known.at <= workload.stale_after

    def _with_energy(self, workload: Workload, reading: Reading) -> Reading:
        """As its owner was told, and what that costs in energy, which its exporter could not know."""
        told = self.told(reading)
        if told is reading or told.net_usd_per_hour is not None:
            return told
        return changed(told, net_usd_per_hour=_net(told, workload))

    def _now(self, key: str) -> Reading:
        return self._trouble.get(key) or self._looks[key]

    def _failing(self, workload: Workload, why: PollError) -> Reading:
        now, good = self._clock.time(), self._good.get(workload.key)
        fresh = good is not None and now - good.at <= workload.stale_after
        connection = Connection.CONNECTING if good is None else Connection.RECONNECTING if fresh else Connection.FAILED
        return changed(failed(workload, now, why), connection=connection)

    def _say(self, problem: PollError | None) -> None:
        """One line when Prometheus is lost or comes back."""
        said = "" if problem is None else str(problem)
        if bool(said) != bool(self.said):
            if said:
                log.warning("nothing is known of the nodes: nothing is moved", why=said)
            else:
                log.info("Prometheus answers again")
        self.said = said


class AtOnce:
    """The same source for the loop, whose turn cannot wait for a poll: a fresh look is the newest that Prometheus has.

    What is about to be changed is looked at again by the one who changes it (actuate/looking.py), who can wait.
    """

    def __init__(self, source: FromPrometheus) -> None:
        self._source = source
        self.observe, self.close = source.observe, source.close
        self.assumes, self.last_good = source.assumes, source.last_good
        self.read_back = source.look_now

    @property
    def watched(self) -> Mapping[str, Watched]:
        return self._source.watched


def _batches(workloads: Sequence[Workload]) -> Iterable[Sequence[Workload]]:
    """At most BATCH together, those of one node always in one."""
    batch: list[Workload] = []
    for _, group in itertools.groupby(workloads, key=lambda each: each.node):
        of_node = list(group)
        if batch and len(batch) + len(of_node) > BATCH:
            yield batch
            batch = []
        batch += of_node
    if batch:
        yield batch


def _net(reading: Reading, workload: Workload) -> float | None:
    """As prices.in_usd: what reaches the owner at the price that the reading itself tells, minus energy."""
    net, price = reading.native.net_per_hour, reading.usd_per_token
    energy = energy_usd_per_hour(workload.power, workload.spec.watts, steps_of(reading, workload), reading.at)
    if not net or energy is None or (price is None and set(net) != {USD}):
        return None
    return sum(amount * (1.0 if token == USD else price or 0.0) for token, amount in net.items()) - energy
