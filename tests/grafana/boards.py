"""The committed dashboards as plain values, and what their expressions may name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "grafana" / "dashboards"
BOARDS: Final[dict[str, dict[str, Any]]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
NAMES: Final = sorted(BOARDS)
FILTERS: Final = ("job", "instance", "node", "protocol", "workload", "policy")
PLACEHOLDERS: Final = {"$__rate_interval": "4m", "$__interval": "1m", "$__range_s": "604800", "$__range": "7d"}


@dataclass(frozen=True)
class Target:
    board: str
    panel: str
    expr: str
    legend: str
    rows: bool
    """Shown as rows of a table, which has columns in place of legends."""

    @property
    def parsed(self) -> Any:
        return parse(self.expr)


def parse(expr: str) -> Any:
    for name, value in PLACEHOLDERS.items():
        expr = expr.replace(name, value)
    return promql.parse(expr)


def panels(name: str) -> list[dict[str, Any]]:
    """All but the headings of rows."""
    return [panel for panel in BOARDS[name]["panels"] if panel["type"] != "row"]


def targets(name: str) -> Iterator[Target]:
    for panel in panels(name):
        for each in panel.get("targets", ()):
            yield Target(name, panel["title"], each["expr"], each["legendFormat"], each["format"] == "table")


def annotations(name: str) -> Iterator[Target]:
    for each in BOARDS[name]["annotations"]["list"]:
        if "target" in each:
            yield Target(name, each["name"], each["target"]["expr"], "", rows=False)


def variables(name: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in BOARDS[name]["templating"]["list"]}


def exclusions() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / ".lint").read_text())["exclusions"]
    return found


# --- what there is ------------------------------------------------------------------------------------------------

_PLACE: Final = frozenset({"node", "workload", "protocol"})
_LEVELS: Final = {
    "workload": _PLACE,
    "node": frozenset({"node"}),
    "node_resource": frozenset({"node", "resource"}),
    "protocol": frozenset({"protocol"}),
    "policy": frozenset({"policy"}),
    "orcha": frozenset[str](),
}


def exported() -> dict[str, frozenset[str]]:
    """Family -> its labels without those of the target, as docs/metrics.md has them, which is written from the code."""
    found: dict[str, frozenset[str]] = {}
    place: frozenset[str] = frozenset()
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        if line.startswith("## "):
            place = frozenset() if "controller" in line else _PLACE
        row = re.fullmatch(r"\| `(\w+)` \| (\w+) \| ([^|]*) \| .* \|", line)
        if row is None:
            continue
        name, kind, more = row.groups()
        labels = frozenset(filter(None, more.strip().split(", "))) | (frozenset() if "token_price" in name else place)
        ends = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        found |= {f"{name}{end}": labels for end in ends}
    return found


def recorded() -> dict[str, frozenset[str]]:
    """Recorded series -> the labels of their level, from the templates of the rules."""
    pages = (ROOT / "prometheus" / "templates").glob("*.yaml")
    names = {name for page in pages for name in re.findall(r"record: (\S+)", page.read_text())}
    return {name: _LEVELS[name.partition(":")[0]] for name in names}


EXPORTED: Final = exported()
RECORDED: Final = recorded()


# --- what an expression says --------------------------------------------------------------------------------------


def visit(expr: Any, look: Callable[[Any], None]) -> None:
    def every(found: Any) -> bool:
        look(found)
        return True

    promql.walk(expr, every)


def selectors(expr: Any) -> list[Any]:
    found: list[Any] = []

    def look(node: Any) -> None:
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql.VectorSelector):
            found.append(node)

    visit(expr, look)
    return found


def calls(expr: Any) -> list[Any]:
    found: list[Any] = []
    visit(expr, lambda node: found.append(node) if isinstance(node, promql.Call) else None)
    return found


def matchers(selector: Any) -> dict[str, str]:
    return {each.name: each.value for each in selector.matchers.matchers}


def window(call: Any) -> timedelta | None:
    """Of a call over a range of samples."""
    first = call.args[0] if call.args else None
    return first.range if isinstance(first, promql.MatrixSelector | promql.SubqueryExpr) else None


def summed_twice(expr: Any) -> list[str]:
    """Families that several processes may show and that are summed, averaged or counted before they are made one."""
    found: list[str] = []
    _look_for_sums(expr, found, under=False)
    return found


def _look_for_sums(node: Any, found: list[str], *, under: bool) -> None:
    if isinstance(node, promql.MatrixSelector):
        node = node.vector_selector
    if isinstance(node, promql.VectorSelector):
        if (
            under
            and EXPORTED.get(node.name, frozenset()) & {"node", "policy", "token"}
            and not node.name.endswith(("_total", "_bucket"))
        ):
            found.append(node.name)
        return
    if isinstance(node, promql.AggregateExpr):
        word = str(node.op)
        under = word in {"sum", "avg", "count"} or (under and word not in {"max", "min"})
    for child in children(node):
        _look_for_sums(child, found, under=under)


def children(node: Any) -> list[Any]:
    if isinstance(node, promql.Call):
        return list(node.args)
    if isinstance(node, promql.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.SubqueryExpr | promql.UnaryExpr):
        return [node.expr]
    return []
