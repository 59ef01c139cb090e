"""A controller's part in the fleet: what its own share lets it do, and what it tells the others. Effects: its agent writes.

What a site may hold follows from what it knows, and whatever it does not know yet could only let it hold more (escrow.py).
So a limit holds at every moment, also while sites are cut off, as long as each one keeps to this:

- it gives rights away, takes duties over and binds itself only in `turn`, which never runs beside anything that begins programs;
- what programs have begun, or wait to begin, it counts as held before it gives anything (limits.py);
- nothing begins before `asked` says that it fits, in whole units, from what is so at that very moment: also what a person
  wants, and what goes back.

Who is not trusted to know all that it promised, and who has not heard yet that all sites keep a limit, holds what it holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from controller.fleet import epochs, escrow
from controller.fleet.escrow import Bounds, Holding, Limit, Unowned
from controller.fleet.joint import Fate, Joint, joint
from controller.fleet.limits import (
    IRREVERSIBLE,
    Bound,
    Held,
    Meaning,
    Room,
    begun,
    bound_by,
    bound_of,
    counted,
    lasting_moves,
    limits_of,
    meanings_of,
    parts_of,
    shares_of,
    unit,
    with_waiting,
)
from controller.fleet.proposals import open_proposals, proposed, tell
from controller.fleet.wire import WORDED
from controller.fleet.wishes import Wish, wishes_of
from controller.programs import IN_FLIGHT, Program, ProgramState

if TYPE_CHECKING:
    from controller.fleet.agent import Agent
    from controller.fleet.clocks import Stamp
    from controller.fleet.crdt import Replica
    from controller.fleet.manifest import FleetSpec
    from controller.model import Decision, State
    from controller.policy import PolicySpec
    from exporters.clock import Clock

log = structlog.get_logger("orcha.fleet")

MOST_COUNTED: Final = 2**53
"""What one counter can hold to the unit: a float64. Two sites that gave each other more than that keep what they have, until
the limit is worded anew."""


@dataclass(frozen=True, slots=True)
class Worded:
    """What a site last said of one limit, and what is so of it: a register of its own."""

    wording: str = ""
    """Id of the wording that its manifest had then; "": it had none."""
    of: tuple[Meaning, ...] = ()
    """What it counts; all that it ever counted, since others may still rely on it."""
    in_force: bool = False
    """Whether all members were bound by one wording at some time: from then on there is always one that binds all."""

    @classmethod
    def read(cls, replica: Replica, name: str, me: str) -> Worded:
        item = replica.registers.get((WORDED, f"{name}@{me}"))
        if item is None:
            return cls()
        said = json.loads(item.value.value)
        return cls(said["wording"], tuple((protocol, resource) for protocol, resource in said["of"]), said["in_force"])

    def plain(self) -> dict[str, Any]:
        return {"wording": self.wording, "of": [list(each) for each in self.of], "in_force": self.in_force}


@dataclass(frozen=True, slots=True)
class Look:
    """What a site holds, and what is under way, at one moment."""

    held: Mapping[str, Held] = field(default_factory=dict)
    programs: tuple[Program, ...] = ()
    """All that are known; what is about to begin counts as running."""

    @property
    def flying(self) -> list[Program]:
        return [program for program in self.programs if program.state in IN_FLIGHT]


class Site:
    """One for each controller. `turn` once a turn of the loop; the others at any time."""

    def __init__(self, spec: FleetSpec, me: str, agent: Agent, clock: Clock) -> None:
        self.spec, self.me, self.agent = spec, me, agent
        self._clock = clock
        self._wishes: dict[str, Wish] = {}
        """By policy."""
        self._own: dict[str, PolicySpec] = {}
        """Policy -> its spec without what this site's part of the limits adds."""
        self._told: frozenset[str] = frozenset()
        """Programs that the others were told of."""
        self.joint: Joint | None = None
        """What all sites propose, as of the last turn."""

    def replace(self, spec: FleetSpec) -> None:
        """New manifests are in force. Only limits change: who belongs to the fleet, and how they reach each other, the agent knows
        since its start.
        """
        kept = {"limits": spec.limits, "irreversible_at_once": spec.irreversible_at_once}
        self.spec = self.spec.model_copy(update=kept)

    # --- what it may do -------------------------------------------------------------------------------------------------

    def bind(self, state: State, held: Mapping[str, Held], programs: Sequence[Program] = ()) -> State:
        """The State with what this site may hold, as constraints, and how many moves that cannot be taken back may begin."""
        look = Look(held, tuple(programs))
        rooms = [room for name in self._names() for room in self._rooms(name, look)]
        kept = bound_by(state, shares_of(self.spec))
        self._own[state.policy] = kept.spec
        return replace(bound_by(kept, parts_of(state, rooms)), permits=self._permits(look))

    def asked(self, program: Program, look: Look) -> str:
        """Why a program must wait, for a share of a limit that this site has not got or for another site's program; "": it need
        not. `look`: what is so at this moment; this program is not under way.
        """
        after = Look({**look.held, **begun(look.held, program)}, look.programs)
        for name in self._names():
            for bound, meanings in self._counts(name):
                now, then = (counted(bound, meanings, each.held) for each in (look, after))
                least = bound is Bound.LEAST
                if (then < now if least else then > now) and not self._bounds(name, now).allow(then):
                    return self._short(name, bound, meanings, then, now)
        own = lasting_moves([program], look.held)
        permits = self._permits(look)
        if own and permits is not None and own > permits:
            return f"{own} of its moves cannot be taken back; {Bound.IRREVERSIBLE.field} of the fleet lets {permits} begin here now"
        return self._ruled(program)

    def void(self, program: Program) -> str:
        """Why it is void: another site's program takes it back, and neither has begun. "": it is not."""
        ruling = self.joint.rulings.get(program.id) if self.joint is not None else None
        return ruling.sentence if ruling is not None and ruling.fate is Fate.CANCELLED else ""

    def _ruled(self, program: Program) -> str:
        if program.id not in self._told:
            return "the other sites are told of it first"
        ruling = self.joint.rulings.get(program.id) if self.joint is not None else None
        return ruling.sentence if ruling is not None and ruling.fate is Fate.WAITS else ""

    def _short(self, name: str, bound: Bound, meanings: Sequence[Meaning], then: int, now: int) -> str:
        limit = name.rpartition(" ")[0]
        bounds = self._bounds(name, now)
        own = bounds.least if bound is Bound.LEAST else bounds.most
        scale = 1 if bound is Bound.COUNT else unit(meanings[0][1])
        of = f"{meanings[0][0]} {meanings[0][1]}" if bound is not Bound.COUNT else meanings[0][0]
        holds, may = then / scale, (own or 0) / scale
        owes = "must keep" if bound is Bound.LEAST else "may hold"
        why = f"; {said}" if (said := self._unsettled(name)) else ""
        return f"fleet limit {limit} ({bound.field}): with it this site would hold {holds:g} {of}, and it {owes} {may:g} of the whole{why}"

    def _unsettled(self, name: str) -> str:
        """Why it may not even use its share; "": it may."""
        if not self.agent.peer.trusted:
            return "not all agents have told yet what was promised before this one's memory began"
        if not self._worded(name).in_force:
            return "not all sites keep this limit yet"
        return ""

    def _names(self) -> list[str]:
        """Of all limits that hold here: those of the manifest, and those that were in it and that others may still rely on."""
        owned = (of for kind, of in self.agent.peer.replica.registers if kind == WORDED)
        kept = {name for name, _, agent in (of.rpartition("@") for of in owned) if agent == self.me}
        return sorted(kept | meanings_of(self.spec).keys())

    def _counts(self, name: str) -> list[tuple[Bound, tuple[Meaning, ...]]]:
        """What a limit counts; nothing for that of moves that cannot be taken back."""
        if name == IRREVERSIBLE:
            return []
        meanings = self._meanings(name)
        return [(bound_of(name), meanings)] if meanings else []

    def _meanings(self, name: str) -> tuple[Meaning, ...]:
        own = meanings_of(self.spec).get(name)
        known = self._worded(name).of
        return known if own is None or own in known else (*known, own)

    def _worded(self, name: str) -> Worded:
        return Worded.read(self.agent.peer.replica, name, self.me)

    def _bounds(self, name: str, now: int) -> Bounds:
        """What this site may hold of one limit that it holds `now` of, in units."""
        if self._lifted(name):
            return Bounds(None, None)
        if self._unsettled(name):
            return Bounds(None, now) if bound_of(name) is Bound.LEAST else Bounds(now, None)
        return escrow.bounds(self.agent.peer.replica, name, self.me)

    def _lifted(self, name: str) -> bool:
        """Whether it is in no manifest any more, and nobody relies on it."""
        replica = self.agent.peer.replica
        wordings = [*escrow.binding(replica, name, self.me), *filter(None, [escrow.limits(replica).get(name)])]
        mine = name in {limit.name for limit in limits_of(self.spec)}
        return not mine and all(limit.most is None and limit.least is None for limit in wordings)

    def _rooms(self, name: str, look: Look) -> list[Room]:
        found = []
        for bound, meanings in self._counts(name):
            now = counted(bound, meanings, look.held)
            bounds = self._bounds(name, now)
            left = bounds.most - now if bounds.most is not None else None
            if bound is Bound.LEAST:
                left = now - bounds.least if bounds.least is not None else None
            why = f" ({said})" if (said := self._unsettled(name)) else ""
            limit = name.rpartition(" ")[0] + why
            found += [Room(bound, meaning, left, limit) for meaning in meanings if left is not None]
        return found

    def _permits(self, look: Look) -> int | None:
        """How many more moves that cannot be taken back may begin; None: as many as there are."""
        flying = lasting_moves(look.flying, look.held)
        most = self._bounds(IRREVERSIBLE, flying).most
        return None if most is None else max(0, most - flying)

    # --- what it tells --------------------------------------------------------------------------------------------------

    async def turn(
        self, held: Mapping[str, Held], programs: Sequence[Program], decisions: Iterable[Decision], *, sure: bool = True
    ) -> None:
        """Once a turn of the loop, never beside anything that begins programs: say what is held and wanted, adopt wordings,
        hand over rights, take over duties, tell what is proposed. `programs`: all that are known; `sure` False: they are not
        all known, so nothing is given away. Raises StoreError, and then nothing may begin.
        """
        look = Look(held, tuple(programs))
        self._wishes = await wishes_of(decisions, self._wishes, self._own)
        mine = open_proposals(look.programs, self.me)
        now = self._clock.time()
        alive = frozenset(self.agent.peer.alive(now))
        sure_who_lives = self.agent.peer.sure_of_the_dead(now)

        def change(replica: Replica, stamp: Callable[[], Stamp], writer: str) -> None:
            pen = _Pen(replica, self.me, stamp, writer, alive)
            self._say_limits(pen, look, sure=sure)
            epoch = epochs.enter(replica, self.me, now, writer)
            tell(replica, self.me, mine, stamp, writer, epoch)
            if sure_who_lives:  # else an epoch is over in which somebody is whom it has not heard yet
                epochs.close(replica, self.me, [name for name in self.spec.sites if name in alive], writer)

        await self.agent.write(change)
        known = proposed(self.agent.peer.replica)
        self._told = frozenset(each.id for each in known if each.agent == self.me)
        self.joint = await asyncio.to_thread(joint, known)

    def _say_limits(self, pen: _Pen, look: Look, *, sure: bool) -> None:
        trusted = self.agent.peer.trusted
        if trusted:
            self._word(pen)
        kept = Look(with_waiting(look.held, look.programs), look.programs)
        for name in sorted({*self._names(), *([IRREVERSIBLE] if self.spec.irreversible_at_once is not None else [])}):
            if name == IRREVERSIBLE:
                held, keeps, want = self._hold_lasting(look)
            else:
                held, keeps, want = self._hold(name, look, kept)
            pen.say(name, Holding(held, want))
            if trusted and sure:
                pen.adopt(name, held)
                pen.share_out(name, Holding(keeps, want))
            self._note(pen, name)

    def _hold(self, name: str, look: Look, kept: Look) -> tuple[int, int, int]:
        """Of one limit: what is held, what is kept back for what waits too, and what would be held with all rights."""
        bound, meanings = bound_of(name), self._meanings(name)
        wishes = {key: amount for wish in self._wishes.values() for key, amount in wish.targets.items()}
        wanted = {key: each.at(wishes[key]) if key in wishes else each for key, each in kept.held.items()}
        held, keeps, want = (counted(bound, meanings, each) for each in (look.held, kept.held, wanted))
        return held, keeps, want

    def _hold_lasting(self, look: Look) -> tuple[int, int, int]:
        """The same of moves that cannot be taken back. What waits for a person's word keeps no permit, which others could use."""
        flying, approved, pending = (
            lasting_moves([program for program in look.programs if program.state in states], look.held)
            for states in (IN_FLIGHT, {ProgramState.APPROVED}, {ProgramState.PENDING})
        )
        planned = sum(wish.lasting for wish in self._wishes.values())
        want, most = flying + max(approved, planned - pending), self.spec.irreversible_at_once
        return flying, flying, want if most is None else min(want, max(flying, most))

    def _word(self, pen: _Pen) -> None:
        """Say what the own manifest says, where that is not what it said before: so two sites whose manifests differ do not
        overrule each other for ever. Who comes to a limit that the others have already says nothing at first.
        """
        known, meanings = escrow.limits(pen.replica), meanings_of(self.spec)
        wanted = {limit.name: limit for limit in limits_of(self.spec)}
        members = tuple(sorted(self.spec.sites))
        for name in sorted({*self._names(), *wanted}):
            limit = wanted.get(name) or Limit(name, members)
            said = self._worded(name)
            newest = known.get(name)
            joins = not said.wording and newest is not None and self.me in newest.members
            if limit.id == said.wording:
                continue
            if not joins and (newest is None or newest.id != limit.id):
                escrow.word(pen.replica, limit, pen.stamp(), pen.writer)
            own = meanings.get(name)
            of = said.of if own is None or own in said.of else (*said.of, own)
            pen.note(name, Worded(limit.id, of, said.in_force))

    def _note(self, pen: _Pen, name: str) -> None:
        """Once all members were bound by one wording, there is always one that binds all of them."""
        said = self._worded(name)
        newest = escrow.limits(pen.replica).get(name)
        in_force = said.in_force or any(
            escrow.settled(pen.replica, limit) for limit in escrow.binding(pen.replica, name, self.me)
        )
        if newest is not None and self.me not in newest.members:
            in_force = False
        if in_force != said.in_force and said.wording:
            pen.note(name, replace(said, in_force=in_force))


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes one site's part in what is shared."""

    replica: Replica
    me: str
    stamp: Callable[[], Stamp]
    writer: str
    alive: frozenset[str]

    def say(self, name: str, holding: Holding) -> None:
        escrow.say(self.replica, name, self.me, holding, self.stamp(), self.writer)

    def note(self, name: str, worded: Worded) -> None:
        self.replica.write(WORDED, f"{name}@{self.me}", worded.plain(), self.stamp(), self.writer)

    def adopt(self, name: str, held: int) -> None:
        escrow.adopt(self.replica, name, self.me, held, self.stamp(), self.writer)

    def share_out(self, name: str, now: Holding) -> None:
        """In the ledger of every wording that still counts: who wants more needs rights in each of them."""
        newest = escrow.limits(self.replica).get(name)
        wordings = {limit.id: limit for limit in escrow.binding(self.replica, name, self.me)}
        if newest is not None and self.me in newest.members:
            wordings[newest.id] = newest
        for limit in wordings.values():
            for to, amount in escrow.gifts(self.replica, limit, self.me, now, self.alive).items():
                self._hand(escrow.give, f"give {limit.id} {to}", limit, to, amount, now.held)
            for of, amount in escrow.burdens(self.replica, limit, self.me, now, self.alive).items():
                self._hand(escrow.take_over, f"take {limit.id} {of}", limit, of, amount, now.held)

    def _hand(self, do: Callable[..., None], counter: str, limit: Limit, other: str, amount: int, held: int) -> None:
        left = MOST_COUNTED - int(self.replica.counted(self.me, counter))
        if (much := min(amount, left)) > 0:
            with suppress(Unowned):  # what one holds too much of is nobody's to give
                do(self.replica, limit, self.me, other, much, held, self.writer)
