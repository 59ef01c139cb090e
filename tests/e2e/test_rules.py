"""The rules on a real Prometheus that scrapes a real controller and exporter: they are evaluated, and say what is there."""

from __future__ import annotations

import json
import urllib.parse

import pytest

from scripts import rules
from tests.e2e.programs import get, until
from tests.e2e.test_prometheus import both  # noqa: F401 the fixture: a controller and an exporter on the simulated world

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yaml"]
scrape_configs:
  - {{job_name: orcha, static_configs: [{{targets: ["127.0.0.1:{controller}"], labels: {{cluster: home}}}}]}}
  - {{job_name: orcha-exporter, static_configs: [{{targets: ["127.0.0.1:{exporter}"], labels: {{cluster: home}}}}]}}
"""
HOURLY = "workload:orcha_earnings_usd_per_hour:hourly"
NOT_YET = {
    "workload:orcha_earnings_usd_per_hour:avg7d_same_hour": "needs a day of history",
    "workload:orcha_earnings_usd_per_hour:count7d_same_hour": "needs a day of history",
    HOURLY: "needs the end of an hour",
    "workload:orcha_streamr_slashings:max": "needs a subgraph",
}


@pytest.fixture
def ask(both, start, tool, tmp_path, free_port):  # noqa: F811 that is how a fixture is asked for
    """What Prometheus answers on a path of its API, with the rules looked at every second."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("longRangeInterval: 1s\nsloInterval: 1s\n")
    assert rules.main(["--parameters", str(mine), "--output", str(tmp_path / "rules")]) == 0
    config = CONFIG.format(rules=tmp_path / "rules", controller=both[0], exporter=both[1])
    (tmp_path / "prometheus.yml").write_text(config)
    port = free_port()
    start(
        str(tool("prometheus") / "prometheus"), f"--config.file={tmp_path}/prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path}/tsdb", name="prometheus",
    )  # fmt: skip

    def answer(path, **query):
        code, body = get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        return json.loads(body)["data"] if code == 200 else None

    return answer


@pytest.mark.tool("prometheus")
def test_rules_are_evaluated_and_only_the_watchdog_has_something_to_say(ask):
    def query(expression):
        found = ask("query", query=expression)
        return (
            {tuple(sorted(row["metric"].items())): float(row["value"][1]) for row in found["result"]} if found else {}
        )

    def groups():
        return (ask("rules") or {"groups": []})["groups"]

    until(lambda: len(query("workload:orcha_up:max == 1")) == 9, "all nine workloads")
    until(lambda: query("orcha:earnings_usd_per_hour:avg1h"), "a mean of an hour")
    until(
        lambda: query("orcha:earnings_unmeasured:ratio5m") and query("orcha:loop_stuck:ratio5m"), "both service levels"
    )
    until(lambda: query('ALERTS{alertname="OrchaWatchdog"}'), "the watchdog")
    found = [rule for group in groups() for rule in group["rules"]]
    assert {rule["name"] for rule in found if rule["health"] == "unknown"} <= {HOURLY}  # looked at once a minute
    assert [rule["lastError"] for rule in found if rule["health"] == "err"] == []
    firing = {
        alert["labels"]["alertname"] for rule in found for alert in rule.get("alerts", ()) if alert["state"] == "firing"
    }
    assert firing == {"OrchaWatchdog"}
    there = [
        group for group in groups() if group["name"] in {"orcha.workloads", "orcha.sums", "orcha.hours", "orcha.slo"}
    ]
    assert len(there) == 4
    for name in {rule["name"] for group in there for rule in group["rules"]} - NOT_YET.keys():
        assert query(name), name
    for labels in query("workload:orcha_earnings_usd_per_hour:max"):
        assert {name for name, _ in labels} == {"__name__", "cluster", "node", "workload", "protocol"}
    assert query("orcha:up:avg") == {(("__name__", "orcha:up:avg"), ("cluster", "home")): 1.0}
    assert list(
        query("sum(node:orcha_earnings_usd_per_hour:sum) - sum(protocol:orcha_earnings_usd_per_hour:sum)").values()
    ) == [pytest.approx(0, abs=1e-9)]
