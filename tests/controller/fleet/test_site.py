"""One site's part, on a replica alone: what it says, adopts, gives, and lets begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from controller.fleet import escrow
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.epochs import PERIOD
from controller.fleet.escrow import Holding, Limit
from controller.fleet.limits import Held
from controller.fleet.manifest import FleetSpec
from controller.fleet.proposals import proposed
from controller.fleet.site import MOST_COUNTED, Look, Site
from controller.fleet.wishes import Wish
from controller.programs import Cause, Program, ProgramState, Step
from exporters.simulator.inprocess import FastClock
from tests.controller import worlds
from tests.controller.worlds import NOW, always, state, workload

GOLEM = "rack-1/golem"
SITES = ("a", "b")


def spec(most: float | None = 10, at_once: int | None = None, **more: Any) -> FleetSpec:
    limit = {"name": "cores", "protocol": "golem", "resource": "cpu", "maxTotal": most} | more
    limits = [limit] if most is not None or more else []
    return FleetSpec.model_validate({"sites": list(SITES), "limits": limits, "irreversibleAtOnce": at_once})


class Desk:
    """An agent whose disk is its memory, and whom all others hear at once."""

    def __init__(self, fleet: dict[str, Desk], name: str) -> None:
        self._fleet, self.name, self.time = fleet, name, 0
        self.peer: Any = SimpleNamespace(replica=Replica(), trusted=True, alive=lambda _now: tuple(self._fleet))
        self.peer.sure_of_the_dead = lambda _now: self.sure
        self.sure = True
        self.cut = False

    def stamp(self) -> Stamp:
        self.time = max(desk.time for desk in self._fleet.values()) + 1
        return Stamp(self.time, 0, self.name)

    async def write(self, change: Any) -> Any:
        found = change(self.peer.replica, self.stamp, f"{self.name}.1")
        for other in self._fleet.values():
            if other is not self and not self.cut and not other.cut:
                other.peer.replica.absorb(self.peer.replica.delta(other.peer.replica.version))
                self.peer.replica.absorb(other.peer.replica.delta(self.peer.replica.version))
        return found


class Two:
    """Two sites."""

    def __init__(self, manifest: FleetSpec, a: float = 2.0, b: float = 2.0) -> None:
        self.desks: dict[str, Desk] = {}
        for name in SITES:
            self.desks[name] = Desk(self.desks, name)
        self.clock = FastClock(NOW, auto=False)
        self.sites = {name: Site(manifest, name, desk, self.clock) for name, desk in self.desks.items()}  # type: ignore[arg-type] # of an agent it has what a Site uses
        self.holds = {"a": a, "b": b}
        self.programs: dict[str, list[Program]] = {"a": [], "b": []}

    def look(self, name: str) -> Look:
        held = {GOLEM: Held("golem", "cpu", self.holds[name], self.holds[name])}
        return Look(held, tuple(self.programs[name]))

    async def turn(self, name: str, **more: Any) -> None:
        look = self.look(name)
        await self.sites[name].turn(look.held, look.programs, (), **more)

    async def turns(self, number: int = 3, **more: Any) -> None:
        for _ in range(number):
            for name in SITES:
                await self.turn(name, **more)

    def rights(self, name: str, limit: str = "cores most") -> int | None:
        replica = self.desks[name].peer.replica
        return escrow.rights(replica, escrow.limits(replica)[limit], name)

    def asked(self, name: str, before: float, after: float) -> str:
        program = moved(before, after)
        self.sites[name]._told |= {program.id}
        return self.sites[name].asked(program, self.look(name))

    def newest(self, limit: str = "cores most") -> Limit:
        return escrow.limits(self.desks["b"].peer.replica)[limit]


def moved(before: float, after: float, of: ProgramState = ProgramState.APPROVED) -> Program:
    step = Step(GOLEM, "rack-1", "cpu", {"cpu": before}, {"cpu": after})
    return Program("p-1", "default", Cause.PLAN, NOW, (step,), of, "", NOW)


# --- what may begin


async def test_what_fits_into_its_rights_may_begin_and_what_does_not_waits():
    two = Two(spec())
    await two.turns()
    assert two.asked("a", 2, 5) == ""
    said = two.asked("a", 2, 6)
    assert said == (
        "fleet limit cores (maxTotal): with it this site would hold 6 golem cpu, and it may hold 5 of the whole"
    )


async def test_to_the_unit():
    two = Two(spec())
    await two.turns()
    assert two.asked("a", 2, 5.0005) != ""


async def test_what_takes_less_may_begin_also_where_too_much_is_held():
    two = Two(spec())
    await two.turns()
    two.holds["a"] = 9.0
    assert two.asked("a", 9, 8) == ""
    assert two.asked("a", 9, 9.5) != ""


async def test_a_least_amount_keeps_what_would_fall_below_it():
    two = Two(spec(None, minTotal=4))
    await two.turns()
    two.holds["a"] = 3.0
    assert two.asked("a", 3, 2) == ""
    assert "(minTotal)" in two.asked("a", 3, 1.5)


@pytest.mark.parametrize("limit", ["cores most", "irreversible"])
async def test_before_all_are_bound_nobody_takes_more(limit):
    two = Two(spec(at_once=9))
    two.desks["b"].cut = True
    await two.turns()
    assert "not all sites keep this limit yet" in two.asked("a", 2, 3)
    bound = two.sites["a"].bind(state([golem()]), two.look("a").held)
    assert bound.permits == 0
    assert "cores (not all sites keep this limit yet)" in bound.parts.values()
    two.desks["b"].cut = False
    await two.turns()
    assert two.asked("a", 2, 3) == ""
    assert two.sites["a"].bind(state([golem()]), two.look("a").held).permits == 5


async def test_who_may_have_forgotten_promises_takes_no_more_and_promises_nothing():
    two = Two(spec())
    await two.turns()
    two.desks["a"].peer.trusted = False
    said = {"b": Holding(2000, 9000)}
    escrow.say(two.desks["a"].peer.replica, "cores most", "b", said["b"], two.desks["b"].stamp(), "b.1")
    before = two.rights("a")
    await two.turn("a")
    assert two.rights("a") == before
    assert "not all agents have told yet" in two.asked("a", 2, 3)


async def test_another_sites_program_that_comes_first_is_waited_for_and_its_inverse_voids_it():
    two = Two(spec(None))
    two.programs["a"], two.programs["b"] = [moved(2, 3)], []
    assert two.sites["a"].asked(moved(2, 3), two.look("a")) == "the other sites are told of it first"
    await two.turns(1)
    other = Program("p-2", "default", Cause.PLAN, NOW + 1, (moved(3, 4).steps[0],), ProgramState.APPROVED, "", NOW)
    two.programs["b"] = [other]
    await two.turns(1)
    assert two.sites["a"].asked(moved(2, 3), two.look("a")) == ""
    assert "p-1 of a is over" in two.sites["b"].asked(other, two.look("b"))
    back = Program("p-3", "default", Cause.PLAN, NOW + 1, (moved(3, 2).steps[0],), ProgramState.APPROVED, "", NOW)
    two.programs["b"] = [back]
    await two.turns(1)
    assert "comes to nothing" in two.sites["b"].void(back)
    assert two.sites["a"].void(moved(2, 3)) == ""
    await two.turn("a")
    assert "comes to nothing" in two.sites["a"].void(moved(2, 3))


# --- what is given


async def test_what_a_program_waits_for_is_not_given_away_and_what_nobody_wants_is():
    two = Two(spec(), a=2.0, b=5.0)
    two.programs["a"] = [moved(2, 4, ProgramState.PENDING)]
    two.programs["b"] = [moved(5, 9, ProgramState.PENDING)]
    for _ in range(3):
        for name in SITES:
            await two.turn(name)
            if "cores most" in escrow.limits(two.desks["a"].peer.replica):
                assert (two.rights("a") or 0) >= 4000
    assert (two.rights("a"), two.rights("b")) == (4000, 6000)
    two.programs["a"] = []
    await two.turns()
    assert (two.rights("a"), two.rights("b")) == (2000, 8000)


async def test_nothing_is_given_while_a_program_of_another_version_may_hold_anything():
    two = Two(spec(), b=5.0)
    two.programs["b"] = [moved(5, 9, ProgramState.PENDING)]
    await two.turns(sure=False)
    assert two.asked("a", 2, 3) != ""
    await two.turns()
    before = two.rights("a")
    two.holds["a"] = 0.5
    await two.turns(sure=False)
    assert two.rights("a") == before


async def test_who_cannot_be_heard_is_given_nothing():
    two = Two(spec(), b=5.0)
    await two.turns()
    two.programs["b"] = [moved(5, 9, ProgramState.PENDING)]
    await two.turn("b")
    two.desks["a"].peer.alive = lambda _now: ("a",)
    await two.turn("a")
    assert two.rights("a") == 5000


async def test_no_counter_goes_beyond_what_a_float_can_tell():
    two = Two(spec(), b=5.0)
    await two.turns()
    two.desks["a"].peer.replica.count("a", f"give {two.newest().id} b", MOST_COUNTED, "a.1")
    two.desks["b"].peer.replica.count("b", f"give {two.newest().id} a", MOST_COUNTED, "b.1")
    two.programs["b"] = [moved(5, 9, ProgramState.PENDING)]
    await two.turns()
    assert two.rights("a") == 5000


# --- what is worded


async def test_sites_whose_manifests_differ_do_not_overrule_each_other_for_ever():
    two = Two(spec(10))
    await two.turns()
    two.sites["a"].replace(spec(8))
    await two.turns()
    assert two.newest().most == 8000, "b's manifest has not changed, so it says nothing"
    written = dict(two.desks["b"].peer.replica.version)
    await two.turns()
    assert two.desks["b"].peer.replica.version == written, "and nothing more is written"
    two.sites["b"].replace(spec(6))
    await two.turns()
    assert two.newest().most == 6000


async def test_who_comes_to_a_limit_that_is_there_does_not_word_it():
    two = Two(spec(10))
    two.sites["b"].replace(spec(99))
    two.desks["b"].cut = True
    await two.turn("a")
    two.desks["b"].cut = False
    await two.turn("a")
    await two.turns()
    assert two.newest().most == 10000


async def test_a_limit_that_is_taken_out_holds_until_all_have_let_go_of_it():
    two = Two(spec(10, at_once=1))
    await two.turns()
    two.desks["b"].cut = True
    two.sites["a"].replace(spec(None))
    await two.turns()
    assert "it may hold 5 of the whole" in two.asked("a", 2, 6)
    assert two.sites["a"].bind(state([golem()]), two.look("a").held).permits is not None
    two.desks["b"].cut = False
    await two.turns()
    assert two.newest() == Limit("cores most", SITES)
    assert two.asked("a", 2, 6) == ""
    assert two.sites["a"].bind(state([golem()]), two.look("a").held).permits is None


async def test_a_limit_that_means_something_else_now_is_kept_in_both_meanings():
    two = Two(spec(10))
    await two.turns()
    two.sites["a"].replace(spec(11, resource="memory"))
    await two.turns()
    assert two.asked("a", 2, 6) != ""


# --- what is planned


def golem(has: float = 2.0) -> Any:
    return workload(GOLEM, has, always(1.0), protocol="golem")


async def test_a_policy_is_bound_by_what_the_site_has_left_beside_its_own_constraints():
    two = Two(spec())
    await two.turns()
    own = worlds.policy(constraints=[{"protocol": "golem", "maxTotal": 8}])
    bound = two.sites["a"].bind(state([golem()], spec=own), two.look("a").held)
    assert [(each.max_total, each.throughout) for each in bound.spec.constraints] == [(8.0, False), (5.0, True)]
    assert bound.permits is None
    assert bound.parts == {1: "cores"}
    others = {**two.look("a").held, "rack-2/golem": Held("golem", "cpu", 2.0, 2.0)}
    bound = two.sites["a"].bind(state([golem()], spec=own), others)
    assert bound.spec.constraints[1].max_total == 3.0


async def test_each_site_keeps_a_share_by_itself():
    two = Two(spec(None, maxShare=0.5))
    bound = two.sites["a"].bind(state([golem()]), two.look("a").held)
    assert [each.max_share for each in bound.spec.constraints] == [0.5]
    assert two.sites["a"]._own["default"] == bound.spec, "what it would like to hold is no more than its share either"


async def test_what_is_under_way_takes_its_permit_and_one_that_waits_takes_none():
    two = Two(spec(None, at_once=4))
    await two.turns()
    held = {GOLEM: Held("golem", "cpu", 2.0, 2.0, lasting=True)}
    site = two.sites["a"]
    assert site.bind(state([golem()]), held, [moved(2, 3)]).permits == 2
    assert site.bind(state([golem()]), held, [moved(2, 3, ProgramState.RUNNING)]).permits == 1
    running = Look(held, (moved(2, 3, ProgramState.RUNNING), moved(3, 4, ProgramState.BLOCKED)))
    assert "irreversibleAtOnce of the fleet lets 0 begin here now" in site.asked(moved(2, 3), running)


async def test_a_permit_goes_to_whoever_may_begin_and_not_to_what_waits_for_a_persons_word():
    two = Two(spec(None, at_once=1))
    await two.turns()
    assert (two.rights("a", "irreversible"), two.rights("b", "irreversible")) == (1, 0)
    lasting = {GOLEM: Held("golem", "cpu", 2.0, 2.0, lasting=True)}
    for of, owner in ((ProgramState.PENDING, "a"), (ProgramState.APPROVED, "b"), (ProgramState.RUNNING, "b")):
        for name, programs in (("b", (moved(2, 3, of),)), ("a", ()), ("b", (moved(2, 3, of),))):
            await two.sites[name].turn(lasting, programs, ())
        assert two.rights(owner, "irreversible") == 1
    await two.sites["a"].turn(lasting, (moved(2, 3),), ())
    await two.sites["b"].turn(lasting, (moved(2, 3, ProgramState.RUNNING),), ())
    assert two.rights("b", "irreversible") == 1, "it is under way, so it stays"
    await two.sites["b"].turn(lasting, (moved(2, 3, ProgramState.PENDING),), ())
    assert two.rights("a", "irreversible") == 1


@pytest.mark.parametrize(("pending", "want"), [(False, 1), (True, 0)])
async def test_a_plan_wants_a_permit_until_it_waits_for_a_persons_word(pending, want):
    two = Two(spec(None, at_once=1))
    await two.turns()
    site, lasting = two.sites["a"], {GOLEM: Held("golem", "cpu", 2.0, 2.0, lasting=True)}
    site._wishes = {"default": Wish(None, {GOLEM: 3.0}, 1)}  # type: ignore[arg-type] # nobody asks here which plan it is of
    programs = (moved(2, 3, ProgramState.PENDING),) if pending else ()
    assert site._hold_lasting(Look(lasting, programs)) == (0, 0, want)


async def test_who_cannot_say_who_is_dead_closes_no_epoch_that_another_may_be_in():
    two = Two(spec())
    await two.turns()
    two.programs["b"] = [moved(2, 3, ProgramState.PENDING)]
    await two.turn("b")
    a = two.desks["a"]
    two.clock.advance(NOW + 2 * PERIOD)
    a.peer.alive, a.sure = lambda _now: ("a",), False
    await two.turn("a")
    assert [each.id for each in proposed(a.peer.replica)] == ["p-1"]
    a.sure = True
    await two.turn("a")
    assert proposed(a.peer.replica) == ()
