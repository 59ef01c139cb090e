"""Strategy Predictive: what the forecast of the hours ahead makes of curves of demand, and of what a unit earns.

    blocks ──stretch.hourly──▶ Hours ──forecast──▶ Forecast ──stretch.demand_ahead──▶ Predicted ──beside──▶ survival curves

Pure in the blocks and `now`: nothing of it is kept from one decision to the next, so that a replay comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.forecast import ENOUGH, MOST_AHEAD, POSSIBLE, Forecast, forecast, value_ahead
from controller.estimate.kernels import survivals
from controller.estimate.prices import at_todays_price
from controller.estimate.readings import counting
from controller.estimate.stretch import SPREAD, demand_ahead, hourly, stretched

if TYPE_CHECKING:
    from controller.model import F64, Blocks, Memory, WorkloadState
    from controller.policy import Limits

_USED: Final = 1e-12
"""Unit-hours under which nothing was used."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Of one workload."""

    source: Forecast
    row: int
    quantum: float
    cells: int
    share: float
    """0..0.5 of its curve."""
    value: float
    """USD that a used unit is foreseen to earn over the hours ahead."""
    value_share: float
    """0..0.5 of that which is believed."""

    def past(self, blocks: Blocks) -> tuple[Blocks, F64]:
        """Its past as it may look over the hours ahead, and the weight (n,) of each of the blocks."""
        return stretched(blocks, self.source, self.row, self.quantum, self.cells)

    def value_instead_of(self, value: float) -> float:
        """USD per used unit-hour, where the recent past alone says `value`."""
        return value + self.value_share * (self.value - value)

    def words(self, others: str) -> str:
        """How much of the curve is its, for sentences; `others`: what the rest is judged by."""
        scored, gain = self.source.scored[self.row], self.source.gain[self.row]
        if self.share > 0:
            return (
                f"judged {self.share:.0%} by the forecast of the hours ahead, which was off {gain:.0%} less than recent means "
                f"over {scored:.0f} h; the rest {others}"
            )
        if scored < ENOUGH:
            return f"{others}; the forecast of the hours ahead is scored on {scored:.0f} h of {ENOUGH:.0f} and does not count yet"
        return f"{others}; the forecast of the hours ahead was no better than recent means and gives way"


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Of W workloads."""

    source: Forecast
    inside: F64
    """(W, M) P(D > y) over each cell, as Survivals."""
    most: F64
    """(W, M)."""
    share: F64
    """(W,) 0..0.5."""
    quantum: F64
    value: F64
    """(W,) USD per used unit-hour."""
    value_share: F64
    """(W,)."""

    def beside(self, mixed: F64, most: F64) -> tuple[F64, F64]:
        """Both (W, M) of the other kernels, with its share of each curve."""
        share = self.share[:, None]
        return mixed + share * (self.inside - mixed), most + share * (self.most - most)

    def effective(self, exposure: F64) -> F64:
        """(W,) effective hours of what it was seen to be off, times its share."""
        life = SPREAD / np.log(2)
        hours = np.minimum(exposure, self.source.foreseen.shape[1])
        found: F64 = self.share * np.maximum(2 * life * np.tanh(hours / (2 * life)), 1.0)
        return found

    def of(self, row: int) -> Prediction:
        """Of one of them."""
        share, value, value_share = (float(part[row]) for part in (self.share, self.value, self.value_share))
        return Prediction(self.source, row, float(self.quantum[row]), self.inside.shape[1], share, value, value_share)


def predict(memory: Memory, past: Sequence[Blocks | None], now: float, hours: float) -> Predicted:
    """What is foreseen of the workloads of a memory over the coming `hours`: past 24, of the first 24 of them.

    past: the blocks of each, at today's price. Its share is 0 where it did not beat the plain kernels out of sample.
    """
    ahead = int(np.clip(np.ceil(hours), 1, MOST_AHEAD))
    found = forecast(hourly(past, now), ahead)
    earned = forecast(hourly([None if blocks is None else _worth(blocks) for blocks in past], now), ahead, power=1.0)
    held = demand_ahead(past, found, memory.quantum, memory.recent.shape[-1])
    curves = survivals(held[:, :1], held[:, 1:], 2 * memory.steps / memory.quantum)
    share = np.where(held.sum(axis=(1, 2)) > 0, found.share, 0.0)
    return Predicted(
        found, curves.inside[:, 0], curves.most[:, 0], share, memory.quantum, value_ahead(earned, found), earned.share
    )


def pasts(workloads: Iterable[WorkloadState], now: float, limits: Limits) -> dict[str, Blocks]:
    """The blocks of every workload that has any, at today's price of its token, by key."""
    found = {}
    for workload in workloads:
        if workload.blocks is not None:
            reading = counting(workload, now, limits)
            found[workload.key] = workload.blocks if reading is None else at_todays_price(workload.blocks, reading)
    return found


def _worth(blocks: Blocks) -> Blocks:
    """The same blocks with USD per used unit-hour where use stood; NaN where nothing was used."""
    right = (blocks.unit_hours > _USED) & (np.abs(blocks.usd) <= POSSIBLE) & (blocks.unit_hours <= POSSIBLE)
    worth = np.divide(blocks.usd, blocks.unit_hours, out=np.full(len(right), np.nan), where=right)
    nothing = blocks.exact[:, :0]
    return replace(blocks, used=worth, exact=nothing, censored=nothing)
