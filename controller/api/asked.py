"""What may be asked: query parameters and bodies, as pydantic models that refuse what they do not know. Pure.

Times are RFC 3339, Unix seconds, or how long ago ("24h"). Bodies hold who and why; who is also told by the token.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from controller.fleet.shown_agent import MOST_CURSOR
from controller.programs import ProgramState
from exporters.quantity import parse_duration

MOST: Final = 1000
"""Items of one answer."""
MOST_READINGS: Final = 10_000
MOST_BY: Final = 64
"""Characters of a name."""
MOST_WHY: Final = 500
TOPICS: Final = ("readings", "plans", "verdicts", "programs", "fleet")

_RFC3339: Final = re.compile(
    r"(\d{4}-[01]\d-[0-3]\d)[Tt ]([0-2]\d:[0-5]\d:[0-5]\d)(\.\d{1,9})?([Zz]|[+ -][0-2]\d:[0-5]\d)"
)
_SECONDS: Final = re.compile(r"\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
_LATEST: Final = 1e11
"""Unix seconds; more are milliseconds by mistake."""
_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_NOT_A_TIME: Final = (
    "this is not a time; write it with its zone, such as 2026-10-01T00:00:00Z, as Unix seconds, or how long ago (24h)"
)


@dataclass(frozen=True, slots=True)
class When:
    """A time, or how long ago that is."""

    at: float | None = None
    ago: float = 0.0

    def seconds(self, now: float) -> float:
        """Unix seconds."""
        return now - self.ago if self.at is None else self.at


A_DAY_AGO: Final = When(ago=86400.0)


def read_when(text: object) -> When:
    """Raises ValueError, with what would be right. A "+" that a query turned into a space is read as what it was."""
    if isinstance(text, When):
        return text
    words = str(text)
    if _SECONDS.fullmatch(words) and float(words) < _LATEST:
        return When(at=float(words))
    found = _RFC3339.fullmatch(words)
    try:
        if found:
            day, clock, fraction, zone = found.groups()
            whole = f"{day}T{clock}{(fraction or '')[:7]}{zone.replace(' ', '+').upper()}"
            return When(at=max(0.0, datetime.fromisoformat(whole).timestamp()))
        return When(ago=parse_duration(words))
    except (ValueError, OverflowError):
        raise ValueError(_NOT_A_TIME) from None


Moment = Annotated[
    When,
    BeforeValidator(read_when),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1e11},
            ],
            "examples": ["2026-10-01T00:00:00Z", "24h", 1790812800],
        }
    ),
]
Name = Annotated[str, Field(pattern=rf"^{_NAME}$", examples=["rack-1"])]
Key = Annotated[str, Field(pattern=rf"^{_NAME}/{_NAME}$", examples=["rack-1/golem"])]
After = Annotated[str, Field(pattern=r"^[!-~]+( [!-~]+)?$", max_length=MOST_CURSOR, examples=["limit cpu"])]
"""Ids, or names with what is no plain letter written as in addresses."""


PRINTABLE: Final = (
    r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb]*$"
)
"""One line, without what turns the direction of writing or is not seen at all: it stands in logs and journals."""


def _printable(text: str) -> str:
    if not re.fullmatch(PRINTABLE, text):
        raise ValueError("this has characters that cannot be printed; write one line of plain text")
    return text.strip()


def _line(most: int, example: str) -> Any:
    return Field(max_length=most, examples=[example], json_schema_extra={"pattern": PRINTABLE})


By = Annotated[str, _line(MOST_BY, "anna"), AfterValidator(_printable)]
Why = Annotated[str, _line(MOST_WHY, "the new disk is in"), AfterValidator(_printable)]


class Asked(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


# --- queries --------------------------------------------------------------------------------------------------------------


class Nothing(Asked):
    """No parameters."""


class Readings(Asked):
    node: Name | None = None
    """Of one node."""
    workload: Key | None = None
    """Of one workload."""
    protocol: Name | None = None
    """Of one protocol."""
    limit: int = Field(default=MOST, ge=1, le=MOST_READINGS)
    """How many at most."""
    after: Key | None = None
    """Go on after this workload: `next` of the answer before."""


class OfPolicy(Asked):
    policy: Name | None = None
    """Of one policy."""


class Opportunities(OfPolicy):
    node: Name | None = None
    """On one node."""
    limit: int = Field(default=100, ge=1, le=MOST)
    """How many at most, the best first."""


class Programs(OfPolicy):
    state: ProgramState | None = None
    """In one state."""
    limit: int = Field(default=100, ge=1, le=MOST)
    """How many at most, the newest first."""
    before: Moment | None = None
    """Only what was proposed before this time: `next` of the answer before."""


class Events(Asked):
    since: Moment | None = None
    """From this time on; a day ago, where nothing is said."""
    until: Moment | None = None
    """Until before this time; now, where nothing is said."""
    limit: int = Field(default=100, ge=1, le=MOST)
    """How many at most, the newest first."""
    before: Moment | None = None
    """Only what was before this time: `next` of the answer before."""

    def period(self, now: float) -> tuple[float, float]:
        """From, and until before. What is just now happening is in it."""
        ends = [each.seconds(now) for each in (self.until, self.before) if each is not None]
        return (self.since or A_DAY_AGO).seconds(now), min(ends, default=now + 1e-3)


class History(Events):
    policy: Name | None = None
    """Of one policy."""


class Limited(Asked):
    limit: int = Field(default=100, ge=1, le=MOST)
    """How many at most."""


class AgentState(Limited):
    part: Literal["terms", "equalities", "counters", "registers"] = "terms"
    """Which of the things that agents share."""
    after: After | None = None
    """Go on after this one: `next` of the answer before."""


class AgentEGraph(Limited):
    after: After | None = None
    """Go on after this class: `next` of the answer before."""


class AgentMessages(Limited):
    kind: Literal["heartbeat", "sync", "state", "ack"] | None = None
    """Of one kind."""
    before: Moment | None = None
    """Only what came before this time: `next` of the answer before."""


class Streamed(Asked):
    topics: str | None = Field(default=None, pattern=rf"^({'|'.join(TOPICS)})(,({'|'.join(TOPICS)}))*$", max_length=100)
    """Which of readings, plans, verdicts, programs and fleet, with commas between them; all, where nothing is said."""

    @property
    def chosen(self) -> frozenset[str]:
        return frozenset(self.topics.split(",")) if self.topics else frozenset(TOPICS)


# --- bodies ---------------------------------------------------------------------------------------------------------------


class Word(Asked):
    """Who decides, and why."""

    by: By | None = None
    """Your name, for the record; the role of the token stands beside it."""
    why: Why | None = None
    """For the record."""


class Pause(Word):
    policy: Name | None = None
    """One policy; all, where nothing is said."""


def _not_both(*names: str) -> ConfigDict:
    """What the validators below refuse, for the document."""
    both: dict[str, Any] = {"required": list(names), "properties": {name: {"type": "string"} for name in names}}
    return ConfigDict(json_schema_extra={"not": both})


class Resume(Pause):
    model_config = _not_both("policy", "workload")

    workload: Key | None = None
    """A workload that a person changed by hand: orcha may move it again."""

    @model_validator(mode="after")
    def _one(self) -> Resume:
        if self.policy and self.workload:
            raise ValueError("policy and workload are two things; name one of them")
        return self

    @property
    def target(self) -> str | None:
        return self.policy or self.workload


class Release(Word):
    model_config = _not_both("node", "workload")

    workload: Key | None = None
    """One workload."""
    node: Name | None = None
    """All workloads of one node. Where neither is said: all there are."""

    @model_validator(mode="after")
    def _one(self) -> Release:
        if self.node and self.workload:
            raise ValueError("node and workload are two things; name one of them")
        return self

    @property
    def target(self) -> str | None:
        return self.workload or self.node


def read_json(body: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no NaN, no name twice. Raises ValueError, with what would be right."""
    try:
        return json.loads(body.decode(), parse_constant=_no_number, object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError("the body is nested too deep") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"the body is not JSON ({exc.msg.lower()} at character {exc.pos})") from None


def _no_number(_text: str) -> Literal[0]:
    raise ValueError("NaN and infinities are no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
