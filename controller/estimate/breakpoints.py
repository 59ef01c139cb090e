"""Which allocations a curve is exact at: those that the workload may have, and what it has now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from exporters.nodes import Allocation

MAX_POINTS: Final = 128
"""Allowed allocations up to which each is a breakpoint. Of more, all within NEAR steps of the current one are, and
further off every second, third ... with lines between: memory at 200 replicates is 1.6 kB a breakpoint."""
NEAR: Final = 32
MOST_VALUES: Final = 4096
"""Allowed allocations that one workload is offered at once."""
_KEPT: Final = 4096
_FEW: Final = 64
"""Workloads up to which their breakpoints are kept side by side."""


def grid(allocation: Allocation, low: float = 0.0, high: float = math.inf) -> F64:
    """The allowed allocations min + k · step <= max from `low` to `high`, ascending; of more than MOST_VALUES (a disk in
    steps of a byte) every second, third ... one.
    """
    return steps_between(allocation.min, allocation.max, allocation.step, low, high)


def steps_between(least: float, most: float, step: float, low: float, high: float = math.inf) -> F64:
    """`grid` of an allocation's min, max and step."""
    last = math.floor((min(most, high) - least) / step * (1 + 1e-12))
    first = math.ceil(max(0.0, low - least) / step * (1 - 1e-12))
    stride = max(1, -(-(last - first) // MOST_VALUES))
    steps = np.arange(first, max(last, first - 1) + 1, stride, dtype=np.float64)
    return least + steps * step


Grid = tuple[float, float, float, float, float, tuple[float, ...]]
"""An allocation's min, max and step; from where on; the current allocation; and others that are to be breakpoints."""


@lru_cache(_KEPT)
def breakpoints(grid_: Grid) -> F64:
    """(k,) of one workload. Not to be written to: most analyses ask for those of the last one, and most workloads for those
    of another, so they are kept.
    """
    low, high, step, least, current, others = grid_
    points = steps_between(low, high, step, least)
    if len(points) > MAX_POINTS:
        far = NEAR * step
        near = steps_between(low, high, step, max(least, current - far), current + far)
        points = np.concatenate(
            [points[:: 2 * len(points) // MAX_POINTS], near, steps_between(low, high, step, high - step)]
        )
    points = np.unique(np.concatenate([points, [current, *others]]))
    points.setflags(write=False)
    return points


def together(grids: Sequence[Grid]) -> tuple[Sequence[F64], F64, Sequence[int]]:
    """The breakpoints of each of n workloads; (n, K) the same with the last one of each repeated; and how many each has."""
    return _few_together(tuple(grids)) if len(grids) <= _FEW else _padded([breakpoints(each) for each in grids])


@lru_cache(_FEW)
def _few_together(grids: tuple[Grid, ...]) -> tuple[Sequence[F64], F64, Sequence[int]]:
    return _padded([breakpoints(each) for each in grids])


def _padded(points: Sequence[F64]) -> tuple[Sequence[F64], F64, Sequence[int]]:
    size = [len(each) for each in points]
    same: dict[int, list[int]] = {}
    for i, each in enumerate(points):
        same.setdefault(id(each), []).append(i)
    x = np.empty((len(points), max(size)))
    for those in same.values():
        each = points[those[0]]
        x[those, : len(each)], x[those, len(each) :] = each, each[-1]
    x.setflags(write=False)
    return points, x, size


def between(tables: F64, quantum: F64, rows: NDArray[np.intp], x: F64) -> F64:
    """(t, n, K) the values of some rows of tables over cells (t, W, M + 1) at x (n, K), by lines between them."""
    cells = np.minimum(x / quantum[rows, None], tables.shape[2] - 1)
    left = np.minimum(cells.astype(np.intp), tables.shape[2] - 2)
    begins, ends = tables[:, rows[:, None], left], tables[:, rows[:, None], left + 1]
    found: F64 = begins + (ends - begins) * (cells - left)
    return found
