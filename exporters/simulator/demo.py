"""The demonstration's world: two nodes on which a better split exists, and a third for the stand-alone exporter.

    rack-1   12 cores: Golem has 8 and seldom needs them, a compute market has 4 and is full most of the time;
             one storagenode, one Grass account
    rack-2   13 TiB: storj-1 is nearly full, storj-2 has much room; 500 000 DATA: 470 000 in a crowded sponsorship,
             30 000 in one where the next token earns more than twice as much
    garage   one storagenode of an older version, read by the stand-alone exporter

Magnitudes are those of the reference: some dollars a day in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from exporters.simulator.account import Account, devices_of
from exporters.simulator.chain import Chain, Operator, Sponsorship, Staked
from exporters.simulator.cluster import Cluster
from exporters.simulator.compute import Compute
from exporters.simulator.demand import Bursts, Demand, Noise, Pool, Regimes, Rhythm, wandering
from exporters.simulator.disk import Disk
from exporters.simulator.golem import Yagna
from exporters.simulator.grass import Grass
from exporters.simulator.prices import Market
from exporters.simulator.provider import Hardware, Provider, hex_id
from exporters.simulator.storj import Storagenode
from exporters.simulator.streamr import Node, Rpc
from exporters.simulator.world import World

TIB: Final = 2.0**40
GIB: Final = 2.0**30
HISTORY: Final = 48 * 3600.0
"""Seconds of the past that the demonstration shows."""
_ROOM_LEFT: Final = 45e9
"""Bytes that storj-1 still has when its past was lived: some hours of growth."""


@dataclass(frozen=True, slots=True)
class Demo:
    world: World
    secrets: Mapping[str, str]
    """File name -> content."""
    operator: str
    owner: str
    sponsorships: tuple[str, str]


def demo(seed: int = 1, *, origin: float, day: float = 1800.0) -> Demo:
    """The world as it is at `origin` (Unix seconds), before its past was lived. `day`: seconds of a day's rhythm."""
    world = World(seed, origin, Market(seed, day=86400.0), day)
    secrets = {name: hex_id(seed, name, length=40) for name in ("yagna-app-key", "grass-token", "akash-password")}
    _cores(world, secrets)
    _disks(world)
    operator, sponsorships = _stakes(world)
    _grass(world, secrets)
    return Demo(world, secrets, operator.address, operator.owner, (sponsorships[0].address, sponsorships[1].address))


def _demand(world: World, level: float, stream: int, *, peak: float, bursts: Bursts | None) -> Demand:
    """Regimes last some days of the real calendar: with a compressed day they would be over before they are seen."""
    regimes = Regimes(days=2.0 * 86400.0 / world.day, spread=0.12)
    noise = Noise(days=0.05, spread=0.12)
    return Demand(level, world.seed * 1000 + stream, world.day, Rhythm(0.35, peak), bursts, regimes, noise)


def _cores(world: World, secrets: Mapping[str, str]) -> None:
    seldom = _demand(world, 3.6, 1, peak=0.2, bursts=Bursts(per_day=2.0, days=0.06, size=0.6))
    provider = Provider(seldom, Hardware(8, 12.0, 80.0), world.origin)
    world.models["rack-1/golem"] = provider
    world.add_site("rack-1-golem", Yagna(provider, secrets["yagna-app-key"]))
    eager = _demand(world, 6.4, 2, peak=0.7, bursts=Bursts(per_day=2.0, days=0.08, size=0.5))
    cluster = Cluster(eager, 4.0, world.origin, token="AKT", price=0.0044)  # noqa: S106 a currency
    world.models["rack-1/akash"] = cluster
    world.add_site("rack-1-akash", Compute(cluster, secrets["akash-password"]))


def _disk(world: World, stream: int, stored: float, allocated: float, gigabytes_per_hour: float) -> Disk:
    arriving = Demand(
        gigabytes_per_hour * 1e9, world.seed * 1000 + stream, world.day, Rhythm(0.3, 0.6), None, None, Noise(0.1, 0.2)
    )
    return Disk(arriving, stored, allocated, world.origin, disk_size=16e12)


def _disks(world: World) -> None:
    nearly_full = 5 * TIB
    began = nearly_full - _ROOM_LEFT - 7.0e9 * HISTORY / 3600.0
    disks = {
        "rack-1/storj": _disk(world, 11, 5.1e12, 8 * TIB, 4.0),
        "rack-2/storj-1": _disk(world, 12, began / 1.007, nearly_full, 7.0),
        "rack-2/storj-2": _disk(world, 13, 3.2e12, 8 * TIB, 3.0),
        "garage/storj": _disk(world, 14, 1.4e12, 2 * TIB, 1.5),
    }
    for key, disk in disks.items():
        world.models[key] = disk
        version = "1.142.7" if key == "garage/storj" else "1.162.3"
        world.add_site(key.replace("/", "-"), Storagenode(disk, version=version))


def _stakes(world: World) -> tuple[Operator, list[Sponsorship]]:
    seed, origin = world.seed, world.origin
    names = {
        name: "0x" + hex_id(name, seed, length=40)
        for name in ("operator", "owner", "agent", "node", "crowded", "roomy")
    }
    operator = Operator(
        names["operator"],
        names["owner"],
        names["agent"],
        names["node"],
        free=2500.0,
        owner_tokens=200_000.0,
        all_tokens=500_000.0,
    )
    far = origin + 400 * 86400.0
    crowded = Pool(0.125, wandering(4.875e6, seed * 1000 + 21))
    roomy = Pool(0.05, wandering(0.75e6, seed * 1000 + 22))
    sponsorships = [
        Sponsorship(
            names["crowded"], "streams.example.eth/traffic", crowded, far, stake=470_000.0, joined_at=origin - 5e6
        ),
        Sponsorship(names["roomy"], "streams.example.eth/weather", roomy, far, stake=30_000.0, joined_at=origin - 2e6),
    ]
    chain = Chain(operator, sponsorships, origin)
    for name, one in zip(("streamr-traffic", "streamr-weather"), sponsorships, strict=True):
        world.models[f"rack-2/{name}"] = Staked(chain, one)
    world.add_site("rack-2-rpc", Rpc(chain))
    world.add_site("rack-2-node", Node(chain))
    return operator, sponsorships


def _grass(world: World, secrets: Mapping[str, str]) -> None:
    account = Account(devices_of(3, world.seed), world.seed * 1000 + 31, world.origin)
    world.models["rack-1/grass"] = account
    world.add_site("rack-1-grass", Grass(account, secrets["grass-token"]))


def addresses(made: Demo) -> dict[str, str]:
    """Base URLs for a session without a network: site -> http://SITE.sim"""
    return {site: f"http://{site}.sim" for site in made.world.sites}


def price_settings(made: Demo, where: Mapping[str, str]) -> dict[str, Any]:
    """`prices` of the Settings manifest: the simulator as every source, and static prices as the last resort."""
    base = where["prices"]
    endpoints = {"coingecko": f"{base}/api/v3", "defillama": base, "kraken": base, "binance": base}
    return {
        "sources": list(endpoints),
        "endpoints": endpoints,
        "static": {token: made.world.market.usual(token) for token in made.world.market.tokens()},
    }
