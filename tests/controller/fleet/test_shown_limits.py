"""What is wrong with limits is told to whoever looks, wherever that is."""

from __future__ import annotations

import pytest

from controller.fleet.escrow import Limit
from controller.fleet.shown import fleet_view
from controller.fleet.wire import WORDED
from tests.controller.fleet.watched import CORES, watched

CPU = {"name": "cpu", "protocol": "golem", "resource": "cpu", "maxTotal": 12}
SAID = "limit cpu (maxTotal): as was heard last, the manifest of {} says something else of it"


def say(fleet, site, wording, of=("golem", "cpu"), value=None):
    """Let a site tell what its manifest says."""
    peer = fleet.sites[site].peer
    said = {"wording": wording, "of": [list(of)], "in_force": True} if value is None else value
    stamp = peer.stamp(fleet.clock(site))
    peer.replica.write(WORDED, f"cpu most@{site}", said, stamp, peer.writer)
    fleet.send(site, peer.push(fleet.clock(site)))


@pytest.fixture
def fleet():
    """Three sites, of whose limit the newest wording is 12 cores, and each has it."""
    made = watched()
    made.run(30)
    made.share("cpu most", most=12 * CORES)
    for name in made.names:
        say(made, name, newest(made).id)
    made.run(30)
    return made


def newest(fleet):
    return Limit("cpu most", tuple(fleet.names), 12 * CORES)


def whats(fleet, here="site-00"):
    fleet.run(30)
    return [each["what"] for each in fleet_view(fleet.face(here, limits=[CPU]), fleet.now)["troubles"]]


def test_manifests_that_are_the_same_are_no_trouble(fleet):
    assert not any("manifest" in what for what in whats(fleet))


def test_whose_manifest_has_another_bound_is_told_where_the_newest_wording_comes_from(fleet):
    say(fleet, "site-02", Limit("cpu most", tuple(fleet.names), 27 * CORES).id)
    assert SAID.format("site-02") in whats(fleet)
    assert SAID.format("site-02") in whats(fleet, "site-01")
    assert SAID.format("site-02") not in whats(fleet, "site-02"), "its own is not told as that of another"


def test_a_limit_of_the_same_bound_that_counts_something_else_elsewhere_is_told_at_both(fleet):
    say(fleet, "site-01", newest(fleet).id, of=("storj", "cpu"))
    assert SAID.format("site-01") in whats(fleet)
    assert SAID.format("site-00, site-02") in [
        each["what"]
        for each in fleet_view(fleet.face("site-01", limits=[CPU | {"protocol": "storj"}]), fleet.now)["troubles"]
    ]


@pytest.mark.parametrize("value", ["", [], {}, 7], ids=["nothing", "a list", "no words", "a number"])
def test_what_another_version_of_orcha_says_is_left_alone(fleet, value):
    say(fleet, "site-01", "", value=value)
    assert not any("says something else" in what for what in whats(fleet))


def test_who_said_nothing_yet_says_nothing_else(fleet):
    say(fleet, "site-01", "")
    for name in fleet.names:
        del fleet.sites[name].peer.replica.registers[WORDED, "cpu most@site-02"]
    assert not any("says something else" in what for what in whats(fleet))
