"""Grass, the compute market and the price sources: smaller APIs, each with its traps."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from exporters.simulator.account import Account, Device, devices_of, epoch_at
from exporters.simulator.cluster import Cluster
from exporters.simulator.compute import Compute
from exporters.simulator.demand import Demand
from exporters.simulator.grass import Grass
from exporters.simulator.prices import Market, Sources

NOW = datetime(2026, 8, 20, 14, 30, tzinfo=UTC).timestamp()
TOKEN = "raw-token"


@pytest.fixture
def account():
    device = Device("9f0c", "desktop", "203.0.113.24", 80.0, 1.25, availability=1.0)
    found = Account((device,), 3, NOW - 86400.0)
    found.advance(NOW)
    return found


@pytest.fixture
def grass(account, asker):
    return asker(Grass(account, TOKEN), NOW, {"authorization": TOKEN})


def test_grass_takes_the_raw_token_only(grass):
    assert grass("/retrieveUser").status == 200
    response = grass("/retrieveUser", headers={"authorization": f"Bearer {TOKEN}"})
    assert (response.status, json.loads(response.body)) == (401, {"error": {"message": "Unauthorized"}})


def test_grass_wraps_everything_in_result_data_and_lists_twice(grass):
    assert isinstance(grass.json("/activeDevices")["result"]["data"], list)
    assert set(grass.json("/devices")["result"]["data"]) == {"data", "lastEvaluationKey"}


def test_a_running_epoch_has_no_total_and_the_estimate_comes_from_devices(grass):
    assert grass.json("/retrieveUser")["result"]["data"]["totalPoints"] == 0
    (device,) = grass.json("/activeDevices")["result"]["data"]
    assert set(device) == {
        "deviceId",
        "userId",
        "type",
        "ipAddress",
        "ipScore",
        "multiplier",
        "aggUptime",
        "lastConnectedAt",
    }
    # 24 h at score 80 and multiplier 1.25 are 1200 points (reference 2.2); here 19 days and 14.5 h of August
    hours = 19 * 24 + 14.5
    assert device["aggUptime"] == pytest.approx(hours * 3600, abs=1)
    assert device["aggUptime"] / 3600 * 50 * 0.8 * 1.25 == pytest.approx(1200 * hours / 24, rel=1e-6)


def test_an_epoch_is_settled_days_after_its_end(account, asker):
    site = Grass(account, TOKEN)

    def latest(now, limit):
        ask = asker(site, now, {"authorization": TOKEN})
        return ask.json("/epochEarnings", input=json.dumps({"limit": limit}))["result"]["data"]["data"]

    early = datetime(2026, 9, 2, tzinfo=UTC).timestamp()
    assert [row["totalPoints"] for row in latest(early, 2)] == [0, 0]
    settled = latest(early + 5 * 86400, 2)[1]["totalPoints"]
    assert settled == pytest.approx(account.points(epoch_at(NOW), early), rel=0.2)
    assert settled != pytest.approx(account.points(epoch_at(NOW), early), rel=1e-6)


def test_grass_pages_its_devices(asker):
    site = Grass(Account(devices_of(5, 1), 1, NOW), TOKEN)
    ask = asker(site, NOW, {"authorization": TOKEN})
    first = ask.json("/devices", input=json.dumps({"limit": 3}))["result"]["data"]
    second = ask.json("/devices", input=json.dumps({"limit": 3, "lastEvaluationKey": first["lastEvaluationKey"]}))[
        "result"
    ]["data"]
    assert (len(first["data"]), len(second["data"]), second["lastEvaluationKey"]) == (3, 2, None)


def test_asking_grass_too_often_is_429_with_the_time_to_wait(account, asker):
    ask = asker(Grass(account, TOKEN, most_per_minute=3), NOW, {"authorization": TOKEN})
    assert [ask("/retrieveUser").status for _ in range(4)] == [200, 200, 200, 429]
    assert ask("/retrieveUser").headers["Retry-After"] == "30"
    ask.now = NOW + 61
    assert ask("/retrieveUser").status == 200


def test_cloudflare_blocks_what_is_no_browser_with_a_page(account, asker):
    ask = asker(Grass(account, TOKEN, wants_browser=True), NOW, {"authorization": TOKEN})
    response = ask("/retrieveUser")
    assert (response.status, response.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert ask("/retrieveUser", headers={"authorization": TOKEN, "user-agent": "Mozilla/5.0"}).status == 200


@pytest.mark.parametrize("words", ["{", "[1]", "nonsense"])
def test_a_bad_input_parameter_is_400(grass, words):
    assert grass("/devices", input=words).status == 400


def test_devices_are_connected_for_their_share_of_the_time():
    account = Account((Device("d", "desktop", "ip", 100.0, 1.0, availability=0.9),), 3, NOW)
    assert account.uptime(0, NOW, NOW + 200 * 86400) / (200 * 86400) == pytest.approx(0.9, abs=0.01)
    whole = account.uptime(0, NOW, NOW + 50_000)
    assert account.uptime(0, NOW, NOW + 12_345) + account.uptime(0, NOW + 12_345, NOW + 50_000) == pytest.approx(whole)


# --- compute market ---


def steady(cores):
    return Demand(cores, 1, rhythm=None, bursts=None, regimes=None, noise=None)


@pytest.fixture
def cluster():
    found = Cluster(steady(6.0), 4.0, NOW - 7200.0, token="AKT", price=0.0044)
    found.advance(NOW)
    return found


@pytest.fixture
def compute(cluster, asker):
    return asker(Compute(cluster, "secret"), NOW)


def login(compute):
    found = compute.json("/v1/auth/login", method="POST", body={"username": "provider", "password": "secret"})
    return {"authorization": f"Bearer {found['token']}"}


def test_the_compute_market_wants_a_login_first(compute):
    assert compute("/v1/status").status == 401
    assert compute("/v1/auth/login", method="POST", body={"username": "provider", "password": "x"}).status == 401
    assert compute("/v1/status", headers=login(compute)).status == 200


def test_its_token_expires(compute):
    headers = login(compute)
    compute.now = NOW + 2 * 3600
    assert compute("/v1/status", headers=headers).status == 401


def test_it_counts_in_millicores_and_millionths(compute, cluster):
    found = json.loads(compute("/v1/status", headers=login(compute)).body)
    assert found["cluster"]["inventory"] == {
        "allocatable": {"cpu": 4000},
        "active": {"cpu": 4000},
        "available": {"cpu": 0},
    }
    assert found["earnings"]["denom"] == "uakt"
    assert int(found["earnings"]["lifetime"]) == int(cluster.lifetime * 1e6)
    assert cluster.truth().earned["AKT"] == pytest.approx(2 * 4 * 0.0044)


def test_the_same_figures_stand_in_its_metrics(compute):
    assert 'provider_inventory_active_total{quantity="cpu"} 4000' in compute("/metrics").body.decode()


def test_a_smaller_inventory_lets_running_leases_end_first(compute, cluster):
    response = compute("/v1/inventory", method="PUT", body={"cpu_millicores": 1000}, headers=login(compute))
    assert json.loads(response.body)["cluster"]["inventory"] == {
        "allocatable": {"cpu": 1000},
        "active": {"cpu": 4000},
        "available": {"cpu": 0},
    }
    cluster.advance(NOW + 900)
    assert 1.0 < cluster.used() < 3.0
    cluster.advance(NOW + 7200)
    assert cluster.used() == 1.0


@pytest.mark.parametrize("wanted", [-1, "4", None, True, 1e9])
def test_an_impossible_inventory_is_refused(compute, cluster, wanted):
    response = compute("/v1/inventory", method="PUT", body={"cpu_millicores": wanted}, headers=login(compute))
    assert response.status == 400
    assert cluster.cap == 4.0


# --- prices ---


@pytest.fixture
def market():
    return Market(1)


@pytest.fixture
def prices(market, asker):
    return asker(Sources(market), NOW)


def test_all_sources_tell_the_same_price(prices, market):
    usd = market.usd("STORJ", NOW)
    gecko = prices.json("/api/v3/simple/price", ids="storj,golem,nothing", vs_currencies="usd")
    assert set(gecko) == {"storj", "golem"}
    assert gecko["storj"]["usd"] == usd
    assert NOW - gecko["storj"]["last_updated_at"] <= 60
    llama = prices.json("/prices/current/coingecko:storj,coingecko:nothing")["coins"]
    assert list(llama) == ["coingecko:storj"]
    assert llama["coingecko:storj"]["price"] == usd
    assert float(prices.json("/0/public/Ticker", pair="STORJUSD")["result"]["STORJUSD"]["c"][0]) == pytest.approx(
        usd, abs=1e-5
    )
    assert float(prices.json("/api/v3/ticker/price", symbols='["STORJUSDT"]')[0]["price"]) == pytest.approx(
        usd, abs=1e-8
    )


def test_an_unknown_pair_is_an_error_with_200_and_one_bad_symbol_fails_all(prices):
    assert prices.json("/0/public/Ticker", pair="GLMUSD") == {"error": ["EQuery:Unknown asset pair"]}
    response = prices("/api/v3/ticker/price", symbols='["STORJUSDT","NOPE"]')
    assert (response.status, json.loads(response.body)["code"]) == (400, -1121)


def test_prices_stay_near_those_of_the_reference(market):
    for token in market.tokens():
        found = [market.usd(token, NOW + k * 86400.0) for k in range(60)]
        assert min(found) > 0.85 * market.usual(token)
        assert max(found) < 1.15 * market.usual(token)


def test_points_have_no_price(market):
    with pytest.raises(KeyError):
        market.usd("points", NOW)
