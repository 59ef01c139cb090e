"""The fleet in a terminal: what an operator who has never seen one reads, and what gives way where there is little room."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from controller.api import agents, traffic
from controller.fleet.display import colour_of_name
from controller.fleet.escrow import Limit
from controller.fleet.manifest import FleetSpec
from controller.fleet.shown import FleetFace, fleet_view
from controller.fleet.shown_agent import came, timeline_view
from controller.fleet.topology import SIERPINSKI9
from controller.report.fleet_tables import (
    PICTURE,
    agents_table,
    named,
    status_table,
    timeline_table,
    topology_table,
)
from tests.controller.api.fleets import LIMIT, some_fleet
from tests.controller.fleet.watched import CORES

SHARE = {"name": "store", "protocol": "storj", "resource": "storage", "maxShare": 0.4}


@pytest.fixture
def fleet():
    return some_fleet()


def answered(model, view):
    """As the API sends it."""
    return json.loads(model.model_validate(view).model_dump_json(by_alias=True))


def fleet_of(fleet, *here, break_it=None, **more):
    face = fleet.face(
        *(here or ("site-00", "site-01")), **{"limits": [LIMIT, SHARE], "irreversibleAtOnce": None, **more}
    )
    if break_it:
        break_it(face)
    return answered(agents.Fleet, fleet_view(face, fleet.now))


def text(shown, width=160):
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def flat(shown, width=160):
    return " ".join(text(shown, width).split())


# --- status ---------------------------------------------------------------------------------------------------------------


def test_a_fleet_that_is_well_says_that_nothing_is_wrong(fleet):
    shown = text(status_table(fleet_of(fleet)))
    assert "Fleet attic of 3 site(s), as site-00 sees it at 2023-11-14 22:1" in shown
    assert "3 of 3 agents are alive; they know the same since" in shown
    assert "limit cpu of golem cpu: maxTotal 30 cores; 6 cores held of at most 30 cores, 24 cores to spare" in shown
    assert "  site-01  10 cores  2 cores  8 cores" in shown
    assert "limit store of storj storage: maxShare 40%; each site keeps storj within 40% of its own storage" in shown
    assert "waits until p-0 of site-00 is over" in shown
    assert shown.rstrip().endswith("nothing is wrong")


def test_who_is_cut_off_since_when_and_which_limit_waits_for_whom_is_said_with_what_to_do(fleet):
    fleet.kill("site-02")
    fleet.word("site-00", Limit("cpu most", fleet.names, 15 * CORES))
    fleet.run(95)
    view = fleet_of(fleet, limits=[LIMIT | {"maxTotal": 15}])
    shown = flat(status_table(view))
    assert "2 of 3 agents are alive" in shown
    assert "wrong: site-02 is cut off: site-00 heard from it last 1m" in shown
    assert "do: see whether `orcha run --site site-02` runs at its place" in shown
    assert "note: limit cpu (maxTotal) is not settled: site-00 has not taken it on yet" in shown
    assert "do: all keep within the older wording too, until site-02 is heard again" in shown
    assert "not all sites keep within it yet, see below" in shown
    assert "this site may not use its part before all agreed once" in shown
    assert "cut off for 1m" in shown


def test_a_site_that_hears_nobody_is_told_that_it_decides_alone(fleet):
    fleet.cut = {frozenset(("site-00", other)) for other in ("site-01", "site-02")}
    fleet.run(60)
    assert "1 of 3 agents are alive; nobody else is heard, so each decides alone" in flat(
        status_table(fleet_of(fleet, "site-00"))
    )


def test_agents_that_differ_are_said_to_differ_and_since_when(fleet):
    def differ(face):
        face.agents[0].peer.others["site-02"].digest = "another"
        face.agents[0].timeline.agree(False, fleet.now, "site-00")

    shown = flat(status_table(fleet_of(fleet, break_it=differ)))
    assert "3 of 3 agents are alive; they do not all know the same yet since 2023-11-14 22:1" in shown


def test_where_no_agent_lives_that_is_said_and_nothing_is_claimed(fleet):
    view = answered(agents.Fleet, fleet_view(FleetFace("attic", fleet.spec(limits=[LIMIT, SHARE])), fleet.now))
    for table in (status_table, agents_table):
        shown = flat(table(view))
        assert "no agent lives in this process, so nothing is known of the others" in shown
        assert "start it with orcha run --site NAME" in shown
        assert "alive;" not in shown


def test_more_than_can_be_put_together_is_said(fleet):
    view = fleet_of(fleet)
    view["joint"] |= {"program": None, "ended": "nodes"}
    assert "too much to be put together (ended by nodes); the order above holds all the same" in flat(
        status_table(view)
    )


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_it_fits_into_any_terminal(fleet, width):
    view = fleet_of(fleet)
    line = answered(traffic.Timeline, timeline_view(came(fleet.face("site-00"), fleet.now)))
    for shown in (status_table(view, width), agents_table(view, width), timeline_table(line, width)):
        assert "site-02" in text(shown, width)


# --- agents ---------------------------------------------------------------------------------------------------------------


def test_each_agent_is_in_a_line_with_what_is_known_of_it(fleet):
    def break_it(face):
        face.agents[1].stored = face.agents[1].transport.connected = False
        face.agents[1].peer.refuse("message 7 is for nobody")

    view = fleet_of(fleet, break_it=break_it)
    shown = text(agents_table(view, 160)).splitlines()
    one, two, three = (next(line for line in shown if line.startswith(f"site-0{i}")).split() for i in range(3))
    assert one[:6] == ["site-00", "site", "100%", "itself", "the", "same"]
    assert two[-5:-2] == ["here", "fails", "cut"]
    assert two[-1] == "1"
    assert three[-5:] == ["elsewhere", "–", "–", "–", "–"]
    assert "site-01 refused last: message 7 is for nobody" in "\n".join(shown)


def test_who_was_never_heard_is_not_said_to_be_late(fleet):
    def forget(face):
        face.agents[0].peer.others["site-02"].heard = None

    assert "never" in next(
        line for line in text(agents_table(fleet_of(fleet, break_it=forget))).splitlines() if line.startswith("site-02")
    )


# --- the timeline ---------------------------------------------------------------------------------------------------------


def line_of(fleet, *here):
    return answered(traffic.Timeline, timeline_view(came(fleet.face(*here), fleet.now)))


def test_every_way_is_in_a_line_and_what_failed_is_explained(fleet):
    fleet.line("site-00").fail("site-00", "site-02", "unreachable")
    fleet.line("site-00").fail("?", "site-00", "malformed")
    view = line_of(fleet, "site-00")
    shown = text(timeline_table(view))
    assert f"{view['total']} messages came to site-00, from 2023-11-14 22:13" in shown
    row = next(line for line in shown.splitlines() if line.startswith("site-02"))
    assert row.split()[:3] == ["site-02", "site-00", str(view["edges"][-1]["count"])]
    assert " ms " in row
    out = next(line for line in shown.splitlines() if line.startswith("site-00"))
    assert out.split() == ["site-00", "site-02", *"––––––", "1", "–"], (
        "what came over it is known at its other end only"
    )
    assert "1 from site-00 to site-02: could not be sent: the servers of spec.nats" in shown
    assert "1 from ? to site-00: could not be read; do both sides run the same version of orcha? (malformed)" in shown
    assert "1 from site-02 to site-00: lost (lost)" in shown


def test_of_many_that_failed_those_that_did_most_are_shown(fleet):
    view = line_of(fleet, "site-00")
    view["errors"] = [{"from": f"site-{i}", "to": "site-00", "what": "full", "count": 90 - i} for i in range(30)]
    shown = text(timeline_table(view))
    assert "90 from site-0 to site-00: came or was to be sent faster than it could be taken" in shown
    assert "site-10" not in shown
    assert "and 20 more kinds; -o json has all" in shown


def test_clocks_that_differ_are_pointed_out(fleet):
    view = line_of(fleet, "site-00") | {"skewed": 3}
    assert "3 came before they were sent, as the clocks say: clocks differ; let all machines keep time (NTP)" in flat(
        timeline_table(view)
    )


def test_what_is_not_known_is_a_question_mark_and_a_way_without_messages_says_never(fleet):
    view = line_of(fleet, "site-00")
    nothing = {"p50": None, "p95": None, "p99": None}
    view["edges"][0] |= {"count": 0, "last_at": None, "microseconds": nothing}
    row = next(line for line in text(timeline_table(view)).splitlines() if line.startswith("site-01"))
    assert row.split()[-5:] == ["?", "?", "?", "0", "never"]


def test_a_process_without_agents_has_no_messages_and_says_why(fleet):
    view = answered(traffic.Timeline, timeline_view(came(FleetFace("attic", fleet.spec()), fleet.now)))
    assert "no agent lives in this process, so no messages came here" in flat(timeline_table(view))


# --- the topology ---------------------------------------------------------------------------------------------------------


def spec_of(count, topology="auto"):
    names = [f"site-{i}" for i in range(count)]
    return FleetSpec.model_validate(
        {"sites": names, "topology": topology, "nats": {"servers": ["nats://127.0.0.1:4222"]}}
    )


def topology_of(spec, **alive):
    view = fleet_view(FleetFace("attic", spec), 0.0)
    return {**view, "alive": {row["name"]: row["alive"] for row in view["agents"]} | alive}


def test_the_nine_are_drawn_and_both_mean_distances_say_what_they_are():
    shown = text(topology_table(topology_of(spec_of(9))))
    assert "topology sierpinski9 of 9 agent(s) with 16 edge(s)" in shown
    assert "at most 3 hop(s) (the diameter), 1.694 on average over distinct pairs" in shown
    assert "(1.506 where each agent's 0 to itself is counted, too)" in shown
    assert "  3--4--5--6--7" in shown.splitlines()
    assert "1  site-1    site-0, site-2, site-3, site-4, site-5" in shown


def test_the_picture_has_just_the_edges_that_there_are():
    """Every stroke is followed from vertex to vertex."""
    rows = PICTURE.splitlines()
    at = {(r, c): int(sign) for r, row in enumerate(rows) for c, sign in enumerate(row) if sign.isdigit()}
    strokes = {"|": (1, 0), "/": (1, -1), "\\": (1, 1), "-": (0, 1)}

    def sign(r, c):
        return rows[r][c] if 0 <= r < len(rows) and 0 <= c < len(rows[r]) else " "

    found = set()
    for (r, c), vertex in at.items():
        for stroke, (down, right) in strokes.items():
            y, x = r + down, c + right
            while sign(y, x) == stroke:
                y, x = y + down, x + right
            if (y, x) != (r + down, c + right) and (y, x) in at:
                found.add((min(vertex, at[y, x]), max(vertex, at[y, x])))
    assert found == set(SIERPINSKI9)


def test_other_topologies_are_lists_of_who_talks_with_whom():
    shown = text(topology_table(topology_of(spec_of(4, "ring"))))
    assert "1  site-1    site-0, site-2" in shown
    assert "--" not in shown


def test_a_site_that_is_alone_talks_with_nobody():
    shown = text(topology_table(topology_of(FleetSpec.model_validate({"sites": ["attic"]}))))
    assert "nobody: it is alone" in shown
    assert "hop" not in shown


def test_who_is_cut_off_is_marked_where_that_is_known():
    shown = text(topology_table(topology_of(spec_of(3), **{"site-1": False, "site-2": True})))
    assert "1  site-1  cut off  site-0, site-2" in shown
    assert shown.count("cut off") == 1


# --- colours --------------------------------------------------------------------------------------------------------------


def test_equal_names_have_equal_colours_and_anagrams_do_not():
    names = ("abc", "acb", "bac", "bca", "cab", "cba")
    assert named("abc").style == named("abc").style == colour_of_name("abc")
    assert len({named(name).style for name in names}) == len(names)
