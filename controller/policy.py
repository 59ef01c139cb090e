"""The AllocationPolicy manifest: what orcha is allowed to do, to which nodes, and how carefully. Pure models.

Every default stands here once; its reason stands under it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporters.nodes import Duration, Metadata, Model, Quantity, Resource, Window

Mode = Literal["Off", "Suggest", "Approve", "Auto"]
MODES: tuple[Mode, ...] = ("Off", "Suggest", "Approve", "Auto")
"""From the strictest on; of two that apply, the stricter one holds."""

Ratio = Annotated[float, Field(ge=0, le=1)]


class Selector(Model):
    """Which nodes a policy is for."""

    match_labels: dict[str, str] = {}
    """Nodes that carry all of these; none = every node."""


class Objective(Model):
    """What a good split is, and when it is worth a change."""

    strategy: Literal["Threshold", "Interval", "Predictive", "RiskAware"] = "Threshold"
    """When a plan is worth doing; Threshold: as soon as it pays and clears minImprovement."""
    solver: Literal[
        "Auto", "WaterFilling", "LinearProgram", "MILP", "Decomposition", "Greedy", "Genetic", "Annealing"
    ] = "Auto"
    """Auto picks the cheapest that is exact for the problem, and says which and why."""
    horizon: Duration = 7200.0
    """2 h: twice the hold. Over a day the daily rhythm averages away (economics.md 3)."""
    risk_tolerance: float | None = Field(default=None, ge=0)
    """RiskAware: standard deviation in USD/h."""
    every: Duration = 86400.0
    """Interval: the least time between programs."""
    rise_analyses: int = Field(default=1, ge=1)
    """How many analyses in a row a rise must last before it counts."""


class Reconcile(Model):
    """How often the loop does what."""

    observe: Duration = 5.0
    """Collect what is due; each protocol has its own poll interval."""
    estimate: Duration = 30.0
    """Fit the curves again."""
    plan: Duration = 60.0
    """Plan, judge and report."""
    jitter: Ratio = 0.1
    """So that many controllers do not move as a herd."""


class MinImprovement(Model):
    """The least that a plan must improve."""

    percent: float = Field(default=1.0, ge=0)
    """Of the node's rate. 5 % blocks between 43 and 99 % of all decisions (economics.md 5)."""
    usd_per_hour: float = Field(default=0.0, ge=0)
    """Whatever the node earns."""


class OnSourceFailure(Model):
    """Go on with what was known."""

    last_good: Duration
    """For this long after the last good reading."""


class Limits(Model):
    """What bounds change."""

    min_improvement: MinImprovement = MinImprovement()
    """Below it nothing is done."""
    min_confidence: Ratio = 0.7
    """Share of the bootstrap in which the plan must pay. Of n hours of the last 72 nobody is surer than (n + 1) / (n + 2):
    0.98 needs two days, and 1 would allow nothing."""
    min_history: Duration = 7200.0
    """Observed time before anything is planned; with less the answer is NoHistory."""
    max_step_percent: float = Field(default=20.0, gt=0, le=100)
    """Of the resource's capacity, per workload and program; never under one step."""
    hold: Duration = 3600.0
    """Per workload: no second move within it."""
    max_programs_per_hour: int = Field(default=4, ge=0)
    """Per policy; 0 allows none."""
    parallel_nodes: int = Field(default=1, ge=1)
    """How many nodes may change at once."""
    freeze_windows: list[Window] = []
    """No move while one is open."""
    block_while: str | None = None
    """PromQL; any result blocks, and so does a Prometheus that does not answer."""
    max_unhealthy_share: Ratio = 0.5
    """The circuit breaker: with more of the workloads unhealthy or unread, nothing moves."""
    on_source_failure: Literal["stay"] | OnSourceFailure = "stay"


class Rollback(Model):
    """What happens when a change turns out badly."""

    automatic: bool = True
    """Undo a change whose steps fail."""
    stages: list[Annotated[float, Field(gt=0, le=1)]] = [1.0]
    """Shares of a change that are made one after the other, rising to 1."""
    regression_confidence: Ratio = 0.9
    """How sure it must be that a stage earns less before it is undone."""


class Approval(Model):
    """Mode Approve."""

    ttl: Duration = 86400.0
    """A program that nobody approved for this long expires."""


class Constraint(Model):
    """What must hold over all selected nodes."""

    protocol: str
    """Whose allocations are meant."""
    resource: Resource | None = None
    """Only of this resource; none = of each that the protocol's workloads have."""
    max_share: Ratio | None = None
    """Of the selected nodes' allocated amount of that protocol's resource."""
    min_total: Quantity | None = None
    """At least this much in all."""
    max_total: Quantity | None = None
    """At most this much in all."""
    max_count: int | None = Field(default=None, ge=0)
    """At most so many workloads above their minimum."""
    throughout: bool = False
    """Also half way, when some nodes have changed and others have not; false = once a change is through."""

    def counts(self, protocol: str, resource: str) -> bool:
        """Whether it is about this protocol's allocations of this resource."""
        return self.protocol == protocol and self.resource in {None, resource}


class PolicySpec(Model):
    mode: Mode = "Suggest"
    """Off: do not even plan. Suggest: show. Approve: ask. Auto: act within the limits."""
    selector: Selector = Selector()
    """Which nodes; two policies must not select one node."""
    objective: Objective = Objective()
    """What to aim for."""
    reconcile: Reconcile = Reconcile()
    """How often."""
    limits: Limits = Limits()
    """How carefully."""
    rollback: Rollback = Rollback()
    """How it is undone."""
    approval: Approval = Approval()
    """How it is approved."""
    constraints: list[Constraint] = []
    """Over all selected nodes together."""


class AllocationPolicy(Model):
    """What orcha is allowed to do to the nodes that it selects."""

    api_version: Literal["orcha.dev/v1alpha1"]
    kind: Literal["AllocationPolicy"]
    metadata: Metadata
    spec: PolicySpec = PolicySpec()

    @property
    def name(self) -> str:
        return self.metadata.name
