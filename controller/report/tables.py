"""Views as tables for a terminal (rich). In: controller/report/views.py. Out: something that rich can print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from controller.estimate.words import money
from exporters.quantity import format_duration, format_quantity

View = dict[str, Any]
BINARY = ("memory", "storage")
STALE, BAD, GOOD, DIM = "yellow", "red", "green", "dim"


def amount(resource: str | None, value: float | None, step: float | None = None) -> str:
    """An allocation as its owner would write it, "?" where unknown."""
    if value is None or resource is None:
        return "?" if resource else "–"
    decimal = resource not in BINARY or (step is not None and step % 2**20 != 0)
    unit = {"cpu": " core" if value == 1 else " cores", "bandwidth": "bit/s", "storage": "B", "memory": "B"}.get(
        resource, f" {resource.rpartition('/')[2]}"
    )
    if resource == "cpu" or "/" in resource:
        return f"{value:,.4g}{unit}" if value < 1e4 else f"{value:,.0f}{unit}"
    return f"{format_quantity(value, binary=not decimal)}{unit}"


def usd(value: float | None, *, signed: bool = False) -> str:
    """USD with as many digits as a small sum needs; "?" where unknown."""
    if value is None:
        return "?"
    digits = 4 if abs(value) < 1 else 2
    return f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"


GAP = 2
"""Columns between two columns."""


def fitting(heads: Sequence[str], rows: Iterable[Sequence[Text | str]], width: int, spared: Iterable[int]) -> list[int]:
    """The columns of a table for which a terminal has room: those of `spared` give way, in their order."""
    kept = list(range(len(heads)))
    wide = [max(map(cell_len, head.split("\n"))) + GAP for head in heads]
    for row in rows:
        wide = [max(most, cell_len(str(cell)) + GAP) for most, cell in zip(wide, row, strict=True)]
    for i in spared:
        if i in kept and sum(wide[i] for i in kept) - GAP > width:
            kept.remove(i)
    return kept


def status_table(view: View, width: int = 200) -> RenderableType:
    """What earns what, and what would change; then a line for each policy. Columns as the terminal has room for."""
    parts: list[RenderableType] = [workloads_table(view, width), *troubles(view)]
    parts += [policy_panel(policy, view) for policy in view["policies"]]
    manifests = view.get("manifests", {})
    if manifests.get("problems"):
        words = "\n".join(manifests["problems"])
        parts.append(
            Panel(
                Text(words),
                title="the manifests were refused; the last good ones hold",
                border_style=BAD,
                title_align="left",
            )
        )
    return Group(*parts)


COLUMNS: tuple[tuple[str, JustifyMethod, int], ...] = (
    ("workload", "left", 0),
    ("protocol", "left", 130),
    ("state", "left", 100),
    ("earns now\nUSD/h gross", "right", 0),
    ("in hand\nUSD/h net", "right", 0),
    ("in tokens\nper hour", "right", 145),
    ("allocated", "right", 0),
    ("used", "right", 90),
    ("better\nsplit", "right", 0),
    ("one step more\nis worth USD/h", "right", 160),
    ("read", "right", 120),
)
"""Head, side, and the width of the terminal from which on there is room for it."""


def workloads_table(view: View, width: int = 200) -> Table:
    table = Table(header_style="bold", expand=False, pad_edge=False, box=None, padding=(0, 2, 0, 0))
    chosen = [i for i, (_, _, least) in enumerate(COLUMNS) if width >= least]
    for i in chosen:
        table.add_column(COLUMNS[i][0], justify=COLUMNS[i][1], vertical="bottom", overflow="fold")
    rows = [workload_row(row, view["at"]) for row in view["workloads"]]
    gross, net = totals(view["workloads"])
    rows.append([Text("all", style="bold"), Text(), Text(), gross, net, *[Text()] * 6])
    for row in rows:
        table.add_row(*(row[i] for i in chosen))
    return table


MOST_TOLD = 5
"""Newest changes of a policy that are told one by one."""
MOST_NOTES = 3
"""Oddities told of one workload."""


def troubles(view: View) -> Iterator[Text]:
    """A line for each workload that is not read, with what to do, for each oddity of one that is, and where what it has is
    not what was set.
    """
    for row in view["workloads"]:
        if row.get("drift"):
            yield Text(row["drift"]["sentence"], style=STALE)
        if row["failure"]:
            yield Text.assemble((f"{row['key']}: ", BAD), row["failure"])
        for note in row["notes"][:MOST_NOTES]:
            yield Text.assemble((f"{row['key']}: ", STALE), note)
        if more := row["notes"][MOST_NOTES:]:
            yield Text.assemble(
                (f"{row['key']}: ", STALE), f"and {len(more)} more figures that cannot be (-o json has all)"
            )


def totals(rows: list[View]) -> tuple[Text, Text]:
    """Sums of what is known; "≥" where a workload that could be priced is unknown."""
    cells = []
    for name in ("gross_usd_per_hour", "net_usd_per_hour"):
        known = [row[name] for row in rows if row[name] is not None]
        missing = any(row[name] is None and not row["native_per_hour"].get("points") for row in rows)
        cells.append(Text(("≥ " if missing and known else "") + (usd(sum(known)) if known else "?"), style="bold"))
    return cells[0], cells[1]


def workload_row(row: View, now: float) -> list[Text]:
    resource, step = row["resource"], row["step"]
    target = row.get("target")
    moved = (
        target is not None and row["allocated"] is not None and abs(target - row["allocated"]) > 1e-9 * max(1.0, target)
    )
    arrow = "↑ " if moved and target > row["allocated"] else "↓ " if moved else ""
    return [
        Text(row["key"], style="bold"),
        Text(row["protocol"]),
        state_of(row),
        Text(usd(row["gross_usd_per_hour"])),
        Text(usd(row["net_usd_per_hour"])),
        Text(", ".join(f"{rate:,.4g} {token}" for token, rate in row["native_per_hour"].items())),
        Text(amount(resource, row["allocated"], step)),
        Text("–" if row.get("curve") == "dilution" else amount(resource, row["used"], step)),
        Text(
            arrow + amount(resource, target, step) if target is not None else "", style=target_style(row, moved=moved)
        ),
        Text(
            usd(row.get("next_step_usd_per_hour"), signed=True)
            if row.get("next_step_usd_per_hour") is not None
            else "",
            style=DIM,
        ),
        Text(f"{format_duration(max(0.0, now - row['read_at']))} ago" if row["read_at"] else "never", style=DIM),
    ]


def target_style(row: View, *, moved: bool) -> str:
    """Green where a better split is suggested, yellow where the guard refuses it, dim where all stays."""
    if not moved:
        return DIM
    return GOOD if row.get("verdict") in {"Allowed", "ModeSuggest"} else STALE


def state_of(row: View) -> Text:
    if row["up"] is None:
        return Text("not asked yet", style=DIM)
    if not row["up"]:
        return Text(row["connection"], style=BAD)
    if row["stalled"]:
        return Text(f"{row['state'] or 'up'}, not earning", style=STALE)
    return Text(row["state"] or "up", style=BAD if row["healthy"] is False else GOOD)


def policy_panel(policy: View, view: View) -> RenderableType:
    """The cycle's sentence, the moves, and what stays out and why."""
    steps = {row["key"]: row["step"] for row in view["workloads"]}
    lines = [Text(policy["sentence"], style="bold")]
    lines += [move_line(verdict, steps.get(verdict["workload"])) for verdict in policy["verdicts"]]
    for key, why in policy["left_out"].items():
        lines.append(Text(f"  {key} stays: {why['sentence']}", style=DIM))
    lines += [*paid_lines(policy), *program_lines(policy, steps)]
    title = f"policy {policy['name']}, mode {policy['mode']}"
    return Panel(Group(*lines), title=title, title_align="left", border_style=DIM)


