"""The chart on a real Kubernetes, by the real Helm: installed, upgraded, rolled back, gone; its controller acts meanwhile.

Real: Helm, the API server with its admission, RBAC and controllers, and `orcha run` as the rendered container says: its
arguments, user, read-only root, volumes and the token of its ServiceAccount. Played: the image and the nodes (helm_pods.py).
"""

from __future__ import annotations

import time

import pytest

from tests.e2e.cluster import Refused
from tests.e2e.helm_pods import Pods
from tests.e2e.helm_release import NAME, TOKENS, Release, define, disk, restricted
from tests.e2e.programs import until
from tests.helm.charts import CHART, SHAPES, VERSIONS, Helm, merged, nested, shape

pytestmark = [
    pytest.mark.tool("kubernetes"),
    pytest.mark.tool("helm"),
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("kubernetes"),
]
AIM = 60.0
"""Seconds from `helm install` to ready."""
MOST = 2**20
"""Bytes of a Secret, as the API server takes them."""


def node(endpoint: str) -> dict:
    """A storagenode that is not reachable, which is no reason for a controller not to be ready."""
    spec = {"capacity": {"storage": "16Ti"}, "workloads": {"storj": {"protocol": "storj", "endpoint": endpoint}}}
    return {"labels": {"site": "attic"}, "spec": spec}


def nodes(*names: str) -> dict:
    return nested("manifests.nodes", {name: node(f"http://127.0.0.1:{9 + at}") for at, name in enumerate(names)})


@pytest.fixture(params=VERSIONS)
def helm(request, tool, tmp_path) -> Helm:
    return Helm(request.param, tool("helm") / request.param, tmp_path)


@pytest.fixture
def release(cluster, helm, free_port):
    with restricted(cluster, "release") as namespace, disk(cluster, namespace):
        made = Release(helm, cluster, namespace, free_port())
        made.secret("orcha-api", **TOKENS)
        yield made


@pytest.fixture
def pods(release, tmp_path):
    with Pods(release.cluster, release.namespace, tmp_path / "pods") as kubelet:
        yield kubelet


def test_it_is_installed_reloads_rolls_back_and_leaves_nothing_but_the_history(release, pods, record_property):
    before = until(lambda: furnished(release), "the namespace to be furnished")
    began = time.monotonic()
    said = release.install(nodes("rack-1"))
    seconds = time.monotonic() - began
    record_property("helm install to ready, seconds", round(seconds, 1))
    print(f"{release.helm.name} install to ready: {seconds:.1f} s")  # noqa: T201 pytest -s shows it
    assert seconds < AIM
    assert "Suggest" in said
    in_force(release, "rack-1")
    assert release.ask("status") is not None
    assert max(release.sizes()) < MOST

    first, process = release.pod()["metadata"]["uid"], pods.program("controller").process.pid
    release.upgrade(nodes("rack-1", "rack-2"))
    in_force(release, "rack-1", "rack-2")
    assert release.pod()["metadata"]["uid"] == first
    assert pods.program("controller").process.pid == process

    release.upgrade(merged(nodes("rack-1", "rack-2"), nested("manifests.settings.retention", "60d")))
    assert release.pod()["metadata"]["uid"] != first, "what is read at the start only needs another Pod"
    in_force(release, "rack-1", "rack-2")

    assert "Succeeded" in release.run("test", NAME, "--timeout=60s")

    release.run("rollback", NAME, "1", "--wait", "--timeout=60s")
    in_force(release, "rack-1")
    assert pods.restarts() == 0

    release.run("uninstall", NAME, "--wait", "--timeout=60s")
    until(lambda: release.objects() == before | {"PersistentVolumeClaim/orcha"}, "nothing but the history to be left")
    until(lambda: release.api.pods(release.namespace) == [], "the last Pod to end")


@pytest.mark.tool("strict-kinds")
@pytest.mark.parametrize("name", SHAPES)
def test_the_api_server_takes_every_shape(cluster, tool, free_port, tmp_path, name):
    """Made for real: validation, admission and defaults of every kind, CEL rules of the Prometheus operator's included."""
    admin, values = cluster.api(), shape(name)
    define(admin, tool("strict-kinds").glob("monitoring.coreos.com_*.yaml"))
    helm = Helm("helm4", tool("helm") / "helm4", tmp_path)
    with restricted(cluster, "shape") as namespace:
        release = Release(helm, cluster, namespace, free_port())
        for other in {each["metadata"].get("namespace", namespace) for each in helm.render(values)}:
            there(admin, other)
        before = until(lambda: furnished(release), "the namespace to be furnished")
        release.run("install", NAME, str(CHART), "--timeout=60s", values=values)
        assert len(release.objects()) > len(before)
        assert max(release.sizes()) < MOST
        release.run("uninstall", NAME, "--wait", "--timeout=60s")
        left = release.objects() - before
        assert {each for each in left if not each.startswith("PersistentVolumeClaim/")} == set()


def in_force(release, *names: str) -> None:
    """Wait until the controller has these nodes and no other."""
    until(lambda: release.nodes() == set(names), f"{', '.join(names)} in force")


def furnished(release) -> set[str]:
    """What every namespace has from the beginning; empty while it has not."""
    found = release.objects()
    return found if {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"} <= found else set()


def there(admin, namespace: str) -> None:
    """Make a namespace that a shape names, where there is none."""
    try:
        admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    except Refused as exc:
        if exc.status != 409:
            raise
