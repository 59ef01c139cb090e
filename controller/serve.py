"""`orcha run`: builds the loop with everything that it needs, serves it, reloads manifests, and stops cleanly. Wiring."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from controller.address import StoreError
from controller.api.app import Faces, application
from controller.api.stream import Stream
from controller.backfill import Backfill
from controller.desk import Desk
from controller.ending import Ending
from controller.equipping import HANDOUTS, Equipment
from controller.fleet.manifest import Fleet
from controller.fleet.shown import FleetFace
from controller.fleet.site import Site
from controller.grounds import World
from controller.history import History
from controller.journal import Journal
from controller.leader import Leader, elect
from controller.listening import address_of, listen_address, listening
from controller.loop import Reconciler
from controller.manifests import Manifests, load
from controller.membership import changed, joined
from controller.observe.chosen import NotChosen, for_the_loop, source_of
from controller.observe.embedded import Embedded
from controller.observe.prometheus import FromPrometheus
from controller.observe.promql import blocked
from controller.once import CouldNot, state_url
from controller.operations import Operations
from controller.programs import Program, Record
from controller.report.fleet import FleetMetrics
from controller.report.metrics import ControllerMetrics
from controller.rows import Event
from controller.samples import Kept
from controller.standby import STEP_TIMEOUT, leads, watched
from controller.store import Store
from exporters import __version__
from exporters.clock import Clock, SystemClock
from exporters.collector import Collector
from exporters.documents import CannotRead
from exporters.doors import Tokens
from exporters.logs import Format, configure
from exporters.poller import open_client
from exporters.room import allow_many
from exporters.server import metrics_response
from exporters.session import HttpSession
from exporters.settings import needing_a_restart
from exporters.watching import changes

log = structlog.get_logger("orcha")
PATIENCE = 2.0
"""Seconds that a write waits for another program's lock. The next turn tries again; the end must not wait much longer."""
READY_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `orcha run`; it overrides Settings."""

    paths: tuple[Path, ...]
    listen: str | None = None
    state: str | None = None
    log_format: Format | None = None
    source: str | None = None
    site: str | None = None
    """Which of the fleet's sites this is."""


@dataclass
class Reloads:
    """How the manifests on disk stand to those in force."""

    sha256: str
    problems: list[str] = field(default_factory=list)

    def view(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "problems": list(self.problems)}


