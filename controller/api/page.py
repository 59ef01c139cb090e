"""The landing page: what earns what, what would change and why. Plain HTML, readable without JavaScript. Pure."""

from __future__ import annotations

from html import escape
from typing import Any

from controller.report.tables import amount, said, usd
from exporters.quantity import format_duration

View = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; --odd: #9a6700; --dim: #777; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --odd: #d4a72c; --dim: #999; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; } td.text { white-space: normal; text-align: left; }
caption { text-align: left; color: var(--dim); padding-bottom: .3rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .odd { color: var(--odd); } .dim { color: var(--dim); }
.sentence { font-size: 1.1rem; } a { color: inherit; } tfoot td { font-weight: 600; }
"""


def landing_page(view: View, links: dict[str, str]) -> str:
    """The whole page as HTML."""
    places = {"metrics": "/metrics", "status as JSON": "/api/v1/status", **links}
    anchors = " · ".join(f'<a href="{escape(url, quote=True)}">{escape(name)}</a>' for name, url in places.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="15"><title>orcha</title><style>{STYLE}</style></head><body><main>'
        f'<h1>orcha</h1><p class="dim">version {escape(view["version"])} · {anchors}</p>'
        f"{refused(view)}{''.join(policy(item, view) for item in view['policies'])}{workloads(view)}</main></body></html>\n"
    )


def refused(view: View) -> str:
    problems = view.get("manifests", {}).get("problems") or []
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section role="alert"><h2 class="bad">The manifests were refused; the last good ones hold</h2><ul>{items}</ul></section>'


def policy(item: View, view: View) -> str:
    steps = {row["key"]: row["step"] for row in view["workloads"]}
    moves = "".join(move(verdict, steps.get(verdict["workload"])) for verdict in item["verdicts"])
    stays = "".join(
        f'<li class="dim">{escape(key)} stays: {escape(why["sentence"])}</li>' for key, why in item["left_out"].items()
    )
    return (
        f"<section><h2>Policy {escape(item['name'])}, mode {escape(item['mode'])}</h2>"
        f'<p class="sentence">{escape(item["sentence"])}</p><ul>{moves}{stays}</ul></section>'
    )


def move(verdict: View, step: float | None) -> str:
    before, after = (amount(verdict["resource"], verdict[end], step) for end in ("from", "to"))
    style = "good" if verdict["allowed"] or verdict["reason"] == "ModeSuggest" else "odd"
    words = f"{verdict['workload']}: {before} → {after}"
    return f'<li><strong class="{style}">{escape(words)}</strong> {escape(said(verdict))}</li>'


def workloads(view: View) -> str:
    heads = (
        "workload",
        "protocol",
        "state",
        "earns USD/h",
        "in hand USD/h",
        "allocated",
        "used",
        "better split",
        "read",
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(workload(row, view["at"]) for row in view["workloads"])
    return (
        '<section><h2>What earns what</h2><div class="scroll"><table><caption>Gross is what the protocol credits; in hand is after '
        f"held amounts, cuts, fees and energy. “?” is unknown, which is not zero.</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def workload(row: View, now: float) -> str:
    resource, step, target = row["resource"], row["step"], row.get("target")
    word, style = state_of(row)
    native = ", ".join(f"{rate:,.4g} {token}/h" for token, rate in row["native_per_hour"].items())
    moved = (
        target is not None and row["allocated"] is not None and abs(target - row["allocated"]) > 1e-9 * max(1.0, target)
    )
    age = f"{format_duration(max(0.0, now - row['read_at']))} ago" if row["read_at"] else "never"
    cells = [
        f'<th scope="row">{escape(row["key"])}</th>',
        f"<td>{escape(row['protocol'])}</td>",
        f'<td class="{style}">{escape(word)}</td>',
        f'<td title="{escape(native, quote=True)}">{usd(row["gross_usd_per_hour"])}</td>',
        f"<td>{usd(row['net_usd_per_hour'])}</td>",
        f"<td>{escape(amount(resource, row['allocated'], step))}</td>",
        f"<td>{'–' if row.get('curve') == 'dilution' else escape(amount(resource, row['used'], step))}</td>",
        f'<td class="{target_style(row, moved=moved)}">{escape(amount(resource, target, step)) if target is not None else ""}</td>',
        f'<td class="dim">{age}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def target_style(row: View, *, moved: bool) -> str:
    if not moved:
        return "dim"
    return "good" if row.get("verdict") in {"Allowed", "ModeSuggest"} else "odd"


def state_of(row: View) -> tuple[str, str]:
    """The state in words, and its style."""
    if row["up"] is None:
        return "not asked yet", "dim"
    if not row["up"]:
        return f"{row['connection']}: {row['failure'] or ''}"[:120], "bad"
    if row["stalled"]:
        return f"{row['state'] or 'up'}, not earning", "odd"
    return row["state"] or "up", "bad" if row["healthy"] is False else "good"
