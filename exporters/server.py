"""/metrics in both text formats, and the aiohttp application of `orcha-exporter`.

`metrics_response` is for every process that serves a page: it negotiates the format, sends the page piece by piece, so
that a page of 10 000 workloads never holds up the loop, and compresses it, if asked to, in a thread.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from exporters import __version__
from exporters.doors import Handler, guard_for, hardened
from exporters.page import Row, landing_page

Pages = Callable[[bool], Iterable[bytes]]
"""Whether OpenMetrics is wanted -> the page in pieces, without the end mark."""

OPENMETRICS: Final = "application/openmetrics-text"
END: Final = b"# EOF\n"
PIECE: Final = 128 * 1024
"""Bytes sent in one go; others run between two."""
GZIP_LEVEL: Final = 1
"""Metrics shrink to a twentieth at level 1 already; 6 saves an eighth of that and takes three times as long."""


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header likes OpenMetrics 1.0 at least as much as plain text.

    Prometheus sends `application/openmetrics-text;version=1.0.0;q=0.6,...,text/plain;version=0.0.4;q=0.3,*/*;q=0.2`.
    """
    liked = {True: 0.0, False: 0.0}
    for part in accept.split(","):
        kind, *rest = (word.strip() for word in part.split(";"))
        parameters = dict(word.partition("=")[::2] for word in rest)
        if kind == OPENMETRICS and parameters.get("version", "1.0.0") == "1.0.0":
            liked[True] = max(liked[True], _quality(parameters))
        elif kind in {"text/plain", "text/*"}:
            liked[False] = max(liked[False], _quality(parameters))
    return liked[True] > 0 and liked[True] >= liked[False]


def _accepts_gzip(accept: str) -> bool:
    for part in accept.split(","):
        kind, *rest = (word.strip() for word in part.split(";"))
        if kind == "gzip":
            return _quality(dict(word.partition("=")[::2] for word in rest)) > 0
    return False


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


async def metrics_response(request: web.Request, pages: Pages) -> web.StreamResponse:
    """The whole page, in the format that was asked for, sent piece by piece."""
    openmetrics = wants_openmetrics(request.headers.get(hdrs.ACCEPT, ""))
    response = web.StreamResponse()
    response.headers[hdrs.CONTENT_TYPE] = CONTENT_TYPE_LATEST if openmetrics else CONTENT_TYPE_PLAIN_0_0_4
    response.headers[hdrs.VARY] = f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"
    zipper = None
    if _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        zipper = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _send(response, pages(openmetrics), zipper, end=END if openmetrics else b"")
    await response.write_eof()
    return response


async def _send(
    response: web.StreamResponse, page: Iterable[bytes], zipper: zlib._Compress | None, *, end: bytes
) -> None:
    held: list[bytes] = []
    size = 0
    for piece in page:
        held.append(piece)
        size += len(piece)
        if size >= PIECE:
            await _write(response, held, zipper)
            held, size = [], 0
            await asyncio.sleep(0)
    await _write(response, [*held, end], zipper)
    if zipper is not None:
        await response.write(zipper.flush())


async def _write(response: web.StreamResponse, held: list[bytes], zipper: zlib._Compress | None) -> None:
    data = b"".join(held)
    if zipper is not None:
        data = zipper.compress(data) if len(data) < PIECE else await asyncio.to_thread(zipper.compress, data)
    if data:
        await response.write(data)


@dataclass(frozen=True, slots=True)
class Faces:
    """What the exporter's application shows; everything is asked for at each request, and nothing polls."""

    pages: Pages
    rows: Callable[[], Sequence[Row]]
    ready: Callable[[], bool]
    now: Callable[[], float]
    notes: Callable[[], Sequence[str]] = field(default=tuple)
    """Sentences for the landing page: refused manifests, prices that are missing."""
    storj_compat: Callable[[], bytes] | None = None
    """The page of /compat/storj-exporter; None: it is off."""
    token_file: Path | None = None


def application(faces: Faces, host: str) -> web.Application:
    """The application for one address to listen on (doors.py says who may see what)."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await metrics_response(request, faces.pages)

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        if faces.ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: not every workload was asked yet\n")

    async def landing(_request: web.Request) -> web.Response:
        links = {"Metrics": "/metrics", "Health": "/healthz", "Readiness": "/readyz"}
        if faces.storj_compat is not None:
            links["Metrics under the names of storj-exporter"] = "/compat/storj-exporter"
        page = landing_page(faces.rows(), faces.now(), __version__, links, faces.notes())
        return web.Response(text=page, content_type="text/html", charset="utf-8")

    app = web.Application(middlewares=[hardened, guard_for(host, faces.token_file)], client_max_size=64 * 1024)
    routes: dict[str, Handler] = {"/": landing, "/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    if faces.storj_compat is not None:
        routes["/compat/storj-exporter"] = _compat(faces.storj_compat)
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return app


def _compat(page: Callable[[], bytes]) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=page(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})

    return handler
