"""docs/start: what the pages show is what the commands say, on a simulated storagenode."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path

import pytest
import yaml

from exporters.simulator.demo import HISTORY, demo
from exporters.simulator.server import Server
from tests.docs.pages import ROOT, blocks_of

SITE = "rack-2-storj-1"


def shown(page: str, command: str) -> list[str]:
    """The lines that a page shows below a command in a console, the first time that it does."""
    for block in blocks_of(page):
        first, *lines = block.text.splitlines()
        if block.language == "console" and first == f"$ {command}":
            return lines
    raise AssertionError(f"{page} shows no {command}")


def plain(line: str) -> str:
    """Without what differs from day to day and from machine to machine: figures, times, lengths of columns."""
    line = re.sub(r"\(Linux .*?\)|\(Darwin .*?\)", "(SYSTEM)", line)
    line = re.sub(r"\d+(?:[.:-]\d+)*", "0", line)
    return re.sub(r"[\s─]+", " ", line).strip()


async def ran(folder: Path, *argv: str) -> str:
    """What a command writes, to stderr and stdout."""
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "100",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", *argv, cwd=folder, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return out.decode()


@pytest.fixture
async def console():
    """The address of a simulated storagenode's console."""
    server = Server(demo(1, origin=(time.time() - HISTORY) // 3600 * 3600, day=86400.0).world)
    await server.start({}, 0)
    yield server.address(SITE)
    await server.close()


def missing(page: str, command: str, said: str) -> list[str]:
    """The lines of the page that were not said."""
    whole = plain(" ".join(said.splitlines()))  # where lines break hangs on the terminal
    return [line for line in shown(page, command) if line.strip() != "..." and plain(line) not in whole]


async def test_the_page_of_one_node_shows_what_the_commands_say(console, tmp_path):
    page = "docs/start/storj-node.md"
    init = await ran(tmp_path, "init", "--yes", "--node", "attic", "--only-named", "--offline", "--storj", console)
    found = missing(page, "orcha init --yes --node attic", init)
    assert found == ["orcha: looking at the usual ports of 127.0.0.1 ..."]  # here: at the addresses that were named
    assert missing(page, "orcha plan", await ran(tmp_path, "plan")) == []
    assert missing(page, "orcha doctor", await ran(tmp_path, "doctor", "--listen", "127.0.0.1:0")) == []


async def test_the_node_on_the_page_is_the_one_that_was_written(console, tmp_path):
    await ran(tmp_path, "init", "--yes", "--node", "attic", "--only-named", "--offline", "--storj", console)
    written = yaml.safe_load((tmp_path / "manifests" / "attic.yaml").read_text(encoding="utf-8"))
    on_the_page = next(block for block in blocks_of("docs/start/storj-node.md") if block.language == "yaml")
    told = yaml.safe_load(on_the_page.text)
    told["spec"]["workloads"]["storj"]["endpoint"] = console
    assert told == written


async def test_the_page_of_many_sites_shows_what_plan_diff_says(tmp_path):
    policy = "apiVersion: orcha.dev/v1alpha1\nkind: AllocationPolicy\nmetadata: {name: default}\nspec: {mode: MODE}\n"
    node = "apiVersion: orcha.dev/v1alpha1\nkind: Node\nmetadata: {name: one}\nspec: {capacity: {cpu: 4}}\n"
    for name, mode in (("base", "Suggest"), ("head", "Approve")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(f"{policy.replace('MODE', mode)}---\n{node}", encoding="utf-8")
    said = await ran(tmp_path, "plan", "--diff", "base", "head")
    block = next(block for block in blocks_of("docs/start/fleet.md") if block.text.startswith("base -> head"))
    assert said.startswith(block.text)
