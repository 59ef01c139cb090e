"""What orcha is told through the chart: manifests from one source, which orcha itself accepts, and notes that say the mode."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from tests.helm.charts import (
    ROOT,
    SHAPES,
    Refused,
    controller,
    merged,
    nested,
    of_kind,
    shape,
    words,
)

pytestmark = pytest.mark.tool("helm")
KINDS = ("Node", "AllocationPolicy", "Settings")
ACTUATOR = {
    "kind": "StatefulSet",
    "namespace": "depin",
    "name": "storagenode",
    "container": "node",
    "env": {"A": "{storage:B}"},
}
STORJ = {
    "protocol": "storj",
    "endpoint": "http://storagenode.depin.svc:14002",
    "allocation": {"resource": "storage", "min": "1Ti", "max": "8Ti", "step": "128Gi"},
    "actuator": {"kubernetes": ACTUATOR},
}
NODE = {"labels": {"site": "attic"}, "spec": {"capacity": {"storage": "16Ti"}, "workloads": {"storj": STORJ}}}
NODES = nested("manifests.nodes", {"rack-1": NODE})
SOURCES = {
    "existingConfigMap": {"existingConfigMap": "mine"},
    "gitSync": {"gitSync": {"enabled": True, "repository": "https://git.example/manifests"}},
    "values": {"nodes": {"rack-1": NODE}},
    "volume": {"volume": {"persistentVolumeClaim": {"claimName": "mine"}}},
}
REFUSED = {
    "a listener on loopback, which no probe reaches": ({"controller": {"listen": "127.0.0.1:9872"}}, "127.0.0.1"),
    "a tag that moves": ({"image": {"tag": "latest"}}, "latest"),
    "nothing at all": ({"controller": {"enabled": False}}, "exporter"),
    "two disruptions": (
        {"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1}},
        "minAvailable",
    ),
    "two replicas with a disk": ({"controller": {"replicas": 2}}, "PostgreSQL"),
    "two replicas without their rights": (
        {"controller": {"replicas": 2}, "state": {"existingSecret": {"name": "a"}}, "rbac": {"create": False}},
        "rbac",
    ),
}


def mode(name: str, **more) -> dict:
    return nested("manifests.policies.default.spec", {"mode": name} | more)


def manifests(found) -> dict[str, str]:
    """The files that orcha reads, by their names."""
    return {
        name: text
        for each in of_kind(found, "ConfigMap")
        for name, text in each["data"].items()
        if name.endswith(".yaml") and "orcha.dev/" in text
    }


def validate(found, folder) -> subprocess.CompletedProcess[str]:
    """What `orcha validate` says about them."""
    folder.mkdir(exist_ok=True)
    for name, text in manifests(found).items():
        (folder / name).write_text(text)
    argv = [sys.executable, "-m", "controller", "validate", str(folder)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", SHAPES)
def test_orcha_accepts_the_manifests_of_every_shape(helm4, tmp_path, name):
    found = helm4.render(shape(name))
    if manifests(found):
        done = validate(found, tmp_path / "manifests")
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_are_the_values_to_the_letter(helm, tmp_path):
    values = merged(
        NODES, mode("Off", limits={"maxStepPercent": 6}), nested("manifests.settings.prices.static", {"GLM": 0.22})
    )
    found = helm.render(values)
    done = validate(found, tmp_path / "manifests")
    assert done.returncode == 0, done.stdout + done.stderr
    documents = {each["kind"]: each for each in map(yaml.safe_load, manifests(found).values())}
    assert set(documents) == set(KINDS)
    assert documents["Node"]["metadata"] == {"name": "rack-1", "labels": {"site": "attic"}}
    assert documents["Node"]["spec"] == NODE["spec"]
    assert documents["AllocationPolicy"]["spec"] == {"mode": "Off", "limits": {"maxStepPercent": 6}}
    assert documents["Settings"]["spec"]["prices"] == {"static": {"GLM": 0.22}}


def test_large_numbers_and_dates_arrive_as_they_were_written(helm, tmp_path):
    spec = merged(
        NODE,
        nested(
            "spec.workloads.storj",
            {"allocation": {"resource": "storage", "min": 1000000000000, "max": 12345678901234, "step": 1e11}},
        ),
    )
    found = helm.render(nested("manifests.nodes", {"rack-1": spec}))
    (node,) = [each for each in map(yaml.safe_load, manifests(found).values()) if each["kind"] == "Node"]
    allocation = node["spec"]["workloads"]["storj"]["allocation"]
    assert (float(allocation["min"]), float(allocation["max"])) == (1e12, 12345678901234.0)
    assert validate(found, tmp_path / "manifests").returncode == 0


def test_without_a_node_the_controller_starts_all_the_same(helm4, tmp_path):
    done = validate(helm4.render({}), tmp_path / "manifests")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_the_controller_reads_where_the_manifests_are_mounted(helm, source):
    spec = controller(helm.render({"manifests": SOURCES[source]}))["spec"]["template"]["spec"]
    (box,) = [each for each in spec["containers"] if "run" in words(each)]
    folders = [words(box)[at + 1] for at, word in enumerate(words(box)) if word == "--manifests"]
    folders += [word.partition("=")[2] for word in words(box) if word.startswith("--manifests=")]
    assert folders
    mounts = [each["mountPath"] for each in box["volumeMounts"] if "subPath" not in each]
    for folder in folders:
        assert any(folder == mount or folder.startswith(f"{mount}/") for mount in mounts), folder


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"values"}))
@pytest.mark.parametrize("other", sorted(SOURCES))
def test_two_sources_at_once_are_refused_with_both_names(helm4, source, other):
    values = {"manifests": merged(SOURCES[source], SOURCES[other])}
    if other == source:
        assert controller(helm4.render(values))
        return
    said = helm4.refusal(values)
    assert source in said
    assert ("nodes" if other == "values" else other) in said


def test_git_is_fetched_once_before_and_then_beside_the_controller(helm):
    values = {
        "manifests": nested(
            "gitSync", {"enabled": True, "repository": "https://git.example/m", "ref": "v1", "path": "home"}
        )
    }
    spec = controller(helm.render(values))["spec"]["template"]["spec"]
    (first,) = spec["initContainers"]
    (beside,) = [each for each in spec["containers"] if "git-sync" in each["image"]]
    assert any(word.startswith("--one-time") for word in words(first))
    assert not any(word.startswith("--one-time") for word in words(beside))
    for box in (first, beside):
        assert {"--repo=https://git.example/m", "--ref=v1"} <= set(words(box))
    (run,) = [each for each in spec["containers"] if "run" in words(each)]
    assert any(word.endswith("/home") for word in words(run))


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_makes_no_sense_is_refused_with_a_sentence(helm, case):
    values, word = REFUSED[case]
    said = helm.refusal(values)
    assert word in said
    assert "nil pointer" not in said
    assert "can't evaluate" not in said


def test_postgresql_and_the_lease_make_two_replicas(helm4):
    found = helm4.render({"controller": {"replicas": 2}, "state": {"existingSecret": {"name": "orcha-state"}}})
    assert controller(found)["spec"]["replicas"] == 2
    assert of_kind(found, "PersistentVolumeClaim") == []
    (settings,) = [each for each in map(yaml.safe_load, manifests(found).values()) if each["kind"] == "Settings"]
    assert settings["spec"]["stateFile"] == "/etc/orcha/secrets/orcha-state/url"


def test_a_release_by_a_name_that_no_service_may_have_is_told_what_to_write(helm4):
    with pytest.raises(
        Refused, match="a Service's name begins with a letter; write fullnameOverride, such as orcha-2nd"
    ):
        helm4.template({}, name="2nd")
    assert helm4.template({"fullnameOverride": "orcha-2nd"}, name="2nd")


# --- notes ------------------------------------------------------------------------------------------------------------


def test_notes_say_which_mode_is_on_and_how_to_see_the_first_plan(helm4):
    notes = {name: helm4.notes(merged(NODES, mode(name))) for name in ("Suggest", "Approve", "Auto", "Off")}
    assert len(set(notes.values())) == 4
    for name, said in notes.items():
        assert name in said
        assert "orcha plan" in said or name == "Off"
    assert "changes nothing" in notes["Suggest"]
    assert "changes nothing" not in notes["Auto"]


def test_notes_of_a_release_without_nodes_say_what_comes_first(helm4):
    assert "manifests.nodes" in helm4.notes({})


def test_notes_warn_of_acting_without_a_memory(helm4):
    acting, forgetful = merged(NODES, mode("Auto")), {"state": {"persistence": {"enabled": False}}}
    assert "persistence" in helm4.notes(merged(acting, forgetful))
    assert "persistence" not in helm4.notes(acting)


def test_notes_name_the_secret_that_a_node_needs_and_no_pod_gets(helm4):
    golem = {
        "protocol": "golem", "endpoint": "http://yagna:7465", "credentials": {"appKeyFile": "/etc/orcha/secrets/yagna/app-key"},
    }  # fmt: skip
    nodes = nested("manifests.nodes", {"mini": {"spec": {"workloads": {"golem": golem}}}})
    needed = "Write secrets: [{name: yagna}]"
    assert needed in helm4.notes(nodes)
    mounted = {"name": "mine", "mountPath": "/etc/orcha/secrets/yagna"}
    for given in (
        {"secrets": [{"name": "yagna"}]},
        {"controller": {"extraVolumeMounts": [mounted]}},
        {"controller": {"extraVolumeMounts": [mounted | {"mountPath": "/etc/orcha/secrets"}]}},
    ):
        assert needed not in helm4.notes(merged(nodes, given)), given
    assert needed in helm4.notes(merged(nodes, {"secrets": [{"name": "yagna-2"}]}))


def test_notes_promise_a_plan_only_where_there_will_be_one(helm4):
    nobody = {"manifests": {"policies": {"default": None}}}
    assert "there is no policy" in helm4.notes(merged(NODES, nobody))
    assert "Policies wait" not in helm4.notes(nobody)
    promise = "THE FIRST PLAN"
    assert promise not in helm4.notes(merged(NODES, nobody))
    assert promise not in helm4.notes(merged(NODES, mode("Off")))
    for plans in (NODES, {}, merged(NODES, mode("Auto"))):
        assert promise in helm4.notes(plans)
    assert "orcha plan --manifests" in helm4.notes(merged(NODES, mode("Off"))), "what it sees is worth a look"
