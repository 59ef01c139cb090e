"""Memory from blocks, for many workloads at once: at the start, and where nothing was kept.

    Blocks ──binned──▶ hours at cells ──▶ sums of what is older than the scores reach, then `after`, block by block

What `after` sums up it sums up with weights that depend on age alone, so that the older past needs no steps: one product
of matrices per workload. Only how well each kernel forecast must be played through, and that is forgotten within days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.kernels import DAY, HALF_LIVES, HOUR, SLOT_HALF_LIFE, SLOTS, slot_of
from controller.estimate.memory import CELLS, VALUE_HALF_LIVES, Seen, after, merged, nothing

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from controller.model import F64, Blocks, Memory

REACHES: Final = 28 * DAY
"""Nothing older counts: seven half-lives of the slowest kernel, under 1 % of its weight."""
PLAYED: Final = 14 * DAY
"""For so long forecasts are scored again: 4 % of the weight of a score lies further back."""
_POSSIBLE: Final = 1e24
"""No real figure of one block is larger."""
_SLACK: Final = 1.01
"""Sums of 4-byte hours may come to a little more than the span."""
_AT_ONCE: Final = 64
"""Workloads that are played through together: their sums fit a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """n closed blocks of some workloads; those of one workload oldest first."""

    who: NDArray[np.intp]
    """(n,) whose: a row of a Memory."""
    start: F64
    """(n,) Unix seconds."""
    span: F64
    """(n,) seconds."""
    exact: NDArray[np.float32]
    """(n, M) hours at each cell."""
    censored: NDArray[np.float32]
    """(n, M)."""
    hours: F64
    """(n,) observed."""
    money: F64
    """(n, 4) as in memory.Seen."""

    def rows(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Closed:
        return Closed(*(getattr(self, name)[which] for name in self.__slots__))


def remember(
    keys: Sequence[str], steps: Sequence[float], largest: Sequence[float], past: Sequence[Blocks | None], now: float, *,
    cells: int = CELLS, dtype: DTypeLike = np.float32, played: float = PLAYED,
) -> Memory:  # fmt: skip
    """The memory of workloads from their blocks alone, those that had ended by `now`.

    past: blocks of each, None where there are none; the open one is left out by its end. cells, dtype: memory.nothing.
    played: seconds for which forecasts are scored again.
    """
    parts = []
    for i in range(0, max(len(keys), 1), _AT_ONCE):
        at = slice(i, i + _AT_ONCE)
        memory = nothing(keys[at], steps[at], largest[at], cells, dtype)
        closed = _together([binned(j, past[i + j], float(q), cells, now) for j, q in enumerate(memory.quantum)], cells)
        old = closed.start < now - played
        parts.append(play(_summed(memory, closed.rows(old)), closed.rows(~old)))
    return joined(parts)


def joined(parts: Sequence[Memory]) -> Memory:
    """Memories of different workloads, with as many cells each, as one."""
    if len(parts) == 1:
        return parts[0]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].ARRAYS}
    return replace(parts[0], keys=tuple(key for part in parts for key in part.keys), **arrays)


def play(memory: Memory, closed: Closed) -> Memory:
    """What is remembered once these blocks have closed one after another, those of the same time at once."""
    if not len(closed.who):
        return memory
    order = np.lexsort((closed.who, closed.start, closed.start + closed.span))
    edges = np.flatnonzero((np.diff(closed.start[order]) != 0) | (np.diff(closed.span[order]) != 0)) + 1
    for same in np.split(order, edges):
        some = closed.rows(same)
        exact, censored = some.exact.astype(np.float64), some.censored.astype(np.float64)
        seen = Seen(some.start, some.span, exact, censored, some.hours, some.money)
        part = memory if len(same) == len(memory.keys) else memory.rows(some.who)
        memory = merged(memory, some.who, after(part, seen))
    return memory


def _together(closed: Sequence[Closed], cells: int) -> Closed:
    if not closed:
        return nothing_closed(cells)
    return Closed(*(np.concatenate([getattr(each, name) for each in closed]) for name in Closed.__slots__))


def nothing_closed(cells: int) -> Closed:
    none, levels = np.zeros(0), np.zeros((0, cells + 1), dtype=np.float32)
    return Closed(none.astype(np.intp), none, none, levels, levels, none, np.zeros((0, 4)))


