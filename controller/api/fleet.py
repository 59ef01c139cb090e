"""The fleet over HTTP: GET what the agents that live here know, POST a sync round. Methods are named as in routes.py.

What belongs to the agents is read in the loop's thread, in which they write; what takes longer is made of that in another.
"""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from controller.api import agents, answers, asked, traffic
from controller.api.acting import who
from controller.api.openapi import AGENT_ID
from controller.api.problems import Refusal
from controller.api.reading import sent
from controller.fleet.joint import joint
from controller.fleet.shown import NO_FLEET, FleetFace, Living, fleet_view
from controller.fleet.shown_agent import came, message_view, messages_of, state_view, timeline_view
from controller.fleet.shown_egraph import Followed, digest_of, egraph_view, follow, known
from controller.fleet.shown_proposals import proposals_of
from controller.refusals import NotPossible, Unknown

if TYPE_CHECKING:
    from aiohttp import web

    from controller.api.faces import Faces

LONGEST: Final = 5.0
"""Seconds that working out what is equal may take; what is found until then is shown, with the reason why it ended."""
AT_ONCE: Final = 100
"""Messages that come within one tick of the clock, at most: they are on one page."""
_KEPT: Final = 8
"""Agents whose classes are kept until they change."""


def fleet_of(faces: Faces) -> FleetFace:
    """Raises Refusal (404) where none is declared."""
    if faces.fleet is None:
        raise Refusal(404, NO_FLEET, "manifests", "declare a Fleet; docs/fleet.md shows one")
    return faces.fleet


def agent_named(face: FleetFace, request: web.Request) -> str:
    """What the path names. Raises Unknown."""
    name = request.match_info["id"]
    if not re.fullmatch(AGENT_ID, name) or name not in face.declared.agents:
        raise Unknown(f"there is no such agent in Fleet {face.name}; it has {', '.join(face.declared.agents)}")
    return name


class FleetLooking:
    """The handlers that change nothing."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces
        self._followed: dict[str, Followed] = {}
        self._following = asyncio.Lock()

    async def fleet(self, _request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        face = fleet_of(self._faces)
        await asyncio.to_thread(joint, proposals_of(face))  # it takes a moment, and is remembered for the view
        return sent(agents.Fleet.model_validate(fleet_view(face, self._faces.now())))

    async def fleet_state(self, request: web.Request, query: asked.AgentState) -> web.StreamResponse:
        face = fleet_of(self._faces)
        view = state_view(face, agent_named(face, request), query.part, query.limit, query.after)
        return sent(agents.AgentState.model_validate(view))

    async def fleet_egraph(self, request: web.Request, query: asked.AgentEGraph) -> web.StreamResponse:
        face = fleet_of(self._faces)
        found = await self._follow(face, agent_named(face, request))
        return sent(agents.AgentEGraph.model_validate(egraph_view(found, query.limit, query.after)))

    async def _follow(self, face: FleetFace, name: str) -> Followed:
        """What follows from what is known now, worked out once, one at a time."""
        async with self._following:
            before = self._followed.pop(name, None)
            if before is None or before.known.digest != digest_of(face, name):
                until = time.monotonic() + LONGEST
                before = await asyncio.to_thread(follow, known(face, name), lambda: time.monotonic() > until)
            self._followed[name] = before
            while len(self._followed) > _KEPT:
                self._followed.pop(next(iter(self._followed)))
            return before

    async def fleet_messages(self, request: web.Request, query: asked.AgentMessages) -> web.StreamResponse:
        face = fleet_of(self._faces)
        name = agent_named(face, request)
        before = query.before.seconds(self._faces.now()) if query.before else float("inf")
        found = messages_of(face, name, query.kind, before, query.limit + AT_ONCE)
        shown, onward = answers.page_of(found, query.limit, lambda each: each.at)
        seer, here = face.of(name) or face.seen_by, face.of(name) is not None
        return sent(
            traffic.AgentMessages(
                agent=name, here=here, seen_by=seer.peer.name if seer else None, next=onward,
                messages=[traffic.MessageRow.model_validate(message_view(each)) for each in shown],
            )
        )  # fmt: skip

    async def fleet_timeline(self, _request: web.Request, _query: asked.Nothing) -> web.StreamResponse:
        view = await asyncio.to_thread(partial(timeline_view, came(fleet_of(self._faces), self._faces.now())))
        return sent(traffic.Timeline.model_validate(view))


class FleetActing:
    """What can be told to an agent."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces

    async def fleet_sync(self, request: web.Request, body: asked.Word) -> web.StreamResponse:
        face = fleet_of(self._faces)
        living = _living(face, agent_named(face, request))
        await living.sync()
        neighbours = list(living.peer.neighbours)
        return sent(agents.Synced(agent=living.peer.name, neighbours=neighbours, by=who(request, body)))


def _living(face: FleetFace, name: str) -> Living:
    """Raises NotPossible where it lives elsewhere."""
    living = face.of(name)
    if living is not None:
        return living
    if name in face.declared.sites:
        raise NotPossible(f"{name} does not live here: it lives in the controller of site {name}; ask that")
    raise NotPossible(
        f"{name} does not live here: it is a relay, and lives where `orcha fleet host` runs it; ask there"
    )
