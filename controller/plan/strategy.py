"""When a plan is worth doing: the gates of every strategy, and the one place that knows them (economics.md 5).

    Threshold     it clears minImprovement, pays 1.1 times its cost within the horizon, and is sure enough
    Interval      the same, only when `every` has passed since the last program
    Predictive    the same; what differs are the curves, which come from a forecast
    RiskAware     the same, on a plan that keeps the total rate's standard deviation within riskTolerance (risk.py);
                  without a riskTolerance it is Threshold

What counts of a promised gain is what is left of it after what earlier promises of that protocol paid (Worth.counted).
Whatever the strategy, a rise must show in `riseAnalyses` analyses in a row before it counts; a fall counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from controller.estimate.words import money, odds
from controller.model import Reason
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.estimate.readings import Why
    from controller.model import Curve, Move, State, Verdict
    from controller.plan.worth import Worth
    from controller.policy import Objective

PAYBACK_MARGIN: Final = 1.1
"""The gain over the horizon must exceed the cost by this factor."""
EARNS_NOTHING: Final = 0.1
"""What is given up earns nothing any more where all of it is less than this part of what the moves gain."""
_WANTS: Final = (Reason.ALLOWED, Reason.MODE_SUGGEST, Reason.RISE_PENDING)


def strategy_of(objective: Objective) -> tuple[str, str]:
    """The strategy that is followed, and what there is to say about that."""
    if objective.strategy == "RiskAware" and objective.risk_tolerance is None:
        return "Threshold", "strategy RiskAware without a riskTolerance is Threshold"
    return objective.strategy, ""


def too_soon(state: State) -> Why | None:
    """Interval: why it is not the time for a program yet."""
    objective = state.spec.objective
    if objective.strategy != "Interval" or state.last_program_at is None:
        return None
    since = state.now - state.last_program_at
    if since >= objective.every:
        return None
    ago, every = format_duration(max(0.0, since)), format_duration(objective.every)
    return Reason.RATE_LIMIT, f"the last program was {ago} ago; strategy Interval moves every {every}"


def unworthy(
    state: State, moves: Sequence[Move], curves: Mapping[str, Curve], worth: Worth, earns: float
) -> Why | None:
    """Why these moves of one node are not worth doing; None: they are. `earns`: USD per hour of the whole node now."""
    return (
        _too_little(state, moves, worth, earns)
        or _no_payback(moves, curves, worth)
        or _unsure(state, worth)
        or _not_yet(state, moves, curves, worth)
    )


def _too_little(state: State, moves: Sequence[Move], worth: Worth, earns: float) -> Why | None:
    least, limits = least_gain(state, earns), state.spec.limits.min_improvement
    if worth.counted > 0 and least <= worth.counted < inf:
        return None
    asked = f"{limits.percent:g} % of the {money(earns)} USD/h of {moves[0].node}"
    if least == limits.usd_per_hour > 0:
        asked = "minImprovement.usdPerHour"
    bring = f"less than the {money(least)} that a change must bring ({asked})" if 0 < worth.counted < inf else "no gain"
    return Reason.LOW_GAIN, f"{money(worth.gain.expected, signed=True)} USD/h{_discounted(worth)} is {bring}"


def least_gain(state: State, earns: float) -> float:
    """USD per hour that a change of a node which earns so much must bring."""
    limits = state.spec.limits.min_improvement
    return max(limits.percent / 100 * max(earns, 0.0), limits.usd_per_hour)


def _discounted(worth: Worth) -> str:
    """What counts of a gain, where that is not all of it."""
    if not worth.counted < worth.gain.expected:
        return ""
    return f", of which {money(worth.counted)} counts after what earlier promises paid,"


def _no_payback(moves: Sequence[Move], curves: Mapping[str, Curve], worth: Worth) -> Why | None:
    if worth.counted_usd > worth.cost_usd * PAYBACK_MARGIN:
        return None
    horizons = sorted({curves[move.key].horizon for move in moves})
    hours = format_duration(horizons[-1])
    if len(horizons) > 1:
        hours = f"{format_duration(horizons[0])} to {hours}, each workload over its own horizon,"
    paid = " after what earlier promises paid" if _discounted(worth) else ""
    return (
        Reason.NO_PAYBACK,
        f"it would earn {money(worth.counted_usd)} USD within {hours}{paid} and cost {money(worth.cost_usd)} to move",
    )


def _unsure(state: State, worth: Worth) -> Why | None:
    asked = state.spec.limits.min_confidence
    if worth.confidence >= asked:
        return None
    return (
        Reason.LOW_CONFIDENCE,
        f"{odds(worth.confidence)} sure that it pays, of {asked:.0%} asked for ({worth.words()})",
    )


# --- rises and falls ----------------------------------------------------------------------------------------------


def _not_yet(state: State, moves: Sequence[Move], curves: Mapping[str, Curve], worth: Worth) -> Why | None:
    asked, seen = state.spec.objective.rise_analyses, max(0, state.rises) + 1
    if seen >= asked or is_fall(moves, curves):
        return None
    return (
        Reason.RISE_PENDING,
        f"{worth.words()}, and a rise must last: it shows in {seen} of {asked} analyses in a row",
    )


def is_fall(moves: Sequence[Move], curves: Mapping[str, Curve]) -> bool:
    """Whether these moves give up what earns nothing any more: all that the shrinks lose is less than a tenth of what the
    moves gain. Anything else is a rise: somebody would earn more than what is still earned now.

    Golem loses 0.001 USD/h by 2 cores in which akash earns 0.05: a fall. It loses 0.03 by them: a rise of akash.
    """
    gains = {move.key: curves[move.key].at(move.to) - curves[move.key].at(move.from_) for move in moves}
    shrinks = [gains[move.key] for move in moves if not move.grows]
    lost = sum(max(0.0, -gain) for gain in shrinks)
    return bool(shrinks) and lost <= EARNS_NOTHING * sum(gains.values())


def rises_after(rises: int, verdicts: Iterable[Verdict]) -> int:
    """How many analyses in a row wanted to move, after one with these verdicts: State.rises of the next. Who begins a
    program begins again at 0.
    """
    return rises + 1 if any(verdict.reason in _WANTS for verdict in verdicts) else 0
