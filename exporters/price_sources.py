"""Where token prices come from: for each source how it is asked, and what its answer means (O4).

`ask` does the I/O and raises PollError; `parse` is pure, raises Malformed where the answer is not of the source's shape,
and leaves out every token whose price is absent, null, doubtful or not a positive finite number. Prices are USD for one
whole token, times Unix seconds. Facts: reference: streamr-grass-prices 3; coingecko/coingecko-api-oas,
binance/binance-spot-api-docs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from exporters.errors import Malformed, RateLimited
from exporters.session import Answer, Session, refuse
from exporters.settings import PriceSource


@dataclass(frozen=True, slots=True)
class Price:
    """What one whole token costs, as one source said."""

    usd: float
    at: float
    """Unix seconds of the price itself where the source tells it, else of the answer."""
    source: str


@dataclass(frozen=True, slots=True)
class Token:
    """How the sources call one token; None: the source is not known to have it."""

    coingecko: str | None = None
    """The id of CoinGecko, which DefiLlama takes as well. Symbols are ambiguous there, ids are not."""
    kraken: str | None = None
    binance: str | None = None
    coinmarketcap: str | None = None


TOKENS: Final[Mapping[str, Token]] = {
    "STORJ": Token("storj", "STORJUSD", "STORJUSDT", "STORJ"),
    "GLM": Token("golem", None, "GLMUSDT", "GLM"),
    "DATA": Token("streamr", None, "DATAUSDT", "DATA"),
    "GRASS": Token("grass", None, None, "GRASS"),
    "POL": Token("polygon-ecosystem-token", "POLUSD", "POLUSDT", "POL"),
    "ETH": Token("ethereum", "ETHUSD", "ETHUSDT", "ETH"),
    "MYST": Token("mysterium", None, None, "MYST"),
    "SC": Token("siacoin", "SCUSD", "SCUSDT", "SC"),
    "LPT": Token("livepeer", "LPTUSD", "LPTUSDT", "LPT"),
    "GRT": Token("the-graph", "GRTUSD", "GRTUSDT", "GRT"),
    "AKT": Token("akash-network", "AKTUSD", None, "AKT"),
    "FLUX": Token("zelcash", "FLUXUSD", "FLUXUSDT", "FLUX"),
    "FIL": Token("filecoin", "FILUSD", "FILUSDT", "FIL"),
    "USDC": Token("usd-coin", "USDCUSD", "USDCUSDT", "USDC"),
}
"""Any other token needs a static price in Settings."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one source is asked now, and with what."""

    session: Session
    base: str
    """The source's address, without a trailing slash."""
    names: Mapping[str, str]
    """token -> the source's name of it."""
    headers: Mapping[str, str]
    sleep: Callable[[float], Coroutine[Any, Any, None]]

    async def get(self, path: str, ok: tuple[int, ...] = (200,)) -> Answer:
        return await self.session.request("GET", self.base + path, headers=self.headers, ok=ok)


Ask = Callable[[Question], Coroutine[Any, Any, list[Any]]]
"""Gives the decoded answers."""
Parse = Callable[[list[Any], Mapping[str, str], float], dict[str, Price]]
"""(answers, token -> the source's name of it, now) -> token -> Price."""


@dataclass(frozen=True, slots=True)
class Source:
    """One place that tells prices."""

    name: PriceSource
    base: str
    ask: Ask
    parse: Parse
    names: Callable[[Token], str | None]
    interval: float = 300.0
    """Seconds between two questions about the same token. The free plan of CoinGecko allows 10 000 a month: 13 an hour."""
    stale_after: float = 1800.0
    """Age in seconds at which its price no longer counts."""
    key_header: Callable[[str], str] | None = None
    """base address -> the header that its API key goes into."""
    needs_key: bool = False


def positive(value: Any) -> float | None:
    """A price, or None for what cannot be one: null, true, zero, negative, NaN, infinite, no number."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _time(value: Any, now: float) -> float | None:
    """A source's own time of a price: never later than now; None where there is none that can be true."""
    seconds = positive(value)
    return None if seconds is None else min(seconds, now)


