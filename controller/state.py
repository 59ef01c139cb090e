"""Manifests + observation + history -> State: everything that the decisions of one policy are made from. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping

from controller.model import Blocks, NodeState, State, WorkloadState
from controller.observe import Observation, Watched
from controller.policy import AllocationPolicy
from exporters.nodes import Node

Past = Callable[[str, float], Blocks | None]
"""(key, now) -> its block statistics."""


def node_state(node: Node) -> NodeState:
    return NodeState(node.name, node.spec.capacity, node.spec.power, node.metadata.labels)


def state_of(
    policy: AllocationPolicy,
    nodes: Iterable[Node],
    observation: Observation,
    watched: Mapping[str, Watched],
    past: Past,
    *,
    blocked: str | None = None,
    paused: bool = False,
) -> State:
    """The State of one policy: its nodes and everything that runs on them."""
    chosen = tuple(sorted((node_state(node) for node in nodes), key=lambda node: node.name))
    names = {node.name for node in chosen}
    return State(
        now=observation.at,
        policy=policy.name,
        spec=policy.spec,
        nodes=chosen,
        workloads=tuple(
            workload_state(item, observation, past) for key, item in sorted(watched.items()) if item.node in names
        ),
        blocked=blocked,
        paused=paused,
        seed=zlib.crc32(policy.name.encode()),
    )


def workload_state(item: Watched, observation: Observation, past: Past) -> WorkloadState:
    return WorkloadState(
        key=item.key,
        node=item.node,
        protocol=item.protocol,
        traits=item.traits,
        allocation=item.allocation,
        reading=observation.newest.get(item.key),
        last_good=observation.last_good.get(item.key),
        stale_after=item.stale_after,
        blocks=past(item.key, observation.at) if item.allocation else None,
        watts=item.watts,
        mode=item.mode,
        driver=item.driver,
    )
