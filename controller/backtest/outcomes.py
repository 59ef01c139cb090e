"""The part of the page that shows what orcha's programs promised and what came of them. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from controller.backtest.report import COVERAGE, FEW, intervals_words, moved
from controller.backtest.result import ORCHA
from controller.report.chart import Range, Words, range_chart, share_chart
from controller.report.markup import figure, folded, money, sentence, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.backtest.result import Promise, Result

View = dict[str, Any]
MOST_PROGRAMS = 300
"""Shown of all programs, evenly chosen; -o json has every one."""
BARS = (
    "Each bar is the interval that was promised when the program was made, 10 to 90 %, in USD per hour over its horizon. "
    "The dot is what it brought against not having moved: full inside the interval, a ring outside."
)
RINGS = (
    "Each ring is what a program brought against not having moved, in USD per hour over its horizon. Nobody asked how sure "
    "it was, so there is no interval to hold it against."
)


def outcomes(result: Result, found: View) -> str:
    """The section; `found` as report.coverage has it."""
    run = result.runs.get(ORCHA)
    if run is None:
        return ""
    if not run.promises:
        said = "What its programs promised was not kept." if run.programs else "Orcha moved nothing."
        return f"<section><h2>Programs</h2><p>{said}</p></section>"
    every = -(-len(run.promises) // MOST_PROGRAMS)
    shown = run.promises[::every]
    words = Words(
        "promises", "What programs promised, and what came of it",
        f"A bar from low to high for each program, a dot for what came of it. {sentence(intervals_words(found))}",
    )  # fmt: skip
    truth = result.case.truth
    chart = range_chart(words, [_range(result, each) for each in shown], truth.ticks * truth.hours)
    left = f" One of {every} is shown; -o json has all." if every > 1 else ""
    return (
        f"<section><h2>Programs, and what came of them</h2><p>{BARS if found['with_interval'] else RINGS}{left}</p>"
        f"{figure(chart)}{_paid(found)}{_calibration(found)}{_programs(result, shown)}</section>"
    )


def _range(result: Result, each: Promise) -> Range:
    hours = (each.at - result.case.truth.start) / 3600
    at, low, expected, high, sure, found, moves = _row(result, each)
    words = f"{at}: {moves}; promised {expected} ({low} to {high}) USD/h, {sure} sure; came of it: {found}"
    return Range(hours, each.low, each.high, each.realised, words)


def _row(result: Result, each: Promise) -> list[str]:
    low, expected, high, found = (
        money(value, signed=True) for value in (each.low, each.expected, each.high, each.realised)
    )
    at = when(each.at - result.case.truth.start)
    return [at, low, expected, high, f"{each.confidence:.0%}", found, moved(result.case, each)]


def when(seconds: float) -> str:
    """Day and time since the start: 26 h -> "day 1, 02:00"."""
    minutes = max(0, round(seconds / 60))
    return f"day {minutes // 1440}, {minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _paid(found: View) -> str:
    if not found["outcomes"]:
        return ""
    promised, brought = (money(found[f"{what}_usd_per_hour"], signed=True) for what in ("expected", "realised"))
    return (
        f"<p>Those whose horizon is over ({found['outcomes']}) promised {promised} USD per hour together and brought "
        f"{brought}.</p>"
    )


def _calibration(found: View) -> str:
    """Where outcomes fell, beside where they were meant to fall."""
    count, edge = found["outcomes"], (1 - COVERAGE) / 2
    if not count or not found["with_interval"]:
        return f'<p class="dim">{escape(sentence(intervals_words(found)))}</p>'
    shares = [
        ("below the interval", found["below"] / count, edge),
        ("inside", found["inside"] / count, COVERAGE),
        ("above it", found["above"] / count, edge),
    ]
    words = Words(
        "calibration", "Calibration of the intervals",
        "; ".join(f"{name} {100 * share:.0f} %, {100 * meant:.0f} % was meant" for name, share, meant in shares),
    )  # fmt: skip
    few = f" Of fewer than {FEW} outcomes, this is mostly chance." if count < FEW else ""
    return (
        "<h3>Calibration</h3><p>Of 100 outcomes 10 should lie below their interval, 80 inside and 10 above: the marks. "
        f"{sentence(intervals_words(found))}{few}</p><figure>{share_chart(words, shares)}</figure>"
    )


def _programs(result: Result, shown: Sequence[Promise]) -> str:
    heads = ("at", "low", "expected", "high", "sure", "came of it", "moves")
    rows = (_row(result, each) for each in shown)
    return folded("the programs", table(heads, rows, "Of promise and outcome: USD per hour", text=(6,)))
