"""One agent's part in the network: what it says, and what it makes of what it hears. Pure: time is an argument, messages are
values; who sends them, and keeps the state on a disk before anything is sent, is agent.py.

Three things go on. Heartbeats flood: each agent hands every other's on to its neighbours, once. What is new is pushed to the
neighbours at once. And on a period each tells its neighbours what it knows, so that whatever was lost is sent again. A
neighbour is sent only what it is not known to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.fleet.clocks import Hybrid, Order, Stamp, compare, joined
from controller.fleet.crdt import Gap, Replica
from controller.fleet.topology import Topology
from controller.fleet.wire import Ack, Heartbeat, Kind, Malformed, Message, State, Sync, packed, unpacked

AHEAD: Final = 3600.0
"""Seconds: a stamp that is further ahead of one's own clock is refused, else one wrong clock would decide every register."""
BREAK: Final = 10.0
"""Seconds without a turn that are no break, also where the timeout is shorter: the process was busy, and hears what came."""
STARTS: Final = "starts"
"""Counters of the agents: the number of each one's newest start."""
Body = Heartbeat | Sync | State | Ack


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    heartbeat: float = 5.0
    timeout: float = 10.0
    """Without a heartbeat for so long an agent counts as dead, until its next one."""
    sync: float = 5.0


@dataclass(slots=True)
class Other:
    """What is known of another agent."""

    beat: tuple[int, int] = (0, 0)
    """(start, heartbeat) of the newest."""
    heard: float | None = None
    digest: str = ""
    agreed: bool = False
    """Whether it knew just what we know, at some time since we started."""


@dataclass(slots=True)
class Counts:
    """Since the start."""

    sent: int = 0
    received: int = 0
    refused: int = 0
    gaps: int = 0
    """States that came before what they build on."""


