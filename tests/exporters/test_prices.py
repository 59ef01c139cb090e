import json
import math
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from exporters.collector import Workload
from exporters.errors import Malformed, RateLimited
from exporters.nodes import Power, WorkloadSpec
from exporters.price_sources import (
    Price,
    parse_binance,
    parse_coingecko,
    parse_coinmarketcap,
    parse_defillama,
    parse_kraken,
)
from exporters.prices import POINTS, PriceBook, PriceFeed, in_usd, net_share, tokens_of
from exporters.reading import Native, Pool, Quality, Reading
from exporters.session import HttpSession
from exporters.settings import Prices
from exporters.traits import Traits

NOW = 1787184060.0
COINGECKO = {"STORJ": "storj", "GLM": "golem", "DATA": "streamr", "GRASS": "grass"}


# --- what each source's answer means (shapes: reference streamr-grass-prices 3, values constructed) ------------------


def test_coingecko_gives_the_price_and_its_time():
    body = {
        "storj": {"usd": 0.2731, "usd_24h_change": -1.84, "last_updated_at": 1787184000},
        "golem": {"usd": 0.2214, "usd_24h_change": 0.4, "last_updated_at": 1787184002},
    }
    assert parse_coingecko([body], {"STORJ": "storj", "GLM": "golem"}, NOW) == {
        "STORJ": Price(0.2731, 1787184000, "coingecko"),
        "GLM": Price(0.2214, 1787184002, "coingecko"),
    }


def test_coingecko_leaves_out_what_is_absent_or_null_and_never_says_zero():
    body = {"storj": {"usd": None}, "golem": {}, "streamr": None, "grass": {"usd": 0.87, "last_updated_at": None}}
    assert parse_coingecko([body], COINGECKO, NOW) == {"GRASS": Price(0.87, NOW, "coingecko")}
    assert parse_coingecko([{}], COINGECKO, NOW) == {}


@pytest.mark.parametrize("usd", [0, -0.2, float("nan"), float("inf"), True, "zero", [], {"usd": 1}, 10**400])
def test_a_price_that_cannot_be_is_left_out(usd):
    assert parse_coingecko([{"storj": {"usd": usd}}], COINGECKO, NOW) == {}


def test_a_price_from_the_future_is_of_now():
    body = {"storj": {"usd": 0.27, "last_updated_at": 1787184000000}}
    assert parse_coingecko([body], COINGECKO, NOW)["STORJ"].at == NOW


def test_defillama_is_believed_only_with_confidence_and_a_time():
    good = {"price": 0.27, "symbol": "STORJ", "timestamp": 1787184000, "confidence": 0.99}
    coins = {
        "coingecko:storj": good,
        "coingecko:golem": {**good, "confidence": 0.5},
        "coingecko:streamr": {key: value for key, value in good.items() if key != "confidence"},
        "coingecko:grass": {**good, "timestamp": None},
    }
    assert parse_defillama([{"coins": coins}], COINGECKO, NOW) == {"STORJ": Price(0.27, 1787184000, "defillama")}
    assert parse_defillama([{"coins": {}}], COINGECKO, NOW) == {}


def test_kraken_renames_its_keys_and_the_only_value_is_taken():
    names = {"STORJ": "STORJUSD", "ETH": "ETHUSD"}
    answers = [
        {"error": [], "result": {"STORJUSD": {"c": ["0.27310", "12.5"]}}},
        {"error": [], "result": {"XETHZUSD": {"c": ["4012.10000", "0.5"]}}},
    ]
    assert parse_kraken(answers, names, NOW) == {
        "STORJ": Price(0.2731, NOW, "kraken"),
        "ETH": Price(4012.1, NOW, "kraken"),
    }


def test_kraken_says_errors_with_http_200():
    unknown = {"error": ["EQuery:Unknown asset pair"]}
    assert parse_kraken([unknown], {"GLM": "GLMUSD"}, NOW) == {}
    with pytest.raises(RateLimited, match="asked too often"):
        parse_kraken([{"error": ["EAPI:Rate limit exceeded"]}], {"GLM": "GLMUSD"}, NOW)
    with pytest.raises(Malformed, match="EService:Unavailable"):
        parse_kraken([{"error": ["EService:Unavailable"]}], {"GLM": "GLMUSD"}, NOW)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        [],
        {"A": None},
        {"A": {}},
        {"A": {"c": []}},
        {"A": {"c": ["x"]}},
        {"A": {"c": ["1"]}, "B": {"c": ["2"]}},
    ],
)
def test_kraken_without_one_last_trade_has_no_price(result):
    assert parse_kraken([{"error": [], "result": result}], {"STORJ": "STORJUSD"}, NOW) == {}


