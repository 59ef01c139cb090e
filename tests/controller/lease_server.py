"""A Kubernetes API server as far as one needs it for Leases: storage with versions that refuse a stale write, and the
checks of coordination.k8s.io/v1 that a client can trip over. Real HTTP on 127.0.0.1.

What it does wrong on demand is a `Fault`: an error, silence, slowness, or an answer that gets lost after the write.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web

PATH = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


@dataclass
class Fault:
    """What goes wrong with the requests that it is for."""

    status: int = 0
    """Answer with this error; 0: answer as is due."""
    delay: float = 0.0
    """Seconds before anything else."""
    hangs: bool = False
    """Never answer."""
    written: bool = False
    """Do what was asked before failing."""
    methods: tuple[str, ...] = ("GET", "POST", "PUT")
    plain: bool = False
    """Answer as a proxy does, that is no Kubernetes."""
    before: Callable[[], None] = lambda: None
    """Something else happens first."""


@dataclass
class LeaseServer:
    port: int = 0
    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """namespace/name -> the object."""
    namespaces: set[str] = field(default_factory=lambda: {"depin"})
    fault: Fault | None = None
    asked: list[str] = field(default_factory=list)
    """Methods, in order."""
    waiting: int = 0
    _versions: count[int] = field(default_factory=lambda: count(1))

    @property
    def holder(self) -> str:
        lease = self.leases.get("depin/orcha")
        return str(lease["spec"].get("holderIdentity", "")) if lease else ""

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.leases["depin/orcha"]["spec"]
        return spec

    def write(
        self, holder: str, renewed: str = "2001-01-01T00:00:00.000001Z", lasts: int = 15, changes: int = 3
    ) -> None:
        """What another client would have written."""
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": lasts,
            "renewTime": renewed,
            "leaseTransitions": changes,
        }
        self._keep("depin/orcha", {"metadata": {"name": "orcha", "namespace": "depin"}, "spec": spec})

    def kubeconfig(self, folder: Path) -> Path:
        """A file for KUBECONFIG."""
        cluster = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        user = {"name": "orcha", "user": {"token": "made-up"}}
        context = {"name": "here", "context": {"cluster": "here", "user": "orcha", "namespace": "depin"}}
        found = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "here"}
        path = folder / "kubeconfig"
        path.write_text(json.dumps(found))
        return path

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._faulty])
        app.router.add_get(PATH + "/{name}", self._get)
        app.router.add_post(PATH, self._create)
        app.router.add_put(PATH + "/{name}", self._update)
        return app

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.method)
        fault = self.fault
        if fault is None or request.method not in fault.methods:
            answer: web.StreamResponse = await handler(request)
            return answer
        self.waiting += 1
        try:
            fault.before()
            await asyncio.sleep(fault.delay)
            answer = await handler(request) if fault.written or not (fault.hangs or fault.status) else web.Response()
            if fault.hangs:
                await asyncio.Event().wait()
        finally:
            self.waiting -= 1
        if not fault.status:
            return answer
        if fault.plain:
            return web.Response(status=fault.status, text="<html>no upstream</html>", content_type="text/html")
        return refusal(fault.status, f"made to answer {fault.status}")

    async def _get(self, request: web.Request) -> web.Response:
        lease = self.leases.get(_key(request))
        return refusal(404, "leases not found") if lease is None else _answer(lease)

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = f"{request.match_info['namespace']}/{body['metadata']['name']}"
        if request.match_info["namespace"] not in self.namespaces:
            return refusal(404, f'namespaces "{request.match_info["namespace"]}" not found')
        if key in self.leases:
            return refusal(409, "leases already exists")
        return _wrong(body) or _answer(self._keep(key, body), status=201)

    async def _update(self, request: web.Request) -> web.Response:
        body, key = await request.json(), _key(request)
        version = body["metadata"].get("resourceVersion")
        if key not in self.leases:
            return refusal(404, "leases not found")
        if not version:
            return refusal(422, "metadata.resourceVersion: Invalid value: must be specified for an update")
        if version != self.leases[key]["metadata"]["resourceVersion"]:
            return refusal(409, "the object has been modified; please apply your changes to the latest version")
        return _wrong(body) or _answer(self._keep(key, body))

    def _keep(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        kept = {**body, "metadata": {**body["metadata"], "resourceVersion": str(next(self._versions))}}
        self.leases[key] = kept
        return kept


def _key(request: web.Request) -> str:
    return f"{request.match_info['namespace']}/{request.match_info['name']}"


def _wrong(body: dict[str, Any]) -> web.Response | None:
    """What a real server refuses."""
    spec = body.get("spec") or {}
    for name in ("renewTime", "acquireTime"):
        if name in spec and not MICRO_TIME.fullmatch(spec[name]):
            return refusal(400, f"{name}: parsing time {spec[name]!r}")
    if spec.get("leaseDurationSeconds", 1) < 1:
        return refusal(422, "spec.leaseDurationSeconds: must be greater than 0")
    return None


def _answer(body: dict[str, Any], status: int = 200) -> web.Response:
    """With the content type to the letter: clients compare it."""
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


def refusal(code: int, message: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return _answer(status, status=code)


@asynccontextmanager
async def serving() -> AsyncIterator[LeaseServer]:
    server = LeaseServer()
    runner = web.AppRunner(server.application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
