"""Sites with everything that a controller has: loop, Desk, journal on a disk, nodes that do what drivers tell them, and an agent;
on one clock that is moved by hand. What all nodes together really hold is looked at whenever any of them changes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.desk import Desk
from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec
from controller.fleet.site import Site
from controller.fleet.transport.memory import Switchboard
from controller.grounds import World
from controller.history import History
from controller.journal import Journal
from controller.loop import Reconciler
from controller.manifests import Manifests
from controller.observe import Observation, Watched
from controller.operations import Operations
from controller.policy import AllocationPolicy
from controller.programs import IN_FLIGHT
from controller.report.metrics import ControllerMetrics
from controller.samples import Kept
from controller.store import Store
from exporters.nodes import Allocation, Node
from exporters.reading import Native, Quality, Reading
from exporters.simulator.inprocess import FastClock
from exporters.traits import CurveKind, Traits

T0 = 1_700_000_000.0
MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Plot:
    """One workload as it really is."""

    protocol: str
    resource: str
    allocated: float
    wants: float
    """How much its customers would use."""
    price: float
    """USD per hour of a used unit."""
    bounds: Allocation
    traits: Traits
    stuck: bool = False
    """Whether what it is told never comes to be."""
    slow: float = 0.0
    """Seconds until it is."""


def golem(allocated: float, wants: float, **more: Any) -> Plot:
    bounds = Allocation(resource="cpu", min=0.0, max=8.0, step=1.0)
    traits = Traits(curve=CurveKind.DEMAND, resource="cpu", poll_interval=60.0)
    return Plot("golem", "cpu", allocated, wants, 0.03, bounds, traits, **more)


def akash(allocated: float, wants: float, **more: Any) -> Plot:
    bounds = Allocation(resource="cpu", min=0.0, max=8.0, step=1.0)
    traits = Traits(curve=CurveKind.DEMAND, resource="cpu", poll_interval=60.0)
    return Plot("mapped", "cpu", allocated, wants, 0.01, bounds, traits, **more)


def store_room(allocated: float, wants: float, **more: Any) -> Plot:
    """What it once uses cannot be taken back."""
    bounds = Allocation(resource="storage", min=1.0, max=8.0, step=1.0)
    traits = Traits(curve=CurveKind.DEMAND, resource="storage", poll_interval=60.0, irreversible=True)
    return Plot("storj", "storage", allocated, wants, 0.02, bounds, traits, **more)


@dataclass
class Nodes:
    """The source of one site, and its one node."""

    site: str
    clock: FastClock
    plots: dict[str, Plot]
    changed: Callable[[], None] = lambda: None
    fresh: list[Reading] = field(default_factory=list)
    newest: dict[str, Reading] = field(default_factory=dict)

    @property
    def node(self) -> str:
        return f"rack-{self.site}"

    @property
    def watched(self) -> dict[str, Watched]:
        return {
            f"{self.node}/{name}": Watched(
                f"{self.node}/{name}", self.node, plot.protocol, plot.traits, 300.0, plot.bounds, None, None, None, "command"
            )
            for name, plot in sorted(self.plots.items())
        }  # fmt: skip

    def look(self, name: str) -> Reading:
        plot, now = self.plots[name], self.clock.time()
        used = min(plot.wants, plot.allocated)
        made = Reading(
            self.node, name, plot.protocol, now, healthy=True, quality=Quality.MEASURED,
            native=Native({"USD": plot.price * used}), rate_usd_per_hour=plot.price * used,
            net_usd_per_hour=plot.price * used, allocated={plot.resource: plot.allocated}, used={plot.resource: used},
            irreversible={plot.resource: used} if plot.traits.irreversible else {},
        )  # fmt: skip
        self.fresh.append(made)
        self.newest[made.key] = made
        return made

    async def observe(self, patience: float = 0.0) -> Observation:
        fresh, self.fresh = tuple(self.fresh), []
        return Observation(self.clock.time(), fresh, dict(self.newest), dict(self.newest), complete=True)

    def last_good(self, key: str) -> Reading | None:
        return self.newest.get(key)

    def assumes(self, key: str) -> bool:
        return False

    async def read_back(self, key: str) -> Reading:
        return self.look(key.split("/")[1])

    async def close(self) -> None: ...


class Hand:
    """A driver that tells everybody what it changed."""

    name, conclusive, reversible = "command", False, True

    def __init__(self, nodes: Nodes, key: str) -> None:
        self._nodes, self._plot = nodes, nodes.plots[key.split("/")[1]]

    async def check(self) -> tuple[str, ...]:
        return ()

    async def read(self) -> dict[str, float]:
        return {self._plot.resource: self._plot.allocated}

    async def apply(self, order: Any) -> None:
        if self._plot.slow:
            await self._nodes.clock.sleep(self._plot.slow)
        if not self._plot.stuck:
            self._plot.allocated = order.amounts[self._plot.resource]
        self._nodes.changed()

    async def verify(self, order: Any) -> str | None:
        return None

    async def undo(self, order: Any, stood: Any) -> None:
        self._plot.allocated = order.amounts[self._plot.resource]
        self._nodes.changed()

    async def close(self) -> None: ...


POLICY = {
    "mode": "Auto", "reconcile": {"plan": "60s", "jitter": 0},
    "limits": {"maxStepPercent": 25, "hold": "0s", "maxProgramsPerHour": 100, "minHistory": "30m", "minConfidence": 0.5},
}  # fmt: skip


class Controller:
    """One site while its process lives."""

    def __init__(self, name: str, spec: FleetSpec, nodes: Nodes, store: Store, agent: Agent, clock: FastClock) -> None:
        self.name, self.nodes, self.agent, self.store = name, nodes, agent, store
        self.metrics = ControllerMetrics("0.1.0", "test")
        self.metrics.policies(["default"])
        history = History(
            Kept(key, resource=it.allocation.resource, step=1.0, max=8.0, stale_after=300.0, foreseen=True)
            for key, it in nodes.watched.items()
            if it.allocation
        )
        self.history = history

        async def ask(_expression: str) -> str | None:
            return None

        found = Manifests(nodes=(_node(nodes),), policies=(_policy(),))
        self.loop = Reconciler(found, nodes, history, store, self.metrics, clock, ask_block=ask, rng=random.Random(1))
        world = World(nodes, lambda key, _brought: Hand(nodes, key), holds=lambda: True)
        world.declare([_node(nodes)])
        self.desk = self.loop.desk = Desk(Journal(store), world, clock, self.loop.look)
        self.desk.declare(found.policies)
        self.operations = Operations(self.desk, self.loop.outcomes, clock, store.note_event)
        self.site = Site(spec, name, agent, clock)
        self.loop.join(self.site)


def _node(nodes: Nodes) -> Node:
    workloads = {
        name: {"protocol": plot.protocol, "endpoint": "http://127.0.0.1:1",
               "allocation": {"resource": plot.resource, "min": str(plot.bounds.min), "max": "8", "step": "1"}}
        for name, plot in nodes.plots.items()
    }  # fmt: skip
    return Node.model_validate(
        {
            "apiVersion": "orcha.dev/v1alpha1",
            "kind": "Node",
            "metadata": {"name": nodes.node},
            "spec": {"capacity": {"cpu": "8", "storage": "8"}, "workloads": workloads},
        }
    )


def _policy() -> AllocationPolicy:
    document = {
        "apiVersion": "orcha.dev/v1alpha1",
        "kind": "AllocationPolicy",
        "metadata": {"name": "default"},
        "spec": POLICY,
    }
    return AllocationPolicy.model_validate(document)


@dataclass
class Sites:
    """`async with Sites.open(...)`. `broken` is what the truth ever broke."""

    spec: FleetSpec
    folder: Path
    nodes: dict[str, Nodes]
    clock: FastClock
    board: Switchboard
    judge: Callable[[Sites], list[str]]
    disks: dict[str, InMemory] = field(default_factory=dict)
    up: dict[str, Controller] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    looked: int = 0
    ghosts: dict[str, int] = field(default_factory=dict)
    """Site -> moves that could not be taken back and were under way when its process ended, until it knows of them again."""
    _stacks: dict[str, AsyncExitStack] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, spec: FleetSpec, folder: Path, plots: dict[str, dict[str, Plot]], judge: Callable[[Sites], list[str]], seed: int = 0
    ) -> AsyncIterator[Sites]:  # fmt: skip
        clock = FastClock(T0, auto=False)
        nodes = {name: Nodes(name, clock, each) for name, each in plots.items()}
        made = cls(spec, folder, nodes, clock, Switchboard(chance=random.Random(seed)), judge)
        for each in nodes.values():
            each.changed = made.look
        made.remember(1.0)
        try:
            for name in nodes:
                await made.start(name)
            yield made
        finally:
            for name in list(made.up):
                await made.kill(name)

    async def start(self, name: str, *, lost: bool = False) -> None:
        """A process begins, with what is on its disks; `lost`: the agent's is empty."""
        stack = self._stacks[name] = AsyncExitStack()
        if lost or name not in self.disks:
            self.disks[name] = InMemory()
        store = await Store.open(f"sqlite:///{self.folder}/{name}.db")
        stack.push_async_callback(store.close)
        opened = Agent.opened(name, self.spec, self.disks[name], self.board.port(), self.clock)
        agent = await stack.enter_async_context(opened)
        task = asyncio.create_task(agent.run())
        stack.push_async_callback(_ended, task)
        controller = self.up[name] = Controller(name, self.spec, self.nodes[name], store, agent, self.clock)
        await controller.history.restore(store, self.clock.time())
        stack.push_async_callback(controller.desk.close)

    async def kill(self, name: str) -> None:
        """Its process is gone; the nodes stay as they are."""
        gone = self.up.pop(name)
        if gone.desk.restored:
            self.ghosts[name] = _lasting(gone)
        await self._stacks.pop(name).aclose()

    # --- time

    def remember(self, hours: float) -> None:
        """Let time pass with a reading of each workload every minute, and nothing else."""
        for _ in range(round(hours * 60)):
            self.clock.advance(self.clock.time() + MINUTE)
            for nodes in self.nodes.values():
                for plot in nodes.plots:
                    nodes.look(plot)

    async def seconds(self, seconds: float) -> None:
        """Let whatever sleeps wake in its order."""
        until = self.clock.time() + seconds
        while True:
            await _settle()
            if self.clock.next_wake > until:
                break
            self.clock.advance(self.clock.next_wake)
            self.look()
        self.clock.advance(until)
        await _settle()
        self.look()

    async def turns(self, number: int = 1) -> None:
        """A minute each, with a turn of every loop in it."""
        for _ in range(number):
            await self.seconds(MINUTE - 1)
            for name in list(self.up):
                self.remember_now(name)
                await self.up[name].loop.turn()
                self.look()
            await self.seconds(1)

    def remember_now(self, name: str) -> None:
        for plot in self.nodes[name].plots:
            self.nodes[name].look(plot)

    async def until(self, so: Callable[[], bool], most: int = 30) -> None:
        for _ in range(most):
            if so():
                return
            await self.turns()
        raise AssertionError(f"not so after {most} turns: {self.held('golem')}; {self.said()}")

    # --- the truth

    def look(self) -> None:
        self.looked += 1
        self.broken += self.judge(self)

    def held(self, name: str) -> dict[str, float]:
        return {site: nodes.plots[name].allocated for site, nodes in self.nodes.items() if name in nodes.plots}

    def total(self, name: str) -> float:
        return sum(self.held(name).values())

    def lasting(self) -> int:
        """Growth of store rooms that is under way, of all sites, also of those whose process ended meanwhile."""
        known = {name: _lasting(each) for name, each in self.up.items() if each.desk.restored}
        return sum((self.ghosts | known).values())

    def said(self) -> dict[str, str]:
        return {name: d.sentence for name, each in self.up.items() for d in each.loop.decisions.values()}


def _lasting(controller: Controller) -> int:
    programs = [program for program in controller.desk.under_way() if program.state in IN_FLIGHT]
    return sum(step.key.endswith("/room") and step.grows for program in programs for step in program.steps)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _settle() -> None:
    """Let go on what can without time passing; threads write to disks meanwhile."""
    for _ in range(3):
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
