"""End to end, with the real servers: a node dies, one message says so, its workloads' alerts are kept back, and it returns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.alerting import made_quick
from tests.e2e.alerting_chain import BACK, DEAD, WORKLOADS, Chain, Times, chain
from tests.e2e.programs import until

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.xdist_group("alerts")]

SHORT = {"nodeDownFor": "1s", "nodeBackFor": "2s", "disconnectedFor": "8s", "downFor": "1s"}
"""A death is told within seconds; that of a node, as everywhere, well before that of its workloads."""


@pytest.fixture
def watched(tmp_path, tool) -> Iterator[Chain]:
    with chain(tmp_path, tool("prometheus"), Times(rules=SHORT), made_quick) as started:
        yield started


def test_a_node_that_dies_is_told_its_workloads_are_not_and_its_return_is_told_too(watched):
    watched.kill_rack_2()
    until(lambda: DEAD in watched.told(), "the death to be told")
    found = until(
        lambda: len(kept := watched.kept_back("OrchaProtocolDisconnected")) == len(WORKLOADS) and kept,
        "the alerts of all workloads to be known and kept back",
    )
    assert found == {workload: [watched.fingerprint("OrchaNodeDown")] for workload in WORKLOADS}
    watched.mend_rack_2()
    until(lambda: BACK in watched.told(), "the return to be told")
    told = watched.told()
    before = told[: told.index(BACK)]
    assert [one for one in before if one[2] == "rack-2"] == [DEAD]


def test_a_controller_that_dies_is_told_and_what_it_said_last_is_kept_back(watched):
    watched.kill_rack_2()
    until(lambda: DEAD in watched.told(), "the death of a node to be told")
    watched.controller.process.kill()
    until(lambda: ("firing", "OrchaDown", "", "") in watched.told(), "the death of the controller to be told")
    states = until(
        lambda: (found := watched.manager.states()).get("OrchaNodeDown rack-2") == "suppressed" and found,
        "what it said last to be kept back",
    )
    assert states["OrchaDown"] == states["OrchaWatchdog"] == "active"
