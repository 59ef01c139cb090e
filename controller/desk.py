"""The Desk: programs from their proposal to their end. It queues, asks, starts the Actuator, and takes a person's word.

    decision ──consider──▶ pending ──approve──▶ approved ──turn: the guard asked again──▶ Actuator ──▶ over

Everything is in the journal before it is so: a program that cannot be written is not proposed, an approval that cannot
be written was not given. The loop calls `consider` with each decision and `turn` at each turn; the API calls the verbs
(operations.py) at any time, so whatever was awaited is looked at again, and only `turn` starts anything.
Of each policy one program is on its way at a time, apart from those that wait for a node that is gone or for a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from controller import aftermath, approvals, inflight, stages
from controller.actuate.actuator import Actuator, Lost, Ways, begins_back
from controller.address import StoreError, StoreFenced
from controller.approvals import ORCHA
from controller.consent import Consent
from controller.programs import IN_FLIGHT, OPEN, OVER, WAITING, Cause, Program, ProgramState, Record
from controller.refusals import NotPossible
from controller.register import REMEMBERED, Announce, Register
from controller.sequence import Unsafe
from exporters.quantity import format_duration

if TYPE_CHECKING:
    from controller.grounds import World
    from controller.journal import Journal
    from controller.model import Decision, State
    from controller.outcomes import Outcomes
    from controller.payoff import Ledger
    from controller.policy import AllocationPolicy
    from exporters.clock import Clock

log = structlog.get_logger("orcha.desk")

OLD: Final = 2.0
"""Times the hold: what was interrupted for longer goes back rather than on, for its plan is that old."""
ASK_AGAIN: Final = 30.0
"""Seconds after which the guard is asked again about what waits, and what failed unforeseen is tried again."""

Look = Callable[[str, Iterable[str]], Awaitable["State | None"]]
"""(policy, keys) -> its State of now, with a fresh look at these workloads; None: there is no such policy any more."""


class Desk(Register):
    """Of one controller. `restore` before anything else, `close` at the end."""

    def __init__(
        self, journal: Journal, world: World, clock: Clock, look: Look, *,
        announce: Announce = lambda _program, _record: None,
        counted: Callable[[str, str, str], None] = lambda _driver, _direction, _result: None,
    ) -> None:  # fmt: skip
        super().__init__(journal, clock, announce)
        self._world, self.look, self._counted = world, look, counted
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.policies: dict[str, AllocationPolicy] = {}
        self._pardoned: dict[str, float] = {}
        """Workloads -> when their owner said that orcha may try again."""
        self._asked: dict[str, float] = {}
        """Programs -> the monotonic time before which nothing is tried with them again."""
        self._in_hand: set[str] = set()
        """Programs that a person is about to change."""
        self.not_before = 0.0
        """Monotonic time before which nothing is begun: the writer before may still be at its last effect."""
        self.unreadable = ""
        """Why nothing may be begun: the journal holds a program of another version that is not over."""
        self.restored = False
        self.consent = Consent()
        self.published = self._tell_world

    # --- life

    async def restore(self, outcomes: Outcomes) -> None:
        """Bring back what the journal knows, once. Raises StoreError."""
        if odd := await self.bring_back():
            self.unreadable = (
                f"program {odd[0]} was written by another version of orcha and is not over: what it changed is not "
                "known; let that version finish it"
            )
            log.error(self.unreadable)
        await self.forget(aftermath.outlived(self.originals, self._programs.values()))
        self._untold = aftermath.untold(self._programs.values(), outcomes)
        self._world.recalled = lambda key: aftermath.brought_to(
            key, self._programs.values(), self._world.allocation(key), outcomes
        )
        self.restored = True

    def declare(self, policies: Iterable[AllocationPolicy]) -> None:
        """The policies in force."""
        self.policies = {policy.name: policy for policy in policies}

    async def close(self) -> None:
        """Stop where it is: the journal knows how far each program came."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.written()
        await self._world.close()

    # --- the loop's

    def see(self, state: State) -> State:
        """The State with what is pretended, what is on its way, and who is paused."""
        state = self._world.seen(state)
        if self.unreadable:
            state = inflight.unreadable(state, self.unreadable)
        state = inflight.in_programs(state, tuple(self._programs.values()), self._pardoned)
        return replace(state, paused=self._world.paused(state.policy))

    def pace(self, state: State) -> State:
        """The State with how many programs began lately."""
        return inflight.paced(state, self._programs.values())

    def begun(self, policy: str) -> list[float]:
        """When its programs began that count against maxProgramsPerHour."""
        return inflight.begun_of(policy, self._programs.values())

    def under_way(self) -> tuple[Program, ...]:
        """All that are known; what was started and is not in the journal as running yet is running."""
        running = ProgramState.RUNNING
        known = self._programs.values()
        return tuple(replace(p, state=running) if p.id in self._tasks and p.state in WAITING else p for p in known)

    async def hand_over(self, outcomes: Outcomes) -> None:
        """Tell what came to an end, so that it is judged; what is told is told once. Raises StoreError."""
        while self._untold:
            aftermath.tell(self._untold[0], outcomes, self._world.last_known)
            self._untold.pop(0)
        for key in self._world.begin_in_earnest(self.originals):
            original, has = self.originals[key], self._world.last_known(key)
            if has is not None:  # what was only pretended is nobody's change by hand
                outcomes.settle(key, original.resource, has, self._clock.time())
                await self.forget([key])

    async def consider(self, decision: Decision) -> None:
        """Put what a decision allows on the queue, if that is not there already. Raises StoreError."""
        state = decision.state
        try:
            new = approvals.proposed(decision)
        except Unsafe as exc:
            log.error("the plan's moves have no safe order; nothing is done", policy=state.policy, why=str(exc))
            return
        mine = [each for each in self._programs.values() if each.policy == state.policy and each.cause is Cause.PLAN]
        waiting = [each for each in mine if each.state in WAITING]
        if new is None or self.unreadable or any(each.id in self._tasks for each in waiting):
            return
        with suppress(NotPossible):  # a person was faster
            allocations = inflight.allocations_of(state)
            if same := next((old for old in waiting if not approvals.supersedes(new, old, allocations)), None):
                if same.state is ProgramState.PENDING and new.state is ProgramState.APPROVED:
                    await self.become(same, ProgramState.APPROVED, by=new.by)
                return
            if approvals.stands_refused(new, mine, state):
                return
            for old in waiting:
                await self.become(old, ProgramState.SUPERSEDED, said=f"program {new.id} wants something else")
            await self.add(new)

    async def turn(self, ledgers: Mapping[str, Ledger]) -> None:
        """What is due: the words in the manifests, what expired, next stages, what is blocked, and what may begin. Raises
        StoreError.
        """
        if self.lost.is_set() or not self._world.holds():
            return
        now = self._clock.time()
        if not self._tasks:
            await self._world.tidy()
        self.drop(now - REMEMBERED)
        for program in list(self._programs.values()):
            if program.state in WAITING and program.id not in self._tasks:
                with suppress(NotPossible):  # a person was faster
                    await self._waiting(program, now)
        await self._stages(ledgers)
        if self._clock.monotonic() < self.not_before:
            return
        for known in sorted(self._programs.values(), key=lambda each: (not each.wanted, each.at, each.id)):
            try:
                await self._go_on(known.id, now)
            except NotPossible:  # a person was faster
                continue
            except StoreError:
                raise
            except Exception:  # one driver's mistake must not keep all others from their work
                self._asked[known.id] = self._clock.monotonic() + ASK_AGAIN
                log.exception("a program could not begin; please report this as a bug", program=known.id)

    async def _waiting(self, program: Program, now: float) -> None:
        policy = self.policies.get(program.policy)
        if policy is None:
            await self.become(program, ProgramState.SUPERSEDED, said=f"policy {program.policy} is gone")
        elif over := approvals.expired(program, now):
            await self.become(program, over.state, said=over.said)
        elif why := self.consent.void(program):
            await self.become(program, ProgramState.SUPERSEDED, said=f"void: {why}")
        elif said := approvals.annotated(program, policy.metadata.annotations, policy.name):
            await self.become(program, said[0], by=said[1])

    async def _go_on(self, id_: str, now: float) -> None:
        program, moment = self._programs.get(id_), self._clock.monotonic()
        if program is None or id_ in self._tasks or id_ in self._in_hand or moment < self._asked.get(id_, -1.0):
            return
        match program.state:
            case ProgramState.RUNNING:
                self._start(self._aged(program, now))
            case ProgramState.BLOCKED if program.retry_at is None or now >= program.retry_at:
                self._start(self._aged(program, now))
            case ProgramState.APPROVED if self._is_free(program):
                self._asked[id_] = moment + ASK_AGAIN
                await self._begin(program)
            case _ if program.state in OVER:
                self._asked.pop(id_, None)

    async def _stages(self, ledgers: Mapping[str, Ledger]) -> None:
        """Go on from every stage that was judged."""
        for program in inflight.awaiting(self._programs.values()).values():
            outcome = aftermath.outcome_of(program, ledgers.get(program.policy), self._untold, self._clock.time())
            if outcome is None or self._world.paused(program.policy) or program.id in self._in_hand:
                continue
            state = await self.look(program.policy, [step.key for step in program.steps])
            if state is None or not inflight.known_of(state).keys() >= {step.key for step in program.steps}:
                continue
            try:
                following = stages.after_stage(program, outcome, state)
            except Unsafe as exc:
                following = f"there is no safe way on or back: {exc}"
            if not self.is_still(program) or program.id not in inflight.awaiting(self._programs.values()):
                continue  # meanwhile a person took it back
            if isinstance(following, Program):
                await self.add(following)
            elif program.stage is not None:
                ended = replace(program.stage, shares=program.stage.shares[: program.stage.number])
                said = f"it ends with this stage: {following}"
                await self.put(program, replace(program, stage=ended), said, what="stage")

    # --- what may begin

    def _is_free(self, program: Program) -> bool:
        """Whether nothing is in its way: a pause, an earlier program, a node that another one is changing."""
        paused, wanted = self._world.paused(program.policy), program.wanted and not program.by.startswith(ORCHA)
        if self.unreadable or (paused and not wanted):
            return False
        flying = [
            each
            for each in self._programs.values()
            if each.id != program.id and (each.state in IN_FLIGHT or each.id in self._tasks)
        ]
        busy = next((each for each in flying if not set(each.nodes).isdisjoint(program.nodes)), None)
        ahead = [each for each in flying if each.policy == program.policy and self._acts(each)]
        first = busy or (ahead[0] if ahead and not (paused and wanted) else None)
        why = f"program {first.id} comes first" if first is not None else self.consent.waits(program)
        if why:
            self._note(program, why)
        return not why

    def _acts(self, program: Program) -> bool:
        """Whether orcha itself is at work: not a person who has to sign, nor a node that it waits for once more."""
        if program.state is ProgramState.BLOCKED or program.tries:
            return False
        drivers = [self._world.driver(step.key) for step in program.steps]
        return any(driver is not None and driver.reversible for driver in drivers)

    async def _begin(self, program: Program) -> None:
        """Look again, ask the guard again, and start what it still allows."""
        state = await self.look(program.policy, [step.key for step in program.steps])
        if state is None or not self.is_still(program):
            return
        if program.wanted:
            await self._begin_wanted(program, state)
            return
        if approvals.outgrown(program, state):
            await self.become(program, ProgramState.PENDING, said="it waits for a person's word by now")
            return
        refused = await asyncio.to_thread(approvals.asked_again, program, inflight.apart_from(state, program))
        if refused is None:
            self._start_if_free(program)
        elif refused[0]:
            await self.become(program, ProgramState.SUPERSEDED, said=f"void: {refused[1]}")
        elif self.is_still(program):
            self._note(program, refused[1])

    async def _begin_wanted(self, program: Program, state: State) -> None:
        """What a person wants is not the guard's to refuse; it starts from what there is now."""
        wanted = {step.key: step.after[step.resource] for step in program.steps}
        reasons = (stages.kept(s.key, s.resource, s.after[s.resource], state) for s in program.steps)
        if why := next((reason for reason in reasons if reason), ""):
            self._note(program, why)
            return
        try:
            now = stages.restored(
                wanted, state, cause=program.cause, why=program.sentence, by=program.by, of=program.of
            )
        except Unsafe as exc:
            self._note(program, str(exc))
            return
        if now is None:
            await self.become(program, ProgramState.SUPERSEDED, said="everything has that already")
            if program.cause is Cause.RELEASE:
                await self.forget(wanted)
        elif stages.same_way(now, program, inflight.allocations_of(state)):
            self._start_if_free(program)
        else:
            await self.add(replace(now, expires=program.expires, back=program.back))
            await self.become(program, ProgramState.SUPERSEDED, said=f"program {now.id} starts from what there is now")

    def _note(self, program: Program, why: str) -> None:
        """For people who look now, what it waits for; not in the journal, for it may change at every look."""
        if program.said != f"waits: {why}":
            waits = replace(program, said=f"waits: {why}")
            self.learn(waits, Record(self._clock.time(), "waits", "orcha", waits.said))

    def _start_if_free(self, program: Program) -> None:
        """While the guard was asked, people and other programs went on."""
        if self.is_still(program) and program.id not in self._in_hand and self._is_free(program):
            self._start(program)

    def _start(self, program: Program) -> None:
        if program.id in self._tasks or self.lost.is_set() or not self._world.holds():
            return
        policy = self.policies.get(program.policy)
        ways = Ways()
        if policy is not None:
            limits, drain = policy.spec.limits, max(policy.spec.objective.horizon, policy.spec.limits.hold)
            ways = Ways(limits.parallel_nodes, policy.spec.rollback.automatic, drain)
        actuator = Actuator(program, self._world, self, self._clock, ways, told=self.learn, counted=self._counted)
        self._tasks[program.id] = asyncio.create_task(self._run(actuator), name=program.id)

    async def _run(self, actuator: Actuator) -> None:
        name = actuator.program.id
        try:
            ended = await actuator.run()
            if aftermath.changed_something(ended):
                self._untold.append(ended)
            await self.forget(aftermath.given_back(ended, self.originals))
        except (Lost, StoreFenced) as exc:
            log.error("this controller is not the writer any more; it does nothing further", program=name, why=str(exc))
            self.lost.set()
        except Exception:
            self._asked[name] = self._clock.monotonic() + ASK_AGAIN
            log.exception("a program could not go on; it is tried again; please report this as a bug", program=name)
        finally:
            self._tasks.pop(name, None)

    def _aged(self, program: Program, now: float) -> Program:
        """What was interrupted for so long that its plan is old goes back, unless only a person could take it back."""
        policy = self.policies.get(program.policy)
        since = max((step.since for step in program.steps if step.since is not None), default=program.changed)
        hold = policy.spec.limits.hold if policy else 3600.0
        patience = OLD * max([hold, *(self._world.traits(step.key).verify_timeout for step in program.steps)])
        signed = any((driver := self._world.driver(s.key)) and not driver.reversible for s in program.steps)
        if now - since <= patience or signed or program.cause in {Cause.RELEASE, Cause.ROLLBACK}:
            return program
        return begins_back(program, f"it was interrupted for {format_duration(now - since)}", asked=False)

    @property
    def busy(self) -> bool:
        """Whether a program is on its way right now."""
        return bool(self._tasks)

    # --- for whoever says something (operations.py)

    def reclaim(self, key: str) -> None:
        """Its owner lets orcha move a workload again: its driver may take back what others set, and no failure counts."""
        self._pardoned[key] = self._clock.time()
        self._world.tell(key, "reclaim")

    def give_up(self, program: Program) -> None:
        """What it still waited for nobody shall do any more, such as sign a paper."""
        for step in program.steps:
            self._world.tell(step.key, "withdraw")

    @asynccontextmanager
    async def stopped(self, id_: str) -> AsyncIterator[Program]:
        """Let go of a program, whose journal knows how far it came; nobody goes on with it meanwhile."""
        if id_ in self._in_hand:
            raise NotPossible(f"somebody else is changing program {id_} right now; look again")
        self._in_hand.add(id_)
        try:
            if (task := self._tasks.get(id_)) is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self.written()
            yield self.find(id_)
        finally:
            self._in_hand.discard(id_)

    def soon(self, id_: str) -> None:
        """It is tried at the next turn."""
        self._asked.pop(id_, None)

    def _tell_world(self) -> None:
        self._world.programs = {each.id: each for each in self._programs.values() if each.state in OPEN}
        self._world.pauses = frozenset(self.pauses)
