"""What is shown of one agent, and of what went between agents; of 100 000 terms only a page is touched."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest

from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Dot, Item, Replica, Written
from controller.fleet.shown import FleetFace
from controller.fleet.shown_agent import (
    MOST_CURSOR,
    MOST_TEXT,
    PARTS,
    Came,
    came,
    messages_of,
    state_view,
    timeline_view,
)
from controller.fleet.terms import grow
from controller.fleet.timeline import MOST, Passed, Timeline
from tests.controller.fleet.watched import watched

ANY_TIME = float("inf")


@pytest.fixture
def three():
    """Each of three sites wrote two terms."""
    fleet = watched()
    fleet.run(5)
    for name in fleet.names:
        peer = fleet.sites[name].peer
        for after in (2, 3):
            peer.replica.add(grow(f"{name}/golem", "cpu", 1, after), peer.writer, 1)
        peer.replica.write("note", f"a place @{name}", {"held": 1}, peer.stamp(fleet.now), peer.writer)
        fleet.send(name, peer.push(fleet.now))
    fleet.run(30)
    return fleet


def pages(face, name, part, limit):
    """All pages."""
    after, found = None, []
    while True:
        view = state_view(face, name, part, limit, after)
        assert len(view[part]) <= limit
        found.append(view[part])
        after = view["next"]
        if after is None:
            return found


def key(row):
    return row.get("id") or (row.get("one") or row.get("agent") or row.get("kind"), row.get("other") or row.get("name"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_pages_together_are_all_there_is_in_order_and_each_once(three, part, limit):
    replica = three.sites["site-00"].peer.replica
    one, other = (grow("site-00/golem", "cpu", 1, after) for after in (2, 3))
    replica.equate(one, other, "site-00.1", 1)
    replica.equate(one, grow("site-01/golem", "cpu", 1, 2), "site-00.1", 1)
    found = [row for page in pages(three.face("site-00"), "site-00", part, limit) for row in page]
    assert [key(row) for row in found] == sorted(getattr(replica, part))
    assert len(found) >= 2


def test_only_the_part_that_was_asked_for_is_filled_and_all_are_counted(three):
    view = state_view(three.face("site-00"), "site-00", "counters", 10, None)
    assert (view["terms"], view["registers"], view["equalities"]) == ([], [], [])
    assert [each["name"] for each in view["counters"]] == ["starts"] * 3
    assert view["counts"] == {"terms": 6, "equalities": 0, "counters": 3, "registers": 3}
    assert view["version"] == three.sites["site-00"].peer.replica.version
    assert (view["here"], view["start"], view["digest"]) == (True, 1, three.sites["site-00"].peer.replica.digest)


def test_of_an_agent_that_lives_elsewhere_it_is_what_it_wrote(three):
    view = state_view(three.face("site-00"), "site-02", "terms", 10, None)
    assert (view["here"], view["seen_by"], view["start"]) == (False, "site-00", 1)
    assert {each["writer"] for each in view["terms"]} == {"site-02.1"}
    assert view["counts"] == {"terms": 2, "equalities": 0, "counters": 1, "registers": 1}
    assert view["version"] == {"site-02.1": three.sites["site-00"].peer.replica.version["site-02.1"]}
    assert view["digest"] == three.sites["site-00"].peer.others["site-02"].digest
    assert len(pages(three.face("site-00"), "site-02", "terms", 1)) == 2


def test_a_register_is_its_json_and_of_a_long_one_the_beginning(three):
    replica = three.sites["site-00"].peer.replica
    replica.registers["note", "long@site-00"] = Item(
        Written(Stamp(1_700_000_000_500, 0, "site-00"), "x" * 5000), Dot("site-00.1", 1), 3
    )
    view = state_view(three.face("site-00"), "site-00", "registers", 10, None)
    short, long = view["registers"][0], view["registers"][-1]
    assert (short["name"], short["value"], short["epoch"]) == ("a place @site-00", '{"held":1}', None)
    assert (long["value"], long["written_at"], long["epoch"]) == ("x" * MOST_TEXT + "…", 1_700_000_000.5, 3)


@pytest.mark.parametrize("letter", ["x", " ", "\U0001f600"], ids=["plain", "blank", "wide"])
def test_names_of_any_length_have_cursors_that_fit_into_an_address_and_pages_come_to_an_end(three, letter):
    replica = three.sites["site-00"].peer.replica
    for i in range(3):
        key = (letter * 190 + str(i), letter * 200)
        replica.registers[key] = Item(Written(Stamp(1, 0, "site-00"), "1"), Dot("site-00.1", 1), 3)
    face, after, seen = three.face("site-00"), None, []
    for _ in range(10):
        view = state_view(face, "site-00", "registers", 1, after)
        seen += [each["kind"] for each in view["registers"]]
        after = view["next"]
        if after is None:
            break
        assert len(after) <= MOST_CURSOR
        assert re.fullmatch("[!-~]+( [!-~]+)?", after)
    assert after is None
    assert len(seen) == len(set(seen)) + 2, "only those of kind `note` are of one kind"
    assert {each for each in seen if each != "note"} <= {key for key, _ in replica.registers}


def test_where_no_agent_lives_nothing_is_claimed(three):
    view = state_view(FleetFace("attic", three.spec()), "site-00", "terms", 10, None)
    assert (view["seen_by"], view["digest"], view["next"], set(view["counts"].values())) == (None, None, None, {0})


def test_a_page_of_100_000_terms_takes_no_longer_than_a_look_at_their_ids(three):
    face, replica = three.face("site-00"), Replica()
    for i in range(100_000):
        replica.terms[f"{i:064x}"] = Item(("identity", (), ()), Dot("site-00.1", i + 1), 1)
    face.agents[0].peer.replica = replica
    best = min(_seconds(lambda: state_view(face, "site-00", "terms", 100, f"{50_000:064x}")) for _ in range(3))
    assert best < 0.1
    assert state_view(face, "site-00", "terms", 1, f"{50_000:064x}")["terms"][0]["id"] == f"{50_001:064x}"


def _seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- messages -----------------------------------------------------------------------------------------------------------


def test_messages_are_those_from_and_to_the_agent_the_newest_first(three):
    found = messages_of(three.face("site-00", "site-01"), "site-02", None, ANY_TIME, 10_000)
    assert found
    assert all("site-02" in {each.via, each.to} for each in found)
    assert [each.at for each in found] == sorted((each.at for each in found), reverse=True)
    assert {each.to for each in found} == {"site-00", "site-01"}, "what came to it is known where it lives"
    kinds = Counter(each.kind for each in found)
    assert (
        len(messages_of(three.face("site-00", "site-01"), "site-02", "state", ANY_TIME, 10_000)) == kinds["state"] > 0
    )


@pytest.mark.parametrize("most", [1, 3, 50])
def test_of_messages_before_a_time_there_are_as_many_as_are_wanted(three, most):
    face = three.face("site-00", "site-01")
    every = messages_of(face, "site-01", None, ANY_TIME, 10_000)
    before = every[len(every) // 2].at
    older = [each for each in every if each.at < before]
    found = messages_of(face, "site-01", None, before, most)
    assert found[:most] == older[:most]
    assert len(found) >= min(most, len(older))


def test_agents_that_share_a_timeline_have_each_message_in_it_once(three):
    face = three.face("site-00", "site-01")
    face.agents[1].timeline = face.agents[0].timeline
    assert len(messages_of(face, "site-00", None, ANY_TIME, 10_000)) == len(
        face.agents[0].timeline.newest(10_000, agent="site-00")
    )


# --- the timeline -------------------------------------------------------------------------------------------------------


def passed(via, at, microseconds, kind="ack", size=1000):
    return Passed(f"{via}-{at}", kind, via, via, "here", 1, at, microseconds, size)


def looked(kept, errors=(), at=1000.0):
    return Came(
        at=at, seen_by="here", agents=("here",), ways=(("a", "here"), ("b", "here")), passed=(kept,), errors=Counter(errors),
        total=50, skewed=1, converged_since=None, apart_since=None, convergence_seconds=None,
    )  # fmt: skip


def test_each_way_has_its_quantiles_rates_and_errors():
    kept = [passed("a", 1000 - i, 100.0 * (i + 1)) for i in range(20)] + [passed("b", 995, -5.0)]
    view = timeline_view(looked(kept, {("a", "here", "full"): 2, ("a", "here", "lost"): 3, ("here", "a", "gone"): 9}))
    assert timeline_view(looked([], {("?", "here", "malformed"): 1}))["edges"] == timeline_view(looked([]))["edges"]
    a, b, back = view["edges"]
    assert (a["from"], a["to"], a["count"], a["errors"], a["last_at"]) == ("a", "here", 20, 5, 1000)
    assert a["microseconds"] == {"p50": 1000.0, "p95": 1900.0, "p99": 2000.0}
    assert (a["messages_per_second"], a["megabits_per_second"]) == (
        pytest.approx(20 / 19),
        pytest.approx(20 * 8e-3 / 19),
    )
    assert (b["count"], b["microseconds"]["p50"]) == (1, None), "it came before it was sent, as the clocks say"
    assert (back["from"], back["to"], back["count"], back["errors"]) == ("here", "a", 0, 9)
    assert view["errors"][0] == {"from": "here", "to": "a", "what": "gone", "count": 9}
    assert (view["kept"], view["total"], view["skewed"], view["by_kind"]) == (21, 50, 1, {"ack": 21})


def test_rates_are_over_the_last_minute_where_more_is_kept():
    kept = [passed("a", 1000.0 - 10 * i, 5.0) for i in range(50)]
    view = timeline_view(looked(kept))
    assert view["messages_per_second"] == pytest.approx(7 / 60)
    assert view["count"] == 50


def test_a_way_on_which_nothing_came_is_in_it():
    view = timeline_view(looked([]))
    assert [(each["from"], each["count"], each["messages_per_second"]) for each in view["edges"]] == [
        ("a", 0, 0),
        ("b", 0, 0),
    ]
    assert (view["since"], view["last_at"], view["microseconds"]) == (
        None,
        None,
        {"p50": None, "p95": None, "p99": None},
    )


def test_what_came_is_taken_from_all_agents_that_live_here(three):
    face = three.face("site-00", "site-01")
    view = timeline_view(came(face, three.now))
    assert view["agents"] == ["site-00", "site-01"]
    assert view["total"] == view["kept"] == sum(each.timeline.total for each in face.agents)
    assert {(each["from"], each["to"]) for each in view["edges"]} == {
        ("site-00", "site-01"), ("site-02", "site-01"), ("site-01", "site-00"), ("site-02", "site-00"),
    }  # fmt: skip
    assert all(each["microseconds"]["p50"] > 0 for each in view["edges"])
    assert view["converged_since"] is not None


def test_where_nobody_lives_the_timeline_is_empty(three):
    view = timeline_view(came(FleetFace("attic", three.spec()), three.now))
    assert (view["seen_by"], view["edges"], view["total"], view["converged_since"]) == (None, [], 0, None)


def test_of_many_timelines_no_more_is_looked_at_than_one_of_them_keeps(three):
    face = three.face("site-00", "site-01")
    for agent in face.agents:
        for i in range(MOST):
            agent.timeline.note(passed("site-02", three.now + i, 1.0))
    taken = came(face, three.now + MOST)
    assert [len(each) for each in taken.passed] == [MOST // 2] * 2
    assert taken.passed[0][0].at == three.now + MOST - 1, "the newest"


def test_a_timeline_that_was_taken_does_not_change_any_more(three):
    face = three.face("site-00")
    taken = came(face, three.now)
    count = timeline_view(taken)["kept"]
    face.agents[0].timeline.note(passed("site-01", three.now, 1.0))
    assert timeline_view(taken)["kept"] == count
    assert isinstance(face.agents[0].timeline, Timeline)
