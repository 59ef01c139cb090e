"""The control plane that other tests stand on is a real one, and its nodes play along."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster, Refused
from tests.e2e.programs import until

pytestmark = [pytest.mark.tool("kubernetes"), pytest.mark.timeout(240), pytest.mark.xdist_group("kubernetes")]


def stateful(namespace: str, cpu: str, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    labels = {"app": "node"}
    resources = {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"cpu": "4", "memory": "64Mi"}}
    container = {"name": "node", "image": "node:1", "resources": resources}
    template = {"metadata": {"labels": labels, "annotations": annotations or {}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "node", "namespace": namespace},
        "spec": {"replicas": 1, "serviceName": "node", "selector": {"matchLabels": labels}, "template": template},
    }


@pytest.fixture
def api(cluster):
    return cluster.api()


@pytest.fixture
def namespace(cluster):
    with cluster.namespace("smoke") as name:
        yield name


@pytest.fixture
def started(api, namespace):
    """One StatefulSet with one Pod that is ready; gives the path of each."""

    def begin(**annotations: str) -> tuple[str, str]:
        api.apply(stateful(namespace, "500m", {name.replace("_", "/"): word for name, word in annotations.items()}))
        path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/node"
        until(lambda: api.settled(path), "the first roll-out")
        return path, f"/api/v1/namespaces/{namespace}/pods/node-0"

    return begin


def resize(cpu: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "node", "resources": {"requests": {"cpu": cpu}}}]}}


def cpu_in_status(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"])


def test_a_changed_template_rolls_the_pod(api, namespace, started):
    path, pod = started()
    before = api.get(pod)["metadata"]["uid"]
    generation = api.apply(stateful(namespace, "750m"))["metadata"]["generation"]
    settled = until(lambda: api.settled(path), "the second roll-out")
    after = api.get(pod)
    assert settled["metadata"]["generation"] == generation == 2
    assert after["metadata"]["uid"] != before
    assert cpu_in_status(after) == "750m"


def test_a_resize_keeps_the_pod_and_shows_in_its_status(api, started):
    _, pod = started()
    before = api.get(pod)["metadata"]["uid"]
    api.patch(f"{pod}/resize", resize("900m"))
    after = until(lambda: (found := api.get(pod)) and cpu_in_status(found) == "900m" and found, "the resize")
    assert after["metadata"]["uid"] == before
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    assert after["status"]["observedGeneration"] == after["metadata"]["generation"]


def test_a_resize_that_the_node_refuses_shows_as_a_condition(api, started):
    _, pod = started(**{"orcha.test_resize": "Infeasible"})
    api.patch(f"{pod}/resize", resize("900m"))

    def refused() -> dict[str, Any] | None:
        conditions = api.get(pod)["status"]["conditions"]
        return next((found for found in conditions if found["type"] == "PodResizePending"), None)

    assert until(refused, "the refusal")["reason"] == "Infeasible"
    assert cpu_in_status(api.get(pod)) == "500m"


def test_a_resize_that_would_change_the_quality_of_service_is_refused_by_the_api_server(api, started):
    _, pod = started()
    with pytest.raises(Refused, match="QOS Class may not change") as refused:
        api.patch(f"{pod}/resize", resize("4"))
    assert refused.value.status == 422


def test_a_field_of_another_manager_is_a_conflict_until_it_is_taken(api, namespace, started):
    started()
    with pytest.raises(Refused, match='conflict with \\\\"test\\\\"') as refused:
        api.apply(stateful(namespace, "1"), manager="orcha")
    assert refused.value.status == 409
    api.apply(stateful(namespace, "1"), manager="orcha", force=True)


def test_a_pod_that_fits_on_no_node_stays_pending(api, namespace):
    big = stateful(namespace, "9")
    del big["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    api.apply(big)

    def verdicts() -> list[str]:
        return [condition["reason"] for pod in api.pods(namespace) for condition in pod["status"].get("conditions", [])]

    assert until(verdicts, "the scheduler's verdict") == ["Unschedulable"]


def test_a_pod_told_never_to_be_ready_holds_the_roll_out_up(api, namespace, started):
    path, _ = started()
    api.apply(stateful(namespace, "500m", {"orcha.test/ready": "never"}))

    def ready() -> list[str]:
        pods = [pod for pod in api.pods(namespace) if "orcha.test/ready" in pod["metadata"].get("annotations", {})]
        conditions = [condition for pod in pods for condition in pod["status"].get("conditions", [])]
        return [condition["status"] for condition in conditions if condition["type"] == "Ready"]

    assert until(ready, "the new Pod's start") == ["False"]
    assert api.settled(path) is None


def test_an_api_server_that_was_killed_comes_back_with_everything(cluster: Cluster, api, started):
    path, pod = started()
    before = api.get(pod)["metadata"]["uid"]
    cluster.kill("kube-apiserver")
    with pytest.raises(httpx.TransportError):
        api.get(pod)
    cluster.run("kube-apiserver")
    until(cluster.serves, "the API server's return")
    assert api.get(pod)["metadata"]["uid"] == before
    api.patch(path, {"spec": {"replicas": 0}})
    until(lambda: api.settled(path), "the controllers' return")


def test_a_service_account_has_only_the_rights_it_was_given(cluster: Cluster, namespace):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    account = cluster.service_account(namespace, "reader", rules)
    assert account.api.pods(namespace) == []
    with pytest.raises(Refused, match="cannot list resource") as refused:
        account.api.get(f"/api/v1/namespaces/{namespace}/secrets")
    assert refused.value.status == 403
