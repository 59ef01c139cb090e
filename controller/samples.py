"""What history keeps of each reading, and the window of the newest ones. Pure.

Reading + Kept ──sample_of──▶ Sample ──append──▶ Window (24 h, of thousands of workloads 1 h, packed)
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from controller.blocks import NAN, Sample
from exporters.energy import energy_usd_per_hour
from exporters.traits import CurveKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from exporters.nodes import Allocation, Power, Watts, WorkloadSpec
    from exporters.reading import Reading
    from exporters.traits import Traits

MOST_UNITS: Final = 1e18
"""A larger amount of anything is no figure (exporters/collector.py: LIMIT)."""
MOST_USD_PER_HOUR: Final = 1e9
"""A larger rate is no figure either; sums of it still fit a 4-byte float."""
LATEST: Final = 1e11
"""Unix seconds (the year 5138). Later, or before 1970, is no time."""


class WorkloadLike(Protocol):
    """What `Kept.of` reads of a workload; exporters.collector.Workload is one."""

    @property
    def key(self) -> str: ...
    @property
    def spec(self) -> WorkloadSpec: ...
    @property
    def traits(self) -> Traits: ...
    @property
    def allocation(self) -> Allocation | None: ...
    @property
    def power(self) -> Power | None: ...
    @property
    def stale_after(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """One workload whose history is kept, and what its readings mean."""

    key: str
    """"rack-1/storj"."""
    resource: str | None
    """The one whose use is followed; None: only money and time are."""
    stale_after: float
    """Seconds for which a reading holds where no other follows."""
    step: float | None = None
    """None: watched, never moved; then there are no levels."""
    max: float | None = None
    power: Power | None = None
    watts: Watts | None = None
    staked: bool = False
    """Curve dilution: a stake is in use whole, though nobody reports it so."""
    foreseen: bool = False
    """Curve demand, of an allocation that may be changed: what its past comes to is kept too (memories.py)."""

    @classmethod
    def of(cls, workload: WorkloadLike) -> Kept:
        allocation = workload.allocation
        return cls(
            workload.key,
            allocation.resource if allocation else workload.traits.resource,
            workload.stale_after,
            allocation.step if allocation else None,
            allocation.max if allocation else None,
            workload.power,
            workload.spec.watts,
            workload.traits.curve is CurveKind.DILUTION,
            allocation is not None and workload.traits.curve is CurveKind.DEMAND,
        )


def sample_of(kept: Kept, reading: Reading) -> Sample:
    """The figures of a reading that history keeps; impossible ones are unknown.

    `net` is before energy: the curves subtract energy at the tariff of the coming hours (economics.md 2), so what was
    paid at the tariff of this hour is added back.
    """
    if not reading.up:
        return Sample(reading.at, up=False)
    allocated = _amount(reading.allocated.get(kept.resource)) if kept.resource else NAN
    used = _amount(reading.used.get(kept.resource)) if kept.resource else NAN
    if kept.staked:
        used = allocated
    net, gross, energy = (
        _rate(reading.net_usd_per_hour),
        _rate(reading.rate_usd_per_hour),
        _energy(kept, allocated, reading.at),
    )
    price = reading.usd_per_token
    return Sample(reading.at, True, allocated, used, net + energy, gross, energy, NAN if price is None else price)


def _energy(kept: Kept, allocated: float, at: float) -> float:
    """USD per hour at the tariff of `at`, as prices.in_usd charges it: one step where nothing is allotted by us."""
    if kept.power is None or kept.watts is None:
        return 0.0
    steps = allocated / kept.step if kept.step else 1.0
    return _rate(energy_usd_per_hour(kept.power, kept.watts, steps, at))


def _amount(value: float | None) -> float:
    return value if value is not None and 0 <= value <= MOST_UNITS else NAN


def _rate(value: float | None) -> float:
    return value if value is not None and abs(value) <= MOST_USD_PER_HOUR else NAN


def is_time(at: float) -> bool:
    """False for NaN, infinities, times before 1970 and after LATEST."""
    return 0 <= at <= LATEST


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings of one workload over time, oldest first, for plots and tables. (n,) each; NaN = unknown."""

    at: NDArray[np.float64]
    """Unix seconds, to the millisecond."""
    up: NDArray[np.bool_]
    allocated: NDArray[np.float32]
    used: NDArray[np.float32]
    net: NDArray[np.float32]
    """USD per hour, before energy."""


class Window:
    """The readings of the last `span` seconds, at the resolution in which they came, 17 bytes each. Times rise."""

    __slots__ = ("_base", "_ms", "_up", "_values", "appended", "span")

    _REBASE: Final = 40 * 86400.0
    """Seconds after which 4 bytes of milliseconds would soon overflow (at 49 days)."""
    _TRIM: Final = 64
    """Readings after which those that are too old go."""

    def __init__(self, span: float) -> None:
        self.span = span
        self.appended = 0
        """How many there were in all: a mark that survives trimming."""
        self._base = 0.0
        self._ms = array("I")
        self._up = array("B")
        self._values = array("f")

    def __len__(self) -> int:
        return len(self._ms)

    def append(self, sample: Sample) -> None:
        if not self._ms:
            self._base = float(math.floor(sample.at))
        elif sample.at - self._base > self._REBASE:
            self._rebase(sample.at)
        self._ms.append(round((sample.at - self._base) * 1000))
        self._up.append(sample.up)
        self._values.extend((sample.allocated, sample.used, sample.net))
        self.appended += 1
        if len(self) % self._TRIM == 0:
            self._drop(self._index(sample.at - self.span))

    def drop_from(self, at: float) -> None:
        """Forget the readings of `at` and later."""
        i = self._index(at)
        del self._ms[i:], self._up[i:], self._values[3 * i :]

    def since(self, at: float, first: int = 0) -> Readings:
        """Copies of the readings of `at` and later, those apart that were not among the ones after `first` appended."""
        i = max(self._index(at), len(self) - (self.appended - first))
        values = np.array(self._values[3 * i :], dtype=np.float32).reshape(-1, 3)
        return Readings(
            np.array(self._ms[i:], dtype=np.float64) / 1000 + self._base,
            np.array(self._up[i:], dtype=np.bool_),
            values[:, 0],
            values[:, 1],
            values[:, 2],
        )

    def _index(self, at: float) -> int:
        return bisect_left(self._ms, (at - self._base) * 1000)

    def _drop(self, count: int) -> None:
        del self._ms[:count], self._up[:count], self._values[: 3 * count]

    def _rebase(self, at: float) -> None:
        self._drop(self._index(at - self.span))
        if not self._ms:
            self._base = float(math.floor(at))
            return
        base = math.floor(self._base + self._ms[0] / 1000)
        shift = round((base - self._base) * 1000)
        self._ms = array("I", [ms - shift for ms in self._ms])
        self._base = float(base)
