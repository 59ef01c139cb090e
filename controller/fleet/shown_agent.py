"""What is known of one agent, and what went between agents, as plain dicts. Pure.

An agent that lives elsewhere is shown as far as it is known here: what it wrote, and the messages from and to it. Of a
replica of 100 000 terms one page is taken, and nothing else of it is copied.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from controller.fleet.crdt import NEVER, Item
from controller.fleet.timeline import MOST, Passed, latency_of
from controller.fleet.wire import agent_of

if TYPE_CHECKING:
    from controller.fleet.crdt import Replica
    from controller.fleet.shown import FleetFace, Living
    from controller.fleet.timeline import Latency, Timeline

View = dict[str, Any]
PARTS: Final = ("terms", "equalities", "counters", "registers")
MOST_TEXT: Final = 1000
"""Characters of a register's value that are shown."""
UNKNOWN: Final = "?"
"""Stands for who sent what could not be read (agent.py); it is on no way."""
MOST_CURSOR: Final = 600
"""Characters of `next`: in an address each may take twelve, and there is room for 8 190."""
_LAST: Final = "\U0010ffff"
_WIDEST: Final = len(quote(_LAST))
WINDOW: Final = 60.0
"""Seconds over which messages per second are counted."""


# --- its state --------------------------------------------------------------------------------------------------------


def state_view(face: FleetFace, name: str, part: str, limit: int, after: str | None) -> View:
    """Counts, and a page of one of PARTS in the order of their keys. `after`: `next` of the page before."""
    living = face.of(name)
    seer = living or face.seen_by
    view: View = {"agent": name, "here": living is not None, "seen_by": None, "part": part, "next": None}
    view |= {"start": None, "digest": None, "epoch_floor": None, "version": {}, "counts": dict.fromkeys(PARTS, 0)}
    view |= {each: [] for each in PARTS}
    if seer is None:
        return view
    replica, peer = seer.peer.replica, seer.peer
    mine = written_by(replica, name) if living is None else None
    other = None if living is not None else peer.others.get(name)
    keys = _page(getattr(replica, part), mine, limit + 1, _key_of(after, part))
    rows = [_ROWS[part](key, getattr(replica, part)[key]) for key in keys[:limit]]
    return view | {
        "seen_by": peer.name,
        "start": peer.start if other is None else other.beat[0],
        "digest": replica.digest if other is None else other.digest or None,
        "epoch_floor": replica.floor,
        "version": {writer: n for writer, n in sorted(replica.version.items()) if mine is None or writer in mine},
        "counts": {each: _count(getattr(replica, each), mine) for each in PARTS},
        part: rows,
        "next": _cursor(keys[limit - 1]) if len(keys) > limit else None,
    }


def written_by(replica: Replica, name: str) -> frozenset[str]:
    """The writers that are this agent, of any start."""
    return frozenset(writer for writer in replica.version if agent_of(writer) == name)


def _count(items: Mapping[Any, Item[Any]], writers: frozenset[str] | None) -> int:
    return len(items) if writers is None else sum([item.dot.writer in writers for item in items.values()])


def _page(items: Mapping[Any, Item[Any]], writers: frozenset[str] | None, most: int, after: Any) -> list[Any]:
    """The least keys behind one, in order."""
    wanted: Iterable[Any] = items
    if writers is not None:
        wanted = [key for key, item in items.items() if item.dot.writer in writers]
    return heapq.nsmallest(most, wanted if after is None else (key for key in wanted if key > after))


def _cursor(key: str | tuple[str, str]) -> str:
    """In no more than MOST_CURSOR characters: of a name that nobody would give, what begins as it does is passed over."""
    return key if isinstance(key, str) else " ".join(map(_part, key))


