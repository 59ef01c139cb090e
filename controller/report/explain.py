"""A Decision -> everything that can be said of it, as plain JSON: what `orcha explain` shows. Pure.

    {"source": "state" | "look",        # a recorded decision that was replayed, or a look at the nodes just now
     "at": Unix seconds,                # when it was asked
     "asked_for": Unix seconds | null,  # --at
     "workload": key | null,            # the one that was asked for
     "policies": [{
        ...                             # as views.policy has it: name, mode, reason, sentence, plan, verdicts, left_out
        "at": Unix seconds,             # when it was decided
        "same_until": Unix seconds | null,  # the newest analysis that came to the same
        "replay": sentence | null,      # what differs from what was said then; null: nothing does
        "candidates": [{..., "in_plan": bool}],        # every transfer that was weighed, best first (views.opportunity)
        "workloads": [{
           "key", "node", "protocol", "resource", "mode", "current", "target", "min", "max", "step",
           "reach": {"low", "high"} | null,            # where one program may lead
           "rate_now_usd_per_hour",
           "curve": {"kind", "words": [sentence], "why", "supposes", "exposure_hours", "horizon_seconds",
                     "usd_per_unit_hour", "x": [], "usd_per_hour": [], "low": [], "high": []} | null,
           "next_up", "next_down": {"to", "gain_usd_per_hour": {"low", "expected", "high"} | null, "confidence",
                                    "cost_usd", "supposes": [clause], "reason", "sentence"},   # to null: there is none
           "verdict": as in verdicts | null,
           "left_out": {"reason", "sentence"} | null,
           "candidates": [],                           # those that it is part of
           "impossible": [{"source", "target", "reason", "sentence"}] | null   # pairs with no transfer at all
        }]}]}

Unknown is null. A band `low` to `high` is 10 % to 90 % of the resampled histories at each breakpoint; a replayed decision
knows it only where a move might have led. `impossible` is worked out for at most MOST_PAIRED workloads.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.cost import moving
from controller.estimate.words import amount, money
from controller.guard import guard
from controller.model import Curve, Decision, Reason
from controller.plan.limits import SLACK, allowed, floor_of, needs, reach
from controller.plan.opportunities import move
from controller.plan.standing import Standing, mode_of, stand
from controller.plan.worth import weigh
from controller.report import views
from controller.report.views import View, number
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.estimate.readings import Why
    from controller.model import F64, NodeState, Opportunity, WorkloadState
    from exporters.nodes import Allocation

MOST_PAIRED: Final = 64
NEARLY: Final = 0.95
"""Share of what a curve rises from which on more brings little."""
MOST_NAMES: Final = 12
"""Names listed where one is not known."""


class NoSuchWorkload(Exception):
    """`str()` names those that there are, the nearest first."""


def explained(decision: Decision, keys: Sequence[str] | None = None) -> View:
    """One policy: all of it, or what concerns these workloads."""
    subject = _Subject.of(decision)
    chosen = [w for w in decision.state.workloads if keys is None or w.key in keys]
    found = [o for o in decision.plan.opportunities if keys is None or not {o.source, o.target}.isdisjoint(keys)]
    return {
        **views.policy(decision),
        "at": decision.plan.at,
        "same_until": None,
        "replay": None,
        "candidates": [_candidate(subject, opportunity) for opportunity in found],
        "workloads": [_workload(subject, workload, paired=len(chosen) <= MOST_PAIRED) for workload in chosen],
    }


def chosen_key(wanted: str, known: Iterable[str]) -> str:
    """The key that is meant: rack-1/golem, or golem where only one is called so. Raises NoSuchWorkload."""
    keys = sorted(set(known))
    if wanted in keys:
        return wanted
    named = [key for key in keys if key.rpartition("/")[2] == wanted]
    if len(named) == 1:
        return named[0]
    if not keys:
        raise NoSuchWorkload(f"there is no workload {wanted!r}: no policy has any")
    near = named or difflib.get_close_matches(wanted, keys, n=len(keys), cutoff=0.0)
    ordered = [*near, *(key for key in keys if key not in near)]
    listed = ", ".join(ordered[:MOST_NAMES]) + (f" and {len(keys) - MOST_NAMES} more" if len(keys) > MOST_NAMES else "")
    if named:
        raise NoSuchWorkload(f"{wanted!r} is the name of several workloads; write one of {listed}")
    raise NoSuchWorkload(f"there is no workload {wanted!r}; there are {listed}")


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What is looked up for every workload."""

    decision: Decision
    standing: Standing

    @classmethod
    def of(cls, decision: Decision) -> _Subject:
        return cls(decision, stand(decision.state))


