"""What demand (or anything else that has hours) comes to in the hours ahead: a profile of the day times the current level.

    Blocks ──stretch.hourly──▶ Hours (W, n) ──forecast──▶ Forecast (W, h) ──stretch.demand_ahead──▶ one more kernel

Candidates (a level that forgets at one of three speeds x the profile of the day, and from three weeks on also that of the
week) are mixed by how far off each was when it forecast the last seven days one, two or five hours ahead. `trust` says by
how much the mixture then beat the plain kernels (recent means, the same hours of earlier days), which are mixed the same
way; as far as it did not, it gives way to them (economics.md 5, Predictive).

Hours are counted backwards from `now`, so the newest is whole, and 24 of them ago it was the same time of day. W workloads
at once; none of them sees another.

The level and the profile are means of square roots, squared at the end: near the median where demand comes in bursts. The
spread around that is in the past hours themselves. Source of the method: exponential smoothing with seasonal indices
(Holt 1957, Winters 1960), mixed by inverse errors (Bates and Granger 1969).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from controller.model import F64

DAY: Final = 24
WEEK: Final = 7
"""Days."""
MOST_DAYS: Final = 28
"""Older days say nothing that these do not."""
MOST_AHEAD: Final = DAY
LEADS: Final = (1, 2, 5)
"""Hours before, at which candidates are scored: what forecasts the next hour best is not what forecasts the evening."""
THREE_WEEKS: Final = 21
"""Days from which the hours of the week are a candidate."""
SCORED_DAYS: Final = 7
ENOUGH: Final = 24.0
"""Hours that must be scored before anything but the plain mean is believed."""
PLAIN: Final = (1.0, 12.0, 48.0)
"""Half-lives of the recency-weighted means that are to be beaten, hours."""
_SAME_HOURS: Final = 4.0
"""Half-life of the mean of the same hour of earlier days, which is to be beaten too; days."""
_LEVELS: Final = (1.0, 6.0, 24.0)
"""Half-lives of a candidate's level, hours: bursts, changes of regime, noise."""
_PROFILE_DAYS: Final = 10.0
"""Half-life of the profile of the day."""
_WEEKS: Final = 4.0
"""Half-life of the factors of the week, weeks."""
_SHRUNK: Final = 8.0
"""Weeks for which the factor of a whole day speaks against that of one of its hours."""
_BEFORE: Final = 2.0
"""Hours for which yesterday's level speaks where a day was seen only in part."""
_SCORE_DAYS: Final = 3.0
"""Half-life of a score."""
_SHARPNESS: Final = 6.0
"""A candidate counts by its mean square error to the power of minus this: half the error, 64 times the weight."""
_EXACT: Final = 1e-9
"""Of the mean square error of all candidates: smaller ones are alike."""
_REMEMBERED: Final = 4 * DAY
"""Hours over which levels are summed before the first that is scored: four half-lives of the slowest."""
_LARGEST: Final = 8.0
"""A past hour is stretched or shrunk at most so many times."""
_FLOOR: Final = 0.02
"""Of the mean demand: forecasts smaller than that are not told apart."""
_LONG_ROW: Final = 100
"""Figures."""
_GLANCE: Final = 1e-3
"""Of an hour: what was seen for less (3 s) was not seen."""
POSSIBLE: Final = 1e24
"""No real figure in base units is larger; NaN is not smaller."""


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """W workloads over the same n hours, the last of which ends at `now`."""

    now: float
    """Unix seconds."""
    mean: F64
    """(W, n) base units, or whatever is forecast, >= 0; NaN: not seen."""
    seen: F64
    """(W, n) 0..1 share of the hour that was observed."""
    full: F64
    """(W, n) 0..1 share of that in which there was no room left: demand was at least this."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Of W workloads for the h hours after `now`."""

    now: float
    point: F64
    """(W, h) mean of each coming hour, in units of the hours given; 0 where nothing was ever seen."""
    trust: F64
    """(W,) 0..1: 1 = the mixture alone, 0 = the plain kernels alone (they were no worse, or it is not scored for a day yet)."""
    scored: F64
    """(W,) hours on which it was scored."""
    gain: F64
    """(W,) 1 - mean square error of the mixture / of the plain kernels, an hour or two ahead, of roots; below 0: it was worse."""
    coming: F64
    """(h, W) the mixture alone, in units of the hours given, plus a little of the mean, so that it can be divided by."""
    foreseen: F64
    """(C, S, W) what it foresaw of the last S hours, oldest first, each of LEADS hours before, plus the same."""
    lead: tuple[int, ...]
    """(h,) which of those is as far ahead as each coming hour."""

    @property
    def share(self) -> F64:
        """(W,) 0..0.5: of it in a mixture of survival curves with the plain kernels, which know more of the coming minutes."""
        return self.trust / 2

    def factors(self, row: int) -> F64:
        """(h, S) by which demand in each past hour is to be multiplied to look like a coming one; 1 for the first ever seen."""
        then = self.foreseen[list(self.lead), :, row]
        ratio = np.where(then > 0, _ratio(self.coming[:, row, None], then), 1.0)
        return np.clip(ratio, 1.0 / _LARGEST, _LARGEST)


