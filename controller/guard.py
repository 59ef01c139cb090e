"""GUARD. A Plan and the State as it is now -> one Verdict for each Move, with its Reason and one sentence.

Fails closed: whatever is unknown, old or odd refuses. Called when a plan is made and again, on fresh state, just
before acting. The checks, in this order; the first that fails is the reason:

    everything    Paused, ModeOff, CircuitOpen, Blocked, FreezeWindow, RateLimit        (plan/standing.py)
    a workload    ModeOff, Disconnected, Stale, Unhealthy, UnknownAllocation, Unpriced, NoHistory, OtherController,
                  ManualChange, Protected, Hold                                         (plan/standing.py)
    a move        Infeasible (no such workload), Stale (made for another allocation), Bounds, DirectionFrozen,
                  StepLimit, Irreversible
    its group     UnknownAllocation, Capacity, CompanionRefused
    its worth     NoHistory, LowGain, NoPayback, LowConfidence
    all together  Infeasible (constraints)
    at last       ModeSuggest, or Allowed

A group is the moves of one node that share a resource: they stand or fall by what they free for one another. If one
is refused, those that need its room are refused too, and so are shrinks that then free room for nobody; what remains
is weighed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from controller.estimate.readings import Why, known_allocation
from controller.estimate.words import amount, money, odds
from controller.model import Reason, Verdict
from controller.plan.feasible import broken, shortfalls, tallied
from controller.plan.limits import SLACK, floor_of, needs, step_limit
from controller.plan.standing import mode_of, stand
from controller.plan.worth import weigh
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.model import Curve, Move, NodeState, Plan, State, WorkloadState
    from controller.plan.feasible import Tallies
    from controller.plan.standing import Standing
    from controller.plan.worth import Worth
    from exporters.nodes import Allocation

PAYBACK_MARGIN: Final = 1.1
"""The gain over the horizon must exceed the cost by this factor (economics.md 5, Threshold)."""


def guard(
    state: State, plan: Plan, curves: Mapping[str, Curve], standing: Standing | None = None
) -> tuple[Verdict, ...]:
    """One Verdict for each of the plan's moves, in their order."""
    standing = standing or stand(state)
    refused: dict[str, Why] = {}
    for move in plan.moves:
        if why := standing.overall or standing.workload.get(move.key) or _of_move(state, standing, move):
            refused[move.key] = why
    said: dict[str, str] = {}
    groups = _groups(standing, plan.moves)
    for group in groups:
        _judge(state, standing, group, curves, refused, said)
    _constrained(state, standing, groups, curves, refused, said)
    for group in groups:
        if _show_only(state, standing, group, refused, said):
            _judge(state, standing, group, curves, refused, said)
    _constrained(state, standing, groups, curves, refused, said)
    return tuple(_verdict(move, refused, said) for move in plan.moves)


def _show_only(
    state: State, standing: Standing, group: list[Move], refused: dict[str, Why], said: Mapping[str, str]
) -> bool:
    """Refuse what mode Suggest only shows; whether others of the group may act, who then must do without it."""
    good = [move for move in group if move.key not in refused]
    shown = [move for move in good if mode_of(state, standing.workloads[move.key]) == "Suggest"]
    for move in shown:
        refused[move.key] = (Reason.MODE_SUGGEST, f"{_change(move)}: {said[move.key]}; mode Suggest only shows it")
    return 0 < len(shown) < len(good)


def _constrained(
    state: State, standing: Standing, groups: Sequence[list[Move]], curves: Mapping[str, Curve],
    refused: dict[str, Why], said: dict[str, str],
) -> None:  # fmt: skip
    """Refuse, the least earning first, what together breaks one of the policy's constraints further than it is now.

    Over all groups at once: what one node gives up may be what lets another grow, and what two may do alone they may
    not do both.
    """
    while standing.counted and (found := _breach(state, standing, groups, refused)):
        why, dropped = found
        refused.update({move.key: why for move, _ in dropped})
        for group in {id(group): group for _, group in dropped}.values():
            _judge(state, standing, group, curves, refused, said)


