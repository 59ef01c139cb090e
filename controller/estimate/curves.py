"""One workload's history and newest reading -> its Curve, or the Reason why there is none.

The curve's breakpoints are the allocations that the workload may have (its step grid and what it has now), at which
it is exact; what the planner then weighs is a whole number of steps, never a straight line through a bend.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate import demand, dilution, fill
from controller.estimate.ahead import Outlook, foresee, replicated
from controller.estimate.belief import ALWAYS, by_earnings, may_differ
from controller.estimate.breakpoints import between, breakpoints, padded
from controller.estimate.cost import energy_per_unit_hour
from controller.estimate.greenwood import columns, influences
from controller.estimate.prices import at_todays_price, token_price
from controller.estimate.readings import Why, counting, exposure_seconds, finite, known_allocation, unfit
from controller.estimate.recall import remember
from controller.estimate.weights import HOUR, pool, recency, value_per_unit_hour
from controller.estimate.windows import differing
from controller.estimate.words import amount, money
from controller.model import Curve, Reason
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.weights import Past, Weights
    from controller.model import F64, Blocks, NodeState, WorkloadState
    from controller.policy import PolicySpec
    from exporters.nodes import Allocation
    from exporters.reading import Reading

    Rows = NDArray[np.intp]

_FEW: Final = 6
"""Stretches of history under which nothing is said of how a payout wanders."""


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What every kind of curve is made from."""

    workload: WorkloadState
    node: NodeState
    allocation: Allocation
    reading: Reading
    past_as_paid: Blocks
    weights: Weights
    now: float
    current: float
    horizon: float
    """Seconds."""

    @property
    def blocks(self) -> Blocks:
        """At today's price."""
        return at_todays_price(self.past_as_paid, self.reading)

    def past(self) -> Past:
        """As the 12 h kernel weighs it. Costs more than a curve of demand, which does without."""
        return pool(self.blocks, self.weights, recency(self.past_as_paid, self.now))


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """A curve before energy: breakpoints (k,), USD per hour (R, k) with row 0 the point estimate."""

    x: F64
    y: F64
    value: float | None
    why: str
    unseen: F64 | None = None
    """(2, k)."""
    supposes: str = ""
    effective: float | None = None
    """Hours."""


def horizon_of(workload: WorkloadState, spec: PolicySpec) -> float:
    """Seconds over which a move of this workload must pay: its protocol's, a fill workload's 72 h, or the policy's."""
    if workload.traits.horizon is not None:
        return workload.traits.horizon
    return fill.HORIZON if workload.traits.curve is CurveKind.FILL else spec.objective.horizon


def curve(workload: WorkloadState, node: NodeState, spec: PolicySpec, now: float, weights: Weights) -> Curve | Why:
    """USD per hour over the workload's allocation, expected over its coming horizon, with as many replicates as the
    weights have.

    A (Reason, sentence) instead where it is watched only, cannot be believed now, or was not seen for long enough.
    """
    [found] = curves([(workload, node)], spec, now, weights).values()
    return found


def curves(
    pairs: Iterable[tuple[WorkloadState, NodeState]], spec: PolicySpec, now: float, weights: Weights,
    expected: Mapping[float, Outlook] | None = None, fit: Container[str] = (), *, closed: bool = False,
) -> dict[str, Curve | Why]:  # fmt: skip
    """The same of many workloads, by key, those of one horizon at once.

    `expected`: horizon -> what demand is expected to be, where that is known already. `fit`: those of whom it is known
    that they can be believed. `closed`: how far demand is open in closed form, whatever the replicates.
    """
    found: dict[str, Curve | Why] = {}
    demands: dict[float, list[_Subject]] = {}
    for workload, node in pairs:
        subject = _subject(workload, node, spec, now, weights, known=workload.key in fit)
        if isinstance(subject, tuple):
            found[workload.key] = subject
        elif workload.traits.curve is CurveKind.DEMAND:
            demands.setdefault(subject.horizon, []).append(subject)
        else:
            shape = _KINDS[workload.traits.curve](subject)
            found[workload.key] = shape if isinstance(shape, tuple) else _finish(subject, shape)
    for horizon, subjects in demands.items():
        outlook = (expected or {}).get(horizon) or _outlook(subjects, now, horizon)
        found.update(_demands(subjects, outlook, closed=closed))
    return found


