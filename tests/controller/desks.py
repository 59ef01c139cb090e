"""A house with a Desk in it: nodes that do what drivers tell them, a journal on the disk, and time that is moved by hand.

What the loop does in a turn (controller/loop.py) it does with a past that is made up, so that hours pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from controller.actuate.driver import NotNow, Refused
from controller.actuate.dry_run import DryRun
from controller.decide import decide
from controller.desk import Desk
from controller.grounds import World
from controller.journal import Journal
from controller.model import Decision, Reason, State
from controller.observe import Observation, Watched
from controller.operations import Operations
from controller.outcomes import Outcomes
from controller.policy import AllocationPolicy, PolicySpec
from controller.programs import Program, Record
from controller.promises import Outcome
from controller.report.metrics import ControllerMetrics
from controller.rows import Event
from controller.state import without_past
from controller.store import Store
from exporters.nodes import Actuator, Allocation, Node
from exporters.reading import Reading
from exporters.simulator.inprocess import FastClock
from exporters.traits import Traits
from tests.controller import worlds
from tests.controller.worlds import HOUR, NOW

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"
BOUNDS = Allocation(resource="cpu", min=0, max=12, step=1)
ACTUATORS = {
    "dry_run": Actuator.model_validate({"dryRun": {}}), "command": Actuator.model_validate({"handout": {}}), "none": None,
}  # fmt: skip
"""Only that they differ counts here."""


@dataclass
class Plot:
    """What one workload really has, and how it can be had."""

    allocated: float = 6.0
    wanted: float = 12.0
    """How many cores its customers would use."""
    seen: float = 6.0
    """How many the past saw in use, and whether that was all there were."""
    full: bool = True
    up: bool = True
    bounds: Allocation = BOUNDS
    mode: str | None = None
    actuator: str = "command"
    traits: Traits = worlds.DEMAND
    irreversible: float | None = None
    refuses: str = ""
    """What its driver says instead of doing anything."""
    late: bool = False
    """Whether its driver only says that it may work later."""
    stuck: bool = False
    """Whether what it is told never comes to be."""


def busy(**more: Any) -> Plot:
    return Plot(**more)


def idle(**more: Any) -> Plot:
    return Plot(**({"wanted": 2.0, "seen": 2.0, "full": False} | more))


class Hand:
    """A driver that does at once what it is told."""

    name, conclusive, reversible = "command", False, True

    def __init__(self, house: House, key: str) -> None:
        self._house, self._key = house, key

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> Mapping[str, Any]:
        return {"cpu": self._house.plots[self._key].allocated}

    async def apply(self, order: Any) -> None:
        plot = self._house.plots[self._key]
        if plot.refuses:
            raise Refused(plot.refuses)
        if plot.late:
            raise NotNow("the door is shut")
        self._house.effects.append((self._key, order.amounts["cpu"]))
        if not plot.stuck:
            plot.allocated = order.amounts["cpu"]

    async def verify(self, order: Any) -> str | None:
        return None

    async def undo(self, order: Any, stood: Mapping[str, Any]) -> None:
        self._house.effects.append((self._key, order.amounts["cpu"]))
        self._house.plots[self._key].allocated = order.amounts["cpu"]

    async def close(self) -> None: ...


class Diary(Journal):
    """A journal that says whether it is written right now."""

    writing = 0

    async def save(self, *args: Any, **more: Any) -> None:
        self.writing += 1
        try:
            await super().save(*args, **more)
        finally:
            self.writing -= 1


@dataclass
class Here:
    """The source: what the plots say."""

    house: House

    @property
    def watched(self) -> dict[str, Watched]:
        return {
            key: Watched(
                key, key.split("/")[0], "golem" if key.endswith("golem") else "mapped", plot.traits, 300.0, plot.bounds,
                None, None, plot.mode, plot.actuator, ACTUATORS[plot.actuator],
            )
            for key, plot in sorted(self.house.plots.items())
        }  # fmt: skip

    async def observe(self, patience: float = 0.0) -> Observation:
        newest = {key: self.house.reading(key) for key in self.house.plots}
        return Observation(self.house.clock.time(), (), newest, dict(self.house.good), complete=True)

    def assumes(self, key: str) -> bool:
        return False

    def last_good(self, key: str) -> Reading | None:
        return self.house.good.get(key)

    async def read_back(self, key: str) -> Reading:
        return self.house.reading(key)

    async def close(self) -> None: ...


@dataclass
class House:
    """Open with `async with`; `again` is what a restart brings, after whatever end the one before had."""

    path: Path
    plots: dict[str, Plot] = field(default_factory=lambda: {GOLEM: busy(), AKASH: idle()})
    spec: PolicySpec = field(default_factory=lambda: worlds.policy(mode="Auto"))
    clock: FastClock = field(default_factory=lambda: FastClock(NOW, auto=False))
    annotations: dict[str, str] = field(default_factory=dict)
    gone: bool = False
    """Whether the policy is declared no more."""
    blocked: str | None = None
    holds: bool = True
    effects: list[tuple[str, float]] = field(default_factory=list)
    good: dict[str, Reading] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    announced: list[tuple[Program, Record]] = field(default_factory=list)
    metrics: ControllerMetrics = field(default_factory=lambda: ControllerMetrics("0.1.0", "test"))
    decision: Decision | None = None

    async def __aenter__(self) -> Self:
        self.store = await Store.open(f"sqlite:///{self.path}/orcha.db")
        self.outcomes = Outcomes(self.store)
        self.source = Here(self)
        self.journal: Any = Diary(self.store)
        self.world = World(self.source, self._driver, holds=lambda: self.holds)
        self.desk = Desk(
            self.journal, self.world, self.clock, self.look, announce=self._announce,
            counted=self.metrics.acting.counted,
        )  # fmt: skip
        self.operations = Operations(self.desk, self.outcomes, self.clock, self.events.append)
        self.metrics.policies(["default"])
        self.declare()
        await self.outcomes.restore()
        await self.desk.restore(self.outcomes)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.desk.close()
        await self.store.close()

    def again(self, **more: Any) -> House:
        return replace(self, **({"effects": [], "events": [], "announced": []} | more))

    def _announce(self, program: Program, record: Record) -> None:
        self.announced.append((program, record))
        self.metrics.acting.announce(program, record)

    def _driver(self, key: str, brought: Mapping[str, float] | None) -> Any:
        match self.plots[key].actuator:
            case "dry_run":
                return DryRun(key, brought)
            case "none":
                return None
        return Hand(self, key)

    def declare(self) -> None:
        nodes = sorted({key.split("/")[0] for key in self.plots})
        self.world.declare(Node.model_validate(_node(name)) for name in nodes)
        document = {
            "apiVersion": "orcha.dev/v1alpha1", "kind": "AllocationPolicy",
            "metadata": {"name": "default", "annotations": self.annotations},
        }  # fmt: skip
        policy = AllocationPolicy.model_validate(document).model_copy(update={"spec": self.spec})
        self.desk.declare([] if self.gone else [policy])

    def change(self, **spec: Any) -> None:
        """The policy's spec, otherwise; as in worlds.policy."""
        self.spec = worlds.policy(**spec)
        self.declare()

    # what is so

    def reading(self, key: str) -> Reading:
        plot, now = self.plots[key], self.clock.time()
        node, name = key.split("/")
        if not plot.up:
            return Reading(node, name, "mapped", now, up=False, failure="unreachable", failure_message="nobody answers")
        used = min(plot.wanted, plot.allocated)
        more = {} if plot.irreversible is None else {"irreversible": {"cpu": plot.irreversible}}
        made = worlds.reading(key, plot.allocated, used=used, net=0.03 * used, now=now + 10, **more)
        self.good[key] = made
        return made

    def workload(self, key: str) -> Any:
        plot = self.plots[key]
        past = worlds.always(plot.seen, full=plot.full, levels=[0, 2, plot.seen], now=self.clock.time())
        made = worlds.workload(
            key, plot.allocated, past, traits=plot.traits, bounds=plot.bounds, read=self.reading(key), mode=plot.mode,
            driver=plot.actuator, protocol="golem" if key.endswith("golem") else "mapped",
        )  # fmt: skip
        return replace(made, last_good=self.good.get(key))

    def state(self) -> State:
        names = sorted({key.split("/")[0] for key in self.plots})
        made = worlds.state(
            [self.workload(key) for key in sorted(self.plots)], [worlds.node(name, cpu=12) for name in names],
            spec=self.spec, blocked=self.blocked,
        )  # fmt: skip
        return self.desk.see(replace(made, now=self.clock.time()))

    # what is done

    async def look(self, policy: str, keys: Iterable[str]) -> State | None:
        if self.gone or policy != "default":
            return None
        return self.desk.pace(self.outcomes.remember(self.state()))

    async def plan(self) -> Decision:
        """One decision, as the loop makes it; put on the queue."""
        await self.desk.hand_over(self.outcomes)
        state = self.desk.pace(self.outcomes.catch_up(self.state()))
        self.decision = without_past(decide(state))
        self.outcomes.show(self.decision)
        await self.desk.consider(self.decision)
        await self.store.write()
        return self.decision

    async def turn(self) -> None:
        await self.desk.turn(self.outcomes.ledgers)

    async def work(self, most: float = 600.0) -> None:
        """Let what is on its way go on, for so many seconds at most."""
        end = self.clock.time() + most
        while self.desk._tasks:
            for _ in range(30):
                await asyncio.sleep(0)
            if self.journal.writing or not self.clock._sleepers:
                await asyncio.sleep(0.0005)  # a thread writes to the disk
                continue
            if self.clock._sleepers[0][0] > end:
                self.clock.advance(end)
                return
            self.clock.advance(self.clock._sleepers[0][0])

    async def go(self) -> None:
        """A plan, and all that follows of it."""
        await self.plan()
        await self.turn()
        await self.work()
        await self.desk.hand_over(self.outcomes)
        await self.store.write()

    def later(self, seconds: float) -> None:
        self.clock.advance(self.clock.time() + seconds)

    def judge(self, program: Program, **outcome: Any) -> None:
        """Time has told what came of a program."""
        ledger = self.outcomes.ledgers["default"]
        trial = next(each for each in ledger.programs if each.id == program.id)
        known = Outcome(self.clock.time(), None, None, None, None, None, "nobody knows")
        self.outcomes._keep(ledger.promise(replace(trial, outcome=replace(known, **outcome))))

    # what is asked

    @property
    def programs(self) -> tuple[Program, ...]:
        """Oldest first."""
        return tuple(sorted(self.desk.programs(), key=lambda each: (each.at, each.id)))

    @property
    def newest(self) -> Program:
        return self.programs[-1]

    @property
    def states(self) -> list[str]:
        return [each.state.value for each in self.programs]

    def has(self) -> dict[str, float]:
        return {key: plot.allocated for key, plot in sorted(self.plots.items())}

    def refused(self, key: str = GOLEM) -> tuple[Reason, str] | None:
        return self.decision.not_considered.get(key) if self.decision else None


def two_racks(**more: Any) -> dict[str, Plot]:
    return {GOLEM: busy(), AKASH: idle(), "rack-2/golem": busy(), "rack-2/akash": idle()} | more


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "orcha.dev/v1alpha1", "kind": "Node", "metadata": {"name": name},
        "spec": {"capacity": {"cpu": "12"}, "workloads": {}},
    }  # fmt: skip


DAY = 24 * HOUR
