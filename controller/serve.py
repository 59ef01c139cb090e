"""`orcha run`: builds the loop with everything that it needs, serves it, reloads manifests, and stops cleanly. Wiring."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from exporters.server import metrics_response
from watchfiles import awatch

from controller.address import StoreError
from controller.api.app import Faces, application
from controller.history import History
from controller.loop import Reconciler
from controller.manifests import Manifests, load
from controller.observe.embedded import Embedded
from controller.observe.promql import blocked
from controller.once import CouldNot, state_url
from controller.report.metrics import ControllerMetrics
from controller.rows import Event
from controller.samples import Kept
from controller.store import Store
from exporters import __version__
from exporters.clock import SystemClock
from exporters.collector import Collector
from exporters.documents import CannotRead
from exporters.logs import Format, configure
from exporters.poller import open_client
from exporters.session import HttpSession

log = structlog.get_logger("orcha")
STOPPING = 4.0
"""Seconds that the last write and open connections may take after SIGTERM."""
READY_AFTER = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `orcha run`; it overrides Settings."""

    paths: tuple[Path, ...]
    listen: str | None = None
    state: str | None = None
    log_format: Format | None = None


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
        source: Embedded,
        store: Store,
        client: aiohttp.ClientSession,
    ) -> None:
        spec = found.settings.spec
        self.options, self.collectors, self.source, self.store, self._client = (
            options,
            collectors,
            source,
            store,
            client,
        )
        self.clock = SystemClock()
        self.metrics = ControllerMetrics(__version__, os.environ.get("ORCHA_REVISION", "unknown"))
        self.metrics.policies(policy.name for policy in found.policies)
        self.metrics.reloaded(found.sha256, self.clock.time())
        self.reloads = Reloads(found.sha256)
        self.history = History([Kept.of(workload) for workload in source.workloads], retention=spec.retention)
        self.began = self.clock.monotonic()
        self.loop = Reconciler(
            found, source, self.history, store, self.metrics, self.clock, ask_block=self._ask_block, rng=random.Random()
        )  # fmt: skip

    async def _ask_block(self, expression: str) -> str | None:
        return await blocked(self._client, self.loop.manifests.settings.spec.prometheus_url, expression)

    def view(self) -> dict[str, Any]:
        return self.loop.view(__version__, self.reloads.view())

    def ready(self) -> bool:
        """Every workload was tried once, or 30 s passed."""
        return self.source.complete or self.clock.monotonic() - self.began > READY_AFTER

    def pages(self, openmetrics: bool) -> Iterable[bytes]:
        """The whole of /metrics without the end mark: the workloads' families, then the controller's own."""
        yield from self.source.render(openmetrics=openmetrics)
        yield from self.metrics.render(openmetrics=openmetrics)

    def reload(self) -> None:
        """Put changed manifests in force; those with problems change nothing and are said."""
        try:
            found = load(self.options.paths, self.collectors)
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
        self.reloads.problems = []
        self.metrics.reload_ok.set(1)
        if found.sha256 != self.loop.manifests.sha256:
            self._enforce(found)

    def _enforce(self, found: Manifests) -> None:
        self.source.replace(found.nodes, found.settings.spec.prices)
        self.history.keep(Kept.of(workload) for workload in self.source.workloads)
        self.loop.replace(found)
        self.reloads.sha256 = found.sha256
        self.metrics.reloaded(found.sha256, self.clock.time())
        log.info("new manifests are in force", nodes=len(found.nodes), policies=len(found.policies))
        self._event("ManifestsReloaded", f"{len(found.nodes)} node(s), {len(found.policies)} policy(ies) are in force")

    def _event(self, kind: str, sentence: str) -> None:
        self.store.note_event(Event(self.clock.time(), kind, "manifests", sentence))

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload whenever a file of the manifests changes, until asked to stop."""
        async for _ in awatch(
            *self.options.paths,
            stop_event=stop,
            debounce=300,
            recursive=False,
            rust_timeout=500,
            yield_on_timeout=False,
        ):
            self.reload()


@contextlib.asynccontextmanager
async def opened(found: Manifests, options: Options, collectors: Mapping[str, Collector]) -> AsyncIterator[Controller]:
    """A controller with its state read back, its connections open and nothing running yet. Raises CouldNot."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        try:
            store = await Store.open(state_url(found, options.state))
            stack.push_async_callback(store.close)
            client = await stack.enter_async_context(open_client())
            source = Embedded(found.nodes, collectors, HttpSession(client), clock, found.settings.spec.prices)
            stack.push_async_callback(source.close)
            controller = Controller(found, options, collectors, source, store, client)
            await controller.history.restore(store, clock.time())
        except StoreError as exc:
            raise CouldNot(str(exc)) from exc
        yield controller


async def serve(found: Manifests, options: Options, collectors: Mapping[str, Collector]) -> None:
    """Run until SIGTERM or Ctrl-C. Raises CouldNot where it cannot start."""
    spec = found.settings.spec
    configure(options.log_format or spec.log_format)
    for warning in found.warnings:
        log.warning(str(warning))
    async with opened(found, options, collectors) as controller:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        host, _, port = (options.listen or spec.listen).rpartition(":")
        runner = await _listening(controller, found, host, port)
        log.info(
            "orcha watches, plans and shows; it changes nothing on any node",
            address=f"http://{host}:{port}/", nodes=len(found.nodes), workloads=len(controller.source.watched), state=controller.store.name,
        )  # fmt: skip
        watching = asyncio.create_task(controller.watch(stop))
        controller.source.start()
        try:
            await controller.loop.run(stop)
        finally:
            stop.set()
            await _finish(controller, runner, watching)


async def _listening(controller: Controller, found: Manifests, host: str, port: str) -> web.AppRunner:
    """Serve; raises CouldNot where nobody can listen there."""
    spec = found.settings.spec
    links = {"Prometheus": spec.prometheus_url, "Alertmanager": spec.alertmanager_url, "Grafana": spec.grafana_url}
    token = spec.api.token_files.read or spec.api.token_files.operate
    faces = Faces(
        view=controller.view,
        metrics=partial(_metrics, controller),
        ready=controller.ready,
        links={name: url for name, url in links.items() if url},
        token_file=Path(token) if token else None,
    )
    runner = web.AppRunner(application(faces, host), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except (OSError, ValueError, OverflowError) as exc:
        await runner.cleanup()
        why = getattr(exc, "strerror", None) or exc
        raise CouldNot(
            f"cannot listen on {host}:{port} ({why}); end what listens there, or choose another with --listen"
        ) from exc
    return runner


async def _metrics(controller: Controller, request: web.Request) -> web.StreamResponse:
    return await metrics_response(request, controller.pages)


async def _finish(controller: Controller, runner: web.AppRunner, watching: asyncio.Task[None]) -> None:
    """Write what is new, close what is open: within STOPPING seconds."""
    log.info("stopping: writing what is new")
    try:
        async with asyncio.timeout(STOPPING):
            with contextlib.suppress(StoreError):
                await controller.history.flush(controller.store, controller.clock.time())
            await runner.cleanup()
            await watching
    except TimeoutError:
        log.warning("stopped without waiting any longer", seconds=STOPPING)
        watching.cancel()
