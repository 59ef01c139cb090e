"""Topic `fleet` of the stream: the fleet at a glance whenever that is another one, at most once a second.

It is looked at rather than waited for, since much of it is what did not happen: who is silent for too long tells nobody.
Only while somebody listens; who begins to is told how it is, as nobody knows what changed before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from controller.api.told import FleetGlance
from controller.fleet.joint import joint
from controller.fleet.shown import FleetFace, fleet_view
from controller.fleet.shown_glance import glance
from controller.fleet.shown_proposals import proposals_of

if TYPE_CHECKING:
    from aiohttp import web

    from controller.api.faces import Faces
    from controller.api.stream import Stream

log = structlog.get_logger("orcha.fleet")
View = dict[str, Any]
TOPIC: Final = "fleet"
EVERY: Final = 1.0
"""Seconds between two looks."""
SPARING: Final = 20.0
"""How many times as long as a look itself took it is to the next, at least: a look at nine sites with five limits takes 5 ms,
and at others the more the more pairs of sites there are.
"""


async def looked_at(face: FleetFace, now: float) -> View:
    """The fleet as it can be shown. In the loop's thread, in which its agents write; only what all proposals come to is worked
    out in another, and remembered for the view.
    """
    await asyncio.to_thread(joint, proposals_of(face))
    return fleet_view(face, now)


class Telling:
    """Of the fleet of one process."""

    def __init__(
        self,
        face: FleetFace,
        stream: Stream,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._face, self._stream, self._now, self._sleep, self._timer = face, stream, now, sleep, timer
        self._told: View | None = None
        """None: nobody listens."""

    async def run(self) -> None:
        """For ever."""
        while True:
            began = self._timer()
            try:
                await self._look()
            except Exception:
                log.exception("the stream does not tell of the fleet for a moment; please report this as a bug")
            await self._sleep(max(EVERY, SPARING * (self._timer() - began)))

    async def _look(self) -> None:
        if not self._stream.wants(TOPIC):
            self._told = None
            return
        now = self._now()
        seen = glance(await looked_at(self._face, now))
        if seen != self._told:
            self._stream.publish(TOPIC, FleetGlance.model_validate(seen).model_dump(mode="json"), now)
            self._told = seen


def told_by(faces: Faces) -> Callable[[web.Application], AsyncIterator[None]]:
    """For the application's `cleanup_ctx`: tell as long as it serves."""

    async def telling(_app: web.Application) -> AsyncIterator[None]:
        if faces.fleet is None:
            yield
            return
        task = asyncio.create_task(Telling(faces.fleet, faces.stream, faces.now).run(), name="telling of the fleet")
        yield
        task.cancel()
        await asyncio.wait({task})

    return telling
