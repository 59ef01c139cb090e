"""One moment of `orcha fleet demo` as a screen (rich), and as a line. In: controller/fleet/demo.py: Moment. Pure.

Nothing is said by colour alone: a dead agent stands in (round) signs, one that lives in [square] ones, with a letter for its
side where there are several; a link that is cut is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.fleet.demo import Moment, Shown
from controller.fleet.display import colour_of_name

SIDES: Final = ("green", "magenta", "cyan", "yellow", "blue", "white")
KEYS: Final = (
    ("p", "partition"),
    ("h", "heal"),
    ("k", "kill, start"),
    ("l", "lose 30 %"),
    ("w", "word anew"),
    ("space", "pause"),
    ("q", "quit"),
)
SHORT: Final = {"p": "part", "h": "heal", "k": "kill", "l": "lose", "w": "word", "space": "pause", "q": "quit"}
NINE: Final = ((4, 0), (2, 1), (6, 1), (0, 2), (2, 2), (4, 2), (6, 2), (8, 2), (2, 3))
"""sierpinski9, so that no edge crosses another: columns from 0 to 8, rows from 0 to 3."""
LEAST, GAP = 26, 2
"""Columns that the picture needs beside the table, and between them."""
ROOM: Final = 34, 13
"""Columns and rows of the picture, where there are so many."""
WIDE: Final = 96
"""Columns from which on there is more in the table."""
DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a braille sign, by row and column."""
FIGURE_ROWS, KEY_ROWS = 4, 1
Point = tuple[float, float]


def screen(moment: Moment, width: int, height: int, *, plain: bool = False) -> RenderableType:
    """What fits. `plain`: for a terminal without other signs than ASCII."""
    table, rows = _table(moment, width), len(moment.sites) + 2
    beside = width >= LEAST + GAP + _wide(moment)
    wide, high = (min(ROOM[0], width - GAP - _wide(moment)) if beside else min(width, 48)), ROOM[1]
    free = height - 1 - FIGURE_ROWS - KEY_ROWS - (max(rows, high) if beside else rows)
    parts: list[RenderableType] = [_title(moment, width)]
    if beside:
        both = Table.grid(padding=(0, GAP))
        both.add_row(graph(moment, wide, high, plain=plain), table)
        parts.append(both)
    else:
        if free > high:
            parts.append(graph(moment, wide, high, plain=plain))
            free -= high
        parts.append(table)
    return Group(*parts, _figures(moment, width), _events(moment, max(1, free), width), _keys(width))


def _wide(moment: Moment) -> int:
    """Columns of the table as it must be."""
    marks = max(len(_mark(moment, number, site)) for number, site in enumerate(moment.sites))
    return marks + 1 + max(len(site.name) for site in moment.sites) + 37


def line(moment: Moment) -> str:
    """A second of it, for a file or a pipe."""
    where = _together(moment)
    held = f"held {moment.held} of {_or_none(moment.bound)} cores, wanted {moment.wanted}"
    traffic = f"{moment.messages_per_second:.0f} messages/s"
    late = "" if moment.p95_milliseconds is None else f", p95 {moment.p95_milliseconds:.1f} ms"
    broken = f"  THE LIMIT WAS NOT KEPT: {moment.broken}" if moment.broken else ""
    agents = f"{moment.alive} of {len(moment.sites)} agents"
    return f"{moment.seconds:5.0f} s  {agents}, {where}; {held}; {traffic}{late}{broken}"


def happened(moment: Moment, since: float) -> Iterable[str]:
    """What happened after so many seconds, a line each."""
    return (f"{at:7.1f} s  {what}" for at, what in moment.events if at > since)


# --- parts ------------------------------------------------------------------------------------------------------------


def _title(moment: Moment, width: int) -> Text:
    state = Text(" PAUSED ", "reverse") if moment.paused else Text("")
    why = "no leader: who keeps within its rights keeps the limit  " if width >= 80 else ""
    return Text.assemble(("orcha fleet demo", "bold"), f"  {moment.seconds:.0f} s  ", (why, "dim"), state)


def _table(moment: Moment, width: int) -> Table:
    heads = ["site", "held", "wants", "rights", "knows", "sees"]
    if width >= WIDE:
        heads.append("starts")
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for head in heads:
        table.add_column(head, justify="left" if head in {"site", "knows"} else "right", no_wrap=True)
    for number, site in enumerate(moment.sites):
        table.add_row(*_row(moment, number, site)[: len(heads)])
    sums = [Text("all", "bold"), Text(str(moment.held), "bold"), Text(str(moment.wanted))]
    table.add_row(*sums, Text(f"of {_or_none(moment.bound)}"))
    return table


def _row(moment: Moment, number: int, site: Shown) -> list[Text]:
    mark = _mark(moment, number, site)
    name = Text.assemble(mark, " ", (site.name, f"{colour_of_name(site.name)}"))
    rights = "?" if site.rights is None else str(site.rights)
    dim = "" if site.alive else "dim"
    known = Text(site.digest, dim or f"{colour_of_name(site.digest)}")
    sees = Text(str(site.sees) if site.alive else "dead", "" if site.alive else "red")
    hungry = "yellow" if site.wanted > site.held else dim
    return [
        name, Text(str(site.held), dim), Text(str(site.wanted), hungry), Text(rights, dim), known, sees,
        Text(str(site.starts), dim),
    ]  # fmt: skip


