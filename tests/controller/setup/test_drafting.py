"""The first manifests as text: valid, commented, and never more than what was found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from controller.manifests import load
from controller.setup.drafting import draft
from controller.setup.found import Found
from controller.setup.sizing import Machine
from controller.setup.wish import Wish
from exporters.collector import discover
from exporters.reading import Reading

TIB, GIB = 2**40, 2**30
MACHINE = Machine(8, 32 * GIB)
COLLECTORS = discover()
MAPPING = {
    "requests": {"metrics": {"url": "{endpoint}/metrics", "format": "prometheus"}},
    "figures": {"healthy": {"request": "metrics", "metric": "up", "atLeast": 0}},
}


def reading(protocol, **figures):
    return Reading("here", protocol, protocol, 0.0, up=True, **figures)


def storj(endpoint="http://127.0.0.1:14002", version="1.162.3"):
    seen = reading(
        "storj", allocated={"storage": 8.0 * TIB}, used={"storage": 5.0 * TIB}, version=version, node_id="12Eab" * 9
    )
    return Found("storj", endpoint, seen)


def golem(endpoint="http://127.0.0.1:7465"):
    seen = reading("golem", allocated={"cpu": 4.0, "memory": 8.0 * GIB}, used={"cpu": 1.0}, state="idle")
    return Found("golem", endpoint, seen, {"appKeyFile": "/run/secrets/a: 'key' #1"})


def grass():
    return Found(
        "grass", "https://api.getgrass.io", reading("grass", state="earning"), {"accessTokenFile": "/run/token"}
    )


def mapped():
    return Found("mapped", "http://127.0.0.1:9100", reading("mapped"), mapping=MAPPING, metrics=("up", "a_b"))


def streamr():
    seen = reading("streamr", allocated={"stake/DATA": 50_000.0})
    return Found(
        "streamr", "https://rpc.example", seen, options={"operator": "0x" + "1" * 40, "sponsorship": "0x" + "2" * 40}
    )


def drafted(*found, machine=MACHINE, **more):
    return draft(Wish(Path("m"), "rack", **more), found, machine, None)


def loaded(made, tmp_path):
    for name, text in made.files.items():
        (tmp_path / name).write_text(text)
    found = load([tmp_path], COLLECTORS)
    assert not found.problems
    return found


def test_all_that_can_be_found_becomes_one_valid_whole(tmp_path):
    found = loaded(drafted(storj(), golem(), grass(), mapped(), streamr()), tmp_path)
    (node,) = found.nodes
    assert node.name == "rack"
    assert set(node.spec.workloads) == {"storj", "golem", "grass", "metrics", "streamr"}
    assert {name for name, spec in node.spec.workloads.items() if spec.allocation} == {"storj", "golem", "streamr"}
    assert all(spec.actuator is None for spec in node.spec.workloads.values()), "nothing that was found may be changed"
    assert [policy.spec.mode for policy in found.policies] == ["Suggest"]
    assert found.nodes_of(found.policies[0]) == found.nodes


def test_text_from_outside_stays_text(tmp_path):
    """The name of a file with signs of YAML in it, a version that would end the comment."""
    found = loaded(drafted(golem(), storj(version="1.0\nspec: {}")), tmp_path)
    assert found.nodes[0].spec.workloads["golem"].credentials.model_extra == {"appKeyFile": "/run/secrets/a: 'key' #1"}
    assert set(found.nodes[0].spec.workloads) == {"golem", "storj"}


def test_several_of_one_kind_are_numbered_and_other_machines_are_other_nodes(tmp_path):
    made = drafted(storj(), storj("http://127.0.0.1:14003"), storj("http://192.168.1.7:14002"))
    assert list(made.workloads) == ["rack/storj-1", "rack/storj-2", "192-168-1-7/storj"]
    found = loaded(made, tmp_path)
    assert [node.spec.capacity["storage"] for node in found.nodes] == [8 * TIB, 16 * TIB]


@pytest.mark.parametrize("host", ["policy", "settings", "rack"])
def test_a_machine_that_is_called_like_another_file_gets_another_name(host, tmp_path):
    made = drafted(storj(), storj(f"http://{host}:14002"))
    assert f"{host}-node.yaml" in made.files
    assert len(loaded(made, tmp_path).nodes) == 2


def test_of_this_machine_the_cores_are_the_capacity_of_another_only_what_is_offered(tmp_path):
    here = loaded(drafted(golem()), tmp_path).nodes[0]
    assert here.spec.capacity["cpu"] == 8
    other = yaml.safe_load(drafted(golem("http://there:7465")).files["there.yaml"])
    assert other["spec"]["capacity"]["cpu"] == "4"


def test_every_bound_says_why(tmp_path):
    text = drafted(storj()).files["rack.yaml"]
    for key in ("min", "max", "step"):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        assert "# " in line
    assert "docs/drivers.md" in text


def test_what_cannot_be_moved_says_why_not(tmp_path):
    made = drafted(Found("golem", "http://127.0.0.1:7465", reading("golem"), {"appKeyFile": "/run/key"}))
    assert "it offers nothing now" in made.files["rack.yaml"]
    assert "allocation:" not in made.files["rack.yaml"]
    loaded(made, tmp_path)


def test_prices_of_the_owner_and_none_of_others_are_kept(tmp_path):
    settings = loaded(drafted(storj(), offline=True, prices={"GLM": 0.25, "1INCH": 3e-7}), tmp_path).settings
    assert (settings.spec.prices.sources, settings.spec.prices.static) == ([], {"GLM": 0.25, "1INCH": 3e-7})
    assert "prices" not in drafted(storj()).files["settings.yaml"]
