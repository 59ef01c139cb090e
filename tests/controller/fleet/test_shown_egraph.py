"""What is shown of the e-graph: which terms are equal, which cannot be, and what all proposals come to."""

from __future__ import annotations

import pytest

from controller.fleet.crdt import Dot, Item, Replica
from controller.fleet.proposals import Proposal, tell
from controller.fleet.shown import FleetFace, fleet_view
from controller.fleet.shown_egraph import MOST, digest_of, egraph_view, follow, known, rebuilt
from controller.fleet.shown_terms import written
from controller.fleet.terms import built, checkpoint, grow, identity, par, seq, shrink, verify
from tests.controller.fleet.watched import watched

UP, ON = grow("rack-1/golem", "cpu", 2, 4), grow("rack-1/golem", "cpu", 4, 6)
DOWN = shrink("rack-2/akash", "cpu", 8, 4)
BOTH = grow("rack-1/golem", "cpu", 2, 6)


@pytest.fixture
def face():
    fleet = watched()
    fleet.run(5)
    return fleet.face("site-00")


def write(face, *terms, by="site-00.1", equal=()):
    for term in terms:
        face.agents[0].peer.replica.add(term, by, 1)
    for pair in equal:
        face.agents[0].peer.replica.equate(*pair, by, 1)


def seen(face, name="site-00", limit=100, after=None):
    return egraph_view(follow(known(face, name)), limit, after)


def class_of(view, term):
    return next(each for each in view["classes"] if term.id in {member["id"] for member in each["members"]})


def test_terms_that_come_to_the_same_are_in_one_class_with_their_colours_and_texts(face):
    write(face, seq(UP, ON), BOTH, DOWN)
    view = seen(face)
    same = class_of(view, BOTH)
    assert {each["id"] for each in same["members"]} == {BOTH.id, seq(UP, ON).id}
    assert same["colours"] == ["red"]
    assert {each["colour"] for each in same["members"]} == {"red"}
    assert "seq(grow(rack-1/golem, cpu, 2, 4), grow(rack-1/golem, cpu, 4, 6))" in {
        each["text"] for each in same["members"]
    }
    assert class_of(view, DOWN)["colours"] == ["blue"]
    assert view["classes"][0] == same, "those with most members first"
    assert (view["terms"], view["ended"], view["barred"], view["left_out"], view["ill_formed"]) == (
        5,
        "fixpoint",
        [],
        0,
        0,
    )


def test_those_with_most_members_come_first(face):
    write(face, seq(UP, ON), BOTH, *(grow(f"rack-{i}/akash", "cpu", 1, 2) for i in range(30)))
    view = seen(face)
    assert [len(each["members"]) for each in view["classes"]] == [2, *[1] * 32]
    assert view["classes"][0]["id"] != min(each["id"] for each in view["classes"]), "the ids alone would not do"


def test_what_was_said_to_be_equal_and_would_make_red_and_blue_one_is_barred(face):
    write(face, UP, DOWN, equal=[(UP, DOWN)])
    view = seen(face)
    assert view["barred"] == sorted([UP.id, DOWN.id])
    assert class_of(view, UP) != class_of(view, DOWN)
    assert view["equalities"] == 1


def test_what_was_said_to_be_equal_is_one_class(face):
    write(face, UP, BOTH, equal=[(UP, BOTH)])
    assert len(class_of(seen(face), UP)["members"]) == 2


def test_pages_of_classes_are_all_of_them_each_once(face):
    write(face, seq(UP, ON), BOTH, DOWN, verify("rack-1/golem"))
    after, found = None, []
    while True:
        view = seen(face, limit=2, after=after)
        found += [each["id"] for each in view["classes"]]
        after = view["next"]
        if after is None:
            break
    assert len(found) == len(set(found)) == view["count"]
    assert sorted(found) == sorted(each["id"] for each in seen(face)["classes"])
    assert seen(face, after="nothing of this name")["classes"] == []


def test_of_an_agent_that_lives_elsewhere_it_is_the_terms_that_it_wrote(face):
    write(face, UP)
    write(face, ON, by="site-02.1")
    write(face, equal=[(UP, ON)])
    view = seen(face, "site-02")
    assert (view["here"], view["seen_by"], view["terms"], view["equalities"]) == (False, "site-00", 1, 0)
    assert view["classes"][0]["id"] == ON.id


def test_what_cannot_be_a_term_is_counted_and_not_built(face):
    replica = face.agents[0].peer.replica
    touching = Item(("seq", (), (UP.id, DOWN.id)), Dot("site-01.1", 9), 1)
    for name, item in {
        "a" * 64: Item(("nonsense", (), ()), Dot("site-01.1", 8), 1),
        "b" * 64: touching,
        "c" * 64: Item(("seq", (), ("c" * 64, UP.id)), Dot("site-01.1", 10), 1),
        "d" * 64: Item(("seq", (), ("0" * 64, UP.id)), Dot("site-01.1", 11), 1),
        "e" * 64: Item(("grow", ("rack-1/golem", "cpu", 1.0, 2.0), ()), Dot("site-01.1", 12), 1),
        "f" * 64: Item(("grow", ("rack-1/golem", "cpu", 1.0, 10**400), ()), Dot("site-01.1", 13), 1),
    }.items():
        replica.terms[name] = item
    write(face, UP, DOWN)
    view = seen(face)
    assert (view["terms"], view["ill_formed"], view["count"]) == (2, 6, 2)


