#!/usr/bin/env python3
"""`make run`: simulated nodes, 48 hours of their history, the controller, an exporter, Prometheus with orcha's rules and
Alertmanager where they can be had, and a live table. Everything listens on 127.0.0.1 and ends with Ctrl-C; its files are under .orcha/demo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controller.history import History
from controller.report.tables import status_table
from controller.samples import Kept
from controller.store import Store
from exporters.collector import discover, workloads_of
from exporters.manifests import load_nodes
from exporters.simulator.demo import HISTORY, demo
from exporters.simulator.history import history
from scripts._alertmanager import runnable

HERE = ROOT / ".orcha" / "demo"
STATE = HERE / "orcha.db"
DAY = 1800.0
"""Seconds that a simulated day's rhythm takes, so that a visitor sees one."""
GRACE = 6.0
STARTING = 60.0


@dataclass
class Children:
    """The programs that were started, and only those; each is ended when the demo ends."""

    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: list[str], folder: Path = ROOT) -> None:
        with (HERE / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                argv, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def dead(self) -> str | None:
        return next((name for name, child in self.running.items() if child.poll() is not None), None)

    def stop(self) -> None:
        for child in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in self.running.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@dataclass(frozen=True)
class Places:
    """Where everything can be opened."""

    controller: str
    exporter: str
    prometheus: str | None
    alertmanager: str | None


def free_port(wanted: int) -> int:
    """The port if nothing listens there, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return int(sock.getsockname()[1])
    raise SystemExit("there is no free port on 127.0.0.1")


def fetched(url: str) -> bytes | None:
    """What one of our own servers answers, None while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def wait_for(name: str, condition: Callable[[], Any], children: Children) -> None:
    deadline = time.monotonic() + STARTING
    while not condition():
        if children.dead() or time.monotonic() > deadline:
            who = children.dead() or name
            raise SystemExit(
                f"{who} did not start; the end of its log:\n{(HERE / f'{who}.log').read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.05)


def start_world(children: Children, seed: int, origin: float) -> dict[str, str]:
    """Serve the simulated nodes; gives the address of each site."""
    argv = [
        "-m",
        "exporters.simulator",
        "--manifests",
        str(HERE / "manifests"),
        "--exporter-manifests",
        str(HERE / "exporter"),
    ]
    children.start(
        "simulator", [sys.executable, *argv, "--seed", str(seed), "--day", str(DAY), "--origin", str(origin)]
    )
    log = HERE / "simulator.log"
    wait_for("simulator", lambda: '"control"' in log.read_text(), children)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["site"]: line["address"] for line in lines if line["site"] != "control"}


async def write_history(seed: int, origin: float, addresses: dict[str, str], progress: Progress) -> None:
    """Live the last two days through the real collectors on a fast clock, and keep what they read in the state."""
    made, collectors, now = demo(seed, origin=origin, day=DAY), discover(), time.time()
    nodes, _, problems, _ = load_nodes([HERE / "manifests"], collectors)
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    workloads = workloads_of(nodes, collectors)
    past = History([Kept.of(workload) for workload in workloads])
    bar = progress.add_task("48 h of history", total=now - origin)
    async for reading in history(made.world, workloads, collectors, origin, now, addresses=addresses):
        past.add(reading)
        progress.update(bar, completed=reading.at - origin)
    progress.update(bar, completed=now - origin)
    store = await Store.open(f"sqlite:///{STATE}")
    try:
        await past.flush(store, now)
    finally:
        await store.close()


def start_watchers(ports: dict[str, int], children: Children, console: Console) -> tuple[str | None, str | None]:
    """Start Alertmanager, and Prometheus on what we serve; their addresses, or None with one line where they cannot be had."""
    tool = subprocess.run(
        [sys.executable, str(ROOT / "scripts/tools/prometheus.py")], capture_output=True, text=True, check=False
    )
    if tool.returncode:
        console.print(f"without Prometheus: {tool.stderr.strip().splitlines()[-1]}", style="yellow", markup=False)
        return None, None
    folder, port, told = Path(tool.stdout.strip()), free_port(9090), free_port(9093)
    home = runnable(folder)
    alerting = {
        "config.file": ROOT / "alertmanager/alertmanager.yml",
        "web.listen-address": f"127.0.0.1:{told}",
        "web.external-url": f"http://127.0.0.1:{told}",
        "storage.path": HERE / "alertmanager",
        "cluster.listen-address": "",
    }
    children.start("alertmanager", [f"{home}/prometheus-alertmanager", *_flags(alerting)], home)
    config = (ROOT / "prometheus/prometheus.yml").read_text().replace("15s", "5s")
    for default, used in {**ports, "127.0.0.1:9093": told}.items():
        config = config.replace(default, f"127.0.0.1:{used}")
    (HERE / "prometheus.yml").write_text(config.replace("- rules/", f"- {ROOT}/prometheus/rules/"))
    options = {
        "config.file": HERE / "prometheus.yml",
        "web.listen-address": f"127.0.0.1:{port}",
        "storage.tsdb.path": HERE / "prometheus",
    }
    children.start("prometheus", [f"{folder}/prometheus", *_flags(options)])
    return f"http://127.0.0.1:{port}/alerts", f"http://127.0.0.1:{told}"


def _flags(options: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


@contextlib.contextmanager
def running(console: Console, seed: int) -> Iterator[tuple[Places, Children]]:
    """Everything started, and everything ended again, whatever happens."""
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    children = Children()
    origin = (time.time() - HISTORY) // 3600 * 3600
    try:
        addresses = start_world(children, seed, origin)
        with Progress(console=console, transient=True) as progress:
            asyncio.run(write_history(seed, origin, addresses, progress))
        ports = {"127.0.0.1:9872": free_port(9872), "127.0.0.1:9871": free_port(9871)}
        own, other = ports.values()
        common = ["--log-format", "json"]
        orcha = [
            sys.executable,
            "-m",
            "controller",
            "run",
            "--manifests",
            str(HERE / "manifests"),
            "--state",
            f"sqlite:///{STATE}",
        ]
        children.start("orcha", [*orcha, "--listen", f"127.0.0.1:{own}", *common])
        exporter = [
            sys.executable,
            "-m",
            "exporters",
            "--manifests",
            str(HERE / "exporter"),
            "--listen",
            f"127.0.0.1:{other}",
        ]
        children.start("exporter", [*exporter, "--compat-storj", *common])
        watchers = start_watchers(ports, children, console)
        places = Places(f"http://127.0.0.1:{own}", f"http://127.0.0.1:{other}", *watchers)
        wait_for("orcha", lambda: fetched(f"{places.controller}/healthz"), children)
        wait_for("exporter", lambda: fetched(f"{places.exporter}/healthz"), children)
        yield places, children
    finally:
        children.stop()


def screen(view: dict[str, Any] | None, places: Places, width: int) -> RenderableType:
    """The live picture: where to look further, then the table; a short terminal cuts the end."""
    top = status_table(view, width) if view else Text("the controller starts ...", style="dim")
    lines = [
        Text.assemble(("controller  ", "bold"), f"{places.controller}/   metrics {places.controller}/metrics"),
        Text.assemble(
            ("exporter    ", "bold"),
            f"{places.exporter}/   metrics {places.exporter}/metrics (node garage, with no controller)",
        ),
    ]
    if places.prometheus:
        lines.append(
            Text.assemble(("Prometheus  ", "bold"), f"{places.prometheus}   alerts go to {places.alertmanager}")
        )
    note = "Simulated nodes that speak the real APIs; a day's rhythm takes half an hour. Mode Suggest: nothing is changed. Ctrl-C ends all."
    return Group(*lines, Text(note, style="dim"), Text(""), top)


def show(places: Places, children: Children, console: Console, seconds: float | None) -> None:
    """Until Ctrl-C (or for so many seconds): the table, again every second."""
    deadline = None if seconds is None else time.monotonic() + seconds
    with Live(console=console, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
        while deadline is None or time.monotonic() < deadline:
            answer = fetched(f"{places.controller}/api/v1/status")
            live.update(screen(json.loads(answer) if answer else None, places, console.width), refresh=True)
            if dead := children.dead():
                raise SystemExit(
                    f"{dead} ended; the end of its log:\n{(HERE / f'{dead}.log').read_text(errors='replace')[-2000:]}"
                )
            time.sleep(1.0 if console.is_terminal else 10.0)


def picture(places: Places, path: Path) -> None:
    """The table as an SVG for the README, once there is a plan."""
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        view = json.loads(fetched(f"{places.controller}/api/v1/status") or b"{}")
        if view.get("policies") and view.get("complete"):
            console = Console(record=True, width=168, file=(HERE / "picture.txt").open("w"))
            console.print(status_table(view, console.width))
            drawn = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", console.export_svg(title="make run"), flags=re.DOTALL)
            path.write_text(drawn)  # without fonts from elsewhere: a picture asks nobody for anything
            return
        time.sleep(0.5)
    raise SystemExit("there was no plan to show within a minute")


def main() -> int:
    options = argparse.ArgumentParser(description="Show orcha on simulated nodes.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seconds", type=float, help="end by itself after this long")
    options.add_argument("--picture", type=Path, help="write the table as SVG, and end")
    chosen = options.parse_args()
    console = Console()
    for asked in (signal.SIGINT, signal.SIGTERM):  # a shell starts what runs in its background with SIGINT ignored
        signal.signal(asked, signal.default_int_handler)
    try:
        with running(console, chosen.seed) as (places, children):
            if chosen.picture:
                picture(places, chosen.picture)
            else:
                show(places, children, console, chosen.seconds)
    except KeyboardInterrupt:
        console.print("ended.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