def paid_lines(policy: View) -> Iterator[Text]:
    """What came of the programs of the last 7 days, and a fallback."""
    outcomes, learned = policy.get("outcomes"), policy.get("learned")
    if outcomes and outcomes["judged"]:
        success, coverage = (round(outcomes[name] * outcomes["judged"]) for name in ("success_ratio", "coverage_ratio"))
        realised, promised = (
            usd(outcomes[name], signed=True) for name in ("realised_usd_per_hour", "promised_usd_per_hour")
        )
        yield Text(
            f"  did it pay: {success} of {outcomes['judged']} programs of 7 days did, {realised} USD/h each where "
            f"{promised} was promised; {coverage} of {outcomes['judged']} within the interval",
            style=DIM,
        )
    if outcomes and outcomes["unknown"]:
        yield Text(f"  {outcomes['unknown']} more could not be judged", style=DIM)
    if learned and learned["fallback"]:
        yield Text(f"  {learned['fallback']}", style=STALE)


def program_lines(policy: View, steps: Mapping[str, float | None]) -> Iterator[Text]:
    """The newest changes, each with what it promised and what it brought."""
    programs = policy.get("outcomes", {}).get("programs", [])
    for each in programs[:MOST_TOLD]:
        moves = ", ".join(move_words(part, steps) for part in each["moves"])
        by_hand = ", by hand" if each["kind"] == "manual" else ""
        yield Text(f"  {minute(each['at'])} {moves}{by_hand}: {came_of(each)}", style=DIM)
    if len(programs) > MOST_TOLD:
        yield Text("  earlier ones are in -o json", style=DIM)


