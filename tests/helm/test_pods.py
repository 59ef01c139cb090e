"""What becomes a Pod: restricted, with probes and limits, with every field that somebody may want to add."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.helm import charts
from tests.helm.charts import SHAPES, containers, controller, merged, named, nested, of_kind, pods, shape
from tests.helm.restricted import breaches, lapses

pytestmark = pytest.mark.tool("helm")
TEMPORARY = "/tmp"  # noqa: S108 the only place of the image that anything may write to
DIGEST = "sha256:" + "0123456789abcdef" * 4
EXPORTERS = ["DaemonSet", "Deployment", "Sidecar"]
NODE = {
    "spec": {
        "capacity": {"cpu": "4"},
        "workloads": {"storj": {"protocol": "storj", "endpoint": "http://a:14002"}},
    }
}
NODES = nested("manifests.nodes", {"node-a": NODE})
SECURE = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_container_is_restricted_also_in_hooks(helm, name):
    found = dict(pods(helm.render(shape(name))))
    assert {where: breaches(pod) for where, pod in found.items() if breaches(pod)} == {}
    assert found


@pytest.mark.parametrize("name", SHAPES)
def test_every_container_has_a_number_for_its_user_a_read_only_root_requests_and_limits(helm, name):
    found = {where: lapses(pod) for where, pod in pods(helm.render(shape(name)))}
    assert {where: each for where, each in found.items() if each} == {}


@pytest.mark.parametrize("kind", ["none", *EXPORTERS])
def test_liveness_and_readiness_are_asked_apart(helm4, kind):
    found = helm4.render(merged(NODES, {"exporter": {"kind": kind}}))
    boxes = [
        box
        for each in of_kind(found, "Deployment", "DaemonSet")
        for box in each["spec"]["template"]["spec"]["containers"]
    ]
    assert len(boxes) == (1 if kind == "none" else 2)
    for box in boxes:
        assert box["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert box["readinessProbe"]["httpGet"]["path"] == "/readyz"
        ports = {port["name"] for port in box["ports"]}
        assert {box[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")} <= ports


@pytest.mark.parametrize("name", SHAPES)
def test_no_image_is_the_latest_and_each_is_pulled_only_where_it_is_missing(helm, name):
    for where, pod in pods(helm.render(shape(name))):
        for box in containers(pod):
            assert re.search(r"(:v?\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})$|^busybox:", box["image"]), (
                f"{where}: {box['image']}"
            )
            assert box.get("imagePullPolicy", "IfNotPresent") == "IfNotPresent"


def test_a_digest_beats_a_tag_and_a_tag_the_chart_s_version(helm):
    def images(**image):
        return {
            box["image"]
            for _, pod in pods(helm.render({"image": {"repository": "registry.example/orcha"} | image}))
            for box in containers(pod)
        }

    from exporters import __version__

    assert images() == {f"registry.example/orcha:{__version__}"}
    assert images(tag="1.2.3") == {"registry.example/orcha:1.2.3"}
    assert images(tag="1.2.3", digest=DIGEST) == {f"registry.example/orcha@{DIGEST}"}
    assert images(digest=DIGEST) == {f"registry.example/orcha@{DIGEST}"}


def test_pull_secrets_are_for_every_pod(helm4):
    for where, pod in pods(
        helm4.render(merged(NODES, {"imagePullSecrets": [{"name": "registry"}], "exporter": {"kind": "Deployment"}}))
    ):
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], where


ADDED = {
    "affinity": ({"nodeAffinity": {}}, lambda pod, _: pod["spec"]["affinity"] == {"nodeAffinity": {}}),
    "extraContainers": (
        [{"name": "more", "image": "more:1.0.0"}],
        lambda pod, _: "more" in [box["name"] for box in pod["spec"]["containers"]],
    ),
    "extraEnv": ([{"name": "A", "value": "b"}], lambda _, box: {"name": "A", "value": "b"} in box["env"]),
    "extraEnvFrom": ([{"secretRef": {"name": "s"}}], lambda _, box: box["envFrom"] == [{"secretRef": {"name": "s"}}]),
    "extraVolumeMounts": (
        [{"name": "more", "mountPath": "/more"}],
        lambda _, box: {"name": "more", "mountPath": "/more"} in box["volumeMounts"],
    ),
    "extraVolumes": (
        [{"name": "more", "emptyDir": {}}],
        lambda pod, _: {"name": "more", "emptyDir": {}} in pod["spec"]["volumes"],
    ),
    "initContainers": (
        [{"name": "first", "image": "more:1.0.0"}],
        lambda pod, _: "first" in [box["name"] for box in pod["spec"]["initContainers"]],
    ),
    "nodeSelector": ({"a": "b"}, lambda pod, _: pod["spec"]["nodeSelector"] == {"a": "b"}),
    "podAnnotations": ({"a": "b"}, lambda pod, _: pod["metadata"]["annotations"]["a"] == "b"),
    "podLabels": ({"a": "b"}, lambda pod, _: pod["metadata"]["labels"]["a"] == "b"),
    "priorityClassName": ("high", lambda pod, _: pod["spec"]["priorityClassName"] == "high"),
    "terminationGracePeriodSeconds": (77, lambda pod, _: pod["spec"]["terminationGracePeriodSeconds"] == 77),
    "tolerations": ([{"operator": "Exists"}], lambda pod, _: pod["spec"]["tolerations"] == [{"operator": "Exists"}]),
    "topologySpreadConstraints": (
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        lambda pod, _: pod["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "zone",
    ),
}  # fmt: skip
"""A field of `controller` and `exporter`, what is put there, and how it is found again in the Pod and its first container."""


@pytest.mark.parametrize("field", sorted(ADDED))
@pytest.mark.parametrize("whose", ["controller", "exporter"])
def test_what_somebody_adds_is_in_the_pod(helm4, whose, field):
    value, is_there = ADDED[field]
    values = merged(NODES, {"exporter": {"kind": "Deployment"}}, {whose: {field: value}})
    found = of_kind(helm4.render(values), "Deployment")
    pod = next(each["spec"]["template"] for each in found if charts.runs(each, "run") is (whose == "controller"))
    assert is_there(pod, pod["spec"]["containers"][0])


def test_extra_manifests_are_rendered_as_maps_and_as_text(helm):
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n"
    names = [named(each) for each in helm.render({"extraManifests": [made, text]})]
    assert {"ConfigMap/orcha-more", "ConfigMap/orcha-text"} <= set(names)


def test_one_controller_is_replaced_by_recreating_it_since_its_state_has_one_writer(helm):
    found = controller(helm.render({}))
    assert found["spec"].get("replicas", 1) == 1
    assert found["spec"]["strategy"] == {"type": "Recreate"}


def test_the_state_outlives_the_pod_on_a_claim_and_only_there_is_it_written(helm4):
    found = helm4.render({})
    (claim,) = of_kind(found, "PersistentVolumeClaim")
    spec = controller(found)["spec"]["template"]["spec"]
    by_name = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {each["mountPath"]: by_name[each["name"]] for each in spec["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/orcha"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    writable = {each["mountPath"] for each in spec["containers"][0]["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/var/lib/orcha", TEMPORARY}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"state": {"persistence": {"enabled": False}}}, "emptyDir"),
        ({"state": {"persistence": {"existingClaim": "mine"}}}, "persistentVolumeClaim"),
    ],
    ids=["none", "mine"],
)
def test_another_place_for_the_state_makes_no_claim(helm4, values, kind):
    found = helm4.render(values)
    assert of_kind(found, "PersistentVolumeClaim") == []
    volumes = controller(found)["spec"]["template"]["spec"]["volumes"]
    assert any(kind in each for each in volumes)


def test_secrets_are_named_never_written(helm4):
    for name in SHAPES:
        bare = merged(shape(name), {"extraManifests": []})
        assert of_kind(helm4.render(bare), "Secret") == [], name


def test_an_existing_secret_is_a_folder_that_can_only_be_read(helm):
    found = controller(helm.render({"secrets": [{"name": "storj-keys", "optional": True}]}))["spec"]["template"]["spec"]
    (mount,) = [
        each for each in found["containers"][0]["volumeMounts"] if each["mountPath"] == "/etc/orcha/secrets/storj-keys"
    ]
    (volume,) = [each for each in found["volumes"] if each["name"] == mount["name"]]
    assert mount["readOnly"] is True
    assert "subPath" not in mount, "a changed Secret would not arrive"
    assert volume["secret"]["secretName"] == "storj-keys"
    assert volume["secret"]["optional"] is True


def test_two_secrets_are_two_folders_and_a_secret_that_is_named_twice_is_one(helm4):
    values = {"secrets": [{"name": "a"}, {"name": "b"}], "api": {"existingSecret": {"name": "b"}}}
    spec = controller(helm4.render(values))["spec"]["template"]["spec"]
    paths = [each["mountPath"] for each in spec["containers"][0]["volumeMounts"]]
    assert len(set(paths)) == len(paths)
    assert len({each["name"] for each in spec["volumes"]}) == len(spec["volumes"])
    assert {"/etc/orcha/secrets/a", "/etc/orcha/secrets/b"} <= set(paths)


def test_what_is_read_at_the_start_only_rolls_the_pod_and_nothing_else_does(helm):
    def template(**values):
        return controller(helm.render(merged(NODES, values)))["spec"]["template"]

    before = template()
    assert template(manifests=nested("settings.retention", "60d")) != before
    assert template(manifests=nested("policies.default.spec.mode", "Auto")) == before
    assert template(manifests={"nodes": {"node-b": NODE}}) == before
    assert template(manifests=nested("settings.prices.static", {"GLM": 0.3})) == before


@pytest.mark.parametrize("kind", EXPORTERS)
def test_an_exporter_runs_where_it_is_asked_for_and_never_gets_a_token(helm, kind):
    found = helm.render(merged(NODES, {"exporter": {"kind": kind}}))
    holding = [
        (named(each), each["spec"]["template"]["spec"])
        for each in of_kind(found, "Deployment", "DaemonSet")
        if any(
            "exporter" in " ".join([box["name"], *charts.words(box)])
            for box in each["spec"]["template"]["spec"]["containers"]
        )
    ]
    assert len(holding) == 1
    ((where, spec),) = holding
    assert where.startswith("DaemonSet/" if kind == "DaemonSet" else "Deployment/")
    assert (len(spec["containers"]) == 2) is (kind == "Sidecar")
    assert spec["automountServiceAccountToken"] is False


def test_every_port_that_is_served_is_a_port_of_its_container(helm4):
    found = helm4.render(merged(NODES, {"exporter": {"kind": "Deployment"}}))
    for service, (_, pod) in itertools.product(of_kind(found, "Service"), pods(found)):
        if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items():
            names = {port["name"] for box in pod["spec"]["containers"] for port in box.get("ports", ())}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
