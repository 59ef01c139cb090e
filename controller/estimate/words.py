"""Amounts, money and odds as sentences give them: the digits that a reader can use, and no exponents."""

from __future__ import annotations

import math
from typing import Final

from exporters.quantity import format_quantity

BINARY: Final = ("memory", "storage")
"""Resources that people count in GiB."""
_NOTHING: Final = 5e-10
"""USD under which a sum is rounding noise."""
_SUREST: Final = 0.99
"""Nobody is entirely sure of a future."""


def amount(resource: str, value: float) -> str:
    """2Ti of storage, 6 of cpu."""
    return format_quantity(value, binary=resource in BINARY)


def money(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """USD with so many significant digits: 0.0379271 -> "0.03793", 3.436e-05 -> "0.00003436", 6.9e-18 -> "0"."""
    if not abs(value) >= _NOTHING:
        return "0"
    if not math.isfinite(value):
        return "an unknown sum of"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def odds(confidence: float) -> str:
    """0.724 -> "72%", 0.998 -> "99%"."""
    return f"{min(confidence, _SUREST):.0%}"
