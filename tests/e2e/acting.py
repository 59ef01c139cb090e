"""For test_acting.py: the world of acting_world.py, served; what its owner writes and types; and an eye on the truth."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from controller.history import History
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.manifests import load_nodes
from exporters.simulator.history import history
from tests.e2e.acting_world import KEY, PASSWORD, world
from tests.e2e.programs import ROOT, Program, get, until

LIVED = 6 * 3600.0
"""Seconds of the past in the state."""
IDLE = 900.0
"""Seconds since Golem's last job began: it is over."""
CAPACITY = {"rack-1": {"cpu": 12.0, "memory": 48 * 2.0**30}, "rack-2": {"cpu": 12.0}}
FIRST = {"rack-1/golem": 8.0, "rack-1/akash": 4.0, "rack-2/spare": 8.0, "rack-2/crowded": 4.0}
"""Cores, before orcha."""
TOOL = [sys.executable, "-m", "exporters.simulator.tool"]
LATE = "import subprocess, sys, time; time.sleep(float(sys.argv[1])); sys.exit(subprocess.call(sys.argv[2:]))"


def post(url, body, method="POST", **headers):
    """(status, JSON)"""
    data = json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


@dataclass
class Scene:
    """The served world, and a state that has lived through its past."""

    where: Path
    simulator: Program
    addresses: dict[str, str]
    past: Path

    @property
    def control(self):
        return self.addresses["control"]

    def truth(self):
        return json.loads(get(f"{self.control}/truth")[1])

    def cores(self, *keys):
        found = self.truth()
        return {key: found[key]["allocated"]["cpu"] for key in keys}

    def by_hand(self, key, **wish):
        """What its owner does without orcha: cpu=5, or power="off"."""
        code, said = post(f"{self.control}/apply/{key}", wish)
        assert code == 200, said

    def break_site(self, key, fault):
        assert post(f"{self.control}/faults/{key.replace('/', '-')}", {"fault": fault}, "PUT")[0] == 200

    def begin_anew(self):
        """As before orcha, everything well."""
        for key, cores in FIRST.items():
            self.break_site(key, None)
            self.by_hand(key, power="on")
            self.by_hand(key, cpu=cores)
        until(lambda: self._rests(self.truth()), "the nodes to have what they had, and nothing that drains")

    @staticmethod
    def _rests(truth):
        return all(truth[key]["allocated"]["cpu"] == cores >= truth[key]["used"]["cpu"] for key, cores in FIRST.items())


def serve(where: Path, origin: float, idle_from: float) -> tuple[Program, dict[str, str]]:
    log = where / "simulator.log"
    argv = [sys.executable, "-m", "tests.e2e.acting_world", str(where), str(origin), str(idle_from)]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    simulator = Program(process, log)
    until(lambda: '"control"' in simulator.said() or process.poll() is not None, "the simulator to serve")
    lines = [json.loads(line) for line in simulator.said().splitlines() if line.startswith("{")]
    return simulator, {line["site"]: line["address"] for line in lines}


async def live(scene: Scene, origin: float, idle_from: float) -> None:
    """The past, through the real collectors on a fast clock."""
    collectors, now = discover(), time.time()
    nodes, _, problems, _ = load_nodes([Owner(scene, scene.where / "lived", poll="2m").write().manifests], collectors)
    assert not problems, problems
    workloads = workloads_of(nodes, collectors)
    past = History([Kept.of(workload) for workload in workloads])
    sites = {site: address for site, address in scene.addresses.items() if site != "control"}
    async for reading in history(world(origin, idle_from), workloads, collectors, origin, now, addresses=sites):
        past.add(reading)
    store = await Store.open(f"sqlite:///{scene.past}")
    try:
        await past.flush(store, now)
    finally:
        await store.close()


# --- what the owner writes ----------------------------------------------------------------------------------------


