"""Three whole controllers on one fleet: what they hold together keeps every limit at every moment, cut off or not, killed or not;
and what one does not need goes to who wants it.

The seed of a random schedule is the number in the test's name, so that one that failed can be run again by that name.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.fleet import escrow
from controller.fleet.manifest import FleetSpec
from tests.controller.fleet.sites import MINUTE, Plot, Sites, akash, golem, store_room

MOST, LEAST, COUNT = 12.0, 3.0, 3
LIMITS: list[dict[str, Any]] = [
    {"name": "golem-most", "protocol": "golem", "resource": "cpu", "maxTotal": MOST},
    {"name": "golem-least", "protocol": "golem", "resource": "cpu", "minTotal": LEAST},
    {"name": "akash-count", "protocol": "mapped", "resource": "cpu", "maxCount": COUNT},
]


def spec_of(limits: list[dict[str, Any]], at_once: int | None = 1) -> FleetSpec:
    pace = {"heartbeat": "20s", "timeout": "60s", "sync": "20s"}
    return FleetSpec.model_validate({"sites": ["a", "b", "c"], "limits": limits, "irreversibleAtOnce": at_once} | pace)


def judge(sites: Sites) -> list[str]:
    """What all nodes really hold, against every limit."""
    golems, runs = sites.held("golem"), sum(has > 0 for has in sites.held("akash").values())
    found = [f"{golems}: more than {MOST:g}"] if sum(golems.values()) > MOST else []
    found += [f"{golems}: less than {LEAST:g}"] if golems and sum(golems.values()) < LEAST else []
    found += [f"{runs} of akash run"] if runs > COUNT else []
    return found + ([f"{sites.lasting()} at once"] if sites.lasting() > 1 else [])


@asynccontextmanager
async def three(tmp_path: Any, a: dict[str, Plot], b: dict[str, Plot], c: dict[str, Plot], **more: Any):
    spec = spec_of(more.pop("limits", LIMITS), more.pop("at_once", 1))
    async with Sites.open(spec, tmp_path, {"a": a, "b": b, "c": c}, judge, **more) as sites:
        yield sites
        sites.look()
        assert sites.broken == []


def busy(**more: Any) -> dict[str, Plot]:
    return {"golem": golem(3, 8, **more), "akash": akash(5, 2)}


def idle(**more: Any) -> dict[str, Plot]:
    return {"golem": golem(3, 1), "akash": akash(5, 8, **more)}


def at_rest(held: float = 3.0) -> dict[str, Plot]:
    """It uses what it has, and nothing competes with it."""
    return {"golem": golem(held, held)}


def in_force(sites: Sites, name: str = "golem-most most") -> bool:
    return all(name in site.site._names() and not site.site._unsettled(name) for site in sites.up.values())


def rights(sites: Sites, name: str, limit: str = "golem-most most") -> int:
    replica = sites.up[name].agent.peer.replica
    found = escrow.rights(replica, escrow.limits(replica)[limit], name)
    assert found is not None
    return found


async def test_what_one_site_does_not_use_goes_to_the_one_that_wants_it(tmp_path):
    async with three(tmp_path, busy(), idle(), idle()) as sites:
        await sites.until(lambda: sites.held("golem")["a"] == 8)
        assert sites.total("golem") <= MOST
        assert rights(sites, "a") == 8000
        assert sites.looked > 50


async def test_before_all_sites_keep_a_limit_nobody_grows(tmp_path):
    async with three(tmp_path, busy(), idle(), idle()) as sites:
        await sites.kill("c")
        await sites.turns(4)
        assert sites.held("golem")["a"] == 3
        assert "would be broken" in sites.said()["a"] or "best within limits" in sites.said()["a"]
        await sites.start("c")
        await sites.until(lambda: sites.held("golem")["a"] > 3)


async def test_cut_off_each_side_keeps_within_its_own_and_after_that_rights_flow_again(tmp_path):
    async with three(tmp_path, busy(), busy(), idle()) as sites:
        await sites.until(lambda: in_force(sites))
        sites.board.partition([{"a"}, {"b", "c"}])
        own = rights(sites, "a")
        await sites.turns(6)
        cut = sites.held("golem")
        assert cut["a"] * 1000 <= own
        assert cut["b"] > 3, "it could use what c gives, who is on its side"
        assert sites.up["a"].desk.programs()
        assert sites.up["b"].desk.programs(), "both sides went on"
        wanted = rights(sites, "a")
        sites.board.heal()
        await sites.until(lambda: len({site.agent.peer.replica.digest for site in sites.up.values()}) == 1)
        assert sum(rights(sites, name) for name in "abc") == MOST * 1000
        assert rights(sites, "a") >= wanted


async def test_alone_a_site_goes_as_far_as_its_own_rights(tmp_path):
    async with three(tmp_path, busy(), at_rest(), at_rest()) as sites:
        await sites.until(lambda: in_force(sites))
        await sites.kill("b")
        await sites.kill("c")
        await sites.until(lambda: sites.held("golem")["a"] * 1000 == rights(sites, "a"))
        await sites.turns(3)
        assert sites.held("golem")["a"] * 1000 == rights(sites, "a")


async def test_a_program_that_goes_back_finds_the_rights_that_it_came_from(tmp_path):
    async with three(tmp_path, busy(), idle(stuck=True), at_rest()) as sites:
        await sites.until(lambda: sites.held("golem")["b"] < 3)
        for _ in range(4):
            await sites.turns()
            assert rights(sites, "b") >= 3000, "what it may go back to is nobody else's"
        await sites.until(lambda: any(p.state == "rolled_back" for p in sites.up["b"].desk.programs()))
        assert sites.held("golem")["b"] == 3


async def test_killed_half_way_its_rights_stay_with_what_it_began(tmp_path):
    async with three(tmp_path, busy(stuck=True), busy(), at_rest()) as sites:
        await sites.until(lambda: any(p.state == "running" for p in sites.up["a"].desk.programs()))
        [program] = [p for p in sites.up["a"].desk.programs() if p.state == "running"]
        meant = program.step("rack-a/golem").after["cpu"]
        await sites.kill("a")
        await sites.turns(4)
        sites.nodes["a"].plots["golem"].stuck = False
        sites.nodes["a"].plots["golem"].allocated = meant  # the node took it after all
        await sites.turns(2)
        await sites.start("a")
        await sites.turns(3)
        assert all(p.state != "running" for p in sites.up["a"].desk.programs())


async def test_who_lost_its_disk_grows_by_nothing_until_all_have_told_it_what_it_promised(tmp_path):
    async with three(tmp_path, idle(), busy(), at_rest()) as sites:
        await sites.until(lambda: sites.held("golem")["b"] > 4)
        held = sites.held("golem")["a"]
        await sites.kill("a")
        sites.nodes["a"].plots["golem"].wants = 8.0
        sites.board.partition([{"a"}, {"b", "c"}])
        await sites.start("a", lost=True)
        await sites.turns(4)
        assert sites.held("golem")["a"] <= held
        assert not sites.up["a"].agent.peer.trusted
        sites.board.heal()
        await sites.until(lambda: sites.up["a"].agent.peer.trusted)
        assert rights(sites, "a") <= (MOST - sites.held("golem")["b"]) * 1000


async def test_of_moves_that_cannot_be_taken_back_one_is_under_way_at_a_time_and_each_has_its_turn(tmp_path):
    def room() -> dict[str, Plot]:
        return {"room": store_room(2, 8, slow=2 * MINUTE)}

    async with three(tmp_path, room(), room(), room(), limits=[]) as sites:
        await sites.until(lambda: all(has > 2 for has in sites.held("room").values()), most=60)


async def test_without_that_limit_they_need_not_wait_for_each_other(tmp_path):
    def room() -> dict[str, Plot]:
        return {"room": store_room(2, 8, slow=2 * MINUTE)}

    spec = spec_of([], None)
    most = 0

    def count(sites: Sites) -> list[str]:
        nonlocal most
        most = max(most, sites.lasting())
        return []

    async with Sites.open(spec, tmp_path, {name: room() for name in "abc"}, count) as sites:
        await sites.until(lambda: most == 3)


async def test_what_a_person_takes_back_waits_for_rights_that_went_elsewhere(tmp_path):
    limits = [LIMITS[0] | {"maxTotal": 10.0}, *LIMITS[1:]]
    async with three(tmp_path, busy(), idle(), idle(), limits=limits) as sites:
        sites.judge = lambda sites: judge(sites) + ["more than 10"] * (sites.total("golem") > 10)
        await sites.until(lambda: sites.held("golem") == {"a": 8, "b": 1, "c": 1})
        site = sites.up["b"]
        [program] = [
            p for p in site.desk.programs() if p.state == "applied" and "rack-b/golem" in {s.key for s in p.steps}
        ]
        back = await site.operations.rollback(program.id, "anna")
        await sites.turns(3)
        assert sites.held("golem")["b"] == 1
        assert site.desk.find(back.id).said.startswith(
            "waits: fleet limit golem-most (maxTotal): with it this site would"
        )
        await sites.up["a"].operations.release(None, "anna")  # there they are given back
        await sites.until(lambda: site.desk.find(back.id).state == "applied")
        assert sites.held("golem")["b"] == 3


async def test_a_limit_that_shrinks_binds_at_once_and_one_that_is_gone_binds_nobody_once_all_know(tmp_path):
    async with three(tmp_path, busy(), busy(), at_rest(2.0)) as sites:
        await sites.until(lambda: in_force(sites) and sites.total("golem") == MOST)
        held = sites.held("golem")
        for site in sites.up.values():
            site.site.replace(spec_of([LIMITS[0] | {"maxTotal": 6.0}, *LIMITS[1:]]))
        await sites.turns(4)
        assert all(sites.held("golem")[name] <= held[name] for name in "abc")
        sites.judge = lambda _: []
        sites.up["a"].site.replace(spec_of(LIMITS[1:]))
        await sites.turns(4)
        assert sites.total("golem") > MOST


async def _upset(sites: Sites, draw: random.Random) -> None:
    """Something happens."""
    name = draw.choice("abc")
    plot = sites.nodes[name].plots[draw.choice(["golem", "akash", "room"])]
    match draw.choice(["cut", "cut", "heal", "heal", "kill", "start", "start", "stick", "free", "slow", "loss"]):
        case "cut":
            sites.board.partition([{name}, set("abc") - {name}])
        case "heal":
            sites.board.heal()
        case "kill" if name in sites.up:
            await sites.kill(name)
        case "start" if name not in sites.up:
            lost = all(each.agent.peer.trusted for each in sites.up.values()) and draw.random() < 0.3
            await sites.start(name, lost=lost and len(sites.up) == 2)
        case "stick":
            plot.stuck = True
        case "free":
            plot.stuck = False
        case "slow":
            plot.slow = draw.uniform(0, 3 * MINUTE)
        case "loss":
            sites.board.loss, sites.board.twice = draw.uniform(0, 0.3), draw.uniform(0, 0.2)


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_every_limit_holds_at_every_moment(seed, tmp_path):
    draw = random.Random(f"three sites {seed}")

    def plots() -> dict[str, Plot]:
        return {
            "golem": golem(draw.randint(1, 4), draw.choice([1, 8])),
            "akash": akash(4, draw.choice([1, 4, 8])),
            "room": store_room(2, 8),
        }

    async with three(tmp_path, plots(), plots(), plots(), seed=seed) as sites:
        for _ in range(12):
            await _upset(sites, draw)
            await sites.seconds(draw.uniform(0, MINUTE))
            await sites.turns()
            assert sites.broken == [], f"seed {seed}"
