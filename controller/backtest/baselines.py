"""What else could be done: static, equal, greedy and winner takes all (interfaces.md, Baselines). Pure.

They see what a real node shows (used, allocated, rate), keep to bounds, steps, hold, step limit, programs per hour and
every capacity, companions included, and pay for their moves like everybody. A workload that does not answer is left as
it is. "USD per allocated unit" is what the last hour (or 15 minutes) earned by what was allotted meanwhile.

`equal` goes to its split as fast as the limits let it, and never moves again. `greedy` moves one step where a tenth of
the worst's allocation is less; what the transfer promises is the amount at the best's rate less the amount at the
worst's, and that must be 5 % of what all who share the resource earned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.backtest.evenly import evenly
from controller.backtest.hands import Group, Hands
from controller.backtest.result import EQUAL, GREEDY, STATIC, WINNER, Run
from controller.backtest.world import Terms, play
from controller.plan.limits import SLACK
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from controller.backtest.case import Case

GREEDY_EVERY: Final = 3600.0
GREEDY_SHARE: Final = 0.10
"""Of the worst's allocation."""
GREEDY_CAPACITY: Final = 0.20
GREEDY_IMPROVES: Final = 0.05
WINNER_WINDOW: Final = 900.0
WINNER_BETTER: Final = 0.02
LOOK: Final = 300.0
"""Seconds between two looks of those who may move at any time; the hold allows each workload a move an hour."""


def static(case: Case, on: Terms | None = None) -> Run:
    """Never moves."""
    return play(case, STATIC, np.repeat(case.initial[None, :], case.truth.ticks, axis=0), on)


def equal(case: Case, on: Terms | None = None) -> Run:
    """Capacity split evenly within bounds, once."""
    hands = Hands(case, on)
    wanted = even(hands)
    while not hands.over:
        wanted = {i: to for i, to in wanted.items() if to != hands.has(i)}
        free = {i: min(max(to, hands.lowest(i)), hands.highest(i)) for i, to in wanted.items() if hands.free(i)}
        if free and not hands.program(free):  # what grows waits for those that cannot give it yet
            hands.program({i: to for i, to in free.items() if to < hands.has(i)})
        hands.advance(hands.ticks(LOOK) if wanted else case.truth.ticks)
    return hands.run(EQUAL)


def even(hands: Hands) -> dict[int, float]:
    """The even split within what can ever be given; {} where what all must have at least does not fit."""
    case = hands.case
    least = {i: _least(hands, i) for i in range(len(hands.allowed))}
    still = {i for i in least if "Off" in {case.workloads[i].mode, case.spec.mode}}
    held = {i for i in least if i in still or hands.allowed[i].freeze == "grow"}
    most = {i: max(least[i], hands.has(i) if i in held else hands.allowed[i].max) for i in least}
    return evenly(case.nodes, case.workloads, least, most) or {}


def _least(hands: Hands, i: int) -> float:
    """The least on its grid that a workload can ever be given."""
    allowed, workload = hands.allowed[i], hands.case.workloads[i]
    floor = max(allowed.min, workload.traits.min_allocation)
    if workload.traits.curve is CurveKind.FILL or workload.traits.irreversible or allowed.freeze == "shrink":
        floor = max(floor, hands.has(i) if allowed.freeze == "shrink" else float(hands.world.stored[i]))
    if "Off" in {workload.mode, hands.case.spec.mode}:
        return hands.has(i)
    return float(allowed.min + np.ceil((floor - allowed.min) / allowed.step * (1 - SLACK)) * allowed.step)


def greedy(case: Case, on: Terms | None = None) -> Run:
    """Every hour from the worst to the best."""
    hands = Hands(case, on)
    every = hands.ticks(GREEDY_EVERY)
    while not hands.over:
        if hands.world.tick:
            for group in hands.groups:
                _transfer(hands, group, every)
        hands.advance(every)
    return hands.run(GREEDY)


def _transfer(hands: Hands, group: Group, window: int) -> None:
    """From the worst that can give to the best that can take, if it promises enough."""
    rates = _rates(hands, group, window)
    givers = [i for i in rates if hands.lowest(i) < hands.has(i)]
    takers = [i for i in rates if hands.highest(i) > hands.has(i)]
    if not givers or not takers:
        return
    worst, best = min(givers, key=lambda i: (rates[i], i)), max(takers, key=lambda i: (rates[i], -i))
    unit, wanted = hands.allowed[worst].step, min(GREEDY_SHARE * hands.has(worst), GREEDY_CAPACITY * group.capacity)
    wanted = unit * max(1.0, float(np.floor(wanted / unit * (1 + SLACK))))
    left = max(hands.lowest(worst), hands.has(worst) - wanted)
    to = hands.on_grid(best, min(hands.highest(best), hands.has(best) + hands.has(worst) - left))
    gives, takes = hands.has(worst) - left, to - hands.has(best)
    earned = _earned(hands, group, window)
    if (
        worst == best
        or takes <= 0
        or takes * rates[best] - gives * rates[worst] < max(GREEDY_IMPROVES * earned, 1e-300)
    ):
        return
    hands.program({worst: left, best: to})


def _rates(hands: Hands, group: Group, window: int) -> dict[int, float]:
    """USD per allocated unit of those that may be moved now."""
    found = {i: hands.rate(i, window) for i in group.members if hands.free(i)}
    return {i: rate for i, rate in found.items() if rate is not None}


def _earned(hands: Hands, group: Group, window: int) -> float:
    """USD a tick of all that share the resource."""
    last = hands.world.tick
    return float(hands.earned[max(0, last - window) : last, list(group.members)].sum()) / window


def winner_takes_all(case: Case, on: Terms | None = None) -> Run:
    """The best gets all that bounds, hold and step limits allow."""
    hands = Hands(case, on)
    window, every = hands.ticks(WINNER_WINDOW), hands.ticks(LOOK)
    winners: dict[int, int] = {}
    while not hands.over:
        if hands.world.tick >= window:
            for number, group in enumerate(hands.groups):
                if (best := _best(hands, group, window, winners.get(number))) is not None:
                    winners[number] = best
                    _take(hands, group, best, window)
        hands.advance(every)
    return hands.run(WINNER)


def _best(hands: Hands, group: Group, window: int, last: int | None) -> int | None:
    """Who earns most per allotted unit; who did before, unless it is silent or another is better by 2 %."""
    found = {i: hands.rate(i, window) for i in group.members}
    rates = {i: rate for i, rate in found.items() if rate is not None}
    if not rates:
        return None
    best = max(rates, key=lambda i: (rates[i], -i))
    if last in rates and rates[best] <= rates[last] + WINNER_BETTER * abs(rates[last]):
        return last
    return best


def _take(hands: Hands, group: Group, best: int, window: int) -> None:
    """Give the winner all that can be freed for it now, from the worst on."""
    if not hands.free(best) or (most := hands.highest(best)) <= hands.has(best):
        return
    rates = _rates(hands, group, window)
    changes: dict[int, float] = {}
    for i in sorted((i for i in group.members if i != best and hands.free(i)), key=lambda i: (rates.get(i, 0.0), i)):
        missing = most - hands.room(best, changes)
        if missing <= SLACK * most:
            break
        unit = hands.allowed[i].step
        left = hands.has(i) - unit * float(np.ceil(missing / unit * (1 - SLACK)))
        changes[i] = max(hands.lowest(i), left)
    changes[best] = max(hands.has(best), hands.on_grid(best, min(most, hands.room(best, changes))))
    if changes[best] > hands.has(best):
        hands.program(changes)
