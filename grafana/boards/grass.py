"""Grass: devices, their scores, and the points of the epoch. It has nothing to allocate."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards.workloads import NAMED, SMALL, health, listed, own, polled
from grafana.figures import BAD, COUNT, FROM_NOW, GOOD, NET, SECONDS, SHARE, WARN
from grafana.panels import Look, Place, graph, stats
from grafana.queries import Query, deduped, most
from grafana.sdk import dashboard

SCOPE: Final = own("grass")
SCORE: Final = SHARE.but(decimals=0, steps=((None, BAD), (0.3, WARN), (0.7, GOOD)))


def of(family: str, more: str = "") -> str:
    return SCOPE.of_workload(f"orcha_grass_{family}", more)


def now() -> list[dashboard.Panel]:
    """Points are what is earned; money only where the manifest says what a point is worth."""
    return [*numbers(), *lines()]


def numbers() -> list[dashboard.Panel]:
    points = deduped(SCOPE.of_workload("orcha_protocol_earnings_native_per_hour", 'token="points"'))
    net = SCOPE.recorded("workload:orcha_net_earnings_usd_per_hour:max")
    connected, known = deduped(of("devices_connected")), deduped(of("devices_known"))
    return [
        stats(
            "Points per hour",
            "Of the epoch once Grass shows them, estimated from devices before that.",
            [Query(f"sum({points})")],
            COUNT.but(decimals=1),
            SMALL,
        ),
        stats(
            "Net per hour",
            "After energy, where the manifest says what a point is worth.",
            [Query(f"sum({net})")],
            NET.but(none="not valued"),
            SMALL,
        ),
        stats(
            "Devices",
            "Connected now, and known to the account.",
            [Query(f"sum({connected})", "connected"), Query(f"sum({known})", "known")],
            COUNT,
            SMALL,
            names=True,
        ),
        *health(SCOPE),
    ]


def lines() -> list[dashboard.Panel]:
    return [
        graph(
            "Earnings in points",
            "In an hour, of the ten accounts that earn the most at the end of the time range.",
            [Query(most(SCOPE.of_workload("orcha_protocol_earnings_native_per_hour", 'token="points"')), NAMED)],
            COUNT.but(decimals=1, least=0.0, none="no points are known"),
            Place(14, 9),
            Look(stacked=True),
        ),
        graph(
            "Scores",
            "Network score over the connected devices: about 0 in data centres, where nothing is earned.",
            [Query(f"avg by (statistic) ({deduped(of('score_ratio'))})", "{{statistic}}")],
            SCORE,
            Place(10, 9),
            Look(line=True),
        ),
    ]


def figures() -> list[dashboard.Panel]:
    points = deduped(of("epoch_points"))
    place = Place(6, 4)
    return [
        stats(
            "Points of the epoch",
            "Settled by Grass, or estimated from devices until then.",
            [Query(f"sum by (kind) ({points})", "{{kind}}")],
            COUNT,
            place,
            names=True,
        ),
        stats(
            "Epoch ends",
            "When the newest epoch ends.",
            [Query(f"max({of('epoch_end_timestamp_seconds')}) * 1000")],
            FROM_NOW,
            place,
        ),
        stats(
            "Last connected",
            "When a device of the account that was away for the longest last connected.",
            [Query(f"min({of('last_connected_timestamp_seconds')}) * 1000")],
            FROM_NOW,
            place,
        ),
        stats(
            "Connected time",
            "Of the accounts, in all their life.",
            [Query(f"sum({deduped(of('uptime_seconds'))})")],
            SECONDS,
            place,
        ),
    ]


def courses() -> list[dashboard.Panel]:
    return [
        graph(
            "Scores by device",
            "Numbered in the order of their ids; the ten best at the end of the time range.",
            [Query(most(of("device_score_ratio")), f"{NAMED}: device {{{{device}}}}")],
            SCORE.but(none="no device is connected"),
            Place(12, 8),
        ),
        graph(
            "Points over time",
            "They begin anew with each epoch, every few days.",
            [Query(f"sum by (kind) ({deduped(of('epoch_points'))})", "{{kind}}")],
            COUNT.but(unit="short", decimals=None, least=0.0),
            Place(12, 8),
            Look(colours={"settled": GOOD, "estimated": WARN}),
        ),
    ]


BOARD: Final = Board(
    uid="orcha-grass",
    title="orcha / Grass",
    link="Grass",
    words="Grass accounts: devices, their scores and points. Points are no money unless the manifest values them.",
    variables=("node", "workload"),
    fixed="grass",
    rows=(Row(None, [*now(), listed(SCOPE)]), Row("Devices and points", [*figures(), *courses()]), polled(SCOPE)),
)
