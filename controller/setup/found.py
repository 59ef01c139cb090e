"""What answered, and what did not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporters.reading import Reading


@dataclass(frozen=True, slots=True)
class Found:
    """A node that said who it is."""

    protocol: str
    endpoint: str
    reading: Reading
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Names of files."""
    options: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] | None = None
    metrics: tuple[str, ...] = ()
    """Of protocol mapped: what its page has, for whoever completes the mapping."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An address at which there is something, or should be, and which became no workload."""

    endpoint: str
    sentence: str
    todo: str


@dataclass(frozen=True, slots=True)
class Harvest:
    found: tuple[Found, ...] = ()
    missed: tuple[Missed, ...] = ()
    silent: tuple[str, ...] = ()
    """Hosts other than this machine at whose usual ports nobody is."""

    def plus(self, other: Harvest) -> Harvest:
        return Harvest(self.found + other.found, self.missed + other.missed)
