"""The fleet over HTTP: what lives here is shown as it is, what lives elsewhere as it is known, and nothing is made up."""

from __future__ import annotations

import asyncio
import time

import pytest

from controller.api.fleet import FleetLooking
from controller.fleet.crdt import Dot, Item
from controller.fleet.shown import FleetFace
from controller.report.programs import seconds
from exporters.doors import Tokens
from tests.controller.api import desk
from tests.controller.api.fleets import AGENTS, LIMIT, ON, UP, some_fleet

ROOT = "/api/v1/fleet"
LOOKS = ("", "/timeline", "/agents/site-00/state", "/agents/site-00/egraph", "/agents/site-00/messages")


@pytest.fixture
def fleet():
    return some_fleet()


@pytest.fixture
def face(fleet):
    return fleet.face("site-00", "site-01", limits=[LIMIT])


@pytest.fixture
async def ask(serve, fleet, face):
    """ask(path below the fleet) -> the JSON of the answer."""
    client = await serve(fleet=face, now=lambda: fleet.now)

    async def get(path="", **query):
        answer = await client.get(ROOT + path, params=query)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    get.client = client
    return get


# --- looking ------------------------------------------------------------------------------------------------------------


async def test_the_fleet_is_shown_as_its_site_sees_it(ask, fleet):
    view = await ask()
    assert (view["name"], view["site"], view["seen_by"], view["alive"], view["converged"]) == (
        "attic", "site-00", "site-00", 3, True,
    )  # fmt: skip
    assert [each["here"] for each in view["agents"]] == [True, True, False]
    assert seconds(view["at"]) == fleet.now
    assert seconds(view["agents"][2]["heard_at"]) == pytest.approx(
        fleet.sites["site-00"].peer.others["site-02"].heard, abs=1e-3
    )
    limit = view["limits"][0]
    assert (limit["kind"], limit["bound"], limit["settled"], limit["held"], limit["wanted"]) == (
        "maxTotal", 30.0, True, 6.0, 24.0,
    )  # fmt: skip
    assert [each["rights"] for each in limit["sites"]] == [10.0, 10.0, 10.0]
    assert [each["fate"] for each in view["proposals"]] == ["goes", "waits", "waits"]
    assert view["joint"]["layers"] == [["p-0"], ["p-1"], ["p-2"]]
    assert view["topology"]["edges"][0] == {"from": "site-00", "to": "site-01"}


async def test_the_state_comes_in_pages_that_go_on_from_one_another(ask, fleet):
    replica, after, found = fleet.sites["site-00"].peer.replica, {}, []
    while True:
        view = await ask("/agents/site-00/state", part="registers", limit="2", **after)
        assert len(view["registers"]) <= 2
        found += [(each["kind"], each["name"]) for each in view["registers"]]
        if view["next"] is None:
            break
        after = {"after": view["next"]}
    assert found == sorted(replica.registers)
    assert view["counts"]["terms"] == len(replica.terms) == 3
    assert view["digest"] == replica.digest


async def test_a_name_with_blanks_and_slashes_is_a_cursor_as_well(ask, fleet):
    peer = fleet.sites["site-00"].peer
    for name in ("a b/c", "a b/c?d=é&f", "a b/d%20"):
        peer.replica.write("odd kind", name, 1, peer.stamp(fleet.now), peer.writer)
    names, after = [], {"after": "odd%20kind !"}
    while after["after"]:
        view = await ask("/agents/site-00/state", part="registers", limit="1", **after)
        names += [each["name"] for each in view["registers"] if each["kind"] == "odd kind"]
        after = {"after": view["next"]}
    assert names == ["a b/c", "a b/c?d=é&f", "a b/d%20"]


