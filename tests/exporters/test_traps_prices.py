"""What the price APIs are asked, name by name, and what of them is easily taken for a price (reference: streamr-grass-prices 3)."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from exporters.clock import SystemClock
from exporters.price_sources import SOURCES, TOKENS
from exporters.prices import PriceFeed
from exporters.session import HttpSession
from exporters.settings import Prices


@pytest.mark.parametrize(
    ("token", "coingecko", "kraken", "binance"),
    [
        ("STORJ", "storj", "STORJUSD", "STORJUSDT"),
        ("GLM", "golem", None, "GLMUSDT"),
        ("DATA", "streamr", None, "DATAUSDT"),
        ("GRASS", "grass", None, None),
        ("POL", "polygon-ecosystem-token", "POLUSD", "POLUSDT"),
    ],
)
def test_each_source_calls_a_token_by_its_own_name(token, coingecko, kraken, binance):
    names = {name: source.names(TOKENS[token]) for name, source in SOURCES.items()}
    assert names == {
        "coingecko": coingecko,
        "defillama": coingecko,  # which takes CoinGecko's ids behind "coingecko:"
        "kraken": kraken,
        "binance": binance,
        "coinmarketcap": token,
    }


@pytest.mark.parametrize(
    ("base", "header"),
    [
        ("https://api.coingecko.com/api/v3", "x-cg-demo-api-key"),
        ("https://pro-api.coingecko.com/api/v3", "x-cg-pro-api-key"),
    ],
)
def test_each_root_of_coingecko_has_its_own_kind_of_key(base, header):
    assert SOURCES["coingecko"].key_header(base) == header


def test_no_source_is_asked_more_often_than_its_free_plan_allows():
    month = 30 * 86400
    assert month / SOURCES["coingecko"].interval <= 10_000
    for source in SOURCES.values():
        assert source.interval >= 60
        assert source.stale_after >= 2 * source.interval, "one failure must not unprice anything"


@pytest.fixture
async def answering(aiohttp_server):
    """A server that gives one answer to everything, and how often it was asked."""
    asked: list[str] = []

    async def start(**response):
        async def answer(request: web.Request) -> web.Response:
            asked.append(request.path_qs)
            return web.Response(**response)

        app = web.Application()
        app.router.add_get("/{rest:.*}", answer)
        return str((await aiohttp_server(app)).make_url("")).rstrip("/"), asked

    return start


async def problem_of(source: str, url: str, **more) -> str:
    settings = Prices.model_validate({"sources": [source], "endpoints": {source: url}, **more})
    feed = PriceFeed(settings, SystemClock(), ["STORJ"])
    async with aiohttp.ClientSession() as client:
        await feed.refresh(HttpSession(client))
    assert feed.book.live == {}
    return feed.problems[source]


@pytest.mark.parametrize("status", [403, 503])
async def test_cloudflare_in_front_of_a_source_is_no_bad_key(answering, status):
    url, _ = await answering(status=status, text="<html>error code: 1020</html>", content_type="text/html")
    said = await problem_of("coingecko", url)
    assert "web page" in said
    assert "credential file" not in said


async def test_a_key_file_of_two_lines_asks_nobody_and_is_in_no_message(answering, tmp_path):
    (tmp_path / "key").write_text("CG-first\nCG-second")
    url, asked = await answering(text="{}")
    said = await problem_of("coingecko", url, apiKeyFiles={"coingecko": str(tmp_path / "key")})
    assert asked == []
    assert "credential file" in said
    assert "CG-" not in said


async def test_the_message_of_a_rate_limit_is_kept_from_being_a_price(answering):
    body = '{"status":{"error_code":429,"error_message":"You\'ve exceeded the Rate Limit"}}'
    url, _ = await answering(status=200, text=body, content_type="application/json")
    settings = Prices.model_validate({"sources": ["coingecko"], "endpoints": {"coingecko": url}})
    feed = PriceFeed(settings, SystemClock(), ["STORJ"])
    async with aiohttp.ClientSession() as client:
        await feed.refresh(HttpSession(client))
    assert feed.book.live == {}
    assert "STORJ" in feed.problems
