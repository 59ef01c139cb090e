"""What a backtest replays: nodes, workloads, a policy, and the truth behind them. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, NodeState, WorkloadState
    from controller.policy import PolicySpec

TICK = 60.0
"""Seconds between two readings of a workload."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What happens outside, on T ticks and for W workloads. No controller sees it: it sees used, allocated and rate."""

    start: float
    """Unix seconds of the first tick."""
    tick: float
    """Seconds that each lasts."""
    demand: F64
    """(T, W) demand: units that would be used; fill: what would be stored with unlimited room. NaN: nobody knows."""
    value: F64
    """(T, W) USD that one used unit earns an hour, before energy. NaN only where the demand is."""
    up: NDArray[np.bool_]
    """(T, W) whether the workload answers and earns."""
    tariff: F64 | None = None
    """(T, N) USD per kWh, by node in the order of the case; None: each node's own power says."""

    @property
    def ticks(self) -> int:
        return len(self.demand)

    @property
    def hours(self) -> float:
        """Of one tick."""
        return self.tick / 3600


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One thing to replay."""

    name: str
    nodes: tuple[NodeState, ...]
    """Sorted by name."""
    workloads: tuple[WorkloadState, ...]
    """Sorted by key, each with an allocation and traits (curve demand or fill), without readings or blocks."""
    spec: PolicySpec
    truth: Truth
    initial: F64
    """(W,) what each has at the start: on its grid, within every capacity."""
    seed: int = 0
