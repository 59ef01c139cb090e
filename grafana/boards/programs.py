"""What was decided and why, what was done and how it ended, how long it took, and whether it paid."""

from __future__ import annotations

from typing import Final

from grafana.board import Board, Row
from grafana.boards import outcome
from grafana.figures import ALARM, BAD, COUNT, EMPTY, FROM_NOW, GOOD, NEUTRAL, SECONDS, SHARE, USD, USD_PER_HOUR, WARN
from grafana.panels import Look, Place, bars, graph, stats
from grafana.queries import Query, Scope, counted, deduped, during, of_process
from grafana.sdk import dashboard
from grafana.tables import Column, rows

SCOPE: Final = Scope(policy=True)
RESULTS: Final = {"applied": GOOD, "rolled_back": BAD, "rejected": "#B877D9", "expired": WARN, "superseded": "#8AB8FF"}
STATES: Final = {"pending": WARN, "approved": "#8AB8FF", "running": "#5794F2", "blocked": BAD}
OVER: Final = SCOPE.of_policy("orcha_programs_total")
VERDICTS: Final = SCOPE.of_policy("orcha_verdicts_total")
NONE: Final = (("0", "none", NEUTRAL),)


def of(family: str, more: str = "") -> str:
    return deduped(SCOPE.of_policy(f"orcha_{family}", more))


def summary() -> list[dashboard.Panel]:
    waiting = SCOPE.of_policy("orcha_approvals_oldest_timestamp_seconds")
    coming = SCOPE.of_policy("orcha_next_change_timestamp_seconds")
    return [
        bars(
            "Programs by result",
            "Programs that were over within the time range, by how they ended.",
            [Query(during(OVER, "result"), "{{result}}")],
            COUNT,
            Place(8, 7),
            colours=RESULTS,
        ),
        bars(
            "Open programs",
            "Programs that are not over, by state. A blocked one waits for a person: orcha programs.",
            [Query(f"sum by (state) ({of('programs_open')})", "{{state}}")],
            COUNT,
            Place(6, 7),
            colours=STATES,
        ),
        stats(
            "Waits for approval since",
            "When the oldest program was proposed that waits for a person's word.",
            [Query(f"min({waiting}) * 1000")],
            FROM_NOW.but(none="nothing waits"),
            Place(5, 7),
        ),
        stats(
            "Next possible change",
            "The earliest time at which orcha may begin a program, as holds, windows and the hourly limit tell.",
            [Query(f"clamp_min(min({coming}), time()) * 1000")],
            FROM_NOW.but(none="not by itself"),
            Place(5, 7),
        ),
    ]


def plans() -> dashboard.Panel:
    def per(expr: str, more: str = "") -> Query:
        return Query(f"max by (policy{more}) ({expr})")

    return rows(
        "Policies",
        "The newest plan of each: how it was made, how sure it is, what it costs and brings. A circuit is open where too many "
        "workloads are unhealthy or unread for any move.",
        [
            per(f"{of('policy_mode')} == 1", ", mode"),
            per(f"{of('plan_timestamp_seconds')} * 1000"),
            per(of("plan_solver_info"), ", solver, why"),
            per(of("plan_gain_usd_per_hour", 'bound="expected"')),
            per(of("plan_cost_usd")),
            per(of("plan_roi_ratio")),
            per(of("plan_confidence_ratio")),
            per(of("circuit_open")),
        ],
        [
            Column(field="policy", title="Policy"),
            Column(field="mode", title="Mode", width=90),
            Column(field="B", title="Made", figure=FROM_NOW),
            Column(field="solver", title="Solver"),
            Column(field="why", title="Why"),
            Column(field="D", title="Gain/h", figure=USD_PER_HOUR),
            Column(field="E", title="Cost", figure=USD.but(decimals=4)),
            Column(field="F", title="Brings per dollar", figure=COUNT.but(decimals=1)),
            Column(field="G", title="Confidence", figure=SHARE.but(decimals=0), cell="gauge"),
            Column(field="H", title="Circuit open", figure=ALARM, cell="color-text", width=110),
        ],
        Place(24, 5),
        none="no policy is in force",
        sort="Policy",
        ascending=True,
    )


def verdicts() -> list[dashboard.Panel]:
    ranked = f"topk(10, sum by (reason) (increase({VERDICTS}[$__range] @ end())) > 0)"
    return [
        graph(
            "Verdicts by reason",
            "Moves judged in each hour, or in each bar over long times: the ten reasons that were the most frequent.",
            [Query(f"{counted(VERDICTS, 'reason')} and {ranked}", "{{reason}}")],
            COUNT.but(least=0.0, none="nothing was judged"),
            Place(16, 9),
            Look(beside=True, bars=True, stacked=True, every="1h", colours={"Allowed": GOOD, "LowGain": "#5794F2"}),
        ),
        rows(
            "Verdicts",
            "Moves judged within the time range, by reason.",
            [Query(f"{during(VERDICTS, 'reason')} > 0")],
            [Column(field="reason", title="Reason"), Column(field="A", title="Moves", figure=COUNT)],
            Place(8, 9),
            none="nothing was judged",
            sort="Moves",
        ),
    ]


