"""Everything that the chart renders, in every documented shape and by both versions of Helm: valid, labelled, in one place."""

from __future__ import annotations

import re

import pytest
import yaml

from exporters import __version__
from tests.helm.charts import (
    CHART,
    KUBERNETES,
    NAMESPACE,
    SHAPES,
    merged,
    named,
    nested,
    of_kind,
    pods,
    shape,
)
from tests.helm.kinds import objections

pytestmark = [pytest.mark.tool("helm"), pytest.mark.tool("strict-kinds")]
LABELS = {
    "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by", "helm.sh/chart",
}  # fmt: skip
STABLE = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
TEMPLATES = sorted(str(path.relative_to(CHART)) for path in (CHART / "templates").rglob("*.yaml"))
SELECTING = {"Deployment", "DaemonSet", "StatefulSet"}
NODES = nested(
    "manifests.nodes.rack-1.spec",
    {"capacity": {"cpu": "1"}, "workloads": {"a": {"protocol": "storj", "endpoint": "http://a"}}},
)
OLDER = "1.28.0"
"""A release of Kubernetes that is still met, beside the one that all else is tested with."""


def ours(each) -> bool:
    """Whether the chart makes it, and not whoever wrote extraManifests."""
    return "helm.sh/chart" in (each["metadata"].get("labels") or {})


@pytest.mark.parametrize("name", SHAPES)
def test_every_object_is_what_its_kind_allows(helm, tool, name):
    found = helm.render(shape(name))
    assert [
        f"{named(each)} {said}" for each in found for said in objections(each, KUBERNETES, tool("strict-kinds"))
    ] == []
    assert found


@pytest.mark.parametrize("name", SHAPES)
def test_an_older_kubernetes_knows_every_field_too(helm4, tool, name):
    found = helm4.render(shape(name), f"--kube-version={OLDER}")
    assert [f"{named(each)} {said}" for each in found for said in objections(each, OLDER, tool("strict-kinds"))] == []


@pytest.mark.parametrize("name", SHAPES)
def test_both_versions_of_helm_render_the_same(tool, helm, helm4, name):
    assert helm.render(shape(name)) == helm4.render(shape(name))


@pytest.mark.parametrize("name", SHAPES)
def test_no_two_objects_are_one(helm4, name):
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in helm4.render(shape(name))
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", SHAPES)
def test_every_object_has_the_standard_labels(helm, name):
    for each in filter(ours, helm.render(shape(name))):
        labels = each["metadata"]["labels"]
        assert set(labels) >= LABELS, named(each)
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert labels["helm.sh/chart"] == f"{chart['name']}-{chart['version']}"
        assert labels["app.kubernetes.io/version"] == __version__
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/instance"] == "orcha"
    for where, pod in pods(helm.render(shape(name))):
        assert set(pod["metadata"]["labels"]) >= {"app.kubernetes.io/name", "app.kubernetes.io/instance"}, where


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_but_extra_manifests_comes_without_the_chart_s_labels(helm4, name):
    bare = merged(shape(name), {"extraManifests": []})
    assert [named(each) for each in helm4.render(bare) if not ours(each)] == []


@pytest.mark.parametrize("name", SHAPES)
def test_selectors_are_made_of_labels_that_no_upgrade_changes(helm4, name):
    found = helm4.render(shape(name))
    for each in of_kind(found, *SELECTING):
        selector = each["spec"]["selector"]["matchLabels"]
        assert set(selector) <= STABLE, named(each)
        assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    marks = [(each["spec"]["selector"]["matchLabels"]) for each in of_kind(found, *SELECTING)]
    assert all(one != other for at, one in enumerate(marks) for other in marks[at + 1 :]), "two would fight over Pods"


