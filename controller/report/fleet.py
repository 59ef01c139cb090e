"""The metric families of the fleet (metrics.md): agents and their health, messages, what is shared, limits.

There is no one truth to show: each agent knows what it heard. So a family says whose fact it is (`agent`), or whose view
(`seen_by`), and of a limit's parts whether the site itself says so (`told="own"`) or others have heard it (`told="heard"`).
Nobody is asked how well it hears itself.

Counters are fed by the agents' hooks, gauges are read from the agents when they are scraped. Who is no neighbour in the
topology makes no series, whatever a message says.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.fleet.joint import Fate, joint
from controller.fleet.proposals import proposed
from controller.fleet.shown_limits import limits_view
from controller.fleet.wire import Kind
from controller.report.metrics import rendered

if TYPE_CHECKING:
    from controller.fleet.agent import Agent
    from controller.fleet.manifest import FleetSpec
    from controller.fleet.peer import Peer
    from controller.fleet.shown import FleetFace, Living
    from controller.fleet.timeline import Passed
    from controller.fleet.wire import Message
    from exporters.clock import Clock

P = ParamSpec("P")
LATENCIES: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Seconds: within one process a message takes a tenth of a millisecond, over a bad link seconds."""
FAILURES: Final = ("full", "malformed", "refused", "unreachable", "other")
"""What can go wrong with a message, as agent.py calls it; every other word is counted as other."""
STATES: Final = ("alive", "dead", "unknown")
PROPOSALS: Final = ("begun", *(str(fate) for fate in Fate))
FACTORS: Final[Mapping[str | None, float]] = {"bandwidth": 1 / 8}
"""Resource -> from its base unit to the one that is shown, as of the other families: bytes, not bits."""
_PART: Final = ("limit", "kind", "resource", "agent", "told")


class FleetMetrics:
    """Of the agents that live in this process. Where there is no fleet there is none of these, and so none of the families."""

    def __init__(self, face: FleetFace, clock: Clock, registry: CollectorRegistry | None = None) -> None:
        """In `registry`, beside what is in it; without one in its own, for `render`."""
        self.registry = registry if registry is not None else CollectorRegistry(auto_describe=False)
        self._edges = frozenset(edges_of(face.declared))
        self._messages = Counter(
            "orcha_fleet_messages", "Messages that arrived over an edge, by kind.", ["via", "to", "kind"],
            registry=self.registry,
        )  # fmt: skip
        self._sent = Counter(
            "orcha_fleet_sent_bytes", "Bytes of messages that were sent over an edge.", ["via", "to"],
            registry=self.registry,
        )  # fmt: skip
        self._latency = Histogram(
            "orcha_fleet_message_latency_seconds",
            "From sending a message over an edge to its receipt, by two clocks; what seems to arrive too early is in none.",
            ["via", "to"],
            registry=self.registry,
            buckets=LATENCIES,
        )
        self._errors = Counter(
            "orcha_fleet_errors", "Messages that were lost or refused on an edge, by what went wrong.", ["via", "to", "what"],
            registry=self.registry,
        )  # fmt: skip
        self.registry.register(_Looked(face, clock))

    def hear(self, agent: Agent) -> None:
        """Be told what comes to an agent that lives here, what it sends and what fails; its series are there from now on."""
        agent.noted = _both(agent.noted, self.noted)
        agent.sent_to = _both(agent.sent_to, self.sent)
        agent.failed = _both(agent.failed, self.failed)
        for via, to in sorted(self._edges):
            if to == agent.peer.name:
                self._latency.labels(via, to)
                for kind in Kind:
                    self._messages.labels(via, to, str(kind))
            if via == agent.peer.name:
                self._sent.labels(via, to)

    def noted(self, message: Passed) -> None:
        """One arrived."""
        if (message.via, message.to) in self._edges:
            self._messages.labels(message.via, message.to, message.kind).inc()
            if message.microseconds >= 0:
                self._latency.labels(message.via, message.to).observe(message.microseconds / 1e6)

    def sent(self, message: Message, size: int) -> None:
        if (message.via, message.to) in self._edges:
            self._sent.labels(message.via, message.to).inc(size)

    def failed(self, via: str, to: str, what: str) -> None:
        """Something went wrong on an edge. A name that is on no edge, or none, is not repeated."""
        known = {name for edge in self._edges for name in edge}
        ends = [name if name in known else "" for name in (via, to)]
        self._errors.labels(*ends, what if what in FAILURES else "other").inc()

    def render(self, *, openmetrics: bool) -> list[bytes]:
        """The page in parts, without the end mark."""
        return [rendered(self.registry, openmetrics=openmetrics)]


