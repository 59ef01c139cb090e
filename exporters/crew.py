"""The workers of a poller: as many as help, none held up by nodes that hang. Knows nothing of nodes.

Those that wait stand in two lines (pace.Lanes). While any wait, the crew looks every 10 ms whether more at once would
help (pace.Width), and now and then whether somebody hangs: who does counts as doubtful from then on, and those beyond
the half that the doubtful may hold are called off and wait again, in the other line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from exporters.pace import Lanes, Waits, Width

log = structlog.get_logger("orcha.poller")


class Served(Waits, Protocol):
    """One that is served."""

    began: float
    """Monotonic time at which a worker took it."""


S = TypeVar("S", bound=Served)


@dataclass(eq=False, slots=True)
class _Worker(Generic[S]):
    task: asyncio.Task[None] | None = None
    has: S | None = None


class Crew(Generic[S]):
    """`add` whoever waits, then `set_to_work`. All in one event loop."""

    def __init__(
        self,
        limit: int,
        hang_after: float,
        now: Callable[[], float],
        *,
        serve: Callable[[S], Awaitable[object]],
        stays: Callable[[S], bool],
        leave: Callable[[S], None],
    ) -> None:
        """`serve` one; whether one still `stays` (else it is not served, or not again); `leave`: it has been served."""
        self._limit, self._hang_after, self._now = limit, hang_after, now
        self._serve, self._stays, self._leave = serve, stays, leave
        self._lanes: Lanes[S] = Lanes(limit)
        self._width = Width(limit)
        self._workers: set[_Worker[S]] = set()
        self._tending: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0
        self._closed = False

    def add(self, one: S) -> None:
        self._lanes.add(one)

    def set_to_work(self) -> None:
        """Begin with as many as there is work for, up to what helps."""
        if self._closed:
            return
        work = self._lanes.work()
        for _ in range(min(work, self._width.now - len(self._workers))):
            worker: _Worker[S] = _Worker()
            self._workers.add(worker)
            worker.task = asyncio.create_task(self._work(worker))
        if work and self._tending is None:
            self._width.begin(time.monotonic(), time.thread_time())
            self._tending = asyncio.get_running_loop().call_later(Width.EVERY, self._tend)

    def call_off(self, one: S) -> None:
        """End what a worker does for one that no longer stays."""
        for worker in self._workers:
            if worker.has is one and worker.task is not None:
                worker.task.cancel()

    async def close(self, patience: float) -> None:
        """Call off everything; at most `patience` seconds."""
        self._closed = True
        if self._tending is not None:
            self._tending.cancel()
        tasks = [worker.task for worker in self._workers if worker.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    async def _work(self, worker: _Worker[S]) -> None:
        try:
            while not self._closed and (one := self._lanes.take()) is not None:
                worker.has = one
                await self._one(one)
                worker.has = None
        finally:
            self._workers.discard(worker)
            self.set_to_work()

    async def _one(self, one: S) -> None:
        """Serve one, in whatever way that ends."""
        try:
            if self._stays(one):
                one.began = self._now()
                await self._serve(one)
        except asyncio.CancelledError:
            self._lanes.hold(one, held=False)
            if self._closed or not self._stays(one):
                self._leave(one)
            else:
                self._lanes.add(one)  # called off for others, or in the place of one that was: once more
            raise
        except Exception:
            log.exception("a look ended in a fault of orcha's own; it is tried again later")
        self._lanes.hold(one, held=False)
        self._leave(one)

    def _tend(self) -> None:
        """While some wait: see whether more at once would help, and whether others hang."""
        self._tending = None
        if not self._lanes.work():
            return
        self._width.check(time.monotonic(), time.thread_time())
        self._tending = asyncio.get_running_loop().call_later(Width.EVERY, self._tend)
        now = self._now()
        if self._lanes.ready and now >= self._sweep_at:
            self._sweep_at = now + self._hang_after / 4
            self._sweep(now - self._hang_after)
        self.set_to_work()

    def _sweep(self, overdue: float) -> None:
        """Those taken before `overdue` count as doubtful; beyond the half they are called off."""
        for worker in self._workers:
            one = worker.has
            if one is None or one.holding or one.began > overdue or worker.task is None:
                continue
            one.doubtful = True
            if self._lanes.held < self._lanes.half:
                self._lanes.hold(one, held=True)
            else:
                worker.task.cancel()
