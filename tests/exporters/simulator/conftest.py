"""A simulated world to ask, and how to compare an answer's shape with a recorded one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters.simulator.demo import demo
from exporters.simulator.response import Request

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NOW = datetime(2026, 8, 20, 14, 30, tzinfo=UTC).timestamp()


class Asker:
    """One site at one time."""

    def __init__(self, site, now, headers=None):
        self.site, self.now, self.headers = site, now, headers or {}

    def __call__(self, path, method="GET", body=b"", headers=None, **query):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.site.answer(
            Request(method, path, query, self.headers if headers is None else headers, raw), self.now
        )

    def json(self, path, **more):
        response = self(path, **more)
        assert response.status == 200, (path, response)
        return json.loads(response.body)


@pytest.fixture
def made():
    """The demonstration's world, with a day of past."""
    found = demo(1, origin=NOW - 86400.0)
    found.world.advance(NOW)
    return found


@pytest.fixture
def asker():
    return Asker


def shape(value):
    """Types and keys only; lists by their first item, numbers as numbers."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.fixture
def recorded_shape():
    """Shape of a recorded answer's body: golem/offers.json -> nested types."""

    def read(name):
        return shape(json.loads((FIXTURES / name).read_text())["body"])

    return read


@pytest.fixture
def shape_of():
    return shape
