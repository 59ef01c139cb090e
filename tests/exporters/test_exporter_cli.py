"""`orcha-exporter` as its owner runs it: a process of its own, real signals, real files."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]
LONG = 30.0
SETTINGS = """
---
apiVersion: orcha.dev/v1alpha1
kind: Settings
metadata: {name: settings}
spec: {prices: {sources: [], static: {MYST: 0.25}}}
"""
POLICY = """
---
apiVersion: orcha.dev/v1alpha1
kind: AllocationPolicy
metadata: {name: default}
"""


def node(address: str, *names: str) -> str:
    written = "".join(
        f"""
    {name}:
      protocol: mapped
      endpoint: {address}
      mapping:
        requests: {{stats: {{url: "{{endpoint}}/{name}"}}}}
        figures: {{used: {{request: stats, path: $.cores, resource: cpu}}, healthy: {{request: stats, path: $.status, equals: ok}}}}"""
        for name in names
    )
    return f"""
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {{name: rack-1}}
spec:
  capacity: {{cpu: "12"}}
  workloads: {{}}{written}
""".replace("workloads: {}\n    ", "workloads:\n    ")


class Exporter:
    """One running process; what it logs is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port
        self.logged: list[dict[str, object]] = []

    async def until(self, event: str) -> dict[str, object]:
        """The first line of the log, from now on, with these words."""
        async with asyncio.timeout(LONG):
            while line := await self.process.stderr.readline():
                self.logged.append(json.loads(line))
                if event in str(self.logged[-1]["event"]):
                    return self.logged[-1]
        raise AssertionError(f"it ended without {event!r}: {self.logged}")

    async def page(self, path: str = "/metrics") -> str:
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return await answer.text()

    async def page_with(self, words: str) -> str:
        """The metrics once they hold these words."""
        async with asyncio.timeout(LONG):
            while words not in (page := await self.page()):  # noqa: ASYNC110 another process: there is no event
                await asyncio.sleep(0.05)
        return page

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(how)
        await asyncio.wait_for(self.process.communicate(), LONG)
        return time.monotonic() - began


