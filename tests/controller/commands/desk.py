"""A controller's API with a few programs, on loopback in a thread of its own, and orcha's commands to ask it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import typer
from aiohttp import web
from structlog.testing import capture_logs
from typer.testing import CliRunner

from controller.api.app import application
from controller.api.faces import Faces
from controller.commands.acting import pause, release, resume
from controller.commands.history import history
from controller.commands.programs import programs
from controller.programs import Cause, ProgramState
from controller.refusals import NotPossible, Unknown
from exporters.doors import Tokens
from tests.controller.report.programs import NOW, records_of

app = typer.Typer()
app.add_typer(programs, name="programs")
for command in (pause, resume, release, history):
    app.command()(command)


def orcha(*argv, **more):
    return CliRunner().invoke(app, [*map(str, argv)], env={"COLUMNS": "160"}, **more)


async def _nothing(_request):
    return web.Response()


@dataclass
class Desk:
    """What the API (controller/api) needs of the Desk and of the store: what is known, and what was told."""

    known: list = field(default_factory=list)
    past: list = field(default_factory=list)
    """Trials."""
    tokens: Tokens = field(default_factory=Tokens)
    told: list = field(default_factory=list)
    """(word, target, by, why) of every change."""

    def application(self):
        """As on loopback; as elsewhere where there are tokens."""
        faces = Faces(
            view=dict,
            metrics=_nothing,
            ready=bool,
            links={},
            tokens=self.tokens,
            now=lambda: NOW,
            archive=self,
            operations=self,
        )
        return application(faces, "192.0.2.1" if self.tokens.known else "127.0.0.1")

    def programs(self):
        return tuple(self.known)

    async def records(self, id):  # noqa: A002 as the contract
        return tuple(records_of(self._program(id)))

    async def trials(self, since, until, policy=None):
        return [each for each in self.past if since <= each.at < until and policy in {None, each.policy}]

    async def decisions(self, *_period):
        return []

    def _program(self, name):
        found = next((each for each in self.known if each.id == name), None)
        if found is None:
            raise Unknown(f"there is no program {name}")
        return found

    async def approve(self, id, by, why=""):  # noqa: A002 as the contract
        found = self._program(id)
        if found.state is not ProgramState.PENDING:
            raise NotPossible(f"{id} is {found.state} and cannot be approved")
        self.told.append(("approve", id, by, why))
        return found.turned(ProgramState.APPROVED, NOW, by)

    async def reject(self, id, by, why=""):  # noqa: A002 as the contract
        self.told.append(("reject", id, by, why))
        return self._program(id).turned(ProgramState.REJECTED, NOW, by)

    async def rollback(self, id, by, why=""):  # noqa: A002 as the contract
        self.told.append(("rollback", id, by, why))
        return replace(self._program(id), id="p-99999999", cause=Cause.ROLLBACK, of=id, state=ProgramState.RUNNING)

    async def pause(self, policy, by, why=""):
        if policy == "none":
            raise Unknown("there is no policy none; there is default")
        self.told.append(("pause", policy, by, why))

    async def resume(self, target, by, why=""):
        self.told.append(("resume", target, by, why))

    async def release(self, target, by, why=""):
        self.told.append(("release", target, by, why))
        return tuple(self.known)


@contextmanager
def served(made):
    """An application, or whatever handles a connection (reader, writer), on a free port of loopback; gives its address."""
    loop, ready, at = asyncio.new_event_loop(), threading.Event(), []

    async def serve():
        if isinstance(made, web.Application):
            runner = web.AppRunner(made)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            at.append(runner.addresses[0][1])
            return runner.cleanup
        server = await asyncio.start_server(made, "127.0.0.1", 0)
        at.append(server.sockets[0].getsockname()[1])

        async def close():
            server.close()
            await server.wait_closed()

        return close

    def live():
        close = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(close())
        loop.close()

    thread = threading.Thread(target=live)
    thread.start()
    assert ready.wait(10), "it serves"
    try:
        with capture_logs():  # what it would log stands in the way of what the command prints
            yield f"http://127.0.0.1:{at[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
