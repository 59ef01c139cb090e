"""The chart with acting values on a real Kubernetes: its controller changes StatefulSets with the rendered rights alone.

As in test_helm.py the rendered container's command runs here with the token of its ServiceAccount and nothing else; the
nodes are those of test_kubernetes_acting.py, in a namespace of their own.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from exporters.simulator.demo import TIB
from tests.e2e import kube_nodes
from tests.e2e.cluster import Manifest
from tests.e2e.helm_pods import Pods
from tests.e2e.helm_release import NAME, TOKENS, Release, disk, restricted
from tests.e2e.kube_acting import Past, Scene
from tests.e2e.kubelet import Kubelet, Nodes
from tests.e2e.programs import until
from tests.helm.charts import Helm, merged, nested

pytestmark = [
    pytest.mark.tool("kubernetes"),
    pytest.mark.tool("helm"),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("kubernetes"),
]
SECRET = "nodes"
FOLDER = f"/etc/orcha/secrets/{SECRET}"
KINDS = {"Node": "nodes", "AllocationPolicy": "policies"}


@pytest.fixture(scope="module")
def past(tmp_path_factory) -> Past:
    """A day of the world, lived once for all tests."""
    folder, now = tmp_path_factory.mktemp("past"), time.time()
    origin = (now - kube_nodes.PAST) // 3600 * 3600
    asyncio.run(kube_nodes.remember(origin, now, folder, f"sqlite:///{folder}/orcha.db"))
    return Past(origin, folder / "orcha.db")


@pytest.fixture
def scene(cluster, past, start, free_port, tmp_path) -> Iterator[Scene]:
    """The nodes after that past, in StatefulSets of a namespace of their own."""
    program = start(
        "-m", "tests.e2e.kube_nodes", "--origin", str(past.origin), "--folder", str(tmp_path / "nodes"), name="nodes"
    )
    first = until(lambda: program.said().partition("\n")[0] if "\n" in program.said() else "", "the simulated nodes")
    nodes = Nodes.at(first)
    with cluster.namespace("acting") as name:
        kubelet = Kubelet(cluster.api(), name, nodes)
        yield Scene(cluster, name, tmp_path, start, free_port, nodes, kubelet, "")
        kubelet.stop()
    assert kubelet.most["cpu"] <= 12


@pytest.fixture
def release(cluster, tool, free_port, tmp_path) -> Iterator[Release]:
    with restricted(cluster, "orcha") as namespace, disk(cluster, namespace):
        made = Release(Helm("helm4", tool("helm") / "helm4", tmp_path), cluster, namespace, free_port())
        made.secret("orcha-api", **TOKENS)
        yield made


@pytest.fixture
def pods(release, past, tmp_path) -> Iterator[Pods]:
    """With a disk on which that past is known."""
    with Pods(release.cluster, release.namespace, tmp_path / "pods") as kubelet:
        past.copied(kubelet.claim(NAME))
        yield kubelet


def values(scene: Scene) -> Manifest:
    """What the scene declares, as values of the chart."""
    found: Manifest = {}
    for file in sorted(scene.manifests.glob("*.yaml")):
        document = yaml.safe_load(file.read_text().replace(str(scene.secrets()), FOLDER))
        entry = {"labels": document["metadata"].get("labels", {}), "spec": document["spec"]}
        if document["kind"] == "Settings":
            found = merged(found, nested("manifests.settings", document["spec"]))
        else:
            found = merged(found, nested(f"manifests.{KINDS[document['kind']]}", {document["metadata"]["name"]: entry}))
    return merged(found, {"secrets": [{"name": SECRET}]})


def newest(release: Release) -> dict[str, Any] | None:
    """The newest program with its records; None: there is none yet."""
    found = release.ask("programs")
    return release.ask(f"programs/{found['programs'][0]['id']}") if found and found["programs"] else None


def operate(release: Release, path: str, **body: str) -> None:
    """One of the verbs, with the token that may."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKENS['operate']}"}
    request = urllib.request.Request(
        f"{release.address}/api/v1/{path}", json.dumps(body).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def state(release: Release, *states: str) -> dict[str, Any] | None:
    """The newest program where it is in one of these states."""
    found = newest(release)
    return found if found and found["state"] in states else None


def begun(release: Release, scene: Scene, mode: str) -> None:
    """The nodes run, their Secret is there, and the chart is installed in this mode."""
    scene.make("golem", "storj")
    scene.declare("golem", "storj")
    content = {path.name: path.read_text() for path in scene.secrets().iterdir()}
    release.secret(SECRET, **content)
    release.install(merged(values(scene), nested("manifests.policies.default.spec.mode", mode)))


def test_it_acts_on_its_own_with_exactly_the_rendered_rights(release, pods, scene):
    begun(release, scene, "Auto")
    program = until(lambda: state(release, "applied", "rolled_back"), "the program's end", 90)
    assert program["state"] == "applied", program
    assert scene.env("golem")["GOLEM_CPU_THREADS"] == "7"
    assert scene.env("storj")["STORJ_STORAGE_ALLOCATED_DISK_SPACE"] == f"{5.875 * TIB:.0f}B"
    assert all("AllocationChanged" in "".join(scene.events(name)) for name in ("golem", "storj"))
    assert pods.restarts() == 0
    assert not [token for token in TOKENS.values() if token in pods.said()]


def test_it_asks_first_where_it_has_to_and_acts_once_somebody_agrees(release, pods, scene):
    begun(release, scene, "Approve")
    program = until(lambda: state(release, "pending"), "a program to approve", 90)
    assert scene.thing("golem")["metadata"]["generation"] == 1
    operate(release, f"programs/{program['id']}/approve")
    until(lambda: state(release, "applied"), "the program's end", 90)
    assert scene.env("golem")["GOLEM_CPU_THREADS"] == "7"


def test_without_the_rendered_rights_it_changes_nothing_and_says_which_are_missing(release, pods, scene):
    scene.declare("golem", "storj")
    bare = merged(values(scene), {"rbac": {"create": False}})
    scene.make("golem", "storj")
    release.secret(SECRET, **{path.name: path.read_text() for path in scene.secrets().iterdir()})
    release.install(bare)
    program = until(lambda: state(release, "rolled_back"), "the program's end", 90)
    assert "orcha may not" in program["said"]
    assert scene.namespace in program["said"]
    assert scene.thing("golem")["metadata"]["generation"] == 1
