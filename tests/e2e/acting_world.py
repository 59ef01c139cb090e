"""`python -m tests.e2e.acting_world DIR ORIGIN IDLE_FROM`: two simulated nodes on which orcha has something to do at once.

    rack-1   12 cores: Golem has 8, which nobody wants since IDLE_FROM, a compute market has 4 and is always full
    rack-2   12 cores: one compute market has 8 and needs hardly one, another has 4 and is always full

Steady demand, so that what orcha wants is the same in every run, and work that drains within seconds. Prints one JSON line
per address, like the simulator itself; DIR/nodes/rack-1/golem/hardware.json is Golem's own file.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.simulator.cluster import Cluster
from exporters.simulator.compute import Compute
from exporters.simulator.files import Files
from exporters.simulator.golem import Yagna
from exporters.simulator.prices import Market
from exporters.simulator.provider import Hardware, Provider
from exporters.simulator.server import Server
from exporters.simulator.world import World

SEED = 1
KEY, PASSWORD = "the-yagna-app-key", "the-market-password"
DRAIN = 1.5
"""Seconds for which leases keep cores that their market was told to take away."""
MARKETS = {"rack-1/akash": (9.7, 4.0), "rack-2/spare": (0.8, 8.0), "rack-2/crowded": (9.7, 4.0)}
"""Cores wanted, and cores that it has at first."""


@dataclass(frozen=True)
class Steady:
    """The same demand at any time before `until`, and none after it."""

    cores: float
    until: float = np.inf
    seed: int = SEED

    def at(self, times):
        return np.where(np.asarray(times) < self.until, self.cores, 0.0)


class Brief(Cluster):
    """A compute market of brief leases."""

    drained_at = 0.0

    def set_cap(self, cores, at):
        super().set_cap(cores, at)
        self.drained_at = at + DRAIN

    def advance(self, to):
        super().advance(to)
        if to >= self.drained_at:
            self._over = 0.0


def world(origin: float, idle_from: float) -> World:
    """As it is at `origin`; the same arguments, the same world."""
    made = World(SEED, origin, Market(SEED))
    golem = Provider(Steady(1.6, idle_from), Hardware(8, 12.0, 80.0), origin, median_agreement=60.0)
    made.models["rack-1/golem"] = golem
    made.add_site("rack-1-golem", Yagna(golem, KEY))
    for key, (demand, cores) in MARKETS.items():
        made.models[key] = Brief(Steady(demand), cores, origin, token="AKT", price=0.0044)
        made.add_site(key.replace("/", "-"), Compute(made.models[key], PASSWORD))
    return made


async def serve(directory: Path, origin: float, idle_from: float) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    made = world(origin, idle_from)
    files = Files(directory / "nodes", made)
    files.write_all()
    server = Server(made, files=files)
    try:
        await server.start()
        places = {name: server.address(name) for name in made.sites} | {"control": server.control}
        sys.stdout.writelines(json.dumps({"site": name, "address": at}) + "\n" for name, at in places.items())
        sys.stdout.flush()
        await stop.wait()
    finally:
        await server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