def test_of_very_many_terms_the_newest_are_looked_at_and_the_others_counted(face):
    replica = face.agents[0].peer.replica
    for i in range(MOST + 50):
        replica.add(grow(f"rack-{i}/golem", "cpu", 1, 2), "site-00.1", 1)
    newest = [grow(f"rack-{i}/akash", "cpu", 1, 2) for i in range(50)]
    for term in newest:
        replica.add(term, "site-00.1", 2)
    found = known(face, "site-00")
    assert (len(found.terms), found.left_out) == (MOST, 100)
    assert {term.id for term in newest} <= set(found.terms)


def test_a_term_a_thousand_levels_deep_is_built_and_its_text_has_an_end(face):
    term = UP
    for i in range(1000):
        term = checkpoint(term, grow("rack-1/golem", "cpu", i, i + 1))
    canons = {part.id: part.alone for part in term.walk()}
    assert rebuilt(canons)[term.id] == term
    assert len(written(term)) < 20_000
    twice = UP
    for _ in range(100):
        twice = seq(twice, twice)
    assert written(twice).endswith("…")
    write(face, twice)
    assert len(seen(face)["classes"]) > 0


def test_that_two_terms_may_not_touch_is_found_however_deep_they_are():
    deep = UP
    for i in range(1500):
        deep = checkpoint(deep, grow("rack-1/golem", "cpu", i, i + 1))
    canons = {part.id: part.alone for part in (*deep.walk(), DOWN)}
    canons["b" * 64] = ("seq", (), (deep.id, DOWN.id))
    found = rebuilt(canons)
    assert set(canons) - set(found) == {"b" * 64}


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (identity(), "identity"),
        (verify("rack-1/golem"), "verify(rack-1/golem)"),
        (checkpoint(DOWN, verify("rack-2/akash")), "checkpoint(shrink(rack-2/akash, cpu, 8, 4), verify(rack-2/akash))"),
    ],
    ids=["identity", "verify", "checkpoint"],
)
def test_terms_are_written_as_they_are_named(term, text):
    assert written(term) == text == str(built(term.operator, term.parameters, term.children))


def test_of_two_members_of_par_there_is_a_comma_between():
    found = written(par([UP, DOWN]))
    assert found in {f"par({UP}, {DOWN})", f"par({DOWN}, {UP})"}


def test_where_nobody_lives_there_is_nothing(face):
    empty = FleetFace("attic", face.spec)
    view = seen(empty)
    assert (view["seen_by"], view["digest"], view["classes"], view["joint"]) == (None, None, [], None)
    assert digest_of(empty, "site-00") == ""


def test_what_follows_is_the_same_as_long_as_the_digest_is(face):
    before = digest_of(face, "site-00")
    assert before == known(face, "site-00").digest == digest_of(face, "site-02")
    write(face, UP)
    assert digest_of(face, "site-00") != before


def test_time_that_is_over_ends_it_and_is_named(face):
    write(face, seq(UP, ON))
    assert egraph_view(follow(known(face, "site-00"), lambda: True), 10, None)["ended"] == "time"


# --- proposals ----------------------------------------------------------------------------------------------------------


def propose(face, *proposals):
    """As each of their agents would tell them."""
    peer = face.agents[0].peer
    for agent in {each.agent for each in proposals}:
        mine = [each for each in proposals if each.agent == agent]
        tell(peer.replica, agent, mine, lambda: peer.stamp(1e9), f"{agent}.1", 1)


def test_every_proposal_has_its_ruling_and_all_together_one_program(face):
    propose(
        face,
        Proposal("p-1", "site-00", 100.0, began=False, term=UP),
        Proposal("p-2", "site-01", 200.0, began=False, term=ON),
        Proposal("p-3", "site-02", 300.0, began=True, term=DOWN),
    )
    view = fleet_view(face, 1e9)
    rows = {each["id"]: each for each in view["proposals"]}
    assert [each["id"] for each in view["proposals"]] == ["p-3", "p-1", "p-2"]
    assert [(rows[id_]["fate"], rows[id_]["of"]) for id_ in ("p-1", "p-2", "p-3")] == [
        ("goes", None), ("waits", "p-1"), ("goes", None),
    ]  # fmt: skip
    assert rows["p-2"]["sentence"] == "waits until p-1 of site-00 is over, which comes first and changes rack-1/golem"
    assert rows["p-1"]["text"] == "grow(rack-1/golem, cpu, 2, 4)"
    assert view["joint"]["program"] in {f"par({BOTH}, {DOWN})", f"par({DOWN}, {BOTH})"}
    assert (view["joint"]["steps"], view["joint"]["ended"]) == (2, "fixpoint")
    assert seen(face)["joint"] == view["joint"]


def test_without_proposals_there_is_no_program(face):
    view = fleet_view(face, 1e9)
    assert (view["proposals"], view["joint"]) == ([], None)


def test_looking_changes_nothing_of_what_is_known(face):
    write(face, seq(UP, ON), BOTH)
    replica: Replica = face.agents[0].peer.replica
    before = replica.digest, dict(replica.version)
    seen(face)
    fleet_view(face, 1e9)
    assert (replica.digest, dict(replica.version)) == before
