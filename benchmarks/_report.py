"""How every benchmark reports: one table of ratios for people, one JSON file for machines (--json PATH).

Ratios are taken within one run, between two ways to do the same thing; absolute figures are of the machine they ran on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Ratio:
    """One comparison: how much `of` takes against `against`, and what was aimed at."""

    name: str
    value: float
    aim: float | None = None
    """What `value` should not exceed (or not fall below, with `at_least`)."""
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value >= self.aim if self.at_least else self.value <= self.aim


@dataclass
class Report:
    """What one benchmark found."""

    title: str
    ratios: list[Ratio] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """Absolute figures behind the ratios."""

    def add(
        self, name: str, value: float, aim: float | None = None, *, at_least: bool = False, detail: str = ""
    ) -> None:
        self.ratios.append(Ratio(name, value, aim, at_least, detail))

    def show(self) -> None:
        table = Table(title=self.title, title_justify="left")
        for column, side in (("what", "left"), ("ratio", "right"), ("aim", "right"), ("", "left"), ("detail", "left")):
            table.add_column(column, justify=side)  # type: ignore[arg-type]  # rich names the sides by a Literal
        for ratio in self.ratios:
            aim = "" if ratio.aim is None else f"{'≥' if ratio.at_least else '≤'} {ratio.aim:g}"
            mark = {None: "", True: "ok", False: "missed"}[ratio.met]
            table.add_row(ratio.name, f"{ratio.value:.4g}", aim, mark, ratio.detail)
        Console(width=None if sys.stdout.isatty() else 150).print(table)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "title": self.title,
            "python": platform.python_version(),
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "load_1m": os.getloadavg()[0]},
            "ratios": [{**asdict(ratio), "met": ratio.met} for ratio in self.ratios],
            "figures": self.figures,
        }
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser that already knows --json and --quick."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds, for a look")
    return parser


def finish(report: Report, options: argparse.Namespace) -> None:
    report.show()
    if options.json is not None:
        report.write(options.json)
