"""A fleet of three sites, two of which live in this process, for tests of the API and of commands, and for the fuzzer."""

from __future__ import annotations

from controller.fleet.proposals import Proposal, tell
from controller.fleet.shown import FleetFace
from controller.fleet.terms import grow, seq
from tests.controller.fleet.watched import CORES, watched

LIMIT = {"name": "cpu", "protocol": "golem", "resource": "cpu", "maxTotal": 30}
AGENTS = ("site-00", "site-01", "site-02")
UP, ON = grow("rack-1/golem", "cpu", 2, 4), grow("rack-1/golem", "cpu", 4, 6)


def some_fleet():
    """The simulation, with a limit, terms and proposals."""
    fleet = watched()
    fleet.share("cpu most", most=30 * CORES)
    for i, name in enumerate(fleet.names):
        fleet.hold(name, "cpu most", 2 * i * CORES, 8 * CORES)
        peer = fleet.sites[name].peer
        peer.replica.add(seq(UP, ON), peer.writer, 1)
        mine = [Proposal(f"p-{i}", name, 100.0 + i, began=False, term=UP)]
        tell(peer.replica, name, mine, lambda peer=peer: peer.stamp(fleet.now), peer.writer, 1)
        fleet.send(name, peer.push(fleet.now))
    peer = fleet.sites["site-00"].peer
    peer.replica.equate(UP, ON, peer.writer, 1)
    fleet.send("site-00", peer.push(fleet.now))
    fleet.run(30)
    fleet.line("site-00").fail("site-02", "site-00", "lost")
    return fleet


def some_face() -> FleetFace:
    return some_fleet().face("site-00", "site-01", limits=[LIMIT])
