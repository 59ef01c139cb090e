"""Rules, ready to be used on an e-graph: pattern → rule → code. Pure.

`interpreted` finds the same places as the code by walking the pattern; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.fleet.colours import Colour
from controller.fleet.compiling import Binding, Find, Places, Use, compiled_find, compiled_use
from controller.fleet.egraph import EGraph, Node
from controller.fleet.patterns import Pattern, Shape, Variable, classes_in, depth, values_in
from controller.fleet.rules import Condition, Polarity, Rule


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
    everywhere: bool
    """Whether what changed does not tell where it may match anew: conditions look at whole classes, patterns of more than two
    levels further down than one can see from the top, and a class that must be the same twice may become so anywhere.
    """
    find: Find
    """Where it matches, so many at most."""
    use: Use
    """Says at such places that they equal the target, until there are more nodes than allowed; whether there are."""

    def holds(self, graph: EGraph, binding: Binding) -> bool:
        """Whether the conditions hold."""
        return all(_holds(graph, condition, self.variables, binding) for condition in self.conditions)


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
        bool(rule.conditions) or depth(source) > 2 or len({*classes_in(source)}) < len([*classes_in(source)]),
        compiled_find(source, variables),
        compiled_use(target, variables),
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


# --- conditions ---------------------------------------------------------------------------------------------------------


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