async def launch(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "exporters", *arguments, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
async def start(free_port):
    """A function from a directory to an Exporter that listens."""
    running = []

    async def started(directory: Path, *more: str) -> Exporter:
        port = free_port()
        process = await launch("--manifests", str(directory), "--listen", f"127.0.0.1:{port}", *more)
        running.append(process)
        exporter = Exporter(process, port)
        said = await exporter.until("listens")
        exporter.said = said
        return exporter

    yield started
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
async def endpoint(aiohttp_server):
    """A node's API: any path answers, /hanging does not."""
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/hanging":
            await released.wait()
        return web.json_response({"cores": 3.5, "status": "ok"})

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    server = await aiohttp_server(app)
    yield f"http://127.0.0.1:{server.port}"
    released.set()


async def test_one_command_serves_what_the_nodes_say(start, endpoint, tmp_path) -> None:
    (tmp_path / "node.yaml").write_text(node(endpoint, "myst", "other") + SETTINGS + POLICY)
    exporter = await start(tmp_path, "--compat-storj")
    assert exporter.said["workloads"] == 2
    assert str(exporter.port) in str(exporter.said["address"])
    page = await exporter.page_with(
        'orcha_protocol_used_cpu_cores{node="rack-1",protocol="mapped",workload="myst"} 3.5'
    )
    assert 'orcha_protocol_up{node="rack-1",protocol="mapped",workload="other"} 1.0' in page
    assert "orcha_manifest_reload_success 1.0" in page
    assert "orcha_build_info{" in page
    assert await exporter.page("/healthz") == "ok\n"
    assert await exporter.page("/readyz") == "ready\n"
    assert "2 of 2 workloads answer" in await exporter.page("/")
    assert (await exporter.page("/compat/storj-exporter")).startswith("# HELP storj_")
    await exporter.stop()
    assert exporter.process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
async def test_it_stops_within_five_seconds_while_a_node_hangs(start, endpoint, tmp_path, how) -> None:
    (tmp_path / "node.yaml").write_text(node(endpoint, "hanging", "myst") + SETTINGS)
    exporter = await start(tmp_path)
    await exporter.page_with('workload="myst"} 3.5')
    assert await exporter.stop(how) < 5.0
    assert exporter.process.returncode == 0


async def test_manifests_reload_and_a_bad_edit_keeps_the_last_good_ones(start, endpoint, tmp_path) -> None:
    written = tmp_path / "node.yaml"
    written.write_text(node(endpoint, "myst") + SETTINGS)
    exporter = await start(tmp_path)
    await exporter.page_with('workload="myst"} 3.5')
    written.write_text(node(endpoint, "myst").replace("spec:", "spec:\n  nonsense: 1") + SETTINGS)
    said = await exporter.until("refused")
    assert "nonsense" in str(said["problems"])
    page = await exporter.page_with("orcha_manifest_reload_success 0.0")
    assert 'workload="myst"} 3.5' in page
    assert "nonsense" in await exporter.page("/")
    written.write_text(node(endpoint, "second", "third") + SETTINGS.replace("0.25", "0.5"))
    assert (await exporter.until("in force"))["workloads"] == 2
    page = await exporter.page_with('workload="third"} 3.5')
    assert 'workload="myst"' not in page
    assert "orcha_manifest_reload_success 1.0" in page
    await exporter.stop()


async def ended(*arguments: str) -> tuple[int, list[str]]:
    """(exit code, what it said on stderr) of a command that must end by itself."""
    process = await launch(*arguments)
    try:
        out, err = await asyncio.wait_for(process.communicate(), LONG)
    finally:
        if process.returncode is None:
            process.kill()
    assert out == b""
    return process.returncode, err.decode().splitlines()


async def test_a_port_in_use_is_one_sentence_and_exit_2(endpoint, tmp_path) -> None:
    (tmp_path / "node.yaml").write_text(node(endpoint, "myst") + SETTINGS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = await ended("--manifests", str(tmp_path), "--listen", address)
    assert code == 2
    assert said == [
        f"orcha-exporter: cannot listen on {address} (something else listens there); choose another address with --listen"
    ]


async def test_a_directory_that_is_missing_is_one_sentence_and_exit_2(tmp_path) -> None:
    code, said = await ended("--manifests", str(tmp_path / "nowhere"))
    assert (code, len(said)) == (2, 1)
    assert "nowhere does not exist" in said[0]


async def test_nothing_to_poll_is_one_sentence_and_exit_2(tmp_path) -> None:
    (tmp_path / "node.yaml").write_text(node("http://127.0.0.1:1"))
    code, said = await ended("--manifests", str(tmp_path))
    assert code == 2
    assert said == [f"orcha-exporter: there is nothing to poll in {tmp_path}: no Node declares a workload"]


HOST_AND_PORT = "write HOST:PORT, such as 127.0.0.1:9872"


@pytest.mark.parametrize(
    ("listen", "right"),
    [
        ("9871", HOST_AND_PORT),
        ("127.0.0.1:99999", HOST_AND_PORT),
        ("::1:9871", "write an IPv6 host in brackets, such as [::1]:9872"),
        ("127.0.0.1:web", HOST_AND_PORT),
    ],
)
async def test_an_address_that_is_none_is_one_sentence_and_exit_2(tmp_path, listen, right) -> None:
    (tmp_path / "node.yaml").write_text(node("http://127.0.0.1:1", "myst"))
    code, said = await ended("--manifests", str(tmp_path), "--listen", listen)
    assert (code, len(said)) == (2, 1)
    assert said[0].endswith(right)


async def test_invalid_manifests_name_file_and_line_and_exit_1(tmp_path) -> None:
    (tmp_path / "node.yaml").write_text(
        node("http://127.0.0.1:1", "myst").replace("protocol: mapped", "protocol: maped")
    )
    code, said = await ended("--manifests", str(tmp_path))
    assert code == 1
    assert any("node.yaml:" in line and "maped" in line for line in said)
