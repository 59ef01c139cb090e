"""Opportunities: for every ordered pair of workloads that share a resource on a node, and for growth into free
capacity, the best single transfer within limits, ranked (D2).

Holds, protections and modes are not looked at here: what they forbid is shown as well, with the guard's reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.words import amount
from controller.model import Move, Opportunity, Reason
from controller.plan.limits import SLACK
from controller.plan.score import pool, rank, score
from controller.plan.worth import UNTAUGHT, weigh_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Curve
    from controller.plan.problem import Choice, Problem
    from controller.plan.score import Pool, Rank
    from controller.plan.worth import Trust, Worth
    from exporters.traits import Traits

    NDInt = NDArray[np.intp]

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
    problem: Problem, curves: Mapping[str, Curve], traits: Mapping[str, Traits],
    learned: Trust = UNTAUGHT, compared: Pool | None = None,
) -> tuple[Opportunity, ...]:  # fmt: skip
    """Best first, by the move score (score.py) among all that earns within `compared`, without: among the choices; ties
    by name. Those that earn nothing say so.
    """
    free = _free(problem)
    found = [
        best
        for source, target in _pairs(problem.choices, free)
        if (best := _best(source, target, {r: free.get((target.node, r), 0.0) for r in target.needs}))
    ]
    moves = [_moves(candidate, curves) for candidate in found]
    among = compared or pool(curves, {choice.key: choice.current for choice in problem.choices})
    told = [
        _opportunity(candidate, those, worth, curves, traits, among)
        for candidate, those, worth in zip(found, moves, weigh_each(moves, curves, learned), strict=True)
    ]
    return tuple(sorted(told, key=lambda each: _rank(each, curves, traits)))


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


def saving(
    gain: float, moved: Iterable[str], curves: Mapping[str, Curve], traits: Mapping[str, Traits]
) -> tuple[float, float]:
    """What the score is made from: USD per hour that are left of a gain after the fees of those that move, each spread
    over its own horizon, and the minutes that they are offline.
    """
    each = list(moved)
    fees = sum(traits[key].fees_usd / (curves[key].horizon / 3600.0) for key in each)
    return gain - fees, sum(traits[key].offline_minutes for key in each)


def _rank(it: Opportunity, curves: Mapping[str, Curve], traits: Mapping[str, Traits]) -> tuple[Rank, str, str]:
    moved = [key for key in (it.target, it.source) if key is not None]
    return rank(*saving(it.gain.expected, moved, curves, traits)), it.target, it.source or ""


def _free(problem: Problem) -> dict[tuple[str, str], float]:
    """(node, resource) -> what is not held now. Constraint rows are the guard's to check."""
    x = problem.current
    return {row.place: max(0.0, row.limit - row.used(x)) for row in problem.rows if row.place is not None}


def _pairs(choices: Sequence[Choice], free: Mapping[tuple[str, str], float]) -> list[tuple[Choice | None, Choice]]:
    """Every target with free capacity and with each other workload that shares a resource of its node, at most MOST in
    all: of more, those whose next units differ most; ties by name.
    """
    if not choices:
        return []
    units = _next_units(choices)
    order, bound = _by_promise(choices, units)
    looked = 2 * MOST
    while True:
        # the nodes that promise most are enough where no pair of another one could be among the best
        pairs, differ = _foremost_pairs(choices, [i for those in order[:looked] for i in those], units, free)
        if looked >= len(order) or (len(pairs) == MOST and differ > bound[looked]):
            return [(choices[s] if s >= 0 else None, choices[t]) for s, t in pairs]
        looked *= 4


def _by_promise(choices: Sequence[Choice], units: _Units) -> tuple[list[list[int]], list[float]]:
    """The choices of each node, and the most that the two sides of any of its pairs can differ by; the most first."""
    nodes: dict[str, list[int]] = {}
    for i, choice in enumerate(choices):
        nodes.setdefault(choice.node, []).append(i)
    number = np.empty(len(choices), dtype=np.intp)
    number[[i for those in nodes.values() for i in those]] = np.repeat(
        np.arange(len(nodes)), [len(those) for those in nodes.values()]
    )
    most, least = np.full(len(nodes), -np.inf), np.zeros(len(nodes))
    np.maximum.at(most, number[units.grows], units.up[units.grows])
    np.minimum.at(least, number[units.shrinks], units.down[units.shrinks])
    bound = most - least
    order = np.argsort(-bound, kind="stable")
    each = list(nodes.values())
    return [each[k] for k in order.tolist()], bound[order].tolist()


