"""A Look out of the state alone: what `orcha run` last wrote of every workload, and no node is asked.

In: manifests and the state. Out: what `once.look` gives, as of the moment of which the state is. Nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.address import StoreError
from controller.history import History
from controller.observe import Observation
from controller.observe.roster import watched_of
from controller.once import CouldNot, Look, states_of
from controller.outcomes import Outcomes
from controller.samples import Kept
from controller.store import Store
from exporters.collector import Collector, Workload, workloads_of

if TYPE_CHECKING:
    from controller.manifests import Manifests
    from controller.rows import Change
    from exporters.reading import Reading


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """What the state knows."""

    look: Look
    changes: Mapping[str, Change]
    """Key -> the last change of its allocation, of those that ever had one."""


async def recall(found: Manifests, others: Manifests, url: str, collectors: Mapping[str, Collector]) -> Recalled:
    """The Look of `found`, with the past of the workloads of `others` too. Raises CouldNot: there is no such state, or it
    knows nothing of any of them.
    """
    workloads = workloads_of(found.nodes, collectors)
    every = {each.key: each for each in (*workloads_of(others.nodes, collectors), *workloads)}
    history = History([Kept.of(workload) for workload in every.values()], retention=found.settings.spec.retention)
    try:
        store = await Store.open(url, write=False)
        try:
            at = await store.time()
            await history.restore(store, time.time() if at is None else at)
            outcomes = Outcomes(store)  # what it notes is for this look: nothing is written
            await outcomes.restore()
            changes = await store.changes()
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc
    observation = _observation(history, every.values(), at)
    if observation is None:
        raise CouldNot(
            f"the state {_shown(url)} knows none of these workloads; name the one that `orcha run` writes with --state"
        )
    watched = watched_of(workloads)
    past = {key: history.blocks(key, observation.at) for key in every}
    states = states_of(found, observation, watched, past, {})
    caught_up = tuple(outcomes.catch_up(each) for each in states)
    return Recalled(Look(observation, watched, past, {}, caught_up, outcomes.ledgers), changes)


def _observation(history: History, workloads: Iterable[Workload], at: float | None) -> Observation | None:
    newest: dict[str, Reading] = {}
    last_good: dict[str, Reading] = {}
    for workload in workloads:
        last, good = history.newest(workload.key)
        if last is not None:
            newest[workload.key] = last
        if good is not None:
            last_good[workload.key] = good
    if not newest:
        return None
    latest = max(reading.at for reading in newest.values())
    return Observation(at=latest if at is None else max(at, latest), newest=newest, last_good=last_good, complete=True)


def _shown(url: str) -> str:
    """Without a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
