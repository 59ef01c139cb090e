"""The benchmarks' fleet is a real one: its manifests hold, its endpoints answer, and a turn decides on all of it."""

from __future__ import annotations

import random

import yaml

from benchmarks._fleet import PER_NODE, endpoints, manifests, past, rig
from controller.manifests import load
from controller.model import Reason
from exporters.collector import discover


def test_its_manifests_are_what_an_operator_might_have_written(tmp_path):
    made = manifests([1], 3 * PER_NODE)
    documents = [
        each.model_dump(mode="json", by_alias=True, exclude_unset=True) for each in (*made.nodes, *made.policies)
    ]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump_all(documents))
    found = load([tmp_path], discover())
    assert found.problems == ()
    assert sum(len(node.spec.workloads) for node in found.nodes) == 3 * PER_NODE


async def test_one_turn_looks_at_every_workload_and_finds_the_better_split(tmp_path):
    with endpoints() as ports:
        async with rig(manifests(ports, 2 * PER_NODE), tmp_path / "orcha.db", random.Random(1)) as made:
            for workload in made.source.workloads:
                for reading in past(workload, 6.0, made.clock.time(), random.Random(workload.key)):
                    made.history.add(reading)
            await made.turn()
            assert all(reading.up for reading in made.loop.observation.newest.values())
            decision = made.loop.decisions["default"]
    assert len(decision.curves) == 2 * PER_NODE
    assert decision.reason is Reason.MODE_SUGGEST, decision.sentence
    assert decision.plan.targets["node-00000/market-0"] > 4 > decision.plan.targets["node-00000/market-1"]
