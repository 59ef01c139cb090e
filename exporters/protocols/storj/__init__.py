"""Storj: what a storagenode's console says -> Reading. Plain HTTP on 127.0.0.1:14002, no credential, nothing to write.

/api/sno/ is asked first, alone: a node that is down or starting is asked once. Then everything else at once: the usage
and the estimate over all satellites, both again for each satellite (the held rate is right there only), the pay stubs.
Any of those may fail without spoiling the rest. (reference: storj-golem 1.1 to 1.6; storj/storj storagenode/console)

The node answers an unknown path with its web page and 200, and accepts connections long before it answers.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from exporters.collector import Payloads, Workload
from exporters.errors import PollError
from exporters.protocols.storj.balances import balances
from exporters.protocols.storj.earnings import TB, Earnings, earnings
from exporters.protocols.storj.families import FAMILIES, samples
from exporters.protocols.storj.look import Failed, Look, is_satellite_id, range_of, read_look, read_summary
from exporters.protocols.storj.usage import MONTH_HOURS, growth_per_hour
from exporters.reading import USD, Native, Quality, Reading
from exporters.session import Session
from exporters.traits import CurveKind, Traits

__all__ = ["FAMILIES", "STATES", "TRAITS", "fetch", "parse"]

TRAITS: Final = Traits(
    curve=CurveKind.FILL,
    resource="storage",
    poll_interval=600.0,  # tallies come every 12 h, reputation every 4 h; asking costs the node CPU and disk (Storj-Exporter #34)
    timeout=90.0,  # one page was seen to take 28 s on a slow disk (Storj-Exporter #77)
    verify_timeout=1200.0,  # a restart, and the start-up checks before the console answers
    settle=3 * 86400.0,  # room fills slowly
    offline_minutes=5.0,  # a restart
    min_allocation=500e9,  # storage2.monitor.minimum-disk-space: with less the node refuses to start
    irreversible=True,
    singleton=True,
    horizon=168 * 3600.0,
)

STATES: Final = ("online", "full", "starting", "new", "outdated", "offline", "suspended", "disqualified")
OFFLINE_AFTER: Final = 7200.0
"""Seconds since a satellite's last contact from which on the node's own dashboard says offline (cmd_dashboard.go)."""
ONLINE_SCORE: Final = 0.9
"""Under it the node's own health check fails (storagenode/healthcheck)."""
SUSPENDED_SCORE: Final = 0.6
"""Online score under which a satellite suspends; the console does not show that suspension itself."""
AT_ONCE: Final = 6
"""Requests to one node at a time: it reads its answers from a disk that is busy with customers."""
_PATIENCE: Final = 0.8
"""Share of the time limit after which what is not essential is given up, so that the rest becomes a Reading."""


class _Console:
    """Asks one node; what is not essential may fail."""

    def __init__(self, session: Session, workload: Workload) -> None:
        self._session = session
        self._base = workload.endpoint.removesuffix("/api/sno")
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._until = asyncio.get_running_loop().time() + workload.timeout * _PATIENCE

    async def need(self, path: str) -> Any:
        return (await self._session.request("GET", self._base + path)).json()

    async def want(self, path: str) -> Any:
        """The page, or why it could not be had."""
        try:
            async with asyncio.timeout_at(self._until), self._gate:
                return await self.need(path)
        except PollError as exc:
            return Failed(exc.reason, str(exc))
        except TimeoutError:
            return Failed("timeout", f"{self._base}{path} did not answer in time")

    async def want_each(self, path: str, names: list[str]) -> dict[str, Any]:
        return dict(zip(names, await asyncio.gather(*(self.want(path + name) for name in names)), strict=True))

    async def stubs(self) -> Any:
        """Every pay stub there is; None where there is none yet."""
        periods = await self.want("/api/heldamount/periods")
        if isinstance(periods, Failed):
            return periods
        asked = range_of(periods)
        return await self.want(f"/api/heldamount/paystubs/{asked[0]}/{asked[1]}") if asked else None


