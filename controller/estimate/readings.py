"""Which reading of a workload counts, what it has now, and why a workload has to stay out of a plan.

Unknown is not zero: whatever is missing, old or absurd here is a reason to leave the workload as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from controller.estimate.weights import WINDOW
from controller.model import Reason
from controller.policy import OnSourceFailure
from exporters.quantity import format_duration
from exporters.reading import Connection

if TYPE_CHECKING:
    from controller.model import WorkloadState
    from controller.policy import Limits
    from exporters.reading import Reading

_POSSIBLE: Final = 1e18

Why = tuple[Reason, str]
"""A reason, and its sentence with the numbers."""


def counting(workload: WorkloadState, now: float, limits: Limits) -> Reading | None:
    """The reading to decide on: the newest if it was one, else the last good one as far as the policy allows it."""
    newest, good = workload.reading, workload.last_good
    if newest is not None and newest.up:
        return newest
    allowed = limits.on_source_failure
    if good is not None and isinstance(allowed, OnSourceFailure) and 0 <= now - good.at <= allowed.last_good:
        return good
    return None


def known_allocation(workload: WorkloadState) -> float | None:
    """What the workload holds of its resource, as last reported, however long ago: it holds it until it says otherwise."""
    if workload.allocation is None:
        return None
    for reading in (workload.reading, workload.last_good):
        if reading is not None and reading.up:
            return finite(reading.allocated.get(workload.allocation.resource))
    return None


def held_allocation(workload: WorkloadState) -> float | None:
    """The most that it may hold now: what it last reported, or more where a program is on its way."""
    known = known_allocation(workload)
    if workload.in_flight is None:
        return known
    return workload.in_flight if known is None else max(known, workload.in_flight)


def finite(value: float | None) -> float | None:
    """A figure that can be true: a number, not negative, not absurd (no real one in base units is above 1e18)."""
    return value if value is not None and 0 <= value <= _POSSIBLE else None


def unfit(workload: WorkloadState, now: float, limits: Limits) -> Why | None:
    """Why this workload cannot be planned on now; None: it can. The first that holds, gravest first (G4)."""
    reading = counting(workload, now, limits)
    if reading is None:
        return Reason.DISCONNECTED, _disconnected(workload, now)
    age = now - reading.at
    if reading is workload.reading and not (-workload.stale_after <= age <= workload.stale_after):
        allowed = format_duration(workload.stale_after)
        return Reason.STALE, f"{workload.key} was last read {_ago(age)}; a reading counts for {allowed}"
    return (
        _unwell(workload, reading)
        or _unknown_allocation(workload)
        or _unpriced(workload, reading)
        or _no_history(workload, now, limits)
    )


def _disconnected(workload: WorkloadState, now: float) -> str:
    newest, good = workload.reading, workload.last_good
    if newest is None:
        return f"{workload.key} was not read yet"
    since = f"; the last good reading is {_ago(now - good.at)}" if good is not None else ""
    return f"{workload.key} cannot be read ({newest.failure or 'no reason given'}){since}"


def _ago(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "at an unknown time"
    return f"{format_duration(seconds)} ago" if seconds >= 0 else f"{format_duration(-seconds)} ahead of now"


def _unwell(workload: WorkloadState, reading: Reading) -> Why | None:
    if reading.connection in {Connection.FAILED, Connection.DISCONNECTED}:
        return Reason.DISCONNECTED, f"{workload.key} is {reading.connection.value}"
    if reading.healthy is False:
        return Reason.UNHEALTHY, f"{workload.key} says that it is not well (state {reading.state or 'unknown'})"
    if reading.earning_stalled:
        return Reason.UNHEALTHY, f"{workload.key} runs but earns nothing for several of its usual intervals"
    return None


def _unknown_allocation(workload: WorkloadState) -> Why | None:
    if workload.allocation is None or known_allocation(workload) is not None:
        return None
    resource = workload.allocation.resource
    return Reason.UNKNOWN_ALLOCATION, f"{workload.key} does not say how much {resource} it has now"


def _unpriced(workload: WorkloadState, reading: Reading) -> Why | None:
    resource = workload.allocation.resource if workload.allocation else ""
    figures = (
        reading.net_usd_per_hour,
        reading.pool_payout_usd_per_hour,
        reading.price_usd_per_unit_hour.get(resource),
    )
    if any(value is not None and math.isfinite(value) for value in figures):
        return None
    tokens = ", ".join(sorted(reading.native.gross_per_hour)) or "no token"
    return Reason.UNPRICED, f"what {workload.key} earns has no known worth in USD (it counts in {tokens})"


def _no_history(workload: WorkloadState, now: float, limits: Limits) -> Why | None:
    seen = exposure_seconds(workload, now, limits)
    if seen >= limits.min_history:
        return None
    shown, needed = format_duration(seen), format_duration(limits.min_history)
    older = workload.blocks is not None and not workload.blocks.exposure * 3600 <= seen
    since = f"; what is older than {format_duration(_lately(limits))} does not count" if older else ""
    return Reason.NO_HISTORY, f"{workload.key} was observed for {shown} of the {needed} that a plan needs{since}"


def _lately(limits: Limits | None) -> float:
    """Seconds: as far back as the estimators look, or as the owner's own minimum needs."""
    return max(WINDOW, 2 * limits.min_history if limits else 0.0)


def exposure_seconds(workload: WorkloadState, now: float, limits: Limits | None = None) -> float:
    """Seconds for which it was observed lately, up and fresh. What is older tells nothing of the coming hours, so a node
    that was away for a week begins again.
    """
    blocks = workload.blocks
    if blocks is None:
        return 0.0
    since, start = now - _lately(limits), blocks.start
    first, last = start.searchsorted(since, "right"), start.searchsorted(now, "right")
    if first and start[first - 1] + blocks.span[first - 1] > since:
        first -= 1
    return finite(float(blocks.hours[first:last].sum()) * 3600) or 0.0
