"""Programs and their history for a terminal (rich). In: the views of programs.py. Out: something to print, or a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from controller.estimate.words import money, odds
from controller.programs import WAITING, Phase, ProgramState
from controller.report.programs import seconds
from controller.report.tables import BAD, DIM, GAP, GOOD, STALE, amount, minute, move_words
from exporters.quantity import format_duration

View = dict[str, Any]
ROOMY: Final = 110
"""Columns of a terminal from which on the reason has a column of its own; below it has a line."""
_STYLES: Final = {
    ProgramState.PENDING: STALE,
    ProgramState.APPROVED: GOOD,
    ProgramState.RUNNING: GOOD,
    ProgramState.APPLIED: GOOD,
    ProgramState.ROLLED_BACK: STALE,
    ProgramState.BLOCKED: BAD,
}
_PHASES: Final = {
    Phase.WAITING: ("waits for its turn", DIM),
    Phase.ISSUED: ("was told to the node", STALE),
    Phase.DONE: ("the node reports it", GOOD),
    Phase.RETURNING: ("is being taken back", STALE),
    Phase.RETURNED: ("taken back, the node reports it", STALE),
}
_NOTHING_BROUGHT: Final = {ProgramState.ROLLED_BACK, ProgramState.BLOCKED, ProgramState.RUNNING, ProgramState.REJECTED}
"""What is in none of these is judged."""
_KINDS: Final = {"followed": "by hand, as suggested", "manual": "by hand", "applied": "applied"}
_NEXT: Final = {
    ProgramState.PENDING: "orcha programs approve {id}, or orcha programs reject {id}",
    ProgramState.APPROVED: "begins as soon as the guard, asked again, lets it; orcha programs reject {id} keeps it from that",
    ProgramState.RUNNING: "orcha programs rollback {id} turns it back",
    ProgramState.BLOCKED: (
        "tried again by itself; orcha programs rollback {id} takes back what was done, orcha programs reject {id} leaves it "
        "as it is"
    ),
    ProgramState.APPLIED: "orcha programs rollback {id} brings back what stood before",
}


# --- the list -----------------------------------------------------------------------------------------------------


def programs_table(view: View, width: int = 160) -> RenderableType:
    """`orcha programs`: each in a line, open ones first; then what waits for somebody's word."""
    rows, now = view["programs"], seconds(view["at"]) or 0.0
    if not rows:
        return Text("no program is open, and none was over in the last day; orcha programs --all shows older ones")
    heads: list[tuple[str, JustifyMethod]] = [
        ("program", "left"), ("state", "left"), ("age", "right"), ("who", "left"), ("what", "left"), ("gain USD/h", "right"),
    ]  # fmt: skip
    table = _table([*heads, ("why", "left")] if width >= ROOMY else heads)
    for each in rows:
        cells = [
            Text(each["id"], style="bold", no_wrap=True),
            state_words(each, now),
            Text(_age(now, each["at"]), style=DIM),
            Text(each["by"]),
            Text("\n".join(move_words(move, {}) for move in each["moves"])),
            Text(gain_words(each["gain_usd_per_hour"])),
        ]
        table.add_row(*cells, *([why_words(each)] if width >= ROOMY else []))
    lines = [] if width >= ROOMY else [Text.assemble((f"{each['id']}: ", "bold"), why_words(each)) for each in rows]
    return Group(table, *lines, *_waiting(rows))


def _waiting(rows: Iterable[View]) -> Iterator[Text]:
    pending = [each["id"] for each in rows if each["state"] == ProgramState.PENDING]
    if pending:
        them = "this one" if len(pending) == 1 else f"{len(pending)} of them, such as this one"
        yield Text(f"waiting for your word, {them}: orcha programs approve {pending[0]}", style=STALE)
    blocked = [each["id"] for each in rows if each["state"] == ProgramState.BLOCKED]
    if blocked:
        yield Text(f"blocked: orcha programs show {blocked[0]} says what it waits for", style=BAD)


def state_words(each: View, now: float, between: str = "\n") -> Text:
    """The state, and what time has to do with it."""
    state, more = each["state"], ""
    if state == ProgramState.PENDING and each["expires_at"] is not None:
        more = f"{between}{format_duration(max(0.0, (seconds(each['expires_at']) or now) - now))} left"
    elif state == ProgramState.BLOCKED and each["retry_at"] is not None:
        more = f"{between}tried again in {format_duration(max(0.0, (seconds(each['retry_at']) or now) - now))}"
    if each["stage"]:
        more = f", stage {each['stage']['number']} of {each['stage']['of']}{more}"
    return Text(f"{_words(state)}{more}", style=_STYLES.get(state, DIM))


