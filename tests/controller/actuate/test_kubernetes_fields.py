"""What the fields of an object hold, who owns them, and what is applied; what amounts mean for them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.actuate.kubernetes.events import note
from controller.actuate.kubernetes.fields import (
    Field,
    applied,
    body,
    field_of,
    flag_values,
    listed,
    ours,
    owners,
    same,
    with_flag,
)
from controller.actuate.kubernetes.wanted import fields_of, pod_resources, quantity, sized, wanted
from controller.programs import Order
from exporters.nodes import Kubernetes as Spec
from exporters.placeholders import CannotFill
from exporters.quantity import parse_quantity

PLACE = {"kind": "StatefulSet", "namespace": "depin", "name": "node", "container": "node"}


def managed(manager: str, fields: Any, operation: str = "Apply", **more: str) -> dict[str, Any]:
    inner = {"f:template": {"f:spec": {"f:containers": {'k:{"name":"node"}': fields}}}}
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": inner}, **more}


def thing(*entries: Any, annotation: str = "", **box: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "node", "namespace": "depin", "uid": "u", "resourceVersion": "7",
            "annotations": {"orcha.dev/sets": annotation}, "managedFields": list(entries),
        },
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "node", **box}]}}},
    }  # fmt: skip


# arguments


@pytest.mark.parametrize(
    ("args", "texts", "after"),
    [
        (["--x=1"], ["2"], ["--x=2"]),
        (["--x", "1", "a"], ["2"], ["--x", "2", "a"]),
        (["a", "--xy=1"], ["2"], ["a", "--xy=1", "--x=2"]),
        (["--x=1", "b", "--x", "3"], ["2", "4"], ["--x=2", "b", "--x", "4"]),
        (["--x=1", "b", "--x=3"], ["2"], ["--x=2", "b", "--x=2"]),
        (["--x", "--y"], ["2"], ["--x=2", "--y"]),
        (["--x=2", "--y"], [None], ["--x", "--y"]),
        (["a", "--x", "1", "b", "--x=3"], None, ["a", "b"]),
        ([], None, []),
        ([], ["2"], ["--x=2"]),
    ],
    ids=["with =", "apart", "missing", "two values", "one value for two", "bare", "bare again", "out", "nothing out of nothing", "empty"],
)  # fmt: skip
def test_a_flag_is_set_where_it_stands(args, texts, after):
    assert with_flag(args, "--x", texts) == after


def test_a_flag_that_the_manifest_writes_apart_is_added_apart():
    assert with_flag(["a"], "--x", ["2"], apart=True) == ["a", "--x", "2"]


words = st.sampled_from(["--x", "--x=1", "--x=", "--xy", "--y=2", "a", "b=c", "-v"])


@given(st.lists(words, max_size=7), st.booleans())
def test_a_flag_that_was_changed_goes_back_to_the_letter(args, apart):
    before = flag_values(args, "--x")
    there = with_flag(args, "--x", ["new"] * len(before or [""]), apart=apart)
    assert set(flag_values(there, "--x") or ()) == {"new"}
    assert with_flag(there, "--x", before, apart=apart) == args


# owners


def test_ownership_is_read_from_lists_that_are_kept_by_name():
    found = owners(
        thing(
            managed("helm", {"f:args": {}, "f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}}, "Update"),
            managed("orcha", {"f:resources": {"f:limits": {"f:cpu": {}}}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {}}}),
            {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "empty", "operation": "Update"},
        )
    )  # fmt: skip
    assert found == {
        Field("args", "node"): ("helm",),
        Field("env", "node", "A"): ("helm",),
        Field("limits", "node", "cpu"): ("orcha",),
        Field("replicas"): ("kubectl",),
    }


@pytest.mark.parametrize(
    ("entry", "is_ours"),
    [
        (managed("orcha", {"f:args": {}}), True),
        (managed("orcha", {"f:args": {}}, "Update"), False),
        (managed("orcha", {"f:args": {}}, subresource="scale"), False),
        (managed("orchard", {"f:args": {}}), False),
    ],
    ids=["applied", "updated", "another subresource", "another name"],
)
def test_only_what_orcha_applied_is_orchas(entry, is_ours):
    assert ours(thing(entry)) == ({Field("args", "node")} if is_ours else set())


@pytest.mark.parametrize("field", [Field("replicas"), Field("args", "node", "--a/b"), Field("env", "node", "A"), Field("limits", "n", "cpu")], ids=str)  # fmt: skip
def test_a_field_is_known_again_by_its_key(field):
    assert field_of(field.key) == field
    assert listed(thing(annotation=f"x {field.key}")) == {field}


def test_fields_of_two_containers_and_their_arguments_are_applied_together():
    entry = managed("orcha", {"f:args": {}, "f:env": {'k:{"name":"A"}': {"f:value": {}}}})
    seen = thing(entry, args=["--x=1"], env=[{"name": "A", "value": "1"}])
    applies = applied(seen, {Field("args", "node", "--x"): ["2"]})
    assert body(seen, applies)["spec"]["template"]["spec"]["containers"] == [
        {"name": "node", "args": ["--x=2"], "env": [{"name": "A", "value": "1"}]}
    ]


# amounts


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpu", 2.0, "2"), ("cpu", 1.5, "1500m"), ("cpu", 0.0001, "1m"), ("cpu", 2.9999999999, "3"), ("cpu", 0.0, "0"),
        ("memory", 1610612736.0, "1536Mi"), ("memory", 2.0**34, "16Gi"), ("memory", 1e9, "1000000000"), ("memory", 1024.4, "1Ki"),
    ],
    ids=str,
)  # fmt: skip
def test_quantities_are_written_as_kubernetes_writes_them(name, amount, text):
    assert quantity(name, amount) == text


@given(st.floats(0.05, 256), st.floats(0.05, 256), st.floats(0.01, 1))
def test_sizing_twice_is_sizing_once_and_a_request_never_exceeds_its_limit(before, amount, share):
    has = {"requests": {"cpu": quantity("cpu", before * share)}, "limits": {"cpu": quantity("cpu", before)}}
    once = sized("cpu", amount, has)
    assert sized("cpu", amount, {part: {"cpu": text} for part, text in once.items()}) == once
    assert parse_quantity(once["requests"]) <= parse_quantity(once["limits"])
    assert abs(parse_quantity(once["limits"]) - amount) <= 0.0006


@pytest.mark.parametrize(
    ("template", "pod"),
    [
        ({"limits": {"cpu": "2"}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1"}, "limits": {}}),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}, {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}),
    ],
    ids=["a limit stands for the request", "only a request", "both, and no more than is set"],
)  # fmt: skip
def test_a_pod_has_what_its_template_means(template, pod):
    assert pod_resources(template, ["cpu"]) == pod


@pytest.mark.parametrize(("one", "other", "equal"), [("1", "1000m", True), ("1Gi", "1024Mi", True), ("1", None, False), (None, None, True)])  # fmt: skip
def test_quantities_that_say_the_same_are_the_same(one, other, equal):
    assert same(Field("limits", "node", "cpu"), one, other) is equal


def test_every_format_becomes_a_value():
    spec = Spec.model_validate(PLACE | {"env": {"A": "{storage:TB}TB"}, "args": ["--m", "{memory:GiB}"], "resources": ["cpu"], "replicas": "{cpu}"})  # fmt: skip
    found = wanted(spec, {"storage": 2e12, "memory": 2.0**31, "cpu": 2.0}, thing())
    assert found == {
        Field("env", "node", "A"): "2TB",
        Field("args", "node", "--m"): ["2"],
        Field("requests", "node", "cpu"): "2",
        Field("limits", "node", "cpu"): "2",
        Field("replicas"): 2,
    }
    assert set(found) == set(fields_of(spec))


def test_a_resource_without_an_amount_is_told():
    spec = Spec.model_validate(PLACE | {"resources": ["memory"]})
    with pytest.raises(CannotFill, match="resources names memory, and this workload is allocated cpu; leave it out"):
        wanted(spec, {"cpu": 1.0}, thing())


# what people write


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "nothing is set: name env, args, resources or replicas"),
        ({"kind": "Pod", "env": {"A": "{cpu}"}}, "a running Pod only takes resources"),
        ({"args": ["cpu={cpu}"]}, "'cpu={cpu}' is no flag with its format; write --flag={cpu}"),
        ({"args": ["--cpu"]}, "'--cpu' has no format; write --cpu={cpu}"),
        ({"args": ["--cpu", "{cpu}", "{cpu}"]}, "is no flag with its format"),
        ({"args": ["--a", "--b={cpu}"]}, "is no flag with its format"),
        ({"resources": ["cpu", "cpu"]}, "resources names one twice"),
        ({"resources": ["storage"]}, "Input should be 'cpu' or 'memory'"),
        ({"env": {"1A": "{cpu}"}}, "String should match pattern"),
        ({"namespace": "De.pin", "resources": ["cpu"]}, "String should match pattern"),
        ({"container": "a_b", "resources": ["cpu"]}, "String should match pattern"),
        ({"name": "a..b", "resources": ["cpu"]}, "String should match pattern"),
    ],
    ids=["nothing", "env of a Pod", "no flag", "no format", "two formats", "a flag for a format", "twice", "storage", "variable", "namespace", "container", "name"],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_is_written(change, said):
    with pytest.raises(ValidationError) as raised:
        Spec.model_validate(PLACE | change)
    assert said in str(raised.value)


def test_a_note_is_cut_to_what_the_server_takes():
    text = note(Order("rack-1/node", {"cpu": 2.0}, "t", "x" * 2000))
    assert text.startswith("rack-1/node: cpu 2. xxx")
    assert len(text) == 1024
