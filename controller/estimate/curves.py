"""One workload's history and newest reading -> its Curve, or the Reason why there is none.

The curve's breakpoints are the allocations that the workload may have (its step grid and what it has now), at which
it is exact; what the planner then weighs is a whole number of steps, never a straight line through a bend.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from controller.estimate import demand, fill
from controller.estimate.ahead import Outlook, foresee, replicated
from controller.estimate.belief import ALWAYS, by_earnings, may_differ
from controller.estimate.breakpoints import between, together
from controller.estimate.greenwood import columns, influences
from controller.estimate.kinds import KINDS
from controller.estimate.prices import token_price
from controller.estimate.readings import Why, exposure_seconds
from controller.estimate.recall import remember
from controller.estimate.subject import (
    Shape,
    Subject,
    charged,
    energy_of,
    finish,
    points_by,
    points_of,
    published,
    subject_of,
    untrue,
)
from controller.estimate.weights import HOUR, draw, value_per_unit_hour
from controller.estimate.windows import differing
from controller.estimate.words import amount
from controller.model import Curve, Reason
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.weights import Past, Weights
    from controller.model import F64, NodeState, WorkloadState
    from controller.policy import PolicySpec

    Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Of a Curve only what a plan is made from."""

    x: F64
    """(k+1,) breakpoints, ascending, base units."""
    y: F64
    """(k+1,) USD per hour at each."""
    horizon: float
    """Seconds."""
    value_per_unit_hour: float | None
    """USD; None: nobody knows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """Of n workloads that use what demand takes, arrays padded to the K breakpoints of the one that has most."""

    points: Sequence[F64]
    """(n) the breakpoints of each."""
    size: Sequence[int]
    x: F64
    """(n, K)."""
    used: F64
    """(t, n, K) units expected to be used; and, where asked for, if nothing and if all is of what was never seen in use."""
    value: F64
    """(n,) USD that a used unit-hour earns; NaN: nobody knows."""
    worth: F64
    """(n, 1) the same, at least 0."""
    energy: F64
    """(n,) USD per unit-hour of running."""
    y: F64
    """(n, K) USD per hour."""

    def known(self) -> list[float | None]:
        """(n) `value`, None for NaN."""
        return [None if math.isnan(each) else each for each in self.value.tolist()]

    def trouble(self, subjects: Sequence[Subject]) -> dict[int, Why]:
        """Why there is no curve of some."""
        unpriced = np.isnan(self.value) & (self.used[0, :, -1] > 0)
        found = {i: untrue(subjects[i].workload.key) for i in np.flatnonzero(~np.isfinite(self.y).all(axis=1)).tolist()}
        for i in np.flatnonzero(unpriced).tolist():
            found[i] = Reason.UNPRICED, f"nothing says what a used unit of {subjects[i].workload.key} earns"
        return found


def horizon_of(workload: WorkloadState, spec: PolicySpec) -> float:
    """Seconds over which a move of this workload must pay: its protocol's, a fill workload's week, or the policy's."""
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
    found, demands = _by_kind(pairs, spec, now, weights, fit)
    for horizon, subjects in demands.items():
        outlook = (expected or {}).get(horizon) or _outlook(subjects, now, horizon)
        shapes, those, rows = _demands(subjects, outlook)
        found.update(shapes)
        if those:
            found.update(_as_used(those, outlook, rows, closed=closed))
    return found


