"""What a state knows of one workload's past, as columns, and what of it lies in a period. Pure.

    StoredBlocks ──columns──▶ Columns ──summed(edges)──▶ USD and hours between two edges each

A block sums what was seen in 5 minutes (of the last day) or an hour: each reading counted until the next one, and for no
longer than it stays good. So the sums do not depend on how often a node was asked, and time without readings is in none
of them. Of a block that an edge cuts, each side gets its share of the time: periods that meet add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from controller.blocks import Series, rebinned, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Blocks
    from controller.rows import StoredBlock
    from exporters.reading import Reading

HOUR: Final = 3600.0
_SUMMED: Final = ("gross_usd", "net_usd", "energy_usd", "hours", "net_hours", "down_hours")
_ROUNDING: Final = 1e-6
Look = tuple[float, bool]
"""When, and whether it was answered."""


class Sums(NamedTuple):
    """What is known of a time. Hours are workload-hours."""

    gross: float = 0.0
    """USD credited."""
    net: float = 0.0
    """USD after cuts and fees, before energy."""
    energy: float = 0.0
    """USD, at the tariffs of the time, while the workload answered."""
    up: float = 0.0
    """Hours in which it answered."""
    known: float = 0.0
    """Hours in which it was known what it earns."""
    down: float = 0.0
    """Hours in which it was asked and did not answer."""

    def plus(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING: Final = Sums()


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One workload."""

    key: str
    protocol: str
    blocks: Sequence[StoredBlock]
    """Those that overlap the period, and of some time before it, oldest first."""
    newest: Reading | None
    """Its newest look of all."""
    last_good: Reading | None
    looks: Sequence[Look] = ()
    """Its looks in the period, as far as single ones are kept (about the last day), where one of them failed."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The blocks of one workload. (n,) each."""

    start: F64
    """Unix seconds."""
    end: F64
    sums: F64
    """(n, 6) as in Sums."""
    held: F64
    """Mean allocation, NaN where unknown."""
    resource: str | None
    """What `held` counts: that of the newest block."""

    def inside(self, since: float, until: float) -> F64:
        """(n,) what share of each block lies in the period."""
        length = np.maximum(self.end - self.start, 1e-9)
        found: F64 = np.clip(np.minimum(self.end, until) - np.maximum(self.start, since), 0.0, None) / length
        return found


def columns(past: Past) -> Columns:
    """A block that is not over yet ends with the newest look: nothing later is in it. What was credited counts only where
    it is known what of it is in hand: the difference would be taken for cuts.
    """
    blocks = [stored.block for stored in past.blocks]
    start = np.array([block.start * 60.0 for block in blocks])
    end = start + np.array([float(block.span) for block in blocks])
    newest = past.newest.at if past.newest is not None else np.inf
    end = np.where((start < newest) & (newest < end), newest, end)
    figures = np.array([[getattr(block, name) for name in _SUMMED] for block in blocks]).reshape(-1, len(_SUMMED))
    figures = np.nan_to_num(figures)
    figures[figures[:, 4] <= 0, 0] = 0.0
    resource = past.blocks[-1].resource if blocks else None
    held = np.array([_held(stored, resource) for stored in past.blocks])
    return Columns(start, end, figures, held, resource)


def _held(stored: StoredBlock, resource: str | None) -> float:
    """Sums of 4 bytes give 5.9999998 cores for 6: what is that near to a level is that level."""
    block = stored.block
    if stored.resource != resource or not block.allocated_hours > 0:
        return np.nan
    mean = block.allocated_unit_hours / block.allocated_hours
    steps = mean / stored.quantum if stored.quantum > 0 else np.inf
    level = round(steps) * stored.quantum if np.isfinite(steps) else mean
    return float(level if abs(level - mean) <= _ROUNDING * abs(mean) else mean)


