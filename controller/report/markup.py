"""What our HTML pages are put together from: their style, tables, legends and figures. Pure; every word is escaped.

The charts of these pages are chart.py's; what only one page has (the colours of a backtest's splits) is that page's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Final

from controller.report.tables import usd

MOST_ROWS: Final = 31
"""Of a table beside a chart."""
MOST_LAYERS: Final = 8
"""What has a colour of its own in one stack; the smaller ones share one."""
STYLE: Final = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2126; --dim: #5d6570; --line: #8885; --faint: #8883;
  --good: #1a7f37; --bad: #c62828; --odd: #8a5a00;
  --c0: #56b4e9; --c1: #e69f00; --c2: #009e73; --c3: #f0e442; --c4: #0072b2; --c5: #d55e00;
  --c6: #cc79a7; --c7: #8f8f8f; --c8: #c9c9c9; }
@media screen and (prefers-color-scheme: dark) { :root { --back: #14171a; --text: #e6e8ea; --dim: #a2aab3;
  --good: #4ac26b; --bad: #ff7b72; --odd: #d4a72c; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
  background: var(--back); color: var(--text); }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; } h4 { margin: .4rem 0 0; font-weight: 600; font-size: .9rem; }
p { margin: .3rem 0 .6rem; max-width: 46rem; } ul { padding-left: 1.2rem; }
.sentence { font-size: 1.2rem; line-height: 1.4; font-weight: 600; }
.dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); } .odd { color: var(--odd); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .3rem 0 .3rem 1.1rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  font-weight: 400; }
thead th { vertical-align: bottom; color: var(--dim); white-space: normal; }
th:first-child { text-align: left; padding-left: 0; } tr.ours > * { font-weight: 700; }
th.text, td.text { text-align: left; } td.text { white-space: normal; min-width: 14rem; }
caption { text-align: left; color: var(--dim); padding-bottom: .3rem; }
figure { margin: .8rem 0 1rem; } .room { padding: .6rem .6rem 0 3.4rem; }
svg.chart { display: block; overflow: visible; } svg.plot { overflow: visible; }
svg text { font: 12px system-ui, sans-serif; fill: var(--dim); font-variant-numeric: tabular-nums; }
svg text.what { fill: var(--text); font-size: 14px; }
.plot path { fill: none; stroke-width: 1; vector-effect: non-scaling-stroke; }
.plot path.line { stroke-width: 1.8; stroke-linejoin: round; }
.plot path.layer { stroke: var(--back); stroke-width: .6; }
.grid { stroke: var(--faint); } .zero { stroke: var(--dim); } .capacity { stroke: var(--text); stroke-dasharray: 5 4; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: .3rem 0; list-style: none;
  font-size: .9rem; font-variant-numeric: tabular-nums; }
.legend svg { width: 2rem; height: .8rem; vertical-align: -.05rem; margin-right: .35rem; }
.legend path { fill: none; stroke-width: 2; }
details { margin: .2rem 0 0; } summary { cursor: pointer; color: var(--dim); font-size: .9rem; }
@media (max-width: 32rem) { th, td { padding-left: .55rem; } table { font-size: .82rem; } }
@media print { body { margin: 0; max-width: none; font-size: 13px; } figure, tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; } * { print-color-adjust: exact; } summary { display: none; } }
"""


def styles(more: str = "") -> str:
    """The style of a page, with the colour of each layer of a stack and what the page adds of its own."""
    layers = "".join(
        f".plot path.c{i}, rect.c{i} {{ fill: var(--c{i}); }}{' ' if i < MOST_LAYERS else chr(10)}"
        for i in range(MOST_LAYERS + 1)
    )
    return f"{STYLE}{layers}{more}"


def money(value: float | None, *, signed: bool = False) -> str:
    """USD with a minus sign that is one; nothing at all is 0."""
    return "0" if value == 0 else usd(value, signed=signed).replace("-", "−")


def sentence(words: str) -> str:
    """With a capital and a full stop, and no line that begins with a lonely unit."""
    return re.sub(r"(?<=\d) (?=%|s\b)", "\u00a0", f"{words[:1].upper()}{words[1:]}.") if words else ""


def figure(chart: str, items: str = "") -> str:
    """A chart with the room that its axes' words need, under its legend."""
    return f'<figure>{items}<div class="room">{chart}</div></figure>'


def colours(items: Sequence[tuple[str, str]]) -> str:
    """(class, name) of layers -> a legend."""
    swatches = (
        f'<li><svg viewBox="0 0 32 12" aria-hidden="true"><rect class="{style}" width="32" height="12"/></svg>'
        f"{escape(name)}</li>"
        for style, name in items
    )
    return f'<ul class="legend">{"".join(swatches)}</ul>'


def folded(summary: str, inner: str) -> str:
    """What is there for who wants it; opens without scripts."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def table(
    heads: Sequence[str], body: Iterable[Sequence[str]], caption: str = "", *, text: Iterable[int] = (), ours: str = ""
) -> str:
    """`text`: the columns that hold words; `ours`: the first cell of the row that stands out."""
    worded = frozenset(text)
    head = "".join(f'<th scope="col"{_written(i in worded)}>{escape(name)}</th>' for i, name in enumerate(heads))
    ours_row = ' class="ours"' if ours else ""
    rows = "".join(f"<tr{ours_row if cells[0] == ours else ''}>{_cells(cells, worded)}</tr>" for cells in body)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(cells: Sequence[str], worded: Collection[int]) -> str:
    first, *rest = cells
    others = "".join(f"<td{_written(i in worded)}>{escape(cell)}</td>" for i, cell in enumerate(rest, 1))
    return f'<th scope="row">{escape(first)}</th>{others}'


def _written(here: bool) -> str:
    return ' class="text"' if here else ""
