"""mapped: what a mapping could count twice, lose, or take for a sign of life (reference: streamr-grass-prices 4.1, 4.3)."""

from __future__ import annotations

import copy

import aiohttp
import pytest

from exporters import collector
from exporters.collector import Payloads, Workload, look
from exporters.nodes import WorkloadSpec
from exporters.prices import PriceBook, in_usd
from exporters.protocols import mapped
from exporters.reading import Quality, Reading
from exporters.session import HttpSession
from exporters.track import begin, follow

NOW = 1_800_000_000.0


def workload(figures: dict, **more: object) -> Workload:
    mapping = {
        "traits": {"curve": "demand", "resource": "cpu"},
        "requests": {"s": {"url": "{endpoint}/s", **more}},
        "figures": figures,
    }
    spec = WorkloadSpec.model_validate({"protocol": "mapped", "endpoint": "http://127.0.0.1:1", "mapping": mapping})
    return Workload("rack-1", "w", spec, mapped.traits_of(spec))


def at(path: str, **more: object) -> dict:
    return {"request": "s", "path": path, **more}


def read(one: Workload, body: object, now: float = NOW, previous: Payloads | None = None) -> Reading:
    return collector.possible(mapped.parse(Payloads({"s": body}, now, previous), one, now))


def counted(one: Workload, body: object, when: float) -> Payloads:
    """What the look before leaves for the next one."""
    bodies = {"s": body}
    return Payloads({mapped.COUNTERS: mapped._counted(mapped.plan_of(one.spec).mapping, bodies)}, when)


# --- sign of life


@pytest.mark.parametrize(
    ("said", "healthy"),
    [
        (NOW - 60, True),
        (NOW + 60, True),
        (NOW - 600, False),
        (NOW + 600, False),
        ("2100-01-01T00:00:00Z", False),
        ("1970-01-01T00:00:01Z", False),
        ((NOW - 60) * 1000, True),
        ("2027-01-15T09:00:00.123456789+01:00", True),
        (0, None),
        ("0001-01-01T00:00:00Z", None),
        (None, None),
    ],
)
def test_a_heartbeat_counts_only_near_to_now_and_never_is_unknown(said, healthy):
    one = workload({"healthy": at("$.t", within="5m"), "version": at("$.v")})
    assert read(one, {"t": said, "v": "1"}).healthy is healthy


@pytest.mark.parametrize("said", [1e305, "9999-12-31T00:00:00Z", 8e9])
def test_a_payout_in_a_year_that_cannot_be_is_unknown_and_told(said):
    reading = read(workload({"payout_expected_at": at("$.t")}), {"t": said})
    assert reading.payout_expected_at is None
    assert "payout's time" in reading.notes[0]


# --- used and published price, until two looks tell

LIFETIME = {"used": at("$.cores"), "lifetime_native": at("$.earned", token="AKT")}
PRICE = at("$.price", token="AKT")
BODY = {"cores": 2.0, "earned": 7.0, "price": 0.25, "memory": 8.0, "other": None}


def test_a_published_price_stands_in_for_the_first_difference():
    reading = read(workload({**LIFETIME, "price": PRICE}), BODY)
    assert (reading.native.gross_per_hour, reading.quality) == ({"AKT": 0.5}, Quality.ESTIMATED)


@pytest.mark.parametrize(
    "beside",
    [
        {"rate_usd": at("$.other")},
        {"rate_native": at("$.other", token="X")},
        {"price": [PRICE, at("$.price", token="AKT", resource="memory")]},
        {"lifetime_native": [LIFETIME["lifetime_native"], at("$.memory", token="X")]},
    ],
    ids=["dollars that are unknown", "tokens that are unknown", "another resource", "a token without a price"],
)
def test_a_price_that_is_not_all_that_is_earned_does_not_pass_for_the_whole(beside):
    assert read(workload({**LIFETIME, "price": PRICE, **beside}), BODY).native.gross_per_hour == {}


def test_the_second_look_is_measured_and_the_price_no_longer_used():
    one = workload({**LIFETIME, "price": PRICE})
    reading = read(one, BODY | {"earned": 8.0}, NOW + 1800, counted(one, BODY, NOW))
    assert (reading.native.gross_per_hour, reading.quality) == ({"AKT": 2.0}, Quality.MEASURED)


def test_a_payout_that_lowers_a_balance_is_no_loss_where_the_lifetime_is_mapped_beside_it():
    one = workload({**LIFETIME, "balances": {"accrued": at("$.due", token="AKT")}})
    paid = read(one, {"cores": 1, "earned": 8.0, "due": 0.0}, NOW + 3600, counted(one, {"earned": 7.0}, NOW))
    assert (paid.native.gross_per_hour, paid.native.balance) == ({"AKT": 1.0}, {"accrued": {"AKT": 0.0}})


# --- payout


def test_a_threshold_that_the_owner_knows_gives_an_honest_date():
    one = workload({"rate_usd": at("$.rate"), "balances": {"accrued": at("$.due")}, "payout_threshold_usd": 20})
    track = begin(one)
    for minute in range(0, 30, 5):
        seen = read(one, {"rate": 2.0, "due": 10.0}, NOW + minute * 60)
        seen = _in_dollars(seen)
        track, reading = follow(track, seen)
    assert reading.payout_threshold_usd == 20
    assert (reading.payout_verdict, reading.payout_expected_at) == ("projected", pytest.approx(reading.at + 5 * 3600))


def _in_dollars(reading: Reading) -> Reading:
    return in_usd(reading, PriceBook(), workload({"version": at("$.v")}), reading.at)


@pytest.mark.parametrize("threshold", [0, -1, "a lot", float("nan")])
def test_a_threshold_that_cannot_be_is_refused_where_it_stands(threshold):
    mapping = {
        "requests": {"s": {"url": "{endpoint}/s"}},
        "figures": {"version": at("$.v"), "payout_threshold_usd": threshold},
    }
    spec = WorkloadSpec.model_validate({"protocol": "mapped", "endpoint": "http://x", "mapping": mapping})
    assert [".".join(path) for path, _ in mapped.check(spec)] == ["mapping.figures.payout_threshold_usd"]


# --- secrets


async def test_a_secret_of_several_lines_is_the_owners_to_mend_and_in_no_message(tmp_path, free_port):
    (tmp_path / "key").write_text("first\nsecond-line")
    one = workload({"version": at("$.v")}, headers={"X-KeyFile": str(tmp_path / "key")})
    async with aiohttp.ClientSession() as client:
        reading, _ = await look(mapped, HttpSession(client), one, NOW)
    assert reading.failure == "unauthorized"
    assert "X-Key" in reading.failure_message
    assert "second" not in reading.failure_message


# --- parse


def test_parse_gives_the_same_reading_twice_and_changes_nothing():
    one = workload({**LIFETIME, "price": PRICE, "healthy": at("$.cores", atLeast=1)})
    payloads = Payloads({"s": copy.deepcopy(BODY)}, NOW, counted(one, {"earned": 1.0}, NOW - 60))
    before = copy.deepcopy(payloads)
    assert mapped.parse(payloads, one, NOW) == mapped.parse(payloads, one, NOW)
    assert payloads == before
