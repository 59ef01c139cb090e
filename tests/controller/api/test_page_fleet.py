"""The fleet on the landing page: who is heard, what each limit leaves this site, and nothing where there is no fleet."""

from __future__ import annotations

import re

import pytest

from controller.api.page import landing_page
from controller.api.page_fleet import MOST_AGENTS, fleet_part, how_many
from controller.fleet.shown import fleet_view
from controller.fleet.shown_glance import glance
from tests.controller.api import desk
from tests.controller.api.fleets import LIMIT, some_fleet
from tests.controller.api.test_page import Tags

HOSTILE = "<script>alert(1)</script>\"'"


@pytest.fixture
def fleet():
    return some_fleet()


def seen(fleet, *here, **more):
    face = fleet.face(*(here or ("site-00",)), **({"limits": [LIMIT]} | more))
    whole = fleet_view(face, fleet.now)
    return glance(whole) | {"troubles": whole["troubles"]}


def row(text, name):
    """One row of a table: its head, and its cells by the names of their columns."""
    inside = text.partition(f'<tr id="{name}" role="row">')[2].partition("</tr>")[0]
    cells = re.findall(r'<td role="cell" data-label="([^"]*)"[^>]*><span[^>]*>(.*?)</span></td>', inside)
    return {"head": re.sub("<[^>]*>", " ", inside.partition("</th>")[0]).split(), **dict(cells)}


def limit(**more):
    """One of the glance, with what this site has of it first."""
    found = {
        "name": "cores", "kind": "maxTotal", "protocol": "golem", "resource": "cpu", "bound": 12.0, "in_force": 12.0,
        "as_declared": True, "settled": True, "waits_for": [], "held": 9.0, "usable": True,
        "sites": [
            {"site": "site-00", "rights": 7.0, "held": 4.0},
            {"site": "site-01", "rights": 2.0, "held": 2.0},
            {"site": "site-02", "rights": 3.0, "held": 3.0},
        ],
    }  # fmt: skip
    return found | more


def parts(*held, rights=4.0):
    return [{"site": f"site-0{i}", "rights": rights, "held": each} for i, each in enumerate(held)]


def test_where_there_is_no_fleet_nothing_of_one_is_on_the_page(fleet):
    text = landing_page(desk.view(), {}, desk.some_programs())
    assert "fleet" not in text.lower()
    assert "Agents alive" not in text
    text = landing_page(desk.view(), {}, desk.some_programs(), seen(fleet))
    assert 'id="fleet"' in text
    assert "<dt>Agents alive</dt><dd>3 of 3</dd>" in text


def test_every_tag_is_closed_and_nothing_stands_inline(fleet):
    tags = Tags()
    tags.feed(landing_page(desk.view(), {}, desk.some_programs(), seen(fleet)))
    assert (tags.open, tags.scripts, tags.inline) == ([], ["page.js"], [])
    assert len(tags.ids) == len(set(tags.ids))


def test_it_says_which_site_this_is_who_is_alive_and_since_when_they_know_the_same(fleet):
    view = seen(fleet, "site-01")
    text = fleet_part(view)
    assert '<h2 id="fleet-title">Fleet attic: this is site site-01</h2>' in text
    assert (
        "3 of 3 agents are alive, as far as site-01 has heard; they know the same since 2023-11-14 22:14:20 UTC."
        in text
    )
    assert row(text, "agent-site-01") == {"head": ["site-01", "this", "site"], "state": "alive", "heard last": ""}
    assert row(text, "agent-site-02") == {"head": ["site-02", "site"], "state": "alive", "heard last": ""}
    assert how_many(view) == ("3 of 3", "")
    for link in ("api/v1/fleet", "api/v1/fleet/timeline"):
        assert f'<a href="{link}">' in text


def test_who_is_cut_off_is_told_with_the_time_since_when_and_what_to_do(fleet):
    fleet.kill("site-02")
    fleet.run(30)
    view = seen(fleet)
    text = fleet_part(view)
    silent = row(text, "agent-site-02")
    assert int(fleet.sites["site-00"].peer.others["site-02"].heard) == 1_700_000_085
    assert (silent["state"], silent["heard last"]) == ("cut off", "2023-11-14 22:14:45 UTC")
    assert "2 of 3 agents are alive" in text
    assert '<strong class="bad">wrong:</strong> site-02 is cut off' in text
    assert "To do: see whether <code>orcha run --site site-02</code> runs at its place" in text
    assert how_many(view) == ("2 of 3", "site-02 cut off")
    assert '<span data-say="Agent site-02">cut off</span>' in text


