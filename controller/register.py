"""The Register: programs, pauses and originals as the journal has them. Nothing is so before it is written.

Many may want something of one program at once (the loop, the Actuator, two people): whoever changes one says what it was
to him, and is refused where it has become something else meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import structlog

from controller.address import StoreError, StoreFenced
from controller.aftermath import changed_something
from controller.programs import OVER, Original, Pause, Program, ProgramState, Record
from controller.refusals import NotPossible, Unknown

if TYPE_CHECKING:
    from controller.journal import Journal
    from exporters.clock import Clock

log = structlog.get_logger("orcha.desk")

Announce = Callable[[Program, Record], None]
"""Told of every change of a program: metrics, events, the stream."""
LAST_WRITE: Final = 2.0
"""Seconds that a write in hand gets to its end once nobody waits for it any more."""
REMEMBERED: Final = 30 * 86400.0
"""Seconds for which programs that are over are kept at hand; the journal keeps them as long as history."""


class Register:
    """Of one journal."""

    def __init__(self, journal: Journal, clock: Clock, announce: Announce) -> None:
        self._journal, self._clock, self._announce = journal, clock, announce
        self._programs: dict[str, Program] = {}
        self._newest: tuple[Program, ...] = ()
        """Replaced as a whole, so that any thread may read it."""
        self._one_at_a_time = asyncio.Lock()
        self._saving: set[asyncio.Future[None]] = set()
        self._untold: list[Program] = []
        """Programs that are over, and that Outcomes has not heard of."""
        self.originals: dict[str, Original] = {}
        self.pauses: dict[str, Pause] = {}
        """Policy -> its pause; "*": of all."""
        self.lost: asyncio.Event = asyncio.Event()
        """This controller is not the writer any more."""
        self.published: Callable[[], None] = lambda: None
        """Called whenever any of this is not what it was."""

    async def bring_back(self) -> tuple[str, ...]:
        """What the journal knows; gives the programs that are not over and that cannot be read. Raises StoreError."""
        known = await self._journal.programs(self._clock.time() - REMEMBERED)
        pauses, originals = await self._journal.pauses(), await self._journal.originals()
        odd = await self._journal.unreadable()
        self._programs, self.pauses, self.originals = {each.id: each for each in known}, pauses, originals
        self._publish()
        return odd

    def programs(self) -> tuple[Program, ...]:
        """All that are known, newest first."""
        return self._newest

    async def records(self, id_: str) -> tuple[Record, ...]:
        return tuple(await self._journal.records(id_))

    def find(self, id_: str) -> Program:
        """By its id, or a beginning of it that no other has. Raises Unknown."""
        if id_ in self._programs:
            return self._programs[id_]
        found = [name for name in self._programs if id_ and name.startswith(id_)]
        if len(found) == 1:
            return self._programs[found[0]]
        several = f": {', '.join(sorted(found)[:5])} begin so" if found else "; `orcha programs` lists them"
        raise Unknown(f"there is no program {id_!r}{several}")

    def is_still(self, program: Program) -> bool:
        return self._programs.get(program.id) is program

    async def become(self, program: Program, state: ProgramState, *, by: str = "orcha", said: str = "") -> Program:
        """In another state. Raises NotPossible where it is not what it was, and StoreError."""
        turned = program.turned(state, self._clock.time(), by, said)
        return await self.put(program, turned, said or state.value, by=by)

    async def add(self, program: Program) -> Program:
        return await self.put(None, program, program.sentence, by=program.by)

    async def put(
        self, was: Program | None, program: Program, sentence: str, *, by: str = "orcha", what: str = ""
    ) -> Program:
        """`program` in the place of `was` (None: it is new). `what`: as in Record; "": its state."""
        record = Record(self._clock.time(), what or program.state.value, by, sentence)
        async with self._one_at_a_time:
            now = self._programs.get(program.id)
            if now is not was:
                said = f"it is {now.state.words} now" if now is not None else "it is not known any more"
                raise NotPossible(f"program {program.id} changed meanwhile: {said}; look again")
            await self._written(program, record)
            if program.state in OVER and (was is None or was.state not in OVER) and changed_something(program):
                self._untold.append(program)
            self.learn(program, record)
        return program

    async def _written(self, program: Program, record: Record) -> None:
        try:
            await self.save(program, record)
        except StoreFenced:
            self.lost.set()
            raise

    async def save(self, program: Program, *records: Record, originals: Iterable[Original] = ()) -> None:
        """As the journal does, and to its end even where whoever waits for it is called off: a transaction that is torn off in
        the middle may leave the state locked.
        """
        saving = asyncio.ensure_future(self._journal.save(program, *records, originals=originals))
        self._saving.add(saving)
        saving.add_done_callback(self._saved)
        await asyncio.shield(saving)

    def _saved(self, saving: asyncio.Future[None]) -> None:
        self._saving.discard(saving)
        if (
            not saving.cancelled() and (exc := saving.exception()) is not None
        ):  # whoever still waits hears of it as well
            log.debug("a write to the journal failed", why=str(exc))

    async def written(self) -> None:
        """Once nothing is being written any more; what takes too long is called off."""
        if self._saving:
            _, late = await asyncio.wait(set(self._saving), timeout=LAST_WRITE)
            for saving in late:
                saving.cancel()

    def learn(self, program: Program, record: Record) -> None:
        """What is so from now on."""
        self._programs[program.id] = program
        if record.what.startswith("issued "):
            step = program.step(record.what.removeprefix("issued "))
            original = Original(step.key, record.at, program.policy, step.resource, step.before, step.stood or {})
            self.originals.setdefault(step.key, original)
        self._publish()
        self._announce(program, record)

    async def pause(self, changes: Mapping[str, Pause | None]) -> None:
        """Policies ("*": all) that are paused from now on, or go on (None)."""
        await self._journal.set_pauses(changes)
        self.pauses = {name: pause for name, pause in {**self.pauses, **changes}.items() if pause is not None}
        self._publish()

    async def forget(self, keys: Iterable[str]) -> None:
        """What these had before orcha: they have it again."""
        gone = [key for key in keys if key in self.originals]
        if not gone:
            return
        try:
            await self._journal.forget(gone)
        except StoreError as exc:
            log.warning("what was given back is still in the journal", why=str(exc))
            return
        for key in gone:
            self.originals.pop(key, None)

    def drop(self, before: float) -> None:
        """Programs that have been over since then are not kept at hand."""
        gone = [each.id for each in self._programs.values() if each.state in OVER and each.changed < before]
        for name in gone:
            del self._programs[name]
        if gone:
            self._publish()

    def _publish(self) -> None:
        self._newest = tuple(sorted(self._programs.values(), key=lambda each: (-each.at, each.id)))
        self.published()
