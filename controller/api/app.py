"""The controller over HTTP: metrics, health, the status as JSON, and a landing page. It reads and never changes anything.

On loopback it is open to this machine, and answers only to loopback names (a page of somebody else's that rebinds its
DNS name to 127.0.0.1 gets nothing). On any other address `/` and `/api` need the token of Settings.api.tokenFiles;
`/metrics`, `/healthz` and `/readyz` do not.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from controller.api.page import landing_page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN_PATHS = frozenset({"/metrics", "/healthz", "/readyz"})
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Faces:
    """What the application shows; everything is asked for at each request."""

    view: Callable[[], dict[str, Any]]
    """controller/report/views.py `status`."""
    metrics: Handler
    """The page of /metrics, negotiated by the exporters' server."""
    ready: Callable[[], bool]
    links: dict[str, str]
    """Name -> address of Prometheus, Grafana, Alertmanager, as far as Settings name them."""
    token_file: Path | None = None
    """Of the role `read`."""


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def application(faces: Faces, host: str) -> web.Application:
    """The application for one address to listen on."""
    guard = _loopback_only if is_loopback(host) else _token_needed(faces.token_file)
    app = web.Application(middlewares=[_hardened, guard], client_max_size=64 * 1024)
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


@web.middleware
async def _hardened(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers.update(SECURITY_HEADERS)
    return response


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdecimal() else request.host
    if not is_loopback(name):
        raise web.HTTPForbidden(text="orcha listens on loopback and answers only to loopback names\n")
    return await handler(request)


def _token_needed(token_file: Path | None) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        if token_file is None:
            raise web.HTTPForbidden(
                text="off loopback this needs a token: name a file in Settings spec.api.tokenFiles.read\n"
            )
        wanted = _token(token_file)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not wanted or scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), wanted):
            raise web.HTTPUnauthorized(
                text="send Authorization: Bearer TOKEN\n", headers={"WWW-Authenticate": "Bearer"}
            )
        return await handler(request)

    return guard


def _token(path: Path) -> bytes:
    """Read at each request, so that a token can be rotated without a restart; empty where it cannot be read."""
    try:
        return path.read_bytes().strip()
    except OSError:
        return b""


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _readyz(faces: Faces) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        if faces.ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: not every workload was asked yet\n")

    return handler


def _status(faces: Faces) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(faces.view())

    return handler


def _page(faces: Faces) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=landing_page(faces.view(), faces.links), content_type="text/html", charset="utf-8")

    return handler
