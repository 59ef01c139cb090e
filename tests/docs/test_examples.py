"""What the documentation shows as YAML is what `orcha validate` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from controller.__main__ import app
from exporters.collector import names

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILES = sorted((ROOT / "docs").rglob("*.yaml"))
BLOCKS = {
    f"{page.relative_to(ROOT)} {number}": text
    for page in PAGES
    for number, text in enumerate(re.findall(r"```ya?ml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1)
}
AROUND = {"apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": "example"}}


STORJ = {
    "protocol": "storj", "endpoint": "http://127.0.0.1:14002",
    "allocation": {"resource": "storage", "min": "1Ti", "max": "8Ti", "step": "128Gi"},
}  # fmt: skip
GOLEM = {
    "protocol": "golem", "endpoint": "http://127.0.0.1:7465", "credentials": {"appKeyFile": "/etc/orcha/key"},
    "allocation": {"resource": "cpu", "min": "2", "max": "8", "step": "1", "with": {"memory": "1Gi"}, "reserve": ["memory"]},
}  # fmt: skip


def whole(text: str) -> str:
    """A manifest as it is; of one part of a workload, the Node around it; of a policy, its apiVersion and a Node."""
    documents = list(yaml.safe_load_all(text))
    if "apiVersion" in documents[0]:
        return text
    if "kind" in documents[0]:
        policy = {"apiVersion": AROUND["apiVersion"], **documents[0]}
        return yaml.safe_dump_all([policy, {**AROUND, "spec": {"capacity": {"cpu": 8}}}])
    around = {"protocol": "mapped", "endpoint": "http://127.0.0.1:4050"}
    if documents[0].keys() == {"actuator"}:
        around = STORJ if "{storage" in text else dict(GOLEM)
        if "{memory" in text or "memory]" in text:
            around = {**GOLEM, "allocation": {**GOLEM["allocation"], "reserve": []}}
    spec = {
        "capacity": {"cpu": 8, "memory": "16Gi", "storage": "8Ti"},
        "workloads": {"one": {**around, **documents[0]}},
    }
    return yaml.safe_dump({**AROUND, "spec": spec})


def is_for_kubernetes(text: str) -> bool:
    """What kubectl takes; the end-to-end tests give the Roles to a real API server."""
    documents = list(yaml.safe_load_all(text))
    return all("orcha.dev" not in str(each.get("apiVersion", "orcha.dev")) for each in documents)


def validated(text: str, tmp_path: Path) -> str:
    (tmp_path / "example.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", str(tmp_path)])
    return "" if result.exit_code == 0 else result.output


OURS = {place: text for place, text in BLOCKS.items() if not is_for_kubernetes(text)}


@pytest.mark.parametrize("place", OURS)
def test_yaml_on_a_page_is_valid(place, tmp_path):
    assert validated(whole(OURS[place]), tmp_path) == ""


@pytest.mark.parametrize("place", sorted(BLOCKS.keys() - OURS.keys()))
def test_yaml_for_kubernetes_is_made_of_whole_objects(place):
    for document in yaml.safe_load_all(BLOCKS[place]):
        assert {"apiVersion", "kind", "metadata"} <= document.keys()
        assert document["metadata"]["name"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_file_is_valid(file, tmp_path):
    assert validated(file.read_text(encoding="utf-8"), tmp_path) == ""


def test_a_wrong_example_would_be_seen(tmp_path):
    text = (ROOT / "docs" / "protocols" / "storj.md").read_text(encoding="utf-8")
    wrong = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0].replace("min: 1Ti", "min: 400G")
    assert "refuses to start below" in validated(wrong, tmp_path)


@pytest.mark.parametrize("protocol", names())
def test_every_protocol_has_a_page_with_an_example(protocol):
    assert any(place.startswith(f"docs/protocols/{protocol}.md") for place in BLOCKS)
