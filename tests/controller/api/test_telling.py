"""The stream tells of the fleet when that is another one, at most once a second, and looks only while somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from pathlib import Path

import jsonschema
import pytest
from structlog.testing import capture_logs

from controller.api import told as told_models
from controller.api.openapi import document
from controller.api.stream import Stream
from controller.api.telling import EVERY, SPARING, Telling
from controller.report.programs import seconds
from tests.controller.api.fleets import LIMIT, some_fleet
from tests.controller.fleet.watched import CORES

PATH = "/api/v1/stream"


class Pauses:
    """Sleeps that end when the test lets them, and how long each was meant to be."""

    def __init__(self):
        self.asked = []
        self._go = asyncio.Semaphore(0)

    async def __call__(self, wanted):
        self.asked.append(wanted)
        await self._go.acquire()

    async def over(self):
        """Let one end, and wait for the next: one look was made meanwhile."""
        before = len(self.asked)
        self._go.release()
        async with asyncio.timeout(30):
            while len(self.asked) == before:  # noqa: ASYNC110 what is waited for has no event to wait for
                await asyncio.sleep(0.001)


@pytest.fixture
def fleet():
    return some_fleet()


@pytest.fixture
def stream(fleet):
    return Stream(lambda: fleet.now)


@pytest.fixture
async def tell(fleet, stream):
    """tell(now, timer) -> the pauses of a Telling at work."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(now=lambda: fleet.now, timer=lambda: 0.0):
            face, pauses = fleet.face("site-00", limits=[LIMIT]), Pauses()
            task = asyncio.create_task(Telling(face, stream, now, pauses, timer).run())
            stack.push_async_callback(asyncio.wait, {task})
            stack.callback(task.cancel)
            async with asyncio.timeout(30):
                while not pauses.asked:  # noqa: ASYNC110 a clock of the test has no event to wait for
                    await asyncio.sleep(0.001)
            return pauses

        yield begin


async def told(socket):
    found = await socket.receive_json(timeout=10)
    assert found["topic"] == "fleet"
    return found["data"]


async def test_who_listens_is_told_how_it_is_and_then_only_of_what_is_new(serve, fleet, stream, tell):
    client, pauses = await serve(stream=stream), await tell()
    async with client.ws_connect(f"{PATH}?topics=fleet,plans") as socket, client.ws_connect(PATH) as every:
        await pauses.over()
        first = await told(socket)
        assert await told(every) == first
        assert (first["alive"], first["site"], first["waiting_count"]) == (3, "site-00", 2)
        fleet.run(20)
        await pauses.over()
        stream.publish("plans", {})
        assert (await socket.receive_json(timeout=10))["topic"] == "plans", "there was nothing to tell"
        fleet.kill("site-02")
        fleet.run(20)
        await pauses.over()
        dead = (await told(socket))["agents"][2]
        heard = fleet.sites["site-00"].peer.others["site-02"].heard
        assert (dead["alive"], seconds(dead["silent_since"])) == (False, pytest.approx(heard, abs=1e-3))
        fleet.start("site-02")
        fleet.run(20)
        await pauses.over()
        assert (await told(socket))["agents"][2] == first["agents"][2]


async def test_of_all_that_changed_between_two_looks_there_is_one_message_and_looks_are_a_second_apart(
    serve, fleet, stream, tell
):
    client, pauses = await serve(stream=stream), await tell()
    async with client.ws_connect(f"{PATH}?topics=fleet,plans") as socket:
        await pauses.over()
        await told(socket)
        for held in (1, 2, 3):
            fleet.hold("site-00", "cpu most", held * CORES)
            fleet.run(1)
        await pauses.over()
        stream.publish("plans", {})
        assert (await told(socket))["limits"][0]["sites"][0]["held"] == 3.0
        assert (await socket.receive_json(timeout=10))["topic"] == "plans"
    assert set(pauses.asked) == {EVERY}
    assert EVERY >= 1.0


async def test_after_a_look_that_took_long_the_next_one_is_the_later(tell):
    times = itertools.accumulate(itertools.repeat(0.25))
    pauses = await tell(timer=lambda: next(times))
    assert pauses.asked == [SPARING * 0.25]


async def test_a_message_is_what_the_document_says(serve, fleet, stream, tell):
    written = document("1.2.3")
    client, pauses = await serve(stream=stream), await tell()
    async with client.ws_connect(f"{PATH}?topics=fleet") as socket:
        await pauses.over()
        message = await socket.receive_json(timeout=10)
    assert seconds(message["at"]) == fleet.now
    for name, found in (("Message", message), ("FleetGlance", message["data"])):
        whole = {"$ref": f"#/components/schemas/{name}", "components": written["components"]}
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(found)


def test_the_message_that_the_documentation_shows_has_just_the_fields_that_there_are():
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    [shown] = [
        json.loads(each) for each in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"topic": "fleet"' in each
    ]
    assert {*shown} == {"topic", "at", "data"}
    assert shown["data"].keys() == told_models.FleetGlance.model_fields.keys()
    for name, model in (
        ("agents", told_models.AgentGlance), ("limits", told_models.LimitGlance), ("waiting", told_models.WaitingGlance),
    ):  # fmt: skip
        for each in shown["data"][name]:
            assert each.keys() == model.model_fields.keys()
    whole = {"$ref": "#/components/schemas/FleetGlance", "components": document("1.2.3")["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(shown["data"])


async def test_while_nobody_listens_to_it_nothing_is_looked_at_and_who_comes_back_is_told_again(
    serve, fleet, stream, tell
):
    looks = []
    client, pauses = await serve(stream=stream), await tell(lambda: looks.append(1) or fleet.now)
    async with client.ws_connect(f"{PATH}?topics=plans"):
        await pauses.over()
        assert looks == []
    for _ in range(2):
        async with client.ws_connect(f"{PATH}?topics=fleet") as socket:
            await pauses.over()
            assert (await told(socket))["alive"] == 3
        async with asyncio.timeout(30):
            while stream.clients:  # noqa: ASYNC110 nobody tells when the last client left
                await asyncio.sleep(0.001)
        await pauses.over()


async def test_a_look_that_fails_is_said_and_the_next_one_is_told(serve, fleet, stream, tell):
    broken = [True]

    def now():
        if broken:
            broken.clear()
            raise RuntimeError("no clock")
        return fleet.now

    client, pauses = await serve(stream=stream), await tell(now)
    async with client.ws_connect(f"{PATH}?topics=fleet") as socket:
        with capture_logs() as said:
            await pauses.over()
            await pauses.over()
        assert (await told(socket))["alive"] == 3
    assert ["report this as a bug" in each["event"] for each in said] == [True]


async def test_a_controller_of_a_fleet_tells_as_long_as_it_serves(serve, fleet, stream):
    client = await serve(stream=stream, fleet=fleet.face("site-00", limits=[LIMIT]), now=lambda: fleet.now)
    async with client.ws_connect(PATH) as socket:
        assert (await told(socket))["name"] == "attic"
    tasks = [each for each in asyncio.all_tasks() if each.get_name() == "telling of the fleet"]
    assert len(tasks) == 1
    await client.close()
    assert tasks[0].cancelled()
