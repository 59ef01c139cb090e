"""Fleet-wide limits hold at every moment, whoever is cut off, whatever is lost, repeated or late."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.fleet import escrow
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.escrow import Bounds, Holding, Limit, Unowned

AGENTS = ("a", "b", "c")
FIRST = Limit("golem cpu", AGENTS, most=10, least=2)


class Fleet:
    """Agents with a copy each, and what they really hold."""

    def __init__(self, first: Limit = FIRST, held: int = 0) -> None:
        self.copies = {agent: Replica() for agent in AGENTS}
        self.held = dict.fromkeys(AGENTS, held)
        self.wanted = dict.fromkeys(AGENTS, held)
        self.clock = 0
        self.worded = [first]
        escrow.word(self.copies["a"], first, self.stamp("a"), "a.1")

    def stamp(self, agent: str) -> Stamp:
        self.clock += 1
        return Stamp(self.clock, 0, agent)

    def hear(self, agent: str, other: str) -> None:
        self.copies[agent].absorb(self.copies[other].delta(self.copies[agent].version))

    def adopt(self, agent: str) -> None:
        name = self.worded[0].name
        escrow.adopt(self.copies[agent], name, agent, self.held[agent], self.stamp(agent), f"{agent}.1")

    def say(self, agent: str) -> None:
        holding = Holding(self.held[agent], self.wanted[agent])
        escrow.say(self.copies[agent], self.worded[0].name, agent, holding, self.stamp(agent), f"{agent}.1")

    def hold(self, agent: str, amount: int) -> None:
        """Change what an agent holds, one by one, as far as its bounds allow."""
        step = 1 if amount > self.held[agent] else -1
        while self.held[agent] != amount:
            allowed = self.bounds(agent)
            after = self.held[agent] + step
            if (step > 0 and allowed.most is not None and after > allowed.most) or (
                step < 0 and allowed.least is not None and after < allowed.least
            ):
                return
            self.held[agent] = after

    def bounds(self, agent: str) -> Bounds:
        return escrow.bounds(self.copies[agent], self.worded[0].name, agent)

    def share_out(self, agent: str) -> None:
        copy, newest = self.copies[agent], escrow.limits(self.copies[agent]).get(self.worded[0].name)
        if newest is None:
            return
        now = Holding(self.held[agent], self.wanted[agent])
        for to, amount in escrow.gifts(copy, newest, agent, now).items():
            escrow.give(copy, newest, agent, to, amount, self.held[agent], f"{agent}.1")
        for of, amount in escrow.burdens(copy, newest, agent, now).items():
            escrow.take_over(copy, newest, agent, of, amount, self.held[agent], f"{agent}.1")

    def settle(self) -> None:
        """Everybody hears of everybody, and does what follows, until nothing is new."""
        for _ in range(6):
            for agent in AGENTS:
                self.adopt(agent)
                self.say(agent)
                self.share_out(agent)
            for agent in AGENTS:
                for other in AGENTS:
                    self.hear(agent, other)


def settled_fleet(limit: Limit = FIRST, held: int = 1) -> Fleet:
    fleet = Fleet(limit, held)
    fleet.settle()
    return fleet


class Moments(RuleBasedStateMachine):
    """Anything may happen in any order; the limit holds after every step."""

    @initialize(held=st.integers(1, 3))
    def begin(self, held: int) -> None:
        self.fleet = settled_fleet(held=held)

    @rule(agent=st.sampled_from(AGENTS), other=st.sampled_from(AGENTS))
    def one_hears_of_another(self, agent: str, other: str) -> None:
        self.fleet.hear(agent, other)

    @rule(agent=st.sampled_from(AGENTS), amount=st.integers(0, 14))
    def one_would_like_to_hold(self, agent: str, amount: int) -> None:
        self.fleet.wanted[agent] = amount
        self.fleet.hold(agent, amount)
        self.fleet.say(agent)

    @rule(agent=st.sampled_from(AGENTS))
    def one_shares_out(self, agent: str) -> None:
        self.fleet.share_out(agent)

    @rule(agent=st.sampled_from(AGENTS))
    def one_adopts(self, agent: str) -> None:
        self.fleet.adopt(agent)

    @rule(agent=st.sampled_from(AGENTS), most=st.sampled_from([6, 10, 14]), least=st.sampled_from([0, 2, 5]))
    def one_words_it_anew(self, agent: str, most: int, least: int) -> None:
        limit = Limit("golem cpu", AGENTS, most, least)
        self.fleet.worded.append(limit)
        escrow.word(self.fleet.copies[agent], limit, self.fleet.stamp(agent), f"{agent}.1")

    @rule()
    def all_hear_of_all(self) -> None:
        self.fleet.settle()

    @invariant()
    def together_they_keep_within_every_wording_that_binds_all(self) -> None:
        if not hasattr(self, "fleet"):
            return
        held = sum(self.fleet.held.values())
        bound = [
            {limit.id: limit for limit in escrow.binding(self.fleet.copies[agent], "golem cpu", agent)}
            for agent in AGENTS
        ]
        common = set(bound[0]).intersection(*bound)
        assert common, "two members are bound by nothing in common"
        for limit in (bound[0][each] for each in common):
            assert limit.least <= held <= limit.most

    @invariant()
    def rights_add_up_to_the_limit_for_one_who_knows_all(self) -> None:
        if not hasattr(self, "fleet"):
            return
        all_known = Replica()
        for copy in self.fleet.copies.values():
            all_known.absorb(copy.delta(all_known.version))
        for limit in self.fleet.worded:
            assert sum(escrow.rights(all_known, limit, agent) for agent in AGENTS) == limit.most
            assert sum(escrow.duties(all_known, limit, agent) for agent in AGENTS) == limit.least


Moments.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMoments = Moments.TestCase


def test_shares_add_up_and_what_does_not_divide_goes_to_the_first():
    assert [FIRST.share(10, agent) for agent in AGENTS] == [4, 3, 3]
    assert FIRST.share(10, "stranger") == 0


def test_each_holds_its_own_part_while_all_are_cut_off():
    fleet = settled_fleet()
    for agent in AGENTS:
        fleet.hold(agent, 10)
    assert fleet.held == {"a": 4, "b": 3, "c": 3}


def test_what_nobody_wants_goes_where_it_is_wanted_and_is_used_there_once_it_was_heard_of():
    fleet = settled_fleet()
    fleet.wanted["c"] = 9
    fleet.settle()
    fleet.hold("c", 9)
    assert fleet.held == {"a": 1, "b": 1, "c": 8}
    fleet.hold("a", 2)
    assert fleet.held["a"] == 1


def test_a_gift_that_is_not_heard_of_is_used_by_nobody():
    fleet = settled_fleet()
    escrow.give(fleet.copies["a"], FIRST, "a", "b", 3, fleet.held["a"], "a.1")
    fleet.hold("a", 9)
    fleet.hold("b", 9)
    assert fleet.held == {"a": 1, "b": 3, "c": 1}
    fleet.hear("b", "a")
    fleet.hold("b", 9)
    assert fleet.held["b"] == 6


def test_a_smaller_limit_binds_whoever_heard_of_it_and_holds_for_all_once_all_have():
    fleet = settled_fleet(held=3)
    smaller = Limit("golem cpu", AGENTS, most=6, least=0)
    escrow.word(fleet.copies["b"], smaller, fleet.stamp("b"), "b.1")
    assert fleet.bounds("b").most == 2
    assert fleet.bounds("a").most == 4
    for agent in AGENTS:
        fleet.hear(agent, "b")
        fleet.adopt(agent)
    assert not escrow.settled(fleet.copies["a"], smaller)
    for agent in AGENTS:
        fleet.hold(agent, 2)
    fleet.settle()
    assert escrow.settled(fleet.copies["a"], smaller)
    assert [each.most for each in escrow.binding(fleet.copies["c"], "golem cpu", "c")] == [6]


def test_a_larger_limit_is_used_only_once_all_are_bound_by_it():
    fleet = settled_fleet(held=3)
    larger = Limit("golem cpu", AGENTS, most=30)
    escrow.word(fleet.copies["a"], larger, fleet.stamp("a"), "a.1")
    fleet.adopt("a")
    fleet.hear("b", "a")
    fleet.adopt("b")
    fleet.hear("a", "b")
    fleet.adopt("a")
    fleet.hold("a", 30)
    assert fleet.held["a"] == 4
    fleet.settle()
    fleet.hold("a", 30)
    assert fleet.held["a"] == 10


def test_who_words_it_as_before_counts_on_nobody_who_may_have_let_go_of_that_since():
    first, second = Limit("golem cpu", AGENTS, most=10), Limit("golem cpu", AGENTS, most=12)
    fleet = settled_fleet(first, held=0)
    a, b, c = (fleet.copies[agent] for agent in AGENTS)
    for giver, copy in (("b", b), ("c", c)):
        escrow.give(copy, first, giver, "a", 3, 0, f"{giver}.1")
        fleet.hear("a", giver)
    escrow.word(c, second, fleet.stamp("c"), "c.1")
    for agent in ("c", "a"):
        fleet.hear("a", "c")
        fleet.adopt(agent)
    for giver, copy in (("a", a), ("c", c)):
        escrow.give(copy, second, giver, "b", 4, 0, f"{giver}.1")
        fleet.hear("b", giver)
    fleet.hear("c", "a")
    fleet.adopt("b")
    fleet.adopt("b")  # it knows that all keep the second, and lets go of the first; then it is cut off
    escrow.word(c, first, fleet.stamp("c"), "c.1")
    for _ in range(3):
        for agent, other in (("a", "c"), ("c", "a")):
            fleet.hear(agent, other)
            fleet.adopt(agent)
    for agent in AGENTS:
        fleet.hold(agent, 99)
    assert fleet.held == {"a": 0, "b": 12, "c": 0}
    fleet.hold("b", 0)
    fleet.settle()
    fleet.hold("a", 99)
    assert fleet.held == {"a": 10, "b": 0, "c": 0}


def test_what_was_adopted_before_sayings_were_written_down_is_kept_and_adopted_once_more():
    fleet = settled_fleet()
    for agent in AGENTS:
        value = [{"name": "golem cpu", "members": list(AGENTS), "most": 10, "least": 2}]
        fleet.copies[agent].write(escrow.ADOPTED, f"golem cpu@{agent}", value, fleet.stamp(agent), f"{agent}.1")
    assert escrow.binding(fleet.copies["a"], "golem cpu", "a") == (FIRST,)
    fleet.settle()
    larger = Limit("golem cpu", AGENTS, most=30)
    escrow.word(fleet.copies["a"], larger, fleet.stamp("a"), "a.1")
    fleet.settle()
    assert [each.most for each in escrow.binding(fleet.copies["b"], "golem cpu", "b")] == [30]


def test_one_at_a_time_is_a_limit_of_one_that_goes_to_whoever_asks():
    fleet = settled_fleet(Limit("irreversible", AGENTS, most=1), held=0)
    fleet.hold("b", 1)
    assert fleet.held["b"] == 0
    fleet.wanted["b"] = 1
    fleet.settle()
    fleet.hold("b", 1)
    fleet.hold("a", 1)
    assert fleet.held == {"a": 0, "b": 1, "c": 0}


def test_a_least_amount_is_kept_by_whoever_owes_it_until_another_takes_it_over():
    fleet = settled_fleet(Limit("storj storage", AGENTS, least=6), held=2)
    fleet.hold("a", 0)
    assert fleet.held["a"] == 2
    fleet.wanted["a"] = 0
    fleet.hold("c", 4)
    fleet.wanted["c"] = 4
    fleet.settle()
    fleet.hold("a", 0)
    fleet.hold("c", 0)
    assert fleet.held == {"a": 0, "b": 2, "c": 4}


@pytest.mark.parametrize("amount", [-1, 4, 99])
def test_more_than_is_owned_and_not_held_cannot_be_given(amount):
    fleet = settled_fleet()
    with pytest.raises(Unowned, match="a has 4 rights of golem cpu and holds 1; it cannot give"):
        escrow.give(fleet.copies["a"], FIRST, "a", "b", amount, fleet.held["a"], "a.1")


@pytest.mark.parametrize("to", ["a", "stranger"])
def test_nothing_is_given_to_oneself_or_a_stranger(to):
    fleet = settled_fleet()
    with pytest.raises(Unowned):
        escrow.give(fleet.copies["a"], FIRST, "a", to, 1, 0, "a.1")


def test_a_duty_cannot_be_taken_over_beyond_what_is_held():
    fleet = settled_fleet(Limit("storj storage", AGENTS, least=6), held=2)
    with pytest.raises(Unowned, match="a owes 2 of storj storage and holds 2; it cannot take over 1 of b"):
        escrow.take_over(fleet.copies["a"], fleet.worded[0], "a", "b", 1, 2, "a.1")


def test_a_limit_worded_alike_in_two_places_is_one():
    assert (
        Limit("x", AGENTS, 3).id == Limit.read({"name": "x", "members": ["c", "b", "a"], "most": 3, "least": None}).id
    )
    assert Limit("x", AGENTS, 3).id != Limit("x", AGENTS, 4).id


def test_without_a_member_that_was_given_up_the_others_share_all():
    fewer = escrow.without(FIRST, "b")
    assert [fewer.share(10, agent) for agent in AGENTS] == [5, 0, 5]
