"""Grass' private API over a simulated account (reference: streamr-grass 2.1).

Traps served: a raw token without "Bearer"; `{"result": {"data": ...}}` and `{"error": ...}` envelopes; `totalPoints` 0
while the epoch runs and the settled figure days after it; 429 with Retry-After; a Cloudflare page with 403 for a client
without a browser's headers; `lastEvaluationKey` that means more.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from exporters.simulator.account import Account, Epoch, epoch_at
from exporters.simulator.response import Request, Response, as_json, as_page, js_time

_WINDOW: Final = 60.0
_RETRY_AFTER: Final = 30


class Grass:
    """The site api.getgrass.io."""

    def __init__(self, account: Account, token: str, *, most_per_minute: int = 40, wants_browser: bool = False) -> None:
        self.account = account
        self.token = token
        self.most_per_minute = most_per_minute
        self.wants_browser = wants_browser
        """Cloudflare in front blocks what does not look like a browser."""
        self._asked: deque[float] = deque()
        self._pages: dict[str, Callable[[dict[str, Any], float], Any]] = {
            "/retrieveUser": self._user,
            "/activeDevices": self._active_devices,
            "/devices": self._devices,
            "/activeIps": self._active_ips,
            "/retrieveDevice": self._device,
            "/epochEarnings": self._epochs,
            "/users/earnings/epochs": self._earnings,
            "/retrieveUserSettings": lambda _asked, _now: {"pauseConnectionExpiry": None},
        }

    def listening(self, _now: float) -> bool:
        return True

    def answer(self, request: Request, now: float) -> Response:
        if self.wants_browser and "Mozilla" not in request.headers.get("user-agent", ""):
            return as_page("Attention Required! | Cloudflare", 403)
        if self._too_fast(now):
            headers = {"Retry-After": str(_RETRY_AFTER)}
            return as_json({"error": {"message": "Too Many Requests"}}, 429, **headers)
        if request.headers.get("authorization") != self.token:
            return as_json({"error": {"message": "Unauthorized"}}, 401)
        page = self._pages.get(request.path)
        if page is None or request.method != "GET":
            return as_json({"error": {"message": "Not Found"}}, 404)
        asked = _input(request)
        if asked is None:
            return as_json({"error": {"message": "Invalid input"}}, 400)
        data = page(asked, now)
        if data is None:
            return as_json({"error": {"message": "User epoch earning not found."}}, 404)
        return as_json({"result": {"data": data}})

    def _too_fast(self, now: float) -> bool:
        """Sliding minute; refused requests count too."""
        while self._asked and self._asked[0] <= now - _WINDOW:
            self._asked.popleft()
        self._asked.append(now)
        return len(self._asked) > self.most_per_minute

    # Pages

    def _user(self, _asked: dict[str, Any], now: float) -> dict[str, Any]:
        account = self.account
        uptime = sum(account.uptime(k, account.origin - 30 * 86400.0, now) for k in range(len(account.devices)))
        return {
            "userId": "2kQ7y3nVtq0dJ8wXhFzG4m1Lr5b",
            "username": "op1",
            "country": "DE",
            "totalPoints": 0,
            "uptimePoints": 0,
            "referralPoints": 12.5,
            "totalUptime": int(uptime),
            "referralCount": 1,
        }

    def _active_devices(self, _asked: dict[str, Any], now: float) -> list[dict[str, Any]]:
        account, epoch = self.account, epoch_at(now)
        return [
            {
                "deviceId": device.id,
                "userId": "2kQ7y3nVtq0dJ8wXhFzG4m1Lr5b",
                "type": device.kind,
                "ipAddress": device.ip,
                "ipScore": device.score,
                "multiplier": device.multiplier,
                "aggUptime": int(account.uptime(k, epoch.begins, now)),
                "lastConnectedAt": js_time(now // 1800 * 1800),
            }
            for k, device in enumerate(account.devices)
            if account.connected(k, now)
        ]

    def _devices(self, asked: dict[str, Any], now: float) -> dict[str, Any]:
        account, epoch = self.account, epoch_at(now)
        start = int((asked.get("lastEvaluationKey") or {}).get("sk", 0)) + int(asked.get("offset", 0))
        stop = start + int(asked.get("limit", 50))
        rows = []
        for k, device in list(enumerate(account.devices))[start:stop]:
            connected, seconds = account.connected(k, now), account.uptime(k, epoch.begins, now)
            rows.append(
                {
                    "deviceId": device.id,
                    "ipAddress": device.ip,
                    "ipScore": device.score,
                    "totalUptime": 0 if connected else int(seconds),
                    "totalPoints": round(seconds / 3600 * device.points_per_hour, 2),
                    "isConnected": connected,
                }
            )
        more = stop < len(account.devices)
        return {"data": rows, "lastEvaluationKey": {"pk": "user", "sk": str(stop)} if more else None}

    def _active_ips(self, _asked: dict[str, Any], now: float) -> list[dict[str, Any]]:
        account, epoch = self.account, epoch_at(now)
        return [
            {
                "ipAddress": device.ip,
                "ipScore": device.score,
                "date": js_time(now // 86400 * 86400),
                "totalUptime": 0,
                "aggUptime": int(account.uptime(k, epoch.begins, now)),
            }
            for k, device in enumerate(account.devices)
            if account.connected(k, now)
        ]

    def _device(self, asked: dict[str, Any], _now: float) -> dict[str, Any] | None:
        found = next((device for device in self.account.devices if device.id == asked.get("deviceId")), None)
        return {"deviceId": found.id, "ipAddress": found.ip, "ipScore": found.score} if found else None

    def _epochs(self, asked: dict[str, Any], now: float) -> dict[str, Any]:
        current = epoch_at(now)
        epochs = [current] if asked.get("isLatestOnly") else [current, epoch_at(current.begins - 1.0)]
        return {"data": [self._epoch(epoch, now) for epoch in epochs[: int(asked.get("limit", 10))]]}

    def _epoch(self, epoch: Epoch, now: float) -> dict[str, Any]:
        account = self.account
        settled = now >= epoch.settles
        return {
            "epochName": f"Epoch {epoch.number}",
            "startDate": js_time(epoch.begins),
            "endDate": js_time(epoch.ends),
            "totalPoints": round(account.settled_points(epoch), 2) if settled else 0,
            "rewardPoints": None,
            "totalUptime": int(
                sum(account.uptime(k, epoch.begins, min(now, epoch.ends)) for k in range(len(account.devices)))
            ),
        }

    def _earnings(self, _asked: dict[str, Any], now: float) -> dict[str, Any] | None:
        previous = epoch_at(epoch_at(now).begins - 1.0)
        if now < previous.settles:
            return None
        return {
            "epochEarnings": [
                {
                    "epochName": f"Epoch {previous.number}",
                    "totalCumulativePoints": self.account.settled_points(previous),
                }
            ]
        }


def _input(request: Request) -> dict[str, Any] | None:
    """The `input` parameter: URL-encoded JSON; {} where there is none, None where it is no object."""
    try:
        found = json.loads(request.query.get("input", "{}"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
