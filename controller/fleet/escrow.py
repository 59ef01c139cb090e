"""Fleet-wide limits that hold while nobody can be asked: each site owns a part of a limit, and keeps within that. Pure.

A limit of 10 among 3 sites is 10 rights. A site may hold as much as it has rights; it may give rights away, and the other
may use them once it has heard of it. So the sum never exceeds the limit, whoever is cut off, whatever is lost or late (the
bounded counter of Balegas et al., Extending Eventually Consistent Cloud Databases for Enforcing Numeric Invariants, 2015).
A least amount is the mirror of it: duties that a site has until it hears that another took them over. One thing at a time is
a limit of 1.

What a site gave and took are its own counters, in a ledger that belongs to one wording of the limit. A new wording has a new
ledger, and until every member has adopted it each keeps within both: who has not heard of it yet still uses the old one.
Who words a limit as it was worded before says it anew: what somebody adopted the time before he may have let go of since, and
so that counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Final

from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica

LIMIT: Final = "limit"
"""Registers by a limit's name: its newest wording."""
ADOPTED: Final = "adopted"
"""Registers by NAME@AGENT: the wordings that bind this agent, oldest first, each with the stamp of the saying that it adopted."""
HOLDING: Final = "holding"
"""Registers by NAME@AGENT: what it holds, and what it would like to."""


class Unowned(ValueError):
    """More would be given away than is owned and not held; `str()` says of what."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One wording of a limit. Amounts are whole numbers of a unit that the limit's name fixes, such as thousandths of a core."""

    name: str
    members: tuple[str, ...]
    """The agents that it is shared among, sorted."""
    most: int | None = None
    """Together they hold no more; None: as much as they like."""
    least: int | None = None
    """Together they hold no less."""

    @property
    def id(self) -> str:
        """The same wherever it was worded so."""
        return _id(self.name, self.members, self.most, self.least)

    def share(self, whole: int, agent: str) -> int:
        """What an agent owns to begin with: equal parts, and what does not divide goes to the first ones."""
        if agent not in self.members:
            return 0
        part, rest = divmod(whole, len(self.members))
        return part + (self.members.index(agent) < rest)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Limit:
        return cls(str(value["name"]), tuple(sorted(value["members"])), value["most"], value["least"])


