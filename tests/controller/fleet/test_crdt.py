"""What agents share becomes one, whatever is lost, repeated or late on the way."""

from __future__ import annotations

import copy
import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.clocks import Hybrid, Order, Stamp, compare, joined
from controller.fleet.crdt import Delta, Dot, Gap, Item, Replica
from controller.fleet.terms import grow, seq, shrink

TERMS = [grow(f"rack-{i}/golem", "cpu", 1, 2) for i in range(4)]
TERMS += [seq(TERMS[0], TERMS[1]), seq(TERMS[2], seq(TERMS[3], TERMS[0])), shrink("rack-1/akash", "cpu", 4, 2)]


@st.composite
def writes(draw):
    """What an agent does to its own copy."""
    return draw(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from(TERMS), st.integers(1, 3)),
            st.tuples(st.just("equate"), st.sampled_from(TERMS), st.sampled_from(TERMS), st.integers(1, 3)),
            st.tuples(st.just("count"), st.sampled_from(["used", "given"]), st.integers(0, 9)),
            st.tuples(
                st.just("write"),
                st.sampled_from(["site", "limit"]),
                st.integers(0, 5),
                st.integers(0, 3),
                st.integers(1, 3),
            ),
            st.tuples(st.just("close"), st.integers(0, 2)),
        )
    )


def do(replica: Replica, agent: str, number: int, write) -> None:
    writer = f"{agent}.1"
    match write:
        case "add", term, epoch:
            replica.add(term, writer, epoch)
        case "equate", one, other, epoch:
            replica.equate(one, other, writer, epoch)
        case "count", name, value:
            replica.count(agent, name, max(replica.counted(agent, name), value), writer)
        case "write", kind, value, late, epoch:
            replica.write(kind, "x", value, Stamp(late, number, agent), writer, epoch)
        case "close", epoch:
            replica.close(epoch)


def content(replica: Replica):
    return (
        {name: (item.value, item.epoch) for name, item in replica.terms.items()},
        {pair: item.epoch for pair, item in replica.equalities.items()},
        {key: item.value for key, item in replica.counters.items()},
        {key: (item.value, item.epoch) for key, item in replica.registers.items()},
        replica.floor,
    )


def whole(replica: Replica) -> Delta:
    return replica.delta({})


def merged(*replicas: Replica) -> Replica:
    found = Replica()
    for replica in replicas:
        found.absorb(whole(replica))
    return found


@st.composite
def fleets(draw):
    """Three agents that wrote, and heard of each other now and then."""
    agents = {name: Replica() for name in "abc"}
    for number, (name, write) in enumerate(
        draw(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(writes(), st.sampled_from("abc"))), max_size=24))
    ):
        if isinstance(write, str):
            agents[name].absorb(agents[write].delta(agents[name].version))
        else:
            do(agents[name], name, number, write)
    return list(agents.values())


@given(fleets())
def test_joining_is_commutative_associative_and_idempotent(fleet):
    a, b, c = fleet
    assert {merged(*order).digest for order in permutations(fleet)} == {merged(a, b, c).digest}
    assert all(content(merged(*order)) == content(merged(a, b, c)) for order in permutations(fleet))
    assert content(merged(merged(a, b), c)) == content(merged(a, merged(b, c)))
    assert content(merged(a, b, a, b)) == content(merged(a, b))


@given(fleets())
def test_joining_forgets_nothing_but_what_is_over(fleet):
    one = copy.deepcopy(fleet[0])
    one.absorb(whole(fleet[1]))
    assert all(item.epoch <= one.floor for name, item in fleet[0].terms.items() if name not in one.terms)
    assert all(
        one.counters[key].value >= item.value for key, item in {**fleet[0].counters, **fleet[1].counters}.items()
    )
    assert one.floor >= max(fleet[0].floor, fleet[1].floor)
    assert compare(fleet[0].version, one.version) in {Order.BEFORE, Order.EQUAL}


@given(fleets(), st.randoms(), st.integers(0, 40))
def test_copies_that_lost_repeated_and_mixed_up_messages_agree_once_each_heard_of_all(
    fleet, chance: random.Random, rounds
):
    mail = []
    for _ in range(rounds):
        sender, to = chance.sample(range(3), 2)
        mail.append((to, fleet[sender].delta(fleet[to].version)))
        if chance.random() < 0.7:
            at, delta = chance.choice(mail)
            try:
                fleet[at].absorb(delta)
            except Gap:
                continue
    for to in (0, 1, 2, 0, 1, 2):
        for other in fleet:
            fleet[to].absorb(other.delta(fleet[to].version))
    assert len({replica.digest for replica in fleet}) == 1
    assert content(fleet[0]) == content(fleet[1]) == content(fleet[2])
    assert content(fleet[0]) == content(merged(*fleet))


