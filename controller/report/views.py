"""What people are shown, as plain JSON: one view for the table, `-o json`, the API and the landing page. Pure.

Unknown is null, never 0. Amounts are in base units (exporters/quantity.py), money in USD per hour or USD, times in
Unix seconds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.learning import record_of
from controller.model import Decision, Interval, Opportunity, Plan, Verdict
from controller.observe import Observation, Watched
from controller.payoff import Ledger
from controller.promises import Trial
from controller.replay import inputs_of
from controller.rows import RecordedDecision
from exporters.reading import Reading

View = dict[str, Any]
MOST_PROGRAMS = 20
"""Newest programs of a policy that are shown."""
_NO_LEDGERS: Mapping[str, Ledger] = {}
_encode = json.JSONEncoder(allow_nan=False).encode


def number(value: float | None) -> float | None:
    """A figure that JSON can carry: NaN and infinities are unknown."""
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in sorted(values.items()) if math.isfinite(value)}


def as_json(value: Any) -> str:
    """A view as JSON, in pieces: while json.dumps is at work no other thread of the process runs, and the view of 10 000
    workloads would take it a tenth of a second. Raises ValueError for NaN and infinities.
    """
    return "".join(_pieces(value, depth=4))


def _pieces(value: Any, depth: int) -> Iterator[str]:
    """`depth` 4 reaches each workload, and each verdict of a policy."""
    if depth == 0 or not value or not isinstance(value, dict | list):
        yield _encode(value)
    elif isinstance(value, dict):
        for i, (name, part) in enumerate(value.items()):
            yield f"{',' if i else '{'}{_encode(name)}:"
            yield from _pieces(part, depth - 1)
        yield "}"
    else:
        for i, part in enumerate(value):
            yield "," if i else "["
            yield from _pieces(part, depth - 1)
        yield "]"


def status(
    observation: Observation,
    watched: Mapping[str, Watched],
    decisions: Iterable[Decision],
    *,
    version: str,
    manifests: View,
    ledgers: Mapping[str, Ledger] = _NO_LEDGERS,
) -> View:
    """Everything at a glance: every workload, every policy's newest decision, and whether the last ones paid."""
    made = sorted(decisions, key=lambda decision: decision.plan.policy)
    judged = {key: decision for decision in made for key in decision.plan.current}
    verdicts = {verdict.move.key: verdict for decision in made for verdict in decision.verdicts}
    return {
        "at": observation.at,
        "version": version,
        "complete": observation.complete,
        "manifests": manifests,
        "workloads": [
            workload(item, observation, judged.get(item.key), verdicts.get(item.key)) for item in watched.values()
        ],
        "policies": [
            policy(decision) | did_it_pay(ledgers.get(decision.plan.policy), observation.at) for decision in made
        ],
    }


def status_of_store(
    newest: Mapping[str, tuple[Reading | None, Reading | None]], policies: list[View], *, now: float
) -> View:
    """The same view from what a controller last wrote: no manifests are at hand, so no bounds are shown."""
    rows = []
    for key, (last, good) in sorted(newest.items()):
        reading = good or last
        if reading is None:
            continue
        resource = next(iter(sorted(reading.allocated)), None)
        targets = [item["plan"]["targets"][key] for item in policies if key in item["plan"]["targets"]]
        row: View = {
            "key": key,
            "node": reading.node,
            "protocol": reading.protocol,
            "resource": resource,
            "curve": "dilution" if reading.pool else None,
            "step": None,
            "min": None,
            "max": None,
            "up": last.up if last else None,
            "failure": last.failure_message if last and not last.up else None,
            "connection": str(last.connection) if last else "disconnected",
            "read_at": good.at if good else None,
            **figures(good, resource),
        }
        rows.append(row | ({"target": targets[0]} if targets else {}))
    return {"at": now, "version": "", "complete": True, "manifests": {}, "workloads": rows, "policies": policies}


