"""A Result as one HTML file that asks nobody for anything: charts, the numbers beside them, and what they mean. Pure.

It reads without scripts, on paper and on a telephone, by day and by night. Names come from outside and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.backtest.comparison import HEADS, columns, row, shown
from controller.backtest.held import allocations
from controller.backtest.markup import legend, spaced, styles
from controller.backtest.outcomes import outcomes
from controller.backtest.report import conclusion, figures, headline, per_tick, remarks, stopwatch
from controller.backtest.result import CLAIRVOYANT, EQUAL, GREEDY, NAMES, ORCHA, STATIC, WINNER
from controller.report.chart import DAY, HOUR, Line, Words, line_chart
from controller.report.markup import MOST_ROWS, figure, folded, money, sentence, table
from controller.report.tables import BAD, GOOD, STALE

if TYPE_CHECKING:
    from controller.backtest.result import Result
    from controller.model import F64

View = dict[str, Any]
CLASS = {BAD: "bad", GOOD: "good", STALE: "odd", "": ""}
TERMS = {
    STATIC: "never moves.",
    EQUAL: "each node’s capacity split evenly within bounds, once.",
    GREEDY: "every hour from the worst to the best earner per allocated unit, where that improves by 5 %.",
    WINNER: "the best earner per allocated unit gets all that bounds and limits allow.",
    CLAIRVOYANT: "knows all demand beforehand, under the same limits: a bound that nobody reaches.",
}


def page(result: Result, *, complete: bool = True, notes: Sequence[str] = ()) -> str:
    """The whole page. `notes`: what to know of the history that was replayed."""
    view = figures(result, complete=complete, notes=notes)
    sums = {name: np.concatenate([[0.0], np.cumsum(per_tick(run))]) for name, run in result.runs.items()}
    body = (
        f"{_summary(view)}{_earnings(result, sums)}{_regret(result, sums)}{allocations(result)}"
        f"{outcomes(result, view['coverage'])}{_terms()}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>orcha backtest: {escape(view['case'])}</title><style>{styles()}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _summary(view: View) -> str:
    said = "".join(f'<li class="{CLASS[style]}">{escape(words)}</li>' for words, style in remarks(view))
    start = datetime.fromtimestamp(view["start"], UTC)
    rows = [[spaced(name), *row(view, name)[1:]] for name in shown(view)]
    kept = columns(rows)
    heads, cells = [HEADS[i].replace("\n", " ") for i in kept], ([each[i] for i in kept] for each in rows)
    told = "".join(f"<li>{escape(note)}</li>" for note in view["notes"])
    notes = f'<ul class="dim">{told}</ul>' if told else ""
    return (
        f"<h1>{escape(headline(view))}</h1>"
        f'<p class="dim">From {start.day} {start:%B %Y, %H:%M} UTC on. {escape(sentence(f"computed in {stopwatch(view)}"))}</p>'
        f'<p class="sentence">{escape(sentence(conclusion(view)))}</p>'
        f"{table(heads, cells, ours=ORCHA)}<ul>{said}</ul>{notes}"
    )


# --- earnings and regret ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Periods:
    """The time of a case in days, or in hours where there are few days."""

    unit: str
    edges: F64
    """(n + 1,) hours since the start."""
    at: F64
    """(n + 1,) the tick at which each begins."""

    @property
    def middles(self) -> F64:
        """(n,) hours since the start."""
        found: F64 = 0.5 * (self.edges[:-1] + self.edges[1:])
        return found


def periods(ticks: int, hours: float) -> Periods:
    """Of so many ticks of so many hours each: 30 days are days, a day is hours; the last may be shorter."""
    whole = ticks * hours
    unit, length = ("day", DAY) if whole >= 4 * DAY else ("hour", HOUR) if whole >= 4 * HOUR else ("tick", hours)
    starts = np.round(np.arange(0.0, whole * (1 - 1e-9), length) / hours)
    at = np.unique(np.append(starts, ticks))
    return Periods(unit, at * hours, at)


def _earnings(result: Result, sums: Mapping[str, F64]) -> str:
    truth = result.case.truth
    if not truth.ticks or not sums:
        return ""
    found = periods(truth.ticks, truth.hours)
    each = {name: np.diff(total[found.at.astype(int)]) for name, total in sums.items()}
    title = f"Earned in each {found.unit}"
    words = Words("earned", title, f"USD, a line for each split. In all: {_spoken(_totals(sums))}.")
    lines = [Line(name, found.middles, each[name]) for name in _bottom_up(each)]
    chart = line_chart(words, lines, float(found.edges[-1]))
    out = (
        f"<section><h2>Earnings over time</h2>{_exactness(result)}<h3>{title}, USD</h3>"
        f"{figure(chart, legend(_totals(sums)))}{_numbers(each, found)}"
    )
    if STATIC in sums and len(sums) > 1:
        ahead = {name: total - sums[STATIC] for name, total in sums.items() if name != STATIC}
        title = "Earned more than leaving it, so far"
        words = Words("ahead", title, f"USD since the start, against static. At the end: {_spoken(_ends(ahead))}.")
        out += f"<h3>{title}, USD</h3>{figure(_over_time(result, words, ahead), legend(_ends(ahead)))}"
    return f"{out}</section>"


def _regret(result: Result, sums: Mapping[str, F64]) -> str:
    if CLAIRVOYANT not in sums or len(sums) < 2:
        said = "The clairvoyant was not run, so nobody knows what was missed."
        return f'<section><h2>Regret</h2><p class="dim">{said}</p></section>'
    regret = {name: sums[CLAIRVOYANT] - total for name, total in sums.items() if name != CLAIRVOYANT}
    words = Words(
        "regret", "Regret against the clairvoyant, so far",
        f"USD that were possible and were not earned, since the start. At the end: {_spoken(_ends(regret))}.",
    )  # fmt: skip
    return (
        "<section><h2>Regret</h2><p>USD that somebody who knows all demand beforehand would have earned more, since the "
        "start. Lower is better; nobody reaches zero.</p>"
        f"{figure(_over_time(result, words, regret), legend(_ends(regret)))}</section>"
    )


def _over_time(result: Result, words: Words, series: Mapping[str, F64]) -> str:
    truth = result.case.truth
    hours = np.arange(truth.ticks + 1, dtype=np.float64) * truth.hours
    lines = [Line(name, hours, series[name]) for name in _bottom_up(series)]
    return line_chart(words, lines, float(hours[-1]))


def _exactness(result: Result) -> str:
    if result.exact:
        return ""
    return (
        '<p class="odd">Recorded history: what would have been used above the recorded allocations was not seen. What is '
        "drawn is for the least demand that there can have been; the table above has both ends.</p>"
    )


def _bottom_up(series: Iterable[str]) -> list[str]:
    """Orcha last, so that it is drawn over the others."""
    known = set(series)
    return [name for name in (*(name for name in NAMES if name != ORCHA), ORCHA) if name in known]


def _totals(sums: Mapping[str, F64]) -> list[tuple[str, str]]:
    return _ordered({name: float(total[-1]) for name, total in sums.items()}, signed=False)


def _ends(series: Mapping[str, F64]) -> list[tuple[str, str]]:
    return _ordered({name: float(values[-1]) for name, values in series.items()}, signed=True)


def _ordered(last: Mapping[str, float], *, signed: bool) -> list[tuple[str, str]]:
    """(split, USD) for a legend, the highest first, as the lines end."""
    return [(name, money(last[name], signed=signed)) for name in sorted(last, key=lambda name: (-last[name], name))]


def _spoken(items: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{spaced(name)} {value}" for name, value in items)


def _numbers(each: Mapping[str, F64], found: Periods) -> str:
    """The same in numbers, in at most so many rows."""
    count, names = len(found.at) - 1, [name for name in NAMES if name in each]
    stride = -(-count // MOST_ROWS)
    starts = list(range(0, count, stride))
    sums = {name: np.add.reduceat(each[name], starts) for name in names}
    rows = (
        [
            f"{start}" if stride == 1 else f"{start} to {min(start + stride, count) - 1}",
            *(money(float(sums[name][i])) for name in names),
        ]
        for i, start in enumerate(starts)
    )
    caption = f"USD in each {found.unit}" if stride == 1 else f"USD in each {stride} {found.unit}s"
    return folded("the numbers", table((found.unit, *map(spaced, names)), rows, caption))


def _terms() -> str:
    items = "".join(f"<li><b>{spaced(name)}</b>: {words}</li>" for name, words in TERMS.items())
    return (
        f'<section class="dim"><h2>What is compared</h2><ul>{items}</ul><p>Earned is after energy and fees. Captured '
        "uplift is what a split gained over static, as a share of what the clairvoyant gained.</p></section>"
    )
