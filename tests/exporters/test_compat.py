"""The old names, as dashboards for anclrii/Storj-Exporter ask for them."""

from __future__ import annotations

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporters import compat
from exporters.collector import Payloads, Workload
from exporters.nodes import WorkloadSpec
from exporters.protocols import storj
from tests.exporters.protocols.storj_node import EU1, NOW, THEN, US1, old_look, one_look


def read(bodies, node: str = "rack-1", now: float = NOW):
    spec = WorkloadSpec(protocol="storj", endpoint="http://127.0.0.1:14002")
    return storj.parse(Payloads(bodies, now), Workload(node, "storj", spec, storj.TRAITS), now)


def samples(*readings) -> dict[tuple[str, frozenset], float]:
    families = text_string_to_metric_families(compat.storj_exporter(readings))
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(found, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_one_node_has_exactly_the_old_labels():
    found = samples(read(one_look()))
    assert value(found, "storj_total_diskspace", type="trash") == 61.2e9
    assert value(found, "storj_total_bandwidth", type="used") == 803.4e9
    assert value(found, "storj_total_bandwidth", type="available") == 0
    us1 = {"satellite": US1, "url": "us1.storj.io:7777"}
    assert value(found, "storj_sat_audit", type="onlineScore", **us1) == 0.9987654
    assert value(found, "storj_sat_month_egress", type="usage", **us1) == 12.11e9
    assert value(found, "storj_sat_month_ingress", type="repair", **us1) == 2.004e9
    assert value(found, "storj_sat_summary", type="storageSummary", **us1) == 1734.816e12
    assert value(found, "storj_sat_day_storage", type="atRestTotal", **us1) == 43.512e12
    assert value(found, "storj_node_info", type="version", version="1.162.3") == 1
    assert value(found, "storj_node_info", type="upToDate", upToDate="True") == 1


def test_available_is_the_allocation_and_used_leaves_the_trash_out_whatever_the_version():
    new, old = samples(read(one_look())), samples(read(old_look(), now=THEN))
    assert value(new, "storj_total_diskspace", type="available") == 8e12
    assert value(new, "storj_total_diskspace", type="used") == 5421.3e9 - 61.2e9
    assert value(old, "storj_total_diskspace", type="available") == 3.5e12
    assert value(old, "storj_total_diskspace", type="used") == 3381577296000


PAYOUTS = (
    "egressBandwidth", "egressBandwidthPayout", "egressRepairAudit", "egressRepairAuditPayout",
    "diskSpace", "diskSpacePayout", "heldRate", "payout", "held",
)  # fmt: skip


@pytest.mark.parametrize("name", PAYOUTS)
def test_payouts_are_what_the_node_itself_says_in_its_own_units(name):
    bodies = one_look()
    said = value(samples(read(bodies)), "storj_payout_currentMonth", type=name)
    assert said == pytest.approx(bodies["estimate"]["currentMonth"][name], rel=1e-12)


def test_the_expectation_stands_beside_them():
    assert value(samples(read(one_look())), "storj_payout_currentMonth", type="currentMonthExpectations") == 667


def test_several_nodes_are_told_apart():
    found = samples(read(one_look(), "a"), read(one_look(), "b"))
    for node in ("a", "b"):
        assert value(found, "storj_total_diskspace", type="available", node=node, workload="storj") == 8e12
    assert value(found, "storj_node_info", type="version", version="1.162.3", node="b", workload="storj") == 1


def test_a_node_that_did_not_answer_and_other_protocols_are_left_out():
    reading = read(one_look())
    assert samples(dataclasses.replace(reading, up=False), dataclasses.replace(reading, protocol="golem")) == {}


def test_a_satellite_that_failed_has_flags_and_no_figures():
    bodies = one_look()
    del bodies["details"][EU1]
    found = samples(read(bodies))
    eu1 = {"satellite": EU1, "url": "eu1.storj.io:7777"}
    assert value(found, "storj_sat_summary", type="disqualified", **eu1) == 0
    assert value(found, "storj_sat_summary", type="storageSummary", **eu1) is None
    assert value(found, "storj_sat_audit", type="auditScore", **eu1) is None


def test_the_wallet_is_not_served():
    assert "0x0000" not in compat.storj_exporter([read(one_look())])