def test_binance_gives_strings():
    rows = [{"symbol": "STORJUSDT", "price": "0.27310000"}, {"symbol": "GLMUSDT", "price": "0.00000000"}, None]
    names = {"STORJ": "STORJUSDT", "GLM": "GLMUSDT"}
    assert parse_binance([rows], names, NOW) == {"STORJ": Price(0.2731, NOW, "binance")}
    assert parse_binance([], names, NOW) == {}


def test_coinmarketcap_takes_the_first_of_several_coins_with_one_symbol():
    data = {
        "STORJ": [{"quote": {"USD": {"price": 0.27}}}, {"quote": {"USD": {"price": 99}}}],
        "DATA": [],
        "GLM": [{"quote": {}}],
    }
    names = {"STORJ": "STORJ", "DATA": "DATA", "GLM": "GLM", "GRASS": "GRASS"}
    assert parse_coinmarketcap([{"data": data}], names, NOW) == {"STORJ": Price(0.27, NOW, "coinmarketcap")}


@pytest.mark.parametrize(
    ("parse", "answer"),
    [
        (parse_coingecko, []),
        (parse_coingecko, "x"),
        (parse_coingecko, None),
        (parse_defillama, {"coins": []}),
        (parse_defillama, {}),
        (parse_defillama, 3),
        (parse_kraken, []),
        (parse_kraken, None),
        (parse_binance, {"msg": "?"}),
        (parse_binance, None),
        (parse_coinmarketcap, {"data": None}),
        (parse_coinmarketcap, []),
    ],
)
def test_an_answer_of_another_shape_is_malformed_and_says_of_whom(parse, answer):
    with pytest.raises(Malformed, match=parse.__name__.removeprefix("parse_")):
        parse([answer], {"STORJ": "storj"}, NOW)


# --- the feed, against a server on loopback --------------------------------------------------------------------------


