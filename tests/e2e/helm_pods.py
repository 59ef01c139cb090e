"""A kubelet's part for Pods of our own image, on nodes that only kwok plays: the container's command runs as a process of
this machine, with the volumes, variables, user and read-only root that the Pod names, and the token of its ServiceAccount.

It is ready when its readiness probe says so; until then a Pod has to carry the annotation orcha.test/ready: never, or kwok
calls it ready at once. Real: all of what is named above. Not real: the image, the limits, the network between Pods.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from tests.e2e.cluster import LEASH, Cluster, Manifest, Refused
from tests.e2e.helm_volumes import Volumes
from tests.e2e.programs import ROOT, Program, get

BOX = Path(__file__).with_name("helm_box.py")
ENTRY = ["orcha"]
"""The entry point of the image."""
SEEN = ("/usr", "/bin", "/lib", "/lib64", "/etc/ssl", sys.base_prefix, str(ROOT))
"""What stands for the image's content."""
UNREADY = {"orcha.test/ready": "never"}
"""The annotation with which a Pod's readiness is ours to say."""


@dataclass
class Running:
    """One Pod with its processes, by the container's name."""

    pod: Manifest
    folder: Path
    programs: dict[str, Program] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    shown: Any = None
    """What was last said in its status."""

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    def stop(self) -> None:
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        for program in self.programs.values():
            program.stop(seconds=min(grace, 20))


