"""The fleet in small: what a person wants to see at a glance, and what the stream tells of. Pure.

Nothing in it changes while nothing happens: there are no ages, only times since when something is so. So two glances differ
just where there is something to tell.
"""

from __future__ import annotations

from typing import Any, Final

View = dict[str, Any]
MOST_PROPOSALS: Final = 20
"""Those that wait of which each is told; the API has all."""
_AGREED: Final = ("alive", "converged", "converged_since", "apart_since")
_LIMIT: Final = (
    "name", "kind", "protocol", "resource", "bound", "in_force", "as_declared", "settled", "waits_for", "held", "usable",
)  # fmt: skip


def glance(view: View) -> View:
    """`view`: of shown.fleet_view. Times are Unix seconds, unknown is None, amounts are in base units."""
    waiting = [each for each in view["proposals"] if each["fate"] != "goes"]
    return {
        **{name: view[name] for name in ("name", "site", "seen_by", *_AGREED)},
        "wrong": len(view["troubles"]),
        "agents": [_agent(each) for each in view["agents"]],
        "limits": [_limit(each) for each in view["limits"]],
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


def _limit(row: View) -> View:
    parts = [{name: each[name] for name in ("site", "rights", "held")} for each in row["sites"]]
    return {**{name: row[name] for name in _LIMIT}, "sites": parts}
