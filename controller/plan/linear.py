"""LinearProgram: the segments of all curves as variables of one linear program, solved by HiGHS.

Exact for the relaxation whatever binds: several resources, fleet-wide constraints. Concave curves fill their segments
in order by themselves. Every variable is the taken share of its segment, every row is divided by its limit and the
objective by its largest term, because bytes and USD per hour are 15 orders of magnitude apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from controller.plan import highs
from controller.plan.problem import segments

if TYPE_CHECKING:
    from controller.model import F64
    from controller.plan.problem import Problem, Segments


def maximise(problem: Problem, parts: Segments | None = None) -> F64:
    """(n,) the best allocation under all rows. Raises Unsolved."""
    parts = parts or segments(problem)
    if not len(parts.owner) or not any(len(row.index) for row in problem.rows):
        return _composed(problem, parts, np.where(parts.dy > 0, 1.0, 0.0))
    return _composed(problem, parts, program(*_matrix(problem, parts), parts.dy)[0])


def _composed(problem: Problem, parts: Segments, taken: F64) -> F64:
    return parts.base + np.bincount(parts.owner, weights=taken * parts.dx, minlength=len(problem.choices))


def _matrix(problem: Problem, parts: Segments) -> tuple[Any, Any, F64, F64]:
    """The rows over segments, row-wise sparse: starts, columns, values, and the scaled limits."""
    first = np.searchsorted(parts.owner, np.arange(len(problem.choices) + 1))
    now = np.array([float(it.x[it.at]) for it in problem.choices])
    starts, columns, values, limits = [0], [], [], []
    for row in (row for row in problem.rows if len(row.index)):
        where = np.concatenate([np.arange(first[i], first[i + 1]) for i in row.index]).astype(np.intp)
        per_unit = np.zeros(len(problem.choices))
        per_unit[row.index] = row.coefficient
        term = per_unit[parts.owner[where]] * parts.dx[where]
        most = max(row.limit, float(per_unit @ now)) if row.holds(now) else row.limit  # what is just full is not broken
        limit = most - float(per_unit @ parts.base)
        scale = max(float(np.abs(term).max(initial=0.0)), abs(limit)) or 1.0
        columns.append(where)
        values.append(term / scale)
        limits.append(limit / scale)
        starts.append(starts[-1] + len(where))
    return (
        np.array(starts, dtype=np.int32),
        np.concatenate(columns).astype(np.int32),
        np.concatenate(values),
        np.array(limits),
    )


def program(starts: Any, columns: Any, values: F64, limits: F64, gain: F64) -> tuple[F64, F64]:
    """The linear program max gain · t so that rows · t <= limits and 0 <= t <= 1: t, and what a unit of each row is worth.

    Rows are sparse and row-wise (starts, columns, values). Raises Unsolved.
    """
    import highspy  # the heaviest import of all, and most problems never need it

    worth = float(np.abs(gain).max()) or 1.0
    given = highspy.HighsLp()
    given.num_col_, given.num_row_ = len(gain), len(limits)
    given.sense_ = highspy.ObjSense.kMaximize
    given.col_cost_ = gain / worth
    given.col_lower_, given.col_upper_ = np.zeros(len(gain)), np.ones(len(gain))
    given.row_lower_, given.row_upper_ = np.full(len(limits), -highspy.kHighsInf), limits
    given.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    given.a_matrix_.start_, given.a_matrix_.index_, given.a_matrix_.value_ = starts, columns, values
    found = highs.solve(highs.loaded(given, highs.SIMPLEX))
    taken: F64 = np.clip(np.array(found.col_value, dtype=np.float64), 0.0, 1.0)
    return taken, np.maximum(np.array(found.row_dual, dtype=np.float64), 0.0) * worth
