"""The driver `dry_run`: changes nothing, and remembers what it was told, so that later moves see earlier ones.

It has the verbs of every driver: check, read, apply, verify, undo. Targets are absolute amounts per resource, in base
units, companions included; a key names one effect, so that the same effect issued twice happens once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from exporters.reading import Reading

_TOLERANCE = 1e-9
"""Relative: amounts in float64 that differ by less are the same amount."""


class KeyReused(ValueError):
    """One key was issued with two different targets: a mistake in whoever issues it, never repaired silently."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The newest effect on one workload, and what stood before it."""

    key: str
    target: Mapping[str, float]
    before: Mapping[str, float]
    undone: bool = False


class DryRun:
    """Keeps one entry for each workload that it was told about; what an older key changed cannot be undone any more."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    async def check(self, workload: WorkloadState) -> tuple[str, ...]:
        """Sentences on what would keep a change from holding; none where there is nothing."""
        if workload.allocation is None:
            return (f"{workload.key} declares no allocation: there is nothing to change",)
        return ()

    async def read(self, workload: WorkloadState) -> Mapping[str, float]:
        """What it would have now: as last told, over what the node last reported."""
        return self._overlaid(workload.key, _reported(workload))

    async def apply(self, workload: WorkloadState, target: Mapping[str, float], key: str) -> None:
        """Remember the target. Raises KeyReused, and ValueError for an amount that cannot be."""
        if odd := sorted(name for name, value in target.items() if not (math.isfinite(value) and value >= 0)):
            raise ValueError(f"{workload.key} cannot be given {target[odd[0]]} of {odd[0]}")
        told = self._told.get(workload.key)
        if told is not None and told.key == key:
            if not _equal(told.target, target):
                raise KeyReused(
                    f"{key} of {workload.key} was issued for {dict(told.target)} before and for {dict(target)} now"
                )
            self._told[workload.key] = replace(told, undone=False)
            return
        before = await self.read(workload)
        self._told[workload.key] = _Told(key, dict(target), before)

    async def verify(self, workload: WorkloadState, target: Mapping[str, float]) -> bool:
        """Whether it would now have what was asked for."""
        has = await self.read(workload)
        return all(name in has and _close(has[name], value) for name, value in target.items())

    async def undo(self, workload: WorkloadState, key: str) -> bool:
        """Go back to what stood before the effect of that key; False where another came after it, or there was none."""
        told = self._told.get(workload.key)
        if told is None or told.key != key:
            return False
        self._told[workload.key] = replace(told, undone=True)
        return True

    def seen(self, state: State) -> State:
        """The State as it would be had everything told been done: what the next plan of a dry run starts from."""
        return replace(state, workloads=tuple(self._seen(workload) for workload in state.workloads))

    def _seen(self, workload: WorkloadState) -> WorkloadState:
        if workload.key not in self._told:
            return workload
        return replace(workload, reading=self._read_as(workload.reading), last_good=self._read_as(workload.last_good))

    def _read_as(self, reading: Reading | None) -> Reading | None:
        if reading is None or not reading.up:
            return reading
        return replace(reading, allocated=self._overlaid(reading.key, reading.allocated))

    def _overlaid(self, key: str, reported: Mapping[str, float]) -> dict[str, float]:
        told = self._told.get(key)
        if told is None:
            return dict(reported)
        return {**reported, **(told.before if told.undone else told.target)}


def _reported(workload: WorkloadState) -> Mapping[str, float]:
    for reading in (workload.reading, workload.last_good):
        if reading is not None and reading.up:
            return reading.allocated
    return {}


def _equal(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return a.keys() == b.keys() and all(_close(a[name], b[name]) for name in a)


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _TOLERANCE * max(abs(a), abs(b))
