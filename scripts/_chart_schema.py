"""values.schema.json: a schema for every value of the chart, closed wherever the block is the chart's own. Pure.

Types come from the defaults and from _chart_shapes.py; manifests, parameters of rules and receivers from where they are
defined: controller/policy.py, exporters/nodes.py, exporters/settings.py, prometheus/parameters.yaml, alertmanager/alertmanager.yml.
It is written as JSON Schema draft 7, which all versions of Helm read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from _chart_shapes import ANNOTATIONS, ANYTHING, BY_LAST_KEY, BY_PATH, TEXTS, Schema, choice, closed, text
from _chart_values import Value
from rules import LABELS, SELECTOR

_LIKE_OFF: Final = "A bare Off arrives as false, and is taken for the word."
_PROMETHEUS_DURATION: Final = r"(?:[0-9]+y)?(?:[0-9]+w)?(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?"
_NAME: Final = "^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"


def schema_of(
    values: Iterable[Value], kinds: Mapping[str, Schema], parameters: Mapping[str, Any], receivers: Iterable[str]
) -> Schema:
    """The whole schema. `kinds`: the JSON Schema of each kind of manifest, as `orcha schema` prints it."""
    definitions: dict[str, Schema] = {}
    shapes = BY_PATH | {
        "manifests.nodes": _named(_manifest(kinds["Node"], "Node", definitions)),
        "manifests.policies": _named(_or_none(_manifest(kinds["AllocationPolicy"], "AllocationPolicy", definitions))),
        "manifests.settings": _spec(kinds["Settings"], "Settings", definitions),
        **_fleet(kinds["Fleet"], definitions),
        "prometheusRule.parameters": closed(
            (), **{key: _parameter(key) for key in parameters if key != "disabledAlerts"}
        ),
        "alertmanagerConfig.receivers": closed((), **dict.fromkeys(receivers, ANYTHING)),
    }
    whole: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart orcha",
        **_block(list(values), (), shapes),
    }
    return {**whole, "definitions": dict(sorted(definitions.items()))}


def _block(values: list[Value], path: tuple[str, ...], shapes: Mapping[str, Schema]) -> Schema:
    """The schema of a block and of all that is in it."""
    properties: dict[str, Schema] = {}
    for value in values:
        if value.path[:-1] == path:
            known = shapes.get(value.name) or BY_LAST_KEY.get(value.path[-1])
            shape = _block(values, value.path, shapes) if value.block and not known else known or _typed(value.default)
            properties[value.path[-1]] = {"description": value.meaning, **shape}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _typed(default: Any) -> Schema:
    """What a default tells. Raises TypeError for one that tells too little."""
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(default, str):
        return {"type": "string"}
    raise TypeError(f"the default {default!r} does not tell a type; say it in scripts/_chart_shapes.py")


def _named(item: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": item}


def _or_none(shape: Schema) -> Schema:
    """Null takes away what the chart comes with."""
    return {**shape, "type": [shape["type"], "null"]}


def _manifest(kind: Schema, name: str, definitions: dict[str, Schema]) -> Schema:
    """{labels, annotations, spec} of one manifest; apiVersion, kind and name are the chart's to write."""
    return closed((), labels=TEXTS, annotations=ANNOTATIONS, spec=_spec(kind, name, definitions))


def _spec(kind: Schema, name: str, definitions: dict[str, Schema]) -> Schema:
    definitions |= {f"{name}.{key}": _plain(part, name) for key, part in kind["$defs"].items() if key != "Metadata"}
    found: Schema = _plain(kind["properties"]["spec"], name)
    return found


def _fleet(kind: Schema, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Those values that are fields of the manifest; relays are named by the chart, files of NATS follow from a Secret."""
    _spec(kind, "Fleet", definitions)
    spec = definitions["Fleet.FleetSpec"]["properties"]
    servers = definitions["Fleet.Nats"]["properties"]["servers"]
    same = ("topology", "heartbeat", "timeout", "sync", "limits", "irreversibleAtOnce")
    # a Fleet has a site and servers; a chart without a fleet has neither
    given = {
        "sites": spec["sites"],
        "relays.elsewhere": spec["relays"],
        "nats.servers": servers,
        **{name: spec[name] for name in same},
    }
    dropped = {"description", "minItems"}
    return {
        f"fleet.{name}": {key: value for key, value in shape.items() if key not in dropped}
        for name, shape in given.items()
    }


def _plain(part: Any, kind: str) -> Any:
    """A schema of pydantic's in the words of draft 7, without what Helm does not need; maps with patterned keys are closed."""
    if isinstance(part, list):
        return [_plain(each, kind) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _inner(key, value, kind) for key, value in part.items() if key not in {"default", "title"}}
    if "anyOf" in found:
        found |= _either(found.pop("anyOf"))
    if "$ref" in found:
        return {"$ref": str(found["$ref"]).replace("#/$defs/", f"#/definitions/{kind}.")}
    if "patternProperties" in found:
        found["additionalProperties"] = False
    if "Off" in found.get("enum", ()) and False not in found["enum"]:
        found = {"description": f"{found.get('description', '')} {_LIKE_OFF}".strip(), **choice(*found["enum"], False)}
    if "description" in found:
        found["description"] = " ".join(str(found["description"]).split())
    return found


def _inner(key: str, value: Any, kind: str) -> Any:
    """What is below a key; names of properties are no words of the schema."""
    if key in {"properties", "patternProperties"}:
        return {name: _plain(each, kind) for name, each in value.items()}
    return _plain(value, kind)


def _either(parts: list[Schema]) -> Schema:
    """Alternatives, the shortest way. Helm drops what is null, so that nothing of it arrives."""
    rest = [part for part in parts if part != {"type": "null"}]
    if len(rest) == 1:
        return rest[0]
    if all(set(part) == {"type"} for part in rest):
        return {"type": [part["type"] for part in rest]}
    return {"anyOf": rest}


def _parameter(name: str) -> Schema:
    """The shape of a parameter of the rules, which the end of its name tells (scripts/rules.py)."""
    if name.endswith("ObjectiveRatio"):
        return {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    if name.endswith("Ratio"):
        return {"type": "number", "minimum": 0, "maximum": 1}
    if name.endswith("Count"):
        return {"type": "integer", "minimum": 0}
    if name.endswith(("Seconds", "Usd", "UsdPerHour", "Data", "Tokens")):
        return {"type": "number", "minimum": 0}
    if name.endswith(("For", "Window", "Interval")):
        return text(_PROMETHEUS_DURATION, minLength=2)
    if name.endswith("Url"):
        return text(r"https?://[^\s{}\"'<>?#]*[^\s{}\"'<>?#/]")
    return text((SELECTOR if name.endswith("Selector") else LABELS).pattern)
