"""GUARD. A Plan and the State as it is now -> one Verdict for each Move, with its Reason and one sentence.

Fails closed: whatever is unknown, old or odd refuses. Called when a plan is made and again, on fresh state, just
before acting. The checks, in this order; the first that fails is the reason:

    everything    Paused, ModeOff, CircuitOpen, Blocked, FreezeWindow, RateLimit        (plan/standing.py)
    a workload    ModeOff, ProgramRunning, Disconnected, Stale, Unhealthy, UnknownAllocation, Unpriced, NoHistory, OtherController,
                  ManualChange, Protected, Hold, Infeasible                             (plan/standing.py)
    a move        Infeasible (no such workload), Stale (made for another allocation), Bounds, DirectionFrozen,
                  StepLimit, Irreversible
    its group     UnknownAllocation, Capacity, CompanionRefused
    its worth     NoHistory, LowGain, NoPayback, LowConfidence, RisePending               (plan/strategy.py)
    all together  Infeasible (what the fleet lets begin, constraints, riskTolerance)
    at last       ModeSuggest, or Allowed

A group is the moves of one node that share a resource: they stand or fall by what they free for one another. If one
is refused, those that need its room are refused too, and so are shrinks that then free room for nobody; what remains
is weighed again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.estimate.readings import Why
from controller.estimate.words import money
from controller.model import Reason, Verdict
from controller.plan.feasible import broken, shortfalls, tallied
from controller.plan.limits import SLACK, is_lasting, needs
from controller.plan.moving import refuse, shown
from controller.plan.risk import deviation, risk_of
from controller.plan.spread import rates
from controller.plan.standing import last_rate, mode_of, stand
from controller.plan.strategy import strategy_of, unworthy
from controller.plan.worth import weigh_each

if TYPE_CHECKING:
    from controller.model import Curve, Move, Plan, State, WorkloadState
    from controller.plan.feasible import Breach, Tallies
    from controller.plan.risk import Risk
    from controller.plan.standing import Standing
    from controller.plan.worth import Worth


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What every plan of one analysis is judged from."""

    state: State
    standing: Standing
    curves: Mapping[str, Curve]
    risk: Risk | None
    """RiskAware: what the total's deviation may come to."""
    earns: Mapping[str, float]
    """node -> USD per hour."""
    weighed: dict[tuple[Move, ...], Worth] = field(default_factory=dict)
    """Worths that are known already."""


@dataclass(frozen=True, slots=True, eq=False)
class _Findings:
    """What is said of the moves of one plan, by key."""

    refused: dict[str, Why] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """What they are worth."""


def guard(
    state: State, plan: Plan, curves: Mapping[str, Curve], standing: Standing | None = None
) -> tuple[Verdict, ...]:
    """One Verdict for each of the plan's moves, in their order."""
    return _judged(_bench(state, standing or stand(state), curves, plan.moves), plan.moves)


def guard_each(
    state: State, sets: Sequence[tuple[Move, ...]], curves: Mapping[str, Curve], standing: Standing
) -> list[tuple[Verdict, ...]]:
    """The Verdicts on each of several sets of moves, as if it were proposed alone."""
    bench = _bench(state, standing, curves, [move for moves in sets for move in moves])
    known = [moves for moves in sets if all(move.key in curves for move in moves)]
    bench.weighed.update(zip(known, weigh_each(known, curves, standing.trust), strict=True))
    return [_judged(bench, moves) for moves in sets]


def _bench(state: State, standing: Standing, curves: Mapping[str, Curve], moves: Sequence[Move]) -> _Bench:
    objective = state.spec.objective
    risk = None
    if strategy_of(objective)[0] == "RiskAware" and objective.risk_tolerance is not None:
        held = {key: has for key, has in standing.held.items() if has is not None}
        risk = risk_of(curves, held, objective.risk_tolerance)
    return _Bench(state, standing, curves, risk, _node_rates(standing, curves, {move.node for move in moves}))


