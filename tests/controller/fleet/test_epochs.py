"""What is over is forgotten everywhere, and what is open is kept: alone, and among agents under everything that goes wrong.

Every schedule is drawn from its seed, which stands in what failed; `schedule(SEED)` replays it.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from controller.fleet.clocks import Hybrid
from controller.fleet.crdt import Replica
from controller.fleet.epochs import CLOSED, EPOCH, PERIOD, close, enter, over
from controller.fleet.peer import Pace, Peer
from controller.fleet.proposals import PROPOSAL, Proposal, proposed, tell
from controller.fleet.terms import Term, checkpoint, grow, seq, shrink
from controller.fleet.topology import topology
from tests.controller.fleet.simulated import Faults, Fleet

ME, OTHER = "site-a", "site-b"
NOW = 1_700_000_000.0
THEN = int(NOW // PERIOD)
A = grow("rack-1/golem", "cpu", 2, 4)
B = checkpoint(shrink("rack-1/akash", "cpu", 4, 2), grow("rack-1/golem", "cpu", 4, 6))


def proposal(name: str = "p-1", term: Term = A, agent: str = ME) -> Proposal:
    return Proposal(name, agent, NOW, False, term)


def told(*mine: Proposal, epoch: int = THEN) -> Replica:
    replica = Replica()
    tell(replica, ME, mine, lambda: Hybrid(ME).tick(NOW).stamp, f"{ME}.1", epoch)
    replica.count(ME, EPOCH, epoch, f"{ME}.1")
    return replica


# --- entering -------------------------------------------------------------------------------------------------------------


def test_an_epoch_is_a_stretch_of_time_by_ones_own_clock():
    replica = Replica()
    assert enter(replica, ME, NOW, f"{ME}.1") == THEN
    assert enter(replica, ME, NOW + PERIOD, f"{ME}.1") == THEN + 1
    assert enter(replica, ME, NOW, f"{OTHER}.1", period=60.0) == int(NOW // 60)
    assert replica.counted(ME, EPOCH) == int(NOW // 60)


def test_nobody_goes_back_where_his_clock_does_nor_into_what_is_over():
    replica = Replica()
    enter(replica, ME, NOW, f"{ME}.1")
    assert enter(replica, ME, NOW - 10 * PERIOD, f"{ME}.1") == THEN
    replica.close(THEN + 5)
    assert enter(replica, ME, NOW, f"{ME}.1") == THEN + 6


def test_within_an_epoch_nothing_is_written():
    replica = told(proposal())
    before = dict(replica.version)
    assert enter(replica, ME, NOW, f"{ME}.1") == THEN
    assert replica.version == before


def test_what_is_open_of_ones_own_is_there_in_the_next_epoch_and_what_is_not_is_left():
    replica = told(proposal("p-1", A), proposal("p-2", B))
    tell(replica, ME, [proposal("p-2", B)], lambda: Hybrid(ME).tick(NOW + 1).stamp, f"{ME}.1", THEN)
    tell(replica, OTHER, [proposal("p-3", seq(A, grow("rack-2/x", "cpu", 1, 2)), OTHER)],
         lambda: Hybrid(OTHER).tick(NOW).stamp, f"{OTHER}.1", THEN)  # fmt: skip
    enter(replica, ME, NOW + PERIOD, f"{ME}.1")
    replica.close(THEN)
    assert proposed(replica) == (proposal("p-2", B),)
    assert replica.terms.keys() == {part.id for part in B.walk()}
    assert {name for kind, name in replica.registers if kind == PROPOSAL} == {f"p-2@{ME}"}


def test_the_counter_comes_after_what_is_open_so_that_who_knows_it_knows_that_too():
    replica = told(proposal("p-1", B))
    enter(replica, ME, NOW + PERIOD, f"{ME}.1")
    last = replica.counters[ME, EPOCH].dot.number
    carried = [*replica.terms.values(), *replica.registers.values()]
    assert {item.epoch for item in carried} == {THEN + 1}
    assert all(item.dot.number < last for item in carried)


def test_equalities_that_lead_on_from_what_is_open_are_kept_with_what_they_name_and_others_are_not():
    replica = told(proposal("p-1", B))
    near, far, apart = grow("rack-3/x", "cpu", 1, 2), grow("rack-3/y", "cpu", 1, 2), grow("rack-3/z", "cpu", 1, 2)
    inner = B.children[1]
    for one, other in ((inner, near), (near, far), (apart, grow("rack-4/x", "cpu", 1, 2))):
        for term in (one, other):
            replica.add(term, f"{OTHER}.1", THEN)
        replica.equate(one, other, f"{OTHER}.1", THEN)
    enter(replica, ME, NOW + PERIOD, f"{ME}.1")
    replica.close(THEN)
    assert set(replica.equalities) == {tuple(sorted((inner.id, near.id))), tuple(sorted((near.id, far.id)))}
    assert replica.terms.keys() == {part.id for part in B.walk()} | {near.id, far.id}


# --- closing --------------------------------------------------------------------------------------------------------------


def counted(**epochs: int) -> Replica:
    replica = Replica()
    for agent, epoch in epochs.items():
        replica.count(agent, EPOCH, epoch, f"{agent}.1")
    return replica


@pytest.mark.parametrize(
    ("epochs", "alive", "floor", "wanted"),
    [
        pytest.param({"a": 7, "b": 9}, "ab", 0, 6, id="what all have left"),
        pytest.param({"a": 7, "b": 9}, "b", 0, 8, id="who is dead does not count"),
        pytest.param({"a": 7}, "ab", 0, None, id="who never said may be in any"),
        pytest.param({"a": 7, "b": 9}, "ab", 6, None, id="closed already"),
        pytest.param({"a": 7, "b": 9}, "ab", 5, 6, id="closed in part"),
        pytest.param({"a": 1, "b": 9}, "ab", 0, None, id="none before the first"),
        pytest.param({"a": 7}, "", 0, None, id="nobody lives"),
    ],
)
def test_an_epoch_is_over_when_every_live_agent_has_left_it(epochs, alive, floor, wanted):
    replica = counted(**epochs)
    if floor:
        replica.close(floor)
    assert over(replica, alive) == wanted


def test_who_closes_an_epoch_writes_so_that_the_others_hear_of_it():
    replica = counted(a=7, b=9)
    before = replica.version["a.1"]
    assert close(replica, "a", "ab", "a.1") == 6
    assert replica.version["a.1"] > before
    assert (replica.floor, replica.counted("a", CLOSED)) == (6, 6)
    other = counted()
    other.absorb(replica.delta({}))
    assert other.floor == 6
    after = dict(replica.version)
    assert close(replica, "a", "ab", "a.1") is None
    assert replica.version == after


# --- a fleet --------------------------------------------------------------------------------------------------------------

SHORT = 60.0
"""Seconds of an epoch here."""


class Sharing(Fleet):
    """A fleet whose sites have programs open, and forget what is over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.open: dict[str, list[Proposal]] = {name: [] for name in self.names}
        """What each site really has open: its own journal, which it never loses."""
        self.serial = 0

    def begin(self, name: str, draw: random.Random) -> None:
        """One more program; of one workload of one's own, or one of everybody's."""
        self.serial += 1
        before = float(draw.randrange(5))
        workload = draw.choice([f"{name}/golem", "shared/golem"])
        term = grow(workload, "cpu", before, before + draw.randint(1, 9))
        if draw.random() < 0.3:
            term = checkpoint(shrink(f"{name}/akash", "cpu", before + 1, before), term)
        self.open[name].append(Proposal(f"p-{self.serial}", name, self.clock(name), False, term))

    def end(self, name: str, draw: random.Random) -> None:
        """One program is over, or has begun."""
        if self.open[name]:
            i = draw.randrange(len(self.open[name]))
            found = self.open[name].pop(i)
            if not found.began and draw.random() < 0.4:
                self.open[name].insert(i, replace(found, began=True))

    def settle(self, name: str) -> None:
        """What a site does once a turn."""
        site, peer, now = self.sites[name], self.sites[name].peer, self.clock(name)
        if not site.alive:
            return
        epoch = enter(peer.replica, name, now, peer.writer, SHORT)
        tell(peer.replica, name, self.open[name], lambda: peer.stamp(now), peer.writer, epoch)
        assert [each for each in proposed(peer.replica) if each.agent == name] == sorted(
            self.open[name], key=lambda each: (not each.began, each.at, each.id)
        ), f"seed {self.seed}: {name} does not know its own"
        close(peer.replica, name, peer.alive(now), peer.writer)
        self.send(name, peer.push(now))

    def turns(self, seconds: float) -> None:
        """Time passes; each site has a turn about every ten seconds."""
        until = self.now + seconds
        while self.now < until:
            for name in self.names:
                self.run(10.0 / len(self.names))
                self.settle(name)

    def everything(self) -> list[Proposal]:
        found = [each for name in self.names for each in self.open[name]]
        return sorted(found, key=lambda each: (not each.began, each.at, each.id, each.agent))

    @property
    def most(self) -> int:
        """Terms and proposals of the agent that keeps most."""
        return max(
            len(site.peer.replica.terms) + sum(kind == PROPOSAL for kind, _ in site.peer.replica.registers)
            for site in self.sites.values()
        )