class Pods:
    """The Pods of one namespace, from `with` to its end."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self.api = cluster.api()
        self.volumes = Volumes(self.api, namespace, folder / "claims")
        self.running: dict[str, Running] = {}
        self.past: list[Running] = []
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        for each in self.running.values():
            each.stop()
        assert self.failures == []

    def claim(self, name: str) -> Path:
        """The folder of a PersistentVolumeClaim's content, also before there is one."""
        (self.folder / "claims" / name).mkdir(parents=True, exist_ok=True)
        return self.folder / "claims" / name

    def program(self, container: str) -> Program:
        """The process of the one container of this name."""
        found = [each.programs[container] for each in list(self.running.values()) if container in each.programs]
        assert len(found) == 1, f"{len(found)} containers {container} run"
        return found[0]

    def said(self) -> str:
        """All logs of all Pods that there were."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.rglob("*.log")))

    def restarts(self) -> int:
        """How often a container ended and was started again, in all Pods that there were."""
        return sum(sum(each.restarts.values()) for each in [*self.running.values(), *self.past])

    def _live(self) -> None:
        while not self._over.wait(0.2):
            try:
                self._look()
            except (httpx.TransportError, Refused) as exc:
                if isinstance(exc, Refused) and exc.status not in {404, 409}:
                    self.failures.append(str(exc))
            except Exception as exc:  # noqa: BLE001 it is told where the test ends
                self.failures.append(f"{type(exc).__name__}: {exc}")
                return

    def _look(self) -> None:
        found = {each["metadata"]["uid"]: each for each in self.api.pods(self.namespace)}
        gone = [uid for uid in self.running if uid not in found or found[uid]["metadata"].get("deletionTimestamp")]
        for uid in gone:
            over = self.running.pop(uid)
            over.stop()
            self.past.append(over)
        for uid, pod in found.items():
            if pod["metadata"].get("deletionTimestamp") or pod["status"].get("phase") != "Running":
                continue
            if uid not in self.running:
                self.running[uid] = self._begun(pod)
            self._tend(self.running[uid], pod)

    def _begun(self, pod: Manifest) -> Running:
        one = Running(pod, self.folder / pod["metadata"]["name"])
        volumes = self.volumes.lay_out(pod, one.folder / "volumes")
        for container in pod["spec"].get("initContainers") or ():
            code = self._started(one, container, volumes).process.wait(30)
            assert code == 0, f"{container['name']} of {one.name} ended with {code}"
        for container in pod["spec"]["containers"]:
            one.programs[container["name"]] = self._started(one, container, volumes)
            one.restarts[container["name"]] = 0
        return one

    def _started(self, one: Running, container: Manifest, volumes: dict[str, Path]) -> Program:
        folder = one.folder / container["name"]
        shutil.rmtree(folder / "root", ignore_errors=True)
        (folder / "root").mkdir(parents=True)
        (folder / "hosts").write_text(self._hosts(one))
        context = (one.pod["spec"].get("securityContext") or {}) | (container.get("securityContext") or {})
        assert context.get("readOnlyRootFilesystem"), f"{container['name']} would write to its root"
        seen = [path for path in dict.fromkeys((*SEEN, sys.prefix)) if Path(path).exists()]
        mounts = [
            {
                "from": str(volumes[each["name"]] / each.get("subPath", "")),
                "to": each["mountPath"],
                "read_only": bool(each.get("readOnly")),
            }
            for each in container.get("volumeMounts") or ()
        ]
        box = {
            "root": str(folder / "root"),
            "seen": seen,
            "mounts": [{"from": str(folder / "hosts"), "to": "/etc/hosts", "read_only": True}, *mounts],
            "user": context["runAsUser"],
            "folder": container.get("workingDir", "/"),
            "argv": [*(container.get("command") or ENTRY), *(container.get("args") or ())],
            "env": self._environment(one, container),
        }
        (folder / "box.json").write_text(json.dumps(box))
        log = folder / f"{datetime.now(UTC).timestamp():.3f}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*LEASH, "unshare", "--user", "--map-root-user", "--mount",
                 sys.executable, str(BOX), str(folder / "box.json")],
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        return Program(process, log)

    def _environment(self, one: Running, container: Manifest) -> dict[str, str]:
        """What a container has: the image's, the API server's address, its own."""
        found = {
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "HOSTNAME": one.name,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.cluster.port),
        }
        return found | self.volumes.environment(one.pod, container)

    def _hosts(self, one: Running) -> str:
        """The cluster's DNS: every Service of the namespace is this machine."""
        names = [
            each["metadata"]["name"] for each in self.api.get(f"/api/v1/namespaces/{self.namespace}/services")["items"]
        ]
        ends = ("", f".{self.namespace}", f".{self.namespace}.svc", f".{self.namespace}.svc.cluster.local")
        return "".join(
            f"127.0.0.1 {' '.join(name + end for end in ends)}\n" for name in ["localhost", one.name, *names]
        )

    def _tend(self, one: Running, pod: Manifest) -> None:
        """Volumes follow what changed; what ended is started again or is the Pod's end; readiness is said."""
        one.pod = pod
        volumes = self.volumes.lay_out(pod, one.folder / "volumes")
        codes = {name: program.process.poll() for name, program in one.programs.items()}
        if pod["spec"]["restartPolicy"] == "Never":
            if None not in codes.values():
                self._end(one, {name: int(code or 0) for name, code in codes.items()})
            return
        for container in pod["spec"]["containers"]:
            if codes[container["name"]] is not None:
                one.restarts[container["name"]] += 1
                one.programs[container["name"]] = self._started(one, container, volumes)
        self._show(one, {each["name"]: is_ready(each) for each in pod["spec"]["containers"]})

    def _show(self, one: Running, ready: dict[str, bool]) -> None:
        if (ready, dict(one.restarts)) == one.shown:
            return
        states = [
            each | {"ready": ready[each["name"]], "restartCount": one.restarts[each["name"]]}
            for each in one.pod["status"]["containerStatuses"]
        ]
        now, word = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(all(ready.values()))
        conditions = [
            {"type": name, "status": word, "lastTransitionTime": now, "reason": ""}
            for name in ("ContainersReady", "Ready")
        ]
        self._tell(one, {"containerStatuses": states, "conditions": conditions})
        one.shown = (ready, dict(one.restarts))

    def _end(self, one: Running, codes: dict[str, int]) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        states = [
            {key: value for key, value in each.items() if key != "state"}
            | {
                "ready": False,
                "state": {
                    "terminated": {
                        "exitCode": codes[each["name"]],
                        "startedAt": now,
                        "finishedAt": now,
                        "reason": "Ended",
                    }
                },
            }
            for each in one.pod["status"]["containerStatuses"]
        ]
        phase = "Failed" if any(codes.values()) else "Succeeded"
        self._tell(one, {"phase": phase, "containerStatuses": states})

    def _tell(self, one: Running, status: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{one.name}/status"
        self.api.patch(path, {"status": status}, "kubelet")


def is_ready(container: Manifest) -> bool:
    """What its readiness probe says; without one it is ready."""
    probe = container.get("readinessProbe")
    return probe is None or asked(container, probe)


def asked(container: Manifest, probe: Manifest) -> bool:
    """Whether the container answers a probe as a kubelet judges it."""
    port, path = probe["httpGet"]["port"], probe["httpGet"].get("path", "/")
    if isinstance(port, str):
        port = next(each["containerPort"] for each in container["ports"] if each["name"] == port)
    return 200 <= get(f"http://127.0.0.1:{port}{path}")[0] < 400
