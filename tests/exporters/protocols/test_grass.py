"""What orcha makes of a Grass account."""

from __future__ import annotations

import copy
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters import collector
from exporters.collector import Payloads, Workload, look
from exporters.errors import Malformed
from exporters.nodes import Credentials, WorkloadSpec
from exporters.protocols import grass
from exporters.reading import Quality
from exporters.simulator.account import Account, devices_of
from tests.exporters.protocols.site import PAGE, Raw

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "grass"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.made.up"
NOW = datetime(2026, 8, 19, 8, tzinfo=UTC).timestamp()

# a desktop with score 80 and multiplier 2 for 1 h, an extension with score 60 and multiplier 1 for 24 h
RATE = 50 * 0.8 * 2 + 50 * 0.6
POINTS = 80 + 24 * 30


def recorded(name: str):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def pages(**changed) -> dict:
    found = {
        "/retrieveUser": recorded("retrieveUser"),
        "/activeDevices": recorded("activeDevices"),
        "/epochEarnings": recorded("epochEarnings"),
        "/devices": recorded("devices"),
    }
    return found | {f"/{name}": body for name, body in changed.items()}


@pytest.fixture
def bodies():
    """One look at the account of fixtures/grass, as fetch gives it; each test may change it."""
    return {
        "user": recorded("retrieveUser")["result"]["data"],
        "devices": recorded("activeDevices")["result"]["data"],
        "epochs": recorded("epochEarnings")["result"]["data"],
        "known": recorded("devices")["result"]["data"],
    }


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def workload(endpoint: str, token_file: Path | str, **spec) -> Workload:
    credentials = Credentials(accessTokenFile=str(token_file))
    return Workload(
        "flat",
        "grass",
        WorkloadSpec(protocol="grass", endpoint=endpoint, credentials=credentials, **spec),
        grass.TRAITS,
    )


def read(bodies, now: float = NOW):
    return collector.possible(grass.parse(Payloads(bodies, now), workload("https://api.getgrass.io", "/nowhere"), now))


def sample(reading, family: str, **labels: str) -> float | None:
    rows = reading.extra.get(f"orcha_grass_{family}", ())
    return next((value for have, value in rows if labels.items() <= have.items()), None)


# --- asking ---------------------------------------------------------------------------------------------------------


async def test_an_account_is_read(serve, http, token_file):
    site = await serve(pages())
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert (reading.up, reading.failure_message, reading.notes) == (True, None, ())
    assert (reading.state, reading.healthy) == ("earning", True)


async def test_the_token_goes_raw_with_the_headers_of_a_browser(serve, http, token_file):
    site = await serve(pages())
    await look(grass, http, workload(site.url, token_file), NOW)
    assert {headers["authorization"] for headers in site.headers} == {TOKEN}
    assert {headers["origin"] for headers in site.headers} == {"https://app.grass.io"}
    assert all("Mozilla" in headers["user-agent"] for headers in site.headers)


async def test_questions_are_url_encoded_json(serve, http, token_file):
    site = await serve(pages())
    await look(grass, http, workload(site.url, token_file), NOW)
    assert "/epochEarnings?input=%7B%22limit%22:1,%22isLatestOnly%22:true%7D" in [
        path.replace("%3A", ":").replace("%2C", ",") for path in site.asked
    ]


@pytest.mark.parametrize("text", [f'"{TOKEN}"', f"Bearer {TOKEN}", f"  {TOKEN}\r\n", f"'{TOKEN}'"])
async def test_a_token_may_be_pasted_with_quotes_or_with_bearer(serve, http, token_file, text):
    token_file.write_text(text)
    site = await serve(pages())
    await look(grass, http, workload(site.url, token_file), NOW)
    assert {headers["authorization"] for headers in site.headers} == {TOKEN}


@pytest.mark.parametrize("text", ["", "two words", "höflich", "a\nb", '""', "Bearer "])
async def test_a_file_without_a_token_is_said_and_nothing_is_asked(serve, http, token_file, text):
    token_file.write_text(text, encoding="utf-8")
    site = await serve(pages())
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert reading.failure == "unauthorized"
    assert str(token_file) in reading.failure_message
    assert site.asked == []


