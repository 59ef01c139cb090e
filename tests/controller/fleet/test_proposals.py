"""Programs as terms, and proposals as they are shared: told, taken back, built anew from what others sent, or left out."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.fleet.clocks import Hybrid
from controller.fleet.crdt import Dot, Item, Replica
from controller.fleet.forms import form_of
from controller.fleet.proposals import (
    MOST_DEEP,
    MOST_PARTS,
    PROPOSAL,
    Proposal,
    open_proposals,
    proposed,
    rebuilt,
    tell,
    term_of,
)
from controller.fleet.terms import (
    Canon,
    Term,
    checkpoint,
    grow,
    id_of,
    identity,
    par,
    seq,
    shrink,
    verify,
)
from controller.fleet.wire import OWN, Malformed, packed, unpacked
from controller.programs import OPEN, Cause, Phase, Program, ProgramState, Step
from tests.controller.fleet.fleet_programs import flat, terms
from tests.controller.test_sequence import NOW, nodes, program

ME, OTHER = "site-a", "site-b"


def step(key: str, before: float, after: float, **companions: float) -> Step:
    amounts = [
        {"cpu": amount, **{name: each * amount for name, each in companions.items()}} for amount in (before, after)
    ]
    return Step(key, key.partition("/")[0], "cpu", *amounts)


def of(*steps: Step, state: ProgramState = ProgramState.PENDING, name: str = "p-1", at: float = NOW) -> Program:
    return Program(name, "default", Cause.PLAN, at, steps, state, "more is earned so", at)


# --- programs as terms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "term"),
    [
        pytest.param([step("a/x", 2, 4)], grow("a/x", "cpu", 2, 4), id="one grow"),
        pytest.param([step("a/x", 2, 4, memory=2, bandwidth=1)], grow("a/x", "cpu+bandwidth+memory", 2, 4), id="companions"),
        pytest.param(
            [step("a/x", 4, 2), step("a/y", 2, 4)],
            checkpoint(shrink("a/x", "cpu", 4, 2), grow("a/y", "cpu", 2, 4)),
            id="what takes waits until what frees was read back",
        ),
        pytest.param(
            [step("a/x", 4, 2), step("a/y", 4, 3), step("a/z", 1, 2), step("a/v", 1, 3)],
            checkpoint(
                seq(shrink("a/x", "cpu", 4, 2), shrink("a/y", "cpu", 4, 3)),
                seq(grow("a/z", "cpu", 1, 2), grow("a/v", "cpu", 1, 3)),
            ),
            id="in its order",
        ),
        pytest.param(
            [step("a/x", 2, 4), step("b/x", 4, 2)],
            par([grow("a/x", "cpu", 2, 4), shrink("b/x", "cpu", 4, 2)]),
            id="nodes side by side",
        ),
        pytest.param(
            [replace(step("a/x", 2, 2, memory=1), after={"cpu": 2.0, "memory": 3.0}), step("a/y", 2, 4)],
            checkpoint(verify("a/x"), grow("a/y", "cpu", 2, 4)),
            id="only a companion",
        ),
        pytest.param([], identity(), id="nothing"),
    ],
)  # fmt: skip
def test_a_program_is_a_term(steps, term):
    assert term_of(of(*steps)) == term


@given(nodes(), st.data())
def test_every_program_that_the_sequencer_makes_is_a_term_with_its_steps_in_their_order_however_far_it_has_come(
    made, data
):
    moves, at = made
    if not moves:
        return
    it = program(*moves, at=at)
    term = term_of(it)
    for node in it.nodes:
        wanted = [(s.key, s.before["cpu"], s.after["cpu"]) for s in it.lane(node) if s.before["cpu"] != s.after["cpu"]]
        found = [
            s.parameters for s in flat(term) if str(s.parameters[0]).startswith(f"{node}/") and len(s.parameters) == 4
        ]
        assert [(key, before, after) for key, _, before, after in found] == wanted
    assert {str(s.parameters[0]) for s in flat(term)} == {s.key for s in it.steps}
    assert term.steps == form_of(term).steps
    later = it.with_step(replace(data.draw(st.sampled_from(it.steps)), phase=data.draw(st.sampled_from(Phase))))
    assert term_of(later) == term
    replica = Replica()
    replica.add(term, "site-a.1", 1)
    assert rebuilt(replica, term.id) == term


@given(nodes())
def test_no_grow_of_a_node_comes_before_a_checkpoint_behind_every_shrink_of_it(made):
    moves, at = made
    if not moves:
        return
    lanes = term_of(program(*moves, at=at))
    for lane in lanes.children if lanes.operator == "par" else (lanes,):
        if lane.operator == "checkpoint":
            first, second = lane.children
            assert "red" not in first.holds
            assert "blue" not in second.holds
        else:
            assert not {"red", "blue"} <= lane.holds


def test_a_thousand_moves_of_one_node_are_one_term_that_is_not_deep():
    term = term_of(of(*(step(f"a/w{i}", 1, 2) for i in range(1000))))
    assert (term.steps, term.depth) == (1000, 11)
    replica = Replica()
    replica.add(term, "site-a.1", 1)
    assert rebuilt(replica, term.id) == term


@pytest.mark.parametrize("state", ProgramState, ids=str)
def test_open_programs_are_proposed_and_those_under_way_have_begun(state):
    found = open_proposals([of(step("a/x", 2, 4), state=state)], ME)
    begun = state in {ProgramState.RUNNING, ProgramState.BLOCKED}
    wanted = Proposal("p-1", ME, NOW, begun, grow("a/x", "cpu", 2, 4))
    assert found == ((wanted,) if state in OPEN else ())


def test_proposals_are_sorted_by_who_has_begun_then_time_then_id():
    late, early = of(step("a/x", 2, 4), name="p-1", at=NOW + 1), of(step("b/x", 2, 4), name="p-3")
    same, begun = (
        of(step("c/x", 2, 4), name="p-2"),
        of(step("d/x", 2, 4), name="p-9", state=ProgramState.RUNNING, at=NOW + 9),
    )
    assert [each.id for each in open_proposals([late, early, same, begun], ME)] == ["p-9", "p-2", "p-3", "p-1"]


def test_a_program_whose_amounts_are_none_is_not_told_to_others():
    assert open_proposals([of(step("a/x", -1, 4)), of(step("b/x", 2, 4), name="p-2")], ME)[0].id == "p-2"


# --- told and taken back --------------------------------------------------------------------------------------------------


class Desk:
    """One agent's writes."""

    def __init__(self, me: str = ME) -> None:
        self.me, self.replica, self.clock = me, Replica(), Hybrid(me)

    def stamp(self):
        self.clock = self.clock.tick(NOW)
        return self.clock.stamp

    def tell(self, *mine: Proposal, epoch: int = 1) -> None:
        tell(self.replica, self.me, mine, self.stamp, f"{self.me}.1", epoch)


