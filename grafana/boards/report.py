"""The key figures of the chosen time: what was earned in all, how well it was split, and whether the changes paid.

Earnings are integrated: the mean of each whole hour, added up. An hour of which nothing is known adds nothing, so that a gap is
never taken for money. `orcha report` reads the controller's own state instead.
"""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.figures import BAD, COUNT, GOOD, NET, SECONDS, SHARE, UP, USD, USD_PER_HOUR, WARN
from grafana.panels import Look, Place, graph, stats
from grafana.queries import Query, Scope, deduped
from grafana.sdk import dashboard
from grafana.tables import NODE, PROTOCOL, WORKLOAD, Column, rows

SCOPE: Final = Scope(node=True, policy=True)
HOURLY: Final = "[$__range:1h] offset -1s"
"""Prometheus 2 counts both ends of a range, so that a day from midnight to midnight would have 25 hours."""
GROSS: Final = SCOPE.recorded("node:orcha_earnings_usd_per_hour:avg1h")
LEFT: Final = SCOPE.recorded("node:orcha_net_earnings_usd_per_hour:avg1h")
EACH: Final = f"sum_over_time({SCOPE.recorded('workload:orcha_earnings_usd_per_hour:hourly')}[$__range] offset -1s)"
"""What each workload earned. It has one sample an hour: looking a thousand of them up at each hour of a month takes seconds."""
UPS: Final = SCOPE.recorded("node:orcha_up:avg")
DONE: Final = SCOPE.of_policy("orcha_programs_total", 'result="applied"')
ENDED: Final = SCOPE.of_policy("orcha_programs_total", 'result=~"applied|rolled_back"')


def total(series: str) -> str:
    return f"sum_over_time({series}{HOURLY})"


def money() -> list[dashboard.Panel]:
    place = Place(4, 4)
    whole = "In the chosen time, hour by hour; hours of which nothing is known add nothing."
    return [
        stats(
            "Net earned", f"After fees and energy. {whole}", [Query(f"sum({total(LEFT)})")], NET.but(decimals=2), place
        ),
        stats("Gross earned", f"What was credited. {whole}", [Query(f"sum({total(GROSS)})")], USD, place),
        stats(
            "Net per day",
            "The mean of the chosen time, of the hours that are known.",
            [Query(f"24 * sum(avg_over_time({LEFT}{HOURLY}))")],
            NET.but(decimals=2),
            place,
        ),
        stats(
            "Cost effectiveness",
            "What was left in hand of a dollar credited, in the chosen time.",
            [Query(f"sum({total(LEFT)}) / sum({total(GROSS)})")],
            SHARE.but(steps=((None, BAD), (0.0, GOOD)), least=None, words=(("nan", "unknown", "text"),)),
            place,
        ),
        stats(
            "Uptime",
            "Share of the workloads that were up, looked at every hour of the chosen time.",
            [Query(f"avg(avg_over_time({UPS}{HOURLY}))")],
            UP.but(decimals=2),
            place,
        ),
        stats(
            "Time to be back",
            "How long it took workloads to be back when they were last lost: the mean.",
            [Query(f"avg({deduped(SCOPE.of_workload('orcha_kpi_reconnect_seconds'))})")],
            SECONDS.but(none="none was lost"),
            place,
        ),
    ]


def quality() -> list[dashboard.Panel]:
    return [*of_the_split(), *of_programs(), *of_presence()]


def of_the_split() -> list[dashboard.Panel]:
    place = Place(4, 4)
    split = SCOPE.of_policy("orcha_kpi_allocation_efficiency_ratio")
    return [
        stats(
            "Allocation efficiency",
            "What the split was expected to earn over the best that nodes and bounds allow: the mean of the chosen time.",
            [Query(deduped(f"avg_over_time({split}[$__range])"), "{{policy}}")],
            SHARE.but(steps=((None, BAD), (0.7, WARN), (0.9, GOOD))),
            place,
        ),
        stats(
            "Reallocations a day",
            "Programs applied in the chosen time, per day.",
            [Query(f"sum(increase({DONE}[$__range])) / $__range_s * 86400")],
            COUNT.but(decimals=1),
            place,
        ),
    ]