def _part(name: str) -> str:
    whole = quote(name, safe="@:.")
    most = (MOST_CURSOR - 1) // 2
    return whole if len(whole) <= most else quote(name[: most // _WIDEST - 1] + _LAST, safe="@:.")


def _key_of(cursor: str | None, part: str) -> str | tuple[str, str] | None:
    if cursor is None or part == "terms":
        return cursor
    one, _, other = cursor.partition(" ")
    return unquote(one), unquote(other)


def _term(key: str, item: Item[Any]) -> View:
    operator, parameters, children = item.value
    return {"id": key, "operator": operator, "parameters": list(parameters), "children": list(children), **_write(item)}


def _equality(key: tuple[str, str], item: Item[Any]) -> View:
    return {"one": key[0], "other": key[1], **_write(item)}


def _counter(key: tuple[str, str], item: Item[Any]) -> View:
    return {"agent": key[0], "name": key[1], "value": item.value, **_write(item)}


def _register(key: tuple[str, str], item: Item[Any]) -> View:
    stamp, text = item.value
    shown = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
    return {"kind": key[0], "name": key[1], "value": shown, "written_at": stamp.milliseconds / 1000, **_write(item)}


def _write(item: Item[Any]) -> View:
    return {"writer": item.dot.writer, "number": item.dot.number, "epoch": None if item.epoch == NEVER else item.epoch}


_ROWS: Final[dict[str, Callable[[Any, Item[Any]], View]]] = {
    "terms": _term,
    "equalities": _equality,
    "counters": _counter,
    "registers": _register,
}


# --- messages ---------------------------------------------------------------------------------------------------------


def timelines(agents: Iterable[Living]) -> list[Timeline]:
    """Of agents that live here, each once: they may share one."""
    return list({id(each.timeline): each.timeline for each in agents}.values())


def messages_of(face: FleetFace, name: str, kind: str | None, before: float, most: int) -> list[Passed]:
    """Those from and to an agent that came to anybody here before a time, the newest first: at least `most`, as far as there are
    so many.
    """
    found = [each for line in timelines(face.agents) for each in _newest(line, name, kind, before, most)]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _newest(line: Timeline, name: str, kind: str | None, before: float, most: int) -> list[Passed]:
    """So many of one timeline, without a look at the rest of it."""
    wanted = most
    while True:
        found = line.newest(wanted, kind, name)
        older = [each for each in found if each.at < before]
        if len(older) >= most or len(found) < wanted:
            return older
        wanted *= 4


def message_view(each: Passed) -> View:
    return {
        "id": each.id,
        "kind": each.kind,
        "origin": each.origin,
        "from": each.via,
        "to": each.to,
        "hops": each.hops,
        "at": each.at,
        "microseconds": each.microseconds,
        "bytes": each.bytes,
    }


# --- the timeline -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Came:
    """What came to the agents that live here, taken at one moment: nothing of it changes any more."""

    at: float
    seen_by: str | None
    agents: tuple[str, ...]
    ways: tuple[tuple[str, str], ...]
    """From neighbours to agents that live here; nothing need have come on them."""
    passed: tuple[Sequence[Passed], ...]
    """Of each timeline the newest; as many in all as one of them keeps, or there would be too many to count at each look."""
    errors: Counter[tuple[str, str, str]]
    total: int
    skewed: int
    converged_since: float | None
    apart_since: float | None
    convergence_seconds: float | None


def came(face: FleetFace, now: float) -> Came:
    """As it is now: to be called where nothing else runs."""
    lines, seer = timelines(face.agents), face.seen_by
    line = seer.timeline if seer is not None else None
    agreed = seer is not None and seer.peer.converged(now)
    return Came(
        at=now,
        seen_by=seer.peer.name if seer is not None else None,
        agents=tuple(each.peer.name for each in face.agents),
        ways=tuple((other, each.peer.name) for each in face.agents for other in each.peer.neighbours),
        passed=tuple(each.newest(MOST // len(lines)) for each in lines),
        errors=sum((each.errors for each in lines), Counter()),
        total=sum(each.total for each in lines),
        skewed=sum(each.skewed for each in lines),
        converged_since=(line.agreed_since or seer.began) if line is not None and seer is not None and agreed else None,
        apart_since=line.apart_since if line is not None and not agreed else None,
        convergence_seconds=line.convergence_seconds if line is not None else None,
    )


def timeline_view(found: Came) -> View:
    """Figures over the messages that are kept. In microseconds; those that came before they were sent, as clocks say, are in
    no quantile.
    """
    every = [each for kept in found.passed for each in kept]
    edges: dict[tuple[str, str], list[Passed]] = defaultdict(list)
    for each in every:
        edges[each.via, each.to].append(each)
    oldest = min((each.at for each in every), default=None)
    span = min(WINDOW, max(found.at - oldest, 1.0)) if oldest is not None else WINDOW
    failed: Counter[tuple[str, str]] = Counter()
    for (via, to, _), count in found.errors.items():
        failed[via, to] += count
    ways = sorted(way for way in {*edges, *found.ways, *failed} if UNKNOWN not in way)
    return {
        "at": found.at,
        "seen_by": found.seen_by,
        "agents": list(found.agents),
        "since": oldest,
        "kept": len(every),
        "total": found.total,
        "skewed": found.skewed,
        "converged_since": found.converged_since,
        "apart_since": found.apart_since,
        "convergence_seconds": found.convergence_seconds,
        "by_kind": dict(sorted(Counter(each.kind for each in every).items())),
        **_figures(every, found.at, span),
        "edges": [
            {"from": via, "to": to, "errors": failed[via, to], **_figures(edges[via, to], found.at, span)}
            for via, to in ways
        ],
        "errors": [
            {"from": via, "to": to, "what": what, "count": count}
            for (via, to, what), count in sorted(found.errors.items(), key=lambda each: (-each[1], each[0]))
        ],
    }


def _figures(passed: Sequence[Passed], now: float, span: float) -> View:
    """Latencies over all of them, rates over the newest `span` seconds."""
    recent = [each for each in passed if each.at >= now - span]
    return {
        "count": len(passed),
        "last_at": max((each.at for each in passed), default=None),
        "microseconds": _latency(latency_of(each.microseconds for each in passed)),
        "messages_per_second": len(recent) / span,
        "megabits_per_second": sum(each.bytes for each in recent) * 8 / 1e6 / span,
    }


def _latency(found: Latency) -> View:
    return {"p50": found.p50, "p95": found.p95, "p99": found.p99}
