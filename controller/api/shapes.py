"""What answers of all sorts have in common: how times, gains and refusals look. Pure models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema


def rfc3339(at: float) -> str:
    """Unix seconds as 2026-10-01T00:00:00.000Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Time = Annotated[float, PlainSerializer(rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})]
Amounts = dict[str, float]


class Answer(BaseModel):
    """Base of all of them. Further fields may come; none goes."""

    model_config = ConfigDict(use_attribute_docstrings=True, validate_by_name=True, validate_by_alias=True)


class ProblemParts(Answer):
    what: str
    """What is wrong."""
    where: str
    """In which part of what was asked."""
    right: str
    """What would be right."""


class Problem(Answer):
    """Every answer that is not what was asked for."""

    error: ProblemParts


class Gain(Answer):
    """USD per hour: 10 %, expected, 90 %."""

    low: float | None
    expected: float | None
    high: float | None
