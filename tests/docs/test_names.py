"""What pages call a metric, an alert, a reason or a field of a manifest is called so in the code."""

from __future__ import annotations

import re
import typing
from enum import StrEnum
from functools import cache, reduce

import pytest
import yaml
from pydantic import BaseModel

from controller.fleet.manifest import Fleet
from controller.model import Reason
from controller.policy import AllocationPolicy
from exporters.documents import _within, keys_at
from exporters.nodes import Node, WorkloadSpec
from exporters.settings import Settings
from tests.docs.chart import is_value_of_the_chart
from tests.docs.pages import PAGES, ROOT, words_of

METRIC = re.compile(r"(?<![\w/:.-])orcha_[a-z][a-z0-9_]*\*?(?![\w-])")
SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created")
NO_METRICS = {
    "orcha_state": "a secret of deploy/compose",
    "orcha_programs": "a name that ADR 19 says would not do",
    "orcha_rules": "a label of a target, docs/alerts.md",
}
ALERT = re.compile(r"(?<![\w/.])Orcha[A-Z]\w+")
NO_ALERTS = {"OrchaTest": "sent by hand on docs/alerting.md to try a receiver"}
DOTTED = re.compile(r"(?:spec\.)?[a-z]\w*(?:\[\])?(?:\.[a-zA-Z]\w*(?:\[\])?)+")
FILES = re.compile(r"\.(py|ya?ml|md|json|lock|toml|db|txt|html|conf|log|parquet|csv|service|sh|tmpl|key|sql|svg)$")
SPECS: dict[str, type[BaseModel]] = {
    "Node": Node, "AllocationPolicy": AllocationPolicy, "Settings": Settings, "Fleet": Fleet,
}  # fmt: skip


def families() -> set[str]:
    """Every family: docs/metrics.md is written from the code, and `make check` compares it."""
    page = PAGES["docs/metrics.md"].read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(orcha_\w+)` \|", page, re.MULTILINE))


@cache
def rules(kind: str) -> frozenset[str]:
    """The names of all rules of a kind: record, alert."""
    files = [
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "prometheus" / "rules").glob("*.yaml")
    ]
    return frozenset(
        rule[kind] for file in files for group in file["groups"] for rule in group["rules"] if kind in rule
    )


FAMILIES = families()


def is_metric(name: str) -> bool:
    if name.endswith(("*", "_")):
        return any(family.startswith(name.rstrip("*")) for family in FAMILIES)
    bare = [name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)]
    return name in FAMILIES or any(each in FAMILIES for each in bare) or name in NO_METRICS


def test_there_are_families_to_compare_with():
    assert {"orcha_protocol_up", "orcha_leader", "orcha_storj_audit_score"} <= FAMILIES


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"docs/metrics.md"}))
def test_every_metric_on_a_page_is_exported(page):
    named = METRIC.findall(PAGES[page].read_text(encoding="utf-8"))
    assert sorted({name for name in named if not is_metric(name)}) == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_recorded_series_on_a_page_is_recorded(page):
    named = [text for _, text in words_of(page) if re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", text)]
    assert sorted(set(named) - rules("record")) == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_alert_on_a_page_is_one(page):
    named = set(ALERT.findall(PAGES[page].read_text(encoding="utf-8")))
    assert sorted(named - rules("alert") - NO_ALERTS.keys()) == []


def test_the_readme_counts_the_alerts_right():
    counted = re.search(r"know (\d+) alerts", PAGES["README.md"].read_text(encoding="utf-8"))
    assert counted is not None
    assert int(counted[1]) == len(rules("alert"))


def known_at(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """As keys_at; of a list the keys of its parts."""
    here = reduce(_within, path, model)
    return keys_at(model, (*path, 0) if typing.get_origin(here) is list else path)


def leads_somewhere(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether a path of field names leads to a field of the model; below a field that takes any names it is not judged."""
    for depth, part in enumerate(path):
        known = known_at(model, path[:depth])
        if not known:
            return depth > 0
        if part not in known:
            return False
    return True


def begins() -> dict[str, list[tuple[type[BaseModel], tuple[str, ...]]]]:
    """First word of a path -> (model, path before it) of every place where a path may begin."""
    places: list[tuple[type[BaseModel], tuple[str, ...]]] = [(model, ("spec",)) for model in SPECS.values()]
    places.append((WorkloadSpec, ()))
    found: dict[str, list[tuple[type[BaseModel], tuple[str, ...]]]] = {}
    for model, before in places:
        for name in keys_at(model, before):
            found.setdefault(name, []).append((model, before))
    for model in SPECS.values():
        found.setdefault("spec", []).append((model, ()))
    return found


BEGINS = begins()


def fields_on(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """(place, path) of everything in backticks that begins as a path of a manifest does."""
    found = []
    for line, said in words_of(page):
        text = said.partition(":")[0]
        if DOTTED.fullmatch(text) and not FILES.search(text):
            path = tuple(part.removesuffix("[]") for part in text.split("."))
            if path[0] in BEGINS:
                found.append((f"{page}:{line}", path))
    return found


def is_known(path: tuple[str, ...]) -> bool:
    return any(leads_somewhere(model, (*before, *path)) for model, before in BEGINS[path[0]]) or is_value_of_the_chart(
        path
    )


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_field_of_a_manifest_on_a_page_exists(page):
    wrong = [f"{place} {'.'.join(path)}" for place, path in fields_on(page) if not is_known(path)]
    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [
        "approval.tll",
        "spec.api.tokenFile.read",
        "limits.maxprogramsperhour",
        "actuator.command.args",
        "allocation.minimum",
    ],
)
def test_a_wrong_field_would_be_seen(path):
    assert not is_known(tuple(path.split(".")))


def test_fields_are_found_between_words():
    assert any(path == ("approval", "ttl") for _, path in fields_on("docs/approvals.md"))


def reasons() -> set[str]:
    assert issubclass(Reason, StrEnum)
    return {str(each) for each in Reason}


@pytest.mark.parametrize("page", ["README.md", "docs/faq.md", "docs/explain.md"])
def test_every_reason_on_a_page_is_one_that_the_guard_gives(page):
    if page not in PAGES:
        pytest.fail(f"{page} is not there")
    words = {text for _, text in words_of(page) if re.fullmatch(r"[A-Z][a-z]+[A-Z][A-Za-z]+", text)}
    kinds = {*SPECS, "WaterFilling", "LinearProgram", "RiskAware", "StatefulSet", "ConfigMap", "NetworkPolicy"}
    assert sorted(words - reasons() - kinds - rules("alert")) == []