async def test_of_an_agent_that_lives_elsewhere_it_is_what_is_known_of_it_here(ask):
    state = await ask("/agents/site-02/state", part="registers")
    assert (state["here"], state["seen_by"]) == (False, "site-00")
    assert {each["writer"] for each in state["registers"]} == {"site-02.1"}
    egraph = await ask("/agents/site-02/egraph")
    assert egraph["here"] is False
    messages = await ask("/agents/site-02/messages")
    assert messages["here"] is False
    assert messages["messages"]
    assert all("site-02" in {each["from"], each["to"]} for each in messages["messages"])


async def test_the_egraph_shows_what_is_equal(ask):
    view = await ask("/agents/site-00/egraph")
    assert (view["terms"], view["equalities"], view["ended"], view["count"]) == (3, 1, "fixpoint", len(view["classes"]))
    same = next(each for each in view["classes"] if UP.id in {member["id"] for member in each["members"]})
    assert ON.id in {member["id"] for member in same["members"]}, "it was said so"
    one = await ask("/agents/site-00/egraph", limit="1")
    assert (len(one["classes"]), one["next"]) == (1, one["classes"][0]["id"])


async def test_what_follows_is_worked_out_again_only_when_something_was_heard(fleet, face):
    looking = FleetLooking(desk.faces(fleet=face))
    first = await looking._follow(face, "site-00")
    assert await looking._follow(face, "site-00") is first
    peer = fleet.sites["site-00"].peer
    peer.replica.add(ON, peer.writer, 5)
    assert await looking._follow(face, "site-00") is not first


async def test_messages_are_told_apart_by_kind_and_come_in_pages_the_newest_first(ask, face):
    every, before = [], {}
    while True:
        view = await ask("/agents/site-00/messages", limit="50", kind="ack", **before)
        every += view["messages"]
        if view["next"] is None:
            break
        before = {"before": view["next"]}
    assert {each["kind"] for each in every} == {"ack"}
    wanted = [e for one in face.agents for e in one.timeline.newest(10_000, "ack", "site-00")]
    assert len(every) == len({each["id"] for each in every}) == len(wanted) > 3
    assert [each["at"] for each in every] == sorted((each["at"] for each in every), reverse=True)


async def test_the_timeline_has_every_way_that_ends_here(ask):
    view = await ask("/timeline")
    assert view["agents"] == ["site-00", "site-01"]
    assert [(each["from"], each["to"]) for each in view["edges"]] == [
        ("site-00", "site-01"), ("site-01", "site-00"), ("site-02", "site-00"), ("site-02", "site-01"),
    ]  # fmt: skip
    assert all(
        each["count"] and each["microseconds"]["p95"] >= each["microseconds"]["p50"] > 0 for each in view["edges"]
    )
    assert view["errors"] == [{"from": "site-02", "to": "site-00", "what": "lost", "count": 1}]


async def test_nine_agents_with_100_000_terms_are_asked_for_their_state_in_less_than_100_ms(ask, face):
    replica = face.agents[0].peer.replica
    for i in range(100_000):
        replica.terms[f"{i:064x}"] = Item(("identity", (), ()), Dot("site-00.1", i + 1), 1)
    took = []
    for i in range(20):
        began = time.perf_counter()
        await ask("/agents/site-00/state", after=f"{i * 4000:064x}")
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.1, "the median: others use this machine, too"


# --- where there is none ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LOOKS)
async def test_without_a_fleet_everything_is_404_and_says_how_to_declare_one(serve, path):
    answer = await (await serve()).get(ROOT + path)
    error = (await answer.json())["error"]
    assert answer.status == 404
    assert "no fleet is declared here" in error["what"]
    assert "kind Fleet" in error["what"]
    assert "docs/fleet.md" in error["right"]


@pytest.mark.parametrize("name", ["site-03", "SITE", "site_00", "x" * 80])
@pytest.mark.parametrize("part", ["state", "egraph", "messages"])
async def test_an_agent_that_is_none_of_the_fleet_is_404_and_those_that_are_are_named(ask, name, part):
    answer = await ask.client.get(f"{ROOT}/agents/{name}/{part}")
    assert answer.status == 404
    assert "it has site-00, site-01, site-02" in (await answer.json())["error"]["what"]


