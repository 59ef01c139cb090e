"""What is shown of a fleet is what the agents here know, and says in words what is wrong."""

from __future__ import annotations

import json

import pytest

from controller.fleet.escrow import Limit
from controller.fleet.limits import limits_of, unit
from controller.fleet.shown import FleetFace, fleet_view, topology_view
from controller.fleet.shown_limits import IRREVERSIBLE, in_words, limits_view, scale_of
from controller.fleet.terms import grow
from exporters.quantity import format_duration
from tests.controller.fleet.simulated import BEGIN
from tests.controller.fleet.watched import CORES, watched

CPU = {"name": "cpu", "protocol": "golem", "resource": "cpu"}


@pytest.fixture
def three():
    """Three sites that know the same."""
    fleet = watched()
    fleet.run(30)
    return fleet


def sees(fleet, *here, **more):
    return fleet_view(fleet.face(*here, **more), fleet.now)


def row(view, name):
    return next(each for each in view["agents"] if each["name"] == name)


def said(view):
    return " | ".join(each["what"] for each in view["troubles"])


# --- agents ---------------------------------------------------------------------------------------------------------------


def test_a_fleet_that_is_well_has_no_troubles_and_is_seen_by_the_site_that_lives_here(three):
    view = sees(three, "site-01", "site-00", irreversibleAtOnce=None)
    assert (view["name"], view["site"], view["seen_by"], view["alive"]) == ("attic", "site-01", "site-01", 3)
    assert view["troubles"] == []
    assert view["converged"] is True
    assert (view["converged_since"], view["apart_since"]) == (BEGIN, None), "they never differed"
    assert view["digest"] == three.sites["site-01"].peer.replica.digest
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_it_is_the_sites_own_view_wherever_its_agent_stands_and_else_that_of_the_first(three):
    face = three.face("site-01", "site-00")
    turned = FleetFace(face.name, face.spec, face.agents[::-1], face.site)
    assert fleet_view(turned, three.now)["seen_by"] == "site-01"
    assert sees(three, "site-02", "site-00", site=False)["seen_by"] == "site-02"


def test_of_each_agent_there_is_its_health_and_what_it_said_last(three):
    view = sees(three, "site-00")
    mine, other = row(view, "site-00"), row(view, "site-02")
    assert (mine["here"], mine["health"], mine["converged"], mine["silent_seconds"]) == (True, 1.0, True, 0.0)
    heard = three.sites["site-00"].peer.others["site-02"]
    assert (other["here"], other["local"], other["start"]) == (False, None, 1)
    assert (other["heard_at"], other["digest"]) == (heard.heard, heard.digest)
    assert other["silent_seconds"] == three.now - heard.heard
    assert other["health"] == pytest.approx(1 - other["silent_seconds"] / 10)


def test_what_lives_in_this_process_is_shown_with_its_disk_and_its_way_to_the_others(three):
    local = row(sees(three, "site-00", "site-01"), "site-01")["local"]
    assert (local["stored"], local["connected"], local["trusted"], local["refused"]) == (True, True, True, 0)
    assert local["received"] == three.sites["site-01"].peer.counts.received > 0


def test_a_site_that_is_not_heard_is_cut_off_since_it_was_heard_last_and_where_to_look_is_said(three):
    three.kill("site-02")
    three.run(95)
    heard = three.sites["site-00"].peer.others["site-02"].heard
    view = sees(three, "site-00")
    assert (row(view, "site-02")["alive"], row(view, "site-02")["health"], view["alive"]) == (False, 0.0, 2)
    assert row(view, "site-02")["heard_at"] == heard < three.now - 90
    assert f"site-02 is cut off: site-00 heard from it last {format_duration(three.now - heard)} ago" in said(view)
    assert any("orcha run --site site-02" in each["right"] for each in view["troubles"])


