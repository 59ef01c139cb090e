"""Terms: content ids, colours, and that RED and BLUE never touch."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.colours import Colour, clashing, colour_of
from controller.fleet.terms import (
    IllFormed,
    Operator,
    built,
    checkpoint,
    grow,
    id_of,
    identity,
    move,
    par,
    seq,
    shrink,
    verify,
)
from tests.controller.fleet.fleet_programs import terms

GROW = grow("rack-1/golem", "cpu", 2, 4)
SHRINK = shrink("rack-1/akash", "cpu", 6, 4)
VERIFY = verify("rack-1/akash")


def test_an_id_is_the_hash_of_the_canonical_form_and_nothing_else():
    assert GROW.id == hashlib.sha256(b'["grow",["rack-1/golem","cpu",2.0,4.0],[]]').hexdigest()
    assert GROW.id == id_of(("grow", ("rack-1/golem", "cpu", 2.0, 4.0), ()))
    assert grow("rack-1/golem", "cpu", 2.0, 4.0) == GROW
    assert grow("rack-1/golem", "cpu", 2, 5) != GROW
    assert shrink("rack-1/golem", "cpu", 1, 0.0).id == shrink("rack-1/golem", "cpu", 1, -0.0).id


@pytest.mark.parametrize(
    ("term", "colour"),
    [
        pytest.param(GROW, Colour.RED, id="a grow is red"),
        pytest.param(SHRINK, Colour.BLUE, id="a shrink is blue"),
        pytest.param(VERIFY, Colour.GREEN, id="a verify is green"),
        pytest.param(identity(), Colour.GREEN, id="identity is green"),
        pytest.param(seq(GROW, VERIFY), Colour.RED, id="red and green is red"),
        pytest.param(seq(SHRINK, seq(VERIFY, GROW)), Colour.GREEN, id="both is green"),
        pytest.param(par([GROW, shrink("rack-2/x", "cpu", 2, 1)]), Colour.GREEN, id="both at once is green"),
        pytest.param(checkpoint(GROW, GROW), Colour.GREEN, id="a checkpoint is green whatever it joins"),
        pytest.param(
            seq(checkpoint(SHRINK, GROW), verify("rack-1/golem")), Colour.GREEN, id="the steps count, not the children"
        ),
    ],
)
def test_the_colour_of_a_term(term, colour):
    assert term.colour is colour


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(SHRINK, GROW, id="blue then red"),
        pytest.param(GROW, SHRINK, id="red then blue"),
        pytest.param(seq(VERIFY, SHRINK), seq(GROW, VERIFY), id="ends count"),
        pytest.param(seq(SHRINK, identity()), GROW, id="identity is transparent"),
        pytest.param(SHRINK, par([GROW, verify("rack-9/x")]), id="any member of par counts"),
        pytest.param(checkpoint(GROW, SHRINK), GROW, id="a checkpoint shows its own ends"),
    ],
)
def test_red_and_blue_never_touch_without_a_checkpoint(first, second):
    with pytest.raises(IllFormed, match="a checkpoint must join them"):
        seq(first, second)
    assert checkpoint(first, second).colour is Colour.GREEN


@given(terms())
def test_no_parent_is_red_and_its_child_blue_nor_the_other_way_round(term):
    for part in term.walk():
        assert not any(clashing(part.colour, child.colour) for child in part.children)
        if part.operator is Operator.SEQ:
            first, second = part.children
            assert not any(clashing(a, b) for a in first.exit for b in second.entry)


@given(terms())
def test_a_term_is_the_same_built_from_its_parts(term):
    made = {}
    for part in term.walk():
        operator, parameters, children = part.alone
        made[part.id] = built(Operator(operator), parameters, tuple(made[child] for child in children))
        assert id_of(made[part.id].alone) == part.id
    assert made[term.id] == term
    assert (made[term.id].colour, made[term.id].touches, made[term.id].steps) == (term.colour, term.touches, term.steps)


@given(st.lists(st.sampled_from(sorted("abcdef")), min_size=2, max_size=6, unique=True), st.randoms())
def test_par_has_no_order(names, chance: random.Random):
    members = [grow(f"{name}/golem", "cpu", 1, 2) for name in names]
    shuffled = list(members)
    chance.shuffle(shuffled)
    assert par(members) == par(shuffled)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: grow("golem", "cpu", 1, 2), "NODE/WORKLOAD", id="no node"),
        pytest.param(lambda: grow("a/b/c", "cpu", 1, 2), "NODE/WORKLOAD", id="two slashes"),
        pytest.param(lambda: grow("a/b", "cpu", 2, 2), "wrong way", id="no change"),
        pytest.param(lambda: shrink("a/b", "cpu", 1, 2), "wrong way", id="a shrink that grows"),
        pytest.param(lambda: grow("a/b", "cpu", float("nan"), 2), "no amount", id="not a number"),
        pytest.param(lambda: grow("a/b", "cpu", 1, float("inf")), "no amount", id="infinite"),
        pytest.param(lambda: grow("a/b", "cpu", -1, 2), "no amount", id="negative"),
        pytest.param(lambda: grow("a/b", "cpu+", 1, 2), "names no resources", id="an empty resource"),
        pytest.param(lambda: grow("a/b", "cpu+cpu", 1, 2), "names no resources", id="a resource twice"),
        pytest.param(lambda: par([GROW]), "two members", id="par of one"),
        pytest.param(lambda: par([GROW, SHRINK]), "need an order", id="par that shares a resource"),
        pytest.param(lambda: par([GROW, identity()]), "may not be identity", id="par with identity"),
        pytest.param(lambda: par([par([GROW, verify("b/x")]), verify("a/x")]), "may not be par", id="par in par"),
        pytest.param(lambda: built(Operator.SEQ, (), (GROW,)), "takes not", id="seq of one"),
        pytest.param(lambda: built(Operator.GROW, ("a/b", "cpu", True, 2.0), ()), "no amount", id="a truth value"),
        pytest.param(
            lambda: built(Operator.GROW, ("a/b", "cpu", "1", 2.0), ()), "no amount", id="a text for an amount"
        ),
        pytest.param(lambda: built(Operator.VERIFY, (), ()), "takes not", id="verify of nothing"),
    ],
)
def test_what_may_not_exist_is_refused_with_a_sentence(make, says):
    with pytest.raises(IllFormed, match=says):
        make()


def test_a_move_of_nothing_is_identity():
    assert move("a/b", "cpu", 2, 2) == identity()
    assert move("a/b", "cpu", 2, 1).operator is Operator.SHRINK


def test_the_colours_of_a_term_come_from_operators_never_from_names():
    assert {grow(f"n/{name}", "cpu", 1, 2).colour for name in ("red", "blue", "green", "der")} == {Colour.RED}
    assert colour_of("seq", [Colour.RED, Colour.GREEN]) is Colour.RED
