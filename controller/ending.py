"""How `orcha run` ends: within LATEST seconds of SIGTERM or Ctrl-C, whatever hangs by then, and from its first moment on.

What can hang beyond any cancelling: a name server or a file system asked by a worker thread, a state that another program
has locked. The state is safe at every byte (a write is a transaction), so that leaving them behind loses nothing that
was written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger("orcha")
LATEST: Final = 4.5
"""Seconds from the signal to the end of the process; whoever sent it waits for 5."""
UNFINISHED: Final = 2
"""Exit code where history could not be written any more."""


class Ending:
    """Hears the signals of the running loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.unwritten = False
        """Whether something waits to be written."""

    def hear(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.begin)

    def begin(self) -> None:
        if self.asked.is_set():
            return
        self.asked.set()
        last = threading.Timer(LATEST, self._leave)
        last.daemon = True
        last.start()

    def _leave(self) -> None:
        log.warning(
            "stopped without waiting any longer for what hangs",
            lost="what was seen since the last write" if self.unwritten else "nothing",
        )
        os._exit(UNFINISHED if self.unwritten else 0)

    async def unless_asked(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work gives; None where the end was asked for first: then it is called off."""
        doing, asked = asyncio.ensure_future(work), asyncio.create_task(self.asked.wait())
        try:
            await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            doing.cancel()
            await asyncio.wait({doing})
            return None
        finally:
            asked.cancel()
