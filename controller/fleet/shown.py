"""The fleet as it can be shown: what the agents that live in this process know of it, as plain dicts. Pure.

There is no one truth to show: each agent knows what it heard. So everything here is as one agent sees it, `seen_by`: the
site's own, else the first that lives here. Times are Unix seconds, unknown is None, amounts are in base units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from controller.fleet.shown_limits import limits_view, trouble, troubles_with_limits, troubles_with_manifests
from controller.fleet.shown_proposals import proposals_of, proposals_view
from controller.fleet.topology import Topology
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.fleet.manifest import FleetSpec
    from controller.fleet.peer import Peer
    from controller.fleet.timeline import Timeline

View = dict[str, Any]
PATIENCE: Final = 3
"""Diameters' worth of sync rounds after which agents that still differ are a trouble; two are enough where all goes well."""
MOST_TOLD: Final = 3
"""Agents that are cut off of which each is told apart."""
NO_FLEET: Final = (
    "no fleet is declared here: this controller stands alone; write a manifest of kind Fleet beside its nodes, "
    "as docs/fleet.md shows, and start it with orcha run --site NAME"
)


class Way(Protocol):
    @property
    def connected(self) -> bool: ...
    @property
    def why(self) -> str: ...


class Living(Protocol):
    """An agent that lives in this process (agent.py), as far as it is looked at."""

    @property
    def peer(self) -> Peer: ...
    @property
    def timeline(self) -> Timeline: ...
    @property
    def began(self) -> float: ...
    @property
    def stored(self) -> bool: ...
    @property
    def transport(self) -> Way: ...
    async def sync(self) -> None: ...


class Seat(Protocol):
    """The part of a controller in the fleet (site.py), as far as it is looked at."""

    @property
    def me(self) -> str: ...
    @property
    def spec(self) -> FleetSpec: ...


@dataclass(frozen=True, slots=True)
class FleetFace:
    """What of the fleet is in this process."""

    name: str
    """Of the Fleet manifest."""
    spec: FleetSpec
    agents: Sequence[Living] = ()
    """Those that live here; none in a controller that is no site of it."""
    site: Seat | None = None
    """None: here live relays only, or nobody."""

    @property
    def declared(self) -> FleetSpec:
        """The manifest in force."""
        return self.site.spec if self.site is not None else self.spec

    def of(self, name: str) -> Living | None:
        """The agent of this name, where it lives here."""
        return next((each for each in self.agents if each.peer.name == name), None)

    @property
    def seen_by(self) -> Living | None:
        """Whose view is shown."""
        mine = self.of(self.site.me) if self.site is not None else None
        return mine or next(iter(self.agents), None)


# --- the whole --------------------------------------------------------------------------------------------------------


def fleet_view(face: FleetFace, now: float) -> View:
    """All of it at a glance."""
    spec, seer = face.declared, face.seen_by
    rows = [_agent(face, name, now) for name in spec.agents]
    view = {
        "name": face.name,
        "at": now,
        "site": face.site.me if face.site is not None else None,
        "seen_by": seer.peer.name if seer is not None else None,
        "sites": list(spec.sites),
        "relays": list(spec.relays),
        "topology": topology_view(spec, seer.peer.topology if seer is not None else None),
        "agents": rows,
        **_agreement(seer, now),
        "limits": [
            each if face.site is not None else {**each, "usable": None}
            for each in limits_view(spec, seer.peer if seer is not None else None, now)
        ],
        **proposals_view(proposals_of(face)),
    }
    return {**view, "troubles": list(troubles(face, view))}


def topology_view(spec: FleetSpec, graph: Topology | None = None) -> View:
    """Who talks with whom. Mean distances: over distinct pairs, and over all pairs, each agent's 0 to itself counted."""
    names, graph = spec.agents, graph or spec.graph()
    return {
        "name": graph.name,
        "agents": list(names),
        "edges": [{"from": names[one], "to": names[other]} for one, other in sorted(graph.edges)],
        "diameter": graph.diameter,
        "mean_distance": float(graph.mean_distance),
        "mean_distance_with_itself": float(graph.mean_distance_with_itself),
    }


def _agent(face: FleetFace, name: str, now: float) -> View:
    living, seer = face.of(name), face.seen_by
    row = {
        "name": name,
        "kind": "site" if name in face.declared.sites else "relay",
        "here": living is not None,
        "health": None,
        "alive": None,
        "heard_at": None,
        "silent_seconds": None,
        "start": None,
        "digest": None,
        "converged": None,
        "local": _local(living) if living is not None else None,
    }
    return row | _heard(seer.peer, name, now) if seer is not None else row


def _heard(peer: Peer, name: str, now: float) -> View:
    """What one agent knows of another, or of itself. Never heard of is None, and not alive."""
    health, mine = peer.health(name, now), peer.replica.digest
    if name == peer.name:
        itself = {"heard_at": now, "silent_seconds": 0.0, "start": peer.start, "digest": mine, "converged": True}
        return {"health": health, "alive": True, **itself}
    other = peer.others[name]
    known = other.heard is not None
    return {
        "health": health,
        "alive": health > 0,
        "heard_at": other.heard,
        "silent_seconds": max(0.0, now - other.heard) if other.heard is not None else None,
        "start": other.beat[0] if known else None,
        "digest": other.digest if known else None,
        "converged": other.digest == mine if known else None,
    }


def _local(living: Living) -> View:
    """What only its own process knows of an agent."""
    peer = living.peer
    return {
        "began_at": living.began,
        "stored": living.stored,
        "connected": living.transport.connected,
        "trusted": peer.trusted,
        "received": peer.counts.received,
        "refused": peer.counts.refused,
        "why_refused": peer.why_refused,
        "gaps": peer.counts.gaps,
    }


