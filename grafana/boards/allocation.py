"""Who has what share of a node, who should, what the next unit is worth, and how much of it is used."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards import outcome, workloads
from grafana.figures import BYTES, BYTES_PER_SECOND, CORES, COUNT, GOOD, SHARE, USD_PER_HOUR, WARN
from grafana.panels import Look, Place, bars, graph, stats
from grafana.queries import Query, Scope, deduped, most
from grafana.sdk import dashboard
from grafana.tables import PROTOCOL, WORKLOAD, Column, rows

SCOPE: Final = Scope(node=True)
NOW: Final = SCOPE.of_workload("orcha_allocation_ratio")
WANTED: Final = SCOPE.of_workload("orcha_allocation_target_ratio")
WORTH: Final = SCOPE.of_workload("orcha_marginal_value_usd_per_hour")
NAMED: Final = "{{node}} / {{workload}} ({{resource}})"
SAME: Final = 1e-6
"""Shares that differ by less are the same."""


def summary() -> list[dashboard.Panel]:
    now, wanted = (SCOPE.recorded(f"node_resource:orcha_allocation_{what}:sum") for what in ("ratio", "target_ratio"))
    change = f"abs({deduped(WANTED)} - {deduped(NOW)})"
    best = SCOPE.recorded("node:orcha_opportunity_gain_usd_per_hour:max")
    return [
        stats(
            "Moves wanted",
            "Workloads of which the newest plan wants another allocation than they have.",
            [Query(f"count({change} > {SAME}) or 0 * count({change})")],
            COUNT.but(words=(("0", "none", GOOD),), none="nothing is allocated"),
            Place(5, 6),
        ),
        stats(
            "Could be gained",
            "The best transfer of each node, added up.",
            [Query(f"sum({best})")],
            USD_PER_HOUR.but(steps=((None, GOOD),), none="nothing"),
            Place(5, 6),
        ),
        bars(
            "Allocated",
            "Share of the capacity that workloads have, by resource: the mean of the chosen nodes.",
            [Query(f"avg by (resource) ({now})", "{{resource}}")],
            SHARE.but(none="nothing is allocated"),
            Place(7, 6),
        ),
        bars(
            "Wanted",
            "Share of the capacity that they would have by the newest plan.",
            [Query(f"avg by (resource) ({wanted})", "{{resource}}")],
            SHARE.but(none="no plan"),
            Place(7, 6),
        ),
    ]


def listed() -> list[dashboard.Panel]:
    labels = "node, workload, protocol, resource"
    return [
        rows(
            "Workloads",
            "What each has of its node, what the newest plan wants, and what one step more would earn; no value at the "
            "maximum. The largest rise stands first.",
            [
                Query(f"max by ({labels}) ({NOW})"),
                Query(f"max by ({labels}) ({WANTED})"),
                Query(f"max by ({labels}) ({WANTED}) - max by ({labels}) ({NOW})"),
                Query(f"max by ({labels}) ({WORTH})"),
            ],
            [
                Column(field="node", title="Node"),
                WORKLOAD,
                PROTOCOL,
                Column(field="resource", title="Resource"),
                Column(field="A", title="Now", figure=SHARE, cell="gauge"),
                Column(field="B", title="Wanted", figure=SHARE, cell="gauge"),
                Column(
                    field="C",
                    title="Change",
                    figure=SHARE.but(steps=((None, WARN), (-SAME, "text"), (SAME, GOOD)), least=None, most=None),
                    cell="color-text",
                ),
                Column(field="D", title="Next step/h", figure=USD_PER_HOUR.but(decimals=5)),
            ],
            Place(24, 8),
            none="nothing is allocated",
            sort="Change",
        )
    ]


def courses() -> list[dashboard.Panel]:
    return [
        graph(
            "Allocation",
            "What the ten largest have of their node.",
            [Query(most(NOW), NAMED)],
            SHARE.but(none="nothing is allocated"),
            Place(12, 9),
            Look(stepped=True),
        ),
        graph(
            "Wanted allocation",
            "What the plan of that time wanted them to have, of the ten largest.",
            [Query(most(WANTED), NAMED)],
            SHARE.but(none="no plan"),
            Place(12, 9),
            Look(stepped=True),
        ),
        graph(
            "Worth of the next step",
            "What one step more at the present allocation would earn: where two of one node differ, moving from the "
            "lower to the higher pays. The ten highest.",
            [Query(most(WORTH), NAMED)],
            USD_PER_HOUR.but(decimals=5, none="not known"),
            Place(12, 9),
        ),
        graph(
            "Opportunities",
            "The best transfer of each of the ten nodes on which most could be gained.",
            [
                Query(
                    f"{SCOPE.recorded('node:orcha_opportunity_gain_usd_per_hour:max')} and topk(10, "
                    f"{SCOPE.recorded('node:orcha_opportunity_gain_usd_per_hour:max')} @ end())",
                    "{{node}}",
                )
            ],
            USD_PER_HOUR.but(least=0.0, none="nothing gains"),
            Place(12, 9),
        ),
    ]


def capacity() -> list[dashboard.Panel]:
    kinds = {
        "cpu_cores": CORES,
        "memory_bytes": BYTES,
        "storage_bytes": BYTES,
        "bandwidth_bytes_per_second": BYTES_PER_SECOND,
    }
    titles = ("CPU", "Memory", "Storage", "Bandwidth")
    columns = [
        Column(field=letter, title=title, figure=figure)
        for letter, title, figure in zip("ABCD", titles, kinds.values(), strict=True)
    ]
    return [
        rows(
            "Capacity of nodes",
            "What orcha may hand out. An empty cell: nothing of it may be handed out.",
            [Query(f"max by (node) ({SCOPE.of_node(f'orcha_node_capacity_{kind}')})") for kind in kinds],
            [Column(field="node", title="Node"), *columns],
            Place(14, 6),
            none="no node says",
            sort="Node",
            ascending=True,
        ),
        rows(
            "Other resources",
            "Of what has no unit of its own, such as staked tokens.",
            [Query(f"max by (node, resource) ({SCOPE.of_node('orcha_node_capacity_units')})")],
            [
                Column(field="node", title="Node"),
                Column(field="resource", title="Resource"),
                Column(field="A", title="Capacity", figure=COUNT),
            ],
            Place(10, 6),
            none="there is none",
            sort="Node",
            ascending=True,
        ),
    ]


BOARD: Final = Board(
    uid="orcha-allocation",
    title="orcha / Allocation",
    link="Allocation",
    words="Who has what share of a node, who should, what the next unit is worth, and how much of it is used.",
    variables=("node",),
    marks=True,
    rows=(
        Row(None, [*summary(), *listed()]),
        Row("Over time", courses()),
        Row("Used and allocated", workloads.used(SCOPE)),
        Row("What there is", [outcome.opportunities(SCOPE, Place(24, 5)), *capacity()]),
    ),
)
