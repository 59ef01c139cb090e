"""Standing by for the Lease (leader.py): a process that is not the writer serves its health, and touches nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from controller.leader import Leader
from controller.lease import LeaseError
from controller.once import CouldNot

if TYPE_CHECKING:
    from controller.ending import Ending

log = structlog.get_logger("orcha")
STEP_TIMEOUT: Final = 60.0
"""Seconds that an effect which has begun may take: as long a new writer waits beyond the Lease, for a command that still runs."""


async def leads(leader: Leader, host: str, port: int, elected: bool) -> bool:
    """Stand by until this process may act. Raises CouldNot where it never could."""
    if not elected:
        await leader.acquire()
        return True
    log.info("stands by for the Lease", identity=leader.identity)
    runner = web.AppRunner(_application(leader), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
        await leader.acquire()
    except LeaseError as exc:
        raise CouldNot(str(exc)) from exc
    except OSError as exc:
        raise CouldNot(f"cannot listen on {host}:{port} ({exc.strerror}); choose another with --listen") from exc
    finally:
        await runner.cleanup()
    return True


def _application(leader: Leader) -> web.Application:
    """Healthy, ready to take over, and with nothing to show."""

    def said() -> str:
        return f"stands by: {leader.holder or 'nobody'} holds the Lease\n"

    async def fine(_request: web.Request) -> web.Response:
        return web.Response(text=said())

    async def metrics(_request: web.Request) -> web.Response:
        page = "# HELP orcha_leader 1 this controller is the one that may act.\n# TYPE orcha_leader gauge\norcha_leader 0.0\n"
        return web.Response(text=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def nothing(_request: web.Request) -> web.Response:
        return web.Response(status=503, text=said())

    app = web.Application()
    app.add_routes([web.get("/healthz", fine), web.get("/readyz", fine), web.get("/metrics", metrics)])
    app.router.add_route("*", "/{rest:.*}", nothing)
    return app


class Losing:
    """Waits for the end of this process's right to act, and ends it then."""

    def __init__(self, leader: Leader, ending: Ending) -> None:
        self._leader, self._ending = leader, ending
        self._tasks = [asyncio.create_task(leader.keep(), name="lease"), asyncio.create_task(self._until(leader.lost))]
        self.why = ""
        self.midway = False
        """Whether an effect may still be under way at the end: then nobody else may begin at once."""

    def also(self, lost: asyncio.Event) -> None:
        """Another sign of it: the store's epoch has passed on."""
        self._tasks.append(asyncio.create_task(self._until(lost)))

    async def _until(self, lost: asyncio.Event) -> None:
        await lost.wait()
        self.why = self._leader.why or "another controller writes to the state now"
        log.error("this controller may not act any more", why=self.why)
        self._ending.begin()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._leader.release(hand_over=not self.midway)


@contextlib.asynccontextmanager
async def watched(leader: Leader, ending: Ending) -> AsyncIterator[Losing]:
    """Keep the right to act, end the process when it is lost, and hand it over at the end."""
    losing = Losing(leader, ending)
    try:
        yield losing
    finally:
        await losing.stop()
