"""A simulated fleet as a process that holds some of its agents sees it: what views, the API and commands are tested with."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.fleet import escrow
from controller.fleet.escrow import Holding, Limit
from controller.fleet.manifest import FleetSpec
from controller.fleet.peer import Peer
from controller.fleet.shown import FleetFace
from controller.fleet.timeline import Passed, Timeline
from controller.fleet.topology import topology
from controller.fleet.wire import decoded
from tests.controller.fleet.simulated import BEGIN, Faults, Fleet

CORES = 1000
"""Thousandths of a core: what escrow counts in."""


@dataclass
class Way:
    connected: bool = True
    why: str = ""


@dataclass
class Seat:
    me: str
    spec: FleetSpec


@dataclass
class Living:
    """As controller/fleet/agent.py has one."""

    peer: Peer
    timeline: Timeline = field(default_factory=Timeline)
    began: float = BEGIN
    stored: bool = True
    transport: Way = field(default_factory=Way)
    rounds: int = 0

    async def sync(self):
        self.rounds += 1


@dataclass
class Watched(Fleet):
    """A simulated fleet of which every message that arrives is noted."""

    lines: dict[str, Timeline] = field(default_factory=dict)

    def hear(self, name, body):
        message = decoded(body)
        if self.sites[name].alive and frozenset((name, message.via)) not in self.cut:
            passed = Passed(
                message.id, message.kind, message.origin, message.via, name, message.hops, self.now,
                (self.now - message.sent) * 1e6, len(body),
            )  # fmt: skip
            self.line(name).note(passed)
        super().hear(name, body)
        if self.sites[name].alive:
            peer = self.sites[name].peer
            self.line(name).agree(peer.converged(self.clock(name)), self.now)

    def line(self, name):
        return self.lines.setdefault(name, Timeline())

    def spec(self, **more):
        """The manifest of this fleet."""
        given = {"sites": self.names, "topology": self.graph.name, "nats": {"servers": ["nats://127.0.0.1:4222"]}}
        return FleetSpec.model_validate({**given, **more})

    def face(self, *here, site=True, **more):
        """What the process of these agents has to show; the first is its site."""
        spec = self.spec(**more)
        agents = [Living(self.sites[name].peer, self.line(name)) for name in here]
        seat = Seat(here[0], spec) if here and site else None
        return FleetFace("attic", spec, agents, seat)

    # --- limits ---------------------------------------------------------------------------------------------------------

    def share(self, limit, *, least=None, most=None):
        """Word a limit, and let all that live adopt it."""
        self.word(self.names[0], Limit(limit, self.names, most, least))
        self.run(30)
        for name in self.names:
            self.adopt(name, limit, 0 if most is not None else 10**9)
        self.run(30)

    def adopt(self, name, limit, held):
        peer = self.sites[name].peer
        if self.sites[name].alive:
            escrow.adopt(peer.replica, limit, name, held, peer.stamp(self.clock(name)), peer.writer)
            self.send(name, peer.push(self.clock(name)))

    def hold(self, name, limit, held, want=None):
        """Let a site say what it holds and wants."""
        peer = self.sites[name].peer
        escrow.say(
            peer.replica,
            limit,
            name,
            Holding(held, held if want is None else want),
            peer.stamp(self.clock(name)),
            peer.writer,
        )
        self.send(name, peer.push(self.clock(name)))


def watched(seed=1, name="full", size=3, faults=None):
    return Watched(seed, topology(name, size), faults or Faults())