def _both(first: Callable[P, None], then: Callable[P, None]) -> Callable[P, None]:
    def call(*arguments: P.args, **named: P.kwargs) -> None:
        first(*arguments, **named)
        then(*arguments, **named)

    return call


def edges_of(spec: FleetSpec) -> Iterator[tuple[str, str]]:
    """Both ways of each."""
    names = spec.agents
    for one, other in spec.graph().edges:
        yield names[one], names[other]
        yield names[other], names[one]


# --- what is read when it is scraped ------------------------------------------------------------------------------------


class _Looked(Collector):
    def __init__(self, face: FleetFace, clock: Clock) -> None:
        self._face, self._clock = face, clock

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        return families(self._face, self._clock.time())


def families(face: FleetFace, now: float) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """All that follows from how the agents stand now. Pure."""
    yield from _health(face.agents, now)
    yield _edge(face.declared)
    yield from _of_each(face.agents, now)
    yield from _limits(face, now)
    yield _proposals(face)


def _health(agents: Iterable[Living], now: float) -> Iterator[GaugeMetricFamily]:
    health = GaugeMetricFamily(
        "orcha_fleet_agent_health_ratio",
        "1 it was just heard of, 0 it is cut off, as another agent sees it; absent until one can tell.",
        labels=["agent", "seen_by"],
    )
    tally = GaugeMetricFamily(
        "orcha_fleet_agents",
        "Agents as one of them sees them, itself among the living; unknown: never heard of since it started.",
        labels=["seen_by", "state"],
    )
    for agent in agents:
        peer = agent.peer
        for name in peer.others:
            if peer.others[name].heard is not None or now - agent.began >= peer.pace.timeout:
                health.add_metric([name, peer.name], peer.health(name, now))
        states = Tally(_state(peer, name, now) for name in peer.names)
        for state in STATES:
            tally.add_metric([peer.name, state], states[state])
    yield from (health, tally)


def _state(peer: Peer, name: str, now: float) -> str:
    if peer.health(name, now) > 0:
        return "alive"
    return "unknown" if peer.others[name].heard is None else "dead"


def _edge(spec: FleetSpec) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "orcha_fleet_edge", "1 for each two agents that talk with each other.", labels=["source", "target"]
    )
    for one, other in sorted(spec.graph().edges):
        family.add_metric([spec.agents[one], spec.agents[other]], 1.0)
    return family


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    """Behind orcha_fleet_."""
    words: str
    counted: bool = False


_FACTS: Final = (
    _Fact("converged", "1 all agents that it hears know what this one knows."),
    _Fact("apart_seconds", "For how long they have differed by now; 0: they do not."),
    _Fact("convergence_seconds", "How long it took last until they knew the same again; absent: they never differed."),
    _Fact("terms", "Terms of programs that it knows."),
    _Fact("equalities", "Pairs of terms that it knows to be equal."),
    _Fact("registers", "Registers that it knows: limits, holdings, proposals."),
    _Fact("epoch_floor", "The last epoch that is over: what belonged to it is gone."),
    _Fact("transport_connected", "1 it can send messages now, as far as it knows."),
    _Fact("state_write_success", "1 its last write to the disk succeeded; 0 it sends nothing new until one does."),
    _Fact(
        "trusted",
        "1 it knows all that it ever promised; 0 it lost its disk, and grows nothing until all have agreed with it.",
    ),
    _Fact("refused", "Messages that it refused since they cannot be.", counted=True),
    _Fact("gaps", "States that came before what they build on, and were asked for again.", counted=True),
)


def _of_each(agents: Iterable[Living], now: float) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    found = [(agent.peer.name, _facts(agent, now)) for agent in agents]
    for fact in _FACTS:
        made = CounterMetricFamily if fact.counted else GaugeMetricFamily
        family = made(f"orcha_fleet_{fact.name}", fact.words, labels=["agent"])
        for name, facts in found:
            value = facts[fact.name]
            if value is not None:
                family.add_metric([name], float(value))
        yield family


