"""The simulated world without a network: an `exporters.session.Session` and a clock that is moved by hand.

For tests, backtests and the history of the demonstration: the same `answer` that the HTTP server gives, the same errors
as `HttpSession` raises, and days in seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json as json_module
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from exporters.errors import Malformed, TimedOut, Unreachable
from exporters.session import Answer, refuse
from exporters.simulator.response import Request, Response
from exporters.simulator.world import World

_REDIRECTS = 10


class FastClock:
    """A `Clock` that stands still until it is told, or until everybody who runs on it sleeps.

    `auto`: when the event loop has had nothing else to do for a while, the time moves on to where the first sleeper
    wakes. Without it, only `advance` moves it. What really waits (a socket, a thread) is not seen: use `advance` there.
    """

    _TURNS = 20
    """Turns of the event loop that everybody else is given before the time moves."""

    def __init__(self, now: float, *, auto: bool = True) -> None:
        self._now = now
        self._began = now
        self._auto = auto
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._driver: asyncio.Task[None] | None = None

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._began

    @property
    def next_wake(self) -> float:
        """When the first sleeper wakes; infinite where nobody sleeps."""
        return self._sleepers[0][0] if self._sleepers else float("inf")

    def advance(self, to: float) -> None:
        """Move to a time (never back) and wake everybody who waits for one before it."""
        self._now = max(self._now, to)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = (self._now + seconds, next(self._order), asyncio.Event())
        heapq.heappush(self._sleepers, sleeper)
        if self._auto and (self._driver is None or self._driver.done()):
            self._driver = asyncio.create_task(self._drive())
        try:
            await sleeper[2].wait()
        except asyncio.CancelledError:
            self._sleepers = [other for other in self._sleepers if other is not sleeper]
            heapq.heapify(self._sleepers)
            raise

    async def _drive(self) -> None:
        while self._sleepers:
            for _ in range(self._TURNS):
                await asyncio.sleep(0)
            if self._sleepers:
                self.advance(self._sleepers[0][0])


class InProcessSession:
    """Dispatches by base URL (`http://rack-1-storj.sim`) to the sites of a world, at the time of its clock."""

    def __init__(self, world: World, clock: FastClock, addresses: Mapping[str, str]) -> None:
        """`addresses`: base URL without a trailing slash -> the site's name."""
        self._world = world
        self._clock = clock
        self._sites = {base.rstrip("/"): site for base, site in addresses.items()}
        self.requests = 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        ok: tuple[int, ...] = (200,),
    ) -> Answer:
        self.requests += 1
        body = b"" if json is None else json_module.dumps(json).encode()
        for _ in range(_REDIRECTS):
            site, request = self._addressed(method, url, headers or {}, body)
            response = self._asked(site, request, url)
            answer = Answer(url, response.status, response.body, {k.lower(): v for k, v in response.headers.items()})
            target = answer.headers.get("location")
            if response.status not in {301, 302, 307, 308} or target is None or response.status in ok:
                break
            url = _base(url) + target
        if answer.status not in ok:
            raise refuse(answer)
        return answer

    def _addressed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Request]:
        site = self._sites.get(_base(url))
        if site is None:
            raise Unreachable(f"{url} cannot be reached (no such site in the simulated world)")
        parts = urlsplit(url)
        lower = {name.lower(): value for name, value in headers.items()}
        return site, Request(
            method, unquote(parts.path) or "/", dict(parse_qsl(parts.query, keep_blank_values=True)), lower, body
        )

    def _asked(self, site: str, request: Request, url: str) -> Response:
        now = self._clock.time()
        if not self._world.listening(site, now):
            raise Unreachable(f"{url} cannot be reached (ConnectionRefused)")
        response = self._world.answer(site, request, now)
        if response.hang or response.stream:
            raise TimedOut(f"{url} did not answer in time")
        if response.cut:
            raise Unreachable(f"{url} cannot be reached (ClientPayloadError)")
        if len(response.body) > 8 * 2**20:
            raise Malformed(f"{url} answered more than 8 MiB; this is not the API that was expected")
        return response


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
