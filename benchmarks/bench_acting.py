"""What acting costs beside its drivers and nodes: a real journal on the disk, drivers and nodes that answer at once.

reallocation  one program that shrinks two workloads of a node and grows two, to its end; against as many bare commits
              to an SQLite file (forced to the disk like the journal's), which is what no journal can be without
back          the same, when the driver of the last step refuses and all four go back
recovery      a start that finds unfinished programs, each on a node of its own, killed at every phase of their steps:
              from reading the journal until the last one is over; against one reallocation after the other
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from controller.actuate.actuator import Actuator
from controller.actuate.driver import Refused
from controller.desk import Desk
from controller.grounds import World
from controller.journal import Journal
from controller.model import Move
from controller.observe import Watched
from controller.outcomes import Outcomes
from controller.programs import OVER, Cause, Phase, Program, ProgramState, Record
from controller.sequence import Holdings, sequence
from controller.store import Store
from exporters.clock import SystemClock
from exporters.nodes import Allocation, Node
from exporters.reading import Reading
from exporters.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.programs import Order

OF = Allocation(resource="cpu", min=0, max=12, step=1, with_={"memory": 2.0})
MOVES = {"s1": (6.0, 4.0), "s2": (5.0, 3.0), "g1": (1.0, 3.0), "g2": (2.0, 4.0)}
CAPACITY = {"cpu": 14.0, "memory": 28.0}
CLOCK = SystemClock()
AIM_MOVING, AIM_RECOVERY = 50.0, 5.0
"""Milliseconds for four workloads; seconds for a hundred programs."""


class Site:
    """Nodes that are changed at once and say so at once; a Source, and the maker of their drivers."""

    def __init__(self, nodes: list[str]) -> None:
        keys = [f"{node}/{name}" for node in nodes for name in MOVES]
        self.has = {key: self.amounts(MOVES[key.partition("/")[2]][0]) for key in keys}
        self.refuses = ""
        self.watched = {
            key: Watched(key, key.partition("/")[0], "fake", Traits(), 60.0, OF, None, None, None, "hand")
            for key in keys
        }

    @staticmethod
    def amounts(cpu: float) -> dict[str, float]:
        return {"cpu": cpu, "memory": 2.0 * cpu}

    def assumes(self, _key: str) -> bool:
        return False

    def last_good(self, key: str) -> Reading:
        node, _, name = key.partition("/")
        return Reading(node, name, "fake", CLOCK.time(), allocated=self.has[key])

    async def read_back(self, key: str) -> Reading:
        return self.last_good(key)

    def world(self) -> World:
        made = World(self, lambda key, _brought: Hand(self, key), holds=lambda: True)  # type: ignore[arg-type]  # as much of a Source as is asked
        spec = {"capacity": {name: str(much) for name, much in CAPACITY.items()}, "workloads": {}}
        about = {"apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "spec": spec}
        nodes = sorted({key.partition("/")[0] for key in self.has})
        made.declare([Node.model_validate({**about, "metadata": {"name": name}}) for name in nodes])
        return made


class Hand:
    """A driver that takes no time."""

    name = "hand"
    conclusive = False
    reversible = True

    def __init__(self, site: Site, key: str) -> None:
        self._site, self._key = site, key

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> Mapping[str, Any]:
        return self._site.has[self._key]

    async def verify(self, _order: Order) -> None:
        return None

    async def apply(self, order: Order) -> None:
        if self._key == self._site.refuses:
            raise Refused("no")
        self._site.has[self._key] = dict(order.amounts)

    async def undo(self, order: Order, _stood: Mapping[str, Any]) -> None:
        self._site.has[self._key] = dict(order.amounts)

    async def close(self) -> None: ...


def program(node: str, at: float) -> Program:
    moves = [Move(f"{node}/{name}", node, "cpu", was, to, 1.0, 0.0) for name, (was, to) in MOVES.items()]
    held = {move.key: move.from_ for move in moves}
    made = sequence(
        moves, Holdings(dict.fromkeys(held, OF), held, {node: CAPACITY}),
        policy="default", at=at, cause=Cause.PLAN, sentence="more is earned so",
    )  # fmt: skip
    return made.turned(ProgramState.APPROVED, at)


# --- one program


async def moved(store: Store, *, refuses: str = "") -> float:
    """Seconds from an approved program to its end."""
    site = Site(["a"])
    site.refuses = refuses
    made = program("a", CLOCK.time())
    actuator = Actuator(made, site.world(), Journal(store), CLOCK)
    began = time.perf_counter()
    ended = await actuator.run()
    took = time.perf_counter() - began
    assert ended.state is (ProgramState.ROLLED_BACK if refuses else ProgramState.APPLIED), ended.said
    return took


def commits(where: Path, count: int) -> float:
    """Seconds for so many bare commits, each of about what a save writes."""
    body = "x" * 2500
    with closing(sqlite3.connect(where / "bare.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS journal (id TEXT PRIMARY KEY, body TEXT)")
        began = time.perf_counter()
        for i in range(count):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO journal VALUES (?, ?)", ("p", f"{body}{i}"))
            connection.execute("COMMIT")
        return time.perf_counter() - began


async def measure_one(report: Report, where: Path, rounds: int) -> float:
    """Adds the figures of one program; gives the seconds of one reallocation."""
    store = await Store.open(f"sqlite:///{where / 'one.db'}")
    there, back = [], []
    for _ in range(rounds):
        there.append(await moved(store))
        back.append(await moved(store, refuses="a/g2"))
    await store.close()
    bare = statistics.median(commits(where, 10) for _ in range(rounds))
    one, two = statistics.median(there), statistics.median(back)
    report.add(
        "4 workloads moved, ms beside their drivers",
        one * 1e3,
        AIM_MOVING,
        detail=f"10 saves, each on the disk; best {min(there) * 1e3:.1f}",
    )
    report.add("against 10 bare commits", one / bare, detail=f"{bare * 1e3:.1f} ms")
    report.add(
        "4 workloads moved and taken back, ms", two * 1e3, detail="19 saves, and a quarter second before each look back"
    )
    report.figures |= {
        "moved_seconds": one,
        "moved_best_seconds": min(there),
        "moved_worst_seconds": max(there),
        "back_seconds": two,
        "commits_seconds": bare,
    }
    return one


# --- a start


def interrupted(made: Program, number: int, site: Site) -> Program:
    """As it was when its process was killed: after so many moments of its way there, or (every third) of its way back."""
    steps, at = list(made.steps), number % 9
    for i, step in enumerate(steps):
        if at >= 2 * i + 1:  # its intent was written; at an even moment its effect had happened
            steps[i] = replace(step, phase=Phase.ISSUED, stood=dict(step.before), since=made.at)
            if at >= 2 * i + 2 or number % 2:
                site.has[step.key] = dict(step.after)
        if at >= 2 * i + 2:
            steps[i] = replace(steps[i], phase=Phase.DONE)
    if number % 3 == 2 and (begun := [i for i, step in enumerate(steps) if step.phase is not Phase.WAITING]):
        steps[begun[-1]] = replace(steps[begun[-1]], phase=Phase.RETURNING, failure="no")
    return replace(made, steps=tuple(steps)).turned(ProgramState.RUNNING, made.at)


async def recovered(where: Path, count: int) -> float:
    """Seconds from opening the state until the last of the programs that were under way is over."""
    nodes, url, at = [f"node-{i:03d}" for i in range(count)], f"sqlite:///{where / 'many.db'}", CLOCK.time()
    site = Site(nodes)
    store = await Store.open(url)
    for number, node in enumerate(nodes):
        await Journal(store).save(interrupted(program(node, at), number, site), Record(at, "running", "orcha", ""))
    await store.close()
    began = time.perf_counter()
    store = await Store.open(url)
    desk = Desk(Journal(store), site.world(), CLOCK, _nothing)
    await desk.restore(Outcomes())
    while not all(each.state in OVER for each in desk.programs()):
        await desk.turn({})
        await asyncio.gather(*desk._tasks.values())  # noqa: SLF001 what a turn of the loop comes back to later
    took = time.perf_counter() - began
    states = [each.state for each in desk.programs()]
    assert len(states) == count
    assert set(states) <= {ProgramState.APPLIED, ProgramState.ROLLED_BACK}
    await store.close()
    return took


async def _nothing(_policy: str, _keys: Any) -> None:
    """There is no State: nothing new may begin."""


async def measure_many(report: Report, where: Path, count: int, one: float) -> None:
    took = await recovered(where, count)
    aim = AIM_RECOVERY * count / 100
    report.add(f"{count} unfinished programs brought to an end, s", took, aim, detail="one journal, one node each")
    report.add("against as many reallocations one by one", took / (count * one))
    report.figures |= {"recovered_programs": count, "recovered_seconds": took}


async def run(report: Report, *, quick: bool) -> None:
    structlog.configure(processors=[_silence])
    with tempfile.TemporaryDirectory(prefix="orcha-bench-", dir=os.environ.get("TMPDIR")) as name:
        one = await measure_one(report, Path(name), 3 if quick else 15)
        await measure_many(report, Path(name), 20 if quick else 100, one)


def _silence(*_: Any) -> Any:
    raise structlog.DropEvent


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    report = Report("acting: beside its drivers and nodes")
    asyncio.run(run(report, quick=options.quick))
    finish(report, options)


if __name__ == "__main__":
    main()