def done() -> list[dashboard.Panel]:
    steps = of_process("orcha_steps_total")
    return [
        graph(
            "Programs by result",
            "Programs that ended in each hour, or in each bar over long times, by how.",
            [Query(counted(OVER, "result"), "{{result}}")],
            COUNT.but(least=0.0),
            Place(8, 8),
            Look(colours=RESULTS, bars=True, stacked=True, every="1h"),
        ),
        graph(
            "Open programs",
            "Programs that are not over, by state.",
            [Query(f"sum by (state) ({of('programs_open')})", "{{state}}")],
            COUNT.but(least=0.0),
            Place(8, 8),
            Look(stacked=True, stepped=True, colours=STATES),
        ),
        rows(
            "Steps by driver",
            "Steps of programs within the time range: forward makes the change, verify asks whether it is there, backward "
            "takes it back.",
            [Query(f"{during(steps, 'driver, direction, result')} > 0")],
            [
                Column(field="driver", title="Driver"),
                Column(field="direction", title="Direction"),
                Column(field="result", title="Result", cell="color-text", figure=_OUTCOME),
                Column(field="A", title="Steps", figure=COUNT),
            ],
            Place(8, 8),
            none="no step was taken",
            sort="Steps",
        ),
        *durations(),
    ]


_OUTCOME: Final = COUNT.but(
    unit="string",
    decimals=None,
    words=(("done", "done", GOOD), ("failed", "failed", BAD), ("refused", "refused", WARN)),
)


def durations() -> list[dashboard.Panel]:
    figure = SECONDS.but(words=EMPTY, none="none")
    times = (
        ("Duration of programs", "From the begin of a program to its end", "orcha_program_duration_seconds_bucket"),
        ("Wait for approval", "How long programs waited for a person's word", "orcha_approval_wait_seconds_bucket"),
    )
    return [
        stats(
            title,
            f"{words}, of those within the time range: half of them took less than the first, nine of ten less than the other.",
            [
                Query(f"histogram_quantile({share}, sum by (le) (increase({SCOPE.of_policy(family)}[$__range])))", name)
                for share, name in ((0.5, "half"), (0.9, "nine of ten"))
            ],
            figure,
            Place(6, 5),
            names=True,
        )
        for title, words, family in times
    ] + [
        stats(
            "Paused",
            "Whether a person has paused a policy or all of them.",
            [Query(f"max({of_process('orcha_paused')})")],
            ALARM.but(words=(("0", "no", NEUTRAL), ("1", "yes", WARN))),
            Place(6, 5),
        ),
        stats(
            "Taken back",
            "Programs rolled back within the time range, over those that changed something.",
            [Query(_SHARE_BACK)],
            SHARE.but(decimals=0, words=EMPTY, none="none", steps=((None, GOOD), (0.05, WARN), (0.2, BAD))),
            Place(6, 5),
        ),
    ]


_BACK: Final = SCOPE.of_policy("orcha_programs_total", 'result="rolled_back"')
_BEGUN: Final = SCOPE.of_policy("orcha_programs_total", 'result=~"applied|rolled_back"')
_SHARE_BACK: Final = f"sum(increase({_BACK}[$__range])) / sum(increase({_BEGUN}[$__range]))"


def promised() -> list[dashboard.Panel]:
    expected = SCOPE.recorded("policy:orcha_plan_gain_usd_per_hour:expected")
    return [
        graph(
            "Realised and promised",
            "Mean gain of the programs judged in the 7 days before (solid), and what the newest plan promises (dashed).",
            [Query(of("realized_gain_usd_per_hour"), "{{policy}} realised"), Query(expected, "{{policy}} promised")],
            USD_PER_HOUR.but(none="nothing judged"),
            Place(12, 8),
            Look(dashed="promised$"),
        ),
        graph(
            "How good forecasts were",
            "Of the programs judged in the 7 days before each point: how far gains were off, in how many of them the gain "
            "lay in the promised interval, and how many paid.",
            [
                Query(of("forecast_error_ratio"), "{{policy}} error"),
                Query(of("interval_coverage_ratio"), "{{policy}} coverage"),
                Query(of("program_success_ratio"), "{{policy}} paid"),
            ],
            SHARE.but(decimals=0, most=None, none="nothing judged"),
            Place(12, 8),
        ),
    ]


BOARD: Final = Board(
    uid="orcha-programs",
    title="orcha / Decisions and programs",
    link="Decisions",
    words="What was decided and why, what was done and how it ended, how long it took, and whether it paid.",
    variables=("policy",),
    since="now-7d",
    rows=(
        Row(None, [*summary(), plans()]),
        Row("Decisions", verdicts()),
        Row("Programs", done()),
        Row("Did it pay", [*outcome.paid(SCOPE), *promised()]),
    ),
)
