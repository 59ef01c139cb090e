"""The landing page: what earns what, what would change and why. Plain HTML, readable without JavaScript. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from controller.programs import IN_FLIGHT, Phase, ProgramState
from controller.report.tables import amount, said, usd
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.programs import Program, Step

View = dict[str, Any]
MOST_PROGRAMS: Final = 20
"""Of each sort that are shown; the API has all."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; --odd: #9a6700; --dim: #666; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --odd: #d4a72c; --dim: #999; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
table { font-size: .9rem; line-height: 1.35; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { font-weight: 600; overflow-wrap: anywhere; min-width: 3.5rem; } tbody th { font-weight: 500; min-width: 9rem; }
td { white-space: nowrap; } td:nth-child(2) { white-space: normal; overflow-wrap: anywhere; max-width: 18rem; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; } small { display: block; }
caption { text-align: left; color: var(--dim); padding-bottom: .3rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .odd { color: var(--odd); } .dim { color: var(--dim); }
.sentence { font-size: 1.1rem; } a { color: inherit; }
article, article.odd { border-left: 4px solid var(--odd); color: inherit; padding: .1rem 0 .1rem .9rem; margin: 1rem 0; }
article p { margin: .2rem 0; }
article.good { border-color: var(--good); color: inherit; } article.bad { border-color: var(--bad); color: inherit; }
article ul { margin: .2rem 0; } code { font: .9rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
"""


def landing_page(view: View, links: dict[str, str], programs: Sequence[Program] = ()) -> str:
    """The whole page as HTML. `programs`: those that are open, newest first."""
    places = {"metrics": "/metrics", "status as JSON": "/api/v1/status", "API": "/api/v1/openapi.json", **links}
    anchors = " · ".join(f'<a href="{escape(url, quote=True)}">{escape(name)}</a>' for name, url in places.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="15"><title>orcha</title><style>{STYLE}</style></head><body><main>'
        f'<h1>orcha</h1><p class="dim">version {escape(view["version"])} · {anchors}</p>'
        f"{refused(view)}{waiting(programs, view)}{in_flight(programs, view)}"
        f"{''.join(policy(item, view) for item in view['policies'])}{workloads(view)}</main></body></html>\n"
    )


def refused(view: View) -> str:
    problems = view.get("manifests", {}).get("problems") or []
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section role="alert"><h2 class="bad">The manifests were refused; the last good ones hold</h2><ul>{items}</ul></section>'


def waiting(programs: Iterable[Program], view: View) -> str:
    """What wants somebody's word, with the commands that give it."""
    found = [each for each in programs if each.state is ProgramState.PENDING]
    shown = "".join(program(each, view, _answers(each)) for each in found[:MOST_PROGRAMS])
    return _section("Waiting for approval", shown, len(found))


def in_flight(programs: Iterable[Program], view: View) -> str:
    """What is being done, is about to be, or is stuck."""
    found = [each for each in programs if each.state in IN_FLIGHT or each.state is ProgramState.APPROVED]
    shown = "".join(program(each, view, _ways_out(each)) for each in found[:MOST_PROGRAMS])
    return _section("Under way", shown, len(found))


def _section(title: str, shown: str, count: int) -> str:
    if not shown:
        return ""
    more = f'<p class="dim">and {count - MOST_PROGRAMS} more: orcha programs list</p>' if count > MOST_PROGRAMS else ""
    return f"<section><h2>{title}</h2>{shown}{more}</section>"


def _answers(each: Program) -> str:
    return _commands(f"orcha programs approve {each.id}", f"orcha programs reject {each.id}")


def _ways_out(each: Program) -> str:
    back, up = f"orcha programs rollback {each.id}", f"orcha programs reject {each.id}"
    return _commands(*{ProgramState.APPROVED: [up], ProgramState.BLOCKED: [back, up]}.get(each.state, [back]))


def _commands(*commands: str) -> str:
    return f"<p>{'<br>'.join(f'<code>{escape(command)}</code>' for command in commands)}</p>"


def program(each: Program, view: View, commands: str) -> str:
    """One program: why, what it is worth, which workload goes where, and how far it has come."""
    style = {ProgramState.BLOCKED: "bad", ProgramState.PENDING: "odd"}.get(each.state, "good")
    said_ = f'<p class="{style}">{escape(each.said)}</p>' if each.said else ""
    steps = {row["key"]: row["step"] for row in view["workloads"]}
    moves = "".join(f"<li>{_step(part, steps.get(part.key))}</li>" for part in each.steps)
    return (
        f'<article class="{style}"><p><strong>{escape(each.id)}</strong> {escape(str(each.state))} · policy {escape(each.policy)}'
        f"{escape(_stage(each))}{escape(_worth(each))}{escape(_expiry(each, view['at']))}</p>"
        f"<p>{escape(each.sentence)}</p>{said_}<ul>{moves}</ul>{commands}</article>"
    )


def _stage(each: Program) -> str:
    return f" · stage {each.stage.number} of {len(each.stage.shares)}" if each.stage else ""


def _worth(each: Program) -> str:
    if each.promise is None:
        return ""
    gain, sure = each.promise.gain, each.promise.confidence
    words = f" · {usd(gain.expected, signed=True)} USD/h (between {usd(gain.low, signed=True)} and {usd(gain.high, signed=True)})"
    return words if sure is None else f"{words}, {sure:.0%} sure"


def _expiry(each: Program, now: float) -> str:
    if each.state is not ProgramState.PENDING or each.expires is None:
        return ""
    return f" · expires in {format_duration(max(0.0, each.expires - now))}"


def _step(part: Step, step: float | None) -> str:
    before, after = (amount(part.resource, ends[part.resource], step) for ends in (part.before, part.after))
    phase = "" if part.phase is Phase.WAITING else f" ({part.phase})"
    rest = "".join(f"; {words}" for words in (part.note, part.failure) if words)
    return f"<strong>{escape(part.key)}</strong>: {escape(before)} → {escape(after)}{escape(phase + rest)}"


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
        f'<th scope="row">{escape(row["key"])}<small class="dim">{escape(row["protocol"])}</small></th>',
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
