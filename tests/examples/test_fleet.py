"""The example of a fleet is what each of its sites is given: valid with that site's own file, and the limits mean something."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.fleet.limits import limits_of
from controller.manifests import load
from exporters.collector import discover

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "fleet"
SITES = ["garage", "home", "lab"]


def loaded(site):
    return load([FOLDER / "fleet.yaml", FOLDER / f"{site}.yaml"], discover())


def test_there_is_a_file_for_each_site_and_no_other():
    fleet = loaded("home").fleet
    assert fleet is not None
    assert fleet.spec.sites == SITES
    assert {path.stem for path in FOLDER.iterdir()} == {"fleet", *SITES}


@pytest.mark.parametrize("site", SITES)
def test_what_a_site_is_given_is_valid_and_its_own(site):
    found = loaded(site)
    assert found.problems == ()
    assert found.fleet is not None
    assert [node.name for node in found.nodes] == [f"{site}-1"]
    assert [policy.name for policy in found.policies] == [site]
    assert found.policies[0].spec.selector.match_labels == {"site": site}


@pytest.mark.parametrize("site", SITES)
def test_each_limit_has_workloads_at_each_site_that_it_counts(site):
    found = loaded(site)
    assert found.fleet is not None
    held = {
        (spec.protocol, spec.allocation.resource)
        for node in found.nodes
        for spec in node.spec.workloads.values()
        if spec.allocation is not None
    }
    assert {(limit.protocol, limit.resource) for limit in found.fleet.spec.limits} == held


def test_all_sites_together_could_break_each_upper_limit_and_keep_each_lower_one():
    """Else the example would show nothing."""
    nodes = [node for site in SITES for node in loaded(site).nodes]
    fleet = loaded("home").fleet
    assert fleet is not None
    for limit in fleet.spec.limits:
        parts = [
            spec.allocation
            for node in nodes
            for spec in node.spec.workloads.values()
            if spec.protocol == limit.protocol and spec.allocation is not None
        ]
        if limit.max_total is not None:
            assert sum(part.min for part in parts) <= limit.max_total < sum(part.max for part in parts)
        if limit.min_total is not None:
            assert sum(part.min for part in parts) < limit.min_total <= sum(part.max for part in parts)
        if limit.max_count is not None:
            assert limit.max_count < len(parts)


def test_they_are_shared_out_among_the_three_as_the_page_says():
    fleet = loaded("home").fleet
    assert fleet is not None
    cores = next(limit for limit in limits_of(fleet.spec) if limit.name.startswith("golem-cores"))
    assert [cores.share(cores.most or 0, site) for site in SITES] == [4000, 4000, 4000]
