"""What Prometheus' HTTP API answers, as rows. Pure. Raises PollError for everything that is not a whole, good answer.

https://prometheus.io/docs/prometheus/latest/querying/api/: {"status": "success", "data": {"resultType", "result"},
"warnings": [...]}, or {"status": "error", "errorType", "error"}. An answer with warnings may be half of one (a remote
store did not answer), and half of an answer is none: what is missing would look as if it were gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exporters.errors import Malformed, PollError, RateLimited, TimedOut, Unauthorized, Unreachable
from exporters.session import quote

Labels = Mapping[str, str]
Row = tuple[Labels, float]
"""One sample of an instant: its labels, `__name__` with them, and its number. NaN and infinities are numbers here."""
Line = tuple[Labels, list[tuple[float, float]]]
"""One series over time: its labels, and (Unix seconds, number), oldest first."""


def vector(body: bytes, url: str) -> list[Row]:
    """The rows of an instant query. Raises PollError."""
    _, result = _result(body, url, "vector")
    try:
        return [(_labels(row["metric"]), float(row["value"][1])) for row in result]
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise _odd(url, exc) from exc


def matrix(body: bytes, url: str) -> list[Line]:
    """The series of a range query. Raises PollError."""
    _, result = _result(body, url, "matrix")
    try:
        return [(_labels(row["metric"]), [(float(at), float(value)) for at, value in row["values"]]) for row in result]
    except (KeyError, TypeError, ValueError) as exc:
        raise _odd(url, exc) from exc


def values(body: bytes, url: str) -> list[float]:
    """The numbers of an instant query, or the one of a scalar; NaN is a number. Raises PollError."""
    kind, result = _result(body, url, "vector", "scalar")
    try:
        return [float(value) for _, value in ([result] if kind == "scalar" else [row["value"] for row in result])]
    except (KeyError, TypeError, ValueError) as exc:
        raise _odd(url, exc) from exc


def refused(status: int, body: bytes, url: str, retry_after: float | None = None) -> PollError:
    """The error that a status other than 200 stands for."""
    said = f"Prometheus at {url} answered HTTP {status}"
    why = _error(body)
    if status in {401, 403}:
        return Unauthorized(f"{said} ({quote(body)}): check Settings spec.prometheus.bearerTokenFile")
    if status == 429:
        return RateLimited(f"{said}: asked too often", retry_after)
    if 300 <= status < 400:
        return Malformed(f"{said}: it sends to another address; write that one into Settings spec.prometheusUrl")
    if why is not None:
        return why if isinstance(why, TimedOut) else type(why)(f"{said}: {why}")
    if status == 404:
        return Malformed(f"{said}: there is no /api/v1/query; is spec.prometheusUrl that of a Prometheus?")
    return (Unreachable if status >= 500 else Malformed)(f"{said}: {quote(body)}")


def _result(body: bytes, url: str, *kinds: str) -> tuple[str, list[Any]]:
    """Of which of the kinds it is, and what it holds."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"Prometheus at {url} answered no JSON: {quote(body)}") from exc
    if not isinstance(answer, dict) or answer.get("status") not in {"success", "error"}:
        raise Malformed(f"{url} answered something else than Prometheus' API does: {quote(body)}")
    if answer["status"] == "error":
        raise _named(answer)
    if warnings := answer.get("warnings"):
        raise Malformed(f"Prometheus at {url} says that its answer may not be whole: {quote(_words(warnings))}")
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") not in kinds or not isinstance(data.get("result"), list):
        raise Malformed(f"Prometheus at {url} answered no {' or '.join(kinds)}: {quote(body)}")
    return str(data["resultType"]), list(data["result"])


def _error(body: bytes) -> PollError | None:
    """What Prometheus itself says of an error; None: it was not Prometheus that spoke."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _named(answer) if isinstance(answer, dict) and answer.get("status") == "error" else None


def _named(answer: Mapping[str, Any]) -> PollError:
    said = f"Prometheus refused the query: {quote(str(answer.get('error', 'no reason given')))}"
    match answer.get("errorType"):
        case "timeout" | "canceled":
            return TimedOut(said)
        case "unavailable" | "internal":
            return Unreachable(said)
    return Malformed(said)


def _labels(metric: Any) -> dict[str, str]:
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise TypeError("labels that are no words")
    return metric


def _words(warnings: Any) -> str:
    return "; ".join(map(str, warnings)) if isinstance(warnings, list) else str(warnings)


def _odd(url: str, exc: Exception) -> Malformed:
    return Malformed(f"Prometheus at {url} answered rows that cannot be read ({type(exc).__name__}: {exc})")
