"""DECIDE. State -> Decision: the page that composes estimate, plan and guard. Pure; loop, backtest and explain call it.

Same State and seed, same Decision: everything is sorted by name first, and the only chance in it is drawn from the
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.ahead import Outlook, foresee
from controller.estimate.cost import moving
from controller.estimate.curves import curves as curves_of
from controller.estimate.curves import horizon_of, lines
from controller.estimate.predicted import pasts
from controller.estimate.readings import Why, exposure_seconds, known_allocation
from controller.estimate.recall import remember
from controller.estimate.weights import HOUR, REPLICATES, draw
from controller.estimate.words import amount, money
from controller.guard import guard, guard_each
from controller.model import Curve, Decision, Memory, Plan, Reason, State
from controller.plan.ceiling import may_pay
from controller.plan.opportunities import moves_of
from controller.plan.problem import build
from controller.plan.propose import Proposal, propose
from controller.plan.standing import Standing, clock, mode_of, stand
from controller.plan.strategy import strategy_of
from controller.plan.worth import weigh
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import Move, Opportunity, Verdict, WorkloadState

_ACTING = ("Approve", "Auto")
_GOOD = (Reason.ALLOWED, Reason.MODE_SUGGEST)
MANY: Final = 64
Mark = Callable[[str], None]


def decide(
    state: State, mark: Mark = lambda _: None, *, brief: bool = False, replicates: int = REPLICATES,
    expected: Mapping[float, Outlook] | None = None,
) -> Decision:  # fmt: skip
    """What to do now about one policy's nodes, and why. Nothing to do has a reason too.

    `mark` is told the name of each stage when it is done, so that whoever has a clock can time them. `brief`: come to the
    same allowed moves without what only people look at (opportunities, how sure a plan is that is too small anyway).
    `expected`: by horizon what demand is expected to be, where that is known already.
    Of more than MANY workloads that may move, how sure curves of demand are is told in closed form, not by replicates.
    """
    state = _sorted(state)
    standing = stand(state)
    out = {w.key: why for w in _movable(state) if (why := standing.workload.get(w.key))}
    early = _nothing_can_move(state, standing, out)
    if early or (brief and (early := standing.overall)):
        return _stay(state, *early, out, standing)
    expected = _expected(state) if expected is None else expected
    many = len(standing.held) - len(out) > MANY
    if brief and not many and _nothing_pays(state, standing, out, expected):
        return _stay(state, Reason.LOW_GAIN, "no moves could bring what a change must bring", out, standing)
    if not replicates or _needs_all(state) or not (brief or many):
        curves, unknown = _estimate(state, standing, expected, replicates=replicates)
        mark("estimate")
        return judge(state, curves, unknown, mark, standing=standing, brief=brief)
    curves, unknown = _estimate(state, standing, expected, replicates=0, closed=many)
    mark("estimate")
    decision = judge(state, curves, unknown, mark, standing=standing, brief=brief)
    open_ = {key for key in _proposed(decision) if curves[key].influence is None}
    if not open_:
        return decision
    sure, _ = _estimate(state, standing, expected, replicates=replicates, only=open_)
    return judge(state, dict(sorted((curves | sure).items())), unknown, mark, standing=standing, brief=brief)


def _nothing_pays(state: State, standing: Standing, out: Mapping[str, Why], expected: Mapping[float, Outlook]) -> bool:
    """Whether it is certain that no moves could bring what a change must bring, before anything is solved."""
    known = [(w, standing.nodes[w.node]) for w in _movable(state) if w.node in standing.nodes]
    fit = standing.workloads.keys() - standing.workload.keys()
    found = lines(known, state.spec, state.now, expected, fit)
    curves = {key: it for key, it in found.items() if not isinstance(it, tuple)}
    return not may_pay(state, build(state, curves, {key: out[key] for key in curves if key in out}).problem)


def _needs_all(state: State) -> bool:
    """Whether a plan cannot be made without knowing how sure every curve is."""
    return strategy_of(state.spec.objective)[0] == "RiskAware"


def _proposed(decision: Decision) -> set[str]:
    """Who would move, and who is in an opportunity: of them it has to be known how sure their curves are."""
    moved = {verdict.move.key for verdict in decision.verdicts if verdict.reason in _GOOD}
    pairs = {key for found in decision.plan.opportunities for key in (found.source, found.target) if key is not None}
    return moved | pairs


def judge(
    state: State,
    curves: Mapping[str, Curve],
    unknown: Mapping[str, Why],
    mark: Mark = lambda _: None,
    *,
    standing: Standing | None = None,
    brief: bool = False,
) -> Decision:
    """Plan and guard on curves that are there already: what replay, explain and what-if go through as well.

    `unknown`: key -> why a workload that may be moved has no curve. Of the state's past nothing is read but exposure.
    """
    if standing is None:
        state = _sorted(state)
        standing = stand(state)
    out = {w.key: why for w in _movable(state) if (why := standing.workload.get(w.key))}
    pins = {key: out[key] for key in curves if key in out} | _only_shown(state, curves, out)
    proposal = propose(state, curves, pins, brief=brief)
    mark("plan")
    verdicts = guard(state, proposal.plan, curves, standing)
    plan = proposal.plan if brief else _with_reasons(state, standing, proposal, curves)
    mark("guard")
    apart = out | dict(unknown) | dict(proposal.left_out)
    reason, sentence = _conclusion(state, standing, replace(proposal, plan=plan), verdicts, apart, curves)
    return Decision(
        state=state, curves=curves, plan=plan, verdicts=verdicts, reason=reason, sentence=sentence,
        ready_at=_ready_at(state, apart), not_considered=dict(sorted(apart.items())), circuit_open=standing.circuit_open,
    )  # fmt: skip


def reconsider(state: State, moves: Sequence[Move], *, free: bool = False) -> tuple[Verdict, ...]:
    """The guard's word on moves that were decided earlier, from the State as it is now (G5): one Verdict for each. What they
    gain and cost is reckoned anew, on the curves of their nodes. `free`: what moving costs is not asked for.
    """
    state = _sorted(state)
    standing = stand(state)
    expected = _expected(state)
    nodes = {move.node for move in moves}
    asked = None if _needs_all(state) else {w.key for w in _movable(state) if w.node in nodes}
    many = sum(1 for key in standing.held if key not in standing.workload) > MANY  # as sure as `decide` makes them
    curves, _ = _estimate(state, standing, expected, replicates=0 if many else REPLICATES, only=asked, closed=many)
    if open_ := {key for key in curves if curves[key].influence is None} if many else set():
        sure, _ = _estimate(state, standing, expected, only=open_)
        curves = dict(sorted((curves | sure).items()))
    now = tuple(_reckoned(move, standing, curves, free=free) for move in moves)
    empty = _stay(state, Reason.ALREADY_BEST, "asked again", {}, standing).plan
    return guard(state, replace(empty, moves=now), curves, standing)


def _reckoned(move: Move, standing: Standing, curves: Mapping[str, Curve], *, free: bool) -> Move:
    curve, workload = curves.get(move.key), standing.workloads.get(move.key)
    if curve is None or workload is None:
        return move
    cost = 0.0 if free else moving(workload.traits, curve.at(move.from_))
    return replace(move, gain_usd_per_hour=curve.at(move.to) - curve.at(move.from_), cost_usd=cost)


def refit(state: State, mark: Mark = lambda _: None) -> dict[str, Curve]:
    """The curves alone, by key: what a unit is worth now, for whoever looks between two decisions."""
    state = _sorted(state)
    curves, _ = _estimate(state, stand(state), _expected(state), replicates=0)
    mark("estimate")
    return curves


def _sorted(state: State) -> State:
    nodes = tuple(sorted(state.nodes, key=lambda node: node.name))
    return replace(state, nodes=nodes, workloads=tuple(sorted(state.workloads, key=lambda workload: workload.key)))


def _movable(state: State) -> list[WorkloadState]:
    return [w for w in state.workloads if w.allocation is not None]


def _nothing_can_move(state: State, standing: Standing, out: Mapping[str, Why]) -> Why | None:
    """Why the analysis can stop before it has begun: Off, nothing declared, or everybody at rest."""
    movable = _movable(state)
    if standing.overall and standing.overall[0] is Reason.MODE_OFF:
        return standing.overall
    if not movable:
        return (
            Reason.ALREADY_BEST,
            f"none of {len(state.workloads)} workloads declares an allocation; there is nothing to split",
        )
    if len(out) < len(movable):
        return None
    if standing.overall and standing.overall[0] is Reason.PAUSED:
        return standing.overall
    return _speaking_for_all(state, out)


def _speaking_for_all(state: State, out: Mapping[str, Why]) -> Why:
    """One reason and sentence where nobody is left to plan on."""
    reason, sentence = min(out.items(), key=lambda item: (_GRAVITY.index(item[1][0]), item[0]))[1]
    if reason is Reason.NO_HISTORY and (ready := _ready_at(state, out)) is not None:
        return reason, f"{sentence}; a plan will be ready at {clock(ready)}"
    if len(out) == 1:
        return reason, sentence
    if len({why[0] for why in out.values()}) == 1:
        return reason, f"all {len(out)} workloads that could move: {sentence}"
    return reason, f"{sentence}; none of the {len(out)} workloads that could move may be moved ({_counted(out)})"


_GRAVITY = (Reason.NO_HISTORY, *(r for r in Reason if r is not Reason.NO_HISTORY))
"""Which reason speaks for many: no history first, since it is the one that passes by itself and has a date."""


def _expected(state: State) -> dict[float, Outlook]:
    """What the demand of every workload of that kind is expected to be, those of one horizon at once."""
    by_horizon: dict[float, list[WorkloadState]] = {}
    for workload in _movable(state):
        if workload.traits.curve is CurveKind.DEMAND and workload.blocks is not None:
            by_horizon.setdefault(horizon_of(workload, state.spec), []).append(workload)
    predictive = state.spec.objective.strategy == "Predictive"
    found = {}
    for horizon, same in sorted(by_horizon.items()):
        past = pasts(same, state.now, state.spec.limits) if predictive else None
        memory, which = _remembered(state, same)
        found[horizon] = foresee(memory, state.now, horizon / HOUR, past, which)
    return found


def _remembered(state: State, workloads: list[WorkloadState]) -> tuple[Memory, NDArray[np.intp] | None]:
    """From what is kept, as far as it is, and its rows (None: all as they are); else from the blocks."""
    keys = tuple(w.key for w in workloads)
    if state.memory is not None:
        if keys == state.memory.keys:
            return state.memory, None
        places = state.memory.index
        if all(key in places for key in keys):
            return state.memory, np.array([places[key] for key in keys], dtype=np.intp)
    known = [(w, w.allocation, w.blocks) for w in workloads]
    told = [(w.key, allocation, blocks) for w, allocation, blocks in known if allocation and blocks]
    memory = remember(
        [key for key, *_ in told],
        [allocation.step for _, allocation, _ in told],
        [allocation.max for _, allocation, _ in told],
        [blocks for *_, blocks in told],
        state.now,
    )
    return memory, None


def _estimate(
    state: State, standing: Standing, expected: Mapping[float, Outlook], *,
    replicates: int = REPLICATES, only: Collection[str] | None = None, closed: bool = False,
) -> tuple[dict[str, Curve], dict[str, Why]]:  # fmt: skip
    """Curves of all that can be believed, also of those that rest: their worth counts in what the node earns."""
    those = [w for w in _movable(state) if only is None or w.key in only]
    weights = draw((w.blocks for w in _movable(state)), state.now, state.seed, replicates)
    known = [(w, standing.nodes[w.node]) for w in those if w.node in standing.nodes]
    fit = standing.workloads.keys() - standing.workload.keys()
    found = curves_of(known, state.spec, state.now, weights, expected, fit, closed=closed)
    curves: dict[str, Curve] = {}
    unknown: dict[str, Why] = {}
    for workload in those:
        key = workload.key
        it = found.get(key) or (Reason.INFEASIBLE, f"{key} is on a node that is not in this policy")
        if isinstance(it, Curve):
            curves[key] = it
        else:
            unknown[key] = it if workload.node not in standing.nodes else standing.workload.get(key, it)
    return curves, unknown


def _only_shown(state: State, curves: Mapping[str, Curve], out: Mapping[str, Why]) -> dict[str, Why]:
    """Workloads stricter than an acting policy: planned around where others of their node may act, or their refusal
    would hold those up.
    """
    planned = [w for w in state.workloads if w.key in curves and w.key not in out]
    acting = {w.node for w in planned if mode_of(state, w) in _ACTING}
    return {
        w.key: (Reason.MODE_SUGGEST, f"{w.key} is in mode Suggest")
        for w in planned
        if w.node in acting and mode_of(state, w) not in _ACTING
    }


def _with_reasons(state: State, standing: Standing, proposal: Proposal, curves: Mapping[str, Curve]) -> Plan:
    """The plan with every opportunity judged as if it were proposed alone."""
    plan = proposal.plan
    those = [found for found in plan.opportunities if found.reason is not Reason.ALREADY_BEST]
    sets = [moves_of(found, curves, plan.current, proposal.costs) for found in those]
    verdicts = dict(zip(map(id, those), guard_each(state, sets, curves, standing), strict=True))
    judged = tuple(_judged(found, verdicts.get(id(found), ())) for found in plan.opportunities)
    return replace(plan, opportunities=judged)


def _judged(found: Opportunity, verdicts: Sequence[Verdict]) -> Opportunity:
    said = [v for v in verdicts if v.reason is not Reason.COMPANION_REFUSED] or list(verdicts)
    if not said:
        return found
    refusal = next((v for v in said if v.reason not in _GOOD), None)
    if refusal is None:
        return replace(found, reason=said[0].reason)
    return replace(found, reason=refusal.reason, sentence=f"{found.sentence}; refused: {refusal.sentence}")


# --- the cycle's sentence -----------------------------------------------------------------------------------------


def _conclusion(
    state: State, standing: Standing, proposal: Proposal, verdicts: tuple[Verdict, ...], apart: Mapping[str, Why],
    curves: Mapping[str, Curve],
) -> Why:  # fmt: skip
    plan = proposal.plan
    good = [v for v in verdicts if v.reason in _GOOD]
    if good and plan.gain is not None:
        reason = Reason.ALLOWED if any(v.allowed for v in good) else Reason.MODE_SUGGEST
        said = "move" if reason is Reason.ALLOWED else "suggest"
        brings = _gain_words(good, proposal, curves, standing)
        return reason, f"{said}: {_moves_words(good)}: {brings}{_beside(apart)}"
    if verdicts:
        first = next((v for v in verdicts if v.reason is not Reason.COMPANION_REFUSED), verdicts[0])
        return first.reason, f"stay: {first.sentence}{_beside(apart)}"
    if standing.overall:
        return standing.overall[0], f"stay: {standing.overall[1]}"
    if apart and apart.keys() >= plan.current.keys():
        reason, sentence = _speaking_for_all(state, apart)
        return reason, f"stay: {sentence}"
    return Reason.ALREADY_BEST, f"stay: {_best_words(plan)}{_beside(apart)}"


def _moves_words(verdicts: list[Verdict]) -> str:
    """The moves that change most first."""
    ordered = sorted(verdicts, key=lambda v: (-abs(v.move.gain_usd_per_hour), v.move.key))
    words = [
        f"{v.move.key} {amount(v.move.resource, v.move.from_)} → {amount(v.move.resource, v.move.to)} {v.move.resource}"
        for v in ordered[:4]
    ]
    return ", ".join(words) + (f" and {len(verdicts) - 4} more" if len(verdicts) > 4 else "")


def _gain_words(good: list[Verdict], proposal: Proposal, curves: Mapping[str, Curve], standing: Standing) -> str:
    """Of the moves that are good, and of no others."""
    plan = proposal.plan
    whole = len(good) == len(plan.moves)
    worth = proposal.worth if whole else weigh([v.move for v in good], curves, standing.trust)
    costs = f"; moving costs {money(worth.cost_usd, 3)} USD once" if worth.cost_usd else ""
    return f"{worth.words(on=plan.rate_now)}{costs}"


def _best_words(plan: Plan) -> str:
    count = f"{len(plan.current)} workload{'' if len(plan.current) == 1 else 's'}"
    now = f"{money(plan.rate_now)} USD/h over {count} is the best within limits"
    if not plan.opportunities:
        return f"{now}; there is no room for any transfer"
    best = plan.opportunities[0]
    whence = best.source or "free capacity"
    why = best.sentence.partition("; refused: ")[2]
    brings = f"would bring {money(best.gain.expected, 3, signed=True)} USD/h"
    return f"{now}; the best transfer, {whence} to {best.target}, {brings}{f', but {why}' if why else ''}"


def _beside(apart: Mapping[str, Why]) -> str:
    return f"; not considered: {_counted(apart)}" if apart else ""


def _counted(apart: Mapping[str, Why]) -> str:
    """How many for which reason, and the first of each: 2 Hold (rack-1/golem, ...), 1 Stale (rack-1/storj)."""
    by_reason: dict[Reason, list[str]] = {}
    for key, (reason, _) in sorted(apart.items()):
        by_reason.setdefault(reason, []).append(key)
    return ", ".join(
        f"{len(keys)} {reason.value} ({keys[0]}{', ...' if len(keys) > 1 else ''})"
        for reason, keys in sorted(by_reason.items())
    )


# --- nothing to do ------------------------------------------------------------------------------------------------


def _stay(state: State, reason: Reason, sentence: str, out: Mapping[str, Why], standing: Standing) -> Decision:
    current = {w.key: has for w in _movable(state) if (has := known_allocation(w)) is not None}
    plan = Plan(
        policy=state.policy, at=state.now, solver="none", why="nothing can move, so nothing was solved",
        targets=current, current=current, moves=(), rate_now=0.0, gain=None, cost_usd=0.0, net_benefit_usd=None,
        roi=None, confidence=None, gap=0.0, rounding_loss=0.0, opportunities=(), horizon=state.spec.objective.horizon,
    )  # fmt: skip
    return Decision(
        state=state, curves={}, plan=plan, verdicts=(), reason=reason, sentence=f"stay: {sentence}",
        ready_at=_ready_at(state, out), not_considered=dict(sorted(out.items())), circuit_open=standing.circuit_open,
    )  # fmt: skip


def _ready_at(state: State, apart: Mapping[str, Why]) -> float | None:
    """When the last of those that only lack history will have enough, if they stay up; None: nobody lacks it."""
    lacking = [
        state.spec.limits.min_history - exposure_seconds(w, state.now, state.spec.limits)
        for w in state.workloads
        if w.key in apart and apart[w.key][0] is Reason.NO_HISTORY
    ]
    longest = max(lacking, default=0.0)
    return state.now + longest if longest > 0 else None
