"""egglog as an oracle: with the same rules it finds the same terms equal as our e-graph, and none that is cheaper.

Compared are random programs, what becomes of them when they are rewritten by hand at random, and an equality of two moves
that was told; of all these every pair of subterms, equal to one and to the other, and the cost of the cheapest equal of each.
Where our search ends at a limit, or colours refuse something that egglog does not know of, nothing is compared. egglog has no
sets of children: its `Par` has two, and a rule that swaps them.
"""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from egglog.bindings import EGraph as Oracle
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.fleet.extract import extract
from controller.fleet.rules import built_in
from controller.fleet.saturate import Ended, Limits, Saturated, compiled, saturate
from controller.fleet.terms import IllFormed, Operator, Term, built, checkpoint, grow, identity, move, seq, verify
from tests.controller.fleet.fleet_programs import terms

RULES = compiled(built_in())
LIMITS = Limits(iterations=30, nodes=3000)
MOVE = 10_000
"""What a move costs; an operator costs 1. egglog counts each parameter as 1, too."""
LANGUAGE = f"""
(datatype Term
  (Grow String String f64 f64 :cost {MOVE - 3}) (Shrink String String f64 f64 :cost {MOVE - 3}) (Verify String :cost 0)
  (Identity) (Seq Term Term) (Checkpoint Term Term) (Par Term Term))
(rewrite (Par p q) (Par q p))
(rewrite (Seq (Identity) p) p)
(rewrite (Seq p (Identity)) p)
(rewrite (Checkpoint (Identity) p) p)
(rewrite (Checkpoint p (Identity)) p)
(rewrite (Seq (Verify w) (Verify w)) (Verify w))
(rewrite (Seq (Grow w r a b) (Grow w r b c)) (Grow w r a c))
(rewrite (Seq (Shrink w r a b) (Shrink w r b c)) (Shrink w r a c))
(birewrite (Seq (Seq p q) r) (Seq p (Seq q r)))
(birewrite (Checkpoint (Checkpoint p q) r) (Checkpoint p (Checkpoint q r)))
"""


def price(operator: Operator, _workload: str) -> tuple[float, float]:
    return (0.0 if operator is Operator.VERIFY else 1.0), 0.0


def cost(term: Term) -> int:
    operators = [term]
    for each in operators:
        operators.extend(each.children)
    return MOVE * term.steps + len(operators)


# --- their language -------------------------------------------------------------------------------------------------------


def text(term: Term) -> str:
    values = [f'"{value}"' if isinstance(value, str) else repr(value) for value in term.parameters]
    return f"({' '.join([term.operator.value.capitalize(), *values, *map(text, term.children)])})"


def asked(parts: list[Term], pairs: list[tuple[Term, Term]]) -> tuple[list[str], list[int]]:
    """Of each term the cheapest that egglog finds, as it writes it (of equal terms the same), and what that costs."""
    oracle = Oracle()
    lines = [LANGUAGE]
    lines += [f"(let $t{i} {text(term)})" for i, term in enumerate(parts)]
    lines += [f"(union $t{parts.index(one)} $t{parts.index(other)})" for one, other in pairs]
    lines += ["(run 60)", "(run 1)"]
    lines += [f"(extract $t{i})" for i in range(len(parts))]
    answers = oracle.run_program(*oracle.parse_program("\n".join(lines)))
    ran, found = answers[: -len(parts)], answers[-len(parts) :]
    assert not ran[-1].report.updated, "egglog has not come to its end"
    return [str(each).strip() for each in found], [each.cost for each in found]


# --- terms to compare -----------------------------------------------------------------------------------------------------


@st.composite
def rewritten(draw, term: Term) -> Term:
    """Something else that the rules must find equal, with one change somewhere."""
    if term.children and draw(st.integers(0, 2)):
        at = draw(st.integers(0, len(term.children) - 1))
        changed = draw(rewritten(term.children[at]))
        children = (*term.children[:at], changed, *term.children[at + 1 :])
        try:
            return built(term.operator, (), tuple(sorted(children)) if term.operator == "par" else children)
        except IllFormed:  # identity beside something
            return term
    return draw(st.sampled_from(turned(term)))


