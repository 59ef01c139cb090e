"""The Desk: programs from their proposal to their end. It queues, asks, starts the Actuator, and takes a person's word.

    decision ──consider──▶ pending ──approve──▶ approved ──turn: the guard asked again──▶ Actuator ──▶ over

Everything is in the journal before it is so: a program that cannot be written is not proposed, an approval that cannot
be written was not given. The loop calls `consider` with each decision and `turn` at each turn; the API calls the verbs.
Of each policy one program is on its way at a time, apart from those that wait for a node that is gone or for a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from controller import approvals, inflight, stages
from controller.actuate.actuator import Actuator, Lost, Ways, begins_back
from controller.address import StoreError, StoreFenced
from controller.decide import reconsider
from controller.programs import (
    IN_FLIGHT,
    OPEN,
    OVER,
    WAITING,
    Cause,
    Original,
    Pause,
    Phase,
    Program,
    ProgramState,
    Record,
)
from controller.refusals import Unknown
from controller.sequence import Unsafe, amounts_of
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

REMEMBERED: Final = 30 * 86400.0
"""Seconds for which programs that are over are kept at hand; the journal keeps them as long as history."""
OLD: Final = 2.0
"""Times the hold: what was interrupted for longer goes back rather than on, for its plan is that old."""

ASK_AGAIN: Final = 30.0
"""Seconds after which the guard is asked again about what waits."""

Look = Callable[[str, Iterable[str]], Awaitable["State | None"]]
"""(policy, keys) -> its State of now, with a fresh look at these workloads; None: there is no such policy any more."""
Announce = Callable[[Program, Record], None]
"""Told of every change of a program: metrics, events, the stream."""
ALL: Final = "*"


class Desk:
    """Of one controller. `restore` before anything else, `close` at the end."""

    def __init__(
        self, journal: Journal, world: World, clock: Clock, look: Look, *,
        announce: Announce = lambda _program, _record: None,
        counted: Callable[[str, str, str], None] = lambda _driver, _direction, _result: None,
    ) -> None:  # fmt: skip
        self._journal, self._world, self._clock, self.look = journal, world, clock, look
        self._announce, self._counted = announce, counted
        self._programs: dict[str, Program] = {}
        self._newest: tuple[Program, ...] = ()
        """Replaced as a whole, so that any thread may read it."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.policies: dict[str, AllocationPolicy] = {}
        self._pardoned: dict[str, float] = {}
        """Workloads -> when their owner said that orcha may try again."""
        self._asked: dict[str, float] = {}
        """Approved programs -> when the guard is asked about them again."""
        self.not_before = 0.0
        """Monotonic time before which nothing is begun: the writer before may still be at its last effect."""
        self.originals: dict[str, Original] = {}
        self._told: list[Program] = []
        """Programs that are over, and that Outcomes has not heard of."""
        self.pauses: dict[str, Pause] = {}
        """Policy -> its pause; "*": of all."""
        self.lost: asyncio.Event = asyncio.Event()
        """This controller is not the writer any more."""
        self.unreadable = ""
        """Why nothing may be begun: the journal holds a program of another version that is not over."""
        self.restored = False

    # --- life

    async def restore(self, outcomes: Outcomes) -> None:
        """Bring back what the journal knows, once. Raises StoreError."""
        now = self._clock.time()
        self._programs = {each.id: each for each in await self._journal.programs(now - REMEMBERED)}
        self.pauses, self.originals = await self._journal.pauses(), await self._journal.originals()
        if odd := await self._journal.unreadable():
            self.unreadable = (
                f"program {odd[0]} was written by another version of orcha and is not over: what it changed is not "
                "known; let that version finish it"
            )
            log.error(self.unreadable)
        known = {trial.id for ledger in outcomes.ledgers.values() for trial in ledger.programs}
        self._told = [
            each
            for each in sorted(self._programs.values(), key=lambda each: each.changed)
            if each.state in {ProgramState.APPLIED, ProgramState.ROLLED_BACK} and each.id not in known
            if _settles_later(each, outcomes)
        ]
        self._world.recalled = lambda key: _brought(key, self._world, outcomes)
        self.restored = True
        self._publish()

    def declare(self, policies: Iterable[AllocationPolicy]) -> None:
        """The policies in force."""
        self.policies = {policy.name: policy for policy in policies}

    async def close(self) -> None:
        """Stop where it is: the journal knows how far each program came."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._world.close()

    # --- the loop's

    def see(self, state: State) -> State:
        """The State with what is pretended, what is on its way, and who is paused."""
        state = self._world.seen(state)
        state = inflight.in_programs(state, tuple(self._programs.values()), self._pardoned)
        paused = self._world.paused(state.policy) or bool(self.unreadable)
        return replace(state, paused=paused)

    def pace(self, state: State) -> State:
        """The State with how many programs began lately."""
        return inflight.paced(state, self._programs.values())

    def hand_over(self, outcomes: Outcomes) -> None:
        """Tell what came to an end, so that it is judged; what is told is told once."""
        told, self._told = self._told, []
        for program in told:
            _tell(program, outcomes)

    async def consider(self, decision: Decision) -> None:
        """Put what a decision allows on the queue, if that is not there already."""
        state = decision.state
        try:
            new = approvals.proposed(decision)
        except Unsafe as exc:
            log.error("the plan's moves have no safe order; nothing is done", policy=state.policy, why=str(exc))
            return
        if new is None:
            return
        waiting = [each for each in self._of(state.policy) if each.state in WAITING and each.cause is Cause.PLAN]
        allocations = inflight.allocations_of(state)
        if same := next((old for old in waiting if not approvals.supersedes(new, old, allocations)), None):
            if same.state is ProgramState.PENDING and new.state is ProgramState.APPROVED:
                await self.become(same, ProgramState.APPROVED, by=new.by)
            return
        for old in waiting:
            await self.become(old, ProgramState.SUPERSEDED, said=f"program {new.id} wants something else")
        await self.add(new)

    async def turn(self, ledgers: Mapping[str, Ledger]) -> None:
        """What is due: the words in the manifests, what expired, next stages, what is blocked, and what may begin."""
        now = self._clock.time()
        if not self._tasks:
            await self._world.tidy()
        for program in [each for each in self._programs.values() if each.state in WAITING]:
            await self._waiting(program, now)
        await self._stages(ledgers)
        if not self._world.holds() or self._clock.monotonic() < self.not_before:
            return
        for program in sorted(self._programs.values(), key=lambda each: (not each.wanted, each.at, each.id)):
            if program.id not in self._tasks:
                await self._go_on(program, now)

    async def _waiting(self, program: Program, now: float) -> None:
        policy = self.policies.get(program.policy)
        if policy is None:
            await self.become(program, ProgramState.SUPERSEDED, said=f"policy {program.policy} is gone")
        elif over := approvals.expired(program, now):
            await self.save(over, over.said)
        elif program.state is ProgramState.PENDING and (
            said := approvals.annotated(program, policy.metadata.annotations, policy.name)
        ):
            await self.become(program, said[0], by=said[1])

    async def _go_on(self, program: Program, now: float) -> None:
        match program.state:
            case ProgramState.RUNNING:
                self.start(self._aged(program, now))
            case ProgramState.BLOCKED if program.retry_at is None or now >= program.retry_at:
                self.start(self._aged(program, now))
            case ProgramState.APPROVED if now >= self._asked.get(program.id, 0.0) and self._may_begin(program):
                self._asked[program.id] = now + ASK_AGAIN
                await self._begin(program)

    async def _stages(self, ledgers: Mapping[str, Ledger]) -> None:
        """Go on from every stage that was judged."""
        for program in inflight.awaiting(self._programs.values()).values():
            ledger = ledgers.get(program.policy)
            trial = next((each for each in ledger.programs if each.id == program.id), None) if ledger else None
            if trial is None or trial.outcome is None:
                continue
            state = await self.look(program.policy, [step.key for step in program.steps])
            if state is None:
                continue
            try:
                following = stages.after_stage(program, trial.outcome, state)
            except Unsafe as exc:
                log.error("the next stage has no safe order", program=program.id, why=str(exc))
                following = None
            if following is None:  # what it was is over: it stands as the whole
                await self.save(replace(program, stage=None), "there is nothing left to do")
            else:
                await self.add(following)

    def _may_begin(self, program: Program) -> bool:
        """Whether nothing is in its way: a pause, an earlier program, a node that is not the writer's."""
        if self.unreadable or (self._world.paused(program.policy) and not program.wanted):
            return False
        flying = [each for each in self._programs.values() if each.state in IN_FLIGHT or each.id in self._tasks]
        ahead = [each for each in flying if each.policy == program.policy and each.state is not ProgramState.BLOCKED]
        busy = {step.node for each in flying for step in each.steps}
        return not any(self._acts(each) for each in ahead) and busy.isdisjoint(program.nodes)

    def _acts(self, program: Program) -> bool:
        """Whether orcha itself is at work, and not a person who has to sign."""
        drivers = [self._world.driver(step.key) for step in program.steps]
        return any(driver is not None and driver.reversible for driver in drivers)

    async def _begin(self, program: Program) -> None:
        """Look again, ask the guard again, and start what it still allows."""
        state = await self.look(program.policy, [step.key for step in program.steps])
        if state is None or self._programs.get(program.id) is not program:
            return
        if program.cause in {Cause.PLAN, Cause.STAGE}:
            verdicts = await asyncio.to_thread(reconsider, state, approvals.moves_of(program))
            if not all(verdict.allowed for verdict in verdicts):
                void, why = approvals.void_or_wait(verdicts)
                if void:
                    await self.become(program, ProgramState.SUPERSEDED, said=f"void: {why}")
                elif program.said != f"waits: {why}":
                    await self.save(replace(program, said=f"waits: {why}"), f"waits: {why}")
                return
        self.start(program)

    def start(self, program: Program) -> None:
        policy = self.policies.get(program.policy)
        ways = Ways()
        if policy is not None:
            spec = policy.spec
            ways = Ways(
                spec.limits.parallel_nodes, spec.rollback.automatic, max(spec.objective.horizon, spec.limits.hold)
            )
        actuator = Actuator(
            program, self._world, self._journal, self._clock, ways, told=self._learn, counted=self._counted
        )
        self._tasks[program.id] = asyncio.create_task(self._run(actuator), name=program.id)

    async def _run(self, actuator: Actuator) -> None:
        name = actuator.program.id
        try:
            ended = await actuator.run()
        except (Lost, StoreFenced) as exc:
            log.error("this controller is not the writer any more; it does nothing further", program=name, why=str(exc))
            self.lost.set()
            return
        except Exception:
            log.exception("a program could not go on; it is tried again; please report this as a bug", program=name)
            return
        finally:
            self._tasks.pop(name, None)
        if ended.state in OVER:
            self._told.append(ended)
            if ended.cause is Cause.RELEASE and ended.state is ProgramState.APPLIED:
                await self.forget(step.key for step in ended.steps)

    def _aged(self, program: Program, now: float) -> Program:
        """What was interrupted for so long that its plan is old goes back, unless only a person could take it back."""
        policy = self.policies.get(program.policy)
        since = max((step.since for step in program.steps if step.since is not None), default=program.changed)
        patience = OLD * max([
            policy.spec.limits.hold if policy else 3600.0,
            *(self._world.traits(step.key).verify_timeout for step in program.steps),
        ])  # fmt: skip
        reversible = all((driver := self._world.driver(s.key)) is None or driver.reversible for s in program.steps)
        if now - since <= patience or not reversible or program.cause in {Cause.RELEASE, Cause.ROLLBACK}:
            return program
        return begins_back(program, f"it was interrupted for {format_duration(now - since)}", asked=False)

    # --- for whoever says something (operations.py)

    def programs(self) -> tuple[Program, ...]:
        """All that are known, newest first."""
        return self._newest

    async def records(self, id_: str) -> tuple[Record, ...]:
        return tuple(await self._journal.records(id_))

    def _of(self, policy: str) -> list[Program]:
        return [each for each in self._programs.values() if each.policy == policy]

    def find(self, id_: str) -> Program:
        """By its id, or a beginning of it that no other has. Raises Unknown."""
        if id_ in self._programs:
            return self._programs[id_]
        found = [name for name in self._programs if id_ and name.startswith(id_)]
        if len(found) == 1:
            return self._programs[found[0]]
        several = f": {', '.join(sorted(found)[:5])} begin so" if found else "; `orcha programs` lists them"
        raise Unknown(f"there is no program {id_!r}{several}")

    def reclaim(self, key: str) -> None:
        """Its owner lets orcha move a workload again: its driver may take back what others set, and no failure counts."""
        self._pardoned[key] = self._clock.time()
        reclaim = getattr(self._world.driver(key), "reclaim", None)  # only drivers that see who set what have it
        if reclaim is not None:
            reclaim()

    async def pause(self, changes: Mapping[str, Pause | None]) -> None:
        """Policies ("*": all) that are paused from now on, or go on (None)."""
        await self._journal.set_pauses(changes)
        self.pauses = {name: pause for name, pause in {**self.pauses, **changes}.items() if pause is not None}
        self._publish()

    async def forget(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        try:
            await self._journal.forget(gone)
        except StoreError as exc:
            log.warning("what was given back is still in the journal", why=str(exc))
            return
        for key in gone:
            self.originals.pop(key, None)

    async def stop(self, id_: str) -> None:
        """Let go of a program that is on its way; the journal knows how far it came."""
        task = self._tasks.get(id_)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def become(self, program: Program, state: ProgramState, *, by: str = "orcha", said: str = "") -> Program:
        return await self.save(program.turned(state, self._clock.time(), by, said), said or state.value, by=by)

    async def add(self, program: Program) -> Program:
        return await self.save(program, program.sentence, by=program.by)

    async def save(self, program: Program, sentence: str, *, by: str = "orcha") -> Program:
        record = Record(self._clock.time(), program.state.value, by, sentence)
        await self._journal.save(program, record)
        self._learn(program, record)
        return program

    def _learn(self, program: Program, record: Record) -> None:
        """What is so from now on."""
        self._programs[program.id] = program
        if record.what.startswith("issued "):
            step = program.step(record.what.removeprefix("issued "))
            original = Original(step.key, record.at, program.policy, step.resource, step.before, step.stood or {})
            self.originals.setdefault(step.key, original)
        self._publish()
        self._announce(program, record)

    def _publish(self) -> None:
        self._newest = tuple(sorted(self._programs.values(), key=lambda each: (-each.at, each.id)))
        self._world.programs = {each.id: each for each in self._programs.values() if each.state in OPEN}
        self._world.pauses = frozenset(self.pauses)


def _settles_later(program: Program, outcomes: Outcomes) -> bool:
    """Whether it ended after what is known of its workloads' changes was written."""
    changes = outcomes.changes
    return any(
        (known := changes.get(step.key)) is None or known.last_moved is None or known.last_moved < program.changed - 1.0
        for step in program.steps
        if step.phase is not Phase.WAITING
    )


def _brought(key: str, world: World, outcomes: Outcomes) -> Mapping[str, float] | None:
    """What orcha last brought a workload to, its companions with it; None: it never did."""
    known, allocation = outcomes.changes.get(key), world.allocation(key)
    if allocation is None or known is None or known.expected is None or known.last_moved is None:
        return None
    return amounts_of(allocation, known.expected) if known.resource in {None, allocation.resource} else None


def _tell(program: Program, outcomes: Outcomes) -> None:
    """What a program brought about, and what it gave back."""
    for step in program.steps:
        if step.phase is Phase.RETURNED:
            outcomes.settle(step.key, step.resource, step.before[step.resource], program.changed)
        elif step.phase is Phase.DONE:
            outcomes.settle(step.key, step.resource, step.after[step.resource], program.changed)
    moved = {step.key for step in program.moved}
    trial = program.trial
    if trial is not None and moved:
        parts = tuple(replace(part, at=program.changed) for part in trial.parts if part.key in moved)
        whole = len(parts) == len(trial.parts)
        outcomes.begin(replace(trial, at=program.changed, parts=parts, promise=trial.promise if whole else None))
