"""The chart's values.yaml as a list: every value with its path, its default and the comment above it. Pure.

What is written as a block of lines is a block of the chart; what is written in braces or brackets is one value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

GENERAL: Final = "General"
"""The section of values that are no block."""


class NotDescribed(Exception):
    """A value without a comment; `str()` says where."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value, or a block of them."""

    path: tuple[str, ...]
    default: Any
    meaning: str
    """The comment above it, as one paragraph."""
    block: bool
    """Whether it holds values that stand in the list as well."""

    @property
    def name(self) -> str:
        return ".".join(self.path)


def values_of(text: str) -> list[Value]:
    """Every value, in the order of the file, a block before what is in it. Raises NotDescribed."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise NotDescribed("values.yaml holds no values; write NAME: DEFAULT")
    return list(_walk(root, (), text.splitlines(), yaml.safe_load(text)))


def _walk(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str], data: Mapping[str, Any]) -> Iterator[Value]:
    for key, inner in node.value:
        here = (*path, str(key.value))
        default = data[key.value]
        block = isinstance(inner, yaml.MappingNode) and not inner.flow_style
        yield Value(here, default, _comment(lines, key.start_mark.line, ".".join(here)), block)
        if block:
            yield from _walk(inner, here, lines, default)


def _comment(lines: list[str], at: int, name: str) -> str:
    """The lines of comment directly above a line. Raises NotDescribed."""
    found: list[str] = []
    while at and (match := re.fullmatch(r"\s*# ?(.*)", lines[at - 1])):
        found.append(match[1].strip())
        at -= 1
    if not found:
        raise NotDescribed(f"values.yaml: {name} has no comment above it; say what it is for")
    return " ".join(reversed(found))


def table_of(values: list[Value]) -> str:
    """All values as Markdown: one section for each block at the top."""
    sections: dict[str, list[Value]] = {GENERAL: []}
    intro: dict[str, str] = {}
    for value in values:
        top = value.path[0]
        if len(value.path) == 1 and value.block:
            sections[top], intro[top] = [], value.meaning
        else:
            sections[top if top in intro else GENERAL].append(value)
    return "\n".join(_section(name, intro.get(name, ""), rows) for name, rows in sections.items())


def _section(name: str, intro: str, rows: list[Value]) -> str:
    head = f"### {name}\n\n" + (f"{_escaped(intro)}\n\n" if intro else "")
    return head + "| value | default | meaning |\n| --- | --- | --- |\n" + "".join(map(_row, rows))


def _row(value: Value) -> str:
    default = "" if value.block else f"`{_escaped(json.dumps(value.default, ensure_ascii=False))}`"
    return f"| `{value.name}` | {default} | {_escaped(value.meaning)} |\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")