async def test_a_missing_token_file_is_said(http, tmp_path):
    reading, _ = await look(grass, http, workload("http://127.0.0.1:1", tmp_path / "none"), NOW)
    assert reading.failure == "unauthorized"
    assert "does not exist" in reading.failure_message


async def test_a_workload_without_credentials_is_told_which(http):
    bare = Workload("flat", "grass", WorkloadSpec(protocol="grass", endpoint="http://127.0.0.1:1"), grass.TRAITS)
    reading, _ = await look(grass, http, bare, NOW)
    assert reading.failure == "unauthorized"
    assert "accessTokenFile" in reading.failure_message


UNAUTHORIZED = {"error": {"message": "Unauthorized"}}


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Raw(PAGE, 403, "text/html"), "unreachable"),
        (Raw(PAGE, 503, "text/html"), "unreachable"),
        (Raw(PAGE, 200, "text/html"), "malformed"),
        (Raw(UNAUTHORIZED, 401), "unauthorized"),
        (Raw(UNAUTHORIZED, 403), "unauthorized"),
        (Raw(UNAUTHORIZED, 400), "unauthorized"),
        (Raw(UNAUTHORIZED, 200), "unauthorized"),
        (Raw({"error": {"message": "jwt expired"}}, 400), "unauthorized"),
        (Raw({"error": {"message": "Invalid input"}}, 400), "malformed"),
        (Raw({"error": "boom"}, 500), "unreachable"),
        (Raw({"error": {"message": "Not Found"}}, 404), "malformed"),
        (Raw({"error": {"message": "User not found."}}, 404), "malformed"),
        (Raw({"result": {}}), "malformed"),
        (Raw({"result": {"data": None}}), "malformed"),
        (Raw({"result": {"data": {}}}), "malformed"),
        (Raw({"data": {"totalPoints": 5}}), "malformed"),
        (Raw([]), "malformed"),
        (Raw(b"null"), "malformed"),
        (Raw(b""), "malformed"),
        (Raw({"result": {"data": {"totalPoints": "many"}}}), "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status} {str(value.body)[:40]}",
)
async def test_failures_are_named_by_who_must_act(serve, http, token_file, answer, failure):
    site = await serve(pages(retrieveUser=answer))
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert (reading.up, reading.failure) == (False, failure)
    assert TOKEN not in reading.failure_message


async def test_cloudflare_does_not_look_like_an_expired_token(serve, http, token_file):
    site = await serve(pages(retrieveUser=Raw(PAGE, 403, "text/html")))
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert "proxy" in reading.failure_message
    assert site.asked == ["/retrieveUser"]


@pytest.mark.parametrize("path", ["retrieveUser", "activeDevices", "epochEarnings", "devices"])
async def test_asked_too_often_waits_as_told_wherever_it_is_said(serve, http, token_file, path):
    refusal = Raw({"error": {"message": "Too Many Requests"}}, 429, headers={"Retry-After": "30"})
    site = await serve(pages(**{path: refusal}))
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert (reading.failure, reading.retry_after) == ("rate_limited", 30.0)


async def test_a_hanging_server_is_a_timeout(serve, http, token_file):
    site = await serve(pages(activeDevices=Raw(hangs=True)))
    reading, _ = await look(grass, http, workload(site.url, token_file, timeout="200ms"), NOW)
    assert reading.failure == "timeout"


@pytest.mark.parametrize("path", ["epochEarnings", "devices"])
@pytest.mark.parametrize(
    "answer",
    [Raw({"error": "boom"}, 500), Raw(PAGE, 200, "text/html"), Raw({"result": {"data": []}}), Raw({"result": {}})],
    ids=["500", "page", "list", "no data"],
)
async def test_what_is_only_good_to_know_may_fail(serve, http, token_file, path, answer):
    site = await serve(pages(**{path: answer}))
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert reading.native.gross_per_hour == {"points": RATE}
    assert len(reading.notes) == 1
    assert path in reading.notes[0]


