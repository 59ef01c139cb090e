"""`python -m exporters.simulator`: writes manifests that are valid, serves, and stops at once."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from exporters.collector import discover
from exporters.manifests import load_nodes
from exporters.simulator.__main__ import arguments, default_origin

ROOT = Path(__file__).resolve().parents[3]


async def started(*more):
    argv = [sys.executable, "-m", "exporters.simulator", *map(str, more)]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=pipe, stderr=pipe)


async def addresses_of(process):
    found = {}
    while "control" not in found:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line, (await process.stderr.read()).decode()
        row = json.loads(line)
        found[row["site"]] = row["address"]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_valid_manifests_and_stops_within_two_seconds(tmp_path, number):
    process = await started("--manifests", tmp_path / "m", "--seed", 5)
    try:
        where = await addresses_of(process)
        nodes, settings, problems, warnings = load_nodes([tmp_path / "m"], discover())
        assert ([node.name for node in nodes], problems, warnings) == (["rack-1", "rack-2"], (), ())
        assert set(settings.spec.prices.static) >= {"STORJ", "GLM", "DATA", "AKT"}
        (garage,), _, problems, _ = load_nodes([tmp_path / "m-exporter"], discover())
        assert (garage.name, problems) == ("garage", ())
        for secret in (tmp_path / "m" / "secrets").iterdir():
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        async with aiohttp.ClientSession() as client, client.get(f"{where['rack-1-storj']}/api/sno/") as response:
            assert (await response.json())["diskSpace"]["allocated"] == 2**43
        began = time.monotonic()
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert time.monotonic() - began < 2
        assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_port_in_use_is_one_sentence_and_exit_2(tmp_path):
    blocker = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with blocker:
        port = blocker.sockets[0].getsockname()[1]
        process = await started("--manifests", tmp_path / "m", "--port-base", port)
        _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert said.startswith(b"the simulator cannot serve: ")
    assert said.count(b"\n") == 1


def test_by_default_the_world_begins_two_days_ago_on_the_hour():
    assert default_origin(1_795_176_123.0) == 1_795_176_000.0 - 48 * 3600
    assert arguments(["--manifests", "x"]).day == 1800.0
