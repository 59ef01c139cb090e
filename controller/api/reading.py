"""GET: everything that can be looked at. Each method is named as its operation in routes.py, and is given its parsed query."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from aiohttp import web

from controller.api import answers, asked, models
from controller.api.inforce import in_force
from controller.api.openapi import PROGRAM_ID, document
from controller.api.shown import JSON, Kept, Page, Shown, send
from controller.refusals import Unknown
from controller.report.views import as_json
from exporters import __version__

if TYPE_CHECKING:
    from pydantic import BaseModel

    from controller.api.faces import Faces
    from controller.manifests import Manifests
    from controller.programs import Program
    from controller.report.views import View
    from controller.rows import Event, RecordedDecision
    from exporters.reading import Reading

FIRST_LOOK_BACK = 3600.0
"""Seconds of decisions that are read at first; then twice as many, until there are enough: they may be thousands a day."""


class Looking:
    """The handlers of everything that changes nothing."""

    def __init__(self, faces: Faces, shown: Shown) -> None:
        self._faces, self._shown = faces, shown
        self._manifests: Kept[Manifests, Page] = Kept()
        self._document: Kept[str, Page] = Kept()

    async def status(self, request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        return send(request, await self._shown.page("status", _page))

    async def nodes(self, request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        manifests = self._faces.manifests()
        make: Callable[[View], Page] = lambda view: _page(answers.nodes(manifests, view))  # noqa: E731 it is as short as a name
        return send(request, await self._shown.page("nodes", make, manifests.sha256))

    async def readings(self, _request: web.Request, query: asked.Readings) -> web.StreamResponse:
        newest = self._faces.observation().newest
        return await _made(lambda: _readings(newest.values(), query))

    async def plan(self, request: web.Request, query: asked.OfPolicy) -> web.StreamResponse:
        if query.policy is None:
            return send(request, await self._shown.page("plan", lambda view: _page(answers.plans(view))))
        seen = await self._shown.seen()
        return await _made(lambda: answers.plans(seen.view, query.policy))

    async def opportunities(self, _request: web.Request, query: asked.Opportunities) -> web.StreamResponse:
        seen = await self._shown.seen()
        return await _made(partial(answers.opportunities, seen.view, query.policy, query.node, query.limit))

    async def programs(self, _request: web.Request, query: asked.Programs) -> web.StreamResponse:
        before = query.before.seconds(self._faces.now()) if query.before else float("inf")
        wanted = (
            each
            for each in self._faces.operations.programs()
            if each.at < before and query.state in {None, each.state} and query.policy in {None, each.policy}
        )
        found = sorted(wanted, key=lambda each: each.at, reverse=True)
        shown, onward = answers.page_of(found, query.limit, lambda each: each.at)
        return sent(models.Programs(programs=[answers.program(each) for each in shown], next=onward))

    async def program(self, request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        found = program_of(self._faces, request)
        records = await self._faces.operations.records(found.id)
        return sent(answers.program_with_records(found, records))

    async def history(self, _request: web.Request, query: asked.History) -> web.StreamResponse:
        since, until = query.period(self._faces.now())
        names = [query.policy] if query.policy else [each.name for each in self._faces.manifests().policies]
        entries: list[models.Decided | models.Changed] = []
        for name in names:
            entries += [answers.decided(each) for each in await self._decisions(name, since, until, query.limit)]
        entries += [answers.changed(each) for each in await self._faces.archive.trials(since, until, query.policy)]
        entries.sort(key=lambda each: (each.at, each.kind, each.policy), reverse=True)
        shown, onward = answers.page_of(entries, query.limit, lambda each: each.at)
        return sent(models.History(entries=shown, next=onward))

    async def _decisions(self, policy: str, since: float, until: float, limit: int) -> list[RecordedDecision]:
        """Those of the period, and where there are more than `limit`, at least one more than that of the newest."""
        found: list[RecordedDecision] = []
        end, back = until, FIRST_LOOK_BACK
        while end > since and len(found) <= limit:
            begin = max(since, end - back)
            found += await self._faces.archive.decisions(policy, begin, end)
            end, back = begin, 2 * back
        return found

    async def events(self, _request: web.Request, query: asked.Events) -> web.StreamResponse:
        since, until = query.period(self._faces.now())
        found = await self._newest_events(since, until, query.limit)
        shown, onward = answers.page_of(found, query.limit, lambda each: each.at)
        return sent(models.Events(events=[answers.event(each) for each in shown], next=onward))

    async def _newest_events(self, since: float, until: float, limit: int) -> list[Event]:
        """One more than `limit`, and all of the time of the last, so that a page can end where the time changes."""
        most = limit + 1
        while True:
            found = (await self._faces.archive.events(since, until, most))[::-1]
            if len(found) < most or found[0].at > found[-1].at:
                return sorted(found, key=lambda each: -each.at)
            most *= 2

    async def manifests(self, request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        make: Callable[[Manifests], Page] = lambda found: _page(in_force(found))  # noqa: E731 it is as short as a name
        return send(request, await self._manifests.of(self._faces.manifests(), make))

    async def openapi(self, request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        return send(request, await self._document.of(__version__, lambda version: Page.of(_lines(document(version)))))

    async def stream(self, request: web.Request, query: asked.Streamed) -> web.StreamResponse:
        return await self._faces.stream.serve(request, query.chosen)


def program_id(request: web.Request) -> str:
    """What the path names. Raises Unknown."""
    name = request.match_info["id"]
    if not re.fullmatch(PROGRAM_ID, name):
        raise Unknown("there is no program by this name; ids look like p-1f2e3d4c")
    return name


def program_of(faces: Faces, request: web.Request) -> Program:
    """The one that the path names, or the only one that begins so. Raises Unknown."""
    name = program_id(request)
    found = [each for each in faces.operations.programs() if each.id.startswith(name)]
    exact = [each for each in found if each.id == name]
    if len(exact or found) != 1:
        raise Unknown(f"there is no program {name!r}" if not found else f"{len(found)} programs begin with {name!r}")
    return (exact or found)[0]


def sent(found: BaseModel) -> web.Response:
    return web.Response(body=found.model_dump_json(by_alias=True).encode(), content_type=JSON, charset="utf-8")


def _page(view: View) -> Page:
    return Page.of(as_json(view).encode())


def _lines(found: Any) -> bytes:
    """For people to read as well."""
    return (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode()


async def _made(make: Callable[[], View]) -> web.Response:
    """In a thread: there may be thousands."""
    body = await asyncio.to_thread(lambda: as_json(make()).encode())
    return web.Response(body=body, content_type=JSON, charset="utf-8")


def _readings(newest: Any, query: asked.Readings) -> View:
    found: list[Reading] = sorted(
        (
            each
            for each in newest
            if query.node in {None, each.node}
            and query.workload in {None, each.key}
            and query.protocol in {None, each.protocol}
            and (query.after is None or each.key > query.after)
        ),
        key=lambda each: each.key,
    )
    shown = list(islice(found, query.limit))
    return {
        "readings": [answers.reading(each) for each in shown],
        "next": shown[-1].key if len(found) > len(shown) else None,
    }
