"""The exporter's landing page: plain HTML that reads without scripts. Pure: rows in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from exporters.quantity import format_duration
from exporters.reading import Reading

MAX_ROWS = 500
"""Rows shown; a page for people needs no more, and /metrics has them all."""

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.down { color: #c22 } .up { color: #283 } .note { opacity: .7 }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One workload as the page shows it."""

    key: str
    protocol: str
    newest: Reading | None
    """None: it was not asked yet."""
    good: Reading | None
    """The newest that gave figures."""
    stale_after: float = float("inf")
    """Seconds after which those figures are not shown any more."""


def landing_page(
    rows: Sequence[Row], now: float, version: str, links: Mapping[str, str], notes: Sequence[str] = ()
) -> str:
    """The page; `links` name -> address, `notes` are sentences that stand above the table."""
    up = sum(row.newest is not None and row.newest.up for row in rows)
    items = "".join(f'<li><a href="{escape(to)}">{escape(name)}</a></li>' for name, to in links.items())
    said = "".join(f'<p class="down">{escape(note)}</p>' for note in notes)
    more = f'<p class="note">and {len(rows) - MAX_ROWS} more; /metrics has them all</p>' if len(rows) > MAX_ROWS else ""
    body = "".join(_row(row, now) for row in rows[:MAX_ROWS])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>orcha exporter</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>orcha exporter</h1>"
        f"<p>Version {escape(version)}. {up} of {len(rows)} workloads answer.</p>{said}<ul>{items}</ul>"
        "<table><thead><tr><th>workload</th><th>protocol</th><th>up</th><th>state</th>"
        '<th class="n">age</th><th class="n">USD per hour</th><th>quality</th></tr></thead>'
        f"<tbody>{body}</tbody></table>{more}</body></html>\n"
    )


def _row(row: Row, now: float) -> str:
    """Reasons, never messages: a message may quote what a node said."""
    newest, good = row.newest, row.good
    if good is not None and now - good.at > row.stale_after:
        good = None
    if newest is None:
        up = '<span class="note">not asked yet</span>'
    elif newest.up:
        up = '<span class="up">yes</span>'
    else:
        up = f'<span class="down">no ({escape(newest.failure or "unknown")})</span>'
    state = (good.state if good and good.state else None) or (newest.connection.value if newest else "")
    age = format_duration(max(0.0, now - good.at)) if good else ""
    rate = "unknown" if good is None or good.rate_usd_per_hour is None else f"{good.rate_usd_per_hour:.6f}"
    quality = good.quality.value if good and good.quality else ""
    return (
        f"<tr><td>{escape(row.key)}</td><td>{escape(row.protocol)}</td><td>{up}</td><td>{escape(state)}</td>"
        f'<td class="n">{age}</td><td class="n">{rate}</td><td>{escape(quality)}</td></tr>'
    )