class Controller:
    """Everything of one running controller. `async with Controller.open(...)`, then `run`."""

    def __init__(
        self,
        found: Manifests,
        options: Options,
        collectors: Mapping[str, Collector],
        source: Embedded | FromPrometheus,
        store: Store,
        client: aiohttp.ClientSession,
        leader: Leader,
        clock: Clock | None = None,
    ) -> None:
        spec = found.settings.spec
        self.options, self.collectors, self.source, self.store, self._client = (
            options,
            collectors,
            source,
            store,
            client,
        )
        self.clock: Clock = clock or SystemClock()
        self.metrics = ControllerMetrics(__version__, os.environ.get("ORCHA_REVISION", "unknown"))
        self.metrics.policies(policy.name for policy in found.policies)
        self.metrics.reloaded(found.sha256, self.clock.time())
        self.reloads = Reloads(found.sha256)
        self.history = History([Kept.of(workload) for workload in source.workloads], retention=spec.retention)
        self.began = self.clock.monotonic()
        self.loop = Reconciler(
            found, for_the_loop(source), self.history, store, self.metrics, self.clock, ask_block=self._ask_block, rng=random.Random()
        )  # fmt: skip
        self.leader, self.stream = leader, Stream()
        self.fleet: FleetFace | None = None
        self.metrics.acting.leads(leader)
        self.loop.audience = self.stream
        self.world = World(source, self._equipment().driver, holds=lambda: leader.holds)
        self.desk = self.loop.desk = Desk(
            Journal(store), self.world, self.clock, self.loop.look,
            announce=self._announce, counted=self.metrics.acting.counted,
        )  # fmt: skip
        self.desk.not_before = leader.waits_until or 0.0
        self.world.declare(found.nodes)
        source.brought = self.world.brought
        self.desk.declare(found.policies)
        self.operations = Operations(self.desk, self.loop.outcomes, self.clock, store.note_event)

    def join(self, fleet: Fleet, site: Site) -> None:
        """Belong to a fleet; before the first turn."""
        self.loop.join(site)
        self.fleet = FleetFace(fleet.name, fleet.spec, (site.agent,), site)
        FleetMetrics(self.fleet, self.clock, self.metrics.registry).hear(site.agent)

    def _equipment(self) -> Equipment:
        """Drivers, as the manifests in force ask for them. Beside the state lies what a person has to sign."""
        path = self.store.path
        folder = (path.parent if path else Path.cwd()) / HANDOUTS
        session = HttpSession(self._client)
        return Equipment(
            lambda: self.source.by_key,
            self.collectors,
            session,
            self.clock,
            folder,
            for_the_loop(self.source).read_back,
            lambda: self.leader.holds,
        )

    def _announce(self, program: Program, record: Record) -> None:
        """Tell everybody of a program's change."""
        self.metrics.acting.announce(program, record)
        self.stream.program(program)
        if record.what == program.state.value:
            word = "".join(part.capitalize() for part in record.what.split("_"))
            self.store.note_event(Event(record.at, f"Program{word}", program.id, record.sentence))
        if record.what != "waits":
            log.info("program", id=program.id, what=record.what, why=record.sentence, by=record.by)

    async def _ask_block(self, expression: str) -> str | None:
        spec = self.loop.manifests.settings.spec
        return await blocked(self._client, spec.prometheus_url, expression, spec.prometheus.bearer_token_file)

    def view(self) -> dict[str, Any]:
        return self.loop.view(__version__, self.reloads.view())

    def version(self) -> object:
        """Another value whenever `view` would show something else."""
        loop = self.loop
        programs = tuple((each.id, each.changed, each.state) for each in self.desk.programs())
        return (
            loop.observation,
            tuple(loop.decisions.values()),
            tuple(self.reloads.problems),
            programs,
            self.world.pauses,
        )

    def ready(self) -> bool:
        """Every workload was tried once, or 30 s passed."""
        return self.source.complete or self.clock.monotonic() - self.began > READY_AFTER

    def pages(self, openmetrics: bool) -> Iterable[bytes]:
        """The whole of /metrics without the end mark: the workloads' families, then the controller's own."""
        yield from self.source.render(openmetrics=openmetrics)
        yield from self.metrics.render(openmetrics=openmetrics)

    async def reload(self) -> None:
        """Put changed manifests in force; those with problems change nothing and are said."""
        try:
            found = await asyncio.to_thread(load, self.options.paths, self.collectors)
            problems = [str(problem) for problem in found.problems]
        except CannotRead as exc:
            found, problems = Manifests(), [str(exc)]
        if problems:
            if problems != self.reloads.problems:
                log.error("the manifests were refused; the last good ones hold", problems=problems)
                self._event("ManifestsRefused", f"{len(problems)} problem(s); the first: {problems[0]}")
            self.reloads.problems = problems
            self.metrics.reload_ok.set(0)
            return
        if self.reloads.problems:
            log.info("the manifests are good again")
        self.reloads.problems = []
        self.metrics.reload_ok.set(1)
        if found.sha256 != self.loop.manifests.sha256:
            self._enforce(found)

    def _enforce(self, found: Manifests) -> None:
        for warning in found.warnings:
            log.warning(str(warning))
        if later := needing_a_restart(self.loop.manifests.settings.spec, found.settings.spec):
            log.warning("some Settings take effect at the next start only", fields=later)
        if later := changed(self.loop.manifests.fleet, found.fleet):
            log.warning("some of the Fleet takes effect at the next start only", fields=later)
        self.source.replace(found.nodes, found.settings.spec.prices)
        self.world.declare(found.nodes)
        self.history.keep(Kept.of(workload) for workload in self.source.workloads)
        self.loop.replace(found)
        self.reloads.sha256 = found.sha256
        self.metrics.reloaded(found.sha256, self.clock.time())
        log.info("new manifests are in force", nodes=len(found.nodes), policies=len(found.policies))
        self._event("ManifestsReloaded", f"{len(found.nodes)} node(s), {len(found.policies)} policy(ies) are in force")

    def _event(self, kind: str, sentence: str) -> None:
        self.store.note_event(Event(self.clock.time(), kind, "manifests", sentence))

    async def recall(self) -> None:
        """Complete history from Prometheus, where that is the source, for ever."""
        if isinstance(self.source, FromPrometheus):
            await Backfill(self.source, self.history, self.clock).run()

    async def watch(self) -> None:
        """Reload whenever the files of the manifests change, for ever; a reload that fails is said, and the next one comes."""
        async for _ in changes(self.options.paths, self.loop.manifests.files, self.clock):
            try:
                await self.reload()
            except Exception:
                log.exception("the manifests could not be reloaded; please report this as a bug")


