"""How an owner changes a simulated workload, with the effect that the real thing has: later, or at the price of a restart.

Disk      {"storage": bytes}                 writes the configuration and restarts: minutes offline, refused under 500 GB
Provider  {"cpu": threads, "memoryGiB": x}   hardware.json; the offer follows 3 to 8 s later, running work keeps its own
Cluster   {"cpu": cores}                     at once for new leases; running ones keep theirs
Staked    {"stake/DATA": tokens}             reduceStakeTo or stake, as the contracts allow
any       {"power": "off" | "on"}            the process dies or is started again
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from exporters.simulator.chain import Revert, Staked
from exporters.simulator.cluster import Cluster
from exporters.simulator.disk import Disk
from exporters.simulator.model import Model
from exporters.simulator.provider import Hardware, Provider


class Refused(Exception):
    """What the node says no with."""


def apply(model: Model, wish: Mapping[str, Any], now: float) -> str:
    """Do it; gives one sentence about what follows. Raises Refused where the real thing would refuse."""
    if "power" in wish:
        return _power(model, str(wish["power"]), now)
    match model:
        case Disk():
            return _disk(model, _number(wish, "storage"), now)
        case Provider():
            return _provider(model, wish, now)
        case Cluster():
            model.set_cap(_number(wish, "cpu"), now)
            return f"new leases get up to {model.cap:g} cores; {model.used():g} are in use"
        case Staked():
            return _stake(model, _number(wish, "stake/DATA"))
    raise Refused("this workload has nothing to allocate")


def _number(wish: Mapping[str, Any], name: str) -> float:
    value = wish.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Refused(f"{name} must be a number, zero or more")
    return float(value)


def _power(model: Model, wanted: str, now: float) -> str:
    if wanted not in {"on", "off"}:
        raise Refused('power must be "on" or "off"')
    if isinstance(model, Disk | Provider | Cluster):
        (model.start if wanted == "on" else model.stop)(now)
        return f"the process is {wanted}"
    raise Refused("this workload has no process of its own")


def _disk(disk: Disk, storage: float, now: float) -> str:
    refused = disk.restart(now, config=f"storage.allocated-disk-space: {storage:.0f} B\n")
    if refused:
        raise Refused(refused)
    return f"restarting; it serves again in {disk.phase.serves_from - now:.0f} s"


def _provider(provider: Provider, wish: Mapping[str, Any], now: float) -> str:
    before = provider.configured
    memory = _number(wish, "memoryGiB") if "memoryGiB" in wish else before.mem_gib
    threads = int(_number(wish, "cpu")) if "cpu" in wish else before.threads
    provider.configure(Hardware(threads, memory, before.storage_gib), now)
    return f"a new offer follows in {provider.offers[-1].since - now:.1f} s"


def _stake(staked: Staked, wanted: float) -> str:
    chain, one = staked.chain, staked.sponsorship
    try:
        if wanted < one.stake:
            chain.reduce(one.address, wanted)
        elif wanted > one.stake:
            chain.stake(one.address, wanted - one.stake)
    except Revert as exc:
        raise Refused(f"execution reverted: {exc.data}") from exc
    return f"{one.stake:g} DATA are staked, {chain.operator.free:g} are free"
