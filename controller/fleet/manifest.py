"""The Fleet manifest: which sites belong together, how they reach each other, and what must hold over all of them. Pure models.

The same document is given to every site; which of them a controller is, `orcha run --site` or ORCHA_SITE says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from controller.fleet.topology import NoTopology, Topology, topology
from controller.policy import Ratio
from exporters.nodes import Duration, Metadata, Model, Quantity, Resource

Site = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""The name of an agent: lower case letters, digits and '-'. It is part of NATS subjects, in which a '.' would end a word."""


class Nats(Model):
    """How the agents reach each other."""

    servers: list[str] = Field(min_length=1)
    """Addresses such as nats://nats.example:4222, or tls://; of a cluster any that answers is taken."""
    token_file: str | None = None
    """A file that holds the token that the servers want."""
    credentials_file: str | None = None
    """A file of NATS credentials (.creds). It needs the package nkeys beside orcha."""
    ca_file: str | None = None
    """A file with the authority that signed the servers' certificates; none = those of the system."""


class FleetLimit(Model):
    """What must hold over all sites together, of one protocol's allocations of one resource. One of the four bounds."""

    name: Site
    """Unique among them; it is what the sites know it by."""
    protocol: str
    """Whose allocations are meant."""
    resource: Resource
    """Of what."""
    max_share: Ratio | None = None
    """Of that resource as it is allocated. Each site keeps within it by itself, and so do all."""
    min_total: Quantity | None = Field(default=None, ge=0)
    """At least this much in all."""
    max_total: Quantity | None = Field(default=None, ge=0)
    """At most this much in all."""
    max_count: int | None = Field(default=None, ge=0)
    """At most so many workloads above their minimum."""


class FleetSpec(Model):
    sites: list[Site] = Field(min_length=1)
    """All of them, in the order that their places in the topology follow; each has a controller."""
    relays: list[Site] = []
    """Agents that own nothing and only carry on what others say (`orcha fleet host`); their places come after the sites'."""
    topology: Literal["auto", "sierpinski9", "sierpinski", "grid", "ring", "full"] = "auto"
    """Who talks with whom. auto: nine on sierpinski9, up to five all with all, 27, 81 ... on sierpinski, else a grid."""
    nats: Nats | None = None
    """Needed where there is more than one agent."""
    heartbeat: Duration = 5.0
    """How often each says that it lives."""
    timeout: Duration = 10.0
    """Without a heartbeat for so long a site counts as cut off."""
    sync: Duration = 5.0
    """How often neighbours compare what they know, beside telling each other at once of what is new."""
    limits: list[FleetLimit] = []
    """Over all sites together; they hold also while sites are cut off."""
    irreversible_at_once: int | None = Field(default=1, ge=0)
    """How many moves that cannot be taken back may be under way at a time, over all sites; null: as many as the policies let."""

    @property
    def agents(self) -> tuple[str, ...]:
        return (*self.sites, *self.relays)

    def graph(self) -> Topology:
        """Raises NoTopology."""
        count = len(self.agents)
        return topology(self.topology if self.topology != "auto" else chosen_for(count), count)


class Fleet(Model):
    """The sites that belong together. At most one document."""

    api_version: Literal["orcha.dev/v1alpha1"]
    kind: Literal["Fleet"]
    metadata: Metadata
    spec: FleetSpec

    @property
    def name(self) -> str:
        return self.metadata.name


FEW: Final = 5
"""Agents of which each talks with each."""


def chosen_for(count: int) -> str:
    """The topology of so many agents where none is named."""
    if count == 9:
        return "sierpinski9"
    if count <= FEW:
        return "full"
    power = 3
    while power < count:
        power *= 3
    return "sierpinski" if power == count else "grid"


def fleet_rules(fleet: Fleet) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What one Fleet alone can be wrong in, beyond its shapes."""
    spec = fleet.spec
    for name, count in Counter(spec.agents).items():
        if count > 1:
            yield ("spec", "sites"), f"{name!r} stands {count} times among sites and relays; each has a name of its own"
    if len(spec.agents) > 1 and spec.nats is None:
        yield ("spec", "nats"), "is missing: more than one agent needs servers to reach each other by"
    yield from _nats(spec.nats)
    for field, seconds in (("heartbeat", spec.heartbeat), ("sync", spec.sync)):
        if seconds < LEAST:
            yield ("spec", field), f"{seconds:g} s is too often; write at least {LEAST:g}s"
    if spec.timeout < 2 * spec.heartbeat:
        yield (
            ("spec", "timeout"),
            f"must be at least twice the heartbeat ({2 * spec.heartbeat:g}s), or one late message cuts a site off",
        )
    try:
        spec.graph()
    except NoTopology as exc:
        yield ("spec", "topology"), str(exc)
    yield from _limits(spec.limits)


def _nats(nats: Nats | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if nats is None:
        return
    for i, address in enumerate(nats.servers):
        path = ("spec", "nats", "servers", i)
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match["port"] or 4222) < 2**16:
            yield path, f"{address!r} is no address of NATS; write nats://HOST:PORT, or tls://HOST:PORT"
        elif match["who"]:
            yield path, "holds a user or password; put secrets into files: tokenFile, credentialsFile"
    if nats.token_file and nats.credentials_file:
        yield ("spec", "nats"), "has tokenFile and credentialsFile; keep the one that the servers ask for"


_ADDRESS: Final = re.compile(
    r"(?:nats|tls)://(?P<who>[^/\s@]*@)?(?:[^/\s@:\[\]]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
LEAST: Final = 0.1
"""Seconds between heartbeats, and between sync rounds."""


def _limits(limits: list[FleetLimit]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known: set[str] = set()
    for i, limit in enumerate(limits):
        path = ("spec", "limits", i)
        if limit.name in known:
            yield (*path, "name"), f"{limit.name!r} is the name of another limit, too; each has one of its own"
        known.add(limit.name)
        bounds = (limit.max_share, limit.min_total, limit.max_total, limit.max_count)
        if sum(bound is not None for bound in bounds) != 1:
            yield (
                path,
                f"limit {limit.name!r} needs one of maxShare, minTotal, maxTotal and maxCount; write a limit for each",
            )