def peace(fleet: Sharing) -> None:
    """All live, nothing is lost: after a few epochs all know what is open, and nothing else."""
    fleet.heal()
    slowest = max(site.skew for site in fleet.sites.values()) - min(site.skew for site in fleet.sites.values())
    fleet.turns(4 * SHORT + slowest)
    fleet.run(fleet.pace.sync)
    assert len(fleet.digests) == 1, f"seed {fleet.seed}: {len(fleet.digests)} different states"
    wanted = fleet.everything()
    parts = {part.id for each in wanted for part in each.term.walk()}
    for name, site in fleet.sites.items():
        assert list(proposed(site.peer.replica)) == wanted, f"seed {fleet.seed}: {name} knows other proposals"
        assert site.peer.replica.terms.keys() >= parts


def forgotten(fleet: Sharing) -> None:
    """Nothing is open: after a few epochs there is nothing left of all that was."""
    for name in fleet.names:
        fleet.open[name].clear()
    peace(fleet)
    assert fleet.most == 0, f"seed {fleet.seed}: {fleet.most} terms and proposals are left"
    assert {site.disk.floor for site in fleet.sites.values()} == {fleet.sites[fleet.names[0]].peer.replica.floor}


def schedule(seed: int) -> None:
    """Some minutes of faults, then peace, then nothing."""
    draw = random.Random(f"epochs {seed}")
    name, size = draw.choice([("ring", 4), ("grid", 4), ("full", 3)])
    faults = Faults(draw.uniform(0, 0.3), draw.uniform(0, 0.2), draw.uniform(0.01, 2.0), skew=draw.uniform(0, 150))
    fleet = Sharing(seed, topology(name, size), faults)
    for _ in range(draw.randint(15, 30)):
        one = draw.choice(fleet.names)
        what = draw.choices(["begin", "end", "kill", "start", "cut", "mend"], [8, 6, 1, 2, 2, 2])[0]
        if what == "begin":
            fleet.begin(one, draw)
        elif what == "end":
            fleet.end(one, draw)
        elif what == "kill":
            fleet.kill(one)
        elif what == "start" and not fleet.sites[one].alive:
            fleet.start(one, lost=draw.random() < 0.2)
        elif what == "cut":
            fleet.cut.add(frozenset(fleet.names[i] for i in draw.choice(sorted(fleet.graph.edges))))
        elif what == "mend":
            fleet.cut.clear()
        fleet.turns(draw.uniform(10, 30))
    peace(fleet)
    forgotten(fleet)


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_schedules_end_alike_with_all_that_is_open_and_then_with_nothing(first):
    for seed in range(first, first + 10):
        schedule(seed)


