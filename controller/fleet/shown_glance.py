"""The fleet in small: what a person wants to see at a glance, and what the stream tells of. Pure.

Nothing in it changes while nothing happens: there are no ages, only times since when something is so. So two glances differ
just where there is something to tell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from controller.fleet.shown_limits import IRREVERSIBLE, KINDS, NAMES
from controller.fleet.wire import WORDED

if TYPE_CHECKING:
    from controller.fleet.peer import Peer
    from controller.fleet.shown import FleetFace

View = dict[str, Any]
_WORDS: Final = {NAMES[field]: word for field, word in KINDS.items()}
MOST_PROPOSALS: Final = 20
"""Those that wait of which each is told; the API has all."""
_AGREED: Final = ("alive", "converged", "converged_since", "apart_since")
_LIMIT: Final = (
    "name", "kind", "protocol", "resource", "bound", "in_force", "as_declared", "settled", "waits_for", "held",
)  # fmt: skip


def glance(face: FleetFace, view: View) -> View:
    """`view`: of shown.fleet_view. Times are Unix seconds, unknown is None, amounts are in base units."""
    here = face.of(view["site"]) if view["site"] is not None else None
    waiting = [each for each in view["proposals"] if each["fate"] != "goes"]
    return {
        **{name: view[name] for name in ("name", "site", "seen_by", *_AGREED)},
        "wrong": len(view["troubles"]),
        "agents": [_agent(each) for each in view["agents"]],
        "limits": [_limit(each, here.peer if here is not None else None) for each in view["limits"]],
        "waiting": [
            {name: each[name] for name in ("id", "agent", "fate", "of", "sentence")}
            for each in waiting[:MOST_PROPOSALS]
        ],
        "waiting_count": len(waiting),
    }


def _agent(row: View) -> View:
    """Since when it is silent is told of those only who count as cut off; the others were heard a moment ago."""
    silent = row["heard_at"] if row["alive"] is False else None
    return {
        "name": row["name"],
        "kind": row["kind"],
        "here": row["here"],
        "alive": row["alive"],
        "silent_since": silent,
    }


def _limit(row: View, peer: Peer | None) -> View:
    parts = [{name: each[name] for name in ("site", "rights", "held")} for each in row["sites"]]
    usable = _is_usable(row, peer) if peer is not None and row["kind"] != NAMES["max_share"] else None
    return {**{name: row[name] for name in _LIMIT}, "usable": usable, "sites": parts}


def _is_usable(row: View, peer: Peer) -> bool:
    """Whether a site may use its part: it knows all that it ever promised, and has heard once that all sites keep the limit, as
    it notes itself (site.py).
    """
    name = IRREVERSIBLE if row["kind"] == NAMES[IRREVERSIBLE] else f"{row['name']} {_WORDS[row['kind']]}"
    said = peer.replica.registers.get((WORDED, f"{name}@{peer.name}"))
    return peer.trusted and said is not None and bool(json.loads(said.value.value)["in_force"])
