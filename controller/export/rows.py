"""How rows of the store become rows of an export. Pure.

What another version wrote and this one cannot read keeps what its own columns say; the rest of it is empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from controller.export.columns import COLUMNS, DECISIONS, Row
from controller.export.columns import Kind as Sort
from controller.programs import Program
from controller.promises import Kind, Trial
from controller.report.programs import approved_by, change_view, program_view
from controller.samples import LATEST

if TYPE_CHECKING:
    from controller.programs import Record

_PROGRAM = TypeAdapter(Program)
_TRIAL = TypeAdapter(Trial)


SUMS: Final = (
    "hours", "down_hours", "allocated_unit_hours", "allocated_hours", "used_unit_hours", "used_hours", "net_usd", "net_hours",
    "gross_usd", "energy_usd", "tokens", "token_usd",
)  # fmt: skip
"""Of a block, in the order in which they are read."""


class Name(NamedTuple):
    """Whose a row is."""

    node: str
    key: str
    protocol: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """A program of the journal, a trial, or both under the same id, as the store has them."""

    id: str
    policy: str
    at: float
    state: str | None
    """None: it is not in the journal."""
    changed: float | None
    program: str | None
    """JSON."""
    trial: str | None
    """JSON."""


def name_of(key: str, newest: str | None) -> Name:
    """`newest`: the newest reading, as JSON."""
    protocol = None
    with suppress(ValueError):
        found = json.loads(newest) if newest else None
        protocol = found.get("protocol") if isinstance(found, dict) else None
    return Name(key.partition("/")[0], key, protocol)


def look_row(row: Sequence[Any], name: Name, resource: str | None) -> Row:
    """Of one look: (at, workload_id, up, allocated, used, net_usd_per_hour)."""
    at, _, up, allocated, used, net = row
    return (at, 0, *name, resource, bool(up), allocated, used, net, *_NO_SUMS)


_NO_SUMS = (None,) * 10


def span_row(row: Sequence[Any], name: Name) -> Row:
    """Of a block: (start, span, workload_id, resource, and its SUMS). A sum of nothing is unknown."""
    start, span, _, resource, hours, down, *means, gross, energy, tokens, token_usd = row
    allocated_unit_hours, allocated_hours, used_unit_hours, used_hours, net_usd, net_hours = means
    known = token_usd or None
    return (
        start * 60.0, span, *name, resource, None,
        _mean(allocated_unit_hours, allocated_hours), _mean(used_unit_hours, used_hours), _mean(net_usd, net_hours),
        hours, down, allocated_hours, used_hours, net_hours,
        net_usd if net_hours else None,
        gross if net_hours else gross or None,
        energy if hours else None,
        tokens if known else None, known,
    )  # fmt: skip


def _mean(total: float | None, hours: float | None) -> float | None:
    return total / hours if total is not None and hours else None


def decision_row(row: Any) -> Row:
    """(at, policy, reason, sentence, body): body is what views.policy made."""
    said = _object(row.body)
    plan = _mapping(said.get("plan"))
    gain = _mapping(plan.get("gain_usd_per_hour"))
    left_out = said.get("left_out")
    found = (
        row.at, row.policy, said.get("mode"), row.reason, row.sentence, plan.get("strategy"), plan.get("solver"),
        plan.get("rate_now_usd_per_hour"), gain.get("low"), gain.get("expected"), gain.get("high"),
        plan.get("cost_usd"), plan.get("net_benefit_usd"), plan.get("confidence"), plan.get("horizon_seconds"),
        said.get("circuit_open"), said.get("ready_at"), said.get("verdicts"),
        [{"workload": key, **_mapping(why)} for key, why in left_out.items()] if isinstance(left_out, dict) else None,
    )  # fmt: skip
    return tuple(value if _fits(column.kind, value) else None for column, value in zip(DECISIONS, found, strict=True))


def _mapping(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _fits(kind: Sort, value: Any) -> bool:
    """Whether it is what its column holds: another version may have written something else under the name."""
    if kind in {Sort.TIME, Sort.NUMBER, Sort.WHOLE}:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number and (kind is not Sort.TIME or 0 <= value <= LATEST)
    return isinstance(value, {Sort.TRUTH: bool, Sort.LIST: list}.get(kind, str))


def _object(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def program_row(told: Told, records: Sequence[Record]) -> Row:
    """By the names of its columns; those that nothing is known of are empty."""
    known: dict[str, Any] = {
        "at": told.at, "id": told.id, "policy": told.policy, "state": told.state, "changed_at": told.changed,
    }  # fmt: skip
    change = _trial(told.trial)
    if change is not None:
        known |= _of_trial(change)
    if told.program is not None and (program := _program(told.program)) is not None:
        known |= _of_program(program, records)
    return tuple(known.get(column.name) for column in COLUMNS["programs"])


def _program(body: str) -> Program | None:
    with suppress(ValidationError):
        return _PROGRAM.validate_json(body)
    return None


def _trial(body: str | None) -> Trial | None:
    with suppress(ValidationError):
        return None if body is None else _TRIAL.validate_json(body)
    return None


def _of_program(program: Program, records: Sequence[Record]) -> dict[str, Any]:
    view = program_view(program, records)
    names = ("workload", "node", "resource", "from", "to", "phase")
    return {
        "kind": None if program.began is None else Kind.APPLIED.value,
        **{name: view[name] for name in ("cause", "state", "sentence", "said", "by", "confidence", "cost_usd")},
        "approved_by": approved_by(view),
        "began_at": program.began,
        "changed_at": program.changed,
        "horizon_seconds": view["horizon_seconds"] or None,
        "moves": [{name: move[name] for name in names} for move in view["moves"]],
        **_ends("gain", view["gain_usd_per_hour"]),
    }


def _of_trial(change: Trial) -> dict[str, Any]:
    view = change_view(change)
    moves = [
        {**{name: part[name] for name in ("workload", "resource", "from", "to")}, "node": part["workload"].partition("/")[0]}
        for part in view["moves"]
    ]  # fmt: skip
    names = ("due_at", "judged_at", "realised_usd", "within", "success", "cost_usd")
    return {
        "kind": change.kind.value,
        **{name: view[name] for name in names},
        "confidence": change.promise.confidence if change.promise else None,
        "horizon_seconds": max((part.horizon for part in change.parts), default=None),
        "outcome": change.outcome.sentence if change.outcome else None,
        "moves": moves,
        **_ends("gain", view["promised_usd_per_hour"]),
        **_ends("realised", view["realised_usd_per_hour"]),
    }


def _ends(name: str, interval: Mapping[str, float | None] | None) -> dict[str, float | None]:
    ends = interval or {}
    return {f"{name}_{end}_usd_per_hour": ends.get(end) for end in ("low", "expected", "high")}