def summed(found: Columns, edges: Sequence[float]) -> list[Sums]:
    """From each edge to the next."""
    return [Sums(*(found.inside(since, until) @ found.sums).tolist()) for since, until in pairwise(edges)]


def at_the_ends(found: Columns, since: float, until: float) -> float:
    """USD by which the sum may be off where the period cuts a block: nobody knows when in it they were earned."""
    share = found.inside(since, until)
    cut = (share > 0) & (share < 1)
    return float(np.abs(found.sums[cut, 1] * np.maximum(share[cut], 1 - share[cut])).sum())


def ends(found: Columns, since: float, until: float) -> tuple[float | None, float | None]:
    """The first and the last moment of the period of which there is a block."""
    there = found.inside(since, until) > 0
    if not there.any():
        return None, None
    return max(since, float(found.start[there][0])), min(until, float(found.end[there][-1]))


def reach(each: Sequence[Columns], since: float, until: float) -> tuple[float | None, float | None]:
    """The same of several together."""
    both = [ends(found, since, until) for found in each]
    first = min((first for first, _ in both if first is not None), default=None)
    return first, max((last for _, last in both if last is not None), default=None)


def first_seen(found: Columns) -> float | None:
    """The beginning of the oldest block."""
    return float(found.start[0]) if len(found.start) else None


def dense(past: Past, resource: str) -> Blocks | None:
    """Its blocks as the estimators have them; None where nothing is known of this resource."""
    stored = [each for each in past.blocks if each.resource == resource]
    if not stored:
        return None
    quantum = stored[-1].quantum
    for each in stored:
        each.block.levels = rebinned(each.block.levels, each.quantum, quantum)
    series = Series()
    series.put(0, 0, [each.block for each in stored])
    return unpack(series, None, quantum, -np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class Contact:
    """How one workload answered in a period."""

    reconnects: int
    """How often it was lost and back again; of what is older than single looks are kept, as far as blocks tell it apart."""
    seconds: float
    """How long that took, in all."""
    at_least: bool
    """Whether some of them may have been several."""
    lost_at: float | None = None
    """Since when it does not answer; None: it does."""


def contact(past: Past, found: Columns, since: float, until: float) -> Contact:
    """From its looks where they are kept: from the first failed one to the one that was answered. From its blocks before
    that: those in a row in which it was down for some time are one outage.
    """
    kept = past.looks[0][0] if past.looks else until
    older = _of_blocks(found, (found.start >= since) & (found.end <= min(kept, until)), last=not past.looks)
    looks = [look for look in past.looks if since <= look[0] < until]
    exact = _of_looks(looks, older.lost_at)
    return Contact(older.reconnects + exact.reconnects, older.seconds + exact.seconds, older.at_least, exact.lost_at)


def _of_blocks(found: Columns, chosen: NDArray[np.bool_], *, last: bool) -> Contact:
    """`last`: nothing finer follows, and a block that was up for some time ended so."""
    lost_at, count, seconds, some = None, 0, 0.0, False
    for end, (_, _, _, up, _, down) in zip(found.end[chosen].tolist(), found.sums[chosen].tolist(), strict=True):
        if down > 0:
            lost_at, seconds, some = lost_at or end - down * HOUR, seconds + down * HOUR, True
        elif up > 0 and lost_at is not None:
            count, lost_at = count + 1, None
    if last and lost_at is not None and found.sums[chosen][-1, 3] > 0:
        count, lost_at = count + 1, None
    return Contact(count, seconds, some, lost_at)


def _of_looks(looks: Sequence[Look], lost_at: float | None) -> Contact:
    count, seconds = 0, 0.0
    began = looks[0][0] if looks else None  # what was lost before has its seconds already
    for at, up in looks:
        if not up and lost_at is None:
            lost_at = at
        elif up and lost_at is not None:
            count, seconds, lost_at = count + 1, seconds + at - max(lost_at, began or at), None
    return Contact(count, seconds, at_least=False, lost_at=lost_at)