def workload(item: Watched, observation: Observation, decision: Decision | None, verdict: Verdict | None) -> View:
    """One line of the table."""
    newest = observation.newest.get(item.key)
    good = observation.last_good.get(item.key)
    served = good if good and observation.at - good.at <= item.stale_after else None
    resource = item.allocation.resource if item.allocation else item.traits.resource
    view: View = {
        "key": item.key,
        "node": item.node,
        "protocol": item.protocol,
        "driver": item.driver,
        "resource": resource,
        "curve": str(item.traits.curve),
        "step": item.allocation.step if item.allocation else None,
        "min": item.allocation.min if item.allocation else None,
        "max": item.allocation.max if item.allocation else None,
        "up": newest.up if newest else None,
        "failure": newest.failure_message if newest and not newest.up else None,
        "connection": str(newest.connection) if newest else "disconnected",
        "read_at": good.at if good else None,
        **figures(served, resource),
    }
    if decision and item.key in decision.plan.targets:
        view["target"] = decision.plan.targets[item.key]
        curve = decision.curves.get(item.key)
        if curve and item.allocation and view["allocated"] is not None:
            view["next_step_usd_per_hour"] = number(curve.slope(view["allocated"], step=item.allocation.step))
            view["curve_why"] = curve.why
    if verdict:
        view["verdict"] = str(verdict.reason)
    if decision and item.key in decision.not_considered:
        reason, sentence = decision.not_considered[item.key]
        view["left_out"] = {"reason": str(reason), "sentence": sentence}
    return view


def figures(reading: Reading | None, resource: str | None) -> View:
    """What a reading that still counts says; all null where there is none."""
    native = {name: rate for name, rate in reading.native.gross_per_hour.items() if name != "USD"} if reading else {}
    return {
        "state": reading.state if reading else None,
        "healthy": reading.healthy if reading else None,
        "version": reading.version if reading else None,
        "quality": str(reading.quality) if reading and reading.quality else None,
        "gross_usd_per_hour": number(reading.rate_usd_per_hour) if reading else None,
        "net_usd_per_hour": number(reading.net_usd_per_hour) if reading else None,
        "native_per_hour": numbers(native),
        "balance_usd": numbers(reading.balance_usd) if reading else {},
        "allocated": number(reading.allocated.get(resource)) if reading and resource else None,
        "configured": number(reading.configured.get(resource)) if reading and resource else None,
        "used": number(reading.used.get(resource)) if reading and resource else None,
        "stalled": reading.earning_stalled if reading else None,
        "notes": list(reading.notes) if reading else [],
    }


def policy(decision: Decision) -> View:
    """One policy: what it would do, what that is worth, and why it does or does not."""
    plan = decision.plan
    return {
        "name": plan.policy,
        "mode": decision.state.spec.mode,
        "reason": str(decision.reason),
        "sentence": decision.sentence,
        "ready_at": decision.ready_at,
        "circuit_open": decision.circuit_open,
        "plan": plan_view(plan),
        "verdicts": [
            {
                "workload": verdict.move.key,
                "resource": verdict.move.resource,
                "from": verdict.move.from_,
                "to": verdict.move.to,
                "gain_usd_per_hour": number(verdict.move.gain_usd_per_hour),
                "cost_usd": number(verdict.move.cost_usd),
                "allowed": verdict.allowed,
                "reason": str(verdict.reason),
                "sentence": verdict.sentence,
            }
            for verdict in decision.verdicts
        ],
        "left_out": {
            key: {"reason": str(reason), "sentence": sentence}
            for key, (reason, sentence) in sorted(decision.not_considered.items())
        },
    }


def did_it_pay(ledger: Ledger | None, now: float) -> View:
    """What came of one policy's programs of the last 7 days, and what that taught; {} where there never was one."""
    if ledger is None or not ledger.programs:
        return {}
    record, learned = record_of(ledger, now), ledger.learned(now)
    return {
        "outcomes": {
            "running": record.running,
            "judged": record.judged,
            "unknown": record.unknown,
            "realised_usd_per_hour": number(record.realised),
            "promised_usd_per_hour": number(record.promised),
            "realised_usd": number(record.usd),
            "error_ratio": number(record.error),
            "success_ratio": number(record.success),
            "coverage_ratio": number(record.coverage),
            "programs": [program(each) for each in sorted(ledger.programs, key=lambda each: -each.at)[:MOST_PROGRAMS]],
        },
        "learned": {"spread": learned.spread, "penalty": numbers(learned.penalty), "fallback": learned.fallback},
    }


