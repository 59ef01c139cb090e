"""Opportunities: for every ordered pair of workloads that share a resource on a node, and for growth into free
capacity, the best single transfer within limits, ranked (D2).

Holds, protections and modes are not looked at here: what they forbid is shown as well, with the guard's reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.words import amount
from controller.model import Move, Opportunity, Reason
from controller.plan.limits import SLACK
from controller.plan.worth import weigh

if TYPE_CHECKING:
    from controller.model import F64, Curve
    from controller.plan.problem import Choice, Problem
    from exporters.traits import Traits

MOST: Final = 256
"""Pairs that are weighed per policy; of more, those whose next units differ most."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    source: Choice | None
    target: Choice
    to: int
    """Index of the target's new value."""
    down: int
    """Index of the source's new value."""
    gain: float


def opportunities(
    problem: Problem, curves: Mapping[str, Curve], traits: Mapping[str, Traits]
) -> tuple[Opportunity, ...]:
    """Best first: by what is left of the gain per hour when the cost is spread over the target's horizon; ties by name.
    Those that earn nothing say so.
    """
    free = _free(problem)
    by_node: dict[str, list[Choice]] = {}
    for choice in problem.choices:
        by_node.setdefault(choice.node, []).append(choice)
    found = [
        best
        for source, target in _pairs(by_node, free)
        if (best := _best(source, target, {r: free.get((target.node, r), 0.0) for r in target.needs}))
    ]
    weighed = [_opportunity(candidate, curves, traits) for candidate in found]
    return tuple(sorted(weighed, key=lambda found: _rank(found, curves[found.target].horizon)))


def moves_of(
    opportunity: Opportunity, curves: Mapping[str, Curve], current: Mapping[str, float], costs: Mapping[str, float]
) -> tuple[Move, ...]:
    """The Moves of one opportunity alone, for the guard to judge."""
    changes = [(opportunity.target, opportunity.amount)]
    if opportunity.source is not None:
        changes.append((opportunity.source, -opportunity.source_amount))
    return tuple(
        move(curves[key], opportunity.node, current[key], current[key] + change, costs[key])
        for key, change in sorted(changes)
    )


def move(curve: Curve, node: str, from_: float, to: float, cost: float) -> Move:
    return Move(curve.key, node, curve.resource, from_, to, curve.at(to) - curve.at(from_), cost)


def _rank(it: Opportunity, horizon: float) -> tuple[float, str, str]:
    return -(it.gain.expected - it.cost_usd / (horizon / 3600.0)), it.target, it.source or ""


def _free(problem: Problem) -> dict[tuple[str, str], float]:
    """(node, resource) -> what is not held now. Constraint rows are the guard's to check."""
    x = problem.current
    return {row.place: max(0.0, row.limit - row.used(x)) for row in problem.rows if row.place is not None}


def _pairs(
    by_node: Mapping[str, list[Choice]], free: Mapping[tuple[str, str], float]
) -> list[tuple[Choice | None, Choice]]:
    """Every target with free capacity and with each other workload that shares a resource, at most MOST in all."""
    pairs: list[tuple[Choice | None, Choice]] = []
    for _, choices in sorted(by_node.items()):
        for target in choices:
            if target.at + 1 == len(target.x):
                continue  # it may not grow
            if _fits(target, free):
                pairs.append((None, target))
            pairs += [(source, target) for source in choices if source.at and _share(source, target)]
    if len(pairs) <= MOST:
        return pairs
    promising = sorted(pairs, key=lambda pair: (-_difference(*pair), pair[1].key, pair[0].key if pair[0] else ""))
    return promising[:MOST]


def _fits(target: Choice, free: Mapping[tuple[str, str], float]) -> bool:
    """Whether its next step needs nobody to shrink."""
    step = target.x[target.at + 1] - target.current
    return all(needed * step <= _most(free.get((target.node, r), 0.0)) for r, needed in target.needs.items())


def _share(source: Choice, target: Choice) -> bool:
    return source is not target and not set(source.needs).isdisjoint(target.needs)


def _difference(source: Choice | None, target: Choice) -> float:
    """What the target's next step earns less what the source's last step does."""
    gained = target.y[target.at + 1] - target.y[target.at]
    return float(gained - (source.y[source.at] - source.y[source.at - 1] if source else 0.0))


def _best(source: Choice | None, target: Choice, free: Mapping[str, float]) -> _Candidate | None:
    """The transfer that earns most after its cost; None where the limits leave none at all."""
    up = np.arange(target.at + 1, len(target.x))
    gained = target.y[up] - target.y[target.at]
    grows = target.x[up] - target.current
    if source is None:
        down, lost = np.zeros(len(up), dtype=np.intp), np.zeros(len(up))
        possible = np.all([needed * grows <= _most(free[r]) for r, needed in target.needs.items()], axis=0)
    else:
        down = np.minimum(_room_for(source, target, grows, free), source.at - 1)
        possible = down >= 0
        lost = source.y[source.at] - source.y[np.maximum(down, 0)]
    if not possible.any():
        return None
    net = np.where(possible, gained - lost, -np.inf)
    best = int(np.argmax(net))
    return _Candidate(source, target, int(up[best]), int(down[best]), float(net[best]))


def _most(free: float) -> float:
    return free * (1 + SLACK) + 1e-12


def _room_for(
    source: Choice, target: Choice, grows: F64, free: Mapping[str, float]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """(k,) the highest index of the source's values that leaves room for each growth of the target; -1: none does."""
    highest = np.full(len(grows), source.current)
    for resource, needed in target.needs.items():
        missing = needed * grows - _most(free[resource])
        per_unit = source.needs.get(resource, 0.0)
        if per_unit > 0:
            missing = missing / per_unit
        # what the source cannot free must be there already
        highest = np.minimum(
            highest, np.where((per_unit > 0) | (missing <= 0), source.current - missing * (per_unit > 0), -np.inf)
        )
    tolerance = SLACK * max(source.current, 1e-300)
    return np.searchsorted(source.x, highest + tolerance, side="right") - 1


def _opportunity(candidate: _Candidate, curves: Mapping[str, Curve], traits: Mapping[str, Traits]) -> Opportunity:
    source, target = candidate.source, candidate.target
    to = float(target.x[candidate.to])
    down = float(source.x[candidate.down]) if source else 0.0
    moves = [move(curves[target.key], target.node, target.current, to, target.cost)]
    if source:
        moves.append(move(curves[source.key], source.node, source.current, down, source.cost))
    worth = weigh(moves, curves)
    minutes = [traits[it.key].offline_minutes for it in moves]
    gives = source.current - down if source else 0.0
    whence = f"{amount(source.resource, gives)} {source.resource} of {source.key}" if source else "free capacity"
    if source and source.resource == target.resource and to - target.current > gives * (1 + SLACK):
        whence += " and free capacity"
    grown = amount(target.resource, to - target.current)
    return Opportunity(
        node=target.node, resource=target.resource, source=source.key if source else None, target=target.key,
        amount=to - target.current, source_amount=gives, gain=worth.gain, cost_usd=worth.cost_usd,
        confidence=worth.confidence, steps=len(moves), restarts=sum(1 for m in minutes if m > 0), offline_minutes=sum(minutes),
        reason=Reason.ALLOWED if worth.gain.expected > 0 else Reason.ALREADY_BEST,
        sentence=f"{grown} {target.resource} more for {target.key} from {whence}: {worth.words()}",
    )  # fmt: skip