def test_a_relay_that_is_not_heard_is_looked_for_where_relays_run(three):
    three.kill("site-02")
    three.run(60)
    view = sees(three, "site-00", sites=["site-00", "site-01"], relays=["site-02"])
    assert row(view, "site-02")["kind"] == "relay"
    assert any("orcha fleet host --site site-02" in each["right"] for each in view["troubles"])


def test_who_has_no_connection_says_why(three):
    face = three.face("site-00", "site-01")
    for each, why in zip(face.agents, ("refuses what tokenFile t holds", "does not answer"), strict=True):
        each.transport.connected, each.transport.why = False, why
    assert "is not heard: does not answer; refuses what tokenFile t holds" in said(fleet_view(face, three.now))


def test_of_many_that_are_cut_off_or_were_never_heard_there_is_one_sentence():
    fleet = watched(size=8)
    fleet.kill("site-07")
    fleet.kill("site-06")
    fleet.run(30)
    for i in (2, 3, 4):
        fleet.kill(f"site-0{i}")
    fleet.run(60)
    found = [each["what"] for each in sees(fleet, "site-00", irreversibleAtOnce=None)["troubles"]]
    assert len(found) == 4, "three that are cut off, one for those that were never heard"
    assert "site-00 has not heard of site-06, site-07 since it started" in found[-1]
    for of, own in (
        (8, "what they own"),
        (7, "what the sites among them own"),
        (6, "a relay owns nothing of any limit"),
    ):
        assert f"since it started; {own}" in said(
            sees(fleet, "site-00", sites=fleet.names[:of], relays=fleet.names[of:])
        )
    fleet.kill("site-05")
    fleet.run(60)
    view = sees(fleet, "site-00", irreversibleAtOnce=None)
    found = [each["what"] for each in view["troubles"]]
    assert len(found) == 2
    assert found[0].startswith("site-02, site-03, site-04, site-05 are cut off: site-00 heard none of them for 1m")
    assert "`orcha run --site NAME` runs at its place" in view["troubles"][0]["right"]


def test_agents_of_one_process_that_do_not_hear_each_other_are_not_looked_for_elsewhere(three):
    three.cut.add(frozenset(("site-00", "site-02")))
    three.cut.add(frozenset(("site-01", "site-02")))
    three.run(60)
    assert "all of this is one process" in sees(three, "site-00", "site-02")["troubles"][0]["right"]


def test_a_relay_without_a_memory_owns_nothing_that_it_could_have_promised(three):
    face = three.face("site-02", site=False, sites=["site-00", "site-01"], relays=["site-02"])
    forget(face.agents[0].peer)
    assert "does not remember" not in said(fleet_view(face, three.now))


def test_who_was_never_heard_is_unknown_and_not_just_late():
    fleet = watched()
    fleet.kill("site-02")
    fleet.run(30)
    other = row(sees(fleet, "site-00"), "site-02")
    assert (other["alive"], other["heard_at"], other["silent_seconds"], other["digest"], other["converged"]) == (
        False, None, None, None, None,
    )  # fmt: skip
    assert "site-00 has not heard of site-02 since it started" in said(sees(fleet, "site-00"))


def test_a_controller_that_is_no_site_of_it_says_so_and_claims_nothing(three):
    view = fleet_view(FleetFace("attic", three.spec()), three.now)
    assert (view["seen_by"], view["alive"], view["converged"], view["digest"]) == (None, None, None, None)
    assert {each["alive"] for each in view["agents"]} == {None}
    assert "is none of its sites" in said(view)
    assert [each["settled"] for each in view["limits"]] == [None]


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda one: setattr(one, "stored", False), "site-00 cannot write to the disk"),
        (lambda one: setattr(one.transport, "connected", False), "site-00 has no connection to the servers of spec.nats"),
        (lambda one: forget(one.peer), "it takes nothing more until site-01, site-02 agreed with it once"),
    ],
    ids=["disk", "servers", "memory"],
)  # fmt: skip
def test_what_is_wrong_with_an_agent_here_is_said_and_what_may_mend_itself_comes_last(three, break_it, sentence):
    face = three.face("site-00")
    three.kill("site-01")
    three.run(60)
    break_it(face.agents[0])
    found = fleet_view(face, three.now)["troubles"]
    wrong = next(each for each in found if sentence in each["what"])
    assert wrong["serious"] is ("agreed" not in sentence), "memory comes back by itself"
    assert [each["serious"] for each in found] == sorted((each["serious"] for each in found), reverse=True)
    assert any("cut off" in each["what"] for each in found)
    assert wrong["serious"] or "a second controller runs as site-00: stop it" in wrong["right"]


