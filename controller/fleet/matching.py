"""How rules find their places in an e-graph: each is compiled, pattern → rule → code, to one Python function. Pure.

`interpreted` finds the same by walking the pattern; a property test holds the two together. Compiled, a rule costs a few
hundred nanoseconds a node where walking costs microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.fleet.colours import Colour
from controller.fleet.egraph import EGraph, Node
from controller.fleet.patterns import Pattern, Shape, Variable, classes_in, depth, values_in
from controller.fleet.rules import Condition, Polarity, Rule

Binding = tuple[Any, ...]
"""The class that matched, then what each variable stands for, in the order of `Ready.variables`."""
Places = Sequence[tuple[int, Node]]
"""Classes with one node of each to try."""


@dataclass(frozen=True, slots=True)
class Ready:
    """One direction of a rule, ready to be used."""

    name: str
    source: Pattern
    target: Pattern
    polarity: Polarity
    conditions: tuple[Condition, ...]
    variables: tuple[str, ...]
    operator: str
    """Of the source."""
    deep: int
    """Levels that the source looks at."""
    find: Callable[[EGraph, Places, int], list[Binding]]
    """Where it matches, so many at most."""

    def holds(self, graph: EGraph, binding: Binding) -> bool:
        """Whether the conditions hold."""
        return all(_holds(graph, condition, self.variables, binding) for condition in self.conditions)

    def apply(self, graph: EGraph, binding: Binding) -> int | None:
        """The class of the target there; None where it would be ill-formed."""
        return _put(graph, self.target, dict(zip(self.variables, binding[1:], strict=True)))


def ready(rule: Rule) -> tuple[Ready, ...]:
    """The directions in which a rule is used: a symmetric one both ways, where its target says enough."""
    source, target = rule.source_pattern, rule.target_pattern
    made = [_ready(rule, source, target)]
    names = set(classes_in(source)) | set(values_in(source))
    back = set(classes_in(target)) | set(values_in(target))
    if rule.polarity is Polarity.SYMMETRIC and isinstance(target, Shape) and target.children and names <= back:
        made.append(_ready(rule, target, source))
    return tuple(made)


def _ready(rule: Rule, source: Pattern, target: Pattern) -> Ready:
    if isinstance(source, Variable):
        raise TypeError(f"rule {rule.name}: a variable alone matches everything")
    variables = tuple(dict.fromkeys([*classes_in(source), *values_in(source)]))
    return Ready(
        rule.name,
        source,
        target,
        rule.polarity,
        rule.checked,
        variables,
        source.operator,
        depth(source),
        _compiled(source, variables),
    )


# --- interpreted --------------------------------------------------------------------------------------------------------


def interpreted(source: Shape, variables: Sequence[str], graph: EGraph, places: Places) -> list[Binding]:
    """What the compiled function finds, by walking the pattern."""
    return [
        (number, *(bound[name] for name in variables))
        for number, node in places
        for bound in _walk(source, node, {}, graph)
    ]


def _walk(shape: Shape, node: Node, bound: Mapping[str, Any], graph: EGraph) -> Iterator[Mapping[str, Any]]:
    if node[0] != shape.operator:
        return
    taken = _bind(((variable.name, value) for variable, value in zip(shape.parameters, node[1], strict=True)), bound)
    if taken is not None:
        yield from _walk_children(tuple(zip(shape.children, node[2], strict=True)), taken, graph)


def _walk_children(
    pairs: tuple[tuple[Pattern, int], ...], bound: Mapping[str, Any], graph: EGraph
) -> Iterator[Mapping[str, Any]]:
    if not pairs:
        yield bound
        return
    (pattern, number), *rest = pairs
    if isinstance(pattern, Variable):
        if (taken := _bind([(pattern.name, number)], bound)) is not None:
            yield from _walk_children(tuple(rest), taken, graph)
        return
    for node in graph.nodes[number]:
        for taken in _walk(pattern, node, bound, graph):
            yield from _walk_children(tuple(rest), taken, graph)


def _bind(found: Iterable[tuple[str, Any]], bound: Mapping[str, Any]) -> Mapping[str, Any] | None:
    taken = dict(bound)
    for name, value in found:
        if taken.setdefault(name, value) != value:
            return None
    return taken


# --- compiled -----------------------------------------------------------------------------------------------------------


def _compiled(source: Shape, variables: Sequence[str]) -> Callable[[EGraph, Places, int], list[Binding]]:
    """The text of the function holds operators that `patterns` knows and names numbered here, and nothing of a rule's file."""
    names = {name: f"v{i}" for i, name in enumerate(variables)}
    lines = [
        "def find(graph, places, most):",
        " nodes, found = graph.nodes, []",
        " for root, n0 in places:",
        "  if len(found) >= most: break",
    ]
    _Writer(lines, names).open(source, "n0", 2)
    space: dict[str, Any] = {}
    code = compile("\n".join([*lines, " return found"]), "<a rule of the fleet>", "exec")
    exec(code, space)  # noqa: S102  made of checked operators and numbered names; no text of a rule's file is in it
    found: Callable[[EGraph, Places, int], list[Binding]] = space["find"]
    return found


