"""Every expression of dashboards and rules, asked of a Prometheus that has watched seven days: no error, and data."""

from __future__ import annotations

import re

import pytest
import yaml

from scripts._blocks import NAMED, ask
from scripts._grafana import Target, boards, choices, filled, targets
from tests.e2e.programs import ROOT

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.xdist_group("dashboards"), pytest.mark.timeout(900)]

BOARDS = boards()
PROTOCOLS = ("golem", "grass", "mapped", "storj", "streamr")
WEEK = 7 * 86400.0
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yaml"))

_NOT_TOLD = (
    "no protocol tells how much of its memory or bandwidth is used, and storage is all that Storj is given by us"
)
_NO_THRESHOLD = (
    "no payout threshold is known: Storj, yagna, Streamr and Grass tell none, only the owner of a mapped endpoint can"
)

SILENT: dict[str, str] = {
    "orcha-allocation / Used, of what is in effect / B": _NOT_TOLD,
    "orcha-allocation / Used, of what is in effect / D": _NOT_TOLD,
    "orcha-allocation / In effect and used / D": _NOT_TOLD,
    "orcha-allocation / In effect and used / G": _NOT_TOLD,
    "orcha-allocation / In effect and used / H": _NOT_TOLD,
    "orcha-protocol / Used, of what is in effect / B": _NOT_TOLD,
    "orcha-protocol / Used, of what is in effect / D": _NOT_TOLD,
    "orcha-protocol / In effect and used / D": _NOT_TOLD,
    "orcha-protocol / In effect and used / G": _NOT_TOLD,
    "orcha-protocol / In effect and used / H": _NOT_TOLD,
    "orcha-golem / Workloads / H": _NO_THRESHOLD,
    "orcha-grass / Workloads / H": _NO_THRESHOLD,
    "orcha-storj / Workloads / H": _NO_THRESHOLD,
    "orcha-streamr / Workloads / H": _NO_THRESHOLD,
    "orcha-golem / Memory / C": "yagna does not tell how much memory its activities use",
    "orcha-golem / Storage / C": "nor how much storage",
    "orcha-grass / Workloads / G": "Grass has no version: it is an account, not a program",
    "orcha-storj / Storage / B": "the node's API tells what is in effect, never what its configuration asks for",
    "orcha-streamr / Gas / A": "the simulated chain keeps no balances of node wallets",
}
"""Queries (dashboard / panel / letter) that find nothing in this week, each with its reason."""
_NO_FLEET = "the week is of one site; test_fleet_dashboard.py asks these of a fleet"
SILENT |= {
    target.name: _NO_FLEET for target in targets(BOARDS["orcha-fleet"]) if not target.panel.startswith("annotation ")
}

NEVER: dict[str, str] = {
    "orcha:orcha_lease_transitions:max": "a single controller without a Lease",
    "orcha_lease_transitions_total": "the same",
    "orcha_protocol_allocated_bandwidth_bytes_per_second": _NOT_TOLD,
    "orcha_protocol_used_bandwidth_bytes_per_second": _NOT_TOLD,
    "orcha_protocol_used_memory_bytes": _NOT_TOLD,
    "orcha_streamr_least_node_gas_tokens": "the simulated chain keeps no balances of node wallets",
}
"""Families and recorded series that are named and never there in this week, each with its reason."""
NEVER |= {
    name: _NO_FLEET
    for page in (*RULES, ROOT / "grafana" / "dashboards" / "orcha-fleet.json")
    for name in NAMED.findall(page.read_text())
    if name.startswith("orcha_fleet_")
}


def test_there_are_dashboards_and_rules_to_ask():
    assert len(BOARDS) >= 6
    assert len(RULES) >= 3


def asked(uid: str) -> list[tuple[Target, list[str], float]]:
    """Each target of a dashboard, its expressions (one for each protocol where one must be chosen), and the step."""
    found = []
    for target in targets(BOARDS[uid]):
        filling = [filled(target, choices(BOARDS[uid], {"protocol": each}), WEEK, 300.0) for each in PROTOCOLS]
        found.append((target, list(dict.fromkeys(expr for expr, _ in filling)), filling[0][1]))
    return found


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_each_query_of_a_dashboard_is_answered_and_none_is_empty_without_a_reason(seen, uid):
    empty = []
    for target, expressions, step in asked(uid):
        now = [row for each in expressions for row in seen.query(each)]
        week = [row for each in expressions for row in seen.over(each, step)]
        if not (now if target.instant else week):
            empty.append(target.name)
    listed = [name for name in SILENT if name.startswith(f"{uid} / ")]
    assert sorted(set(empty)) == sorted(listed)


def test_each_list_of_exceptions_names_what_there_is():
    assert set(SILENT) <= {target.name for board in BOARDS.values() for target in targets(board)}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_each_expression_of_a_rule_is_answered(seen, path):
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            seen.query(rule["expr"])
            seen.over(rule["expr"], 3600.0)


def test_no_rule_fails_while_prometheus_evaluates_it(seen):
    groups = ask(seen.prometheus_url, "rules")["groups"]
    assert len(groups) == sum(len(yaml.safe_load(path.read_text())["groups"]) for path in RULES)
    assert [
        (rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule.get("lastError")
    ] == []


def test_each_recorded_series_has_a_week_of_samples(seen):
    names = {
        rule["record"]
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    missing = {name for name in names if not seen.query(f"last_over_time({name}[7d])")}
    assert missing == set(NEVER) & names


def test_whatever_is_named_was_exported_in_this_week(seen):
    expressions = [target.expr for board in BOARDS.values() for target in targets(board)]
    for path in RULES:
        expressions += [rule["expr"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    named = {name for each in expressions for name in NAMED.findall(each) if name != "orcha_rules"}
    there = {
        row["metric"]["__name__"] for row in seen.query('count by (__name__) (last_over_time({__name__=~".+"}[7d]))')
    }
    assert len(named) > 50
    assert {name for name in named if name not in there} == set(NEVER)
    served = set(re.findall(r"`(orcha_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert {name.removesuffix("_bucket") for name in NEVER if name.startswith("orcha_")} <= served


def test_the_week_shows_what_an_operator_may_meet(seen):
    assert seen.query("sum by (node) (max_over_time(orcha_programs_total{result='applied'}[7d])) > 0")
    assert seen.query("max_over_time(orcha_programs_total{result='rolled_back'}[7d]) > 0")
    assert seen.query("orcha_programs_open{state='pending'} > 0")
    assert seen.query("min_over_time(orcha_protocol_up{node='rack-1',workload='golem'}[7d]) == 0")
    assert seen.query("resets(orcha_programs_total[7d]) > 0"), "the controller was restarted once"
    assert len({row["metric"]["protocol"] for row in seen.query("orcha_protocol_up == 1")}) == 5
    assert seen.query("ALERTS{alertname='OrchaWatchdog'}")


def test_what_is_newest_is_new(seen):
    assert seen.query("max(time() - timestamp(orcha_protocol_up)) < 60")
    assert seen.query("min(up) == 1")


def test_each_hour_of_the_week_is_recorded_once_to_be_added_up(seen):
    counts = seen.query("count_over_time(workload:orcha_earnings_usd_per_hour:hourly[5d])")
    assert max(float(row["value"][1]) for row in counts) == 5 * 24
