"""A dashboard from rows of panels: their places on Grafana's grid of 24 columns, ids, variables, links and annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grafana.figures import BAD, WARN
from grafana.panels import SOURCE, target
from grafana.queries import PROCESS, Query
from grafana.sdk import common, dashboard

WIDTH: Final = 24
TAG: Final = "orcha"
DAY: Final = "now-24h"
CALM: Final = "#8E8E9A"
"""Of what is no news."""
EVERY_PROCESS: Final = '{__name__=~"orcha_build_info|orcha_protocol_up"}'


@dataclass(frozen=True)
class Row:
    title: str | None
    """None: without a heading, which only the first may be."""
    panels: Sequence[dashboard.Panel]


@dataclass(frozen=True, kw_only=True)
class Board:
    uid: str
    title: str
    link: str
    """What it is called in the line of links at the top of every dashboard."""
    words: str
    rows: Sequence[Row]
    variables: Sequence[str] = ()
    """Besides datasource, job and instance, in this order: node, protocol, workload, policy."""
    since: str = DAY
    fixed: str | None = None
    """The one protocol that it is about."""
    marks: bool = False
    """Every program that was applied is marked from the start; elsewhere its switch is off at first."""


def build(board: Board, every: Sequence[Board]) -> dashboard.Dashboard:
    """`every`: the dashboards that it links to, in this order; itself is left out. Raises ValueError where a line of panels
    does not fill the grid.
    """
    return dashboard.Dashboard(
        uid=board.uid,
        title=board.title,
        description=board.words,
        tags=[TAG],
        timezone="browser",
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime(from_val=board.since, to="now"),
        timepicker=dashboard.TimePickerConfig(refresh_intervals=["15s", "30s", "1m", "5m", "15m", "1h"]),
        refresh="30s",
        links=[linked(board, there) for there in every if there.uid != board.uid],
        templating=dashboard.DashboardDashboardTemplating(list_val=list(variables(board))),
        annotations=dashboard.AnnotationContainer(list_val=list(marks(board))),
        panels=list(placed(board)),
    )


def placed(board: Board) -> Iterator[dashboard.RowPanel | dashboard.Panel]:
    y, number = 0, 1
    for row in board.rows:
        if row.title is not None:
            here = dashboard.GridPos(x=0, y=y, w=WIDTH, h=1)
            yield dashboard.RowPanel(title=row.title, collapsed=False, id_val=number, grid_pos=here, panels=[])
            y, number = y + 1, number + 1
        x, tall = 0, 0
        for panel in row.panels:
            place = panel.grid_pos or dashboard.GridPos()
            if x and tall != place.h:
                raise ValueError(f"{board.uid}: {panel.title!r} is {place.h} high, its neighbour {tall}")
            panel.id_val, place.x, place.y, tall = number, x, y, place.h
            x, number = x + place.w, number + 1
            yield panel
            if x > WIDTH:
                raise ValueError(f"{board.uid}: {panel.title!r} ends at column {x} of {WIDTH}")
            if x == WIDTH:
                x, y = 0, y + tall
        if x:
            raise ValueError(f"{board.uid}: the last line of row {row.title!r} ends at column {x} of {WIDTH}")


def linked(here: Board, there: Board) -> dashboard.DashboardLink:
    """What was chosen goes along where the other dashboard has a variable for it, and the time. Workloads of one protocol
    are none of another.
    """
    shared = [name for name in here.variables if name in there.variables]
    if here.fixed != there.fixed and "workload" in shared:
        shared.remove("workload")
    along = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "job", "instance", *shared))
    return dashboard.DashboardLink(
        title=there.link,
        type_val=dashboard.DashboardLinkType.LINK,
        icon="dashboard",
        tooltip=there.words,
        url=f"/d/{there.uid}?{along}",
        keep_time=True,
    )


# --- variables ----------------------------------------------------------------------------------------------------


def variables(board: Board) -> Iterator[dashboard.VariableModel]:
    yield dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE,
        name="datasource",
        label="Data Source",
        description="The Prometheus that scrapes orcha.",
        query="prometheus",
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        current=dashboard.VariableOption(text="default", value="default", selected=True),
    )
    yield _variable("job", "Job", f"label_values({EVERY_PROCESS}, job)", _PROCESSES)
    one = f'{EVERY_PROCESS[:-1]}, job=~"$job"}}'
    yield _variable("instance", "Instance", f"label_values({one}, instance)", _PROCESSES)
    matchers = [PROCESS]
    if board.fixed is not None:
        matchers.append(f'protocol="{board.fixed}"')
    for name in board.variables:
        family = "orcha_policy_mode" if name == "policy" else "orcha_protocol_up"
        known = [PROCESS] if name == "policy" else matchers  # a policy is of no one node
        found = f"label_values({family}{{{', '.join(known)}}}, {name})"
        yield _variable(name, name.capitalize(), found, _WORDS[name], one=name == "protocol")
        if name != "policy":
            matchers.append(f'{name}=~"${name}"')


_PROCESSES: Final = "Whose series are shown; recorded series are of all processes, each workload counted once."
_WORDS: Final = {
    "node": "Nodes as the manifests call them.",
    "protocol": "The protocol that is shown.",
    "workload": "Workloads of the chosen nodes.",
    "policy": "Allocation policies.",
}


def _variable(name: str, label: str, query: str, words: str, *, one: bool = False) -> dashboard.VariableModel:
    """`one`: exactly one can be chosen. All is one pattern, not a list of a thousand names."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=words,
        query={"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        definition=query,
        datasource=SOURCE,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        multi=not one,
        include_all=not one,
        all_value=None if one else ".+",
        current=None if one else dashboard.VariableOption(text=["All"], value=["$__all"], selected=True),
    )


# --- annotations --------------------------------------------------------------------------------------------------


def marks(board: Board) -> Iterator[dashboard.AnnotationQuery]:
    yield dashboard.AnnotationQuery(
        name="Annotations & Alerts",
        datasource=common.DataSourceRef(type_val="grafana", uid="-- Grafana --"),
        built_in=1,
        enable=True,
        hide=True,
        icon_color="rgba(0, 211, 255, 1)",
        type_val="dashboard",
    )
    policy = ', policy=~"$policy"' if "policy" in board.variables else ""
    results = (
        ("Programs applied", "applied", CALM, "A program is done", board.marks),
        ("Rollbacks", "rolled_back", BAD, "Taken back", True),
    )
    for name, result, colour, title, shown in results:
        counter = f'orcha_programs_total{{{PROCESS}{policy}, result="{result}"}}'
        expr = f"sum by (policy) (increase({counter}[$__rate_interval])) > 0"
        yield _annotation(name, expr, colour, f"{title}: {{{{policy}}}}", shown=shown)
    node = ', node=~"$node|"' if "node" in board.variables else ""
    for name, severity, colour, shown in (
        ("Critical alerts", "critical", BAD, True),
        ("Warnings", "warning", WARN, False),
    ):
        alerts = f'ALERTS{{alertname=~"Orcha.+", alertstate="firing", severity="{severity}"{node}}}'
        yield _annotation(name, f"count by (alertname) ({alerts})", colour, "{{alertname}}", shown=shown)


def _annotation(name: str, expr: str, colour: str, title: str, *, shown: bool) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(
        name=name,
        datasource=SOURCE,
        enable=shown,
        icon_color=colour,
        target=target(Query(expr, ""), "Anno", now=False),
        title_format=title,
        text_format="",
        tag_keys="policy,alertname",
        use_value_for_time=False,
    )
