"""The nouns of deciding: what observe hands in, and what each stage hands to the next. Pure values, frozen.

    State ──estimate──▶ Curve ──plan──▶ Plan of Moves ──guard──▶ Verdict
    (decide.py composes them into a Decision)

Units: base units of a resource (exporters/quantity.py), USD per hour, Unix seconds. Arrays are float64, must not be
written to, and are given with their shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.policy import Mode, PolicySpec
    from exporters.nodes import Allocation, Power, Watts
    from exporters.reading import Reading
    from exporters.traits import Traits

    F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Block statistics of one workload, oldest first: what the estimators know of the past (economics.md 2).

    n blocks (5 min for the last day, then 1 h, up to the retention), m levels of use. A block says for how long the
    use stood at each level, and whether it then was all the demand (exact) or filled its allocation (censored).
    """

    start: F64
    """(n,) Unix seconds at which each block begins."""
    span: F64
    """(n,) seconds from the block's begin to its end."""
    hours: F64
    """(n,) hours of it that were observed: up, and fresh."""
    usd: F64
    """(n,) USD earned while both rate and use were known: net of fees and cuts, before energy. (The energy of past
    hours was charged at past tariffs and allocations; the estimators charge that of the coming horizon as a line.)"""
    unit_hours: F64
    """(n,) used x hours over the same time, in base units."""
    rate_hours: F64
    """(n,) hours of that time."""
    used: F64
    """(n,) mean use, NaN where never known."""
    used_first: F64
    """(n,) first use seen in the block; NaN."""
    used_last: F64
    """(n,) last use seen in the block; NaN."""
    room_hours: F64
    """(n,) hours in which use was below the allocation (fill: only then does growth show)."""
    room_growth: F64
    """(n,) units by which use rose during `room_hours` (may be negative)."""
    levels: F64
    """(m,) the levels of use, ascending, in base units: quarter steps of the allocation."""
    exact: NDArray[np.float32]
    """(n, m) hours at each level with room left: demand was exactly this."""
    censored: NDArray[np.float32]
    """(n, m) hours at each level with no room left: demand was at least this."""
    tokens: F64 | None = None
    """(n,) what part of `usd` was in the one token that it is paid in, so that a past at other prices can be counted at
    today's; None: never known."""
    token_usd: F64 | None = None
    """(n,) that part of `usd`."""

    @property
    def exposure(self) -> float:
        """Hours observed, in all."""
        return float(self.hours.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the past of W workloads comes to, for curves of demand (estimate/memory.py makes it and says why).

    K kernels, of which R forget with age; M cells of use; F kept forecasts. Hours, base units, USD, Unix seconds.
    """

    ARRAYS: ClassVar = (
        "until", "quantum", "steps", "recent", "slots", "written", "forecasts", "made", "scores", "scored", "trust",
        "money", "missed", "exposure",
    )  # fmt: skip

    keys: tuple[str, ...]
    until: F64
    """(W,) the end of the last block that is counted; -inf: none."""
    quantum: F64
    """(W,) base units of a cell."""
    steps: F64
    """(W,) base units of a step."""
    recent: NDArray[np.float32]
    """(W, 2, R, M) hours at each level, exact and censored, decayed until `until`."""
    slots: NDArray[np.float32]
    """(W, 2, 2, 24, M) by kind of day and hour of day, decayed until `written`."""
    written: F64
    """(W, 2, 24)."""
    forecasts: NDArray[np.float32]
    """(W, F, K, M) survival as each kernel forecast it, NaN where there is none."""
    made: F64
    """(W, F) when; -inf: not."""
    scores: F64
    """(W, K, K)."""
    scored: F64
    """(W,) hours that were scored."""
    trust: F64
    """(W, K) the mixture."""
    money: F64
    """(W, 3, 4) for half-lives of 1, 12 and 72 h: USD not in a token, unit-hours, tokens, USD of those tokens."""
    missed: F64
    """(W, 3) decayed mean square of the relative error with which each foresaw what a unit earned."""
    exposure: F64
    """(W,) hours observed, decayed with a half-life of 48 h."""

    @property
    def index(self) -> Mapping[str, int]:
        return {key: i for i, key in enumerate(self.keys)}

    def rows(self, which: NDArray[np.intp] | slice) -> Memory:
        """The same of some of the workloads."""
        keys = tuple(self.keys[i] for i in np.arange(len(self.keys))[which])
        return Memory(keys, *(getattr(self, name)[which] for name in self.ARRAYS))


@dataclass(frozen=True, slots=True, eq=False)
class WorkloadState:
    """What is known of one workload now."""

    key: str
    """"rack-1/storj"."""
    node: str
    protocol: str
    traits: Traits
    allocation: Allocation | None
    """What its owner allows; None: watched, never moved."""
    reading: Reading | None
    """The newest that was had, up or not; None: never tried."""
    last_good: Reading | None
    """The newest with `up`; None: never."""
    stale_after: float
    blocks: Blocks | None = None
    watts: Watts | None = None
    mode: Mode | None = None
    """The workload's own, None: the policy's."""
    last_moved: float | None = None
    """When orcha last changed it."""
    manual_change_at: float | None = None
    """When an allocation was seen that orcha did not set; None: none, or released."""
    driver: str = "dry_run"
    """Who would change it; "none": nobody can, so it is only shown what would be better."""
    in_flight: float | None = None
    """The most of its resource that a program which is not over may have it hold; None: none touches it."""
    program: str = ""
    """That program, and how far it has come, as a clause."""
    infeasible: str = ""
    """Why orcha does not try to move it for a while: it tried, and that failed. A sentence with the time; "": it does."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeState:
    name: str
    capacity: Mapping[str, float]
    power: Power | None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What the outcomes of earlier programs taught one policy (economics.md 4 and 6)."""

    spread: float = 1.0
    """s: by what the published interval is widened beyond what the history says, from how often it missed."""
    penalty: Mapping[str, float] = field(default_factory=dict)
    """protocol -> 0..1: what part of a promised gain it paid so far; absent: 1."""
    fallback: str | None = None
    """Why this policy only suggests for now: its realised gain of 7 days is below zero with confidence. None: it is not."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One look at the world, for one policy: its nodes and everything that runs on them."""

    now: float
    policy: str
    spec: PolicySpec
    nodes: tuple[NodeState, ...]
    """Sorted by name."""
    workloads: tuple[WorkloadState, ...]
    """Sorted by key."""
    programs_last_hour: int = 0
    last_program_at: float | None = None
    paused: bool = False
    blocked: str | None = None
    """Why `blockWhile` blocks now (its result, or that Prometheus does not answer); None: it does not."""
    seed: int = 0
    """Of the bootstrap: same State and seed, same Decision."""
    memory: Memory | None = None
    """What the past of its workloads comes to, where that is kept; None: it is made from their blocks."""
    learned: Learned = Learned()
    rises: int = 0
    """How many analyses in a row before this one wanted to move, for riseAnalyses."""
    permits: int | None = None
    """How many more moves that cannot be taken back (plan/limits.py) the fleet lets begin here now; None: as many as there are."""
    parts: Mapping[int, str] = field(default_factory=dict)
    """Number of a constraint of `spec` -> of which limit of the fleet it is this site's part, as a sentence names it."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """USD per hour (net) as a concave, piecewise-linear function of one workload's allocation, expected over the
    coming horizon. Flat beyond its last breakpoint.
    """

    key: str
    kind: str
    resource: str
    x: F64
    """(k+1,) breakpoints, ascending, base units; x[0] is the start of the domain."""
    y: F64
    """(k+1,) USD per hour at each."""
    replicates: F64
    """(B, k+1) the same under re-weighted history; B = 1 and equal to y where nothing is uncertain."""
    value_per_unit_hour: float | None
    """v: USD per used unit-hour; None where the kind has none."""
    exposure: float
    """Hours of history behind it."""
    horizon: float
    """Seconds over which its gains count (traits.horizon or the policy's)."""
    why: str
    """One sentence: what it was made from."""
    unseen: F64 | None = None
    """(2, k+1) USD per hour at each breakpoint, were nothing (row 0) or all (row 1) used of what lies above everything
    that was ever seen in use; None: no part of it is supposed."""
    supposes: str = ""
    """What its gains rest on and no history can tell, as a clause after "if"; "" = nothing."""
    influence: F64 | None = None
    """(c, k+1) USD per hour by which each of c hours of the past, weighted one more, moves y at each breakpoint: the
    bootstrap's variance in closed form, Σ over hours of its square, for where replicates would cost too much."""
    effective: float | None = None
    """How many hours of history its estimate rests on, were they all weighed the same; None: as the 12 h kernel."""
    windows: F64 | None = None
    """(n, k+1) USD per hour by which each of n windows of the past, as long as the horizon, differed from their mean at each
    breakpoint; newest first, one for each hour back, NaN where too little was seen. None: not known."""
    columns: NDArray[np.intp] | None = None
    """(c,) which hours those are; the same number is the same hour for every workload."""

    def at(self, x: float) -> float:
        """USD per hour at an allocation."""
        return float(np.interp(x, self.x, self.y))

    def slope(self, x: float, *, step: float) -> float | None:
        """USD per hour that one more `step` at `x` is worth; None where it may not have one more."""
        return self.at(x + step) - self.at(x) if x + step <= float(self.x[-1]) * (1 + 1e-9) else None


class Reason(StrEnum):
    """Why a Move is allowed or refused, or why there is none; also the metric label. CamelCase, never removed."""

    ALLOWED = "Allowed"
    MODE_OFF = "ModeOff"
    MODE_SUGGEST = "ModeSuggest"
    """Good, and only shown: the mode is Suggest."""
    PAUSED = "Paused"
    CIRCUIT_OPEN = "CircuitOpen"
    """Too many workloads unhealthy or unread."""
    BLOCKED = "Blocked"
    """blockWhile holds, or could not be asked."""
    FREEZE_WINDOW = "FreezeWindow"
    PROTECTED = "Protected"
    """protectUntil lies ahead."""
    DIRECTION_FROZEN = "DirectionFrozen"
    DISCONNECTED = "Disconnected"
    UNHEALTHY = "Unhealthy"
    STALE = "Stale"
    UNPRICED = "Unpriced"
    NO_HISTORY = "NoHistory"
    MANUAL_CHANGE = "ManualChange"
    OTHER_CONTROLLER = "OtherController"
    UNKNOWN_ALLOCATION = "UnknownAllocation"
    """What it has now is not known, so no change can be safe."""
    HOLD = "Hold"
    RATE_LIMIT = "RateLimit"
    STEP_LIMIT = "StepLimit"
    BOUNDS = "Bounds"
    """min, max, the protocol's own minimum, or off the step grid."""
    IRREVERSIBLE = "Irreversible"
    CAPACITY = "Capacity"
    LOW_GAIN = "LowGain"
    NO_PAYBACK = "NoPayback"
    LOW_CONFIDENCE = "LowConfidence"
    INFEASIBLE = "Infeasible"
    PROGRAM_RUNNING = "ProgramRunning"
    """A program that is not over changes it, or waits to be judged."""
    RISE_PENDING = "RisePending"
    """riseAnalyses: a rise must show in more analyses before it counts."""
    ALREADY_BEST = "AlreadyBest"
    """No transfer within limits earns more."""
    COMPANION_REFUSED = "CompanionRefused"
    """Its plan needs another move that was refused."""


@dataclass(frozen=True, slots=True)
class Interval:
    """10 %, expected, 90 %."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Move:
    """One workload from allocation a to b of its resource."""

    key: str
    node: str
    resource: str
    from_: float
    to: float
    gain_usd_per_hour: float
    """Expected change of this workload's own rate; the plan's gain is what counts."""
    cost_usd: float
    """Minutes offline at the current rate, fees, penalties."""

    @property
    def grows(self) -> bool:
        return self.to > self.from_


@dataclass(frozen=True, slots=True)
class Verdict:
    move: Move
    allowed: bool
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Opportunity:
    """The best transfer from one workload to another (or from free capacity) within limits."""

    node: str
    resource: str
    source: str | None
    """None: free capacity."""
    target: str
    amount: float
    """Base units that the target gains."""
    source_amount: float
    gain: Interval
    """USD per hour."""
    cost_usd: float
    confidence: float
    steps: int
    restarts: int
    offline_minutes: float
    reason: Reason
    """Allowed (or ModeSuggest) where the guard would let it pass alone, else why not."""
    sentence: str = ""
    score: float | None = None
    """The move score (D8), by which it is ranked; None: there is nothing to compare it with."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Target allocation, what it is worth, and the Moves that lead there."""

    policy: str
    at: float
    solver: str
    why: str
    """Why this solver."""
    targets: Mapping[str, float]
    """key -> allocation; every workload with a curve, moved or not."""
    current: Mapping[str, float]
    moves: tuple[Move, ...]
    rate_now: float
    """USD per hour that the curves expect of the present split."""
    gain: Interval | None
    """USD per hour; None: NoHistory."""
    cost_usd: float
    net_benefit_usd: float | None
    """Σ gain x each workload's horizon - cost."""
    roi: float | None
    """net benefit / cost; None where moving is free."""
    confidence: float | None
    gap: float
    """Of the solver, relative; 0 = exact for the relaxation."""
    rounding_loss: float
    """USD per hour lost by the step grid."""
    opportunities: tuple[Opportunity, ...]
    horizon: float
    strategy: str = "Threshold"
    score: float | None = None
    """The move score (D8)."""
    alternatives: tuple[Plan, ...] = ()
    """Other plans, best first, where they were asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Everything that one policy's analysis came to."""

    state: State
    curves: Mapping[str, Curve]
    plan: Plan
    verdicts: tuple[Verdict, ...]
    reason: Reason
    """Of the whole: Allowed / ModeSuggest where there is something to do, else why nothing is done."""
    sentence: str
    """The cycle's sentence, with the numbers."""
    ready_at: float | None
    """When there will be enough history; None: there is."""
    not_considered: Mapping[str, tuple[Reason, str]]
    """key -> why this workload stays out of the plan."""
    circuit_open: bool = False