@lru_cache(maxsize=4096)
def _id(name: str, members: tuple[str, ...], most: int | None, least: int | None) -> str:
    """Kept, since every look at a ledger asks for it."""
    text = json.dumps([name, members, most, least], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one agent may hold."""

    most: int | None
    least: int | None

    def allow(self, held: int) -> bool:
        return (self.most is None or held <= self.most) and (self.least is None or held >= self.least)


@dataclass(frozen=True, slots=True)
class Holding:
    """What an agent says of itself."""

    held: int
    """Now, or at the end of what it has begun, whichever is more."""
    want: int
    """What it would hold with as many rights as it likes."""


# --- reading ----------------------------------------------------------------------------------------------------------


def limits(replica: Replica) -> dict[str, Limit]:
    """Name -> the newest wording that is known."""
    return {name: Limit.read(value) for name, value, _ in replica.read(LIMIT)}


def binding(replica: Replica, name: str, agent: str) -> tuple[Limit, ...]:
    """The wordings that an agent is known to keep within."""
    return tuple(limit for limit, _ in _adopted(replica, name, agent))


def _adopted(replica: Replica, name: str, agent: str) -> list[tuple[Limit, Stamp | None]]:
    """Those, each with the stamp of the saying that it adopted; None: nobody wrote that down."""
    item = replica.registers.get((ADOPTED, f"{name}@{agent}"))
    found = json.loads(item.value.value) if item is not None else []
    return [(Limit.read(each), Stamp(*each["said"]) if "said" in each else None) for each in found]


def rights(replica: Replica, limit: Limit, agent: str) -> int | None:
    """What it owns of `most`, as far as is known here: of oneself never too much, of others perhaps. None: no such limit."""
    if limit.most is None:
        return None
    ledger = limit.id
    given = sum(int(replica.counted(agent, f"give {ledger} {other}")) for other in limit.members)
    got = sum(int(replica.counted(other, f"give {ledger} {agent}")) for other in limit.members)
    return limit.share(limit.most, agent) + got - given


def duties(replica: Replica, limit: Limit, agent: str) -> int | None:
    """What it owes of `least`, as far as is known here: of oneself never too little."""
    if limit.least is None:
        return None
    ledger = limit.id
    took = sum(int(replica.counted(agent, f"take {ledger} {other}")) for other in limit.members)
    taken = sum(int(replica.counted(other, f"take {ledger} {agent}")) for other in limit.members)
    return limit.share(limit.least, agent) + took - taken


def bounds(replica: Replica, name: str, me: str) -> Bounds:
    """What one may hold: within every wording that binds, and within the newest, also where that is not adopted yet because
    too much is held. Who holds too much gives it up step by step, and until then may not take more.
    """
    newest = limits(replica).get(name)
    wordings = {limit.id: limit for limit in (*binding(replica, name, me), *([newest] if newest else []))}
    most = [found for limit in wordings.values() if (found := rights(replica, limit, me)) is not None]
    least = [found for limit in wordings.values() if (found := duties(replica, limit, me)) is not None]
    return Bounds(min(most, default=None), max(least, default=None))


def settled(replica: Replica, limit: Limit) -> bool:
    """Whether every member is known to keep within this wording, since one and the same saying of it: of different ones an
    earlier one may be let go of already, by somebody who knows that all follow a wording between the two.
    """
    said = [
        {stamp for each, stamp in _adopted(replica, limit.name, agent) if each.id == limit.id}
        for agent in limit.members
    ]
    return bool(said) and bool(set.intersection(*said))


def adopters(replica: Replica, limit: Limit) -> frozenset[str]:
    """Members who are known to keep within this wording as it was said last; all where it is settled."""
    if settled(replica, limit):
        return frozenset(limit.members)
    item = replica.registers.get((LIMIT, limit.name))
    saying = limit, item.value.stamp if item is not None else None
    return frozenset(each for each in limit.members if saying in _adopted(replica, limit.name, each))


def holdings(replica: Replica, limit: Limit) -> dict[str, Holding]:
    """What the members last said of themselves. Who said nothing is not in it."""
    found = {}
    for agent in limit.members:
        item = replica.registers.get((HOLDING, f"{limit.name}@{agent}"))
        if item is not None:
            said = json.loads(item.value.value)
            found[agent] = Holding(int(said["held"]), int(said["want"]))
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def word(replica: Replica, limit: Limit, stamp: Stamp, writer: str) -> None:
    """Make this the newest wording."""
    replica.write(LIMIT, limit.name, asdict(limit), stamp, writer)


def say(replica: Replica, name: str, me: str, holding: Holding, stamp: Stamp, writer: str) -> None:
    """Tell the others, where it is not what they know."""
    item = replica.registers.get((HOLDING, f"{name}@{me}"))
    if item is None or json.loads(item.value.value) != asdict(holding):
        replica.write(HOLDING, f"{name}@{me}", asdict(holding), stamp, writer)


def adopt(replica: Replica, name: str, me: str, held: int, stamp: Stamp, writer: str) -> bool:
    """Bind oneself to the newest wording once one keeps within it, and let go of those before it once all members are bound;
    whether anything changed.
    """
    newest = limits(replica).get(name)
    if newest is None or me not in newest.members:
        return False
    saying = newest, replica.registers[LIMIT, name].value.stamp
    before = _adopted(replica, name, me)
    after = before
    if saying in before and settled(replica, newest):
        after = [saying]
    elif saying not in before and Bounds(rights(replica, newest, me), duties(replica, newest, me)).allow(held):
        after = [each for each in before if each[0] != newest] + [saying]
    if after == before:
        return False
    told = [asdict(limit) | ({"said": said} if said is not None else {}) for limit, said in after]
    replica.write(ADOPTED, f"{name}@{me}", told, stamp, writer)
    return True


def give(replica: Replica, limit: Limit, me: str, to: str, amount: int, held: int, writer: str) -> None:
    """Hand over rights that are owned and not held. Raises Unowned; and what was given is given, for good."""
    own = rights(replica, limit, me)
    if own is None or amount > own - held or amount < 0 or to not in limit.members or to == me:
        raise Unowned(f"{me} has {own} rights of {limit.name} and holds {held}; it cannot give {amount} to {to}")
    _raise(replica, me, f"give {limit.id} {to}", amount, writer)


def take_over(replica: Replica, limit: Limit, me: str, of: str, amount: int, held: int, writer: str) -> None:
    """Take another's duties upon oneself, as far as one holds more than one's own. Raises Unowned."""
    own = duties(replica, limit, me)
    if own is None or amount > held - own or amount < 0 or of not in limit.members or of == me:
        raise Unowned(f"{me} owes {own} of {limit.name} and holds {held}; it cannot take over {amount} of {of}")
    _raise(replica, me, f"take {limit.id} {of}", amount, writer)


def _raise(replica: Replica, me: str, name: str, amount: int, writer: str) -> None:
    replica.count(me, name, replica.counted(me, name) + amount, writer)


# --- deciding ---------------------------------------------------------------------------------------------------------


def gifts(
    replica: Replica, limit: Limit, me: str, now: Holding, among: Collection[str] | None = None
) -> dict[str, int]:
    """Whom to give how many rights: what nobody holds or wants goes where it is wanted. Every member that knows the same works
    out the same table, and hands over its own part of it. `among`: who can be heard, and so can use it.
    """
    told = {agent: it for agent, it in holdings(replica, limit).items() if among is None or agent in among}
    told[me] = now
    spare: dict[str, int] = {}
    lack: dict[str, int] = {}
    for agent, holding in sorted(told.items()):
        left = (rights(replica, limit, agent) or 0) - max(holding.held, holding.want)
        (spare if left > 0 else lack)[agent] = abs(left)
    return _matched(spare, lack).get(me, {}) if limit.most is not None else {}


def burdens(
    replica: Replica, limit: Limit, me: str, now: Holding, among: Collection[str] | None = None
) -> dict[str, int]:
    """Whose duties to take over, and how much of them: of those who would like to hold less than they owe."""
    told = {agent: it for agent, it in holdings(replica, limit).items() if among is None or agent in among}
    told[me] = now
    spare: dict[str, int] = {}
    lack: dict[str, int] = {}
    for agent, holding in sorted(told.items()):
        over = min(holding.held, holding.want) - (duties(replica, limit, agent) or 0)
        (spare if over > 0 else lack)[agent] = abs(over)
    return _matched(spare, lack).get(me, {}) if limit.least is not None else {}


def _matched(spare: Mapping[str, int], lack: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Who covers how much of whose lack, in the order of their names."""
    found: dict[str, dict[str, int]] = {}
    left = dict(spare)
    for needy, missing in lack.items():
        uncovered = missing
        for giver, has in left.items():
            part = min(has, uncovered)
            if part > 0:
                found.setdefault(giver, {})[needy] = part
                left[giver] = has - part
                uncovered -= part
    return found


def without(limit: Limit, gone: str) -> Limit:
    """The wording without a member that its owner gave up: what it still holds then counts for nobody."""
    return replace(limit, members=tuple(agent for agent in limit.members if agent != gone))
