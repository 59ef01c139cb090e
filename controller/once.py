"""Commands that look once and end (`orcha plan`, `status`), and the look of `explain` and `whatif`. Wiring: the decisions
are those of the loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from controller.address import StoreError
from controller.decide import decide
from controller.history import History
from controller.manifests import Manifests
from controller.model import Blocks, Decision, State
from controller.observe import Observation, Watched
from controller.observe.chosen import NotChosen, source_of
from controller.observe.embedded import Embedded
from controller.observe.prometheus import FromPrometheus
from controller.observe.promql import blocked as blocked_now
from controller.outcomes import Outcomes
from controller.payoff import Ledger
from controller.report import views
from controller.report.alternatives import with_alternatives
from controller.samples import Kept
from controller.state import state_of
from controller.store import Store
from exporters.clock import SystemClock
from exporters.collector import Collector
from exporters.poller import open_client

DEFAULT_STATE = "sqlite:///orcha.db"
LONGEST_LOOK = 120.0


class CouldNot(Exception):
    """What an operator can mend; `str()` is the one sentence that says how. Exit code 2."""


def state_url(found: Manifests, given: str | None) -> str:
    """Where the state is: the command line's word, else Settings', else the default. Raises CouldNot."""
    spec = found.settings.spec
    if given or spec.state:
        return given or str(spec.state)
    if spec.state_file:
        try:
            return Path(spec.state_file).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise CouldNot(f"{spec.state_file} (Settings spec.stateFile) cannot be read ({exc.strerror})") from exc
        except UnicodeDecodeError as exc:
            said = f"{spec.state_file} (Settings spec.stateFile) holds no text; write the state's address into it"
            raise CouldNot(said) from exc
    return DEFAULT_STATE


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Every node looked at once, with what the state remembers."""

    observation: Observation
    watched: Mapping[str, Watched]
    past: Mapping[str, Blocks | None]
    """key -> block statistics, of every workload."""
    blocked: Mapping[str, str | None]
    """Policy -> why its blockWhile blocks now."""
    states: tuple[State, ...]
    """What each policy decides from, in the order of their names."""
    ledgers: Mapping[str, Ledger]
    """Policy -> its earlier changes and what came of them, as far as the state knows."""


async def look(
    found: Manifests, state: str | None, collectors: Mapping[str, Collector], *, remembered: bool = False
) -> Look:
    """Look at every node once, with the history of the state where there is one. Raises CouldNot.

    remembered: the states have what the past comes to as the running controller counts it, not only its blocks.
    """
    clock, spec = SystemClock(), found.settings.spec
    async with open_client() as client:
        source = _source(found, collectors, client, clock)
        try:
            history = History(
                [Kept.of(workload) for workload in source.workloads], retention=found.settings.spec.retention
            )
            outcomes = await _remembered(history, state_url(found, state), named=state is not None, now=clock.time())
            await source.first_prices()
            observation = await source.observe(patience=LONGEST_LOOK)
            for reading in observation.fresh:
                history.add(reading)
            blocked = {}
            for policy in found.policies:
                expression = policy.spec.limits.block_while
                asked = (
                    await blocked_now(client, spec.prometheus_url, expression, spec.prometheus.bearer_token_file)
                    if expression
                    else None
                )
                blocked[policy.name] = asked
        finally:
            await source.close()
    past = {key: history.blocks(key, observation.at) for key in source.watched}
    made = states_of(found, observation, source.watched, past, blocked)
    if remembered:
        made = [replace(each, memory=await history.memory(_known(each))) for each in made]
    states = tuple(outcomes.catch_up(each) for each in made)
    return Look(observation, source.watched, past, blocked, states, outcomes.ledgers)


def _source(
    found: Manifests, collectors: Mapping[str, Collector], client: aiohttp.ClientSession, clock: SystemClock
) -> Embedded | FromPrometheus:
    try:
        return source_of(found.nodes, found.settings.spec, collectors, client, clock)
    except NotChosen as exc:
        raise CouldNot(str(exc)) from exc


