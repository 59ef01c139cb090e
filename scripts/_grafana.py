"""The queries of the committed dashboards, with their variables filled in as Grafana fills them in. Pure but for `boards`.

$__interval        the range over the panel's data points, rounded to a tidy step, at least the least one
$__rate_interval   $__interval and a scrape interval more, at least four scrape intervals
$__range[_s|_ms]   the range
$name, ${name}, ${name:regex}, [[name]]    the chosen value, escaped where several may be chosen; All: its allValue
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exporters.quantity import parse_duration

FOLDER: Final = Path(__file__).resolve().parent.parent / "grafana" / "dashboards"
POINTS: Final = 1000
"""Data points of a panel that does not say how many: about its pixels."""
_TIDY: Final = (
    1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800,
)  # fmt: skip
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")


@dataclass(frozen=True)
class Target:
    """One query of a panel, or of an annotation."""

    board: str
    panel: str
    ref: str
    expr: str
    instant: bool
    points: int
    least: float
    """Seconds of the smallest step that its panel wants; 0: any."""

    @property
    def name(self) -> str:
        return f"{self.board} / {self.panel} / {self.ref}"


def boards(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """By uid the dashboard's JSON."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {board["uid"]: board for board in found}


def targets(board: Mapping[str, Any]) -> Iterator[Target]:
    """Every query of a dashboard: of its panels, those in collapsed rows too, and of its annotations."""
    for panel in _panels(board["panels"]):
        least = parse_duration(str(panel["interval"])) if panel.get("interval") else 0.0
        for each in panel.get("targets", ()):
            yield Target(
                board["uid"], panel["title"], each["refId"], each["expr"], bool(each.get("instant")),
                int(panel.get("maxDataPoints") or POINTS), least,
            )  # fmt: skip
    for each in board.get("annotations", {}).get("list", ()):
        if expr := each.get("target", {}).get("expr") or each.get("expr"):
            yield Target(board["uid"], f"annotation {each['name']}", "A", expr, False, POINTS, 0.0)


def _panels(found: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in found:
        yield panel
        yield from _panels(panel.get("panels", ()))


def default_range(board: Mapping[str, Any]) -> float:
    """Seconds that it shows when it is opened."""
    said = str(board["time"]["from"]).removeprefix("now-")
    return parse_duration(said)


def interval(seconds: float, points: int, least: float) -> float:
    """The step of a range: 24 h on 300 points are 288 s, so 300 s."""
    wanted = seconds / points
    return max(least, min(_TIDY, key=lambda tidy: abs(tidy - wanted)))


def filled(target: Target, values: Mapping[str, str], seconds: float, scrape: float) -> tuple[str, float]:
    """The expression as it is sent for a range of so many seconds, and its step. Raises KeyError for an unknown variable."""
    step = interval(seconds, target.points, max(target.least, scrape))
    known = {
        "__interval": f"{step:.0f}s",
        "__interval_ms": f"{step * 1000:.0f}",
        "__rate_interval": f"{max(step + scrape, 4 * scrape):.0f}s",
        "__range": f"{seconds:.0f}s",
        "__range_s": f"{seconds:.0f}",
        "__range_ms": f"{seconds * 1000:.0f}",
        **values,
    }
    return _VARIABLE.sub(lambda found: known[next(filter(None, found.groups()))], target.expr), step


def choices(board: Mapping[str, Any], first: Mapping[str, str]) -> dict[str, str]:
    """What stands for each variable: All where that can be chosen, else what `first` says of a single-valued one."""
    found = {}
    for each in board["templating"]["list"]:
        name = each["name"]
        found[name] = str(each.get("allValue") or ".*") if each.get("includeAll") else first.get(name, "")
    return found
