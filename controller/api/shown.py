"""What is shown to many is made once: the status, the pages made from it, and their ETags, kept until something changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from controller.api.faces import Faces
    from controller.report.views import View

S = TypeVar("S")
T = TypeVar("T")

JSON: Final = "application/json"
HTML: Final = "text/html"
ASK_AGAIN: Final = "private, no-cache"
"""A browser may keep it, and must ask whether it still holds."""


class Kept(Generic[S, T]):
    """What is made of a source, in a thread, kept until the source is another one. One at a time makes it; whoever asks
    meanwhile gets the one before, so that nobody waits because others ask.
    """

    def __init__(self) -> None:
        self._made: tuple[S, T] | None = None
        self._making = asyncio.Lock()

    async def of(self, source: S, make: Callable[[S], T]) -> T:
        made = self._made
        if made is not None and (made[0] == source or self._making.locked()):
            return made[1]
        async with self._making:
            if self._made is None or self._made[0] != source:
                self._made = (source, await asyncio.to_thread(make, source))
            return self._made[1]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The status as it was at one version."""

    version: object
    view: View


@dataclass(frozen=True, slots=True)
class Page:
    """Something as it is sent."""

    body: bytes
    kind: str
    etag: str

    @classmethod
    def of(cls, body: bytes, kind: str = JSON) -> Page:
        return cls(body, kind, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')


class Shown:
    """The status, and what is made from it."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces
        self._seen: Kept[object, Seen] = Kept()
        self._pages: dict[str, Kept[object, Page]] = {}

    async def seen(self) -> Seen:
        return await self._seen.of(self._faces.version(), self._look)

    def _look(self, version: object) -> Seen:
        return Seen(version, self._faces.view())

    async def page(self, name: str, make: Callable[[View], Page], beside: object = None) -> Page:
        """A page under its name; `beside`: what else it is made from, which is compared."""
        seen = await self.seen()
        kept = self._pages.setdefault(name, Kept())
        return await kept.of((seen, beside), lambda _: make(seen.view))


def send(request: web.Request, page: Page) -> web.Response:
    """The page, or only that it still is what the other side has."""
    headers = {hdrs.ETAG: page.etag, hdrs.CACHE_CONTROL: ASK_AGAIN}
    asked = request.headers.get(hdrs.IF_NONE_MATCH)
    if asked is not None and _matches(asked, page.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=page.body, content_type=page.kind, charset="utf-8", headers=headers)


def _matches(asked: str, etag: str) -> bool:
    return any(each.strip().removeprefix("W/") in {etag, "*"} for each in asked.split(","))
