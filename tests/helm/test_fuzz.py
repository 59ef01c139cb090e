"""Whatever the schema takes either renders to valid objects or is refused with a sentence: every value of it is tried.

The values come from the schema: for every place each of its alternatives, and for text also one that is full of what YAML
and templates trip over. They are shuffled once and tried a few at a time, on top of the documented shapes in turn.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest

from tests.helm.charts import KUBERNETES, SHAPES, Refused, merged, named, shape
from tests.helm.kinds import objections as invalid
from tests.helm.schemas import ANY, ITEM, Place, objections, places, takes

pytestmark = [pytest.mark.tool("helm"), pytest.mark.tool("strict-kinds"), pytest.mark.timeout(300)]
SEED = 20
AT_ONCE = 5
CHUNKS = 40
NASTY = "a: 'b' \"c\" # {{ .Values }} - [d] & *e ! %f |\n  g: h\\"
WORDS = (
    "some-name",
    NASTY,
    "5m",
    "1Gi",
    ":8080",
    "8080",
    "https://registry.example/some/name",
    "1.2.3",
    "sha256:" + "a" * 64,
)
NUMBERS = (0, 1, 2, 3, 77, 1000, 65000)
RESOURCES = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "2Mi"}}
PEERS = [{"podSelector": {"matchLabels": {"a": "b"}}}]
OPEN: dict[str, Any] = {
    "affinity": {"podAntiAffinity": {}},
    "annotations": {"a.example/b": NASTY},
    "commonAnnotations": {"a.example/b": NASTY},
    "commonLabels": {"a": "b"},
    "extra": [{"ports": [{"port": 1}], "to": PEERS}],
    "extraContainers": [{"name": "more", "image": "more:1.0.0"}],
    "extraEnv": [{"name": "A", "value": NASTY}],
    "extraEnvFrom": [{"configMapRef": {"name": "a"}}],
    "extraManifests": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b: c # d"}}
    ],
    "extraRules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    "extraVolumeMounts": [{"name": "tmp", "mountPath": "/more"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "from": PEERS,
    "initContainers": [{"name": "first", "image": "more:1.0.0"}],
    "labels": {"a": "b"},
    "livenessProbe": {"tcpSocket": {"port": 1}},
    "metricRelabelings": [{"action": "labeldrop", "regex": NASTY}],
    "nodeSelector": {"a.example/b": "c"},
    "podAnnotations": {"a.example/b": NASTY},
    "podLabels": {"a": "b"},
    "podSecurityContext": {"runAsUser": 1000},
    "readinessProbe": {"tcpSocket": {"port": 1}},
    "relabelings": [{"targetLabel": "a", "replacement": NASTY}],
    "resources": RESOURCES,
    "securityContext": {"runAsUser": 1000},
    "startupProbe": {"tcpSocket": {"port": 1}},
    "to": PEERS,
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "volume": {"hostPath": {"path": "/a"}},
}
"""Shapes of Kubernetes and of others that the schema leaves open, and one value of each."""
JUDGED_ELSEWHERE = ("extraManifests", "manifests.nodes", "manifests.policies", "manifests.settings")


def alternatives(place: Place) -> list[Any]:
    """Values that the place takes, one of each sort."""
    given = place.schema.get("enum")
    if given is not None:
        return list(given)
    if place.path[-1] in OPEN:
        return [OPEN[place.path[-1]]]
    return [value for value in (True, False, *NUMBERS, *WORDS) if takes(place.schema, value)]


@functools.cache
def cases() -> list[dict[str, Any]]:
    """Values of one place each, all that there are, in an order of no meaning."""
    found = {
        repr(values): values
        for place in places()
        if place.path and place.is_leaf | (place.path[-1] in OPEN) and not str(place).startswith(JUDGED_ELSEWHERE)
        for value in alternatives(place)
        if not objections(values := place.values(value))
    }
    several = [found[key] for key in sorted(found)]
    random.Random(SEED).shuffle(several)
    return several


def outcome(helm, values: dict[str, Any], folder) -> list[str]:
    """What is wrong with what becomes of values; [] also where they are refused with a sentence."""
    try:
        found = helm.render(values)
    except Refused as exc:
        said = str(exc)
        return [] if "/refusals.yaml:" in said and "nil pointer" not in said else [said[-600:]]
    return [f"{named(each)} {said}" for each in found for said in invalid(each, KUBERNETES, folder)]


def test_the_schema_gives_enough_to_try():
    found = cases()
    tops = {next(iter(values)) for values in found}
    assert len(found) > 200
    assert tops >= {"controller", "exporter", "image", "networkPolicy", "prometheusRule", "rbac", "service", "state"}
    assert not {ANY, ITEM} & tops


@pytest.mark.parametrize("number", range(CHUNKS))
def test_what_the_schema_takes_renders_to_valid_objects_or_is_refused_with_a_sentence(helm4, tool, number):
    mine, folder = cases()[number::CHUNKS], tool("strict-kinds")
    wrong = []
    for at in range(0, len(mine), AT_ONCE):
        few, base = mine[at : at + AT_ONCE], shape(SHAPES[(number + at) % len(SHAPES)])
        if outcome(helm4, merged(base, *few), folder):
            wrong += [f"{one}: {said[:400]}" for one in few for said in outcome(helm4, merged(base, one), folder)]
    assert wrong == []
