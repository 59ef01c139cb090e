"""What is answered about the present: the status, plans, opportunities, nodes and readings, as pydantic models.

Unknown is null, never 0. Amounts are in base units, money in USD. Times are RFC 3339, but for what comes from the view
that `orcha status -o json` prints as well (status, plan): there they are Unix seconds, as they are there.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from controller.api.shapes import Amounts, Answer, Gain, Time
from controller.policy import Mode


class WhyNot(Answer):
    reason: str
    sentence: str


class WorkloadStatus(Answer):
    """One workload at a glance. Times are Unix seconds."""

    key: str
    """NODE/WORKLOAD."""
    node: str
    protocol: str
    driver: str | None = None
    """Who changes it; none: nobody, it is only shown."""
    resource: str | None
    """What is handed out."""
    curve: str | None
    step: float | None
    min: float | None
    max: float | None
    up: bool | None
    """Of the newest look; null: it was not asked yet."""
    failure: str | None
    connection: str
    read_at: float | None
    """When it last gave a reading."""
    state: str | None
    """The protocol's own word."""
    healthy: bool | None
    version: str | None
    quality: str | None
    """measured, estimated or assumed."""
    gross_usd_per_hour: float | None
    net_usd_per_hour: float | None
    """In hand: after held amounts, cuts, fees and energy."""
    native_per_hour: Amounts
    """By token."""
    balance_usd: Amounts
    allocated: float | None
    configured: float | None = None
    """What its configuration asks for, where that can differ."""
    used: float | None
    stalled: bool | None
    """Up, and not earning."""
    notes: list[str]
    target: float | None = None
    """What the plan would give it; absent where it is in no plan."""
    next_step_usd_per_hour: float | None = None
    """What one more step is worth."""
    curve_why: str = ""
    """What its curve was made from."""
    verdict: str = ""
    """The guard's reason about its move."""
    drift: dict[str, Any] | None = None
    """Where what it has is not what was set: what was wanted, what is configured and in force, and why, in a sentence."""
    left_out: WhyNot | None = None
    """Why it stays out of the plan."""


class VerdictRow(Answer):
    """What the guard says of one move."""

    workload: str
    resource: str
    from_: float = Field(alias="from")
    to: float
    gain_usd_per_hour: float | None
    cost_usd: float | None
    allowed: bool
    reason: str
    """CamelCase, as in the metrics."""
    sentence: str


class MoveRow(Answer):
    workload: str
    resource: str
    from_: float = Field(alias="from")
    to: float


class Alternative(Answer):
    """Another plan."""

    moves: list[MoveRow]
    gain_usd_per_hour: Gain | None
    cost_usd: float | None
    net_benefit_usd: float | None
    confidence: float | None
    score: float | None
    solver: str
    why: str


class Opportunity(Answer):
    """The best transfer from one workload, or from free capacity, to another."""

    node: str
    resource: str
    source: str | None
    """null: free capacity."""
    target: str
    amount: float | None
    source_amount: float | None
    gain_usd_per_hour: Gain | None
    cost_usd: float | None
    confidence: float | None
    steps: int
    restarts: int
    offline_minutes: float | None
    reason: str
    sentence: str
    score: float | None


class PlanParts(Answer):
    """A split, and what it is worth. `at` is in Unix seconds."""

    at: float
    solver: str
    why: str
    """Why this solver."""
    rate_now_usd_per_hour: float | None
    gain_usd_per_hour: Gain | None
    cost_usd: float | None
    net_benefit_usd: float | None
    roi: float | None
    confidence: float | None
    horizon_seconds: float | None
    gap: float | None
    rounding_loss_usd_per_hour: float | None
    current: Amounts
    """By workload."""
    targets: Amounts
    """By workload."""
    strategy: str
    score: float | None
    alternatives: list[Alternative]
    opportunities: list[Opportunity]


class Change(Answer):
    """A change, what it promised, and what came of it. Times are Unix seconds."""

    id: str
    kind: str
    """followed, manual or applied."""
    at: float
    moves: list[dict[str, Any]]
    promised_usd_per_hour: Gain | None
    due_at: float
    """When it can be judged."""
    cost_usd: float | None = None
    """What moving was to cost."""
    realised_usd: float | None = None
    """What it brought in all, less what moving cost."""
    judged_at: float | None
    realised_usd_per_hour: Gain | None
    within: bool | None
    success: bool | None
    sentence: str


class Outcomes(Answer):
    """Whether the changes of the last 7 days paid."""

    running: int
    judged: int
    unknown: int
    realised_usd_per_hour: float | None
    promised_usd_per_hour: float | None
    realised_usd: float | None
    error_ratio: float | None
    success_ratio: float | None
    coverage_ratio: float | None
    programs: list[Change]


class Learned(Answer):
    spread: float
    penalty: Amounts
    fallback: str | None
    """Why this policy only suggests for now."""


class PolicyStatus(Answer):
    """What one policy would do, what that is worth, and why it does or does not."""

    name: str
    mode: Mode
    reason: str
    sentence: str
    ready_at: float | None
    """When there will be enough history; null: there is."""
    circuit_open: bool
    plan: PlanParts
    verdicts: list[VerdictRow]
    left_out: dict[str, WhyNot]
    outcomes: Outcomes | None = None
    learned: Learned | None = None


class InForce(Answer):
    sha256: str = ""
    problems: list[str] = []
    """Why the manifests on disk are not in force."""


class Status(Answer):
    """Everything at a glance. Times are Unix seconds."""

    at: float
    version: str
    complete: bool
    """Every workload was asked at least once."""
    manifests: InForce
    workloads: list[WorkloadStatus]
    policies: list[PolicyStatus]


class Plans(Answer):
    at: float
    """Unix seconds."""
    policies: list[PolicyStatus]


class OpportunityOfPolicy(Opportunity):
    policy: str


class Opportunities(Answer):
    opportunities: list[OpportunityOfPolicy]
    """The best first."""


# --- nodes and readings ---------------------------------------------------------------------------------------------------


class NodeRow(Answer):
    name: str
    labels: dict[str, str]
    policy: str | None
    """Which policy selects it."""
    capacity: Amounts
    """What may be handed out."""
    allocated: dict[str, float | None]
    """What its workloads hold of that; null where that of one of them is unknown."""
    gross_usd_per_hour: float | None
    """Of those of its workloads of which it is known."""
    net_usd_per_hour: float | None
    workloads: list[str]
    """Their keys."""


class Nodes(Answer):
    nodes: list[NodeRow]


class Payout(Answer):
    threshold_usd: float | None
    expected_at: Time | None
    verdict: str | None


class ReadingRow(Answer):
    """The newest look at one workload."""

    key: str
    node: str
    workload: str
    protocol: str
    at: Time
    up: bool
    failure: str | None
    failure_message: str | None
    connection: str
    state: str | None
    healthy: bool | None
    version: str | None
    node_id: str | None
    quality: str | None
    gross_usd_per_hour: float | None
    net_usd_per_hour: float | None
    native_per_hour: Amounts
    balance_usd: Amounts
    price_usd_per_unit_hour: Amounts
    allocated: Amounts
    configured: Amounts
    used: Amounts
    irreversible: Amounts
    growth_per_hour: float | None
    earning_stalled: bool | None
    payout: Payout
    autonomous: str | None
    """Another controller that changes its allocation by itself."""
    notes: list[str]


class Readings(Answer):
    readings: list[ReadingRow]
    next: str | None
    """What to give as `after` for those that follow; null: there are none."""
