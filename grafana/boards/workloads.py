"""What every workload has, whatever its protocol: the rows that all protocol dashboards share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from grafana.board import Row
from grafana.figures import (
    BAD,
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    COUNT,
    FROM_NOW,
    GOOD,
    NET,
    PER_HOUR,
    SECONDS,
    SHARE,
    TOKENS,
    UP,
    USD,
    USD_PER_HOUR,
    WARN,
    YES,
    Figure,
)
from grafana.panels import Look, Place, bars, graph, stats
from grafana.queries import Query, Scope, deduped, most, quantile, shown_per_hour
from grafana.sdk import dashboard
from grafana.tables import NODE, PROTOCOL, WORKLOAD, Column, rows

ANY: Final = Scope(node=True, protocol='=~"$protocol"', workload=True)
NAMED: Final = "{{node}} / {{workload}}"
BALANCES: Final = {
    "accrued": "#8AB8FF",
    "pending": "#5794F2",
    "held": "#FF9830",
    "at_risk": "#F2495C",
    "paid": "#73BF69",
}
RESOURCES: Final = {
    "cpu": ("Cores", "cpu_cores", CORES),
    "memory": ("Memory", "memory_bytes", BYTES),
    "storage": ("Storage", "storage_bytes", BYTES),
    "bandwidth": ("Bandwidth", "bandwidth_bytes_per_second", BYTES_PER_SECOND),
}


def own(protocol: str) -> Scope:
    """The scope of a protocol's own dashboard, which has no variable for it."""
    return replace(ANY, protocol=f'="{protocol}"')


def shared(scope: Scope) -> Row:
    """The first row: what they earn now, the course of it, and a list of them."""
    return Row(None, [*now(scope), *course(scope), listed(scope)])


def now(scope: Scope) -> list[dashboard.Panel]:
    gross, net = (scope.recorded(f"workload:orcha_{what}_usd_per_hour:max") for what in ("earnings", "net_earnings"))
    unpaid = deduped(scope.of_workload("orcha_protocol_balance_usd", 'kind=~"accrued|pending|held"'))
    return [
        stats("Net per hour", "After fees and energy, where they are known.", [Query(f"sum({net})")], NET, SMALL),
        stats(
            "Gross per hour",
            "What is credited now, by the newest readings.",
            [Query(f"sum({gross})")],
            USD_PER_HOUR,
            SMALL,
        ),
        stats("Not paid out yet", "Accrued, pending and held together.", [Query(f"sum({unpaid})")], USD, SMALL),
        *health(scope),
    ]


SMALL: Final = Place(4, 4)
WIDE: Final = 12
"""Letters of a title that do not fit into an equal share of a table with ten columns."""


def health(scope: Scope) -> list[dashboard.Panel]:
    up, well = scope.recorded("workload:orcha_up:max"), scope.recorded("workload:orcha_healthy:max")
    read = deduped(scope.of_workload("orcha_protocol_last_reading_timestamp_seconds"))
    return [
        stats(
            "Up",
            "Share of the workloads whose newest poll gave a reading.",
            [Query(f"avg({up})")],
            UP.but(decimals=0),
            SMALL,
        ),
        stats(
            "Healthy",
            "Share of the workloads that say that they are well and can earn.",
            [Query(f"avg({well})")],
            UP.but(decimals=0),
            SMALL,
        ),
        stats(
            "Oldest reading",
            "How old the oldest figures shown are: protocols are polled every half minute to every half hour.",
            [Query(f"time() - min({read})")],
            SECONDS.but(steps=((None, "text"), (5400.0, WARN), (21600.0, BAD))),
            SMALL,
        ),
    ]


def course(scope: Scope) -> list[dashboard.Panel]:
    earned = most(scope.recorded("workload:orcha_earnings_usd_per_hour:avg1h"))
    balance = deduped(scope.of_workload("orcha_protocol_balance_usd"))
    return [
        graph(
            "Earnings",
            "Gross, the mean of the hour before each point, of the ten that earn the most at the end of the time range.",
            [Query(earned, NAMED)],
            USD_PER_HOUR.but(least=0.0, none="no earnings are known"),
            Place(16, 9),
            Look(stacked=True, every="1m"),
        ),
        bars(
            "Balances",
            "Money by where it stands; paid is lifetime, at_risk is what may never be paid.",
            [Query(f"sum by (kind) ({balance})", "{{kind}}")],
            USD.but(none="no balance is known"),
            Place(8, 9),
            colours=BALANCES,
        ),
    ]


def listed(scope: Scope) -> dashboard.Panel:
    names = "node, workload, protocol"
    up, well = scope.recorded("workload:orcha_up:max"), scope.recorded("workload:orcha_healthy:max")
    gross, net = (scope.recorded(f"workload:orcha_{what}_usd_per_hour:max") for what in ("earnings", "net_earnings"))
    read = scope.of_workload("orcha_protocol_last_reading_timestamp_seconds")
    state = scope.of_workload("orcha_protocol_state")
    facts = scope.of_workload("orcha_protocol_info")
    payout = scope.of_workload("orcha_protocol_payout_expected_timestamp_seconds")
    return rows(
        "Workloads",
        "Every workload that is chosen, with what it says of itself. Net is after fees and energy.",
        [
            Query(f"max by ({names}) ({up})"),
            Query(f"max by ({names}) ({well})"),
            Query(f"max by ({names}, state) ({state} == 1)"),
            Query(f"max by ({names}) ({gross})"),
            Query(f"max by ({names}) ({net})"),
            Query(f"max by ({names}) ({read}) * 1000"),
            Query(f"max by ({names}, version) ({facts})"),
            Query(f"max by ({names}) ({payout}) * 1000"),
        ],
        [
            NODE,
            WORKLOAD,
            PROTOCOL,
            Column(field="A", title="Up", figure=YES, cell="color-text", width=70),
            Column(field="B", title="Healthy", figure=YES, cell="color-text", width=80),
            Column(field="state", title="State"),
            Column(field="D", title="Gross/h", figure=USD_PER_HOUR),
            Column(field="E", title="Net/h", figure=USD_PER_HOUR),
            Column(field="F", title="Read", figure=FROM_NOW),
            Column(field="H", title="Next payout", figure=FROM_NOW),
            Column(field="version", title="Version"),
        ],
        Place(24, 7),
        none="no such workload",
        sort="Gross/h",
    )


