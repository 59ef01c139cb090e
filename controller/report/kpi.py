"""Key figures (features.md R4): how good the split is, what is left of what is earned, who was there, and did it pay.

    allocation efficiency   what the curves expect of the present split, over the best they expect of any split that the
                            nodes, bounds and constraints allow: without the limits of one program (step, hold, improvement)
    cost effectiveness      net over gross of all workloads of which both are known now
    uptime                  time up over time looked at, of all workloads, of about the last week; a day at the start
    reconnect               how long the newest failing stretch lasted, from its first failed look to the look that succeeded

Absent is unknown: a node that was never lost has no time to reconnect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from prometheus_client.core import GaugeMetricFamily

from controller.estimate.readings import counting
from controller.plan.problem import build
from controller.plan.solve import solve

if TYPE_CHECKING:
    from controller.learning import Record
    from controller.model import Decision, State
    from controller.samples import Readings
    from exporters.reading import Reading

WEEK: Final = 7 * 86400.0
EVERY: Final = 300.0
"""Seconds between two looks for the best split of all: it takes as long as a plan."""


# --- one policy ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Of one policy's newest decision; None where it cannot be told."""

    policy: str
    at: float
    allocation: float | None
    """0 to 1."""
    cost: float | None
    """At most 1; below 0 where running costs more than is earned."""


def efficiency(decision: Decision) -> Efficiency:
    plan, state = decision.plan, decision.state
    return Efficiency(plan.policy, plan.at, allocation_efficiency(decision), cost_effectiveness(state))


def allocation_efficiency(decision: Decision) -> float | None:
    """Golem earns 0.12 USD/h where the best split would let it earn 0.16: 0.75. None where nothing has a curve, or the
    best split earns nothing.
    """
    state = decision.state
    limits = state.spec.limits.model_copy(update={"max_step_percent": 100.0})
    spec = state.spec.model_copy(update={"limits": limits})
    problem = build(replace(state, spec=spec), decision.curves, {}).problem
    if not problem.choices:
        return None
    now = problem.earns(problem.current)
    best = max(now, problem.earns(solve(problem).relaxed))
    return max(0.0, now / best) if best > 0 else None


def cost_effectiveness(state: State) -> float | None:
    """What is left in hand of a dollar credited, after cuts, fees and energy. Workloads of which only one figure is known
    are left out on both sides.
    """
    readings = (counting(workload, state.now, state.spec.limits) for workload in state.workloads)
    pairs = [
        (each.net_usd_per_hour, each.rate_usd_per_hour)
        for each in readings
        if each is not None and each.net_usd_per_hour is not None and each.rate_usd_per_hour is not None
    ]
    gross = sum(rate for _, rate in pairs)
    return sum(net for net, _ in pairs) / gross if gross > 0 else None


# --- one workload -------------------------------------------------------------------------------------------------


class Contact(NamedTuple):
    """How a workload answered. Times are those of its looks."""

    at: float
    up: bool
    up_seconds: float = 0.0
    seen_seconds: float = 0.0
    lost_at: float | None = None
    """The first failed look of the failing stretch that lasts."""
    reconnect_seconds: float | None = None


def looked(contact: Contact | None, at: float, *, up: bool, stale_after: float) -> Contact:
    """After one more look. What a look said holds until the next, at most `stale_after`: a gap is neither up nor down.
    Beyond a week of looks the older half of it fades.
    """
    if contact is None:
        return Contact(at, up, lost_at=None if up else at)
    if at <= contact.at:
        return contact
    passed = min(at - contact.at, stale_after)
    up_seconds = contact.up_seconds + (passed if contact.up else 0.0)
    seen_seconds = contact.seen_seconds + passed
    fade = 0.5 if seen_seconds > WEEK else 1.0
    back = up and contact.lost_at is not None
    return Contact(
        at, up, fade * up_seconds, fade * seen_seconds,
        lost_at=None if up else at if contact.lost_at is None else contact.lost_at,
        reconnect_seconds=at - contact.lost_at if back and contact.lost_at is not None else contact.reconnect_seconds,
    )  # fmt: skip


def remembered(readings: Readings | None, stale_after: float) -> Contact | None:
    """What `looked` would have come to over the looks of the last day; None: there were none."""
    if readings is None or not len(readings.at):
        return None
    at, up = readings.at, readings.up
    passed = np.minimum(np.diff(at), stale_after)
    good = np.flatnonzero(up)
    back = good[(good > 0) & ~up[good - 1]]  # good[0] - 1 may be -1, the last: masked by good > 0
    reconnect = None
    if len(back):
        before = good[good < back[-1]]
        reconnect = float(at[back[-1]] - at[before[-1] + 1 if len(before) else 0])
    lost = None if up[-1] else float(at[good[-1] + 1 if len(good) else 0])
    return Contact(float(at[-1]), bool(up[-1]), float(passed[up[:-1]].sum()), float(passed.sum()), lost, reconnect)