@given(fleets())
def test_what_lies_above_a_version_is_all_that_its_owner_lacks(fleet):
    a, b, _ = fleet
    by_delta, by_all = copy.deepcopy(a), copy.deepcopy(a)
    by_delta.absorb(b.delta(a.version))
    by_all.absorb(whole(b))
    assert content(by_delta) == content(by_all)
    assert by_delta.digest == by_all.digest
    assert len(b.delta(by_delta.version)) == 0


@given(fleets(), st.dictionaries(st.sampled_from(["a.1", "b.1", "c.1", "d.1"]), st.integers(0, 20)))
def test_what_is_looked_up_is_what_going_through_all_finds(fleet, since):
    """Also after more was written, heard and closed."""
    one, other, _ = fleet
    for done in range(4):
        for version in (since, {}, one.version, *(each.version for each in fleet)):
            assert one._looked_up(version) == one._gone_through(version)
            assert len(one._places) == len(one), "what is replaced is forgotten"
        match done:
            case 0:
                one.absorb(other.delta(one.version))
            case 1:
                do(one, "a", 30, ("write", "site", 1, 3, 2))
                one.add(TERMS[4], "a.1", 4)
                one.count("a", "used", one.counted("a", "used") + 1, "a.1")
            case 2:
                one.close(3)


@given(fleets(), fleets())
def test_a_copy_goes_its_own_way(fleet, others):
    for replica in fleet:
        before = content(replica), dict(replica.version)
        kept = replica.copy()
        assert kept == replica
        for other in others:
            kept.absorb(whole(other))
        kept.add(TERMS[0], "d.1", 9)
        kept.close(5)
        assert (content(replica), replica.version) == before
        assert replica._looked_up({}) == replica._gone_through({})
        assert kept._looked_up({}) in (None, kept._gone_through({}))


@pytest.mark.parametrize("asked_before", [False, True])
def test_of_writes_that_were_numbered_alike_none_is_kept_back(asked_before):
    one, other = Replica(), Replica()
    for i in range(9):
        one.add(grow(f"rack-9/golem-{i}", "cpu", 1, 2), "a.1", 1)
        other.add(TERMS[0] if i == 8 else grow(f"rack-9/golem-{i}", "cpu", 1, 2), "a.1", 1)
    assert not asked_before or one._looked_up({}) is not None
    one.absorb(whole(other))
    assert set(one.delta({"a.1": 8}).terms) == {TERMS[0].id, grow("rack-9/golem-8", "cpu", 1, 2).id}


@given(fleets())
def test_digests_are_equal_where_contents_are_and_only_there(fleet):
    for one in fleet:
        for other in fleet:
            assert (one.digest == other.digest) == (content(one) == content(other))


@given(fleets())
def test_a_digest_that_was_kept_up_is_that_of_a_copy_made_at_once(fleet):
    for replica in fleet:
        assert merged(replica).digest == replica.digest


def test_what_begins_above_what_is_known_is_refused_whole_and_said():
    one, other = Replica(), Replica()
    for term in TERMS[:2]:
        one.add(term, "a.1", 1)
    late = one.delta({"a.1": 1})
    with pytest.raises(Gap, match=r"writes 1 to 1 of a\.1"):
        other.absorb(late)
    assert len(other) == 0
    assert other.version == {}
    other.absorb(one.delta({}))
    assert other.absorb(late) is False


def test_a_delta_for_one_does_not_make_another_believe_that_it_knows_more_than_it_does():
    """The sender knows 7 writes of a, whom it is for knows 10: for a third that knows none there is a gap."""
    third = Replica()
    with pytest.raises(Gap):
        third.absorb(Delta(since={"a.1": 10}, until={"a.1": 7}))