def _candidate(subject: _Subject, found: Opportunity) -> View:
    moved = {m.key: m for m in subject.decision.plan.moves}
    target, source = moved.get(found.target), moved.get(found.source or "")
    planned = target is not None and target.grows and (found.source is None or bool(source and not source.grows))
    return {**views.opportunity(found), "in_plan": planned}


def _workload(subject: _Subject, workload: WorkloadState, *, paired: bool) -> View:
    decision, standing = subject.decision, subject.standing
    allocation, curve = workload.allocation, decision.curves.get(workload.key)
    current = standing.held.get(workload.key)
    verdict = next((v for v in views.policy(decision)["verdicts"] if v["workload"] == workload.key), None)
    left_out = decision.not_considered.get(workload.key) or _watched(workload)
    up, down = _steps(subject, workload)
    return {
        "key": workload.key,
        "node": workload.node,
        "protocol": workload.protocol,
        "resource": allocation.resource if allocation else workload.traits.resource,
        "mode": mode_of(decision.state, workload),
        "current": number(current),
        "target": number(decision.plan.targets.get(workload.key)),
        "min": allocation.min if allocation else None,
        "max": allocation.max if allocation else None,
        "step": allocation.step if allocation else None,
        "reach": _reach(subject, workload, current),
        "rate_now_usd_per_hour": number(curve.at(current)) if curve and current is not None else None,
        "curve": None if curve is None or allocation is None else _curve(curve, allocation, current),
        "next_up": up,
        "next_down": down,
        "verdict": verdict,
        "left_out": None if left_out is None else {"reason": str(left_out[0]), "sentence": left_out[1]},
        "candidates": [
            _candidate(subject, o) for o in decision.plan.opportunities if workload.key in {o.source, o.target}
        ],
        "impossible": list(_impossible(subject, workload)) if paired else None,
    }


def _watched(workload: WorkloadState) -> Why | None:
    if workload.allocation is not None:
        return None
    return Reason.BOUNDS, f"{workload.key} declares no allocation: it is watched, never moved"


def _reach(subject: _Subject, workload: WorkloadState, current: float | None) -> View | None:
    node = subject.standing.nodes.get(workload.node)
    if workload.allocation is None or current is None or node is None:
        return None
    state = subject.decision.state
    low, high = reach(workload, node, current, state.now, state.spec.limits)
    points = allowed(workload, low, high, current)
    return {"low": number(float(points[0])), "high": number(float(points[-1]))}


# --- the curve ----------------------------------------------------------------------------------------------------


def _curve(curve: Curve, allocation: Allocation, current: float | None) -> View:
    low, high = _band(curve)
    return {
        "kind": curve.kind,
        "words": list(_words(curve, allocation, current)),
        "why": curve.why,
        "supposes": curve.supposes,
        "exposure_hours": number(curve.exposure),
        "horizon_seconds": number(curve.horizon),
        "usd_per_unit_hour": number(curve.value_per_unit_hour),
        "x": [number(value) for value in curve.x.tolist()],
        "usd_per_hour": [number(value) for value in curve.y.tolist()],
        "low": [number(value) for value in low.tolist()],
        "high": [number(value) for value in high.tolist()],
    }


