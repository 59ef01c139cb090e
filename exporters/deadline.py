"""A bound on time that costs next to nothing while it holds: `with within(30): await ...`.

As asyncio.timeout, without its timer for each use, which is set, cancelled and swept up for every look at every node:
here one timer per loop stands for all bounds, since nearly all of them are over long before they are due.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from types import TracebackType


class _Watch:
    """The bounds that hold now in one loop, and when it looks which are due. It must not hold the loop itself."""

    def __init__(self) -> None:
        self.bounds: set[within] = set()
        self._wakes_at = float("inf")

    def add(self, bound: within, loop: asyncio.AbstractEventLoop) -> None:
        self.bounds.add(bound)
        if bound.due < self._wakes_at:
            self._wakes_at = bound.due
            loop.call_at(bound.due, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for bound in [bound for bound in self.bounds if bound.due <= now]:
            self.bounds.discard(bound)
            bound.expire()
        if self._wakes_at <= now:
            self._wakes_at = min((bound.due for bound in self.bounds), default=float("inf"))
            if self.bounds:
                loop.call_at(self._wakes_at, self._look)


_watches: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch]] = WeakKeyDictionary()


class within:  # noqa: N801 read as a word of the `with` statement
    """Cancel what is awaited in the block after so many seconds; the block then raises TimeoutError."""

    __slots__ = ("_before", "_expired", "_seconds", "_task", "_watch", "due")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a bound on time needs a task to cancel")
        self._task, self._before = task, task.cancelling()
        self.due = loop.time() + self._seconds
        watch = _watches.get(loop)
        if watch is None:
            watch = _watches[loop] = _Watch()
        self._watch = watch
        watch.add(self, loop)

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._watch.bounds.discard(self)
        if not self._expired or self._task.uncancel() > self._before or kind is None:
            return
        if issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
