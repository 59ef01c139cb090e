"""A real server on loopback for each test that wants one."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from controller.api.app import application
from tests.controller.api import desk


@pytest.fixture
async def serve():
    """serve(host="127.0.0.1", **fields of Faces) -> a client of it."""
    clients = []

    async def make(host="127.0.0.1", **changes):
        client = TestClient(TestServer(application(desk.faces(**changes), host), host="127.0.0.1"))
        await client.start_server()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
