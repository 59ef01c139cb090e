"""Processes that are killed while they act, and what they leave: `python -m tests.controller.actuate.doomed WHERE NUMBER < CASES`.

The nodes are one file, to which every effect appends a line before it returns, so that every moment can be looked at
afterwards; the journal is a real one in SQLite. For each case (a line of JSON) a child is forked from this process, which has
imported everything. The first life runs the program; it is killed where the case says. The next ones are what orcha does when
it starts, until the program is over. Printed is, a line for each case, what was wrong, and how many boundaries its last life
came to.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from controller.actuate.actuator import Actuator, Ways
from controller.actuate.driver import Refused
from controller.desk import Desk
from controller.grounds import World
from controller.journal import Journal
from controller.observe import Watched
from controller.outcomes import Outcomes
from controller.programs import OVER, Amounts, Order, Original, Program, Record
from controller.store import Store
from exporters.nodes import Node
from exporters.reading import Reading
from exporters.traits import Traits
from tests.controller.actuate.plots import (
    OF,
    PLOTS,
    WAY,
    WORLD,
    Plot,
    begins,
    lines_of,
    phases_in,
    wrong_in_the_end,
    wrong_in_the_journal,
    wrong_in_the_records,
    wrong_in_the_world,
)
from tests.controller.actuate.world import T0, LoopClock, VirtualLoop


class Doom:
    """Ends this process at the so-manieth boundary that it comes to."""

    def __init__(self, at: int | None) -> None:
        self.at, self.passed = at, 0

    def here(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


# --- the world in a file


class Site:
    """The nodes, as a Source, and the drivers that change them."""

    def __init__(self, where: Path, plot: Plot, doom: Doom) -> None:
        self.where, self.plot, self.doom = where, plot, doom
        self.has = begins(plot)
        for line in lines_of(where):
            self.has[line["key"]].update(line["amounts"])
        self._journal = sqlite3.connect(where / WAY)
        """As anybody else reads it."""
        self.newest = ""
        """What was changed last."""
        self._file = os.open(where / WORLD, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        traits = Traits(verify_timeout=60.0)
        self.watched = {
            key: Watched(key, key.partition("/")[0], "fake", traits, 60.0, OF, None, None, None, "hand")
            for key in sorted(plot.moves)
        }

    def assumes(self, key: str) -> bool:
        return False

    def last_good(self, key: str) -> Reading:
        node, _, name = key.partition("/")
        return Reading(node, name, "fake", T0, allocated=dict(self.has[key]))

    async def read_back(self, key: str) -> Reading:
        found = self.last_good(key)
        await asyncio.sleep(0)
        if key == self.newest:
            self.doom.here()
        return found

    def append(self, key: str, amounts: Amounts, order: Order) -> None:
        self.has[key].update(amounts)
        self.newest, (state, phases) = key, phases_in(self._journal)
        line = {
            "key": key,
            "amounts": amounts,
            "token": order.token,
            "target": order.amounts,
            "state": state,
            "phase": phases[key],
        }
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Scribe:
    """The driver of one workload: an effect is two lines, its own resource and its companion."""

    name = "hand"
    conclusive = False
    reversible = True

    def __init__(self, site: Site, key: str) -> None:
        self._site, self._key = site, key

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> Mapping[str, Any]:
        return dict(self._site.has[self._key])

    async def verify(self, order: Order) -> str | None:
        return None

    async def apply(self, order: Order) -> None:
        await self._bring(order, refuses=self._key == self._site.plot.refuses)

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        await self._bring(order, refuses=False)

    async def close(self) -> None: ...

    async def _bring(self, order: Order, *, refuses: bool) -> None:
        self._site.doom.here()
        for resource, amount in order.amounts.items():
            self._site.append(self._key, {resource: amount}, order)
            self._site.doom.here()
            if refuses:
                raise Refused("no, never")
            await asyncio.sleep(0)


class DoomedJournal(Journal):
    """A real one, that may be killed before and after each save."""

    def __init__(self, store: Store, doom: Doom) -> None:
        super().__init__(store)
        self._doom = doom

    async def save(self, program: Program, *records: Record, originals: Any = ()) -> None:
        self._doom.here()
        kept: tuple[Original, ...] = tuple(originals)
        await super().save(program, *records, originals=kept)
        self._doom.here()


# --- lives


async def live(where: Path, plot: Plot, number: int, doom: Doom) -> None:
    """One process from its start to its end."""
    store = await Store.open(f"sqlite:///{where / WAY}")
    clock, site = LoopClock(T0 + 100.0 * number), Site(where, plot, doom)
    world = World(site, lambda key, _brought: Scribe(site, key), holds=lambda: True)
    world.declare(nodes_of(plot))
    journal = DoomedJournal(store, doom)
    if number == 0:
        [program] = await journal.programs(0)
        await Actuator(program, world, journal, clock, Ways(parallel_nodes=2)).run()
    else:
        await recover(journal, world, clock)
    await store.close()


async def recover(journal: Journal, world: World, clock: LoopClock) -> None:
    """What orcha does when it starts, until every program is over."""
    desk = Desk(journal, world, clock, _nothing)
    await desk.restore(Outcomes())
    for _ in range(100):
        await desk.turn({})
        await asyncio.gather(*desk._tasks.values())
        if all(program.state in OVER for program in desk.programs()):
            return
        await clock.sleep(30.0)
    raise AssertionError("it does not come to an end")


async def _nothing(_policy: str, _keys: Any) -> None:
    """There is no State: nothing new may begin."""


def nodes_of(plot: Plot) -> list[Node]:
    return [
        Node.model_validate({
            "apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": name},
            "spec": {"capacity": capacity, "workloads": {}},
        })
        for name, capacity in plot.capacity.items()
    ]  # fmt: skip


async def made(where: Path, plot: Plot) -> None:
    """A state that holds the approved program."""
    store = await Store.open(f"sqlite:///{where / WAY}")
    await Journal(store).save(plot.program(), Record(T0, "approved", "anna", "yes"))
    await store.close()


def child(where: Path, plot: Plot, number: int, at: int | None) -> int:
    """The pid of a life that is killed at a boundary (None: at none); it leaves how many it came to."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        doom = Doom(at)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(live(where, plot, number, doom))
        (where / "passed").write_text(str(doom.passed))
        status = 0
    finally:
        os._exit(status)  # nothing of the parent's is to be ended twice


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# --- cases