def _facts(agent: Living, now: float) -> dict[str, float | None]:
    peer, timeline, shared = agent.peer, agent.timeline, agent.peer.replica
    return {
        "converged": peer.converged(now),
        "apart_seconds": 0.0 if timeline.apart_since is None else max(0.0, now - timeline.apart_since),
        "convergence_seconds": timeline.convergence_seconds,
        "terms": len(shared.terms),
        "equalities": len(shared.equalities),
        "registers": len(shared.registers),
        "epoch_floor": shared.floor,
        "transport_connected": agent.transport.connected,
        "state_write_success": agent.stored,
        "trusted": peer.trusted,
        "refused": peer.counts.refused,
        "gaps": peer.counts.gaps,
    }


# --- limits -----------------------------------------------------------------------------------------------------------


def _limits(face: FleetFace, now: float) -> Iterator[GaugeMetricFamily]:
    bound = GaugeMetricFamily(
        "orcha_fleet_limit", "The bound in force: all sites together hold at most so much (minTotal: at least).",
        labels=["limit", "kind", "resource"],
    )  # fmt: skip
    settled = GaugeMetricFamily(
        "orcha_fleet_limit_settled", "1 every site keeps within the newest wording, 0 some still keep within an older one.",
        labels=["limit", "kind", "resource"],
    )  # fmt: skip
    rights = GaugeMetricFamily(
        "orcha_fleet_limit_rights",
        "The site's own part of a limit: it may hold so much (minTotal: must hold).",
        labels=_PART,
    )
    held = GaugeMetricFamily("orcha_fleet_limit_held", "What the site holds of a limit.", labels=_PART)
    wanted = GaugeMetricFamily(
        "orcha_fleet_limit_wanted", "What the site would hold of a limit with as many rights as it likes.", labels=_PART
    )
    shown = face.seen_by
    for limit in _shared(face.declared, shown.peer, now) if shown is not None else ():
        labels = _labels(limit)
        if limit["in_force"] is not None:
            bound.add_metric(labels, limit["in_force"] * _factor(limit))
        if limit["settled"] is not None:
            settled.add_metric(labels, float(limit["settled"]))
    for limit, row, told in _parts(face, now):
        for family, part in ((rights, row["rights"]), (held, row["held"]), (wanted, row["wanted"])):
            if part is not None:
                family.add_metric([*_labels(limit), row["site"], told], part * _factor(limit))
    yield from (bound, settled, rights, held, wanted)


def _parts(face: FleetFace, now: float) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """(limit, one site's row of it, who says so). A site that lives here speaks for itself, of others one agent tells."""
    shown = face.seen_by
    for agent in face.agents:
        for limit in _shared(face.declared, agent.peer, now):
            for row in limit["sites"]:
                if row["site"] == agent.peer.name:
                    yield limit, row, "own"
                elif agent is shown and face.of(row["site"]) is None:
                    yield limit, row, "heard"


def _shared(spec: FleetSpec, peer: Peer, now: float) -> list[dict[str, Any]]:
    """The limits that are shared out as rights. A maxShare is each site's own business."""
    return [limit for limit in limits_view(spec, peer, now) if limit["kind"] != "maxShare"]


def _labels(limit: Mapping[str, Any]) -> list[str]:
    return [limit["name"], limit["kind"], limit["resource"] or ""]


def _factor(limit: Mapping[str, Any]) -> float:
    return FACTORS.get(limit["resource"], 1.0)


# --- proposals --------------------------------------------------------------------------------------------------------


def _proposals(face: FleetFace) -> GaugeMetricFamily:
    """joint.py remembers what it was asked last, so this costs something only where a proposal came or went."""
    family = GaugeMetricFamily(
        "orcha_fleet_proposals",
        "Programs that all sites propose: begun, or what comes of them: goes, waits for another site's, cancelled by one.",
        labels=["state"],
    )
    shown = face.seen_by
    if shown is not None:
        found = proposed(shown.peer.replica)
        rulings = joint(found).rulings
        tally = Tally("begun" if each.began else str(rulings[each.id].fate) for each in found)
        for state in PROPOSALS:
            family.add_metric([state], tally[state])
    return family
