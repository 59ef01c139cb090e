"""The controller over HTTP: metrics, health, the status as JSON, and a landing page. It reads and never changes anything.

Who may see it is the same as for the exporter (exporters/doors.py): open to this machine on loopback, by token elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from controller.api.page import landing_page
from controller.report.views import as_json
from exporters.doors import Handler, guard_for, hardened


@dataclass(frozen=True, slots=True)
class Faces:
    """What the application shows; everything is asked for at each request."""

    view: Callable[[], dict[str, Any]]
    """controller/report/views.py `status`. Called in a worker thread: of 10 000 workloads it takes half a second."""
    metrics: Handler
    """The page of /metrics, negotiated by the exporters' server."""
    ready: Callable[[], bool]
    links: dict[str, str]
    """Name -> address of Prometheus, Grafana, Alertmanager, as far as Settings name them."""
    token_file: Path | None = None
    """Of the role `read`."""


def application(faces: Faces, host: str) -> web.Application:
    """The application for one address to listen on."""
    app = web.Application(middlewares=[hardened, guard_for(host, faces.token_file)], client_max_size=64 * 1024)
    app.add_routes(
        [
            web.get("/", _page(faces)),
            web.get("/metrics", faces.metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz(faces)),
            web.get("/api/v1/status", _status(faces)),
        ]
    )
    return app


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _readyz(faces: Faces) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        if faces.ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: not every workload was asked yet\n")

    return handler


def _status(faces: Faces) -> Handler:
    def page() -> bytes:
        return as_json(faces.view()).encode()

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=await asyncio.to_thread(page), content_type="application/json", charset="utf-8")

    return handler


def _page(faces: Faces) -> Handler:
    def page() -> bytes:
        return landing_page(faces.view(), faces.links).encode()

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=await asyncio.to_thread(page), content_type="text/html", charset="utf-8")

    return handler
