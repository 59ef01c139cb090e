"""What an Actuator sees: the nodes as they are declared and as they report, and what speaks against a step. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from controller.actuate.driver import DriverError, NotNow, Refused
from controller.actuate.watch import FIRST_LOOK, LONGEST_PAUSE
from controller.estimate.readings import finite
from controller.estimate.words import amount
from controller.programs import Phase
from controller.sequence import Holdings, amiss, is_at, near, overdrawn, sharing
from controller.words import held_words, step_words
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.actuate.driver import Driver
    from controller.programs import Order, Program, Step
    from exporters.clock import Clock
    from exporters.nodes import Allocation
    from exporters.reading import Reading
    from exporters.traits import Traits

log = structlog.get_logger("orcha.actuate")

EFFECT: Final = 600.0
"""Seconds after which a driver that never returns is given up on; drivers bound themselves much tighter."""
T = TypeVar("T")


class Blocked(Exception):
    """Neither forward nor back now; `str()` says why, and what would help."""


class Grounds(Protocol):
    """What the Actuator stands on: the nodes as they are declared now, and who may change them."""

    async def read_back(self, key: str) -> Reading:
        """A fresh look; `up` False also for a workload that is not declared any more."""
        ...

    def last_known(self, key: str) -> float | None:
        """What it held of its resource when it last said so: it holds that until it says otherwise."""
        ...

    def allocation(self, key: str) -> Allocation | None: ...

    def traits(self, key: str) -> Traits: ...

    def driver(self, key: str) -> Driver | None: ...

    def neighbours(self, node: str) -> Mapping[str, Allocation]:
        """Everything on the node that has an allocation, by key."""
        ...

    def capacity(self, node: str) -> Mapping[str, float]: ...

    def in_flight(self, node: str, apart: str) -> Mapping[str, float]:
        """What programs other than `apart` may hold there at the most, by key."""
        ...

    def holds(self) -> bool:
        """Whether this process is the one writer now."""
        ...

    def paused(self, policy: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at how far a step has come."""

    missing: str | None
    """What its target lacks, as a clause; None: it is in force."""
    reading: Reading | None = None
    counts: bool = True
    """Whether the time that passes speaks against the change, and not against a node that is gone."""


