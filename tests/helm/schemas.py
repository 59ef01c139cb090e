"""values.schema.json as a list of places: every block, every value, and what would be wrong there."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from jsonschema.validators import validator_for

from tests.helm.charts import CHART, merged

Schema = Mapping[str, Any]
ANY, ITEM = "*", "[]"
"""In a path: any key of a map, and any item of a list."""
NAME = "some-name"
WRONG: tuple[Any, ...] = ("no such thing", 1234567.5, True, ["no such thing"], {"noSuchThing": ["no such thing"]})


@dataclass(frozen=True)
class Place:
    """A place in the values and its schema."""

    path: tuple[str, ...]
    schema: Schema

    def __str__(self) -> str:
        return ".".join(self.path)

    @property
    def is_block(self) -> bool:
        return self.schema.get("additionalProperties") is False

    @property
    def is_leaf(self) -> bool:
        return bool({"type", "enum", "const", "anyOf", "oneOf"} & set(self.schema)) and "properties" not in self.schema

    def values(self, value: Any) -> dict[str, Any]:
        """Values that say nothing but this, at this place."""
        for key in reversed(self.path):
            value = [value] if key == ITEM else {NAME if key == ANY else key: value}
        return dict(value)


def schema() -> dict[str, Any]:
    file = CHART / "values.schema.json"
    return json.loads(file.read_text()) if file.exists() else {}


@functools.cache
def places() -> tuple[Place, ...]:
    """Every place that the schema describes, each path once for each of its alternatives."""
    whole = schema()
    return tuple(_walk(whole, whole, (), ()))


def _walk(whole: Schema, part: Schema, path: tuple[str, ...], way: tuple[str, ...]) -> Iterator[Place]:
    while "$ref" in part:
        name = str(part["$ref"])
        if name in way:
            return  # a shape within itself
        way = (*way, name)
        part = _found(whole, name) | {key: value for key, value in part.items() if key != "$ref"}
    yield Place(path, part)
    for key, inner in (part.get("properties") or {}).items():
        yield from _walk(whole, inner, (*path, key), way)
    for word, key in (("additionalProperties", ANY), ("items", ITEM)):
        if isinstance(part.get(word), dict):
            yield from _walk(whole, part[word], (*path, key), way)
    for word in ("anyOf", "oneOf", "allOf"):
        for inner in part.get(word) or ():
            yield from _walk(whole, inner, path, way)


def _found(whole: Schema, ref: str) -> dict[str, Any]:
    found: Any = whole
    for key in ref.removeprefix("#/").split("/"):
        found = found[key.replace("~1", "/").replace("~0", "~")]
    return dict(found)


@functools.cache
def judge() -> Any:
    whole = schema()
    return validator_for(whole)(whole)


@functools.cache
def defaults() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text()))


def objections(values: Mapping[str, Any]) -> list[str]:
    """What the schema says about values on top of the defaults, as "path: words", in all alternatives."""
    return [said for error in judge().iter_errors(_without_null(merged(defaults(), values))) for said in _said(error)]


def _without_null(value: Any) -> Any:
    """As Helm does: null takes a default away before the schema is asked."""
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return value


def _said(error: Any) -> Iterator[str]:
    yield f"{'.'.join(str(key) for key in error.absolute_path)}: {error.message}"
    for inner in error.context or ():
        yield from _said(inner)


def takes(part: Schema, value: Any) -> bool:
    """Whether a place takes a value."""
    whole = schema()
    kind = validator_for(whole)
    return bool(kind({**{key: whole[key] for key in ("$defs", "definitions") if key in whole}, **part}).is_valid(value))


def wrong(part: Schema) -> list[Any]:
    """Values of a type that the place does not take."""
    return [value for value in WRONG if not takes(part, value)]