def _subject(
    workload: WorkloadState, node: NodeState, spec: PolicySpec, now: float, weights: Weights, *, known: bool
) -> _Subject | Why:
    allocation, current = workload.allocation, known_allocation(workload)
    if allocation is None:
        return Reason.BOUNDS, f"{workload.key} declares no allocation: it is watched, never moved"
    if workload.traits.curve is CurveKind.NONE:
        return (
            Reason.BOUNDS,
            f"how {workload.protocol} answers to an allocation is not known (curve none): it is watched, never moved",
        )
    if not known and (out := unfit(workload, now, spec.limits)):
        return out
    reading = counting(workload, now, spec.limits)
    if reading is None or current is None or workload.blocks is None or not len(workload.blocks.start):
        return Reason.NO_HISTORY, f"{workload.key} has no history yet"
    horizon = horizon_of(workload, spec)
    return _Subject(workload, node, allocation, reading, workload.blocks, weights, now, current, horizon)


def _points(subject: _Subject, *others: float) -> F64:
    return breakpoints(subject.allocation, subject.workload.traits.min_allocation, subject.current, *others)


def _untrue(key: str) -> Why:
    return Reason.NO_HISTORY, f"{key} has figures in its history or its power that cannot be true; none of it is used"


def _energy(subject: _Subject) -> float:
    hours = subject.horizon / HOUR
    return energy_per_unit_hour(subject.node.power, subject.workload.watts, subject.allocation.step, subject.now, hours)


def _charged(energy: float, step: float) -> str:
    return f"; energy {energy * step:.3g} USD/h a step" if energy else ""


def _finish(subject: _Subject, shape: _Shape) -> Curve | Why:
    """Subtract the energy of running as a line, and check that every figure can be true."""
    workload, energy = subject.workload, _energy(subject)
    if not (np.isfinite(shape.y).all() and np.isfinite(shape.x).all() and np.isfinite(energy)):
        return _untrue(workload.key)
    y = shape.y - energy * shape.x
    charged = _charged(energy, subject.allocation.step)
    return Curve(
        key=workload.key, kind=workload.traits.curve.value, resource=subject.allocation.resource,
        x=shape.x, y=y[0], replicates=y[1:] if len(y) > 1 else y, value_per_unit_hour=shape.value,
        exposure=exposure_seconds(workload, subject.now) / HOUR, horizon=subject.horizon, why=shape.why + charged,
        unseen=None if shape.unseen is None else shape.unseen - energy * shape.x, supposes=shape.supposes,
        effective=shape.effective,
    )  # fmt: skip


def _value(subject: _Subject) -> F64 | None:
    """(R,) v: earned per used unit-hour lately, else in all that is remembered (who was given nothing for days used
    nothing), else the published price, net in the proportion of the rates in tokens.
    """
    past = subject.past()
    value = value_per_unit_hour(past)
    if value is None:
        ever = (subject.blocks.start <= subject.now).astype(np.float64)
        value = value_per_unit_hour(pool(subject.blocks, subject.weights, ever))
    if value is not None:
        return value
    price = _published(subject)
    return None if price is None else np.full(len(past.rows), price)


def _published(subject: _Subject) -> float | None:
    """USD per used unit-hour, net, that the protocol publishes."""
    price = finite(subject.reading.price_usd_per_unit_hour.get(subject.allocation.resource))
    return None if price is None else price * _in_hand(subject.reading)


def _in_hand(reading: Reading) -> float:
    """Net / gross in tokens, before energy, which is charged as a line of its own; the least where it is paid in several."""
    net = reading.native.net_per_hour
    shares = [
        net[token] / gross
        for token, gross in reading.native.gross_per_hour.items()
        if net and token in net and gross > 0
    ]
    return min(1.0, max(0.0, min(shares, default=1.0)))


def _outlook(subjects: Sequence[_Subject], now: float, horizon: float) -> Outlook:
    """From their blocks alone."""
    memory = remember(
        [it.workload.key for it in subjects], [it.allocation.step for it in subjects],
        [it.allocation.max for it in subjects], [it.past_as_paid for it in subjects], now,
    )  # fmt: skip
    return foresee(memory, now, horizon / HOUR)


def _demands(subjects: Sequence[_Subject], outlook: Outlook, *, closed: bool) -> dict[str, Curve | Why]:
    """Of those that use what demand takes; all of them at once but for those whose earnings belie their use."""
    found: dict[str, Curve | Why] = {}
    those, rows = [], []
    for subject in subjects:
        key, row = subject.workload.key, outlook.places[subject.workload.key]
        if not outlook.seen[row]:
            found[key] = _never_seen(subject)
        elif outlook.full[row] >= ALWAYS and (shape := _belied(subject)):
            found[key] = shape if isinstance(shape, tuple) else _finish(subject, shape)
        else:
            those.append(subject)
            rows.append(row)
    if those:
        found.update(_as_used(those, outlook, np.array(rows, dtype=np.intp), closed=closed))
    return found


