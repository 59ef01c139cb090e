"""What every simulated workload's true state has in common: it is advanced, and the truth can be asked.

Models move on a fixed grid of ticks (absolute multiples of `tick`) and are linear in between; so their state at a time
does not depend on how often they were asked before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from exporters.simulator.demand import Demand

_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Truth:
    """What is really so, for tests and backtests to compare with. Units as in a Reading."""

    at: float
    up: bool
    allocated: Mapping[str, float] = field(default_factory=dict)
    configured: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    demand: float | None = None
    """Units that would be used with unlimited room; None where that makes no sense."""
    native_per_hour: Mapping[str, float] = field(default_factory=dict)
    """token -> what is being earned now, gross."""
    earned: Mapping[str, float] = field(default_factory=dict)
    """token -> since the world began, gross."""


class Model(Protocol):
    def advance(self, to: float) -> None:
        """Live until `to`. Going back is ignored: the truth of the past is history's business."""
        ...

    def truth(self) -> Truth: ...


class Ticks:
    """A demand on its tick grid, evaluated in blocks: one value of a single time costs 200 times as much."""

    def __init__(self, demand: Demand, tick: float) -> None:
        self.tick = tick
        self._demand = demand
        self._blocks: dict[int, list[float]] = {}

    def at(self, index: int) -> float:
        """Demand during tick `index`, which begins at index * tick."""
        block, place = divmod(index, _BLOCK)
        found = self._blocks.get(block)
        if found is None:
            start = block * _BLOCK
            found = self._demand.at(np.arange(start, start + _BLOCK, dtype=np.float64) * self.tick).tolist()
            self._blocks = {block: found}
        return found[place]
