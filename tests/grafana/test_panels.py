"""Every panel: conventions rows 39 to 45, the rules of dashboard-linter stated again, and ours."""

from __future__ import annotations

import re

import pytest

from grafana.figures import PROTOCOLS
from tests.grafana.boards import BOARDS, EXPORTED, FILTERS, NAMES, panels, parse, selectors, variables

CORE = {"timeseries", "stat", "table", "gauge", "bargauge", "text"}
SPECIAL = {"orcha-fleet": {"nodeGraph"}}
"""What one dashboard may have besides, and no other."""
EXPECTED = {
    "orcha-allocation": ["node"],
    "orcha-controller": [],
    "orcha-fleet": [],
    "orcha-golem": ["node", "workload"],
    "orcha-grass": ["node", "workload"],
    "orcha-overview": ["node", "policy"],
    "orcha-programs": ["policy"],
    "orcha-protocol": ["node", "protocol", "workload"],
    "orcha-report": ["node", "policy"],
    "orcha-storj": ["node", "workload"],
    "orcha-streamr": ["node", "workload"],
}


# --- variables (template-datasource, template-job, template-instance, template-on-time-change-reload) ----------------


@pytest.mark.parametrize("name", NAMES)
def test_the_variables_are_data_source_job_instance_and_then_what_the_dashboard_is_about(name):
    assert list(variables(name)) == ["datasource", "job", "instance", *EXPECTED[name]]


@pytest.mark.parametrize("name", NAMES)
def test_the_data_source_is_chosen_by_a_variable(name):
    found = variables(name)["datasource"]
    assert found["type"] == "datasource"
    assert found["query"] == "prometheus"
    assert found["label"] == "Data Source"


