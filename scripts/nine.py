#!/usr/bin/env python3
"""A fleet of nine agents in one process for pictures and tests: seven pretended sites that share limits, two relays, one partition.

    python scripts/nine.py              serves its metrics, prints one line of JSON with the address, until SIGTERM
    python scripts/nine.py --serve      the same below a Prometheus, whose address it prints

Everything is real but the sites' workloads: agents, messages, rights that are handed over, what metrics say of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controller.fleet import escrow
from controller.fleet.agent import Agent
from controller.fleet.clocks import Stamp
from controller.fleet.crdt import Replica
from controller.fleet.disk import InMemory
from controller.fleet.escrow import Holding
from controller.fleet.limits import limits_of
from controller.fleet.manifest import FleetSpec
from controller.fleet.proposals import Proposal, tell
from controller.fleet.shown import FleetFace
from controller.fleet.terms import grow, shrink
from controller.fleet.transport.memory import Switchboard
from controller.report.fleet import FleetMetrics
from exporters.clock import SystemClock
from exporters.server import metrics_response
from scripts import _blocks as blocks

NAMES: Final = ("attic", "barn", "cellar", "garage", "home", "lab", "office", "shed", "studio")
SPEC: Final = FleetSpec.model_validate(
    {
        "sites": NAMES[:7],
        "relays": NAMES[7:],
        "heartbeat": "1s",
        "timeout": "3s",
        "sync": "1s",
        "irreversibleAtOnce": 1,
        "limits": [
            {"name": "golem-cores", "protocol": "golem", "resource": "cpu", "maxTotal": 28},
            {"name": "storj-disk", "protocol": "storj", "resource": "storage", "minTotal": "14Ti"},
        ],
    }
)
CORES, DISK, ONCE = "golem-cores most", "storj-disk least", "irreversible"
TURN: Final = 1.0
"""Seconds between two turns of the sites."""
SCRAPE: Final = 3
"""Seconds; also how long one may take, on a busy machine."""
PROPOSING: Final = 3
"""In this turn each site proposes something."""


class Nine:
    """`play` lets them live; nothing of it outlives `opened`."""

    def __init__(self, seed: int, cut: tuple[int, int]) -> None:
        """`cut`: the turns in which three of them are cut off from the others."""
        self.chance, self.cut, self.clock = random.Random(seed), cut, SystemClock()
        self.board = Switchboard(delay=lambda: self.chance.expovariate(1 / 0.02), chance=random.Random(seed))
        self.agents: dict[str, Agent] = {}
        self.held: dict[str, dict[str, int]] = {name: {CORES: 3000, DISK: 2 * 2**40, ONCE: 0} for name in SPEC.sites}
        self.wanted = {name: dict(held) for name, held in self.held.items()}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[FleetMetrics]:
        async with contextlib.AsyncExitStack() as stack:
            for name in SPEC.agents:
                opening = Agent.opened(name, SPEC, InMemory(), self.board.port(), self.clock)
                self.agents[name] = await stack.enter_async_context(opening)
            metrics = FleetMetrics(FleetFace("nine", SPEC, tuple(self.agents.values())), self.clock)
            for agent in self.agents.values():
                metrics.hear(agent)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(agent.run()) for agent in self.agents.values()]
                tasks.append(group.create_task(self.play()))
                try:
                    yield metrics
                finally:
                    for task in tasks:
                        task.cancel()

    async def play(self) -> None:
        await self.agents["home"].write(self._word)
        turn = 0
        while True:
            await self.clock.sleep(TURN)
            turn += 1
            if turn == self.cut[0]:
                self.board.partition([NAMES[:3], NAMES[3:]])
            elif turn == self.cut[1]:
                self.board.heal()
            for name in SPEC.sites:
                await self.agents[name].write(self._turn(name, proposing=turn == PROPOSING))

    def _word(self, replica: Replica, stamp: Callable[[], Stamp], writer: str) -> None:
        for limit in limits_of(SPEC):
            escrow.word(replica, limit, stamp(), writer)

    def _turn(self, me: str, *, proposing: bool) -> Callable[[Replica, Callable[[], Stamp], str], None]:
        """What a controller does in a turn of its loop, as far as the others see it."""
        held, wanted = self.held[me], self.wanted[me]
        if self.chance.random() < 0.1:
            wanted[CORES] = self.chance.randrange(1, 9) * 1000

        def change(replica: Replica, stamp: Callable[[], Stamp], writer: str) -> None:
            for limit in limits_of(SPEC):
                holding = Holding(held[limit.name], wanted[limit.name])
                escrow.say(replica, limit.name, me, holding, stamp(), writer)
                escrow.adopt(replica, limit.name, me, holding.held, stamp(), writer)
                for to, amount in escrow.gifts(replica, limit, me, holding).items():
                    escrow.give(replica, limit, me, to, amount, holding.held, writer)
            most = escrow.bounds(replica, CORES, me).most
            if most is not None and self.agents[me].peer.trusted:
                held[CORES] = min(wanted[CORES], most)
            if proposing:
                tell(replica, me, proposals(me), stamp, writer, 1)

        return change


def proposals(me: str) -> list[Proposal]:
    """One of its own; and one of a node that all of them have, which half of them want to grow and half to shrink."""
    own = Proposal(f"own-{me}", me, 1.0, me == "home", grow(f"{me}/golem", "cpu", 1.0, 2.0))
    amounts = (1.0, 2.0) if me < "garage" else (2.0, 1.0)
    both = grow if me < "garage" else shrink
    return [own, Proposal(f"both-{me}", me, 2.0, False, both("barn/storj", "storage", *amounts))]


# --- serving ----------------------------------------------------------------------------------------------------------


async def serve(seed: int, cut: tuple[int, int]) -> None:
    """Print where, and serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Nine(seed, cut).opened() as metrics:

        async def page(request: web.Request) -> web.StreamResponse:
            return await metrics_response(request, lambda openmetrics: metrics.render(openmetrics=openmetrics))

        application = web.Application()
        application.router.add_get("/metrics", page)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            print(json.dumps({"metrics": f"{host}:{port}"}), flush=True)
            await ended.wait()
        finally:
            await runner.cleanup()


