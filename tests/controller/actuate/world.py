"""A world to act in: nodes with a capacity and workloads, drivers that change them, and everything that goes wrong.

Time is the event loop's own, and virtual: whoever waits, waits no real time (`virtually`). What the world really has, what
a node reports of it and what a driver says are three things. A world watches what is done to it (`wrongs`): an effect
without a durable intent or by somebody who is not the writer, a node that holds more than it has, a step that is done
although its node never had it.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from structlog.testing import capture_logs

from controller.model import Move
from controller.plan.limits import needs
from controller.programs import Cause, Order, Phase, Program
from controller.sequence import Holdings, sequence
from exporters.clock import Clock
from exporters.nodes import Allocation
from exporters.reading import Reading
from exporters.traits import Traits
from tests.controller.actuate.hands import Hand
from tests.controller.actuate.notebook import Killed, Notebook

T0 = 1_700_000_000.0
SLACK = 1 + 1e-9


# --- time


class _Leaping(selectors.DefaultSelector):
    """Does not wait: time has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:  # a thread is at work, or nobody will ever wake anybody
            found = super().select(20)
            assert found, "everybody waits for ever"
            return found
        found = super().select(0)
        if not found and timeout > 0:
            self.passed += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.passed


@dataclass(frozen=True)
class LoopClock:
    """The Clock of a virtual loop. `begins`: Unix seconds when the loop was made."""

    begins: float = T0

    def time(self) -> float:
        return self.begins + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def virtually(story: Coroutine[Any, Any, Any]) -> Any:
    """What the story gives, told without waiting, and without its log."""
    with capture_logs(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


# --- what goes wrong


@dataclass(frozen=True)
class Window:
    """`what` happens to `who` (a workload, a node, "" for everybody) from one second on, for so many."""

    who: str
    what: str
    """down · mute · nan: how it reports; paused · lost: whether orcha may act."""
    start: float
    length: float = math.inf

    def covers(self, now: float) -> bool:
        return self.start <= now < self.start + self.length


@dataclass
class Workload:
    """What is really there."""

    key: str
    allocation: Allocation
    real: dict[str, float]
    traits: Traits = field(default=Traits(verify_timeout=60.0), repr=False)
    lag: float = 0.0
    """Seconds until the node reports what is so."""
    drains: float = 0.0
    """Seconds for which a shrink holds what it had; meanwhile the node reports the new value as configured."""
    silent: bool = False
    """It never says what it has; its driver can tell."""
    declared: bool = True
    """Its owner said what it had at the begin, where it cannot."""
    reversible: bool = True
    asked: dict[str, float] = field(default_factory=dict)
    """What an effect that is under way will bring it to."""
    configured: dict[str, float] = field(default_factory=dict)
    past: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    landing: asyncio.TimerHandle | None = None

    @property
    def node(self) -> str:
        return self.key.partition("/")[0]

    def most(self) -> dict[str, float]:
        return {r: max(self.real.get(r, 0.0), self.asked.get(r, 0.0)) for r in self.real.keys() | self.asked.keys()}

    def was(self, at: float) -> dict[str, float]:
        return next((real for since, real in reversed(self.past) if since <= at), self.past[0][1])


class World:
    """Grounds for an Actuator."""

    def __init__(
        self, *workloads: Workload, capacity: Mapping[str, Mapping[str, float]], windows: tuple[Window, ...] = ()
    ):
        self.workloads = {each.key: each for each in workloads}
        self.capacities, self.windows = capacity, list(windows)
        self.faults: dict[tuple[str, str], list[str]] = {}
        """(workload, verb of its driver) -> what goes wrong at its next calls."""
        self.drivers = {key: Hand(self, key) for key in self.workloads}
        self.wrongs: list[str] = []
        self.effects: list[Order] = []
        self.touched: set[str] = set()
        """What a person changed by hand."""
        self.looks: dict[str, float] = {}
        """When each was last asked."""
        self.alive = True
        self.others: dict[str, float] = {}
        """What other programs hold."""
        self.clock: Clock = LoopClock()
        self.boundary: Callable[[], None] = lambda: None
        """Called before and after each effect, and after it was read back."""
        self.notebook = Notebook(self)
        for each in workloads:
            each.configured = dict(each.real)
            each.past.append((-math.inf, dict(each.real)))

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def during(self, what: str, key: str = "") -> bool:
        whom = {key, key.partition("/")[0]}
        return any(w.covers(self.now) and w.what == what and w.who in whom for w in self.windows)

    # Grounds

    async def read_back(self, key: str) -> Reading:
        workload, node = self.workloads[key], key.partition("/")[0]
        self.looks[key] = self.now
        if self.during("down", key):
            return Reading(node, key.partition("/")[2], "fake", self.now, up=False, failure="unreachable")
        if self.effects and self.effects[-1].key == key:
            self.boundary()
        has = dict(workload.was(self.now - workload.lag))
        if workload.silent or self.during("mute", key):
            has.pop(workload.allocation.resource)
        if self.during("nan", key):
            has[workload.allocation.resource] = math.nan
        return Reading(
            node, key.partition("/")[2], "fake", self.now, allocated=has, configured=dict(workload.configured)
        )

    def last_known(self, key: str) -> float | None:
        workload, resource = self.workloads[key], self.workloads[key].allocation.resource
        if workload.silent:  # what its owner said, or what orcha brought it to
            steps = [step for program in self.notebook.programs.values() for step in program.steps if step.key == key]
            brought = [step.after[resource] for step in steps if step.phase in {Phase.DONE, Phase.RETURNING}]
            return [workload.past[0][1].get(resource) if workload.declared else None, *brought][-1]
        hidden = [w for w in self.windows if w.who in {key, workload.node} and w.what in {"down", "mute", "nan"}]
        starts = [w.start for w in hidden if w.covers(self.now)]
        return workload.was(min([self.now, *starts]) - workload.lag).get(resource)

    def allocation(self, key: str) -> Allocation | None:
        return self.workloads[key].allocation if key in self.workloads else None

    def traits(self, key: str) -> Traits:
        return self.workloads[key].traits if key in self.workloads else Traits()

    def driver(self, key: str) -> Hand | None:
        return self.drivers.get(key)

    def neighbours(self, node: str) -> Mapping[str, Allocation]:
        return {key: each.allocation for key, each in self.workloads.items() if each.node == node}

    def capacity(self, node: str) -> Mapping[str, float]:
        return self.capacities[node]

    def in_flight(self, node: str, apart: str) -> Mapping[str, float]:
        return {key: amount for key, amount in self.others.items() if key.partition("/")[0] == node}

    def holds(self) -> bool:
        return not self.during("lost")

    def paused(self, policy: str) -> bool:
        return self.during("paused")

    # what happens to it

    def kill(self) -> None:
        """The process ends: nobody does or writes anything, until `alive` is set again."""
        self.alive = False
        raise Killed

    def land(self, key: str, amounts: Mapping[str, float]) -> None:
        """From now on the workload has these amounts."""
        workload = self.workloads[key]
        workload.real.update(amounts)
        workload.past.append((self.now, dict(workload.real)))
        workload.asked = {}
        self.look_for_room(workload.node, f"{key} got {dict(amounts)}")

    def ask(self, key: str, amounts: Mapping[str, float]) -> None:
        """An effect of these amounts is under way."""
        self.workloads[key].asked = dict(amounts)
        self.look_for_room(self.workloads[key].node, f"{key} was asked for {dict(amounts)}")

    def later(self, key: str, amounts: Mapping[str, float], seconds: float) -> None:
        workload = self.workloads[key]
        workload.landing = asyncio.get_running_loop().call_later(seconds, self.land, key, amounts)

    def call_off(self, key: str) -> None:
        """A new order takes the place of whatever was under way."""
        workload = self.workloads[key]
        if workload.landing is not None:
            workload.landing.cancel()
        workload.landing, workload.asked = None, {}

    def held(self, node: str) -> dict[str, float]:
        total: dict[str, float] = {}
        for workload in self.workloads.values():
            for resource, amount in workload.most().items() if workload.node == node else ():
                total[resource] = total.get(resource, 0.0) + amount
        return total

    def look_for_room(self, node: str, after: str) -> None:
        for resource, amount in self.held(node).items():
            if amount > self.capacities[node].get(resource, 0.0) * SLACK:
                self.wrongs.append(f"{self.now}: {amount} {resource} held on {node} after {after}")

    def by_hand(self, key: str, amount: float) -> bool:
        """A person sets it, if there is room and nobody is at it right now."""
        workload = self.workloads[key]
        wanted = {r: per_unit * amount for r, per_unit in needs(workload.allocation).items()}
        grows = {r: max(0.0, much - workload.real.get(r, 0.0)) for r, much in wanted.items()}
        held, has = self.held(workload.node), self.capacities[workload.node]
        hidden = workload.lag or workload.silent or any(self.during(what, key) for what in ("down", "mute", "nan"))
        if workload.asked or (any(grows.values()) and hidden):
            return False
        if any(held[r] + much > has[r] for r, much in grows.items()):
            return False
        self.touched.add(key)
        workload.configured = dict(wanted)
        self.land(key, wanted)
        return True


# --- what is asked of it


def allocation(
    maximum: float = 8.0, step: float = 1.0, minimum: float = 0.0, *, resource: str = "cpu", **with_: float
) -> Allocation:
    return Allocation(resource=resource, min=minimum, max=maximum, step=step, with_=with_)


def workload(key: str, has: float, of: Allocation | None = None, **more: Any) -> Workload:
    of = of or allocation()
    return Workload(key, of, {r: per_unit * has for r, per_unit in needs(of).items()}, **more)


def program_of(world: World, **to: float) -> Program:
    """The program that brings workloads (by the name after the slash, or by key with __ for it) to these amounts."""
    moves = []
    for name, amount in to.items():
        key = name.replace("__", "/") if "__" in name else f"a/{name}"
        has = world.workloads[key].real["cpu"]
        moves.append(Move(key, key.partition("/")[0], "cpu", has, amount, 1.0, 0.0))
    made = sequence(moves, holdings(world), policy="default", at=T0, cause=Cause.PLAN, sentence="more is earned so")
    return replace(made, id="p-1")


def holdings(world: World) -> Holdings:
    return Holdings(
        allocations={key: each.allocation for key, each in world.workloads.items()},
        held={key: each.real[each.allocation.resource] for key, each in world.workloads.items()},
        capacity=world.capacities,
        reported={key: dict(each.real) for key, each in world.workloads.items()},
    )
