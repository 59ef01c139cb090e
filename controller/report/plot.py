"""A curve as lines of text: in braille where the terminal can, which PLAIN (controller/__main__.py) spells as "#" where it
cannot. Pure.

    0.30 |             :   ⢀⣀:⠤⠤⠒⠒⠒⠒⠉⠉⠉⠉⠉
         |         ⣀⡠⠔⠒⠉    :
         |    ⢀⡠⠔⠊⠁   :     :
    0.00 |⣀⠔⠊⠁        :     :
         +[------------N-----T------------]
          0          now 4  target 6      10
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from controller.model import F64

_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Braille's dot of a column (0, 1) and a row (0..3) of a cell (unicode.org, chart U2800)."""
_EMPTY: Final = 0x2800
BAND: Final = "·"
LEAST_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at one place of the x axis."""

    x: float
    sign: str
    """One character, on the axis; of several in one place the first holds."""
    label: str = ""
    """Under the axis, where there is room."""
    line: bool = False
    """Drawn upwards, where the curve leaves room."""


def plot(x: F64, y: F64, low: F64, high: F64, marks: Sequence[Mark], *, width: int, height: int = 8) -> list[str]:
    """`height` + 2 lines of at most `width` characters: the curve, the edges of its band `low` to `high` as dots (NaN: none is
    known), the axis with its marks, and their labels. All arrays (k,), x ascending; empty where nothing is finite.
    """
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return []
    x, y, low, high = x[known], y[known], low[known], high[known]
    shown = np.concatenate([y, low[np.isfinite(low)], high[np.isfinite(high)], [0.0]])
    bottom, top = float(shown.min()), float(shown.max())
    ticks = _ticks(bottom, top)
    columns = max(LEAST_WIDTH, width - len(ticks[0]) - 2)
    first = min([float(x[0]), *(mark.x for mark in marks)])
    last = max([float(x[-1]), *(mark.x for mark in marks)])
    scale = _Scale(first, last, bottom, top, columns, height)
    picture = [[" "] * columns for _ in range(height)]
    for column in {scale.cell(mark.x) for mark in marks if mark.line}:
        for signs in picture:
            signs[column] = ":"
    for edge in (low, high):
        for at, rows in _dots(scale, x, edge):
            if at % 4 == 0:
                picture[rows[-1] // 4][at // 2] = BAND
    for (row, column), dots in _cells(scale, x, y).items():
        picture[row][column] = chr(_EMPTY + dots)
    lines = []
    for number, signs in enumerate(picture):
        tick = ticks[1] if number == 0 else ticks[0] if number == height - 1 else ""
        lines.append(f"{tick:>{len(ticks[0])}} |{''.join(signs).rstrip()}")
    margin = " " * len(ticks[0])
    return [*lines, f"{margin} +{_axis(scale, marks)}", f"{margin}  {_labels(scale, marks).rstrip()}"]


@dataclass(frozen=True, slots=True)
class _Scale:
    first: float
    last: float
    bottom: float
    top: float
    columns: int
    rows: int

    def cell(self, x: float) -> int:
        """The column of a place on the x axis."""
        width = self.last - self.first
        return (
            0 if width <= 0 else min(self.columns - 1, max(0, int((x - self.first) / width * (self.columns - 1) + 0.5)))
        )

    def dot(self, y: float) -> int:
        """The row of dots, from the top."""
        height, dots = self.top - self.bottom, 4 * self.rows - 1
        return dots if height <= 0 else min(dots, max(0, int((self.top - y) / height * dots + 0.5)))


def _ticks(bottom: float, top: float) -> tuple[str, str]:
    """The lowest and the highest figure, equally wide."""
    size = max(abs(bottom), abs(top))
    decimals = 2 if size >= 1 or size == 0 else min(9, 2 - int(np.floor(np.log10(size))))
    words = [f"{value:,.{decimals}f}" for value in (bottom, top)]
    width = max(map(len, words))
    return f"{words[0]:>{width}}", f"{words[1]:>{width}}"


def _cells(scale: _Scale, x: F64, y: F64) -> dict[tuple[int, int], int]:
    """(row, column) -> the dots of each cell that the line goes through."""
    cells: dict[tuple[int, int], int] = {}
    for column, dots in _dots(scale, x, y):
        for dot in dots:
            place = dot // 4, column // 2
            cells[place] = cells.get(place, 0) | _DOTS[column % 2][dot % 4]
    return cells


def _dots(scale: _Scale, x: F64, y: F64) -> Iterator[tuple[int, list[int]]]:
    """For each column of dots that the line crosses, two a cell: its rows of dots, so many that it has no gaps."""
    place = np.arange(2 * scale.columns)
    at = scale.first + (scale.last - scale.first) * place / (2 * scale.columns - 1)
    inside = (at >= x[0] - 1e-9 * abs(x[0])) & (at <= x[-1] + 1e-9 * abs(x[-1]))
    if len(x) == 1 or not inside.any():
        inside = place == 2 * scale.cell(float(x[0]))
    before = None
    for column, value in zip(place[inside].tolist(), np.interp(at[inside], x, y).tolist(), strict=True):
        dot = scale.dot(value) if np.isfinite(value) else None
        if dot is not None:
            yield column, list(_between(before, dot))
        before = dot


def _between(before: int | None, dot: int) -> Iterator[int]:
    """The dots of one column that join it to the one before."""
    if before is None or abs(before - dot) <= 1:
        yield dot
        return
    step = 1 if dot > before else -1
    yield from range(before + step, dot + step, step)


def _axis(scale: _Scale, marks: Sequence[Mark]) -> str:
    axis = ["-"] * scale.columns
    for mark in reversed(marks):
        axis[scale.cell(mark.x)] = mark.sign
    return "".join(axis)


def _labels(scale: _Scale, marks: Sequence[Mark]) -> str:
    """Each label beneath its mark, moved aside as far as the edges and earlier ones need it; what has no room is left out."""
    line = [" "] * scale.columns
    for mark in marks:
        size, middle = len(mark.label), scale.cell(mark.x) - len(mark.label) // 2
        aside = sorted(range(-size, size + 1), key=lambda by: (abs(by), by))
        places = (min(max(0, middle + by), scale.columns - size) for by in aside)
        free = (at for at in places if at >= 0 and not "".join(line[max(0, at - 1) : at + size + 1]).strip())
        if mark.label and (at := next(free, None)) is not None:
            line[at : at + size] = mark.label
    return "".join(line)
