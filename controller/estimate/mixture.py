"""How much of each kernel to believe: the mixture whose forecasts were best, measured on what then happened.

S = Σ a_e S_e with a >= 0, Σ a = 1, minimising aᵀ G a, where G_ef is the decayed mean of

    ∫₀^alloc (S_e(y) - 1{D > y}) (S_f(y) - 1{D > y}) dy

over forecasts made up to a horizon before. Below the allocation 1{D > y} is known even where D is censored, so that this
score needs nothing that cannot be seen (economics.md 2). All workloads at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64

    Flags = NDArray[np.bool_]

RIDGE: Final = 1e-2
"""Of the mean of G's diagonal: kernels that forecast alike share their weight instead of fighting over it."""
_ROUNDS: Final = 4
"""Rounds for each kernel at most; it takes one or two for most."""
_NEAR: Final = 1e-9
"""Of the cost: what a kernel must lower it by to count again."""


def errors(forecasts: F64, above: F64, known: F64) -> F64:
    """(W, E, E) Σ over forecasts and cells of known · (S_e - share above)(S_f - share above).

    forecasts (W, F, E, M), NaN where there was none; above (W, M): share of the known time in which D > y; known (W, M):
    hours for which that was known. The mean of products over time differs from this product of means by a number that is
    the same for all e and f, and changes no optimum.
    """
    made = np.isfinite(forecasts[:, :, :1, :1])
    off = np.where(made, forecasts - above[:, None, None, :], 0.0)
    count = np.maximum(made.sum(axis=(1, 2, 3)), 1)
    weighted = off * known[:, None, None, :]
    found: F64 = np.matmul(weighted, off.swapaxes(-1, -2)).sum(axis=1) / count[:, None, None]
    return found


def simplex(scores: F64) -> F64:
    """(W, E) the weights: the minimum of aᵀ G a over a >= 0, Σ a = 1, by an active set (Nocedal and Wright 2006, 16.5).

    From equal weights towards the minimum over the kernels that count, as far as no weight gets negative; one that would is
    left out; once the minimum is reached, the one that would lower it most counts again. All workloads side by side.
    scores (W, E, E). For G = diag(1, 3): a = (3/4, 1/4). All zero: everything counts the same.
    """
    count = scores.shape[-1]
    size = np.trace(scores, axis1=1, axis2=2)[:, None, None] / count
    matrix = np.where(size > 0, scores / np.where(size > 0, size, 1.0), 0.0) + RIDGE * np.eye(count)
    weights, active = np.full(scores.shape[:2], 1.0 / count), np.ones(scores.shape[:2], dtype=bool)
    open_ = np.arange(len(scores))
    for _ in range(_ROUNDS * count):
        weights[open_], active[open_], done = _nearer(matrix[open_], weights[open_], active[open_])
        open_ = open_[~done]
        if not len(open_):
            break
    found: F64 = weights / weights.sum(axis=1, keepdims=True)
    return found


def _nearer(matrix: F64, weights: F64, active: Flags) -> tuple[F64, Flags, Flags]:
    """One round: weights, which count, and for which workloads that is the minimum."""
    both = active[:, :, None] & active[:, None, :]
    reduced = np.where(both, matrix, np.eye(matrix.shape[-1]))
    best = np.linalg.solve(reduced, active[:, :, None].astype(np.float64))[:, :, 0] * active
    best /= best.sum(axis=1, keepdims=True)
    falls = best < 0
    share = np.where(falls, weights / np.where(falls, weights - best, 1.0), 1.0)
    least = share.min(axis=1, keepdims=True)
    out = falls & (share <= least)
    weights = np.where(out, 0.0, np.maximum(weights + least * (best - weights), 0.0))
    slope = np.matmul(matrix, weights[:, :, None])[:, :, 0]
    cost = (slope * weights).sum(axis=1)
    gain = np.where(active, 0.0, cost[:, None] - slope)
    reached = ~falls.any(axis=1)
    back = reached & (gain.max(axis=1) > _NEAR * cost)
    active = active & ~out
    active[np.flatnonzero(back), gain.argmax(axis=1)[back]] = True
    return weights, active, reached & ~back
