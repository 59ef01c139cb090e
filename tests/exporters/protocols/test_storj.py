"""What orcha makes of a storagenode: asking it, its state, and one bad part that spoils nothing."""

from __future__ import annotations

import asyncio

import pytest

from exporters.collector import look
from exporters.errors import Malformed
from exporters.protocols import storj
from exporters.protocols.storj.look import Failed
from exporters.simulator.demand import DAY, Demand
from exporters.simulator.disk import Disk
from exporters.simulator.inprocess import FastClock, InProcessSession
from exporters.simulator.prices import Market
from exporters.simulator.storj import Storagenode
from exporters.simulator.world import World
from tests.exporters.protocols.site import Raw
from tests.exporters.protocols.storj_node import (
    EU1,
    EU1_GROSS,
    NEVER,
    NOW,
    US1,
    US1_GROSS,
    at,
    one_look,
    pages,
    read,
    recorded,
    sample,
    workload,
)


@pytest.fixture
def bodies():
    """One look at the node of fixtures/storj/current, as fetch gives it; each test may change it."""
    return one_look()


# --- a healthy node -------------------------------------------------------------------------------------------------


async def test_a_look_at_a_node_gives_its_place_state_and_version(serve, http):
    site = await serve(pages())
    reading, kept = await look(storj, http, workload(site.url), NOW)
    assert (reading.up, reading.failure_message) == (True, None)
    assert (reading.state, reading.healthy, reading.version) == ("online", True, "1.162.3")
    assert reading.node_id == "1Xf5b3xHn1ajoNRpJJJd3RebWUgZ58BVqNxKPAH2g1snSAEyNt"
    assert reading.state in reading.states
    assert reading.notes == ()
    assert kept is None


async def test_each_page_of_a_node_is_asked_once(serve, http):
    site = await serve(pages())
    await look(storj, http, workload(site.url), NOW)
    assert sorted(site.asked) == sorted(pages())


async def test_an_endpoint_written_with_its_path_is_understood(serve, http):
    site = await serve(pages())
    reading, _ = await look(storj, http, workload(f"{site.url}/api/sno/"), NOW)
    assert reading.up


def test_storage_is_told_by_kind(bodies):
    reading = read(bodies)
    assert reading.allocated == {"storage": 8e12}
    assert reading.used == {"storage": 5.4213e12}
    assert reading.irreversible == reading.used
    assert reading.configured == {}
    assert sample(reading, "disk_bytes", kind="free") == 2.5787e12
    assert sample(reading, "disk_bytes", kind="stored") == 5.4213e12 - 61.2e9 - 14.3e9
    assert sample(reading, "disk_bytes", kind="trash") == 61.2e9


def test_every_sample_belongs_to_a_declared_family_with_its_labels(bodies):
    for family, rows in read(bodies).extra.items():
        declared = storj.FAMILIES[family]
        assert rows
        assert len({tuple(sorted(labels.items())) for labels, _ in rows}) == len(rows)
        assert all(tuple(sorted(labels)) == tuple(sorted(declared.labels)) for labels, _ in rows)


def test_every_declared_family_is_filled_by_a_healthy_node(bodies):
    assert set(read(bodies).extra) == set(storj.FAMILIES)


def test_satellites_are_named_by_their_hosts(bodies):
    reading = read(bodies)
    assert sample(reading, "audit_score", satellite="us1.storj.io") == 1.0
    assert sample(reading, "online_score", satellite="us1.storj.io") == 0.9987654
    assert sample(reading, "vetted", satellite="us1.storj.io") == 1.0
    assert sample(reading, "vetted", satellite="eu1.storj.io") == 0.0
    assert sample(reading, "held_ratio", satellite="eu1.storj.io") == 0.5
    assert sample(reading, "month_traffic_bytes", satellite="us1.storj.io", direction="egress", kind="usage") == 12.11e9
    assert sample(reading, "storage_price_usd_per_byte_hour", satellite="us1.storj.io") * 1e12 * 720 == pytest.approx(
        1.49
    )


def test_no_wallet_appears_anywhere(bodies):
    assert bodies["node"]["wallet"] not in repr(read(bodies))


# --- traps of the wire ----------------------------------------------------------------------------------------------


async def test_a_web_page_with_200_is_no_answer(serve, http):
    site = await serve({})
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert (reading.up, reading.failure) == (False, "malformed")
    assert "web page" in reading.failure_message