def why_words(each: View) -> Text:
    """Why it was proposed, and what its state is about."""
    parts = [Text(each["sentence"])]
    parts += [Text(each["said"], style=_STYLES.get(each["state"], DIM))] if each["said"] else []
    return Text("\n").join(parts)


def gain_words(gain: View | None) -> str:
    """+0.0053 (-0.0005 to 0.009); "?" where nobody promised anything."""
    if gain is None or gain["expected"] is None:
        return "?"
    low, high = (money(gain[end] or 0.0, 2) for end in ("low", "high"))
    return f"{money(gain['expected'], 2, signed=True)} ({low} to {high})"


# --- one of them --------------------------------------------------------------------------------------------------


def program_table(view: View, width: int, now: float) -> RenderableType:
    """`orcha programs show`: the steps with their phases, every line of what happened, and what can be done now."""
    head = Text.assemble(
        (view["id"], "bold"), f"  policy {view['policy']}, {_cause(view)}  ", state_words(view, now, between=", ")
    )
    parts: list[RenderableType] = [head, Text(view["sentence"], style="bold")]
    if view["said"]:
        parts.append(Text(view["said"], style=_STYLES.get(view["state"], DIM)))
    parts += [Text(line, style=DIM) for line in (*_promise(view), *_times(view))]
    parts += [Text(""), _steps(view["moves"])]
    if view.get("records"):
        parts += [Text(""), _records(view["records"], width)]
    if then := _NEXT.get(view["state"]):
        parts += [Text(""), Text(then.format(id=view["id"]), style=DIM)]
    return Group(*parts)


def _cause(view: View) -> str:
    of = f" of {view['of']}" if view["of"] else ""
    words = {"plan": "from its plan", "stage": "the next stage", "rollback": "a rollback", "release": "a release"}
    return f"{words.get(view['cause'], view['cause'])}{of}"


def _promise(view: View) -> Iterator[str]:
    if view["gain_usd_per_hour"]:
        sure = f", {odds(view['confidence'])} sure" if view["confidence"] is not None else ""
        cost = f", for {money(view['cost_usd'] or 0.0, 3)} USD" if view["cost_usd"] is not None else ""
        over = f" over {format_duration(view['horizon_seconds'])}" if view["horizon_seconds"] else ""
        yield f"promised: {gain_words(view['gain_usd_per_hour'])} USD/h{over}{cost}{sure}"


def _times(view: View) -> Iterator[str]:
    names = {"at": "proposed", "began_at": "began"}
    names |= {"expires_at": "expires"} if view["state"] in WAITING else {}
    names |= {"retry_at": "tried again"} if view["state"] == ProgramState.BLOCKED else {}
    found = {said: seconds(view[name]) for name, said in names.items()}
    yield ", ".join(f"{said} {minute(at)}" for said, at in found.items() if at is not None)


def _steps(moves: Iterable[View]) -> Table:
    table = _table([("step", "left"), ("workload", "left"), ("from", "right"), ("to", "right"), ("how far", "left")])
    numbers: dict[str, int] = {}
    for move in moves:
        numbers[move["node"]] = numbers.get(move["node"], 0) + 1
        words, style = _PHASES.get(move["phase"], (str(move["phase"]), DIM))
        said = [words, *(part for part in (move["note"], move["failure"]) if part)]
        table.add_row(
            f"{numbers[move['node']]}",
            Text(move["workload"], style="bold"),
            *(amount(move["resource"], move[end]) for end in ("from", "to")),
            Text("; ".join(said), style=style),
        )
    return table


def _records(records: Iterable[View], width: int) -> RenderableType:
    heads: list[tuple[str, JustifyMethod]] = [("when", "left"), ("what", "left"), ("who", "left"), ("", "left")]
    table = _table(heads if width >= ROOMY else heads[:3])
    for record in records:
        cells = [
            Text(minute(seconds(record["at"]) or 0.0), style=DIM),
            Text(_words(record["what"])),
            Text(record["by"]),
        ]
        said = Text(record["sentence"], style=DIM)
        if width >= ROOMY:
            table.add_row(*cells, said)
        else:
            table.add_row(cells[0], Text("\n").join([cells[1], said]) if record["sentence"] else cells[1], cells[2])
    return table


# --- what was done ------------------------------------------------------------------------------------------------