class FakeClock:
    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - NOW

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Exchanges:
    """All five sources on one server; `prices` is what they say, `broken` what they answer instead."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.prices: dict[str, dict[str, object]] = {}
        """source -> the source's name of a token -> price."""
        self.broken: dict[str, tuple[int, dict[str, str], object]] = {}
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{source}/{rest:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        source = request.match_info["source"]
        self.asked.append((source, request.path_qs))
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        if source in self.broken:
            status, headers, body = self.broken[source]
            return web.Response(
                status=status, headers=headers, text=body if isinstance(body, str) else json.dumps(body)
            )
        return getattr(self, f"_{source}")(request, self.prices.get(source, {}))

    def _coingecko(self, request, prices):
        names = request.query["ids"].split(",")
        said = {name: {"usd": prices[name], "last_updated_at": int(self.clock.now)} for name in names if name in prices}
        return web.json_response(said)

    def _defillama(self, request, prices):
        names = [name.removeprefix("coingecko:") for name in request.match_info["rest"].rsplit("/", 1)[1].split(",")]
        said = {"confidence": 0.99, "timestamp": int(self.clock.now)}
        return web.json_response(
            {"coins": {f"coingecko:{n}": {**said, "price": prices[n]} for n in names if n in prices}}
        )

    def _kraken(self, request, prices):
        pair = request.query["pair"]
        if pair not in prices:
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        return web.json_response({"error": [], "result": {f"X{pair}": {"c": [str(prices[pair]), "1"]}}})

    def _binance(self, request, prices):
        symbols = json.loads(request.query["symbols"])
        if any(symbol not in prices for symbol in symbols):
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        return web.json_response([{"symbol": symbol, "price": str(prices[symbol])} for symbol in symbols])

    def _coinmarketcap(self, request, prices):
        names = request.query["symbol"].split(",")
        return web.json_response(
            {"data": {n: [{"quote": {"USD": {"price": prices[n]}}}] for n in names if n in prices}}
        )

    def settings(self, *sources: str, **more: object) -> Prices:
        paths = {"coingecko": "/coingecko/api/v3"}
        endpoints = {name: self.url + paths.get(name, f"/{name}") for name in sources}
        return Prices.model_validate({"sources": list(sources), "endpoints": endpoints, **more})

    def times(self, source: str) -> int:
        return sum(name == source for name, _ in self.asked)


@pytest.fixture
async def clock():
    return FakeClock()


@pytest.fixture
async def exchanges(aiohttp_server, clock):
    fake = Exchanges(clock)
    server = await aiohttp_server(fake.app())
    fake.url = str(server.make_url("")).rstrip("/")
    return fake


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as client:
        yield HttpSession(client)


async def test_the_first_source_alone_is_asked_where_it_has_everything(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27, "golem": 0.22}, "defillama": {"storj": 0.28, "golem": 0.23}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ", "GLM"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now) == Price(0.27, clock.now, "coingecko")
    assert exchanges.asked == [
        (
            "coingecko",
            "/coingecko/api/v3/simple/price?ids=golem,storj&vs_currencies=usd&include_last_updated_at=true&precision=full",
        )
    ]
    assert feed.problems == {}


async def test_each_next_source_is_asked_only_for_what_those_before_did_not_have(exchanges, clock, session):
    exchanges.prices = {
        "coingecko": {"storj": 0.27},
        "defillama": {"golem": 0.22},
        "kraken": {},
        "binance": {"DATAUSDT": 0.016},
    }
    feed = PriceFeed(exchanges.settings("coingecko", "defillama", "kraken", "binance"), clock, ["STORJ", "GLM", "DATA"])
    await feed.refresh(session)
    sources = {token: price.source for token, price in feed.book.all(clock.now).items()}
    assert sources == {"STORJ": "coingecko", "GLM": "defillama", "DATA": "binance"}
    assert "storj" not in exchanges.asked[1][1]
    assert exchanges.times("kraken") == 0  # it is not known to have DATA


async def test_one_bad_symbol_fails_all_at_binance_and_the_others_are_had_one_by_one(exchanges, clock, session):
    exchanges.prices = {"binance": {"STORJUSDT": 0.27, "GLMUSDT": 0.22}}
    feed = PriceFeed(exchanges.settings("binance"), clock, ["STORJ", "GLM", "DATA"])
    await feed.refresh(session)
    assert set(feed.book.all(clock.now)) == {"STORJ", "GLM"}
    assert exchanges.times("binance") == 4
    assert feed.problems == {"DATA": "no source gave a price of DATA; it is tried again"}


async def test_kraken_is_asked_for_one_pair_a_second(exchanges, clock, session):
    exchanges.prices = {"kraken": {"STORJUSD": 0.27, "ETHUSD": 4012.1, "SCUSD": 0.003}}
    feed = PriceFeed(exchanges.settings("kraken"), clock, ["STORJ", "ETH", "SC"])
    await feed.refresh(session)
    assert {token: price.usd for token, price in feed.book.all(clock.now).items()} == {
        "STORJ": 0.27,
        "ETH": 4012.1,
        "SC": 0.003,
    }
    assert clock.slept == [1.0, 1.0]


async def test_a_source_is_not_asked_again_before_its_interval(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ", "GLM"])  # GLM stays missing
    for _ in range(10):
        await feed.refresh(session)
        clock.now += 29
    assert exchanges.times("coingecko") == 1
    clock.now += 11
    await feed.refresh(session)
    assert exchanges.times("coingecko") == 2


async def test_a_token_that_is_needed_later_is_asked_for_at_once(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27, "golem": 0.22}}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ"])
    await feed.refresh(session)
    feed.value(reading(gross_per_hour={"GLM": 2.0}), workload())
    await feed.refresh(session)
    assert feed.book.get("GLM", clock.now).usd == 0.22
    assert "ids=golem&" in exchanges.asked[1][1]


async def test_a_feed_may_start_with_the_book_of_another_and_asks_anew(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ"])
    feed.book = replace(
        feed.book, live={"STORJ": Price(0.25, clock.now - 60, "kraken"), "GLM": Price(1, clock.now, "elsewhere")}
    )
    assert feed.book.get("STORJ", clock.now).usd == 0.25
    feed.needs(["GLM"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).usd == 0.27
    assert feed.book.get("GLM", clock.now).usd == 1


async def test_nothing_is_asked_where_nothing_is_needed(exchanges, clock, session):
    await PriceFeed(exchanges.settings("coingecko"), clock).refresh(session)
    assert exchanges.asked == []


async def test_a_rate_limited_source_is_left_alone_as_long_as_it_asked_and_the_next_one_serves(
    exchanges, clock, session
):
    exchanges.broken = {"coingecko": (429, {"Retry-After": "900"}, {"status": {"error_code": 429}})}
    exchanges.prices = {"defillama": {"storj": 0.27}, "coingecko": {"storj": 0.28}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).source == "defillama"
    assert "asked too often" in feed.problems["coingecko"]
    exchanges.broken.clear()
    clock.now += 899
    await feed.refresh(session)
    assert exchanges.times("coingecko") == 1
    clock.now += 301
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).source == "coingecko"
    assert feed.problems == {}


async def test_a_ban_of_binance_is_a_wait(exchanges, clock, session):
    exchanges.broken = {"binance": (418, {"Retry-After": "7200"}, {"code": -1003, "msg": "banned"})}
    feed = PriceFeed(exchanges.settings("binance"), clock, ["STORJ"])
    await feed.refresh(session)
    clock.now += 7199
    await feed.refresh(session)
    assert exchanges.times("binance") == 1
    assert "banned" in feed.problems["binance"]


async def test_failures_of_a_source_are_spaced_out(exchanges, clock, session):
    exchanges.broken = {"coingecko": (500, {}, "oops")}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ"])
    asked = []
    for _ in range(60):
        await feed.refresh(session)
        asked.append(exchanges.times("coingecko"))
        clock.now += 60
    assert asked[-1] == 6  # after 0, 1, 3, 7, 15 and 31 minutes


@pytest.mark.parametrize(
    "broken",
    [
        (200, {"Content-Type": "text/html"}, "<html>Just a moment...</html>"),
        (403, {"Content-Type": "text/html"}, "<html>1020</html>"),
        (401, {}, {"error_code": 10002}),
        (400, {}, {"code": -1100, "msg": "Illegal characters"}),
        (200, {}, "null"),
        (200, {}, "[]"),
        (200, {}, ""),
        (200, {}, "7"),
        (200, {}, '{"error": 7, "coins": 7, "data": 7}'),
    ],
)
@pytest.mark.parametrize("source", ["coingecko", "defillama", "kraken", "binance", "coinmarketcap"])
async def test_a_source_that_lies_gives_no_price_and_stops_nobody(exchanges, clock, session, tmp_path, source, broken):
    (tmp_path / "key").write_text("k-123")
    exchanges.broken = {source: broken}
    exchanges.prices = {"defillama": {"storj": 0.27}, "coingecko": {"storj": 0.28}}
    other = "defillama" if source != "defillama" else "coingecko"
    settings = exchanges.settings(source, other, apiKeyFiles={"coinmarketcap": str(tmp_path / "key")})
    feed = PriceFeed(settings, clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).source == other


async def test_a_source_that_cannot_be_reached_is_passed_over(exchanges, clock, session, free_port):
    exchanges.prices = {"defillama": {"storj": 0.27}}
    settings = exchanges.settings("coingecko", "defillama")
    dead = settings.model_copy(
        update={"endpoints": {**settings.endpoints, "coingecko": f"http://127.0.0.1:{free_port()}"}}
    )
    feed = PriceFeed(dead, clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).source == "defillama"
    assert "cannot be reached" in feed.problems["coingecko"]


async def test_a_price_is_stale_by_its_sources_own_clock_and_then_the_static_one_serves_and_says_so(
    exchanges, clock, session
):
    exchanges.prices = {"coingecko": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko", static={"STORJ": 0.2, "XYZ": 3}), clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now + 1800).source == "coingecko"
    assert feed.book.get("STORJ", clock.now + 1801) == Price(0.2, NOW, "static")
    assert feed.book.get("XYZ", clock.now).source == "static"


async def test_without_a_static_one_a_stale_price_is_unknown(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now + 1801) is None
    assert feed.book.all(clock.now + 1801) == {}


async def test_what_a_source_gives_stale_already_is_not_taken(exchanges, clock, session):
    exchanges.broken = {"coingecko": (200, {}, {"storj": {"usd": 0.27, "last_updated_at": int(clock.now) - 7200}})}
    exchanges.prices = {"defillama": {"storj": 0.28}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ"])
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).usd == 0.28


async def test_a_jump_without_a_second_source_is_refused_and_the_last_good_price_kept(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko"), clock, ["STORJ"])
    await feed.refresh(session)
    exchanges.prices = {"coingecko": {"storj": 27.0}}
    for _ in range(3):
        clock.now += 301
        await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now) == Price(0.27, NOW, "coingecko")
    assert "refused until a second source agrees" in feed.problems["STORJ"]


@pytest.mark.parametrize("jumped", [27.0, 0.0027])
async def test_a_jump_that_a_second_source_says_too_is_taken(exchanges, clock, session, jumped):
    exchanges.prices = {"coingecko": {"storj": 0.27}, "defillama": {"storj": 0.27}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ"])
    await feed.refresh(session)
    exchanges.prices = {"coingecko": {"storj": jumped}, "defillama": {"storj": jumped * 1.02}}
    clock.now += 301
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).usd == pytest.approx(jumped * 1.02)
    assert feed.problems == {}


async def test_a_jump_that_the_second_source_denies_leaves_the_second_sources_price(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}, "defillama": {"storj": 0.28}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ"])
    await feed.refresh(session)
    exchanges.prices["coingecko"] = {"storj": 27.0}
    clock.now += 301
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now) == Price(0.28, clock.now, "defillama")


async def test_two_sources_that_jump_to_different_prices_do_not_confirm_each_other(exchanges, clock, session):
    exchanges.prices = {"coingecko": {"storj": 0.27}, "defillama": {"storj": 0.28}}
    feed = PriceFeed(exchanges.settings("coingecko", "defillama"), clock, ["STORJ"])
    await feed.refresh(session)
    exchanges.prices = {"coingecko": {"storj": 27.0}, "defillama": {"storj": 54.0}}
    clock.now += 301
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.now).usd == 0.27


async def test_an_api_key_comes_from_its_file_and_goes_into_its_header_only(exchanges, clock, session, tmp_path):
    (tmp_path / "cg").write_text("CG-secret-1\n")
    exchanges.broken = {"coingecko": (401, {}, {"error": "bad key CG-secret-1"})}
    feed = PriceFeed(exchanges.settings("coingecko", apiKeyFiles={"coingecko": str(tmp_path / "cg")}), clock, ["STORJ"])
    await feed.refresh(session)
    assert exchanges.headers[0]["x-cg-demo-api-key"] == "CG-secret-1"
    assert "CG-secret-1" not in exchanges.asked[0][1]
    assert "CG-secret-1" not in str(feed.problems)
    assert "HTTP 401" in feed.problems["coingecko"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "needs an API key; name its file under prices.apiKeyFiles.coinmarketcap"),
        ({"coinmarketcap": "/nowhere/key"}, "does not exist"),
    ],
)
async def test_a_source_without_its_key_is_passed_over_and_says_what_to_do(exchanges, clock, session, files, said):
    feed = PriceFeed(exchanges.settings("coinmarketcap", apiKeyFiles=files), clock, ["STORJ"])
    await feed.refresh(session)
    assert exchanges.asked == []
    assert said in feed.problems["coinmarketcap"]


