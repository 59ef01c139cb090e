"""What a person may say to orcha about programs: approve, reject, roll back, pause, resume, release. Called by the API.

Each word is in the journal, with who said it, before it is so. A word that cannot be followed is refused with why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controller import stages
from controller.actuate.actuator import begins_back
from controller.approvals import expired
from controller.inflight import returned
from controller.programs import IN_FLIGHT, OPEN, WAITING, Cause, Original, Pause, Program, ProgramState, Record
from controller.refusals import NotPossible, Unknown
from controller.rows import Event
from controller.sequence import Unsafe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        return tuple(await self._desk.records(self._find(id_).id))

    async def approve(self, id_: str, /, by: str, why: str = "") -> Program:
        program = self._find(id_)
        if program.state is not ProgramState.PENDING:
            raise NotPossible(f"program {program.id} is {program.state.words}; only a pending one can be approved")
        if over := expired(program, self._clock.time()):
            raise NotPossible(
                f"program {program.id} has expired: {over.said}; the next plan proposes what is good then"
            )
        return await self._desk.become(program, ProgramState.APPROVED, by=by, said=why)

    async def reject(self, id_: str, /, by: str, why: str = "") -> Program:
        """Say no to one that waits; give up one that is blocked, or tried once more: what it changed stays as it is."""
        async with self._desk.stopped(self._find(id_).id) as program:
            given_up = program.state is ProgramState.RUNNING and program.tries > 0
            if program.state not in WAITING and program.state is not ProgramState.BLOCKED and not given_up:
                raise NotPossible(
                    f"program {program.id} is {program.state.words}; only one that waits or is blocked can be rejected"
                )
            rejected = await self._desk.become(program, ProgramState.REJECTED, by=by, said=why or "a person said no")
            self._desk.give_up(program)
            return rejected

    async def rollback(self, id_: str, /, by: str, why: str = "") -> Program:
        """Take back what a program did: by its own way back while it is on its way, else by a new program."""
        program = self._find(id_)
        if program.state in IN_FLIGHT and (back := await self._send_back(program.id, by, why)) is not None:
            return back
        program = self._find(program.id)
        if not program.moved:
            raise NotPossible(f"program {program.id} is {program.state.words}: nothing of it is in force")
        open_ = [each for each in self._desk.programs() if each.of == program.id and each.cause is Cause.ROLLBACK]
        if under_way := next((each for each in open_ if each.state in OPEN), None):
            raise NotPossible(f"program {under_way.id} ({under_way.state.value}) takes {program.id} back already")
        self._may_begin()
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

    async def _send_back(self, id_: str, by: str, why: str) -> Program | None:
        """One that is on its way; None: it came to its end meanwhile."""
        async with self._desk.stopped(id_) as program:
            if program.state not in IN_FLIGHT:
                return None
            back = replace(begins_back(program, why or f"{by} asked for it", asked=True), retry_at=None)
            await self._desk.put(program, back, f"back: {why or 'asked for'}", by=by, what="back")
            self._desk.soon(id_)
            return back

    async def pause(self, policy: str | None, by: str, why: str = "") -> None:
        """Begin nothing, and hold what is on its way before its next step."""
        pause = Pause(self._clock.time(), by, why)
        await self._desk.pause({self._named(policy): pause})
        self._say("Paused", policy or "all policies", _who(by, why))

    async def resume(self, target: str | None, by: str, why: str = "") -> None:
        """End the pause of one policy, or of all (None), and a policy's fall-back to Suggest; or let orcha move a workload
        again that a person changed by hand.
        """
        if not self._desk.restored:
            raise NotPossible("the journal was not read yet; try again in a moment")
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
        """Give workloads what they had before orcha: one, all of a node, or all (None); their policies are paused first.
        What is on its way with them goes back first. What cannot be given back is said, and stays known.
        """
        self._may_begin()
        chosen = {
            k: each for k, each in self._desk.originals.items() if target is None or target in {k, k.partition("/")[0]}
        }
        if not chosen and target is None:
            return ()
        if not chosen:
            raise NotPossible(f"orcha changed nothing of {target}, or has given it back already")
        by_policy, left = await self._owners(chosen)
        now = self._clock.time()
        await self._desk.pause({name: Pause(now, by, why or "released") for name in by_policy})
        flying = [p for p in self._desk.programs() if p.state in IN_FLIGHT and not p.wanted]
        concerned = [p for p in flying if not chosen.keys().isdisjoint(step.key for step in p.steps)]
        sent = [back for p in concerned if (back := await self._send_back(p.id, by, why or "released")) is not None]
        made = list(sent)
        for name, those in by_policy.items():
            released, said = await self._released(name, those, by, why, sent)
            left += said
            made += [released] if released is not None else []
        if left and not made:
            raise NotPossible("; ".join(left))
        return tuple(made)

    async def _owners(self, chosen: Mapping[str, Original]) -> tuple[dict[str, dict[str, Original]], list[str]]:
        """The workloads by the policy that selects them now, and sentences on those that none does."""
        found: dict[str, dict[str, Original]] = {}
        missing = dict(chosen)
        own = {each.policy for each in chosen.values()}
        for name in sorted(self._desk.policies, key=lambda name: (name not in own, name)):
            if not missing or (state := await self._desk.look(name, ())) is None:
                continue
            if those := {key: missing.pop(key) for key in (w.key for w in state.workloads) if key in missing}:
                found[name] = those
        return found, [f"{key} is declared under no policy any more; declare it again" for key in sorted(missing)]

    async def _released(
        self, policy: str, those: Mapping[str, Original], by: str, why: str, back: Sequence[Program]
    ) -> tuple[Program | None, list[str]]:
        """The program that gives back what one policy's workloads had, and why some of it cannot be given. `back`: what goes
        back before that.
        """
        state = await self._desk.look(policy, those)
        if state is None:
            return None, [f"policy {policy} is not in force any more"]
        state = returned(state, back)
        to = {key: each.amounts[each.resource] for key, each in those.items()}
        left = {key: said for key in those if (said := stages.kept(key, those[key].resource, to[key], state))}
        wanted = {key: amount for key, amount in to.items() if key not in left}
        try:
            program = stages.restored(wanted, state, cause=Cause.RELEASE, why=why or "as before orcha", by=by)
        except Unsafe as exc:
            return None, [*left.values(), str(exc)]
        if wanted:
            said = f"{', '.join(sorted(wanted))} go back to what they had before orcha; {_who(by, why)}"
            self._say("Released", policy, "; ".join([said, *left.values()]))
        if program is not None:
            return await self._desk.add(program), list(left.values())
        moving = {step.key for each in self._desk.programs() if each.state in IN_FLIGHT for step in each.steps}
        await self._desk.forget(wanted.keys() - moving)
        return None, list(left.values())

    def _find(self, id_: str) -> Program:
        """Raises Unknown, and NotPossible before the journal was read."""
        if not self._desk.restored:
            raise NotPossible("the journal was not read yet, so no program is known; try again in a moment")
        return self._desk.find(id_)

    def _may_begin(self) -> None:
        """Raises NotPossible where nothing may begin, whoever asks."""
        if not self._desk.restored:
            raise NotPossible("the journal was not read yet; try again in a moment")
        if self._desk.unreadable:
            raise NotPossible(self._desk.unreadable)

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
