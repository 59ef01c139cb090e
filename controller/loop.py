"""Reconciler: the page that ties it together. Observe, remember, estimate, plan, guard, report; again.

Level-based: every turn decides from what is, never from what changed. A step that fails is logged and tried again at
the next turn; only a request to stop ends the loop. What the guard lets pass is handed to the Desk, which asks, or acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import structlog

from controller.address import StoreError
from controller.consent import Consent
from controller.decide import decide, refit
from controller.desk import Desk
from controller.fleet.limits import held_by
from controller.fleet.site import Look, Site
from controller.history import History
from controller.learning import newest
from controller.manifests import Manifests
from controller.model import Decision, State
from controller.observe import Observation, Source
from controller.outcomes import Outcomes, ledgers_of
from controller.plan.standing import next_change
from controller.plan.strategy import rises_after
from controller.policy import AllocationPolicy, PolicySpec
from controller.report import kpi, views
from controller.report.metrics import ControllerMetrics, render
from controller.report.programs import with_drift
from controller.state import movable_on, node_state, state_of, without_past, without_replicates, workload_state
from controller.store import Store
from exporters.clock import Clock
from exporters.reading import Reading

log = structlog.get_logger("orcha.loop")

FIRST_LOOKS = 30.0
"""Seconds that the first plan waits for a first look at every workload; a node that hangs must not hold it up for ever."""

LAST_TURN = 1.0
"""Seconds that a turn in hand gets to its end once a stop was asked for: one that writes would else write twice."""

SLICE = 100
"""Workloads that are worked on at a stretch in the loop's thread: ten milliseconds, so that scrapes need not wait longer."""

T = TypeVar("T")
AskBlock = Callable[[str], Awaitable[str | None]]
"""blockWhile's expression -> why it blocks, or None (controller/observe/promql.py)."""


class Audience(Protocol):
    """Who wants to hear of readings and decisions as they come."""

    async def readings(self, fresh: Sequence[Reading]) -> None: ...

    def decided(self, decision: Decision) -> None: ...


class Nobody:
    async def readings(self, fresh: Sequence[Reading]) -> None:
        """Nobody listens."""

    def decided(self, decision: Decision) -> None:
        """Nobody listens."""


