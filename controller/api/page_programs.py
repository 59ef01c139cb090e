"""The programs of the landing page: what wants somebody's word, what is under way, what was done lately. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

from controller.api.page_tables import cell, row, table
from controller.programs import IN_FLIGHT, OVER, Phase, ProgramState
from controller.promises import Kind
from controller.report.tables import amount, usd
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.programs import Program, Step

View = dict[str, Any]
MOST_PROGRAMS: Final = 20
"""Of each sort that are shown; the API has all."""
LATELY: Final = 24 * 3600.0
"""Seconds for which what is over is shown."""
_STYLES: Final[Mapping[ProgramState, str]] = {ProgramState.BLOCKED: "stuck", ProgramState.PENDING: "waits"}
_BY_HAND: Final[Mapping[str, str]] = {Kind.MANUAL: "by hand", Kind.FOLLOWED: "a suggestion"}


def waiting(programs: Iterable[Program], view: View) -> str:
    """What wants somebody's word, with the commands that give it."""
    found = [each for each in programs if each.state is ProgramState.PENDING]
    shown = "".join(program(each, view, _answers(each)) for each in found[:MOST_PROGRAMS])
    return _section("waiting", "Waiting for approval", shown, len(found))


def in_flight(programs: Iterable[Program], view: View) -> str:
    """What is being done, is about to be, or is stuck."""
    found = [each for each in programs if each.state in IN_FLIGHT or each.state is ProgramState.APPROVED]
    shown = "".join(program(each, view, _ways_out(each)) for each in found[:MOST_PROGRAMS])
    return _section("under-way", "Under way", shown, len(found))


def _section(name: str, title: str, shown: str, count: int) -> str:
    if not shown:
        return ""
    more = f'<p class="dim">and {count - MOST_PROGRAMS} more: orcha programs list</p>' if count > MOST_PROGRAMS else ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{shown}{more}</section>'
    )


def _answers(each: Program) -> str:
    return _commands("To decide, run:", f"orcha programs approve {each.id}", f"orcha programs reject {each.id}")


def _ways_out(each: Program) -> str:
    back, up = f"orcha programs rollback {each.id}", f"orcha programs reject {each.id}"
    known = {ProgramState.APPROVED: [up], ProgramState.BLOCKED: [back, up]}
    return _commands("To take it back, run:", *known.get(each.state, [back]))


def _commands(what: str, *commands: str) -> str:
    return f"<p>{what}<br>{'<br>'.join(f'<code>{escape(command)}</code>' for command in commands)}</p>"


def program(each: Program, view: View, commands: str) -> str:
    """One program: why, what it is worth, which workload goes where, and how far it has come."""
    name, style = escape(each.id, quote=True), _STYLES.get(each.state, "moves")
    tone = "bad" if each.state is ProgramState.BLOCKED else "dim"
    said = f'<p class="{tone}">{escape(each.said)}</p>' if each.said else ""
    steps = {found["key"]: found["step"] for found in view["workloads"]}
    moves = "".join(f"<li>{_step(part, steps.get(part.key))}</li>" for part in each.steps)
    about = f"<p>policy {escape(each.policy)}{escape(_stage(each))}{escape(_worth(each))}{escape(_expiry(each, view['at']))}</p>"
    return (
        f'<article id="{name}" class="{style}" aria-labelledby="{name}-title">'
        f'<h3 id="{name}-title" data-say="{name}">'
        f"{name} {escape(each.state.words)}</h3>{about}"
        f"<p>{escape(each.sentence)}</p>{said}<ul>{moves}</ul>{commands}</article>"
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
    before, after = _ends(part, step)
    phase = "" if part.phase is Phase.WAITING else f" ({part.phase})"
    rest = "".join(f"; {words}" for words in (part.note, part.failure) if words)
    return f"<strong>{escape(part.key)}</strong>: {escape(before)} → {escape(after)}{escape(phase + rest)}"


def _ends(part: Step, step: float | None) -> tuple[str, str]:
    before, after = (amount(part.resource, ends[part.resource], step) for ends in (part.before, part.after))
    return before, after


# --- what is over -------------------------------------------------------------------------------------------------


def lately(programs: Sequence[Program], view: View) -> str:
    """What ended in the last day, orcha's programs and what people changed, the newest first."""
    since = view["at"] - LATELY
    judged = {each["id"]: each for item in view["policies"] for each in item.get("outcomes", {}).get("programs", ())}
    steps = {found["key"]: found["step"] for found in view["workloads"]}
    over = [(each.changed, _over(each, judged.get(each.id), steps)) for each in programs if each.state in OVER]
    known = {each.id for each in programs}
    by_hand = [(each["at"], _by_hand(each, steps)) for name, each in judged.items() if name not in known]
    found = sorted((each for each in (*over, *by_hand) if each[0] > since), key=lambda each: each[0], reverse=True)
    if not found:
        return ""
    heads = ("program", "when", "state", "what", "what came of it")
    caption = "What ended in the last day, newest first; <code>orcha history</code> has all."
    shown = table("lately-table", caption, heads, [each for _, each in found[:MOST_PROGRAMS]])
    return (
        f'<section id="lately" aria-labelledby="lately-title"><h2 id="lately-title">Done lately</h2>{shown}</section>'
    )


def _over(each: Program, outcome: View | None, steps: Mapping[str, float | None]) -> str:
    moves = (f"{part.key} {' → '.join(_ends(part, steps.get(part.key)))}" for part in each.steps)
    style = {ProgramState.APPLIED: "good", ProgramState.ROLLED_BACK: "bad"}.get(each.state, "dim")
    by = f" by {each.by}" if each.by != "orcha" else ""
    judged = (outcome or {}).get("sentence") or ("not judged yet" if each.state is ProgramState.APPLIED else "")
    came = "; ".join(filter(None, (each.said, judged)))
    return _line(each.id, each.changed, (f"{each.state.words}{by}", style), moves, came)


def _by_hand(each: View, steps: Mapping[str, float | None]) -> str:
    moves = (
        f"{part['workload']} {amount(part['resource'], part['from'], steps.get(part['workload']))} → "
        f"{amount(part['resource'], part['to'], steps.get(part['workload']))}"
        for part in each["moves"]
    )
    came = each["sentence"] or "not judged yet"
    return _line(
        each["id"], each["at"], (each["kind"], "dim"), moves, came, shown=_BY_HAND.get(each["kind"], each["id"])
    )


def _line(name: str, at: float, state: tuple[str, str], moves: Iterable[str], came: str, *, shown: str = "") -> str:
    cells = (
        cell("when", datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"), "dim"),
        cell("state", *state),
        cell("what", "; ".join(moves), "long"),
        cell("what came of it", came, "long"),
    )
    return row(f"over-{name}", escape(shown or name), cells)
