"""A scene in which orcha acts on a real control plane: StatefulSets as Helm makes them, the nodes that run in their Pods,
the manifests, and `orcha run` with no more rights than the pages document.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.journal import Journal
from controller.programs import OVER, Record
from controller.programs import Program as OfOrcha
from controller.store import Store
from tests.e2e import kube_nodes
from tests.e2e.cluster import Account, Api, Cluster, Manifest
from tests.e2e.kubelet import NAMES, Kubelet, Nodes, post
from tests.e2e.programs import ROOT, Program, get, until

SIZE = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
BOXES: dict[str, dict[str, Any]] = {
    "golem": {"env": [{"name": "GOLEM_CPU_THREADS", "value": "8"}, {"name": "GOLEM_MEM_GIB", "value": "12"}]},
    "storj": {},
    "akash": {"resources": {"requests": {"cpu": "2000m", "memory": "64Mi"}, "limits": {"cpu": "4", "memory": "64Mi"}}},
}
"""The containers as Helm made them. The storagenode has its allocation in its own file, and no variable."""
SETS: dict[str, dict[str, Any]] = {
    "golem": {"env": {"GOLEM_CPU_THREADS": "{cpu}", "GOLEM_MEM_GIB": "{memory:GiB}"}, "takeOwnership": True},
    "storj": {"env": {"STORJ_STORAGE_ALLOCATED_DISK_SPACE": "{storage:B}B"}},
    "akash": {"resources": ["cpu"], "takeOwnership": True},
}
"""What the manifests name in them."""
LIMITS: dict[str, Any] = {"minImprovement": {"percent": 0.1}, "maxStepPercent": 6}
"""So strict that there is one best plan at every time of the day: a core less for Golem, 7 steps more for Storj."""


def documented(page: str, name: str) -> list[Manifest]:
    """The rules of a Role as a page has them, for the names that are in use here."""
    text = (ROOT / "docs" / page).read_text()
    blocks = [doc for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for doc in yaml.safe_load_all(each)]
    found = [doc for doc in blocks if doc.get("kind") == "Role" and doc["metadata"]["name"] == name]
    (role,) = found
    names = {"storagenode": list(NAMES.values()), "storagenode-0": [f"{name}-0" for name in NAMES.values()]}
    for rule in role["rules"]:
        if "resourceNames" in rule:
            rule["resourceNames"] = [new for old in rule["resourceNames"] for new in names.get(old, [old])]
    return list(role["rules"])


def stateful(namespace: str, name: str, annotations: Mapping[str, str] | None = None) -> Manifest:
    labels = {"app": NAMES[name]}
    container = {"name": "node", "image": "node:1", "resources": SIZE} | BOXES[name]
    template = {
        "metadata": {"labels": labels, "annotations": dict(annotations or {})},
        "spec": {"containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NAMES[name], "namespace": namespace},
        "spec": {
            "replicas": 1, "serviceName": "node", "selector": {"matchLabels": labels}, "template": template,
        },
    }  # fmt: skip


def owned(thing: Manifest, manager: str) -> set[str]:
    """The paths of the fields that a manager owns by server-side apply, such as spec.template...env[NAME].value"""
    entries = [
        each
        for each in thing["metadata"]["managedFields"]
        if (each["manager"], each["operation"]) == (manager, "Apply")
    ]
    return {path for each in entries for path in _leaves(each["fieldsV1"], "")}


def _leaves(fields: Mapping[str, Any], at: str) -> Iterable[str]:
    for key, inner in fields.items():
        if key == ".":
            continue
        name = f".{key[2:]}" if key.startswith("f:") else f"[{json.loads(key[2:])['name']}]"
        below = list(_leaves(inner, at + name))
        yield from below or [(at + name).removeprefix(".")]


@dataclass
class Orcha:
    """One `orcha run`, as its users meet it."""

    program: Program
    address: str

    def ask(self, path: str) -> Any:
        code, body = get(f"{self.address}/api/v1/{path}")
        return json.loads(body) if code == 200 else None

    def tell(self, path: str, **body: str) -> None:
        """One of the verbs, as somebody on this machine."""
        post(f"{self.address}/api/v1/{path}", body)

    def newest(self) -> dict[str, Any] | None:
        """The newest program with its records; None: there is none, or nobody answers."""
        found = self.ask("programs")
        return self.ask(f"programs/{found['programs'][0]['id']}") if found and found["programs"] else None

    def phase(self, name: str) -> str:
        """Of one workload in the newest program; "": there is none."""
        found = self.newest()
        moves = found["moves"] if found else []
        return next((str(each["phase"]) for each in moves if each["workload"] == f"rack-1/{name}"), "")

    def ended(self, *states: str, seconds: float = 60.0) -> dict[str, Any]:
        """The newest program, once it has come to one of these ends."""
        try:
            until(lambda: self._over(states), f"{states}", seconds)
            found = self.newest()
            assert self.program.process.poll() is None
            assert found is not None
            assert found["state"] in states
        except AssertionError as exc:
            exc.add_note(f"the newest program: {self.newest()}\nthe end of the log: {self.program.said()[-2000:]}")
            raise
        return found

    def _over(self, states: Iterable[str]) -> bool:
        if self.program.process.poll() is not None:
            return True
        found = self.newest()
        return found is not None and found["state"] in {*states, *(state.value for state in OVER)}


@dataclass
class Scene:
    """One namespace with its nodes, and the orchas that act on them."""

    cluster: Cluster
    namespace: str
    folder: Path
    start: Callable[..., Program]
    port: Callable[[], int]
    nodes: Nodes
    kubelet: Kubelet
    state: str
    before: dict[str, Manifest] = field(default_factory=dict)
    """The objects as they were made."""

    @property
    def api(self) -> Api:
        return self.cluster.api()

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def path(self, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{NAMES[name]}"

    def thing(self, name: str) -> Manifest:
        return dict(self.api.get(self.path(name)))

    def box(self, name: str) -> Manifest:
        return dict(self.thing(name)["spec"]["template"]["spec"]["containers"][0])

    def env(self, name: str) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.box(name).get("env", ())}

    def events(self, name: str) -> list[str]:
        """What orcha said on the object: 'AllocationChanged: ...'."""
        found = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        uid = self.thing(name)["metadata"]["uid"]
        ours = [each for each in found if each["regarding"].get("uid") == uid]
        return [
            f"{each['reason']}: {each['note']}" for each in ours if each["reportingController"] == "orcha.dev/orcha"
        ]

    def make(self, *names: str, **annotations: Mapping[str, str]) -> None:
        """The objects of these workloads, as Helm installs them, and their nodes running in them."""
        for name in names:
            self.api.apply(stateful(self.namespace, name, annotations.get(name)), "helm")
        for name in names:
            until(lambda name=name: self.api.settled(self.path(name)), f"the first roll-out of {name}")
            self.before[name] = self.thing(name)
        self.kubelet.begin()

    def account(self, unwritable: str = "") -> Account:
        """A ServiceAccount with the rights that the page documents, for all StatefulSets but one that it may only read."""
        rules = documented("kubernetes.md", "orcha-statefulset")
        for rule in list(rules):
            if unwritable in rule.get("resourceNames", ()):
                rule["resourceNames"].remove(unwritable)
                rules.append(rule | {"resourceNames": [unwritable], "verbs": ["get"]})
        return self.cluster.service_account(self.namespace, "orcha", rules)

    def may_lead(self, account: Account) -> str:
        """Give it the documented rights to the Lease; gives the path of what to delete to take them away."""
        place = {"namespace": self.namespace, "name": f"{account.name}-lease"}
        rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": place}
        rules = documented("high-availability.md", "orcha-lease")
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": place["name"]}
        who = [{"kind": "ServiceAccount", "namespace": self.namespace, "name": account.name}]
        self.api.apply({**rbac, "kind": "Role", "rules": rules})
        self.api.apply({**rbac, "kind": "RoleBinding", "roleRef": role, "subjects": who})
        return f"/apis/{rbac['apiVersion']}/namespaces/{self.namespace}/rolebindings/{place['name']}"

    def declare(self, *names: str, take: bool = True, lease: float | None = None, **limits: Any) -> None:
        """The manifests: these workloads on the node, and orcha in mode Auto."""
        found = kube_nodes.workloads(self.nodes.where, self.secrets(), pollInterval="2s", timeout="5s")
        mine = {name: found[name] | {"actuator": {"kubernetes": self._actuator(name, take)}} for name in names}
        tokens: dict[str, Any] = {"static": {"GLM": 0.22, "AKT": 1.05}, "sources": []}
        settings: dict[str, Any] = {"prices": tokens}
        if lease:
            settings["lease"] = {"namespace": self.namespace, "name": "orcha", "duration": f"{lease:g}s"}
        policy = {
            "mode": "Auto",
            "selector": {"matchLabels": {"site": "attic"}},
            "limits": LIMITS | limits,
            "reconcile": {"observe": "1s", "plan": "5s", "estimate": "5s"},
        }
        self._write("rack-1", kube_nodes.node(mine))
        for kind, name, spec in (("AllocationPolicy", "default", policy), ("Settings", "settings", settings)):
            self._write(
                name, {"apiVersion": "orcha.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            )

    def secrets(self) -> Path:
        folder = self.manifests / "secrets"
        return folder if folder.exists() else kube_nodes.write_secrets(folder)

    def _actuator(self, name: str, take: bool) -> Manifest:
        place = {"kind": "StatefulSet", "namespace": self.namespace, "name": NAMES[name], "container": "node"}
        return place | {key: value for key, value in SETS[name].items() if take or key != "takeOwnership"}

    def _write(self, name: str, document: Manifest) -> None:
        part = self.manifests / f".{name}.part"
        part.write_text(yaml.safe_dump(document))
        part.replace(self.manifests / f"{name}.yaml")

    def orcha(self, account: Account, name: str = "orcha") -> Orcha:
        port = self.port()
        program = self.start(
            "-m", "controller", "run", "--manifests", str(self.manifests), "--state", self.state,
            "--listen", f"127.0.0.1:{port}", "--log-format", "json", name=name, KUBECONFIG=str(account.kubeconfig),
        )  # fmt: skip
        return Orcha(program, f"http://127.0.0.1:{port}")

    def journal(self) -> tuple[OfOrcha, list[Record]]:
        """The newest program in the state and its records, also where no orcha runs."""

        async def read() -> tuple[OfOrcha, list[Record]]:
            store = await Store.open(self.state, write=False)
            try:
                found = max(await Journal(store).programs(0.0), key=lambda each: each.at)
                return found, list(await Journal(store).records(found.id))
            finally:
                await store.close()

        return asyncio.run(read())


@dataclass(frozen=True)
class Past:
    """What a controller knows when a test begins."""

    origin: float
    sqlite: Path

    def copied(self, folder: Path) -> str:
        """The URL of a state of its own."""
        folder.mkdir(exist_ok=True)
        return f"sqlite:///{shutil.copy(self.sqlite, folder / 'orcha.db')}"