def proposal(name: str = "p-1", term: Term | None = None, agent: str = ME, **changes) -> Proposal:
    return replace(Proposal(name, agent, NOW, False, term or grow("a/x", "cpu", 2, 4)), **changes)


def test_what_is_told_is_proposed_and_what_is_over_is_taken_back():
    desk = Desk()
    one, other = proposal("p-1"), proposal("p-2", checkpoint(shrink("a/y", "cpu", 4, 2), grow("a/z", "cpu", 2, 4)))
    desk.tell(one, other)
    assert proposed(desk.replica) == (one, other)
    desk.tell(other)
    assert proposed(desk.replica) == (other,)
    desk.tell(one)
    assert proposed(desk.replica) == (one,)


def test_nothing_is_written_where_nothing_changed():
    desk = Desk()
    desk.tell(proposal("p-1"), proposal("p-2"))
    before = dict(desk.replica.version)
    desk.tell(proposal("p-1"), proposal("p-2"))
    assert desk.replica.version == before
    desk.tell(proposal("p-1"))
    after = dict(desk.replica.version)
    desk.tell(proposal("p-1"))
    assert desk.replica.version == after != before


def test_what_has_begun_meanwhile_is_told_anew():
    desk = Desk()
    desk.tell(proposal())
    desk.tell(proposal(began=True))
    assert proposed(desk.replica) == (proposal(began=True),)


