"""The controller over HTTP: metrics, health, a landing page, and the API of routes.py.

    hardened ▶ in_one_shape ▶ the doors (exporters/doors.py: who asks) ▶ the handler of one operation

Open to this machine on loopback, by token elsewhere; docs/api.md has it for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import ValidationError

from controller.api.acting import Acting, is_ours, may_change, noted, read_body
from controller.api.asked import Asked, Word
from controller.api.faces import Faces
from controller.api.fleet import FleetActing, FleetLooking
from controller.api.page import POLICY, landing_page
from controller.api.problems import Refusal, in_one_shape, refused_by
from controller.api.reading import Looking
from controller.api.routes import OPERATIONS, ROOT, Operation
from controller.api.shown import HTML, Page, Shown, send
from controller.api.telling import looked_at, told_by
from controller.fleet.shown_glance import glance
from exporters.doors import guard_of, hardened

if TYPE_CHECKING:
    from exporters.doors import Handler

__all__ = ["Faces", "application"]

MOST_BODY: Final = 64 * 1024
FILES: Final = {"page.css": "text/css", "page.js": "text/javascript"}
"""What the landing page is made with besides, in static/."""


def application(faces: Faces, host: str) -> web.Application:
    """The application for one address to listen on."""
    shown = Shown(faces)
    looking, acting = (Looking(faces, shown), FleetLooking(faces)), (Acting(faces), FleetActing(faces))
    app = web.Application(middlewares=[hardened, in_one_shape, guard_of(host, faces.tokens)], client_max_size=MOST_BODY)
    plain = {"/": _landing(faces, shown), "/metrics": faces.metrics, "/healthz": _healthz, "/readyz": _readyz(faces)}
    plain |= {f"/{name}": _file(name, kind) for name, kind in FILES.items()}
    app.add_routes([web.get(path, handler) for path, handler in plain.items()])
    for operation in OPERATIONS:
        rooms = acting if operation.method == "POST" else looking
        does = next(getattr(room, operation.name) for room in rooms if hasattr(room, operation.name))
        handler = (_changes if operation.method == "POST" else _looks)(operation, does)
        app.router.add_route(operation.method, ROOT + operation.path, handler)
        if operation.method == "GET" and operation.name != "stream":
            app.router.add_route("HEAD", ROOT + operation.path, handler)
    app.on_shutdown.append(faces.stream.close)
    app.cleanup_ctx.append(told_by(faces))
    return app


def _looks(operation: Operation, look: Any) -> Handler:
    nothing = operation.query()

    async def handler(request: web.Request) -> web.StreamResponse:
        if operation.name == "stream":
            is_ours(request)
        query = _query(request, operation.query) if request.query_string else nothing
        found: web.StreamResponse = await look(request, query)
        return found

    return handler


def _changes(operation: Operation, act: Any) -> Handler:
    model = operation.body
    assert model is not None  # noqa: S101 the table has one for each POST
    assert issubclass(model, Word)  # noqa: S101 and what it has for a POST is a Word

    async def handler(request: web.Request) -> web.StreamResponse:
        done = False
        try:
            may_change(request)
            if request.query_string:
                raise Refusal(400, "there are no parameters here", "query", "put everything into the body")
            found: web.StreamResponse = await act(request, await read_body(request, model))
            done = True
            return found
        finally:
            noted(request, operation.name, done=done)

    return handler


def _query(request: web.Request, model: type[Asked]) -> Asked:
    """Raises Refusal."""
    twice = next((name for name in request.query if len(request.query.getall(name)) > 1), None)
    if twice is not None:
        raise Refusal(400, "a parameter stands twice", f"query {twice[:100]}", "write it once")
    given: Mapping[str, str] = dict(request.query)
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        raise refused_by(model, "query", exc) from None


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _readyz(faces: Faces) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        if faces.ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"not ready: {faces.unready}\n")

    return handler


def _landing(faces: Faces, shown: Shown) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        programs, fleet, small = faces.operations.programs(), None, None
        if faces.fleet is not None:
            whole = await looked_at(faces.fleet, faces.now())
            small = glance(whole)
            fleet = {**small, "troubles": whole["troubles"]}
        page = await shown.page(
            "/",
            lambda view: Page.of(landing_page(view, faces.links, programs, fleet).encode(), HTML),
            (programs, small),
        )
        response = send(request, page)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return handler


def _file(name: str, kind: str) -> Handler:
    page = Page.of((Path(__file__).parent / "static" / name).read_bytes(), kind)

    async def handler(request: web.Request) -> web.StreamResponse:
        return send(request, page)

    return handler
