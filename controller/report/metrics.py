"""The controller's own metric families (metrics.md): what the newest decisions want, and how the loop runs.

Families that grow with the number of workloads are rendered once per decision, by whoever made it, so that a scrape
only joins bytes; the few that live (counters, the loop's histogram) stand in a registry of our own.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from controller.model import Decision, NodeState, Reason
from controller.policy import MODES
from controller.report.acting import ActingMetrics

STEPS = ("observe", "estimate", "plan", "guard", "sequence", "actuate", "report")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_EOF = b"# EOF\n"

UNITS: Mapping[str, tuple[str, float]] = {
    "cpu": ("cpu_cores", 1.0),
    "memory": ("memory_bytes", 1.0),
    "storage": ("storage_bytes", 1.0),
    "bandwidth": ("bandwidth_bytes_per_second", 1 / 8),
}
"""resource -> (end of the family's name, factor from base units). Everything else goes to `_units{resource}`."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rendered families, in both formats, without the end mark."""

    text: bytes = b""
    openmetrics: bytes = b""

    def of(self, *, openmetrics: bool) -> bytes:
        return self.openmetrics if openmetrics else self.text


class _Families(Collector):
    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families


def render(
    decisions: Iterable[Decision], capacities: Iterable[NodeState], more: Iterable[GaugeMetricFamily] = ()
) -> Page:
    """The families that follow from the newest decision of each policy, and `more` (kpi.py). Pure, for a worker thread."""
    made = sorted(decisions, key=lambda decision: decision.plan.policy)
    families = [*capacity_families(capacities), *allocation_families(made), *plan_families(made), *more]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return Page(rendered(registry, openmetrics=False), rendered(registry, openmetrics=True))


def rendered(registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """What is in a registry, without the end mark."""
    return generate_openmetrics(registry).removesuffix(_EOF) if openmetrics else generate_latest(registry)


def capacity_families(nodes: Iterable[NodeState]) -> Iterator[GaugeMetricFamily]:
    nodes = sorted(nodes, key=lambda node: node.name)
    for resource, (suffix, factor) in UNITS.items():
        family = GaugeMetricFamily(
            f"orcha_node_capacity_{suffix}", f"What orcha may hand out of {resource}.", labels=["node"]
        )
        for node in nodes:
            if resource in node.capacity:
                family.add_metric([node.name], node.capacity[resource] * factor)
        if family.samples:
            yield family
    extended = GaugeMetricFamily(
        "orcha_node_capacity_units", "What orcha may hand out of a resource.", labels=["node", "resource"]
    )
    for node in nodes:
        for resource, value in sorted(node.capacity.items()):
            if resource not in UNITS:
                extended.add_metric([node.name, resource], value)
    if extended.samples:
        yield extended


def allocation_families(decisions: Iterable[Decision]) -> Iterator[GaugeMetricFamily]:
    labels = ["node", "workload", "protocol", "resource"]
    ratio = GaugeMetricFamily("orcha_allocation_ratio", "Allocated share of the node's capacity.", labels=labels)
    target = GaugeMetricFamily("orcha_allocation_target_ratio", "The share that the newest plan wants.", labels=labels)
    slope = GaugeMetricFamily(
        "orcha_marginal_value_usd_per_hour",
        "What one more step at the present allocation is worth; absent at the maximum.",
        labels=labels,
    )
    for decision in decisions:
        capacity = {node.name: node.capacity for node in decision.state.nodes}
        for state in decision.state.workloads:
            if state.allocation is None or state.key not in decision.plan.current:
                continue
            resource, here = state.allocation.resource, decision.plan.current[state.key]
            name = [state.node, state.key.removeprefix(f"{state.node}/"), state.protocol, resource]
            whole = capacity[state.node].get(resource, 0.0)
            if whole > 0:
                ratio.add_metric(name, here / whole)
                target.add_metric(name, decision.plan.targets.get(state.key, here) / whole)
            curve = decision.curves.get(state.key)
            worth = curve.slope(here, step=state.allocation.step) if curve else None
            if worth is not None:
                slope.add_metric(name, worth)
    yield from (ratio, target, slope)


def plan_families(decisions: Iterable[Decision]) -> Iterator[GaugeMetricFamily]:
    decisions = list(decisions)
    yield opportunity_family(decisions)
    gain = GaugeMetricFamily(
        "orcha_plan_gain_usd_per_hour",
        "What the newest plan would gain: 10 %, expected, 90 %.",
        labels=["policy", "bound"],
    )
    cost = GaugeMetricFamily("orcha_plan_cost_usd", "What the plan's moves cost once.", labels=["policy"])
    sure = GaugeMetricFamily(
        "orcha_plan_confidence_ratio", "How sure it is that the plan pays within its horizon.", labels=["policy"]
    )
    roi = GaugeMetricFamily(
        "orcha_plan_roi_ratio", "Net benefit over cost; absent where moving is free.", labels=["policy"]
    )
    at = GaugeMetricFamily("orcha_plan_timestamp_seconds", "When the newest plan was made.", labels=["policy"])
    solver = GaugeMetricFamily(
        "orcha_plan_solver_info", "Which solver made the plan, and why it.", labels=["policy", "solver", "why"]
    )
    circuit = GaugeMetricFamily(
        "orcha_circuit_open", "1 too many workloads are unhealthy or unread for any move.", labels=["policy"]
    )
    mode = GaugeMetricFamily("orcha_policy_mode", "1 for the mode that holds.", labels=["policy", "mode"])
    for decision in decisions:
        plan, name = decision.plan, [decision.plan.policy]
        if plan.gain is not None:
            for bound in ("low", "expected", "high"):
                gain.add_metric([*name, bound], getattr(plan.gain, bound))
            cost.add_metric(name, plan.cost_usd)
        if plan.confidence is not None:
            sure.add_metric(name, plan.confidence)
        if plan.roi is not None:
            roi.add_metric(name, plan.roi)
        at.add_metric(name, plan.at)
        solver.add_metric([*name, plan.solver, why_word(plan.why)], 1.0)
        circuit.add_metric(name, float(decision.circuit_open))
        for word in MODES:
            mode.add_metric([*name, word], float(decision.state.spec.mode == word))
    yield from (gain, cost, sure, roi, at, solver, circuit, mode)


def why_word(why: str) -> str:
    """The reason as a label without figures, so that they make no new series: "WaterFilling (exact): ..." -> "exact"."""
    found = re.search(r"\(([a-z ]+)\)", why)
    return found[1] if found else re.split(r"[:;,]", why, maxsplit=1)[0].strip()[:60]


def opportunity_family(decisions: Iterable[Decision]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "orcha_opportunity_gain_usd_per_hour",
        "Best transfer from one workload to another within limits, where it gains; source 'free' is unallocated capacity.",
        labels=["node", "source", "target"],
    )
    for decision in decisions:
        for found in decision.plan.opportunities:
            if found.gain.expected > 0:
                source = (found.source or "free").removeprefix(f"{found.node}/")
                family.add_metric(
                    [found.node, source, found.target.removeprefix(f"{found.node}/")], found.gain.expected
                )
    return family


@dataclass
class ControllerMetrics:
    """What lives: the loop's histogram and heartbeat, counters, reload state."""

    version: str
    revision: str
    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))
    page: Page = field(default_factory=Page)
    """Of the newest decisions; replaced whole."""

    def __post_init__(self) -> None:
        registry = self.registry
        self.verdicts = Counter("orcha_verdicts", "Moves judged, by reason.", ["policy", "reason"], registry=registry)
        self.duration = Histogram(
            "orcha_reconcile_duration_seconds",
            "How long each step of the loop took.",
            ["step"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.heartbeat = Gauge(
            "orcha_reconcile_last_success_timestamp_seconds", "When the loop last went round.", registry=registry
        )
        self.reload_ok = Gauge(
            "orcha_manifest_reload_success",
            "1 the newest manifests are in force, 0 they were refused.",
            registry=registry,
        )
        self.reload_at = Gauge(
            "orcha_manifest_reload_timestamp_seconds", "When manifests last came into force.", registry=registry
        )
        self.manifest = Gauge("orcha_manifest_info", "The manifests in force.", ["sha256"], registry=registry)
        self.paused = Gauge("orcha_paused", "1 an operator has paused a policy or all of them.", registry=registry)
        self.acting = ActingMetrics(registry)
        self.state_ok = Gauge(
            "orcha_state_write_success",
            "1 the last write to the state succeeded, 0 it is kept and tried again.",
            registry=registry,
        )
        build = Gauge(
            "orcha_build_info", "The version that runs.", ["version", "revision", "python"], registry=registry
        )
        build.labels(self.version, self.revision, platform.python_version()).set(1)
        self.paused.set(0)
        self.state_ok.set(1)
        for step in STEPS:
            self.duration.labels(step)

    def policies(self, names: Iterable[str]) -> None:
        """Every reason of every policy is there from the start; policies that are gone are gone."""
        wanted = set(names)
        for policy, reason in list(self.verdicts._metrics):  # noqa: SLF001 the library offers no list of its children
            if policy not in wanted:
                self.verdicts.remove(policy, reason)
        self.acting.policies(wanted)
        for name in wanted:
            for reason in Reason:
                self.verdicts.labels(name, str(reason))

    def reloaded(self, sha256: str, at: float) -> None:
        self.reload_ok.set(1)
        self.reload_at.set(at)
        self.manifest.clear()
        self.manifest.labels(sha256).set(1)

    def count(self, decision: Decision) -> None:
        for verdict in decision.verdicts:
            self.verdicts.labels(decision.plan.policy, str(verdict.reason)).inc()

    def render(self, *, openmetrics: bool) -> list[bytes]:
        """The page in parts, without the end mark."""
        return [rendered(self.registry, openmetrics=openmetrics), self.page.of(openmetrics=openmetrics)]
