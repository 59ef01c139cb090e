"""Grass: what an account's private web API says -> Reading. There is no local API and nothing to allocate.

The token of the web app goes raw into `Authorization`, with a browser's headers, because Cloudflare stands in front: its
403 is a web page and judges no token. Earnings are points; what a point will be worth nobody knows, so they stay
unpriced. (reference: streamr-grass 2.1, 2.2; GeiserX/CashPilot app/collectors/grass.py; the extension 4.0.3)

While an epoch runs the account says 0 points, and the rate is estimated from its devices; once the epoch's points are
there they count. The two differ, so the metric says which it is, and the Reading its quality.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote_plus

from pydantic import ValidationError

from exporters.answers import LIST, Number, Said, Time, shaped, shaped_list
from exporters.collector import LIMIT, Family, Payloads, Workload, read_secret
from exporters.errors import Malformed, PollError, RateLimited, Unauthorized
from exporters.nodes import Model
from exporters.reading import Native, Quality, Reading
from exporters.session import Answer, Session, quote
from exporters.traits import CurveKind, Traits

POINTS: Final = "points"
POINTS_PER_HOUR: Final = 50.0
"""Of a device with score 100 and multiplier 1 (CashPilot; an approximation)."""
STATES: Final = ("earning", "no_score", "no_device")
MAX_DEVICES: Final = 16
"""Devices with a series of their own; more are in the aggregates only."""
_HEADERS: Final = {
    "Accept": "application/json",
    "Origin": "https://app.grass.io",
    "Referer": "https://app.grass.io/",
    "User-Agent": "Mozilla/5.0",
}
_NOTHING_YET: Final = "not found"
""""User epoch earning not found." is an answer: there is nothing yet."""
_EXPIRED: Final = ("unauthori", "token", "jwt", "forbidden")


def _asking(path: str, **wanted: Any) -> str:
    return f"{path}?input={quote_plus(json.dumps(wanted, separators=(',', ':')))}"


USER: Final = "/retrieveUser"
ACTIVE: Final = "/activeDevices"
EPOCHS: Final = _asking("/epochEarnings", limit=1, isLatestOnly=True)
KNOWN: Final = _asking("/devices", limit=50)


class GrassCredentials(Model):
    access_token_file: str
    """Holds the `accessToken` from the Local Storage of app.grass.io; it expires, and then a new one must be pasted."""


TRAITS: Final = Traits(
    curve=CurveKind.NONE,
    poll_interval=1800.0,  # unofficial and rate-limited; the web app itself caches for 2 h, points move every 3 h
    timeout=30.0,
    settle=3 * 3600.0,
    credentials=GrassCredentials,
)

FAMILIES: Final[dict[str, Family]] = {
    "orcha_grass_devices_connected": Family("Devices that are connected now."),
    "orcha_grass_devices_known": Family("Devices of the account, connected or not."),
    "orcha_grass_score_ratio": Family("Network score over the connected devices.", labels=("statistic",)),
    "orcha_grass_device_score_ratio": Family(
        "Network score of one connected device, numbered in the order of the ids; about 0 in data centres.",
        labels=("device",),
    ),
    "orcha_grass_last_connected_timestamp_seconds": Family("When a device last connected."),
    "orcha_grass_epoch_points": Family(
        "Points of the epoch: settled by Grass, or estimated from devices.", labels=("kind",)
    ),
    "orcha_grass_epoch_start_timestamp_seconds": Family("When the newest epoch began."),
    "orcha_grass_epoch_end_timestamp_seconds": Family("When it ends."),
    "orcha_grass_referral_points": Family("Points for referrals."),
    "orcha_grass_uptime_seconds": Family("Connected time of the account."),
}


class User(Said):
    total_points: Number
    referral_points: Number = None
    total_uptime: Number = None


class Device(Said):
    """A connected device."""

    device_id: str
    ip_score: Number
    """0..100."""
    multiplier: Number
    agg_uptime: Number
    """Seconds connected in this epoch."""
    last_connected_at: Time = None

    @property
    def points_per_hour(self) -> float | None:
        """50 points x score x multiplier: 50 for a score of 80 and a multiplier of 1.25. None where either is unknown."""
        if self.ip_score is None or self.multiplier is None:
            return None
        return POINTS_PER_HOUR * self.ip_score / 100 * self.multiplier

    @property
    def points(self) -> float | None:
        """In this epoch so far: 24 h at 50 points are 1200."""
        rate = self.points_per_hour
        return None if rate is None or self.agg_uptime is None else self.agg_uptime / 3600 * rate


class Epoch(Said):
    start_date: Time
    end_date: Time
    total_points: Number


class Epochs(Said):
    data: Annotated[tuple[Epoch, ...], LIST]


class Page(Said):
    data: Annotated[tuple[dict[str, Any], ...], LIST]
    last_evaluation_key: Any = None
    """Set where there are more devices than fit on the page."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a page that is good to know was not had; None: it says that there is nothing yet."""

    sentence: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """One look, read."""

    user: User
    devices: tuple[Device, ...]
    """Connected ones, in the order of their ids."""
    epoch: Epoch | None
    known: float | None
    """Devices in all."""
    notes: tuple[str, ...]


