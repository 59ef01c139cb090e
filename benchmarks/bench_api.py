"""The API's server on one core: status requests as fast as they come and 1 000 a second, and 500 clients of the stream.

The server is a process of its own, bound to one core where the system lets it be; this process asks, over 32 connections
that stay open. The status is that of a fleet of 100 workloads and changes every 5 s, as the loop would change it. Requests
per second of CPU time say what one core could do whoever else uses the machine. Memory is that of the server's process
(RSS) with 500 clients beyond that without any.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import structlog
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from controller.api.app import application
from controller.api.stream import Stream
from tests.controller.api import desk

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WORKLOADS = 100
CONNECTIONS = 32
PACE = 1000.0
"""Requests a second of the paced run."""
TURN = 5.0
"""Seconds between two turns of the loop, each of which makes a new status."""
CLIENTS = 500
AIM_P99 = 0.050
AIM_MB = 100.0
ASK = b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


# --- the server -----------------------------------------------------------------------------------------------------------


async def _serve(told: Connection) -> None:
    keys = [f"rack-{i // 4}/w-{i % 4}" for i in range(WORKLOADS)]
    stream = Stream()
    faces = desk.faces(
        view=lambda: desk.view(keys), version=lambda: int(time.monotonic() / TURN), stream=stream, now=time.time
    )
    runner = web.AppRunner(application(faces, "127.0.0.1"), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    told.send((os.getpid(), runner.addresses[0][1]))
    loop = asyncio.get_running_loop()
    readings = [desk.reading(key) for key in keys]
    while True:
        asked = await loop.run_in_executor(None, told.recv)
        began = time.process_time()
        await stream.readings(readings)
        for _ in range(100):
            await asyncio.sleep(0)
        told.send((asked, stream.clients, stream.dropped, time.process_time() - began))


def serve(told: Connection, core: int | None) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if core is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    asyncio.run(_serve(told))


def cpu_of(pid: int) -> float:
    """Seconds."""
    parts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- who asks -------------------------------------------------------------------------------------------------------------


@dataclass
class Asked:
    took: list[float] = field(default_factory=list)
    """Seconds of each request, from when it was due."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of the server."""

    @property
    def rps(self) -> float:
        return len(self.took) / self.seconds

    def quantile(self, q: int) -> float:
        return statistics.quantiles(self.took, n=100)[q - 1]


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ASK)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    await reader.readexactly(length)


async def ask(port: int, pid: int, count: int, pace: float | None) -> Asked:
    """`count` requests; `pace` a second, each due at its time whether those before are answered or not; None: as they come."""
    found, left = Asked(), iter(range(count))
    began = time.perf_counter()
    cpu = cpu_of(pid)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        for i in left:
            due = time.perf_counter() if pace is None else began + i / pace
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            await _one(reader, writer)
            found.took.append(time.perf_counter() - due)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(connection())
    found.seconds, found.cpu = time.perf_counter() - began, cpu_of(pid) - cpu
    return found


async def listen(port: int, pid: int, server: Connection, clients: int) -> tuple[float, float, float]:
    """MB with that many clients beyond without; seconds of the server's CPU to tell all of them 100 readings; MB after."""
    loop = asyncio.get_running_loop()
    before = rss_of(pid)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        contextlib.AsyncExitStack() as all_,
    ):
        sockets = [
            await all_.enter_async_context(session.ws_connect(f"http://127.0.0.1:{port}/api/v1/stream", max_msg_size=0))
            for _ in range(clients)
        ]
        connected = rss_of(pid) - before
        cpu = []
        for turn in range(5):
            server.send(turn)
            await asyncio.gather(*(socket.receive_json(timeout=60) for socket in sockets))
            _, there, dropped, seconds = await loop.run_in_executor(None, server.recv)
            assert (there, dropped) == (clients, 0), (there, dropped)
            cpu.append(seconds)
        return connected, statistics.median(cpu), rss_of(pid) - before


async def measure(port: int, pid: int, server: Connection, report: Report, *, quick: bool) -> None:
    await ask(port, pid, 500, None)
    most = await ask(port, pid, 2000 if quick else 20_000, None)
    paced = await ask(port, pid, 2000 if quick else 20_000, PACE)
    p50, p99 = paced.quantile(50), paced.quantile(99)
    per_core = len(most.took) / most.cpu
    detail = f"{most.rps:.0f} a second as they came, {per_core:.0f} a second of the server's CPU; aim 1 000"
    report.add("status: requests a second over 1 000", most.rps / PACE, 1.0, at_least=True, detail=detail)
    report.add("status: the same of one core's time", per_core / PACE, 1.0, at_least=True, detail=detail)
    detail = (
        f"{p99 * 1e3:.1f} ms (p50 {p50 * 1e3:.1f} ms) at {paced.rps:.0f} requests a second; aim {AIM_P99 * 1e3:.0f} ms"
    )
    report.add("status: p99 at 1 000 a second over 50 ms", p99 / AIM_P99, 1.0, detail=detail)
    clients = CLIENTS // 5 if quick else CLIENTS
    connected, cpu, told = await listen(port, pid, server, clients)
    aim = AIM_MB * clients / CLIENTS
    detail = (
        f"{connected:.1f} MB connected, {told:.1f} MB after 5 messages of 100 readings; {cpu * 1e3:.0f} ms CPU for each"
    )
    report.add(f"stream: {clients} clients over {aim:.0f} MB", max(connected, told) / aim, 1.0, detail=detail)
    report.figures = {
        "status_rps": most.rps, "status_rps_per_core": per_core, "status_p50_ms": p50 * 1e3, "status_p99_ms": p99 * 1e3,
        "stream_clients": clients, "stream_mb": max(connected, told), "stream_tell_ms": cpu * 1e3,
    }  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("the API: status and stream")
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, cores[-1] if len(cores) > 1 else None)
    )
    server.start()
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[:-1]))
    try:
        assert ours.poll(60), "the server did not start"
        pid, port = ours.recv()
        asyncio.run(measure(port, pid, ours, report, quick=options.quick))
    finally:
        server.terminate()
        server.join(10)
    finish(report, options)


if __name__ == "__main__":
    main()