@pytest.mark.parametrize("status", [200, 404])
async def test_an_epoch_without_earnings_yet_is_no_fault(serve, http, token_file, status):
    site = await serve(pages(epochEarnings=Raw({"error": {"message": "User epoch earning not found."}}, status)))
    reading, _ = await look(grass, http, workload(site.url, token_file), NOW)
    assert (reading.up, reading.notes) == (True, ())
    assert sample(reading, "epoch_start_timestamp_seconds") is None


# --- what it means --------------------------------------------------------------------------------------------------


def test_while_an_epoch_runs_the_rate_is_estimated_from_its_devices(bodies):
    reading = read(bodies)
    assert reading.native.gross_per_hour == {"points": pytest.approx(RATE)}
    assert reading.native.balance == {"accrued": {"points": pytest.approx(POINTS)}}
    assert reading.quality is Quality.ESTIMATED
    assert sample(reading, "epoch_points", kind="estimated") == pytest.approx(POINTS)
    assert sample(reading, "epoch_points", kind="settled") is None


def test_the_formula_is_that_of_the_reference():
    device = {"deviceId": "a", "ipScore": 80, "multiplier": 1.25, "aggUptime": 24 * 3600}
    assert grass.Device.model_validate(device).points == pytest.approx(1200)
    assert grass.Device.model_validate(device | {"multiplier": 1, "aggUptime": 3600}).points == pytest.approx(40)


def test_settled_points_are_measured_over_the_hours_of_the_epoch(bodies):
    bodies["epochs"]["data"][0]["totalPoints"] = 44160
    reading = read(bodies)
    assert reading.native.gross_per_hour["points"] == pytest.approx(44160 / (18 * 24 + 8))
    assert reading.native.balance["accrued"]["points"] == 44160
    assert reading.quality is Quality.MEASURED
    assert sample(reading, "epoch_points", kind="settled") == 44160
    assert sample(reading, "epoch_points", kind="estimated") == pytest.approx(POINTS)


def test_an_epoch_that_ended_counts_its_own_hours_only(bodies):
    bodies["epochs"]["data"][0] |= {"totalPoints": 74400}
    reading = read(bodies, datetime(2026, 9, 20, tzinfo=UTC).timestamp())
    assert reading.native.gross_per_hour["points"] == pytest.approx(74400 / (31 * 24))


def test_the_newest_of_several_epochs_counts(bodies):
    bodies["epochs"]["data"].insert(
        0, {"startDate": "2026-07-01T00:00:00.000Z", "endDate": "2026-08-01T00:00:00.000Z", "totalPoints": 9999}
    )
    assert read(bodies).quality is Quality.ESTIMATED


def test_points_of_the_account_without_an_epoch_are_a_balance_and_no_rate(bodies):
    bodies["user"]["totalPoints"] = 31250.4
    bodies["epochs"] = grass.Absent(None)
    reading = read(bodies)
    assert reading.native.balance["accrued"]["points"] == 31250.4
    assert reading.native.gross_per_hour["points"] == pytest.approx(RATE)
    assert reading.quality is Quality.ESTIMATED


def test_no_device_is_really_none_and_earns_nothing_now(bodies):
    bodies["devices"] = []
    bodies["epochs"]["data"][0]["totalPoints"] = 44160
    reading = read(bodies)
    assert (reading.state, reading.healthy) == ("no_device", False)
    assert reading.native.gross_per_hour == {"points": 0.0}
    assert reading.native.balance["accrued"]["points"] == 44160
    assert sample(reading, "devices_connected") == 0


def test_devices_without_a_score_are_connected_and_earn_nothing(bodies):
    for device in bodies["devices"]:
        device["ipScore"] = 0
    reading = read(bodies)
    assert (reading.state, reading.healthy) == ("no_score", False)
    assert reading.native.gross_per_hour == {"points": 0.0}


@pytest.mark.parametrize("field", ["ipScore", "multiplier"])
def test_an_unknown_score_makes_the_rate_unknown_not_smaller(bodies, field):
    bodies["devices"][0][field] = None
    reading = read(bodies)
    assert reading.native.gross_per_hour == {}
    assert reading.quality is None
    assert "accrued" not in reading.native.balance


