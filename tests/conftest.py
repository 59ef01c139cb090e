"""What every test may use: tools that `make test` fetched, and free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a wall-clock time, properties neither. The gate draws the same examples each time; elsewhere they vary.
settings.register_profile(
    "orcha", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("orcha")

# A shell starts what runs in its background with SIGINT ignored, and whatever a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".cache" / "tools.json"


def _tools() -> dict[str, dict[str, str | None]]:
    return json.loads(TOOLS.read_text()) if TOOLS.exists() else {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("tool"):
        name = mark.args[0]
        found = _tools().get(name, {})
        if found.get("where"):
            continue
        why = found.get("why") or f"{name}: not fetched (make tools)"
        if os.environ.get("ORCHA_REQUIRE_TOOLS") == "1":
            pytest.fail(f"a required tool is missing: {why}", pytrace=False)
        pytest.skip(f"tool missing: {why}")


@pytest.fixture
def tool():
    """Where a fetched tool is: tool("prometheus") -> Path."""
    return lambda name: Path(str(_tools()[name]["where"]))


@pytest.fixture
def free_port():
    """A function that gives a port of 127.0.0.1 on which nothing listens now."""

    def port() -> int:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    return port
