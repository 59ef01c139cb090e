"""What keeping the split of the period's begin would have earned, on the demand that came (R5). Pure.

For each stretch in which a workload held something else than at the begin, counterfactual.gained tells by how much that
earned more: it is what judges programs, and it brackets demand that nobody saw. Summed up over the time that was observed
and never beyond it; the blocks in which an allocation changed are left out, for which part of them belongs to what is not
kept. What a workload is (its curve, its energy) comes from the newest decision that kept what it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.counterfactual import Change, gained
from controller.model import Interval
from controller.report.performance_past import HOUR, dense
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Blocks, NodeState, WorkloadState
    from controller.report.performance_past import Columns, Past

NOTICED: Final = 0.25
"""Share of a step from which a difference is a change (outcomes.py)."""
LASTS: Final = 0.02
"""Share of a step by which what holds from one block to the next may differ: a block in which it changed is nearer to neither."""
_NEAR: Final = 1e-3
"""The same, relative, where the step is not known."""
_RECENT: Final = 2 * HOUR
"""What was held so shortly before the period is what it began with."""
_DAY: Final = 86400.0
Known = Mapping[str, tuple["WorkloadState", "NodeState"]]
"""Workloads by key, with their nodes, as the newest decision knew them."""
Place = tuple[int, int]
"""From which block to which, the latter not included."""


@dataclass(frozen=True, slots=True)
class Instead:
    """One workload against what it held at the begin."""

    key: str
    resource: str | None
    began: float | None
    """What it held then; None: not known."""
    ended: float | None
    more: Interval | None
    """USD by which what was done earned more; None: not known."""
    moved_hours: float = 0.0
    """Observed with another allocation than at the begin."""
    unjudged_hours: float = 0.0
    """Of those, and of the blocks in which it changed: hours of which it is not known."""
    why: str = ""
    """Why something is not known."""


_NONE: Final = Interval(0.0, 0.0, 0.0)


def against_nothing(past: Past, found: Columns, known: Known, since: float, until: float) -> Instead:
    """USD by which what was done with one workload earned more than leaving it as it was at `since`."""
    workload, node = known.get(past.key, (None, None))
    step = workload.allocation.step if workload is not None and workload.allocation else None
    steady = _steady(found.held, step)
    began = _at_first(found, steady, since)
    last = np.flatnonzero(np.isfinite(steady) & (found.start < until))
    ended = float(steady[last[-1]]) if len(last) else None
    same = Instead(past.key, found.resource, began, ended, _NONE)
    if began is None:
        whole = not np.isfinite(found.held).any()
        return same if whole else replace(same, more=None, why=f"what {past.key} held was never seen to last")
    within = (found.start >= since - 1) & (found.end <= until + 1)
    moved = within & np.isfinite(steady) & ~_near(steady, began, step)
    unsure = np.isfinite(found.held) & ~moved & ~_near(steady, began, step)
    around = float(found.inside(since, until)[unsure] @ found.sums[unsure, 3])
    if not moved.any():
        return replace(same, unjudged_hours=around)
    hours = float(found.sums[moved, 3].sum())
    if workload is None or node is None or workload.allocation is None:
        why = f"no decision that is kept says what an allocation of {past.key} is worth"
        return replace(same, more=None, moved_hours=hours, unjudged_hours=hours + around, why=why)
    judged = _judged(past, found, workload, node, np.where(within, steady, np.nan), moved, began)
    return replace(same, more=judged.more, moved_hours=hours, unjudged_hours=judged.missed + around, why=judged.why)


def _near(one: F64, other: float | F64, step: float | None, within: float = NOTICED) -> NDArray[np.bool_]:
    slack = within * step if step else _NEAR * np.maximum(np.abs(one), np.abs(other))
    found: NDArray[np.bool_] = np.abs(one - other) <= slack
    return found


def _steady(held: F64, step: float | None) -> F64:
    """(n,) the allocation of each block, where the known one before or after it has the same: it did not change meanwhile."""
    at = np.flatnonzero(np.isfinite(held))
    values = held[at]
    if len(at) <= 1:
        return held
    same = _near(values[1:], values[:-1], step, LASTS)
    agrees = np.append(same, False) | np.append(False, same)
    found = np.full(len(held), np.nan)
    found[at[agrees]] = values[agrees]
    return found


def _at_first(found: Columns, steady: F64, since: float) -> float | None:
    """What was held when the period began: just before, or at its first block that is steady."""
    sure = np.isfinite(steady)
    before = np.flatnonzero(sure & (found.start <= since) & (found.end >= since - _RECENT))
    after = np.flatnonzero(sure & (found.start > since))
    place = before[-1] if len(before) else after[0] if len(after) else None
    return None if place is None else float(steady[place])


@dataclass(frozen=True, slots=True)
class _Judged:
    more: Interval | None
    missed: float
    """Hours of which it is not known."""
    why: str


def _judged(
    past: Past, found: Columns, workload: WorkloadState, node: NodeState, steady: F64, moved: NDArray[np.bool_],
    began: float,
) -> _Judged:  # fmt: skip
    resource = workload.allocation.resource if workload.allocation else ""
    blocks = dense(past, resource)
    there = replace(workload, blocks=blocks)
    sums, missed, why = [], 0.0, ""
    for (first, last), to in _stretches(found, workload, steady, moved, began):
        hours = float(found.sums[first:last, 3].sum())
        change = Change(began, to, float(found.start[first]), _end(blocks, float(found.start[last - 1])))
        more = gained(there, node, change)
        if isinstance(more, str):
            missed, why = missed + hours, why or more
        else:
            sums.append(Interval(more.low * hours, more.expected * hours, more.high * hours))
    return _Judged(total(sums) if sums else None, missed, why)


def _end(blocks: Blocks | None, start: float) -> float:
    """When the block that begins then is over: one that is open counts as whole."""
    if blocks is None:
        return start
    ends = (blocks.start + blocks.span)[blocks.start == start]
    return float(ends[0]) if len(ends) else start


def _stretches(
    found: Columns, workload: WorkloadState, steady: F64, moved: NDArray[np.bool_], began: float
) -> Iterator[tuple[Place, float]]:
    """Blocks in a row that held the same, of one day at most: what a unit earns changes from day to day. What is stored
    stays, so a slow fill that always had the room it began with, or more, is looked at as a whole.
    """
    if workload.traits.curve is CurveKind.FILL and bool((steady[moved] >= began).all()):
        first, last = int(np.flatnonzero(moved)[0]), int(np.flatnonzero(np.isfinite(steady))[-1]) + 1
        hours = found.sums[first:last, 3]
        held = np.where(np.isfinite(found.held[first:last]), found.held[first:last], began)
        yield (first, last), float(held @ hours / hours.sum()) if hours.sum() > 0 else began
        return
    step = workload.allocation.step if workload.allocation else None
    runs: list[list[int]] = []
    for i in np.flatnonzero(moved).tolist():
        if runs and _goes_on(found, steady, runs[-1], i, step):
            runs[-1].append(i)
        else:
            runs.append([i])
    for run in runs:
        yield (run[0], run[-1] + 1), float(steady[run[0]])


def _goes_on(found: Columns, steady: F64, run: Sequence[int], i: int, step: float | None) -> bool:
    same_day = found.start[run[0]] // _DAY == found.start[i] // _DAY
    together = i == run[-1] + 1 and found.start[i] - found.end[i - 1] < 1
    return bool(same_day and together and _near(steady[i : i + 1], float(steady[run[0]]), step)[0])


def total(parts: Sequence[Interval]) -> Interval:
    return Interval(*(float(sum(getattr(part, name) for part in parts)) for name in ("low", "expected", "high")))
