"""What the coming horizon itself may bring, beside what is expected of it: how windows as long as it went of late.

    blocks ──hours at cells──▶ use of each window of the last REACH hours at x ──less their mean──▶ Curve.windows

The bootstrap tells how far a mean is open. Whether a promise is kept is decided by a few hours, whose demand comes in
bursts, has a rhythm, hangs together. So windows of the past are taken as they went, with all of that in them. What a window
would have used where it had no room left is what the curve expects beyond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.recall import cell_of

if TYPE_CHECKING:
    from controller.model import F64, Blocks

HOUR: Final = 3600.0
REACH: Final = 72
"""Hours back at which windows end, one for each hour."""
HALF_LIFE: Final = 12.0
"""Hours after which a window counts half."""
_SEEN: Final = 0.5
"""Share of a window that must have been observed."""
_NEVER: Final = 1e-6
"""Share of the time at which demand is above a level, under which nothing is expected beyond it."""


def recent(windows: int) -> F64:
    """(n,) how much each window counts, newest first."""
    found: F64 = np.exp2(-np.arange(windows) / HALF_LIFE)
    return found


def differing(blocks: Blocks, now: float, hours: float, used: F64, quantum: float, x: F64) -> F64:
    """(REACH, k) units: by how much the mean use of allocations x in each window of `hours` differed from that of all.

    NaN where too little of a window was seen. used: (M + 1,) what is expected to be used of an allocation of each edge of
    cells of `quantum`. Worked: 8 units of always 8 in every window: 0. In every second one 4 instead, unweighted: -2, +2.
    """
    length = max(1, round(hours))
    exact, censored = _by_hour(blocks, now, REACH + length, quantum, len(used))
    edges = quantum * np.arange(len(used), dtype=np.float64)
    as_seen = np.minimum(edges[:, None], x)
    units = _windows(exact @ as_seen + censored @ (as_seen + _beyond(used, quantum, edges, x)), length)
    seen = _windows((exact + censored).sum(axis=1, keepdims=True), length)
    enough = seen[:, 0] >= _SEEN * length
    mean = np.divide(units, seen, out=np.full_like(units, np.nan), where=enough[:, None])
    weight = np.where(enough, recent(REACH), 0.0)
    total = float(weight.sum())
    return mean - weight @ np.nan_to_num(mean) / total if total > 0 else mean


def _by_hour(blocks: Blocks, now: float, reach: int, quantum: float, cells: int) -> tuple[F64, F64]:
    """(reach, cells) hours at each level in each hour before now, newest first: with room left, and without."""
    place = cell_of(blocks.levels, quantum, cells - 1)
    ago = np.floor((now - (blocks.start + blocks.span / 2)) / HOUR)
    those = np.flatnonzero((ago >= 0) & (ago < reach))
    into, onto = np.zeros((reach, len(those))), np.zeros((len(place), cells))
    into[ago[those].astype(np.intp), np.arange(len(those))] = 1.0
    onto[np.arange(len(place)), place] = 1.0
    exact, censored = (into @ np.nan_to_num(held[those]) @ onto for held in (blocks.exact, blocks.censored))
    return exact, censored


def _beyond(used: F64, quantum: float, edges: F64, x: F64) -> F64:
    """(cells, k) what more is expected to be used of x where demand is known to be at least at an edge."""
    survives = np.append(np.diff(used), 0.0)[:, None] / quantum
    more = np.maximum(np.interp(x, edges, used) - used[:, None], 0.0)
    expected = np.divide(more, survives, out=np.zeros_like(more), where=survives > _NEVER)
    return np.minimum(expected, np.maximum(x - edges[:, None], 0.0))


def _windows(by_hour: F64, length: int) -> F64:
    """(REACH, k) sums over the `length` hours before each hour."""
    total = np.concatenate([np.zeros((1, by_hour.shape[1])), np.cumsum(by_hour, axis=0)])
    found: F64 = total[length:] - total[:-length]
    return found[:REACH]
