"""What 1 000 workloads would have exposed for 30 days, made from a page that the real controller served. For bench_dashboards.

Of one workload of each protocol every series is repeated for each node, those of the node and of the policies as well; the
figures breathe with the day, counters count, times pass. Every family is there for the last day at 5 minutes; for the days
before, at an hour, those of which recorded series are made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts._pages import BLOCK, Pages, is_time, written

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = {
    "storj": "rack-2/storj-2",
    "golem": "rack-1/golem",
    "streamr": "rack-2/streamr-traffic",
    "grass": "rack-1/grass",
}
"""Protocol -> the workload that stands for all of its kind."""
POLICIES = 10
HOUR, DAY = 3600.0, 86400.0
FINE = 300.0
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Series:
    """Every series of the fleet: as it is written, its figure now, how it goes."""

    names: list[str]
    values: NDArray[np.float64]
    times: NDArray[np.bool_]
    """Whether the figure is a time."""
    counts: NDArray[np.bool_]
    breathes: NDArray[np.bool_]
    phase: NDArray[np.float64]

    def at(self, now: float, end: float, taken: float) -> NDArray[np.float64]:
        """The figures at a time; `taken`: when those of the page were."""
        wave = 1.0 + 0.2 * np.sin(2 * math.pi * (now / DAY + self.phase))
        values = np.where(self.breathes, self.values * wave, self.values)
        values = np.where(self.counts, self.values * (1.0 + (now - end) / (60 * DAY)), values)
        return np.where(self.times & (values > 0), values + now - taken, values)

    def only(self, families: set[str]) -> Series:
        keep = np.array([name.partition("{")[0] in families for name in self.names])
        names = [name for name, wanted in zip(self.names, keep, strict=True) if wanted]
        return Series(
            names, self.values[keep], self.times[keep], self.counts[keep], self.breathes[keep], self.phase[keep]
        )


def fleet(pages: Pages, nodes: int, single: Iterable[str] = ()) -> tuple[Series, float]:
    """The series of so many nodes with four workloads each, and when their page was taken. `single`: names of others that
    are one series however large the fleet is.
    """
    page = next(each for each in reversed(pages.pages) if each.at <= pages.end and _whole(pages.layouts[each.layout]))
    names: list[str] = []
    values: list[float] = []
    for name in single:
        names.append(f"{name}{{}}")
        values.append(0.01)
    for name, value in zip(pages.layouts[page.layout], page.values.tolist(), strict=True):
        made = list(_repeated(name, nodes))
        names += made
        values += [value] * len(made)
    return _series(names, np.array(values)), page.at


def _whole(layout: list[str]) -> bool:
    """Whether it is a page of the controller, and not the word that it did not answer."""
    return len(layout) > 1 and 'job="orcha"' in layout[0]


def _series(names: list[str], values: NDArray[np.float64]) -> Series:
    families = [name.partition("{")[0] for name in names]
    times = np.array([is_time(name) for name in names])
    counts = np.array([each.endswith(("_total", "_count", "_sum", "_bucket")) for each in families])
    flags = np.isin(values, (0.0, 1.0)) | np.array(["_state" in each or "_info" in each for each in families])
    phase = np.random.default_rng(1).uniform(0, 1, len(names))
    return Series(names, values, times, counts, ~(times | counts | flags), phase)


def _repeated(series: str, nodes: int) -> Iterator[str]:
    """The same series for each node of the fleet, for each policy, or once; nothing of other workloads."""
    labels = dict(_LABEL.findall(series))
    if "node" in labels and "workload" in labels:
        if f"{labels['node']}/{labels['workload']}" == MODELS.get(labels["protocol"]):
            short = series.replace(f'workload="{labels["workload"]}"', f'workload="{labels["protocol"]}"')
            yield from (short.replace(f'node="{labels["node"]}"', f'node="node-{i:04d}"') for i in range(nodes))
    elif "node" in labels:
        yield from (series.replace(f'node="{labels["node"]}"', f'node="node-{i:04d}"') for i in _some(labels, nodes))
    elif "policy" in labels:
        if labels["policy"] == "storage":
            yield from (series.replace('policy="storage"', f'policy="policy-{i}"') for i in range(POLICIES))
    else:
        yield series


def _some(labels: dict[str, str], nodes: int) -> range:
    """Both racks of the page have a capacity of some kinds: each node of the fleet gets that of one."""
    return range(labels["node"] == "rack-2", nodes, 2)


def instants(end: float, days: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The hours of the days before the last one, and the five minutes of that."""
    return np.arange(end - days * DAY, end - DAY, HOUR), np.arange(end - DAY, end + 1.0, FINE)


def write(series: Series, when: NDArray[np.float64], end: float, taken: float, folder: Path, name: str) -> list[Path]:
    """OpenMetrics, one file for each of Prometheus' blocks."""
    found = []
    for start in sorted({at // BLOCK * BLOCK for at in when.tolist()}):
        path = folder / f"{name}-{start:.0f}.om"
        with path.open("w", encoding="utf-8") as file:
            for at in when[(when // BLOCK * BLOCK) == start].tolist():
                stamp = f" {at:.0f}\n"
                values = series.at(at, end, taken).tolist()
                file.writelines([f"{name} {written(v)}{stamp}" for name, v in zip(series.names, values, strict=True)])
            file.write("# EOF\n")
        found.append(path)
    return found
