"""What a storagenode earns and where its money stands. Expected figures are worked out from fixtures/storj in comments."""

from __future__ import annotations

import copy

import pytest

from exporters.protocols.storj.earnings import held_by_age
from exporters.protocols.storj.look import Failed
from exporters.protocols.storj.usage import last_month_is_told
from exporters.reading import Quality
from tests.exporters.protocols.storj_node import (
    EU1,
    EU1_GROSS,
    HOURS,
    NEVER,
    THEN,
    US1,
    US1_GROSS,
    at,
    old_look,
    one_look,
    read,
    sample,
)


@pytest.fixture
def bodies():
    """One look at the node of fixtures/storj/current, as fetch gives it; each test may change it."""
    return one_look()


# --- what it earns --------------------------------------------------------------------------------------------------


def test_the_rate_is_the_level_of_what_is_stored_and_moved(bodies):
    reading = read(bodies)
    assert reading.quality is Quality.ESTIMATED
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS, rel=1e-12)


def test_the_net_rate_takes_off_what_each_satellite_holds(bodies):
    # us1 is older than nine months: 0 %. eu1 joined three calendar months ago: 50 %
    assert read(bodies).native.net_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS / 2, rel=1e-12)


def test_the_published_price_is_of_one_byte_for_one_hour(bodies):
    price = read(bodies).native.price_per_unit_hour["storage"]["USD"]
    assert price * 1e12 == pytest.approx(1.49 / 720, rel=1e-12)


def test_money_is_counted_in_one_kind_each(bodies):
    balance = {kind: amounts["USD"] for kind, amounts in read(bodies).native.balance.items()}
    us1, eu1 = bodies["estimates"][US1], bodies["estimates"][EU1]
    # accrued: this month's payout in cents
    assert balance["accrued"] == pytest.approx((us1["currentMonth"]["payout"] + eu1["currentMonth"]["payout"]) / 100)
    # paid: distributed, micro-dollars, of June: 5.36002 + 1.656 x 25 %
    assert balance["paid"] == pytest.approx(5.36002 + 0.414)
    # pending: July of us1 is settled and not sent (5.599658), July of eu1 has no stub yet: its estimate counts
    assert balance["pending"] == pytest.approx(5.599658 + eu1["previousMonth"]["payout"] / 100)
    # held: June's 1.242 of eu1, its July estimate, its August so far
    assert balance["held"] == pytest.approx(1.242 + (eu1["previousMonth"]["held"] + eu1["currentMonth"]["held"]) / 100)


def test_growth_is_what_arrives_less_what_is_deleted(bodies):
    # ingress of the 20th and 21st: 9.12 + 0.904 + 3 + 0.3 + 2 + 0.1 + 0.7 + 0.05 GB; the trash is a week's deletions
    assert read(bodies).growth_per_hour == pytest.approx(16.174e9 / HOURS - 61.2e9 / 168)


# --- new, young and disqualified ------------------------------------------------------------------------------------


def test_a_brand_new_node_has_null_satellites_and_earns_an_unknown_amount(bodies):
    bodies["node"]["satellites"] = None
    bodies |= {"details": {}, "estimates": {}, "stubs": None}
    reading = read(bodies)
    assert (reading.state, reading.healthy) == ("new", None)
    assert reading.native.gross_per_hour == {}
    assert reading.allocated == {"storage": 8e12}


def test_scores_of_zero_before_the_first_audit_are_unknown(bodies):
    bodies["details"][EU1]["audits"] = {"auditScore": 0, "suspensionScore": 0, "onlineScore": 0, "satelliteName": ""}
    bodies["details"][EU1]["nodeJoinedAt"] = NEVER
    reading = read(bodies)
    assert sample(reading, "online_score", satellite="eu1.storj.io") is None
    assert sample(reading, "joined_timestamp_seconds", satellite="eu1.storj.io") is None
    assert (reading.state, reading.healthy) == ("online", True)


def test_a_held_rate_of_zero_from_an_unknown_join_date_means_nothing(bodies):
    bodies["details"][EU1]["nodeJoinedAt"] = NEVER
    bodies["estimates"][EU1]["currentMonth"]["heldRate"] = 0
    reading = read(bodies)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS)
    assert reading.native.net_per_hour == {}


def test_a_disqualified_satellite_pays_nothing_and_keeps_what_it_held(bodies):
    bodies["node"]["satellites"][1]["disqualified"] = "2026-08-20T01:02:03Z"
    reading = read(bodies)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS)
    assert sample(reading, "disqualified", satellite="eu1.storj.io") == 1.0
    assert reading.native.balance["pending"]["USD"] == pytest.approx(5.599658)
    assert (reading.state, reading.healthy) == ("online", True)
    assert any("disqualified on eu1.storj.io" in note for note in reading.notes)


