"""Everything that the API offers, as one table: the routes and the OpenAPI document are both made from it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from controller.api import agents, asked, glance, models, traffic

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT: Final = "/api/v1"
_LOOKING: Final = (400, 401, 403, 405)
_OF_FLEET: Final = (*_LOOKING, 404)
_DOING: Final = (400, 401, 403, 404, 405, 409, 413, 415, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for."""

    name: str
    """operationId, and the name of its handler."""
    method: Literal["GET", "POST"]
    path: str
    """Below ROOT."""
    says: str
    answer: type[BaseModel] | None
    """None: it says so itself (the document, the stream)."""
    query: type[asked.Asked] = asked.Nothing
    body: type[asked.Asked] | None = None
    refusals: tuple[int, ...] = _LOOKING
    kept: bool = False
    """It has an ETag, and is answered by 304 where the other side has it."""


def _do(name: str, path: str, says: str, answer: type[BaseModel], body: type[asked.Asked]) -> Operation:
    return Operation(name, "POST", path, says, answer, body=body, refusals=_DOING)


OPERATIONS: Final = (
    Operation("status", "GET", "/status", "Everything at a glance.", glance.Status, kept=True),
    Operation("nodes", "GET", "/nodes", "The nodes, and what their workloads hold and earn.", glance.Nodes, kept=True),
    Operation("readings", "GET", "/readings", "The newest look at each workload.", glance.Readings, asked.Readings),
    Operation("plan", "GET", "/plan", "What each policy would do, and why.", glance.Plans, asked.OfPolicy, kept=True),
    Operation(
        "opportunities", "GET", "/opportunities", "The best transfers of all policies, the best first.",
        glance.Opportunities, asked.Opportunities,
    ),
    Operation("programs", "GET", "/programs", "Programs, the newest first.", models.Programs, asked.Programs),
    Operation(
        "program", "GET", "/programs/{id}", "One program, and what happened to it.", models.ProgramWithRecords,
        refusals=(*_LOOKING, 404, 503),
    ),
    Operation(
        "history", "GET", "/history", "Decisions that differed from the one before, and changes with what came of them.",
        models.History, asked.History, refusals=(*_LOOKING, 503),
    ),
    Operation(
        "events", "GET", "/events", "What happened, the newest first.", models.Events, asked.Events,
        refusals=(*_LOOKING, 503),
    ),
    Operation(
        "manifests", "GET", "/manifests", "The documents in force, without what may be secret.", models.Manifests,
        kept=True,
    ),
    Operation(
        "fleet", "GET", "/fleet", "The fleet as the agent here sees it: who lives, what is agreed, the limits over all sites.",
        agents.Fleet, refusals=_OF_FLEET,
    ),
    Operation(
        "fleet_state", "GET", "/fleet/agents/{id}/state", "What an agent knows; of one that lives elsewhere what it wrote.",
        agents.AgentState, asked.AgentState, refusals=_OF_FLEET,
    ),
    Operation(
        "fleet_egraph", "GET", "/fleet/agents/{id}/egraph", "Which of the programs that an agent knows come to the same.",
        agents.AgentEGraph, asked.AgentEGraph, refusals=_OF_FLEET,
    ),
    Operation(
        "fleet_messages", "GET", "/fleet/agents/{id}/messages", "Messages from and to an agent that came here, the newest first.",
        traffic.AgentMessages, asked.AgentMessages, refusals=_OF_FLEET,
    ),
    Operation(
        "fleet_timeline", "GET", "/fleet/timeline", "How many messages came on each way, and how fast.", traffic.Timeline,
        refusals=_OF_FLEET,
    ),
    Operation("openapi", "GET", "/openapi.json", "This document.", None, kept=True),
    Operation(
        "stream", "GET", "/stream", "A WebSocket that tells what happens as it happens.", None, asked.Streamed,
        refusals=(*_LOOKING, 426, 503),
    ),
    _do("approve", "/programs/{id}/approve", "Let a program begin.", models.Program, asked.Word),
    _do("reject", "/programs/{id}/reject", "Refuse a program, or give up one that is blocked.", models.Program, asked.Word),
    _do(
        "rollback", "/programs/{id}/rollback", "Take back what a program did; the answer is the program that does so.",
        models.Program, asked.Word,
    ),
    _do("pause", "/pause", "Let nothing begin: of one policy, or of all.", models.Done, asked.Pause),
    _do(
        "resume", "/resume",
        "End a pause or a fall-back to Suggest; or let orcha move again what a person changed by hand.",
        models.Done, asked.Resume,
    ),
    _do(
        "release", "/release", "Give workloads back what they had before orcha, and pause their policies.",
        models.Released, asked.Release,
    ),
    _do(
        "fleet_sync", "/fleet/agents/{id}/sync", "Let an agent that lives here tell its neighbours now what it knows.",
        agents.Synced, asked.Word,
    ),
)  # fmt: skip
