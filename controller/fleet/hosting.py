"""`orcha fleet host`: agents that have no controller, in one process, each with a disk and a transport of its own. Wiring.

Only relays are hosted: a site's agent says what its controller holds, and lives in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from controller.address import StoreError
from controller.api.app import Faces, application
from controller.ending import Ending
from controller.fleet.agent import Agent
from controller.fleet.manifest import Fleet
from controller.fleet.running import at_work, transport_for
from controller.fleet.shown import FleetFace
from controller.fleet.stored import Stored
from controller.fleet.timeline import Timeline
from controller.fleet.transport import Unreachable
from controller.listening import address_of, listen_address, listening
from controller.manifests import Manifests
from controller.observe import Observation
from controller.once import CouldNot
from controller.report import views
from controller.report.fleet import FleetMetrics
from controller.store import Store
from exporters import __version__
from exporters.clock import Clock, SystemClock
from exporters.doors import Tokens
from exporters.logs import Format, configure
from exporters.server import metrics_response

log = structlog.get_logger("orcha.fleet")
LISTEN: Final = "127.0.0.1:9873"
STATE: Final = "sqlite:///orcha-fleet.db"
"""Not the controllers' default: two programs cannot write one state."""
PATIENCE: Final = 2.0
"""Seconds that a write waits for another program's lock; the next one tries again."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    relays: Sequence[str] = ()
    """All of the Fleet's where none is named."""
    listen: str = LISTEN
    state: str = STATE
    log_format: Format | None = None


@dataclass(frozen=True, slots=True)
class Hosted:
    """The agents of this process."""

    face: FleetFace
    metrics: FleetMetrics
    agents: tuple[Agent, ...]
    state: str
    """For people."""

    def faces(self, found: Manifests, clock: Clock) -> Faces:
        """What can be seen of them: there are no workloads here, only the fleet."""
        files = found.settings.spec.api.token_files
        return Faces(
            view=lambda: views.status(
                Observation(at=clock.time()), {}, (), version=__version__, manifests={"sha256": found.sha256, "problems": []}
            ),
            metrics=partial(_metrics, self.metrics),
            ready=self.ready,
            unready="not every agent here reaches the servers of spec.nats",
            links={},
            now=clock.time,
            tokens=Tokens(Path(files.read) if files.read else None, Path(files.operate) if files.operate else None),
            manifests=lambda: found,
            fleet=self.face,
        )  # fmt: skip

    def ready(self) -> bool:
        """Whether all of them reach their servers."""
        return all(agent.transport.connected for agent in self.agents)


def relays_named(fleet: Fleet | None, wanted: Sequence[str]) -> tuple[str, ...]:
    """The agents to host, in the order of the manifest. Raises CouldNot."""
    if fleet is None:
        raise CouldNot("no Fleet is declared among the manifests; `orcha fleet host` runs the relays of one")
    relays, sites = fleet.spec.relays, fleet.spec.sites
    for name in wanted:
        if name in sites:
            raise CouldNot(
                f"{name!r} is a site of Fleet {fleet.metadata.name}: its agent lives in its controller, `orcha run --site {name}`"
            )
        if name not in relays:
            raise CouldNot(f"Fleet {fleet.metadata.name} has no relay {name!r}; {_those(relays)}")
    if not relays:
        raise CouldNot(f"Fleet {fleet.metadata.name} has no relays to host; name some in spec.relays")
    return tuple(name for name in relays if not wanted or name in wanted)


def _those(relays: Sequence[str]) -> str:
    return f"it has {', '.join(relays)}" if relays else "it has none: name it in spec.relays"


async def host(found: Manifests, options: Options) -> None:
    """Run until SIGTERM or Ctrl-C. Raises CouldNot where it cannot start, or another program took over the state."""
    configure(options.log_format or found.settings.spec.log_format)
    names = relays_named(found.fleet, options.relays)
    host_, port = listen_address(options.listen, "--listen")
    ending = Ending()
    ending.hear()
    clock = SystemClock()
    assert found.fleet is not None  # noqa: S101 relays_named saw to it
    async with contextlib.AsyncExitStack() as stack:
        hosted = await ending.unless_asked(stack.enter_async_context(opened(found.fleet, names, options.state, clock)))
        if hosted is None:
            log.info("stopped before it began")
            return
        runner = await listening(application(hosted.faces(found, clock), host_), host_, port)
        stack.push_async_callback(runner.cleanup)
        log.info(
            "orcha carries on what the sites of a fleet say; it owns nothing, and changes nothing on any node",
            fleet=found.fleet.metadata.name, relays=list(names), address=address_of(runner), state=hosted.state,
        )  # fmt: skip
        await _run(hosted.agents, ending, clock)
        log.info("stopping: all that was heard is saved")


@contextlib.asynccontextmanager
async def opened(fleet: Fleet, names: Sequence[str], state: str, clock: Clock) -> AsyncIterator[Hosted]:
    """The agents, with what they knew and their connections, not at work yet. Raises CouldNot."""
    timeline, agents = Timeline(), []
    async with contextlib.AsyncExitStack() as stack:
        try:
            store = await Store.open(state, patience=PATIENCE)
            stack.push_async_callback(store.close)
            for name in names:
                way = transport_for(fleet.spec)
                agent = Agent.opened(name, fleet.spec, Stored(store, name), way, clock, timeline)
                agents.append(await stack.enter_async_context(agent))
        except (StoreError, Unreachable) as exc:
            raise CouldNot(str(exc)) from exc
        face = FleetFace(fleet.metadata.name, fleet.spec, agents)
        metrics = FleetMetrics(face, clock)
        for agent_ in agents:
            metrics.hear(agent_)
        yield Hosted(face, metrics, tuple(agents), store.name)


async def _run(agents: Iterable[Agent], ending: Ending, clock: Clock) -> None:
    """Until the end is asked for. Raises CouldNot where an agent had to end."""
    asked = asyncio.create_task(ending.asked.wait())
    running = [asyncio.create_task(at_work(agent, clock), name=f"agent {agent.peer.name}") for agent in agents]
    try:
        await asyncio.wait({asked, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc
    finally:
        asked.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(asked, *running, return_exceptions=True)


async def _metrics(metrics: FleetMetrics, request: web.Request) -> web.StreamResponse:
    return await metrics_response(request, lambda openmetrics: metrics.render(openmetrics=openmetrics))
