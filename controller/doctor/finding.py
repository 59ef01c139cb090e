"""One line of `orcha doctor`: how it stands with one thing, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Mark(StrEnum):
    """From the best on; the worst decides the exit code."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be looked at, or not in the time there was; that alone is no fault."""
    WARN = "warn"
    """It works, and will surprise somebody."""
    FAIL = "fail"
    """orcha cannot do its work with it."""


@dataclass(frozen=True, slots=True)
class Finding:
    mark: Mark
    area: str
    """Which of the groups it stands in: nodes, credentials, state ..."""
    what: str
    """The thing: rack-1/storj, /etc/orcha/secrets/key."""
    found: str
    """How it stands with it."""
    todo: str = ""
    """What its owner can do; "": nothing."""


def ok(area: str, what: str, found: str) -> Finding:
    return Finding(Mark.OK, area, what, found)


def warn(area: str, what: str, found: str, todo: str) -> Finding:
    return Finding(Mark.WARN, area, what, found, todo)


def fail(area: str, what: str, found: str, todo: str) -> Finding:
    return Finding(Mark.FAIL, area, what, found, todo)


def unknown(area: str, what: str, found: str, todo: str) -> Finding:
    return Finding(Mark.UNKNOWN, area, what, found, todo)


def split(area: str, what: str, sentence: str, mark: Mark = Mark.FAIL, otherwise: str = "") -> Finding:
    """A sentence as orcha's errors are, "what is wrong; what would be right", in its two parts."""
    found, _, todo = sentence.partition("; ")
    return Finding(mark, area, what, found.strip(), todo.strip() or otherwise)


def view(findings: Iterable[Finding], *, version: str, seconds: float) -> dict[str, Any]:
    """As JSON: the findings in their order, how many of each mark, and whether nothing fails."""
    rows = [asdict(finding) | {"mark": finding.mark.value} for finding in findings]
    marks = {mark.value: sum(row["mark"] == mark.value for row in rows) for mark in Mark}
    return {
        "version": version,
        "seconds": round(seconds, 2),
        "well": not marks["fail"],
        "marks": marks,
        "findings": rows,
    }