def _known(state: State) -> list[str]:
    return [workload.key for workload in state.workloads if workload.blocks is not None]


def states_of(
    found: Manifests,
    observation: Observation,
    watched: Mapping[str, Watched],
    past: Mapping[str, Blocks | None],
    blocked: Mapping[str, str | None],
) -> list[State]:
    """The State of every policy of the manifests, as far as one look tells it."""
    return [
        state_of(policy, found.nodes_of(policy), observation, watched, past, blocked=blocked.get(policy.name))
        for policy in found.policies
    ]


async def plan_once(
    found: Manifests, state: str | None, collectors: Mapping[str, Collector], *, version: str, others: int = 0
) -> views.View:
    """Look at every node once and decide, with the history of the state where there is one. `others`: at most so many
    further plans of each policy, best first.
    """
    seen = await look(found, state, collectors, remembered=True)
    decisions = [await asyncio.to_thread(_decided, each, others) for each in seen.states]
    manifests = {"sha256": found.sha256, "problems": []}
    return views.status(
        seen.observation, seen.watched, decisions, version=version, manifests=manifests, ledgers=seen.ledgers
    )


def _decided(state: State, others: int) -> Decision:
    return with_alternatives(decide(state), others)


def is_there(url: str) -> bool:
    """Whether there may be something at a state that nobody named: a file that was never made holds nothing."""
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


async def _remembered(history: History, url: str, *, named: bool, now: float) -> Outcomes:
    """Bring back what the state knows; without one that was named, there is just no history."""
    if not named and not is_there(url):
        return Outcomes()
    try:
        store = await Store.open(url, write=False)
        try:
            await history.restore(store, now)
            outcomes = Outcomes(store)  # what it notes is for this look: nothing is written
            await outcomes.restore()
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc
    return outcomes


async def status_from_api(api: str, token_file: Path | None) -> views.View:
    """What a running controller shows. Raises CouldNot."""
    headers = {}
    if token_file is not None:
        try:
            headers["Authorization"] = f"Bearer {token_file.read_text(encoding='utf-8').strip()}"
        except OSError as exc:
            raise CouldNot(f"the token file {token_file} cannot be read ({exc.strerror})") from exc
    url = f"{api.rstrip('/')}/api/v1/status"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client,
            client.get(url, headers=headers) as got,
        ):
            if got.status in {401, 403}:
                raise CouldNot(f"{api} wants a token ({_refusal(await got.text())}); name its file with --token-file")
            if got.status != 200:
                raise CouldNot(f"{url} answered HTTP {got.status}; is this an orcha controller?")
            view: Any = await got.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
        sentence = (
            f"no controller answers at {api} ({type(exc).__name__}); start one with orcha run, or name --api or --state"
        )
        raise CouldNot(sentence) from exc
    if not isinstance(view, dict) or "workloads" not in view:
        raise CouldNot(f"{url} answered something else than a status; is this an orcha controller?")
    return view


def _refusal(text: str) -> str:
    """What the API says is wrong, in words."""
    try:
        error = json.loads(text)["error"]
        return f"{error['what']}; {error['right']}"
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


async def status_from_state(url: str) -> views.View:
    """What a controller last wrote into its state. Raises CouldNot."""
    try:
        store = await Store.open(url, write=False)
        try:
            newest, decisions = await store.newest(), await store.last_decisions()
            outcomes = Outcomes(store)
            await outcomes.restore()
        finally:
            await store.close()
    except StoreError as exc:
        raise CouldNot(str(exc)) from exc
    now = SystemClock().time()
    policies = [
        json.loads(decisions[name].body) | views.did_it_pay(outcomes.ledgers.get(name), now)
        for name in sorted(decisions)
    ]
    return views.status_of_store(newest, policies, now=now)
