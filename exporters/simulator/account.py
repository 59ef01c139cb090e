"""The true state of a Grass account: devices that collect points while they are connected (reference: streamr-grass 2.2).

Points = connected hours * 50 * (score / 100) * multiplier, per device. Epochs are calendar months; an epoch's points are
settled a few days after its end, and are not quite what the estimate said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from exporters.simulator.demand import DAY, Demand, Noise, pick
from exporters.simulator.model import Truth

POINTS_PER_HOUR: Final = 50.0
SETTLES_AFTER: Final = 3 * DAY
_STEP: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    kind: str
    ip: str
    score: float
    """0..100."""
    multiplier: float
    availability: float = 0.97
    """Share of the time that it is connected."""

    @property
    def points_per_hour(self) -> float:
        return POINTS_PER_HOUR * self.score / 100.0 * self.multiplier


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    begins: float
    ends: float

    @property
    def settles(self) -> float:
        return self.ends + SETTLES_AFTER


def epoch_at(at: float) -> Epoch:
    """The epoch that runs at a time: a calendar month, UTC."""
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    number = (first.year - 2025) * 12 + first.month - 1
    return Epoch(number, first.timestamp(), first.replace(year=year, month=month).timestamp())


class Account:
    """A pure function of time: which devices are connected is hashed from (seed, device, half hour)."""

    def __init__(self, devices: tuple[Device, ...], seed: int, origin: float) -> None:
        self.devices = devices
        self.seed = seed
        self.origin = origin
        self.at = origin
        self._first = int((origin - 365 * DAY) // _STEP)
        self._steps: list[list[float]] = [[0.0] for _ in devices]
        """Per device: connected seconds from `_first` to the beginning of each half hour."""
        self._score = Demand(1.0, seed, DAY, rhythm=None, bursts=None, regimes=None, noise=Noise(0.5, 0.03))

    def advance(self, to: float) -> None:
        self.at = max(self.at, to)

    def connected(self, device: int, at: float) -> bool:
        return pick(self.seed, 61 + device, int(at // _STEP)) < self.devices[device].availability

    def uptime(self, device: int, since: float, until: float) -> float:
        """Connected seconds of one device between two times; none before a year ahead of the origin."""
        return self._connected_until(device, until) - self._connected_until(device, since) if until > since else 0.0

    def _connected_until(self, device: int, at: float) -> float:
        """Connected seconds since the first half hour that is remembered: sums of whole ones, kept, and the last part."""
        steps = self._steps[device]
        last = int(at // _STEP) - self._first
        if last < 0:
            return 0.0
        while len(steps) <= last:
            whole = _STEP if self.connected(device, (self._first + len(steps) - 1) * _STEP) else 0.0
            steps.append(steps[-1] + whole)
        begun = (self._first + last) * _STEP
        return steps[last] + (at - begun if self.connected(device, begun) else 0.0)

    def points(self, epoch: Epoch, until: float) -> float:
        """What the estimate gives for an epoch until a time."""
        stop = min(until, epoch.ends)
        return sum(
            self.uptime(k, epoch.begins, stop) / 3600.0 * device.points_per_hour
            for k, device in enumerate(self.devices)
        )

    def settled_points(self, epoch: Epoch) -> float:
        """What the epoch is settled at: within a few per cent of the estimate."""
        return self.points(epoch, epoch.ends) * self._score.at(epoch.ends)

    def points_per_hour(self) -> float:
        return sum(device.points_per_hour for k, device in enumerate(self.devices) if self.connected(k, self.at))

    def truth(self) -> Truth:
        earned = sum(
            self.uptime(k, self.origin, self.at) / 3600.0 * device.points_per_hour
            for k, device in enumerate(self.devices)
        )
        return Truth(self.at, True, native_per_hour={"points": self.points_per_hour()}, earned={"points": earned})


def devices_of(count: int, seed: int) -> tuple[Device, ...]:
    """A plausible household: a desktop, an extension, perhaps more behind other addresses."""
    kinds = (("desktop", 2.0), ("extension", 1.0), ("android", 1.0), ("lite-node", 1.25))
    found = []
    for k in range(count):
        kind, multiplier = kinds[k % len(kinds)]
        score = float(np.round(60.0 + 35.0 * pick(seed, 60, k)))
        name = f"{int(2**48 * pick(seed, 59, k)):012x}"
        found.append(Device(f"9f0c2b4e-7d11-5c3a-9a52-{name}", kind, f"203.0.113.{20 + k}", score, multiplier))
    return tuple(found)
