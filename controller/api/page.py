"""The landing page: what earns what, what would change and why, what waits for a word. Pure.

Plain HTML, readable without JavaScript: then it loads itself again every 15 seconds. With it, static/page.js changes in
place what is different; what it tells aloud when it changes has `data-say`. Everything that comes from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from controller.api.page_fleet import fleet_part, how_many
from controller.api.page_programs import in_flight, lately, waiting
from controller.api.page_tables import nodes, sums, workloads
from controller.programs import ProgramState
from controller.report.tables import amount, said

if TYPE_CHECKING:
    from controller.programs import Program

View = dict[str, Any]
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""Content-Security-Policy: only what this address itself serves, nothing inline."""
OWN: Final = {"metrics": "metrics", "status as JSON": "api/v1/status", "API": "api/v1/openapi.json"}
"""Relative, so that they hold behind a proxy that puts something before them."""
EXPLAINED: Final = 5
"""Workloads that stay as they are which are shown at once; more unfold."""


def landing_page(
    view: View, links: Mapping[str, str], programs: Sequence[Program] = (), fleet: View | None = None
) -> str:
    """The whole page. `programs`: those that are open or were a short time ago, newest first; `fleet`: page_fleet.py has it."""
    pending = sum(each.state is ProgramState.PENDING for each in programs)
    title = f"orcha: {pending} {'waits' if pending == 1 else 'wait'} for approval" if pending else "orcha"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{title}</title><link rel="stylesheet" href="page.css"><script src="page.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="15"></noscript></head><body>'
        '<a class="skip" href="#main">Skip to what earns what and what would change</a>'
        f'<header><h1>orcha</h1><p class="dim">version {escape(view["version"])}</p>{_links(links)}</header>'
        f'<main id="main" tabindex="-1">{_main(view, programs, fleet)}</main>'
        '<footer><p id="live">This page loads itself again every 15 seconds.</p>'
        '<p id="news" class="quiet" role="status" aria-live="polite"></p></footer></body></html>\n'
    )


def _main(view: View, programs: Sequence[Program], fleet: View | None) -> str:
    plans = "".join(policy(item, view) for item in view["policies"])
    agents = how_many(fleet) if fleet is not None else None
    return (
        f"{refused(view)}{sums(view, programs, agents)}{waiting(programs, view)}{in_flight(programs, view)}"
        f"{plans or _no_policy(view)}{workloads(view)}{nodes(view)}{fleet_part(fleet)}{lately(programs, view)}"
    )


def _links(links: Mapping[str, str]) -> str:
    shown = {**OWN, **{name: place for name, url in links.items() if (place := outside(url))}}
    items = "".join(f'<li><a href="{escape(url, quote=True)}">{escape(name)}</a></li>' for name, url in shown.items())
    return f'<nav aria-label="Elsewhere"><ul>{items}</ul></nav>'


def outside(url: str) -> str | None:
    """An address as a link, without the name and password that may stand in it; None: it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def refused(view: View) -> str:
    problems = view.get("manifests", {}).get("problems") or []
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return (
        '<section id="refused" role="alert" aria-labelledby="refused-title"><h2 id="refused-title" class="bad">The manifests were '
        f'refused; the last good ones hold</h2><ul data-say="Manifests refused">{items}</ul></section>'
    )


def _no_policy(view: View) -> str:
    if not view["workloads"]:
        return ""
    return (
        '<section id="plan" aria-labelledby="plan-title"><h2 id="plan-title">Plan</h2><p>No policy was judged yet: the first plan '
        "comes once every workload was asked.</p></section>"
    )


def policy(item: View, view: View) -> str:
    """What one policy would do, why, and who stays as it is."""
    steps = {row["key"]: row["step"] for row in view["workloads"]}
    name = escape(item["name"], quote=True)
    moves = "".join(move(verdict, steps.get(verdict["workload"])) for verdict in item["verdicts"])
    return (
        f'<section id="policy-{name}" aria-labelledby="policy-{name}-title"><h2 id="policy-{name}-title">Plan of policy {name}, '
        f'mode {escape(item["mode"])}</h2><p class="sentence" data-say="Policy {name}">{escape(item["sentence"])}</p>'
        f"{f'<ul>{moves}</ul>' if moves else ''}{_stays(item['left_out'], name)}</section>"
    )


def _stays(left_out: Mapping[str, Mapping[str, str]], name: str) -> str:
    if not left_out:
        return ""
    items = "".join(f"<li>{escape(key)} stays: {escape(why['sentence'])}</li>" for key, why in left_out.items())
    if len(left_out) <= EXPLAINED:
        return f'<ul class="dim">{items}</ul>'
    return (
        f'<details id="policy-{name}-stays"><summary>{len(left_out)} workloads stay as they are</summary>'
        f'<ul class="dim">{items}</ul></details>'
    )


def move(verdict: View, step: float | None) -> str:
    before, after = (amount(verdict["resource"], verdict[end], step) for end in ("from", "to"))
    style = "good" if verdict["allowed"] or verdict["reason"] == "ModeSuggest" else "odd"
    words = f"{verdict['workload']}: {before} → {after}"
    return f'<li><strong class="{style}">{escape(words)}</strong> {escape(said(verdict))}</li>'
