"""ACTUATE. Runs a Program against the journal: the intent on the disk, then the effect, then the node's own word for it.

Of each node the steps run one after the other, several nodes beside one another. A step is done when the node itself
reports the new amount, never because a driver returned. What fails takes its lane back, verified like the way there;
what can go neither way is blocked: it keeps what it may hold at the larger value until it is tried again. Killed
anywhere, the next start goes on from the journal: it reads back first, and then issues the same absolute target again.

What it may not do: make an effect without the writer's right to (`Grounds.holds`), let a workload grow while what is
held on its node, as just read back, leaves no room, or take a value for done that no node reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from controller.actuate.driver import DriverError, NotNow, Refused
from controller.actuate.looking import Blocked, Grounds, Lookout, Seen, bounded
from controller.actuate.watch import FIRST_LOOK, Watch
from controller.address import StoreError, StoreFenced
from controller.programs import Order, Original, Phase, Program, ProgramState, Record, Step
from controller.sequence import Verb, failed, goes_back, next_of, settled
from controller.words import late_words, step_words
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from exporters.clock import Clock

log = structlog.get_logger("orcha.actuate")

SHORTEST_RETRY: Final = 30.0
LONGEST_RETRY: Final = 900.0
"""Seconds between tries of what is blocked: twice as many each time."""
_DOUBLED: Final = 10
"""Times that the wait is doubled at most: it is the longest long before."""
STORE_RETRY: Final = 5.0


class Lost(Exception):
    """Another controller is the writer now: whatever is in flight is the other's to finish."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a policy wants its programs run."""

    parallel_nodes: int = 1
    automatic: bool = True
    """Whether what fails is taken back."""
    drain: float = 7200.0
    """Seconds that running work may take to let go of what was taken from it."""


class Saves(Protocol):
    async def save(self, program: Program, *records: Record, originals: tuple[Original, ...] = ()) -> None: ...


Told = Callable[[Program, Record], None]
Counted = Callable[[str, str, str], None]
"""(driver, direction, result) of every step."""


