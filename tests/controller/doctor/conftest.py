"""Manifests in a folder, and what the doctor says of them, looked at from inside of the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from controller.doctor.examine import Asked, examine
from exporters.collector import discover
from exporters.simulator.demo import demo
from exporters.simulator.server import Server

COLLECTORS = discover()
API = "orcha.dev/v1alpha1"


@pytest.fixture
async def served():
    """(the demonstration, its server) on free ports."""
    made = demo(origin=time.time() - 7200)
    server = Server(made.world)
    await server.start()
    yield made, server
    await server.close()


@pytest.fixture
def manifests(tmp_path):
    """Write a Node `rack` of these workloads, a policy, and Settings; gives the folder."""

    def write(workloads, settings=None, *, capacity=None, mode="Suggest", limits=None):
        folder = tmp_path / "manifests"
        folder.mkdir(exist_ok=True)
        spec = {"state": f"sqlite:///{tmp_path}/orcha.db", "prices": {"sources": []}} | (settings or {})
        documents = [
            {
                "apiVersion": API,
                "kind": "Node",
                "metadata": {"name": "rack"},
                "spec": {"capacity": capacity or {}, "workloads": workloads},
            },
            {
                "apiVersion": API,
                "kind": "AllocationPolicy",
                "metadata": {"name": "default"},
                "spec": {"mode": mode, "limits": limits or {}},
            },
            {"apiVersion": API, "kind": "Settings", "metadata": {"name": "settings"}, "spec": spec},
        ]
        (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
        return folder

    return write


@pytest.fixture
def visit(free_port):
    """The findings about a folder, by what they are about; a port on which nobody listens unless one is given."""

    async def examined(folder, *, listen=None, patience=8.0, state=None):
        asked = Asked((folder,), listen or f"127.0.0.1:{free_port()}", state, None, patience)
        found = await examine(asked, COLLECTORS, "0.1.0")
        return {finding.what: finding for finding in found}

    return examined


@pytest.fixture
def as_nobody():
    """Be a user who owns nothing but a folder of his own, for as long as the block lasts: root may read everything."""
    folder = Path(tempfile.mkdtemp(prefix="orcha-nobody-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0

    @contextlib.contextmanager
    def be():
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)

    yield be
    folder.chmod(0o755)
    shutil.rmtree(folder)