def test_what_an_epoch_that_is_over_wrote_does_not_come_back():
    one, other = Replica(), Replica()
    one.add(TERMS[0], "a.1", 1)
    one.add(TERMS[1], "a.1", 2)
    other.absorb(whole(one))
    one.close(1)
    assert set(one.terms) == {TERMS[1].id}
    one.absorb(whole(other))
    assert set(one.terms) == {TERMS[1].id}
    other.absorb(whole(one))
    assert set(other.terms) == {TERMS[1].id}
    one.add(TERMS[0], "a.1", 2)
    assert set(one.terms) == {TERMS[0].id, TERMS[1].id}


def test_a_counter_never_falls():
    one = Replica()
    one.count("a", "used", 3, "a.1")
    with pytest.raises(ValueError, match="may not fall"):
        one.count("a", "used", 2, "a.1")
    assert one.counted("a", "used") == 3
    assert one.counted("b", "used") == 0


def test_a_term_with_another_content_than_its_id_is_found():
    one = Replica()
    one.add(TERMS[0], "a.1", 1)
    honest = one.delta({})
    assert list(honest.lies()) == []
    forged = Delta({}, {"a.1": 1}, 0, {TERMS[1].id: Item(TERMS[0].alone, Dot("a.1", 1), 1)})
    assert list(forged.lies()) == [TERMS[1].id]


def test_registers_are_read_by_kind_and_name():
    one = Replica()
    one.write("site", "b", {"storj": 2.0}, Stamp(2, 0, "b"), "b.1")
    one.write("site", "a", {"storj": 1.0}, Stamp(1, 0, "a"), "a.1")
    one.write("limit", "a", 3, Stamp(1, 0, "a"), "a.1")
    assert [(name, value) for name, value, _ in one.read("site")] == [("a", {"storj": 1.0}), ("b", {"storj": 2.0})]
    with pytest.raises(ValueError, match="Out of range"):
        one.write("site", "c", float("nan"), Stamp(1, 0, "a"), "a.1")


def test_what_one_writes_holds_over_what_one_knows_also_where_that_was_written_by_a_clock_that_was_ahead():
    one, other = Replica(), Replica()
    one.write("limit", "x", 10, Stamp(9_000, 3, "b"), "b.1")
    other.absorb(one.delta({}))
    one.write("limit", "x", 6, Stamp(1_000, 0, "a"), "a.1")
    assert list(one.read("limit")) == [("x", 6, Stamp(9_000, 4, "a"))]
    one.write("limit", "x", 5, Stamp(1_001, 0, "a"), "a.1")
    other.absorb(one.delta(other.version))
    assert list(other.read("limit")) == [("x", 5, Stamp(9_000, 5, "a"))]
    one.write("limit", "y", 1, Stamp(5, 0, "a"), "a.1", 7)
    one.write("limit", "y", 2, Stamp(6, 0, "a"), "a.1", 6)
    assert list(one.read("limit"))[1] == ("y", 1, Stamp(5, 0, "a")), "of an earlier epoch"


# --- clocks -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5), st.booleans()), max_size=30))
def test_what_was_caused_is_later_whatever_the_clocks_show(events):
    """Each has a clock of its own, minutes off and standing still at times; every stamp is later than all it has heard of."""
    clocks = {"a": Hybrid("a"), "b": Hybrid("b")}
    latest = {"a": Stamp(-1, 0, ""), "b": Stamp(-1, 0, "")}
    skew = {"a": 0.0, "b": 300.0}
    for name, now, hear in events:
        other = "b" if name == "a" else "a"
        before = latest[name]
        if hear:
            clocks[name] = clocks[name].heard(clocks[other].stamp, now + skew[name])
            before = max(before, latest[other])
        else:
            clocks[name] = clocks[name].tick(now + skew[name])
        latest[name] = clocks[name].stamp
        assert latest[name][:2] > before[:2]


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        pytest.param({}, {}, Order.EQUAL, id="nothing"),
        pytest.param({"a": 0}, {}, Order.EQUAL, id="0 is nothing"),
        pytest.param({"a": 1}, {"a": 2}, Order.BEFORE, id="before"),
        pytest.param({"a": 1, "b": 1}, {"a": 1}, Order.AFTER, id="after"),
        pytest.param({"a": 1}, {"b": 1}, Order.CONCURRENT, id="concurrent"),
    ],
)
def test_versions_compare(one, other, order):
    assert compare(one, other) is order
    both = joined(one, other)
    assert compare(one, both) in {Order.BEFORE, Order.EQUAL}
    assert compare(both, other) in {Order.AFTER, Order.EQUAL}