def _breach(
    state: State, standing: Standing, groups: Sequence[list[Move]], refused: Mapping[str, Why]
) -> tuple[Why, list[tuple[Move, list[Move]]]] | None:
    """The first constraint that the moves left would break further, and the moves, with their groups, to do without."""
    kept = [(move, group) for group in groups for move in group if move.key not in refused]
    before = broken(state, standing.counted)
    after = tallied(state, standing.counted, [_change_of(standing, move) for move, _ in kept])
    for place, by in sorted(broken(state, after).items()):
        bearable = before.get(place, 0.0) * (1 + SLACK)
        if by <= bearable:
            continue
        worse = [
            (move, group)
            for move, group in kept
            if move.resource == place[1] and broken(state, _without(state, standing, after, move)).get(place, 0.0) < by
        ]
        worse.sort(key=lambda pair: (not pair[0].grows, pair[0].gain_usd_per_hour, pair[0].key))
        counted, dropped = after, 0
        while dropped < len(worse) and broken(state, counted).get(place, 0.0) > bearable:
            counted = _without(state, standing, counted, worse[dropped][0])
            dropped += 1
        if dropped:
            words = f"constraint {place[0]} of {place[1]} would be broken by {_shown(place[1], by)}"
            return (Reason.INFEASIBLE, words), worse[:dropped]
    return None


def _without(state: State, standing: Standing, counted: Tallies, move: Move) -> Tallies:
    workload, from_, to = _change_of(standing, move)
    return tallied(state, counted, [(workload, to, from_)])


def _change_of(standing: Standing, move: Move) -> tuple[WorkloadState, float, float]:
    return standing.workloads[move.key], move.from_, move.to


# --- one move -----------------------------------------------------------------------------------------------------


def _of_move(state: State, standing: Standing, move: Move) -> Why | None:
    workload, node = standing.workloads.get(move.key), standing.nodes.get(move.node)
    if workload is None or node is None or workload.node != move.node:
        return Reason.INFEASIBLE, f"{move.key} is not (any more) a workload of {move.node} under policy {state.policy}"
    allocation = workload.allocation
    if allocation is None or allocation.resource != move.resource:
        return Reason.BOUNDS, f"{move.key} declares no allocation of {move.resource}"
    if not _same(known_allocation(workload), move.from_):
        has = _shown(move.resource, known_allocation(workload))
        return (
            Reason.STALE,
            f"the plan was made when {move.key} had {_shown(move.resource, move.from_)} {move.resource}; it has {has}",
        )
    return _bounds(workload, allocation, move) or _direction(allocation, move) or _distance(state, node, workload, move)


def _bounds(workload: WorkloadState, allocation: Allocation, move: Move) -> Why | None:
    least = max(allocation.min, workload.traits.min_allocation)
    steps = (move.to - allocation.min) / allocation.step
    tolerance = 1e-6
    if math.isfinite(move.to) and least * (1 - SLACK) <= move.to <= allocation.max * (1 + SLACK):
        if abs(steps - round(steps)) <= tolerance:
            return None
        grid = f"min {_shown(move.resource, allocation.min)} + k x {_shown(move.resource, allocation.step)}"
        return (
            Reason.BOUNDS,
            f"{move.key} to {_shown(move.resource, move.to)} {move.resource} is off its step grid ({grid})",
        )
    low, high = _shown(move.resource, least), _shown(move.resource, allocation.max)
    return Reason.BOUNDS, f"{move.key} to {_shown(move.resource, move.to)} {move.resource} is outside {low} to {high}"


def _direction(allocation: Allocation, move: Move) -> Why | None:
    if allocation.freeze == ("grow" if move.grows else "shrink"):
        return (
            Reason.DIRECTION_FROZEN,
            f"{move.key} may not {allocation.freeze}: its manifest says freeze: {allocation.freeze}",
        )
    return None


