"""Which alerts another one makes needless: asked of a real Alertmanager with the configuration that we ship."""

from __future__ import annotations

import pytest

from tests.e2e.alerting import Alertmanager
from tests.e2e.programs import until

pytestmark = pytest.mark.tool("prometheus")

NODE = {"alertname": "OrchaNodeDown", "severity": "critical", "node": "rack-1"}
DOWN = {"alertname": "OrchaDown", "severity": "critical"}
LOST = {"alertname": "OrchaProtocolDisconnected", "severity": "warning", "protocol": "storj", "node": "rack-1", "workload": "storj"}  # fmt: skip


def alert(name: str, *place: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    """`place`: its node, and its workload."""
    return {
        "alertname": name,
        "severity": severity,
        **dict(zip(("node", "workload"), place, strict=False)),
        **labels,
    }


def told(manager: Alertmanager, source: dict[str, str], *others: dict[str, str]) -> dict[str, bool]:
    """Of the source and of each other alert, once all are known: whether it is told."""
    manager.post(source)
    until(lambda: set(manager.states().values()) == {"active"}, "the source to be active")
    manager.post(*others)
    until(lambda: len(manager.states()) == 1 + len(others) and "unprocessed" not in manager.states().values(), "all")
    return {name: state == "active" for name, state in manager.states().items()}


def test_a_node_that_is_down_silences_what_is_about_it_and_nothing_else(shipped):
    with shipped() as manager:
        found = told(
            manager, NODE,
            alert("OrchaProtocolDisconnected", "rack-1", "storj", protocol="storj"),
            alert("OrchaStorjAuditScoreLow", "rack-1", "storj", severity="critical", protocol="storj"),
            alert("OrchaOpportunity", "rack-1", severity="info"),
            alert("OrchaStorjDisqualified", "rack-1", "storj", severity="critical", protocol="storj"),
            alert("OrchaStreamrSlashed", "rack-1", "streamr", severity="critical", protocol="streamr"),
            alert("OrchaProtocolDisconnected", "rack-3", "storj", protocol="storj"),
            alert("OrchaNodeDown", "rack-2", severity="critical"),
            alert("DiskFull", "rack-1"),
        )  # fmt: skip
    assert found == {
        "OrchaNodeDown rack-1": True,
        "OrchaProtocolDisconnected rack-1 storj": False,
        "OrchaStorjAuditScoreLow rack-1 storj": False,
        "OrchaOpportunity rack-1": False,
        "OrchaStorjDisqualified rack-1 storj": True,  # it is lost for good
        "OrchaStreamrSlashed rack-1 streamr": True,
        "OrchaProtocolDisconnected rack-3 storj": True,
        "OrchaNodeDown rack-2": True,
        "DiskFull rack-1": True,
    }


def test_an_alert_without_a_node_is_not_silenced_by_one_that_lacks_it_too(shipped):
    """Alertmanager takes a label that both sides lack for equal."""
    nodeless = {"alertname": "OrchaNodeDown", "severity": "critical"}
    with shipped() as manager:
        found = told(
            manager, nodeless,
            alert("OrchaCircuitOpen", policy="default"),
            alert("OrchaTokenPriceStale", token="STORJ"),
            alert("OrchaLoopStuck", severity="critical"),
            alert("OrchaLowEarnings", "rack-1", "storj"),
        )  # fmt: skip
    assert all(found.values()), found
    unplaced = {name: value for name, value in LOST.items() if name not in {"node", "workload"}}
    with shipped() as manager:
        found = told(
            manager, unplaced,
            alert("OrchaReadingStale", protocol="storj"),
            alert("OrchaLowEarnings", "rack-1", protocol="storj"),
        )  # fmt: skip
    assert all(found.values()), found


def test_a_workload_that_is_not_read_silences_what_is_said_of_its_health_and_earnings(shipped):
    lesser = ("OrchaProtocolUnhealthy", "OrchaReadingStale", "OrchaLowEarnings", "OrchaEarningStalled")
    with shipped() as manager:
        found = told(
            manager, LOST,
            *(alert(name, "rack-1", "storj", protocol="storj") for name in lesser),
            alert("OrchaReadingStale", "rack-1", "golem", protocol="golem"),
            alert("OrchaReadingStale", "rack-2", "storj", protocol="storj"),
            alert("OrchaStorjSuspended", "rack-1", "storj", severity="critical", protocol="storj"),
            alert("OrchaEarningsBelowThreshold"),
        )  # fmt: skip
    assert {name for name, is_told in found.items() if not is_told} == {f"{name} rack-1 storj" for name in lesser}


def test_a_controller_that_is_down_silences_all_of_orcha_but_the_watchdog_and_what_is_lost(shipped):
    with shipped() as manager:
        found = told(
            manager, DOWN,
            alert("OrchaWatchdog", severity="info"),
            alert("OrchaDown", severity="critical", kind="exporter", instance="10.0.0.7:9871"),
            alert("OrchaNodeDown", "rack-1", severity="critical"),
            alert("OrchaLoopRunsBurnFast", severity="critical"),
            alert("OrchaReadingStale", "rack-1", "storj"),
            alert("OrchaStreamrSlashed", "rack-1", "streamr", severity="critical"),
            alert("OrchaNodeDown", "rack-9", severity="critical", site="oslo"),
            alert("DiskFull"),
        )  # fmt: skip
    assert {name for name, is_told in found.items() if not is_told} == {
        "OrchaNodeDown rack-1",
        "OrchaLoopRunsBurnFast",
        "OrchaReadingStale rack-1 storj",
    }


def test_an_exporter_that_is_down_silences_nothing(shipped):
    """Its nodes' alerts do not say who saw them; with the rest all other nodes would fall silent."""
    with shipped() as manager:
        exporter = {**DOWN, "instance": "10.0.0.7:9871", "job": "orcha-exporter"}
        found = told(
            manager, exporter, alert("OrchaNodeDown", "rack-1", severity="critical"), alert("OrchaCircuitOpen")
        )
    assert all(found.values()), found


@pytest.mark.parametrize("what", ["OrchaEarningsMeasured", "OrchaLoopRuns"])
def test_a_fast_burn_silences_the_slow_one_of_the_same_promise(shipped, what):
    other = {"OrchaEarningsMeasured": "OrchaLoopRuns", "OrchaLoopRuns": "OrchaEarningsMeasured"}[what]
    with shipped() as manager:
        found = told(
            manager, alert(f"{what}BurnFast", severity="critical"),
            alert(f"{what}BurnSlow"), alert(f"{other}BurnSlow"), alert(f"{what}BurnSlow", site="oslo"),
        )  # fmt: skip
    assert found == {f"{what}BurnFast": True, f"{what}BurnSlow": False, f"{other}BurnSlow": True, f"{what}BurnSlow oslo": True}  # fmt: skip


def test_what_was_silenced_is_told_when_the_node_is_back_and_it_still_holds(shipped):
    with shipped() as manager:
        stale = alert("OrchaReadingStale", "rack-1", "storj", protocol="storj")
        assert told(manager, NODE, stale)["OrchaReadingStale rack-1 storj"] is False
        manager.post(NODE, over=True)
        until(lambda: manager.states() == {"OrchaReadingStale rack-1 storj": "active"}, "it to be told")


def test_no_alert_of_the_rules_silences_itself(shipped, severities):
    """Each stands alone at a site of its own, with every label that an inhibition compares."""
    with shipped() as manager:
        manager.post(*(
            alert(name, "rack-1", "storj", severity=severity, protocol="storj", cluster="a", site=name)
            for name, severity in severities.items()
        ))  # fmt: skip
        until(lambda: len(manager.states()) == len(severities), "all alerts")
        until(lambda: "unprocessed" not in manager.states().values(), "all to be judged")
        assert set(manager.states().values()) == {"active"}
