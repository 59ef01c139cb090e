"""Curves and limits -> the Plan: the page that composes this stage. On request also further plans, ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.estimate.readings import Why, known_allocation
from controller.model import Move, Plan, Reason
from controller.plan.opportunities import moves_of, opportunities, saving
from controller.plan.problem import build
from controller.plan.risk import Risk, risk_of, within
from controller.plan.score import pool, score
from controller.plan.solve import solve
from controller.plan.spread import rates
from controller.plan.strategy import strategy_of
from controller.plan.worth import trust, weigh, weigh_each

if TYPE_CHECKING:
    from controller.model import Curve, Opportunity, State
    from controller.plan.problem import Problem
    from controller.plan.score import Pool
    from controller.plan.solve import Solution
    from controller.plan.worth import Trust, Worth
    from exporters.traits import Traits


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    plan: Plan
    left_out: Mapping[str, Why]
    """key -> why a workload with a curve could not be planned on."""
    costs: Mapping[str, float]
    """key -> USD that a move of it costs."""
    worth: Worth
    """Of the plan's moves."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What every plan of one analysis is made from."""

    state: State
    curves: Mapping[str, Curve]
    pins: Mapping[str, Why]
    traits: Mapping[str, Traits]
    current: Mapping[str, float]
    """Of all that have a curve, sorted by key."""
    rate: float
    """USD per hour that the curves expect of the present split."""
    trust: Trust
    pool: Pool
    strategy: str
    note: str
    """What there is to say about the strategy."""
    risk: Risk | None


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One way to go, before it is weighed."""

    moves: tuple[Move, ...]
    solver: str
    why: str
    rounding_loss: float = 0.0
    gap: float = 0.0


def propose(
    state: State, curves: Mapping[str, Curve], pins: Mapping[str, Why], *, alternatives: int = 0, brief: bool = False
) -> Proposal:
    """The best plan within limits. `pins` keep what they have, and say why; whoever has no curve does too.

    `alternatives`: at most so many further plans that differ from it. `brief`: without the opportunities.
    """
    ground = _ground(state, curves, pins)
    built = build(state, curves, pins)
    best = _best(ground, built.problem)
    offered = replace(built.problem, choices=built.choices)
    ranked = () if brief else opportunities(offered, curves, ground.traits, ground.trust, ground.pool)
    costs = {choice.key: choice.cost for choice in built.problem.choices}
    worth = weigh(best.moves, curves, ground.trust)
    plan = replace(_plan(ground, best, worth), opportunities=ranked)
    if alternatives > 0:
        ranked = ranked or opportunities(offered, curves, ground.traits, ground.trust, ground.pool)
        others = [*_variants(ground, best), *_transfers(ground, ranked, costs)]
        plan = replace(plan, alternatives=_foremost(ground, plan, others)[:alternatives])
    return Proposal(plan=plan, left_out=built.left_out, costs=costs, worth=worth)


def _ground(state: State, curves: Mapping[str, Curve], pins: Mapping[str, Why]) -> _Ground:
    known = {w.key: has for w in state.workloads if w.key in curves and (has := known_allocation(w)) is not None}
    current = dict(sorted(known.items()))
    strategy, note = strategy_of(state.spec.objective)
    tolerance, risk = state.spec.objective.risk_tolerance, None
    if strategy == "RiskAware" and tolerance is not None:
        risk = risk_of(curves, current, tolerance)
        if risk is None:
            strategy, note = "Threshold", "strategy RiskAware is Threshold while no curve says how far it is open"
    return _Ground(
        state=state, curves=curves, pins=pins, traits={w.key: w.traits for w in state.workloads}, current=current,
        rate=sum(rates([curves[key] for key in current], list(current.values())).tolist()), trust=trust(state),
        pool=pool(curves, current), strategy=strategy, note=note, risk=risk,
    )  # fmt: skip


def _best(ground: _Ground, problem: Problem, said: str = "") -> _Found:
    """What the solver finds, within the tolerance where there is one."""
    solution: Solution = solve(problem, ground.state.spec.objective.solver)
    target: Sequence[int] = solution.target
    notes = [said, ground.note]
    if ground.risk is not None:
        target, kept = within(problem, solution.target, ground.risk)
        notes.append(f"RiskAware: {kept}")
    moves = tuple(
        Move(
            choice.key,
            choice.node,
            choice.resource,
            choice.current,
            float(choice.x[index]),
            float(choice.y[index] - choice.y[choice.at]),
            choice.cost,
        )
        for choice, index in zip(problem.choices, target, strict=True)
        if index != choice.at
    )
    return _Found(
        moves, solution.solver, "; ".join(filter(None, [solution.why, *notes])), solution.rounding_loss, solution.gap
    )


def _plan(ground: _Ground, found: _Found, worth: Worth) -> Plan:
    state, curves, moves = ground.state, ground.curves, found.moves
    saved = saving(worth.gain.expected, [each.key for each in moves], curves, ground.traits)
    return Plan(
        policy=state.policy, at=state.now, solver=found.solver, why=found.why,
        targets=dict(ground.current) | {each.key: each.to for each in moves}, current=ground.current, moves=moves,
        rate_now=ground.rate,
        gain=worth.gain if curves else None, cost_usd=worth.cost_usd, net_benefit_usd=worth.net_usd if curves else None,
        roi=worth.net_usd / worth.cost_usd if worth.cost_usd > 0 else None,
        confidence=worth.confidence if moves else None, gap=found.gap, rounding_loss=found.rounding_loss, opportunities=(),
        horizon=max((curves[each.key].horizon for each in moves), default=state.spec.objective.horizon),
        strategy=ground.strategy, score=score(*saved, ground.pool) if moves else None,
    )  # fmt: skip


# --- other plans --------------------------------------------------------------------------------------------------


def _variants(ground: _Ground, best: _Found) -> list[_Found]:
    """The plan at half the step, and the one without the mover of which it is least sure."""
    limits = ground.state.spec.limits
    half = limits.model_copy(update={"max_step_percent": limits.max_step_percent / 2})
    careful = replace(ground.state, spec=ground.state.spec.model_copy(update={"limits": half}))
    found = [_best(ground, build(careful, ground.curves, ground.pins).problem, "at half the step")]
    if len(best.moves) > 1:
        out, said = _least_sure(ground, best), "the plan does without the mover of which it is least sure"
        pins = {**ground.pins, out: (Reason.LOW_CONFIDENCE, said)}
        found.append(_best(ground, build(ground.state, ground.curves, pins).problem, f"without {out}, the least sure"))
    return found


def _least_sure(ground: _Ground, best: _Found) -> str:
    """The mover whose own gain is the least sure, a grow before a shrink (which earns nothing by itself); ties by name."""
    worths = weigh_each([[each] for each in best.moves], ground.curves, ground.trust)
    ranked = sorted(
        (not each.grows, worth.confidence, each.key) for each, worth in zip(best.moves, worths, strict=True)
    )
    return ranked[0][2]


def _transfers(ground: _Ground, ranked: Sequence[Opportunity], costs: Mapping[str, float]) -> list[_Found]:
    """Each transfer that earns by itself, of workloads that may move."""
    found = []
    for each in ranked:
        if each.reason is Reason.ALREADY_BEST or not ground.pins.keys().isdisjoint({each.target, each.source}):
            continue
        moves = moves_of(each, ground.curves, ground.current, costs)
        if ground.risk is None or ground.risk.bears(ground.risk.after(moves)):
            found.append(
                _Found(moves, "none", f"one transfer alone, {each.source or 'free capacity'} to {each.target}")
            )
    return found


def _foremost(ground: _Ground, best: Plan, others: Sequence[_Found]) -> tuple[Plan, ...]:
    """Those that differ from the best and from one another, by net benefit; of equal ones those that move less first."""
    plans = {tuple(best.targets.items()): best}
    for found in others:
        plan = _plan(ground, found, weigh(found.moves, ground.curves, ground.trust))
        if plan.moves and (plan.net_benefit_usd or 0.0) > 0:
            plans.setdefault(tuple(plan.targets.items()), plan)
    del plans[tuple(best.targets.items())]
    return tuple(sorted(plans.values(), key=lambda plan: (-(plan.net_benefit_usd or 0.0), len(plan.moves), plan.why)))