@dataclass
class Owner:
    """One who has orcha run on some of the nodes: manifests, a state of one's own, and a terminal."""

    scene: Scene
    where: Path
    address: str = ""
    mode: str = "Suggest"
    nodes: tuple[str, ...] = ("rack-1", "rack-2")
    actuators: dict[str, dict] = field(default_factory=dict)
    """By workload, where not its market's own command."""
    limits: dict = field(default_factory=dict)
    rollback: dict = field(default_factory=dict)
    annotations: dict = field(default_factory=dict)
    verify_timeout: str = "20s"
    poll: str = "1s"

    @property
    def manifests(self) -> Path:
        return self.where / "manifests"

    @property
    def state(self) -> str:
        return f"sqlite:///{self.where / 'orcha.db'}"

    def write(self) -> Owner:
        secrets = self.where / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        self.manifests.mkdir(exist_ok=True)
        for name, text in (("app-key", KEY), ("password", PASSWORD)):
            (secrets / name).write_text(text)
            (secrets / name).chmod(0o600)
        documents = [self._policy(), self._settings(), *map(self._node, self.nodes)]
        for document in documents:
            path = self.manifests / f"{document['metadata']['name']}.yaml"
            part = path.with_suffix(".part")
            part.write_text(yaml.safe_dump(document, sort_keys=False))
            part.replace(path)
        return self

    def _policy(self):
        spec = {
            **({"mode": self.mode} if self.mode else {}),
            "reconcile": {"observe": "1s", "estimate": "5s", "plan": "1s", "jitter": 0},
            "limits": {"hold": "1s", "maxProgramsPerHour": 60, **self.limits},
            "rollback": self.rollback,
        }
        return _document("AllocationPolicy", "default", spec, annotations=self.annotations)

    def _settings(self):
        return _document("Settings", "settings", {"prices": {"sources": [], "static": {"GLM": 0.22, "AKT": 1.05}}})

    def _node(self, name):
        workloads = {key.partition("/")[2]: self._workload(key) for key in FIRST if key.startswith(f"{name}/")}
        capacity = {"rack-1": {"cpu": "12", "memory": "48Gi"}, "rack-2": {"cpu": "12"}}[name]
        return _document("Node", name, {"capacity": capacity, "workloads": workloads})

    def _workload(self, key):
        endpoint = self.scene.addresses[key.replace("/", "-")]
        actuator = {"actuator": found} if (found := self.actuators.get(key, self.command(key))) else {}
        if key == "rack-1/golem":
            allocation = {"resource": "cpu", "min": "2", "max": "10", "step": "1", "with": {"memory": "1536Mi"}}
            credentials = {"appKeyFile": str(self.where / "secrets" / "app-key")}
            return {
                "protocol": "golem", "endpoint": endpoint, "pollInterval": self.poll, "credentials": credentials, "allocation": allocation,
            } | actuator  # fmt: skip
        allocation = {"resource": "cpu", "min": "0", "max": "8", "step": "1"}
        if key == "rack-1/akash":
            allocation |= {"with": {"memory": "2Gi"}, "reserve": ["memory"]}
        return {
            "protocol": "mapped",
            "endpoint": endpoint,
            "mapping": self._market(),
            "allocation": allocation,
        } | actuator

    def _market(self):
        password = str(self.where / "secrets" / "password")
        login = {
            "url": "{endpoint}/v1/auth/login", "method": "POST",
            "body": {"username": "provider", "passwordFile": password}, "take": {"token": "$.token"},
        }  # fmt: skip
        status = {"url": "{endpoint}/v1/status", "headers": {"Authorization": "Bearer {token}"}, "format": "json"}
        at = {"request": "status"}
        return {
            "traits": {
                "curve": "demand", "resource": "cpu", "pollInterval": self.poll, "timeout": "3s",
                "verifyTimeout": self.verify_timeout, "freesWhen": "drained",
            },
            "requests": {"login": login, "status": status},
            "expect": [{"request": "status", "path": "$.cluster.inventory", "is": "object"}],
            "figures": {
                "allocated": {**at, "path": "$.cluster.inventory.allocatable.cpu", "scale": 0.001},
                "used": {**at, "path": "$.cluster.inventory.active.cpu", "scale": 0.001},
                "lifetime_native": {**at, "path": "$.earnings.lifetime", "scale": 1e-6, "token": "AKT", "counter": True},
                "price": {**at, "path": "$.pricing.cpu_hour", "scale": 1e-6, "token": "AKT", "per": "1h"},
                "healthy": {**at, "path": "$.status", "equals": "ok"},
            },
        }  # fmt: skip

    def command(self, key, late=0.0):
        """The command by which its owner sets it; `late`: it thinks for so many seconds first."""
        if key == "rack-1/golem":
            directory = self.scene.where / "nodes" / "rack-1" / "golem"
            argv = [*TOOL, "ya-provider", "--data-dir", str(directory), "profile", "update", "--name", "default"]
            argv += ["--cpu-threads", "{cpu}", "--mem-gib", "{memory:GiB}"]
        else:
            argv = [*TOOL, "market", "--control", self.scene.control, key, "cpu={cpu}"]
        return {"command": {"argv": [sys.executable, "-c", LATE, str(late), *argv] if late else argv}}

    # --- what the owner types

    def types(self, *argv, api=True):
        """One command to its end: (exit code, stdout, stderr)."""
        done = subprocess.run(
            [sys.executable, "-m", "controller", *map(str, argv), *(["--api", self.address] if api else [])],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "COLUMNS": "180"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def does(self, *argv, api=True):
        """What a command prints that succeeds."""
        code, out, err = self.types(*argv, api=api)
        assert code == 0, f"orcha {' '.join(map(str, argv))}: {out}{err}"
        return out

    # --- what a running controller answers

    def asks(self, path):
        code, body = get(f"{self.address}/api/v1/{path}")
        return json.loads(body) if code == 200 else None

    def programs(self, *states):
        """Newest first."""
        found = (self.asks("programs") or {"programs": []})["programs"]
        return [each for each in found if not states or each["state"] in states]

    def program(self, id_):
        return self.asks(f"programs/{id_}")

    def decision(self):
        view = self.asks("status")
        return next(iter(view["policies"]), {}) if view else {}

    def row(self, key):
        return next(row for row in self.asks("status")["workloads"] if row["key"] == key)

    def metric(self, line):
        """The value of a series as it is written, None where it is not there."""
        page = get(f"{self.address}/metrics")[1]
        found = next((each for each in page.splitlines() if each.startswith(f"{line} ")), None)
        return float(found.rpartition(" ")[2]) if found else None


def _document(kind, name, spec, **metadata):
    found = {name: value for name, value in metadata.items() if value}
    return {"apiVersion": "orcha.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **found}, "spec": spec}


def with_past(scene: Scene, owner: Owner) -> None:
    owner.where.mkdir(parents=True, exist_ok=True)
    shutil.copy(scene.past, owner.where / "orcha.db")


# --- an eye on the truth ------------------------------------------------------------------------------------------


class Eye(threading.Thread):
    """Looks at the truth all the time: what the workloads of a node hold together, and every split that there was."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(daemon=True)
        self._scene, self._over, self._turn = scene, threading.Event(), threading.Lock()
        self.looks = 0
        self.too_much: list[str] = []
        self.splits: dict[str, list[tuple[float, ...]]] = {node: [] for node in CAPACITY}

    def run(self) -> None:
        while not self._over.wait(0.05):
            self._look()

    def seen(self) -> dict[str, list[tuple[float, ...]]]:
        """Every split of each node until now."""
        self._look()
        return self.splits

    def _look(self) -> None:
        with self._turn:
            self._judge(self._scene.truth())

    def _judge(self, truth) -> None:
        self.looks += 1
        for node, capacity in CAPACITY.items():
            those = {key: each for key, each in truth.items() if key.startswith(f"{node}/")}
            for resource, there in capacity.items():
                held = sum(max(e["allocated"].get(resource, 0.0), e["used"].get(resource, 0.0)) for e in those.values())
                if held > there + 1e-6:
                    self.too_much.append(f"{held:g} of {there:g} {resource} on {node}: {those}")
            split = tuple(those[key]["allocated"]["cpu"] for key in FIRST if key in those)
            if not self.splits[node] or self.splits[node][-1] != split:
                self.splits[node].append(split)

    def close(self) -> None:
        self._over.set()
        self.join(10)
