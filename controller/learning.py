"""What outcomes teach a policy: how wide its intervals must be, whose promises to discount, when to only suggest. Pure.

Everything here is a fold over judged programs in the order in which they ended (payoff.ledger_of sorts them), so that
a restart, or another order of arrival, teaches the same. Only ratios count: in another currency it learns the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from controller.estimate.words import money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.model import F64
    from controller.payoff import Ledger
    from controller.promises import Trial

    Places = NDArray[np.intp]

WEEK: Final = 7 * 24 * 3600.0
RATE: Final = 0.15
MISSES: Final = 0.2
"""Of an 80 % interval."""
NARROWEST, WIDEST = 0.25, 4.0
"""Bounds of the factor s: after a bad week it must find back within days, at RATE x MISSES an outcome."""
PRIOR: Final = 4.0
"""Outcomes that paid exactly what they promised, which are put to what was seen: one bad outcome is no habit."""
LEAST: Final = 0.2
"""Even who never paid is tried a little, or nobody would see it get better."""
MOST_PAID: Final = 2.0
"""More than twice the promise, or less than nothing, counts as that much: noise is cut on both sides alike."""
FEWEST: Final = 5
"""Outcomes under which nothing is sure."""
_Z: Final = 1.6448536269514722
"""The 95 % quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """A policy that lost money only suggests for a week."""

    since: float
    sentence: str


def spread_of(judged: Iterable[Trial]) -> float:
    """s: after each outcome s · exp(0.15 · (miss - 0.2)), miss = 1 outside of the promised interval (economics.md 4).

    Four within and one outside leave it where it was: exp(0.15 · (1 - 5 · 0.2)) = 1.
    """
    s = 1.0
    for program in judged:
        if program.counts and program.outcome is not None:
            miss = 0.0 if program.outcome.within else 1.0
            s = min(WIDEST, max(NARROWEST, s * math.exp(RATE * (miss - MISSES))))
    return s


def penalty_of(judged: Iterable[Trial]) -> dict[str, float]:
    """By protocol, what part of a promise its workloads that grew paid, where under 1: (Σ realised + prior) / (Σ promised + prior).

    The prior is 4 outcomes of the mean promise, paid in full; each outcome counts between nothing and twice its promise.
    One that paid nothing: (0 + 4) / (1 + 4) = 0.8; eight of them: 4 / 12 = 0.33; never under 0.2.
    """
    seen: dict[str, list[tuple[float, float]]] = {}
    for program in judged:
        for part in program.parts if program.promise is not None else ():
            if part.to > part.from_ and part.promised and part.promised > 0 and part.realised is not None:
                paid = min(MOST_PAID * part.promised, max(0.0, part.realised.expected))
                seen.setdefault(part.protocol, []).append((paid, part.promised))
    found = {}
    for protocol, outcomes in sorted(seen.items()):
        promised = math.fsum(promise for _, promise in outcomes)
        prior = PRIOR * promised / len(outcomes)
        share = (math.fsum(paid for paid, _ in outcomes) + prior) / (promised + prior)
        if share < 1:
            found[protocol] = max(LEAST, share)
    return found


def fallback_of(policy: str, judged: Iterable[Trial], reset_at: float) -> Fallback | None:
    """The newest time at which what the policy's programs of the 7 days before had brought was below zero with 95 %
    confidence. It holds for 7 days, during which nothing is tested, and ends earlier when the owner resets it.
    """
    ends = [
        (program.outcome.at, program.outcome.usd)
        for program in judged
        if program.counts and program.outcome is not None and program.outcome.usd is not None
        if program.outcome.at > reset_at
    ]
    if len(ends) < FEWEST:
        return None
    at, usd = np.array(ends).T
    first, last = np.searchsorted(at, at - WEEK, side="right"), np.searchsorted(at, at, side="right")
    losing = at[_below_zero(usd, first, last)]
    found, tested = None, -math.inf
    while len(losing := losing[losing >= tested]):
        found, tested = float(losing[0]), float(losing[0]) + WEEK
    if found is None:
        return None
    brought = [dollars for ended, dollars in ends if found - WEEK < ended <= found]
    words = (
        f"policy {policy} only suggests for 7 days: the {len(brought)} programs that ended in the 7 days before "
        f"brought {money(math.fsum(brought), signed=True)} USD together, below zero with 95 % confidence"
    )
    return Fallback(found, words)


