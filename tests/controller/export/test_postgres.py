"""The same export from a real PostgreSQL server of this test's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.controller.export.worlds import KEYS, State, T, as_told, block, decision, read_json, rows
from tests.controller.report import programs as made
from tests.e2e.postgres import serving

pytestmark = pytest.mark.tool("postgresql")
OWN = made.applied("p-1", ago=made.NOW - T)
PAST = State(
    [(KEYS[i % 3], T + i // 3 * 10.0, i % 7 > 0, 8.0, 4.0, -0.125) for i in range(900)],
    [(key, block(T + i * 300, hours=0.05, net_usd=0.1, net_hours=0.05)) for key in KEYS for i in range(10)],
    [decision(T + i, f"p-{i % 3}") for i in range(120)],
    [(OWN, made.records_of(OWN))],
    [made.trial("manual", kind=made.Kind.MANUAL, ago=made.NOW - T - 5, promised=False), made.trial("p-1")],
)


@pytest.fixture(scope="module")
def url():
    with serving() as url:
        asyncio.run(PAST.write(url))
        yield url


@pytest.mark.parametrize(("what", "count"), [("decisions", 120), ("programs", 2), ("readings", 930)])
async def test_it_gives_the_same_rows_as_sqlite(url, tmp_path, what, count):
    lite = f"sqlite:///{tmp_path}/orcha.db"
    await PAST.write(lite)
    found = await rows(url, what, until=made.NOW * 2)
    assert len(found) == count
    assert found == await rows(lite, what, until=made.NOW * 2)


async def test_the_command_writes_them(url, tmp_path):
    path = tmp_path / "out"
    argv = [
        sys.executable,
        "-m",
        "controller",
        "export",
        "--what",
        "readings",
        "--format",
        "json",
        "--state",
        url,
        "-o",
        str(path),
    ]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert read_json(path.read_bytes()) == [as_told(row, "readings") for row in await rows(url, "readings")]


async def test_from_any_place_on_the_rest_is_told(url):
    """Ids and times are compared by the server, as it also orders them."""
    for what in ("decisions", "programs"):
        whole = await rows(url, what, until=made.NOW * 2)
        names = [row["id"] for row in whole] if what == "programs" else list(range(1, 121))
        for i, row in enumerate(whole):
            rest = await rows(url, what, until=made.NOW * 2, start=(row["at"], names[i]))
            assert rest == whole[i + 1 :]
