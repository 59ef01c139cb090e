"""Panels that more than one dashboard has: opportunities, and whether the programs so far paid."""

from __future__ import annotations

from grafana.figures import BAD, GOOD, NET, SHARE, USD_PER_HOUR, WARN
from grafana.panels import Place, stats
from grafana.queries import Query, Scope, deduped
from grafana.sdk import dashboard
from grafana.tables import NODE, Column, rows


def opportunities(scope: Scope, place: Place) -> dashboard.Panel:
    found = deduped(scope.of_node("orcha_opportunity_gain_usd_per_hour"))
    return rows(
        "Opportunities",
        "The best transfers between two workloads of a node, each within limits; free is capacity that nobody has.",
        [Query(f"topk(50, {found})")],
        [
            NODE,
            Column(field="source", title="From"),
            Column(field="target", title="To"),
            Column(field="A", title="Gain/h", figure=USD_PER_HOUR),
        ],
        place,
        none="nothing gains",
        sort="Gain/h",
    )


def paid(scope: Scope) -> list[dashboard.Panel]:
    """Six figures, each of every chosen policy."""
    return [*judged(scope), *in_force(scope)]


def judged(scope: Scope) -> list[dashboard.Panel]:
    nothing = "nothing judged"
    place = Place(4, 4)

    def newest(family: str) -> list[Query]:
        return [Query(deduped(scope.of_policy(f"orcha_{family}")), "{{policy}}")]

    return [
        stats(
            "Realised gain",
            "Mean gain of the programs judged in the last 7 days against not having moved, before the cost of moving.",
            newest("realized_gain_usd_per_hour"),
            NET.but(none=nothing),
            place,
        ),
        stats(
            "Programs that paid",
            "Share of the programs judged in the last 7 days that brought more than moving cost.",
            newest("program_success_ratio"),
            SHARE.but(decimals=0, steps=((None, BAD), (0.5, WARN), (0.8, GOOD)), none=nothing),
            place,
        ),
        stats(
            "Forecast error",
            "How far the programs judged in the last 7 days were off, over what they promised, both summed up.",
            newest("forecast_error_ratio"),
            SHARE.but(decimals=0, steps=((None, GOOD), (0.3, WARN), (0.6, BAD)), none=nothing, most=None),
            place,
        ),
        stats(
            "Interval coverage",
            "Share of the programs judged in the last 7 days whose gain lay in the promised interval: 80 % is honest.",
            newest("interval_coverage_ratio"),
            SHARE.but(decimals=0, steps=((None, BAD), (0.6, WARN), (0.7, GOOD)), none=nothing),
            place,
        ),
    ]


def in_force(scope: Scope) -> list[dashboard.Panel]:
    place = Place(4, 4)

    def newest(family: str) -> list[Query]:
        return [Query(deduped(scope.of_policy(f"orcha_{family}")), "{{policy}}")]

    return [
        stats(
            "Allocation efficiency",
            "What the present split is expected to earn, over the best that nodes and bounds allow.",
            newest("kpi_allocation_efficiency_ratio"),
            SHARE.but(steps=((None, BAD), (0.7, WARN), (0.9, GOOD))),
            place,
        ),
        stats(
            "Cost effectiveness",
            "What is left in hand of a dollar credited, after cuts, fees and energy.",
            newest("kpi_cost_effectiveness_ratio"),
            SHARE.but(steps=((None, BAD), (0.0, GOOD)), least=None),
            place,
        ),
    ]
