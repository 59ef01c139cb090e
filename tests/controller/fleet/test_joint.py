"""What all sites propose as one program: who goes, who waits, what comes to nothing, and what is left of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.forms import form_of
from controller.fleet.joint import LIMITS, MOST_STEPS, Fate, joint
from controller.fleet.proposals import Proposal
from controller.fleet.saturate import Ended
from controller.fleet.terms import (
    Term,
    checkpoint,
    grow,
    identity,
    move,
    par,
    seq,
    shrink,
    together,
    verify,
)
from tests.controller.fleet.fleet_programs import WORKLOADS, flat, resources_of, terms

A, B, C = "site-a", "site-b", "site-c"


def proposal(name: str, agent: str, term: Term, at: float = 0.0, *, began: bool = False) -> Proposal:
    return Proposal(name, agent, at, began, term)


def golem(before: float, after: float, node: str = "rack-1") -> Term:
    return move(f"{node}/golem", "cpu", before, after)


def fates(*proposals: Proposal) -> dict[str, tuple[Fate, str]]:
    return {name: (ruling.fate, ruling.of) for name, ruling in joint(proposals).rulings.items()}


GOES, WAITS, CANCELLED = Fate.GOES, Fate.WAITS, Fate.CANCELLED


# --- rulings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposals", "wanted"),
    [
        pytest.param([], {}, id="none"),
        pytest.param(
            [proposal("p", A, golem(2, 4)), proposal("q", B, golem(2, 4, "rack-2"))],
            {"p": (GOES, ""), "q": (GOES, "")},
            id="of different nodes both go",
        ),
        pytest.param(
            [proposal("p", A, golem(2, 4), 2.0), proposal("q", B, golem(4, 6), 1.0)],
            {"q": (GOES, ""), "p": (WAITS, "q")},
            id="of one workload the earlier goes and the later waits",
        ),
        pytest.param(
            [proposal("p", A, golem(2, 4), 2.0, began=True), proposal("q", B, golem(4, 6), 1.0)],
            {"p": (GOES, ""), "q": (WAITS, "p")},
            id="what has begun comes first",
        ),
        pytest.param(
            [proposal("p", A, golem(2, 4), began=True), proposal("q", B, golem(4, 6), began=True)],
            {"p": (GOES, ""), "q": (GOES, "")},
            id="what has begun is not stopped",
        ),
        pytest.param(
            [proposal("q", B, golem(2, 4)), proposal("p", A, golem(2, 4))],
            {"p": (GOES, ""), "q": (WAITS, "p")},
            id="at one time the id decides",
        ),
        pytest.param(
            [
                proposal("p", A, grow("rack-1/akash", "cpu+memory", 1, 2)),
                proposal("q", B, grow("rack-1/x", "memory", 1, 2)),
            ],
            {"p": (GOES, ""), "q": (WAITS, "p")},
            id="of one node who takes the same resource waits, a companion too",
        ),
        pytest.param(
            [proposal("p", A, shrink("rack-1/akash", "cpu", 2, 1)), proposal("q", B, golem(2, 4))],
            {"p": (GOES, ""), "q": (GOES, "")},
            id="of one node who takes need not wait for who frees",
        ),
        pytest.param(
            [proposal("p", A, golem(2, 4)), proposal("q", B, shrink("rack-1/akash", "cpu", 2, 1))],
            {"p": (GOES, ""), "q": (GOES, "")},
            id="of one node who frees need not wait for who takes",
        ),
        pytest.param(
            [proposal("p", A, verify("rack-1/golem")), proposal("q", B, golem(2, 4))],
            {"p": (GOES, ""), "q": (WAITS, "p")},
            id="what is only read back is the same workload",
        ),
        pytest.param(
            [proposal("p", A, golem(2, 4)), proposal("q", A, golem(4, 6), 1.0), proposal("r", A, golem(6, 4), 2.0)],
            {"p": (GOES, ""), "q": (GOES, ""), "r": (GOES, "")},
            id="nobody waits for his own or cancels it",
        ),
    ],
)
def test_who_goes_and_who_waits(proposals, wanted):
    assert fates(*proposals) == wanted


def test_who_waits_is_told_for_what_and_why():
    found = joint([proposal("p", A, golem(2, 4)), proposal("q", B, golem(4, 6), 1.0)]).rulings["q"]
    assert found.sentence == "waits until p of site-a is over, which comes first and changes rack-1/golem"
    taking = grow("rack-1/akash", "memory+cpu", 1, 2)
    found = joint([proposal("p", A, golem(2, 4)), proposal("q", B, taking, 1.0)]).rulings["q"]
    assert found.sentence == "waits until p of site-a is over, which comes first and takes cpu of rack-1"


def test_who_begins_elsewhere_than_the_moves_before_end_comes_behind_those_who_follow():
    odd = proposal("p2", B, golem(3, 5), 1.0)
    found = joint([proposal("p1", A, golem(2, 4)), odd, proposal("p3", C, golem(4, 6), 2.0)])
    assert found.order == ("p1", "p3", "p2")
    assert found.rulings["p3"].of == "p1"
    assert found.rulings["p2"].of == "p1"
    assert found.equalities[0][1] == form_of(golem(2, 6), golem(3, 5))


def test_what_has_begun_comes_first_also_where_it_is_in_conflict():
    begun = [proposal("p1", A, golem(2, 4), began=True), proposal("p2", B, golem(3, 5), began=True)]
    found = joint([*begun, proposal("p0", C, golem(4, 6)), proposal("p3", A, golem(5, 6), 1.0)])
    assert found.order == ("p1", "p2", "p3", "p0")  # p3 goes on from where p2 ends
    assert found.rulings["p0"].fate is WAITS


# --- cancelling -----------------------------------------------------------------------------------------------------------

SWAP = checkpoint(shrink("rack-1/akash", "cpu", 4, 2), seq(golem(2, 3), grow("rack-1/x", "cpu", 1, 2)))
BACK = checkpoint(seq(shrink("rack-1/x", "cpu", 2, 1), golem(3, 2)), grow("rack-1/akash", "cpu", 2, 4))
FREED = seq(shrink("a/x", "cpu", 4, 2), shrink("a/y", "cpu", 4, 2))
TAKEN = seq(grow("a/x", "cpu", 2, 4), grow("a/y", "cpu", 2, 4))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(golem(2, 4), golem(4, 2), id="one move"),
        pytest.param(SWAP, BACK, id="programs whose moves are in another order"),
        pytest.param(FREED, TAKEN, id="programs whose moves do not lie beside one another"),
        pytest.param(par([golem(2, 4), golem(2, 4, "rack-2")]), par([golem(4, 2), golem(4, 2, "rack-2")]), id="nodes"),
        pytest.param(seq(golem(2, 3), golem(3, 4)), golem(4, 2), id="in two parts"),
    ],
)
def test_two_that_come_to_nothing_are_both_void(one, other):
    first, second = proposal("p", A, one), proposal("q", B, other, 1.0)
    assert fates(first, second) == {"p": (CANCELLED, "q"), "q": (CANCELLED, "p")}
    found = joint([first, second])
    assert (found.program, found.cost, found.layers) == (identity(), (0.0, 0.0, 0), ())
    assert "comes to nothing together with q of site-b" in found.rulings["p"].sentence


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(proposal("p", A, golem(2, 4)), proposal("q", A, golem(4, 2), 1.0), id="of one agent"),
        pytest.param(proposal("p", A, golem(2, 4), began=True), proposal("q", B, golem(4, 2), 1.0), id="begun"),
        pytest.param(proposal("p", A, golem(2, 4)), proposal("q", B, golem(4, 3), 1.0), id="not all of it"),
        pytest.param(proposal("p", A, golem(2, 4)), proposal("q", B, golem(5, 2), 1.0), id="from elsewhere"),
        pytest.param(
            proposal("p", A, golem(2, 4)), proposal("q", B, shrink("rack-1/golem", "cpu+memory", 4, 2), 1.0), id="with more"
        ),
        pytest.param(proposal("p", A, verify("a/b")), proposal("q", B, verify("a/b"), 1.0), id="read back"),
        pytest.param(
            proposal("p", A, seq(golem(2, 4), verify("rack-1/golem"))), proposal("q", B, golem(4, 2), 1.0), id="and read back"
        ),
    ],
)  # fmt: skip
def test_what_does_not_come_to_nothing_is_not_void(first, second):
    assert CANCELLED not in {fate for fate, _ in fates(first, second).values()}


def test_nothing_is_cancelled_across_what_lies_between_and_what_cancels_inside_lays_it_free():
    out, back = proposal("p1", A, golem(2, 4), 1.0), proposal("p4", B, golem(4, 2), 4.0)
    inside = proposal("p2", C, golem(4, 6), 2.0), proposal("p3", A, golem(6, 4), 3.0)
    assert fates(out, *inside, back) == {
        "p1": (CANCELLED, "p4"), "p4": (CANCELLED, "p1"), "p2": (CANCELLED, "p3"), "p3": (CANCELLED, "p2"),
    }  # fmt: skip
    # the one between takes of the same node, and holds it meanwhile
    between = proposal("p2", C, grow("rack-1/x", "cpu", 1, 2), 2.0)
    assert CANCELLED not in {fate for fate, _ in fates(out, between, back).values()}


def test_who_is_void_is_in_nobodys_way():
    void = proposal("p1", A, golem(2, 4), 1.0), proposal("p2", B, golem(4, 2), 2.0)
    assert fates(*void, proposal("p3", C, golem(2, 5), 3.0))["p3"] == (GOES, "")


# --- the program ----------------------------------------------------------------------------------------------------------


def test_moves_of_one_workload_from_two_sites_are_fused():
    found = joint([proposal("p", A, golem(2, 4)), proposal("q", B, golem(4, 6), 1.0)])
    assert found.program == golem(2, 6)
    assert found.cost == (1.0, 0.0, 1)
    assert found.saturated.graph.class_of(seq(golem(2, 4), golem(4, 6))) == found.saturated.graph.class_of(golem(2, 6))


def test_what_is_of_different_nodes_lies_side_by_side_in_one_layer():
    one, other = golem(2, 4), golem(2, 4, "rack-2")
    found = joint([proposal("p", A, one), proposal("q", B, other), proposal("r", C, golem(4, 5, "rack-2"), 1.0)])
    assert found.layers == (("p", "q"), ("r",))
    assert found.program == par([one, golem(2, 5, "rack-2")])


def test_what_was_told_to_be_equal_may_make_the_program_cheaper_and_changes_no_ruling():
    first, second = proposal("p", A, golem(2, 4)), proposal("q", B, grow("rack-1/x", "cpu", 1, 2), 1.0)
    told = (seq(first.term, second.term), grow("rack-1/y", "cpu", 1, 2))
    found = joint([first, second], [told])
    assert found.program == told[1]
    assert found.rulings == joint([first, second]).rulings


def test_an_equality_that_joins_red_and_blue_is_barred_and_the_program_stands():
    first, second = proposal("p", A, golem(2, 4)), proposal("q", B, golem(4, 6), 1.0)
    found = joint([first, second], [(first.term, golem(4, 2))])
    assert first.term.id in found.saturated.barred
    assert found.program == golem(2, 6)


def test_an_equality_that_makes_parts_touch_gives_the_program_as_it_was_proposed():
    first, second = proposal("p", A, golem(2, 4)), proposal("q", B, golem(2, 4, "rack-2"))
    wide = grow("rack-3/x", "cpu", 1, 2)
    found = joint([first, second], [(min(first.term, wide), wide), (second.term, wide)])
    assert found.program in {wide, par([first.term, second.term])}


def line(moves: int) -> list[Proposal]:
    """Of workloads of one node, so that all depend on one another and nothing fuses."""
    return [proposal(f"p{i:02}", f"site-{i}", grow(f"rack-1/w{i}", "cpu", 1, 2), float(i)) for i in range(moves)]


def test_where_a_limit_ends_it_there_is_no_program_and_the_rulings_stand():
    few, many, most = joint(line(24)), joint(line(25)), joint(line(MOST_STEPS + 1))
    assert (few.ended_by, many.ended_by, most.ended_by) == (Ended.FIXPOINT, Ended.NODES, Ended.NODES)
    assert few.program is not None
    for found in (many, most):
        assert (found.program, found.cost) == (None, None)
        assert found.rulings["p00"].fate is GOES
        assert {ruling.fate for name, ruling in found.rulings.items() if name != "p00"} == {WAITS}
    assert len(most.saturated.graph) < LIMITS.nodes


def test_proposals_of_which_nothing_is_to_be_done_are_nothing():
    assert joint([proposal("p", A, identity())]).program == identity()
    assert joint([]).program == identity()


# --- for all --------------------------------------------------------------------------------------------------------------

START = dict.fromkeys(WORKLOADS, 4.0)


@st.composite
def crowds(draw) -> list[Proposal]:
    """Proposals of a few agents about a few workloads: in chains, in conflict, in inverse."""
    found = []
    for i in range(draw(st.integers(0, 6))):
        term = draw(st.one_of(terms(3), simple()))
        if found and draw(st.integers(0, 2)) == 0:
            term = inverse(draw(st.sampled_from(found)).term)
        agent, at = draw(st.sampled_from([A, B, C])), draw(st.sampled_from([0.0, 1.0, 2.0]))
        found.append(proposal(f"p{i}", agent, term, at, began=draw(st.integers(0, 4)) == 0))
    return found


@st.composite
def simple(draw) -> Term:
    workload = draw(st.sampled_from(WORKLOADS[:2]))
    before, after = draw(st.sampled_from([(2.0, 4.0), (4.0, 6.0), (6.0, 2.0), (4.0, 2.0)]))
    return move(workload, resources_of(workload), before, after)


def inverse(term: Term) -> Term:
    """Its moves the other way round, from the last to the first."""
    whole = identity()
    for step in flat(term):
        if step.operator in {"grow", "shrink"}:
            workload, resources, before, after = step.parameters
            whole = checkpoint(move(str(workload), str(resources), float(after), float(before)), whole)
    return whole


def stands_in_the_way(one: Proposal, other: Proposal) -> bool:
    def takes(term: Term) -> set[str]:
        return {name for step in flat(term) if step.operator == "grow" for name in step.touches if ":" in name}

    def named(term: Term) -> set[str]:
        return {str(step.parameters[0]) for step in flat(term) if step.parameters}

    return bool(named(one.term) & named(other.term) or takes(one.term) & takes(other.term))


@given(crowds(), st.randoms())
def test_the_order_in_which_proposals_came_changes_nothing(crowd, chance: random.Random):
    shuffled = list(crowd)
    chance.shuffle(shuffled)
    one, other = joint(crowd), joint([*shuffled, *crowd[:1]])
    assert (one.rulings, one.order, one.layers, one.program) == (
        other.rulings,
        other.order,
        other.layers,
        other.program,
    )


@given(crowds())
def test_nobody_waits_for_one_who_waits_for_him_or_needlessly_and_somebody_goes(crowd):
    found, by = joint(crowd), {each.id: each for each in crowd}
    assert sorted(found.order) == sorted(found.rulings) == sorted(by)
    for name, ruling in found.rulings.items():
        if ruling.fate is WAITS:
            assert found.order.index(ruling.of) < found.order.index(name)
            assert found.rulings[ruling.of].fate is not CANCELLED
            assert by[name].agent != by[ruling.of].agent
            assert stands_in_the_way(by[name], by[ruling.of])
        assert ruling.fate is GOES or not by[name].began
    left = {ruling.fate for ruling in found.rulings.values()} - {CANCELLED}
    assert not left or GOES in left


@given(crowds())
def test_of_two_in_each_others_way_that_have_not_begun_only_one_goes(crowd):
    found = joint(crowd)
    going = [each for each in crowd if found.rulings[each.id].fate is GOES]
    for one in going:
        for other in going:
            if one.agent != other.agent and not (one.began or other.began):
                assert not stands_in_the_way(one, other)


@given(crowds())
def test_void_are_always_two_of_two_agents_and_together_they_change_nothing(crowd):
    found, by = joint(crowd), {each.id: each for each in crowd}
    for name, ruling in found.rulings.items():
        if ruling.fate is CANCELLED:
            assert found.rulings[ruling.of] == replace(ruling, of=name, sentence=found.rulings[ruling.of].sentence)
            assert by[name].agent != by[ruling.of].agent
            first, second = sorted((name, ruling.of), key=found.order.index)
            assert chained([by[first].term], by[second].term)
            began, ended = amounts([*flat(by[first].term), *flat(by[second].term)])
            assert began == ended


@given(crowds())
def test_the_program_does_what_all_do_who_are_not_void_with_no_more_moves(crowd):
    found = joint(crowd)
    left = [each for each in found.order if found.rulings[each].fate is not CANCELLED]
    by = {each.id: each.term for each in crowd}
    assert found.program is not None
    assert found.program.steps <= sum(by[each].steps for each in left)
    if all(chained([by[each] for each in left[:i]], by[name]) for i, name in enumerate(left)):
        assert outcome(flat(found.program)) == outcome([step for each in left for step in flat(by[each])])


def chained(before: list[Term], term: Term) -> bool:
    has = amounts([step for each in before for step in flat(each)])[1]
    for step in flat(term):
        if step.operator in {"grow", "shrink"}:
            if has.get(step.parameters[0], step.parameters[2]) != step.parameters[2]:
                return False
            has[step.parameters[0]] = step.parameters[3]
    return True


def amounts(steps: list[Term]) -> tuple[dict[str, float], dict[str, float]]:
    """Of each workload that is moved: what it had first, and what it has last."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for step in steps:
        if step.operator in {"grow", "shrink"}:
            workload, _, before, after = step.parameters
            first.setdefault(str(workload), float(before))
            last[str(workload)] = float(after)
    return first, last


def outcome(steps: list[Term]) -> dict[str, float]:
    first, last = amounts(steps)
    return {workload: amount for workload, amount in last.items() if amount != first[workload]}


@given(crowds())
def test_of_one_layer_none_depends_on_another_and_each_on_one_of_the_layer_before(crowd):
    found, by = joint(crowd), {each.id: each.term for each in crowd}
    for i, layer in enumerate(found.layers):
        assert together(by[name] for name in layer).touches == frozenset().union(*(by[name].touches for name in layer))
        for name in layer if i else ():
            assert any(not by[name].touches.isdisjoint(by[other].touches) for other in found.layers[i - 1])