async def test_coinmarketcap_is_asked_with_its_key(exchanges, clock, session, tmp_path):
    (tmp_path / "cmc").write_text("cmc-1")
    exchanges.prices = {"coinmarketcap": {"STORJ": 0.27}}
    feed = PriceFeed(
        exchanges.settings("coinmarketcap", apiKeyFiles={"coinmarketcap": str(tmp_path / "cmc")}), clock, ["STORJ"]
    )
    await feed.refresh(session)
    assert exchanges.headers[0]["x-cmc_pro_api_key"] == "cmc-1"
    assert feed.book.get("STORJ", clock.now).source == "coinmarketcap"


async def test_a_token_that_no_source_knows_says_what_to_do(exchanges, clock, session):
    feed = PriceFeed(exchanges.settings("coingecko", static={"ABC": 1}), clock, ["XYZ", "ABC", "USD", "points"])
    await feed.refresh(session)
    assert feed.problems == {"XYZ": "no source knows the token XYZ; give it a price under prices.static"}
    assert exchanges.asked == []


def test_a_static_price_of_zero_is_unknown_and_says_so(clock):
    feed = PriceFeed(Prices.model_validate({"static": {"STORJ": 0}}), clock)
    assert feed.book.get("STORJ", NOW) is None
    assert "not above 0" in feed.problems["STORJ"]


