"""End to end: the simulated world and our own programs as processes, on loopback and free ports, ended by who started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, running
from tests.e2e.programs import ROOT, Program, Simulated, until
from tests.e2e.seen import seen  # noqa: F401 a fixture for all tests of this folder


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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A Kubernetes control plane for all tests of the group "kubernetes", which run in one process."""
    tools = json.loads((ROOT / ".cache" / "tools.json").read_text())
    with running(Path(tools["kubernetes"]["where"]), tmp_path_factory.mktemp("cluster")) as started:
        yield started
