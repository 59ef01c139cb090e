"""Writers that freeze: processes that act on one state as `orcha run` does, each stopping itself at a point of its choice.

`python -m tests.controller.two_writers` loads everything once and forks a writer for each job that comes as a line of
JSON; what the writers reach, and what becomes of them, it writes as lines. A writer stops with SIGSTOP, all its threads
at once, exactly there: around a journal write, in its transaction, and on both sides of an effect.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from sqlalchemy import event

from controller.actuate.actuator import Actuator, Lost, Ways
from controller.actuate.driver import NotNow, Refused
from controller.address import StoreFenced, StoreLocked
from controller.journal import Journal
from controller.leader import Elected
from controller.model import Move
from controller.programs import OPEN, Cause, Order, Original, Program, ProgramState, Record
from controller.sequence import Holdings, sequence
from controller.store import Store
from exporters.clock import SystemClock
from exporters.nodes import Allocation
from exporters.reading import Reading
from exporters.settings import Lease
from exporters.traits import Traits

DURATION = "3s"
STEP_TIMEOUT = 0.5
LOST = 3
"""Exit code of a writer that found that it is none any more."""
AT = 1_700_000_000.0
NODE = "rack-1"
HAS = {"s1": 3.0, "s2": 3.0, "s3": 3.0, "g1": 1.0, "g2": 1.0, "g3": 1.0}
TO = {"s1": 1.0, "s2": 1.0, "s3": 1.0, "g1": 3.0, "g2": 3.0, "g3": 3.0}
CAPACITY = {"cpu": 12.0}
"""No more than there is before and after: what comes at the wrong moment is too much."""
ALLOCATION = Allocation(resource="cpu", min=1.0, max=4.0, step=1.0)
ALLOCATIONS = {f"{NODE}/{name}": ALLOCATION for name in HAS}


def six_steps() -> Program:
    moves = [Move(f"{NODE}/{name}", NODE, "cpu", HAS[name], TO[name], 1.0, 0.0) for name in HAS]
    held = {f"{NODE}/{name}": amount for name, amount in HAS.items()}
    there = Holdings(ALLOCATIONS, held, {NODE: CAPACITY}, {key: {"cpu": amount} for key, amount in held.items()})
    made = sequence(moves, there, policy="default", at=AT, cause=Cause.PLAN, sentence="more is earned so")
    return made.turned(ProgramState.APPROVED, AT)


class Hasty(SystemClock):
    """Nothing here takes as long as a real node."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 10)


@dataclass
class Points:
    """Where a writer is, and where it freezes."""

    name: str
    freeze_at: int
    """The number of the point; 0: nowhere."""
    passed: int = 0

    def say(self, what: str) -> None:
        os.write(1, json.dumps({"name": self.name, "what": what, "pid": os.getpid()}).encode() + b"\n")

    def reach(self, what: str) -> None:
        self.passed += 1
        self.say(f"at {what}")
        if self.passed == self.freeze_at:
            os.kill(os.getpid(), signal.SIGSTOP)


@dataclass
class Diary:
    """The journal, with the points around it."""

    journal: Journal
    points: Points

    async def save(self, program: Program, *records: Record, originals: tuple[Original, ...] = ()) -> None:
        what = " and ".join(record.what for record in records)
        self.points.reach(f"before the record: {what}")
        await self.journal.save(program, *records, originals=originals)
        self.points.reach(f"after the record: {what}")


@dataclass
class Hand:
    """The driver of one workload. `fenced`: it writes only upon what it read before it asked whether it may still write."""

    far: Far
    key: str
    fenced: bool
    name: str = "hand"
    conclusive: bool = False
    reversible: bool = True

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> Mapping[str, Any]:
        return {}

    async def apply(self, order: Order) -> None:
        await self._effect(order)

    async def verify(self, order: Order) -> str | None:
        return None

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        await self._effect(order)

    async def close(self) -> None: ...

    async def _effect(self, order: Order) -> None:
        points, version = self.far.points, None
        if self.fenced:
            points.reach(f"before the look: {order.token}")
            version = (await self.far.ask("read", key=self.key))["version"]
            points.reach(f"after the look: {order.token}")
            if not self.far.leader.holds:
                raise NotNow("this is not the writer any more")
        points.reach(f"before the effect: {order.token}")
        wish = {"key": self.key, "amounts": dict(order.amounts), "token": order.token, "version": version}
        answer = await self.far.ask("write", by=points.name, **wish)
        points.reach(f"after the effect: {order.token}")
        if answer["status"] == "refused":
            raise Refused("no, never")
        if answer["status"] == "conflict":
            raise NotNow("somebody else wrote first")


