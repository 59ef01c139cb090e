"""What mixtool and pint would say of the rules, said here: the modules of both are refused by the Go module proxy.

Their checks by name are in the comments. Left out, since they ask a running Prometheus: pint's promql/rate (scrape interval),
query/cost, labels/conflict, alerts/count. Ours instead: only what orcha exports, or records, is named.
"""

from __future__ import annotations

import re

import promql_parser
import pytest
import yaml

from scripts import docs, rules

FILES = rules.rendered(rules.parameters(None))
GROUPS = [group for text in FILES.values() for group in yaml.safe_load(text)["groups"]]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = [rule for rule in RULES if "record" in rule]
RECORDED = {rule["record"] for rule in RECORDS}
FAMILIES = {name: kind for name, kind in re.findall(r"(?m)^\| `(\w+)` \| (\w+) \|", docs.metrics_page())}  # noqa: C416 readable
HISTOGRAM = ("_bucket", "_sum", "_count")
WITHOUT_FOR = {"OrchaWatchdog": "it must be there from the first evaluation on"}
NOT_ABOUT_ONE = {"orcha", "up"}

alerts = pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
records = pytest.mark.parametrize("rule", RECORDS, ids=[rule["record"] for rule in RECORDS])
every = pytest.mark.parametrize("rule", RULES, ids=[rule.get("alert") or rule["record"] for rule in RULES])


def bare(expression):
    """The expression without what stands in quotes or behind without, by, on, ignoring."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    return re.sub(r"\b(without|by|on|ignoring)\s*\([^)]*\)", "", text)


def named(expression):
    """Every series that it asks for."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare(expression))
    return {
        word
        for word in re.findall(r"[a-zA-Z_:][\w:]*", text)
        if ":" in word or word.startswith("orcha_") or word == "up"
    }


def family(name):
    """The family that a series of this name is of."""
    for end in HISTOGRAM:
        if name.endswith(end) and FAMILIES.get(name.removesuffix(end)) == "histogram":
            return name.removesuffix(end)
    return name


@every
def test_only_what_is_exported_or_recorded_is_named(rule):  # pint promql/series
    unknown = {name for name in named(rule["expr"]) if family(name) not in FAMILIES} - RECORDED - {"up"}
    assert not unknown


@every
def test_the_expression_parses_and_names_something(rule):  # pint promql/syntax
    promql_parser.parse(rule["expr"])
    assert named(rule["expr"]) or rule.get("alert") == "OrchaWatchdog"


@every
def test_only_counters_are_counted_up_and_nothing_else_is(rule):  # pint promql/rate, promql/counter
    text = re.sub(r"\{[^}]*\}", "", bare(rule["expr"]))
    counted = re.findall(r"\b(?:rate|increase|irate|resets)\(([\w:]+)", text)
    for name in counted:
        assert FAMILIES.get(name) == "counter" or name == "orcha:orcha_lease_transitions:max"
    for name in named(rule["expr"]):
        if FAMILIES.get(name) == "counter":
            assert name in counted or rule.get("record") == "orcha:orcha_lease_transitions:max"


@records
def test_a_record_is_named_level_metric_operation(rule):  # the naming of the Prometheus documentation
    assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", rule["record"])
    assert "labels" not in rule
    level = rule["record"].split(":")[0]
    for word in level.split("_"):
        assert word in {"workload", "node", "protocol", "orcha", "policy", "resource"}


@every
def test_labels_are_taken_away_and_not_listed(rule):  # pint promql/aggregate: cluster and site survive
    assert not re.search(r"\bby\s*\(|\bon\s*\((?!\))|\bgroup_(left|right)\b", rule["expr"])


@every
def test_every_exported_series_is_selected_and_counted_once(rule):
    selector = str(rules.parameters(None)["seriesSelector"])
    text = rule["expr"]
    for found in re.finditer(r"\borcha_\w+(?![\w:])(\{[^}]*\})?", re.sub(r"[\w]+:[\w:]+", "", text)):
        assert selector in (found[1] or ""), f"{found[0]} is not selected"
    if any(name.startswith("orcha_") for name in named(text)):
        assert "instance, job, pod" in text, "two processes that show the same would count twice"


@alerts
def test_names_are_camel_case_and_say_whose_they_are(rule):  # mixtool lint, pint rule/name
    assert re.fullmatch(r"Orcha([A-Z][a-z]+)+", rule["alert"])
    assert len(rule["alert"]) <= 40


@alerts
def test_the_severity_is_one_of_three_and_the_only_label(rule):  # mixtool lint
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