def _distance(state: State, node: NodeState, workload: WorkloadState, move: Move) -> Why | None:
    limits, allocation = state.spec.limits, workload.allocation
    most = step_limit(allocation, node, limits) if allocation else 0.0
    if not abs(move.to - move.from_) <= most * (1 + SLACK):
        shown, allowed = _shown(move.resource, abs(move.to - move.from_)), _shown(move.resource, most)
        percent = f"{limits.max_step_percent:g} % of {node.name}, or one step"
        return (
            Reason.STEP_LIMIT,
            f"{move.key} by {shown} {move.resource} is more than the {allowed} allowed at once ({percent})",
        )
    floor = floor_of(workload, move.from_, state.now, limits)
    if not move.grows and not move.to >= floor * (1 - SLACK):
        has = _shown(move.resource, floor)
        return (
            Reason.IRREVERSIBLE,
            f"{move.key} uses {has} {move.resource} that cannot be taken back; it may not shrink to {_shown(move.resource, move.to)}",
        )
    return None


# --- a group ------------------------------------------------------------------------------------------------------


def _groups(standing: Standing, moves: Sequence[Move]) -> list[list[Move]]:
    """Moves of one node that share a resource, in the order of their first; within a group in the plan's order."""
    group_at: dict[tuple[str, str], tuple[set[tuple[str, str]], list[int]]] = {}
    for i, move in enumerate(moves):
        workload = standing.workloads.get(move.key)
        allocation = workload.allocation if workload else None
        places = {(move.node, resource) for resource in (needs(allocation) if allocation else [move.resource])}
        joined = list({id(group): group for place in places if (group := group_at.get(place))}.values())
        group = (places.union(*(g[0] for g in joined)), [i, *(k for g in joined for k in g[1])])
        group_at |= dict.fromkeys(group[0], group)
    groups = {min(group[1]): group[1] for group in group_at.values()}
    return [[moves[i] for i in sorted(groups[first])] for first in sorted(groups)]


def _judge(
    state: State, standing: Standing, group: list[Move], curves: Mapping[str, Curve],
    refused: dict[str, Why], said: dict[str, str],
) -> None:  # fmt: skip
    """Fill in the refusals of one group: capacity, companions, worth."""
    kept = [move for move in group if move.key not in refused]
    culprit = next((move for move in group if move.key in refused), None)
    kept = _fitting(standing, kept, culprit, refused)
    if not kept:
        return
    if missing := sorted(move.key for move in kept if move.key not in curves):
        why: Why | None = (Reason.NO_HISTORY, f"there is no curve for {missing[0]}")
    else:
        worth = weigh(kept, curves)
        why = _unworthy(state, standing, kept, curves, worth)
        said.update({move.key: worth.words() for move in kept})
    if why:
        refused.update({move.key: why for move in kept})


def _fitting(standing: Standing, kept: list[Move], culprit: Move | None, refused: dict[str, Why]) -> list[Move]:
    """Drop what has no room, and then shrinks that make room for nobody."""
    for move in list(kept):
        if who := _untold(standing, move):
            refused[move.key] = (
                Reason.UNKNOWN_ALLOCATION,
                f"how much {move.resource} {who} holds on {move.node} is not known",
            )
            kept.remove(move)
            culprit = move
    while kept and (why := _misfit(standing, kept, culprit)):
        growing = [move for move in kept if move.grows] or kept
        least = min(growing, key=lambda move: (move.gain_usd_per_hour, move.key))
        refused[least.key] = why
        kept.remove(least)
        culprit = culprit or least
    return _needed(standing, kept, culprit, refused) if culprit else kept


def _untold(standing: Standing, move: Move) -> str | None:
    """Who does not say how much it holds of what this move changes; shrinking is no safer, for nobody knows what it frees."""
    workload = standing.workloads[move.key]
    for resource in sorted(needs(workload.allocation)) if workload.allocation else ():
        if who := standing.unknown.get((move.node, resource)):
            return who
    return None


