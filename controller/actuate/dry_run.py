"""The driver `dry_run`: changes nothing, and remembers what it was told, so that later moves see earlier ones.

`amounts` is what it was last told. `seen` lays what all of them were told over a State, for the next plan to start from.
A token names one effect, so that the same effect issued twice happens once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.actuate.driver import Refused
from controller.programs import Amounts, Order
from exporters.placeholders import CannotFill, words_of

if TYPE_CHECKING:
    from controller.model import State, WorkloadState
    from exporters.reading import Reading

_TOLERANCE = 1e-9
"""Relative: amounts in float64 that differ by less are the same amount."""


class KeyReused(Refused):
    """One token was issued with two different amounts: a mistake in whoever issues it, never repaired silently."""


class DryRun:
    """Pretends to change one workload. `amounts`: what it was told before a restart, where that is known."""

    name = "dry_run"
    conclusive = True
    reversible = True

    def __init__(self, key: str, amounts: Amounts | None = None) -> None:
        self._key = key
        self._amounts = dict(amounts) if amounts is not None else None
        self._newest: Order | None = None
        """The last effect, an undo among them."""

    @property
    def amounts(self) -> Amounts | None:
        """What the workload would have, as last told; None: nothing, it has what the node reports."""
        return self._amounts

    async def check(self) -> tuple[str, ...]:
        """Nothing keeps it from pretending."""
        return ()

    async def read(self) -> Mapping[str, Any]:
        return {"told": self._amounts}

    async def apply(self, order: Order) -> None:
        """Remember the amounts. Raises KeyReused, and Refused for an amount that cannot be."""
        self._take(order)
        self._amounts = dict(order.amounts)

    async def verify(self, order: Order) -> str | None:
        if self._newest is not None and _equal(self._newest.amounts, order.amounts):
            return None
        if self._amounts is not None and _equal(self._amounts, order.amounts):
            return None
        return f"the dry run of {self._key} was not told {_shown(order.amounts)} yet"

    async def undo(self, order: Order, stood: Mapping[str, Any]) -> None:
        """Remember again what it was told before; nothing, where that was nothing. Raises as `apply` does."""
        self._take(order)
        told = stood.get("told")
        self._amounts = dict(told) if told is not None else None

    async def close(self) -> None:
        """It holds nothing open."""

    def _take(self, order: Order) -> None:
        try:
            now = _shown(order.amounts)
        except CannotFill as exc:
            raise Refused(f"{self._key} cannot be changed: {exc}") from exc
        before = self._newest
        if before is not None and before.token == order.token and not _equal(before.amounts, order.amounts):
            was = _shown(before.amounts)
            raise KeyReused(f"{order.token} of {self._key} was issued for {was} before and for {now} now")
        self._newest = order


def seen(state: State, told: Mapping[str, Amounts]) -> State:
    """The State as it would be had everything told (key -> amounts) been done. Pure; a failed reading stays one."""
    return replace(state, workloads=tuple(_as_told(workload, told.get(workload.key)) for workload in state.workloads))


def _as_told(workload: WorkloadState, told: Amounts | None) -> WorkloadState:
    if told is None:
        return workload
    return replace(workload, reading=laid_over(workload.reading, told), last_good=laid_over(workload.last_good, told))


def laid_over(reading: Reading | None, told: Amounts) -> Reading | None:
    if reading is None or not reading.up:
        return reading
    configured = {name: told.get(name, amount) for name, amount in reading.configured.items()}
    return replace(reading, allocated={**reading.allocated, **told}, configured=configured)


def _shown(amounts: Amounts) -> str:
    """Raises CannotFill for an amount that cannot be."""
    return ", ".join(f"{resource} {words_of(amount, resource)}" for resource, amount in sorted(amounts.items()))


def _equal(a: Amounts, b: Amounts) -> bool:
    return a.keys() == b.keys() and all(
        abs(a[name] - b[name]) <= _TOLERANCE * max(abs(a[name]), abs(b[name])) for name in a
    )
