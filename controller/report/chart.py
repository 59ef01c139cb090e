"""Charts as SVG that reads without scripts, at any width. Pure: arrays in, text out.

A chart is as wide as its place. Its plot is an inner <svg> that is stretched (x from 0 to 1000, y in pixels), its words and
dots stand in the outer one at percentages, so they keep their size on a telephone and on paper. Colours and dashes come
from the page's style by class (markup.py); every chart has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from controller.model import F64

WIDE = 1000.0
"""Of the stretched plot."""
MOST_POINTS = 600
"""Of a line: more than a screen shows, few enough for a small file."""
HOUR, DAY = 1.0, 24.0
_TIME_STEPS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 120, 168, 240, 336, 720, 2160, 4320, 8760)
"""Hours between two marks of a time axis, from which the first that leaves few enough is taken."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    style: str
    """Its class."""
    x: F64
    """(n,) hours since the start, ascending."""
    y: F64
    """(n,)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a stack: piecewise constant."""

    style: str
    name: str
    values: F64
    """(n,) from each edge to the next."""


@dataclass(frozen=True, slots=True)
class Range:
    """What was promised, and what came of it."""

    x: float
    """Hours since the start."""
    low: float
    high: float
    found: float | None
    """None: not known."""
    words: str
    """Shown where a pointer rests."""

    @property
    def inside(self) -> bool | None:
        return None if self.found is None else self.low <= self.found <= self.high


@dataclass(frozen=True, slots=True)
class Over:
    """What is drawn over a stack. Times in hours since the start."""

    lines: tuple[Line, ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()
    """(from, to): nothing is known of this time."""
    events: tuple[tuple[float, str], ...] = ()
    """(when, words): a mark across; the words are shown where a pointer rests."""
    times: tuple[tuple[float, str], ...] | None = None
    """Marks of the time axis; None: hours or days since the start."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a chart is called and what it shows, for those who cannot see it; `id` is its own in the page."""

    id: str
    title: str
    desc: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels from the top."""

    low: float
    high: float
    height: float

    def __call__(self, value: float) -> float:
        return self.height * (self.high - value) / (self.high - self.low)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) from at most `low` to at least `high`: (0, 9) -> 0, 2, 4, 6, 8, 10.

    Where there is no range to divide, one is made around it: (3, 3) -> 2 .. 4.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    most = max(abs(low), abs(high))
    if high - low <= max(1e-9 * most, 1e-200):
        around = abs(low) / 3 if most > 1e-200 else 1.0
        low, high = low - around, high + around
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """As many decimals as the distance between two needs: (0, 0.05, 0.1) -> "0.00", "0.05", "0.10"."""
    if len(values) < 2:
        return [f"{value:g}" for value in values]
    step = abs(values[1] - values[0])
    if step >= 1e6 or step < 1e-6:
        digits = math.ceil(math.log10(max(abs(values[0]), abs(values[-1])) / step)) + 1
        return [f"{value + 0.0:.{digits}g}".replace("-", "−") for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value + 0.0:,.{decimals}f}".replace("-", "−") for value in values]


def time_ticks(hours: float, count: int = 7) -> list[tuple[float, str]]:
    """Marks of a time axis and their words: 720 h -> 0 d, 5 d ... 30 d; 12 h -> 0 h, 2 h ... 12 h."""
    step = next((step for step in _TIME_STEPS if hours / step <= count), hours / count)
    marks = np.arange(0.0, hours * (1 + 1e-9), step) if hours > 0 else np.zeros(1)
    if step >= DAY:
        return [(float(mark), f"{mark / DAY:g} d") for mark in marks]
    return [(float(mark), f"{mark:g} h") for mark in marks]


_NEAR: Final = 1e-9
"""Hours by which a mark may lie outside: what floats of today's dates leave of it."""


def calendar_ticks(start: float, hours: float, count: int = 9) -> list[tuple[float, str]]:
    """Marks of a time axis by the calendar, in UTC: 36 h from Monday the 2nd, 18:00, on -> 3 Nov, 06:00, 12:00 ..."""
    step = next((step for step in _TIME_STEPS if hours / step <= count), hours / count) * 3600
    first = math.ceil(start / step - 1e-9) * step
    marks = np.arange(first, start + hours * 3600 * (1 + 1e-9), step).tolist() if hours > 0 else []
    within = [at for at in marks if -_NEAR <= (at - start) / 3600 <= hours + _NEAR]  # arange may go one step too far
    return [((at - start) / 3600, _moment(at)) for at in within]


def _moment(at: float) -> str:
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%b}" if when.hour == when.minute == 0 else f"{when:%H:%M}"


def thin(x: F64, y: F64, most: int = MOST_POINTS) -> tuple[F64, F64]:
    """At most `most` points of a line, evenly chosen, with both of its ends."""
    if len(x) <= most:
        return x, y
    chosen = np.unique(np.linspace(0, len(x) - 1, most).round().astype(int))
    return x[chosen], y[chosen]


