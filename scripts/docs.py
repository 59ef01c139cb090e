#!/usr/bin/env python3
"""Writes the pages that are generated from code: docs/manifests.md and docs/schemas/ from the models, docs/metrics.md from
what is served. With --check, only compares.
"""

from __future__ import annotations

import json
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from prometheus_client import Metric

from controller.fleet.manifest import Fleet, FleetSpec
from controller.fleet.shown import FleetFace
from controller.manifests import KINDS, schema
from controller.model import NodeState
from controller.policy import AllocationPolicy
from controller.report import kpi, metrics
from controller.report.fleet import FleetMetrics
from controller.schemas import manifest_schema
from exporters.clock import SystemClock
from exporters.collector import discover
from exporters.metrics import Exposition, families_of
from exporters.nodes import Duration, Node, Quantity
from exporters.quantity import format_duration
from exporters.settings import Settings

INTRO = """\
# Manifests

<!-- Written by `make docs` from the models in exporters/{nodes,settings}.py, controller/policy.py and controller/fleet/manifest.py. -->

Four kinds of YAML documents, in as many files as you like in one directory: `Node` (what you own and what runs on it),
`AllocationPolicy` (what orcha is allowed to do), at most one `Settings`, and at most one `Fleet` ([fleet.md](fleet.md)). Every
document starts with `apiVersion: orcha.dev/v1alpha1`, a `kind`, and `metadata: {name: ...}`.

`orcha validate DIR` checks them and tells every problem at once, with its file, line and what would be right.
[schemas/manifest.json](schemas/manifest.json) gives your editor completion, by this line on top of a file ([gitops.md](gitops.md)):
`# yaml-language-server: $schema=PATH/manifest.json`; `orcha schema Node` prints the one of a kind. YAML is read by its 1.2
rules: `Off` is a word.

**Quantities** are those of Kubernetes: `12`, `500m`, `48Gi`, `400M`. Memory and storage count bytes, bandwidth bits per
second, cpu cores. **Durations** carry their unit: `30s`, `5m`, `1h30m`, `30d`.

A change of the files under a running controller takes effect within seconds. A wrong edit changes nothing: the last good
manifests stay in force, and the log, the status, the landing page and `orcha_manifest_reload_success` say so.
"""


METRICS_INTRO = """\
# Metrics

<!-- Written by `make docs` from exporters/metrics.py, the protocols' FAMILIES, and metrics.py and fleet.py of controller/report. -->

`orcha run` and `orcha-exporter` serve `/metrics` as Prometheus text and as OpenMetrics. Base units are in the names, money
is in USD, ratios go from 0 to 1. **Unknown is an absent series, never 0**; the series of a workload that is gone are gone.
"""


def main() -> int:
    written = INTRO + "".join(kind(model) for model in (Node, AllocationPolicy, Settings, Fleet))
    pages = {"manifests.md": written, "metrics.md": metrics_page(), **schemas()}
    wrong = [name for name, page in pages.items() if not is_written(ROOT / "docs" / name, page)]
    if "--check" in sys.argv:
        for name in wrong:
            print(f"docs/{name} is not what the code says; run make docs", file=sys.stderr)
        return 1 if wrong else 0
    for name in wrong:
        (ROOT / "docs" / name).parent.mkdir(exist_ok=True)
        (ROOT / "docs" / name).write_text(pages[name])
    return 0


def is_written(path: Path, page: str) -> bool:
    return path.exists() and path.read_text() == page


def schemas() -> dict[str, str]:
    """docs/schemas/: one file for each kind, and one for any of them."""
    found = {**{kind: schema(kind) for kind in KINDS}, "manifest": manifest_schema(KINDS)}
    return {f"schemas/{name}.json": json.dumps(each, indent=2) + "\n" for name, each in found.items()}


