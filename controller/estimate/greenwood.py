"""How far curves of demand are open, in closed form: for where there are too many for replicates.

f(x) = v ∫₀ˣ S with S a product over levels of (1 - h_i), h_i = d_i / n_i. To first order, d_i one more at level i moves f(x)
by -v (F(x) - F(t_i)) / ..., F = ∫ S, so that (Greenwood 1926; Kalbfleisch and Prentice 2002 for the integral)

    var f(x) = v² Σ_{t_i < x} g_i (F(x) - F(t_i))²,   g_i = h_i / (n_i (1 - h_i))

with n_i the effective hours at risk. Levels between two breakpoints move f together; what a unit earns moves it too. Hours
are not looked at, so that two workloads are taken to be apart: a transfer between two that rise and fall together is surer
than this says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.ahead import Outlook
    from controller.model import F64

    Rows = NDArray[np.intp]

MOST: Final = 6
"""Groups of neighbouring levels that are told apart."""
_LEAST: Final = 1e-9
"""Share of the hours at risk, and of S, under which a level moves nothing that could be seen."""
_AT_ONCE: Final = 2048


def influences(outlook: Outlook, rows: Rows, x: F64, worth: F64) -> F64:
    """(n, c, K) USD per hour by which a standard deviation of each of c causes moves the curves of some rows at x (n, K),
    where a used unit earns `worth` (n,); the last cause is what a unit earns.
    """
    pieces = [slice(first, first + _AT_ONCE) for first in range(0, len(rows), _AT_ONCE)]
    return np.concatenate([_influences(outlook, rows[it], x[it], worth[it]) for it in pieces])


def columns(curves: int, causes: int) -> Rows:
    """(n, c) which they are: nobody else's."""
    return np.arange(curves * causes).reshape(curves, causes)


def _influences(outlook: Outlook, rows: Rows, x: F64, worth: F64) -> F64:
    area, quantum, effective = outlook.used[rows], outlook.quantum[rows, None], outlook.effective[rows]
    moved = _moved(area, quantum, outlook.held[rows], effective)
    cells = np.minimum(x / quantum, area.shape[1] - 1)
    left = np.minimum(cells.astype(np.intp), area.shape[1] - 2)
    begins, ends = np.take_along_axis(area, left, 1), np.take_along_axis(area, left + 1, 1)
    reached = begins + (ends - begins) * (cells - left)
    # levels from the last breakpoint up to this one; an edge at it moves nothing there
    up_to = np.minimum(np.ceil(cells).astype(np.intp), area.shape[1] - 1)
    edges = up_to[:, np.unique(np.linspace(0, x.shape[1] - 1, MOST + 1).astype(np.intp))]
    edges[:, 0] = 0
    sums = [np.diff(np.take_along_axis(each, edges, 1), axis=1)[:, :, None] for each in moved]
    part = np.clip((up_to[:, None, :] - edges[:, :-1, None]) / np.maximum(np.diff(edges)[:, :, None], 1), 0.0, 1.0)
    square = sums[0] * reached[:, None] ** 2 - 2 * sums[1] * reached[:, None] + sums[2]
    by_level = np.sqrt(np.maximum(part * square, 0.0))
    surest = 1.0 / (1.0 / np.maximum(outlook.missed[rows], 1e-12)).mean(axis=1)
    by_worth = np.sqrt(surest / np.maximum(effective, 1.0))[:, None] * reached
    found: F64 = worth[:, None, None] * np.concatenate([by_level, by_worth[:, None]], axis=1)
    return found


def _moved(area: F64, quantum: F64, held: F64, effective: F64) -> tuple[F64, F64, F64]:
    """(n, M + 1) each: Σ g, Σ g F and Σ g F² over the levels under each edge."""
    survives = np.diff(area, axis=1) / quantum
    before = np.concatenate([np.ones((len(area), 1)), survives[:, :-1]], axis=1)
    hazard = np.clip(1.0 - np.divide(survives, before, out=np.ones_like(before), where=before > _LEAST), 0.0, 1.0)
    at_risk = np.cumsum(held[:, ::-1], axis=1)[:, ::-1]
    at_risk = at_risk / np.maximum(at_risk[:, :1], 1e-300) * effective[:, None]
    told = (survives > _LEAST) & (at_risk > _LEAST * effective[:, None])
    g = np.divide(hazard, at_risk * (1.0 - hazard), out=np.zeros_like(hazard), where=told)
    under = area[:, :-1]
    found = np.zeros((3, *area.shape))
    np.cumsum(np.stack([g, g * under, g * under**2]), axis=2, out=found[:, :, 1:])
    return found[0], found[1], found[2]
