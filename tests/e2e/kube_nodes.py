"""A world in which a Golem provider has cores (and the memory with them) that it seldom uses, and a storagenode is full.

    rack-1   golem 8 threads with 1.5 GiB each; storj 5 TiB, nearly full, with 128 MiB of memory for each 128 GiB;
             akash 4 cores, wanted by many. 17 GiB of memory and 12 cores in all: one grows when another shrinks

`python -m tests.e2e.kube_nodes --origin T --folder DIR` serves it, as exporters/simulator does, and prints its addresses.
`remember` lives its past through the real collectors, in seconds: what a controller knows that ran since then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.history import History
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.manifests import load_nodes
from exporters.simulator.cluster import Cluster
from exporters.simulator.compute import Compute
from exporters.simulator.demand import Bursts, Demand, Noise, Rhythm
from exporters.simulator.demo import GIB, TIB
from exporters.simulator.disk import Disk
from exporters.simulator.files import Files
from exporters.simulator.golem import Yagna
from exporters.simulator.history import history
from exporters.simulator.prices import Market
from exporters.simulator.provider import Hardware, Provider
from exporters.simulator.response import Request, Response, Site
from exporters.simulator.server import Server
from exporters.simulator.storj import Storagenode
from exporters.simulator.world import World

PAST = 26 * 3600.0
"""Seconds that are lived before a test begins: a storagenode counts twice a day what it has stored."""
EVERY = {"golem": 120.0, "mapped": 180.0, "storj": 900.0}
"""Seconds between two looks in the past, by protocol: so often that nothing counts as unseen in between."""
SEED = 1
MEMORY = 17 * GIB
MEMORY_PER_BYTE_STORED = 128 * 2.0**20 / (128 * GIB)
KEYS = {"golem": "yagna-app-key", "akash": "akash-password"}
"""Workload -> the name of its secret."""
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Process:
    """A site that ends its connections with its process."""

    site: Site

    def listening(self, now: float) -> bool:
        return self.site.listening(now)

    def answer(self, request: Request, now: float) -> Response:
        return self.site.answer(request, now) if self.listening(now) else Response(cut=True)


def made(origin: float) -> World:
    """The world as it is at `origin`, before its past was lived."""
    world = World(SEED, origin, Market(SEED), day=1800.0)
    seldom = Demand(1.2, SEED + 1, world.day, Rhythm(0.3, 0.2), Bursts(1.0, 0.05, 0.3), None, Noise(0.05, 0.1))
    provider = Provider(seldom, Hardware(8, 12.0, 80.0), origin, median_agreement=600.0)
    eager = Demand(7.5, SEED + 2, world.day, Rhythm(0.2, 0.7), None, None, Noise(0.05, 0.1))
    cluster = Cluster(eager, 4.0, origin, token="AKT", price=0.0044)
    arriving = Demand(20 * _GIGABYTE, SEED + 3, world.day, Rhythm(0.3, 0.6), None, None, Noise(0.1, 0.2))
    stored = (5 * TIB - (45 + 20 * PAST / 3600) * _GIGABYTE) / 1.007
    disk = Disk(arriving, stored, 5 * TIB, origin, disk_size=16e12, restart_seconds=(0.3, 0.0))
    world.models |= {"rack-1/golem": provider, "rack-1/akash": cluster, "rack-1/storj": disk}
    world.add_site("golem", Process(Yagna(provider, KEYS["golem"])))
    world.add_site("akash", Process(Compute(cluster, KEYS["akash"])))
    world.add_site("storj", Process(Storagenode(disk, version="1.162.3")))
    return world


def workloads(where: Mapping[str, str], secrets: Path, **more: str) -> dict[str, dict[str, Any]]:
    """The workloads as a manifest declares them, without actuators. `where`: site -> base URL; `more`: of each of them."""
    found = {
        "golem": {
            "protocol": "golem",
            "credentials": {"appKeyFile": str(secrets / KEYS["golem"])},
            "allocation": {"resource": "cpu", "min": "2", "max": "10", "step": "1", "with": {"memory": "1536Mi"}},
        },
        "storj": {
            "protocol": "storj",
            "allocation": {
                "resource": "storage", "min": "1Ti", "max": "8Ti", "step": "128Gi",
                "with": {"memory": "128Mi"}, "reserve": ["memory"],
            },
        },
        "akash": {
            "protocol": "mapped",
            "mapping": mapping(secrets),
            "allocation": {"resource": "cpu", "min": "1", "max": "8", "step": "1"},
        },
    }  # fmt: skip
    return {name: spec | {"endpoint": where[name]} | more for name, spec in found.items()}


def mapping(secrets: Path) -> dict[str, Any]:
    """How the compute market is read."""
    body = {"username": "provider", "passwordFile": str(secrets / KEYS["akash"])}
    login = {"url": "{endpoint}/v1/auth/login", "method": "POST", "body": body, "take": {"token": "$.token"}}
    status = {"url": "{endpoint}/v1/status", "headers": {"Authorization": "Bearer {token}"}, "format": "json"}
    cores = "$.cluster.inventory"
    money = {"request": "status", "scale": 1e-6, "token": "AKT"}
    return {
        "traits": {"curve": "demand", "resource": "cpu", "verifyTimeout": "10s"},
        "requests": {"login": login, "status": status},
        "figures": {
            "allocated": {"request": "status", "path": f"{cores}.allocatable.cpu", "scale": 0.001},
            "used": {"request": "status", "path": f"{cores}.active.cpu", "scale": 0.001},
            "lifetime_native": money | {"path": "$.earnings.lifetime", "counter": True},
            "price": money | {"path": "$.pricing.cpu_hour", "per": "1h"},
            "healthy": {"request": "status", "path": "$.status", "equals": "ok"},
        },
    }


def node(found: Mapping[str, Any]) -> dict[str, Any]:
    """The Node manifest with these workloads."""
    capacity = {"cpu": "12", "memory": "17Gi", "storage": "16Ti"}
    spec = {"capacity": capacity, "workloads": dict(found)}
    metadata = {"name": "rack-1", "labels": {"site": "attic"}}
    return {"apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": metadata, "spec": spec}


def write_secrets(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in KEYS.values():
        (folder / name).write_text(f"{name}\n")
        (folder / name).chmod(0o600)
    return folder


async def remember(origin: float, now: float, folder: Path, *states: str) -> None:
    """Live the world from `origin` to `now` through the real collectors, and keep what they read in each of the states."""
    collectors, world = discover(), made(origin)
    where = {site: f"http://{site}.sim" for site in world.sites}
    manifest = folder / "rack-1.yaml"
    manifest.write_text(yaml.safe_dump(node(workloads(where, write_secrets(folder / "secrets")))))
    nodes, _, problems, _ = load_nodes([manifest], collectors)
    assert not problems
    found = workloads_of(nodes, collectors)
    past = History([Kept.of(each) for each in found])
    async for reading in history(world, found, collectors, origin, now, addresses=where, every=EVERY):
        past.add(reading)
    for state in states:
        store = await Store.open(state)
        await past.flush(store, now)
        await store.close()


async def serve(origin: float, folder: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    world = made(origin)
    files = Files(folder, world)
    files.write_all()
    server = Server(world, files=files)
    try:
        await server.start()
        where = {site: server.address(site) for site in world.sites} | {"control": server.control}
        print(json.dumps(where), flush=True)  # noqa: T201 this is what it is for
        await stop.wait()
    finally:
        await server.close()


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--origin", type=float, required=True)
    options.add_argument("--folder", type=Path, required=True)
    chosen = options.parse_args()
    asyncio.run(serve(chosen.origin, chosen.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
