"""Demand over time as a pure function of (seed, time): no clock, no state, nothing that depends on how it is sampled.

Every random number is a hash of (seed, stream, index) (SplitMix64, Steele et al. 2014), not a draw from a sequence: so a
server that starts at noon agrees with a history that was generated from last week on, and one value costs the same as
any other. Durations are counted in days of `day` seconds: 86400 in a backtest, 1800 where a day's rhythm is to be seen
within half an hour; everything but the level then runs faster by the same factor.

Units: `level` in units of the resource (cores, bytes per hour, tokens); times in Unix seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]
    U64 = NDArray[np.uint64]

DAY: Final = 86400.0
_SLOTS: Final = 4
"""Bursts that can begin in one cell of mean 1; a binomial of 4 is close enough to Poisson."""
_LONGEST: Final = 4.0
"""A burst lasts at most so many mean durations."""
_WEEK: Final = 7


def _mixed(x: U64) -> U64:
    """The SplitMix64 finaliser: neighbours in, unrelated 64 bits out."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(seed: int, stream: int, index: NDArray[np.int64]) -> F64:
    """Numbers in (0, 1), one per index; the same for the same three arguments, for ever."""
    key = _mixed(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)) ^ _mixed(np.array([stream], np.uint64))
    bits = _mixed(_mixed(index.astype(np.int64).view(np.uint64) ^ key) ^ key)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: int, stream: int, index: NDArray[np.int64]) -> F64:
    """Standard normal numbers, one per index (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, 2 * stream, index)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(seed, 2 * stream + 1, index)), np.float64)


_BITS: Final = 2**64 - 1


def _mixed_one(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & _BITS
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _BITS
    return x ^ (x >> 31)


def pick(seed: int, stream: int, index: int) -> float:
    """One number in (0, 1): the same as `uniform` gives, 20 times faster for a single choice."""
    key = _mixed_one(seed & _BITS) ^ _mixed_one(stream)
    return ((_mixed_one(_mixed_one((index & _BITS) ^ key) ^ key) >> 11) + 0.5) * 2.0**-53


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The hours of the day: factor 1 + amplitude * cos(2 pi (day's fraction - peak)), mean 1 over a day."""

    amplitude: float = 0.4
    """0..1; 0.4 = 1.4 at the peak, 0.6 twelve hours later."""
    peak: float = 0.75
    """Where in the day, 0..1; 0.75 = 18:00 UTC."""
    weekend: float = 1.0
    """Factor on two of seven days."""

    def factor(self, days: F64) -> F64:
        wave = 1.0 + self.amplitude * np.cos(2.0 * np.pi * (days - self.peak))
        if self.weekend == 1.0:
            return np.asarray(wave)
        return np.where(np.floor(days) % _WEEK >= _WEEK - 2, wave * self.weekend, wave)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Jobs out of the blue: `per_day` on average, each adding an exponential `size` (in levels) for about `days`."""

    per_day: float = 3.0
    days: float = 0.04
    """Mean duration; 0.04 of 24 h is about an hour."""
    size: float = 0.8

    @property
    def mean(self) -> float:
        """What they add on average, in levels. The cut at 4 mean durations takes off e^-4."""
        return self.per_day * self.days * self.size * (1.0 - math.exp(-_LONGEST))

    def added(self, days: F64, seed: int) -> F64:
        """What is added at each time, in levels: every burst that began in this cell or up to its longest ago."""
        place = days * self.per_day
        cell = np.floor(place).astype(np.int64)
        total = np.zeros_like(days)
        for back in range(math.ceil(_LONGEST * self.days * self.per_day) + 1):
            for slot in range(_SLOTS):
                index = (cell - back) * _SLOTS + slot
                age = (place - (cell - back) - uniform(seed, 12, index)) / self.per_day
                lasts = np.minimum(-np.log(uniform(seed, 13, index)), _LONGEST) * self.days
                there = (uniform(seed, 11, index) < 1.0 / _SLOTS) & (age >= 0.0) & (age < lasts)
                total += np.where(there, -np.log(uniform(seed, 14, index)) * self.size, 0.0)
        return total


@dataclass(frozen=True, slots=True)
class Regimes:
    """Every few days the market is another: a level that jumps, log-normal with mean 1."""

    days: float = 4.0
    spread: float = 0.35
    """Standard deviation of the logarithm."""

    def factor(self, days: F64, seed: int) -> F64:
        place = days / self.days
        cell = np.floor(place).astype(np.int64)
        cell = np.where(place - cell < 0.5 * uniform(seed, 21, cell), cell - 1, cell)
        return np.exp(self.spread * normal(seed, 22, cell) - self.spread**2 / 2.0)


@dataclass(frozen=True, slots=True)
class Noise:
    """What is left: a smooth wandering, log-normal with mean 1, forgotten after about `days`."""

    days: float = 0.03
    spread: float = 0.15

    def factor(self, days: F64, seed: int) -> F64:
        place = days / self.days
        cell = np.floor(place).astype(np.int64)
        x = place - cell
        later = x * x * (3.0 - 2.0 * x)
        mixed = (1.0 - later) * normal(seed, 31, cell) + later * normal(seed, 31, cell + 1)
        mixed /= np.sqrt((1.0 - later) ** 2 + later**2)  # unit variance between the lattice points too
        return np.exp(self.spread * mixed - self.spread**2 / 2.0)


@dataclass(frozen=True, slots=True)
class Demand:
    """How many units somebody would use, whatever is allotted: D(t) >= 0.

    D = level * (rhythm * regimes * noise + bursts); its long mean is `mean`. Parts set to None are left out.
    """

    level: float
    seed: int
    day: float = DAY
    rhythm: Rhythm | None = field(default_factory=Rhythm)
    bursts: Bursts | None = field(default_factory=Bursts)
    regimes: Regimes | None = field(default_factory=Regimes)
    noise: Noise | None = field(default_factory=Noise)

    @property
    def mean(self) -> float:
        return self.level * (1.0 + (self.bursts.mean if self.bursts else 0.0))

    @overload
    def at(self, time: float) -> float: ...
    @overload
    def at(self, time: F64) -> F64: ...
    def at(self, time: float | F64) -> float | F64:
        """Units demanded at a time, or at each of an array of times: (n,) -> (n,)."""
        days = np.atleast_1d(np.asarray(time, np.float64)) / self.day
        factor = np.ones_like(days)
        if self.rhythm:
            factor = factor * self.rhythm.factor(days)
        if self.regimes:
            factor = factor * self.regimes.factor(days, self.seed)
        if self.noise:
            factor = factor * self.noise.factor(days, self.seed)
        if self.bursts:
            factor = factor + self.bursts.added(days, self.seed)
        found = self.level * factor
        return float(found[0]) if np.ndim(time) == 0 else found


@dataclass(frozen=True, slots=True)
class Fill:
    """Slow fill: units arrive while there is room, and a share of what is stored is deleted every hour."""

    ingress: Demand
    """Units per hour that would arrive with room."""
    deleted_per_hour: float = 0.0
    """Share of what is stored. 0.05 a month is about 7e-5."""

    def after(self, stored: float, room: float, at: float, seconds: float) -> tuple[float, float, float]:
        """One small step: (stored then, units that arrived, units that were deleted). Room never makes data vanish."""
        hours = seconds / 3600.0
        arrived = min(self.ingress.at(at) * hours, max(room, 0.0))
        deleted = stored * -math.expm1(-self.deleted_per_hour * hours)
        return stored + arrived - deleted, arrived, deleted

    def unlimited(self, stored: float, times: F64) -> F64:
        """What would be stored at each of (n,) ascending times with unlimited room: a fill workload's `demand` in a trace."""
        hours = np.diff(times) / 3600.0
        kept = np.exp(-self.deleted_per_hour * hours)
        arriving = self.ingress.at(times[:-1]) * hours
        levels = np.empty(len(times))
        levels[0] = stored
        for index in range(len(hours)):
            levels[index + 1] = levels[index] * kept[index] + arriving[index]
        return levels


@dataclass(frozen=True, slots=True)
class Pool:
    """A pot that is shared by stake, beside others whose stake wanders: R(x) = payout * x / (others(t) + x)."""

    payout: float
    """Per second."""
    others: Demand

    def rate(self, stake: float, at: float) -> float:
        """Per second for one's own stake. 0 staked earns 0, also where nobody else is there."""
        return self.payout * stake / (self.others.at(at) + stake) if stake > 0 else 0.0


def wandering(level: float, seed: int, *, day: float = DAY, spread: float = 0.08, days: float = 1.5) -> Demand:
    """Something that drifts around a level without rhythm or bursts: others' stake, a token's price."""
    return Demand(level, seed, day, rhythm=None, bursts=None, regimes=None, noise=Noise(days, spread))
