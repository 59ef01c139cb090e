"""What the price sources would answer: CoinGecko, DefiLlama, Kraken and Binance, from prices that wander (reference 3).

Traps served: unknown ids are absent; HTTP 200 with an error list; one bad symbol that fails all; prices as strings.
"""

from __future__ import annotations

import json
from typing import Any, Final

from exporters.simulator.demand import wandering
from exporters.simulator.model import Ticks
from exporters.simulator.response import Request, Response, as_json

USD: Final = {"STORJ": 0.27, "GLM": 0.22, "DATA": 0.016, "GRASS": 0.87, "AKT": 1.05, "POL": 0.24}
"""Around what each token's price wanders."""
_COINGECKO: Final = {
    "storj": "STORJ", "golem": "GLM", "streamr": "DATA", "grass": "GRASS", "akash-network": "AKT", "polygon-ecosystem-token": "POL",
}  # fmt: skip
_REFRESH: Final = 60.0


class Market:
    """The prices themselves: pure functions of time, one per minute."""

    def __init__(self, seed: int, *, day: float = 86400.0, spread: float = 0.03) -> None:
        self._around = dict(USD)
        self._ticks = {
            token: Ticks(wandering(usd, seed * 100 + k, day=day, spread=spread, days=3.0), _REFRESH)
            for k, (token, usd) in enumerate(USD.items())
        }

    def tokens(self) -> tuple[str, ...]:
        return tuple(self._around)

    def usual(self, token: str) -> float:
        """What it wanders around, in USD."""
        return self._around[token]

    def usd(self, token: str, at: float) -> float:
        """Raises KeyError for a token that is not traded here (points)."""
        return 1.0 if token == "USD" else self._ticks[token].at(int(at // _REFRESH))  # noqa: S105 a currency


class Sources:
    """All price sources behind one address, each under its own real path."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def listening(self, _now: float) -> bool:
        return True

    def answer(self, request: Request, now: float) -> Response:
        path = request.path
        if path.endswith("/simple/price"):
            return self._coingecko(request, now)
        if "/prices/current/" in path:
            return self._defillama(path.rpartition("/")[2], now)
        if path.endswith("/0/public/Ticker"):
            return self._kraken(request, now)
        if path.endswith("/api/v3/ticker/price"):
            return self._binance(request, now)
        return as_json({"error": "not found"}, 404)

    def _coingecko(self, request: Request, now: float) -> Response:
        if "usd" not in request.query.get("vs_currencies", "").split(","):
            return as_json({"status": {"error_code": 422, "error_message": "Missing parameter vs_currencies"}}, 422)
        rows: dict[str, Any] = {}
        for name in request.query.get("ids", "").split(","):
            if token := _COINGECKO.get(name):
                rows[name] = {"usd": self.market.usd(token, now), "usd_24h_change": self._change(token, now)}
                rows[name]["last_updated_at"] = int(now // _REFRESH * _REFRESH)
        return as_json(rows)

    def _change(self, token: str, now: float) -> float:
        before = self.market.usd(token, now - 86400.0)
        return 100.0 * (self.market.usd(token, now) - before) / before

    def _defillama(self, keys: str, now: float) -> Response:
        coins = {}
        for key in keys.split(","):
            kind, _, name = key.partition(":")
            token = _COINGECKO.get(name) if kind == "coingecko" else None
            if token:
                at = int(now // _REFRESH * _REFRESH)
                coins[key] = {
                    "price": self.market.usd(token, now),
                    "symbol": token,
                    "timestamp": at,
                    "confidence": 0.99,
                }
        return as_json({"coins": coins})

    def _kraken(self, request: Request, now: float) -> Response:
        pair = request.query.get("pair", "")
        token = pair.removesuffix("USD")
        if token not in {"STORJ", "AKT", "POL"} or not pair.endswith("USD"):
            return as_json({"error": ["EQuery:Unknown asset pair"]})
        last = f"{self.market.usd(token, now):.5f}"
        return as_json(
            {"error": [], "result": {pair: {"a": [last, "1", "1.000"], "b": [last, "1", "1.000"], "c": [last, "12.5"]}}}
        )

    def _binance(self, request: Request, now: float) -> Response:
        try:
            symbols = json.loads(request.query.get("symbols", ""))
        except ValueError:
            symbols = [request.query.get("symbol", "")]
        listed = {"STORJUSDT", "GLMUSDT", "DATAUSDT", "POLUSDT"}
        if not isinstance(symbols, list) or not symbols or not listed.issuperset(map(str, symbols)):
            return as_json({"code": -1121, "msg": "Invalid symbol."}, 400)
        return as_json([{"symbol": one, "price": f"{self.market.usd(one[:-4], now):.8f}"} for one in symbols])
