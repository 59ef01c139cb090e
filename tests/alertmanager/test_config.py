"""The configuration that we ship: amtool accepts it, every alert goes where it should, and it says nothing to anybody yet."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.e2e.alerting import SOURCE, programs
from tests.e2e.programs import until

RECEIVERS = tuple(sorted(path.stem for path in (SOURCE / "receivers").glob("*.yml")))
FIELDS = re.compile(r"(?i)(password|token|key|secret|credentials|url)$")
"""Of Alertmanager's fields, those that hold a secret itself; a URL can be one."""
PUBLIC = {"http://127.0.0.1:9099/alerts", "https://api.telegram.org", "https://events.pagerduty.com/v2/enqueue"}

# Every alert of prometheus/rules, as its labels are: the protocol where there is one, and who is told.
ROUTES = {
    "OrchaWatchdog": ("info", None, "watchdog"),
    "OrchaDown": ("critical", None, "critical"),
    "OrchaLoopStuck": ("critical", None, "critical"),
    "OrchaManifestsRefused": ("warning", None, "warning"),
    "OrchaStateNotWritten": ("warning", None, "warning"),
    "OrchaLeaseFlapping": ("warning", None, "warning"),
    "OrchaNoLeader": ("critical", None, "critical"),
    "OrchaCircuitOpen": ("warning", None, "warning"),
    "OrchaRollback": ("warning", None, "warning"),
    "OrchaProgramBlocked": ("critical", None, "critical"),
    "OrchaApprovalWaiting": ("info", None, "info"),
    "OrchaForecastOff": ("warning", None, "warning"),
    "OrchaOpportunity": ("info", None, "info"),
    "OrchaOptimizationNotTaken": ("info", None, "info"),
    "OrchaResourceContention": ("info", None, "info"),
    "OrchaFleetSiteCutOff": ("warning", None, "warning"),
    "OrchaFleetApart": ("warning", None, "warning"),
    "OrchaFleetLimitNotSettled": ("warning", None, "warning"),
    "OrchaFleetDiskFails": ("warning", None, "warning"),
    "OrchaNodeDown": ("critical", None, "critical"),
    "OrchaProtocolDisconnected": ("warning", "grass", "grass,warning"),
    "OrchaProtocolUnhealthy": ("warning", "golem", "golem,warning"),
    "OrchaReadingStale": ("warning", "akash", "warning"),
    "OrchaTokenPriceStale": ("warning", None, "warning"),
    "OrchaLowEarnings": ("warning", "storj", "storj,warning"),
    "OrchaEarningsBelowThreshold": ("warning", None, "warning"),
    "OrchaEarningStalled": ("warning", "streamr", "streamr,warning"),
    "OrchaStorjDisqualified": ("critical", "storj", "storj,critical"),
    "OrchaStorjSuspended": ("critical", "storj", "storj,critical"),
    "OrchaStorjAuditScoreLow": ("critical", "storj", "storj,critical"),
    "OrchaStorjOnlineScoreLow": ("warning", "storj", "storj,warning"),
    "OrchaStreamrSlashed": ("critical", "streamr", "streamr,critical"),
    "OrchaStreamrSponsorshipEnding": ("warning", "streamr", "streamr,warning"),
    "OrchaStreamrGasLow": ("warning", "streamr", "streamr,warning"),
    "OrchaStreamrEarningsNearLimit": ("warning", "streamr", "streamr,warning"),
    "OrchaGolemPaymentProblem": ("warning", "golem", "golem,warning"),
    "OrchaGrassScoreLow": ("warning", "grass", "grass,warning"),
    "OrchaEarningsMeasuredBurnFast": ("critical", None, "critical"),
    "OrchaEarningsMeasuredBurnSlow": ("warning", None, "warning"),
    "OrchaLoopRunsBurnFast": ("critical", None, "critical"),
    "OrchaLoopRunsBurnSlow": ("warning", None, "warning"),
}


def amtool(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(programs() / "amtool"), *argv], capture_output=True, text=True, timeout=30, check=False)


