"""Kubernetes quantities and durations: text -> numbers in base units, and back. Pure.

Base units: cores for cpu, bytes for memory and storage, bits per second for bandwidth, whole tokens for `stake/TOKEN`;
seconds for durations. Grammar of quantities: apimachinery/pkg/api/resource/quantity.go; durations are those of Go's
time.ParseDuration plus `d` for days, which retention needs.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

_SUFFIX: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?)")
_DURATION_UNIT: Final[dict[str, Decimal]] = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ms|s|m|h|d)")
_MAX_TEXT = 40


def parse_quantity(text: str | float) -> float:
    """Read a quantity as Kubernetes writes it: "12" -> 12.0, "500m" -> 0.5, "48Gi" -> 51539607552.0, "400M" -> 4e8.

    Raises ValueError, with what would be right, for anything else; numbers must be finite and >= 0.
    """
    found = None if isinstance(text, bool) or len(str(text)) > _MAX_TEXT else _QUANTITY.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(
            f"{str(text)[:_MAX_TEXT]!r} is not a quantity; write a number with a suffix, such as 500m, 12, 48Gi or 400M"
        )
    value = float(Decimal(found[1]) * _SUFFIX[found[2]])
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{text!r} is not a possible quantity; it must be zero or more")
    return value


def format_quantity(value: float, *, binary: bool = False) -> str:
    """The shortest quantity of at most four digits: 51539607552 -> "48Gi" (binary), 4e8 -> "400M", 0.5 -> "500m"."""
    if value == 0:
        return "0"
    if 0 < abs(value) < 1 and not binary:
        return f"{value * 1000:.4g}m"
    for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki") if binary else ("E", "P", "T", "G", "M", "k"):
        unit = float(_SUFFIX[suffix])
        if abs(value) >= unit:
            return f"{value / unit:.4g}{suffix}"
    return f"{value:.4g}"


def parse_duration(text: str | float) -> float:
    """Read a duration in seconds: "90s" -> 90.0, "1h30m" -> 5400.0, "30d" -> 2592000.0, "0s" -> 0.0.

    Raises ValueError, with what would be right. A bare number is refused: its unit would be a guess.
    """
    words = str(text).strip()
    parts = _DURATION_PART.findall(words) if len(words) <= _MAX_TEXT else []
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise ValueError(
            f"{words[:_MAX_TEXT]!r} is not a duration; write it with its unit, such as 30s, 5m, 1h30m or 30d"
        )
    return float(sum(Decimal(number) * _DURATION_UNIT[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """The two leading parts: 5400 -> "1h30m", 45.2 -> "45s", 90061 -> "1d1h"."""
    left = round(seconds)
    if left < 60:
        return f"{left}s"
    words = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words[:2])
