"""The families that protocols declare, against metrics.md: names that promtool takes, and labels of bounded number."""

from __future__ import annotations

import subprocess

import pytest

from exporters.collector import discover
from exporters.metrics import families_of

FAMILIES = families_of(discover())

BOUNDED = {
    "address": "one for each satellite; a host and a port, never any other text",
    "allowed_version": "one at a time",
    "cause": "named in the module",
    "counter": "cpu, duration",
    "device": "numbers up to 16",
    "direction": "egress, ingress",
    "event": "named in the module",
    "kind": "named in the module",
    "network": "main, test",
    "quic_status": "one at a time",
    "reason": "errors.REASONS",
    "satellite": "at most 64, four in truth",
    "satellite_id": "the same",
    "source": "node, subgraph",
    "state": "named in the module",
    "statistic": "min, mean, max",
    "status": "named in the module",
}
"""label -> why the number of its values is bounded. A new label needs its reason here."""

ENDINGS = (
    "_percent",
    "_hours",
    "_days",
    "_watts",
    "_age_seconds",
    "_cents",
    "_gib",
    "_gigabytes",
    "_milliseconds",
    "_bits",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_label_has_a_bounded_number_of_values(name):
    assert set(FAMILIES[name].labels) <= BOUNDED.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_name_is_in_base_units(name):
    assert not name.removesuffix("_total").endswith(ENDINGS)
    assert "wallet" not in name


@pytest.mark.tool("prometheus")
def test_promtool_takes_every_family_that_a_protocol_declares(tool):
    page = []
    for name, family in FAMILIES.items():
        labels = ",".join(f'{label}="x"' for label in ("node", "protocol", "workload", *family.labels))
        page += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}", f"{name}{{{labels}}} 1", ""]
    promtool = [str(tool("prometheus") / "promtool"), "check", "metrics"]
    said = subprocess.run(promtool, input="\n".join(page), capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
