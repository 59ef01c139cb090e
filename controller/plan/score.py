"""The move score (D8): what share of all earnings moves win, for what share of all running time they cost.

    score = (gain / Σ rate) / (offline minutes / Σ minutes at stake)

Σ rate is what the policy's workloads earn now, in USD per hour, and at stake are the minutes that they would all run
within their horizons. So of moves of an average workload it is how many times over they pay for their own interruption
within the horizon; and since both sums grow with the pool, its size cancels. The gain is what is left after fees, spread
over the horizon, for fees interrupt nothing. The idea is that of karpenter's balanced consolidation (savings as a share
of the pool's cost, over disruption as a share of the pool's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

from controller.plan.spread import rates

if TYPE_CHECKING:
    from controller.model import Curve

Rank = tuple[int, float, float, float]
"""Sorts the best first."""


@dataclass(frozen=True, slots=True)
class Pool:
    """What moves are compared with."""

    rate: float
    """USD per hour."""
    minutes: float
    """At stake."""


def pool(curves: Mapping[str, Curve], current: Mapping[str, float]) -> Pool:
    """Of all workloads that have a curve and a known allocation. Whose rate is no number has no part in it, so that one
    price that is unknown leaves the scores of all others what they are.
    """
    keys = [key for key in sorted(current) if key in curves]
    earned = rates([curves[key] for key in keys], [current[key] for key in keys]).tolist()
    known = {key: rate for key, rate in zip(keys, earned, strict=True) if isfinite(rate)}
    return Pool(sum(known.values()), sum(curves[key].horizon / 60 for key in known))


def score(gain: float, offline_minutes: float, of: Pool) -> float | None:
    """The score of moves that gain so much per hour; infinite where they gain and interrupt nothing, 0 where neither.

    0.05 of 1 USD/h for 3 of 480 minutes: 0.05 / 0.00625 = 8. None where the pool earns nothing, or a figure is no number:
    there is nothing to compare with.
    """
    if not (isfinite(gain) and isfinite(offline_minutes) and of.rate > 0 and of.minutes > 0):
        return None
    if offline_minutes <= 0:
        return inf if gain > 0 else -inf if gain < 0 else 0.0
    return gain / of.rate * of.minutes / offline_minutes


def rank(gain: float, offline_minutes: float) -> Rank:
    """The order of the scores, whatever the pool: what gains and interrupts nothing, by its gain; what gains, by its gain
    per minute; what gains nothing, the least loss first (divided by minutes, a loss would shrink by interrupting more);
    at last what is no number. More gain never ranks lower, more minutes never higher.
    """
    if not (isfinite(gain) and isfinite(offline_minutes)):
        return 3, 0.0, 0.0, 0.0
    if gain <= 0:
        return 2, -gain, offline_minutes, 0.0
    if offline_minutes <= 0:
        return 0, -gain, 0.0, 0.0
    return 1, -gain / offline_minutes, offline_minutes, -gain
