"""The page that draws dashboards: what its build takes is named by version and hash, and never by where it comes from."""

from __future__ import annotations

import json
import re

from tests.e2e.programs import ROOT

PAGE = ROOT / "scripts" / "tools" / "grafana_scenes"


def packages():
    lock = json.loads((PAGE / "package-lock.json").read_text())
    return {name: entry for name, entry in lock["packages"].items() if name}


def test_the_lock_has_a_hash_of_every_package_and_no_address():
    assert [name for name, entry in packages().items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, entry in packages().items() if "resolved" in entry] == []


def test_grafanas_own_libraries_are_pinned_to_one_version():
    wanted = json.loads((PAGE / "package.json").read_text())["dependencies"]
    grafana = {name: version for name, version in wanted.items() if name.startswith("@grafana/")}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in grafana.values())
    assert {packages()[f"node_modules/{name}"]["version"] for name in grafana} == set(grafana.values())
    assert len({version for name, version in grafana.items() if name != "@grafana/scenes"}) == 1
