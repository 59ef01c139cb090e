"""What a change of one allocation earned: the same hours, the same demand, the same value of a unit, with the new
allocation and with the old one (economics.md 6). Pure.

    demand     v · (min(to, D) - min(from, D)); where D is only known to be at least L, the rest is between bounds
    fill       the stored amount follows the growth that was seen, in the old room and in the new
    dilution   the pool's payout at the old stake and at the new

Energy at the tariffs of those hours is charged to both. The value of a unit is that of the hours judged, in the token
that it is paid in, at one price for both: what the market did to the token is nobody's skill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from controller.estimate import dilution
from controller.estimate.belief import by_earnings
from controller.estimate.cost import energy_per_unit_hour
from controller.estimate.readings import finite
from controller.estimate.weights import HOUR, draw, pool, recency
from controller.model import Interval
from exporters.quantity import format_duration
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64, Blocks, NodeState, WorkloadState
    from exporters.nodes import Allocation

HIDDEN: Final = 0.6
"""What lies above the allocation while it was full is expected to be used by this share: nobody saw it (economics.md 4)."""
ENOUGH: Final = 1 / 3
"""Share of the time that must have been observed for a judgement."""
_REMEMBERED: Final = 14 * 24 * HOUR
"""How long growth is remembered (economics.md 2, fill)."""
_SELDOM: Final = 0.05
"""With room left for a larger share of the hours it is not "always full", and its use is believed."""
_POSSIBLE: Final = 1e24
"""No real sum of one block is larger; NaN is not smaller."""


@dataclass(frozen=True, slots=True)
class Change:
    """One workload from one allocation to another, and the time over which that is looked at."""

    from_: float
    to: float
    since: float
    until: float
    price: float | None = None
    """USD per token at which earnings are counted; None: as they were paid."""
    others: float | None = None
    """Stake of all others when it was changed."""

    @property
    def hours(self) -> float:
        return (self.until - self.since) / HOUR


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The hours that count, their earnings restated."""

    workload: WorkloadState
    allocation: Allocation
    change: Change
    blocks: Blocks
    """All that is known up to `until`."""
    inside: NDArray[np.bool_]
    """(n,) which blocks lie within."""


def gained(workload: WorkloadState, node: NodeState, change: Change) -> Interval | str:
    """USD per hour by which the new allocation earned more than the old one would have; low and high where the demand
    behind it was hidden. A sentence instead, where it cannot be known.

    Golem from 6 to 8 threads at 0.03 USD a thread-hour, demand 2, 8, 8, 4 in four hours: 0, 2, 2, 0 more threads were
    used, so +0.03 USD/h.
    """
    allocation, blocks = workload.allocation, workload.blocks
    if allocation is None or blocks is None or not len(blocks.start):
        return f"nothing is known of the hours of {workload.key} that were to be judged"
    known = blocks.start < change.until
    inside = known & (blocks.start >= change.since - 1) & (blocks.start + blocks.span <= change.until + 1)
    seen = _Seen(workload, allocation, change, _at_price(blocks, change.price), inside)
    if short := _too_little(seen):
        return short
    found = _KINDS[workload.traits.curve](seen)
    if isinstance(found, str):
        return found
    hours = max(change.hours, 1e-9)
    energy = energy_per_unit_hour(node.power, workload.watts, allocation.step, change.since, hours)
    charged = energy * (change.to - change.from_)
    figures = (found.low - charged, found.expected - charged, found.high - charged)
    if not np.isfinite(figures).all():
        return f"{workload.key} has figures in its history or its power that cannot be true"
    return Interval(*(float(figure) for figure in figures))


def _at_price(blocks: Blocks, price: float | None) -> Blocks:
    """The blocks with what was paid in tokens counted at one price."""
    if price is None or blocks.tokens is None or blocks.token_usd is None:
        return blocks
    known = (np.abs(blocks.tokens) <= _POSSIBLE) & (np.abs(blocks.token_usd) <= _POSSIBLE)
    tokens, paid = np.where(known, blocks.tokens, 0.0), np.where(known, blocks.token_usd, 0.0)
    return replace(blocks, usd=blocks.usd + tokens * price - paid)


