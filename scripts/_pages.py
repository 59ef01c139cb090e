"""Pages of /metrics, kept small, and written again as OpenMetrics text as if they had ended at another time.

Each page is a layout (its series, with the labels that a scrape adds) and one number for each. Moved to another end, the
sample's own time moves, and so does every figure that is a time (`*_timestamp_seconds`); nothing else does. Pure but for
`save` and `load`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 9 * 7200.0
"""Seconds of one of Prometheus' blocks, which begin at multiples of it: the third of the spans that it uses by itself."""


@dataclass(frozen=True)
class Page:
    """What one target said at a time; `layout`: index of its series."""

    at: float
    layout: int
    values: NDArray[np.float64]


@dataclass
class Pages:
    """In the order of time. `end`: what "now" was when they were taken; pages after it are what came then."""

    end: float
    step: float
    """Seconds between two pages of one target, where they are farthest apart."""
    layouts: list[list[str]] = field(default_factory=list)
    """Series as they are written: name{labels}."""
    pages: list[Page] = field(default_factory=list)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, at: float, job: str, instance: str, text: bytes) -> None:
        """Take in one page in OpenMetrics format."""
        target = f'job="{job}",instance="{instance}"'
        names, values = [], []
        for line in text.decode().splitlines():
            if line.startswith("#"):
                continue
            series, _, figure = line.rpartition(" ")
            names.append(labelled(series, target))
            values.append(float(figure))
        for name, value in (("up", 1.0), ("scrape_samples_scraped", float(len(values)))):
            names.append(f"{name}{{{target}}}")
            values.append(value)
        self._keep(at, tuple(names), values)

    def absent(self, at: float, job: str, instance: str) -> None:
        """The target did not answer."""
        self._keep(at, (f'up{{job="{job}",instance="{instance}"}}',), [0.0])

    def _keep(self, at: float, names: tuple[str, ...], values: list[float]) -> None:
        if names not in self._known:
            self._known[names] = len(self.layouts)
            self.layouts.append(list(names))
        self.pages.append(Page(at, self._known[names], np.array(values)))

    @property
    def start(self) -> float:
        return self.pages[0].at

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        part = path.with_name(f".{path.name}.{os.getpid()}")
        told: dict[str, Any] = {"end": self.end, "step": self.step, "layouts": self.layouts}
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                told=np.frombuffer(json.dumps(told).encode(), np.uint8),
                at=np.array([page.at for page in self.pages]),
                layout=np.array([page.layout for page in self.pages]),
                values=np.concatenate([page.values for page in self.pages]),
            )
        part.replace(path)


def load(path: Path) -> Pages:
    with np.load(path) as found:
        told = json.loads(found["told"].tobytes())
        at, layout, values = found["at"].tolist(), found["layout"].tolist(), found["values"]
    pages, first = [], 0
    for when, which in zip(at, layout, strict=True):
        last = first + len(told["layouts"][which])
        pages.append(Page(when, which, values[first:last]))
        first = last
    return Pages(told["end"], told["step"], told["layouts"], pages)


def labelled(series: str, target: str) -> str:
    """With the labels of its target: name{a="b"} -> name{job="orcha",instance="x",a="b"}."""
    name, brace, rest = series.partition("{")
    return f"{name}{{{target},{rest}" if brace else f"{name}{{{target}}}"


def is_time(series: str) -> bool:
    return series.partition("{")[0].endswith("_timestamp_seconds")


class Writer:
    """Writes pages as if they had ended at another time."""

    def __init__(self, pages: Pages, end: float) -> None:
        self.pages, self.shift = pages, end - pages.end
        self._times: dict[int, NDArray[np.bool_]] = {}
        """By layout, which of its figures are times."""

    def lines(self, page: Page) -> Iterator[str]:
        """One line of OpenMetrics for each series, with its time."""
        at = f"{page.at + self.shift:.3f}\n"
        names = self.pages.layouts[page.layout]
        for name, value in zip(names, self.values(page).tolist(), strict=True):
            yield f"{name} {written(value)} {at}"

    def values(self, page: Page) -> NDArray[np.float64]:
        times = self._times.get(page.layout)
        if times is None:
            names = self.pages.layouts[page.layout]
            times = self._times[page.layout] = np.array([is_time(name) for name in names])
        return np.where(times & (page.values > 0), page.values + self.shift, page.values)

    def files(self, folder: Path, last: float = math.inf) -> list[Path]:
        """One file for each of Prometheus' blocks, so that promtool reads none of them twice; pages up to `last`."""
        found: list[Path] = []
        for start, those in blocks(self.pages.pages, self.shift, last):
            path = folder / f"{start:.0f}.om"
            with path.open("w") as file:
                for page in those:
                    file.writelines(self.lines(page))
                file.write("# EOF\n")
            found.append(path)
        return found


def blocks(pages: Iterable[Page], shift: float, last: float) -> Iterator[tuple[float, list[Page]]]:
    """The pages by the block that they fall into after the shift."""
    held: dict[float, list[Page]] = {}
    for page in pages:
        at = page.at + shift
        if at <= last:
            held.setdefault(at // BLOCK * BLOCK, []).append(page)
    yield from sorted(held.items())


def written(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