@dataclass
class Scores:
    """What the loop keeps for these figures: each policy's newest, each workload's contact."""

    efficiencies: dict[str, Efficiency] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """policy -> the keys of its workloads."""
    contacts: dict[str, tuple[str, Contact]] = field(default_factory=dict)
    """key -> its protocol, and how it answered."""

    def decided(self, decision: Decision) -> None:
        """A policy's newest decision; arithmetic, for a thread."""
        known = self.efficiencies.get(decision.plan.policy)
        if known is None or not 0 <= decision.plan.at - known.at < EVERY:
            self.efficiencies[decision.plan.policy] = efficiency(decision)
        self.members[decision.plan.policy] = tuple(workload.key for workload in decision.state.workloads)

    def uptime(self, policy: str) -> float | None:
        """Share of the time looked at that the policy's workloads were up."""
        known = [self.contacts[key][1] for key in self.members.get(policy, ()) if key in self.contacts]
        seen = sum(contact.seen_seconds for contact in known)
        return sum(contact.up_seconds for contact in known) / seen if seen > 0 else None

    def look(self, reading: Reading, stale_after: float, past: Readings | None = None) -> None:
        """One more look; `past`: what is remembered of the workload, read only at its first."""
        known = self.contacts.get(reading.key)
        contact = known[1] if known else remembered(past, stale_after)
        self.contacts[reading.key] = (
            reading.protocol,
            looked(contact, reading.at, up=reading.up, stale_after=stale_after),
        )

    def keep(self, policies: Iterable[str], keys: Iterable[str]) -> None:
        """Of others nothing is shown any more."""
        wanted, those = set(keys), set(policies)
        self.contacts = {key: known for key, known in self.contacts.items() if key in wanted}
        self.efficiencies = {name: known for name, known in self.efficiencies.items() if name in those}
        self.members = {name: mine for name, mine in self.members.items() if name in those}


# --- families -----------------------------------------------------------------------------------------------------


def families(scores: Scores, records: Iterable[Record]) -> list[GaugeMetricFamily]:
    """All of them, for metrics.render; `records` of the policies that are in force."""
    return [
        *outcome_families(records),
        *efficiency_families(scores.efficiencies.values()),
        *contact_families(scores),
    ]


def outcome_families(records: Iterable[Record]) -> Iterator[GaugeMetricFamily]:
    """Did it pay (metrics.md)."""
    realised = _of_policy(
        "orcha_realized_gain_usd_per_hour",
        "Mean gain of the programs judged in the last 7 days against not having moved, before the cost of moving.",
    )
    error = _of_policy(
        "orcha_forecast_error_ratio",
        "How far the programs judged in the last 7 days were off, over what they promised, both summed up.",
    )
    success = _of_policy(
        "orcha_program_success_ratio",
        "Share of the programs judged in the last 7 days that brought more than moving cost.",
    )
    coverage = _of_policy(
        "orcha_interval_coverage_ratio",
        "Share of the programs judged in the last 7 days whose gain lay in the promised 80 % interval.",
    )
    for record in sorted(records, key=lambda record: record.policy):
        figures = ((realised, record.realised), (error, record.error), (success, record.success))
        for family, value in (*figures, (coverage, record.coverage)):
            if value is not None:
                family.add_metric([record.policy], value)
    yield from (realised, error, success, coverage)


def efficiency_families(found: Iterable[Efficiency]) -> Iterator[GaugeMetricFamily]:
    allocation = _of_policy(
        "orcha_kpi_allocation_efficiency_ratio",
        "What the present split is expected to earn, over the best split that nodes and bounds allow at once.",
    )
    cost = _of_policy(
        "orcha_kpi_cost_effectiveness_ratio",
        "Net over gross earnings now; below 0 where running costs more than is earned.",
    )
    for each in sorted(found, key=lambda each: each.policy):
        for family, value in ((allocation, each.allocation), (cost, each.cost)):
            if value is not None:
                family.add_metric([each.policy], value)
    yield from (allocation, cost)


def contact_families(scores: Scores) -> Iterator[GaugeMetricFamily]:
    uptime = _of_policy(
        "orcha_kpi_uptime_ratio", "Share of the time looked at that its workloads were up, over about a week."
    )
    reconnect = GaugeMetricFamily(
        "orcha_kpi_reconnect_seconds",
        "How long it took to be back when it was last lost.",
        labels=["node", "workload", "protocol"],
    )
    for policy in sorted(scores.members):
        share = scores.uptime(policy)
        if share is not None:
            uptime.add_metric([policy], share)
    for key, (protocol, contact) in sorted(scores.contacts.items()):
        node, _, workload = key.partition("/")
        if contact.reconnect_seconds is not None:
            reconnect.add_metric([node, workload, protocol], contact.reconnect_seconds)
    yield from (uptime, reconnect)


def _of_policy(name: str, words: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=["policy"])
