"""Storagenodes that answer in part, or of which a naive reader counts money twice (reference: storj-golem 1.1, 1.5, 1.6)."""

from __future__ import annotations

import pytest

from exporters.protocols.storj.look import Failed
from tests.exporters.protocols.storj_node import (
    EU1,
    EU1_GROSS,
    HOURS,
    NEVER,
    US1,
    US1_GROSS,
    at,
    one_look,
    read,
    sample,
)

GONE = Failed("unreachable", "gone")


@pytest.fixture
def bodies():
    """One look at the node of fixtures/storj/current, as fetch gives it; each test may change it."""
    return one_look()


def usd(reading) -> dict[str, float]:
    return {kind: amounts["USD"] for kind, amounts in reading.native.balance.items()}


# --- money in parts


def test_without_the_sum_over_satellites_this_month_is_the_sum_of_each(bodies):
    whole = usd(read(bodies))
    bodies["estimate"] = GONE
    parts = usd(read(bodies))
    assert parts == pytest.approx(whole)


def test_a_sum_with_a_satellite_missing_is_unknown_and_not_smaller(bodies):
    bodies["estimate"] = bodies["estimates"][EU1] = GONE
    assert set(usd(read(bodies))) == {"paid"}


@pytest.mark.parametrize("part", ["payout", "held"])
def test_an_amount_that_is_null_leaves_accrued_and_held_unknown(bodies, part):
    bodies["estimate"]["currentMonth"][part] = None
    assert set(usd(read(bodies))) == {"pending", "paid"}


@pytest.mark.parametrize("part", ["payout", "held"])
def test_a_null_in_last_month_leaves_what_hangs_on_it_unknown_and_this_month_known(bodies, part):
    bodies["estimates"][EU1]["previousMonth"][part] = None  # of July there is no stub of eu1 yet
    assert set(usd(read(bodies))) == {"accrued", "paid"}


def test_where_the_previous_month_is_this_month_neither_pending_nor_held_is_guessed(bodies):
    del bodies["stubs"][1]  # of June: on the 31st of July the node calls July "previous" once more
    assert set(usd(read(bodies, at("2026-07-31T12:00:00")))) == {"accrued", "paid"}


def test_a_stub_takes_the_place_of_last_months_estimate(bodies):
    before = usd(read(bodies))
    july = bodies["stubs"][0] | {"satelliteId": EU1, "period": "2026-07", "held": 0, "disposed": 0}
    bodies["stubs"].append(july | {"paid": 2_000_000, "distributed": 2_000_000})
    month = bodies["estimates"][EU1]["previousMonth"]
    after = usd(read(bodies))
    assert after["pending"] == pytest.approx(before["pending"] - month["payout"] / 100)
    assert after["paid"] == pytest.approx(before["paid"] + 2)
    assert after["held"] == pytest.approx(before["held"] - month["held"] / 100)
    assert after["accrued"] == before["accrued"]


@pytest.mark.parametrize("field", ["held", "disposed", "paid", "distributed"])
def test_a_stub_without_an_amount_makes_that_kind_unknown(bodies, field):
    bodies["stubs"][0][field] = None
    missing = {"held": "held", "disposed": "held", "paid": "pending", "distributed": "paid"}[field]
    assert missing not in usd(read(bodies))
    assert "accrued" in usd(read(bodies))


def test_a_month_in_which_nothing_is_stored_yet_is_zero_even_without_prices(bodies):
    nothing = {"EgressBandwidth": 0, "RepairBandwidth": 0, "AuditBandwidth": 0, "DiskSpace": 0}
    for detail in bodies["details"].values():
        detail |= {"priceModel": nothing, "storageSummary": 0, "storageDaily": None, "bandwidthDaily": None}
    bodies["estimate"]["currentMonth"] |= {"payout": 0, "held": 0}
    assert usd(read(bodies))["accrued"] == 0


@pytest.mark.parametrize(
    "used", [{"storageSummary": 5e12, "bandwidthDaily": None}, {"storageSummary": 0}], ids=["stored", "moved"]
)
def test_while_prices_are_unknown_and_anything_was_used_this_month_is_unknown(bodies, used):
    nothing = {"EgressBandwidth": 0, "RepairBandwidth": 0, "AuditBandwidth": 0, "DiskSpace": 0}
    bodies["details"][US1] |= {"priceModel": nothing, "storageDaily": None, **used}
    assert "accrued" not in usd(read(bodies))
    assert sample(read(bodies), "month_payout_usd") is None


def test_each_satellite_pays_its_own_prices(bodies):
    # eu1: 1.5 TB, egress of two days 1.3 GB, repair and audit 0.14012 GB
    bodies["details"][EU1]["priceModel"] = {
        "DiskSpace": 300,
        "EgressBandwidth": 500,
        "RepairBandwidth": 900,
        "AuditBandwidth": 700,
    }
    eu1 = 1.5 * 3 / 720 + (0.0013 * 5 + 0.00014012 * 7) / HOURS
    assert read(bodies).native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + eu1, rel=1e-12)


