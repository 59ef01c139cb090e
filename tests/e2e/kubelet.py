"""A kubelet's part, for Pods on nodes that only kwok plays: simulated nodes run in them as containers would.

A node's process ends with its Pod, and is started by the next one with the variables and limits that this Pod has, neither
before it runs nor otherwise. On the way it looks ten times a second at what the nodes really hold.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from exporters.quantity import parse_quantity
from exporters.simulator.demo import GIB
from tests.e2e import kube_nodes
from tests.e2e.cluster import Api, Manifest, Refused
from tests.e2e.programs import get

NAMES = {"golem": "golem", "storj": "storagenode", "akash": "akash"}
"""Workload -> its StatefulSet; the second as on the page about Kubernetes."""


def post(url: str, body: Mapping[str, Any]) -> None:
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, kind, method="POST"), timeout=10) as answer:
        assert answer.status == 200


@dataclass
class Nodes:
    """The simulated nodes, by their control port."""

    where: dict[str, str]

    @classmethod
    def at(cls, line: str) -> Self:
        """The nodes that printed this line."""
        return cls(json.loads(line))

    def tell(self, path: str, **body: Any) -> None:
        post(f"{self.where['control']}/{path}", body)

    def truth(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(get(f"{self.where['control']}/truth")[1]))

    def held(self) -> dict[str, float]:
        """What all of them together hold, of what is scarce: the larger of what is configured and what is in force."""
        truth = {key.partition("/")[2]: each for key, each in self.truth().items()}
        most = {
            name: max(truth[name][which][resource] for which in ("allocated", "configured"))
            for name, resource in (("golem", "cpu"), ("akash", "cpu"), ("storj", "storage"))
        }
        memory = max(truth["golem"]["allocated"]["memory"], most["golem"] * 1.5 * GIB)
        return {
            "cpu": most["golem"] + most["akash"],
            "memory": memory + most["storj"] * kube_nodes.MEMORY_PER_BYTE_STORED,
        }


class Kubelet:
    """For the Pods of one namespace. `fails`: workload -> the cores above which its container never becomes ready;
    `slow`: workload -> seconds that its process takes to start.
    """

    def __init__(self, api: Api, namespace: str, nodes: Nodes) -> None:
        self.api, self.namespace, self.nodes = api, namespace, nodes
        self.fails: dict[str, float] = {}
        self.slow: dict[str, float] = {}
        self.running: dict[str, str] = {}
        """Workload -> the uid of the Pod in which it runs."""
        self.failures: list[str] = []
        self.most = {"cpu": 0.0, "memory": 0.0}
        self._seen: dict[str, float] = {}
        """uid of a Pod -> since when it runs."""
        self._configured: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def begin(self) -> None:
        """The nodes run already, in the Pods that are there."""
        for name, pod in self._pods().items():
            self.running[name] = pod["metadata"]["uid"]
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(20)
        assert self.failures == []

    def _live(self) -> None:
        while not self._over.wait(0.1):
            try:
                self._look()
            except (httpx.TransportError, Refused):
                continue  # the API server is gone: what runs goes on running
            except Exception as exc:  # noqa: BLE001 it is told where the test ends
                self.failures.append(f"{type(exc).__name__}: {exc}")
                return

    def _look(self) -> None:
        held = self.nodes.held()
        self.most = {name: max(self.most[name], amount) for name, amount in held.items()}
        found = self._pods()
        for name in NAMES:
            pod = found.get(name)
            uid = pod["metadata"]["uid"] if pod else None
            if self.running.get(name) not in {None, uid}:
                self.nodes.tell(f"apply/rack-1/{name}", power="off")
                del self.running[name]
            if pod and uid and name not in self.running and self._starts(name, uid, pod["spec"]["containers"][0]):
                self.nodes.tell(f"apply/rack-1/{name}", power="on")
                self.running[name] = uid

    def _starts(self, name: str, uid: str, box: Manifest) -> bool:
        """Let the process of a Pod start; whether it is up. A Golem provider is, once its offer stands."""
        since = self._seen.setdefault(uid, time.monotonic())
        if time.monotonic() - since < self.slow.get(name, 0.0):
            return False
        if uid not in self._configured:
            self._configured.add(uid)
            self._configure(name, box)
        golem = self.nodes.truth()["rack-1/golem"]
        return name != "golem" or bool(golem["allocated"]["cpu"] == golem["configured"]["cpu"])

    def _pods(self) -> dict[str, Manifest]:
        """The Pod that runs, by workload; never two of one."""
        found: dict[str, Manifest] = {}
        for pod in self.api.pods(self.namespace):
            name = next(key for key, app in NAMES.items() if app == pod["metadata"]["labels"]["app"])
            if pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["status"]["phase"] == "Pending":
                self._spoil(name, pod)
            elif name in found:
                self.failures.append(f"two Pods of {name} ran at once")
            else:
                found[name] = pod
        return found

    def _spoil(self, name: str, pod: Manifest) -> None:
        cores = parse_quantity(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"])
        if name in self.fails and cores > self.fails[name]:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
            self.api.patch(path, {"metadata": {"annotations": {"orcha.test/ready": "never"}}})

    def _configure(self, name: str, box: Manifest) -> None:
        """Its process reads what the Pod's container has."""
        env = {each["name"]: each["value"] for each in box.get("env", ())}
        if name == "storj":
            self.nodes.tell("restart/rack-1/storj", env=env.get("STORJ_STORAGE_ALLOCATED_DISK_SPACE"))
        elif name == "golem":
            wish = {"cpu": int(env["GOLEM_CPU_THREADS"]), "memoryGiB": float(env["GOLEM_MEM_GIB"])}
            self.nodes.tell("apply/rack-1/golem", **wish)
        else:
            self.nodes.tell("apply/rack-1/akash", cpu=parse_quantity(box["resources"]["limits"]["cpu"]))
