"""What the past of many workloads comes to: running sums per kernel, how well each kernel forecast, what a unit earned.

    block closes ──after──▶ Memory ──▶ survival curves and value (kernels.py, mixture.py, curves.py)

Summed up block by block, so that a curve costs the same after an hour and after a month. It holds nothing that the blocks
do not: `remember` (recall.py) makes it anew from them, after a restart or where there is none.

All arrays have the W workloads first; M cells of `quantum` each, COUNT kernels. Hours, base units, USD, Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate import mixture
from controller.estimate.kernels import (
    ALONE,
    AROUND,
    COUNT,
    ENOUGH,
    HALF_LIVES,
    HOUR,
    RECENT,
    SLOT_HALF_LIFE,
    SLOTS,
    Survivals,
    coming,
    histograms,
    slot_of,
    survivals,
)
from controller.model import Memory

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from controller.model import F64

    Ints = NDArray[np.intp]
    F32 = NDArray[np.float32]

CELLS: Final = 64
"""Cells up to an allocation's maximum: quarter steps, doubled until they fit. A 64-core machine is seen in whole cores."""
FORECASTS: Final = 4
EVERY: Final = 0.5 * HOUR
"""A forecast is kept every half hour, the last FORECASTS of them: forecasts made up to a horizon of 2 h before."""
AHEAD: Final = 2.0
"""Hours that a kept forecast looks ahead."""
SCORE_HALF_LIFE: Final = 72.0
"""Hours after which a forecast's score counts half."""
SCORED: Final = 6.0
"""Hours that must be scored before any kernel but ALONE is believed."""
_LUMP: Final = 2.0
"""Times what it would hold of a past without gaps, seen as it went by, above which a kernel's blocks are too long for it:
from 2.3 half-lives on."""
_WATCHED: Final = 2 / 3
"""Share of the last 20 minutes (as their kernel weighs them) that must have been watched for the last minutes to speak."""
VALUE_HALF_LIVES: Final = np.array([1.0, 12.0, 72.0])
"""Hours, of what a used unit earns."""


def cell_size(step: float, largest: float, cells: int = CELLS) -> float:
    """Base units of a cell: a quarter step, doubled until the largest allocation is within so many."""
    quantum = step / 4
    while largest > quantum * cells:
        quantum *= 2
    return quantum


