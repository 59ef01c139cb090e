"""From what a node has and uses to bounds that cannot do harm, each with its reason. Pure; bytes, cores and tokens.

The present amount always lies on the grid min + k * step, and min is never below what is used. Without a disk that is
known nothing may grow beyond what it has, and without a figure nothing is allocated: the workload is only watched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from exporters.reading import Reading

GIB: Final = 2**30
MIB: Final = 2**20
STORJ_LEAST: Final = 500_000_000_000
"""Below it a storagenode refuses to start."""
STAKE_LEAST: Final = 5000
"""The protocol's minimum, in DATA."""
_FILLED: Final = 0.9
"""Share of a disk that a storagenode may fill: Storj asks for a tenth to be left, for its databases and the trash."""


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    memory: int


@dataclass(frozen=True, slots=True)
class Disk:
    total: int
    free: int

    def holds(self, amount: int) -> bool:
        """Whether so many bytes can be among what is on it; both are told by others, and neither exactly."""
        return amount * _FILLED <= self.total - self.free


@dataclass(frozen=True, slots=True)
class Sized:
    """An allocation, or why there is none."""

    resource: str = ""
    """"": it is only watched."""
    least: int = 0
    most: int = 0
    step: int = 0
    now: int = 0
    along: Mapping[str, int] = field(default_factory=dict)
    """Other resources, per step."""
    why: Mapping[str, str] = field(default_factory=dict)
    """min, max, step -> reason; "": why there is no allocation."""


def watched(why: str) -> Sized:
    return Sized(why={"": why})


def storage(readings: Sequence[Reading], disk: Disk | None) -> list[Sized]:
    """Of the storagenodes of one machine, which share `disk` where that is known."""
    sized = [_storage(reading) for reading in readings]
    if disk is None:
        return sized
    stored = sum(_amount(reading.used, "storage") or 0 for reading in readings)
    if not disk.holds(stored):  # another disk, or there are several: growing into it would fill what is not theirs
        elsewhere = f"what it has now: on the disk of --storj-folder is less than the {_tb(stored)} that storagenodes store here"
        return [each if not each.resource else replace(each, why={**each.why, "max": elsewhere}) for each in sized]
    room = int((disk.free + stored) * _FILLED)
    movable = [each for each in sized if each.resource]
    kept = sum(each.least for each in movable) + sum(
        _amount(reading.allocated, "storage") or 0
        for reading, each in zip(readings, sized, strict=True)
        if not each.resource
    )
    return [_grown(each, room - (kept - each.least)) for each in sized]


def _storage(reading: Reading) -> Sized:
    allocated, used = _amount(reading.allocated, "storage"), _amount(reading.used, "storage", up=True)
    if allocated is None:
        return watched("it does not say how much it was given")
    if allocated < STORJ_LEAST:
        return watched("it was given less than the 500 GB that Storj wants at least")
    if used is not None and used > allocated:
        return watched("it stores more than it was given; let that settle first")
    step = 16 * GIB
    while allocated / step > 64:
        step *= 2
    floor = allocated if used is None else max(used, STORJ_LEAST)
    least = allocated - (allocated - floor) // step * step
    reason = (
        "what it uses is not known, so nothing is taken"
        if used is None
        else "what it uses now, rounded up: shrinking below gives no room back"
    )
    if used is not None and used < STORJ_LEAST:
        reason = "just over 500 GB, under which Storj refuses to start"
    why = {
        "min": reason,
        "max": "what it has now; name its disk with --storj-folder to let it grow",
        "step": "about a fiftieth",
    }
    return Sized("storage", least, allocated, step, allocated, why=why)


def _grown(sized: Sized, most: int) -> Sized:
    if not sized.resource:
        return sized
    steps = max(0, most - sized.now) // sized.step
    why = dict(sized.why) | {"max": "nine tenths of what its disk holds, the minima of other storagenodes on it apart"}
    if not steps:
        why["max"] = "what it has now: its disk has no room for more"
    return Sized(sized.resource, sized.least, sized.now + steps * sized.step, sized.step, sized.now, why=why)


