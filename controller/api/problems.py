"""What is said to whoever asked for something that cannot be had: one shape, {"error": {"what", "where", "right"}}.

Refusal      what the API itself refuses
middleware   brings everything else into that shape: the doors' and the router's answers, Unknown, NotPossible,
             StoreError; and what nobody foresaw, of which only the log has the details
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import web

from controller.address import StoreError
from controller.refusals import NotPossible, Unknown

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from exporters.doors import Handler

log = structlog.get_logger("orcha.api")
PREFIX: Final = "/api/"
DOCUMENT: Final = "/api/v1/openapi.json"
MOST_SAID: Final = 500
"""Characters of one part of a refusal."""
_WHERE: Final = {401: "header Authorization", 413: "body"}
_RIGHT: Final = {
    404: f"GET {DOCUMENT} says what there is",
    405: f"GET {DOCUMENT} says what can be done here",
    413: "send at most 64 kB",
    503: "ask again in a moment",
}


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, what: str, where: str, right: str) -> None:
        super().__init__(what)
        self.status, self.what, self.where, self.right = status, what, where, right


@web.middleware
async def in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal under /api/ as JSON of one shape; elsewhere they stay what they are."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    try:
        return await handler(request)
    except Refusal as exc:
        upgrade = {"Upgrade": "websocket"} if exc.status == HTTPStatus.UPGRADE_REQUIRED else None
        return answer(exc.status, exc.what, exc.where, exc.right, upgrade)
    except Unknown as exc:
        return answer(404, str(exc), request.path, "ask for the list of what there is, and take a name from it")
    except NotPossible as exc:
        return answer(409, str(exc), request.path, "look at it as it is now, and ask for what its state allows")
    except StoreError as exc:
        return answer(503, str(exc), "state", "see to that, and ask again")
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _translated(exc, request)
    except Exception:
        log.exception("a request failed; please report this as a bug", method=request.method, path=request.path)
        return answer(500, "orcha could not answer this", request.path, "this is a bug; the log has the details")


def answer(status: int, what: str, where: str, right: str, headers: Mapping[str, str] | None = None) -> web.Response:
    error = {"what": what[:MOST_SAID], "where": where[:MOST_SAID], "right": right[:MOST_SAID]}
    body = json.dumps({"error": error}).encode()
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)


def _translated(exc: web.HTTPException, request: web.Request) -> web.Response:
    """The doors' sentences have what would be right after a semicolon; the router's say only the status."""
    what, _, right = (exc.text or "").strip().partition("; ")
    if not right:
        what, right = HTTPStatus(exc.status).description or exc.reason, _RIGHT.get(exc.status, f"see {DOCUMENT}")
    kept = {name: exc.headers[name] for name in ("Allow", "WWW-Authenticate") if name in exc.headers}
    return answer(exc.status, what, _WHERE.get(exc.status, request.path), right, kept)


def refused_by(model: type[BaseModel], part: str, exc: ValidationError) -> Refusal:
    """400 of the first thing that a model refuses. What was sent is not repeated: it may be a secret in the wrong place."""
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    names = [field.alias or name for name, field in model.model_fields.items()]
    there_are = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else "there are none"
    place = ".".join(str(each) for each in first["loc"])[:100]
    where = f"{part} {place}".strip()
    if first["type"] == "extra_forbidden":
        return Refusal(400, f"nothing is known by this name in the {part}", where, there_are)
    return Refusal(400, _sentence(first), where, f"GET {DOCUMENT} says what may stand here")


def _sentence(error: Mapping[str, Any]) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