def _judged(bench: _Bench, moves: Sequence[Move]) -> tuple[Verdict, ...]:
    state, standing = bench.state, bench.standing
    findings = _Findings()
    for move in moves:
        if why := standing.overall or standing.workload.get(move.key) or refuse(state, standing, move):
            findings.refused[move.key] = why
    groups = _groups(standing, moves)
    _judge(bench, groups, findings)
    _together(bench, groups, findings)
    _judge(bench, [group for group in groups if _show_only(bench, group, findings)], findings)
    _together(bench, groups, findings)
    return tuple(_verdict(move, findings.refused, findings.said) for move in moves)


def _show_only(bench: _Bench, group: list[Move], findings: _Findings) -> bool:
    """Refuse what mode Suggest only shows; whether others of the group may act, who then must do without it."""
    state, refused = bench.state, findings.refused
    good = [move for move in group if move.key not in refused]
    shown = [move for move in good if mode_of(state, bench.standing.workloads[move.key]) == "Suggest"]
    shows = "mode Suggest only shows it"
    if state.spec.mode not in {"Off", "Suggest"} and any(
        bench.standing.workloads[move.key].driver == "none" for move in shown
    ):
        shows = "no actuator is declared for it, so it is only shown"
    if state.learned.fallback is not None and state.spec.mode not in {"Off", "Suggest"}:
        shows = f"policy {state.policy} only suggests for now: {state.learned.fallback}"
    for move in shown:
        refused[move.key] = (Reason.MODE_SUGGEST, f"{_change(move)}: {findings.said[move.key]}; {shows}")
    return 0 < len(shown) < len(good)


# --- all together -------------------------------------------------------------------------------------------------


def _together(bench: _Bench, groups: Sequence[list[Move]], findings: _Findings) -> None:
    """What speaks against all of them together: fewer at a time first, since that may take companions out that a constraint
    counts on.
    """
    _permitted(bench, groups, findings)
    _constrained(bench, groups, findings)
    _risked(bench, groups, findings)


def _permitted(bench: _Bench, groups: Sequence[list[Move]], findings: _Findings) -> None:
    """Refuse, the least earning first, the moves that cannot be taken back beyond those that may begin now."""
    permits = bench.state.permits
    while permits is not None:
        those = [(m, group) for group in groups for m in group if m.key not in findings.refused and _lasts(bench, m)]
        if len(those) <= permits:
            return
        why = f"of moves that cannot be taken back the fleet's limit (irreversibleAtOnce) lets {permits} begin here now"
        move, group = min(those, key=lambda pair: (pair[0].gain_usd_per_hour, pair[0].key))
        findings.refused[move.key] = (Reason.INFEASIBLE, f"{why}; the plan has {len(those)}")
        _judge(bench, [group], findings)


def _lasts(bench: _Bench, move: Move) -> bool:
    """Whether it is one of those; what is only shown never begins."""
    workload = bench.standing.workloads[move.key]
    return is_lasting(workload, grows=move.grows) and mode_of(bench.state, workload) != "Suggest"


def _constrained(bench: _Bench, groups: Sequence[list[Move]], findings: _Findings) -> None:
    """Refuse, the least earning first, what together breaks one of the policy's constraints further than it is now.

    Over all groups at once: what one node gives up may be what lets another grow, and what two may do alone they may
    not do both.
    """
    while bench.standing.counted and (found := _breach(bench.state, bench.standing, groups, findings.refused)):
        why, dropped = found
        findings.refused.update({move.key: why for move, _ in dropped})
        _judge(bench, list({id(group): group for _, group in dropped}.values()), findings)


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
            half_way = " half way" if state.spec.constraints[place[2]].throughout else ""
            words = f"{_named(state, place)} would be broken by {shown(place[1], by)}{half_way}"
            return (Reason.INFEASIBLE, words), worse[:dropped]
    return None


