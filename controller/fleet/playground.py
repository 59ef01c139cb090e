"""`orcha fleet demo` behind its picture: real agents in one process on a switchboard, pretended sites, and what may happen to
them. What is pretended is in demo.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from controller.fleet import escrow
from controller.fleet.agent import Agent
from controller.fleet.clocks import Order, Stamp, Version, compare, joined
from controller.fleet.crdt import Replica
from controller.fleet.demo import (
    FEW,
    LIMIT,
    MANY,
    Moment,
    Pretended,
    Shown,
    Turned,
    between,
    in_force,
    shown_site,
    sides,
    split,
    turn,
    wish,
    worded,
)
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec
from controller.fleet.timeline import Timeline
from controller.fleet.topology import Edge
from controller.fleet.transport.memory import Switchboard
from exporters.clock import Clock

BEAT, TIMEOUT, TURN, DELAY = 1.0, 3.0, 2.0, 0.02
"""Seconds at speed 1: between heartbeats and sync rounds, until one counts as dead, between turns of a site, of a message."""
LOSS: Final = 0.3
KEPT: Final = 2000
"""Messages that figures are made of."""
RECENT: Final = 5.0
"""Seconds that messages are counted over."""


class Playground:
    """`async with Playground.opened(...) as it`. Nothing of it outlives the block."""

    def __init__(self, names: tuple[str, ...], topology: str, seed: int, speed: float, clock: Clock) -> None:
        """Raises NoTopology."""
        self.chance = random.Random(seed)
        self.speed = speed
        self.clock = clock
        self.spec = FleetSpec.model_validate(
            {
                "sites": list(names),
                "topology": topology,
                "heartbeat": f"{BEAT / speed}s",
                "timeout": f"{TIMEOUT / speed}s",
                "sync": f"{BEAT / speed}s",
            }
        )
        self.graph = self.spec.graph()
        self.names = names
        self.sites = {name: Pretended(name) for name in names}
        self.disks = {name: InMemory() for name in names}
        self.agents: dict[str, Agent] = {}
        """Those that live."""
        self.board = Switchboard(delay=lambda: self.chance.expovariate(speed / DELAY), chance=random.Random(seed + 1))
        self.timeline = Timeline(KEPT)
        self.began = clock.time()
        self.cut: frozenset[Edge] = frozenset()
        self.paused = False
        self.checks = 0
        self.broken = ""
        self.events: deque[tuple[float, str]] = deque(maxlen=50)
        self.starts = dict.fromkeys(names, 0)
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._each = MANY
        self._agreement = Timeline()
        self._took: float | None = None
        self._mended = 0.0
        self._owed: Version | None = None
        """What any of them knew when links were mended or a site came back, until all know it."""

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, names: tuple[str, ...], topology: str, seed: int, speed: float, clock: Clock
    ) -> AsyncIterator[Playground]:
        """Started, with the limit worded. Raises NoTopology."""
        self = cls(names, topology, seed, speed, clock)
        try:
            await asyncio.gather(*map(self._start, names))
            await self._word()
            self._lives[""] = asyncio.create_task(self._turns())
            yield self
        finally:
            await _ended(self._lives.values())

    def look(self) -> Moment:
        """What there is to see now. Raises what an agent failed of, which is a fault of orcha's."""
        for life in self._lives.values():
            if life.done() and not life.cancelled():
                life.result()
        self._check()
        self._agree()
        now, found = self.clock.time(), self._seen()
        p95, apart = self.timeline.latency().p95, self._agreement.apart_since
        return Moment(
            seconds=now - self.began,
            topology=self.graph.name,
            sites=found,
            edges=tuple((*edge, self._open(edge)) for edge in sorted(self.graph.edges)),
            bound=in_force(self._replicas()),
            newest=self._newest(),
            messages_per_second=self.timeline.traffic(now, RECENT).messages_per_second,
            p95_milliseconds=None if p95 is None else p95 / 1000,
            apart=None if apart is None else now - apart,
            took=self._took,
            loss=self.board.loss,
            paused=self.paused,
            checks=self.checks,
            broken=self.broken,
            events=tuple(self.events),
        )

    # --- what may happen ----------------------------------------------------------------------------------------------

    def partition(self) -> None:
        """Cut all links between two sides; others than before, where there are others."""
        found = None
        for _ in range(10):
            found = split(self.graph, self.chance.randrange)
            if found is None or between(self.graph, found) != self.cut:
                break
        if found is None:
            self._say("one agent alone cannot be cut off")
            return
        self.cut = between(self.graph, found)
        self.board.partition([[self.names[at] for at in group] for group in found])
        one, other = (" ".join(self.names[at].removeprefix("site-") for at in group) for group in found)
        self._say(f"{len(self.cut)} links are cut: {one} on one side, {other} on the other")

    def heal(self) -> None:
        if self.cut:
            self.cut = frozenset()
            self.board.heal()
            self._say("all links are mended")
            self._mend()

    async def kill_or_start(self) -> None:
        """A controller dies without a word, its machines go on; or it is started again with what is on its disk."""
        dead = [name for name in self.names if name not in self.agents]
        if dead:
            await self._start(dead[0])
            self._say(f"{dead[0]} is started again, with what was on its disk")
            self._mend()
            return
        name = self.chance.choice(self.names)
        await _ended([self._lives[name]])
        self._say(f"{name} is killed; what it holds, {_cores(self.sites[name].held)}, is still held")

    def lose(self) -> None:
        self.board.loss = 0.0 if self.board.loss else LOSS
        self._say(f"{LOSS:.0%} of all messages are lost" if self.board.loss else "messages arrive again")

    async def reword(self) -> None:
        """Another bound for the same limit, written at one site."""
        self._each = FEW if self._each == MANY else MANY
        await self._word()

    def pause(self) -> None:
        """Sites want nothing new and change nothing; the agents go on."""
        self.paused = not self.paused

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _start(self, name: str) -> None:
        """Until it runs."""
        ready = asyncio.Event()
        self._lives[name] = life = asyncio.create_task(self._live(name, ready))
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait((waiting, life), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended([waiting])
        if life.done():
            life.result()

    async def _live(self, name: str, ready: asyncio.Event) -> None:
        port = self.board.port()
        async with Agent.opened(name, self.spec, self.disks[name], port, self.clock, self.timeline) as agent:
            self.agents[name] = agent
            self.starts[name] += 1
            agent.noted = lambda _: self._agree()
            ready.set()
            try:
                await agent.run()
            finally:
                del self.agents[name]

    async def _turns(self) -> None:
        """The controllers' turns, one after another."""
        while True:
            for name in self.names:
                await self.clock.sleep(TURN / self.speed / len(self.names))
                if name in self.agents and not self.paused:
                    await self._turn(name)

    async def _turn(self, name: str) -> None:
        site, agent = self.sites[name], self.agents[name]
        if agent.peer.trusted:  # a fleet that has just begun agrees once before anything is wanted
            wish(site, self.chance.randrange)

        def change(replica: Replica, stamp: Callable[[], Stamp], writer: str) -> Turned:
            return turn(site, replica, stamp, writer, trusted=agent.peer.trusted)

        done = await agent.write(change)
        self._check()
        self._agree()
        if done.adopted:
            self._say(f"{name} keeps within {_cores(self._newest_of(name))} in all now")
        for to, amount in sorted(done.gifts.items()):
            self._say(f"{name} gives {to} the right to {_cores(amount)}")

    async def _word(self) -> None:
        if not self.agents:
            return
        author = self.chance.choice(sorted(self.agents))
        limit = worded(self.names, self._each)
        await self.agents[author].write(lambda replica, stamp, writer: escrow.word(replica, limit, stamp(), writer))
        self._say(
            f"{author} has a new wording: {_cores(limit.most)} in all; what was worded before binds until all know"
        )

    def _check(self) -> None:
        """The promise of it all: together they never hold more than what is in force."""
        bound, held = in_force(self._replicas()), sum(site.held for site in self.sites.values())
        self.checks += 1
        if bound is not None and held > bound and not self.broken:
            self.broken = f"after {self.clock.time() - self.began:.1f} s the sites held {held} of {bound} cores"

    def _agree(self) -> None:
        """Sites write all the time, so what counts after a mend is whether all know what any knew by then."""
        now = self.clock.time()
        known = [agent.peer.replica for agent in self.agents.values()]
        self._agreement.agree(len({replica.digest for replica in known}) <= 1, now)
        if self._owed is not None and all(
            compare(joined(r.version, self._owed), r.version) is Order.EQUAL for r in known
        ):
            self._owed, self._took = None, now - self._mended
            self._say(f"all know what any of them knew, after {self._took:.1f} s")

    def _mend(self) -> None:
        self._mended, self._owed = self.clock.time(), {}
        for agent in self.agents.values():
            self._owed = joined(self._owed, agent.peer.replica.version)

    def _replicas(self) -> Mapping[str, Replica]:
        """Of the dead what is on their disk."""
        return {
            name: self.agents[name].peer.replica if name in self.agents else self.disks[name].saved.replica
            for name in self.names
        }

    def _seen(self) -> tuple[Shown, ...]:
        now, replicas = self.clock.time(), self._replicas()
        dead = {at for at, name in enumerate(self.names) if name not in self.agents}
        found = []
        for name, side in zip(self.names, sides(self.graph, dead, self.cut), strict=True):
            agent = self.agents.get(name)
            alive = agent.peer.alive(now) if agent is not None else ()
            trusted = agent is not None and agent.peer.trusted
            found.append(
                shown_site(self.sites[name], replicas[name], alive, side, starts=self.starts[name], trusted=trusted)
            )
        return tuple(found)

    def _open(self, edge: Edge) -> bool:
        return edge not in self.cut and all(self.names[at] in self.agents for at in edge)

    def _newest(self) -> int | None:
        """As far as any site knows."""
        found = [
            (stamp, value["most"])
            for replica in self._replicas().values()
            for name, value, stamp in replica.read(escrow.LIMIT)
            if name == LIMIT
        ]
        return max(found)[1] if found else None

    def _newest_of(self, name: str) -> int | None:
        limit = escrow.limits(self._replicas()[name]).get(LIMIT)
        return None if limit is None else limit.most

    def _say(self, sentence: str) -> None:
        self.events.append((self.clock.time() - self.began, sentence))


def _cores(amount: int | None) -> str:
    return f"{amount} core{'' if amount == 1 else 's'}"


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancelled, and waited for. What one failed of `look` raises, not this."""
    found = list(tasks)
    for task in found:
        task.cancel()
    if found:
        await asyncio.wait(found)