def forget(peer):
    peer.remembered = False
    for other in peer.others.values():
        other.agreed = False


# --- agreement ------------------------------------------------------------------------------------------------------------


def test_agents_that_differ_for_longer_than_sync_rounds_take_are_named(three):
    face = three.face("site-00")
    three.run(7)
    peer = three.sites["site-00"].peer
    peer.replica.add(grow("rack-1/golem", "cpu", 1, 2), peer.writer, 1)
    face.agents[0].timeline.agree(False, three.now)
    view = fleet_view(face, three.now)
    assert (view["converged"], view["converged_since"], view["apart_since"]) == (False, None, three.now)
    assert "know different things" not in said(view), "it takes its time"
    later = three.now + 10 + 3 * 5
    for other in peer.others.values():
        other.heard = later
    view = fleet_view(face, later)
    assert (view["alive"], view["apart_since"]) == (3, three.now)
    assert "know different things" not in said(view)
    later += 1
    view = fleet_view(face, later)
    assert "site-01, site-02 and site-00 know different things for 26s; 25s should do" in said(view)
    face.agents[0].timeline.agree(True, later)
    for other in peer.others.values():
        other.digest = peer.replica.digest
    view = fleet_view(face, later + 1)
    assert (view["converged_since"], view["apart_since"], view["convergence_seconds"]) == (later, None, 26.0)


def test_what_another_agent_of_a_shared_timeline_sees_apart_is_not_apart_for_this_one(three):
    face = three.face("site-00")
    face.agents[0].timeline.agree(False, three.now, "site-01")
    view = fleet_view(face, three.now)
    assert (view["converged"], view["apart_since"]) == (True, None)


# --- topology -------------------------------------------------------------------------------------------------------------


def test_the_topology_has_its_edges_by_name_and_both_mean_distances():
    view = topology_view(watched(name="sierpinski9", size=9).spec())
    assert (view["name"], view["diameter"], len(view["edges"])) == ("sierpinski9", 3, 16)
    assert view["mean_distance"] == pytest.approx(61 / 36)
    assert view["mean_distance_with_itself"] == pytest.approx(122 / 81)
    assert {"from": "site-06", "to": "site-07"} in view["edges"]


# --- limits ---------------------------------------------------------------------------------------------------------------


def limit_of(view, name="cpu"):
    return next(each for each in view["limits"] if each["name"] == name)


def test_a_limit_shows_what_each_site_owns_holds_and_wants_in_base_units(three):
    three.share("cpu most", most=31 * CORES)
    three.hold("site-00", "cpu most", 9500, 20000)
    three.hold("site-01", "cpu most", 500)
    three.run(30)
    found = limit_of(sees(three, "site-02", limits=[CPU | {"maxTotal": 31}]))
    assert (found["kind"], found["bound"], found["in_force"], found["settled"]) == ("maxTotal", 31.0, 31.0, True)
    assert [each["rights"] for each in found["sites"]] == [10.334, 10.333, 10.333]
    assert [each["held"] for each in found["sites"]] == [9.5, 0.5, None]
    assert [each["wanted"] for each in found["sites"]] == [20.0, 0.5, None]
    assert found["held"] is None, "one has not said"
    assert found["sentence"] == "not every site has said what it holds"
    three.hold("site-02", "cpu most", 0)
    found = limit_of(sees(three, "site-02", limits=[CPU | {"maxTotal": 31}]))
    assert (found["held"], found["wanted"]) == (10.0, 20.5)
    assert found["sentence"] == "10 cores held of at most 31 cores, 21 cores to spare"


