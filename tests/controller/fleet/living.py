"""Agents that live on a clock which the test moves: nothing waits for real time, and each run is like the other."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from controller.address import StoreError
from controller.fleet.agent import Agent
from controller.fleet.clocks import Order, compare
from controller.fleet.crdt import Delta, Replica
from controller.fleet.disk import Saved
from controller.fleet.manifest import FleetSpec
from controller.fleet.terms import Term, grow
from controller.fleet.timeline import Timeline
from controller.fleet.transport import Received
from controller.fleet.transport.memory import Memory, Switchboard
from controller.fleet.wire import Heartbeat, Message, State, decoded

BEGIN = 1_700_000_000.0
MOST_TURNS = 3000


class Hand:
    """A clock that only `advance` moves."""

    def __init__(self) -> None:
        self.at, self.passed = BEGIN, 0.0
        self.sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self.number = 0

    def time(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.number += 1
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleeping, (self.passed + seconds, self.number, waking))
        await waking

    def pass_(self, seconds: float) -> None:
        self.at += seconds
        self.passed += seconds
        while self.sleeping and self.sleeping[0][0] <= self.passed:
            waking = heapq.heappop(self.sleeping)[2]
            if not waking.done():
                waking.set_result(None)


class Kept:
    """A disk that knows only what was saved, and fails when it is told to."""

    def __init__(self) -> None:
        self.replica, self.start, self.trusted = Replica(), 0, True
        self.saves: list[Delta] = []
        self.digests = {self.replica.digest}
        """Of what it has, and had after each save."""
        self.fails: StoreError | None = None
        self.open = asyncio.Event()
        """While it is not set, a save takes for ever."""
        self.open.set()

    async def load(self) -> Saved:
        return Saved(copied(self.replica), self.start, self.trusted)

    async def save(self, new: Delta, start: int, *, trusted: bool) -> None:
        if self.fails is not None:
            raise self.fails
        await self.open.wait()
        self.replica.absorb(new)
        self.start, self.trusted = start, trusted
        self.saves.append(new)
        self.digests.add(self.replica.digest)


def copied(replica: Replica) -> Replica:
    found = Replica()
    found.absorb(replica.delta({}))
    return found


class Looking:
    """A way to the neighbours that looks at the disk whenever something is sent."""

    def __init__(self, way: Memory, disk: Kept) -> None:
        self.way, self.disk = way, disk
        self.sent: list[Message] = []
        self.early: list[Message] = []
        """Those that claimed what was not on the disk."""

    async def open(self, me: str, neighbours: Sequence[str], received: Received) -> None:
        await self.way.open(me, neighbours, received)

    async def send(self, message: Message, body: bytes) -> None:
        assert decoded(body) == message
        self.sent.append(message)
        if message.origin == message.via and not self.holds(message):
            self.early.append(message)
        await self.way.send(message, body)

    def holds(self, message: Message) -> bool:
        match message.body:
            case Heartbeat() as beat:
                return beat.digest in self.disk.digests
            case State() as state:
                known = state.changes.until
            case told:
                known = told.version
        return compare(known, self.disk.replica.version) in {Order.BEFORE, Order.EQUAL}

    @property
    def connected(self) -> bool:
        return self.way.connected

    @property
    def why(self) -> str:
        return self.way.why

    async def close(self) -> None:
        await self.way.close()


class Ward:
    """A fleet in one process. Names are site-0, site-1 ...; `await ward.passes(seconds)` lets time pass."""

    def __init__(self, spec: FleetSpec, *, board: Switchboard | None = None, timeline: Timeline | None = None) -> None:
        self.spec, self.clock, self.board = spec, Hand(), board or Switchboard()
        self.timeline = timeline
        self.disks = {name: Kept() for name in spec.agents}
        self.agents: dict[str, Agent] = {}
        self.ways: dict[str, Looking] = {}
        self._living: dict[str, tuple[Any, asyncio.Task[None]]] = {}

    async def start(self, *names: str) -> None:
        for name in names or self.spec.agents:
            way = self.ways[name] = Looking(self.board.port(), self.disks[name])
            life = Agent.opened(name, self.spec, self.disks[name], way, self.clock, self.timeline)
            self.agents[name] = await life.__aenter__()
            self._living[name] = life, asyncio.create_task(self.agents[name].run())
        await settled()

    async def kill(self, *names: str) -> None:
        """They end in the middle of whatever they do; what was saved is there when they start again."""
        for name in names or tuple(self._living):
            life, task = self._living.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await life.__aexit__(None, None, None)

    def task(self, name: str) -> asyncio.Task[None]:
        return self._living[name][1]

    async def passes(self, seconds: float, step: float = 0.5) -> None:
        until = self.clock.passed + seconds
        while self.clock.passed < until - 1e-9:
            self.clock.pass_(min(step, until - self.clock.passed))
            await settled()

    async def passes_until(self, wanted: Callable[[], bool], most: float = 60.0) -> float:
        """The seconds that it took."""
        began = self.clock.passed
        while not wanted():
            assert self.clock.passed - began < most, "it did not come to be"
            await self.passes(0.5)
        return self.clock.passed - began

    async def propose(self, name: str, number: int = 0) -> Term:
        term = grow(f"{name}/golem", "cpu", number, number + 1)
        await self.agents[name].write(lambda replica, _, writer: replica.add(term, writer, 1))
        return term

    def digests(self) -> set[str]:
        return {agent.peer.replica.digest for agent in self.agents.values()}

    def agree(self) -> bool:
        return len(self.digests()) == 1

    def trusted(self) -> bool:
        return all(agent.peer.trusted for agent in self.agents.values())

    @property
    def early(self) -> list[Message]:
        return [message for way in self.ways.values() for message in way.early]


async def settled() -> None:
    """Until nothing is left to do now: whoever waits waits for time, or for a disk."""
    loop = asyncio.get_running_loop()
    ready = loop._ready  # type: ignore[attr-defined] # asyncio shows nowhere else whether anything is left to do
    for _ in range(MOST_TURNS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the agents never come to rest")


def fleet_spec(count: int = 3, **changes: object) -> FleetSpec:
    return FleetSpec.model_validate({"sites": [f"site-{i}" for i in range(count)], **changes})


@asynccontextmanager
async def ward(count: int = 3, *, begun: bool = True, **changes: Any) -> AsyncIterator[Ward]:
    """A fleet at work, whose agents agreed with each other once."""
    found = Ward(fleet_spec(count), **changes)
    await found.start()
    try:
        if begun:
            await found.passes_until(lambda: found.agree() and found.trusted())
        yield found
        assert found.early == []
    finally:
        await found.kill()


def taken(disk: Kept) -> Kept:
    """A copy of a disk, as somebody keeps one."""
    found = Kept()
    found.replica, found.start, found.trusted = copied(disk.replica), disk.start, disk.trusted
    return found
