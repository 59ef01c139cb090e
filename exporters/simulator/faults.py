"""What a site can be told to do wrong, so that tests and demonstrations can break it.

Transport faults replace the answer; lies take the true answer and falsify its figures, whatever protocol it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from enum import StrEnum
from typing import Any, Final

from exporters.simulator.response import Request, Response, Site, as_json, as_page, go_time, read_time


class Fault(StrEnum):
    DIE = "die"
    """Nothing listens: connection refused."""
    HANG = "hang"
    """Accepts and never answers."""
    PAGE = "page"
    """A web page with 200, as catch-alls and captive portals give it."""
    BLOCK = "block"
    """A web page with 403, as a proxy in between gives it."""
    ERROR = "error"
    """500 with an error body."""
    BUSY = "busy"
    """429 with Retry-After."""
    DENY = "deny"
    """401: the credential expired."""
    EMPTY = "empty"
    """200 and no body."""
    CUT = "cut"
    """The connection ends half-way through the body."""
    NULLS = "nulls"
    """Every figure is null."""
    NEGATIVE = "negative"
    NAN = "nan"
    HUGE = "huge"
    """1e308."""
    OVERUSED = "overused"
    """What is used is 20 times what it was."""
    PAST = "past"
    """The node's clock stands in 1970."""
    FUTURE = "future"
    """It stands in 2100."""


_PAST: Final = 3600.0
_FUTURE: Final = 4118083200.0
_SOME_TIME: Final = (1.2e9, 2.1e9)
"""Whole numbers in this range are taken for Unix seconds (or milliseconds, a thousand times it)."""
_USE = re.compile(r"(?i)used|active|usage|atRest|averageUsage|storageSummary")
_WORD = re.compile(r"0x(?:[0-9a-f]{64})+")


class Faulty:
    """A site with, perhaps, something wrong with it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.fault: Fault | None = None

    def listening(self, now: float) -> bool:
        return self.fault is not Fault.DIE and self.site.listening(now)

    def answer(self, request: Request, now: float) -> Response:
        """With a `Date`, as every HTTP server gives it: some collectors take it for the node's clock."""
        response = self._answer(request, now)
        at = {Fault.PAST: _PAST, Fault.FUTURE: _FUTURE}.get(self.fault or Fault.DIE, now)
        return replace(response, headers={**response.headers, "Date": formatdate(at, usegmt=True)})

    def _answer(self, request: Request, now: float) -> Response:
        if self.fault is None:
            return self.site.answer(request, now)
        if instead := _INSTEAD.get(self.fault):
            return instead
        true = self.site.answer(request, now)
        if self.fault is Fault.CUT:
            return replace(true, cut=True)
        return _falsified(true, self.fault, now)


_INSTEAD: Final[dict[Fault, Response]] = {
    Fault.HANG: Response(hang=True),
    Fault.PAGE: as_page("Welcome"),
    Fault.BLOCK: as_page("Access denied", 403),
    Fault.ERROR: as_json({"error": "internal error"}, 500),
    Fault.BUSY: as_json({"error": {"message": "Too Many Requests"}}, 429, **{"Retry-After": "30"}),
    Fault.DENY: as_json({"error": {"message": "Unauthorized"}}, 401),
    Fault.EMPTY: Response(200, b"", {"Content-Type": "application/json"}),
}


def _falsified(true: Response, fault: Fault, now: float) -> Response:
    try:
        value = json.loads(true.body)
    except ValueError:
        return true
    return replace(true, body=json.dumps(_lie(value, fault, now, used=False), separators=(",", ":")).encode())


def _lie(value: Any, fault: Fault, now: float, *, used: bool) -> Any:
    if isinstance(value, dict):
        return {name: _lie(item, fault, now, used=used or bool(_USE.search(name))) for name, item in value.items()}
    if isinstance(value, list):
        return [_lie(item, fault, now, used=used) for item in value]
    if fault in {Fault.PAST, Fault.FUTURE}:
        return _at_another_time(value, (_PAST if fault is Fault.PAST else _FUTURE) - now)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return (
            20 * value
            if fault is Fault.OVERUSED and used
            else value
            if fault is Fault.OVERUSED
            else _FIGURE[fault](value)
        )
    return _false_words(value, fault) if isinstance(value, str) else value


_FIGURE: Final[dict[Fault, Callable[[float], Any]]] = {
    Fault.NULLS: lambda _value: None,
    Fault.NEGATIVE: lambda value: -value,
    Fault.NAN: lambda _value: math.nan,
    Fault.HUGE: lambda _value: 1e308,
}
_DECIMAL = re.compile(r"\d+(\.\d+)?")


def _false_words(words: str, fault: Fault) -> Any:
    """Figures that travel as text: decimal strings, and the words of a contract's result (all ones is the largest)."""
    if _WORD.fullmatch(words) and fault in {Fault.HUGE, Fault.OVERUSED}:
        return "0x" + "f" * (len(words) - 2)
    if not _DECIMAL.fullmatch(words):
        return words
    false = {Fault.NEGATIVE: "-" + words, Fault.NAN: "NaN", Fault.HUGE: "1e308", Fault.NULLS: None}
    return false.get(fault, words)


def _at_another_time(value: Any, shift: float) -> Any:
    if isinstance(value, str):
        at = read_time(value)
        return go_time(max(0.0, at + shift)) if at is not None and at > 0 else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if _SOME_TIME[0] <= value <= _SOME_TIME[1]:
        return type(value)(max(0.0, value + shift))
    if 1000 * _SOME_TIME[0] <= value <= 1000 * _SOME_TIME[1]:
        return type(value)(max(0.0, value + 1000 * shift))
    return value
