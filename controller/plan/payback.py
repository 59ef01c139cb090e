"""Moves cost money: minutes offline and fees. A set of moves whose gain does not pay for them is cut down until it does.

The objective is Σ f(x) - Σ c / H over the workloads that move, each cost spread over its own horizon (economics.md 3).
The solvers do not see the costs (they are not concave); here each grow is weighed against giving it back together with
the shrinks that made room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controller.plan.grid import Steps, add, give_back

if TYPE_CHECKING:
    from controller.plan.problem import Problem

_MOST: Final = 64
"""Movers of one problem above which only the whole is weighed: one by one would be quadratic."""


def objective(problem: Problem, index: list[int]) -> float:
    """USD per hour: earnings less the cost of moving, spread over each mover's horizon."""
    return sum(
        float(choice.y[i]) - (choice.cost / (choice.horizon / 3600) if i != choice.at else 0.0)
        for choice, i in zip(problem.choices, index, strict=True)
    )


def paying(problem: Problem, target: list[int]) -> list[int]:
    """The target cut down to the moves that pay for themselves; everybody's current value where none do."""
    current = [choice.at for choice in problem.choices]
    best, worth = target, objective(problem, target)
    movers = [i for i, choice in enumerate(problem.choices) if target[i] != choice.at]
    if any(problem.choices[i].cost > 0 for i in movers) and len(movers) <= _MOST:
        best, worth = _trimmed(problem, best, worth)
    return best if worth > objective(problem, current) + Steps(problem, current).noise else current


def _trimmed(problem: Problem, best: list[int], worth: float) -> tuple[list[int], float]:
    """Give back one mover after the other as long as that is worth more."""
    while True:
        found = [
            (objective(problem, cut), i, cut) for i in _movers(problem, best) if (cut := _without(problem, best, i))
        ]
        top = max(found, key=lambda candidate: (candidate[0], -candidate[1]), default=None)
        if top is None or top[0] <= worth:
            return best, worth
        worth, _, best = top


def _movers(problem: Problem, index: list[int]) -> list[int]:
    return [i for i, choice in enumerate(problem.choices) if index[i] != choice.at]


def _without(problem: Problem, index: list[int], given_back: int) -> list[int] | None:
    """The target without one move: a grow frees its room for the other movers; a shrink goes back if it fits, else
    the grows that need its room shrink again, the least earning first. None where that cannot be.
    """
    steps = Steps(problem, list(index))
    choice = problem.choices[given_back]
    if index[given_back] > choice.at:
        steps.move(given_back, choice.at)
    elif not _make_room(steps, given_back):
        return None
    if not steps.holds():
        return None
    others = [i for i in _movers(problem, steps.index) if i != given_back]
    add(steps, others)
    give_back(steps)
    return steps.index


def _make_room(steps: Steps, shrunk: int) -> bool:
    """Undo one shrink, taking back steps of those that grew in the same rows until it fits."""
    choices = steps.problem.choices
    while not steps.can_move(shrunk, choices[shrunk].at):
        grown = [i for i, c in enumerate(choices) if steps.index[i] > c.at and steps.share_a_row(i, shrunk)]
        if not grown:
            return False
        least = max(grown, key=lambda i: (_kept_by(steps, i), -i))
        steps.move(least, steps.index[least] - 1)
    steps.move(shrunk, choices[shrunk].at)
    return True


def _kept_by(steps: Steps, i: int) -> float:
    """How little is lost by taking back one step, for what that frees."""
    back = steps.index[i] - 1
    return steps.gain(i, back) / max(steps.price(i, back), 1e-300)