def test_a_node_disqualified_everywhere_is_disqualified(bodies):
    for satellite in bodies["node"]["satellites"]:
        satellite["disqualified"] = "2026-08-20T01:02:03+02:00"
    reading = read(bodies)
    assert (reading.state, reading.healthy) == ("disqualified", False)
    assert reading.native.gross_per_hour == {}


def test_untrusted_satellites_are_simply_absent(bodies):
    del bodies["node"]["satellites"][1]
    reading = read(bodies)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS)
    assert sample(reading, "vetted", satellite="eu1.storj.io") is None


# --- both formats of the disk ---------------------------------------------------------------------------------------


@pytest.fixture
def old_bodies():
    return old_look()


def test_before_1_143_2_available_is_the_allocation_and_used_leaves_the_trash_out(old_bodies):
    reading = read(old_bodies, THEN)
    assert reading.allocated == {"storage": 3.5e12}
    assert reading.used["storage"] == 3381577296000 + 117961155200
    assert sample(reading, "disk_bytes", kind="stored") == 3381577296000
    assert sample(reading, "disk_bytes", kind="free") == 3.5e12 - 3381577296000 - 117961155200
    assert reading.state == "full"


def test_the_older_format_says_byte_hours_and_older_prices_and_nothing_of_vetting(old_bodies):
    reading = read(old_bodies, THEN)
    # 0.4 and 0.6 TB at 150 c; per satellite 25.508096 MB repair and audit at 1000 c over 24 + 11.5 h; nothing is held
    gross = 1.0 * 1.5 / 720 + 2 * 25.508096e-6 * 10 / 35.5
    assert reading.native.gross_per_hour["USD"] == pytest.approx(gross, rel=1e-12)
    assert reading.native.net_per_hour["USD"] == pytest.approx(gross, rel=1e-12)
    assert sample(reading, "vetted", satellite="us1.storj.io") is None


# --- prices ---------------------------------------------------------------------------------------------------------

NO_PRICES = {"EgressBandwidth": 0, "RepairBandwidth": 0, "AuditBandwidth": 0, "DiskSpace": 0}
NOTHING = dict.fromkeys(
    ("egressBandwidthPayout", "egressRepairAuditPayout", "diskSpacePayout", "payout", "held", "heldRate"), 0
)


def test_prices_of_zero_are_unknown_and_never_a_rate_of_zero(bodies):
    for name in (US1, EU1):
        bodies["details"][name]["priceModel"] = NO_PRICES
        bodies["estimates"][name]["currentMonth"] |= NOTHING
    bodies["estimate"]["currentMonth"] |= NOTHING
    reading = read(bodies)
    assert reading.native.gross_per_hour == {}
    assert reading.native.price_per_unit_hour == {}
    assert "accrued" not in reading.native.balance
    assert reading.quality is None
    assert sample(reading, "month_payout_usd") is None
    assert sample(reading, "storage_price_usd_per_byte_hour", satellite="us1.storj.io") is None
    assert any("no prices yet" in note for note in reading.notes)


def test_a_satellite_without_a_price_yet_is_counted_at_the_price_of_the_others(bodies):
    bodies["details"][EU1]["priceModel"] = NO_PRICES
    reading = read(bodies)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS)
    assert "accrued" not in reading.native.balance


# --- months ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("2026-05-31", False),
        ("2026-07-31", False),
        ("2026-03-29", False),
        ("2026-03-31", False),
        ("2028-03-29", True),
        ("2026-12-31", False),
        ("2026-05-30", True),
        ("2026-08-31", True),
        ("2026-01-31", True),
        ("2026-03-28", True),
    ],
)
def test_on_some_days_the_previous_month_is_this_month(day, told):
    assert last_month_is_told(at(f"{day}T12:00:00")) is told


def test_where_the_previous_month_cannot_be_trusted_what_is_pending_is_unknown(bodies):
    del bodies["stubs"][1]  # eu1's of June
    reading = read(bodies, at("2026-07-31T12:00:00"))
    assert "pending" not in reading.native.balance


@pytest.fixture
def first_day(bodies):
    """00:30 on the 1st of September: everything of the month begins anew."""
    for detail in (*bodies["details"].values(), bodies["usage"]):
        detail |= {"storageDaily": None, "bandwidthDaily": None, "storageSummary": 0}
    for estimate in (*bodies["estimates"].values(), bodies["estimate"]):
        estimate["previousMonth"] = estimate["currentMonth"]
        estimate["currentMonth"] = dict.fromkeys(estimate["currentMonth"], 0) | {
            "heldRate": estimate["currentMonth"]["heldRate"]
        }
    bodies["node"]["lastPinged"] = "2026-09-01T00:29:00Z"
    return bodies