def resourced(scope: Scope, resources: Sequence[str], place: Place) -> list[dashboard.Panel]:
    """A graph of each."""
    return [_resource(scope, *RESOURCES[resource], place) for resource in resources]


def used(scope: Scope) -> list[dashboard.Panel]:
    """Of every resource, whichever there are: how much of it is used, and by whom."""
    has, uses = ("orcha_protocol_allocated", "orcha_protocol_used")

    def share(family: str) -> str:
        both = (deduped(scope.of_workload(f"{sense}_{family}")) for sense in (uses, has))
        return " / ".join(f"sum({each})" for each in both)

    def each(sense: str, family: str) -> Query:
        return Query(f"max by (node, workload) ({scope.of_workload(f'{sense}_{family}')})")

    kinds = RESOURCES.values()
    pairs = [(family, sense) for _, family, _ in kinds for sense in (has, uses)]
    titles = [f"{title}{words}" for title, _, _ in kinds for words in ("", " used")]
    figures = [figure for _, _, figure in kinds for _ in (has, uses)]
    columns = [
        Column(field=letter, title=title, figure=figure, width=118 if len(title) > WIDE else None)
        for letter, title, figure in zip("ABCDEFGH", titles, figures, strict=True)
    ]
    return [
        graph(
            "Used, of what is in effect",
            "Of all chosen workloads together, by resource; what a node does not tell is not in it.",
            [Query(share(family), title) for title, family, _ in kinds],
            SHARE.but(most=None, least=0.0, none="no node tells what is used"),
            Place(7, 8),
        ),
        rows(
            "In effect and used",
            "What each workload has of each resource, as its node reports it, and what it uses of it. An empty cell: not told.",
            [each(sense, family) for family, sense in pairs],
            [Column(field="node", title="Node"), Column(field="workload", title="Workload"), *columns],
            Place(17, 8),
            none="no node tells",
            sort="Node",
            ascending=True,
        ),
    ]


def _resource(scope: Scope, title: str, family: str, figure: Figure, place: Place) -> dashboard.Panel:
    senses = (("allocated", "in effect"), ("configured", "asked for"), ("used", "used"))
    queries = [
        Query(f"sum({deduped(scope.of_workload(f'orcha_protocol_{sense}_{family}'))})", words)
        for sense, words in senses
    ]
    return graph(
        title,
        "Of all chosen workloads together: what is in effect, what their configuration asks for where that differs, and "
        "what is used.",
        queries,
        figure.but(least=0.0, none="not told"),
        place,
        Look(dashed="asked for", colours={"in effect": "#5794F2", "asked for": "#8AB8FF", "used": "#FF9830"}),
    )


def polled(scope: Scope) -> Row:
    """The last row: what is earned in tokens, and how well the nodes answer."""
    native = scope.of_workload("orcha_protocol_earnings_native_per_hour")
    tokens = graph(
        "Earnings in tokens",
        "What is earned in the tokens themselves: a price that falls does not look like lost work.",
        [Query(f"sum by (token) ({deduped(native)})", "{{token}}")],
        TOKENS.but(unit="suffix:/h", decimals=4, none="nothing is earned in tokens"),
        QUARTER,
    )
    return Row("Readings", [tokens, *answers(scope)])


QUARTER: Final = Place(6, 8)


def answers(scope: Scope) -> list[dashboard.Panel]:
    failures = scope.of_workload("orcha_protocol_poll_failures_total")
    took = scope.of_workload("orcha_protocol_poll_duration_seconds_bucket")
    linked = scope.of_workload("orcha_protocol_connection_state")
    colours = {
        "connected": GOOD,
        "connecting": "#8AB8FF",
        "reconnecting": WARN,
        "disconnected": "#B877D9",
        "failed": BAD,
    }
    return [
        graph(
            "Connections",
            "Workloads by the state of their connection.",
            [Query(f"sum by (state) ({deduped(f'{linked} > 0')})", "{{state}}")],
            COUNT.but(least=0.0),
            QUARTER,
            Look(stacked=True, colours=colours),
        ),
        graph(
            "Polls that failed",
            "How often in an hour, by reason.",
            [Query(shown_per_hour(failures, "reason"), "{{reason}}")],
            PER_HOUR.but(decimals=1, least=0.0),
            QUARTER,
            Look(top=1.0, points=100),
        ),
        graph(
            "Duration of polls",
            "Half of the polls were faster than the lower line, 95 of 100 faster than the upper.",
            [Query(quantile(0.5, took), "50 %"), Query(quantile(0.95, took), "95 %")],
            SECONDS.but(decimals=2, least=0.0),
            QUARTER,
            Look(bridged=3.6e6, points=100),
        ),
    ]
