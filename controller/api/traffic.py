"""What is answered about what went between agents, as pydantic models: messages, and figures over them."""

from __future__ import annotations

from pydantic import Field

from controller.api.agents import Agreed, OfAgent
from controller.api.shapes import Answer, Time


class MessageRow(Answer):
    """One message that came to an agent that lives here."""

    id: str
    kind: str
    origin: str
    from_: str = Field(alias="from")
    """Who sent it over this edge."""
    to: str
    hops: int
    at: Time
    microseconds: float
    """From its sending over this edge to its receipt; below 0 where clocks differ by more."""
    bytes: int


class AgentMessages(OfAgent):
    messages: list[MessageRow]
    """The newest first."""
    next: str | None
    """What to give as `before` for those that came earlier; null: there are none."""


# --- the timeline ---------------------------------------------------------------------------------------------------------


class Quantiles(Answer):
    """In microseconds; null: nothing is known."""

    p50: float | None
    p95: float | None
    p99: float | None


class Figures(Answer):
    count: int
    """Messages that are kept."""
    last_at: Time | None
    microseconds: Quantiles
    """From sending to receipt; of those that came before they were sent, as clocks say, nothing is in it."""
    messages_per_second: float
    """Over the last minute, or since the oldest that is kept."""
    megabits_per_second: float


class EdgeFigures(Figures):
    """One way of one edge, to an agent that lives here."""

    from_: str = Field(alias="from")
    to: str
    errors: int


class ErrorRow(Answer):
    from_: str = Field(alias="from")
    to: str
    what: str
    count: int


class Timeline(Figures, Agreed):
    """What came to the agents that live here, and how fast."""

    at: Time
    seen_by: str | None
    agents: list[str]
    """Those that live here."""
    since: Time | None
    """Of the oldest message that is kept."""
    kept: int
    total: int
    """Since they began."""
    skewed: int
    """Of those the ones that came before they were sent, as clocks say."""
    by_kind: dict[str, int]
    edges: list[EdgeFigures]
    errors: list[ErrorRow]