def _band(curve: Curve) -> tuple[F64, F64]:
    """(k+1,) twice: where 10 % and 90 % of the replicates lie; NaN where they are not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a breakpoint whose replicates were not kept
        low, high = np.nanquantile(curve.replicates, (0.1, 0.9), axis=0)
    return low, high


def _words(curve: Curve, allocation: Allocation, current: float | None) -> Iterator[str]:
    """The curve in sentences: what it earns now, where it earns most, where more brings little, what it is made from."""
    resource, hours = curve.resource, format_duration(curve.horizon)

    def some(x: float) -> str:
        return f"{amount(resource, x)} {resource}"

    if current is not None:
        yield f"with its {some(current)} it is expected to earn {money(curve.at(current))} USD/h over the next {hours}"
    inside = (curve.x >= allocation.min * (1 - SLACK)) & (curve.x <= allocation.max * (1 + SLACK))
    x, y = (curve.x[inside], curve.y[inside]) if inside.any() else (curve.x, curve.y)
    best, most = int(np.argmax(y)), float(np.max(y))
    rise = most - float(y[0])
    if rise <= SLACK * abs(most):
        yield f"it earns no more with more: {money(float(y[0]))} USD/h with {some(float(x[0]))} already"
    else:
        enough = int(np.argmax(y >= y[0] + NEARLY * rise))
        nearly = f"; with {some(float(x[enough]))} nearly as much, {money(float(y[enough]))}" if enough < best else ""
        yield f"it would earn the most, {money(most)} USD/h, with {some(float(x[best]))}{nearly}"
    if best < len(y) - 1 and y[-1] < most - SLACK * abs(most):
        yield f"above {some(float(x[best]))} the energy costs more than it earns: {money(float(y[-1]))} USD/h with {some(float(x[-1]))}"
    seen = f"it is made from {curve.exposure:.4g} h of history: {curve.why}"
    step = allocation.step
    if curve.value_per_unit_hour is None:
        yield seen
    else:
        yield f"{seen}; a used step of {some(step)} earns {money(curve.value_per_unit_hour * step)} USD/h"
    if curve.supposes:
        yield f"what more would earn supposes that {curve.supposes}"


# --- the next steps -----------------------------------------------------------------------------------------------


def _steps(subject: _Subject, workload: WorkloadState) -> tuple[View, View]:
    """What the next allowed value above and below what it has is worth, alone."""
    decision = subject.decision
    curve, current = decision.curves.get(workload.key), subject.standing.held.get(workload.key)
    node = subject.standing.nodes.get(workload.node)
    if curve is None or current is None or node is None or workload.allocation is None:
        why = decision.not_considered.get(workload.key) or _watched(workload)
        none = _no_step(why or (Reason.UNKNOWN_ALLOCATION, f"what {workload.key} has now is not known"))
        return none, none
    low, high = reach(workload, node, current, decision.state.now, decision.state.spec.limits)
    points = allowed(workload, low, high, current)
    at = int(np.searchsorted(points, current))
    up = _step(subject, workload, curve, current, float(points[at + 1])) if at + 1 < len(points) else None
    down = _step(subject, workload, curve, current, float(points[at - 1])) if at > 0 else None
    return (
        up or _no_step(_why_no_more(workload, workload.allocation, current)),
        down or _no_step(_why_no_less(subject, workload, workload.allocation, current)),
    )


def _no_step(why: Why) -> View:
    return {
        "to": None, "gain_usd_per_hour": None, "confidence": None, "cost_usd": None, "supposes": [],
        "reason": str(why[0]), "sentence": why[1],
    }  # fmt: skip


def _step(subject: _Subject, workload: WorkloadState, curve: Curve, current: float, to: float) -> View:
    decision, standing = subject.decision, subject.standing
    one = move(curve, workload.node, current, to, moving(workload.traits, curve.at(current)))
    worth = weigh([one], decision.curves, standing.trust)
    verdict = guard(decision.state, replace(decision.plan, moves=(one,)), decision.curves, standing)[0]
    known = np.isfinite([worth.gain.low, worth.gain.high]).all()
    return {
        "to": to,
        "gain_usd_per_hour": views.interval(worth.gain),
        "confidence": number(worth.confidence) if known else None,
        "cost_usd": number(worth.cost_usd),
        "supposes": list(worth.supposes),
        "reason": str(verdict.reason),
        "sentence": verdict.sentence,
    }


def _why_no_more(workload: WorkloadState, allocation: Allocation, current: float) -> Why:
    if allocation.freeze == "grow":
        return Reason.DIRECTION_FROZEN, f"{workload.key} may not grow: its manifest says freeze: grow"
    most = f"{amount(allocation.resource, allocation.max)} {allocation.resource}"
    has = amount(allocation.resource, current)
    return Reason.BOUNDS, f"{workload.key} has {has} already, and its owner allows at most {most}"


def _why_no_less(subject: _Subject, workload: WorkloadState, allocation: Allocation, current: float) -> Why:
    if allocation.freeze == "shrink":
        return Reason.DIRECTION_FROZEN, f"{workload.key} may not shrink: its manifest says freeze: shrink"
    state, resource = subject.decision.state, allocation.resource
    least = max(allocation.min, workload.traits.min_allocation)
    floor = floor_of(workload, current, state.now, state.spec.limits)
    if floor > least:
        used = f"{amount(resource, floor)} {resource}"
        return (
            Reason.IRREVERSIBLE,
            f"{workload.key} uses {used} that cannot be taken back, and no whole step is left above",
        )
    return (
        Reason.BOUNDS,
        f"{workload.key} has {amount(resource, current)} {resource}, and {amount(resource, least)} is the least that is allowed",
    )


# --- what is not even a candidate ---------------------------------------------------------------------------------


def _impossible(subject: _Subject, workload: WorkloadState) -> Iterator[View]:
    """Every pair of it and another workload of its node that shares a resource, and growth into free capacity, for which
    there is no transfer within limits, and why.
    """
    if workload.allocation is None:
        return
    weighed = {(o.source, o.target) for o in subject.decision.plan.opportunities}
    mine = set(needs(workload.allocation))
    others = [
        other
        for other in subject.standing.on_node.get(workload.node, ())
        if other is not workload and other.allocation is not None and not mine.isdisjoint(needs(other.allocation))
    ]
    pairs: list[tuple[WorkloadState | None, WorkloadState]] = [(None, workload)]
    pairs += [pair for other in others for pair in ((other, workload), (workload, other))]
    for source, target in pairs:
        if (source.key if source else None, target.key) not in weighed:
            reason, sentence = _why_no_transfer(subject, source, target)
            yield {
                "source": source.key if source else None,
                "target": target.key,
                "reason": str(reason),
                "sentence": sentence,
            }


def _why_no_transfer(subject: _Subject, source: WorkloadState | None, target: WorkloadState) -> Why:
    up = _steps(subject, target)[0]
    if up["to"] is None:
        return Reason(up["reason"]), str(up["sentence"])
    if source is None:
        node = subject.standing.nodes[target.node]
        return Reason.CAPACITY, f"{target.node} has no room for one more step: {_held(subject, node, target)}"
    down = _steps(subject, source)[1]
    if down["to"] is None:
        return Reason(down["reason"]), str(down["sentence"])
    return (
        Reason.CAPACITY,
        f"no whole steps of {source.key} within limits free enough for one of {target.key}, or others promise more",
    )


def _held(subject: _Subject, node: NodeState, target: WorkloadState) -> str:
    """What is held of that of which there is too little: 12 of 12 cpu."""
    words = []
    for resource, per_unit in sorted(needs(target.allocation).items()) if target.allocation else ():
        held = sum(
            needs(w.allocation).get(resource, 0.0) * (subject.standing.held.get(w.key) or 0.0)
            for w in subject.standing.on_node.get(node.name, ())
            if w.allocation is not None
        )
        has = node.capacity.get(resource, 0.0)
        if target.allocation and held + per_unit * target.allocation.step > has * (1 + SLACK):
            words.append(f"{amount(resource, held)} of {amount(resource, has)} {resource} are held")
    return ", ".join(words)
