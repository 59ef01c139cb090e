"""One form for every program: it keeps what the program does, and forgets the order of independent steps."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.forms import form_of, independent
from controller.fleet.terms import Operator, checkpoint, grow, identity, par, seq, shrink, verify
from tests.controller.fleet.fleet_programs import WORKLOADS, flat, resources_of, run, terms, words

START = dict.fromkeys(WORKLOADS, 4.0)


@given(terms())
def test_a_form_is_its_own_form(term):
    assert form_of(form_of(term)) == form_of(term)


@given(terms())
def test_a_form_does_what_the_program_does(term):
    assert run(form_of(term), START)[-1] == run(term, START)[-1]


@given(terms())
def test_a_form_never_has_more_steps(term):
    assert form_of(term).steps <= term.steps


@given(terms(8))
def test_a_form_never_holds_more_of_a_resource_than_the_program_did(term):
    def peaks(program):
        states = run(program, START)
        pools = {(w.partition("/")[0], name) for w in WORKLOADS for name in resources_of(w).split("+")}
        return {
            (node, name): max(
                sum(has[w] for w in WORKLOADS if w.startswith(f"{node}/") and name in resources_of(w).split("+"))
                for has in states
            )
            for node, name in pools
        }

    before, after = peaks(term), peaks(form_of(term))
    assert all(after[pool] <= before[pool] for pool in before)


@given(words(), st.data())
def test_the_order_of_independent_neighbours_does_not_matter(word, data):
    if len(word) < 2:
        return
    at = data.draw(st.integers(0, len(word) - 2))
    if not independent(word[at], word[at + 1]):
        return
    swapped = [*word[:at], word[at + 1], word[at], *word[at + 2 :]]
    assert form_of(*word) == form_of(*swapped)


@given(words(), st.data())
def test_brackets_do_not_matter(word, data):
    """Unless an author's checkpoint is between: here there is none but those that colours need."""
    cut = data.draw(st.integers(0, len(word)))
    again = data.draw(st.integers(cut, len(word)))
    assert form_of(*word[:cut], *word[cut:again], *word[again:]) == form_of(*word)
    assert form_of(form_of(*word)) == form_of(*word)


@given(words(6))
def test_a_program_and_its_inverse_are_nothing(word):
    moves = [step for step in word if step.operator in {Operator.GROW, Operator.SHRINK}]
    back = []
    for step in reversed(moves):
        workload, resources, before, after = step.parameters
        back.append((grow if before > after else shrink)(workload, resources, after, before))
    assert form_of(*moves, *back) == identity()


@given(terms())
def test_every_layer_holds_independent_steps_only_and_each_needs_one_of_the_layer_before(term):
    layers, rest = [], form_of(term)
    while rest.operator in {Operator.SEQ, Operator.CHECKPOINT}:
        layers.append(flat(rest.children[0]))
        rest = rest.children[1]
    layers.append(flat(rest))
    for layer in layers:
        assert all(independent(a, b) for a, b in itertools.combinations(layer, 2))
    for before, after in itertools.pairwise(layers):
        assert all(any(not independent(a, b) for a in before) for b in after)


@given(terms())
def test_what_a_step_frees_no_other_takes_before_a_checkpoint(term):
    for part in form_of(term).walk():
        if part.operator is Operator.SEQ:
            assert not {str(a) + str(b) for a in part.children[0].exit for b in part.children[1].entry} & {
                "redblue",
                "bluered",
            }


A, B = "rack-1/akash", "rack-1/golem"


@pytest.mark.parametrize(
    ("programs", "form"),
    [
        pytest.param([], identity(), id="nothing"),
        pytest.param([grow(A, "cpu", 1, 2), grow(A, "cpu", 2, 5)], grow(A, "cpu", 1, 5), id="two grows are one"),
        pytest.param([grow(A, "cpu", 1, 5), shrink(A, "cpu", 5, 3)], grow(A, "cpu", 1, 3), id="there and half back"),
        pytest.param([shrink(A, "cpu", 3, 1), grow(A, "cpu", 1, 3)], identity(), id="there and back"),
        pytest.param(
            [shrink(A, "cpu", 3, 1), grow(B, "cpu", 1, 3)],
            checkpoint(shrink(A, "cpu", 3, 1), grow(B, "cpu", 1, 3)),
            id="what is freed is verified first",
        ),
        pytest.param(
            [shrink(A, "cpu", 3, 1), grow("rack-2/golem", "cpu", 1, 3)],
            par([shrink(A, "cpu", 3, 1), grow("rack-2/golem", "cpu", 1, 3)]),
            id="nodes do not wait for one another",
        ),
        pytest.param(
            [checkpoint(grow(A, "cpu", 1, 2), grow(A, "cpu", 2, 5))],
            checkpoint(grow(A, "cpu", 1, 2), grow(A, "cpu", 2, 5)),
            id="stages that an author asked for stay",
        ),
        pytest.param(
            [grow(A, "cpu", 1, 2), grow(A, "cpu", 3, 5)],
            seq(grow(A, "cpu", 1, 2), grow(A, "cpu", 3, 5)),
            id="moves that do not chain stay two",
        ),
        pytest.param([verify(A), verify(A)], verify(A), id="read back once"),
        pytest.param(
            [shrink(A, "cpu", 3, 1), grow(B, "cpu", 1, 2), shrink(B, "cpu", 2, 1), grow(A, "cpu", 1, 3)],
            identity(),
            id="what cancels brings together what cancels",
        ),
    ],
)
def test_forms(programs, form):
    assert form_of(*programs) == form
