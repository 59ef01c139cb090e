"""Two panels that only the fleet has: who talks with whom, and a value for each pair of them."""

from __future__ import annotations

from typing import Final

from grafana.figures import GOOD, Figure
from grafana.panels import Place, override, panel, target
from grafana.queries import Query
from grafana.sdk import common, dashboard, nodegraph, table

NODES: Final = "nodes"
EDGES: Final = "edges"
"""Ids of the two queries; Grafana's node graph knows by them what each is."""
ARC: Final = "arc__heard"
ROWS: Final = "via\\to"
"""As Grafana calls the column of the rows' names."""
NOTHING: Final = "·"


def network(title: str, words: str, nodes: Query, edges: Query, figure: Figure, place: Place) -> dashboard.Panel:
    """`nodes`: series with the labels id and title and a share of 1, which is written in the node and is how full its ring is;
    `edges`: with id, source and target.
    """
    targets = [target(query, name, now=True, rows=True) for query, name in ((nodes, NODES), (edges, EDGES))]
    options = nodegraph.Options(
        nodes=nodegraph.NodeOptions(main_stat_unit=figure.unit, arcs=[nodegraph.ArcOption(field=ARC, color=GOOD)])
    )
    made = panel("nodeGraph", title, words, targets, place, options=options, fields=_fields(figure))
    # Names of fields are what the panel goes by, and renaming a field changes only what is shown of it: hence two new ones.
    made.transformations = [
        *(_copied(f"Value #{NODES}", name) for name in ("mainstat", ARC)),
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True, f"Value #{NODES}": True, f"Value #{EDGES}": True},
                "indexByName": {},
                "renameByName": {},
            },
        ),
    ]
    return made


def _copied(field: str, name: str) -> dashboard.DataTransformerConfig:
    times = {"left": field, "operator": "*", "right": "1"}
    return dashboard.DataTransformerConfig(
        id_val="calculateField", options={"mode": "binary", "alias": name, "binary": times}
    )


def matrix(title: str, words: str, query: Query, figure: Figure, place: Place) -> dashboard.Panel:
    """Series with the labels via and to: a row for each `via`, a column for each `to`, coloured by the value."""
    options = table.Options(show_header=True, cell_height=common.TableCellHeight.SM)
    fields = _fields(figure)
    fields.defaults.custom = common.TableFieldOptions(
        min_width=60,
        align=common.FieldTextAlignment.CENTER,
        cell_options=common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC),
    )
    # what is empty, and the names of rows, are in no colour of a threshold
    nothing = dashboard.ValueMappingResult(text=NOTHING, color="transparent", index=0)
    fields.defaults.mappings = [
        dashboard.SpecialValueMap(
            options=dashboard.DashboardSpecialValueMapOptions(match=dashboard.SpecialValueMatch.NULL, result=nothing)
        )
    ]
    fields.overrides = [override("byName", ROWS, custom__cellOptions={"type": "auto"})]
    made = panel(
        "table", title, words, [target(query, "A", now=True, rows=True)], place, options=options, fields=fields
    )
    # columns and rows come in the order in which they are first met
    made.transformations = [
        _sorted("to"),
        dashboard.DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"columnField": "to", "rowField": "via", "valueField": "Value", "emptyValue": "null"},
        ),
        _sorted(ROWS),
    ]
    return made


def _sorted(field: str) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig(id_val="sortBy", options={"fields": {}, "sort": [{"field": field}]})


def _fields(figure: Figure) -> dashboard.FieldConfigSource:
    defaults = dashboard.FieldConfig(
        unit=figure.unit,
        decimals=figure.decimals,
        min_val=figure.least,
        max_val=figure.most,
        thresholds=figure.thresholds(),
        no_value=figure.none,
        color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.THRESHOLDS),
    )
    return dashboard.FieldConfigSource(defaults=defaults, overrides=[])