async def test_the_plural_path_of_one_satellite_is_never_asked(serve, http):
    site = await serve(pages())
    await look(storj, http, workload(site.url), NOW)
    assert f"/api/sno/satellite/{US1}" in site.asked
    assert not [path for path in site.asked if path.startswith("/api/sno/satellites/")]


async def test_a_redirect_to_the_slash_is_followed(serve, http, bodies):
    site = await serve(pages())
    moved = await serve({}, otherwise=None)
    moved.answers["/api/sno/"] = Raw(status=301, headers={"Location": f"{site.url}/api/sno/"})
    reading, _ = await look(storj, http, workload(moved.url), NOW)
    assert reading.up
    assert reading.native.gross_per_hour == {}


async def test_a_database_error_is_quoted(serve, http):
    body = {"error": "consoleapi storagenode: console: database is locked"}
    site = await serve({"/api/sno/": Raw(body, status=500)})
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.failure == "unreachable"
    assert "database is locked" in reading.failure_message


async def test_a_node_that_is_starting_accepts_and_stays_silent(serve, http):
    site = await serve({"/api/sno/": Raw(hangs=True)})
    reading, _ = await look(storj, http, workload(site.url, timeout="200ms"), NOW)
    assert reading.failure == "timeout"
    assert site.asked == ["/api/sno/"]


async def test_a_node_that_is_down_is_unreachable(http, free_port):
    reading, _ = await look(storj, http, workload(f"http://127.0.0.1:{free_port()}"), NOW)
    assert reading.failure == "unreachable"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_comes_from_a_proxy_that_the_owner_put_in_front(serve, http, status):
    site = await serve({}, otherwise=Raw({"message": "no"}, status=status))
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.failure == "unauthorized"


@pytest.mark.parametrize(
    "body", [[], None, 7, "words", {}, {"nodeID": "1X"}, {"diskSpace": {}}, {"nodeID": 5, "diskSpace": {}}], ids=repr
)
async def test_a_summary_of_another_shape_is_refused(serve, http, body):
    site = await serve({"/api/sno/": Raw(body)})
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.failure == "malformed"
    assert "/api/sno/" in reading.failure_message


# --- one bad satellite spoils nothing -------------------------------------------------------------------------------

BROKEN = {
    "500": {"error": "consoleapi storagenode: console: database is locked"},
    "404": {"error": "consoleapi storagenode: console: satellite not found"},
}


@pytest.mark.parametrize("status", [404, 500])
async def test_one_satellite_that_fails_spoils_neither_the_others_nor_the_totals(serve, http, status):
    answers = pages() | {f"/api/sno/satellite/{EU1}": Raw(BROKEN[str(status)], status=status)}
    site = await serve(answers)
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.up
    # what the totals leave over is eu1, to the byte: the totals of the fixture are the sum of both
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS, rel=1e-9)
    assert sample(reading, "satellite_read", satellite="eu1.storj.io") == 0.0
    assert sample(reading, "satellite_read", satellite="us1.storj.io") == 1.0
    assert sample(reading, "audit_score", satellite="us1.storj.io") == 1.0
    assert sample(reading, "audit_score", satellite="eu1.storj.io") is None
    assert any("eu1.storj.io" in note for note in reading.notes)


async def test_one_satellite_that_hangs_costs_its_own_figures_only(serve, http):
    site = await serve(pages() | {f"/api/sno/satellite/{EU1}": Raw(hangs=True)})
    reading, _ = await look(storj, http, workload(site.url, timeout="500ms"), NOW)
    assert reading.up
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS, rel=1e-9)


def test_the_net_of_a_satellite_that_failed_follows_the_amounts_not_the_zero_rate_of_the_sum(bodies):
    bodies["details"][EU1] = Failed("unreachable", "gone")
    month = bodies["estimate"]["currentMonth"]
    assert month["heldRate"] == 0
    share = month["held"] / (month["held"] + month["payout"])
    assert read(bodies).native.net_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS * (1 - share), rel=1e-9)


def test_without_the_totals_a_missing_satellite_makes_the_rate_unknown_not_smaller(bodies):
    bodies["details"][EU1] = bodies["usage"] = Failed("unreachable", "gone")
    reading = read(bodies)
    assert reading.native.gross_per_hour == {}
    assert reading.native.net_per_hour == {}
    assert reading.quality is None


