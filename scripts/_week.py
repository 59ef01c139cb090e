"""Days of the demonstration's world, lived by the real controller and the real exporter on a clock that is moved by hand.

    nodes      exporters/simulator/demo.py with a day's rhythm of a day, changed by orcha and broken by a fixed script
    orcha      controller.serve.Controller, policy `compute` in mode Auto on rack-1, `storage` in mode Approve on rack-2;
               its drivers move the simulated nodes as their owners' commands would, without a process for each
    a person   approves most of what waits, 40 minutes after it was proposed, rejects now and then, and is away at the end

What goes out: at every step the whole page that /metrics serves. Between two steps the clock runs on by the time that the
work really took, so that durations are real ones; everything else is the same for the same seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from prometheus_client import disable_created_metrics, enable_created_metrics

from controller.leader import Sole
from controller.manifests import load
from controller.observe.embedded import Embedded
from controller.programs import ProgramState
from controller.refusals import NotPossible
from controller.serve import Controller, Options
from controller.store import Store
from exporters.__main__ import Exporter
from exporters.collector import discover
from exporters.manifests import load_nodes
from exporters.poller import open_client
from exporters.simulator.demo import Demo, addresses, demo
from exporters.simulator.inprocess import FastClock, InProcessSession
from exporters.simulator.world import World
from scripts._owner import PAUSED, REFUSED, RESTART, Hands, Script, write_manifests

DAY: Final = 86400.0
END: Final = datetime(2026, 5, 20, 12, tzinfo=UTC).timestamp()
"""When the days end, whenever they are lived: no month begins in them, and each run sees the same."""
FINE: Final = 6 * 3600.0
"""Seconds up to the end in which the steps are small: there alerts look."""
_DRIFT: Final = 20.0
"""Seconds that the clock may run on between two steps, however slow this machine is."""
_PATIENCE: Final = 2400.0
"""Seconds after which the person looks at what waits."""
_TURNS: Final = 10
"""Turns of the event loop that everybody else is given."""

_SMALL_STEPS: Final = 8
"""Looks of a program that are made when they are due; later ones, in one step, come as late as this machine would like."""


class Told(Protocol):
    """Who wants the pages."""

    def add(self, at: float, job: str, instance: str, text: bytes) -> None:
        """The page of one target, in OpenMetrics."""
        ...

    def absent(self, at: float, job: str, instance: str) -> None:
        """A target that does not answer."""
        ...


JOBS: Final = {"orcha": "orcha:9872", "orcha-exporter": "garage:9871"}
"""job -> instance."""


class LivedClock(FastClock):
    """Moved by hand, and in between it runs on as long as things really take."""

    def __init__(self, now: float) -> None:
        super().__init__(now, auto=False)
        self._moved = time.perf_counter()

    def time(self) -> float:
        return super().time() + min(time.perf_counter() - self._moved, _DRIFT)

    def monotonic(self) -> float:
        return self.time() - self._began

    def advance(self, to: float) -> None:
        super().advance(to)
        self._moved = time.perf_counter()


# --- orcha and the exporter ---------------------------------------------------------------------------------------


class Lived(Controller):
    """The controller of `orcha run`, all but its drivers."""

    hands: Hands

    def _equipment(self) -> Any:
        return self.hands


@dataclass
class Scene:
    """All that lives: one world, one clock, a controller (another one after its restart), an exporter."""

    world: World
    clock: LivedClock
    script: Script
    controller: Lived
    exporter: Exporter
    folder: Path

    async def begin(self) -> None:
        """A first look at every workload, before anybody asks for a page."""
        for _ in range(100):
            await self.controller.source.observe()
            await self.exporter.poller.collect_due()
            await _others()
            if self.controller.source.complete and self.exporter.poller.tried_all:
                return

    async def step(self, now: float, until: float) -> None:
        """Up to the next: what happens, what the person does, one turn of the loop, and what is on its way goes on."""
        self.clock.advance(now)
        await _others()
        self.script.faults(self.world, now)
        await self._manifests(now)
        await self._person(now)
        await self.controller.loop.turn()
        await self.exporter.poller.collect_due()
        await _others()
        await self._work(until)

    async def _work(self, until: float) -> None:
        """Let programs that are on their way go on until the next turn."""
        small = _SMALL_STEPS
        while self.controller.desk.busy:
            await _others()
            await asyncio.sleep(0.0005)  # a thread writes the journal
            wakes = self.clock.next_wake + (0.0 if small > 0 else 20.0)
            if not self.controller.desk.busy or wakes >= until:
                return
            small -= 1
            self.clock.advance(wakes)

    async def _manifests(self, now: float) -> None:
        """Half an hour with a manifest that is refused."""
        bad = self.folder / "manifests" / "bad.yaml"
        if self.script.once("refused", REFUSED, now):
            bad.write_text("kind: Nothing\n")
            await self.controller.reload()
        if self.script.once("accepted", REFUSED, now, after=1800.0):
            bad.unlink()
            await self.controller.reload()

    async def _person(self, now: float) -> None:
        operations = self.controller.operations
        if self.script.once("paused", PAUSED, now):
            await operations.pause("compute", "anna", "the market is being moved")
        if self.script.once("resumed", PAUSED, now, after=3600.0):
            await operations.resume("compute", "anna")
        if now > self.script.at(1.0) - 20 * 3600.0:
            return  # what is proposed in the last hours waits
        for program in self.controller.desk.programs():
            if program.state is not ProgramState.PENDING or now - program.at < _PATIENCE:
                continue
            self.script.asked += 1
            with contextlib.suppress(NotPossible):
                await (operations.reject if self.script.asked % 5 == 3 else operations.approve)(program.id, "anna")

    def pages(self) -> Iterator[tuple[str, str, bytes]]:
        """(job, instance, page) of both programs, as a scrape gets them now."""
        yield "orcha", JOBS["orcha"], b"".join(self.controller.pages(openmetrics=True))
        yield "orcha-exporter", JOBS["orcha-exporter"], b"".join(self.exporter.pages(openmetrics=True))


async def _others() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


# --- living -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What outlives a restart of the controller."""

    made: Demo
    clock: LivedClock
    session: InProcessSession
    script: Script
    folder: Path


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[Lived]:
    """A controller over the state that is on the disk, as `orcha run` starts it."""
    collectors, paths = discover(), (parts.folder / "manifests",)
    found = load(paths, collectors)
    if found.problems:
        raise SystemExit("\n".join(map(str, found.problems)))
    store = await Store.open(f"sqlite:///{parts.folder}/orcha.db")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        client = await stack.enter_async_context(open_client())
        source = Embedded(found.nodes, collectors, parts.session, parts.clock, found.settings.spec.prices)
        stack.push_async_callback(source.close)
        Lived.hands = Hands(parts.made.world, parts.clock, parts.script)
        controller = Lived(found, Options(paths), collectors, source, store, client, Sole(), parts.clock)
        await controller.history.restore(store, parts.clock.time())
        stack.push_async_callback(controller.desk.close)
        await source.first_prices()
        source.start()
        yield controller
        await controller.history.flush(store, parts.clock.time())


