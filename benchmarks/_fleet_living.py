"""Nine agents in a process of their own, on sierpinski9 with a real state: what bench_fleet.py asks for, as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import structlog

from controller.api.app import application
from controller.fleet.agent import Agent
from controller.fleet.hosting import Hosted
from controller.fleet.manifest import FleetSpec
from controller.fleet.shown import FleetFace
from controller.fleet.stored import Stored
from controller.fleet.terms import grow
from controller.fleet.timeline import Timeline
from controller.fleet.transport.memory import Switchboard
from controller.listening import listening
from controller.manifests import Manifests
from controller.report.fleet import FleetMetrics
from controller.store import Store
from exporters.clock import SystemClock

SPEC = FleetSpec.model_validate({"sites": [f"site-{i}" for i in range(9)]})
PATIENCE = 60.0
PATHS = ("/api/v1/fleet", "/api/v1/fleet/agents/site-4/state?limit=100", "/api/v1/fleet/timeline", "/metrics")


def megabytes() -> float:
    """What the process takes now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def comes(wanted: Callable[[], bool]) -> float:
    """The seconds that it took."""
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        while not wanted():  # noqa: ASYNC110 agents tell nobody what they know
            await asyncio.sleep(0.001)  # what is timed is a hundred times longer
    return time.perf_counter() - began


class Living:
    """Nine agents at work, over a switchboard, with one store."""

    def __init__(self, store: Store) -> None:
        self.store, self.board, self.timeline = store, Switchboard(), Timeline()
        self.agents: list[Agent] = []
        self.opened: list[float] = []

    async def start(self, stack: AsyncExitStack) -> None:
        for name in SPEC.agents:
            began = time.perf_counter()
            way = self.board.port()
            agent = Agent.opened(name, SPEC, Stored(self.store, name), way, SystemClock(), self.timeline)
            self.agents.append(await stack.enter_async_context(agent))
            self.opened.append((time.perf_counter() - began) * 1000)
        running = [asyncio.create_task(agent.run()) for agent in self.agents]

        async def end() -> None:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

        stack.push_async_callback(end)

    def alike(self) -> bool:
        return len({agent.peer.replica.digest for agent in self.agents}) == 1

    async def write(self, each: int, first: int = 0) -> None:
        """So many terms by each agent, in one write."""
        for agent in self.agents:
            name = agent.peer.name
            terms = [grow(f"{name}/golem-{i}", "cpu", 1, 2) for i in range(first, first + each)]

            def change(replica, _, writer, terms=terms) -> None:
                for term in terms:
                    replica.add(term, writer, 1)

            await agent.write(change)

    async def round(self, number: int) -> float:
        """Milliseconds from the call for a sync round to the moment at which all know what each wrote while nobody heard it."""
        self.board.partition([{name} for name in SPEC.agents])
        await self.write(10, 1_000_000 + 10 * number)
        await asyncio.sleep(0.05)  # what was said while the links were cut is lost by then
        self.board.heal()
        began = time.perf_counter()
        await asyncio.gather(*(agent.sync() for agent in self.agents))
        await comes(self.alike)
        return (time.perf_counter() - began) * 1000

    async def flood(self, rounds: int) -> float:
        """Messages a second that arrive while every agent writes."""
        before, began = self.timeline.total, time.perf_counter()
        for number in range(rounds):
            await self.write(1, 2_000_000 + number)
        await comes(self.alike)
        return (self.timeline.total - before) / (time.perf_counter() - began)


async def asked(living: Living, rounds: int) -> dict[str, list[float]]:
    """Path -> milliseconds of each answer."""
    face = FleetFace("bench", SPEC, living.agents)
    hosted = Hosted(face, FleetMetrics(face, SystemClock()), tuple(living.agents), "")
    runner = await listening(application(hosted.faces(Manifests(), SystemClock()), "127.0.0.1"), "127.0.0.1", 0)
    port, found = runner.addresses[0][1], {}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in PATHS:
                taken = []
                for _ in range(rounds):
                    began = time.perf_counter()
                    async with client.get(path) as answer:
                        answer.raise_for_status()
                        await answer.read()
                    taken.append((time.perf_counter() - began) * 1000)
                found[path.partition("?")[0]] = taken
    finally:
        await runner.cleanup()
    return found


async def main(terms: int, rounds: int) -> None:
    with TemporaryDirectory() as folder:
        figures: dict[str, object] = {"libraries_mb": megabytes()}
        store = await Store.open(f"sqlite:///{folder}/orcha.db")
        try:
            async with AsyncExitStack() as stack:
                living = Living(store)
                await living.start(stack)
                figures["first_start_ms"] = living.opened
                await living.write(terms // len(SPEC.agents))
                figures["spread_s"] = await comes(living.alike)
                figures["sync_ms"] = [await living.round(number) for number in range(rounds)]
                figures["messages_per_s"] = await living.flood(5 * rounds)
                figures["asked_ms"] = await asked(living, 10 * rounds)
                figures["terms"] = len(living.agents[0].peer.replica.terms)
                figures["whole_mb"] = megabytes()
                await comes(lambda: all(agent.stored for agent in living.agents))
            async with AsyncExitStack() as stack:
                living = Living(store)
                await living.start(stack)
                figures["start_ms"] = living.opened
        finally:
            await store.close()
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