@pytest.mark.parametrize(
    "change",
    [
        {"commonLabels": {"team": "attic"}, "controller": {"podLabels": {"more": "labels"}}},
        {"image": {"tag": "9.9.9"}},
        merged(NODES, {"exporter": {"kind": "Sidecar"}}),
        {"manifests": {"policies": {"default": {"spec": {"mode": "Auto"}}}}},
    ],
    ids=["labels", "image", "sidecar", "mode"],
)
def test_an_upgrade_never_changes_a_selector(helm, change):
    def selectors(values):
        return {named(each): each["spec"]["selector"] for each in of_kind(helm.render(values), "Deployment")}

    before = selectors({})
    assert selectors(change) == before
    assert before


@pytest.mark.parametrize("name", SHAPES)
def test_every_service_and_budget_selects_a_pod_of_the_release(helm4, name):
    found = helm4.render(shape(name))
    labels = [pod["metadata"]["labels"].items() for _, pod in pods(found)]
    for each in of_kind(found, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        if not ours(each):
            continue
        selector = each["spec"].get("selector") or each["spec"].get("podSelector") or {}
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= each for each in labels), f"{named(each)} selects {wanted}"


def test_no_template_names_a_namespace():
    for name in TEMPLATES:
        for found in re.findall(r"(?m)^\s*namespace:\s*(.*)$", (CHART / name).read_text()):
            assert "{{" in found, f"{name}: namespace: {found}"
    assert TEMPLATES


@pytest.mark.parametrize("name", SHAPES)
def test_everything_is_in_the_namespace_of_the_release_unless_a_value_names_another(helm4, name):
    values = shape(name)
    asked = set(re.findall(r"namespace['\"]?: ([\w-]+)", yaml.safe_dump(values)))
    for each in helm4.render(values):
        assert each["metadata"].get("namespace", NAMESPACE) in asked | {NAMESPACE}, named(each)


def test_what_every_template_defines_is_named_after_the_chart():
    for path in (CHART / "templates").rglob("*"):
        if path.suffix in {".tpl", ".yaml", ".txt"}:
            for name in re.findall(r'define "([^"]+)"', path.read_text()):
                assert name.startswith("orcha."), f"{path.name}: {name}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_makes_one_kind(name):
    kinds = set(re.findall(r"(?m)^kind: (\S+)", (CHART / name).read_text()))
    assert len(kinds) <= 1


def test_the_chart_s_own_words_are_right():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["apiVersion"] == "v2"
    assert re.fullmatch(r"[a-z][a-z0-9-]*", chart["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", chart["version"])
    assert chart["appVersion"] == __version__
    assert re.match(r">= ?1\.\d+\.\d+-0", chart["kubeVersion"])
    assert not (CHART / "crds").exists(), "orcha has no kinds of its own in the cluster"


@pytest.mark.parametrize("name", ["a", "orcha", "an-orcha-with-a-name-that-is-as-long-as-helm-allows"])
def test_names_are_those_of_dns_whatever_the_release_is_called(helm4, tool, name):
    for shape_name in SHAPES:
        for each in helm4.render(shape(shape_name), name=name):
            assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", each["metadata"]["name"]), named(each)


@pytest.mark.parametrize("name", SHAPES)
def test_lint_has_nothing_to_say(helm, tmp_path, name):
    values = CHART / "ci" / f"{name}-values.yaml"
    said = helm.run("lint", "--strict", str(CHART), f"--values={values}", f"--kube-version={KUBERNETES}")
    assert "0 chart(s) failed" in said
    for word in ("[INFO]", "[WARNING]", "[ERROR]"):
        assert word not in said


@pytest.mark.parametrize("name", SHAPES)
def test_the_packed_chart_renders_the_same(helm, packed, name):
    text = helm.template(shape(name), chart=packed)
    assert [each for each in yaml.load_all(text, yaml.CSafeLoader) if each] == helm.render(shape(name))


@pytest.fixture(scope="session")
def packs():
    return {}


@pytest.fixture
def packed(helm, packs, tmp_path_factory):
    """The chart as it is published, packed once by each version."""
    if helm.name not in packs:
        folder = tmp_path_factory.mktemp(helm.name)
        helm.run("package", str(CHART), f"--destination={folder}")
        (packs[helm.name],) = folder.glob("*.tgz")
    return packs[helm.name]
