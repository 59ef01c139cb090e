"""Several ways to split, side by side, over the same truth. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.model import F64

STATIC, EQUAL, GREEDY, WINNER, ORCHA, CLAIRVOYANT = (
    "static", "equal", "greedy", "winner_takes_all", "orcha", "clairvoyant",
)  # fmt: skip
NAMES = (STATIC, EQUAL, GREEDY, WINNER, ORCHA, CLAIRVOYANT)


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """One program of orcha's, and what came of it."""

    at: float
    keys: tuple[str, ...]
    from_: tuple[float, ...]
    to: tuple[float, ...]
    low: float
    """USD per hour, as promised: 10 %."""
    expected: float
    high: float
    confidence: float
    horizon: float
    """Seconds."""
    realised: float | None = None
    """USD per hour over the horizon against not having moved, on the true demand; None: the trace ended before."""
    sentence: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One way to split: what it held and earned at each tick."""

    name: str
    allocation: F64
    """(T, W) base units."""
    used: F64
    """(T, W)."""
    earned: F64
    """(T, W) USD in each tick, less energy."""
    programs: int = 0
    moves: int = 0
    limit_violations: int = 0
    overallocations: int = 0
    decisions: int = 0
    seconds: float = 0.0
    """Of computing it."""
    promises: tuple[Promise, ...] = ()
    low: float | None = None
    """USD in all, where use above the recorded allocation is unknown: the least ..."""
    high: float | None = None
    """... and the most."""

    @property
    def total(self) -> float:
        """USD in all."""
        return float(self.earned.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    case: Case
    runs: Mapping[str, Run] = field(default_factory=dict)
    """By name, those of NAMES that were run."""
    exact: bool = True
    """False for recorded history: other splits are known only to lie between `low` and `high`."""

    @property
    def captured_uplift(self) -> float | None:
        """(orcha - static) / (clairvoyant - static); None where the clairvoyant gains nothing, or nothing is exact."""
        if not self.exact or not {STATIC, ORCHA, CLAIRVOYANT} <= self.runs.keys():
            return None
        static, best = self.runs[STATIC].total, self.runs[CLAIRVOYANT].total
        if not best > static + 1e-9 * max(1.0, abs(static)):
            return None
        return (self.runs[ORCHA].total - static) / (best - static)