@pytest.mark.parametrize(
    ("told", "kept"), [(50, 0.5), (100, 0.0), (101, None), (200, None), (0, None), (None, None)], ids=str
)
def test_a_held_rate_that_the_node_tells_needs_no_join_date_and_one_that_cannot_be_is_unknown(bodies, told, kept):
    bodies["details"][EU1]["nodeJoinedAt"] = NEVER
    bodies["estimates"][EU1]["currentMonth"]["heldRate"] = told
    expected = {} if kept is None else {"USD": pytest.approx(US1_GROSS + EU1_GROSS * kept, rel=1e-12)}
    assert read(bodies).native.net_per_hour == expected


# --- health of which nothing is known


def test_with_no_satellites_page_health_is_unknown_and_what_is_bad_for_sure_stays_bad(bodies):
    bodies["details"] = {US1: GONE, EU1: GONE}
    assert (read(bodies).state, read(bodies).healthy) == ("online", None)
    bodies["node"]["upToDate"] = False
    assert (read(bodies).state, read(bodies).healthy) == ("outdated", False)


def test_one_page_that_says_well_is_enough_while_another_cannot_be_had(bodies):
    bodies["details"][EU1] = GONE
    assert read(bodies).healthy is True


# --- rates right after a restart, and at the edges of a month


def test_after_a_restart_the_rate_is_a_level_and_needs_no_look_before(bodies):
    bodies["node"]["startedAt"] = "2026-08-21T09:13:30Z"
    assert read(bodies).native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS, rel=1e-12)


def test_days_are_those_of_utc_whatever_the_hosts_own_offset(bodies):
    for detail in bodies["details"].values():
        for day in (*detail["storageDaily"], *detail["bandwidthDaily"]):
            day["intervalStart"] = day["intervalStart"].replace("T00:00:00Z", "T05:30:00.000000000+05:30")
    assert "+05:30" in bodies["details"][US1]["bandwidthDaily"][0]["intervalStart"]
    assert read(bodies).native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS, rel=1e-12)


def test_one_day_of_a_month_has_no_yesterday_and_a_first_hour_without_last_month_says_nothing(bodies):
    for detail in (*bodies["details"].values(), bodies["usage"]):
        detail |= {"storageDaily": None, "bandwidthDaily": None, "storageSummary": 0}
    for estimate in bodies["estimates"].values():
        estimate["previousMonth"] = None
    bodies["node"]["lastPinged"] = "2026-09-01T00:29:00Z"
    assert read(bodies, at("2026-09-01T00:30:00")).native.gross_per_hour == {}


@pytest.mark.parametrize("kind", ["usage", "repair", "audit"])
def test_a_rate_with_a_day_of_unknown_traffic_is_unknown_not_smaller(bodies, kind):
    bodies["details"][US1]["bandwidthDaily"][-1]["egress"][kind] = None
    assert read(bodies).native.gross_per_hour == {}


# --- a disk that says little


@pytest.mark.parametrize("left", [{}, {"trash": None}, {"reclaimable": None}], ids=str)
def test_a_disk_without_trash_or_dead_space_is_read_for_what_it_says(bodies, left):
    bodies["node"]["diskSpace"] = {"used": 5e12, "available": 3e12, "allocated": 8e12, **left}
    reading = read(bodies)
    assert (reading.used, reading.allocated, reading.state) == ({"storage": 5e12}, {"storage": 8e12}, "online")
    assert sample(reading, "disk_bytes", kind="trash") is None
    assert sample(reading, "disk_bytes", kind="stored") == 5e12


def test_a_disk_that_says_nothing_is_unknown_and_not_empty(bodies):
    bodies["node"]["diskSpace"] = {}
    reading = read(bodies)
    assert (reading.used, reading.allocated, reading.irreversible, reading.growth_per_hour) == ({}, {}, {}, None)
    assert sample(reading, "disk_bytes", kind="free") is None


# --- labels and secrets


@pytest.mark.parametrize("url", [None, "", "us1.storj.io:7777\nx", "https://u:p@evil/" + "x" * 300])
def test_a_satellite_with_an_odd_address_is_called_by_its_id(bodies, url):
    bodies["node"]["satellites"][0]["url"] = url
    reading = read(bodies)
    assert sample(reading, "satellite_read", satellite=US1[:60]) == 1.0
    addresses = [labels["address"] for labels, _ in reading.extra["orcha_storj_satellite_info"]]
    assert addresses == ["", "eu1.storj.io:7777"], "no address is better than any text as a label"


def test_two_satellites_of_one_name_are_told_apart(bodies):
    bodies["node"]["satellites"][1]["url"] = bodies["node"]["satellites"][0]["url"]
    reading = read(bodies)
    assert {labels["satellite"] for labels, _ in reading.extra["orcha_storj_audit_score"]} == {US1, EU1}


def test_year_one_everywhere_is_never_a_date(bodies):
    bodies["node"] |= {"lastPinged": NEVER, "startedAt": NEVER, "lastQuicPingedAt": NEVER}
    for detail in bodies["details"].values():
        detail["nodeJoinedAt"] = NEVER
    reading = read(bodies)
    assert not [name for name in reading.extra if name.endswith("_timestamp_seconds")]
    assert reading.native.net_per_hour == {}, "us1 says that it holds 0 %, which the node computed from year 1"
