"""How a period went (R5), as plain JSON: what was earned, by whom, what was changed and what that brought. Pure.

    Told (what a state knows) ──performance──▶ View ──▶ performance_text.py (Markdown), performance_page.py (HTML)

Money is USD, times are RFC 3339, durations seconds, amounts base units; null is unknown, never 0. Nothing is extrapolated:
each sum is of the time that is known, and says how much that is (`coverage`). docs/report.md lists the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from controller.replay import CannotReplay, replay
from controller.report.kpi import allocation_efficiency
from controller.report.performance_notes import NOTABLE, notes
from controller.report.performance_nothing import Instead, against_nothing, total
from controller.report.performance_past import (
    HOUR,
    NOTHING,
    Columns,
    Contact,
    Past,
    Sums,
    at_the_ends,
    columns,
    contact,
    ends,
    reach,
    summed,
)
from controller.report.performance_series import allocations, series
from controller.report.programs import rfc3339
from controller.report.views import interval, number

if TYPE_CHECKING:
    from controller.model import Decision, NodeState
    from controller.rows import RecordedDecision

View = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Everything that a state knows of a period."""

    state: str
    since: float
    until: float
    now: float
    pasts: Sequence[Past]
    """Sorted by key."""
    history: View
    """Reallocations that began in the period (programs.history_view)."""
    decided: Sequence[RecordedDecision] = ()
    """Of each policy the newest of the period or before; who decided last comes last."""


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """One workload, reckoned."""

    past: Past
    found: Columns
    sums: Sums
    contact: Contact
    instead: Instead

    @property
    def node(self) -> str:
        return self.past.key.partition("/")[0]


def performance(told: Told) -> View:
    """The whole report."""
    replayed, refused = _replayed(told.decided)
    decisions = _in_force(replayed)
    known = {w.key: (w, node) for d in decisions for w in d.state.workloads for node in _node_of(d, w.node)}
    each = [_one(past, known, told.since, told.until) for past in told.pasts]
    whole, nodes = _money(each, told), {node.name: node for d in decisions for node in d.state.nodes}
    changes = _changes(told.history["entries"])
    return {
        "at": rfc3339(told.now),
        "state": told.state,
        "period": {"from": rfc3339(told.since), "to": rfc3339(told.until), "seconds": told.until - told.since},
        "known": _known(each, told),
        "notes": [*notes([(one.past, one.found, one.sums) for one in each], told.since, told.until, nodes), *refused],
        "totals": whole,
        "protocols": [{"protocol": name, **_money(those, told)} for name, those in _by(each, "protocol")],
        "nodes": [{"node": name, **_money(those, told)} for name, those in _by(each, "node")],
        "workloads": [_workload(one, told) for one in each],
        "balances": _balances(each, told),
        "changes": changes,
        "doing_nothing": _nothing(each, whole, changes, told),
        "kpis": _kpis(each, whole, changes, decisions, told),
        "allocations": allocations([(one.past, one.found) for one in each], nodes, told.since, told.until),
        "series": series([(one.past, one.found) for one in each], told.since, told.until),
    }


def _replayed(decided: Iterable[RecordedDecision]) -> tuple[list[Decision], list[str]]:
    """The decisions once more, and why some cannot be had."""
    found, refused = [], []
    for each in decided:
        if each.inputs is None:
            refused.append(f"what the decisions of policy {each.policy} were made from is not kept")
            continue
        try:
            found.append(replay(each.inputs))
        except CannotReplay as exc:
            refused.append(f"policy {each.policy}: {exc}")
    return found, refused


def _in_force(decisions: Sequence[Decision]) -> list[Decision]:
    """Without those whose every workload another policy decided on later: a policy that was renamed is not there twice."""
    found: list[Decision] = []
    seen: set[str] = set()
    for each in reversed(decisions):
        keys = {workload.key for workload in each.state.workloads}
        if not keys or not keys <= seen:
            found.insert(0, each)
        seen |= keys
    return found


def _node_of(decision: Decision, name: str) -> Iterable[NodeState]:
    return [node for node in decision.state.nodes if node.name == name]