def test_what_is_gone_although_it_is_open_is_told_anew_in_the_epoch_of_now():
    desk = Desk()
    desk.tell(proposal())
    desk.replica.close(1)
    assert proposed(desk.replica) == ()
    desk.tell(proposal(), epoch=2)
    assert proposed(desk.replica) == (proposal(),)
    assert {item.epoch for item in desk.replica.terms.values()} == {2}


def test_nobody_takes_back_what_is_anothers():
    desk, other = Desk(), Desk(OTHER)
    other.tell(proposal(agent=OTHER))
    desk.replica.absorb(other.replica.delta({}))
    desk.tell()
    assert proposed(desk.replica) == (proposal(agent=OTHER),)


def test_another_agents_proposal_is_refused_at_the_wire():
    desk = Desk()
    desk.replica.write(PROPOSAL, f"p-1@{OTHER}", None, desk.stamp(), f"{ME}.1", 1)
    assert PROPOSAL in OWN
    with pytest.raises(Malformed, match="in the name of site-b"):
        unpacked(packed(desk.replica.delta({})))


def test_a_proposal_whose_term_is_not_known_yet_is_left_out_until_it_is():
    desk = Desk()
    desk.tell(proposal(term=seq(grow("a/x", "cpu", 2, 4), grow("a/y", "cpu", 2, 4))))
    late = copy.deepcopy(desk.replica)
    missing = grow("a/y", "cpu", 2, 4).id
    item = late.terms.pop(missing)
    assert proposed(late) == ()
    late.terms[missing] = item
    assert proposed(late) == proposed(desk.replica) != ()


GOOD = {"at": NOW, "began": False, "id": "p-1", "term": grow("a/x", "cpu", 2, 4).id}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(3, id="a number"),
        pytest.param([], id="a list"),
        pytest.param({**GOOD, "at": "now"}, id="at is text"),
        pytest.param({**GOOD, "at": True}, id="at is true"),
        pytest.param({**GOOD, "at": 10**400}, id="at is too large"),
        pytest.param({**GOOD, "began": 1}, id="began is a number"),
        pytest.param({**GOOD, "id": "p-2"}, id="another id than its name"),
        pytest.param({**GOOD, "term": "x" * 64}, id="no id of a term"),
        pytest.param({**GOOD, "term": None}, id="no term"),
        pytest.param({**GOOD, "more": 1}, id="more than is known"),
        pytest.param({key: GOOD[key] for key in ("at", "began", "id")}, id="less than is needed"),
    ],
)
def test_what_is_malformed_is_left_out_and_the_rest_is_not(value):
    desk = Desk()
    desk.tell(proposal("p-2"))
    desk.replica.write(PROPOSAL, f"p-1@{ME}", value, desk.stamp(), f"{ME}.1", 1)
    assert proposed(desk.replica) == (proposal("p-2"),)
    desk.tell(proposal("p-1"), proposal("p-2"))
    assert [each.id for each in proposed(desk.replica)] == ["p-1", "p-2"]


# --- terms from outside ---------------------------------------------------------------------------------------------------


def sent(*canons: Canon) -> tuple[Replica, str]:
    """A replica with these terms as they came, whatever they are; the id of the last."""
    replica = Replica()
    for i, canon in enumerate(canons):
        replica.terms[id_of(canon)] = Item(canon, Dot("site-b.1", i + 1), 1)
    return replica, id_of(canons[-1])


@given(terms(6))
def test_what_was_put_in_is_built_anew_as_it_was(term):
    replica = Replica()
    replica.add(term, "site-a.1", 1)
    assert rebuilt(replica, term.id) == term


RED, BLUE = grow("a/x", "cpu", 2, 4), shrink("a/y", "cpu", 4, 2)
APART = sorted([RED, grow("b/x", "cpu", 2, 4)])


