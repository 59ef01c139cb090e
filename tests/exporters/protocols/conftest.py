"""Real HTTP servers on loopback for the protocols' tests."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporters.session import HttpSession
from tests.exporters.protocols.site import PAGE, Raw, Site


@pytest.fixture
async def serve():
    """A function that serves answers on a free port of 127.0.0.1: serve({path: body or Raw}, otherwise=Raw(...)) -> Site."""
    runners = []

    async def start(answers: dict[str, Any], otherwise: Raw | None = None) -> Site:
        site = Site(answers, otherwise or Raw(PAGE, content_type="text/html"))
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", site.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        runners.append(runner)
        await runner.setup()
        listening = web.TCPSite(runner, "127.0.0.1", 0)
        await listening.start()
        site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return site

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def http():
    """The session that `fetch` gets."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
        yield HttpSession(client)
