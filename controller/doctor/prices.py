"""Prices: whether each token that the nodes are paid in has one, and which source told it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from controller.doctor.finding import Finding, fail, ok, unknown, warn
from exporters.prices import POINTS, PriceFeed, tokens_of
from exporters.reading import USD

if TYPE_CHECKING:
    from exporters.clock import Clock
    from exporters.reading import Reading
    from exporters.session import Session
    from exporters.settings import Prices

AREA: Final = "prices"


async def priced(
    readings: Iterable[Reading], settings: Prices, session: Session, clock: Clock, patience: float
) -> list[Finding]:
    """One line for each token. What points are worth nobody can say but their owner."""
    up = [reading for reading in readings if reading.up]
    tokens = sorted({token for reading in up for token in tokens_of(reading)} - {USD, POINTS})
    if not tokens:
        if up:
            return [ok(AREA, "prices", "no node is paid in a token that needs one")]
        return [
            unknown(
                AREA, "prices", "which tokens need one is told by the nodes, and none was read", "mend the nodes first"
            )
        ]
    feed = PriceFeed(settings, clock, tokens)
    try:
        async with asyncio.timeout(patience):
            await feed.refresh(session)
    except TimeoutError:
        pass  # what came until then is in the book
    return [_of(token, feed, settings, clock.time()) for token in tokens]


def _of(token: str, feed: PriceFeed, settings: Prices, now: float) -> Finding:
    price = feed.book.get(token, now)
    problems = "; ".join(f"{name}: {said}" for name, said in sorted(feed.problems.items()) if name != token)[:300]
    fixed = f"write a price of your own under prices.static in Settings: {token}: 0.25"
    if price is None:
        if settings.sources and not problems:
            problems = f"{', '.join(settings.sources)} gave none in time"
        return fail(AREA, token, f"nobody tells its price ({problems or 'no source is asked'})", fixed)
    if price.source == "static" and settings.sources:
        todo = "let this machine reach one of the sources under prices.sources, or give them up with `sources: []`"
        return warn(
            AREA, token, f"{price.usd:g} USD, as you wrote it; no source answers ({problems or 'none in time'})", todo
        )
    return ok(AREA, token, f"{price.usd:g} USD ({price.source})")