class Reconciler:
    """One loop over all policies. Everything that it needs is handed in."""

    def __init__(
        self,
        manifests: Manifests,
        source: Source,
        history: History,
        store: Store | None,
        metrics: ControllerMetrics,
        clock: Clock,
        *,
        ask_block: AskBlock,
        rng: random.Random,
    ) -> None:
        self.manifests = manifests
        self.desk: Desk | None = None
        """Who acts; None: nobody. Set before the first turn."""
        self.site: Site | None = None
        """This controller's part in the fleet; None: it belongs to none."""
        self._whole: dict[str, Decision] = {}
        """Decisions with their past, until the site has looked at them."""
        self.audience: Audience = Nobody()
        self._rises: dict[str, tuple[int, float | None]] = {}
        """Policy -> how many analyses in a row wanted to move, and when its last program had begun by then."""
        self._minding = asyncio.Lock()
        """One at a time looks at what changed: the loop in a thread, and whoever asks over the API."""
        self.observation = Observation(at=clock.time())
        self.decisions: dict[str, Decision] = {}
        self.outcomes = Outcomes(store)
        self._source, self._history, self._store = source, history, store
        self._metrics, self._clock, self._ask_block, self._rng = metrics, clock, ask_block, rng
        self._scores = kpi.Scores()
        self._due: dict[tuple[str, str], float] = {}
        self._write_failed = False
        self._began = clock.monotonic()

    def join(self, site: Site) -> None:
        """Belong to a fleet from now on. After the Desk was set, before the first turn."""
        self.site = site
        if self.desk is not None:
            self.desk.consent = Consent(lambda program: site.asked(program, self.holdings()), site.void)

    def holdings(self) -> Look:
        """What every workload of this site holds, and what is under way, at this moment."""
        seen, watched = self.observation, self._source.watched
        those = tuple(workload_state(item, seen, {}) for item in watched.values() if item.allocation is not None)
        if self.desk is None:
            return Look(held_by(those, ()))
        whole = State(now=seen.at, policy="", spec=PolicySpec(), nodes=(), workloads=those)
        programs = self.desk.under_way()
        return Look(held_by(those, programs, self.desk.see(whole).workloads), programs)

    async def run(self, stop: asyncio.Event) -> None:
        """Turn until asked to stop."""
        asked = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await _until(asked, self.turn(), grace=LAST_TURN)
                await _until(asked, self._clock.sleep(self._pause()))
        finally:
            asked.cancel()

    async def turn(self) -> None:
        """One turn that never raises: what failed is said, and tried again at the next."""
        try:
            await self.reconcile()
            self._metrics.heartbeat.set(self._clock.time())
        except Exception:
            log.exception("a turn of the loop failed; nothing was changed; please report this as a bug")

    async def reconcile(self) -> None:
        with self._step("observe"):
            await self._observe()
        ready = self.desk is not None and await self._restored(self.desk)
        for policy in self.manifests.policies:
            if policy.spec.mode == "Off":
                self.decisions.pop(policy.name, None)
            elif self._is_due(policy, "plan", policy.spec.reconcile.plan):
                await self._decide(policy)
            elif policy.name in self.decisions and self._is_due(policy, "estimate", policy.spec.reconcile.estimate):
                await self._refit(policy)
        try:
            if self.desk is not None and ready:
                with self._step("actuate"):
                    await self._act(self.desk)
        finally:
            with self._step("report"):
                await self._remember()

    async def _observe(self) -> None:
        self.observation = await self._source.observe()
        async for reading in _in_slices(self.observation.fresh):
            self._take_in(reading)
        await self.audience.readings(self.observation.fresh)

    async def _act(self, desk: Desk) -> None:
        """What is due in the fleet, and then on the Desk. A journal that cannot be written begins nothing, and is said."""
        try:
            if self.site is not None and not desk.lost.is_set():
                await self._tell(self.site, desk)
            await desk.turn(self.outcomes.ledgers)
        except StoreError as exc:
            log.error("nothing was begun: the journal cannot be written", why=str(exc))
        names = [policy.name for policy in self.manifests.policies]
        self._metrics.paused.set(float(bool(desk.pauses)))
        self._metrics.acting.show(names, desk.programs(), {name: self._next_change(name) for name in names})

    async def _tell(self, site: Site, desk: Desk) -> None:
        """Tell the other sites, before anything begins: what is given away then is not used any more."""
        look = self.holdings()
        decisions = [self._whole.get(name, decision) for name, decision in self.decisions.items()]
        await site.turn(look.held, look.programs, decisions, sure=not desk.unreadable)
        self._whole.clear()

    async def _restored(self, desk: Desk) -> bool:
        """Whether it is known what was done, and what came to its end since is told. Before that nobody can tell what orcha
        changed from what a person did, so nothing is caught up with, and nothing proposed.
        """
        try:
            if not desk.restored and await self.outcomes.restore():
                await desk.restore(self.outcomes)
            async with self._minding:
                await desk.hand_over(self.outcomes)
        except StoreError as exc:
            log.error("nothing is done before the journal can be read", why=str(exc))
        return desk.restored

    def _next_change(self, policy: str) -> float | None:
        """The earliest time at which a program of it may begin; None: it may not act."""
        decision = self.decisions.get(policy)
        if decision is None:
            return None
        return next_change(decision.state, () if self.desk is None else self.desk.begun(policy))

    async def look(self, policy: str, keys: Iterable[str]) -> State | None:
        """The State of one policy as it is now, with a fresh look at these workloads (G5)."""
        found = next((each for each in self.manifests.policies if each.name == policy), None)
        if found is None:
            return None
        known = [key for key in keys if key in self._source.watched]
        await asyncio.gather(*(self._source.read_back(key) for key in known))
        await self._observe()
        expression = found.spec.limits.block_while
        blocked = await self._ask_block(expression) if expression else None
        async with self._minding:
            state = self.outcomes.remember(await self._state(found, blocked))
        return self._paced(state)

    def _paced(self, state: State) -> State:
        """With how many programs began lately, and how many analyses in a row wanted to move since the last of them."""
        state = self.desk.pace(state) if self.desk is not None else state
        rises, last = self._rises.get(state.policy, (0, None))
        return replace(state, rises=rises if last == state.last_program_at else 0)

    def _take_in(self, reading: Reading) -> None:
        watched = self._source.watched.get(reading.key)
        if self._history.add(reading) and watched is not None:
            past = None if reading.key in self._scores.contacts else self._history.readings(reading.key, 0.0)
            self._scores.look(reading, watched.stale_after, past)

    async def _decide(self, policy: AllocationPolicy) -> None:
        """Estimate, plan and guard, in a thread: it is arithmetic, and scrapes must not wait for it."""
        expression = policy.spec.limits.block_while
        blocked = await self._ask_block(expression) if expression else None
        async with self._minding:
            state = await self._state(policy, blocked)
            if self.desk is not None and not self.desk.restored:
                state = self.outcomes.remember(state)
            elif await self.outcomes.restore():
                state = await asyncio.to_thread(self.outcomes.catch_up, state)
        state = self._paced(state)
        decision = await asyncio.to_thread(decide, state, self._timed())
        self._rises[policy.name] = rises_after(state.rises, decision.verdicts), state.last_program_at
        self._metrics.count(decision)
        shown = self.decisions[policy.name] = await asyncio.to_thread(without_past, decision)
        if self.site is not None:
            self._whole[policy.name] = decision
        self.outcomes.show(shown)
        await asyncio.to_thread(self._scores.decided, shown)
        self._postpone(policy, "estimate", policy.spec.reconcile.estimate)  # its curves are as new as the decision
        await self._show(decision)
        self.audience.decided(shown)
        if self.desk is not None and self.desk.restored:
            with self._step("sequence"):
                await self._propose(self.desk, shown)
        log.info(decision.sentence, policy=policy.name, reason=str(decision.reason))

    async def _propose(self, desk: Desk, decision: Decision) -> None:
        try:
            await desk.consider(decision)
        except StoreError as exc:
            log.error("nothing was proposed: the journal cannot be written", why=str(exc))

    async def _refit(self, policy: AllocationPolicy) -> None:
        """Between two decisions: what one more step is worth now, shown beside the plan that stands."""
        state = await self._state(policy)
        curves = await asyncio.to_thread(refit, state, self._timed())
        self.decisions[policy.name] = replace(self.decisions[policy.name], curves=without_replicates(curves))
        await self._render()

    async def _state(self, policy: AllocationPolicy, blocked: str | None = None) -> State:
        seen, watched, nodes = self.observation, self._source.watched, self.manifests.nodes_of(policy)
        movable = movable_on(nodes, watched)
        past = {key: self._history.blocks(key, seen.at) async for key in _in_slices(movable)}
        memory = await self._history.memory(key for key, known in past.items() if known is not None)
        state = await asyncio.to_thread(state_of, policy, nodes, seen, watched, past, memory=memory, blocked=blocked)
        state = state if self.desk is None else self.desk.see(state)
        if self.site is None:
            return state
        look = self.holdings()
        return self.site.bind(state, look.held, look.programs)

    async def _render(self) -> None:
        nodes = [node_state(node) for node in self.manifests.nodes]
        ledgers = ledgers_of(self.outcomes.ledgers, self.decisions)
        more = await asyncio.to_thread(kpi.families, self._scores, newest(ledgers, self.observation.at))
        self._metrics.page = await asyncio.to_thread(render, tuple(self.decisions.values()), nodes, more)

    async def _show(self, decision: Decision) -> None:
        """The page of metrics and the record of the decision: of 10 000 workloads they take half a second, so in a thread."""
        await self._render()
        if self._store is not None:
            before = self._store.fingerprint(decision.plan.policy)  # of one that comes to the same no inputs are kept
            self._store.note_decision(await asyncio.to_thread(views.recorded, decision, before))

    async def _remember(self) -> None:
        """Write what is new. A state that cannot be written loses nothing: it is kept, said, and tried again."""
        if self._store is None:
            return
        try:
            await self._history.flush(self._store, self.observation.at)
        except StoreError as exc:
            if not self._write_failed:
                log.error("history is kept in memory for now", why=str(exc))
            self._write_failed = True
            self._metrics.state_ok.set(0)
            return
        if self._write_failed:
            log.info("history is written again")
        self._write_failed = False
        self._metrics.state_ok.set(1)

    def replace(self, manifests: Manifests) -> None:
        """New manifests are in force: decide anew at the next turn."""
        self.manifests = manifests
        if self.desk is not None:
            self.desk.declare(manifests.policies)
        if self.site is not None and manifests.fleet is not None:
            self.site.replace(manifests.fleet.spec)
        self._due.clear()
        names = {policy.name for policy in manifests.policies}
        self.decisions = {name: decision for name, decision in self.decisions.items() if name in names}
        self._metrics.policies(names)
        self._scores.keep(names, self._source.watched)

    def _is_due(self, policy: AllocationPolicy, step: str, interval: float) -> bool:
        now, name = self._clock.monotonic(), (policy.name, step)
        if now < self._due.get(name, 0.0) or not (self.observation.complete or now - self._began > FIRST_LOOKS):
            return False
        self._postpone(policy, step, interval)
        return True

    def _postpone(self, policy: AllocationPolicy, step: str, interval: float) -> None:
        self._due[policy.name, step] = self._clock.monotonic() + self._jittered(interval, policy.spec.reconcile.jitter)

    def _pause(self) -> float:
        """Until the next turn: the shortest `observe` of all policies, with jitter (G9)."""
        intervals = [policy.spec.reconcile for policy in self.manifests.policies]
        shortest = min((each.observe for each in intervals), default=5.0)
        return self._jittered(shortest, max((each.jitter for each in intervals), default=0.1))

    def _jittered(self, seconds: float, share: float) -> float:
        return seconds * (1.0 + share * self._rng.uniform(-1.0, 1.0))

    def _timed(self) -> Callable[[str], None]:
        """Told of each stage of a decision, it notes how long that took."""
        last = self._clock.monotonic()

        def mark(stage: str) -> None:
            nonlocal last
            now = self._clock.monotonic()
            self._metrics.duration.labels(stage).observe(max(0.0, now - last))
            last = now

        return mark

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._metrics.duration.labels(name).observe(max(0.0, self._clock.monotonic() - began))

    def view(self, version: str, reloads: views.View) -> views.View:
        """What is shown of all this (controller/report/views.py). It may be called in any thread: what it reads is
        only ever replaced as a whole.
        """
        view = views.status(
            self.observation, self._source.watched, tuple(self.decisions.values()), version=version, manifests=reloads,
            ledgers=self.outcomes.ledgers,
        )  # fmt: skip
        programs = () if self.desk is None else self.desk.programs()
        return with_drift(view, self.outcomes.changes, programs)


async def _in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; after each SLICE of them others have their turn."""
    for i, item in enumerate(items, 1):
        yield item
        if i % SLICE == 0:
            await asyncio.sleep(0)


async def _until(asked: asyncio.Task[bool], work: Coroutine[Any, Any, None], grace: float = 0.0) -> None:
    """Do the work to its end, or call it off `grace` seconds after the task `asked` is done."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done() and grace:
            await asyncio.wait({doing}, timeout=grace)
    finally:
        doing.cancel()
        await asyncio.wait({doing})
