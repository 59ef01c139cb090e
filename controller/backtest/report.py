"""A Result as figures (what -o json prints) and in sentences. Pure.

In: result.py. Out: plain dicts, words. None is unknown, never 0. The table is comparison.py, the page is page.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.backtest.result import CLAIRVOYANT, EQUAL, GREEDY, NAMES, ORCHA, STATIC, WINNER
from controller.report.tables import BAD, GOOD, STALE, amount, usd
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controller.backtest.case import Case
    from controller.backtest.result import Promise, Result, Run
    from controller.model import F64

View = dict[str, Any]
WEEK, MONTH = 7 * 86400.0, 30 * 86400.0
NOTABLE = 0.05
"""What the clairvoyant must gain over leaving everything for the captured uplift to say more than the per cent."""
FEW = 20
"""Outcomes below which the share inside the intervals is chance."""
COVERAGE = 0.8
"""What share of outcomes an interval from 10 to 90 % means to hold."""
CALLED = {
    STATIC: "leaving it",
    EQUAL: "an equal split",
    GREEDY: "greedy",
    WINNER: "winner takes all",
    ORCHA: "orcha",
    CLAIRVOYANT: "the clairvoyant",
}
"""How each is spoken of."""
RULES = (STATIC, EQUAL, GREEDY, WINNER)
"""What can be done without orcha."""


def figures(result: Result, *, complete: bool = True, notes: Sequence[str] = ()) -> View:
    """Everything that is known of a backtest, as JSON has it. `complete`: False where it was ended early; `notes`: what
    to know of the history that was replayed.

    Without a suffix, programs, moves, limit_violations, overallocations and decisions_per_second are orcha's. `seconds`
    are those of computing all but the clairvoyant, who has his own. Ratios are to static: 1.02 earned 2 % more.
    """
    case, runs = result.case, result.runs
    orcha, best = runs.get(ORCHA), runs.get(CLAIRVOYANT)
    return {
        "earned_usd": {name: earned(result, name) for name in NAMES},
        "captured_uplift": _finite(result.captured_uplift),
        "programs": orcha.programs if orcha else None,
        "moves": orcha.moves if orcha else None,
        "limit_violations": orcha.limit_violations if orcha else None,
        "overallocations": orcha.overallocations if orcha else None,
        "seconds": sum(run.seconds for name, run in runs.items() if name != CLAIRVOYANT) if runs else None,
        "decisions_per_second": orcha.decisions / orcha.seconds if orcha and orcha.seconds > 0 else None,
        "decisions": orcha.decisions if orcha else None,
        "clairvoyant_seconds": best.seconds if best else None,
        "case": case.name,
        "seed": case.seed,
        "days": case.truth.ticks * case.truth.tick / 86400,
        "start": case.truth.start,
        "nodes": [node.name for node in case.nodes],
        "workloads": [workload.key for workload in case.workloads],
        "exact": result.exact,
        "complete": complete,
        "notes": list(notes),
        "intervals": None if result.exact else {name: ends(result, name) for name in NAMES},
        "ratio": {name: ratio(result, name) for name in NAMES},
        "worst_7_days_ratio": {name: worst(result, name, WEEK) for name in NAMES},
        "worst_30_days_ratio": {name: worst(result, name, MONTH) for name in NAMES},
        "runs": {name: _changes(run) for name, run in runs.items()},
        "coverage": coverage(orcha.promises if orcha else ()),
        "promises": [_promise(promise) for promise in orcha.promises] if orcha else [],
    }


def earned(result: Result, name: str) -> float | list[float] | None:
    """USD in all; [low, high] where it can only be known to lie between; None: not run, or not known."""
    run = result.runs.get(name)
    if run is None:
        return None
    if run.low is None and run.high is None:
        return _finite(run.total)
    both = ends(result, name)
    return both[0] if both and name == STATIC and both[0] == both[1] else both


def ends(result: Result, name: str) -> list[float] | None:
    """The least and the most that it can have earned, the same twice where that is known."""
    run = result.runs.get(name)
    if run is None:
        return None
    low = _finite(run.total if run.low is None else run.low)
    high = _finite(run.total if run.high is None else run.high)
    return None if low is None or high is None else [low, high]


def ratio(result: Result, name: str) -> float | None:
    """What it earned over what static earned; None where either is not known to the cent, or static earned nothing."""
    one, base = earned(result, name), earned(result, STATIC)
    if not isinstance(one, float) or not isinstance(base, float) or base == 0:
        return None
    return 1 + (one - base) / abs(base)


def worst(result: Result, name: str, seconds: float) -> float | None:
    """The least ratio to static over any stretch of so long; None where the trace is shorter.

    Worked, one tick a day, static 1 USD on each: orcha's 1, 1, .9, .9, 1.3 have as their worst two days 0.9.
    """
    run, base = result.runs.get(name), result.runs.get(STATIC)
    if run is None or base is None or not result.exact:
        return None
    window = round(seconds / result.case.truth.tick)
    one, other = (_stretches(each, window) for each in (run, base))
    if not len(one):
        return None
    least = 1e-9 * max(float(np.abs(other).max()), float(np.abs(one).max()))
    known = np.abs(other) > least
    if not known.any():
        return None
    return _finite(float((1 + (one[known] - other[known]) / np.abs(other[known])).min()))


def _stretches(run: Run, window: int) -> F64:
    """(T - window + 1,) USD earned in each stretch of so many ticks."""
    sums = np.concatenate([[0.0], np.cumsum(per_tick(run))])
    return sums[window:] - sums[:-window] if 0 < window < len(sums) else np.zeros(0)


def per_tick(run: Run) -> F64:
    """(T,) USD; what nobody knows is not scored."""
    found: F64 = np.nan_to_num(run.earned, nan=0.0, posinf=0.0, neginf=0.0).sum(axis=1)
    return found


def coverage(promises: Iterable[Promise]) -> View:
    """How often what a program brought lay inside what was promised of it, of those whose horizon is over."""
    every = tuple(promises)
    known = [(each, each.realised) for each in every if each.realised is not None and math.isfinite(each.realised)]
    below = sum(found < each.low for each, found in known)
    above = sum(found > each.high for each, found in known)
    return {
        "promises": len(every),
        "with_interval": sum(each.low < each.high for each in every),
        "outcomes": len(known),
        "below": below,
        "inside": len(known) - below - above,
        "above": above,
        "share": (len(known) - below - above) / len(known) if known else None,
        "expected_usd_per_hour": sum(each.expected for each, _ in known) if known else None,
        "realised_usd_per_hour": sum(found for _, found in known) if known else None,
    }


def _changes(run: Run) -> View:
    return {
        "programs": run.programs,
        "moves": run.moves,
        "limit_violations": run.limit_violations,
        "overallocations": run.overallocations,
        "seconds": run.seconds,
    }


def _promise(each: Promise) -> View:
    return {
        "at": each.at,
        "moves": [
            {"workload": key, "from": before, "to": after}
            for key, before, after in zip(each.keys, each.from_, each.to, strict=True)
        ],
        "usd_per_hour": {"low": _finite(each.low), "expected": _finite(each.expected), "high": _finite(each.high)},
        "confidence": _finite(each.confidence),
        "horizon_seconds": each.horizon,
        "realised_usd_per_hour": _finite(each.realised),
        "sentence": each.sentence,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


# --- words --------------------------------------------------------------------------------------------------------------


def percent(found: float | None) -> str:
    """A ratio as its distance from 1: 1.081 -> "+8.1 %", 0.9996 -> "−0.04 %"; "?" where unknown."""
    if found is None:
        return "?"
    value = 100 * (found - 1)
    digits = 0 if abs(value) >= 99.5 else 1 if abs(value) >= 0.95 else 2
    words = f"{value:+,.{digits}f}"
    return f"{'0' if not float(words.replace(',', '')) else words} %".replace("-", "−")


def conclusion(view: View) -> str:
    """What it means, in one sentence."""
    orcha, static = view["earned_usd"][ORCHA], view["earned_usd"][STATIC]
    if orcha is None or static is None:
        known = ", ".join(name for name in NAMES if view["earned_usd"][name] is not None)
        return f"what orcha would have earned is not known; there is {known or 'nothing yet'}"
    if not view["exact"]:
        return _between(view)
    more = orcha - static
    if abs(more) <= 1e-9 * max(abs(orcha), abs(static)):
        never = " and would have moved nothing" if not view["programs"] else ""
        return f"orcha would have earned what leaving it earns, {usd(static)} USD,{never or ' no more and no less'}{_possible(view)}"
    share = f" ({percent(view['ratio'][ORCHA])})" if view["ratio"][ORCHA] is not None else ""
    return (
        f"orcha would have earned {usd(abs(more))} USD {'more' if more > 0 else 'less'} than leaving it{share}"
        f"{_possible(view)}"
    )


def _between(view: View) -> str:
    """For recorded history: what lay above an allocation then was not seen."""
    left, ours = (earned_words(view["intervals"][name]) for name in (STATIC, ORCHA))
    return (
        f"leaving it earned {left} USD, orcha would have earned {ours} USD: how much more would have been used above what "
        "was allocated then, nobody saw"
    )


def earned_words(value: float | list[float] | None) -> str:
    """USD, or from where to where they can have been; two ends that read the same are one."""
    if not isinstance(value, list):
        return usd(value)
    low, high = map(usd, value)
    return low if low == high else f"{low} to {high}"


def _possible(view: View) -> str:
    best = view["ratio"][CLAIRVOYANT]
    if best is None:
        return ""
    captured = view["captured_uplift"]
    if captured is not None and best >= 1 + NOTABLE:
        return f", {part(captured)} of what was possible"
    return (
        f"; somebody who knows all demand beforehand gains {percent(best)}, so there is little to win and the per cent "
        "says more than the share of it"
    )


def best_rule(view: View) -> tuple[str, float] | None:
    """The one of the rules without orcha that earned most, and what; None where one of them is not known."""
    known = {name: view["earned_usd"][name] for name in RULES}
    if not all(isinstance(value, float) for value in known.values()):
        return None
    name = max(RULES, key=lambda name: (known[name], -RULES.index(name)))
    return name, known[name]


def remarks(view: View) -> list[tuple[str, str]]:
    """(sentence, style) for what stands under the table."""
    found: list[tuple[str, str]] = []
    rule, orcha = best_rule(view), view["earned_usd"][ORCHA]
    if rule and rule[0] == STATIC:
        found.append(("no simple rule earned more than leaving it", ""))
    elif rule and isinstance(orcha, float):
        name, best = rule
        words = "more" if orcha >= best else "less"
        found.append(
            (f"against the best rule without it, {CALLED[name]}: {usd(abs(orcha - best))} USD {words}",
             GOOD if orcha >= best else STALE)
        )  # fmt: skip
    if (worst_week := view["worst_7_days_ratio"][ORCHA]) is not None:
        found.append(
            (f"the worst 7 days of it: {percent(worst_week)} against leaving it", BAD if worst_week < 0.99 else "")
        )
    if view["programs"] is not None:
        found.append(_kept(view))
        found.append((intervals_words(view["coverage"]), ""))
    if not view["complete"]:
        found.append(("ended early: what is missing was not run", STALE))
    return found


def _kept(view: View) -> tuple[str, str]:
    broken, over = view["limit_violations"], view["overallocations"]
    words = f"{_count(broken, 'limit violation')}, {_count(over, 'over-allocation')}"
    return words, BAD if broken or over else GOOD


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def intervals_words(found: View) -> str:
    """How far its promises can be believed."""
    if not found["promises"]:
        return "nothing was promised, so nothing can be judged"
    if not found["with_interval"]:
        return "no interval was promised, so none can be judged: nobody asked how sure each plan is"
    if not found["outcomes"]:
        return f"what came of {_count(found['promises'], 'promise')} is not known"
    share = f"{found['inside']} of {_count(found['outcomes'], 'outcome')} inside the promised interval"
    few = f"; under {FEW}, that is chance" if found["outcomes"] < FEW else ""
    return f"{share} ({100 * found['share']:.0f} %, {100 * COVERAGE:.0f} % was meant{few})"


def stopwatch(view: View) -> str:
    """What it took."""
    if view["seconds"] is None:
        return "nothing was run"
    rate = view["decisions_per_second"]
    decided = f", {_count(view['decisions'], 'decision')}, {rate:,.0f} per second" if rate is not None else ""
    apart = view["clairvoyant_seconds"]
    return f"{view['seconds']:.1f} s{decided}" + (f"; the clairvoyant took {apart:.1f} s" if apart is not None else "")


def headline(view: View) -> str:
    """What was replayed."""
    return (
        f"{view['case']}: {_count(len(view['workloads']), 'workload')} on {_count(len(view['nodes']), 'node')}, "
        f"{format_duration(view['days'] * 86400)}, seed {view['seed']}"
    )


def moved(case: Case, promise: Promise) -> str:
    """Its moves as an owner would write them: rack-1/golem 4 cores → 6 cores."""
    bounds = {workload.key: workload.allocation for workload in case.workloads}
    words = []
    for key, before, after in zip(promise.keys, promise.from_, promise.to, strict=True):
        found = bounds.get(key)
        resource, step = (found.resource, found.step) if found else ("cpu", None)
        words.append(f"{key} {amount(resource, before, step)} → {amount(resource, after, step)}")
    return ", ".join(words)


def part(share: float) -> str:
    """A share of the possible with two digits: -0.2 -> "−0.20", -0.001 -> "0.00"."""
    return f"{share:z.2f}".replace("-", "−")
