"""The glance at a fleet has what a person wants to see first, and is another one only where something happened."""

from __future__ import annotations

import pytest

from controller.fleet.shown import fleet_view
from controller.fleet.shown_glance import MOST_PROPOSALS, glance
from controller.fleet.wire import WORDED
from tests.controller.fleet.watched import CORES, watched

CORES_OF = {"name": "cores", "protocol": "golem", "resource": "cpu"}
LIMIT = CORES_OF | {"maxTotal": 30}


@pytest.fixture
def three():
    """Three sites that know the same, with a limit of which each holds something."""
    fleet = watched()
    fleet.share("cores most", most=30 * CORES)
    for i, name in enumerate(fleet.names):
        fleet.hold(name, "cores most", i * CORES)
    fleet.run(30)
    return fleet


def seen(fleet, *here, site=True, **more):
    given = {"limits": [LIMIT], "irreversibleAtOnce": None} | more
    face = fleet.face(*(here or ("site-00",)), site=site, **given)
    return glance(fleet_view(face, fleet.now))


def agent(view, name):
    return next(each for each in view["agents"] if each["name"] == name)


def test_it_has_who_is_alive_what_is_known_and_what_each_holds(three):
    view = seen(three, "site-01")
    assert (view["name"], view["site"], view["seen_by"], view["alive"], view["wrong"]) == (
        "attic", "site-01", "site-01", 3, 0,
    )  # fmt: skip
    assert (view["converged"], view["apart_since"]) == (True, None)
    assert view["converged_since"] < three.now
    assert agent(view, "site-02") == {
        "name": "site-02", "kind": "site", "here": False, "alive": True, "silent_since": None,
    }  # fmt: skip
    [limit] = view["limits"]
    assert (limit["name"], limit["kind"], limit["bound"], limit["settled"], limit["held"]) == (
        "cores", "maxTotal", 30.0, True, 3.0,
    )  # fmt: skip
    assert limit["sites"][2] == {"site": "site-02", "rights": 10.0, "held": 2.0}
    assert (view["waiting"], view["waiting_count"]) == ([], 0)


def test_while_nothing_happens_it_stays_the_same(three):
    before = seen(three)
    three.run(60)
    assert seen(three) == before


def test_who_falls_silent_is_told_with_the_time_since_when_and_again_once_it_is_back(three):
    before = seen(three)
    three.kill("site-02")
    three.run(30)
    cut = seen(three)
    heard = three.sites["site-00"].peer.others["site-02"].heard
    assert agent(cut, "site-02") | {"alive": False, "silent_since": heard} == agent(cut, "site-02")
    assert (cut["alive"], cut["wrong"]) == (2, 1)
    three.run(30)
    assert seen(three) == cut, "only for longer"
    three.start("site-02")
    three.run(30)
    assert agent(seen(three), "site-02") == agent(before, "site-02")


def test_what_a_site_holds_and_what_it_may_hold_makes_another_one(three):
    before = seen(three)
    three.hold("site-02", "cores most", 5 * CORES)
    three.run(30)
    after = seen(three)
    assert after["limits"][0]["held"] == before["limits"][0]["held"] + 3


def test_only_proposals_that_do_not_simply_go_are_in_it_and_of_very_many_the_first(three):
    face = three.face("site-00", limits=[LIMIT])
    whole = fleet_view(face, three.now)
    row = {
        "agent": "site-02",
        "at": 1.0,
        "began": False,
        "of": "p-0",
        "sentence": "waits",
        "term": "",
        "steps": 1,
        "text": "",
    }
    those = [row | {"id": f"p-{i}", "fate": ("goes", "waits", "cancelled")[i % 3]} for i in range(60)]
    view = glance(whole | {"proposals": those})
    assert [each["id"] for each in view["waiting"][:3]] == ["p-1", "p-2", "p-4"]
    assert view["waiting"][0] == {"id": "p-1", "agent": "site-02", "fate": "waits", "of": "p-0", "sentence": "waits"}
    assert (len(view["waiting"]), view["waiting_count"]) == (MOST_PROPOSALS, 40)


# --- whether a site may use its part


def usable(fleet, *here, **more):
    return [limit["usable"] for limit in seen(fleet, *here, **more)["limits"]]


def noted(fleet, name, limit, *, in_force):
    peer = fleet.sites[name].peer
    said = {"wording": "w", "of": [], "in_force": in_force}
    peer.replica.write(WORDED, f"{limit}@{name}", said, peer.stamp(fleet.now), peer.writer)


@pytest.mark.parametrize(
    ("declared", "limit"),
    [
        ({"limits": [LIMIT]}, "cores most"),
        ({"limits": [CORES_OF | {"minTotal": 3}]}, "cores least"),
        ({"limits": [CORES_OF | {"maxCount": 3}]}, "cores count"),
        ({"limits": [], "irreversibleAtOnce": 1}, "irreversible"),
    ],
    ids=["most", "least", "count", "irreversible"],
)
def test_a_site_may_use_its_part_once_it_noted_that_all_keep_the_limit(three, declared, limit):
    three.share(limit, **{"least" if "least" in limit else "most": 3})
    assert usable(three, **declared) == [False], "it noted nothing"
    noted(three, "site-00", limit, in_force=False)
    noted(three, "site-01", limit, in_force=True)
    assert usable(three, **declared) == [False], "only another did"
    noted(three, "site-00", limit, in_force=True)
    assert usable(three, **declared) == [True]


def test_who_may_have_forgotten_what_it_promised_may_not(three):
    noted(three, "site-00", "cores most", in_force=True)
    peer = three.sites["site-00"].peer
    peer.remembered = False
    peer.others["site-02"].agreed = False
    assert usable(three) == [False]


def test_of_a_share_and_where_no_site_is_there_is_no_such_thing(three):
    assert usable(three, limits=[CORES_OF | {"maxShare": 0.5}]) == [None]
    assert usable(three, site=False) == [None]