def _agreement(seer: Living | None, now: float) -> View:
    """Whether all that are alive know the same, and since when they do or do not."""
    if seer is None:
        nothing = ("digest", "epoch_floor", "converged", "converged_since", "apart_since", "convergence_seconds")
        return {"alive": None, **dict.fromkeys(nothing)}
    peer, line = seer.peer, seer.timeline
    agreed = peer.converged(now)
    return {
        "alive": len(peer.alive(now)),
        "digest": peer.replica.digest,
        "epoch_floor": peer.replica.floor,
        "converged": agreed,
        "converged_since": (line.agreed_since or seer.began) if agreed else None,
        "apart_since": None if agreed else line.apart_since,
        "convergence_seconds": line.convergence_seconds,
    }


# --- what is wrong ----------------------------------------------------------------------------------------------------


def troubles(face: FleetFace, view: View) -> Iterator[View]:
    """What is wrong, and what to do about it; what may mend itself comes last."""
    if not face.agents:
        yield trouble(
            f"this controller knows Fleet {face.name}, and is none of its sites",
            "start it with orcha run --site NAME, or look where a site runs",
        )
        return
    found = [*_of_ours(face), *_cut_off(face, view), *_apart(face, view), *troubles_with_limits(view["limits"])]
    if face.seen_by is not None:
        found += troubles_with_manifests(face.declared, face.seen_by.peer)
    yield from sorted(found, key=lambda each: not each["serious"])


def _of_ours(face: FleetFace) -> Iterator[View]:
    """What is wrong with the agents that live here."""
    if failing := [each.peer.name for each in face.agents if not each.stored]:
        yield trouble(
            f"{_listed(failing)} cannot write to the disk, and promises nothing new until that is mended",
            "see to the state that --state names; the log has the error",
        )
    if alone := [each for each in face.agents if not each.transport.connected]:
        whys = "; ".join(sorted({each.transport.why for each in alone}))
        yield trouble(
            f"{_listed(each.peer.name for each in alone)} has no connection to the servers of spec.nats, "
            f"hears nobody and is not heard: {whys}",
            "see to that; it is tried again by itself, and limits hold meanwhile",
        )
    new = [each.peer for each in face.agents if not each.peer.trusted and each.peer.name in face.declared.sites]
    for peer in new:
        silent = sorted(other for other, known in peer.others.items() if not known.agreed)
        yield trouble(
            f"{peer.name} does not remember all that it promised; it takes nothing more until {_listed(silent)} agreed with it once",
            "a new fleet begins once all its agents ran together; of one that is gone for good, take the name out of the Fleet; "
            f"where this comes again and again a second controller runs as {peer.name}: stop it",
            serious=False,
        )


def _cut_off(face: FleetFace, view: View) -> Iterator[View]:
    """Who is not heard, and since when; of those who never were, and of many, all together."""
    seer, silent = view["seen_by"], [row for row in view["agents"] if row["alive"] is False]
    once = [row for row in silent if row["silent_seconds"] is not None]
    never = [row for row in silent if row["silent_seconds"] is None]
    if len(once) > MOST_TOLD:
        since = format_duration(min(row["silent_seconds"] for row in once))
        what = f"{_listed(row['name'] for row in once)} are cut off: {seer} heard none of them for {since}"
        yield trouble(f"{what}; {_kept(once)}", _where(face, once))
        once = []
    for row in once:
        what = f"{row['name']} is cut off: {seer} heard from it last {format_duration(row['silent_seconds'])} ago"
        yield trouble(f"{what}; {_kept([row])}", _where(face, [row]))
    if never:
        what = f"{seer} has not heard of {_listed(row['name'] for row in never)} since it started"
        yield trouble(f"{what}; {_kept(never)}", _where(face, never))


def _kept(rows: Sequence[View]) -> str:
    """What becomes of limits while these are not heard."""
    sites = sum(row["kind"] == "site" for row in rows)
    if not sites:
        return "a relay owns nothing of any limit"
    if len(rows) == 1:
        return "what it owns of each limit stays its own"
    whose = "they" if sites == len(rows) else "the sites among them"
    return f"what {whose} own of each limit stays their own"


def _where(face: FleetFace, rows: Sequence[View]) -> str:
    """Where to look for agents that are not heard."""
    if all(row["here"] for row in rows):
        return "all of this is one process: see whether its connections hold"
    name = rows[0]["name"] if len(rows) == 1 else "NAME"
    site, relay = (any(row["kind"] == kind for row in rows) for kind in ("site", "relay"))
    commands = [f"`orcha run --site {name}`"] * site + [f"`orcha fleet host --site {name}`"] * relay
    return f"see whether {' or '.join(commands)} runs at its place, and reaches the servers of Fleet {face.name}"


def _apart(face: FleetFace, view: View) -> Iterator[View]:
    since, spec = view["apart_since"], face.declared
    patience = spec.timeout + PATIENCE * view["topology"]["diameter"] * spec.sync
    apart = view["at"] - since if since is not None else 0.0
    if apart > patience:
        others = _listed(row["name"] for row in view["agents"] if row["alive"] and row["converged"] is False)
        yield trouble(
            f"{others} and {view['seen_by']} know different things for {format_duration(apart)}; {format_duration(patience)} should do",
            "orcha fleet timeline shows on which way messages fail",
        )


def _listed(names: Any) -> str:
    found = list(names)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "") if found else "others"
