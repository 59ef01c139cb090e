"""A trace and the manifests it was made on -> Case (interfaces.md, Traces).

    manifests + CSV ──rows.py──▶ columns by workload ──▶ ticks of a minute ──▶ Case

A row holds until the next of its workload, the last as long as the one before it; before its first row nobody knows the
demand of a workload. Ticks begin at the first time of the trace. What a workload has at the start is `allocated` of its
first row; those of whom it is not said share what is left evenly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.case import TICK, Case, Truth
from controller.backtest.evenly import evenly
from controller.backtest.rows import BadTrace, Column, Rows, rows
from controller.backtest.world import tariff_of
from controller.model import NodeState, WorkloadState
from controller.plan.limits import SLACK, needs
from exporters.documents import CannotRead, Problem
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.model import F64
    from controller.observe import Watched
    from controller.policy import PolicySpec

MOST_DAYS: Final = 1100.0
"""Three years of minutes; a longer time is a slip of the pen in a date, and would fill the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    case: Case
    notes: tuple[str, ...]
    """What the operator should know of how it was read."""


def load(
    path: Path, nodes: Iterable[NodeState], watched: Mapping[str, Watched], spec: PolicySpec, *,
    days: float | None = None, seed: int = 0, progress: Callable[[float], None] = lambda _: None,
) -> Traced:  # fmt: skip
    """Read a file. `nodes` are those of the policy; rows of other nodes that the manifests have are left out, and noted.

    `days`: only the first of it. `progress` is told the share read. Raises BadTrace, and CannotRead where there is no file.
    """
    nodes = sorted(nodes, key=lambda node: node.name)
    try:
        size = max(path.stat().st_size, 1)
        with path.open("rb") as lines:
            found = rows(
                lines, str(path), wanted(nodes, watched), progress=lambda read: progress(min(read / size, 1.0))
            )
    except OSError as exc:
        raise CannotRead(f"{path} cannot be read ({exc.strerror})") from exc
    return traced(found, str(path), nodes, watched, spec, days=days, seed=seed)


def wanted(nodes: Sequence[NodeState], watched: Mapping[str, Watched]) -> dict[str, str | None]:
    """Every known key -> None, or why no trace can speak of it; "" for those of other policies' nodes."""
    names = {node.name for node in nodes}
    return {key: "" if item.node not in names else untraceable(item) for key, item in watched.items()}


def untraceable(item: Watched) -> str | None:
    if item.allocation is None:
        return "declares no allocation: it is watched, never moved"
    if item.traits.curve not in {CurveKind.DEMAND, CurveKind.FILL}:
        return f"has curve {item.traits.curve.value}, which a trace cannot replay (only demand and fill)"
    return None


def traced(
    found: Rows, file: str, nodes: Sequence[NodeState], watched: Mapping[str, Watched], spec: PolicySpec, *,
    days: float | None = None, seed: int = 0,
) -> Traced:  # fmt: skip
    """Rows -> Case. Raises BadTrace."""
    keys = sorted(found.columns)
    columns = [found.columns[key] for key in keys]
    workloads = [workload_of(watched[key]) for key in keys]
    start = min(column.time[0] for column in columns)
    end = max(_end(column) for column in columns)
    if days is not None:
        end = min(end, start + days * 86400)
    if end - start > MOST_DAYS * 86400:
        raise BadTrace(
            [Problem(file, 0, "", f"spans {(end - start) / 86400:.0f} days, more than {MOST_DAYS:g}: is a date wrong?")]
        )
    ticks = max(1, math.ceil((end - start) / TICK - 1e-6))
    times = start + TICK * np.arange(ticks, dtype=np.float64)
    demand, value, up = zip(*(_held(column, times) for column in columns), strict=True)
    used = {workload.node for workload in workloads}
    there = tuple(node for node in nodes if node.name in used)
    truth = Truth(
        start, TICK, np.stack(demand, axis=1), np.stack(value, axis=1), np.stack(up, axis=1),
        _tariffs(found, there, times),
    )  # fmt: skip
    initial = _initial(file, there, workloads, columns)
    case = Case(Path(file).stem, there, tuple(workloads), spec, truth, initial, seed)
    return Traced(case, tuple(_notes(found, keys, columns, watched, nodes)))


