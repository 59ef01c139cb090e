"""Who may see what over HTTP: open to this machine on loopback; a token elsewhere, what monitoring needs apart.

On loopback only loopback names are answered, so that a web page which rebinds its own DNS name to 127.0.0.1 gets nothing.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
"""They need no token anywhere: Prometheus and the kubelet read them, and they hold no secret."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guard_for(host: str, token_file: Path | None) -> Any:
    """The middleware for one address to listen on; `token_file` holds the token of the role `read`."""
    return _loopback_names_only if is_loopback(host) else _token_needed(token_file)


@web.middleware
async def hardened(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Headers that keep what is served from being framed, sniffed or cached."""
    response = await handler(request)
    if not response.prepared:
        response.headers.update(SECURITY_HEADERS)
    return response


@web.middleware
async def _loopback_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    name, _, port = request.host.rpartition(":")
    if not is_loopback(name if port.isdecimal() and name else request.host):
        raise web.HTTPForbidden(text="this listens on loopback and answers only to loopback names\n")
    return await handler(request)


def _token_needed(token_file: Path | None) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        if token_file is None:
            said = "off loopback this needs a token: name a file in Settings spec.api.tokenFiles.read\n"
            raise web.HTTPForbidden(text=said)
        if not _is_bearer(request, _token(token_file)):
            asks = {"WWW-Authenticate": "Bearer"}
            raise web.HTTPUnauthorized(text="send Authorization: Bearer TOKEN\n", headers=asks)
        return await handler(request)

    return guard


def _is_bearer(request: web.Request, wanted: bytes) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    given_bytes = given.strip().encode("utf-8", "surrogateescape")
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(given_bytes, wanted)


def _token(path: Path) -> bytes:
    """Read at each request, so that a token can be changed without a restart; empty where it cannot be read."""
    try:
        return path.read_bytes().strip()
    except OSError:
        return b""