@dataclass(frozen=True, slots=True)
class Lookout:
    grounds: Grounds
    clock: Clock

    async def hindrance(self, program: Program, step: Step) -> str:
        """Why its driver could not do its part, as far as can be told before anything is changed; "": it could."""
        if self.grounds.allocation(step.key) is None or self.grounds.driver(step.key) is None:
            return f"{step.key} has no allocation or no actuator any more"
        driver = self.driver(program, step)
        try:
            problems = await bounded(driver.name, driver.check())
        except DriverError as exc:
            return str(exc)
        return f"{step.key}: {problems[0]}" if problems else ""

    async def objection(self, program: Program, step: Step) -> str:
        """Why the step must not begin; "": nothing speaks against it."""
        if why := await self.hindrance(program, step):
            return why
        allocation, driver = self.grounds.allocation(step.key), self.driver(program, step)
        if allocation is None:
            return f"{step.key} has no allocation any more"
        reading = await self.reached(step)
        if not reading.up:
            return f"{step.key} cannot be read ({reading.failure_message or reading.failure})"
        if not says(step, reading) and not driver.conclusive:
            return f"{step.key} does not say how much {step.resource} it has"
        if says(step, reading) and not near(step, allocation, reading.allocated, step.before):
            return f"{held_words(step, reading)}, not the {step_words(step)} was planned from: somebody else changed it"
        return await self.no_room(program, step, step.after[step.resource]) if step.grows else ""

    async def stood(self, program: Program, step: Step) -> Mapping[str, Any]:
        """What its driver reads before it changes anything. Raises DriverError."""
        driver = self.driver(program, step)
        found = await bounded(driver.name, driver.read())
        try:
            json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as exc:
            raise Refused(f"the driver {driver.name} read what cannot be kept ({type(exc).__name__})") from exc
        return found

    async def reached(self, step: Step) -> Reading:
        """A look at the workload, waiting for one that does not answer for as long as its protocol deserves."""
        until = self.clock.monotonic() + self.grounds.traits(step.key).verify_timeout
        pause = FIRST_LOOK
        while True:
            reading = await self.grounds.read_back(step.key)
            if reading.up or self.clock.monotonic() >= until:
                return reading
            await self.clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def no_room(self, program: Program, step: Step, much: float) -> str:
        """Why there is no room for the workload to hold so much, from what every neighbour reports now; "": there is."""
        neighbours = self.grounds.neighbours(step.node)
        others = sorted(sharing(step.key, neighbours))
        mine = {each.key: each for each in program.lane(step.node)}
        readings = await asyncio.gather(*map(self.grounds.read_back, others))
        apart = self.grounds.in_flight(step.node, program.id)
        held = {step.key: max(much, apart.get(step.key, 0.0))}
        for key, reading in zip(others, readings, strict=True):
            resource = neighbours[key].resource
            has = finite(reading.allocated.get(resource)) if reading.up else None
            has = self.grounds.last_known(key) if has is None else has
            has = _own(mine[key], neighbours[key], has) if key in mine else has
            if has is None:
                return f"{step.key} may not grow: how much {resource} {key} holds is not known"
            held[key] = max(has, apart.get(key, 0.0))
        there = Holdings(neighbours, held, {step.node: self.grounds.capacity(step.node)})
        said = overdrawn(step.node, held, there)
        return f"{step.key} has no room to grow: {said}" if said else ""

    async def is_back(self, step: Step) -> bool:
        """Whether its node reports the old amounts, and is not set to any others that work in progress keeps from coming."""
        allocation, reading = self.grounds.allocation(step.key), await self.grounds.read_back(step.key)
        if allocation is None or not reading.up or not is_at(step, allocation, reading.allocated, step.before):
            return False
        configured = reading.configured
        return step.resource not in configured or is_at(step, allocation, configured, step.before)

    async def missing(self, program: Program, step: Step, order: Order) -> Seen:
        """What is missing until the step's target is in force. Raises Refused where the driver sees that it never will be.

        While the node does not answer, its driver is asked: a change whose roll-out is not through may be what keeps it
        from answering, and that is not waited for like a node that is gone.
        """
        allocation, driver = self.grounds.allocation(step.key), self.driver(program, step)
        if allocation is None:
            raise Blocked(
                f"{step.key} declares no allocation any more; declare it again, or `orcha programs reject {program.id}` "
                "gives the program up"
            )
        reading = await self.grounds.read_back(step.key)
        try:
            missing = await bounded(driver.name, driver.verify(order))
        except NotNow as exc:
            missing = str(exc) if reading.up else None
        if not reading.up:
            said = f"{step.key} cannot be read ({reading.failure})"
            return Seen(f"{said}; {missing}" if missing else said, reading, counts=missing is not None)
        tells = says(step, reading)
        if tells and (odd := amiss(step, allocation, reading.allocated, order.amounts)):
            said = held_words(step, reading) if odd == step.resource else _odd_words(step, reading, odd, order)
            return Seen(f"{said}; {missing}" if missing else said, reading)
        if missing is None and not tells and not driver.conclusive:
            return Seen(f"{step.key} does not say how much {step.resource} it has", reading)
        return Seen(missing, reading)

    def patience(self, step: Step, reading: Reading, drain: float) -> float:
        """Longer while what was asked for is configured, and work that began before still runs."""
        patience = self.grounds.traits(step.key).verify_timeout
        drains = self.grounds.traits(step.key).frees_when == "drained"
        allocation, target = self.grounds.allocation(step.key), step.target
        shrinks = (step.phase is Phase.RETURNING) == step.grows
        if drains and shrinks and allocation and is_at(step, allocation, reading.configured, target):
            return max(patience, drain)
        return patience

    def driver(self, program: Program, step: Step) -> Driver:
        """Raises Blocked where there is none any more."""
        driver = self.grounds.driver(step.key)
        if driver is None:
            raise Blocked(
                f"{step.key} has no actuator any more, and program {program.id} changed it; declare it again, or "
                f"`orcha programs reject {program.id}` gives the program up"
            )
        return driver


def _odd_words(step: Step, reading: Reading, resource: str, order: Order) -> str:
    """Such as: rack-1/golem reports 4Gi memory, not 6Gi."""
    has, wanted = (amount(resource, each[resource]) for each in (reading.allocated, order.amounts))
    return f"{step.key} reports {has} {resource}, not {wanted}"


def says(step: Step, reading: Reading) -> bool:
    """Whether the node itself says what it has."""
    return reading.allocated.get(step.resource) is not None


def _own(own: Step, allocation: Allocation, has: float | None) -> float:
    """What a workload of the same lane holds: what its step says, and more where its node says so."""
    settled = own.phase in {Phase.DONE, Phase.RETURNED}
    if has is None or (settled and near(own, allocation, {own.resource: has}, own.target)):
        return own.held
    return max(has, own.held)


async def bounded(name: str, work: Awaitable[T]) -> T:
    """What a driver gives, in bounded time; of its failures only DriverErrors come out, each with a sentence."""
    try:
        async with asyncio.timeout(EFFECT):
            return await work
    except DriverError as exc:
        if str(exc).strip():
            raise
        raise (NotNow if isinstance(exc, NotNow) else Refused)(f"the driver {name} did not say why") from exc
    except asyncio.CancelledError as exc:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise NotNow(f"the driver {name} called its own work off") from exc
    except TimeoutError as exc:
        raise NotNow(f"the driver {name} did not return within {format_duration(EFFECT)}") from exc
    except Exception as exc:  # a driver's mistake must not leave a node half way without a word
        log.exception("a driver failed in an unforeseen way; please report this as a bug", driver=name)
        raise Refused(f"the driver {name} failed ({type(exc).__name__})") from exc