@dataclass(frozen=True)
class Steps:
    """When the loop has its turns, and pages are taken: every `coarse` seconds, and every `fine` ones in the last hours."""

    start: float
    end: float
    coarse: float = 300.0
    fine: float = 60.0

    def after(self, now: float) -> float:
        return now + (self.coarse if now < self.end - FINE else self.fine)


async def live(
    steps: Steps,
    told: Told,
    *,
    seed: int = 1,
    after: float = 0.0,
    progress: Callable[[float], None] = lambda _now: None,
) -> None:
    """Live from `steps.start` to its end and `after` seconds beyond; `told` of what /metrics serves at each step."""
    # When a counter began would be a time of this machine's clock.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client gives it no types
    gc.freeze()
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="orcha-week-", dir=_memory()) as name:
        made, clock = demo(seed, origin=steps.start, day=DAY), LivedClock(steps.start)
        session = InProcessSession(made.world, clock, {base: site for site, base in addresses(made).items()})
        parts = Parts(made, clock, session, Script(steps.start, steps.end - steps.start), Path(name))
        exporter = _exporter(parts, write_manifests(made, parts.folder)[1])
        prices = asyncio.create_task(exporter.keep_prices())
        leg = Leg(parts, exporter, steps, told, progress)
        try:
            now = await leg.go(steps.start, parts.script.at(RESTART))
            for _ in range(2):  # without a controller
                told.absent(now, "orcha", JOBS["orcha"])
                now = steps.after(now)
            await leg.go(now, steps.end + after)
        finally:
            prices.cancel()
            await asyncio.wait([prices])
            await exporter.poller.close()
            gc.enable()
            gc.unfreeze()
            enable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client gives it no types


def _memory() -> str | None:
    """A folder in memory, where there is one: the journal is written durably some thousand times."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 a folder of our own is made in it


def _exporter(parts: Parts, path: Path) -> Exporter:
    nodes, settings, problems, _ = load_nodes([path], discover())
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    return Exporter(nodes, settings, discover(), parts.session, parts.clock)


@dataclass(frozen=True)
class Leg:
    """A part of the way, with one controller."""

    parts: Parts
    exporter: Exporter
    steps: Steps
    told: Told
    progress: Callable[[float], None]

    async def go(self, now: float, last: float) -> float:
        """From `now` to `last`; gives the time of the step after."""
        parts = self.parts
        parts.clock.advance(now)
        async with running(parts) as controller:
            scene = Scene(parts.made.world, parts.clock, parts.script, controller, self.exporter, parts.folder)
            count = 0
            await scene.begin()
            while now <= last:
                then = self.steps.after(now)
                await scene.step(now, then - 1.0)
                for job, instance, text in scene.pages():
                    self.told.add(now, job, instance, text)
                self.progress(now)
                now, count = then, count + 1
                if count % 500 == 0:
                    gc.collect()
        return now
