"""A real Kubernetes control plane for tests: etcd, API server, controller manager and scheduler as processes on loopback.

Real: storage, admission, validation, RBAC, server-side apply with its field managers and conflicts, Leases, roll-outs,
scheduling against the nodes' room, token requests. Played by kwok (cluster_stages.yaml): the nodes and what a kubelet
writes into a Pod's status. No container runs, so no image is pulled, no probe asked and no resize measured.

The programs end with the test session, and with this process should it be killed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.e2e.programs import Program, until

STAGES = Path(__file__).with_name("cluster_stages.yaml")
NODES = ("node-a", "node-b")
ROOM = {"cpu": "8", "memory": "32Gi", "pods": "50", "ephemeral-storage": "500Gi"}
PATIENCE = 60.0
LEASH = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
"""Ends a program with its parent, so that a killed test session leaves no cluster behind."""
USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "nodes": "system:masters",
}
"""Who may log in with a token of their own, and their group. Everybody else is a ServiceAccount."""
Manifest = dict[str, Any]


class Refused(Exception):
    """The API server said no: `status` is its HTTP status, the message its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Api:
    """The API server as one user sees it."""

    client: httpx.Client

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str) -> Any:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind}
        answer = self.client.request(method, path, content=content, headers=headers, params=query)
        if answer.status_code >= 400:
            raise Refused(answer.status_code, answer.text[:2000])
        return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text

    def get(self, path: str, **query: str) -> Any:
        return self.ask("GET", path, **query)

    def create(self, manifest: Manifest) -> Manifest:
        return self.ask("POST", path_of(manifest).rsplit("/", 1)[0], manifest)

    def apply(self, manifest: Manifest, manager: str = "test", *, force: bool = False) -> Manifest:
        """Server-side apply in the name of a field manager; another manager's fields are a Refused with status 409."""
        path, apply = path_of(manifest), "application/apply-patch+yaml"
        return self.ask("PATCH", path, manifest, apply, fieldManager=manager, force=str(force).lower())

    def patch(self, path: str, body: Any, manager: str = "test") -> Manifest:
        """Strategic merge patch; the path may end in a subresource (/resize, /scale, /status)."""
        return self.ask("PATCH", path, body, "application/strategic-merge-patch+json", fieldManager=manager)

    def delete(self, path: str) -> Any:
        return self.ask("DELETE", path)

    def pods(self, namespace: str, selector: str = "") -> list[Manifest]:
        return list(self.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"])

    def settled(self, path: str) -> Manifest | None:
        """A StatefulSet or Deployment whose roll-out is complete, as `kubectl rollout status` judges it, else None."""
        found = self.get(path)
        status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
        same = status.get("currentRevision") == status.get("updateRevision")
        return found if seen and same and counts == [wanted] * 3 else None


def path_of(manifest: Manifest) -> str:
    """Where an object lives, for kinds whose plural takes an s."""
    version, name, plural = manifest["apiVersion"], manifest["metadata"]["name"], manifest["kind"].lower() + "s"
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = manifest["metadata"].get("namespace")
    return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{root}/{plural}/{name}"


@dataclass(frozen=True)
class Account:
    """A ServiceAccount with a token that the API server issued."""

    name: str
    token: str
    kubeconfig: Path
    api: Api


@dataclass
class Cluster:
    """The running control plane, all that it writes under `folder`."""

    binaries: Path
    folder: Path
    etcd_port: int
    port: int
    tokens: dict[str, str] = field(default_factory=lambda: {user: secrets.token_hex(16) for user in USERS})
    programs: dict[str, Program] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The API server's own certificate, self-signed at its first start: what a client trusts."""
        return self.folder / "certificates" / "apiserver.crt"

    def api(self, token: str | None = None) -> Api:
        """A client for a token, the admin's if none is given."""
        token = token or self.tokens["admin"]
        if token in self.clients:
            return Api(self.clients[token])
        client = httpx.Client(
            base_url=self.url, verify=ssl.create_default_context(cafile=str(self.authority)), timeout=20.0,
            headers={"Authorization": f"Bearer {token}"}, trust_env=False,
        )  # fmt: skip
        self.clients[token] = client
        return Api(client)

    def kubeconfig(self, user: str = "admin", token: str | None = None, namespace: str = "default") -> Path:
        """A kubeconfig file for one of USERS, or for anybody with the token given."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.authority)}}
            ],
            "users": [{"name": user, "user": {"token": token or self.tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": namespace}}],
        }
        file = self.folder / f"{re.sub('[^a-z-]', '-', user)}-{namespace}.kubeconfig"
        file.write_text(yaml.safe_dump(document))
        file.chmod(0o600)
        return file

    def service_account(
        self, namespace: str, name: str, rules: Sequence[Mapping[str, Any]], cluster_rules: Sequence[Mapping[str, Any]] = ()
    ) -> Account:  # fmt: skip
        """A ServiceAccount with exactly these RBAC rules, in its namespace and for the whole cluster, for an hour."""
        admin, labels = self.api(), {"namespace": namespace, "name": name}
        admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": labels})
        for prefix, given, place in (("", rules, labels), ("Cluster", cluster_rules, {"name": f"{namespace}-{name}"})):
            rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": place}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": place["name"]}
            admin.apply({**rbac, "kind": f"{prefix}Role", "rules": list(given)})
            subjects = [{"kind": "ServiceAccount", **labels}]
            admin.apply({**rbac, "kind": f"{prefix}RoleBinding", "roleRef": role, "subjects": subjects})
        wish = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = str(admin.ask("POST", path, wish)["status"]["token"])
        return Account(name, token, self.kubeconfig(name, token, namespace), self.api(token))

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A namespace of this name with a random end, so that no test meets another's objects; deleted without waiting."""
        made, admin = f"{name}-{secrets.token_hex(3)}", self.api()
        admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made}})
        try:
            yield made
        finally:
            admin.delete(f"/api/v1/namespaces/{made}")

    def start(self) -> Self:
        """Start everything and wait until Pods can be scheduled."""
        self.prepare()
        self.run("etcd")
        self.run("kube-apiserver")
        until(self.serves, "the API server's first readiness", PATIENCE)
        for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
            self.run(name)
        admin = self.api()
        for name in NODES:
            admin.create({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"capacity": ROOM, "allocatable": ROOM},
            })  # fmt: skip
        until(lambda: self.welcomes(admin), "the nodes becoming ready", PATIENCE)
        return self

    def prepare(self) -> None:
        """Lay out the key that signs ServiceAccounts' tokens, the tokens' file and the programs' kubeconfigs."""
        (self.folder / "certificates").mkdir()
        # An EC private key of RFC 5915 on P-256, its public part left out: 32 random bytes between two constants.
        key = bytes.fromhex("30310201010420") + secrets.token_bytes(32) + bytes.fromhex("a00a06082a8648ce3d030107")
        text = base64.encodebytes(key).decode()
        (self.folder / "accounts.key").write_text(
            f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n"
        )
        rows = [f'{self.tokens[user]},{user},{user},"{group}"' for user, group in USERS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        for user in USERS:
            self.kubeconfig(user)

    def run(self, name: str) -> None:
        """Start one of the programs, also again after `kill(name)`."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*LEASH, self.binaries / name, *self.arguments()[name]], cwd=self.folder, stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )  # fmt: skip
        self.programs[name] = Program(process, log)

    def kill(self, name: str) -> None:
        """End one of the programs at once: an API server that is asked to stop waits a minute for its watchers."""
        self.programs[name].stop(signal.SIGKILL)

    def arguments(self) -> dict[str, list[str]]:
        etcd, key = f"http://127.0.0.1:{self.etcd_port}", self.folder / "accounts.key"

        def config(user: str) -> str:
            return f"--kubeconfig={self.kubeconfig(user)}"

        return {
            "etcd": [
                f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
                "--listen-peer-urls=http://127.0.0.1:0", "--unsafe-no-fsync", "--log-level=warn",
            ],
            "kube-apiserver": [
                f"--etcd-servers={etcd}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
                f"--cert-dir={self.authority.parent}", f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=Node,RBAC", "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}", "--profiling=false",
            ],
            "kube-controller-manager": [
                config("system:kube-controller-manager"), "--use-service-account-credentials", "--leader-elect=false",
                f"--service-account-private-key-file={key}", f"--root-ca-file={self.authority}", "--secure-port=0",
            ],
            "kube-scheduler": [config("system:kube-scheduler"), "--leader-elect=false", "--secure-port=0"],
            "kwok": [config("nodes"), "--manage-all-nodes", f"--config={STAGES}", "--node-lease-duration-seconds=40", "--node-ip=192.0.2.1"],
        }  # fmt: skip

    def serves(self) -> bool:
        """Whether the API server is ready. A program that ended meanwhile fails with its last words."""
        for name, program in self.programs.items():
            assert program.process.poll() is None, f"{name} ended at once: {program.said()[-1500:]}"
        if not self.authority.exists():
            return False
        try:
            return bool(self.api().get("/readyz") == "ok")
        except (httpx.TransportError, ssl.SSLError, Refused):
            return False

    def welcomes(self, admin: Api) -> bool:
        """Whether Pods can be made: every node without a taint, and the ServiceAccount that Pods use by default."""
        nodes = admin.get("/api/v1/nodes")["items"]
        accounts = admin.get("/api/v1/namespaces/default/serviceaccounts")["items"]
        return bool(accounts) and len(nodes) == len(NODES) and not any(node["spec"].get("taints") for node in nodes)

    def stop(self) -> None:
        """End the programs at once: nothing of theirs is kept."""
        for client in self.clients.values():
            client.close()
        for program in reversed(self.programs.values()):
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        shutil.rmtree(
            self.folder / "etcd", ignore_errors=True
        )  # some 60 MB, which pytest would keep for three sessions


def free_ports() -> tuple[int, int]:
    """Two ports of 127.0.0.1 on which nothing listens now, never the same."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


@contextmanager
def running(binaries: Path, folder: Path) -> Iterator[Cluster]:
    """A cluster for the length of the block."""
    cluster = Cluster(binaries, folder, *free_ports())
    try:
        yield cluster.start()
    finally:
        cluster.stop()
