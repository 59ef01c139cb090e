"""Every expression of every dashboard: it parses, names what there is, is filtered, and counts nothing twice."""

from __future__ import annotations

import re

import pytest

from grafana.queries import TARGET_LABELS, Scope, deduped, least, most, quantile
from tests.grafana.boards import (
    EXPORTED,
    FILTERS,
    NAMES,
    RECORDED,
    ROOT,
    Target,
    annotations,
    calls,
    exclusions,
    matchers,
    parse,
    selectors,
    summed_twice,
    targets,
    variables,
    window,
)

COUNTERS = ("rate", "irate", "increase")


def every(name: str) -> list[Target]:
    return [*targets(name), *annotations(name)]


@pytest.mark.parametrize("name", NAMES)
def test_every_expression_parses(name):
    for target in every(name):
        assert target.parsed is not None
        assert not re.search(r"\$__(?!rate_interval|range|interval)", target.expr), target.panel


@pytest.mark.parametrize("name", NAMES)
def test_only_what_is_exported_or_recorded_is_named(name):
    known = set(EXPORTED) | set(RECORDED) | {"ALERTS"}
    for target in every(name):
        named = {selector.name for selector in selectors(target.parsed)}
        assert named <= known, (target.panel, named - known)
        assert named or target.expr.startswith("vector(")


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_asked_for_are_labels_that_the_series_has(name):
    for target in every(name):
        for selector in selectors(target.parsed):
            labels = (EXPORTED | RECORDED).get(selector.name)
            if labels is None:
                continue
            own = {"job", "instance"} if selector.name in EXPORTED else set()
            histogram = {"le"} if selector.name.endswith("_bucket") else set()
            assert set(matchers(selector)) <= labels | own | histogram, (target.panel, selector.name)


@pytest.mark.parametrize("name", NAMES)
def test_every_series_is_filtered_by_every_variable_that_it_has_a_label_for(name):
    chosen = [each for each in FILTERS if each in variables(name)]
    for target in every(name):
        for selector in selectors(target.parsed):
            if selector.name == "ALERTS":
                continue
            labels = (EXPORTED | RECORDED)[selector.name]
            own = {"job", "instance"} if selector.name in EXPORTED else set()
            wanted = {each: f"${each}" for each in chosen if each in labels | own}
            found = matchers(selector)
            assert {key: found.get(key) for key in wanted} == wanted, (target.panel, selector.name)


@pytest.mark.parametrize("name", NAMES)
def test_a_protocols_own_dashboard_shows_that_protocol_alone(name):
    protocol = name.removeprefix("orcha-")
    if protocol not in {"storj", "golem", "streamr", "grass"}:
        assert not any(re.search(r'protocol="', target.expr) for target in targets(name))
        return
    for target in targets(name):
        for selector in selectors(target.parsed):
            if "protocol" in (EXPORTED | RECORDED).get(selector.name, ()):
                assert matchers(selector)["protocol"] == protocol, target.panel


@pytest.mark.parametrize("name", NAMES)
def test_what_two_processes_show_is_made_one_before_it_is_summed(name):
    for target in every(name):
        assert summed_twice(target.parsed) == [], target.panel