def lines(
    pairs: Iterable[tuple[WorkloadState, NodeState]], spec: PolicySpec, now: float,
    expected: Mapping[float, Outlook], fit: Container[str],
) -> dict[str, Curve | Line | Why]:  # fmt: skip
    """The same lines, of demand without all else that a Curve holds: what most analyses need no more than."""
    pairs = list(pairs)
    weights = draw((workload.blocks for workload, _ in pairs), now, 0, 0)
    curves_, demands = _by_kind(pairs, spec, now, weights, fit)
    found: dict[str, Curve | Line | Why] = {**curves_}
    for horizon, subjects in demands.items():
        shapes, those, rows = _demands(subjects, expected[horizon])
        found.update(shapes)
        if not those:
            continue
        it = _figures(those, expected[horizon], rows, 1)
        trouble, known = it.trouble(those), it.known()
        for i, subject in enumerate(those):
            line = Line(it.points[i], it.y[i, : it.size[i]], subject.horizon, known[i])
            found[subject.workload.key] = trouble.get(i) or line
    return found


def _by_kind(
    pairs: Iterable[tuple[WorkloadState, NodeState]],
    spec: PolicySpec,
    now: float,
    weights: Weights,
    fit: Container[str],
) -> tuple[dict[str, Curve | Why], dict[float, list[Subject]]]:
    """What is known without an outlook; and by horizon those that use what demand takes."""
    found: dict[str, Curve | Why] = {}
    demands: dict[float, list[Subject]] = {}
    for workload, node in pairs:
        subject = subject_of(workload, node, spec, now, weights, horizon_of(workload, spec), known=workload.key in fit)
        if isinstance(subject, tuple):
            found[workload.key] = subject
        elif workload.traits.curve is CurveKind.DEMAND:
            demands.setdefault(subject.horizon, []).append(subject)
        else:
            shape = KINDS[workload.traits.curve](subject)
            found[workload.key] = shape if isinstance(shape, tuple) else finish(subject, shape)
    return found, demands


def _outlook(subjects: Sequence[Subject], now: float, horizon: float) -> Outlook:
    """From their blocks alone."""
    memory = remember(
        [it.workload.key for it in subjects], [it.allocation.step for it in subjects],
        [it.allocation.max for it in subjects], [it.past_as_paid for it in subjects], now,
    )  # fmt: skip
    return foresee(memory, now, horizon / HOUR)


def _demands(subjects: Sequence[Subject], outlook: Outlook) -> tuple[dict[str, Curve | Why], list[Subject], Rows]:
    """Of those that use what demand takes: those whose earnings belie their use, and all others, with their rows."""
    found: dict[str, Curve | Why] = {}
    those, rows = [], []
    for subject in subjects:
        key, row = subject.workload.key, outlook.places[subject.workload.key]
        if not outlook.seen[row]:
            found[key] = _never_seen(subject)
        elif outlook.full[row] >= ALWAYS and (shape := _belied(subject)):
            found[key] = shape if isinstance(shape, tuple) else finish(subject, shape)
        else:
            those.append(subject)
            rows.append(row)
    return found, those, np.array(rows, dtype=np.intp)


def _never_seen(subject: Subject) -> Why:
    return Reason.NO_HISTORY, f"how much {subject.allocation.resource} {subject.workload.key} uses was never seen"


def _belied(subject: Subject) -> Shape | Why | None:
    """From its earnings, where they say less than its use; None where they do not."""
    if not may_differ(subject.blocks, subject.weights):
        return None
    believed = by_earnings(subject.past(), subject.weights.block)
    return _believed(subject, *believed) if believed else None


