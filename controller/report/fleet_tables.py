"""The fleet for a terminal (rich). In: the answers of the API about it (controller/api/agents.py). Out: something to print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.fleet.display import colour_of_name
from controller.fleet.shown_limits import in_words
from controller.report.programs import seconds
from controller.report.tables import BAD, DIM, GAP, GOOD, STALE, fitting
from exporters.quantity import format_duration

View = dict[str, Any]
Head = tuple[str, JustifyMethod]
_FATES: Final = {"goes": GOOD, "waits": STALE, "cancelled": DIM}
_ERRORS: Final = {
    "full": "came or was to be sent faster than it could be taken",
    "malformed": "could not be read; do both sides run the same version of orcha?",
    "refused": "made no sense to whoever got it; `orcha fleet agents` there says why",
    "unreachable": "could not be sent: the servers of spec.nats were not reached, or took no more; the log says why",
}
MOST_ERRORS: Final = 10
PICTURE: Final = r"""
      0
     / \
    /   \
   1-----2
  /|\   /|\
 / | \ / | \
3--4--5--6--7
 \ | /
  \|/
   8
""".strip("\n")
"""sierpinski9: a vertex is where its digit is."""


def named(name: str) -> Text:
    """An agent in its colour, the same everywhere."""
    return Text(name, style=colour_of_name(name))


# --- status -----------------------------------------------------------------------------------------------------------


def status_table(view: View, width: int = 160) -> RenderableType:
    """`orcha fleet status`: whether all is well, the limits, what is proposed; and what is wrong, with what to do."""
    return Group(
        heading(view), agreement(view), *_limits(view, width), *_proposals(view, width), Text(""), *troubles(view)
    )


def heading(view: View) -> Text:
    whose = f", as {view['seen_by']} sees it at {_clock(view['at'])}" if view["seen_by"] else ""
    kinds = [f"{len(view['sites'])} site(s)", *([f"{len(view['relays'])} relay(s)"] if view["relays"] else [])]
    return Text.assemble((f"Fleet {view['name']}", "bold"), f" of {' and '.join(kinds)}{whose}")


def agreement(view: View) -> Text:
    """How many are heard, and whether they know the same."""
    if view["alive"] is None:
        return Text("no agent lives in this process, so nothing is known of the others", style=STALE)
    count, of = view["alive"], len(view["agents"])
    heard = Text(f"{count} of {of} agents are alive", style=GOOD if count == of else BAD)
    if count == 1 and of > 1:
        return heard.append("; nobody else is heard, so each decides alone, within its own part of the limits", BAD)
    if view["converged"]:
        took = view["convergence_seconds"]
        last = f" (that took {_short(took)})" if took is not None else ""
        return heard.append(f"; they know the same since {_clock(view['converged_since'])}{last}", GOOD)
    since = f" since {_clock(view['apart_since'])}" if view["apart_since"] else ""
    return heard.append(f"; they do not all know the same yet{since}", STALE)


def _limits(view: View, width: int) -> Iterator[RenderableType]:
    for limit in view["limits"]:
        yield Text("")
        yield _limit_line(limit)
        if limit["sites"]:
            yield _sites(limit, width)


def _limit_line(limit: View) -> Text:
    what = " ".join(part for part in (limit["protocol"], limit["resource"]) if part)
    bound = f"{limit['bound']:.0%}" if limit["kind"] == "maxShare" else in_words(limit["resource"], limit["bound"])
    style = {True: GOOD, False: STALE}.get(limit["settled"], DIM)
    head = f"limit {limit['name']}" + (f" of {what}" if what else "")
    said, unsettled, _ = limit["sentence"].partition("; not settled: ")
    more = "; not all sites keep within it yet, see below" if unsettled else ""
    more += "; this site may not use its part before all agreed once" if limit["usable"] is False else ""
    return Text.assemble((head, "bold"), f": {limit['kind']} {bound}; ", (said + more, style))


def _sites(limit: View, width: int) -> Table:
    owes = limit["kind"] == "minTotal"
    heads: list[Head] = [
        ("  site", "left"), ("must hold" if owes else "may hold", "right"), ("holds", "right"), ("wants", "right"), ("", "left"),
    ]  # fmt: skip
    words = [
        [
            Text.assemble("  ", named(row["site"])),
            *(Text(in_words(limit["resource"], row[of])) for of in ("rights", "held", "wanted")),
            _state(row),
        ]
        for row in limit["sites"]
    ]
    return _filled(heads, words, width, spared=(3, 4))


def _state(row: View) -> Text:
    if row["alive"] is False:
        ago = f" for {format_duration(row['silent_seconds'])}" if row["silent_seconds"] is not None else ""
        return Text(f"cut off{ago}", style=BAD)
    return Text("") if row["adopted"] else Text("not within the newest wording yet", style=STALE)


def _proposals(view: View, width: int) -> Iterator[RenderableType]:
    if not view["proposals"]:
        return
    yield Text("")
    yield Text("What the sites propose, in the order in which it goes", style="bold")
    heads: list[Head] = [("program", "left"), ("site", "left"), ("", "left"), ("why", "left"), ("moves", "right")]
    rows = [
        [
            Text(each["id"]),
            named(each["agent"]),
            Text(each["fate"], style=_FATES.get(each["fate"], "")),
            Text(each["sentence"]),
            Text(str(each["steps"])),
        ]
        for each in view["proposals"]
    ]
    yield _filled(heads, rows, width, spared=(4,))
    whole = view["joint"]
    if whole is not None and whole["program"] is None:
        yield Text(
            f"too much to be put together (ended by {whole['ended']}); the order above holds all the same", style=STALE
        )
    elif whole is not None:
        yield Text(f"together: {whole['program']}", style=DIM)


def troubles(view: View) -> Iterator[Text]:
    """What is wrong, and what to do."""
    if not view["troubles"]:
        yield Text("nothing is wrong", style=GOOD)
    for each in view["troubles"]:
        yield Text.assemble(
            ("wrong: ", f"bold {BAD}") if each["serious"] else ("note: ", f"bold {STALE}"), each["what"]
        )
        yield Text.assemble(("  do: ", "bold"), each["right"])


# --- agents -----------------------------------------------------------------------------------------------------------


def agents_table(view: View, width: int = 160) -> RenderableType:
    """`orcha fleet agents`: each in a line."""
    heads: list[Head] = [
        ("agent", "left"), ("kind", "left"), ("health", "right"), ("heard", "left"), ("knows", "left"), ("digest", "left"),
        ("lives", "left"), ("disk", "left"), ("servers", "left"), ("messages", "right"), ("refused", "right"),
    ]  # fmt: skip
    rows = [_agent(row) for row in view["agents"]]
    notes = [
        Text(f"{row['name']} refused last: {row['local']['why_refused']}", style=DIM)
        for row in view["agents"]
        if row["local"] and row["local"]["why_refused"]
    ]
    table = _filled(heads, rows, width, spared=(9, 10, 1, 5, 8, 7, 6))
    return Group(heading(view), agreement(view), Text(""), table, *notes, Text(""), *troubles(view))


def _agent(row: View) -> list[Text]:
    local = row["local"] or {}
    return [
        named(row["name"]),
        Text(row["kind"], style=DIM),
        Text("?" if row["health"] is None else f"{row['health']:.0%}", style=_health(row)),
        _heard(row),
        {True: Text("the same", GOOD), False: Text("other things", STALE)}.get(row["converged"], Text("?", DIM)),
        Text((row["digest"] or "?")[:8], style=DIM),
        Text("here" if row["here"] else "elsewhere", style=DIM),
        _yes(local.get("stored"), "written", "fails"),
        _yes(local.get("connected"), "connected", "cut"),
        Text(str(local.get("received", "–"))),
        Text(str(local.get("refused", "–"))),
    ]


def _yes(value: bool | None, good: str, bad: str) -> Text:
    return (
        {True: Text(good, GOOD), False: Text(bad, BAD)}.get(value, Text("–", DIM))
        if value is not None
        else Text("–", DIM)
    )


def _health(row: View) -> str:
    return DIM if row["health"] is None else BAD if row["alive"] is False else GOOD if row["health"] > 0.4 else STALE


def _heard(row: View) -> Text:
    if row["alive"] is None:
        return Text("?", style=DIM)
    if row["silent_seconds"] is None:
        return Text("never", style=BAD)
    words = "itself" if row["silent_seconds"] == 0 else f"{format_duration(row['silent_seconds'])} ago"
    return Text(words) if row["alive"] else Text(f"{words}: cut off", style=BAD)


# --- the timeline -----------------------------------------------------------------------------------------------------


def timeline_table(view: View, width: int = 160) -> RenderableType:
    """`orcha fleet timeline`: how many messages came on each way, how fast, and what failed."""
    heads: list[Head] = [
        ("from", "left"), ("to", "left"), ("messages", "right"), ("a second", "right"), ("Mbit/s", "right"), ("p50", "right"),
        ("p95", "right"), ("p99", "right"), ("errors", "right"), ("last", "right"),
    ]  # fmt: skip
    now = seconds(view["at"]) or 0.0
    table = _filled(heads, [_edge(edge, now, view["agents"]) for edge in view["edges"]], width, spared=(4, 7, 5, 9, 3))
    return Group(*_summary(view), Text(""), table, *_failures(view))


def _summary(view: View) -> Iterator[Text]:
    if not view["agents"]:
        yield Text("no agent lives in this process, so no messages came here", style=STALE)
        return
    kept = "" if view["kept"] == view["total"] else f"; the {view['kept']} newest are looked at"
    since = f", from {_clock(view['since'])} on" if view["since"] else ""
    yield Text(f"{view['total']} messages came to {', '.join(view['agents'])}{kept}{since}")
    took = view["microseconds"]
    yield Text(
        f"{view['messages_per_second']:.3g} a second, {view['megabits_per_second']:.3g} Mbit/s; on their way for {_ms(took['p50'])} "
        f"(p50), {_ms(took['p95'])} (p95), {_ms(took['p99'])} (p99)"
    )
    if view["apart_since"]:
        yield Text(f"not all agents that are alive know the same since {_clock(view['apart_since'])}", style=STALE)
    elif view["convergence_seconds"] is not None:
        yield Text(f"it took {_short(view['convergence_seconds'])} the last time until all knew the same again")
    if view["skewed"]:
        yield Text(
            f"{view['skewed']} came before they were sent, as the clocks say: clocks differ; let all machines keep time (NTP)",
            style=STALE,
        )


def _edge(edge: View, now: float, here: Sequence[str]) -> list[Text]:
    """A way to an agent that lives elsewhere is there for what failed on it: what came over it is known there."""
    ends, errors = [named(edge["from"]), named(edge["to"])], edge["errors"]
    failed = Text(str(errors), style=BAD if errors else DIM)
    if edge["to"] not in here:
        unknown = Text("–", style=DIM)
        return [*ends, *[unknown] * 6, failed, unknown]
    last = seconds(edge["last_at"])
    took = edge["microseconds"]
    return [
        *ends,
        Text(str(edge["count"]), style="" if edge["count"] else STALE),
        Text(f"{edge['messages_per_second']:.3g}"),
        Text(f"{edge['megabits_per_second']:.3g}"),
        *(Text(_ms(took[of])) for of in ("p50", "p95", "p99")),
        failed,
        Text("never" if last is None else f"{format_duration(max(0.0, now - last))} ago", style=DIM),
    ]


def _failures(view: View) -> Iterator[Text]:
    if view["errors"]:
        yield Text("")
        yield Text("What failed since the start", style="bold")
    for each in view["errors"][:MOST_ERRORS]:
        words = _ERRORS.get(each["what"], each["what"])
        yield Text(f"  {each['count']} from {each['from']} to {each['to']}: {words} ({each['what']})", style=STALE)
    if len(view["errors"]) > MOST_ERRORS:
        yield Text(f"  and {len(view['errors']) - MOST_ERRORS} more kinds; -o json has all", style=DIM)


# --- the topology -----------------------------------------------------------------------------------------------------


def topology_table(view: View, width: int = 160) -> RenderableType:
    """`orcha fleet topology`: who talks with whom, and how far it is from one to another."""
    graph, alive = view["topology"], view["alive"]
    names: Sequence[str] = graph["agents"]
    near: dict[str, list[str]] = {name: [] for name in names}
    for edge in graph["edges"]:
        near[edge["from"]].append(edge["to"])
        near[edge["to"]].append(edge["from"])
    heads: list[Head] = [("", "right"), ("agent", "left"), ("", "left"), ("talks with", "left")]
    rows = [
        [
            Text(str(i), style=f"bold {colour_of_name(name)}"),
            named(name),
            Text("cut off", style=BAD) if alive.get(name) is False else Text(""),
            Text(", ").join(map(named, near[name])) if near[name] else Text("nobody: it is alone", style=DIM),
        ]
        for i, name in enumerate(names)
    ]
    drawn: list[RenderableType] = (
        [Text(""), Padding(picture(names), (0, 0, 0, 2), expand=False)] if graph["name"] == "sierpinski9" else []
    )
    return Group(*distances(view), *drawn, Text(""), _filled(heads, rows, width))


def distances(view: View) -> Iterator[Text]:
    """In words, with what is meant by each."""
    graph = view["topology"]
    count, edges = len(graph["agents"]), len(graph["edges"])
    yield Text.assemble(
        (f"Fleet {view['name']}", "bold"), f": topology {graph['name']} of {count} agent(s) with {edges} edge(s)"
    )
    if count > 1:
        yield Text(
            f"a message takes at most {graph['diameter']} hop(s) (the diameter), {graph['mean_distance']:.3f} on average over "
            f"distinct pairs ({graph['mean_distance_with_itself']:.3f} where each agent's 0 to itself is counted, too)"
        )


def picture(names: Sequence[str]) -> Text:
    """sierpinski9 with the numbers of the list, in the agents' colours."""
    drawn = Text()
    for sign in PICTURE:
        drawn.append(sign, f"bold {colour_of_name(names[int(sign)])}" if sign.isdigit() else DIM)
    return drawn


# --- pieces -----------------------------------------------------------------------------------------------------------


def _filled(heads: Sequence[Head], rows: Iterable[Sequence[Text]], width: int, spared: Sequence[int] = ()) -> Table:
    """A table of the columns for which there is room; those of `spared` give way, in their order."""
    made = list(rows)
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    kept = fitting([head for head, _ in heads], made, width, spared)
    for i in kept:
        table.add_column(heads[i][0], justify=heads[i][1], vertical="top", overflow="fold")
    for row in made:
        table.add_row(*(row[i] for i in kept))
    return table


def _clock(at: float | str | None) -> str:
    found = seconds(at)
    return "?" if found is None else datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _short(took: float) -> str:
    return format_duration(took) if took >= 10 else f"{took:.2g} s"


def _ms(microseconds: float | None) -> str:
    return "?" if microseconds is None else f"{microseconds / 1000:.3g} ms"
