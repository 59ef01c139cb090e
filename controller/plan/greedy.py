"""Greedy: the rule of the first specification, corrected for bounds: on every node one transfer, from the workload that
earns least per allocated unit to the one that earns most, of a tenth of what the first has, at most a fifth of what
there is to hand out among those that are planned on, if the rates differ by 5 % (interfaces.md, baselines).

A baseline: earnings per allocated unit say nothing of what the next unit earns (economics.md 1). It is corrected where it
would break something: in whole steps, within bounds and rows, and only where the curves agree that it pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.plan.grid import Steps
from controller.plan.limits import SLACK

if TYPE_CHECKING:
    from controller.plan.problem import Choice, Problem

_SHARE: Final = 0.1
"""Of what the worst has."""
_MOST: Final = 0.2
"""Of the capacity, less what workloads hold that are not planned on."""
_BETTER: Final = 1.05
"""By what the best must earn more per unit than the worst."""


def best(problem: Problem) -> list[int]:
    """(n,) indices into the allowed values: at most one transfer on each node and of each resource, each worth its cost."""
    steps = Steps(problem, [c.at for c in problem.choices])
    alike: dict[tuple[str, str], list[int]] = {}
    for i, choice in enumerate(problem.choices):
        alike.setdefault((choice.node, choice.resource), []).append(i)
    capacity = {row.place: row.limit for row in problem.rows if row.place is not None}
    for place, those in sorted(alike.items()):
        pair = _pair(problem, those)
        if pair is not None:
            _transfer(steps, *pair, _MOST * capacity.get(place, np.inf))
    return steps.index


def _pair(problem: Problem, alike: list[int]) -> tuple[int, int] | None:
    """Who earns least per unit and can give, and who earns most and can take; None where they are no two."""
    ranked = sorted((rate, problem.choices[i].key, i) for i in alike if (rate := _rate(problem.choices[i])) is not None)
    givers = [(rate, i) for rate, _, i in ranked if not problem.choices[i].pinned and problem.choices[i].at > 0]
    takers = [(rate, i) for rate, _, i in ranked if not problem.choices[i].pinned and _may_grow(problem.choices[i])]
    if not givers or not takers:
        return None
    (low, worst), (high, top) = givers[0], takers[-1]
    return (worst, top) if worst != top and high > max(low * _BETTER, low) else None


def _transfer(steps: Steps, worst: int, top: int, most: float) -> None:
    """Move a tenth of what the worst has, at most `most`, to the best, if that fits and pays."""
    giver, taker = steps.problem.choices[worst], steps.problem.choices[top]
    amount = min(_SHARE * giver.current, most)
    # whole steps: the nearest below what is left, so that a tenth of a few steps is one
    down = min(_last(giver, giver.current - amount), giver.at - 1)
    steps.move(worst, max(0, down))
    up = _last(taker, taker.current + giver.current - float(giver.x[steps.index[worst]]))
    while up > taker.at and not steps.can_move(top, up):
        up -= 1
    steps.move(top, up)
    gained = _net(giver, steps.index[worst]) + _net(taker, up)
    if up == taker.at or not steps.holds_for(worst, top) or not gained > steps.noise:
        steps.move(top, taker.at)
        steps.move(worst, giver.at)


def _last(choice: Choice, amount: float) -> int:
    """The highest index whose value is at most `amount`."""
    return int(np.searchsorted(choice.x, amount + SLACK * abs(amount), side="right")) - 1


def _net(choice: Choice, index: int) -> float:
    """USD per hour by which a move changes what the choice earns, less its cost over its horizon."""
    return float(choice.y[index] - choice.y[choice.at]) - choice.cost * 3600 / choice.horizon * (index != choice.at)


def _rate(choice: Choice) -> float | None:
    """USD per hour and allocated unit; None where nothing is allocated."""
    return float(choice.y[choice.at]) / choice.current if choice.current > 0 else None


def _may_grow(choice: Choice) -> bool:
    return choice.at + 1 < len(choice.x)
