"""Patterns of rules: `seq(grow(?w, ?r, ?a, ?b), ?rest)`. Text -> a checked tree. Pure.

A variable begins with a question mark. In the place of a child it stands for a class, in that of a parameter for a value;
the same name twice means the same. `par` has no order and any number of members, so no pattern opens it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CHILDREN: Final = {"seq": 2, "checkpoint": 2, "grow": 0, "shrink": 0, "verify": 0, "identity": 0}
PARAMETERS: Final = {"seq": 0, "checkpoint": 0, "grow": 4, "shrink": 4, "verify": 1, "identity": 0}
_TOKEN: Final = re.compile(r"\s*(?:(?P<variable>\?[a-z][a-z0-9_]{0,30})|(?P<name>[a-z]+)|(?P<mark>[(),]))")
_DEEPEST: Final = 8


class NoPattern(ValueError):
    """The text is no pattern; `str()` says where and what would be right."""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    """Without its question mark."""

    def __str__(self) -> str:
        return f"?{self.name}"


@dataclass(frozen=True, slots=True)
class Shape:
    """An operator with what stands in it."""

    operator: str
    parameters: tuple[Variable, ...] = ()
    children: tuple[Pattern, ...] = ()

    def __str__(self) -> str:
        inner = [*map(str, self.parameters), *map(str, self.children)]
        return f"{self.operator}({', '.join(inner)})" if inner else self.operator


Pattern = Variable | Shape


def parse_pattern(text: str) -> Pattern:
    """Raises NoPattern."""
    tokens = _tokens(text)
    pattern = _pattern(tokens, text, 0)
    if tokens:
        raise NoPattern(f"{text!r}: nothing may follow the pattern, but {tokens[0]!r} does")
    return pattern


def depth(pattern: Pattern) -> int:
    """Levels of operators: 0 for a variable."""
    return 0 if isinstance(pattern, Variable) else 1 + max(map(depth, pattern.children), default=0)


def classes_in(pattern: Pattern) -> Iterator[str]:
    """Names of the variables that stand for classes, in the order in which they come, again and again."""
    if isinstance(pattern, Variable):
        yield pattern.name
    else:
        for child in pattern.children:
            yield from classes_in(child)


def values_in(pattern: Pattern) -> Iterator[str]:
    """Names of the variables that stand for parameters."""
    if isinstance(pattern, Shape):
        yield from (variable.name for variable in pattern.parameters)
        for child in pattern.children:
            yield from values_in(child)


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NoPattern(f"{text!r}: {text[at:].strip()[:20]!r} is neither an operator nor a variable such as ?p")
        found.append(match.group().strip())
        at = match.end()
    return found


def _pattern(tokens: list[str], text: str, level: int) -> Pattern:
    if level > _DEEPEST:
        raise NoPattern(f"{text!r}: is nested deeper than {_DEEPEST} levels")
    if not tokens:
        raise NoPattern(f"{text!r}: ends where an operator or a variable such as ?p should stand")
    head = tokens.pop(0)
    if head.startswith("?"):
        return Variable(head[1:])
    if head not in CHILDREN:
        raise NoPattern(f"{text!r}: there is no operator {head!r} in patterns; there are {', '.join(CHILDREN)}")
    inner = _inner(tokens, text, level) if tokens[:1] == ["("] else []
    wanted = PARAMETERS[head] or CHILDREN[head]
    if len(inner) != wanted:
        raise NoPattern(f"{text!r}: {head} takes {wanted} of what stands in brackets, not {len(inner)}")
    if not PARAMETERS[head]:
        return Shape(head, (), tuple(inner))
    named = tuple(part for part in inner if isinstance(part, Variable))
    if len(named) != wanted:
        raise NoPattern(f"{text!r}: in {head} stand variables only, such as ?w")
    return Shape(head, named)


def _inner(tokens: list[str], text: str, level: int) -> list[Pattern]:
    """What stands in brackets."""
    tokens.pop(0)
    found: list[Pattern] = []
    while True:
        found.append(_pattern(tokens, text, level + 1))
        mark = tokens.pop(0) if tokens else ""
        if mark == ")":
            return found
        if mark != ",":
            raise NoPattern(f"{text!r}: after {found[-1]} should come a comma or a bracket, not {mark or 'the end'!r}")
