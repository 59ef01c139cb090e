"""States that a controller would be in after some days of a scenario, of one node or of thousands. For benchmarks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.backtest.record import Record
from controller.backtest.scenarios import scenario
from controller.backtest.world import World
from controller.model import State

if TYPE_CHECKING:
    from controller.backtest.case import Case
    from controller.policy import PolicySpec

BLOCK = 300.0


def lived(name: str, days: float, seed: int = 0) -> State:
    """The state of a scenario's policy after so many days in which nothing was moved."""
    case: Case = scenario(name, seed=seed, days=days)
    world, record = World(case), Record(case, BLOCK)
    ticks = round(BLOCK / case.truth.tick)
    while not world.over:
        first, held = world.tick, world.allocation.copy()
        used, _, answering = world.advance(ticks)
        record.add(first, held, used, answering)
    now = case.truth.start + case.truth.ticks * case.truth.tick
    known = zip(case.workloads, *record.readings(now), record.blocks(), strict=True)
    return State(
        now=now, policy=case.name, spec=case.spec, nodes=case.nodes,
        workloads=tuple(replace(w, reading=newest, last_good=good, blocks=blocks) for w, newest, good, blocks in known),
        memory=record.memory,
    )  # fmt: skip


def fleet(state: State, nodes: int, spec: PolicySpec | None = None) -> State:
    """The same node so many times, each under a name of its own; each of its workloads of a protocol of its own."""
    [node] = state.nodes
    names = [f"rack-{i:05d}" for i in range(nodes)]
    workloads = []
    for name in names:
        for w in state.workloads:
            told = {k: replace(r, node=name) for k in ("reading", "last_good") if (r := getattr(w, k)) is not None}
            own = w.key.partition("/")[2]
            workloads.append(replace(w, key=f"{name}/{own}", node=name, protocol=own, **told))
    memory = state.memory
    if memory is not None:
        which = np.tile(np.arange(len(state.workloads)), nodes)
        memory = replace(memory.rows(which), keys=tuple(w.key for w in workloads))
    return replace(
        state, nodes=tuple(replace(node, name=name) for name in names), workloads=tuple(workloads), memory=memory,
        spec=state.spec if spec is None else spec,
    )  # fmt: skip


def remembered_kb(state: State) -> float:
    """Kilobytes of history of each workload: its memory and its blocks."""
    memory = state.memory
    arrays = [getattr(memory, name) for name in memory.__slots__] if memory is not None else []
    total = sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
    for w in state.workloads:
        if w.blocks is not None:
            total += sum(
                a.nbytes for name in w.blocks.__slots__ if isinstance(a := getattr(w.blocks, name), np.ndarray)
            )
    return total / len(state.workloads) / 1e3
