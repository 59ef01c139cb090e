"""The splits of a backtest side by side, as a table that fits its terminal. In: report.figures. Out: for rich. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.backtest.report import NOTABLE, conclusion, earned_words, headline, part, percent, remarks, stopwatch
from controller.backtest.result import CLAIRVOYANT, NAMES, ORCHA, STATIC
from controller.report.tables import DIM, GAP, fitting

if TYPE_CHECKING:
    from collections.abc import Sequence

View = dict[str, Any]
HEADS: Final = ("split", "earned USD", "against\nstatic", "captured\nuplift", "worst\n7 days", "programs", "moves")
SPARED: Final = (4, 6, 3, 5, 2)
"""The columns that give way in a narrow terminal, the first one first."""


def table(view: View, width: int = 160) -> RenderableType:
    """All of them side by side, and what it means."""
    found = Table(title=headline(view), title_justify="left", header_style="bold", box=None, padding=(0, GAP, 0, 0))
    rows = {name: row(view, name) for name in shown(view)}
    kept = columns(list(rows.values()), width)
    for i in kept:
        found.add_column(HEADS[i], justify="right" if i else "left", vertical="bottom", overflow="fold")
    for name, cells in rows.items():
        found.add_row(*(cells[i] for i in kept), style="bold" if name == ORCHA else "")
    lines = [Text(sentence, style=style) for sentence, style in remarks(view)]
    return Group(found, Text(""), Text(conclusion(view), style="bold"), *lines, Text(stopwatch(view), style=DIM))


def columns(rows: Sequence[Sequence[str]], width: int | None = None) -> list[int]:
    """Those in which anything is said, as far as there is room."""
    silent = [i for i in range(2, len(HEADS)) if not any(cells[i] for cells in rows)]
    room = range(len(HEADS)) if width is None else fitting(HEADS, rows, width - GAP, (*silent, *SPARED))
    return [i for i in room if i not in silent]


def shown(view: View) -> list[str]:
    """The splits that have a row: all, but of what was ended early only those that were run."""
    return [name for name in NAMES if name in view["runs"] or view["complete"]]


def row(view: View, name: str) -> list[str]:
    """One split's cells, as HEADS; those of the clairvoyant's path are no programs: it is a bound."""
    if name not in view["runs"]:
        return [name, "not run", "", "", "", "", ""]
    run, base = view["runs"][name], name == STATIC
    return [
        name,
        earned_words(view["earned_usd"][name]),
        "" if base or not view["exact"] else percent(view["ratio"][name]),
        captured(view, name),
        "" if base or not view["exact"] else percent(view["worst_7_days_ratio"][name]) if view["days"] >= 7 else "–",
        "" if name == CLAIRVOYANT else f"{run['programs']:,}",
        "" if name == CLAIRVOYANT else f"{run['moves']:,}",
    ]


def captured(view: View, name: str) -> str:
    """The captured uplift of any of them: 0 is static, 1 the clairvoyant; empty where that is not known, or where there is
    so little to win that its share says nothing.
    """
    one, static, best = (view["earned_usd"][each] for each in (name, STATIC, CLAIRVOYANT))
    if name == STATIC or view["captured_uplift"] is None or not isinstance(one, float):
        return ""
    if view["ratio"][CLAIRVOYANT] is not None and view["ratio"][CLAIRVOYANT] < 1 + NOTABLE:
        return ""
    return part((one - static) / (best - static))