def test_a_limit_that_is_not_settled_says_because_of_whom(three):
    three.share("cpu most", most=30 * CORES)
    for name, held in (("site-00", 10), ("site-01", 10), ("site-02", 4)):
        three.hold(name, "cpu most", held * CORES)
    three.run(20)
    three.kill("site-02")
    three.word("site-00", Limit("cpu most", three.names, 15 * CORES))
    three.run(60)
    three.adopt("site-00", "cpu most", 5 * CORES)
    three.run(30)
    view = sees(three, "site-00", limits=[CPU | {"maxTotal": 15}])
    found = limit_of(view)
    assert (found["settled"], found["waits_for"], found["in_force"]) == (False, ["site-01", "site-02"], 15.0)
    assert [each["rights"] for each in found["sites"]] == [5.0, 5.0, 5.0]
    assert "site-01 holds 10 cores and may hold 5 cores; it gives up the rest step by step" in found["sentence"]
    assert "site-02 is cut off for 1m" in found["sentence"]
    assert "limit cpu (maxTotal) is not settled: site-01 holds 10 cores" in said(view)
    assert [each["serious"] for each in view["troubles"]] == [True, False, False]
    assert any("until site-02 is heard again" in each["right"] for each in view["troubles"])


def test_within_two_wordings_a_site_has_the_lesser_of_its_parts(three):
    three.share("cpu most", most=9 * CORES)
    three.word("site-00", Limit("cpu most", three.names, 30 * CORES))
    three.run(30)
    found = limit_of(sees(three, "site-00", limits=[CPU | {"maxTotal": 30}]))
    assert [each["rights"] for each in found["sites"]] == [3.0, 3.0, 3.0], "until all have adopted the greater one"
    assert "it does at its next turn" in found["sentence"] or "has not said yet" in found["sentence"]


def test_of_a_least_amount_it_is_the_duties_that_are_shown(three):
    three.share("cpu least", least=12 * CORES)
    for name in three.names:
        three.hold(name, "cpu least", 5 * CORES)
    three.run(30)
    found = limit_of(sees(three, "site-01", limits=[CPU | {"minTotal": 12}]))
    assert (found["kind"], found["settled"], [each["rights"] for each in found["sites"]]) == (
        "minTotal",
        True,
        [4.0, 4.0, 4.0],
    )
    assert found["sentence"] == "15 cores held of at least 12 cores, 3 cores to spare"


def test_a_count_and_what_cannot_be_taken_back_are_whole_numbers_without_a_unit(three):
    three.share("cpu count", most=5)
    three.share("irreversible", most=1)
    for name in three.names:
        three.hold(name, "cpu count", 1)
    three.run(30)
    view = sees(three, "site-00", limits=[CPU | {"maxCount": 5}])
    count, once = limit_of(view), limit_of(view, "irreversible")
    assert (count["kind"], count["resource"], [each["rights"] for each in count["sites"]]) == (
        "maxCount",
        None,
        [2, 2, 1],
    )
    assert count["sentence"] == "3 held of at most 5, 2 to spare"
    assert (once["kind"], once["protocol"], once["in_force"]) == ("irreversibleAtOnce", None, 1)
    assert limit_of(sees(three, "site-00", limits=[CPU | {"maxCount": 5}]))["settled"] is True


def test_a_share_is_kept_by_each_site_and_needs_nobody(three):
    found = limit_of(sees(three, "site-00", limits=[CPU | {"maxShare": 0.4}], irreversibleAtOnce=None))
    assert (found["kind"], found["settled"], found["sites"]) == ("maxShare", True, [])
    assert "within 40% of its own cpu" in found["sentence"]