@pytest.mark.parametrize("name", NAMES)
def test_every_other_variable_is_asked_for_again_when_the_time_changes(name):
    for found in variables(name).values():
        if found["name"] == "datasource":
            continue
        assert found["type"] == "query"
        assert found["refresh"] == 2
        assert found["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert found["query"]["query"] == found["definition"]
        assert found["label"]
        assert found["description"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_all_is_one_pattern_and_not_a_thousand_names(name):
    for found in variables(name).values():
        if found["name"] in {"datasource", "protocol"}:
            continue
        assert found["multi"] is True
        assert found["includeAll"] is True
        assert found["allValue"] == ".+"
        assert found["current"]["value"] == ["$__all"]


def test_one_protocol_is_shown_at_a_time():
    found = variables("orcha-protocol")["protocol"]
    assert found["multi"] is False
    assert found["includeAll"] is False


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_is_narrowed_by_those_before_it(name):
    known = variables(name)
    before = []
    for each in [each for each in FILTERS if each in known]:
        query = known[each]["definition"]
        assert query.startswith("label_values(")
        assert query.endswith(f", {each})")
        wanted = [other for other in before if each != "policy" or other in {"job", "instance"}]
        assert re.findall(r'(\w+)=~"\$(\w+)"', query) == [(other, other) for other in wanted]
        before.append(each)


# --- panels (panel-datasource, panel-title-description, panel-units, panel-no-targets) --------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_only_core_panels_are_used(name):
    found = {panel["type"] for panel in panels(name)}
    assert found <= CORE | SPECIAL.get(name, set())
    assert found >= SPECIAL.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows(name):
    for panel in panels(name):
        assert panel["title"], panel["id"]
        assert len(panel["title"]) <= 40, panel["title"]
        assert re.fullmatch(r"[A-Z0-9].*\.", panel["description"]), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_titles_within_a_row_are_unique(name):
    seen = set()
    for panel in BOARDS[name]["panels"]:
        if panel["type"] == "row":
            seen = set()
            continue
        assert panel["title"] not in seen
        seen.add(panel["title"])


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_asks_the_chosen_data_source(name):
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(name):
        assert panel["datasource"] == source
        if panel["type"] != "text":
            assert panel["targets"], panel["title"]
        assert all(target["datasource"] == source for target in panel.get("targets", ()))


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_a_unit_thresholds_and_words_for_nothing(name):
    for panel in panels(name):
        if panel["type"] == "text":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert defaults["noValue"] != "No data"


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_rise(name):
    for panel in panels(name):
        steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
        values = [step["value"] for step in steps]
        assert values[:1] in ([], [None]), panel["title"]
        assert values[1:] == sorted(values[1:]), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_money_per_hour_has_four_decimals_or_more(name):
    for panel in panels(name):
        fields = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        columns = [
            {found["id"]: found["value"] for found in each["properties"]} | {"for": each["matcher"]["options"]}
            for each in fields["overrides"]
        ]
        for each in [fields["defaults"], *columns]:
            if each.get("unit") != "currencyUSD":
                continue
            rated = "_usd_per_hour:" in str(panel["targets"]) and "sum_over_time" not in str(panel["targets"])
            if ("/h" in str(each.get("for", "")) or rated) and not re.search("day|month", panel["title"]):
                assert each["decimals"] >= 4, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_a_number_of_0_and_1_is_shown_as_a_word(name):
    for panel in panels(name):
        words = panel.get("fieldConfig", {}).get("defaults", {}).get("mappings", [])
        found = {key for each in words if each["type"] == "value" for key in each["options"]}
        assert not ({"1"} & found) or {"0", "1"} <= found, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_graph_has_a_readable_legend(name):
    for panel in panels(name):
        if panel["type"] != "timeseries":
            continue
        assert panel["options"]["legend"]["showLegend"] is True
        assert panel["options"]["tooltip"]["mode"] == "multi"
        assert panel["maxDataPoints"] <= 300
        for target in panel["targets"]:
            assert target["legendFormat"] not in {"", "__auto"}, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_several_numbers_in_one_panel_have_names(name):
    for panel in panels(name):
        if panel["type"] in {"stat", "gauge", "bargauge"} and len(panel["targets"]) > 1:
            names = [target["legendFormat"] for target in panel["targets"]]
            assert len(set(names)) == len(names)
            assert "__auto" not in names


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_has_one_colour_everywhere(name):
    for panel in panels(name):
        found = {
            each["matcher"]["options"]: prop["value"]["fixedColor"]
            for each in panel.get("fieldConfig", {}).get("overrides", ())
            for prop in each["properties"]
            if prop["id"] == "color" and each["matcher"]["id"] == "byName"
        }
        assert {key: value for key, value in found.items() if key in PROTOCOLS}.items() <= PROTOCOLS.items()
        if any("{{protocol}}" in target.get("legendFormat", "") for target in panel.get("targets", ())):
            assert set(PROTOCOLS) <= set(found), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_tables_are_fields_that_their_queries_have(name):
    for panel in panels(name):
        if panel["type"] != "table" or is_matrix(panel):
            continue
        letters = [target["refId"] for target in panel["targets"]]
        steps = {each["id"]: each["options"] for each in panel["transformations"]}
        kept = steps["filterFieldsByName"]["include"]["names"]
        assert ("merge" in steps) == (len(letters) > 1)
        assert kept == list(steps["organize"]["renameByName"]) or set(kept) == set(steps["organize"]["renameByName"])
        values = {f"Value #{letter}" for letter in letters} if len(letters) > 1 else {"Value"}
        for field in kept:
            labels = any(re.search(rf"\b{field}\b", target["expr"]) for target in panel["targets"])
            assert field in values or labels or field in {"source", "target"}, (panel["title"], field)
        titles = set(steps["organize"]["renameByName"].values())
        named = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
        assert named == titles
        assert {each["displayName"] for each in panel["options"]["sortBy"]} <= titles


def is_matrix(panel):
    return "groupingToMatrix" in [each["id"] for each in panel.get("transformations", ())]


def test_only_the_fleet_has_a_matrix_and_its_rows_and_columns_are_labels_of_its_query():
    found = [(name, panel) for name in NAMES for panel in panels(name) if is_matrix(panel)]
    assert [name for name, _ in found] == ["orcha-fleet"]
    ((_, panel),) = found
    columns, step, lines = (each["options"] for each in panel["transformations"])
    (target,) = panel["targets"]
    assert (step["rowField"], step["columnField"], step["valueField"]) == ("via", "to", "Value")
    assert [each["sort"] for each in (columns, lines)] == [[{"field": "to"}], [{"field": "via\\to"}]]
    assert "sum by (le, via, to)" in target["expr"]
    assert target["format"] == "table"


def test_the_node_graph_knows_its_nodes_and_edges():
    (panel,) = [each for each in panels("orcha-fleet") if each["type"] == "nodeGraph"]
    nodes, edges = panel["targets"]
    assert (nodes["refId"], edges["refId"]) == ("nodes", "edges")
    assert {"id", "title"} <= labels_made_by(nodes["expr"])
    assert {"id"} <= labels_made_by(edges["expr"])
    assert "by (source, target)" in edges["expr"]
    made = {each["options"]["alias"] for each in panel["transformations"] if each["id"] == "calculateField"}
    assert made == {"mainstat", "arc__heard"}
    assert {arc["field"] for arc in panel["options"]["nodes"]["arcs"]} < made


def labels_made_by(expr):
    return set(re.findall(r'"(\w+)", "[^"]*", "(?:agent|source)"', expr))


# --- annotations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_programs_rollbacks_and_alerts_are_marked_on_graphs(name):
    marks = {each["name"]: each for each in BOARDS[name]["annotations"]["list"] if "target" in each}
    assert list(marks) == ["Programs applied", "Rollbacks", "Critical alerts", "Warnings"]
    calm = name in {"orcha-overview", "orcha-allocation"}
    assert [each["enable"] for each in marks.values()] == [calm, True, True, False]
    for mark in marks.values():
        assert mark["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert mark["titleFormat"]


# --- a thousand workloads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_graphs_that_read_what_every_workload_shows_have_few_points(name):
    for panel in panels(name):
        if panel["type"] != "timeseries":
            continue
        read = {selector.name for target in panel["targets"] for selector in selectors(parse(target["expr"]))}
        each = any("workload" in EXPORTED.get(family, ()) for family in read)
        assert panel["maxDataPoints"] <= (150 if each else 300), panel["title"]