def _misfit(standing: Standing, kept: list[Move], culprit: Move | None) -> Why | None:
    """Why these moves together may not stand: more held than there is."""
    moved = {move.key: move.to for move in kept}
    for node in sorted({move.node for move in kept}):
        held = {w.key: moved.get(w.key, standing.held.get(w.key)) for w in standing.on_node[node]}
        over = shortfalls(standing.nodes[node], standing.on_node[node], held)
        if not over:
            continue
        resource, (holds, has) = min(over.items())
        numbers = f"{_shown(resource, holds)} of {_shown(resource, has)} {resource} would be held on {node}"
        if culprit is not None:
            return Reason.COMPANION_REFUSED, f"{numbers} without the move of {culprit.key}, which was refused"
        return Reason.CAPACITY, numbers
    return None


def _needed(standing: Standing, kept: list[Move], culprit: Move, refused: dict[str, Why]) -> list[Move]:
    """Without the shrinks that cost earnings and whose room nobody takes any more."""
    for move in sorted(kept, key=lambda move: (move.gain_usd_per_hour, move.key)):
        rest = [other for other in kept if other is not move]
        if not move.grows and move.gain_usd_per_hour <= 0 and not _misfit(standing, rest, culprit):
            refused[move.key] = (
                Reason.COMPANION_REFUSED,
                f"{move.key} would make room for {culprit.key}, whose move was refused",
            )
            kept = rest
    return kept


# --- worth --------------------------------------------------------------------------------------------------------


def _unworthy(
    state: State, standing: Standing, kept: list[Move], curves: Mapping[str, Curve], worth: Worth
) -> Why | None:
    limits, gain = state.spec.limits, worth.gain.expected
    rate = _node_rate(standing, kept[0].node, curves)
    least = max(limits.min_improvement.percent / 100 * max(rate, 0.0), limits.min_improvement.usd_per_hour)
    if not (gain > 0 and gain >= least):
        asked = f"{limits.min_improvement.percent:g} % of the {money(rate)} USD/h of {kept[0].node}"
        if least == limits.min_improvement.usd_per_hour > 0:
            asked = "minImprovement.usdPerHour"
        bring = f"less than the {money(least)} that a change must bring ({asked})" if gain > 0 else "no gain"
        return Reason.LOW_GAIN, f"{money(gain, signed=True)} USD/h is {bring}"
    if not worth.net_usd + worth.cost_usd > worth.cost_usd * PAYBACK_MARGIN:
        horizons = sorted({curves[move.key].horizon for move in kept})
        hours = format_duration(horizons[-1])
        if len(horizons) > 1:
            hours = f"{format_duration(horizons[0])} to {hours}, each workload over its own horizon,"
        return (
            Reason.NO_PAYBACK,
            f"it would earn {money(worth.net_usd + worth.cost_usd)} USD within {hours} and cost {money(worth.cost_usd)} to move",
        )
    if not worth.confidence >= limits.min_confidence:
        return (
            Reason.LOW_CONFIDENCE,
            f"{odds(worth.confidence)} sure that it pays, of {limits.min_confidence:.0%} asked for ({worth.words()})",
        )
    return None


def _node_rate(standing: Standing, node: str, curves: Mapping[str, Curve]) -> float:
    """USD per hour that the whole node earns: as its curves expect, or, for those without one, as it was last read."""
    total = 0.0
    for workload in standing.on_node.get(node, ()):
        has, reading = standing.held.get(workload.key), workload.last_good
        if workload.key in curves and has is not None:
            total += curves[workload.key].at(has)
        elif reading is not None and reading.net_usd_per_hour is not None and math.isfinite(reading.net_usd_per_hour):
            total += reading.net_usd_per_hour
    return total


def _verdict(move: Move, refused: Mapping[str, Why], said: Mapping[str, str]) -> Verdict:
    if why := refused.get(move.key):
        return Verdict(move, allowed=False, reason=why[0], sentence=why[1])
    return Verdict(move, allowed=True, reason=Reason.ALLOWED, sentence=f"{_change(move)}: {said[move.key]}")


def _change(move: Move) -> str:
    return f"{move.key} {_shown(move.resource, move.from_)} → {_shown(move.resource, move.to)} {move.resource}"


def _same(a: float | None, b: float) -> bool:
    return a is not None and abs(a - b) <= 1e-6 * max(abs(a), abs(b))


def _shown(resource: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "an unknown amount of"
    return amount(resource, value)
