"""Manifests + observation + history -> State: everything that the decisions of one policy are made from. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.model import Blocks, Curve, Decision, Learned, Memory, NodeState, State, WorkloadState
from controller.observe import Observation, Watched
from controller.plan.standing import mode_of
from controller.policy import AllocationPolicy
from controller.rows import Change
from exporters.nodes import Node

Past = Mapping[str, Blocks | None]
"""key -> its block statistics, of those in `movable_on`."""


def node_state(node: Node) -> NodeState:
    return NodeState(node.name, node.spec.capacity, node.spec.power, node.metadata.labels)


def movable_on(nodes: Iterable[Node], watched: Mapping[str, Watched]) -> list[str]:
    """The keys of the workloads on these nodes that may be moved: whose past a decision needs to know."""
    names = {node.name for node in nodes}
    return [key for key, item in watched.items() if item.allocation and item.node in names]


def without_past(decision: Decision) -> Decision:
    """The decision as it is shown until the next one: without the blocks, memory and replicates that it was made from,
    which are nine tenths of its room. Nothing that is shown is made from those.
    """
    state = decision.state
    workloads = tuple(replace(workload, blocks=None) for workload in state.workloads)
    state = replace(state, workloads=workloads, memory=None)
    return replace(decision, state=state, curves=without_replicates(decision.curves))


def without_replicates(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    return {key: _alone(curve) for key, curve in curves.items()}


def _alone(curve: Curve) -> Curve:
    """Copies, for `y` is a row of the array that holds the replicates."""
    y = curve.y.copy()
    return replace(curve, x=curve.x.copy(), y=y, replicates=y[None, :])


def state_of(
    policy: AllocationPolicy,
    nodes: Iterable[Node],
    observation: Observation,
    watched: Mapping[str, Watched],
    past: Past,
    *,
    memory: Memory | None = None,
    blocked: str | None = None,
    paused: bool = False,
) -> State:
    """The State of one policy: its nodes and everything that runs on them. memory: of those in `past`; None: the curves
    are fitted from their blocks.
    """
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
        memory=memory,
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
        blocks=past.get(item.key),
        watts=item.watts,
        mode=item.mode,
        driver=item.driver,
    )


def remembering(state: State, changes: Mapping[str, Change], learned: Learned, programs: Iterable[float]) -> State:
    """With what is known of earlier changes, and when the policy's own programs began. A change by hand pins a workload
    only where orcha may act: to one who is shown suggestions it is a move like any other.
    """
    begun = [at for at in programs if at <= state.now]
    state = replace(
        state,
        learned=learned,
        programs_last_hour=sum(at > state.now - 3600 for at in begun),
        last_program_at=max(begun, default=None),
    )
    return replace(state, workloads=tuple(_moved(state, w, changes.get(w.key)) for w in state.workloads))


def _moved(state: State, workload: WorkloadState, change: Change | None) -> WorkloadState:
    if change is None or (change.last_moved is None and change.manual_change_at is None):
        return workload
    pinned = change.manual_change_at if mode_of(state, workload) in {"Approve", "Auto"} else None
    return replace(workload, last_moved=change.last_moved, manual_change_at=pinned)