def test_alone_it_says_that_each_goes_on_within_its_own_part(fleet):
    for name in ("site-01", "site-02"):
        fleet.kill(name)
    fleet.run(30)
    assert "site-00 hears nobody else; each site goes on within its own part of each limit." in fleet_part(seen(fleet))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"converged": False, "apart_since": 1.7e9},
            "they do not all know the same yet since 2023-11-14 22:13:20 UTC.",
        ),
        ({"converged": False}, "they do not all know the same yet."),
        ({"alive": None, "site": None}, "No agent lives in this process, so nothing is known of the others."),
    ],
    ids=["apart", "apart-just-now", "nobody"],
)
def test_it_says_what_is_known_of_what_the_others_know(fleet, changes, words):
    assert words in fleet_part(seen(fleet) | {"converged_since": None, "apart_since": None} | changes)


def test_who_was_never_heard_and_who_is_not_known_are_told_apart(fleet):
    rows = [
        {"name": "a", "kind": "site", "here": False, "alive": False, "silent_since": None},
        {"name": "r", "kind": "relay", "here": True, "alive": None, "silent_since": None},
    ]
    text = fleet_part(seen(fleet) | {"agents": rows})
    assert row(text, "agent-a") == {
        "head": ["a", "site"],
        "state": "cut off",
        "heard last": "never since the start here",
    }
    assert row(text, "agent-r") == {"head": ["r", "relay,", "here"], "state": "not known", "heard last": ""}


def test_of_many_agents_all_unfold_when_asked_and_the_first_who_are_silent_are_named_at_once(fleet):
    def some(count):
        each = {"kind": "site", "here": False, "alive": False, "silent_since": 1.7e9}
        return seen(fleet) | {"alive": 1, "agents": [each | {"name": f"n{i}"} for i in range(count)]}

    assert "<details" not in fleet_part(some(MOST_AGENTS))
    text = fleet_part(some(MOST_AGENTS + 1))
    assert f"<summary>All {MOST_AGENTS + 1} agents</summary>" in text
    assert 'id="agent-n12"' in text
    assert how_many(some(5)) == ("1 of 5", "n0, n1, n2 and 2 more cut off")
    assert how_many(some(5) | {"alive": None}) == ("?", "no agent lives here")


# --- limits -------------------------------------------------------------------------------------------------------------


def test_each_limit_says_what_this_site_may_hold_what_it_holds_and_what_all_hold(fleet):
    text = fleet_part(seen(fleet))
    found = row(text, "limit-cpu")
    assert found == {
        "head": ["cpu", "golem", "cpu"], "over all sites": "at most 30 cores", "this site&#x27;s part": "may hold 10 cores, once all sites agreed; until then what it has",
        "held here": "0 cores", "held in all": "6 cores", "state": "kept",
    }  # fmt: skip
    assert row(text, "limit-irreversible")["state"] == "not told yet; until then none grows"


@pytest.mark.parametrize(
    ("given", "bound", "part", "here", "everywhere"),
    [
        ({}, "at most 12 cores", "may hold 7 cores", "4 cores", "9 cores"),
        ({"in_force": 9.0}, "at most 9 cores", "may hold 7 cores", "4 cores", "9 cores"),
        (
            {"kind": "minTotal", "resource": "storage", "in_force": 6 * 2.0**40, "sites": parts(2.0**41, 2.0**42, rights=2.0**41)},
            "at least 6TiB", "must hold 2TiB", "2TiB", "6TiB",
        ),
        ({"kind": "maxCount", "resource": None, "in_force": 3.0, "sites": parts(1, 2)}, "at most 3", "may hold 4", "1", "3"),
        (
            {"kind": "irreversibleAtOnce", "protocol": None, "resource": None, "in_force": 1.0, "sites": parts(0, 1, rights=0)},
            "at most 1", "may have 0 under way", "0", "1",
        ),
        ({"kind": "maxShare", "bound": 0.6, "sites": []}, "at most 60%", "the same share of its own", "–", "–"),
        ({"sites": parts(4.0, None, 3.0)}, "at most 12 cores", "may hold 4 cores", "4 cores", "7 cores + ?"),
        ({"sites": parts(None, None)}, "at most 12 cores", "may hold 4 cores", "?", "?"),
        ({"in_force": None, "sites": []}, "at most 12 cores", "may hold ?", "?", "?"),
    ],
    ids=["most", "another-in-force", "least", "count", "irreversible", "share", "one-unknown", "unknown", "untold"],
)  # fmt: skip
def test_each_kind_of_limit_is_told_in_its_own_words(fleet, given, bound, part, here, everywhere):
    found = row(fleet_part(seen(fleet) | {"limits": [limit(**given)]}), "limit-cores")
    assert found["over all sites"] == bound
    assert found["this site&#x27;s part"] == part
    assert found["held here"] == here
    assert found["held in all"] == everywhere


