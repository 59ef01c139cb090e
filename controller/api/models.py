"""What is answered about programs, the past and the manifests, and what the stream tells, as pydantic models.

The OpenAPI document is made from them, and answers are checked against them. Unknown is null; times are RFC 3339.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from controller.api.glance import Change
from controller.api.shapes import Answer, Gain, Time
from controller.programs import Cause, Phase, ProgramState


class StageRow(Answer):
    number: int
    of: int


class StepRow(Answer):
    """One workload of a program."""

    workload: str
    node: str
    resource: str
    from_: float = Field(alias="from")
    to: float
    phase: Phase
    note: str
    """What it waits for now."""
    failure: str
    """Why it goes back; empty: it does not."""


class RecordRow(Answer):
    at: Time
    what: str
    by: str
    sentence: str


class Program(Answer):
    """A change of one or more allocations, safe at every prefix."""

    id: str
    policy: str
    cause: Cause
    state: ProgramState
    sentence: str
    """Why it was proposed, with the numbers."""
    said: str
    """What its state is about: why it is blocked, void, rolled back."""
    by: str
    """Who decided on it last."""
    at: Time
    """When it was proposed."""
    changed: Time
    """When its state last changed."""
    expires_at: Time | None
    began_at: Time | None
    retry_at: Time | None
    """blocked: when it is tried again."""
    stage: StageRow | None
    of: str | None
    """The program that it undoes, or goes on from."""
    gain_usd_per_hour: Gain | None
    confidence: float | None
    cost_usd: float | None
    horizon_seconds: float
    moves: list[StepRow]


class ProgramWithRecords(Program):
    records: list[RecordRow]
    """What happened to it, oldest first."""


class Programs(Answer):
    programs: list[Program]
    next: str | None
    """What to give as `before` for those that came earlier; null: there are none."""


class Released(Answer):
    programs: list[Program]
    """The programs that give back."""


class Done(Answer):
    """What was done."""

    what: Literal["paused", "resumed"]
    target: str | None
    """Of what; null: all policies."""
    by: str


# --- the past -------------------------------------------------------------------------------------------------------------


class Decided(Answer):
    """A decision that came to something else than the one before."""

    kind: Literal["decision"] = "decision"
    at: Time
    policy: str
    reason: str
    sentence: str


class Changed(Answer):
    """A change of an allocation, by whomever."""

    kind: Literal["change"] = "change"
    at: Time
    policy: str
    change: Change


class History(Answer):
    entries: list[Annotated[Decided | Changed, Field(discriminator="kind")]]
    """The newest first."""
    next: str | None
    """What to give as `before` for those that came earlier; null: there are none."""


class EventRow(Answer):
    at: Time
    kind: str
    subject: str
    sentence: str


class Events(Answer):
    events: list[EventRow]
    """The newest first."""
    next: str | None
    """What to give as `before` for those that came earlier; null: there are none."""


class Manifests(Answer):
    """The documents in force as they were read, defaults included, without what may be secret."""

    sha256: str
    nodes: list[dict[str, Any]]
    policies: list[dict[str, Any]]
    settings: dict[str, Any]
    fleet: dict[str, Any] | None
    """null: this controller stands alone."""


class Message(Answer):
    """One message of the stream."""

    topic: Literal["readings", "plans", "verdicts", "programs", "fleet"]
    at: Time
    data: Any
    """readings: up to 100 ReadingRows; plans: a PolicyStatus; verdicts: {policy, verdicts: VerdictRows}; programs: a Program;
    fleet: a FleetGlance.
    """