def nothing(
    keys: Sequence[str],
    steps: Sequence[float],
    largest: Sequence[float],
    cells: int = CELLS,
    dtype: DTypeLike = np.float32,
) -> Memory:
    """Of workloads that were never seen: (W,) the step and the largest allocation of each, in base units. `dtype`: of what
    takes most room, the hours by slot and the kept forecasts.
    """
    count = len(keys)
    quantum = [cell_size(step, most, cells) for step, most in zip(steps, largest, strict=True)]
    trust = np.zeros((count, COUNT))
    trust[:, ALONE] = 1.0
    return Memory(
        keys=tuple(keys),
        until=np.full(count, -np.inf),
        quantum=np.array(quantum, dtype=np.float64),
        steps=np.array(steps, dtype=np.float64),
        recent=np.zeros((count, 2, RECENT, cells + 1), dtype=np.float32),
        slots=np.zeros((count, 2, 2, SLOTS, cells + 1), dtype=dtype),
        written=np.zeros((count, 2, SLOTS)),
        forecasts=np.full((count, FORECASTS, COUNT, cells + 1), np.nan, dtype=dtype),
        made=np.full((count, FORECASTS), -np.inf),
        scores=np.zeros((count, COUNT, COUNT)),
        scored=np.zeros(count),
        trust=trust,
        money=np.zeros((count, len(VALUE_HALF_LIVES), 4)),
        missed=np.zeros((count, len(VALUE_HALF_LIVES))),
        exposure=np.zeros(count),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One closed block of each of W workloads."""

    start: F64
    """(W,) Unix seconds."""
    span: F64
    """(W,) seconds."""
    exact: F64
    """(W, M) hours at each cell's level with room left."""
    censored: F64
    """(W, M) with none."""
    hours: F64
    """(W,) observed."""
    money: F64
    """(W, 4) USD not in a token, unit-hours, tokens, USD of those tokens."""


def after(memory: Memory, seen: Seen) -> Memory:
    """What is remembered once a block of every one of its workloads has closed."""
    end = seen.start + seen.span
    since = np.where(np.isfinite(memory.until), np.maximum(end - memory.until, 0.0), 0.0) / HOUR
    scores, scored = _score(memory, seen, since)
    recent = memory.recent * np.exp2(-since[:, None] / HALF_LIVES)[:, None, :, None]
    recent[:, 0] += seen.exact[:, None]
    recent[:, 1] += seen.censored[:, None]
    money, missed = _earn(memory, seen, since)
    slots, written = _slot(memory, seen)
    counted = replace(
        memory, until=end, recent=recent.astype(np.float32), slots=slots, written=written, scores=scores, scored=scored,
        money=money, missed=missed, exposure=memory.exposure * np.exp2(-since / HALF_LIVES[-1]) + seen.hours,
    )  # fmt: skip
    return _foresee(counted, end)


def _score(memory: Memory, seen: Seen, since: F64) -> tuple[F64, F64]:
    """How far off the kept forecasts were in this block."""
    total = seen.exact + seen.censored
    higher = np.cumsum(total[:, ::-1], axis=1)[:, ::-1] - total  # hours at a level above each
    below = np.cumsum(seen.censored, axis=1)  # of these it is not known whether demand was higher
    known = np.maximum(total.sum(axis=1, keepdims=True) - below, 0.0)
    above = np.divide(higher, known, out=np.zeros_like(higher), where=known > 0)
    usable = (memory.made >= (seen.start - (AHEAD + 0.01) * HOUR)[:, None]) & (memory.made <= seen.start[:, None] + 1.0)
    forecasts = np.where(usable[:, :, None, None], memory.forecasts, np.nan)
    found = mixture.errors(forecasts, above, known)
    decay = np.exp2(-since / SCORE_HALF_LIFE)
    was = usable.any(axis=1)
    return memory.scores * decay[:, None, None] + found, memory.scored + np.where(was, seen.hours, 0.0)


def _earn(memory: Memory, seen: Seen, since: F64) -> tuple[F64, F64]:
    """What a unit earned, and how well that was foreseen: in tokens where it is paid in one, since their price is known."""
    real = seen.money[:, None]
    alike = _in_token(memory.money) & _in_token(real)
    foreseen, really = unit_worth(memory.money, None), unit_worth(real, None)
    if alike.any():
        foreseen, really = (
            np.where(alike, _per_unit(money[..., 2], money[..., 1]), worth)
            for money, worth in ((memory.money, foreseen), (real, really))
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        off = (foreseen - really) / np.maximum(np.abs(foreseen), np.abs(really))
    told = np.isfinite(off)
    share = np.clip(np.where(told, 1.0 - np.exp2(-since / 24.0)[:, None], 0.0), 0.0, 1.0)
    missed = memory.missed * (1 - share) + share * np.where(told, off, 0.0) ** 2
    decay = np.exp2(-since[:, None] / VALUE_HALF_LIVES)
    return memory.money * decay[:, :, None] + seen.money[:, None], missed


def unit_worth(money: F64, price: F64 | None) -> F64:
    """USD per used unit-hour of (..., k, 4) sums over half-lives that grow, their tokens at `price` (None, NaN: as they
    were paid); NaN: nothing used. One that saw too little use says what the next slower one says: what comes in while
    nothing is used (a base rate, the credit of a job that is over) would make a unit of it as dear as one likes.
    """
    usd, tokens, token_usd = money[..., 0], money[..., 2], money[..., 3]
    if price is None:
        return _per_unit(usd + token_usd, money[..., 1])
    now = np.asarray(price)
    return _per_unit(usd + np.where(np.isfinite(now), tokens * np.nan_to_num(now), token_usd), money[..., 1])


def _per_unit(total: F64, units: F64) -> F64:
    found: F64 = np.divide(total, units, out=np.full(np.broadcast(total, units).shape, np.nan), where=units > 1e-12)
    for i in range(units.shape[-1] - 2, -1, -1):
        whole = units[..., i + 1] * VALUE_HALF_LIVES[i] / VALUE_HALF_LIVES[i + 1]
        found[..., i] = np.where(units[..., i] < ENOUGH * whole, found[..., i + 1], found[..., i])
    return found


def _in_token(money: F64) -> NDArray[np.bool_]:
    """Whether all of it was paid in the one token."""
    found: NDArray[np.bool_] = (np.abs(money[..., 0]) <= 1e-9 * np.abs(money[..., 3])) & (money[..., 2] > 0)
    return found


def _slot(memory: Memory, seen: Seen) -> tuple[F32, F64]:
    """Add the block to its slot of the day, and let what is there forget since it was last written."""
    middle = seen.start + seen.span / 2
    kind, slot = slot_of(middle)
    who = np.arange(len(middle))
    slots, written = memory.slots.copy(), memory.written.copy()
    decay = np.exp2(-np.maximum(middle - written[who, kind, slot], 0.0) / SLOT_HALF_LIFE)
    slots[who, 0, kind, slot] = slots[who, 0, kind, slot] * decay[:, None] + seen.exact
    slots[who, 1, kind, slot] = slots[who, 1, kind, slot] * decay[:, None] + seen.censored
    written[who, kind, slot] = middle
    return slots, written


def _foresee(memory: Memory, end: F64) -> Memory:
    """Keep a forecast of every kernel each half hour, and weigh the kernels anew. Those that a clock made which was set
    back since are forgotten, or none would be due until it is that late again.
    """
    made_before = np.where(memory.made > end[:, None], -np.inf, memory.made)
    due = np.flatnonzero(np.floor(end / EVERY) > np.floor(made_before.max(axis=1) / EVERY))
    if not len(due):
        return memory
    part = memory.rows(due)
    found = of_kernels(part, float(end[due].max()), AHEAD)
    oldest = made_before[due].argmin(axis=1)
    forecasts, made, trust = memory.forecasts.copy(), made_before, memory.trust.copy()
    forecasts[due, oldest] = found.inside
    made[due, oldest] = end[due]
    enough = part.scored >= SCORED
    alone = np.eye(COUNT)[ALONE]
    trust[due] = np.where(enough[:, None], mixture.simplex(part.scores), alone)
    return replace(memory, forecasts=forecasts, made=made, trust=trust)


def of_kernels(memory: Memory, now: float, hours: float) -> Survivals:
    """P(D > y) over the coming hours by every kernel. One that has seen too little says what the next slower one says."""
    held = histograms(memory.recent, memory.slots, memory.written, coming(now, hours), now)
    exact, censored = held[:, 0].astype(np.float64), held[:, 1].astype(np.float64)
    enough = _seen_enough(memory, exact + censored, now, hours)
    for kernel in range(RECENT - 2, -1, -1):
        _borrow(exact, censored, enough, kernel, kernel + 1)
    for kernel in range(RECENT, COUNT):
        _borrow(exact, censored, enough, kernel, ALONE)
    return survivals(exact, censored, 2 * memory.steps / memory.quantum)


def _borrow(exact: F64, censored: F64, enough: NDArray[np.bool_], kernel: int, other: int) -> None:
    lacking = ~enough[:, kernel]
    if not lacking.any():
        return
    exact[lacking, kernel] = exact[lacking, other]
    censored[lacking, kernel] = censored[lacking, other]


def _seen_enough(memory: Memory, hours_at: F64, now: float, hours: float) -> NDArray[np.bool_]:
    """(W, COUNT) whether each kernel holds a quarter of what it would of a past without gaps.

    The last minutes have to be known as such besides. Their kernel says nothing where it holds far more than it could of
    short blocks (one of an hour does not say what its last minutes were like), nor where the 20 minutes before were watched
    in part only (a look every ten minutes, the first block after hours away): it would be one look, and not a mean.
    """
    held = hours_at.sum(axis=-1)
    idle = np.maximum(now - memory.until, 0.0)[:, None] / HOUR
    full = HALF_LIVES / np.log(2)
    whole = np.minimum(full, memory.exposure[:, None] * np.exp2(-idle / HALF_LIVES[-1]))
    left = held[:, :RECENT] * np.exp2(-idle / HALF_LIVES)
    recent = left > ENOUGH * whole
    recent[:, 0] &= (held[:, 0] <= _LUMP * full[0]) & (left[:, 1] >= _WATCHED * whole[:, 1])
    rhythm = held[:, RECENT:] >= 0.5 * (min(hours, SLOTS) + 2 * AROUND)
    return np.concatenate([recent, rhythm], axis=1)


def merged(memory: Memory, who: Ints, part: Memory) -> Memory:
    """The memory with some of its workloads' rows replaced."""
    if len(who) == len(memory.keys):
        return part
    arrays = {}
    for name in Memory.ARRAYS:
        whole = getattr(memory, name).copy()
        whole[who] = getattr(part, name)
        arrays[name] = whole
    return replace(memory, **arrays)
