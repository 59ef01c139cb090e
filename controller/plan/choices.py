"""What may be chosen, and what must hold: the parts of a Problem (problem.py), as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.plan.limits import SLACK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One workload: what it may be given, ascending, and what each would earn."""

    key: str
    node: str
    protocol: str
    resource: str
    x: F64
    """(k,) base units."""
    y: F64
    """(k,) USD per hour."""
    at: int
    """Index in x of what it has now."""
    needs: Mapping[str, float]
    """resource -> per base unit of x."""
    cost: float
    """USD that any move of it costs."""
    horizon: float
    """Seconds over which a move of it must pay."""
    pinned: bool = False
    """It keeps what it has, whatever it might gain: on hold, protected, changed by hand ..."""

    @property
    def current(self) -> float:
        return float(self.x[self.at])


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Σ coefficient · x <= limit over some choices."""

    name: str
    """"rack-1 cpu", or "golem maxShare of cpu"."""
    index: NDArray[np.intp]
    """(j,) which choices, ascending."""
    coefficient: F64
    """(j,)."""
    limit: float
    place: tuple[str, str] | None = None
    """(node, resource) whose capacity it is; None: a constraint over nodes."""

    @property
    def monotone(self) -> bool:
        """Whether taking less never breaks it."""
        return bool((self.coefficient >= 0).all())

    def used(self, x: F64) -> float:
        return float(self.coefficient @ x[self.index])

    def holds(self, x: F64) -> bool:
        """Up to what float64 may lose."""
        terms = self.coefficient * x[self.index]
        return bool(terms.sum() <= self.limit + SLACK * max(abs(self.limit), float(np.abs(terms).sum())))


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """At most `limit` of some choices may have more than their least. No linear constraint: for solvers that read none
    but rows it is kept by pinning (`kept_out`), which `released` undoes for those that read it.
    """

    name: str
    """"golem maxCount of cpu #0"."""
    index: NDArray[np.intp]
    """(j,) which choices, ascending."""
    least: F64
    """(j,) base units; above it a choice counts."""
    limit: int
    kept_out: tuple[int, ...]
    """Choices that are pinned for no other reason."""

    def holds(self, x: F64) -> bool:
        return int((x[self.index] > self.least).sum()) <= self.limit