def of_programs() -> list[dashboard.Panel]:
    place = Place(4, 4)
    wrong = deduped(SCOPE.of_policy("orcha_forecast_error_ratio"))
    return [
        stats(
            "Programs that held",
            "Those applied, over those applied or rolled back in the chosen time.",
            [Query(f"sum(increase({DONE}[$__range])) / sum(increase({ENDED}[$__range]))")],
            SHARE.but(decimals=0, steps=((None, BAD), (0.8, WARN), (0.95, GOOD)), words=(("nan", "none was", "text"),)),
            place,
        ),
        stats(
            "Programs that paid",
            "Of those judged in the last 7 days: the share that brought more than moving cost.",
            [Query(deduped(SCOPE.of_policy("orcha_program_success_ratio")), "{{policy}}")],
            SHARE.but(decimals=0, steps=((None, BAD), (0.5, WARN), (0.8, GOOD)), none="nothing judged"),
            place,
        ),
        stats(
            "Prediction accuracy",
            "Of the programs judged in the last 7 days: 100 % less how far their gains were off; 0 where that is more than the gains.",
            [Query(f"clamp_min(1 - {wrong}, 0)", "{{policy}}")],
            SHARE.but(decimals=0, steps=((None, BAD), (0.4, WARN), (0.7, GOOD)), none="nothing judged"),
            place,
        ),
    ]


def of_presence() -> list[dashboard.Panel]:
    place = Place(4, 4)
    held = f"sum(count_over_time(({UPS} < 1){HOURLY}))"
    return [
        stats(
            "Hours with losses",
            "Looks, one an hour and node, at which not all workloads of a node were up.",
            [Query(f"{held} or vector(0)")],
            COUNT.but(steps=((None, GOOD), (1.0, WARN), (24.0, BAD))),
            place,
        ),
    ]


def split() -> list[dashboard.Panel]:
    by = f"sum by (protocol) ({EACH})"
    days = by.replace("$__range", "1d")
    return [
        graph(
            "Earned per day",
            "Gross, of the 24 hours before each bar, by protocol.",
            [Query(days, "{{protocol}}")],
            USD.but(least=0.0, none="no hour is complete yet"),
            Place(14, 9),
            Look(bars=True, stacked=True, every="1d"),
        ),
        rows(
            "Earned by protocol",
            "Gross, in the chosen time.",
            [Query(by), Query(f"{by} / on () group_left () sum({EACH})")],
            [
                PROTOCOL,
                Column(field="A", title="Earned", figure=USD),
                Column(field="B", title="Share", figure=SHARE, cell="gauge"),
            ],
            Place(10, 9),
            none="no hour is complete yet",
            sort="Earned",
        ),
    ]


def listed() -> list[dashboard.Panel]:
    return [
        rows(
            "Nodes",
            "What each node earned in the chosen time, and how much of it its workloads were up.",
            [
                Query(f"sum by (node) ({total(GROSS)})"),
                Query(f"sum by (node) ({total(LEFT)})"),
                Query(f"avg by (node) (avg_over_time({UPS}{HOURLY}))"),
            ],
            [
                NODE,
                Column(field="A", title="Gross", figure=USD),
                Column(field="B", title="Net", figure=USD),
                Column(field="C", title="Up", figure=UP, cell="color-text"),
            ],
            Place(12, 9),
            none="no hour is complete yet",
            sort="Gross",
        ),
        rows(
            "Workloads",
            "What each workload earned in the chosen time, gross, and how long it took to be back when it was last lost.",
            [
                Query(f"sum by (node, workload, protocol) ({EACH})"),
                Query(f"max by (node, workload, protocol) ({SCOPE.of_workload('orcha_kpi_reconnect_seconds')})"),
            ],
            [
                NODE,
                WORKLOAD,
                PROTOCOL,
                Column(field="A", title="Gross", figure=USD),
                Column(field="B", title="Back after", figure=SECONDS),
            ],
            Place(12, 9),
            none="no hour is complete yet",
            sort="Gross",
        ),
    ]


def courses() -> list[dashboard.Panel]:
    split_ = SCOPE.of_policy("orcha_kpi_allocation_efficiency_ratio")
    gone = SCOPE.of_policy("orcha_kpi_uptime_ratio")
    newest = SCOPE.recorded("node:orcha_earnings_usd_per_hour:avg1h")
    return [
        graph(
            "Efficiency and uptime",
            "Of each policy: how good the split was, and the share of the week before in which its workloads were up.",
            [Query(deduped(split_), "{{policy}} efficiency"), Query(deduped(gone), "{{policy}} uptime")],
            SHARE.but(least=None),
            Place(12, 8),
        ),
        graph(
            "Earnings by node",
            "Gross, the mean of the hour before each point, of the ten nodes that earn the most at the end of the time range.",
            [Query(f"{newest} and topk(10, {newest} @ end())", "{{node}}")],
            USD_PER_HOUR.but(least=0.0, none="no hour is complete yet"),
            Place(12, 8),
            Look(stacked=True, every="5m"),
        ),
    ]


BOARD: Final = Board(
    uid="orcha-report",
    title="orcha / Performance report",
    link="Report",
    words="The key figures of the chosen time: what was earned, how well it was split, whether changes paid.",
    variables=("node", "policy"),
    since="now-7d",
    rows=(Row(None, [*money(), *quality(), *split(), *listed()]), Row("Over time", courses())),
)
