"""The console API of a simulated storagenode: its traps, and what an allocation does to it (reference: storj-golem 1)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from exporters.simulator.demand import DAY, Demand
from exporters.simulator.disk import Disk, RefusedToStart, configured_size, read_size
from exporters.simulator.storj import Storagenode
from exporters.simulator.storj_payouts import SATELLITES

TB = 1e12


def at(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


def steady(per_hour, seed=1):
    return Demand(per_hour, seed, rhythm=None, bursts=None, regimes=None, noise=None)


def disk(now, *, stored=4 * TB, allocated=6 * TB, ingress=1e9, **more):
    found = Disk(steady(ingress), stored, allocated, now - 2 * DAY, **more)
    found.advance(now)
    return found


NOW = at(2026, 8, 20, 14, 30)


@pytest.fixture
def node():
    return Storagenode(disk(NOW))


@pytest.fixture
def ask(node, asker):
    return asker(node, NOW)


def test_an_unknown_path_answers_the_web_page_with_200(ask):
    for path in ("/", "/api/sno/satellites/" + SATELLITES[0].id, "/api/nothing"):
        response = ask(path)
        assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert response.body.startswith(b"<!DOCTYPE html>")


def test_the_path_without_its_slash_is_moved(ask):
    response = ask("/api/sno")
    assert (response.status, response.headers["Location"]) == (301, "/api/sno/")


def test_the_summary_has_every_field_of_the_current_format(ask):
    found = ask.json("/api/sno/")
    assert set(found) == {
        "nodeID", "wallet", "walletFeatures", "satellites", "diskSpace", "bandwidth", "lastPinged", "version", "allowedVersion",
        "upToDate", "startedAt", "configuredPort", "quicStatus", "lastQuicPingedAt",
    }  # fmt: skip
    assert set(found["diskSpace"]) == {"used", "available", "overused", "allocated", "trash", "reclaimable"}
    assert set(found["satellites"][0]) == {"id", "url", "disqualified", "suspended", "vettedAt"}
    assert found["walletFeatures"] is None
    assert found["diskSpace"]["used"] + found["diskSpace"]["available"] == pytest.approx(
        found["diskSpace"]["allocated"], abs=2
    )
    assert len(found["nodeID"]) == 50


def test_before_1_143_available_means_allocated_and_there_is_no_allocated(asker):
    found = asker(Storagenode(disk(NOW), version="1.142.7"), NOW).json("/api/sno/")["diskSpace"]
    assert found["available"] == 6 * TB
    assert "allocated" not in found


def test_before_1_131_satellites_tell_their_storage_and_no_vetting(asker):
    found = asker(Storagenode(disk(NOW), version="1.104.5"), NOW).json("/api/sno/")["satellites"][0]
    assert "currentStorageUsed" in found
    assert "vettedAt" not in found


def test_a_brand_new_node_says_null_and_year_one(asker):
    ask = asker(Storagenode(disk(NOW), satellites=()), NOW)
    assert ask.json("/api/sno/")["satellites"] is None
    found = ask.json("/api/sno/satellites")
    assert found["earliestJoinedAt"] == "0001-01-01T00:00:00Z"
    assert found["audits"] is None


def test_one_satellite_has_capitalised_prices_and_its_share(ask):
    one = ask.json(f"/api/sno/satellite/{SATELLITES[0].id}")
    everything = ask.json("/api/sno/satellites")
    assert one["priceModel"] == {
        "EgressBandwidth": 200,
        "RepairBandwidth": 200,
        "AuditBandwidth": 200,
        "DiskSpace": 149,
    }
    assert one["storageSummary"] == pytest.approx(SATELLITES[0].share * everything["storageSummary"])
    assert isinstance(one["audits"], dict)
    assert isinstance(everything["audits"], list)
    assert "intervalInHours" in one["storageDaily"][0]
    assert "intervalInHours" not in everything["storageDaily"][0]
    assert ask.json(f"/api/sno/satellites/{SATELLITES[0].id}/pricing")["diskSpace"] == 149


@pytest.mark.parametrize(("name", "status"), [("short", 400), ("1" * 51, 404)], ids=["malformed", "untrusted"])
def test_a_satellite_that_is_not_one_is_an_error_with_json(ask, name, status):
    response = ask(f"/api/sno/satellite/{name}")
    assert response.status == status
    assert list(json.loads(response.body)) == ["error"]


def test_payouts_are_cents_net_of_held_and_the_aggregate_forgets_the_held_rate(ask):
    whole = ask.json("/api/sno/estimated-payout")["currentMonth"]
    parts = [ask.json("/api/sno/estimated-payout", id=satellite.id)["currentMonth"] for satellite in SATELLITES]
    assert whole["heldRate"] == 0
    assert [part["heldRate"] for part in parts] == [0, 0, 50]
    assert whole["held"] == pytest.approx(sum(part["held"] for part in parts))
    assert whole["held"] > 0
    assert whole["payout"] == pytest.approx(sum(part["payout"] for part in parts))
    gross = whole["diskSpacePayout"] + whole["egressBandwidthPayout"] + whole["egressRepairAuditPayout"]
    assert whole["payout"] + whole["held"] == pytest.approx(gross)
    # 4 TB for 19.5 days at 1.4976 USD a TB-month of 720 h are about 3.9 USD, given in cents
    assert whole["diskSpacePayout"] == pytest.approx(4 * 149.76 * 19.5 * 24 / 720, rel=0.05)
    assert whole["diskSpace"] == pytest.approx(4 * TB * 19.5 * 24 / 720, rel=0.05)


def test_storage_is_tallied_every_twelve_hours_and_bandwidth_every_hour(node, asker):
    def seen(now):
        node.disk.advance(now)
        month = asker(node, now).json("/api/sno/estimated-payout")["currentMonth"]
        return month["diskSpace"], month["egressBandwidth"]

    noon = at(2026, 8, 21, 12)
    first, before, tallied = seen(noon - 7200 + 60), seen(noon - 60), seen(noon + 60)
    assert first[0] == before[0] < tallied[0]
    assert first[1] < before[1] < tallied[1]
    assert seen(noon + 120)[1] == tallied[1]


def test_running_sums_fall_when_the_month_turns_over(node, asker):
    node.disk.advance(at(2026, 8, 31, 23))
    late = asker(node, at(2026, 8, 31, 23)).json("/api/sno/estimated-payout")
    node.disk.advance(at(2026, 9, 1, 2))
    early = asker(node, at(2026, 9, 1, 2)).json("/api/sno/estimated-payout")
    assert early["currentMonth"]["payout"] < 0.02 * late["currentMonth"]["payout"]
    assert early["previousMonth"]["payout"] == pytest.approx(late["currentMonth"]["payout"], rel=0.05)
    assert asker(node, at(2026, 9, 1, 2)).json("/api/sno/satellites")["storageDaily"] is None


def test_the_previous_month_lies_in_this_one_on_the_31st_after_a_short_month(asker):
    now = at(2026, 7, 31, 12)  # "31 June" is 1 July to Go's AddDate
    found = asker(Storagenode(disk(now)), now).json("/api/sno/estimated-payout")
    assert found["previousMonth"] == found["currentMonth"]


def test_pay_stubs_are_micro_dollars_for_closed_months_and_null_elsewhere(ask):
    stubs = ask.json("/api/heldamount/paystubs/2026-07")
    assert [stub["satelliteId"] for stub in stubs] == [satellite.id for satellite in SATELLITES]
    assert stubs[0]["compAtRest"] == pytest.approx(4 * 0.64 * 1.4976e6 * 31 / 30, rel=0.1)
    assert stubs[2]["held"] == pytest.approx((stubs[2]["held"] + stubs[2]["paid"]) / 2, abs=1)
    assert ask.json("/api/heldamount/paystubs/2026-08") is None
    assert ask.json("/api/heldamount/paystubs/2026-01/2026-08", id=SATELLITES[1].id)[0]["period"] == "2026-07"
    assert ask.json("/api/heldamount/periods") == ["2026-07"]


def test_last_months_stub_is_not_there_in_the_first_days(asker):
    now = at(2026, 8, 5)
    assert asker(Storagenode(disk(now)), now).json("/api/heldamount/paystubs/2026-07") is None


def test_a_bad_period_is_refused_in_the_consoles_words(ask):
    response = ask("/api/heldamount/paystubs/July")
    assert response.status == 400
    assert b"period has wrong format" in response.body


def test_notifications_need_their_paging(ask):
    assert ask("/api/notifications/list").status == 400
    assert ask.json("/api/notifications/list", limit="10", page="1")["page"]["notifications"] is None


def test_a_locked_database_is_500_with_an_error_body(node, ask):
    node.locked = True
    response = ask("/api/sno/")
    assert response.status == 500
    assert json.loads(response.body)["error"].startswith("consoleapi storagenode: console:")


# --- allocation ---


def test_a_written_allocation_counts_only_after_a_restart(node, ask):
    node.disk.config = "storage.allocated-disk-space: 7.00 TB # more\n"
    assert ask.json("/api/sno/")["diskSpace"]["allocated"] == 6 * TB
    node.disk.restart(NOW)
    node.disk.advance(NOW + 130)
    ask.now = NOW + 130
    found = ask.json("/api/sno/")
    assert found["diskSpace"]["allocated"] == 7 * TB
    assert found["startedAt"].startswith("2026-08-20T14:30:00")


def test_a_restart_is_refused_then_silent_then_served_without_prices(node, ask):
    node.disk.restart(NOW)
    assert not node.listening(NOW + 10)
    assert node.listening(NOW + 30)
    ask.now = NOW + 30
    assert ask("/api/sno/").hang
    ask.now = NOW + 125
    assert ask.json(f"/api/sno/satellites/{SATELLITES[0].id}/pricing")["diskSpace"] == 0
    ask.now = NOW + 200
    assert ask.json(f"/api/sno/satellites/{SATELLITES[0].id}/pricing")["diskSpace"] == 149


def test_under_500_gb_the_node_refuses_to_start_and_stays_down(node):
    said = node.disk.restart(NOW, config="storage.allocated-disk-space: 499 GB\n")
    assert said is not None
    assert "disk space requirement not met" in said
    assert not node.listening(NOW + 3600)
    assert node.disk.restart(NOW + 3600, config="storage.allocated-disk-space: 500 GB\n") is None
    assert node.listening(NOW + 3800)


def test_the_environment_beats_the_file():
    assert configured_size("storage.allocated-disk-space: 1 TB", env="2TB") == 2 * TB
    assert configured_size("") == 1 * TB


@pytest.mark.parametrize(
    ("words", "size"),
    [("2TB", 2e12), ("1.5TB", 1.5e12), ("900GB", 9e11), ("1TiB", 2.0**40), ("8796093022208B", 2.0**43)],
)
def test_sizes_are_read_as_storagenode_reads_them(words, size):
    assert read_size(words) == size


@pytest.mark.parametrize("words", ["", "lots", "-1TB", "2XB", "1e12"])
def test_what_is_no_size_keeps_the_node_from_starting(words):
    with pytest.raises(RefusedToStart):
        read_size(words)


def test_the_effective_allocation_is_capped_by_the_disk(asker):
    found = disk(NOW, disk_size=6.5 * TB)
    found.restart(NOW, config="storage.allocated-disk-space: 20 TB\n")
    assert found.allocated == pytest.approx(6.5 * TB)
    assert found.configured == 20 * TB


def test_shrinking_below_what_is_used_frees_nothing_and_stops_growth(node, ask):
    node.disk.restart(NOW, config="storage.allocated-disk-space: 1 TB\n")
    before = node.disk.stored
    node.disk.advance(NOW + 3600)
    ask.now = NOW + 3600
    found = ask.json("/api/sno/")["diskSpace"]
    assert found["available"] == 0
    assert found["overused"] == pytest.approx(node.disk.used - 1 * TB, abs=2)
    assert node.disk.stored < before
    assert node.disk.stored > 0.999 * before


# --- truth ---


def test_a_node_with_room_grows_by_what_arrives_and_a_full_one_does_not():
    growing = disk(NOW, stored=2 * TB, ingress=5e9)
    before = growing.stored
    growing.advance(NOW + 10 * 3600)
    deleted = 2.24 * TB * 0.02 / 720 * 10  # two days of growth before it
    assert growing.stored - before == pytest.approx(50e9 - deleted, rel=0.02)
    full = disk(NOW, stored=5.9 * TB, ingress=5e9)
    full.advance(NOW + 100 * 3600)
    assert full.used <= full.allocated + 1


def test_nothing_arrives_while_the_node_is_down_but_what_is_stored_is_paid():
    found = disk(NOW, ingress=5e9)
    found.stop(NOW)
    before, earned = found.stored, found.truth().earned["USD"]
    found.advance(NOW + 3600)
    assert found.stored < before
    assert found.truth().earned["USD"] - earned == pytest.approx(found.stored * 2.08e-15, rel=0.01)


@pytest.mark.parametrize(
    "steps", [[1.0], [0.3, 0.7, 1.0], [k / 97 for k in range(1, 98)]], ids=["once", "thrice", "often"]
)
def test_the_state_does_not_depend_on_how_often_it_was_looked_at(steps):
    found = Disk(Demand(4e9, 5, 1800.0), 3 * TB, 4 * TB, NOW)
    for part in steps:
        found.advance(NOW + part * 40 * 3600.0)
    once = Disk(Demand(4e9, 5, 1800.0), 3 * TB, 4 * TB, NOW)
    once.advance(NOW + 40 * 3600.0)
    assert found.stored == pytest.approx(once.stored, rel=1e-9)
    assert found.truth().earned["USD"] == pytest.approx(once.truth().earned["USD"], rel=1e-6)