def forecast(hours: Hours, ahead: int = 2, *, power: float = 0.5) -> Forecast:
    """The coming `ahead` hours (1..24) of every workload.

    `power` 0.5 for demand; 1 for what must keep its mean (money that is credited in lumps). A sine of a day is foreseen to 6 %
    after three days and to 1 % after eight; a jump is followed to nine tenths within six hours.
    """
    if not 1 <= ahead <= MOST_AHEAD:
        raise ValueError(f"a forecast looks 1 to {MOST_AHEAD} hours ahead, not {ahead}")
    root, seen, full = _clean(hours, power)
    shapes, same_hours, filled = _shapes(root, seen, full)
    window = _window(shapes, filled, seen, full)
    leads = [lead for lead in LEADS if lead <= ahead]
    own, plain = _candidates(window), _plain(window, same_hours)
    mixtures, plains = ([_mix(window, which, lead, ahead) for lead in leads] for which in (own, plain))
    pairs = [(mixture, instead) for (mixture, _), (instead, _) in zip(mixtures, plains, strict=True)]
    trust, scored, gain = _trust(window, pairs[:2])
    nearest = tuple(max(i for i, lead in enumerate(leads) if lead <= hour) for hour in range(1, ahead + 1))
    coming, instead = (np.stack([part[at][1][hour] for hour, at in enumerate(nearest)]) for part in (mixtures, plains))
    point = (trust * coming + (1.0 - trust) * instead) ** (1.0 / power)
    size = _ratio((filled * seen).sum(axis=0), seen.sum(axis=0))
    floor = _FLOOR * size ** (1.0 / power)
    foreseen = np.stack([np.where(past > 0, past ** (1.0 / power) + floor, 0.0) for past, _ in mixtures])
    return Forecast(hours.now, point.T, trust, scored, gain, coming ** (1.0 / power) + floor, foreseen, nearest)


def value_ahead(value: Forecast, demand: Forecast) -> F64:
    """(W,) what a used unit earns over the coming hours, weighed by what is foreseen to be used in each of them.

    1 USD in an hour with 1 unit and 4 in one with 2: (1 + 8) / 3 = 3. `value`: a forecast with power 1 of USD per used
    unit-hour at today's price of its token (prices.at_todays_price).
    """
    units = demand.point[:, : value.point.shape[1]]
    total = units.sum(axis=1)
    return np.where(total > 0, _ratio((value.point * units).sum(axis=1), total), value.point.mean(axis=1))


