"""Which past counts: the recency kernel, and re-weighted copies of history for the bootstrap (economics.md 2 and 4).

The Bayesian bootstrap draws one exponential(1) weight per *hour*, not per observation, because observations minutes
apart say the same thing; and the same weights for every workload, because one busy evening is busy for all of them,
so that the interval of a sum of workloads is right too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
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
        found: NDInt = np.clip(np.nan_to_num(index), 0, self.draws.shape[1] - 1).astype(np.intp)
        return found


if TYPE_CHECKING:
    from numpy.typing import NDArray

    NDInt = NDArray[np.intp]


def draw(histories: Iterable[Blocks | None], now: float, seed: int, replicates: int = REPLICATES) -> Weights:
    """The weights for one decision: the longest history says how far back they reach."""
    starts = [float(blocks.start[0]) for blocks in histories if blocks is not None and len(blocks.start)]
    history = min(max(HOUR, now - min(starts, default=now)), _LONGEST * HOUR)
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


class Columns:
    """One workload's blocks, in the columns of the weights: a kernel more costs little of what the first one does."""

    def __init__(self, blocks: Blocks, weights: Weights, *, trimmed: bool = False) -> None:
        """`trimmed`: without the levels at which nothing ever was."""
        self._blocks, self._trimmed = blocks, trimmed
        self._draws = weights.draws
        self._at = weights.column(blocks.start + blocks.span / 2)
        # money without its use, or use without its money, would be a price that nobody paid
        paired = (np.abs(blocks.usd) <= _POSSIBLE) & (np.abs(blocks.unit_hours) <= _POSSIBLE)
        money = np.where(paired, blocks.usd, 0.0), np.where(paired, blocks.unit_hours, 0.0)
        self._figures = _possible(np.stack([*money, blocks.rate_hours, blocks.hours], axis=1))

    @cached_property
    def _there(self) -> NDArray[np.bool_]:
        """(m of the blocks,) which levels."""
        if not self._trimmed:
            return np.ones(len(self._blocks.levels), dtype=np.bool_)
        exact, censored = self._blocks.exact != 0, self._blocks.censored != 0  # NaN is not
        found: NDArray[np.bool_] = exact.any(axis=0) | censored.any(axis=0)
        return found

    @cached_property
    def levels(self) -> F64:
        """(m,) those of the pools."""
        return self._blocks.levels[self._there]

    @cached_property
    def _held(self) -> F64:
        """(n, 2m) exact, censored."""
        blocks, there = self._blocks, self._there
        return _possible(np.concatenate([blocks.exact[:, there], blocks.censored[:, there]], axis=1))

    def pool(self, kernel: F64) -> Past:
        """The blocks summed into columns, so that a replicate costs one row of one matrix product."""
        used, starts, columns = self._in_order(kernel)
        usd, unit_hours, rate_hours, hours = _summed(self._figures, kernel, used, starts).T
        held, m = _summed(self._held, kernel, used, starts), len(self.levels)
        return Past(
            rows=self._draws[:, columns], kernel=hours, columns=columns, usd=usd, unit_hours=unit_hours,
            rate_hours=rate_hours, exact=held[:, :m], censored=held[:, m:],
        )  # fmt: skip

    def value(self, kernel: F64) -> F64 | None:
        """`value_per_unit_hour` of that pool, without the rest of it."""
        used, starts, columns = self._in_order(kernel)
        usd, unit_hours = _summed(self._figures, kernel, used, starts)[:, :2].T
        return _value(self._draws[:, columns], usd, unit_hours)

    def _in_order(self, kernel: F64) -> tuple[NDInt, NDInt, NDInt]:
        """The blocks that count, by column; where each column begins among them; and which those are."""
        used = np.flatnonzero(kernel > 0)
        column = self._at[used]
        order = np.argsort(column, kind="stable")
        used, column = used[order], column[order]
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        return used, starts, column[starts]


def _possible(values: NDArray[np.float64] | NDArray[np.float32]) -> F64:
    """Whatever cannot be true is 0."""
    values = values.astype(np.float64)
    return np.where(np.abs(values) <= _POSSIBLE, values, 0.0)  # NaN compares false


def _summed(values: F64, kernel: F64, used: NDInt, starts: NDInt) -> F64:
    scaled = values[used] * kernel[used, None]
    return np.add.reduceat(scaled, starts, axis=0) if len(starts) else scaled


def pool(blocks: Blocks, weights: Weights, kernel: F64) -> Past:
    """Under one kernel alone."""
    return Columns(blocks, weights).pool(kernel)


def value_per_unit_hour(past: Past) -> F64 | None:
    """(1 + B,) v: USD earned per used unit-hour, Σ w usd / Σ w unit-hours; None where nothing was used in that time."""
    return _value(past.rows, past.usd, past.unit_hours)


def _value(rows: F64, usd: F64, unit_hours: F64) -> F64 | None:
    if unit_hours.sum() <= 0:
        return None
    value: F64 = (rows @ usd) / (rows @ unit_hours)
    return value
