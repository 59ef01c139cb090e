"""Extraction: the cheapest program of a class. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.fleet.egraph import OPAQUE, EGraph, Node
from controller.fleet.saturate import Ended, Saturated
from controller.fleet.terms import Operator, Term, built


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """Compared from the first to the last."""

    restarts: float = 0.0
    offline_minutes: float = 0.0
    steps: int = 0
    size: int = 0
    """Operators: of two equal programs the shorter text, so that nothing stands in itself."""
    lean: int = 0
    """Operators to the left of a sequence: of all bracketings the one to the right."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.restarts + other.restarts,
            self.offline_minutes + other.offline_minutes,
            self.steps + other.steps,
            self.size + other.size,
            self.lean + other.lean,
        )


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
    return _Search(saturated.graph, price, {part.id: part for part in of.walk()}).best(number)


@dataclass(slots=True)
class _Found:
    cost: Cost
    node: Node
    term: Term | None = None


class _Search:
    """Costs from the leaves up until none falls any more; a term is made only where it is needed, or to decide a tie."""

    def __init__(self, graph: EGraph, price: Price, known: dict[str, Term]) -> None:
        self._graph, self._price, self._known = graph, price, known
        self._found: dict[int, _Found] = {}

    def best(self, number: int) -> Term:
        todo = self._below(number)
        falling = True
        while falling:
            falling = False
            for one in todo:
                falling |= self._improve(one)
        return self._term(number)

    def _below(self, number: int) -> list[int]:
        """The classes that it may be made of, deepest last found first."""
        seen = {number: None}
        stack = [number]
        while stack:
            for node in self._graph.nodes[stack.pop()]:
                for child in node[2]:
                    if child not in seen:
                        seen[child] = None
                        stack.append(child)
        return list(reversed(seen))

    def _improve(self, number: int) -> bool:
        improved = False
        for node in self._graph.nodes[number]:
            cost = self._cost(node)
            if cost is None:
                continue
            known = self._found.get(number)
            if (
                known is None
                or cost < known.cost
                or (cost == known.cost and node != known.node and self._first(node, known))
            ):
                self._found[number] = _Found(cost, node)
                improved = True
        return improved

    def _first(self, node: Node, known: _Found) -> bool:
        """Whether of two equally cheap ones this has the smaller id."""
        known.term = known.term or self._built(known.node)
        return self._built(node).id < known.term.id

    def _cost(self, node: Node) -> Cost | None:
        operator, parameters, children = node
        if operator == OPAQUE:
            return Cost(size=1)
        total = Cost(size=1)
        for child in children:
            found = self._found.get(child)
            if found is None:
                return None
            total += found.cost
        if not children and operator != Operator.IDENTITY:
            restarts, minutes = self._price(Operator(operator), str(parameters[0]))
            total += Cost(restarts, minutes, int(operator != Operator.VERIFY))
        if operator in {Operator.SEQ, Operator.CHECKPOINT}:
            total += Cost(lean=self._found[children[0]].cost.size)
        return total

    def _term(self, number: int) -> Term:
        found = self._found[number]
        found.term = found.term or self._built(found.node)
        return found.term

    def _built(self, node: Node) -> Term:
        if node[0] == OPAQUE:
            return self._known[str(node[1][0])]
        return built(Operator(node[0]), node[1], tuple(self._term(child) for child in node[2]))
