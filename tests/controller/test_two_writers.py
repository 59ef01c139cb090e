"""Two real processes on one state and one Lease; the one that acts is frozen with SIGSTOP at every point of a program, and
woken when the other has taken over. What a frozen process may still do is one effect; what it may never do is too much.

The node is a server in this process: it sees every effect, and at every effect it counts what is held.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from controller.journal import Journal
from controller.programs import Phase, Program, ProgramState
from controller.store import Store
from tests.controller.lease_server import LeaseServer, serving
from tests.controller.test_store_postgres import NEEDS_SERVER, server  # noqa: F401 a fixture
from tests.controller.two_writers import CAPACITY, HAS, LOST, NODE, TO

AT_ONCE = 16
"""Stories that are told beside one another: most of each is waiting for a Lease."""
MOST_STORIES = 200


@dataclass
class Effect:
    at: float
    by: str
    token: str


@dataclass
class World:
    """The node, as it really is."""

    refuses: str = ""
    """Whose forward effect is refused."""
    has: dict[str, float] = field(default_factory=lambda: {f"{NODE}/{name}": amount for name, amount in HAS.items()})
    versions: dict[str, int] = field(default_factory=lambda: {f"{NODE}/{name}": 1 for name in HAS})
    effects: list[Effect] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    heard: Callable[[str], None] = lambda _by: None

    def read(self, wish: dict[str, Any]) -> dict[str, Any]:
        return {"amounts": {"cpu": self.has[wish["key"]]}, "version": self.versions[wish["key"]]}

    def write(self, wish: dict[str, Any]) -> dict[str, Any]:
        key = wish["key"]
        self.heard(wish["by"])
        if wish["version"] not in {None, self.versions[key]}:
            return {"status": "conflict"}
        if wish["token"].endswith(f"{self.refuses}/forward") and self.refuses:
            return {"status": "refused"}
        self.effects.append(Effect(time.monotonic(), wish["by"], wish["token"]))
        self.has[key], self.versions[key] = wish["amounts"]["cpu"], self.versions[key] + 1
        if sum(self.has.values()) > CAPACITY["cpu"]:
            self.wrongs.append(f"{sum(self.has.values()):g} cpu held after {wish['token']} by {wish['by']}")
        return {"status": "done"}


@dataclass
class Writer:
    """What is known of one of the processes."""

    name: str
    pid: int = 0
    said: list[str] = field(default_factory=list)
    code: int | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, what: str, code: int | None) -> None:
        self.said.append(what)
        self.code = code
        self.news.set()

    async def until(self, *wanted: str) -> str:
        """Until it said one of these, or ended."""
        try:
            async with asyncio.timeout(90):
                while True:
                    for what in self.said:
                        if what in wanted or what == "ended":
                            return what
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} never came to {wanted}, but to {self.said[-3:]}") from None

    @property
    def points(self) -> list[str]:
        return [what.removeprefix("at ") for what in self.said if what.startswith("at ")]


class Stage:
    """The processes, the Leases and the nodes of all stories."""

    def __init__(
        self, leases: LeaseServer, forks: asyncio.subprocess.Process, port: int, worlds: dict[str, World]
    ) -> None:
        self._leases, self._forks, self._port, self._worlds = leases, forks, port, worlds
        self._writers: dict[str, Writer] = {}
        self.room = asyncio.Semaphore(AT_ONCE)

    async def listen(self) -> None:
        assert self._forks.stdout is not None
        async for line in self._forks.stdout:
            told = json.loads(line)
            if writer := self._writer(told):
                writer.pid = told["pid"]
                writer.hear(told["what"], told.get("code"))

    def _writer(self, told: dict[str, Any]) -> Writer | None:
        if "name" in told:
            return self._writers[told["name"]]
        return next((each for each in self._writers.values() if each.pid == told.get("pid")), None)

    def world(self, story: str, refuses: str) -> World:
        self._worlds[story] = World(refuses)
        return self._worlds[story]

    async def start(self, story: str, which: str, state: str, *, fenced: bool, freeze_at: int = 0) -> Writer:
        writer = self._writers[f"{story}-{which}"] = Writer(f"{story}-{which}")
        job = {
            "name": writer.name, "lease": story, "state": state, "world": f"http://127.0.0.1:{self._port}/{story}",
            "fenced": fenced, "freeze_at": freeze_at,
        }  # fmt: skip
        assert self._forks.stdin is not None
        self._forks.stdin.write(json.dumps(job).encode() + b"\n")
        await self._forks.stdin.drain()
        return writer

    def end_all(self) -> None:
        for writer in self._writers.values():
            if writer.pid and writer.code is None:
                with suppress(ProcessLookupError):
                    os.kill(writer.pid, signal.SIGKILL)


def nodes(worlds: dict[str, World]) -> web.Application:
    async def read(request: web.Request) -> web.Response:
        return web.json_response(worlds[request.match_info["story"]].read(await request.json()))

    async def write(request: web.Request) -> web.Response:
        return web.json_response(worlds[request.match_info["story"]].write(await request.json()))

    app = web.Application()
    app.add_routes([web.post("/{story}/read", read), web.post("/{story}/write", write)])
    return app


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def stage(tmp_path):
    worlds: dict[str, World] = {}
    async with serving() as leases, listening(nodes(worlds)) as port:
        found = {**os.environ, "KUBECONFIG": str(leases.kubeconfig(tmp_path))}
        with (tmp_path / "log").open("w") as log:
            forks = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.controller.two_writers", env=found,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        made = Stage(leases, forks, port, worlds)
        hearing = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            forks.stdin.close()
            await forks.wait()
            made.end_all()
            await hearing
            print((tmp_path / "log").read_text()[-4000:])  # noqa: T201 shown where a test fails


class Stalled(Exception):
    """The machine was too busy for the story: it did not take place."""


@dataclass
class Told:
    """How a story ended."""

    where: str
    wake: str
    world: World
    frozen: Writer
    other: Writer
    woken: float
    program: Program
    records: list[str]

    @property
    def late(self) -> list[Effect]:
        """What the frozen one still did."""
        return [effect for effect in self.world.effects if effect.by == self.frozen.name and effect.at >= self.woken]


async def journal_of(state: str) -> tuple[Program, list[str]]:
    store = await Store.open(state, write=False)
    try:
        [program] = await Journal(store).programs(0.0)
        return program, [record.what for record in await Journal(store).records(program.id)]
    finally:
        await store.close()


EARLY, MIDDLE, LATE = "when the other holds the Lease", "at its first effect", "when it is through"
"""When a frozen writer is woken."""


@dataclass
class Story:
    """One of the two freezes at the point; the other takes over; the first is woken."""

    stage: Stage
    name: str
    state: str
    point: int
    wake: str
    refuses: str
    fenced: bool

    async def tell(self) -> Told:
        world = self.stage.world(self.name, self.refuses)
        frozen = await self._start("a", freeze_at=self.point)
        if await frozen.until("froze") == "ended" and frozen.code == LOST:
            raise Stalled(f"{self.name}: the machine did not let it renew its Lease until it got to its point")
        assert frozen.code is None, f"it ended before it came to point {self.point}"
        where = frozen.points[-1]
        heard = asyncio.Event()
        world.heard = lambda by: heard.set() if by != frozen.name else None
        other = await self._start("b")
        async with asyncio.TaskGroup() as group:
            through = group.create_task(self._through(other))
            await other.until("opens the state")
            if where == "the end of a transaction":
                # nobody begins an epoch in the midst of it: SQLite says so, PostgreSQL lets it wait
                await other.until("finds the state locked" if self.state.startswith("sqlite") else "opens the state")
            elif self.wake == MIDDLE:
                hearing = group.create_task(heard.wait())
                await asyncio.wait([through, hearing], return_when=asyncio.FIRST_COMPLETED)
                hearing.cancel()
            elif self.wake == LATE:
                await asyncio.wait([through])
            woken = time.monotonic()
            os.kill(frozen.pid, signal.SIGCONT)
            await frozen.until("ended")
        return Told(where, self.wake, world, frozen, through.result(), woken, *await journal_of(self.state))

    async def _start(self, which: str, freeze_at: int = 0) -> Writer:
        return await self.stage.start(self.name, which, self.state, fenced=self.fenced, freeze_at=freeze_at)

    async def _through(self, writer: Writer) -> Writer:
        """Whoever brought it to its end: one that was not let renew its Lease is started again, as Kubernetes does."""
        for which in "cdefgh":
            await writer.until("ended")
            if writer.code != LOST:
                return writer
            writer = await self._start(which)
        raise AssertionError(f"{self.name}: nobody could renew a Lease on this machine")


def anywhere(_where: str) -> bool:
    return True


def around_effects(where: str) -> bool:
    return where.startswith(("before the look", "after the look", "before the effect", "after the effect"))


def before_effects(where: str) -> bool:
    return where.startswith("before the effect")


async def every(
    stage: Stage,
    state_of: Callable[[str], str],
    points: Callable[[str], bool],
    wakes: tuple[str, ...],
    *,
    refuses: str = "",
    fenced: bool = False,
) -> list[Told]:
    """A story for each of the points that a writer passes which nobody disturbs; the ways to be woken go round."""
    world = stage.world("alone", refuses)
    alone = await stage.start("alone", "a", state_of("alone"), fenced=fenced)
    await alone.until("ended")
    assert alone.code == 0
    assert world.wrongs == []

    async def told(number: int, wake: str) -> Told:
        async with stage.room:
            for attempt in "xyz":
                name = f"story-{number}-{attempt}"
                with suppress(Stalled):
                    return await Story(stage, name, state_of(name), number, wake, refuses, fenced).tell()
        raise Stalled(f"point {number} could not be told on this machine")

    chosen = [(number, where) for number, where in enumerate(alone.points, 1) if points(where)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(told(number, wakes[i % len(wakes)])) for i, (number, _) in enumerate(chosen)]
    stories = [task.result() for task in tasks]
    assert [story.where for story in stories] == [where for _, where in chosen]
    return stories


def check(told: Told, state: ProgramState) -> None:
    """What holds however a story went."""
    story = f"frozen {told.where}, woken {told.wake}"
    assert told.world.wrongs == [], story
    check_writers(told, story)
    assert told.program.state is state, story
    back = state is ProgramState.ROLLED_BACK
    for step in told.program.steps:
        assert step.phase in ({Phase.RETURNED, Phase.WAITING} if back else {Phase.DONE}), story
    assert told.world.has == {f"{NODE}/{name}": amount for name, amount in (HAS if back else TO).items()}, story
    assert len(told.records) == len(set(told.records)), story
    assert told.records[0] == "running", story
    assert told.records[-1] == state.value, story


def check_writers(told: Told, story: str) -> None:
    """The frozen one did one thing more at the most, and knew by then that it is the writer no more."""
    assert len(told.late) <= 1, story
    if told.late:
        assert told.where == f"before the effect: {told.late[0].token}", story
    assert told.other.code == 0, story
    # woken before the other begins its epoch, it may still write down what is so, if that was all there was left to do
    others = [effect for effect in told.world.effects if effect.by != told.frozen.name]
    assert told.frozen.code == LOST or (told.frozen.code == 0 and not others), story


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=NEEDS_SERVER)])
def state_of(request, tmp_path):
    """A function that gives the URL of an empty state; in PostgreSQL, each in a schema of its own user's."""
    if request.param == "sqlite":
        return lambda story: f"sqlite:///{tmp_path}/{story}.db"
    url = request.getfixturevalue("server")
    users = [f"writer_{os.urandom(4).hex()}_{number}" for number in range(MOST_STORIES)]
    made = "".join(f"CREATE ROLE {user} LOGIN; CREATE SCHEMA AUTHORIZATION {user};\n" for user in users)
    argv = ["psql", "-q", "-h", url.partition("host=")[2], "-U", "orcha", "postgres"]
    subprocess.run(argv, input=made, text=True, check=True, timeout=60)
    return lambda _story: url.replace("orcha@", f"{users.pop()}@")


