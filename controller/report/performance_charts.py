"""The charts of a performance report: earnings by protocol, who held what, who was there. Pure; drawn by chart.py."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from controller.report.chart import Layer, Line, Over, Words, calendar_ticks, stack_chart
from controller.report.markup import MOST_LAYERS, colours, figure, folded, money, table
from controller.report.performance_words import percent, when
from controller.report.programs import seconds
from controller.report.tables import BINARY, amount, move_words
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.model import F64

View = dict[str, Any]
MOST_GROUPS: Final = 12
"""Nodes and resources that are drawn."""
MOST_STRIPS: Final = 20
"""Workloads whose uptime is drawn: those that were there least."""
_HOUR: Final = 3600.0
_ROW, _BAR = 34.0, 14.0
"""Pixels of a strip with its words, and of the strip."""


def earned(view: View) -> str:
    """Credited in each step, a layer for each protocol, and what of it is in hand as a line."""
    found = view["series"]
    edges = _hours(view, found["edges"])
    unit, per = _unit(found["step_seconds"])
    if not found["gross_usd"]:
        return '<p class="dim">What was earned is not known at any time, so there is nothing to draw.</p>'
    sums = {name: _figures(values) * per for name, values in found["gross_usd_per_hour"].items()}
    shown = _layers({name: float(np.nansum(values)) for name, values in sums.items()})
    layers = [
        Layer(style, name, np.sum([np.nan_to_num(sums[each]) for each in names], axis=0))
        for style, name, names in shown
    ]
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(_figures(found["net_usd_per_hour"]) * per, 2)
    lines = (Line("halo", x, y), Line("net", x, y))
    over = _over(view, gaps=_gaps(edges, np.array(found["coverage"])), lines=lines, changes=True)
    title = f"Credited, USD per {unit}"
    words = Words("earned", title, f"Areas over time, stacked by protocol: {', '.join(sums)}. A line: what is in hand.")
    chart = stack_chart(words, layers, edges, float(edges[-1]), None, 240.0, over)
    legend = f"{colours([(style, name) for style, name, _ in shown])}{_LINE}"
    return f"<h3>{title}</h3>{figure(chart, legend)}{_numbers(view)}"


_LINE: Final = (
    '<ul class="legend"><li><svg viewBox="0 0 32 12" aria-hidden="true"><path class="net" d="M0 6H32"/></svg>in hand, after '
    "cuts, fees and energy</li></ul>"
)


def _unit(step: float) -> tuple[str, float]:
    """What a chart counts in, and its hours: days where a step is one or more."""
    return ("day", 24.0) if step >= 86400 else ("hour", 1.0)


def _numbers(view: View) -> str:
    found = view["series"]
    columns = (*found["gross_usd"].values(), found["net_usd"])
    rows = [
        [when(found["edges"][i]), *(money(values[i]) for values in columns), percent(coverage)]
        for i, coverage in enumerate(found["coverage"])
    ]
    heads = ("from", *found["gross_usd"], "in hand", "known")
    return folded("the numbers", table(heads, rows, "USD known to be credited in each step, UTC"))


def allocated(view: View) -> str:
    """A stack for each node and resource, the capacity across, and a mark for each change."""
    groups = view["allocations"]
    drawn = "".join(_group(view, i, group) for i, group in enumerate(groups[:MOST_GROUPS]))
    left = len(groups) - MOST_GROUPS
    return drawn + (f'<p class="dim">{left} more are not drawn; -o json has them.</p>' if left > 0 else "")


def _group(view: View, number: int, group: View) -> str:
    moments = {seconds(step["at"]) or 0.0 for each in group["workloads"] for step in each["steps"]}
    since, until = (seconds(view["period"][end]) or 0.0 for end in ("from", "to"))
    at = sorted({since, *(moment for moment in moments if since <= moment < until), until})
    edges = (np.array(at) - since) / _HOUR
    held = {each["workload"]: _held(each["steps"], at[:-1]) for each in group["workloads"]}
    capacity = group["capacity"]
    most = max(capacity or 0.0, float(np.nansum(list(held.values()), axis=0).max(initial=0.0)))
    unit, name = _counted_in(group["resource"], most)
    shown = _layers({key: float(np.nansum(values * np.diff(edges))) for key, values in held.items()})
    layers = [
        Layer(style, said, np.sum([np.nan_to_num(held[key]) for key in keys], axis=0) / unit)
        for style, said, keys in shown
    ]
    known = np.array([0.0 if np.isnan(column).any() else 1.0 for column in np.array(list(held.values())).T])
    keys = {each["workload"] for each in group["workloads"]}
    over = _over(view, gaps=_gaps(edges, known), changes=True, of=keys)
    words = Words(f"held-{number}", f"{group['node']}: {name}", f"Areas over time, stacked: {', '.join(sorted(held))}.")
    chart = stack_chart(words, layers, edges, float(edges[-1]), capacity / unit if capacity else None, 120.0, over)
    legend = colours([(style, said.partition("/")[2] or said) for style, said, _ in shown])
    whole = f", of {amount(group['resource'], capacity)}" if capacity else ""
    return f"<h3>{escape(group['node'])}: {escape(name)}{escape(whole)}</h3>{figure(chart, legend)}"


def _held(steps: Sequence[View], at: Sequence[float]) -> F64:
    """What was held from each moment on; NaN where that is not known."""
    since = [seconds(step["at"]) or 0.0 for step in steps]
    values = _figures([step["allocated"] for step in steps])
    place = np.searchsorted(since, at, side="right") - 1
    found: F64 = np.where(place >= 0, values[np.maximum(place, 0)], np.nan)
    return found


def _counted_in(resource: str, most: float) -> tuple[float, str]:
    """What an axis up to `most` counts in, and its name: ("storage", 8 TiB) -> 2**40, "storage, TiB"."""
    if resource == "cpu":
        return 1.0, "cores"
    if resource not in {*BINARY, "bandwidth"}:
        return 1.0, resource
    base, unit, prefixes = (1000.0, "bit/s", _DECIMAL) if resource == "bandwidth" else (1024.0, "B", _BINARY)
    power = max((i for i in range(len(prefixes)) if most >= base**i), default=0)
    return base**power, f"{resource}, {prefixes[power]}{unit}"


_DECIMAL: Final = ("", "k", "M", "G", "T", "P")
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def there(view: View) -> str:
    """A strip for each workload: up, down, or not looked at, in each step."""
    found = view["series"]
    edges = _hours(view, found["edges"])
    uptime = {each["workload"]: each for each in view["workloads"]}
    strips = sorted(found["workloads"], key=lambda each: (-sum(each["down"]), each["workload"]))[:MOST_STRIPS]
    rows = "".join(_strip(i, each, edges, found["edges"], uptime[each["workload"]]) for i, each in enumerate(strips))
    height = _ROW * len(strips) + 20
    times = "".join(
        f'<text class="x" x="{100 * at / edges[-1]:.2f}%" y="{height - 4:.0f}" text-anchor="middle">{name}</text>'
        for at, name in _times(view)
    )
    left = len(found["workloads"]) - len(strips)
    more = f'<p class="dim">{left} more were there longer; -o json has them.</p>' if left else ""
    return (
        f'<figure>{_STATES}<div class="strips"><svg class="chart" role="img" aria-labelledby="there-title there-desc" '
        f'width="100%" height="{height:.0f}"><title id="there-title">Who was there</title><desc id="there-desc">A strip over '
        f"time for each workload: up, partly, down, or not looked at. The table below has the figures.</desc>{rows}{times}</svg>"
        f"</div></figure>{more}"
    )


_STATES: Final = colours([("up", "up"), ("partly", "down for a part"), ("down", "down"), ("unseen", "not looked at")])


def _strip(number: int, each: View, edges: F64, moments: Sequence[str], whole: View) -> str:
    top = number * _ROW
    parts = []
    for i, (up, down) in enumerate(zip(each["up"], each["down"], strict=True)):
        left, right = 100 * edges[i] / edges[-1], 100 * edges[i + 1] / edges[-1]
        said = f"{when(moments[i])}: up {percent(up)}, down {percent(down)}"
        parts.append(
            f'<rect class="{_state(up, down)}" x="{left:.3f}%" width="{max(0.0, right - left - 0.12):.3f}%" y="{top + 16:.0f}" '
            f'height="{_BAR:.0f}"><title>{escape(said)}</title></rect>'
        )
    lost = f", {format_duration(whole['down_seconds'])} down" if whole["down_seconds"] else ""
    return (
        f'<text class="what" x="0" y="{top + 12:.0f}">{escape(each["workload"])}</text><text class="x" x="100%" '
        f'y="{top + 12:.0f}" text-anchor="end">{percent(whole["uptime"])} up{lost}</text>{"".join(parts)}'
    )


def _state(up: float, down: float) -> str:
    if up + down < 0.01:
        return "unseen"
    if down > 0.5 * (up + down):
        return "down"
    return "partly" if down > 1e-6 else "up"


# --- what they share ----------------------------------------------------------------------------------------------------


def _hours(view: View, moments: Sequence[str]) -> F64:
    """Hours since the begin of the period."""
    since = seconds(view["period"]["from"]) or 0.0
    return np.array([((seconds(moment) or since) - since) / _HOUR for moment in moments])


def _figures(values: Sequence[float | None]) -> F64:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _layers(sums: dict[str, float]) -> list[tuple[str, str, list[str]]]:
    """(class, name, whose figures are in it), by name; of more than there are colours for, the smallest share one."""
    own = sorted(sorted(sums, key=lambda name: (-sums[name], name))[:MOST_LAYERS])
    rest = [name for name in sums if name not in own]
    layers = [(f"c{i}", name, [name]) for i, name in enumerate(own)]
    return [*layers, (f"c{MOST_LAYERS}", f"{len(rest)} more", rest)] if rest else layers


def _gaps(edges: F64, known: F64) -> tuple[tuple[float, float], ...]:
    """From when to when it is not known, in hours."""
    found: list[tuple[float, float]] = []
    for i in np.flatnonzero(known <= 0).tolist():
        start, end = float(edges[i]), float(edges[i + 1])
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def _times(view: View) -> list[tuple[float, str]]:
    """Marks that are not cut off at either end."""
    hours = view["period"]["seconds"] / _HOUR
    marks = calendar_ticks(seconds(view["period"]["from"]) or 0.0, hours)
    return [(at, name) for at, name in marks if 0.02 * hours <= at <= 0.98 * hours]


def _over(
    view: View, *, gaps: tuple[tuple[float, float], ...], lines: tuple[Line, ...] = (), changes: bool = False,
    of: set[str] | None = None,
) -> Over:  # fmt: skip
    """`of`: only changes of these workloads are marked."""
    since = seconds(view["period"]["from"]) or 0.0
    marks = [
        (((seconds(each["at"]) or since) - since) / _HOUR, _said(each))
        for each in view["changes"]["entries"]
        if changes and (of is None or any(move["workload"] in of for move in each["moves"]))
    ]
    return Over(lines, gaps, tuple(marks), tuple(_times(view)))


def _said(each: View) -> str:
    moves = "; ".join(move_words(move, {}) for move in each["moves"])
    return f"{when(each['at'])}, {each['id']}: {moves}. {each['sentence']}"
