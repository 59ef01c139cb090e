"""The API over agents that really run: nine of them on a switchboard, looked at while they talk, are cut off, and come back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from controller.fleet.agent import Agent
from controller.fleet.disk import InMemory
from controller.fleet.manifest import FleetSpec
from controller.fleet.shown import FleetFace
from controller.fleet.terms import grow
from controller.fleet.transport.memory import Switchboard
from exporters.clock import SystemClock

NAMES = tuple(f"site-{i}" for i in range(9))
SPEC = FleetSpec.model_validate(
    {"sites": NAMES, "nats": {"servers": ["nats://127.0.0.1:4222"]}, "heartbeat": "200ms", "timeout": "1s", "sync": "200ms"}
)  # fmt: skip
PATIENCE = 20.0
UP = grow("rack-1/golem", "cpu", 2, 4)


@pytest.fixture
def board():
    return Switchboard()


@pytest.fixture
def spec():
    return SPEC


@pytest.fixture
async def nine(board, spec):
    """All of them in this process, at work."""
    async with contextlib.AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(Agent.opened(name, spec, InMemory(), board.port(), SystemClock()))
            for name in NAMES
        ]
        running = [asyncio.create_task(each.run()) for each in agents]
        try:
            yield agents
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
async def ask(serve, nine):
    """ask(path below the fleet, what must hold of it) -> the answer, once it does."""
    client = await serve(fleet=FleetFace("attic", SPEC, nine), now=SystemClock().time)

    async def get(path, holds=lambda _: True):
        found = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    answer = await client.get(f"/api/v1/fleet{path}")
                    assert answer.status == 200, await answer.text()
                    found = await answer.json()
                    if holds(found):
                        return found
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"it never came to hold: {found}") from None

    get.client = client
    return get


async def test_what_one_writes_is_seen_of_all_and_they_are_said_to_agree(nine, ask):
    view = await ask("", lambda found: found["alive"] == 9 and found["converged"])
    assert view["topology"]["name"] == "sierpinski9"
    assert [each["name"] for each in view["agents"]] == list(NAMES)
    await nine[0].write(lambda replica, _stamp, writer: replica.add(UP, writer, 1))
    state = await ask("/agents/site-7/state", lambda found: found["counts"]["terms"] == 1)
    assert state["terms"][0]["id"] == UP.id
    egraph = await ask("/agents/site-8/egraph", lambda found: found["count"] == 1)
    assert egraph["classes"][0]["members"][0]["text"] == "grow(rack-1/golem, cpu, 2, 4)"
    view = await ask("", lambda found: found["converged"])
    assert {each["digest"] for each in view["agents"]} == {view["digest"]}


async def test_a_site_is_said_to_be_cut_off_while_it_is_and_no_longer(board, ask):
    await ask("", lambda found: found["alive"] == 9 and found["converged"])
    board.partition([NAMES[:8], NAMES[8:]])
    view = await ask("", lambda found: found["alive"] == 8)
    assert [each["name"] for each in view["agents"] if not each["alive"]] == ["site-8"]
    assert any("site-8 is cut off" in each["what"] for each in view["troubles"])
    view = await ask("/timeline", lambda found: found["errors"])
    assert {each["what"] for each in view["errors"]} == {"unreachable"}
    assert all("site-8" in {each["from"], each["to"]} for each in view["errors"])
    board.heal()
    view = await ask("", lambda found: found["alive"] == 9 and found["converged"])
    assert not any("cut off" in each["what"] for each in view["troubles"])


@pytest.mark.parametrize("spec", [SPEC.model_copy(update={"sync": 3600.0})], ids=["no round is due"])
async def test_a_sync_round_that_is_asked_for_comes_to_every_neighbour(nine, ask):
    await ask("", lambda found: found["alive"] == 9 and found["converged"])
    before = {each.peer.name: count(each, "site-0") for each in nine}
    answer = await ask.client.post("/api/v1/fleet/agents/site-0/sync", json={})
    assert answer.status == 200
    told = (await answer.json())["neighbours"]
    assert told == ["site-1", "site-2"]
    for name in told:
        of = nine[NAMES.index(name)]
        await ask("", lambda _, of=of: count(of, "site-0") > before[of.peer.name])


def count(agent, via):
    return sum(each.via == via for each in agent.timeline.newest(10_000, kind="sync"))


async def test_messages_of_a_running_fleet_come_with_how_long_they_took(ask):
    found = await ask("/agents/site-4/messages?kind=heartbeat", lambda found: len(found["messages"]) > 20)
    assert all("site-4" in {each["from"], each["to"]} for each in found["messages"])
    line = await ask("/timeline", lambda found: all(edge["count"] for edge in found["edges"]))
    assert len(line["edges"]) == 2 * 16, "both ways of each edge"
    assert all(edge["microseconds"]["p50"] is not None for edge in line["edges"])
