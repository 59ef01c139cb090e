"""Stakes as plain values, for tests of what follows from them."""

from __future__ import annotations

from dataclasses import replace

from exporters.protocols.streamr import figures
from exporters.protocols.streamr.contracts import Stake
from exporters.protocols.streamr.sources import Failed, Fleet
from tests.exporters.protocols.streamr_rpc import (
    NOW,
    SOLVENT,
    WEI,
)


def a_stake(**changes) -> Stake:
    stake = Stake(
        at=NOW,
        stake=50_000 * WEI,
        total=2_000_000 * WEI,
        running=True,
        funded=True,
        uncollected=4 * WEI,
        uncollected_all=9 * WEI,
        earnings_limit=5000 * WEI,
        sponsorships=2,
        operators=2,
        min_operators=1,
        solvent_until=SOLVENT,
        minimum=5000 * WEI,
        locked=0,
        penalty=0,
        flagged=False,
        cut=WEI // 10,
        queue_empty=True,
        queue=0,
        value=100_000 * WEI,
        supply=100,
        owner_tokens=40,
        free=0,
        fee=WEI // 20,
        least_share=WEI // 20,
        new_minimum=5000 * WEI,
        nodes=0,
        agents=0,
        gas=None,
        stream="0x1/weather",
        contract_version=3,
        payout=None,
    )
    changed = replace(stake, **changes)
    if "stake" in changes and "total" not in changes:
        changed = replace(changed, total=stake.total - stake.stake + changed.stake)
    return changed


def seen(stake, node=None, fleet: Fleet | Failed | None = None, before=None, given=None, autostaker=None):
    return figures.Seen(stake, node, fleet, before, given, autostaker)
