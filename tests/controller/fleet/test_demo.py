"""What is pretended in the demo: sites that keep within their rights, a network in two pieces, and the figures of a moment."""

from __future__ import annotations

import random

import pytest

from controller.fleet import demo, escrow
from controller.fleet.clocks import Hybrid
from controller.fleet.crdt import Replica
from controller.fleet.demo import FEW, LIMIT, MANY, Pretended
from controller.fleet.topology import topology

NAMES = ("a", "b", "c")
GRAPHS = [
    ("full", 2), ("full", 5), ("grid", 12), ("ring", 7), ("sierpinski", 27), ("sierpinski9", 9),
]  # fmt: skip


class Sites:
    """Sites with a replica each, and no network: what is told to whom the test decides."""

    def __init__(self, names=NAMES):
        self.sites = {name: Pretended(name) for name in names}
        self.replicas = {name: Replica() for name in names}
        self.clocks = {name: Hybrid(name) for name in names}
        self.now = 1.0

    def stamp(self, name):
        def next_one():
            self.now += 0.001
            self.clocks[name] = self.clocks[name].tick(self.now)
            return self.clocks[name].stamp

        return next_one

    def word(self, name, each):
        escrow.word(self.replicas[name], demo.worded(tuple(self.sites), each), self.stamp(name)(), f"{name}.1")

    def turn(self, name, want=None, *, trusted=True):
        site = self.sites[name]
        site.want = site.want if want is None else want
        return demo.turn(site, self.replicas[name], self.stamp(name), f"{name}.1", trusted=trusted)

    def tell(self, one, other):
        self.replicas[other].absorb(self.replicas[one].delta(self.replicas[other].version))

    def tell_all(self):
        for one in self.sites:
            for other in self.sites:
                self.tell(one, other)

    @property
    def held(self):
        return {name: site.held for name, site in self.sites.items()}

    @property
    def bound(self):
        return demo.in_force(self.replicas)


def settled(each=MANY) -> Sites:
    found = Sites()
    found.word("a", each)
    for _ in range(2):
        found.tell_all()
        for name in NAMES:
            found.turn(name, 0)
    found.tell_all()
    return found


def test_before_a_limit_is_known_nobody_takes_anything():
    found = Sites()
    assert found.turn("a", 5).held == 0
    assert found.bound is None


def test_a_site_takes_no_more_than_its_rights_and_gets_more_where_others_want_less():
    found = settled()
    found.turn("a", 7)
    assert found.held["a"] == MANY
    found.tell_all()
    assert found.turn("b", 0).gifts == {"a": 7 - MANY}
    found.turn("a")
    assert found.held["a"] == MANY, "it has not heard of what it was given"
    found.tell("b", "a")
    assert found.turn("a").held == 7


def test_who_is_not_trusted_takes_no_more_and_gives_nothing():
    found = settled()
    found.turn("a", 2)
    found.turn("b", 7)
    found.tell_all()
    done = found.turn("a", 4, trusted=False)
    assert (done.held, done.gifts, done.adopted) == (2, {}, False)
    done = found.turn("a", 1, trusted=False)
    assert (done.held, done.gifts) == (1, {})
    assert found.turn("a", 1).gifts == {"b": 7 - MANY}


def test_a_lesser_wording_is_in_force_once_all_have_adopted_it_and_a_greater_one_once_nobody_keeps_the_lesser():
    found = settled(MANY)
    assert found.bound == MANY * 3
    found.word("a", FEW)
    found.turn("a")
    assert found.bound == MANY * 3
    found.tell_all()
    found.turn("b")
    assert found.bound == MANY * 3
    found.turn("c")
    assert found.bound == FEW * 3
    for _ in range(2):
        found.tell_all()
        for name in NAMES:
            found.turn(name)
    assert found.bound == FEW * 3
    found.word("c", MANY)
    found.tell_all()
    for name in NAMES:
        found.turn(name)
    assert found.bound == FEW * 3
    found.tell_all()
    for name in NAMES:
        found.turn(name)
    assert found.bound == MANY * 3


@pytest.mark.parametrize("seed", range(12))
def test_the_sum_never_exceeds_what_is_in_force_whoever_hears_of_what(seed):
    chance, found = random.Random(seed), Sites(tuple("abcde"))
    names = tuple(found.sites)
    found.word("a", MANY)
    most = 0
    for step in range(400):
        one, other = chance.sample(names, 2)
        found.tell(one, other)
        demo.wish(found.sites[one], chance.randrange)
        found.turn(one)
        if step % 97 == 96:
            found.word(other, chance.choice((FEW, MANY)))
        if found.bound is not None:
            assert sum(found.held.values()) <= found.bound
            most = max(most, sum(found.held.values()))
    assert most > FEW * len(names)


@pytest.mark.parametrize(("name", "size"), GRAPHS)
@pytest.mark.parametrize("seed", range(5))
def test_a_split_has_two_sides_each_in_one_piece_and_nothing_goes_between_them(name, size, seed):
    graph = topology(name, size)
    one, other = demo.split(graph, random.Random(seed).randrange)
    assert sorted((*one, *other)) == list(range(size))
    assert one
    assert other
    cut = demo.between(graph, (one, other))
    found = demo.sides(graph, (), cut)
    assert len(set(found)) == 2
    assert {found[at] for at in one}.isdisjoint({found[at] for at in other})


def test_one_agent_has_nothing_to_be_split_from():
    assert demo.split(topology("full", 1), random.Random(1).randrange) is None


def test_the_dead_are_on_no_side():
    graph = topology("ring", 6)
    assert demo.sides(graph, {0, 3}, ()) == [None, 0, 0, None, 1, 1]
    assert demo.sides(graph, (), ()) == [0] * 6


def test_what_a_site_shows_is_what_its_agent_knows():
    found = settled()
    found.turn("a", 3)
    seen = demo.shown_site(found.sites["a"], found.replicas["a"], ("a", "b"), 1, starts=2, trusted=True)
    assert (seen.name, seen.alive, seen.side, seen.starts, seen.sees) == ("a", True, 1, 2, 2)
    assert (seen.held, seen.wanted, seen.rights) == (3, 3, MANY)
    assert found.replicas["a"].digest.startswith(seen.digest)
    dead = demo.shown_site(found.sites["a"], found.replicas["a"], ("a",), None, starts=2, trusted=False)
    assert (dead.alive, dead.sees, dead.held) == (False, 0, 3)
    assert demo.shown_site(Pretended("x"), Replica(), (), 0, starts=1, trusted=True).rights is None


def test_the_limit_has_one_name_everywhere():
    assert demo.worded(NAMES, 2).name == LIMIT
    assert demo.worded(NAMES, 2).most == 6
