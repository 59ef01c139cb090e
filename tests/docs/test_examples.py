"""What the documentation shows as YAML is what takes it: `orcha validate`, Kubernetes, Prometheus, the chart.

Every block is told by what stands at its top, and what nobody knows fails: nothing is left out in silence.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from controller.fleet.manifest import FleetSpec
from controller.policy import PolicySpec
from exporters.collector import names
from exporters.documents import keys_at
from exporters.nodes import NodeSpec, WorkloadSpec
from exporters.settings import SettingsSpec
from tests.docs.pages import BLOCKS, ROOT

FILES = sorted((ROOT / "docs").rglob("*.yaml"))
AROUND = {"apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": "example"}}
OURS = "orcha.dev/"
ROOM = {"capacity": {"cpu": 8, "memory": "16Gi", "storage": "8Ti"}}

STORJ = {
    "protocol": "storj", "endpoint": "http://127.0.0.1:14002",
    "allocation": {"resource": "storage", "min": "1Ti", "max": "8Ti", "step": "128Gi"},
}  # fmt: skip
GOLEM = {
    "protocol": "golem", "endpoint": "http://127.0.0.1:7465", "credentials": {"appKeyFile": "/etc/orcha/key"},
    "allocation": {"resource": "cpu", "min": "2", "max": "8", "step": "1", "with": {"memory": "1Gi"}, "reserve": ["memory"]},
}  # fmt: skip
MAPPED = {"protocol": "mapped", "endpoint": "http://127.0.0.1:4050"}


def keys_of(model: type) -> frozenset[str]:
    return frozenset(keys_at(model, ()))


def workload_around(document: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The Node with a workload that a part of one fits into."""
    around: Mapping[str, Any] = MAPPED
    if "protocol" in document:
        around = {}
    elif document.keys() == {"actuator"}:
        around = STORJ if "{storage" in text else GOLEM
        if "{memory" in text or "memory]" in text:
            around = {**GOLEM, "allocation": {**GOLEM["allocation"], "reserve": []}}
    return {**AROUND, "spec": {**ROOM, "workloads": {"one": {**around, **document}}}}


def whole(text: str) -> str:
    """The part of a manifest, in its place in a whole one."""
    documents = list(yaml.safe_load_all(text))
    first = documents[0]
    if "apiVersion" in first:
        return text
    if "kind" in first:
        return yaml.safe_dump_all([{"apiVersion": AROUND["apiVersion"], **first}, {**AROUND, "spec": ROOM}])
    spec = {"spec": first} if "spec" not in first else first
    for kind, model in (("AllocationPolicy", PolicySpec), ("Settings", SettingsSpec), ("Fleet", FleetSpec)):
        if spec["spec"].keys() <= keys_of(model):
            policy = {**AROUND, "kind": kind, "metadata": {"name": "default"}, **spec}
            return yaml.safe_dump_all([policy, {**AROUND, "spec": ROOM}])
    if spec["spec"].keys() <= keys_of(NodeSpec):
        return yaml.safe_dump({**AROUND, "spec": {**ROOM, **spec["spec"]}})
    return yaml.safe_dump(workload_around(first, text))


def validated(text: str, tmp_path: Path) -> str:
    (tmp_path / "example.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", str(tmp_path)])
    return "" if result.exit_code == 0 else result.output


def is_ours(document: Mapping[str, Any]) -> bool:
    if "apiVersion" in document:
        return str(document["apiVersion"]).startswith(OURS)
    if "kind" in document:
        return document["kind"] in {"Node", "AllocationPolicy", "Settings", "Fleet"}
    keys = set(document) if "spec" not in document else set(document["spec"])
    return any(keys <= keys_of(model) for model in (WorkloadSpec, PolicySpec, SettingsSpec, FleetSpec, NodeSpec))


def is_for_kubernetes(document: Mapping[str, Any]) -> bool:
    """What kubectl takes; the end-to-end tests give the Roles to a real API server."""
    return "apiVersion" in document and not is_ours(document) and "kind" in document


CHART_TOP = frozenset({"manifests", "image", "secrets", "controller", "exporter", "rbac", "networkPolicy", "serviceMonitor",
                       "prometheusRule", "dashboards", "tests", "extraManifests", "service", "podMonitor"})  # fmt: skip
PROMETHEUS = frozenset({"global", "scrape_configs", "rule_files", "alerting", "remote_write", "storage"})
PARAMETERS = yaml.safe_load((ROOT / "prometheus" / "parameters.yaml").read_text(encoding="utf-8"))
HOOKS = frozenset({"repos"})
OF_THE_CHART = {"docs/helm.md", "docs/start/home-rack.md", "helm/orcha/README.md"}
"""Pages on which a block without apiVersion is values: `api` and `state` stand at the top of Settings as well."""
ELSEWHERE: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "the chart's values": lambda document: bool(document.keys() & CHART_TOP) and not is_ours(document),
    "Prometheus": lambda document: document.keys() <= PROMETHEUS,
    "the rules' parameters": lambda document: document.keys() <= PARAMETERS.keys(),
    "rules of Prometheus": lambda document: document.keys() == {"groups"},
    "Alertmanager": lambda document: bool(document.keys() & {"route", "receivers", "inhibit_rules"}),
    "pre-commit": lambda document: document.keys() == HOOKS,
    "docker compose": lambda document: bool(document.keys() & {"services"}),
    "a workflow of a forge": lambda document: (
        bool(document.keys() & {"jobs", "stages"}) or "on" in document or True in document
    ),
    "Kustomize": lambda document: bool(document.keys() & {"configMapGenerator", "resources", "helmCharts"}),
    "Grafana's provisioning": lambda document: bool(document.keys() & {"providers", "datasources"}),
}
"""Others that take YAML, and how theirs is told."""


