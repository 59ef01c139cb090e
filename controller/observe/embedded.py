"""The source that polls the nodes in this process: the exporters' poller, prices and metric lines, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping

from controller.observe import Observation
from controller.observe.roster import Roster
from exporters.clock import Clock
from exporters.collector import Collector
from exporters.metrics import Exposition
from exporters.nodes import Node
from exporters.poller import Poller
from exporters.prices import PriceFeed
from exporters.reading import Reading
from exporters.session import Session
from exporters.settings import Prices

PRICE_LOOK = 5.0
"""Seconds between looks at which prices are due; each source has its own, much longer, interval."""
KEPT = 100_000
"""Looks kept for the next observation, should the loop stand still."""


class Embedded(Roster):
    """Polls in this process. One per process; its owner closes it, and the session it was given."""

    def __init__(
        self, nodes: Iterable[Node], collectors: Mapping[str, Collector], session: Session, clock: Clock, prices: Prices
    ) -> None:
        super().__init__(collectors)
        self._session, self._clock = session, clock
        self.enroll(nodes)
        self._fresh: deque[Reading] = deque(maxlen=KEPT)
        self._feed = PriceFeed(prices, clock)
        self.exposition = Exposition()
        self._poller = self._make_poller()
        self._tasks: list[asyncio.Task[None]] = []

    def _feed_for(self, prices: Prices) -> PriceFeed:
        """A feed by these settings that starts with the prices that are known."""
        feed = PriceFeed(prices, self._clock)
        feed.book = dataclasses.replace(feed.book, live=self._feed.book.live)
        return feed

    def _make_poller(self) -> Poller:
        return Poller(
            self._workloads.values(),
            self._collectors,
            self._session,
            self._clock,
            price=self._priced,
            on_reading=self._fresh.append,
            exposition=self.exposition,
        )

    def _priced(self, reading: Reading) -> Reading:
        return self._feed.value(self.told(reading), self._workloads[reading.key])

    @property
    def complete(self) -> bool:
        return self._poller.tried_all

    @property
    def price_problems(self) -> Mapping[str, str]:
        """What is wrong with prices now: source or token -> sentence."""
        return self._feed.problems

    async def first_prices(self) -> None:
        """Ask for every price that the manifests need before the first look, so that the first look has USD."""
        await self._feed.refresh(self._session)
        self.exposition.prices(self._feed.book, self._clock.time())

    def start(self) -> None:
        """Keep prices fresh in the background."""
        self._tasks.append(asyncio.create_task(self._keep_prices(), name="prices"))

    async def _keep_prices(self) -> None:
        while True:
            before = self._feed.book
            await self.first_prices()
            if self._feed.book is not before:
                await self._poller.reprice()
            await self._clock.sleep(PRICE_LOOK)

    def replace(self, nodes: Iterable[Node], prices: Prices) -> None:
        """The manifests changed: poll these from now on; what is known of those unchanged is kept."""
        self.enroll(nodes)
        self._feed = self._feed_for(prices)
        self._poller.replace(self._workloads.values())

    async def observe(self, patience: float = 0.0) -> Observation:
        await self._poller.collect_due(patience)
        fresh = tuple(self._fresh)
        self._fresh.clear()
        return Observation(
            at=self._clock.time(),
            fresh=fresh,
            newest=dict(self._poller.newest),
            last_good=dict(self._poller.last_good),
            complete=self._poller.tried_all,
        )

    def last_good(self, key: str) -> Reading | None:
        return self._poller.last_good.get(key)

    async def read_back(self, key: str) -> Reading:
        return await self._poller.read_back(key)

    def render(self, *, openmetrics: bool) -> Iterable[bytes]:
        """The per-workload families, without the end mark."""
        return self.exposition.render(openmetrics=openmetrics)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._poller.close()
