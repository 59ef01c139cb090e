"""The fleet's dashboard and alerts on a real fleet: nine agents, a partition, drawn by Grafana's own libraries in Chromium."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts import nine
from scripts._blocks import ask
from scripts._grafana import boards, filled, targets
from scripts._rendering import DASHBOARDS
from tests.e2e.programs import ROOT, until
from tests.e2e.rendering import Gallery

pytestmark = [
    pytest.mark.tool("chromium"),
    pytest.mark.tool("grafana-scenes"),
    pytest.mark.tool("prometheus"),
    pytest.mark.xdist_group("dashboards"),
    pytest.mark.timeout(300),
]
SINCE = 90.0
"""Seconds that are looked at; the fleet lives about half as long."""
SEEN = (
    "max(orcha_fleet_convergence_seconds) and max(orcha_fleet_agents{state='alive'}) == 9",
    "sum(rate(orcha_fleet_errors_total[15s]))",
    "orcha_fleet_proposals{state='cancelled'} > 0",
    "min(orcha_fleet_limit_settled) == 1",
    "count(orcha_fleet_agent_health_ratio) == 72",
    "sum(rate(orcha_fleet_messages_total[15s]))",
    "ALERTS{alertname='OrchaWatchdog'}",
)
"""What must be there before anybody looks."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Of a fleet that was cut in two, and has healed."""
    with nine.watched(tmp_path_factory.mktemp("nine")) as address:

        def query(expression):
            return ask(address, "query", query=expression)["result"]

        until(lambda: query("min(orcha_fleet_agents{state='alive'}) < 9"), "a partition", 60)
        for expression in SEEN:
            until(lambda wanted=expression: query(wanted), expression, 60)
        yield address


@pytest.fixture(scope="module")
def drawn(prometheus):
    tools = json.loads((ROOT / ".cache" / "tools.json").read_text())
    page, chromium = (Path(tools[name]["where"]) for name in ("grafana-scenes", "chromium"))
    gallery = Gallery(page, chromium, prometheus, f"{nine.SCRAPE}s")
    return gallery.draw(DASHBOARDS / "orcha-fleet.json", **{"from": f"now-{SINCE:.0f}s"})


def test_each_panel_has_data_and_none_an_error(drawn):
    assert drawn.problems == []
    assert {panel.title: panel.errors for panel in drawn.panels if panel.errors} == {}
    assert [panel.title for panel in drawn.panels if panel.state != "done"] == []


def shown(drawn, title):
    return next(panel.shows for panel in drawn.panels if panel.title == title)


def test_the_node_graph_has_every_agent_and_how_well_it_is_heard(drawn):
    words = shown(drawn, "Topology").split()
    assert set(nine.NAMES) <= set(words)
    assert len([word for word in words if re.fullmatch(r"\d+%", word)]) == len(nine.NAMES)


def test_the_heat_map_has_a_latency_for_each_edge_both_ways_and_nothing_elsewhere(drawn):
    words = shown(drawn, "Latency from row to column")
    assert len(re.findall(r"[\d.]+\s*(?:µs|ms|s)\b", words)) == 2 * len(nine.SPEC.graph().edges)
    assert words.count("·") == len(nine.NAMES) ** 2 - 2 * len(nine.SPEC.graph().edges)


def test_the_table_of_limits_has_each_site(drawn):
    words = shown(drawn, "What each site may hold")
    assert "golem-cores" in words
    assert "maxTotal" in words
    assert "attic" in words


def test_every_query_finds_something(prometheus):
    empty = []
    values = {"job": ".+", "instance": ".+", "datasource": "x"}
    for target in targets(boards()["orcha-fleet"]):
        if target.panel.startswith("annotation "):
            continue
        expression, _ = filled(target, values, SINCE, nine.SCRAPE)
        # what is drawn over time may have ended by now
        found = ask(prometheus, "query", query=f"last_over_time(({expression})[1m:3s])")["result"]
        if not found:
            empty.append(target.name)
    assert empty == []


def test_the_rules_are_evaluated_on_it_without_an_error(prometheus):
    groups = ask(prometheus, "rules")["groups"]
    (group,) = [each for each in groups if each["name"] == "orcha.fleet.alerts"]
    assert [rule["name"] for rule in group["rules"] if rule.get("lastError")] == []
    assert {rule["name"] for rule in group["rules"]} == {
        "OrchaFleetSiteCutOff", "OrchaFleetApart", "OrchaFleetLimitNotSettled", "OrchaFleetDiskFails",
    }  # fmt: skip


def test_the_promise_holds_at_every_scrape(prometheus):
    """All sites together never held more than the limit, whoever was cut off."""
    held = "sum by (limit) (max by (limit, agent) (orcha_fleet_limit_held{kind='maxTotal', told='own'}))"
    bound = "max by (limit) (orcha_fleet_limit{kind='maxTotal'})"
    assert ask(prometheus, "query", query=f"max_over_time(({held})[5m:3s])")["result"]
    assert ask(prometheus, "query", query=f"max_over_time(({held} > {bound})[5m:3s])")["result"] == []
