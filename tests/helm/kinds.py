"""Whether an object is what its kind allows, by the schemas of those who define it: no field more, and none of another type.

Kubernetes' own kinds are known to the package kubernetes-validate; the others by their CustomResourceDefinitions, which
scripts/tools/strict_kinds.py fetches, and so are Compose files. What a schema cannot say (CEL rules, references to other
objects) only the API server knows: tests/e2e/helm asks it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

Schema = dict[str, Any]


def objections(document: Mapping[str, Any], kubernetes: str, others: Path) -> list[str]:
    """What is wrong with an object, by field. `kubernetes`: a release such as 1.34.0; `others`: folder of definitions."""
    version, kind = str(document.get("apiVersion")), str(document.get("kind"))
    judge = defined(others, version, kind) or built_in(kubernetes, version, kind)
    if judge is None:
        return [f"nobody knows {kind} of {version}"]
    return sorted(said(each) for each in judge.iter_errors(document))


def compose_objections(document: Mapping[str, Any], others: Path) -> list[str]:
    """What is wrong with a Compose file, by field."""
    judge = Draft202012Validator(json.loads((others / "compose-spec.json").read_text()))
    return sorted(said(each) for each in judge.iter_errors(document))


def said(error: ValidationError) -> str:
    return f"{error.json_path}: {error.message[:300]}"


@functools.cache
def built_in(release: str, version: str, kind: str) -> Validator | None:
    """For a kind of Kubernetes itself; None: it is none."""
    group, _, number = version.rpartition("/")
    name = f"{kind.lower()}-{group.split('.')[0]}-{number}" if group else f"{kind.lower()}-{number}"
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{release}-local-strict"
    assert folder.is_dir(), f"kubernetes-validate knows no Kubernetes {release}"
    if not (folder / f"{name}.json").is_file():
        return None
    schema = json.loads((folder / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=definitions(release))


@functools.cache
def definitions(release: str) -> Registry[Schema]:
    """What all kinds of a release share."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{release}-local-strict"
    shared: Resource[Schema] = Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    return shared @ Registry()


@functools.cache
def defined(folder: Path, version: str, kind: str) -> Validator | None:
    """For a kind of which the folder has a definition."""
    schema = dict(definitions_in(folder)).get((version, kind))
    return Draft202012Validator(closed(schema)) if schema else None


@functools.cache
def definitions_in(folder: Path) -> tuple[tuple[tuple[str, str], Schema], ...]:
    """((apiVersion, kind), schema) of all that the definitions serve."""
    return tuple(_served(folder))


def _served(folder: Path) -> Iterator[tuple[tuple[str, str], Schema]]:
    for file in sorted(folder.glob("*.yaml")):
        spec = definition(file)["spec"]
        for each in spec["versions"]:
            schema = each["schema"]["openAPIV3Schema"]
            yield (f"{spec['group']}/{each['name']}", spec["names"]["kind"]), schema


def definition(file: Path) -> dict[str, Any]:
    """A CustomResourceDefinition. A bare = in a list is text, which YAML 1.1 takes for a sign of its own."""
    text = re.sub(r"(?m)^( +)(-?) ?=$", r"\1\2 '='", file.read_text())
    return dict(yaml.load(text, yaml.CSafeLoader))


def closed(schema: Any) -> Any:
    """A structural schema as the API server takes it with strict field validation: what is not named is refused."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _inner(key, value) for key, value in schema.items()}
    open_to_all = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if schema.get("type") == "object" and "properties" in schema and not open_to_all:
        found.setdefault("additionalProperties", False)
    if schema.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    return found


def _inner(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: closed(each) for name, each in value.items()}
    # Under anyOf and the like stand conditions on an object that is closed already, not objects of their own.
    return closed(value) if key in {"items", "additionalProperties"} else value
