"""Storj: what satellites think of a node, what its disk holds, its traffic, and what it is paid.

The node's figures of a month begin anew on the 1st, UTC, and its disk is counted by it once an hour or less, so that a rate of
them is taken over hours.
"""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards.workloads import NAMED, own, polled, resourced, shared
from grafana.figures import ALARM, BAD, BYTES, FROM_NOW, GOOD, SHARE, USD, WARN, YES
from grafana.panels import FEW, Look, Place, bars, graph, stats
from grafana.queries import Query, deduped, least
from grafana.sdk import dashboard
from grafana.tables import Column, rows

SCOPE: Final = own("storj")
MOVED: Final = SCOPE.recorded("workload:orcha_storj_month_traffic_bytes:sum")
AUDIT: Final = SHARE.but(steps=((None, BAD), (0.96, WARN), (0.98, GOOD)), decimals=2)
ONLINE: Final = SHARE.but(steps=((None, BAD), (0.6, WARN), (0.95, GOOD)), decimals=2)
EARNED: Final = {"storage": "#5794F2", "egress": "#73BF69", "repair_audit": "#FF9830"}
DISK: Final = {"stored": "#5794F2", "trash": "#FF9830", "reclaimable": "#F2CC0C", "free": "#73BF69"}


def of(family: str, more: str = "") -> str:
    return SCOPE.of_workload(f"orcha_storj_{family}", more)


def scores() -> list[dashboard.Panel]:
    return [*satellites(), *score_lines()]


def satellites() -> list[dashboard.Panel]:
    names = "node, workload, satellite"
    return [
        rows(
            "Satellites",
            "What each satellite thinks of each node. Disqualified below an audit score of 96 %, suspended below a "
            "suspension or online score of 60 %. Held is the share of the earnings that is kept back now.",
            [
                Query(f"min by ({names}) ({of(family)})")
                for family in (
                    "audit_score",
                    "suspension_score",
                    "online_score",
                    "disqualified",
                    "suspended",
                    "vetted",
                    "held_ratio",
                    "stored_bytes",
                )
            ],
            [
                Column(field="node", title="Node"),
                Column(field="workload", title="Workload"),
                Column(field="satellite", title="Satellite"),
                Column(field="A", title="Audit", figure=AUDIT, cell="color-text", width=90),
                Column(field="B", title="Suspension", figure=ONLINE, cell="color-text", width=100),
                Column(field="C", title="Online", figure=ONLINE, cell="color-text", width=90),
                Column(field="D", title="Disqualified", figure=ALARM, cell="color-text", width=105),
                Column(field="E", title="Suspended", figure=ALARM, cell="color-text", width=95),
                Column(field="F", title="Vetted", figure=YES.but(words=_VETTED), cell="color-text", width=70),
                Column(field="G", title="Held", figure=SHARE.but(decimals=0), width=70),
                Column(field="H", title="Stored", figure=BYTES, width=90),
            ],
            Place(24, 9),
            none="no satellite is known",
            sort="Audit",
            ascending=True,
        ),
    ]


def score_lines() -> list[dashboard.Panel]:
    return [
        *(
            graph(
                title,
                f"{words} The six lowest at the end of the time range.",
                [Query(least(of(family), 6), f"{NAMED}: {{{{satellite}}}}")],
                figure.but(least=None, none="no score is known"),
                Place(8, 8),
                Look(line=True, soft=0.9),
            )
            for title, words, family, figure in (
                ("Audit scores", "Share of audits passed; below 96 % for good out.", "audit_score", AUDIT),
                ("Suspension scores", "Share of audits without an unknown error.", "suspension_score", ONLINE),
                ("Online scores", "Share of audit windows online; lags by 12 hours.", "online_score", ONLINE),
            )
        ),
    ]


_VETTED: Final = (("0", "not yet", WARN), ("1", "yes", GOOD))


