"""The committed JSON: it is what the code says, Grafana knows every key of it, and it is laid out without holes."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace

import pytest
import yaml

from grafana.__main__ import FOLDER, main, pages
from grafana.board import WIDTH, Row, build, linked
from grafana.boards import BOARDS as CODE
from grafana.figures import COUNT
from grafana.panels import Place, stats
from grafana.queries import Query
from grafana.sdk import decode, encode, render
from tests.grafana.boards import BOARDS, NAMES, ROOT, panels, variables

TITLES = {
    "orcha-allocation": "orcha / Allocation",
    "orcha-controller": "orcha / Controller health",
    "orcha-fleet": "orcha / Fleet",
    "orcha-golem": "orcha / Golem",
    "orcha-grass": "orcha / Grass",
    "orcha-overview": "orcha / Overview",
    "orcha-programs": "orcha / Decisions and programs",
    "orcha-protocol": "orcha / Protocol",
    "orcha-report": "orcha / Performance report",
    "orcha-storj": "orcha / Storj",
    "orcha-streamr": "orcha / Streamr",
}


def test_committed_pages_are_what_the_code_says(capsys):
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_the_check_names_each_page_that_differs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("grafana.__main__.FOLDER", tmp_path)
    assert main([]) == 0
    (tmp_path / "orcha-grass.json").write_text("{}\n")
    (tmp_path / "orcha-golem.json").unlink()
    (tmp_path / "forgotten.json").write_text("{}\n")
    assert main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in told] == [
        f"grafana/dashboards/{name}.json" for name in ("forgotten", "orcha-golem", "orcha-grass")
    ]
    assert main([]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json")} == {
        path.name: path.read_bytes() for path in FOLDER.glob("*.json")
    }


def test_writing_twice_gives_the_same_bytes():
    assert pages() == pages()


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_sorted_and_indented(name):
    text = (FOLDER / f"{name}.json").read_text()
    assert text == render(BOARDS[name])
    assert text.endswith("}\n")


def test_every_dashboard_has_its_fixed_uid_and_title():
    assert {name: board["title"] for name, board in BOARDS.items()} == TITLES
    assert {name: board["uid"] for name, board in BOARDS.items()} == {name: name for name in TITLES}
    assert all(8 <= len(uid) <= 40 for uid in TITLES)


@pytest.mark.parametrize("name", NAMES)
def test_grafana_knows_every_key(name):
    assert encode(decode(copy.deepcopy(BOARDS[name]))) == BOARDS[name]


@pytest.mark.parametrize(
    "path",
    [
        ("uid",),
        ("timepicker", "refresh_intervals"),
        ("panels", 0, "description"),
        ("panels", 0, "fieldConfig", "defaults", "unit"),
        ("panels", 0, "fieldConfig", "defaults", "noValue"),
        ("panels", 0, "options", "reduceOptions"),
        ("panels", 0, "targets", 0, "expr"),
        ("panels", 0, "targets", 0, "legendFormat"),
        ("panels", 6, "fieldConfig", "defaults", "custom", "stacking"),
        ("panels", 7, "transformations", 0, "id"),
        ("templating", "list", 1, "allValue"),
        ("annotations", "list", 1, "iconColor"),
        ("links", 0, "keepTime"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_a_misspelt_key_is_found(path):
    changed = copy.deepcopy(BOARDS["orcha-overview"])
    *parents, key = path
    place = changed
    for step in parents:
        place = place[step]
    place[f"{key}X"] = place.pop(key)
    if "transformations" in path:
        assert set(changed["panels"][7]["transformations"][0]) - TRANSFORMATION
    else:
        assert encode(decode(copy.deepcopy(changed))) != changed


TRANSFORMATION = {"id", "options"}
"""The SDK hands transformations and overrides on as they are: their keys are checked here."""
OPTIONS = {
    "calculateField": {"alias", "binary", "mode"},
    "groupingToMatrix": {"columnField", "emptyValue", "rowField", "valueField"},
    "merge": set(),
    "filterFieldsByName": {"include"},
    "organize": {"excludeByName", "indexByName", "renameByName"},
    "sortBy": {"fields", "sort"},
}
PROPERTIES = {
    "color",
    "custom.cellOptions",
    "custom.fillBelowTo",
    "custom.fillOpacity",
    "custom.lineStyle",
    "custom.width",
    "decimals",
    "displayName",
    "links",
    "mappings",
    "max",
    "min",
    "noValue",
    "thresholds",
    "unit",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_sdk_does_not_look_into_has_known_keys_only(name):
    for panel in panels(name):
        for each in panel.get("transformations", ()):
            assert set(each) == TRANSFORMATION
            assert set(each["options"]) == OPTIONS[each["id"]]
        for each in panel.get("fieldConfig", {}).get("overrides", ()):
            assert set(each) == {"matcher", "properties"}
            assert each["matcher"]["id"] in {"byName", "byRegexp"}
            assert {found["id"] for found in each["properties"]} <= PROPERTIES
            assert all(set(found) == {"id", "value"} for found in each["properties"])


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_every_dashboard_are_the_same(name):
    board = BOARDS[name]
    assert board["editable"] is False
    assert board["timezone"] == "browser"
    assert board["refresh"] == "30s"
    assert board["tags"] == ["orcha"]
    assert board["time"]["to"] == "now"
    assert board["description"].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_without_holes_and_never_overlap(name):
    taken = {}
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    height = max(y for _, y in taken) + 1
    assert set(taken) == {(x, y) for x in range(WIDTH) for y in range(height)}


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_panels_are_unique(name):
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))


def test_a_line_that_does_not_fill_the_grid_is_refused():
    panel = stats("Title", "Words.", [Query("up")], COUNT, Place(5, 4))
    with pytest.raises(ValueError, match="ends at column 5 of 24"):
        build(replace(CODE[0], rows=[Row(None, [panel])]), CODE)


def test_neighbours_of_different_heights_are_refused():
    both = [stats("Title", "Words.", [Query("up")], COUNT, Place(12, height)) for height in (4, 5)]
    with pytest.raises(ValueError, match="5 high, its neighbour 4"):
        build(replace(CODE[0], rows=[Row(None, both)]), CODE)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_every_other_dashboard_and_take_variables_and_time_along(name):
    found = BOARDS[name]["links"]
    assert [link["url"].partition("?")[0] for link in found] == [
        f"/d/{board.uid}" for board in CODE if board.uid != name
    ]
    for link in found:
        uid, _, query = link["url"].removeprefix("/d/").partition("?")
        along = re.findall(r"\$\{(\w+):queryparam\}", query)
        shared = [each for each in variables(name) if each in variables(uid)]
        assert along == shared or along == [each for each in shared if each != "workload"]
        assert link["keepTime"] is True
        assert link["type"] == "link"


def test_a_workload_is_not_taken_along_to_another_protocol():
    boards = {board.uid: board for board in CODE}
    assert "workload" not in str(linked(boards["orcha-storj"], boards["orcha-golem"]).url)
    assert "workload" not in str(linked(boards["orcha-protocol"], boards["orcha-storj"]).url)
    assert "node" in str(linked(boards["orcha-storj"], boards["orcha-golem"]).url)


@pytest.mark.parametrize("name", NAMES)
def test_links_in_tables_lead_to_dashboards_and_variables_that_exist(name):
    text = json.dumps(panels(name))
    for uid, query in re.findall(r'"url": "/d/([\w-]+)\?([^"]*)"', text):
        given = set(re.findall(r"var-(\w+)=", query))
        assert given
        assert given <= set(variables(uid)), f"{uid} has no such variable"
        assert query.endswith("${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}")


@pytest.mark.parametrize("kind", ["dashboards", "datasources"])
def test_a_fresh_grafana_is_told_where_everything_is(kind):
    page = yaml.safe_load((ROOT / "grafana" / "provisioning" / kind / "orcha.yaml").read_text())
    assert page["apiVersion"] == 1
    if kind == "datasources":
        (source,) = page["datasources"]
        assert source["type"] == "prometheus"
        assert source["url"].startswith("$")
        assert source["isDefault"] is True
    else:
        (provider,) = page["providers"]
        assert provider["type"] == "file"
        assert provider["allowUiUpdates"] is False
        assert provider["options"]["path"].startswith("$")