def _one(past: Past, known: Mapping[str, Any], since: float, until: float) -> _One:
    found = columns(past)
    (sums,) = summed(found, (since, until))
    return _One(
        past, found, sums, contact(past, found, since, until), against_nothing(past, found, known, since, until)
    )


def _by(each: Iterable[_One], what: str) -> list[tuple[str, list[_One]]]:
    groups: dict[str, list[_One]] = {}
    for one in each:
        groups.setdefault(one.node if what == "node" else one.past.protocol, []).append(one)
    return sorted(groups.items())


# --- money and time -----------------------------------------------------------------------------------------------------


def _money(each: Sequence[_One], told: Told) -> View:
    """Of some workloads together. Energy is charged also to those of whom nobody knows what they earn."""
    sums = reduce(Sums.plus, (one.sums for one in each), NOTHING)
    asked = (told.until - told.since) * len(each)
    earns = sums.known > 0
    looked = sums.up + sums.down
    return {
        "gross_usd": number(sums.gross) if earns else None,
        "fees_usd": number(sums.gross - sums.net) if earns else None,
        "energy_usd": number(sums.energy) if sums.energy > 0 else None,
        "net_usd": number(sums.net - sums.energy) if earns else None,
        "known_seconds": sums.known * HOUR,
        "up_seconds": sums.up * HOUR,
        "down_seconds": sums.down * HOUR,
        "unobserved_seconds": max(0.0, asked - looked * HOUR),
        "coverage": min(1.0, sums.known * HOUR / asked) if asked else None,
        "uptime": sums.up / looked if looked > 0 else None,
    }


def _workload(one: _One, told: Told) -> View:
    known = one.sums.known
    mean = (one.sums.net - one.sums.energy) / known if known > 0 else None
    first, last = ends(one.found, told.since, told.until)
    return {
        "workload": one.past.key,
        "node": one.node,
        "protocol": one.past.protocol,
        **_money([one], told),
        "net_usd_per_known_hour": number(mean),
        "known_from": rfc3339(first),
        "known_to": rfc3339(last),
        "resource": one.found.resource,
        "allocated_begin": number(one.instead.began),
        "allocated_end": number(one.instead.ended),
        "connection": _connection(one.contact),
    }


def _connection(found: Contact) -> View:
    return {
        "reconnects": found.reconnects,
        "at_least": found.at_least,
        "mean_reconnect_seconds": found.seconds / found.reconnects if found.reconnects else None,
        "lost_since": rfc3339(found.lost_at),
    }


def _known(each: Sequence[_One], told: Told) -> View:
    first, last = reach([one.found for one in each], told.since, told.until)
    at_ends = sum(at_the_ends(one.found, told.since, told.until) for one in each)
    return {"from": rfc3339(first), "to": rfc3339(last), "at_the_ends_usd": number(at_ends)}


def _balances(each: Sequence[_One], told: Told) -> View:
    """Only the newest look's are kept; of a period that ended earlier nobody knows them."""
    goods = [(one, one.past.last_good) for one in each]
    known = [(one, good) for one, good in goods if good is not None and good.balance_usd]
    there = [good for _, good in known if told.since <= good.at <= told.until + NOTABLE]
    rows = [
        {
            "workload": one.past.key,
            "protocol": one.past.protocol,
            "begin_usd": None,
            "end_usd": {kind: number(value) for kind, value in sorted(good.balance_usd.items())}
            if good in there
            else None,
            "end_at": rfc3339(good.at) if good in there else None,
        }
        for one, good in known
    ]
    kinds = sorted({kind for good in there for kind in good.balance_usd})
    sums = {kind: number(sum(good.balance_usd.get(kind, 0.0) for good in there)) for kind in kinds}
    return {"begin_usd": None, "end_usd": sums if there else None, "workloads": rows}


# --- changes ------------------------------------------------------------------------------------------------------------


