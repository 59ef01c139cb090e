"""The most that could have been earned by somebody who knows all demand: an upper bound that nobody reaches. Pure.

What shares no resource is solved apart. For each part first the multi-period linear program (relaxation.py): capacity,
bounds, step limits and hold, as far as a linear program can say them. Then, from the prices that it puts on the
resources, a lower bound by prices alone (lagrangian.py), which also knows whole steps, the hold to the minute, minutes
offline and fees. Both are true upper bounds, so the lower of them is one. Relaxed in both: programs per hour, freeze
windows, protectUntil, and the policy's constraints over all nodes; each could only lower it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.lagrangian import tightened
from controller.backtest.parts import parts
from controller.backtest.relaxation import relax
from controller.backtest.result import CLAIRVOYANT, Run
from controller.backtest.world import Terms, play, terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.backtest.case import Case
    from controller.backtest.lagrangian import Bound
    from controller.backtest.parts import Part
    from controller.model import F64


def clairvoyant(
    case: Case, on: Terms | None = None, *, tighten: bool = True, progress: Callable[[float], None] = lambda _: None
) -> Run:
    """A Run whose total is the bound. Its allocation shows roughly how to get near it: it is off the step grid, and where
    prices gave the bound, a mean of paths. `tighten` False: the linear program alone. `progress` is told the share done.
    """
    on = on or terms(case)
    allocation, earned = np.repeat(case.initial[None, :], case.truth.ticks, axis=0), np.zeros_like(on.demand)
    found = parts(case)
    for done, part in enumerate(found):
        columns = list(part.members)
        relaxed = relax(case, on, part)
        progress((done + 0.3) / len(found))
        bound = tightened(case, on, part, relaxed.prices) if tighten else None
        if bound is not None and bound.total < relaxed.total:
            allocation[:, columns], earned[:, columns] = bound.allocation, _earned(case, on, part, bound)
        else:
            allocation[:, columns], earned[:, columns] = relaxed.allocation, relaxed.earned
        progress((done + 1) / len(found))
    return Run(CLAIRVOYANT, allocation, np.minimum(on.demand, allocation), earned)


def _earned(case: Case, on: Terms, part: Part, bound: Bound) -> F64:
    """(T, m) by tick: what each path earns, and its share of the surplus; sums to the bound."""
    columns = list(part.members)
    paths = np.repeat(case.initial[None, :], case.truth.ticks, axis=0)
    paths[:, columns] = bound.paths
    earned = play(case, CLAIRVOYANT, paths, on).earned[:, columns] + bound.surplus[:, None] / len(columns)
    return np.asarray(earned + (bound.total - earned.sum()) / earned.size)
