"""Allocations through the nodes' own files and commands: watched for Golem, read at a restart for Storj."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from exporters.simulator import tool
from exporters.simulator.files import Files
from exporters.simulator.inprocess import FastClock
from exporters.simulator.server import Server

TB = 1e12


@pytest.fixture
def files(made, tmp_path):
    found = Files(tmp_path / "nodes", made.world)
    found.write_all()
    found.look(made.world.now)
    return found


def offered(made, seconds):
    made.world.advance(made.world.now + seconds)
    return made.world.truth("rack-1/golem").allocated


def profile(files, *words):
    return tool.main(["ya-provider", "--data-dir", str(files.path("rack-1/golem").parent), *words])


def test_writing_what_is_already_so_changes_no_offer(made, files):
    offers = len(made.world.models["rack-1/golem"].offers)
    files.write_all()
    files.look(made.world.now)
    assert len(made.world.models["rack-1/golem"].offers) == offers


def test_a_profile_update_is_offered_seconds_later(made, files, capsys):
    assert profile(files, "profile", "update", "--name", "default", "--cpu-threads", "5", "--mem-gib", "7.5") == 0
    files.look(made.world.now)
    assert offered(made, 2.5)["cpu"] == 8
    assert offered(made, 6.0) == {"cpu": 5, "memory": 7.5 * 2**30, "storage": 80 * 2**30}
    assert profile(files, "--json", "profile", "list") == 0
    assert json.loads(capsys.readouterr().out)["default"] == {"cpu_threads": 5, "mem_gib": 7.5, "storage_gib": 80.0}


@pytest.mark.parametrize(
    "words",
    [["--name", "default"], ["--name", "other", "--cpu-threads", "4"]],
    ids=["nothing to change", "no such profile"],
)
def test_a_refused_update_says_why_and_changes_nothing(files, words, capsys):
    before = files.path("rack-1/golem").read_bytes()
    assert profile(files, "profile", "update", *words) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert files.path("rack-1/golem").read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"active": "default", "profiles": {"default": {"cpu_threads": null}}}']
)
def test_a_broken_hardware_json_is_ignored(made, files, content):
    files.path("rack-1/golem").write_text(content)
    files.look(made.world.now)
    assert offered(made, 10.0)["cpu"] == 8


def test_a_missing_hardware_json_is_ignored(made, files):
    files.path("rack-1/golem").unlink()
    files.look(made.world.now)
    assert offered(made, 10.0)["cpu"] == 8


def test_a_storagenode_reads_its_file_at_a_restart_only(made, files):
    files.path("rack-1/storj").write_text("# edited by hand\nstorage.allocated-disk-space: 7.50 TB\n")
    files.look(made.world.now)
    made.world.advance(made.world.now + 600)
    assert made.world.truth("rack-1/storj").allocated["storage"] == 2**43
    assert files.restart("rack-1/storj", made.world.now) is None
    assert made.world.truth("rack-1/storj").allocated["storage"] == 7.5 * TB
    assert files.restart("rack-1/storj", made.world.now, env="6TB") is None
    assert made.world.truth("rack-1/storj").allocated["storage"] == 6 * TB


@pytest.mark.parametrize("line", ["storage.allocated-disk-space: 100 GB", "storage.allocated-disk-space: lots"])
def test_a_wrong_file_takes_the_node_offline(made, files, line):
    files.path("rack-1/storj").write_text(line)
    assert files.restart("rack-1/storj", made.world.now)
    made.world.advance(made.world.now + 3600)
    assert not made.world.truth("rack-1/storj").up


async def test_the_owners_script_edits_and_restarts_over_the_control_port(made, files):
    server = Server(made.world, clock=FastClock(made.world.now, auto=False), files=files)
    await server.start()
    try:
        argv = [
            "storagenode",
            "--config",
            str(files.path("rack-2/storj-2")),
            "--restart",
            f"{server.control}/restart/rack-2/storj-2",
        ]
        assert await asyncio.to_thread(tool.main, [*argv, "5TB"]) == 0
        assert made.world.truth("rack-2/storj-2").configured["storage"] == 5 * TB
        assert await asyncio.to_thread(tool.main, [*argv, "5GB"]) == 1
        assert await asyncio.to_thread(tool.main, [*argv, "much"]) == 1
        async with aiohttp.ClientSession() as client, client.post(f"{server.control}/restart/rack-1/grass") as response:
            assert response.status == 404
    finally:
        await server.close()