async def fetch(session: Session, workload: Workload) -> Payloads:
    """The account first, alone, so that a token that is no good is shown once; then the rest at once.

    Raises PollError for the account and its connected devices, and whenever Grass asks to wait or refuses the token.
    """
    headers = {**_HEADERS, "Authorization": _token(workload)}

    async def ask(path: str) -> Any:
        ok = (200, 400, 404)  # failures come in an envelope, which says more than the status
        return _opened(await session.request("GET", workload.endpoint + path, headers=headers, ok=ok))

    async def want(path: str) -> Any:
        try:
            return await ask(path)
        except (RateLimited, Unauthorized):
            raise
        except PollError as exc:
            return Absent(str(exc))

    async def need(path: str) -> Any:
        found = await ask(path)
        if isinstance(found, Absent):
            raise Malformed(f"{workload.endpoint}{path} answered that nothing was found; its shape has changed")
        return found

    user = await need(USER)
    devices, epochs, known = await asyncio.gather(need(ACTIVE), want(EPOCHS), want(KNOWN))
    return Payloads({"user": user, "devices": devices, "epochs": epochs, "known": known}, at=0.0)


def _token(workload: Workload) -> str:
    """As the header wants it: raw. People paste it with quotes or with "Bearer". Raises Unauthorized."""
    try:
        path = GrassCredentials.model_validate(workload.spec.credentials.model_extra or {}).access_token_file
    except ValidationError as exc:
        raise Unauthorized("grass needs credentials: {accessTokenFile: PATH}; write them into the manifest") from exc
    token = read_secret(path).strip("\"' ").removeprefix("Bearer").strip("\"' ")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Unauthorized(f"the credential file {path} does not hold a token; paste the accessToken of app.grass.io")
    return token


def _opened(answer: Answer) -> Any:
    """What is in {"result": {"data": ...}}; Absent where the answer says that there is nothing yet. Raises PollError."""
    body = answer.json()
    said = body if isinstance(body, dict) else {}
    error = said.get("error")
    if error is not None:
        words = str(error.get("message", "") if isinstance(error, dict) else error)
        if _NOTHING_YET in words.lower() and words.lower() != _NOTHING_YET:
            return Absent(None)
        if any(word in words.lower() for word in _EXPIRED):
            raise Unauthorized(
                f"{answer.url} answered {quote(words)}: paste a new accessToken into the credential file"
            )
        raise Malformed(f"{answer.url} answered an error: {quote(words)}")
    result = said.get("result")
    data = result.get("data") if isinstance(result, dict) else None
    if data is None:
        raise Malformed(f"{answer.url} answered without result.data: {quote(answer.body)}; its shape has changed")
    return data


def parse(payloads: Payloads, workload: Workload, now: float) -> Reading:
    """One account as a Reading, money in points. Raises Malformed."""
    account = read_account(payloads.bodies)
    rate, quality = rate_of(account, now)
    points = settled(account) or estimated(account)
    state = state_of(account)
    return Reading(
        workload.node, workload.name, workload.protocol, now,
        state=state, states=STATES, healthy=None if state is None else state == "earning",
        quality=quality,
        native=Native(
            gross_per_hour={} if rate is None else {POINTS: rate},
            balance={} if points is None else {"accrued": {POINTS: points}},
        ),
        notes=account.notes,
        extra=_samples(account),
    )  # fmt: skip


