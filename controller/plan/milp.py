"""MILP: one binary variable for each allowed value of each choice: steps, minimum stakes, fixed costs, counts, curves of
any shape. Exact up to the gap that it states.

Few states are looked through by a dynamic programme (dynamic.py, exact), which for one node takes a tenth of the time
that HiGHS takes; what is too much for it is HiGHS's, bounded by nodes, never by the clock, so that the same problem has
the same answer on any machine. The relaxation (each curve's concave hull, with the cost of moving in it) gives the
prices by which the dynamic programme drops states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from controller.plan import dynamic, highs
from controller.plan.highs import Unsolved
from controller.plan.searching import polished

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.items import Items

GAP: Final = 1e-6
"""Relative, at which it stops. What is left of it stands in the Plan."""
NODES: Final = 2_000
"""Branch and bound nodes at most; for 50 workloads of 9 values under 3 rows seconds at worst."""
_TOLERANCE: Final = 1e-9
_FEW: Final = 4096
"""Combinations up to which no prices are needed to look through them."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    taken: NDArray[np.intp]
    """(n,) items."""
    gap: float
    """Relative: how much more there may be at most."""


def best(them: Items, known: NDArray[np.intp], priced: F64 | None = None) -> Chosen:
    """The items worth most, by the cheapest way that is exact; `known` (n,) fits and comes back where none is worth more.

    `priced`: (r,) prices of the rows, where they are known. Raises Unsolved.
    """
    if priced is None and np.diff(them.first).astype(float).prod() <= _FEW:
        priced = np.zeros(len(them.limit))
    if priced is None:
        try:
            priced, bound = prices(them)
        except Unsolved:  # what there is fits, so it is HiGHS's rounding: without prices it only takes longer
            priced, bound = np.zeros(len(them.limit)), np.inf
        if bound <= them.total(known) + them.noise:
            return Chosen(known, 0.0)
        known = polished(them, known)  # a better one to beat leaves fewer states
    taken = dynamic.best(them, known, priced)
    return maximise(them, known) if taken is None else Chosen(taken, 0.0)


def maximise(them: Items, known: NDArray[np.intp], nodes: int = NODES) -> Chosen:
    """The same by HiGHS. Raises Unsolved."""
    import highspy  # the heaviest import of all, and most problems never need it

    solver, scale = _model(them, whole=True)
    solver.setOptionValue("mip_max_nodes", nodes)
    start = highspy.HighsSolution()
    start.col_value = np.isin(np.arange(len(them.worth)), known).astype(float).tolist()
    solver.setSolution(start)
    solver.run()
    info = solver.getInfo()
    if not np.isfinite(info.mip_dual_bound):
        raise Unsolved(f"HiGHS ended with {solver.modelStatusToString(solver.getModelStatus())}")
    taken = _largest(them, np.array(solver.getSolution().col_value))
    if not them.fits(taken) or them.total(taken) <= them.total(known) + them.noise:
        taken = known
    worth, bound = them.total(taken), info.mip_dual_bound * scale
    return Chosen(taken, max(0.0, bound - worth) / max(abs(bound), abs(worth), 1e-300))


def prices(them: Items) -> tuple[F64, float]:
    """(r,) what one unit of each row is worth at the optimum of the relaxation, and that optimum. Raises Unsolved."""
    solver, scale = _model(them, whole=False)
    duals = np.array(highs.solve(solver).row_dual)[: len(them.limit)]
    return np.maximum(duals, 0.0) * scale, solver.getInfo().objective_function_value * scale


def _model(them: Items, *, whole: bool) -> tuple[Any, float]:
    import highspy

    n, k, r = len(them), len(them.worth), len(them.limit)
    scale = float(np.abs(them.worth).max(initial=0.0)) or 1.0
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = k, r + n
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = them.worth / scale
    program.col_lower_, program.col_upper_ = np.zeros(k), np.ones(k)
    program.row_lower_ = np.concatenate([np.full(r, -highspy.kHighsInf), np.ones(n)])
    # a row that is exactly full now must not count as broken by HiGHS; what it then finds is checked against the limits
    program.row_upper_ = np.concatenate([them.limit + _TOLERANCE, np.ones(n)])
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.concatenate([k * np.arange(r), r * k + them.first]).astype(np.int32)
    program.a_matrix_.index_ = np.concatenate([np.tile(np.arange(k), r), np.arange(k)]).astype(np.int32)
    program.a_matrix_.value_ = np.concatenate([them.use.ravel(), np.ones(k)])
    if whole:
        program.integrality_ = [highspy.HighsVarType.kInteger] * k
    loose = ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance")
    options = {"mip_rel_gap": GAP, "mip_abs_gap": _TOLERANCE, **dict.fromkeys(loose, _TOLERANCE)}
    return highs.loaded(program, options), scale


def _largest(them: Items, shares: F64) -> NDArray[np.intp]:
    """(n,) of each choice the item with the largest share, the first of equals."""
    spans = zip(them.first[:-1].tolist(), them.first[1:].tolist(), strict=True)
    return np.array([begin + int(shares[begin:end].argmax()) for begin, end in spans], dtype=np.intp)