def _never_seen(subject: _Subject) -> Why:
    return Reason.NO_HISTORY, f"how much {subject.allocation.resource} {subject.workload.key} uses was never seen"


def _belied(subject: _Subject) -> _Shape | Why | None:
    """From its earnings, where they say less than its use; None where they do not."""
    if not may_differ(subject.blocks, subject.weights, recency(subject.past_as_paid, subject.now)):
        return None
    believed = by_earnings(subject.past(), subject.weights.block)
    return _believed(subject, *believed) if believed else None


def _as_used(subjects: Sequence[_Subject], outlook: Outlook, rows: Rows, *, closed: bool) -> dict[str, Curve | Why]:
    """f(x) = v · E[min(x, D)] - energy · x of each, arrays padded to the most breakpoints that one has."""
    points = [_points(subject, 0.0) for subject in subjects]
    x, size = padded(points)
    used, nothing, everything = between(outlook.tables, outlook.quantum, rows, x)
    price = [token_price(it.past_as_paid, it.reading) for it in subjects]
    value = outlook.values(rows, np.array([np.nan if each is None else each for each in price]))
    for i in np.flatnonzero(np.isnan(value)).tolist():
        published = _published(subjects[i])
        value[i] = np.nan if published is None else published
    worth = np.maximum(np.nan_to_num(value), 0.0)[:, None]
    energy = np.array([_energy(subject) for subject in subjects])
    with np.errstate(invalid="ignore", over="ignore"):
        y, unseen = worth * used - energy[:, None] * x, worth * np.stack([nothing, everything]) - energy[:, None] * x
    true = np.isfinite(y).all(axis=1) & np.isfinite(x).all(axis=1)
    unpriced = np.isnan(value) & (used[:, -1] > 0)
    opens = (everything > nothing).any(axis=1)
    influence = influences(outlook, rows, x, worth[:, 0]) if closed else None
    full, words, effective = outlook.full[rows].tolist(), outlook.words(rows), outlook.effective[rows].tolist()
    known: list[float | None] = [None if math.isnan(each) else each for each in value.tolist()]
    found: dict[str, Curve | Why] = {}
    for i, (subject, own, k) in enumerate(zip(subjects, points, size, strict=True)):
        workload = subject.workload
        key, resource = workload.key, subject.allocation.resource
        if unpriced[i]:
            found[key] = Reason.UNPRICED, f"nothing says what a used unit of {key} earns"
            continue
        if not true[i]:
            found[key] = _untrue(key)
            continue
        row, supposed = y[i, :k], None
        if opens[i]:
            supposed = (
                f"{key} uses more than {amount(resource, float(outlook.most[rows[i]]))} {resource} (never seen so far)"
            )
        found[key] = Curve(
            key=key, kind=CurveKind.DEMAND.value, resource=resource, x=own, y=row,
            replicates=_replicates(subject, outlook, row, float(worth[i, 0]), own), value_per_unit_hour=known[i],
            exposure=exposure_seconds(workload, subject.now) / HOUR, horizon=subject.horizon,
            why=f"it had no room left {full[i]:.0%} of the time; {words[i]}{_charged(energy[i], subject.allocation.step)}",
            unseen=unseen[:, i, :k] if supposed else None, supposes=supposed or "", effective=effective[i],
            influence=None if influence is None else influence[i, :, :k],
            columns=None if influence is None else columns(i, influence.shape[1]),
            windows=_windows(subject, outlook, rows[i], float(worth[i, 0]), own),
        )  # fmt: skip
    return found


def _windows(subject: _Subject, outlook: Outlook, row: np.intp, worth: float, x: F64) -> F64 | None:
    """How the hours of the coming horizon may differ; where replicates are drawn, since few curves are asked for it."""
    if not subject.weights.replicates:
        return None
    used, quantum = outlook.tables[0, row], float(outlook.quantum[row])
    return worth * differing(subject.blocks, subject.now, subject.horizon / HOUR, used, quantum, x)


