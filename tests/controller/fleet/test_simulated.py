"""Many agents under everything that goes wrong: they come to know the same, limits hold, what was acknowledged is not lost.

Every schedule is drawn from its seed. To replay one: pytest tests/controller/fleet/test_simulated.py --seed N.
"""

from __future__ import annotations

import random

import pytest

from controller.fleet.escrow import Limit
from tests.controller.fleet.simulated import Faults, Fleet, fleet_of

LIMIT = "golem cpu"
CHUNK = 25


def judge(fleet: Fleet, most: int) -> None:
    def within(fleet: Fleet) -> None:
        held = sum(site.held for site in fleet.sites.values())
        assert held <= most, f"seed {fleet.seed}: {held} of {most} are held at {fleet.now}"

    fleet.moments.append(within)


def schedule(seed: int) -> None:
    """One life of a fleet: faults for a minute, then peace."""
    draw = random.Random(f"schedule {seed}")
    name, size = draw.choice([("sierpinski9", 9), ("ring", 5), ("grid", 6), ("full", 3)])
    fleet = fleet_of(
        seed, name, size,
        Faults(loss=draw.uniform(0, 0.3), twice=draw.uniform(0, 0.2), delay=draw.uniform(0.01, 2.0), skew=draw.uniform(0, 300)),
    )  # fmt: skip
    most = draw.randint(1, 30)
    fleet.word(fleet.names[0], Limit(LIMIT, fleet.names, most))
    judge(fleet, most)
    fleet.run(5)
    for _ in range(draw.randint(10, 30)):
        act(fleet, draw)
        fleet.run(draw.expovariate(1 / 2))
    fleet.heal()
    fleet.run(fleet.pace.sync)
    fleet.until_converged(2 * fleet.graph.diameter)
    known = fleet.sites[fleet.names[0]].peer.replica
    promised = {term for term, holders in fleet.acknowledged.items() if holders}
    assert promised <= known.terms.keys(), f"seed {seed}: acknowledged terms were lost"


def turn_all(fleet: Fleet, _: str, __: random.Random) -> None:
    for each in fleet.names:
        fleet.turn(each, LIMIT)


def want(fleet: Fleet, name: str, draw: random.Random) -> None:
    fleet.sites[name].want = draw.randrange(20)
    fleet.turn(name, LIMIT)


def cut(fleet: Fleet, _: str, draw: random.Random) -> None:
    fleet.cut.add(frozenset(fleet.names[i] for i in draw.choice(sorted(fleet.graph.edges))))


def mend(fleet: Fleet, _: str, draw: random.Random) -> None:
    if fleet.cut:
        fleet.cut.remove(draw.choice(sorted(fleet.cut, key=sorted)))


def start(fleet: Fleet, name: str, draw: random.Random) -> None:
    if not fleet.sites[name].alive:
        fleet.start(name, lost=draw.random() < 0.2)


def alone(fleet: Fleet, name: str, draw: random.Random) -> None:
    """Cut off, killed, started again, and greedy: what it gave away it may not take."""
    fleet.cut |= {frozenset((name, other)) for other in fleet.sites[name].peer.neighbours}
    fleet.kill(name)
    fleet.start(name, lost=draw.random() < 0.5)
    fleet.sites[name].want = 30
    fleet.turn(name, LIMIT)


ACTS = {
    lambda fleet, name, _: fleet.propose(name): 6,
    lambda fleet, _, __: fleet.cut.clear(): 2,
    lambda fleet, name, _: fleet.kill(name): 1,
    turn_all: 8,
    want: 6,
    cut: 2,
    mend: 3,
    start: 2,
    alone: 2,
}
"""What may happen, and how often."""


def act(fleet: Fleet, draw: random.Random) -> None:
    (done,) = draw.choices([*ACTS], [*ACTS.values()])
    done(fleet, draw.choice(fleet.names), draw)


@pytest.mark.parametrize("first", range(0, 1000, CHUNK))
def test_a_thousand_schedules_end_alike_keep_limits_and_lose_nothing_that_was_acknowledged(first):
    for seed in range(first, first + CHUNK):
        schedule(seed)


@pytest.mark.parametrize(("name", "size"), [("full", 3), ("grid", 6), ("ring", 5), ("sierpinski9", 9)])
def test_after_a_partition_heals_all_know_the_same_within_two_diameters_of_sync_rounds(name, size):
    fleet = fleet_of(7, name, size)
    fleet.run(12)
    half = set(fleet.names[: size // 2])
    fleet.cut = {frozenset((a, b)) for a in half for b in fleet.names if b not in half}
    for each in fleet.names:
        fleet.propose(each)
    fleet.run(30)
    assert len(fleet.digests) == 2
    fleet.cut.clear()
    assert fleet.until_converged(2 * fleet.graph.diameter) <= 2


def test_an_agent_that_lost_its_memory_is_told_all_that_it_knew_again():
    fleet = fleet_of(3, "full", 3)
    for each in fleet.names:
        fleet.propose(each)
    fleet.run(12)
    fleet.kill("site-01")
    fleet.start("site-01", lost=True)
    assert fleet.until_converged(2) <= 2
    assert len(fleet.sites["site-01"].peer.replica.terms) == 3


def test_an_agent_that_lost_its_memory_promises_nothing_before_all_others_agreed_with_it():
    fleet = fleet_of(3, "full", 3)
    fleet.run(12)
    fleet.kill("site-01")
    fleet.kill("site-02")
    fleet.start("site-01", lost=True)
    fleet.run(30)
    assert not fleet.sites["site-01"].peer.trusted
    fleet.start("site-02")
    fleet.run(30)
    assert fleet.sites["site-01"].peer.trusted
