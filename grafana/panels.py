"""The panels: Grafana's core ones, with their data source, queries, figure and look. Tables are in tables.py.

A panel knows its width and height; board.py places it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grafana.figures import NEUTRAL, PROTOCOLS, Figure, Steps
from grafana.queries import Query
from grafana.sdk import bargauge, common, dashboard, gauge, prometheus, stat, text, timeseries

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
POINTS: Final = 300
"""Points of a graph: as many as a screen can tell apart."""
FEW: Final = 150
"""Points of one that reads the series of every workload as they were scraped, at each of them: a thousand or more."""
OF_EACH: Final = re.compile(r"\borcha_(protocol|storj|golem|streamr|grass|allocation|marginal)_\w+\{")


USUAL: Final = 4
"""Rows of the grid that a number has; one that stands beside a graph has more, and is not to fill them."""


@dataclass(frozen=True)
class Place:
    width: int
    height: int


def stats(
    title: str,
    words: str,
    queries: Iterable[Query],
    figure: Figure,
    place: Place,
    *,
    names: bool = False,
    steps: Mapping[str, Steps] | None = None,
) -> dashboard.Panel:
    """One number, or a few side by side; `names`: each with its legend, though it be one; `steps`: legend -> thresholds
    of its own.
    """
    own = [
        override("byName", name, thresholds=figure.but(steps=found).thresholds())
        for name, found in (steps or {}).items()
    ]
    mode = common.BigValueTextMode.VALUE_AND_NAME if names else common.BigValueTextMode.AUTO
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        justify_mode=common.BigValueJustifyMode.CENTER,
        text_mode=mode,
        reduce_options=_newest(),
        orientation=common.VizOrientation.VERTICAL if names else common.VizOrientation.AUTO,
        text=common.VizTextDisplayOptions(title_size=14, value_size=28) if place.height > USUAL else None,
    )
    fields = _fields(figure, overrides=own)
    return panel("stat", title, words, _targets(queries, now=True), place, options=options, fields=fields)


def gauges(title: str, words: str, queries: Iterable[Query], figure: Figure, place: Place) -> dashboard.Panel:
    """A value between the two ends of what is possible."""
    options = gauge.Options(reduce_options=_newest(), show_threshold_markers=True)
    return panel("gauge", title, words, _targets(queries, now=True), place, options=options, fields=_fields(figure))


def bars(
    title: str,
    words: str,
    queries: Iterable[Query],
    figure: Figure,
    place: Place,
    *,
    colours: Mapping[str, str] | None = None,
) -> dashboard.Panel:
    """Values against one another, one line each."""
    options = bargauge.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        value_mode=common.BarGaugeValueMode.COLOR,
        name_placement=common.BarGaugeNamePlacement.TOP,
        reduce_options=_newest(),
        orientation=common.VizOrientation.HORIZONTAL,
        sizing=common.BarGaugeSizing.MANUAL,
        min_viz_height=12,
        max_viz_height=46,
        text=common.VizTextDisplayOptions(title_size=13, value_size=13),
    )
    fields = _fields(figure, overrides=coloured(colours or {}))
    if figure.steps == ((None, NEUTRAL),):
        fields.defaults.color = dashboard.FieldColor(
            mode=dashboard.FieldColorModeId.FIXED, fixed_color=PROTOCOLS["storj"]
        )
    return panel("bargauge", title, words, _targets(queries, now=True), place, options=options, fields=fields)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a graph is drawn."""

    stacked: bool = False
    stepped: bool = False
    bars: bool = False
    beside: bool = False
    """The legend stands at the right, as a table with the newest and the mean value."""
    every: str | None = None
    """The least distance of two points."""
    points: int | None = None
    """Fewer than POINTS or FEW, where each takes many series: a histogram of a thousand workloads has eight thousand."""
    line: bool = False
    """Thresholds are drawn as dashed lines."""
    colours: Mapping[str, str] | None = None
    """Legend -> colour; protocols have theirs anyway."""
    dashed: str | None = None
    """Legends that match are drawn dashed."""
    soft: float | None = None
    """The axis begins here unless something is lower."""
    top: float | None = None
    """The axis reaches as far as this at least."""
    bridged: float | bool = False
    """Milliseconds between two points that are drawn as one line all the same."""
    between: tuple[str, str] | None = None
    """(upper, lower): the room between these two is filled."""


PLAIN: Final = Look()


def graph(
    title: str, words: str, queries: Sequence[Query], figure: Figure, place: Place, look: Look = PLAIN
) -> dashboard.Panel:
    options = timeseries.Options(
        legend=_legend(look),
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING),
    )
    fields = _fields(figure, custom=_drawn(look), overrides=[*coloured(_colours(queries, look)), *_special(look)])
    fields.defaults.color = dashboard.FieldColor(mode=dashboard.FieldColorModeId.PALETTE_CLASSIC)
    made = panel("timeseries", title, words, _targets(queries, now=False), place, options=options, fields=fields)
    made.max_data_points, made.interval = look.points or _points(queries), look.every
    return made


def note(title: str, words: str, content: str, place: Place) -> dashboard.Panel:
    """Words, in Markdown."""
    options = text.Options(mode=text.TextMode.MARKDOWN, content=content)
    return panel("text", title, words, None, place, options=options, fields=None)


