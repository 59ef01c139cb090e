"""Money of a time range, asked of Prometheus itself: each hour of it counts, once."""

from __future__ import annotations

import json
import subprocess

import pytest

from scripts._grafana import boards, filled, targets

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.timeout(120)]

DAY = 86400.0
REPORT = boards()["orcha-report"]
CHOSEN = {"node": ".+", "policy": ".+", "job": ".+", "instance": ".+"}
PLACE = 'node="rack-1",workload="storj",protocol="storj"'
SERIES = {
    'node:orcha_earnings_usd_per_hour:avg1h{node="rack-1"}': "2x",
    'node:orcha_net_earnings_usd_per_hour:avg1h{node="rack-1"}': "1x",
    f"workload:orcha_earnings_usd_per_hour:hourly{{{PLACE}}}": "2x",
    'node:orcha_up:avg{node="rack-1"}': "0.5x",
}
"""Name -> what it is at each whole hour."""
COUNTED = {
    "Net earned / A": 1.0,
    "Gross earned / A": 2.0,
    "Earned by protocol / A": 2.0,
    "Nodes / A": 2.0,
    "Nodes / B": 1.0,
    "Workloads / A": 2.0,
    "Hours with losses / A": 1.0,
}
"""Panel -> what it shows for each hour."""


@pytest.fixture
def shown(tool, tmp_path):
    """The one value of each of these expressions at a time, by promtool: it says what it got where that is not expected."""

    def ask(expressions, at):
        test = {
            "interval": "1h",
            "input_series": [{"series": name, "values": f"{each}100"} for name, each in SERIES.items()],
            "promql_expr_test": [
                {"expr": expr, "eval_time": f"{at:.0f}s", "exp_samples": [{"labels": labels, "value": value}]}
                for expr, labels, value in expressions
            ],
        }
        path = tmp_path / "hours.yaml"
        path.write_text(json.dumps({"evaluation_interval": "1h", "tests": [test]}))
        argv = [str(tool("prometheus") / "promtool"), "test", "rules", str(path)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)

    return ask


def labels_of(panel):
    return {
        "Earned by protocol / A": '{protocol="storj"}',
        "Nodes / A": '{node="rack-1"}',
        "Nodes / B": '{node="rack-1"}',
        "Workloads / A": f"{{{PLACE}}}",
    }.get(panel, "{}")


@pytest.mark.parametrize("late", [0.0, 1740.0], ids=["from hour to hour", "from half past to half past"])
@pytest.mark.parametrize("hours", [2, 24])
def test_each_hour_of_the_time_range_is_counted_once(shown, hours, late):
    asked = {target.name.removeprefix("orcha-report / "): target for target in targets(REPORT)}
    wanted = [
        (filled(asked[panel], CHOSEN, hours * 3600.0, 15.0)[0], labels_of(panel), each * hours)
        for panel, each in COUNTED.items()
    ]
    found = shown(wanted, 2 * DAY + late)
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_day_of_the_bars_has_24_hours_though_it_goes_from_midnight_to_midnight(shown):
    target = next(each for each in targets(REPORT) if each.panel == "Earned per day")
    expr, step = filled(target, CHOSEN, 7 * DAY, 15.0)
    assert step == DAY
    found = shown([(expr, '{protocol="storj"}', 48.0)], 2 * DAY)
    assert found.returncode == 0, found.stdout + found.stderr
