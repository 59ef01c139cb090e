"""What every source knows of the workloads that it watches, wherever their readings come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from controller.observe import Watched
from exporters.collector import Collector, Workload, workloads_of
from exporters.nodes import Node
from exporters.reading import Reading, changed

DRIVERS = ("dry_run", "kubernetes", "command", "webhook", "handout")


class Roster:
    """The workloads of the manifests in force, and which of them cannot say what they have."""

    def __init__(self, collectors: Mapping[str, Collector]) -> None:
        self._collectors = collectors
        self._workloads: Mapping[str, Workload] = {}
        self._watched: Mapping[str, Watched] = {}
        self.brought: Callable[[str], Mapping[str, float] | None] = lambda _key: None
        """What orcha last brought a workload to, for those whose node cannot say what it has."""
        self._assumed: set[str] = set()

    def enroll(self, nodes: Iterable[Node]) -> None:
        """These are watched from now on, and no others."""
        self._workloads = {workload.key: workload for workload in workloads_of(nodes, self._collectors)}
        self._watched = watched_of(self._workloads.values())

    @property
    def watched(self) -> Mapping[str, Watched]:
        return self._watched

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """As the exporters see them, in the order of their keys."""
        return tuple(self._workloads.values())

    @property
    def by_key(self) -> Mapping[str, Workload]:
        """The same by key."""
        return self._workloads

    def assumes(self, key: str) -> bool:
        return key in self._assumed

    def told(self, reading: Reading) -> Reading:
        """With what its owner says that it has (`initial`), or orcha gave it since, where the node itself cannot say."""
        allocation = self._workloads[reading.key].spec.allocation
        if allocation is None or allocation.initial is None or allocation.resource in reading.allocated:
            self._assumed.discard(reading.key)
            return reading
        self._assumed.add(reading.key)
        amounts = self.brought(reading.key) or {allocation.resource: allocation.initial}
        return changed(reading, allocated={**amounts, **reading.allocated})


def watched_of(workloads: Iterable[Workload]) -> dict[str, Watched]:
    """What the controller needs to know of each workload, in the order of the keys."""
    return {
        workload.key: Watched(
            key=workload.key,
            node=workload.node,
            protocol=workload.protocol,
            traits=workload.traits,
            stale_after=workload.stale_after,
            allocation=workload.allocation,
            power=workload.power,
            watts=workload.spec.watts,
            mode=workload.spec.mode,
            driver=driver_of(workload),
            actuator=workload.spec.actuator,
        )
        for workload in sorted(workloads, key=lambda workload: workload.key)
    }


def driver_of(workload: Workload) -> str:
    """The name of the driver that its owner chose; none where none was."""
    actuator = workload.spec.actuator
    return next((name for name in DRIVERS if actuator and getattr(actuator, name)), "none")
