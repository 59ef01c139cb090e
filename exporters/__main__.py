"""The `orcha-exporter` command: polls every workload of the manifests and serves /metrics. Wiring.

It needs no controller. The manifests are read again when they change; a bad edit keeps the last good ones and shows in
`orcha_manifest_reload_success`, on the landing page and in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import platform
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporters import __version__
from exporters.clock import Clock, SystemClock
from exporters.collector import Collector, Workload, discover, workloads_of
from exporters.compat import storj_exporter
from exporters.documents import CannotRead
from exporters.logs import configure
from exporters.manifests import load_nodes
from exporters.metrics import Exposition
from exporters.nodes import Node
from exporters.page import Row
from exporters.poller import Poller, open_client
from exporters.prices import PriceBook, PriceFeed
from exporters.reading import Reading
from exporters.room import allow_many
from exporters.server import END, Faces, application
from exporters.session import HttpSession, Session
from exporters.settings import Settings, read_listen
from exporters.watching import Print, changes, fingerprint

INVALID, COULD_NOT = 1, 2
"""Exit codes: the manifests are invalid; it could not start."""
READY_AFTER = 30.0
"""Seconds after which it is ready even if a node was not tried yet."""
PRICE_LOOK = 5.0
"""Seconds between looks at which prices are due; each source has its own, much longer, interval."""
CLOSING = 1.0
"""Seconds that open connections may take at the end; with the looks in flight (2 s) well under 5."""

_text: Callable[[CollectorRegistry], bytes] = generate_latest
_openmetrics: Callable[[CollectorRegistry], bytes] = generate_openmetrics
log = structlog.get_logger("orcha-exporter")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class LogFormat(StrEnum):
    auto = "auto"
    console = "console"
    json = "json"


class CouldNotError(Exception):
    """Why it cannot start; `str()` is the sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; it overrides Settings."""

    paths: tuple[Path, ...]
    listen: str | None = None
    compat_storj: bool = False
    log_format: LogFormat | None = None


class Own:
    """What the exporter says of itself."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["version", "revision", "python"]
        self._build = Gauge("orcha_build_info", "What is running.", labels, registry=self._registry)
        self._ok = Gauge(
            "orcha_manifest_reload_success", "1 the newest manifests are in force.", registry=self._registry
        )
        self._at = Gauge(
            "orcha_manifest_reload_timestamp_seconds", "When manifests were last put in force.", registry=self._registry
        )
        self._build.labels(__version__, os.environ.get("ORCHA_REVISION", "unknown"), platform.python_version()).set(1)

    def reloaded(self, at: float) -> None:
        self._ok.set(1)
        self._at.set(at)

    def refused(self) -> None:
        self._ok.set(0)

    def render(self, openmetrics: bool) -> bytes:
        """The lines, without the end mark."""
        return _openmetrics(self._registry).removesuffix(END) if openmetrics else _text(self._registry)


