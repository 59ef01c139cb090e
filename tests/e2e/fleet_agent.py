"""Agents of a fleet in a process of their own, over NATS: told on stdin what to write, they answer on stdout. For tests.

    python tests/e2e/fleet_agent.py SPEC.json NAME=SERVER[,SERVER...] ...

Lines in: {"write": TERM, "agent": NAME} and {"ask": true}. Lines out: {"wrote": TERM} once it is durable, and what each agent
knows.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec, Nats
from controller.fleet.terms import grow
from controller.fleet.transport.nats import OverNats
from exporters.clock import SystemClock


def known(agent: Agent) -> dict:
    """What one agent knows."""
    peer, now = agent.peer, SystemClock().time()
    return {
        "digest": peer.replica.digest,
        "terms": sorted(str(item.value[1][0]).removesuffix("/golem") for item in peer.replica.terms.values()),
        "alive": sorted(peer.alive(now)),
        "connected": agent.transport.connected,
    }


async def answer(agents: dict[str, Agent], line: dict) -> dict:
    if "write" in line:
        agent = agents[line["agent"]]
        term = grow(f"{line['write']}/golem", "cpu", 1, 2)
        await agent.write(lambda replica, _, writer: replica.add(term, writer, 1))
        return {"wrote": line["write"]}
    return {name: known(agent) for name, agent in agents.items()}


async def main(spec: FleetSpec, places: list[str]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        agents, tasks = {}, []
        for place in places:
            name, _, servers = place.partition("=")
            transport = OverNats(Nats(servers=servers.split(",")))
            agents[name] = await stack.enter_async_context(
                Agent.opened(name, spec, InMemory(), transport, SystemClock())
            )
            tasks.append(asyncio.create_task(agents[name].run()))
        try:
            while line := await reader.readline():
                sys.stdout.write(json.dumps(await answer(agents, json.loads(line))) + "\n")
                sys.stdout.flush()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    # what is logged goes beside what is answered
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(FleetSpec.model_validate_json(Path(sys.argv[1]).read_text()), sys.argv[2:]))