@dataclass(slots=True)
class Actuator:
    """Runs one program to its end, or until it is blocked. One object for each run."""

    program: Program
    grounds: Grounds
    journal: Saves
    clock: Clock
    ways: Ways = Ways()
    told: Told = lambda _program, _record: None
    counted: Counted = lambda _driver, _direction, _result: None
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    _issued: set[str] = field(default_factory=set)
    """Steps whose intent this very run made durable: nobody can have brought them about yet."""
    _refused: set[str] = field(default_factory=set)
    """Steps that their driver refused outright: no effect of theirs is on its way."""
    _doubtful: set[str] = field(default_factory=set)
    """Steps of which nobody knows whether their driver took them."""
    _since: float = 0.0
    """When this run began: what was issued before may have been taken then."""
    _look: Lookout = field(init=False)

    def __post_init__(self) -> None:
        self._look = Lookout(self.grounds, self.clock)

    async def run(self) -> Program:
        """To the end: applied, rolled back, or blocked. Raises Lost and StoreFenced; cancelled, it leaves the rest to the
        next start.
        """
        self._since = now = self.clock.time()
        if self.program.state is not ProgramState.RUNNING:
            begun = replace(self.program.turned(ProgramState.RUNNING, now, self.program.by), retry_at=None)
            begun = replace(begun, began=begun.began if begun.began is not None else now)
            await self._save(begun, "running", begun.sentence)
        limit = asyncio.Semaphore(max(1, self.ways.parallel_nodes))
        lanes = [
            asyncio.create_task(self._lane(node, limit), name=f"{self.program.id} {node}")
            for node in self.program.nodes
        ]
        try:
            stuck = [why for why in await asyncio.gather(*lanes) if why]
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        return await self._end(stuck)

    async def _end(self, stuck: list[str]) -> Program:
        now, state = self.clock.time(), settled(self.program)
        if state is None:
            wait = min(LONGEST_RETRY, SHORTEST_RETRY * 2 ** min(self.program.tries, _DOUBLED))
            blocked = self.program.turned(ProgramState.BLOCKED, now, self.program.by, "; ".join(stuck))
            ended = replace(blocked, retry_at=now + wait, tries=self.program.tries + 1)
        else:
            back = [step.failure for step in self.program.steps if step.failure]
            ended = self.program.turned(state, now, self.program.by, "; ".join(back))
        return await self._save(ended, ended.state.value, ended.said or "every node reports what it was given")

    async def _lane(self, node: str, limit: asyncio.Semaphore) -> str:
        """The steps of one node to their end; gives why it is blocked, "" where it is not."""
        async with limit:
            try:
                await self._prepare(node)
                while act := next_of(self.program.lane(node)):
                    match act.verb:
                        case Verb.ISSUE:
                            await self._issue(act.step)
                        case Verb.RETURN:
                            await self._return(act.step)
                        case Verb.AWAIT:
                            await self._await(act.step)
            except Blocked as exc:
                return str(exc)
        return ""

    # the way there

    async def _prepare(self, node: str) -> None:
        """Before the first step: whether every driver of the lane could do its part, or a node would be changed in vain."""
        lane = self.program.lane(node)
        if any(step.phase is not Phase.WAITING or step.failure for step in lane):
            return
        await self._clear()
        for step in lane:
            if why := await self._look.hindrance(self.program, step):
                await self._mark(failed(step, why), f"not begun {step.key}", why)
                self._count(step, "forward", "refused")
                return

    async def _issue(self, step: Step) -> None:
        """Make the intent durable, if nothing speaks against the step any more."""
        why, stood = await self._stood(step)
        if why or stood is None:
            await self._mark(failed(step, why), f"not begun {step.key}", why)
            self._count(step, "forward", "refused")
            return
        self._issued.add(step.key)
        issued = replace(step, phase=Phase.ISSUED, stood=stood, since=self.clock.time(), note="")
        original = Original(step.key, self.clock.time(), self.program.policy, step.resource, step.before, stood)
        await self._mark(issued, f"issued {step.key}", step_words(step), original)

    async def _stood(self, step: Step) -> tuple[str, Mapping[str, Any] | None]:
        """What speaks against the step, or what its driver reads before it; what may work later is tried again."""
        watch = Watch(self.clock, self.grounds.traits(step.key).verify_timeout)
        while True:
            watch.leave_out(await self._clear(step))
            try:
                why = await self._look.objection(self.program, step)
                return (why, None) if why else ("", await self._look.stood(self.program, step))
            except NotNow as exc:
                if watch.waited >= watch.patience:
                    return str(exc), None
                self._note(step, str(exc))
            except DriverError as exc:
                return str(exc), None
            await watch.pause(counts=True)

    # the way back

    async def _return(self, step: Step) -> None:
        """Make it durable that the step goes back."""
        await self._clear(step)
        why = next(each.failure for each in self.program.lane(step.node) if each.failure)
        if not self.ways.automatic and not self.program.back:
            raise Blocked(
                f"{why}; rollback.automatic is false: `orcha programs rollback {self.program.id}` takes back what was "
                "done, `orcha programs reject` leaves it as it is"
            )
        if not self._look.driver(self.program, step).reversible and not await self._look.is_back(step):
            raise Blocked(f"{why}; what was done at {step.key} only a person can take back")
        if not step.grows and (said := await self._look.no_room(self.program, step, step.before[step.resource])):
            raise Blocked(said)
        self._issued.add(step.key)
        going = replace(step, phase=Phase.RETURNING, since=self.clock.time(), note="")
        await self._mark(going, f"returning {step.key}", f"back to what it had, because {why}")

    # bring about, and read back

    async def _await(self, step: Step) -> None:
        """Bring the step's target about and wait for the node's own word. Raises Blocked.

        Going back, that word counts only after the driver was told: a node that still reports the old value may yet take
        the new one, as long as nobody took that back.
        """
        order, patience = self._order(step), self.grounds.traits(step.key).verify_timeout
        told, fresh = False, step.key in self._issued
        self._issued.discard(step.key)
        watch = Watch(self.clock, patience)
        while True:
            try:
                seen = Seen("") if fresh else await self._look.missing(self.program, step, order)
            except Refused as exc:
                if told:
                    await self._gone_wrong(step, str(exc))
                    return
                seen = Seen(str(exc))
            if seen.missing is None and (told or step.phase is Phase.ISSUED):
                await self._there(step)
                return
            fresh, said = False, seen.missing or ""
            try:
                if not told:
                    watch.leave_out(await self._clear(step))
                    said = await self._bring(step, order, is_there=seen.missing is None)
                    told, seen = True, Seen("")
                    watch = Watch(self.clock, patience, first=0.0 if step.phase is Phase.ISSUED else FIRST_LOOK)
            except NotNow as exc:
                said = str(exc)
            except Refused as exc:
                await self._gone_wrong(step, str(exc))
                return
            if seen.counts and self._is_late(step, seen, watch):
                await self._gone_wrong(step, late_words(step, said, format_duration(watch.waited)))
                return
            if watch.lost >= patience:
                raise Blocked(f"{said}; it is waited for")
            self._note(step, said)
            await watch.pause(seen.counts)

    def _is_late(self, step: Step, seen: Seen, watch: Watch) -> bool:
        limit = self._look.patience(step, seen.reading, self.ways.drain) if seen.reading else watch.patience
        return watch.waited > 0 and watch.waited >= limit

    async def _bring(self, step: Step, order: Order, *, is_there: bool) -> str:
        """Make the effect; gives what is missing then. Raises Refused, NotNow, Lost. Since the intent was written much may
        have happened (a restart, a pause, a full disk): what grows needs its room now. `is_there`: its node reports that it
        has it, so it takes none.
        """
        driver, back = self._look.driver(self.program, step), step.phase is Phase.RETURNING
        if step.grows != back and not is_there:
            said = await self._look.no_room(self.program, step, order.amounts[step.resource])
            if said:
                raise Refused(said)
        self._hold()
        if back:
            await bounded(driver.name, driver.undo(order, step.stood or {}))
        else:
            await self._applied(step, order)
        return f"{step.key} has not said yet that it was taken"

    async def _applied(self, step: Step, order: Order) -> None:
        """Tell the driver, and remember if it refused outright: then nothing of it is on its way, now or later."""
        driver = self._look.driver(self.program, step)
        try:
            await bounded(driver.name, driver.apply(order))
        except Refused:
            if step.since is not None and step.since >= self._since and step.key not in self._doubtful:
                self._refused.add(step.key)
            raise
        except NotNow:
            self._doubtful.add(step.key)
            raise

    async def _there(self, step: Step) -> None:
        back = step.phase is Phase.RETURNING
        phase = Phase.RETURNED if back else Phase.DONE
        now = replace(step, phase=phase, since=self.clock.time(), note="")
        await self._mark(now, f"{phase.value} {step.key}", "the node reports it")
        self._count(step, "backward" if back else "forward", "done")

    async def _gone_wrong(self, step: Step, why: str) -> None:
        if step.phase is Phase.RETURNING:
            if step.key in self._refused and await self._stays_back(step):
                await self._there(step)  # nothing was taken, and so nothing has to be given back
                return
            self._count(step, "backward", "failed")
            raise Blocked(f"{step.key} could not be taken back: {why}")
        if not self._look.driver(self.program, step).reversible and not await self._look.is_back(step):
            raise Blocked(why)
        self._count(step, "forward", "failed")
        await self._mark(failed(step, why), f"failed {step.key}", why)

    async def _stays_back(self, step: Step) -> bool:
        """Whether its node reports the old value for as long as a change of it may take to show: whoever refused may have done
        it all the same (a command that failed at its last line).
        """
        watch = Watch(self.clock, self.grounds.traits(step.key).verify_timeout)
        while await self._look.is_back(step):
            if watch.waited >= watch.patience:
                return True
            await watch.pause(counts=True)
        return False

    # small things

    def _order(self, step: Step) -> Order:
        back = step.phase is Phase.RETURNING
        amounts, previous = (step.before, step.after) if back else (step.after, step.before)
        token = f"{self.program.id}/{step.key}/{'backward' if back else 'forward'}"
        return Order(step.key, amounts, token, self.program.sentence, previous)

    async def _clear(self, step: Step | None = None) -> float:
        """Wait out a pause; gives how many seconds that took. Raises Lost where this is not the writer. `step`: whose turn it
        is.
        """
        began = self.clock.monotonic()
        self._hold()
        while self.grounds.paused(self.program.policy) and not self.program.wanted:
            if step is not None:
                self._note(step, f"policy {self.program.policy} is paused; `orcha resume` lets it go on")
            await self.clock.sleep(1.0)
            self._hold()
        return self.clock.monotonic() - began

    def _hold(self) -> None:
        """Raises Lost where this is not the writer."""
        if not self.grounds.holds():
            raise Lost(f"the Lease is lost; program {self.program.id} is the next writer's")

    def _note(self, step: Step, note: str) -> None:
        """For people who look now; not in the journal."""
        if note != self.program.step(step.key).note:
            self.program = self.program.with_step(replace(self.program.step(step.key), note=note))
            self.told(self.program, Record(self.clock.time(), "waits", "orcha", note))

    def _count(self, step: Step, direction: str, result: str) -> None:
        driver = self.grounds.driver(step.key)
        self.counted(driver.name if driver else "none", direction, result)

    async def _mark(self, step: Step, what: str, sentence: str, *originals: Original) -> None:
        async with self._saving:
            await self._saved(self.program.with_step(step), what, sentence, originals)

    async def _save(self, program: Program, what: str, sentence: str) -> Program:
        async with self._saving:
            await self._saved(program, what, sentence, ())
        return program

    async def _saved(self, program: Program, what: str, sentence: str, originals: tuple[Original, ...]) -> None:
        """Until it is on the disk; nothing further is done before that. Raises StoreFenced."""
        record = Record(self.clock.time(), what, "orcha", sentence)
        while True:
            try:
                await self.journal.save(program, record, originals=originals)
                break
            except StoreFenced:
                raise
            except StoreError as exc:
                log.error("the journal cannot be written; nothing further is done until it can", why=str(exc))
                await self.clock.sleep(STORE_RETRY)
        self.program = program
        self.told(program, record)


def begins_back(program: Program, why: str, *, asked: bool) -> Program:
    """The program with every lane that has something in force going back. `asked`: because a person wants it."""
    steps = []
    for node in program.nodes:
        lane = program.lane(node)
        if goes_back(lane) or all(step.phase is Phase.WAITING for step in lane):
            steps += [failed(step, why) if step.phase is Phase.WAITING else step for step in lane]
        else:
            steps += [failed(lane[0], why), *lane[1:]]
    return replace(program, steps=tuple(steps), back=program.back or asked)