class Exporter:
    """Everything of one running exporter."""

    def __init__(
        self, nodes: Iterable[Node], settings: Settings, collectors: Mapping[str, Collector], session: Session,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._session, self._collectors, self._settings = session, collectors, settings
        self._nodes = tuple(nodes)
        self._clock: Clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._own = Own()
        self._own.reloaded(self._clock.time())
        self._problems: tuple[str, ...] = ()
        self._feed = PriceFeed(settings.spec.prices, self._clock)
        self._exposition = Exposition()
        self._workloads = self._by_key()
        self.poller = Poller(
            self._workloads.values(), collectors, session, self._clock, price=self._priced, exposition=self._exposition
        )

    def _feed_for(self, settings: Settings, known: PriceBook) -> PriceFeed:
        """A feed by these settings that starts with the prices that are known."""
        feed = PriceFeed(settings.spec.prices, self._clock)
        feed.book = dataclasses.replace(feed.book, live=known.live)
        return feed

    def _by_key(self) -> dict[str, Workload]:
        return {workload.key: workload for workload in workloads_of(self._nodes, self._collectors)}

    def _priced(self, reading: Reading) -> Reading:
        return self._feed.value(reading, self._workloads[reading.key])

    def faces(self, options: Options, token_file: str | None) -> Faces:
        """What the application shows."""
        return Faces(
            pages=self.pages,
            rows=self.rows,
            ready=self.is_ready,
            now=self._clock.time,
            notes=self.notes,
            storj_compat=self._storj_compat if options.compat_storj else None,
            token_file=Path(token_file) if token_file else None,
        )

    def pages(self, openmetrics: bool) -> Iterable[bytes]:
        """The whole of /metrics, without the end mark."""
        yield from self._exposition.render(openmetrics)
        yield self._own.render(openmetrics)

    def rows(self) -> list[Row]:
        newest, good = self.poller.newest, self.poller.last_good
        return [
            Row(key, workload.protocol, newest.get(key), good.get(key), workload.stale_after)
            for key, workload in self._workloads.items()
        ]

    def is_ready(self) -> bool:
        """Every workload was tried once, or 30 s passed."""
        return self.poller.tried_all or self._clock.monotonic() - self._began > READY_AFTER

    def notes(self) -> Sequence[str]:
        """What its owner should know, in sentences."""
        refused = ("The manifests were changed and refused; the last good ones hold.",) if self._problems else ()
        return (*refused, *self._problems, *self._feed.problems.values())

    def _storj_compat(self) -> bytes:
        now, good = self._clock.time(), self.poller.last_good
        fresh = (
            good[key]
            for key, workload in self._workloads.items()
            if key in good and now - good[key].at <= workload.stale_after
        )
        return storj_exporter(fresh).encode()

    async def keep_prices(self) -> None:
        """Fresh prices for ever; the figures served follow at once."""
        while True:
            before = self._feed.book
            await self._feed.refresh(self._session)
            self._exposition.prices(self._feed.book, self._clock.time())
            if self._feed.book is not before:
                await self.poller.reprice()
            await self._clock.sleep(PRICE_LOOK)

    async def watch(self, paths: Sequence[Path], known: Print) -> None:
        """Put changed manifests in force, for ever; `known`: what the files were when they were read."""
        async for _ in changes(paths, known, self._clock):
            try:
                await self.reload(paths)
            except Exception:
                log.exception("the manifests could not be reloaded; please report this as a bug")

    async def reload(self, paths: Sequence[Path]) -> None:
        """Read the manifests again. Those with problems change nothing, and are said."""
        try:
            nodes, settings, problems, _ = await asyncio.to_thread(load_nodes, paths, self._collectors)
            said = tuple(str(problem) for problem in problems)
        except CannotRead as exc:
            nodes, settings, said = (), self._settings, (str(exc),)
        if said:
            if said != self._problems:
                log.error("the manifests were refused; the last good ones hold", problems=list(said))
            self._problems = said
            self._own.refused()
            return
        self._problems = ()
        self._own.reloaded(self._clock.time())
        if (nodes, settings) == (self._nodes, self._settings):
            return
        if settings.spec.prices != self._settings.spec.prices:
            self._feed = self._feed_for(settings, self._feed.book)
        self._nodes, self._settings = nodes, settings
        self._workloads = self._by_key()
        self.poller.replace(self._workloads.values())
        log.info("new manifests are in force", nodes=len(nodes), workloads=len(self._workloads))


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT in its parts; no host means every address. Raises CouldNotError."""
    try:
        host, port = read_listen(text)
    except ValueError as exc:
        raise CouldNotError(str(exc)) from exc
    return host or "0.0.0.0", port  # noqa: S104 written by its owner as an empty host


@contextlib.asynccontextmanager
async def serving(faces: Faces, host: str, port: int) -> AsyncIterator[None]:
    """The application, for as long as the block lasts. Raises CouldNotError where nobody can listen there."""
    runner = web.AppRunner(application(faces, host), access_log=None, shutdown_timeout=CLOSING)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, reuse_address=True).start()
        except OSError as exc:
            why = "something else listens there" if "in use" in str(exc) else exc.strerror or str(exc)
            raise CouldNotError(
                f"cannot listen on {host}:{port} ({why}); choose another address with --listen"
            ) from exc
        yield
    finally:
        await runner.cleanup()


async def until_told(*jobs: Coroutine[Any, Any, None]) -> None:
    """Do these jobs until SIGTERM or SIGINT comes; one that fails ends all, with its error."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(job) for job in (stop.wait(), *jobs)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CLOSING)


async def run(options: Options) -> None:
    """Serve until told to stop. Raises CouldNotError, CannotRead, or ValueError with one line for each problem."""
    collectors, files = discover(), fingerprint(options.paths)
    nodes, settings, problems, warnings = load_nodes(options.paths, collectors)
    if problems:
        raise ValueError("\n".join(map(str, problems)))
    spec = settings.spec
    configure((options.log_format or LogFormat(spec.log_format)).value)
    host, port = listen_address(options.listen or spec.exporter_listen)
    for warning in warnings:
        log.warning(str(warning))
    async with open_client() as client:
        exporter = Exporter(nodes, settings, collectors, HttpSession(client))
        count = len(exporter.poller.workloads)
        if not count:
            names = ", ".join(map(str, options.paths))
            raise CouldNotError(f"there is nothing to poll in {names}: no Node declares a workload")
        tokens = spec.api.token_files
        async with serving(exporter.faces(options, tokens.read or tokens.operate), host, port):
            log.info("orcha-exporter listens", address=f"http://{host}:{port}/metrics", workloads=count)
            try:
                await until_told(exporter.poller.run(), exporter.keep_prices(), exporter.watch(options.paths, files))
            finally:
                await exporter.poller.close()
    log.info("stopped")


def fail(sentence: str, code: int = COULD_NOT) -> NoReturn:
    print(f"orcha-exporter: {sentence}", file=sys.stderr)  # noqa: T201 before there is a log, to a person
    raise typer.Exit(code)


@app.command()
def export(
    manifests: Annotated[
        list[Path],
        typer.Option("--manifests", "-m", help="File or directory of manifests; may be given several times."),
    ],
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; default Settings' exporterListen.")] = None,
    compat_storj: Annotated[
        bool, typer.Option("--compat-storj", help="Serve /compat/storj-exporter for existing dashboards.")
    ] = False,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Default: console on a terminal, json elsewhere.")
    ] = None,
) -> None:
    """Poll every workload of the manifests and serve its metrics."""
    allow_many()
    try:
        asyncio.run(run(Options(tuple(manifests), listen, compat_storj, log_format)))
    except (CouldNotError, CannotRead) as exc:
        fail(str(exc))
    except ValueError as exc:
        fail(str(exc), INVALID)


def main() -> None:
    """The entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
