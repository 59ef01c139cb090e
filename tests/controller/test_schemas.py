"""The JSON Schemas say what the models say: nothing that orcha takes is marked as wrong, and what is marked orcha refuses."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.manifests import KINDS, load, schema
from controller.schemas import manifest_schema
from exporters.collector import discover

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
LINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$")

GOOD: dict[str, dict[str, Any]] = {
    "a whole node": {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Node",
        "metadata": {"name": "rack-1", "labels": {"site": "attic"}, "annotations": {"owner": "me"}},
        "spec": {
            "capacity": {"cpu": "12", "memory": "48Gi", "storage": "16Ti", "bandwidth": 4e8, "stake/DATA": 200000},
            "power": {
                "usdPerKwh": "0.31", "idleWatts": 40,
                "windows": [{"cron": "0 22 * * *", "duration": "8h", "timezone": "Europe/Berlin", "usdPerKwh": 0.2}],
            },
            "workloads": {
                "storj": {
                    "protocol": "storj", "endpoint": "http://127.0.0.1:14002", "pollInterval": "1m", "mode": "Suggest",
                    "allocation": {
                        "resource": "storage", "min": "1Ti", "max": "12Ti", "step": "128Gi", "with": {"bandwidth": "2M"},
                        "reserve": ["bandwidth"], "freeze": "shrink", "protectUntil": "2027-01-01T00:00:00Z", "initial": "2Ti",
                    },
                },
                "golem": {
                    "protocol": "golem", "endpoint": "http://127.0.0.1:7465", "credentials": {"appKeyFile": "/run/key"},
                    "watts": {"perStep": 6}, "allocation": {"resource": "cpu", "min": 2, "max": 10.0, "step": 1},
                    "actuator": {"command": {"argv": ["x", "{cpu}"], "timeout": "30s", "verify": {"argv": ["y"]}}},
                },
                "grass": {"protocol": "grass", "endpoint": "https://api.getgrass.io", "credentials": {"accessTokenFile": "/run/t"}, "valuation": {"usdPerPoint": 0}},
            },
        },
    },
    "a whole policy": {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "default"},
        "spec": {
            "mode": "Off", "selector": {"matchLabels": {}},
            "objective": {"strategy": "RiskAware", "solver": "MILP", "horizon": "2h", "riskTolerance": 0.1, "riseAnalyses": "2"},
            "reconcile": {"observe": "5s", "estimate": "30s", "plan": "60s", "jitter": 0},
            "limits": {
                "minImprovement": {"percent": 5, "usdPerHour": 0.0}, "maxProgramsPerHour": 0, "blockWhile": "up == 0",
                "freezeWindows": [{"cron": "0 18 * * 1-5", "duration": "3h"}], "onSourceFailure": {"lastGood": "15m"},
            },
            "rollback": {"automatic": "false", "stages": [0.25, 1]}, "approval": {"ttl": "1d"},
            "constraints": [{"protocol": "golem", "maxShare": 0.6, "minTotal": "500m", "maxCount": 2}],
        },
    },
    "a policy with nothing in it": {"apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy", "metadata": {"name": "a"}},
    "settings with everything": {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Settings", "metadata": {"name": "settings"},
        "spec": {
            "listen": "127.0.0.1:9872", "state": "sqlite:///orcha.db", "retention": "30d", "logFormat": "json",
            "prices": {"sources": ["coingecko"], "static": {"GLM": 0.22}, "endpoints": {"kraken": "http://127.0.0.1:1"}},
            "source": "prometheus", "prometheusUrl": "http://127.0.0.1:9090", "prometheus": {"matchers": 'job="orcha"'},
            "api": {"tokenFiles": {"read": "/run/read"}}, "lease": {"namespace": "depin", "name": "orcha", "duration": "15s"},
        },
    },
    "a fleet with everything": {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "home"},
        "spec": {
            "sites": ["attic", "cellar"], "relays": ["relay-0"], "topology": "ring", "heartbeat": "5s", "timeout": "10s", "sync": "5s",
            "nats": {"servers": ["tls://nats.example:4222"], "tokenFile": "/run/token", "caFile": "/run/ca.pem"},
            "limits": [{"name": "cores", "protocol": "golem", "resource": "cpu", "maxTotal": "24"}], "irreversibleAtOnce": 1,
        },
    },
    "settings without a name": {"apiVersion": "orcha.dev/v1alpha1", "kind": "Settings", "spec": {"retention": "7d"}},
}  # fmt: skip

BAD = {
    "no apiVersion": ("a whole policy", ("apiVersion",), ...),
    "another apiVersion": ("a whole policy", ("apiVersion",), "orcha.dev/v2"),
    "no kind": ("a whole node", ("kind",), ...),
    "a kind that is none": ("a whole node", ("kind",), "Nodes"),
    "no name": ("a whole node", ("metadata", "name"), ...),
    "a name in capitals": ("a whole node", ("metadata", "name"), "Rack-1"),
    "an unknown key": ("a whole policy", ("spec", "limits", "hodl"), "1h"),
    "an unknown key in metadata": ("a whole policy", ("metadata", "namespace"), "depin"),
    "a mode that is none": ("a whole policy", ("spec", "mode"), "Automatic"),
    "a mode that YAML 1.1 reads as no": ("a whole policy", ("spec", "mode"), False),
    "a duration without a unit": ("a whole policy", ("spec", "approval", "ttl"), 60),
    "a duration in weeks": ("a whole policy", ("spec", "approval", "ttl"), "1w"),
    "a quantity in words": ("a whole node", ("spec", "capacity", "cpu"), "eight"),
    "a quantity in gigabytes": ("a whole node", ("spec", "capacity", "memory"), "48GB"),
    "a resource that is none": ("a whole node", ("spec", "capacity", "gpu"), 1),
    "a share above one": ("a whole policy", ("spec", "constraints", 0, "maxShare"), 1.5),
    "a negative price": ("a whole node", ("spec", "power", "usdPerKwh"), -0.1),
    "a list for a map": ("a whole node", ("spec", "workloads"), []),
    "a map for a list": ("a whole policy", ("spec", "constraints"), {}),
    "half a program": ("a whole policy", ("spec", "limits", "maxProgramsPerHour"), 1.5),
    "no endpoint": ("a whole node", ("spec", "workloads", "storj", "endpoint"), ...),
    "no step": ("a whole node", ("spec", "workloads", "storj", "allocation", "step"), ...),
    "an actuator that is none": ("a whole node", ("spec", "workloads", "storj", "actuator"), {"shell": {}}),
    "an empty program": ("a whole node", ("spec", "workloads", "golem", "actuator", "command", "argv"), []),
    "a price source that is none": ("settings with everything", ("spec", "prices", "sources"), ["dexscreener"]),
    "a site with a dot": ("a fleet with everything", ("spec", "sites", 0), "attic.home"),
    "a topology that is none": ("a fleet with everything", ("spec", "topology"), "star"),
    "a limit of nothing": ("a fleet with everything", ("spec", "limits", 0, "resource"), ...),
    "no sites": ("a fleet with everything", ("spec", "sites"), []),
    "no spec": ("a whole node", ("spec",), ...),
}
ODD = ["?", "", {}, [], None, {"x": 1}, ["x"], -1, 10**9, "1h", "12Gi", "2027-01-01T00:00:00Z", "Suggest"]
"""No true and false: where a number stands, orcha takes them for 1 and 0, and an editor rightly does not."""


def put(document, path, value):
    """A copy with one part set, or taken out (...)."""
    made = copy.deepcopy(document)
    here = made
    for part in path[:-1]:
        here = here[part]
    if value is ...:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return made


def paths(document, path=()):
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


def refusals(document, of):
    return [error.message for error in jsonschema.Draft202012Validator(of).iter_errors(document)]


def problems(document, where):
    """What orcha says of it; beside a policy stands a node, that it may select."""
    text = yaml.safe_dump(document)
    node = "\n---\napiVersion: orcha.dev/v1alpha1\nkind: Node\nmetadata: {name: beside}\nspec: {capacity: {cpu: 1}}\n"
    (where / "one.yaml").write_text(text + (node if document.get("kind") == "AllocationPolicy" else ""))
    return [str(problem) for problem in load([where], discover()).problems]


ANY = manifest_schema(KINDS)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return tmp_path_factory.mktemp("documents")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_good_is_taken_by_the_schemas_and_by_orcha(name, where):
    document = GOOD[name]
    assert refusals(document, schema(document["kind"])) == []
    assert refusals(document, ANY) == []
    assert problems(document, where) == []


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_bad_in_its_shape_is_refused_by_the_schemas_and_by_orcha(name, where):
    good, path, value = BAD[name]
    document = put(GOOD[good], path, value)
    assert refusals(document, schema(GOOD[good]["kind"]))
    assert refusals(document, ANY)
    assert problems(document, where)


@given(data=st.data())
def test_whatever_a_schema_refuses_orcha_refuses_too(data, where):
    document = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    path = data.draw(st.sampled_from(sorted(paths(document), key=str)))
    if data.draw(st.booleans()):
        path = (*path[:-1], "unknown")
    changed = (
        put(document, path, data.draw(st.sampled_from([..., *ODD]))) if path[-1] != "unknown" else _more(document, path)
    )
    if refusals(changed, schema(document["kind"])) or refusals(changed, ANY):
        assert problems(changed, where), f"{'.'.join(map(str, path))} is marked as wrong, and orcha takes it"


def _more(document, path):
    """With a key that nobody knows, where the part is a map."""
    here = document
    for part in path[:-1]:
        here = here[part]
    return put(document, path, 1) if isinstance(here, dict) else document


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_both_schemas_of_a_kind_say_the_same(kind):
    document = next(each for each in GOOD.values() if each["kind"] == kind)
    for path in sorted(paths(document), key=str):
        for value in (..., {"x": 1}, -1):
            changed = put(document, path, value)
            if changed.get("kind") == kind:
                assert bool(refusals(changed, schema(kind))) is bool(refusals(changed, ANY)), path


@pytest.mark.parametrize("name", ["manifest", *sorted(KINDS)])
def test_a_schema_is_one_by_the_rules_of_schemas_and_stands_in_docs(name):
    written = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(written)
    assert written == (ANY if name == "manifest" else schema(name)), "run make docs"


def test_a_default_in_a_schema_is_what_the_schema_takes():
    def walk(part, inside):
        if isinstance(part, dict):
            if "default" in part and "type" in part:
                assert refusals(part["default"], {**part, "$defs": ANY["$defs"]}) == [], inside
            for key, value in part.items():
                walk(value, (*inside, key))

    walk(ANY, ())


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.name)
def test_an_example_names_its_schema_and_is_good_by_it(file):
    first = file.read_text().splitlines()[0]
    found = LINE.match(first)
    assert found, first
    of = json.loads((file.parent / found[1]).read_text())
    for document in yaml.safe_load_all(file.read_text()):
        assert refusals(document, of) == []