def read_account(bodies: Mapping[str, Any]) -> Account:
    """Raises Malformed where the account or its connected devices are of another shape."""
    found = shaped_list(Device, bodies["devices"], ACTIVE)
    notes: list[str] = []
    epochs = _optional(bodies["epochs"], Epochs, EPOCHS.partition("?")[0], notes)
    page = _optional(bodies["known"], Page, KNOWN.partition("?")[0], notes)
    return Account(
        shaped(User, bodies["user"], USER),
        tuple(sorted(found, key=lambda device: device.device_id)),
        max(epochs.data, key=lambda epoch: epoch.start_date or 0.0, default=None) if epochs else None,
        None if page is None or page.last_evaluation_key else float(len(page.data)),
        tuple(notes),
    )


def _optional(body: Any, model: type[Any], what: str, notes: list[str]) -> Any:
    if isinstance(body, Absent):
        if body.sentence is not None:
            notes.append(f"{what} could not be had: {body.sentence}")
        return None
    try:
        return shaped(model, body, what)
    except Malformed as exc:
        notes.append(f"{exc}; taken as unknown")
        return None


def settled(account: Account) -> float | None:
    """Points of the newest epoch as Grass counts them: above 0 once it has; None before."""
    said = (account.epoch.total_points if account.epoch else None) or account.user.total_points
    return said if said is not None and said > 0 else None


def estimated(account: Account) -> float | None:
    """Points of the epoch so far that the connected devices collected.

    With none connected it is unknown, not 0: those that were are forgotten. An account without any device has 0.
    """
    if account.devices:
        return _sum(device.points for device in account.devices)
    return 0.0 if account.known == 0 else None


def rate_of(account: Account, now: float) -> tuple[float | None, Quality | None]:
    """Points per hour, and how they came about.

    Nothing connected earns nothing, whatever the epoch gave so far. Else the settled points over the epoch's hours,
    measured; else what the connected devices should earn, estimated.
    """
    if not account.devices:
        return 0.0, Quality.ESTIMATED
    points, hours = account.epoch.total_points if account.epoch else None, _hours(account.epoch, now)
    if points is not None and points > 0 and hours is not None:
        return points / hours, Quality.MEASURED
    rate = _sum(device.points_per_hour for device in account.devices)
    return rate, None if rate is None else Quality.ESTIMATED


def _hours(epoch: Epoch | None, now: float) -> float | None:
    """Of an epoch so far; None under an hour, where a mean would be noise."""
    if epoch is None or epoch.start_date is None:
        return None
    hours = (min(now, epoch.end_date or now) - epoch.start_date) / 3600
    return hours if hours >= 1 else None


def state_of(account: Account) -> str | None:
    """One of STATES; None where no device earns for sure and the score of one is unknown."""
    if not account.devices:
        return "no_device"
    rates = [device.points_per_hour for device in account.devices]
    if any(rate is not None and rate > 0 for rate in rates):
        return "earning"
    return None if None in rates else "no_score"


def _sum(parts: Iterable[float | None]) -> float | None:
    """None where any part is unknown; 0 where there is none."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


Samples = tuple[tuple[Mapping[str, str], float], ...]


def _samples(account: Account) -> dict[str, Samples]:
    epoch, devices = account.epoch, account.devices
    scores = [device.ip_score / 100 for device in devices if device.ip_score is not None]
    connected = [device.last_connected_at for device in devices if device.last_connected_at is not None]
    rows: dict[str, list[tuple[Mapping[str, str], float | None]]] = {
        "devices_connected": [({}, float(len(devices)))],
        "devices_known": [({}, account.known)],
        "device_score_ratio": [
            ({"device": str(k)}, None if device.ip_score is None else device.ip_score / 100)
            for k, device in enumerate(devices[:MAX_DEVICES], 1)
        ],
        "epoch_points": [
            ({"kind": "settled"}, settled(account)),
            ({"kind": "estimated"}, estimated(account)),
        ],
        "epoch_start_timestamp_seconds": [({}, epoch.start_date if epoch else None)],
        "epoch_end_timestamp_seconds": [({}, epoch.end_date if epoch else None)],
        "last_connected_timestamp_seconds": [({}, max(connected, default=None))],
        "referral_points": [({}, account.user.referral_points)],
        "uptime_seconds": [({}, account.user.total_uptime)],
    }
    if scores:
        statistics = {"min": min(scores), "mean": sum(scores) / len(scores), "max": max(scores)}
        rows["score_ratio"] = [({"statistic": name}, value) for name, value in statistics.items()]
    good = {
        f"orcha_grass_{name}": tuple(
            (labels, value) for labels, value in found if value is not None and _possible(value)
        )
        for name, found in rows.items()
    }
    return {name: found for name, found in good.items() if found}


def _possible(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= LIMIT
