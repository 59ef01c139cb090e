"""What stories about the Actuator have in common: one node, a program that swaps, and runs of it."""

from __future__ import annotations

import asyncio

from controller.actuate.actuator import Actuator, Ways
from controller.programs import Program
from exporters.traits import Traits
from tests.controller.actuate.world import Window, World, program_of, virtually, workload

GOLEM = Traits(verify_timeout=60.0, frees_when="drained")
STORJ = Traits(verify_timeout=1200.0)
HOUR = 3600.0


def world(*windows: Window, capacity: float = 8.0, **has: dict) -> World:
    """Of node a, 8 cpu: storj has 6 and gives, golem has 2 and takes."""
    more = {"storj": {}, "golem": {}} | has
    storj, golem = workload("a/storj", 6.0, **more["storj"]), workload("a/golem", 2.0, **more["golem"])
    return World(storj, golem, capacity={"a": {"cpu": capacity, "memory": 64.0}}, windows=windows)


def swap(it: World) -> Program:
    return program_of(it, storj=4.0, golem=4.0)


async def run(it: World, program: Program, **ways) -> Program:
    return await Actuator(program, it, it.notebook, it.clock, Ways(**ways)).run()


async def run_for(it: World, program: Program, seconds: float, **ways) -> Program:
    """What it had come to after so long."""
    actuator = Actuator(program, it, it.notebook, it.clock, Ways(**ways))
    task = asyncio.create_task(actuator.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return actuator.program


async def again(it: World, ended: Program, **ways) -> Program:
    """A blocked program when its time comes."""
    await asyncio.sleep(ended.retry_at - it.clock.time())
    return await run(it, ended, **ways)


def phases(program: Program) -> dict[str, str]:
    return {step.key: step.phase.value for step in program.steps}


def real(it: World) -> dict[str, float]:
    return {key: each.real["cpu"] for key, each in it.workloads.items()}


def lines(it: World) -> list[str]:
    return [record.what for record in it.notebook.lines]


def tokens(it: World) -> list[str]:
    return [order.token.removeprefix("p-1/") for order in it.effects]


def played(it: World, program: Program | None = None, **ways) -> Program:
    ended = virtually(run(it, program or swap(it), **ways))
    assert it.wrongs == []
    return ended
