"""What a set of Moves is worth: gain with its interval, confidence, cost, net benefit. USD and USD per hour.

What more would be used than was ever seen in use is supposed, not known: the interval reaches from none of it to all of
it. What the past leaves open of a *fixed* set of moves is spread.py's. What earlier programs taught (Trust) widens the
interval, and counts less of a promise whose like was not kept; the published gain stays the promise itself, or nobody
could compare it with what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.weights import HALF_LIFE, HOUR
from controller.estimate.words import money, odds
from controller.model import Interval
from controller.plan.spread import COUNTED, USD, batch, spread, windowed

if TYPE_CHECKING:
    from controller.model import F64, Curve, Move, State
    from controller.plan.spread import Batch

_ROUNDING: Final = 1e-12
_SHRINKS_ALONE: Final = "; what is given up costs more energy than it earns"
"""No curve falls but by its energy, so that is why somebody gives up what nobody takes."""
_MOST_SUPPOSED: Final = 2
"""Clauses that one sentence can bear."""
_MEAN_LIFE: Final = HALF_LIFE / HOUR / float(np.log(2))
"""Hours: the kernel's weights sum to this for an endless history."""
_AT_ONCE: Final = 1024
"""Moves weighed in one piece, so that thousands of sets take no more memory than these."""


@dataclass(frozen=True, slots=True)
class Worth:
    gain: Interval
    """USD per hour."""
    cost_usd: float
    net_usd: float
    """Σ gain x each workload's horizon - cost."""
    confidence: float
    """How likely Σ gain x horizon > cost and Σ gain > 0, of what counts, at most `surest`: the share of replicates."""
    counted: float
    """USD per hour of the expected gain that count, after what came of earlier promises."""
    counted_usd: float
    """Those over each workload's horizon."""
    supposes: tuple[str, ...] = ()
    """What it rests on that no history can tell, as clauses after "if"."""
    only_shrinks: bool = False
    """Nobody takes what is given up."""

    def words(self, on: float | None = None) -> str:
        """For sentences: +0.038 USD/h (0 to 0.06) on 0.24, 97% sure if ..."""
        gain = self.gain
        interval = f"{money(gain.expected, signed=True)} USD/h ({money(gain.low, 3)} to {money(gain.high, 3)})"
        rate = "" if on is None else f" on {money(on)}"
        supposed = f" if {' and if '.join(self.supposes[:_MOST_SUPPOSED])}" if self.supposes else ""
        why = _SHRINKS_ALONE if self.only_shrinks and gain.expected > 0 else ""
        return f"{interval}{rate}, {odds(self.confidence)} sure{supposed}{why}"


