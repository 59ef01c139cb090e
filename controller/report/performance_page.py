"""A performance report as one HTML file that asks nobody for anything: charts, the figures beside them, what to know. Pure.

It reads without scripts, on paper and on a telephone, by day and by night. Names come from outside and are escaped.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

from controller.report import performance_words as words
from controller.report.markup import styles, table
from controller.report.performance_charts import allocated, earned, there

View = dict[str, Any]
STYLE: Final = """
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: .7rem; margin: 1.4rem 0;
  padding: 0; }
.figures div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; break-inside: avoid; }
.figures dt { color: var(--dim); font-size: .85rem; } .figures dd { margin: 0; }
.figures dd.value { font-size: 1.35rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.figures dd.more { color: var(--dim); font-size: .82rem; line-height: 1.35; }
tr.ours > * { border-bottom: 0; } .lead { font-size: 1.1rem; line-height: 1.45; max-width: 52rem; }
path.net { stroke: var(--text); } .plot path.line.net { stroke: var(--text); stroke-width: 2; }
.plot path.line.halo { stroke: var(--back); stroke-width: 5; }
.gap { fill: var(--faint); } .plot path.event { stroke: var(--bad); stroke-dasharray: 3 3; }
circle.event { fill: var(--bad); stroke: var(--back); }
rect.up { fill: #3f9e5f; } rect.partly { fill: #d9a400; } rect.down { fill: #cf3b3b; } rect.unseen { fill: var(--faint); }
.strips { padding: .6rem 0 0; } tbody th, td { vertical-align: top; }
td.text { min-width: 9rem; }
.why { font-size: .9rem; } .why b { font-weight: 600; }
"""


def page(view: View) -> str:
    """The whole page; `view` as performance.performance has it."""
    period = words.period(view)
    body = "".join(
        part
        for part in (_top(view, period), _earnings(view), _changes(view), _uptime(view), _balances(view), _notes(view))
        if part
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>orcha performance report: {escape(period)}</title><style>{styles(STYLE)}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _top(view: View, period: str) -> str:
    earned_, nothing = words.headline(view)
    cards = "".join(
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd class="more">{escape(more)}</dd></div>'
        for name, value, more in words.kpis(view)
    )
    return (
        f'<h1>Performance report</h1><p class="dim">{escape(period)}, from the state {escape(view["state"])}</p>'
        f'<p class="sentence">{escape(earned_)}</p><p class="lead">{escape(nothing)}</p><dl class="figures">{cards}</dl>'
    )


def _earnings(view: View) -> str:
    groups = [("protocols", "protocol", "By protocol"), ("workloads", "workload", "By workload")]
    if len(view["nodes"]) > 1:
        groups.insert(1, ("nodes", "node", "By node"))
    tables = "".join(f"<h3>{title}</h3>{_table(words.earnings(view, each, name))}" for each, name, title in groups)
    said = (
        '<p class="dim">The mean of the time that is known of each step; grey is time of which nothing is. A dashed line with a '
        "dot is a change of an allocation, whose words show where a pointer rests.</p>"
    )
    return f"<section><h2>Earnings</h2>{said}{earned(view)}{tables}</section>"


def _changes(view: View) -> str:
    found, nothing = words.changes(view), words.nothing_table(view)
    held = allocated(view)
    stacks = (
        '<p class="dim">What each workload held, stacked; the dashed line across is what the node has. Grey is where it is not known '
        "of one or more.</p>"
        f"{held}"
        if held
        else '<p class="dim">No allocation is known in the period.</p>'
    )
    said = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in words.reasons(view))
    why = f'<ul class="why">{said}</ul>' if said else ""
    made = f"{_table(found)}{why}" if found.rows else "<p>Nothing was changed.</p>"
    against = f"<h3>Against doing nothing</h3>{_table(nothing)}" if nothing.rows else ""
    return f"<section><h2>Allocations</h2>{stacks}<h3>Changes</h3>{made}{against}</section>"


def _uptime(view: View) -> str:
    return f"<section><h2>Uptime and connections</h2>{there(view)}{_table(words.contact(view))}</section>"


def _balances(view: View) -> str:
    if not view["balances"]["workloads"]:
        return ""
    return f"<section><h2>Balances at the end</h2>{_table(words.balances(view))}</section>"


def _notes(view: View) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in words.notes(view))
    last = "<li>? is unknown, and in no sum. Times are UTC, money is USD. -o json has every figure.</li>"
    return f'<section class="dim"><h2>What to know of these figures</h2><ul>{items}{last}</ul></section>'


def _table(found: words.Table) -> str:
    more = f'<p class="dim">{escape(found.more)}</p>' if found.more else ""
    return f"{table(found.heads, found.rows, text=found.text, ours='all')}{more}"
