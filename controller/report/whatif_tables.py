"""What `orcha whatif` shows in a terminal (rich). In: controller/report/whatif_view.py. Out: something to print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from controller.estimate.words import money, odds
from controller.report.tables import DIM, GAP, GOOD, STALE, amount, fitting, target_style

View = dict[str, Any]


def whatif_table(view: View, width: int = 160) -> RenderableType:
    """What was changed, then each policy before and after, side by side."""
    parts: list[RenderableType] = [Text.assemble(("What if ", "bold"), ", ".join(asked(view["changes"])))]
    parts += [Text(note, style=STALE) for note in view["notes"]]
    for policy in view["policies"]:
        parts += of_policy(policy, width)
    return Group(*parts)


def asked(changes: View) -> Iterator[str]:
    yield from changes["set"]
    yield from (f"{token} at {money(usd)} USD" for token, usd in changes["price"].items())
    yield from (f"{key} at {value:g}" for key, value in changes["force"].items())


def of_policy(policy: View, width: int) -> Iterator[RenderableType]:
    yield Text("")
    yield Rule(f"policy {policy['name']}", align="left", style=DIM, characters="-")
    if not policy["changed"]:
        yield Text.assemble(("Nothing would come out otherwise: ", "bold"), policy["after"]["sentence"])
        return
    yield summary(policy)
    yield Text("")
    yield workloads_table(policy, width)
    yield from forced_lines(policy)
    if policy["differences"]:
        yield Text("")
        yield Text("What would be otherwise, and why", style="bold")
        yield from (Padding(Text(sentence), (0, 0, 0, 2)) for sentence in policy["differences"])
    yield Text("")
    for name in ("before", "after"):
        yield Text.assemble((f"{name}: ", "bold"), policy[name]["sentence"])


def summary(policy: View) -> Table:
    """The whole, before and after."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in ("", "before", "after"):
        table.add_column(name, justify="right" if name else "left")
    sides = policy["before"], policy["after"]
    plans = [side["plan"] for side in sides]
    table.add_row("mode", *(side["mode"] for side in sides))
    table.add_row("reason", *(side["reason"] for side in sides))
    table.add_row("USD/h now", *(usd(plan["rate_now_usd_per_hour"]) for plan in plans))
    table.add_row("the plan adds", *(gain(plan["gain_usd_per_hour"]) for plan in plans))
    table.add_row("how sure", *("?" if plan["confidence"] is None else odds(plan["confidence"]) for plan in plans))
    table.add_row("moving costs USD", *(usd(plan["cost_usd"]) for plan in plans))
    return table


def workloads_table(policy: View, width: int) -> Table:
    """Each workload: where it would stand, and what it would earn there."""
    rows = [cells(row) for row in policy["workloads"]]
    kept = fitting(HEADS, rows, width, SPARED)
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold", pad_edge=False)
    for i in kept:
        right = HEADS[i].startswith(("USD", "one"))
        table.add_column(HEADS[i], justify="right" if right else "left", vertical="bottom", overflow="fold")
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


HEADS = (
    "workload", "has", "target\nbefore", "target\nafter", "USD/h\nbefore", "USD/h\nafter", "one step more\nbefore",
    "one step more\nafter", "why, after",
)  # fmt: skip
SPARED = (6, 7, 8, 4, 5, 1)
"""The columns that give way in a narrow terminal, the first one first."""


def cells(row: View) -> list[Text]:
    """One workload's, as HEADS."""
    sides = row["before"], row["after"]
    return [
        Text(row["key"], style="bold" if row["differs"] else ""),
        Text(some(row, row["current"])),
        *(target(row, side) for side in sides),
        *(Text(usd(side["usd_per_hour"])) for side in sides),
        *(Text(usd(side["next_step_usd_per_hour"], signed=True)) for side in sides),
        Text(row["after"]["reason"]),
    ]


def target(row: View, side: View) -> Text:
    value = side["target"]
    if value is None:
        return Text("", style=DIM)
    moved = row["current"] is not None and abs(value - row["current"]) > 1e-9 * max(1.0, value)
    arrow = "↑ " if moved and value > row["current"] else "↓ " if moved else ""
    return Text(arrow + some(row, value), style=target_style({"verdict": side["reason"]}, moved=moved))


def forced_lines(policy: View) -> Iterator[RenderableType]:
    """What the forced moves are worth, and what the guard would say of them."""
    forced = policy["forced"]
    if not forced:
        return
    best = forced["against_best_usd_per_hour"]
    supposed = f" if {' and if '.join(forced['supposes'])}" if forced["supposes"] else ""
    yield Text("")
    yield Text.assemble(
        ("Forced: ", "bold"),
        f"{gain(forced['gain_usd_per_hour'])} USD/h against the present, {odds(forced['confidence'] or 0.0)} sure{supposed}; "
        f"{usd(best, signed=True)} USD/h against the best plan",
    )
    nodes = {key.partition("/")[0] for key in forced["values"]}
    for verdict in policy["after"]["verdicts"]:
        if verdict["workload"].partition("/")[0] not in nodes:
            continue
        good = verdict["allowed"] or verdict["reason"] == "ModeSuggest"
        mine = "forced" if verdict["workload"] in forced["values"] else "planned around it"
        words = f"{verdict['workload']} ({mine}): "
        yield Padding(
            Text.assemble(words, (f"{verdict['reason']}: {verdict['sentence']}", GOOD if good else STALE)), (0, 0, 0, 2)
        )


def some(row: View, value: float | None) -> str:
    return amount(row["resource"], value, row["step"])


def usd(value: float | None, *, signed: bool = False) -> str:
    return "?" if value is None else money(value, signed=signed)


def gain(interval: View | None) -> str:
    """+0.0542 (0.03 to 0.06)."""
    if interval is None:
        return "?"
    low, high = (("?" if interval[end] is None else money(interval[end], 3)) for end in ("low", "high"))
    return f"{usd(interval['expected'], signed=True)} ({low} to {high})"
