"""`orcha doctor`: one line for each thing that orcha needs, and what to do where something is wrong with it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from controller.commands.options import DEFAULT_MANIFESTS, ManifestPaths, Output, Source, StateUrl, finish, show, wants
from controller.commands.terminal import NO
from exporters import __version__
from exporters.collector import discover
from exporters.logs import configure

if TYPE_CHECKING:
    from controller.doctor.finding import Finding

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "cyan"}


def doctor(
    manifests: ManifestPaths = [DEFAULT_MANIFESTS],  # noqa: B006 typer reads the default, nobody writes to it
    listen: Annotated[
        str | None, typer.Option(help="HOST:PORT that the controller serves on; default: as in Settings.")
    ] = None,
    state: StateUrl = None,
    source: Source = None,
    patience: Annotated[float, typer.Option(min=0.5, max=300, help="Seconds that one look may take.")] = 8.0,
    output: Output = "table",
) -> None:
    """Check what orcha needs: nodes, credentials, prices, state, drivers, addresses. Changes nothing.

    Exit 0: nothing fails; 1: something does.
    """
    from controller.doctor.examine import Asked, examine
    from controller.doctor.finding import view

    wants(output)
    configure(level=logging.CRITICAL)  # what would be logged is a finding
    asked = Asked(tuple(map(Path, manifests)), listen, state, None if source is None else source.value, patience)
    began = time.monotonic()
    findings: list[Finding] = finish(examine(asked, discover(), __version__))
    shown = view(findings, version=__version__, seconds=time.monotonic() - began)
    show(shown, output, table)
    if not shown["well"]:
        raise typer.Exit(NO)


def table(shown: dict[str, Any], _width: int) -> RenderableType:
    """Marks, things and sentences; under each that is not well, what to do."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_column(overflow="fold", ratio=1)
    area = ""
    for row in shown["findings"]:
        if row["area"] != area:
            area = row["area"]
            rows.add_row("", Text(area, style="bold"), "")
        sentence = Text(row["found"])
        if row["todo"]:
            sentence.append(f"\n→ {row['todo']}", style="bold" if row["mark"] != "ok" else "")
        rows.add_row(Text(row["mark"], style=_COLOURS[row["mark"]]), Text(row["what"]), sentence)
    return Group(rows, Text(f"\n{_summary(shown)}"))


def _summary(shown: dict[str, Any]) -> str:
    marks = shown["marks"]
    counts = ", ".join(f"{marks[name]} {name}" for name in ("ok", "warn", "unknown", "fail") if marks[name])
    if not shown["well"]:
        return f"{counts}. Mend what fails from the top down, and run this again."
    if marks["warn"] or marks["unknown"]:
        return f"{counts}. orcha can work; look at the rest when you have time."
    return f"{counts}. Everything is well."
