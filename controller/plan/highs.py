"""HiGHS set up so that the same program has the same answer on any machine: one thread, one seed, tight tolerances, no clock.

It is imported when it is first needed, because it is the heaviest import of all and most problems never need it.
"""

from __future__ import annotations

from typing import Any, Final

TOLERANCE: Final = 1e-10
"""The tightest that HiGHS offers; its default of 1e-7 is a cent in a thousand dollars."""
SIMPLEX: Final = {"solver": "simplex"}
_ALWAYS: Final = {
    "output_flag": False, "threads": 1, "random_seed": 0,
    "primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE,
}  # fmt: skip


class Unsolved(ArithmeticError):
    """HiGHS gave no optimum, which no problem with a feasible current allocation should make it do."""


def loaded(program: Any, options: dict[str, Any]) -> Any:
    """A solver that holds a `highspy.HighsLp` and has not run yet; `options` beside those that always hold."""
    import highspy

    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stubs leave the constructor untyped
    for name, value in (_ALWAYS | options).items():
        solver.setOptionValue(name, value)
    solver.passModel(program)
    return solver


def solve(solver: Any) -> Any:
    """The optimum, as HiGHS tells it. Raises Unsolved."""
    import highspy

    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise Unsolved(f"HiGHS ended with {solver.modelStatusToString(solver.getModelStatus())}")
    return solver.getSolution()
