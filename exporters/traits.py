"""What a protocol's module declares about itself: pure data that estimate, plan and guard may rely on.

Each module under `protocols/` exports one `TRAITS`; a `mapped` workload declares the same in its YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel


class CurveKind(StrEnum):
    """How earnings answer to the allocation (economics.md 2)."""

    DEMAND = "demand"
    """What is used is min(allocation, demand); demand varies."""
    FILL = "fill"
    """Room fills slowly and empties on its own; shrinking below what is used frees nothing."""
    DILUTION = "dilution"
    """A pool of money shared by stake."""
    NONE = "none"
    """Watched, never moved."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Durations in seconds, money in USD, allocations in base units (exporters/quantity.py)."""

    curve: CurveKind = CurveKind.NONE
    resource: str | None = None
    """The resource that an allocation of this protocol is counted in, None where any is possible (`mapped`)."""
    poll_interval: float = 60.0
    """How often asking tells something new (O6); a workload's `pollInterval` overrides it."""
    timeout: float = 30.0
    """Of one whole look, all its requests together; a workload's `timeout` overrides it."""
    stale_after: float | None = None
    """Age at which a reading no longer counts; None: 3 x poll_interval + timeout."""
    verify_timeout: float = 60.0
    """How long a change may take until the node itself reports it."""
    settle: float = 900.0
    """How long until a change shows in earnings."""
    offline_minutes: float = 0.0
    """Minutes without earnings that one move costs."""
    fees_usd: float = 0.0
    """Fees of one move, such as gas."""
    min_allocation: float = 0.0
    """The protocol itself refuses less (Storj: 500 GB)."""
    irreversible: bool = False
    """Used capacity cannot be taken back: no plan may go below `Reading.irreversible`."""
    singleton: bool = False
    """Never two processes of one identity."""
    frees_when: str = "reported"
    """When shrunk capacity counts as freed: "reported" (the node reports the new value) or "drained" (and no work
    that began under the old value still runs)."""
    horizon: float | None = None
    """Over which a move of this workload must pay; None: the policy's."""
    credentials: type[BaseModel] | None = None
    """The model of `credentials` in the manifest: names of files; None: the protocol asks for none."""
    options: type[BaseModel] | None = None
    """The model of `options` in the manifest: what only this protocol needs to know; None: there are none."""
    keeps: tuple[str, ...] = ()
    """Names of payloads that `parse` wants to see of the look before (Payloads.previous), for rates by difference."""

    def stale_seconds(self, poll_interval: float | None = None, timeout: float | None = None) -> float:
        """The age in seconds at which a reading is stale, with the workload's own interval and timeout if given."""
        if self.stale_after is not None:
            return self.stale_after
        return 3 * (poll_interval or self.poll_interval) + (timeout or self.timeout)