def history_table(view: View, width: int = 160) -> RenderableType:
    """`orcha history`: what changed when, why, on whose word, what it cost, promised and brought."""
    entries = view["entries"]
    since, until = (minute(seconds(view[end]) or 0.0) for end in ("since", "until"))
    if not entries:
        of = f" of policy {view['policy']}" if view.get("policy") else ""
        return Text(f"nothing{of} was changed from {since} to {until}")
    roomy = width >= ROOMY
    heads: list[tuple[str, JustifyMethod]] = [
        ("when", "left"), ("what", "left"), ("how", "left"), ("who approved", "left"), ("cost USD", "right"),
        ("predicted USD/h", "right"), ("realised USD/h", "right"),
    ]  # fmt: skip
    chosen = range(len(heads)) if roomy else (0, 1, 5, 6)
    table = _table(heads[i] for i in chosen)
    for each in entries:
        cells = [
            Text(minute(seconds(each["at"]) or 0.0), style=DIM),
            Text("\n".join(move_words(move, {}) for move in each["moves"])),
            Text.assemble(how(each), (f"\n{each['id']}" if each["state"] else "", DIM)),
            Text(each["approved_by"] or "–"),
            Text("?" if each["cost_usd"] is None else money(each["cost_usd"], 3)),
            Text(gain_words(each["predicted_usd_per_hour"])),
            realised(each),
        ]
        table.add_row(*(cells[i] for i in chosen))
    return Group(table, Text(""), *map(_why, entries), Text(totals(entries, since, until)))


def how(each: View) -> Text:
    """applied, rolled back, by hand ..."""
    state = each["state"]
    words = _words(state or _KINDS[each["kind"]])
    return Text(words, style=_STYLES.get(state, DIM) if state else DIM)


def realised(each: View) -> Text:
    """What it brought; green where that was more than it cost."""
    if each["judged_at"] is None:
        due, back = seconds(each["due_at"]), each["state"] in _NOTHING_BROUGHT
        return Text(("–" if back else "?") if due is None else f"known from\n{minute(due)} on", style=DIM)
    if each["realised_usd_per_hour"] is None:
        return Text("unknown", style=DIM)
    style = {True: GOOD, False: BAD}.get(each["success"], "")
    return Text(gain_words(each["realised_usd_per_hour"]), style=style)


def _why(each: View) -> Text:
    """The sentences of one reallocation, which no column has room for."""
    said = [each["sentence"], each["said"], each["outcome"]]
    said += [f"approved by {each['approved_by']}"] if each["approved_by"] else []
    name = each["id"] if each["state"] else ", ".join(move["workload"] for move in each["moves"])
    words = "; ".join(part.rstrip(".") for part in said if part)
    return Text.assemble((f"{minute(seconds(each['at']) or 0.0)} {name}: ", "bold"), (words, DIM))


def totals(entries: Iterable[View], since: str, until: str) -> str:
    """How many, and what the judged ones brought together."""
    made = list(entries)
    judged = [each for each in made if each["realised_usd_per_hour"] is not None]
    usd = [each["realised_usd"] for each in judged if each["realised_usd"] is not None]
    paid = sum(bool(each["success"]) for each in judged)
    brought = f" and brought {money(sum(usd), 3, signed=True)} USD in all, cost deducted" if usd else ""
    said = f"{paid} of {len(judged)} judged so far paid{brought}" if judged else "none is judged yet"
    return f"{len(made)} change(s) from {since} to {until}: {said}"


# --- sentences ----------------------------------------------------------------------------------------------------


def done_words(view: View) -> str:
    """What came of a word that somebody gave: "p-1f2e3d4c is approved: rack-1/golem 6 cores → 8 cores"."""
    moves = ", ".join(move_words(move, {}) for move in view["moves"])
    of = f", which takes {view['of']} back," if view["cause"] == "rollback" and view["of"] else ""
    said = f"; {view['said']}" if view["said"] else ""
    if view["cause"] == "release":
        return f"{view['id']} gives back what was there before orcha: {moves}{said}"
    if view["state"] == "running" and any(move["failure"] for move in view["moves"]):
        return f"{view['id']} goes back: {moves}{said}"
    return f"{view['id']}{of} is {_words(view['state'])}: {moves}{said}"


def _words(state: str) -> str:
    return str(state).replace("rolled_back", "rolled back")


def _age(now: float, at: float | str) -> str:
    return format_duration(max(0.0, now - (seconds(at) or now)))


def _table(heads: Iterable[tuple[str, JustifyMethod]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for head, side in heads:
        table.add_column(head, justify=side, vertical="top", overflow="fold")
    return table
