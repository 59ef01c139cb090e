"""What would be decided if something were otherwise: other manifests, other prices of tokens, moves that are forced. Pure.

    State as it is ─────────────────────────────decide──▶ before
    State by the changed manifests ──repriced───decide──▶ after ──with_forced──▶ after, with what is forced

Readings and history stay those of now; money in tokens is counted again at the prices that are asked for. A forced move
is made whatever the guard says of it (its verdict is shown), and the rest is planned around it within limits; what
cannot be at all is Impossible, with the nearest that can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.decide import decide
from controller.estimate.words import amount
from controller.guard import guard
from controller.model import Decision, Interval, Move, Plan, Reason, State
from controller.plan.limits import SLACK, allowed, floor_of
from controller.plan.opportunities import move
from controller.plan.problem import Problem, build
from controller.plan.solve import solve
from controller.plan.standing import Standing, stand
from controller.plan.worth import Worth, weigh
from controller.report.alternatives import pins_of
from controller.report.whatif_prices import repriced

if TYPE_CHECKING:
    from controller.model import F64, Curve
    from controller.plan.problem import Choice


class Impossible(Exception):
    """`str()` says what cannot be, why, and what is nearest."""


@dataclass(frozen=True, slots=True, eq=False)
class Forced:
    """What the forced moves come to, with all that is planned around them."""

    values: Mapping[str, float]
    """key -> allocation."""
    gain: Interval
    """USD per hour against the present split."""
    confidence: float
    supposes: tuple[str, ...]
    against_best: float
    """USD per hour against the best plan with nothing forced; what forcing costs, so seldom above 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Of one policy."""

    before: Decision
    after: Decision
    forced: Forced | None
    notes: tuple[str, ...]
    """What could not be taken into account."""


def whatif(
    now: State, changed: State, prices: Mapping[str, float] | None = None, forced: Mapping[str, float] | None = None
) -> Outcome:
    """One policy as it is, and as it would be: `changed` is its State by other manifests, the same where nothing was set.

    `prices`: token -> USD. `forced`: key -> allocation in base units, of workloads of this policy. Raises Impossible.
    """
    restated, notes = repriced(carried(changed, now), prices or {})
    before, after = decide(now), decide(restated)
    if not forced:
        return Outcome(before, after, None, notes)
    best = after.plan.gain.expected if after.plan.gain else 0.0
    after, worth = with_forced(after, forced)
    against = worth.gain.expected - best
    return Outcome(
        before, after, Forced(dict(forced), worth.gain, worth.confidence, worth.supposes, against), notes
    )  # fmt: skip


def carried(changed: State, now: State) -> State:
    """With what is remembered of earlier changes, which manifests do not say."""
    known = {workload.key: workload for workload in now.workloads}
    workloads = tuple(
        replace(w, last_moved=known[w.key].last_moved, manual_change_at=known[w.key].manual_change_at)
        if w.key in known
        else w
        for w in changed.workloads
    )
    return replace(
        changed, workloads=workloads, programs_last_hour=now.programs_last_hour, last_program_at=now.last_program_at,
        paused=now.paused, blocked=now.blocked, learned=now.learned, rises=now.rises, memory=None,
    )  # fmt: skip


# --- forced moves -------------------------------------------------------------------------------------------------


def with_forced(decision: Decision, forced: Mapping[str, float]) -> tuple[Decision, Worth]:
    """The decision with these workloads at these allocations, and the best within limits for the others."""
    state, curves = decision.state, decision.curves
    standing = stand(state)
    for key, value in sorted(forced.items()):
        _check_alone(decision, standing, key, value)
    problem = _problem(decision)
    _check_room(decision, standing, problem, forced)
    moves = _moves(problem, _solved(problem, forced, state.spec.objective.solver), curves)
    missed = [key for key, value in sorted(forced.items()) if not _reached(moves, standing, key, value)]
    if missed:
        raise Impossible(f"{missed[0]} cannot have {_some(standing, missed[0], forced[missed[0]])} {_beside(state)}")
    worth = weigh(moves, curves, standing.trust)
    plan = _plan(decision.plan, moves, worth, curves)
    verdicts = guard(state, plan, curves, standing)
    refused = next((v for v in verdicts if not v.allowed and v.reason is not Reason.MODE_SUGGEST), None)
    reason = refused.reason if refused else verdicts[0].reason if verdicts else Reason.ALREADY_BEST
    words = ", ".join(f"{key} at {_some(standing, key, value)}" for key, value in sorted(forced.items()))
    sentence = f"forced: {words}: {worth.words(on=plan.rate_now)}"
    if refused:
        sentence += f"; by itself orcha would refuse: {refused.sentence}"
    return replace(decision, plan=plan, verdicts=verdicts, reason=reason, sentence=sentence), worth


def _beside(state: State) -> str:
    """What keeps it from that, and what would be possible: what a fleet asks for is not lifted by another policy."""
    own = "beside what the policy's constraints ask for; lift them with --set policy.NAME.constraints=[], or force less"
    if not state.parts:
        return own
    return own.replace(";", f" and this site's part of the fleet's {', '.join(sorted(set(state.parts.values())))};", 1)


def _check_alone(decision: Decision, standing: Standing, key: str, value: float) -> None:
    """Whether one workload may have so much at all, whatever the others have."""
    workload = standing.workloads[key]
    allocation, current = workload.allocation, standing.held.get(key)
    if allocation is None:
        raise Impossible(f"{key} declares no allocation: it is watched, never moved")
    if key not in decision.curves or current is None:
        why = decision.not_considered.get(key)
        said = f" ({why[0]}: {why[1]})" if why else ""
        raise Impossible(f"what {key} would earn is not known{said}, so nobody can say what a move of it is worth")
    resource, least = allocation.resource, max(allocation.min, workload.traits.min_allocation)
    if not least * (1 - SLACK) <= value <= allocation.max * (1 + SLACK):
        near = least if value < least else allocation.max
        bounds = f"{amount(resource, least)} to {amount(resource, allocation.max)} {resource} are allowed"
        raise Impossible(
            f"{key} cannot have {amount(resource, value)}: {bounds}; the nearest is {amount(resource, near)}"
        )
    floor = floor_of(workload, current, decision.state.now, decision.state.spec.limits)
    points = _points(decision.state, standing, key)
    nearest = points[np.argsort(np.abs(points - value), kind="stable")]
    if value < min(floor, current) * (1 - SLACK):
        used = f"it uses {amount(resource, floor)} {resource} that cannot be taken back"
        raise Impossible(
            f"{key} cannot have {amount(resource, value)}: {used}; the nearest is {amount(resource, float(points[0]))}"
        )
    if abs(float(nearest[0]) - value) > SLACK * max(abs(value), allocation.step):
        grid = f"{amount(resource, allocation.min)} + k x {amount(resource, allocation.step)}"
        near_words = " or ".join(amount(resource, float(x)) for x in sorted(nearest[:2].tolist()))
        raise Impossible(
            f"{key} cannot have {amount(resource, value)}: it is off its step grid ({grid}); write {near_words}"
        )


def _points(state: State, standing: Standing, key: str) -> F64:
    """Everything that one workload may ever have, ascending, however far a single program may go."""
    workload = standing.workloads[key]
    current, allocation = standing.held[key], workload.allocation
    if current is None or allocation is None:
        return np.zeros(0)
    low = max(
        allocation.min,
        workload.traits.min_allocation,
        min(current, floor_of(workload, current, state.now, state.spec.limits)),
    )
    return allowed(workload, low, max(allocation.max, current), current)


def _problem(decision: Decision) -> Problem:
    """What judge solves: who may not move, and who would only be shown beside others that act, keeps what it has."""
    return build(decision.state, decision.curves, pins_of(decision)).problem


def _check_room(decision: Decision, standing: Standing, problem: Problem, forced: Mapping[str, float]) -> None:
    """Whether the others can make room in one program, all of them at the least that they may have."""
    planned = {choice.key for choice in problem.choices}
    for key in sorted(forced):
        if key not in planned:
            why = decision.not_considered.get(key, (Reason.INFEASIBLE, "it cannot be planned on"))
            raise Impossible(f"{key} cannot be planned on: {why[1]}")
        if not (place := _overfull(problem, forced, key)):
            continue
        points = _points(decision.state, standing, key)
        fitting = [float(x) for x in points if not _overfull(problem, {**forced, key: float(x)}, key)]
        near = min(fitting, key=lambda x: abs(x - forced[key]), default=None)
        nearest = "" if near is None else f"; the nearest is {_some(standing, key, near)}"
        raise Impossible(f"{key} cannot have {_some(standing, key, forced[key])}: {place}{nearest}")


def _overfull(problem: Problem, forced: Mapping[str, float], key: str) -> str:
    """Which capacity that this workload needs does not suffice, in words; "" where all do."""
    lowest = np.array([_lowest(choice, forced) for choice in problem.choices])
    for row in problem.rows:
        if row.place is None or key not in {problem.choices[i].key for i in row.index.tolist()}:
            continue
        used = row.used(lowest)
        if used > row.limit * (1 + SLACK) + 1e-12:
            node, resource = row.place
            has = f"{node} has {amount(resource, row.limit)} {resource} for what is planned on"
            return f"{has}, and with the least that the others may have after one program it would take {amount(resource, used)}"
    return ""


def _lowest(choice: Choice, forced: Mapping[str, float]) -> float:
    if choice.key in forced:
        return forced[choice.key]
    return choice.current if choice.pinned else float(choice.x[0])


def _solved(problem: Problem, forced: Mapping[str, float], solver: str) -> F64:
    """(n,) the allocations that earn most beside what is forced: to have that is worth more than everything else together."""
    prize = 1e3 * (1.0 + sum(float(np.abs(choice.y).max()) + choice.cost for choice in problem.choices))
    choices = tuple(
        _prized(choice, forced[choice.key], prize) if choice.key in forced else choice for choice in problem.choices
    )
    solution = solve(replace(problem, choices=choices), solver)
    return np.array([float(choice.x[i]) for choice, i in zip(choices, solution.target, strict=True)])


def _prized(choice: Choice, value: float, prize: float) -> Choice:
    if abs(value - choice.current) <= SLACK * max(abs(value), abs(choice.current)):
        return replace(choice, pinned=True)
    x, y = np.array([choice.current, value]), np.array([0.0, prize])
    order = np.argsort(x)
    return replace(choice, x=x[order], y=y[order], at=int(order[0]), pinned=False, cost=0.0)


def _moves(problem: Problem, x: F64, curves: Mapping[str, Curve]) -> list[Move]:
    return [
        move(curves[choice.key], choice.node, choice.current, float(to), choice.cost)
        for choice, to in zip(problem.choices, x, strict=True)
        if abs(to - choice.current) > SLACK * max(abs(to), abs(choice.current))
    ]


def _reached(moves: Sequence[Move], standing: Standing, key: str, value: float) -> bool:
    has = next((m.to for m in moves if m.key == key), standing.held.get(key))
    return has is not None and abs(has - value) <= SLACK * max(abs(value), abs(has), 1e-300)


def _plan(best: Plan, moves: Sequence[Move], worth: Worth, curves: Mapping[str, Curve]) -> Plan:
    return replace(
        best, targets={**best.current, **{m.key: m.to for m in moves}}, moves=tuple(moves), gain=worth.gain,
        cost_usd=worth.cost_usd, net_benefit_usd=worth.net_usd,
        roi=worth.net_usd / worth.cost_usd if worth.cost_usd > 0 else None,
        confidence=worth.confidence if moves else None, score=None, alternatives=(),
        horizon=max((curves[m.key].horizon for m in moves), default=best.horizon),
        why=f"{best.why}; planned around what is forced",
    )  # fmt: skip


def _some(standing: Standing, key: str, value: float) -> str:
    allocation = standing.workloads[key].allocation
    return f"{amount(allocation.resource, value)} {allocation.resource}" if allocation else f"{value:g}"