def metrics_page() -> str:
    """Every family: those of each workload, those of one protocol alone, the controller's."""
    served = sorted(Exposition().families, key=lambda lines: lines.name)
    alone = families_of(discover())
    rows = {lines.name: metric_row(lines.name, lines.kind, lines.labels, lines.text) for lines in served}
    common = [row for name, row in rows.items() if name not in alone]
    only = [row for name, row in rows.items() if name in alone]
    capacity = NodeState("", dict.fromkeys((*metrics.UNITS, "stake/DATA"), 1.0), None)
    made = [*metrics.capacity_families([capacity]), *metrics.allocation_families([]), *metrics.plan_families([])]
    made += kpi.families(kpi.Scores(), [])
    live = metrics.ControllerMetrics("", "")
    live.policies([""])
    for family in (live.acting._oldest, live.acting._next):  # noqa: SLF001 a gauge that was never set tells no labels
        family.labels("")
    live.reloaded("", 0.0)
    control = [row_of(family) for family in (*made, *live.registry.collect())]
    parts = {
        "Of every workload, with the labels `node`, `workload`, `protocol`; and of tokens": common,
        "What only one protocol has, with the same labels": only,
        "The controller's own": sorted(control),
        "Of a fleet, by the controller of each site and by `orcha fleet host`": sorted(fleet_rows()),
    }
    head = "| family | type | further labels | is |\n| --- | --- | --- | --- |\n"
    return METRICS_INTRO + "".join(f"\n## {title}\n\n{head}{''.join(rows)}" for title, rows in parts.items())


def fleet_rows() -> list[str]:
    found = FleetMetrics(FleetFace("", FleetSpec(sites=["a", "b"])), SystemClock())
    for family in (found._messages, found._sent, found._latency, found._errors):  # noqa: SLF001 without an agent they tell no labels
        family.labels(*family._labelnames)  # noqa: SLF001 same
    return [row_of(family) for family in found.registry.collect()]


def row_of(family: Metric) -> str:
    declared = getattr(family, "_labelnames", None) or {name for sample in family.samples for name in sample.labels}
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return metric_row(name, family.type, tuple(sorted(set(declared) - {"le"})), family.documentation)


def metric_row(name: str, kind_: str, labels: tuple[str, ...], words: str) -> str:
    return f"| `{name}` | {kind_} | {', '.join(labels)} | {cell(words)} |\n"


def kind(model: type[BaseModel]) -> str:
    """The section of one kind: its spec, then every model inside it."""
    spec = model.model_fields["spec"].annotation
    assert isinstance(spec, type)
    seen: list[tuple[str, type[BaseModel]]] = []
    collect("spec", spec, seen)
    return f"\n## {model.__name__}\n\n{(model.__doc__ or '').strip()}\n" + "".join(
        table(path, part) for path, part in seen
    )


def collect(path: str, model: type[BaseModel], seen: list[tuple[str, type[BaseModel]]]) -> None:
    seen.append((path, model))
    for name, field in model.model_fields.items():
        for inner, mark in models_in(field.annotation):
            if inner not in {part for _, part in seen}:
                collect(f"{path}.{field.alias or name}{mark}", inner, seen)


def models_in(annotation: Any, mark: str = "") -> list[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, mark)]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return models_in(arguments[1], f"{mark}.NAME")
    if origin is list:
        return models_in(arguments[0], f"{mark}[]")
    if origin is Literal:
        return []
    return [found for argument in arguments for found in models_in(argument, mark)]


def table(path: str, model: type[BaseModel]) -> str:
    if not model.model_fields:
        return ""
    about = " ".join((model.__doc__ or "").split()) if model.__doc__ and not model.__doc__.startswith("!!!") else ""
    rows = "".join(row(name, field) for name, field in model.model_fields.items())
    return f"\n### {path}\n\n{about}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}"


def row(name: str, field: Any) -> str:
    words = " ".join((field.description or "").split())
    return f"| `{field.alias or name}` | {shape(annotation_of(field))} | {default(field)} | {cell(words)} |\n"


def annotation_of(field: Any) -> Any:
    """With the marks that pydantic took off, so that quantities and durations are known again."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


QUANTITY, DURATION = Quantity.__metadata__[0], Duration.__metadata__[0]


def shape(annotation: Any) -> str:
    """A type in the words of somebody who writes YAML."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        if QUANTITY in arguments:
            return "quantity"
        return "duration" if DURATION in arguments else shape(arguments[0])
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(shape(part) for part in arguments if part is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {shape(arguments[0])}"
    if origin is dict:
        return f"map of {shape(arguments[1])}" if arguments[1] is not Any else "map"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "map"
    plain = {str: "text", float: "number", int: "whole number", bool: "true or false"}
    return plain.get(annotation, getattr(annotation, "__name__", "time").replace("datetime", "time"))


def default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ({}, []) or isinstance(value, BaseModel):
        return ""
    if "duration" in shape(annotation_of(field)) and isinstance(value, float):
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def cell(words: str) -> str:
    return words.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