def test_on_the_first_of_a_month_last_months_means_stand_in(first_day):
    reading = read(first_day, at("2026-09-01T00:30:00"))
    # August had 744 h: us1 1734.816 TBh, eu1 700 TBh; their egress in those hours, and half an hour without any
    stored = (1734.816 + 700) / 744
    moved = (12.11e9 + 2704700592 + 2.2e9 + 230200000) / 744 * 24 / 24.5 / 1e12
    assert reading.native.gross_per_hour["USD"] == pytest.approx(stored * 1.49 / 720 + moved * 2, rel=1e-9)


def test_a_month_that_begins_is_no_loss(bodies, first_day):
    before = read(copy.deepcopy(first_day), at("2026-09-01T00:30:00")).native.balance
    assert before["accrued"]["USD"] == 0
    # what August earned is pending, in net; what us1 was promised for July still is; eu1 never got its stub of July
    august = first_day["estimate"]["previousMonth"]
    assert before["pending"]["USD"] == pytest.approx(5.599658 + august["payout"] / 100)


def test_a_node_that_joined_this_month_has_no_month_before(bodies):
    for detail in bodies["details"].values():
        detail["nodeJoinedAt"] = "2026-08-02T00:00:00Z"
    bodies["stubs"] = None
    assert read(bodies).native.balance["pending"]["USD"] == 0


def test_in_the_first_hours_of_a_node_the_disk_stands_in_for_tallies(first_day):
    for name in (US1, EU1):
        first_day["details"][name]["nodeJoinedAt"] = "2026-09-01T00:00:00Z"
        first_day["estimates"][name]["previousMonth"] = None
        first_day["estimates"][name]["currentMonth"]["heldRate"] = 75
    first_day["node"]["diskSpace"] |= {"used": 10e9, "trash": 0, "reclaimable": 0}
    reading = read(first_day, at("2026-09-01T02:00:00"))
    assert reading.native.gross_per_hour["USD"] == pytest.approx(0.01 * 1.49 / 720)
    assert reading.native.net_per_hour["USD"] == pytest.approx(0.01 * 1.49 / 720 * 0.25)


def test_a_first_day_without_estimates_is_unknown_not_zero(first_day):
    first_day["estimates"] = {US1: Failed("timeout", "slow"), EU1: Failed("timeout", "slow")}
    first_day["node"]["diskSpace"] |= {"used": None}
    assert read(first_day, at("2026-09-01T00:30:00")).native.gross_per_hour == {}


def test_a_tally_of_zero_after_others_is_a_missing_one(bodies):
    bodies["details"][US1]["storageDaily"].append(
        {"atRestTotal": 0, "atRestTotalBytes": 0, "intervalStart": "2026-08-21T00:00:00Z"}
    )
    assert read(bodies).native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS)


@pytest.mark.parametrize(
    ("joined", "now", "held"),
    [
        ("2026-08-31", "2026-08-31", 0.75),
        ("2026-08-31", "2026-10-01", 0.75),
        ("2026-08-31", "2026-11-01", 0.5),
        ("2026-08-01", "2027-02-28", 0.25),
        ("2026-08-01", "2027-05-01", 0.0),
        ("2020-01-01", "2026-08-01", 0.0),
        ("2027-01-01", "2026-08-01", 0.75),
    ],
)
def test_the_held_share_falls_by_calendar_months(joined, now, held):
    assert held_by_age(at(f"{joined}T00:00:00"), at(f"{now}T00:00:00")) == held


# --- pay stubs ------------------------------------------------------------------------------------------------------


def test_no_stub_at_all_is_nothing_paid_yet(bodies):
    bodies["stubs"] = None
    balance = read(bodies).native.balance
    assert balance["paid"] == {"USD": 0.0}
    assert balance["pending"]["USD"] == pytest.approx(bodies["estimate"]["previousMonth"]["payout"] / 100)


def test_stubs_that_could_not_be_had_make_balances_unknown(bodies):
    bodies["stubs"] = Failed("unreachable", "500")
    assert set(read(bodies).native.balance) == {"accrued"}


def test_a_correction_may_lower_what_was_paid(bodies):
    before = read(bodies).native.balance["paid"]["USD"]
    bodies["stubs"][0]["distributed"] -= 1_000_000
    assert read(bodies).native.balance["paid"]["USD"] == pytest.approx(before - 1)


def test_what_was_held_and_paid_back_is_held_no_more(bodies):
    before = read(bodies).native.balance["held"]["USD"]
    bodies["stubs"][2]["disposed"] = 621_000
    assert read(bodies).native.balance["held"]["USD"] == pytest.approx(before - 0.621)
