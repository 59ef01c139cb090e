"""Streamr: the stake among others' stakes, what the sponsorship pays and for how long, what is uncollected, and the node."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards.workloads import NAMED, own, polled, shared
from grafana.figures import ALARM, BAD, COUNT, FROM_NOW, GOOD, SECONDS, SHARE, TOKENS, WARN, YES
from grafana.panels import Look, Place, gauges, graph, stats
from grafana.queries import DAY, Query, deduped, most
from grafana.sdk import dashboard
from grafana.tables import Column, rows

SCOPE: Final = own("streamr")
DATA: Final = TOKENS.but(unit="locale", decimals=0)
"""Tokens; that they are DATA is in the titles."""
NAMES: Final = "node, workload"


def of(family: str, more: str = "") -> str:
    return SCOPE.of_workload(f"orcha_streamr_{family}", more)


def per(family: str) -> Query:
    return Query(f"max by ({NAMES}) ({of(family)})")


def sponsorships() -> list[dashboard.Panel]:
    return [*listed(), *stakes()]


def listed() -> list[dashboard.Panel]:
    return [
        rows(
            "Sponsorships",
            "Each workload is one stake in one sponsorship. What it pays is shared in proportion to the stakes. "
            "Running stays yes when the money is gone; funded does not. All amounts are in DATA.",
            [
                per("stake_data"),
                per("others_stake_data"),
                Query(f"max by ({NAMES}) ({of('payout_data_per_second')}) * {DAY}"),
                per("running"),
                per("funded"),
                Query(f"max by ({NAMES}) ({of('solvent_until_timestamp_seconds')}) * 1000"),
                per("operators"),
                per("leave_penalty_data"),
                per("flagged"),
            ],
            [
                Column(field="node", title="Node"),
                Column(field="workload", title="Workload"),
                Column(field="A", title="Own stake", figure=DATA),
                Column(field="B", title="Others' stake", figure=DATA),
                Column(field="C", title="Pays a day", figure=DATA.but(decimals=1)),
                Column(field="D", title="Running", figure=YES, cell="color-text", width=80),
                Column(field="E", title="Funded", figure=YES, cell="color-text", width=75),
                Column(field="F", title="Money ends", figure=FROM_NOW),
                Column(field="G", title="Operators", figure=COUNT, width=90),
                Column(field="H", title="Leaving costs", figure=DATA),
                Column(field="I", title="Flagged", figure=ALARM, cell="color-text", width=75),
            ],
            Place(24, 7),
            none="no stake is read",
            sort="Own stake",
        ),
    ]


def stakes() -> list[dashboard.Panel]:
    return [
        graph(
            "Own stakes (DATA)",
            "Staked minus slashed; the ten largest at the end of the time range.",
            [Query(most(of("stake_data")), NAMED)],
            DATA.but(unit="short", decimals=None, least=0.0),
            Place(8, 8),
            Look(stacked=True, stepped=True),
        ),
        graph(
            "Share of the pool",
            "Own stake over all stakes of the sponsorship: its share of what is paid. It falls when others join.",
            [
                Query(
                    f"{deduped(of('stake_data'))} / ({deduped(of('stake_data'))} + {deduped(of('others_stake_data'))})",
                    NAMED,
                )
            ],
            SHARE.but(decimals=2, most=None),
            Place(8, 8),
        ),
        graph(
            "What sponsorships pay (DATA)",
            "To all operators together, in DATA per day, while they run and are funded.",
            [Query(f"{most(of('payout_data_per_second'))} * {DAY}", NAMED)],
            DATA.but(unit="short", decimals=None, least=0.0),
            Place(8, 8),
            Look(stepped=True),
        ),
    ]


def money() -> list[dashboard.Panel]:
    return [*uncollected(), *of_the_operator()]


def uncollected() -> list[dashboard.Panel]:
    uncollected, limit = (deduped(of(what)) for what in ("operator_uncollected_data", "earnings_limit_data"))
    queue = deduped(of("queue_data"))
    return [
        gauges(
            "Uncollected, of the limit",
            "Earnings that wait, over what they may reach: above the limit anyone may withdraw them and keep a quarter.",
            [Query(f"max({uncollected} / {limit})")],
            SHARE.but(decimals=0, steps=((None, GOOD), (0.6, WARN), (0.9, BAD))),
            Place(6, 8),
        ),
        graph(
            "Uncollected (DATA)",
            "Earned since the last withdrawal, before the protocol's fee, and the limit of the operator.",
            [Query(most(of("uncollected_data")), NAMED), Query(f"min({limit})", "limit of the operator")],
            DATA.but(unit="short", decimals=1, least=0.0),
            Place(10, 8),
            Look(dashed="limit of the operator", colours={"limit of the operator": BAD}),
        ),
        graph(
            "Queue of delegators (DATA)",
            "What delegators wait for: while it is not empty staking is refused, and freed stake goes to them first.",
            [Query(f"max({queue})", "waiting"), Query(f"max({deduped(of('free_data'))})", "free tokens")],
            DATA.but(unit="short", decimals=0, least=0.0),
            Place(8, 8),
            Look(stepped=True),
        ),
    ]


def of_the_operator() -> list[dashboard.Panel]:
    small = Place(4, 4)
    return [
        stats(
            "Operator's value (DATA)",
            "Stake and free tokens.",
            [Query(f"max({of('operator_value_data')})")],
            DATA,
            small,
        ),
        stats(
            "Collected (DATA)",
            "Withdrawn in its life, net of the protocol's fee.",
            [Query(f"max({of('collected_data')})")],
            DATA,
            small,
        ),
        stats(
            "Owner's cut",
            "Of what is left after the protocol's fee.",
            [Query(f"max({of('operator_cut_ratio')})")],
            SHARE,
            small,
        ),
        stats("Owner's share", "Of the operator tokens.", [Query(f"max({of('owner_share_ratio')})")], SHARE, small),
        stats("Protocol's fee", "Its part of earnings.", [Query(f"max({of('protocol_fee_ratio')})")], SHARE, small),
        stats(
            "Slashed",
            "How often the operator was slashed.",
            [Query(f"max({of('slashings')})")],
            COUNT.but(steps=((None, GOOD), (1.0, BAD))),
            small,
        ),
    ]


def nodes() -> list[dashboard.Panel]:
    return [*reach(), *reads()]


def reach() -> list[dashboard.Panel]:
    place = Place(4, 4)
    return [
        stats(
            "Reachable",
            "Whether every node accepts incoming connections.",
            [Query(f"min({of('node_reachable')})")],
            YES,
            place,
        ),
        stats(
            "Gas",
            "The least that a node's wallet has of the chain's own token (POL), which its transactions cost.",
            [Query(f"min({of('least_node_gas_tokens')})")],
            TOKENS.but(unit="suffix:POL", decimals=3, steps=((None, BAD), (0.1, WARN), (0.5, GOOD))),
            place,
        ),
        stats(
            "Heartbeat",
            "When the fleet's leader last wrote to the chain.",
            [Query(f"min({of('heartbeat_timestamp_seconds')}) * 1000")],
            FROM_NOW,
            place,
        ),
        stats("Nodes", "Nodes that the operator contract names.", [Query(f"max({of('fleet_nodes')})")], COUNT, place),
        stats(
            "Connections",
            "Open peer-to-peer connections of the nodes.",
            [Query(f"sum({deduped(of('node_connections'))})")],
            COUNT,
            place,
        ),
        stats(
            "Sources down",
            "A node's own page or the subgraph that gave no answer; the money stands on the chain all the same.",
            [Query(f"sum(1 - {deduped(of('source_up'))})")],
            COUNT.but(steps=((None, GOOD), (1.0, WARN)), none="none is asked"),
            place,
        ),
    ]


def reads() -> list[dashboard.Panel]:
    return [
        graph(
            "Stream partitions",
            "Those that the nodes serve, those of the own sponsorships, and those with fewer than four neighbours.",
            [
                Query(f"sum({deduped(of('node_stream_parts'))})", "served"),
                Query(f"sum({deduped(of('node_stream_parts_of_sponsorship'))})", "of the sponsorship"),
                Query(f"sum({deduped(of('node_thin_stream_parts'))})", "thin"),
            ],
            COUNT.but(least=0.0, none="the node is not asked"),
            Place(12, 7),
            Look(colours={"thin": WARN, "served": "#5794F2", "of the sponsorship": "#B877D9"}),
        ),
        stats(
            "Age of what is read",
            "How far the newest block of the endpoint and of the subgraph lie back; they are asked every 5 minutes.",
            [
                Query(f"time() - min({of('block_timestamp_seconds')})", "endpoint"),
                Query(f"time() - min({of('subgraph_block_timestamp_seconds')})", "subgraph"),
            ],
            SECONDS.but(steps=((None, "text"), (3600.0, WARN))),
            Place(12, 7),
            names=True,
        ),
    ]


BOARD: Final = Board(
    uid="orcha-streamr",
    title="orcha / Streamr",
    link="Streamr",
    words="Streamr operators: stakes, what sponsorships pay and for how long, what is uncollected, and the nodes.",
    variables=("node", "workload"),
    fixed="streamr",
    rows=(
        shared(SCOPE),
        Row("Stakes", sponsorships()),
        Row("Money of the operator", money()),
        Row("Nodes and sources", nodes()),
        polled(SCOPE),
    ),
)