def came_of(program: View) -> str:
    """What came of one change, or when that will be known."""
    if program["judged_at"] is not None:
        return str(program["sentence"])
    gain, due = program["promised_usd_per_hour"], minute(program["due_at"])
    if gain is None:
        return f"what comes of it is known from {due} on"
    low, expected, high = (
        money(gain[name] or 0.0, 3, signed=name == "expected") for name in ("low", "expected", "high")
    )
    return f"{expected} USD/h ({low} to {high}) promised; what came of it is known from {due} on"


def minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def move_line(verdict: View, step: float | None) -> Text:
    """One move: green where it is suggested, yellow where it is refused."""
    before, after = (amount(verdict["resource"], verdict[end], step) for end in ("from", "to"))
    style = GOOD if verdict["allowed"] or verdict["reason"] == "ModeSuggest" else STALE
    return Text.assemble("  ", (f"{verdict['workload']}: {before} → {after}", style), f"  {said(verdict)}")


def said(verdict: View) -> str:
    """The verdict's sentence without the move, which stands before it already, and without the mode, which stands above."""
    sentence = str(verdict["sentence"])
    rest = sentence.removeprefix(f"{verdict['workload']} ").partition(": ")[2] or sentence
    return rest.removesuffix("; mode Suggest only shows it")


def plan_table(view: View, width: int = 200) -> RenderableType:
    """`orcha plan`: the status, then every opportunity with its reason."""
    parts: list[RenderableType] = [status_table(view, width)]
    for policy in view["policies"]:
        found = policy["plan"]["opportunities"]
        if found:
            parts.append(
                opportunities_table(policy["name"], found, {row["key"]: row["step"] for row in view["workloads"]})
            )
        if policy["plan"]["alternatives"]:
            parts.append(plans_table(policy, {row["key"]: row["step"] for row in view["workloads"]}))
        parts.append(Text(f"solver: {policy['plan']['why']}", style=DIM))
    return Group(*parts)


def plans_table(policy: View, steps: Mapping[str, float | None]) -> Table:
    """The plan and what else could be done, by net benefit."""
    table = Table(
        title=f"plans under policy {policy['name']}, best first", title_justify="left", header_style="bold", box=None,
        padding=(0, GAP, 0, 0),
    )  # fmt: skip
    table.add_column("moves")
    for column in ("USD/h low", "expected", "high", "sure", "costs USD", "nets USD", "score"):
        table.add_column(column, justify="right", vertical="top")
    best = policy["plan"]
    moves = [
        {**verdict, "from": best["current"][verdict["workload"]], "to": best["targets"][verdict["workload"]]}
        for verdict in policy["verdicts"]
    ]
    for plan in ({**best, "moves": moves}, *best["alternatives"]):
        gain = plan["gain_usd_per_hour"] or {}
        table.add_row(
            "\n".join(move_words(move, steps) for move in plan["moves"]),
            *(usd(gain.get(end), signed=True) for end in ("low", "expected", "high")),
            "?" if plan["confidence"] is None else f"{plan['confidence']:.0%}",
            usd(plan["cost_usd"]),
            usd(plan["net_benefit_usd"], signed=True),
            "–" if plan["score"] is None else f"{plan['score']:,.3g}",
        )
    return table


def move_words(move: View, steps: Mapping[str, float | None]) -> str:
    before, after = (amount(move["resource"], move[end], steps.get(move["workload"])) for end in ("from", "to"))
    return f"{move['workload']} {before} → {after}"


def verdict_words(item: View) -> str:
    """The reason, and the refusal's own words; the figures of a good one stand in the columns already."""
    refusal = str(item["sentence"]).partition("refused: ")[2]
    return f"{item['reason']}: {refusal}" if refusal else str(item["reason"])


def opportunities_table(name: str, found: Iterable[View], steps: dict[str, float | None]) -> Table:
    table = Table(
        title=f"opportunities under policy {name}, best first",
        title_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column in ("from", "to", "amount"):
        table.add_column(column, no_wrap=True)
    for column in ("USD/h low", "expected", "high", "sure"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for item in found:
        gain = item["gain_usd_per_hour"]
        table.add_row(
            item["source"] or "free capacity",
            item["target"],
            amount(item["resource"], item["amount"], steps.get(item["target"])),
            usd(gain["low"], signed=True),
            usd(gain["expected"], signed=True),
            usd(gain["high"], signed=True),
            "?" if item["confidence"] is None else f"{item['confidence']:.0%}",
            verdict_words(item),
        )
    return table
