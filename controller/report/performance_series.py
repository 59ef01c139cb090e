"""The same period over time, for charts: what was earned, who answered, and who held what. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from controller.report.performance_past import Columns, Past, Sums, summed
from controller.report.programs import rfc3339
from controller.report.views import number

if TYPE_CHECKING:
    from controller.model import NodeState

View = dict[str, Any]
Each = Sequence[tuple[Past, Columns]]
DAY: Final = 86400.0
_STEPS: Final = (300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0, DAY, 7 * DAY)
MOST_STEPS: Final = 62
"""Of a chart: two months of days."""
_MONDAY: Final = 4 * DAY
"""1970 began on a Thursday: weeks begin so much later."""
_SAME: Final = 1e-6
"""Relative: 4-byte means of the same allocation differ by less."""


def step_of(seconds: float) -> float:
    """Seconds of one step of a period: two days have hours, a month has days."""
    return next((step for step in _STEPS if seconds / step <= MOST_STEPS), math.ceil(seconds / MOST_STEPS / DAY) * DAY)


def edges_of(since: float, until: float) -> list[float]:
    """The steps' ends by the calendar in UTC; the first and the last step may be shorter."""
    step = step_of(until - since)
    shift = _MONDAY if step == 7 * DAY else 0.0
    first = math.floor((since - shift) / step + 1) * step + shift
    inner = np.arange(first, until, step).tolist()
    return [since, *inner, until]


def series(each: Each, since: float, until: float) -> View:
    """What each protocol earned in each step, and how much of each step is known; null where nothing is."""
    edges = edges_of(since, until)
    sums = [(past, summed(found, edges)) for past, found in each]
    steps, lengths = range(len(edges) - 1), (np.diff(edges) / 3600).tolist()
    protocols = sorted({past.protocol for past, mine in sums if any(each.known > 0 for each in mine)})
    those = {name: [mine for past, mine in sums if past.protocol == name] for name in protocols}
    every = [mine for _, mine in sums]
    return {
        "step_seconds": step_of(until - since),
        "edges": [rfc3339(edge) for edge in edges],
        "gross_usd": {name: [_usd(_at(mine, i), "gross") for i in steps] for name, mine in those.items()},
        "gross_usd_per_hour": {name: [_rate(_at(mine, i), "gross") for i in steps] for name, mine in those.items()},
        "net_usd": [_usd(_at(every, i), "net") for i in steps],
        "net_usd_per_hour": [_rate(_at(every, i), "net") for i in steps],
        "coverage": [min(1.0, sum(s.known for s in _at(every, i)) / (lengths[i] * len(every))) for i in steps],
        "workloads": [
            {
                "workload": past.key,
                "up": [min(1.0, mine[i].up / lengths[i]) for i in steps],
                "down": [min(1.0, mine[i].down / lengths[i]) for i in steps],
            }
            for past, mine in sums
        ],
    }


def _at(each: Sequence[Sequence[Sums]], step: int) -> list[Sums]:
    """Of each workload what is known of one step."""
    return [mine[step] for mine in each]


def _usd(each: Sequence[Sums], what: str) -> float | None:
    """Together; null where nothing is known."""
    if not any(sums.known > 0 for sums in each):
        return None
    return number(sum(sums.gross if what == "gross" else sums.net - sums.energy for sums in each))


def _rate(each: Sequence[Sums], what: str) -> float | None:
    """The mean of the time that is known of each, added up; null where nothing is."""
    known = [sums for sums in each if sums.known > 0]
    if not known:
        return None
    return number(sum((s.gross if what == "gross" else s.net - s.energy * s.known / s.up) / s.known for s in known))


def allocations(each: Each, nodes: Mapping[str, NodeState], since: float, until: float) -> list[View]:
    """Who held what, by node and resource: (when, from then on) of each workload; null where that is not known."""
    groups: dict[tuple[str, str], list[View]] = {}
    for past, found in each:
        held = _path(found, since, until)
        if found.resource is not None and any(value is not None for _, value in held):
            steps = [{"at": rfc3339(at), "allocated": value} for at, value in held]
            node = past.key.partition("/")[0]
            groups.setdefault((node, found.resource), []).append({"workload": past.key, "steps": steps})
    return [
        {
            "node": node,
            "resource": resource,
            "capacity": number(nodes[node].capacity.get(resource)) if node in nodes else None,
            "workloads": those,
        }
        for (node, resource), those in sorted(groups.items())
    ]


def _path(found: Columns, since: float, until: float) -> list[tuple[float, float | None]]:
    """From when on it held what; a block in which it changed has its mean."""
    path: list[tuple[float, float | None]] = []
    reached = since
    for i in np.flatnonzero(found.inside(since, until) > 0).tolist():
        start, value = max(since, float(found.start[i])), float(found.held[i])
        if start - reached > 1:
            _goes_to(path, reached, None)
        _goes_to(path, start, value if math.isfinite(value) else None)
        reached = min(until, float(found.end[i]))
    if until - reached > 1:
        _goes_to(path, reached, None)
    return path


def _goes_to(path: list[tuple[float, float | None]], at: float, value: float | None) -> None:
    before = path[-1][1] if path else math.nan
    if before is None and value is None:
        return
    if before is None or value is None or not abs(before - value) <= _SAME * max(abs(before), abs(value)):
        path.append((at, value))