@pytest.mark.timeout(600)
async def test_frozen_anywhere_in_a_program_a_writer_makes_at_most_one_late_effect_and_never_too_much(stage, state_of):
    stories = await every(stage, state_of, anywhere, (EARLY, MIDDLE, LATE))
    assert len(stories) > 50
    for told in stories:
        check(told, ProgramState.APPLIED)
    assert any(told.late for told in stories)


@pytest.fixture
def file_of(tmp_path):
    return lambda story: f"sqlite:///{tmp_path}/{story}.db"


@pytest.mark.timeout(600)
async def test_frozen_at_an_effect_of_a_program_that_goes_back_it_is_found_by_read_back(stage, file_of):
    stories = await every(stage, file_of, before_effects, (EARLY, MIDDLE), refuses="g3")
    assert len(stories) == 12
    for told in stories:
        check(told, ProgramState.ROLLED_BACK)


@pytest.mark.timeout(600)
async def test_a_write_upon_what_was_read_before_the_right_to_write_was_asked_is_never_late(stage, file_of):
    """As Kubernetes takes it, with a resourceVersion: however long it was frozen, and whatever was done meanwhile."""
    stories = await every(stage, file_of, around_effects, (LATE,), refuses="g3", fenced=True)
    assert len(stories) > 40
    for told in stories:
        check(told, ProgramState.ROLLED_BACK)
        assert told.late == [], told.where


@pytest.mark.timeout(600)
async def test_what_no_fence_can_stop_is_one_effect_and_a_look_at_the_node_shows_it(stage, file_of):
    """Frozen between the last question and a write that nothing refuses, until after the program went back: the limit of
    every lock. The journal says what should be, so that the look shows what is not.
    """
    stories = await every(stage, file_of, before_effects, (LATE,), refuses="g3")
    assert len(stories) == 12
    for told in stories:
        check_writers(told, told.where)
        by = {f"after {late.token} by {told.frozen.name}" for late in told.late}
        assert all(any(wrong.endswith(each) for each in by) for wrong in told.world.wrongs), told.where
        should = {step.key: step.before["cpu"] for step in told.program.steps}
        drifted = {f"{told.program.id}/{key}/forward" for key, has in told.world.has.items() if has != should[key]}
        assert drifted == {late.token for late in told.late if late.token.endswith("/forward")}, told.where
    assert any(told.world.wrongs for told in stories)