@pytest.mark.parametrize(
    "body", [None, [], 5, {}, {"id": US1}, {"id": EU1, "storageDaily": None, "bandwidthDaily": None}], ids=repr
)
def test_a_satellite_that_answers_another_shape_or_for_another_is_unread(bodies, body):
    bodies["details"][US1] = body
    reading = read(bodies)
    assert reading.up
    assert sample(reading, "satellite_read", satellite="us1.storj.io") == 0.0
    assert any("us1.storj.io" in note for note in reading.notes)


def test_a_failed_estimate_leaves_the_held_rate_to_the_join_date(bodies):
    bodies["estimates"][EU1] = Failed("unreachable", "500")
    assert read(bodies).native.net_per_hour["USD"] == pytest.approx(US1_GROSS + EU1_GROSS / 2, rel=1e-12)


def test_a_satellite_whose_id_is_no_id_is_never_part_of_an_address(bodies):
    bodies["node"]["satellites"][1]["id"] = "../../etc"
    reading = read(bodies)
    assert sample(reading, "satellite_read", satellite="eu1.storj.io") == 0.0


async def test_an_id_that_is_no_id_is_not_asked(serve, http):
    node = recorded("current/sno")
    node["satellites"][1]["id"] = "x/../../admin"
    site = await serve(pages(node))
    await look(storj, http, workload(site.url), NOW)
    assert not [path for path in site.asked if "admin" in path]


def test_a_node_that_lists_thousands_of_satellites_is_refused(bodies):
    bodies["node"]["satellites"] *= 1000
    with pytest.raises(Malformed, match="2000 satellites"):
        read(bodies)


# --- state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "state", "healthy"),
    [
        ({"lastPinged": "2026-08-21T07:14:01Z"}, "offline", False),
        ({"lastPinged": "2026-08-21T09:15:00+02:00"}, "online", True),
        ({"lastPinged": NEVER}, "offline", False),
        ({"lastPinged": NEVER, "startedAt": "2026-08-21T09:10:00Z"}, "starting", None),
        ({"lastPinged": "1970-01-01T00:00:05Z"}, "offline", False),
        ({"upToDate": False}, "outdated", False),
        ({"upToDate": None}, "online", True),
        ({"diskSpace": {"used": 8e12, "available": 4.9e9, "allocated": 8e12}}, "full", True),
        ({"diskSpace": {"used": 9e12, "available": 0, "allocated": 8e12, "overused": 1e12}}, "full", True),
    ],
)
def test_the_state_is_the_worst_that_holds(bodies, change, state, healthy):
    bodies["node"] |= change
    reading = read(bodies)
    assert (reading.state, reading.healthy) == (state, healthy)


@pytest.mark.parametrize(
    ("score", "state", "healthy"), [(0.9, "online", True), (0.89, "online", False), (0.59, "suspended", False)]
)
def test_a_low_online_score_is_unhealthy_and_then_a_suspension_that_the_console_does_not_show(
    bodies, score, state, healthy
):
    bodies["details"][EU1]["audits"]["onlineScore"] = score
    reading = read(bodies)
    assert (reading.state, reading.healthy) == (state, healthy)


def test_a_suspended_satellite_makes_the_node_suspended(bodies):
    bodies["node"]["satellites"][0]["suspended"] = "2026-08-20T01:02:03.123456789+05:30"
    reading = read(bodies)
    assert (reading.state, reading.healthy) == ("suspended", False)
    assert sample(reading, "suspended", satellite="us1.storj.io") == 1.0


def test_a_clock_in_2100_is_said(bodies):
    bodies["node"]["lastPinged"] = "2100-01-01T00:00:00Z"
    assert any("clock" in note for note in read(bodies).notes)


def test_a_full_node_does_not_tell_how_fast_it_would_grow(bodies):
    bodies["node"]["diskSpace"] |= {"available": 1e9}
    assert read(bodies).growth_per_hour is None


# --- what is asked and what is not ----------------------------------------------------------------------------------


async def test_a_node_without_any_list_is_read(serve, http):
    node = recorded("current/sno") | {"satellites": None}
    empty = {
        "storageDaily": None,
        "bandwidthDaily": None,
        "storageSummary": 0,
        "audits": None,
        "earliestJoinedAt": NEVER,
    }
    site = await serve(
        {
            "/api/sno/": node,
            "/api/sno/satellites": empty,
            "/api/sno/estimated-payout": recorded("current/payout"),
            "/api/heldamount/periods": Raw(b"null"),
        }
    )
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.up
    assert reading.notes == ()