def _too_little(seen: _Seen) -> str:
    blocks = seen.blocks
    hours = blocks.hours if seen.workload.traits.curve is not CurveKind.DEMAND else _level_hours(blocks)
    observed, asked = float(_true(hours)[seen.inside].sum()), seen.change.hours
    if observed >= ENOUGH * asked > 0:
        return ""
    return f"the use of {seen.workload.key} was seen for {format_duration(observed * HOUR)} of {format_duration(asked * HOUR)}"


def _level_hours(blocks: Blocks) -> F64:
    total: F64 = blocks.exact.sum(axis=1, dtype=np.float64) + blocks.censored.sum(axis=1, dtype=np.float64)
    return total


def _true(values: F64) -> F64:
    """Without what cannot be: NaN, infinities, absurd sums."""
    return np.where(np.abs(values) <= _POSSIBLE, values, 0.0)


def _value(seen: _Seen) -> float | None:
    """USD per used unit-hour in the hours judged; where nothing was used in them, in all that is remembered."""
    blocks = seen.blocks
    usd, units = _true(blocks.usd), _true(blocks.unit_hours)
    for counted in (seen.inside, blocks.start < seen.change.until):
        used = float(units[counted].sum())
        if used > 0:
            return float(usd[counted].sum()) / used
    return None


# --- demand -------------------------------------------------------------------------------------------------------


def _demand(seen: _Seen) -> Interval | str:
    change, blocks = seen.change, seen.blocks
    levels, full = blocks.levels, _full(blocks.levels, change.to, seen.allocation)
    exact = blocks.exact[seen.inside].sum(axis=0, dtype=np.float64)
    censored = blocks.censored[seen.inside].sum(axis=0, dtype=np.float64)
    hours = float(exact.sum() + censored.sum())
    believed = None if float(exact.sum()) > _SELDOM * hours else _by_earnings(seen)
    if believed:
        more = believed.value * (min(change.to, believed.demand) - min(change.from_, believed.demand))
        return Interval(more, more, more)
    hidden = np.maximum(change.to, full) - np.maximum(change.from_, full)  # what an endless demand would add
    more = float(exact @ _more(change, levels) + censored @ _more(change, full)) / hours
    above = float(censored @ hidden) / hours
    value = _value(seen)
    if value is None:
        if more == above == 0:
            return Interval(0.0, 0.0, 0.0)
        return f"nothing says what a used unit of {seen.workload.key} earns"
    bounds = sorted((value * more, value * (more + above)))
    return Interval(bounds[0], value * (more + HIDDEN * above), bounds[1])


def _more(change: Change, demand: F64) -> F64:
    return np.minimum(change.to, demand) - np.minimum(change.from_, demand)


def _full(levels: F64, to: float, allocation: Allocation) -> F64:
    """What demand was at least, by the level at which the workload was full: its allocation, whatever cell of the levels'
    grid (of a quarter step, or up to 1/32 of the maximum) that fell into.
    """
    cell = max(allocation.step / 2, allocation.max / 64) * (1 + 1e-9)
    return np.where(np.abs(levels - to) <= cell, to, levels)


class _Implied(NamedTuple):
    value: float
    """USD per unit-hour."""
    demand: float


def _by_earnings(seen: _Seen) -> _Implied | None:
    """What its earnings imply, where a workload that is always full cannot be believed (estimate/belief.py)."""
    until = seen.change.until
    weights = draw([seen.blocks], until, 0, replicates=0)
    found = by_earnings(pool(seen.blocks, weights, recency(seen.blocks, until)), weights.block)
    if found is None or not float(found[0].unit_hours.sum()) > 0:
        return None
    value = float(found[0].usd.sum() / found[0].unit_hours.sum())
    usd, hours = (float(_true(v)[seen.inside].sum()) for v in (seen.blocks.usd, seen.blocks.rate_hours))
    return _Implied(value, usd / hours / value) if hours > 0 and value > 0 else None


