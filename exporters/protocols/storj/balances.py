"""Where a storagenode's money stands: this month, last month, what is held, what was paid. Pure; USD.

Estimates are US cents, pay stubs micro-dollars (reference: storj-golem 1.1). Each dollar is counted in one kind only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from exporters.protocols.storj.earnings import Level
from exporters.protocols.storj.look import Look, Satellite
from exporters.protocols.storj.shapes import Estimate, Stub
from exporters.protocols.storj.usage import first_of_month, last_month_is_told, last_period, total
from exporters.reading import USD

MICRO: Final = 1e-6


def balances(look: Look, now: float) -> dict[str, dict[str, float]]:
    """Kind -> USD. A kind of which any part is unknown is left out.

    accrued: this month, after what is held. pending: last month until its stub comes, and what stubs promise and was
    not sent yet (under the payout threshold). held: of all stubs, this month and last; a disqualified satellite keeps
    what it held. paid: what stubs say was sent; a correction may lower it.
    """
    month = this_month(look)
    stubs = look.stubs
    last = [_unsettled(one, stubs, now) for one in look.paying] if stubs is not None else [None]
    amounts = {
        "accrued": month.net,
        "held": total((_held(look), _held_part(month), *(None if part is None else _held_part(part) for part in last))),
        "pending": total((_undistributed(stubs), *(None if part is None else part.net for part in last))),
        "paid": _micro(stubs, lambda stub: stub.distributed),
    }
    return {kind: {USD: amount} for kind, amount in amounts.items() if amount is not None}


def _held_part(level: Level) -> float | None:
    return None if level.gross is None or level.net is None else level.gross - level.net


def this_month(look: Look) -> Level:
    """USD of this month so far, over all satellites that pay. Unknown while prices are: the node then says 0."""
    unpriced = any(
        one.detail.price_model.disk_space is None and (one.detail.storage_summary or one.detail.bandwidth_daily)
        for one in look.paying
        if one.detail is not None
    )
    if unpriced:
        return Level(None, None)
    if look.estimate is not None:
        return _in_dollars(look.estimate, current=True)
    parts = [
        Level(None, None) if one.estimate is None else _in_dollars(one.estimate, current=True) for one in look.paying
    ]
    return Level(total(part.gross for part in parts), total(part.net for part in parts))


def _unsettled(satellite: Satellite, stubs: tuple[Stub, ...], now: float) -> Level | None:
    """What last month's estimate says while there is no stub of it; nothing where there is one. None: unknown."""
    period, joined = last_period(now), satellite.detail.node_joined_at if satellite.detail is not None else None
    settled = any(stub.period == period and stub.satellite_id == satellite.listed.id for stub in stubs)
    if settled or (joined is not None and joined >= first_of_month(now).timestamp()):
        return Level(0.0, 0.0)
    if satellite.estimate is None or not last_month_is_told(now):
        return None
    return _in_dollars(satellite.estimate, current=False)


def _in_dollars(estimate: Estimate, *, current: bool) -> Level:
    """Cents of a month: `payout` is what is left after `held`."""
    month = estimate.current_month if current else estimate.previous_month
    if month.payout is None or month.held is None:
        return Level(None, None)
    return Level((month.payout + month.held) / 100, month.payout / 100)


def _held(look: Look) -> float | None:
    gone = {one.listed.id for one in look.satellites if not one.pays}
    if look.stubs is None:
        return None
    kept = tuple(stub for stub in look.stubs if stub.satellite_id not in gone)
    held = _micro(kept, lambda stub: _difference(stub.held, stub.disposed))
    return None if held is None else max(0.0, held)


def _undistributed(stubs: tuple[Stub, ...] | None) -> float | None:
    open_ = _micro(stubs, lambda stub: _difference(stub.paid, stub.distributed))
    return None if open_ is None else max(0.0, open_)


def _difference(amount: float | None, less: float | None) -> float | None:
    return None if amount is None or less is None else amount - less


def _micro(stubs: tuple[Stub, ...] | None, amount: Callable[[Stub], float | None]) -> float | None:
    """Micro-dollars of all stubs, in USD; 0 where there are none."""
    found = None if stubs is None else total([0.0, *map(amount, stubs)])
    return None if found is None else found * MICRO
