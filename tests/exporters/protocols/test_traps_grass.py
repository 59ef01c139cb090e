"""Grass: unknown is not 0, also where an account has no device or no score (reference: streamr-grass-prices 2.1, 2.2, 2.5)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters import collector
from exporters.collector import Payloads, Workload
from exporters.errors import Malformed, Unauthorized
from exporters.nodes import WorkloadSpec
from exporters.protocols import grass
from exporters.reading import Quality
from exporters.session import Answer

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "grass"
NOW = datetime(2026, 8, 19, 8, tzinfo=UTC).timestamp()
ACCOUNT = Workload("flat", "grass", WorkloadSpec(protocol="grass", endpoint="https://api.getgrass.io"), grass.TRAITS)


@pytest.fixture
def bodies():
    """One look at the account of fixtures/grass, as fetch gives it: its epoch runs, two of three devices are connected."""

    def data(name: str):
        return json.loads((FIXTURES / f"{name}.json").read_text())["result"]["data"]

    return {
        "user": data("retrieveUser"),
        "devices": data("activeDevices"),
        "epochs": data("epochEarnings"),
        "known": data("devices"),
    }


def read(bodies, now: float = NOW):
    """As `look` does; the credential file does not exist: `parse` needs none."""
    return collector.possible(grass.parse(Payloads(bodies, now), ACCOUNT, now))


def epoch_points(reading) -> dict[str, float]:
    return {labels["kind"]: value for labels, value in reading.extra.get("orcha_grass_epoch_points", ())}


def test_with_no_device_connected_the_points_of_a_running_epoch_are_unknown_and_not_zero(bodies):
    bodies["devices"] = []
    reading = read(bodies)
    assert reading.native.gross_per_hour == {"points": 0.0}, "what is earned now is known"
    assert reading.native.balance == {}
    assert epoch_points(reading) == {}


def test_an_account_that_never_had_a_device_has_no_points(bodies):
    bodies["devices"], bodies["known"]["data"] = [], []
    reading = read(bodies)
    assert reading.native.balance == {"accrued": {"points": 0.0}}


def test_settled_points_stand_without_any_device_and_are_no_rate_of_now(bodies):
    bodies["devices"] = []
    bodies["epochs"]["data"][0]["totalPoints"] = 44160
    reading = read(bodies)
    assert reading.native.balance == {"accrued": {"points": 44160.0}}
    assert epoch_points(reading) == {"settled": 44160.0}
    assert (reading.native.gross_per_hour, reading.quality) == ({"points": 0.0}, Quality.ESTIMATED)


@pytest.mark.parametrize("field", ["ipScore", "multiplier"])
def test_devices_of_unknown_score_are_neither_well_nor_unwell(bodies, field):
    for device in bodies["devices"]:
        device[field] = None
    reading = read(bodies)
    assert (reading.state, reading.healthy) == (None, None)
    assert (reading.native.gross_per_hour, reading.quality) == ({}, None)


def test_one_device_that_earns_for_sure_is_enough(bodies):
    bodies["devices"][0]["ipScore"] = None
    assert (read(bodies).state, read(bodies).healthy) == ("earning", True)


def test_points_of_zero_while_an_epoch_runs_are_not_settled_points(bodies):
    assert bodies["user"]["totalPoints"] == 0
    for zero in (0, None):
        bodies["epochs"]["data"][0]["totalPoints"] = zero
        assert "settled" not in epoch_points(read(bodies))
        assert read(bodies).quality is Quality.ESTIMATED


@pytest.mark.parametrize(
    ("hours", "quality"), [(0.5, Quality.ESTIMATED), (1.0, Quality.MEASURED)], ids=["half an hour", "an hour"]
)
def test_a_mean_over_less_than_an_hour_is_no_rate(bodies, hours, quality):
    bodies["epochs"]["data"][0]["totalPoints"] = 100
    began = datetime(2026, 8, 1, tzinfo=UTC).timestamp()
    assert read(bodies, began + hours * 3600).quality is quality


def opened(body):
    return grass._opened(Answer("https://api.getgrass.io/x", 200, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("Unauthorized", Unauthorized),
        ({"message": "Invalid token"}, Unauthorized),
        ("boom", Malformed),
        ({"message": "Not found"}, Malformed),
        ({"message": None}, Malformed),
        ([], Malformed),
    ],
    ids=str,
)
def test_an_error_inside_http_200_is_named_by_who_must_act(error, kind):
    with pytest.raises(kind):
        opened({"error": error})


def test_only_grasss_own_word_for_nothing_yet_is_an_answer():
    assert opened({"error": {"message": "User epoch earning not found."}}) == grass.Absent(None)


def test_of_several_epochs_one_without_a_beginning_is_not_the_newest(bodies):
    bodies["epochs"]["data"].append({"startDate": None, "endDate": None, "totalPoints": 9999})
    assert epoch_points(read(bodies)).keys() == {"estimated"}


def test_a_referral_is_no_rate_and_no_balance(bodies):
    bodies["user"]["referralPoints"] = 1e6
    before = read(bodies).native
    bodies["user"]["referralPoints"] = 0
    assert read(bodies).native == before