def turned(term: Term) -> list[Term]:
    found = [seq(identity(), term), seq(term, identity()), checkpoint(identity(), term), checkpoint(term, identity())]
    match term.operator, term.children:
        case Operator.VERIFY, _:
            found.append(seq(term, term))
        case Operator.GROW | Operator.SHRINK, _:
            workload, resources, before, after = term.parameters
            between = (float(before) + float(after)) / 2
            halves = (float(before), between), (between, float(after))
            found.append(seq(*(move(str(workload), str(resources), *half) for half in halves)))
        case (Operator.SEQ | Operator.CHECKPOINT) as both, (first, second):
            if first.operator is both:
                found.append(built(both, (), (first.children[0], built(both, (), (first.children[1], second)))))
            if second.operator is both:
                found.append(built(both, (), (built(both, (), (first, second.children[0])), second.children[1])))
    return found


@st.composite
def crowds(draw) -> list[Term]:
    """Terms, and what becomes of them."""
    found = draw(st.lists(terms(5), min_size=1, max_size=3))
    for _ in range(draw(st.integers(1, 4))):
        found.append(draw(rewritten(draw(st.sampled_from(found)))))
    return found


def subterms(crowd: list[Term]) -> list[Term]:
    return sorted({part for term in crowd for part in term.walk()})


# --- the comparison -------------------------------------------------------------------------------------------------------


def compare(saturated: Saturated, parts: list[Term], pairs: list[tuple[Term, Term]]) -> int:
    """Both agree on these terms; how many pairs are equal."""
    cheapest, costs = asked(parts, pairs)
    equal = 0
    for i, j in combinations(range(len(parts)), 2):
        ours = saturated.graph.class_of(parts[i]) == saturated.graph.class_of(parts[j])
        theirs = cheapest[i] == cheapest[j]
        assert ours == theirs, f"{parts[i]} and {parts[j]}: equal to us {ours}, to egglog {theirs}"
        equal += ours
    # of equals that touch different things a `par` may be cheapest that may not exist: then ours stays with what was asked for
    if all(one.touches == other.touches for one, other in pairs):
        for term, dearest in zip(parts, costs, strict=True):
            assert cost(extract(saturated, term, price)) <= dearest
    return equal


@given(crowds())
def test_what_egglog_finds_equal_we_find_equal_and_the_other_way_round_and_ours_is_as_cheap(crowd):
    saturated = saturate(crowd, [], RULES, LIMITS)
    assume(saturated.ended is Ended.FIXPOINT)
    assert saturated.refused == 0
    compare(saturated, subterms(crowd), [])


@given(crowds(), st.data())
def test_the_same_holds_with_an_equality_that_was_told(crowd, data):
    parts = subterms(crowd)
    moves = [part for part in parts if part.operator in {"grow", "shrink"}]
    assume(moves)
    one = data.draw(st.sampled_from(moves))
    alike = [each for each in moves if each.operator is one.operator and each.touches == one.touches]
    pairs = [(one, data.draw(st.sampled_from(data.draw(st.sampled_from([alike, moves])))))]
    saturated = saturate(crowd, pairs, RULES, LIMITS)
    assume(saturated.ended is Ended.FIXPOINT and not saturated.refused and not saturated.barred)
    compare(saturated, parts, pairs)


@given(st.data())
def test_what_was_rewritten_by_hand_is_equal_and_costs_the_same(data):
    term = data.draw(terms(5))
    other = data.draw(rewritten(data.draw(rewritten(term))))
    saturated = saturate([term, other], [], RULES, LIMITS)
    assume(saturated.ended is Ended.FIXPOINT)
    assert saturated.graph.class_of(term) == saturated.graph.class_of(other)
    [one, again], costs = asked([term, other], [])
    assert one == again
    assert costs[0] == costs[1] == MOVE * len(re.findall("Grow|Shrink", one)) + one.count("(")
    assert cost(extract(saturated, other, price)) <= costs[0]


@pytest.mark.parametrize("length", [2, 12])
def test_chains_of_moves_are_equal_in_every_bracketing(length):
    steps = [grow(f"rack-{i}/golem", "cpu", 1, 2) for i in range(length)]
    right, left = steps[-1], steps[0]
    for step in reversed(steps[:-1]):
        right = seq(step, right)
    for step in steps[1:]:
        left = seq(left, step)
    parts = subterms([right, left])
    assert compare(saturate([right, left], [], RULES), parts, []) == (length > 2)


def test_the_comparison_notices_a_rule_that_one_side_lacks():
    fewer = compiled(rule for rule in built_in() if rule.name != "verify-once")
    twice = seq(verify("a/b"), verify("a/b"))
    with pytest.raises(AssertionError, match="to egglog True"):
        compare(saturate([twice], [], fewer), subterms([twice]), [])
