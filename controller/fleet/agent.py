"""One agent as it runs: a Peer with a disk, a transport and a clock. Effects: it writes the disk, sends, and logs.

Disk before wire. What an agent hears and writes changes its Peer in memory; then all that is new is saved, once for all that
came together; and only then is sent what the Peer had to say. Whatever a message claims to know is on the disk of its sender.

While the disk fails, nothing is sent but heartbeats: an Ack, a Sync and a State claim what is in memory, which a crash would
take. An own heartbeat carries the digest of what is on the disk; those of others are handed on as they are. It goes on to hear
what comes, tries to save again once a second, and once that works it begins a sync round, which makes good for all that was
held back. Without its heartbeats it would count as dead, and epochs would be closed without it.

What cannot be sent is lost; the next sync round finds what a neighbour lacks, and sends it again.

Memory that was lost. An empty disk looks the same at the first start and after the disk was lost, and the second must not be
taken for the first: who forgot what it promised could promise it twice. So who starts without a disk is trusted only once every
other agent, relays too, has known just what it knows; a new fleet begins when all its agents have been up together once. (The
simulation in the tests trusts new agents at once, and is the harder case: who is not trusted takes nothing and gives nothing.)
A fleet of one agent has nobody to ask. Starts are numbered by the time of day in milliseconds, or one more than the last start
where that is more: also who forgot its last start then uses no number of a write twice. Who hears of own writes that its disk
does not have - the disk was put back from an old copy, or another agent runs under its name - is not trusted from then on,
either. Until it hears that, it cannot know: an old copy must not be put back; an empty disk is better. Who hears of a later
start takes one that is later still, at once and then ever more seldom: two that run under one name outrun each other without
end, and each start is remembered by all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Final, Self, TypeVar

import structlog

from controller.address import StoreError, StoreFenced
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.disk import Disk, Saved
from controller.fleet.manifest import FleetSpec
from controller.fleet.peer import AHEAD, STARTS, Pace, Peer
from controller.fleet.timeline import Passed, Timeline
from controller.fleet.transport import Transport, Unreachable
from controller.fleet.wire import MOST_BYTES, Heartbeat, Malformed, Message, agent_of, decoded, encoded
from exporters.clock import Clock

T = TypeVar("T")
Change = Callable[[Replica, Callable[[], Stamp], str], T]
"""(replica, a new stamp at each call, writer) -> whatever the change comes to."""

log = structlog.get_logger("orcha")
MOST_WAITING: Final = 2_000
"""Messages that came and are not heard yet, and messages that wait to be sent to one neighbour."""
MOST_BYTES_WAITING: Final = 2 * MOST_BYTES
"""Of those that came."""
BATCH: Final = 256
"""Messages at most that are heard before what is new is saved: a save that waits longer holds back their answers."""
BREATH: Final = 0.02
"""Seconds of hearing after which the rest of the process has its turn."""
RETRY: Final = 1.0
"""Seconds between tries to write a disk that fails."""
OUTRUN: Final = 3600.0
"""Seconds at most until a start is taken again that is later than the one that outran it."""
MOMENT: Final = 0.05
"""Seconds: the shortest sleep before what is due; it matters only where a turn takes longer than that."""
UNKNOWN: Final = "?"
"""For who sent what could not be read; no agent can have this name."""


class Agent:
    """`async with Agent.opened(...) as agent`, then `await agent.run()` in a task of its own, until cancelled."""

    def __init__(self, peer: Peer, disk: Disk, transport: Transport, clock: Clock, timeline: Timeline) -> None:
        """Use `opened`."""
        self.peer = peer
        """To be looked at only, by everybody else."""
        self.timeline = timeline
        """What came to this agent, or to all agents that were given the same one."""
        self.transport = transport
        self.began = clock.time()
        """Unix seconds."""
        self.stored = True
        """Whether the last write to the disk succeeded."""
        self.noted: Callable[[Passed], None] = _ignore
        """Called for each message that was received."""
        self.failed: Callable[[str, str, str], None] = _ignore
        """Called with (via, to, what) for each message that could not be received or sent: full, malformed, refused, unreachable."""
        self.sent_to: Callable[[Message, int], None] = _ignore
        """Called for each message that was sent, with its bytes."""
        self._disk, self._clock = disk, clock
        self._lock = asyncio.Lock()
        self._came = asyncio.Event()
        self._in: deque[tuple[float, bytes]] = deque()
        self._in_bytes = 0
        self._out: dict[str, asyncio.Queue[Message]] = {to: asyncio.Queue(MOST_WAITING) for to in peer.neighbours}
        self._silent: set[str] = set()
        """Neighbours to whom nothing can be sent now."""
        self._on_disk: tuple[dict[str, int], int, bool] = ({}, 0, False)
        """Version, floor, trusted; what is saved next is what lies above it."""
        self._digest = peer.replica.digest
        """Of what is on the disk."""
        self._again = float("-inf")
        """Monotonic seconds: a disk that fails is not tried before."""
        self._past: dict[str, int] = {}
        """Own writer of an earlier start -> the writes that one remembers."""
        self._here = {peer.writer}
        """Own writers since this process began."""
        self._patience, self._later = peer.pace.timeout, float("-inf")
        """Seconds to wait after the next later start is taken, and when (monotonic) that may be."""
        self._refused: set[str] = set()
        """Whose last message was refused: of many in a row the log has one."""
        self._now = self.began

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        me: str,
        spec: FleetSpec,
        disk: Disk,
        transport: Transport,
        clock: Clock,
        timeline: Timeline | None = None,
    ) -> AsyncIterator[Self]:
        """An agent whose start is on its disk and whose transport is open; it says nothing before `run`. Raises StoreError,
        and Unreachable where the transport can never be opened.
        """
        saved = await disk.load()
        past = {w: n for w, n in saved.replica.version.items() if agent_of(w) == me}
        before = max(saved.start, int(saved.replica.counted(me, STARTS)))
        peer = Peer(
            me, spec.agents, spec.graph(), max(before + 1, int(clock.time() * 1000)), saved.replica,
            Pace(spec.heartbeat, spec.timeout, spec.sync), remembered=saved.start > 0 and saved.trusted,
        )  # fmt: skip
        agent = cls(peer, disk, transport, clock, timeline if timeline is not None else Timeline())
        agent._remember(saved, past)
        await agent._save()
        try:
            await transport.open(me, peer.neighbours, agent._received)
            yield agent
        finally:
            await transport.close()
            # who ended is apart from nobody
            agent.timeline.agree(True, clock.time(), me)

    async def run(self) -> None:
        """Heartbeats, sync rounds, what comes in; until cancelled. Raises StoreFenced where another took over the disk."""
        beside = [asyncio.create_task(self._ring()), *(asyncio.create_task(self._carry(to)) for to in self._out)]
        for task in beside:
            task.add_done_callback(lambda _: self._came.set())
        try:
            while True:
                self._came.clear()
                for task in beside:
                    if task.done():
                        task.result()
                await self._turn()
                if not self._in:
                    await self._came.wait()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def write(self, change: Change[T]) -> T:
        """Change what is shared: on the disk when this returns, and on its way to the neighbours. Raises StoreError, and then
        nothing was sent; what changed in memory goes out with the next write that succeeds. Where `change` raises, nothing
        of it stays. It must not wait for anything, and may not keep the replica.
        """
        async with self._lock:
            kept = self.peer.replica.copy()
            try:
                found = change(self.peer.replica, lambda: self.peer.stamp(self._time()), self.peer.writer)
            except BaseException:
                _restore(self.peer.replica, kept)
                raise
            failing = not self.stored
            await self._save_or_tell()
            self._post(self._again_all() if failing else self.peer.push(self._time()))
            return found

    async def sync(self) -> None:
        """One sync round now, besides those that are due. With a disk that fails nothing is said."""
        async with self._lock:
            await self._settle(self.peer.sync(self._time()))

    # --- a turn -------------------------------------------------------------------------------------------------------

    async def _ring(self) -> None:
        """Wake `run` whenever something is due."""
        longest = min(self.peer.pace.heartbeat, self.peer.pace.sync)
        while True:
            await self._clock.sleep(min(max(self.peer.due - self._clock.time(), MOMENT), longest))
            self._came.set()

    async def _turn(self) -> None:
        async with self._lock:
            found: list[Message] = []
            version = dict(self.peer.replica.version)
            breath = self._clock.monotonic() + BREATH
            for _ in range(min(len(self._in), BATCH)):
                at, body = self._in.popleft()
                self._in_bytes -= len(body)
                found += self._hear(at, body)
                if self._clock.monotonic() > breath:
                    await asyncio.sleep(0)
                    breath = self._clock.monotonic() + BREATH
            if self.peer.replica.version != version:
                self._look_back()
            if self.peer.outrun and self._clock.monotonic() >= self._later:
                self._start_later()
            found += self.peer.tick(self._time())
            await self._settle(found)
            self.timeline.agree(self.peer.converged(self._now), self._now, self.peer.name)

    def _received(self, body: bytes) -> None:
        """From the transport; it does not wait."""
        if len(self._in) >= MOST_WAITING or self._in_bytes + len(body) > MOST_BYTES_WAITING:
            self._fail(UNKNOWN, self.peer.name, "full")
            return
        self._in.append((self._clock.time(), body))
        self._in_bytes += len(body)
        self._came.set()

    def _hear(self, at: float, body: bytes) -> list[Message]:
        """`at`: when it came."""
        peer = self.peer
        try:
            message = decoded(body)
        except Malformed as exc:
            peer.refuse(str(exc))
            self._fail(UNKNOWN, peer.name, "malformed")
            self._say_refused(UNKNOWN)
            return []
        via = message.via if message.via in peer.neighbours else UNKNOWN
        refused = peer.counts.refused
        found = peer.hear(message, self._time())
        if peer.counts.refused > refused:
            self._fail(via, peer.name, "refused")
            self._say_refused(via)
            return found
        self._refused.discard(via)
        took = (at - message.sent) * 1e6
        passed = Passed(
            message.id, message.kind.value, message.origin, message.via, message.to, message.hops, at, took, len(body)
        )
        self.timeline.note(passed)
        self.noted(passed)
        return found

    def _say_refused(self, via: str) -> None:
        if via not in self._refused:
            self._refused.add(via)
            log.warning("a message is refused", agent=self.peer.name, via=via, why=self.peer.why_refused)

    def _time(self) -> float:
        """Unix seconds. Where the clock was set back, nobody was heard of in the future: the dead would live until then."""
        now = self._clock.time()
        if now < self._now:
            for other in self.peer.others.values():
                other.heard = other.heard if other.heard is None else min(other.heard, now)
        self._now = now
        return now

    # --- what it remembers --------------------------------------------------------------------------------------------

    def _remember(self, saved: Saved, past: dict[str, int]) -> None:
        """What was on the disk: stamps go on from there, and writes of earlier starts that come beyond it were forgotten."""
        self._past = past
        latest = int((self._now + AHEAD) * 1000)
        stamps = (item.value.stamp for item in saved.replica.registers.values())
        mine = [stamp for stamp in stamps if stamp.agent == self.peer.name and stamp.milliseconds <= latest]
        if mine:
            self.peer.clock = self.peer.clock.heard(max(mine), self._now)

    def _look_back(self) -> None:
        """Whether others tell of own writes, or of a later start, that one does not remember: then nothing is known of what
        was promised with them.
        """
        peer = self.peer
        known = {w: n for w, n in peer.replica.version.items() if agent_of(w) == peer.name and w not in self._here}
        if any(number > self._past.get(writer, 0) for writer, number in known.items()):
            if self._on_disk[2]:  # it was trusted until now
                log.error(
                    "other agents know of writes of this one that it does not remember: its state was lost or put back from an "
                    "old copy, or another agent runs under its name; until all others agree with it, it takes nothing",
                    agent=peer.name,
                )
            self._past = known
            peer.remembered = False
            for other in peer.others.values():
                other.agreed = False

    def _start_later(self) -> None:
        """Take a start that is later than any that is known. Until then others refuse what this one says, and it takes nothing."""
        peer = self.peer
        self._later = self._clock.monotonic() + self._patience
        self._patience = min(2 * self._patience, OUTRUN)
        peer.start = int(peer.replica.counted(peer.name, STARTS)) + 1
        self._here.add(peer.writer)
        peer.replica.count(peer.name, STARTS, peer.start, peer.writer)

    # --- disk before wire ---------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        """What is new, if anything is. Raises StoreError."""
        peer = self.peer
        now = dict(peer.replica.version), peer.replica.floor, peer.trusted
        if now != self._on_disk:
            digest = peer.replica.digest
            await self._disk.save(peer.replica.delta(self._on_disk[0]), peer.start, trusted=peer.trusted)
            self._on_disk, self._digest = now, digest

    async def _save_or_tell(self) -> None:
        """Raises StoreError, and says so once."""
        try:
            await self._save()
        except StoreError as exc:
            self._again = self._clock.monotonic() + RETRY
            if self.stored:
                log.error(
                    "what the fleet shares cannot be saved; only heartbeats are sent",
                    agent=self.peer.name,
                    why=str(exc),
                )
            self.stored = False
            raise
        if not self.stored:
            log.info("what the fleet shares is saved again", agent=self.peer.name)
        self.stored = True

    async def _settle(self, messages: list[Message]) -> None:
        """Save what is new, then send; of a disk that fails heartbeats only."""
        failing = not self.stored
        if failing and self._clock.monotonic() < self._again:
            self._post(self._beats(messages))
            return
        try:
            await self._save_or_tell()
        except StoreFenced:
            raise
        except StoreError:
            self._post(self._beats(messages))
        else:
            self._post([*self._beats(messages), *self._again_all()] if failing else messages)

    def _beats(self, messages: Iterable[Message]) -> list[Message]:
        """The heartbeats, one's own with what is on the disk."""
        return [
            message.model_copy(update={"body": message.body.model_copy(update={"digest": self._digest})})
            if message.origin == self.peer.name
            else message
            for message in messages
            if isinstance(message.body, Heartbeat)
        ]

    def _again_all(self) -> list[Message]:
        """What makes good for all that was held back."""
        return [*self.peer.sync(self._time()), *self.peer.push(self._time())]

    def _post(self, messages: Iterable[Message]) -> None:
        for message in messages:
            try:
                self._out[message.to].put_nowait(message)
            except asyncio.QueueFull:
                self._fail(self.peer.name, message.to, "full")

    async def _carry(self, to: str) -> None:
        """Send one neighbour what is for it, in order. A neighbour that is slow to reach holds back nobody else."""
        while True:
            waiting = await self._out[to].get()
            message = waiting.model_copy(update={"sent": max(0.0, self._clock.time())})
            body = encoded(message)
            try:
                await self.transport.send(message, body)
            except Unreachable as exc:
                if not self._silent:
                    log.warning("a neighbour cannot be reached", agent=self.peer.name, neighbour=to, why=str(exc))
                self._silent.add(to)
                self._fail(self.peer.name, to, "unreachable")
                continue
            if to in self._silent:
                self._silent.discard(to)
                if not self._silent:
                    log.info("all neighbours can be reached again", agent=self.peer.name)
            self.peer.counts.sent += 1
            self.sent_to(message, len(body))

    def _fail(self, via: str, to: str, what: str) -> None:
        self.timeline.fail(via, to, what)
        self.failed(via, to, what)


def _ignore(*_: object) -> None:
    """Where nobody counts."""


def _restore(replica: Replica, kept: Replica) -> None:
    for field in fields(Replica):
        setattr(replica, field.name, getattr(kept, field.name))
