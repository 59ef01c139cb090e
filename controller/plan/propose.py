"""Curves and limits -> the Plan: the page that composes this stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.estimate.readings import Why, known_allocation
from controller.model import Plan
from controller.plan.opportunities import move, opportunities
from controller.plan.problem import Problem, build
from controller.plan.solve import solve
from controller.plan.worth import weigh

if TYPE_CHECKING:
    from controller.model import Curve, Opportunity, State
    from controller.plan.solve import Solution


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    plan: Plan
    left_out: Mapping[str, Why]
    """key -> why a workload with a curve could not be planned on."""
    costs: Mapping[str, float]
    """key -> USD that a move of it costs."""


def propose(state: State, curves: Mapping[str, Curve], pins: Mapping[str, Why]) -> Proposal:
    """The best plan within limits. `pins` keep what they have, and say why; whoever has no curve does too."""
    built = build(state, curves, pins)
    problem = built.problem
    solution = solve(problem, state.spec.objective.solver)
    traits = {workload.key: workload.traits for workload in state.workloads}
    return Proposal(
        plan=_plan(state, curves, problem, solution, opportunities(problem, curves, traits)),
        left_out=built.left_out,
        costs={choice.key: choice.cost for choice in problem.choices},
    )


def _plan(
    state: State, curves: Mapping[str, Curve], problem: Problem, solution: Solution, ranked: tuple[Opportunity, ...]
) -> Plan:
    current = {w.key: has for w in state.workloads if w.key in curves and (has := known_allocation(w)) is not None}
    targets = dict(current)
    moves = []
    for choice, index in zip(problem.choices, solution.target, strict=True):
        if index != choice.at:
            targets[choice.key] = float(choice.x[index])
            moves.append(move(curves[choice.key], choice.node, choice.current, targets[choice.key], choice.cost))
    worth = weigh(moves, curves)
    return Plan(
        policy=state.policy, at=state.now, solver=solution.solver, why=solution.why,
        targets=dict(sorted(targets.items())), current=dict(sorted(current.items())), moves=tuple(moves),
        rate_now=sum(curves[key].at(has) for key, has in sorted(current.items())),
        gain=worth.gain if curves else None, cost_usd=worth.cost_usd, net_benefit_usd=worth.net_usd if curves else None,
        roi=worth.net_usd / worth.cost_usd if worth.cost_usd > 0 else None,
        confidence=worth.confidence if moves else None, gap=0.0, rounding_loss=solution.rounding_loss,
        opportunities=ranked,
        horizon=max((curves[m.key].horizon for m in moves), default=state.spec.objective.horizon),
    )  # fmt: skip