@pytest.mark.parametrize(
    ("expr", "twice"),
    [
        ("sum(orcha_protocol_up)", ["orcha_protocol_up"]),
        ("avg by (node) (orcha_protocol_up + 0)", ["orcha_protocol_up"]),
        ("sum(max without (instance) (orcha_protocol_up))", []),
        ("sum(1 - max by (node) (orcha_protocol_up))", []),
        ("sum(workload:orcha_up:max)", []),
        ("max(orcha_protocol_up)", []),
        ("count(sum(orcha_plan_cost_usd))", ["orcha_plan_cost_usd"]),
        ("sum(rate(orcha_programs_total[5m]))", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_test_for_double_counting_finds_what_it_should(expr, twice):
    assert summed_twice(parse(expr)) == twice


# --- rates (target-rate-interval, target-counter-agg) -----------------------------------------------------------------


def odd_windows(name: str) -> set[tuple[str, str]]:
    """(dashboard, panel) whose counters are not taken over $__rate_interval."""
    return {
        (name, target.panel)
        for target in every(name)
        for call in calls(target.parsed)
        if call.func.name in COUNTERS and window(call) != window(parse("rate(x[$__rate_interval])"))
    }


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_taken_over_the_rate_interval_but_where_it_is_said_why_not(name):
    entries = exclusions()["target-rate-interval-rule"]["entries"]
    allowed = {(each["dashboard"], each["panel"]) for each in entries}
    assert odd_windows(name) == {each for each in allowed if each[0] == name}


@pytest.mark.parametrize("name", NAMES)
def test_counters_are_rated_before_they_are_summed(name):
    for target in every(name):
        rated = {
            selector.name
            for call in calls(target.parsed)
            if call.func.name in COUNTERS
            for selector in selectors(call.args[0])
        }
        counters = {
            each.name for each in selectors(target.parsed) if each.name.endswith(("_total", "_bucket", "_count"))
        }
        assert counters <= rated, target.panel
        assert not re.search(r"(rate|increase)\((sum|max|avg|min|count)\b", target.expr), target.panel


# --- exclusions ---------------------------------------------------------------------------------------------------


def test_every_exclusion_has_a_reason_and_names_dashboards_that_exist():
    for rule, found in exclusions().items():
        assert rule.endswith("-rule")
        assert len(found["reason"].split()) >= 5
        assert {each["dashboard"] for each in found["entries"]} <= set(NAMES)


def test_dashboards_without_job_and_instance_in_a_query_are_those_that_are_excluded():
    for rule, label in (("target-job-rule", "job"), ("target-instance-rule", "instance")):
        without = {
            name
            for name in NAMES
            for target in targets(name)
            for selector in selectors(target.parsed)
            if label not in matchers(selector)
        }
        assert without == {each["dashboard"] for each in exclusions()[rule]["entries"]}


# --- the small parts of which expressions are made ----------------------------------------------------------------------


def test_target_labels_are_those_that_recorded_series_drop():
    parameters = (ROOT / "prometheus" / "parameters.yaml").read_text()
    found = re.search(r"^targetLabels: ([\w, ]+)$", parameters, re.MULTILINE)
    assert found is not None
    assert set(found[1].strip().split(", ")) == set(TARGET_LABELS.split(", "))


def test_a_scope_filters_by_what_the_dashboard_has_variables_for():
    scope = Scope(node=True, protocol='="storj"', workload=True)
    assert scope.of_workload("x", 'a="b"') == (
        'x{job=~"$job", instance=~"$instance", node=~"$node", protocol="storj", workload=~"$workload", a="b"}'
    )
    assert scope.of_policy("x") == 'x{job=~"$job", instance=~"$instance"}'
    assert scope.recorded("node:x:sum") == 'node:x:sum{node=~"$node"}'
    assert scope.recorded("protocol:x:sum") == 'protocol:x:sum{protocol="storj"}'
    assert scope.recorded("orcha:x:sum") == "orcha:x:sum"
    assert Scope(policy=True).recorded("policy:x:max") == 'policy:x:max{policy=~"$policy"}'


def test_the_most_and_the_least_are_chosen_at_the_end_of_the_time_range():
    assert most("x", 3) == f"({deduped('x')} and topk(3, {deduped('last_over_time(x[1d] @ end())')}))"
    assert least("x", 3) == f"({deduped('x')} and bottomk(3, {deduped('last_over_time(x[1d] @ end())')}))"


def test_a_quantile_is_taken_over_buckets_summed_by_what_is_shown():
    assert quantile(0.5, "x_bucket") == "histogram_quantile(0.5, sum by (le) (rate(x_bucket[$__rate_interval])))"
    assert "sum by (le, step)" in quantile(0.9, "x_bucket", "step")


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_for_series_and_labels_that_there_are(name):
    for found in variables(name).values():
        if found["name"] == "datasource":
            continue
        query, label = re.fullmatch(r"label_values\((.*), (\w+)\)", found["definition"]).groups()
        (selector,) = selectors(parse(query))
        names = [selector.name] if selector.name else matchers(selector)["__name__"].split("|")
        for family in names:
            assert {label, *matchers(selector)} - {"__name__"} <= EXPORTED[family] | {"job", "instance"}
