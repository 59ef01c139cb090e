"""The answers of a storagenode's console, read once and leniently. Pure.

Fields come and go with the node's version (storj/storj storagenode/console/{service,diskspace,bandwidth}.go,
storagenode/payouts/payouts.go), so a missing one is None, which means unknown. What must be there is asked for where it
is needed; anything that is not of the known shape raises Malformed with the path of the first fault.

Traps that end here: JSON null for an empty list; year 1 for "never"; times with 9 digits and local offsets; prices of 0
while none was fetched yet; scores of 0 before the first audit; `diskSpace.available` in its two meanings.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from exporters.answers import LIST, MAX_WORD, PART, Flag, Number, Said, Time, Word, read_number

FULL: Final = 5e9
"""Bytes free under which satellites send no more uploads (storj/storj satellite/overlay/config.go)."""


def _cents(value: Any) -> float | None:
    """A price; 0 is what the node answers until it has fetched one."""
    number = read_number(value)
    return number if number is not None and number > 0 else None


def _happened(value: Any) -> bool:
    """Whether a time that is null for "never" is set, readable or not."""
    return value is not None and str(value)[:4] not in {"0000", "0001", ""}


Cents = Annotated[float | None, BeforeValidator(_cents)]
Happened = Annotated[bool, BeforeValidator(_happened)]


class Listed(Said):
    """A satellite in /api/sno/. Untrusted ones are left out by the node, and so are those without a reputation yet."""

    id: str
    url: Word = None
    """"us1.storj.io:7777"."""
    disqualified: Happened = False
    suspended: Happened = False
    """For unknown audit errors only: a suspension for being offline is not shown."""
    vetted_at: Time = None
    current_storage_used: Number = None
    """Bytes; up to about v1.130."""

    @property
    def vetted(self) -> bool | None:
        """None before v1.131.3, which says nothing of it."""
        return self.vetted_at is not None if "vetted_at" in self.model_fields_set else None


class Disk(Said):
    """`diskSpace`, whose `available` was the allocation before v1.143.2 and is the free part of it since.

    Bytes. The rule: `allocated` is there = the new meaning. In the old one `used` did not count the trash.
    """

    used: Number = None
    available: Number = None
    allocated: Number = None
    overused: Number = None
    trash: Number = None
    reclaimable: Number = None

    @property
    def size(self) -> float | None:
        """The effective allocation: what is configured, capped to what the disk can hold."""
        return self.available if self.allocated is None else self.allocated

    @property
    def occupied(self) -> float | None:
        """All that lies on the disk, the trash too."""
        if self.allocated is not None or self.used is None:
            return self.used
        return self.used + (self.trash or 0.0)

    @property
    def free(self) -> float | None:
        """Room for new pieces."""
        if self.allocated is not None:
            return self.available
        if self.available is None or self.occupied is None:
            return None
        return max(0.0, self.available - self.occupied)

    @property
    def stored(self) -> float | None:
        """What is paid for: without the trash, and without dead space that a compaction would free."""
        if self.occupied is None:
            return None
        return max(0.0, self.occupied - (self.trash or 0.0) - (self.reclaimable or 0.0))

    @property
    def is_full(self) -> bool:
        return (self.free is not None and self.free < FULL) or (self.overused or 0.0) > 0


class Moved(Said):
    used: Number = None


class Summary(Said):
    """/api/sno/"""

    node_id: Annotated[str, Field(alias="nodeID", min_length=1, max_length=MAX_WORD)]
    disk_space: Disk
    satellites: Annotated[tuple[Listed, ...], LIST] = ()
    bandwidth: Annotated[Moved, PART] = Moved()
    last_pinged: Time = None
    started_at: Time = None
    version: Word = None
    allowed_version: Word = None
    up_to_date: Flag = None
    quic_status: Word = None


class Bytes(Said):
    usage: Number = None
    repair: Number = None
    audit: Number = None


class Traffic(Said):
    """One day of `bandwidthDaily`."""

    egress: Annotated[Bytes, PART] = Bytes()
    ingress: Annotated[Bytes, PART] = Bytes()
    interval_start: Time = None


class Tally(Said):
    """One day of `storageDaily`; tallies come at most every 12 hours."""

    at_rest_total: Number = None
    """Byte-hours of that day."""
    at_rest_total_bytes: Number = None
    interval_in_hours: Number = None
    interval_start: Time = None

    @property
    def mean(self) -> float | None:
        """Bytes stored on average; older versions say byte-hours only."""
        if self.at_rest_total_bytes is not None or self.at_rest_total is None:
            return self.at_rest_total_bytes
        return self.at_rest_total / (self.interval_in_hours or 24.0)


class Scores(Said):
    audit_score: Number = None
    suspension_score: Number = None
    online_score: Number = None

    @property
    def known(self) -> bool:
        """All three are 0 until the satellite said anything: that is unknown, not failing."""
        return any(score for score in (self.audit_score, self.suspension_score, self.online_score))


class Prices(Said):
    """US cents per TB, and per TB-month of 720 h for the disk. Its keys are capitalised."""

    model_config = ConfigDict(frozen=True, alias_generator=to_pascal, extra="ignore")

    disk_space: Cents = None
    egress_bandwidth: Cents = None
    repair_bandwidth: Cents = None
    audit_bandwidth: Cents = None


class Usage(Said):
    """What /api/sno/satellites and /api/sno/satellite/{id} have in common: the current calendar month, UTC."""

    storage_daily: Annotated[tuple[Tally, ...], LIST]
    bandwidth_daily: Annotated[tuple[Traffic, ...], LIST]
    storage_summary: Number = None
    """Byte-hours."""


class Detail(Usage):
    """/api/sno/satellite/{id}"""

    id: str
    audits: Annotated[Scores, PART] = Scores()
    price_model: Annotated[Prices, PART] = Prices()
    node_joined_at: Time = None
    current_storage_used: Number = None


class Month(Said):
    """One month of an estimate. US cents, bytes, byte-months of 720 h; binary noise in the floats."""

    egress_bandwidth: Number = None
    egress_bandwidth_payout: Number = None
    egress_repair_audit: Number = None
    egress_repair_audit_payout: Number = None
    disk_space: Number = None
    disk_space_payout: Number = None
    held_rate: Number = None
    """Per cent. Right with ?id= only: in the sum over all satellites it is always 0."""
    payout: Number = None
    """What is left after `held`."""
    held: Number = None


class Estimate(Said):
    """/api/sno/estimated-payout"""

    current_month: Month
    previous_month: Annotated[Month, PART] = Month()
    current_month_expectations: Number = None


class Stub(Said):
    """A real pay stub of one satellite and closed month. Micro-dollars."""

    satellite_id: str
    period: str
    held: Number = None
    disposed: Number = None
    """Of what was held, what was paid back."""
    paid: Number = None
    distributed: Number = None
    """Of `paid`, what was sent; the rest is under the payout threshold."""
