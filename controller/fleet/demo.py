"""What is pretended in `orcha fleet demo`: sites that hold and want a part of one limit, a network that falls apart, and the
picture of one moment. Pure: chance is an argument; playground.py lets it happen with real agents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from controller.fleet import escrow
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.escrow import Bounds, Holding, Limit
from controller.fleet.terms import grow, shrink
from controller.fleet.topology import Edge, Topology

LIMIT: Final = "golem cpu"
"""What the sites share: whole cores that golem holds, over all of them."""
FEW, MANY = 2, 4
"""Cores for each site in the two wordings of the limit; sites want up to MOST each, so that either is too little now and then."""
MOST: Final = 7
EPOCH: Final = 1
Draw = Callable[[int], int]
"""(n) -> a whole number from 0 to n - 1."""


@dataclass(slots=True)
class Pretended:
    """A site's machines. They go on while its controller is dead."""

    name: str
    held: int = 0
    want: int = 0


@dataclass(frozen=True, slots=True)
class Turned:
    """What one turn of a site's controller came to."""

    before: int
    held: int
    gifts: Mapping[str, int]
    adopted: bool


def turn(site: Pretended, replica: Replica, stamp: Callable[[], Stamp], writer: str, *, trusted: bool) -> Turned:
    """As a controller does it: hold as much of what is wanted as the rights allow, say so, adopt the newest wording, and hand
    over rights that others want. Who lost its memory takes no more and gives nothing until the others told it what it promised.
    """
    before = site.held
    site.held = max(0, min(site.want, _most(site, replica, trusted=trusted)))
    if site.held != before:
        move = grow if site.held > before else shrink
        replica.add(move(f"{site.name}/golem", "cpu", before, site.held), writer, EPOCH)
    now = Holding(site.held, site.want)
    escrow.say(replica, LIMIT, site.name, now, stamp(), writer)
    if not trusted:
        return Turned(before, site.held, {}, adopted=False)
    adopted = escrow.adopt(replica, LIMIT, site.name, site.held, stamp(), writer)
    bound = escrow.binding(replica, LIMIT, site.name)
    gifts = escrow.gifts(replica, bound[-1], site.name, now) if bound else {}
    for to, amount in gifts.items():
        escrow.give(replica, bound[-1], site.name, to, amount, site.held, writer)
    return Turned(before, site.held, gifts, adopted)


def _most(site: Pretended, replica: Replica, *, trusted: bool) -> int:
    """How much it may hold; no more than it does where it cannot know."""
    most = escrow.bounds(replica, LIMIT, site.name).most
    if most is None:
        return site.held
    return most if trusted else min(site.held, most)


def wish(site: Pretended, draw: Draw) -> None:
    """Now and then a site would like more, or less."""
    if draw(3) == 0:
        site.want = draw(MOST + 1)


def worded(members: Sequence[str], each: int) -> Limit:
    return Limit(LIMIT, tuple(sorted(members)), most=each * len(members))


def in_force(replicas: Mapping[str, Replica]) -> int | None:
    """What all may hold together now: the least of the wordings that every site has adopted. None: there is none yet."""
    adopted = [
        {limit.id: limit for limit in escrow.binding(replica, LIMIT, name)} for name, replica in replicas.items()
    ]
    shared = set.intersection(*map(set, adopted)) if adopted else set()
    return min((most for name in shared if (most := adopted[0][name].most) is not None), default=None)


# --- the network ------------------------------------------------------------------------------------------------------


def split(graph: Topology, draw: Draw) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Two sides, each in one piece where that can be had, the first a third to a half of all; None where there are too few."""
    if graph.size < 2:
        return None
    found: tuple[int, ...] = ()
    for _ in range(50):
        size = max(1, graph.size // 3 + draw(max(1, graph.size // 2 - graph.size // 3 + 1)))
        found = _grown(graph, min(size, graph.size - 1), draw)
        rest = tuple(i for i in range(graph.size) if i not in found)
        if len(set(sides(graph, found, ())) - {None}) == 1:
            return found, rest
    return found, tuple(i for i in range(graph.size) if i not in found)


def _grown(graph: Topology, size: int, draw: Draw) -> tuple[int, ...]:
    """Neighbours of neighbours, so many, from anywhere."""
    inside = [draw(graph.size)]
    while len(inside) < size:
        around = sorted({other for at in inside for other in graph.neighbours[at]} - set(inside))
        if not around:
            break
        inside.append(around[draw(len(around))])
    return tuple(sorted(inside))


def between(graph: Topology, groups: Iterable[Collection[int]]) -> frozenset[Edge]:
    """The edges from one group to another."""
    side = {at: number for number, group in enumerate(groups) for at in group}
    return frozenset(edge for edge in graph.edges if side.get(edge[0]) != side.get(edge[1]))


def sides(graph: Topology, dead: Collection[int], cut: Iterable[Edge]) -> list[int | None]:
    """Of each agent the number of the side that it is on, from 0; None: it is dead."""
    left = graph.without(dead, cut)
    found: list[int | None] = [None] * graph.size
    count = 0
    for at in range(graph.size):
        if at in dead or found[at] is not None:
            continue
        for other, hops in enumerate(left.distances(at)):
            if hops is not None:
                found[other] = count
        count += 1
    return found


# --- the picture of a moment --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """One site."""

    name: str
    alive: bool
    side: int | None
    """None: its controller is dead."""
    starts: int
    sees: int
    """Agents that it takes for alive, itself among them."""
    digest: str
    held: int
    wanted: int
    rights: int | None
    """None: it knows no limit yet."""
    trusted: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is shown."""

    seconds: float
    """Since the beginning."""
    topology: str
    sites: tuple[Shown, ...]
    edges: tuple[tuple[int, int, bool], ...]
    """From, to, and whether anything goes over it."""
    bound: int | None
    """In force now, of the sum of what is held."""
    newest: int | None
    """The newest wording that some site knows of."""
    messages_per_second: float
    p95_milliseconds: float | None
    apart: float | None
    """Seconds for which not all who live knew the same; None: they do."""
    took: float | None
    """Seconds that it took last until they did again."""
    loss: float
    paused: bool
    checks: int
    """Moments in which the limit was looked at."""
    broken: str
    """The first time that it did not hold; "": it always did."""
    events: tuple[tuple[float, str], ...]
    """(seconds, what happened), the newest last."""

    @property
    def held(self) -> int:
        return sum(site.held for site in self.sites)

    @property
    def wanted(self) -> int:
        return sum(site.wanted for site in self.sites)

    @property
    def alive(self) -> int:
        return sum(site.alive for site in self.sites)

    @property
    def side_count(self) -> int:
        return len({site.side for site in self.sites if site.side is not None})

    @property
    def digests(self) -> int:
        """Different ones, among those who live."""
        return len({site.digest for site in self.sites if site.alive})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sums = {"held": self.held, "wanted": self.wanted, "alive": self.alive, "sides": self.side_count}
        return {**asdict(self), **sums, "digests": self.digests}


def shown_site(
    site: Pretended, replica: Replica, alive: Collection[str], side: int | None, *, starts: int, trusted: bool
) -> Shown:
    """As its own agent knows it, or knew it when it died."""
    bounds: Bounds = escrow.bounds(replica, LIMIT, site.name)
    rights = None if bounds.most is None else max(0, bounds.most)
    living = side is not None
    return Shown(
        site.name, living, side, starts, len(alive) if living else 0, replica.digest[:6], site.held, site.want, rights,
        trusted,
    )  # fmt: skip
