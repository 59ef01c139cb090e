"""A fleet in one thread, on a clock that nobody waits for: every delay, loss and death is drawn from a seed, so that what went
wrong once goes wrong again.

Messages are lost, repeated, late and out of order; links are cut and mended; agents are killed and started again with the
state that was on their disk, or with none; clocks are wrong by minutes and drift. A disk is written before anything is sent.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.fleet import escrow
from controller.fleet.crdt import Replica
from controller.fleet.escrow import Holding, Limit
from controller.fleet.peer import Pace, Peer
from controller.fleet.terms import grow
from controller.fleet.topology import Topology, topology
from controller.fleet.wire import Ack, Kind, Message, decoded, encoded

BEGIN = 1_700_000_000.0
PACE = Pace()


@dataclass
class Faults:
    """Probabilities for one message, and how wrong the rest is."""

    loss: float = 0.0
    twice: float = 0.0
    delay: float = 0.02
    """Seconds, the mean of an exponential distribution: late ones are overtaken."""
    skew: float = 0.0
    """Seconds by which a clock may be wrong, either way."""


@dataclass
class Site:
    """One agent, its disk, and what it really holds of the limit."""

    peer: Peer
    skew: float
    disk: Replica
    whole: bool = True
    """Whether the disk has all that was ever promised: kept on the disk, too."""
    held: int = 0
    want: int = 0
    alive: bool = True


@dataclass
class Fleet:
    """`run` lets time pass."""

    seed: int
    graph: Topology
    faults: Faults = field(default_factory=Faults)
    pace: Pace = PACE

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.names = tuple(f"site-{i:02}" for i in range(self.graph.size))
        self.now = BEGIN
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0
        self.cut: set[frozenset[str]] = set()
        self.messages = self.states = 0
        self.moments: list[Callable[[Fleet], None]] = []
        """Asked after every event."""
        self.acknowledged: dict[str, set[str]] = {}
        """Term -> the agents on whose disks it is, as far as a neighbour said so; without those that lost theirs."""
        self.written: dict[tuple[str, int], tuple[str, str]] = {}
        """Write -> the term that it brought, and the agent that brought it."""
        self.sites = {}
        self.limit: Limit | None = None
        for name in self.names:
            skew = self.chance.uniform(-self.faults.skew, self.faults.skew)
            self.sites[name] = Site(self.peer(name, 1, Replica(), remembered=True), skew, Replica())
            self.at(self.chance.uniform(0, 1), lambda name=name: self.wake(name, 1))

    def peer(self, name: str, start: int, replica: Replica, *, remembered: bool) -> Peer:
        return Peer(name, self.names, self.graph, start, replica, self.pace, remembered)

    # --- time ---------------------------------------------------------------------------------------------------------

    def at(self, after: float, event: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, (self.now + after, self.number, event))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.queue and self.queue[0][0] <= until:
            self.now, _, event = heapq.heappop(self.queue)
            event()
            for moment in self.moments:
                moment(self)
        self.now = until

    def clock(self, name: str) -> float:
        return self.now + self.sites[name].skew

    def wake(self, name: str, start: int) -> None:
        """Once a second, as long as this start of the agent lives."""
        site = self.sites[name]
        if site.alive and site.peer.start == start:
            self.send(name, site.peer.tick(self.clock(name)))
            self.at(1.0, lambda: self.wake(name, start))

    # --- messages -----------------------------------------------------------------------------------------------------

    def send(self, name: str, messages: list[Message]) -> None:
        site = self.sites[name]
        if site.disk.version != site.peer.replica.version or site.disk.floor != site.peer.replica.floor:
            site.disk = site.peer.replica.copy()
        site.whole = site.peer.trusted
        for message in messages:
            self.messages += 1
            self.states += message.kind is Kind.STATE
            if frozenset((name, message.to)) in self.cut or self.chance.random() < self.faults.loss:
                continue
            for _ in range(1 + (self.chance.random() < self.faults.twice)):
                body = encoded(message)
                self.at(
                    self.chance.expovariate(1 / self.faults.delay), lambda to=message.to, body=body: self.hear(to, body)
                )

    def hear(self, name: str, body: bytes) -> None:
        site, message = self.sites[name], decoded(body)
        if not site.alive or frozenset((name, message.via)) in self.cut:
            return
        if isinstance(message.body, Ack) and message.start == self.sites[message.via].peer.start:
            have = message.body.version
            for (writer, number), (term, author) in self.written.items():
                if number <= have.get(writer, 0):
                    self.acknowledged.setdefault(term, {author}).add(message.via)
        self.send(name, site.peer.hear(message, self.clock(name)))

    # --- what happens -------------------------------------------------------------------------------------------------

    def propose(self, name: str, epoch: int = 1) -> None:
        site = self.sites[name]
        before = self.chance.randrange(5)
        term = grow(f"{name}/golem", "cpu", before, before + self.chance.randint(1, 9))
        if site.alive and term.id not in site.peer.replica.terms:
            site.peer.replica.add(term, site.peer.writer, epoch)
            self.written[site.peer.writer, site.peer.replica.version[site.peer.writer]] = term.id, name
            self.send(name, site.peer.push(self.clock(name)))

    def kill(self, name: str) -> None:
        self.sites[name].alive = False

    def start(self, name: str, *, lost: bool = False) -> None:
        site = self.sites[name]
        start = site.peer.start + 1
        # what two lost before either could tell a third is known to nobody: no second disk is lost meanwhile
        lost = lost and all(other.peer.trusted for other in self.sites.values())
        replica = Replica() if lost else site.disk
        site.peer = self.peer(name, start, replica, remembered=site.whole and not lost)
        if lost:
            site.disk = Replica()
            for holders in self.acknowledged.values():
                holders.discard(name)
            self.written = {dot: found for dot, found in self.written.items() if found[1] != name}
        site.alive = True
        if lost and self.limit is not None:
            self.word(name, self.limit)  # what it has in its files it still has
        self.wake(name, start)

    def heal(self) -> None:
        self.cut.clear()
        self.faults = Faults()
        for name, site in self.sites.items():
            if not site.alive:
                self.start(name)

    # --- limits -------------------------------------------------------------------------------------------------------

    def word(self, name: str, limit: Limit) -> None:
        site, self.limit = self.sites[name], limit
        if site.alive:
            escrow.word(site.peer.replica, limit, site.peer.stamp(self.clock(name)), site.peer.writer)
            self.send(name, site.peer.push(self.clock(name)))

    def turn(self, name: str, limit: str) -> None:
        """What a site does with a limit now and then: holds more or less, says so, adopts, and hands over rights."""
        site, peer = self.sites[name], self.sites[name].peer
        if not site.alive:
            return
        bounds = escrow.bounds(peer.replica, limit, name)
        most = site.held if bounds.most is None or not peer.trusted else max(bounds.most, 0)
        site.held = min(site.want, max(most, 0)) if site.want > site.held else site.want
        now, stamp = Holding(site.held, site.want), peer.stamp(self.clock(name))
        escrow.say(peer.replica, limit, name, now, stamp, peer.writer)
        if peer.trusted:
            escrow.adopt(peer.replica, limit, name, site.held, peer.stamp(self.clock(name)), peer.writer)
            bound = escrow.binding(peer.replica, limit, name)
            if bound:
                for to, amount in escrow.gifts(peer.replica, bound[-1], name, now).items():
                    escrow.give(peer.replica, bound[-1], name, to, amount, site.held, peer.writer)
        self.send(name, peer.push(self.clock(name)))

    # --- judging ------------------------------------------------------------------------------------------------------

    @property
    def digests(self) -> set[str]:
        return {site.peer.replica.digest for site in self.sites.values()}

    def until_converged(self, rounds: int) -> int:
        """Sync rounds until all know the same."""
        for done in range(rounds + 1):
            if len(self.digests) == 1:
                return done
            self.run(self.pace.sync)
        raise AssertionError(f"seed {self.seed}: {len(self.digests)} different states after {rounds} sync rounds")


def fleet_of(seed: int, name: str = "sierpinski9", size: int = 9, faults: Faults | None = None) -> Fleet:
    return Fleet(seed, topology(name, size), faults or Faults())
