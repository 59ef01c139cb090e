"""A compute market's provider API, of the kind that Akash has: JSON behind a login, read by `mapped`.

    POST /v1/auth/login {"username", "password"} -> {"token"}      valid for an hour
    GET  /v1/status                                                 Authorization: Bearer TOKEN
    PUT  /v1/inventory {"cpu_millicores"}                           what may be leased; running leases keep theirs
    GET  /metrics                                                   the same figures as Prometheus text

Cores in millicores and money in millionths of the token, as an integer in a string: units that a mapping must scale.
"""

from __future__ import annotations

from typing import Any, Final

from exporters.simulator.cluster import Cluster
from exporters.simulator.provider import hex_id
from exporters.simulator.response import Request, Response, as_json, as_text, go_time

_TOKEN_LIVES: Final = 3600.0
USER: Final = "provider"


class Compute:
    """The provider's site."""

    def __init__(self, cluster: Cluster, password: str, name: str = "akash") -> None:
        self.cluster = cluster
        self.name = name
        self._password = password

    def listening(self, _now: float) -> bool:
        return self.cluster.online

    def answer(self, request: Request, now: float) -> Response:
        match request.method, request.path:
            case "POST", "/v1/auth/login":
                return self._login(request, now)
            case "GET", "/version":
                return as_json({"akash": {"version": "v0.38.1"}, "kube": {"major": "1", "minor": "31"}})
            case "GET", "/metrics":
                return self._metrics()
            case ("GET", "/v1/status") | ("PUT", "/v1/inventory"):
                return self._behind_login(request, now)
        return as_json({"error": "not found"}, 404)

    def _login(self, request: Request, now: float) -> Response:
        asked = request.json()
        if not isinstance(asked, dict) or asked.get("username") != USER or asked.get("password") != self._password:
            return as_json({"error": "wrong user name or password"}, 401)
        expires = (now // _TOKEN_LIVES + 2) * _TOKEN_LIVES
        return as_json({"token": self._token(now), "expires_at": go_time(expires, 0)})

    def _token(self, at: float) -> str:
        return hex_id("token", self.name, self.cluster.seed, self._password, int(at // _TOKEN_LIVES))

    def _behind_login(self, request: Request, now: float) -> Response:
        said = request.headers.get("authorization", "")
        if said.removeprefix("Bearer ") not in {self._token(now), self._token(now - _TOKEN_LIVES)}:
            return as_json({"error": "token is missing or has expired"}, 401)
        if request.method == "GET":
            return as_json(self.status(now))
        asked = request.json()
        wanted = asked.get("cpu_millicores") if isinstance(asked, dict) else None
        if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 <= wanted <= 1_000_000:
            return as_json({"error": "cpu_millicores must be a number from 0 to 1000000"}, 400)
        self.cluster.set_cap(wanted / 1000, now)
        return as_json(self.status(now))

    def status(self, now: float) -> dict[str, Any]:
        cluster = self.cluster
        used, cap = round(cluster.used() * 1000), round(cluster.cap * 1000)
        return {
            "status": "ok",
            "started_at": go_time(cluster.online_since),
            "cluster": {
                "leases": cluster.leases(),
                "inventory": {
                    "allocatable": {"cpu": cap},
                    "active": {"cpu": used},
                    "available": {"cpu": max(0, cap - used)},
                },
            },
            "bidengine": {"orders": 1},
            "earnings": {"denom": f"u{cluster.token.lower()}", "lifetime": str(int(cluster.lifetime * 1e6))},
            "pricing": {"cpu_hour": f"{cluster.price * 1e6:.0f}"},
            "time": go_time(now, 0),
        }

    def _metrics(self) -> Response:
        cluster = self.cluster
        lines = [
            "# HELP provider_inventory_active_total Leased resources.",
            "# TYPE provider_inventory_active_total gauge",
            f'provider_inventory_active_total{{quantity="cpu"}} {cluster.used() * 1000:.0f}',
            "# HELP provider_inventory_allocatable_total What may be leased.",
            "# TYPE provider_inventory_allocatable_total gauge",
            f'provider_inventory_allocatable_total{{quantity="cpu"}} {cluster.cap * 1000:.0f}',
            "# HELP provider_earnings_total Lifetime earnings in millionths of the token.",
            "# TYPE provider_earnings_total counter",
            f"provider_earnings_total {cluster.lifetime * 1e6:.0f}",
        ]
        return as_text("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")
