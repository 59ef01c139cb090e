"""A release of the chart on a real control plane, whose Pods run here (helm_pods.py), and what is left of it afterwards."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import Api, Cluster, Manifest, Refused
from tests.e2e.helm_pods import UNREADY
from tests.e2e.programs import get, until
from tests.helm.charts import CHART, Helm, merged
from tests.helm.kinds import definition

RESTRICTED = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
TOKENS = {"read": "a-token-to-read-with-0123456789", "operate": "a-token-to-operate-with-0123456789"}
NAME = "orcha"
FLEETING = {"Event", "Lease", "Pod", "ReplicaSet", "Endpoints", "EndpointSlice", "ControllerRevision"}
"""Kinds that controllers make and remove in their own time."""


@dataclass(frozen=True)
class Release:
    """`orcha` in a namespace, by one version of Helm. `port`: of this machine, where its controller listens."""

    helm: Helm
    cluster: Cluster
    namespace: str
    port: int

    @property
    def api(self) -> Api:
        return self.cluster.api()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *argv: str, values: Mapping[str, Any] | None = None) -> str:
        where = {"KUBECONFIG": str(self.cluster.kubeconfig())}
        more = [] if values is None else ["--values=-"]
        text = "" if values is None else yaml.safe_dump(self.here(values))
        return self.helm.run(*argv, f"--namespace={self.namespace}", *more, stdin=text, **where)

    def here(self, values: Mapping[str, Any]) -> Manifest:
        """The values, for a controller that listens where this machine has room and is ready when it says so."""
        return merged(
            {
                "controller": {"listen": f":{self.port}", "podAnnotations": UNREADY},
                "service": {"port": self.port},
                "api": {"existingSecret": {"name": "orcha-api"}},
            },
            values,
        )

    def install(self, values: Mapping[str, Any]) -> str:
        return self.run("install", NAME, str(CHART), "--wait", "--timeout=60s", values=values)

    def upgrade(self, values: Mapping[str, Any]) -> str:
        return self.run("upgrade", NAME, str(CHART), "--wait", "--timeout=60s", values=values)

    def secret(self, name: str, **content: str) -> None:
        """A Secret of the operator, which the chart only names."""
        place = {"namespace": self.namespace, "name": name}
        self.api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": place, "stringData": content})

    def metrics(self) -> dict[str, float]:
        """Series -> value, as the controller serves them; {} while nobody answers."""
        lines = [line.rsplit(" ", 1) for line in get(f"{self.address}/metrics")[1].splitlines() if line[:1].isalpha()]
        return {series: float(value) for series, value in lines}

    def nodes(self) -> set[str]:
        """The nodes that are in force."""
        wanted = 'orcha_node_capacity_storage_bytes{node="'
        return {series.removeprefix(wanted).partition('"')[0] for series in self.metrics() if series.startswith(wanted)}

    def ask(self, path: str) -> Any:
        """What the API answers to who may read; None: nothing yet."""
        code, body = get(f"{self.address}/api/v1/{path}", {"Authorization": f"Bearer {TOKENS['read']}"})
        return json.loads(body) if code == 200 else None

    def pod(self) -> Manifest:
        """The one Pod of the controller."""
        (found,) = [
            each
            for each in self.api.pods(self.namespace, "app.kubernetes.io/component=controller")
            if not each["metadata"].get("deletionTimestamp")
        ]
        return found

    def sizes(self) -> list[int]:
        """How large the Secrets are in which Helm keeps the release's revisions, as the API server counts."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/secrets", labelSelector=f"owner=helm,name={NAME}")
        return [len(base64.b64decode(each["data"]["release"])) for each in found["items"]]

    def objects(self) -> set[str]:
        """Kind and name of everything in the namespace, but what controllers make and remove in their own time."""
        return {f"{kind}/{name}" for kind, name in _everything(self.api, self.namespace) if kind not in FLEETING}


def _everything(api: Api, namespace: str) -> Iterator[tuple[str, str]]:
    roots = ["/api/v1", *(f"/apis/{each['preferredVersion']['groupVersion']}" for each in api.get("/apis")["groups"])]
    for root in roots:
        for kind in api.get(root)["resources"]:
            if kind["namespaced"] and "list" in kind["verbs"] and "/" not in kind["name"]:
                for each in api.get(f"{root}/namespaces/{namespace}/{kind['name']}")["items"]:
                    yield kind["kind"], each["metadata"]["name"]


@contextmanager
def restricted(cluster: Cluster, name: str) -> Iterator[str]:
    """A namespace in which the API server itself admits restricted Pods only."""
    with cluster.namespace(name) as made:
        cluster.api().patch(f"/api/v1/namespaces/{made}", RESTRICTED)
        yield made


@contextmanager
def disk(cluster: Cluster, namespace: str) -> Iterator[None]:
    """A disk for the claim of a release there."""
    place = {"name": f"disk-of-{namespace}"}
    spec = {
        "capacity": {"storage": "10Gi"},
        "claimRef": {"namespace": namespace, "name": NAME},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/var/lib/none"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    made = cluster.api().create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": place, "spec": spec})
    try:
        yield
    finally:
        cluster.api().delete(f"/api/v1/persistentvolumes/{made['metadata']['name']}")


def define(api: Api, files: Iterable[Path]) -> None:
    """Make kinds of others known to the API server, where they are not yet, and wait until it serves them."""
    found = [definition(file) for file in files]
    for each in found:
        try:
            api.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", each)
        except Refused as exc:
            if exc.status != 409:
                raise
    for each in found:
        name = each["metadata"]["name"]
        until(lambda each=each: _is_served(api, each["spec"]), f"{name} to be served")


def _is_served(api: Api, spec: Mapping[str, Any]) -> bool:
    """Whether its objects can be listed in every version: right after it was made, the API server says 404 or 429."""
    try:
        for version in spec["versions"]:
            api.get(f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")
    except Refused:
        return False
    return True