@pytest.mark.parametrize("path", LOOKS)
async def test_a_controller_in_which_no_agent_lives_answers_what_it_can(serve, fleet, path):
    client = await serve(fleet=FleetFace("attic", fleet.spec()), now=lambda: fleet.now)
    answer = await client.get(ROOT + path)
    assert answer.status == 200
    found = await answer.json()
    assert found["seen_by"] is None
    assert found.get("here", False) is False


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/agents/site-00/state", {"part": "all"}),
        ("/agents/site-00/state", {"limit": "0"}),
        ("/agents/site-00/messages", {"kind": "gossip"}),
        ("/agents/site-00/messages", {"before": "soon"}),
        ("/timeline", {"limit": "5"}),
    ],
    ids=["part", "limit", "kind", "before", "unknown"],
)  # fmt: skip
async def test_what_cannot_be_asked_for_is_refused(ask, path, query):
    assert (await ask.client.get(ROOT + path, params=query)).status == 400


# --- a sync round -------------------------------------------------------------------------------------------------------


async def test_a_sync_round_is_sent_when_it_is_answered(ask, face):
    answer = await ask.client.post(f"{ROOT}/agents/site-01/sync", json={"by": "anna"})
    assert answer.status == 200
    assert await answer.json() == {
        "agent": "site-01", "neighbours": ["site-00", "site-02"], "by": "anna (this machine)",
    }  # fmt: skip
    assert [each.rounds for each in face.agents] == [0, 1]


async def test_an_agent_that_lives_elsewhere_is_not_told_and_who_can_is_said(ask, serve, fleet):
    answer = await ask.client.post(f"{ROOT}/agents/site-02/sync", json={})
    assert answer.status == 409
    assert "it lives in the controller of site site-02; ask that" in (await answer.json())["error"]["what"]
    relays = fleet.face("site-00", sites=["site-00", "site-01"], relays=["site-02"])
    answer = await (await serve(fleet=relays)).post(f"{ROOT}/agents/site-02/sync", json={})
    assert answer.status == 409
    assert "orcha fleet host" in (await answer.json())["error"]["what"]


async def test_a_sync_of_nobody_is_404(ask, serve):
    assert (await ask.client.post(f"{ROOT}/agents/site-09/sync", json={})).status == 404
    assert (await (await serve()).post(f"{ROOT}/agents/site-00/sync", json={})).status == 404


async def test_off_loopback_reading_needs_a_token_and_a_sync_round_that_of_operate(serve, face, fleet, tmp_path):
    for role in ("read", "operate"):
        (tmp_path / role).write_text(f"{role}-token\n")
    tokens = Tokens(read=tmp_path / "read", operate=tmp_path / "operate")
    client = await serve(host="0.0.0.0", tokens=tokens, fleet=face, now=lambda: fleet.now)  # noqa: S104 the test is about it; it listens on loopback
    by = {role: {"Authorization": f"Bearer {role}-token"} for role in ("read", "operate")}
    assert (await client.get(ROOT)).status == 401
    assert (await client.get(ROOT, headers=by["read"])).status == 200
    path = f"{ROOT}/agents/site-00/sync"
    assert (await client.post(path, json={})).status == 401
    assert (await client.post(path, json={}, headers=by["read"])).status == 403
    assert (await client.post(path, json={}, headers=by["operate"])).status == 200
    assert face.agents[0].rounds == 1


async def test_many_ask_at_once_and_all_are_answered(ask):
    found = await asyncio.gather(*(ask("/agents/site-00/egraph") for _ in range(20)), *(ask() for _ in range(20)))
    assert {each.get("agent", "fleet") for each in found} == {"site-00", "fleet"}
    assert set(AGENTS) == {each["name"] for each in found[-1]["agents"]}