def play(case: Mapping[str, Any], root: Path, whole: Mapping[str, float]) -> dict[str, Any]:
    """One case: {"plot", "name", "kills": [{"boundary": n} | {"share": s}, ...]}, one life for each kill and a last one.
    `whole`: seconds that the first life of each plot takes, of which a share is meant.
    """
    plot, where = PLOTS[case["plot"]], root / case["name"]
    where.mkdir()
    shutil.copyfile(root / f"{case['plot']}.db", where / WAY)
    wrong: list[str] = []
    for number, kill in enumerate([*case["kills"], {}]):
        pid = child(where, plot, number, kill.get("boundary"))
        if "share" in kill:
            time.sleep(kill["share"] * whole[case["plot"]])
            os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        if code not in {0, -signal.SIGKILL} or (code and not kill):
            wrong.append(f"life {number} ended with {code}")
        wrong += [*wrong_in_the_journal(where, plot), *wrong_in_the_records(where, plot)]
    wrong += [*wrong_in_the_world(plot, lines_of(where)), *wrong_in_the_end(where, plot)]
    passed = where / "passed"
    told = {"wrong": wrong, "passed": int(passed.read_text()) if passed.exists() else None}
    if not wrong:
        shutil.rmtree(where)
    return told


def timed(root: Path, name: str) -> float:
    """Seconds that a life takes which nobody kills."""
    took = []
    for i in range(3):
        where = root / f"timed-{os.getpid()}-{name}-{i}"
        where.mkdir()
        shutil.copyfile(root / f"{name}.db", where / WAY)
        began = time.perf_counter()
        ended(child(where, PLOTS[name], 0, None))
        took.append(time.perf_counter() - began)
        shutil.rmtree(where)
    return sorted(took)[1]


def main(root: Path, number: int) -> None:
    if hasattr(os, "sched_setaffinity"):  # a life is two threads that wait for one another: one core is faster than two
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    structlog.configure(processors=[_silence])
    for name, plot in PLOTS.items():  # what a first time takes (dialects, statements), no child has to take again
        where = root / f"warm-{os.getpid()}-{name}"
        where.mkdir()
        shutil.copyfile(root / f"{name}.db", where / WAY)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(live(where, plot, 0, Doom(None)))
        shutil.rmtree(where)
    gc.collect()
    gc.freeze()
    gc.disable()  # each child is short, and shares this one's memory as long as it does not write to it
    whole = {name: timed(root, name) for name in PLOTS}
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(play(json.loads(line), root, whole))}\n")


def _silence(*_: Any) -> Any:
    raise structlog.DropEvent


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
