"""A journal in memory, which checks what is written into it against its world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from controller.address import StoreFenced, StoreFull
from controller.programs import Order, Original, Phase, Program, Record, Step

if TYPE_CHECKING:
    from tests.controller.actuate.world import World


class Killed(BaseException):
    """The process ends here."""


_NEXT = {
    Phase.WAITING: {Phase.ISSUED},
    Phase.ISSUED: {Phase.DONE, Phase.RETURNING},
    Phase.DONE: {Phase.RETURNING},
    Phase.RETURNING: {Phase.RETURNED},
    Phase.RETURNED: set(),
}


def _has(had: float | None, wanted: float, exactly: bool) -> bool:
    """Companions of what shrinks may be fewer: they are free."""
    return had is not None and (had == wanted if exactly else had <= wanted)


class Notebook:
    def __init__(self, world: World) -> None:
        self.world = world
        self.programs: dict[str, Program] = {}
        self.lines: list[Record] = []
        self.originals: dict[str, Original] = {}
        self.faults: dict[int, str] = {}
        """Number of the save -> what goes wrong: full, fenced, kill_before, kill_after."""
        self.saves = 0
        self.on_save: Callable[[Program, Record], None] = lambda _program, _record: None

    async def save(self, program: Program, *records: Record, originals: tuple[Original, ...] = ()) -> None:
        await asyncio.sleep(0)
        if not self.world.alive:
            raise Killed
        self.saves += 1
        match self.faults.get(self.saves, ""):
            case "full":
                raise StoreFull("no room left")
            case "fenced":
                raise StoreFenced("another controller writes now")
            case "kill_before":
                self.world.kill()
        before = self.programs.get(program.id)
        if before is not None:
            for old, new in zip(before.steps, program.steps, strict=True):
                self._changes(program, old, new)
        self.programs[program.id] = program
        self.lines += records
        for each in originals:
            self.originals.setdefault(each.key, each)
        for record in records:
            self.on_save(program, record)
        if self.faults.get(self.saves) == "kill_after":
            self.world.kill()

    def _changes(self, program: Program, old: Step, new: Step) -> None:
        if old.phase is new.phase:
            return
        world, workload = self.world, self.world.workloads[new.key]
        if new.phase not in _NEXT[old.phase]:
            world.wrongs.append(f"{new.key} went from {old.phase} to {new.phase}")
        if new.phase in {Phase.DONE, Phase.RETURNED} and new.key not in world.touched:
            had = workload.was(world.looks[new.key] - workload.lag)
            shrinks = new.grows == (new.phase is Phase.RETURNED)
            if not all(_has(had.get(r), much, new.resource == r or not shrinks) for r, much in new.target.items()):
                world.wrongs.append(f"{world.now}: {new.key} is {new.phase}, and has {had}, not {dict(new.target)}")
        lane = [(self.programs[program.id].step(each.key), each) for each in program.lane(new.node)]
        if new.phase is Phase.ISSUED and new.grows and any(s.phase is not Phase.DONE for s, _ in lane if not s.grows):
            world.wrongs.append(f"{new.key} grows before every shrink was read back")

    def expects(self, order: Order, verb: str) -> None:
        """Whether the intent of this effect is durable, and its author the writer, and alive."""
        if not self.world.alive:
            raise Killed
        world, found = self.world, self.programs.get(order.token.partition("/")[0])
        forward = verb == "apply"
        step = found.step(order.key) if found else None
        phase, word = (Phase.ISSUED, "forward") if forward else (Phase.RETURNING, "backward")
        if found is None or step is None or step.phase is not phase or order.token != f"{found.id}/{step.key}/{word}":
            world.wrongs.append(f"{order.token} ({verb}) has no durable intent: {step}")
            return
        if order.amounts != (step.after if forward else step.before):
            world.wrongs.append(f"{order.token} is for {order.amounts}, not as the journal says")
        if not world.holds():
            world.wrongs.append(f"{order.token} by somebody who is not the writer")
        lane = found.lane(step.node)
        behind = lane[lane.index(step) + 1 :]
        if forward and step.grows and any(each.phase is not Phase.DONE for each in lane if not each.grows):
            world.wrongs.append(f"{order.token} grows upon a shrink that was not read back")
        if not forward and any(each.phase not in {Phase.WAITING, Phase.RETURNED} for each in behind):
            world.wrongs.append(f"{order.token} goes back before what came after it")
