"""Without a network: the same answers and errors as over HTTP, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from exporters.errors import Malformed, RateLimited, TimedOut, Unauthorized, Unreachable
from exporters.prices import PriceFeed
from exporters.session import HttpSession
from exporters.settings import Prices
from exporters.simulator.demo import addresses, demo, price_settings
from exporters.simulator.faults import Fault
from exporters.simulator.inprocess import FastClock, InProcessSession
from exporters.simulator.server import Server


@pytest.fixture
def clock(made):
    return FastClock(made.world.now, auto=False)


@pytest.fixture
def session(made, clock):
    return InProcessSession(made.world, clock, {base: site for site, base in addresses(made).items()})


STORJ = "http://rack-1-storj.sim"


async def test_a_redirect_is_followed_as_aiohttp_does(session):
    assert (await session.request("GET", f"{STORJ}/api/sno")).json()["nodeID"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.DIE, Unreachable), (Fault.HANG, TimedOut), (Fault.BLOCK, Unreachable), (Fault.ERROR, Unreachable),
        (Fault.BUSY, RateLimited), (Fault.DENY, Unauthorized), (Fault.CUT, Unreachable),
    ],
)  # fmt: skip
async def test_every_failure_has_the_name_that_it_has_over_http(made, session, fault, error):
    made.world.break_site("rack-1-storj", fault)
    with pytest.raises(error) as refused:
        await session.request("GET", f"{STORJ}/api/sno/")
    assert type(refused.value) is error
    if fault is Fault.BUSY:
        assert refused.value.retry_after == 30


async def test_an_address_of_nobody_is_unreachable(session):
    with pytest.raises(Unreachable):
        await session.request("GET", "http://nowhere.sim/")


async def test_a_page_where_json_was_wanted_is_malformed(made, session):
    made.world.break_site("rack-1-storj", Fault.PAGE)
    with pytest.raises(Malformed):
        (await session.request("GET", f"{STORJ}/api/sno/")).json()


async def test_the_monitor_never_ends(made, session):
    headers = {"Authorization": f"Bearer {made.secrets['yagna-app-key']}"}
    with pytest.raises(TimedOut):
        await session.request("GET", "http://rack-1-golem.sim/activity-api/v1/_monitor", headers=headers)


REQUESTS = [
    ("rack-1-storj", "GET", "/api/sno", None), ("rack-1-storj", "GET", "/api/sno/", None), ("rack-1-storj", "GET", "/api/sno/satellites", None),
    ("rack-1-storj", "GET", "/api/sno/estimated-payout", None), ("rack-1-storj", "GET", "/nothing?x=1", None),
    ("rack-1-golem", "GET", "/version/get", None), ("rack-1-golem", "GET", "/me?authToken={yagna-app-key}", None),
    ("rack-1-golem", "GET", "/payment-api/v1/debitNotes?authToken={yagna-app-key}&maxItems=5&afterTimestamp=2026-08-20T00:00:00%2B00:00", None),
    ("rack-1-golem", "GET", "/metrics-api/v1/expose", None),
    ("rack-1-grass", "GET", "/devices?input=%7B%22limit%22%3A2%7D", None),
    ("rack-2-rpc", "POST", "/", {"id": 1, "method": "eth_chainId", "params": []}),
    ("rack-2-rpc", "POST", "/", [{"id": 1, "method": "eth_call", "params": [{"to": "0x" + "1" * 40, "data": "0x"}, "latest"]}]),
    ("rack-2-node", "GET", "/info", None),
    ("rack-1-akash", "POST", "/v1/auth/login", {"username": "provider", "password": "{akash-password}"}),
    ("prices", "GET", "/api/v3/simple/price?ids=storj,golem&vs_currencies=usd", None),
]  # fmt: skip


def filled(made, template):
    """With the secrets in the places that name them."""
    words = json.dumps(template)
    for name, secret in made.secrets.items():
        words = words.replace(f"{{{name}}}", secret)
    return json.loads(words)


async def test_over_http_every_answer_is_byte_for_byte_the_same(made):
    """Two worlds of one seed and origin, at one time, one of them asked over the network."""
    clock = FastClock(made.world.now, auto=False)
    other = demo(1, origin=made.world.origin)
    session = InProcessSession(other.world, clock, {base: site for site, base in addresses(other).items()})
    server = Server(made.world, clock=clock)
    await server.start()
    try:
        async with aiohttp.ClientSession() as client:
            for site, method, template, content in REQUESTS:
                path, body = filled(made, template), filled(made, content)
                headers = {"Authorization": made.secrets["grass-token"]} if site == "rack-1-grass" else {}
                near = await session.request(
                    method, addresses(other)[site] + path, headers=headers, json=body, ok=(200, 301, 404)
                )
                far = await HttpSession(client).request(
                    method, server.address(site) + path, headers=headers, json=body, ok=(200, 404)
                )
                if near.status == 301:
                    continue  # aiohttp has followed it
                assert (near.status, near.body, near.content_type) == (far.status, far.body, far.content_type), path
                assert near.headers["date"] == far.headers["date"], path
    finally:
        await server.close()


# --- the clock ---


async def test_time_stands_still_until_told():
    clock = FastClock(1000.0, auto=False)
    woken = []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.time()))

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (20, 10, 0)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert woken == [(0, 1000.0)]
    clock.advance(1010.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert woken == [(0, 1000.0), (10, 1010.0)]
    clock.advance(500.0)
    assert clock.time() == 1010.0
    clock.advance(1020.0)
    await asyncio.gather(*tasks)
    assert (clock.time(), clock.monotonic()) == (1020.0, 20.0)


async def test_when_everybody_sleeps_time_moves_to_the_first_who_wakes():
    clock = FastClock(0.0)
    order = []

    async def walker(name, pace, steps):
        for _ in range(steps):
            await clock.sleep(pace)
            order.append((clock.time(), name))

    await asyncio.gather(walker("slow", 30.0, 2), walker("quick", 20.0, 3))
    assert order == [(20.0, "quick"), (30.0, "slow"), (40.0, "quick"), (60.0, "slow"), (60.0, "quick")]
    assert clock.time() == 60.0


async def test_a_cancelled_sleeper_holds_nobody_up():
    clock = FastClock(0.0)
    task = asyncio.create_task(clock.sleep(5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clock.sleep(50.0)
    assert clock.time() == 50.0


async def test_the_real_price_feed_reads_the_simulated_sources(made, session, clock):
    settings = Prices.model_validate(price_settings(made, addresses(made)))
    feed = PriceFeed(settings, clock, made.world.market.tokens())
    await feed.refresh(session)
    for token in ("STORJ", "GLM", "DATA", "GRASS", "AKT"):
        price = feed.book.get(token, clock.time())
        assert (price.source, price.usd) == ("coingecko", made.world.market.usd(token, clock.time()))
    made.world.break_site("prices", Fault.ERROR)
    clock.advance(clock.time() + 7200)
    await feed.refresh(session)
    assert feed.book.get("STORJ", clock.time()).source == "static"
