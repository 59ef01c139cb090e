"""A performance report as Markdown that reads as well in a terminal as on a page: its tables are lined up. Pure."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len

from controller.report import performance_words as words

View = dict[str, Any]


def markdown(view: View) -> str:
    """The whole report."""
    parts = [
        f"# Performance report\n\n{_plain(words.period(view))}\n",
        *(f"{_plain(each)}\n" for each in words.headline(view)),
        _section(
            "Key figures", words.Table(("key figure", "value", ""), [list(row) for row in words.kpis(view)], (2,))
        ),
        _section("By protocol", words.earnings(view, "protocols", "protocol")),
        _section("By node", words.earnings(view, "nodes", "node")) if len(view["nodes"]) > 1 else "",
        _section("By workload", words.earnings(view, "workloads", "workload")),
        _changes(view),
        _section("Uptime and connections", words.contact(view)),
        _section("Balances at the end", words.balances(view)) if view["balances"]["workloads"] else "",
        _notes(view),
    ]
    return "\n".join(part for part in parts if part)


def _changes(view: View) -> str:
    found, nothing = words.changes(view), words.nothing_table(view)
    said = "".join(f"- {_plain(name)}: {_plain(why)}\n" for name, why in words.reasons(view))
    made = (
        _section("Changes of allocations", found)
        if found.rows
        else "## Changes of allocations\n\nNothing was changed.\n"
    )
    made += f"\n{said}" if said else ""
    return f"{made}\n{_section('Against doing nothing', nothing)}" if nothing.rows else made


def _notes(view: View) -> str:
    rows = [f"- {_plain(note)}" for note in words.notes(view)]
    rows.append("- ? is unknown, and in no sum. Times are UTC, money is USD. -o json has every figure.")
    return "## What to know of these figures\n\n" + "\n".join(rows) + "\n"


def _section(title: str, found: words.Table) -> str:
    under = f"\n{_plain(found.more)}\n" if found.more else ""
    return f"## {title}\n\n{_table(found)}\n{under}"


def _table(found: words.Table) -> str:
    """Cells are padded, so that columns stand below each other where nothing renders them. Words stand at the left."""
    rows = [[_cell(cell) for cell in row] for row in (found.heads, *found.rows)]
    wide = [max(3, *(cell_len(row[i]) for row in rows)) for i in range(len(found.heads))]
    left = {0, *found.text}
    rule = [f"{'-' * width}" if i in left else f"{'-' * (width - 1)}:" for i, width in enumerate(wide)]
    return "\n".join(
        _line([_padded(cell, wide[i], left=i in left) for i, cell in enumerate(row)]) for row in _ruled(rows, rule)
    )


def _ruled(rows: list[list[str]], rule: list[str]) -> list[list[str]]:
    return [rows[0], rule, *rows[1:]]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _padded(cell: str, width: int, *, left: bool) -> str:
    pad = " " * (width - cell_len(cell))
    return f"{cell}{pad}" if left else f"{pad}{cell}"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Without what Markdown or a terminal would obey: names and sentences may come from outside."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    for sign in "\\`<[*":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
