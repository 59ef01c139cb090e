"""What acting stands on: the nodes as they are declared and read now, a driver for each workload, and who may act.

Made for `orcha run` from the manifests and the source; replaced with them. Of workloads that are only pretended to be
changed (dry_run), what was pretended lies over what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from controller.actuate.driver import DriverError
from controller.actuate.dry_run import DryRun, laid_over, seen
from controller.aftermath import only_pretended
from controller.inflight import flights
from controller.programs import OVER, Amounts, Original, Program
from exporters.reading import Connection, Reading
from exporters.traits import Traits

if TYPE_CHECKING:
    from controller.actuate.driver import Driver
    from controller.model import State
    from controller.observe import Source, Watched
    from exporters.nodes import Allocation, Node

log = structlog.get_logger("orcha.desk")

DriverFor = Callable[[str, "Amounts | None"], "Driver | None"]
"""A workload's key, and what it was brought to before -> a new driver as its manifest says; None: none is declared."""


class World:
    """Grounds (actuate/looking.py) over a running controller."""

    def __init__(self, source: Source, driver_for: DriverFor, *, holds: Callable[[], bool]) -> None:
        self._source, self._driver_for, self._holds = source, driver_for, holds
        self._capacity: dict[str, Mapping[str, float]] = {}
        self._retired: list[Driver] = []
        """Replaced by newer manifests, and not closed yet."""
        self._drivers: dict[str, tuple[Watched, Driver | None]] = {}
        self.recalled: Callable[[str], Amounts | None] | None = None
        """What orcha last brought a workload to; the Desk's. None: it is not known yet."""
        self.programs: Mapping[str, Program] = {}
        """Those that are not over; the Desk's."""
        self.pauses: frozenset[str] = frozenset()
        """Policies that are paused; "*": all of them. The Desk's."""

    def declare(self, nodes: Iterable[Node]) -> None:
        """The manifests in force."""
        self._capacity = {node.name: node.spec.capacity for node in nodes}

    def brought(self, key: str) -> Amounts | None:
        """What orcha last brought a workload to, its companions with it; None: it never did, as far as is known."""
        return None if self.recalled is None else self.recalled(key)

    async def read_back(self, key: str) -> Reading:
        if key not in self._source.watched:
            node, _, name = key.partition("/")
            said = "it is not declared any more"
            return Reading(
                node, name, "", 0.0, up=False, failure="gone", failure_message=said, connection=Connection.FAILED
            )
        reading = self._seen(await self._source.read_back(key))
        allocation = self.allocation(key)
        if allocation is None or not self._source.assumes(key) or self._told(key):
            return reading
        known = {resource: amount for resource, amount in reading.allocated.items() if resource != allocation.resource}
        return replace(reading, allocated=known)  # what was only assumed proves nothing

    def _seen(self, reading: Reading) -> Reading:
        """As if what was pretended were so; with what is said to be there at the begin, where the node cannot say."""
        watched, told = self._source.watched.get(reading.key), self._told(reading.key)
        if watched is None or watched.allocation is None or not reading.up:
            return reading
        return laid_over(reading, told) or reading if told else reading

    def _told(self, key: str) -> Mapping[str, float] | None:
        """What it is pretended to have, also of what was pretended before a restart."""
        watched = self._source.watched.get(key)
        if watched is None or watched.driver != DryRun.name or self.recalled is None:
            return None
        driver = self.driver(key)
        return driver.amounts if isinstance(driver, DryRun) else None

    def begin_in_earnest(self, originals: Mapping[str, Original]) -> list[str]:
        """Workloads that were only pretended to be changed, and have a real driver now."""
        return [
            key
            for key, original in originals.items()
            if (watched := self._source.watched.get(key)) is not None and watched.driver not in {DryRun.name, "none"}
            if only_pretended(original) and all(key not in {s.key for s in p.steps} for p in self.programs.values())
        ]

    def seen(self, state: State) -> State:
        """The State as it would be had everything pretended been done."""
        return seen(state, {w.key: amounts for w in state.workloads if (amounts := self._told(w.key))})

    def last_known(self, key: str) -> float | None:
        reading, watched = self._source.last_good(key), self._source.watched.get(key)
        if reading is None or watched is None or watched.allocation is None:
            return None
        return self._seen(reading).allocated.get(watched.allocation.resource)

    def allocation(self, key: str) -> Allocation | None:
        watched = self._source.watched.get(key)
        return watched.allocation if watched else None

    def traits(self, key: str) -> Traits:
        watched = self._source.watched.get(key)
        return watched.traits if watched else Traits()

    def driver(self, key: str) -> Driver | None:
        """The one of this workload, the same one while its manifest is the same."""
        watched = self._source.watched.get(key)
        if watched is None:
            return None
        known = self._drivers.get(key)
        if known is None or (known[0].actuator, known[0].allocation) != (watched.actuator, watched.allocation):
            if known is not None and known[1] is not None:
                self._retired.append(known[1])
            self._drivers[key] = known = (watched, self._driver_for(key, self.brought(key)))
        return known[1]

    def neighbours(self, node: str) -> Mapping[str, Allocation]:
        return {key: w.allocation for key, w in self._source.watched.items() if w.node == node and w.allocation}

    def capacity(self, node: str) -> Mapping[str, float]:
        return self._capacity.get(node, {})

    def in_flight(self, node: str, apart: str) -> Mapping[str, float]:
        others = [each for each in self.programs.values() if each.id != apart and each.state not in OVER]
        return {key: most for key, (most, _) in flights(others).items() if key.partition("/")[0] == node}

    def holds(self) -> bool:
        return self._holds()

    def paused(self, policy: str) -> bool:
        return not self.pauses.isdisjoint({policy, "*"})

    def tell(self, key: str, word: str) -> None:
        """A word that only some drivers know: reclaim (those that see who set what), withdraw (those that ask a person)."""
        try:
            said = getattr(self.driver(key), word, None)
            if said is not None:
                said()
        except DriverError as exc:
            log.warning("a driver could not do what it was told", workload=key, word=word, why=str(exc))
        except Exception:  # a person's word holds, whatever is wrong with a driver
            log.exception("a driver could not be told", workload=key, word=word)

    async def tidy(self) -> None:
        """Close the drivers that newer manifests replaced."""
        retired, self._retired = self._retired, []
        await asyncio.gather(*(driver.close() for driver in retired), return_exceptions=True)

    async def close(self) -> None:
        await self.tidy()
        drivers = [driver for _, driver in self._drivers.values() if driver is not None]
        await asyncio.gather(*(driver.close() for driver in drivers), return_exceptions=True)
