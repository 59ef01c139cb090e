"""What scripts/chart.py writes: the chart's README and schema say what values.yaml says, and all versions are one."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from pydantic.alias_generators import to_camel

from controller.manifests import KINDS
from exporters import __version__
from exporters.settings import SettingsSpec, needing_a_restart
from scripts import chart
from scripts._chart_values import NotDescribed, Value, table_of, values_of

VALUES = (chart.CHART / "values.yaml").read_text()
README = (chart.CHART / "README.md").read_text()
SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())
HELPER = (chart.CHART / "templates" / "_manifests.tpl").read_text()
KEPT_FIELDS = {"listen": ":1", "state": "sqlite:///b.db", "state_file": "/b", "retention": "60d", "log_format": "json"}
CHANGED = KEPT_FIELDS | {
    "alertmanager_url": "http://b",
    "api": {"tokenFiles": {"read": "/b"}},
    "exporter_listen": ":1",
    "grafana_url": "http://b",
    "lease": {"namespace": "a", "name": "b"},
    "prices": {"sources": []},
    "prometheus": {"matchers": 'a="b"'},
    "prometheus_url": "http://b",
    "source": "prometheus",
}
"""Each field of Settings with another value than its default."""


def keys_of(data, path=()):
    for name, value in data.items():
        yield ".".join((*path, name))
        if isinstance(value, dict):
            yield from keys_of(value, (*path, name))


def properties_of(schema, path=()):
    for name, inner in schema.get("properties", {}).items():
        yield ".".join((*path, name))
        yield from properties_of(inner, (*path, name))


def test_the_readme_and_the_schema_are_what_the_values_say(capsys):
    assert chart.main(["--check"]) == 0, capsys.readouterr().err


def test_every_value_is_a_row_of_the_readme():
    rows = re.findall(r"(?m)^\| `([\w.]+)` \|", README)
    listed = [value.name for value in values_of(VALUES) if not (value.block and len(value.path) == 1)]
    assert sorted(rows) == sorted(listed)
    assert len(rows) > 150


def test_every_block_of_the_chart_is_closed_and_names_exactly_the_keys_of_the_values():
    values = values_of(VALUES)
    whole = SCHEMA

    def at(path):
        found = whole
        for key in path:
            found = found.get("properties", {}).get(key, {})
        return found

    blocks = [value for value in values if value.block and "properties" in at(value.path)]
    for block in blocks:
        schema = at(block.path)
        assert schema["additionalProperties"] is False, block.name
        assert set(block.default) <= set(schema["properties"]), block.name
    assert set(whole["properties"]) == set(yaml.safe_load(VALUES))
    assert len(blocks) > 30


def test_nothing_in_the_schema_is_missing_in_the_values():
    written = set(keys_of(yaml.safe_load(VALUES)))
    elsewhere = ("manifests.settings.", "prometheusRule.parameters.", "alertmanagerConfig.receivers.")
    claims = re.compile(r"(^|\.)resources\.claims$")  # of Kubernetes 1.26 and later; nobody needs it by default
    missing = [
        name
        for name in properties_of(SCHEMA)
        if name not in written and not name.startswith(elsewhere) and not claims.search(name)
    ]
    assert missing == []


def test_the_app_version_is_the_package_s_and_in_the_names_of_the_images():
    about = chart.described()
    assert about["appVersion"] == __version__
    assert list(chart.disagreements()) == []


def test_a_version_that_was_left_behind_is_said():
    said = "\n".join(chart.disagreements("9.9.9"))
    assert "appVersion" in said
    assert "9.9.9" in said


def test_the_schemas_of_the_manifests_are_those_of_the_models():
    definitions = SCHEMA["definitions"]
    for kind, model in KINDS.items():
        spec = model.model_json_schema(by_alias=True)
        for name, part in spec["$defs"].items():
            if name != "Metadata":
                written = definitions[f"{kind}.{name}"]
                assert set(written.get("properties", {})) == set(part.get("properties", {})), f"{kind}.{name}"
                assert written.get("required", []) == part.get("required", []), f"{kind}.{name}"


def test_the_checksum_covers_exactly_the_settings_that_are_read_at_the_start_only():
    found = re.search(r'define "orcha\.settings\.restart".*?end -}}', HELPER, re.DOTALL)
    assert found
    covered = set(re.findall(r'"([a-zA-Z]+)"', found[0])) - {"orcha"}
    assert set(CHANGED) == set(SettingsSpec.model_fields)
    given = {"source": "prometheus", "prometheus_url": "http://a"}  # with another source, its address is read on the go
    before = SettingsSpec.model_validate(given)
    asked = {
        name
        for name, value in (CHANGED | {"source": "embedded"}).items()
        if needing_a_restart(before, SettingsSpec.model_validate({**given, name: value}))
    }
    assert covered == {to_camel(name) for name in asked} | {"exporterListen"}


@pytest.mark.parametrize(
    ("text", "name"), [("a: 1\n", "a"), ("# about a\na:\n  b: 1\n", "a.b")], ids=["at the top", "within a block"]
)
def test_a_value_without_a_comment_is_refused_by_its_name(text, name):
    with pytest.raises(NotDescribed, match=rf"{re.escape(name)} has no comment"):
        values_of(text)


def test_what_stands_in_braces_is_one_value():
    assert values_of("# about a\na: {b: 1}\n") == [Value(("a",), {"b": 1}, "about a", block=False)]


def test_a_comment_of_several_lines_is_one_paragraph_and_a_bar_does_not_break_the_table():
    rows = table_of(values_of("# a | b,\n# and more\na: true\n"))
    assert "| `a` | `true` | a \\| b, and more |" in rows