def routed(**labels: str) -> str:
    """The receivers, in the order in which they are told."""
    words = [f"{name}={value}" for name, value in labels.items()]
    found = amtool("config", "routes", "test", f"--config.file={SOURCE}/alertmanager.yml", *words)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.mark.tool("prometheus")
@pytest.mark.parametrize("name", ["alertmanager.yml", *(f"receivers/{name}.yml" for name in RECEIVERS)])
def test_amtool_accepts_every_file(name):
    found = amtool("check-config", str(SOURCE / name))
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_of_the_rules_has_a_route_in_this_table(severities):
    assert {name: severity for name, (severity, _, _) in ROUTES.items()} == severities


@pytest.mark.tool("prometheus")
@pytest.mark.parametrize("name", ROUTES)
def test_an_alert_goes_to_whoever_its_severity_and_its_protocol_name(name):
    severity, protocol, receivers = ROUTES[name]
    labels = {"alertname": name, "severity": severity, "node": "rack-1"} | ({"protocol": protocol} if protocol else {})
    assert routed(**labels) == receivers


@pytest.mark.tool("prometheus")
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"alertname": "DiskFull"}, "warning"),
        ({"alertname": "DiskFull", "severity": "page"}, "warning"),
        ({"alertname": "DiskFull", "severity": "critical"}, "critical"),
    ],
    ids=["no-severity", "another-word-for-it", "a-severity"],
)
def test_an_alert_that_is_not_ours_is_told_to_somebody(labels, receivers):
    assert routed(**labels) == receivers


@pytest.mark.tool("prometheus")
def test_as_it_stands_it_tells_nobody_and_nothing_fails(shipped, severities):
    receivers = yaml.safe_load((SOURCE / "alertmanager.yml").read_text(encoding="utf-8"))["receivers"]
    assert [sorted(receiver) for receiver in receivers] == [["name"]] * len(receivers)
    with shipped() as manager:
        manager.post(*({"alertname": name, "severity": severity} for name, severity in severities.items()))
        until(lambda: len(manager.states()) == len(severities), "all alerts")
        until(lambda: manager.states()["OrchaDown"] == "active", "them to be judged")
        until(
            lambda: any(group["receiver"]["name"] == "critical" for group in manager.groups()), "a group to be formed"
        )
        assert manager.count("alertmanager_notifications_failed_total") == 0


@pytest.mark.parametrize("name", ["alertmanager.yml", *(f"receivers/{name}.yml" for name in RECEIVERS)])
def test_no_file_holds_a_secret(name):
    def look(value, where):
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, str) and FIELDS.search(key):
                    assert item.startswith(("@file:/", "{{ template ")) or item in PUBLIC, f"{where}.{key}: name a file"
                look(item, f"{where}.{key}")
        for k, item in enumerate(value if isinstance(value, list) else []):
            look(item, f"{where}[{k}]")

    look(yaml.safe_load((SOURCE / name).read_text(encoding="utf-8")), name)


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_receiver_stands_by_itself_and_is_named_as_its_file(name):
    found = yaml.safe_load((SOURCE / "receivers" / f"{name}.yml").read_text(encoding="utf-8"))
    assert found["route"] == {"receiver": name}
    assert [receiver["name"] for receiver in found["receivers"]] == [name]
    for kind, configs in found["receivers"][0].items():
        if kind != "name":
            assert [config["send_resolved"] for config in configs] == [name != "dead-mans-switch"]


def test_reminders_come_before_alertmanager_forgets_that_it_told():
    """It remembers for 120 h, its default."""
    route = yaml.safe_load((SOURCE / "alertmanager.yml").read_text(encoding="utf-8"))["route"]
    seconds = {"s": 1, "m": 60, "h": 3600}
    for each in [route, *route["routes"]]:
        if "repeat_interval" in each:
            lasts = int(each["repeat_interval"][:-1]) * seconds[each["repeat_interval"][-1]]
            assert lasts < 60 * 3600