@alerts
def test_annotations_are_complete(rule):  # mixtool lint, pint alerts/annotation
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.fullmatch(r"[A-Z][^{}\n]+\.", notes["summary"])
    assert len(notes["summary"]) <= 80
    assert "{{" in notes["description"]
    assert "\n" not in notes["description"].strip(), "mail and chat break lines by themselves"
    assert notes["description"].strip().endswith(".")
    assert notes["runbook_url"].endswith(f"/{rule['alert']}.md")
    assert re.search(
        r"/d/orcha-(overview|protocol|allocation|programs|report|controller|fleet)(\?|$)", notes["dashboard_url"]
    )


@alerts
def test_only_labels_that_the_alert_has_are_put_into_words(rule):  # pint alerts/template
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    lost = (
        set(re.findall(r"\w+", re.match(r"(?s).*?without \(([^)]*)\)", rule["expr"])[1]))
        if "without" in rule["expr"]
        else set()
    )
    optional = {"instance"} if rule["alert"] == "OrchaDown" else set()
    assert not used & (lost - optional)


@alerts
def test_it_compares_and_it_waits(rule):  # pint alerts/comparison, alerts/for
    assert re.search(r"[<>]|==|!=|\bunless\b|\babsent\(", bare(rule["expr"]))
    assert ("for" in rule) is (rule["alert"] not in WITHOUT_FOR)
    assert rule.get("for") != "0s"


@alerts
def test_a_failed_scrape_neither_ends_nor_begins_it(rule):
    exported = [name for name in named(rule["expr"]) if name.startswith("orcha_")]
    text = re.sub(r"\{[^}]*\}", "", rule["expr"])
    for name in exported:
        bridged = re.findall(rf"(?:max|min|avg|last)_over_time\({name}\[|increase\({name}\[", text)
        missing = re.findall(rf"\b{name}\b(?!\[)", text)
        assert bridged or rule["alert"] == "OrchaTokenPriceStale"
        assert not missing or rule["alert"] == "OrchaTokenPriceStale"


@pytest.mark.parametrize("group", GROUPS, ids=[group["name"] for group in GROUPS])
def test_a_group_is_small_and_evaluated_often(group):  # mixtool lint, pint group/interval
    assert len(group["rules"]) <= 20
    assert group.get("interval", "15s") in {"15s", "1m", "2m"}
    assert group["name"].startswith("orcha.")


def test_nothing_is_there_twice():  # pint rule/duplicate
    for key, of in (("alert", ALERTS), ("record", RECORDS), ("expr", RULES)):
        found = [rule[key] for rule in of]
        assert len(found) == len(set(found))
    names = [group["name"] for group in GROUPS]
    assert len(names) == len(set(names))


def test_what_a_rule_reads_is_recorded_by_an_earlier_rule_of_its_group_or_by_another_group():
    for group in GROUPS:
        here = [rule.get("record") for rule in group["rules"]]
        for place, rule in enumerate(group["rules"]):
            later = {name for name in here[place:] if name}
            assert not named(rule["expr"]) & later


@pytest.mark.parametrize(
    ("name", "objective", "windows"),
    [
        ("OrchaEarningsMeasuredBurnFast", 0.95, {("5m", 14.4), ("1h", 14.4), ("30m", 6.0), ("6h", 6.0)}),
        ("OrchaEarningsMeasuredBurnSlow", 0.95, {("2h", 3.0), ("1d", 3.0), ("6h", 1.0), ("3d", 1.0)}),
        ("OrchaLoopRunsBurnFast", 0.99, {("5m", 14.4), ("1h", 14.4), ("30m", 6.0), ("6h", 6.0)}),
        ("OrchaLoopRunsBurnSlow", 0.99, {("2h", 3.0), ("1d", 3.0), ("6h", 1.0), ("3d", 1.0)}),
    ],
)
def test_service_levels_are_judged_over_pairs_of_windows(name, objective, windows):
    rule = next(rule for rule in ALERTS if rule["alert"] == name)
    found = re.findall(r":ratio(\d+[mhd]) > ([\d.]+) \* \(1 - ([\d.]+)\)", rule["expr"])
    assert {(window, float(burn)) for window, burn, _ in found} == windows
    assert {float(one) for *_, one in found} == {objective}


def test_every_alert_of_the_project_is_there():
    assert len(ALERTS) == 41
    assert {rule["alert"] for rule in ALERTS if rule["labels"]["severity"] == "critical"} == {
        "OrchaDown", "OrchaLoopStuck", "OrchaNoLeader", "OrchaProgramBlocked", "OrchaNodeDown", "OrchaStorjDisqualified",
        "OrchaStorjSuspended", "OrchaStorjAuditScoreLow", "OrchaStreamrSlashed", "OrchaEarningsMeasuredBurnFast",
        "OrchaLoopRunsBurnFast",
    }  # fmt: skip
