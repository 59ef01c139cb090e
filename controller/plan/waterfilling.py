"""WaterFilling: one row binds; take the segments of all curves by what they earn per unit of it, until it is full.

Exact for concave curves: it is the linear program's greedy solution (a continuous knapsack), which a property test
proves against HiGHS. Equal slopes go to what a workload already has before anybody grows, then by name, so that an
optimum is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.plan.problem import segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.problem import Problem, Row, Segments


def fill(problem: Problem, row: Row | None, parts: Segments | None = None) -> F64:
    """(n,) the best allocation under that one row (None: under none), every choice within what it may be given."""
    return priced(problem, row, parts)[0]


def priced(problem: Problem, row: Row | None, parts: Segments | None = None) -> tuple[F64, float]:
    """The same, and USD per hour that one more unit of the row would earn: the slope at which it is full, or 0."""
    parts = parts or segments(problem)
    earns = parts.dy > 0
    taken = earns.astype(np.float64)
    price = 0.0
    if row is not None:
        per_unit = np.zeros(len(problem.choices))
        per_unit[row.index] = row.coefficient
        need = per_unit[parts.owner] * parts.dx
        price = _pour(taken, need, parts, earns & (need > 0), row.limit - float(per_unit @ parts.base))
    return parts.base + np.bincount(parts.owner, weights=taken * parts.dx, minlength=len(problem.choices)), price


def _pour(taken: F64, need: F64, parts: Segments, wanted: NDArray[np.bool_], room: float) -> float:
    """Set how much of each segment is taken, best first, so that Σ taken · need <= room. Gives the row's price."""
    # those below what a workload has come first, and the sort is stable: equal slopes stay in that order, then by name
    order = np.concatenate([(wanted & ~parts.above).nonzero()[0], (wanted & parts.above).nonzero()[0]])
    slope = parts.dy[order] / need[order]
    ranked = (-slope).argsort(kind="stable")
    order = order[ranked]
    needed = need[order]
    shares = np.minimum(np.maximum((room - needed.cumsum()) / needed + 1.0, 0.0), 1.0)
    taken[order] = shares
    full = int((shares >= 1.0).sum())
    return float(slope[ranked[full]]) if full < len(order) else 0.0