def _object(body: Any, source: str, key: str | None = None) -> dict[str, Any]:
    """The answer, or what is under one key of it, where it is an object. Raises Malformed with the path elsewhere."""
    found = body if key is None else _object(body, source).get(key)
    if isinstance(found, dict):
        return found
    where = "$" if key is None else f"$.{key}"
    raise Malformed(f"{source} answered no object at {where} but {type(found).__name__}; no price is taken from it")


async def _ask_coingecko(question: Question) -> list[Any]:
    query = urlencode({
        "ids": ",".join(question.names.values()), "vs_currencies": "usd",
        "include_last_updated_at": "true", "precision": "full",
    }, safe=",")  # fmt: skip
    return [(await question.get(f"/simple/price?{query}")).json()]


def parse_coingecko(answers: list[Any], names: Mapping[str, str], now: float) -> dict[str, Price]:
    """{"storj": {"usd": 0.27, "last_updated_at": 1787184000}}; unknown ids are absent, any field may be null."""
    body = _object(answers[0], "coingecko")
    found = {}
    for token, name in names.items():
        usd = positive(_inside(body, name, "usd"))
        if usd is not None:
            at = _time(_inside(body, name, "last_updated_at"), now)
            found[token] = Price(usd, now if at is None else at, "coingecko")
    return found


async def _ask_defillama(question: Question) -> list[Any]:
    coins = ",".join(f"coingecko:{name}" for name in question.names.values())
    return [(await question.get(f"/prices/current/{coins}")).json()]


MIN_CONFIDENCE: Final = 0.9
"""DefiLlama says how sure it is of each price; below this it tells of thin markets."""


def parse_defillama(answers: list[Any], names: Mapping[str, str], now: float) -> dict[str, Price]:
    """{"coins": {"coingecko:storj": {"price": 0.27, "timestamp": ..., "confidence": 0.99}}}; unknown keys are absent."""
    coins = _object(answers[0], "defillama", "coins")
    found = {}
    for token, name in names.items():
        said = coins.get(f"coingecko:{name}")
        if not isinstance(said, dict):
            continue
        usd, at, confidence = (
            positive(said.get("price")),
            _time(said.get("timestamp"), now),
            positive(said.get("confidence")),
        )
        if usd is not None and at is not None and confidence is not None and confidence >= MIN_CONFIDENCE:
            found[token] = Price(usd, at, "defillama")
    return found


_KRAKEN_PACE: Final = 1.0
"""Seconds between two questions: Kraken's public limit is about one a second."""


async def _ask_kraken(question: Question) -> list[Any]:
    """One question a pair: Kraken renames pairs in its answer, so that those of several cannot be told apart."""
    answers = []
    for i, pair in enumerate(question.names.values()):
        if i:
            await question.sleep(_KRAKEN_PACE)
        answers.append((await question.get(f"/0/public/Ticker?pair={pair}")).json())
    return answers


def parse_kraken(answers: list[Any], names: Mapping[str, str], now: float) -> dict[str, Price]:
    """{"error": [], "result": {"XETHZUSD": {"c": ["4012.1", "0.5"]}}}: the only value of `result`, whatever its key.

    Errors come with HTTP 200. An unknown pair is left out; EAPI:Rate limit exceeded raises RateLimited, others Malformed.
    """
    found = {}
    for token, answer in zip(names, answers, strict=True):
        body = _object(answer, "kraken")
        said = " ".join(str(word) for word in body["error"]) if isinstance(body.get("error"), list) else ""
        if "Unknown asset pair" in said:
            continue
        if "Rate limit" in said or "Too many requests" in said:
            raise RateLimited("kraken asks to wait: asked too often")
        if said:
            raise Malformed(f"kraken answered an error: {said[:120]}")
        usd = positive(_last_trade(body.get("result")))
        if usd is not None:
            found[token] = Price(usd, now, "kraken")
    return found


def _last_trade(result: Any) -> Any:
    tickers = list(result.values()) if isinstance(result, dict) else []
    closed = tickers[0].get("c") if len(tickers) == 1 and isinstance(tickers[0], dict) else None
    return closed[0] if isinstance(closed, list) and closed else None


_BANNED: Final = 418
"""Binance: "you went on after 429"; from 2 minutes to 3 days."""


