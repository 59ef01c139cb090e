"""A site that answers what a test says, on a real HTTP server (fixture `serve`)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Raw:
    """An answer that is not simply 200 and JSON."""

    body: Any = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Accept and never answer."""

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


PAGE = b"<!DOCTYPE html><html><head><title>Dashboard</title></head><body><div id=app></div></body></html>"


@dataclass
class Site:
    """What a server answers, by path with query; paths that are not there get `otherwise`."""

    answers: dict[str, Any]
    otherwise: Raw
    url: str = ""
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        found = self.answers.get(request.path_qs, self.answers.get(request.path, self.otherwise))
        raw = found if isinstance(found, Raw) else Raw(found)
        if raw.hangs:
            await asyncio.Event().wait()
        return web.Response(body=raw.encoded(), status=raw.status, content_type=raw.content_type, headers=raw.headers)