# --- what a Reading is worth -----------------------------------------------------------------------------------------

BOOK = PriceBook(
    {
        "GLM": Price(0.25, NOW, "coingecko"),
        "DATA": Price(0.02, NOW, "coingecko"),
        "STORJ": Price(0.3, NOW - 9999, "coingecko"),
    }
)


def workload(power: Power | None = None, **spec: object) -> Workload:
    spec = {"protocol": "golem", "endpoint": "http://127.0.0.1:1", **spec}
    return Workload("rack-1", "w", WorkloadSpec.model_validate(spec), Traits(), power)


def reading(pool: Pool | None = None, allocated: dict | None = None, **native: object) -> Reading:
    return Reading(
        "rack-1",
        "w",
        "golem",
        NOW,
        quality=Quality.MEASURED,
        native=Native(**native),
        pool=pool,
        allocated=allocated or {},
    )


ALLOCATION = {"resource": "cpu", "min": 0, "max": 16, "step": 1}
POWER = Power(usd_per_kwh=0.31)


def test_what_is_earned_is_worth_its_tokens_at_todays_price():
    seen = in_usd(reading(gross_per_hour={"GLM": 2.0, "USD": 0.1}), BOOK, workload(), NOW)
    assert seen.rate_usd_per_hour == pytest.approx(0.6)
    assert seen.net_usd_per_hour == pytest.approx(0.6)
    assert seen.quality is Quality.MEASURED


