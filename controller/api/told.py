"""What the stream tells of the fleet, as pydantic models: docs/api.md shows one."""

from __future__ import annotations

from typing import Literal

from controller.api.shapes import Answer, Time


class AgentGlance(Answer):
    name: str
    kind: Literal["site", "relay"]
    here: bool
    """Whether it lives in this process."""
    alive: bool | None
    silent_since: Time | None
    """When it was heard last; null: it is alive, or was never heard since this one started."""


class PartOfLimit(Answer):
    site: str
    rights: float | None
    """What it may hold at most; of a minTotal what it must hold at least."""
    held: float | None
    """null: it has not said."""


class LimitGlance(Answer):
    name: str
    kind: Literal["maxTotal", "minTotal", "maxCount", "maxShare", "irreversibleAtOnce"]
    protocol: str | None
    resource: str | None
    """null: it counts workloads, or moves."""
    bound: float
    """As the manifest here says."""
    in_force: float | None
    as_declared: bool | None
    settled: bool | None
    """Whether every site keeps within the newest wording."""
    waits_for: list[str]
    """The sites that do not yet."""
    held: float | None
    """By all sites together; null: one has not said."""
    usable: bool | None
    """Whether this site may use its part of it: not before all sites keep it, nor before all have told what was promised; until
    then it holds what it has. null: this is no site, or it is a maxShare.
    """
    sites: list[PartOfLimit]


class WaitingGlance(Answer):
    """A proposal that waits for another site's, or comes to nothing with it."""

    id: str
    agent: str
    fate: Literal["waits", "cancelled"]
    of: str | None
    sentence: str


class FleetGlance(Answer):
    """The fleet in small, as `seen_by` knows it. It has no ages, so that it differs only where something happened."""

    name: str
    site: str | None
    """Which of the sites this controller is; null: none."""
    seen_by: str | None
    alive: int | None
    """How many agents."""
    converged: bool | None
    """Whether all that are alive know the same."""
    converged_since: Time | None
    apart_since: Time | None
    wrong: int
    """How many troubles GET /api/v1/fleet tells of."""
    agents: list[AgentGlance]
    limits: list[LimitGlance]
    waiting: list[WaitingGlance]
    """The first 20."""
    waiting_count: int
    """How many wait in all."""
