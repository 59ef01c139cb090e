"""What all sites propose, and what comes of it when it is put together, as plain dicts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.fleet.joint import Joint, joint
from controller.fleet.proposals import Proposal, proposed
from controller.fleet.shown_terms import written

if TYPE_CHECKING:
    from controller.fleet.shown import FleetFace

View = dict[str, Any]


def proposals_of(face: FleetFace) -> tuple[Proposal, ...]:
    """As far as they are known here."""
    seer = face.seen_by
    return proposed(seer.peer.replica) if seer is not None else ()


def proposals_view(found: tuple[Proposal, ...]) -> View:
    """Each with its ruling, in the order in which they go; and the whole. It takes a moment, and is remembered (joint.py)."""
    if not found:
        return {"proposals": [], "joint": None}
    whole = joint(found)
    by_id = {each.id: each for each in reversed(found)}
    return {"proposals": [_row(by_id[id_], whole) for id_ in dict.fromkeys(whole.order)], "joint": joint_view(whole)}


def _row(each: Proposal, whole: Joint) -> View:
    ruling = whole.rulings[each.id]
    return {
        "id": each.id,
        "agent": each.agent,
        "at": each.at,
        "began": each.began,
        "fate": str(ruling.fate),
        "of": ruling.of or None,
        "sentence": ruling.sentence,
        "term": each.term.id,
        "steps": each.term.steps,
        "text": written(each.term),
    }


def joint_view(whole: Joint) -> View:
    """The cheapest program that equals all of them."""
    cost = whole.cost
    return {
        "program": written(whole.program) if whole.program is not None else None,
        "term": whole.program.id if whole.program is not None else None,
        "restarts": cost[0] if cost is not None else None,
        "minutes_offline": cost[1] if cost is not None else None,
        "steps": cost[2] if cost is not None else None,
        "layers": [list(layer) for layer in whole.layers],
        "ended": str(whole.ended_by),
    }
