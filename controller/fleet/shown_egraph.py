"""What follows from the terms that are shared: which of them are equal, and which cannot be, as plain dicts. Pure.

Classes are derived, never exchanged. They are worked out when somebody looks, of as many terms as that takes a moment for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from controller.fleet.colours import touching
from controller.fleet.joint import Joint, joint
from controller.fleet.proposals import Proposal, proposed
from controller.fleet.rules import built_in
from controller.fleet.saturate import Saturated, compiled, saturate
from controller.fleet.shown_agent import written_by
from controller.fleet.shown_proposals import joint_view
from controller.fleet.shown_terms import written
from controller.fleet.terms import Canon, Operator, Term, built

if TYPE_CHECKING:
    from controller.fleet.crdt import Pair, Replica
    from controller.fleet.matching import Ready
    from controller.fleet.shown import FleetFace

View = dict[str, Any]
MOST: Final = 1000
"""Terms that are looked at, those of the newest epochs first; with what they are made of at most four times as many."""


@dataclass(frozen=True, slots=True)
class Known:
    """Terms and equalities as they are at one moment: nothing of it changes any more."""

    agent: str
    here: bool
    seen_by: str | None
    digest: str
    terms: Mapping[str, Canon]
    equalities: tuple[Pair, ...]
    left_out: int
    """Terms that are not looked at, because there are so many."""
    proposals: tuple[Proposal, ...] = ()
    """Of all agents, as far as they are known."""


def known(face: FleetFace, name: str) -> Known:
    """Of an agent that lives here all that it knows; of another what it wrote, as far as that is known here. To be called
    where nothing else runs.
    """
    living = face.of(name)
    seer = living or face.seen_by
    if seer is None:
        return Known(name, here=False, seen_by=None, digest="", terms={}, equalities=(), left_out=0)
    replica = seer.peer.replica
    writers = None if living is not None else written_by(replica, name)
    chosen, left = _chosen(replica, writers)
    pairs = tuple(pair for pair in replica.equalities if pair[0] in chosen and pair[1] in chosen)
    return Known(name, living is not None, seer.peer.name, replica.digest, chosen, pairs, left, proposed(replica))


def digest_of(face: FleetFace, name: str) -> str:
    """Of what `known` is taken from: what follows is the same as long as this is."""
    seer = face.of(name) or face.seen_by
    return seer.peer.replica.digest if seer is not None else ""


def _chosen(replica: Replica, writers: frozenset[str] | None) -> tuple[dict[str, Canon], int]:
    """The newest, with what they are made of; and how many others there are."""
    wanted = [id_ for id_, item in replica.terms.items() if writers is None or item.dot.writer in writers]
    first = heapq.nlargest(MOST, wanted, key=lambda id_: (replica.terms[id_].epoch, id_))
    found: dict[str, Canon] = {}
    stack = list(reversed(first))
    while stack and len(found) < 4 * MOST:
        id_ = stack.pop()
        if id_ not in found and id_ in replica.terms:
            found[id_] = replica.terms[id_].value
            stack.extend(found[id_][2])
    return found, sum(id_ not in found for id_ in wanted)


def rebuilt(canons: Mapping[str, Canon]) -> dict[str, Term]:
    """The terms that can be built of these, children before parents; the others are ill-formed, or parts of them are missing."""
    made: dict[str, Term | None] = {}
    for root in sorted(canons):
        stack = [root]
        while stack:
            id_ = stack[-1]
            missing = [child for child in canons[id_][2] if child in canons and child not in made]
            if id_ not in made and missing:
                made[id_] = None  # while it is worked out: whoever needs itself is not built
                stack += missing
                continue
            stack.pop()
            if made.get(id_) is None:
                made[id_] = _built(id_, canons[id_], made)
    return {id_: term for id_, term in made.items() if term is not None}


def _built(id_: str, canon: Canon, made: Mapping[str, Term | None]) -> Term | None:
    operator, parameters, children = canon
    parts = tuple(part for child in children if (part := made.get(child)) is not None)
    if len(parts) < len(children):
        return None
    if operator == Operator.SEQ and len(parts) == 2 and touching(parts[0].exit, parts[1].entry):
        return None  # as `built` says, too, with both of them in words, however deep they are
    try:
        term = built(Operator(operator), parameters, parts)
    except (ValueError, OverflowError):  # no such operator, ill-formed, or an amount of a thousand digits
        return None
    return term if term.id == id_ else None


# --- what follows -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Followed:
    """Classes of one Known."""

    known: Known
    terms: Mapping[str, Term]
    saturated: Saturated
    classes: tuple[tuple[str, ...], ...]
    """Ids of the terms that are equal, the largest first."""
    joint: Joint | None
    """What all proposals come to; None: there are none."""


@cache
def _rules() -> tuple[Ready, ...]:
    return compiled(built_in())


def follow(found: Known, out_of_time: Callable[[], bool] = lambda: False) -> Followed:
    """Work out what is equal. It takes up to a second or two; `out_of_time` ends it early."""
    terms = rebuilt(found.terms)
    pairs = [(terms[one], terms[other]) for one, other in found.equalities if one in terms and other in terms]
    saturated = saturate(terms.values(), pairs, _rules(), out_of_time=out_of_time)
    classes = sorted((tuple(ids) for ids in saturated.graph.members().values()), key=lambda ids: (-len(ids), ids))
    return Followed(found, terms, saturated, tuple(classes), joint(found.proposals) if found.proposals else None)


def egraph_view(found: Followed, limit: int, after: str | None) -> View:
    """A page of the classes, those with most members first. `after`: `next` of the page before."""
    saturated, known_ = found.saturated, found.known
    names = [ids[0] for ids in found.classes]
    begin = 0 if after is None else names.index(after) + 1 if after in names else len(names)
    shown = found.classes[begin : begin + limit]
    return {
        "agent": known_.agent,
        "here": known_.here,
        "seen_by": known_.seen_by,
        "digest": saturated.digest if found.terms else None,
        "terms": len(found.terms),
        "ill_formed": len(known_.terms) - len(found.terms),
        "left_out": known_.left_out,
        "equalities": len(known_.equalities),
        "nodes": len(saturated.graph),
        "ended": str(saturated.ended),
        "rounds": saturated.rounds,
        "refused": saturated.refused,
        "barred": list(saturated.barred),
        "joint": joint_view(found.joint) if found.joint is not None else None,
        "count": len(names),
        "classes": [_class(found, ids) for ids in shown],
        "next": shown[-1][0] if begin + limit < len(names) and shown else None,
    }


def _class(found: Followed, ids: tuple[str, ...]) -> View:
    graph = found.saturated.graph
    number = graph.class_of(found.terms[ids[0]])
    facts = graph.facts[number] if number is not None else None
    return {
        "id": ids[0],
        "colours": sorted(str(colour) for colour in facts.colours) if facts is not None else [],
        "nodes": len(graph.nodes[number]) if number is not None else 0,
        "members": [_member(found.terms[id_]) for id_ in ids],
    }


def _member(term: Term) -> View:
    return {
        "id": term.id,
        "operator": str(term.operator),
        "colour": str(term.colour),
        "steps": term.steps,
        "text": written(term),
    }
