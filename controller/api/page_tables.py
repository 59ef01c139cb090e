"""The tables of the landing page: the sums, what earns what, the nodes. Pure. A row is a card on a narrow screen, so that
every cell carries the name of its column, and every part of a table its role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from controller.programs import IN_FLIGHT, ProgramState
from controller.report.tables import amount, usd
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.programs import Program

View = dict[str, Any]
NUMBERS: Final = frozenset(
    {
        "earns USD/h",
        "in hand USD/h",
        "allocated",
        "used",
        "better split",
        "read",
        "oldest reading",
        "held here",
        "held in all",
    }
)
_UNKNOWN: Final = "“?” is unknown, which is not zero."


def table(name: str, caption: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    """`rows`: of `row`."""
    side = {head: ' class="number"' if head in NUMBERS else "" for head in heads}
    head = "".join(f'<th scope="col" role="columnheader"{side[name]}>{escape(name)}</th>' for name in heads)
    return (
        f'<table id="{name}" role="table"><caption>{caption}</caption><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def row(name: str, first: str, cells: Iterable[str]) -> str:
    """`first`: the inside of its head; `cells`: of `cell`."""
    return f'<tr id="{escape(name, quote=True)}" role="row"><th scope="row" role="rowheader">{first}</th>{"".join(cells)}</tr>'


def cell(head: str, text: str, style: str = "", title: str = "", say: str = "") -> str:
    """Of the column of that name. `text`: plain; told aloud when it changes, under the name `say`, where there is one."""
    styles = " ".join(filter(None, (style, "number" if head in NUMBERS else "")))
    more = f' class="{styles}"' if styles else ""
    more += f' title="{escape(title, quote=True)}"' if title else ""
    aloud = f' data-say="{escape(say, quote=True)}"' if say else ""
    return f'<td role="cell" data-label="{escape(head, quote=True)}"{more}><span{aloud}>{escape(text)}</span></td>'


# --- at a glance --------------------------------------------------------------------------------------------------


def sums(view: View, programs: Sequence[Program], agents: tuple[str, str] | None = None) -> str:
    """How much all of them earn, how many are up, what waits; of a fleet how many `agents` are alive, with a note."""
    rows = view["workloads"]
    up = sum(row["up"] is True for row in rows)
    failing = sum(row["up"] is False for row in rows)
    pending = sum(each.state is ProgramState.PENDING for each in programs)
    moving = sum(each.state in IN_FLIGHT for each in programs)
    waits = f"{len(rows) - up - failing} not asked yet" if up + failing < len(rows) else ""
    shown = (
        _sum("Earns, gross", *_total(rows, "gross_usd_per_hour")),
        _sum("In hand", *_total(rows, "net_usd_per_hour")),
        _sum(
            "Workloads up",
            f"{up} of {len(rows)}",
            ", ".join(filter(None, (f"{failing} failing" if failing else "", waits))),
        ),
        _sum("Waiting for approval", str(pending), f"{moving} under way" if moving else ""),
        _sum("Agents alive", *agents) if agents is not None else "",
    )
    return (
        '<section id="sums" aria-labelledby="sums-title"><h2 id="sums-title" class="quiet">At a glance</h2>'
        f'<dl class="sums">{"".join(shown)}</dl></section>'
    )


def _sum(name: str, value: str, note: str) -> str:
    more = f"<small>{escape(note)}</small>" if note else ""
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{more}</dd></div>"


def _total(rows: Sequence[View], name: str) -> tuple[str, str]:
    """The sum of what is known, and how much that is not."""
    known = [row[name] for row in rows if row[name] is not None]
    if not known:
        return "?", "nothing is known yet"
    missing = len(rows) - len(known)
    return f"{usd(sum(known))} USD/h", f"without {missing} of {len(rows)}, unknown" if missing else ""


# --- workloads ----------------------------------------------------------------------------------------------------


def workloads(view: View) -> str:
    heads = ("workload", "state", "earns USD/h", "in hand USD/h", "allocated", "used", "better split", "read")
    caption = f"Gross is what the protocol credits; in hand is after held amounts, cuts, fees and energy. {_UNKNOWN}"
    rows = (workload(row, view["at"]) for row in view["workloads"])
    shown = table("workloads-table", caption, heads, rows) if view["workloads"] else "<p>No workloads are declared.</p>"
    return f'<section id="workloads" aria-labelledby="workloads-title"><h2 id="workloads-title">What earns what</h2>{shown}</section>'


def workload(found: View, now: float) -> str:
    resource, step, target = found["resource"], found["step"], found.get("target")
    word, style = state_of(found)
    native = ", ".join(f"{rate:,.4g} {token}/h" for token, rate in found["native_per_hour"].items())
    has = found["allocated"]
    moved = target is not None and has is not None and abs(target - has) > 1e-9 * max(1.0, target)
    used = "–" if found.get("curve") == "dilution" else amount(resource, found["used"], step)
    better = amount(resource, target, step) if target is not None else ""
    cells = (
        cell("state", word, style),
        cell("earns USD/h", usd(found["gross_usd_per_hour"]), title=native),
        cell("in hand USD/h", usd(found["net_usd_per_hour"])),
        cell("allocated", amount(resource, has, step)),
        cell("used", used),
        cell("better split", better, target_style(found, moved=moved)),
        cell("read", ago(found["read_at"], now), "dim"),
    )
    return row(
        f"workload-{found['key']}",
        f'{escape(found["key"])}<small class="dim">{escape(found["protocol"])}</small>',
        cells,
    )


def ago(at: float | None, now: float) -> str:
    return f"{format_duration(max(0.0, now - at))} ago" if at else "never"


def target_style(found: View, *, moved: bool) -> str:
    if not moved:
        return "dim"
    return "good" if found.get("verdict") in {"Allowed", "ModeSuggest"} else "odd"


def state_of(found: View) -> tuple[str, str]:
    """The state in words, and its style."""
    if found["up"] is None:
        return "not asked yet", "dim"
    if not found["up"]:
        return f"{found['connection']}: {found['failure'] or ''}"[:120], "bad"
    if found["stalled"]:
        return f"{found['state'] or 'up'}, not earning", "odd"
    return found["state"] or "up", "bad" if found["healthy"] is False else "good"


# --- nodes --------------------------------------------------------------------------------------------------------


def nodes(view: View) -> str:
    """Each node with how its workloads are."""
    if not view["workloads"]:
        return ""
    by_node: dict[str, list[View]] = {}
    for found in view["workloads"]:
        by_node.setdefault(found["node"], []).append(found)
    heads = ("node", "health", "workloads up", "in hand USD/h", "oldest reading")
    rows = (node(name, by_node[name], view["at"]) for name in sorted(by_node))
    shown = table("nodes-table", f"Of what runs on each. {_UNKNOWN}", heads, rows)
    return f'<section id="nodes" aria-labelledby="nodes-title"><h2 id="nodes-title">Nodes</h2>{shown}</section>'


def node(name: str, found: Sequence[View], now: float) -> str:
    known = [each["net_usd_per_hour"] for each in found if each["net_usd_per_hour"] is not None]
    times = [each["read_at"] for each in found]
    oldest = min((at for at in times if at), default=None)
    age = ago(oldest, now) if all(times) else f"{sum(not at for at in times)} never read"
    earns = usd(sum(known)) if known else "?"
    cells = (
        cell("health", *health(found)),
        cell("workloads up", f"{sum(each['up'] is True for each in found)} of {len(found)}"),
        cell("in hand USD/h", earns if not known or len(known) == len(found) else f"{earns} + ?"),
        cell("oldest reading", age, "dim"),
    )
    return row(f"node-{name}", escape(name), cells)


def health(found: Sequence[View]) -> tuple[str, str]:
    """How a node is, by its workloads, in words, and its style."""
    failing = [each["key"].partition("/")[2] for each in found if each["up"] is False]
    if failing:
        return ("down" if len(failing) == len(found) else f"failing: {', '.join(failing)}"), "bad"
    if unwell := [each["key"].partition("/")[2] for each in found if each["healthy"] is False]:
        return f"not well: {', '.join(unwell)}", "bad"
    if all(each["up"] is None for each in found):
        return "not asked yet", "dim"
    if stalled := [each["key"].partition("/")[2] for each in found if each["stalled"]]:
        return f"not earning: {', '.join(stalled)}", "odd"
    return "well", "good"