NOTHING: Final = Worth(Interval(0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0)
"""Of no moves."""


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """How far the curves are believed, after what came of earlier promises."""

    spread: float = 1.0
    """By what intervals are widened, beyond what the history says."""
    credit: Mapping[str, float] = field(default_factory=dict)
    """key -> what part of a positive gain counts; absent: all."""


UNTAUGHT: Final = Trust()


def trust(state: State) -> Trust:
    """What one policy learned, by workload. A spread that cannot be one is 1; a share that cannot be one counts nothing."""
    widens, paid = state.learned.spread, state.learned.penalty
    kept = {protocol: part if 0 <= part <= 1 else 0.0 for protocol, part in paid.items()}
    return Trust(
        spread=widens if isfinite(widens) and widens > 0 else 1.0,
        credit={w.key: kept[w.protocol] for w in state.workloads if w.protocol in kept} if kept else {},
    )


def weigh(moves: Sequence[Move], curves: Mapping[str, Curve], learned: Trust = UNTAUGHT) -> Worth:
    """The worth of moves whose workloads all have a curve (KeyError where one has none)."""
    return weigh_each([moves], curves, learned)[0]


def weigh_each(sets: Sequence[Sequence[Move]], curves: Mapping[str, Curve], learned: Trust = UNTAUGHT) -> list[Worth]:
    """The worth of each of several sets of moves; thousands of small ones cost little more than one large one."""
    found = [NOTHING] * len(sets)
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number ends as an interval without bounds
        for piece in _pieces(sets):
            for number, worth in zip(piece, _weighed([sets[i] for i in piece], curves, learned), strict=True):
                found[number] = worth
    return found


def _pieces(sets: Sequence[Sequence[Move]]) -> Iterator[list[int]]:
    """The numbers of the sets that hold any moves, so many together as to hold about _AT_ONCE."""
    piece: list[int] = []
    held = 0
    for number, moves in enumerate(sets):
        if moves:
            piece.append(number)
            held += len(moves)
        if held >= _AT_ONCE:
            yield piece
            piece, held = [], 0
    if piece:
        yield piece


def _weighed(sets: Sequence[Sequence[Move]], curves: Mapping[str, Curve], learned: Trust) -> list[Worth]:
    of = batch(sets, curves, learned.credit)
    cost = np.array([sum(move.cost_usd for move in moves) for moves in sets])
    rate, gained = of.summed(of.gain), of.summed(of.gain * of.hours)
    counted, counted_usd = (of.summed(of.gain * of.scale[:, what]) for what in (COUNTED, USD))
    left_open = spread(of, cost)
    starts = np.flatnonzero(np.diff(of.of, prepend=-1))
    exposure = np.array([curve.exposure for curve in of.curves])
    wider = np.maximum.reduceat(_widening(of.curves, of.hours), starts) * learned.spread
    briefest = np.minimum.reduceat(exposure, starts)
    below, above, clauses = _supposed(of, sets)
    low = np.minimum(0.0, wider * (left_open.low - rate))
    high = np.maximum(0.0, wider * (left_open.high - rate))
    if (lately := windowed(of)) is not None:
        told, least, most = lately
        low = np.where(told, -learned.spread * np.hypot(left_open.low - rate, least), low)
        high = np.where(told, learned.spread * np.hypot(left_open.high - rate, most), high)
    low, high = low + below, high + above
    return [
        Worth(
            gain=Interval(_bound(low[g], rate[g], -inf), float(rate[g]), _bound(high[g], rate[g], inf)),
            cost_usd=float(cost[g]), net_usd=float(gained[g] - cost[g]),
            confidence=min(float(left_open.sure[g]), surest(float(briefest[g]))),
            counted=float(counted[g]), counted_usd=float(counted_usd[g]), supposes=tuple(sorted(clauses[g])),
            only_shrinks=not any(move.grows for move in moves),
        )
        for g, moves in enumerate(sets)
    ]  # fmt: skip


def _bound(beside: float, expected: float, unknown: float) -> float:
    """A bound so far beside what is expected. What is 0 but for rounding is 0, and what is no number bounds nothing."""
    bound = float(expected + beside)
    if not isfinite(bound):
        return unknown
    return bound if abs(bound) > _ROUNDING * abs(expected) else 0.0


def surest(hours: float) -> float:
    """How sure so many hours of history can make anybody: (n + 1) / (n + 2), Laplace's rule of succession.

    2 h in which nothing ever spoke against it are 75 %, 48 h 98 %. All replicates agreeing says only that no hour that
    was seen speaks against it.
    """
    return (hours + 1) / (hours + 2)


def _supposed(of: Batch, sets: Sequence[Sequence[Move]]) -> tuple[F64, F64, list[set[str]]]:
    """(G,) by what the gain is less and more if none and all is used of what was never seen in use, and the clauses of
    the curves whose move rests on it.
    """
    told = np.array([curve.unseen is not None for curve in of.curves])
    clauses: list[set[str]] = [set() for _ in sets]
    below = above = np.zeros(len(told))
    rests = ~told
    if told.any():
        rows = [np.stack([c.y, c.y]) if c.unseen is None else c.unseen for c in of.curves]
        ends = of.along(np.concatenate(rows, axis=1))
        beside = np.where(told, ends - of.gain, 0.0)
        below, above = np.minimum(beside.min(axis=0), 0.0), np.maximum(beside.max(axis=0), 0.0)
        grows = np.array([move.grows for moves in sets for move in moves])
        rests = rests | (grows & (ends[1] > ends[0]))
    for i in np.flatnonzero(rests).tolist():
        if clause := of.curves[i].supposes:
            clauses[of.of[i]].add(clause)
    return of.summed(below), of.summed(above), clauses


def widening(curve: Curve) -> float:
    """By how much the spread of the mean must grow to cover what the next horizon itself may do, where no windows tell it:
    √(1 + n_eff / n_future), as if hours had nothing to do with one another.

    n_eff is the number of hours that the estimate rests on, were they all weighed the same: the curve's own, else that of
    a history of T hours under the 12 h kernel, (Σw)² / Σw² = 2τ · tanh(T / 2τ) with τ = 12 h / ln 2 = 17.3 h; n_future
    the hours of the horizon. For T = 72 h and 2 h to come: √(1 + 33.5 / 2) = 4.2. What is learned from how often the
    interval missed is not in here: it needs outcomes.
    """
    return float(_widening([curve], np.array([curve.horizon / HOUR]))[0])


def _widening(curves: Sequence[Curve], hours: F64) -> F64:
    """The same for many, with the hours of their horizons."""
    kernel = 2 * _MEAN_LIFE * np.tanh(np.array([curve.exposure for curve in curves]) / (2 * _MEAN_LIFE))
    own = np.array([np.nan if curve.effective is None else curve.effective for curve in curves])
    found: F64 = np.sqrt(1 + np.where(own >= 0, own, kernel) / hours)
    return found