def below_zero(values: Sequence[float]) -> bool:
    """Student's one-sided test: mean + t(95 %, n - 1) · s / √n < 0, of at least 5 values.

    -1, -2, -3, -2, -2: mean -2, s 0.707, t 2.132: upper bound -1.33, so yes. -1, 2, -3, 1, -2: -0.6 + 1.98, so no.
    """
    return bool(_below_zero(np.array(values, dtype=np.float64), np.array([0]), np.array([len(values)]))[0])


def _below_zero(values: F64, first: Places, last: Places) -> NDArray[np.bool_]:
    """That test of each values[first:last], by running sums."""
    scaled = values / (np.abs(values).max(initial=0.0) or 1.0)
    total, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (scaled, scaled**2))
    n = np.maximum(last - first, 2)
    mean = (total[last] - total[first]) / n
    variance = np.maximum(squares[last] - squares[first] - n * mean**2, 0.0) / (n - 1)
    found: NDArray[np.bool_] = (last - first >= FEWEST) & (mean + student(n - 1) * np.sqrt(variance / n) < 0)
    return found


def student(freedom: Places) -> F64:
    """The 95 % quantiles of Student's t, by the expansion of Abramowitz and Stegun 26.7.5: 2.130 at 4 (exactly 2.132)."""
    z, f = _Z, freedom.astype(np.float64)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / f + second / f**2 + third / f**3


@dataclass(frozen=True, slots=True)
class Record:
    """How one policy's programs turned out that ended in the last 7 days; None where nobody can say."""

    policy: str
    running: int
    """Programs that wait for their horizons to pass."""
    judged: int
    unknown: int
    realised: float | None = None
    """USD per hour, mean over the judged programs, before the cost of moving."""
    promised: float | None = None
    """USD per hour, the mean of what the same programs had promised."""
    usd: float | None = None
    """What they brought in all, less what moving cost."""
    error: float | None = None
    """Σ |realised - promised| / Σ |promised|."""
    success: float | None = None
    """Share of them that brought more than they cost."""
    coverage: float | None = None
    """Share of them whose gain lay in the promised interval; 0.8 is what the interval says."""


def record_of(ledger: Ledger, now: float) -> Record:
    """Changes by hand that nobody suggested are not the policy's, and are left out."""
    ended = [p for p in ledger.judged if p.promise is not None and p.outcome and now - WEEK < p.outcome.at]
    known = [p for p in ended if p.counts]
    record = Record(ledger.policy, len(ledger.running), len(known), len(ended) - len(known))
    if not known:
        return record
    pairs = [(p.outcome, p.promise.gain.expected) for p in known if p.outcome and p.promise]
    realised = [outcome.realised.expected for outcome, _ in pairs if outcome.realised]
    promised = [expected for _, expected in pairs]
    off = math.fsum(abs(a - b) for a, b in zip(realised, promised, strict=True))
    asked = math.fsum(map(abs, promised))
    n = len(known)
    return Record(
        ledger.policy, record.running, n, record.unknown,
        realised=math.fsum(realised) / n, promised=math.fsum(promised) / n,
        usd=math.fsum(outcome.usd or 0.0 for outcome, _ in pairs), error=off / asked if asked > 0 else None,
        success=sum(bool(outcome.success) for outcome, _ in pairs) / n,
        coverage=sum(bool(outcome.within) for outcome, _ in pairs) / n,
    )  # fmt: skip


def newest(ledgers: Mapping[str, Ledger], now: float) -> list[Record]:
    """The record of every policy, by name."""
    return [record_of(ledgers[policy], now) for policy in sorted(ledgers)]