async def test_the_estimate_of_a_disqualified_satellite_is_an_error_and_is_not_asked(serve, http):
    node = recorded("current/sno")
    node["satellites"][1]["disqualified"] = "2026-08-20T01:02:03Z"
    error = {"error": "consoleapi storagenode: estimationservice: node was disqualified on satellite"}
    site = await serve(pages(node) | {f"/api/sno/estimated-payout?id={EU1}": Raw(error, status=500)})
    reading, _ = await look(storj, http, workload(site.url), NOW)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(US1_GROSS)
    assert f"/api/sno/estimated-payout?id={EU1}" not in site.asked


@pytest.mark.parametrize("periods", [None, [], ["no month"], {"a": 1}, [5]], ids=repr)
async def test_periods_that_are_none_ask_for_no_stubs(serve, http, periods):
    site = await serve(pages() | {"/api/heldamount/periods": periods})
    await look(storj, http, workload(site.url), NOW)
    assert not [path for path in site.asked if "paystubs" in path]


async def test_many_looks_at_once_all_succeed(serve, http):
    site = await serve(pages())
    readings = await asyncio.gather(*(look(storj, http, workload(site.url), NOW) for _ in range(8)))
    assert all(reading.up for reading, _ in readings)


# --- against the simulator ------------------------------------------------------------------------------------------


@pytest.fixture
def simulated():
    """A node of five terabytes in the simulator, at noon of the 20th of August."""
    origin = at("2026-08-20T12:00:00")
    disk = Disk(Demand(2e9, 7, DAY), stored=5e12, allocated=8e12, origin=origin)
    world = World(7, origin, Market(7), models={"rack-1/storj": disk})
    world.add_site("storj", Storagenode(disk))
    return world, disk


async def test_over_a_change_of_month_the_rate_stays_near_what_is_really_earned(simulated):
    world, disk = simulated
    clock = FastClock(world.origin, auto=False)
    session = InProcessSession(world, clock, {"http://storj.sim": "storj"})
    apart = []
    for hours in range(0, 20 * 24, 5):
        clock.advance(world.origin + hours * 3600)
        reading, _ = await look(storj, session, workload("http://storj.sim"), clock.time())
        assert (reading.up, reading.notes) == (True, ())
        apart.append(reading.native.gross_per_hour["USD"] / disk.usd_per_hour() - 1)
    # tallies lag by up to a day, and on the 1st last month's mean stands in: this disk grows by 0.9 % a day
    assert abs(sum(apart) / len(apart)) < 0.03
    assert max(map(abs, apart)) < 0.15


@pytest.mark.parametrize("hour", [1, 9, 13, 17, 21, 23.5])
async def test_at_whatever_hour_a_simulated_node_begins_its_rate_is_what_is_really_earned(hour):
    origin = at("2026-08-20T00:00:00") + hour * 3600
    disk = Disk(Demand(2e9, 7, DAY), stored=5e12, allocated=8e12, origin=origin)
    world = World(7, origin, Market(7), models={"rack-1/storj": disk})
    world.add_site("storj", Storagenode(disk))
    session = InProcessSession(world, FastClock(origin, auto=False), {"http://storj.sim": "storj"})
    reading, _ = await look(storj, session, workload("http://storj.sim"), origin)
    assert reading.native.gross_per_hour["USD"] == pytest.approx(disk.usd_per_hour(), rel=0.15)


async def test_a_restart_hangs_then_has_no_prices_then_is_well(simulated):
    world, disk = simulated
    clock = FastClock(world.origin, auto=False)
    session = InProcessSession(world, clock, {"http://storj.sim": "storj"})
    disk.restart(world.origin, env="9TB")
    seen = []
    for seconds in (10, 60, 130, 300):
        clock.advance(world.origin + seconds)
        reading, _ = await look(storj, session, workload("http://storj.sim"), clock.time())
        seen.append((reading.failure, reading.allocated.get("storage"), bool(reading.native.gross_per_hour)))
    assert seen == [("unreachable", None, False), ("timeout", None, False), (None, 9e12, False), (None, 9e12, True)]
