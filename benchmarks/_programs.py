"""Programs of ours as they are started, for benchmarks: what a command takes, and `orcha run` beside a simulated node."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.history import History
from controller.manifests import load
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.simulator.demo import demo
from exporters.simulator.history import history

ROOT = Path(__file__).resolve().parent.parent


def rss(pid: int | str = "self") -> float:
    """MB of memory that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6


def most_rss(pid: int | str = "self") -> float:
    """MB of memory that it held at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def cpu_of(argv: list[str], rounds: int) -> float:
    """Median CPU seconds of a program from start to end."""
    taken = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(taken)


def imported(names: str) -> list[str]:
    return [sys.executable, "-c", f"import {names}"]


@contextlib.contextmanager
def simulated(directory: Path, origin: float) -> Iterator[tuple[Path, dict[str, str]]]:
    """The simulator as a process: manifests of its rack-1, which has four workloads, and the address of each site."""
    argv = [sys.executable, "-m", "exporters.simulator", "--manifests", str(directory / "all"), "--origin", str(origin)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            sites: dict[str, str] = {}
            while "control" not in sites:
                assert program.stdout is not None
                said = json.loads(program.stdout.readline())
                sites[said["site"]] = said["address"]
            here = directory / "manifests"
            here.mkdir()
            for name in ("rack-1", "policy", "settings"):
                (here / f"{name}.yaml").write_bytes((directory / "all" / f"{name}.yaml").read_bytes())
            yield here, sites
        finally:
            program.terminate()


async def live(here: Path, state: Path, origin: float, sites: dict[str, str]) -> None:
    """Put two days that the real collectors read into the state."""
    found = load([here], discover())
    assert not found.problems, found.problems
    workloads = workloads_of(found.nodes, discover())
    known, now = History([Kept.of(workload) for workload in workloads]), time.time()
    made = demo(1, origin=origin, day=1800.0)
    async for reading in history(made.world, workloads, discover(), origin, now, addresses=sites):
        known.add(reading)
    store = await Store.open(f"sqlite:///{state}")
    await known.flush(store, now)
    await store.close()


def fetched(url: str) -> bytes | None:
    with contextlib.suppress(urllib.error.URLError, OSError):
        return bytes(urllib.request.urlopen(url, timeout=5).read())  # noqa: S310 our own address
    return None


def waited(url: str, until: Callable[[bytes], bool], program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while (found := fetched(url)) is None or not until(found):
        if program.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{url} did not answer as it should")
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def spent(pid: int) -> float:
    """CPU seconds of a running process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Ran:
    """One run of `orcha run` from its start to its end."""

    ready_cpu: float = 0.0
    ready_wall: float = 0.0
    rss: float = 0.0
    most: float = 0.0
    minute_cpu: float = 0.0
    """CPU seconds a minute once it has a plan."""


def run_orcha(here: Path, state: Path, seconds: float) -> Ran:
    """Start it, wait for its first plan, scrape it like Prometheus for a while, and look at what it takes."""
    url, ran = f"http://127.0.0.1:{free_port()}", Ran()
    argv = [sys.executable, "-m", "controller", "run", "--manifests", str(here), "--state", f"sqlite:///{state}"]
    began = time.monotonic()
    with subprocess.Popen(
        [*argv, "--listen", url.removeprefix("http://")], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        try:
            waited(f"{url}/healthz", lambda _: True, program)
            ran.ready_wall, ran.ready_cpu = time.monotonic() - began, spent(program.pid)
            waited(f"{url}/api/v1/status", lambda body: bool(json.loads(body)["policies"]), program)
            before, began = spent(program.pid), time.monotonic()
            while time.monotonic() < began + seconds:
                fetched(f"{url}/metrics")
                time.sleep(1.0)
            ran.minute_cpu = (spent(program.pid) - before) / (time.monotonic() - began) * 60
            ran.rss, ran.most = rss(program.pid), most_rss(program.pid)
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(10)
    return ran


def imported_rss(names: str) -> float:
    code = f"import {names}\nprint(int(open('/proc/self/statm').read().split()[1]))"
    pages = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return int(pages) * resource.getpagesize() / 1e6
