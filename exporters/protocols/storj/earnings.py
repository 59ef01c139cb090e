"""What a storagenode credits per hour, and where its money stands. Pure; USD, bytes, hours, Unix seconds.

The rate is a level, not a difference, because storage tallies arrive only every 12 h (reference: storj-golem 1.6):

    gross = stored TB x disk cents/100/720 + (egress TB x egress cents + repair and audit TB x audit cents)/100 per hour
    net   = gross x (1 - held share), per satellite

Worked: 1 TB stored at 149 cents is 0.00206944 USD/h; with 10 GB of egress in 24 h at 200 cents another 0.00083333.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median_low
from typing import Final

from exporters.protocols.storj.look import Look, Satellite
from exporters.protocols.storj.shapes import Prices
from exporters.protocols.storj.usage import MONTH_HOURS, Flow, flow_of, rest_of, shares_without_tally, total

TB: Final = 1e12


@dataclass(frozen=True, slots=True)
class Level:
    """What is credited per hour."""

    gross: float | None
    net: float | None


@dataclass(frozen=True, slots=True)
class Earnings:
    level: Level
    stored: Mapping[str, float]
    """satellite -> bytes that are paid for now; absent = unknown."""
    prices: Prices
    """Of most satellites."""
    notes: tuple[str, ...]


def earnings(look: Look, now: float) -> Earnings:
    """The rate over all satellites that pay. A satellite that could not be read gets what the totals leave over."""
    prices = common_prices(look)
    shares = shares_without_tally(look, now)
    flows = {one.name: flow_of(one, now, shares.get(one.name)) for one in look.satellites if one.detail is not None}
    levels = [
        level_of(flows[one.name], one.detail.price_model, prices, held_share(one, now))
        for one in look.paying
        if one.detail is not None
    ]
    notes = []
    if any(one.detail is None for one in look.paying):
        rest = rest_of(look, tuple(flows.values()), now)
        levels.append(level_of(rest, prices, prices, _mean_held_share(look)))
        notes.append("satellites that could not be read are counted by what the totals leave over")
    level = Level(total(one.gross for one in levels), total(one.net for one in levels))
    if level.gross is None and prices.disk_space is None and look.paying:
        notes.append("the node has no prices yet (it fetches them after a start): what it earns is unknown, not 0")
    stored = {name: flow.stored for name, flow in flows.items() if flow.stored is not None}
    return Earnings(level, stored, prices, tuple(notes))


def common_prices(look: Look) -> Prices:
    """The price that most satellites that pay have published; None where none has one."""
    known = [one.detail.price_model for one in look.paying if one.detail is not None]

    def usual(prices: Iterable[float | None]) -> float | None:
        found = [price for price in prices if price is not None]
        return median_low(found) if found else None

    return Prices.model_construct(
        disk_space=usual(one.disk_space for one in known),
        egress_bandwidth=usual(one.egress_bandwidth for one in known),
        repair_bandwidth=usual(one.repair_bandwidth for one in known),
        audit_bandwidth=usual(one.audit_bandwidth for one in known),
    )


def level_of(flow: Flow, own: Prices, common: Prices, held: float | None) -> Level:
    """Gross and net per hour. Nothing used is nothing earned, whatever is unknown beside it."""
    disk = _worth(flow.stored, own.disk_space or common.disk_space)
    egress = _worth(flow.egress, own.egress_bandwidth or common.egress_bandwidth)
    repair = _worth(flow.repair, own.audit_bandwidth or common.audit_bandwidth)
    if disk is None or egress is None or repair is None:
        return Level(None, None)
    gross = disk / MONTH_HOURS + egress + repair
    if gross == 0:
        return Level(0.0, 0.0)
    return Level(gross, None if held is None else gross * (1 - held))


def _worth(amount: float | None, cents_per_tb: float | None) -> float | None:
    if amount == 0:
        return 0.0
    return None if amount is None or cents_per_tb is None else amount / TB * cents_per_tb / 100


def held_share(satellite: Satellite, now: float) -> float | None:
    """What this satellite withholds now, 0..1: as the node says, else by the months since the node joined.

    A rate of 0 with an unknown join date means nothing: the node computes it from year 1.
    """
    detail, estimate = satellite.detail, satellite.estimate
    joined = detail.node_joined_at if detail is not None else None
    told = estimate.current_month.held_rate if estimate is not None else None
    if told is not None and 0 <= told <= 100 and (told > 0 or joined is not None):
        return told / 100
    return None if joined is None else held_by_age(joined, now)


def held_by_age(joined: float, now: float) -> float:
    """75 % in the calendar month of joining and the two after it, then 50 % and 25 % for three each, then nothing.

    storj/storj storagenode/payouts/service.go: GetHeldRate; the day of the month does not count.
    """
    first, today = datetime.fromtimestamp(joined, UTC), datetime.fromtimestamp(now, UTC)
    months = (today.year - first.year) * 12 + today.month - first.month
    return {0: 0.75, 1: 0.5, 2: 0.25}.get(max(0, months) // 3, 0.0)


def _mean_held_share(look: Look) -> float | None:
    """Over all satellites, from amounts: the rate beside them is always 0 in the sum."""
    if look.estimate is None:
        return None
    month = look.estimate.current_month
    gross = (month.payout or 0.0) + (month.held or 0.0)
    return (month.held or 0.0) / gross if gross > 0 else None
