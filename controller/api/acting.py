"""POST: everything that changes something. Each method is named as its operation in routes.py, and is given its parsed body.

Who may: the role `operate`. From where: not a web page of another origin. How: as application/json, which no form and no
<img> of such a page can send. Every change goes to the Desk with who asked for it, and into the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from pydantic import ValidationError

from controller.api import answers, asked, models
from controller.api.problems import DOCUMENT, Refusal, refused_by
from controller.api.reading import program_id, sent
from exporters.doors import VISITOR, Role

if TYPE_CHECKING:
    from controller.api.faces import Faces

log = structlog.get_logger("orcha.api")


class Acting:
    """The handlers of everything that changes something."""

    def __init__(self, faces: Faces) -> None:
        self._desk = faces.operations

    async def approve(self, request: web.Request, body: asked.Word) -> web.StreamResponse:
        found = await self._desk.approve(program_id(request), who(request, body), body.why or "")
        return sent(answers.program(found))

    async def reject(self, request: web.Request, body: asked.Word) -> web.StreamResponse:
        found = await self._desk.reject(program_id(request), who(request, body), body.why or "")
        return sent(answers.program(found))

    async def rollback(self, request: web.Request, body: asked.Word) -> web.StreamResponse:
        found = await self._desk.rollback(program_id(request), who(request, body), body.why or "")
        return sent(answers.program(found))

    async def pause(self, request: web.Request, body: asked.Pause) -> web.StreamResponse:
        by = who(request, body)
        await self._desk.pause(body.policy, by, body.why or "")
        return sent(models.Done(what="paused", target=body.policy, by=by))

    async def resume(self, request: web.Request, body: asked.Resume) -> web.StreamResponse:
        by = who(request, body)
        await self._desk.resume(body.target, by, body.why or "")
        return sent(models.Done(what="resumed", target=body.target, by=by))

    async def release(self, request: web.Request, body: asked.Release) -> web.StreamResponse:
        programs = await self._desk.release(body.target, who(request, body), body.why or "")
        return sent(models.Released(programs=[answers.program(each) for each in programs]))


def who(request: web.Request, body: asked.Word) -> str:
    """For the record: "operate token", "anna (operate token)", "this machine"."""
    door = request[VISITOR].name
    return f"{body.by} ({door})" if body.by else door


def may_change(request: web.Request) -> None:
    """Raises Refusal: this role may not, or this page of another origin, or not in this form."""
    if request[VISITOR].role is not Role.OPERATE:
        right = "use the token of the file that Settings spec.api.tokenFiles.operate names"
        raise Refusal(403, "the token of the role read may look and change nothing", "header Authorization", right)
    is_ours(request)
    if request.content_type != "application/json":
        raise Refusal(
            415, "the body is not declared as JSON", "header Content-Type", "send application/json, with {} at least"
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refusal(415, "the body is packed", "header Content-Encoding", "send it as it is; it is short")


def is_ours(request: web.Request) -> None:
    """Raises Refusal where a browser asks for a page of another origin: it would send what that page wants, from inside the
    owner's network. Programs send no Origin.
    """
    origins = request.headers.getall(hdrs.ORIGIN, [])
    host, fetched = request.headers.get(hdrs.HOST, ""), request.headers.get("Sec-Fetch-Site", "none").lower()
    if fetched in {"cross-site", "same-site"} or any(not _same(origin, host) for origin in origins):
        raise Refusal(
            403,
            "a page of another origin asks for this",
            f"header {hdrs.ORIGIN}",
            "ask from a program, or from orcha's own address",
        )


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


async def read_body(request: web.Request, model: type[asked.Word]) -> asked.Asked:
    """What was sent, as the operation's model. Raises Refusal (400), HTTPRequestEntityTooLarge."""
    try:
        found = asked.read_json(await request.read())
    except ValueError as exc:
        raise Refusal(400, str(exc), "body", "send one JSON object, {} at least") from None
    if not isinstance(found, dict):
        raise Refusal(
            400, "the body is no JSON object", "body", f"send {{}} at least; GET {DOCUMENT} says what may be in it"
        )
    try:
        return model.model_validate(found, strict=True)
    except ValidationError as exc:
        raise refused_by(model, "body", exc) from None


def noted(request: web.Request, name: str, *, done: bool) -> None:
    """Into the log, whatever came of it."""
    log.info("asked for a change", what=name, path=request.path, who=request[VISITOR].name, done=done)
