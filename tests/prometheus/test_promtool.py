"""Prometheus' own word on the rules: they are valid, every promtool test holds, and other parameters do what they say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts import rules

HERE = Path(__file__).resolve().parent
TESTS = sorted((rules.HOME / "tests").glob("*.yaml"))
OTHERS = {
    "threshold.yaml": {"thresholdUsdPerHour": 5},
    "elsewhere.yaml": {
        "seriesSelector": 'cluster="home"',
        "controllerSelector": 'job="depin/orcha"',
        "targetLabels": "instance, job, replica",
        "disconnectedFor": "1m",
        "storjAuditRatio": 0.99,
        "grafanaUrl": "https://grafana.example",
        "runbookUrl": "https://wiki.example",
        "disabledAlerts": ["OrchaNodeDown"],
    },
}
"""promtool test beside this file -> the parameters that it is about."""

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.timeout(600)]


@pytest.fixture
def promtool(tool):
    def run(*argv):
        argv = [str(tool("prometheus") / "promtool"), *map(str, argv)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=580, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_rules_are_valid_and_none_stands_twice(promtool):
    code, said = promtool(
        "check", "rules", "--lint=all", "--lint-fatal", *sorted((rules.HOME / "rules").glob("*.yaml"))
    )
    assert code == 0, said
    assert said.count("SUCCESS") == 3


def test_the_configuration_reads_them(promtool):
    code, said = promtool("check", "config", rules.HOME / "prometheus.yml")
    assert code == 0, said
    assert "3 rule files found" in said


@pytest.mark.parametrize("path", TESTS, ids=[path.stem for path in TESTS])
def test_alerts_fire_when_they_should_and_only_then(promtool, path):
    code, said = promtool("test", "rules", path)
    assert code == 0, said
    assert "SUCCESS" in said


@pytest.mark.parametrize("name", OTHERS)
def test_other_parameters_do_what_they_say(promtool, tmp_path, name):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OTHERS[name]))
    assert rules.main(["--parameters", str(tmp_path / "mine.yaml"), "--output", str(tmp_path / "rules")]) == 0
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *(tmp_path / "rules").glob("*.yaml"))
    assert code == 0, said
    (tmp_path / "tests").mkdir()
    shutil.copy(HERE / name, tmp_path / "tests")
    code, said = promtool("test", "rules", tmp_path / "tests" / name)
    assert code == 0, said


def test_every_alert_is_in_a_test_that_fires_and_in_one_that_is_silent():
    fires, silent = set(), set()
    for path in (*TESTS, HERE / "threshold.yaml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test.get("alert_rule_test", ()):
                (fires if check.get("exp_alerts") else silent).add(check["alertname"])
    known = {rule["alert"] for rule in rules.alerts(rules.rendered(rules.parameters(None)))}
    assert fires == known
    assert silent == known - {"OrchaWatchdog"}  # which must never be


def test_every_alert_but_the_watchdog_is_silent_where_nothing_is_known():
    known = {rule["alert"] for rule in rules.alerts(rules.rendered(rules.parameters(None)))}
    for test in yaml.safe_load((rules.HOME / "tests" / "nothing.yaml").read_text())["tests"]:
        assert {check["alertname"] for check in test["alert_rule_test"]} == known - {"OrchaWatchdog"}
        assert not any(check.get("exp_alerts") for check in test["alert_rule_test"])


def test_every_alert_that_fires_is_compared_with_all_that_it_says():
    for path in (*TESTS, *(HERE / name for name in OTHERS)):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test.get("alert_rule_test", ()):
                for expected in check.get("exp_alerts", ()):
                    said = expected["exp_annotations"]
                    assert set(said) == {"summary", "description", "runbook_url", "dashboard_url"}
                    assert "<no value>" not in "".join(said.values())
                    assert "{{" not in "".join(said.values())
