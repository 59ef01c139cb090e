"""A Golem daemon on loopback, and looks at it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from exporters.collector import Workload
from exporters.nodes import WorkloadSpec
from exporters.protocols import golem
from exporters.session import HttpSession
from tests.exporters.protocols.golem.watching import Watcher
from tests.exporters.protocols.golem_daemon import KEY, FakeDaemon


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
async def watcher(daemon, aiohttp_server, tmp_path):
    """A function that gives a Watcher of the daemon, with the content of a key file (None: no file is named)."""
    server = await aiohttp_server(daemon.app())
    async with aiohttp.ClientSession() as client:

        def made(key: str | None = KEY, timeout: str = "30s") -> Watcher:
            spec: dict[str, Any] = {"protocol": "golem", "endpoint": str(server.make_url("")), "timeout": timeout}
            if key is not None:
                (tmp_path / "key").write_text(key + "\n")
                spec["credentials"] = {"appKeyFile": str(tmp_path / "key")}
            workload = Workload("rack-1", "golem", WorkloadSpec.model_validate(spec), golem.TRAITS)
            return Watcher(HttpSession(client), workload)

        yield made


@pytest.fixture
def orcha(watcher) -> Watcher:
    return watcher()