def test_net_is_after_cuts_and_after_the_energy_of_its_steps():
    one = workload(POWER, watts={"perStep": 12}, allocation=ALLOCATION)
    seen = in_usd(
        reading(allocated={"cpu": 8.0}, gross_per_hour={"GLM": 2.0}, net_per_hour={"GLM": 1.6}), BOOK, one, NOW
    )
    assert seen.rate_usd_per_hour == pytest.approx(0.5)
    assert seen.net_usd_per_hour == pytest.approx(1.6 * 0.25 - 8 * 12 / 1000 * 0.31)


def test_energy_can_make_the_net_negative():
    one = workload(POWER, watts={"perStep": 100}, allocation=ALLOCATION)
    seen = in_usd(reading(allocated={"cpu": 8.0}, gross_per_hour={"GLM": 0.0}), BOOK, one, NOW)
    assert seen.rate_usd_per_hour == 0.0
    assert seen.net_usd_per_hour == pytest.approx(-0.248)


def test_with_watts_and_an_unknown_allocation_the_net_is_unknown_and_the_gross_is_not():
    one = workload(POWER, watts={"perStep": 12}, allocation=ALLOCATION)
    seen = in_usd(reading(gross_per_hour={"GLM": 2.0}), BOOK, one, NOW)
    assert (seen.rate_usd_per_hour, seen.net_usd_per_hour) == (0.5, None)


def test_a_workload_that_is_only_watched_uses_its_watts_once():
    seen = in_usd(reading(gross_per_hour={"GLM": 2.0}), BOOK, workload(POWER, watts={"perStep": 10}), NOW)
    assert seen.net_usd_per_hour == pytest.approx(0.5 - 0.0031)


@pytest.mark.parametrize("token", ["XYZ", "STORJ"])
def test_a_token_without_a_fresh_price_leaves_the_whole_sum_unknown_and_never_zero(token):
    native = {
        "gross_per_hour": {"GLM": 2.0, token: 1.0},
        "balance": {"accrued": {"GLM": 1.0, token: 1.0}, "paid": {"GLM": 4.0}},
    }
    seen = in_usd(reading(**native), BOOK, workload(), NOW)
    assert seen.rate_usd_per_hour is None
    assert seen.net_usd_per_hour is None
    assert seen.balance_usd == {"paid": 1.0}


def test_earning_nothing_in_a_token_without_a_price_is_unknown_too():
    assert in_usd(reading(gross_per_hour={"XYZ": 0.0}), BOOK, workload(), NOW).rate_usd_per_hour is None


def test_no_figure_is_no_figure():
    seen = in_usd(reading(), BOOK, workload(), NOW)
    assert (seen.rate_usd_per_hour, seen.net_usd_per_hour, seen.balance_usd, seen.price_usd_per_unit_hour) == (
        None,
        None,
        {},
        {},
    )


