"""The past of demand as it may look over the hours ahead: blocks -> hours to forecast from, and a forecast -> blocks again.

    Blocks ──hourly──▶ Hours ──forecast.forecast──▶ Forecast ──stretched──▶ Blocks and their weights (pool, survival)
                                                             ──demand_ahead──▶ hours at levels of all (kernels.survivals)

Nothing seen is replaced by a number: what was in use in a past hour is multiplied by (what is foreseen now / what was
foreseen then), at every level of it, lower bounds as lower bounds. How far a forecast is off, bursts within an hour and what
is hidden above an allocation are then in the curve as they were in the past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.forecast import DAY, MOST_DAYS, POSSIBLE, Hours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.forecast import Forecast
    from controller.model import F64, Blocks

HOUR: Final = 3600.0
SPREAD: Final = 40.0
"""Half-life of what was seen around a forecast, hours."""
_ALIKE: Final = 2.0
"""An hour that must be stretched counts by the factor to the power of minus this: twice as long a quarter."""


def hourly(past: Sequence[Blocks | None], now: float, days: int = MOST_DAYS) -> Hours:
    """Blocks as hours counted backwards from `now`; one that lies across a border is split by time."""
    columns = days * DAY
    known = [(i, blocks) for i, blocks in enumerate(past) if blocks is not None and len(blocks.start)]
    if not known:
        nothing = np.zeros((len(past), columns))
        return Hours(now, nothing + np.nan, nothing, nothing)
    row = np.repeat([i for i, _ in known], [len(blocks.start) for _, blocks in known])
    start, span, used, hours = (
        np.concatenate([getattr(blocks, name) for _, blocks in known]) for name in ("start", "span", "used", "hours")
    )
    both = [np.stack([b.exact.sum(axis=1), b.censored.sum(axis=1)]) for _, b in known]
    room, no_room = (np.maximum(np.nan_to_num(part), 0.0) for part in np.concatenate(both, axis=1).astype(np.float64))
    older = (now - start) / HOUR
    newer = np.maximum(older - span / HOUR, 0.0)
    right = (older > 0) & (older > newer) & (newer < columns) & (used >= 0) & (used <= POSSIBLE)
    right &= (hours > 0) & (hours <= POSSIBLE) & (span <= DAY * HOUR)
    row, older, newer, used, hours, room, no_room = (
        values[right] for values in (row, older, newer, used, hours, room, no_room)
    )
    share = np.divide(no_room, room + no_room, out=np.zeros_like(room), where=room + no_room > 0)
    places, theres = [], []
    for age in (np.floor(newer), np.floor(newer) + 1):
        there = np.clip(np.minimum(older, age + 1) - np.maximum(newer, age), 0.0, 1.0) / (older - newer) * hours
        theres.append(np.where(age < columns, there, 0.0))
        places.append(row * columns + columns - 1 - np.minimum(age, columns - 1).astype(np.intp))
    place, there = np.concatenate(places), np.concatenate(theres)
    weight, units, censored = (
        np.bincount(place, there * np.tile(part, 2), len(past) * columns).reshape(len(past), columns).astype(np.float64)
        for part in (np.ones_like(used), used, share)
    )
    seen = weight > 0
    mean = np.divide(units, weight, out=units + np.nan, where=seen)
    full = np.divide(censored, weight, out=np.zeros_like(units), where=seen)
    return Hours(now, mean, np.minimum(weight, 1.0), full)


def stretched(blocks: Blocks, foreseen: Forecast, row: int, quantum: float, cells: int) -> tuple[Blocks, F64]:
    """The past of workload `row` as demand may look over the hours ahead, and the weight (n,) of each of its blocks.

    Its levels are 0, 1 .. cells - 1 times `quantum`. An hour with 4 cores in use of which 2 were foreseen says 6 where 3 are
    foreseen now; one that was full at 4 says that it may be at least 6. What lies between two cells is shared by them.
    Both go where blocks and their kernel go: `pool`, then `survival`, with all its replicates.
    """
    factor, weight = _alike(blocks, foreseen, row)
    count = len(weight)
    both = []
    for part in (blocks.exact, blocks.censored):
        block, place, held = _entries(part, blocks.levels / quantum, factor, weight, cells)
        found = _shared(place, held, block * cells, count * cells)
        both.append(found.reshape(count, cells).astype(np.float32))
    exact, censored = both
    return replace(blocks, levels=quantum * np.arange(cells, dtype=np.float64), exact=exact, censored=censored), weight


def demand_ahead(past: Sequence[Blocks | None], foreseen: Forecast, quantum: F64, cells: int) -> F64:
    """(W, 2, cells) hours at each level, exact and censored, weighed: one more kernel beside those of kernels.histograms.

    quantum (W,): base units of a cell.
    """
    found = np.zeros((len(past), 2, cells))
    for row, blocks in enumerate(past):
        if blocks is None or not len(blocks.start):
            continue
        oldest = foreseen.now - HOUR * foreseen.foreseen.shape[1]
        first = int((blocks.start + blocks.span / 2 >= oldest).argmax())  # what is older has no weight
        late = slice(first, None)
        factor, weight = _alike(blocks, foreseen, row, late)
        for kind, part in enumerate((blocks.exact[late], blocks.censored[late])):
            block, place, held = _entries(part, blocks.levels / quantum[row], factor, weight, cells)
            found[row, kind] = _shared(place, held * weight[block], 0, cells)
    return found


def _alike(blocks: Blocks, foreseen: Forecast, row: int, which: slice = slice(None)) -> tuple[F64, F64]:
    """Of some blocks: (h, n) by what each is to be multiplied, and the weight (n,) that it has; 0: too old, to come, or at
    a time that is none.
    """
    start, hours = blocks.start[which], foreseen.foreseen.shape[1]
    ago = (foreseen.now - (start + blocks.span[which] / 2)) / HOUR
    age = np.where(ago < hours, np.maximum(ago, 0.0), hours)  # NaN compares false
    weight = np.where((start <= foreseen.now) & (np.abs(ago) < hours), 2.0 ** (-age / SPREAD), 0.0)
    factors = foreseen.factors(row)
    alike = (np.minimum(factors, 1.0 / factors) ** _ALIKE).mean(axis=0)
    hour = hours - 1 - np.minimum(age, hours - 1).astype(np.intp)
    return factors[:, hour], weight * alike[hour]


def _entries(
    held: NDArray[np.float32], levels: F64, factor: F64, weight: F64, cells: int
) -> tuple[NDArray[np.intp], F64, F64]:
    """The k levels (n, m) at which a block that counts was: (k,) its block, (h, k) the cells to which the factors (h, n)
    move it, (k,) its hours, a part for each of the h.
    """
    block, level = np.nonzero((held > 0) & (held <= POSSIBLE))
    kept = (weight[block] > 0) & (levels[level] >= 0)
    block, level = block[kept], level[kept]
    place = np.clip(levels[level] * factor[:, block], 0.0, cells - 1.0)
    return block, place, held[block, level] / len(factor)


def _shared(place: F64, held: F64, first: NDArray[np.intp] | int, count: int) -> F64:
    """(count,) hours `held` (k,) at places (h, k) after `first`, each shared by the two cells between which it lies."""
    lower = place.astype(np.intp)
    part = place - lower
    at, upper = first + lower, held * part
    found = np.bincount(at.ravel(), (held - upper).ravel(), count + 1)
    return np.asarray(found + np.bincount(at.ravel() + 1, upper.ravel(), count + 1))[:count]
