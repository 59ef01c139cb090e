"""End to end: the simulated world and our own programs as processes, on loopback and free ports, ended by who started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 40.0


@dataclass
class Program:
    """One running program, its log, and how to end it."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def until(condition, what: str, seconds: float = PATIENCE):
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)
    return found


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body; (0, "") while nobody listens."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()
    except (urllib.error.URLError, OSError):
        return 0, ""


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Program]]:
    """Start a program of ours; it ends with the test."""
    started: list[Program] = []

    def begin(*argv: str, name: str = "program", **environment: str) -> Program:
        log = tmp_path / f"{name}-{len(started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv if argv[0].startswith("/") else [sys.executable, *argv], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
        program = Program(process, log)
        started.append(program)
        return program

    yield begin
    for program in reversed(started):
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


@dataclass
class Simulated:
    """The demonstration's world, served."""

    program: Program
    manifests: Path
    exporter_manifests: Path
    addresses: dict[str, str]

    def control(self, path: str, body: object | None = None) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.addresses['control']}{path}", data=data, method="POST" if data else "GET")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()


@pytest.fixture
def world(start, tmp_path) -> Simulated:
    here, beside = tmp_path / "manifests", tmp_path / "exporter"
    program = start(
        "-m", "exporters.simulator", "--manifests", str(here), "--exporter-manifests", str(beside),
        "--origin", str(time.time() - 7200), name="simulator",
    )  # fmt: skip
    until(lambda: '"control"' in program.said() or program.process.poll() is not None, "the simulator to serve")
    lines = [json.loads(line) for line in program.said().splitlines() if line.startswith("{")]
    return Simulated(program, here, beside, {line["site"]: line["address"] for line in lines})