def panel(
    kind: str,
    title: str,
    words: str,
    targets: list[prometheus.Dataquery] | None,
    place: Place,
    *,
    options: object,
    fields: dashboard.FieldConfigSource | None,
) -> dashboard.Panel:
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=words,
        targets=list(targets) if targets is not None else None,
        datasource=SOURCE,
        grid_pos=dashboard.GridPos(w=place.width, h=place.height),
        options=options,
        field_config=fields,
    )


def target(query: Query, letter: str, *, now: bool, rows: bool = False) -> prometheus.Dataquery:
    """`now`: the newest values only; `rows`: as a table with a column for each label."""
    return prometheus.Dataquery(
        expr=query.expr,
        legend_format=query.legend,
        ref_id=letter,
        datasource=SOURCE,
        editor_mode=prometheus.QueryEditorMode.CODE,
        instant=now,
        range_val=not now,
        format_val=prometheus.PromQueryFormat.TABLE if rows else prometheus.PromQueryFormat.TIME_SERIES,
    )


def coloured(colours: Mapping[str, str]) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """Legend -> colour; a label like rolled_back is read as words."""
    return [
        override("byName", name, color={"mode": "fixed", "fixedColor": colour}, **_read(name))
        for name, colour in colours.items()
    ]


def _read(name: str) -> dict[str, object]:
    return {"displayName": name.replace("_", " ")} if "_" in name else {}


def override(matcher: str, name: str, **properties: object) -> dashboard.DashboardFieldConfigSourceOverrides:
    """What holds for the fields that `matcher` finds; `custom__lineStyle` is the property custom.lineStyle."""
    values = [
        dashboard.DynamicConfigValue(id_val=key.replace("__", "."), value=value) for key, value in properties.items()
    ]
    found = dashboard.MatcherConfig(id_val=matcher, options=name)
    return dashboard.DashboardFieldConfigSourceOverrides(matcher=found, properties=values)


def _points(queries: Sequence[Query]) -> int:
    return FEW if any(OF_EACH.search(query.expr) for query in queries) else POINTS


def _colours(queries: Sequence[Query], look: Look) -> Mapping[str, str]:
    """Those that the look names, and each protocol's own where protocols are what the legend names."""
    named = any("{{protocol}}" in query.legend for query in queries)
    return {**(PROTOCOLS if named else {}), **(look.colours or {})}


def _targets(queries: Iterable[Query], *, now: bool) -> list[prometheus.Dataquery]:
    return [target(query, letter, now=now) for query, letter in zip(queries, string.ascii_uppercase, strict=False)]


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions(calcs=["lastNotNull"], values=False, fields="")


def _fields(
    figure: Figure,
    *,
    custom: object = None,
    overrides: Iterable[dashboard.DashboardFieldConfigSourceOverrides] = (),
) -> dashboard.FieldConfigSource:
    defaults = dashboard.FieldConfig(
        unit=figure.unit,
        decimals=figure.decimals,
        min_val=figure.least,
        max_val=figure.most,
        thresholds=figure.thresholds(),
        mappings=figure.mappings(),
        no_value=figure.none,
        color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.THRESHOLDS),
        custom=custom,
    )
    return dashboard.FieldConfigSource(defaults=defaults, overrides=list(overrides))


def _legend(look: Look) -> common.VizLegendOptions:
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.TABLE if look.beside else common.LegendDisplayMode.LIST,
        placement=common.LegendPlacement.RIGHT if look.beside else common.LegendPlacement.BOTTOM,
        show_legend=True,
        calcs=["lastNotNull", "mean"] if look.beside else [],
        sort_by="Last *" if look.beside else None,
        sort_desc=True if look.beside else None,
    )


def _drawn(look: Look) -> common.GraphFieldConfig:
    style = common.GraphThresholdsStyleMode.DASHED if look.line else common.GraphThresholdsStyleMode.OFF
    shape = common.LineInterpolation.STEP_AFTER if look.stepped else common.LineInterpolation.LINEAR
    return common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.BARS if look.bars else common.GraphDrawStyle.LINE,
        line_width=0 if look.bars else 1 if look.stacked else 2,
        line_interpolation=shape,
        fill_opacity=80 if look.bars else 45 if look.stacked else 0,
        gradient_mode=common.GraphGradientMode.NONE,
        show_points=common.VisibilityMode.NEVER,
        span_nulls=look.bridged,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if look.stacked else common.StackingMode.NONE, group="A"
        ),
        thresholds_style=common.GraphThresholdsStyleConfig(mode=style),
        axis_soft_min=look.soft,
        axis_soft_max=look.top,
        bar_width_factor=0.7 if look.bars else None,
    )


def _special(look: Look) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    found = []
    if look.dashed is not None:
        style = {"fill": "dash", "dash": [8, 6]}
        found.append(override("byRegexp", f"/{look.dashed}/", custom__lineStyle=style, custom__fillOpacity=0))
    if look.between is not None:
        upper, lower = look.between
        found.append(override("byName", upper, custom__fillBelowTo=lower, custom__fillOpacity=15))
    return found
