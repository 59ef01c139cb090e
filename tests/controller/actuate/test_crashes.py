"""Killed anywhere, and started again: nothing is lost, nothing happens twice, nothing over-allocates, the journal is true.

Once with real processes and SIGKILL (doomed.py), on SQLite; and once in this process, where a kill is an exception that
nothing catches, on both stores.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller import tables
from controller.actuate.actuator import Actuator, Ways
from controller.journal import Journal
from controller.programs import OVER, Original, Program, Record
from controller.store import Store
from exporters.simulator.inprocess import FastClock
from tests.controller.actuate import doomed
from tests.controller.actuate.notebook import Killed
from tests.controller.actuate.plots import OF, PLOTS, WAY, Plot, begins
from tests.controller.actuate.world import T0, World, workload
from tests.controller.test_store_postgres import NEEDS_SERVER, server  # noqa: F401 the fixture

ROOT = Path(__file__).parents[3]
AT_ONCE = 2
"""Processes that fork."""


@pytest.fixture
def root(tmp_path) -> Iterator[Path]:
    """Where the cases are played: in memory, where that can be had, for a SIGKILL does not ask for a disk."""
    shm = Path("/dev/shm")  # noqa: S108 a directory with a random name in it is made
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else tmp_path) as name:
        for plot, it in PLOTS.items():
            where = Path(name, f"made-{plot}")
            where.mkdir()
            asyncio.run(doomed.made(where, it))
            (where / WAY).rename(Path(name, f"{plot}.db"))
        yield Path(name)


def play(root: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What became of the cases, in their order."""
    for number, case in enumerate(cases):
        case["name"] = f"{random.randrange(10**12)}-{number}"

    def half(first: int) -> list[dict[str, Any]]:
        asked = "".join(f"{json.dumps(case)}\n" for case in cases[first::AT_ONCE])
        argv = [sys.executable, "-m", "tests.controller.actuate.doomed", str(root), str(first)]
        done = subprocess.run(argv, input=asked, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    told: list[Any] = [None] * len(cases)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first, found in enumerate(pool.map(half, range(min(AT_ONCE, len(cases))))):
            told[first::AT_ONCE] = found
    return told


def check(root: Path, cases: list[dict[str, Any]]) -> None:
    told = play(root, cases)
    wrong = [(case, each["wrong"]) for case, each in zip(cases, told, strict=True) if each["wrong"]]
    assert wrong == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plot", PLOTS)
def test_killed_at_every_write_and_every_boundary_of_an_effect_it_ends_as_if_nobody_had(root, plot):
    [whole] = play(root, [{"plot": plot, "kills": []}])
    assert whole["wrong"] == []
    boundaries = whole["passed"]
    assert boundaries >= 2 * 14 + 6 * 4  # 14 saves: before and after; 6 effects: before, between, after, read back
    cases = [{"plot": plot, "kills": [{"boundary": at}]} for at in range(1, boundaries + 1)]
    chance = random.Random(4)
    cases += [
        {"plot": plot, "kills": [{"boundary": chance.randint(1, boundaries)}, *({"boundary": n} for n in again)]}
        for again in ([1], [2], [3], [5], [8], [13], [4, 4, 4], [1, 2, 3])
    ]
    check(root, cases)


@pytest.mark.timeout(300)
def test_killed_at_500_random_moments_it_ends_as_if_nobody_had(root):
    chance = random.Random(5)
    plots = sorted(PLOTS)
    check(root, [{"plot": plots[n % 2], "kills": [{"share": chance.uniform(0.0, 1.1)}]} for n in range(500)])


# --- on both stores, in this process


@dataclass
class Doom:
    """Ends its world at the so-manieth boundary."""

    world: World
    at: int
    passed: int = 0

    def __call__(self) -> None:
        if not self.world.alive:
            raise Killed
        self.passed += 1
        if self.passed == self.at:
            self.world.kill()


class Both:
    """A real journal, and the notebook which checks what was written into it."""

    def __init__(self, journal: Journal, world: World) -> None:
        self.journal, self.world = journal, world

    async def save(self, program: Program, *records: Record, originals: tuple[Original, ...] = ()) -> None:
        self.world.boundary()
        await self.journal.save(program, *records, originals=originals)
        await self.world.notebook.save(program, *records, originals=originals)
        self.world.boundary()


def world_of(plot: Plot) -> World:
    it = World(*(workload(key, was, OF) for key, (was, _) in plot.moves.items()), capacity=plot.capacity)
    it.clock = FastClock(T0)
    if plot.refuses:
        it.faults[plot.refuses, "apply"] = ["half_refused"] * 9
    return it


async def lived(it: World, journal: Journal) -> Program:
    """The program of the journal, taken up by one process after the other until it is over."""
    for _ in range(5):
        [program] = await journal.programs(0)
        it.notebook.programs[program.id] = program
        if program.state in OVER:
            return program
        try:
            ended = await Actuator(program, it, Both(journal, it), it.clock, Ways(parallel_nodes=2)).run()
        except Killed:
            it.alive = True
            continue
        assert ended.state in OVER
        return ended
    raise AssertionError("it does not come to an end")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_SERVER)])
async def store(request, tmp_path):
    store = await Store.open(
        f"sqlite:///{tmp_path / WAY}" if request.param == "sqlite" else request.getfixturevalue("server")
    )
    yield store
    await store.close()


async def emptied(store: Store) -> None:
    async with store.transaction() as connection:
        for table in (tables.programs, tables.records, tables.originals):
            await connection.execute(table.delete())


@pytest.mark.parametrize("name", PLOTS)
async def test_on_both_stores_a_kill_at_any_boundary_leaves_what_the_next_start_brings_to_its_end(store, name):
    plot, journal, at = PLOTS[name], Journal(store), 0
    while True:
        at += 1
        await emptied(store)
        await journal.save(plot.program(), Record(T0, "approved", "anna", "yes"))
        it = world_of(plot)
        it.boundary = doom = Doom(it, at)
        ended = await lived(it, journal)
        assert (at, it.wrongs) == (at, [])
        assert {key: each.real["cpu"] for key, each in it.workloads.items()} == plot.ends
        assert await journal.program(ended.id) == ended
        lines = [record.what for record in await journal.records(ended.id) if record.what != "running"]
        assert sorted(lines) == sorted(set(lines))
        assert {key: each.amounts for key, each in (await journal.originals()).items()} == begins(plot)
        if doom.passed < at:
            break
    assert at > 2 * 14 + 6 * 3