# --- fill ---------------------------------------------------------------------------------------------------------


def _fill(seen: _Seen) -> Interval | str:
    """Stored with the old room: what was stored, less all growth that would not have fitted (grown); what was stored,
    and the growth that found no room (shrunk).
    """
    blocks, change = seen.blocks, seen.change
    inside = seen.inside & np.isfinite(blocks.used) & (blocks.hours > 0)
    if not inside.any():
        return f"how much {seen.workload.key} had stored was not seen"
    value = _value(seen)
    if value is None:
        return f"nothing says what a stored unit of {seen.workload.key} earns"
    stored, hours = blocks.used[inside], blocks.hours[inside]
    if change.to >= change.from_:
        first = blocks.used_first[inside][0]
        room = max(change.from_, float(first if np.isfinite(first) else stored[0]))
        more = value * _mean(np.maximum.accumulate(np.maximum(stored - room, 0.0)), hours)
        return Interval(more, more, more)
    return _missed(seen, value, np.cumsum(blocks.censored[inside].sum(axis=1, dtype=np.float64)), hours)


def _missed(seen: _Seen, value: float, full: F64, hours: F64) -> Interval:
    """What the room that was given up would have earned: growth at the rate that was seen, for the hours in which it was
    full, from none to twice of it. Where growth was never seen: from nothing to all of the room.
    """
    room, growth = seen.change.from_ - seen.change.to, _growth(seen)
    if growth is None:
        most = _mean(np.where(full > 0, room, 0.0), hours)
        lost = [0.0, HIDDEN * most, most]
    else:
        lost = [_mean(np.minimum(room, factor * growth * full), hours) for factor in (0.0, 1.0, 2.0)]
    low, high = sorted((-value * lost[2], -value * lost[0]))
    return Interval(low, -value * lost[1], high)


def _mean(values: F64, hours: F64) -> float:
    return float(values @ hours / hours.sum())


def _growth(seen: _Seen) -> float | None:
    """Units per hour by which use rose while there was room, of the last 14 days; None: never seen with room."""
    blocks = seen.blocks
    lately = (blocks.start < seen.change.until) & (blocks.start >= seen.change.until - _REMEMBERED)
    room = float(_true(blocks.room_hours)[lately].sum())
    return max(0.0, float(_true(blocks.room_growth)[lately].sum()) / room) if room > 0 else None


# --- dilution -----------------------------------------------------------------------------------------------------


def _dilution(seen: _Seen) -> Interval | str:
    """The pool's payout follows from what the new stake earned, or, without one, from what the pool says of itself."""
    change, reading = seen.change, seen.workload.last_good
    now = finite(reading.pool.others) if reading is not None and reading.pool is not None else None
    stakes = sorted({others for others in (change.others, now) if others is not None})
    if not stakes:
        return f"the stake of the others in the pool of {seen.workload.key} is not known"
    told = finite(reading.pool_payout_usd_per_hour) if reading is not None else None
    value = _value(seen) if change.to > 0 else None
    found = []
    for others in stakes:
        payout = value * (others + change.to) if value is not None else told
        if payout is None:
            return f"what the pool of {seen.workload.key} pays is not known"
        was, is_ = dilution.earning(np.array([change.from_, change.to]), payout, others)
        found.append(float(is_ - was))
    return Interval(min(found), sum(found) / len(found), max(found))


def _none(seen: _Seen) -> str:
    return f"how {seen.workload.protocol} answers to an allocation is not known (curve none)"


_KINDS: Final = {
    CurveKind.DEMAND: _demand,
    CurveKind.FILL: _fill,
    CurveKind.DILUTION: _dilution,
    CurveKind.NONE: _none,
}