def test_a_net_that_is_known_to_be_unknown_stays_unknown():
    assert in_usd(reading(gross_per_hour={"GLM": 1.0}, net_per_hour={}), BOOK, workload(), NOW).net_usd_per_hour is None


def test_the_published_price_of_a_unit_is_in_usd():
    seen = in_usd(reading(price_per_unit_hour={"cpu": {"GLM": 0.1}, "memory": {"XYZ": 1.0}}), BOOK, workload(), NOW)
    assert seen.price_usd_per_unit_hour == {"cpu": pytest.approx(0.025)}


def test_points_without_a_valuation_stay_unpriced():
    seen = in_usd(reading(gross_per_hour={POINTS: 100.0}, balance={"accrued": {POINTS: 5000.0}}), BOOK, workload(), NOW)
    assert (seen.rate_usd_per_hour, seen.balance_usd, seen.quality) == (None, {}, Quality.MEASURED)


def test_points_with_the_owners_valuation_are_worth_it_and_labelled_assumed():
    one = workload(valuation={"usdPerPoint": 0.001})
    seen = in_usd(reading(gross_per_hour={POINTS: 100.0}, balance={"accrued": {POINTS: 5000.0}}), BOOK, one, NOW)
    assert seen.rate_usd_per_hour == pytest.approx(0.1)
    assert seen.balance_usd == {"accrued": pytest.approx(5.0)}
    assert seen.quality is Quality.ASSUMED


def test_a_valuation_changes_nothing_about_what_has_a_price():
    seen = in_usd(reading(gross_per_hour={"GLM": 2.0}), BOOK, workload(valuation={"usdPerPoint": 1}), NOW)
    assert (seen.rate_usd_per_hour, seen.quality) == (0.5, Quality.MEASURED)


def test_the_payout_of_a_pool_is_net_of_the_same_cut_as_the_own_share():
    pool = Pool({"DATA": 500.0}, others=1e6)
    seen = in_usd(reading(pool, gross_per_hour={"DATA": 10.0}, net_per_hour={"DATA": 6.0}), BOOK, workload(), NOW)
    assert seen.pool_payout_usd_per_hour == pytest.approx(500 * 0.02 * 0.6)


def test_a_pool_without_own_stake_uses_the_share_that_its_protocol_says():
    none = {"gross_per_hour": {"DATA": 0.0}, "net_per_hour": {"DATA": 0.0}}
    assert in_usd(reading(Pool({"DATA": 500.0}, 1e6), **none), BOOK, workload(), NOW).pool_payout_usd_per_hour is None
    told = Pool({"DATA": 500.0}, 1e6, net_share=0.6)
    assert in_usd(reading(told, **none), BOOK, workload(), NOW).pool_payout_usd_per_hour == pytest.approx(6.0)


def test_a_pool_that_pays_nothing_now_is_worth_zero_and_not_unknown():
    seen = in_usd(reading(Pool({"DATA": 0.0}, 1e6), gross_per_hour={"DATA": 0.0}), BOOK, workload(), NOW)
    assert seen.pool_payout_usd_per_hour == 0.0


def test_the_payout_of_a_pool_in_an_unpriced_token_is_unknown():
    assert in_usd(reading(Pool({"XYZ": 5.0}, 1e6)), BOOK, workload(), NOW).pool_payout_usd_per_hour is None


def test_a_share_of_two_tokens_is_none():
    assert net_share(Native({"A": 1.0, "B": 1.0}, {"A": 0.5, "B": 0.5})) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_impossible_amount_makes_the_sum_unknown(value):
    assert in_usd(reading(gross_per_hour={"GLM": value}), BOOK, workload(), NOW).rate_usd_per_hour is None


def test_a_look_that_failed_is_left_as_it_is():
    down = replace(reading(gross_per_hour={"GLM": 2.0}), up=False)
    assert in_usd(down, BOOK, workload(), NOW) is down


def test_every_token_of_a_reading_is_known_to_be_needed():
    pool = Pool({"DATA": 1.0}, 1.0)
    native = {
        "gross_per_hour": {"GLM": 1.0, "USD": 1.0},
        "balance": {"paid": {"STORJ": 1.0, POINTS: 2.0}},
        "price_per_unit_hour": {"cpu": {"MYST": 1.0}},
    }
    assert tokens_of(reading(pool, **native)) == {"DATA", "GLM", "STORJ", "MYST"}