def steps_of(values: F64, most: int = MOST_POINTS) -> tuple[F64, F64]:
    """Piecewise constant rows (T, W) as their edges, in rows (n + 1,), and the values between those (n, W), n <= most.

    As they are where they change seldom; else their means over n equal stretches, so that areas stay what they are.
    """
    count = len(values)
    if not count:
        return np.zeros(1), values
    changed = np.flatnonzero((np.diff(values, axis=0) != 0).any(axis=1)) + 1
    if len(changed) < most:
        return np.concatenate([[0.0], changed, [count]]).astype(float), values[np.concatenate([[0], changed])]
    edges = np.unique(np.linspace(0, count, most + 1).round().astype(int))
    sums = np.add.reduceat(values, edges[:-1], axis=0)
    return edges.astype(float), sums / np.diff(edges)[:, None]


# --- whole charts -------------------------------------------------------------------------------------------------------


def line_chart(words: Words, lines: Sequence[Line], hours: float, height: float = 260.0) -> str:
    """Lines over time, the first drawn lowest; zero is always within the picture's reach where the values come near it."""
    drawn = [(line, *thin(line.x, line.y)) for line in lines if len(line.x)]
    if not drawn:
        return nothing(words)
    values = np.concatenate([y[np.isfinite(y)] for _, _, y in drawn])
    marks = _reach(values)
    scale = Scale(marks[0], marks[-1], height)
    paths = "".join(
        f'<path class="line {line.style}" d="{_polyline(_across(x, hours), y, scale)}"/>' for line, x, y in drawn
    )
    return _framed(words, paths, "", scale, marks, hours)


def stack_chart(words: Words, layers: Sequence[Layer], edges: F64, hours: float, capacity: float | None,
                height: float = 110.0, over: Over | None = None) -> str:  # fmt: skip
    """Layers above each other over time, the first lowest; `edges` (n + 1,) in hours, `capacity` a line across."""
    if not layers or len(edges) < 2:
        return nothing(words)
    over = over or Over()
    tops = np.cumsum([np.nan_to_num(layer.values) for layer in layers], axis=0)
    known = [line.y[np.isfinite(line.y)] for line in over.lines]
    most = max(float(tops[-1].max()), capacity or 0.0, *(float(y.max(initial=0.0)) for y in known))
    least = min([0.0, *(float(y.min(initial=0.0)) for y in known)])
    marks = ticks(least, most if most > 0 else 1.0, 3)
    scale = Scale(marks[0], marks[-1], height)
    across = _across(edges, hours)
    areas = "".join(
        f'<path class="layer {layer.style}" d="{_area(across, top, scale)}"><title>{escape(layer.name)}</title></path>'
        for layer, top in reversed(list(zip(layers, tops, strict=True)))
    )
    if capacity is not None:
        areas += f'<path class="capacity" d="M0 {scale(capacity):.1f}H{WIDE:.0f}"/>'
    marked = "".join(_event(at, said, hours) for at, said in over.events)
    times = time_ticks(hours) if over.times is None else over.times
    return _framed(words, f"{areas}{_over(over, hours, scale)}", marked, scale, marks, hours, times)


def range_chart(words: Words, ranges: Sequence[Range], hours: float, height: float = 260.0) -> str:
    """Each promise as a bar from low to high, what came of it as a dot: full inside, a ring outside."""
    if not ranges:
        return nothing(words)
    found = [each.found for each in ranges if each.found is not None]
    marks = _reach(np.array([*(each.low for each in ranges), *(each.high for each in ranges), *found]))
    scale = Scale(marks[0], marks[-1], height)
    return _framed(words, "", "".join(_ranged(each, hours, scale) for each in ranges), scale, marks, hours)


def share_chart(words: Words, shares: Sequence[tuple[str, float, float]]) -> str:
    """Bars across for (name, share found, share meant), the latter as a mark on each."""
    row, bar = 44.0, 18.0
    parts = []
    for i, (name, found, meant) in enumerate(shares):
        top = i * row
        parts.append(
            f'<text class="what" x="0" y="{top + 13:.0f}">{escape(name)}</text>'
            f'<rect class="rest" x="0" y="{top + 20:.0f}" width="100%" height="{bar:.0f}"/>'
            f'<rect class="share" x="0" y="{top + 20:.0f}" width="{100 * found:.2f}%" height="{bar:.0f}"/>'
            f'<line class="meant" x1="{100 * meant:.1f}%" x2="{100 * meant:.1f}%" y1="{top + 16:.0f}" y2="{top + 42:.0f}"/>'
            f'<text class="x" x="100%" y="{top + 13:.0f}" text-anchor="end">{100 * found:.0f} %, meant {100 * meant:.0f} %</text>'
        )
    return f"{_opened(words, row * len(shares))}{''.join(parts)}</svg>"


def nothing(words: Words) -> str:
    """Where there is nothing to draw, that is said."""
    return f'<p class="dim">{escape(words.title)}: there is nothing to draw.</p>'