@dataclass
class Far:
    """Grounds: one node, over HTTP."""

    url: str
    session: aiohttp.ClientSession
    leader: Elected
    points: Points
    fenced: bool
    known: dict[str, float] = field(default_factory=dict)

    async def ask(self, verb: str, **what: Any) -> Any:
        async with self.session.post(f"{self.url}/{verb}", json=what) as answer:
            return await answer.json()

    async def read_back(self, key: str) -> Reading:
        has = (await self.ask("read", key=key))["amounts"]
        self.known[key] = has["cpu"]
        node, _, name = key.partition("/")
        return Reading(node, name, "fake", time.time(), allocated=has, configured=has)

    def last_known(self, key: str) -> float | None:
        return self.known.get(key)

    def allocation(self, key: str) -> Allocation | None:
        return ALLOCATIONS.get(key)

    def traits(self, key: str) -> Traits:
        return Traits(verify_timeout=30.0)

    def driver(self, key: str) -> Hand:
        return Hand(self, key, self.fenced)

    def neighbours(self, node: str) -> Mapping[str, Allocation]:
        return ALLOCATIONS

    def capacity(self, node: str) -> Mapping[str, float]:
        return CAPACITY

    def in_flight(self, node: str, apart: str) -> Mapping[str, float]:
        return {}

    def holds(self) -> bool:
        return self.leader.holds

    def paused(self, policy: str) -> bool:
        return False


async def opened(url: str, points: Points) -> Store:
    """As often as it takes: a process that cannot open the state ends, and is started again."""
    while True:
        points.say("opens the state")
        try:
            store = await Store.open(url, shared=True, patience=0.5)
        except StoreLocked:
            points.say("finds the state locked")
            continue
        event.listen(store._engine.sync_engine, "commit", lambda _: points.reach("the end of a transaction"))
        return store


async def act(job: Mapping[str, Any], leader: Elected, points: Points) -> int:
    store = await opened(job["state"], points)
    clock = Hasty()
    try:
        while leader.waits_until is not None and clock.monotonic() < leader.waits_until:
            await clock.sleep(0.1)
        diary = Diary(Journal(store), points)
        unfinished = [each for each in await diary.journal.programs(0.0) if each.state in OPEN]
        every = await diary.journal.programs(0.0)
        program = unfinished[0] if unfinished else None if every else six_steps()
        async with aiohttp.ClientSession() as session:
            far = Far(job["world"], session, leader, points, job["fenced"])
            while program is not None and program.state in OPEN:
                program = await Actuator(program, far, diary, clock, Ways()).run()
    except (Lost, StoreFenced) as exc:
        points.say(f"is not the writer: {type(exc).__name__}")
        return LOST
    finally:
        await store.close()
    return 0


async def write(job: Mapping[str, Any]) -> int:
    points = Points(job["name"], job["freeze_at"])
    wanted = Lease.model_validate({"namespace": "depin", "name": job["lease"], "duration": DURATION})
    leader = Elected(wanted, SystemClock(), STEP_TIMEOUT, identity=job["name"])
    points.say("stands by")
    await leader.acquire()
    points.say("holds the Lease")
    keeping = asyncio.create_task(leader.keep())
    try:
        return await act(job, leader, points)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await leader.release()


def _fork(job: Mapping[str, Any]) -> None:
    if os.fork():
        return
    code = 1
    try:
        code = asyncio.run(write(job))
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell_what_became() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if not pid:
            return
        what = "froze" if os.WIFSTOPPED(status) else "ended"
        code = None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        os.write(1, json.dumps({"pid": pid, "what": what, "code": code}).encode() + b"\n")


def load() -> None:
    """What a writer needs, before it is forked: it is loaded where it is needed first."""
    for name in ("lightkube", "lightkube.resources.coordination_v1", "httpx", "aiosqlite", "asyncpg"):
        with suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    load()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    os.write(1, b"{}\n")
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            some = os.read(0, 1 << 16)
            if not some:
                return
            *lines, waiting = (waiting + some).split(b"\n")
            for line in lines:
                _fork(json.loads(line))
        _tell_what_became()


if __name__ == "__main__":
    main()