@contextlib.asynccontextmanager
async def opened(
    found: Manifests, options: Options, collectors: Mapping[str, Collector], leader: Leader
) -> AsyncIterator[Controller]:
    """A controller with its state read back, its connections open and nothing running yet. Raises CouldNot."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        try:
            elected = found.settings.spec.lease is not None
            store = await Store.open(state_url(found, options.state), shared=elected, patience=PATIENCE)
            stack.push_async_callback(store.close)
            client = await stack.enter_async_context(open_client())
            source = source_of(found.nodes, found.settings.spec, collectors, client, clock, options.source)
            stack.push_async_callback(source.close)
            site = await stack.enter_async_context(joined(found.fleet, options.site, store, clock))
            controller = Controller(found, options, collectors, source, store, client, leader)
            if site is not None and found.fleet is not None:
                controller.join(found.fleet, site)
            await controller.history.restore(store, clock.time())
            stack.push_async_callback(controller.desk.close)
        except (StoreError, NotChosen) as exc:
            raise CouldNot(str(exc)) from exc
        yield controller


def collect_seldom() -> None:
    """Spare the loop the full collections of garbage, during which nobody has a turn: they walk through everything that
    lives, which takes 60 ms for the libraries alone, 0.2 s with 10 000 workloads, and happens several times a turn.

    What was loaded until now stays to the end and is never walked through again; the rest is once in 10 000 collections
    of the younger generations (some hours), instead of 10. Reference counts free nearly all that a turn makes.
    """
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 10_000)


async def serve(found: Manifests, options: Options, collectors: Mapping[str, Collector]) -> None:
    """Run until SIGTERM or Ctrl-C. Raises CouldNot where it cannot start."""
    configure(options.log_format or found.settings.spec.log_format)
    allow_many()
    where = options.listen or found.settings.spec.listen
    host, port = listen_address(where, "--listen, or Settings spec.listen")
    ending = Ending()
    ending.hear()
    leader = elect(found.settings.spec.lease, SystemClock(), STEP_TIMEOUT)
    async with contextlib.AsyncExitStack() as stack:
        if not await ending.unless_asked(leads(leader, host, port, found.settings.spec.lease is not None)):
            log.info("stopped before it began")
            return
        losing = await stack.enter_async_context(watched(leader, ending))
        controller = await ending.unless_asked(stack.enter_async_context(opened(found, options, collectors, leader)))
        if controller is None:
            log.info("stopped before it began")
            return
        losing.also(controller.desk.lost)
        collect_seldom()
        runner = await listening(application(_faces(controller), host), host, port)
        _greet(controller, found, runner)
        beside = [asyncio.create_task(each) for each in (controller.watch(), controller.recall())]
        controller.source.start()
        ending.unwritten = True
        try:
            await controller.loop.run(ending.asked)
        finally:
            for task in beside:
                task.cancel()
            losing.midway = controller.desk.busy
            await controller.desk.close()
            await _finish(controller, runner, ending, losing.why)


def _greet(controller: Controller, found: Manifests, runner: web.AppRunner) -> None:
    """The first lines of the log: what was odd, what it does, and where it can be seen."""
    for warning in found.warnings:
        log.warning(str(warning))
    if not found.nodes:
        log.warning(
            "no Node is declared, so there is nothing to watch", paths=[str(path) for path in controller.options.paths]
        )
    acting = [policy.name for policy in found.policies if policy.spec.mode in {"Approve", "Auto"}]
    log.info(
        "orcha watches, plans and acts" if acting else "orcha watches, plans and shows; it changes nothing on any node",
        address=address_of(runner),
        nodes=len(found.nodes), workloads=len(controller.source.watched), state=controller.store.name,
        **({"acts_for": acting} if acting else {}),
    )  # fmt: skip


def _faces(controller: Controller) -> Faces:
    spec = controller.loop.manifests.settings.spec
    links = {"Prometheus": spec.prometheus_url, "Alertmanager": spec.alertmanager_url, "Grafana": spec.grafana_url}
    files = spec.api.token_files
    return Faces(
        view=controller.view,
        metrics=partial(_metrics, controller),
        ready=controller.ready,
        links={name: url for name, url in links.items() if url},
        version=controller.version,
        now=controller.clock.time,
        tokens=Tokens(Path(files.read) if files.read else None, Path(files.operate) if files.operate else None),
        manifests=lambda: controller.loop.manifests,
        observation=lambda: controller.loop.observation,
        archive=controller.store,
        operations=controller.operations,
        stream=controller.stream,
        fleet=controller.fleet,
    )


async def _metrics(controller: Controller, request: web.Request) -> web.StreamResponse:
    return await metrics_response(request, controller.pages)


async def _finish(controller: Controller, runner: web.AppRunner, ending: Ending, lost: str) -> None:
    """Write what is new, close what is open; `ending` cuts short whatever hangs. Raises CouldNot where something is lost.
    `lost`: why this is not the writer any more, who must not write; "": it is.
    """
    if lost:
        ending.unwritten = False
        await runner.cleanup()
        raise CouldNot(f"{lost}; another controller acts now, and this one ends")
    log.info("stopping: writing what is new")
    try:
        await controller.history.flush(controller.store, controller.clock.time())
        ending.unwritten = False
    except StoreError as exc:
        raise CouldNot(f"what was seen since the last write is lost: {exc}") from exc
    finally:
        await runner.cleanup()