def workload_of(item: Watched) -> WorkloadState:
    return WorkloadState(
        key=item.key, node=item.node, protocol=item.protocol, traits=item.traits, allocation=item.allocation,
        reading=None, last_good=None, stale_after=item.stale_after, watts=item.watts, mode=item.mode,
    )  # fmt: skip


def _end(column: Column) -> float:
    """When its last row ends to hold. A single row holds for one tick."""
    last = column.time[-1]
    return last + (last - column.time[-2] if len(column.time) > 1 else TICK)


def _held(column: Column, times: F64) -> tuple[F64, F64, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """(T,) demand, value and up at the start of each tick."""
    at = np.searchsorted(np.array(column.time), times + 1e-6, side="right") - 1
    known = (at >= 0) & (times < _end(column) - 1e-6)
    up = np.ones(len(column.time), np.bool_)
    up[column.down] = False
    demand = np.where(known, np.array(column.demand)[at], np.nan)
    return demand, np.where(known, np.array(column.value)[at], np.nan), np.where(known, up[at], True)


def _tariffs(found: Rows, nodes: Sequence[NodeState], times: F64) -> F64 | None:
    """(T, N); a node of which the trace says none, or not yet, is charged what its own power says."""
    if not found.tariff:
        return None
    columns = []
    for node in nodes:
        column = tariff_of(node, float(times[0]), TICK, len(times))
        changes = found.tariff.get(node.name, [])
        if changes:
            at = np.searchsorted([time for time, _ in changes], times + 1e-6, side="right") - 1
            column = np.where(at >= 0, np.array([price for _, price in changes])[at], column)
        columns.append(column)
    return np.stack(columns, axis=1)


def _initial(
    file: str, nodes: Sequence[NodeState], workloads: Sequence[WorkloadState], columns: Sequence[Column]
) -> F64:
    """(W,) as the first rows say; an even split of what is left for those of whom they do not."""
    least, most, line = {}, {}, max(column.line for column in columns)
    for i, (workload, column) in enumerate(zip(workloads, columns, strict=True)):
        allocation = workload.allocation
        if column.allocated is not None:
            least[i] = most[i] = column.allocated
        elif allocation is not None:
            least[i], most[i] = max(allocation.min, workload.traits.min_allocation), allocation.max
    found = evenly(nodes, workloads, least, most)
    if found is None:
        where = "; ".join(_too_much(nodes, workloads, least))
        said = "`allocated` of the first rows" if any(c.allocated is not None for c in columns) else "the least allowed"
        raise BadTrace([Problem(file, line, "", f"{said} is more than there is: {where}")])
    return np.array([found[i] for i in range(len(workloads))])


def _too_much(
    nodes: Sequence[NodeState], workloads: Sequence[WorkloadState], has: Mapping[int, float]
) -> Iterable[str]:
    for node in nodes:
        for resource, capacity in sorted(node.capacity.items()):
            here = [(i, w.allocation) for i, w in enumerate(workloads) if w.node == node.name and w.allocation]
            held = sum(needs(allocation).get(resource, 0.0) * has[i] for i, allocation in here)
            if held > capacity * (1 + SLACK):
                yield f"{held:g} {resource} of {capacity:g} on {node.name}"


def _notes(
    found: Rows,
    keys: Sequence[str],
    columns: Sequence[Column],
    watched: Mapping[str, Watched],
    nodes: Sequence[NodeState],
) -> Iterable[str]:
    apart = [float(np.median(np.diff(np.array(column.time)))) for column in columns if len(column.time) > 1]
    if apart and max(apart) > TICK * 1.5:
        yield f"rows are up to {max(apart):g} s apart; each is held, so {TICK:g} s ticks between them are no news"
    if apart and min(apart) < TICK / 1.5:
        yield f"rows are as little as {min(apart):g} s apart; of each {TICK:g} s the first is replayed"
    if found.skipped:
        yield f"{len(found.skipped)} workloads are on nodes of other policies and left out ({', '.join(sorted(found.skipped)[:5])})"
    names = {node.name for node in nodes}
    missing = sorted(
        key for key, item in watched.items() if item.node in names and untraceable(item) is None and key not in keys
    )
    if missing:
        yield f"the trace says nothing of {', '.join(missing[:5])}; what they hold is taken to be free"