def _clean(hours: Hours, power: float) -> tuple[F64, F64, F64]:
    """(24 D, W) roots, shares seen and shares full, time first; what cannot be true was not seen. Days end at `now`."""
    mean, seen, full = (part[:, -MOST_DAYS * DAY :].T for part in (hours.mean, hours.seen, hours.full))
    right = (mean >= 0) & (mean <= POSSIBLE) & (seen >= _GLANCE) & (seen <= POSSIBLE)  # NaN compares false
    root = np.where(right, mean, 0.0) ** power
    seen = np.where(right, np.minimum(seen, 1.0), 0.0)
    full = np.where(right & (full > 0), np.minimum(full, 1.0), 0.0)
    lacking = max(DAY, -(-len(mean) // DAY) * DAY) - len(mean)
    root, seen, full = (np.pad(part, ((lacking, 0), (0, 0))) for part in (root, seen, full))
    return root, seen, full


def _shapes(root: F64, seen: F64, full: F64) -> tuple[list[F64], F64, F64]:
    """Profiles (24 D + 24, W), each day's as known from the days before, with tomorrow's; the plain mean of the same hour of
    the days before (as long); and the roots, where a full hour, of which only a lower bound is known, is at least what the
    day's other hours make of it.
    """
    count = root.shape[1]
    root, seen, full = (part.reshape(len(part) // DAY, DAY, count) for part in (root, seen, full))
    weight = seen * seen.mean(axis=1, keepdims=True)
    raw = _ratio((seen * root).sum(axis=1), seen.sum(axis=1))
    usual = _smooth(_past_means(_ratio(root, raw[:, None]), weight, _PROFILE_DAYS)[-1:])
    base = _bases(root, seen * (1.0 - full), seen, usual)
    filled = root + full * np.maximum(base * usual - root, 0.0)
    sharp = _past_means(_ratio(filled, base), weight, _PROFILE_DAYS)
    day = _smooth(sharp)
    shapes = [day, _ratio(sharp, sharp.mean(axis=1, keepdims=True))]
    if len(root) >= THREE_WEEKS:
        shapes.append(day * _weekdays(_ratio(filled, day[:-1]), base, weight))
    overall = _ratio((seen * root).sum(axis=(0, 1)), seen.sum(axis=(0, 1)))
    same_hours = _past_means(filled, seen, _SAME_HOURS, overall)
    *shapes, same_hours, filled = (part.reshape(len(part) * DAY, count) for part in (*shapes, same_hours, filled))
    return shapes, same_hours, filled


def _past_means(values: F64, weight: F64, days: float, unknown: F64 | float = 1.0) -> F64:
    """(D + 1, 24, W) decayed means of the days before each, `unknown` where nothing was seen."""
    sums, hours = _decayed(values * weight, days), _decayed(weight, days)
    known = np.where(hours > 0, _ratio(sums, hours), unknown)
    return np.concatenate([np.zeros_like(known[:1]) + unknown, known])


def _smooth(profile: F64) -> F64:
    """(D, 24, W) each hour with a quarter of both its neighbours, around midnight too; mean 1 (or 0: nothing was ever used)."""
    around = np.concatenate([profile[:, -1:], profile, profile[:, :1]], axis=1)
    smooth = 0.5 * profile + 0.25 * (around[:, :-2] + around[:, 2:])
    return _ratio(smooth, smooth.mean(axis=1, keepdims=True))


def _bases(root: F64, known: F64, seen: F64, usual: F64) -> F64:
    """(D, 1, W) each day's level from its hours with room, and as much as _BEFORE hours from what the days before said."""
    sums, weight = (known * root).sum(axis=1), (known * usual).sum(axis=1)
    before = _ratio(_decayed(sums, 1.0), _decayed(weight, 1.0))
    overall = _ratio((seen * root).sum(axis=(0, 1)), seen.sum(axis=(0, 1)))
    before = np.where(np.cumsum(weight, axis=0) > 0, before, overall)
    before = np.concatenate([overall[None], before[:-1]])
    return np.asarray((sums + _BEFORE * before) / (weight + _BEFORE))[:, None]


def _weekdays(level: F64, base: F64, weight: F64) -> F64:
    """(D + 1, 24, W) factor of each hour of the week on the profile of the day, from the weeks before: mostly its day's,
    and its own the more weeks there are.
    """
    days, _, count = level.shape
    sums = np.cumsum(base, axis=0)
    last = (
        np.concatenate([sums[:WEEK], sums[WEEK:] - sums[:-WEEK]]) / np.minimum(np.arange(days) + 1, WEEK)[:, None, None]
    )
    lacking = -days % WEEK
    weeks = (
        np.pad(part, ((lacking, 0), (0, 0), (0, 0))).reshape((days + lacking) // WEEK, WEEK, DAY, count)
        for part in (_ratio(level, last), weight)
    )
    relative, weight = weeks
    sums, hours = _decayed(relative * weight, _WEEKS), _decayed(weight, _WEEKS)
    of_day, of_day_hours = sums.sum(axis=2, keepdims=True), hours.sum(axis=2, keepdims=True)
    whole = np.where(of_day_hours > 0, _ratio(of_day, of_day_hours), 1.0)
    factor = (sums + _SHRUNK * whole) / (hours + _SHRUNK)
    factor = np.concatenate([np.ones_like(factor[:1]), factor]).reshape(days + lacking + WEEK, DAY, count)
    return factor[lacking : lacking + days + 1]


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """The last T hours as roots, time first, because sums over time are then sums of rows; the last S of them are scored."""

    root: F64
    """(T, W)."""
    seen: F64
    """(T, W)."""
    known: F64
    """(S, W) share of each scored hour that was seen with room left, 0 before anything else was seen."""
    shapes: list[F64]
    """Profiles (T + 24, W)."""

    def scored(self, values: F64, lead: int = 0) -> F64:
        """(S, W) of (T, W) values: those `lead` hours before each scored hour."""
        last = len(values) - lead
        return values[last - len(self.known) : last]


def _window(shapes: list[F64], root: F64, seen: F64, full: F64) -> _Window:
    scored = min(SCORED_DAYS * DAY, len(root))
    length = scored + _REMEMBERED

    def last(part: F64, rows: int, outside: float = 0.0) -> F64:
        return np.pad(part[-rows:], ((rows - len(part[-rows:]), 0), (0, 0)), constant_values=outside)

    root, seen, full = last(root, length), last(seen, length), last(full, length)
    before = np.cumsum(seen, axis=0) - seen > 0
    known = (seen * (1.0 - full) * before)[-scored:]
    return _Window(root, seen, known, [last(shape, length + DAY, 1.0) for shape in shapes])


def _candidates(window: _Window) -> list[tuple[F64, F64]]:
    """(profile (T + 24, W), level after each hour (T, W)) of each; 0 where nothing was seen yet."""
    length, sums = len(window.root), window.seen * window.root
    weights = [window.seen * shape[:length] for shape in window.shapes]
    found = []
    for half_life in _LEVELS:
        above = _decayed(sums, half_life)
        found += [
            (shape, _ratio(above, _decayed(weight, half_life)))
            for shape, weight in zip(window.shapes, weights, strict=True)
        ]
    return found


def _plain(window: _Window, same_hours: F64) -> list[tuple[F64, F64]]:
    """As `_candidates`, what is to be beaten: plain recency-weighted means, and the same hour of earlier days."""
    length = len(window.root)
    flat, sums = np.ones_like(window.shapes[0]), window.seen * window.root
    found = [(flat, _ratio(_decayed(sums, half_life), _decayed(window.seen, half_life))) for half_life in PLAIN]
    kept = same_hours[-(length + DAY) :]
    shape = np.pad(kept, ((length + DAY - len(kept), 0), (0, 0)))
    return [*found, (shape, flat[:length])]


def _mix(window: _Window, candidates: list[tuple[F64, F64]], lead: int, ahead: int) -> tuple[F64, F64]:
    """The mixture that is best `lead` hours ahead: (S, W) what it foresaw of the scored hours, (ahead, W) what it foresees."""
    length, count = window.root.shape
    past = np.stack([window.scored(level, lead) * window.scored(shape[:length]) for shape, level in candidates])
    shares = _shares(past - window.scored(window.root), window.known)
    mixed = (past.reshape(len(past), past.shape[1] // DAY, DAY, count) * shares[:, :-1, None]).sum(axis=0)
    coming = sum(
        share[-1] * level[-1] * shape[length : length + ahead]
        for share, (shape, level) in zip(shares, candidates, strict=True)
    )
    return mixed.reshape(past.shape[1:]), np.asarray(coming)


def _shares(off: F64, known: F64) -> F64:
    """(E, days + 1, W) how much each candidate counts on each day, by how far `off` (E, S, W) it was on the days before, and
    from now on. They all count the same on the first day.
    """
    missed = (off * off * known).reshape(len(off), off.shape[1] // DAY, DAY, off.shape[2]).sum(axis=2)
    sums = np.zeros((len(off), missed.shape[1] + 1, off.shape[2]))
    for day in range(missed.shape[1]):
        sums[:, day + 1] = sums[:, day] * 2.0 ** (-1.0 / _SCORE_DAYS) + missed[:, day]
    # one that is exact leaves the others something to be compared with
    least = np.maximum(sums.min(axis=0), _EXACT * sums.mean(axis=0))
    worse = np.divide(np.maximum(sums, least), least, out=np.ones_like(sums), where=least > 0)
    shares = worse**-_SHARPNESS
    return np.asarray(shares / shares.sum(axis=0))


def _trust(window: _Window, pairs: list[tuple[F64, F64]]) -> tuple[F64, F64, F64]:
    """(W,) the share a of the mixture with which a · mixture + (1 - a) · plain was off least; hours; what the mixture gained."""
    hours, count = window.known.shape
    weight = window.known * 2.0 ** (-np.arange(hours)[::-1, None] / (DAY * _SCORE_DAYS))
    truth = window.scored(window.root)
    cross, apart, off, off_plain = np.zeros((4, count))
    for mixture, plain in pairs:
        cross += (weight * (truth - plain) * (mixture - plain)).sum(axis=0)
        apart += (weight * (mixture - plain) ** 2).sum(axis=0)
        off += (weight * (truth - mixture) ** 2).sum(axis=0)
        off_plain += (weight * (truth - plain) ** 2).sum(axis=0)
    scored = window.known.sum(axis=0)
    trust = np.where(scored >= ENOUGH, np.clip(_ratio(cross, apart), 0.0, 1.0), 0.0)
    return trust, scored, np.where(off_plain > 0, 1.0 - _ratio(off, off_plain), 0.0)


def _decayed(values: F64, half_life: float) -> F64:
    """Σ of all up to each row, halved every `half_life` rows. Of 1, 1 with half-life 1: 1, 1.5."""
    count = len(values)
    if values[0].size >= _LONG_ROW:  # of long rows numpy adds up whole ones several times faster
        found, decay = values.copy(), 2.0 ** (-1.0 / half_life)
        for row in range(1, count):
            found[row] += found[row - 1] * decay
        return found
    growth = 2.0 ** (np.arange(count) / half_life).reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(np.cumsum(values * growth, axis=0) / growth)


def _ratio(above: F64, below: F64) -> F64:
    """0 where nothing is below."""
    return np.asarray(above / np.where(below > 0, below, np.inf))
