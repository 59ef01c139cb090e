"""One request and one response, as values: what every simulated site takes and gives. Pure.

The HTTP server and the in-process session both call `answer(request, now) -> Response`; so what a test sees without a
network is byte for byte what goes over the wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

YEAR_ONE: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: "never"."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    """Accept and never answer: a storagenode that is starting."""
    cut: bool = False
    """End the connection half-way through the body."""
    stream: bool = False
    """Server-sent events: the body now, and again whenever it changed, for ever."""
    delay: float = 0.0
    """Seconds until the answer, where the real thing takes its time (a long poll)."""


class Site(Protocol):
    """One address of the simulated world."""

    def answer(self, request: Request, now: float) -> Response:
        """What the real thing would answer now. The world must have been advanced to `now`."""
        ...

    def listening(self, now: float) -> bool:
        """Whether anything accepts connections there."""
        ...


def as_json(value: Any, status: int = 200, content_type: str = "application/json", **headers: str) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, body, {"Content-Type": content_type} | headers)


def as_text(words: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    return Response(status, words.encode(), {"Content-Type": content_type})


def as_page(title: str, status: int = 200) -> Response:
    """A web page, as proxies and catch-alls give it."""
    page = f'<!DOCTYPE html><html lang="en"><head><title>{title}</title></head><body><div id="app"></div></body></html>'
    return as_text(page, status, "text/html; charset=utf-8")


def go_time(at: float, digits: int = 9) -> str:
    """RFC 3339 as Go and Rust print it: up to nine digits of fraction, trailing zeros dropped."""
    whole, fraction = divmod(round(at * 1_000_000), 1_000_000)
    stamp = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    tail = f"{fraction:06d}000"[:digits].rstrip("0")
    return f"{stamp}.{tail}Z" if tail else f"{stamp}Z"


def js_time(at: float) -> str:
    """RFC 3339 as JavaScript prints it: always three digits."""
    return datetime.fromtimestamp(round(at, 3), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def read_time(words: str | None) -> float | None:
    """Unix seconds of an RFC 3339 time; None where it is none."""
    if words is None or not _TIME.fullmatch(words.strip().replace(" ", "+")):
        return None
    text = re.sub(r"(\.\d{6})\d+", r"\1", words.strip().replace(" ", "+"))
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