@dataclass
class _Writer:
    """Writes nested loops and tests, one level of blanks each."""

    lines: list[str]
    names: Mapping[str, str]
    count: int = 0

    def open(self, source: Shape, node: str, level: int) -> None:
        bound: set[str] = set()
        todo: list[tuple[Shape, str]] = [(source, node)]
        while todo:
            shape, node = todo.pop(0)
            self._write(level, f"if {node}[0] != {shape.operator!r}: continue")
            for i, variable in enumerate(shape.parameters):
                self._bind(variable.name, f"{node}[1][{i}]", bound, level)
            for i, child in enumerate(shape.children):
                if isinstance(child, Variable):
                    self._bind(child.name, f"{node}[2][{i}]", bound, level)
            for i, child in enumerate(shape.children):
                if isinstance(child, Shape):
                    self.count += 1
                    inner = f"n{self.count}"
                    self._write(level, f"for {inner} in nodes[{node}[2][{i}]]:")
                    level += 1
                    self._write(level, f"if {inner}[0] != {child.operator!r}: continue")
                    todo.append((child, inner))
        values = "".join(f", {name}" for name in self.names.values())
        self._write(level, f"found.append((root{values},))" if not values else f"found.append((root{values}))")

    def _bind(self, name: str, value: str, bound: set[str], level: int) -> None:
        if name in bound:
            self._write(level, f"if {value} != {self.names[name]}: continue")
        else:
            self._write(level, f"{self.names[name]} = {value}")
            bound.add(name)

    def _write(self, level: int, text: str) -> None:
        self.lines.append(" " * level + text)


# --- conditions and targets ---------------------------------------------------------------------------------------------


def _holds(graph: EGraph, condition: Condition, variables: Sequence[str], binding: Binding) -> bool:
    classes = [graph.find(binding[1 + variables.index(name)]) for name in condition.variables]
    facts = [graph.facts[number] for number in classes]
    if condition.kind == "colour":
        seen = facts[0].colours
        found = not seen if condition.colour is Colour.GREEN else condition.colour in seen
        return found != condition.negated
    if condition.kind == "distinct":
        return classes[0] != classes[1]
    return facts[0].touches.isdisjoint(facts[1].touches)


_NOTHING: Final[tuple[int, ...]] = ()


def _put(graph: EGraph, target: Pattern, bound: Mapping[str, Any]) -> int | None:
    if isinstance(target, Variable):
        return graph.find(bound[target.name])
    children = _NOTHING
    for child in target.children:
        made = _put(graph, child, bound)
        if made is None:
            return None
        children = (*children, made)
    return graph.add(target.operator, tuple(bound[variable.name] for variable in target.parameters), children)