@dataclass
class Peer:
    """One agent. Every method that takes `now` (Unix seconds) gives the messages that are to be sent because of it."""

    name: str
    names: tuple[str, ...]
    """Of all agents; where a name stands is its number in the topology."""
    topology: Topology
    start: int
    """Greater than at every start before."""
    replica: Replica = field(default_factory=Replica)
    pace: Pace = field(default_factory=Pace)
    remembered: bool = False
    """Whether the replica is what this agent knew when it ended, and was `trusted` then, or this is its first start; else it
    may have promised what it does not know of.
    """
    counts: Counts = field(default_factory=Counts)
    why_refused: str = ""
    """Of the newest message that was refused."""

    def __post_init__(self) -> None:
        self.clock = Hybrid(self.name)
        self.others = {name: Other() for name in self.names if name != self.name}
        self.neighbours = tuple(self.names[i] for i in self.topology.neighbours[self.names.index(self.name)])
        self._known: dict[str, dict[str, int]] = {name: {} for name in self.neighbours}
        """Neighbour -> what it said that it knows."""
        self._sent: dict[str, dict[str, int]] = {name: {} for name in self.neighbours}
        """Neighbour -> what it knows if all arrived that it was sent."""
        self._starts = dict.fromkeys(self.neighbours, 0)
        """Neighbour -> the start that this is of."""
        # whoever knows just what we know has heard of this start: what it said before cannot be taken for an agreement
        self.replica.count(self.name, STARTS, self.start, self.writer)
        self._numbers = 0
        self._beats = 0
        self._next_beat = self._next_sync = float("-inf")
        self._ticked = self._listens = float("-inf")
        """When it last had a turn, and since when it had them without a break, in which it would hear nobody."""

    @property
    def writer(self) -> str:
        return f"{self.name}.{self.start}"

    # --- what it knows ------------------------------------------------------------------------------------------------

    def health(self, name: str, now: float) -> float:
        """1: heard of just now; 0: dead, or never heard of."""
        if name == self.name:
            return 1.0
        heard = self.others[name].heard
        return 0.0 if heard is None else min(1.0, max(0.0, 1.0 - (now - heard) / self.pace.timeout))

    def alive(self, now: float) -> tuple[str, ...]:
        return tuple(name for name in self.names if self.health(name, now) > 0)

    def sure_of_the_dead(self, now: float) -> bool:
        """Whether it listened long enough to say of those who are not alive that they are dead: not just after its start, nor
        after it slept, or its clock jumped, for longer than a timeout.
        """
        return 0 <= now - self._ticked <= self._rest <= now - self._listens

    @property
    def _rest(self) -> float:
        return max(self.pace.timeout, BREAK)

    def converged(self, now: float) -> bool:
        """Whether all that are alive said last that they know what this one knows."""
        mine = self.replica.digest
        return all(self.others[name].digest == mine for name in self.alive(now) if name != self.name)

    @property
    def trusted(self) -> bool:
        """Whether it knows all that it ever promised: it remembers, or every other has agreed with it since it started."""
        return not self.outrun and (self.remembered or all(other.agreed for other in self.others.values()))

    @property
    def outrun(self) -> bool:
        """Whether a later start of this name is known: it forgot how often it was started, or another runs under its name."""
        return self.replica.counted(self.name, STARTS) > self.start

    def stamp(self, now: float) -> Stamp:
        """For something that it writes now."""
        self.clock = self.clock.tick(now)
        return self.clock.stamp

    # --- what it does -------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` next has something to say, in Unix seconds."""
        return min(self._next_beat, self._next_sync)

    def tick(self, now: float) -> list[Message]:
        """What is due. Where the clock was set back it is due at once."""
        found: list[Message] = []
        if not 0 <= now - self._ticked <= self._rest:
            self._listens = now
        self._ticked = now
        if not self._next_beat - self.pace.heartbeat <= now < self._next_beat:
            self._next_beat = now + self.pace.heartbeat
            self._beats += 1
            body = Heartbeat(beat=self._beats, digest=self.replica.digest)
            found += self._to_all(self.neighbours, body, now)
        if not self._next_sync - self.pace.sync <= now < self._next_sync:
            self._next_sync = now + self.pace.sync
            found += self.sync(now)
        return found

    def sync(self, now: float, only: str | None = None) -> list[Message]:
        """One round: tell the neighbours what one knows. What they were sent and did not confirm may be lost: it is sent again
        where they turn out to lack it.
        """
        for name in self.neighbours if only is None else (only,):
            self._sent[name] = dict(self._known[name])
        body = Sync(version=dict(self.replica.version), digest=self.replica.digest)
        return self._to_all(self.neighbours if only is None else (only,), body, now)

    def push(self, now: float, but: str = "") -> list[Message]:
        """What the neighbours lack, as far as is known here. After something was written, or heard."""
        return [
            message
            for name in self.neighbours
            if name != but and compare(self._sent[name], self.replica.version) is not Order.EQUAL
            for message in self._states(name, now)
        ]

    def hear(self, message: Message, now: float) -> list[Message]:
        """What came. A message that cannot be is counted and changes nothing."""
        try:
            self._check(message, now)
            self.counts.received += 1
            match message.body:
                case Heartbeat() as body:
                    return self._beat(message, body, now)
                case Sync() as body:
                    return self._synced(message, body, now)
                case State() as body:
                    return self._told(message, body, now)
                case Ack() as body:
                    self._knows(message.via, message.start, body.version)
                    return []
        except Malformed as exc:
            self.refuse(str(exc))
            return []

    def refuse(self, why: str) -> None:
        self.counts.refused += 1
        self.why_refused = why

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check(self, message: Message, now: float) -> None:
        if message.to != self.name:
            raise Malformed(f"message {message.id} is for {message.to}, not for {self.name}")
        if message.via not in self.neighbours:
            raise Malformed(f"message {message.id} came from {message.via}, which is no neighbour of {self.name}")
        if message.origin not in self.names:
            raise Malformed(f"message {message.id} is of {message.origin}, which is no agent of this fleet")
        if message.origin != message.via and message.kind is not Kind.HEARTBEAT:
            raise Malformed(
                f"message {message.id} of {message.origin} was handed on by {message.via}; only heartbeats are"
            )
        ahead = message.stamp[0] / 1000 - now
        if ahead > AHEAD:
            raise Malformed(f"the clock of {message.via} is {ahead:.0f} s ahead of that of {self.name}")
        self.clock = self.clock.heard(Stamp(*message.stamp), now)

    def _beat(self, message: Message, body: Heartbeat, now: float) -> list[Message]:
        """Note that one lives, and hand it on, the first time that this heartbeat comes."""
        if message.origin == self.name:
            return []
        other = self.others[message.origin]
        if (message.start, body.beat) <= other.beat:
            return []
        other.beat, other.heard, other.digest = (message.start, body.beat), now, body.digest
        other.agreed |= body.digest == self.replica.digest
        return [
            message.model_copy(update={"via": self.name, "to": name, "hops": message.hops + 1, "sent": now})
            for name in self.neighbours
            if name not in {message.via, message.origin}
        ]

    def _synced(self, message: Message, body: Sync, now: float) -> list[Message]:
        name = message.via
        if self._is_late(message):
            # or it forgot how often it started: told of the later start, it takes one that is later still
            return self._to_all((name,), State(changes=packed(self.replica.delta(body.version))), now)
        self._knows(name, message.start, body.version)
        self._sent[name] = dict(self._known[name])
        found = self._states(name, now)
        if compare(body.version, self.replica.version) in {Order.AFTER, Order.CONCURRENT}:
            answer = Sync(version=dict(self.replica.version), digest=self.replica.digest)
            found += self._to_all((name,), answer, now)
        return found

    def _told(self, message: Message, body: State, now: float) -> list[Message]:
        if self._is_late(message):
            # it may tell of promises that its sender lost, and that all thought they knew of when they trusted it again
            raise Malformed(f"message {message.id} is of an earlier start of {message.via} than is known")
        delta = unpacked(body.changes)
        self._knows(message.via, message.start, delta.until)
        before = dict(self.replica.version)
        try:
            self.replica.absorb(delta)
        except Gap:
            self.counts.gaps += 1
            return self.sync(now, message.via)
        self._sent[message.via] = joined(self._sent[message.via], delta.until)
        ack = Ack(version=dict(self.replica.version), digest=self.replica.digest, of=message.id)
        found = self._to_all((message.via,), ack, now)
        return found + (self.push(now) if self.replica.version != before else [])

    def _is_late(self, message: Message) -> bool:
        """Whether its sender has started anew since."""
        return message.start < self.replica.counted(message.via, STARTS)

    def _knows(self, name: str, start: int, version: Mapping[str, int]) -> None:
        """What a neighbour knows only grows, but for one that lost its memory when it was started anew."""
        if start < self._starts[name]:
            return
        if start > self._starts[name]:
            self._starts[name], self._known[name], self._sent[name] = start, {}, {}
        self._known[name] = joined(self._known[name], version)
        self._sent[name] = joined(self._sent[name], version)

    def _states(self, name: str, now: float) -> list[Message]:
        """What a neighbour lacks; nothing where it lacks nothing."""
        since = self._sent[name]
        if compare(since, self.replica.version) in {Order.EQUAL, Order.AFTER}:
            return []
        body = State(changes=packed(self.replica.delta(since)))
        self._sent[name] = joined(since, self.replica.version)
        return self._to_all((name,), body, now)

    def _to_all(self, names: Iterable[str], body: Body, now: float) -> list[Message]:
        return [self._message(name, body, now) for name in names]

    def _message(self, to: str, body: Body, now: float) -> Message:
        self._numbers += 1
        self.clock = self.clock.tick(now)
        return Message(
            id=f"{self.writer}-{self._numbers}", origin=self.name, start=self.start, via=self.name, to=to, hops=1,
            sent=max(0.0, now), stamp=(self.clock.milliseconds, self.clock.stamp.turn, self.name), body=body,
        )  # fmt: skip
