"""Whether orcha itself is well: the loop, polls, prices, manifests, its state, and the error budgets."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.figures import ALARM, BAD, COUNT, FROM_NOW, GOOD, NEUTRAL, PER_HOUR, SECONDS, SHARE, USD_PRECISE, WARN, YES
from grafana.panels import Look, Place, graph, stats
from grafana.queries import Query, deduped, of_process, per_hour, quantile
from grafana.sdk import dashboard
from grafana.tables import Column, rows

TOOK: Final = of_process("orcha_reconcile_duration_seconds_bucket")
ROUNDS: Final = of_process("orcha_reconcile_duration_seconds_count", 'step="observe"')
BEAT: Final = of_process("orcha_reconcile_last_success_timestamp_seconds")
AGE: Final = SECONDS.but(steps=((None, GOOD), (120.0, WARN), (600.0, BAD)))
NAMED: Final = "{{job}} {{instance}}"
WINDOWS: Final = ("5m", "1h", "6h", "3d")


def summary() -> list[dashboard.Panel]:
    return [*of_the_loop(), *of_what_it_keeps()]


def of_the_loop() -> list[dashboard.Panel]:
    place = Place(4, 4)
    return [
        stats(
            "Loop went round",
            "How long ago the loop last went round: the newest.",
            [Query(f"time() - max({BEAT})")],
            AGE,
            place,
        ),
        stats(
            "Leaders",
            "Controllers that may act: one, as long as all is well.",
            [Query(f"sum({of_process('orcha_leader')})")],
            COUNT.but(steps=((None, BAD), (1.0, GOOD), (2.0, BAD))),
            place,
        ),
        stats(
            "Manifests in force",
            "Whether the newest manifests are in force; no: they were refused, and the last good ones hold.",
            [Query(f"min({of_process('orcha_manifest_reload_success')})")],
            YES,
            place,
        ),
    ]


def of_what_it_keeps() -> list[dashboard.Panel]:
    place = Place(4, 4)
    return [
        stats(
            "State is written",
            "Whether the last write to the state succeeded; no: it is kept and tried again.",
            [Query(f"min({of_process('orcha_state_write_success')})")],
            YES,
            place,
        ),
        stats(
            "Paused",
            "Whether a person has paused a policy or all of them.",
            [Query(f"max({of_process('orcha_paused')})")],
            ALARM.but(words=(("0", "no", NEUTRAL), ("1", "yes", WARN))),
            place,
        ),
        stats(
            "Oldest token price",
            "How old the oldest price of a token is, of those that are asked for; prices that manifests set have no age.",
            [Query(f"time() - min({deduped(of_process('orcha_token_price_timestamp_seconds', _ASKED))})")],
            SECONDS.but(steps=((None, GOOD), (3600.0, WARN), (21600.0, BAD)), none="no price is asked for"),
            place,
        ),
    ]


_ASKED: Final = 'source!="static"'


def loop() -> list[dashboard.Panel]:
    return [
        graph(
            "Duration of steps",
            "95 of 100 rounds were faster, step by step.",
            [Query(quantile(0.95, TOOK, "step"), "{{step}}")],
            SECONDS.but(decimals=1, least=0.0, none="the loop does not run"),
            Place(12, 9),
            Look(beside=True),
        ),
        graph(
            "Since the loop went round",
            "How long ago it last did, at each point: a saw whose teeth are as long as the interval of the loop.",
            [Query(f"time() - {BEAT}", NAMED)],
            AGE.but(least=0.0),
            Place(6, 9),
        ),
        graph(
            "Rounds",
            "How often the loop goes round, in an hour.",
            [Query(per_hour(ROUNDS, "job, instance"), NAMED)],
            PER_HOUR.but(decimals=0, least=0.0),
            Place(6, 9),
        ),
    ]


def readings() -> list[dashboard.Panel]:
    took = of_process("orcha_protocol_poll_duration_seconds_bucket")
    failed = of_process("orcha_protocol_poll_failures_total")
    return [
        graph(
            "Duration of polls",
            "95 of 100 polls were faster, by protocol.",
            [Query(quantile(0.95, took, "protocol"), "{{protocol}}")],
            SECONDS.but(decimals=2, least=0.0),
            Place(8, 8),
            Look(bridged=3.6e6, points=100),
        ),
        graph(
            "Polls that failed",
            "How often in an hour, by reason, of all processes together.",
            [Query(per_hour(failed, "reason"), "{{reason}}")],
            PER_HOUR.but(decimals=1, least=0.0),
            Place(8, 8),
            Look(top=1.0, points=100),
        ),
        rows(
            "Token prices",
            "What one token costs, who says so, and of when that is. Prices that manifests set never change.",
            [
                Query(f"max by (token, source) ({of_process('orcha_token_price_usd')})"),
                Query(f"max by (token, source) ({of_process('orcha_token_price_timestamp_seconds')}) * 1000"),
            ],
            [
                Column(field="token", title="Token"),
                Column(field="source", title="Source"),
                Column(field="A", title="Price", figure=USD_PRECISE),
                Column(field="B", title="Of", figure=FROM_NOW, width=130),
            ],
            Place(8, 8),
            none="no token has a price",
            sort="Token",
            ascending=True,
        ),
    ]


def processes() -> list[dashboard.Panel]:
    return [*each(), *over_time()]


def each() -> list[dashboard.Panel]:
    names = "job, instance"
    return [
        rows(
            "Controllers",
            "Each controller that is scraped: its version, whether it leads, and whether its manifests and its state are well.",
            [
                Query(f"max by ({names}, version, revision, python) ({of_process('orcha_build_info')})"),
                Query(f"max by ({names}) ({of_process('orcha_leader')})"),
                Query(f"max by ({names}) ({of_process('orcha_manifest_reload_success')})"),
                Query(f"max by ({names}) ({of_process('orcha_manifest_reload_timestamp_seconds')}) * 1000"),
                Query(f"max by ({names}) ({of_process('orcha_state_write_success')})"),
                Query(f"max by ({names}) ({BEAT}) * 1000"),
                Query(f"max by ({names}, sha256) ({of_process('orcha_manifest_info')})"),
            ],
            [
                Column(field="job", title="Job"),
                Column(field="instance", title="Instance"),
                Column(field="version", title="Version", width=90),
                Column(field="revision", title="Revision", width=100),
                Column(field="python", title="Python", width=90),
                Column(field="B", title="Leads", figure=YES.but(words=_LEADS), cell="color-text", width=80),
                Column(field="C", title="Manifests", figure=YES, cell="color-text", width=90),
                Column(field="D", title="In force since", figure=FROM_NOW),
                Column(field="E", title="State", figure=YES, cell="color-text", width=80),
                Column(field="F", title="Went round", figure=FROM_NOW),
                Column(field="sha256", title="Manifests' hash", width=140),
            ],
            Place(24, 6),
            none="no controller is scraped",
            sort="Instance",
            ascending=True,
        ),
    ]


def over_time() -> list[dashboard.Panel]:
    return [
        graph(
            "Leader",
            "Who led, over time: two at once must not be.",
            [Query(of_process("orcha_leader"), NAMED)],
            COUNT.but(least=0.0, most=1.0, words=_LEADS),
            Place(12, 7),
            Look(stepped=True),
        ),
        graph(
            "Manifests and state",
            "1 where all is well: the newest manifests are in force, the last write to the state succeeded.",
            [
                Query(f"min({of_process('orcha_manifest_reload_success')})", "manifests"),
                Query(f"min({of_process('orcha_state_write_success')})", "state"),
            ],
            COUNT.but(least=0.0, most=1.0, words=YES.words),
            Place(12, 7),
            Look(stepped=True),
        ),
    ]


_LEADS: Final = (("0", "no", NEUTRAL), ("1", "yes", GOOD))


def budgets() -> list[dashboard.Panel]:
    kinds = (
        ("Earnings not measured", "earnings_unmeasured", "Share of the workloads of which nothing was measured"),
        ("Loop stuck", "loop_stuck", "Share of the time in which the loop did not go round"),
    )
    return [
        graph(
            title,
            f"{words}, over windows of different lengths: an alert fires where a short and a long one are both too high.",
            [Query(f"max(orcha:{series}:ratio{window})", window) for window in WINDOWS],
            SHARE.but(decimals=2, most=None, none="not recorded yet"),
            Place(12, 8),
        )
        for title, series, words in kinds
    ]


BOARD: Final = Board(
    uid="orcha-controller",
    title="orcha / Controller health",
    link="Controller",
    words="Whether orcha itself is well: the loop, its readings, token prices, manifests, its state, and the error budgets.",
    rows=(
        Row(None, [*summary(), *loop()]),
        Row("Readings and prices", readings()),
        Row("Processes", processes()),
        Row("Error budgets", budgets()),
    ),
)
