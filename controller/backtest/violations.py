"""Whether a path of allocations kept the rules: no node given out beyond what it has, no move that a policy forbids.

It knows nothing of how the path was made, and shares no code with the guard that it judges: that is its use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.limits import SLACK, needs
from exporters.traits import CurveKind
from exporters.windows import is_open

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.backtest.case import Case
    from controller.model import F64, WorkloadState

    Indices = NDArray[np.intp]

_OFF_GRID: Final = 1e-6
"""Steps by which an allowed value may miss its grid in float64."""


def violations(case: Case, allocation: F64) -> tuple[int, int]:
    """(over-allocations, limit violations) of a path (T, W).

    Over-allocations: ticks times resources of a node of which more is held than there is, companions included.
    Limit violations: moves outside min..max or the step grid, by more than the step limit, within the hold, below what
    is stored, in a frozen direction or time, of a workload that is Off; and programs beyond maxProgramsPerHour.
    """
    before = np.vstack([case.initial[None, :], allocation[:-1]])
    moved = allocation != before
    broken = _too_often(case, np.flatnonzero(moved.any(axis=1)))
    for i, workload in enumerate(case.workloads):
        ticks = np.flatnonzero(moved[:, i])
        if len(ticks):
            broken += int(_refused(case, workload, i, ticks, before[ticks, i], allocation[:, i]).sum())
    return _over(case, allocation), broken


def _over(case: Case, allocation: F64) -> int:
    found = 0
    for node in case.nodes:
        held: dict[str, F64] = {}
        for i, workload in enumerate(case.workloads):
            if workload.node == node.name and workload.allocation is not None:
                for resource, per_unit in needs(workload.allocation).items():
                    held[resource] = held.get(resource, np.zeros(len(allocation))) + per_unit * allocation[:, i]
        for resource, amount in held.items():
            found += int((amount > node.capacity.get(resource, np.inf) * (1 + SLACK)).sum())
    return found


def _too_often(case: Case, ticks: Indices) -> int:
    """Programs that began while as many as an hour may have had begun within the hour before."""
    most, per_hour = case.spec.limits.max_programs_per_hour, 3600 / case.truth.tick
    earlier = np.searchsorted(ticks, ticks - per_hour + _OFF_GRID, side="left")
    return int((np.arange(len(ticks)) - earlier >= most).sum())


def _refused(
    case: Case, workload: WorkloadState, index: int, ticks: Indices, before: F64, path: F64
) -> NDArray[np.bool_]:
    """(m,) whether each move of one workload is one too many."""
    allocation, limits, to = workload.allocation, case.spec.limits, path[ticks]
    times = case.truth.start + ticks * case.truth.tick
    if allocation is None or "Off" in {workload.mode, case.spec.mode}:
        return np.ones(len(ticks), bool)
    capacity = next(node.capacity for node in case.nodes if node.name == workload.node).get(allocation.resource, 0.0)
    most = max(allocation.step, limits.max_step_percent / 100 * capacity)
    steps = (to - allocation.min) / allocation.step
    bad: NDArray[np.bool_] = (to < max(allocation.min, workload.traits.min_allocation) * (1 - SLACK)) | (
        to > allocation.max * (1 + SLACK)
    )
    bad |= (np.abs(steps - np.round(steps)) > _OFF_GRID) | (np.abs(to - before) > most * (1 + SLACK))
    bad |= np.diff(times, prepend=-np.inf) < limits.hold * (1 - SLACK)
    if allocation.freeze is not None:
        bad |= (to > before) if allocation.freeze == "grow" else (to < before)
    if allocation.protect_until is not None:
        bad |= times < allocation.protect_until.timestamp()
    bad |= np.array([any(is_open(window, at) for window in limits.freeze_windows) for at in times.tolist()])
    if workload.traits.curve is CurveKind.FILL or workload.traits.irreversible:
        bad |= (to < before) & (to < _in_use(case, index, ticks, path)[ticks] * (1 - SLACK))
    return bad


def _in_use(case: Case, index: int, ticks: Indices, path: F64) -> F64:
    """(T,) what cannot be taken back at the beginning of each tick."""
    truth, traits = case.truth, case.workloads[index].traits
    demand, up = truth.demand[:, index], truth.up[:, index]
    known = np.isfinite(demand)
    if traits.curve is not CurveKind.FILL:
        used = np.where(up & known, np.minimum(np.nan_to_num(demand), path), 0.0)
        return np.concatenate([[min(float(np.nan_to_num(demand)[0]), float(case.initial[index]))], used[:-1]])
    change = np.zeros(len(path))
    change[np.flatnonzero(known)[1:]] = np.diff(demand[known])
    present = up.astype(np.float64)
    minutes = traits.offline_minutes * 60 / case.truth.tick
    for tick in ticks.tolist():
        away = np.clip(minutes - np.arange(np.ceil(minutes)), 0.0, 1.0)[: len(path) - tick]
        present[tick : tick + len(away)] = np.minimum(present[tick : tick + len(away)], 1 - away)
    stored = min(float(demand[known][0]), float(case.initial[index])) if known.any() else 0.0
    found = []
    for rise, room, there in zip(change.tolist(), path.tolist(), present.tolist(), strict=True):
        found.append(stored)
        stored = stored + min(rise * there, max(room - stored, 0.0)) if rise > 0 else max(stored + rise, 0.0)
    return np.array(found)
