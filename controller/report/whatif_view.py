"""Outcomes of what-if as plain JSON: what `orcha whatif -o json` shows. Pure.

    {"at": Unix seconds,
     "changes": {"set": [text], "price": {token: usd}, "force": {key: amount}},
     "notes": [sentence],               # what could not be taken into account
     "policies": [{
        "name",
        "changed": bool,                # whether anything at all comes out otherwise
        "before", "after": as views.policy has it (mode, reason, sentence, plan, verdicts, left_out),
        "forced": {"values": {key: amount}, "gain_usd_per_hour": {"low", "expected", "high"},   # against the present split
                   "confidence", "supposes": [clause],
                   "against_best_usd_per_hour"} | null,                                       # against the unforced plan
        "differences": [sentence],
        "workloads": [{"key", "resource", "step", "current", "differs": bool,
                       "before", "after": {"target", "rate_now_usd_per_hour", "usd_per_hour", "next_step_usd_per_hour",
                                           "usd_per_unit_hour", "reason", "sentence"}}]}]}

Unknown is null. `usd_per_hour` is what is expected of the workload at its target, `rate_now_usd_per_hour` with what it has,
`next_step_usd_per_hour` what one more step than that would bring; `reason` is its verdict's, why it is left out, or AlreadyBest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from controller.estimate.readings import known_allocation
from controller.estimate.words import amount, money
from controller.model import Decision, Reason
from controller.report import views
from controller.report.views import View, number

if TYPE_CHECKING:
    from controller.model import WorkloadState
    from controller.report.whatif import Outcome

_NOTHING = 1e-9
"""Relative: figures that differ by less are the same."""


def outcomes_view(
    outcomes: Sequence[Outcome], *, at: float, sets: Sequence[str], prices: Mapping[str, float],
    forced: Mapping[str, float], notes: Iterable[str],
) -> View:  # fmt: skip
    return {
        "at": at,
        "changes": {"set": list(sets), "price": dict(sorted(prices.items())), "force": dict(sorted(forced.items()))},
        "notes": [*notes, *(note for outcome in outcomes for note in outcome.notes)],
        "policies": [_policy(outcome) for outcome in outcomes],
    }


def _policy(outcome: Outcome) -> View:
    rows = [_workload(outcome, workload) for workload in outcome.after.state.workloads]
    said = list(_differences(outcome, rows))
    forced = outcome.forced
    return {
        "name": outcome.after.plan.policy,
        "changed": bool(said) or forced is not None,
        "before": _whole(outcome.before),
        "after": _whole(outcome.after),
        "forced": None
        if forced is None
        else {
            "values": dict(sorted(forced.values.items())),
            "gain_usd_per_hour": views.interval(forced.gain),
            "confidence": number(forced.confidence),
            "supposes": list(forced.supposes),
            "against_best_usd_per_hour": number(forced.against_best),
        },
        "differences": said,
        "workloads": rows,
    }


def _whole(decision: Decision) -> View:
    view = views.policy(decision)
    if not decision.curves:  # where nothing was fitted, nobody knows what the present split earns
        view["plan"]["rate_now_usd_per_hour"] = None
    return view


def _workload(outcome: Outcome, workload: WorkloadState) -> View:
    before, after = (_side(decision, workload.key) for decision in (outcome.before, outcome.after))
    differs = any(_differ(before[name], after[name]) for name in before if name != "sentence")
    return {
        "key": workload.key,
        "resource": workload.allocation.resource if workload.allocation else workload.traits.resource,
        "step": workload.allocation.step if workload.allocation else None,
        "current": number(known_allocation(workload)),
        "differs": differs,
        "before": before,
        "after": after,
    }


def _side(decision: Decision, key: str) -> View:
    """What one decision makes of one workload."""
    curve, target = decision.curves.get(key), decision.plan.targets.get(key)
    workload = next((w for w in decision.state.workloads if w.key == key), None)
    current = known_allocation(workload) if workload else None
    step = workload.allocation.step if workload and workload.allocation else None
    verdict = next((v for v in decision.verdicts if v.move.key == key), None)
    reason, sentence = (verdict.reason, verdict.sentence) if verdict else _unmoved(decision, key)
    more = curve.slope(current, step=step) if curve and current is not None and step else None
    return {
        "target": number(target),
        "rate_now_usd_per_hour": number(curve.at(current)) if curve and current is not None else None,
        "usd_per_hour": number(curve.at(target)) if curve and target is not None else None,
        "next_step_usd_per_hour": number(more),
        "usd_per_unit_hour": number(curve.value_per_unit_hour) if curve else None,
        "reason": str(reason),
        "sentence": sentence,
    }


def _unmoved(decision: Decision, key: str) -> tuple[Reason, str]:
    workload = next((w for w in decision.state.workloads if w.key == key), None)
    if workload is None:
        return Reason.INFEASIBLE, f"{key} is not under policy {decision.plan.policy}"
    if workload.allocation is None:
        return Reason.BOUNDS, f"{key} declares no allocation: it is watched, never moved"
    return decision.not_considered.get(key, (Reason.ALREADY_BEST, "no plan within limits that changes it earns more"))


def _differ(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) > _NOTHING * max(abs(a), abs(b))
    return a != b


def _differences(outcome: Outcome, rows: Iterable[View]) -> Iterator[str]:
    """What comes out otherwise, and why, the whole first. Of what is not known on both sides nothing is compared."""
    before, after = outcome.before, outcome.after
    if before.curves and after.curves and _differ(before.plan.rate_now, after.plan.rate_now):
        yield f"the present split would earn {_usd(after.plan.rate_now)} instead of {_usd(before.plan.rate_now)}"
    if before.plan.gain and after.plan.gain and _differ(before.plan.gain.expected, after.plan.gain.expected):
        was, would = before.plan.gain.expected, after.plan.gain.expected
        yield f"what is planned would bring {_usd(would, signed=True)} instead of {_usd(was, signed=True)}"
    if before.reason is not after.reason:
        yield f"the policy's reason would be {after.reason} instead of {before.reason}: {after.sentence}"
    for row in rows:
        yield from _of_row(row)


def _of_row(row: View) -> Iterator[str]:
    before, after, key = row["before"], row["after"], row["key"]
    earns, did = (side["rate_now_usd_per_hour"] for side in (after, before))
    if earns is not None and did is not None and _differ(earns, did):
        yield f"{key}: with the {_amount(row, row['current'])} that it has it would earn {_usd(earns)} instead of {_usd(did)}"
    if _differ(before["target"], after["target"]):
        to, was = (_amount(row, side["target"]) for side in (after, before))
        yield f"{key}: {to} would be planned instead of {was} ({after['reason']}: {after['sentence']})"
    elif before["reason"] != after["reason"]:
        yield f"{key}: {after['reason']} instead of {before['reason']}: {after['sentence']}"


def _usd(value: float, *, signed: bool = False) -> str:
    return f"{money(value, signed=signed)} USD/h"


def _amount(row: View, value: float | None) -> str:
    return "nothing" if value is None else f"{amount(row['resource'], value)} {row['resource']}"