def _foremost_pairs(
    choices: Sequence[Choice], among: list[int], units: _Units, free: Mapping[tuple[str, str], float]
) -> tuple[list[tuple[int, int]], float]:
    """(source, target) of those whose next units differ most, source -1 for free capacity; and by how much the last of
    them differ.
    """
    fits: list[int] = []
    places: dict[tuple[str, str], list[int]] = {}
    for i in sorted(among):
        choice, room = choices[i], bool(units.grows[i])
        for resource, needed in choice.needs.items():
            place = (choice.node, resource)
            places.setdefault(place, []).append(i)
            room = room and needed * units.step[i] <= _most(free.get(place, 0.0))
        if room:
            fits.append(i)  # its next step needs nobody to shrink
    target, source = _crossed(
        [_foremost(-units.up, [i for i in those if units.grows[i]]) for those in places.values()],
        [_foremost(units.down, [i for i in those if units.shrinks[i]]) for those in places.values()],
    )
    target = np.concatenate([np.array(fits, dtype=np.intp), target])
    source = np.concatenate([np.full(len(fits), -1), source])
    differ = units.up[target] - np.where(source >= 0, units.down[source], 0.0)
    # a pair is there once for every resource that it shares
    most = MOST * max(len(choices[i].needs) for i in among)
    if len(differ) > most:
        foremost = differ >= np.partition(differ, -most)[-most]
        target, source, differ = target[foremost], source[foremost], differ[foremost]
    ranked = np.lexsort((source, target, -differ)).tolist()
    pairs = {(int(source[k]), int(target[k])): float(differ[k]) for k in ranked}
    best = list(pairs.items())[:MOST]
    return [pair for pair, _ in best], best[-1][1] if best else -np.inf


def _crossed(targets: Sequence[list[int]], sources: Sequence[list[int]]) -> tuple[NDInt, NDInt]:
    """(p,) every target of each place with every source of it, but none with itself."""
    size = np.array([len(those) for those in sources])
    first = np.cumsum(size) - size
    growing = np.array([len(those) for those in targets])
    partners = np.repeat(size, growing)
    target = np.repeat(np.array([i for those in targets for i in those], dtype=np.intp), partners)
    within = np.arange(len(target)) - np.repeat(np.cumsum(partners) - partners, partners)
    flat = np.array([i for those in sources for i in those], dtype=np.intp)
    source = flat[np.repeat(np.repeat(first, growing), partners) + within]
    return target[target != source], source[target != source]


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """The next step of each choice up, and its last one."""

    up: F64
    """(n,) USD per hour of the next step up; 0 where there is none. What is no number promises nothing: -inf."""
    down: F64
    """(n,) USD per hour of the last step; what is no number costs everything: inf."""
    step: F64
    """(n,) what the next step up takes."""
    grows: NDArray[np.bool_]
    """(n,) whether there is one."""
    shrinks: NDArray[np.bool_]
    """(n,) whether there is one down."""


def _next_units(choices: Sequence[Choice]) -> _Units:
    size = np.array([len(choice.x) for choice in choices])
    x, y = np.concatenate([choice.x for choice in choices]), np.concatenate([choice.y for choice in choices])
    last = np.cumsum(size) - 1
    first = last - size + 1
    here = first + np.array([choice.at for choice in choices])
    above, below = np.minimum(here + 1, last), np.maximum(here - 1, first)
    up, down = y[above] - y[here], y[here] - y[below]
    return _Units(
        up=np.where(np.isnan(up), -np.inf, up),
        down=np.where(np.isnan(down), np.inf, down),
        step=x[above] - x[here],
        grows=here < last,
        shrinks=here > first,
    )


def _foremost(by: NDArray[np.float64], members: list[int]) -> list[int]:
    """Those of whom a pair can be among the MOST that differ most: of very many on one node, the first by their own
    step (one more, since nobody is its own partner); ties by name.
    """
    if len(members) <= MOST + 1:
        return members
    return [members[i] for i in np.argsort(by[members], kind="stable")[: MOST + 1].tolist()]


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


def _moves(candidate: _Candidate, curves: Mapping[str, Curve]) -> list[Move]:
    """The target's, and then the source's."""
    source, target = candidate.source, candidate.target
    moves = [move(curves[target.key], target.node, target.current, float(target.x[candidate.to]), target.cost)]
    if source:
        moves.append(
            move(curves[source.key], source.node, source.current, float(source.x[candidate.down]), source.cost)
        )
    return moves


def _opportunity(
    candidate: _Candidate, moves: Sequence[Move], worth: Worth, curves: Mapping[str, Curve],
    traits: Mapping[str, Traits], among: Pool,
) -> Opportunity:  # fmt: skip
    source, target = candidate.source, candidate.target
    grown = moves[0].to - target.current
    gives = source.current - moves[1].to if source else 0.0
    minutes = [traits[it.key].offline_minutes for it in moves]
    whence = f"{amount(source.resource, gives)} {source.resource} of {source.key}" if source else "free capacity"
    if source and source.resource == target.resource and grown > gives * (1 + SLACK):
        whence += " and free capacity"
    return Opportunity(
        node=target.node, resource=target.resource, source=source.key if source else None, target=target.key,
        amount=grown, source_amount=gives, gain=worth.gain, cost_usd=worth.cost_usd,
        confidence=worth.confidence, steps=len(moves), restarts=sum(1 for m in minutes if m > 0), offline_minutes=sum(minutes),
        reason=Reason.ALLOWED if worth.gain.expected > 0 else Reason.ALREADY_BEST,
        sentence=f"{amount(target.resource, grown)} {target.resource} more for {target.key} from {whence}: {worth.words()}",
        score=score(*saving(worth.gain.expected, [it.key for it in moves], curves, traits), among),
    )  # fmt: skip
