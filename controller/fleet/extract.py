"""Extraction: the cheapest program of a class. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.fleet.egraph import OPAQUE, EGraph, Node
from controller.fleet.saturate import Ended, Saturated
from controller.fleet.terms import IllFormed, Operator, Term, built, together

Cost = tuple[float, float, int, int, int]
"""Restarts, minutes offline, steps; then operators (of two equal programs the shorter text, so that nothing stands in itself),
and operators to the left of a sequence (of all bracketings the one to the right). Compared from the first to the last.
"""
Price = Callable[[Operator, str], tuple[float, float]]
"""What a grow, shrink or verify of a workload costs: (restarts, minutes offline)."""


class NoExtraction(RuntimeError):
    """Time ended before saturation did; another agent could extract another program, so none is."""


def extract(saturated: Saturated, of: Term, price: Price) -> Term:
    """The cheapest program that equals this one; of several the one with the least id. Raises NoExtraction, and KeyError for a
    term that was not put in.
    """
    if saturated.ended is Ended.TIME:
        raise NoExtraction("saturation ran out of time")
    number = saturated.graph.class_of(of)
    if number is None:
        raise KeyError(of.id)
    if of.id in saturated.barred:
        return of
    try:
        return _Search(saturated.graph, price).best(number)
    except IllFormed:  # somebody said that programs are equal which touch different things: what was asked for stands
        return of


class _Search:
    """The cheapest class first, as in Knuth, A generalization of Dijkstra's algorithm (1977): a program costs more than any part
    of it, so what comes out first is final. A term is made only where it is needed, or to decide a tie.
    """

    def __init__(self, graph: EGraph, price: Price) -> None:
        self._graph, self._price = graph, price
        self._cost: dict[int, Cost] = {}
        """Of the classes that are final."""
        self._node: dict[int, Node] = {}
        self._term: dict[int, Term] = {}

    def best(self, number: int) -> Term:
        uses, open_parts = self._below(number)
        ready = [(self._of(node), at, node) for node, at in open_parts.leaves]
        offers: dict[int, list[tuple[Cost, Node]]] = {}
        for cost, at, node in ready:
            offers.setdefault(at, []).append((cost, node))
        queue = [(cost, at) for cost, at, _ in ready]
        heapq.heapify(queue)
        while queue and number not in self._cost:
            cost, at = heapq.heappop(queue)
            if at in self._cost:
                continue
            self._cost[at] = cost
            self._node[at] = self._least([node for offered, node in offers.pop(at) if offered == cost])
            for node, owner in uses.get(at, ()):
                open_parts.waiting[node] -= 1
                if not open_parts.waiting[node] and owner not in self._cost:
                    offers.setdefault(owner, []).append((self._of(node), node))
                    heapq.heappush(queue, (offers[owner][-1][0], owner))
        return self._made(number)

    def _below(self, number: int) -> tuple[dict[int, list[tuple[Node, int]]], _Open]:
        """Of each class that it may be made of, the nodes that use it, with their classes."""
        uses: dict[int, list[tuple[Node, int]]] = {}
        parts = _Open({}, [])
        seen, stack = {number}, [number]
        while stack:
            at = stack.pop()
            for node in self._graph.nodes[at]:
                children = set(node[2])
                parts.waiting[node] = len(children)
                if not children:
                    parts.leaves.append((node, at))
                for child in children:
                    uses.setdefault(child, []).append((node, at))
                stack.extend(children - seen)
                seen |= children
        return uses, parts

    def _of(self, node: Node) -> Cost:
        """What a node costs whose children are final."""
        operator, parameters, children = node
        if operator == OPAQUE:
            return self._of_term(self._graph.opaque[str(parameters[0])])
        return self._sum(node, [self._cost[child] for child in children])

    def _sum(self, node: Node, parts: Sequence[Cost]) -> Cost:
        operator, parameters, children = node
        restarts, minutes, steps, size, lean = 0.0, 0.0, 0, 1, 0
        for more in parts:
            restarts, minutes, steps = restarts + more[0], minutes + more[1], steps + more[2]
            size, lean = size + more[3], lean + more[4]
        if not children and operator != Operator.IDENTITY:
            restarts, minutes = self._price(Operator(operator), str(parameters[0]))
            steps = int(operator != Operator.VERIFY)
        if operator in {Operator.SEQ, Operator.CHECKPOINT}:
            lean += parts[0][3]
        return restarts, minutes, steps, size, lean

    def _of_term(self, term: Term) -> Cost:
        """What a term costs that nothing is equal to, and that is taken as it stands."""
        costs: dict[str, Cost] = {}
        for part in term.walk():
            node: Node = (part.operator.value, part.parameters, tuple(range(len(part.children))))
            costs[part.id] = self._sum(node, [costs[child.id] for child in part.children])
        return costs[term.id]

    def _least(self, nodes: list[Node]) -> Node:
        """Of equally cheap ones the one whose term has the least id."""
        return nodes[0] if len(nodes) == 1 else min(nodes, key=lambda node: self._built(node).id)

    def _made(self, number: int) -> Term:
        if number not in self._term:
            self._term[number] = self._built(self._node[number])
        return self._term[number]

    def _built(self, node: Node) -> Term:
        if node[0] == OPAQUE:
            return self._graph.opaque[str(node[1][0])]
        children = tuple(self._made(child) for child in node[2])
        return together(children) if node[0] == Operator.PAR else built(Operator(node[0]), node[1], children)


@dataclass(frozen=True, slots=True)
class _Open:
    """Nodes whose children are not all final."""

    waiting: dict[Node, int]
    """How many children each waits for."""
    leaves: list[tuple[Node, int]]
    """Those that wait for none, with their classes."""