def _replicates(subject: _Subject, outlook: Outlook, y: F64, worth: float, x: F64) -> F64:
    if not subject.weights.replicates:
        return y[None]
    ahead, step = outlook[subject.workload.key], subject.allocation.step
    return y + replicated(ahead, subject.blocks, subject.weights, worth, x, step)


def _believed(subject: _Subject, past: Past, levels: F64, why: str) -> _Shape | Why:
    """From the 12 h kernel alone."""
    seen = demand.survival(past.rows, levels, past.exact, past.censored, subject.allocation.step)
    value = value_per_unit_hour(past)
    if seen is None or value is None:
        return _never_seen(subject)
    x, worth = _points(subject, 0.0), np.maximum(value, 0.0)
    y = worth[:, None] * seen.integral(x)
    if seen.tail <= 0:
        return _Shape(x, y, float(value[0]), why)
    resource = subject.allocation.resource
    most = amount(resource, float(seen.levels[-1]))
    supposes = f"{subject.workload.key} uses more than {most} {resource} (never seen so far)"
    return _Shape(x, y, float(value[0]), why, worth[0] * seen.unseen(x), supposes)


def _fill(subject: _Subject) -> _Shape | Why:
    resource, hours = subject.allocation.resource, subject.horizon / HOUR
    stored = _stored(subject)
    value = _value(subject)
    if stored is None:
        return Reason.NO_HISTORY, f"how much {resource} {subject.workload.key} has stored is not known"
    if value is None:
        return Reason.UNPRICED, f"nothing says what a stored unit of {subject.workload.key} earns"
    growth, why = _growth(subject, stored, hours)
    x = _points(subject, stored)
    x = x[x >= min(stored, subject.current)]
    y = fill.earning(np.maximum(x, stored), stored, growth, np.maximum(value, 0.0), hours)
    if subject.current < stored:
        y[0] = fill.concave_from(x, y[0])
    return _Shape(x, y, float(value[0]), why)


def _stored(subject: _Subject) -> float | None:
    stored = finite(subject.reading.used.get(subject.allocation.resource))
    if stored is not None:
        return stored
    known = subject.blocks.used_last[np.isfinite(subject.blocks.used_last)]
    return finite(float(known[-1])) if len(known) else None


def _growth(subject: _Subject, stored: float, hours: float) -> tuple[F64, str]:
    """(R,) units per hour, and where it is from: seen, or told by the node, or nobody knows."""
    rows, step = len(subject.weights.draws), subject.allocation.step
    seen = fill.growth_seen(subject.blocks, subject.weights)
    if seen is not None:
        return seen, f"it grew by {seen[0] / step:.3g} steps an hour while it had room"
    told = subject.reading.growth_per_hour
    full = stored >= subject.current - step / 100
    if told is not None and np.isfinite(told) and not (full and told <= 0):
        return np.full(rows, told), f"it had no room to show growth; the node tells of {told / step:.3g} steps an hour"
    return fill.growth_unknown(rows, step, hours), "nobody knows how fast it would grow: a small slope is kept"


def _dilution(subject: _Subject) -> _Shape | Why:
    pool_of, payout = subject.reading.pool, finite(subject.reading.pool_payout_usd_per_hour)
    others = finite(pool_of.others) if pool_of is not None else None
    if payout is None or others is None:
        return Reason.UNPRICED, f"what the pool of {subject.workload.key} pays, or the stake in it, is not known"
    x = _points(subject, 0.0)
    share = subject.current / (others + subject.current) if others + subject.current > 0 else 0.0
    wander, width = _wander(subject)
    why = f"the pool pays {money(payout)} USD/h for all stake, of which {share:.1%} is its own; {width}"
    y = wander[:, None] * dilution.earning(x, payout, others)
    return _Shape(x, y, None, why, supposes="the other stakers leave theirs as they are")


def _wander(subject: _Subject) -> tuple[F64, str]:
    """(R,) how what a staked token earned wandered, around 1 (payouts rose and fell, others came and went), and a clause on
    how much the interval knows. Applied to the payout of now: the best guess of what it does in the coming days.
    """
    past = subject.past()
    earned = value_per_unit_hour(past)
    blind = "how others answer a move is not in its interval"
    if earned is None or not earned[0] > 0 or len(past.columns) < _FEW:
        return np.ones(1), f"how far its payout wanders was not seen yet, so its interval has no width, and {blind}"
    return np.maximum(earned / earned[0], 0.0), f"its interval is as wide as its payout wandered; {blind}"


_KINDS = {CurveKind.FILL: _fill, CurveKind.DILUTION: _dilution}
