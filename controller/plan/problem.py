"""What may be chosen and what must hold, as arrays: the one form that every solver reads.

A Choice is a workload with the allocations it may be given, on its step grid and within its limits. A Row is one
linear constraint over choices: a node's capacity of one resource, or a fleet-wide constraint. What is not planned on
keeps what it has, as a fixed use that is already taken off the rows' limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.cost import moving
from controller.estimate.readings import Why, known_allocation
from controller.plan.choices import Choice, Count, Row
from controller.plan.constrained import constrain, permit
from controller.plan.limits import SLACK, allowed, needs, reach
from controller.plan.uses import Uses, uses_of
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.curves import Line
    from controller.model import F64, Curve, NodeState, State, WorkloadState

__all__ = ["NOTHING", "Built", "Choice", "Count", "Problem", "Row", "Segments", "build", "segments"]

NOTHING: Final = 1e-12
"""Relative to the largest figure of a curve or of a problem: a gain below this is rounding noise."""
_FEW: Final = 16
"""Workloads up to which each curve is read by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Maximise Σ y(x) so that every row holds. What everybody has now satisfies all rows."""

    choices: tuple[Choice, ...]
    """Sorted by key."""
    rows: tuple[Row, ...]
    """Sorted by name."""
    counts: tuple[Count, ...] = ()

    @property
    def current(self) -> F64:
        return np.array([choice.current for choice in self.choices])

    def earns(self, x: F64) -> float:
        """USD per hour of an allocation (n,), by lines between what is allowed."""
        return float(sum(np.interp(x[i], choice.x, choice.y) for i, choice in enumerate(self.choices)))

    def holds(self, x: F64) -> bool:
        """Whether an allocation (n,) keeps every row and every count, up to what float64 may lose."""
        if not self.rows:
            return all(count.holds(x) for count in self.counts)
        which = np.repeat(np.arange(len(self.rows)), [len(row.index) for row in self.rows])
        terms = np.concatenate([row.coefficient for row in self.rows]) * x[np.concatenate([r.index for r in self.rows])]
        limits = np.array([row.limit for row in self.rows])
        used, sizes = (np.bincount(which, weights=each, minlength=len(limits)) for each in (terms, np.abs(terms)))
        fits = used <= limits + SLACK * np.maximum(np.abs(limits), sizes)
        return bool(fits.all()) and all(count.holds(x) for count in self.counts)

    def hull(self) -> Problem:
        """The same with every curve's concave hull: what mixing its values could earn, never less than the curve."""
        return replace(self, choices=tuple(replace(c, y=_hull(c.x, c.y)) for c in self.choices))

    def released(self) -> Problem:
        """The same with nobody pinned for a count alone: for solvers that keep counts themselves."""
        free = {i for count in self.counts for i in count.kept_out}
        choices = tuple(replace(c, pinned=False) if i in free else c for i, c in enumerate(self.choices))
        return replace(self, choices=choices)


def _hull(x: F64, y: F64) -> F64:
    """The least concave values (k,) that are nowhere below y: its upper hull, from left to right."""
    corners: list[int] = []
    for i in range(len(x)):
        while len(corners) > 1 and _below(x, y, corners[-2], corners[-1], i):
            corners.pop()
        corners.append(i)
    return np.maximum(np.interp(x, x[corners], y[corners]), y)


def _below(x: F64, y: F64, left: int, between: int, right: int) -> bool:
    line = (y[right] - y[left]) * (x[between] - x[left])
    return bool((y[between] - y[left]) * (x[right] - x[left]) <= line)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The lines of all choices between neighbouring allowed values, one after the other; pinned ones have none."""

    base: F64
    """(n,) the least that each choice may be given."""
    owner: NDArray[np.intp]
    """(s,) which choice."""
    dx: F64
    """(s,) base units, > 0."""
    dy: F64
    """(s,) USD per hour."""
    above: NDArray[np.bool_]
    """(s,) whether it lies above what the choice has now."""
    noise: F64
    """(s,) USD per hour: dy that differ by less are the same, since float64 loses as much of the curve's values."""

    @property
    def concave(self) -> bool:
        """Whether no curve ever rises more steeply than before, up to what float64 may lose."""
        slope, noise = self.dy / self.dx, self.noise / self.dx
        rises = slope[1:] - slope[:-1]
        within = self.owner[1:] == self.owner[:-1]
        lost = SLACK * np.maximum(np.abs(slope[1:]), np.abs(slope[:-1])) + np.maximum(noise[1:], noise[:-1])
        return not bool((rises > lost)[within].any())


