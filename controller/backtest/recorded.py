"""What a controller recorded between two times -> two Cases: the least and the most that demand can have been.

    store.blocks ──▶ by workload and tick: use, full or not, what a unit earned ──▶ Recorded(low, high)

Below its allocation, use is all the demand there was. At the allocation, demand was that or more, nobody knows by how
much: `low` takes it to have been just that, `high` that the largest allocation would have been in use. Of a slow fill
without room, `low` has nothing arrive, `high` as much as arrived in its fastest block with room, or, where it never had
room, all that can be allotted. A path of allocations earned at least what it earns in `low` and at most what it earns in
`high`; who decides as he goes decides differently in each, and both figures are his. What was really held is exact.

Blocks are an hour long (5 minutes of the last day) and keep for how long use stood at each level, not in which order. It
is laid out in an order that depends on the workload and the hour only, so that no two workloads seem to rise together.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.case import TICK, Case, Truth
from controller.backtest.parts import grid
from controller.backtest.trace import untraceable, workload_of
from controller.plan.limits import SLACK, needs
from exporters.simulator.demand import pick
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.result import Run
    from controller.blocks import Block
    from controller.model import F64, NodeState
    from controller.observe import Watched
    from controller.policy import PolicySpec
    from controller.rows import StoredBlock
    from controller.store import Store

_HOUR: Final = 3600.0
_NEAR: Final = 1e-3
"""Steps within which a mean of 4-byte sums is the allowed value itself."""


class NothingRecorded(LookupError):
    """No time and workload of which the store knows what was used; `str()` says what was looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    low: Case
    high: Case
    censored: Mapping[str, float]
    """key -> the share of the known time in which demand is only known to have been at least the allocation."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """One workload, by tick. (T,)."""

    low: F64
    high: F64
    value: F64
    up: NDArray[np.bool_]
    full: NDArray[np.bool_]


async def recorded(
    store: Store, nodes: Iterable[NodeState], watched: Mapping[str, Watched], spec: PolicySpec,
    since: float, until: float, *, seed: int = 0,
) -> Recorded:  # fmt: skip
    """Read it from the store. Raises NothingRecorded, StoreError."""
    nodes = sorted(nodes, key=lambda node: node.name)
    names = {node.name for node in nodes}
    blocks = {
        key: await store.blocks(key, since, until)
        for key, item in sorted(watched.items())
        if item.node in names and untraceable(item) is None
    }
    return of_blocks(blocks, nodes, watched, spec, (since, until), seed=seed)


def of_blocks(
    blocks: Mapping[str, Sequence[StoredBlock]], nodes: Sequence[NodeState], watched: Mapping[str, Watched],
    spec: PolicySpec, between: tuple[float, float], *, seed: int = 0,
) -> Recorded:  # fmt: skip
    """The same from blocks by key, oldest first. Raises NothingRecorded."""
    kept = {key: found for key, item in watched.items() if (found := _usable(blocks.get(key, ()), item))}
    if not kept:
        raise NothingRecorded(
            "nothing of what these workloads used is recorded in that time; ask for a time in which orcha ran"
        )
    start = max(between[0], min(found[0].block.start * 60.0 for found in kept.values()))
    end = min(between[1], max(_end(found[-1].block) for found in kept.values()))
    start = math.ceil(start / TICK) * TICK
    ticks = int((end - start) // TICK)
    if ticks < 1:
        raise NothingRecorded("less than a minute of that time is recorded; ask for a longer one")
    keys = sorted(kept)
    pasts = [_past(key, kept[key], watched[key], start, ticks) for key in keys]
    workloads = tuple(workload_of(watched[key]) for key in keys)
    there = tuple(node for node in nodes if node.name in {workload.node for workload in workloads})
    truth = Truth(start, TICK, _columns(pasts, "low"), _columns(pasts, "value"), _flags(pasts, "up"))
    case = Case("recorded", there, workloads, spec, truth, np.zeros(len(keys)), seed)
    case = replace(case, initial=_initial(case, [kept[key] for key in keys]))
    known = [np.isfinite(past.low) & past.up for past in pasts]
    shares = {
        key: float(past.full[seen].mean()) if seen.any() else 0.0
        for key, past, seen in zip(keys, pasts, known, strict=True)
    }
    high = replace(case, truth=replace(truth, demand=_columns(pasts, "high")))
    return Recorded(case, high, shares, tuple(_notes(case, kept, watched, between, shares)))


def bracket(low: Run, high: Run) -> Run:
    """One Run of the two that a splitter made of both cases: the one of `low`, with the least and the most it earned."""
    totals = sorted((low.total, high.total))
    return replace(
        low, low=totals[0], high=totals[1],
        overallocations=max(low.overallocations, high.overallocations),
        limit_violations=max(low.limit_violations, high.limit_violations),
    )  # fmt: skip


def _usable(blocks: Sequence[StoredBlock], item: Watched) -> list[StoredBlock]:
    """Those that count the resource of the allocation, and know what was used."""
    resource = item.allocation.resource if item.allocation else None
    found = [stored for stored in blocks if stored.resource == resource and stored.quantum > 0]
    return found if any(stored.block.levels for stored in found) else []


def _end(block: Block) -> float:
    return block.start * 60.0 + block.span


def _past(key: str, blocks: Sequence[StoredBlock], item: Watched, start: float, ticks: int) -> _Past:
    most = item.allocation.max if item.allocation else 0.0
    low, value = np.full(ticks, np.nan), np.full(ticks, np.nan)
    up, full = np.ones(ticks, np.bool_), np.zeros(ticks, np.bool_)
    slow = item.traits.curve is CurveKind.FILL
    for stored in blocks:
        block = stored.block
        first = max(0, math.ceil((block.start * 60.0 - start) / TICK - 1e-9))
        last = min(ticks, math.ceil((_end(block) - start) / TICK - 1e-9))
        if first >= last:
            continue
        place = (start + (np.arange(first, last) + 0.5) * TICK - block.start * 60.0) / block.span
        levels, censored, down = _laid_out(key, stored, place)
        if slow:
            ends = np.interp(place, [0.0, 1.0], [block.used_first, block.used_last])
            levels = np.where(np.isfinite(levels), ends, np.nan)
        low[first:last], full[first:last], up[first:last] = levels, censored, ~down
        if block.unit_hours > 0:
            value[first:last] = max(block.usd / block.unit_hours, 0.0)
    value = _filled_in(value)
    low = np.where(np.isfinite(value), low, np.nan)
    high = _arriving(blocks, low, full, most) if slow else np.where(full, np.maximum(low, most), low)
    return _Past(low, high, np.where(np.isfinite(low), value, np.nan), up, full)


def _laid_out(key: str, stored: StoredBlock, place: F64) -> tuple[F64, NDArray[np.bool_], NDArray[np.bool_]]:
    """At places 0..1 of a block: the level (NaN: not known), whether it was censored, whether the workload was down."""
    block = stored.block
    dice = zlib.crc32(f"{key} {block.start}".encode())
    codes = sorted(block.levels, key=lambda code: pick(dice, 1, code))
    hours = np.array([*(block.levels[code] for code in codes), block.down_hours])
    edges = np.cumsum(hours) / max(block.span / _HOUR, float(hours.sum()))
    at = np.searchsorted(edges, place, side="right")
    level = np.array([*((code >> 1) * stored.quantum for code in codes), np.nan, np.nan])
    censored = np.array([*(bool(code & 1) for code in codes), False, False])
    return level[at], censored[at], at == len(codes)


def _filled_in(value: F64) -> F64:
    """What is not known is as it was before, at first as it is then."""
    known = np.isfinite(value)
    if not known.any():
        return value
    last = np.maximum.accumulate(np.where(known, np.arange(len(value)), int(known.argmax())))
    return np.asarray(value[last])


def _arriving(blocks: Sequence[StoredBlock], low: F64, full: NDArray[np.bool_], most: float) -> F64:
    """(T,) what a slow fill might have stored: what it had, and what may have arrived while it had no room."""
    rates = [b.room_growth / b.room_hours for _, _, b in blocks if b.room_hours > 0]
    fastest = max((rate for rate in rates if math.isfinite(rate)), default=None)
    more = (
        np.where(full, max(fastest, 0.0) * TICK / _HOUR, 0.0).cumsum() if fastest is not None else full.cumsum() * most
    )
    return np.asarray(low + np.minimum(more, most))


def _columns(pasts: Sequence[_Past], name: str) -> F64:
    return np.stack([getattr(past, name) for past in pasts], axis=1)


def _flags(pasts: Sequence[_Past], name: str) -> NDArray[np.bool_]:
    return np.stack([getattr(past, name) for past in pasts], axis=1)


def _initial(case: Case, blocks: Sequence[Sequence[StoredBlock]]) -> F64:
    """(W,) what each had at first, on its grid where a mean over a block in which it changed is not."""
    found = np.array([_first(case, i, stored) for i, stored in enumerate(blocks)])
    for node in case.nodes:
        for resource, capacity in sorted(node.capacity.items()):
            here = [i for i, w in enumerate(case.workloads) if w.node == node.name and w.allocation]
            each = [needs(a).get(resource, 0.0) if (a := case.workloads[i].allocation) else 0.0 for i in here]
            held = float(np.dot(each, found[here])) if here else 0.0
            if held > capacity * (1 + SLACK):
                raise NothingRecorded(
                    f"{held:g} {resource} were held on {node.name}, which has {capacity:g} to hand out in the manifests; "
                    "ask with the manifests of that time"
                )
    return found


def _first(case: Case, i: int, blocks: Sequence[StoredBlock]) -> float:
    means = [b.allocated_unit_hours / b.allocated_hours for _, _, b in blocks if b.allocated_hours > 0]
    allocation, values = case.workloads[i].allocation, grid(case, i)
    if allocation is None or not len(values):
        return means[0] if means else 0.0
    if not means:
        return float(values[0])
    nearest = float(values[int(np.abs(values - means[0]).argmin())])
    stayed = len(means) > 1 and abs(means[1] - means[0]) <= _NEAR * allocation.step
    if stayed and abs(nearest - means[0]) > _NEAR * allocation.step:
        return means[0]
    under = values[values <= means[0] + _NEAR * allocation.step]
    return float(under[-1]) if len(under) else nearest


def _notes(
    case: Case, kept: Mapping[str, Sequence[StoredBlock]], watched: Mapping[str, Watched],
    between: tuple[float, float], shares: Mapping[str, float],
) -> Iterable[str]:  # fmt: skip
    names = {node.name for node in case.nodes}
    missing = [key for key, item in watched.items() if item.node in names and not untraceable(item) and key not in kept]
    if missing:
        yield f"nothing is recorded of {', '.join(sorted(missing)[:5])}; what they hold is taken to be free"
    length, asked = case.truth.ticks * TICK, between[1] - between[0]
    if length < asked - 2 * _HOUR:
        yield f"of {asked / 86400:.1f} days asked for, {length / 86400:.1f} are recorded"
    full = [f"{key} {share:.0%}" for key, share in sorted(shares.items()) if share > 0]
    if full:
        yield f"had no room left, so that demand is known only to be at least that, for this part of the time: {', '.join(full)}"
