"""What `orcha explain` shows in a terminal (rich). In: controller/report/explain.py's view. Out: something to print."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from controller.estimate.words import money
from controller.report.plot import BAND, Mark, plot
from controller.report.tables import BAD, DIM, GAP, GOOD, STALE, amount, fitting, opportunities_table, said, usd
from exporters.quantity import format_duration

View = dict[str, Any]
WIDEST_PLOT = 110


def explain_table(view: View, width: int = 160) -> RenderableType:
    """The whole view: a policy and all its workloads in a line each, or the one workload that was asked for."""
    parts: list[RenderableType] = []
    for policy in view["policies"]:
        parts += [
            *heading(policy, view),
            *(one(policy, width) if view["workload"] and policy["workloads"] else overview(policy, width)),
        ]
    return Group(*parts)


def moment(at: float | None) -> str:
    return "?" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def heading(policy: View, view: View) -> Iterator[RenderableType]:
    """Which decision this is, and what it came to."""
    yield Rule(f"policy {policy['name']}, mode {policy['mode']}", align="left", style=DIM, characters="-")
    age = format_duration(max(0.0, view["at"] - policy["at"]))
    where = (
        "looked at the nodes just now"
        if view["source"] == "look"
        else f"recorded {moment(policy['at'])}, {age} before now"
    )
    if policy["same_until"] is not None and policy["same_until"] > policy["at"]:
        where += f"; every analysis since, the last {moment(policy['same_until'])}, came to the same"
    yield Text(where, style=DIM)
    if policy["replay"]:
        yield Text(policy["replay"], style=STALE)
    yield Text(policy["sentence"], style="bold")


# --- one workload -------------------------------------------------------------------------------------------------


def one(policy: View, width: int) -> Iterator[RenderableType]:
    for row in policy["workloads"]:
        yield Text("")
        yield Text.assemble((row["key"], "bold"), f"  {row['protocol']}, mode {row['mode']}; ", holds(row))
        yield from decided(row)
        yield from picture(row, width)
        if row["curve"]:
            yield from (Text(f"{sentence[:1].upper()}{sentence[1:]}.") for sentence in row["curve"]["words"])
        if row["curve"]:
            yield Text("")
            yield from steps(row)
        yield from candidates(row)


def holds(row: View) -> str:
    """What it has, and may have."""
    resource, step = row["resource"], row["step"]
    if row["min"] is None:
        return "watched, never moved"
    bounds = f"its owner allows {some(row, row['min'])} to {some(row, row['max'])} in steps of {amount(resource, step, step)}"
    if row["reach"] is None:
        return f"has {some(row, row['current'])}; {bounds}"
    low, high = some(row, row["reach"]["low"]), some(row, row["reach"]["high"])
    return f"has {some(row, row['current'])}; {bounds}; one program may lead to {low} to {high}"


def some(row: View, value: float | None) -> str:
    return amount(row["resource"], value, row["step"])


def decided(row: View) -> Iterator[Text]:
    """What the plan makes of it."""
    verdict = row["verdict"]
    if verdict:
        style = GOOD if verdict["allowed"] or verdict["reason"] == "ModeSuggest" else STALE
        move = f"{some(row, verdict['from'])} → {some(row, verdict['to'])}"
        yield Text.assemble((f"Planned: {move}. ", style), f"{verdict['reason']}: {said(verdict)}")
    elif row["left_out"]:
        yield Text.assemble(("Not considered. ", STALE), f"{row['left_out']['reason']}: {row['left_out']['sentence']}")
    else:
        yield Text.assemble(("It stays as it is", "bold"), ": no plan within limits that changes it earns more.")


def picture(row: View, width: int) -> Iterator[Text]:
    curve = row["curve"]
    if not curve:
        return
    x, y, low, high = (
        np.array([math.nan if value is None else value for value in curve[name]])
        for name in ("x", "usd_per_hour", "low", "high")
    )
    lines = plot(x, y, low, high, marks(row), width=min(width - 1, WIDEST_PLOT))
    if not lines:
        return
    yield Text("")
    yield Text("USD/h net, by allocation", style=DIM)
    yield from map(Text, lines)
    legend = "N now, T target, [ ] what its owner allows"
    if any(BAND in line for line in lines):
        legend += "; dots: 10 % and 90 % of the resampled histories"
    yield Text(legend, style=DIM)
    yield Text("")


def marks(row: View) -> list[Mark]:
    """The nearest to what is asked first: of marks in one place only the first shows."""
    current, target = row["current"], row["target"]
    found = []
    if current is not None:
        found.append(Mark(current, "N", f"now {some(row, current)}", line=True))
    if target is not None and target != current:
        found.append(Mark(target, "T", f"target {some(row, target)}", line=True))
    if row["min"] is not None:
        found += [Mark(row["min"], "[", some(row, row["min"])), Mark(row["max"], "]", some(row, row["max"]))]
    return found


def steps(row: View) -> Iterator[Text]:
    """What the next step up and the next step down are worth, each alone."""
    for name, step in (("up", row["next_up"]), ("down", row["next_down"])):
        gain, said_of_it = step["gain_usd_per_hour"], f"{step['reason']}: {step['sentence']}"
        if gain is None:
            yield Text.assemble((f"No step {name}. ", "bold"), said_of_it)
            continue
        supposed = f" if {' and if '.join(step['supposes'])}" if step["supposes"] else ""
        good = step["reason"] in {"Allowed", "ModeSuggest"}
        yield Text.assemble(
            (f"One step {name}, to {some(row, step['to'])}: ", "bold"),
            f"{worth(gain)}, {sure(step['confidence'])} sure{supposed}. ",
            (step["reason"] if good else said_of_it, GOOD if good else STALE),
        )


def worth(gain: View) -> str:
    """+0.00542 USD/h (-0.000399 to 0.00888)."""
    return f"{sum_of(gain['expected'], signed=True)} USD/h ({sum_of(gain['low'])} to {sum_of(gain['high'])})"


def sum_of(value: float | None, *, signed: bool = False) -> str:
    return "?" if value is None else money(value, 3, signed=signed)


def sure(confidence: float | None) -> str:
    return "?" if confidence is None else f"{min(confidence, 0.99):.0%}"


def candidates(row: View) -> Iterator[RenderableType]:
    """Every transfer that it is part of, and every one that there is none of."""
    yield Text("")
    if row["candidates"]:
        yield Text("Transfers that it is part of, best first", style="bold")
        yield from (transfer(found, row["key"], row["step"]) for found in row["candidates"])
    else:
        yield Text("There is no transfer within limits that it is part of.", style="bold")
    if row["impossible"]:
        yield Text("No transfer at all", style="bold")
        for pair in row["impossible"]:
            words = f"{pair['source'] or 'free capacity'} → {pair['target']}: "
            yield Padding(Text.assemble((words, DIM), f"{pair['reason']}: {pair['sentence']}"), (0, 0, 0, 2))


def transfer(found: View, key: str, step: float | None) -> RenderableType:
    """One candidate: whether the plan has it, else why not."""
    gain = found["gain_usd_per_hour"]
    figures = f"{worth(gain)}, {sure(found['confidence'])} sure"
    much = amount(found["resource"], found["amount"], step if found["target"] == key else None)
    head = f"{found['source'] or 'free capacity'} → {found['target']} {much}: "
    style = GOOD if found["in_plan"] else BAD if gain["expected"] is not None and gain["expected"] <= 0 else STALE
    return Padding(Text.assemble((head, style), f"{figures}. {reason_of(found)}"), (0, 0, 0, 2))


def reason_of(found: View) -> str:
    """Why it is in the plan, or not."""
    refusal = str(found["sentence"]).partition("refused: ")[2]
    if refusal:
        return f"{found['reason']}: {refusal}"
    if found["in_plan"]:
        return f"{found['reason']}; the plan has it"
    if found["reason"] in {"Allowed", "ModeSuggest"}:
        return f"{found['reason']} by itself, but the plan earns more without it, or does not need it"
    return f"{found['reason']}: it earns nothing more"


# --- a policy -----------------------------------------------------------------------------------------------------


def overview(policy: View, width: int) -> Iterator[RenderableType]:
    """The plan, each workload in a line, every candidate."""
    plan = policy["plan"]
    gain = plan["gain_usd_per_hour"]
    words = f"{usd(plan['rate_now_usd_per_hour'])} USD/h expected of the present split"
    if gain is not None and plan["current"] != plan["targets"]:
        words += f"; of the planned one {worth(gain)} more, {sure(plan['confidence'])} sure"
        words += f", for {sum_of(plan['cost_usd'])} USD once" if plan["cost_usd"] else ""
    yield Text(words)
    yield Text(f"Solver: {plan['why']}", style=DIM)
    yield Text("")
    if policy["workloads"]:
        yield workloads_table(policy, width)
    for row in policy["workloads"]:
        if row["left_out"]:
            yield Text(f"{row['key']} stays: {row['left_out']['sentence']}", style=DIM)
    if policy["candidates"]:
        yield Text("")
        steps_of = {row["key"]: row["step"] for row in policy["workloads"]}
        if width >= 120:
            yield opportunities_table(policy["name"], policy["candidates"], steps_of)
        else:
            yield Text("Every transfer within limits, best first", style="bold")
            yield from (
                transfer(found, found["target"], steps_of.get(found["target"])) for found in policy["candidates"]
            )
    if policy["workloads"]:
        yield Text("")
        yield Text(
            "orcha explain WORKLOAD shows one of them, with its curve and what is not possible at all.", style=DIM
        )


def workloads_table(policy: View, width: int) -> Table:
    heads = ("workload", "has", "target", "USD/h now", "step up", "step down", "why")
    rows = [cells(row) for row in policy["workloads"]]
    kept = fitting(heads, rows, width, (5, 4, 3))
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold", pad_edge=False)
    for i in kept:
        table.add_column(heads[i], justify="right" if i in {3, 4, 5} else "left", overflow="fold", vertical="top")
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


def cells(row: View) -> list[str]:
    """One workload's."""
    worth = [
        "" if row[name]["gain_usd_per_hour"] is None else usd(row[name]["gain_usd_per_hour"]["expected"], signed=True)
        for name in ("next_up", "next_down")
    ]
    target = some(row, row["target"]) if row["target"] is not None else ""
    now = usd(row["rate_now_usd_per_hour"]) if row["curve"] else "?"
    return [row["key"], some(row, row["current"]), target, now, *worth, why(row)]


def why(row: View) -> str:
    if row["verdict"]:
        return str(row["verdict"]["reason"])
    if row["left_out"]:
        return str(row["left_out"]["reason"])
    return "AlreadyBest"
