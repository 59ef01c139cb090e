"""What a person may say to orcha about programs: approve, reject, roll back, pause, resume, release. Called by the API.

Each word is in the journal, with who said it, before it is so. A word that cannot be followed is refused with why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controller import stages
from controller.actuate.actuator import begins_back
from controller.programs import IN_FLIGHT, WAITING, Cause, Pause, Program, ProgramState, Record
from controller.refusals import NotPossible, Unknown
from controller.rows import Event
from controller.sequence import Unsafe

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.desk import Desk
    from controller.outcomes import Outcomes
    from exporters.clock import Clock

ALL: Final = "*"


class Operations:
    """Over one Desk. Raises Unknown, NotPossible, and StoreError where the word cannot be written."""

    def __init__(self, desk: Desk, outcomes: Outcomes, clock: Clock, note: Callable[[Event], None]) -> None:
        self._desk, self._outcomes, self._clock, self._note = desk, outcomes, clock, note

    def programs(self) -> tuple[Program, ...]:
        """All that are known, newest first."""
        return self._desk.programs()

    async def records(self, id_: str, /) -> tuple[Record, ...]:
        return tuple(await self._desk.records(self._desk.find(id_).id))

    async def approve(self, id_: str, /, by: str, why: str = "") -> Program:
        program = self._desk.find(id_)
        if program.state is not ProgramState.PENDING:
            raise NotPossible(f"program {program.id} is {program.state.value}; only a pending one can be approved")
        return await self._desk.become(program, ProgramState.APPROVED, by=by, said=why)

    async def reject(self, id_: str, /, by: str, why: str = "") -> Program:
        """Say no to one that waits; give up one that is blocked: what it changed stays as it is."""
        program = self._desk.find(id_)
        if program.state not in WAITING and program.state is not ProgramState.BLOCKED:
            raise NotPossible(
                f"program {program.id} is {program.state.value}; only one that waits or is blocked can be rejected"
            )
        await self._desk.stop(program.id)
        program = self._desk.find(program.id)
        return await self._desk.become(program, ProgramState.REJECTED, by=by, said=why or "a person said no")

    async def rollback(self, id_: str, /, by: str, why: str = "") -> Program:
        """Take back what a program did: by its own way back while it is on its way, else by a new program."""
        program = self._desk.find(id_)
        if program.state in IN_FLIGHT:
            await self._desk.stop(program.id)
            program = self._desk.find(program.id)
        if program.state in IN_FLIGHT:
            back = begins_back(program, why or f"{by} asked for it", asked=True)
            await self._desk.save(back, f"back: {why or 'asked for'}", by=by)
            self._desk.start(back)
            return back
        if not program.moved:
            raise NotPossible(f"program {program.id} is {program.state.value}: nothing of it is in force")
        state = await self._desk.look(program.policy, [step.key for step in program.steps])
        if state is None:
            raise NotPossible(f"policy {program.policy} of program {program.id} is not in force any more")
        try:
            made = stages.backward(program, state, cause=Cause.ROLLBACK, why=why or f"back from {program.id}", by=by)
        except Unsafe as exc:
            raise NotPossible(str(exc)) from exc
        if made is None:
            raise NotPossible(f"everything that program {program.id} moved has again what it had before")
        return await self._desk.add(made)

    async def pause(self, policy: str | None, by: str, why: str = "") -> None:
        """Begin nothing, and hold what is on its way before its next step."""
        pause = Pause(self._clock.time(), by, why)
        await self._desk.pause({self._named(policy): pause})
        self._say("Paused", policy or "all policies", _who(by, why))

    async def resume(self, target: str | None, by: str, why: str = "") -> None:
        """End the pause of one policy, or of all (None), and a policy's fall-back to Suggest; or let orcha move a workload
        again that a person changed by hand.
        """
        if target is not None and "/" in target:
            if target not in self._outcomes.changes:
                raise Unknown(f"there is no workload {target!r} that orcha has seen")
            self._outcomes.let_go([target])
            self._desk.reclaim(target)
            self._say("Resumed", target, f"orcha may move it again; {_who(by, why)}")
            return
        if target is None:
            await self._desk.pause(dict.fromkeys(self._desk.pauses))
        elif ALL in self._desk.pauses:
            raise NotPossible("everything is paused; `orcha resume` without a name ends that")
        else:
            await self._desk.pause({self._named(target): None})
        for name in sorted(self._desk.policies) if target is None else [target]:
            if name in self._outcomes.ledgers and self._outcomes.ledgers[name].fallback is not None:
                self._outcomes.reset(name, self._clock.time())
        self._say("Resumed", target or "all policies", _who(by, why))

    async def release(self, target: str | None, by: str, why: str = "") -> tuple[Program, ...]:
        """Give workloads what they had before orcha: one, all of a node, or all (None); their policies are paused first."""
        chosen = {
            k: each for k, each in self._desk.originals.items() if target is None or target in {k, k.partition("/")[0]}
        }
        if not chosen:
            raise NotPossible(f"orcha changed nothing {f'of {target} ' if target else ''}that it has not given back")
        policies = sorted({each.policy for each in chosen.values()} & self._desk.policies.keys())
        now = self._clock.time()
        await self._desk.pause({name: Pause(now, by, why or "released") for name in policies})
        made = []
        for name in policies:
            wanted = {key: each.amounts[each.resource] for key, each in chosen.items() if each.policy == name}
            self._say(
                "Released", name, f"{', '.join(sorted(wanted))} go back to what they had before orcha; {_who(by, why)}"
            )
            state = await self._desk.look(name, wanted)
            if state is None:
                continue
            try:
                program = stages.restored(wanted, state, cause=Cause.RELEASE, why=why or "as before orcha", by=by)
            except Unsafe as exc:
                raise NotPossible(str(exc)) from exc
            if program is None:
                await self._desk.forget(wanted)
            else:
                made.append(await self._desk.add(program))
        return tuple(made)

    def _say(self, kind: str, subject: str, sentence: str) -> None:
        self._note(Event(self._clock.time(), kind, subject, sentence))

    def _named(self, policy: str | None) -> str:
        if policy is not None and policy not in self._desk.policies:
            raise Unknown(
                f"there is no policy {policy!r}; there are {', '.join(sorted(self._desk.policies)) or 'none'}"
            )
        return policy or ALL


def _who(by: str, why: str) -> str:
    return f"by {by}" + (f": {why}" if why else "")