def segments(problem: Problem) -> Segments:
    """The lines of a problem. ValueError for a curve that is not a number somewhere: nothing can be chosen by it."""
    choices = problem.choices
    if not choices:
        nothing = np.zeros(0)
        return Segments(nothing, nothing.astype(np.intp), nothing, nothing, nothing.astype(bool), nothing)
    xs = [c.x[c.at : c.at + 1] if c.pinned else c.x for c in choices]
    ys = [c.y[c.at : c.at + 1] if c.pinned else c.y for c in choices]
    sizes = np.array([len(x) for x in xs])
    x, y = np.concatenate(xs), np.concatenate(ys)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        bad = next(c.key for c in choices if not (np.isfinite(c.x).all() and np.isfinite(c.y).all()))
        raise ValueError(f"the curve of {bad} must be finite at every value that it may be given")
    first = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(choices)), sizes - 1)
    place = np.arange(1, len(owner) + 1) + owner  # where each line ends: one point of each choice begins none
    current = first + [0 if c.pinned else c.at for c in choices]
    return Segments(
        base=x[first],
        owner=owner,
        dx=x[place] - x[place - 1],
        dy=y[place] - y[place - 1],
        above=place > current[owner],
        noise=NOTHING * np.maximum.reduceat(np.abs(y), first)[owner],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    problem: Problem
    left_out: Mapping[str, Why]
    """key -> why a workload that has a curve cannot be planned on all the same."""
    choices: tuple[Choice, ...]
    """Those of the problem, with what constraints and the fleet keep out of a plan: whoever shows what would be worth more
    shows that, and the guard says what forbids it.
    """


def build(state: State, curves: Mapping[str, Curve | Line], pins: Mapping[str, Why]) -> Built:
    """The problem of one policy, over all its nodes. `pins` keep what they have."""
    workloads = sorted((w for w in state.workloads if w.allocation is not None), key=lambda w: w.key)
    nodes = {node.name: node for node in state.nodes}
    use = uses_of(workloads, nodes)
    left_out: dict[str, Why] = {}
    choices: list[Choice] = []
    same: Aligned | None = {} if len(workloads) > _FEW else None
    for workload in workloads:
        if workload.key not in curves:
            continue
        if why := use.trouble(workload):
            left_out[workload.key] = why
        else:
            node, curve, pinned = nodes[workload.node], curves[workload.key], workload.key in pins
            choices.append(_choice(state, workload, node, curve, same, pinned=pinned))
    kept, constraint_rows, counts = constrain(state, workloads, permit(state, workloads, choices))
    rows = [*_capacity_rows(kept, use), *constraint_rows]
    problem = Problem(tuple(kept), tuple(sorted(rows, key=lambda row: row.name)), tuple(counts))
    return Built(problem, left_out, tuple(choices))


Aligned = dict[tuple[int, int], slice | None]
"""By the identity of allowed values and of a curve's breakpoints: where the first lie in the second, None: between them. It
pays where many share them."""


def _never_earned(workload: WorkloadState, curve: Curve | Line) -> bool:
    """Whether nothing says what a unit of it earns. Without any allocation it would stay so: no use, no price."""
    return workload.traits.curve is CurveKind.DEMAND and curve.value_per_unit_hour is None


def _choice(
    state: State, workload: WorkloadState, node: NodeState, curve: Curve | Line, same: Aligned | None, *, pinned: bool
) -> Choice:
    current = known_allocation(workload)
    allocation = workload.allocation
    if current is None or allocation is None:  # a workload with a curve has both
        raise ValueError(f"{workload.key} has a curve and no allocation")
    low, high = reach(workload, node, current, state.now, state.spec.limits)
    if _never_earned(workload, curve):
        low = min(current, max(low, allocation.step))  # or nobody would ever see what it earns
    x = allowed(workload, low, high, current)
    part = None
    if same is not None:
        both = id(x), id(curve.x)
        if both not in same:
            same[both] = _aligned(x, curve.x)
        part = same[both]
    y, at = np.interp(x, curve.x, curve.y) if part is None else curve.y[part], int(x.searchsorted(current))
    return Choice(
        key=workload.key, node=workload.node, protocol=workload.protocol, resource=allocation.resource,
        x=x, y=y, at=at, needs=needs(allocation), cost=moving(workload.traits, float(y[at])), horizon=curve.horizon,
        pinned=pinned,
    )  # fmt: skip


def _aligned(x: F64, points: F64) -> slice | None:
    first = int(points.searchsorted(x[0]))
    part = slice(first, first + len(x))
    return part if np.array_equal(points[part], x) else None


def _capacity_rows(choices: list[Choice], uses: Uses) -> list[Row]:
    """One row for each resource of a node that a choice needs; what others hold is taken off its limit."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, choice in enumerate(choices):
        for resource in choice.needs:
            members.setdefault((choice.node, resource), []).append(index)
    rows = []
    for (node, resource), those in members.items():
        each = [choices[i].needs[resource] for i in those]
        own = sum(per_unit * choices[i].current for per_unit, i in zip(each, those, strict=True))
        limit = uses.capacity[node][resource] - max(0.0, uses.held[node, resource] - own)
        rows.append(
            Row(f"{node} {resource}", np.array(those, dtype=np.intp), np.array(each), max(limit, own), (node, resource))
        )
    return rows
