"""What is answered about the fleet, as pydantic models: the agents, its limits, what they propose and share (traffic.py: messages).

All is as one agent sees it, `seen_by`: each knows what it heard. Unknown is null; times are RFC 3339; amounts are in base units.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from controller.api.shapes import Answer, Time

Share = float
"""From 0 to 1."""


class Link(Answer):
    """An edge; messages go both ways."""

    from_: str = Field(alias="from")
    to: str


class Topology(Answer):
    """Who talks with whom."""

    name: str
    agents: list[str]
    """Where a name stands, from 0 on, is its number in the topology."""
    edges: list[Link]
    diameter: int
    """The longest of the shortest ways, in hops."""
    mean_distance: float
    """Hops between two agents, over distinct pairs."""
    mean_distance_with_itself: float
    """The same over all pairs, each agent's distance of 0 to itself counted."""


class LocalAgent(Answer):
    """What only its own process knows of an agent."""

    began_at: Time
    stored: bool
    """Whether the last write to its disk succeeded."""
    connected: bool
    """Whether its transport can send."""
    trusted: bool
    """Whether it knows all that it ever promised; without that it grows nothing."""
    received: int
    """Messages since it began."""
    refused: int
    """Of those the ones that make no sense."""
    why_refused: str
    """Of the newest of them."""
    gaps: int
    """States that came before what they build on."""


class AgentRow(Answer):
    """One agent, as `seen_by` knows it."""

    name: str
    kind: Literal["site", "relay"]
    here: bool
    """Whether it lives in this process."""
    health: Share | None
    """1: heard just now; 0: cut off, or never heard."""
    alive: bool | None
    heard_at: Time | None
    """Of its newest heartbeat; null: never."""
    silent_seconds: float | None
    start: int | None
    """How often it was started."""
    digest: str | None
    """Of what it knows, as it said last."""
    converged: bool | None
    """Whether it knows what `seen_by` knows."""
    local: LocalAgent | None
    """null: it lives elsewhere."""


class SiteOfLimit(Answer):
    """What one site owns of a limit, holds and wants."""

    site: str
    rights: float | None
    """What it may hold at most; of a minTotal what it must hold at least."""
    held: float | None
    """null: it has not said."""
    wanted: float | None
    adopted: bool
    """Whether it keeps within the newest wording."""
    silent_seconds: float | None
    alive: bool | None


class LimitRow(Answer):
    """One limit over all sites."""

    name: str
    kind: Literal["maxTotal", "minTotal", "maxCount", "maxShare", "irreversibleAtOnce"]
    protocol: str | None
    resource: str | None
    """null: it counts workloads, or moves."""
    bound: float
    """As the manifest here says."""
    in_force: float | None
    """As the newest wording that is known says; null: there is none."""
    as_declared: bool | None
    """Whether that is what the manifest here says."""
    settled: bool | None
    """Whether every site keeps within the newest wording."""
    waits_for: list[str]
    """The sites that do not yet."""
    held: float | None
    """By all sites together; null: one has not said."""
    wanted: float | None
    usable: bool | None
    """Whether the site here may use its part; null: it has none, or nobody here knows."""
    sites: list[SiteOfLimit]
    sentence: str


class Trouble(Answer):
    serious: bool
    """false: it may mend itself."""
    what: str
    """What is wrong."""
    right: str
    """What to do about it."""


class Agreed(Answer):
    """Whether all agents that are alive know the same."""

    converged_since: Time | None
    """null: they do not, or nobody here knows."""
    apart_since: Time | None
    """null: they do, or nobody here knows."""
    convergence_seconds: float | None
    """What it took the last time until they did again; null: they never differed."""


class ProposalRow(Answer):
    """A program that a site has open, and what is to come of it: every site rules the same."""

    id: str
    agent: str
    at: Time
    began: bool
    fate: Literal["goes", "waits", "cancelled"]
    of: str | None
    """The other proposal that it waits for, or comes to nothing with."""
    sentence: str
    term: str
    steps: int
    """Grows and shrinks in it."""
    text: str


