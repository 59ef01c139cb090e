"""The past of a simulated world as the real collectors would have recorded it, in seconds instead of days.

Every workload is looked at through its own module, at its own interval, on one fast clock; the world is lived on the
way and stands at `end` afterwards, so that a server which goes on with it continues without a seam.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from exporters.collector import Collector, Payloads, Workload, look
from exporters.prices import Price, PriceBook, in_usd
from exporters.reading import Reading
from exporters.simulator.inprocess import FastClock, InProcessSession
from exporters.simulator.world import World

EVERY: Final[Mapping[str, float]] = {"golem": 120.0, "mapped": 120.0, "storj": 600.0, "streamr": 300.0, "grass": 1800.0}
"""Seconds between two looks, by protocol: as seldom as still shows everything."""


async def history(
    world: World,
    workloads: Iterable[Workload],
    collectors: Mapping[str, Collector],
    start: float,
    end: float,
    *,
    addresses: Mapping[str, str],
    every: Mapping[str, float] = EVERY,
) -> AsyncIterator[Reading]:
    """Every look from `start` to `end`, in the order of time, priced at the world's own prices of that time.

    `addresses`: site -> the base URL that the workloads name. The world must not be ahead of `start`.
    """
    clock = FastClock(start, auto=False)
    session = InProcessSession(world, clock, {base: site for site, base in addresses.items()})
    before: dict[str, Payloads | None] = {}
    due: list[tuple[float, str, Workload]] = [(start, workload.key, workload) for workload in workloads]
    heapq.heapify(due)
    while due and due[0][0] <= end:
        at, key, workload = due[0]
        clock.advance(at)
        reading, before[key] = await look(collectors[workload.protocol], session, workload, at, before.get(key))
        yield in_usd(reading, book(world, at), workload, at)
        heapq.heapreplace(due, (at + every.get(workload.protocol, workload.poll_interval), key, workload))
    world.advance(end)


def book(world: World, at: float) -> PriceBook:
    """The world's prices as a source would have told them."""
    told = {token: Price(world.market.usd(token, at), at, "coingecko") for token in world.market.tokens()}
    return PriceBook(live=told)
