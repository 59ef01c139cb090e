"""What would be used of any allocation over the coming horizon: memory -> E[min(x, D)], with what it rests on.

f(x) = v · E[min(x, D)] = v · ∫₀ˣ S(y) dy,   S = Σ a_e S_e over the kernels (kernels.py, mixture.py)

Strategy Predictive has the forecast of the hours ahead as one more kernel, as far as it beat the others: where blocks are
given, S = (1 - b) · Σ a_e S_e + b · S_forecast, b its share (forecast.py, predicted.py). Without blocks nothing of it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from controller.estimate import demand
from controller.estimate.kernels import (
    ALONE,
    AROUND,
    COUNT,
    HALF_LIVES,
    HOUR,
    RECENT,
    SLOT_HALF_LIFE,
    coming,
    slot_of,
)
from controller.estimate.memory import of_kernels, unit_worth
from controller.estimate.predicted import Predicted, Prediction, predict
from controller.estimate.weights import Columns, pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.estimate.weights import Weights
    from controller.model import F64, Blocks, Memory

    Rows = NDArray[np.intp]

NAMES: Final = (
    "last minutes", "20 minutes", "hour", "3 h", "12 h", "2 days", "same hours of earlier days", "same hours of like days",
)  # fmt: skip
"""Of the kernels, for sentences."""
_COUNTS: Final = 0.02
"""Trust under which a kernel is left out of the replicates."""
_AT_ONCE: Final = 256
"""Workloads whose survival curves are made in one piece: more do not fit the processor's cache."""
_BY_ROW: Final = (
    "quantum", "most", "full", "seen", "held", "trust", "money", "missed", "worth", "effective",
)  # fmt: skip
_SURE: Final = 1e-6
"""Square of the relative error under which a forecast of what a unit earns counts as exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """Of one workload, over the coming horizon. M cells, COUNT kernels."""

    edges: F64
    """(M + 1,) base units."""
    used: F64
    """(M + 1,) units expected to be used of an allocation of each edge."""
    nothing: F64
    """(M + 1,) the same, were nothing used of what lies above everything that was ever seen in use."""
    everything: F64
    """(M + 1,) were all of it used."""
    most: float
    """The highest use that was seen; base units."""
    full: float
    """Share of the time, of late (12 h), at which it had no room left."""
    seen: bool
    """Whether anything was seen at all."""
    trust: F64
    """(COUNT,) how much of each kernel is believed; what is lacking from 1 is believed of the forecast."""
    money: F64
    """(3, 4) as in Memory."""
    missed: F64
    """(3,)."""
    effective: float
    """Hours of history that it rests on, were they all weighed the same."""
    ahead: F64
    """(2, SLOTS) the hours of the day that it is about."""
    prediction: Prediction | None = None
    """The forecast of the hours ahead, with what it counts for; None: none was asked for."""

    def use(self, x: F64) -> F64:
        """(k,) units used of allocations x."""
        return np.interp(x, self.edges, self.used)

    def bounds(self, x: F64) -> tuple[F64, F64]:
        return np.interp(x, self.edges, self.nothing), np.interp(x, self.edges, self.everything)

    def value(self, price: float | None) -> float | None:
        """USD that a used unit-hour earns, its tokens at `price` (None: as they were paid); None: nothing was ever used.

        The mean of what the last hours, half days and days say, each weighed by how well it foresaw what came.
        """
        found = float(_value(self.money[None], self.missed[None], np.array([np.nan if price is None else price]))[0])
        if np.isnan(found):
            return None
        return found if self.prediction is None else self.prediction.value_instead_of(found)

    def words(self) -> str:
        """What it was made from, for sentences."""
        [kernels] = _judged_by(self.trust[None])
        return kernels if self.prediction is None else self.prediction.words(kernels)


@dataclass(frozen=True, slots=True, eq=False)
class Outlook(Mapping[str, Ahead]):
    """The same of W workloads, one below the other: what curves are made from, however many they are."""

    places: Mapping[str, int]
    """key -> row."""
    quantum: F64
    """(W,) base units of a cell."""
    tables: F64
    """(3, W, M + 1) used, nothing, everything."""
    most: F64
    """(W,)."""
    full: F64
    seen: NDArray[np.bool_]
    held: F64
    """(W, M) hours at each level, room left or not, as the 12 h kernel weighs them."""
    trust: F64
    """(W, COUNT)."""
    money: F64
    """(W, 3, 4)."""
    missed: F64
    """(W, 3)."""
    worth: F64
    """(W,) USD that a used unit-hour earns, its tokens as they were paid; NaN: nothing was ever used."""
    effective: F64
    ahead: F64
    """(2, SLOTS)."""
    predicted: Predicted | None = None

    @property
    def used(self) -> F64:
        """(W, M + 1)."""
        found: F64 = self.tables[0]
        return found

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __getitem__(self, key: str) -> Ahead:
        i = self.places[key]
        return Ahead(
            edges=np.arange(self.tables.shape[2]) * self.quantum[i], used=self.tables[0, i], nothing=self.tables[1, i],
            everything=self.tables[2, i], most=float(self.most[i]), full=float(self.full[i]), seen=bool(self.seen[i]),
            trust=self.trust[i], money=self.money[i], missed=self.missed[i], effective=float(self.effective[i]),
            ahead=self.ahead, prediction=None if self.predicted is None else self.predicted.of(i),
        )  # fmt: skip

    def part(self, at: slice, keys: Sequence[str]) -> Outlook:
        """Of neighbouring rows alone, under these keys."""
        arrays: dict[str, Any] = {name: getattr(self, name)[at] for name in _BY_ROW}
        return replace(self, places={key: i for i, key in enumerate(keys)}, tables=self.tables[:, at], **arrays)

    def worth_of(self, rows: Rows, prices: F64) -> F64:
        """(n,) what `Ahead.value` says of the workloads of some rows, each at a price (NaN: as it was paid); NaN for None."""
        found, told = self.worth[rows], np.isfinite(prices)
        if told.any():
            found[told] = _value(self.money[rows[told]], self.missed[rows[told]], prices[told])
        if self.predicted is None:
            return found
        return found + self.predicted.value_share[rows] * (self.predicted.value[rows] - found)

    def words(self, rows: Rows) -> list[str]:
        """(n) what `Ahead.words` says of each."""
        found = _judged_by(self.trust[rows])
        if self.predicted is None:
            return found
        return [self.predicted.of(int(i)).words(said) for i, said in zip(rows, found, strict=True)]


def _value(money: F64, missed: F64, prices: F64) -> F64:
    """(n,) of (n, 3, 4) sums: the mean of what the last hours, half days and days say, each weighed by how well it foresaw
    what came (by the square of that, so that half a day after a change those that lag say next to nothing); NaN where
    nothing was ever used.
    """
    said = unit_worth(money, prices[:, None])
    told = np.isfinite(said)
    weight = told / np.maximum(missed, _SURE) ** 2
    earned = (np.where(told, said, 0.0) * weight).sum(axis=1)
    found: F64 = np.divide(earned, weight.sum(axis=1), out=np.full(len(money), np.nan), where=told.any(axis=1))
    return found


def _judged_by(trust: F64) -> list[str]:
    top = np.argsort(-trust, axis=1, kind="stable")[:, :2]
    shares = np.take_along_axis(trust, top, axis=1).tolist()
    return [
        "judged by "
        + " and ".join(
            f"{share:.0%} the {NAMES[i]}" for share, i in zip(each, kernels, strict=True) if share >= _COUNTS
        )
        for each, kernels in zip(shares, top.tolist(), strict=True)
    ]


def foresee(
    memory: Memory, now: float, hours: float, past: Mapping[str, Blocks] | None = None, which: Rows | None = None
) -> Outlook:
    """What is expected of every workload that is remembered, or of some rows, over the coming `hours`.

    `past`: their blocks at today's price, where the forecast of the hours ahead is to be one more kernel.
    """
    count = len(memory.keys) if which is None else len(which)
    if past is not None or count <= _AT_ONCE:
        return _foreseen(memory if which is None else memory.rows(which), now, hours, past)
    pieces = [slice(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
    return _joined([_foreseen(memory.rows(it if which is None else which[it]), now, hours, None) for it in pieces])


def _joined(parts: Sequence[Outlook]) -> Outlook:
    keys = [key for part in parts for key in part.places]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_ROW}
    tables = np.concatenate([part.tables for part in parts], axis=1)
    return replace(parts[0], places={key: i for i, key in enumerate(keys)}, tables=tables, **arrays)


def _foreseen(memory: Memory, now: float, hours: float, past: Mapping[str, Blocks] | None) -> Outlook:
    by_kernel = of_kernels(memory, now, hours)
    mixed = np.matmul(memory.trust[:, None], by_kernel.inside)[:, 0]
    at_most = np.matmul(memory.trust[:, None], by_kernel.most)[:, 0]
    last = by_kernel.last.max(axis=1)
    predicted = None if past is None else predict(memory, [past.get(key) for key in memory.keys], now, hours)
    if predicted is not None:
        mixed, at_most = predicted.beside(mixed, at_most)
    believed = memory.trust if predicted is None else memory.trust * (1.0 - predicted.share[:, None])
    highest = np.maximum(last, 0)
    beyond = np.arange(mixed.shape[1]) >= highest[:, None]
    at_last = np.take_along_axis(at_most, highest[:, None], axis=1)
    cells = np.stack([mixed, np.where(beyond, 0.0, mixed), np.where(beyond, at_last, mixed)])
    held = memory.recent[:, :, ALONE].astype(np.float64)
    censored, in_all = held[:, 1].sum(axis=1), held.sum(axis=(1, 2))
    effective = (believed * _effective(memory, hours)).sum(axis=1)
    if predicted is not None:
        effective = effective + predicted.effective(memory.exposure)
    return Outlook(
        places=memory.index, quantum=memory.quantum, tables=_integral(cells, memory.quantum),
        most=highest * memory.quantum, full=np.divide(censored, in_all, out=np.zeros(len(held)), where=in_all > 0),
        seen=last >= 0, held=held.sum(axis=1), trust=believed, money=memory.money, missed=memory.missed,
        worth=_value(memory.money, memory.missed, np.full(len(held), np.nan)), effective=effective,
        ahead=coming(now, hours), predicted=predicted,
    )  # fmt: skip


def _integral(cells: F64, quantum: F64) -> F64:
    """(3, W, M + 1) of (3, W, M) values over cells."""
    found = np.zeros((*cells.shape[:2], cells.shape[2] + 1))
    np.cumsum(cells, axis=2, out=found[:, :, 1:])
    found *= quantum[:, None]
    return found


def _effective(memory: Memory, hours: float) -> F64:
    """(W, COUNT) effective hours of each kernel: (Σw)² / Σw² = 2τ · tanh(T / 2τ) for weights 2^(-age / half-life) over T
    hours, τ = half-life / ln 2; of the daily ones the same over days, times the hours that they look at in each.
    """
    seen = memory.exposure[:, None]
    life = HALF_LIVES / np.log(2)
    recent = 2 * life * np.tanh(seen / (2 * life))
    days = SLOT_HALF_LIFE / 86400 / np.log(2)
    daily = 2 * days * np.tanh(seen / 24 / (2 * days)) * (hours + 2 * AROUND)
    found: F64 = np.maximum(np.concatenate([recent, daily, daily * 5 / 7], axis=1), 1.0)
    return found


def replicated(ahead: Ahead, blocks: Blocks, weights: Weights, worth: float, x: F64, step: float) -> F64:
    """(B, k) how far each re-weighting of the past moves USD per hour at x from the point estimate.

    Every kernel's own weights times the draw of the hour, then Kaplan-Meier again; what a unit earns is re-weighted alike.
    The forecast itself stays as it is: what is drawn anew are the hours around it.
    """
    rows = np.zeros((len(weights.draws), len(x)))
    past_of, total = Columns(blocks, weights, trimmed=True), 0.0
    for kernel in np.flatnonzero(ahead.trust >= _COUNTS):
        past = past_of.pool(_of_kernel(int(kernel), blocks, weights.now, ahead))
        found = demand.survival(past.rows, past_of.levels, past.exact, past.censored, step)
        if found is not None:
            rows += ahead.trust[kernel] * found.integral(x)
            total += float(ahead.trust[kernel])
    if ahead.prediction is not None and ahead.prediction.share >= _COUNTS:
        moved, kernel_of = ahead.prediction.past(blocks)
        past = pool(moved, weights, kernel_of)
        found = demand.survival(past.rows, moved.levels, past.exact, past.censored, step)
        if found is not None:
            rows += ahead.prediction.share * found.integral(x)
            total += ahead.prediction.share
    if not total > 0:
        return np.zeros((len(weights.draws) - 1, len(x)))
    value = past_of.value(_of_kernel(ALONE, blocks, weights.now, ahead))
    scale = np.ones(len(rows)) if value is None or not value[0] > 0 else np.maximum(value / value[0], 0.0)
    usd = worth * scale[:, None] * rows / total
    return usd[1:] - usd[:1]


def _of_kernel(kernel: int, blocks: Blocks, now: float, ahead: Ahead) -> F64:
    """(n,) the weight of each block in one kernel."""
    age = now - (blocks.start + blocks.span / 2)
    past = (blocks.start <= now) & (age >= 0)
    if kernel < RECENT:
        half = float(HALF_LIVES[kernel]) * HOUR
        return np.where(past & (age <= 8 * half), np.exp2(-np.maximum(age, 0.0) / half), 0.0)
    kind, slot = slot_of(blocks.start + blocks.span / 2)
    share = ahead.ahead[kind, slot] if kernel == COUNT - 1 else ahead.ahead.sum(axis=0)[slot]
    return np.where(past, np.exp2(-np.maximum(age, 0.0) / SLOT_HALF_LIFE) * share, 0.0)
