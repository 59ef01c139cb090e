"""JSON Schemas of the manifests, for editors: what the models take, in the shapes in which people write it. Pure.

What a schema refuses, orcha refuses too; what it cannot say (sums, references, other documents) `orcha validate` does. A number
or a word of truth in quotes is taken by both, for YAML writers put quotes around what they please.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from exporters.nodes import API_VERSION
from exporters.quantity import format_duration, parse_duration, parse_quantity

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import core_schema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_QUANTITY: Final[JsonSchemaValue] = {
    "type": ["string", "number"],
    "pattern": rf"^\s*{_NUMBER}(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?)\s*$",
    "minimum": 0,
}
_DURATION: Final[JsonSchemaValue] = {
    "type": "string",
    "pattern": r"^\s*(([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|m|h|d))+\s*$",
}
_READ_BY: Final = {parse_quantity: _QUANTITY, parse_duration: _DURATION}
_MOMENT: Final[JsonSchemaValue] = {"type": ["string", "number"], "format": "date-time"}
_TRUTH: Final = r"^\s*([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[YyNnTtFf01])\s*$"


class _AsWritten(GenerateJsonSchema):
    """Numbers, quantities, durations and times as YAML has them."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        read: Any = schema["function"]["function"]
        return dict(_READ_BY[read]) if read in _READ_BY else super().function_before_schema(schema)

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_quoted(super().float_schema(schema), rf"^\s*{_NUMBER}\s*$")

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_quoted(super().int_schema(schema), r"^\s*[+-]?[0-9]+(\.0*)?\s*$")

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_quoted(super().bool_schema(schema), _TRUTH)

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        del schema
        return dict(_MOMENT)


def _or_quoted(shape: JsonSchemaValue, pattern: str) -> JsonSchemaValue:
    return {**shape, "type": [shape["type"], "string"], "pattern": pattern}


def kind_schema(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one kind."""
    return {"$schema": DIALECT, "title": f"orcha {kind}", **_body(model)}


def manifest_schema(kinds: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The schema of a document of any kind: its `kind` says which one holds."""
    parts: dict[str, Any] = {}
    for kind, model in kinds.items():
        body = _body(model)
        parts.update(body.pop("$defs"))
        parts[kind] = body
    choices = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{kind}"},
        }
        for kind in sorted(kinds)
    ]
    return {
        "$schema": DIALECT,
        "title": "orcha manifest",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": sorted(kinds)}},
        "allOf": choices,
        "$defs": dict(sorted(parts.items())),
    }


def _body(model: type[BaseModel]) -> dict[str, Any]:
    body: dict[str, Any] = _told(model.model_json_schema(by_alias=True, mode="validation", schema_generator=_AsWritten))
    required = {*body.get("required", ()), "apiVersion", "kind"}  # what may be left out in code is written in a file
    return {**body, "required": sorted(required)}


def _told(schema: Any, *, names: bool = False) -> Any:
    """Without the titles that only repeat names, and with each default as its owner would write it. `names`: the keys of
    this mapping are somebody's names, no words of JSON Schema.
    """
    if isinstance(schema, list):
        return [_told(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {
        key: _told(value, names=key in {"properties", "$defs", "patternProperties"} and not names)
        for key, value in schema.items()
        if names or key not in {"title", "default"}
    }
    if not names and "patternProperties" in found:
        found["additionalProperties"] = False
    if not names and isinstance(found.get("description"), str):
        found["description"] = " ".join(found["description"].split())
    if not names and "default" in schema and (default := _default(schema)) is not None:
        found["default"] = default
    return found


def _default(schema: Mapping[str, Any]) -> Any:
    """None: none that is worth showing: of what holds others each says its own."""
    value = schema["default"]
    if isinstance(value, Mapping | list) and (isinstance(value, Mapping) or not value):
        return None
    if isinstance(value, float) and schema.get("pattern") == _DURATION["pattern"]:
        return format_duration(value)
    return value
