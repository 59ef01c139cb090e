"""A problem as flat arrays: 40 000 workloads are a handful of arrays, not 40 000 objects.

Choices are grouped by node, their curves cut into segments between neighbouring allowed values, best first. Rows of a
node's capacity are a matrix of needs and one of rooms; constraints over nodes are a matrix of coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from controller.plan.problem import segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.problem import Problem, Row, Segments


@dataclass(frozen=True, eq=False)
class FlatProblem:
    """n choices on N nodes with s segments, k resources, m constraints over nodes. What there is now keeps all of them.

    A pinned choice has no segments. Curves are concave: `flat` refuses others.
    """

    node: NDArray[np.intp]
    """(n,) ascending, 0..N-1."""
    first: NDArray[np.intp]
    """(n + 1,) where each choice's segments begin."""
    dx: F64
    """(s,) base units, > 0."""
    dy: F64
    """(s,) USD per hour; per base unit never rising within a choice."""
    at: NDArray[np.intp]
    """(n,) how many of its segments each choice has now."""
    cost: F64
    """(n,) USD per hour that any move costs, spread over the workload's horizon."""
    need: F64
    """(k, n) of each resource per base unit, >= 0."""
    room: F64
    """(k, N) of each resource, beyond what all have at the least they may be given; inf where nothing bounds it."""
    coefficient: F64
    """(m, n) of the constraints over nodes, per base unit."""
    limit: F64
    """(m,) of those, beyond what all take at the least they may be given."""

    @property
    def nodes(self) -> int:
        return int(self.room.shape[1])

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """(s,) whose segment it is."""
        return np.repeat(np.arange(len(self.node)), np.diff(self.first))

    def amounts(self, taken: F64) -> F64:
        """(n,) base units above the least, of the shares taken of each segment (s,)."""
        found: F64 = np.bincount(self.owner, weights=taken * self.dx, minlength=len(self.node)).astype(np.float64)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Flattened:
    """A FlatProblem and the way back to the Problem that it was made of."""

    problem: FlatProblem
    order: NDArray[np.intp]
    """(n,) which choice of the Problem each is."""
    base: F64
    """(n,) the least that each may be given, in that order."""
    low: NDArray[np.intp]
    """(n,) its index in the choice's allowed values."""


def flat(problem: Problem, parts: Segments | None = None) -> Flattened:
    """The flat form; `parts` are the problem's segments, where they are known. ValueError for a curve that is not concave."""
    choices = problem.choices
    names = sorted({c.node for c in choices})
    number = {name: i for i, name in enumerate(names)}
    node = np.array([number[c.node] for c in choices], dtype=np.intp)
    order = node.argsort(kind="stable")
    parts = parts or segments(problem)
    if not parts.concave:
        raise ValueError("a flat problem has concave curves only")
    sizes = np.bincount(parts.owner, minlength=len(choices))[order]
    starts = np.searchsorted(parts.owner, np.arange(len(choices)))[order]
    first = np.concatenate([[0], sizes.cumsum()]).astype(np.intp)
    pick = np.arange(first[-1]) + np.repeat(starts - first[:-1], sizes)
    need, room = _capacity(problem, number, order, parts.base)
    over = [row for row in problem.rows if row.place is None and len(row.index)]
    coefficient = np.zeros((len(over), len(choices)))
    for i, row in enumerate(over):
        coefficient[i, row.index] = row.coefficient
    pinned = np.array([c.pinned for c in choices], dtype=bool)
    at = np.array([c.at for c in choices], dtype=np.intp)
    now = problem.current
    limit = np.array([row.limit for row in over]) - coefficient @ parts.base
    # what is just full is not broken, whatever sums of large terms that cancel differ by
    kept = np.array([row.holds(now) for row in over], dtype=bool)
    limit[kept] = np.maximum(limit, coefficient @ (now - parts.base))[kept]
    return Flattened(
        FlatProblem(
            node=node[order], first=first, dx=parts.dx[pick], dy=parts.dy[pick], at=np.where(pinned, 0, at)[order],
            cost=np.array([c.cost * 3600 / c.horizon for c in choices])[order], need=need, room=room,
            coefficient=coefficient[:, order], limit=limit,
        ),
        order=order, base=parts.base[order], low=np.where(pinned, at, 0)[order],
    )  # fmt: skip


def _capacity(problem: Problem, number: dict[str, int], order: NDArray[np.intp], base: F64) -> tuple[F64, F64]:
    """(k, n) needs and (k, N) rooms of a FlatProblem."""
    rows: list[tuple[Row, tuple[str, str]]] = [(row, row.place) for row in problem.rows if row.place and len(row.index)]
    kinds = {name: i for i, name in enumerate(sorted({resource for _, (_, resource) in rows}))}
    need = np.zeros((len(kinds), len(problem.choices)))
    room = np.full((len(kinds), len(number)), np.inf)
    if rows:
        kind = np.array([kinds[resource] for _, (_, resource) in rows])
        place = np.array([number[name] for _, (name, _) in rows])
        which = np.repeat(np.arange(len(rows)), [len(row.index) for row, _ in rows])
        index, coefficient = (
            np.concatenate(each) for each in zip(*((r.index, r.coefficient) for r, _ in rows), strict=True)
        )
        need[kind[which], index] = coefficient
        held = np.bincount(which, weights=coefficient * base[index], minlength=len(rows))
        room[kind, place] = np.array([row.limit for row, _ in rows]) - held
    return need[:, order], np.maximum(room, 0.0)