def _summed(memory: Memory, closed: Closed) -> Memory:
    """The sums of these blocks, the first that there are of each workload; nothing is scored."""
    recent, slots, written = memory.recent.copy(), memory.slots.copy(), memory.written.copy()
    until, money, exposure = memory.until.copy(), memory.money.copy(), memory.exposure.copy()
    for i in np.unique(closed.who):
        old = closed.rows(closed.who == i)
        both = np.stack([old.exact, old.censored])
        end = old.start + old.span
        until[i], age = end[-1], (end[-1] - end) / HOUR
        recent[i] = np.exp2(-age / HALF_LIVES[:, None]) @ both
        money[i] = np.exp2(-age / VALUE_HALF_LIVES[:, None]) @ old.money
        exposure[i] = np.exp2(-age / HALF_LIVES[-1]) @ old.hours
        _into_slots(old.start + old.span / 2, both, slots[i], written[i])
    return replace(
        memory, until=until, recent=recent, slots=slots, written=written, money=money, exposure=exposure
    )  # fmt: skip


def _into_slots(middle: F64, both: NDArray[np.float32], slots: NDArray[np.float32], written: F64) -> None:
    """Add blocks (2, n, M) to the empty slots (2, 2, SLOTS, M) of one workload, as they count when each was last `written`."""
    kind, slot = slot_of(middle)
    place = kind * SLOTS + slot
    last = np.zeros(2 * SLOTS)
    np.maximum.at(last, place, middle)
    weight = np.zeros((2 * SLOTS, len(place)))
    weight[place, np.arange(len(place))] = np.exp2(-(last[place] - middle) / SLOT_HALF_LIFE)
    slots[:] = (weight @ both).reshape(slots.shape)
    written[:] = last.reshape(written.shape)


def binned(row: int, blocks: Blocks | None, quantum: float, cells: int, now: float) -> Closed:
    """The blocks of one workload that had closed by `now` and in which anything was seen, oldest first, their levels as
    cells. One whose time is none is left out, one that is there twice counts once.
    """
    if blocks is None or not len(blocks.start):
        return nothing_closed(cells)
    start, span = blocks.start, blocks.span
    in_time = (start >= max(now - REACHES, 0.0)) & (start <= now + 1.0) & (span >= 0) & (span <= now + 1.0 - start)
    which = np.flatnonzero(in_time & (hours_of(blocks.hours, span) > 0))
    which = which[np.lexsort((start[which], start[which] + span[which]))]
    again = (np.diff(start[which]) == 0) & (np.diff(span[which]) == 0)
    which = np.delete(which, np.flatnonzero(again) + 1)
    span = span[which]
    place = np.zeros((len(blocks.levels), cells + 1), dtype=np.float32)
    place[np.arange(len(place)), cell_of(blocks.levels, quantum, cells)] = 1.0
    exact, censored = (hours_of(held[which], span[:, None]) @ place for held in (blocks.exact, blocks.censored))
    none = np.zeros(len(start))
    tokens, token_usd = (none if paid is None else paid for paid in (blocks.tokens, blocks.token_usd))
    columns = np.stack([blocks.usd, blocks.unit_hours, tokens, token_usd], axis=1)[which]
    hours = hours_of(blocks.hours[which], span).astype(np.float64)
    return Closed(np.full(len(which), row), start[which], span, exact, censored, hours, money_of(columns))


def cell_of(levels: F64, quantum: float | F64, cells: int) -> NDArray[np.intp]:
    """The cell of each level of use, in base units; what is above the last one counts as it."""
    cell: NDArray[np.intp] = (np.clip(np.nan_to_num(levels), 0, cells * quantum) / quantum + 0.5).astype(np.intp)
    return cell


def money_of(columns: F64) -> F64:
    """(n, 4) USD, unit-hours, tokens, USD of those tokens -> as in memory.Seen. Money without its use, or use without its
    money, would be a price that nobody paid: where one is impossible, all are 0.
    """
    known = (np.abs(columns) <= _POSSIBLE).all(axis=1) & (columns[:, 1] >= 0)
    found: F64 = np.where(known[:, None], columns, 0.0)
    found[:, 0] -= found[:, 3]
    return found


def hours_of(values: NDArray[np.float64] | NDArray[np.float32], span: F64) -> NDArray[np.float32]:
    """Hours that can be true; NaN, less than none and more than the block's `span` (seconds) are 0."""
    return np.where((values >= 0) & (values <= span / HOUR * _SLACK), values, 0.0).astype(np.float32)