@pytest.mark.parametrize(
    "canons",
    [
        pytest.param([RED.alone, BLUE.alone, ("seq", (), (BLUE.id, RED.id))], id="red touches blue"),
        pytest.param([RED.alone, ("seq", (), (RED.id, BLUE.id))], id="a part is missing"),
        pytest.param([("grow", ("a/x", "cpu", 4.0, 2.0), ())], id="a grow that shrinks"),
        pytest.param([("grow", ("a/x", "cpu", 2, 4), ())], id="other digits of one amount"),
        pytest.param([("grow", ("a/x", "cpu", -1.0, 2.0), ())], id="less than nothing"),
        pytest.param([("grow", ("a/x", "cpu", 1.0, 10**400), ())], id="an amount too large to be one"),
        pytest.param([("grow", ("a" * 999 + "/x", "cpu", 2.0, 4.0), ())], id="a name too long to be one"),
        pytest.param([("grow", ("ax", "cpu", 2.0, 4.0), ())], id="no workload"),
        pytest.param([("grow", ("a/x",), ())], id="too few parameters"),
        pytest.param([("explode", (), ())], id="no operator"),
        pytest.param([("GROW", ("a/x", "cpu", 2.0, 4.0), ())], id="a name of an operator in capitals"),
        pytest.param([RED.alone, ("seq", (), (RED.id,))], id="too few parts"),
        pytest.param([*(each.alone for each in APART), ("par", (), (APART[1].id, APART[0].id))], id="unsorted"),
        pytest.param([RED.alone, ("par", (), (RED.id, RED.id))], id="two that touch"),
        pytest.param([("opaque", (RED.id,), ())], id="what is none of the terms"),
    ],
)
def test_what_is_ill_formed_is_never_built(canons):
    replica, name = sent(*canons)
    assert rebuilt(replica, name) is None


def test_a_term_that_holds_itself_is_never_built():
    replica, name = sent(RED.alone, ("seq", (), (RED.id, RED.id)))
    replica.terms[name] = replica.terms[name]._replace(value=("seq", (), (RED.id, name)))
    assert rebuilt(replica, name) is None
    replica.terms[RED.id] = replica.terms[RED.id]._replace(value=("seq", (), (name, name)))
    assert rebuilt(replica, name) is None


def chain(levels: int) -> list[Canon]:
    """verify, in so many levels of checkpoints."""
    canons = [verify("a/x").alone, identity().alone]
    for _ in range(levels):
        canons.append(("checkpoint", (), (id_of(canons[1]), id_of(canons[-1]))))
    return canons


def test_a_term_may_be_as_deep_as_is_allowed_and_no_deeper_and_nothing_breaks_on_the_way_down():
    replica, name = sent(*chain(MOST_DEEP - 1))
    found = rebuilt(replica, name)
    assert found is not None
    assert found.depth == MOST_DEEP
    for levels in (MOST_DEEP, 10_000, 30_000):
        replica, name = sent(*chain(levels))
        assert rebuilt(replica, name) is None
        replica.write(PROPOSAL, f"p-1@{OTHER}", {**GOOD, "term": name}, Hybrid(OTHER).tick(NOW).stamp, f"{OTHER}.1", 1)
        assert proposed(replica) == ()


def doubled(levels: int) -> list[Canon]:
    """One move twice, and that twice, and so on."""
    canons = [RED.alone]
    for _ in range(levels):
        canons.append(("seq", (), (id_of(canons[-1]),) * 2))
    return canons


def test_a_term_of_few_parts_that_is_huge_when_it_is_written_out_is_never_built():
    largest = MOST_PARTS.bit_length() - 2
    assert 2 ** (largest + 1) - 1 <= MOST_PARTS < 2 ** (largest + 2) - 1
    replica, name = sent(*doubled(largest))
    assert rebuilt(replica, name) is not None
    for levels in (largest + 1, 64, 5_000):
        replica, name = sent(*doubled(levels))
        assert rebuilt(replica, name) is None


def test_a_term_of_too_many_parts_side_by_side_is_never_built():
    members = sorted(id_of(("grow", (f"n{i}/x", "cpu", 1.0, 2.0), ())) for i in range(MOST_PARTS))
    replica, name = sent(
        *(("grow", (f"n{i}/x", "cpu", 1.0, 2.0), ()) for i in range(MOST_PARTS)), ("par", (), tuple(members))
    )
    assert rebuilt(replica, name) is None


def test_what_a_register_holds_is_json_that_its_reader_knows():
    desk = Desk()
    desk.tell(proposal())
    [(key, item)] = desk.replica.registers.items()
    assert key == (PROPOSAL, f"p-1@{ME}")
    assert json.loads(item.value.value) == GOOD
    assert item.epoch == 1
