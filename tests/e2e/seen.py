"""For tests of what people see: a Prometheus that has watched seven days of the simulated world, and goes on watching.

Made by scripts/backfill.py, which keeps what it lived in .cache/week. Everything that asks for it carries
`xdist_group("dashboards")`, so that one process of the tests makes it, once. ORCHA_LIVED=FILE takes a week that was lived by
earlier code, for who changes a dashboard many times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scripts._blocks import ask
from tests.e2e.programs import ROOT, Program, until

DAYS = 7.0
PATIENCE = 600.0
"""Seconds: on a fresh machine the seven days are lived first."""


@dataclass(frozen=True)
class Seen:
    prometheus_url: str
    start: float
    end: float
    """Unix seconds; its newest samples are newer, and stay so."""
    scrape: float = 300.0
    """Seconds between two samples where they are farthest apart: what Grafana calls the scrape interval."""

    def query(self, expression: str, **at: float) -> list[dict[str, Any]]:
        """An instant query, now unless `time` is said."""
        return ask(self.prometheus_url, "query", query=expression, **at)["result"]

    def over(self, expression: str, step: float, seconds: float = DAYS * 86400.0) -> list[dict[str, Any]]:
        """A range query up to the end."""
        return ask(
            self.prometheus_url, "query_range", query=expression, start=self.end - seconds, end=self.end, step=step
        )["result"]


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    where = tmp_path_factory.mktemp("seen")
    argv = [sys.executable, "scripts/backfill.py", "--days", str(DAYS), "--serve"]
    if given := os.environ.get("ORCHA_LIVED"):
        argv += ["--lived", given]
    with (where / "out").open("wb") as out, (where / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=log, start_new_session=True)
    program = Program(process, where / "log")
    try:
        until(
            lambda: (where / "out").read_text().strip() or process.poll() is not None,
            "a watched week",
            seconds=PATIENCE,
        )
        told = (where / "out").read_text().strip()
        assert told, program.said()
        found = json.loads(told)
        yield Seen(found["prometheus"], found["start"], found["end"])
    finally:
        program.stop(seconds=30)