# --- their parts --------------------------------------------------------------------------------------------------------


def _opened(words: Words, height: float) -> str:
    name = escape(words.id, quote=True)
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-title {name}-desc" width="100%" height="{height:.0f}">'
        f'<title id="{name}-title">{escape(words.title)}</title><desc id="{name}-desc">{escape(words.desc)}</desc>'
    )


def _framed(words: Words, inner: str, outer: str, scale: Scale, marks: Sequence[float], hours: float,
            at: Sequence[tuple[float, str]] | None = None) -> str:  # fmt: skip
    """The plot with its axes; the page leaves room at the left and below. `at`: the marks of the time axis."""
    grid = "".join(f"M0 {scale(mark):.1f}H{WIDE:.0f}" for mark in marks)
    zero = f'<path class="zero" d="M0 {scale(0.0):.1f}H{WIDE:.0f}"/>' if marks[0] < 0 < marks[-1] else ""
    names = "".join(
        f'<text class="y" x="-8" y="{scale(mark) + 4:.1f}" text-anchor="end">{name}</text>'
        for mark, name in zip(marks, labels(marks), strict=True)
    )
    times = "".join(
        f'<text class="x" x="{_percent(mark, hours):.2f}%" y="{scale.height + 18:.0f}" '
        f'text-anchor="{_anchor(mark, hours)}">{name}</text>'
        for mark, name in (time_ticks(hours) if at is None else at)
    )
    box = f'width="100%" height="{scale.height:.0f}" viewBox="0 0 {WIDE:.0f} {scale.height:.0f}"'
    return (
        f'{_opened(words, scale.height + 24)}<svg class="plot" {box} preserveAspectRatio="none">'
        f'<path class="grid" d="{grid}"/>{zero}{inner}</svg>{outer}{names}{times}</svg>'
    )


def _over(over: Over, hours: float, scale: Scale) -> str:
    """Gaps, marks and lines, in the stretched plot."""
    gaps = "".join(
        f'<rect class="gap" x="{WIDE * a / hours:.1f}" width="{WIDE * (b - a) / hours:.1f}" y="0" height="{scale.height:.0f}">'
        "<title>nothing is known of this time</title></rect>"
        for a, b in over.gaps
    )
    marks = "".join(f'<path class="event" d="M{WIDE * at / hours:.1f} 0V{scale.height:.0f}"/>' for at, _ in over.events)
    lines = "".join(
        f'<path class="line {line.style}" d="{_polyline(_across(line.x, hours), line.y, scale)}"/>'
        for line in over.lines
    )
    return gaps + marks + lines


def _event(at: float, said: str, hours: float) -> str:
    place = f"{_percent(at, hours):.2f}%"
    return f'<circle class="event" cx="{place}" cy="0" r="4"><title>{escape(said)}</title></circle>'


def _ranged(each: Range, hours: float, scale: Scale) -> str:
    x = f"{_percent(each.x, hours):.2f}%"
    dot = ""
    if each.found is not None:
        style = "inside" if each.inside else "outside"
        dot = f'<circle class="{style}" cx="{x}" cy="{scale(each.found):.1f}" r="3.5"/>'
    return (
        f'<g><title>{escape(each.words)}</title><line class="range" x1="{x}" x2="{x}" y1="{scale(each.high):.1f}" '
        f'y2="{scale(each.low):.1f}"/>{dot}</g>'
    )


def _reach(values: F64) -> list[float]:
    """The marks of an axis for these; from zero where that wastes less than half of it, or cuts off a hair's breadth."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ticks(0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if -0.03 * high <= low <= 0.5 * high:
        low = 0.0
    if 0.5 * low <= high <= -0.03 * low:
        high = 0.0
    return ticks(low, high)


def _percent(x: float, hours: float) -> float:
    return 100.0 * x / hours if hours > 0 else 0.0


def _anchor(mark: float, hours: float) -> str:
    """Words at either end stay within the plot."""
    return "start" if mark <= 0 else "end" if mark >= hours * (1 - 1e-9) else "middle"


def _across(x: F64, hours: float) -> F64:
    return x * (WIDE / hours) if hours > 0 else np.zeros_like(x)


def _polyline(x: F64, y: F64, scale: Callable[[float], float]) -> str:
    """A path through the points; where a value is unknown the line is broken."""
    parts, pen = [], "M"
    for at, value in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(value):
            pen = "M"
            continue
        parts.append(f"{pen}{at:.1f} {scale(value):.1f}")
        pen = "L"
    return "".join(parts)


def _area(edges: F64, tops: F64, scale: Callable[[float], float]) -> str:
    """From zero up to the tops, which hold from edge to edge."""
    middle = "".join(
        f"V{scale(top):.1f}H{edge:.1f}" for top, edge in zip(tops.tolist(), edges[1:].tolist(), strict=True)
    )
    return f"M{edges[0]:.1f} {scale(0.0):.1f}{middle}V{scale(0.0):.1f}Z"