def disk() -> list[dashboard.Panel]:
    place = Place(8, 9)
    return [
        *resourced(SCOPE, ("storage",), place),
        graph(
            "Disk by kind",
            "Of all chosen nodes: stored is paid for, trash and reclaimable are not.",
            [Query(f"sum by (kind) ({deduped(of('disk_bytes'))})", "{{kind}}")],
            BYTES.but(least=0.0),
            place,
            Look(stacked=True, colours=DISK),
        ),
        graph(
            "Traffic of the month",
            "Bytes since the 1st, UTC, by direction and kind; they begin anew with each month.",
            [Query(f"sum by (direction, kind) ({MOVED})", "{{direction}} {{kind}}")],
            BYTES.but(least=0.0),
            place,
            Look(stacked=True, points=FEW),
        ),
    ]


def pay() -> list[dashboard.Panel]:
    place = Place(4, 6)

    def total(family: str) -> list[Query]:
        return [Query(f"sum({deduped(of(family))})")]

    return [
        bars(
            "Earned this month by kind",
            "Gross since the 1st, UTC, as the nodes estimate it.",
            [Query(f"sum by (kind) ({deduped(of('month_earned_usd'))})", "{{kind}}")],
            USD.but(none="no estimate yet"),
            Place(8, 6),
            colours=EARNED,
        ),
        stats(
            "Payout so far", "Of this month, what is left after held amounts.", total("month_payout_usd"), USD, place
        ),
        stats(
            "Held so far",
            "Of this month, what is held back until the node leaves.",
            total("month_held_usd"),
            USD,
            place,
        ),
        stats(
            "Payout expected",
            "Of the whole month if it goes on so; wild in its first hours.",
            total("month_expected_usd"),
            USD,
            place,
        ),
        stats(
            "Used beyond allocation",
            "A node keeps what it has when its allocation shrinks, and gives it up as customers delete.",
            total("disk_overused_bytes"),
            BYTES.but(steps=((None, GOOD), (1.0, WARN))),
            place,
        ),
    ]


def state() -> list[dashboard.Panel]:
    return [*nodes(), *prices()]


def nodes() -> list[dashboard.Panel]:
    names = "node, workload"
    return [
        rows(
            "Nodes",
            "Whether the version is accepted, reachability and age. A version that satellites no longer accept earns nothing.",
            [
                Query(f"min by ({names}) ({of('up_to_date')})"),
                Query(f"max by ({names}) ({of('started_timestamp_seconds')}) * 1000"),
                Query(f"max by ({names}) ({of('last_pinged_timestamp_seconds')}) * 1000"),
                Query(f"min by ({names}) ({of('joined_timestamp_seconds')}) * 1000"),
                Query(f"max by ({names}, allowed_version, quic_status) ({of('node_info')})"),
            ],
            [
                Column(field="node", title="Node"),
                Column(field="workload", title="Workload"),
                Column(field="A", title="Accepted", figure=YES, cell="color-text"),
                Column(field="allowed_version", title="Least version"),
                Column(field="quic_status", title="QUIC"),
                Column(field="B", title="Started", figure=FROM_NOW),
                Column(field="C", title="Pinged", figure=FROM_NOW),
                Column(field="D", title="Joined", figure=FROM_NOW),
            ],
            Place(16, 7),
            none="no node is read",
            sort="Node",
            ascending=True,
        ),
    ]


def prices() -> list[dashboard.Panel]:
    return [
        rows(
            "Prices",
            "What satellites publish for storage, for a month of 720 hours, and for egress of what customers download.",
            [
                Query(f"max by (satellite) ({of('storage_price_usd_per_byte_hour')}) * 1e12 * 720"),
                Query(f"max by (satellite) ({of('egress_price_usd_per_byte', _EGRESS)}) * 1e12"),
            ],
            [
                Column(field="satellite", title="Satellite"),
                Column(field="A", title="TB and month", figure=USD),
                Column(field="B", title="TB of egress", figure=USD),
            ],
            Place(8, 7),
            none="no price is known",
            sort="Satellite",
            ascending=True,
        ),
    ]


_EGRESS: Final = 'kind="usage"'
BOARD: Final = Board(
    uid="orcha-storj",
    title="orcha / Storj",
    link="Storj",
    words="Storage nodes: what satellites think of them, what their disks hold, their traffic, and what they are paid.",
    variables=("node", "workload"),
    fixed="storj",
    rows=(
        shared(SCOPE),
        Row("Scores", scores()),
        Row("Disk and traffic", disk()),
        Row("This month", pay()),
        Row("Nodes and prices", state()),
        polled(SCOPE),
    ),
)
