"""Saturation: rules are used until nothing new follows, within limits that are the same on every agent. Pure.

One round has four phases: Backfill (BLUE rules), Verify (GREEN rules), Live (RED rules), Reconcile (what became equal is
one, and RED and BLUE are kept apart). The result depends on the terms and equalities alone, not on the order in which
they came: everything is put in by id, and begun anew where a component of equal terms turns out to hold RED and BLUE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.fleet.compiling import Places
from controller.fleet.egraph import EGraph, Node
from controller.fleet.matching import Ready, ready
from controller.fleet.rules import Polarity, Rule
from controller.fleet.terms import Term

PHASES: Final = (Polarity.BACKWARD, Polarity.SYMMETRIC, Polarity.FORWARD)
"""Backfill, Verify, Live; Reconcile follows each round."""


class Ended(StrEnum):
    """Why saturation ended."""

    FIXPOINT = "fixpoint"
    ITERATIONS = "iterations"
    NODES = "nodes"
    TIME = "time"
    """Nothing may be extracted: another agent may have come further."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The same on every agent, or they would extract different programs."""

    iterations: int = 30
    nodes: int = 20_000


@dataclass(frozen=True, slots=True)
class Saturated:
    """What follows from terms, equalities and rules."""

    graph: EGraph
    ended: Ended
    rounds: int
    barred: tuple[str, ...]
    """Ids of the terms that are equal to none, because a component of equalities joined RED with BLUE; sorted."""
    refused: int
    """Nodes that rules wanted and colours do not allow."""

    @property
    def digest(self) -> str:
        """Of the classes: which of the terms are equal."""
        groups = sorted(",".join(ids) for ids in self.graph.members().values())
        return hashlib.sha256("\n".join(groups).encode()).hexdigest()


def compiled(rules: Iterable[Rule]) -> tuple[Ready, ...]:
    """Rules ready to be used, in the same order."""
    return tuple(one for rule in rules for one in ready(rule))


def saturate(
    terms: Iterable[Term],
    equalities: Iterable[tuple[Term, Term]],
    rules: Sequence[Ready],
    limits: Limits = Limits(),
    out_of_time: Callable[[], bool] = lambda: False,
) -> Saturated:
    """All that follows. `equalities` may come in any order and either way round."""
    wanted = sorted(set(terms))
    pairs = sorted({(min(pair), max(pair)) for pair in equalities})
    barred: frozenset[str] = frozenset()
    while True:
        graph = EGraph()
        for term in wanted:
            graph.put(term, barred)
        for one, other in pairs:
            numbers = graph.put(one, barred), graph.put(other, barred)
            if barred.isdisjoint((one.id, other.id)):
                graph.unite(*numbers)
        graph.rebuild()
        ended, rounds = _run(graph, rules, limits, out_of_time)
        torn = frozenset(graph.torn())
        if not torn or ended is Ended.TIME:
            return Saturated(graph, ended, rounds, tuple(sorted(barred | torn)), graph.refused)
        barred |= torn


def _run(graph: EGraph, rules: Sequence[Ready], limits: Limits, out_of_time: Callable[[], bool]) -> tuple[Ended, int]:
    looked = dict.fromkeys(range(len(rules)), -1)
    places = _Places(graph)
    for done in range(limits.iterations):
        before = graph.clock
        for polarity in PHASES:
            for number, rule in enumerate(rules):
                if rule.polarity is not polarity:
                    continue
                if out_of_time():
                    return Ended.TIME, done
                looked[number], full = _use(graph, rule, places.of(rule, looked[number]), limits.nodes)
                if full:
                    return Ended.NODES, done
            graph.rebuild()
        if graph.clock == before:
            return Ended.FIXPOINT, done
    return Ended.ITERATIONS, limits.iterations


def _use(graph: EGraph, rule: Ready, places: Places, most: int) -> tuple[int, bool]:
    """Use a rule at these places; the clock as it was before, and whether the graph is full. It is full, too, where a rule finds
    more places than there may be nodes: most of them would make one.
    """
    now = graph.clock
    found = rule.find(graph, places, most)
    wanted = [binding for binding in found if rule.holds(graph, binding)] if rule.conditions else found
    full = rule.use(graph, wanted, most)
    graph.rebuild()
    return now, full or len(found) >= most


class _Places:
    """Where rules look: the nodes by operator, listed anew only where something changed."""

    def __init__(self, graph: EGraph) -> None:
        self._graph = graph
        self._clock = -1
        self._by: dict[str, list[tuple[int, Node]]] = {}
        self._newest: dict[str, list[int]] = {}
        """Of each such node the clock when it came, or a class of its children last changed, whichever is later."""

    def of(self, rule: Ready, since: int) -> Places:
        """Nodes with the rule's operator at which it may find something new."""
        if self._clock != self._graph.clock:
            self._list()
        places = self._by.get(rule.operator, [])
        if rule.everywhere or since < 0:
            return places
        return [place for place, at in zip(places, self._newest.get(rule.operator, ()), strict=True) if at > since]

    def _list(self) -> None:
        self._clock = self._graph.clock
        self._by, self._newest = {}, {}
        changed = self._graph.changed
        for number, parent in enumerate(self._graph.parent):
            if number != parent:
                continue
            for node, came in self._graph.nodes[number].items():
                operator = node[0]
                if operator not in self._by:
                    self._by[operator], self._newest[operator] = [], []
                self._by[operator].append((number, node))
                self._newest[operator].append(max([came, *(changed[child] for child in node[2])]))
