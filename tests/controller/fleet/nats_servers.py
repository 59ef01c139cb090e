"""NATS servers of a test's own on 127.0.0.1, alone or as a cluster; what is started here is ended here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0
"""Seconds for a server to answer."""


def program() -> str:
    """Where the tool "nats" is."""
    tools = json.loads((ROOT / ".cache" / "tools.json").read_text())
    return str(Path(tools["nats"]["where"]) / "nats-server")


def ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nothing listens now; all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


@dataclass
class Server:
    """One nats-server, which may be ended and started again with what it has on its disk."""

    folder: Path
    port: int
    monitor: int
    settings: str = ""
    """Lines of its configuration, beside where it listens."""
    jetstream: bool = True
    host: str = "127.0.0.1"
    before: Sequence[str] = ()
    """A command that starts it somewhere, such as in a network namespace."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f'listen: "{self.host}:{self.port}"', f'http: "{self.host}:{self.monitor}"', self.settings]
        if self.jetstream:
            lines.append(f'jetstream {{ store_dir: "{self.folder}/store", max_file: 512MB, max_mem: 64MB }}')
        (self.folder / "conf").write_text("\n".join(lines))
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(
                [*self.before, program(), "-c", str(self.folder / "conf")], stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip

    def ask(self, path: str) -> dict:
        """What its monitoring says; {} while it says nothing."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.monitor}/{path}", timeout=5) as answer:
                return json.loads(answer.read())
        except (urllib.error.URLError, OSError):
            return {}

    def wait(self) -> None:
        """Until clients may connect."""
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process is not None, "the server was started"
            assert self.process.poll() is None, f"nats-server ended: {self.log[-800:]}"
            assert time.monotonic() < deadline, f"nats-server did not answer: {self.log[-800:]}"
            time.sleep(0.02)

    def _answers(self) -> bool:
        if self.before:
            return "Server is ready" in self.log
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as found:
                return found.recv(4) == b"INFO"
        except OSError:
            return False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving(folder: Path, settings: str = "", *, jetstream: bool = True) -> Iterator[Server]:
    """One server, which answers."""
    server = Server(folder, *ports(2), settings, jetstream=jetstream)
    try:
        server.start()
        server.wait()
        yield server
    finally:
        server.kill()


@dataclass
class Cluster:
    """Servers that keep streams together."""

    servers: list[Server] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def streams(self) -> dict[str, str | None]:
        """Stream -> the name of the server that leads it, as the servers that answer say."""
        found: dict[str, str | None] = {}
        for server in self.servers:
            said = server.ask("jsz?streams=true&accounts=true") if server.process is not None else {}
            for account in said.get("account_details", []):
                for stream in account.get("stream_detail", []):
                    leader = stream.get("cluster", {}).get("leader")
                    found[stream["name"]] = leader or found.get(stream["name"])
        return found

    def server(self, name: str) -> Server:
        return self.servers[int(name.removeprefix("server-"))]


@contextmanager
def clustered(folder: Path, size: int = 3) -> Iterator[Cluster]:
    """So many servers, which answer; JetStream has a leader some seconds later."""
    found = ports(3 * size)
    clients, monitors, routes = found[:size], found[size : 2 * size], found[2 * size :]
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    cluster = Cluster()
    for i in range(size):
        settings = (
            f'server_name: "server-{i}"\n'
            f'cluster {{ name: "orcha", listen: "127.0.0.1:{routes[i]}", routes: [{known}] }}'
        )
        cluster.servers.append(Server(folder / f"server-{i}", clients[i], monitors[i], settings))
    try:
        for server in cluster.servers:
            server.start()
        for server in cluster.servers:
            server.wait()
        yield cluster
    finally:
        for server in cluster.servers:
            server.kill()
