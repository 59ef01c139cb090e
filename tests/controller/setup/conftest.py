"""The simulated world over HTTP inside of the test, and a finder that looks at it."""

from __future__ import annotations

import time

import pytest

from controller.setup.finding import Finder
from exporters.clock import SystemClock
from exporters.collector import discover
from exporters.poller import open_client
from exporters.session import HttpSession
from exporters.simulator.demo import demo
from exporters.simulator.server import Server


@pytest.fixture
async def served():
    """(the demonstration, its server) on free ports."""
    made = demo(origin=time.time() - 7200)
    server = Server(made.world)
    await server.start()
    yield made, server
    await server.close()


@pytest.fixture
async def find():
    """Look for a wish, 5 s for each address."""
    async with open_client() as client:
        yield Finder(discover(), HttpSession(client), SystemClock(), 5.0).find