@cache
def schema_of_the_chart() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "helm/orcha/values.schema.json").read_text(encoding="utf-8"))
    return found


def kind_of(text: str, page: str = "") -> str:
    """Who takes it; empty: nobody knows."""
    documents = [each for each in yaml.safe_load_all(text) if each is not None]
    if not documents or not all(isinstance(each, dict) for each in documents):
        return ""
    if page in OF_THE_CHART and all(each.keys() <= schema_of_the_chart()["properties"].keys() for each in documents):
        return "the chart's values"
    if all(is_ours(each) for each in documents):
        return "orcha"
    if all(is_for_kubernetes(each) for each in documents):
        return "Kubernetes"
    return next((name for name, fits in ELSEWHERE.items() if all(fits(each) for each in documents)), "")


YAML = {place: block.text for place, block in BLOCKS.items() if block.language in {"yaml", "yml"}}
KINDS = {place: kind_of(text, place.partition(":")[0]) for place, text in YAML.items()}


def places(kind: str) -> list[str]:
    return sorted(place for place, each in KINDS.items() if each == kind)


def test_of_every_block_it_is_known_who_takes_it():
    assert [place for place, kind in KINDS.items() if not kind] == []


@pytest.mark.parametrize("place", places("orcha"))
def test_yaml_on_a_page_is_valid(place, tmp_path):
    assert validated(whole(YAML[place]), tmp_path) == ""


@pytest.mark.parametrize("place", places("Kubernetes"))
def test_yaml_for_kubernetes_is_made_of_whole_objects(place):
    for document in yaml.safe_load_all(YAML[place]):
        assert {"apiVersion", "kind", "metadata"} <= document.keys()
        assert document["metadata"]["name"]


@pytest.mark.parametrize("place", places("the chart's values"))
def test_values_on_a_page_are_values_of_the_chart(place, tmp_path):
    for document in yaml.safe_load_all(YAML[place]):
        jsonschema.validate(document, schema_of_the_chart())
        assert validated(manifests_of(document), tmp_path) == ""


def manifests_of(values: Mapping[str, Any]) -> str:
    """The manifests that the chart makes of its values, with a Node for each policy where they have none."""
    given = values.get("manifests") or {}
    documents = [
        {
            **AROUND,
            "kind": kind,
            "metadata": {"name": name, "labels": each.get("labels", {})},
            "spec": each.get("spec", {}),
        }
        for kind, key in (("Node", "nodes"), ("AllocationPolicy", "policies"))
        for name, each in (given.get(key) or {}).items()
        if each is not None
    ]
    if not given.get("nodes"):
        policies = [each for each in (given.get("policies") or {}).values() if each is not None]
        wanted = [(each.get("spec") or {}).get("selector", {}).get("matchLabels", {}) for each in policies] or [{}]
        documents += [
            {**AROUND, "metadata": {"name": f"n{number}", "labels": labels}, "spec": ROOM}
            for number, labels in enumerate(wanted)
        ]
    if given.get("settings"):
        documents.append({**AROUND, "kind": "Settings", "metadata": {"name": "settings"}, "spec": given["settings"]})
    return yaml.safe_dump_all(documents)


@pytest.mark.tool("prometheus")
@pytest.mark.parametrize("place", places("Prometheus"))
def test_a_configuration_of_prometheus_on_a_page_is_one(place, tool, tmp_path):
    (tmp_path / "rules").mkdir()
    for name in ("alerts.yaml", "recording.yaml", "slo.yaml"):
        (tmp_path / "rules" / name).write_bytes((ROOT / "prometheus" / "rules" / name).read_bytes())
    (tmp_path / "prometheus.yml").write_text(YAML[place], encoding="utf-8")
    argv = [tool("prometheus") / "promtool", "check", "config", "--syntax-only", "prometheus.yml"]
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("place", places("the rules' parameters"))
def test_parameters_on_a_page_are_taken_by_the_rules(place, tmp_path):
    (tmp_path / "mine.yaml").write_text(YAML[place], encoding="utf-8")
    argv = [sys.executable, "scripts/rules.py", "--parameters", tmp_path / "mine.yaml", "--output", tmp_path / "rules"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_an_example_file_is_valid(file, tmp_path):
    text = file.read_text(encoding="utf-8")
    assert kind_of(text) == "orcha"
    assert validated(text, tmp_path) == ""


def test_the_examples_are_valid_together():
    assert CliRunner().invoke(app, ["validate", str(ROOT / "examples")]).exit_code == 0


def test_a_wrong_example_would_be_seen(tmp_path):
    text = (ROOT / "docs" / "protocols" / "storj.md").read_text(encoding="utf-8")
    wrong = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0].replace("min: 1Ti", "min: 400G")
    assert "refuses to start below" in validated(wrong, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("actuator: {command: {argv: [set, '{cores}']}}", "cores"),
        ("limits: {hold: forever}", "hold"),
        ("source: somewhere", "somewhere"),
        ("approval: {tll: 1d}", "tll"),
        ("workloads: {one: {protocol: storj}}", "endpoint"),
    ],
)
def test_a_wrong_part_of_a_manifest_would_be_seen(text, sentence, tmp_path):
    assert kind_of(text) == "orcha"
    assert sentence in validated(whole(text), tmp_path)


@pytest.mark.parametrize("text", ["surprise: {on: a page}", "- a list", "apiVersion: v1", "actuator: {}\nsurprise: 1"])
def test_a_block_that_nobody_takes_would_be_seen(text):
    assert kind_of(text) == ""


@pytest.mark.parametrize("protocol", names())
def test_every_protocol_has_a_page_with_an_example(protocol):
    assert any(place.startswith(f"docs/protocols/{protocol}.md") for place in places("orcha"))