class JointProgram(Answer):
    """What all proposals come to once moves are fused and cancelled."""

    program: str | None
    """The cheapest; null: a limit ended the search, on every site."""
    term: str | None
    restarts: float | None
    minutes_offline: float | None
    steps: int | None
    layers: list[list[str]]
    """Ids of proposals; those of one layer have nothing to do with each other."""
    ended: Literal["fixpoint", "iterations", "nodes", "time"]


class Fleet(Agreed):
    """The fleet at a glance."""

    name: str
    at: Time
    site: str | None
    """Which of the sites this controller is; null: none."""
    seen_by: str | None
    """Whose view this is; null: no agent lives here."""
    sites: list[str]
    relays: list[str]
    topology: Topology
    agents: list[AgentRow]
    alive: int | None
    """How many."""
    converged: bool | None
    digest: str | None
    """Of what `seen_by` knows."""
    epoch_floor: int | None
    """What belongs to an epoch up to this one is over, and gone."""
    limits: list[LimitRow]
    proposals: list[ProposalRow]
    """In the order in which they go."""
    joint: JointProgram | None
    """null: nobody proposes anything."""
    troubles: list[Trouble]
    """The worst first."""


# --- one agent ------------------------------------------------------------------------------------------------------------


class OfAgent(Answer):
    agent: str
    here: bool
    """Whether it lives in this process; else this is what is known of it here."""
    seen_by: str | None
    """Who knows it."""


class Write(Answer):
    writer: str
    """AGENT.START."""
    number: int
    """Of the writer's writes, from 1 on."""
    epoch: int | None
    """null: it is never over."""


class TermRow(Write):
    id: str
    operator: str
    parameters: list[str | float]
    children: list[str]
    """Their ids."""


class EqualityRow(Write):
    one: str
    """Id of a term."""
    other: str


class CounterRow(Write):
    agent: str
    name: str
    value: float


class RegisterRow(Write):
    kind: str
    name: str
    value: str
    """JSON as it was written; more than 1 000 characters are cut off."""
    written_at: Time


class Counted(Answer):
    terms: int
    equalities: int
    counters: int
    registers: int


class AgentState(OfAgent):
    """What an agent knows; of one that lives elsewhere what it wrote."""

    start: int | None
    digest: str | None
    epoch_floor: int | None
    version: dict[str, int]
    """Writer -> how many of its writes are known."""
    counts: Counted
    part: Literal["terms", "equalities", "counters", "registers"]
    """Of which this is a page; the other lists are empty."""
    terms: list[TermRow]
    equalities: list[EqualityRow]
    counters: list[CounterRow]
    registers: list[RegisterRow]
    next: str | None
    """What to give as `after` for those that follow; null: there are none."""


class Member(Answer):
    """One term."""

    id: str
    operator: str
    colour: Literal["red", "blue", "green"]
    """red takes capacity, blue frees it, green does neither or both."""
    steps: int
    """Grows and shrinks in it."""
    text: str


class EqualTerms(Answer):
    """Terms that come to the same."""

    id: str
    """The least of theirs."""
    colours: list[Literal["red", "blue"]]
    """Never both."""
    nodes: int
    """Ways to write it."""
    members: list[Member]


class AgentEGraph(OfAgent):
    """Which of the terms that are shared are equal."""

    digest: str | None
    """Of the classes; null: there are none."""
    terms: int
    ill_formed: int
    """Terms that cannot be, or of which parts are not known yet."""
    left_out: int
    """Terms that are not looked at, because there are so many."""
    equalities: int
    """Of terms that are looked at."""
    nodes: int
    ended: Literal["fixpoint", "iterations", "nodes", "time"]
    """Why no more followed."""
    rounds: int
    refused: int
    """What rules wanted, and red beside blue forbids."""
    barred: list[str]
    """Terms that are equal to none, because that would make red and blue one."""
    joint: JointProgram | None
    """What all proposals come to; null: nobody proposes anything."""
    count: int
    """Of the classes."""
    classes: list[EqualTerms]
    """Those with most members first."""
    next: str | None
    """What to give as `after` for those that follow; null: there are none."""


class Synced(Answer):
    """A sync round was sent."""

    agent: str
    neighbours: list[str]
    """Whom it told what it knows."""
    by: str
