"""The fleet over a real NATS server on this machine: nine agents in one process on sierpinski9. Messages a second, how long they
take, a sync round, how soon all agree again after a partition, and the memory of the process.

Needs the tool "nats" (make tools).
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import structlog

from benchmarks._report import Report, arguments, finish
from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec, Nats
from controller.fleet.terms import grow
from controller.fleet.timeline import Timeline, latency_of
from controller.fleet.transport import Unreachable
from controller.fleet.transport.nats import OverNats
from controller.fleet.wire import Kind, Message
from exporters.clock import SystemClock
from tests.controller.fleet.nats_servers import serving

NAMES = [f"site-{i}" for i in range(9)]
PER_SECOND, PER_AGENT = 1000.0, 100.0
SYNC_MS, MEMORY_MB = 500.0, 200.0
CLOCK = SystemClock()


class Cuttable(OverNats):
    """Links can be cut between agents: what goes over one is lost, both ways."""

    cut: frozenset[frozenset[str]] = frozenset()

    async def send(self, message: Message, body: bytes) -> None:
        if frozenset((message.via, message.to)) in Cuttable.cut:
            raise Unreachable("the link is cut")
        await super().send(message, body)


async def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.002)


def one(agents):
    """Whether all know the same."""
    return len({agent.peer.replica.digest for agent in agents}) == 1


async def traffic(report: Report, agents: list[Agent], timeline: Timeline, seconds: float) -> None:
    """Every agent tells its neighbours what it knows, over and over: as much as goes."""
    before, began, busy = timeline.total, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - began) < seconds:
        goal = timeline.total + 16 * sum(len(agent.peer.neighbours) for agent in agents)
        for _ in range(16):
            for agent in agents:
                await agent.sync()
        await until(lambda goal=goal: timeline.total >= goal)
    found = timeline.total - before
    whole, each, processor = found / took, found / took / len(agents), (time.process_time() - busy) / took
    detail = f"{whole:.0f} received in all, with {processor:.0%} of a core"
    report.add("messages a second, over the aim", whole / PER_SECOND, 1.0, at_least=True, detail=detail)
    report.add("an agent's, over the aim", each / PER_AGENT, 1.0, at_least=True, detail=f"{each:.0f} received by each")
    report.figures["messages_per_second"], report.figures["cores"] = whole, processor


async def latency(report: Report, agents: list[Agent], timeline: Timeline, writes: int) -> None:
    """Of states, one write at a time, in a fleet that has nothing else to do."""
    found = []
    for number in range(writes):
        author = agents[number % len(agents)]
        term = grow(f"{author.peer.name}/latency-{number}", "cpu", 1, 2)
        await author.write(lambda replica, _, writer, term=term: replica.add(term, writer, 1))
        await until(lambda: one(agents))
        found += [each for each in timeline.newest(200, kind=Kind.STATE.value) if each.id not in {e.id for e in found}]
    seen = latency_of(each.microseconds for each in found)
    for name, value in (("p50", seen.p50), ("p95", seen.p95), ("p99", seen.p99)):
        report.add(f"latency of a state, {name} in ms", (value or 0.0) / 1000, detail=f"of {seen.count}")
    report.figures["latency_us"] = {"p50": seen.p50, "p95": seen.p95, "p99": seen.p99, "count": seen.count}


async def rounds(report: Report, agents: list[Agent], timeline: Timeline, times: int) -> None:
    """All agents tell all neighbours what they know, and all of it arrives."""
    taken = []
    edges = sum(len(agent.peer.neighbours) for agent in agents)
    for _ in range(times):
        goal, began = timeline.total + edges, time.perf_counter()
        for agent in agents:
            await agent.sync()
        await until(lambda goal=goal: timeline.total >= goal)
        taken.append((time.perf_counter() - began) * 1000)
    middle = statistics.median(taken)
    report.add("a sync round, over the aim", middle / SYNC_MS, 1.0, detail=f"{middle:.0f} ms, {max(taken):.0f} at most")
    report.figures["sync_round_ms"] = taken


async def partition(report: Report, agents: list[Agent]) -> None:
    """Both sides write; then the links are mended, and rounds are counted until all know the same."""
    west = set(NAMES[:4])
    graph = agents[0].peer.topology
    edges = [frozenset((NAMES[a], NAMES[b])) for a, b in graph.edges]
    Cuttable.cut = frozenset(edge for edge in edges if len(edge & west) == 1)
    for agent in agents:
        for number in range(20):
            term = grow(f"{agent.peer.name}/apart-{number}", "cpu", 1, 2)
            await agent.write(lambda replica, _, writer, term=term: replica.add(term, writer, 1))
    await until(lambda: len({agent.peer.replica.digest for agent in agents}) == 2)
    Cuttable.cut = frozenset()
    done, began = 0, time.perf_counter()
    while not one(agents):
        done += 1
        for agent in agents:
            await agent.sync()
        with contextlib.suppress(TimeoutError):
            await until(lambda: one(agents), SYNC_MS / 1000)
    took = (time.perf_counter() - began) * 1000
    aim = 2 * graph.diameter
    report.add(
        "rounds until all agree again, over two diameters", done / aim, 1.0, detail=f"{done} of {aim}, {took:.0f} ms"
    )
    report.figures["healed"] = {"rounds": done, "milliseconds": took}


def memory(report: Report) -> None:
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.add("memory of the nine, over the aim", found / MEMORY_MB, 1.0, detail=f"{found:.0f} MB at the most")
    report.figures["megabytes"] = found


async def measure(report: Report, folder: Path, *, quick: bool) -> None:
    timeline = Timeline()
    with serving(folder) as server:
        spec = FleetSpec(sites=NAMES, nats=Nats(servers=[server.url]), heartbeat="5s", timeout="10s", sync="60s")
        async with AsyncExitStack() as stack:
            agents = [
                await stack.enter_async_context(
                    Agent.opened(name, spec, InMemory(), Cuttable(spec.nats), CLOCK, timeline)
                )
                for name in NAMES
            ]
            tasks = [asyncio.create_task(agent.run()) for agent in agents]
            try:
                await until(lambda: all(agent.transport.keeps for agent in agents))
                for agent in agents:
                    await agent.sync()
                await until(lambda: one(agents))
                await rounds(report, agents, timeline, 5 if quick else 30)
                await latency(report, agents, timeline, 20 if quick else 200)
                await partition(report, agents)
                await traffic(report, agents, timeline, 2.0 if quick else 10.0)
                memory(report)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    report = Report("fleet over NATS")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Path(folder) / "nats", quick=options.quick))
    finish(report, options)


if __name__ == "__main__":
    main()