async def fetch(session: Session, workload: Workload) -> Payloads:
    """All pages of one node. Raises PollError where /api/sno/ could not be had."""
    console = _Console(session, workload)
    node = await console.need("/api/sno/")
    satellites = read_summary(node).satellites
    known = [one for one in satellites if is_satellite_id(one.id)]
    usage, estimate, stubs, details, estimates = await asyncio.gather(
        console.want("/api/sno/satellites"),
        console.want("/api/sno/estimated-payout"),
        console.stubs(),
        console.want_each("/api/sno/satellite/", [one.id for one in known]),
        console.want_each("/api/sno/estimated-payout?id=", [one.id for one in known if not one.disqualified]),
    )
    bodies = {
        "node": node,
        "usage": usage,
        "estimate": estimate,
        "stubs": stubs,
        "details": details,
        "estimates": estimates,
    }
    return Payloads(bodies, at=0.0)


def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
    """One node as a Reading, money in USD (Storj counts in it and pays in STORJ). Raises Malformed."""
    look = read_look(payloads.bodies)
    earned = earnings(look, now)
    summary, disk = look.summary, look.summary.disk_space
    state = state_of(look, now)
    return Reading(
        workload.node, workload.name, workload.protocol, now,
        state=state, states=STATES, healthy=is_healthy(state, look), version=summary.version, node_id=summary.node_id,
        quality=None if earned.level.gross is None else Quality.ESTIMATED,
        native=_native(look, earned, now),
        allocated=_storage(disk.size), used=_storage(disk.occupied), irreversible=_storage(disk.occupied),
        growth_per_hour=growth_per_hour(look, now),
        notes=(*look.notes, *earned.notes, *_odd(look, now)),
        extra=samples(look, earned, now),
    )  # fmt: skip


def _storage(amount: float | None) -> dict[str, float]:
    return {} if amount is None else {"storage": amount}


def _native(look: Look, earned: Earnings, now: float) -> Native:
    gross, net, cents = earned.level.gross, earned.level.net, earned.prices.disk_space
    return Native(
        gross_per_hour={} if gross is None else {USD: gross},
        net_per_hour={} if net is None else {USD: net},
        balance=balances(look, now),
        price_per_unit_hour={} if cents is None else {"storage": {USD: cents / 100 / MONTH_HOURS / TB}},
    )


def state_of(look: Look, now: float) -> str:
    """The worst that holds. `starting` and unreachable nodes differ: this one answers, and no satellite called yet."""
    summary, paying = look.summary, look.paying
    if not look.satellites:
        return "new"
    if not paying:
        return "disqualified"
    if any(one.listed.suspended for one in paying) or _lowest_online(look) < SUSPENDED_SCORE:
        return "suspended"
    if summary.last_pinged is None and summary.started_at is not None and now - summary.started_at < OFFLINE_AFTER:
        return "starting"
    if summary.last_pinged is None or now - summary.last_pinged > OFFLINE_AFTER:
        return "offline"
    if summary.up_to_date is False:
        return "outdated"
    return "full" if summary.disk_space.is_full else "online"


def is_healthy(state: str, look: Look) -> bool | None:
    """As the node's own health check, but for satellites that disqualified it: that is for good, and others still pay.

    None where nothing can be said yet, and where no satellite's page could be had.
    """
    if state in {"new", "starting"}:
        return None
    if state not in {"online", "full"}:
        return False
    if all(one.detail is None for one in look.paying):
        return None
    return _lowest_online(look) >= ONLINE_SCORE


def _lowest_online(look: Look) -> float:
    """Over satellites that pay and have scores yet; 1 where none has."""
    audits = [one.detail.audits for one in look.paying if one.detail is not None and one.detail.audits.known]
    return min((audit.online_score for audit in audits if audit.online_score is not None), default=1.0)


def _odd(look: Look, now: float) -> list[str]:
    """What is worth saying."""
    gone = [one.name for one in look.satellites if not one.pays]
    notes = [f"disqualified on {', '.join(gone)}: nothing is paid there any more"] if gone and look.paying else []
    pinged = look.summary.last_pinged
    if pinged is not None and pinged > now + OFFLINE_AFTER:
        notes.append(f"its clock, or ours, is wrong: a satellite called {(pinged - now) / 3600:.0f} hours from now")
    return notes