def _changes(entries: Sequence[View]) -> View:
    """The reallocations, the oldest first, and what they promised and brought together. Ratios are of those judged."""
    own = [each for each in entries if each["predicted_usd_per_hour"] is not None]
    judged = [each for each in own if each["realised_usd_per_hour"] is not None]
    promised = [each["predicted_usd_per_hour"]["expected"] for each in judged]
    realised = [each["realised_usd_per_hour"]["expected"] for each in judged]
    asked = sum(map(abs, promised))
    costs = [each["cost_usd"] for each in own if each["cost_usd"] is not None]
    return {
        "count": len(entries),
        "promised": len(own),
        "judged": len(judged),
        "waiting": sum(each["judged_at"] is None for each in own),
        "unknown": sum(each["judged_at"] is not None for each in own) - len(judged),
        "by_hand": sum(each["kind"] == "manual" for each in entries),
        "rolled_back": sum(each["state"] == "rolled_back" for each in entries),
        "blocked": sum(each["state"] == "blocked" for each in entries),
        "promised_usd_per_hour": number(sum(promised)) if judged else None,
        "realised_usd_per_hour": number(sum(realised)) if judged else None,
        "realised_usd": number(sum(each["realised_usd"] or 0.0 for each in judged)) if judged else None,
        "moving_cost_usd": number(sum(costs)) if costs or not own else None,
        "success_rate": sum(bool(each["success"]) for each in judged) / len(judged) if judged else None,
        "forecast_error": sum(abs(a - b) for a, b in zip(realised, promised, strict=True)) / asked if asked else None,
        "interval_coverage": sum(bool(each["within"]) for each in judged) / len(judged) if judged else None,
        "entries": sorted(entries, key=lambda each: (each["at"], each["id"])),
    }


def _nothing(each: Sequence[_One], whole: View, changes: View, told: Told) -> View:
    """Against keeping the split that there was at the begin."""
    parts = [one.instead for one in each]
    unknown = [part.key for part in parts if part.more is None]
    known = [part.more for part in parts if part.more is not None]
    more = total(known) if known else None
    net = whole["net_usd"]
    would = None
    if more is not None and net is not None and not unknown:
        would = {
            "low": number(net - more.high),
            "expected": number(net - more.expected),
            "high": number(net - more.low),
        }
    return {
        "split_at": rfc3339(told.since),
        "more_usd": interval(more),
        "would_have_earned_usd": would,
        "moving_cost_usd": changes["moving_cost_usd"],
        "moved_seconds": sum(part.moved_hours for part in parts) * HOUR,
        "unjudged_seconds": sum(part.unjudged_hours for part in parts) * HOUR,
        "unknown": unknown,
        "workloads": [
            {
                "workload": part.key,
                "resource": part.resource,
                "from": number(part.began),
                "to": number(part.ended),
                "more_usd": interval(part.more),
                "moved_seconds": part.moved_hours * HOUR,
                "unjudged_seconds": part.unjudged_hours * HOUR,
                "why": part.why,
            }
            for part in parts
            if part.moved_hours or part.more is None or part.unjudged_hours
        ],
    }


# --- key figures --------------------------------------------------------------------------------------------------------


def _kpis(each: Sequence[_One], whole: View, changes: View, decisions: Sequence[Decision], told: Told) -> View:
    """R4. Efficiency is of the newest decision of the period: the best split of all is not reckoned for every moment."""
    pairs = [one.sums for one in each if one.sums.known > 0]
    gross = sum(sums.gross for sums in pairs)
    days = (told.until - told.since) / 86400
    contacts = [one.contact for one in each]
    count = sum(found.reconnects for found in contacts)
    return {
        "total_earnings_usd": whole["net_usd"],
        "allocation_efficiency": [
            {"policy": d.plan.policy, "at": rfc3339(d.plan.at), "ratio": number(allocation_efficiency(d))}
            for d in decisions
        ],
        "uptime": whole["uptime"],
        "reallocations_per_day": changes["count"] / days,
        "success_rate": changes["success_rate"],
        "cost_effectiveness": sum(sums.net - sums.energy for sums in pairs) / gross if gross > 0 else None,
        "prediction": {
            "judged": changes["judged"],
            "forecast_error": changes["forecast_error"],
            "interval_coverage": changes["interval_coverage"],
        },
        "connection": {
            "reconnects": count,
            "at_least": any(found.at_least for found in contacts),
            "mean_reconnect_seconds": sum(found.seconds for found in contacts) / count if count else None,
            "lost_now": sum(found.lost_at is not None for found in contacts),
        },
    }
