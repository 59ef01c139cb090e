"""Placeholders of amounts in what drivers write: "{cpu}", "{memory:GiB}", "{stake/DATA:wei}" -> text. Pure.

A placeholder is {RESOURCE} or {RESOURCE:UNIT}; {{ and }} stand for one brace. Amounts come in base units: cores, bytes,
bits per second, whole tokens. The text is an exact decimal without an exponent, a whole number where it is one, so that a
node that compares words sees no change where there is none. Amounts are float64: what their arithmetic leaves (1.9999999999999998)
is taken off first, by counting cores to the nano, bytes and bits as whole, and anything else to 15 digits.

    {cpu}         1.5 -> 1.5             {cpu:m}         1.5 -> 1500
    {memory:GiB}  4831838208 -> 4.5      {storage:TB}    2e12 -> 2
    {bandwidth}   4e8 -> 400000000       {stake/DATA:wei}  5000 -> 5000000000000000000000
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from exporters.nodes import RESOURCE_PATTERN

_EXACT: Final = Context(prec=400, rounding=ROUND_HALF_EVEN)
"""Every unit is a product of twos and tens: a float64 divided by one ends within this many digits, so nothing is rounded."""
_BYTES: Final = {
    "B": Decimal(1),
    "kB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
    "TB": Decimal(10**12),
    "PB": Decimal(10**15),
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
    "TiB": Decimal(2**40),
    "PiB": Decimal(2**50),
}
_UNITS: Final[Mapping[str, Mapping[str, Decimal]]] = {
    "cpu": {"m": Decimal("0.001")},
    "memory": _BYTES,
    "storage": _BYTES,
    "bandwidth": {"bps": Decimal(1), "kbps": Decimal(10**3), "Mbps": Decimal(10**6), "Gbps": Decimal(10**9)},
}
_EXTENDED: Final = {"wei": Decimal("1e-18")}
_WHOLE: Final = frozenset({"B", "bps", "wei"})
"""Units of which there is no part."""
_GRAIN: Final = {"cpu": Decimal("1e-9"), "memory": Decimal(1), "storage": Decimal(1), "bandwidth": Decimal(1)}
"""What is less than this, in base units, is noise."""
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_MAX_SHOWN: Final = 60


class CannotFill(ValueError):
    """A placeholder that is none, or has no amount; `str()` says what would be right."""


def placeholders(text: str) -> list[tuple[str, str]]:
    """Each (resource, unit) of a text in the order of the text; unit "" where none is named. Raises CannotFill."""
    return [_parsed(token) for token, _ in _tokens(text) if token]


def fill(text: str, amounts: Mapping[str, float]) -> str:
    """The text with each placeholder replaced by its amount (resource -> base units). Raises CannotFill."""
    return "".join(_filled(token, amounts) if token else plain for token, plain in _tokens(text))


def words_of(amount: float, resource: str, unit: str = "") -> str:
    """One amount as it is written for a placeholder of that resource and unit. Raises CannotFill."""
    if not math.isfinite(amount) or amount < 0:
        raise CannotFill(f"{amount} of {resource} cannot be; an amount is zero or more")
    size = _units(resource).get(unit, Decimal(1))
    value = _EXACT.divide(_without_noise(float(amount), resource), size)
    if unit in _WHOLE:
        value = value.to_integral_value(ROUND_DOWN)
    words = f"{value:f}"
    return (words.rstrip("0").rstrip(".") if "." in words else words) or "0"


def _filled(token: str, amounts: Mapping[str, float]) -> str:
    resource, unit = _parsed(token)
    if resource not in amounts:
        have = ", ".join(sorted(amounts)) or "nothing"
        raise CannotFill(f"{token} has no amount: this workload is allocated {have}; write one of these")
    return words_of(amounts[resource], resource, unit)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """(placeholder with its braces, "") or ("", plain text)."""
    end = 0
    for found in _TOKEN.finditer(text):
        yield "", text[end : found.start()]
        end = found.end()
        match found[0]:
            case "{{" | "}}" as doubled:
                yield "", doubled[0]
            case "{" | "}" as lone:
                at = text[max(0, found.start() - 10) : end + 10]
                raise CannotFill(f"a lone {lone} near {at!r}; write {lone * 2} for a brace, or {{cpu}} for an amount")
            case token:
                yield token, ""
    yield "", text[end:]


def _parsed(token: str) -> tuple[str, str]:
    resource, colon, unit = token[1:-1].partition(":")
    shown = token if len(token) <= _MAX_SHOWN else f"{token[:_MAX_SHOWN]}…"
    if not re.fullmatch(RESOURCE_PATTERN, resource):
        raise CannotFill(
            f"{shown} names no resource; write cpu, memory, storage, bandwidth or kind/NAME, such as {{memory:GiB}}"
        )
    known = _units(resource)
    if colon and unit not in known:
        raise CannotFill(f"{shown} has no unit of {resource}; write {_either(resource, known)}")
    return resource, unit


def _either(resource: str, units: Mapping[str, Decimal]) -> str:
    return " or ".join((f"{{{resource}}}", ", ".join(f"{{{resource}:{unit}}}" for unit in units)))


def _units(resource: str) -> Mapping[str, Decimal]:
    return _UNITS.get(resource, _EXTENDED)


def _without_noise(amount: float, resource: str) -> Decimal:
    """The decimal that was meant: whole numbers as they are, others to their grain."""
    if amount.is_integer():
        return Decimal(repr(amount))
    grain = _GRAIN.get(resource)
    if grain is None:
        return Decimal(f"{amount:.15g}")
    return Decimal(repr(amount)).quantize(grain, context=_EXACT)
