"""Which driver changes which workload, built from its manifest. Wiring: the one place that knows all drivers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from controller.actuate.dry_run import DryRun
from controller.plan.limits import needs
from exporters.instructions import plain

if TYPE_CHECKING:
    from controller.actuate.driver import Driver
    from controller.actuate.kubernetes.driver import Connect
    from controller.programs import Amounts
    from exporters.clock import Clock
    from exporters.collector import Collector, Workload
    from exporters.instructions import Instructions
    from exporters.reading import Reading
    from exporters.session import Session

HANDOUTS = "handouts"
"""Folder beside the state in which is written what a person has to sign."""


class Equipment:
    """Makes drivers for the workloads that are declared now."""

    def __init__(
        self, workloads: Callable[[], Mapping[str, Workload]], collectors: Mapping[str, Collector], session: Session,
        clock: Clock, folder: Path, read_back: Callable[[str], Awaitable[Reading]],
        holds: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._workloads, self._collectors, self._session = workloads, collectors, session
        self._clock, self._folder, self._read_back, self._holds = clock, folder, read_back, holds
        self._cluster: Connect | None = None
        """To the API server, shared by all that need it."""

    def driver(self, key: str, brought: Amounts | None) -> Driver | None:
        """A new driver as the workload's manifest says; None: none is declared. `brought`: what orcha last brought it to."""
        workload = self._workloads().get(key)
        if workload is None or workload.spec.actuator is None or workload.spec.allocation is None:
            return None
        actuator, allocation = workload.spec.actuator, workload.spec.allocation
        resources = [resource for resource in needs(allocation) if resource not in allocation.reserve]
        if actuator.kubernetes is not None:
            from controller.actuate.kubernetes import Kubernetes, shared_connection

            self._cluster = self._cluster or shared_connection()
            singleton = workload.traits.singleton
            return Kubernetes(
                key, actuator.kubernetes, resources, singleton=singleton, connect=self._cluster, holds=self._holds
            )
        if actuator.command is not None:
            from controller.actuate.command import Command

            return Command(key, actuator.command, resources)
        if actuator.webhook is not None:
            from controller.actuate.webhook import Webhook

            return Webhook(key, actuator.webhook, self._clock)
        if actuator.handout is not None:
            return self._handout(key, workload)
        return DryRun(key, brought)

    def _handout(self, key: str, workload: Workload) -> Driver:
        from controller.actuate.handout import Handout

        of_protocol = getattr(self._collectors[workload.spec.protocol], "instruct", None)

        async def instruct(amounts: Amounts) -> Instructions:
            if of_protocol is not None:
                found: Instructions = await of_protocol(self._session, workload, amounts, self._clock.time())
                return found
            reading = await self._read_back(key)
            return plain(key, amounts, reading.allocated if reading.up else None)

        return Handout(key, self._folder, instruct)
