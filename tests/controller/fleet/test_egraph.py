"""The e-graph, its rules and what they lead to: the same on every agent, whatever the order in which things came."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.egraph import EGraph
from controller.fleet.extract import NoExtraction, extract
from controller.fleet.matching import interpreted
from controller.fleet.patterns import NoPattern, Shape, parse_pattern
from controller.fleet.rules import NoRules, Polarity, built_in, ordered, read_rules
from controller.fleet.saturate import Ended, Limits, compiled, saturate
from controller.fleet.terms import Term, checkpoint, grow, identity, seq, shrink, verify
from tests.controller.fleet.fleet_programs import WORKLOADS, run, terms

RULES = compiled(built_in())
SMALL = Limits(iterations=8, nodes=300)
"""Equalities drawn by chance, such as p = seq(p, q), never come to an end."""
START = dict.fromkeys(WORKLOADS, 4.0)
A, B, C = (grow(f"rack-1/{name}", "cpu", 1, 2) for name in "abc")
BACK = shrink("rack-1/d", "cpu", 2, 1)


def price(_operator, _workload):
    return 0.0, 1.0


def equal(saturated, one: Term, other: Term) -> bool:
    return saturated.graph.class_of(one) == saturated.graph.class_of(other)


# --- congruence -----------------------------------------------------------------------------------------------------------


def closure(all_terms: set[Term], pairs: list[tuple[Term, Term]]) -> set[frozenset[str]]:
    """Congruence closure the slow way: equalities, and equal children of one operator, until nothing changes."""
    home = {term.id: term.id for term in all_terms}

    def unite(a: str, b: str) -> bool:
        old, new = home[a], home[b]
        for name in [name for name, at in home.items() if at == old]:
            home[name] = new
        return old != new

    for one, other in pairs:
        unite(one.id, other.id)
    changed = True
    while changed:
        changed = False
        for one, other in itertools.combinations(sorted(all_terms), 2):
            same = (one.operator, one.parameters, len(one.children)) == (
                other.operator,
                other.parameters,
                len(other.children),
            )
            ours, theirs = ([home[child.id] for child in term.children] for term in (one, other))
            if one.operator == "par":
                ours, theirs = sorted(ours), sorted(theirs)
            if same and ours == theirs and home[one.id] != home[other.id]:
                changed |= unite(one.id, other.id)
    groups: dict[str, set[str]] = {}
    for name, at in home.items():
        groups.setdefault(at, set()).add(name)
    return {frozenset(group) for group in groups.values()}


@given(st.lists(terms(4), min_size=2, max_size=4), st.data())
def test_classes_are_those_of_congruence_closure_the_slow_way(some, data):
    parts = sorted({part for term in some for part in term.walk()})
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(parts), st.sampled_from(parts)), max_size=4))
    saturated = saturate(some, pairs, ())
    if saturated.barred:
        return
    assert {frozenset(ids) for ids in saturated.graph.members().values()} == closure(set(parts), pairs)


@given(st.lists(terms(4), min_size=1, max_size=4), st.data(), st.randoms())
def test_the_order_in_which_things_come_changes_nothing(some, data, chance: random.Random):
    parts = sorted({part for term in some for part in term.walk()})
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(parts), st.sampled_from(parts)), max_size=5))
    shuffled, turned = list(some), [pair if chance.random() < 0.5 else pair[::-1] for pair in pairs]
    chance.shuffle(shuffled)
    chance.shuffle(turned)
    one, other = saturate(some, pairs, RULES, SMALL), saturate(shuffled, turned, RULES, SMALL)
    assert (one.digest, one.barred, one.ended, one.refused) == (other.digest, other.barred, other.ended, other.refused)


@given(st.lists(terms(4), min_size=1, max_size=4), st.data())
def test_every_node_is_there_once_in_one_class_by_the_classes_that_its_children_are_in_now(some, data):
    parts = sorted({part for term in some for part in term.walk()})
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(parts), st.sampled_from(parts)), max_size=4))
    graph = saturate(some, pairs, RULES, SMALL).graph
    listed = [node for number in graph.classes() for node in graph.nodes[number]]
    assert len(listed) == len(set(listed)) == len(graph)
    for node in listed:
        assert node[2] == tuple(map(graph.find, node[2]))
        assert node in graph.nodes[graph.find(graph.table[node])]


# --- red and blue ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_component_that_holds_red_and_blue_is_not_united_at_all_whatever_the_order(order):
    pairs = [(A, identity()), (identity(), BACK), (A, B)]
    saturated = saturate([A, B, C, BACK, identity()], [pairs[i] for i in order], RULES)
    assert set(saturated.barred) == {A.id, B.id, BACK.id, identity().id}
    assert not equal(saturated, A, B)
    assert not equal(saturated, A, identity())


def test_what_follows_from_a_barred_equality_does_not_follow():
    one, other = seq(A, C), seq(B, C)
    assert equal(saturate([one, other], [(A, B)], RULES), one, other)
    assert not equal(saturate([one, other, BACK], [(A, B), (B, BACK)], RULES), one, other)


@given(st.lists(terms(4), min_size=1, max_size=3), st.data())
def test_no_class_ever_holds_red_and_blue(some, data):
    parts = sorted({part for term in some for part in term.walk()})
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(parts), st.sampled_from(parts)), max_size=6))
    graph = saturate(some, pairs, RULES, SMALL).graph
    assert not any(graph.facts[number].torn for number in graph.classes())


# --- rules ----------------------------------------------------------------------------------------------------------------


@given(st.lists(terms(5), min_size=1, max_size=3))
def test_compiled_and_interpreted_matching_agree(some):
    graph = saturate(some, [], RULES, Limits(iterations=2, nodes=300)).graph
    places = [(number, node) for number in graph.classes() for node in graph.nodes[number]]
    for rule in RULES:
        assert isinstance(rule.source, Shape)
        found = rule.find(graph, places, 10_000)
        assert sorted(map(repr, found)) == sorted(map(repr, interpreted(rule.source, rule.variables, graph, places)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(seq(identity(), A), A, id="identity first"),
        pytest.param(seq(A, identity()), A, id="identity last"),
        pytest.param(checkpoint(identity(), A), A, id="identity before a checkpoint"),
        pytest.param(seq(seq(A, B), C), seq(A, seq(B, C)), id="associative"),
        pytest.param(
            checkpoint(checkpoint(A, BACK), C), checkpoint(A, checkpoint(BACK, C)), id="checkpoints associate"
        ),
        pytest.param(
            seq(grow("a/b", "cpu", 1, 2), seq(grow("a/b", "cpu", 2, 3), C)),
            seq(grow("a/b", "cpu", 1, 3), C),
            id="fused inside",
        ),
        pytest.param(
            seq(shrink("a/b", "cpu", 3, 2), shrink("a/b", "cpu", 2, 1)), shrink("a/b", "cpu", 3, 1), id="fused shrinks"
        ),
        pytest.param(seq(verify("a/b"), verify("a/b")), verify("a/b"), id="read back once"),
    ],
)
def test_rules_find_what_is_equal(one, other):
    assert equal(saturate([one, other], [], RULES), one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(seq(A, B), seq(B, A), id="commuting is no rule"),
        pytest.param(seq(grow("a/b", "cpu", 1, 2), grow("a/b", "cpu", 3, 4)), grow("a/b", "cpu", 1, 4), id="a gap"),
        pytest.param(checkpoint(A, B), seq(A, B), id="a checkpoint is not nothing"),
    ],
)
def test_rules_do_not_find_what_is_not(one, other):
    saturated = saturate([one, other], [], RULES)
    assert saturated.ended is Ended.FIXPOINT
    assert not equal(saturated, one, other)


def test_rules_are_tried_by_priority_then_complexity_then_name():
    rules = read_rules(
        "rules:\n"
        "- {name: c, source: 'seq(?p, ?q)', target: 'seq(?p, ?q)', polarity: forward, priority: 1, conditions: ['distinct(?p, ?q)']}\n"
        "- {name: b, source: 'seq(?p, ?q)', target: 'seq(?p, ?q)', polarity: forward, priority: 1}\n"
        "- {name: a, source: 'seq(?p, ?q)', target: 'seq(?p, ?q)', polarity: forward, priority: 1}\n"
        "- {name: z, source: 'seq(?p, seq(?p, ?q))', target: 'seq(?p, ?q)', polarity: forward, priority: 2}\n"
    )
    assert [rule.name for rule in rules] == ["z", "a", "b", "c"]
    assert [rule.complexity for rule in rules] == [2, 0, 0, 1]
    assert ordered(reversed(rules)) == rules


def own(conditions: str, polarity: str = "forward"):
    return compiled(
        read_rules(
            f"rules: [{{name: swap, source: 'seq(?p, ?q)', target: 'seq(?q, ?p)', polarity: {polarity}, conditions: [{conditions}]}}]"
        )
    )


def test_a_class_that_stands_twice_in_a_pattern_is_noticed_when_it_becomes_the_same_later():
    rules = compiled(
        read_rules(
            "rules:\n"
            "- {name: once, source: 'seq(?p, seq(?q, ?q))', target: 'seq(?p, ?q)', polarity: backward}\n"
            "- {name: identity-first, source: 'seq(identity, ?p)', target: '?p', polarity: symmetric}\n"
        )
    )
    one, other = seq(A, seq(B, seq(identity(), B))), seq(A, B)
    assert equal(saturate([one, other], [], rules), one, other)


FAR = grow("rack-2/a", "cpu", 1, 2)


@pytest.mark.parametrize(
    ("condition", "holds_for", "not_for"),
    [
        pytest.param('"disjoint(?p, ?q)"', seq(A, FAR), seq(A, B), id="disjoint"),
        pytest.param('"distinct(?p, ?q)"', seq(A, B), None, id="distinct"),
        pytest.param('"colour(?p) is red"', seq(A, verify("a/b")), seq(verify("a/b"), A), id="is"),
        pytest.param('"colour(?p) is not green"', seq(A, B), seq(verify("a/b"), A), id="is not"),
    ],
)
def test_conditions_decide(condition, holds_for, not_for):
    rules = own(condition)
    turned = seq(*reversed(holds_for.children))
    assert equal(saturate([holds_for, turned], [], rules), holds_for, turned)
    if not_for is not None:
        turned = seq(*reversed(not_for.children))
        assert not equal(saturate([not_for], [], rules), not_for, turned)
        assert len(saturate([not_for], [], rules).graph) == 3


def test_a_rule_that_would_join_red_to_blue_makes_nothing_and_is_counted():
    rules = own('"distinct(?p, ?q)"')
    green_between = seq(BACK, seq(verify("rack-1/d"), A))
    saturated = saturate([green_between], [], rules)
    assert saturated.refused > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("seq(?p", "the end", id="open"),
        pytest.param("seq(?p, ?q) x", "nothing may follow", id="more"),
        pytest.param("sequence(?p, ?q)", "there are seq, checkpoint", id="unknown operator"),
        pytest.param("seq(?p)", "takes 2", id="too few"),
        pytest.param("grow(?w, ?r, seq(?p, ?q), ?b)", "variables only", id="a program for a value"),
        pytest.param("par(?p, ?q)", "no operator 'par'", id="par"),
        pytest.param("seq(?p; import os)", "neither an operator", id="code"),
        pytest.param("", "ends where", id="nothing"),
        pytest.param("seq(" * 12 + "?p", "deeper than", id="too deep"),
    ],
)
def test_a_pattern_that_is_none_is_refused_with_its_place(text, says):
    with pytest.raises(NoPattern, match=says):
        parse_pattern(text)


RULE = {
    "name": "x",
    "source": "seq(?p, ?q)",
    "target": "seq(?q, ?p)",
    "polarity": "forward",
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"target": "seq(?q, ?z)"}, r"\?z", id="unbound in the target"),
        pytest.param({"source": "?p"}, "match everything", id="a variable alone"),
        pytest.param({"conditions": ["colour(?p) is purple"]}, "is no condition", id="no colour"),
        pytest.param({"conditions": ["distinct(?p, ?z)"]}, r"\?z", id="unbound in a condition"),
        pytest.param({"polarity": "sideways"}, "polarity", id="polarity"),
        pytest.param({"priority": -1}, "priority", id="priority"),
        pytest.param({"colour": "red"}, "colour", id="unknown field"),
        pytest.param({"name": "X"}, "name", id="name"),
        pytest.param(
            {"source": "seq(grow(?p, ?r, ?a, ?b), ?p)", "target": "?p"}, "two names", id="a program and a value"
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_its_name_and_what_is_wrong(change, says):
    import json

    with pytest.raises(NoRules, match=says) as caught:
        read_rules(json.dumps({"rules": [{**RULE, **change}]}), "mine.yaml")
    assert "mine.yaml: rule 1" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "rules: 3", "rules: []\nmore: 1", "a: b: c"], ids=range(5))
def test_a_file_that_holds_no_rules_is_refused(text):
    with pytest.raises(NoRules, match="rules"):
        read_rules(text)


def test_two_rules_of_one_name_are_refused():
    import json

    with pytest.raises(NoRules, match="two rules"):
        read_rules(json.dumps({"rules": [RULE, RULE]}))


# --- limits and extraction ------------------------------------------------------------------------------------------------


def chain(length: int) -> Term:
    whole = grow(f"rack-1/w{length}", "cpu", 1, 2)
    for i in range(length - 1, 0, -1):
        whole = seq(grow(f"rack-1/w{i}", "cpu", 1, 2), whole)
    return whole


def test_which_limit_ended_it_is_said():
    assert saturate([chain(8)], [], RULES).ended is Ended.FIXPOINT
    assert saturate([chain(8)], [], RULES, Limits(nodes=30)).ended is Ended.NODES
    assert saturate([chain(8)], [], RULES, Limits(iterations=1)).ended is Ended.ITERATIONS
    assert saturate([chain(8)], [], RULES, out_of_time=lambda: True).ended is Ended.TIME


def test_every_bracketing_of_a_chain_is_one_class_and_no_more_nodes_than_intervals_need():
    length = 9
    saturated = saturate([chain(length)], [], RULES)
    assert len(saturated.graph) == length + sum((length - wide + 1) * (wide - 1) for wide in range(2, length + 1))


def test_out_of_time_gives_no_extraction_rather_than_another_one():
    saturated = saturate([chain(4)], [], RULES, out_of_time=lambda: True)
    with pytest.raises(NoExtraction):
        extract(saturated, chain(4), price)


@given(terms(6))
def test_what_is_extracted_does_the_same_with_no_more_steps(term):
    found = extract(saturate([term], [], RULES), term, price)
    assert run(found, START)[-1] == run(term, START)[-1]
    assert found.steps <= term.steps


def test_the_cheapest_is_taken_and_ties_go_to_the_least_id():
    costly, cheap = grow("rack-1/x", "cpu", 1, 2), grow("rack-1/y", "cpu", 1, 2)
    saturated = saturate([costly, cheap], [(costly, cheap)], RULES)
    assert extract(saturated, costly, lambda _, workload: (float(workload == "rack-1/x"), 0.0)) == cheap
    assert extract(saturated, costly, lambda _, workload: (float(workload == "rack-1/y"), 0.0)) == costly
    assert extract(saturated, costly, price) == min(costly, cheap)


def test_restarts_weigh_more_than_minutes_and_minutes_more_than_steps():
    one, other = grow("rack-1/x", "cpu", 1, 2), seq(grow("rack-1/y", "cpu", 1, 2), grow("rack-1/z", "cpu", 1, 2))
    saturated = saturate([one, other], [(one, other)], RULES)

    def restarts(_, workload):
        return (1.0, 0.0) if workload == "rack-1/x" else (0.0, 60.0)

    def minutes(_, workload):
        return (0.0, 9.0) if workload == "rack-1/x" else (0.0, 1.0)

    assert extract(saturated, one, restarts).steps == 2
    assert extract(saturated, one, minutes).steps == 2
    assert extract(saturated, one, price).steps == 1


def test_a_barred_term_is_extracted_as_it_is():
    saturated = saturate([A, BACK], [(A, BACK)], RULES)
    assert extract(saturated, A, price) == A


def test_what_equals_a_program_of_barred_terms_may_be_extracted_as_that_program_and_costs_what_they_cost():
    long, short = seq(grow("rack-2/x", "cpu", 1, 2), seq(C, C)), grow("rack-2/y", "cpu", 1, 2)
    barred = [(A, BACK), (B, BACK)]
    saturated = saturate([long], [*barred, (long, seq(A, B))], RULES)
    assert set(saturated.barred) == {A.id, B.id, BACK.id}
    assert extract(saturated, long, price) == seq(A, B)
    saturated = saturate([short], [*barred, (short, seq(A, B))], RULES)
    assert extract(saturated, seq(A, B), price) == short


def test_who_was_not_put_in_has_no_class():
    assert EGraph().class_of(A) is None
    with pytest.raises(KeyError):
        extract(saturate([A], [], RULES), B, price)


def test_polarities_are_the_phases_of_the_built_in_rules():
    by = {rule.name: rule.polarity for rule in built_in()}
    assert by["associate-right"] is Polarity.FORWARD
    assert by["associate-left"] is Polarity.BACKWARD
    assert by["identity-first"] is Polarity.SYMMETRIC