@pytest.mark.parametrize(
    ("given", "word", "style"),
    [
        ({}, "kept", "good"),
        ({"sites": parts(4.0, None, 3.0)}, "kept", "good"),
        ({"sites": parts(9.0, 3.0)}, "kept", "good"),
        ({"sites": parts(9.0, 4.0)}, "not kept", "bad"),
        ({"kind": "minTotal", "sites": parts(9.0, 2.0)}, "not kept", "bad"),
        ({"kind": "minTotal", "sites": parts(9.0, 3.0)}, "kept", "good"),
        ({"kind": "minTotal", "sites": parts(9.0, None)}, "kept", "good"),
        ({"settled": False, "waits_for": ["lab", "home"]}, "not settled, waits for lab, home", "odd"),
        ({"settled": False, "sites": []}, "not told yet; until then none grows", "odd"),
        ({"settled": None, "sites": []}, "not known", "dim"),
        ({"as_declared": False, "in_force": None}, "not all sites declare the same; here it is 12 cores", "bad"),
        ({"kind": "maxShare", "bound": 0.6, "sites": []}, "each site keeps it by itself", "dim"),
    ],
    ids=["kept", "as-far-as-known", "to-the-last", "too-much", "too-little", "enough", "least-unknown", "waits", "untold", "unknown", "differs", "share"],
)  # fmt: skip
def test_how_a_limit_stands_is_told_in_a_word(fleet, given, word, style):
    text = fleet_part(seen(fleet) | {"limits": [limit(**given)]})
    assert row(text, "limit-cores")["state"] == word
    assert f'class="{style}"><span data-say="Limit cores">{word}</span>' in text


def test_a_process_that_is_no_site_has_no_part_of_a_limit(fleet):
    view = seen(fleet)
    text = fleet_part(view | {"site": None})
    assert "Fleet attic: no site of it is here" in text
    assert row(text, "limit-cpu").keys() == {"head", "over all sites", "held in all", "state"}
    assert 'id="fleet-limits"' not in fleet_part(view | {"limits": []})


# --- proposals ----------------------------------------------------------------------------------------------------------


def test_what_waits_for_another_site_says_for_whom_and_why(fleet):
    text = fleet_part(seen(fleet))
    assert "<h3>Programs that wait for another site</h3>" in text
    assert (
        "<strong>p-1</strong> of site-01 waits until p-0 of site-00 is over, which comes first and changes rack-1/golem</li>"
        in text
    )
    assert "<strong>p-0</strong>" not in text, "it simply goes"
    assert "and 7 more: orcha fleet status" in fleet_part(seen(fleet) | {"waiting_count": 9})
    assert "Programs that wait" not in fleet_part(seen(fleet) | {"waiting": [], "waiting_count": 0})


def test_words_that_would_like_to_be_tags_are_words(fleet):
    waits = {"id": HOSTILE, "agent": HOSTILE, "fate": "waits", "of": HOSTILE, "sentence": HOSTILE}
    trouble = {"serious": True, "what": HOSTILE, "right": f"`{HOSTILE}`"}
    each = {"name": HOSTILE, "kind": "site", "here": False, "alive": False, "silent_since": 1.7e9}
    text = fleet_part(
        seen(fleet)
        | {
            "name": HOSTILE,
            "site": HOSTILE,
            "seen_by": HOSTILE,
            "troubles": [trouble],
            "agents": [each],
            "waiting": [waits],
        }
        | {"limits": [limit(name=HOSTILE, protocol=HOSTILE, waits_for=[HOSTILE], settled=False)]}
    )
    assert "<script" not in text
    tags = Tags()
    tags.feed(text)
    assert (tags.open, tags.inline, tags.seen & {"script", "img"}) == ([], [], set())


# --- served -------------------------------------------------------------------------------------------------------------


async def test_the_page_is_another_one_only_where_something_happened(serve, fleet):
    face = fleet.face("site-00", limits=[LIMIT], irreversibleAtOnce=None)
    client = await serve(fleet=face, now=lambda: fleet.now, version=lambda: 1)
    first = await client.get("/")
    assert "Fleet attic: this is site site-00" in await first.text()
    fleet.run(20)
    again = await client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    fleet.kill("site-01")
    fleet.run(20)
    later = await client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert later.status == 200
    assert "site-01 is cut off" in await later.text()


async def test_without_a_fleet_the_page_has_none(serve):
    assert "fleet" not in (await (await (await serve()).get("/")).text()).lower()
