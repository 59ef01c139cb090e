"""OBSERVE: where readings come from. `embedded` polls the nodes in this process; a source over PromQL can stand in its place.

In: the manifests. Out: an Observation, whole and frozen; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.policy import Mode
from exporters.nodes import Actuator, Allocation, Power, Watts
from exporters.reading import Reading
from exporters.traits import Traits


@dataclass(frozen=True, slots=True)
class Watched:
    """One workload as the controller knows it: what its owner wrote, and what its protocol declares."""

    key: str
    node: str
    protocol: str
    traits: Traits
    stale_after: float
    allocation: Allocation | None
    power: Power | None
    watts: Watts | None
    mode: Mode | None
    driver: str
    actuator: Actuator | None = None
    """How its owner wants it changed."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the world."""

    at: float
    fresh: tuple[Reading, ...] = ()
    """Every look since the last observation, in the order in which they came, failed ones too."""
    newest: Mapping[str, Reading] = field(default_factory=dict)
    """key -> the newest look, up or not."""
    last_good: Mapping[str, Reading] = field(default_factory=dict)
    """key -> the newest look that gave a reading."""
    complete: bool = False
    """Every workload was tried at least once."""


class Source(Protocol):
    """Where readings come from."""

    @property
    def watched(self) -> Mapping[str, Watched]:
        """By key, in the order of the keys."""
        ...

    async def observe(self, patience: float = 0.0) -> Observation:
        """Collect what is due, and wait at most `patience` seconds for it."""
        ...

    def assumes(self, key: str) -> bool:
        """Whether its node cannot say what the workload has, and its readings repeat what was set or declared."""
        ...

    def last_good(self, key: str) -> Reading | None:
        """The newest look at one workload that gave a reading."""
        ...

    async def read_back(self, key: str) -> Reading:
        """A fresh look at one workload, never cached."""
        ...

    async def close(self) -> None: ...