def test_a_limit_that_nobody_told_yet_and_one_that_two_manifests_word_differently_are_troubles(three):
    view = sees(three, "site-00", limits=[CPU | {"maxTotal": 15}])
    assert limit_of(view)["settled"] is False
    assert "no site has told limit cpu, irreversible to the others yet; until then none grows by it" in said(view)
    three.share("cpu most", most=30 * CORES)
    assert limit_of(sees(three, "site-00", limits=[CPU | {"maxTotal": 30.001}]))["as_declared"] is False
    view = sees(three, "site-00", limits=[CPU | {"maxTotal": 15}])
    assert (limit_of(view)["bound"], limit_of(view)["in_force"]) == (15.0, 30.0)
    assert "in force is at most 30 cores, this site's manifest says 15 cores" in said(view)
    assert any(each["right"] == "give every site the same Fleet manifest" for each in view["troubles"])


def test_the_limits_of_a_new_manifest_are_shown_without_a_restart(three):
    face = three.face("site-00")
    face.site.spec = three.spec(limits=[CPU | {"maxTotal": 7}])
    assert limit_of(fleet_view(face, three.now))["bound"] == 7.0


@pytest.mark.parametrize(
    ("resource", "amount", "words"),
    [
        ("cpu", 1.0, "1 core"),
        ("cpu", 2.5, "2.5 cores"),
        ("memory", 48 * 2**30, "48GiB"),
        ("storage", 4e12, "4TB"),
        ("bandwidth", 4e8, "400Mbit/s"),
        ("stake/DATA", 12.0, "12 DATA"),
        (None, 3.0, "3"),
        ("cpu", None, "?"),
    ],
)
def test_amounts_are_said_in_their_units(resource, amount, words):
    assert in_words(resource, amount) == words


def test_a_limit_is_told_to_the_others_under_the_name_and_in_the_units_that_are_looked_for(three):
    declared = [
        CPU | {"name": "a", "maxTotal": 7.5},
        CPU | {"name": "b", "minTotal": 2.0005},
        CPU | {"name": "c", "maxCount": 3},
        {"name": "d", "protocol": "storj", "resource": "storage", "maxTotal": "4T"},
        {"name": "e", "protocol": "streamr", "resource": "stake/DATA", "maxTotal": 12},
    ]
    face = three.face("site-00", limits=declared)
    for limit in limits_of(face.spec):
        three.word("site-00", limit)
    found = limits_view(face.spec, three.sites["site-00"].peer, three.now)
    assert [(each["name"], each["in_force"], each["as_declared"]) for each in found] == [
        ("a", 7.5, True), ("b", 2.001, True), ("c", 3, True), ("d", 4e12, True), ("e", 12, True), (IRREVERSIBLE, 1, True),
    ]  # fmt: skip


def test_a_limit_that_another_site_lifted_is_not_in_force_and_what_is_still_kept_is_shown(three):
    three.share("cpu most", most=9 * CORES)
    three.word("site-01", Limit("cpu most", three.names))
    three.run(30)
    view = sees(three, "site-00", limits=[CPU | {"maxTotal": 9}])
    found = limit_of(view)
    assert (found["in_force"], found["as_declared"], found["settled"]) == (None, False, False)
    assert [each["rights"] for each in found["sites"]] == [3.0, 3.0, 3.0], "until all have let go of it"
    assert "no bound is in force" in said(view)


@pytest.mark.parametrize(
    ("resource", "scale"),
    [("bandwidth", 1), ("cpu", 1000), ("memory", 1), ("stake/DATA", 1000), ("storage", 1), (None, 1)],
)
def test_what_is_counted_in_thousandths_is_what_comes_in_small_numbers(resource, scale):
    assert scale_of(resource) == scale
    assert resource is None or unit(resource) == scale
