"""What is earned now, by whom, what could be better, and whether the changes so far paid."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards import outcome
from grafana.figures import BAD, COUNT, GOOD, HIGH, LOW, MIDDLE, NET, NEUTRAL, SHARE, UP, USD, USD_PER_HOUR, WARN
from grafana.panels import Look, Place, graph, stats
from grafana.queries import Query, Scope, deduped
from grafana.sdk import dashboard
from grafana.tables import NODE, PROTOCOL, Column, rows

SCOPE: Final = Scope(node=True, policy=True)
GROSS: Final = SCOPE.recorded("node:orcha_earnings_usd_per_hour:sum")
LEFT: Final = SCOPE.recorded("node:orcha_net_earnings_usd_per_hour:sum")
UPS: Final = SCOPE.recorded("workload:orcha_up:max")
EARNS: Final = SCOPE.recorded("workload:orcha_earnings_usd_per_hour:max")
KEEPS: Final = SCOPE.recorded("workload:orcha_net_earnings_usd_per_hour:max")
HOURS: Final = SCOPE.recorded("workload:orcha_earnings_usd_per_hour:avg1h")
FIRING: Final = 'ALERTS{alertname=~"Orcha.+", alertname!="OrchaWatchdog", alertstate="firing", node=~"$node|"'
MONTH: Final = 730.5
"""Hours of a mean month."""


def now() -> list[dashboard.Panel]:
    return [*sums(), *counts()]


def sums() -> list[dashboard.Panel]:
    place = Place(4, 4)
    net = "After fees and energy, where they are known."
    return [
        stats("Net per hour", f"What is left of the earnings now. {net}", [Query(f"sum({LEFT})")], NET, place),
        stats(
            "Gross per hour",
            "What all workloads together are credited now, by their newest readings.",
            [Query(f"sum({GROSS})")],
            USD_PER_HOUR,
            place,
        ),
        stats("Net per day", f"If it goes on as now. {net}", [Query(f"sum({LEFT}) * 24")], NET.but(decimals=2), place),
        stats(
            "Net per month",
            f"If it goes on as now, for 30.4 days. {net}",
            [Query(f"sum({LEFT}) * {MONTH}")],
            NET.but(decimals=2),
            place,
        ),
    ]


def counts() -> list[dashboard.Panel]:
    place = Place(4, 4)
    return [
        stats(
            "Workloads",
            "Those whose newest poll gave a reading, and those whose poll did not.",
            [Query(f"sum({UPS})", "up"), Query(f"sum(1 - {UPS})", "down")],
            COUNT.but(steps=((None, GOOD),)),
            place,
            names=True,
            steps={"down": ((None, NEUTRAL), (1.0, BAD))},
        ),
        stats(
            "Alerts",
            "Alerts of the chosen nodes and of the controller that are firing now.",
            [
                Query(f'sum({FIRING}, severity="critical"}}) or vector(0)', "critical"),
                Query(f'sum({FIRING}, severity="warning"}}) or vector(0)', "warning"),
            ],
            COUNT,
            place,
            names=True,
            steps={"critical": ((None, NEUTRAL), (1.0, BAD)), "warning": ((None, NEUTRAL), (1.0, WARN))},
        ),
    ]


def earnings() -> list[dashboard.Panel]:
    by = "sum by (protocol)"
    share = Column(field="C", title="Share", figure=SHARE, cell="gauge")
    return [
        graph(
            "Earnings by protocol",
            "Gross, in USD per hour: at each point the mean of the hour before it. What is unknown is not in it.",
            [Query(f"{by} ({HOURS})", "{{protocol}}")],
            USD_PER_HOUR.but(least=0.0, none="the first mean of an hour is there within 5 minutes"),
            Place(15, 9),
            Look(stacked=True, every="1m"),
        ),
        rows(
            "Shares",
            "What each protocol earns now, what is left of it, and its share of the gross earnings.",
            [
                Query(f"{by} ({EARNS})"),
                Query(f"{by} ({KEEPS})"),
                Query(f"{by} ({EARNS}) / on () group_left () sum({EARNS})"),
            ],
            [
                PROTOCOL,
                Column(field="A", title="Gross/h", figure=USD_PER_HOUR, width=90),
                Column(field="B", title="Net/h", figure=USD_PER_HOUR, width=90),
                share,
            ],
            Place(9, 9),
            none="nothing is read yet",
            sort="Gross/h",
        ),
    ]


def places() -> list[dashboard.Panel]:
    return [*by_node(), *alerts()]


def by_node() -> list[dashboard.Panel]:
    gross = f"sum by (node) ({GROSS})"
    nodes = [
        Query(gross),
        Query(f"sum by (node) ({LEFT})"),
        Query(f"{gross} / on () group_left () sum({GROSS})"),
        Query(f"avg by (node) ({SCOPE.recorded('node:orcha_up:avg')})"),
        Query(f"max by (node) ({SCOPE.recorded('node:orcha_opportunity_gain_usd_per_hour:max')})"),
    ]
    return [
        rows(
            "Nodes",
            "What each node earns now, how many of its workloads are up, and the best that could be gained on it. "
            "A click on a name leads to its allocation.",
            nodes,
            [
                NODE,
                Column(field="A", title="Gross/h", figure=USD_PER_HOUR),
                Column(field="B", title="Net/h", figure=USD_PER_HOUR),
                Column(field="C", title="Share", figure=SHARE, cell="gauge"),
                Column(field="D", title="Up", figure=UP.but(decimals=0), cell="color-text"),
                Column(field="E", title="Could gain/h", figure=USD_PER_HOUR),
            ],
            Place(15, 7),
            none="no node is read yet",
            sort="Gross/h",
        ),
    ]


def alerts() -> list[dashboard.Panel]:
    ranked = " or ".join(
        f'{rank} * {FIRING}, severity="{severity}"}}'
        for rank, severity in ((3, "critical"), (2, "warning"), (1, "info"))
    )
    return [
        rows(
            "Alerts firing",
            "All but the watchdog, which always fires. Notes of severity info are no alarm.",
            [Query(f"max by (alertname, node, workload, policy) ({ranked})")],
            [
                Column(field="A", title="Severity", cell="color-text", figure=_SEVERITY, width=80),
                Column(field="alertname", title="Alert", width=200),
                Column(field="node", title="Node"),
                Column(field="workload", title="Workload"),
                Column(field="policy", title="Policy"),
            ],
            Place(9, 7),
            none="nothing fires",
            sort="Severity",
        ),
    ]


_SEVERITY: Final = COUNT.but(words=(("3", "critical", BAD), ("2", "warning", WARN), ("1", "info", MIDDLE)))


def better() -> list[dashboard.Panel]:
    return [*plan(), *waiting()]


def plan() -> list[dashboard.Panel]:
    found = deduped(SCOPE.of_node("orcha_opportunity_gain_usd_per_hour"))
    cost, roi = (deduped(SCOPE.of_policy(f"orcha_plan_{what}")) for what in ("cost_usd", "roi_ratio"))
    small = Place(4, 4)
    return [
        stats(
            "Best opportunity now",
            "The best transfer from one workload to another within limits; free is capacity that nobody has.",
            [Query(f"topk(1, {found})", "{{source}} → {{target}} on {{node}}")],
            USD_PER_HOUR.but(steps=((None, GOOD),), none="nothing gains"),
            Place(8, 4),
            names=True,
        ),
        stats(
            "Cost of the plan",
            "What the moves of the newest plans cost once: what is lost on the way, and fees.",
            [Query(f"sum({cost})")],
            USD.but(decimals=4, none="no plan"),
            small,
        ),
        stats(
            "Net benefit",
            "What the newest plans bring within their horizon, less what they cost; unknown where moving is free.",
            [Query(f"sum({roi} * {cost})")],
            NET.but(none="no plan that costs"),
            small,
        ),
    ]


def waiting() -> list[dashboard.Panel]:
    coming = SCOPE.of_policy("orcha_next_change_timestamp_seconds")
    waiting = SCOPE.of_policy("orcha_programs_open", 'state="pending"')
    small = Place(4, 4)
    return [
        stats(
            "Next possible change",
            "The earliest time at which orcha may begin a program, as holds, windows and the hourly limit tell.",
            [Query(f"clamp_min(min({coming}), time()) * 1000")],
            COUNT.but(unit="dateTimeFromNow", decimals=None, none="not by itself"),
            small,
        ),
        stats(
            "Waits for approval",
            "Programs that wait for a person's word: orcha approve NAME.",
            [Query(f"sum({deduped(waiting)})")],
            COUNT.but(steps=((None, "text"), (1.0, WARN)), words=(("0", "nothing", "text"),)),
            small,
        ),
    ]


def gains() -> list[dashboard.Panel]:
    gain = deduped(SCOPE.of_policy("orcha_plan_gain_usd_per_hour"))
    return [
        graph(
            "What the plan would gain",
            "Expected, and the interval in which it lies in 8 of 10 cases; 0 where the present split is the best.",
            [Query(f"sum by (bound) ({gain})", "{{bound}}")],
            USD_PER_HOUR.but(none="no plan"),
            Place(12, 8),
            Look(between=("high", "low"), colours={"low": LOW, "expected": MIDDLE, "high": HIGH}),
        ),
        outcome.opportunities(SCOPE, Place(12, 8)),
    ]


BOARD: Final = Board(
    uid="orcha-overview",
    title="orcha / Overview",
    link="Overview",
    words="What all nodes earn, what a better split would bring, and whether the changes so far paid.",
    variables=("node", "policy"),
    marks=True,
    rows=(
        Row(None, [*now(), *earnings(), *places()]),
        Row("What could be better", [*better(), *gains()]),
        Row("Did it pay", outcome.paid(SCOPE)),
    ),
)
