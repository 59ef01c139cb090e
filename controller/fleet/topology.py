"""Who is whose neighbour, and which way a message goes. Pure.

Agents are 0..n-1; messages go along edges only, hop by hop on shortest paths, of several always the one through the agents
with the least numbers. Where links or agents are gone, the ways are worked out without them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Final

Edge = tuple[int, int]
"""The lesser number first."""

SIERPINSKI9: Final[tuple[Edge, ...]] = (
    (0, 1), (0, 2), (1, 2), (1, 3), (1, 4), (1, 5), (2, 5), (2, 6), (2, 7), (3, 4), (3, 8), (4, 5), (4, 8), (5, 6), (5, 8), (6, 7),
)  # fmt: skip


class NoTopology(ValueError):
    """There is none of this name and size; `str()` says what there is."""


@dataclass(frozen=True)
class Topology:
    """An undirected graph."""

    name: str
    size: int
    edges: frozenset[Edge] = field(default_factory=frozenset)

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """Of each agent, in order."""
        found: list[list[int]] = [[] for _ in range(self.size)]
        for one, other in sorted(self.edges):
            found[one].append(other)
            found[other].append(one)
        return tuple(tuple(sorted(each)) for each in found)

    def without(self, gone: Collection[int] = (), cut: Iterable[Edge] = ()) -> Topology:
        """As it is while agents are dead or links are cut; numbers stay."""
        broken = {(min(edge), max(edge)) for edge in cut}
        left = frozenset(edge for edge in self.edges - broken if not set(edge) & set(gone))
        return Topology(self.name, self.size, left)

    def distances(self, origin: int) -> list[int | None]:
        """Hops from one agent to each; None where there is no way."""
        found: list[int | None] = [None] * self.size
        found[origin] = 0
        queue = deque([(origin, 0)])
        while queue:
            at, hops = queue.popleft()
            for other in self.neighbours[at]:
                if found[other] is None:
                    found[other] = hops + 1
                    queue.append((other, hops + 1))
        return found

    def path(self, origin: int, target: int) -> tuple[int, ...] | None:
        """A shortest way, both ends included; None where there is none."""
        away = self.distances(target)
        hops = away[origin]
        if hops is None:
            return None
        way = [origin]
        for left in range(hops - 1, -1, -1):
            way.append(next(other for other in self.neighbours[way[-1]] if away[other] == left))
        return tuple(way)

    def next_hop(self, origin: int, target: int) -> int | None:
        """Whom a message for the target is handed to; None where there is no way, or it has arrived."""
        way = self.path(origin, target)
        return way[1] if way is not None and len(way) > 1 else None

    @cached_property
    def connected(self) -> bool:
        return self.size == 0 or None not in self.distances(0)

    @cached_property
    def diameter(self) -> int:
        """The longest shortest way. Raises NoTopology where some agents cannot reach each other."""
        return max(hops for origin in range(self.size) for hops in self._reached(origin))

    @cached_property
    def mean_distance(self) -> Fraction:
        """Over distinct pairs. Raises NoTopology as `diameter`."""
        pairs = self.size * (self.size - 1)
        return Fraction(sum(sum(self._reached(origin)) for origin in range(self.size)), max(1, pairs))

    @cached_property
    def mean_distance_with_itself(self) -> Fraction:
        """Over all pairs, each agent's distance of 0 to itself included."""
        return self.mean_distance * (self.size - 1) / self.size

    def _reached(self, origin: int) -> list[int]:
        found = [hops for hops in self.distances(origin) if hops is not None]
        if len(found) < self.size:
            raise NoTopology(f"{self.name}: agent {origin} cannot reach every other")
        return found


def topology(name: str, size: int) -> Topology:
    """One of those below, for so many agents. Raises NoTopology."""
    if name not in _MADE:
        raise NoTopology(f"there is no topology {name!r}; there are {', '.join(_MADE)}")
    if size < 1:
        raise NoTopology(f"{size} agents are too few; write at least 1")
    return Topology(name, size, frozenset(_MADE[name](size)))


def sierpinski(level: int) -> Topology:
    """3^level agents: three copies of the level below, each joined to the other two at a corner (the Hanoi graph)."""
    return topology("sierpinski", 3**level)


def _nine(size: int) -> Iterable[Edge]:
    if size != 9:
        raise NoTopology(
            f"sierpinski9 has 9 agents, not {size}; for 3, 27, 81 ... take sierpinski, for any number ring"
        )
    return SIERPINSKI9


def _sierpinski(size: int) -> Iterable[Edge]:
    level, count = 0, 1
    while count < size:
        level, count = level + 1, count * 3
    if count != size or size < 3:
        raise NoTopology(f"sierpinski has 3, 9, 27, 81 ... agents, not {size}")
    edges: list[Edge] = [(0, 1), (0, 2), (1, 2)]
    for done in range(1, level):
        third = 3**done
        corner = [at * (third - 1) // 2 for at in range(3)]  # the number whose digits in base 3 are all `at`
        copies = [(one + k * third, other + k * third) for k in range(3) for one, other in edges]
        bridges = [(a * third + corner[b], b * third + corner[a]) for a, b in ((0, 1), (0, 2), (1, 2))]
        edges = copies + bridges
    return edges


def _ring(size: int) -> Iterable[Edge]:
    return {(min(i, (i + 1) % size), max(i, (i + 1) % size)) for i in range(size) if size > 1}


def _full(size: int) -> Iterable[Edge]:
    return ((i, j) for i in range(size) for j in range(i + 1, size))


def _grid(size: int) -> Iterable[Edge]:
    """Rows as long as the square root, rounded up; the last may be shorter."""
    wide = 1
    while wide * wide < size:
        wide += 1
    for i in range(size):
        if (i + 1) % wide and i + 1 < size:
            yield i, i + 1
        if i + wide < size:
            yield i, i + wide


_MADE: Final[dict[str, Callable[[int], Iterable[Edge]]]] = {
    "sierpinski9": _nine,
    "sierpinski": _sierpinski,
    "grid": _grid,
    "ring": _ring,
    "full": _full,
}
