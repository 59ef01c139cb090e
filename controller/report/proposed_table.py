"""What `orcha plan --diff` shows in a terminal (rich). In: controller/report/proposed_view.py. Out: something to print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.report.proposed_view import summary
from controller.report.tables import BAD, DIM, GOOD, STALE
from controller.report.whatif_tables import of_policy

View = dict[str, Any]
MARK = {"added": ("+ ", GOOD), "removed": ("- ", BAD), "changed": ("~ ", STALE)}


def proposed_table(view: View, width: int = 160) -> RenderableType:
    """The sentence, on what orcha would act, each field, and what would be planned."""
    parts: list[RenderableType] = [
        Text(f"{view['base']} -> {view['head']}", style="bold", overflow="fold"),
        Text(summary(view)),
        *_hands(view),
        *(part for item in view["items"] for part in _item(item)),
    ]
    parts += [Text(f"note: {note}", style=DIM) for note in view["notes"]]
    parts += [Text(f"warning: {warning}", style=STALE) for warning in view["warnings"]]
    return Group(*parts, *_plan(view, width))


def _hands(view: View) -> Iterator[RenderableType]:
    if view["hands"]:
        yield Text("")
        yield Text("What orcha may do", style="bold")
    for hand in view["hands"]:
        yield Padding(_marked(hand["sentence"], risky=hand["risky"]), (0, 0, 0, 2))


def _marked(sentence: str, *, risky: bool) -> Text:
    return Text.assemble(("RISKY ", f"bold {BAD}"), sentence) if risky else Text(sentence)


def _item(item: View) -> Iterator[RenderableType]:
    sign, style = MARK[item["what"]]
    about = f": {item['about']}" if item["about"] else ""
    yield Text("")
    yield Text.assemble((sign, style), (f"{item['kind']} {item['name']}".strip(), "bold"), about)
    if item["fields"]:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
        for _ in range(5):
            table.add_column(overflow="fold")
        for field in item["fields"]:
            table.add_row(
                "  " + field["path"], _value(field["before"]), "->", _value(field["after"]),
                _marked(_meaning(field), risky=field["risky"]),
            )  # fmt: skip
        yield table


def _value(value: str | None) -> Text:
    return Text("(none)", style=DIM) if value is None else Text(value)


def _meaning(field: View) -> str:
    return ": ".join(part for part in (field["effect"], field["meaning"]) if part)


def _plan(view: View, width: int) -> Iterator[RenderableType]:
    yield Text("")
    if view["plan"] is None:
        yield Text(f"What would be planned is not shown: {view['no_plan']}", style=DIM)
        return
    yield Text("What would be planned (before: the first, after: the second)", style="bold")
    yield from (Text(f"  {note}", style=STALE) for note in view["plan"]["notes"])
    for policy in view["plan"]["policies"]:
        yield from of_policy(policy, width)