def _as_used(subjects: Sequence[Subject], outlook: Outlook, rows: Rows, *, closed: bool) -> dict[str, Curve | Why]:
    it = _figures(subjects, outlook, rows, 3)
    nothing, everything = it.used[1:]
    with np.errstate(invalid="ignore", over="ignore"):
        unseen = it.worth * it.used[1:] - it.energy[:, None] * it.x
    opens = (everything > nothing).any(axis=1)
    influence = influences(outlook, rows, it.x, it.worth[:, 0]) if closed else None
    full, most, effective = (each[rows].tolist() for each in (outlook.full, outlook.most, outlook.effective))
    words, hours = outlook.words(rows), None if influence is None else columns(len(subjects), influence.shape[1])
    trouble, known = it.trouble(subjects), it.known()
    found: dict[str, Curve | Why] = {}
    for i, (subject, own, k) in enumerate(zip(subjects, it.points, it.size, strict=True)):
        workload = subject.workload
        key, resource = workload.key, subject.allocation.resource
        if i in trouble:
            found[key] = trouble[i]
            continue
        row, supposed = it.y[i, :k], None
        if opens[i]:
            supposed = f"{key} uses more than {_shown(resource, most[i])} {resource} (never seen so far)"
        found[key] = Curve(
            key=key, kind=CurveKind.DEMAND.value, resource=resource, x=own, y=row,
            replicates=_replicates(subject, outlook, row, float(it.worth[i, 0]), own), value_per_unit_hour=known[i],
            exposure=exposure_seconds(workload, subject.now) / HOUR, horizon=subject.horizon,
            why=f"it had no room left {full[i]:.0%} of the time; {words[i]}{charged(it.energy[i], subject.allocation.step)}",
            unseen=unseen[:, i, :k] if supposed else None, supposes=supposed or "", effective=effective[i],
            influence=None if influence is None else influence[i, :, :k],
            columns=None if hours is None else hours[i],
            windows=_windows(subject, outlook, rows[i], float(it.worth[i, 0]), own),
        )  # fmt: skip
    return found


_shown = lru_cache(4096)(amount)
"""Thousands of workloads have few sizes."""


def _windows(subject: Subject, outlook: Outlook, row: np.intp, worth: float, x: F64) -> F64 | None:
    """How the hours of the coming horizon may differ; where replicates are drawn, since few curves are asked for it."""
    if not subject.weights.replicates:
        return None
    used, quantum = outlook.tables[0, row], float(outlook.quantum[row])
    return worth * differing(subject.blocks, subject.now, subject.horizon / HOUR, used, quantum, x)


def _figures(subjects: Sequence[Subject], outlook: Outlook, rows: Rows, tables: int) -> _Figures:
    """f(x) = v · E[min(x, D)] - energy · x of each."""
    points, x, size = together([points_by(subject, 0.0) for subject in subjects])
    used = between(outlook.tables[:tables], outlook.quantum, rows, x)
    price = [token_price(it.past_as_paid, it.reading) for it in subjects]
    value = outlook.worth_of(rows, np.array([np.nan if each is None else each for each in price]))
    for i in np.flatnonzero(np.isnan(value)).tolist():
        price_told = published(subjects[i])
        value[i] = np.nan if price_told is None else price_told
    worth = np.maximum(np.nan_to_num(value), 0.0)[:, None]
    energy = np.array([energy_of(subject) for subject in subjects])
    with np.errstate(invalid="ignore", over="ignore"):
        y = worth * used[0] - energy[:, None] * x
    return _Figures(points, size, x, used, value, worth, energy, y)


def _replicates(subject: Subject, outlook: Outlook, y: F64, worth: float, x: F64) -> F64:
    if not subject.weights.replicates:
        return y[None]
    ahead, step = outlook[subject.workload.key], subject.allocation.step
    return y + replicated(ahead, subject.blocks, subject.weights, worth, x, step)


def _believed(subject: Subject, past: Past, levels: F64, why: str) -> Shape | Why:
    """From the 12 h kernel alone."""
    seen = demand.survival(past.rows, levels, past.exact, past.censored, subject.allocation.step)
    value = value_per_unit_hour(past)
    if seen is None or value is None:
        return _never_seen(subject)
    x, worth = points_of(subject, 0.0), np.maximum(value, 0.0)
    y = worth[:, None] * seen.integral(x)
    if seen.tail <= 0:
        return Shape(x, y, float(value[0]), why)
    resource = subject.allocation.resource
    most = amount(resource, float(seen.levels[-1]))
    supposes = f"{subject.workload.key} uses more than {most} {resource} (never seen so far)"
    return Shape(x, y, float(value[0]), why, worth[0] * seen.unseen(x), supposes)
