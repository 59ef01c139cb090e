"""Every allowed value of every choice as one item of a multiple-choice knapsack: what the solvers on the step grid read.

Exactly one item of each choice is taken. An item is worth what its allocation earns, less the cost of moving there
spread over the workload's horizon, so that curves of any shape, minimum stakes (a gap in the allowed values) and fixed
costs are all the same thing. Every step away from what a workload has costs a hair (`noise`) besides, so that of equal
plans the one that moves least is found. Rows are divided by their scale: bytes and cores are 12 orders of magnitude apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.plan.limits import SLACK
from controller.plan.problem import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.model import F64
    from controller.plan.problem import Problem, Row


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """n choices, k items in all, r rows."""

    first: NDArray[np.intp]
    """(n + 1,) where each choice's items begin."""
    value: NDArray[np.intp]
    """(k,) which of its choice's allowed values each item is."""
    worth: F64
    """(k,) USD per hour, net of the cost of moving."""
    use: F64
    """(r, k) what each takes of each row; scaled."""
    limit: F64
    """(r,) scaled, with what float64 may lose."""
    scale: F64
    """(r,) by what each row was divided."""
    at: NDArray[np.intp]
    """(n,) the item that each choice has now."""
    noise: float
    """USD per hour below which a difference is none."""

    def __len__(self) -> int:
        return len(self.at)

    def total(self, taken: NDArray[np.intp]) -> float:
        """USD per hour of one item of each choice (n,)."""
        return float(self.worth[taken].sum())

    def fits(self, taken: NDArray[np.intp]) -> bool:
        """Whether they keep all rows."""
        return bool((self.use[:, taken].sum(axis=1) <= self.limit).all())

    def of(self, index: Sequence[int]) -> NDArray[np.intp]:
        """(n,) items of indices into the allowed values."""
        begin = self.first[:-1]
        taken: NDArray[np.intp] = begin + np.asarray(index, dtype=np.intp) - self.value[begin]
        return taken

    def index(self, taken: NDArray[np.intp]) -> list[int]:
        """(n,) indices into the allowed values."""
        return [int(i) for i in self.value[taken]]


def items(problem: Problem) -> Items:
    """The items of a problem; a pinned choice has one."""
    spans = [(c.at, c.at + 1) if c.pinned else (0, len(c.x)) for c in problem.choices]
    sizes = np.array([end - begin for begin, end in spans], dtype=np.intp)
    first = np.concatenate([[0], sizes.cumsum()]).astype(np.intp)
    value = np.concatenate([np.arange(*span) for span in spans]).astype(np.intp) if spans else np.zeros(0, np.intp)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    x = np.concatenate([c.x[b:e] for c, (b, e) in zip(problem.choices, spans, strict=True)]) if spans else np.zeros(0)
    y = np.concatenate([c.y[b:e] for c, (b, e) in zip(problem.choices, spans, strict=True)]) if spans else np.zeros(0)
    at = np.array([c.at for c in problem.choices], dtype=np.intp)
    cost = np.array([c.cost * 3600 / c.horizon for c in problem.choices])
    noise = NOTHING * float(np.abs(y).max(initial=0.0))
    away = np.abs(value - at[owner])
    use, limit, scale = _rows(problem.rows, owner, x, first)
    for count in problem.counts:
        above = np.zeros(len(x))
        for i, least in zip(count.index.tolist(), count.least.tolist(), strict=True):
            above[first[i] : first[i + 1]] = x[first[i] : first[i + 1]] > least
        use, limit = np.vstack([use, above]), np.append(limit, count.limit + SLACK)
        scale = np.append(scale, 1.0)
    return Items(
        first=first, value=value, worth=y - cost[owner] * (away > 0) - noise * away, use=use, limit=limit,
        scale=scale, at=first[:-1] + at - value[first[:-1]] if len(at) else at, noise=noise,
    )  # fmt: skip


def _rows(rows: Sequence[Row], owner: NDArray[np.intp], x: F64, first: NDArray[np.intp]) -> tuple[F64, F64, F64]:
    """What each item takes of each row and the rows' limits, scaled. A hair less than Row.holds allows, but never less
    than what float64 loses in sums of terms that cancel, as those of a share do.
    """
    use, limit, scales = np.zeros((len(rows), len(x))), np.zeros(len(rows)), np.ones(len(rows))
    for number, row in enumerate(rows):
        per_unit = np.zeros(len(first) - 1)
        per_unit[row.index] = row.coefficient
        term = per_unit[owner] * x
        scale = max(float(np.abs(term).max(initial=0.0)), abs(row.limit)) or 1.0
        least = np.minimum.reduceat(np.abs(term), first[:-1]).sum() if len(term) else 0.0
        use[number], scales[number] = term / scale, scale
        limit[number] = (row.limit + max(0.5 * SLACK * max(abs(row.limit), float(least)), NOTHING * scale)) / scale
    return use, limit, scales
