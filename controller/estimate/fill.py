"""Fill curves: stored data arrives slowly and leaves on its own, so room earns only once it is filled (economics.md 2).

With u0 stored now, growth g per hour while there is room and the fill horizon F, at once for many replicates:

    f(x) = v/F · ∫₀ᶠ min(x, u0 + g t) dt        on x >= u0

Below u0 shrinking frees nothing. The slope just above u0 is v and falls linearly to 0 at u0 + g F.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import HOUR

if TYPE_CHECKING:
    from controller.estimate.weights import Weights
    from controller.model import F64, Blocks

HORIZON: Final = 168 * HOUR
"""F, where the protocol does not say another one. A disk that grows by a fifth of a step a day brings so little within three
days that no step ever seems worth it, and stays full for ever (docs/adr/0017).
"""
REMEMBERED: Final = 14 * 24 * HOUR
"""How long growth is remembered; longer, where there was little room to see any."""
_ENOUGH_ROOM: Final = 6.0
"""Hours with room in the last 14 days under which all that is kept counts."""
_LEAST_ROOM: Final = 1.0
"""Hours with room, in all that is kept, under which they say nothing: of a full disk, one wrong look at an empty one would be
the growth of weeks."""
_STILL: Final = 1e-100
"""Units per hour under which nothing grows or shrinks: dividing by less leaves float64."""
_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""
_UNKNOWN_STEPS: Final = 0.25
"""Mean growth in steps per horizon that is supposed where nobody knows it: a small slope, never a silent 0."""


def earning(x: F64, used: float, growth: F64, value: F64, hours: float) -> F64:
    """(R, k) USD per hour at each x >= used, for R pairs of growth (units/h) and value (USD per unit-hour).

    used 5 TB, growth 0.01 TB/h, v 0.00208, 720 h: slope 0.00208 at 5 TB, 0.00104 at 8.6 TB, 0 from 12.2 TB on.
    """
    rises = np.where(growth > _STILL, growth, 0.0)[:, None]
    room = np.maximum(x[None, :] - used, 0.0)
    full_after = np.divide(
        room, rises, out=np.full(np.broadcast_shapes(room.shape, rises.shape), np.inf), where=rises > 0
    )
    grows = np.minimum(full_after, hours)
    stored = used * hours + rises * grows**2 / 2 + np.where(full_after < hours, room * (hours - grows), 0.0)
    # what shrinks by itself shrinks whatever its room: the same at every x
    stored = np.where(growth[:, None] < 0, _shrinking(used, growth, hours)[:, None], stored)
    earned: F64 = value[:, None] * stored / hours
    return earned


def _shrinking(used: float, growth: F64, hours: float) -> F64:
    """∫ max(0, used + g t) dt for g < 0."""
    falls = np.maximum(-growth, _STILL)
    until = np.minimum(hours, used / falls)
    total: F64 = used * until - falls * until**2 / 2
    return total


def growth_seen(blocks: Blocks, weights: Weights) -> F64 | None:
    """(R,) units per hour by which use rose while there was room; None where it was not seen with room for an hour."""
    middle = blocks.start + blocks.span / 2
    age, room = weights.now - middle, blocks.room_hours
    told = (age >= 0) & (room > 0) & (room <= _POSSIBLE) & (np.abs(blocks.room_growth) <= _POSSIBLE)
    recent = told & (age <= REMEMBERED)
    kept = np.flatnonzero(recent if room[recent].sum() >= _ENOUGH_ROOM else told)
    if not room[kept].sum() >= _LEAST_ROOM:
        return None
    rows = weights.draws[:, weights.column(middle[kept])]
    rate: F64 = (rows @ blocks.room_growth[kept]) / (rows @ room[kept])
    return rate


def growth_unknown(rows: int, step: float, hours: float) -> F64:
    """(R,) the interval that stands for "nobody knows": an exponential spread with a mean of a quarter step a horizon.

    Its quantiles, not draws, so that it is the same for every workload and every seed; row 0 is its mean.
    """
    mean = _UNKNOWN_STEPS * step / hours
    quantiles = (np.arange(max(rows - 1, 1)) + 0.5) / max(rows - 1, 1)
    spread = -np.log1p(-quantiles) * mean
    return np.concatenate([[mean], spread])[:rows]


def concave_from(x: F64, y: F64) -> F64:
    """The smallest concave function over (x, y), both (k,): its values at x.

    Needed where more is stored than allowed: growing earns nothing until the room reaches what is stored, and much
    after; a solver that looks one step ahead would never see it.
    """
    kept: list[int] = []
    for index in range(len(x)):
        while len(kept) > 1 and _under(x, y, kept[-2], kept[-1], index):
            kept.pop()
        kept.append(index)
    hull: F64 = np.interp(x, x[kept], y[kept])
    return hull


def _under(x: F64, y: F64, left: int, middle: int, right: int) -> bool:
    """Whether the middle point lies on or under the line between the other two."""
    return bool((y[middle] - y[left]) * (x[right] - x[left]) <= (y[right] - y[left]) * (x[middle] - x[left]))
