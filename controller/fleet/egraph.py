"""The e-graph: which programs are equal. Hash-consed nodes, union-find over classes, congruence closure by rebuild. Pure.

As in Willsey et al., egg: Fast and Extensible Equality Saturation (2021), with one thing more: a class never holds RED and
BLUE. Who would join them bars both from being united at all; that is found at the end and reported, so that it does not
depend on the order in which equalities came (saturate.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from controller.fleet.colours import Colour, colour_of, touching
from controller.fleet.terms import IllFormed, Operator, Parameter, Term, built

Node = tuple[str, tuple[Parameter, ...], tuple[int, ...]]
"""Operator, parameters, classes of the children."""
OPAQUE = "opaque"
"""The operator of a term that nothing may be united with; its parameter is the id."""


class Facts(NamedTuple):
    """What holds of every member of a class, or of some: sets only grow when classes are united."""

    colours: frozenset[Colour]
    """RED, BLUE or both: of its members that are so."""
    holds: frozenset[Colour]
    """Of the steps in its members."""
    entry: frozenset[Colour]
    exit: frozenset[Colour]
    touches: frozenset[str]

    def joined(self, other: Facts) -> Facts:
        """Of both together."""
        if self == other:
            return self
        return Facts(
            self.colours | other.colours,
            self.holds | other.holds,
            self.entry | other.entry,
            self.exit | other.exit,
            self.touches | other.touches,
        )

    @property
    def torn(self) -> bool:
        """Whether it holds RED and BLUE."""
        return len(self.colours) > 1


@dataclass(slots=True)
class EGraph:
    """Classes are numbers; `find` gives the one that stands for a class now."""

    facts: list[Facts] = field(default_factory=list)
    nodes: list[dict[Node, int]] = field(default_factory=list)
    """Of each class, in the order in which they came, with the clock when they did."""
    refused: int = 0
    """How often a rule wanted what RED and BLUE do not allow."""
    changed: list[int] = field(default_factory=list)
    """Of each class the clock when it last got a node."""
    clock: int = 0
    """Goes up with every change."""
    parent: list[int] = field(default_factory=list)
    """Of each class the one that it was united with, itself where it stands for itself."""
    table: dict[Node, int] = field(default_factory=dict)
    """Every node, once."""
    opaque: dict[str, Term] = field(default_factory=dict)
    """Terms that nothing may be united with, by id."""
    _uses: list[dict[Node, int]] = field(default_factory=list)
    """Of each class the nodes that have it as a child, and their classes."""
    _stale: list[int] = field(default_factory=list)
    """Classes whose parents wait for a rebuild."""
    _terms: dict[str, int] = field(default_factory=dict)
    """Id of a term that was put in -> its class."""

    def __len__(self) -> int:
        """Nodes."""
        return len(self.table)

    def find(self, number: int) -> int:
        parent = self.parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def classes(self) -> Iterator[int]:
        return (number for number, parent in enumerate(self.parent) if number == parent)

    def put(self, term: Term, barred: frozenset[str] = frozenset()) -> int:
        """The class of a term; it and what it is made of are put in. Barred ones are opaque: nothing is equal to them."""
        for part in term.walk():
            if part.id in self._terms:
                continue
            if part.id in barred:
                node: Node = (OPAQUE, (part.id,), ())
                self.opaque[part.id] = part
            else:
                node = (part.operator.value, part.parameters, self._children(part))
            self._terms[part.id] = self._insert(node, _facts_of(part))
        return self.find(self._terms[term.id])

    def _children(self, term: Term) -> tuple[int, ...]:
        found = (self.find(self._terms[child.id]) for child in term.children)
        return tuple(sorted(found)) if term.operator is Operator.PAR else tuple(found)

    def class_of(self, term: Term) -> int | None:
        """Of a term that was put in."""
        number = self._terms.get(term.id)
        return None if number is None else self.find(number)

    def members(self) -> dict[int, list[str]]:
        """Each class -> ids of the terms that were put in, sorted."""
        found: dict[int, list[str]] = defaultdict(list)
        for name in sorted(self._terms):
            found[self.find(self._terms[name])].append(name)
        return dict(found)

    def add(self, operator: str, parameters: tuple[Parameter, ...], children: tuple[int, ...]) -> int | None:
        """The class of a node that a rule makes; None where RED would touch BLUE, which is counted."""
        node = (operator, parameters, tuple(map(self.find, children)))
        if (known := self.table.get(node)) is not None:
            return self.find(known)
        facts = self._facts_of(node)
        return None if facts is None else self._insert(node, facts)

    def join(self, number: int, operator: str, parameters: tuple[Parameter, ...], children: tuple[int, ...]) -> None:
        """Say that a class has a node that a rule makes, as if that were added and united with it; nothing, where RED would touch
        BLUE, which is counted. The node is not known yet, and its children stand for themselves.
        """
        node = (operator, parameters, children)
        facts = self._facts_of(node)
        if facts is None:
            return
        number = self.find(number)
        self.clock += 1
        self.facts[number] = self.facts[number].joined(facts)
        self.nodes[number][node] = self.clock
        self.changed[number] = self.clock
        self._note(node, number)

    def _facts_of(self, node: Node) -> Facts | None:
        facts = self._joined(node[0], node[2]) if node[2] else _leaf(node[0], node[1])
        self.refused += facts is None
        return facts

    def _joined(self, operator: str, children: tuple[int, ...]) -> Facts | None:
        one, other = children
        first, second = self.facts[one], self.facts[other]
        if operator == Operator.SEQ and _touch(first.exit, second.entry):
            return None
        holds = first.holds | second.holds
        entry, leaving = first.entry or second.entry, second.exit or first.exit
        return Facts(_told(operator, holds), holds, entry, leaving, first.touches | second.touches)

    def _insert(self, node: Node, facts: Facts) -> int:
        if (known := self.table.get(node)) is not None:
            return self.find(known)
        number = len(self.parent)
        self.clock += 1
        self.parent.append(number)
        self.facts.append(facts)
        self.nodes.append({node: self.clock})
        self.changed.append(self.clock)
        self._uses.append({})
        self._note(node, number)
        return number

    def _note(self, node: Node, number: int) -> None:
        self.table[node] = number
        for child in node[2]:
            self._uses[child][node] = number

    def unite(self, one: int, other: int) -> bool:
        """Two classes are one from now on; whether they were two. `rebuild` before anything is looked up."""
        one, other = self.find(one), self.find(other)
        if one == other:
            return False
        if len(self._uses[one]) + len(self.nodes[one]) < len(self._uses[other]) + len(self.nodes[other]):
            one, other = other, one
        self.clock += 1
        self.parent[other] = one
        self.facts[one] = self.facts[one].joined(self.facts[other])
        self.nodes[one].update(self.nodes[other])
        self._uses[one].update(self._uses[other])
        self.nodes[other], self._uses[other] = {}, {}
        self.changed[one] = self.clock
        self._stale.append(one)
        return True

    def rebuild(self) -> None:
        """Congruence: nodes whose children became equal are equal."""
        while self._stale:
            todo = dict.fromkeys(map(self.find, self._stale))
            self._stale.clear()
            for number in todo:
                self._repair(self.find(number))

    def _repair(self, number: int) -> None:
        uses, self._uses[number] = self._uses[number], {}
        fresh: dict[Node, int] = {}
        for node, owner in uses.items():
            self.table.pop(node, None)
            renewed = self._renewed(node)
            home = self.find(owner)
            if (twin := fresh.get(renewed, self.table.get(renewed))) is not None:
                self.unite(home, twin)
                home = self.find(home)
            if renewed != node:
                self.nodes[home].pop(node, None)
                self.nodes[home].setdefault(renewed, self.clock)
                for child in node[2]:  # its other children know it by its new name, too
                    known = self._uses[self.find(child)]
                    if known.pop(node, None) is not None:
                        known[renewed] = home
            fresh[renewed] = self.table[renewed] = home
        number = self.find(number)
        self._uses[number].update(fresh)

    def _renewed(self, node: Node) -> Node:
        children = tuple(map(self.find, node[2]))
        return node[0], node[1], tuple(sorted(children)) if node[0] == Operator.PAR else children

    def torn(self) -> list[str]:
        """Ids of the terms put in whose class holds RED and BLUE, sorted."""
        return sorted(name for name, number in self._terms.items() if self.facts[self.find(number)].torn)


@cache  # there are eight sets of colours, and rules ask about them thousands of times
def _touch(leaving: frozenset[Colour], entering: frozenset[Colour]) -> bool:
    return touching(leaving, entering) is not None


@cache
def _told(operator: str, holds: frozenset[Colour]) -> frozenset[Colour]:
    """RED or BLUE, where a term that holds these is so."""
    return frozenset({colour_of(operator, holds)} - {Colour.GREEN})


def _facts_of(term: Term) -> Facts:
    told = frozenset({term.colour} - {Colour.GREEN})
    return Facts(told, term.holds, term.entry, term.exit, term.touches)


def _leaf(operator: str, parameters: tuple[Parameter, ...]) -> Facts | None:
    try:
        return _facts_of(built(Operator(operator), parameters, ()))
    except IllFormed:
        return None
