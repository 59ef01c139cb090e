"""The most that any moves could gain: a bound that costs less than a solution, to see when there is nothing to look for.

For every price λ >= 0 of a resource of a node, with c what a choice has now and "free" what nobody holds (weak duality):

    gain of any moves that fit  <=  Σ over choices of max over x of (y(x) - y(c) - λ · need · (x - c)) + λ · free

The least of these over the slopes of the curves is what the continuous optimum gains, where curves are concave and one
resource is short. Constraints over nodes are left out: without them there could only be more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.standing import last_rate
from controller.plan.strategy import least_gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.model import F64, State
    from controller.plan.problem import Choice, Problem, Row

_MOST: Final = 24
"""Choices of one node up to which the bound is looked for."""
_PRICES: Final = 64
"""Prices that are tried, about."""
_ROUNDING: Final = 1e-6
"""Of what the choices earn: so close to what is asked for, nothing is sure."""


def may_pay(state: State, problem: Problem) -> bool:
    """Whether moves might bring what minImprovement asks for, on any node: False is certain, True is not."""
    free = [choice for choice in problem.released().choices if not choice.pinned and len(choice.x) > 1]
    if not free:
        return False
    on_node: dict[str, list[Choice]] = {}
    for choice in free:
        on_node.setdefault(choice.node, []).append(choice)
    taken = problem.current
    earns = _earns(state, problem)
    return any(
        len(choices) > _MOST
        or not ceiling(choices, problem.rows, taken) + _slack(choices) < least_gain(state, earns[node])
        for node, choices in on_node.items()
    )


def _earns(state: State, problem: Problem) -> dict[str, float]:
    """USD per hour of each node: as the curves expect, or, of those that are not planned on, as they were last read."""
    known = {choice.key: float(choice.y[choice.at]) for choice in problem.choices}
    found: dict[str, float] = {}
    for w in state.workloads:
        found[w.node] = found.get(w.node, 0.0) + (known[w.key] if w.key in known else last_rate(w))
    return found


def _slack(choices: Sequence[Choice]) -> float:
    return _ROUNDING * sum(max(abs(float(c.y[0])), abs(float(c.y[-1]))) for c in choices)


def ceiling(choices: Sequence[Choice], rows: Sequence[Row], current: F64) -> float:
    """USD per hour that moves of these choices of one node gain at most. `current`: of all the choices that the rows name.

    Worked: two workloads of 6 cores each and none free; one more would earn 0.03 with the first and loses 0.01 with the
    second, which may give up two: at a price of 0.01 to 0.03 a core that is 0.04.
    """
    size = max(len(c.x) for c in choices)
    gain, change = np.zeros((2, len(choices), size))
    for i, c in enumerate(choices):
        gain[i, : len(c.x)], change[i, : len(c.x)] = c.y - c.y[c.at], c.x - c.x[c.at]
    found = float(gain.max(axis=1).sum())
    for row in rows:
        if row.place is None or row.place[0] != choices[0].node:
            continue
        need = np.array([c.needs.get(row.place[1], 0.0) for c in choices])
        found = min(found, _priced(gain, change * need[:, None], row.limit - row.used(current)))
    return found


def _priced(gain: F64, takes: F64, free: float) -> float:
    """The least of the bounds over prices of one resource, of which `takes` (n, k) and of which so much is free."""
    run = np.diff(takes, axis=1)
    slopes = np.diff(gain, axis=1)[run > 0] / run[run > 0]
    prices = np.sort(slopes[slopes > 0])
    prices = prices[:: 1 + len(prices) // _PRICES]
    if not len(prices):
        return np.inf
    bounds = (gain - prices[:, None, None] * takes).max(axis=2).sum(axis=1) + prices * max(free, 0.0)
    return float(bounds.min())
