"""The AllocationPolicy manifest: what orcha is allowed to do, to which nodes, and how carefully. Pure models.

Every default stands here once; its reason stands under it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exporters.nodes import Duration, Metadata, Model, Quantity, Window

Mode = Literal["Off", "Suggest", "Approve", "Auto"]
MODES: tuple[Mode, ...] = ("Off", "Suggest", "Approve", "Auto")
"""From the strictest on; of two that apply, the stricter one holds."""

Ratio = Annotated[float, Field(ge=0, le=1)]


class Selector(Model):
    match_labels: dict[str, str] = {}
    """Nodes that carry all of these; none = every node."""


class Objective(Model):
    strategy: Literal["Threshold", "Interval", "Predictive", "RiskAware"] = "Threshold"
    solver: Literal[
        "Auto", "WaterFilling", "LinearProgram", "MILP", "Decomposition", "Greedy", "Genetic", "Annealing"
    ] = "Auto"
    horizon: Duration = 7200.0
    """2 h: twice the hold. Over a day the daily rhythm averages away (economics.md 3)."""
    risk_tolerance: float | None = Field(default=None, ge=0)
    """USD/h, standard deviation."""
    every: Duration = 86400.0
    rise_analyses: int = Field(default=1, ge=1)


class Reconcile(Model):
    observe: Duration = 5.0
    """Collect what is due; each protocol has its own poll interval."""
    estimate: Duration = 30.0
    plan: Duration = 60.0
    jitter: Ratio = 0.1
    """So that many controllers do not move as a herd."""


class MinImprovement(Model):
    percent: float = Field(default=1.0, ge=0)
    """Of the node's rate. 5 % blocks between 43 and 99 % of all decisions (economics.md 5)."""
    usd_per_hour: float = Field(default=0.0, ge=0)


class OnSourceFailure(Model):
    last_good: Duration


class Limits(Model):
    min_improvement: MinImprovement = MinImprovement()
    min_confidence: Ratio = 0.7
    min_history: Duration = 7200.0
    max_step_percent: float = Field(default=20.0, gt=0, le=100)
    """Of the resource's capacity, per workload and program; never under one step."""
    hold: Duration = 3600.0
    max_programs_per_hour: int = Field(default=4, ge=0)
    parallel_nodes: int = Field(default=1, ge=1)
    freeze_windows: list[Window] = []
    block_while: str | None = None
    """PromQL; any result blocks, and so does a Prometheus that does not answer."""
    max_unhealthy_share: Ratio = 0.5
    on_source_failure: Literal["stay"] | OnSourceFailure = "stay"


class Rollback(Model):
    automatic: bool = True
    stages: list[Annotated[float, Field(gt=0, le=1)]] = [1.0]
    regression_confidence: Ratio = 0.9


class Approval(Model):
    ttl: Duration = 86400.0


class Constraint(Model):
    protocol: str
    max_share: Ratio | None = None
    """Of the selected nodes' allocated amount of that protocol's resource."""
    min_total: Quantity | None = None
    max_total: Quantity | None = None
    max_count: int | None = Field(default=None, ge=0)


class PolicySpec(Model):
    mode: Mode = "Suggest"
    selector: Selector = Selector()
    objective: Objective = Objective()
    reconcile: Reconcile = Reconcile()
    limits: Limits = Limits()
    rollback: Rollback = Rollback()
    approval: Approval = Approval()
    constraints: list[Constraint] = []


class AllocationPolicy(Model):
    """What orcha is allowed to do to the nodes that it selects."""

    api_version: Literal["orcha.dev/v1alpha1"]
    kind: Literal["AllocationPolicy"]
    metadata: Metadata
    spec: PolicySpec = PolicySpec()

    @property
    def name(self) -> str:
        return self.metadata.name
