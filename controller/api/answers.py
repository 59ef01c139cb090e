"""From the nouns to what is answered: programs, readings, nodes, the past. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from controller.api import glance, models, shapes
from controller.api.shapes import rfc3339
from controller.report import views
from controller.report.views import View, number, numbers

if TYPE_CHECKING:
    from controller.manifests import Manifests
    from controller.programs import Program, Record, Step
    from controller.promises import Trial
    from controller.rows import Event, RecordedDecision
    from exporters.reading import Reading

T = TypeVar("T")


# --- programs -------------------------------------------------------------------------------------------------------------


def program(found: Program) -> models.Program:
    promise, stage = found.promise, found.stage
    return models.Program(
        id=found.id, policy=found.policy, cause=found.cause, state=found.state, sentence=found.sentence, said=found.said,
        by=found.by, at=found.at, changed=found.changed, expires_at=found.expires, began_at=found.began,
        retry_at=found.retry_at, of=found.of or None,
        stage=models.StageRow(number=stage.number, of=len(stage.shares)) if stage else None,
        gain_usd_per_hour=shapes.Gain.model_validate(views.interval(promise.gain)) if promise else None,
        confidence=promise.confidence if promise else None, cost_usd=promise.cost_usd if promise else None,
        horizon_seconds=found.horizon, moves=[step(each) for each in found.steps],
    )  # fmt: skip


def program_with_records(found: Program, records: Iterable[Record]) -> models.ProgramWithRecords:
    rows = [models.RecordRow(at=each.at, what=each.what, by=each.by, sentence=each.sentence) for each in records]
    return models.ProgramWithRecords(**dict(program(found)), records=rows)


def step(each: Step) -> models.StepRow:
    ends = {"from": each.before[each.resource], "to": each.after[each.resource]}
    return models.StepRow(
        workload=each.key, node=each.node, resource=each.resource, phase=each.phase, note=each.note,
        failure=each.failure, **ends,
    )  # fmt: skip


# --- readings and nodes ---------------------------------------------------------------------------------------------------


def reading(found: Reading) -> View:
    """As glance.ReadingRow; a dict, since there may be thousands."""
    return {
        "key": found.key,
        "node": found.node,
        "workload": found.workload,
        "protocol": found.protocol,
        "at": rfc3339(found.at),
        "up": found.up,
        "failure": found.failure,
        "failure_message": found.failure_message,
        "connection": str(found.connection),
        "state": found.state,
        "healthy": found.healthy,
        "version": found.version,
        "node_id": found.node_id,
        "quality": str(found.quality) if found.quality else None,
        "gross_usd_per_hour": number(found.rate_usd_per_hour),
        "net_usd_per_hour": number(found.net_usd_per_hour),
        "native_per_hour": numbers(found.native.gross_per_hour),
        "balance_usd": numbers(found.balance_usd),
        "price_usd_per_unit_hour": numbers(found.price_usd_per_unit_hour),
        "allocated": numbers(found.allocated),
        "configured": numbers(found.configured),
        "used": numbers(found.used),
        "irreversible": numbers(found.irreversible),
        "growth_per_hour": number(found.growth_per_hour),
        "earning_stalled": found.earning_stalled,
        "payout": {
            "threshold_usd": number(found.payout_threshold_usd),
            "expected_at": None
            if number(found.payout_expected_at) is None
            else rfc3339(found.payout_expected_at or 0.0),
            "verdict": found.payout_verdict,
        },
        "autonomous": found.autonomous,
        "notes": list(found.notes),
    }


def nodes(manifests: Manifests, view: View) -> View:
    """Every declared node with what its workloads hold and earn now."""
    rows: dict[str, list[View]] = {}
    for row in view["workloads"]:
        rows.setdefault(row["node"], []).append(row)
    policy_of = {node.name: policy.name for policy in manifests.policies for node in manifests.nodes_of(policy)}
    return {
        "nodes": [
            {
                "name": node.name,
                "labels": dict(node.metadata.labels),
                "policy": policy_of.get(node.name),
                "capacity": numbers(node.spec.capacity),
                "allocated": allocated(sorted(node.spec.capacity), rows.get(node.name, [])),
                "gross_usd_per_hour": known_sum(row["gross_usd_per_hour"] for row in rows.get(node.name, [])),
                "net_usd_per_hour": known_sum(row["net_usd_per_hour"] for row in rows.get(node.name, [])),
                "workloads": [row["key"] for row in rows.get(node.name, [])],
            }
            for node in manifests.nodes
        ]
    }


def allocated(resources: Iterable[str], rows: Sequence[View]) -> dict[str, float | None]:
    """Of each resource, what those that are handed out hold together; None: of one of them nobody knows."""
    held: dict[str, float | None] = {}
    for resource in resources:
        each = [row["allocated"] for row in rows if row["resource"] == resource and row["max"] is not None]
        held[resource] = None if None in each else sum(each)
    return held


def known_sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


# --- what would be better -------------------------------------------------------------------------------------------------


def plans(view: View, policy: str | None = None) -> View:
    return {"at": view["at"], "policies": [item for item in view["policies"] if policy in {None, item["name"]}]}


def opportunities(view: View, policy: str | None, node: str | None, limit: int) -> View:
    """Of all policies together; the best first, those that the guard would let pass before the others."""
    found = [
        {"policy": item["name"], **each}
        for item in view["policies"]
        for each in item["plan"]["opportunities"]
        if policy in {None, item["name"]} and node in {None, each["node"]}
    ]
    found.sort(key=lambda each: (each["reason"] not in {"Allowed", "ModeSuggest"}, -gain_of(each), each["target"]))
    return {"opportunities": found[:limit]}


def gain_of(opportunity: View) -> float:
    gain = opportunity["gain_usd_per_hour"]
    return gain["expected"] or 0.0 if gain else 0.0


# --- the past -------------------------------------------------------------------------------------------------------------


def event(each: Event) -> models.EventRow:
    return models.EventRow(at=each.at, kind=each.kind, subject=each.subject, sentence=each.sentence)


def decided(each: RecordedDecision) -> models.Decided:
    return models.Decided(at=each.at, policy=each.policy, reason=each.reason, sentence=each.sentence)


def changed(each: Trial) -> models.Changed:
    return models.Changed(at=each.at, policy=each.policy, change=glance.Change.model_validate(views.program(each)))


def page_of(found: Sequence[T], limit: int, at: Callable[[T], float]) -> tuple[list[T], str | None]:
    """The newest `limit`, and from where those before them go on; `found` is sorted, newest first.

    Two of one time are never on two pages, or `before` would lose one: a page ends where the time changes, and is longer
    than `limit` only where more than that happened at once.
    """
    if len(found) <= limit:
        return list(found), None
    oldest = at(found[limit])
    shown = [each for each in found[:limit] if at(each) > oldest]
    if not shown:
        shown = [each for each in found if at(each) == oldest]
        if len(shown) == len(found):
            return shown, None
    return shown, next_before(at(shown[-1]))


def next_before(at: float) -> str:
    """A time to the last digit, as `before` reads it back."""
    return f"{at:.6f}" if float(f"{at:.6f}") == at else f"{at:.9f}"


def in_pieces(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def message(topic: str, at: float, data: Any) -> bytes:
    """One message of the stream. Raises ValueError for NaN and infinities."""
    return views.as_json({"topic": topic, "at": rfc3339(at), "data": data}).encode()
