"""A pattern as the text of a Python function, and the function. Pure.

The text holds operators that `patterns` knows and variables numbered here, and nothing else of a rule's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.fleet.egraph import EGraph, Node
from controller.fleet.patterns import Pattern, Shape, Variable

Binding = tuple[int, ...]
"""The class that matched, then what each variable stands for."""
Places = Sequence[tuple[int, Node]]
"""Classes with one node of each to try."""
Find = Callable[[EGraph, Places, int], list[Binding]]
Use = Callable[[EGraph, Sequence[Binding], int], bool]


def compiled_find(source: Shape, variables: Sequence[str]) -> Find:
    """A function that gives every place where the pattern matches, so many at most."""
    text = _Text(_names(variables))
    text.put(0, "def made(graph, places, most):")
    text.put(1, "nodes, found = graph.nodes, []")
    text.put(1, "for root, n0 in places:")
    text.put(2, "if len(found) >= most: break")
    _match(text, source)
    text.put(1, "return found")
    find: Find = text.function()
    return find


def compiled_use(target: Pattern, variables: Sequence[str]) -> Use:
    """A function that says of every binding that what matched equals the target there, until there are more nodes than allowed;
    whether there are.
    """
    text = _Text(_names(variables))
    text.put(0, "def made(graph, found, most):")
    text.put(1, "table, parent, find = graph.table, graph.parent, graph.find")
    text.put(1, "add, join, unite = graph.add, graph.join, graph.unite")
    text.put(1, f"for root, {', '.join([*text.names.values(), ''])}in found:")
    if isinstance(target, Variable):
        whole = _make(text, target)
        text.put(2, f"if {whole} != root: unite(root, {whole})")
    else:
        whole = text.fresh("c")
        place = _place(text, target)
        text.put(2, f"{whole} = table.get(({place}))")
        text.put(2, f"if {whole} is None: join(root, {place})")
        text.put(2, f"elif {whole} != root: unite(root, {whole})")
    text.put(2, "if len(table) > most: return True")
    text.put(1, "return False")
    use: Use = text.function()
    return use


def _names(variables: Sequence[str]) -> dict[str, str]:
    return {name: f"v{i}" for i, name in enumerate(variables)}


@dataclass
class _Text:
    """Lines of the function, one blank for each level."""

    names: Mapping[str, str]
    """Of a rule's variables: those in the text."""
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def put(self, level: int, line: str) -> None:
        self.lines.append(" " * level + line)

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def function(self) -> Any:
        space: dict[str, Any] = {}
        code = compile("\n".join(self.lines), "<a rule of the fleet>", "exec")
        exec(code, space)  # noqa: S102  made of checked operators and numbered names; no text of a rule's file is in it
        return space["made"]


def _match(text: _Text, source: Shape) -> None:
    """Nested loops over the nodes of classes, and a test for whatever must be the same."""
    bound: set[str] = set()
    todo: list[tuple[Shape, str]] = [(source, "n0")]
    level = 2
    while todo:
        shape, node = todo.pop(0)
        text.put(level, f"if {node}[0] != {shape.operator!r}: continue")
        taken = [(variable, f"{node}[1][{i}]") for i, variable in enumerate(shape.parameters)]
        taken += [(part, f"{node}[2][{i}]") for i, part in enumerate(shape.children) if isinstance(part, Variable)]
        for variable, value in taken:
            mine = text.names[variable.name]
            text.put(level, f"if {value} != {mine}: continue" if variable.name in bound else f"{mine} = {value}")
            bound.add(variable.name)
        for i, child in enumerate(shape.children):
            if isinstance(child, Shape):
                inner = text.fresh("n")
                text.put(level, f"for {inner} in nodes[{node}[2][{i}]]:")
                level += 1
                text.put(level, f"if {inner}[0] != {child.operator!r}: continue")
                todo.append((child, inner))
    text.put(level, f"found.append((root, {', '.join([*text.names.values(), ''])}))")


def _make(text: _Text, target: Pattern) -> str:
    """The lines that look a target up, or put it in; the name of its class. One that colours refuse ends the turn."""
    if isinstance(target, Variable):
        mine = text.names[target.name]
        text.put(2, f"if parent[{mine}] != {mine}: {mine} = find({mine})")
        return mine
    place = _place(text, target)
    made = text.fresh("c")
    text.put(2, f"{made} = table.get(({place}))")
    text.put(2, f"if {made} is None:")
    text.put(3, f"{made} = add({place})")
    text.put(3, f"if {made} is None: continue")
    text.put(2, f"elif parent[{made}] != {made}: {made} = find({made})")
    return made


def _place(text: _Text, target: Shape) -> str:
    """The parts of a node, as text; the lines before it look up its children, or put them in."""
    children = "".join(f"{_make(text, child)}, " for child in target.children)
    values = "".join(f"{text.names[variable.name]}, " for variable in target.parameters)
    return f"{target.operator!r}, ({values}), ({children})"