def _mark(moment: Moment, number: int, site: Shown) -> Text:
    """[3] lives, (3) is dead, [3a] is on side a."""
    if not site.alive or site.side is None:
        return Text(f"({number})", "bold red")
    letter = chr(ord("a") + site.side % 26) if moment.side_count > 1 else ""
    return Text(f"[{number}{letter}]", f"bold {SIDES[site.side % len(SIDES)]}")


def _figures(moment: Moment, width: int) -> Table:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column(overflow="ellipsis", no_wrap=True)
    rows.add_row("limit", _limit(moment, width))
    rows.add_row("state", Text(_together(moment), "green" if moment.apart is None else "yellow"))
    late = "?" if moment.p95_milliseconds is None else f"{moment.p95_milliseconds:.1f} ms"
    lost = f", {moment.loss:.0%} are lost" if moment.loss else ""
    rows.add_row("network", f"{moment.messages_per_second:.0f} messages/s, p95 {late}{lost}")
    held = f"kept at each of {moment.checks} moments" if not moment.broken else f"NOT KEPT: {moment.broken}"
    rows.add_row("promise", Text(held, "bold red" if moment.broken else "green"))
    return rows


def _limit(moment: Moment, width: int) -> Text:
    """What is held of the bound as a bar: held, free, and the bound at its end."""
    if moment.bound is None:
        return Text("not agreed upon yet; nobody takes anything", "yellow")
    room = max(8, min(30, width - 46))
    full = min(room, math.ceil(room * moment.held / moment.bound)) if moment.bound else room
    new = f", {moment.newest} to come" if moment.newest not in {None, moment.bound} else ""
    bar = Text("#" * full, "green" if moment.held <= moment.bound else "red") + Text("-" * (room - full), "dim")
    return Text.assemble("|", bar, f"| {moment.held} of {moment.bound} cores{new}")


def _together(moment: Moment) -> str:
    apart = f"{moment.digests} states" if moment.digests > 1 else "one state"
    sides = f" on {moment.side_count} sides" if moment.side_count > 1 else ""
    since = "" if moment.apart is None else f" for {moment.apart:.1f} s"
    took = f" (last time it took {moment.took:.1f} s)" if moment.took is not None and not since else ""
    return f"{apart}{sides}{since}{took}"


def _events(moment: Moment, most: int, width: int) -> Text:
    shown = [f"{at:6.1f} s  {what}" for at, what in moment.events[-most:]]
    return Text("\n".join(each if len(each) <= width else each[: width - 3] + "..." for each in shown), "dim")


def _keys(width: int) -> Text:
    wide = sum(len(key) + len(what) + 3 for key, what in KEYS) <= width
    pairs = KEYS if wide else [(key, SHORT[key]) for key, _ in KEYS]
    return Text("  ").join(Text.assemble((key, "bold"), " ", what) for key, what in pairs)


def _or_none(amount: int | None) -> str:
    return "?" if amount is None else str(amount)


# --- the picture ------------------------------------------------------------------------------------------------------


def graph(moment: Moment, wide: int, high: int, *, plain: bool = False) -> Text:
    """Agents as signs and the links over which something goes as lines."""
    places = _places(moment, wide, high)
    cells: dict[tuple[int, int], int] = {}
    for one, other, is_open in moment.edges:
        if is_open:
            for column, row in _dots(places[one], places[other]):
                cell = column // 2, row // 4
                cells[cell] = cells.get(cell, 0) | DOTS[row % 4][column % 2]
    marks = {}
    for number, site in enumerate(moment.sites):
        mark = _mark(moment, number, site)
        left = min(max(0, round(places[number][0]) - len(mark) // 2), wide - len(mark))
        marks[left, round(places[number][1])] = mark
    return Text("\n").join(_row_of(row, wide, cells, marks, plain=plain) for row in range(high))


def _row_of(
    row: int, wide: int, cells: dict[tuple[int, int], int], marks: dict[tuple[int, int], Text], *, plain: bool
) -> Text:
    found, column = Text(), 0
    while column < wide:
        if (column, row) in marks:
            found.append_text(marks[column, row])
            column += len(marks[column, row])
            continue
        dots = cells.get((column, row), 0)
        found.append(" " if not dots else "." if plain else chr(0x2800 + dots), "dim")
        column += 1
    return found


def _dots(one: Point, other: Point) -> Iterable[tuple[int, int]]:
    """Of a line between the middles of two cells: two dots to a column, four to a row."""
    (x, y), (u, v) = ((round(at[0]) * 2 + 1, round(at[1]) * 4 + 2) for at in (one, other))
    steps = max(abs(u - x), abs(v - y), 1)
    return ((x + (u - x) * step // steps, y + (v - y) * step // steps) for step in range(steps + 1))


def _places(moment: Moment, wide: int, high: int) -> Sequence[Point]:
    """Columns and rows: of sierpinski9 as it is always drawn, of a grid in rows, of the others on a circle."""
    count = len(moment.sites)
    if moment.topology == "sierpinski9":
        return [(3 + (wide - 7) * x / 8, (high - 1) * y / 3) for x, y in NINE]
    if moment.topology == "grid" and count > 1:
        across = math.ceil(math.sqrt(count))
        down = max(1, math.ceil(count / across) - 1)
        return [
            (3 + (wide - 7) * (at % across) / (across - 1), (high - 1) * (at // across) / down) for at in range(count)
        ]
    turn = 2 * math.pi / max(1, count)
    middle, half = ((wide - 1) / 2, (high - 1) / 2), (wide / 2 - 4, (high - 1) / 2)
    return [
        (middle[0] + half[0] * math.sin(turn * at), middle[1] - half[1] * math.cos(turn * at)) for at in range(count)
    ]