@pytest.mark.parametrize("field", ["deviceId", "ipScore", "multiplier", "aggUptime"])
def test_a_device_that_lost_a_field_is_a_change_of_shape(bodies, field):
    del bodies["devices"][0][field]
    with pytest.raises(Malformed, match=field):
        read(bodies)


def test_points_have_no_price_of_their_own(bodies):
    reading = read(bodies)
    assert set(reading.native.gross_per_hour) == {"points"}
    assert reading.rate_usd_per_hour is None
    assert reading.allocated == reading.used == {}


def test_scores_are_ratios_and_devices_are_numbered_not_named(bodies):
    reading = read(bodies)
    assert sample(reading, "score_ratio", statistic="min") == 0.6
    assert sample(reading, "score_ratio", statistic="max") == 0.8
    assert sample(reading, "score_ratio", statistic="mean") == pytest.approx(0.7)
    assert sample(reading, "device_score_ratio", device="1") == 0.6
    assert sample(reading, "device_score_ratio", device="2") == 0.8
    assert sample(reading, "devices_known") == 3


@pytest.mark.parametrize("secret", ["9f0c2b4e", "203.0.113", "op1", "example.org", "2kQ7y3"])
def test_nothing_personal_is_exported(bodies, secret):
    assert secret not in repr(read(bodies))


def test_many_devices_do_not_become_many_series(bodies):
    bodies["devices"] = [bodies["devices"][0] | {"deviceId": f"{k:04d}"} for k in range(500)]
    reading = read(bodies)
    assert len(reading.extra["orcha_grass_device_score_ratio"]) == grass.MAX_DEVICES
    assert sample(reading, "devices_connected") == 500


def test_a_first_page_of_devices_is_not_all_of_them(bodies):
    bodies["known"]["lastEvaluationKey"] = {"pk": "user", "sk": "50"}
    assert sample(read(bodies), "devices_known") is None


def test_every_sample_belongs_to_a_declared_family_with_its_labels(bodies):
    bodies["epochs"]["data"][0]["totalPoints"] = 1
    found = read(bodies).extra
    assert set(found) == set(grass.FAMILIES)
    for family, rows in found.items():
        assert all(tuple(labels) == grass.FAMILIES[family].labels for labels, _ in rows)


@pytest.mark.parametrize("lie", [-1, math.nan, math.inf, 1e308, 10**400], ids=lambda lie: str(lie)[:8])
@pytest.mark.parametrize(
    "where", ["user.totalPoints", "devices.0.ipScore", "devices.0.aggUptime", "epochs.data.0.totalPoints"]
)
def test_a_lie_leaves_the_reading_sound(bodies, where, lie):
    *path, last = where.split(".")
    spot = bodies
    for part in path:
        spot = spot[int(part)] if part.isdecimal() else spot[part]
    spot[last] = lie
    reading = read(bodies)
    figures = [
        *reading.native.gross_per_hour.values(),
        *(v for kind in reading.native.balance.values() for v in kind.values()),
    ]
    figures += [value for rows in reading.extra.values() for _, value in rows]
    assert all(0 <= value <= collector.LIMIT for value in figures)


@pytest.mark.parametrize("date", [None, "never", "1970-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z", 5])
def test_an_epoch_with_an_odd_beginning_gives_no_absurd_rate(bodies, date):
    bodies["epochs"]["data"][0] |= {"totalPoints": 44160, "startDate": date}
    rate = read(bodies).native.gross_per_hour["points"]
    assert 0 <= rate <= 110 + 1e-9


def test_parse_gives_the_same_reading_twice_and_changes_nothing(bodies):
    before = copy.deepcopy(bodies)
    assert read(bodies) == read(bodies)
    assert bodies == before


def test_the_estimate_agrees_with_a_simulated_account(bodies):
    account = Account(devices_of(4, seed=3), seed=3, origin=NOW - 86400)
    account.advance(NOW)
    connected = [device for k, device in enumerate(account.devices) if account.connected(k, NOW)]
    bodies["devices"] = [
        {"deviceId": d.id, "ipScore": d.score, "multiplier": d.multiplier, "aggUptime": 0} for d in connected
    ]
    assert read(bodies).native.gross_per_hour["points"] == pytest.approx(account.points_per_hour())