def _named(state: State, place: Breach) -> str:
    """Which constraint, and whose: what a policy does not declare its owner finds under its name in the Fleet."""
    part = f", this site's part of the fleet's limit {limit}," if (limit := state.parts.get(place[2])) else ""
    return f"constraint {place[0]} of {place[1]}{part}"


def _without(state: State, standing: Standing, counted: Tallies, move: Move) -> Tallies:
    return tallied(state, counted, [_change_of(standing, move)], -1)


def _change_of(standing: Standing, move: Move) -> tuple[WorkloadState, float, float]:
    return standing.workloads[move.key], move.from_, move.to


def _risked(bench: _Bench, groups: Sequence[list[Move]], findings: _Findings) -> None:
    """RiskAware: refuse, the one that adds most first, the groups that take the total's deviation out of its tolerance,
    or, where it is out already, higher than it is.
    """
    risk = bench.risk
    if risk is None:
        return
    kept = [those for group in groups if (those := [move for move in group if move.key not in findings.refused])]
    changes = [risk.change(moves) for moves in kept]
    while kept and not risk.bears(after := deviation(total := sum(changes, risk.total))):
        dropped = min(range(len(kept)), key=lambda i: deviation(total - changes[i]))
        has, may = money(after, 3), money(risk.tolerance, 3)
        why = f"the total rate would have a standard deviation of {has} USD/h; riskTolerance is {may}"
        findings.refused.update({move.key: (Reason.INFEASIBLE, why) for move in kept.pop(dropped)})
        changes.pop(dropped)


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


def _judge(bench: _Bench, groups: Sequence[list[Move]], findings: _Findings) -> None:
    """Fill in the refusals of some groups: capacity, companions, worth."""
    refused = findings.refused
    left = []
    for group in groups:
        kept = [move for move in group if move.key not in refused]
        culprit = next((move for move in group if move.key in refused), None)
        if not (kept := _fitting(bench.standing, kept, culprit, refused)):
            continue
        if missing := sorted(move.key for move in kept if move.key not in bench.curves):
            why = (Reason.NO_HISTORY, f"there is no curve for {missing[0]}")
            refused.update({move.key: why for move in kept})
        else:
            left.append(tuple(kept))
    unknown = [moves for moves in left if moves not in bench.weighed]
    weighed = bench.weighed | dict(zip(unknown, weigh_each(unknown, bench.curves, bench.standing.trust), strict=True))
    for moves in left:
        worth = weighed[moves]
        findings.said.update(dict.fromkeys((move.key for move in moves), worth.words()))
        if unworth := unworthy(bench.state, moves, bench.curves, worth, bench.earns[moves[0].node]):
            refused.update({move.key: unworth for move in moves})


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
        numbers = f"{shown(resource, holds)} of {shown(resource, has)} {resource} would be held on {node}"
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


def _node_rates(standing: Standing, curves: Mapping[str, Curve], nodes: Collection[str]) -> dict[str, float]:
    """USD per hour that each whole node earns: as its curves expect, or, for those without one, as it was last read."""
    on_node = {node: standing.on_node.get(node, ()) for node in sorted(nodes)}
    held = {w.key: standing.held.get(w.key) for workloads in on_node.values() for w in workloads}
    known = {key: has for key, has in held.items() if has is not None and key in curves}
    expected = rates([curves[key] for key in known], list(known.values())).tolist()
    by_key = dict(zip(known, expected, strict=True))
    return {
        node: sum(by_key[w.key] if w.key in by_key else last_rate(w) for w in workloads)
        for node, workloads in on_node.items()
    }


def _verdict(move: Move, refused: Mapping[str, Why], said: Mapping[str, str]) -> Verdict:
    if why := refused.get(move.key):
        return Verdict(move, allowed=False, reason=why[0], sentence=why[1])
    return Verdict(move, allowed=True, reason=Reason.ALLOWED, sentence=f"{_change(move)}: {said[move.key]}")


def _change(move: Move) -> str:
    return f"{move.key} {shown(move.resource, move.from_)} → {shown(move.resource, move.to)} {move.resource}"
