"""Reading: what one look at one workload said, and when. Frozen; every figure may be None, which means unknown, never 0.

`protocols/*.parse` fills what the node said, money in the tokens that it is counted in (`Native`); `prices.in_usd` then
fills the USD figures. What has no metric family (metrics.md) is not in here, `Native` apart, which is the raw form of
the money families.

Units: USD per hour; cores, bytes, bits per second (metrics alone divide by 8), whole tokens for `stake/TOKEN`; Unix
seconds, UTC. `Mapping`s must not be changed after they were handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

USD: Final = "USD"
"""As a token: money that the protocol itself counts in dollars."""

BALANCE_KINDS: Final = ("accrued", "held", "pending", "paid", "at_risk")
"""accrued: earned and not yet due; held: withheld by the protocol; pending: due, on its way; paid: lifetime;
at_risk: due and late, disputed or slashable."""


class Quality(StrEnum):
    """How a rate came about."""

    MEASURED = "measured"
    """From what was credited."""
    ESTIMATED = "estimated"
    """By the protocol's formula from what was measured, or from a lifetime mean."""
    ASSUMED = "assumed"
    """With a figure that the owner gave (a valuation of points)."""


class Connection(StrEnum):
    DISCONNECTED = "disconnected"
    """Never asked."""
    CONNECTING = "connecting"
    """Asked, and no answer was had yet."""
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    """It answered before, and the last polls failed."""
    FAILED = "failed"
    """Failing for longer than a reading stays good."""


@dataclass(frozen=True, slots=True)
class Native:
    """Money in the tokens it is counted in, before any price; `USD` is a token too. Absent = unknown."""

    gross_per_hour: Mapping[str, float] = field(default_factory=dict)
    """token -> credited per hour, before held amounts and cuts."""
    net_per_hour: Mapping[str, float] | None = None
    """token -> what the owner can expect in hand, before energy; None: the same as gross."""
    balance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """kind (BALANCE_KINDS) -> token -> amount."""
    price_per_unit_hour: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """resource -> token -> the published price of one used base unit for an hour."""


_NO_MONEY: Final = Native()
"""Of every Reading that says nothing of money: one for all, since none is ever changed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pot of money shared by stake (curve `dilution`): R(x) = payout * x / (others + x)."""

    payout_native_per_hour: Mapping[str, float]
    """token -> what the whole pool pays per hour while it runs and is funded; 0 while it does not."""
    others: float
    """Stake of all others, in units of the workload's resource."""
    net_share: float | None = None
    """What of one token paid out reaches the owner, 0..1; None: as in the workload's own earnings (Native net / gross),
    which tell nothing while it has no stake in the pool."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at one workload."""

    node: str
    workload: str
    protocol: str
    at: float
    """Unix seconds when the node was asked (ours, not the node's clock)."""
    up: bool = True
    failure: str | None = None
    """`PollError.reason` of the look that failed (up False)."""
    failure_message: str | None = None
    """Its sentence. Never a metric label."""
    retry_after: float | None = None
    """Seconds to wait as the other side asked (failure rate_limited); None where it did not say."""
    state: str | None = None
    """The protocol's own word: online, suspended, draining ..."""
    states: tuple[str, ...] = ()
    """Every word that `state` can take, for the one-hot family."""
    healthy: bool | None = None
    """The node says that it is well and earning is possible."""
    version: str | None = None
    node_id: str | None = None
    quality: Quality | None = None
    native: Native = _NO_MONEY
    rate_usd_per_hour: float | None = None
    """Gross."""
    net_usd_per_hour: float | None = None
    """What the owner can expect in hand, after fees and energy."""
    balance_usd: Mapping[str, float] = field(default_factory=dict)
    price_usd_per_unit_hour: Mapping[str, float] = field(default_factory=dict)
    allocated: Mapping[str, float] = field(default_factory=dict)
    """resource -> effective allocation as the node reports it."""
    configured: Mapping[str, float] = field(default_factory=dict)
    """resource -> what its configuration asks for, where that can differ."""
    used: Mapping[str, float] = field(default_factory=dict)
    irreversible: Mapping[str, float] = field(default_factory=dict)
    """resource -> used capacity that cannot be taken back."""
    growth_per_hour: float | None = None
    """fill: units per hour that arrive, or would with room."""
    pool: Pool | None = None
    pool_payout_usd_per_hour: float | None = None
    """Net payout of the whole pool at today's price: payout x price x (net / gross of the own share)."""
    connection: Connection = Connection.CONNECTED
    earning_stalled: bool | None = None
    payout_threshold_usd: float | None = None
    payout_expected_at: float | None = None
    payout_verdict: str | None = None
    """reached, projected, not_enough_data."""
    autonomous: str | None = None
    """Another controller that changes this allocation by itself (Streamr's autostaker), in words; None: none was seen."""
    notes: tuple[str, ...] = ()
    """What was odd and is worth saying, in sentences ("used is 10 times what is allocated: refused")."""
    extra: Mapping[str, tuple[tuple[Mapping[str, str], float], ...]] = field(default_factory=dict)
    """family -> samples (labels beyond node, workload, protocol; value) of what only that protocol has. The module's
    `FAMILIES` says each family's type and help."""

    @property
    def key(self) -> str:
        """Of its workload: "rack-1/storj"."""
        return f"{self.node}/{self.workload}"

    @property
    def usd_per_token(self) -> float | None:
        """Today's price of the one token that it is paid in, as its own figures imply; None where it is paid in dollars or
        in several, or says nothing of it now. 0.50 USD/h that are 2 GLM/h: 0.25.
        """
        named = [(self.rate_usd_per_hour, self.native.gross_per_hour)]
        named += [(self.price_usd_per_unit_hour.get(r), by) for r, by in self.native.price_per_unit_hour.items()]
        for usd, tokens in named:
            if len(tokens) == 1 and USD not in tokens and usd is not None:
                amount = next(iter(tokens.values()))
                price = usd / amount if amount > 0 else 0.0
                if 0 < price < float("inf"):
                    return price
        return None


_NAMES: Final = tuple(each.name for each in fields(Reading))
_SET: Final = {name: getattr(Reading, name).__set__ for name in _NAMES}
"""name -> what fills that slot of a Reading that is being made; nothing else may."""
_values = attrgetter(*_NAMES)


def changed(reading: Reading, **changes: Any) -> Reading:
    """What `dataclasses.replace` gives, in a third of its time: every look makes its Reading again once it is judged."""
    made = object.__new__(Reading)
    for fill, value in zip(_SET.values(), _values(reading), strict=True):
        fill(made, value)
    for name, value in changes.items():
        _SET[name](made, value)
    return made
