"""What a report says of a simulated world is what that world's own ledger says: half a day through the real collectors.

`benchmarks/bench_report.py` does the same over two days.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from controller.report.performance import performance
from controller.samples import Kept
from exporters.collector import discover, workloads_of
from exporters.nodes import Node
from exporters.simulator import manifests
from exporters.simulator.demo import HISTORY, addresses, demo
from exporters.simulator.history import history
from tests.controller.report.periods import START, past, told

pytestmark = pytest.mark.timeout(300)  # the half day is lived once, in some seconds of a processor of its own
END = 1_795_176_000.0
SPAN = 12 * 3600.0
BOUNDS = {"mapped": 0.002, "golem": 0.005, "streamr": 0.005, "storj": 0.04}
"""By protocol: how far its collectors' rates may be off, whatever the report does. Storj's rests on what its satellites
say of the month so far, which lags behind what is stored.
"""
PAID = [
    "rack-1/akash", "rack-1/golem", "rack-1/storj",
    "rack-2/storj-1", "rack-2/storj-2", "rack-2/streamr-traffic", "rack-2/streamr-weather",
]  # fmt: skip


async def lived(made, directory):
    """(workloads, readings of each, USD really credited to each at the prices of the time)."""
    where = addresses(made)
    found = manifests.documents(made, where, directory / "secrets")
    manifests.write(directory, found, made.secrets)
    nodes = [Node.model_validate(document) for document in found.values() if document["kind"] == "Node"]
    workloads = workloads_of(nodes, discover())
    rows, before, ledger = defaultdict(list), {}, defaultdict(float)
    async for reading in history(made.world, workloads, discover(), END - SPAN, END, addresses=where):
        rows[reading.key].append(reading)
        for token, earned in made.world.truth(reading.key).earned.items():
            price = 0.0 if token == "points" else made.world.market.usd(token, reading.at)
            ledger[reading.key] += (earned - before.get((reading.key, token), earned)) * price
            before[reading.key, token] = earned
    return {workload.key: workload for workload in workloads}, rows, ledger


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    made = demo(1, origin=END - HISTORY)
    made.world.advance(END - SPAN)
    workloads, rows, ledger = asyncio.run(lived(made, tmp_path_factory.mktemp("truth")))
    pasts = [past(mine, Kept.of(workloads[key])) for key, mine in rows.items()]
    view = performance(told(*pasts, since=END - SPAN - START, until=END - START))
    return {each["workload"]: each for each in view["workloads"]}, ledger, view


@pytest.mark.parametrize("key", PAID)
def test_what_a_workload_was_credited_is_what_the_world_paid_it(both, key):
    found, ledger, _ = both
    assert ledger[key] > 0
    assert found[key]["gross_usd"] == pytest.approx(ledger[key], rel=BOUNDS[found[key]["protocol"]])
    assert found[key]["coverage"] > 0.99


def test_all_together_are_within_a_hundredth(both):
    _, ledger, view = both
    assert view["totals"]["gross_usd"] == pytest.approx(sum(ledger[key] for key in PAID), rel=0.01)


def test_points_without_a_price_are_unknown_and_not_zero(both):
    found, _, view = both
    assert (found["rack-1/grass"]["gross_usd"], found["rack-1/grass"]["net_usd"]) == (None, None)
    assert any("rack-1/grass" in note for note in view["notes"])