def fleet_of(seed: int = 1, size: int = 3) -> Sharing:
    fleet = Sharing(seed, topology("full", size))
    fleet.turns(SHORT)
    return fleet


def test_memory_stays_bounded_however_much_was_proposed():
    fleet, draw = fleet_of(), random.Random(1)
    most = []
    for _ in range(60):
        for name in fleet.names:
            fleet.begin(name, draw)
            if len(fleet.open[name]) > 2:
                fleet.open[name].pop(0)
        fleet.turns(SHORT / 2)
        most.append(fleet.most)
    assert fleet.serial == 180
    assert max(most) <= 2 * max(most[:10])
    forgotten(fleet)


def test_who_was_dead_while_epochs_were_closed_gets_back_what_it_has_open():
    fleet, draw = fleet_of(), random.Random(1)
    fleet.begin("site-01", draw)
    fleet.turns(SHORT / 2)
    [open_] = fleet.open["site-01"]
    assert open_ in proposed(fleet.sites["site-00"].peer.replica)
    fleet.kill("site-01")
    fleet.turns(3 * SHORT)
    # who cannot be heard holds up nobody: its epoch is over, and what it had open is forgotten
    assert proposed(fleet.sites["site-00"].peer.replica) == ()
    fleet.start("site-01")
    assert proposed(fleet.sites["site-01"].peer.replica) == (open_,)
    fleet.turns(SHORT)
    for name in fleet.names:
        assert proposed(fleet.sites[name].peer.replica) == (open_,)
    peace(fleet)


def test_who_was_dead_while_its_program_ended_brings_nothing_back():
    fleet, draw = fleet_of(), random.Random(1)
    fleet.begin("site-01", draw)
    fleet.turns(SHORT / 2)
    fleet.kill("site-01")
    fleet.turns(3 * SHORT)
    fleet.open["site-01"].clear()
    fleet.start("site-01")
    fleet.turns(SHORT)
    assert fleet.most == 0


def test_a_slow_clock_holds_up_what_is_forgotten_and_loses_nothing():
    fleet, draw = fleet_of(), random.Random(1)
    fleet.sites["site-02"].skew = -5 * SHORT
    for name in fleet.names:
        fleet.begin(name, draw)
    fleet.turns(8 * SHORT)
    peace(fleet)
    forgotten(fleet)


@pytest.mark.parametrize(
    ("timeout", "rest"),
    [pytest.param(20.0, 20, id="a timeout"), pytest.param(0.2, 10, id="or what a busy process takes for a turn")],
)
def test_nobody_is_sure_who_is_dead_before_he_listened_for_a_while_without_a_break(timeout, rest):
    names = ("site-00", "site-01")
    peer, now = Peer("site-00", names, topology("full", 2), 1, pace=Pace(timeout / 2, timeout, timeout / 2)), NOW
    assert not peer.sure_of_the_dead(now)

    def listens(seconds: int) -> list[bool]:
        nonlocal now
        found = []
        for _ in range(seconds):
            peer.tick(now)
            found.append(peer.sure_of_the_dead(now))
            now += 1
        return found

    began = [False] * rest + [True] * 3
    assert listens(rest + 3) == began
    now += rest  # it slept, or its clock jumped
    assert not peer.sure_of_the_dead(now)
    assert listens(rest + 3) == began
    now -= 2 * rest  # it was set back
    assert listens(rest + 3) == began