async def _ask_binance(question: Question) -> list[Any]:
    """All at once; where one bad symbol fails all, one by one."""
    symbols = list(question.names.values())
    together = await _binance(question, symbols)
    if together is not None:
        return [together]
    alone = [await _binance(question, [symbol]) for symbol in symbols] if len(symbols) > 1 else []
    return [answer for answer in alone if answer is not None]


async def _binance(question: Question, symbols: list[str]) -> Any:
    """The decoded answer, None where a symbol is not known (HTTP 400, code -1121)."""
    wanted = quote(json.dumps(symbols, separators=(",", ":")))
    answer = await question.get(f"/api/v3/ticker/price?symbols={wanted}", ok=(200, 400, _BANNED))
    if answer.status == _BANNED:
        wait = answer.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        raise RateLimited("binance has banned this address for a while: asked too often", seconds)
    if answer.status == 200:
        return answer.json()
    if not _symbol_is_unknown(answer):
        raise refuse(answer)
    return None


def _symbol_is_unknown(answer: Answer) -> bool:
    body = answer.json()
    return isinstance(body, dict) and body.get("code") == -1121


def parse_binance(answers: list[Any], names: Mapping[str, str], now: float) -> dict[str, Price]:
    """[{"symbol": "STORJUSDT", "price": "0.27310000"}]. USDT is taken for USD: they part by under a per cent."""
    said = {row.get("symbol"): row.get("price") for row in _rows(answers)}
    prices = {token: positive(said.get(name)) for token, name in names.items()}
    return {token: Price(usd, now, "binance") for token, usd in prices.items() if usd is not None}


def _rows(answers: list[Any]) -> Iterator[Mapping[str, Any]]:
    for answer in answers:
        if not isinstance(answer, list):
            raise Malformed(f"binance answered {type(answer).__name__}, not a list; no price is taken from it")
        yield from (row for row in answer if isinstance(row, dict))


async def _ask_coinmarketcap(question: Question) -> list[Any]:
    symbols = ",".join(question.names.values())
    path = f"/v2/cryptocurrency/quotes/latest?symbol={symbols}&skip_invalid=true"
    return [(await question.get(path)).json()]


def parse_coinmarketcap(answers: list[Any], names: Mapping[str, str], now: float) -> dict[str, Price]:
    """{"data": {"STORJ": [{"quote": {"USD": {"price": 0.27}}}]}}; of several coins with one symbol the first, the largest."""
    data = _object(answers[0], "coinmarketcap", "data")
    found = {}
    for token, name in names.items():
        coins = data.get(name)
        first = coins[0] if isinstance(coins, list) and coins else None
        usd = positive(_inside(first, "quote", "USD", "price"))
        if usd is not None:
            found[token] = Price(usd, now, "coinmarketcap")
    return found


def _inside(body: Any, *path: str) -> Any:
    for step in path:
        body = body.get(step) if isinstance(body, dict) else None
    return body


def _coingecko_header(base: str) -> str:
    """The two kinds of key belong to two roots; the wrong pair is refused with 401, codes 10010 and 10011."""
    return "x-cg-pro-api-key" if "//pro-api." in base else "x-cg-demo-api-key"


SOURCES: Final[Mapping[PriceSource, Source]] = {
    source.name: source
    for source in (
        Source(
            "coingecko", "https://api.coingecko.com/api/v3", _ask_coingecko, parse_coingecko,
            lambda token: token.coingecko, key_header=_coingecko_header,
        ),
        Source(
            "defillama", "https://coins.llama.fi", _ask_defillama, parse_defillama, lambda token: token.coingecko,
        ),
        Source("kraken", "https://api.kraken.com", _ask_kraken, parse_kraken, lambda token: token.kraken),
        Source(
            "binance", "https://data-api.binance.vision", _ask_binance, parse_binance, lambda token: token.binance,
        ),
        Source(
            "coinmarketcap", "https://pro-api.coinmarketcap.com", _ask_coinmarketcap, parse_coinmarketcap,
            lambda token: token.coinmarketcap, key_header=lambda _: "X-CMC_PRO_API_KEY", needs_key=True,
        ),
    )
}  # fmt: skip
