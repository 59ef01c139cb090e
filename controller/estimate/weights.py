"""Which past counts: the recency kernel, and re-weighted copies of history for the bootstrap (economics.md 2 and 4).

The Bayesian bootstrap draws one exponential(1) weight per *hour*, not per observation, because observations minutes
apart say the same thing; and the same weights for every workload, because one busy evening is busy for all of them,
so that the interval of a sum of workloads is right too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.model import Blocks

if TYPE_CHECKING:
    from controller.model import F64

HOUR: Final = 3600.0
HALF_LIFE: Final = 12 * HOUR
"""Of the one kernel there is so far: what was seen 12 h ago counts half."""
WINDOW: Final = 72 * HOUR
"""Nothing older counts for demand and value."""
REPLICATES: Final = 200
_LONGEST: Final = 30 * 24
"""Draws per replicate at most: the retention in hours; what is older shares the last one."""
_POSSIBLE: Final = 1e24
"""No real figure of one block in base units is larger (an exabyte for a month: 8e20 byte-hours); NaN is not smaller."""
_PIECES: Final = 12
"""A short history is cut into at least so many blocks, or there would be nothing to re-weight."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """B draws over the past, in columns of `block` seconds counted backwards from `now`."""

    now: float
    block: float
    """Seconds: min(1 h, history / 12)."""
    draws: F64
    """(1 + B, h): row 0 is all ones, the point estimate; column j covers now - (j+1) block to now - j block."""

    @property
    def replicates(self) -> int:
        return len(self.draws) - 1

    def column(self, at: F64) -> NDInt:
        """The column of each Unix second; the last one for all that is older."""
        index = np.floor((self.now - at) / self.block)
        return np.clip(index, 0, self.draws.shape[1] - 1).astype(np.intp)


if TYPE_CHECKING:
    from numpy.typing import NDArray

    NDInt = NDArray[np.intp]


def draw(histories: Iterable[Blocks | None], now: float, seed: int, replicates: int = REPLICATES) -> Weights:
    """The weights for one decision: the longest history says how far back they reach."""
    starts = [float(blocks.start[0]) for blocks in histories if blocks is not None and len(blocks.start)]
    history = max(HOUR, now - min(starts, default=now))
    block = min(HOUR, history / _PIECES)
    columns = min(_LONGEST, int(history // block) + 1)
    draws = np.ones((replicates + 1, columns))
    if replicates:
        draws[1:] = np.random.default_rng(seed).standard_exponential((replicates, columns))
    return Weights(now, block, draws)


def recency(blocks: Blocks, now: float, half_life: float = HALF_LIFE, window: float = WINDOW) -> F64:
    """(n,) the kernel's weight of each block: halved every `half_life`, 0 beyond `window` and for the future.

    Half-life 12 h: 1.0 now, 0.5 at 12 h, 0.0156 at 72 h, 0 after.
    """
    age = now - (blocks.start + blocks.span / 2)
    weight = np.exp2(-np.maximum(age, 0.0) / half_life)
    return np.where((age <= window) & (blocks.start <= now), weight, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Block statistics summed into the columns of the weights, each block times its kernel weight."""

    rows: F64
    """(1 + B, c) the draws of the c columns that hold anything."""
    kernel: F64
    """(c,) kernel-weighted observed hours of each column."""
    columns: NDInt
    """(c,) which column each is; larger is older."""
    usd: F64
    unit_hours: F64
    rate_hours: F64
    exact: F64
    """(c, m)."""
    censored: F64
    """(c, m)."""

    def effective(self) -> float:
        """How many equally heavy columns these are worth: (Σw)² / Σw²."""
        square = float((self.kernel**2).sum())
        return float(self.kernel.sum()) ** 2 / square if square > 0 else 0.0


def pool(blocks: Blocks, weights: Weights, kernel: F64) -> Past:
    """Sum the blocks into columns, so that a replicate costs one row of one matrix product."""
    used = np.flatnonzero(kernel > 0)
    column = weights.column(blocks.start[used] + blocks.span[used] / 2)
    order = np.argsort(column, kind="stable")
    used, column = used[order], column[order]
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    factor = kernel[used]

    def summed(values: NDArray[np.float64] | NDArray[np.float32]) -> F64:
        picked = values[used].astype(np.float64)
        picked = np.where(np.abs(picked) <= _POSSIBLE, picked, 0.0)  # NaN compares false
        scaled = picked * (factor if picked.ndim == 1 else factor[:, None])
        return np.add.reduceat(scaled, starts, axis=0) if len(starts) else scaled

    # money without its use, or use without its money, would be a price that nobody paid
    paired = (np.abs(blocks.usd) <= _POSSIBLE) & (np.abs(blocks.unit_hours) <= _POSSIBLE)
    return Past(
        rows=weights.draws[:, column[starts]],
        kernel=summed(blocks.hours),
        columns=column[starts],
        usd=summed(np.where(paired, blocks.usd, 0.0)),
        unit_hours=summed(np.where(paired, blocks.unit_hours, 0.0)),
        rate_hours=summed(blocks.rate_hours),
        exact=summed(blocks.exact),
        censored=summed(blocks.censored),
    )


def value_per_unit_hour(past: Past) -> F64 | None:
    """(1 + B,) v: USD earned per used unit-hour, Σ w usd / Σ w unit-hours; None where nothing was used in that time."""
    if past.unit_hours.sum() <= 0:
        return None
    units = past.rows @ past.unit_hours
    value: F64 = (past.rows @ past.usd) / units
    return value
