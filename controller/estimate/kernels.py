"""Which past to believe: ways of weighing it ("kernels"), each of which gives one survival curve of demand.

No single window serves: a slow one misses changes of regime and rhythm, a fast one chases noise. So there are six that
forget at different speeds, one that looks at the same hours of earlier days, and one that looks at the same hours of
earlier days of the same kind (weekday or weekend). mixture.py says how much of each to believe (economics.md 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64

    F32 = NDArray[np.float32]

HOUR: Final = 3600.0
DAY: Final = 86400.0
HALF_LIVES: Final = np.array([3 / 60, 20 / 60, 1.0, 3.0, 12.0, 48.0])
"""Hours. The first is shorter than a block: the last one that closed, and little else."""
RECENT: Final = len(HALF_LIVES)
COUNT: Final = RECENT + 2
"""Kernels in all: the recent ones, the hours of the day, the hours of the day by kind of day."""
ALONE: Final = 4
"""The 12 h kernel: believed alone until the others have been scored for long enough."""
SLOTS: Final = 24
"""Slots of an hour, UTC."""
SLOT_HALF_LIFE: Final = 4 * DAY
AROUND: Final = 0.5
"""Hours before and after the coming horizon that count as the same hours."""
_WEEKEND: Final = 5
"""Days since Monday."""
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""
_LATEST: Final = 1e12
"""Unix seconds; later is no time."""
ENOUGH: Final = 0.25
"""Share of what a kernel would hold of a past without gaps, under which it says nothing."""
_TAIL_SHARE: Final = 0.25
_TAIL_STEPS: Final = 2.0
"""Without the floor of two steps small allocations starve (captured uplift 0.83 instead of 0.88)."""
_SEEN: Final = 1e-5
"""Share of a kernel's weight at a level, under which the level was not seen by it: forgotten, not yet gone."""


def slot_of(at: F64) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(kind of day: 0 weekday, 1 weekend; hour of the day) of Unix seconds, UTC; of what is no time, those of 1970."""
    at = np.where(np.abs(at) <= _LATEST, at, 0.0)  # NaN compares false
    days = np.floor(at / DAY)
    kind = ((days + _EPOCH_WEEKDAY) % 7 >= _WEEKEND).astype(np.intp)
    return kind, np.floor((at - days * DAY) / HOUR).astype(np.intp) % SLOTS


def coming(now: float, hours: float) -> F64:
    """(2, SLOTS) how many of the hours from `now` - AROUND to `now` + `hours` + AROUND lie in each slot.

    At noon of a Monday, 2 h ahead: 0.5 in the slot of 11 h, 1 in those of 12 and 13, 0.5 in that of 14; weekday.
    """
    found = np.zeros((2, SLOTS))
    first, last = now - AROUND * HOUR, now + (min(hours, SLOTS) + AROUND) * HOUR
    edges = np.arange(np.floor(first / HOUR), np.ceil(last / HOUR), dtype=np.float64) * HOUR
    kinds, slots = slot_of(edges + 1.0)
    overlap = np.minimum(edges + HOUR, last) - np.maximum(edges, first)
    np.add.at(found, (kinds, slots), np.maximum(overlap, 0.0) / HOUR)
    return found


def histograms(recent: F32, slots: F32, written: F64, ahead: F64, now: float) -> F64:
    """(W, 2, COUNT, M) hours at each level, exact and censored, as every kernel weighs them.

    recent (W, 2, RECENT, M): running sums; slots (W, 2, 2, SLOTS, M): (exact or censored, kind of day, hour of day),
    each decayed until `written` (W, 2, SLOTS), Unix seconds; ahead: `coming`.
    """
    touched = np.flatnonzero(ahead.any(axis=0))
    decay = np.exp2(-np.maximum(now - written[:, :, touched], 0.0) / SLOT_HALF_LIFE)
    part = slots[:, :, :, touched]
    same_hours = np.einsum("wds,wkdsm->wkm", decay * ahead.sum(axis=0)[touched], part)
    same_kind = np.einsum("wds,wkdsm->wkm", decay * ahead[:, touched], part)
    return np.concatenate([recent, same_hours[:, :, None], same_kind[:, :, None]], axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class Survivals:
    """P(D > y) by every kernel on cells of one quantum: cell j is from level j to level j + 1."""

    inside: F64
    """(W, COUNT, M) its mean over each cell, with the tail beyond what was seen."""
    seen: F64
    """(W, COUNT, M) the same without the tail: were nothing used above what was ever seen."""
    most: F64
    """(W, COUNT, M) were everything used above it."""
    last: NDArray[np.intp]
    """(W, COUNT) the highest level that the kernel saw; -1: none."""


def survivals(exact: F64, censored: F64, tail_cells: F64) -> Survivals:
    """Weighted Kaplan-Meier of (..., M) hours at levels, for every workload and kernel at once.

    S after level j = Π over i <= j of (1 - exact(i) / n(i)), n(i) = all hours at i or above. Beyond the highest level, when
    that was censored, S falls by exp(-distance / τ), τ = max(a quarter of that level, two steps). `tail_cells` (W,): two
    steps in cells. Worked, hours 1 exact at 2, 1 exact at 4, 2 censored at 8: S = 1 below 2, 3/4 on [2, 4), 1/2 on [4, 8).
    """
    total = exact + censored
    at_risk = np.cumsum(total[..., ::-1], axis=-1)[..., ::-1]
    all_hours = at_risk[..., :1]
    hazard = np.divide(exact, at_risk, out=np.zeros_like(exact), where=at_risk > 1e-12 * all_hours)
    after = np.cumprod(1.0 - hazard, axis=-1)
    levels = exact.shape[-1]
    was_seen = total > _SEEN * all_hours
    last = np.where(was_seen.any(axis=-1), levels - 1 - np.argmax(was_seen[..., ::-1], axis=-1), -1)
    place = np.maximum(last, 0)[..., None]
    left = np.take_along_axis(after, place, axis=-1)
    full = np.take_along_axis(censored, place, axis=-1) > _SEEN * all_hours
    tail = np.maximum(_TAIL_SHARE * place, tail_cells.reshape(-1, *([1] * (exact.ndim - 1))))
    cells = np.arange(levels)
    within = cells < place
    beyond = np.maximum(cells - place, 0) / tail
    falling = left * full * np.exp(-beyond) * (tail * -np.expm1(-1.0 / tail))
    return Survivals(
        inside=np.where(within, after, falling),
        seen=np.where(within, after, 0.0),
        most=np.where(within, after, left * full),
        last=last,
    )