def configuration(target: str) -> Mapping[str, Any]:
    """Of a Prometheus that scrapes it."""
    return {
        "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": "5s"},
        "rule_files": [str(path) for path in sorted((ROOT / "prometheus" / "rules").glob("*.yaml"))],
        "scrape_configs": [{"job_name": "orcha", "static_configs": [{"targets": [target]}]}],
    }


@contextlib.contextmanager
def watched(folder: Path, cut: tuple[int, int] = (8, 20)) -> Iterator[str]:
    """The address of a Prometheus that scrapes such a fleet, in a process of its own. Raises blocks.CannotFill."""
    argv = [sys.executable, str(ROOT / "scripts/nine.py"), "--cut", *map(str, cut)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise blocks.CannotFill("the fleet did not start; what it said stands above")
            with blocks.serving(folder / "tsdb", configuration(json.loads(line)["metrics"])) as address:
                yield address
        finally:
            process.terminate()


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--serve", action="store_true", help="start a Prometheus that scrapes it, until SIGTERM")
    asked.add_argument("--seed", type=int, default=3)
    asked.add_argument("--cut", type=int, nargs=2, default=(8, 20), metavar="TURN", help="from which turn to which")
    options = asked.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    getLogger("aiohttp.server").setLevel(CRITICAL)  # a scrape that was given up is none of its faults
    if not options.serve:
        asyncio.run(serve(options.seed, tuple(options.cut)))
        return 0
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder), tuple(options.cut)) as address:
        print(json.dumps({"prometheus": address}), flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


if __name__ == "__main__":
    sys.exit(main())
