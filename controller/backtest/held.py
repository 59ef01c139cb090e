"""The part of the page that shows what each workload held over time, a stack for each node and resource. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.markup import spaced
from controller.backtest.result import CLAIRVOYANT, ORCHA, STATIC
from controller.report.chart import Layer, Words, stack_chart, steps_of
from controller.report.markup import MOST_LAYERS, MOST_ROWS, colours, folded, table
from controller.report.tables import BINARY, amount

if TYPE_CHECKING:
    from controller.backtest.result import Result, Run
    from controller.model import F64

DRAWN = (ORCHA, STATIC, CLAIRVOYANT)
"""Whose allocations are drawn."""
MOST_GROUPS = 12
"""Nodes and resources that are drawn, by name; of more, those that orcha moved most."""
_PREFIXES = " kMGTPE"


@dataclass(frozen=True, slots=True)
class _Group:
    """The workloads of one node that share one resource."""

    node: str
    resource: str
    indices: list[int]
    """Of its workloads."""
    capacity: float | None
    unit: float
    """Base units that the axis counts in."""
    unit_name: str
    layers: tuple[tuple[str, str, list[int]], ...]
    """(class, name, indices of the workloads in it)."""


def allocations(result: Result) -> str:
    """The section; nothing where there is nothing to draw."""
    drawn = [result.runs[name] for name in DRAWN if name in result.runs]
    found = _groups(result)
    if not found or not drawn or not result.case.truth.ticks:
        return ""
    groups = [_group(result, drawn, *each) for each in sorted(found[:MOST_GROUPS], key=lambda each: each[:2])]
    parts = "".join(_figure(result, drawn, i, group) for i, group in enumerate(groups))
    left = len(found) - MOST_GROUPS
    more = f'<p class="dim">{left} more, which orcha moved less often, are not drawn.</p>' if left > 0 else ""
    return (
        "<section><h2>Allocation over time</h2><p>What each workload held, stacked; the dashed line is the node’s "
        f"capacity.</p>{parts}{more}</section>"
    )


def _groups(result: Result) -> list[tuple[str, str, list[int]]]:
    """(node, resource, indices of its workloads), those first that orcha moved most, then by name."""
    found: dict[tuple[str, str], list[int]] = {}
    for i, workload in enumerate(result.case.workloads):
        if workload.allocation is not None:
            found.setdefault((workload.node, workload.allocation.resource), []).append(i)
    run = result.runs.get(ORCHA)
    changes = (
        np.zeros(len(result.case.workloads)) if run is None else (np.diff(run.allocation, axis=0) != 0).sum(axis=0)
    )
    ordered = sorted(found.items(), key=lambda item: (-float(changes[item[1]].sum()), item[0]))
    return [(node, resource, indices) for (node, resource), indices in ordered]


def _group(result: Result, drawn: Sequence[Run], node: str, resource: str, indices: list[int]) -> _Group:
    capacity = next((each.capacity.get(resource) for each in result.case.nodes if each.name == node), None)
    most = max(float(np.nan_to_num(run.allocation[:, indices]).sum(axis=1).max()) for run in drawn)
    unit, unit_name = unit_of(resource, max(capacity or 0.0, most))
    return _Group(node, resource, indices, capacity, unit, unit_name, _layers(result, drawn, indices))


def _layers(result: Result, drawn: Sequence[Run], indices: list[int]) -> tuple[tuple[str, str, list[int]], ...]:
    """By name; of more than there are colours for, those that hold least share the last one."""
    sums = {i: max(float(np.nan_to_num(run.allocation[:, i]).sum()) for run in drawn) for i in indices}
    keys = [workload.key for workload in result.case.workloads]
    own = sorted(sorted(indices, key=lambda i: (-sums[i], keys[i]))[:MOST_LAYERS], key=lambda i: keys[i])
    layers = tuple((f"c{n}", keys[i].partition("/")[2] or keys[i], [i]) for n, i in enumerate(own))
    rest = [i for i in indices if i not in own]
    return (*layers, (f"c{MOST_LAYERS}", f"{len(rest)} more", rest)) if rest else layers


def unit_of(resource: str, most: float) -> tuple[float, str]:
    """What an axis up to `most` counts in, and its name: ("storage", 8e12) -> 1e12, "storage, TB"."""
    if resource == "cpu":
        return 1.0, "cores"
    if resource not in {*BINARY, "bandwidth"}:
        return 1.0, resource
    base, name = (1024.0, "B") if resource == "memory" else (1000.0, "bit/s" if resource == "bandwidth" else "B")
    power = 0
    while power < len(_PREFIXES) - 1 and most >= base ** (power + 1):
        power += 1
    prefix = _PREFIXES[power].strip()
    return base**power, f"{resource}, {prefix}{'i' if prefix and base == 1024 else ''}{name}"


def _figure(result: Result, drawn: Sequence[Run], number: int, group: _Group) -> str:
    panels = "".join(
        f'<h4>{spaced(run.name)}</h4><div class="room">{_stack(result, run, number, group)}</div>' for run in drawn
    )
    legend = colours([(style, name) for style, name, _ in group.layers])
    return (
        f"<figure><h3>{escape(group.node)}: {escape(group.unit_name)}</h3>{legend}"
        f"{panels}{_numbers(result, drawn, group)}</figure>"
    )


def _stack(result: Result, run: Run, number: int, group: _Group) -> str:
    truth = result.case.truth
    held = [np.nan_to_num(run.allocation[:, indices]).sum(axis=1) for _, _, indices in group.layers]
    edges, values = steps_of(np.stack(held, axis=1) / group.unit)
    words = Words(
        f"held-{number}-{run.name}", f"{group.node}: {group.unit_name} held under {spaced(run.name)}",
        f"Areas over time, stacked: {', '.join(name for _, name, _ in group.layers)}.",
    )  # fmt: skip
    layers = [Layer(style, name, values[:, n]) for n, (style, name, _) in enumerate(group.layers)]
    capacity = None if group.capacity is None else group.capacity / group.unit
    return stack_chart(words, layers, edges * truth.hours, truth.ticks * truth.hours, capacity)


def _numbers(result: Result, drawn: Sequence[Run], group: _Group) -> str:
    """Least, mean and most that each held."""
    heads = ("workload", *(f"{spaced(run.name)}, {what}" for run in drawn for what in ("least", "mean", "most")))
    rows = (
        [result.case.workloads[i].key, *(cell for run in drawn for cell in _held(group.resource, run.allocation[:, i]))]
        for i in group.indices[:MOST_ROWS]
    )
    return folded("the numbers", table(heads, rows))


def _held(resource: str, held: F64) -> list[str]:
    return [amount(resource, float(value)) for value in (held.min(), held.mean(), held.max())]