def program(each: Trial) -> View:
    """One change, its promise and its outcome."""
    outcome = each.outcome
    return {
        "id": each.id,
        "kind": str(each.kind),
        "at": each.at,
        "moves": [
            {"workload": part.key, "resource": part.resource, "from": part.from_, "to": part.to, "at": part.at}
            for part in each.parts
        ],
        "promised_usd_per_hour": interval(each.promise.gain if each.promise else None),
        "due_at": max(part.ends for part in each.parts),
        "cost_usd": number(each.promise.cost_usd) if each.promise else None,
        "realised_usd": number(outcome.usd) if outcome else None,
        "judged_at": outcome.at if outcome else None,
        "realised_usd_per_hour": interval(outcome.realised if outcome else None),
        "within": outcome.within if outcome else None,
        "success": outcome.success if outcome else None,
        "sentence": outcome.sentence if outcome else "",
    }


def recorded(decision: Decision, before: str | None = None) -> RecordedDecision:
    """The decision as it is kept. Two are the same where they come to the same, whatever the digits of their gains.

    `before`: the fingerprint of the one before (Store.fingerprint). What it was made from is added only where it is not
    the same, for only then it is kept.
    """
    view = policy(decision)
    moves = [(verdict["workload"], verdict["from"], verdict["to"], verdict["reason"]) for verdict in view["verdicts"]]
    left_out = [(key, why["reason"]) for key, why in view["left_out"].items()]
    same = as_json([view["reason"], view["mode"], moves, left_out, view["plan"]["targets"]])
    fingerprint = hashlib.sha256(same.encode()).hexdigest()
    return RecordedDecision(
        policy=view["name"],
        at=decision.plan.at,
        fingerprint=fingerprint,
        reason=view["reason"],
        sentence=decision.sentence,
        body=as_json(view),
        inputs=None if fingerprint == before else inputs_of(decision),
    )


def plan_view(plan: Plan) -> View:
    return {
        "at": plan.at,
        "solver": plan.solver,
        "why": plan.why,
        "rate_now_usd_per_hour": number(plan.rate_now),
        "gain_usd_per_hour": interval(plan.gain),
        "cost_usd": number(plan.cost_usd),
        "net_benefit_usd": number(plan.net_benefit_usd),
        "roi": number(plan.roi),
        "confidence": number(plan.confidence),
        "horizon_seconds": plan.horizon,
        "gap": number(plan.gap),
        "rounding_loss_usd_per_hour": number(plan.rounding_loss),
        "current": numbers(plan.current),
        "targets": numbers(plan.targets),
        "strategy": plan.strategy,
        "score": number(plan.score),
        "alternatives": [alternative(other) for other in plan.alternatives],
        "opportunities": [opportunity(found) for found in plan.opportunities],
    }


def alternative(plan: Plan) -> View:
    """Another plan, with what differs."""
    return {
        "moves": [
            {"workload": move.key, "resource": move.resource, "from": move.from_, "to": move.to} for move in plan.moves
        ],
        "gain_usd_per_hour": interval(plan.gain),
        "cost_usd": number(plan.cost_usd),
        "net_benefit_usd": number(plan.net_benefit_usd),
        "confidence": number(plan.confidence),
        "score": number(plan.score),
        "solver": plan.solver,
        "why": plan.why,
    }


def opportunity(found: Opportunity) -> View:
    return {
        "node": found.node,
        "resource": found.resource,
        "source": found.source,
        "target": found.target,
        "amount": number(found.amount),
        "source_amount": number(found.source_amount),
        "gain_usd_per_hour": interval(found.gain),
        "cost_usd": number(found.cost_usd),
        "confidence": number(found.confidence),
        "steps": found.steps,
        "restarts": found.restarts,
        "offline_minutes": number(found.offline_minutes),
        "reason": str(found.reason),
        "sentence": found.sentence,
        "score": number(found.score),
    }


def interval(gain: Interval | None) -> View | None:
    return (
        None
        if gain is None
        else {"low": number(gain.low), "expected": number(gain.expected), "high": number(gain.high)}
    )
