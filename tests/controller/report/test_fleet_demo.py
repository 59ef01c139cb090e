"""The screen of the demo: it fits, says all without colour, and says what went wrong."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from controller.fleet.demo import Moment, Shown
from controller.fleet.topology import topology
from controller.report.fleet_demo import graph, happened, line, screen

LONG = "site-2 has a new wording: 36 cores in all; what was worded before binds until all know"
KEYS = ("p", "h", "k", "l", "w", "space", "q")


def moment(count: int = 9, name: str = "sierpinski9", **more) -> Moment:
    sites = tuple(
        Shown(f"site-{at}", True, 0, 1, count, "abcdef", 3, 4, 4, trusted=True) for at in range(count)
    )  # fmt: skip
    given = {
        "seconds": 7.0, "topology": name, "sites": sites, "bound": 36, "newest": 36, "messages_per_second": 250.4,
        "edges": tuple((*edge, True) for edge in sorted(topology(name, count).edges)), "p95_milliseconds": 12.34,
        "apart": None, "took": 1.5, "loss": 0.0, "paused": False, "checks": 99, "broken": "",
        "events": tuple((float(at), LONG) for at in range(30)),
    }  # fmt: skip
    return Moment(**(given | more))


def drawn(shown, width: int, height: int = 40) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return [each.rstrip() for each in captured.get().splitlines()]


def split(found: Moment, dead: int, other: set[int]) -> Moment:
    sites = tuple(
        replace(site, alive=at != dead, side=None if at == dead else int(at in other), digest="bcdefa" if at in other else "abcdef")
        for at, site in enumerate(found.sites)
    )  # fmt: skip
    edges = tuple(
        (one, to, dead not in {one, to} and (one in other) == (to in other)) for one, to, _ in found.edges
    )  # fmt: skip
    return replace(found, sites=sites, edges=edges, apart=3.21)


@pytest.mark.parametrize(("width", "height"), [(60, 18), (60, 40), (80, 24), (100, 30), (200, 60)])
def test_it_fits_with_the_keys_in_the_last_line_however_much_happened(width, height):
    lines = drawn(screen(moment(), width, height), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert all(key in lines[-1].split() for key in KEYS)
    assert any("site-8" in each for each in lines)
    assert any(each.endswith(("...", LONG)) for each in lines)


def test_sides_and_the_dead_are_told_by_signs():
    text = "\n".join(drawn(screen(split(moment(), 4, {0, 1, 2}), 100, 30), 100))
    assert all(f"[{at}b]" in text for at in (0, 1, 2))
    assert all(f"[{at}a]" in text for at in (3, 5, 6, 7, 8))
    assert "(4) site-4" in text
    assert "dead" in text
    assert "2 states on 2 sides for 3.2 s" in text


def test_a_link_is_drawn_where_something_goes_over_it():
    whole, cut = moment(), split(moment(), 99, {0, 1, 2})
    dots = [sum(0x2800 < ord(sign) <= 0x28FF for sign in str(graph(each, 34, 13))) for each in (whole, cut)]
    assert 0 < dots[1] < dots[0]
    none = replace(whole, edges=tuple((one, to, False) for one, to, _ in whole.edges))
    assert not any(0x2800 <= ord(sign) <= 0x28FF for sign in str(graph(none, 34, 13)))


@pytest.mark.parametrize(("name", "count"), [("full", 1), ("full", 5), ("grid", 12), ("ring", 40), ("sierpinski", 27)])
def test_every_agent_of_every_topology_has_a_place_in_the_picture(name, count):
    found = moment(count, name)
    rows = str(graph(found, 60, 30)).split("\n")
    assert {len(row) for row in rows} == {60}
    assert all(f"[{at}]" in str(rows) for at in range(count))


def test_where_only_ascii_can_be_shown_nothing_else_is():
    "\n".join(drawn(screen(moment(), 100, 30, plain=True), 100)).encode("ascii")


def test_it_is_said_where_the_limit_was_not_kept():
    broken = moment(broken="after 3.0 s the sites held 37 of 36 cores")
    assert "NOT KEPT: after 3.0 s the sites held 37 of 36 cores" in "\n".join(drawn(screen(broken, 100, 40), 100))
    assert "THE LIMIT WAS NOT KEPT" in line(broken)
    assert "NOT KEPT" not in line(moment())


def test_what_is_not_known_is_no_number():
    unknown = moment(bound=None, newest=None, p95_milliseconds=None)
    text = "\n".join(drawn(screen(unknown, 100, 40), 100))
    assert "not agreed upon yet; nobody takes anything" in text
    assert "p95 ?" in text
    assert "held 27 of ? cores" in line(unknown)


def test_a_wording_that_is_on_its_way_is_said():
    text = "\n".join(drawn(screen(moment(newest=18), 100, 40), 100))
    assert "27 of 36 cores, 18 to come" in text


def test_a_line_has_the_figures_of_its_second_and_each_event_is_told_once():
    assert line(moment()) == (
        "    7 s  9 of 9 agents, one state (last time it took 1.5 s); held 27 of 36 cores, wanted 36; 250 messages/s, p95 12.3 ms"
    )
    assert [each.split()[0] for each in happened(moment(), 27.0)] == ["28.0", "29.0"]