def cores(reading: Reading, machine: Machine | None) -> Sized:
    """Of a Golem provider; `machine` where it runs on this one."""
    threads, memory = reading.allocated.get("cpu"), reading.allocated.get("memory")
    if not threads or threads < 1:
        return watched("it offers nothing now, so it does not say what it was given; run this again once it sells")
    now = int(threads)
    used = reading.used.get("cpu")
    least = now if used is None else min(now, max(1, math.ceil(used)))
    along = {"memory": int(memory / now / MIB) * MIB} if memory and memory / now >= MIB else {}
    most = now
    if machine is not None:
        fits = machine.memory * 9 // 10 // along["memory"] if along else machine.cores
        most = max(now, min(machine.cores - 1, fits))
    why = {
        "min": "what it computes with now; its use in bursts is what orcha learns"
        if used is not None
        else "what it has now",
        "max": "all cores of this machine but one, as far as memory goes" if most > now else "what it has now",
        "step": "one core",
    }
    return Sized("cpu", least, most, 1, now, along, why)


def stakes(readings: Sequence[Reading]) -> list[Sized]:
    """Of the sponsorships of one operator, between which his stake may move; free DATA is not counted."""
    each = [_amount(reading.allocated, "stake/DATA") for reading in readings]
    held = [_amount(reading.allocated, "stake/DATA", up=True) or 0 for reading in readings]
    total = sum(held)
    step = _round_tenth(total / 100)
    floors = [max(STAKE_LEAST, math.ceil(reading.irreversible.get("stake/DATA", 0.0))) for reading in readings]
    leasts = [
        None if stake is None or stake < floor else stake - (stake - floor) // step * step
        for stake, floor in zip(each, floors, strict=True)
    ]
    sized = []
    for stake, least, now in zip(each, leasts, held, strict=True):
        if stake is None or least is None:
            sized.append(watched("its stake is not told, or is below the protocol's minimum"))
            continue
        others = (
            sum(other if low is None else low for other, low in zip(each, leasts, strict=True) if other is not None)
            - least
        )
        most = max(now, stake + max(0, total - others - stake) // step * step)
        why = {
            "min": "the least that the protocol lets you leave there",
            "max": "all of your present stake, the others' minima apart" if most > now else "what is staked now",
            "step": "about a hundredth",
        }
        sized.append(Sized("stake/DATA", least, most, step, now, why=why))
    return sized


def capacity(sized: Sequence[Sized], machine: Machine | None) -> dict[str, int]:
    """What a node has to declare so that what stands now, and every minimum, fits."""
    found: dict[str, int] = {}
    for each in sized:
        if each.resource:
            found[each.resource] = found.get(each.resource, 0) + each.now
            for name, amount in each.along.items():
                found[name] = found.get(name, 0) + amount * (each.now // each.step)
    for each in sized:
        if each.resource == "storage":  # one may grow while the others keep their minima
            kept = sum(other.least for other in sized if other.resource == "storage" and other is not each)
            found["storage"] = max(found["storage"], each.most + kept)
    if machine is not None:
        for name, amount in (("cpu", machine.cores), ("memory", machine.memory // MIB * MIB)):
            if name in found:
                found[name] = max(found[name], amount)
    return found


def exact(amount: int, resource: str) -> str:
    """A quantity that reads back to the very amount: 8796093022208 -> "8Ti", 4500000000000 -> "4500G", 7 -> "7"."""
    suffixes: tuple[tuple[str, int], ...] = ()
    if resource in {"storage", "memory"}:
        suffixes = (
            ("Ti", 2**40), ("T", 10**12), ("Gi", GIB), ("G", 10**9), ("Mi", MIB), ("M", 10**6), ("Ki", 2**10), ("k", 1000),
        )  # fmt: skip
    for suffix, unit in suffixes:
        if amount and amount % unit == 0:
            return f"{amount // unit}{suffix}"
    return str(amount)


def _amount(amounts: Mapping[str, float], resource: str, *, up: bool = False) -> int | None:
    """In whole units; `up`: not less than it is."""
    value = amounts.get(resource)
    return None if value is None else math.ceil(value) if up else int(value)


def _tb(amount: int) -> str:
    return f"{amount / 10**12:.3g} TB"


def _round_tenth(value: float) -> int:
    """1, 2 or 5 times a power of ten, at most `value`, at least 1: 5000 -> 5000, 4999 -> 2000."""
    power = 10 ** max(0, math.floor(math.log10(value))) if value >= 1 else 1
    return max(int(factor * power) for factor in (1, 2, 5) if factor * power <= max(value, 1))
