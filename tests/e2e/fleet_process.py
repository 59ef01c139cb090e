"""One agent of a fleet as a process that writes and writes, over sockets in a folder, and may be killed at any moment. For tests.

    python tests/e2e/fleet_process.py FOLDER NAME

In the folder: `spec.json`; NAME.db its state; NAME.sock where it listens; NAME.promised each term whose write returned; NAME.now
what it knows; NAME.early what it was about to say before it was on its disk. While there is a file `stop` it writes no more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import structlog

from controller.fleet.agent import Agent
from controller.fleet.manifest import FleetSpec
from controller.fleet.stored import Stored
from controller.fleet.terms import grow
from controller.fleet.transport import Received, Unreachable
from controller.fleet.wire import Heartbeat, Message, State
from controller.store import Store
from exporters.clock import SystemClock

PAUSE = 0.15
"""Seconds between writes."""


class Sockets:
    """A Transport over Unix sockets: a message is its length and itself. It looks at the disk before it sends."""

    def __init__(self, folder: Path, me: str) -> None:
        self.folder, self.me = folder, me
        self.writers: dict[str, asyncio.StreamWriter] = {}
        self.reading: set[asyncio.Task[None]] = set()
        self.disk = sqlite3.connect(f"file:{folder / me}.db?mode=ro", uri=True)

    async def open(self, _: str, __: Sequence[str], received: Received) -> None:
        self.received = received
        path = self.folder / f"{self.me}.sock"
        path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self.accept, str(path))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.reading.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    size = int.from_bytes(await reader.readexactly(4), "big")
                    self.received(await reader.readexactly(size))
        finally:
            self.reading.discard(task)
            writer.close()

    async def send(self, message: Message, body: bytes) -> None:
        self.look(message)
        try:
            async with asyncio.timeout(1):
                if message.to not in self.writers:
                    path = str(self.folder / f"{message.to}.sock")
                    self.writers[message.to] = (await asyncio.open_unix_connection(path))[1]
                writer = self.writers[message.to]
                writer.write(len(body).to_bytes(4, "big") + body)
                await writer.drain()
        except (OSError, TimeoutError) as exc:
            if message.to in self.writers:
                self.writers.pop(message.to).close()
            raise Unreachable(f"{message.to} does not listen ({exc})") from exc

    def look(self, message: Message) -> None:
        """What a message claims to know must be on the disk by now."""
        if isinstance(message.body, Heartbeat):
            return
        claimed = message.body.changes.until if isinstance(message.body, State) else message.body.version
        query = "SELECT body FROM fleet WHERE agent = ? AND kind = 'head'"
        known = json.loads(self.disk.execute(query, [self.me]).fetchone()[0])["version"]
        if any(number > known.get(writer, 0) for writer, number in claimed.items()):
            with (self.folder / f"{self.me}.early").open("a") as out:
                out.write(f"{message.kind} {claimed} {known}\n")

    @property
    def connected(self) -> bool:
        return True

    @property
    def why(self) -> str:
        return ""

    async def close(self) -> None:
        self.server.close()
        for writer in self.writers.values():
            writer.close()
        for task in list(self.reading):
            task.cancel()
        await asyncio.gather(*self.reading, return_exceptions=True)
        self.disk.close()


def say(path: Path, what: object) -> None:
    """Whole or not at all, for whoever reads."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(what))
    beside.rename(path)


async def live(agent: Agent, folder: Path) -> None:
    """Write, and note what was promised, and what is known."""
    me, number = agent.peer.name, 0
    with (folder / f"{me}.promised").open("a") as promised:
        while True:
            stopped = (folder / "stop").exists()
            if not stopped:
                number += 1
                term = grow(f"{me}/golem-{agent.peer.start}", "cpu", 0, number)
                await agent.write(lambda replica, _, writer, term=term: replica.add(term, writer, 1))
                promised.write(f"{term.id}\n")
                promised.flush()
            replica = agent.peer.replica
            known = {"digest": replica.digest, "terms": len(replica.terms), "trusted": agent.peer.trusted}
            say(folder / f"{me}.now", {**known, "process": os.getpid(), "wrote": number, "stopped": stopped})
            await asyncio.sleep(PAUSE)


async def main(folder: Path, me: str) -> None:
    spec = FleetSpec.model_validate_json((folder / "spec.json").read_text())
    store = await Store.open(f"sqlite:///{folder / me}.db")
    try:
        async with Agent.opened(me, spec, Stored(store, me), Sockets(folder, me), SystemClock()) as agent:
            doing = asyncio.gather(agent.run(), live(agent, folder))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, doing.cancel)
            with suppress(asyncio.CancelledError):
                await doing
    finally:
        await store.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
