"""Who may see what over HTTP: open to this machine on loopback; a token elsewhere, what monitoring needs apart.

On loopback only loopback names are answered, so that a web page which rebinds its own DNS name to 127.0.0.1 gets nothing.
Two roles: `read` may look; `operate` may look and change. Sentences of refusals say what is wrong; then, after "; ", what
would be right.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
"""They need no token anywhere: Prometheus and the kubelet read them, and they hold no secret."""
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
THIS_MACHINE: Final = "this machine"


class Role(StrEnum):
    READ = "read"
    """May look."""
    OPERATE = "operate"
    """May look and change."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, as far as the door could tell."""

    role: Role
    name: str
    """For the record: "this machine", "operate token"."""


VISITOR: Final = web.RequestKey("visitor", Visitor)
"""Under this a request carries its Visitor; absent on paths that are open to all."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The files that hold the tokens, each read at every request, so that a token is changed without a restart."""

    read: Path | None = None
    operate: Path | None = None

    @property
    def known(self) -> bool:
        return self.read is not None or self.operate is not None

    def role_of(self, authorization: str) -> Role | None:
        """The role of `Bearer TOKEN`; None: it is nobody's. Both files are compared, in constant time, whatever comes of
        the first, and by their digests, so that not even a token's length shows.
        """
        scheme, _, given = authorization.partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        operates, reads = _is_token(sent, self.operate), _is_token(sent, self.read)
        if scheme.lower() != "bearer":
            return None
        return Role.OPERATE if operates else Role.READ if reads else None


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guard_for(host: str, token_file: Path | None) -> Any:
    """The middleware for one address of what nobody can change; `token_file` holds the token of the role `read`."""
    return guard_of(host, Tokens(read=token_file))


def guard_of(host: str, tokens: Tokens) -> Any:
    """The middleware for one address to listen on: who gets past it has a Role."""
    return _loopback_names_only if is_loopback(host) else _token_needed(tokens)


@web.middleware
async def hardened(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Headers that keep what is served from being framed, sniffed or cached; a handler may have said otherwise."""
    response = await handler(request)
    if not response.prepared:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    return response


@web.middleware
async def _loopback_names_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = request.headers.get(hdrs.HOST, "")  # request.host would ask the system for a name where there is none
    name, _, port = host.rpartition(":")
    if not is_loopback(name if port.isdecimal() and name else host):
        said = "this listens on loopback and answers only to loopback names; ask for 127.0.0.1 or localhost\n"
        raise web.HTTPForbidden(text=said)
    request[VISITOR] = Visitor(Role.OPERATE, THIS_MACHINE)
    return await handler(request)


def _token_needed(tokens: Tokens) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        if not tokens.known:
            said = "off loopback this needs a token; name a file in Settings spec.api.tokenFiles.read\n"
            raise web.HTTPForbidden(text=said)
        role = tokens.role_of(request.headers.get("Authorization", ""))
        if role is None:
            asks = {"WWW-Authenticate": "Bearer"}
            raise web.HTTPUnauthorized(
                text="no valid token came with this; send Authorization: Bearer TOKEN\n", headers=asks
            )
        request[VISITOR] = Visitor(role, f"{role} token")
        return await handler(request)

    return guard


def _is_token(sent: bytes, path: Path | None) -> bool:
    wanted = _token(path)
    same = hmac.compare_digest(hashlib.sha256(sent).digest(), hashlib.sha256(wanted).digest())
    return bool(wanted) and same


def _token(path: Path | None) -> bytes:
    """Empty, which is nobody's token, where there is none or it cannot be read."""
    try:
        return path.read_bytes().strip() if path is not None else b""
    except OSError:
        return b""
