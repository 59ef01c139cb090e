"""kinds.py: what is right passes, and a field that no kind knows, or one of another type, is said by its path."""

from __future__ import annotations

import pytest

from tests.helm.charts import KUBERNETES
from tests.helm.kinds import compose_objections, definitions_in, objections

pytestmark = pytest.mark.tool("strict-kinds")
META = {"name": "orcha", "namespace": "depin", "labels": {"a": "b"}}
GIT = {"interval": "5m", "url": "https://git.example/x"}
SOURCE = {"kind": "GitRepository", "name": "orcha"}
POD_SPEC = {"containers": [{"name": "one", "image": "x", "ports": [{"containerPort": 1, "name": "a"}]}]}
GOOD = {
    "AlertmanagerConfig monitoring.coreos.com/v1alpha1": {
        "route": {"receiver": "a", "matchers": [{"name": "job", "matchType": "=", "value": "orcha"}]},
        "receivers": [{"name": "a", "webhookConfigs": [{"url": "https://hook.example"}]}],
    },
    "Application argoproj.io/v1alpha1": {
        "project": "default",
        "destination": {"namespace": "depin", "server": "https://kubernetes.default.svc"},
        "source": {
            "repoURL": "https://git.example/x",
            "path": "chart",
            "helm": {"valuesObject": {"any": {"thing": 1}}},
        },
    },
    "ConfigMap v1": None,
    "GitRepository source.toolkit.fluxcd.io/v1": GIT,
    "HelmRelease helm.toolkit.fluxcd.io/v2": {
        "interval": "5m",
        "chart": {"spec": {"chart": "helm/orcha", "sourceRef": SOURCE}},
        "values": {"any": {"thing": 1}},
    },
    "Kustomization kustomize.toolkit.fluxcd.io/v1": {"interval": "5m", "prune": True, "sourceRef": SOURCE},
    "Pod v1": POD_SPEC,
    "PodMonitor monitoring.coreos.com/v1": {"selector": {}, "podMetricsEndpoints": [{"port": "metrics"}]},
    "PrometheusRule monitoring.coreos.com/v1": {"groups": [{"name": "a", "rules": [{"record": "a:b", "expr": 1}]}]},
    "Role rbac.authorization.k8s.io/v1": None,
    "ServiceMonitor monitoring.coreos.com/v1": {"selector": {}, "endpoints": [{"port": "metrics", "interval": "30s"}]},
}
BAD = {
    "a container's field that is misspelt": ("Pod v1", {"containers": [{"name": "a", "imagePolicy": "Always"}]}),
    "a container without its name": ("Pod v1", {"containers": [{"image": "a"}]}),
    "a duration that is none": ("GitRepository source.toolkit.fluxcd.io/v1", GIT | {"interval": "often"}),
    "a field that is misspelt": ("GitRepository source.toolkit.fluxcd.io/v1", GIT | {"urls": "x"}),
    "a list that is text": ("ServiceMonitor monitoring.coreos.com/v1", {"selector": {}, "endpoints": "metrics"}),
    "a matcher of no kind": (
        "AlertmanagerConfig monitoring.coreos.com/v1alpha1",
        {"route": {"receiver": "a", "matchers": [{"name": "job", "matchType": "==", "value": "x"}]}},
    ),
    "an endpoint's field that is misspelt": (
        "ServiceMonitor monitoring.coreos.com/v1",
        {"selector": {}, "endpoints": [{"ports": "metrics"}]},
    ),
    "no selector": ("PodMonitor monitoring.coreos.com/v1", {"podMetricsEndpoints": []}),
    "text for a number": ("Pod v1", {"containers": [{"name": "a", "ports": [{"containerPort": "80"}]}]}),
}


def made(kind: str, spec: object) -> dict:
    name, version = kind.split()
    found = {"apiVersion": version, "kind": name, "metadata": META}
    return found if spec is None else {**found, "spec": spec}


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_what_is_right_passes(kind, tool):
    assert objections(made(kind, GOOD[kind]), KUBERNETES, tool("strict-kinds")) == []


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_field_that_the_kind_has_not_is_named(kind, tool):
    document = made(kind, GOOD[kind])
    place = document["spec"] if GOOD[kind] else document
    place["mispelt"] = 1
    assert "'mispelt' was unexpected" in "".join(objections(document, KUBERNETES, tool("strict-kinds")))


@pytest.mark.parametrize("what", sorted(BAD))
def test_what_is_wrong_is_said_where_it_stands(what, tool):
    found = objections(made(*BAD[what]), KUBERNETES, tool("strict-kinds"))
    assert found
    assert all(each.startswith("$.spec") for each in found)


def test_a_kind_that_nobody_knows_is_said(tool):
    assert objections(made("Gadget example.org/v1", {}), KUBERNETES, tool("strict-kinds")) == [
        "nobody knows Gadget of example.org/v1"
    ]


def test_every_definition_that_was_fetched_is_read(tool):
    folder = tool("strict-kinds")
    kinds = {kind for (_, kind), _ in definitions_in(folder)}
    assert {kind.split()[0] for kind in GOOD} - {"ConfigMap", "Pod", "Role"} <= kinds
    assert len(kinds) == len(list(folder.glob("*.yaml")))


def test_a_compose_file_is_held_to_its_specification(tool):
    good = {"services": {"orcha": {"image": "orcha", "read_only": True, "ports": ["127.0.0.1:9872:9872"]}}, "x-any": 1}
    assert compose_objections(good, tool("strict-kinds")) == []
    good["services"]["orcha"]["readonly"] = True
    assert "readonly" in "".join(compose_objections(good, tool("strict-kinds")))
