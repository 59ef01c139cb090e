"""The table: instant queries of which the labels are columns, joined where their labels are the same."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana.figures import NEUTRAL, PROTOCOLS, Figure
from grafana.panels import Place, override, panel, target
from grafana.queries import Query
from grafana.sdk import common, dashboard, table

KEEP: Final = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
"""What a link takes along: where the data is, whose it is, and of what time."""
Cell = Literal["auto", "gauge", "color-text", "color-background"]
WORDS: Final = Figure(unit="string")
EMPTY: Final = "–"
"""What an empty cell shows; the words of the table itself are for one without rows."""


@dataclass(frozen=True, kw_only=True)
class Column:
    field: str
    """A label, or the letter of the query whose value it is."""
    title: str
    figure: Figure = WORDS
    cell: Cell = "auto"
    width: int | None = None
    link: tuple[str, str] | None = None
    """(what is there, uid and variables of the dashboard)."""


NODE: Final = Column(
    field="node", title="Node", link=("Allocation of this node", "orcha-allocation?var-node=${__value.raw}")
)
WORKLOAD: Final = Column(
    field="workload",
    title="Workload",
    link=(
        "This workload",
        "orcha-protocol?var-protocol=${__data.fields.Protocol}&var-node=${__data.fields.Node}&var-workload=${__value.raw}",
    ),
)
PROTOCOL: Final = Column(
    field="protocol", title="Protocol", link=("This protocol", "orcha-protocol?var-protocol=${__value.raw}")
)


def rows(
    title: str,
    words: str,
    queries: Sequence[Query],
    columns: Sequence[Column],
    place: Place,
    *,
    none: str,
    sort: str,
    ascending: bool = False,
) -> dashboard.Panel:
    """`sort`: the title of the column that orders it, largest first unless `ascending`; `none`: what an empty one says."""
    fields = {column.title: _field(column.field, len(queries)) for column in columns}
    targets = [
        target(query, letter, now=True, rows=True)
        for query, letter in zip(queries, string.ascii_uppercase, strict=False)
    ]
    defaults = dashboard.FieldConfig(
        unit=WORDS.unit,
        no_value=none,
        custom=common.TableFieldOptions(min_width=60, cell_options=common.TableAutoCellOptions()),
        color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.THRESHOLDS),
        thresholds=Figure(unit="none").thresholds(),
    )
    options = table.Options(
        show_header=True,
        cell_height=common.TableCellHeight.SM,
        sort_by=[common.TableSortByFieldState(display_name=sort, desc=not ascending)],
        footer=common.TableFooterOptions(show=False),
    )
    overrides = [_override(column) for column in columns] + _colours(columns)
    source = dashboard.FieldConfigSource(defaults=defaults, overrides=overrides)
    made = panel("table", title, words, targets, place, options=options, fields=source)
    made.transformations = _transformations(fields, joined=len(queries) > 1)
    return made


def _field(field: str, queries: int) -> str:
    """As Grafana calls it: a query's value has its letter where there are several."""
    if field not in string.ascii_uppercase:
        return field
    return f"Value #{field}" if queries > 1 else "Value"


def _transformations(fields: dict[str, str], *, joined: bool) -> list[dashboard.DataTransformerConfig]:
    names = list(fields.values())
    found = [dashboard.DataTransformerConfig(id_val="merge", options={})] if joined else []
    found.append(dashboard.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": names}}))
    organized = {
        "excludeByName": {},
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": {name: title for title, name in fields.items()},
    }
    found.append(dashboard.DataTransformerConfig(id_val="organize", options=organized))
    return found


def _override(column: Column) -> dashboard.DashboardFieldConfigSourceOverrides:
    figure = column.figure
    properties: dict[str, object] = {"unit": figure.unit, "noValue": EMPTY}
    if figure.decimals is not None:
        properties["decimals"] = figure.decimals
    if figure.least is not None:
        properties["min"] = figure.least
    if figure.most is not None:
        properties["max"] = figure.most
    if figure.words:
        properties["mappings"] = figure.mappings()
    if column.cell != "auto":
        properties["custom__cellOptions"] = _cell(column.cell)
        properties["thresholds"] = figure.thresholds()
        if column.cell == "gauge" and figure.steps == ((None, NEUTRAL),):
            properties["color"] = {"mode": "fixed", "fixedColor": PROTOCOLS["storj"]}
    if column.width is not None:
        properties["custom__width"] = column.width
    if column.link is not None:
        title, there = column.link
        properties["links"] = [{"title": title, "url": f"/d/{there}&{KEEP}"}]
    return override("byName", column.title, **properties)


def _cell(cell: Cell) -> dict[str, object]:
    if cell == "gauge":
        return {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    return {"type": cell, "mode": "basic"} if cell == "color-background" else {"type": cell}


def _colours(columns: Sequence[Column]) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """A protocol's name has the protocol's colour."""
    if all(column.field != "protocol" for column in columns):
        return []
    words = [
        dashboard.ValueMap(options={name: dashboard.ValueMappingResult(text=name, color=colour, index=index)})
        for index, (name, colour) in enumerate(PROTOCOLS.items())
    ]
    return [override("byName", "Protocol", mappings=words, custom__cellOptions=_cell("color-text"))]
