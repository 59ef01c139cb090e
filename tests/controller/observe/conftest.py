"""A Prometheus that answers over HTTP, and sources that ask it."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from controller.observe.prometheus import Asking, FromPrometheus
from tests.controller.observe.fake import COLLECTORS, FakePrometheus, HandClock, node


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
async def prometheus(clock):
    fake = FakePrometheus(clock)
    async with TestServer(fake.application()) as server:
        fake.url = str(server.make_url("/"))
        yield fake


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def source_for(prometheus, client, clock):
    """A function that makes a source; it is closed at the end."""
    made = []

    def make(*nodes, url=None, matchers="", token_file=None):
        asking = Asking(client, url or prometheus.url, token_file)
        made.append(FromPrometheus(nodes or [node()], COLLECTORS, asking, clock, matchers))
        return made[-1]

    yield make
    for source in made:
        await source.close()
